//! Class 12: host and code see the same context of an instance. Each kind of thing that lies in
//! it is written by one side and read by the other, among many neighbours that must stay.

use precompile::*;

/// What a global of each type holds, by its number.
fn value(number: usize) -> (ValType, Val, String) {
    let n = (number as u128 + 1).wrapping_mul(0x0123_4567_89ab_cdef_0011_2233_4455_6677);
    let (low, high) = (n as u64, (n >> 64) as u64);
    match number % 5 {
        0 => (ValType::I32, Val::I32(n as i32), format!("i32.const {}", n as i32)),
        1 => (ValType::V128, Val::V128(n.into()), format!("v128.const i64x2 {low} {high}")),
        2 => (ValType::I64, Val::I64(n as i64), format!("i64.const {}", n as i64)),
        3 => (
            ValType::F32,
            Val::F32(number as u32),
            format!("f32.const {:e}", f32::from_bits(number as u32)),
        ),
        _ => (
            ValType::F64,
            Val::F64(number as u64),
            format!("f64.const {:e}", f64::from_bits(number as u64)),
        ),
    }
}

pub(crate) fn bits(val: Val) -> u128 {
    match val {
        Val::I32(x) => (x as u32).into(),
        Val::I64(x) => (x as u64).into(),
        Val::F32(x) => x.into(),
        Val::F64(x) => x.into(),
        Val::V128(x) => x.into(),
        other => panic!("{other:?}"),
    }
}

/// Engines for each level of processors that the host has.
pub(crate) fn engines_with(change: impl Fn(&mut Config)) -> Vec<Engine> {
    let host = CpuFeatures::detect();
    let arch = if cfg!(target_arch = "x86_64") { Arch::X86_64 } else { Arch::Aarch64 };
    let levels = CpuLevel::named(arch).iter().filter(|level| host.contains(level.features()));
    let engine = |level: &CpuLevel| {
        let mut config = Config::new();
        config.cpu(*level);
        change(&mut config);
        Engine::new(&config).unwrap()
    };
    levels.map(engine).collect()
}

fn engines() -> Vec<Engine> {
    engines_with(|_| {})
}

/// Globals of all types, in a context with everything else in it, at each number of neighbours, so
/// that whatever has to be aligned comes to lie at each distance.
#[test]
fn class_12_globals_among_all_else() {
    for engine in engines() {
        for imports in 0..3 {
            let (mut text, mut exports) = (String::from("(module"), Vec::new());
            for i in 0..imports {
                text += &format!(r#"(import "" "f{i}" (func)) (import "" "g{i}" (global i32))"#);
            }
            text += "(table 3 funcref) (memory 1) (table 2 externref) (memory 1)";
            text += "(func $one) (func $two) (elem declare func $one $two)";
            for i in 0..25 {
                let (ty, _, init) = value(i);
                text += &format!(r#"(global $g{i} (export "g{i}") (mut {ty}) ({init}))"#);
                text += &format!(r#"(func (export "get{i}") (result {ty}) (global.get $g{i}))"#);
                text += &format!(
                    r#"(func (export "set{i}") (param {ty}) (global.set $g{i} (local.get 0)))"#
                );
                exports.push((format!("get{i}"), format!("set{i}"), format!("g{i}")));
            }
            text += "(global $last (mut funcref) (ref.func $two)))";
            let module = Module::new(&engine, text).unwrap();
            let mut store = Store::new(&engine, ());
            let externs: Vec<Extern> = (0..imports)
                .flat_map(|_| {
                    let func = Func::wrap(&mut store, || ());
                    let ty = GlobalType::new(ValType::I32, Mutability::Const);
                    let global = Global::new(&mut store, ty, Val::I32(-1)).unwrap();
                    [Extern::from(func), global.into()]
                })
                .collect();
            let instance = Instance::new(&mut store, &module, &externs).unwrap();
            let mut expected: Vec<u128> = (0..exports.len()).map(|i| bits(value(i).1)).collect();
            let check = |store: &mut Store<()>, expected: &[u128]| {
                for ((get, _, global), expected) in exports.iter().zip(expected) {
                    let mut results = [Val::I32(0)];
                    let get = instance.get_func(&mut *store, get).unwrap();
                    get.call(&mut *store, &[], &mut results).unwrap();
                    let global = instance.get_global(&mut *store, global).unwrap();
                    assert_eq!(bits(results[0]), *expected, "{}", engine.cpu());
                    assert_eq!(bits(global.get(&mut *store)), *expected, "{}", engine.cpu());
                }
            };
            check(&mut store, &expected);
            for (i, (_, set, global)) in exports.iter().enumerate() {
                // Numbers of the same type, of others of these.
                let val = value(i + 500).1;
                match i % 2 {
                    0 => {
                        let set = instance.get_func(&mut store, set).unwrap();
                        set.call(&mut store, &[val], &mut []).unwrap();
                    }
                    _ => {
                        let global = instance.get_global(&mut store, global).unwrap();
                        global.set(&mut store, val).unwrap();
                    }
                }
                expected[i] = bits(val);
                check(&mut store, &expected);
            }
        }
    }
}

/// Lengths and bases of memories and tables that the host changes are those that code uses, also
/// in the middle of a call.
#[test]
fn class_12_what_the_host_changes_in_a_call() {
    const TEXT: &str = r#"(module
        (import "" "host" (func $host (param i32)))
        (memory $a (export "a") 1) (memory $b (export "b") 1)
        (table $t (export "t") 1 externref)
        (global $g (export "g") (mut i64) (i64.const 1))
        (func (export "run") (param i32) (result i64)
            (i32.store $a (i32.const 8) (i32.const 1))
            (call $host (local.get 0))
            (i64.add
                (i64.add (global.get $g)
                    (i64.extend_i32_u (i32.add (memory.size $a) (memory.size $b))))
                (i64.add (i64.extend_i32_u (table.size $t))
                    (i64.add (i64.load $a (i32.const 8))
                        (i64.load $b (i32.mul (local.get 0) (i32.const 65536))))))))"#;
    for engine in engines() {
        let mut store = Store::new(&engine, ());
        let host = Func::wrap(&mut store, |mut caller: Caller<'_, ()>, n: i32| -> Result<()> {
            let mut export = |name| caller.get_export(name).expect("it is exported");
            let (a, b) = (export("a").into_memory(), export("b").into_memory());
            let (t, g) = (export("t").into_table(), export("g").into_global());
            let (a, b, t, g) = (a.unwrap(), b.unwrap(), t.unwrap(), g.unwrap());
            a.grow(&mut caller, 1)?;
            b.grow(&mut caller, 1)?;
            t.grow(&mut caller, 1, Ref::Extern(None))?;
            a.write(&mut caller, 8, &1000i64.to_le_bytes()).unwrap();
            b.write(&mut caller, n as usize * 65536, &100_000i64.to_le_bytes()).unwrap();
            let before = g.get(&mut caller).unwrap_i64();
            g.set(&mut caller, Val::I64(before + 10_000_000))
        });
        let module = Module::new(&engine, TEXT).unwrap();
        let instance = Instance::new(&mut store, &module, &[host.into()]).unwrap();
        let run = instance.get_typed_func::<i32, i64>(&mut store, "run").unwrap();
        for n in 1..50i64 {
            // The table and both memories had one, and got one in each call.
            let sizes = 3 * (n + 1);
            let expected = 10_000_000 * n + 1 + sizes + 1000 + 100_000;
            assert_eq!(run.call(&mut store, n as i32).unwrap(), expected, "{}", engine.cpu());
        }
    }
}
