//! The part of an artifact that is for objdump, perf and gdb: ELF's headers, sections and symbols.
//! Nothing in the engine reads it.

use super::header::HEADER_AT;
use crate::abi::target::Arch;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{Immutable, IntoBytes, Unaligned};

#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct FileHeader {
    ident: [u8; 16],
    kind: U16,
    machine: U16,
    version: U32,
    entry: U64,
    segments: U64,
    sections: U64,
    flags: U32,
    size: U16,
    segment_size: U16,
    segment_count: U16,
    section_size: U16,
    section_count: U16,
    section_names: U16,
}

#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct Segment {
    kind: U32,
    flags: U32,
    offset: U64,
    vaddr: U64,
    paddr: U64,
    file_size: U64,
    memory_size: U64,
    align: U64,
}

#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct SectionHeader {
    name: U32,
    kind: U32,
    flags: U64,
    addr: U64,
    offset: U64,
    size: U64,
    link: U32,
    info: U32,
    align: U64,
    entry_size: U64,
}

#[derive(IntoBytes, Immutable, Unaligned, Default)]
#[repr(C)]
struct Symbol {
    name: U32,
    info: u8,
    other: u8,
    section: U16,
    value: U64,
    size: U64,
}

/// Bytes of a symbol.
pub(crate) const SYMBOL_SIZE: u64 = size_of::<Symbol>() as u64;
/// Names of sections, as `SHSTRTAB` holds them: offsets are those of [`NAMES`].
pub(crate) const SHSTRTAB: &[u8] =
    b"\0.text\0.precompile.tables\0.precompile.images\0.symtab\0.strtab\0.shstrtab\0";
const NAMES: [u32; 7] = [0, 1, 7, 26, 45, 53, 61];

const TEXT: u16 = 1;
const STRTAB: u32 = 5;

/// A range of the file.
#[derive(Clone, Copy, Default)]
pub(crate) struct Range {
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// Where in the file ELF finds what it has names for.
pub(crate) struct Map {
    pub(crate) arch: Arch,
    pub(crate) text: Range,
    /// All of our tables.
    pub(crate) tables: Range,
    pub(crate) images: Range,
    pub(crate) symbols: Range,
    pub(crate) symbol_names: Range,
    pub(crate) section_names: Range,
    /// Where the section headers start.
    pub(crate) section_headers: u64,
}

impl Map {
    /// The first bytes of the file: the file header, and the header of the one segment.
    pub(crate) fn file_header(&self) -> Vec<u8> {
        let header = FileHeader {
            // 64 bits, little endian, version 1.
            ident: *b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0",
            // A shared object: it runs at whatever address it is mapped.
            kind: 3.into(),
            machine: match self.arch {
                Arch::X86_64 => 62.into(),
                Arch::Aarch64 => 183.into(),
            },
            version: 1.into(),
            entry: 0.into(),
            segments: (size_of::<FileHeader>() as u64).into(),
            sections: self.section_headers.into(),
            flags: 0.into(),
            size: (size_of::<FileHeader>() as u16).into(),
            segment_size: (size_of::<Segment>() as u16).into(),
            segment_count: 1.into(),
            section_size: (size_of::<SectionHeader>() as u16).into(),
            section_count: (NAMES.len() as u16).into(),
            section_names: (NAMES.len() as u16 - 1).into(),
        };
        // Loaded, readable and executable; addresses are file offsets.
        let segment = Segment {
            kind: 1.into(),
            flags: 5.into(),
            offset: self.text.offset.into(),
            vaddr: self.text.offset.into(),
            paddr: self.text.offset.into(),
            file_size: self.text.len.into(),
            memory_size: self.text.len.into(),
            align: self.arch.text_align().into(),
        };
        [header.as_bytes(), segment.as_bytes()].concat()
    }

    /// The section headers.
    pub(crate) fn section_headers(&self) -> Vec<u8> {
        let align = self.arch.text_align();
        let symbols = self.symbols.len / SYMBOL_SIZE;
        let section = |index: usize, kind: u32, flags: u64, range: Range, align: u64| {
            let loaded = flags != 0;
            SectionHeader {
                name: NAMES[index].into(),
                kind: kind.into(),
                flags: flags.into(),
                addr: if loaded { range.offset } else { 0 }.into(),
                offset: range.offset.into(),
                size: range.len.into(),
                link: 0.into(),
                info: 0.into(),
                align: align.into(),
                entry_size: 0.into(),
            }
        };
        // Kinds: 1 bytes of the program, 2 symbols, 3 strings. Flags: loaded and executable.
        let headers = [
            section(0, 0, 0, Range::default(), 0),
            section(1, 1, 6, self.text, align),
            section(2, 1, 0, self.tables, 16),
            section(3, 1, 0, self.images, align),
            SectionHeader {
                link: STRTAB.into(),
                // All symbols are local: of that many, the count.
                info: (symbols as u32).into(),
                entry_size: SYMBOL_SIZE.into(),
                ..section(4, 2, 0, self.symbols, 8)
            },
            section(5, 3, 0, self.symbol_names, 1),
            section(6, 3, 0, self.section_names, 1),
        ];
        headers.as_bytes().to_vec()
    }
}

/// A symbol for a function at `address`; its name is at `name` in the strings.
pub(crate) fn function_symbol(name: u32, address: u64, size: u64) -> [u8; SYMBOL_SIZE as usize] {
    // Local, a function.
    let symbol = Symbol {
        name: name.into(),
        info: 2,
        other: 0,
        section: TEXT.into(),
        value: address.into(),
        size: size.into(),
    };
    zerocopy::transmute!(symbol)
}

/// The symbol that every table starts with.
pub(crate) fn no_symbol() -> [u8; SYMBOL_SIZE as usize] {
    zerocopy::transmute!(Symbol::default())
}

const _: () = assert!(
    size_of::<FileHeader>() + size_of::<Segment>() <= HEADER_AT,
    "ELF's headers end before ours starts"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_names() {
        assert_eq!(size_of::<FileHeader>(), 64);
        assert_eq!(size_of::<Segment>(), 56);
        assert_eq!(size_of::<SectionHeader>(), 64);
        assert_eq!(size_of::<Symbol>(), 24);
        let names = NAMES.map(|at| {
            let name = SHSTRTAB[at as usize..].split(|b| *b == 0).next().unwrap();
            std::str::from_utf8(name).unwrap()
        });
        assert_eq!(
            names,
            [
                "",
                ".text",
                ".precompile.tables",
                ".precompile.images",
                ".symtab",
                ".strtab",
                ".shstrtab"
            ]
        );
    }
}
