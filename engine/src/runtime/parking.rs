//! Threads that wait for an address of a shared memory, in the order in which they came.

use crate::error::Result;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How a wait ended; the numbers are those that wasm sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitResult {
    /// Somebody has notified this thread.
    Ok = 0,
    /// The value in memory was another one than expected, so there was no wait.
    Mismatch = 1,
    /// Nobody did in time.
    TimedOut = 2,
}

/// How often a waiting thread looks whether it may go on waiting.
const SLICE: Duration = Duration::from_millis(10);

/// The waiting threads of one memory.
#[derive(Default)]
pub(crate) struct Parking(Mutex<Queues>);

/// By address. None is empty.
type Queues = HashMap<u64, VecDeque<Arc<Waiter>>>;

/// A thread that waits. What is here changes under the lock only.
#[derive(Default)]
struct Waiter {
    woken: AtomicBool,
    signal: Condvar,
}

impl Waiter {
    fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Relaxed)
    }
}

impl Parking {
    /// Waits at `address` if `as_expected` says so, which is asked and followed by the wait without
    /// a notification in between. No `timeout` is one that never comes.
    ///
    /// `go_on` is asked now and then, without any lock held.
    ///
    /// # Errors
    /// Those of `go_on`; the thread does not wait any more then.
    pub(crate) fn wait(
        &self,
        address: u64,
        as_expected: impl FnOnce() -> bool,
        timeout: Option<Duration>,
        mut go_on: Option<&mut dyn FnMut() -> Result<()>>,
    ) -> Result<WaitResult> {
        // A time that no clock reaches is none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let place = Place { parking: self, address, waiter: Arc::default() };
        let mut queues = self.lock();
        if !as_expected() {
            return Ok(WaitResult::Mismatch);
        }
        queues.entry(address).or_default().push_back(place.waiter.clone());
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                // Under the same lock, so that nobody counts it as woken in between.
                place.leave(&mut queues);
                return Ok(WaitResult::TimedOut);
            }
            let slice = go_on.is_some().then_some(SLICE);
            let slice = left.map_or(slice, |left| Some(slice.map_or(left, |s| s.min(left))));
            let signal = &place.waiter.signal;
            queues = match slice {
                Some(slice) => {
                    signal.wait_timeout(queues, slice).unwrap_or_else(|e| e.into_inner()).0
                }
                None => signal.wait(queues).unwrap_or_else(|e| e.into_inner()),
            };
            if place.waiter.is_woken() {
                return Ok(WaitResult::Ok);
            }
            if let Some(go_on) = &mut go_on {
                drop(queues);
                go_on()?;
                queues = self.lock();
                if place.waiter.is_woken() {
                    return Ok(WaitResult::Ok);
                }
            }
        }
    }

    /// Wakes `count` threads at most of those that wait at `address`, the first ones first; how
    /// many it were.
    pub(crate) fn notify(&self, address: u64, count: u32) -> u32 {
        let mut queues = self.lock();
        let Some(queue) = queues.get_mut(&address) else { return 0 };
        let count = queue.len().min(count as usize);
        for waiter in queue.drain(..count) {
            waiter.woken.store(true, Ordering::Relaxed);
            waiter.signal.notify_one();
        }
        if queue.is_empty() {
            queues.remove(&address);
        }
        count as u32
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// A thread's place in a queue, which it leaves whatever ends its wait.
struct Place<'a> {
    parking: &'a Parking,
    address: u64,
    waiter: Arc<Waiter>,
}

impl Place<'_> {
    fn leave(&self, queues: &mut Queues) {
        let Some(queue) = queues.get_mut(&self.address) else { return };
        queue.retain(|waiter| !Arc::ptr_eq(waiter, &self.waiter));
        if queue.is_empty() {
            queues.remove(&self.address);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // Somebody who wakes it takes it out; else it may still be there, after an error or panic.
        if Arc::strong_count(&self.waiter) > 1 {
            self.leave(&mut self.parking.lock());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, ErrorKind};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::mpsc::{self, TryRecvError};
    use std::thread;

    fn waiting(parking: &Parking) -> usize {
        parking.lock().values().map(VecDeque::len).sum()
    }

    fn until(condition: impl Fn() -> bool) {
        while !condition() {
            thread::yield_now();
        }
    }

    #[test]
    fn the_first_one_is_woken_first() {
        let parking = Parking::default();
        let order = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for i in 0..4 {
                let (parking, order) = (&parking, &order);
                scope.spawn(move || {
                    let result = parking.wait(8, || true, None, None).unwrap();
                    order.lock().unwrap().push((i, result));
                });
                until(|| waiting(parking) == i + 1);
            }
            assert_eq!(parking.notify(16, 9), 0);
            for i in 0..4 {
                assert_eq!(parking.notify(8, 0), 0);
                assert_eq!(parking.notify(8, 1), 1);
                until(|| order.lock().unwrap().len() == i + 1);
            }
            assert_eq!(parking.notify(8, 1), 0);
        });
        let order = order.into_inner().unwrap();
        assert_eq!(order, [0, 1, 2, 3].map(|i| (i, WaitResult::Ok)));
        assert!(parking.lock().is_empty());
    }

    #[test]
    fn whoever_does_not_wait_any_more_is_not_counted() {
        let parking = Parking::default();
        let short = Some(Duration::from_millis(1));
        assert_eq!(parking.wait(0, || false, None, None).unwrap(), WaitResult::Mismatch);
        assert_eq!(parking.wait(0, || true, short, None).unwrap(), WaitResult::TimedOut);
        let zero = Some(Duration::ZERO);
        assert_eq!(parking.wait(0, || true, zero, None).unwrap(), WaitResult::TimedOut);
        let mut stop = || Err(Error::with_kind(ErrorKind::Limit, "enough"));
        assert!(parking.wait(0, || true, None, Some(&mut stop)).is_err());
        let mut panics = || panic!("a callback of the embedder's");
        let wait = AssertUnwindSafe(|| parking.wait(0, || true, None, Some(&mut panics)));
        assert!(catch_unwind(wait).is_err());
        assert!(parking.lock().is_empty());
        assert_eq!(parking.notify(0, u32::MAX), 0);
    }

    /// Whatever the order in which timeouts and notifications come: each wait that ends by a
    /// notification was counted by exactly one.
    #[test]
    fn nothing_is_lost_between_timeouts_and_notifications() {
        let parking = Parking::default();
        let (waiters, rounds) = (4, 200);
        let (woken, counted) = thread::scope(|scope| {
            let threads: Vec<_> = (0..waiters)
                .map(|_| {
                    scope.spawn(|| {
                        let timeout = Some(Duration::from_micros(50));
                        let results =
                            (0..rounds).map(|_| parking.wait(0, || true, timeout, None).unwrap());
                        results.filter(|result| *result == WaitResult::Ok).count()
                    })
                })
                .collect();
            // Gone when this ends, however it ends: the notifier ends then.
            let (alive, over) = mpsc::channel::<()>();
            let parking = &parking;
            let notifier = scope.spawn(move || {
                let mut counted = 0;
                while over.try_recv() == Err(TryRecvError::Empty) {
                    counted += parking.notify(0, 1) as usize;
                    thread::yield_now();
                }
                counted
            });
            let woken: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
            drop(alive);
            (woken, notifier.join().unwrap())
        });
        assert_eq!(woken, counted);
    }
}
