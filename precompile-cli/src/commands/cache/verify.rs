//! Checking each entry: against its digest, and against a new compilation of its module.

use super::list::{row, state};
use super::{Failure, open, shown};
use crate::args::Format;
use crate::args::cache::Verify;
use crate::commands::modules::digest;
use crate::commands::{FAILED, FINE, written};
use crate::input;
use crate::report::{self, Printer, SCHEMA_VERSION, size};
use precompile::cache::{Depth, DirCache, Item, ItemState, Key, to_hex};
use precompile::{Config, Engine, ErrorKind, Settings};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// What came of compiling an entry's module again.
struct Rebuilt {
    path: String,
    entry: String,
    /// `same`, `different`, `skipped` or `failed`.
    outcome: &'static str,
    message: Option<String>,
}

/// An entry that is as it should be.
struct Sound {
    key: Key,
    path: PathBuf,
    settings: Settings,
}

pub(super) fn verify(args: &Verify) -> Result<u8, Failure> {
    let place = &args.place;
    let printer = Printer::new(&place.document.output);
    let caches = open(place, &printer)?;
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    let (mut bytes, mut rows, mut sound) = (0, Vec::new(), Vec::new());
    let mut note = |cache: &DirCache, item: Item| {
        *counts.entry(state(&item)).or_default() += 1;
        tell(&printer, &item);
        // Of thousands that are as they should be nobody wants to read.
        if let ItemState::Sound { key, description, .. } = &item.state {
            bytes += item.bytes;
            sound.push(Sound {
                key: *key,
                path: item.path,
                settings: Settings::from_description(description),
            });
        } else {
            rows.push(row(cache, &item));
        }
    };
    for cache in &caches {
        cache.survey(Depth::Content, |item| note(cache, item))?;
    }
    let mut rebuilt = Vec::new();
    // What does not exist yet has nothing to compare with.
    let inputs = if caches.is_empty() { Vec::new() } else { input::expand(&args.rebuild) };
    for input in inputs {
        rebuild(&input, &sound, args.jobs, &printer, &mut rebuilt);
    }
    let count = |name| counts.get(name).copied().unwrap_or(0);
    let bad = count("damaged") + count("untrusted") + count("unreadable");
    let of = |outcome| rebuilt.iter().filter(|rebuilt| rebuilt.outcome == outcome).count();
    let summary = format!(
        "{} sound ({}), {} damaged, {} untrusted, {} unreadable, {} foreign",
        count("sound"),
        size(bytes),
        count("damaged"),
        count("untrusted"),
        count("unreadable"),
        count("foreign"),
    );
    printer.status("Verified", summary);
    if !args.rebuild.is_empty() {
        let summary = format!(
            "{} the same, {} different, {} skipped, {} failed",
            of("same"),
            of("different"),
            of("skipped"),
            of("failed")
        );
        printer.status("Rebuilt", summary);
    }
    let is_bad = bad > 0 || of("different") > 0 || of("failed") > 0;
    let code = if is_bad { FAILED } else { FINE };
    if place.document.format == Format::Text {
        return Ok(code);
    }
    let result = report::json(&json!({
        "schema_version": SCHEMA_VERSION,
        "command": "cache verify",
        "cache": shown(place, &caches),
        "findings": rows,
        "rebuilt": rebuilt.iter().map(Rebuilt::row).collect::<Vec<_>>(),
        "summary": {
            "sound": count("sound"),
            "bytes": bytes,
            "damaged": count("damaged"),
            "untrusted": count("untrusted"),
            "unreadable": count("unreadable"),
            "foreign": count("foreign"),
        },
    }));
    Ok(written(result, code))
}

fn tell(printer: &Printer, item: &Item) {
    let path = report::shown(&item.path);
    match &item.state {
        ItemState::Sound { .. } => {}
        ItemState::Damaged(error) => printer.failure("Damaged", error),
        ItemState::Untrusted(error) => printer.failure("Untrusted", error),
        ItemState::Foreign => printer.notice("Foreign", format!("{path} is not the cache's")),
        ItemState::Unreadable(error) => printer.failure("Unreadable", error),
        _ => printer.failure("Unknown", path),
    }
}

/// Compiles a module again for each of its entries, and compares.
fn rebuild(
    input: &input::Input,
    sound: &[Sound],
    jobs: usize,
    printer: &Printer,
    all: &mut Vec<Rebuilt>,
) {
    let path = input.path.display().to_string();
    let mut note = |entry: String, outcome: &'static str, message: Option<String>| {
        let told = format!("{} {entry:.16}", report::shown(&input.path));
        match (&message, outcome) {
            (Some(message), "skipped") => printer.notice("Skipped", format!("{told}: {message}")),
            (Some(message), _) => printer.error(&input.path, message),
            (None, "same") => printer.detail(format!("{told} is the same")),
            _ => {}
        }
        all.push(Rebuilt { path: path.clone(), entry, outcome, message });
    };
    let module = match input.read().and_then(|bytes| digest(&bytes).map(|digest| (bytes, digest))) {
        Ok(module) => module,
        Err(problem) => return note(String::new(), "failed", Some(problem)),
    };
    let (bytes, digest) = module;
    let own: Vec<_> = sound.iter().filter(|entry| *entry.key.group() == digest).collect();
    if own.is_empty() {
        return note(String::new(), "skipped", Some("there is no entry of this module".into()));
    }
    for Sound { key, path, settings } in own {
        let id = to_hex(key.id());
        match compile(&bytes, settings, jobs) {
            Ok(artifact) => match fs::read(path) {
                // Behind the artifact is the trailer, which was checked.
                Ok(found) if found.starts_with(&artifact) => note(id, "same", None),
                Ok(_) => {
                    let message = format!(
                        "entry {id} is not what compiling gives: delete {}, and ask who made it",
                        report::shown(path)
                    );
                    note(id, "different", Some(message));
                }
                Err(error) => note(id, "failed", Some(input::explain(&error))),
            },
            // Another version has made it, and only that one can make it again.
            Err(error) if error.kind() == ErrorKind::Incompatible => {
                note(id, "skipped", Some(format!("{error:#}")));
            }
            Err(error) => note(id, "failed", Some(format!("{error:#}"))),
        }
    }
}

fn compile(bytes: &[u8], settings: &Settings, jobs: usize) -> precompile::Result<Vec<u8>> {
    let mut config = Config::from_settings(settings)?;
    config.compile_jobs(jobs);
    Engine::new(&config)?.precompile_module(bytes)
}

impl Rebuilt {
    fn row(&self) -> Value {
        json!({
            "path": self.path,
            "id": self.entry,
            "outcome": self.outcome,
            "message": self.message,
        })
    }
}
