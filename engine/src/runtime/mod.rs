//! Loading artifacts and running them. Nothing of `compile/`, Cranelift or wasmparser.
//!
//! A file for each word of the specification: module, instance, func, memory, table, global; the
//! store they live in, and the linker; memories that threads share, and where these wait. `instantiate.rs` is the verb; `interrupt.rs` and `limits.rs`
//! are what ends calls and what bounds a store. Everything here is safe code over [`vm`], the
//! unsafe floor, and [`code`], which maps artifacts.

pub(crate) mod backtrace;
pub(crate) mod code;
pub(crate) mod collect;
pub(crate) mod exception;
pub(crate) mod externals;
pub(crate) mod externref;
pub(crate) mod func;
pub(crate) mod global;
pub(crate) mod heap;
pub(crate) mod host;
pub(crate) mod instance;
pub(crate) mod instantiate;
pub(crate) mod interrupt;
pub(crate) mod limits;
pub(crate) mod linker;
pub(crate) mod memory;
pub(crate) mod module;
pub(crate) mod parking;
pub(crate) mod roots;
pub(crate) mod shared;
pub(crate) mod store;
pub(crate) mod table;
pub(crate) mod tag;
pub(crate) mod types;
pub(crate) mod value;
pub(crate) mod vm;

pub(crate) use vm::memory::can_reserve_guarded;
pub(crate) use vm::traps::init;
