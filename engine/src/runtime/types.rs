//! Types as embedders see them, and the engine's registry of function types.

use crate::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::wasm::types::{
    FuncTypeId, GlobalDecl, HeapType, MemoryDecl, RefType, Signature, TableDecl, ValType,
};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, RwLock};

/// The type of a function: parameters and results, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FuncType(pub(crate) Arc<Signature>);

impl FuncType {
    /// The type with those parameters and results.
    pub fn new(
        _engine: &Engine,
        params: impl IntoIterator<Item = ValType>,
        results: impl IntoIterator<Item = ValType>,
    ) -> Self {
        let (params, results) = (params.into_iter().collect(), results.into_iter().collect());
        FuncType(Arc::new(Signature { params, results }))
    }

    /// The parameters' types.
    pub fn params(&self) -> impl ExactSizeIterator<Item = ValType> + '_ {
        self.0.params.iter().copied()
    }

    /// The results' types.
    pub fn results(&self) -> impl ExactSizeIterator<Item = ValType> + '_ {
        self.0.results.iter().copied()
    }

    /// The type of references to functions of this type.
    ///
    /// # Errors
    /// If the engine has too many function types.
    pub fn heap_type(&self, engine: &Engine) -> Result<HeapType> {
        engine.types().intern(&self.0).map(|id| HeapType::ConcreteFunc(FuncTypeId(id)))
    }

    /// Parameter `i`'s type.
    pub fn param(&self, i: usize) -> Option<ValType> {
        self.0.params.get(i).copied()
    }

    /// Result `i`'s type.
    pub fn result(&self, i: usize) -> Option<ValType> {
        self.0.results.get(i).copied()
    }
}

impl fmt::Display for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether a global may be set.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mutability {
    /// It keeps its first value.
    Const,
    /// It may be set.
    Var,
}

/// The type of a global.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GlobalType(pub(crate) GlobalDecl);

impl GlobalType {
    /// A global that holds a `content`.
    pub fn new(content: ValType, mutability: Mutability) -> Self {
        GlobalType(GlobalDecl { content, mutable: mutability == Mutability::Var })
    }

    /// The type of its value.
    pub fn content(&self) -> ValType {
        self.0.content
    }

    /// Whether it may be set.
    pub fn mutability(&self) -> Mutability {
        if self.0.mutable { Mutability::Var } else { Mutability::Const }
    }
}

/// The type of a table; limits count elements.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableType(pub(crate) TableDecl);

impl TableType {
    /// A table of `min` elements that grows to `max` at most.
    pub fn new(element: RefType, min: u32, max: Option<u32>) -> Self {
        let (min, max) = (min.into(), max.map(u64::from));
        TableType(TableDecl { element, min, max, table64: false })
    }

    /// As [`new`](TableType::new), with 64-bit indices.
    pub fn new64(element: RefType, min: u64, max: Option<u64>) -> Self {
        TableType(TableDecl { element, min, max, table64: true })
    }

    /// Whether its indices have 64 bits.
    pub fn is_64(&self) -> bool {
        self.0.table64
    }

    /// The type of its elements.
    pub fn element(&self) -> RefType {
        self.0.element
    }

    /// How many elements it has at first.
    pub fn minimum(&self) -> u64 {
        self.0.min
    }

    /// How many elements it may have.
    pub fn maximum(&self) -> Option<u64> {
        self.0.max
    }
}

/// The type of a memory; limits count pages, which have 64 KiB unless it says otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryType(pub(crate) MemoryDecl);

impl MemoryType {
    /// A memory of `min` pages of 64 KiB that grows to `max` at most.
    pub fn new(min: u32, max: Option<u32>) -> Self {
        let (min, max) = (min.into(), max.map(u64::from));
        let (memory64, shared, page_size_log2) = (false, false, 16);
        MemoryType(MemoryDecl { min, max, memory64, shared, page_size_log2 })
    }

    /// As [`new`](MemoryType::new), with 64-bit addresses.
    pub fn new64(min: u64, max: Option<u64>) -> Self {
        let (memory64, shared, page_size_log2) = (true, false, 16);
        MemoryType(MemoryDecl { min, max, memory64, shared, page_size_log2 })
    }

    /// A memory of `min` pages of 64 KiB that grows to `max` at most and that threads share: see
    /// [`SharedMemory`](crate::SharedMemory).
    pub fn shared(min: u32, max: u32) -> Self {
        let (min, max) = (min.into(), Some(max.into()));
        let (memory64, shared, page_size_log2) = (false, true, 16);
        MemoryType(MemoryDecl { min, max, memory64, shared, page_size_log2 })
    }

    /// How many pages it has at first.
    pub fn minimum(&self) -> u64 {
        self.0.min
    }

    /// How many pages it may have.
    pub fn maximum(&self) -> Option<u64> {
        self.0.max
    }

    /// Whether its addresses have 64 bits.
    pub fn is_64(&self) -> bool {
        self.0.memory64
    }

    /// Whether threads share it.
    pub fn is_shared(&self) -> bool {
        self.0.shared
    }

    /// Bytes a page.
    pub fn page_size(&self) -> u64 {
        1 << self.page_size_log2()
    }

    /// The logarithm of that to the base of 2.
    pub fn page_size_log2(&self) -> u8 {
        self.0.page_size_log2
    }
}

/// The type of a tag: what an exception with it carries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TagType(FuncType);

impl TagType {
    /// The tag whose exceptions carry the parameters of `ty`, which has no results: see
    /// [`Tag::new`](crate::Tag::new).
    pub fn new(ty: FuncType) -> Self {
        TagType(ty)
    }

    /// What it carries, as a function's parameters.
    pub fn ty(&self) -> &FuncType {
        &self.0
    }
}

/// The type of something imported or exported.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ExternType {
    /// A function.
    Func(FuncType),
    /// A global.
    Global(GlobalType),
    /// A table.
    Table(TableType),
    /// A memory.
    Memory(MemoryType),
    /// A tag.
    Tag(TagType),
}

impl ExternType {
    /// In words that are the same in each engine: with the function type that it refers to. Types
    /// that this one refers to are not spelled out, so that there is an end.
    pub(crate) fn spelled(&self, types: &TypeRegistry) -> String {
        let element = match self {
            ExternType::Global(ty) => ty.content(),
            ExternType::Table(ty) => ValType::Ref(ty.element()),
            _ => return self.to_string(),
        };
        if let ValType::Ref(element) = element
            && let HeapType::ConcreteFunc(id) = element.heap_type()
            && let Some(sig) = types.get(id.0)
        {
            return format!("{self} with $type = {sig}");
        }
        self.to_string()
    }

    /// The function type, if it is one.
    pub fn func(&self) -> Option<&FuncType> {
        if let ExternType::Func(ty) = self { Some(ty) } else { None }
    }

    /// The global type, if it is one.
    pub fn global(&self) -> Option<&GlobalType> {
        if let ExternType::Global(ty) = self { Some(ty) } else { None }
    }

    /// The table type, if it is one.
    pub fn table(&self) -> Option<&TableType> {
        if let ExternType::Table(ty) = self { Some(ty) } else { None }
    }

    /// The memory type, if it is one.
    pub fn memory(&self) -> Option<&MemoryType> {
        if let ExternType::Memory(ty) = self { Some(ty) } else { None }
    }

    /// The tag type, if it is one.
    pub fn tag(&self) -> Option<&TagType> {
        if let ExternType::Tag(ty) = self { Some(ty) } else { None }
    }
}

impl fmt::Display for ExternType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = |f: &mut fmt::Formatter<'_>, min: u64, max: Option<u64>| match max {
            Some(max) => write!(f, "{min} to {max}"),
            None => write!(f, "at least {min}"),
        };
        match self {
            ExternType::Func(ty) => write!(f, "function {ty}"),
            ExternType::Global(ty) => {
                let mutable = if ty.0.mutable { "mutable " } else { "" };
                write!(f, "{mutable}global of {}", ty.0.content)
            }
            ExternType::Table(ty) => {
                let wide = if ty.0.table64 { "64-bit " } else { "" };
                write!(f, "{wide}table of ")?;
                limits(f, ty.0.min, ty.0.max)?;
                write!(f, " {}", ty.0.element)
            }
            ExternType::Memory(ty) => {
                let wide = if ty.0.memory64 { "64-bit " } else { "" };
                let shared = if ty.0.shared { "shared " } else { "" };
                write!(f, "{shared}{wide}memory of ")?;
                limits(f, ty.0.min, ty.0.max)?;
                f.write_str(if ty.0.page_size_log2 == 0 { " bytes" } else { " pages" })
            }
            ExternType::Tag(TagType(ty)) => write!(f, "tag {ty}"),
        }
    }
}

/// What a module imports.
#[derive(Clone, Debug)]
pub struct ImportType<'m> {
    pub(crate) module: &'m str,
    pub(crate) name: &'m str,
    pub(crate) ty: ExternType,
}

impl<'m> ImportType<'m> {
    /// The name of the module that it is imported from.
    pub fn module(&self) -> &'m str {
        self.module
    }

    /// Its name there.
    pub fn name(&self) -> &'m str {
        self.name
    }

    /// Its type.
    pub fn ty(&self) -> ExternType {
        self.ty.clone()
    }
}

/// What a module exports.
#[derive(Clone, Debug)]
pub struct ExportType<'m> {
    pub(crate) name: &'m str,
    pub(crate) ty: ExternType,
}

impl<'m> ExportType<'m> {
    /// Its name.
    pub fn name(&self) -> &'m str {
        self.name
    }

    /// Its type.
    pub fn ty(&self) -> ExternType {
        self.ty.clone()
    }
}

/// The function types of an engine, each with a number of its own, which compiled code compares.
///
/// Invariant: two numbers are equal if and only if the types are. A type is forgotten with the
/// last module or host function that has it, but **no number is ever used again**: one that
/// somebody still holds can only be unknown, never another type's.
#[derive(Default)]
pub(crate) struct TypeRegistry(RwLock<Types>);

#[derive(Default)]
struct Types {
    by_type: HashMap<Arc<Signature>, u32>,
    /// With the number of [`TypeIds`] that hold it.
    by_id: HashMap<u32, (Arc<Signature>, usize)>,
    next: u32,
}

/// Numbers of types, which are registered as long as this lives.
pub(crate) struct TypeIds {
    engine: Engine,
    ids: Box<[u32]>,
}

impl TypeIds {
    /// The numbers of `count` types in the registry of `engine`. A type may refer to earlier ones,
    /// whose numbers `ty` is told.
    ///
    /// # Errors
    /// The first error of `ty`, or that the engine has no number left.
    pub(crate) fn new(
        engine: &Engine,
        count: u32,
        ty: impl Fn(u32, &[u32]) -> Result<Signature>,
    ) -> Result<Self> {
        let mut ids = Vec::new();
        let all = (0..count).try_for_each(|index| {
            ids.push(engine.types().intern(&ty(index, &ids)?)?);
            Ok(())
        });
        // What is registered is given back if a later one fails.
        let ids = TypeIds { engine: engine.clone(), ids: ids.into() };
        all.map(|()| ids)
    }

    pub(crate) fn ids(&self) -> &[u32] {
        &self.ids
    }
}

impl Drop for TypeIds {
    fn drop(&mut self) {
        self.engine.types().release(&self.ids);
    }
}

impl TypeRegistry {
    /// The number of `sig`, which refers to other types by their numbers; held once more.
    fn intern(&self, sig: &Signature) -> Result<u32> {
        let mut types = self.0.write().unwrap_or_else(|e| e.into_inner());
        let types = &mut *types;
        if let Some(id) = types.by_type.get(sig) {
            if let Some((_, holders)) = types.by_id.get_mut(id) {
                *holders += 1;
            }
            return Ok(*id);
        }
        let id = types.next;
        types.next = id.checked_add(1).ok_or_else(|| {
            Error::with_kind(ErrorKind::Limit, "the engine has no number left for another type")
        })?;
        let sig = Arc::new(sig.clone());
        types.by_id.insert(id, (sig.clone(), 1));
        types.by_type.insert(sig, id);
        Ok(id)
    }

    fn release(&self, ids: &[u32]) {
        let mut types = self.0.write().unwrap_or_else(|e| e.into_inner());
        for id in ids {
            let Some((sig, holders)) = types.by_id.get_mut(id) else { continue };
            *holders -= 1;
            if *holders == 0 {
                let sig = sig.clone();
                types.by_type.remove(&sig);
                types.by_id.remove(id);
            }
        }
    }

    /// The type with that number.
    pub(crate) fn get(&self, id: u32) -> Option<Arc<Signature>> {
        let types = self.0.read().unwrap_or_else(|e| e.into_inner());
        types.by_id.get(&id).map(|(sig, _)| sig.clone())
    }
}
