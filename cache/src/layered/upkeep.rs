//! Keeping the read-write directory within its budget, on a thread of its own.
//!
//! Whoever publishes hands the key over and goes on. The thread ends when nothing is left to do, so
//! there is none most of the time. Dropping the layers waits for it: processes that live for one
//! entry only would never get to it otherwise.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::watch::Watch;
use crate::budget::Budget;
use crate::dir::DirCache;
use crate::error::Error;
use crate::key::Key;
use crate::observer::Event;
use crate::stats::Counters;

/// The keeper of a budget.
pub(super) struct Upkeep(Arc<Shared>);

struct Shared {
    budget: Budget,
    dir: Arc<DirCache>,
    counters: Arc<Counters>,
    watch: Watch,
    work: Mutex<Work>,
    rested: Condvar,
}

#[derive(Default)]
struct Work {
    added: Vec<Key>,
    is_running: bool,
}

impl Upkeep {
    pub(super) fn new(
        budget: Budget,
        dir: Arc<DirCache>,
        counters: Arc<Counters>,
        watch: Watch,
    ) -> Upkeep {
        let (work, rested) = (Mutex::default(), Condvar::new());
        Upkeep(Arc::new(Shared { budget, dir, counters, watch, work, rested }))
    }

    /// The entry of `key` was added.
    pub(super) fn added(&self, key: &Key) {
        let mut work = self.0.lock();
        work.added.push(*key);
        if work.is_running {
            return;
        }
        let shared = Arc::clone(&self.0);
        let thread = thread::Builder::new().name("cache budget".to_string());
        work.is_running = thread.spawn(move || shared.run()).is_ok();
        if !work.is_running {
            // The next count finds it.
            work.added.clear();
            self.0.counters.upkeep_failures.one();
        }
    }

    /// Waits until all that was added is accounted for.
    pub(super) fn settle(&self) {
        let mut work = self.0.lock();
        while work.is_running {
            work = self.0.rested.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.settle();
    }
}

impl Shared {
    fn run(&self) {
        // Whatever happens, those who wait go on.
        let _rest = Rest(self);
        loop {
            let mut work = self.lock();
            let keys = std::mem::take(&mut work.added);
            if keys.is_empty() {
                work.is_running = false;
                return;
            }
            drop(work);
            self.keep(&keys);
        }
    }

    fn keep(&self, keys: &[Key]) {
        match self.dir.keep_within(&self.budget, keys) {
            Ok(None) => {}
            Ok(Some(pruned)) => {
                for evicted in &pruned.evicted {
                    self.counters.evictions.one();
                    self.counters.bytes_evicted.add(evicted.bytes);
                    self.watch.tell(|| Event::Evicted(evicted));
                }
                pruned.failures.iter().for_each(|error| self.fail(error));
            }
            Err(error) => self.fail(&error),
        }
    }

    fn fail(&self, error: &Error) {
        self.counters.upkeep_failures.one();
        self.watch.tell(|| Event::UpkeepFailed(error));
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        // Nothing between two consistent states can panic, so a poisoned lock guards a good value.
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes those who wait, also after a panic: the owner's `unwanted` runs on the thread.
struct Rest<'a>(&'a Shared);

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        self.0.lock().is_running = false;
        self.0.rested.notify_all();
    }
}

impl fmt::Debug for Upkeep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.budget.fmt(f)
    }
}
