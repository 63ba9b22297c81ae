//! Modules: an artifact that is mapped, and little more.

use super::code::CodeMapping;
use super::types::*;
use crate::Engine;
use crate::abi::vmctx::{Counts, Layout};
use crate::artifact::check;
use crate::artifact::header::{Corrupt, Header};
use crate::artifact::read::{Directory, Expr, View};
use crate::artifact::records;
use crate::error::{Error, ErrorKind, Result};
use crate::fingerprint::{ModuleDigest, nearest_differences};
use crate::wasm::types::{ExternKind, FuncTypeId, GlobalDecl, TableDecl};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, Weak};

/// A module, compiled and loaded: code that is mapped, ready to be instantiated any number of
/// times.
///
/// Cheap to clone: all clones are the same module. It has no state of its own.
#[derive(Clone)]
pub struct Module(Arc<Inner>);

struct Inner {
    engine: Engine,
    mapping: Arc<CodeMapping>,
    directory: Directory,
    layout: Layout,
    counts: Counts,
    start: Option<u32>,
    digest: ModuleDigest,
    /// By signature, the engine's number of the type; what `vmctx::fixed::TYPE_IDS` points to.
    type_ids: TypeIds,
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("digest", &self.0.digest).finish_non_exhaustive()
    }
}

/// The modules that an engine has loaded and that are still in use, by the id of their entry: a
/// module is mapped once, however often it is asked for.
#[derive(Default)]
pub(crate) struct Loaded(Mutex<HashMap<[u8; 32], Weak<Inner>>>);

impl Loaded {
    /// The module of that entry, if it is in use.
    pub(crate) fn get(&self, id: &[u8; 32]) -> Option<Module> {
        let loaded = self.0.lock().unwrap_or_else(|e| e.into_inner());
        loaded.get(id).and_then(Weak::upgrade).map(Module)
    }

    /// Notes that `module` is loaded.
    pub(crate) fn insert(&self, id: [u8; 32], module: &Module) {
        let mut loaded = self.0.lock().unwrap_or_else(|e| e.into_inner());
        // Modules that are gone leave with the next one that comes.
        loaded.retain(|_, module| module.strong_count() > 0);
        loaded.insert(id, Arc::downgrade(&module.0));
    }
}

impl Module {
    /// Loads the artifact in `mapping`.
    ///
    /// Takes a time that depends on the number of signatures, imports and exports, not of
    /// functions.
    ///
    /// # Errors
    /// If the artifact is damaged, or was made for other settings than this engine runs.
    pub(crate) fn load(engine: &Engine, mapping: Arc<CodeMapping>) -> Result<Module> {
        let (header, fingerprint) = Header::read(mapping.bytes())?;
        let mut candidates = engine.candidates().iter();
        if !candidates.any(|c| c.to_bytes() == fingerprint) {
            return Err(incompatible(engine, fingerprint));
        }
        let needs = crate::CpuFeatures::from_bits(header.cpu_features.get());
        let missing = needs.difference(engine.host_features());
        if !engine.runs_here() || !missing.is_empty() {
            let message = if missing.is_empty() {
                format!("code for {} does not run on this host", engine.target())
            } else {
                format!("the code needs {missing}, which this processor lacks")
            };
            return Err(Error::with_kind(ErrorKind::Incompatible, message));
        }
        let counts = header.counts();
        let layout = Layout::new(counts).ok_or(Corrupt("the counts of imports and definitions"))?;
        let (start, digest) = (header.start(), ModuleDigest(header.module));
        let directory = Directory::new(header);
        let view = View::new(mapping.bytes(), &directory);
        check::tables(&view, &counts, start)?;
        let type_ids = TypeIds::new(engine, view.signature_count(), |sig, ids| {
            // Types refer to earlier ones.
            Ok(view.signature(sig)?.renumbered(|ty: FuncTypeId| number(ids, ty))?)
        })?;
        let engine = engine.clone();
        Ok(Module(Arc::new(Inner {
            engine,
            mapping,
            directory,
            layout,
            counts,
            start,
            digest,
            type_ids,
        })))
    }

    /// The engine that it was made with.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// SHA-256 of the module's bytes.
    pub fn digest(&self) -> [u8; 32] {
        self.0.digest.0
    }

    /// What it imports, in the module's order.
    pub fn imports(&self) -> impl ExactSizeIterator<Item = ImportType<'_>> + '_ {
        (0..self.view().import_count()).map(|i| {
            let (module, name, kind, index) = self.view().import(i).expect(CHECKED);
            ImportType { module, name, ty: self.extern_type(kind, index).expect(CHECKED) }
        })
    }

    /// What it exports, in the module's order.
    pub fn exports(&self) -> impl ExactSizeIterator<Item = ExportType<'_>> + '_ {
        (0..self.view().export_count()).map(|i| {
            let (name, kind, index) = self.view().export(i).expect(CHECKED);
            ExportType { name, ty: self.extern_type(kind, index).expect(CHECKED) }
        })
    }

    /// The type of the export of that name.
    pub fn get_export(&self, name: &str) -> Option<ExternType> {
        let index = self.view().find_export(name)?;
        let (_, kind, index) = self.view().export(index).ok()?;
        self.extern_type(kind, index).ok()
    }

    /// The type of what has that index in the space of `kind`.
    pub(crate) fn extern_type(&self, kind: ExternKind, index: u32) -> Result<ExternType> {
        let view = self.view();
        Ok(match kind {
            ExternKind::Func => ExternType::Func(self.func_type(self.func_type_id(index)?.0)?),
            ExternKind::Table => ExternType::Table(TableType(self.table(index)?.0)),
            ExternKind::Memory => ExternType::Memory(MemoryType(view.memory(index)?.0)),
            ExternKind::Global => ExternType::Global(GlobalType(self.global(index)?.0)),
            ExternKind::Tag => {
                ExternType::Tag(TagType::new(self.func_type(self.tag_type_id(index)?)?))
            }
        })
    }

    /// The type with that number of the engine's.
    pub(crate) fn func_type(&self, id: u32) -> Result<FuncType> {
        let ty = self.engine().types().get(id).ok_or(Corrupt("a type's number"))?;
        Ok(FuncType(ty))
    }

    /// The engine's number of a tag's type.
    pub(crate) fn tag_type_id(&self, tag: u32) -> Result<u32> {
        let sig = self.view().tag(tag)?;
        Ok(*self.type_ids().get(sig as usize).ok_or(Corrupt("Tags"))?)
    }

    /// A table, as the engine knows its type.
    pub(crate) fn table(&self, index: u32) -> Result<(TableDecl, &records::Table)> {
        let (decl, record) = self.view().table(index)?;
        let element = decl.element.renumbered(|ty| number(self.type_ids(), ty))?;
        Ok((TableDecl { element, ..decl }, record))
    }

    /// A global, as the engine knows its type.
    pub(crate) fn global(&self, index: u32) -> Result<(GlobalDecl, Expr<'_>)> {
        let (decl, init) = self.view().global(index)?;
        let content = decl.content.renumbered(|ty| number(self.type_ids(), ty))?;
        Ok((GlobalDecl { content, ..decl }, init))
    }

    pub(crate) fn same(&self, other: &Module) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn view(&self) -> View<'_> {
        View::new(self.0.mapping.bytes(), &self.0.directory)
    }

    pub(crate) fn mapping(&self) -> &CodeMapping {
        &self.0.mapping
    }

    pub(crate) fn layout(&self) -> Layout {
        self.0.layout
    }

    pub(crate) fn counts(&self) -> Counts {
        self.0.counts
    }

    pub(crate) fn start(&self) -> Option<u32> {
        self.0.start
    }

    pub(crate) fn type_ids(&self) -> &[u32] {
        self.0.type_ids.ids()
    }

    /// The engine's number of function `func`'s type, and its signature's index.
    pub(crate) fn func_type_id(&self, func: u32) -> Result<(u32, u32)> {
        let sig = self.view().func_sig(func)?;
        let id = self.type_ids().get(sig as usize).ok_or(Corrupt("FuncSigs"))?;
        Ok((*id, sig))
    }

    fn text(&self, offset: u32) -> Result<*const u8> {
        let address = self.0.mapping.text_address(offset);
        Ok(address.ok_or(Corrupt("an offset into the text"))?)
    }

    /// Address of the code of a defined function.
    pub(crate) fn code(&self, defined: u32) -> Result<*const u8> {
        self.text(self.view().code(defined)?.start)
    }

    /// Address of the entry trampoline for the signature of a function that has a reference.
    pub(crate) fn entry_trampoline(&self, sig: u32) -> Result<*const u8> {
        let offset = self.view().entry_trampoline(sig)?;
        self.text(offset.ok_or(Corrupt("an entry trampoline is missing"))?)
    }

    /// Address of the host trampoline for the signature of an import.
    pub(crate) fn host_trampoline(&self, sig: u32) -> Result<*const u8> {
        let offset = self.view().host_trampoline(sig)?;
        self.text(offset.ok_or(Corrupt("a host trampoline is missing"))?)
    }

    /// Address of the host trampoline for the type with that number, if the module has one: it
    /// has where it may call functions of that type that are not its own.
    pub(crate) fn host_trampoline_of_type(&self, type_id: u32) -> Result<Option<*const u8>> {
        let Some(sig) = self.type_ids().iter().position(|id| *id == type_id) else {
            return Ok(None);
        };
        let offset = self.view().host_trampoline(sig as u32)?;
        offset.map(|offset| self.text(offset)).transpose()
    }
}

const CHECKED: &str = "imports and exports were checked when the module was loaded";

/// The engine's number of a type of the module, whose types have `ids`.
fn number(ids: &[u32], ty: FuncTypeId) -> Result<FuncTypeId, Corrupt> {
    ids.get(ty.0 as usize).map(|id| FuncTypeId(*id)).ok_or(Corrupt("a type's index"))
}

/// Why an artifact with that fingerprint is not for `engine`.
fn incompatible(engine: &Engine, fingerprint: &[u8]) -> Error {
    match nearest_differences(engine.candidates(), [fingerprint]).into_iter().next() {
        Some(difference) => Error::with_kind(ErrorKind::Incompatible, difference),
        None => Error::with_kind(ErrorKind::Incompatible, "its fingerprint has unknown fields"),
    }
}
