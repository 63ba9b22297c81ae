//! Ends for guests of `run` that would go on and on: by fuel, or by time.

use super::run::TRAP;
use crate::args::Run;
use crate::report;
use precompile::{Engine, Error, Result, Store, Trap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// How long a guest may take to end, once the time is over: it may wait in a function of the host,
/// where nobody looks at the epoch.
const GRACE: Duration = Duration::from_secs(1);

/// A clock that ends a guest, until it is dropped.
pub(super) struct Clock(Arc<AtomicBool>);

impl Drop for Clock {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Gives `store` what `args` say that its guest may use. The time begins here.
///
/// # Errors
/// If there is no thread for a clock.
pub(super) fn start<T: 'static>(
    args: &Run,
    engine: &Engine,
    store: &mut Store<T>,
) -> Result<Option<Clock>> {
    if let Some(fuel) = args.fuel {
        store.set_fuel(fuel)?;
    }
    let Some(limit) = args.timeout else { return Ok(None) };
    store.set_epoch_deadline(1);
    if limit.is_zero() {
        return Ok(None);
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let (engine, seen) = (engine.clone(), Arc::clone(&is_over));
    let shown = args.guest.first().map(PathBuf::from);
    let clock = move || {
        thread::sleep(limit);
        engine.increment_epoch();
        thread::sleep(GRACE);
        if !seen.load(Ordering::Acquire) {
            let message = format!("{}, in a function of the host", timed_out(limit));
            report::error(shown.as_deref(), message);
            std::process::exit(TRAP.into());
        }
    };
    let thread = thread::Builder::new().name("timeout".to_string()).spawn(clock);
    thread.map_err(|error| Error::msg(format!("there is no thread for --timeout: {error}")))?;
    Ok(Some(Clock(is_over)))
}

/// What to say behind a trap that one of these brought about.
pub(super) fn explain(args: &Run, error: &Error) -> Option<String> {
    match (error.downcast_ref::<Trap>()?, args.fuel, args.timeout) {
        (Trap::OutOfFuel, Some(fuel), _) => Some(format!("--fuel {fuel} was not enough")),
        (Trap::Interrupt, _, Some(limit)) => Some(timed_out(limit)),
        _ => None,
    }
}

/// The options with which the cache is warmed for guests with these ends.
pub(super) fn warming(args: &Run) -> String {
    let fuel = args.fuel.map_or("", |_| "--fuel ");
    let epochs = args.timeout.map_or("", |_| "--epoch-interruption ");
    format!("{fuel}{epochs}")
}

fn timed_out(limit: Duration) -> String {
    format!("it took longer than --timeout, which is {limit:?}")
}
