//! When an entry was added, and when it was used last.
//!
//! The time of modification is when the entry was added: nothing writes to it afterwards. The time
//! of access is when it was used: a hit in a directory that is written to sets it, at most once an
//! hour, whether or not the file system keeps such times by itself. Where that is not permitted
//! nothing happens. It is on the open entry, so it is never that of another one, and layers that
//! are only read are left as they are.

use std::fs::File;
use std::time::{Duration, SystemTime};

use rustix::fs::Stat;

use super::{Access, DirCache};
use crate::budget::RESOLUTION;

/// When the entry with these attributes was added.
pub(super) fn added(stat: &Stat) -> SystemTime {
    time(stat.st_mtime, stat.st_mtime_nsec)
}

/// When it was used last, or else added.
pub(super) fn used(stat: &Stat) -> SystemTime {
    time(stat.st_atime, stat.st_atime_nsec)
}

/// A time before 1970 is that of a broken clock, and as old as any.
fn time(seconds: impl TryInto<u64>, nanoseconds: impl TryInto<u32>) -> SystemTime {
    let seconds = seconds.try_into().unwrap_or(0);
    let nanoseconds = nanoseconds.try_into().unwrap_or(0);
    let since = Duration::from_secs(seconds).checked_add(Duration::from_nanos(nanoseconds.into()));
    let since = since.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since));
    since.unwrap_or(SystemTime::UNIX_EPOCH)
}

impl DirCache {
    /// Writes down that an entry is used now, unless that was done within the last hour.
    pub(super) fn touch(&self, file: &File, stat: &Stat) {
        if self.access != Access::Write {
            return;
        }
        let (now, used) = (SystemTime::now(), used(stat));
        let distance = now.duration_since(used).unwrap_or_else(|ahead| ahead.duration());
        if distance >= RESOLUTION {
            // Nobody waits for it, and nothing depends on it but the order of eviction.
            _ = self.disk.pass_over(self.disk.set_used(file, now));
        }
    }
}
