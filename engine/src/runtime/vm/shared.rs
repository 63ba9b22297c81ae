//! Linear memories that several threads use at once.
//!
//! Invariants of this file:
//!
//! - A shared memory has its place for good: all that it can grow to is reserved when it is made.
//!   So every byte below a length that anybody ever saw can be accessed as long as the memory is
//!   there.
//! - From the moment that it is shared, Rust makes no reference to its bytes and reads or writes
//!   none of them: code of other threads may be doing the same, with plain accesses of other sizes,
//!   which Rust's rules for races leave no way to take part in. What has to be done to them from
//!   here is done by instructions, those of `arch`, for which the processor's rules hold as they do
//!   for code.

use super::arch;
use super::instance::Definition;
use super::memory::LinearMemory;
use super::vmctx::VmSharedMemory;
use crate::Result;
use std::cell::UnsafeCell;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A linear memory that several threads use.
pub(crate) struct SharedLinear {
    /// What code reads. Only `grow` changes it, and the length alone.
    definition: VmSharedMemory,
    /// Locked while it grows.
    linear: Mutex<LinearMemory>,
    guarded: Range<usize>,
}

// SAFETY: the base never changes, the length is atomic, and the bytes are accessed as the
// invariants of this file say.
unsafe impl Send for SharedLinear {}
// SAFETY: as above.
unsafe impl Sync for SharedLinear {}

impl SharedLinear {
    /// Shares a memory, which was made to stay where it is.
    pub(crate) fn new(linear: LinearMemory) -> Self {
        assert!(linear.stays(), "a shared memory never moves");
        let definition =
            VmSharedMemory { base: linear.base(), len: AtomicU64::new(linear.len() as u64) };
        let guarded = linear.range_with_guards();
        SharedLinear { definition, linear: Mutex::new(linear), guarded }
    }

    /// Where code finds base and length. It must be gone before this is.
    pub(crate) fn definition(&self) -> Definition {
        Definition::of_shared(&self.definition)
    }

    /// Bytes, for now.
    pub(crate) fn len(&self) -> u64 {
        self.definition.len.load(Ordering::SeqCst)
    }

    /// The addresses whose faults are this memory's.
    pub(crate) fn range_with_guards(&self) -> Range<usize> {
        self.guarded.clone()
    }

    /// Grows from `old` to `new` bytes; false if it has not `old` any more.
    ///
    /// # Errors
    /// If that is over the maximum or the system has not enough; then nothing has changed.
    pub(crate) fn grow(&self, old: u64, new: u64) -> Result<bool> {
        let mut linear = self.linear.lock().unwrap_or_else(|e| e.into_inner());
        if self.len() != old {
            return Ok(false);
        }
        linear.grow_to(new)?;
        // After the pages are there, for whoever sees the new length.
        self.definition.len.store(new, Ordering::SeqCst);
        Ok(true)
    }

    /// The bytes that there are now. Not a reference to them: a cell may change at any time.
    pub(crate) fn cells(&self) -> &[UnsafeCell<u8>] {
        let len = self.len() as usize;
        // SAFETY: they can be accessed as long as the memory is there, and cells say nothing about
        // who else does.
        unsafe { std::slice::from_raw_parts(self.definition.base.cast_const().cast(), len) }
    }

    /// Copies `bytes` to `at`; `None` if they do not all fit, and then none is.
    pub(crate) fn write(&self, at: u64, bytes: &[u8]) -> Option<()> {
        let dst = self.at(at, bytes.len() as u64)?;
        // SAFETY: both ranges may be accessed; `bytes` are not of this memory, of which there are
        // no references.
        unsafe { arch::copy_forward(dst, bytes.as_ptr(), bytes.len()) };
        Some(())
    }

    /// The number at `at`, in one order with all that is atomic; `None` if it is not all inside.
    pub(crate) fn load32(&self, at: u64) -> Option<u32> {
        let address = self.at(at, 4).filter(|_| at.is_multiple_of(4))?;
        // SAFETY: it may be accessed and is aligned, since the base is.
        Some(unsafe { arch::load32(address.cast()) })
    }

    /// As `load32`.
    pub(crate) fn load64(&self, at: u64) -> Option<u64> {
        let address = self.at(at, 8).filter(|_| at.is_multiple_of(8))?;
        // SAFETY: it may be accessed and is aligned, since the base is.
        Some(unsafe { arch::load64(address.cast()) })
    }

    /// The address of `size` bytes at `at`, if they are all inside.
    fn at(&self, at: u64, size: u64) -> Option<*mut u8> {
        let end = at.checked_add(size).filter(|end| *end <= self.len())?;
        // Both are at most the length, which is that of a mapping.
        debug_assert!(usize::try_from(end).is_ok());
        Some(self.definition.base.wrapping_add(at as usize))
    }
}

/// Copies between ranges that may overlap and that other threads may be using.
///
/// # Safety
/// Both may be accessed, and are memories of wasm.
pub(crate) unsafe fn copy(dst: *mut u8, src: *const u8, len: usize) {
    if dst.cast_const() <= src {
        // SAFETY: the caller's promise.
        unsafe { arch::copy_forward(dst, src, len) }
    } else {
        // SAFETY: the caller's promise.
        unsafe { arch::copy_backward(dst, src, len) }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::super::memory::Plan;
    use super::*;
    use crate::Bounds;

    const PAGE: u64 = 64 << 10;

    fn make(min: u64, max: u64, bounds: Bounds) -> Result<SharedLinear> {
        let plan = Plan { min_bytes: min, max_bytes: Some(max), bounds, stays: true };
        LinearMemory::new(plan).map(SharedLinear::new)
    }

    #[test]
    fn it_grows_in_place_up_to_its_maximum() {
        for bounds in [Bounds::Guard, Bounds::Explicit] {
            let memory = make(PAGE, 300 * PAGE, bounds).unwrap();
            let base = memory.cells().as_ptr();
            assert!(memory.write(PAGE - 4, b"wasm").is_some());
            assert!(memory.write(PAGE - 3, b"wasm").is_none());
            assert!(!memory.grow(0, PAGE).unwrap());
            for pages in 1..300 {
                assert!(memory.grow(pages * PAGE, (pages + 1) * PAGE).unwrap());
                assert_eq!(memory.cells().as_ptr(), base);
                assert_eq!(memory.load64((pages + 1) * PAGE - 8), Some(0));
            }
            assert!(memory.grow(300 * PAGE, 301 * PAGE).is_err());
            assert_eq!(memory.len(), 300 * PAGE);
            assert_eq!(memory.load32(PAGE - 4), Some(u32::from_le_bytes(*b"wasm")));
            assert!(memory.range_with_guards().contains(&base.addr()));
        }
        assert!(make(0, 1 << 55, Bounds::Explicit).is_err());
    }

    #[test]
    fn loads_stay_inside() {
        let memory = make(16, 100, Bounds::Explicit).unwrap();
        memory.write(0, &(0..16).collect::<Vec<u8>>()).unwrap();
        assert_eq!(memory.load64(8), Some(0x0f0e_0d0c_0b0a_0908));
        assert_eq!(memory.load32(12), Some(0x0f0e_0d0c));
        for at in [1, 16, 17, u64::MAX - 3, u64::MAX] {
            assert_eq!((memory.load32(at), memory.load64(at)), (None, None), "{at}");
        }
        assert_eq!(memory.load64(12), None);
    }

    /// Every small length at every distance, against the standard library.
    #[test]
    fn copies_and_fills_are_right() {
        for len in (0..70).chain([255, 4096]) {
            for (to, from) in
                [(100, 100), (100, 101), (101, 100), (100, 117), (130, 100), (9, 5000)]
            {
                let mut bytes: Vec<u8> = (0..10_000).map(|i| (i % 251) as u8).collect();
                let mut expected = bytes.clone();
                expected.copy_within(from..from + len, to);
                let base = bytes.as_mut_ptr();
                // SAFETY: both ranges are inside of `bytes`, which nobody else uses.
                unsafe { copy(base.wrapping_add(to), base.wrapping_add(from), len) };
                assert!(bytes == expected, "{len} bytes from {from} to {to}");
                expected[to..to + len].fill(7);
                // SAFETY: as above.
                unsafe { arch::fill(bytes.as_mut_ptr().wrapping_add(to), 7, len) };
                assert!(bytes == expected, "{len} bytes at {to}");
            }
        }
    }
}
