//! The file functions on a byte buffer and a temporary directory.

mod content;
mod listing;
mod sandbox;

use crate::memory::{GuestMemory, get_u32, get_u64};
use crate::types::{Errno, filestat, oflags, rights};
use crate::{DirPerms, FilePerms, WasiCtx};
use tempfile::TempDir;

/// The first preopened directory.
const ROOT: u32 = 3;

const READ: u64 = rights::FD_READ;
const WRITE: u64 = rights::FD_READ | rights::FD_WRITE;
const CREAT: u32 = oflags::CREAT;

/// Where a guest keeps things in its memory.
const OUT: u32 = 0;
const STAT: u32 = 64;
const IOVS: u32 = 256;
const PATH: u32 = 1024;
const OTHER: u32 = 2048;
const DATA: u32 = 4096;
const SIZE: u32 = 1 << 16;

/// A guest with a directory of its own.
struct Guest {
    dir: TempDir,
    ctx: WasiCtx,
    bytes: Vec<u8>,
}

type Call = Result<(), Errno>;

impl Guest {
    fn new() -> Self {
        Self::with(DirPerms::all(), FilePerms::all())
    }

    fn with(dir_perms: DirPerms, file_perms: FilePerms) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut builder = WasiCtx::builder();
        builder.preopened_dir(dir.path(), "/", dir_perms, file_perms).unwrap();
        Self { ctx: builder.build(), dir, bytes: vec![0; SIZE as usize] }
    }

    /// Runs `f` on the context and the memory.
    fn run(&mut self, f: impl FnOnce(&mut WasiCtx, &mut GuestMemory<'_>) -> Call) -> Call {
        f(&mut self.ctx, &mut GuestMemory::new(&mut self.bytes))
    }

    fn put(&mut self, at: u32, bytes: &[u8]) -> u32 {
        self.bytes[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
        bytes.len() as u32
    }

    fn at(
        &mut self,
        path: &str,
        f: impl FnOnce(&mut WasiCtx, &mut GuestMemory<'_>, u32) -> Call,
    ) -> Call {
        let len = self.put(PATH, path.as_bytes());
        self.run(|ctx, mem| f(ctx, mem, len))
    }

    fn open(&mut self, fd: u32, path: &str, oflags: u32, base: u64) -> Result<u32, Errno> {
        self.open_with(fd, 1, path, oflags, base, 0)
    }

    fn open_with(
        &mut self,
        fd: u32,
        lookup: u32,
        path: &str,
        oflags: u32,
        base: u64,
        fdflags: u32,
    ) -> Result<u32, Errno> {
        self.at(path, |ctx, mem, len| {
            ctx.path_open(mem, fd, lookup, PATH, len, oflags, base, 0, fdflags, OUT)
        })?;
        Ok(get_u32(&self.bytes, OUT as usize))
    }

    fn iov(&mut self, buf: u32, len: u32) {
        self.put(IOVS, &buf.to_le_bytes());
        self.put(IOVS + 4, &len.to_le_bytes());
    }

    fn write(&mut self, fd: u32, data: &[u8]) -> Result<u32, Errno> {
        let len = self.put(DATA, data);
        self.iov(DATA, len);
        self.run(|ctx, mem| ctx.fd_write(mem, fd, IOVS, 1, OUT))?;
        Ok(get_u32(&self.bytes, OUT as usize))
    }

    fn read(&mut self, fd: u32, len: u32) -> Result<Vec<u8>, Errno> {
        self.iov(DATA, len);
        self.run(|ctx, mem| ctx.fd_read(mem, fd, IOVS, 1, OUT))?;
        let n = get_u32(&self.bytes, OUT as usize);
        Ok(self.bytes[DATA as usize..(DATA + n) as usize].to_vec())
    }

    fn seek(&mut self, fd: u32, offset: i64, whence: u32) -> Result<u64, Errno> {
        self.run(|ctx, mem| ctx.fd_seek(mem, fd, offset, whence, OUT))?;
        Ok(get_u64(&self.bytes, OUT as usize))
    }

    fn close(&mut self, fd: u32) -> Call {
        self.run(|ctx, mem| ctx.fd_close(mem, fd))
    }

    fn mkdir(&mut self, path: &str) -> Call {
        self.at(path, |ctx, mem, len| ctx.path_create_directory(mem, ROOT, PATH, len))
    }

    fn rmdir(&mut self, path: &str) -> Call {
        self.at(path, |ctx, mem, len| ctx.path_remove_directory(mem, ROOT, PATH, len))
    }

    fn unlink(&mut self, path: &str) -> Call {
        self.at(path, |ctx, mem, len| ctx.path_unlink_file(mem, ROOT, PATH, len))
    }

    fn symlink(&mut self, target: &str, path: &str) -> Call {
        let target_len = self.put(OTHER, target.as_bytes());
        self.at(path, |ctx, mem, len| ctx.path_symlink(mem, OTHER, target_len, ROOT, PATH, len))
    }

    fn rename(&mut self, from: u32, old: &str, to: u32, new: &str) -> Call {
        let new_len = self.put(OTHER, new.as_bytes());
        self.at(old, |ctx, mem, len| ctx.path_rename(mem, from, PATH, len, to, OTHER, new_len))
    }

    fn link(&mut self, from: u32, old: &str, to: u32, new: &str) -> Call {
        let new_len = self.put(OTHER, new.as_bytes());
        self.at(old, |ctx, mem, len| ctx.path_link(mem, from, 0, PATH, len, to, OTHER, new_len))
    }

    fn readlink(&mut self, path: &str, room: u32) -> Result<Vec<u8>, Errno> {
        self.at(path, |ctx, mem, len| ctx.path_readlink(mem, ROOT, PATH, len, DATA, room, OUT))?;
        let n = get_u32(&self.bytes, OUT as usize);
        Ok(self.bytes[DATA as usize..(DATA + n) as usize].to_vec())
    }

    /// Type and size.
    fn stat(&mut self, path: &str, lookup: u32) -> Result<(u8, u64), Errno> {
        self.at(path, |ctx, mem, len| ctx.path_filestat_get(mem, ROOT, lookup, PATH, len, STAT))?;
        let stat = &self.bytes[STAT as usize..];
        Ok((stat[filestat::FILETYPE], get_u64(stat, filestat::LEN)))
    }

    fn set_mtime(&mut self, path: &str, mtime: u64) -> Call {
        self.at(path, |ctx, mem, len| {
            ctx.path_filestat_set_times(mem, ROOT, 1, PATH, len, 0, mtime, 4)
        })
    }
}
