//! Fuel: exact numbers, the same in every variant of the code, and an end for everything.

use crate::endless::{self, Endless};
use crate::support::{instance, module, trapped};
use precompile::cache::Layers;
use precompile::*;

fn engine(change: impl FnOnce(&mut Config)) -> Engine {
    let mut config = Config::new();
    config.consume_fuel(true);
    change(&mut config);
    Engine::new(&config).unwrap()
}

/// Engines that make different code: the numbers must be the same for all.
fn variants() -> Vec<(String, Engine)> {
    let host = Engine::default();
    let mut all = Vec::new();
    let named = CpuLevel::named(host.target().arch()).iter().copied();
    // This host's best one comes first of what an engine looks for.
    let best = named.clone().position(|level| level == host.cpu()).unwrap();
    for cpu in named.skip(best) {
        for bounds in [Bounds::Guard, Bounds::Explicit] {
            for level in [OptLevel::None, OptLevel::Speed] {
                for epochs in [false, true] {
                    let engine = engine(|config| {
                        config.cpu(cpu).bounds(bounds).cranelift_opt_level(level);
                        config.epoch_interruption(epochs);
                    });
                    all.push((format!("{cpu}, {bounds:?}, {level:?}, epochs {epochs}"), engine));
                }
            }
        }
    }
    all
}

fn store(engine: &Engine, fuel: u64) -> Store<()> {
    let mut store = Store::new(engine, ());
    store.set_fuel(fuel).unwrap();
    store.set_epoch_deadline(1);
    store
}

/// Runs an export without parameters; what it consumed, and how it ended.
fn consumed(store: &mut Store<()>, instance: Instance, name: &str) -> (u64, Result<()>) {
    const PLENTY: u64 = 1_000_000;
    store.set_fuel(PLENTY).unwrap();
    let result = instance.get_func(&mut *store, name).unwrap().call(&mut *store, &[], &mut []);
    (PLENTY - store.get_fuel().unwrap(), result)
}

const COUNTED: &str = r#"(module
    (import "" "host" (func $host))
    (import "" "take" (func $take))
    (memory (export "memory") 1 4)
    (table $t 4 funcref)
    (elem (table $t) (i32.const 0) func $empty $ten)
    (data $bytes "12345678")
    (func $empty (export "empty"))
    (func $free (export "free") (block (nop) (loop (nop))) (return))
    (func $ten (export "ten") (drop (i32.add (i32.add (i32.add (i32.const 1) (i32.const 2))
        (i32.add (i32.const 3) (i32.const 4))) (i32.const 5))))
    (func (export "call") (call $ten) (call $ten))
    (func (export "indirect") (call_indirect (i32.const 1)) (call_indirect (i32.const 0)))
    (func (export "host") (call $host))
    (func (export "take") (call $take) (call $empty))
    (func $if (param i32) (if (local.get 0) (then (call $ten)) (else (nop))))
    (func (export "if_yes") (call $if (i32.const 1)))
    (func (export "if_no") (call $if (i32.const 0)))
    (func $loop (param i32)
        (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func (export "loop_1") (call $loop (i32.const 1)))
    (func (export "loop_100") (call $loop (i32.const 100)))
    (func $switch (param i32)
        (block (block (block (br_table 0 1 2 (local.get 0)))
            (call $ten) (br 1))
            (call $empty)))
    (func (export "switch_0") (call $switch (i32.const 0)))
    (func (export "switch_1") (call $switch (i32.const 1)))
    (func (export "switch_2") (call $switch (i32.const 2)))
    (func (export "bulk")
        (memory.fill (i32.const 0) (i32.const 7) (i32.const 65536))
        (memory.copy (i32.const 0) (i32.const 8) (i32.const 8))
        (memory.init $bytes (i32.const 0) (i32.const 0) (i32.const 8))
        (data.drop $bytes)
        (table.copy (i32.const 1) (i32.const 2) (i32.const 1))
        (table.fill (i32.const 2) (ref.null func) (i32.const 1))
        (drop (table.grow (ref.func $empty) (i32.const 0)))
        (drop (memory.grow (i32.const 1))))
    (func (export "unreachable") (call $ten) (drop (i32.const 1)) (unreachable))
    (func (export "outside") (call $ten) (drop (i32.load offset=65536 (i32.const -1))))
    (func (export "outside_static")
        (call $ten) (drop (i32.load offset=4294967295 (i32.const 0))))
    (func (export "division") (local i32) (call $ten)
        (drop (i32.div_s (i32.const 1) (local.get 0))))
    (func (export "null") (call $ten) (call_indirect (i32.const 3)))
    (func $fib (param i32) (result i32)
        (if (result i32) (i32.lt_u (local.get 0) (i32.const 2))
            (then (i32.const 1))
            (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
    (func (export "fib") (drop (call $fib (i32.const 10)))))"#;

/// What the functions of `COUNTED` cost, counted by hand.
const COSTS: &[(&str, u64, Option<Trap>)] = &[
    ("empty", 1, None),
    ("free", 1, None),
    ("ten", 10, None),
    ("call", 1 + 2 * (1 + 10), None),
    ("indirect", 1 + 2 * 2 + 10 + 1, None),
    ("host", 1 + 1 + 1, None),
    // The host leaves 100 of the million.
    ("take", 1_000_000 - 100 + 1 + 1, None),
    ("if_yes", 3 + 3 + 10 + 1, None),
    ("if_no", 3 + 3, None),
    ("loop_1", 3 + 1 + 5, None),
    ("loop_100", 3 + 1 + 500, None),
    ("switch_0", 3 + 3 + 1 + 10 + 1, None),
    ("switch_1", 3 + 3 + 1 + 1, None),
    ("switch_2", 3 + 3, None),
    ("bulk", 1 + 3 * 4 + 1 + 2 * 4 + 3 + 2, None),
    ("unreachable", 1 + 1 + 10 + 1, Some(Trap::UnreachableCodeReached)),
    // What a trap cut short is not counted: see `Config::consume_fuel`.
    ("outside", 1 + 1 + 10, Some(Trap::MemoryOutOfBounds)),
    ("outside_static", 1 + 1 + 10, Some(Trap::MemoryOutOfBounds)),
    ("division", 1 + 1 + 10, Some(Trap::IntegerDivisionByZero)),
    ("null", 1 + 1 + 10, Some(Trap::IndirectCallToNull)),
    // 177 calls of fib, 88 of which call on.
    ("fib", 1 + 2 + 177 * 5 + 89 + 88 * 9, None),
];

fn counted(engine: &Engine) -> (Store<()>, Instance) {
    let mut store = store(engine, 1_000_000);
    let host = Func::wrap(&mut store, |mut caller: Caller<'_, ()>| {
        // What wasm has used up to here shows, and what is taken is gone.
        let left = caller.get_fuel().unwrap();
        assert_eq!(left, 1_000_000 - 2);
        caller.set_fuel(left - 1).unwrap();
    });
    let take = Func::wrap(&mut store, |mut caller: Caller<'_, ()>| caller.set_fuel(100));
    let instance = instance(&mut store, COUNTED, &[host.into(), take.into()]);
    (store, instance)
}

#[test]
fn numbers_are_exact_and_the_same_for_all_code() {
    for (name, engine) in variants() {
        let (mut store, instance) = counted(&engine);
        for (export, cost, trap) in COSTS {
            let (used, result) = consumed(&mut store, instance, export);
            let found = result.err().map(|error| crate::support::trap(&error));
            assert_eq!((used, found), (*cost, *trap), "{export}: {name}");
        }
    }
}

#[test]
fn a_hit_costs_what_a_miss_does() {
    let dir = tempfile::tempdir().unwrap();
    for compiles in [1, 0] {
        let engine = engine(|config| {
            config.cache(Layers::builder().read_write(dir.path().join("cache")));
        });
        let (mut store, instance) = counted(&engine);
        assert_eq!(engine.compile_count(), compiles);
        let (used, _) = consumed(&mut store, instance, "fib");
        assert_eq!(used, COSTS.last().unwrap().1);
    }
}

#[test]
fn the_last_unit_is_enough_and_more_is_needed_to_go_on() {
    let engine = engine(|_| {});
    let (mut store, instance) = counted(&engine);
    let call = instance.get_typed_func::<(), ()>(&mut store, "call").unwrap();
    // It starts its second callee with one unit left.
    for (fuel, enough) in [(0, false), (1, false), (13, false), (14, true), (23, true)] {
        store.set_fuel(fuel).unwrap();
        assert_eq!(call.call(&mut store, ()).is_ok(), enough, "{fuel}");
        assert_eq!(store.get_fuel().unwrap(), 0);
    }
    assert_eq!(trapped(call.call(&mut store, ())), Trap::OutOfFuel);
    store.set_fuel(50).unwrap();
    call.call(&mut store, ()).unwrap();
    assert_eq!(store.get_fuel().unwrap(), 50 - 23);
}

#[test]
fn all_numbers_can_be_set() {
    let engine = engine(|_| {});
    let (mut store, instance) = counted(&engine);
    let empty = instance.get_typed_func::<(), ()>(&mut store, "empty").unwrap();
    for fuel in [1, i64::MAX as u64, 1 << 63, (1 << 63) + 1, u64::MAX] {
        store.set_fuel(fuel).unwrap();
        assert_eq!(store.get_fuel().unwrap(), fuel);
        empty.call(&mut store, ()).unwrap();
        assert_eq!(store.get_fuel().unwrap(), fuel - 1);
        assert_eq!(store.as_context().get_fuel().unwrap(), fuel - 1);
    }
}

#[test]
fn without_the_setting_there_is_none() {
    let mut store = Store::new(&Engine::default(), ());
    assert_eq!(store.set_fuel(1).unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(store.get_fuel().unwrap_err().kind(), ErrorKind::Config);
}

#[test]
fn a_start_function_needs_fuel() {
    let engine = engine(|_| {});
    let module = module(&engine, "(module (func $f (loop (br 0))) (start $f))");
    assert_eq!(trapped(Instance::new(store(&engine, 1000), &module, &[])), Trap::OutOfFuel);
}

#[test]
fn class_14_everything_ends() {
    for (name, engine) in variants() {
        let endless = Endless::new(&engine);
        for (export, recursive) in endless::exports() {
            let mut store = store(&engine, 0);
            let run = endless.function(&mut store, export);
            for fuel in [0, 1, 10, 2_000, 300_000] {
                store.set_fuel(fuel).unwrap();
                let trap = trapped(run.call(&mut store, ()));
                // Depth has another end, which counts too.
                let ended = trap == Trap::OutOfFuel
                    || (*recursive && fuel > 10 && trap == Trap::StackOverflow);
                assert!(ended, "{export}: {trap:?}: {name}");
                if trap == Trap::OutOfFuel {
                    assert_eq!(store.get_fuel().unwrap(), 0, "{export}: {name}");
                }
            }
        }
    }
}

#[test]
fn class_14_a_trap_at_the_end_of_a_loop_is_no_way_around() {
    for (name, engine) in variants() {
        let mut store = store(&engine, 100_000);
        let text = r#"(module (memory 1) (func (export "run") (local i32)
            (loop (br_if 0 (i32.ne (i32.const 1000)
                (local.tee 0 (i32.add (local.get 0) (i32.const 1))))))
            (drop (i32.load (i32.const -1)))))"#;
        let instance = instance(&mut store, text, &[]);
        let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
        assert_eq!(trapped(run.call(&mut store, ())), Trap::MemoryOutOfBounds);
        assert_eq!(store.get_fuel().unwrap(), 100_000 - (1 + 999 * 7), "{name}");
    }
}

#[test]
fn class_09_bulk_operations_are_done_or_not_begun() {
    for (name, engine) in variants() {
        let fill =
            |i: u32| format!("(memory.fill (i32.const 0) (i32.const {i}) (i32.const 65536))");
        let fills: String = (1..100).map(fill).collect();
        let text =
            format!(r#"(module (memory (export "memory") 1) (func (export "run") {fills}))"#);
        let mut store = store(&engine, 10);
        let instance = instance(&mut store, &text, &[]);
        let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
        assert_eq!(trapped(run.call(&mut store, ())), Trap::OutOfFuel);
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        assert!(memory.data(&store).iter().all(|byte| *byte == 2), "{name}");
    }
}
