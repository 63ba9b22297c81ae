//! Ends for guests of `run` that would go on and on: by fuel, or by time.

use super::run::TRAP;
use crate::args::Run;
use crate::report;
use precompile::{Engine, Error, Result, Store, Trap};
use std::fmt::Display;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

/// How long a guest may take to end, once the time is over: it may wait in a function of the host,
/// where nobody looks at the epoch. So long the last message may take as well.
const GRACE: Duration = Duration::from_secs(1);

/// A clock that ends a guest, until it is dropped: from then on it ends nothing.
pub(super) struct Clock(Arc<Mutex<bool>>);

impl Drop for Clock {
    fn drop(&mut self) {
        *locked(&self.0) = true;
    }
}

fn locked(is_over: &Mutex<bool>) -> MutexGuard<'_, bool> {
    is_over.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives `store` what `args` say that its guest may use. The time begins here. `shown` is what
/// messages name the guest by.
///
/// # Errors
/// If there is no thread for a clock.
pub(super) fn start<T: 'static>(
    args: &Run,
    shown: &Path,
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
    let is_over = Arc::new(Mutex::new(false));
    let (engine, shown, seen) = (engine.clone(), shown.to_path_buf(), Arc::clone(&is_over));
    let clock = move || {
        thread::sleep(limit);
        engine.increment_epoch();
        thread::sleep(GRACE);
        // Held to the end, so that a guest that returns now has not ended in time.
        let is_over = locked(&seen);
        if !*is_over {
            tell(&shown, format!("{}, in a function of the host", timed_out(limit)));
            std::process::exit(TRAP.into());
        }
    };
    let thread = thread::Builder::new().name("timeout".to_string()).spawn(clock);
    thread.map_err(|error| Error::msg(format!("there is no thread for --timeout: {error}")))?;
    Ok(Some(Clock(is_over)))
}

/// The last message about a guest that took too long. It may have filled standard error, which nobody
/// reads, or wait there with the lock held: that does not keep the program from its end.
pub(super) fn tell(shown: &Path, message: impl Display + Send + 'static) {
    let shown = shown.to_path_buf();
    let (told, wait) = mpsc::channel::<()>();
    let say = move || {
        report::error(Some(&shown), message);
        drop(told);
    };
    if thread::Builder::new().name("message".to_string()).spawn(say).is_ok() {
        _ = wait.recv_timeout(GRACE);
    }
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
