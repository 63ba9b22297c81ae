//! Class 9: bulk operations at the ends of numbers. What a range may be is arithmetic with 128 bits;
//! what does not fit traps and does nothing.

use crate::engines;
use precompile::*;

const SEGMENT: &[u8] = b"0123456789abcdef";
const MEMORY: usize = 65536;
const TABLE: usize = 10;

/// Every operation on a memory and a table, both with indices of this type.
fn text(ty: &str) -> String {
    let wrap = |local: &str| match ty {
        "i64" => format!("(i32.wrap_i64 (local.get {local}))"),
        _ => format!("(local.get {local})"),
    };
    let (n, s) = (wrap("$n"), wrap("$s"));
    format!(
        r#"(module
        (memory (export "memory") {ty} 1 2)
        (table (export "table") {ty} 10 12 funcref)
        (data $d "0123456789abcdef")
        (elem $e func $f $f $f)
        (elem declare func $f)
        (func $f)
        (func (export "fill") (param $d {ty}) (param $s {ty}) (param $n {ty})
            (memory.fill (local.get $d) (i32.const 0x1ab) (local.get $n)))
        (func (export "copy") (param $d {ty}) (param $s {ty}) (param $n {ty})
            (memory.copy (local.get $d) (local.get $s) (local.get $n)))
        (func (export "init") (param $d {ty}) (param $s {ty}) (param $n {ty})
            (memory.init $d (local.get $d) {s} {n}))
        (func (export "table fill") (param $d {ty}) (param $s {ty}) (param $n {ty})
            (table.fill 0 (local.get $d) (ref.func $f) (local.get $n)))
        (func (export "table copy") (param $d {ty}) (param $s {ty}) (param $n {ty})
            (table.copy 0 0 (local.get $d) (local.get $s) (local.get $n)))
        (func (export "table init") (param $d {ty}) (param $s {ty}) (param $n {ty})
            (table.init 0 $e (local.get $d) {s} {n}))
        (func (export "grow") (param {ty}) (result {ty}) (memory.grow (local.get 0)))
        (func (export "table grow") (param {ty}) (result {ty})
            (table.grow 0 (ref.null func) (local.get 0))))"#
    )
}

/// Numbers around `len`, zero, and the ends of 32 and 64 bits.
fn extremes(len: u64) -> Vec<u64> {
    let ends = [0, 1 << 31, 1 << 32, 1 << 63];
    let mut all: Vec<u64> = ends.iter().flat_map(|end: &u64| [end.wrapping_sub(1), *end]).collect();
    all.extend([1, len - 1, len, len + 1, 1 << 48, (1 << 32) - len, len.wrapping_neg()]);
    all.sort_unstable();
    all.dedup();
    all
}

struct Machine {
    store: Store<()>,
    instance: Instance,
    wide: bool,
}

impl Machine {
    fn new(engine: &Engine, wide: bool) -> Machine {
        let module = Module::new(engine, text(if wide { "i64" } else { "i32" })).unwrap();
        let mut store = Store::new(engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        Machine { store, instance, wide }
    }

    /// Calls an export; the trap if it ends with one.
    fn call(&mut self, name: &str, args: &[u64]) -> std::result::Result<Option<u64>, Trap> {
        let func = self.instance.get_func(&mut self.store, name).unwrap();
        let val = |x: &u64| if self.wide { Val::I64(*x as i64) } else { Val::I32(*x as i32) };
        let args: Vec<Val> = args.iter().map(val).collect();
        let mut results = vec![Val::I32(0); func.ty(&self.store).results().len()];
        match func.call(&mut self.store, &args, &mut results) {
            Ok(()) => Ok(results.first().map(|result| match result {
                Val::I64(x) => *x as u64,
                other => other.unwrap_i32() as u64,
            })),
            Err(error) => Err(*error.downcast_ref::<Trap>().expect("a trap")),
        }
    }

    fn memory(&mut self) -> &mut [u8] {
        self.instance.get_memory(&mut self.store, "memory").unwrap().data_mut(&mut self.store)
    }

    fn nulls(&mut self) -> Vec<bool> {
        let table = self.instance.get_table(&mut self.store, "table").unwrap();
        let size = table.size(&self.store);
        (0..size).map(|i| table.get(&mut self.store, i).unwrap().is_null()).collect()
    }

    fn set_nulls(&mut self, nulls: &[bool]) {
        let table = self.instance.get_table(&mut self.store, "table").unwrap();
        table.fill(&mut self.store, 0, Ref::Func(None), nulls.len() as u64).unwrap();
        let func = Func::wrap(&mut self.store, || ());
        for i in nulls.iter().enumerate().filter(|(_, null)| !**null).map(|(i, _)| i) {
            table.set(&mut self.store, i as u64, func.into()).unwrap();
        }
    }
}

/// The numbers that code gets to see of `x`.
fn seen(x: u64, wide: bool) -> u64 {
    if wide { x } else { u64::from(x as u32) }
}

/// Whether `start` and what follows lie in `len`.
fn inside(start: u64, n: u64, len: usize) -> bool {
    u128::from(start) + u128::from(n) <= len as u128
}

#[test]
fn class_09_bulk_operations_on_memories_at_the_ends_of_numbers() {
    let mut effects = 0;
    for (name, engine) in engines() {
        for wide in [false, true] {
            let mut machine = Machine::new(&engine, wide);
            let start: Vec<u8> = (0..MEMORY).map(|i| (i * 7 % 251) as u8).collect();
            for op in ["fill", "copy", "init"] {
                machine.memory().copy_from_slice(&start);
                let sources: Vec<u64> = match op {
                    "fill" => vec![0],
                    "init" => extremes(SEGMENT.len() as u64),
                    _ => extremes(MEMORY as u64),
                };
                for d in extremes(MEMORY as u64) {
                    for &s in &sources {
                        for n in extremes(if op == "init" { 16 } else { MEMORY as u64 }) {
                            let (to, from, len) = match op {
                                // A segment has 32-bit indices whatever the memory has.
                                "init" => (seen(d, wide), seen(s, false), seen(n, false)),
                                _ => (seen(d, wide), seen(s, wide), seen(n, wide)),
                            };
                            let fits = inside(to, len, MEMORY)
                                && match op {
                                    "copy" => inside(from, len, MEMORY),
                                    "init" => inside(from, len, SEGMENT.len()),
                                    _ => true,
                                };
                            let end = machine.call(op, &[d, s, n]);
                            let told = format!("{name}, {wide}: {op} {to:#x} {from:#x} {len:#x}");
                            if !fits {
                                assert_eq!(end, Err(Trap::MemoryOutOfBounds), "{told}");
                                continue;
                            }
                            assert_eq!(end, Ok(None), "{told}");
                            let (to, from, len) = (to as usize, from as usize, len as usize);
                            let mut model = start.clone();
                            match op {
                                "fill" => model[to..to + len].fill(0xab),
                                "copy" => model.copy_within(from..from + len, to),
                                _ => {
                                    model[to..to + len].copy_from_slice(&SEGMENT[from..from + len])
                                }
                            }
                            assert!(machine.memory() == model, "{told}");
                            machine.memory().copy_from_slice(&start);
                            effects += 1;
                        }
                    }
                }
                assert!(machine.memory() == start, "{name}: {op} did a part of what it refused");
            }
        }
    }
    assert!(effects > 500, "{effects}");
}

#[test]
fn class_09_bulk_operations_on_tables_at_the_ends_of_numbers() {
    for (name, engine) in engines() {
        for wide in [false, true] {
            let mut machine = Machine::new(&engine, wide);
            let start: Vec<bool> = (0..TABLE).map(|i| i % 3 == 0).collect();
            machine.set_nulls(&start);
            for op in ["table fill", "table copy", "table init"] {
                let from_len = if op == "table init" { 3 } else { TABLE };
                let sources = if op == "table fill" { vec![0] } else { extremes(from_len as u64) };
                for d in extremes(TABLE as u64) {
                    for &s in &sources {
                        for n in extremes(from_len as u64) {
                            let narrow = op == "table init";
                            let to = seen(d, wide);
                            let (from, len) = (seen(s, wide && !narrow), seen(n, wide && !narrow));
                            let fits = inside(to, len, TABLE)
                                && (op == "table fill" || inside(from, len, from_len));
                            let end = machine.call(op, &[d, s, n]);
                            let told = format!("{name}, {wide}: {op} {to:#x} {from:#x} {len:#x}");
                            if !fits {
                                assert_eq!(end, Err(Trap::TableOutOfBounds), "{told}");
                                assert_eq!(machine.nulls(), start, "{told}");
                                continue;
                            }
                            assert_eq!(end, Ok(None), "{told}");
                            let (to, from, len) = (to as usize, from as usize, len as usize);
                            let mut model = start.clone();
                            match op {
                                "table copy" => model.copy_within(from..from + len, to),
                                _ => model[to..to + len].fill(false),
                            }
                            assert_eq!(machine.nulls(), model, "{told}");
                            machine.set_nulls(&start);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn class_09_growth_at_the_ends_of_numbers() {
    for (name, engine) in engines() {
        for wide in [false, true] {
            let mut machine = Machine::new(&engine, wide);
            for (op, max) in [("grow", 2u64), ("table grow", 12)] {
                let size = if op == "grow" { 1 } else { TABLE as u64 };
                for by in extremes(size) {
                    let by = seen(by, wide);
                    if u128::from(size) + u128::from(by) > u128::from(max) {
                        let end = machine.call(op, &[by]).unwrap().unwrap();
                        assert_eq!(end as i64, -1, "{name}, {wide}: {op} {by:#x}");
                    }
                }
                let end = machine.call(op, &[0]).unwrap();
                assert_eq!(end, Some(size), "{name}, {wide}: {op} after refusals");
                assert_eq!(machine.call(op, &[max - size]), Ok(Some(size)), "{name}, {wide}");
                assert_eq!(machine.call(op, &[1]).unwrap().unwrap() as i64, -1);
            }
        }
    }
}
