//! What is done with an open directory: list it, tell its name.

use crate::ctx::WasiCtx;
use crate::memory::GuestMemory;
use crate::table::Descriptor;
use crate::types::{Errno, Record, dirent, filetype, prestat};
use rustix::fs::{AtFlags, Dir, FileType, fstat, statat};
use std::fs::File;

/// The standard's number for a type that the host tells.
pub(super) fn filetype(host: FileType) -> u8 {
    match host {
        FileType::RegularFile => filetype::REGULAR_FILE,
        FileType::Directory => filetype::DIRECTORY,
        FileType::Symlink => filetype::SYMBOLIC_LINK,
        FileType::CharacterDevice => filetype::CHARACTER_DEVICE,
        FileType::BlockDevice => filetype::BLOCK_DEVICE,
        FileType::Socket => filetype::SOCKET_STREAM,
        FileType::Fifo | FileType::Unknown => filetype::UNKNOWN,
    }
}

/// Copies what fits of `from` to the front of `into` and moves on.
fn take(into: &mut &mut [u8], from: &[u8]) -> usize {
    let n = from.len().min(into.len());
    let (head, rest) = std::mem::take(into).split_at_mut(n);
    head.copy_from_slice(&from[..n]);
    *into = rest;
    n
}

/// Fills `buf` with the entries of `dir` from `cookie` on.
///
/// A cookie is the host file system's own position, which is stable while
/// entries come and go, so that nothing is kept between calls. The last entry
/// may be cut off; the guest asks again with the cookie of the one before. A
/// buffer that is not filled says that there are no more.
fn list(dir: &File, cookie: u64, buf: &mut [u8]) -> Result<usize, Errno> {
    let mut entries = Dir::read_from(dir)?;
    if cookie != 0 {
        entries.seek(i64::try_from(cookie).map_err(|_| Errno::INVAL)?)?;
    }
    let own_ino = fstat(dir)?.st_ino;
    let total = buf.len();
    let mut rest = buf;
    while !rest.is_empty() {
        let Some(entry) = entries.read() else { break };
        let entry = entry?;
        let name = entry.file_name();
        let Ok(text) = name.to_str() else { continue };
        let mut kind = entry.file_type();
        if kind == FileType::Unknown
            && let Ok(stat) = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
        {
            kind = FileType::from_raw_mode(stat.st_mode);
        }
        // The parent may be outside of what the guest was given.
        let ino = if text == ".." { own_ino } else { entry.ino() };
        let mut head = [0; dirent::SIZE];
        head.set_u64(dirent::NEXT, entry.offset().cast_unsigned());
        head.set_u64(dirent::INO, ino);
        head.set_u32(dirent::NAMLEN, u32::try_from(text.len()).map_err(|_| Errno::OVERFLOW)?);
        head.set_u8(dirent::TYPE, filetype(kind));
        take(&mut rest, &head);
        take(&mut rest, text.as_bytes());
    }
    Ok(total - rest.len())
}

impl WasiCtx {
    pub(crate) fn fd_readdir(
        &mut self,
        mem: &mut GuestMemory<'_>,
        fd: u32,
        buf: u32,
        len: u32,
        cookie: u64,
        used: u32,
    ) -> Result<(), Errno> {
        let out = mem.slot_u32(used)?;
        let dir = self.table.dir(fd)?.readable()?;
        let used = list(dir, cookie, mem.bytes_mut(buf, len)?)?;
        mem.put_u32(out, used as u32);
        Ok(())
    }

    /// The name that a directory was given under; `BADF` for what the guest
    /// opened itself, which is how it finds the end of its list.
    fn preopen(&self, fd: u32) -> Result<&str, Errno> {
        match self.table.get(fd)? {
            Descriptor::Dir(dir) => dir.preopen.as_deref().ok_or(Errno::BADF),
            _ => Err(Errno::BADF),
        }
    }

    pub(crate) fn fd_prestat_get(
        &mut self,
        mem: &mut GuestMemory<'_>,
        fd: u32,
        stat: u32,
    ) -> Result<(), Errno> {
        let out = mem.slot(stat, prestat::SIZE, prestat::ALIGN)?;
        let len = u32::try_from(self.preopen(fd)?.len()).map_err(|_| Errno::OVERFLOW)?;
        // The tag stays zero: a directory.
        mem.record(out).set_u32(prestat::NAME_LEN, len);
        Ok(())
    }

    pub(crate) fn fd_prestat_dir_name(
        &mut self,
        mem: &mut GuestMemory<'_>,
        fd: u32,
        path: u32,
        len: u32,
    ) -> Result<(), Errno> {
        let name = self.preopen(fd)?.as_bytes();
        let into = mem.bytes_mut(path, len)?;
        into.get_mut(..name.len()).ok_or(Errno::NAMETOOLONG)?.copy_from_slice(name);
        Ok(())
    }
}
