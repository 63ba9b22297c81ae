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

fn runs() -> precompile::Result<bool> {
    use precompile::*;
    let engine = Engine::default();
    let module = Module::new(&engine, TEXT)?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let run = instance.get_typed_func::<(i32, i32), i32>(&mut store, "run")?;
    let mut first = None;
    let mut flat = true;
    for &(times, depth) in RUNS {
        let start = Instant::now();
        let sum = run.call(&mut store, (times, depth))?;
        let nanos = start.elapsed().as_nanos() as f64 / f64::from(times);
        assert_eq!(sum, (1..=times).fold(0i32, i32::wrapping_add));
        let resident = resident_kib();
        println!(
            "{times:>9} exceptions through {depth:>4} frames {nanos:>9.1} ns each {resident:>8} KiB \
             resident"
        );
        flat &= resident <= *first.get_or_insert(resident) + SLACK_KIB;
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
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}
