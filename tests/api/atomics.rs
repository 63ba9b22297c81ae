//! Atomic operators, each width of each, against what they are by definition; on memories of all
//! kinds, with guards and without.

use crate::support::{module, trapped};
use precompile::*;
use std::fmt::Write as _;

/// Engines with threads, for each way in which memories are kept, and each way of compiling.
pub(crate) fn engines() -> impl Iterator<Item = (String, Engine)> {
    let modes = [Bounds::Guard, Bounds::Explicit];
    let levels = [OptLevel::None, OptLevel::Speed];
    let cpus = CpuLevel::named(Engine::default().target().arch()).iter().copied();
    // Best first; the last one has none of the instructions that the first one has.
    let cpus = cpus.skip_while(|cpu| *cpu != Engine::default().cpu());
    let cpus: Vec<_> = [cpus.clone().next(), cpus.last()].into_iter().flatten().collect();
    modes.into_iter().flat_map(move |bounds| {
        let cpus = cpus.clone();
        levels.into_iter().flat_map(move |level| {
            cpus.clone().into_iter().map(move |cpu| {
                let mut config = Config::new();
                config.wasm_threads(true).bounds(bounds).cranelift_opt_level(level).cpu(cpu);
                (format!("{bounds:?}, {level:?}, {cpu}"), Engine::new(&config).unwrap())
            })
        })
    })
}

/// The kinds of memories: how they are declared, and the type of their addresses.
const MEMORIES: [(&str, &str); 4] =
    [("1 1", "i32"), ("1 2 shared", "i32"), ("i64 1 1", "i64"), ("i64 1 2 shared", "i64")];

/// An operator on `bits` of a value of type `ty`.
#[derive(Clone, Copy)]
struct Op {
    ty: &'static str,
    bits: u32,
    verb: &'static str,
}

const UPDATES: [&str; 6] = ["add", "sub", "and", "or", "xor", "xchg"];

impl Op {
    fn all() -> Vec<Op> {
        let widths = [("i32", 8), ("i32", 16), ("i32", 32)].into_iter();
        let widths = widths.chain([("i64", 8), ("i64", 16), ("i64", 32), ("i64", 64)]);
        let verbs = UPDATES.into_iter().chain(["load", "store", "cmpxchg"]);
        let verbs: Vec<_> = verbs.collect();
        widths
            .flat_map(|(ty, bits)| verbs.clone().into_iter().map(move |verb| Op { ty, bits, verb }))
            .collect()
    }

    fn full(self) -> bool {
        self.ty == "i64" && self.bits == 64 || self.ty == "i32" && self.bits == 32
    }

    fn name(self) -> String {
        let Op { ty, bits, verb } = self;
        let bits = if self.full() { String::new() } else { bits.to_string() };
        let unsigned = if self.full() { "" } else { "_u" };
        match verb {
            "load" => format!("{ty}.atomic.load{bits}{unsigned}"),
            "store" => format!("{ty}.atomic.store{bits}"),
            _ => format!("{ty}.atomic.rmw{bits}.{verb}{unsigned}"),
        }
    }

    /// The operator at `address`, with operands of 64 bits cut down to its type: what stays above
    /// them in a register must not matter. A value of 64 bits, unless `drop`.
    fn text(self, place: &str, drop: bool) -> String {
        let cut = |x: &str| match self.ty {
            "i32" => format!("(i32.wrap_i64 (local.get {x}))"),
            _ => format!("(local.get {x})"),
        };
        let operands = match self.verb {
            "load" => String::new(),
            "cmpxchg" => format!("{} {}", cut("$x"), cut("$y")),
            _ => cut("$x"),
        };
        let text = format!("({} {place} {operands})", self.name());
        match (self.verb, drop, self.ty) {
            ("store", ..) => format!("{text} (i64.const 0)"),
            (_, true, _) => format!("(drop {text}) (i64.const 0)"),
            (_, false, "i32") => format!("(i64.extend_i32_u {text})"),
            _ => text,
        }
    }

    /// What becomes of the `old` bits in memory, and the result.
    fn apply(self, old: u64, x: u64, y: u64) -> (u64, u64) {
        let mask = u64::MAX >> (64 - self.bits);
        let new = match self.verb {
            "load" => old,
            "store" | "xchg" => x,
            "add" => old.wrapping_add(x),
            "sub" => old.wrapping_sub(x),
            "and" => old & x,
            "or" => old | x,
            "xor" => old ^ x,
            _ if old == x & mask => y,
            _ => old,
        };
        (new & mask, if self.verb == "store" { 0 } else { old })
    }
}

/// All operators as functions of an address and two operands, in a few shapes.
fn operators(memory: &str, address: &str) -> String {
    let mut text = format!(
        "(module (memory (export \"memory\") {memory})
        (func (export \"peek\") (param {address}) (result i64) (i64.load (local.get 0)))
        (func (export \"poke\") (param {address} i64) (i64.store (local.get 0) (local.get 1)))"
    );
    for op in Op::all() {
        let shapes = [
            ("plain", "(local.get $a)".to_string(), false),
            ("dropped", "(local.get $a)".to_string(), true),
            (
                "offset",
                format!("offset=8 ({address}.sub (local.get $a) ({address}.const 8))"),
                false,
            ),
            ("constant", format!("({address}.const 128)"), false),
            ("odd", "offset=1 (local.get $a)".to_string(), false),
        ];
        for (shape, place, drop) in shapes {
            let body = op.text(&place, drop);
            let name = op.name();
            _ = write!(
                text,
                "(func (export \"{name} {shape}\") (param $a {address}) (param $x i64)
                    (param $y i64) (result i64) {body})"
            );
        }
    }
    text + ")"
}

/// Calls with addresses of either type.
struct Callable {
    store: Store<()>,
    instance: Instance,
    wide: bool,
}

impl Callable {
    fn new(engine: &Engine, text: &str, address: &str) -> Callable {
        let mut store = Store::new(engine, ());
        let module = module(engine, text);
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        Callable { store, instance, wide: address == "i64" }
    }

    fn call(&mut self, name: &str, address: u64, operands: &[u64]) -> Result<u64> {
        let func = self.instance.get_func(&mut self.store, name).unwrap();
        let address = match self.wide {
            true => Val::I64(address as i64),
            false => Val::I32(address as i32),
        };
        let operands = operands.iter().map(|x| Val::I64(*x as i64));
        let params: Vec<_> = [address].into_iter().chain(operands).collect();
        let mut results = vec![Val::I64(0); func.ty(&self.store).results().len()];
        func.call(&mut self.store, &params, &mut results)?;
        Ok(results.first().map_or(0, |x| x.i64().unwrap() as u64))
    }
}

const VALUES: [u64; 9] =
    [0, 1, 0x80, 0xffff, 0x8000_0000, 0xffff_ffff, 0x1_0000_0005, 0x8877_6655_4433_2211, u64::MAX];

#[test]
fn operators_do_what_they_say() {
    for (name, engine) in engines() {
        for (memory, address) in MEMORIES {
            let mut wasm = Callable::new(&engine, &operators(memory, address), address);
            for op in Op::all() {
                let mask = u64::MAX >> (64 - op.bits);
                for (shape, at) in
                    [("plain", 72), ("dropped", 80), ("offset", 65528), ("constant", 128)]
                {
                    let what = || format!("{name}, ({memory}): {} {shape}", op.name());
                    for (i, old) in VALUES.into_iter().enumerate() {
                        // Now equal to what is expected but for what is above, now another.
                        let x = match i % 2 {
                            0 if op.verb == "cmpxchg" => old & mask | 0xa5a5 << 48 & !mask,
                            _ => VALUES[(i * 5 + 3) % VALUES.len()],
                        };
                        let y = VALUES[(i * 7 + 1) % VALUES.len()];
                        wasm.call("poke", at, &[old]).unwrap();
                        let result = wasm.call(&format!("{} {shape}", op.name()), at, &[x, y]);
                        let (new, loaded) = op.apply(old & mask, x, y);
                        let expected = if shape == "dropped" { 0 } else { loaded };
                        assert_eq!(result.unwrap(), expected, "{}: {old:#x}, {x:#x}", what());
                        let found = wasm.call("peek", at, &[]).unwrap();
                        assert_eq!(found, old & !mask | new, "{}: {old:#x}, {x:#x}", what());
                    }
                }
            }
        }
    }
}

/// Alignment is looked at before bounds, and both before anything happens.
#[test]
fn wrong_addresses_trap() {
    for (name, engine) in engines() {
        for (memory, address) in MEMORIES {
            let mut wasm = Callable::new(&engine, &operators(memory, address), address);
            let end = if address == "i64" { u64::MAX } else { u64::from(u32::MAX) };
            for op in Op::all() {
                let size = u64::from(op.bits / 8);
                let mut check = |shape: &str, at: u64, expected: Trap| {
                    let called = wasm.call(&format!("{} {shape}", op.name()), at, &[1, 2]);
                    let what = format!("{name}, ({memory}): {} {shape} {at:#x}", op.name());
                    let error = called.expect_err(&what);
                    assert_eq!(error.downcast_ref(), Some(&expected), "{what}");
                    let trace = error.downcast_ref::<WasmBacktrace>().expect("it was in wasm");
                    assert_eq!(trace.frames().len(), 1, "{what}");
                };
                let (outside, unaligned) = (Trap::MemoryOutOfBounds, Trap::HeapMisaligned);
                for at in [65536, 65536 + size, 1 << 31, end - (size - 1)] {
                    check("plain", at, outside);
                    check("dropped", at, outside);
                }
                // Two pages on, a guard alone would do; the whole range is tried.
                check("plain", 65536 + (1 << 20), outside);
                for at in [1, 65535, 65537, end] {
                    let expected = match size {
                        1 if at < 65536 => continue,
                        1 => outside,
                        _ => unaligned,
                    };
                    check("plain", at, expected);
                    check("dropped", at, expected);
                }
                // The effective address is what has to be aligned.
                check(
                    "odd",
                    if size == 1 { 65535 } else { 0 },
                    if size == 1 { outside } else { unaligned },
                );
                check("odd", end, outside);
            }
            assert_eq!(wasm.call("i64.atomic.load plain", 65528, &[0, 0]).unwrap(), 0);
            assert_eq!(wasm.call("i64.atomic.load odd", 7, &[0, 0]).unwrap(), 0);
        }
    }
}

/// What is not shared has nobody who waits: that traps, and nobody is woken.
#[test]
fn waiting_and_notifying_on_a_memory_that_is_not_shared() {
    for (name, engine) in engines() {
        for address in ["i32", "i64"] {
            let wide = if address == "i64" { "i64" } else { "" };
            let text = format!(
                r#"(module (memory {wide} 1 1)
                    (func (export "wait32") (param {address}) (result i64)
                        (i64.extend_i32_u (memory.atomic.wait32 offset=4 (local.get 0)
                            (i32.const 0) (i64.const 0))))
                    (func (export "wait64") (param {address}) (result i64)
                        (i64.extend_i32_u (memory.atomic.wait64 offset=8 (local.get 0)
                            (i64.const 0) (i64.const 0))))
                    (func (export "notify") (param {address}) (result i64)
                        (i64.extend_i32_u (memory.atomic.notify offset=4 (local.get 0)
                            (i32.const 5)))))"#
            );
            let mut wasm = Callable::new(&engine, &text, address);
            for (func, at, expected) in [
                ("wait32", 0, Trap::AtomicWaitNonSharedMemory),
                ("wait32", 65536, Trap::AtomicWaitNonSharedMemory),
                ("wait32", 2, Trap::HeapMisaligned),
                ("wait64", 0, Trap::AtomicWaitNonSharedMemory),
                ("wait64", 4, Trap::HeapMisaligned),
                ("notify", 65532, Trap::MemoryOutOfBounds),
                ("notify", 65534, Trap::HeapMisaligned),
                ("notify", u64::MAX - 3, Trap::MemoryOutOfBounds),
            ] {
                let result = wasm.call(func, at, &[]);
                assert_eq!(trapped(result), expected, "{name}: {func} {at}");
            }
            assert_eq!(wasm.call("notify", 65528, &[]).unwrap(), 0);
        }
    }
}

/// An engine without the proposal says which one is missing.
#[test]
fn atomics_are_off_unless_asked_for() {
    let text = "(module (memory 1) (func (drop (i32.atomic.load (i32.const 0)))))";
    let error = Module::new(&Engine::default(), text).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(format!("{error:#}").contains("threads, which is switched off"), "{error:#}");
    assert!(!Features::default().contains(Features::THREADS));
    assert!(Features::SUPPORTED.contains(Features::THREADS));
}
