//! Classes 10 and 11: nothing of an instance is left for the next, not even rights on pages; and
//! memories that grow where nobody expects it.

use crate::engines;
use precompile::*;

/// Takes all that it may, and leaves no byte and no element as it was.
const DIRTY: &str = r#"(module
    (memory (export "memory") 1 8)
    (table (export "table") 4 40 funcref)
    (global (export "global") (mut i64) (i64.const -1))
    (elem declare func $f)
    (func $f)
    (func (export "run")
        (drop (memory.grow (i32.const 7)))
        (memory.fill (i32.const 0) (i32.const 0xee) (i32.const 0x80000))
        (drop (table.grow 0 (ref.func $f) (i32.const 36)))
        (table.fill 0 (i32.const 0) (ref.func $f) (i32.const 40))))"#;

/// What comes next, where less is allowed.
const CLEAN: &str = r#"(module
    (memory (export "memory") PAGES 8)
    (table (export "table") 2 40 funcref)
    (global (export "global") (mut i64) (i64.const 0))
    (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
    (func (export "store") (param i32) (i32.store8 (local.get 0) (i32.const 1)))
    (func (export "call") (param i32) (call_indirect (local.get 0)))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "grow table") (result i32) (table.grow 0 (ref.null func) (i32.const 38))))"#;

fn trap<R: std::fmt::Debug>(result: Result<R>) -> Trap {
    *result.unwrap_err().downcast_ref().expect("a trap")
}

#[test]
fn class_10_nothing_is_left_of_another_instance() {
    for (name, engine) in engines() {
        let dirty = Module::new(&engine, DIRTY).unwrap();
        for round in 0..40 {
            let mut store = Store::new(&engine, ());
            for _ in 0..3 {
                let instance = Instance::new(&mut store, &dirty, &[]).unwrap();
                let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
                run.call(&mut store, ()).unwrap();
            }
            drop(store);
            let pages = round % 3;
            let clean = CLEAN.replace("PAGES", &pages.to_string());
            let clean = Module::new(&engine, clean).unwrap();
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &clean, &[]).unwrap();
            let load = instance.get_typed_func::<i32, i32>(&mut store, "load").unwrap();
            let set = instance.get_typed_func::<i32, ()>(&mut store, "store").unwrap();
            let call = instance.get_typed_func::<i32, ()>(&mut store, "call").unwrap();
            let grow = instance.get_typed_func::<i32, i32>(&mut store, "grow").unwrap();
            let memory = instance.get_memory(&mut store, "memory").unwrap();
            let end = pages * 65536;
            assert_eq!(memory.data(&store).len(), end as usize);
            assert!(memory.data(&store).iter().all(|byte| *byte == 0), "{name}: {pages} pages");
            // Where the other one had memory, and this one has none.
            for at in [end, end + 4095, end + 65536, 8 * 65536 - 1] {
                assert_eq!(trap(load.call(&mut store, at)), Trap::MemoryOutOfBounds, "{name}");
                assert_eq!(trap(set.call(&mut store, at)), Trap::MemoryOutOfBounds, "{name}");
            }
            assert_eq!(trap(call.call(&mut store, 1)), Trap::IndirectCallToNull, "{name}");
            assert_eq!(trap(call.call(&mut store, 2)), Trap::TableOutOfBounds, "{name}");
            let grow_table = instance.get_typed_func::<(), i32>(&mut store, "grow table").unwrap();
            assert_eq!(grow_table.call(&mut store, ()).unwrap(), 2);
            let table = instance.get_table(&mut store, "table").unwrap();
            assert!((0..40).all(|i| table.get(&mut store, i).unwrap().is_null()), "{name}");
            assert_eq!(grow.call(&mut store, 8 - pages).unwrap(), pages);
            assert!(memory.data(&store).iter().all(|byte| *byte == 0), "{name}: what it grew by");
            let global = instance.get_global(&mut store, "global").unwrap();
            assert_eq!(global.get(&mut store).unwrap_i64(), 0);
        }
    }
}

#[test]
fn class_10_memories_of_no_bytes() {
    for (name, engine) in engines() {
        for memory in ["0 0", "i64 0 0", "0 0 (pagesize 1)", "0"] {
            let ty = if memory.starts_with("i64") { "i64" } else { "i32" };
            let text = format!(
                r#"(module (memory (export "memory") {memory})
                (func (export "load") (param {ty}) (result i32) (i32.load8_u (local.get 0)))
                (func (export "vector") (param {ty}) (result v128) (v128.load (local.get 0)))
                (func (export "store") (param {ty}) (i64.store (local.get 0) (i64.const 1)))
                (func (export "fill") (param {ty} {ty})
                    (memory.fill (local.get 0) (i32.const 1) (local.get 1)))
                (func (export "size") (result {ty}) (memory.size)))"#
            );
            let mut store = Store::new(&engine, ());
            let module = Module::new(&engine, text).unwrap();
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            let val = |x: i64| if ty == "i64" { Val::I64(x) } else { Val::I32(x as i32) };
            let mut call = |export: &str, args: &[i64]| {
                let func = instance.get_func(&mut store, export).unwrap();
                let args: Vec<Val> = args.iter().map(|x| val(*x)).collect();
                let mut results = vec![Val::I32(0); func.ty(&store).results().len()];
                func.call(&mut store, &args, &mut results).map(|()| results)
            };
            for at in [0, 1, 4096, 65536, 0x7fff_ffff, -1, i64::MIN] {
                for export in ["load", "vector", "store"] {
                    let end = trap(call(export, &[at]));
                    assert_eq!(end, Trap::MemoryOutOfBounds, "{name}: {memory}: {export} {at}");
                }
            }
            call("fill", &[0, 0]).unwrap();
            for (at, len) in [(1, 0), (0, 1), (-1, 1), (-1, -1)] {
                assert_eq!(trap(call("fill", &[at, len])), Trap::MemoryOutOfBounds, "{name}");
            }
            let size = call("size", &[]).unwrap();
            assert!(matches!(size[0], Val::I32(0) | Val::I64(0)));
            assert!(instance.get_memory(&mut store, "memory").unwrap().data(&store).is_empty());
        }
    }
}

/// The start function grows, through a table and an import, before the first export is called.
#[test]
fn class_11_growth_in_the_start_function() {
    const OWNER: &str = r#"(module
        (memory (export "memory") 1)
        (func (export "grow") (drop (memory.grow (i32.const 100)))))"#;
    const USER: &str = r#"(module
        (import "owner" "memory" (memory 1))
        (import "owner" "grow" (func $grow))
        (memory $own (export "own") 1)
        (table funcref (elem $grow $grow_own))
        (global $sum (export "sum") (mut i32) (i32.const 0))
        (func $grow_own (drop (memory.grow $own (i32.const 100))))
        (func $add (param i32) (global.set $sum (i32.add (global.get $sum) (local.get 0))))
        (func $start
            (i32.store (i32.const 0) (i32.const 1))
            (i32.store $own (i32.const 0) (i32.const 2))
            (call_indirect (i32.const 0))
            (call_indirect (i32.const 1))
            (i32.store (i32.const 0x640000) (i32.const 4))
            (i32.store $own (i32.const 0x640000) (i32.const 8))
            (call $add (i32.load (i32.const 0)))
            (call $add (i32.load $own (i32.const 0)))
            (call $add (i32.load (i32.const 0x640000)))
            (call $add (i32.load $own (i32.const 0x640000))))
        (start $start))"#;
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let owner = Module::new(&engine, OWNER).unwrap();
        let mut linker = Linker::new(&engine);
        let owner = linker.instantiate(&mut store, &owner).unwrap();
        linker.instance(&mut store, "owner", owner).unwrap();
        let user = Module::new(&engine, USER).unwrap();
        let user = linker.instantiate(&mut store, &user).unwrap();
        let sum = user.get_global(&mut store, "sum").unwrap().get(&mut store).unwrap_i32();
        assert_eq!(sum, 15, "{name}");
        let memory = owner.get_memory(&mut store, "memory").unwrap();
        assert_eq!(memory.size(&store), 101);
        assert_eq!(memory.data(&store)[0x64_0000], 4, "{name}");
    }
}
