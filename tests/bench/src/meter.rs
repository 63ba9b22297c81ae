//! What fuel and epochs cost: programs with and without, as ratios, beside the same on wasmtime.

use std::process::ExitCode;
use std::time::{Duration, Instant};

const ROUNDS: usize = 15;

/// A program: an export `run` of a number that is to take some ten milliseconds.
struct Program {
    name: &'static str,
    text: &'static str,
    n: i32,
}

const PROGRAMS: &[Program] = &[
    Program {
        name: "fib: calls",
        text: r#"(module (func $fib (export "run") (param i32) (result i32)
            (if (result i32) (i32.lt_u (local.get 0) (i32.const 2))
                (then (local.get 0))
                (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                    (call $fib (i32.sub (local.get 0) (i32.const 2))))))))"#,
        n: 30,
    },
    Program {
        name: "sum: a loop of one addition",
        text: r#"(module (func (export "run") (param i32) (result i32) (local i32)
            (loop
                (local.set 1 (i32.add (local.get 1) (local.get 0)))
                (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
            (local.get 1)))"#,
        n: 20_000_000,
    },
    Program {
        name: "memory: a loop of a load, an addition, a store",
        text: r#"(module (memory 1) (func (export "run") (param i32) (result i32) (local i32)
            (loop
                (local.set 1 (i32.and (i32.shl (local.get 0) (i32.const 2)) (i32.const 0xfffc)))
                (i32.store (local.get 1) (i32.add (i32.load (local.get 1)) (local.get 0)))
                (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
            (i32.load (i32.const 64))))"#,
        n: 10_000_000,
    },
    Program {
        name: "mandelbrot: floats in a loop with an exit",
        text: r#"(module (func (export "run") (param i32) (result i32)
            (local $sum i32) (local $i i32) (local $cx f64)
            (local $x f64) (local $y f64) (local $t f64)
            (loop $points
                (local.set $cx (f64.sub (f64.div (f64.convert_i32_u (local.get 0))
                    (f64.const 20000)) (f64.const 2)))
                (local.set $x (f64.const 0)) (local.set $y (f64.const 0))
                (local.set $i (i32.const 100))
                (block $out
                    (loop $steps
                        (br_if $out (f64.gt (f64.add (f64.mul (local.get $x) (local.get $x))
                            (f64.mul (local.get $y) (local.get $y))) (f64.const 4)))
                        (local.set $t (f64.add (f64.sub
                            (f64.mul (local.get $x) (local.get $x))
                            (f64.mul (local.get $y) (local.get $y))) (local.get $cx)))
                        (local.set $y (f64.add (f64.mul (f64.const 2)
                            (f64.mul (local.get $x) (local.get $y))) (f64.const 0.3)))
                        (local.set $x (local.get $t))
                        (br_if $steps (local.tee $i (i32.sub (local.get $i) (i32.const 1))))))
                (local.set $sum (i32.add (local.get $sum) (local.get $i)))
                (br_if $points (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
            (local.get $sum)))"#,
        n: 40_000,
    },
];

/// The ways to stop: a name, fuel, epochs.
const METERS: [(&str, bool, bool); 3] =
    [("none", false, false), ("fuel", true, false), ("epochs", false, true)];

pub(crate) fn run() -> ExitCode {
    println!("{:<48} {:>7} {:>15} {:>15}", "", "", "precompile", "wasmtime");
    for program in PROGRAMS {
        let wasm = wat::parse_str(program.text).expect("the text is a module");
        let mut calls: Vec<_> = METERS
            .iter()
            .map(|(_, fuel, epochs)| (ours(&wasm, *fuel, *epochs), theirs(&wasm, *fuel, *epochs)))
            .collect();
        let mut best = [[Duration::MAX; 2]; METERS.len()];
        for _ in 0..ROUNDS {
            for ((ours, theirs), best) in calls.iter_mut().zip(&mut best) {
                let start = Instant::now();
                let own = ours(program.n);
                best[0] = best[0].min(start.elapsed());
                let start = Instant::now();
                let other = theirs(program.n);
                best[1] = best[1].min(start.elapsed());
                assert_eq!(own, other, "{}", program.name);
            }
        }
        for ((name, ..), times) in METERS.iter().zip(best) {
            let column = |i: usize| {
                let ratio = times[i].as_secs_f64() / best[0][i].as_secs_f64();
                format!("{:.2} ms x{ratio:.2}", times[i].as_secs_f64() * 1e3)
            };
            println!("{:<48} {name:>7} {:>15} {:>15}", program.name, column(0), column(1));
        }
    }
    ExitCode::SUCCESS
}

fn ours(wasm: &[u8], fuel: bool, epochs: bool) -> impl FnMut(i32) -> i32 {
    use precompile::{Config, Engine, Instance, Module, Store};
    let mut config = Config::new();
    config.consume_fuel(fuel).epoch_interruption(epochs);
    let engine = Engine::new(&config).expect("the settings hold");
    let module = Module::new(&engine, wasm).expect("the module compiles");
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).expect("there are no imports");
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").expect("it is exported");
    move |n| {
        if fuel {
            store.set_fuel(u64::MAX).expect("there is fuel");
        }
        store.set_epoch_deadline(1);
        run.call(&mut store, n).expect("it does not trap")
    }
}

fn theirs(wasm: &[u8], fuel: bool, epochs: bool) -> impl FnMut(i32) -> i32 {
    use wasmtime::{Config, Engine, Instance, Module, Store};
    let mut config = Config::new();
    config.consume_fuel(fuel).epoch_interruption(epochs);
    let engine = Engine::new(&config).expect("the settings hold");
    let module = Module::new(&engine, wasm).expect("the module compiles");
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).expect("there are no imports");
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").expect("it is exported");
    move |n| {
        if fuel {
            store.set_fuel(u64::MAX).expect("there is fuel");
        }
        if epochs {
            store.set_epoch_deadline(1);
        }
        run.call(&mut store, n).expect("it does not trap")
    }
}
