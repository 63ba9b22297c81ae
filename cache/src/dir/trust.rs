//! The trust rule: who may have written what is read here.
//!
//! A directory is trusted when nobody but root and the effective user can write to it, nor put
//! another one in its place. So each component of its resolved path, the root of the file system and
//! the directory itself included, must
//!
//! 1. be owned by root or the effective user, and
//! 2. not be writable for group or world,
//!
//! with one exception to 2: an *ancestor* with the sticky bit, such as `/tmp`, where only the owner
//! of a thing can rename or remove it. What is below it is owned by one of the two, by rule 1.
//!
//! Entries and the folders of groups follow rules 1 and 2, without the exception.
//!
//! Access lists count without being read: when a file has a POSIX access list, the group bits of its
//! mode are the list's mask, the most that any named user or group can be granted. A list that lets
//! somebody write therefore shows as a group-writable mode; one that is masked out grants nothing.
//! (Access lists of NFSv4 do not show in the mode on every server: who exports a cache over NFS
//! decides there who writes to it.)

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, Stat};
use rustix::io::Errno;

use super::disk::Disk;
use crate::error::{Distrust, Error, ErrorKind, Result};

/// Whom to trust.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trust {
    /// Root and this effective user.
    Rule { user: u32 },
    /// Anybody: the caller vouched for them.
    Anyone,
    /// Anybody: what is read is used with a signature only.
    Signatures,
}

impl Trust {
    /// Root and the effective user of this process.
    pub(super) fn rule() -> Trust {
        Trust::Rule { user: rustix::process::geteuid().as_raw() }
    }

    /// Checks something that others must not be able to write to.
    pub(super) fn check(self, stat: &Stat, path: impl FnOnce() -> PathBuf) -> Result<()> {
        match self.breach(stat, false) {
            None => Ok(()),
            Some(reason) => Err(ErrorKind::Untrusted { path: path(), reason }.into()),
        }
    }

    fn breach(self, stat: &Stat, is_ancestor: bool) -> Option<Distrust> {
        let Trust::Rule { user } = self else { return None };
        if stat.st_uid != 0 && stat.st_uid != user {
            return Some(Distrust::Owner { uid: stat.st_uid });
        }
        let mode = Mode::from_raw_mode(stat.st_mode);
        let others_write = mode.intersects(Mode::WGRP | Mode::WOTH);
        let excepted = is_ancestor && mode.contains(Mode::SVTX);
        // A mode has 12 permission bits, however wide the platform stores it.
        #[cfg_attr(
            target_os = "linux",
            expect(clippy::unnecessary_cast, reason = "other systems store a mode in 16 bits")
        )]
        let bits = || mode.as_raw_mode() as u32 & 0o7777;
        (others_write && !excepted).then(|| Distrust::Writable { mode: bits() })
    }

    /// Opens `path`, which must be absolute and free of symbolic links, component by component from
    /// the root of the file system, and checks each of them on its open descriptor: what is checked
    /// is what is used. The first breach comes back beside the descriptor.
    pub(super) fn walk(self, disk: &Disk, path: &Path) -> Result<(OwnedFd, Option<Error>)> {
        let failed = |component: &Path, error: io::Error| match Errno::from_io_error(&error) {
            // A link or a file appeared since the path was resolved.
            Some(Errno::NOTDIR | Errno::LOOP) => {
                ErrorKind::NotADirectory { path: component.to_path_buf() }.into()
            }
            Some(Errno::NOENT) => ErrorKind::Missing { path: path.to_path_buf() }.into(),
            _ => Error::io("open the directory", Some(component), error),
        };
        let names: Vec<&Path> = path
            .components()
            .filter_map(|component| match component {
                Component::Normal(name) => Some(Path::new(name)),
                _ => None,
            })
            .collect();
        let mut here = PathBuf::from("/");
        let mut fd = disk.start(&here).map_err(|error| failed(&here, error))?;
        let mut breach = None;
        for step in 0..=names.len() {
            if breach.is_none() {
                let stat = disk.stat(fd.as_fd()).map_err(|error| failed(&here, error))?;
                breach = self
                    .breach(&stat, step < names.len())
                    .map(|reason| Error::from(ErrorKind::Untrusted { path: here.clone(), reason }));
            }
            if let Some(name) = names.get(step) {
                here.push(name);
                fd = disk.look(fd.as_fd(), name).map_err(|error| failed(&here, error))?;
            }
        }
        // The walk only looked; working in the directory needs a descriptor that can list it.
        let fd = disk.open_dir(fd.as_fd(), ".").map_err(|error| failed(path, error))?;
        Ok((fd, breach))
    }
}
