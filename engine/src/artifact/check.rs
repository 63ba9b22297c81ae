//! What is checked of the tables when an artifact is loaded.
//!
//! Not functions, which are many: their tables are checked where they are used. But all that
//! instantiation goes through anyhow, and what listings of imports and exports show, so that
//! these cannot fail later, where there is no way to say so. An import or export costs some
//! nanoseconds.

use super::NONE;
use super::header::{Corrupt, Section};
use super::read::View;
use super::records::{Export, Import, Le32, Piece};
use crate::abi::vmctx::Counts;
use crate::wasm::types::{ExternKind, FuncTypeId, ValType};

type Result<T, E = Corrupt> = std::result::Result<T, E>;

/// Checks that the tables of `view` are those of a module with `counts` and that `start`.
///
/// After it holds, for each import and export: it is there, its name is UTF-8, its kind is one
/// that is supported, and what it names has a type. Imports are numbered in order, and as many as
/// the counts say. What is exported, and the start function, can be made a reference to.
///
/// # Errors
/// What does not hold.
pub(crate) fn tables(view: &View<'_>, counts: &Counts, start: Option<u32>) -> Result<()> {
    let check = Check { view, counts, names: names(view)? };
    check.lengths()?;
    for table in 0..counts.imported_tables + counts.defined_tables {
        let (decl, _) = view.table(table)?;
        check.refers(ValType::Ref(decl.element))?;
    }
    for memory in 0..counts.imported_memories + counts.defined_memories {
        view.memory(memory)?;
    }
    for global in 0..counts.imported_globals + counts.defined_globals {
        let (decl, _) = view.global(global)?;
        check.refers(decl.content)?;
    }
    for tag in 0..counts.imported_tags + counts.defined_tags {
        check.tag(tag)?;
    }
    check.imports()?;
    check.exports()?;
    start.map_or(Ok(()), |start| check.reference(start))
}

/// All names, one behind the other: checked as a whole, which is quicker than one by one.
fn names<'a>(view: &View<'a>) -> Result<&'a str> {
    str::from_utf8(view.bytes(Section::Strings)).map_err(|_| Corrupt("a name is not UTF-8"))
}

struct Check<'a> {
    view: &'a View<'a>,
    counts: &'a Counts,
    names: &'a str,
}

impl Check<'_> {
    /// The tables have as many records as the header says.
    fn lengths(&self) -> Result<()> {
        let starts = self.view.all::<Le32>(Section::FuncStarts).len();
        let defined = starts.checked_sub(1).ok_or(Corrupt("FuncStarts"))?;
        let functions = self.counts.imported_functions as usize + defined;
        if functions != self.view.all::<Le32>(Section::FuncSigs).len() {
            return Err(Corrupt("FuncSigs"));
        }
        if functions != self.view.all::<Le32>(Section::FuncRefs).len() {
            return Err(Corrupt("FuncRefs"));
        }
        Ok(())
    }

    /// If the type refers to one of the module's, that is there.
    fn refers(&self, ty: ValType) -> Result<()> {
        let known = |ty: FuncTypeId| match ty.0 < self.view.signature_count() {
            true => Ok(ty),
            false => Err(Corrupt("a type's index")),
        };
        ty.renumbered(known).map(drop)
    }

    /// The tag has a type, which has no results.
    fn tag(&self, tag: u32) -> Result<()> {
        let ty = self.view.signature(self.view.tag(tag)?)?;
        if ty.results.is_empty() { Ok(()) } else { Err(Corrupt("a tag's type")) }
    }

    fn name(&self, piece: Piece) -> Result<()> {
        let start = piece.offset.get() as usize;
        let end = start.checked_add(piece.len.get() as usize);
        let name = end.and_then(|end| self.names.get(start..end));
        name.map(drop).ok_or(Corrupt("a name"))
    }

    fn imports(&self) -> Result<()> {
        // By kind, how many there were so far.
        let mut next = [0u32; 5];
        for import in self.view.all::<Import>(Section::Imports) {
            self.name(import.module)?;
            self.name(import.name)?;
            let kind = import.kind.get() as usize;
            let index = next.get_mut(kind).ok_or(Corrupt("the kind of an import"))?;
            if import.index.get() != *index {
                return Err(Corrupt("the index of an import"));
            }
            if kind == ExternKind::Func as usize {
                self.imported(*index)?;
            }
            *index += 1;
        }
        let mut wanted = [0; 5];
        wanted[ExternKind::Func as usize] = self.counts.imported_functions;
        wanted[ExternKind::Table as usize] = self.counts.imported_tables;
        wanted[ExternKind::Memory as usize] = self.counts.imported_memories;
        wanted[ExternKind::Global as usize] = self.counts.imported_globals;
        wanted[ExternKind::Tag as usize] = self.counts.imported_tags;
        if next == wanted { Ok(()) } else { Err(Corrupt("the number of imports")) }
    }

    fn exports(&self) -> Result<()> {
        let counts = self.counts;
        for export in self.view.all::<Export>(Section::Exports) {
            self.name(export.name)?;
            let index = export.index.get();
            let kind = u8::try_from(export.kind.get()).ok().and_then(ExternKind::from_u8);
            let count = match kind {
                Some(ExternKind::Func) => {
                    self.reference(index)?;
                    continue;
                }
                Some(ExternKind::Table) => counts.imported_tables + counts.defined_tables,
                Some(ExternKind::Memory) => counts.imported_memories + counts.defined_memories,
                Some(ExternKind::Global) => counts.imported_globals + counts.defined_globals,
                Some(ExternKind::Tag) => counts.imported_tags + counts.defined_tags,
                None => return Err(Corrupt("the kind of an export")),
            };
            if index >= count {
                return Err(Corrupt("the index of an export"));
            }
        }
        Ok(())
    }

    /// The host's functions can be called as this import.
    fn imported(&self, func: u32) -> Result<()> {
        let trampoline = self.view.host_trampoline(self.view.func_sig(func)?)?;
        trampoline.map(drop).ok_or(Corrupt("an import has no trampoline"))
    }

    /// The reference to the function can be made.
    fn reference(&self, func: u32) -> Result<()> {
        let sig = self.view.func_sig(func)?;
        let slot = self.view.func_ref(func)?.unwrap_or(NONE);
        if slot >= self.counts.func_refs {
            return Err(Corrupt("FuncRefs"));
        }
        match func.checked_sub(self.counts.imported_functions) {
            Some(defined) => {
                self.view.code(defined)?;
                let trampoline = self.view.entry_trampoline(sig)?;
                trampoline.map(drop).ok_or(Corrupt("a function has no trampoline"))
            }
            None => self.imported(func),
        }
    }
}
