//! A disk that fails on command.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use rustix::io::Errno;

use crate::dir::DirOptions;
use crate::dir::disk::Moment;
use crate::testing::Operation;

/// Makes operations of a directory fail, and writes down which ones there were.
///
/// ```
/// use precompile_cache::testing::{Errno, Faults, Operation};
/// use precompile_cache::{Cache, Content, DirOptions, Key};
/// let folder = tempfile::tempdir().unwrap();
/// let faults = Faults::new();
/// let cache = DirOptions::new().with_faults(&faults).open(folder.path()).unwrap();
///
/// faults.fail_each(Operation::Write, Errno::NOSPC);
/// let (key, content) = (Key::new([1; 32], [2; 32]), Content::from_bytes(vec![3; 4]));
/// assert!(cache.add(&key, &content, b"").unwrap_err().to_string().contains("No space left"));
/// faults.heal();
/// cache.add(&key, &content, b"").unwrap();
/// ```
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    log: Vec<Operation>,
    plan: Plan,
}

#[derive(Debug, Default)]
enum Plan {
    #[default]
    None,
    Nth(usize, Errno),
    From(usize, Errno),
    Each(Operation, Errno),
    Lose(usize, Errno),
}

impl Faults {
    /// Nothing fails yet.
    pub fn new() -> Faults {
        Faults::default()
    }

    /// Lets the operation with this number fail, counted from 0 from now on.
    pub fn fail_nth(&self, number: usize, errno: Errno) {
        self.plan(Plan::Nth(number, errno));
    }

    /// Lets everything fail from the operation with this number on, counted from 0 from now on: what
    /// a process that is killed there leaves on the disk.
    pub fn fail_from(&self, number: usize, errno: Errno) {
        self.plan(Plan::From(number, errno));
    }

    /// Lets each operation of a kind fail.
    pub fn fail_each(&self, operation: Operation, errno: Errno) {
        self.plan(Plan::Each(operation, errno));
    }

    /// Lets the operation with this number, counted from 0 from now on, be done and yet fail, if it
    /// changes a name: what a network file system does whose answer was lost.
    pub fn lose_nth(&self, number: usize, errno: Errno) {
        self.plan(Plan::Lose(number, errno));
    }

    /// Lets everything succeed again.
    pub fn heal(&self) {
        self.plan(Plan::None);
    }

    /// The operations since the last change of plan, failed ones included.
    pub fn log(&self) -> Vec<Operation> {
        self.lock().log.clone()
    }

    fn plan(&self, plan: Plan) {
        *self.lock() = State { log: Vec::new(), plan };
    }

    fn watch(&self, operation: Operation, moment: Moment) -> io::Result<()> {
        let mut state = self.lock();
        if moment == Moment::After {
            return match state.plan {
                Plan::Lose(nth, errno) if state.log.len() == nth + 1 => Err(errno.into()),
                _ => Ok(()),
            };
        }
        let number = state.log.len();
        state.log.push(operation);
        match state.plan {
            Plan::Nth(nth, errno) if number == nth => Err(errno.into()),
            Plan::From(first, errno) if number >= first => Err(errno.into()),
            Plan::Each(kind, errno) if operation == kind => Err(errno.into()),
            _ => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DirOptions {
    /// Lets the operations of the directory fail as `faults` says. Feature `testing`.
    #[must_use]
    pub fn with_faults(mut self, faults: &Faults) -> DirOptions {
        let faults = faults.clone();
        self.disk.watch = Some(Arc::new(move |operation, moment| faults.watch(operation, moment)));
        self
    }
}
