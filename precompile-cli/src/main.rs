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
//! | `record` | the list of what runs have asked for |
//! | `trusted` | what `--trust-dir` promises |
//! | `platform` | platforms as container people write them |
//! | `units` | times as people write them |
//! | `report`, `rows` | what people are told, and what tools are |
//!
//! Standard output is data only; all else goes to standard error.

#![deny(unsafe_code)]

mod args;
mod commands;
mod epoch;
mod input;
mod manifest;
mod plan;
mod platform;
mod record;
mod report;
mod rows;
mod trusted;
mod units;

use args::{Cli, Command};
use clap::Parser;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = u8::try_from(error.exit_code()).unwrap_or(commands::USAGE);
            // Its options are none of warming, which is what it was taken for.
            let first = std::env::args_os().nth(1).filter(|_| code == commands::USAGE);
            if let Some(message) = first.and_then(|first| input::mistyped(Path::new(&first))) {
                report::error(None, message);
                return ExitCode::from(code);
            }
            let printed = error.print().and_then(|()| std::io::stdout().flush());
            return ExitCode::from(match printed {
                // Help goes to standard output, where nobody may be reading any more.
                Err(error) if error.kind() != ErrorKind::BrokenPipe && code == commands::FINE => {
                    commands::written(Err(error), code)
                }
                _ => code,
            });
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
