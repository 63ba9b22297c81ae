//! The unsafe floor: everything with a raw pointer in it, but for the mapping of code.
//!
//! Here: vmctx and what else compiled code reaches ([`vmctx`]), entering and leaving wasm, traps,
//! the stack walker, memories, and what the operating system gives ([`sys`], [`arch`]).
//! Not here: modules, instances and handles, which the folder above builds from this.

pub(crate) mod arch;
pub(crate) mod builtins;
pub(crate) mod call;
pub(crate) mod doors;
pub(crate) mod entry;
pub(crate) mod host;
pub(crate) mod instance;
pub(crate) mod memory;
pub(crate) mod meters;
pub(crate) mod registry;
pub(crate) mod scan;
pub(crate) mod shared;
pub(crate) mod sys;
pub(crate) mod table;
pub(crate) mod traps;
pub(crate) mod unwind;
pub(crate) mod vmctx;

#[cfg(all(test, target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests;
