//! Panics of host functions cross wasm: destructors run, and everything can be used afterwards.

use crate::support::{engine, instance, trapped};
use precompile::*;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts itself when it is dropped.
struct Guard(Arc<AtomicUsize>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Debug, PartialEq)]
struct Payload(u64);

const NEST: &str = r#"(module
    (import "" "host" (func $host (param i32) (result i32)))
    (memory (export "memory") 1)
    (func $inner (param i32) (result i32)
        (i32.add (i32.const 1) (call $host (local.get 0))))
    (func (export "run") (param i32) (result i32)
        (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
        (i32.add (i32.const 1) (call $inner (local.get 0)))))"#;

type Data = Arc<AtomicUsize>;

/// Calls `run` again with one less; at 0 panics, at -1 traps, at -2 fails.
fn nest(mut caller: Caller<'_, Data>, n: i32) -> Result<i32> {
    let _guard = Guard(caller.data().clone());
    match n {
        0 => resume_unwind(Box::new(Payload(0xdead_beef))),
        -1 => Err(Trap::OutOfFuel.into()),
        -2 => Err(Error::msg("failed")),
        ..=-3 => Ok(1),
        1.. => {
            let _second = Guard(caller.data().clone());
            let run = caller.get_export("run").and_then(Extern::into_func).unwrap();
            run.typed::<i32, i32>(&caller)?.call(&mut caller, n - 1)
        }
    }
}

fn nested(engine: &Engine) -> (Store<Data>, TypedFunc<i32, i32>, Memory) {
    let mut store = Store::new(engine, Data::default());
    let host = Func::wrap(&mut store, nest);
    let instance = instance(&mut store, NEST, &[host.into()]);
    let run = instance.get_typed_func(&mut store, "run").unwrap();
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    (store, run, memory)
}

fn payload<R>(f: impl FnOnce() -> R) -> Payload {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else { panic!("it does not panic") };
    *payload.downcast::<Payload>().expect("the payload survives")
}

#[test]
fn a_panic_crosses_many_activations() {
    let (mut store, run, memory) = nested(&engine());
    for depth in [0, 1, 2, 5, 20] {
        let before = store.data().load(Ordering::Relaxed);
        assert_eq!(payload(|| run.call(&mut store, depth)), Payload(0xdead_beef));
        let dropped = store.data().load(Ordering::Relaxed) - before;
        assert_eq!(dropped, 2 * depth as usize + 1, "at depth {depth}");
        // What wasm did before stays, and the store works as it did.
        let count = memory.data(&store)[0];
        assert_eq!(run.call(&mut store, -3).unwrap(), 3);
        assert_eq!(memory.data(&store)[0], count + 1);
        assert_eq!(trapped(run.call(&mut store, -1)), Trap::OutOfFuel);
    }
    assert_eq!(Arc::strong_count(store.data()), 1, "every frame of the host is gone");
}

#[test]
fn thousands_of_panics_leave_nothing() {
    let (mut store, run, _) = nested(&engine());
    for i in 0..3000 {
        assert_eq!(payload(|| run.call(&mut store, i % 3)), Payload(0xdead_beef));
    }
    assert_eq!(Arc::strong_count(store.data()), 1);
    assert_eq!(run.call(&mut store, -3).unwrap(), 3);
}

#[test]
fn a_host_function_catches_the_panic_of_an_inner_one() {
    let mut store = Store::new(&engine(), Data::default());
    let host = Func::wrap(&mut store, |mut caller: Caller<'_, Data>, n: i32| -> Result<i32> {
        if n != 7 {
            return nest(caller, n);
        }
        let run = caller.get_export("run").and_then(Extern::into_func).unwrap();
        let run = run.typed::<i32, i32>(&caller)?;
        assert_eq!(payload(|| run.call(&mut caller, 3)), Payload(0xdead_beef));
        // From here wasm is entered, trapped out of, and left as if nothing had been.
        assert_eq!(trapped(run.call(&mut caller, -1)), Trap::OutOfFuel);
        assert_eq!(caller.backtrace().frames().len(), 2);
        run.call(&mut caller, -3)
    });
    let instance = instance(&mut store, NEST, &[host.into()]);
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, 7).unwrap(), 3 + 2);
}

#[test]
fn a_panic_crosses_the_activation_of_another_store() {
    let engine = engine();
    let mut outer = Store::new(&engine, Data::default());
    let host = {
        let engine = engine.clone();
        Func::wrap(&mut outer, move |caller: Caller<'_, Data>, n: i32| -> Result<i32> {
            let _guard = Guard(caller.data().clone());
            let (mut inner, run, _) = nested(&engine);
            if n == 100 {
                // Caught between the two stores: both work on.
                assert_eq!(payload(|| run.call(&mut inner, 2)), Payload(0xdead_beef));
                return run.call(&mut inner, -3);
            }
            run.call(&mut inner, n)
        })
    };
    let instance = instance(&mut outer, NEST, &[host.into()]);
    let run = instance.get_typed_func::<i32, i32>(&mut outer, "run").unwrap();
    assert_eq!(payload(|| run.call(&mut outer, 3)), Payload(0xdead_beef));
    assert_eq!(run.call(&mut outer, 100).unwrap(), 5);
    assert_eq!(trapped(run.call(&mut outer, -1)), Trap::OutOfFuel);
    assert_eq!(run.call(&mut outer, -2).unwrap_err().root_cause(), "failed");
    assert_eq!(outer.data().load(Ordering::Relaxed), 4);
}

#[test]
fn panics_with_any_payload_and_without_wasm() {
    let mut store = Store::new(&engine(), ());
    let func = Func::wrap(&mut store, |n: i32| -> () {
        match n {
            0 => panic!("a message, {n}"),
            1 => panic_any(vec![1u8, 2, 3]),
            _ => panic!("literal"),
        }
    });
    let func = func.typed::<i32, ()>(&store).unwrap();
    let mut panic = |n| catch_unwind(AssertUnwindSafe(|| func.call(&mut store, n))).unwrap_err();
    assert_eq!(*panic(0).downcast::<String>().unwrap(), "a message, 0");
    assert_eq!(*panic(1).downcast::<Vec<u8>>().unwrap(), [1, 2, 3]);
    assert_eq!(*panic(2).downcast::<&str>().unwrap(), "literal");
}

#[test]
fn a_panic_in_the_start_function() {
    let mut store = Store::new(&engine(), ());
    let module =
        crate::support::module(store.engine(), r#"(module (import "" "" (func $f)) (start $f))"#);
    let func = Func::wrap(&mut store, || -> () { resume_unwind(Box::new(Payload(5))) });
    for _ in 0..3 {
        let made = payload(|| Instance::new(&mut store, &module, &[func.into()]));
        assert_eq!(made, Payload(5));
    }
    let fine = Func::wrap(&mut store, || ());
    Instance::new(&mut store, &module, &[fine.into()]).unwrap();
}

/// The closure and what it holds go with the store, or with the linker.
#[test]
fn closures_are_dropped() {
    let count = Data::default();
    let engine = engine();
    let mut store = Store::new(&engine, ());
    let held = Guard(count.clone());
    let func = Func::wrap(&mut store, move || {
        let _ = &held;
    });
    func.call(&mut store, &[], &mut []).unwrap();
    drop(store);
    assert_eq!(count.load(Ordering::Relaxed), 1);
    let mut linker = Linker::<()>::new(&engine);
    let held = Guard(count.clone());
    linker
        .func_wrap("", "f", move || {
            let _ = &held;
        })
        .unwrap();
    let mut store = Store::new(&engine, ());
    let text = r#"(module (import "" "f" (func $f)) (export "f" (func $f)))"#;
    let module = crate::support::module(&engine, text);
    let instance = linker.instantiate(&mut store, &module).unwrap();
    drop(linker);
    instance.get_typed_func::<(), ()>(&mut store, "f").unwrap().call(&mut store, ()).unwrap();
    assert_eq!(count.load(Ordering::Relaxed), 1);
    drop(store);
    assert_eq!(count.load(Ordering::Relaxed), 2);
}
