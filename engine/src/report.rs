//! What loading a module did, for people and tools that ask.

use crate::fingerprint::Difference;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// What loading a module did, and how long each step took. Steps that were not taken took no time.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Whether it was there already.
    pub outcome: Outcome,
    /// The id of the entry, in a cache of the module's group.
    pub id: Option<[u8; 32]>,
    /// SHA-256 of the module's binary: the group that its entries belong to.
    pub digest: Option<[u8; 32]>,
    /// Bytes of the module.
    pub module_len: u64,
    /// Bytes of the artifact, if it was compiled now.
    pub artifact_len: u64,
    /// Bytes of code in it.
    pub text_len: u64,
    /// Functions compiled.
    pub functions: u32,
    /// Time to hash the module and derive keys.
    pub key: Duration,
    /// Time to ask the cache.
    pub get: Duration,
    /// Time to decode and validate all but the functions.
    pub decode: Duration,
    /// Time to validate and compile the functions.
    pub compile: Duration,
    /// Time to link and write the artifact.
    pub write: Duration,
    /// Time to add it to the cache.
    pub add: Duration,
    /// Time to map and check the artifact.
    pub load: Duration,
    /// Why it could not be added to the cache. Never fails anything.
    pub add_failure: Option<String>,
}

/// Whether a module was there already.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Outcome {
    /// The engine has it in use.
    Loaded,
    /// The cache had it.
    Hit {
        /// Which layer: `memory`, `dir` or `layer N`.
        layer: String,
        /// The entry's file, if it is one.
        path: Option<PathBuf>,
    },
    /// It was compiled.
    Compiled {
        /// Why the cache did not have it; `None` without a cache.
        miss: Option<Miss>,
    },
    /// The cache does not have it, and nothing was compiled: what [`Engine::check`] tells.
    ///
    /// [`Engine::check`]: crate::Engine::check
    Missed {
        /// Why not.
        miss: Miss,
    },
    /// Nothing happened yet.
    #[default]
    Pending,
}

/// Why a cache did not have a module.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Miss {
    /// It has no entry of this module at all.
    Absent,
    /// It has entries of this module for other settings: the first difference to the nearest one.
    Differs(Difference),
    /// The name that was asked for is in no list of names.
    Unnamed,
    /// A list of names is damaged, so it is not known what the name stands for; which list.
    BadNames(String),
    /// An entry was damaged.
    Corrupt,
    /// A directory or an entry that others could have written; which, and the way out.
    Untrusted(String),
    /// The operating system refused something.
    Io(String),
    /// The cache is switched off.
    Off,
}

impl Miss {
    /// The reason as a word for counters and tools: `absent`, `engine-version`, `target`, `cpu`,
    /// `bounds`, `setting`, `corrupt`, `untrusted`, `io` or `off`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Miss::Absent | Miss::Unnamed => "absent",
            Miss::Differs(difference) => match difference.field.as_str() {
                "engine" | "format" | "abi" | "epoch" | "compiler" | "sources" => "engine-version",
                "target" => "target",
                "cpu" => "cpu",
                "bounds" => "bounds",
                _ => "setting",
            },
            Miss::Corrupt | Miss::BadNames(_) => "corrupt",
            Miss::Untrusted(_) => "untrusted",
            Miss::Io(_) => "io",
            Miss::Off => "off",
        }
    }
}

/// The reasons of misses, as [`Miss::as_str`] has them.
pub(crate) const REASONS: [&str; 10] = [
    "absent",
    "engine-version",
    "target",
    "cpu",
    "bounds",
    "setting",
    "corrupt",
    "untrusted",
    "io",
    "off",
];

/// How often an engine missed, by reason: what [`Engine::misses`](crate::Engine::misses) counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Misses([u64; REASONS.len()]);

impl Misses {
    pub(crate) fn new(counts: [u64; REASONS.len()]) -> Misses {
        Misses(counts)
    }

    /// How often it was for `reason`, a word of [`Miss::as_str`].
    pub fn of(&self, reason: &str) -> u64 {
        self.iter().find(|(known, _)| *known == reason).map_or(0, |(_, count)| count)
    }

    /// All reasons with their counts, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        REASONS.into_iter().zip(self.0)
    }

    /// How often, for whichever reason.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Miss::Absent => f.write_str("no entry of this module"),
            Miss::Differs(difference) => {
                write!(f, "the nearest entry of this module differs: {difference}")
            }
            Miss::Corrupt => f.write_str("the entry was damaged"),
            Miss::Unnamed => f.write_str("no list of names has it"),
            Miss::Untrusted(what) | Miss::Io(what) | Miss::BadNames(what) => f.write_str(what),
            Miss::Off => f.write_str("the cache is off"),
        }
    }
}

impl std::error::Error for Miss {}

/// What was asked for without its bytes and is not to be had: the context of an error whose inside
/// is the [`Miss`], both found by [`Error::downcast_ref`](crate::Error::downcast_ref).
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct NotCached {
    /// The name that was asked for, if it was one.
    pub name: Option<String>,
    /// The digest that was asked for, or that the name stands for.
    pub digest: Option<[u8; 32]>,
    /// The layers of the cache, in the order in which they are asked, with their paths.
    pub layers: Vec<String>,
}

impl fmt::Display for NotCached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no cache has the module")?;
        if let Some(name) = &self.name {
            write!(f, " {name:?}")?;
        }
        if let Some(digest) = &self.digest {
            f.write_str(" with SHA-256 ")?;
            digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        }
        f.write_str(", and its bytes are not here to be compiled (asked: ")?;
        match &*self.layers {
            [] => f.write_str("no layer)"),
            layers => write!(f, "{})", layers.join(", ")),
        }
    }
}
