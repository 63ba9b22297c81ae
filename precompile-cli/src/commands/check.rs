//! Would everything hit?

use super::modules::{self, Job};
use super::{FAILED, USAGE, written};
use crate::args::{Check, Format};
use crate::input::Input;
use crate::manifest::Manifest;
use crate::report::{self, Printer};
use crate::rows::{Document, Row};
use crate::units::Digest;
use crate::{input, plan};
use precompile::cache::{Key, Layers, Lookup, MissReason, Mode, Outcome, from_hex, to_hex};
use precompile::{Config, Difference, Engine, Miss, Report, Settings};
use std::collections::HashSet;
use std::path::Path;

pub(crate) fn check(args: &Check) -> u8 {
    let mut printer = Printer::new(&args.output);
    if let Some(manifest) = &args.manifest {
        return against(args, manifest, &mut printer);
    }
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
    let path = args.cache_dir.as_deref();
    let document = if args.name.is_empty() && args.digest.is_empty() {
        let inputs = input::expand(&args.inputs);
        let act = |_: &Input, job: &Job, bytes: &[u8]| job.engine.check(bytes);
        modules::each("check", path, &inputs, &jobs, &mut printer, act)
    } else {
        absent(args, &jobs, &printer)
    };
    document.finish(&printer);
    match args.format {
        Format::Json => written(report::json(&document), document.code()),
        Format::Text => document.code(),
    }
}

/// Looks for modules whose bytes are not here.
fn absent(args: &Check, jobs: &[Job], printer: &Printer) -> Document {
    let digests = args.digest.iter().map(|Digest(digest)| (to_hex(digest), Some(*digest)));
    let names = args.name.iter().map(|name| (name.clone(), None));
    let all: Vec<_> = names.chain(digests).collect();
    let mut document = Document::new("check", args.cache_dir.as_deref(), all.len());
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

/// Holds the cache against a manifest, and the modules that are named as well.
fn against(args: &Check, path: &Path, printer: &mut Printer) -> u8 {
    let trusted = match plan::trusted_keys(&args.trust) {
        Ok(trusted) => trusted,
        Err(usage) => {
            report::error(None, usage);
            return USAGE;
        }
    };
    let manifest = match Manifest::read(path, trusted.as_ref()) {
        Ok(manifest) => manifest,
        Err(problem) => {
            report::error(None, problem);
            return FAILED;
        }
    };
    let layers = match plan::layers(args.cache_dir.as_deref(), &args.trust) {
        Ok(layers) => layers.mode(Mode::ReadOnly).build(),
        Err(usage) => {
            report::error(None, usage);
            return USAGE;
        }
    };
    for problem in layers.problems() {
        printer.warning(problem);
    }
    let inputs = input::expand(&args.inputs);
    let count = manifest.modules.len();
    let mut document = Document::new("check", args.cache_dir.as_deref(), count);
    let mut digests = HashSet::new();
    for module in &manifest.modules {
        let Some(group) = from_hex(&module.digest) else { continue };
        digests.insert(group);
        for entry in &module.entries {
            let Some(id) = from_hex(&entry.id) else { continue };
            let settings = entry.settings();
            let found = find(&layers, Key::new(group, id), &settings);
            let made_for = format!(
                "{} ({})",
                settings.get("target").unwrap_or("?"),
                settings.get("cpu").unwrap_or("?")
            );
            match &found {
                Ok(_) => printer.status("Cached", format!("{} {made_for}", module.name)),
                Err(miss) => {
                    printer.notice("Missing", format!("{} -> {made_for}: {miss}", module.name));
                }
            }
            document.note(Row::listed(&module.name, &Key::new(group, id), &settings, found));
        }
    }
    for input in &inputs {
        let path = input.path.display().to_string();
        match input.read().and_then(|bytes| modules::digest(&bytes)) {
            Ok(digest) if digests.contains(&digest) => {}
            Ok(digest) => {
                printer.notice("Missing", format!("{path} is not in the manifest: warm it anew"));
                document.note(Row::unlisted(&path, &digest));
            }
            Err(problem) => {
                printer.error(&input.path, &problem);
                document.note(Row::unreadable(&path, &problem));
            }
        }
    }
    document.stop();
    document.finish(printer);
    match args.format {
        Format::Json => written(report::json(&document), document.code()),
        Format::Text => document.code(),
    }
}

/// The layer and the path of an entry that apps with this version of the engine find.
fn find(layers: &Layers, key: Key, settings: &Settings) -> Result<Lookup, Miss> {
    let own = Engine::new(&Config::new()).map(|engine| engine.settings());
    let other = own.ok().and_then(|own| identity_difference(&own, settings));
    if let Some(difference) = other {
        return Err(Miss::Differs(difference));
    }
    let lookup = layers.lookup(&key);
    let told = || lookup.miss_error().map(ToString::to_string).unwrap_or_default();
    Err(match &lookup.outcome {
        Outcome::Hit { .. } => return Ok(lookup),
        Outcome::Miss(MissReason::Off) => Miss::Off,
        Outcome::Miss(MissReason::Corrupt) => Miss::Corrupt,
        Outcome::Miss(MissReason::Untrusted) => Miss::Untrusted(told()),
        Outcome::Miss(MissReason::Io) => Miss::Io(told()),
        Outcome::Miss(_) => {
            let siblings = layers.siblings(key.group());
            let all = siblings.iter().map(|(_, sibling)| {
                Settings::from_description(&sibling.description).differences(settings)
            });
            let firsts = all.filter_map(|all| all.into_iter().next());
            let place = |first: &Difference| settings.iter().position(|(n, _)| n == first.field);
            firsts.max_by_key(place).map_or(Miss::Absent, Miss::Differs)
        }
    })
}

/// The first field in which an entry is of another engine than this one.
fn identity_difference(own: &Settings, entry: &Settings) -> Option<Difference> {
    let differences = entry.differences(own);
    differences.into_iter().next().filter(|_| !entry.is_of_this_engine())
}
