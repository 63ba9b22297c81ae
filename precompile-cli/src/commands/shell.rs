//! What belongs around a command: completions and manual pages.

use super::{FAILED, FINE, written};
use crate::args::{Cli, Completions, Man};
use crate::report;
use clap::CommandFactory;

pub(crate) fn completions(args: &Completions) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "precompile", &mut script);
    written(report::data(&String::from_utf8_lossy(&script)), FINE)
}

pub(crate) fn man(args: &Man) -> u8 {
    let made = std::fs::create_dir_all(&args.dir)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), &args.dir));
    match made {
        Ok(()) => FINE,
        Err(error) => {
            let message = format!("cannot write the pages: {error}; name another folder");
            report::error(Some(&args.dir), message);
            FAILED
        }
    }
}
