//! Collections of a store's heap: when, from which roots, and how embedders ask for one.
//!
//! Roots are all places from which code or the host could still get at an object:
//!
//! - globals and tables of the store, whoever made them (what a passive segment holds is a null or
//!   a global's value);
//! - frames of wasm, of all activations (`vm/scan.rs`);
//! - what the host holds (`roots.rs`), and the exception that an error of its stands for;
//! - what is in flight: the object that is about to be put into the heap, whose references are in
//!   no other place by then.
//!
//! **Nothing else may hold a handle while a collection can happen.** They happen where an object
//! is put into the heap and where the host asks for one, so never between the host's code and
//! wasm: what a trampoline has in its array of values, arguments or results, was rooted or moved
//! on before anything could be allocated. Traps and other ways to leave wasm allocate nothing.
//!
//! # When
//!
//! At an allocation, if there were as many since the last collection as make up for its work: the
//! objects that survived it, and the roots that it looked at. At least [`FLOOR`] of them. Or if they
//! take as many bytes as the survivors did, and [`BYTES_FLOOR`] at least: exceptions may be large. Of
//! a value of the host only its own bytes are counted: whoever puts in few that own much should call
//! `gc` himself.
//!
//! And at an allocation for which the heap is full. If all but a little is alive each time, the next
//! allocations would each wait for a collection of everything: so after [`PATIENCE`] such collections
//! in a row, one that finds no more is the last, and its allocation fails. That ends the wasm that
//! wanted it; when other wasm does, there is another collection. The host may go on: for it the heap
//! has no room until there were as many allocations, in vain, as make up for the work of another one,
//! or it asks for it. Small heaps are collected as often as they are full.

use super::heap::{Dangling, Handle, Heap, Object};
use super::limits::{DEFAULT_HEAP, DEFAULT_OBJECTS};
use super::store::{AsContextMut, Store, StoreContextMut, StoreOpaque};
use super::vm::instance::GlobalCell;
use crate::error::{Error, ErrorKind, Result};
use crate::wasm::types::ValType;

/// Fewest allocations between two collections that nobody asked for.
const FLOOR: usize = 8 << 10;

/// Roots that take as much time as an object.
const ROOTS_AN_OBJECT: usize = 8;

/// Fewest bytes that are allocated in between.
const BYTES_FLOOR: usize = 4 << 20;

/// Collections of a full heap in a row that may free too little for their work.
const PATIENCE: u32 = 16;

/// Work, as of [`work`], for which an allocation makes up, or an object of the same size that was
/// freed.
const WORTH: usize = 64;

/// Work that nobody has to make up for.
const SMALL: usize = 16 << 10;

/// What it costs to look at so many objects with so many bytes: exceptions have references there.
fn work(objects: usize, bytes: usize) -> usize {
    objects.saturating_add(bytes / 64)
}

/// When the next collection is due: when there is nothing left of one of the first two.
pub(crate) struct Schedule {
    /// Allocations until then.
    left: usize,
    /// Bytes of objects until then.
    bytes_left: usize,
    /// That of the last collection.
    work: usize,
    /// That of all objects that were to be put into the heap since then.
    since: usize,
    /// Collections of a full heap, the last ones, that were not worth it.
    poor: u32,
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule { left: FLOOR, bytes_left: BYTES_FLOOR, work: 0, since: 0, poor: 0 }
    }
}

impl Schedule {
    /// After an allocation that failed, and ended who wanted it: the next one is not at once.
    pub(super) fn forgive(&mut self) {
        self.poor = self.poor.min(PATIENCE);
    }

    /// Whether `gain` makes up for a collection like the last one.
    fn pays(&self, gain: usize) -> bool {
        gain.saturating_mul(WORTH).saturating_add(SMALL) >= self.work
    }
}

impl StoreOpaque {
    /// Makes a global of type `ty` a root, if such globals are.
    pub(crate) fn note_global(&mut self, ty: ValType, cell: GlobalCell) {
        if ty.in_heap() {
            self.reference_globals.push(cell);
        }
    }

    /// Puts `object` into the heap, perhaps after a collection.
    ///
    /// # Errors
    /// Those of [`collect`](StoreOpaque::collect); or, with the object, that there is no room.
    pub(crate) fn alloc(&mut self, object: Object) -> Result<Result<Handle, Object>> {
        let (most, room) = self
            .find_limiter()
            .map_or((DEFAULT_OBJECTS, DEFAULT_HEAP), |l| (l.heap_objects(), l.heap_size()));
        let size = object.size();
        let is_full = |heap: &Heap| heap.live() >= most || size > room.saturating_sub(heap.bytes());
        self.schedule.since = self.schedule.since.saturating_add(work(1, size));
        let Schedule { left, bytes_left, since, poor, .. } = self.schedule;
        if is_full(&self.heap) {
            if poor > PATIENCE && !self.schedule.pays(since) {
                return Ok(Err(object));
            }
            let (live, bytes) = (self.heap.live(), self.heap.bytes());
            self.collect(Some(&object))?;
            let freed = work(live - self.heap.live(), bytes - self.heap.bytes());
            self.schedule.poor = if self.schedule.pays(freed) { 0 } else { poor.saturating_add(1) };
            if self.schedule.poor > PATIENCE {
                return Ok(Err(object));
            }
        } else if left == 0 || bytes_left == 0 {
            self.collect(Some(&object))?;
        }
        if is_full(&self.heap) {
            return Ok(Err(object));
        }
        self.schedule.left = self.schedule.left.saturating_sub(1);
        self.schedule.bytes_left = self.schedule.bytes_left.saturating_sub(size);
        Ok(self.heap.alloc(object))
    }

    /// Drops all objects that cannot be reached any more, beside `in_flight` and what it leads to.
    ///
    /// # Errors
    /// `Bug` if a root refers to what is not there, or `Corrupt` if an artifact does not say where
    /// roots are: then nothing is dropped.
    ///
    /// # Panics
    /// If a value's `Drop` does. The heap is whole then, and the rest is left to the next one.
    pub(crate) fn collect(&mut self, in_flight: Option<&Object>) -> Result<()> {
        self.heap.unmark_all();
        let roots = self.mark_roots(in_flight)?;
        let (marked, bytes) = self.heap.mark_children().map_err(dangling)?;
        let objects = marked + roots / ROOTS_AN_OBJECT;
        self.schedule = Schedule {
            left: objects.max(FLOOR),
            bytes_left: bytes.max(BYTES_FLOOR),
            work: work(objects, bytes),
            since: 0,
            poor: 0,
        };
        while let Some(object) = self.heap.sweep() {
            drop(object);
        }
        Ok(())
    }

    /// Marks what roots refer to; how many roots there were.
    fn mark_roots(&mut self, in_flight: Option<&Object>) -> Result<usize> {
        let StoreOpaque { heap, reference_globals, tables, roots, execution, .. } = self;
        let pending = self.pending_exception;
        let mut count = 0;
        let mut mark = |raw: u32| {
            count += 1;
            Handle::from_raw(raw).map_or(Ok(()), |handle| heap.mark(handle)).map_err(dangling)
        };
        for cell in reference_globals {
            mark(cell.get().as_u32())?;
        }
        for table in tables {
            table.handles().try_for_each(&mut mark)?;
        }
        for handle in roots.handles().chain(pending) {
            mark(Handle::to_raw(Some(handle)))?;
        }
        let mut held = Ok(());
        if let Some(object) = in_flight {
            object.children(&mut |child| {
                held = std::mem::replace(&mut held, Ok(()))
                    .and_then(|()| mark(Handle::to_raw(Some(child))));
            });
        }
        held?;
        execution.scan(&mut mark)?;
        Ok(count)
    }
}

fn dangling(Dangling(handle): Dangling) -> Error {
    let message = format!(
        "the store's heap cannot be collected: {handle:?} is held, but there is no such object; \
         the engine is broken, or an artifact damaged"
    );
    Error::with_kind(ErrorKind::Bug, message)
}

/// A store's heap has no room for another object: what [`ExternRef::new`](crate::ExternRef::new)
/// fails with, with the value in it.
///
/// Where collections of a large heap find next to nothing again and again, not each failure comes
/// after another one: let go of what can be, call [`Store::gc`](crate::Store::gc), and try again.
pub struct GcHeapOutOfMemory<T> {
    value: T,
}

impl<T> GcHeapOutOfMemory<T> {
    pub(crate) fn new(value: T) -> Self {
        GcHeapOutOfMemory { value }
    }

    /// The value that there was no room for.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> std::fmt::Debug for GcHeapOutOfMemory<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GcHeapOutOfMemory").finish_non_exhaustive()
    }
}

impl<T> std::fmt::Display for GcHeapOutOfMemory<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(
            "the store's heap has no room for another object, and collections found next to nothing \
             to drop; let go of references and call `Store::gc`, or let the store's limiter allow more",
        )
    }
}

impl<T> std::error::Error for GcHeapOutOfMemory<T> {}

impl<T: 'static> Store<T> {
    /// Drops all values of the host that neither wasm nor the host can reach any more, now.
    ///
    /// There is no need to call it: collections happen by themselves when enough was put into the
    /// heap since the last one. But they count values and don't measure them, so a few large ones
    /// may be reason enough. `why` is there for code that comes from wasmtime, and is not looked at.
    ///
    /// Values are dropped in no particular order. They can't reach the store meanwhile, and may
    /// take their time.
    ///
    /// ```
    /// use precompile::{Engine, ExternRef, RootScope, Store};
    /// use std::sync::Arc;
    /// let mut store = Store::new(&Engine::default(), ());
    /// let value = Arc::new(1);
    /// ExternRef::new(RootScope::new(&mut store), value.clone())?;
    /// store.gc(None)?;
    /// assert_eq!(Arc::strong_count(&value), 1);
    /// # Ok::<(), precompile::Error>(())
    /// ```
    ///
    /// # Errors
    /// If an artifact is damaged in what it says of references on the stack; nothing is dropped
    /// then.
    ///
    /// # Panics
    /// If the `Drop` of a value does. What was not dropped yet, the next collection will.
    pub fn gc(&mut self, why: Option<&GcHeapOutOfMemory<()>>) -> Result<()> {
        self.as_context_mut().gc(why)
    }
}

impl<T: 'static> StoreContextMut<'_, T> {
    /// As [`Store::gc`].
    ///
    /// # Errors
    /// Likewise.
    ///
    /// # Panics
    /// Likewise.
    pub fn gc(&mut self, why: Option<&GcHeapOutOfMemory<()>>) -> Result<()> {
        let _ = why;
        self.opaque_mut().collect(None)
    }
}

impl<T: 'static> super::func::Caller<'_, T> {
    /// As [`Store::gc`]. What wasm still needs after this call stays.
    ///
    /// # Errors
    /// Likewise.
    ///
    /// # Panics
    /// Likewise.
    pub fn gc(&mut self, why: Option<&GcHeapOutOfMemory<()>>) -> Result<()> {
        self.as_context_mut().gc(why)
    }
}
