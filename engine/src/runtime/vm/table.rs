//! The elements of a table.
//!
//! In a table of functions an element is what `abi::vmctx::TABLE_INIT_BIT` says: 0 as long as it
//! was not initialised, then the pointer with bit 0 set. In other tables it is a 32-bit handle.

use super::instance::Definition;
use crate::abi::memory_plan::MAX_TABLE;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

/// The elements of a table, as raw values: in a table of functions with the bit, else handles.
///
/// Code reads and writes them through the definition, so the block is only ever accessed by raw
/// pointers.
pub(crate) struct Elements {
    base: NonNull<u8>,
    len: u64,
    capacity: u64,
    size: usize,
    definition: Definition,
}

// SAFETY: it owns its block; one thread uses the store that it belongs to.
unsafe impl Send for Elements {}
// SAFETY: as above; shared references only read.
unsafe impl Sync for Elements {}

impl Drop for Elements {
    fn drop(&mut self) {
        if self.capacity > 0 {
            // SAFETY: allocated with this layout in `allocate`.
            unsafe { dealloc(self.base.as_ptr(), layout(self.capacity, self.size)) }
        }
    }
}

fn layout(capacity: u64, size: usize) -> Layout {
    // The callers cap lengths at `MAX_TABLE`.
    Layout::from_size_align(capacity as usize * size, 8).expect("tables are below their limit")
}

/// `None` where the memory is not there: wasm asks for it, so that must not end the process.
fn allocate(capacity: u64, size: usize) -> Option<NonNull<u8>> {
    if capacity == 0 {
        return Some(NonNull::<u64>::dangling().cast());
    }
    // SAFETY: the size is not zero.
    NonNull::new(unsafe { alloc_zeroed(layout(capacity, size)) })
}

impl Elements {
    /// `len` zero elements, `size` bytes each (8 or 4), which `definition` will show to code.
    /// `len` is at most `MAX_TABLE`. `None` if there is no memory for them.
    pub(crate) fn new(len: u64, size: usize, definition: Definition) -> Option<Self> {
        let base = allocate(len, size)?;
        let elements = Elements { base, len, capacity: len, size, definition };
        elements.publish();
        Some(elements)
    }

    fn publish(&self) {
        self.definition.set(self.base.as_ptr(), self.len);
    }

    pub(crate) fn definition(&self) -> Definition {
        self.definition
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    fn at(&self, index: u64) -> NonNull<u8> {
        assert!(index < self.len);
        // SAFETY: inside of the block, by the assertion.
        unsafe { self.base.add(index as usize * self.size) }
    }

    /// The raw element.
    ///
    /// # Panics
    /// If there is none: callers check ranges first.
    pub(crate) fn get(&self, index: u64) -> u64 {
        let at = self.at(index);
        if self.size == 8 {
            // SAFETY: an element of 8 bytes, aligned to 8.
            unsafe { at.cast::<u64>().read() }
        } else {
            // SAFETY: an element of 4 bytes, aligned to 4.
            u64::from(unsafe { at.cast::<u32>().read() })
        }
    }

    /// Sets the raw element.
    ///
    /// # Panics
    /// If there is none: callers check ranges first.
    pub(crate) fn set(&mut self, index: u64, raw: u64) {
        let at = self.at(index);
        if self.size == 8 {
            // SAFETY: an element of 8 bytes, aligned to 8.
            unsafe { at.cast::<u64>().write(raw) }
        } else {
            // SAFETY: an element of 4 bytes, aligned to 4.
            unsafe { at.cast::<u32>().write(raw as u32) }
        }
    }

    /// Grows to `len` elements, the new ones zero. `len` is at most `MAX_TABLE` and not less than
    /// now. `None`, and nothing changes, if there is no memory for them.
    pub(crate) fn grow(&mut self, len: u64) -> Option<()> {
        assert!(len >= self.len);
        if len > self.capacity {
            let mut capacity = len.max((self.capacity * 2).min(MAX_TABLE)).max(8);
            let base = allocate(capacity, self.size).or_else(|| {
                // Perhaps there is enough for what is asked for now.
                capacity = len;
                allocate(capacity, self.size)
            })?;
            // SAFETY: both blocks hold `self.len` elements, and they are different blocks.
            unsafe { base.copy_from_nonoverlapping(self.base, self.len as usize * self.size) };
            if self.capacity > 0 {
                // SAFETY: allocated with this layout, and code gets the new base below.
                unsafe { dealloc(self.base.as_ptr(), layout(self.capacity, self.size)) };
            }
            (self.base, self.capacity) = (base, capacity);
        }
        self.len = len;
        self.publish();
        Some(())
    }
}
