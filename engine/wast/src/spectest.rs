//! The host's modules: `spectest`, which the specification's tests import from, and `wasmtime` and
//! `wasmitest`, which the own tests of two engines do.

use precompile::{
    ErrorKind, Extern, Global, GlobalType, Linker, Memory, MemoryType, Mutability, Ref, RefType,
    Result, SharedMemory, Store, Table, TableType, Val,
};

/// The names of the host's modules.
pub(crate) const NAMES: [&str; 3] = [NAME, WASMTIME, WASMI];

const NAME: &str = "spectest";
const WASMTIME: &str = "wasmtime";
const WASMI: &str = "wasmitest";

/// Defines the exports of all. What its functions are called with is printed nowhere.
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
    linker.func_wrap(WASMTIME, "gc", || {})?;
    linker.func_wrap(WASMI, "identity-0", || {})?;
    linker.func_wrap(WASMI, "identity-1", |a: i64| a)?;
    linker.func_wrap(WASMI, "identity-2", |a: i64, b: i64| (a, b))?;
    linker.func_wrap(WASMI, "offset-1", |a: i64| a.wrapping_add(1))?;
    linker.func_wrap(WASMI, "offset-2", |a: i64, b: i64| (a.wrapping_add(1), b.wrapping_add(2)))?;
    linker.func_wrap(WASMI, "sum-3", |a: i64, b: i64, c: i64| a.wrapping_add(b).wrapping_add(c))?;
    linker.func_wrap(WASMI, "iota-3", |a: i64| {
        (a.wrapping_add(1), a.wrapping_add(2), a.wrapping_add(3))
    })?;
    Ok(())
}
