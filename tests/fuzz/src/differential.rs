//! Modules of wasm-smith on our engine and on wasmi: what they return, how they trap, whom they
//! call, and what is in memories, globals and tables afterwards.

use crate::modules::{Audience, Made, module};
use crate::observe::{End, Step, Trap};
use crate::{Result, Verdict, interpreter, ours};
use arbitrary::Unstructured;
use precompile::{Bounds, Engine, OptLevel};
use std::sync::OnceLock;

/// How long the interpreter may run, and we.
const FUEL: u64 = 200_000;

/// Our engines, with fuel and without, which every other input gets in turn.
fn engine(fuel: bool, guard: bool) -> &'static Engine {
    static ENGINES: [OnceLock<Engine>; 4] = [const { OnceLock::new() }; 4];
    ENGINES[usize::from(fuel) * 2 + usize::from(guard)].get_or_init(|| {
        ours::engine(|config| {
            config.consume_fuel(fuel).cranelift_opt_level(OptLevel::Speed);
            config.bounds(if guard { Bounds::Guard } else { Bounds::Explicit });
        })
    })
}

/// Makes a module of `data` and runs it on both.
///
/// # Errors
/// What differs.
pub fn run(data: &[u8]) -> Result {
    let mut u = Unstructured::new(data);
    let (Ok(seed), Ok(guard)) = (u.arbitrary(), u.ratio(2, 3)) else {
        return Ok(Verdict::Skipped("few bytes"));
    };
    let Ok(made) = module(&mut u, Audience::Both) else { return Ok(Verdict::Skipped("few bytes")) };
    // Modules that end by themselves still call each other, so the interpreter has a limit.
    let fuel = (!made.ends).then_some(FUEL);
    compare(&made, seed, fuel, engine(fuel.is_some(), guard))
}

fn compare(made: &Made, seed: u64, fuel: Option<u64>, engine: &Engine) -> Result {
    let wasm = &made.wasm;
    let theirs = match interpreter::observe(wasm, seed, fuel) {
        Ok(seen) => seen,
        Err(error) => {
            // It has narrower limits than we; what it does not understand is our doing.
            let text = error.to_string();
            let limit = ["limit", "too many", "exceed"].iter().any(|word| text.contains(word));
            return if limit { Ok(Verdict::Skipped("wasmi's limits")) } else { Err(text) };
        }
    };
    let ours = ours::observe(engine, wasm, seed, fuel)
        .map_err(|error| format!("wasmi takes it, and we do not: {error:#}"))?;
    // Where operators are guarded, the divisor is `select` of 1 and a value, by whether that is 0.
    // wasmi 2.0.0 sometimes divides by the 0 nevertheless. We never may.
    let divides =
        |steps: &[Step]| steps.iter().any(|step| step.end == End::Trapped(Trap::DivisionByZero));
    if made.guarded {
        if divides(&ours.steps) {
            return Err("we divide by zero where the module sees to it that nobody does".into());
        }
        if divides(&theirs.steps) {
            return Ok(Verdict::Skipped("wasmi divides by zero"));
        }
    }
    ours.agree(&theirs).map_err(|what| format!("ours and wasmi's: {what}"))?;
    let exhausted = |end: &End| matches!(end, End::Exhausted(_));
    match ours.steps.iter().chain(&theirs.steps).any(|step| exhausted(&step.end)) {
        true => Ok(Verdict::Skipped("a limit")),
        false => Ok(Verdict::Agreed),
    }
}
