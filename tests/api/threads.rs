//! Activations: nested ones, of several stores, on several threads.

use crate::support::{engine, instance, module, trapped};
use precompile::*;
use std::thread;

const TRAPS: &str = r#"(module
    (import "" "host" (func $host (param i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
    (func (export "div") (param i32) (result i32) (i32.div_u (i32.const 42) (local.get 0)))
    (func (export "unreachable") (param i32) (result i32) unreachable)
    (func $forever (export "forever") (param i32) (result i32)
        (i32.add (call $forever (local.get 0)) (i32.const 1)))
    (func (export "host") (param i32) (result i32) (call $host (local.get 0)))
    (func (export "sum") (param i32) (result i32)
        (i32.add (i32.add (call $host (local.get 0)) (i32.load (i32.const 0))) (i32.const 1))))"#;

const KINDS: [(&str, i32, Trap); 4] = [
    ("load", -1, Trap::MemoryOutOfBounds),
    ("div", 0, Trap::IntegerDivisionByZero),
    ("unreachable", 0, Trap::UnreachableCodeReached),
    ("forever", 0, Trap::StackOverflow),
];

fn store(engine: &Engine, host: impl IntoFunc<(), (i32,), i32>) -> (Store<()>, Instance) {
    let mut store = Store::new(engine, ());
    let host = Func::wrap(&mut store, host);
    let instance = instance(&mut store, TRAPS, &[host.into()]);
    (store, instance)
}

/// Each kind of trap, and a call that works after each.
fn all_traps(store: &mut Store<()>, instance: Instance) {
    for (name, param, expected) in KINDS {
        let func = instance.get_typed_func::<i32, i32>(&mut *store, name).unwrap();
        assert_eq!(trapped(func.call(&mut *store, param)), expected);
        let load = instance.get_typed_func::<i32, i32>(&mut *store, "load").unwrap();
        assert_eq!(load.call(&mut *store, 16).unwrap(), 0);
    }
}

#[test]
fn a_host_function_catches_an_inner_trap_and_goes_on() {
    let mut store = Store::new(&engine(), 0);
    let host = Func::wrap(&mut store, |mut caller: Caller<'_, i32>, n: i32| -> Result<i32> {
        for (name, param, expected) in KINDS {
            let func = caller.get_export(name).and_then(Extern::into_func).unwrap();
            let func = func.typed::<i32, i32>(&caller)?;
            let error = func.call(&mut caller, param).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&expected));
            let frames = error.downcast_ref::<WasmBacktrace>().unwrap().frames().len();
            assert!(frames >= 2, "{error:?}");
        }
        *caller.data_mut() += 1;
        if n > 0 {
            let func = caller.get_export("host").and_then(Extern::into_func).unwrap();
            return func.typed::<i32, i32>(&caller)?.call(&mut caller, n - 1);
        }
        Ok(caller.data().wrapping_add(100))
    });
    let instance = instance(&mut store, TRAPS, &[host.into()]);
    let sum = instance.get_typed_func::<i32, i32>(&mut store, "sum").unwrap();
    assert_eq!(sum.call(&mut store, 3).unwrap(), 105);
    assert_eq!(sum.call(&mut store, 0).unwrap(), 106);
}

#[test]
fn two_stores_take_turns_on_one_thread() {
    let engine = engine();
    let outer = {
        let engine = engine.clone();
        move |n: i32| {
            let (mut inner, instance) = store(&engine, |n: i32| n * 2);
            all_traps(&mut inner, instance);
            let host = instance.get_typed_func::<i32, i32>(&mut inner, "host").unwrap();
            host.call(&mut inner, n).unwrap()
        }
    };
    let (mut one, first) = store(&engine, outer.clone());
    let (mut two, second) = store(&engine, outer);
    for _ in 0..10 {
        for (store, instance) in [(&mut one, first), (&mut two, second)] {
            let host = instance.get_typed_func::<i32, i32>(&mut *store, "host").unwrap();
            assert_eq!(host.call(&mut *store, 21).unwrap(), 42);
            all_traps(store, instance);
        }
    }
}

#[test]
fn a_store_moves_between_threads() {
    let (mut store, instance) = store(&engine(), |n: i32| n);
    for _ in 0..20 {
        all_traps(&mut store, instance);
        store = thread::spawn(move || {
            all_traps(&mut store, instance);
            store
        })
        .join()
        .unwrap();
    }
}

#[test]
fn a_host_function_lends_its_store_to_another_thread() {
    let mut store = Store::new(&engine(), ());
    let host = Func::wrap(&mut store, |mut caller: Caller<'_, ()>, n: i32| -> Result<i32> {
        let load = caller.get_export("load").and_then(Extern::into_func).unwrap();
        let forever = caller.get_export("forever").and_then(Extern::into_func).unwrap();
        let load = load.typed::<i32, i32>(&caller)?;
        let forever = forever.typed::<i32, i32>(&caller)?;
        let mut context = caller.as_context_mut();
        thread::scope(|scope| {
            scope
                .spawn(|| {
                    assert_eq!(trapped(load.call(&mut context, -1)), Trap::MemoryOutOfBounds);
                    assert_eq!(trapped(forever.call(&mut context, 0)), Trap::StackOverflow);
                    assert_eq!(load.call(&mut context, 64).unwrap(), 0);
                })
                .join()
                .unwrap();
        });
        assert_eq!(trapped(forever.call(&mut caller, 0)), Trap::StackOverflow);
        Ok(n)
    });
    let instance = instance(&mut store, TRAPS, &[host.into()]);
    let run = instance.get_typed_func::<i32, i32>(&mut store, "sum").unwrap();
    for _ in 0..5 {
        assert_eq!(run.call(&mut store, 41).unwrap(), 42);
    }
}

#[test]
fn many_threads_trap_at_once() {
    let engine = engine();
    let module = module(&engine, TRAPS);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let mut store = Store::new(&engine, ());
                    let host = Func::wrap(&mut store, |n: i32| n);
                    let made = Instance::new(&mut store, &module, &[host.into()]).unwrap();
                    all_traps(&mut store, made);
                }
            });
        }
    });
}

/// Class 7: numbers of types are the same for equal types and others for others, whatever threads
/// make and drop meanwhile.
#[test]
fn class_07_types_are_interned_by_many_threads_while_they_are_compared() {
    let engine = engine();
    thread::scope(|scope| {
        for thread in 0..32u32 {
            let engine = &engine;
            scope.spawn(move || {
                let mut store = Store::new(engine, ());
                let table = Table::new(
                    &mut store,
                    TableType::new(RefType::FUNCREF, 4, None),
                    Ref::Func(None),
                )
                .unwrap();
                // `a` and `b` have types that all threads have, in an order that differs.
                let (first, second) = if thread % 2 == 0 { ("i32", "i64") } else { ("i64", "i32") };
                let text = format!(
                    r#"(module
                        (type (func (param {first}) (result {first})))
                        (type (func (param {second}) (result {second})))
                        (type (func (param {third}) (result f32)))
                        (import "" "t" (table 4 funcref))
                        (elem (i32.const 0) func $a $b)
                        (func $a (param i32) (result i32) (local.get 0))
                        (func $b (param i64) (result i64) (local.get 0)))"#,
                    third = "f64 ".repeat(thread as usize / 4),
                );
                for _ in 0..3 {
                    instance(&mut store, &text, &[table.into()]);
                    let caller = instance(
                        &mut store,
                        r#"(module
                            (import "" "t" (table 4 funcref))
                            (func (export "call") (param i32 i32) (result i32)
                                (call_indirect (param i32) (result i32)
                                    (local.get 0) (local.get 1))))"#,
                        &[table.into()],
                    );
                    let call = caller.get_typed_func::<(i32, i32), i32>(&mut store, "call");
                    let call = call.unwrap();
                    assert_eq!(call.call(&mut store, (7, 0)).unwrap(), 7);
                    assert_eq!(trapped(call.call(&mut store, (7, 1))), Trap::BadSignature);
                    assert_eq!(trapped(call.call(&mut store, (7, 2))), Trap::IndirectCallToNull);
                }
            });
        }
    });
}
