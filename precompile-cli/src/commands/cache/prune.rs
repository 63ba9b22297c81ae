//! Removing entries: those that there is no room or use for, or all.

use super::{Failure, open_own, open_to_change, shown};
use crate::args::cache::{Clean, Prune, Where};
use crate::args::{Format, Trust};
use crate::commands::{CACHE, FINE, written};
use crate::manifest::Manifest;
use crate::plan;
use crate::report::{self, Printer, SCHEMA_VERSION, size};
use crate::units::{ago, timestamp};
use precompile::Settings;
use precompile::cache::{Budget, DirCache, Pruned, Result as CacheResult, to_hex};
use serde_json::json;
use std::time::SystemTime;

pub(super) fn prune(args: &Prune) -> Result<u8, Failure> {
    // Whoever names a size means it, however full the disk is.
    let mut budget = Budget::new().free_share(100);
    if let Some(bytes) = args.max_size {
        budget = budget.max_bytes(bytes);
    }
    if let Some(age) = args.max_age {
        budget = budget.max_age(age);
    }
    let trust = Trust { trusted_key: args.trusted_key.clone(), ..Trust::default() };
    let trusted = plan::trusted_keys(&trust)?;
    for path in &args.keep_manifest {
        let manifest = Manifest::read(path, trusted.as_ref());
        let keys = manifest.and_then(|manifest| manifest.keys());
        budget = budget.pin(keys.map_err(Failure::input)?);
    }
    if args.old_versions {
        let is_old =
            |description: &[u8]| Settings::from_description(description).is_of_older_engine();
        budget = budget.unwanted(is_old);
    }
    remove("cache prune", &args.place, args.dry_run, |cache, is_dry| match is_dry {
        true => cache.would_prune(&budget),
        false => cache.prune(&budget),
    })
}

pub(super) fn clean(args: &Clean) -> Result<u8, Failure> {
    remove("cache clean", &args.place, args.dry_run, |cache, is_dry| match is_dry {
        true => cache.would_clean(),
        false => cache.clean(),
    })
}

fn remove(
    command: &'static str,
    place: &Where,
    is_dry: bool,
    act: impl FnOnce(&DirCache, bool) -> CacheResult<Pruned>,
) -> Result<u8, Failure> {
    let printer = Printer::new(&place.document.output);
    let cache = if is_dry { open_own(place, &printer)? } else { open_to_change(place, &printer)? };
    let pruned = match &cache {
        Some(cache) => act(cache, is_dry)?,
        None => Pruned::default(),
    };
    let now = SystemTime::now();
    let word = if is_dry { "Would remove" } else { "Removed" };
    for gone in &pruned.evicted {
        let used = ago(gone.used, now);
        let (bytes, reason) = (size(gone.bytes), gone.reason);
        printer.detail(format_args!("{word} {} ({bytes}, used {used} ago: {reason})", gone.key));
    }
    for failure in &pruned.failures {
        printer.failure("Failed", failure);
    }
    let bytes: u64 = pruned.evicted.iter().map(|gone| gone.bytes).sum();
    if cache.is_some() {
        printer.status(
            word,
            format!(
                "{} of {}, {} left of {}",
                entries(pruned.evicted.len() as u64),
                size(bytes),
                entries(pruned.entries),
                size(pruned.bytes)
            ),
        );
    }
    let code = if pruned.failures.is_empty() { FINE } else { CACHE };
    if place.document.format == Format::Text {
        return Ok(code);
    }
    let evicted = pruned.evicted.iter().map(|gone| {
        json!({
            "digest": to_hex(gone.key.group()),
            "id": to_hex(gone.key.id()),
            "bytes": gone.bytes,
            "used": timestamp(gone.used),
            "reason": gone.reason.to_string(),
        })
    });
    let result = report::json(&json!({
        "schema_version": SCHEMA_VERSION,
        "command": command,
        "cache": shown(place, cache.as_slice()),
        "dry_run": is_dry,
        "evicted": evicted.collect::<Vec<_>>(),
        "failures": pruned.failures.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "summary": {
            "evicted": pruned.evicted.len(),
            "evicted_bytes": bytes,
            "entries": pruned.entries,
            "bytes": pruned.bytes,
        },
    }));
    Ok(written(result, code))
}

fn entries(count: u64) -> String {
    match count {
        1 => "1 entry".to_string(),
        count => format!("{count} entries"),
    }
}
