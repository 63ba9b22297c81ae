//! Would everything hit? Of modules, of what was recorded, and, in `listed`, of a manifest.

mod listed;

use super::modules::{self, Job};
use super::{FAILED, USAGE, written};
use crate::args::{Check, Format};
use crate::input::Input;
use crate::plan::{Usage, Variant};
use crate::record::Record;
use crate::report::{self, Printer};
use crate::rows::{Document, Row};
use crate::units::Digest;
use crate::{input, plan};
use precompile::cache::{Mode, to_hex};
use precompile::{Miss, Report};
use std::path::PathBuf;

pub(crate) fn check(args: &Check) -> u8 {
    let asked = &args.question;
    let mut printer = Printer::new(&asked.document.output);
    if let Some(manifest) = &args.manifest {
        return listed::check(args, manifest, &mut printer);
    }
    let record = args.from.as_deref().map(|path| Record::read(path, &asked.code)).transpose();
    let record = match record {
        Ok(record) => record,
        Err(problem) => {
            report::error(None, problem);
            return FAILED;
        }
    };
    let jobs = match jobs(args, record.as_ref()) {
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
    let path = asked.layers.dir.cache_dir.as_deref();
    let document = if let Some(record) = &record {
        recorded(args, record, &jobs, &printer)
    } else if args.name.is_empty() && args.digest.is_empty() {
        let inputs = modules::everything(input::expand(&args.inputs), &jobs);
        let act = |_: &Input, job: &Job, bytes: &[u8]| job.engine.check(bytes);
        modules::each("check", path, &inputs, &jobs, &mut printer, act)
    } else {
        absent(args, &jobs, &printer)
    };
    // Other reasons are the same for both.
    let is_of_level = document.misses_for(&["cpu", "bounds"]);
    if is_of_level && !args.host && record.is_none() && !plan::is_named(&asked.code) {
        // Or else people take it for what `run` would do.
        let made = jobs.first().map(|job| job.made_for(None)).unwrap_or_default();
        let message =
            format!("for what `precompile FILE` makes, {made}; --host asks what `run` takes here");
        printer.notice("Asked", message);
    }
    document.finish(&printer);
    match args.question.document.format {
        Format::Json => written(report::json(&document), document.code()),
        Format::Text => document.code(),
    }
}

/// The engines that are asked about, with the layers that an app or `run` would ask, read-only ones
/// included.
fn jobs(args: &Check, record: Option<&Record>) -> Result<Vec<Job>, Usage> {
    let asked = &args.question;
    let variants = match record {
        Some(record) => record.variants.clone(),
        None if args.host => vec![Variant::of_host(&asked.code)?],
        None => plan::variants(&asked.code)?,
    };
    let jobs = variants.into_iter().map(|variant| {
        let layers = plan::layers(&asked.layers, &asked.trust)?;
        let engine = variant.engine(layers.mode(Mode::ReadOnly), 1)?;
        Ok(Job { variant, engine })
    });
    jobs.collect()
}

/// Looks for what runs have asked for, by digest. A file that has another module by now is told.
fn recorded(args: &Check, record: &Record, jobs: &[Job], printer: &Printer) -> Document {
    let cache = args.question.layers.dir.cache_dir.as_deref();
    let mut document = Document::new("check", cache, record.len());
    for (digest, paths, variants) in record.modules() {
        let shown = match paths.first() {
            Some(path) => path.clone(),
            None => PathBuf::from(format!("module {}", to_hex(digest))),
        };
        for job in variants.iter().filter_map(|number| jobs.get(*number)) {
            let done = Ok(job.engine.check_digest(*digest));
            document.note(Row::new(&shown.display().to_string(), job, &done));
            modules::tell("check", printer, &Input::file(&shown), job, &done);
        }
        for path in paths {
            let now = Input::file(path).read().and_then(|bytes| modules::digest(&bytes));
            if now.is_ok_and(|now| now != *digest) {
                printer.warning(format_args!(
                    "{} has another module than when it was recorded: record anew",
                    report::shown(path)
                ));
            }
        }
    }
    document.stop();
    document
}

/// Looks for modules whose bytes are not here.
fn absent(args: &Check, jobs: &[Job], printer: &Printer) -> Document {
    let digests = args.digest.iter().map(|Digest(digest)| (to_hex(digest), Some(*digest)));
    let names = args.name.iter().map(|name| (name.clone(), None));
    let all: Vec<_> = names.chain(digests).collect();
    let mut document =
        Document::new("check", args.question.layers.dir.cache_dir.as_deref(), all.len());
    for (shown, digest) in &all {
        for job in jobs {
            let done = match digest.map_or_else(|| job.engine.resolve(shown), Ok) {
                Ok(digest) => Ok(job.engine.check_digest(digest)),
                Err(error) => match error.downcast_ref::<Miss>().cloned() {
                    Some(miss) => {
                        let outcome = precompile::Outcome::Missed { miss };
                        Ok(Report { outcome, ..Report::default() })
                    }
                    None => Err(error),
                },
            };
            document.note(Row::new(shown, job, &done));
            modules::tell("check", printer, &Input::file(shown), job, &done);
        }
    }
    document.stop();
    document
}
