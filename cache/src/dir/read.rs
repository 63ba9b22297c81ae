//! The way of an entry out of a directory.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use super::entry::{Found, Unreadable};
use super::{DirCache, layout};
use crate::cache::Sibling;
use crate::content::Content;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{Key, to_hex};
use crate::memo::Kind;
use crate::policy::Policy;

/// Content up to this length is checked in less time than it takes to ask whether it was.
const SMALL: u64 = 64 << 10;
/// Content up to this length is checked each time where there is no place to remember it in.
const MEDIUM: u64 = 1 << 20;

impl DirCache {
    pub(super) fn read_entry(&self, key: &Key) -> Result<Option<Content>> {
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        let Some(group) = self.open_group(key.group())? else { return Ok(None) };
        let Some((file, stat, found)) = self.open_entry(group.as_fd(), key)? else {
            return Ok(None);
        };
        if self.policy == Policy::Signed {
            let content = self.private_copy(&file, &found)?;
            self.touch(&file, &stat);
            return Ok(Some(content.with_stamp(&stat)));
        }
        self.check(&file, &found).map_err(|error| self.unreadable(key, error))?;
        self.touch(&file, &stat);
        let content = Content::from_file(file, found.trailer.content_length);
        let content = content.with_description(&found.trailer.description);
        Ok(Some(content.with_origin(self.entry_path(key)).with_stamp(&stat)))
    }

    /// Checks as much of the content as the policy asks for.
    fn check(&self, file: &File, found: &Found) -> Result<(), Unreadable> {
        let (trailer, source) = (&found.trailer, &(&self.disk, file));
        match self.policy {
            Policy::Header => return Ok(()),
            Policy::Auto => {}
            Policy::Full | Policy::Signed => return trailer.verify(source),
        }
        // Sooner read than remembered.
        if trailer.content_length <= SMALL {
            return trailer.verify_checksum(source);
        }
        let Some(memo) = self.memo.get() else {
            let is_checked = trailer.content_length <= MEDIUM;
            return if is_checked { trailer.verify_checksum(source) } else { Ok(()) };
        };
        // With a place to remember, damage is found wherever the file is: where files cannot be told
        // apart, by checking each time.
        let Some(identity) = memo.identify(file) else {
            return trailer.verify_checksum(source);
        };
        if memo.recall(Kind::Entry, &identity) != Some(found.digest) {
            trailer.verify_checksum(source)?;
            memo.note(Kind::Entry, &identity, found.digest);
        }
        Ok(())
    }

    pub(super) fn read_siblings(&self, group: &[u8; 32]) -> Result<Vec<Sibling>> {
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        let Some(folder) = self.open_group(group)? else { return Ok(Vec::new()) };
        let names = self.disk.list(folder.as_fd(), usize::MAX).map_err(|error| {
            Error::io("list the folder of the group", Some(&self.group_path(group)), error)
        })?;
        let mut ids: Vec<_> = names.iter().filter_map(|name| layout::entry_id(name)).collect();
        ids.sort_unstable();
        let mut siblings = Vec::new();
        for id in ids {
            // One that is damaged or gone has nothing to tell; the others still have.
            match self.open_entry(folder.as_fd(), &Key::new(*group, id)) {
                Ok(Some((_, _, found))) => {
                    siblings.push(Sibling::new(id, found.trailer.description));
                }
                Err(error) if matches!(error.kind(), ErrorKind::Io { .. }) => {
                    self.disk.pass_over::<(), _>(Err(error));
                }
                Ok(None) | Err(_) => {}
            }
        }
        Ok(siblings)
    }

    /// Opens an entry and checks all that is known without reading its content.
    pub(super) fn open_entry(
        &self,
        group: BorrowedFd<'_>,
        key: &Key,
    ) -> Result<Option<(File, Stat, Found)>> {
        let path = || self.entry_path(key);
        let file = match self.disk.open(group, &to_hex(key.id())) {
            Ok(file) => file,
            Err(error) => {
                return match Errno::from_io_error(&error) {
                    Some(Errno::NOENT) => Ok(None),
                    // A symbolic link, or a socket or device without anybody behind it.
                    Some(Errno::LOOP | Errno::NXIO | Errno::NODEV) => Err(irregular(path())),
                    _ => Err(Error::io("open the entry", Some(&path()), error)),
                };
            }
        };
        let stat = self
            .disk
            .stat(file.as_fd())
            .map_err(|error| Error::io("inspect the entry", Some(&path()), error))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(irregular(path()));
        }
        self.trust.check(&stat, path)?;
        let found = Found::read(&(&self.disk, &file), length(&stat), key)
            .map_err(|error| self.unreadable(key, error))?;
        Ok(Some((file, stat, found)))
    }

    pub(super) fn unreadable(&self, key: &Key, error: Unreadable) -> Error {
        let path = self.entry_path(key);
        match error {
            Unreadable::Damaged(what) => Error::corrupt(Some(&path), what),
            Unreadable::Io(error) => Error::io("read the entry", Some(&path), error),
        }
    }
}

fn irregular(path: PathBuf) -> Error {
    Error::corrupt(Some(&path), "it is not a regular file")
}

/// The length of a regular file, which is never negative.
pub(super) fn length(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}
