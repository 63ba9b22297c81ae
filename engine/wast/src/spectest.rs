//! The host's modules: `spectest`, which the specification's tests import from, and `wasmtime`,
//! which that engine's own tests do.

use precompile::{
    ErrorKind, Extern, Global, GlobalType, Linker, Memory, MemoryType, Mutability, Ref, RefType,
    Result, SharedMemory, Store, Table, TableType, Val,
};

/// The names of the host's modules.
pub(crate) const NAMES: [&str; 2] = [NAME, ENGINE];

const NAME: &str = "spectest";
const ENGINE: &str = "wasmtime";

/// Defines the exports of both. What its functions are called with is printed nowhere.
pub(crate) fn define(linker: &mut Linker<()>, store: &mut Store<()>) -> Result<()> {
    linker.func_wrap(NAME, "print", || {})?;
    linker.func_wrap(NAME, "print_i32", |_: i32| {})?;
    linker.func_wrap(NAME, "print_i64", |_: i64| {})?;
    linker.func_wrap(NAME, "print_f32", |_: f32| {})?;
    linker.func_wrap(NAME, "print_f64", |_: f64| {})?;
    linker.func_wrap(NAME, "print_i32_f32", |_: i32, _: f32| {})?;
    linker.func_wrap(NAME, "print_f64_f64", |_: f64, _: f64| {})?;
    let globals = [
        ("global_i32", Val::I32(666)),
        ("global_i64", Val::I64(666)),
        ("global_f32", Val::from(666.6_f32)),
        ("global_f64", Val::from(666.6_f64)),
    ];
    for (name, value) in globals {
        let ty = GlobalType::new(value.ty(), Mutability::Const);
        let global = Global::new(&mut *store, ty, value)?;
        linker.define(&*store, NAME, name, Extern::Global(global))?;
    }
    let ty = TableType::new(RefType::FUNCREF, 10, Some(20));
    let table = Table::new(&mut *store, ty, Ref::Func(None))?;
    linker.define(&*store, NAME, "table", Extern::Table(table))?;
    let ty = TableType::new64(RefType::FUNCREF, 10, Some(20));
    let table = Table::new(&mut *store, ty, Ref::Func(None))?;
    linker.define(&*store, NAME, "table64", Extern::Table(table))?;
    let memory = Memory::new(&mut *store, MemoryType::new(1, Some(2)))?;
    linker.define(&*store, NAME, "memory", Extern::Memory(memory))?;
    match SharedMemory::new(store.engine(), MemoryType::shared(1, 2)) {
        Ok(memory) => linker.define(&*store, NAME, "shared_memory", memory).map(drop)?,
        // An engine without threads has none.
        Err(error) if error.kind() == ErrorKind::Config => {}
        Err(error) => return Err(error),
    }
    // When garbage is collected is the engine's own business, so doing nothing is right.
    linker.func_wrap(ENGINE, "gc", || {})?;
    Ok(())
}
