//! 64-bit memories and tables, memories of bytes, and several memories at once, where the
//! specification's tests do not reach.

use crate::support::{engines, engines_with, instance, module, trapped};
use precompile::*;

const WIDE: &str = r#"(module
    (memory (export "memory") i64 81920)
    (func (export "load") (param i64) (result i64) (i64.load (local.get 0)))
    (func (export "load_4g") (param i64) (result i64)
        (i64.load offset=0x100000000 (local.get 0)))
    (func (export "store") (param i64 i64) (i64.store (local.get 0) (local.get 1)))
    (func (export "fill") (param i64 i64)
        (memory.fill (local.get 0) (i32.const 7) (local.get 1)))
    (func (export "copy") (param i64 i64 i64)
        (memory.copy (local.get 0) (local.get 1) (local.get 2)))
    (func (export "size") (result i64) (memory.size)))"#;

/// 5 GiB, of which a few pages are touched: addresses above 4 GiB are their own, and nothing is
/// cut down to 32 bits on the way.
#[test]
fn class_01_addresses_above_4_gib() {
    const GIB: i64 = 1 << 30;
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let wide = match Instance::new(&mut store, &module(&engine, WIDE), &[]) {
            Ok(wide) => wide,
            // A host that does not promise what it may not have.
            Err(error) if error.kind() == ErrorKind::Io => {
                println!("SKIPPED: no memory of 5 GiB: {error:#}");
                return;
            }
            Err(error) => panic!("{error:?}"),
        };
        let load = wide.get_typed_func::<i64, i64>(&mut store, "load").unwrap();
        let load_4g = wide.get_typed_func::<i64, i64>(&mut store, "load_4g").unwrap();
        let set = wide.get_typed_func::<(i64, i64), ()>(&mut store, "store").unwrap();
        let fill = wide.get_typed_func::<(i64, i64), ()>(&mut store, "fill").unwrap();
        let copy = wide.get_typed_func::<(i64, i64, i64), ()>(&mut store, "copy").unwrap();
        let size = wide.get_typed_func::<(), i64>(&mut store, "size").unwrap();
        assert_eq!(size.call(&mut store, ()).unwrap(), 81920);
        set.call(&mut store, (8, 1)).unwrap();
        set.call(&mut store, (4 * GIB + 8, 2)).unwrap();
        set.call(&mut store, (5 * GIB - 8, 3)).unwrap();
        assert_eq!(load.call(&mut store, 8).unwrap(), 1, "{name}");
        assert_eq!(load.call(&mut store, 4 * GIB + 8).unwrap(), 2, "{name}");
        assert_eq!(load_4g.call(&mut store, 8).unwrap(), 2, "{name}");
        assert_eq!(load_4g.call(&mut store, GIB - 8).unwrap(), 3, "{name}");
        for address in [5 * GIB - 7, 5 * GIB, 6 * GIB, 1 << 40, i64::MAX, i64::MIN, -1, -8] {
            assert_eq!(trapped(load.call(&mut store, address)), Trap::MemoryOutOfBounds, "{name}");
            let set = set.call(&mut store, (address, -1));
            assert_eq!(trapped(set), Trap::MemoryOutOfBounds, "{name}");
        }
        // With the offset these would wrap around to what is there.
        for address in [-4 * GIB, -4 * GIB + 8, GIB - 7, -1, i64::MAX] {
            let result = load_4g.call(&mut store, address);
            assert_eq!(trapped(result), Trap::MemoryOutOfBounds, "{name}, {address:#x}");
        }
        copy.call(&mut store, (4 * GIB - 4, 4 * GIB + 8, 8)).unwrap();
        assert_eq!(load.call(&mut store, 4 * GIB - 4).unwrap(), 2, "{name}");
        fill.call(&mut store, (5 * GIB - 1, 1)).unwrap();
        let last = load.call(&mut store, 5 * GIB - 8).unwrap();
        assert_eq!(last, (7 << 56) | 3, "{name}");
        for (start, len) in [(5 * GIB - 1, 2), (1, -1), (-1, 1), (5 * GIB + 1, 0)] {
            let result = fill.call(&mut store, (start, len));
            assert_eq!(trapped(result), Trap::MemoryOutOfBounds, "{name}, {start:#x} {len}");
        }
        let memory = wide.get_memory(&mut store, "memory").unwrap();
        assert_eq!(memory.data_size(&store) as i64, 5 * GIB);
        assert_eq!(memory.data(&store)[(4 * GIB + 8) as usize], 2);
        assert!(memory.ty(&store).is_64());
    }
}

/// What cannot be is an error of the kind that says so, and -1 for wasm.
#[test]
fn impossible_sizes() {
    for (name, engine) in engines_with(Features::CUSTOM_PAGE_SIZES) {
        let mut store = Store::new(&engine, ());
        for (text, kinds) in [
            ("(module (memory i64 0xffffffffffff))", &[ErrorKind::Io, ErrorKind::Limit][..]),
            ("(module (memory i64 0x1000000000000))", &[ErrorKind::Limit]),
            ("(module (memory i64 0x7fffffffffff))", &[ErrorKind::Io, ErrorKind::Limit]),
            ("(module (table i64 0xffffffffffffffff funcref))", &[ErrorKind::Limit]),
            (
                "(module (memory i64 0xffffffffffffffff (pagesize 1)))",
                &[ErrorKind::Io, ErrorKind::Limit],
            ),
        ] {
            let error = Instance::new(&mut store, &module(&engine, text), &[]).unwrap_err();
            assert!(kinds.contains(&error.kind()), "{name}: {text}: {error:?}");
        }
        let text = r#"(module
            (memory (export "memory") i64 1 0x1000000000000)
            (memory $bytes 0 (pagesize 1))
            (table i64 1 0xffffffffffffffff funcref)
            (func (export "memory.grow") (param i64) (result i64) (memory.grow (local.get 0)))
            (func (export "bytes.grow") (param i64) (result i64)
                (i64.extend_i32_s (memory.grow $bytes (i32.wrap_i64 (local.get 0)))))
            (func (export "table.grow") (param i64) (result i64)
                (table.grow (ref.null func) (local.get 0)))
            (func (export "load") (param i64) (result i64) (i64.load (local.get 0))))"#;
        let huge = instance(&mut store, text, &[]);
        for export in ["memory.grow", "table.grow"] {
            let grow = huge.get_typed_func::<i64, i64>(&mut store, export).unwrap();
            for delta in [-1, i64::MIN, i64::MAX, 1 << 47, -2, 1 << 48, 0xffff_ffff_ffff] {
                assert_eq!(
                    grow.call(&mut store, delta).unwrap(),
                    -1,
                    "{name}, {export} {delta:#x}"
                );
            }
            assert_eq!(grow.call(&mut store, 1).unwrap(), 1, "{name}, {export}");
        }
        let bytes = huge.get_typed_func::<i64, i64>(&mut store, "bytes.grow").unwrap();
        assert_eq!(bytes.call(&mut store, 3).unwrap(), 0);
        // 2^32 pages would not be a number that memory.size could give.
        assert_eq!(bytes.call(&mut store, (1 << 32) - 3).unwrap(), -1, "{name}");
        let memory = huge.get_memory(&mut store, "memory").unwrap();
        assert_eq!(memory.grow(&mut store, u64::MAX).unwrap_err().kind(), ErrorKind::Limit);
        assert_eq!(memory.grow(&mut store, 3).unwrap(), 2);
        let load = huge.get_typed_func::<i64, i64>(&mut store, "load").unwrap();
        assert_eq!(load.call(&mut store, 5 * 65536 - 8).unwrap(), 0);
        assert_eq!(trapped(load.call(&mut store, 5 * 65536 - 7)), Trap::MemoryOutOfBounds);
    }
}

/// Growing step by step, over the room that there was: contents move along, in each memory.
#[test]
fn class_11_memories_that_move_keep_their_contents() {
    let text = r#"(module
        (memory $a (export "a") i64 1)
        (memory $b (export "b") 1)
        (memory $c (export "c") 11 (pagesize 1))
        (func (export "run") (param i64) (result i64)
            (i64.store $a (i64.const 8) (i64.const 1))
            (i32.store $b (i32.const 8) (i32.const 2))
            (i32.store8 $c (i32.const 9) (i32.const 3))
            (drop (memory.grow $a (local.get 0)))
            (drop (memory.grow $b (i32.wrap_i64 (local.get 0))))
            (drop (memory.grow $c (i32.mul (i32.wrap_i64 (local.get 0)) (i32.const 65536))))
            ;; The last bytes of each.
            (i64.store8 $a (i64.sub (i64.shl (memory.size $a) (i64.const 16)) (i64.const 1))
                (i64.const 4))
            (memory.copy $c $a
                (i32.sub (memory.size $c) (i32.const 1))
                (i64.sub (i64.shl (memory.size $a) (i64.const 16)) (i64.const 1))
                (i32.const 1))
            (i64.add
                (i64.extend_i32_u (i32.load8_u $c (i32.sub (memory.size $c) (i32.const 1))))
                (i64.add (i64.load $a (i64.const 8))
                    (i64.add (i64.load32_u $b (i32.const 8))
                        (i64.load8_u $c (i32.const 9)))))))"#;
    for (name, engine) in engines_with(Features::CUSTOM_PAGE_SIZES) {
        let mut store = Store::new(&engine, ());
        let three = instance(&mut store, text, &[]);
        let run = three.get_typed_func::<i64, i64>(&mut store, "run").unwrap();
        for step in 0..60 {
            assert_eq!(run.call(&mut store, step % 7).unwrap(), 10, "{name}, {step}");
        }
    }
}

/// Three memories of two modules, one of them imported: an index means the same one everywhere.
#[test]
fn copies_between_own_and_imported_memories() {
    let text = r#"(module
        (import "" "m" (memory $theirs 1))
        (memory $own 1) (memory $other 2)
        (data (memory $own) (i32.const 10) "own")
        (data (memory $other) (i32.const 20) "other")
        (data (memory $theirs) (i32.const 30) "theirs")
        (export "own" (memory $own)) (export "other" (memory $other))
        (func (export "run") (param i32)
            (memory.copy $theirs $own (i32.const 0) (i32.const 10) (i32.const 3))
            (memory.copy $other $theirs (i32.const 0) (i32.const 30) (i32.const 6))
            (memory.copy $own $other (local.get 0) (i32.const 20) (i32.const 5))))"#;
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let theirs = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
        let copies = instance(&mut store, text, &[theirs.into()]);
        let own = copies.get_memory(&mut store, "own").unwrap();
        let other = copies.get_memory(&mut store, "other").unwrap();
        let run = copies.get_typed_func::<i32, ()>(&mut store, "run").unwrap();
        run.call(&mut store, 65531).unwrap();
        assert_eq!(&theirs.data(&store)[..3], b"own", "{name}");
        assert_eq!(&theirs.data(&store)[30..36], b"theirs", "{name}");
        assert_eq!(&other.data(&store)[..6], b"theirs", "{name}");
        assert_eq!(&own.data(&store)[65531..], b"other", "{name}");
        assert_eq!(trapped(run.call(&mut store, 65532)), Trap::MemoryOutOfBounds, "{name}");
        // Each grows by itself, and the host grows one of them.
        theirs.grow(&mut store, 4).unwrap();
        assert_eq!((own.size(&store), other.size(&store), theirs.size(&store)), (1, 2, 5));
    }
}

#[test]
fn the_widths_must_match() {
    for (_, engine) in engines_with(Features::CUSTOM_PAGE_SIZES) {
        let mut store = Store::new(&engine, ());
        let narrow: Extern = Memory::new(&mut store, MemoryType::new(1, None)).unwrap().into();
        let wide: Extern = Memory::new(&mut store, MemoryType::new64(1, None)).unwrap().into();
        let ty = TableType::new64(RefType::FUNCREF, 1, None);
        assert!(ty.is_64());
        let table: Extern = Table::new(&mut store, ty, Ref::Func(None)).unwrap().into();
        for (import, given, expected) in [
            ("(memory i64 1)", narrow.clone(), "expected 64-bit memory of at least 1 pages"),
            ("(memory 1)", wide.clone(), "found 64-bit memory of at least 1 pages"),
            ("(memory 1 (pagesize 1))", narrow, "expected memory of at least 1 bytes"),
            ("(table 1 funcref)", table, "found 64-bit table of at least 1 funcref"),
        ] {
            let module = module(&engine, &format!(r#"(module (import "" "x" {import}))"#));
            let error = Instance::new(&mut store, &module, &[given]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Link);
            assert!(format!("{error:#}").contains(expected), "{error:#}");
        }
        let module = module(&engine, r#"(module (import "" "x" (memory i64 1)))"#);
        Instance::new(&mut store, &module, &[wide]).unwrap();
    }
}
