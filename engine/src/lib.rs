//! stub of the tour; see the modules.

mod abi;
mod artifact;
#[cfg(feature = "compile")]
mod compile;
mod config;
mod engine;
mod error;
mod features;
mod fingerprint;
#[cfg(feature = "runtime")]
mod load;
#[cfg(feature = "compile")]
mod precompile;
mod report;
#[cfg(feature = "runtime")]
mod runtime;
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
pub use features::Features;
pub use fingerprint::{Difference, OptLevel};
pub use report::{Miss, Outcome, Report};
pub use trap::Trap;
pub use wasm::types::{HeapType, RefType, ValType};

/// The cache: layers, keys, entries; see [`Config::cache`].
#[cfg(feature = "cache")]
pub use precompile_cache as cache;
#[cfg(feature = "runtime")]
pub use runtime::{
    backtrace::{FrameInfo, WasmBacktrace},
    externals::{Export, Extern},
    func::{Caller, Func, IntoFunc, TypedFunc, WasmParams, WasmResults, WasmRet, WasmTy},
    global::Global,
    instance::Instance,
    linker::{InstancePre, Linker},
    memory::{Memory, MemoryAccessError},
    module::Module,
    store::{AsContext, AsContextMut, Store, StoreContext, StoreContextMut},
    table::Table,
    types::{
        ExportType, ExternType, FuncType, GlobalType, ImportType, MemoryType, Mutability, TableType,
    },
    value::{ExternRef, Ref, Rooted, V128, Val},
};
