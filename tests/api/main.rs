//! The engine through its public API: values, host functions, traps, stacks, threads, memories,
//! tables, what stops wasm and what limits it, and modules through the cache.
//!
//! Tests that need a process of their own start this binary again; see `child.rs`.

mod atomics;
mod cache;
mod child;
mod endless;
mod epochs;
mod exceptions;
mod exceptions_gc;
mod exceptions_host;
mod extremes;
mod fuel;
mod func_types;
mod handles;
mod heap_programs;
mod host;
mod limits;
mod memories;
mod memory64;
mod named;
mod panics;
mod raw;
mod references;
mod relaxed;
mod resources;
mod rewrite;
mod rooting;
mod shared;
mod signals;
mod stack;
mod support;
mod switches;
mod tables;
mod tails;
mod threads;
mod traps;
mod trusted;
mod wat;
