//! Stores: what instances live in, and how embedders get at it.

use super::collect::Schedule;
use super::func::Func;
use super::global::GlobalData;
use super::heap::{Handle, Heap};
use super::host::HostFunc;
use super::instance::InstanceData;
use super::interrupt::{self, OnDeadline, UpdateDeadline};
use super::limits::{Limiter, ResourceLimiter};
use super::memory::MemoryData;
use super::module::Module;
use super::roots::Roots;
use super::shared::SharedMemory;
use super::table::TableData;
use super::tag::TagData;
use super::vm::call::RootCtx;
use super::vm::entry::ExecutionBox;
use super::vm::instance::{FuncRef, GlobalCell, HostFuncRef};
use crate::Engine;
use crate::error::{Error, ErrorKind, Result};
use std::any::TypeId;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What instances, memories, tables, globals and functions live in, with the embedder's `T`.
///
/// Everything made in a store lives until the store is dropped. Handles ([`Func`],
/// [`Memory`](crate::Memory), …) are small and `Copy`; using one with another store is an error
/// or a panic, as its methods say.
///
/// ```
/// use precompile::{Engine, Store};
/// let mut store = Store::new(&Engine::default(), 1);
/// *store.data_mut() += 1;
/// assert_eq!(store.into_data(), 2);
/// ```
///
/// A store is one of exactly its `T`, since host functions made for a subtype or a supertype of
/// it would take its data for something else:
///
/// ```compile_fail
/// use precompile::{Engine, Store};
/// fn narrow(store: Store<for<'a> fn(&'a str)>) -> Store<fn(&'static str)> {
///     store
/// }
/// ```
pub struct Store<T: 'static> {
    inner: Box<StoreInner<T>>,
    invariant: PhantomData<fn(T) -> T>,
}

/// A store behind its handle. `opaque` is first, so that a pointer to it is one to all of it.
#[repr(C)]
pub(crate) struct StoreInner<T: 'static> {
    opaque: StoreOpaque,
    data: T,
    pub(crate) limiter: Option<Limiter<T>>,
    pub(crate) on_deadline: Option<OnDeadline<T>>,
}

/// What of a store does not depend on `T`.
pub struct StoreOpaque {
    id: u64,
    engine: Engine,
    typed: Typed,
    /// Fuel beyond what the counter has room for.
    pub(crate) fuel_reserve: u64,
    pub(crate) root: RootCtx,
    pub(crate) instances: Vec<InstanceData>,
    pub(crate) memories: Vec<MemoryData>,
    /// Memories that other threads use as well, each once.
    pub(crate) shared: Vec<SharedMemory>,
    pub(crate) tables: Vec<TableData>,
    /// Elements of all `tables`.
    pub(crate) table_elements: u64,
    /// Those that somebody has a handle of.
    pub(crate) globals: Vec<GlobalData>,
    /// Of all globals, those that hold references into the heap.
    pub(crate) reference_globals: Vec<GlobalCell>,
    pub(crate) tags: Vec<TagData>,
    pub(crate) heap: Heap,
    pub(crate) schedule: Schedule,
    pub(crate) roots: Roots,
    /// The exception that an error stands for, on its way through the host.
    pub(crate) pending_exception: Option<Handle>,
    /// How many exceptions there ever were.
    pub(crate) exceptions: u64,
    /// Modules of the instances, each once: code must live as long as references to it.
    modules: Vec<Module>,
    /// By type, the host trampoline of one of `modules`, for types that host functions here have.
    trampolines: HashMap<u32, TrampolinePtr>,
    host_funcs: Vec<(HostFuncRef, Arc<HostFunc>)>,
    /// Last, so that it is the last to go: all others have pointers into it.
    pub(crate) execution: ExecutionBox,
}

/// What a store of some `T` does with its `T`, for those who do not know the type.
struct Typed {
    data: TypeId,
    limiter: fn(&mut StoreOpaque) -> Option<&mut dyn ResourceLimiter>,
    on_deadline: fn(&mut StoreOpaque) -> Result<UpdateDeadline>,
}

impl Typed {
    fn new<T: 'static>() -> Self {
        Typed {
            data: TypeId::of::<T>(),
            limiter: |store| {
                let StoreInner { data, limiter, .. } = store.whole::<T>();
                limiter.as_mut().map(|limiter| limiter.find(data))
            },
            on_deadline: interrupt::ask::<T>,
        }
    }
}

/// Address of a host trampoline in the code of a module that the store holds.
#[derive(Clone, Copy)]
struct TrampolinePtr(usize);

/// Which store, and what in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Stored {
    store: u64,
    index: usize,
}

impl Stored {
    /// The index.
    ///
    /// # Errors
    /// If it belongs to another store.
    pub(crate) fn get(&self, store: &StoreOpaque) -> Result<usize> {
        store.check(self.store)?;
        Ok(self.index)
    }

    /// The index.
    ///
    /// # Panics
    /// If it belongs to another store.
    #[track_caller]
    pub(crate) fn index(&self, store: &StoreOpaque) -> usize {
        assert!(self.store == store.id, "{WRONG_STORE}");
        self.index
    }
}

const WRONG_STORE: &str = "object used with another store than the one it was made in";

impl StoreOpaque {
    fn new(engine: &Engine, typed: Typed) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let execution = ExecutionBox::new(engine.config().runtime.max_wasm_stack);
        StoreOpaque {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            engine: engine.clone(),
            typed,
            fuel_reserve: 0,
            root: RootCtx::new(&execution),
            execution,
            instances: Vec::new(),
            memories: Vec::new(),
            shared: Vec::new(),
            tables: Vec::new(),
            table_elements: 0,
            globals: Vec::new(),
            reference_globals: Vec::new(),
            tags: Vec::new(),
            heap: Heap::default(),
            schedule: Schedule::default(),
            roots: Roots::default(),
            pending_exception: None,
            exceptions: 0,
            modules: Vec::new(),
            trampolines: HashMap::new(),
            host_funcs: Vec::new(),
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The type of the embedder's data.
    pub(crate) fn data_type(&self) -> TypeId {
        self.typed.data
    }

    pub(crate) fn find_limiter(&mut self) -> Option<&mut dyn ResourceLimiter> {
        (self.typed.limiter)(self)
    }

    /// Asks what to do at the deadline.
    pub(crate) fn ask_deadline(&mut self) -> Result<UpdateDeadline> {
        (self.typed.on_deadline)(self)
    }

    /// # Errors
    /// If `id` is another store's.
    pub(crate) fn check(&self, id: u64) -> Result<()> {
        if id == self.id { Ok(()) } else { Err(Error::with_kind(ErrorKind::Host, WRONG_STORE)) }
    }

    /// # Errors
    /// If `engine` is not this store's.
    pub(crate) fn check_engine(&self, engine: &Engine) -> Result<()> {
        if self.engine.same(engine) {
            return Ok(());
        }
        Err(Error::with_kind(ErrorKind::Host, "module and store belong to different engines"))
    }

    /// The handle of what has that index here.
    pub(crate) fn stored(&self, index: usize) -> Stored {
        Stored { store: self.id, index }
    }

    /// The handle of a function of this store.
    pub(crate) fn func(&self, func: FuncRef) -> Func {
        Func::of_store(self.id, func)
    }

    /// Keeps `module`'s code alive, and gives functions of the host what it has for them.
    pub(crate) fn add_module(&mut self, module: &Module) -> Result<()> {
        if self.modules.iter().any(|m| m.same(module)) {
            return Ok(());
        }
        for (func, _) in &mut self.host_funcs {
            let func = func.get();
            if func.lacks_code()
                && let Some(trampoline) = module.host_trampoline_of_type(func.type_id())?
            {
                func.set_code(trampoline);
            }
        }
        self.modules.push(module.clone());
        Ok(())
    }

    /// Makes a function of the host one of this store.
    pub(crate) fn add_host_func(&mut self, host: Arc<HostFunc>) -> Result<FuncRef> {
        let type_id = host.type_id();
        let mut func_ref = HostFuncRef::new(host.vm(), type_id);
        let func = func_ref.get();
        self.host_funcs.push((func_ref, host));
        if let Some(TrampolinePtr(code)) = self.trampolines.get(&type_id) {
            func.set_code(*code as *const u8);
            return Ok(func);
        }
        for module in &self.modules {
            if let Some(code) = module.host_trampoline_of_type(type_id)? {
                self.trampolines.insert(type_id, TrampolinePtr(code as usize));
                func.set_code(code);
                break;
            }
        }
        Ok(func)
    }

    /// The reference that wasm takes for `func`.
    ///
    /// # Errors
    /// If it belongs to another store.
    pub(crate) fn func_into_wasm(&mut self, func: Func) -> Result<FuncRef> {
        func.get(self)
    }
}

impl<T: 'static> Store<T> {
    /// An empty store with `data`.
    pub fn new(engine: &Engine, data: T) -> Self {
        let opaque = StoreOpaque::new(engine, Typed::new::<T>());
        let (limiter, on_deadline) = (None, None);
        let inner = Box::new(StoreInner { opaque, data, limiter, on_deadline });
        Store { inner, invariant: PhantomData }
    }

    /// The embedder's data.
    pub fn data(&self) -> &T {
        &self.inner.data
    }

    /// The embedder's data.
    pub fn data_mut(&mut self) -> &mut T {
        &mut self.inner.data
    }

    /// Drops the store, but for the embedder's data.
    pub fn into_data(self) -> T {
        let StoreInner { data, .. } = *self.inner;
        data
    }

    /// The engine that the store was made with.
    pub fn engine(&self) -> &Engine {
        &self.inner.opaque.engine
    }

    pub(crate) fn opaque(&self) -> &StoreOpaque {
        &self.inner.opaque
    }

    pub(crate) fn opaque_mut(&mut self) -> &mut StoreOpaque {
        &mut self.inner.opaque
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Store<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("data", self.data()).finish_non_exhaustive()
    }
}

/// A shared borrow of a store.
pub struct StoreContext<'a, T: 'static>(&'a StoreInner<T>);

impl<T> Clone for StoreContext<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for StoreContext<'_, T> {}

/// A borrow of a store.
pub struct StoreContextMut<'a, T: 'static>(&'a mut StoreInner<T>);

impl<'a, T: 'static> StoreContext<'a, T> {
    /// The embedder's data.
    pub fn data(&self) -> &'a T {
        &self.0.data
    }

    /// The store's engine.
    pub fn engine(&self) -> &'a Engine {
        &self.0.opaque.engine
    }

    pub(crate) fn opaque(self) -> &'a StoreOpaque {
        &self.0.opaque
    }
}

impl<'a, T: 'static> StoreContextMut<'a, T> {
    pub(crate) fn new(inner: &'a mut StoreInner<T>) -> Self {
        StoreContextMut(inner)
    }

    /// The embedder's data.
    pub fn data(&self) -> &T {
        &self.0.data
    }

    /// The embedder's data.
    pub fn data_mut(&mut self) -> &mut T {
        &mut self.0.data
    }

    /// The store's engine.
    pub fn engine(&self) -> &Engine {
        &self.0.opaque.engine
    }

    pub(crate) fn opaque(&self) -> &StoreOpaque {
        &self.0.opaque
    }

    pub(crate) fn opaque_mut(&mut self) -> &mut StoreOpaque {
        &mut self.0.opaque
    }

    /// The store and the embedder's data, side by side.
    pub(crate) fn into_parts(self) -> (&'a mut StoreOpaque, &'a mut T) {
        (&mut self.0.opaque, &mut self.0.data)
    }

    pub(crate) fn reborrow(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut(self.0)
    }
}

/// What a store can be borrowed from.
pub trait AsContext {
    /// The embedder's data in the store.
    type Data: 'static;

    /// Borrows the store.
    fn as_context(&self) -> StoreContext<'_, Self::Data>;
}

/// What a store can be borrowed from to be changed.
pub trait AsContextMut: AsContext {
    /// Borrows the store.
    fn as_context_mut(&mut self) -> StoreContextMut<'_, Self::Data>;
}

impl<T: 'static> AsContext for Store<T> {
    type Data = T;

    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext(&self.inner)
    }
}

impl<T: 'static> AsContextMut for Store<T> {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut(&mut self.inner)
    }
}

impl<T: 'static> AsContext for StoreContext<'_, T> {
    type Data = T;

    fn as_context(&self) -> StoreContext<'_, T> {
        *self
    }
}

impl<T: 'static> AsContext for StoreContextMut<'_, T> {
    type Data = T;

    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext(self.0)
    }
}

impl<T: 'static> AsContextMut for StoreContextMut<'_, T> {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        self.reborrow()
    }
}

impl<C: AsContext + ?Sized> AsContext for &C {
    type Data = C::Data;

    fn as_context(&self) -> StoreContext<'_, C::Data> {
        C::as_context(self)
    }
}

impl<C: AsContext + ?Sized> AsContext for &mut C {
    type Data = C::Data;

    fn as_context(&self) -> StoreContext<'_, C::Data> {
        C::as_context(self)
    }
}

impl<C: AsContextMut + ?Sized> AsContextMut for &mut C {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, C::Data> {
        C::as_context_mut(self)
    }
}

impl<'a, C: AsContext + ?Sized> From<&'a C> for StoreContext<'a, C::Data> {
    fn from(c: &'a C) -> Self {
        c.as_context()
    }
}

impl<'a, C: AsContext + ?Sized> From<&'a mut C> for StoreContext<'a, C::Data> {
    fn from(c: &'a mut C) -> Self {
        C::as_context(c)
    }
}

impl<'a, C: AsContextMut + ?Sized> From<&'a mut C> for StoreContextMut<'a, C::Data> {
    fn from(c: &'a mut C) -> Self {
        c.as_context_mut()
    }
}
