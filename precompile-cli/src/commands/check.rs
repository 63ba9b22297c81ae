//! Would everything hit?

use super::modules::{self, Job};
use super::{USAGE, written};
use crate::args::{Check, Format};
use crate::report::{self, Printer};
use crate::{input, plan};
use precompile::cache::Mode;

pub(crate) fn check(args: &Check) -> u8 {
    let mut printer = Printer::new(&args.output);
    let jobs = plan::variants(&args.code).and_then(|variants| {
        let jobs = variants.into_iter().map(|variant| {
            // The layers that an app or `run` would ask, read-only ones included.
            let layers = plan::layers(args.cache_dir.as_deref(), &args.trust)?;
            let engine = variant.engine(layers.mode(Mode::ReadOnly), 1)?;
            Ok(Job { variant, engine })
        });
        jobs.collect::<Result<Vec<_>, _>>()
    });
    let jobs = match jobs {
        Ok(jobs) => jobs,
        Err(usage) => {
            report::error(None, usage);
            return USAGE;
        }
    };
    if let Some(job) = jobs.first() {
        for problem in job.engine.cache_problems() {
            printer.warning(problem);
        }
    }
    let inputs = input::expand(&args.inputs);
    let path = args.cache_dir.as_deref();
    let document = modules::each("check", path, &inputs, &jobs, &mut printer, |job, bytes| {
        job.engine.check(bytes)
    });
    document.finish(&printer);
    match args.format {
        Format::Json => written(report::json(&document), document.code()),
        Format::Text => document.code(),
    }
}
