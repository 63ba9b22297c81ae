//! Index spaces of a module (core specification, section 2.5.1), one type each, so that a table
//! index is never used where a memory index is meant.
//!
//! An index space numbers imports first, then definitions. `Defined*` indices start at the first
//! definition.

macro_rules! index_types {
    ($($(#[$doc:meta])* $name:ident,)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub(crate) struct $name(u32);

        #[allow(dead_code, reason = "not every feature set uses every accessor of every index")]
        impl $name {
            pub(crate) const fn new(index: u32) -> Self {
                Self(index)
            }

            pub(crate) const fn as_u32(self) -> u32 {
                self.0
            }

            pub(crate) const fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

index_types! {
    /// A type of the module's type section.
    TypeIndex,
    /// A distinct function type of the module: structurally equal types share one.
    SigIndex,
    /// A function, imported or defined.
    FuncIndex,
    /// A function with a body in this module.
    DefinedFuncIndex,
    /// A table, imported or defined.
    TableIndex,
    /// A memory, imported or defined.
    MemoryIndex,
    /// A global, imported or defined.
    GlobalIndex,
    /// A tag, imported or defined.
    TagIndex,
    /// An element segment.
    ElemIndex,
    /// A data segment.
    DataIndex,
    /// A function's place among those whose reference can escape, in `abi::vmctx`.
    FuncRefIndex,
}
