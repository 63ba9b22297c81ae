//! `precompile`: compile WebAssembly ahead of time, keep it in a cache, and run it from there.
//!
//! | file | what is there |
//! | --- | --- |
//! | `args` | what can be written on the command line |
//! | `plan` | what it means: settings, and which cache |
//! | `input` | which files are meant, and what is in them |
//! | `commands` | one file a command |
//! | `epoch` | the time that files of a build have
//! | `manifest` | the list of what was warmed |
//! | `platform` | platforms as container people write them |
//! | `units` | sizes and times as people write them |
//! | `report`, `rows` | what people are told, and what tools are |
//!
//! Standard output is data only; all else goes to standard error.

#![forbid(unsafe_code)]

mod args;
mod commands;
mod epoch;
mod input;
mod manifest;
mod plan;
mod platform;
mod report;
mod rows;
mod units;

use args::{Cli, Command};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to standard output, where nobody may be reading any more.
            _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(commands::USAGE));
        }
    };
    ExitCode::from(match &cli.command {
        None => commands::warm::warm(&cli.warm),
        Some(Command::Run(args)) => return commands::run::run(args),
        Some(Command::Check(args)) => commands::check::check(args),
        Some(Command::Explain(args)) => commands::explain::explain(args),
        Some(Command::Inspect(args)) => commands::inspect::inspect(args),
        Some(Command::Keygen(args)) => commands::keys::keygen(args),
        Some(Command::Sign(args)) => commands::keys::sign(args),
        Some(Command::Cache(args)) => commands::cache::cache(args),
        Some(Command::Settings(args)) => commands::settings::settings(args),
        Some(Command::Wast(args)) => commands::wast::wast(args),
        Some(Command::Completions(args)) => commands::shell::completions(args),
        Some(Command::Man(args)) => commands::shell::man(args),
    })
}
