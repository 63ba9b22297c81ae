//! `fdstat` and `filestat`: what is told about files.

use super::follow;
use crate::ctx::WasiCtx;
use crate::memory::GuestMemory;
use crate::perms::FilePerms;
use crate::table::Descriptor;
use crate::types::{Errno, Record, fdstat, filestat, filetype, rights};
use cap_primitives::fs::{FileType, FileTypeExt, FollowSymlinks, Metadata, MetadataExt};
use std::path::Path;

fn file_type(host: FileType) -> u8 {
    if host.is_file() {
        filetype::REGULAR_FILE
    } else if host.is_dir() {
        filetype::DIRECTORY
    } else if host.is_symlink() {
        filetype::SYMBOLIC_LINK
    } else if host.is_char_device() {
        filetype::CHARACTER_DEVICE
    } else if host.is_block_device() {
        filetype::BLOCK_DEVICE
    } else if host.is_socket() {
        filetype::SOCKET_STREAM
    } else {
        filetype::UNKNOWN
    }
}

/// Nanoseconds since 1970; what lies before is 1970.
fn timestamp(seconds: i64, nanos: i64) -> u64 {
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    u64::try_from(total.max(0)).unwrap_or(u64::MAX)
}

fn put_filestat(out: &mut [u8], meta: &Metadata) {
    out.set_u64(filestat::DEV, meta.dev());
    out.set_u64(filestat::INO, meta.ino());
    out.set_u8(filestat::FILETYPE, file_type(meta.file_type()));
    out.set_u64(filestat::NLINK, meta.nlink());
    out.set_u64(filestat::LEN, meta.size());
    out.set_u64(filestat::ATIM, timestamp(meta.atime(), meta.atime_nsec()));
    out.set_u64(filestat::MTIM, timestamp(meta.mtime(), meta.mtime_nsec()));
    out.set_u64(filestat::CTIM, timestamp(meta.ctime(), meta.ctime_nsec()));
}

/// A standard stream is a terminal or nothing in particular. The difference
/// is what a guest's `isatty` looks at, together with the rights to seek.
fn stream_type(is_terminal: bool) -> u8 {
    if is_terminal { filetype::CHARACTER_DEVICE } else { filetype::UNKNOWN }
}

impl WasiCtx {
    pub(crate) fn fd_fdstat_get(
        &mut self,
        mem: &mut GuestMemory<'_>,
        fd: u32,
        stat: u32,
    ) -> Result<(), Errno> {
        let out = mem.slot(stat, fdstat::SIZE, fdstat::ALIGN)?;
        let (kind, flags, base, inheriting) = match self.table.get(fd)? {
            Descriptor::Dir(_) => {
                (filetype::DIRECTORY, 0, rights::DIRECTORY_BASE, rights::DIRECTORY_INHERITING)
            }
            Descriptor::File(open) => {
                let kind = file_type(Metadata::from_file(&open.file)?.file_type());
                let mut base = rights::FILE;
                if open.readable {
                    base |= rights::FD_READ;
                }
                if open.writable {
                    base |= rights::FILE_WRITE;
                }
                if !open.perms.contains(FilePerms::WRITE) {
                    base &= !rights::FD_FILESTAT_SET_TIMES;
                }
                (kind, open.flags, base, 0)
            }
            Descriptor::Input(stream) => {
                let base = rights::FD_READ | rights::FD_FILESTAT_GET | rights::POLL_FD_READWRITE;
                (stream_type(stream.is_terminal()), 0, base, 0)
            }
            Descriptor::Output(stream) => {
                let base = rights::FD_WRITE | rights::FD_FILESTAT_GET | rights::POLL_FD_READWRITE;
                (stream_type(stream.is_terminal()), 0, base, 0)
            }
        };
        let out = mem.record(out);
        out.set_u8(fdstat::FILETYPE, kind);
        out.set_u16(fdstat::FLAGS, flags as u16);
        out.set_u64(fdstat::RIGHTS_BASE, base);
        out.set_u64(fdstat::RIGHTS_INHERITING, inheriting);
        Ok(())
    }

    pub(crate) fn fd_filestat_get(
        &mut self,
        mem: &mut GuestMemory<'_>,
        fd: u32,
        stat: u32,
    ) -> Result<(), Errno> {
        let out = mem.slot(stat, filestat::SIZE, filestat::ALIGN)?;
        // Of the host's streams a guest learns the kind only.
        let kind = match self.table.get(fd)? {
            Descriptor::File(open) => {
                put_filestat(mem.record(out), &Metadata::from_file(&open.file)?);
                return Ok(());
            }
            Descriptor::Dir(dir) => {
                put_filestat(mem.record(out), &Metadata::from_file(&dir.dir)?);
                return Ok(());
            }
            Descriptor::Input(stream) => stream_type(stream.is_terminal()),
            Descriptor::Output(stream) => stream_type(stream.is_terminal()),
        };
        mem.record(out).set_u8(filestat::FILETYPE, kind);
        Ok(())
    }

    pub(crate) fn path_filestat_get(
        &mut self,
        mem: &mut GuestMemory<'_>,
        fd: u32,
        lookup: u32,
        path: u32,
        len: u32,
        stat: u32,
    ) -> Result<(), Errno> {
        let out = mem.slot(stat, filestat::SIZE, filestat::ALIGN)?;
        let mut follow = follow(lookup)?;
        let dir = self.table.dir(fd)?.readable()?;
        let path = mem.str(path, len)?;
        if path.ends_with('/') {
            // It names what a directory is, be it behind a link.
            follow = FollowSymlinks::Yes;
        }
        let meta = cap_primitives::fs::stat(dir, Path::new(path), follow)?;
        put_filestat(mem.record(out), &meta);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::timestamp;

    #[test]
    fn times_saturate() {
        assert_eq!(timestamp(1, 5), 1_000_000_005);
        assert_eq!(timestamp(-1, 999_999_999), 0);
        assert_eq!(timestamp(i64::MAX, 0), u64::MAX);
    }
}
