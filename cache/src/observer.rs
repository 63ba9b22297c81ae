//! Being told of what happens, one by one; [`Stats`](crate::Stats) has the sums.

use std::time::Duration;

use crate::dir::Evicted;
use crate::error::Error;
use crate::key::Key;
use crate::layered::{LayerId, MissReason, Reject};

/// Is told what happens in [`Layers`](crate::Layers), for metrics and logs:
/// [`LayersBuilder::observer`](crate::LayersBuilder::observer).
///
/// It is called on the thread on which it happens, between two steps of it: a method that takes
/// long makes lookups take long. It must not panic, and must not use the layers that it observes.
///
/// ```
/// use precompile_cache::{Event, Key, Layers, Observer};
/// use std::sync::{Arc, Mutex};
///
/// #[derive(Default)]
/// struct Log(Mutex<Vec<String>>);
///
/// impl Observer for Log {
///     fn event(&self, event: &Event<'_>) {
///         self.0.lock().unwrap().push(event.name().to_string());
///     }
/// }
///
/// let log = Arc::new(Log::default());
/// let layers = Layers::builder().memory(1 << 20).observer(log.clone()).build();
/// layers.lookup(&Key::new([1; 32], [2; 32]));
/// assert_eq!(*log.0.lock().unwrap(), ["miss"]);
/// ```
pub trait Observer: Send + Sync {
    /// Something happened.
    fn event(&self, event: &Event<'_>);
}

/// Something that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A lookup found an entry.
    Hit {
        /// Under which key.
        key: &'a Key,
        /// In which layer.
        layer: LayerId,
        /// Bytes of content.
        bytes: u64,
        /// How long it took.
        took: Duration,
    },
    /// A lookup found none. One for several keys is told with the first, which is the best.
    Miss {
        /// Under which key.
        key: &'a Key,
        /// Why not.
        reason: MissReason,
        /// How long it took.
        took: Duration,
    },
    /// No layer could say what a name stands for.
    Unnamed {
        /// Which name.
        name: &'a str,
        /// Why not.
        reason: MissReason,
        /// How long it took.
        took: Duration,
    },
    /// An entry was published.
    Added {
        /// Under which key.
        key: &'a Key,
        /// Bytes of content.
        bytes: u64,
        /// How long it took.
        took: Duration,
    },
    /// An entry could not be published.
    AddFailed {
        /// Under which key.
        key: &'a Key,
        /// Why not.
        error: &'a Error,
        /// How long it took.
        took: Duration,
    },
    /// The caller rejected a hit.
    Rejected {
        /// Under which key.
        key: &'a Key,
        /// In which layer.
        layer: LayerId,
        /// Why.
        reason: Reject,
    },
    /// A damaged or rejected entry was deleted.
    Deleted {
        /// Under which key.
        key: &'a Key,
        /// From which layer.
        layer: LayerId,
    },
    /// A damaged or rejected entry could not be deleted.
    DeleteFailed {
        /// Under which key.
        key: &'a Key,
        /// From which layer.
        layer: LayerId,
        /// Why not.
        error: &'a Error,
    },
    /// Somebody waited for another thread or process that was making the entry.
    Waited {
        /// Under which key.
        key: &'a Key,
        /// For how long.
        took: Duration,
    },
    /// An entry was evicted to keep the budget.
    Evicted(&'a Evicted),
    /// Something went wrong while the budget was kept.
    UpkeepFailed(&'a Error),
}

impl Event<'_> {
    /// What happened, as a word for metrics: `hit`, `miss`, `unnamed`, `added`, `add-failed`, `rejected`,
    /// `deleted`, `delete-failed`, `waited`, `evicted`, `upkeep-failed`.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Hit { .. } => "hit",
            Event::Miss { .. } => "miss",
            Event::Unnamed { .. } => "unnamed",
            Event::Added { .. } => "added",
            Event::AddFailed { .. } => "add-failed",
            Event::Rejected { .. } => "rejected",
            Event::Deleted { .. } => "deleted",
            Event::DeleteFailed { .. } => "delete-failed",
            Event::Waited { .. } => "waited",
            Event::Evicted(_) => "evicted",
            Event::UpkeepFailed(_) => "upkeep-failed",
        }
    }

    /// How long it took, where that was measured.
    pub fn took(&self) -> Option<Duration> {
        match self {
            Event::Hit { took, .. }
            | Event::Miss { took, .. }
            | Event::Unnamed { took, .. }
            | Event::Added { took, .. }
            | Event::AddFailed { took, .. }
            | Event::Waited { took, .. } => Some(*took),
            _ => None,
        }
    }
}
