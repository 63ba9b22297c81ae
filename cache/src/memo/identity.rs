//! What tells a file from every other one, and from itself after a change.
//!
//! Whatever changes a file's content moves its ctime, and no call sets that: other times can be put
//! back, and are only compared since it costs nothing. Two changes within a tick of the clock may
//! have one ctime, so a file must have been left alone for two seconds before anything is noted. The
//! rest keeps files apart: file numbers are used again, on this file system and on others.
//!
//! That holds for local file systems only: over a network or through a user-space server, a ctime is
//! whatever the other side says, and may be cached. So there is a list of those that it holds for.

#[cfg(target_os = "linux")]
#[path = "identity_linux.rs"]
mod system;
#[cfg(not(target_os = "linux"))]
#[path = "identity_unsupported.rs"]
mod system;

/// How old a change must be, in seconds.
const SETTLED: i64 = 2;

/// One state of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    pub(super) boot: [u8; 16],
    pub(super) mount: u64,
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) length: u64,
    pub(super) mtime: (i64, u32),
    pub(super) ctime: (i64, u32),
    /// When that was so. No part of the identity.
    pub(super) seen: Clock,
}

/// What the clock says, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    pub(super) now: i64,
    /// When the machine was started, by this clock.
    pub(super) booted: i64,
}

impl FileIdentity {
    /// Whether both are the same file in the same state.
    pub(super) fn is(&self, other: &FileIdentity) -> bool {
        *self == FileIdentity { seen: self.seen, ..other.clone() }
    }

    /// Whether a change after it was seen would show.
    pub(super) fn is_settled(&self) -> bool {
        self.ctime != (0, 0) && self.ctime.0.saturating_add(SETTLED) < self.seen.now
    }
}
