//! The product itself: an app in a crate of its own, outside of the workspace, built the way that
//! users build (no profile of ours, no feature of ours), finds what the command line has compiled.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tests::app::{LOAD_ONLY, WITH_COMPILER, build_app};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").into()
}

/// The app's program.
fn build(name: &str, features: &str) -> PathBuf {
    build_app(name, features, &["tests/embed/app/main.rs"])
}

fn app(program: &Path, cache: &Path, settings: &[&str]) -> Output {
    let module = root().join("fixtures/programs/lib-wat/lib-wat.wasm");
    Command::new(program).arg(cache).arg(module).args(settings).output().expect("the app runs")
}

fn warm(cache: &Path, options: &[&str]) {
    let module = root().join("fixtures/programs/lib-wat/lib-wat.wasm");
    let output = Command::new(tests::precompile_binary())
        .arg("--cache-dir")
        .arg(cache)
        .args(options)
        .arg(module)
        .output()
        .expect("the command line runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn expect(output: &Output, line: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{line}\n"), "{told}");
    assert!(output.status.success(), "{told}");
}

fn expect_miss(output: &Output) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "it found an entry for other settings");
    assert!(told.contains("opt-level is speed, this engine needs none"), "{told}");
}

fn finds_what_the_command_line_made(program: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    warm(&cache, &[]);
    expect(&app(program, &cache, &[]), "sum 42 hits 1 compiles 0");
    // Another setting, another entry: it misses, says which field differs, and hits once the
    // command line was told.
    expect_miss(&app(program, &cache, &["opt-level-none", "require-hit"]));
    warm(&cache, &["--opt-level", "none"]);
    expect(&app(program, &cache, &["opt-level-none", "require-hit"]), "sum 42 hits 1 compiles 0");
    expect(&app(program, &cache, &["require-hit"]), "sum 42 hits 1 compiles 0");
}

/// By the name that the command line gave it: from a directory with entries and names, and nothing
/// else; and, under the policy `signed`, with the signature of a trusted key only.
fn finds_modules_by_name(program: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let app = |name: &str, settings: &[&str]| {
        Command::new(program).arg(&cache).arg(name).args(settings).output().expect("the app runs")
    };
    let refused = |output: Output, text: &str| {
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(text), "{told}");
    };
    refused(app("name:lib-wat.wasm", &[]), "no list of names has it");
    warm(&cache, &["--names"]);
    let hit = "sum 42 hits 1 compiles 0";
    expect(&app("name:lib-wat.wasm", &["require-hit"]), hit);
    refused(app("name:lib", &[]), "no list of names has it");
    refused(app("name:lib-wat.wasm", &["opt-level-none"]), "opt-level is speed");
    let keygen = Command::new(tests::precompile_binary())
        .args(["keygen", "release", "--dir"])
        .arg(dir.path())
        .output()
        .expect("the command line runs");
    assert!(keygen.status.success());
    let trusted = format!("trusted-key={}", dir.path().join("release-1.pub").display());
    refused(app("name:lib-wat.wasm", &[&trusted]), "it is not signed");
    warm(&cache, &["--names", "--sign-key", dir.path().join("release-1.key").to_str().unwrap()]);
    expect(&app("name:lib-wat.wasm", &[&trusted]), hit);
    let names = cache.join("names");
    let list = std::fs::read_to_string(&names).unwrap();
    std::fs::write(&names, list.replace("  lib", "  bil")).unwrap();
    refused(app("name:bil-wat.wasm", &[&trusted]), "does not hold");
}

#[test]
fn a_load_only_app_finds_what_the_command_line_made() {
    let program = build("load-only", LOAD_ONLY);
    finds_what_the_command_line_made(&program);
    finds_modules_by_name(&program);
    // Without an entry it says what to do.
    let empty = tempfile::tempdir().unwrap();
    let output = app(&program, &empty.path().join("cache"), &[]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("no entry of this module"), "{told}");
    // Whatever the module's length, in little memory: the file is hashed and not read into it.
    let long = empty.path().join("long.wasm");
    std::fs::write(&long, tests::long_module(30 << 20)).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -d 16384 && exec \"$0\" \"$@\""]).arg(&program);
    let output = shell.arg(empty.path().join("cache")).arg(&long).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("no entry of this module"), "{told}");
}

#[test]
fn an_app_with_the_compiler_finds_what_the_command_line_made() {
    let program = build("with-compiler", WITH_COMPILER);
    finds_what_the_command_line_made(&program);
    finds_modules_by_name(&program);
    // Without an entry it compiles, and finds its own entry the next time.
    let empty = tempfile::tempdir().unwrap();
    let cache = empty.path().join("cache");
    expect(&app(&program, &cache, &[]), "sum 42 hits 0 compiles 1");
    expect(&app(&program, &cache, &[]), "sum 42 hits 1 compiles 0");
}
