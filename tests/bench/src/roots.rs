//! References to values of the host, to wasm and back, and what is left of them: nothing.
//!
//! Each round puts a new value into the heap, passes it to wasm, which passes it to a function of
//! the host, which gives it back, and looks at it. Resident memory is read on the way.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const ROUNDS: u64 = 10_000_000;
const STEPS: u64 = 10;
/// Of a step, each timed by itself.
const PARTS: u64 = 10;
/// Rounds of a part.
const PART: u64 = ROUNDS / STEPS / PARTS;
/// Resident memory may grow by that much after the first step.
const SLACK_KIB: u64 = 2048;

const TEXT: &str = r#"(module
    (import "" "host" (func $host (param externref) (result externref)))
    (func (export "run") (param externref) (result externref) (local externref)
        (local.set 1 (call $host (local.get 0)))
        (drop (call $host (local.get 0)))
        (local.get 1)))"#;

static DROPPED: AtomicU64 = AtomicU64::new(0);

struct Value(u64);

impl Drop for Value {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// Resident memory of this process.
pub(crate) fn resident_kib() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4
}

/// Runs rounds in steps and prints how it goes; whether memory stayed as it was, and what a round
/// took in the best of many parts. `round` is given its number.
fn measure(mut round: impl FnMut(u64)) -> (bool, f64) {
    DROPPED.store(0, Ordering::Relaxed);
    let mut first = 0;
    let mut flat = true;
    let mut best = f64::INFINITY;
    for step in 0..STEPS {
        let mut nanos = f64::INFINITY;
        for part in 0..PARTS {
            let start = Instant::now();
            for i in 0..PART {
                round((step * PARTS + part) * PART + i);
            }
            nanos = nanos.min(start.elapsed().as_nanos() as f64 / PART as f64);
        }
        let (done, resident) = ((step + 1) * PARTS * PART, resident_kib());
        let held = done - DROPPED.load(Ordering::Relaxed);
        println!(
            "{done:>9} rounds {nanos:>7.1} ns each {resident:>8} KiB resident {held:>6} not dropped yet"
        );
        first = if step == 0 { resident } else { first };
        flat &= resident <= first + SLACK_KIB;
        best = best.min(nanos);
    }
    (flat, best)
}

fn ours() -> precompile::Result<(bool, f64)> {
    use precompile::*;
    type Reference = Option<Rooted<ExternRef>>;
    let engine = Engine::default();
    let module = Module::new(&engine, TEXT)?;
    let mut store = Store::new(&engine, ());
    let host = Func::wrap(&mut store, |it: Reference| it);
    let instance = Instance::new(&mut store, &module, &[host.into()])?;
    let run = instance.get_typed_func::<Reference, Reference>(&mut store, "run")?;
    let (flat, best) = measure(|i| {
        let mut scope = RootScope::new(&mut store);
        let value = ExternRef::new(&mut scope, Value(i)).expect("there is room");
        let found = run.call(&mut scope, Some(value)).expect("it returns").expect("not null");
        let found = found.data(&scope).expect("it is rooted").expect("it has a value");
        assert!(found.downcast_ref::<Value>().is_some_and(|value| value.0 == i));
    });
    store.gc(None)?;
    Ok((flat && DROPPED.load(Ordering::Relaxed) == ROUNDS, best))
}

fn theirs() -> wasmtime::Result<f64> {
    use wasmtime::*;
    type Reference = Option<Rooted<ExternRef>>;
    let engine = Engine::default();
    let module = Module::new(&engine, wat::parse_str(TEXT)?)?;
    let mut store = Store::new(&engine, ());
    let host = Func::wrap(&mut store, |it: Reference| it);
    let instance = Instance::new(&mut store, &module, &[host.into()])?;
    let run = instance.get_typed_func::<Reference, Reference>(&mut store, "run")?;
    let (_, best) = measure(|i| {
        let mut scope = RootScope::new(&mut store);
        let value = match ExternRef::new(&mut scope, Value(i)) {
            Ok(value) => value,
            Err(error) => {
                // Its embedders collect where the heap is full.
                let full = error.downcast::<GcHeapOutOfMemory<Value>>().expect("it is full");
                let (value, why) = full.take_inner();
                scope.as_context_mut().gc(Some(&why)).expect("it collects");
                ExternRef::new(&mut scope, value).expect("there is room")
            }
        };
        let found = run.call(&mut scope, Some(value)).expect("it returns").expect("not null");
        let found = found.data(&scope).expect("it is rooted").expect("it has a value");
        assert!(found.downcast_ref::<Value>().is_some_and(|value| value.0 == i));
    });
    Ok(best)
}

fn rounds() -> Result<bool, String> {
    let (flat, ours) = ours().map_err(|error| format!("{error:?}"))?;
    println!("wasmtime:");
    let theirs = theirs().map_err(|error| format!("{error:?}"))?;
    println!("{ours:.1} ns a round, wasmtime {theirs:.1}: {:.2} times", ours / theirs);
    Ok(flat)
}

pub(crate) fn run() -> ExitCode {
    match rounds() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("resident memory grew, or values were not dropped");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
