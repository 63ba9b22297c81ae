//! The way of an entry into a directory, and out of it for good.
//!
//! An entry is written to a temporary file, synced, and renamed to its place; then the folder is
//! synced. So its name stands for all of it or for nothing, whenever the process or the machine
//! stops. No file is ever changed once it has the name of an entry.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use super::entry::{DESCRIPTION_LIMIT, PIECE, Summary, Trailer};
use super::{Access, DirCache, is_absent, layout};
use crate::content::{Content, Stamp};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{Key, to_hex};
use rustix::fs::Mode;
use rustix::io::Errno;

/// Names that were given are not taken: how often to try the next one.
const NAME_ATTEMPTS: usize = 1000;
/// The folder of a group may go away while an entry is put there: how often to make it again.
const GROUP_ATTEMPTS: usize = 20;

impl DirCache {
    pub(super) fn write_entry(
        &self,
        key: &Key,
        content: &Content,
        description: &[u8],
    ) -> Result<()> {
        if description.len() > DESCRIPTION_LIMIT {
            let (length, limit) = (description.len(), DESCRIPTION_LIMIT);
            return Err(ErrorKind::DescriptionTooLong { length, limit }.into());
        }
        let temporary = Temporary::create(self)?;
        let mut trailer = temporary.fill(key, content, description)?;
        if let Some(with) = &self.sign_with {
            trailer.sign(key, with);
        }
        temporary.complete(key, &trailer, self.modes().file)?;
        self.put(key, &temporary)
    }

    /// Gives a complete temporary file the name of the entry.
    pub(super) fn put(&self, key: &Key, temporary: &Temporary<'_>) -> Result<()> {
        let mut attempts = 0;
        loop {
            let group = self.make_group(key.group())?;
            attempts += 1;
            match temporary.publish(group.as_fd(), key) {
                // The group was removed between opening it and now: by one who prunes, perhaps.
                Err(error) if is_absent(&error) && attempts < GROUP_ATTEMPTS => {}
                // Something that is no file is in the way. It is not an entry, so it may go.
                Err(error)
                    if error.kind() == io::ErrorKind::IsADirectory && attempts < GROUP_ATTEMPTS =>
                {
                    self.remove_entry(key)?;
                }
                result => break result,
            }
        }
        .map_err(|error| {
            // If nothing else is in it, it was made for nothing.
            _ = self.disk.remove_dir(self.root.as_fd(), &to_hex(key.group()));
            Error::io("publish the entry", Some(&self.entry_path(key)), error)
        })
    }

    pub(super) fn remove_entry(&self, key: &Key) -> Result<()> {
        let path = self.entry_path(key);
        let failed = |error| Error::io("delete the entry", Some(&path), error);
        let group = match self.open_group(key.group()) {
            Ok(Some(group)) => group,
            Ok(None) => return Ok(()),
            // Not a folder: then there is no entry in it, and it is in the way of making one.
            Err(error) if error.is_corrupt() => {
                let removed = self.disk.remove(self.root.as_fd(), &to_hex(key.group()));
                return removed.or_else(absent_is_fine).map_err(failed);
            }
            Err(error) => return Err(error),
        };
        let name = to_hex(key.id());
        let removed = match self.disk.remove(group.as_fd(), &name) {
            Err(error) if is_directory(&error) => self.disk.remove_dir(group.as_fd(), &name),
            result => result,
        };
        removed.or_else(absent_is_fine).map_err(failed)
    }

    /// Removes the entry of `key` if it is damaged. Another process may have put a good one in its
    /// place since that was found out, which stays: then `false`.
    pub(crate) fn remove_damaged(&self, key: &Key) -> Result<bool> {
        let seen = self.stamp_at(key)?;
        match self.read_entry(key) {
            Err(error) if error.is_corrupt() => self.remove_seen(key, seen),
            other => other.map(|_| false),
        }
    }

    /// Removes the entry of `key` if it is the one that was `seen`; `false` when another one is
    /// there. Between the look and the removal is a moment in which one may still be replaced:
    /// that costs the work of making it again.
    pub(crate) fn remove_seen(&self, key: &Key, seen: Option<Stamp>) -> Result<bool> {
        self.writable()?;
        if seen.is_some() && self.stamp_at(key)?.is_some_and(|now| Some(now) != seen) {
            return Ok(false);
        }
        self.remove_entry(key).map(|()| true)
    }

    /// Which file has the name of the entry; `None` for none, or none that could be an entry.
    fn stamp_at(&self, key: &Key) -> Result<Option<Stamp>> {
        let group = match self.open_group(key.group()) {
            Ok(Some(group)) => group,
            Ok(None) => return Ok(None),
            Err(error) if error.is_corrupt() => return Ok(None),
            Err(error) => return Err(error),
        };
        match self.disk.stat_at(group.as_fd(), &to_hex(key.id())) {
            Ok(stat) => Ok(Some(Stamp::of(&stat))),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(Error::io("inspect the entry", Some(&self.entry_path(key)), error)),
        }
    }

    /// Opens the folder of a group, and makes it first where it is missing.
    fn make_group(&self, group: &[u8; 32]) -> Result<OwnedFd> {
        let failed = |error| {
            Error::io("create the folder of the group", Some(&self.group_path(group)), error)
        };
        for _ in 0..GROUP_ATTEMPTS {
            match self.open_group(group) {
                Ok(Some(fd)) => return Ok(fd),
                Ok(None) => {}
                Err(error) if error.is_corrupt() => {
                    let removed = self.disk.remove(self.root.as_fd(), &to_hex(group));
                    removed.or_else(absent_is_fine).map_err(failed)?;
                }
                Err(error) => return Err(error),
            }
            match self.make_own_dir(self.root.as_fd(), &to_hex(group)) {
                Ok(false) => {}
                Ok(true) => self.disk.sync(self.root.as_fd()).map_err(failed)?,
                // Empty, so that one who prunes has removed it at once.
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed(io::ErrorKind::NotFound.into()))
    }

    /// Makes a folder with the mode of this directory; `false` when there was one.
    pub(super) fn make_own_dir(&self, dir: BorrowedFd<'_>, name: &str) -> io::Result<bool> {
        let mode = self.modes().dir;
        match self.disk.make_dir(dir, name, mode) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(error) => return Err(error),
        }
        // The umask may have taken bits away.
        let fd = self.disk.open_dir(dir, name)?;
        self.disk.set_mode(fd.as_fd(), mode)?;
        Ok(true)
    }

    /// Opens one of our own folders, and makes it first where it is missing.
    pub(super) fn own_dir(&self, name: &str) -> Result<OwnedFd> {
        let path = || self.path.join(name);
        let open = || self.disk.open_dir(self.root.as_fd(), name);
        let mut opened = open();
        for _ in 0..GROUP_ATTEMPTS {
            // It is empty at first, and may be removed by one who cleans.
            if !opened.as_ref().is_err_and(is_absent) {
                break;
            }
            opened = self.make_own_dir(self.root.as_fd(), name).and_then(|_| open());
        }
        let failed = |error| Error::io("create the folder", Some(&path()), error);
        let fd = opened.map_err(failed)?;
        let stat = self.disk.stat(fd.as_fd()).map_err(failed)?;
        self.trust.check(&stat, path)?;
        Ok(fd)
    }
}

/// A temporary file, removed unless it was published.
pub(super) struct Temporary<'a> {
    cache: &'a DirCache,
    folder: OwnedFd,
    name: String,
    file: File,
    is_published: Cell<bool>,
}

impl<'a> Temporary<'a> {
    pub(super) fn create(cache: &'a DirCache) -> Result<Temporary<'a>> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let failed = |error| {
            Error::io(
                "create a temporary file in",
                Some(&cache.path.join(layout::TEMPORARY)),
                error,
            )
        };
        let mut folder = cache.own_dir(layout::TEMPORARY)?;
        // A process of another container may have our number: names that are taken are passed over.
        for _ in 0..NAME_ATTEMPTS {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}-{number}", std::process::id());
            match cache.disk.create(folder.as_fd(), &name) {
                Ok(file) => {
                    // Locked as long as it is written, which tells a sweep that its writer lives.
                    // Where that does not work, the age of the file has to do.
                    _ = cache.disk.pass_over(cache.disk.try_lock(&file));
                    let is_published = Cell::new(false);
                    return Ok(Temporary { cache, folder, name, file, is_published });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                // Another process has removed the folder, which was empty: an image that is done.
                Err(error) if is_absent(&error) => folder = cache.own_dir(layout::TEMPORARY)?,
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed(io::ErrorKind::AlreadyExists.into()))
    }

    /// Writes the content, and returns the trailer that belongs behind it.
    pub(super) fn fill(&self, key: &Key, content: &Content, description: &[u8]) -> Result<Trailer> {
        let disk = &self.cache.disk;
        let failed = |error| Error::io("write the entry", Some(&self.cache.entry_path(key)), error);
        let mut summary = Summary::default();
        let mut piece = |piece: &[u8]| {
            summary.update(piece);
            disk.write(&self.file, piece).map_err(failed)
        };
        match content.as_bytes() {
            Some(bytes) => bytes.chunks(PIECE).try_for_each(piece)?,
            None => {
                let mut buffer = vec![0; PIECE];
                let mut offset = 0;
                while offset < content.len() {
                    let count = read_content(content, offset, &mut buffer)?;
                    piece(&buffer[..count])?;
                    offset += count as u64;
                }
            }
        }
        Ok(summary.finish(description))
    }

    /// Writes the trailer and makes the file durable.
    pub(super) fn complete(&self, key: &Key, trailer: &Trailer, mode: Mode) -> Result<()> {
        let disk = &self.cache.disk;
        let failed = |error| Error::io("write the entry", Some(&self.cache.entry_path(key)), error);
        disk.write(&self.file, &trailer.to_bytes(key)).map_err(failed)?;
        disk.set_mode(self.file.as_fd(), mode).map_err(failed)?;
        disk.sync(self.file.as_fd()).map_err(failed)
    }

    /// Writes all of a file that is no entry, and gives it its name in the directory, durably.
    pub(super) fn replace(&self, name: &str, bytes: &[u8], mode: Mode) -> io::Result<()> {
        let (disk, root) = (&self.cache.disk, self.cache.root.as_fd());
        bytes.chunks(PIECE).try_for_each(|piece| disk.write(&self.file, piece))?;
        disk.set_mode(self.file.as_fd(), mode)?;
        disk.sync(self.file.as_fd())?;
        disk.rename((self.folder.as_fd(), &self.name), (root, name))?;
        self.is_published.set(true);
        disk.sync(root)
    }

    /// Gives the file the name of the entry, durably. May be called again after an error.
    fn publish(&self, group: BorrowedFd<'_>, key: &Key) -> io::Result<()> {
        let disk = &self.cache.disk;
        disk.rename((self.folder.as_fd(), &self.name), (group, &to_hex(key.id())))?;
        self.is_published.set(true);
        disk.sync(group)
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        // After the rename the name may be another process's, one with our number elsewhere.
        if !self.is_published.get() {
            let disk = &self.cache.disk;
            disk.pass_over_removal(disk.remove(self.folder.as_fd(), &self.name));
        }
    }
}

impl Drop for DirCache {
    fn drop(&mut self) {
        // An image has nothing in it but entries; the folder goes unless somebody still uses it.
        if self.access == Access::Image {
            _ = self.disk.remove_dir(self.root.as_fd(), layout::TEMPORARY);
        }
    }
}

/// Reads a piece of the content, and fails when it ends too early.
fn read_content(content: &Content, offset: u64, buffer: &mut [u8]) -> Result<usize> {
    let failed = |error| Error::io("read the content", content.origin(), error);
    loop {
        match content.read_at(offset, buffer) {
            Ok(0) => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

fn absent_is_fine(error: io::Error) -> io::Result<()> {
    if is_absent(&error) { Ok(()) } else { Err(error) }
}

/// Whether a file could not be removed because it is a directory, which Linux and POSIX say
/// differently.
fn is_directory(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::ISDIR | Errno::PERM))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cache;

    #[test]
    fn a_good_entry_in_the_place_of_a_damaged_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let cache = DirCache::open(folder.path()).unwrap();
        let key = Key::new([1; 32], [2; 32]);
        let add = || cache.add(&key, &Content::from_bytes(b"content".to_vec()), b"").unwrap();
        assert!(!cache.remove_damaged(&key).unwrap(), "there is none");
        add();
        assert!(!cache.remove_damaged(&key).unwrap(), "it is good");
        let seen = cache.stamp_at(&key).unwrap();
        assert_eq!(seen, cache.get(&key).unwrap().unwrap().stamp());
        let path = cache.entry_path(&key);
        std::fs::write(&path, b"damage").unwrap();
        assert!(cache.remove_damaged(&key).unwrap());
        assert!(!path.exists());
        add();
        assert!(!cache.remove_seen(&key, seen).unwrap(), "another one");
        assert!(cache.remove_seen(&key, cache.stamp_at(&key).unwrap()).unwrap());
        // What is no file has no place there.
        std::os::unix::fs::symlink("elsewhere", &path).unwrap();
        assert!(cache.remove_damaged(&key).unwrap());
        assert!(!path.is_symlink());
    }
}
