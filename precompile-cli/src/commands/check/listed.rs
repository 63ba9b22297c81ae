//! The cache, and modules, against a manifest.

use super::super::{FAILED, USAGE, modules, written};
use crate::args::{Check, Format, Question};
use crate::manifest::Manifest;
use crate::report::{self, Printer};
use crate::rows::{Document, MissRow, Row};
use crate::{input, plan};
use precompile::cache::{
    EntryInfo, Key, Layers, Lookup, MissReason, Mode, Outcome, from_hex, to_hex,
};
use precompile::{Config, Difference, Engine, Miss, Module, Settings};
use std::collections::HashSet;
use std::path::Path;

/// Holds the cache against a manifest, and the modules that are named as well.
pub(super) fn check(args: &Check, path: &Path, printer: &mut Printer) -> u8 {
    let trusted = match plan::trusted_keys(&args.question.trust) {
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
    let Question { layers: dirs, trust, .. } = &args.question;
    let layers = match plan::layers(dirs, trust) {
        Ok(layers) => layers.mode(Mode::ReadOnly).build(),
        Err(usage) => {
            report::error(None, usage);
            return USAGE;
        }
    };
    for problem in layers.problems() {
        printer.warning(problem);
    }
    if manifest.modules.iter().all(|module| module.entries.is_empty()) {
        report::error(Some(path), "the manifest names no modules: write it by warming some");
        return FAILED;
    }
    let inputs = input::expand(&args.inputs);
    let count = manifest.modules.len();
    let mut document = Document::new("check", dirs.dir.cache_dir.as_deref(), count);
    let mut digests = HashSet::new();
    for module in &manifest.modules {
        let Some(group) = from_hex(&module.digest) else { continue };
        digests.insert(group);
        for entry in &module.entries {
            let Some(id) = from_hex(&entry.id) else { continue };
            let settings = entry.settings();
            let found = find(&layers, Key::new(group, id), &settings);
            let listed = entry.artifact_sha256.as_deref();
            let found = found.and_then(|lookup| hold(lookup, listed));
            let made_for = format!(
                "{} ({})",
                settings.get("target").unwrap_or("?"),
                settings.get("cpu").unwrap_or("?")
            );
            let name = report::shown(Path::new(&module.name));
            match &found {
                Ok(_) => {
                    printer.status("Cached", format!("{name} {made_for}"));
                    if listed.is_none() {
                        printer.warning(format_args!(
                            "{name} {made_for}: its bytes are not compared, since the manifest has \
                             no artifact_sha256 of it: write it anew"
                        ));
                    }
                }
                Err(miss) => {
                    let message = &miss.message;
                    printer.notice("Missing", format!("{name} -> {made_for}: {message}"));
                }
            }
            document.note(Row::listed(&module.name, &Key::new(group, id), &settings, found));
        }
    }
    for input in &inputs {
        let path = input.path.display().to_string();
        match input.read().map(|bytes| identify(&bytes, &digests)) {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(digest))) => {
                let shown = report::shown(&input.path);
                printer.notice("Missing", format!("{shown} is not in the manifest: warm it anew"));
                document.note(Row::unlisted(&path, &digest));
            }
            Ok(Err(error)) => {
                modules::tell_error(printer, &input.path, &error);
                document.note(Row::invalid(&path, &error));
            }
            Err(problem) => {
                printer.error(&input.path, &problem);
                document.note(Row::unreadable(&path, &problem));
            }
        }
    }
    document.stop();
    document.finish(printer);
    match args.question.document.format {
        Format::Json => written(report::json(&document), document.code()),
        Format::Text => document.code(),
    }
}

/// The digest of a module that is not among those that are `listed`.
fn identify(bytes: &[u8], listed: &HashSet<[u8; 32]>) -> precompile::Result<Option<[u8; 32]>> {
    let engine = Engine::new(&Config::new())?;
    let digest = engine.check(bytes)?.digest.filter(|digest| !listed.contains(digest));
    if digest.is_some() {
        // Nobody has compiled it, so nobody has looked at it yet.
        Module::validate(&engine, bytes)?;
    }
    Ok(digest)
}

/// What was found, if its content, which is what an app would get, is the one that was listed.
fn hold(lookup: Lookup, listed: Option<&str>) -> Result<Lookup, Box<MissRow>> {
    let (Some(listed), Outcome::Hit { content, .. }) = (listed, &lookup.outcome) else {
        return Ok(lookup);
    };
    let path = content.origin().unwrap_or(Path::new("an entry"));
    let found = content.sha256().map_err(|error| {
        let problem = format!("{}: {}", report::shown(path), input::explain(&error));
        Box::new(MissRow::from(Miss::Io(problem)))
    })?;
    if to_hex(&found) == listed {
        return Ok(lookup);
    }
    // Of a file its trailer still says what was added.
    let entry = content.as_file().and_then(|file| EntryInfo::read(file, path).ok());
    Err(Box::new(match entry {
        Some(entry) if !entry.is_intact => MissRow::damaged(path),
        _ => MissRow::of_bytes(listed, to_hex(&found)),
    }))
}

/// The layer and the path of an entry that apps with this version of the engine find.
fn find(layers: &Layers, key: Key, settings: &Settings) -> Result<Lookup, Box<MissRow>> {
    let own = Engine::new(&Config::new()).map(|engine| engine.settings());
    if let Ok(own) = own
        && !settings.is_of_this_engine()
    {
        // In what follows from being of another engine, and not in what was asked for.
        let all = settings.differences(&own).into_iter();
        let is_identity = |one: &Difference| Settings::is_identity(&one.field);
        return Err(MissRow::from(Miss::differs(all.filter(is_identity))).into());
    }
    let lookup = layers.lookup(&key);
    let told = || lookup.miss_error().map(ToString::to_string).unwrap_or_default();
    Err(Box::new(MissRow::from(match &lookup.outcome {
        Outcome::Hit { .. } => return Ok(lookup),
        Outcome::Miss(MissReason::Off) => Miss::Off,
        // With the path of the entry.
        Outcome::Miss(MissReason::Corrupt) => {
            return Err(MissRow::from(Miss::Corrupt).saying(told()).into());
        }
        Outcome::Miss(MissReason::Untrusted) => Miss::Untrusted(told()),
        Outcome::Miss(MissReason::Io) => Miss::Io(told()),
        Outcome::Miss(_) => {
            let siblings = layers.siblings(key.group());
            let all = siblings.iter().map(|(_, sibling)| {
                Settings::from_description(&sibling.description).differences(settings)
            });
            let place = |all: &Vec<Difference>| {
                let first = all.first()?;
                settings.iter().position(|(name, _)| name == first.field)
            };
            Miss::differs(all.max_by_key(place).unwrap_or_default())
        }
    })))
}
