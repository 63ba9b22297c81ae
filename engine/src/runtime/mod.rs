//! Loading artifacts and running them. Nothing of `compile/`, Cranelift or wasmparser.

pub(crate) mod vm;
