//! Layout of what compiled code reaches by pointer. All sizes and offsets in bytes; pointers have
//! eight, the byte order is the target's, which is little endian on all targets.
//!
//! The runtime's `#[repr(C)]` twins of these are in `runtime/vm/vmctx.rs`; assertions there hold
//! the two together.

/// Size of a pointer.
pub(crate) const PTR: u32 = 8;

/// Fixed part of a vmctx, the first argument of each wasm function. Everything behind it depends
/// on the module: see [`Layout`].
///
/// All five are constant while an instance lives.
pub(crate) mod fixed {
    /// `*mut store`.
    pub(crate) const STORE: u32 = 0;
    /// `*const [builtin; BUILTIN_COUNT]`.
    pub(crate) const BUILTINS: u32 = 8;
    /// `*const u32`: by `SigIndex`, the engine-wide number of the type.
    pub(crate) const TYPE_IDS: u32 = 16;
    /// The runtime's own instance; opaque to code.
    pub(crate) const INSTANCE: u32 = 24;
    /// `*const u64`: the engine's epoch counter.
    pub(crate) const EPOCH: u32 = 32;
    pub(crate) const SIZE: u32 = 48;
}

/// One a store; where an activation of wasm keeps its state.
pub(crate) mod store {
    /// Lowest stack address that wasm may use.
    pub(crate) const STACK_LIMIT: u32 = 0;
    /// Frame pointer of the trampoline through which wasm was last left.
    pub(crate) const EXIT_FP: u32 = 8;
    /// The return address into wasm of that exit.
    pub(crate) const EXIT_PC: u32 = 16;
    /// Frame pointer of the innermost entry trampoline.
    pub(crate) const ENTRY_FP: u32 = 24;
    /// Its stack pointer.
    pub(crate) const ENTRY_SP: u32 = 32;
    /// The address of its landing pad.
    pub(crate) const ENTRY_HANDLER: u32 = 40;
    /// The epoch at which code stops: it compares this with the engine's counter, where it was
    /// compiled to.
    pub(crate) const EPOCH_DEADLINE: u32 = 48;
    /// Fuel left, as a negative number that counts up to 0. A function that was compiled to count
    /// has it in a register, and puts it here before whatever may look at it or change it.
    pub(crate) const FUEL: u32 = 56;
    pub(crate) const SIZE: u32 = 64;
}

/// A function reference; `funcref` values point to one.
pub(crate) mod func_ref {
    /// Code with the wasm convention. Null only for host functions whose signature no module of
    /// the store has: nobody can call those from wasm.
    pub(crate) const CODE: u32 = 0;
    /// The callee's vmctx, or `host_func`.
    pub(crate) const VMCTX: u32 = 8;
    /// `u32`, the engine-wide number of the type. A load of it from a null reference faults at
    /// address 16, which is how a call of null traps.
    pub(crate) const TYPE_ID: u32 = 16;
    /// Entry trampoline for wasm functions, the host's function for host functions.
    pub(crate) const ENTRY: u32 = 24;
    pub(crate) const SIZE: u32 = 32;
}

/// What stands where a vmctx would, for a function of the host.
pub(crate) mod host_func {
    /// `host(callee, caller vmctx, values, count) -> u32`.
    pub(crate) const CALL: u32 = 8;
}

/// An imported function.
pub(crate) mod func_import {
    pub(crate) const CODE: u32 = 0;
    pub(crate) const VMCTX: u32 = 8;
    pub(crate) const SIZE: u32 = 16;
}

/// An imported table or memory: where its definition is, and whose.
pub(crate) mod place_import {
    /// `*mut` [`table`](super::table) or [`memory`](super::memory), in the owner's vmctx.
    pub(crate) const DEFINITION: u32 = 0;
    /// The runtime's handle of it; opaque to code.
    pub(crate) const HANDLE: u32 = 8;
    pub(crate) const SIZE: u32 = 16;
}

/// A table that is defined here.
pub(crate) mod table {
    /// First element. An element is 8 bytes in a table of functions (see
    /// [`TABLE_INIT_BIT`](super::TABLE_INIT_BIT)), else 4.
    pub(crate) const BASE: u32 = 0;
    /// `u64`: elements.
    pub(crate) const LEN: u32 = 8;
    pub(crate) const SIZE: u32 = 16;
}

/// A memory that is defined here.
pub(crate) mod memory {
    /// First byte. Constant under guard pages and where threads share the memory (it grows in
    /// place), else not.
    pub(crate) const BASE: u32 = 0;
    /// `u64`: bytes. Where threads share the memory, any of them may raise it at any time.
    pub(crate) const LEN: u32 = 8;
    pub(crate) const SIZE: u32 = 16;
}

/// What stands in place of a [`memory`] that is defined here and shared with other threads: its
/// definition belongs to none of the instances.
pub(crate) mod shared_memory {
    /// `*mut` [`memory`](super::memory). Not where a base would be: code and runtime that disagree
    /// about what is shared, as after damage, take the length or null for a pointer then.
    pub(crate) const DEFINITION: u32 = 8;
    pub(crate) const SIZE: u32 = super::memory::SIZE;
}

/// An element of a function table is 0 as long as it was not initialised: what it holds then is
/// in the module's table image, and the builtin `table_get_lazy` reads it. An initialised element
/// is the pointer with this bit set, so an initialised null is 1.
pub(crate) const TABLE_INIT_BIT: u64 = 1;

/// Size of a global; aligned to it.
pub(crate) const GLOBAL_SIZE: u32 = 16;

/// Size of a value in the array of a trampoline.
pub(crate) const VALUE_SIZE: u32 = 16;

/// How many of each thing a module has; what the variable part of a vmctx depends on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) imported_functions: u32,
    pub(crate) imported_tables: u32,
    pub(crate) imported_memories: u32,
    pub(crate) imported_globals: u32,
    pub(crate) imported_tags: u32,
    pub(crate) defined_tables: u32,
    pub(crate) defined_memories: u32,
    pub(crate) defined_globals: u32,
    pub(crate) defined_tags: u32,
    pub(crate) func_refs: u32,
}

/// Offsets of the variable part of a vmctx.
///
/// Order: memories first, since their offsets are the most used and so the shortest to encode;
/// function references last, since they are the many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Layout {
    counts: Counts,
    defined_memories: u32,
    imported_memories: u32,
    defined_tables: u32,
    imported_tables: u32,
    defined_globals: u32,
    imported_globals: u32,
    defined_tags: u32,
    imported_tags: u32,
    imported_functions: u32,
    func_refs: u32,
    size: u32,
}

impl Layout {
    /// `None` where the sizes exceed `i32::MAX`, the reach of an address offset. The limits of
    /// the validator keep every valid module far below it.
    pub(crate) fn new(counts: Counts) -> Option<Self> {
        let mut end = fixed::SIZE;
        let mut place = |count: u32, size: u32, align: u32| -> Option<u32> {
            let start = end.checked_next_multiple_of(align)?;
            end = start.checked_add(count.checked_mul(size)?)?;
            (end <= i32::MAX as u32).then_some(start)
        };
        Some(Layout {
            counts,
            defined_memories: place(counts.defined_memories, memory::SIZE, 8)?,
            imported_memories: place(counts.imported_memories, place_import::SIZE, 8)?,
            defined_tables: place(counts.defined_tables, table::SIZE, 8)?,
            imported_tables: place(counts.imported_tables, place_import::SIZE, 8)?,
            defined_globals: place(counts.defined_globals, GLOBAL_SIZE, GLOBAL_SIZE)?,
            imported_globals: place(counts.imported_globals, PTR, 8)?,
            defined_tags: place(counts.defined_tags, PTR, 8)?,
            imported_tags: place(counts.imported_tags, PTR, 8)?,
            imported_functions: place(counts.imported_functions, func_import::SIZE, 8)?,
            func_refs: place(counts.func_refs, func_ref::SIZE, 8)?,
            size: end.checked_next_multiple_of(16)?,
        })
    }

    /// Size of the whole vmctx, a multiple of 16, which is also its alignment.
    pub(crate) fn size(&self) -> u32 {
        self.size
    }
}

macro_rules! offsets {
    ($($(#[$doc:meta])* $name:ident, $count:ident, $field:ident, $size:expr;)*) => {
        #[allow(dead_code, reason = "the compiler and the runtime use different ones")]
        impl Layout {
            $(
                $(#[$doc])*
                ///
                /// # Panics
                /// If there is no such thing: indices are validated before they come here.
                pub(crate) fn $name(&self, index: u32) -> u32 {
                    assert!(index < self.counts.$count);
                    self.$field + index * $size
                }
            )*
        }
    };
}

offsets! {
    /// A [`memory`] of the defined ones, or a [`shared_memory`].
    defined_memory, defined_memories, defined_memories, memory::SIZE;
    /// A [`place_import`].
    imported_memory, imported_memories, imported_memories, place_import::SIZE;
    /// A [`table`] of the defined ones.
    defined_table, defined_tables, defined_tables, table::SIZE;
    /// A [`place_import`].
    imported_table, imported_tables, imported_tables, place_import::SIZE;
    /// The value, [`GLOBAL_SIZE`] bytes.
    defined_global, defined_globals, defined_globals, GLOBAL_SIZE;
    /// A pointer to the value.
    imported_global, imported_globals, imported_globals, PTR;
    /// `u64`: the tag's number in the store, which no other tag has.
    defined_tag, defined_tags, defined_tags, PTR;
    /// `u64`: the tag's number in the store, which no other tag has.
    imported_tag, imported_tags, imported_tags, PTR;
    /// A [`func_import`].
    imported_function, imported_functions, imported_functions, func_import::SIZE;
    /// A [`func_ref`], all zero until someone asks for the reference.
    func_ref, func_refs, func_refs, func_ref::SIZE;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_overlaps_and_globals_are_aligned() {
        let counts = Counts {
            imported_functions: 3,
            imported_tables: 1,
            imported_memories: 1,
            imported_globals: 1,
            imported_tags: 1,
            defined_tables: 1,
            defined_memories: 1,
            defined_globals: 2,
            defined_tags: 1,
            func_refs: 2,
        };
        let layout = Layout::new(counts).unwrap();
        let mut ranges = vec![
            (layout.defined_memory(0), memory::SIZE),
            (layout.imported_memory(0), place_import::SIZE),
            (layout.defined_table(0), table::SIZE),
            (layout.imported_table(0), place_import::SIZE),
            (layout.defined_global(0), GLOBAL_SIZE),
            (layout.defined_global(1), GLOBAL_SIZE),
            (layout.imported_global(0), PTR),
            (layout.defined_tag(0), PTR),
            (layout.imported_tag(0), PTR),
            (layout.imported_function(2), func_import::SIZE),
            (layout.func_ref(0), func_ref::SIZE),
            (layout.func_ref(1), func_ref::SIZE),
        ];
        ranges.sort();
        assert!(ranges[0].0 >= fixed::SIZE);
        for pair in ranges.windows(2) {
            assert!(pair[0].0 + pair[0].1 <= pair[1].0, "{pair:?}");
        }
        let (start, size) = ranges[ranges.len() - 1];
        assert!(start + size <= layout.size());
        assert_eq!(layout.defined_global(0) % GLOBAL_SIZE, 0);
    }

    #[test]
    fn too_much_is_none() {
        let counts = Counts { func_refs: u32::MAX / 16, ..Counts::default() };
        assert!(Layout::new(counts).is_none());
    }
}
