//! References to values of the host, to wasm and back, and what is left of them: nothing.
//!
//! Each round puts a new value into the heap, passes it to wasm, which passes it to a function of
//! the host, which gives it back, and looks at it. Resident memory is read on the way.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const ROUNDS: u64 = 10_000_000;
const STEPS: u64 = 10;
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

/// Runs rounds in steps and prints how it goes; whether memory stayed as it was. `round` is given
/// its number.
fn measure(mut round: impl FnMut(u64)) -> bool {
    let mut first = 0;
    let mut flat = true;
    for step in 0..STEPS {
        let start = Instant::now();
        for i in 0..ROUNDS / STEPS {
            round(step * (ROUNDS / STEPS) + i);
        }
        let nanos = start.elapsed().as_nanos() as f64 / (ROUNDS / STEPS) as f64;
        let (done, resident) = ((step + 1) * (ROUNDS / STEPS), resident_kib());
        let held = done - DROPPED.load(Ordering::Relaxed);
        println!(
            "{done:>9} rounds {nanos:>7.1} ns each {resident:>8} KiB resident {held:>6} not dropped yet"
        );
        first = if step == 0 { resident } else { first };
        flat &= resident <= first + SLACK_KIB;
    }
    flat
}

fn rounds() -> precompile::Result<bool> {
    use precompile::*;
    type Reference = Option<Rooted<ExternRef>>;
    let engine = Engine::default();
    let module = Module::new(&engine, TEXT)?;
    let mut store = Store::new(&engine, ());
    let host = Func::wrap(&mut store, |it: Reference| it);
    let instance = Instance::new(&mut store, &module, &[host.into()])?;
    let run = instance.get_typed_func::<Reference, Reference>(&mut store, "run")?;
    let flat = measure(|i| {
        let mut scope = RootScope::new(&mut store);
        let value = ExternRef::new(&mut scope, Value(i)).expect("there is room");
        let found = run.call(&mut scope, Some(value)).expect("it returns").expect("not null");
        let found = found.data(&scope).expect("it is rooted").expect("it has a value");
        assert!(found.downcast_ref::<Value>().is_some_and(|value| value.0 == i));
    });
    store.gc(None)?;
    Ok(flat && DROPPED.load(Ordering::Relaxed) == ROUNDS)
}

pub(crate) fn run() -> ExitCode {
    match rounds() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("resident memory grew, or values were not dropped");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}
