//! Reading tables in place.
//!
//! A [`View`] is the bytes of an artifact and the section directory of its checked header. Every
//! accessor checks its index where it is used: damage is [`Corrupt`](super::header::Corrupt), never a panic, never a read
//! outside of the file.

use super::header::{Corrupt, Header, Place, Section};
use super::records::*;
use super::{NONE, const_expr, val_type};
use crate::wasm::types::{self, ConstOp, ExternKind, GlobalDecl, MemoryDecl, TableDecl, ValType};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

type Result<T, E = Corrupt> = std::result::Result<T, E>;

/// The section directory of a header that was checked.
#[derive(Clone, Debug)]
pub(crate) struct Directory([(usize, usize); Section::COUNT]);

impl Directory {
    pub(crate) fn new(header: &Header) -> Self {
        let place = |place: &Place| (place.offset.get() as usize, place.len.get() as usize);
        Directory(std::array::from_fn(|i| place(&header.sections[i])))
    }

    /// Where `section` is in the file.
    pub(crate) fn range(&self, section: Section) -> std::ops::Range<usize> {
        let (start, len) = self.0[section as usize];
        start..start + len
    }
}

/// An artifact's tables.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    file: &'a [u8],
    directory: &'a Directory,
}

impl<'a> View<'a> {
    /// `directory` must be of the header of `file`.
    pub(crate) fn new(file: &'a [u8], directory: &'a Directory) -> Self {
        View { file, directory }
    }

    /// The bytes of a section.
    pub(crate) fn bytes(&self, section: Section) -> &'a [u8] {
        self.file.get(self.directory.range(section)).unwrap_or_default()
    }

    /// A section as an array of records.
    pub(crate) fn all<T>(&self, section: Section) -> &'a [T]
    where
        T: FromBytes + Immutable + KnownLayout + Unaligned,
    {
        let bytes = self.bytes(section);
        let whole = bytes.len() - bytes.len() % size_of::<T>();
        <[T]>::ref_from_bytes(&bytes[..whole]).unwrap_or_default()
    }

    fn one<T>(&self, section: Section, index: u32) -> Result<&'a T>
    where
        T: FromBytes + Immutable + KnownLayout + Unaligned,
    {
        self.all(section).get(index as usize).ok_or(Corrupt(section.name()))
    }

    fn word(&self, section: Section, index: u32) -> Result<u32> {
        self.one::<Le32>(section, index).map(|word| word.get())
    }

    fn piece(&self, section: Section, piece: Piece) -> Result<&'a [u8]> {
        let start = piece.offset.get() as usize;
        let end = start.checked_add(piece.len.get() as usize);
        let bytes = end.and_then(|end| self.bytes(section).get(start..end));
        bytes.ok_or(Corrupt(section.name()))
    }

    fn words(&self, section: Section, piece: Piece) -> Result<&'a [Le32]> {
        let start = piece.offset.get() as usize;
        let end = start.checked_add(piece.len.get() as usize);
        let words = end.and_then(|end| self.all(section).get(start..end));
        words.ok_or(Corrupt(section.name()))
    }

    fn string(&self, piece: Piece) -> Result<&'a str> {
        let bytes = self.piece(Section::Strings, piece)?;
        std::str::from_utf8(bytes).map_err(|_| Corrupt("a name is not UTF-8"))
    }

    /// Where a defined function's code is: its range in the text.
    pub(crate) fn code(&self, defined: u32) -> Result<std::ops::Range<u32>> {
        let next = defined.checked_add(1).ok_or(Corrupt("FuncStarts"))?;
        let start = self.word(Section::FuncStarts, defined)?;
        let end = self.word(Section::FuncStarts, next)?;
        let text = self.bytes(Section::Text).len();
        if start > end || end as usize > text {
            return Err(Corrupt("a function lies outside of the text"));
        }
        Ok(start..end)
    }

    /// Index of function `func`'s type in `Signatures`.
    pub(crate) fn func_sig(&self, func: u32) -> Result<u32> {
        self.word(Section::FuncSigs, func)
    }

    /// The slot of function `func`'s reference in the vmctx, where it can have one.
    pub(crate) fn func_ref(&self, func: u32) -> Result<Option<u32>> {
        let slot = self.word(Section::FuncRefs, func)?;
        Ok((slot != NONE).then_some(slot))
    }

    /// The name that the module gives to a defined function.
    pub(crate) fn func_name(&self, defined: u32) -> Option<&'a str> {
        let start = self.word(Section::FuncNames, defined).ok().filter(|start| *start != 0)?;
        let rest = self.bytes(Section::SymbolNames).get(start as usize..)?;
        let end = rest.iter().position(|b| *b == 0)?;
        std::str::from_utf8(&rest[..end]).ok()
    }

    /// Number of distinct signatures.
    pub(crate) fn signature_count(&self) -> u32 {
        self.all::<Signature>(Section::Signatures).len() as u32
    }

    /// A signature's types.
    pub(crate) fn signature(&self, sig: u32) -> Result<types::Signature> {
        let record = self.one::<Signature>(Section::Signatures, sig)?;
        let (params, results) = (record.params.get(), record.results.get());
        let len = params.checked_add(results).ok_or(Corrupt("a signature's length"))?;
        let piece = Piece { offset: record.types, len: len.into() };
        let mut types = Vec::with_capacity(len.min(2000) as usize);
        for word in self.words(Section::ValTypes, piece)? {
            types.push(value_type(word.get())?);
        }
        let results = types.split_off(params as usize).into();
        Ok(types::Signature { params: types.into(), results })
    }

    /// Offset in the text of a signature's entry trampoline, if the module has it.
    pub(crate) fn entry_trampoline(&self, sig: u32) -> Result<Option<u32>> {
        self.trampoline(self.one::<Signature>(Section::Signatures, sig)?.entry.get())
    }

    /// Offset in the text of a signature's host trampoline, if the module has it.
    pub(crate) fn host_trampoline(&self, sig: u32) -> Result<Option<u32>> {
        self.trampoline(self.one::<Signature>(Section::Signatures, sig)?.host.get())
    }

    fn trampoline(&self, offset: u32) -> Result<Option<u32>> {
        if offset == NONE {
            return Ok(None);
        }
        if offset as usize >= self.bytes(Section::Text).len() {
            return Err(Corrupt("a trampoline lies outside of the text"));
        }
        Ok(Some(offset))
    }

    /// Number of imports.
    pub(crate) fn import_count(&self) -> u32 {
        self.all::<Import>(Section::Imports).len() as u32
    }

    /// An import: module, name, and what is imported.
    pub(crate) fn import(&self, index: u32) -> Result<(&'a str, &'a str, ExternKind, u32)> {
        let record = self.one::<Import>(Section::Imports, index)?;
        let module = self.string(record.module)?;
        let name = self.string(record.name)?;
        Ok((module, name, extern_kind(record.kind.get())?, record.index.get()))
    }

    /// Number of exports.
    pub(crate) fn export_count(&self) -> u32 {
        self.all::<Export>(Section::Exports).len() as u32
    }

    /// An export, in the module's order.
    pub(crate) fn export(&self, index: u32) -> Result<(&'a str, ExternKind, u32)> {
        let record = self.one::<Export>(Section::Exports, index)?;
        Ok((self.string(record.name)?, extern_kind(record.kind.get())?, record.index.get()))
    }

    /// The place in the module's order of the export of that name.
    pub(crate) fn find_export(&self, name: &str) -> Option<u32> {
        let order = self.all::<Le32>(Section::ExportOrder);
        let name_of = |index: &Le32| -> &[u8] {
            let record = self.one::<Export>(Section::Exports, index.get());
            record.and_then(|r| self.piece(Section::Strings, r.name)).unwrap_or_default()
        };
        let at = order.binary_search_by(|index| name_of(index).cmp(name.as_bytes())).ok()?;
        Some(order[at].get())
    }

    /// The type of a table (imports included), and its record.
    pub(crate) fn table(&self, index: u32) -> Result<(TableDecl, &'a Table)> {
        let record = self.one::<Table>(Section::Tables, index)?;
        let ValType::Ref(element) = value_type(record.element.get())? else {
            return Err(Corrupt("a table's element type"));
        };
        let flags = record.flags.get();
        let decl = TableDecl {
            element,
            min: record.min.get(),
            max: (flags & HAS_MAX != 0).then_some(record.max.get()),
            table64: flags & IS_64 != 0,
        };
        Ok((decl, record))
    }

    /// The first elements of a table, function indices or `NONE`.
    pub(crate) fn table_image(&self, record: &Table) -> Result<&'a [Le32]> {
        self.words(Section::TableImages, record.image)
    }

    /// The type of a memory (imports included), and its record.
    pub(crate) fn memory(&self, index: u32) -> Result<(MemoryDecl, &'a Memory)> {
        let record = self.one::<Memory>(Section::Memories, index)?;
        let flags = record.flags.get();
        let page_size_log2 = match record.page_size_log2.get() {
            0 => 0,
            16 => 16,
            _ => return Err(Corrupt("a memory's page size")),
        };
        let decl = MemoryDecl {
            min: record.min.get(),
            max: (flags & HAS_MAX != 0).then_some(record.max.get()),
            memory64: flags & IS_64 != 0,
            shared: flags & SHARED != 0,
            page_size_log2,
        };
        if decl.shared && decl.max.is_none() {
            return Err(Corrupt("a shared memory without a maximum"));
        }
        let image = self.directory.range(Section::Images);
        let (start, len) = (record.image_offset.get(), record.image_len.get());
        let end = start.checked_add(len).ok_or(Corrupt("a memory's image"))?;
        let fits = len == 0 || (start >= image.start as u64 && end <= image.end as u64);
        // Valid, and told to be too large by whoever makes it.
        let bytes = decl.min_bytes().unwrap_or(u64::MAX);
        let image_end = record.image_start.get().checked_add(len);
        if !fits || image_end.is_none_or(|end| len != 0 && end > bytes) {
            return Err(Corrupt("a memory's image"));
        }
        Ok((decl, record))
    }

    /// The type of a global (imports included), and its initial value.
    pub(crate) fn global(&self, index: u32) -> Result<(GlobalDecl, Expr<'a>)> {
        let record = self.one::<Global>(Section::Globals, index)?;
        let decl = GlobalDecl {
            content: value_type(record.content.get())?,
            mutable: record.flags.get() & MUTABLE != 0,
        };
        Ok((decl, self.expr(record.init)?))
    }

    /// Index of tag `tag`'s type (imports included) in `Signatures`.
    pub(crate) fn tag(&self, tag: u32) -> Result<u32> {
        self.word(Section::Tags, tag)
    }

    /// A constant expression.
    pub(crate) fn expr(&self, piece: Piece) -> Result<Expr<'a>> {
        Ok(Expr(self.piece(Section::ConstExprs, piece)?))
    }

    /// Number of element segments.
    pub(crate) fn element_count(&self) -> u32 {
        self.all::<Element>(Section::Elements).len() as u32
    }

    /// An element segment.
    pub(crate) fn element(&self, index: u32) -> Result<&'a Element> {
        self.one(Section::Elements, index)
    }

    /// The items of an element segment.
    pub(crate) fn items(&self, element: &Element) -> Result<Items<'a>> {
        let words = match element.kind.get() {
            FUNCTIONS => 1,
            EXPRESSIONS => 2,
            _ => return Err(Corrupt("an element segment's kind")),
        };
        let len = element.items.len.get().checked_mul(words);
        let len = len.ok_or(Corrupt("an element segment's length"))?;
        let piece = Piece { offset: element.items.offset, len: len.into() };
        let words = self.words(Section::ElementItems, piece)?;
        Ok(if element.kind.get() == FUNCTIONS {
            Items::Functions(words)
        } else {
            Items::Expressions(words, *self)
        })
    }

    /// The words of the frame that hold references into the heap during the call that returns to
    /// `pc` of the text, as distances below the frame pointer.
    pub(crate) fn stack_slots(&self, pc: u32) -> Result<&'a [Le32]> {
        let maps = self.all::<StackMap>(Section::StackMaps);
        match maps.binary_search_by_key(&pc, |map| map.pc.get()) {
            Ok(at) => {
                let StackMap { first, count, .. } = maps[at];
                self.words(Section::StackSlots, Piece { offset: first, len: count })
            }
            Err(_) => Ok(&[]),
        }
    }

    /// Number of data segments.
    pub(crate) fn data_count(&self) -> u32 {
        self.all::<Data>(Section::DataSegments).len() as u32
    }

    /// A data segment, and its bytes.
    pub(crate) fn data(&self, index: u32) -> Result<(&'a Data, &'a [u8])> {
        let record = self.one::<Data>(Section::DataSegments, index)?;
        let start = usize::try_from(record.start.get()).ok();
        let end = record.start.get().checked_add(record.len.get());
        let range = start.zip(end.and_then(|end| usize::try_from(end).ok()));
        let bytes = range.and_then(|(s, e)| self.bytes(Section::DataBytes).get(s..e));
        Ok((record, bytes.ok_or(Corrupt("a data segment"))?))
    }
}

fn value_type(word: u32) -> Result<ValType> {
    val_type::decode(word).ok_or(Corrupt("a value type"))
}

fn extern_kind(kind: u32) -> Result<ExternKind> {
    let kind = u8::try_from(kind).ok().and_then(ExternKind::from_u8);
    kind.ok_or(Corrupt("the kind of an import or export"))
}

/// A constant expression.
#[derive(Clone, Copy)]
pub(crate) struct Expr<'a>(&'a [u8]);

impl<'a> Expr<'a> {
    /// Whether there is none, as for the initial value of an import.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Its operations, in order.
    pub(crate) fn ops(self) -> impl Iterator<Item = Result<ConstOp>> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let op = const_expr::decode(&mut rest);
            if op.is_none() {
                rest = &[];
            }
            Some(op.ok_or(Corrupt("a constant expression")))
        })
    }
}

/// The items of an element segment.
#[derive(Clone, Copy)]
pub(crate) enum Items<'a> {
    /// Function indices or `NONE`.
    Functions(&'a [Le32]),
    /// Pairs of words.
    Expressions(&'a [Le32], View<'a>),
}

impl<'a> Items<'a> {
    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Items::Functions(words) => words.len() as u64,
            Items::Expressions(words, _) => words.len() as u64 / 2,
        }
    }

    /// Item `index`.
    pub(crate) fn get(&self, index: u64) -> Result<Item<'a>> {
        let at = usize::try_from(index).map_err(|_| Corrupt("ElementItems"))?;
        match self {
            Items::Functions(words) => {
                let word = words.get(at).ok_or(Corrupt("ElementItems"))?.get();
                Ok(Item::Function((word != NONE).then_some(word)))
            }
            Items::Expressions(words, view) => {
                let words = words.chunks_exact(2).nth(at).ok_or(Corrupt("ElementItems"))?;
                Ok(Item::Expression(view.expr(Piece { offset: words[0], len: words[1] })?))
            }
        }
    }
}

/// An item of an element segment.
#[derive(Clone, Copy)]
pub(crate) enum Item<'a> {
    /// A function, or null.
    Function(Option<u32>),
    /// Whatever this evaluates to.
    Expression(Expr<'a>),
}
