//! Single flight: within the process by memory, across processes by a file lock.

use std::time::Instant;

use super::{Layers, Mode, Writer};
use crate::dir::KeyLock;
use crate::key::Key;
use crate::observer::Event;
use crate::single_flight::{Begun, Leader};

/// The right, or the permission, to make an entry. Made by [`Layers::begin`]; dropping it lets the
/// others go on, be it by a panic, and it dies with the process.
#[derive(Debug)]
pub struct Flight {
    key: Key,
    // The file lock goes first: threads that are freed find it open.
    _lock: Option<KeyLock>,
    leader: Option<Leader>,
    waited: bool,
}

impl Flight {
    /// What is being made.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Whether somebody else made it, or tried to, while [`Layers::begin`] waited.
    pub fn waited(&self) -> bool {
        self.waited
    }

    /// Whether others of this process wait for this flight to end. Otherwise another one ended
    /// without an entry or lasts too long, and the caller works alone.
    pub fn is_leader(&self) -> bool {
        self.leader.is_some()
    }
}

impl Layers {
    /// Waits until nobody else makes the entry of `key`, in this process or, with a read-write
    /// directory, in another one. The first one to come returns at once; the others when it has
    /// published, or when the [wait](crate::LayersBuilder::wait) is over. When it has failed or died,
    /// the next one returns, and the others wait for that. Then [`look_again`](Layers::look_again), always: the entry may have been published between the
    /// lookup that missed and this call.
    ///
    /// Never fails, and never returns nothing: whoever asks may do the work. It waits only for
    /// others, so do not begin the same key twice in one thread.
    pub fn begin(&self, key: &Key) -> Flight {
        let start = Instant::now();
        let mut flight = Flight { key: *key, _lock: None, leader: None, waited: false };
        match self.flights.begin(key, self.wait) {
            Begun::Leader { leader, waited } => {
                flight.leader = Some(leader);
                flight.waited = waited;
            }
            begun => {
                self.counters.waits.one();
                if matches!(begun, Begun::TimedOut) {
                    self.counters.wait_timeouts.one();
                }
                flight.waited = true;
                self.watch.tell(|| Event::Waited { key, took: start.elapsed() });
                return flight;
            }
        }
        if let (Mode::Auto, Writer::Dir(dir)) = (self.mode, &self.writer) {
            match dir.lock(key, self.wait.saturating_sub(start.elapsed())) {
                Ok(Some(lock)) => {
                    flight.waited |= lock.waited();
                    flight._lock = Some(lock);
                }
                // Not locked at all, or not in time.
                Ok(None) if dir.is_private() => {
                    flight.waited = true;
                    self.counters.wait_timeouts.one();
                }
                Ok(None) => {}
                // A file system without locks, or a full one: then without.
                Err(_) => self.counters.lock_failures.one(),
            }
        }
        if flight.waited {
            self.counters.waits.one();
            self.watch.tell(|| Event::Waited { key, took: start.elapsed() });
        }
        flight
    }
}
