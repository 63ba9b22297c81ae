//! The modules of `fixtures/wat` with the expectations in them, whose format and host are
//! described in `fixtures/wat/check.py`.

use crate::support::engines_with;
use precompile::*;
use std::fs;
use std::path::{Path, PathBuf};

/// What `host.fail` returns.
#[derive(Debug)]
struct HostError;

impl std::fmt::Display for HostError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the host failed")
    }
}

impl std::error::Error for HostError {}

fn again(mut caller: Caller<'_, ()>, n: i32) -> Result<()> {
    if n == 0 {
        return Ok(());
    }
    let back = caller.get_export("back").and_then(Extern::into_func).context("no `back`")?;
    back.typed::<i32, ()>(&caller)?.call(&mut caller, n - 1)
}

/// What the modules import from "host".
fn host(store: &mut Store<()>, name: &str) -> Extern {
    let add = Func::wrap(&mut *store, |a: i32, b: i32| a.wrapping_add(b));
    match name {
        "add" => add.into(),
        "memory" => {
            let memory = Memory::new(&mut *store, MemoryType::new(1, None)).unwrap();
            memory.write(store, 100, &[0x2a]).unwrap();
            memory.into()
        }
        "table" => {
            let ty = TableType::new(RefType::FUNCREF, 4, None);
            let table = Table::new(&mut *store, ty, Ref::Func(None)).unwrap();
            table.set(store, 1, add.into()).unwrap();
            table.into()
        }
        "counter" => {
            let ty = GlobalType::new(ValType::I32, Mutability::Var);
            Global::new(store, ty, Val::I32(10)).unwrap().into()
        }
        "limit" => {
            let ty = GlobalType::new(ValType::I64, Mutability::Const);
            Global::new(store, ty, Val::I64(-1)).unwrap().into()
        }
        "mix" => {
            let mix = |a: i32, b: i64, c: f32, d: f64| f64::from(a) + b as f64 + f64::from(c) + d;
            Func::wrap(store, mix).into()
        }
        "pair" => Func::wrap(store, |a: i64| (a, (a as i32).wrapping_add(1))).into(),
        "again" => Func::wrap(store, again).into(),
        "fail" => Func::wrap(store, || Err::<(), _>(Error::from(HostError))).into(),
        other => panic!("the host has no `{other}`"),
    }
}

/// A value as the files write it, as bits.
fn bits(text: &str) -> u64 {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).unwrap(),
        None => text.parse::<i64>().unwrap() as u64,
    }
}

fn parse(store: &mut Store<()>, word: &str) -> Val {
    let (kind, text) = word.split_once(':').unwrap();
    match (kind, text) {
        ("funcref", "null") => Val::FuncRef(None),
        ("externref", "null") => Val::ExternRef(None),
        ("externref", _) => Val::ExternRef(Some(ExternRef::new(store, bits(text)).unwrap())),
        ("i32", _) => Val::I32(bits(text) as i32),
        ("i64", _) => Val::I64(bits(text) as i64),
        ("f32", _) => Val::F32(bits(text) as u32),
        ("f64", _) => Val::F64(bits(text)),
        _ => panic!("no value: {word}"),
    }
}

/// Whether `val` is what the file says; a NaN stands for any canonical one.
fn is(store: &Store<()>, val: &Val, word: &str) -> bool {
    let (kind, text) = word.split_once(':').unwrap();
    match (kind, *val) {
        ("i32", Val::I32(x)) => x == bits(text) as i32,
        ("i64", Val::I64(x)) => x == bits(text) as i64,
        ("f32", Val::F32(x)) => {
            x & !sign(bits(text) == 0x7fc0_0000, 31) as u32 == bits(text) as u32
        }
        ("f64", Val::F64(x)) => x & !sign(bits(text) == 0x7ff8_0000_0000_0000, 63) == bits(text),
        ("funcref", Val::FuncRef(x)) => text == "null" && x.is_none(),
        ("externref", Val::ExternRef(None)) => text == "null",
        ("externref", Val::ExternRef(Some(x))) => {
            x.data(store).unwrap().unwrap().downcast_ref() == Some(&bits(text))
        }
        _ => false,
    }
}

fn sign(any: bool, bit: u32) -> u64 {
    if any { 1 << bit } else { 0 }
}

fn code(trap: Trap) -> String {
    let mut name = String::new();
    for c in format!("{trap:?}").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name.replace("unreachable_code_reached", "unreachable")
}

/// How a call failed, as the files write it.
fn failure(error: &Error) -> String {
    match error.downcast_ref::<Trap>() {
        Some(trap) => format!("trap {}", code(*trap)),
        None => {
            assert!(error.is::<HostError>(), "{error:?}");
            "error".into()
        }
    }
}

/// Does what the lines of `text` say; how many there were.
fn check(engine: &Engine, text: &str) -> usize {
    let notes: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix(";; ")).map(str::trim).collect();
    let module = Module::new(engine, text).unwrap();
    let mut store = Store::new(engine, ());
    let imports: Vec<_> = module.imports().map(|i| host(&mut store, i.name())).collect();
    assert!(imports.is_empty() || notes.contains(&"host"));
    let expected = notes.iter().find_map(|note| note.strip_prefix("instantiate => "));
    let instance = match Instance::new(&mut store, &module, &imports) {
        Ok(instance) => instance,
        Err(error) => {
            assert_eq!(Some(&*failure(&error)), expected, "{error:?}");
            return 1;
        }
    };
    assert_eq!(expected, None, "the instantiation was to fail");
    let calls = notes.iter().filter_map(|note| note.strip_prefix("call "));
    let mut count = 0;
    for call in calls {
        let (head, wanted) = call.split_once(" =>").unwrap();
        let mut words = head.split_whitespace();
        let func = instance.get_func(&mut store, words.next().unwrap()).unwrap();
        let params: Vec<_> = words.map(|word| parse(&mut store, word)).collect();
        let ty = func.ty(&store);
        let mut results: Vec<_> = ty.results().map(Val::default_for_ty).collect();
        match func.call(&mut store, &params, &mut results) {
            Ok(()) => {
                let wanted: Vec<_> = wanted.split_whitespace().collect();
                let same = wanted.len() == results.len()
                    && results.iter().zip(&wanted).all(|(val, word)| is(&store, val, word));
                assert!(same, "{call}: {results:?}");
            }
            Err(error) => assert_eq!(failure(&error), wanted.trim(), "{call}: {error:?}"),
        }
        count += 1;
    }
    count
}

fn files() -> Vec<PathBuf> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
    let mut files: Vec<_> = fs::read_dir(fixtures.join("wat"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "wat"))
        .collect();
    files.sort();
    files.push(fixtures.join("programs/lib-wat/lib-wat.wat"));
    files
}

#[test]
fn every_file_does_what_it_says() {
    let files = files();
    assert!(files.len() > 25, "{files:?}");
    for (name, engine) in engines_with(Features::SUPPORTED) {
        let mut count = 0;
        for path in &files {
            println!("{name}: {}", path.display());
            count += check(&engine, &fs::read_to_string(path).unwrap());
        }
        assert!(count > 250, "{count} lines");
    }
}

/// No fast form of a processor shows in results: each level below the host's own has the same.
#[test]
fn relaxed_vectors_are_the_same_at_all_levels() {
    // A product of these that is not rounded before the addition leaves something over.
    let sums = r#"
;; call madd => i64:0 i64:0x3f80000041200000
;; call nmadd => i64:0 i64:0x40400000c0000000
;; call madd64 => i64:0 i64:0x4024000000000000
;; call nmadd64 => i64:0 i64:0xc000000000000000
(module
    (func (export "madd") (result i64 i64) (local v128)
        (local.set 0 (f32x4.relaxed_madd
            (v128.const f32x4 0x1.001p0 0x1.001p0 2 0)
            (v128.const f32x4 0x1.001p0 -0x1.001p0 3 2)
            (v128.const f32x4 -0x1.002p0 0x1.002p0 4 1)))
        (i64x2.extract_lane 0 (local.get 0)) (i64x2.extract_lane 1 (local.get 0)))
    (func (export "nmadd") (result i64 i64) (local v128)
        (local.set 0 (f32x4.relaxed_nmadd
            (v128.const f32x4 0x1.001p0 0x1.001p0 2 -1)
            (v128.const f32x4 0x1.001p0 -0x1.001p0 3 2)
            (v128.const f32x4 0x1.002p0 -0x1.002p0 4 1)))
        (i64x2.extract_lane 0 (local.get 0)) (i64x2.extract_lane 1 (local.get 0)))
    (func (export "madd64") (result i64 i64) (local v128)
        (local.set 0 (f64x2.relaxed_madd
            (v128.const f64x2 0x1.0000001p0 2)
            (v128.const f64x2 0x1.0000001p0 3)
            (v128.const f64x2 -0x1.0000002p0 4)))
        (i64x2.extract_lane 0 (local.get 0)) (i64x2.extract_lane 1 (local.get 0)))
    (func (export "nmadd64") (result i64 i64) (local v128)
        (local.set 0 (f64x2.relaxed_nmadd
            (v128.const f64x2 0x1.0000001p0 2)
            (v128.const f64x2 0x1.0000001p0 3)
            (v128.const f64x2 0x1.0000002p0 4)))
        (i64x2.extract_lane 0 (local.get 0)) (i64x2.extract_lane 1 (local.get 0))))"#;
    let own = Engine::default();
    let levels = CpuLevel::named(own.target().arch()).iter().copied();
    for level in levels.skip_while(|level| *level != own.cpu()) {
        for opt_level in [OptLevel::None, OptLevel::Speed] {
            let mut config = Config::new();
            config.cpu(level).cranelift_opt_level(opt_level);
            let engine = Engine::new(&config).unwrap();
            assert_eq!(check(&engine, include_str!("../../fixtures/wat/relaxed-simd.wat")), 14);
            assert_eq!(check(&engine, sums), 4, "{level}");
        }
    }
}
