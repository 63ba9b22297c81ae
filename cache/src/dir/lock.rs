//! One process at a time works on a key, or on the list of names.
//!
//! The lock is an advisory lock of the operating system on a file in `.locks`, or among the temporary
//! files, that nobody else can open: who may only read a directory holds nobody up. It dies with its
//! holder: there are no stale locks. The holder removes the file before it lets go, so the folder
//! stays small. Whoever gets the lock of a file that was removed meanwhile holds nothing, notices it
//! by the name standing for another file, and tries again.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::disk::Disk;
use super::{Access, DirCache, is_absent, layout};
use crate::error::{Error, Result};
use crate::key::{Key, to_hex};

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// The folder may go away while a lock is made in it: how often to make it again, one time after the
/// other.
const FOLDER_ATTEMPTS: usize = 20;

/// The right to work on a key, among the processes that share a directory. Made by
/// [`DirCache::lock`]; dropping it lets the next one in.
#[derive(Debug)]
pub struct KeyLock {
    // Before the file, since fields drop in order: the name goes while the lock is still held.
    _name: Name,
    _file: File,
    waited: bool,
}

impl KeyLock {
    /// Whether somebody else had the lock first: then the entry may be there by now.
    pub fn waited(&self) -> bool {
        self.waited
    }
}

#[derive(Debug)]
struct Name {
    disk: Disk,
    folder: OwnedFd,
    name: String,
}

impl Drop for Name {
    fn drop(&mut self) {
        let removed = self.disk.remove(self.folder.as_fd(), &self.name);
        self.disk.pass_over_removal(removed);
    }
}

impl DirCache {
    /// Waits until no other process works on `key`, at most for `wait`; `Ok(None)` when that was
    /// not enough. Also `Ok(None)`, at once, for an image and for a directory that is only read:
    /// those are not locked.
    ///
    /// The lock says nothing about entries, which are read and written without it. It also holds
    /// between two values of this type in one process, but [`Layers::begin`](crate::Layers::begin)
    /// does that better.
    ///
    /// # Errors
    /// When the lock file cannot be made, or the file system has no locks. The caller then works
    /// without.
    pub fn lock(&self, key: &Key, wait: Duration) -> Result<Option<KeyLock>> {
        if self.access != Access::Write {
            return Ok(None);
        }
        self.hold(layout::LOCKS, &to_hex(key.id()), wait)
    }

    /// Waits until no other process holds the lock of that name in one of our folders, at most for
    /// `wait`; `Ok(None)` when that was not enough.
    pub(super) fn hold(&self, place: &str, name: &str, wait: Duration) -> Result<Option<KeyLock>> {
        let path = || self.path.join(place).join(name);
        let failed = |error| Error::io("lock", Some(&path()), error);
        // A wait beyond the clock's range is a wait without end.
        let deadline = Instant::now().checked_add(wait);
        let mut pause = FIRST_PAUSE;
        let mut waited = false;
        let mut absences = 0;
        loop {
            let folder = self.own_dir(place)?;
            let file = match self.disk.open_lock(folder.as_fd(), name) {
                // Another process has removed the folder, which was empty: an image that is done.
                Err(error) if is_absent(&error) && absences < FOLDER_ATTEMPTS => {
                    absences += 1;
                    continue;
                }
                opened => opened.map_err(failed)?,
            };
            absences = 0;
            // Who holds it meanwhile may do work on a key that the next one does as well, and no more.
            // A change of the list would be lost: that lock is left to its next holder.
            let give_up = |error| {
                if place == layout::LOCKS || is_unsupported(&error) {
                    _ = self.disk.remove(folder.as_fd(), name);
                }
                failed(error)
            };
            if self.disk.try_lock(&file).map_err(give_up)? {
                let mine = self.disk.stat(file.as_fd()).map_err(give_up)?;
                match self.disk.stat_at(folder.as_fd(), name) {
                    Ok(named) if (named.st_dev, named.st_ino) == (mine.st_dev, mine.st_ino) => {
                        let name = Name { disk: self.disk.clone(), folder, name: name.to_owned() };
                        return Ok(Some(KeyLock { _name: name, _file: file, waited }));
                    }
                    Ok(_) => {}
                    Err(error) if is_absent(&error) => {}
                    Err(error) => return Err(give_up(error)),
                }
                // The holder before us removed the name: the next round takes a new one. It pauses and
                // ends like any other, for file systems whose file numbers are not stable.
            }
            waited = true;
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            match left {
                Some(Duration::ZERO) => return Ok(None),
                Some(left) => thread::sleep(pause.min(left)),
                None => thread::sleep(pause),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Whether a file system has no locks.
pub(super) fn is_unsupported(error: &std::io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::BADF | Errno::NOLCK | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL)
    )
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::dir::DirOptions;
    use crate::dir::disk::Moment;
    use crate::testing::Operation;

    #[test]
    fn who_has_waited_long_survives_that_the_folder_goes_away() {
        let folder = tempfile::tempdir().unwrap();
        let key = Key::new([1; 32], [2; 32]);
        let first = DirCache::open(folder.path()).unwrap();
        let held = first.lock(&key, Duration::ZERO).unwrap().unwrap();
        let rounds = Arc::new(AtomicUsize::new(0));
        let mut options = DirOptions::new();
        let seen = Arc::clone(&rounds);
        options.disk.watch = Some(Arc::new(move |operation, moment| {
            if (operation, moment) != (Operation::Create, Moment::Before) {
                return Ok(());
            }
            match seen.fetch_add(1, Ordering::Relaxed) {
                // After more waiting than there are attempts, and nearly as often as is borne.
                25..44 => Err(Errno::NOENT.into()),
                _ => Ok(()),
            }
        }));
        let second = options.open(folder.path()).unwrap();
        thread::scope(|scope| {
            let lock = scope.spawn(|| second.lock(&key, Duration::from_secs(60)));
            while rounds.load(Ordering::Relaxed) < 46 && !lock.is_finished() {
                thread::sleep(FIRST_PAUSE);
            }
            drop(held);
            assert!(lock.join().unwrap().unwrap().unwrap().waited());
        });
        // What never comes is not waited for.
        let mut options = DirOptions::new();
        options.disk.watch = Some(Arc::new(move |operation, _| match operation {
            Operation::Create => Err(Errno::NOENT.into()),
            _ => Ok(()),
        }));
        let third = options.open(folder.path()).unwrap();
        assert!(third.lock(&key, Duration::from_secs(60)).is_err());
    }
}
