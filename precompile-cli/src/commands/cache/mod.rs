//! Looking after a cache directory.
//!
//! | file | what is there |
//! | --- | --- |
//! | here | which directory it is, and `dir` |
//! | `list` | `ls` and `stats` |
//! | `verify` | each entry against its digest, and against a new compilation |
//! | `prune` | `prune` and `clean` |
//!
//! Looking creates nothing: a directory that does not exist yet is an empty one.

mod list;
mod prune;
mod verify;

use super::{CACHE, FAILED, FINE, USAGE, written};
use crate::args::cache::{Cache, CacheCommand, Look, Where};
use crate::args::{Format, LayerArgs, Trust};
use crate::plan::{self, Usage};
use crate::report::{self, Printer, SCHEMA_VERSION};
use precompile::cache::{DirCache, ErrorKind, Layers, LayersBuilder, Mode, Problem};
use serde_json::json;
use std::path::{Path, PathBuf};

pub(crate) fn cache(args: &Cache) -> u8 {
    let result = match &args.command {
        CacheCommand::Dir(args) => dir(args),
        CacheCommand::Ls(args) => list::ls(args),
        CacheCommand::Stats(args) => list::stats(args),
        CacheCommand::Verify(args) => verify::verify(args),
        CacheCommand::Prune(args) => prune::prune(args),
        CacheCommand::Clean(args) => prune::clean(args),
    };
    result.unwrap_or_else(|Failure { code, message }| {
        report::error(None, message);
        code
    })
}

/// What to do where no directory is named at all.
const NAME_ONE: &str =
    "set PRECOMPILE_CACHE_DIR, HOME or PRECOMPILE_CACHE_PATH, or name one with --cache-dir";

/// Why a command could not be done, with the code that it exits with.
struct Failure {
    code: u8,
    message: String,
}

impl From<Usage> for Failure {
    fn from(usage: Usage) -> Failure {
        Failure { code: USAGE, message: usage.0 }
    }
}

impl From<precompile::cache::Error> for Failure {
    fn from(error: precompile::cache::Error) -> Failure {
        Failure { code: CACHE, message: error.to_string() }
    }
}

impl Failure {
    /// An input that is not what it should be.
    fn input(message: String) -> Failure {
        Failure { code: FAILED, message }
    }

    fn no_directory(way_out: &str) -> Failure {
        Failure { code: CACHE, message: format!("there is no cache directory: {way_out}") }
    }
}

/// The directory that is written to, which need not exist.
fn path(place: &Where) -> Result<Option<PathBuf>, Failure> {
    Ok(layers(place)?.write_path().map(Path::to_path_buf))
}

/// The layers that an app would ask. What is believed of them matters to their readers only.
fn layers(place: &Where) -> Result<LayersBuilder, Failure> {
    let dirs = LayerArgs { dir: place.dir.clone(), ..LayerArgs::default() };
    Ok(plan::layers(&dirs, &Trust::default())?)
}

/// The same, opened to look into them. What the environment says and does not mean is told.
fn opened(place: &Where, printer: &Printer) -> Result<Layers, Failure> {
    let layers = layers(place)?.mode(Mode::ReadOnly).build();
    // That the environment does not count is why another directory is looked into, or none.
    let is_why = |problem: &Problem| {
        problem.layer.is_none() && !matches!(problem.error.kind(), ErrorKind::NoHome)
    };
    let is_told = |problem: &&Problem| match place.dir.cache_dir {
        Some(_) => plan::is_of_environment(problem),
        None => is_why(problem),
    };
    for problem in layers.problems().iter().filter(is_told) {
        printer.warning(problem);
    }
    Ok(layers)
}

/// The directory to look into; none when it does not exist, which is said. Where nothing is written,
/// the directories that are only read.
fn open(place: &Where, printer: &Printer) -> Result<Vec<DirCache>, Failure> {
    if path(place)?.is_some() {
        return Ok(open_own(place, printer)?.into_iter().collect());
    }
    let layers = opened(place, printer)?;
    let mut all = Vec::new();
    for path in layers.layers().into_iter().filter_map(|layer| layer.path) {
        match plan::dir_options(&place.dir, None).open_read_only(&path) {
            Ok(cache) => all.push(cache),
            Err(error) => printer.warning(error),
        }
    }
    match all.is_empty() {
        true => Err(Failure::no_directory(NAME_ONE)),
        false => Ok(all),
    }
}

/// The directory that is written to, to look into it.
fn open_own(place: &Where, printer: &Printer) -> Result<Option<DirCache>, Failure> {
    opened(place, printer)?;
    let Some(path) = path(place)? else {
        return Err(Failure::no_directory(
            "set PRECOMPILE_CACHE_DIR or HOME, or name one with --cache-dir; those that are only \
             read are not changed",
        ));
    };
    match plan::dir_options(&place.dir, None).open_read_only(&path) {
        Ok(cache) => Ok(Some(cache)),
        Err(error) if error.is_missing() => {
            printer.status("Empty", format!("{} does not exist yet", report::shown(&path)));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The same to change it.
fn open_to_change(place: &Where, printer: &Printer) -> Result<Option<DirCache>, Failure> {
    let Some(cache) = open_own(place, printer)? else { return Ok(None) };
    Ok(Some(plan::dir_options(&place.dir, None).open(cache.path())?))
}

/// The path of the directory that is written to, as it was opened or else asked for.
fn shown(place: &Where, caches: &[DirCache]) -> Option<String> {
    let asked = path(place).ok().flatten()?;
    let path = match caches {
        [cache] => cache.path().to_path_buf(),
        _ => std::path::absolute(&asked).unwrap_or(asked),
    };
    Some(path.display().to_string())
}

fn dir(args: &Look) -> Result<u8, Failure> {
    let place = &args.place;
    let printer = Printer::new(&place.document.output);
    let path = shown(place, &[]);
    let layers = opened(place, &printer)?.layers();
    if layers.is_empty() && path.is_none() {
        return Err(Failure::no_directory(NAME_ONE));
    }
    let result = match place.document.format {
        Format::Text => {
            for layer in &layers {
                let at = layer.path.as_deref().map(report::shown);
                let problem = layer.error.as_ref().map(|error| format!(": {error}"));
                let line = format!(
                    "{} {}{}",
                    layer.id,
                    at.unwrap_or_default(),
                    problem.unwrap_or_default()
                );
                match path {
                    Some(_) => printer.detail(line),
                    // Nothing is written, so this is all that there is to tell.
                    None => printer.status("Reads", line),
                }
            }
            report::data(&path.map(|path| path + "\n").unwrap_or_default())
        }
        Format::Json => report::json(&json!({
            "schema_version": SCHEMA_VERSION,
            "command": "cache dir",
            "cache": path,
            "layers": layers.iter().map(layer).collect::<Vec<_>>(),
        })),
    };
    Ok(written(result, FINE))
}

/// A layer, for tools.
pub(crate) fn layer(layer: &precompile::cache::LayerInfo) -> serde_json::Value {
    json!({
        "layer": layer.id.to_string(),
        "path": layer.path.as_ref().map(|path| path.display().to_string()),
        "problem": layer.error.as_ref().map(ToString::to_string),
    })
}
