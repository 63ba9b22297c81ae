//! The fixed-width records of the tables. None has padding; all are read in place at any
//! alignment.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A `u32` of a table.
pub(crate) type Le32 = U32;

macro_rules! records {
    ($($(#[$doc:meta])* struct $name:ident { $($(#[$field_doc:meta])* $field:ident: $ty:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Debug)]
        #[repr(C)]
        pub(crate) struct $name {
            $($(#[$field_doc])* pub(crate) $field: $ty,)*
        }
    )*};
}

records! {
    /// A distinct function type. Its types are `params + results` words of `ValTypes`.
    struct Signature {
        types: U32,
        params: U32,
        results: U32,
        /// Offset in the text of its entry trampoline; `NONE` if no function of the type can be
        /// got hold of.
        entry: U32,
        /// Offset in the text of its host trampoline; `NONE` if nothing of the type is imported
        /// or called by reference.
        host: U32,
    }

    /// A piece of `Strings`, `ConstExprs` or `ElementItems`.
    struct Piece {
        offset: U32,
        len: U32,
    }

    /// An import: `kind` as in `ExternKind`, `index` in the index space of that kind.
    struct Import {
        module: Piece,
        name: Piece,
        kind: U32,
        index: U32,
    }

    /// An export: `kind` as in `ExternKind`, `index` in the index space of that kind.
    struct Export {
        name: Piece,
        kind: U32,
        index: U32,
    }

    /// A table. Limits count elements.
    struct Table {
        /// As in `val_type.rs`.
        element: U32,
        /// [`HAS_MAX`], [`IS_64`].
        flags: U32,
        min: U64,
        max: U64,
        /// What all elements start as; empty for null.
        init: Piece,
        /// Words of `TableImages`: the first elements. Empty for imports and where active
        /// segments are applied one by one.
        image: Piece,
    }

    /// A memory. Limits count pages.
    struct Memory {
        min: U64,
        max: U64,
        /// [`HAS_MAX`], [`IS_64`], [`SHARED`].
        flags: U32,
        page_size_log2: U32,
        /// Where in the memory the image starts, a multiple of the text alignment.
        image_start: U64,
        /// Where in the file the image starts, likewise.
        image_offset: U64,
        /// Length of the image; 0 for none. Bytes behind it up to the alignment are zero.
        image_len: U64,
    }

    /// A global.
    struct Global {
        /// As in `val_type.rs`.
        content: U32,
        /// [`MUTABLE`].
        flags: U32,
        /// Its initial value; empty for imports.
        init: Piece,
    }

    /// An element segment.
    struct Element {
        /// [`PASSIVE`], [`ACTIVE`], [`DECLARED`] or [`APPLIED`].
        mode: U32,
        table: U32,
        offset: Piece,
        /// As in `val_type.rs`.
        element: U32,
        /// [`FUNCTIONS`]: an item is a function index or `NONE`. [`EXPRESSIONS`]: two words an
        /// item, a piece of `ConstExprs`.
        kind: U32,
        /// First word in `ElementItems`, and how many items (not words).
        items: Piece,
    }

    /// A data segment.
    struct Data {
        /// [`PASSIVE`], [`ACTIVE`] or [`APPLIED`].
        mode: U32,
        memory: U32,
        offset: Piece,
        /// Bytes of `DataBytes`; empty when applied.
        start: U64,
        len: U64,
    }

    /// The references into the heap that a frame holds during a call.
    struct StackMap {
        /// The return address, as an offset in the text.
        pc: U32,
        /// First word in `StackSlots`, and how many.
        first: U32,
        count: U32,
    }

    /// A call in a block with handlers; see `handlers.rs`.
    struct TryCall {
        /// Offset in the text of the address that the call returns to.
        return_address: U32,
        /// Bytes from the stack pointer at the call to the frame pointer.
        frame_size: U32,
        /// Where above the stack pointer the frame has its vmctx.
        context: U32,
        /// Offset in the text of where it goes on.
        landing: U32,
        /// Words of `HandlerTags`: offsets in the vmctx of the numbers of the tags that are
        /// caught; `NONE` catches all.
        first_tag: U32,
        tag_count: U32,
    }
}

/// Flag of tables and memories: `max` counts.
pub(crate) const HAS_MAX: u32 = 1;
/// Flag of tables and memories: indices are `i64`.
pub(crate) const IS_64: u32 = 2;
/// Flag of memories.
pub(crate) const SHARED: u32 = 4;
/// Flag of globals.
pub(crate) const MUTABLE: u32 = 1;

/// Mode of a segment: used by `memory.init` and `table.init` only.
pub(crate) const PASSIVE: u32 = 0;
/// Mode of a segment: copied at instantiation.
pub(crate) const ACTIVE: u32 = 1;
/// Mode of an element segment: never used at run time.
pub(crate) const DECLARED: u32 = 2;
/// Mode of an active segment that is part of an image.
pub(crate) const APPLIED: u32 = 3;

/// Kind of the items of an element segment.
pub(crate) const FUNCTIONS: u32 = 0;
/// Kind of the items of an element segment.
pub(crate) const EXPRESSIONS: u32 = 1;
