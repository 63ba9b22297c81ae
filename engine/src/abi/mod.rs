//! What compiled code and the runtime agree on. Both sides read it here and nowhere else.
//!
//! [`vmctx`] is the layout of the data that compiled code reaches by pointer, [`builtins`] the
//! table of functions it calls, [`memory_plan`] the address space around a memory, [`target`] the
//! processors, and [`identity`] the name of all this together.
//!
//! Invariant: an edit that changes what generated code does or expects bumps [`ABI_VERSION`].
//! Calling conventions (`wasm` is Cranelift's `tail`, `host` is the platform's C convention):
//!
//! - **wasm function** `wasm(callee vmctx, caller vmctx, params…) -> results…`. An `i32`, `i64`,
//!   `f32`, `f64` is itself; a `v128` is `i8x16`; a `funcref` is a pointer to a
//!   [`vmctx::func_ref`] or 0; an `externref` or `exnref` is an `i32`, a handle into the store's
//!   heap or 0.
//! - **entry trampoline**, one a signature of functions that somebody else can get hold of,
//!   `host(callee vmctx, caller vmctx, values, code) -> u32`: loads the parameters from `values`
//!   (16 bytes each, the value in the low bytes, little endian), calls `code` with the wasm
//!   convention, stores the results over them, returns 1. Before the call it writes its own frame
//!   pointer, stack pointer and the address of its landing pad into the callee's store
//!   (`vmctx::store::ENTRY_*`); whoever raises a trap restores these, and the trampoline returns 0.
//! - **host trampoline**, one a signature that is imported or called by reference, has the wasm
//!   convention with a [`vmctx::host_func`] as its callee: records the exit
//!   (`vmctx::store::EXIT_*`, of the caller's store), spills the parameters as above, and calls
//!   `host(callee, caller vmctx, values, count) -> u32`, with room for max(params, results)
//!   values, `count` of them. 0 means that the runtime has a trap, error or panic pending: the
//!   trampoline calls the builtin `raise`, which does not return.
//! - **builtin trampoline**, one a trapping or walking builtin, wasm convention `(vmctx, args…)`,
//!   where vmctx is the calling function's: records the exit, calls the builtin by its slot, and
//!   raises when the builtin says so. One that keeps registers
//!   ([`Builtin::keeps_registers`](builtins::Builtin::keeps_registers)) has Cranelift's convention
//!   `preserve_all` instead of `tail`. Leaf builtins are called straight from code with the
//!   host convention, without a record and without vmctx.
//!
//! - **landing pad**, one a clause of a `try_table`: where a call of the wasm convention goes on
//!   instead of returning, in the same frame, with two words in Cranelift's payload registers
//!   (x86-64: `rax`, `rdx`; aarch64: `x0`, `x1`): the exception's handle, with the place of the
//!   clause in its list in the upper half; and the address of its values, laid out as above, which
//!   is good until the first call from there. The `wasm`
//!   convention has no registers that a callee keeps, so frame and stack pointer are all that
//!   whoever throws restores. Which calls have landing pads is in the artifact's section
//!   `TryCalls`. The builtins `throw` and `throw_ref` end as a `raise` does.
//!
//! A frame that is on record (an exit) has its frame pointer at `EXIT_FP` (the trampoline's own
//! frame: `[fp]` is the wasm caller's frame pointer, `[fp + 8]` the return address into wasm) and
//! `EXIT_PC`, a copy of that return address. All wasm frames keep frame pointers.

#![forbid(unsafe_code)]

pub(crate) mod builtins;
pub(crate) mod identity;
pub(crate) mod memory_plan;
pub(crate) mod target;
pub(crate) mod vmctx;

/// Version of everything in this folder.
pub(crate) const ABI_VERSION: u32 = 3;
