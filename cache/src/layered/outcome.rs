//! The types of what happened.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::content::Content;
use crate::error::{Error, ErrorKind, Result};

/// Which of the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LayerId {
    /// The memory of the process.
    Memory,
    /// The read-write layer.
    Dir,
    /// A read-only layer, counted from 0 in the order that they were added in.
    Layer(usize),
}

/// A layer, as [`Layers::layers`](crate::Layers::layers) tells of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LayerInfo {
    /// Which of the layers it is.
    pub id: LayerId,
    /// Where it is, as it was named; `None` for memory and implementations of the embedder.
    pub path: Option<PathBuf>,
    /// Why it could not be opened, and is done without.
    pub error: Option<Error>,
}

/// What [`Layers::lookup`](crate::Layers::lookup) found, and on which way.
#[derive(Debug)]
pub struct Lookup {
    /// Hit or miss.
    pub outcome: Outcome,
    /// What each layer said, in the order that they were probed in; the last is the one that hit.
    pub trace: Vec<Probe>,
}

/// The outcome of a lookup.
#[derive(Debug)]
pub enum Outcome {
    /// There is an entry.
    Hit {
        /// The layer that had it.
        layer: LayerId,
        /// What it holds; an open file for directories.
        content: Content,
    },
    /// There is none that can be used.
    Miss(MissReason),
}

/// Why no layer had a usable entry. With several reasons, the one that is listed last here counts;
/// the others are in the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum MissReason {
    /// No layer has it.
    Absent,
    /// The operating system refused something.
    Io,
    /// Others could have written to a directory or an entry.
    Untrusted,
    /// An entry is damaged, or was rejected before.
    Corrupt,
    /// The mode is [`Mode::Off`].
    Off,
}

/// What one layer said to a lookup.
#[derive(Debug)]
pub struct Probe {
    /// The layer.
    pub layer: LayerId,
    /// What it said.
    pub result: ProbeResult,
}

/// What a layer said.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProbeResult {
    /// It has a good entry.
    Hit,
    /// It has no entry.
    Absent,
    /// It has one that was [rejected](crate::Layers::reject) before and could not be deleted.
    Rejected,
    /// It could not be opened when the layers were built, or its entry could not be used.
    Failed(Error),
}

/// Why a caller rejects a hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reject {
    /// The content is damaged in a way that only the caller sees.
    Corrupt,
    /// The content is sound, and not what its key says.
    Mismatch,
}

/// What layers may do. Parsed from and written as `auto`, `read-only`, `require-hit`, `off`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// Read all layers, write to the read-write one.
    #[default]
    Auto,
    /// Read all layers; create, write, delete and lock nothing.
    ReadOnly,
    /// As [`ReadOnly`](Mode::ReadOnly), and a miss is a failure to the engine, which does no work
    /// instead. The layers themselves treat both alike.
    RequireHit,
    /// Open nothing; everything misses.
    Off,
}

impl Lookup {
    /// Whether there is a usable entry.
    pub fn is_hit(&self) -> bool {
        matches!(self.outcome, Outcome::Hit { .. })
    }

    /// The content of a hit.
    pub fn into_content(self) -> Option<Content> {
        match self.outcome {
            Outcome::Hit { content, .. } => Some(content),
            Outcome::Miss(_) => None,
        }
    }

    /// Why it missed; `None` for a hit.
    pub fn miss_reason(&self) -> Option<MissReason> {
        match self.outcome {
            Outcome::Hit { .. } => None,
            Outcome::Miss(reason) => Some(reason),
        }
    }

    /// The error behind the reason of a miss: the first of its kind in the trace.
    pub fn miss_error(&self) -> Option<&Error> {
        let wanted = self.miss_reason()?;
        self.trace.iter().find_map(|probe| match &probe.result {
            ProbeResult::Failed(error) if probe.result.reason() == wanted => Some(error),
            _ => None,
        })
    }
}

impl ProbeResult {
    pub(super) fn reason(&self) -> MissReason {
        match self {
            ProbeResult::Hit | ProbeResult::Absent => MissReason::Absent,
            ProbeResult::Rejected => MissReason::Corrupt,
            ProbeResult::Failed(error) => match error.kind() {
                ErrorKind::Corrupt { .. } | ErrorKind::Names { .. } => MissReason::Corrupt,
                ErrorKind::Untrusted { .. } => MissReason::Untrusted,
                ErrorKind::Missing { .. } | ErrorKind::NoHome => MissReason::Absent,
                _ => MissReason::Io,
            },
        }
    }
}

impl fmt::Display for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LayerId::Memory => f.write_str("memory"),
            LayerId::Dir => f.write_str("dir"),
            LayerId::Layer(number) => write!(f, "layer {number}"),
        }
    }
}

impl fmt::Display for MissReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MissReason::Absent => "absent",
            MissReason::Io => "i/o",
            MissReason::Untrusted => "untrusted",
            MissReason::Corrupt => "corrupt",
            MissReason::Off => "off",
        })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Auto => "auto",
            Mode::ReadOnly => "read-only",
            Mode::RequireHit => "require-hit",
            Mode::Off => "off",
        })
    }
}

impl FromStr for Mode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Mode> {
        [Mode::Auto, Mode::ReadOnly, Mode::RequireHit, Mode::Off]
            .into_iter()
            .find(|mode| mode.to_string() == text)
            .ok_or_else(|| {
                let expected = "a cache mode: auto, read-only, require-hit or off";
                ErrorKind::Parse { expected, found: text.to_owned() }.into()
            })
    }
}
