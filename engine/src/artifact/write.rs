//! Writing artifacts, as a stream: what is large (code, data, images) is never in memory as a
//! whole, and the first page, which has the places of everything, is written last.

use super::content::Hashing;
use super::elf::{self, Map, Range};
use super::handlers::{self, TryCall};
use super::header::{self, FINGERPRINT_AT, HEADER_AT, Header, MAGIC, PAGE, Place, Section};
use super::images::{CHUNK, Images};
use super::records::{
    self, ACTIVE, APPLIED, DECLARED, Data, Element, Export, Global, Import, Memory, PASSIVE, Piece,
    Signature, Table,
};
use super::stack_maps::{self, StackMap};
use super::{FORMAT_VERSION, NONE, const_expr, val_type};
use crate::abi::target::Arch;
use crate::abi::vmctx::Counts;
use crate::error::{Error, ErrorKind, Result};
use crate::fingerprint::{Fingerprint, ModuleDigest};
use crate::wasm::module::{ElementItems, ModuleInfo, SegmentMode};
use crate::wasm::types::{ConstOp, ValType};
use std::borrow::Cow;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use zerocopy::IntoBytes;

/// What becomes an artifact, besides the text.
pub(crate) struct Contents<'a> {
    pub(crate) module: &'a [u8],
    pub(crate) digest: ModuleDigest,
    pub(crate) info: &'a ModuleInfo,
    pub(crate) counts: Counts,
    pub(crate) fingerprint: &'a Fingerprint,
    /// Where each defined function starts in the text and ends; ascending.
    pub(crate) functions: Vec<(u32, u32)>,
    /// What is on record of each defined function.
    pub(crate) records: Vec<FunctionRecords>,
    /// Where each signature's trampolines start, entry and host; `NONE` for what there is not.
    pub(crate) signatures: Vec<(u32, u32)>,
    /// Names and places of what is in the text behind the functions.
    pub(crate) trampolines: Vec<(String, u32, u32)>,
    /// Length of the text.
    pub(crate) text_len: u32,
}

/// What is on record of a defined function, besides its place.
#[derive(Default)]
pub(crate) struct FunctionRecords {
    /// Its sites, encoded.
    pub(crate) sites: Box<[u8]>,
    /// Ascending by return address. So are the following.
    pub(crate) stack_maps: Box<[StackMap]>,
    pub(crate) try_calls: Box<[TryCall]>,
}

/// Takes bytes of the text, in order.
pub(crate) type TextOut<'a> = &'a mut dyn FnMut(&[u8]) -> Result<()>;

/// Writes the artifact of `contents` to `out`, from its position 0. `text` is called once and
/// hands over exactly `text_len` bytes.
///
/// Returns the length of the file, at whose end `out` is left.
///
/// # Errors
/// `Io` where `out` fails; `Limit` where a table's offset exceeds 32 bits.
pub(crate) fn write(
    contents: &Contents<'_>,
    out: &mut (impl Write + Seek),
    text: impl FnOnce(TextOut<'_>) -> Result<()>,
) -> Result<u64> {
    let mut out = Out {
        file: BufWriter::with_capacity(CHUNK as usize, Hashing::new(out)),
        memories: Vec::new(),
        at: 0,
        sections: [Place::default(); Section::COUNT],
    };
    let arch = contents.fingerprint.target.arch();
    let align = arch.text_align();
    let images = Images::new(contents.module, contents.info, align);
    let names = SymbolNames::new(contents)?;

    // The first page is written at the end; what is here until then is no artifact.
    out.put(&[0; PAGE])?;
    out.align(align)?;
    out.section(Section::Text, |out| {
        let start = out.at;
        text(&mut |bytes| out.put(bytes))?;
        if out.at - start != u64::from(contents.text_len) {
            return Err(Error::with_kind(ErrorKind::Bug, "the text has another length"));
        }
        let filler = if arch == Arch::X86_64 { 0xcc } else { 0 };
        out.align_with(align, filler)
    })?;
    let tables_start = out.at;
    let image_records = Tables { contents, images: &images, names: &names }.write(&mut out)?;
    let tables = Range { offset: tables_start, len: out.at - tables_start };

    // The records of memories come before the images, so these places were worked out there.
    if !image_records.is_empty() {
        out.align(align)?;
    }
    out.section(Section::Images, |out| {
        for (place, image) in image_records {
            debug_assert_eq!(out.at, place, "the image is where its record says");
            image.write(contents.module, contents.info, |bytes| out.put(bytes))?;
            out.align(align)?;
        }
        Ok(())
    })?;

    let text_at = out.sections[Section::Text as usize].offset.get();
    out.section_aligned(Section::Symbols, |out| names.write_symbols(contents, text_at, out))?;
    out.section(Section::SymbolNames, |out| names.write_names(contents, out))?;
    let section_names = Range { offset: out.at, len: elf::SHSTRTAB.len() as u64 };
    out.put(elf::SHSTRTAB)?;
    out.align(16)?;
    let map = Map {
        arch,
        text: out.range(Section::Text),
        tables,
        images: out.range(Section::Images),
        symbols: out.range(Section::Symbols),
        symbol_names: out.range(Section::SymbolNames),
        section_names,
        section_headers: out.at,
    };
    out.put(&map.section_headers())?;
    let file_len = out.at;
    out.file.flush().map_err(io)?;
    let content = out.file.get_ref().digest(&out.memories);
    let page = first_page(contents, &map, &out.sections, file_len, content)?;
    out.finish(&page)?;
    Ok(file_len)
}

fn first_page(
    contents: &Contents<'_>,
    map: &Map,
    sections: &[Place; Section::COUNT],
    file_len: u64,
    content: [u8; 32],
) -> Result<Vec<u8>> {
    let fingerprint = contents.fingerprint.to_bytes();
    let header = Header {
        magic: MAGIC,
        format_version: FORMAT_VERSION.into(),
        flags: 0.into(),
        digest: [0; 32],
        file_len: file_len.into(),
        cpu_features: contents.fingerprint.cpu.features().bits().into(),
        counts: Header::pack_counts(contents.counts),
        start: contents.info.start.map_or(NONE, |func| func.as_u32()).into(),
        fingerprint_len: (fingerprint.len() as u32).into(),
        module: contents.digest.0,
        content,
        section_count: (Section::COUNT as u32).into(),
        zero: 0.into(),
        sections: *sections,
    };
    let mut page = vec![0; PAGE];
    let elf = map.file_header();
    page[..elf.len()].copy_from_slice(&elf);
    let header = header.as_bytes();
    page[HEADER_AT..HEADER_AT + header.len()].copy_from_slice(header);
    let room = page[FINGERPRINT_AT..].get_mut(..fingerprint.len());
    let room = room.ok_or_else(|| {
        Error::with_kind(ErrorKind::Bug, "the fingerprint does not fit the first page")
    })?;
    room.copy_from_slice(&fingerprint);
    let digest = header::digest(&page);
    page[HEADER_AT + 16..HEADER_AT + 48].copy_from_slice(&digest);
    Ok(page)
}

/// The file, its position, and the sections so far.
struct Out<'a, W: Write + Seek> {
    file: BufWriter<Hashing<'a, W>>,
    /// What the section `Memories` has at last.
    memories: Vec<u8>,
    at: u64,
    sections: [Place; Section::COUNT],
}

impl<W: Write + Seek> Out<'_, W> {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(io)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn put_u32(&mut self, value: u32) -> Result<()> {
        self.put(&value.to_le_bytes())
    }

    /// Writes zeros up to a multiple of `align`.
    fn align(&mut self, align: u64) -> Result<()> {
        self.align_with(align, 0)
    }

    fn align_with(&mut self, align: u64, filler: u8) -> Result<()> {
        let bytes = [filler; 256];
        let mut left = self.at.next_multiple_of(align) - self.at;
        while left > 0 {
            let now = left.min(bytes.len() as u64);
            self.put(&bytes[..now as usize])?;
            left -= now;
        }
        Ok(())
    }

    /// Writes `section` from here on.
    fn section(
        &mut self,
        section: Section,
        write: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let start = self.at;
        write(self)?;
        let place = Place { offset: start.into(), len: (self.at - start).into() };
        self.sections[section as usize] = place;
        Ok(())
    }

    /// Writes `section`, which is a table.
    fn section_aligned(
        &mut self,
        section: Section,
        write: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        self.align(16)?;
        self.section(section, write)
    }

    fn range(&self, section: Section) -> Range {
        let place = &self.sections[section as usize];
        Range { offset: place.offset.get(), len: place.len.get() }
    }

    /// Writes the first page.
    fn finish(mut self, page: &[u8]) -> Result<()> {
        self.file.seek(SeekFrom::Start(0)).map_err(io)?;
        self.file.write_all(page).map_err(io)?;
        self.file.seek(SeekFrom::Start(self.at)).map_err(io)?;
        self.file.flush().map_err(io)
    }
}

fn io(error: std::io::Error) -> Error {
    Error::wrap(ErrorKind::Io, error)
}

fn u32_of(value: usize) -> Result<u32> {
    u32::try_from(value).map_err(|_| {
        Error::with_kind(ErrorKind::Limit, "the module's tables exceed the format's 32 bits")
    })
}

/// The tables, and what they are made from.
struct Tables<'a> {
    contents: &'a Contents<'a>,
    images: &'a Images,
    names: &'a SymbolNames<'a>,
}

/// Sections that many records have pieces of.
#[derive(Default)]
struct Pools {
    types: Vec<u32>,
    strings: Vec<u8>,
    exprs: Vec<u8>,
}

impl Pools {
    fn string(&mut self, text: &str) -> Result<Piece> {
        let offset = u32_of(self.strings.len())?;
        self.strings.extend_from_slice(text.as_bytes());
        piece(offset, text.len())
    }

    fn expr(&mut self, ops: &[ConstOp]) -> Result<Piece> {
        let start = self.exprs.len();
        const_expr::encode(ops, &mut self.exprs);
        piece(u32_of(start)?, self.exprs.len() - start)
    }

    fn types(&mut self, types: &[ValType]) -> Result<u32> {
        let start = u32_of(self.types.len())?;
        self.types.extend(types.iter().map(|ty| val_type::encode(*ty)));
        Ok(start)
    }
}

fn piece(offset: u32, len: usize) -> Result<Piece> {
    Ok(Piece { offset: offset.into(), len: u32_of(len)?.into() })
}

const NO_PIECE: Piece = Piece { offset: records::Le32::ZERO, len: records::Le32::ZERO };

impl<'a> Tables<'a> {
    /// Writes all tables, `FuncStarts` to `Strings`. Returns the images with the places in the
    /// file that their records give.
    fn write<W: Write + Seek>(
        &self,
        out: &mut Out<'_, W>,
    ) -> Result<Vec<(u64, &'a super::images::MemoryImage)>> {
        let info = self.contents.info;
        let mut pools = Pools::default();

        self.functions(out)?;
        let signatures = self.signatures(&mut pools)?;
        out.section_aligned(Section::Signatures, |out| out.put(signatures.as_bytes()))?;
        let types = std::mem::take(&mut pools.types);
        words(out, Section::ValTypes, types)?;

        let imports = self.imports(&mut pools)?;
        out.section_aligned(Section::Imports, |out| out.put(imports.as_bytes()))?;
        let exports = self.exports(&mut pools)?;
        out.section_aligned(Section::Exports, |out| out.put(exports.as_bytes()))?;
        let mut order: Vec<u32> = (0..u32_of(info.exports.len())?).collect();
        order.sort_unstable_by_key(|i| info.exports[*i as usize].name.as_bytes());
        words(out, Section::ExportOrder, order)?;

        let tables = self.tables(&mut pools)?;
        out.section_aligned(Section::Tables, |out| out.put(tables.as_bytes()))?;
        // Behind the tables, whose lengths are known only then, come the images: the records are
        // made with places from 0 on, moved below, and written then.
        let (mut memories, images) = self.memories();
        let memories_at = out.at.next_multiple_of(16);
        let room = vec![0; memories.as_bytes().len()];
        out.section_aligned(Section::Memories, |out| out.put(&room))?;
        let globals = self.globals(&mut pools)?;
        out.section_aligned(Section::Globals, |out| out.put(globals.as_bytes()))?;
        words(out, Section::Tags, info.tags.iter().map(|sig| sig.as_u32()))?;
        let (elements, expressions) = self.elements(&mut pools)?;
        let data = self.data(&mut pools)?;
        out.section_aligned(Section::ConstExprs, |out| out.put(&pools.exprs))?;
        words(out, Section::TableImages, self.images.tables.iter().flatten().copied())?;
        out.section_aligned(Section::Elements, |out| out.put(elements.as_bytes()))?;
        self.element_items(&expressions, out)?;
        out.section_aligned(Section::DataSegments, |out| out.put(data.as_bytes()))?;
        self.data_bytes(out)?;
        self.sites(out)?;
        self.stack_maps(out)?;
        self.handlers(out)?;
        out.section_aligned(Section::Strings, |out| out.put(&pools.strings))?;

        let align = self.contents.fingerprint.target.arch().text_align();
        let base = out.at.next_multiple_of(align);
        for memory in memories.iter_mut().filter(|memory| memory.image_len.get() != 0) {
            memory.image_offset = (base + memory.image_offset.get()).into();
        }
        out.again(memories_at, memories.as_bytes())?;
        out.memories = memories.as_bytes().to_vec();
        Ok(images.into_iter().map(|(place, image)| (base + place, image)).collect())
    }

    fn functions<W: Write + Seek>(&self, out: &mut Out<'_, W>) -> Result<()> {
        let Contents { info, functions, .. } = self.contents;
        let end = functions.last().map_or(0, |(_, end)| *end);
        let starts = functions.iter().map(|(start, _)| *start).chain([end]);
        words(out, Section::FuncStarts, starts)?;
        words(out, Section::FuncSigs, info.functions.iter().map(|sig| sig.as_u32()))?;
        let slots = info.func_refs.iter().map(|slot| slot.map_or(NONE, |slot| slot.as_u32()));
        words(out, Section::FuncRefs, slots)?;
        words(out, Section::FuncNames, self.names.functions.iter().copied())
    }

    fn signatures(&self, pools: &mut Pools) -> Result<Vec<Signature>> {
        let signatures = self.contents.info.signatures.iter().zip(&self.contents.signatures);
        let record =
            |((_, sig), (entry, host)): ((_, &crate::wasm::types::Signature), &(u32, u32))| {
                let types = pools.types(&sig.params)?;
                pools.types(&sig.results)?;
                Ok(Signature {
                    types: types.into(),
                    params: u32_of(sig.params.len())?.into(),
                    results: u32_of(sig.results.len())?.into(),
                    entry: (*entry).into(),
                    host: (*host).into(),
                })
            };
        signatures.map(record).collect()
    }

    fn imports(&self, pools: &mut Pools) -> Result<Vec<Import>> {
        let record = |import: &crate::wasm::module::Import| {
            Ok(Import {
                module: pools.string(&import.module)?,
                name: pools.string(&import.name)?,
                kind: (import.kind as u32).into(),
                index: import.index.into(),
            })
        };
        self.contents.info.imports.iter().map(record).collect()
    }

    fn exports(&self, pools: &mut Pools) -> Result<Vec<Export>> {
        let record = |export: &crate::wasm::module::Export| {
            Ok(Export {
                name: pools.string(&export.name)?,
                kind: (export.kind as u32).into(),
                index: export.index.into(),
            })
        };
        self.contents.info.exports.iter().map(record).collect()
    }

    fn tables(&self, pools: &mut Pools) -> Result<Vec<Table>> {
        let info = self.contents.info;
        let mut image_at = 0;
        let mut records = Vec::with_capacity(info.tables.len());
        for (index, table) in info.tables.iter().enumerate() {
            let defined = index.checked_sub(info.num_imported_tables as usize);
            let (mut init, mut image) = (NO_PIECE, NO_PIECE);
            if let Some(defined) = defined {
                if let Some(expr) = &info.table_inits[defined] {
                    init = pools.expr(expr)?;
                }
                let len = self.images.tables[defined].len();
                image = piece(image_at, len)?;
                image_at = u32_of(image_at as usize + len)?;
            }
            let mut flags = 0;
            flags |= if table.max.is_some() { records::HAS_MAX } else { 0 };
            flags |= if table.table64 { records::IS_64 } else { 0 };
            records.push(Table {
                element: val_type::encode(ValType::Ref(table.element)).into(),
                flags: flags.into(),
                min: table.min.into(),
                max: table.max.unwrap_or(0).into(),
                init,
                image,
            });
        }
        Ok(records)
    }

    /// The records of memories and their images, with places as if the images started at 0.
    fn memories(&self) -> (Vec<Memory>, Vec<(u64, &'a super::images::MemoryImage)>) {
        let info = self.contents.info;
        let align = self.contents.fingerprint.target.arch().text_align();
        let mut images = Vec::new();
        let mut at: u64 = 0;
        let record = |(index, memory): (usize, &crate::wasm::types::MemoryDecl)| {
            let defined = index.checked_sub(info.num_imported_memories as usize);
            let image = defined.and_then(|defined| self.images.memories[defined].as_ref());
            let mut flags = 0;
            flags |= if memory.max.is_some() { records::HAS_MAX } else { 0 };
            flags |= if memory.memory64 { records::IS_64 } else { 0 };
            flags |= if memory.shared { records::SHARED } else { 0 };
            let record = Memory {
                min: memory.min.into(),
                max: memory.max.unwrap_or(0).into(),
                flags: flags.into(),
                page_size_log2: u32::from(memory.page_size_log2).into(),
                image_start: image.map_or(0, |image| image.start).into(),
                image_offset: image.map_or(0, |_| at).into(),
                image_len: image.map_or(0, |image| image.len).into(),
            };
            if let Some(image) = image {
                images.push((at, image));
                at += image.len.next_multiple_of(align);
            }
            record
        };
        let records = info.memories.iter().enumerate().map(record).collect();
        (records, images)
    }

    fn globals(&self, pools: &mut Pools) -> Result<Vec<Global>> {
        let info = self.contents.info;
        let imported = info.num_imported_globals as usize;
        let record = |(index, global): (usize, &crate::wasm::types::GlobalDecl)| {
            let init = index.checked_sub(imported).map(|i| pools.expr(&info.global_inits[i]));
            Ok(Global {
                content: val_type::encode(global.content).into(),
                flags: if global.mutable { records::MUTABLE } else { 0 }.into(),
                init: init.transpose()?.unwrap_or(NO_PIECE),
            })
        };
        info.globals.iter().enumerate().map(record).collect()
    }

    /// The records of element segments, and the pieces of their expressions, in order.
    fn elements(&self, pools: &mut Pools) -> Result<(Vec<Element>, Vec<Piece>)> {
        let info = self.contents.info;
        let mut items_at = 0;
        let mut expressions = Vec::new();
        let mut records = Vec::with_capacity(info.elements.len());
        for (index, segment) in info.elements.iter().enumerate() {
            let (mut mode, mut table, mut offset) = (PASSIVE, 0, NO_PIECE);
            match &segment.mode {
                SegmentMode::Passive => {}
                SegmentMode::Declared => mode = DECLARED,
                SegmentMode::Active { target, offset: expr } => {
                    table = target.as_u32();
                    if self.images.elements_applied[index] {
                        mode = APPLIED;
                    } else {
                        (mode, offset) = (ACTIVE, pools.expr(expr)?);
                    }
                }
            }
            let start = u32_of(items_at)?;
            let (kind, len) = match &segment.items {
                ElementItems::Functions(functions) => (records::FUNCTIONS, functions.len()),
                ElementItems::Expressions(exprs) => (records::EXPRESSIONS, exprs.len()),
            };
            let keeps = keeps_items(mode);
            if keeps {
                items_at += match &segment.items {
                    ElementItems::Functions(functions) => functions.len(),
                    ElementItems::Expressions(exprs) => {
                        for expr in exprs {
                            expressions.push(pools.expr(expr)?);
                        }
                        2 * exprs.len()
                    }
                };
            }
            records.push(Element {
                mode: mode.into(),
                table: table.into(),
                offset,
                element: val_type::encode(ValType::Ref(segment.element)).into(),
                kind: kind.into(),
                items: if keeps { piece(start, len)? } else { NO_PIECE },
            });
        }
        u32_of(items_at)?;
        Ok((records, expressions))
    }

    fn element_items<W: Write + Seek>(
        &self,
        expressions: &[Piece],
        out: &mut Out<'_, W>,
    ) -> Result<()> {
        out.section_aligned(Section::ElementItems, |out| {
            let mut expressions = expressions.iter();
            for (index, segment) in self.contents.info.elements.iter().enumerate() {
                let mode = match &segment.mode {
                    SegmentMode::Declared => DECLARED,
                    SegmentMode::Active { .. } if self.images.elements_applied[index] => APPLIED,
                    _ => PASSIVE,
                };
                if !keeps_items(mode) {
                    continue;
                }
                match &segment.items {
                    ElementItems::Functions(functions) => {
                        for func in functions {
                            out.put_u32(func.map_or(NONE, |func| func.as_u32()))?;
                        }
                    }
                    ElementItems::Expressions(exprs) => {
                        for piece in expressions.by_ref().take(exprs.len()) {
                            out.put(piece.as_bytes())?;
                        }
                    }
                }
            }
            Ok(())
        })
    }

    fn data(&self, pools: &mut Pools) -> Result<Vec<Data>> {
        let info = self.contents.info;
        let mut at: u64 = 0;
        let mut records = Vec::with_capacity(info.data.len());
        for (index, segment) in info.data.iter().enumerate() {
            let applied = self.images.data_applied[index];
            let len = if applied { 0 } else { segment.range.len() as u64 };
            let (mode, memory, offset) = match &segment.mode {
                SegmentMode::Active { target, .. } if applied => {
                    (APPLIED, target.as_u32(), NO_PIECE)
                }
                SegmentMode::Active { target, offset } => {
                    (ACTIVE, target.as_u32(), pools.expr(offset)?)
                }
                _ => (PASSIVE, 0, NO_PIECE),
            };
            records.push(Data {
                mode: mode.into(),
                memory: memory.into(),
                offset,
                start: at.into(),
                len: len.into(),
            });
            at += len;
        }
        Ok(records)
    }

    fn data_bytes<W: Write + Seek>(&self, out: &mut Out<'_, W>) -> Result<()> {
        out.section_aligned(Section::DataBytes, |out| {
            let segments = self.contents.info.data.iter().zip(&self.images.data_applied);
            for (segment, _) in segments.filter(|(_, applied)| !**applied) {
                out.put(&self.contents.module[segment.range.clone()])?;
            }
            Ok(())
        })
    }

    fn sites<W: Write + Seek>(&self, out: &mut Out<'_, W>) -> Result<()> {
        let mut at = 0;
        let mut starts = vec![0];
        for records in &self.contents.records {
            at += records.sites.len();
            starts.push(u32_of(at)?);
        }
        words(out, Section::SiteStarts, starts)?;
        out.section_aligned(Section::Sites, |out| {
            self.contents.records.iter().try_for_each(|records| out.put(&records.sites))
        })
    }

    fn handlers<W: Write + Seek>(&self, out: &mut Out<'_, W>) -> Result<()> {
        let mut tables = handlers::Tables::default();
        let Contents { functions, records, .. } = self.contents;
        for ((start, _), records) in functions.iter().zip(records) {
            tables.add(*start, &records.try_calls)?;
        }
        out.section_aligned(Section::TryCalls, |out| out.put(tables.calls.as_bytes()))?;
        words(out, Section::HandlerTags, tables.tags)
    }
}

impl Tables<'_> {
    fn stack_maps<W: Write + Seek>(&self, out: &mut Out<'_, W>) -> Result<()> {
        let mut tables = stack_maps::Tables::default();
        let Contents { functions, records, .. } = self.contents;
        for ((start, _), records) in functions.iter().zip(records) {
            tables.add(*start, &records.stack_maps)?;
        }
        out.section_aligned(Section::StackMaps, |out| out.put(tables.maps.as_bytes()))?;
        words(out, Section::StackSlots, tables.slots)
    }
}

/// Whether a segment of that mode has items that are used at run time.
fn keeps_items(mode: u32) -> bool {
    mode == PASSIVE || mode == ACTIVE
}

fn words<W: Write + Seek>(
    out: &mut Out<'_, W>,
    section: Section,
    words: impl IntoIterator<Item = u32>,
) -> Result<()> {
    out.section_aligned(section, |out| words.into_iter().try_for_each(|word| out.put_u32(word)))
}

impl<W: Write + Seek> Out<'_, W> {
    /// Writes `bytes` over what is at `place`, and comes back.
    fn again(&mut self, place: u64, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.file.seek(SeekFrom::Start(place)).map_err(io)?;
        self.file.write_all(bytes).map_err(io)?;
        self.file.seek(SeekFrom::Start(self.at)).map_err(io)?;
        Ok(())
    }
}

/// The strings of the symbol table: functions in the order of their index, then trampolines.
struct SymbolNames<'a> {
    /// For each defined function where its name is; 0 where the module gives it none.
    functions: Vec<u32>,
    /// The names that the module gives, by defined function.
    given: Vec<Option<&'a str>>,
}

impl<'a> SymbolNames<'a> {
    fn new(contents: &Contents<'a>) -> Result<Self> {
        let info = contents.info;
        let mut given = vec![None; info.bodies.len()];
        for (func, range) in &info.names.functions {
            let defined = info.defined_func(*func);
            let slot = defined.and_then(|defined| given.get_mut(defined.index()));
            let name = contents.module.get(range.clone()).map(std::str::from_utf8);
            if let (Some(slot), Some(Ok(name))) = (slot, name) {
                // A string of the table ends at its first NUL.
                let name = name.split('\0').next().unwrap_or_default();
                *slot = Some(name).filter(|name| !name.is_empty());
            }
        }
        let mut names = SymbolNames { functions: Vec::with_capacity(given.len()), given };
        // The table starts with the empty string.
        let mut at = 1;
        for index in 0..names.given.len() {
            let name = names.name(info, index);
            names.functions.push(if names.given[index].is_some() { u32_of(at)? } else { 0 });
            at += name.len() + 1;
        }
        at += contents.trampolines.iter().map(|(name, _, _)| name.len() + 1).sum::<usize>();
        u32_of(at)?;
        Ok(names)
    }

    /// The symbol of defined function `index`.
    fn name(&self, info: &ModuleInfo, index: usize) -> Cow<'a, str> {
        match self.given[index] {
            Some(name) => Cow::Borrowed(name),
            None => {
                let func = info.num_imported_functions as usize + index;
                Cow::Owned(format!("function[{func}]"))
            }
        }
    }

    fn write_symbols<W: Write + Seek>(
        &self,
        contents: &Contents<'_>,
        text_at: u64,
        out: &mut Out<'_, W>,
    ) -> Result<()> {
        out.put(&elf::no_symbol())?;
        let mut name_at = 1;
        let mut symbol = |name: &str, start: u32, end: u32| {
            let address = text_at + u64::from(start);
            let symbol = elf::function_symbol(name_at, address, u64::from(end - start));
            name_at += name.len() as u32 + 1;
            out.put(&symbol)
        };
        for (index, (start, end)) in contents.functions.iter().enumerate() {
            symbol(&self.name(contents.info, index), *start, *end)?;
        }
        contents.trampolines.iter().try_for_each(|(name, start, end)| symbol(name, *start, *end))
    }

    fn write_names<W: Write + Seek>(
        &self,
        contents: &Contents<'_>,
        out: &mut Out<'_, W>,
    ) -> Result<()> {
        out.put(&[0])?;
        for index in 0..self.given.len() {
            out.put(self.name(contents.info, index).as_bytes())?;
            out.put(&[0])?;
        }
        for (name, _, _) in &contents.trampolines {
            out.put(name.as_bytes())?;
            out.put(&[0])?;
        }
        Ok(())
    }
}
