//! Instances.

use super::externals::{Export, Extern};
use super::func::{Func, TypedFunc, WasmParams, WasmResults};
use super::global::{Global, GlobalData};
use super::host::HostFunc;
use super::instantiate;
use super::memory::{Memory, MemorySlot};
use super::module::Module;
use super::shared::SharedMemory;
use super::store::{AsContextMut, StoreContextMut, StoreOpaque, Stored};
use super::table::Table;
use super::tag::Tag;
use super::vm::instance::{FuncRef, GlobalCell, VmInstance};
use crate::Trap;
use crate::artifact::header::Corrupt;
use crate::artifact::read::{Expr, Item};
use crate::artifact::records;
use crate::error::{Error, ErrorKind, Result};
use crate::wasm::types::{ConstOp, ExternKind, RefType, ValType};
use std::sync::Arc;

/// An instance of a module: its memories, tables and globals, and its functions bound to them.
///
/// ```
/// # #[cfg(all(feature = "compile", feature = "wat"))] {
/// use precompile::{Engine, Instance, Module, Store};
/// let engine = Engine::default();
/// let module = Module::new(&engine, r#"(module
///     (func (export "add") (param i32 i32) (result i32)
///         (i32.add (local.get 0) (local.get 1))))"#)?;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let add = instance.get_typed_func::<(i32, i32), i32>(&mut store, "add")?;
/// assert_eq!(add.call(&mut store, (20, 22))?, 42);
/// # }
/// # Ok::<(), precompile::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Instance(pub(crate) Stored);

/// A function that an instance imports.
#[derive(Clone)]
pub(crate) enum ImportedFunc {
    /// Of wasm, or a function of the host that belongs to this store.
    Ref(FuncRef),
    /// A function of the host that belongs to a linker.
    Host(Arc<HostFunc>),
}

pub(crate) struct InstanceData {
    pub(crate) module: Module,
    pub(crate) vm: VmInstance,
    pub(crate) functions: Vec<ImportedFunc>,
    /// By index in the module. So for the following.
    pub(crate) memories: Vec<MemorySlot>,
    /// Indices in the store.
    pub(crate) tables: Vec<usize>,
    pub(crate) globals: Vec<GlobalSlot>,
    pub(crate) tags: Vec<usize>,
    /// Segments that were dropped, by index in the module. Empty as long as none was.
    pub(crate) dropped_elements: Vec<bool>,
    pub(crate) dropped_data: Vec<bool>,
}

/// A global of an instance.
#[derive(Clone, Copy)]
pub(crate) struct GlobalSlot {
    pub(crate) cell: GlobalCell,
    /// Its index in the store, once somebody asked for a handle.
    pub(crate) handle: Option<usize>,
}

const CHECKED: &str = "exports were checked when the module was loaded";

fn is_dropped(dropped: &[bool], segment: u32) -> bool {
    dropped.get(segment as usize).copied().unwrap_or(false)
}

fn drop_segment(dropped: &mut Vec<bool>, segment: u32) {
    let index = segment as usize;
    if dropped.len() <= index {
        dropped.resize(index + 1, false);
    }
    dropped[index] = true;
}

/// What builtins and instantiation do, by the instance's index in the store and indices of its
/// module.
impl StoreOpaque {
    /// The reference to function `func` of an instance, made now if it was not.
    pub(crate) fn func_ref(&mut self, instance: usize, func: u32) -> Result<FuncRef> {
        let data = &self.instances[instance];
        let module = &data.module;
        let slot = module.view().func_ref(func)?;
        let slot = slot.filter(|slot| *slot < module.counts().func_refs);
        let slot = slot.ok_or(Corrupt("FuncRefs"))?;
        if let Some(func_ref) = data.vm.func_ref(slot) {
            return Ok(func_ref);
        }
        let (type_id, sig) = module.func_type_id(func)?;
        if let Some(imported) = data.functions.get(func as usize) {
            return Ok(match imported {
                ImportedFunc::Ref(func) => data.vm.copy_func_ref(slot, *func),
                ImportedFunc::Host(host) => {
                    let trampoline = module.host_trampoline(sig)?;
                    data.vm.make_host_ref(slot, type_id, host.vm(), trampoline)
                }
            });
        }
        let code = module.code(func - data.functions.len() as u32)?;
        Ok(data.vm.make_func_ref(slot, type_id, code, module.entry_trampoline(sig)?))
    }

    /// The value of a constant expression of type `ty`, as a raw value: floats as bits, references
    /// as wasm has them. A value of another type is damage: taken for a reference, it would be
    /// followed.
    pub(crate) fn eval(&mut self, instance: usize, expr: Expr<'_>, ty: ValType) -> Result<u128> {
        const DAMAGED: Corrupt = Corrupt("a constant expression");
        let mut stack: Vec<(ValType, u128)> = Vec::new();
        for op in expr.ops() {
            let op = op?;
            let mut pop = |ty: ValType| {
                stack.pop().filter(|(own, _)| *own == ty).map(|(_, value)| value).ok_or(DAMAGED)
            };
            let value = match op {
                ConstOp::I32Const(x) => (ValType::I32, u128::from(x as u32)),
                ConstOp::I64Const(x) => (ValType::I64, u128::from(x as u64)),
                ConstOp::F32Const(x) => (ValType::F32, x.into()),
                ConstOp::F64Const(x) => (ValType::F64, x.into()),
                ConstOp::V128Const(x) => (ValType::V128, x),
                ConstOp::GlobalGet(index) => {
                    let data = &self.instances[instance];
                    let slot = data.globals.get(index as usize);
                    let slot = slot.ok_or(Corrupt("a global's index"))?;
                    let (decl, _) = data.module.view().global(index)?;
                    (decl.content, slot.cell.get().as_u128())
                }
                ConstOp::RefNull(heap) => (ValType::Ref(RefType::new(true, heap)), 0),
                ConstOp::RefFunc(func) => {
                    let func = self.func_ref(instance, func)?;
                    (ValType::FUNCREF, FuncRef::to_raw(Some(func)).into())
                }
                ConstOp::I32Add | ConstOp::I32Sub | ConstOp::I32Mul => {
                    let (right, left) = (pop(ValType::I32)? as u32, pop(ValType::I32)? as u32);
                    let result = match op {
                        ConstOp::I32Add => left.wrapping_add(right),
                        ConstOp::I32Sub => left.wrapping_sub(right),
                        _ => left.wrapping_mul(right),
                    };
                    (ValType::I32, result.into())
                }
                ConstOp::I64Add | ConstOp::I64Sub | ConstOp::I64Mul => {
                    let (right, left) = (pop(ValType::I64)? as u64, pop(ValType::I64)? as u64);
                    let result = match op {
                        ConstOp::I64Add => left.wrapping_add(right),
                        ConstOp::I64Sub => left.wrapping_sub(right),
                        _ => left.wrapping_mul(right),
                    };
                    (ValType::I64, result.into())
                }
            };
            stack.push(value);
        }
        let (own, value) = stack.pop().ok_or(DAMAGED)?;
        let same = match (own, ty) {
            // Of which type a function is, is the validator's business; that it is a function
            // and no handle, or a handle of the same kind, is what keeps damage harmless.
            (ValType::Ref(own), ValType::Ref(ty)) => own.heap_type().top() == ty.heap_type().top(),
            (own, ty) => own == ty,
        };
        if same { Ok(value) } else { Err(DAMAGED.into()) }
    }

    /// `table.init`, of tables and segments of an instance.
    pub(crate) fn table_init(
        &mut self,
        instance: usize,
        (table, to): (u32, u64),
        (segment, from): (u32, u64),
        len: u64,
    ) -> Result<()> {
        let data = &self.instances[instance];
        let module = data.module.clone();
        let table = *data.tables.get(table as usize).ok_or(Corrupt("a table's index"))?;
        let element = module.view().element(segment)?;
        let items = module.view().items(element)?;
        // An active segment is passed here once, by instantiation, and dropped after that.
        let gone = matches!(element.mode.get(), records::DECLARED | records::APPLIED)
            || is_dropped(&data.dropped_elements, segment);
        let available = if gone { 0 } else { items.len() };
        let oob = || Trap::TableOutOfBounds;
        from.checked_add(len).filter(|end| *end <= available).ok_or_else(oob)?;
        to.checked_add(len).filter(|end| *end <= self.tables[table].len()).ok_or_else(oob)?;
        let element_type = self.tables[table].decl.element;
        let ty = ValType::Ref(element_type);
        for i in 0..len {
            let value = match items.get(from + i)? {
                Item::Function(None) => 0,
                Item::Function(Some(_)) if !element_type.heap_type().is_func() => {
                    return Err(Corrupt("an element segment's type").into());
                }
                Item::Function(Some(func)) => FuncRef::to_raw(Some(self.func_ref(instance, func)?)),
                Item::Expression(expr) => self.eval(instance, expr, ty)? as u64,
            };
            self.table_set(table, to + i, value)?;
        }
        Ok(())
    }

    /// `memory.init`, of memories and segments of an instance.
    pub(crate) fn memory_init(
        &mut self,
        instance: usize,
        (memory, to): (u32, u64),
        (segment, from): (u32, u64),
        len: u64,
    ) -> Result<()> {
        let data = &self.instances[instance];
        let module = data.module.clone();
        let memory = *data.memories.get(memory as usize).ok_or(Corrupt("a memory's index"))?;
        let (record, bytes) = module.view().data(segment)?;
        let gone = record.mode.get() == records::APPLIED || is_dropped(&data.dropped_data, segment);
        let bytes = if gone { &[] } else { bytes };
        let part = |start: u64, size: usize| {
            let end = start.checked_add(len).filter(|end| *end <= size as u64)?;
            // Both are at most `size` here.
            Some(start as usize..end as usize)
        };
        let source = part(from, bytes.len()).map(|source| &bytes[source]);
        let source = source.ok_or(Trap::MemoryOutOfBounds)?;
        let written = match memory {
            MemorySlot::Shared(memory) => self.shared[memory].write(to, source),
            MemorySlot::Own(memory) => {
                let target = self.memories[memory].linear_mut().bytes_mut();
                part(to, target.len()).map(|place| target[place].copy_from_slice(source))
            }
        };
        Ok(written.ok_or(Trap::MemoryOutOfBounds)?)
    }

    pub(crate) fn drop_element(&mut self, instance: usize, segment: u32) {
        drop_segment(&mut self.instances[instance].dropped_elements, segment);
    }

    pub(crate) fn drop_data(&mut self, instance: usize, segment: u32) {
        drop_segment(&mut self.instances[instance].dropped_data, segment);
    }

    /// What an instance has at `index` of the index space of `kind`.
    pub(crate) fn external(
        &mut self,
        instance: usize,
        kind: ExternKind,
        index: u32,
    ) -> Result<Extern> {
        let at = index as usize;
        let data = &self.instances[instance];
        Ok(match kind {
            ExternKind::Func => {
                let func = self.func_ref(instance, index)?;
                Extern::Func(self.func(func))
            }
            ExternKind::Table => {
                let table = *data.tables.get(at).ok_or(Corrupt("a table's index"))?;
                Extern::Table(Table(self.stored(table)))
            }
            ExternKind::Memory => {
                let memory = *data.memories.get(at).ok_or(Corrupt("a memory's index"))?;
                match memory {
                    MemorySlot::Own(memory) => Extern::Memory(Memory(self.stored(memory))),
                    MemorySlot::Shared(memory) => Extern::SharedMemory(self.shared[memory].clone()),
                }
            }
            ExternKind::Global => {
                let slot = *data.globals.get(at).ok_or(Corrupt("a global's index"))?;
                let handle = match slot.handle {
                    Some(handle) => handle,
                    None => {
                        let (decl, _) = data.module.global(index)?;
                        self.globals.push(GlobalData::in_instance(decl, slot.cell));
                        let handle = self.globals.len() - 1;
                        self.instances[instance].globals[at].handle = Some(handle);
                        handle
                    }
                };
                Extern::Global(Global(self.stored(handle)))
            }
            ExternKind::Tag => {
                let tag = *data.tags.get(at).ok_or(Corrupt("a tag's index"))?;
                Extern::Tag(Tag(self.stored(tag)))
            }
        })
    }

    /// The export of that name.
    pub(crate) fn export(&mut self, instance: usize, name: &str) -> Option<Extern> {
        let view = self.instances[instance].module.view();
        let (_, kind, index) = view.export(view.find_export(name)?).ok()?;
        self.external(instance, kind, index).ok()
    }
}

impl Instance {
    /// Instantiates `module` with `imports`, in the order in which the module declares them, and
    /// runs its start function.
    ///
    /// # Errors
    /// If an import is missing or of another type, if there is no room, or if instantiation or
    /// the start function traps.
    pub fn new(
        mut store: impl AsContextMut,
        module: &Module,
        imports: &[Extern],
    ) -> Result<Instance> {
        let mut store = store.as_context_mut();
        let store = store.opaque_mut();
        if let Some(foreign) = imports.iter().find(|i| !i.belongs_to(store)) {
            let message = format!("an import belongs to another store: {foreign:?}");
            return Err(Error::with_kind(ErrorKind::Link, message));
        }
        let imports: Vec<_> =
            imports.iter().map(|i| instantiate::Import::Extern(i.clone())).collect();
        instantiate::instantiate(store, module, &imports)
    }

    /// The module that it is an instance of.
    ///
    /// # Panics
    /// If it belongs to another store. So do all methods here.
    pub fn module<'a, T: 'static>(
        &self,
        store: impl Into<super::store::StoreContext<'a, T>>,
    ) -> &'a Module {
        let store = store.into().opaque();
        &store.instances[self.0.index(store)].module
    }

    /// Its exports, in the module's order.
    pub fn exports<'a, T: 'static>(
        &'a self,
        store: impl Into<StoreContextMut<'a, T>>,
    ) -> impl ExactSizeIterator<Item = Export<'a>> + 'a {
        let (store, _) = store.into().into_parts();
        let index = self.0.index(store);
        let module = store.instances[index].module.clone();
        let values: Vec<_> = (0..module.view().export_count())
            .map(|i| module.view().export(i).map(|(_, kind, index)| (kind, index)))
            .collect();
        let values: Vec<_> = values
            .into_iter()
            .map(|export| {
                let (kind, export) = export.expect(CHECKED);
                store.external(index, kind, export).expect(CHECKED)
            })
            .collect();
        let module = &store.instances[index].module;
        values.into_iter().enumerate().map(move |(i, value)| {
            let name = module.view().export(i as u32).map(|(name, ..)| name);
            Export::new(name.expect(CHECKED), value)
        })
    }

    /// The export of that name.
    pub fn get_export(&self, mut store: impl AsContextMut, name: &str) -> Option<Extern> {
        let mut store = store.as_context_mut();
        let store = store.opaque_mut();
        let index = self.0.index(store);
        store.export(index, name)
    }

    /// The exported function of that name.
    pub fn get_func(&self, store: impl AsContextMut, name: &str) -> Option<Func> {
        self.get_export(store, name)?.into_func()
    }

    /// The exported function of that name, if it has this type.
    ///
    /// # Errors
    /// If there is none, or it has another type.
    pub fn get_typed_func<P, R>(
        &self,
        mut store: impl AsContextMut,
        name: &str,
    ) -> Result<TypedFunc<P, R>>
    where
        P: WasmParams,
        R: WasmResults,
    {
        let func = self.get_func(store.as_context_mut(), name).ok_or_else(|| {
            Error::with_kind(ErrorKind::Host, format!("no function is exported as `{name}`"))
        })?;
        let typed = func.typed::<P, R>(store.as_context());
        typed.map_err(|error| error.context(format!("the function exported as `{name}`")))
    }

    /// The exported memory of that name.
    pub fn get_memory(&self, store: impl AsContextMut, name: &str) -> Option<Memory> {
        self.get_export(store, name)?.into_memory()
    }

    /// The exported shared memory of that name.
    pub fn get_shared_memory(&self, store: impl AsContextMut, name: &str) -> Option<SharedMemory> {
        self.get_export(store, name)?.into_shared_memory()
    }

    /// The exported table of that name.
    pub fn get_table(&self, store: impl AsContextMut, name: &str) -> Option<Table> {
        self.get_export(store, name)?.into_table()
    }

    /// The exported global of that name.
    pub fn get_global(&self, store: impl AsContextMut, name: &str) -> Option<Global> {
        self.get_export(store, name)?.into_global()
    }

    /// The exported tag of that name.
    pub fn get_tag(&self, store: impl AsContextMut, name: &str) -> Option<Tag> {
        self.get_export(store, name)?.into_tag()
    }
}
