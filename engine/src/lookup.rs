//! Asking the cache: the engine's levels, best first, and what is told of a miss.

use crate::Engine;
use crate::Module;
use crate::compiler::Compiled;
use crate::error::{Error, ErrorKind, Result};
use crate::fingerprint::{Fingerprint, ModuleDigest, nearest_difference};
use crate::report::{Miss, Outcome, Report};
use crate::runtime::code::CodeMapping;
use crate::runtime::vm::doors;
use precompile_cache::{
    self as cache, Flight, Key, Layers, Lookup, MissReason, Mode, Probe, Reject,
};
use std::cell::Cell;
use std::fs::File;
use std::sync::Arc;
use std::time::Instant;

/// What the cache had.
pub(crate) enum Found<'e> {
    /// The module, loaded, of the candidate with that index.
    Hit(usize, Module),
    /// Nothing: whoever has this may compile.
    Miss(Permit<'e>),
}

/// What is remembered about a file of a module: the digest of a binary that has not changed.
pub(crate) struct Memo(Option<cache::FileMemo>);

impl Memo {
    /// Asks the cache. A file that changes from now on is another one.
    pub(crate) fn of(engine: &Engine, file: &File) -> Memo {
        // A shorter one is sooner hashed.
        const WORTHWHILE: u64 = 64 << 10;
        let is_long = file.metadata().is_ok_and(|metadata| metadata.len() >= WORTHWHILE);
        Memo(engine.cache().filter(|_| is_long).map(|layers| layers.file_memo(file)))
    }

    pub(crate) fn digest(&self) -> Option<ModuleDigest> {
        self.0.as_ref()?.digest().map(ModuleDigest)
    }

    pub(crate) fn note(&self, digest: &ModuleDigest) {
        if let Some(memo) = &self.0 {
            memo.note(digest.0);
        }
    }
}

/// What became of an entry.
enum Taken {
    /// The module, of the candidate with that index.
    Module(usize, Module),
    /// Not what its key says: it was deleted where that is allowed, and is not looked at again.
    Rejected,
    /// It could not be loaded now.
    Unusable(Miss),
}

/// The right to compile a module and to publish it.
pub(crate) struct Permit<'e>(Option<(&'e Layers, Flight)>);

impl Permit<'_> {
    /// Adds what was compiled to the cache. Never fails: what goes wrong is counted and reported.
    pub(crate) fn publish(self, engine: &Engine, compiled: &Compiled, report: &mut Report) {
        let Some((layers, flight)) = self.0 else { return };
        let start = Instant::now();
        let description = description(engine.compile_fingerprint());
        report.add_failure = compiled
            .content()
            .map_err(|error| format!("{error:#}"))
            .and_then(|content| match layers.publish(flight.key(), &content, &description) {
                Some(error) => Err(error.to_string()),
                None => Ok(()),
            })
            .err();
        report.add = start.elapsed();
    }
}

/// What an entry is described as, for who asks why another one was not found.
fn description(fingerprint: &Fingerprint) -> Vec<u8> {
    fingerprint.to_bytes()
}

/// Looks for the entries `ids` of module `digest`, best first, and loads the first one that
/// there is. An entry that does not load is a miss: it is deleted where that is allowed.
///
/// # Errors
/// If there is none and compiling is ruled out, as it is by `must_hit`.
pub(crate) fn find<'e>(
    engine: &'e Engine,
    digest: &ModuleDigest,
    ids: &[[u8; 32]],
    must_hit: bool,
    report: &mut Report,
    load: impl Fn(Arc<CodeMapping>, &mut Report) -> Result<Module>,
) -> Result<Found<'e>> {
    let Some(layers) = engine.cache() else {
        if must_hit {
            engine.count_miss(&Miss::Off);
            return Err(Error::wrap(ErrorKind::Miss, Miss::Off));
        }
        report.outcome = Outcome::Compiled { miss: None };
        return Ok(Found::Miss(Permit(None)));
    };
    let keys: Vec<Key> = ids.iter().map(|id| Key::new(digest.0, *id)).collect();
    let damaged = Cell::new(false);
    let take = |(index, lookup): (usize, Lookup), report: &mut Report| {
        let cache::Outcome::Hit { layer, content } = lookup.outcome else {
            return Err(lookup);
        };
        let path = content.origin().map(Into::into);
        let choice = engine.config().runtime.load;
        match doors::of_cache(content, choice).and_then(|mapping| load(mapping, report)) {
            Ok(module) => {
                report.outcome = Outcome::Hit { layer: layer.to_string(), path };
                report.id = Some(ids[index]);
                Ok(Taken::Module(index, module))
            }
            Err(error) => {
                let reason = match error.kind() {
                    ErrorKind::Incompatible => Reject::Mismatch,
                    ErrorKind::Corrupt => Reject::Corrupt,
                    // The process is short of something: no fault of the entry's, which is good
                    // for everybody else.
                    _ => return Ok(Taken::Unusable(Miss::Io(format!("{error:#}")))),
                };
                damaged.set(true);
                layers.reject(&keys[index], layer, reason);
                Ok(Taken::Rejected)
            }
        }
    };
    let start = Instant::now();
    // Each rejected hit rules out one entry of one layer, so this ends.
    let miss = loop {
        match take(layers.lookup_any(&keys), report) {
            Ok(Taken::Module(index, module)) => {
                report.get = start.elapsed().saturating_sub(report.load);
                return Ok(Found::Hit(index, module));
            }
            Ok(Taken::Rejected) => {}
            Ok(Taken::Unusable(miss)) => break miss,
            Err(missed) => break why(engine, layers, digest, &missed, damaged.get()),
        }
    };
    report.get = start.elapsed();
    engine.count_miss(&miss);
    if must_hit || layers.mode() == Mode::RequireHit || !crate::compiler::PRESENT {
        return Err(Error::wrap(ErrorKind::Miss, miss));
    }
    let flight = layers.begin(&keys[0]);
    if let Ok(Taken::Module(_, module)) = take((0, layers.look_again(&flight)), report) {
        return Ok(Found::Hit(0, module));
    }
    report.outcome = Outcome::Compiled { miss: Some(miss) };
    report.id = Some(ids[0]);
    Ok(Found::Miss(Permit(Some((layers, flight)))))
}

/// The module of that name, by the lists of names in the engine's cache.
///
/// # Errors
/// If there is none, or a list cannot be used.
pub(crate) fn resolve(engine: &Engine, name: &str) -> Result<ModuleDigest> {
    let resolved = engine.cache().map(|layers| layers.resolve(name));
    let miss = match &resolved {
        None => Miss::Off,
        Some(lookup) => {
            let told = || lookup.miss_error().map(ToString::to_string).unwrap_or_default();
            match lookup.outcome {
                Ok((_, group)) => return Ok(ModuleDigest(group)),
                Err(MissReason::Off) => Miss::Off,
                Err(MissReason::Corrupt) => Miss::BadNames(told()),
                Err(MissReason::Untrusted) => Miss::Untrusted(told()),
                Err(MissReason::Io) => Miss::Io(told()),
                Err(_) => Miss::Unnamed,
            }
        }
    };
    engine.count_miss(&miss);
    Err(Error::wrap(ErrorKind::Miss, miss))
}

/// The layers of the engine's cache, for messages.
pub(crate) fn places(engine: &Engine) -> Vec<String> {
    let layers = engine.cache().map(Layers::layers).unwrap_or_default();
    let place = |layer: cache::LayerInfo| match layer.path {
        Some(path) => format!("{} {}", layer.id, path.display()),
        None => layer.id.to_string(),
    };
    layers.into_iter().map(place).collect()
}

/// Why `lookup` missed: what the cache says, or the first difference to the nearest entry of the
/// same module.
fn why(
    engine: &Engine,
    layers: &Layers,
    digest: &ModuleDigest,
    lookup: &Lookup,
    damaged: bool,
) -> Miss {
    let told = || lookup.miss_error().map(ToString::to_string).unwrap_or_default();
    match lookup.miss_reason() {
        Some(MissReason::Off) => return Miss::Off,
        Some(MissReason::Corrupt) => return Miss::Corrupt,
        _ if damaged => return Miss::Corrupt,
        Some(MissReason::Untrusted) => return Miss::Untrusted(told()),
        Some(MissReason::Io) => return Miss::Io(told()),
        _ => {}
    }
    let siblings = layers.siblings(&digest.0);
    let descriptions = siblings.iter().map(|(_, sibling)| &*sibling.description);
    match nearest_difference(engine.candidates(), descriptions) {
        Some(difference) if engine.runs_here() => {
            Miss::Differs(difference.on_host(engine.target(), engine.host_features()))
        }
        Some(difference) => Miss::Differs(difference),
        None => Miss::Absent,
    }
}

/// Looks for the entries `ids` of module `digest`, best first, without loading what there is.
/// Returns what each layer said.
pub(crate) fn check(
    engine: &Engine,
    digest: &ModuleDigest,
    ids: &[[u8; 32]],
    report: &mut Report,
) -> Vec<Probe> {
    report.id = ids.first().copied();
    let Some(layers) = engine.cache() else {
        report.outcome = Outcome::Missed { miss: Miss::Off };
        return Vec::new();
    };
    let keys: Vec<Key> = ids.iter().map(|id| Key::new(digest.0, *id)).collect();
    let start = Instant::now();
    let (index, lookup) = layers.lookup_any(&keys);
    report.get = start.elapsed();
    let cache::Outcome::Hit { layer, content } = &lookup.outcome else {
        let miss = why(engine, layers, digest, &lookup, false);
        engine.count_miss(&miss);
        report.outcome = Outcome::Missed { miss };
        return lookup.trace;
    };
    report.id = Some(ids[index]);
    report.artifact_len = content.len();
    let path = content.origin().map(Into::into);
    report.outcome = Outcome::Hit { layer: layer.to_string(), path };
    lookup.trace
}

/// Compiles a module into the engine's cache without loading it, unless it is there.
pub(crate) fn warm(
    engine: &Engine,
    bytes: &[u8],
    digest: ModuleDigest,
    id: [u8; 32],
    report: &mut Report,
) -> Result<()> {
    let Some(layers) = engine.cache() else {
        let message = "the engine has no cache to warm: give it one by `Config::cache`";
        return Err(Error::with_kind(ErrorKind::Config, message));
    };
    let key = Key::new(digest.0, id);
    report.id = Some(id);
    let start = Instant::now();
    let mut lookup = layers.lookup(&key);
    let mut flight = None;
    if !lookup.is_hit() {
        let miss = why(engine, layers, &digest, &lookup, false);
        engine.count_miss(&miss);
        report.outcome = Outcome::Compiled { miss: Some(miss) };
        let begun = flight.insert(layers.begin(&key));
        lookup = layers.look_again(begun);
    }
    report.get = start.elapsed();
    if let cache::Outcome::Hit { layer, content } = lookup.outcome {
        let path = content.origin().map(Into::into);
        report.artifact_len = content.len();
        report.outcome = Outcome::Hit { layer: layer.to_string(), path };
        return Ok(());
    }
    let Some(flight) = flight else { return Ok(()) };
    if layers.mode() != Mode::Auto {
        let miss = why(engine, layers, &digest, &lookup, false);
        let message = format!("a cache in mode {} cannot be warmed", layers.mode());
        return Err(Error::wrap(ErrorKind::Miss, miss).context(message));
    }
    let compiled = crate::compiler::compile(engine, bytes, digest, report)?;
    Permit(Some((layers, flight))).publish(engine, &compiled, report);
    if report.add_failure.is_none() && !layers.can_publish() {
        let problem = layers.problems().first().map(|problem| problem.error.to_string());
        report.add_failure = Some(problem.unwrap_or("there is no layer to write to".into()));
    }
    Ok(())
}
