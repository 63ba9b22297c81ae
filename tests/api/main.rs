//! The engine through its public API: values, host functions, traps, stacks, threads, memories,
//! tables, what stops wasm and what limits it, and modules through the cache.
//!
//! Tests that need a process of their own start this binary again; see `child.rs`.

mod cache;
mod child;
mod endless;
mod epochs;
mod fuel;
mod func_types;
mod handles;
mod host;
mod limits;
mod memories;
mod memory64;
mod panics;
mod raw;
mod relaxed;
mod resources;
mod rewrite;
mod signals;
mod stack;
mod support;
mod switches;
mod tables;
mod tails;
mod threads;
mod traps;
mod wat;
