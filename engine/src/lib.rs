//! **Compile wasm once, at build time; start in microseconds everywhere.**
//!
//! A WebAssembly engine whose code comes from a cache: the command line `precompile`, or an app's
//! own warm-up, compiles modules ahead of time; at start the engine finds their entries, maps them
//! and runs. Loading takes the same time for any number of functions.
//!
//! # The tour
//!
//! Names and shapes are wasmtime's. An [`Engine`] has the settings ([`Config`]), a [`Module`] is
//! code, a [`Store`] is what instances live in, a [`Linker`] names what modules import:
//!
//! ```
//! # #[cfg(all(feature = "compile", feature = "runtime", feature = "cache", feature = "wat"))] {
//! use precompile::{Caller, Config, Engine, Linker, Module, Store, cache::Layers};
//!
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path().join("cache");
//! let mut config = Config::new();
//! config.cache(Layers::builder().read_write(&dir));
//! let engine = Engine::new(&config)?;
//!
//! // Compiled now, since the cache is empty; found there from now on.
//! let module = Module::new(&engine, r#"(module
//!     (import "host" "log" (func $log (param i32)))
//!     (func (export "run") (call $log (i32.const 42))))"#)?;
//!
//! let mut linker = Linker::new(&engine);
//! linker.func_wrap("host", "log", |mut caller: Caller<'_, Vec<i32>>, x: i32| {
//!     caller.data_mut().push(x);
//! })?;
//! let mut store = Store::new(&engine, Vec::new());
//! let instance = linker.instantiate(&mut store, &module)?;
//! instance.get_typed_func::<(), ()>(&mut store, "run")?.call(&mut store, ())?;
//! assert_eq!(*store.data(), [42]);
//! assert_eq!(engine.compile_count(), 1);
//! # }
//! # Ok::<(), precompile::Error>(())
//! ```
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `compile` | yes | validation and code generation: [`Engine::precompile_module`], and compiling on a miss |
//! | `runtime` | yes | loading and running: [`Module`], [`Store`] and all that follows |
//! | `cache` | yes | [`Config::cache`] and the crate [`cache`] |
//! | `wat` | no | module text accepted wherever a binary is |
//!
//! With `default-features = false, features = ["runtime", "cache"]` there is no compiler inside:
//! the same API, the same settings, the same keys; a module that the cache lacks is an error of
//! kind [`ErrorKind::Miss`], which says why.
//!
//! # Code that nobody trusts
//!
//! A call ends when the embedder says so: [`Config::epoch_interruption`] with
//! [`Store::set_epoch_deadline`] after a time, [`Config::consume_fuel`] with [`Store::set_fuel`]
//! after a number of operators. Both change code, so the cache is warmed with them. What a store
//! may hold is decided by its [limiter](Store::limiter).
//!
//! # What is safe
//!
//! [`Module::new`] is safe for any bytes. Machine code from elsewhere comes in through `unsafe`
//! calls only: [`Module::deserialize`], [`Config::cache_vouched`]. A cache directory is code, and
//! is used only if nobody but root and the user could have written to it; see [`cache`].

// Contracts between the compiler and the runtime have more in them than either side alone uses.
// What is dead is found where both are in.
#![cfg_attr(
    not(all(feature = "compile", feature = "runtime", feature = "cache")),
    allow(dead_code, unused_imports, reason = "parts of the crate without the other parts")
)]

mod abi;
mod artifact;
#[cfg(feature = "compile")]
mod compile;
mod config;
mod engine;
mod error;
#[cfg(all(feature = "runtime", feature = "cache"))]
mod explain;
mod features;
mod fingerprint;
#[cfg(feature = "runtime")]
mod inspect;
#[cfg(feature = "runtime")]
mod load;
#[cfg(all(feature = "runtime", feature = "cache"))]
mod named;
#[cfg(feature = "compile")]
mod precompile;
mod report;
#[cfg(feature = "runtime")]
mod runtime;
mod settings;
#[cfg(all(feature = "runtime", feature = "cache"))]
mod warm;

#[cfg(all(feature = "runtime", feature = "compile"))]
mod compiler;
#[cfg(all(feature = "runtime", not(feature = "compile")))]
#[path = "compiler_disabled.rs"]
mod compiler;
#[cfg(all(feature = "runtime", feature = "cache"))]
mod lookup;
#[cfg(all(feature = "runtime", not(feature = "cache")))]
#[path = "lookup_disabled.rs"]
mod lookup;
#[cfg(feature = "wat")]
mod text;
#[cfg(not(feature = "wat"))]
#[path = "text_disabled.rs"]
mod text;

mod trap;
mod wasm;

pub use abi::memory_plan::Bounds;
pub use abi::target::{Arch, CpuFeatures, CpuLevel, Os, Target, UnknownName};
pub use config::{Config, Load};
pub use engine::Engine;
pub use error::{Context, Error, ErrorKind, ModuleError, Result};
#[cfg(all(feature = "runtime", feature = "cache"))]
pub use explain::{Explanation, LayerProbe, Neighbour, Wanted};
pub use features::Features;
pub use fingerprint::{Difference, OptLevel};
pub use report::{Miss, Misses, NotCached, Outcome, Report};
pub use settings::Settings;
pub use trap::Trap;
pub use wasm::types::{FuncTypeId, HeapType, RefType, ValType};

#[cfg(feature = "runtime")]
pub use inspect::{Inspection, inspect};
/// The cache: layers, keys, entries; see [`Config::cache`].
#[cfg(feature = "cache")]
pub use precompile_cache as cache;
#[cfg(feature = "runtime")]
pub use runtime::{
    backtrace::{FrameInfo, WasmBacktrace},
    collect::GcHeapOutOfMemory,
    exception::{ExnRef, ThrownException},
    externals::{Export, Extern},
    externref::ExternRef,
    func::{Caller, Func, IntoFunc, TypedFunc, WasmParams, WasmResults, WasmRet, WasmTy},
    global::Global,
    instance::Instance,
    interrupt::UpdateDeadline,
    limits::{ResourceLimiter, StoreLimits, StoreLimitsBuilder},
    linker::{InstancePre, Linker},
    memory::{Memory, MemoryAccessError},
    module::Module,
    parking::WaitResult,
    roots::{OwnedRooted, RootScope, Rooted, RootedGcRef},
    shared::SharedMemory,
    store::{AsContext, AsContextMut, Store, StoreContext, StoreContextMut},
    table::Table,
    tag::Tag,
    types::{
        ExportType, ExternType, FuncType, GlobalType, ImportType, MemoryType, Mutability,
        TableType, TagType,
    },
    value::{Ref, V128, Val},
};
