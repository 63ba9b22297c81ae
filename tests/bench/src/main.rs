//! Benchmarks against wasmtime on the same Cranelift, both built by this workspace's profile.
//!
//! `cargo run --profile fair -p bench -- load` prints, for generated modules of 1 k, 10 k and
//! 100 k functions, how long each engine takes from a file's path to a callable export
//! (`deserialize_file_unchecked`, and a lookup), and how our times differ. Best of many, in one
//! process, the engines in turns; the numbers to compare are the ratios.
//!
//! `… -- meter` prints what fuel and epochs cost programs that do little else than what is
//! metered. Compiled code does not depend on the profile, so any will do.
//!
//! `… -- roots` passes ten million values of the host to wasm and back in each engine, and fails
//! unless resident memory stays as it is with ours and every value was dropped.
//!
//! `… -- throw` throws millions of exceptions through few and many frames in each engine, and fails
//! unless resident memory stays as it is with ours.

mod generate;
mod load;
mod meter;
mod roots;
mod throw;

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("load") => load::run(),
        Some("meter") => meter::run(),
        Some("roots") => roots::run(),
        Some("throw") => throw::run(),
        _ => {
            eprintln!("usage: bench load|meter|roots|throw");
            ExitCode::from(2)
        }
    }
}
