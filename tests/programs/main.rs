//! Real programs of real compilers print what wasmtime printed, from entries that were made ahead
//! of time: nothing is compiled when they run.
//!
//! Those of `fixtures/programs` always; those that `tests/fetch/fetch.sh` fetches where it put
//! them (`PRECOMPILE_FETCHED`, else `.fetched`). With `PRECOMPILE_FETCHED` set they must be there.

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
