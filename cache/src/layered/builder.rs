//! Which layers there are, and what did not open.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::upkeep::Upkeep;
use super::watch::Watch;
use super::{LayerId, Layers, Mode, Rejected, Slot, Writer};
use crate::budget::Budget;
use crate::cache::Cache;
use crate::dir::{DirCache, DirOptions};
use crate::error::{Error, Result};
use crate::journal::Journal;
use crate::memo::Memo;
use crate::memory::MemoryCache;
use crate::observer::Observer;
use crate::policy::Policy;
use crate::sign::{SigningKey, TrustedKeys};
use crate::single_flight::Flights;
use crate::stats::Counters;
use crate::trust_anyone::TrustAnyone;

/// How long [`Layers::begin`] waits unless it is told otherwise: longer than nearly all work takes.
const WAIT: Duration = Duration::from_secs(120);

/// Says which layers there are. Nothing is opened before [`build`](LayersBuilder::build).
#[derive(Clone)]
#[must_use]
pub struct LayersBuilder {
    read_only: Vec<Source>,
    read_write: Option<Source>,
    lower: Vec<Source>,
    backfill: bool,
    memory: Option<u64>,
    options: DirOptions,
    trusted_keys: TrustedKeys,
    mode: Mode,
    wait: Duration,
    budget: Option<Budget>,
    watch: Watch,
    record: Option<PathBuf>,
    is_vouched: bool,
    problems: Vec<Problem>,
}

#[derive(Clone)]
enum Source {
    Path(PathBuf),
    PathIfPresent(PathBuf),
    Dir(Arc<DirCache>),
    Other(Arc<dyn Cache>),
    /// Believed for the signatures of its entries.
    Sealed(Arc<dyn Cache>),
}

/// The paths of layers, which are counted from `first` on.
fn numbered(first: usize, sources: &[Source]) -> Vec<(LayerId, PathBuf)> {
    let all = sources.iter().enumerate();
    all.filter_map(|(at, source)| Some((LayerId::Layer(first + at), source.path()?.to_path_buf())))
        .collect()
}

impl Source {
    fn path(&self) -> Option<&Path> {
        match self {
            Source::Path(path) | Source::PathIfPresent(path) => Some(path),
            Source::Dir(dir) => Some(dir.path()),
            Source::Other(_) | Source::Sealed(_) => None,
        }
    }
}

/// Something that did not work when layers were built.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Problem {
    /// The layer; `None` when it is about none of them, such as an unknown mode.
    pub layer: Option<LayerId>,
    /// What was tried and why it failed.
    pub error: Error,
    /// What is done about it.
    pub remedy: &'static str,
}

impl LayersBuilder {
    pub(super) fn new() -> LayersBuilder {
        LayersBuilder {
            read_only: Vec::new(),
            read_write: None,
            lower: Vec::new(),
            backfill: true,
            memory: None,
            options: DirOptions::new(),
            trusted_keys: TrustedKeys::new(),
            mode: Mode::Auto,
            wait: WAIT,
            budget: None,
            watch: Watch::default(),
            record: None,
            is_vouched: false,
            problems: Vec::new(),
        }
    }

    /// Adds a directory that is only read, behind those that were added before. That it does not
    /// exist is a [`Problem`].
    pub fn read_only(mut self, path: impl Into<PathBuf>) -> Self {
        self.read_only.push(Source::Path(path.into()));
        self
    }

    /// Adds a directory that is only read, unless it does not exist.
    pub fn read_only_if_present(mut self, path: impl Into<PathBuf>) -> Self {
        self.read_only.push(Source::PathIfPresent(path.into()));
        self
    }

    /// Adds an open directory as a read-only layer: it has its own policy, and is not written to.
    pub fn read_only_dir(mut self, dir: DirCache) -> Self {
        self.is_vouched |= dir.is_vouched();
        self.read_only.push(Source::Dir(Arc::new(dir)));
        self
    }

    /// Sets the directory that is read and written, in place of the one that was set before.
    pub fn read_write(mut self, path: impl Into<PathBuf>) -> Self {
        self.read_write = Some(Source::Path(path.into()));
        self
    }

    /// Sets an open directory as the one that is read and written. It has its own policy.
    pub fn read_write_dir(mut self, dir: DirCache) -> Self {
        self.is_vouched |= dir.is_vouched();
        self.read_write = Some(Source::Dir(Arc::new(dir)));
        self
    }

    /// Goes without a read-write layer.
    pub fn no_read_write(mut self) -> Self {
        self.read_write = None;
        self
    }

    /// Adds a directory that is only read, below the read-write one: probed after it, and what is
    /// found there is copied up. For places that are far away, such as a share of a network. Its
    /// entries are always checked whole. That it does not exist is a [`Problem`].
    pub fn below(mut self, path: impl Into<PathBuf>) -> Self {
        self.lower.push(Source::Path(path.into()));
        self
    }

    /// Adds an implementation of one's own below the read-write layer: probed after it, and what is
    /// found there is copied up. What is promised is written at
    /// [`TrustAnyone::i_vouch_for_every_writer`].
    pub fn dangerously_below(mut self, cache: Arc<dyn Cache>, _promise: TrustAnyone) -> Self {
        self.is_vouched = true;
        self.lower.push(Source::Other(cache));
        self
    }

    /// Whether what is found below the read-write layer is copied into it, so that it is found there
    /// the next time; it is by default.
    pub fn backfill(mut self, backfill: bool) -> Self {
        self.backfill = backfill;
        self
    }

    /// Keeps in the memory of this process what cannot be kept in a read-write layer, up to
    /// `budget` bytes.
    pub fn memory(mut self, budget: u64) -> Self {
        self.memory = Some(budget);
        self
    }

    /// Adds an implementation of one's own as a read-only layer. What is promised is written at
    /// [`TrustAnyone::i_vouch_for_every_writer`].
    pub fn dangerously_read_only(mut self, cache: Arc<dyn Cache>, _promise: TrustAnyone) -> Self {
        self.is_vouched = true;
        self.read_only.push(Source::Other(cache));
        self
    }

    /// Sets an implementation of one's own as the read-write layer. What is promised is written at
    /// [`TrustAnyone::i_vouch_for_every_writer`]. It is not locked across processes.
    pub fn dangerously_read_write(mut self, cache: Arc<dyn Cache>, _promise: TrustAnyone) -> Self {
        self.is_vouched = true;
        self.read_write = Some(Source::Other(cache));
        self
    }

    /// Adds an implementation of one's own as a read-only layer, whoever may write to it: its entries
    /// are used with the signature of a [trusted key](LayersBuilder::trusted_keys) only, whatever the
    /// policy. What it returns is copied to where nobody else can write, checked there, and used from
    /// there.
    ///
    /// What it keeps as the content of an entry is the content with its signed trailer: what
    /// [`signed_read_write`](LayersBuilder::signed_read_write) adds, or the bytes of an entry file of
    /// a signed directory. Its [names](Cache::resolve) are not used, as they have no signature.
    ///
    /// ```
    /// use precompile_cache::{Cache, Content, Key, Layers, MemoryCache, SigningKey};
    /// use std::sync::Arc;
    ///
    /// let key = Arc::new(SigningKey::generate("release-1").unwrap());
    /// // It stands for a store of one's own.
    /// let store = Arc::new(MemoryCache::new());
    /// let maker = Layers::builder().signed_read_write(store.clone()).sign_with(key.clone()).build();
    /// let entry = Key::new([1; 32], [2; 32]);
    /// assert!(maker.publish(&entry, &Content::from_bytes(*b"content"), b"").is_none());
    ///
    /// let layers = Layers::builder().signed_read_only(store.clone());
    /// let user = layers.clone().trusted_keys(key.public_key()).build();
    /// assert_eq!(user.lookup(&entry).into_content().unwrap().to_vec().unwrap(), b"content");
    /// assert!(!user.is_vouched());
    /// // Who trusts no key finds nothing, and what was not signed is nothing either.
    /// assert!(!layers.build().lookup(&entry).is_hit());
    /// store.add(&entry, &Content::from_bytes(*b"other"), b"").unwrap();
    /// assert!(!user.lookup(&entry).is_hit());
    /// ```
    pub fn signed_read_only(mut self, cache: Arc<dyn Cache>) -> Self {
        self.read_only.push(Source::Sealed(cache));
        self
    }

    /// As [`signed_read_only`](LayersBuilder::signed_read_only), below the read-write layer: probed
    /// after it, and what is found there is copied up.
    pub fn signed_below(mut self, cache: Arc<dyn Cache>) -> Self {
        self.lower.push(Source::Sealed(cache));
        self
    }

    /// As [`signed_read_only`](LayersBuilder::signed_read_only), as the read-write layer. What is
    /// published is signed [with a key](LayersBuilder::sign_with), without which nothing is kept. It
    /// is not locked across processes.
    pub fn signed_read_write(mut self, cache: Arc<dyn Cache>) -> Self {
        self.read_write = Some(Source::Sealed(cache));
        self
    }

    /// Waives the trust rule for all directories that these layers open by path. What is promised
    /// is written at [`TrustAnyone::i_vouch_for_every_writer`].
    pub fn dangerously_trust(mut self, promise: TrustAnyone) -> Self {
        self.is_vouched = true;
        self.options = self.options.dangerously_trust(promise);
        self
    }

    /// Waives the trust rule for one directory, wherever it is among the layers that are opened by
    /// path: for one that cannot follow the rule, such as a volume of mode 0777 that only trusted
    /// containers mount. What is promised is written at [`TrustAnyone::i_vouch_for_every_writer`].
    pub fn dangerously_trust_dir(mut self, path: impl Into<PathBuf>, promise: TrustAnyone) -> Self {
        self.is_vouched = true;
        self.options = self.options.dangerously_trust_dir(path, promise);
        self
    }

    /// Whether the trust rule was waived for any layer. An engine takes such layers through an
    /// `unsafe` call only.
    pub fn is_vouched(&self) -> bool {
        self.is_vouched
    }

    /// How much of an entry is checked, in all directories that these layers open by path.
    ///
    /// [`Policy::Signed`] is for those that are only read. The read-write directory goes on being
    /// under the trust rule, and its entries, which this user made, need no signature; a directory
    /// where they do is attached by [`read_write_dir`](LayersBuilder::read_write_dir). Its list of
    /// [names](crate::Names) needs one all the same.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.options = self.options.policy(policy);
        self
    }

    pub(super) fn is_signed(&self) -> bool {
        self.options.policy_named() == Policy::Signed
    }

    #[cfg(test)]
    pub(super) fn is_full(&self) -> bool {
        self.options.policy_named() == Policy::Full
    }

    /// Accepts the signatures of these keys as well, under [`Policy::Signed`].
    pub fn trusted_keys(mut self, keys: impl Into<TrustedKeys>) -> Self {
        self.trusted_keys.extend(keys.into());
        self
    }

    /// As [`trusted_keys`](LayersBuilder::trusted_keys), with those in a file. That it cannot be
    /// read is a [`Problem`].
    pub fn trusted_keys_file(self, path: impl AsRef<Path>) -> Self {
        match TrustedKeys::read(path) {
            Ok(keys) => self.trusted_keys(keys),
            Err(error) => self.problem(error, "its signatures are not accepted"),
        }
    }

    /// What lists of [names](crate::Names) have to be for, in all directories that these layers open
    /// by path: see [`DirOptions::names_scope`].
    pub fn names_scope(mut self, scope: impl Into<Arc<str>>) -> Self {
        self.options = self.options.names_scope(scope);
        self
    }

    /// What lists of names have to be for, if that was [said](LayersBuilder::names_scope): what whoever
    /// writes one for these layers gives it. It may be no scope that a list can have.
    pub fn scope(&self) -> Option<&str> {
        self.options.scope()
    }

    /// Signs what is published to a read-write directory that is opened by path, or to a
    /// [store](LayersBuilder::signed_read_write) that needs it.
    pub fn sign_with(mut self, key: impl Into<Arc<SigningKey>>) -> Self {
        self.options = self.options.sign_with(key);
        self
    }

    /// What the layers may do.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// How long [`Layers::begin`] waits for another thread or process before the caller does the
    /// work itself; 120 seconds by default.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// The directory that would be read and written, as it was named; `None` when there is none or
    /// it is an implementation of one's own. Nothing is opened.
    pub fn write_path(&self) -> Option<&Path> {
        self.read_write.as_ref().and_then(Source::path)
    }

    /// How much the read-write directory may hold. It is kept in the background after an entry was
    /// published there; never by a lookup, and never in a read-only layer. Without a budget it
    /// grows. An implementation of one's own keeps its own.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = Some(budget);
        self
    }

    #[cfg(test)]
    pub(super) fn max_bytes(&self) -> Option<u64> {
        self.budget.as_ref()?.max_bytes
    }

    /// Tells `observer` of each lookup, add, wait and eviction.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.watch = Watch(Some(observer));
        self
    }

    /// Appends to this file what the owner of the layers notes by [`Layers::note`], in each mode.
    /// That it cannot be opened, or is full, is a [`Problem`]: it gets 64 MiB long, of which a process
    /// writes 131072 lines at most. What is noted beyond that counts as a failure to
    /// ([`Stats::record_failures`](crate::Stats::record_failures)).
    pub fn record(mut self, path: impl Into<PathBuf>) -> Self {
        self.record = Some(path.into());
        self
    }

    /// Notes something that did not work before anything was opened.
    pub(super) fn problem(mut self, error: Error, remedy: &'static str) -> Self {
        self.problems.push(Problem { layer: None, error, remedy });
        self
    }

    /// Opens the layers, doing without those that do not open: a read-write directory that cannot be
    /// written is read, and one that cannot be read either is left out. What happened is in
    /// [`Layers::problems`].
    pub fn build(mut self) -> Layers {
        self.options = self.options.trusted_keys(std::mem::take(&mut self.trusted_keys));
        let mut layers = Vec::new();
        let mut paths = Vec::new();
        let mut writer = Writer::None;
        let mut memo = None;
        let memory = self.memory.filter(|_| self.mode == Mode::Auto);
        let memory = memory.map(|budget| Arc::new(MemoryCache::with_budget(budget)));
        if let Some(memory) = &memory {
            layers.push((LayerId::Memory, Slot::Open(Arc::clone(memory) as Arc<dyn Cache>)));
        }
        let first_lower = self.read_only.len();
        if self.mode != Mode::Off {
            paths.extend(numbered(0, &self.read_only));
            paths.extend(numbered(first_lower, &self.lower));
            // In this order, since it is the order of what did not work.
            let upper = std::mem::take(&mut self.read_only);
            let mut dirs = Vec::new();
            self.open_all(0, upper, &mut layers, &mut dirs);
            if let Some(source) = self.read_write.take() {
                paths.extend(source.path().map(|path| (LayerId::Dir, path.to_path_buf())));
                let slot;
                (slot, writer) = self.open_read_write(source, &mut dirs, &mut memo);
                layers.extend(slot.map(|slot| (LayerId::Dir, slot)));
            }
            if !self.is_signed() {
                self.options = self.options.policy(Policy::Full);
            }
            let lower = std::mem::take(&mut self.lower);
            self.open_all(first_lower, lower, &mut layers, &mut dirs);
            if let Some(memo) = &memo {
                dirs.iter().for_each(|dir| dir.remember_in(Arc::clone(memo)));
            }
        }
        let record = self.record.take().and_then(|path| match Journal::open(&path) {
            Ok(journal) => Some(journal),
            Err(error) => {
                self.problems.push(Problem { layer: None, error, remedy: "nothing is recorded" });
                None
            }
        });
        let counters = Arc::new(Counters::default());
        let upkeep = match (&writer, self.budget) {
            (Writer::Dir(dir), Some(budget)) if self.mode == Mode::Auto => Some(Upkeep::new(
                budget,
                Arc::clone(dir),
                Arc::clone(&counters),
                self.watch.clone(),
            )),
            _ => None,
        };
        Layers {
            layers,
            first_lower: if self.backfill { first_lower } else { usize::MAX },
            paths,
            memory,
            memo,
            writer,
            mode: self.mode,
            wait: self.wait,
            is_vouched: self.is_vouched,
            problems: self.problems,
            flights: Flights::default(),
            counters,
            upkeep,
            record,
            watch: self.watch,
            rejected: Rejected::default(),
        }
    }

    /// Opens the layers, all of them.
    ///
    /// # Errors
    /// The first problem that [`build`](LayersBuilder::build) would have worked around.
    pub fn try_build(self) -> Result<Layers> {
        let layers = self.build();
        match layers.problems.first() {
            None => Ok(layers),
            Some(problem) => Err(problem.error.clone()),
        }
    }

    /// Opens layers that are only read, numbered from `first` on.
    fn open_all(
        &mut self,
        first: usize,
        sources: Vec<Source>,
        layers: &mut Vec<(LayerId, Slot)>,
        dirs: &mut Vec<Arc<DirCache>>,
    ) {
        for (number, source) in sources.into_iter().enumerate() {
            let id = LayerId::Layer(first + number);
            if let Some(slot) = self.open_read_only(id, source, dirs) {
                layers.push((id, slot));
            }
        }
    }

    fn open_read_only(
        &mut self,
        layer: LayerId,
        source: Source,
        dirs: &mut Vec<Arc<DirCache>>,
    ) -> Option<Slot> {
        let (path, is_optional) = match source {
            Source::Dir(dir) => {
                dirs.push(Arc::clone(&dir));
                return Some(Slot::Open(dir));
            }
            Source::Other(cache) => return Some(Slot::Open(cache)),
            Source::Sealed(cache) => return Some(Slot::Open(Arc::new(self.options.seal(cache)))),
            Source::Path(path) => (path, false),
            Source::PathIfPresent(path) => (path, true),
        };
        match self.options.open_read_only(path) {
            Ok(dir) => {
                let dir = Arc::new(dir);
                dirs.push(Arc::clone(&dir));
                Some(Slot::Open(dir))
            }
            Err(error) if error.is_missing() && is_optional => None,
            Err(error) => Some(self.fail(layer, error, "the layer is left out")),
        }
    }

    fn open_read_write(
        &mut self,
        source: Source,
        dirs: &mut Vec<Arc<DirCache>>,
        memo: &mut Option<Arc<Memo>>,
    ) -> (Option<Slot>, Writer) {
        let mut open = |dir: Arc<DirCache>, mode: Mode| {
            *memo = dir.own_memo();
            if let (Some(memo), true) = (&memo, mode != Mode::Auto) {
                memo.freeze();
            }
            dirs.push(Arc::clone(&dir));
            Some(Slot::Open(dir))
        };
        let path = match source {
            Source::Dir(dir) if dir.is_writable() => {
                return (open(Arc::clone(&dir), self.mode), Writer::Dir(dir));
            }
            Source::Dir(dir) => return (open(dir, self.mode), Writer::None),
            Source::Other(cache) => {
                return (Some(Slot::Open(cache.clone())), Writer::Other(cache));
            }
            Source::Sealed(cache) => {
                let cache: Arc<dyn Cache> = Arc::new(self.options.seal(cache));
                return (Some(Slot::Open(cache.clone())), Writer::Other(cache));
            }
            Source::Path(path) | Source::PathIfPresent(path) => path,
        };
        // What this user has made is believed without a signature; elsewhere one is needed.
        let options = self.options.clone();
        let own = match self.is_signed() {
            true => options.clone().policy(Policy::Auto).signed_names(),
            false => options.clone(),
        };
        if self.mode != Mode::Auto {
            // A cache that was never written to is an empty one to a reader.
            let opened = match own.open_read_only(&path) {
                Err(error) if error.is_untrusted() => options.open_read_only(&path),
                opened => opened,
            };
            return match opened {
                Ok(dir) => (open(Arc::new(dir), self.mode), Writer::None),
                Err(error) if error.is_missing() => (None, Writer::None),
                Err(error) => {
                    (Some(self.fail(LayerId::Dir, error, "nothing is read there")), Writer::None)
                }
            };
        }
        match own.open(&path) {
            Ok(dir) => {
                let dir = Arc::new(dir);
                (open(Arc::clone(&dir), self.mode), Writer::Dir(dir))
            }
            // Filled by somebody else and mounted read-only, perhaps: still good for reading.
            Err(error) => match options.open_read_only(&path) {
                Ok(dir) => {
                    let slot = open(Arc::new(dir), self.mode);
                    self.fail(LayerId::Dir, error, "it is read, and nothing is written");
                    (slot, Writer::None)
                }
                Err(_) => (Some(self.fail(LayerId::Dir, error, "nothing is kept")), Writer::None),
            },
        }
    }

    fn fail(&mut self, layer: LayerId, error: Error, remedy: &'static str) -> Slot {
        self.problems.push(Problem { layer: Some(layer), error: error.clone(), remedy });
        Slot::Failed(error)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(layer) = self.layer {
            write!(f, "cache {layer}: ")?;
        }
        write!(f, "{} ({})", self.error, self.remedy)
    }
}

impl fmt::Debug for LayersBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayersBuilder")
            .field("read_only", &self.read_only)
            .field("read_write", &self.read_write)
            .field("lower", &self.lower)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Path(path) | Source::PathIfPresent(path) => path.fmt(f),
            Source::Dir(dir) => dir.path().fmt(f),
            Source::Other(_) | Source::Sealed(_) => {
                f.write_str("an implementation of the embedder")
            }
        }
    }
}
