//! Instantiation (core specification, section 4.5.4).
//!
//! Takes a time that does not depend on the sizes of tables and memories: images are mapped, and
//! table elements and function references are made when somebody first looks at them.

use super::externals::Extern;
use super::host::HostFunc;
use super::instance::{GlobalSlot, ImportedFunc, Instance, InstanceData};
use super::limits::Growing;
use super::memory::{self, MemoryData, MemorySlot};
use super::module::Module;
use super::shared::SharedMemory;
use super::store::StoreOpaque;
use super::table::TableData;
use super::tag::TagData;
use super::types::*;
use super::vm::builtins;
use super::vm::instance::{FuncImport, VmInstance};
use super::vm::vmctx::{ValRaw, VmCtx};
use crate::Features;
use crate::artifact::header::Corrupt;
use crate::artifact::records;
use crate::error::{Context, Error, ErrorKind, Foreign, Result};
use crate::wasm::types::{ExternKind, ValType};
use std::sync::Arc;

/// What an import is bound to.
#[derive(Clone)]
pub(crate) enum Import {
    Extern(Extern),
    /// A function of the host that belongs to a linker.
    Host(Arc<HostFunc>),
}

impl Import {
    fn ty(&self, store: &StoreOpaque) -> ExternType {
        match self {
            Import::Host(host) => ExternType::Func(host.ty().clone()),
            Import::Extern(Extern::Func(x)) => ExternType::Func(x.ty_in(store)),
            Import::Extern(Extern::Global(x)) => {
                ExternType::Global(GlobalType(store.globals[x.0.index(store)].decl))
            }
            Import::Extern(Extern::Table(x)) => {
                let table = &store.tables[x.0.index(store)];
                // What counts is the size now, not the one at the start.
                let decl = crate::wasm::types::TableDecl { min: table.len(), ..table.decl };
                ExternType::Table(TableType(decl))
            }
            Import::Extern(Extern::Memory(x)) => {
                let memory = &store.memories[x.0.index(store)];
                let decl = crate::wasm::types::MemoryDecl { min: memory.pages(), ..memory.decl };
                ExternType::Memory(MemoryType(decl))
            }
            Import::Extern(Extern::Tag(x)) => ExternType::Tag(store.tags[x.0.index(store)].ty()),
            Import::Extern(Extern::SharedMemory(x)) => ExternType::Memory(x.current_type()),
        }
    }
}

/// Whether something of type `found` may be imported as `wanted` (section 3.3, import matching).
/// Not for functions and tags, whose types have numbers.
fn matches(wanted: &ExternType, found: &ExternType) -> bool {
    let limits = |want: (u64, Option<u64>), have: (u64, Option<u64>)| {
        have.0 >= want.0 && want.1.is_none_or(|want| have.1.is_some_and(|have| have <= want))
    };
    match (wanted, found) {
        (ExternType::Global(want), ExternType::Global(have)) => {
            let (want, have) = (want.0, have.0);
            want.mutable == have.mutable
                && have.content.matches(&want.content)
                && (!want.mutable || want.content == have.content)
        }
        (ExternType::Table(want), ExternType::Table(have)) => {
            let (want, have) = (want.0, have.0);
            want.element == have.element
                && want.table64 == have.table64
                && limits((want.min, want.max), (have.min, have.max))
        }
        (ExternType::Memory(want), ExternType::Memory(have)) => {
            let (want, have) = (want.0, have.0);
            want.memory64 == have.memory64
                && want.shared == have.shared
                && want.page_size_log2 == have.page_size_log2
                && limits((want.min, want.max), (have.min, have.max))
        }
        _ => false,
    }
}

/// Checks that `imports` are what `module` imports.
///
/// # Errors
/// The first import that is missing or of another type.
pub(crate) fn check_imports(
    store: &StoreOpaque,
    module: &Module,
    imports: &[Import],
) -> Result<()> {
    let view = module.view();
    let link = |message: String| Error::with_kind(ErrorKind::Link, message);
    if imports.len() != view.import_count() as usize {
        let message = format!("expected {} imports, found {}", view.import_count(), imports.len());
        return Err(link(message));
    }
    for (i, import) in imports.iter().enumerate() {
        let (from, name, kind, index) = view.import(i as u32)?;
        // Two types are the same if and only if their numbers are.
        let same = match (kind, import) {
            (ExternKind::Func, Import::Host(host)) => {
                host.type_id() == module.func_type_id(index)?.0
            }
            (ExternKind::Func, Import::Extern(Extern::Func(func))) => {
                func.get(store)?.type_id() == module.func_type_id(index)?.0
            }
            (ExternKind::Tag, Import::Extern(Extern::Tag(tag))) => {
                store.tags[tag.0.get(store)?].type_id() == module.tag_type_id(index)?
            }
            _ => false,
        };
        if same {
            continue;
        }
        let wanted = module.extern_type(kind, index)?;
        let found = import.ty(store);
        if !matches(&wanted, &found) {
            let types = module.engine().types();
            let (wanted, found) = (wanted.spelled(types), found.spelled(types));
            let (from, name) = (Foreign(from), Foreign(name));
            return Err(link(format!(
                "incompatible import type for `{from}::{name}`: expected {wanted}, found {found}"
            )));
        }
    }
    Ok(())
}

/// Makes an instance, and runs its start function.
pub(crate) fn instantiate(
    store: &mut StoreOpaque,
    module: &Module,
    imports: &[Import],
) -> Result<Instance> {
    store.check_engine(module.engine())?;
    check_imports(store, module, imports)?;
    let counts = module.counts();
    store.may_have(1, counts.defined_memories, counts.defined_tables)?;
    store.add_module(module)?;
    let (memories, tables) = (store.memories.len(), store.tables.len());
    let shared = store.shared.len();
    let instance = allocate(store, module, imports).inspect_err(|_| {
        // What was made so far is defined in a vmctx that is gone.
        store.forget_memories_from(memories);
        store.forget_shared_from(shared);
        store.forget_tables_from(tables);
    })?;
    initialize(store, instance, module)?;
    if let Some(start) = module.start() {
        let func = store.func_ref(instance, start)?;
        store.call_from(instance, func, &mut []).context("in the start function")?;
    }
    Ok(Instance(store.stored(instance)))
}

/// The vmctx with its imports, memories and tables, still without initial values.
fn allocate(store: &mut StoreOpaque, module: &Module, imports: &[Import]) -> Result<usize> {
    let index = store.instances.len();
    let view = module.view();
    let vm = VmInstance::new(
        module.layout(),
        VmCtx {
            store: store.execution.vm_store(),
            builtins: builtins::table(),
            type_ids: module.type_ids().as_ptr(),
            instance: index as *mut (),
            epoch: module.engine().epoch().as_ptr(),
        },
    );
    let vm = vm.ok_or_else(|| {
        Error::with_kind(ErrorKind::Limit, "there is no memory for another instance")
    })?;
    let mut functions = Vec::new();
    let (mut memories, mut tables) = (Vec::new(), Vec::new());
    let (mut globals, mut tags) = (Vec::new(), Vec::new());
    for import in imports {
        match import {
            Import::Host(host) => {
                let slot = functions.len() as u32;
                let trampoline = module.host_trampoline(module.func_type_id(slot)?.1)?;
                vm.set_function_import(slot, FuncImport::host(host.vm(), trampoline));
                functions.push(ImportedFunc::Host(host.clone()));
            }
            Import::Extern(Extern::Func(func)) => {
                let (slot, func) = (functions.len() as u32, func.get(store)?);
                let trampoline = module.host_trampoline(module.func_type_id(slot)?.1)?;
                vm.set_function_import(slot, func.as_import(trampoline));
                functions.push(ImportedFunc::Ref(func));
            }
            Import::Extern(Extern::Memory(memory)) => {
                let handle = memory.0.index(store);
                let definition = store.memories[handle].definition();
                vm.set_memory_import(memories.len() as u32, definition, handle);
                memories.push(MemorySlot::Own(handle));
            }
            Import::Extern(Extern::SharedMemory(memory)) => {
                let handle = store.add_shared(memory);
                let definition = memory.linear().definition();
                vm.set_memory_import(memories.len() as u32, definition, handle);
                memories.push(MemorySlot::Shared(handle));
            }
            Import::Extern(Extern::Table(table)) => {
                let handle = table.0.index(store);
                let definition = store.tables[handle].definition();
                vm.set_table_import(tables.len() as u32, definition, handle);
                tables.push(handle);
            }
            Import::Extern(Extern::Global(global)) => {
                let handle = global.0.index(store);
                let cell = store.globals[handle].cell;
                vm.set_global_import(globals.len() as u32, cell);
                globals.push(GlobalSlot { cell, handle: Some(handle) });
            }
            Import::Extern(Extern::Tag(tag)) => {
                let number = tag.0.index(store);
                vm.set_tag_import(tags.len() as u32, number as u64);
                tags.push(number);
            }
        }
    }
    let counts = module.counts();
    for defined in 0..counts.defined_memories {
        let (decl, record) = view.memory(counts.imported_memories + defined)?;
        store.may_make_memory(&decl)?;
        let bounds = store.engine().bounds();
        let mut linear = memory::reserve(&decl, bounds)?;
        if record.image_len.get() > 0 {
            let image = module.mapping().image(record.image_offset.get(), record.image_len.get());
            let image = image.ok_or(Corrupt("a memory's image"))?;
            linear.map_image(record.image_start.get(), image)?;
        }
        memories.push(if decl.shared {
            let memory = SharedMemory::share(store.engine(), decl, linear)?;
            vm.set_shared_memory(defined, memory.linear().definition());
            MemorySlot::Shared(store.add_shared(&memory))
        } else {
            let memory = MemoryData::in_instance(decl, linear, vm.defined_memory(defined));
            MemorySlot::Own(store.add_memory(memory))
        });
    }
    for defined in 0..counts.defined_tables {
        let table = counts.imported_tables + defined;
        let (decl, record) = module.table(table)?;
        store.may_make(Growing::Table, decl.min, decl.max)?;
        let image = (record.image.len.get() > 0).then_some((index, table));
        let table = TableData::in_instance(decl, vm.defined_table(defined), image)?;
        tables.push(store.add_table(table)?);
    }
    for defined in 0..counts.defined_globals {
        globals.push(GlobalSlot { cell: vm.defined_global(defined), handle: None });
    }
    for defined in 0..counts.defined_tags {
        let type_id = module.tag_type_id(counts.imported_tags + defined)?;
        store.tags.push(TagData::in_instance(module.func_type(type_id)?, type_id));
        let number = store.tags.len() - 1;
        vm.set_tag(defined, number as u64);
        tags.push(number);
    }
    let (dropped_elements, dropped_data) = (Vec::new(), Vec::new());
    let module = module.clone();
    store.instances.push(InstanceData {
        module,
        vm,
        functions,
        memories,
        tables,
        globals,
        tags,
        dropped_elements,
        dropped_data,
    });
    Ok(index)
}

/// Initial values of globals and tables, and active segments.
fn initialize(store: &mut StoreOpaque, instance: usize, module: &Module) -> Result<()> {
    let (view, counts) = (module.view(), module.counts());
    for defined in 0..counts.defined_globals {
        let (decl, init) = view.global(counts.imported_globals + defined)?;
        let value = store.eval(instance, init, decl.content)?;
        let slot = (counts.imported_globals + defined) as usize;
        let cell = store.instances[instance].globals[slot].cell;
        cell.set(ValRaw::from_u128(value));
        store.note_global(decl.content, cell);
    }
    for defined in 0..counts.defined_tables {
        let index = counts.imported_tables + defined;
        let (decl, record) = view.table(index)?;
        let init = view.expr(record.init)?;
        if !init.is_empty() {
            let value = store.eval(instance, init, ValType::Ref(decl.element))? as u64;
            let table = store.instances[instance].tables[index as usize];
            store.table_fill(table, 0, value, decl.min)?;
        }
    }
    if !module.engine().config().compile.features.contains(Features::BULK_MEMORY) {
        check_segments(store, instance, module)?;
    }
    for segment in 0..view.element_count() {
        let element = view.element(segment)?;
        if element.mode.get() != records::ACTIVE {
            continue;
        }
        let start = element_offset(store, instance, element)?;
        let len = view.items(element)?.len();
        store.table_init(instance, (element.table.get(), start), (segment, 0), len)?;
        store.drop_element(instance, segment);
    }
    for segment in 0..view.data_count() {
        let (record, bytes) = view.data(segment)?;
        if record.mode.get() != records::ACTIVE {
            continue;
        }
        let start = data_offset(store, instance, record)?;
        let len = bytes.len() as u64;
        store.memory_init(instance, (record.memory.get(), start), (segment, 0), len)?;
        store.drop_data(instance, segment);
    }
    Ok(())
}

/// Checks that all active segments fit, before any is written.
///
/// The bulk memory proposal made segments write one after another until one traps. Without it a
/// module with a segment that does not fit cannot be linked, and changes nothing that it imports
/// (core specification, version 1.0, section 4.5.4).
fn check_segments(store: &mut StoreOpaque, instance: usize, module: &Module) -> Result<()> {
    let view = module.view();
    let check = |what: &str, segment: u32, start: u64, len: u64, size: u64| {
        let end = start.checked_add(len).filter(|end| *end <= size);
        end.map(drop).ok_or_else(|| {
            let message = format!(
                "{what} segment does not fit: {segment} has {len} from {start} on, of {size}"
            );
            Error::with_kind(ErrorKind::Link, message)
        })
    };
    for segment in 0..view.element_count() {
        let element = view.element(segment)?;
        if element.mode.get() == records::ACTIVE {
            let start = element_offset(store, instance, element)?;
            let tables = &store.instances[instance].tables;
            let table = tables.get(element.table.get() as usize);
            let size = store.tables[*table.ok_or(Corrupt("a table's index"))?].len();
            check("elements", segment, start, view.items(element)?.len(), size)?;
        }
    }
    for segment in 0..view.data_count() {
        let (record, bytes) = view.data(segment)?;
        if record.mode.get() == records::ACTIVE {
            let start = data_offset(store, instance, record)?;
            let memories = &store.instances[instance].memories;
            let memory = memories.get(record.memory.get() as usize);
            let memory = *memory.ok_or(Corrupt("a memory's index"))?;
            let size = match memory {
                MemorySlot::Own(memory) => store.memories[memory].len(),
                MemorySlot::Shared(memory) => store.shared[memory].linear().len(),
            };
            check("data", segment, start, bytes.len() as u64, size)?;
        }
    }
    Ok(())
}

/// Where in its table an active segment starts.
fn element_offset(
    store: &mut StoreOpaque,
    instance: usize,
    element: &records::Element,
) -> Result<u64> {
    let data = &store.instances[instance];
    let (decl, _) = data.module.view().table(element.table.get())?;
    offset(store, instance, element.offset, decl.table64)
}

/// Where in its memory an active segment starts.
fn data_offset(store: &mut StoreOpaque, instance: usize, record: &records::Data) -> Result<u64> {
    let data = &store.instances[instance];
    let (decl, _) = data.module.view().memory(record.memory.get())?;
    offset(store, instance, record.offset, decl.memory64)
}

fn offset(
    store: &mut StoreOpaque,
    instance: usize,
    piece: records::Piece,
    is_64: bool,
) -> Result<u64> {
    let module = store.instances[instance].module.clone();
    let ty = if is_64 { ValType::I64 } else { ValType::I32 };
    Ok(store.eval(instance, module.view().expr(piece)?, ty)? as u64)
}
