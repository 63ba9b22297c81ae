//! From bytes to [`ModuleInfo`], validated, and to what validating the bodies takes.
//!
//! Bodies are not looked into here: each is validated on the thread that compiles it, while it is
//! hot.

use super::proposals;
use crate::Features;
use crate::error::{Error, ErrorKind, Foreign, ModuleError, Result};
use crate::wasm::index::*;
use crate::wasm::module::*;
use crate::wasm::types::*;
use std::ops::Range;
use wasmparser::{
    AbstractHeapType, BinaryReader, CompositeInnerType, DataKind, ElementKind, FuncToValidate,
    FunctionBody, KnownCustom, Name, NameSectionReader, Operator, Parser, Payload, TableInit,
    TypeRef, UnpackedIndex, ValidPayload, Validator, ValidatorResources, WasmFeatures,
    WasmModuleResources,
};

/// A decoded module: all of it is valid but for the bodies.
pub(crate) struct Decoded<'a> {
    pub(crate) info: ModuleInfo,
    module: &'a [u8],
    features: WasmFeatures,
    /// What bodies are validated against; `None` if there are none.
    resources: Option<ValidatorResources>,
}

/// Decodes and validates `module`, all but its bodies.
///
/// # Errors
/// `Invalid` with the offset, `Unsupported` naming the proposals, or `Limit`.
pub(crate) fn decode(module: &[u8], features: Features) -> Result<Decoded<'_>> {
    decode_with(module, proposals::validator_features(features))
}

/// As [`decode`], with those flags of the validator.
pub(super) fn decode_with(module: &[u8], flags: WasmFeatures) -> Result<Decoded<'_>> {
    check_preamble(module)?;
    // Offsets in artifacts have 32 bits.
    if u32::try_from(module.len()).is_err() {
        return Err(Error::module(ErrorKind::Limit, None, "the module is larger than 4 GiB"));
    }
    let refused = match Decoder::new(module, flags).run() {
        Err(refused) => refused,
        decoded => return decoded,
    };
    let message = refused.downcast_ref::<ModuleError>().map_or("", |error| &error.message);
    let Some(wider) = proposals::for_own_globals(flags, message) else {
        return Err(refused);
    };
    // What else these flags let through, the decoder refuses itself: types came before, bodies get
    // the flags that they have always had.
    match Decoder::new(module, wider).run() {
        Ok(decoded) => Ok(Decoded { features: flags, ..decoded }),
        Err(error) if error.kind() == ErrorKind::Unsupported => Err(refused),
        Err(error) => Err(error),
    }
}

impl<'a> Decoded<'a> {
    /// The body of `func` and what validates it; `None` if there is no such function.
    pub(crate) fn body(
        &self,
        func: DefinedFuncIndex,
    ) -> Option<(FunctionBody<'a>, FuncToValidate<ValidatorResources>)> {
        let resources = self.resources.clone()?;
        let range = self.info.bodies.get(func.index())?.clone();
        let bytes = self.module.get(range.clone())?;
        let index = self.info.func_index(func).as_u32();
        let ty = resources.type_index_of_function(index)?;
        let reader = BinaryReader::new_features(bytes, range.start as u64, self.features);
        let validate = FuncToValidate { resources, index, ty, features: self.features };
        Some((FunctionBody::new(reader), validate))
    }
}

/// The error for what the validator or the parser says.
pub(crate) fn invalid(error: &wasmparser::Error) -> Error {
    // With names of exports, for one.
    Error::module(ErrorKind::Invalid, error.offset(), Foreign(error.message()))
}

/// Says of bytes that do not even start like a module what they are.
fn check_preamble(module: &[u8]) -> Result<()> {
    const MAGIC: &[u8] = b"\0asm";
    let refuse = |kind, offset: u64, message| Err(Error::module(kind, offset, message));
    let invalid = ErrorKind::Invalid;
    if module.is_empty() {
        return refuse(invalid, 0, "the module is empty: no bytes at all");
    }
    let start = &module[..module.len().min(MAGIC.len())];
    if !MAGIC.starts_with(start) {
        let text = module.iter().find(|byte| !byte.is_ascii_whitespace());
        return refuse(
            invalid,
            0,
            match text {
                Some(b'(' | b';') => {
                    "no WebAssembly binary (magic header not detected): \
                     this looks like the text format"
                }
                _ => "no WebAssembly binary: magic header not detected",
            },
        );
    }
    let Some([version, 0, layer, 0]) = module.get(4..8) else {
        if module.len() < 8 {
            return refuse(invalid, module.len() as u64, "unexpected end of the module's header");
        }
        return refuse(invalid, 4, "unknown binary version");
    };
    match (version, layer) {
        (1, 0) => Ok(()),
        (_, 1) => refuse(
            ErrorKind::Unsupported,
            4,
            "this is a component, not a core module: the component model is not supported yet",
        ),
        _ => refuse(invalid, 4, "unknown binary version"),
    }
}

struct Decoder<'a> {
    module: &'a [u8],
    features: WasmFeatures,
    info: ModuleInfo,
    resources: Option<ValidatorResources>,
    /// The function references that can be made, in no order.
    references: Vec<FuncIndex>,
    names: Option<BinaryReader<'a>>,
}

impl<'a> Decoder<'a> {
    fn new(module: &'a [u8], features: WasmFeatures) -> Self {
        Decoder {
            module,
            features,
            info: ModuleInfo::default(),
            resources: None,
            references: Vec::new(),
            names: None,
        }
    }

    fn run(mut self) -> Result<Decoded<'a>> {
        let mut validator = Validator::new_with_features(self.features);
        let mut parser = Parser::new(0);
        parser.set_features(self.features);
        for payload in parser.parse_all(self.module) {
            let payload = payload.map_err(|e| invalid(&e))?;
            match validator.payload(&payload).map_err(|e| invalid(&e))? {
                ValidPayload::Func(func, body) => {
                    self.info.bodies.push(range(body.range()));
                    self.resources.get_or_insert(func.resources);
                }
                _ => self.section(payload)?,
            }
        }
        self.number_references();
        if let Some(names) = self.names.take() {
            self.info.names = read_names(self.module, names, self.info.functions.len());
        }
        let Decoder { module, features, info, resources, .. } = self;
        Ok(Decoded { info, module, features, resources })
    }

    /// Reads a section that was found valid.
    fn section(&mut self, payload: Payload<'a>) -> Result<()> {
        self.try_section(payload).map_err(|error| match error {
            SectionError::Parse(error) => invalid(&error),
            SectionError::Ours(error) => error,
        })
    }

    fn try_section(&mut self, payload: Payload<'a>) -> Result<(), SectionError> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section {
                    for ty in group?.into_types() {
                        let CompositeInnerType::Func(func) = &ty.composite_type.inner else {
                            return Err(unsupported("a type that is not a function's").into());
                        };
                        let known = &self.info.types;
                        let types = |types: &[wasmparser::ValType]| -> Result<Box<[ValType]>> {
                            types.iter().map(|ty| val_type(*ty, known)).collect()
                        };
                        let sig = Signature {
                            params: types(func.params())?,
                            results: types(func.results())?,
                        };
                        let sig = self.info.signatures.intern(sig);
                        self.info.types.push(sig);
                    }
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    self.import(import?)?;
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    let sig = self.signature(ty?)?;
                    self.info.functions.push(sig);
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    let table = table?;
                    let ty = table_type(table.ty, &self.info.types)?;
                    self.info.tables.push(ty);
                    let init = match table.init {
                        TableInit::RefNull => None,
                        TableInit::Expr(expr) => Some(self.const_expr(&expr)?),
                    };
                    self.info.table_inits.push(init);
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    self.info.memories.push(memory_type(memory?)?);
                }
            }
            Payload::TagSection(section) => {
                for tag in section {
                    let sig = self.signature(tag?.func_type_idx)?;
                    self.info.tags.push(sig);
                }
            }
            Payload::GlobalSection(section) => {
                for global in section {
                    let global = global?;
                    let ty = global_type(global.ty, &self.info.types)?;
                    self.info.globals.push(ty);
                    let init = self.const_expr(&global.init_expr)?;
                    self.info.global_inits.push(init);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    let kind = export_kind(export.kind)?;
                    if kind == ExternKind::Func {
                        self.references.push(FuncIndex::new(export.index));
                    }
                    let name = export.name.to_string();
                    self.info.exports.push(Export { name, kind, index: export.index });
                }
            }
            Payload::StartSection { func, .. } => {
                // The runtime calls it by its reference, as it does exports.
                self.references.push(FuncIndex::new(func));
                self.info.start = Some(FuncIndex::new(func));
            }
            Payload::ElementSection(section) => {
                for element in section {
                    let element = self.element(element?)?;
                    self.info.elements.push(element);
                }
            }
            Payload::DataSection(section) => {
                for data in section {
                    let data = data?;
                    let mode = match data.kind {
                        DataKind::Passive => SegmentMode::Passive,
                        DataKind::Active { memory_index, offset_expr } => SegmentMode::Active {
                            target: MemoryIndex::new(memory_index),
                            offset: self.const_expr(&offset_expr)?,
                        },
                    };
                    // The data is the end of the segment.
                    let end = data.range.end as usize;
                    let range = end - data.data.len()..end;
                    self.info.data.push(DataSegment { mode, range });
                }
            }
            Payload::CodeSectionStart { count, .. } => {
                // The count is not to be believed: a body has two bytes at least.
                let most = self.module.len() / 2;
                self.info.bodies.reserve_exact((count as usize).min(most));
            }
            Payload::CustomSection(section) if self.names.is_none() => {
                if let KnownCustom::Name(_) = section.as_known() {
                    let start = section.data_offset();
                    self.names = Some(BinaryReader::new(section.data(), start));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, import: wasmparser::Import<'_>) -> Result<()> {
        let info = &mut self.info;
        let (kind, index) = match import.ty {
            TypeRef::Func(ty) => {
                let sig = self.signature(ty)?;
                let info = &mut self.info;
                info.functions.push(sig);
                info.num_imported_functions += 1;
                (ExternKind::Func, info.functions.len())
            }
            TypeRef::Table(ty) => {
                info.tables.push(table_type(ty, &info.types)?);
                info.num_imported_tables += 1;
                (ExternKind::Table, info.tables.len())
            }
            TypeRef::Memory(ty) => {
                info.memories.push(memory_type(ty)?);
                info.num_imported_memories += 1;
                (ExternKind::Memory, info.memories.len())
            }
            TypeRef::Global(ty) => {
                info.globals.push(global_type(ty, &info.types)?);
                info.num_imported_globals += 1;
                (ExternKind::Global, info.globals.len())
            }
            TypeRef::Tag(ty) => {
                let sig = self.signature(ty.func_type_idx)?;
                let info = &mut self.info;
                info.tags.push(sig);
                info.num_imported_tags += 1;
                (ExternKind::Tag, info.tags.len())
            }
            TypeRef::FuncExact(_) => return Err(unsupported("an import of an exact type")),
        };
        // The validator caps every index space far below `u32::MAX`.
        self.info.imports.push(Import {
            module: import.module.to_string(),
            name: import.name.to_string(),
            kind,
            index: index as u32 - 1,
        });
        Ok(())
    }

    fn element(
        &mut self,
        element: wasmparser::Element<'_>,
    ) -> Result<ElementSegment, SectionError> {
        let mode = match element.kind {
            ElementKind::Passive => SegmentMode::Passive,
            ElementKind::Declared => SegmentMode::Declared,
            ElementKind::Active { table_index, offset_expr } => SegmentMode::Active {
                target: TableIndex::new(table_index.unwrap_or(0)),
                offset: self.const_expr(&offset_expr)?,
            },
        };
        let (element, items) = match element.items {
            wasmparser::ElementItems::Functions(items) => {
                let mut functions = Vec::with_capacity(capacity(&items));
                for func in items {
                    let func = FuncIndex::new(func?);
                    self.references.push(func);
                    functions.push(Some(func));
                }
                (RefType::FUNCREF, ElementItems::Functions(functions.into()))
            }
            wasmparser::ElementItems::Expressions(ty, items) => {
                let mut expressions = Vec::with_capacity(capacity(&items));
                for expr in items {
                    expressions.push(self.const_expr(&expr?)?);
                }
                (ref_type(ty, &self.info.types)?, simplify(expressions))
            }
        };
        Ok(ElementSegment { mode, element, items })
    }

    fn const_expr(&mut self, expr: &wasmparser::ConstExpr<'_>) -> Result<ConstExpr, SectionError> {
        let mut ops = Vec::new();
        for op in expr.get_operators_reader() {
            ops.push(match op? {
                Operator::I32Const { value } => ConstOp::I32Const(value),
                Operator::I64Const { value } => ConstOp::I64Const(value),
                Operator::F32Const { value } => ConstOp::F32Const(value.bits()),
                Operator::F64Const { value } => ConstOp::F64Const(value.bits()),
                Operator::V128Const { value } => {
                    ConstOp::V128Const(u128::from_le_bytes(*value.bytes()))
                }
                Operator::GlobalGet { global_index } => ConstOp::GlobalGet(global_index),
                Operator::RefNull { hty } => {
                    // The null of a type is that of its whole hierarchy.
                    ConstOp::RefNull(heap_type(hty, &self.info.types)?.top())
                }
                Operator::RefFunc { function_index } => {
                    self.references.push(FuncIndex::new(function_index));
                    ConstOp::RefFunc(function_index)
                }
                Operator::I32Add => ConstOp::I32Add,
                Operator::I32Sub => ConstOp::I32Sub,
                Operator::I32Mul => ConstOp::I32Mul,
                Operator::I64Add => ConstOp::I64Add,
                Operator::I64Sub => ConstOp::I64Sub,
                Operator::I64Mul => ConstOp::I64Mul,
                Operator::End => continue,
                _ => return Err(unsupported("an instruction in a constant expression").into()),
            });
        }
        Ok(ops.into())
    }

    fn signature(&self, ty: u32) -> Result<SigIndex> {
        // Valid, and function types are all that there is.
        let sig = self.info.types.get(ty as usize).copied();
        sig.ok_or_else(|| Error::with_kind(ErrorKind::Bug, format!("type {ty} is missing")))
    }

    /// Gives each function whose reference can be made its slot, in the order of their indices.
    fn number_references(&mut self) {
        let mut references = std::mem::take(&mut self.references);
        references.sort_unstable();
        references.dedup();
        let info = &mut self.info;
        info.func_refs = vec![None; info.functions.len()];
        for func in references {
            if let Some(slot) = info.func_refs.get_mut(func.index()) {
                *slot = Some(FuncRefIndex::new(info.num_func_refs));
                info.num_func_refs += 1;
            }
        }
    }
}

/// An error while a section is read: the parser's, which has an offset, or one of our own.
enum SectionError {
    Parse(wasmparser::Error),
    Ours(Error),
}

impl From<wasmparser::Error> for SectionError {
    fn from(error: wasmparser::Error) -> Self {
        SectionError::Parse(error)
    }
}

impl From<Error> for SectionError {
    fn from(error: Error) -> Self {
        SectionError::Ours(error)
    }
}

/// What the validator lets through only under features that the engine has not: a last line.
fn unsupported(what: &str) -> Error {
    Error::module(ErrorKind::Unsupported, None, format!("{what} is not supported"))
}

/// The count of a list that was found valid.
fn capacity<T>(items: &wasmparser::SectionLimited<'_, T>) -> usize {
    items.count() as usize
}

/// Expressions that are all functions or null, as the functions.
fn simplify(expressions: Vec<ConstExpr>) -> ElementItems {
    let function = |expr: &ConstExpr| match **expr {
        [ConstOp::RefFunc(func)] => Some(Some(FuncIndex::new(func))),
        [ConstOp::RefNull(HeapType::Func)] => Some(None),
        _ => None,
    };
    match expressions.iter().map(function).collect::<Option<Box<[_]>>>() {
        Some(functions) if !functions.is_empty() => ElementItems::Functions(functions),
        _ => ElementItems::Expressions(expressions.into()),
    }
}

fn range(range: Range<u64>) -> Range<usize> {
    // Within the module, which is in memory.
    range.start as usize..range.end as usize
}

/// `types` are those known so far: types refer to earlier ones.
fn val_type(ty: wasmparser::ValType, types: &[SigIndex]) -> Result<ValType> {
    Ok(match ty {
        wasmparser::ValType::I32 => ValType::I32,
        wasmparser::ValType::I64 => ValType::I64,
        wasmparser::ValType::F32 => ValType::F32,
        wasmparser::ValType::F64 => ValType::F64,
        wasmparser::ValType::V128 => ValType::V128,
        wasmparser::ValType::Ref(r) => ValType::Ref(ref_type(r, types)?),
    })
}

fn ref_type(ty: wasmparser::RefType, types: &[SigIndex]) -> Result<RefType> {
    Ok(RefType::new(ty.is_nullable(), heap_type(ty.heap_type(), types)?))
}

fn heap_type(ty: wasmparser::HeapType, types: &[SigIndex]) -> Result<HeapType> {
    match ty {
        wasmparser::HeapType::Concrete(UnpackedIndex::Module(index)) => {
            let known = types.get(index as usize).map(|sig| FuncTypeId(sig.as_u32()));
            let known = known.ok_or_else(|| unsupported("a type that refers to itself"))?;
            Ok(HeapType::ConcreteFunc(known))
        }
        wasmparser::HeapType::FUNC => Ok(HeapType::Func),
        wasmparser::HeapType::EXTERN => Ok(HeapType::Extern),
        wasmparser::HeapType::Abstract { shared: false, ty: AbstractHeapType::Exn } => {
            Ok(HeapType::Exn)
        }
        wasmparser::HeapType::Abstract { shared: false, ty: AbstractHeapType::NoExn } => {
            Ok(HeapType::NoExn)
        }
        _ => Err(unsupported("a reference to garbage-collected types")),
    }
}

fn table_type(ty: wasmparser::TableType, types: &[SigIndex]) -> Result<TableDecl> {
    Ok(TableDecl {
        element: ref_type(ty.element_type, types)?,
        min: ty.initial,
        max: ty.maximum,
        table64: ty.table64,
    })
}

fn memory_type(ty: wasmparser::MemoryType) -> Result<MemoryDecl> {
    let page_size_log2 = u8::try_from(ty.page_size_log2.unwrap_or(16));
    Ok(MemoryDecl {
        min: ty.initial,
        max: ty.maximum,
        memory64: ty.memory64,
        shared: ty.shared,
        page_size_log2: page_size_log2.map_err(|_| unsupported("that page size"))?,
    })
}

fn global_type(ty: wasmparser::GlobalType, types: &[SigIndex]) -> Result<GlobalDecl> {
    Ok(GlobalDecl { content: val_type(ty.content_type, types)?, mutable: ty.mutable })
}

fn export_kind(kind: wasmparser::ExternalKind) -> Result<ExternKind> {
    Ok(match kind {
        wasmparser::ExternalKind::Func => ExternKind::Func,
        wasmparser::ExternalKind::Table => ExternKind::Table,
        wasmparser::ExternalKind::Memory => ExternKind::Memory,
        wasmparser::ExternalKind::Global => ExternKind::Global,
        wasmparser::ExternalKind::Tag => ExternKind::Tag,
        wasmparser::ExternalKind::FuncExact => return Err(unsupported("an exact type")),
    })
}

/// The names in a section `name`, which need not make sense: what does not is left out.
fn read_names(module: &[u8], section: BinaryReader<'_>, functions: usize) -> Names {
    // A name is a piece of the module, so the distance of the two is its offset.
    let piece = |name: &str| {
        let start = name.as_ptr().addr() - module.as_ptr().addr();
        start..start + name.len()
    };
    let mut names = Names::default();
    // The inner iterators do not mind the order, which does not matter here.
    for subsection in NameSectionReader::new(section).sections {
        match subsection {
            Ok(Name::Module { name, .. }) => names.module = Some(piece(name)),
            Ok(Name::Function(map)) => {
                for naming in map.names.map_while(Result::ok) {
                    if (naming.index as usize) < functions {
                        names.functions.push((FuncIndex::new(naming.index), piece(naming.name)));
                    }
                }
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    names.functions.sort_by_key(|(func, _)| *func);
    names.functions.dedup_by_key(|(func, _)| *func);
    names
}
