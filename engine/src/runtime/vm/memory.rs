//! Linear memories: a reservation of address space, the part of it that wasm may use, and the
//! guards around it.

use super::sys::{self, Access, Mapping};
use crate::abi::memory_plan::{EXPLICIT_GUARD, GUARD_AFTER, GUARD_BEFORE, GUARD_RESERVATION};
use crate::{Bounds, Context, Error, ErrorKind, Result};
use std::fs::File;
use std::ops::Range;
use std::sync::OnceLock;

/// How a memory is to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Bytes at the start.
    pub(crate) min_bytes: u64,
    /// Bytes that it can grow to.
    pub(crate) max_bytes: Option<u64>,
    /// `Explicit` for memories with 64-bit indices or small pages, whatever the engine is set to.
    pub(crate) bounds: Bounds,
    /// Whether room for all of `max_bytes` is reserved at once, so that it never moves.
    pub(crate) stays: bool,
}

/// Initial contents of a part of a memory.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Image<'a> {
    /// A range of a file that nobody shortens, with zeros behind it up to the next page.
    File { file: &'a File, offset: u64, len: usize },
    /// Bytes to copy.
    Bytes(&'a [u8]),
}

impl Image<'_> {
    fn len(&self) -> usize {
        match *self {
            Image::File { len, .. } => len,
            Image::Bytes(bytes) => bytes.len(),
        }
    }
}

/// A linear memory.
///
/// ```text
///  mapping                 base                base + len   base + capacity
///  |---- guard before -----|---- accessible ----|--- room ---|---- guard ----|
/// ```
///
/// Invariants: of the mapping, exactly `committed` bytes (`len`, rounded up to pages) from the
/// base on can be read and written; `committed <= capacity`. Only this type changes them.
#[derive(Debug)]
pub(crate) struct LinearMemory {
    mapping: Mapping,
    /// Where in the mapping the memory starts.
    before: usize,
    len: usize,
    committed: usize,
    capacity: usize,
    plan: Plan,
}

impl LinearMemory {
    /// A memory of `plan.min_bytes` zeros.
    ///
    /// # Errors
    /// If there is not enough address space or memory.
    pub(crate) fn new(plan: Plan) -> Result<LinearMemory> {
        if plan.max_bytes.is_some_and(|max| max < plan.min_bytes) {
            return Err(too_large(plan.min_bytes));
        }
        let min = usize::try_from(plan.min_bytes).map_err(|_| too_large(plan.min_bytes))?;
        let mut memory = match plan.bounds {
            Bounds::Guard => Self::guarded(plan)?,
            Bounds::Explicit => Self::explicit(plan, min)?,
        };
        memory.commit(min)?;
        Ok(memory)
    }

    fn guarded(plan: Plan) -> Result<LinearMemory> {
        let capacity = usize::try_from(GUARD_RESERVATION).map_err(|_| too_large(plan.min_bytes))?;
        let mapping = usize::try_from(GUARDED)
            .map_err(|_| std::io::ErrorKind::OutOfMemory.into())
            .and_then(Mapping::reserve)
            .map_err(|error| Error::wrap(ErrorKind::Io, error))
            .context("cannot reserve the address space of a guarded memory")?;
        let before = GUARD_BEFORE as usize;
        Ok(LinearMemory { mapping, before, len: 0, committed: 0, capacity, plan })
    }

    /// Without guards, a memory of `min` bytes with room to grow in place where there is.
    fn explicit(plan: Plan, min: usize) -> Result<LinearMemory> {
        let max =
            plan.max_bytes.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
        // In proportion, so that growing step by step copies each byte a few times at most.
        let room = if plan.stays { usize::MAX } else { (min / 2).max(1 << 20) };
        let reserve = |capacity: usize| {
            let capacity = capacity.checked_next_multiple_of(sys::page_size());
            let total = capacity.and_then(|c| c.checked_add(EXPLICIT_GUARD as usize));
            let total = total.ok_or(std::io::ErrorKind::OutOfMemory)?;
            Mapping::reserve(total)
        };
        let mapping = reserve(min.saturating_add(room).min(max))
            .or_else(|error| if plan.stays { Err(error) } else { reserve(min) })
            .map_err(|error| Error::wrap(ErrorKind::Io, error))
            .context("cannot reserve the address space of a memory")?;
        let capacity = mapping.range().len() - EXPLICIT_GUARD as usize;
        Ok(LinearMemory { mapping, before: 0, len: 0, committed: 0, capacity, plan })
    }

    /// The first byte; never null, and constant while the memory is guarded.
    pub(crate) fn base(&self) -> *mut u8 {
        self.mapping.base().wrapping_add(self.before)
    }

    /// Whether it never moves, however much it grows.
    pub(crate) fn stays(&self) -> bool {
        self.plan.stays || self.plan.bounds == Bounds::Guard
    }

    /// Bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The addresses whose faults are this memory's: all of the reservation.
    pub(crate) fn range_with_guards(&self) -> Range<usize> {
        self.mapping.range()
    }

    /// Grows to `new_len` bytes; what is new is zero.
    ///
    /// A guarded memory stays where it is. Another one may move: base and range are to be asked
    /// for again.
    ///
    /// # Errors
    /// If that is over the maximum or the system has not enough; then nothing has changed.
    pub(crate) fn grow_to(&mut self, new_len: u64) -> Result<()> {
        let len = usize::try_from(new_len).map_err(|_| too_large(new_len))?;
        if len < self.len || self.plan.max_bytes.is_some_and(|max| new_len > max) {
            return Err(too_large(new_len));
        }
        if len <= self.capacity || self.stays() {
            return self.commit(len);
        }
        let mut moved = Self::explicit(self.plan, len)?;
        moved.commit(len)?;
        // A page that is zero is so in the new mapping already: what was never touched stays
        // without memory behind it.
        let page = sys::page_size();
        for (from, to) in self.bytes().chunks(page).zip(moved.bytes_mut().chunks_mut(page)) {
            if from.iter().any(|byte| *byte != 0) {
                to[..from.len()].copy_from_slice(from);
            }
        }
        *self = moved;
        Ok(())
    }

    /// Makes the first `len` bytes accessible.
    fn commit(&mut self, len: usize) -> Result<()> {
        let committed = len
            .checked_next_multiple_of(sys::page_size())
            .filter(|committed| *committed <= self.capacity)
            .ok_or_else(|| too_large(len as u64))?;
        if self.plan.bounds == Bounds::Guard && committed != len {
            // Code would reach the rest of the page.
            return Err(Error::with_kind(
                ErrorKind::Unsupported,
                "guarded memories need pages that wasm's are a multiple of",
            ));
        }
        let range = self.before + self.committed..self.before + committed;
        // SAFETY: these pages are not accessible yet by the type's invariant, so nobody uses them.
        unsafe { self.mapping.protect(range, Access::ReadWrite) }
            .map_err(|error| Error::wrap(ErrorKind::Io, error))
            .with_context(|| format!("cannot grow a memory to {len} bytes"))?;
        self.committed = committed;
        self.len = len;
        Ok(())
    }

    /// Lays an image over the memory, which nobody else uses yet, from byte `at` on.
    ///
    /// A file's pages are mapped, copied only when written to, where both places are multiples
    /// of the host's pages; else the bytes are read into the memory.
    ///
    /// # Errors
    /// If the image does not fit, or the system refuses.
    pub(crate) fn map_image(&mut self, at: u64, image: Image<'_>) -> Result<()> {
        let page = sys::page_size();
        let start = usize::try_from(at).ok();
        let range = start
            .and_then(|start| Some(start..start.checked_add(image.len())?))
            .filter(|range| range.end <= self.len)
            .ok_or_else(|| {
                Error::with_kind(ErrorKind::Corrupt, "an image outside of its memory")
            })?;
        let result = match image {
            Image::File { file, offset, .. }
                if range.start.is_multiple_of(page) && offset.is_multiple_of(page as u64) =>
            {
                // `committed` is a multiple of the page too, so the last page is in it.
                let end = range.end.next_multiple_of(page);
                let place = self.before + range.start..self.before + end;
                // SAFETY: `&mut self`, and by contract nobody has pointers into the memory yet.
                unsafe { self.mapping.map_over(place, file, offset, Access::ReadWrite) }
            }
            Image::File { file, offset, .. } => {
                sys::read_at(file, &mut self.bytes_mut()[range], offset)
            }
            Image::Bytes(bytes) => {
                self.bytes_mut()[range].copy_from_slice(bytes);
                Ok(())
            }
        };
        result
            .map_err(|error| Error::wrap(ErrorKind::Io, error))
            .context("cannot map the initial contents of a memory")
    }

    /// The bytes that wasm may use. Code of the same store changes them, so the slice must be gone
    /// before any runs: handles tie it to a borrow of the store.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `len` bytes from the base on are readable, and no code runs meanwhile.
        unsafe { std::slice::from_raw_parts(self.base(), self.len) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: `len` bytes from the base on are accessible by the type's invariant, and
        // `&mut self` says that nobody else accesses them now.
        unsafe { std::slice::from_raw_parts_mut(self.base(), self.len) }
    }
}

const GUARDED: u64 = GUARD_BEFORE + GUARD_RESERVATION + GUARD_AFTER;

/// Whether this process can reserve the address space of guarded memories: a limit
/// (`ulimit -v`), a sandbox or a small processor may say no. Tried once.
pub(crate) fn can_reserve_guarded() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        usize::try_from(GUARDED).is_ok_and(|len| Mapping::reserve(len).is_ok())
            && (64 << 10) % sys::page_size() == 0
    })
}

fn too_large(bytes: u64) -> Error {
    Error::with_kind(ErrorKind::Limit, format!("a memory cannot have {bytes} bytes"))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::runtime::vm::sys::memory_file;

    const PAGE: u64 = 64 << 10;

    fn make(min: u64, max: Option<u64>, bounds: Bounds) -> LinearMemory {
        LinearMemory::new(Plan { min_bytes: min, max_bytes: max, bounds, stays: false }).unwrap()
    }

    #[test]
    fn empty_memories_are_fine() {
        for bounds in [Bounds::Guard, Bounds::Explicit] {
            let mut memory = make(0, Some(0), bounds);
            assert!(!memory.base().is_null());
            assert_eq!(memory.len(), 0);
            assert!(memory.range_with_guards().contains(&memory.base().addr()));
            memory.grow_to(0).unwrap();
            assert!(memory.grow_to(PAGE).is_err());
            memory.map_image(0, Image::Bytes(&[])).unwrap();
            assert!(memory.map_image(0, Image::Bytes(&[1])).is_err());
        }
    }

    #[test]
    fn growth_keeps_contents_and_adds_zeros() {
        for (bounds, max) in [(Bounds::Guard, None), (Bounds::Explicit, None)] {
            let mut memory = make(PAGE, max, bounds);
            memory.bytes_mut().fill(9);
            let base = memory.base();
            for len in [PAGE, 3 * PAGE, 64 * PAGE, 200 * PAGE] {
                memory.grow_to(len).unwrap();
                let (old, new) = memory.bytes_mut().split_at(PAGE as usize);
                assert!(old.iter().all(|byte| *byte == 9));
                assert!(new.iter().all(|byte| *byte == 0));
                assert_eq!(memory.len() as u64, len);
            }
            assert_eq!(memory.base() == base, bounds == Bounds::Guard);
            assert!(memory.grow_to(PAGE).is_err());
        }
    }

    #[test]
    fn limits_hold() {
        let mut memory = make(PAGE, Some(2 * PAGE), Bounds::Guard);
        memory.grow_to(2 * PAGE).unwrap();
        assert!(memory.grow_to(2 * PAGE + 1).is_err());
        let mut memory = make(0, None, Bounds::Guard);
        assert!(memory.grow_to(GUARD_RESERVATION + PAGE).is_err());
        memory.grow_to(GUARD_RESERVATION).unwrap();
        // Pages of one byte.
        let mut memory = make(3, Some(100_000), Bounds::Explicit);
        memory.grow_to(99_999).unwrap();
        assert_eq!(memory.len(), 99_999);
        let plan =
            Plan { min_bytes: 2, max_bytes: Some(1), bounds: Bounds::Explicit, stays: false };
        assert!(LinearMemory::new(plan).is_err());
        let plan =
            Plan { min_bytes: u64::MAX, max_bytes: None, bounds: Bounds::Explicit, stays: false };
        assert!(LinearMemory::new(plan).is_err());
    }

    #[test]
    fn images_are_private() {
        let content: Vec<u8> = (0..3 * PAGE).map(|i| (i % 251) as u8).collect();
        let file = memory_file(&content).unwrap();
        for (offset, at, len) in [(0, PAGE, 2 * PAGE), (PAGE, 0, 3000), (17, 5, 5000)] {
            let image = || Image::File { file: &file, offset, len: len as usize };
            let mut memory = make(4 * PAGE, None, Bounds::Guard);
            memory.map_image(at, image()).unwrap();
            let range = at as usize..(at + len) as usize;
            let expected = &content[offset as usize..][..len as usize];
            assert_eq!(&memory.bytes_mut()[range.clone()], expected);
            assert!(memory.bytes_mut()[..at as usize].iter().all(|byte| *byte == 0));
            memory.bytes_mut().fill(1);
            let mut other = make(4 * PAGE, None, Bounds::Explicit);
            other.map_image(at, image()).unwrap();
            assert_eq!(&other.bytes_mut()[range], expected);
            other.grow_to(400 * PAGE).unwrap();
            assert!(other.map_image(400 * PAGE - len + 1, image()).is_err());
            assert!(other.map_image(u64::MAX, image()).is_err());
        }
    }
}
