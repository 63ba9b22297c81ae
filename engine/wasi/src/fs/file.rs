//! What is done with an open file: read, write, seek, flush.

use super::{OpenFile, host_flags};
use crate::ctx::WasiCtx;
use crate::memory::GuestMemory;
use crate::stdio::{read_fd, write_fd};
use crate::table::Descriptor;
use crate::types::{Errno, fdflags, flags};
use rustix::fs::{Advice, OFlags};
use std::io::{Seek, SeekFrom};
use std::num::NonZeroU64;
use std::os::fd::AsFd;

impl OpenFile {
    fn read_at(
        &self,
        mem: &mut GuestMemory<'_>,
        iovs: u32,
        count: u32,
        offset: Option<u64>,
    ) -> Result<u32, Errno> {
        if !self.readable {
            return Err(Errno::BADF);
        }
        let mut done = 0u64;
        for range in mem.buffers(iovs, count)? {
            let buffer = mem.buffer(range);
            let wanted = buffer.len() as u64;
            let read = match offset {
                None => read_fd(self.file.as_fd(), buffer),
                Some(offset) => {
                    let at = offset.checked_add(done).ok_or(Errno::INVAL)?;
                    rustix::io::retry_on_intr(|| rustix::io::pread(&self.file, &mut *buffer, at))
                        .map_err(Errno::from)
                }
            };
            match read {
                Ok(n) => {
                    done += n as u64;
                    if (n as u64) < wanted {
                        break;
                    }
                }
                // What was read before counts; the error will come again.
                Err(_) if done > 0 => break,
                Err(err) => return Err(err),
            }
        }
        // Buffers may overlap, so that their sum may exceed the memory.
        u32::try_from(done).map_err(|_| Errno::OVERFLOW)
    }

    fn write_at(
        &self,
        mem: &GuestMemory<'_>,
        iovs: u32,
        count: u32,
        offset: Option<u64>,
    ) -> Result<u32, Errno> {
        if !self.writable {
            return Err(Errno::BADF);
        }
        let slices = mem.io_slices(iovs, count)?;
        if slices.is_empty() {
            return Ok(0);
        }
        let written = match offset {
            None => write_fd(self.file.as_fd(), &slices)?,
            Some(offset) => {
                rustix::io::retry_on_intr(|| rustix::io::pwritev(&self.file, &slices, offset))?
            }
        };
        u32::try_from(written).map_err(|_| Errno::OVERFLOW)
    }
}

impl WasiCtx {
    /// An open file; `BADF` for a directory, `other` for a standard stream.
    fn file(&self, fd: u32, other: Errno) -> Result<&OpenFile, Errno> {
        match self.table.get(fd)? {
            Descriptor::File(file) => Ok(file),
            Descriptor::Dir(_) => Err(Errno::BADF),
            Descriptor::Input(_) | Descriptor::Output(_) => Err(other),
        }
    }

    pub(crate) fn fd_read(
        &mut self,
        mem: &mut GuestMemory<'_>,
        fd: u32,
        iovs: u32,
        count: u32,
        nread: u32,
    ) -> Result<(), Errno> {
        let out = mem.slot_u32(nread)?;
        let n = match self.table.get(fd)? {
            Descriptor::File(file) => file.read_at(mem, iovs, count, None)?,
            // One buffer: to fill the next might block with data in hand.
            Descriptor::Input(stream) => match mem.buffers(iovs, count)?.into_iter().next() {
                Some(range) => {
                    u32::try_from(stream.read(mem.buffer(range))?).map_err(|_| Errno::OVERFLOW)?
                }
                None => 0,
            },
            Descriptor::Output(_) | Descriptor::Dir(_) => return Err(Errno::BADF),
        };
        mem.put_u32(out, n);
        Ok(())
    }

    pub(crate) fn fd_write(
        &mut self,
        mem: &mut GuestMemory<'_>,
        fd: u32,
        iovs: u32,
        count: u32,
        nwritten: u32,
    ) -> Result<(), Errno> {
        let out = mem.slot_u32(nwritten)?;
        let n = match self.table.get(fd)? {
            Descriptor::File(file) => file.write_at(mem, iovs, count, None)?,
            Descriptor::Output(stream) => {
                let n = stream.write(&mem.io_slices(iovs, count)?)?;
                u32::try_from(n).map_err(|_| Errno::OVERFLOW)?
            }
            Descriptor::Input(_) | Descriptor::Dir(_) => return Err(Errno::BADF),
        };
        mem.put_u32(out, n);
        Ok(())
    }

    pub(crate) fn fd_pread(
        &mut self,
        mem: &mut GuestMemory<'_>,
        fd: u32,
        iovs: u32,
        count: u32,
        offset: u64,
        nread: u32,
    ) -> Result<(), Errno> {
        let out = mem.slot_u32(nread)?;
        let n = self.file(fd, Errno::SPIPE)?.read_at(mem, iovs, count, Some(offset))?;
        mem.put_u32(out, n);
        Ok(())
    }

    /// On a file opened to append, the host decides whether `offset` counts.
    pub(crate) fn fd_pwrite(
        &mut self,
        mem: &mut GuestMemory<'_>,
        fd: u32,
        iovs: u32,
        count: u32,
        offset: u64,
        nwritten: u32,
    ) -> Result<(), Errno> {
        let out = mem.slot_u32(nwritten)?;
        let n = self.file(fd, Errno::SPIPE)?.write_at(mem, iovs, count, Some(offset))?;
        mem.put_u32(out, n);
        Ok(())
    }

    pub(crate) fn fd_seek(
        &mut self,
        mem: &mut GuestMemory<'_>,
        fd: u32,
        offset: i64,
        whence: u32,
        position: u32,
    ) -> Result<(), Errno> {
        let out = mem.slot_u64(position)?;
        let mut file = &self.file(fd, Errno::SPIPE)?.file;
        let to = match whence {
            0 => SeekFrom::Start(u64::try_from(offset).map_err(|_| Errno::INVAL)?),
            1 => SeekFrom::Current(offset),
            2 => SeekFrom::End(offset),
            _ => return Err(Errno::INVAL),
        };
        let position = file.seek(to)?;
        mem.put_u64(out, position);
        Ok(())
    }

    pub(crate) fn fd_tell(
        &mut self,
        mem: &mut GuestMemory<'_>,
        fd: u32,
        position: u32,
    ) -> Result<(), Errno> {
        let out = mem.slot_u64(position)?;
        let mut file = &self.file(fd, Errno::SPIPE)?.file;
        let position = file.stream_position()?;
        mem.put_u64(out, position);
        Ok(())
    }

    pub(crate) fn fd_close(&mut self, _mem: &mut GuestMemory<'_>, fd: u32) -> Result<(), Errno> {
        self.table.remove(fd)?;
        Ok(())
    }

    pub(crate) fn fd_renumber(
        &mut self,
        _mem: &mut GuestMemory<'_>,
        from: u32,
        to: u32,
    ) -> Result<(), Errno> {
        self.table.renumber(from, to)
    }

    pub(crate) fn fd_sync(&mut self, _mem: &mut GuestMemory<'_>, fd: u32) -> Result<(), Errno> {
        match self.table.get(fd)? {
            Descriptor::File(OpenFile { file, .. }) => Ok(file.sync_all()?),
            Descriptor::Dir(dir) => Ok(dir.dir.sync_all()?),
            Descriptor::Input(_) | Descriptor::Output(_) => Err(Errno::INVAL),
        }
    }

    pub(crate) fn fd_datasync(&mut self, _mem: &mut GuestMemory<'_>, fd: u32) -> Result<(), Errno> {
        match self.table.get(fd)? {
            Descriptor::File(OpenFile { file, .. }) => Ok(file.sync_data()?),
            Descriptor::Dir(dir) => Ok(dir.dir.sync_data()?),
            Descriptor::Input(_) | Descriptor::Output(_) => Err(Errno::INVAL),
        }
    }

    pub(crate) fn fd_advise(
        &mut self,
        _mem: &mut GuestMemory<'_>,
        fd: u32,
        offset: u64,
        len: u64,
        advice: u32,
    ) -> Result<(), Errno> {
        let advice = match advice {
            0 => Advice::Normal,
            1 => Advice::Sequential,
            2 => Advice::Random,
            3 => Advice::WillNeed,
            4 => Advice::DontNeed,
            5 => Advice::NoReuse,
            _ => return Err(Errno::INVAL),
        };
        let file = &self.file(fd, Errno::SPIPE)?.file;
        if i64::try_from(offset).is_err() || i64::try_from(len).is_err() {
            return Err(Errno::INVAL);
        }
        Ok(rustix::fs::fadvise(file, offset, NonZeroU64::new(len), advice)?)
    }

    /// Some file systems cannot, and to fake it by writing is wrong.
    pub(crate) fn fd_allocate(
        &mut self,
        _mem: &mut GuestMemory<'_>,
        fd: u32,
        _offset: u64,
        _len: u64,
    ) -> Result<(), Errno> {
        self.file(fd, Errno::SPIPE)?;
        Err(Errno::NOTSUP)
    }

    /// Changes appending and blocking; how writes are synchronised is decided
    /// when a file is opened.
    pub(crate) fn fd_fdstat_set_flags(
        &mut self,
        _mem: &mut GuestMemory<'_>,
        fd: u32,
        new: u32,
    ) -> Result<(), Errno> {
        const SETTABLE: u32 = fdflags::APPEND | fdflags::NONBLOCK;
        let new = flags(new, fdflags::ALL)?;
        match self.table.get_mut(fd)? {
            Descriptor::File(file) => {
                if (new ^ file.flags) & !SETTABLE != 0 {
                    return Err(Errno::INVAL);
                }
                let kept = rustix::fs::fcntl_getfl(&file.file)?
                    .difference(OFlags::APPEND | OFlags::NONBLOCK);
                rustix::fs::fcntl_setfl(&file.file, kept | host_flags(new & SETTABLE))?;
                file.flags = new;
                Ok(())
            }
            Descriptor::Dir(_) => Err(Errno::BADF),
            // The host's streams are shared with the embedder.
            Descriptor::Input(_) | Descriptor::Output(_) => Err(Errno::NOTSUP),
        }
    }

    pub(crate) fn fd_fdstat_set_rights(
        &mut self,
        _mem: &mut GuestMemory<'_>,
        fd: u32,
        _base: u64,
        _inheriting: u64,
    ) -> Result<(), Errno> {
        self.table.get(fd)?;
        Err(Errno::NOTSUP)
    }

    pub(crate) fn fd_filestat_set_size(
        &mut self,
        _mem: &mut GuestMemory<'_>,
        fd: u32,
        size: u64,
    ) -> Result<(), Errno> {
        let file = self.file(fd, Errno::INVAL)?;
        if !file.writable {
            return Err(Errno::BADF);
        }
        Ok(file.file.set_len(size)?)
    }
}
