//! The list of names of a directory: read under the rules that entries are under, and replaced as
//! entries are.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FileType, Mode, Stat};
use rustix::io::Errno;

use super::write::Temporary;
use super::{DirCache, layout, read};
use crate::error::{Error, ErrorKind, Result};
use crate::names::{self, Names};
use crate::policy::Policy;
use crate::sign::{SigningKey, TrustedKeys};

/// How long to wait for another process that changes the list.
const WAIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// The list as it was read last, and the file that it was read from. A file that takes another
/// one's place is another one; who changes it in place, which this crate does not, changes its times.
#[derive(Debug)]
pub(super) struct Known {
    file: [i128; 7],
    names: Arc<Names>,
}

impl DirCache {
    /// What groups are called here; `None` where there is no list.
    ///
    /// The list decides which entries are used for a name, and is believed as they are: it must be a
    /// regular file under the trust rule; under [`Policy::Signed`] it must have a signature by a
    /// [trusted key](TrustedKeys) instead, which is checked on a private copy. A signature says who
    /// made the list, and not when: an older list by the same key is believed as well.
    ///
    /// The list is read again when it has changed.
    ///
    /// # Errors
    /// [`Untrusted`](ErrorKind::Untrusted); [`Names`](ErrorKind::Names) when it is damaged; or when
    /// it cannot be read.
    pub fn names(&self) -> Result<Option<Arc<Names>>> {
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        let path = self.names_path();
        let Some((file, stat)) = self.open_names()? else { return Ok(None) };
        let identity = identity(&stat);
        let mut known = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref().filter(|known| known.file == identity) {
            return Ok(Some(Arc::clone(&known.names)));
        }
        let text = self.read_names(&file, &stat)?;
        let names = match self.policy == Policy::Signed || self.signed_names {
            true => Names::parse_signed(&text, &self.trusted_keys)
                .map_err(|reason| ErrorKind::Untrusted { path: path.clone(), reason })?,
            false => Names::parse(&text),
        };
        let names = Arc::new(names.map_err(|error| names::in_file(error, &path))?);
        *known = Some(Known { file: identity, names: Arc::clone(&names) });
        Ok(Some(names))
    }

    /// Changes the list: what `change` makes of the one that is there, or of an empty one, takes its
    /// place. Nothing is written when it stays the same. It is signed if the directory was opened
    /// [to sign](crate::DirOptions::sign_with).
    ///
    /// Processes that do so at once wait for each other. A list that is damaged or not to be trusted
    /// is replaced as if it were empty. Returns the list.
    ///
    /// # Errors
    /// What `change` returns; when the list cannot be read or written, or another process holds it
    /// for longer than ten seconds.
    pub fn update_names(&self, change: impl FnOnce(&mut Names) -> Result<()>) -> Result<Names> {
        self.writable()?;
        let _lock = self.lock_names()?;
        let before = match self.names() {
            Ok(before) => before,
            Err(error) if matches!(error.kind(), ErrorKind::Io { .. }) => return Err(error),
            Err(_) => None,
        };
        let mut names = before.as_deref().cloned().unwrap_or_default();
        change(&mut names)?;
        if let Some(with) = &self.sign_with {
            let own = TrustedKeys::from(with.public_key());
            if names.verify(&own).is_err() {
                names.sign(with);
            }
        }
        if before.as_deref() != Some(&names) {
            self.write_names(&names, self.modes().file)?;
        }
        Ok(names)
    }

    /// Signs the list; `Ok(None)` when there is none, `false` when it already has a signature by this
    /// key.
    ///
    /// # Errors
    /// When it is damaged or not to be trusted, or cannot be written.
    pub fn sign_names(&self, with: &SigningKey) -> Result<Option<bool>> {
        self.writable()?;
        let _lock = self.lock_names()?;
        let Some(names) = self.names()? else { return Ok(None) };
        if names.verify(&TrustedKeys::from(with.public_key())).is_ok() {
            return Ok(Some(false));
        }
        let Some((_, stat)) = self.open_names()? else { return Ok(None) };
        let mut names = Names::clone(&names);
        names.sign(with);
        self.write_names(&names, Mode::from_raw_mode(stat.st_mode) & self.modes().dir)?;
        Ok(Some(true))
    }

    /// Where the list of names is or would be.
    pub fn names_path(&self) -> PathBuf {
        self.path.join(layout::NAMES)
    }

    /// Removes the list, if it is one of ours.
    pub(super) fn remove_names(&self) {
        if let Ok(Some(_)) = self.names() {
            _ = self.disk.remove(self.root.as_fd(), layout::NAMES);
        }
    }

    /// Opens the list, and checks all that is known without reading it.
    fn open_names(&self) -> Result<Option<(File, Stat)>> {
        let path = || self.names_path();
        let irregular = || -> Error {
            let what = "it is not a regular file";
            ErrorKind::Names { path: Some(path()), line: None, what }.into()
        };
        let file = match self.disk.open(self.root.as_fd(), layout::NAMES) {
            Ok(file) => file,
            Err(error) => {
                return match Errno::from_io_error(&error) {
                    Some(Errno::NOENT) => Ok(None),
                    // A symbolic link, or a socket or device without anybody behind it.
                    Some(Errno::LOOP | Errno::NXIO | Errno::NODEV) => Err(irregular()),
                    _ => Err(Error::io("open the list of names", Some(&path()), error)),
                };
            }
        };
        let stat = self
            .disk
            .stat(file.as_fd())
            .map_err(|error| Error::io("inspect the list of names", Some(&path()), error))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(irregular());
        }
        self.trust.check(&stat, path)?;
        Ok(Some((file, stat)))
    }

    fn read_names(&self, file: &File, stat: &Stat) -> Result<Vec<u8>> {
        let path = self.names_path();
        let length = read::length(stat);
        if length > names::LIMIT {
            return Err(names::in_file(names::too_long(), &path));
        }
        let mut text = vec![0; length as usize];
        let count = self
            .disk
            .read_at(file, &mut text, 0)
            .map_err(|error| Error::io("read the list of names", Some(&path), error))?;
        text.truncate(count);
        Ok(text)
    }

    fn write_names(&self, names: &Names, mode: Mode) -> Result<()> {
        let text = names.to_string();
        let path = self.names_path();
        if text.len() as u64 > names::LIMIT {
            return Err(names::in_file(names::too_long(), &path));
        }
        let temporary = Temporary::create(self)?;
        temporary
            .replace(layout::NAMES, text.as_bytes(), mode)
            .map_err(|error| Error::io("write the list of names", Some(&path), error))
    }

    /// The right to change the list. The directory itself is locked, so that nothing is left behind
    /// in an image.
    fn lock_names(&self) -> Result<File> {
        let failed = |error| Error::io("lock the directory", Some(&self.path), error);
        let file = File::from(self.disk.open_dir(self.root.as_fd(), ".").map_err(failed)?);
        let deadline = Instant::now() + WAIT;
        loop {
            match self.disk.try_lock(&file) {
                Ok(true) => return Ok(file),
                Ok(false) if Instant::now() < deadline => thread::sleep(PAUSE),
                Ok(false) => return Err(failed(std::io::ErrorKind::WouldBlock.into())),
                // A file system without locks, where one process at a time has to do.
                Err(error) if is_unsupported(&error) => return Ok(file),
                Err(error) => return Err(failed(error)),
            }
        }
    }
}

fn is_unsupported(error: &std::io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::BADF | Errno::NOLCK | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL)
    )
}

// The widths of these fields differ between platforms.
fn identity(stat: &Stat) -> [i128; 7] {
    [
        stat.st_dev.into(),
        stat.st_ino.into(),
        stat.st_size.into(),
        stat.st_mtime.into(),
        stat.st_mtime_nsec.into(),
        stat.st_ctime.into(),
        stat.st_ctime_nsec.into(),
    ]
}
