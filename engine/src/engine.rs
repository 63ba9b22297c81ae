//! The engine: settings that were checked, and what all modules of a process share.

use crate::abi::memory_plan::Bounds;
use crate::abi::target::{CpuFeatures, CpuLevel, Target};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::features::Features;
use crate::fingerprint::Fingerprint;
use crate::report::{Miss, Misses, REASONS};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Settings that were checked, shared by the modules and stores made with it.
///
/// Cheap to clone: all clones are the same engine.
///
/// ```
/// let engine = precompile::Engine::default();
/// assert!(engine.same(&engine.clone()));
/// ```
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    config: Config,
    /// Settings that this engine runs code of, best first; a lookup tries them in this order.
    candidates: Vec<Fingerprint>,
    /// Settings that it compiles with.
    compile: Fingerprint,
    host_features: CpuFeatures,
    compiles: AtomicU64,
    misses: [AtomicU64; REASONS.len()],
    epoch: AtomicU64,
    #[cfg(feature = "runtime")]
    types: crate::runtime::types::TypeRegistry,
    #[cfg(feature = "runtime")]
    loaded: crate::runtime::module::Loaded,
}

impl Default for Engine {
    /// The engine of [`Config::default`].
    ///
    /// # Panics
    /// Where [`Engine::new`] fails: on a host that there is no code for.
    fn default() -> Self {
        Engine::new(&Config::default()).expect("the default settings hold on a supported host")
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("compile", &self.0.compile).finish_non_exhaustive()
    }
}

impl Engine {
    /// Checks `config`.
    ///
    /// The first engine of a process that can run code installs handlers for the signals that
    /// traps are made of; other faults go on to the handlers that were there before. They stay: a
    /// shared library that has the engine inside must not be unloaded.
    ///
    /// # Errors
    /// If a setting cannot be, alone or with the others, or the host is not supported.
    pub fn new(config: &Config) -> Result<Engine> {
        let bad = |message: String| Error::with_kind(ErrorKind::Config, message);
        let settings = &config.compile;
        let unsupported = settings.features.difference(Features::SUPPORTED);
        if !unsupported.is_empty() {
            return Err(Error::with_kind(
                ErrorKind::Unsupported,
                format!("this engine does not support {unsupported} yet: switch it off"),
            ));
        }
        let target = match settings.target.or(Target::host()) {
            Some(target) => target,
            None => {
                return Err(Error::with_kind(
                    ErrorKind::Unsupported,
                    "there is no code for this host: name a target to compile for",
                ));
            }
        };
        if let Some(cpu) = settings.cpu
            && cpu.arch() != target.arch()
        {
            return Err(bad(format!("CPU level {cpu} does not belong to target {target}")));
        }
        #[cfg(feature = "cache")]
        if let Some(cache) = &config.runtime.cache
            && cache.is_vouched()
            && !config.runtime.cache_vouched
        {
            return Err(bad("a cache layer that the trust rule does not cover was attached: \
                            use `Config::cache_vouched`"
                .into()));
        }
        #[cfg(feature = "runtime")]
        if Target::host() == Some(target) {
            crate::runtime::init()?;
        }
        let host_features = config.runtime.host_features.unwrap_or_else(CpuFeatures::detect);
        let levels: Vec<CpuLevel> = match settings.cpu {
            Some(level) => vec![level],
            None if Target::host() != Some(target) => vec![CpuLevel::portable(target.arch())],
            None => {
                let named = CpuLevel::named(target.arch()).iter().copied();
                named.filter(|level| host_features.contains(level.features())).collect()
            }
        };
        let bounds = settings.bounds.unwrap_or_else(|| default_bounds(target));
        let candidates: Vec<_> = levels
            .into_iter()
            .map(|cpu| Fingerprint {
                target,
                cpu,
                features: settings.features,
                bounds,
                opt_level: settings.opt_level,
                nan_canonicalization: settings.nan_canonicalization,
                relaxed_simd_deterministic: settings.relaxed_simd_deterministic,
                fuel: settings.fuel,
                epoch_interruption: settings.epoch_interruption,
            })
            .collect();
        let compile = *candidates.first().ok_or_else(|| bad("no CPU level fits".into()))?;
        Ok(Engine(Arc::new(Inner {
            config: config.clone(),
            candidates,
            compile,
            host_features,
            compiles: AtomicU64::new(0),
            misses: Default::default(),
            epoch: AtomicU64::new(0),
            #[cfg(feature = "runtime")]
            types: Default::default(),
            #[cfg(feature = "runtime")]
            loaded: Default::default(),
        })))
    }

    /// Whether both are the same engine.
    pub fn same(&self, other: &Engine) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// What code is made for and run on.
    pub fn target(&self) -> Target {
        self.0.compile.target
    }

    /// The level of processors that this engine compiles for.
    pub fn cpu(&self) -> CpuLevel {
        self.0.compile.cpu
    }

    /// How many modules this engine has compiled: those that no cache had.
    pub fn compile_count(&self) -> u64 {
        self.0.compiles.load(Ordering::Relaxed)
    }

    /// How often the cache did not have what was asked for, by reason. The cache's own counters,
    /// [`cache_stats`](Engine::cache_stats), know nothing of settings.
    pub fn misses(&self) -> Misses {
        Misses::new(std::array::from_fn(|reason| self.0.misses[reason].load(Ordering::Relaxed)))
    }

    /// Moves the epoch on by one: stores whose deadline it reaches stop, if the engine has
    /// [`Config::epoch_interruption`]. One atomic addition, for any thread or signal handler.
    pub fn increment_epoch(&self) {
        self.0.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// Counters of the cache: hits by layer, misses by reason, writes and failures. `None`
    /// without a cache.
    #[cfg(feature = "cache")]
    pub fn cache_stats(&self) -> Option<precompile_cache::Stats> {
        self.cache().map(|cache| cache.stats())
    }

    /// What of the cache did not open, and is done without.
    #[cfg(feature = "cache")]
    pub fn cache_problems(&self) -> &[precompile_cache::Problem] {
        self.cache().map_or(&[], |cache| cache.problems())
    }

    #[cfg(feature = "cache")]
    pub(crate) fn cache(&self) -> Option<&precompile_cache::Layers> {
        self.0.config.runtime.cache.as_deref()
    }

    pub(crate) fn count_miss(&self, miss: &Miss) {
        if let Some(reason) = REASONS.iter().position(|reason| *reason == miss.as_str()) {
            self.0.misses[reason].fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn count_compile(&self) {
        self.0.compiles.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn candidates(&self) -> &[Fingerprint] {
        &self.0.candidates
    }

    pub(crate) fn compile_fingerprint(&self) -> &Fingerprint {
        &self.0.compile
    }

    pub(crate) fn host_features(&self) -> CpuFeatures {
        self.0.host_features
    }

    pub(crate) fn bounds(&self) -> Bounds {
        self.0.compile.bounds
    }

    /// Whether code of this engine can run here.
    pub(crate) fn runs_here(&self) -> bool {
        Target::host() == Some(self.target())
    }

    pub(crate) fn epoch(&self) -> &AtomicU64 {
        &self.0.epoch
    }

    #[cfg(feature = "runtime")]
    pub(crate) fn types(&self) -> &crate::runtime::types::TypeRegistry {
        &self.0.types
    }

    #[cfg(feature = "runtime")]
    pub(crate) fn loaded(&self) -> &crate::runtime::module::Loaded {
        &self.0.loaded
    }
}

/// Guard pages, unless code is for this host and it cannot reserve the address space of a memory.
/// What is made for another one does not depend on where it is made.
fn default_bounds(target: Target) -> Bounds {
    #[cfg(feature = "runtime")]
    let can_reserve = crate::runtime::can_reserve_guarded;
    // Nothing runs in this build: its code is for others.
    #[cfg(not(feature = "runtime"))]
    let can_reserve = || true;
    if Target::host() == Some(target) && !can_reserve() { Bounds::Explicit } else { Bounds::Guard }
}
