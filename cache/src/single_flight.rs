//! Single flight within the process: of several threads that want one key, one works.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::key::Key;

/// The keys that some thread of this process is working on.
#[derive(Debug, Default)]
pub(crate) struct Flights(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    // Each flight has a number, so that a waiter is not taken in by the next one of the same key.
    running: Mutex<(HashMap<Key, u64>, u64)>,
    landed: Condvar,
}

/// How [`Flights::begin`] ended.
#[derive(Debug)]
pub(crate) enum Begun {
    /// The caller works, and frees the others when this guard goes, be it by a panic.
    Leader(Leader),
    /// Another thread worked and is done, whether it succeeded or not.
    Waited,
    /// Another thread still works; the caller need not wait longer.
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
        let Some(&number) = running.0.get(key) else {
            running.1 += 1;
            let number = running.1;
            running.0.insert(*key, number);
            return Begun::Leader(Leader { shared: Arc::clone(&self.0), key: *key });
        };
        // A wait beyond the clock's range is a wait without end.
        let deadline = Instant::now().checked_add(wait);
        while running.0.get(key) == Some(&number) {
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
        Begun::Waited
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, (HashMap<Key, u64>, u64)> {
        // No code of a caller runs under the lock: a poisoned one guards a good value.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.shared.lock().0.remove(&self.key);
        self.shared.landed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
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
        assert!(matches!(first, Begun::Leader(_)));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| match flights.begin(&key(), LONG) {
                    Begun::Waited => {}
                    // A thread that comes after the landing leads a flight of its own.
                    Begun::Leader(_) => _ = leaders.fetch_add(1, Ordering::Relaxed),
                    Begun::TimedOut => panic!("nobody waits for a minute"),
                });
            }
            thread::sleep(Duration::from_millis(50));
            assert_eq!(leaders.load(Ordering::Relaxed), 0);
            drop(first);
        });
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
        assert!(matches!(flights.begin(&other, LONG), Begun::Leader(_)));
    }
}
