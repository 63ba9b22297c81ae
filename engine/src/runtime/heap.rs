//! The heap of a store: what wasm holds by reference and does not own, values of the host first.
//!
//! Code has 32-bit handles. 0 is null; the handle of slot `i` is `2 * (i + 1)`. Odd numbers are
//! kept for small integers, which are references without an object.
//!
//! # Collection
//!
//! Mark and sweep, exact, without moving anything; `collect.rs` knows the roots and when. First
//! all handles that a root holds are [marked](Heap::mark), and with them what their objects refer
//! to; then objects without a mark are [taken out](Heap::sweep), one at a time. Each is dropped by
//! whoever takes it, when the heap is whole again without it: should its `Drop` panic, the rest is
//! garbage that the next collection takes out.
//!
//! A handle that belongs to no object is never followed: [`Heap::get`] has nothing for it, and
//! marking it is an error. Code has none unless the engine is broken or an artifact damaged.

use super::exception::Exception;
use std::any::Any;

/// What a slot of the heap holds.
pub(crate) enum Object {
    /// A value of the host.
    Extern(Box<dyn Any + Send + Sync>),
    Exception(Exception),
}

impl Object {
    /// Bytes that it takes, without what a value of the host has elsewhere.
    pub(crate) fn size(&self) -> usize {
        size_of::<Slot>()
            + match self {
                Object::Extern(value) => size_of_val(&**value),
                Object::Exception(exception) => exception.size(),
            }
    }

    /// Calls `visit` with each reference that the object holds.
    pub(crate) fn children(&self, visit: &mut dyn FnMut(Handle)) {
        match self {
            // Whatever it has inside, no handle of wasm is among it.
            Object::Extern(_) => {}
            Object::Exception(exception) => exception.children(visit),
        }
    }
}

/// What code has for an object.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Handle(u32);

impl Handle {
    /// Most objects that a heap can have at once.
    const MAX_OBJECTS: usize = (u32::MAX / 2) as usize;

    fn of_slot(slot: usize) -> Option<Handle> {
        (slot < Handle::MAX_OBJECTS).then(|| Handle((slot as u32 + 1) * 2))
    }

    /// `None` for what is no object's.
    fn slot(self) -> Option<usize> {
        let even = self.0.is_multiple_of(2);
        (self.0 / 2).checked_sub(1).filter(|_| even).map(|slot| slot as usize)
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

/// A handle of no object was found among references.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Dangling(pub(crate) Handle);

/// Slots that an empty heap keeps room for, once it had so many.
const KEPT_SLOTS: usize = 16 << 10;

enum Slot {
    Used(Object),
    /// The next one that is free.
    Free(Option<u32>),
}

/// All objects of a store.
#[derive(Default)]
pub(crate) struct Heap {
    slots: Vec<Slot>,
    /// The first free slot.
    free: Option<u32>,
    live: usize,
    /// What they take.
    bytes: usize,
    /// What those take that are marked.
    marked_bytes: usize,
    /// A bit a slot.
    marks: Vec<u64>,
    /// Marked, and still to be asked for children.
    pending: Vec<Handle>,
    /// Slots that [`Heap::sweep`] has not looked at.
    unswept: usize,
}

impl Heap {
    /// How many objects there are.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// How many bytes they take: see [`Object::size`].
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts `object` into the heap, or gives it back if all handles are taken.
    pub(crate) fn alloc(&mut self, object: Object) -> Result<Handle, Object> {
        let slot = self.free.map_or(self.slots.len(), |slot| slot as usize);
        let Some(handle) = Handle::of_slot(slot) else { return Err(object) };
        self.bytes += object.size();
        match self.slots.get_mut(slot) {
            Some(place) => {
                if let Slot::Free(next) = std::mem::replace(place, Slot::Used(object)) {
                    self.free = next;
                }
            }
            None => self.slots.push(Slot::Used(object)),
        }
        self.live += 1;
        Ok(handle)
    }

    /// The object of `handle`.
    pub(crate) fn get(&self, handle: Handle) -> Option<&Object> {
        match self.slots.get(handle.slot()?)? {
            Slot::Used(object) => Some(object),
            Slot::Free(_) => None,
        }
    }

    /// The object of `handle`.
    pub(crate) fn get_mut(&mut self, handle: Handle) -> Option<&mut Object> {
        match self.slots.get_mut(handle.slot()?)? {
            Slot::Used(object) => Some(object),
            Slot::Free(_) => None,
        }
    }

    /// Begins a collection: nothing is marked.
    pub(crate) fn unmark_all(&mut self) {
        self.marks.clear();
        self.marks.resize(self.slots.len().div_ceil(64), 0);
        self.pending.clear();
        self.marked_bytes = 0;
    }

    /// Marks the object of `handle`. What it refers to follows with [`mark_children`].
    ///
    /// [`mark_children`]: Heap::mark_children
    ///
    /// # Errors
    /// If there is no such object.
    pub(crate) fn mark(&mut self, handle: Handle) -> Result<(), Dangling> {
        let slot = handle.slot().ok_or(Dangling(handle))?;
        let Some(Slot::Used(object)) = self.slots.get(slot) else {
            return Err(Dangling(handle));
        };
        let (word, bit) = (&mut self.marks[slot / 64], 1 << (slot % 64));
        if *word & bit == 0 {
            *word |= bit;
            self.marked_bytes += object.size();
            self.pending.push(handle);
        }
        Ok(())
    }

    /// Marks all that marked objects lead to; how many objects are marked in the end, and how many
    /// bytes they take.
    ///
    /// # Errors
    /// If one refers to an object that is not there.
    pub(crate) fn mark_children(&mut self) -> Result<(usize, usize), Dangling> {
        let mut found = Vec::new();
        while let Some(handle) = self.pending.pop() {
            if let Some(object) = self.get(handle) {
                object.children(&mut |child| found.push(child));
            }
            found.drain(..).try_for_each(|child| self.mark(child))?;
        }
        self.pending = Vec::new();
        self.unswept = self.slots.len();
        let marked = self.marks.iter().map(|word| word.count_ones() as usize).sum();
        Ok((marked, self.marked_bytes))
    }

    /// Takes the next object without a mark out of the heap; `None` when there are no more.
    ///
    /// To be called until then, and nothing else in between: from the last slot to the first, so
    /// that low slots are used again first, and those behind the last object are given back.
    pub(crate) fn sweep(&mut self) -> Option<Object> {
        if self.unswept == self.slots.len() {
            self.free = None;
        }
        while let Some(slot) = self.unswept.checked_sub(1) {
            self.unswept = slot;
            if self.marks[slot / 64] >> (slot % 64) & 1 != 0 {
                continue;
            }
            let last = slot + 1 == self.slots.len();
            let taken = if last {
                self.slots.pop()
            } else {
                // Below 2^31.
                let free = Slot::Free(self.free.replace(slot as u32));
                Some(std::mem::replace(&mut self.slots[slot], free))
            };
            if let Some(Slot::Used(object)) = taken {
                self.live -= 1;
                self.bytes -= object.size();
                return Some(object);
            }
        }
        // What was needed once is kept for the next time, but for a large excess.
        let enough = self.slots.len() * 2 + KEPT_SLOTS;
        if self.slots.capacity() / 2 > enough {
            self.slots.shrink_to(enough);
            self.marks = Vec::new();
        }
        None
    }
}
