//! Classes 5 and 9 at their ends: recursion of every kind, the largest frames, nesting, tables and
//! memories that are empty or as large as can be. Each is a result, a trap or an error with a kind,
//! on threads with little stack as well.

use crate::support::{engine, engines, instance, module, trap, trapped};
use precompile::*;
use std::thread;

/// Stacks of threads, in KiB: what C libraries with little give, what Rust's threads have, and
/// more than wasm may use.
const STACKS: [usize; 4] = [128, 512, 2048, 8192];

/// Runs `body` on a thread with a stack of that size.
fn on_stack<R: Send>(kib: usize, body: impl FnOnce() -> R + Send) -> R {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(kib << 10);
        thread.spawn_scoped(scope, body).unwrap().join().unwrap()
    })
}

fn with(set: impl FnOnce(&mut Config)) -> Engine {
    let mut config = Config::new();
    set(&mut config);
    Engine::new(&config).unwrap()
}

const ENDLESS: &str = r#"(module
    (type $f (func (param i32) (result i32)))
    (import "" "host" (func $host (type $f)))
    (table $t (export "table") 2 2 funcref)
    (elem (table $t) (i32.const 0) func $indirect)
    (elem declare func $reference)
    (func $direct (export "direct") (type $f)
        (i32.add (call $direct (local.get 0)) (i32.const 1)))
    (func (export "through the host") (type $f)
        (i32.add (call $host (local.get 0)) (i32.const 1)))
    (func $indirect (export "indirect") (type $f)
        (i32.add (call_indirect $t (type $f) (local.get 0) (i32.const 0)) (i32.const 1)))
    (func $reference (export "reference") (type $f)
        (i32.add (call_ref $f (local.get 0) (ref.func $reference)) (i32.const 1)))
    (func $mixed (export "mixed") (type $f)
        (i32.add (call $tail (local.get 0)) (i32.const 1)))
    (func $tail (type $f) (return_call $mixed (local.get 0)))
    (func (export "host by the table") (type $f)
        (i32.add (call_indirect $t (type $f) (local.get 0) (i32.const 1)) (i32.const 1)))
    (func $forever (export "forever") (type $f) (return_call $forever (local.get 0)))
    (func $around (export "around") (type $f)
        (return_call_indirect $t (type $f) (local.get 0) (i32.const 0))))"#;

const NAMES: [&str; 6] =
    ["direct", "through the host", "indirect", "reference", "mixed", "host by the table"];

fn endless(engine: &Engine) -> (Store<i32>, Instance) {
    let mut store = Store::new(engine, 0);
    let host = Func::wrap(&mut store, |mut caller: Caller<'_, i32>, which: i32| {
        let name = NAMES[which as usize];
        let again = caller.get_export(name).and_then(Extern::into_func).unwrap();
        again.typed::<i32, i32>(&caller)?.call(&mut caller, which)
    });
    let instance = instance(&mut store, ENDLESS, &[host.into()]);
    let table = instance.get_table(&mut store, "table").unwrap();
    table.set(&mut store, 1, Ref::Func(Some(host))).unwrap();
    (store, instance)
}

#[test]
fn class_05_recursion_by_every_kind_of_call() {
    for max in [64 << 10, 512 << 10, 1 << 30, usize::MAX] {
        let (mut store, instance) = endless(&with(|config| _ = config.max_wasm_stack(max)));
        for kib in STACKS {
            on_stack(kib, || {
                for (which, name) in NAMES.into_iter().enumerate() {
                    let func = instance.get_typed_func::<i32, i32>(&mut store, name).unwrap();
                    let result = func.call(&mut store, which as i32);
                    assert_eq!(trapped(result), Trap::StackOverflow, "{name}, {max}, {kib} KiB");
                }
            });
        }
    }
}

#[test]
fn class_05_tail_calls_take_no_stack() {
    let (mut store, instance) = endless(&with(|config| _ = config.consume_fuel(true)));
    on_stack(512, || {
        let forever = instance.get_typed_func::<i32, i32>(&mut store, "forever").unwrap();
        store.set_fuel(1_000_000).unwrap();
        assert_eq!(trapped(forever.call(&mut store, 0)), Trap::OutOfFuel);
        // The other one goes on to a function that calls itself.
        let around = instance.get_typed_func::<i32, i32>(&mut store, "around").unwrap();
        store.set_fuel(1_000_000).unwrap();
        assert_eq!(trapped(around.call(&mut store, 0)), Trap::StackOverflow);
    });
}

/// 50,000 locals of 16 bytes, each used behind a call; and as many operands as make it a mebibyte
/// and more.
fn wide() -> String {
    const LOCALS: usize = 49_999;
    let each = |text: &dyn Fn(usize) -> String| (1..=LOCALS).map(text).collect::<String>();
    let set = each(&|i| format!("(local.set {i} (i64x2.splat (local.get 0)))"));
    let sum = each(&|i| format!("(i64x2.add (local.get {i}))"));
    let operands = "(v128.load (i32.const 0))".repeat(20_000);
    format!(
        r#"(module (memory 1)
            (func $wide (export "run") (param i64) (result i64) (local {})
                {set} {operands}
                (if (i64.eqz (local.get 0)) (then) (else
                    (drop (call $wide (i64.sub (local.get 0) (i64.const 1))))))
                (v128.const i64x2 0 0) {sum} {} (i64x2.extract_lane 1)))"#,
        "v128 ".repeat(LOCALS),
        "i64x2.add ".repeat(20_000),
    )
}

#[test]
fn class_05_a_frame_of_all_locals() {
    let engine = with(|config| _ = config.max_wasm_stack(usize::MAX));
    let wide = module(&engine, &wide());
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &wide, &[]).unwrap();
    let run = instance.get_typed_func::<i64, i64>(&mut store, "run").unwrap();
    for kib in STACKS {
        on_stack(kib, || {
            assert_eq!(trapped(run.call(&mut store, 1 << 40)), Trap::StackOverflow, "{kib}");
        });
    }
    assert_eq!(on_stack(16 << 10, || run.call(&mut store, 3).unwrap()), 3 * 49_999);
    // The C library may hand a thread a stack that is left over, of up to four times that size.
    assert_eq!(on_stack(128, || trapped(run.call(&mut store, 0))), Trap::StackOverflow);
}

#[test]
fn class_05_nesting_needs_no_stack_of_the_compiler() {
    const DEPTH: usize = 100_000;
    let blocks = ["block ", "loop ", "(i32.const 1) if "].map(|open| {
        let (open, close) = (open.repeat(DEPTH), "end ".repeat(DEPTH));
        format!(r#"(module (func (export "run") {open} br {} {close}))"#, DEPTH - 1)
    });
    let constant = format!(
        r#"(module (global i32 (i32.const 1) {} {}) (func (export "run")))"#,
        "(i32.const 1)".repeat(DEPTH),
        "i32.add ".repeat(DEPTH)
    );
    let types: String =
        (1..5000).map(|i| format!("(type (func (param (ref null {}))))", i - 1)).collect();
    let types = format!(r#"(module (type (func)) {types} (func (export "run")))"#);
    let dead = format!(
        r#"(module (func (export "run") (return) {} {}))"#,
        "block ".repeat(DEPTH),
        "end ".repeat(DEPTH)
    );
    let all: Vec<Vec<u8>> = [&blocks[..], &[constant, types, dead]]
        .concat()
        .iter()
        .map(|text| wat::parse_str(text).unwrap())
        .collect();
    let engine = engine();
    on_stack(512, || {
        for bytes in &all {
            let module = Module::new(&engine, bytes).unwrap();
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
            // The loops go on without end.
            if bytes[bytes.len() / 4] != 0x03 {
                run.call(&mut store, ()).unwrap();
            }
        }
    });
}

#[test]
fn class_05_nesting_in_text_is_an_error_or_works() {
    let engine = engine();
    let nested =
        |open: &str| format!("(module (func {} {}))", open.repeat(100_000), ")".repeat(100_000));
    on_stack(2048, || {
        for open in ["(", "(block ", "(drop ", "(; ;)("] {
            if let Err(error) = Module::new(&engine, nested(open)) {
                assert_eq!(error.kind(), ErrorKind::Invalid, "{open}");
            }
        }
    });
}

#[test]
fn class_05_a_chain_of_functions() {
    const FUNCTIONS: usize = 50_000;
    let functions: String = (1..FUNCTIONS)
        .map(|i| {
            format!(
                "(func (param i32) (result i32) (i32.add (call {i} (local.get 0)) (i32.const 1)))"
            )
        })
        .collect();
    let text = format!(
        r#"(module (export "run" (func 0)) {functions}
            (func (param i32) (result i32) (local.get 0)))"#
    );
    let engine = with(|config| {
        config.max_wasm_stack(usize::MAX).cranelift_opt_level(OptLevel::None);
    });
    let module = module(&engine, &text);
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    let last = FUNCTIONS as i32 - 1;
    assert_eq!(on_stack(64 << 10, || run.call(&mut store, 5).unwrap()), last + 5);
    assert_eq!(on_stack(128, || trapped(run.call(&mut store, 5))), Trap::StackOverflow);
}

#[test]
fn class_05_the_most_targets_of_a_branch() {
    let text = |targets: usize| {
        format!(
            r#"(module (func (export "run") (param i32) (result i32)
                block block (local.get 0) br_table {} 1 end (i32.const 10) return end
                (i32.const 20)))"#,
            "0 ".repeat(targets - 1)
        )
    };
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, &text(65_521), &[]);
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        for (index, expected) in [(0, 10), (65_519, 10), (65_520, 20), (-1, 20), (i32::MIN, 20)] {
            assert_eq!(run.call(&mut store, index).unwrap(), expected, "{name}, {index}");
        }
        let error = Module::new(&engine, text(65_522)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
    }
}

#[test]
fn class_09_tables_that_nobody_has_room_for() {
    let engine = engine();
    for (table, is_64) in [
        ("0x10000000 funcref", false),
        ("0x10000001 externref", false),
        ("0xffffffff funcref", false),
        ("i64 0x10000000 funcref", true),
        ("i64 0x8000000000000000 funcref", true),
        ("i64 0xffffffffffffffff externref", true),
    ] {
        let Ok(module) = Module::new(&engine, format!("(module (table {table}))")) else {
            continue;
        };
        let mut store = Store::new(&engine, ());
        let error = Instance::new(&mut store, &module, &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit, "{table}: {error:#}");

        let (index, kind) = if is_64 { ("i64", "i64 0") } else { ("i32", "0") };
        let element = table.rsplit(' ').next().unwrap();
        let null = element.strip_suffix("ref").unwrap();
        let text = format!(
            r#"(module (table {kind} {element})
                (func (export "grow") (param {index}) (result {index})
                    (table.grow (ref.null {null}) (local.get 0)))
                (func (export "size") (result {index}) (table.size)))"#
        );
        let instance = instance(&mut store, &text, &[]);
        let grow = instance.get_func(&mut store, "grow").unwrap();
        let size = instance.get_func(&mut store, "size").unwrap();
        let mut call = |func: Func, params: &[Val]| {
            let mut result = [Val::I32(0)];
            func.call(&mut store, params, &mut result).unwrap();
            result[0].i64().unwrap_or_else(|| result[0].unwrap_i32().into())
        };
        for by in [1 << 28, (1 << 28) + 1, u32::MAX.into(), 1 << 31, 1 << 62, 1 << 63, u64::MAX] {
            let by = match is_64 {
                true => Val::I64(by as i64),
                false if by > u32::MAX.into() => continue,
                false => Val::I32(by as i32),
            };
            assert_eq!(call(grow, &[by]), -1, "{table} {by:?}");
        }
        assert_eq!(call(size, &[]), 0);
    }
}

/// Calls each export, none of which takes anything, and tells what came of it.
fn outcomes(engine: &Engine, text: &str) -> Vec<(String, Option<Trap>)> {
    let module = module(engine, text);
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let names: Vec<String> = module.exports().map(|export| export.name().to_string()).collect();
    let outcome = |name: String| {
        let func = instance.get_typed_func::<(), ()>(&mut store, &name).unwrap();
        let trap = func.call(&mut store, ()).err().map(|error| trap(&error));
        (name, trap)
    };
    names.into_iter().map(outcome).collect()
}

#[test]
fn class_09_memories_of_no_page() {
    let loads = "i32.load8_u i32.load16_u i32.load i64.load f32.load f64.load v128.load \
                 v128.load8_splat v128.load32_zero v128.load64_zero v128.load8x8_s";
    let stores = "i32.store8 i32.store16 i32.store i64.store f32.store f64.store v128.store";
    for (name, engine) in engines() {
        for (index, memory) in [("i32", "0 0"), ("i32", "0"), ("i64", "i64 0 0"), ("i64", "i64 0")]
        {
            let at = |value: &str| format!("({index}.const {value})");
            let len = at;
            let mut text = format!("(module (memory {memory}) (data $d \"abc\")");
            let mut add = |name: &str, body: &str| {
                text += &format!("(func (export \"{name}\") {body})\n");
            };
            for address in ["0", "1", "-1", "-16", "65536"] {
                for op in loads.split_whitespace() {
                    for offset in ["0", "1", "4294967295"] {
                        let load = format!("(drop ({op} offset={offset} {}))", at(address));
                        add(&format!("! {op} {address} {offset}"), &load);
                    }
                }
                for op in stores.split_whitespace() {
                    let ty = op.split('.').next().unwrap();
                    let zero = if ty == "v128" { "i64x2 0 0" } else { "0" };
                    let store = format!("({op} {} ({ty}.const {zero}))", at(address));
                    add(&format!("! {op} {address}"), &store);
                }
                let one = len("1");
                let none = len("0");
                let mark = if address == "0" { "" } else { "! " };
                add(
                    &format!("! fill {address}"),
                    &format!("(memory.fill {} (i32.const 1) {one})", at(address)),
                );
                add(
                    &format!("{mark}fill none {address}"),
                    &format!("(memory.fill {} (i32.const 1) {none})", at(address)),
                );
                add(
                    &format!("! copy {address}"),
                    &format!("(memory.copy {} {} {one})", at(address), at("0")),
                );
                add(
                    &format!("{mark}copy none {address}"),
                    &format!("(memory.copy {} {} {none})", at(address), at("0")),
                );
                add(
                    &format!("! init {address}"),
                    &format!("(memory.init $d {} (i32.const 0) (i32.const 1))", at(address)),
                );
                add(
                    &format!("{mark}init none {address}"),
                    &format!("(memory.init $d {} (i32.const 0) (i32.const 0))", at(address)),
                );
            }
            let same = |a: &str, b: &str| format!("(if ({index}.ne {a} {b}) (then unreachable))");
            add("grow none", &same(&format!("(memory.grow {})", at("0")), &at("0")));
            add("size", &same("(memory.size)", &at("0")));
            if memory.ends_with("0 0") {
                add("grow", &same(&format!("(memory.grow {})", at("1")), &at("-1")));
            }
            text += ")";
            for (export, trap) in outcomes(&engine, &text) {
                let expected = export.starts_with('!').then_some(Trap::MemoryOutOfBounds);
                assert_eq!(trap, expected, "{name}, memory {memory}: {export}");
            }
        }
    }
}

#[test]
fn class_09_tables_of_no_element() {
    for (name, engine) in engines() {
        for (index, table) in [("i32", "0 0"), ("i32", "0"), ("i64", "i64 0 0"), ("i64", "i64 0")] {
            for element in ["func", "extern"] {
                let at = |value: &str| format!("({index}.const {value})");
                let mut text = format!("(module (table $t {table} {element}ref)");
                text += &format!("(elem $e {element}ref (ref.null {element}))");
                let mut add = |name: &str, body: &str| {
                    text += &format!("(func (export \"{name}\") {body})\n");
                };
                let null = format!("(ref.null {element})");
                for place in ["0", "1", "-1", "65536"] {
                    let (one, none, at_) = (at("1"), at("0"), at(place));
                    let mark = if place == "0" { "" } else { "! " };
                    add(&format!("! get {place}"), &format!("(drop (table.get {at_}))"));
                    add(&format!("! set {place}"), &format!("(table.set {at_} {null})"));
                    add(&format!("! fill {place}"), &format!("(table.fill {at_} {null} {one})"));
                    add(
                        &format!("{mark}fill none {place}"),
                        &format!("(table.fill {at_} {null} {none})"),
                    );
                    add(&format!("! copy {place}"), &format!("(table.copy {at_} {none} {one})"));
                    add(
                        &format!("{mark}copy none {place}"),
                        &format!("(table.copy {at_} {none} {none})"),
                    );
                    let (zero, some) = ("(i32.const 0)", "(i32.const 1)");
                    add(
                        &format!("! init {place}"),
                        &format!("(table.init $e {at_} {zero} {some})"),
                    );
                    add(
                        &format!("{mark}init none {place}"),
                        &format!("(table.init $e {at_} {zero} {zero})"),
                    );
                    if element == "func" {
                        add(&format!("! call {place}"), &format!("(call_indirect {at_})"));
                        add(&format!("! tail {place}"), &format!("(return_call_indirect {at_})"));
                    }
                }
                let same =
                    |a: &str, b: &str| format!("(if ({index}.ne {a} {b}) (then unreachable))");
                add("grow none", &same(&format!("(table.grow {null} {})", at("0")), &at("0")));
                add("size", &same("(table.size)", &at("0")));
                if table.ends_with("0 0") {
                    add("grow", &same(&format!("(table.grow {null} {})", at("1")), &at("-1")));
                }
                text += ")";
                for (export, trap) in outcomes(&engine, &text) {
                    let expected = export.starts_with('!').then_some(Trap::TableOutOfBounds);
                    assert_eq!(trap, expected, "{name}, table {table} {element}: {export}");
                }
            }
        }
    }
}

#[test]
fn class_09_memories_as_large_as_can_be() {
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let text = r#"(module (memory (export "memory") 65536)
            (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
            (func (export "wide") (param i32) (result i64) (i64.load (local.get 0)))
            (func (export "far") (param i32) (result i32)
                (i32.load8_u offset=4294967295 (local.get 0)))
            (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"#;
        let largest = module(&engine, text);
        match Instance::new(&mut store, &largest, &[]) {
            // Address space may be limited.
            Err(error) => assert_eq!(error.kind(), ErrorKind::Limit, "{error:#}"),
            Ok(instance) => {
                let load = instance.get_typed_func::<i32, i32>(&mut store, "load").unwrap();
                let wide = instance.get_typed_func::<i32, i64>(&mut store, "wide").unwrap();
                let far = instance.get_typed_func::<i32, i32>(&mut store, "far").unwrap();
                let grow = instance.get_typed_func::<i32, i32>(&mut store, "grow").unwrap();
                assert_eq!(load.call(&mut store, -1).unwrap(), 0, "{name}");
                assert_eq!(wide.call(&mut store, -8).unwrap(), 0);
                assert_eq!(trapped(wide.call(&mut store, -7)), Trap::MemoryOutOfBounds);
                assert_eq!(far.call(&mut store, 0).unwrap(), 0);
                assert_eq!(trapped(far.call(&mut store, 1)), Trap::MemoryOutOfBounds);
                assert_eq!(trapped(far.call(&mut store, -1)), Trap::MemoryOutOfBounds);
                assert_eq!(grow.call(&mut store, 0).unwrap(), 65536);
                assert_eq!(grow.call(&mut store, 1).unwrap(), -1);
            }
        }
        for pages in ["0x10000000000", "0xffffffffffff", "0x1000000000000"] {
            let text = format!("(module (memory i64 {pages}))");
            let Ok(module) = Module::new(&engine, &text) else { continue };
            let error = Instance::new(&mut store, &module, &[]).unwrap_err();
            let told = matches!(error.kind(), ErrorKind::Limit | ErrorKind::Io);
            assert!(told, "{name}, {pages}: {error:#}");
        }
        let text = r#"(module (memory i64 0)
            (func (export "grow") (param i64) (result i64) (memory.grow (local.get 0))))"#;
        let instance = instance(&mut store, text, &[]);
        let grow = instance.get_typed_func::<i64, i64>(&mut store, "grow").unwrap();
        for pages in [1 << 40, 1 << 47, 1 << 48, (1 << 48) + 1, i64::MAX, i64::MIN, -1] {
            assert_eq!(grow.call(&mut store, pages).unwrap(), -1, "{name}, {pages}");
        }
    }
}
