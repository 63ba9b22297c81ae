//! Linux: mappings here; stacks in [`stack`], signals in [`signals`], what a signal handler sees
//! of the processor in `context`, and of files in [`maps`].

mod maps;
mod signals;
mod stack;

#[cfg(target_arch = "aarch64")]
#[path = "context_aarch64.rs"]
mod context;
#[cfg(target_arch = "x86_64")]
#[path = "context_x86_64.rs"]
mod context;

pub(crate) use maps::MapsLine;
pub(crate) use signals::{die, install_handlers};
pub(crate) use stack::{prepare_thread, stack_end};

use crate::Result;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};
use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::ptr::{self, NonNull};

/// Whether this system can run code at all.
#[expect(clippy::unnecessary_wraps, reason = "it fails on other systems")]
pub(crate) fn check_supported() -> Result<()> {
    Ok(())
}

/// Bytes of a page of the host.
pub(crate) fn page_size() -> usize {
    rustix::param::page_size()
}

/// Reads exactly `bytes.len()` bytes at `offset`.
pub(crate) fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(bytes, offset)
}

/// An empty file in memory, which code may be mapped from.
pub(crate) fn scratch_file() -> io::Result<File> {
    let name = "precompile";
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = rustix::fs::memfd_create(name, flags | MemfdFlags::EXEC)
        // Kernels before 6.3 do not know the flag, and need none to allow it.
        .or_else(|_| rustix::fs::memfd_create(name, flags))?;
    Ok(File::from(fd))
}

/// A file in memory with that content, which nobody can change any more and code may be mapped
/// from.
pub(crate) fn memory_file(content: &[u8]) -> io::Result<File> {
    let mut file = scratch_file()?;
    file.write_all(content)?;
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    Ok(file)
}

/// Makes every thread of the process see code that was just written; for processors whose
/// instruction fetch does not follow stores by itself.
pub(crate) fn serialize_cores() {
    const REGISTER: libc::c_long = 1 << 6;
    const SYNC_CORE: libc::c_long = 1 << 5;
    for command in [REGISTER, SYNC_CORE] {
        // An old kernel refuses; then the context switch that a thread needs to get at new code
        // has to do.
        // SAFETY: this system call reads no memory of ours.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) };
    }
}

/// What may be done with pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    Read,
    ReadWrite,
    ReadExecute,
}

/// A range of address space that is ours, unmapped when dropped.
///
/// Invariant: `base..base + len` was given by the kernel to this value, is a whole number of
/// pages, and nobody else maps anything there.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: address space belongs to the process, not to a thread.
unsafe impl Send for Mapping {}
// SAFETY: as above; all changes of a shared mapping are `unsafe` methods.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Address space without memory: every access faults.
    pub(crate) fn reserve(len: usize) -> io::Result<Mapping> {
        Self::anonymous(len, ProtFlags::empty())
    }

    /// Zeroed memory to write to.
    pub(crate) fn zeroed(len: usize) -> io::Result<Mapping> {
        Self::anonymous(len, ProtFlags::READ | ProtFlags::WRITE)
    }

    fn anonymous(len: usize, protection: ProtFlags) -> io::Result<Mapping> {
        let len = round_up(len.max(1))?;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: without FIXED the kernel chooses a free place.
        let base = unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), len, protection, flags) }?;
        Self::own(base.cast(), len)
    }

    /// The first `len` bytes of a file, to read.
    pub(crate) fn file(file: &File, len: usize) -> io::Result<Mapping> {
        let len = round_up(len.max(1))?;
        // SAFETY: without FIXED the kernel chooses a free place.
        let base = unsafe {
            rustix::mm::mmap(ptr::null_mut(), len, ProtFlags::READ, MapFlags::PRIVATE, file, 0)
        }?;
        Self::own(base.cast(), len)
    }

    fn own(base: *mut u8, len: usize) -> io::Result<Mapping> {
        let base = NonNull::new(base).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Mapping { base, len })
    }

    /// The first address.
    pub(crate) fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// The addresses.
    pub(crate) fn range(&self) -> Range<usize> {
        self.base.addr().get()..self.base.addr().get() + self.len
    }

    /// Changes what may be done with the pages of `range`, offsets in the mapping.
    ///
    /// # Safety
    /// Nobody uses these bytes in a way that `access` rules out.
    pub(crate) unsafe fn protect(&self, range: Range<usize>, access: Access) -> io::Result<()> {
        let at = self.place(&range)?;
        if range.is_empty() {
            return Ok(());
        }
        let flags = match access {
            Access::Read => MprotectFlags::READ,
            Access::ReadWrite => MprotectFlags::READ | MprotectFlags::WRITE,
            Access::ReadExecute => MprotectFlags::READ | MprotectFlags::EXEC,
        };
        // SAFETY: `place` checked that these pages are ours, the caller that nobody minds.
        unsafe { rustix::mm::mprotect(at.cast(), range.len(), flags) }?;
        Ok(())
    }

    /// Replaces the pages of `range` by a file's from `offset` on: a private copy of each page is
    /// made when it is first written to.
    ///
    /// # Safety
    /// Nobody has a reference to bytes in `range`.
    pub(crate) unsafe fn map_over(
        &self,
        range: Range<usize>,
        file: &File,
        offset: u64,
        access: Access,
    ) -> io::Result<()> {
        let at = self.place(&range)?;
        if range.is_empty() {
            return Ok(());
        }
        let protection = match access {
            Access::Read => ProtFlags::READ,
            Access::ReadWrite => ProtFlags::READ | ProtFlags::WRITE,
            Access::ReadExecute => ProtFlags::READ | ProtFlags::EXEC,
        };
        let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
        // SAFETY: `place` checked that what FIXED replaces is ours, the caller that it is unused.
        unsafe { rustix::mm::mmap(at.cast(), range.len(), protection, flags, file, offset) }?;
        Ok(())
    }

    /// The address of a range that must be pages of this mapping.
    fn place(&self, range: &Range<usize>) -> io::Result<*mut u8> {
        let page = page_size();
        let inside = range.start <= range.end && range.end <= self.len;
        if !inside || !range.start.is_multiple_of(page) || !range.end.is_multiple_of(page) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(self.base.as_ptr().wrapping_add(range.start))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is ours by the type's invariant, and whoever owns `self` gives up
        // every pointer into it.
        // The kernel only refuses where it has no memory to split a mapping, so never here.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

fn round_up(len: usize) -> io::Result<usize> {
    len.checked_next_multiple_of(page_size()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}
