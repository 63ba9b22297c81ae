//! From a name to the group that has it.

use super::watch::Start;
use super::{LayerId, Layers, MissReason, Mode, Probe, ProbeResult, Slot};
use crate::error::Error;
use crate::observer::Event;

/// What [`Layers::resolve`] found.
#[derive(Debug)]
#[non_exhaustive]
pub struct NameLookup {
    /// The layer whose list has the name and the group that it stands for, or why there is none.
    pub outcome: Result<(LayerId, [u8; 32]), MissReason>,
    /// What each layer said that was asked; the last is the one that had it or could not tell.
    pub trace: Vec<Probe>,
}

impl NameLookup {
    /// The error behind the reason of a miss.
    pub fn miss_error(&self) -> Option<&Error> {
        match self.trace.last().map(|probe| &probe.result) {
            Some(ProbeResult::Failed(error)) if self.outcome.is_err() => Some(error),
            _ => None,
        }
    }
}

impl Layers {
    /// The group of that name, by the first layer that has it in its [list](crate::Names).
    ///
    /// A layer that cannot tell, since its list is damaged, not to be trusted or not to be read, ends
    /// the search: what it would have said is not known, and another layer may mean something else by
    /// the name. A list says what is in it, and not what is not: a name that was
    /// [taken out](crate::Names::remove) of one is asked of the next layer, and who wants it gone takes
    /// it out of all lists that have it. Under [`Policy::Signed`](crate::Policy::Signed) a list without a signature by a
    /// trusted key is not to be trusted, in the read-write directory as well. A miss counts as one of
    /// a lookup.
    pub fn resolve(&self, name: &str) -> NameLookup {
        let start = self.watch.start();
        let lookup = self.ask(name);
        if let Err(reason) = lookup.outcome {
            self.count_unnamed(name, reason, start);
        }
        lookup
    }

    fn ask(&self, name: &str) -> NameLookup {
        if self.mode == Mode::Off {
            return NameLookup { outcome: Err(MissReason::Off), trace: Vec::new() };
        }
        let mut trace = Vec::new();
        for (layer, slot) in &self.layers {
            let layer = *layer;
            let resolved = match slot {
                Slot::Open(cache) => cache.resolve(name),
                Slot::Failed(error) => Err(error.clone()),
            };
            let (result, outcome) = match resolved {
                Ok(Some(group)) => (ProbeResult::Hit, Some(Ok((layer, group)))),
                Ok(None) => (ProbeResult::Absent, None),
                Err(error) => {
                    let failed = ProbeResult::Failed(error);
                    let reason = failed.reason();
                    if reason == MissReason::Io {
                        self.counters.io_errors.one();
                    }
                    (failed, (reason != MissReason::Absent).then_some(Err(reason)))
                }
            };
            trace.push(Probe { layer, result });
            if let Some(outcome) = outcome {
                return NameLookup { outcome, trace };
            }
        }
        NameLookup { outcome: Err(MissReason::Absent), trace }
    }

    fn count_unnamed(&self, name: &str, reason: MissReason, start: Start) {
        self.watch.tell(|| Event::Unnamed { name, reason, took: start.took() });
        self.count_reason(reason);
    }
}
