//! stub of the tour; see the modules.

mod abi;
mod artifact;
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
pub use error::{Context, Error, ErrorKind, ModuleError, Result};
pub use features::Features;
pub use fingerprint::{Difference, OptLevel};
pub use trap::Trap;
pub use wasm::types::{HeapType, RefType, ValType};
