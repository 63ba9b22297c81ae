//! Telling an observer, if there is one: without, no clock is read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::observer::{Event, Observer};

#[derive(Clone, Default)]
pub(super) struct Watch(pub(super) Option<Arc<dyn Observer>>);

/// When something began, if anybody wants to know.
#[derive(Clone, Copy)]
pub(super) struct Start(Option<Instant>);

impl Watch {
    pub(super) fn start(&self) -> Start {
        Start(self.0.as_ref().map(|_| Instant::now()))
    }

    pub(super) fn tell<'a>(&self, event: impl FnOnce() -> Event<'a>) {
        if let Some(observer) = &self.0 {
            observer.event(&event());
        }
    }
}

impl Start {
    pub(super) fn took(self) -> Duration {
        self.0.map_or(Duration::ZERO, |start| start.elapsed())
    }
}
