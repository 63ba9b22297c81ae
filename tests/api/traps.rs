//! Traps: which one, and where.

use crate::support::{engine, engines, instance, module, trapped};
use precompile::*;

/// Every trap that wasm 2.0 has, by every kind of instruction.
const KINDS: &str = r#"(module
    (type $none (func))
    (type $other (func (param i32)))
    (memory 1)
    (table 4 8 funcref)
    (table $externs 2 externref)
    (elem (i32.const 0) $takes)
    (elem $passive func $takes)
    (data $bytes "abc")
    (func $takes (type $other))
    (func $rec (export "StackOverflow call") (call $rec))
    (func (export "MemoryOutOfBounds load") (drop (i64.load offset=65529 (i32.const 0))))
    (func (export "MemoryOutOfBounds far") (drop (i32.load offset=4294967295 (i32.const -1))))
    (func (export "MemoryOutOfBounds store") (f64.store (i32.const 65529) (f64.const 1)))
    (func (export "MemoryOutOfBounds v128") (drop (v128.load (i32.const 65521))))
    (func (export "MemoryOutOfBounds lane")
        (v128.store8_lane 3 (i32.const 65536) (v128.const i64x2 0 0)))
    (func (export "MemoryOutOfBounds copy")
        (memory.copy (i32.const 1) (i32.const 0) (i32.const 65536)))
    (func (export "MemoryOutOfBounds wrap")
        (memory.copy (i32.const 1) (i32.const -1) (i32.const 1)))
    (func (export "MemoryOutOfBounds fill")
        (memory.fill (i32.const 65536) (i32.const 0) (i32.const 1)))
    (func (export "MemoryOutOfBounds init")
        (memory.init $bytes (i32.const 0) (i32.const 1) (i32.const 3)))
    (func (export "TableOutOfBounds get") (drop (table.get $externs (i32.const 2))))
    (func (export "TableOutOfBounds set") (table.set $externs (i32.const -1) (ref.null extern)))
    (func (export "TableOutOfBounds call") (call_indirect (type $none) (i32.const 4)))
    (func (export "TableOutOfBounds copy")
        (table.copy 0 0 (i32.const 3) (i32.const 0) (i32.const 2)))
    (func (export "TableOutOfBounds fill")
        (table.fill 0 (i32.const 4) (ref.null func) (i32.const 1)))
    (func (export "TableOutOfBounds init")
        (table.init $passive (i32.const 0) (i32.const 0) (i32.const 2)))
    (func (export "IndirectCallToNull") (call_indirect (type $none) (i32.const 1)))
    (func (export "BadSignature") (call_indirect (type $none) (i32.const 0)))
    (func (export "IntegerOverflow div") (drop (i32.div_s (i32.const 0x80000000) (i32.const -1))))
    (func (export "IntegerOverflow div64")
        (drop (i64.div_s (i64.const 0x8000000000000000) (i64.const -1))))
    (func (export "IntegerOverflow trunc") (drop (i32.trunc_f32_u (f32.const -1))))
    (func (export "IntegerOverflow trunc64") (drop (i64.trunc_f64_s (f64.const 1e30))))
    (func (export "IntegerDivisionByZero") (drop (i64.rem_u (i64.const 1) (i64.const 0))))
    (func (export "BadConversionToInteger") (drop (i64.trunc_f32_s (f32.const nan))))
    (func (export "UnreachableCodeReached") unreachable))"#;

#[test]
fn every_trap_by_every_kind_of_instruction() {
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, KINDS, &[]);
        let exports: Vec<_> = instance
            .exports(&mut store)
            .map(|export| (export.name().to_string(), export.into_extern().into_func().unwrap()))
            .collect();
        assert!(exports.len() > 20);
        // Twice: a trap leaves nothing that would change the next.
        for (export, func) in exports.iter().chain(&exports) {
            let error = func.call(&mut store, &[], &mut []).unwrap_err();
            let trap = format!("{:?}", crate::support::trap(&error));
            assert_eq!(export.split(' ').next(), Some(&*trap), "{name}: {export}");
            assert_eq!(error.kind(), ErrorKind::Trap);
            assert!(error.is::<WasmBacktrace>(), "{name}: {export}");
            assert!(format!("{error:?}").contains("wasm trap"), "{error:?}");
        }
    }
}

fn names(error: &Error) -> Vec<String> {
    let frames = error.downcast_ref::<WasmBacktrace>().unwrap().frames();
    frames.iter().map(|frame| frame.func_name().unwrap_or("?").to_string()).collect()
}

const CHAIN: &str = include_str!("../../fixtures/wat/backtrace.wat");

#[test]
fn class_13_backtraces_have_the_names_of_the_name_section() {
    for (_, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let again = Func::wrap(&mut store, |mut caller: Caller<'_, ()>, n: i32| -> Result<()> {
            let inner = caller.backtrace();
            assert_eq!(inner.frames().len(), 1);
            assert_eq!(inner.frames()[0].func_name(), Some("through_host"));
            let back = caller.get_export("back").and_then(Extern::into_func).unwrap();
            back.typed::<i32, ()>(&caller)?.call(&mut caller, n)
        });
        let instance = instance(&mut store, CHAIN, &[again.into()]);
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        let error = run.call(&mut store, 1).unwrap_err();
        assert_eq!(names(&error), ["inner", "middle", "outer"]);
        let frames = error.downcast_ref::<WasmBacktrace>().unwrap().frames();
        // Function 0 is imported.
        let indices: Vec<_> = frames.iter().map(FrameInfo::func_index).collect();
        assert_eq!(indices, [1, 2, 3]);
        let text = error.downcast_ref::<WasmBacktrace>().unwrap().to_string();
        assert!(text.contains("0:") && text.contains("- inner\n"), "{text}");
        let through = instance.get_typed_func::<(), ()>(&mut store, "through_host").unwrap();
        let error = through.call(&mut store, ()).unwrap_err();
        assert_eq!(names(&error), ["inner", "middle", "outer", "back", "through_host"]);
        assert_eq!(run.call(&mut store, 0).unwrap(), 3);
    }
}

/// The offsets are those of the instructions in the module's bytes.
#[test]
fn class_13_offsets_point_at_the_instructions() {
    // Written by hand, so that the offsets are known: code starts after 8 + the sections.
    let mut wasm = b"\0asm\x01\0\0\0".to_vec();
    wasm.extend(b"\x01\x04\x01\x60\0\0"); // type 0: func
    wasm.extend(b"\x03\x03\x02\0\0"); // two functions of type 0
    wasm.extend(b"\x07\x05\x01\x01f\0\x01"); // "f" is function 1
    let code_at = wasm.len();
    // Function 0: nop, unreachable. Function 1: nop, nop, call 0.
    wasm.extend(b"\x0a\x0d\x02\x04\0\x01\x00\x0b\x06\0\x01\x01\x10\x00\x0b");
    for (_, engine) in engines() {
        let module = Module::new(&engine, &wasm).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let func = instance.get_typed_func::<(), ()>(&mut store, "f").unwrap();
        let error = func.call(&mut store, ()).unwrap_err();
        let frames = error.downcast_ref::<WasmBacktrace>().unwrap().frames();
        let offsets: Vec<_> = frames.iter().map(|f| f.module_offset().unwrap()).collect();
        assert_eq!(wasm[offsets[0]], 0x00, "unreachable");
        assert_eq!(offsets, [code_at + 6, code_at + 12]);
        assert_eq!(frames[0].func_name(), None);
        let text = error.downcast_ref::<WasmBacktrace>().unwrap().to_string();
        assert!(text.contains("function[0]"), "{text}");
    }
}

#[test]
fn class_13_frames_of_several_modules_and_through_tables() {
    let engine = engine();
    let mut store = Store::new(&engine, ());
    let callee = instance(
        &mut store,
        r#"(module (func $deep unreachable) (func $give (export "f") (call $deep)))"#,
        &[],
    );
    let f = callee.get_export(&mut store, "f").unwrap();
    let caller = instance(
        &mut store,
        r#"(module
            (type $none (func))
            (import "" "f" (func $imported))
            (table funcref (elem $imported $own))
            (func $own (call $imported))
            (func $indirect (export "indirect") (param i32)
                (call_indirect (type $none) (local.get 0)))
            (func $through (export "imported") (call $imported)))"#,
        std::slice::from_ref(&f),
    );
    let indirect = caller.get_typed_func::<i32, ()>(&mut store, "indirect").unwrap();
    let error = indirect.call(&mut store, 0).unwrap_err();
    assert_eq!(names(&error), ["deep", "give", "indirect"]);
    let error = indirect.call(&mut store, 1).unwrap_err();
    assert_eq!(names(&error), ["deep", "give", "own", "indirect"]);
    let error = indirect.call(&mut store, 2).unwrap_err();
    assert_eq!(names(&error), ["indirect"]);
    let imported = caller.get_typed_func::<(), ()>(&mut store, "imported").unwrap();
    let error = imported.call(&mut store, ()).unwrap_err();
    assert_eq!(names(&error), ["deep", "give", "through"]);
    // The host calls what is really another module's.
    let table =
        instance(&mut store, r#"(module (import "" "f" (func $f)) (export "g" (func $f)))"#, &[f]);
    let g = table.get_typed_func::<(), ()>(&mut store, "g").unwrap();
    assert_eq!(names(&g.call(&mut store, ()).unwrap_err()), ["deep", "give"]);
}

#[test]
fn class_13_deep_recursion_keeps_the_innermost_frames() {
    let mut store = Store::new(&engine(), ());
    let text = r#"(module
        (func $leaf unreachable)
        (func $rec (export "rec") (param i32) (result i32)
            (if (i32.eqz (local.get 0)) (then (call $leaf)))
            (i32.add (i32.const 1) (call $rec (i32.sub (local.get 0) (i32.const 1))))))"#;
    let instance = instance(&mut store, text, &[]);
    let rec = instance.get_typed_func::<i32, i32>(&mut store, "rec").unwrap();
    let error = rec.call(&mut store, 1000).unwrap_err();
    let names = names(&error);
    assert_eq!(names[..2], ["leaf", "rec"]);
    assert!(names.len() <= 64);
    let text = error.downcast_ref::<WasmBacktrace>().unwrap().to_string();
    assert!(text.contains(&format!("and {} more", 1002 - names.len())), "{text}");
}

#[test]
fn an_error_keeps_its_first_backtrace() {
    let mut store = Store::new(&engine(), ());
    let again = Func::wrap(&mut store, |mut caller: Caller<'_, ()>, _: i32| -> Result<()> {
        let run = caller.get_export("run").and_then(Extern::into_func).unwrap();
        let error = run.typed::<i32, i32>(&caller)?.call(&mut caller, 1).unwrap_err();
        Err(error.context("the plugin of a plugin"))
    });
    let instance = instance(&mut store, CHAIN, &[again.into()]);
    let through = instance.get_typed_func::<(), ()>(&mut store, "through_host").unwrap();
    let error = through.call(&mut store, ()).unwrap_err();
    assert_eq!(names(&error), ["inner", "middle", "outer", "through_host"]);
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::UnreachableCodeReached));
    assert_eq!(format!("{error:#}").matches("wasm backtrace").count(), 1);
}

#[test]
fn a_start_function_traps_with_its_backtrace() {
    let engine = engine();
    let mut store = Store::new(&engine, ());
    let text = "(module (func $inner unreachable) (func $start (call $inner)) (start $start))";
    let error = Instance::new(&mut store, &module(&engine, text), &[]).unwrap_err();
    assert_eq!(names(&error), ["inner", "start"]);
    assert_eq!(trapped(Err::<(), _>(error)), Trap::UnreachableCodeReached);
}

/// A module that is gone still has its names in the backtraces that were taken of it.
#[test]
fn a_backtrace_outlives_its_store() {
    let error = {
        let mut store = Store::new(&engine(), ());
        let again = Func::wrap(&mut store, |_: i32| ());
        let instance = instance(&mut store, CHAIN, &[again.into()]);
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        run.call(&mut store, 1).unwrap_err()
    };
    assert_eq!(names(&error), ["inner", "middle", "outer"]);
}

/// What a module calls things cannot make lines of its own in messages.
#[test]
fn names_with_control_characters_are_spelled_out() {
    let engine = engine();
    let wat = r#"(module
        (func $trap (@name "a\n   1: 0x1 - forged\1b[31m ü") unreachable)
        (export "run" (func $trap)))"#;
    let mut store = Store::new(&engine, ());
    let instance = instance(&mut store, wat, &[]);
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    let text = format!("{:?}", run.call(&mut store, ()).unwrap_err());
    assert!(text.contains(r"- a\n   1: 0x1 - forged\u{1b}[31m ü"), "{text}");
    let importer = module(&engine, r#"(module (import "e\n" "f\7f" (func)))"#);
    let error = Linker::new(&engine).instantiate(&mut store, &importer).unwrap_err();
    assert!(error.to_string().contains(r"`e\n::f\u{7f}`"), "{error}");
    let mut linker = Linker::new(&engine);
    linker.func_wrap("e\n", "f\u{7f}", |_: i32| ()).unwrap();
    let error = linker.instantiate(&mut store, &importer).unwrap_err();
    assert!(error.to_string().contains(r"`e\n::f\u{7f}`"), "{error}");
}
