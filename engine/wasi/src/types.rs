//! The numbers of preview 1: error codes, rights, flags and the byte layout of
//! every record that crosses the boundary.
//!
//! A record is described by a module of byte offsets, its size and its
//! alignment. All fields are little-endian. Nothing here depends on the layout
//! of a host type.

use std::fmt;
use std::io;

/// A preview 1 error code, `errno` in the standard's words.
///
/// Host functions return it to the guest as their `i32` result; 0 is success.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Errno(u16);

macro_rules! errnos {
    ($($name:ident = $value:literal, $text:literal;)*) => {
        impl Errno {
            $(#[doc = concat!($text, ".")] pub(crate) const $name: Self = Self($value);)*

            /// The code's name in the standard, in capitals.
            pub(crate) fn name(self) -> &'static str {
                match self.0 {
                    $($value => stringify!($name),)*
                    _ => "UNKNOWN",
                }
            }

            fn text(self) -> &'static str {
                match self.0 {
                    $($value => $text,)*
                    _ => "unknown error",
                }
            }
        }
    };
}

errnos! {
    SUCCESS = 0, "no error occurred";
    TOOBIG = 1, "argument list too long";
    ACCES = 2, "permission denied";
    ADDRINUSE = 3, "address in use";
    ADDRNOTAVAIL = 4, "address not available";
    AFNOSUPPORT = 5, "address family not supported";
    AGAIN = 6, "resource unavailable, or the operation would block";
    ALREADY = 7, "connection already in progress";
    BADF = 8, "bad file descriptor";
    BADMSG = 9, "bad message";
    BUSY = 10, "device or resource busy";
    CANCELED = 11, "operation canceled";
    CHILD = 12, "no child processes";
    CONNABORTED = 13, "connection aborted";
    CONNREFUSED = 14, "connection refused";
    CONNRESET = 15, "connection reset";
    DEADLK = 16, "resource deadlock would occur";
    DESTADDRREQ = 17, "destination address required";
    DOM = 18, "argument out of domain of function";
    DQUOT = 19, "quota exceeded";
    EXIST = 20, "file exists";
    FAULT = 21, "bad address";
    FBIG = 22, "file too large";
    HOSTUNREACH = 23, "host is unreachable";
    IDRM = 24, "identifier removed";
    ILSEQ = 25, "illegal byte sequence";
    INPROGRESS = 26, "operation in progress";
    INTR = 27, "interrupted function";
    INVAL = 28, "invalid argument";
    IO = 29, "input or output error";
    ISCONN = 30, "socket is connected";
    ISDIR = 31, "is a directory";
    LOOP = 32, "too many levels of symbolic links";
    MFILE = 33, "file descriptor table is full";
    MLINK = 34, "too many links";
    MSGSIZE = 35, "message too large";
    MULTIHOP = 36, "multihop attempted";
    NAMETOOLONG = 37, "file name too long";
    NETDOWN = 38, "network is down";
    NETRESET = 39, "connection aborted by network";
    NETUNREACH = 40, "network unreachable";
    NFILE = 41, "too many files open in system";
    NOBUFS = 42, "no buffer space available";
    NODEV = 43, "no such device";
    NOENT = 44, "no such file or directory";
    NOEXEC = 45, "executable file format error";
    NOLCK = 46, "no locks available";
    NOLINK = 47, "link has been severed";
    NOMEM = 48, "not enough space";
    NOMSG = 49, "no message of the desired type";
    NOPROTOOPT = 50, "protocol not available";
    NOSPC = 51, "no space left on device";
    NOSYS = 52, "function not supported";
    NOTCONN = 53, "the socket is not connected";
    NOTDIR = 54, "not a directory";
    NOTEMPTY = 55, "directory not empty";
    NOTRECOVERABLE = 56, "state not recoverable";
    NOTSOCK = 57, "not a socket";
    NOTSUP = 58, "not supported";
    NOTTY = 59, "inappropriate input or output control operation";
    NXIO = 60, "no such device or address";
    OVERFLOW = 61, "value too large to be stored in data type";
    OWNERDEAD = 62, "previous owner died";
    PERM = 63, "operation not permitted";
    PIPE = 64, "broken pipe";
    PROTO = 65, "protocol error";
    PROTONOSUPPORT = 66, "protocol not supported";
    PROTOTYPE = 67, "protocol wrong type for socket";
    RANGE = 68, "result too large";
    ROFS = 69, "read-only file system";
    SPIPE = 70, "invalid seek";
    SRCH = 71, "no such process";
    STALE = 72, "stale file handle";
    TIMEDOUT = 73, "connection timed out";
    TXTBSY = 74, "text file busy";
    XDEV = 75, "cross-device link";
    // 76, NOTCAPABLE, is never returned: rights are not kept apart.
}

impl Errno {
    /// The number the guest sees.
    pub(crate) fn raw(self) -> u16 {
        self.0
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text(), self.name())
    }
}

impl std::error::Error for Errno {}

/// The host's error numbers that have a counterpart of the same meaning: all of
/// preview 1's own, under the names that rustix gives them.
macro_rules! from_host {
    ($host:expr; $($name:ident)*; $($theirs:ident => $ours:ident)*) => {
        match $host {
            $(rustix::io::Errno::$name => Errno::$name,)*
            $(rustix::io::Errno::$theirs => Errno::$ours,)*
            _ => Errno::IO,
        }
    };
}

impl From<rustix::io::Errno> for Errno {
    fn from(host: rustix::io::Errno) -> Self {
        from_host! { host;
            ADDRINUSE ADDRNOTAVAIL AFNOSUPPORT AGAIN ALREADY BADF BADMSG BUSY CANCELED CHILD
            CONNABORTED CONNREFUSED CONNRESET DEADLK DESTADDRREQ DOM DQUOT EXIST FAULT FBIG
            HOSTUNREACH IDRM ILSEQ INPROGRESS INTR INVAL IO ISCONN ISDIR LOOP MFILE MLINK MSGSIZE
            MULTIHOP NAMETOOLONG NETDOWN NETRESET NETUNREACH NFILE NOBUFS NODEV NOENT NOEXEC NOLCK
            NOLINK NOMEM NOMSG NOPROTOOPT NOSPC NOSYS NOTCONN NOTDIR NOTEMPTY NOTRECOVERABLE
            NOTSOCK NOTSUP NOTTY NXIO OVERFLOW OWNERDEAD PERM PIPE PROTO PROTONOSUPPORT PROTOTYPE
            RANGE ROFS SPIPE SRCH STALE TIMEDOUT TXTBSY XDEV;
            TOOBIG => TOOBIG
            ACCESS => ACCES
        }
    }
}

impl From<io::Error> for Errno {
    /// An error with a host number is that number's counterpart. One without
    /// was made up on the way: cap-primitives reports an attempt to leave the
    /// sandbox as `PermissionDenied` with no number, which the guest sees as
    /// `PERM` (a refusal by the host's own permissions is `ACCES`).
    fn from(err: io::Error) -> Self {
        if let Some(host) = rustix::io::Errno::from_io_error(&err) {
            return host.into();
        }
        match err.kind() {
            io::ErrorKind::PermissionDenied => Self::PERM,
            io::ErrorKind::NotFound => Self::NOENT,
            io::ErrorKind::AlreadyExists => Self::EXIST,
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => Self::INVAL,
            io::ErrorKind::WouldBlock => Self::AGAIN,
            io::ErrorKind::Interrupted => Self::INTR,
            io::ErrorKind::BrokenPipe => Self::PIPE,
            io::ErrorKind::Unsupported => Self::NOTSUP,
            io::ErrorKind::OutOfMemory => Self::NOMEM,
            io::ErrorKind::NotADirectory => Self::NOTDIR,
            io::ErrorKind::IsADirectory => Self::ISDIR,
            _ => Self::IO,
        }
    }
}

/// `rights`: bits of an `u64`.
pub(crate) mod rights {
    pub(crate) const FD_DATASYNC: u64 = 1 << 0;
    pub(crate) const FD_READ: u64 = 1 << 1;
    pub(crate) const FD_SEEK: u64 = 1 << 2;
    pub(crate) const FD_FDSTAT_SET_FLAGS: u64 = 1 << 3;
    pub(crate) const FD_SYNC: u64 = 1 << 4;
    pub(crate) const FD_TELL: u64 = 1 << 5;
    pub(crate) const FD_WRITE: u64 = 1 << 6;
    pub(crate) const FD_ADVISE: u64 = 1 << 7;
    pub(crate) const FD_ALLOCATE: u64 = 1 << 8;
    pub(crate) const PATH_CREATE_DIRECTORY: u64 = 1 << 9;
    pub(crate) const PATH_CREATE_FILE: u64 = 1 << 10;
    pub(crate) const PATH_LINK_SOURCE: u64 = 1 << 11;
    pub(crate) const PATH_LINK_TARGET: u64 = 1 << 12;
    pub(crate) const PATH_OPEN: u64 = 1 << 13;
    pub(crate) const FD_READDIR: u64 = 1 << 14;
    pub(crate) const PATH_READLINK: u64 = 1 << 15;
    pub(crate) const PATH_RENAME_SOURCE: u64 = 1 << 16;
    pub(crate) const PATH_RENAME_TARGET: u64 = 1 << 17;
    pub(crate) const PATH_FILESTAT_GET: u64 = 1 << 18;
    pub(crate) const PATH_FILESTAT_SET_TIMES: u64 = 1 << 20;
    pub(crate) const FD_FILESTAT_GET: u64 = 1 << 21;
    pub(crate) const FD_FILESTAT_SET_SIZE: u64 = 1 << 22;
    pub(crate) const FD_FILESTAT_SET_TIMES: u64 = 1 << 23;
    pub(crate) const PATH_SYMLINK: u64 = 1 << 24;
    pub(crate) const PATH_REMOVE_DIRECTORY: u64 = 1 << 25;
    pub(crate) const PATH_UNLINK_FILE: u64 = 1 << 26;
    pub(crate) const POLL_FD_READWRITE: u64 = 1 << 27;

    /// Reported for every directory. Truncating through a path is not among
    /// them: it needs a file opened for writing.
    pub(crate) const DIRECTORY_BASE: u64 = PATH_CREATE_DIRECTORY
        | PATH_CREATE_FILE
        | PATH_LINK_SOURCE
        | PATH_LINK_TARGET
        | PATH_OPEN
        | FD_READDIR
        | PATH_READLINK
        | PATH_RENAME_SOURCE
        | PATH_RENAME_TARGET
        | PATH_SYMLINK
        | PATH_REMOVE_DIRECTORY
        | PATH_UNLINK_FILE
        | PATH_FILESTAT_GET
        | PATH_FILESTAT_SET_TIMES
        | FD_FILESTAT_GET
        | FD_FILESTAT_SET_TIMES;

    /// What a file opened in a directory may get. wasi-libc masks what it asks
    /// for with this, so it must name everything, whatever the preopen allows.
    pub(crate) const DIRECTORY_INHERITING: u64 = DIRECTORY_BASE
        | FD_DATASYNC
        | FD_READ
        | FD_SEEK
        | FD_FDSTAT_SET_FLAGS
        | FD_SYNC
        | FD_TELL
        | FD_WRITE
        | FD_ADVISE
        | FD_ALLOCATE
        | FD_FILESTAT_SET_SIZE
        | POLL_FD_READWRITE;

    /// Reported for every file.
    pub(crate) const FILE: u64 = FD_SEEK
        | FD_TELL
        | FD_FDSTAT_SET_FLAGS
        | FD_SYNC
        | FD_DATASYNC
        | FD_ADVISE
        | FD_FILESTAT_GET
        | FD_FILESTAT_SET_TIMES
        | POLL_FD_READWRITE;

    /// Besides, for a file that can be written.
    pub(crate) const FILE_WRITE: u64 = FD_WRITE | FD_ALLOCATE | FD_FILESTAT_SET_SIZE;

    /// Every bit that means something.
    pub(crate) const ALL: u64 = (1 << 30) - 1;
}

/// `filetype`: one byte.
pub(crate) mod filetype {
    pub(crate) const UNKNOWN: u8 = 0;
    pub(crate) const BLOCK_DEVICE: u8 = 1;
    pub(crate) const CHARACTER_DEVICE: u8 = 2;
    pub(crate) const DIRECTORY: u8 = 3;
    pub(crate) const REGULAR_FILE: u8 = 4;
    pub(crate) const SOCKET_STREAM: u8 = 6;
    pub(crate) const SYMBOLIC_LINK: u8 = 7;
}

/// `fdflags`: bits of an `u16`.
pub(crate) mod fdflags {
    pub(crate) const APPEND: u32 = 1 << 0;
    pub(crate) const DSYNC: u32 = 1 << 1;
    pub(crate) const NONBLOCK: u32 = 1 << 2;
    pub(crate) const RSYNC: u32 = 1 << 3;
    pub(crate) const SYNC: u32 = 1 << 4;
    pub(crate) const ALL: u32 = (1 << 5) - 1;
}

/// `oflags`: bits of an `u16`.
pub(crate) mod oflags {
    pub(crate) const CREAT: u32 = 1 << 0;
    pub(crate) const DIRECTORY: u32 = 1 << 1;
    pub(crate) const EXCL: u32 = 1 << 2;
    pub(crate) const TRUNC: u32 = 1 << 3;
    pub(crate) const ALL: u32 = (1 << 4) - 1;
}

/// `fstflags`: bits of an `u16`.
pub(crate) mod fstflags {
    pub(crate) const ATIM: u32 = 1 << 0;
    pub(crate) const ATIM_NOW: u32 = 1 << 1;
    pub(crate) const MTIM: u32 = 1 << 2;
    pub(crate) const MTIM_NOW: u32 = 1 << 3;
    pub(crate) const ALL: u32 = (1 << 4) - 1;
}

/// `lookupflags`: whether the last component may be a symbolic link to follow.
pub(crate) const LOOKUP_SYMLINK_FOLLOW: u32 = 1;

/// `iovec` and `ciovec`: a pointer and a length.
pub(crate) mod iovec {
    pub(crate) const SIZE: u32 = 8;
    pub(crate) const ALIGN: u32 = 4;
    pub(crate) const BUF: usize = 0;
    pub(crate) const BUF_LEN: usize = 4;
}

/// `fdstat`.
pub(crate) mod fdstat {
    pub(crate) const SIZE: u32 = 24;
    pub(crate) const ALIGN: u32 = 8;
    pub(crate) const FILETYPE: usize = 0;
    pub(crate) const FLAGS: usize = 2;
    pub(crate) const RIGHTS_BASE: usize = 8;
    pub(crate) const RIGHTS_INHERITING: usize = 16;
}

/// `filestat`: device, inode, type, links, size in bytes, three times in
/// nanoseconds since 1970.
pub(crate) mod filestat {
    pub(crate) const SIZE: u32 = 64;
    pub(crate) const ALIGN: u32 = 8;
    pub(crate) const DEV: usize = 0;
    pub(crate) const INO: usize = 8;
    pub(crate) const FILETYPE: usize = 16;
    pub(crate) const NLINK: usize = 24;
    pub(crate) const LEN: usize = 32;
    pub(crate) const ATIM: usize = 40;
    pub(crate) const MTIM: usize = 48;
    pub(crate) const CTIM: usize = 56;
}

/// `prestat`: a tag (0 is a directory) and the length of its name.
pub(crate) mod prestat {
    pub(crate) const SIZE: u32 = 8;
    pub(crate) const ALIGN: u32 = 4;
    pub(crate) const NAME_LEN: usize = 4;
}

/// `dirent`: the head of an entry, followed by the name without a NUL.
pub(crate) mod dirent {
    pub(crate) const SIZE: usize = 24;
    pub(crate) const NEXT: usize = 0;
    pub(crate) const INO: usize = 8;
    pub(crate) const NAMLEN: usize = 16;
    pub(crate) const TYPE: usize = 20;
}

/// `subscription`.
pub(crate) mod subscription {
    pub(crate) const SIZE: u32 = 48;
    pub(crate) const ALIGN: u32 = 8;
    pub(crate) const USERDATA: usize = 0;
    pub(crate) const TAG: usize = 8;
    pub(crate) const FD: usize = 16;
    pub(crate) const CLOCK_ID: usize = 16;
    pub(crate) const CLOCK_TIMEOUT: usize = 24;
    pub(crate) const CLOCK_FLAGS: usize = 40;
}

/// `event`.
pub(crate) mod event {
    pub(crate) const SIZE: u32 = 32;
    pub(crate) const ALIGN: u32 = 8;
    pub(crate) const USERDATA: usize = 0;
    pub(crate) const ERROR: usize = 8;
    pub(crate) const TYPE: usize = 10;
    pub(crate) const NBYTES: usize = 16;
    pub(crate) const FLAGS: usize = 24;
}

/// `eventtype`: the tag of a subscription and of an event.
pub(crate) mod eventtype {
    pub(crate) const CLOCK: u8 = 0;
    pub(crate) const FD_READ: u8 = 1;
    pub(crate) const FD_WRITE: u8 = 2;
}

/// Writes little-endian fields into a record's bytes.
pub(crate) trait Record {
    fn set_u8(&mut self, at: usize, value: u8);
    fn set_u16(&mut self, at: usize, value: u16);
    fn set_u32(&mut self, at: usize, value: u32);
    fn set_u64(&mut self, at: usize, value: u64);
}

impl Record for [u8] {
    fn set_u8(&mut self, at: usize, value: u8) {
        self[at] = value;
    }
    fn set_u16(&mut self, at: usize, value: u16) {
        self[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    fn set_u32(&mut self, at: usize, value: u32) {
        self[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    fn set_u64(&mut self, at: usize, value: u64) {
        self[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
}

/// Refuses bits that have no meaning, which the guest sees as `INVAL`.
pub(crate) fn flags(value: u32, known: u32) -> Result<u32, Errno> {
    if value & !known == 0 { Ok(value) } else { Err(Errno::INVAL) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_errors_map_to_their_counterparts() {
        for (host, ours) in [
            (rustix::io::Errno::TOOBIG, Errno::TOOBIG),
            (rustix::io::Errno::ACCESS, Errno::ACCES),
            (rustix::io::Errno::NOENT, Errno::NOENT),
            (rustix::io::Errno::WOULDBLOCK, Errno::AGAIN),
            (rustix::io::Errno::OPNOTSUPP, Errno::NOTSUP),
            (rustix::io::Errno::XDEV, Errno::XDEV),
        ] {
            assert_eq!(Errno::from(host), ours);
            assert_eq!(Errno::from(io::Error::from(host)), ours);
        }
        let escape = io::Error::new(io::ErrorKind::PermissionDenied, "out");
        assert_eq!(Errno::from(escape), Errno::PERM);
    }

    #[test]
    fn names_and_texts_agree() {
        assert_eq!(Errno::XDEV.raw(), 75);
        assert_eq!(format!("{:?}", Errno::BADF), "BADF");
        assert_eq!(Errno::BADF.to_string(), "bad file descriptor (BADF)");
    }
}
