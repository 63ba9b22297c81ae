//! Typed function references across the border: what the host gives must be of the type, and types
//! are the same in all modules of an engine.

use crate::support::{engine, engines, instance, module, trapped};
use precompile::*;

fn nullable(ty: &FuncType, engine: &Engine) -> RefType {
    RefType::new(true, ty.heap_type(engine).unwrap())
}

#[test]
fn class_07_the_host_cannot_pass_another_type() {
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let text = r#"(module
            (type $f (func (param i32) (result i32)))
            (global (export "global") (mut (ref null $f)) (ref.null $f))
            (table (export "table") 4 (ref null $f))
            (table (export "full") 2 10 (ref $f) (ref.func $own))
            (func $own (export "own") (type $f) (i32.const 5))
            (func (export "other") (param i64))
            (func (export "take") (param (ref null $f)) (result i32)
                (call_ref $f (i32.const 3) (local.get 0)))
            (func (export "take_some") (param (ref $f)) (result i32)
                (call_ref $f (i32.const 4) (local.get 0)))
            (func (export "give") (result (ref null $f)) (global.get 0)))"#;
        let typed = instance(&mut store, text, &[]);
        let own = typed.get_func(&mut store, "own").unwrap();
        let other = typed.get_func(&mut store, "other").unwrap();
        let square = Func::wrap(&mut store, |x: i32| x * x);
        let wide = Func::wrap(&mut store, |x: i64| x);
        let mut call = |export: &str, val: Val| -> Result<i32> {
            let func = typed.get_func(&mut store, export).unwrap();
            let mut results = [Val::I32(0)];
            func.call(&mut store, &[val], &mut results)?;
            Ok(results[0].unwrap_i32())
        };
        for export in ["take", "take_some"] {
            assert_eq!(call(export, own.into()).unwrap(), 5, "{name}");
            for wrong in [other, wide] {
                let error = call(export, wrong.into()).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Host, "{name}, {export}: {error:?}");
            }
        }
        assert_eq!(call("take", square.into()).unwrap(), 9, "{name}");
        assert_eq!(call("take_some", square.into()).unwrap(), 16, "{name}");
        assert_eq!(trapped(call("take", Val::FuncRef(None))), Trap::NullReference, "{name}");
        let error = call("take_some", Val::FuncRef(None)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Host, "{name}: {error:?}");

        let table = typed.get_table(&mut store, "table").unwrap();
        let full = typed.get_table(&mut store, "full").unwrap();
        let global = typed.get_global(&mut store, "global").unwrap();
        assert!(table.set(&mut store, 0, other.into()).is_err(), "{name}");
        assert!(table.grow(&mut store, 1, wide.into()).is_err(), "{name}");
        assert!(table.fill(&mut store, 0, other.into(), 2).is_err(), "{name}");
        assert!(global.set(&mut store, other.into()).is_err(), "{name}");
        assert!(full.set(&mut store, 0, Ref::Func(None)).is_err(), "{name}");
        assert!(full.grow(&mut store, 1, Ref::Func(None)).is_err(), "{name}");
        for place in 0..4 {
            assert!(table.get(&mut store, place).unwrap().is_null(), "{name}");
        }
        assert_eq!(full.get(&mut store, 1).unwrap().as_func(), Some(own), "{name}");
        table.set(&mut store, 0, square.into()).unwrap();
        assert!(table.get(&mut store, 0).unwrap().as_func().is_some());
        global.set(&mut store, own.into()).unwrap();
        let give = typed.get_func(&mut store, "give").unwrap();
        let mut results = [Val::I32(0)];
        give.call(&mut store, &[], &mut results).unwrap();
        assert_eq!(results[0].unwrap_func_ref(), Some(own), "{name}");
    }
}

/// A function of the host whose result has a type is held to it.
#[test]
fn class_07_the_host_cannot_return_another_type() {
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let inner = FuncType::new(&engine, [ValType::I32], [ValType::I32]);
        let result = ValType::Ref(nullable(&inner, &engine));
        let ty = FuncType::new(&engine, [ValType::FUNCREF], [result]);
        let hand = Func::new(&mut store, ty, |_, params, results| {
            results[0] = params[0];
            Ok(())
        });
        let text = r#"(module
            (type $f (func (param i32) (result i32)))
            (import "" "hand" (func $hand (param funcref) (result (ref null $f))))
            (elem declare func $good $bad)
            (func $good (type $f) (i32.add (local.get 0) (i32.const 1)))
            (func $bad (param i64) (result i64) (local.get 0))
            (func (export "good") (result i32)
                (call_ref $f (i32.const 1) (call $hand (ref.func $good))))
            (func (export "bad") (result i32)
                (call_ref $f (i32.const 1) (call $hand (ref.func $bad))))
            (func (export "null") (result i32)
                (call_ref $f (i32.const 1) (call $hand (ref.null func)))))"#;
        let user = instance(&mut store, text, &[hand.into()]);
        let mut run = |export: &str| {
            let func = user.get_typed_func::<(), i32>(&mut store, export).unwrap();
            func.call(&mut store, ())
        };
        assert_eq!(run("good").unwrap(), 2, "{name}");
        assert_eq!(run("bad").unwrap_err().kind(), ErrorKind::Host, "{name}");
        assert_eq!(trapped(run("null")), Trap::NullReference, "{name}");
    }
}

#[test]
fn imports_match_by_subtyping() {
    let engine = engine();
    let mut store = Store::new(&engine, ());
    let exporter = instance(
        &mut store,
        r#"(module
            (type $other (func (param i64 i64)))
            (type $f (func (param i32) (result i32)))
            (func $own (type $f) (local.get 0))
            (global (export "const") (ref $f) (ref.func $own))
            (global (export "var") (mut (ref null $f)) (ref.null $f))
            (table (export "table") 1 (ref null $f)))"#,
        &[],
    );
    let mut links = |name: &str, import: &str| {
        let export = exporter.get_export(&mut store, name).unwrap();
        let text = format!(
            r#"(module
                (type $g (func (param i32) (result i32)))
                (type $h (func (param f32)))
                (import "" "" {import}))"#
        );
        match Instance::new(&mut store, &module(&engine, &text), &[export]) {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Link, "{error:?}");
                false
            }
        }
    };
    for (import, expected) in [
        ("(global (ref $g))", true),
        ("(global (ref null $g))", true),
        ("(global (ref func))", true),
        ("(global funcref)", true),
        ("(global (ref $h))", false),
        ("(global (ref null $h))", false),
        ("(global externref)", false),
        ("(global (mut (ref $g)))", false),
    ] {
        assert_eq!(links("const", import), expected, "{import}");
    }
    for (import, expected) in [
        ("(global (mut (ref null $g)))", true),
        ("(global (mut funcref))", false),
        ("(global (mut (ref $g)))", false),
        ("(global (ref null $g))", false),
    ] {
        assert_eq!(links("var", import), expected, "{import}");
    }
    for (import, expected) in [
        ("(table 1 (ref null $g))", true),
        ("(table 1 funcref)", false),
        ("(table 1 (ref null $h))", false),
    ] {
        assert_eq!(links("table", import), expected, "{import}");
    }
}

/// Types that refer to types are the same in modules that list others before them.
#[test]
fn class_07_types_are_the_same_across_modules() {
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let one = instance(
            &mut store,
            r#"(module
                (type $f (func (result i32)))
                (type $user (func (param (ref null $f)) (result i32)))
                (type $takes (func (param (ref $user)) (result i32)))
                (func (export "f") (type $f) (i32.const 1))
                (func (export "user") (type $user) (i32.const 2))
                (func (export "takes") (type $takes) (i32.const 3)))"#,
            &[],
        );
        let text = r#"(module
            (type $before (func (param f64)))
            (type $other (func (param (ref null $before)) (result i32)))
            (type $f (func (result i32)))
            (type $again (func (result i32)))
            (type $user (func (param (ref null $again)) (result i32)))
            (type $some (func (param (ref $f)) (result i32)))
            (type $takes (func (param (ref $user)) (result i32)))
            (type $takes_other (func (param (ref $other)) (result i32)))
            (import "" "f" (func $f (type TYPE)))
            (export "f" (func $f)))"#;
        for (export, ty, expected) in [
            ("f", "$f", true),
            ("f", "$again", true),
            ("f", "$user", false),
            ("user", "$user", true),
            ("user", "$some", false),
            ("user", "$other", false),
            ("takes", "$takes", true),
            ("takes", "$takes_other", false),
        ] {
            let func = one.get_export(&mut store, export).unwrap();
            let module = module(&engine, &text.replace("TYPE", ty));
            let linked = Instance::new(&mut store, &module, &[func]);
            assert_eq!(linked.is_ok(), expected, "{name}: {export} as {ty}: {:?}", linked.err());
        }
        // Through the host's own idea of the type as well.
        let takes = one.get_func(&mut store, "takes").unwrap();
        let user = one.get_func(&mut store, "user").unwrap();
        let mut results = [Val::I32(0)];
        takes.call(&mut store, &[user.into()], &mut results).unwrap();
        assert_eq!(results[0].unwrap_i32(), 3);
        let ty = user.ty(&store);
        let copy = Func::new(&mut store, ty, |_, _, results| {
            results[0] = Val::I32(9);
            Ok(())
        });
        takes.call(&mut store, &[copy.into()], &mut results).unwrap();
        assert!(takes.call(&mut store, &[takes.into()], &mut results).is_err(), "{name}");
    }
}

/// What is said of an import does not depend on what else the engine has seen.
#[test]
fn messages_spell_types_out() {
    let engine = engine();
    let mut said = Vec::new();
    for before in 0..2 {
        let mut store = Store::new(&engine, ());
        let global = r#"(module
            (type $f (func (param i32) (result i64)))
            (global (export "g") (ref null $f) (ref.null $f)))"#;
        let global = instance(&mut store, global, &[]).get_global(&mut store, "g").unwrap();
        let wants = r#"(module
            (type $other (func (result f32)))
            (type $f (func (param (ref null $other))))
            (import "host" "g" (global (ref null $f))))"#;
        let wants = module(&engine, wants);
        let error = Instance::new(&mut store, &wants, &[global.into()]).unwrap_err();
        said.push(error.to_string());
        // Numbers of types are never used again.
        let others =
            "(module (type (func (param f64 f64 f64))) (func (type 0) (param f64 f64 f64)))";
        module(&engine, others);
        assert_eq!(said[0], said[before]);
    }
    let expected = "expected global of (ref null $type) with $type = ((ref null $type)) -> (), \
        found global of (ref null $type) with $type = (i32) -> (i64)";
    assert!(said[0].ends_with(expected), "{}", said[0]);
}
