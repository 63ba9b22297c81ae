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

use super::{CACHE, FINE, written};
use crate::args::cache::{Cache, CacheCommand, Look, Where};
use crate::args::{Format, LayerArgs, Trust};
use crate::plan;
use crate::report::{self, Printer, SCHEMA_VERSION};
use precompile::cache::{DirCache, LayersBuilder, Mode};
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
    result.unwrap_or_else(|problem| {
        report::error(None, problem);
        CACHE
    })
}

/// The directory that is meant, which need not exist.
fn path(place: &Where) -> Result<PathBuf, String> {
    let layers = layers(place)?;
    match layers.write_path() {
        Some(path) => Ok(path.to_path_buf()),
        None => Err("there is no cache directory: set PRECOMPILE_CACHE_DIR or HOME, or name one \
                     with --cache-dir"
            .to_string()),
    }
}

/// The layers that an app would ask. What is believed of them matters to their readers only.
fn layers(place: &Where) -> Result<LayersBuilder, String> {
    let dirs = LayerArgs { dir: place.dir.clone(), ..LayerArgs::default() };
    let layers = plan::layers(&dirs, &Trust::default());
    layers.map_err(|usage| usage.to_string())
}

/// The directory to look into; `None` when it does not exist, which is said.
fn open(place: &Where, printer: &Printer) -> Result<Option<DirCache>, String> {
    let path = path(place)?;
    match plan::dir_options(&place.dir, None).open_read_only(&path) {
        Ok(cache) => Ok(Some(cache)),
        Err(error) if error.is_missing() => {
            printer.status("Empty", format!("{} does not exist yet", path.display()));
            Ok(None)
        }
        Err(error) => Err(error.to_string()),
    }
}

/// The same to change it.
fn open_to_change(place: &Where, printer: &Printer) -> Result<Option<DirCache>, String> {
    let Some(cache) = open(place, printer)? else { return Ok(None) };
    plan::dir_options(&place.dir, None)
        .open(cache.path())
        .map(Some)
        .map_err(|error| error.to_string())
}

/// The path of a directory that was opened, or else the one that was asked for.
fn shown(place: &Where, cache: Option<&DirCache>) -> Option<String> {
    let shown = |path: &Path| path.display().to_string();
    cache.map(|cache| shown(cache.path())).or_else(|| path(place).ok().map(|path| shown(&path)))
}

fn dir(args: &Look) -> Result<u8, String> {
    let path = path(&args.place)?;
    Printer::new(&args.place.document.output);
    let result = match args.place.document.format {
        Format::Text => report::data(&format!("{}\n", path.display())),
        Format::Json => {
            let layers = layers(&args.place)?.mode(Mode::ReadOnly).build();
            let layers: Vec<_> = layers.layers().iter().map(layer).collect();
            report::json(&json!({
                "schema_version": SCHEMA_VERSION,
                "command": "cache dir",
                "cache": path.display().to_string(),
                "layers": layers,
            }))
        }
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
