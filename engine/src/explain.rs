//! Why a module is found in the cache, or is not: the key and what is in it, the layers that were
//! asked and what each said, and how the entries of the same module differ.

use crate::abi::target::CpuFeatures;
use crate::error::Result;
use crate::fingerprint::{Difference, ModuleDigest};
use crate::report::Report;
use crate::settings::{Settings, needs};
use crate::{Engine, lookup, warm};
use precompile_cache::{Probe, ProbeResult};
use std::cmp::Reverse;
use std::path::PathBuf;

/// What [`Engine::explain`] found out.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// What became of it: [`Hit`](crate::Outcome::Hit) or [`Missed`](crate::Outcome::Missed), with the module's
    /// digest and length.
    pub report: Report,
    /// What was looked for, best first.
    pub wanted: Vec<Wanted>,
    /// What each layer said, in the order in which they were asked: all of them for the first that
    /// was wanted, then for the next.
    pub probes: Vec<LayerProbe>,
    /// The entries of this module, those of the first layer first.
    pub entries: Vec<Neighbour>,
}

/// An entry that this engine would load.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Wanted {
    /// The id of the entry, in the group of the module's digest.
    pub id: [u8; 32],
    /// What the id was made from, beside the digest.
    pub settings: Settings,
}

/// What a layer said to the question for one entry.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LayerProbe {
    /// The layer: `memory`, `dir` or `layer N`.
    pub layer: String,
    /// Where it is, if it is a directory.
    pub path: Option<PathBuf>,
    /// Which of [`Explanation::wanted`] it was asked for.
    pub wanted: usize,
    /// `hit`, `absent`, `rejected`, `missing` (the directory), `corrupt`, `untrusted` or `io`.
    pub result: &'static str,
    /// What was wrong, and what to do about it.
    pub message: Option<String>,
}

/// An entry of the module that was explained.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Neighbour {
    /// The layer that has it.
    pub layer: String,
    /// Its id.
    pub id: [u8; 32],
    /// What it was made with.
    pub settings: Settings,
    /// In what it differs from the one that is wanted and nearest to it, the most telling first.
    /// Empty for one that is wanted.
    pub differences: Vec<Difference>,
    /// What its code needs and this engine's host does not have.
    pub host_lacks: CpuFeatures,
}

impl Engine {
    /// Looks for a module in the engine's cache, as [`check`](Engine::check) does, and tells all
    /// that there is to say about it. Compiles, loads and writes nothing.
    ///
    /// # Errors
    /// If the bytes cannot be a module.
    pub fn explain(&self, bytes: impl AsRef<[u8]>) -> Result<Explanation> {
        let (report, digest, ids) = warm::identify(self, bytes.as_ref())?;
        Ok(explain(self, report, &digest, &ids))
    }

    /// As [`explain`](Engine::explain), of the module whose bytes have that SHA-256, which need not
    /// be here.
    pub fn explain_digest(&self, digest: [u8; 32]) -> Explanation {
        let report = Report { digest: Some(digest), ..Report::default() };
        let digest = ModuleDigest(digest);
        explain(self, report, &digest, &warm::ids(self, &digest))
    }
}

fn explain(
    engine: &Engine,
    mut report: Report,
    digest: &ModuleDigest,
    ids: &[[u8; 32]],
) -> Explanation {
    let trace = lookup::check(engine, digest, ids, &mut report);
    let wanted: Vec<Wanted> = ids
        .iter()
        .zip(engine.candidates())
        .map(|(id, candidate)| Wanted { id: *id, settings: Settings::of(candidate) })
        .collect();
    let Some(layers) = engine.cache() else {
        return Explanation { report, wanted, probes: Vec::new(), entries: Vec::new() };
    };
    let places = layers.layers();
    // All layers are asked for one that is wanted before any is for the next.
    let probes = trace.iter().enumerate().map(|(at, Probe { layer, result, .. })| {
        let place = places.iter().find(|place| place.id == *layer);
        let (result, message) = told(result);
        LayerProbe {
            layer: layer.to_string(),
            path: place.and_then(|place| place.path.clone()),
            wanted: at / places.len().max(1),
            result,
            message,
        }
    });
    let probes = probes.collect();
    let entries = layers.siblings(&digest.0).into_iter().map(|(layer, sibling)| {
        let settings = Settings::from_description(&sibling.description);
        let differences = match ids.contains(&sibling.id) {
            true => Vec::new(),
            false => nearest(&settings, &wanted),
        };
        let host_lacks = needs(&settings).difference(engine.host_features());
        let host_lacks = if engine.runs_here() { host_lacks } else { CpuFeatures::NONE };
        let layer = layer.to_string();
        Neighbour { layer, id: sibling.id, settings, differences, host_lacks }
    });
    let mut entries: Vec<_> = entries.collect();
    // The nearest first: the one whose difference is the reason that people are told.
    let names: Vec<String> = engine.settings().iter().map(|(name, _)| name.into()).collect();
    entries.sort_by_key(|entry| {
        let first = entry.differences.first();
        let distance = first.map_or(0, |first| first.distance(engine.target().arch()));
        (Reverse(agreement(&names, &entry.differences)), distance)
    });
    Explanation { report, wanted, probes, entries }
}

/// How many settings are the same before the first that is not.
fn agreement(names: &[String], differences: &[Difference]) -> usize {
    let first = differences.first();
    let at = first.and_then(|first| names.iter().position(|name| *name == first.field));
    at.unwrap_or(names.len())
}

/// The differences of `found` to the nearest of what is wanted.
fn nearest(found: &Settings, wanted: &[Wanted]) -> Vec<Difference> {
    let names: Vec<String> = found.iter().map(|(name, _)| name.to_string()).collect();
    let all = wanted.iter().map(|wanted| found.differences(&wanted.settings));
    // Of equally near ones the first, which is the best.
    let all = all.rev().max_by_key(|differences| agreement(&names, differences));
    all.unwrap_or_default()
}

/// What a layer said, as a word, and what was wrong.
fn told(result: &ProbeResult) -> (&'static str, Option<String>) {
    let error = match result {
        ProbeResult::Hit => return ("hit", None),
        ProbeResult::Absent => return ("absent", None),
        ProbeResult::Rejected => return ("rejected", None),
        ProbeResult::Failed(error) => error,
        _ => return ("io", None),
    };
    let word = match error {
        _ if error.is_missing() => "missing",
        _ if error.is_corrupt() => "corrupt",
        _ if error.is_untrusted() => "untrusted",
        _ => "io",
    };
    (word, Some(error.to_string()))
}
