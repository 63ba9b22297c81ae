//! Modules of wasm-smith on our engine with different settings, all of which must give the same:
//! results, traps, calls of the host, memories, globals, tables, and the fuel that is left.

use crate::modules::{Audience, module};
use crate::{Result, Verdict, ours};
use arbitrary::Unstructured;
use precompile::{Bounds, CpuLevel, Engine, OptLevel};
use std::sync::OnceLock;

const FUEL: u64 = 100_000;

/// The engines, each with its settings in words. The first is what the others are compared with.
fn engines() -> &'static [(String, Engine)] {
    static ENGINES: OnceLock<Vec<(String, Engine)>> = OnceLock::new();
    ENGINES.get_or_init(|| {
        let [best, least] = ours::ends();
        let settings = [
            (OptLevel::Speed, Bounds::Guard, best),
            (OptLevel::None, Bounds::Guard, best),
            (OptLevel::Speed, Bounds::Explicit, least),
            (OptLevel::None, Bounds::Explicit, least),
        ];
        let engine = |(opt, bounds, cpu): (OptLevel, Bounds, CpuLevel)| {
            let engine = ours::engine(|config| {
                config.cranelift_opt_level(opt).bounds(bounds).consume_fuel(true);
                config.cranelift_nan_canonicalization(true).cpu(cpu);
            });
            (format!("{opt:?}, {bounds:?}, {}", engine.cpu()), engine)
        };
        settings.into_iter().map(engine).collect()
    })
}

/// Makes a module of `data` and runs it with all settings.
///
/// # Errors
/// What differs, and between which.
pub fn run(data: &[u8]) -> Result {
    let mut u = Unstructured::new(data);
    let Ok(seed) = u.arbitrary() else { return Ok(Verdict::Skipped("few bytes")) };
    let Ok(made) = module(&mut u, Audience::Ours) else { return Ok(Verdict::Skipped("few bytes")) };
    compare(&made.wasm, seed)
}

pub(crate) fn compare(wasm: &[u8], seed: u64) -> Result {
    let [(first, engine), others @ ..] = engines() else { unreachable!("there are four") };
    let expected = match ours::observe(engine, wasm, seed, Some(FUEL)) {
        Ok(seen) => seen,
        Err(error) => return Err(format!("does not compile: {error:#}")),
    };
    let mut all = true;
    for (name, engine) in others {
        let seen = ours::observe(engine, wasm, seed, Some(FUEL))
            .map_err(|error| format!("does not compile with {name}: {error:#}"))?;
        let steps = expected
            .agree(&seen)
            .map_err(|what| format!("with {first} and with {name}: {what}"))?;
        all &= steps == expected.steps.len();
    }
    Ok(if all { Verdict::Agreed } else { Verdict::Skipped("a limit") })
}
