//! What is done with names: create, remove, rename, link.

use super::follow;
use crate::ctx::WasiCtx;
use crate::memory::GuestMemory;
use crate::types::Errno;
use cap_primitives::fs::{self, DirOptions, FollowSymlinks};
use std::path::Path;

impl WasiCtx {
    pub(crate) fn path_create_directory(
        &mut self,
        mem: &mut GuestMemory<'_>,
        fd: u32,
        path: u32,
        len: u32,
    ) -> Result<(), Errno> {
        let dir = self.table.dir(fd)?;
        let path = Path::new(mem.str(path, len)?);
        Ok(fs::create_dir(dir.mutable()?, path, &DirOptions::new())?)
    }

    pub(crate) fn path_remove_directory(
        &mut self,
        mem: &mut GuestMemory<'_>,
        fd: u32,
        path: u32,
        len: u32,
    ) -> Result<(), Errno> {
        let dir = self.table.dir(fd)?;
        let path = mem.str(path, len)?;
        // A trailing slash says nothing new here, but `rmdir` would be given a
        // dot for it, which it refuses.
        let path = match path.trim_end_matches('/') {
            "" => path,
            trimmed => trimmed,
        };
        Ok(fs::remove_dir(dir.mutable()?, Path::new(path))?)
    }

    pub(crate) fn path_unlink_file(
        &mut self,
        mem: &mut GuestMemory<'_>,
        fd: u32,
        path: u32,
        len: u32,
    ) -> Result<(), Errno> {
        let dir = self.table.dir(fd)?;
        let path = Path::new(mem.str(path, len)?);
        Ok(fs::remove_file(dir.mutable()?, path)?)
    }

    pub(crate) fn path_rename(
        &mut self,
        mem: &mut GuestMemory<'_>,
        old_fd: u32,
        old: u32,
        old_len: u32,
        new_fd: u32,
        new: u32,
        new_len: u32,
    ) -> Result<(), Errno> {
        let (from, to) = (self.table.dir(old_fd)?, self.table.dir(new_fd)?);
        let old = Path::new(mem.str(old, old_len)?);
        let new = Path::new(mem.str(new, new_len)?);
        let (from_dir, to_dir) = (from.mutable()?, to.mutable()?);
        from.may_go_to(to)?;
        Ok(fs::rename(from_dir, old, to_dir, new)?)
    }

    /// A hard link, to the file or the symbolic link that `old` names.
    pub(crate) fn path_link(
        &mut self,
        mem: &mut GuestMemory<'_>,
        old_fd: u32,
        lookup: u32,
        old: u32,
        old_len: u32,
        new_fd: u32,
        new: u32,
        new_len: u32,
    ) -> Result<(), Errno> {
        if follow(lookup)? == FollowSymlinks::Yes {
            return Err(Errno::INVAL);
        }
        let (from, to) = (self.table.dir(old_fd)?, self.table.dir(new_fd)?);
        let old = Path::new(mem.str(old, old_len)?);
        let new = Path::new(mem.str(new, new_len)?);
        let (from_dir, to_dir) = (from.mutable()?, to.mutable()?);
        from.may_go_to(to)?;
        Ok(fs::hard_link(from_dir, old, to_dir, new)?)
    }

    pub(crate) fn path_symlink(
        &mut self,
        mem: &mut GuestMemory<'_>,
        target: u32,
        target_len: u32,
        fd: u32,
        path: u32,
        len: u32,
    ) -> Result<(), Errno> {
        let dir = self.table.dir(fd)?;
        let target = Path::new(mem.str(target, target_len)?);
        let path = Path::new(mem.str(path, len)?);
        Ok(fs::symlink(target, dir.mutable()?, path)?)
    }

    /// As much of the link's target as fits.
    pub(crate) fn path_readlink(
        &mut self,
        mem: &mut GuestMemory<'_>,
        fd: u32,
        path: u32,
        len: u32,
        buf: u32,
        buf_len: u32,
        used: u32,
    ) -> Result<(), Errno> {
        let out = mem.slot_u32(used)?;
        mem.bytes(buf, buf_len)?;
        let dir = self.table.dir(fd)?.readable()?;
        let target = fs::read_link(dir, Path::new(mem.str(path, len)?))?;
        let target = target.to_str().ok_or(Errno::ILSEQ)?.as_bytes();
        let into = mem.bytes_mut(buf, buf_len)?;
        let n = target.len().min(into.len());
        into[..n].copy_from_slice(&target[..n]);
        mem.put_u32(out, n as u32);
        Ok(())
    }
}
