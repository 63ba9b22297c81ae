//! The functions that compiled code calls in the runtime, once, as a table.
//!
//! `walk` builtins may run arbitrary runtime code, read the stack, and trap: code calls them
//! through a builtin trampoline. Their first argument is the caller's vmctx. The result says
//! whether to raise:
//!
//! - `bool`: 0 raises; nothing comes back to wasm.
//! - `size`: an `i64`; -2 raises, -1 is the failure that wasm sees, else the value.
//! - `ptr`: an `i64` pointer; [`RAISE_PTR`] raises.
//! - `never`: does not return.
//!
//! `leaf` builtins touch nothing but their arguments and cannot trap: code calls them directly
//! with the host's convention, and they have no vmctx.

/// The result of a `ptr` builtin that raises: no object has this address.
pub(crate) const RAISE_PTR: i64 = -1;
/// The result of a `size` builtin that raises.
pub(crate) const RAISE_SIZE: i64 = -2;

/// Calls `$callback!` with the table of builtins. An entry is
/// `class name(argument: type, …) -> result;`.
macro_rules! for_each_builtin {
    ($callback:ident) => {
        $callback! {
            /// Takes the store's pending trap, error or panic to the innermost entry.
            walk raise() -> never;
            /// Grows memory `memory` (an index of the calling module) by `delta` pages.
            walk memory_grow(memory: i32, delta: i64) -> size;
            /// `memory.init`, ranges checked inside. Arguments in bytes.
            walk memory_init(memory: i32, data: i32, dst: i64, src: i32, len: i32) -> bool;
            walk data_drop(data: i32) -> bool;
            /// The element `index` of a function table, which is in bounds and still 0.
            walk table_get_lazy(table: i32, index: i64) -> ptr;
            /// Grows a table of functions; `init` is a reference as wasm has it.
            walk table_grow_func(table: i32, delta: i64, init: i64) -> size;
            walk table_grow_ref(table: i32, delta: i64, init: i32) -> size;
            /// `table.fill`, range checked inside.
            walk table_fill_func(table: i32, dst: i64, value: i64, len: i64) -> bool;
            walk table_fill_ref(table: i32, dst: i64, value: i32, len: i64) -> bool;
            /// `table.copy`, ranges checked inside.
            walk table_copy(dst_table: i32, src_table: i32, dst: i64, src: i64, len: i64) -> bool;
            /// `table.init`, ranges checked inside.
            walk table_init(table: i32, element: i32, dst: i64, src: i32, len: i32) -> bool;
            walk elem_drop(element: i32) -> bool;
            /// The reference to function `func` of the calling module.
            walk ref_func(func: i32) -> ptr;
            /// Throws a new exception with tag `tag` (an index of the calling module); `values` is
            /// the address of its values, as trampolines have them. Never comes back.
            walk throw(tag: i32, values: i64) -> bool;
            /// Throws an exception that is there, and not null. Never comes back.
            walk throw_ref(exception: i32) -> bool;
            /// `memory.atomic.wait32` on a shared memory, at an aligned address. 0, 1 or 2.
            walk memory_atomic_wait32(memory: i32, address: i64, expected: i32, timeout: i64) -> size;
            /// As the one before, of 64 bits.
            walk memory_atomic_wait64(memory: i32, address: i64, expected: i64, timeout: i64) -> size;
            /// `memory.atomic.notify` at an aligned address.
            walk memory_atomic_notify(memory: i32, address: i64, count: i32) -> size;
            /// The epoch's deadline has passed: moves it, or raises. Changes no register of its
            /// caller, whatever the host's convention says.
            walk epoch_passed() -> bool;

            /// Copies `len` bytes between ranges that were checked and may overlap.
            leaf memory_move(dst: i64, src: i64, len: i64) -> none;
            /// Sets `len` bytes of a checked range to the low byte of `value`.
            leaf memory_set(dst: i64, value: i32, len: i64) -> none;
            /// As `memory_move`, where other threads share one of the memories.
            leaf memory_move_shared(dst: i64, src: i64, len: i64) -> none;
            /// As `memory_set`, likewise.
            leaf memory_set_shared(dst: i64, value: i32, len: i64) -> none;
            leaf f32_ceil(x: f32) -> f32;
            leaf f32_floor(x: f32) -> f32;
            leaf f32_trunc(x: f32) -> f32;
            leaf f32_nearest(x: f32) -> f32;
            leaf f64_ceil(x: f64) -> f64;
            leaf f64_floor(x: f64) -> f64;
            leaf f64_trunc(x: f64) -> f64;
            leaf f64_nearest(x: f64) -> f64;
        }
    };
}
pub(crate) use for_each_builtin;

macro_rules! builtin_index {
    (@class walk) => { true };
    (@class leaf) => { false };
    ($($(#[$doc:meta])* $class:ident $name:ident($($arg:ident: $ty:ident),*) -> $ret:ident;)*) => {
        /// A builtin's place in the table that `vmctx::fixed::BUILTINS` points to.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[allow(non_camel_case_types, reason = "named as in the table")]
        #[repr(u32)]
        pub(crate) enum Builtin {
            $($(#[$doc])* $name,)*
        }

        #[allow(dead_code, reason = "the compiler and the runtime use different ones")]
        impl Builtin {
            pub(crate) const ALL: &[Builtin] = &[$(Builtin::$name,)*];

            /// Name as in the table.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Builtin::$name => stringify!($name),)*
                }
            }

            /// Whether code calls it through a trampoline.
            pub(crate) fn walks(self) -> bool {
                match self {
                    $(Builtin::$name => builtin_index!(@class $class),)*
                }
            }

            /// Whether its trampoline keeps all registers: code calls it rarely, from where it
            /// would keep none out of memory for its sake.
            pub(crate) fn keeps_registers(self) -> bool {
                self == Builtin::epoch_passed
            }

            /// Byte offset of its pointer in the table.
            pub(crate) fn offset(self) -> u32 {
                self as u32 * super::vmctx::PTR
            }
        }
    };
}
for_each_builtin!(builtin_index);
