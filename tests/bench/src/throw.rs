//! What it takes to throw and to catch, through how many frames, and what is left in memory of it:
//! nothing.

use crate::roots::resident_kib;
use std::process::ExitCode;
use std::time::Instant;

/// Resident memory may grow by that much after the first of these.
const SLACK_KIB: u64 = 2048;

/// Exceptions, and the frames that each goes through.
const RUNS: &[(i32, i32)] =
    &[(1_000_000, 0), (10_000_000, 0), (5_000_000, 10), (500_000, 100), (50_000, 1000)];

/// How often each engine has its turn; the best one counts.
const TURNS: i32 = 20;

const TEXT: &str = r#"(module
    (tag $e (param i32))
    (func $down (param $depth i32) (param $x i32)
        (if (i32.eqz (local.get $depth)) (then (throw $e (local.get $x))))
        (call $down (i32.sub (local.get $depth) (i32.const 1)) (local.get $x)))
    (func (export "run") (param $times i32) (param $depth i32) (result i32) (local $sum i32)
        (loop $more
            (block $caught (result i32)
                (try_table (catch $e $caught) (call $down (local.get $depth) (local.get $times)))
                (unreachable))
            (local.set $sum (i32.add (local.get $sum)))
            (br_if $more (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
        (local.get $sum)))"#;

/// `run` of the module, by an engine.
type Run<E> = Box<dyn FnMut(i32, i32) -> Result<i32, E>>;

fn ours() -> precompile::Result<Run<precompile::Error>> {
    use precompile::*;
    let engine = Engine::default();
    let module = Module::new(&engine, TEXT)?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let run = instance.get_typed_func::<(i32, i32), i32>(&mut store, "run")?;
    Ok(Box::new(move |times, depth| run.call(&mut store, (times, depth))))
}

fn theirs() -> wasmtime::Result<Run<wasmtime::Error>> {
    use wasmtime::*;
    let engine = Engine::new(Config::new().wasm_exceptions(true))?;
    let module = Module::new(&engine, wat::parse_str(TEXT)?)?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let run = instance.get_typed_func::<(i32, i32), i32>(&mut store, "run")?;
    Ok(Box::new(move |times, depth| run.call(&mut store, (times, depth))))
}

/// Nanoseconds an exception takes.
fn time<E: std::fmt::Debug>(run: &mut Run<E>, times: i32, depth: i32) -> f64 {
    let start = Instant::now();
    let sum = run(times, depth).expect("all are caught");
    assert_eq!(sum, (1..=times).fold(0i32, i32::wrapping_add));
    start.elapsed().as_nanos() as f64 / f64::from(times)
}

fn runs() -> Result<bool, String> {
    let mut ours = ours().map_err(|error| format!("{error:?}"))?;
    let mut first = None;
    let mut flat = true;
    for &(times, depth) in RUNS {
        time(&mut ours, times, depth);
        let resident = resident_kib();
        flat &= resident <= *first.get_or_insert(resident) + SLACK_KIB;
        println!("{times:>9} exceptions through {depth:>4} frames {resident:>8} KiB resident");
    }
    let mut theirs = theirs().map_err(|error| format!("{error:?}"))?;
    for &(times, depth) in &RUNS[1..] {
        let (mut best, mut other) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..TURNS {
            best = best.min(time(&mut ours, times / TURNS / 10, depth));
            other = other.min(time(&mut theirs, times / TURNS / 10, depth));
        }
        println!(
            "through {depth:>4} frames {best:>9.1} ns each, wasmtime {other:>9.1}: {:.2} times",
            best / other
        );
    }
    Ok(flat)
}

pub(crate) fn run() -> ExitCode {
    match runs() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("resident memory grew");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
