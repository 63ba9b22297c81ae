//! Class 8: handles of one store in another, modules of one engine in another. Each way in that
//! takes a handle is tried: it is an error where there is one to return, else a panic.

use crate::support::{engine, module};
use precompile::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

const ALL: &str = r#"(module
    (func (export "func") (param i32) (result i32) (local.get 0))
    (func (export "take") (param funcref externref))
    (global (export "global") (mut i32) (i32.const 1))
    (global (export "funcs") (mut funcref) (ref.null func))
    (global (export "externs") (mut externref) (ref.null extern))
    (table (export "table") 2 funcref)
    (table (export "externs table") 2 externref)
    (memory (export "memory") 1))"#;

const IMPORTS: &str = r#"(module
    (import "" "func" (func (param i32) (result i32)))
    (import "" "global" (global (mut i32)))
    (import "" "table" (table 1 funcref))
    (import "" "memory" (memory 1)))"#;

/// It panics with the message for handles of other stores.
#[track_caller]
fn panics<R>(f: impl FnOnce() -> R) {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else { panic!("it does not panic") };
    let message = payload.downcast_ref::<&str>().map(|s| s.to_string());
    let message = message.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap();
    assert!(message.contains("another store") || message.contains("belong"), "{message}");
}

/// It fails with the message for handles of other stores.
#[track_caller]
fn fails<R: std::fmt::Debug>(result: Result<R>) {
    let error = format!("{:#}", result.unwrap_err());
    assert!(error.contains("another store"), "{error}");
}

#[test]
fn class_08_handles_of_another_store() {
    let engine = engine();
    let module_all = module(&engine, ALL);
    let (mut own, mut other) = (Store::new(&engine, 0), Store::new(&engine, 0));
    let mine = Instance::new(&mut own, &module_all, &[]).unwrap();
    let theirs = Instance::new(&mut other, &module_all, &[]).unwrap();
    let get = |name: &str, store: &mut Store<i32>| theirs.get_export(store, name).unwrap();
    let func = get("func", &mut other).into_func().unwrap();
    let global = get("global", &mut other).into_global().unwrap();
    let table = get("table", &mut other).into_table().unwrap();
    let memory = get("memory", &mut other).into_memory().unwrap();
    let typed = func.typed::<i32, i32>(&other).unwrap();
    let object = ExternRef::new(&mut other, 1u8).unwrap();
    let store = &mut own;

    fails(func.call(&mut *store, &[Val::I32(1)], &mut [Val::I32(0)]));
    fails(typed.call(&mut *store, 1));
    panics(|| func.ty(&*store));
    panics(|| func.typed::<i32, i32>(&*store).map(|_| ()));
    panics(|| global.ty(&*store));
    panics(|| global.get(&mut *store));
    panics(|| global.set(&mut *store, Val::I32(1)));
    panics(|| table.ty(&*store));
    panics(|| table.size(&*store));
    panics(|| table.get(&mut *store, 0));
    panics(|| table.set(&mut *store, 0, Ref::Func(None)));
    panics(|| table.grow(&mut *store, 1, Ref::Func(None)));
    panics(|| table.fill(&mut *store, 0, Ref::Func(None), 1));
    panics(|| memory.ty(&*store));
    panics(|| memory.data(&*store).len());
    panics(|| memory.data_mut(&mut *store).len());
    panics(|| memory.data_and_store_mut(&mut *store).0.len());
    panics(|| memory.data_ptr(&*store));
    panics(|| memory.data_size(&*store));
    panics(|| memory.size(&*store));
    panics(|| memory.grow(&mut *store, 1));
    panics(|| memory.read(&*store, 0, &mut [0]));
    panics(|| memory.write(&mut *store, 0, &[0]));
    fails(object.data(&*store));
    panics(|| theirs.module(&*store).digest());
    panics(|| theirs.exports(&mut *store).len());
    panics(|| theirs.get_export(&mut *store, "func"));
    panics(|| theirs.get_func(&mut *store, "func"));
    panics(|| theirs.get_memory(&mut *store, "memory"));
    panics(|| theirs.get_table(&mut *store, "table"));
    panics(|| theirs.get_global(&mut *store, "global"));
    panics(|| theirs.get_typed_func::<i32, i32>(&mut *store, "func").map(|_| ()));
    for name in ["func", "global", "table", "memory"] {
        let item = get(name, &mut other);
        panics(|| item.ty(&*store));
        let mut linker = Linker::<i32>::new(&engine);
        fails(linker.define(&*store, "", name, item).map(|_| ()));
    }

    // As values.
    let my_table = mine.get_table(&mut *store, "table").unwrap();
    let my_externs = mine.get_table(&mut *store, "externs table").unwrap();
    fails(my_table.set(&mut *store, 0, func.into()));
    fails(my_table.fill(&mut *store, 0, func.into(), 1));
    fails(my_table.grow(&mut *store, 1, func.into()));
    fails(my_externs.set(&mut *store, 0, Ref::Extern(Some(object))));
    let funcs = mine.get_global(&mut *store, "funcs").unwrap();
    let externs = mine.get_global(&mut *store, "externs").unwrap();
    fails(funcs.set(&mut *store, func.into()));
    fails(externs.set(&mut *store, object.into()));
    let ty = GlobalType::new(ValType::FUNCREF, Mutability::Var);
    fails(Global::new(&mut *store, ty, func.into()));
    let ty = TableType::new(RefType::FUNCREF, 1, None);
    fails(Table::new(&mut *store, ty, func.into()));
    let take = mine.get_func(&mut *store, "take").unwrap();
    fails(take.call(&mut *store, &[func.into(), Val::ExternRef(None)], &mut []));
    fails(take.call(&mut *store, &[Val::FuncRef(None), object.into()], &mut []));
    type Both = (Option<Func>, Option<Rooted<ExternRef>>);
    let take = take.typed::<Both, ()>(&*store).unwrap();
    fails(take.call(&mut *store, (Some(func), None)));
    fails(take.call(&mut *store, (None, Some(object))));

    // As results of the host's functions.
    let give = Func::wrap(&mut *store, move || Some(func));
    fails(give.call(&mut *store, &[], &mut [Val::FuncRef(None)]));
    let ty = FuncType::new(&engine, [], [ValType::EXTERNREF]);
    let give = Func::new(&mut *store, ty, move |_, _, results| {
        results[0] = object.into();
        Ok(())
    });
    fails(give.call(&mut *store, &[], &mut [Val::ExternRef(None)]));

    // As imports.
    let importer = module(&engine, IMPORTS);
    let all: Vec<_> =
        ["func", "global", "table", "memory"].map(|name| get(name, &mut other)).into();
    fails(Instance::new(&mut *store, &importer, &all));
    for (i, name) in ["func", "global", "table", "memory"].into_iter().enumerate() {
        let mut mixed: Vec<_> = ["func", "global", "table", "memory"]
            .map(|name| mine.get_export(&mut *store, name).unwrap())
            .into();
        mixed[i] = get(name, &mut other);
        fails(Instance::new(&mut *store, &importer, &mixed));
    }
    let mut linker = Linker::new(&engine);
    linker.instance(&mut other, "", theirs).unwrap();
    let pre = linker.instantiate_pre(&importer).unwrap();
    fails(pre.instantiate(&mut *store));
    fails(linker.instantiate(&mut *store, &importer));
    pre.instantiate(&mut other).unwrap();
    Instance::new(&mut other, &importer, &all).unwrap();
}

#[test]
fn class_08_modules_of_another_engine() {
    let (one, two) = (engine(), engine());
    let mut store = Store::new(&one, ());
    let error = Instance::new(&mut store, &module(&two, "(module)"), &[]).unwrap_err();
    assert!(error.to_string().contains("different engines"), "{error}");
    let linker = Linker::new(&one);
    assert!(linker.instantiate(&mut store, &module(&two, "(module)")).is_err());
    // A linker's functions have types of their engine.
    let mut linker = Linker::<()>::new(&two);
    linker.func_wrap("", "f", |_: f32, _: f64| ()).unwrap();
    let importer = module(&one, r#"(module (import "" "f" (func (param f32 f64))))"#);
    assert!(linker.instantiate(&mut store, &importer).is_err());
    assert!(linker.instantiate_pre(&importer).is_err());
}
