//! The build identity: what names the code generator, the same with and without the compiler.
//!
//! It is made of constants, so that a node without the compiler derives the same keys. A test
//! (`tests/layering`) holds them against `Cargo.lock` and the sources, and prints what to write
//! here when they differ.

/// Raised when the same sources generate other code: a compiler bug fixed by a build setting, a
/// revocation of all earlier entries.
pub(crate) const CODEGEN_EPOCH: u32 = 1;

/// Exact versions of the crates that decide code.
pub(crate) const PINS: &str =
    "cranelift-codegen=0.135.8 cranelift-frontend=0.135.8 regalloc2=0.15.2 wasmparser=0.263.0";

/// SHA-256, in hex, over the sources of `wasm/`, `abi/` (but for this file), `compile/` and
/// `artifact/`, and `trap.rs`.
pub(crate) const SOURCES: &str = "10af2889e45e136c916f23b30c018dce9a367ba18ae9bf4da85d481549701766";

/// The engine's version, of which each release has its own entries.
pub(crate) const ENGINE_VERSION: &str = env!("CARGO_PKG_VERSION");
