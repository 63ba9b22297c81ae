//! Work spread over threads.
//!
//! Items are handed out one by one, the heaviest first: a large function that starts last would
//! keep one thread busy after all others are done. Which thread does which item depends on time,
//! so nothing but the order of the *results* is fixed: by index, errors included.

use crate::error::{Error, ErrorKind, Result};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Stack of a worker. Nothing in validation or translation recurses with the depth of the code,
/// but parts of Cranelift do with the depth of its expressions, and the thread that asks for a
/// compilation may be anyone's. Pages that are not touched cost nothing.
const STACK: usize = 32 << 20;

/// Does `work` for each of `weights`, by index, on up to `jobs` threads, each of which has a
/// state of its own from `new`. The results are in the order of `weights`.
///
/// # Errors
/// The error of the lowest index among the items that fail. A panic in `work` is an error of kind
/// `Bug`, told as what `describe` makes of the index.
pub(crate) fn run<S, T: Send>(
    jobs: usize,
    weights: &[u32],
    new: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) -> Result<T> + Sync,
    describe: impl Fn(usize) -> String + Sync,
) -> Result<Vec<T>> {
    if weights.is_empty() {
        return Ok(Vec::new());
    }
    let mut order: Vec<u32> = (0..weights.len() as u32).collect();
    order.sort_by_key(|index| std::cmp::Reverse(weights[*index as usize]));
    let next = AtomicUsize::new(0);
    // The lowest index that failed. Items above it need not be done any more; those below must,
    // for one of them may fail as well.
    let failed = AtomicUsize::new(usize::MAX);

    let worker = || {
        let mut state = new();
        let mut done: Vec<(u32, T)> = Vec::new();
        let mut first: Option<(usize, Error)> = None;
        while let Some(&item) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            let index = item as usize;
            if index > failed.load(Ordering::Relaxed) {
                continue;
            }
            let result = catch_unwind(AssertUnwindSafe(|| work(&mut state, index)));
            match result {
                Ok(Ok(value)) => done.push((item, value)),
                Ok(Err(error)) => keep_first(&mut first, &failed, index, error),
                Err(panic) => {
                    // Whatever it was at is half done.
                    state = new();
                    let error = panicked(&*panic).context(describe(index));
                    keep_first(&mut first, &failed, index, error);
                }
            }
        }
        (done, first)
    };

    let threads = jobs.clamp(1, weights.len());
    let outcomes = thread::scope(|scope| -> Result<Vec<_>> {
        let mut workers = Vec::with_capacity(threads);
        for number in 0..threads {
            let builder =
                thread::Builder::new().name(format!("precompile-{number}")).stack_size(STACK);
            match builder.spawn_scoped(scope, worker) {
                Ok(worker) => workers.push(worker),
                // Fewer threads do the same.
                Err(_) if !workers.is_empty() => break,
                Err(error) => return Err(Error::wrap(ErrorKind::Io, error)),
            }
        }
        let join = |worker: thread::ScopedJoinHandle<'_, _>| worker.join();
        Ok(workers.into_iter().map(join).collect())
    })?;

    let mut results: Vec<Option<T>> = Vec::new();
    results.resize_with(weights.len(), || None);
    let mut first: Option<(usize, Error)> = None;
    for outcome in outcomes {
        // Panics are caught around each item; what is left is `new`.
        let (done, error) = outcome.map_err(|panic| panicked(&*panic))?;
        for (index, value) in done {
            results[index as usize] = Some(value);
        }
        first = match (first, error) {
            (Some(a), Some(b)) => Some(if a.0 < b.0 { a } else { b }),
            (a, b) => a.or(b),
        };
    }
    if let Some((_, error)) = first {
        return Err(error);
    }
    let missing = || Error::with_kind(ErrorKind::Bug, "a part of the module was not compiled");
    results.into_iter().map(|result| result.ok_or_else(missing)).collect()
}

fn keep_first(
    first: &mut Option<(usize, Error)>,
    failed: &AtomicUsize,
    index: usize,
    error: Error,
) {
    failed.fetch_min(index, Ordering::Relaxed);
    if first.as_ref().is_none_or(|(lowest, _)| index < *lowest) {
        *first = Some((index, error));
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let message = panic.downcast_ref::<&str>().copied();
    let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let message = message.unwrap_or("no message");
    Error::with_kind(ErrorKind::Bug, format!("the compiler panicked: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_for_any_number_of_threads() {
        let weights: Vec<u32> = (0..500).map(|i| i * 7919 % 100).collect();
        for jobs in [0, 1, 2, 7, 1000] {
            let work = |_: &mut (), i| Ok(i * 2);
            let results = run(jobs, &weights, || (), work, |i| i.to_string()).unwrap();
            assert_eq!(results, (0..1000).step_by(2).collect::<Vec<_>>());
        }
        let none = run(4, &[], || (), |_, i| Ok(i), |i| i.to_string()).unwrap();
        assert!(none.is_empty());
    }

    #[test]
    fn heaviest_first() {
        let seen = std::sync::Mutex::new(Vec::new());
        let work = |_: &mut (), i| {
            seen.lock().unwrap().push(i);
            Ok(())
        };
        run(1, &[1, 5, 3, 5], || (), work, |i| i.to_string()).unwrap();
        assert_eq!(*seen.lock().unwrap(), [1, 3, 2, 0]);
    }

    #[test]
    fn the_first_error_by_index_wins() {
        // The heaviest, done first, fails as well.
        let weights = [1, 1, 2, 9];
        for jobs in [1, 2, 4] {
            let work = |_: &mut (), i: usize| match i {
                0 => Ok(()),
                _ => Err(Error::msg(i)),
            };
            let error = run(jobs, &weights, || (), work, |i| i.to_string()).unwrap_err();
            assert_eq!(error.to_string(), "1");
        }
    }

    #[test]
    fn a_panic_is_an_error_that_names_the_item() {
        let work = |state: &mut u32, i: usize| {
            *state += 1;
            assert_ne!(i, 3, "on purpose");
            Ok(*state)
        };
        let error = run(1, &[4, 3, 2, 1, 0], || 0, work, |i| format!("item {i}")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Bug);
        assert_eq!(error.to_string(), "item 3");
        assert!(error.root_cause().contains("on purpose"));
    }
}
