//! Time from a path to a callable export.

use crate::generate::many_functions;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];
const ROUNDS: usize = 300;
const SLOW_ROUNDS: usize = 40;

pub(crate) fn run() -> ExitCode {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ours = precompile::Engine::default();
    let theirs = wasmtime::Engine::default();
    println!("functions   artifact bytes      precompile        wasmtime   ratio");
    let mut times = Vec::new();
    for count in SIZES {
        let module = many_functions(count);
        let our_path = dir.path().join(format!("{count}.ours"));
        let their_path = dir.path().join(format!("{count}.theirs"));
        let artifact = ours.precompile_module(&module).expect("the module compiles");
        std::fs::write(&our_path, &artifact).expect("the artifact is written");
        let other = theirs.precompile_module(&module).expect("the module compiles");
        std::fs::write(&their_path, &other).expect("the artifact is written");

        let rounds = if count > 10_000 { SLOW_ROUNDS } else { ROUNDS };
        let (mut best_ours, mut best_theirs) = (Duration::MAX, Duration::MAX);
        for round in 0..ROUNDS {
            best_ours = best_ours.min(load_ours(&ours, &our_path));
            if round < rounds {
                best_theirs = best_theirs.min(load_theirs(&theirs, &their_path));
            }
        }
        println!(
            "{count:>9} {:>16} {:>12.1} µs {:>12.1} µs {:>7.3}",
            artifact.len(),
            best_ours.as_secs_f64() * 1e6,
            best_theirs.as_secs_f64() * 1e6,
            best_ours.as_secs_f64() / best_theirs.as_secs_f64()
        );
        times.push(best_ours.as_secs_f64());
    }
    let slowest = times.iter().copied().fold(f64::MIN, f64::max);
    let quickest = times.iter().copied().fold(f64::MAX, f64::min);
    println!("precompile, slowest to quickest size: {:.2}", slowest / quickest);
    ExitCode::SUCCESS
}

/// From the path to the export, which is known to be callable; dropping is not measured.
fn load_ours(engine: &precompile::Engine, path: &Path) -> Duration {
    let start = Instant::now();
    // SAFETY: an engine of this process wrote the file just now, and nobody changes it.
    let module = unsafe { precompile::Module::deserialize_file_unchecked(engine, path) };
    let module = module.expect("the artifact loads");
    let export = module.get_export("run");
    let time = start.elapsed();
    assert!(export.is_some_and(|ty| ty.func().is_some()));
    time
}

fn load_theirs(engine: &wasmtime::Engine, path: &Path) -> Duration {
    let start = Instant::now();
    // SAFETY: an engine of this process wrote the file just now, and nobody changes it.
    let module = unsafe { wasmtime::Module::deserialize_file(engine, path) };
    let module = module.expect("the artifact loads");
    let export = module.get_export("run");
    let time = start.elapsed();
    assert!(export.is_some_and(|ty| ty.func().is_some()));
    time
}
