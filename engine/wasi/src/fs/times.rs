//! Changing a file's times.

use super::follow;
use crate::ctx::WasiCtx;
use crate::memory::GuestMemory;
use crate::perms::{DirPerms, FilePerms};
use crate::table::Descriptor;
use crate::types::{Errno, flags, fstflags};
use cap_primitives::fs::{FollowSymlinks, SystemTimeSpec, set_times, set_times_nofollow};
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, futimens};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// What becomes of one of the times.
#[derive(Clone, Copy)]
enum Time {
    Keep,
    Now,
    /// Nanoseconds since 1970.
    At(u64),
}

impl Time {
    fn new(at: u64, set: bool, now: bool) -> Result<Self, Errno> {
        match (set, now) {
            (true, true) => Err(Errno::INVAL),
            (true, false) => Ok(Self::At(at)),
            (false, true) => Ok(Self::Now),
            (false, false) => Ok(Self::Keep),
        }
    }

    fn timespec(self) -> Timespec {
        let (tv_sec, tv_nsec) = match self {
            Self::Keep => (0, UTIME_OMIT),
            Self::Now => (0, UTIME_NOW),
            // An `u64` of nanoseconds is 584 years: the seconds fit.
            Self::At(at) => ((at / 1_000_000_000).cast_signed(), (at % 1_000_000_000) as _),
        };
        Timespec { tv_sec, tv_nsec }
    }

    fn spec(self) -> Result<Option<SystemTimeSpec>, Errno> {
        match self {
            Self::Keep => Ok(None),
            Self::Now => Ok(Some(SystemTimeSpec::SymbolicNow)),
            Self::At(at) => {
                let time =
                    UNIX_EPOCH.checked_add(Duration::from_nanos(at)).ok_or(Errno::OVERFLOW)?;
                let time = cap_primitives::time::SystemTime::from_std(time);
                Ok(Some(SystemTimeSpec::Absolute(time)))
            }
        }
    }
}

/// Access and modification.
fn times(atim: u64, mtim: u64, set: u32) -> Result<(Time, Time), Errno> {
    let set = flags(set, fstflags::ALL)?;
    let has = |flag: u32| set & flag != 0;
    Ok((
        Time::new(atim, has(fstflags::ATIM), has(fstflags::ATIM_NOW))?,
        Time::new(mtim, has(fstflags::MTIM), has(fstflags::MTIM_NOW))?,
    ))
}

impl WasiCtx {
    pub(crate) fn fd_filestat_set_times(
        &mut self,
        _mem: &mut GuestMemory<'_>,
        fd: u32,
        atim: u64,
        mtim: u64,
        set: u32,
    ) -> Result<(), Errno> {
        let (atime, mtime) = times(atim, mtim, set)?;
        let file = match self.table.get(fd)? {
            Descriptor::File(open) if open.perms.contains(FilePerms::WRITE) => &open.file,
            Descriptor::Dir(dir) if dir.dir_perms.contains(DirPerms::MUTATE) => &dir.dir,
            Descriptor::File(_) | Descriptor::Dir(_) => return Err(Errno::PERM),
            Descriptor::Input(_) | Descriptor::Output(_) => return Err(Errno::BADF),
        };
        let times =
            Timestamps { last_access: atime.timespec(), last_modification: mtime.timespec() };
        Ok(futimens(file, &times)?)
    }

    pub(crate) fn path_filestat_set_times(
        &mut self,
        mem: &mut GuestMemory<'_>,
        fd: u32,
        lookup: u32,
        path: u32,
        len: u32,
        atim: u64,
        mtim: u64,
        set: u32,
    ) -> Result<(), Errno> {
        let (atime, mtime) = times(atim, mtim, set)?;
        let follow = follow(lookup)?;
        let open = self.table.dir(fd)?;
        let dir = open.mutable()?;
        // Whether the name is a file's is not known here: both must be allowed.
        if !open.file_perms.contains(FilePerms::WRITE) {
            return Err(Errno::PERM);
        }
        let path = Path::new(mem.str(path, len)?);
        let set = match follow {
            FollowSymlinks::Yes => set_times,
            FollowSymlinks::No => set_times_nofollow,
        };
        Ok(set(dir, path, atime.spec()?, mtime.spec()?)?)
    }
}
