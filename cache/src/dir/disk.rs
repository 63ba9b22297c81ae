//! Every operation on files, in one place, so that a test can make each of them fail.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::{self, AtFlags, Dir, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT};
use rustix::path::Arg;

use crate::memo::FileIdentity;
use crate::stats::Counter;

/// A kind of operation on files, as the faulty disk of `testing` tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(
    not(feature = "testing"),
    expect(unreachable_pub, reason = "public with the feature `testing` only")
)]
pub enum Operation {
    /// Creating a directory.
    MakeDir,
    /// Opening a directory.
    OpenDir,
    /// Opening an existing file.
    Open,
    /// Creating a file.
    Create,
    /// Reading the attributes of something open.
    Stat,
    /// Reading from a file.
    Read,
    /// Writing to a file; one for each piece.
    Write,
    /// Setting permission bits.
    SetMode,
    /// Making a file or directory durable.
    Sync,
    /// Moving a file to its name.
    Rename,
    /// Removing a file or directory.
    Remove,
    /// Listing a directory.
    List,
    /// Locking a file.
    Lock,
    /// Setting the time of last use.
    Touch,
    /// Asking how much of the disk is free.
    Free,
}

/// When an operation is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Before,
    /// Only of those that change names.
    After,
}

/// Called before each operation, and after those that change names; an error is what the operation
/// then fails with, though in the second case it is done: so it is over a network where an answer
/// was lost.
pub(crate) type Watch = Arc<dyn Fn(Operation, Moment) -> io::Result<()> + Send + Sync>;

/// The operations. All of them are relative to an open directory, take a name without a slash, and
/// follow no symbolic link.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    pub(crate) watch: Option<Watch>,
    passed_over: Arc<Counter>,
}

// A directory on the way is only looked at, which needs no permission to list it.
#[cfg(target_os = "linux")]
const LOOK: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const LOOK: OFlags = OFlags::RDONLY;

impl Disk {
    /// The same operations, with a count of failures of their own.
    pub(crate) fn anew(&self) -> Disk {
        Disk { watch: self.watch.clone(), passed_over: Arc::default() }
    }

    /// The result of what nobody waits for, and what works without: that it failed is counted.
    pub(crate) fn pass_over<T, E>(&self, result: Result<T, E>) -> Option<T> {
        result.inspect_err(|_| self.passed_over.one()).ok()
    }

    /// As [`pass_over`](Disk::pass_over), of a removal: what is gone already needs none, and what
    /// somebody has put into a folder meanwhile keeps it.
    pub(crate) fn pass_over_removal(&self, result: io::Result<()>) {
        use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty, NotFound};
        match result {
            Err(error) if matches!(error.kind(), AlreadyExists | DirectoryNotEmpty | NotFound) => {}
            result => _ = self.pass_over(result),
        }
    }

    /// How many failures were passed over.
    pub(crate) fn passed_over(&self) -> u64 {
        self.passed_over.get()
    }

    fn before(&self, operation: Operation) -> io::Result<()> {
        match &self.watch {
            Some(watch) => watch(operation, Moment::Before),
            None => Ok(()),
        }
    }

    fn after(&self, operation: Operation) -> io::Result<()> {
        match &self.watch {
            Some(watch) => watch(operation, Moment::After),
            None => Ok(()),
        }
    }

    /// The directory that a walk starts from, by its path.
    pub(crate) fn start(&self, path: &Path) -> io::Result<OwnedFd> {
        self.before(Operation::OpenDir)?;
        let flags = LOOK | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(fs::open(path, flags, Mode::empty())?)
    }

    /// A directory on the way to another one.
    pub(crate) fn look(&self, dir: BorrowedFd<'_>, name: &Path) -> io::Result<OwnedFd> {
        self.before(Operation::OpenDir)?;
        let flags = LOOK | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(fs::openat(dir, name, flags, Mode::empty())?)
    }

    /// A directory to work in. `.` reopens the one that is given.
    pub(crate) fn open_dir(&self, dir: BorrowedFd<'_>, name: impl Arg) -> io::Result<OwnedFd> {
        self.before(Operation::OpenDir)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(fs::openat(dir, name, flags, Mode::empty())?)
    }

    /// An existing file to read. What is opened may be anything: without blocking, so that a FIFO
    /// is not waited for; without becoming a controlling terminal.
    pub(crate) fn open(&self, dir: BorrowedFd<'_>, name: &str) -> io::Result<File> {
        self.before(Operation::Open)?;
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(fs::openat(dir, name, flags, Mode::empty())?.into())
    }

    /// As [`open`](Disk::open), for those who look and do not use: the time of last use stays as it
    /// is, where that is permitted.
    pub(crate) fn open_quietly(&self, dir: BorrowedFd<'_>, name: &str) -> io::Result<File> {
        #[cfg(target_os = "linux")]
        {
            self.before(Operation::Open)?;
            let flags = OFlags::RDONLY
                | OFlags::NOFOLLOW
                | OFlags::NONBLOCK
                | OFlags::NOCTTY
                | OFlags::CLOEXEC
                | OFlags::NOATIME;
            match fs::openat(dir, name, flags, Mode::empty()) {
                // It is somebody else's.
                Err(rustix::io::Errno::PERM) => {}
                opened => return Ok(opened?.into()),
            }
        }
        self.open(dir, name)
    }

    /// A new file to write; it is an error when the name is taken.
    pub(crate) fn create(&self, dir: BorrowedFd<'_>, name: &str) -> io::Result<File> {
        self.before(Operation::Create)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR)?;
        self.after(Operation::Create)?;
        Ok(file.into())
    }

    /// An existing file to change in place.
    pub(crate) fn open_to_change(&self, dir: BorrowedFd<'_>, name: &str) -> io::Result<File> {
        self.before(Operation::Open)?;
        let flags =
            OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(fs::openat(dir, name, flags, Mode::empty())?.into())
    }

    /// Asked before a file in memory is created, which the caller does.
    pub(crate) fn before_copy(&self) -> io::Result<()> {
        self.before(Operation::Create)
    }

    /// A file to lock or to change in place, new or not.
    pub(crate) fn open_lock(&self, dir: BorrowedFd<'_>, name: &str) -> io::Result<File> {
        self.before(Operation::Create)?;
        let flags = OFlags::RDWR
            | OFlags::CREATE
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::NOCTTY
            | OFlags::CLOEXEC;
        Ok(fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    pub(crate) fn stat(&self, fd: BorrowedFd<'_>) -> io::Result<Stat> {
        self.before(Operation::Stat)?;
        Ok(fs::fstat(fd)?)
    }

    /// What tells a file from others; `None` where that cannot be told.
    pub(crate) fn identify(&self, file: &File) -> io::Result<Option<FileIdentity>> {
        self.before(Operation::Stat)?;
        FileIdentity::of(file)
    }

    /// The attributes of what has a name, without following a link.
    pub(crate) fn stat_at(&self, dir: BorrowedFd<'_>, name: &str) -> io::Result<Stat> {
        self.before(Operation::Stat)?;
        Ok(fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    pub(crate) fn make_dir(
        &self,
        dir: BorrowedFd<'_>,
        name: impl Arg,
        mode: Mode,
    ) -> io::Result<()> {
        self.before(Operation::MakeDir)?;
        fs::mkdirat(dir, name, mode)?;
        self.after(Operation::MakeDir)
    }

    /// Reads as many bytes as there are, up to the length of the buffer.
    pub(crate) fn read_at(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.before(Operation::Read)?;
        let mut count = 0;
        while count < buffer.len() {
            match file.read_at(&mut buffer[count..], offset + count as u64) {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    pub(crate) fn write(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        self.before(Operation::Write)?;
        file.write_all(bytes)
    }

    /// Writes bytes over those at a place of a file.
    pub(crate) fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.before(Operation::Write)?;
        file.write_all_at(bytes, offset)
    }

    pub(crate) fn set_mode(&self, fd: BorrowedFd<'_>, mode: Mode) -> io::Result<()> {
        self.before(Operation::SetMode)?;
        Ok(fs::fchmod(fd, mode)?)
    }

    /// Sets the time of last access of an open file, and no other.
    pub(crate) fn set_used(&self, file: &File, now: SystemTime) -> io::Result<()> {
        self.before(Operation::Touch)?;
        let since = now.duration_since(SystemTime::UNIX_EPOCH).map_err(io::Error::other)?;
        let seconds = i64::try_from(since.as_secs()).map_err(io::Error::other)?;
        let times = Timestamps {
            last_access: Timespec { tv_sec: seconds, tv_nsec: since.subsec_nanos().into() },
            last_modification: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        };
        Ok(fs::futimens(file, &times)?)
    }

    /// The bytes that this user may still write to the file system of a directory.
    pub(crate) fn free(&self, dir: BorrowedFd<'_>) -> io::Result<u64> {
        self.before(Operation::Free)?;
        let stat = fs::fstatvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    pub(crate) fn sync(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.before(Operation::Sync)?;
        Ok(fs::fsync(fd)?)
    }

    pub(crate) fn rename(
        &self,
        from: (BorrowedFd<'_>, &str),
        to: (BorrowedFd<'_>, &str),
    ) -> io::Result<()> {
        self.before(Operation::Rename)?;
        fs::renameat(from.0, from.1, to.0, to.1)?;
        self.after(Operation::Rename)
    }

    pub(crate) fn remove(&self, dir: BorrowedFd<'_>, name: &str) -> io::Result<()> {
        self.before(Operation::Remove)?;
        fs::unlinkat(dir, name, AtFlags::empty())?;
        self.after(Operation::Remove)
    }

    pub(crate) fn remove_dir(&self, dir: BorrowedFd<'_>, name: &str) -> io::Result<()> {
        self.before(Operation::Remove)?;
        fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?;
        self.after(Operation::Remove)
    }

    /// The names in a directory, without `.` and `..`, at most `limit` of them.
    pub(crate) fn list(&self, dir: BorrowedFd<'_>, limit: usize) -> io::Result<Vec<Vec<u8>>> {
        self.before(Operation::List)?;
        let mut names = Vec::new();
        for entry in Dir::read_from(dir)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                if names.len() == limit {
                    break;
                }
                names.push(name.to_vec());
            }
        }
        Ok(names)
    }

    /// Locks a file for this descriptor alone; `false` when somebody else has it.
    pub(crate) fn try_lock(&self, file: &File) -> io::Result<bool> {
        self.before(Operation::Lock)?;
        match file.try_lock() {
            Ok(()) => Ok(true),
            Err(std::fs::TryLockError::WouldBlock) => Ok(false),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("watched", &self.watch.is_some()).finish()
    }
}
