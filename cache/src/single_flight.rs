//! Single flight within the process: of several threads that want one key, one works. When it fails,
//! the next one does, while the others go on waiting.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::key::Key;

/// The keys that some thread of this process is working on.
#[derive(Debug, Default)]
pub(crate) struct Flights(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Each flight is a value of its own, so that a waiter is not taken in by the next one of the
    /// same key.
    running: Mutex<HashMap<Key, Arc<Landed>>>,
    landed: Condvar,
}

/// Whether the work of a flight is of use to those who wait.
type Landed = AtomicBool;

/// How [`Flights::begin`] ended.
#[derive(Debug)]
pub(crate) enum Begun {
    /// The caller works, and frees the others when this guard goes, be it by a panic.
    Leader {
        leader: Leader,
        /// Whether others worked before, and failed.
        waited: bool,
    },
    /// Another thread worked, and has [published](Flights::land) what came of it.
    Waited,
    /// Others still work; the caller need not wait longer.
    TimedOut,
}

#[derive(Debug)]
pub(crate) struct Leader {
    shared: Arc<Shared>,
    key: Key,
}

impl Flights {
    pub(crate) fn begin(&self, key: &Key, wait: Duration) -> Begun {
        let mut running = self.0.lock();
        // A wait beyond the clock's range is a wait without end.
        let deadline = Instant::now().checked_add(wait);
        let mut waited = false;
        loop {
            let Some(flight) = running.get(key).map(Arc::clone) else {
                running.insert(*key, Arc::default());
                let leader = Leader { shared: Arc::clone(&self.0), key: *key };
                return Begun::Leader { leader, waited };
            };
            waited = true;
            while running.get(key).is_some_and(|now| Arc::ptr_eq(now, &flight)) {
                let left = match deadline {
                    Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                    None => Duration::from_secs(3600),
                };
                if left.is_zero() {
                    return Begun::TimedOut;
                }
                running = match self.0.landed.wait_timeout(running, left) {
                    Ok((guard, _)) => guard,
                    Err(poisoned) => poisoned.into_inner().0,
                };
            }
            if flight.load(Ordering::Relaxed) {
                return Begun::Waited;
            }
        }
    }

    /// Says that nobody who waits for `key` now has to work when the flight ends.
    pub(crate) fn land(&self, key: &Key) {
        if let Some(flight) = self.0.lock().get(key) {
            flight.store(true, Ordering::Relaxed);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Landed>>> {
        // No code of a caller runs under the lock: a poisoned one guards a good value.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.shared.lock().remove(&self.key);
        self.shared.landed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    const LONG: Duration = Duration::from_secs(60);

    fn key() -> Key {
        Key::new([1; 32], [2; 32])
    }

    #[test]
    fn one_leads_and_the_others_wait() {
        let flights = Flights::default();
        let leaders = AtomicUsize::new(0);
        let first = flights.begin(&key(), LONG);
        assert!(matches!(first, Begun::Leader { waited: false, .. }));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| match flights.begin(&key(), LONG) {
                    Begun::Waited => {}
                    // A thread that comes after the landing leads a flight of its own.
                    Begun::Leader { .. } => _ = leaders.fetch_add(1, Ordering::Relaxed),
                    Begun::TimedOut => panic!("nobody waits for a minute"),
                });
            }
            thread::sleep(Duration::from_millis(50));
            assert_eq!(leaders.load(Ordering::Relaxed), 0);
            flights.land(&key());
            drop(first);
        });
    }

    #[test]
    fn when_the_leader_fails_the_others_take_turns() {
        let flights = Flights::default();
        let (working, worked) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let first = flights.begin(&key(), LONG);
        let freed = thread::scope(|scope| {
            let waiters: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let Begun::Leader { leader, waited } = flights.begin(&key(), LONG) else {
                            return true;
                        };
                        assert!(waited, "it came while the first one worked");
                        assert_eq!(working.fetch_add(1, Ordering::Relaxed), 0, "one at a time");
                        thread::sleep(Duration::from_millis(5));
                        // The third one succeeds.
                        if worked.fetch_add(1, Ordering::Relaxed) == 2 {
                            flights.land(&key());
                        }
                        working.fetch_sub(1, Ordering::Relaxed);
                        drop(leader);
                        false
                    })
                })
                .collect();
            thread::sleep(Duration::from_millis(50));
            drop(first);
            waiters.into_iter().map(|waiter| waiter.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(worked.load(Ordering::Relaxed), 3);
        assert_eq!(freed.iter().filter(|freed| **freed).count(), 5);
    }

    #[test]
    fn a_panic_of_the_leader_frees_the_others() {
        let flights = Flights::default();
        thread::scope(|scope| {
            let leader = flights.begin(&key(), LONG);
            let waiter = scope.spawn(|| flights.begin(&key(), LONG));
            let died = scope.spawn(move || {
                let _leader = leader;
                thread::sleep(Duration::from_millis(20));
                std::panic::resume_unwind(Box::new("on purpose"));
            });
            assert!(died.join().is_err());
            assert!(!matches!(waiter.join().unwrap(), Begun::TimedOut));
        });
    }

    #[test]
    fn a_wait_ends_and_other_keys_are_free() {
        let flights = Flights::default();
        let _leader = flights.begin(&key(), LONG);
        assert!(matches!(flights.begin(&key(), Duration::from_millis(5)), Begun::TimedOut));
        let other = Key::new([1; 32], [3; 32]);
        assert!(matches!(flights.begin(&other, LONG), Begun::Leader { .. }));
    }
}
