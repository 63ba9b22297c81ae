//! Bytes that may be a module: never a panic, errors of the right kind, and the same artifact for
//! any number of threads.

use crate::modules::{Audience, module};
use crate::{Result, Verdict, ours};
use arbitrary::Unstructured;
use precompile::{Engine, ErrorKind, Features};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Longer than any module of a few kilobytes may take, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// One thread and two, for few proposals and for all.
fn engines(all: bool) -> &'static [Engine; 2] {
    static ENGINES: [OnceLock<[Engine; 2]>; 2] = [OnceLock::new(), OnceLock::new()];
    ENGINES[usize::from(all)].get_or_init(|| {
        [1, 2].map(|jobs| {
            let features = if all { Features::SUPPORTED } else { Features::WASM2 };
            ours::engine(|config| {
                config.features(features).compile_jobs(jobs).consume_fuel(!all);
            })
        })
    })
}

/// Compiles what `data` becomes.
///
/// # Errors
/// An error of a kind that a module cannot cause, two artifacts that differ, or what takes too
/// long.
pub fn run(data: &[u8]) -> Result {
    let mut u = Unstructured::new(data);
    let few = Ok(Verdict::Skipped("few bytes"));
    let (Ok(kind), Ok(all)) = (u.int_in_range(0..=7), u.ratio(7, 8)) else { return few };
    let (bytes, valid) = match kind {
        0 => (u.take_rest().to_vec(), false),
        1 => ([b"\0asm\x01\0\0\0", u.take_rest()].concat(), false),
        _ => {
            let damage: Option<Vec<(u16, u8)>> = match kind {
                2 | 3 => (0..4).map(|_| u.arbitrary().ok()).collect(),
                _ => Some(Vec::new()),
            };
            let (Some(damage), Ok(made)) = (damage, module(&mut u, Audience::Compiler)) else {
                return few;
            };
            let mut wasm = made.wasm;
            let len = wasm.len();
            for (at, byte) in &damage {
                // More often near the start, where sections are.
                let at = usize::from(*at) % if at % 2 == 0 { len } else { len.min(256) };
                wasm[at] = *byte;
            }
            (wasm, false)
        }
    };
    let start = Instant::now();
    let [one, two] = engines(all);
    let first = one.precompile_module(&bytes);
    let second = two.precompile_module(&bytes);
    if start.elapsed() > PATIENCE {
        return Err(format!("{} bytes took {:?}", bytes.len(), start.elapsed()));
    }
    match (first, second) {
        (Ok(first), Ok(second)) if first == second => Ok(Verdict::Agreed),
        (Ok(_), Ok(_)) => Err("one thread and two make different artifacts".into()),
        (Err(first), Err(second)) => {
            let refused = matches!(
                first.kind(),
                ErrorKind::Invalid | ErrorKind::Unsupported | ErrorKind::Limit
            );
            if !refused || valid {
                return Err(format!("{:?}: {first:#}", first.kind()));
            }
            if first.kind() != second.kind() || format!("{first:#}") != format!("{second:#}") {
                return Err(format!("one thread says {first:#}, two say {second:#}"));
            }
            Ok(Verdict::Agreed)
        }
        (Ok(_), Err(error)) => Err(format!("only two threads find {error:#}")),
        (Err(error), Ok(_)) => Err(format!("only one thread finds {error:#}")),
    }
}
