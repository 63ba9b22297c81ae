//! The first page of an artifact.

use super::records::Le32;
use super::{FORMAT_VERSION, NONE};
use crate::abi::vmctx::Counts;
use sha2::{Digest, Sha256};
use std::fmt;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes before the text: ELF's headers and ours.
pub(crate) const PAGE: usize = 4096;
/// Where the engine header starts.
pub(crate) const HEADER_AT: usize = 256;
/// Where the fingerprint starts; it ends with the page at the latest.
pub(crate) const FINGERPRINT_AT: usize = 1024;
/// First bytes of the engine header.
pub(crate) const MAGIC: [u8; 8] = *b"\x93precmp\n";

macro_rules! sections {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The sections of an artifact, in the order of the directory.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        #[repr(u32)]
        pub(crate) enum Section {
            $($(#[$doc])* $name,)*
        }

        impl Section {
            pub(crate) const ALL: &[Section] = &[$(Section::$name,)*];
            pub(crate) const COUNT: usize = Self::ALL.len();

            /// Name in reports.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Section::$name => stringify!($name),)*
                }
            }
        }
    };
}

sections! {
    /// Code.
    Text,
    /// `u32` a defined function, and one more: where it starts in the text, ascending; the last
    /// is where the last function ends.
    FuncStarts,
    /// `u32` a function (imports first): its index in `Signatures`.
    FuncSigs,
    /// `u32` a function (imports first): its slot among the vmctx's function references, or
    /// `NONE` where its reference cannot be made.
    FuncRefs,
    /// `u32` a defined function: its name, NUL-terminated, as an offset in `SymbolNames`; 0 where
    /// the module gives none.
    FuncNames,
    /// [`Signature`](super::records::Signature).
    Signatures,
    /// Types of parameters and results, as in `val_type.rs`.
    ValTypes,
    /// [`Import`](super::records::Import), in the module's order.
    Imports,
    /// [`Export`](super::records::Export), in the module's order.
    Exports,
    /// `u32` an export: indices into `Exports`, sorted by the bytes of their names.
    ExportOrder,
    /// [`Table`](super::records::Table), imports first.
    Tables,
    /// [`Memory`](super::records::Memory), imports first.
    Memories,
    /// [`Global`](super::records::Global), imports first.
    Globals,
    /// `u32` a tag (imports first): its index in `Signatures`.
    Tags,
    /// Constant expressions, as in `const_expr.rs`.
    ConstExprs,
    /// `u32`: initial function tables, function indices or `NONE`.
    TableImages,
    /// [`Element`](super::records::Element), all segments.
    Elements,
    /// `u32`: items of element segments.
    ElementItems,
    /// [`Data`](super::records::Data), all segments.
    DataSegments,
    /// Bytes of the data segments that are not part of an image.
    DataBytes,
    /// `u32` a defined function, and one more: where its records start in `Sites`.
    SiteStarts,
    /// Traps and return addresses, as in `sites.rs`.
    Sites,
    /// [`StackMap`](super::records::StackMap), ascending by return address, as in
    /// `stack_maps.rs`.
    StackMaps,
    /// `u32`: words of frames, distances below the frame pointer.
    StackSlots,
    /// [`TryCall`](super::records::TryCall), ascending by return address; see `handlers.rs`.
    TryCalls,
    /// `u32`: lists of tags that calls catch.
    HandlerTags,
    /// UTF-8: names of imports and exports.
    Strings,
    /// Initial contents of memories.
    Images,
    /// ELF's symbol table.
    Symbols,
    /// ELF's string table.
    SymbolNames,
}

/// Place of a section.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Default)]
#[repr(C)]
pub(crate) struct Place {
    pub(crate) offset: U64,
    pub(crate) len: U64,
}

/// The engine header.
///
/// ```text
///   0  magic, 8 bytes                    48  length of the file
///   8  format version                    56  CPU features that the code needs
///  12  flags: 0                          64  counts of imports and definitions, ten u32
///  16  SHA-256 of the page with          104 start function, or NONE
///      these 32 bytes as zero            108 length of the fingerprint
///                                        112 SHA-256 of the module's bytes
///                                        144 SHA-256 of the content, see `content.rs`
///                                        176 number of sections, 0
///                                        184 section directory: offset and length, u64 each
/// ```
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Header {
    pub(crate) magic: [u8; 8],
    pub(crate) format_version: U32,
    pub(crate) flags: U32,
    pub(crate) digest: [u8; 32],
    pub(crate) file_len: U64,
    pub(crate) cpu_features: U64,
    pub(crate) counts: [U32; 10],
    pub(crate) start: U32,
    pub(crate) fingerprint_len: U32,
    pub(crate) module: [u8; 32],
    pub(crate) content: [u8; 32],
    pub(crate) section_count: U32,
    pub(crate) zero: U32,
    pub(crate) sections: [Place; Section::COUNT],
}

const _: () = assert!(
    HEADER_AT + size_of::<Header>() <= FINGERPRINT_AT,
    "the directory must end before the fingerprint starts"
);

/// Why bytes are no artifact that this engine can read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HeaderError {
    /// Too short, or another magic number.
    NotAnArtifact,
    /// The format's version, which is not ours.
    Version(u32),
    /// The header says something that cannot be; what.
    Corrupt(&'static str),
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeaderError::NotAnArtifact => f.write_str("not a precompiled module"),
            HeaderError::Version(version) => {
                write!(f, "artifact format {version}, this engine reads {FORMAT_VERSION}")
            }
            HeaderError::Corrupt(what) => write!(f, "damaged artifact: {what}"),
        }
    }
}

impl std::error::Error for HeaderError {}

/// A table of an artifact says what cannot be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Corrupt(pub(crate) &'static str);

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "damaged artifact: {}; delete it and compile again", self.0)
    }
}

impl std::error::Error for Corrupt {}

impl Header {
    /// Reads and checks the header of `file`, whose length must be the whole artifact's.
    ///
    /// Takes the same time for every artifact. After it holds: magic, version and digest are
    /// right, every section lies inside of `file`, sections are ascending and do not overlap.
    ///
    /// # Errors
    /// What does not hold.
    pub(crate) fn read(file: &[u8]) -> Result<(&Header, &[u8]), HeaderError> {
        let page = file.get(..PAGE).ok_or(HeaderError::NotAnArtifact)?;
        let (header, _) =
            Header::ref_from_prefix(&page[HEADER_AT..]).map_err(|_| HeaderError::NotAnArtifact)?;
        if header.magic != MAGIC {
            return Err(HeaderError::NotAnArtifact);
        }
        if header.format_version.get() != FORMAT_VERSION {
            return Err(HeaderError::Version(header.format_version.get()));
        }
        if header.digest != digest(page) {
            return Err(HeaderError::Corrupt("the header's digest does not match"));
        }
        if header.file_len.get() != file.len() as u64 {
            return Err(HeaderError::Corrupt("the file's length is not the header's"));
        }
        if header.section_count.get() as usize != Section::COUNT {
            return Err(HeaderError::Corrupt("the number of sections"));
        }
        let mut end = PAGE as u64;
        for place in &header.sections {
            let (start, len) = (place.offset.get(), place.len.get());
            if len == 0 {
                continue;
            }
            if start < end {
                return Err(HeaderError::Corrupt("sections overlap"));
            }
            end = start.checked_add(len).ok_or(HeaderError::Corrupt("a section's length"))?;
        }
        if end > file.len() as u64 {
            return Err(HeaderError::Corrupt("a section ends behind the file"));
        }
        let fingerprint = page[FINGERPRINT_AT..]
            .get(..header.fingerprint_len.get() as usize)
            .ok_or(HeaderError::Corrupt("the fingerprint's length"))?;
        Ok((header, fingerprint))
    }

    /// The counts that the vmctx's layout depends on.
    pub(crate) fn counts(&self) -> Counts {
        let [a, b, c, d, e, f, g, h, i, j] = self.counts.map(U32::get);
        Counts {
            imported_functions: a,
            imported_tables: b,
            imported_memories: c,
            imported_globals: d,
            imported_tags: e,
            defined_tables: f,
            defined_memories: g,
            defined_globals: h,
            defined_tags: i,
            func_refs: j,
        }
    }

    /// The other way: the counts as the header has them.
    pub(crate) fn pack_counts(counts: Counts) -> [Le32; 10] {
        let Counts {
            imported_functions,
            imported_tables,
            imported_memories,
            imported_globals,
            imported_tags,
            defined_tables,
            defined_memories,
            defined_globals,
            defined_tags,
            func_refs,
        } = counts;
        [
            imported_functions,
            imported_tables,
            imported_memories,
            imported_globals,
            imported_tags,
            defined_tables,
            defined_memories,
            defined_globals,
            defined_tags,
            func_refs,
        ]
        .map(U32::new)
    }

    /// The start function's index, if there is one.
    pub(crate) fn start(&self) -> Option<u32> {
        Some(self.start.get()).filter(|start| *start != NONE)
    }
}

/// The length of the artifact that starts with `page`; `None` if it is none.
pub(crate) fn file_len(page: &[u8]) -> Option<u64> {
    let (header, _) = Header::ref_from_prefix(page.get(HEADER_AT..)?).ok()?;
    (header.magic == MAGIC).then_some(header.file_len.get())
}

/// SHA-256 of the first page, with the digest's own bytes as zero.
pub(crate) fn digest(page: &[u8]) -> [u8; 32] {
    const AT: usize = HEADER_AT + 16;
    let mut hash = Sha256::new();
    hash.update(&page[..AT]);
    hash.update([0; 32]);
    hash.update(&page[AT + 32..PAGE]);
    hash.finalize().into()
}
