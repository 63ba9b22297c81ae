//! Tail calls: through the host and back, between modules, and what backtraces show of them.

use crate::support::{engines, instance, trapped};
use precompile::*;

fn names(error: &Error) -> Vec<String> {
    let frames = error.downcast_ref::<WasmBacktrace>().expect("a backtrace").frames();
    frames.iter().map(|frame| frame.func_name().unwrap_or("?").to_string()).collect()
}

const CHAIN: &str = r#"(module
    (import "" "look" (func $look (param i32) (result i32)))
    (table funcref (elem $look))
    (type $t (func (param i32) (result i32)))
    (memory (export "memory") 1)
    (func $fails (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))
    (func $second (type $t) (return_call $fails (local.get 0)))
    (func $first (export "first") (type $t) (return_call $second (local.get 0)))
    (func $outer (export "outer") (type $t) (i32.add (call $first (local.get 0)) (i32.const 1)))
    ;; The host is called in place of the function that the entry called.
    (func $to_host (export "to_host") (type $t) (return_call $look (local.get 0)))
    (func $to_host_by_table (export "to_host_by_table") (type $t)
        (return_call_indirect (type $t) (local.get 0) (i32.const 0)))
    (func $around (export "around") (type $t)
        (i32.add (call $to_host (local.get 0)) (i32.const 1)))
    (func $around_by_table (export "around_by_table") (type $t)
        (i32.add (call $to_host_by_table (local.get 0)) (i32.const 1))))"#;

/// Frames that a tail call has replaced are not there; those around them are.
#[test]
fn class_13_backtraces_leave_out_what_was_replaced() {
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let look = Func::wrap(&mut store, |x: i32| x);
        let chain = instance(&mut store, CHAIN, &[look.into()]);
        let run = |store: &mut Store<()>, export: &str, x: i32| {
            chain.get_typed_func::<i32, i32>(&mut *store, export).unwrap().call(store, x)
        };
        assert_eq!(run(&mut store, "first", 1).unwrap(), 1, "{name}");
        assert_eq!(run(&mut store, "outer", 1).unwrap(), 2, "{name}");
        assert_eq!(names(&run(&mut store, "first", 0).unwrap_err()), ["fails"], "{name}");
        let error = run(&mut store, "outer", 0).unwrap_err();
        assert_eq!(names(&error), ["fails", "outer"], "{name}");
        assert_eq!(trapped(Err::<(), _>(error)), Trap::IntegerDivisionByZero);
    }
}

/// A function of the host that was called in place of its caller: there may be no frame of wasm at
/// all below the entry.
#[test]
fn class_13_the_host_looks_around_in_place_of_its_caller() {
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, Vec::<Vec<String>>::new());
        let look = |mut caller: Caller<'_, Vec<Vec<String>>>, x: i32| -> Result<i32> {
            // It still is the caller's instance that is asked.
            let memory = caller.get_export("memory").and_then(Extern::into_memory);
            assert!(memory.is_some());
            let trace = caller.backtrace();
            let names = trace.frames().iter().map(|f| f.func_name().unwrap_or("?").to_string());
            let names = names.collect();
            caller.data_mut().push(names);
            match x {
                0 => Err(Error::msg("the host says no")),
                1 => panic!("the host panics"),
                2 => {
                    // Into wasm again, where it ends in a trap that the host looks at.
                    let first = caller.get_export("first").and_then(Extern::into_func).unwrap();
                    let first = first.typed::<i32, i32>(&caller)?;
                    let error = first.call(&mut caller, 0).unwrap_err();
                    let frames = error.downcast_ref::<WasmBacktrace>().unwrap().frames().len();
                    Ok(frames as i32)
                }
                x => Ok(x * 2),
            }
        };
        let look = Func::wrap(&mut store, look);
        let chain = instance(&mut store, CHAIN, &[look.into()]);
        for (export, seen, extra) in [
            ("to_host", &[][..], 0),
            ("to_host_by_table", &[], 0),
            ("around", &["around"], 1),
            ("around_by_table", &["around_by_table"], 1),
        ] {
            let func = chain.get_typed_func::<i32, i32>(&mut store, export).unwrap();
            assert_eq!(func.call(&mut store, 21).unwrap(), 42 + extra, "{name}, {export}");
            assert_eq!(store.data_mut().pop().unwrap(), seen, "{name}, {export}");
            let error = func.call(&mut store, 0).unwrap_err();
            assert!(format!("{error:#}").contains("the host says no"), "{error:?}");
            let found = error.downcast_ref::<WasmBacktrace>().map(|b| b.frames().len());
            assert_eq!(found.unwrap_or(0), seen.len(), "{name}, {export}: {error:?}");
            // Of the trap inside there is its own frame, and those around the host.
            let inside = 1 + seen.len() as i32;
            assert_eq!(func.call(&mut store, 2).unwrap(), inside + extra, "{name}, {export}");
            let panic = std::panic::AssertUnwindSafe(|| func.call(&mut store, 1));
            assert!(std::panic::catch_unwind(panic).is_err());
            assert_eq!(func.call(&mut store, 5).unwrap(), 10 + extra, "{name}, {export}");
        }
    }
}

/// Two modules that call each other in tail position, through tables, imports and the host: no
/// stack is used, and each instance keeps to its own memory.
#[test]
fn chains_between_modules_use_no_stack() {
    const ONE: &str = r#"(module
        (type $t (func (param i32) (result i32)))
        (import "" "table" (table $t 2 funcref))
        (memory (export "memory") 1)
        (func (export "step") (type $t)
            (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
            (if (i32.eqz (local.get 0)) (then (return (i32.load (i32.const 0)))))
            (return_call_indirect $t (type $t)
                (i32.sub (local.get 0) (i32.const 1)) (i32.const 1))))"#;
    const TWO: &str = r#"(module
        (type $t (func (param i32) (result i32)))
        (import "" "step" (func $step (type $t)))
        (memory (export "memory") 1)
        (func (export "back") (type $t)
            (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 2)))
            (return_call $step (local.get 0))))"#;
    const STEPS: i32 = 1_000_000;
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let ty = TableType::new(RefType::FUNCREF, 2, None);
        let table = Table::new(&mut store, ty, Ref::Func(None)).unwrap();
        let one = instance(&mut store, ONE, &[table.into()]);
        let step = one.get_func(&mut store, "step").unwrap();
        let two = instance(&mut store, TWO, &[step.into()]);
        let back = two.get_func(&mut store, "back").unwrap();
        table.set(&mut store, 1, Ref::Func(Some(back))).unwrap();
        let run = step.typed::<i32, i32>(&store).unwrap();
        assert_eq!(run.call(&mut store, STEPS).unwrap(), STEPS + 1, "{name}");
        let memory = two.get_memory(&mut store, "memory").unwrap();
        assert_eq!(memory.data(&store)[..4], (2 * STEPS).to_le_bytes(), "{name}");
        // The last one traps; the backtrace has nobody else.
        table.set(&mut store, 1, Ref::Func(None)).unwrap();
        let error = run.call(&mut store, 7).unwrap_err();
        assert_eq!(error.downcast_ref::<WasmBacktrace>().unwrap().frames().len(), 1);
        assert_eq!(trapped(Err::<(), _>(error)), Trap::IndirectCallToNull, "{name}");
    }
}

/// A chain of tail calls around which a recursion goes deep still ends as one.
#[test]
fn recursion_between_tail_calls_overflows() {
    let text = r#"(module
        (func $deep (export "deep") (param i32) (result i32)
            (i32.add (i32.const 1) (call $tail (local.get 0))))
        (func $tail (param i32) (result i32) (return_call $deep (local.get 0))))"#;
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, text, &[]);
        let deep = instance.get_typed_func::<i32, i32>(&mut store, "deep").unwrap();
        for _ in 0..3 {
            let error = deep.call(&mut store, 0).unwrap_err();
            let names = names(&error);
            assert!(names[1..].iter().all(|frame| frame == "deep"), "{name}: {names:?}");
            assert_eq!(trapped(Err::<(), _>(error)), Trap::StackOverflow, "{name}");
        }
    }
}
