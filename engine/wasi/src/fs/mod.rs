//! Files and directories.
//!
//! `open` has `path_open`, `file` what is done with an open file, `dir` with an
//! open directory, `path` with names, `stat` and `times` with metadata.
//! Every function on names goes through cap-primitives, which does not leave
//! the directory it starts from.

mod dir;
mod file;
mod open;
mod path;
mod stat;
mod times;

#[cfg(test)]
mod tests;

use crate::perms::{DirPerms, FilePerms};
use crate::types::{Errno, LOOKUP_SYMLINK_FOLLOW, fdflags};
use cap_primitives::fs::FollowSymlinks;
use rustix::fs::OFlags;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A file that the guest opened. Its position is the host descriptor's.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) file: File,
    /// The guest asked for, and may use, reading.
    pub(crate) readable: bool,
    /// The guest asked for, and may use, writing.
    pub(crate) writable: bool,
    /// What the directory it came from allows.
    pub(crate) perms: FilePerms,
    /// `fdflags`, as set on the host's descriptor.
    pub(crate) flags: u32,
}

/// A directory that the guest was given or opened.
#[derive(Debug)]
pub(crate) struct OpenDir {
    pub(crate) dir: File,
    pub(crate) dir_perms: DirPerms,
    pub(crate) file_perms: FilePerms,
    /// The name it was given under, if it was given.
    pub(crate) preopen: Option<String>,
}

impl OpenDir {
    /// Opens a directory of the host, by any path.
    pub(crate) fn preopen(path: &Path) -> io::Result<File> {
        let open = |flags: OFlags| {
            let flags = (OFlags::DIRECTORY | flags).bits().cast_signed();
            File::options().read(true).custom_flags(flags).open(path)
        };
        match open(OFlags::empty()) {
            // One that cannot be listed can still be passed through.
            Err(err) if err.kind() == io::ErrorKind::PermissionDenied => open(OFlags::PATH),
            other => other,
        }
    }

    /// `PERM` unless the directory may be looked into.
    fn readable(&self) -> Result<&File, Errno> {
        if self.dir_perms.contains(DirPerms::READ) { Ok(&self.dir) } else { Err(Errno::PERM) }
    }

    /// `PERM` unless names in the directory may be changed.
    fn mutable(&self) -> Result<&File, Errno> {
        if self.dir_perms.contains(DirPerms::MUTATE) { Ok(&self.dir) } else { Err(Errno::PERM) }
    }

    /// `PERM` if a file that moves or is linked from here to `to` could then
    /// be used in ways that it cannot here.
    fn may_go_to(&self, to: &Self) -> Result<(), Errno> {
        if self.file_perms.contains(to.file_perms) && self.dir_perms.contains(to.dir_perms) {
            Ok(())
        } else {
            Err(Errno::PERM)
        }
    }
}

/// The host's flags for those of `fdflags` that are set on a descriptor.
fn host_flags(flags: u32) -> OFlags {
    let mut host = OFlags::empty();
    host.set(OFlags::APPEND, flags & fdflags::APPEND != 0);
    host.set(OFlags::NONBLOCK, flags & fdflags::NONBLOCK != 0);
    if flags & fdflags::DSYNC != 0 {
        host |= OFlags::DSYNC;
    }
    if flags & (fdflags::SYNC | fdflags::RSYNC) != 0 {
        host |= OFlags::SYNC;
    }
    host
}

/// Reads `lookupflags`.
fn follow(lookup: u32) -> Result<FollowSymlinks, Errno> {
    Ok(match crate::types::flags(lookup, LOOKUP_SYMLINK_FOLLOW)? {
        0 => FollowSymlinks::No,
        _ => FollowSymlinks::Yes,
    })
}
