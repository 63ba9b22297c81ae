//! Memories.

use super::limits::{Growing, Growth};
use super::store::{AsContext, AsContextMut, StoreContext, StoreContextMut, StoreOpaque, Stored};
use super::types::MemoryType;
use super::vm::instance::{Definition, OwnCell};
use super::vm::memory::{LinearMemory, Plan};
use crate::abi::memory_plan::Bounds;
use crate::error::{Error, ErrorKind, Result};
use crate::wasm::types::MemoryDecl;
use std::fmt;

/// A memory of a store.
///
/// ```
/// use precompile::{Engine, Memory, MemoryType, Store};
/// let mut store = Store::new(&Engine::default(), ());
/// let memory = Memory::new(&mut store, MemoryType::new(1, None))?;
/// memory.write(&mut store, 8, b"wasm")?;
/// assert_eq!(&memory.data(&store)[8..12], b"wasm");
/// # Ok::<(), precompile::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Memory(pub(crate) Stored);

/// An access outside of a memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryAccessError(());

impl fmt::Display for MemoryAccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("out of bounds memory access")
    }
}

impl std::error::Error for MemoryAccessError {}

/// A memory of an instance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MemorySlot {
    /// By index in the store.
    Own(usize),
    /// One that other threads use as well, by index among those of the store.
    Shared(usize),
}

pub(crate) struct MemoryData {
    pub(crate) decl: MemoryDecl,
    linear: LinearMemory,
    definition: Definition,
    /// The definition itself, where the host made the memory.
    _own: Option<OwnCell>,
}

impl MemoryData {
    /// A memory whose definition is in an instance's vmctx.
    pub(crate) fn in_instance(
        decl: MemoryDecl,
        linear: LinearMemory,
        definition: Definition,
    ) -> Self {
        let data = MemoryData { decl, linear, definition, _own: None };
        data.publish();
        data
    }

    fn publish(&self) {
        self.definition.set(self.linear.base(), self.linear.len() as u64);
    }

    pub(crate) fn linear_mut(&mut self) -> &mut LinearMemory {
        &mut self.linear
    }

    pub(crate) fn definition(&self) -> Definition {
        self.definition
    }

    /// Size in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.linear.len() as u64
    }

    /// Size in pages.
    pub(crate) fn pages(&self) -> u64 {
        self.linear.len() as u64 >> self.decl.page_size_log2
    }

    /// Grows by `delta` pages; the old size in pages, or `None` where that can't be.
    pub(crate) fn grow(&mut self, delta: u64) -> Option<u64> {
        let old = self.pages();
        let pages = old.checked_add(delta).filter(|pages| *pages <= self.decl.max_pages())?;
        let bytes = pages.checked_mul(1 << self.decl.page_size_log2)?;
        if delta > 0 {
            self.linear.grow_to(bytes).ok()?;
            self.publish();
        }
        Some(old)
    }
}

/// Memory for one of that type.
///
/// # Errors
/// If there is no room.
pub(crate) fn reserve(decl: &MemoryDecl, bounds: Bounds) -> Result<LinearMemory> {
    let too_large = || {
        let message = "the memory is larger than its addresses reach";
        Error::with_kind(ErrorKind::Limit, message)
    };
    let min_bytes = decl.min_bytes().filter(|_| decl.min <= decl.max_pages());
    let min_bytes = min_bytes.ok_or_else(too_large)?;
    let max_bytes = decl.max_pages().checked_mul(1 << decl.page_size_log2);
    let bounds = bounds.of_memory(decl.memory64, decl.page_size_log2);
    LinearMemory::new(Plan { min_bytes, max_bytes, bounds, stays: decl.shared })
}

/// Pages in bytes, or as many as there can be.
pub(crate) fn bytes(decl: &MemoryDecl, pages: u64) -> u64 {
    pages.saturating_mul(1 << decl.page_size_log2)
}

impl StoreOpaque {
    /// Adds a memory; its index.
    pub(crate) fn add_memory(&mut self, memory: MemoryData) -> usize {
        self.register_memory(memory.linear.range_with_guards());
        self.memories.push(memory);
        self.memories.len() - 1
    }

    /// Takes back the memories from that index on, to which nobody has a handle.
    pub(crate) fn forget_memories_from(&mut self, first: usize) {
        for memory in self.memories.split_off(first) {
            self.forget_memory(&memory.linear.range_with_guards());
        }
    }

    /// As [`MemoryData::grow`], for the memory of that index, if the store's limits allow it.
    ///
    /// # Errors
    /// The limiter's.
    pub(crate) fn grow_memory(&mut self, index: usize, delta: u64) -> Result<Option<u64>> {
        let memory = &self.memories[index];
        let growth = Growth {
            current: memory.linear.len() as u64,
            desired: bytes(&memory.decl, memory.pages().saturating_add(delta)),
            maximum: memory.decl.max.map(|max| bytes(&memory.decl, max)),
        };
        if delta > 0 && !self.may_grow(Growing::Memory, growth)? {
            return Ok(None);
        }
        let memory = &mut self.memories[index];
        let before = memory.linear.range_with_guards();
        let old = memory.grow(delta);
        let after = memory.linear.range_with_guards();
        if before != after {
            self.forget_memory(&before);
            self.register_memory(after);
        }
        if old.is_none() {
            self.grow_failed(Growing::Memory, growth)?;
        }
        Ok(old)
    }

    /// Whether the store's limits allow another memory of that type.
    ///
    /// # Errors
    /// If not, or the limiter's.
    pub(crate) fn may_make_memory(&mut self, decl: &MemoryDecl) -> Result<()> {
        let maximum = decl.max.map(|max| bytes(decl, max));
        self.may_make(Growing::Memory, bytes(decl, decl.min), maximum)
    }
}

impl Memory {
    /// A memory made by the host.
    ///
    /// # Errors
    /// If there is no room for it, the store's limits do not allow it, or threads share it: that
    /// is a [`SharedMemory`](crate::SharedMemory).
    pub fn new(mut store: impl AsContextMut, ty: MemoryType) -> Result<Memory> {
        let mut store = store.as_context_mut();
        let store = store.opaque_mut();
        if ty.maximum().is_some_and(|max| max < ty.minimum()) {
            let message = "the memory's minimum is above its maximum";
            return Err(Error::with_kind(ErrorKind::Host, message));
        }
        if ty.is_shared() {
            let message = "a shared memory belongs to no store: see `SharedMemory::new`";
            return Err(Error::with_kind(ErrorKind::Host, message));
        }
        store.may_have(0, 1, 0)?;
        store.may_make_memory(&ty.0)?;
        let mut own = OwnCell::new();
        let definition = own.definition();
        let linear = reserve(&ty.0, store.engine().bounds())?;
        let data = MemoryData { decl: ty.0, linear, definition, _own: Some(own) };
        data.publish();
        let index = store.add_memory(data);
        Ok(Memory(store.stored(index)))
    }

    /// Its type.
    ///
    /// # Panics
    /// If it belongs to another store. So do all methods here.
    pub fn ty(&self, store: impl AsContext) -> MemoryType {
        let store = store.as_context();
        MemoryType(store.opaque().memories[self.0.index(store.opaque())].decl)
    }

    /// Its bytes.
    pub fn data<'a, T: 'static>(&self, store: impl Into<StoreContext<'a, T>>) -> &'a [u8] {
        let store = store.into().opaque();
        store.memories[self.0.index(store)].linear.bytes()
    }

    /// Its bytes.
    pub fn data_mut<'a, T: 'static>(
        &self,
        store: impl Into<StoreContextMut<'a, T>>,
    ) -> &'a mut [u8] {
        self.data_and_store_mut(store).0
    }

    /// Its bytes, and the embedder's data beside them.
    pub fn data_and_store_mut<'a, T: 'static>(
        &self,
        store: impl Into<StoreContextMut<'a, T>>,
    ) -> (&'a mut [u8], &'a mut T) {
        let (store, data) = store.into().into_parts();
        let index = self.0.index(store);
        (store.memories[index].linear.bytes_mut(), data)
    }

    /// Address of its first byte. It may move when the memory grows.
    pub fn data_ptr(&self, store: impl AsContext) -> *mut u8 {
        let store = store.as_context();
        store.opaque().memories[self.0.index(store.opaque())].linear.base()
    }

    /// Size in bytes.
    pub fn data_size(&self, store: impl AsContext) -> usize {
        let store = store.as_context();
        store.opaque().memories[self.0.index(store.opaque())].linear.len()
    }

    /// Size in pages, which have 64 KiB unless its type says otherwise.
    pub fn size(&self, store: impl AsContext) -> u64 {
        let store = store.as_context();
        store.opaque().memories[self.0.index(store.opaque())].pages()
    }

    /// Grows by `delta` pages; the old size in pages.
    ///
    /// # Errors
    /// If the maximum, the store's limits, or what the host has, do not allow it.
    pub fn grow(&self, mut store: impl AsContextMut, delta: u64) -> Result<u64> {
        let mut store = store.as_context_mut();
        let store = store.opaque_mut();
        let index = self.0.index(store);
        store.grow_memory(index, delta)?.ok_or_else(|| {
            Error::with_kind(ErrorKind::Limit, format!("the memory cannot grow by {delta} pages"))
        })
    }

    /// Copies bytes from `offset` on into all of `buffer`.
    ///
    /// # Errors
    /// If these bytes are not all inside; `buffer` is unchanged then.
    pub fn read(
        &self,
        store: impl AsContext,
        offset: usize,
        buffer: &mut [u8],
    ) -> Result<(), MemoryAccessError> {
        let store = store.as_context();
        let end = offset.checked_add(buffer.len()).ok_or(MemoryAccessError(()))?;
        let bytes = self.data(store).get(offset..end).ok_or(MemoryAccessError(()))?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    /// Copies all of `buffer` to `offset` and on.
    ///
    /// # Errors
    /// If these bytes are not all inside; nothing is written then.
    pub fn write(
        &self,
        mut store: impl AsContextMut,
        offset: usize,
        buffer: &[u8],
    ) -> Result<(), MemoryAccessError> {
        let store = store.as_context_mut();
        let end = offset.checked_add(buffer.len()).ok_or(MemoryAccessError(()))?;
        let bytes = self.data_mut(store).get_mut(offset..end).ok_or(MemoryAccessError(()))?;
        bytes.copy_from_slice(buffer);
        Ok(())
    }
}
