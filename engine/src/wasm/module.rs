//! What a module declares: the compiler's view. The runtime's view is the artifact, which is
//! written from this and read in place, never turned back into it.
//!
//! Bytes of the module (bodies, data, names) are kept as ranges into it, not copied.

use super::canon::Signatures;
use super::index::*;
use super::types::*;
use std::ops::Range;

/// A module's declarations, validated, in the order of their index spaces.
#[derive(Default, Debug)]
pub(crate) struct ModuleInfo {
    pub(crate) signatures: Signatures,
    /// The signature behind each index of the type section.
    pub(crate) types: Vec<SigIndex>,
    pub(crate) imports: Vec<Import>,
    pub(crate) exports: Vec<Export>,

    /// Every function's signature, imports first. So for the following spaces.
    pub(crate) functions: Vec<SigIndex>,
    pub(crate) tables: Vec<TableDecl>,
    pub(crate) memories: Vec<MemoryDecl>,
    pub(crate) globals: Vec<GlobalDecl>,
    pub(crate) tags: Vec<SigIndex>,

    pub(crate) num_imported_functions: u32,
    pub(crate) num_imported_tables: u32,
    pub(crate) num_imported_memories: u32,
    pub(crate) num_imported_globals: u32,
    pub(crate) num_imported_tags: u32,

    /// The bodies of the defined functions: byte ranges in the module.
    pub(crate) bodies: Vec<Range<usize>>,
    /// Initial values of the defined globals.
    pub(crate) global_inits: Vec<ConstExpr>,
    /// Initial elements of the defined tables; `None` is null.
    pub(crate) table_inits: Vec<Option<ConstExpr>>,
    pub(crate) start: Option<FuncIndex>,
    pub(crate) elements: Vec<ElementSegment>,
    pub(crate) data: Vec<DataSegment>,
    pub(crate) names: Names,
    /// For each function the slot of its reference in the vmctx, if a reference to it can be
    /// made: it is exported, in an element segment, in a global, named by `ref.func`, or the start.
    pub(crate) func_refs: Vec<Option<FuncRefIndex>>,
    pub(crate) num_func_refs: u32,
}

pub(crate) type ConstExpr = Box<[ConstOp]>;

#[derive(Clone, Debug)]
pub(crate) struct Import {
    pub(crate) module: String,
    pub(crate) name: String,
    pub(crate) kind: ExternKind,
    /// Index in the index space of `kind`.
    pub(crate) index: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Export {
    pub(crate) name: String,
    pub(crate) kind: ExternKind,
    /// Index in the index space of `kind`.
    pub(crate) index: u32,
}

#[derive(Clone, Debug)]
pub(crate) enum SegmentMode<Target> {
    Passive,
    /// Only forward-declares functions for `ref.func`. Element segments alone.
    Declared,
    Active {
        target: Target,
        offset: ConstExpr,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct ElementSegment {
    pub(crate) mode: SegmentMode<TableIndex>,
    pub(crate) element: RefType,
    pub(crate) items: ElementItems,
}

#[derive(Clone, Debug)]
pub(crate) enum ElementItems {
    /// Function references; `None` is null. The usual case.
    Functions(Box<[Option<FuncIndex>]>),
    Expressions(Box<[ConstExpr]>),
}

#[derive(Clone, Debug)]
pub(crate) struct DataSegment {
    pub(crate) mode: SegmentMode<MemoryIndex>,
    /// The bytes: a range in the module.
    pub(crate) range: Range<usize>,
}

/// The custom section `name`: ranges in the module, valid UTF-8 each.
#[derive(Default, Debug)]
pub(crate) struct Names {
    pub(crate) module: Option<Range<usize>>,
    /// Sorted by function, no function twice.
    pub(crate) functions: Vec<(FuncIndex, Range<usize>)>,
}

impl ModuleInfo {
    /// The place of `func` among the defined functions; `None` for an import.
    pub(crate) fn defined_func(&self, func: FuncIndex) -> Option<DefinedFuncIndex> {
        func.as_u32().checked_sub(self.num_imported_functions).map(DefinedFuncIndex::new)
    }

    pub(crate) fn func_index(&self, func: DefinedFuncIndex) -> FuncIndex {
        FuncIndex::new(func.as_u32() + self.num_imported_functions)
    }

    pub(crate) fn func_signature(&self, func: FuncIndex) -> &Signature {
        self.signatures.get(self.functions[func.index()])
    }
}
