//! Loading artifacts and running them. Nothing of `compile/`, Cranelift or wasmparser.

pub(crate) mod code;
pub(crate) mod vm;
