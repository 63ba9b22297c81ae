//! The engine through its public API: values, host functions, traps, stacks, threads, memories,
//! tables, and modules through the cache.
//!
//! Tests that need a process of their own start this binary again; see `child.rs`.

mod cache;
mod child;
mod handles;
mod host;
mod memories;
mod panics;
mod raw;
mod resources;
mod rewrite;
mod signals;
mod stack;
mod support;
mod tables;
mod threads;
mod traps;
mod wat;
