//! Real programs of real compilers print what wasmtime printed, from entries that were made ahead
//! of time: nothing is compiled when they run.
//!
//! Those of `fixtures/programs` always; those that `tests/fetch/fetch.sh` fetches where it put
//! them (`PRECOMPILE_FETCHED`, else `.fetched`). With `PRECOMPILE_FETCHED` set they must be there,
//! but for those that only `--large` fetches.

mod threads;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::cases::Case;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// Warms a new cache with the modules of `cases`, then runs each with a hit required.
fn run_from_the_cache(cases: &[Case]) {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache").display().to_string();
    let modules: BTreeSet<_> = cases.iter().map(|case| &case.module).collect();
    let binary = tests::precompile_binary();
    let output = Command::new(binary)
        .args(["--cache-dir", &cache])
        .args(&modules)
        .output()
        .expect("the command line runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut wrong = Vec::new();
    for case in cases {
        match case.run(binary, &["--require-hit", "-v", "--cache-dir", &cache]) {
            Ok(told) if told.contains("compiles: 0") => {}
            Ok(told) => wrong.push(format!("{}: compiled\n{told}", case.folder.display())),
            Err(difference) => wrong.push(difference.0),
        }
    }
    println!("{} modules, {} cases", modules.len(), cases.len());
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn programs_of_our_own() {
    let cases = Case::of_fixtures(root());
    assert!(cases.len() >= 50, "only {} cases were found", cases.len());
    run_from_the_cache(&cases);
}

#[test]
fn programs_that_were_fetched() {
    let named = std::env::var_os("PRECOMPILE_FETCHED").map(PathBuf::from);
    let must = named.is_some();
    let cases = Case::of_fetched(root(), &named.unwrap_or(root().join(".fetched")));
    for program in ["quickjs", "boolector", "flite", "go"] {
        let there = cases.iter().any(|case| case.module.ends_with(format!("{program}.wasm")));
        assert!(there || !must, "{program} was not fetched");
        if !there {
            println!("{program} is not here: tests/fetch/fetch.sh fetches it");
        }
    }
    if !cases.is_empty() {
        run_from_the_cache(&cases);
    }
}

/// Where a hit is required and there is none, that is said without reading the module into memory:
/// 16 MiB are enough, whatever its size. How long it takes is printed, beside what hashing it takes.
#[test]
fn a_hit_that_is_required_and_not_there() {
    use sha2::{Digest, Sha256};
    use std::time::Instant;
    let named = std::env::var_os("PRECOMPILE_FETCHED").map(PathBuf::from);
    let folder = named.unwrap_or(root().join(".fetched"));
    for program in ["quickjs", "go", "flite", "python", "ruby"] {
        let module = folder.join(format!("{program}.wasm"));
        let Ok(bytes) = std::fs::read(&module) else {
            println!("{program} is not here: tests/fetch/fetch.sh --large fetches it");
            continue;
        };
        let start = Instant::now();
        assert_ne!(Sha256::digest(&bytes)[..], [0; 32]);
        let hash = start.elapsed();
        let world = tempfile::tempdir().unwrap();
        // The kernel's own count of private memory that can be written.
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -d 16384 && exec \"$0\" \"$@\""]);
        shell.arg(tests::precompile_binary()).args(["run", "--require-hit"]);
        shell.arg(&module).env_clear().env("PRECOMPILE_CACHE_DIR", world.path().join("cache"));
        let start = Instant::now();
        let output = shell.output().unwrap();
        let took = start.elapsed();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(124), "{told}");
        assert!(told.contains("no entry of this module"), "{told}");
        let mib = bytes.len() >> 20;
        println!("{program}, {mib} MiB: {took:.1?} for all, {hash:.1?} for the hash alone");
    }
}
