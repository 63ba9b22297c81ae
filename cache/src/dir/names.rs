//! The list of names of a directory: read under the rules that entries are under, and replaced as
//! entries are.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rustix::fs::{FileType, Mode, Stat};
use rustix::io::Errno;

use super::lock::{KeyLock, is_unsupported};
use super::trust::Trust;
use super::write::Temporary;
use super::{DirCache, layout, read};
use crate::error::{Distrust, Error, ErrorKind, Result};
use crate::names::{self, Names, Refused};
use crate::policy::Policy;
use crate::sign::{SigningKey, TrustedKeys};

/// How long to wait for another process that changes the list.
const WAIT: Duration = Duration::from_secs(10);

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
    /// made the list and, with a [scope](crate::DirOptions::names_scope), what for; it does not say
    /// when: an older list by the same key with the same scope is believed as well.
    ///
    /// The list is read again when it has changed.
    ///
    /// # Errors
    /// [`Untrusted`](ErrorKind::Untrusted), of a list for another scope too;
    /// [`Names`](ErrorKind::Names) when it is damaged; or when it cannot be read.
    pub fn names(&self) -> Result<Option<Arc<Names>>> {
        let Some(names) = self.names_of_any_scope()? else { return Ok(None) };
        if self.scope.is_some() {
            self.check_scope(&names)?;
        }
        Ok(Some(names))
    }

    fn names_of_any_scope(&self) -> Result<Option<Arc<Names>>> {
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        let Some((file, stat)) = self.open_names()? else { return Ok(None) };
        self.trust.check(&stat, || self.names_path())?;
        let identity = identity(&stat);
        let mut known = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref().filter(|known| known.file == identity) {
            return Ok(Some(Arc::clone(&known.names)));
        }
        let names = Arc::new(match self.policy == Policy::Signed || self.signed_names {
            true => self.read_signed_names(&file, &stat, &self.trusted_keys)?,
            false => self.read_names(&file, &stat)?,
        });
        *known = Some(Known { file: identity, names: Arc::clone(&names) });
        Ok(Some(names))
    }

    /// Whether a list is for what was asked for, which may be nothing.
    fn check_scope(&self, names: &Names) -> Result<()> {
        if names.scope() == self.scope.as_deref() {
            return Ok(());
        }
        let [found, wanted] = [names.scope(), self.scope.as_deref()].map(|s| s.map(String::from));
        Err(self.distrusted_names(Distrust::Scope { found, wanted }))
    }

    fn distrusted_names(&self, reason: Distrust) -> Error {
        ErrorKind::Untrusted { path: self.names_path(), reason }.into()
    }

    /// Changes the list: what `change` makes of the one that is there, or of an empty one, takes its
    /// place. Nothing is written when it stays the same. It gets the
    /// [scope](crate::DirOptions::names_scope) that the directory was opened with, and is signed if
    /// that was [to sign](crate::DirOptions::sign_with).
    ///
    /// A name that is taken out is one that this directory says nothing of: where it is a layer, the next
    /// one is asked ([`Layers::resolve`](crate::Layers::resolve)).
    ///
    /// Processes that do so at once wait for each other. A list that is damaged is replaced as if it
    /// were empty. Where others may write, and under [`Policy::Signed`] everywhere, the one that is
    /// there must have a signature by the key that the new one gets, and the same scope. Returns the
    /// list.
    ///
    /// # Errors
    /// What `change` returns; [`Untrusted`](ErrorKind::Untrusted) when there is a list that somebody
    /// else may have written: its names are neither taken over nor dropped. And when the list cannot
    /// be read or written, or another process holds it for longer than ten seconds.
    pub fn update_names(&self, change: impl FnOnce(&mut Names) -> Result<()>) -> Result<Names> {
        self.writable()?;
        let _lock = self.lock_names()?;
        let before = self.names_to_change()?;
        let mut names = before.as_deref().cloned().unwrap_or_default();
        change(&mut names)?;
        if let Some(scope) = self.scope.as_deref() {
            names.set_scope(Some(scope))?;
        }
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

    /// The list that a change starts from. What is in it gets this user's scope and signature: where
    /// others may write, that it is by a trusted key does not do.
    fn names_to_change(&self) -> Result<Option<Arc<Names>>> {
        let with = self.sign_with.as_deref();
        if let Trust::Signatures = self.trust {
            return self.own_names(with, self.distrusted_names(Distrust::Unsigned));
        }
        match self.names_of_any_scope() {
            Err(error) if error.is_untrusted() => self.own_names(with, error),
            Err(error) if is_damaged(&error) => Ok(None),
            names => names,
        }
    }

    /// The list of a directory that is not trusted, for the `reason` that is given, if it is one that
    /// this user has signed for what it is about to be signed for again.
    fn own_names(&self, with: Option<&SigningKey>, reason: Error) -> Result<Option<Arc<Names>>> {
        let read = || {
            let Some((file, stat)) = self.open_names()? else { return Ok(None) };
            let own = match (with, self.trust) {
                (Some(with), _) => TrustedKeys::from(with.public_key()),
                // Without a key no signature is this user's, which is what it is refused for.
                (None, Trust::Signatures) => TrustedKeys::new(),
                (None, _) => return Err(reason.clone()),
            };
            let names = self.read_signed_names(&file, &stat, &own)?;
            self.check_scope(&names)?;
            Ok(Some(Arc::new(names)))
        };
        // What cannot be read is not dropped either: who else may write here can make it so.
        read().map_err(|error| if is_damaged(&error) { reason.clone() } else { error })
    }

    /// Signs the list, with the [scope](crate::DirOptions::names_scope) that the directory was opened
    /// with; `Ok(None)` when there is none, `false` when it already has both, the signature by this key.
    ///
    /// Whatever the list says is signed. So it must be under the trust rule, whoever it was for and
    /// signed by; under [`Policy::Signed`], which is for places where others may write, it must have
    /// both already.
    ///
    /// # Errors
    /// When it is damaged or not to be trusted, or cannot be written.
    pub fn sign_names(&self, with: &SigningKey) -> Result<Option<bool>> {
        self.writable()?;
        let _lock = self.lock_names()?;
        let names = match self.trust {
            Trust::Signatures => {
                self.own_names(Some(with), self.distrusted_names(Distrust::Unsigned))?
            }
            _ => self.names_of_any_scope()?,
        };
        let Some(names) = names else { return Ok(None) };
        let mut names = Names::clone(&names);
        if let Some(scope) = self.scope.as_deref() {
            names.set_scope(Some(scope))?;
        }
        if names.verify(&TrustedKeys::from(with.public_key())).is_ok() {
            return Ok(Some(false));
        }
        let Some((_, stat)) = self.open_names()? else { return Ok(None) };
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
        if let Ok(Some(_)) = self.names_of_any_scope() {
            _ = self.disk.remove(self.root.as_fd(), layout::NAMES);
        }
    }

    /// Opens the list, whoever may have written it.
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
        Ok(Some((file, stat)))
    }

    fn read_names(&self, file: &File, stat: &Stat) -> Result<Names> {
        let path = self.names_path();
        let mut text = vec![0; self.names_length(stat)? as usize];
        let count = self
            .disk
            .read_at(file, &mut text, 0)
            .map_err(|error| Error::io("read the list of names", Some(&path), error))?;
        text.truncate(count);
        Names::parse(&text).map_err(|error| names::in_file(error, &path))
    }

    /// Of a file that anybody may change meanwhile, what a trusted key has signed.
    fn read_signed_names(&self, file: &File, stat: &Stat, trusted: &TrustedKeys) -> Result<Names> {
        let path = self.names_path();
        let names = Names::read_signed(&(&self.disk, file), self.names_length(stat)?, trusted);
        names.map_err(|refused| match refused {
            Refused::Distrust(reason) => self.distrusted_names(reason),
            Refused::Damaged(error) => names::in_file(error, &path),
            Refused::Io(error) => Error::io("read the list of names", Some(&path), error),
        })
    }

    fn names_length(&self, stat: &Stat) -> Result<u64> {
        let length = read::length(stat);
        if length > names::LIMIT {
            return Err(names::in_file(names::too_long(), &self.names_path()));
        }
        Ok(length)
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

    /// The right to change the list; `None` on a file system without locks, where one process at a
    /// time has to do. The lock is among the temporary files, which an image has only as long as it
    /// is written.
    fn lock_names(&self) -> Result<Option<KeyLock>> {
        let path = || self.path.join(layout::TEMPORARY).join(layout::NAMES_LOCK);
        let failed = |error| Error::io("lock the list of names with", Some(&path()), error);
        match self.hold(layout::TEMPORARY, layout::NAMES_LOCK, WAIT) {
            Ok(Some(lock)) => Ok(Some(lock)),
            Ok(None) => Err(failed(std::io::ErrorKind::WouldBlock.into())),
            Err(error) => match error.kind() {
                ErrorKind::Io { source, .. } if is_unsupported(source) => Ok(None),
                _ => Err(error),
            },
        }
    }
}

/// Whether there is something that is no list.
fn is_damaged(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Names { .. })
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
