//! Limits of a store: how much its instances may take.

use super::store::{Store, StoreOpaque};
use crate::error::{Error, ErrorKind, Result};
use std::fmt;

/// How many of each thing a store may have, unless its limiter says another number.
const DEFAULT_COUNT: usize = 10_000;

/// Most objects in a store's heap, unless its limiter says another number.
pub(crate) const DEFAULT_OBJECTS: usize = usize::MAX;
/// Bytes of a store's heap, where nobody says otherwise.
pub(crate) const DEFAULT_HEAP: usize = 1 << 30;

/// Decides about what a store takes: see [`Store::limiter`].
///
/// It is asked before a memory or table is made or grows, whoever makes it, host or wasm. Sizes of
/// memories are in bytes, those of tables in elements; what is made grows from 0.
///
/// A [`SharedMemory`](crate::SharedMemory) belongs to no store: nobody is asked when the embedder
/// makes one or makes it grow. The limiter of a store is asked about those that modules there
/// define, and when wasm there makes one grow; where another thread was quicker, again. What a
/// store has of them counts as memories.
pub trait ResourceLimiter: Send {
    /// Whether a memory may grow to `desired` bytes; `maximum` is its own, which holds besides.
    ///
    /// # Errors
    /// An error stops wasm; `Ok(false)` makes `memory.grow` fail with -1.
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool>;

    /// A memory that was allowed to grow could not.
    ///
    /// # Errors
    /// An error stops wasm.
    fn memory_grow_failed(&mut self, error: Error) -> Result<()> {
        let _ = error;
        Ok(())
    }

    /// Whether a table may grow to `desired` elements; `maximum` is its own, which holds besides.
    ///
    /// # Errors
    /// An error stops wasm; `Ok(false)` makes `table.grow` fail with -1.
    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool>;

    /// A table that was allowed to grow could not.
    ///
    /// # Errors
    /// An error stops wasm.
    fn table_grow_failed(&mut self, error: Error) -> Result<()> {
        let _ = error;
        Ok(())
    }

    /// Most objects in a store's heap: values of the host that wasm holds, exceptions that it
    /// keeps, and both where they wait to be collected. For whom there is no room, it is an error:
    /// where wasm throws, one that ends it.
    fn heap_objects(&self) -> usize {
        DEFAULT_OBJECTS
    }

    /// Most bytes of these objects, of a value of the host only what it has itself, of an exception
    /// all that it carries. They are no part of any memory, whose limits do not count them.
    fn heap_size(&self) -> usize {
        DEFAULT_HEAP
    }

    /// Most instances of a store.
    fn instances(&self) -> usize {
        DEFAULT_COUNT
    }

    /// Most tables of a store.
    fn tables(&self) -> usize {
        DEFAULT_COUNT
    }

    /// Most memories of a store.
    fn memories(&self) -> usize {
        DEFAULT_COUNT
    }
}

/// Numbers as limits: made by [`StoreLimitsBuilder`].
///
/// ```
/// # #[cfg(all(feature = "compile", feature = "wat"))] {
/// use precompile::{Engine, Instance, Module, Store, StoreLimits, StoreLimitsBuilder};
/// let engine = Engine::default();
/// let limits = StoreLimitsBuilder::new().memory_size(1 << 20).build();
/// let mut store = Store::new(&engine, limits);
/// store.limiter(|limits| limits);
/// let module = Module::new(&engine, r#"(module (memory 1)
///     (func (export "grow") (result i32) (memory.grow (i32.const 16))))"#)?;
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let grow = instance.get_typed_func::<(), i32>(&mut store, "grow")?;
/// assert_eq!(grow.call(&mut store, ())?, -1);
/// # }
/// # Ok::<(), precompile::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct StoreLimits {
    memory_size: Option<usize>,
    table_elements: Option<usize>,
    instances: usize,
    tables: usize,
    memories: usize,
    heap_objects: usize,
    heap_size: usize,
    trap_on_grow_failure: bool,
}

impl Default for StoreLimits {
    fn default() -> Self {
        StoreLimits {
            memory_size: None,
            table_elements: None,
            instances: DEFAULT_COUNT,
            tables: DEFAULT_COUNT,
            memories: DEFAULT_COUNT,
            heap_objects: DEFAULT_OBJECTS,
            heap_size: DEFAULT_HEAP,
            trap_on_grow_failure: false,
        }
    }
}

impl StoreLimits {
    fn decide(
        &self,
        what: &str,
        desired: usize,
        limit: Option<usize>,
        maximum: Option<usize>,
    ) -> Result<bool> {
        let fits = |limit: Option<usize>| limit.is_none_or(|limit| desired <= limit);
        let allowed = fits(limit) && fits(maximum);
        if !allowed && self.trap_on_grow_failure {
            return Err(limit_error(format!("a {what} may not grow to {desired}")));
        }
        Ok(allowed)
    }

    fn failed(&self, error: Error) -> Result<()> {
        if self.trap_on_grow_failure { Err(error) } else { Ok(()) }
    }
}

impl ResourceLimiter for StoreLimits {
    fn memory_growing(&mut self, _: usize, desired: usize, max: Option<usize>) -> Result<bool> {
        self.decide("memory", desired, self.memory_size, max)
    }

    fn memory_grow_failed(&mut self, error: Error) -> Result<()> {
        self.failed(error)
    }

    fn table_growing(&mut self, _: usize, desired: usize, max: Option<usize>) -> Result<bool> {
        self.decide("table", desired, self.table_elements, max)
    }

    fn table_grow_failed(&mut self, error: Error) -> Result<()> {
        self.failed(error)
    }

    fn heap_objects(&self) -> usize {
        self.heap_objects
    }

    fn heap_size(&self) -> usize {
        self.heap_size
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn tables(&self) -> usize {
        self.tables
    }

    fn memories(&self) -> usize {
        self.memories
    }
}

/// Makes [`StoreLimits`]. Without more, counts have a limit of 10,000, the heap one of 1 GiB, and
/// other sizes none.
#[derive(Clone, Debug, Default)]
pub struct StoreLimitsBuilder(StoreLimits);

impl StoreLimitsBuilder {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Most bytes of each memory.
    pub fn memory_size(mut self, limit: usize) -> Self {
        self.0.memory_size = Some(limit);
        self
    }

    /// Most elements of each table.
    pub fn table_elements(mut self, limit: usize) -> Self {
        self.0.table_elements = Some(limit);
        self
    }

    /// Most objects in the store's heap: see [`ResourceLimiter::heap_objects`].
    pub fn heap_objects(mut self, limit: usize) -> Self {
        self.0.heap_objects = limit;
        self
    }

    /// Most bytes of these objects, 1 GiB without this: see [`ResourceLimiter::heap_size`].
    pub fn heap_size(mut self, limit: usize) -> Self {
        self.0.heap_size = limit;
        self
    }

    /// Most instances of the store.
    pub fn instances(mut self, limit: usize) -> Self {
        self.0.instances = limit;
        self
    }

    /// Most tables of the store.
    pub fn tables(mut self, limit: usize) -> Self {
        self.0.tables = limit;
        self
    }

    /// Most memories of the store.
    pub fn memories(mut self, limit: usize) -> Self {
        self.0.memories = limit;
        self
    }

    /// Whether growth that fails stops wasm with an error, instead of telling it by -1.
    pub fn trap_on_grow_failure(mut self, trap: bool) -> Self {
        self.0.trap_on_grow_failure = trap;
        self
    }

    /// The limits.
    pub fn build(self) -> StoreLimits {
        self.0
    }
}

/// How a store finds its limiter.
pub(crate) struct Limiter<T: 'static>(Box<Find<T>>);

type Find<T> = dyn (FnMut(&mut T) -> &mut dyn ResourceLimiter) + Send + Sync + 'static;

impl<T> fmt::Debug for Limiter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Limiter(..)")
    }
}

impl<T: 'static> Limiter<T> {
    pub(crate) fn find<'a>(&'a mut self, data: &'a mut T) -> &'a mut dyn ResourceLimiter {
        (self.0)(data)
    }
}

impl<T: 'static> Store<T> {
    /// Has `limiter` find, in the embedder's data, who decides about the size of memories and
    /// tables, and the numbers of instances, memories and tables. What is there already stays.
    pub fn limiter(
        &mut self,
        limiter: impl (FnMut(&mut T) -> &mut dyn ResourceLimiter) + Send + Sync + 'static,
    ) {
        self.opaque_mut().whole::<T>().limiter = Some(Limiter(Box::new(limiter)));
    }
}

fn limit_error(message: String) -> Error {
    Error::with_kind(ErrorKind::Limit, message)
}

/// As large as the limiter can be told.
fn told(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

/// A size that grows: bytes of a memory, or elements of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growth {
    pub(crate) current: u64,
    pub(crate) desired: u64,
    pub(crate) maximum: Option<u64>,
}

/// What grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Growing {
    Memory,
    Table,
}

impl StoreOpaque {
    /// Whether the limiter, if there is one, allows it.
    ///
    /// # Errors
    /// The limiter's.
    pub(crate) fn may_grow(&mut self, what: Growing, growth: Growth) -> Result<bool> {
        let Growth { current, desired, maximum } = growth;
        let Some(limiter) = self.find_limiter() else { return Ok(true) };
        let (current, desired, maximum) = (told(current), told(desired), maximum.map(told));
        match what {
            Growing::Memory => limiter.memory_growing(current, desired, maximum),
            Growing::Table => limiter.table_growing(current, desired, maximum),
        }
    }

    /// Tells the limiter that growth which it allowed has failed.
    ///
    /// # Errors
    /// The limiter's.
    pub(crate) fn grow_failed(&mut self, what: Growing, growth: Growth) -> Result<()> {
        let Some(limiter) = self.find_limiter() else { return Ok(()) };
        let Growth { current, desired, .. } = growth;
        let from_to = format!("cannot grow from {current} to {desired}");
        match what {
            Growing::Memory => {
                limiter.memory_grow_failed(limit_error(format!("a memory {from_to} bytes")))
            }
            Growing::Table => {
                limiter.table_grow_failed(limit_error(format!("a table {from_to} elements")))
            }
        }
    }

    /// Whether something of that size may be made.
    ///
    /// # Errors
    /// If not, or the limiter's.
    pub(crate) fn may_make(
        &mut self,
        what: Growing,
        size: u64,
        maximum: Option<u64>,
    ) -> Result<()> {
        if self.may_grow(what, Growth { current: 0, desired: size, maximum })? {
            return Ok(());
        }
        Err(limit_error(match what {
            Growing::Memory => format!("the limits of the store allow no memory of {size} bytes"),
            Growing::Table => format!("the limits of the store allow no table of {size} elements"),
        }))
    }

    /// Whether there may be so many more of each.
    ///
    /// # Errors
    /// If not.
    pub(crate) fn may_have(&mut self, instances: u32, memories: u32, tables: u32) -> Result<()> {
        let all_memories = self.memories.len() + self.shared.len();
        let have = [self.instances.len(), all_memories, self.tables.len()];
        let Some(limiter) = self.find_limiter() else { return Ok(()) };
        let limits = [limiter.instances(), limiter.memories(), limiter.tables()];
        let more = [instances, memories, tables];
        let names = ["instances", "memories", "tables"];
        for (((have, more), limit), name) in have.into_iter().zip(more).zip(limits).zip(names) {
            if more > 0 && have.saturating_add(more as usize) > limit {
                return Err(limit_error(format!(
                    "the limits of the store allow {limit} {name}: there are {have}, and {more} \
                     more are needed"
                )));
            }
        }
        Ok(())
    }
}
