//! The heap of a store: what wasm holds by reference and does not own, values of the host first.
//!
//! Code has 32-bit handles. 0 is null; the handle of slot `i` is `2 * (i + 1)`. Odd numbers are
//! kept for small integers, which are references without an object.

use crate::error::{Error, ErrorKind, Result};
use std::any::Any;

/// What a slot of the heap holds.
pub(crate) enum Object {
    /// A value of the host.
    Extern(Box<dyn Any + Send + Sync>),
}

/// What code has for an object.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Handle(u32);

impl Handle {
    /// Most objects that a heap can have at once.
    const MAX_OBJECTS: usize = (u32::MAX / 2) as usize;

    fn of_slot(slot: usize) -> Option<Handle> {
        (slot < Handle::MAX_OBJECTS).then(|| Handle((slot as u32 + 1) * 2))
    }

    fn slot(self) -> usize {
        (self.0 / 2 - 1) as usize
    }

    /// From the number that code has; `None` for null.
    pub(crate) fn from_raw(raw: u32) -> Option<Handle> {
        (raw != 0).then_some(Handle(raw))
    }

    /// The number that code has for it, 0 for null.
    pub(crate) fn to_raw(handle: Option<Handle>) -> u32 {
        handle.map_or(0, |handle| handle.0)
    }
}

/// All objects of a store.
#[derive(Default)]
pub(crate) struct Heap {
    slots: Vec<Object>,
}

impl Heap {
    /// Puts `object` into the heap.
    ///
    /// # Errors
    /// If the heap is full.
    pub(crate) fn alloc(&mut self, object: Object) -> Result<Handle> {
        let Some(handle) = Handle::of_slot(self.slots.len()) else {
            return Err(Error::with_kind(ErrorKind::Limit, "the store's heap is full"));
        };
        self.slots.push(object);
        Ok(handle)
    }

    /// The object of `handle`.
    pub(crate) fn get(&self, handle: Handle) -> Option<&Object> {
        self.slots.get(handle.slot())
    }
}
