//! What an engine holds: layers in order, and every failure turned into an outcome.
//!
//! | file | what is there |
//! | --- | --- |
//! | here | [`Layers`]: lookup, publish, reject |
//! | `builder` | which layers there are, and what did not open |
//! | `environment` | the same from environment variables |
//! | `name` | from a name to a group |
//! | `flight` | single flight within the process and across processes |
//! | `outcome` | the types of what happened |
//! | `watch` | telling an observer |
//! | `upkeep` | keeping the read-write directory within its budget |

mod builder;
mod environment;
mod flight;
mod name;
mod outcome;
mod upkeep;
mod watch;

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use builder::{LayersBuilder, Problem};
pub use flight::Flight;
pub use name::NameLookup;
pub use outcome::{
    LayerId, LayerInfo, Lookup, MissReason, Mode, Outcome, Probe, ProbeResult, Reject,
};

use crate::cache::{Cache, Sibling};
use crate::content::{Content, Stamp};
use crate::dir::DirCache;
use crate::error::{Error, Result};
use crate::journal::Journal;
use crate::key::Key;
use crate::memo::{FileMemo, Memo};
use crate::memory::MemoryCache;
use crate::observer::Event;
use crate::single_flight::Flights;
use crate::stats::{Counters, Stats};
use upkeep::Upkeep;
use watch::{Start, Watch};

/// Read-only layers over one read-write layer, probed in order, with counters and single flight.
///
/// Nothing here fails a run: what goes wrong is an [`Outcome`], a counter, or a [`Problem`] for
/// whoever asks. Shared by reference between threads; independent of any engine's life.
///
/// Whoever holds layers can publish to them. An engine that promises safety to its users therefore
/// takes a [`LayersBuilder`] from them, and keeps the layers that it builds to itself.
///
/// The order is: the memory of the process if asked for, the read-only layers as they were added,
/// the read-write layer, and those below it.
pub struct Layers {
    layers: Vec<(LayerId, Slot)>,
    /// The number of the first layer that is copied from.
    first_lower: usize,
    /// Where they are, for messages, as far as they are directories.
    paths: Vec<(LayerId, PathBuf)>,
    memory: Option<Arc<MemoryCache>>,
    memo: Option<Arc<Memo>>,
    writer: Writer,
    mode: Mode,
    wait: Duration,
    is_vouched: bool,
    problems: Vec<Problem>,
    flights: Flights,
    counters: Arc<Counters>,
    upkeep: Option<Upkeep>,
    record: Option<Journal>,
    watch: Watch,
    rejected: Rejected,
}

/// A layer, or why there is none.
enum Slot {
    Open(Arc<dyn Cache>),
    Failed(Error),
}

/// Where entries are published and deleted.
enum Writer {
    None,
    Dir(Arc<DirCache>),
    Other(Arc<dyn Cache>),
}

/// What the caller rejected and could not be deleted: it is not looked at again, so that a bad entry
/// in a read-only layer does not hide a good one below it.
#[derive(Default)]
struct Rejected {
    any: AtomicBool,
    entries: Mutex<HashSet<(Key, LayerId)>>,
}

impl Layers {
    /// No layers yet.
    pub fn builder() -> LayersBuilder {
        LayersBuilder::new()
    }

    /// The layers that the environment asks for: see [`LayersBuilder::from_env`]. What did not open
    /// is in [`problems`](Layers::problems).
    pub fn from_env() -> Layers {
        LayersBuilder::from_env().build()
    }

    /// Probes the layers in order until one hits.
    ///
    /// A damaged entry is deleted where that is possible, and the next layer is probed.
    pub fn lookup(&self, key: &Key) -> Lookup {
        let start = self.watch.start();
        let lookup = self.probe(key);
        match &lookup.outcome {
            Outcome::Hit { layer, content } => self.count_hit(key, *layer, content, start),
            Outcome::Miss(reason) => self.count_miss(key, *reason, start),
        }
        lookup
    }

    /// Probes for the first of several keys that any layer has: entries of one thing that can all
    /// be used, best first. Returns which it was, or 0 for a miss, and counts as one lookup.
    ///
    /// # Panics
    /// If `keys` is empty.
    pub fn lookup_any(&self, keys: &[Key]) -> (usize, Lookup) {
        assert!(!keys.is_empty(), "a lookup needs a key");
        let start = self.watch.start();
        let mut missed: Option<Lookup> = None;
        for (index, key) in keys.iter().enumerate() {
            let lookup = self.probe(key);
            match (&lookup.outcome, &mut missed) {
                (Outcome::Hit { layer, content }, _) => {
                    self.count_hit(key, *layer, content, start);
                    return (index, lookup);
                }
                (Outcome::Miss(reason), Some(missed)) => {
                    missed.outcome =
                        Outcome::Miss(missed.miss_reason().max(Some(*reason)).unwrap_or(*reason));
                    missed.trace.extend(lookup.trace);
                }
                (Outcome::Miss(_), none) => *none = Some(lookup),
            }
        }
        let missed = missed.expect("there was a key, and it missed");
        if let Outcome::Miss(reason) = missed.outcome {
            self.count_miss(&keys[0], reason, start);
        }
        (0, missed)
    }

    /// The lookup that belongs between [`begin`](Layers::begin) and the work: somebody else may have
    /// published meanwhile. A hit is counted; a miss is not counted a second time.
    pub fn look_again(&self, flight: &Flight) -> Lookup {
        let start = self.watch.start();
        let lookup = self.probe(flight.key());
        if let Outcome::Hit { layer, content } = &lookup.outcome {
            self.count_hit(flight.key(), *layer, content, start);
        }
        lookup
    }

    /// Whether there is anything that [`publish`](Layers::publish) writes to.
    pub fn can_publish(&self) -> bool {
        self.mode == Mode::Auto && (self.writer().is_some() || self.memory.is_some())
    }

    /// Puts an entry into the read-write layer; when there is none or it fails, into the memory
    /// layer. Never fails: an error of the read-write layer is counted, and returned for reporting
    /// only. `None` also when the [`mode`](Layers::mode) writes nothing, or nothing is there to
    /// write to.
    pub fn publish(&self, key: &Key, content: &Content, description: &[u8]) -> Option<Error> {
        let error = self.try_publish(key, content, description);
        // Also where nothing was kept: then nobody's turn would make a difference to the next one's.
        self.flights.land(key);
        error
    }

    fn try_publish(&self, key: &Key, content: &Content, description: &[u8]) -> Option<Error> {
        if self.mode != Mode::Auto {
            return None;
        }
        let start = self.watch.start();
        let added = || self.count_add(key, content, start);
        let failed = |error: &Error| {
            self.counters.add_failures.one();
            self.watch.tell(|| Event::AddFailed { key, error, took: start.took() });
        };
        let error = match self.writer().map(|writer| writer.add(key, content, description)) {
            Some(Ok(())) => {
                added();
                self.rejected.forgive(key, LayerId::Dir);
                if let Some(upkeep) = &self.upkeep {
                    upkeep.added(key);
                }
                return None;
            }
            Some(Err(error)) => {
                failed(&error);
                Some(error)
            }
            None => None,
        };
        if let Some(memory) = &self.memory {
            match memory.add(key, content, description) {
                Ok(()) if error.is_none() => added(),
                Ok(()) => {}
                Err(problem) if error.is_none() => {
                    failed(&problem);
                    return Some(problem);
                }
                Err(_) => {}
            }
        }
        error
    }

    /// Says that a hit was unusable: the entry of `key` in `layer`, as [`Outcome::Hit`] named it. It
    /// is deleted where that is possible, and not returned again by these layers otherwise. Then it
    /// is looked up again, since a later layer may have a good one.
    ///
    /// Whoever kept the hit's [stamp](Content::stamp) uses [`reject_seen`](Layers::reject_seen), which
    /// spares what another process has put in its place meanwhile.
    ///
    /// Returns why it could not be deleted from a layer that is written to, for reporting only.
    pub fn reject(&self, key: &Key, layer: LayerId, reason: Reject) -> Option<Error> {
        self.reject_seen(key, layer, None, reason)
    }

    /// As [`reject`](Layers::reject), of the very entry that was `seen`.
    pub fn reject_seen(
        &self,
        key: &Key,
        layer: LayerId,
        seen: Option<Stamp>,
        reason: Reject,
    ) -> Option<Error> {
        match reason {
            Reject::Corrupt => self.counters.rejected_corrupt.one(),
            Reject::Mismatch => self.counters.rejected_mismatch.one(),
        }
        self.watch.tell(|| Event::Rejected { key, layer, reason });
        let deleted = self.delete_from(layer, key, |dir| dir.remove_seen(key, seen));
        // Another entry was not rejected, and is looked at.
        if !matches!(deleted, Some(Ok(_))) {
            self.rejected.add(key, layer);
        }
        deleted.and_then(Result::err)
    }

    /// The entries of a group in all layers, for saying why something missed: those of the first
    /// layer first. Layers that fail are passed over.
    pub fn siblings(&self, group: &[u8; 32]) -> Vec<(LayerId, Sibling)> {
        let mut all = Vec::new();
        for (id, slot) in &self.layers {
            if let Slot::Open(cache) = slot {
                let siblings = self.siblings_in(&**cache, group).into_iter();
                all.extend(siblings.map(|sibling| (*id, sibling)));
            }
        }
        all
    }

    /// Appends a line to the [record](LayersBuilder::record), unless this process did before; without
    /// one, `line` is not even made. It must have no line feed. Never fails: what cannot be written
    /// is counted in [`Stats::record_failures`].
    pub fn note(&self, line: impl FnOnce() -> String) {
        if let Some(record) = &self.record
            && record.note(&line()).is_err()
        {
            self.counters.record_failures.one();
        }
    }

    /// Waits until the read-write directory is within its [budget](LayersBuilder::budget), as far
    /// as these layers have to see to it. Dropping them does the same.
    pub fn settle(&self) {
        if let Some(upkeep) = &self.upkeep {
            upkeep.settle();
        }
    }

    fn siblings_in(&self, cache: &dyn Cache, group: &[u8; 32]) -> Vec<Sibling> {
        cache.siblings(group).unwrap_or_else(|error| {
            if ProbeResult::Failed(error).reason() == MissReason::Io {
                self.counters.io_errors.one();
            }
            Vec::new()
        })
    }

    /// What the layers may do.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The counters now.
    pub fn stats(&self) -> Stats {
        let memo_failures = self.memo.as_ref().map_or(0, |memo| memo.failures());
        let housekeeping_failures = match &self.writer {
            Writer::Dir(dir) => dir.passed_over(),
            Writer::None | Writer::Other(_) => 0,
        };
        Stats { memo_failures, housekeeping_failures, ..self.counters.snapshot() }
    }

    /// What is remembered about a file, which may be any file: its digest, if it was
    /// [noted](FileMemo::note) since the machine was started and the file is as it was then. Kept
    /// for this user in the read-write directory, for files on local file systems that were left
    /// alone for two seconds; in all other cases nothing is known and nothing is noted.
    ///
    /// A file that is shorter than 64 KiB is sooner read than remembered.
    pub fn file_memo(&self, file: &File) -> FileMemo {
        FileMemo::new(self.memo.clone(), file)
    }

    /// The layers in the order in which they are probed.
    pub fn layers(&self) -> Vec<LayerInfo> {
        let path =
            |id: LayerId| self.paths.iter().find(|(known, _)| *known == id).map(|(_, path)| path);
        let info = |(id, slot): &(LayerId, Slot)| LayerInfo {
            id: *id,
            path: path(*id).cloned(),
            error: match slot {
                Slot::Open(_) => None,
                Slot::Failed(error) => Some(error.clone()),
            },
        };
        self.layers.iter().map(info).collect()
    }

    /// What did not work when the layers were built, and was done without.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The directory that entries are published to, if there is one.
    pub fn write_path(&self) -> Option<&Path> {
        match &self.writer {
            Writer::Dir(dir) if self.mode == Mode::Auto => Some(dir.path()),
            _ => None,
        }
    }

    /// Whether a layer was attached with [`TrustAnyone`](crate::TrustAnyone). Such layers are for
    /// `unsafe` calls of an engine only.
    pub fn is_vouched(&self) -> bool {
        self.is_vouched
    }

    fn probe(&self, key: &Key) -> Lookup {
        if self.mode == Mode::Off {
            return Lookup { outcome: Outcome::Miss(MissReason::Off), trace: Vec::new() };
        }
        let mut trace = Vec::with_capacity(self.layers.len());
        for (id, slot) in &self.layers {
            let result = match slot {
                Slot::Failed(error) => ProbeResult::Failed(error.clone()),
                Slot::Open(_) if self.rejected.has(key, *id) => ProbeResult::Rejected,
                Slot::Open(cache) => match cache.get(key) {
                    Ok(Some(content)) => {
                        trace.push(Probe { layer: *id, result: ProbeResult::Hit });
                        self.backfill(*id, &**cache, key, &content);
                        let outcome = Outcome::Hit { layer: *id, content: content.with_layer(*id) };
                        return Lookup { outcome, trace };
                    }
                    Ok(None) => ProbeResult::Absent,
                    Err(error) => {
                        if error.is_corrupt() {
                            self.counters.damaged.one();
                            self.delete_from(*id, key, |dir| dir.remove_damaged(key));
                        }
                        let failed = ProbeResult::Failed(error);
                        if failed.reason() == MissReason::Io {
                            self.counters.io_errors.one();
                        }
                        failed
                    }
                },
            };
            trace.push(Probe { layer: *id, result });
        }
        let reason = trace.iter().map(|probe| probe.result.reason()).max();
        Lookup { outcome: Outcome::Miss(reason.unwrap_or(MissReason::Absent)), trace }
    }

    /// Copies what was found below the read-write layer into it.
    fn backfill(&self, layer: LayerId, from: &dyn Cache, key: &Key, content: &Content) {
        let LayerId::Layer(number) = layer else { return };
        let Some(writer) = self.writer().filter(|_| self.mode == Mode::Auto) else { return };
        if number < self.first_lower {
            return;
        }
        // From what was checked, where there is such a thing; of a vouched store, what it says. It may
        // be without one, which is for explanations only.
        let told = || {
            let siblings = self.siblings_in(from, key.group());
            let sibling = siblings.into_iter().find(|sibling| sibling.id == *key.id());
            sibling.map(|sibling| sibling.description).unwrap_or_default()
        };
        let description = content.description().map_or_else(told, <[u8]>::to_vec);
        match writer.add(key, content, &description) {
            Ok(()) => {
                self.counters.backfills.one();
                self.rejected.forgive(key, LayerId::Dir);
                if let Some(upkeep) = &self.upkeep {
                    upkeep.added(key);
                }
            }
            Err(_) => self.counters.backfill_failures.one(),
        }
    }

    /// Deletes an entry from a layer that is written to, `by` this if it is a directory; `None` when
    /// it is not. `false` when there was another one.
    fn delete_from(
        &self,
        layer: LayerId,
        key: &Key,
        by: impl FnOnce(&DirCache) -> Result<bool>,
    ) -> Option<Result<bool>> {
        let deleted = match (layer, &self.writer) {
            (LayerId::Memory, _) => self.memory.as_ref()?.delete(key).map(|()| true),
            (LayerId::Dir, Writer::Dir(dir)) if self.mode == Mode::Auto => by(dir),
            (LayerId::Dir, Writer::Other(cache)) if self.mode == Mode::Auto => {
                cache.delete(key).map(|()| true)
            }
            _ => return None,
        };
        match &deleted {
            Ok(false) => {}
            Ok(true) => {
                self.counters.deletes.one();
                self.watch.tell(|| Event::Deleted { key, layer });
            }
            Err(error) => {
                self.counters.delete_failures.one();
                self.watch.tell(|| Event::DeleteFailed { key, layer, error });
            }
        }
        Some(deleted)
    }

    fn writer(&self) -> Option<&dyn Cache> {
        match &self.writer {
            Writer::None => None,
            Writer::Dir(dir) => Some(&**dir),
            Writer::Other(cache) => Some(&**cache),
        }
    }

    fn count_add(&self, key: &Key, content: &Content, start: Start) {
        self.counters.adds.one();
        self.counters.bytes_added.add(content.len());
        self.watch.tell(|| Event::Added { key, bytes: content.len(), took: start.took() });
    }

    fn count_miss(&self, key: &Key, reason: MissReason, start: Start) {
        self.watch.tell(|| Event::Miss { key, reason, took: start.took() });
        self.count_reason(reason);
    }

    fn count_reason(&self, reason: MissReason) {
        match reason {
            MissReason::Absent => self.counters.misses_absent.one(),
            MissReason::Corrupt => self.counters.misses_corrupt.one(),
            MissReason::Untrusted => self.counters.misses_untrusted.one(),
            MissReason::Io => self.counters.misses_io.one(),
            MissReason::Off => self.counters.misses_off.one(),
        }
    }

    fn count_hit(&self, key: &Key, layer: LayerId, content: &Content, start: Start) {
        let bytes = content.len();
        self.watch.tell(|| Event::Hit { key, layer, bytes, took: start.took() });
        match layer {
            LayerId::Memory => self.counters.hits_memory.one(),
            LayerId::Dir => self.counters.hits_dir.one(),
            LayerId::Layer(_) => self.counters.hits_layer.one(),
        }
        self.counters.bytes_hit.add(content.len());
    }
}

impl Rejected {
    fn has(&self, key: &Key, layer: LayerId) -> bool {
        // Nearly always nothing was rejected, and a hit should not take a lock to learn that.
        self.any.load(Ordering::Acquire) && self.lock().contains(&(*key, layer))
    }

    fn add(&self, key: &Key, layer: LayerId) {
        self.lock().insert((*key, layer));
        self.any.store(true, Ordering::Release);
    }

    fn forgive(&self, key: &Key, layer: LayerId) {
        if self.any.load(Ordering::Acquire) {
            self.lock().remove(&(*key, layer));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<(Key, LayerId)>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Layers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let layers: Vec<_> = self.layers.iter().map(|(id, _)| id).collect();
        f.debug_struct("Layers")
            .field("layers", &layers)
            .field("mode", &self.mode)
            .field("problems", &self.problems)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
