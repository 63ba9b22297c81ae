//! Fuzzing: what makes inputs, and what says whether the engine did right.
//!
//! A [`Target`] takes bytes, makes of them a module, an artifact or a damage, and holds the engine
//! to an oracle. The same functions run in two ways: with fixed seeds as a part of `cargo test`
//! (`tests/oracles.rs`), and for hours under libFuzzer (`targets/`, started by `run.sh`).
//!
//! | target | the bytes become | the oracle |
//! | --- | --- | --- |
//! | [`differential`] | a module of wasm-smith | wasmi, an interpreter of other people |
//! | [`optlevels`] | a module of wasm-smith | our own engine with other settings |
//! | [`addresses`] | loads and stores at odd addresses | arithmetic with 128 bits |
//! | [`constants`] | operators on constants | the same operators on parameters, and wasmi |
//! | [`artifact`] | an artifact, damaged | it is refused, or looked at without harm |
//! | [`compile`] | bytes, or a module with damage | no panic; the same bytes for any number of threads |
//!
//! What they look for is told by classes in `tests/classes/main.rs`.

pub mod addresses;
pub mod artifact;
mod build;
pub mod compile;
pub mod constants;
pub mod differential;
pub mod edges;
mod interpreter;
mod loads;
pub mod modules;
mod observe;
mod operators;
pub mod optlevels;
mod ours;
mod random;
mod unsafe_door;

pub use arbitrary::Unstructured;
pub use random::bytes;

/// What became of an input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The oracle was asked, and agreed.
    Agreed,
    /// Nothing could be said: why not.
    Skipped(&'static str),
}

/// A verdict, or what the engine did wrong.
pub type Result = std::result::Result<Verdict, String>;

/// A way of trying the engine.
pub struct Target {
    /// Its name, in commands and folders.
    pub name: &'static str,
    /// What is done with an input.
    pub run: fn(&[u8]) -> Result,
    /// How many bytes an input has at most.
    pub max_len: usize,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "differential", run: differential::run, max_len: 4096 },
    Target { name: "optlevels", run: optlevels::run, max_len: 4096 },
    Target { name: "addresses", run: addresses::run, max_len: 256 },
    Target { name: "constants", run: constants::run, max_len: 512 },
    Target { name: "artifact", run: artifact::run, max_len: 512 },
    Target { name: "compile", run: compile::run, max_len: 4096 },
];

/// Runs the target `name` on `data`, and panics with what it found.
///
/// # Panics
/// On a finding, and if there is no such target.
pub fn check(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("it is in the list");
    if let Err(finding) = (target.run)(data) {
        panic!("{name}: {finding}");
    }
}
