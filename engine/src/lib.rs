//! stub of the tour; see the modules.

mod abi;
mod artifact;
mod config;
mod engine;
#[cfg(feature = "compile")]
mod compile;
mod error;
mod features;
mod fingerprint;
#[cfg(feature = "runtime")]
mod runtime;
mod trap;
mod wasm;

pub use abi::memory_plan::Bounds;
pub use abi::target::{Arch, CpuFeatures, CpuLevel, Os, Target, UnknownName};
pub use config::{Config, Load};
pub use engine::Engine;
pub use error::{Context, Error, ErrorKind, ModuleError, Result};
pub use features::Features;
pub use fingerprint::{Difference, OptLevel};
pub use trap::Trap;
pub use wasm::types::{HeapType, RefType, ValType};

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
        ExportType, ExternType, FuncType, GlobalType, ImportType, MemoryType, Mutability,
        TableType,
    },
    value::{ExternRef, Ref, Rooted, V128, Val},
};
