//! Memories that several threads use at once.

use super::limits::{Growing, Growth};
use super::memory::{self, MemorySlot};
use super::parking::{Parking, WaitResult};
use super::store::StoreOpaque;
use super::types::MemoryType;
use super::vm::memory::LinearMemory;
use super::vm::shared::SharedLinear;
use crate::error::{Error, ErrorKind, Result};
use crate::wasm::types::MemoryDecl;
use crate::{Engine, Features, Trap};
use std::cell::UnsafeCell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A memory that several threads use at once.
///
/// It belongs to no store: each thread has a store of its own, and gives the memory to the
/// instances there. Cheap to clone: all clones are the same memory, which is there as long as one
/// of them, or a store with an instance that has it.
///
/// ```
/// # #[cfg(all(feature = "compile", feature = "wat"))] {
/// use precompile::{Config, Engine, Linker, MemoryType, Module, SharedMemory, Store};
/// use std::thread;
/// let mut config = Config::new();
/// config.wasm_threads(true);
/// let engine = Engine::new(&config)?;
/// let module = Module::new(&engine, r#"(module
///     (import "env" "memory" (memory 1 1 shared))
///     (func (export "add") (result i32)
///         (i32.atomic.rmw.add (i32.const 0) (i32.const 1))))"#)?;
/// let memory = SharedMemory::new(&engine, MemoryType::shared(1, 1))?;
/// thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| {
///             let mut store = Store::new(&engine, ());
///             let mut linker = Linker::new(&engine);
///             linker.define(&store, "env", "memory", memory.clone())?;
///             let instance = linker.instantiate(&mut store, &module)?;
///             instance.get_typed_func::<(), i32>(&mut store, "add")?.call(&mut store, ())
///         });
///     }
/// });
/// // Nobody waits for a 4 that is there.
/// let result = memory.atomic_wait32(0, 0, None)?;
/// assert_eq!(result, precompile::WaitResult::Mismatch);
/// # }
/// # Ok::<(), precompile::Error>(())
/// ```
///
/// # What is guaranteed, and what is not
///
/// - Atomic operators of wasm, [`atomic_notify`](SharedMemory::atomic_notify) and the waits are in
///   one order that all threads see. Whatever a thread did before one of them is seen by a thread
///   behind the one that has read from it.
/// - Other accesses of wasm are ordinary loads and stores of the processor. Those that race with
///   each other see some value that was written, maybe torn, and in no particular order; bulk
///   operations go through their bytes in any order. No race leaves the memory, or the sandbox.
/// - It never moves and never shrinks: its maximum is reserved when it is made, as address space
///   only. Growth in one thread is seen by others with the next atomic operator, at the latest; an
///   access of theirs that races with it traps or does not.
/// - Growth by wasm asks the limiter of the store in which that wasm runs; growth from here asks
///   nobody. So the memory's maximum is the limit that counts for all its users.
/// - A wait of wasm ends at the deadline of its store, if the engine has
///   [epochs](crate::Config::epoch_interruption), some hundredths of a second later; without them
///   it takes as long as it takes. A trap in one thread means nothing to the others: whoever holds
///   a lock of theirs then does not give it back.
#[derive(Clone)]
pub struct SharedMemory(Arc<Inner>);

struct Inner {
    engine: Engine,
    decl: MemoryDecl,
    linear: SharedLinear,
    parking: Parking,
}

/// What a wait expects to find.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expected {
    Bits32(u32),
    Bits64(u64),
}

impl Expected {
    fn size(self) -> u64 {
        match self {
            Expected::Bits32(_) => 4,
            Expected::Bits64(_) => 8,
        }
    }

    /// Whether it is at `address`; `None` if that is out of bounds.
    fn is_at(self, memory: &SharedLinear, address: u64) -> Option<bool> {
        match self {
            Expected::Bits32(value) => memory.load32(address).map(|found| found == value),
            Expected::Bits64(value) => memory.load64(address).map(|found| found == value),
        }
    }
}

impl fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedMemory").field("ty", &self.ty()).finish_non_exhaustive()
    }
}

impl SharedMemory {
    /// A memory of zeros, for stores of `engine`.
    ///
    /// # Errors
    /// If `ty` is not [shared](MemoryType::is_shared) or its minimum above its maximum, if the
    /// engine has no [threads](crate::Config::wasm_threads) or no
    /// [shared memories](crate::Config::shared_memory), or if there is no room for its maximum.
    pub fn new(engine: &Engine, ty: MemoryType) -> Result<SharedMemory> {
        let host = |message| Err(Error::with_kind(ErrorKind::Host, message));
        if !ty.is_shared() || ty.maximum().is_none() {
            return host("a shared memory is of a shared type: see `MemoryType::shared`");
        }
        if ty.maximum().is_some_and(|max| max < ty.minimum()) {
            return host("the memory's minimum is above its maximum");
        }
        if !engine.config().compile.features.contains(Features::THREADS) {
            let message = "this engine has no shared memories: see `Config::wasm_threads`";
            return Err(Error::with_kind(ErrorKind::Config, message));
        }
        SharedMemory::share(engine, ty.0, memory::reserve(&ty.0, engine.bounds())?)
    }

    /// Shares a memory of that type, which nobody else uses yet.
    ///
    /// # Errors
    /// If the engine does not allow it.
    pub(crate) fn share(engine: &Engine, decl: MemoryDecl, linear: LinearMemory) -> Result<Self> {
        if !engine.config().runtime.shared_memory {
            let message = "this engine makes no shared memories: see `Config::shared_memory`";
            return Err(Error::with_kind(ErrorKind::Config, message));
        }
        let linear = SharedLinear::new(linear);
        let (engine, parking) = (engine.clone(), Parking::default());
        Ok(SharedMemory(Arc::new(Inner { engine, decl, linear, parking })))
    }

    /// Its type.
    pub fn ty(&self) -> MemoryType {
        MemoryType(self.0.decl)
    }

    /// Its type, with the size that it has now as the minimum.
    pub(crate) fn current_type(&self) -> MemoryType {
        MemoryType(MemoryDecl { min: self.size(), ..self.0.decl })
    }

    /// Size in pages, which have 64 KiB unless its type says otherwise. Others may make it larger
    /// at any time.
    pub fn size(&self) -> u64 {
        self.0.linear.len() >> self.0.decl.page_size_log2
    }

    /// Bytes a page.
    pub fn page_size(&self) -> u64 {
        self.ty().page_size()
    }

    /// Size in bytes.
    pub fn data_size(&self) -> usize {
        self.0.linear.len() as usize
    }

    /// The bytes that it has now. They stay where they are, and when the memory grows this slice
    /// does not.
    ///
    /// Other threads may write to them at any time, so plain reads and writes of them from Rust
    /// are wrong, whatever the pointer that they go through: cells are all that this promises. Go
    /// through the types of [`std::sync::atomic`], of one size for each byte, and mind that code
    /// of wasm uses any sizes.
    pub fn data(&self) -> &[UnsafeCell<u8>] {
        self.0.linear.cells()
    }

    /// Grows by `delta` pages; the old size in pages.
    ///
    /// # Errors
    /// If its maximum, or what the host has, do not allow it.
    pub fn grow(&self, delta: u64) -> Result<u64> {
        loop {
            let pages = self.size();
            if let Some(done) = self.grow_from(pages, delta) {
                return done.map(|()| pages).map_err(|_| {
                    let message = format!("the memory cannot grow by {delta} pages");
                    Error::with_kind(ErrorKind::Limit, message)
                });
            }
        }
    }

    /// Grows by `delta` pages; `None` if it has not `pages` any more.
    fn grow_from(&self, pages: u64, delta: u64) -> Option<Result<(), ()>> {
        let desired = pages.checked_add(delta).filter(|all| *all <= self.0.decl.max_pages());
        let Some(desired) = desired else { return Some(Err(())) };
        let bytes = |pages| memory::bytes(&self.0.decl, pages);
        match self.0.linear.grow(bytes(pages), bytes(desired)) {
            Ok(true) => Some(Ok(())),
            Ok(false) => None,
            Err(_) => Some(Err(())),
        }
    }

    /// The operator `memory.atomic.notify`: wakes `count` threads at most that wait at `addr`, in
    /// the order in which they came; how many it were.
    ///
    /// # Errors
    /// If `addr` is not a multiple of 4, or out of bounds.
    pub fn atomic_notify(&self, addr: u64, count: u32) -> Result<u32, Trap> {
        if !addr.is_multiple_of(4) {
            return Err(Trap::HeapMisaligned);
        }
        if addr.checked_add(4).is_none_or(|end| end > self.0.linear.len()) {
            return Err(Trap::MemoryOutOfBounds);
        }
        Ok(self.0.parking.notify(addr, count))
    }

    /// The operator `memory.atomic.wait32`: waits until somebody notifies at `addr`, if the number
    /// there is the `expected` one. Never ends by chance, and no epoch ends it.
    ///
    /// # Errors
    /// If `addr` is not a multiple of 4, or out of bounds.
    pub fn atomic_wait32(
        &self,
        addr: u64,
        expected: u32,
        timeout: Option<Duration>,
    ) -> Result<WaitResult, Trap> {
        self.wait_here(addr, Expected::Bits32(expected), timeout)
    }

    /// As [`atomic_wait32`](SharedMemory::atomic_wait32), with a number of 64 bits.
    ///
    /// # Errors
    /// If `addr` is not a multiple of 8, or out of bounds.
    pub fn atomic_wait64(
        &self,
        addr: u64,
        expected: u64,
        timeout: Option<Duration>,
    ) -> Result<WaitResult, Trap> {
        self.wait_here(addr, Expected::Bits64(expected), timeout)
    }

    fn wait_here(
        &self,
        address: u64,
        expected: Expected,
        timeout: Option<Duration>,
    ) -> Result<WaitResult, Trap> {
        self.check(address, expected)?;
        let as_expected = || expected.is_at(&self.0.linear, address) == Some(true);
        let result = self.0.parking.wait(address, as_expected, timeout, None);
        Ok(result.expect("nobody was asked who could have failed"))
    }

    /// # Errors
    /// If a number of that size cannot be at `address`.
    fn check(&self, address: u64, expected: Expected) -> Result<(), Trap> {
        if !address.is_multiple_of(expected.size()) {
            return Err(Trap::HeapMisaligned);
        }
        expected.is_at(&self.0.linear, address).map(drop).ok_or(Trap::MemoryOutOfBounds)
    }

    /// Copies `bytes` to `at`; `None` if they do not all fit.
    pub(crate) fn write(&self, at: u64, bytes: &[u8]) -> Option<()> {
        self.0.linear.write(at, bytes)
    }

    pub(crate) fn linear(&self) -> &SharedLinear {
        &self.0.linear
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    fn same(&self, other: &SharedMemory) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl StoreOpaque {
    /// Makes `memory` one that instances here use; its index among those.
    pub(crate) fn add_shared(&mut self, memory: &SharedMemory) -> usize {
        if let Some(known) = self.shared.iter().position(|known| known.same(memory)) {
            return known;
        }
        self.register_memory(memory.0.linear.range_with_guards());
        self.shared.push(memory.clone());
        self.shared.len() - 1
    }

    /// Takes back the shared memories from that index on, which no instance has.
    pub(crate) fn forget_shared_from(&mut self, first: usize) {
        for memory in self.shared.split_off(first) {
            self.forget_memory(&memory.0.linear.range_with_guards());
        }
    }

    /// `memory.grow` of the shared memory with that index, if the store's limits allow it.
    ///
    /// # Errors
    /// The limiter's.
    pub(crate) fn grow_shared(&mut self, index: usize, delta: u64) -> Result<Option<u64>> {
        let memory = self.shared[index].clone();
        let decl = &memory.0.decl;
        loop {
            let pages = memory.size();
            if delta == 0 {
                return Ok(Some(pages));
            }
            let growth = Growth {
                current: memory::bytes(decl, pages),
                desired: memory::bytes(decl, pages.saturating_add(delta)),
                maximum: decl.max.map(|max| memory::bytes(decl, max)),
            };
            // The limiter is the embedder's code, so nothing is locked while it is asked. Where
            // another thread was quicker it was asked about something else, and is asked again.
            if !self.may_grow(Growing::Memory, growth)? {
                return Ok(None);
            }
            match memory.grow_from(pages, delta) {
                Some(Ok(())) => return Ok(Some(pages)),
                Some(Err(())) => {
                    self.grow_failed(Growing::Memory, growth)?;
                    return Ok(None);
                }
                None => {}
            }
        }
    }

    /// The operators `memory.atomic.wait32` and `wait64`; a negative timeout is none.
    ///
    /// # Errors
    /// A trap for a wrong address or at the deadline; what is asked there may fail otherwise.
    pub(crate) fn wait(
        &mut self,
        memory: MemorySlot,
        address: u64,
        expected: Expected,
        nanoseconds: i64,
    ) -> Result<WaitResult> {
        let MemorySlot::Shared(index) = memory else {
            return Err(Trap::AtomicWaitNonSharedMemory.into());
        };
        let memory = self.shared[index].clone();
        memory.check(address, expected)?;
        let as_expected = || expected.is_at(&memory.0.linear, address) == Some(true);
        let timeout = u64::try_from(nanoseconds).ok().map(Duration::from_nanos);
        let epochs = self.engine().config().compile.epoch_interruption;
        let mut look = || self.check_epoch();
        let go_on = epochs.then_some(&mut look as &mut dyn FnMut() -> Result<()>);
        memory.0.parking.wait(address, as_expected, timeout, go_on)
    }

    /// The operator `memory.atomic.notify`, of any memory.
    ///
    /// # Errors
    /// A trap for a wrong address.
    pub(crate) fn notify(&mut self, memory: MemorySlot, address: u64, count: u32) -> Result<u32> {
        let len = match memory {
            MemorySlot::Shared(index) => {
                return Ok(self.shared[index].atomic_notify(address, count)?);
            }
            MemorySlot::Own(index) => self.memories[index].len(),
        };
        // Nobody can wait there.
        let inside = address.checked_add(4).is_some_and(|end| end <= len);
        if inside { Ok(0) } else { Err(Trap::MemoryOutOfBounds.into()) }
    }
}
