//! Tables: lazy elements, references across modules, host functions that get their way into wasm
//! late.

use crate::support::{engine, engines, instance, trapped};
use precompile::*;

const LAZY: &str = r#"(module
    (table (export "table") 10 funcref)
    (elem (i32.const 2) $a $b $a)
    (func $a (export "a") (result i32) (i32.const 1))
    (func $b (result i32) (i32.const 2))
    (func (export "get") (param i32) (result funcref) (table.get 0 (local.get 0)))
    (func (export "set") (param i32 i32)
        (table.set 0 (local.get 0) (table.get 0 (local.get 1))))
    (func (export "null") (param i32) (table.set 0 (local.get 0) (ref.null func)))
    (func (export "call") (param i32) (result i32)
        (call_indirect (result i32) (local.get 0))))"#;

#[test]
fn lazy_elements_are_the_same_function_each_time() {
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let lazy = instance(&mut store, LAZY, &[]);
        let table = lazy.get_table(&mut store, "table").unwrap();
        let get = lazy.get_typed_func::<i32, Option<Func>>(&mut store, "get").unwrap();
        let call = lazy.get_typed_func::<i32, i32>(&mut store, "call").unwrap();
        let a = lazy.get_func(&mut store, "a").unwrap();
        // Whoever asks first: the host by the table, wasm, or a call.
        let first = table.get(&mut store, 2).unwrap().as_func().unwrap();
        assert_eq!(call.call(&mut store, 3).unwrap(), 2);
        let third = get.call(&mut store, 4).unwrap().unwrap();
        assert_eq!(first, third, "{name}");
        assert_eq!(first, a);
        assert_eq!(table.get(&mut store, 4).unwrap().as_func(), Some(a));
        assert_ne!(table.get(&mut store, 3).unwrap().as_func(), Some(a));
        for i in [0, 1, 5, 9] {
            assert!(table.get(&mut store, i).unwrap().is_null());
            assert_eq!(trapped(call.call(&mut store, i as i32)), Trap::IndirectCallToNull);
        }
        assert!(table.get(&mut store, 10).is_none());
        // An element that was set to null before anybody looked stays null.
        let other = instance(&mut store, LAZY, &[]);
        let null = other.get_typed_func::<i32, ()>(&mut store, "null").unwrap();
        null.call(&mut store, 2).unwrap();
        let table = other.get_table(&mut store, "table").unwrap();
        assert!(table.get(&mut store, 2).unwrap().is_null());
        // Two instances of a module have functions of their own.
        let own = other.get_func(&mut store, "a").unwrap();
        assert_ne!(own, a);
        assert_eq!(table.get(&mut store, 4).unwrap().as_func(), Some(own));
    }
}

#[test]
fn untouched_elements_are_copied_between_modules() {
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let lazy = instance(&mut store, LAZY, &[]);
        let table = lazy.get_export(&mut store, "table").unwrap();
        let copier = instance(
            &mut store,
            r#"(module
                (import "" "table" (table $from 10 funcref))
                (table $to (export "to") 10 funcref)
                (elem (table $to) (i32.const 0) func $own $own $own $own)
                (func $own (result i32) (i32.const 77))
                (func (export "copy") (param i32 i32 i32)
                    (table.copy $to $from (local.get 0) (local.get 1) (local.get 2)))
                (func (export "back") (param i32 i32 i32)
                    (table.copy $from $to (local.get 0) (local.get 1) (local.get 2)))
                (func (export "shift") (param i32 i32 i32)
                    (table.copy $to $to (local.get 0) (local.get 1) (local.get 2)))
                (func (export "call") (param i32) (result i32)
                    (call_indirect $to (result i32) (local.get 0))))"#,
            &[table],
        );
        let op = |store: &mut Store<()>, name: &str, to: i32, from: i32, len: i32| {
            let func = copier.get_typed_func::<(i32, i32, i32), ()>(&mut *store, name).unwrap();
            func.call(store, (to, from, len))
        };
        let call = copier.get_typed_func::<i32, i32>(&mut store, "call").unwrap();
        let all = |store: &mut Store<()>| -> Vec<i32> {
            (0..10).map(|i| call.call(&mut *store, i).unwrap_or(0)).collect()
        };
        op(&mut store, "copy", 4, 1, 4).unwrap();
        assert_eq!(all(&mut store), [77, 77, 77, 77, 0, 1, 2, 1, 0, 0], "{name}");
        op(&mut store, "shift", 5, 4, 5).unwrap();
        assert_eq!(all(&mut store), [77, 77, 77, 77, 0, 0, 1, 2, 1, 0], "{name}");
        op(&mut store, "shift", 2, 3, 6).unwrap();
        assert_eq!(all(&mut store), [77, 77, 77, 0, 0, 1, 2, 1, 1, 0], "{name}");
        // And the other way, into the table whose other elements nobody has touched.
        op(&mut store, "back", 0, 0, 2).unwrap();
        let lazy_call = lazy.get_typed_func::<i32, i32>(&mut store, "call").unwrap();
        let got: Vec<_> = (0..6).map(|i| lazy_call.call(&mut store, i).unwrap_or(0)).collect();
        assert_eq!(got, [77, 77, 1, 2, 1, 0], "{name}");
        // Class 9: a range that wraps, and nothing of it done.
        for (to, from, len) in [(0, 8, 3), (8, 0, 3), (-1, 0, 2), (0, -1, 2), (1, 1, -1)] {
            for name in ["copy", "back", "shift"] {
                let result = op(&mut store, name, to, from, len);
                assert_eq!(trapped(result), Trap::TableOutOfBounds);
            }
        }
        assert_eq!(all(&mut store), [77, 77, 77, 0, 0, 1, 2, 1, 1, 0]);
        op(&mut store, "copy", 10, 10, 0).unwrap();
    }
}

/// A host function that is in a table before any module of the store has its type.
#[test]
fn host_functions_can_be_called_once_a_module_brings_their_type() {
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, 0);
        let host = Func::wrap(&mut store, |mut caller: Caller<'_, i32>, a: i64, b: f32| -> f64 {
            *caller.data_mut() += 1;
            a as f64 + f64::from(b)
        });
        let ty = TableType::new(RefType::FUNCREF, 1, None);
        let table = Table::new(&mut store, ty, host.into()).unwrap();
        assert_eq!(table.grow(&mut store, 3, host.into()).unwrap(), 1);
        table.fill(&mut store, 2, Ref::Func(None), 1).unwrap();
        // A module without the type only carries it around, and can't call it.
        let carrier = instance(
            &mut store,
            r#"(module
                (import "" "table" (table 1 funcref))
                (global (export "held") (mut funcref) (ref.null func))
                (func (export "wrong") (call_indirect (i32.const 0)))
                (func (export "hold") (global.set 0 (table.get 0 (i32.const 3)))))"#,
            &[table.into()],
        );
        let wrong = carrier.get_typed_func::<(), ()>(&mut store, "wrong").unwrap();
        assert_eq!(trapped(wrong.call(&mut store, ())), Trap::BadSignature);
        let hold = carrier.get_typed_func::<(), ()>(&mut store, "hold").unwrap();
        hold.call(&mut store, ()).unwrap();
        let held = carrier.get_global(&mut store, "held").unwrap();
        assert_eq!(held.get(&mut store).unwrap_func_ref(), Some(host));
        // Now one that has it, through the table and through the global.
        let caller = instance(
            &mut store,
            r#"(module
                (import "" "table" (table 1 funcref))
                (import "" "held" (global $held (mut funcref)))
                (func (export "call") (param i32) (result f64)
                    (call_indirect (param i64 f32) (result f64)
                        (i64.const 40) (f32.const 2.5) (local.get 0)))
                (func (export "held") (result f64)
                    (table.set 0 (i32.const 2) (global.get $held))
                    (call_indirect (param i64 f32) (result f64)
                        (i64.const 1) (f32.const 1) (i32.const 2))))"#,
            &[table.into(), held.into()],
        );
        let call = caller.get_typed_func::<i32, f64>(&mut store, "call").unwrap();
        for i in [0, 1, 3] {
            assert_eq!(call.call(&mut store, i).unwrap(), 42.5, "{name}");
        }
        assert_eq!(trapped(call.call(&mut store, 2)), Trap::IndirectCallToNull);
        let through = caller.get_typed_func::<(), f64>(&mut store, "held").unwrap();
        assert_eq!(through.call(&mut store, ()).unwrap(), 2.0);
        assert_eq!(*store.data(), 4);
        // Functions of the type that come later have it at once.
        let late = Func::wrap(&mut store, |_: i64, _: f32| 0.25f64);
        table.set(&mut store, 1, late.into()).unwrap();
        assert_eq!(call.call(&mut store, 1).unwrap(), 0.25);
    }
}

#[test]
fn class_07_calls_across_modules_check_types() {
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let table =
            Table::new(&mut store, TableType::new(RefType::FUNCREF, 8, None), Ref::Func(None));
        let table = table.unwrap();
        let define = |store: &mut Store<()>, at: i32, ty: &str, body: &str| {
            let text = format!(
                r#"(module (type (func (param f64 f64 f64))) (import "" "t" (table 8 funcref))
                    (elem (i32.const {at}) $f) (func $f {ty} {body}))"#
            );
            instance(store, &text, &[table.into()]);
        };
        define(&mut store, 0, "(result i32)", "(i32.const 1)");
        define(&mut store, 1, "(param i32) (result i32)", "(local.get 0)");
        define(&mut store, 2, "(result i64)", "(i64.const 1)");
        define(&mut store, 3, "", "");
        define(&mut store, 4, "(result i32 i32)", "(i32.const 1) (i32.const 2)");
        let caller = instance(
            &mut store,
            r#"(module (import "" "t" (table 8 funcref))
                (func (export "call") (param i32) (result i32)
                    (call_indirect (result i32) (local.get 0))))"#,
            &[table.into()],
        );
        let call = caller.get_typed_func::<i32, i32>(&mut store, "call").unwrap();
        assert_eq!(call.call(&mut store, 0).unwrap(), 1);
        for i in 1..5 {
            assert_eq!(trapped(call.call(&mut store, i)), Trap::BadSignature, "{name}");
        }
        for i in 5..8 {
            assert_eq!(trapped(call.call(&mut store, i)), Trap::IndirectCallToNull, "{name}");
        }
        for i in [8, -1, i32::MIN] {
            assert_eq!(trapped(call.call(&mut store, i)), Trap::TableOutOfBounds, "{name}");
        }
    }
}

#[test]
fn class_09_growth_and_fill_have_limits() {
    let engine = engine();
    let mut store = Store::new(&engine, ());
    let ty = TableType::new(RefType::EXTERNREF, 2, Some(5));
    let object = ExternRef::new(&mut store, 9u8).unwrap();
    let table = Table::new(&mut store, ty, Ref::Extern(Some(object))).unwrap();
    assert!(table.grow(&mut store, 4, Ref::Extern(None)).is_err());
    assert!(table.grow(&mut store, u64::MAX, Ref::Extern(None)).is_err());
    assert_eq!(table.grow(&mut store, 3, Ref::Extern(None)).unwrap(), 2);
    assert_eq!(table.grow(&mut store, 0, Ref::Extern(None)).unwrap(), 5);
    assert!(table.fill(&mut store, 5, Ref::Extern(None), 1).is_err());
    assert!(table.fill(&mut store, 1, Ref::Extern(None), u64::MAX).is_err());
    table.fill(&mut store, 5, Ref::Extern(None), 0).unwrap();
    assert!(table.set(&mut store, 0, Ref::Func(None)).is_err(), "of another type");
    let Some(Ref::Extern(Some(first))) = table.get(&mut store, 0) else { panic!() };
    assert!(Rooted::ref_eq(&store, &first, &object).unwrap());
    // More than the engine gives any table.
    let ty = TableType::new(RefType::FUNCREF, u32::MAX, None);
    assert!(Table::new(&mut store, ty, Ref::Func(None)).is_err());
    let text = r#"(module (table 0 funcref)
        (func (export "grow") (param i32) (result i32)
            (table.grow 0 (ref.null func) (local.get 0))))"#;
    let instance = instance(&mut store, text, &[]);
    let grow = instance.get_typed_func::<i32, i32>(&mut store, "grow").unwrap();
    for delta in [-1, i32::MIN, i32::MAX] {
        assert_eq!(grow.call(&mut store, delta).unwrap(), -1);
    }
    assert_eq!(grow.call(&mut store, 1000).unwrap(), 0);
}
