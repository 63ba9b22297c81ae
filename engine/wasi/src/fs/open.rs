//! `path_open`.

use super::{OpenDir, OpenFile, follow, host_flags};
use crate::ctx::WasiCtx;
use crate::memory::GuestMemory;
use crate::perms::{DirPerms, FilePerms};
use crate::table::Descriptor;
use crate::types::{Errno, fdflags, flags, oflags, rights};
use cap_primitives::fs::{FollowSymlinks, OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;
use std::path::Path;

/// What a guest wants to open, decoded.
struct Request {
    follow: FollowSymlinks,
    oflags: u32,
    fdflags: u32,
    read: bool,
    write: bool,
}

impl Request {
    fn has(&self, flag: u32) -> bool {
        self.oflags & flag != 0
    }

    /// Whether the host's descriptor must be writable: to create and to
    /// truncate take that too, though the guest may not write then.
    fn host_write(&self) -> bool {
        self.write || self.has(oflags::CREAT) || self.has(oflags::TRUNC)
    }

    /// Refuses what the directory does not allow, before the host is asked.
    fn check(&self, dir: &OpenDir) -> Result<(), Errno> {
        dir.readable()?;
        let no_write = !dir.file_perms.contains(FilePerms::WRITE);
        let no_mutate = !dir.dir_perms.contains(DirPerms::MUTATE);
        if self.has(oflags::CREAT) && no_mutate || self.host_write() && no_write {
            return Err(Errno::PERM);
        }
        if self.has(oflags::DIRECTORY) && self.oflags != oflags::DIRECTORY {
            return Err(Errno::INVAL);
        }
        Ok(())
    }

    fn options(&self) -> OpenOptions {
        let mut options = OpenOptions::new();
        // Without either, the host opens for reading, and the guest may not.
        options.read(self.read || !self.host_write());
        options.write(self.host_write());
        options.truncate(self.has(oflags::TRUNC));
        if self.has(oflags::CREAT) {
            options.create(true).create_new(self.has(oflags::EXCL));
        }
        let mut custom = host_flags(self.fdflags);
        custom.set(OFlags::DIRECTORY, self.has(oflags::DIRECTORY));
        options.custom_flags(custom.bits().cast_signed());
        // What the crate cap-fs-ext calls, which is all that it would be for.
        options._cap_fs_ext_follow(self.follow)._cap_fs_ext_maybe_dir(true);
        options
    }

    fn open(&self, dir: &OpenDir, path: &str) -> Result<Descriptor, Errno> {
        self.check(dir)?;
        let file = cap_primitives::fs::open(&dir.dir, Path::new(path), &self.options())?;
        if file.metadata()?.is_dir() {
            return Ok(Descriptor::Dir(OpenDir {
                dir: file,
                dir_perms: dir.dir_perms,
                file_perms: dir.file_perms,
                preopen: None,
            }));
        }
        if self.read && !dir.file_perms.contains(FilePerms::READ) {
            return Err(Errno::PERM);
        }
        Ok(Descriptor::File(OpenFile {
            file,
            readable: self.read,
            writable: self.write,
            perms: dir.file_perms,
            flags: self.fdflags,
        }))
    }
}

impl WasiCtx {
    /// Opens a file or directory. Of the rights only those to read and to
    /// write matter: they are what the descriptor can do. What is inherited is
    /// what the directory allows.
    pub(crate) fn path_open(
        &mut self,
        mem: &mut GuestMemory<'_>,
        fd: u32,
        lookup: u32,
        path: u32,
        len: u32,
        oflags: u32,
        base: u64,
        inheriting: u64,
        fdflags: u32,
        opened: u32,
    ) -> Result<(), Errno> {
        let out = mem.slot_u32(opened)?;
        if (base | inheriting) & !rights::ALL != 0 {
            return Err(Errno::INVAL);
        }
        let request = Request {
            follow: follow(lookup)?,
            oflags: flags(oflags, oflags::ALL)?,
            fdflags: flags(fdflags, fdflags::ALL)?,
            read: base & rights::FD_READ != 0,
            write: base & rights::FD_WRITE != 0,
        };
        let dir = self.table.dir(fd)?;
        if !self.table.has_room() {
            return Err(Errno::MFILE);
        }
        let descriptor = request.open(dir, mem.str(path, len)?)?;
        let opened = self.table.insert(descriptor)?;
        mem.put_u32(out, opened);
        Ok(())
    }
}
