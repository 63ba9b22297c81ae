//! Linear memories: bounds, growth, imports, and address space that is not there.

use crate::child::{is_child, passed, run_limited};
use crate::support::{engine, engines, instance, module, trap, trapped};
use precompile::*;

const EDGES: &str = r#"(module
    (memory (export "memory") 1 3)
    (func (export "load8") (param i32) (result i32) (i32.load8_u (local.get 0)))
    (func (export "load64") (param i32) (result i64) (i64.load (local.get 0)))
    (func (export "load64_off") (param i32) (result i64) (i64.load offset=65520 (local.get 0)))
    (func (export "far8") (param i32) (result i32) (i32.load8_u offset=4294967295 (local.get 0)))
    (func (export "far128") (param i32) (result i32)
        (i32x4.extract_lane 0 (v128.load offset=4294967295 (local.get 0))))
    (func (export "store64") (param i32) (i64.store (local.get 0) (i64.const -1)))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "size") (result i32) (memory.size)))"#;

fn get<P: WasmParams, R: WasmResults>(
    store: &mut Store<()>,
    instance: Instance,
    name: &str,
) -> TypedFunc<P, R> {
    instance.get_typed_func(store, name).unwrap()
}

#[test]
fn class_01_the_last_bytes_and_those_behind_them() {
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, EDGES, &[]);
        let store = &mut store;
        let load8 = get::<i32, i32>(store, instance, "load8");
        let load64 = get::<i32, i64>(store, instance, "load64");
        let off = get::<i32, i64>(store, instance, "load64_off");
        let store64 = get::<i32, ()>(store, instance, "store64");
        let grow = get::<i32, i32>(store, instance, "grow");
        for pages in 1..=3 {
            let end = pages * 65536;
            assert_eq!(load8.call(&mut *store, end - 1).unwrap(), 0);
            assert_eq!(load64.call(&mut *store, end - 8).unwrap(), 0);
            assert_eq!(off.call(&mut *store, end - 65528).unwrap(), 0);
            let fails =
                |result: Result<()>| assert_eq!(trapped(result), Trap::MemoryOutOfBounds, "{name}");
            for at in end - 7..end + 3 {
                fails(load64.call(&mut *store, at).map(|_| ()));
                fails(store64.call(&mut *store, at));
                fails(off.call(&mut *store, at - 65520).map(|_| ()));
            }
            for at in [end, i32::MAX, i32::MIN, -1, -65536, 1 << 20] {
                fails(load8.call(&mut *store, at).map(|_| ()));
                fails(store64.call(&mut *store, at));
            }
            for far in ["far8", "far128"] {
                for at in [0, 1, 2, 65535, -1] {
                    let far = get::<i32, i32>(store, instance, far);
                    fails(far.call(&mut *store, at).map(|_| ()));
                }
            }
            let memory = instance.get_memory(&mut *store, "memory").unwrap();
            assert!(memory.data(&*store).iter().all(|byte| *byte == 0), "{name}: a store tore");
            assert_eq!(memory.size(&*store), pages as u64);
            let want = if pages < 3 { pages } else { -1 };
            assert_eq!(grow.call(&mut *store, 1).unwrap(), want);
        }
    }
}

const GROWS: &str = r#"(module
    (import "" "grow" (func $host (param i32)))
    (memory (export "memory") 1)
    (func $callee (param i32) (drop (memory.grow (local.get 0))))
    ;; Each loads behind the old end after something has grown the memory in between.
    (func (export "callee") (param i32) (result i32)
        (i32.store (i32.const 0) (i32.const 7))
        (call $callee (i32.const 1))
        (i32.store (local.get 0) (i32.const 5))
        (i32.add (i32.load (i32.const 0)) (i32.load (local.get 0))))
    (func (export "host") (param i32) (result i32)
        (i32.store (i32.const 0) (i32.const 7))
        (call $host (i32.const 1))
        (i32.store (local.get 0) (i32.const 5))
        (i32.add (i32.load (i32.const 0)) (i32.load (local.get 0))))
    (func (export "loop") (param $to i32) (result i32) (local $i i32) (local $sum i32)
        (i32.store (i32.const 4) (i32.const 3))
        (loop $again
            (i32.store8 (i32.mul (local.get $i) (i32.const 65536)) (i32.const 2))
            (local.set $sum (i32.add (local.get $sum) (i32.load (i32.const 4))))
            (drop (memory.grow (i32.const 1)))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (local.set $sum (i32.add (local.get $sum)
                (i32.load8_u (i32.mul (local.get $i) (i32.const 65536)))))
            (br_if $again (i32.lt_u (local.get $i) (local.get $to))))
        (local.get $sum)))"#;

#[test]
fn class_11_growth_between_two_accesses() {
    for (name, engine) in engines() {
        for export in ["callee", "host"] {
            let mut store = Store::new(&engine, ());
            let grow = Func::wrap(&mut store, |mut caller: Caller<'_, ()>, pages: i32| {
                let memory = caller.get_export("memory").and_then(Extern::into_memory).unwrap();
                memory.grow(&mut caller, pages as u64).unwrap();
            });
            let instance = instance(&mut store, GROWS, &[grow.into()]);
            let run = get::<i32, i32>(&mut store, instance, export);
            // Many times: where explicit memories run out of room they move.
            for pages in 1..200 {
                let last = (pages + 1) * 65536 - 4;
                assert_eq!(run.call(&mut store, last).unwrap(), 12, "{name}, {export}, {pages}");
            }
        }
        let mut store = Store::new(&engine, ());
        let none = Func::wrap(&mut store, |_: i32| ());
        let instance = instance(&mut store, GROWS, &[none.into()]);
        let run = get::<i32, i32>(&mut store, instance, "loop");
        assert_eq!(run.call(&mut store, 100).unwrap(), 300, "{name}");
    }
}

#[test]
fn class_11_an_imported_memory_grows_where_it_was_defined() {
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let exporter = instance(
            &mut store,
            r#"(module (memory (export "memory") 1)
                (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"#,
            &[],
        );
        let memory = exporter.get_export(&mut store, "memory").unwrap();
        let grow = exporter.get_export(&mut store, "grow").unwrap();
        let importer = instance(
            &mut store,
            r#"(module
                (import "" "memory" (memory 1)) (import "" "grow" (func $grow (param i32) (result i32)))
                (func (export "run") (param i32) (result i32)
                    (i32.store (i32.const 16) (i32.const 1))
                    (drop (call $grow (i32.const 8)))
                    (i32.store (local.get 0) (i32.const 2))
                    (i32.add (i32.load (i32.const 16)) (i32.load (local.get 0))))
                (func (export "size") (result i32) (memory.size)))"#,
            &[memory.clone(), grow],
        );
        let run = get::<i32, i32>(&mut store, importer, "run");
        let size = get::<(), i32>(&mut store, importer, "size");
        for i in 1..20 {
            let pages = i * 8 + 1;
            assert_eq!(run.call(&mut store, pages * 65536 - 4).unwrap(), 3, "{name}");
            assert_eq!(size.call(&mut store, ()).unwrap(), pages);
            assert_eq!(memory.clone().into_memory().unwrap().size(&store), pages as u64);
        }
        // Behind the end, which the importer sees where it is now.
        let last = run.call(&mut store, (20 * 8 + 1) * 65536 - 3);
        assert_eq!(trapped(last), Trap::MemoryOutOfBounds, "{name}");
    }
}

#[test]
fn growth_has_limits() {
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let store = &mut store;
        let edges = instance(&mut *store, EDGES, &[]);
        let grow = get::<i32, i32>(store, edges, "grow");
        for pages in [3, 65536, -1, i32::MIN] {
            assert_eq!(grow.call(&mut *store, pages).unwrap(), -1, "{name}");
        }
        assert_eq!(grow.call(&mut *store, 0).unwrap(), 1);
        assert_eq!(grow.call(&mut *store, 2).unwrap(), 1);
        assert_eq!(grow.call(&mut *store, 1).unwrap(), -1);
        let memory = edges.get_memory(&mut *store, "memory").unwrap();
        assert!(memory.grow(&mut *store, 1).is_err());
        assert!(memory.grow(&mut *store, u64::MAX).is_err());
        assert_eq!(memory.grow(&mut *store, 0).unwrap(), 3);
        for (min, max) in [(0, Some(0)), (0, None), (1, Some(1))] {
            let memory = Memory::new(&mut *store, MemoryType::new(min, max)).unwrap();
            assert_eq!(memory.data(&*store).len(), min as usize * 65536);
            assert_eq!(memory.grow(&mut *store, 1).is_ok(), max.is_none());
            assert!(memory.grow(&mut *store, 65536).is_err());
        }
        assert!(Memory::new(&mut *store, MemoryType::new(2, Some(1))).is_err());
        assert!(Memory::new(&mut *store, MemoryType::new(65537, None)).is_err());
    }
}

/// Class 10: nothing of a dropped memory shows in the next.
#[test]
fn class_10_memories_start_with_what_the_module_says() {
    for (_, engine) in engines() {
        let module = module(
            &engine,
            r#"(module (memory (export "memory") 4) (data (i32.const 70000) "image"))"#,
        );
        for _ in 0..50 {
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            let memory = instance.get_memory(&mut store, "memory").unwrap();
            let bytes = memory.data_mut(&mut store);
            assert_eq!(&bytes[70000..70005], b"image");
            bytes[70000..70005].fill(0);
            assert!(bytes.iter().all(|byte| *byte == 0));
            bytes.fill(0xff);
        }
    }
}

#[test]
fn many_memories_in_one_store() {
    let engine = engine();
    let module = module(&engine, EDGES);
    let mut store = Store::new(&engine, ());
    let instances: Vec<_> =
        (0..300).map(|_| Instance::new(&mut store, &module, &[]).unwrap()).collect();
    for (i, instance) in instances.iter().enumerate() {
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        memory.write(&mut store, 65528, &(i as u64).to_le_bytes()).unwrap();
    }
    for (i, instance) in instances.iter().enumerate() {
        let load = get::<i32, i64>(&mut store, *instance, "load64");
        assert_eq!(load.call(&mut store, 65528).unwrap(), i as i64);
        assert_eq!(trapped(load.call(&mut store, 65529)), Trap::MemoryOutOfBounds);
    }
}

/// With `ulimit -v` there is no room for guard pages: the engine checks instead.
#[test]
fn little_address_space_falls_back_to_explicit_bounds() {
    if is_child() {
        let engine = Engine::default();
        let settings = engine.settings();
        assert_eq!(settings.get("bounds"), Some("explicit"));
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, EDGES, &[]);
        let load = get::<i32, i32>(&mut store, instance, "load8");
        assert_eq!(load.call(&mut store, 65535).unwrap(), 0);
        assert_eq!(trapped(load.call(&mut store, 65536)), Trap::MemoryOutOfBounds);
        let mut config = Config::new();
        config.bounds(Bounds::Guard);
        let mut store = Store::new(&Engine::new(&config).unwrap(), ());
        let error = Memory::new(&mut store, MemoryType::new(1, None)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error:?}");
        let module = module(store.engine(), EDGES);
        assert!(Instance::new(&mut store, &module, &[]).is_err());
        return;
    }
    let name = "memories::little_address_space_falls_back_to_explicit_bounds";
    passed(&run_limited(name, "-v 2000000"));
}

/// What does not fit is -1 for wasm and an error for the host, and all goes on.
#[test]
fn growth_that_the_host_refuses() {
    if is_child() {
        let mut config = Config::new();
        config.bounds(Bounds::Explicit);
        let engine = Engine::new(&config).unwrap();
        let mut store = Store::new(&engine, ());
        let text = r#"(module (memory (export "memory") 1) (table $t 1 funcref)
            (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
            (func (export "table") (param i32) (result i32)
                (table.grow $t (ref.null func) (local.get 0))))"#;
        let instance = instance(&mut store, text, &[]);
        let grow = get::<i32, i32>(&mut store, instance, "grow");
        assert_eq!(grow.call(&mut store, 60_000).unwrap(), -1);
        assert_eq!(grow.call(&mut store, 10).unwrap(), 1);
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        assert_eq!(memory.grow(&mut store, 60_000).unwrap_err().kind(), ErrorKind::Limit);
        assert!(Memory::new(&mut store, MemoryType::new(60_000, None)).is_err());
        // Nothing is left but crumbs; tables take from there as well.
        while Memory::new(&mut store, MemoryType::new(100, None)).is_ok() {}
        let table = get::<i32, i32>(&mut store, instance, "table");
        assert_eq!(table.call(&mut store, 9_500_000).unwrap(), -1);
        assert_eq!(table.call(&mut store, 10).unwrap(), 1);
        let ty = TableType::new(RefType::FUNCREF, 9_500_000, None);
        let error = Table::new(&mut store, ty, Ref::Func(None)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit, "{error:?}");
        assert_eq!(memory.size(&store), 11);
        return;
    }
    passed(&run_limited("memories::growth_that_the_host_refuses", "-v 1000000"));
}

#[test]
fn an_access_trap_names_itself() {
    let mut store = Store::new(&engine(), ());
    let instance = instance(&mut store, EDGES, &[]);
    let load = get::<i32, i32>(&mut store, instance, "load8");
    let error = load.call(&mut store, -1).unwrap_err();
    assert_eq!(trap(&error).to_string(), "wasm trap: out of bounds memory access");
}
