//! Removes what writers left behind when they were killed.
//!
//! Cheap and bounded: one listing of each of two folders that are nearly always empty, when a
//! directory is opened for writing. A temporary file or a lock goes when it has the name and the owner that ours have, nobody has
//! written to it for an hour, and nobody holds its lock. The age keeps us from files whose lock
//! cannot be seen, such as over some network file systems; the lock from a writer that was stopped
//! and goes on. Process ids are not asked: in containers everybody is number 1.

use std::os::fd::AsFd;
use std::time::{Duration, SystemTime};

use rustix::fs::FileType;

use super::{DirCache, layout};

const STALE: Duration = Duration::from_secs(3600);
/// The most files that one sweep looks at.
const LIMIT: usize = 1000;

impl DirCache {
    /// Sweeps the folder of temporary files. What cannot be removed stays: the next one tries again.
    pub(super) fn sweep(&self) {
        // No lock to be had at all is not a reason to keep what nobody reads for ever.
        self.sweep_folder(layout::TEMPORARY, layout::is_temporary, true);
    }

    /// Sweeps the folder of locks, of which each belongs to one key. Their holders take the names
    /// away while they hold the lock; so may anybody else who holds it.
    pub(super) fn sweep_locks(&self) {
        self.sweep_folder(layout::LOCKS, |name| layout::entry_id(name).is_some(), false);
    }

    fn sweep_folder(&self, folder: &str, is_name: fn(&[u8]) -> bool, without_locks: bool) {
        let Ok(folder) = self.disk.open_dir(self.root.as_fd(), folder) else { return };
        let Ok(names) = self.disk.list(folder.as_fd(), LIMIT) else { return };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        for name in names.iter().filter(|name| is_name(name)) {
            let Ok(name) = std::str::from_utf8(name) else { continue };
            let Ok(file) = self.disk.open(folder.as_fd(), name) else { continue };
            let Ok(stat) = self.disk.stat(file.as_fd()) else { continue };
            let is_ours = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
                && stat.st_uid == rustix::process::geteuid().as_raw();
            // A time in the future has no age: the file is left alone until its time has come.
            let written = u64::try_from(stat.st_mtime).unwrap_or(0);
            let is_stale = now.as_secs().saturating_sub(written) >= STALE.as_secs();
            if !is_ours || !is_stale || !self.disk.try_lock(&file).unwrap_or(without_locks) {
                continue;
            }
            // Somebody may have removed the file before it was locked, and made another one.
            let named = self.disk.stat_at(folder.as_fd(), name);
            if named.is_ok_and(|named| (named.st_dev, named.st_ino) == (stat.st_dev, stat.st_ino)) {
                _ = self.disk.remove(folder.as_fd(), name);
            }
        }
    }
}
