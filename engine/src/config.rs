//! Settings of an engine.
//!
//! [`Config`] is a `CompileConfig` and a `RuntimeConfig`, and the split *is* the answer to "does
//! it change the key?": what is in the first does, what is in the second does not.

use crate::abi::memory_plan::Bounds;
use crate::abi::target::{CpuFeatures, CpuLevel, Target};
use crate::error::Result;
use crate::features::Features;
use crate::fingerprint::OptLevel;
#[cfg(feature = "cache")]
use std::sync::Arc;

/// Settings of an [`Engine`](crate::Engine), with the names that wasmtime gives them.
///
/// Nothing is read from the environment, from files or from the home directory.
///
/// ```
/// use precompile::{Config, Engine, OptLevel};
/// let mut config = Config::new();
/// config.cranelift_opt_level(OptLevel::None).wasm_simd(false);
/// let engine = Engine::new(&config)?;
/// # Ok::<(), precompile::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) compile: CompileConfig,
    pub(crate) runtime: RuntimeConfig,
}

/// What changes code, and so the key. `None` leaves the choice to the engine.
#[derive(Clone, Debug)]
pub(crate) struct CompileConfig {
    pub(crate) target: Option<Target>,
    pub(crate) cpu: Option<CpuLevel>,
    pub(crate) features: Features,
    pub(crate) bounds: Option<Bounds>,
    pub(crate) opt_level: OptLevel,
    pub(crate) nan_canonicalization: bool,
    pub(crate) relaxed_simd_deterministic: bool,
    pub(crate) fuel: bool,
    pub(crate) epoch_interruption: bool,
}

/// What changes no code.
#[derive(Clone, Debug)]
pub(crate) struct RuntimeConfig {
    pub(crate) max_wasm_stack: usize,
    /// Threads that compile; 0 for as many as the host has processors.
    pub(crate) jobs: usize,
    pub(crate) host_features: Option<CpuFeatures>,
    pub(crate) load: Load,
    pub(crate) shared_memory: bool,
    #[cfg(feature = "cache")]
    pub(crate) cache: Option<Arc<precompile_cache::Layers>>,
    /// Whether somebody vouched for layers that the trust rule does not cover.
    #[cfg(feature = "cache")]
    pub(crate) cache_vouched: bool,
}

/// How artifacts get into memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Load {
    /// Mapped from their file: nothing is copied, and processes share the pages. Whoever may
    /// write the file must not truncate it while it is mapped; replacing it is fine.
    #[default]
    Map,
    /// Copied: survives whatever happens to the file.
    Copy,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            compile: CompileConfig {
                target: None,
                cpu: None,
                features: Features::default(),
                bounds: None,
                opt_level: OptLevel::Speed,
                nan_canonicalization: false,
                relaxed_simd_deterministic: true,
                fuel: false,
                epoch_interruption: false,
            },
            runtime: RuntimeConfig {
                max_wasm_stack: 512 << 10,
                jobs: 0,
                host_features: None,
                load: Load::Map,
                shared_memory: true,
                #[cfg(feature = "cache")]
                cache: None,
                #[cfg(feature = "cache")]
                cache_vouched: false,
            },
        }
    }
}

macro_rules! proposals {
    ($($name:ident $feature:ident $text:literal;)*) => {
        impl Config {
            $(
                #[doc = concat!("Whether modules may use ", $text, ". Changes the key.")]
                pub fn $name(&mut self, enable: bool) -> &mut Self {
                    self.compile.features = self.compile.features.with(Features::$feature, enable);
                    self
                }
            )*
        }
    };
}

// What the engine does not support may be switched on here; `Engine::new` then says its name.
proposals! {
    wasm_multi_value MULTI_VALUE "blocks and functions with several results";
    wasm_bulk_memory BULK_MEMORY "bulk memory operations";
    wasm_reference_types REFERENCE_TYPES "reference types";
    wasm_simd SIMD "128-bit vectors";
    wasm_relaxed_simd RELAXED_SIMD "relaxed vector instructions (see [`Config::relaxed_simd_deterministic`])";
    wasm_tail_call TAIL_CALL "tail calls";
    wasm_exceptions EXCEPTIONS "exceptions";
    wasm_function_references FUNCTION_REFERENCES "typed function references";
    wasm_memory64 MEMORY64 "64-bit memories and tables";
    wasm_multi_memory MULTI_MEMORY "several memories";
    wasm_extended_const EXTENDED_CONST "arithmetic in constant expressions";
    wasm_threads THREADS "shared memories and atomics, see [`SharedMemory`](crate::SharedMemory); off by default";
    wasm_custom_page_sizes CUSTOM_PAGE_SIZES "custom page sizes";
    wasm_wide_arithmetic WIDE_ARITHMETIC "128-bit arithmetic";
    wasm_gc GC "garbage-collected types";
}

impl Config {
    /// The defaults.
    pub fn new() -> Self {
        Config::default()
    }

    /// The proposals that modules may use, all at once: by default those of WebAssembly 3.0 that
    /// the engine supports. Changes the key. One that it does not support is refused by
    /// [`Engine::new`](crate::Engine::new), by its name.
    pub fn features(&mut self, features: Features) -> &mut Self {
        self.compile.features = features;
        self
    }

    /// Makes code for another platform. Changes the key. Such an engine compiles, but runs
    /// nothing.
    ///
    /// # Errors
    /// If `triple` is no target that there is code for.
    pub fn target(&mut self, triple: &str) -> Result<&mut Self> {
        self.compile.target = Some(triple.parse()?);
        Ok(self)
    }

    /// Makes code for exactly this level of processors, and looks for no other in the cache.
    /// Changes the key.
    ///
    /// By default an engine for its own host looks for the best level that the host has, then for
    /// the next ones down, and compiles for the best *named* one when it finds none; an engine
    /// for another target makes code for the portable level.
    pub fn cpu(&mut self, level: CpuLevel) -> &mut Self {
        self.compile.cpu = Some(level);
        self
    }

    /// How accesses are kept inside of memories. Changes the key. By default guard pages, and
    /// explicit comparisons on a host that cannot reserve the address space for them.
    pub fn bounds(&mut self, bounds: Bounds) -> &mut Self {
        self.compile.bounds = Some(bounds);
        self
    }

    /// How hard the compiler tries. Changes the key.
    pub fn cranelift_opt_level(&mut self, level: OptLevel) -> &mut Self {
        self.compile.opt_level = level;
        self
    }

    /// Whether every NaN that arithmetic makes has the same bits on all processors. Changes the
    /// key. Costs time in floating-point code; off by default.
    pub fn cranelift_nan_canonicalization(&mut self, enable: bool) -> &mut Self {
        self.compile.nan_canonicalization = enable;
        self
    }

    /// Whether relaxed vector instructions have the same results on all processors (the default),
    /// or whatever is quickest on those that code is made for, of what the specification allows.
    /// Then results may depend on the level of processors of the entry that is found. Changes the
    /// key.
    pub fn relaxed_simd_deterministic(&mut self, enable: bool) -> &mut Self {
        self.compile.relaxed_simd_deterministic = enable;
        self
    }

    /// Whether code counts what it executes, and stops when the store's fuel is used up. Changes
    /// the key. Off by default.
    ///
    /// Each operator of wasm costs 1, and each call of a function 1 more; `nop`, `drop`, `block`,
    /// `loop`, `else`, `end`, `return` and `unreachable` are free. Code looks at the fuel at the
    /// start of functions and loops and before bulk operations, so that it may run on by as much
    /// as is between two of these. The numbers are the same for all processors and settings,
    /// unless the end of the stack comes into it. See
    /// [`Store::set_fuel`](crate::Store::set_fuel).
    pub fn consume_fuel(&mut self, enable: bool) -> &mut Self {
        self.compile.fuel = enable;
        self
    }

    /// Whether code looks at the engine's epoch at the start of functions and loops and before
    /// bulk operations, and stops when the store's deadline has passed. Changes the key. Off by
    /// default. Cheaper than fuel, but when it stops depends on time. See
    /// [`Store::set_epoch_deadline`](crate::Store::set_epoch_deadline).
    pub fn epoch_interruption(&mut self, enable: bool) -> &mut Self {
        self.compile.epoch_interruption = enable;
        self
    }

    /// Bytes of stack that wasm may use, 512 KiB by default; deeper recursion traps. A thread's own
    /// stack is never used up; one that the host made, as for a fiber, has to have so many bytes
    /// left where wasm is entered on it, and 128 KiB more for functions of the host. From a function
    /// of the host that wasm called on one such stack, enter it on the same or on one at a higher
    /// address: one at a lower address counts as used up, and wasm traps there.
    pub fn max_wasm_stack(&mut self, bytes: usize) -> &mut Self {
        self.runtime.max_wasm_stack = bytes;
        self
    }

    /// Whether functions are compiled on all processors (the default) or one after another. The
    /// artifact is the same, byte for byte.
    pub fn parallel_compilation(&mut self, parallel: bool) -> &mut Self {
        self.runtime.jobs = if parallel { 0 } else { 1 };
        self
    }

    /// How many threads compile; 0 for one a processor. The artifact is the same, byte for byte.
    pub fn compile_jobs(&mut self, jobs: usize) -> &mut Self {
        self.runtime.jobs = jobs;
        self
    }

    /// How artifacts get into memory.
    pub fn load(&mut self, load: Load) -> &mut Self {
        self.runtime.load = load;
        self
    }

    /// Whether shared memories can be made, by the embedder or by modules that define one: on by
    /// default, with [threads](Config::wasm_threads). Without, modules may still use atomics.
    pub fn shared_memory(&mut self, enable: bool) -> &mut Self {
        self.runtime.shared_memory = enable;
        self
    }

    /// What the host's processor has, instead of asking it: for tests of selection and refusal.
    /// Claiming what it has not leads to code that it cannot run, and the engine then refuses
    /// only by what was claimed.
    #[doc(hidden)]
    pub fn assume_host_features(&mut self, features: CpuFeatures) -> &mut Self {
        self.runtime.host_features = Some(features);
        self
    }

    /// Where [`Module::new`](crate::Module::new) looks before it compiles and puts what it
    /// compiled. None by default. What does not open is done without, and is told by
    /// [`Engine::cache_problems`](crate::Engine::cache_problems); a cache never fails a run.
    ///
    /// Takes a builder, not what it builds, so that nobody but engines can publish there. Layers
    /// that the trust rule does not cover are refused by `Engine::new`.
    ///
    /// ```no_run
    /// use precompile::{Config, Engine, cache::Layers};
    /// let mut config = Config::new();
    /// config.cache(Layers::builder().read_only("/app/cache").read_write("/var/cache/app"));
    /// let engine = Engine::new(&config)?;
    /// # Ok::<(), precompile::Error>(())
    /// ```
    #[cfg(feature = "cache")]
    pub fn cache(
        &mut self,
        cache: impl Into<Option<precompile_cache::LayersBuilder>>,
    ) -> &mut Self {
        self.runtime.cache = cache.into().map(|builder| Arc::new(builder.build()));
        self.runtime.cache_vouched = false;
        self
    }
}
