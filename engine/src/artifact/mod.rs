//! The file format: what `compile` writes, the cache keeps and `runtime` maps.
//!
//! # The file
//!
//! An artifact is an ELF64 shared object for the target's machine, so that objdump, perf and gdb
//! read it, with an engine header in its first page that the loader reads instead of ELF's
//! tables. All numbers are little endian; all offsets are from the start of the file. It holds
//! **no relocations**: code refers to itself relative to the pc and to all else through the
//! vmctx. Its one segment has equal file offset and virtual address.
//!
//! ```text
//!         0        64       120        256                            1024             4096
//!         +---------+--------+----------+------------------------------+----------------+
//! page 0  | ELF     | ELF    | zero     | engine header, with the      | fingerprint,   |
//!         | header  | program|          | section directory            | then zero      |
//!         |         | header |          | (see `header.rs`)            |                |
//!         +---------+--------+----------+------------------------------+----------------+
//! text    | at the first multiple of the target's text alignment: functions in the order|
//!         | of their index, then trampolines; filled with traps to a multiple of it     |
//!         +-------------------------------------------------------------------------------+
//! tables  | the sections of `Section`, each at a multiple of 16                         |
//!         +-------------------------------------------------------------------------------+
//! images  | initial contents of memories, each at a multiple of the text alignment      |
//!         +-------------------------------------------------------------------------------+
//! ELF     | symbol table, its strings, section names, section headers                   |
//!         +-------------------------------------------------------------------------------+
//! ```
//!
//! # Reading in place
//!
//! Tables are arrays of fixed-width records ([`records`]) that are read where they are mapped:
//! **loading takes the same time for any number of functions**. So nothing is checked at load
//! but the header, and what instantiation and listings go through (`check.rs`); any other index
//! out of a table is checked where it is used, and what does not hold is
//! [`Corrupt`](header::Corrupt), never a panic or a read outside of the file. Flipped bits
//! inside of code are found by a digest over all of it alone: that of a cache's entry, or the
//! artifact's own ([`content`]), which files outside of a cache are held against.
//!
//! Most tables are arrays of records that an index leads to. Two are for return addresses and
//! found by a search: what traps and what was called ([`sites`]), and where frames hold references
//! into the store's heap ([`stack_maps`]).
//!
//! # Versions
//!
//! [`FORMAT_VERSION`] changes with any change of meaning or layout. There is no reading of other
//! versions: an entry of another version is a miss.

#![forbid(unsafe_code)]

#[cfg(feature = "runtime")]
pub(crate) mod check;
pub(crate) mod const_expr;
pub(crate) mod content;
#[cfg(feature = "compile")]
mod elf;
pub(crate) mod handlers;
pub(crate) mod header;
#[cfg(feature = "compile")]
mod images;
#[cfg(feature = "runtime")]
pub(crate) mod read;
pub(crate) mod records;
pub(crate) mod sites;
pub(crate) mod stack_maps;
pub(crate) mod val_type;
#[cfg(feature = "compile")]
pub(crate) mod write;

/// Version of everything in this folder.
pub(crate) const FORMAT_VERSION: u32 = 3;

/// Index that stands for "none" in tables.
pub(crate) const NONE: u32 = u32::MAX;
