//! Spans for `tracing`, with the feature of that name: `module.load`, and in it `cache.lookup`,
//! `compile` and `cache.add`, as far as these happen.
//!
//! Each has the fields `key` (the id of the entry), `layer`, `outcome` and `bytes` (of the module for
//! `module.load`, else of the artifact), as far as they are known when it ends. Where nobody listens,
//! nothing is made but a look at that.

use tracing::Span;
use tracing::field::{Empty, display};

/// A step of the way from bytes to a module.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    Load,
    Lookup,
    Compile,
    Add,
}

/// What is told of it when it is done.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) key: Option<[u8; 32]>,
    pub(crate) layer: Option<String>,
    pub(crate) outcome: &'static str,
    pub(crate) bytes: Option<u64>,
}

/// Takes a step in a span of its own, and tells of it what `tell` says.
pub(crate) fn span<T>(step: Step, act: impl FnOnce() -> T, tell: impl FnOnce(&T) -> Told) -> T {
    macro_rules! open {
        ($name:literal) => {
            tracing::info_span!($name, key = Empty, layer = Empty, outcome = Empty, bytes = Empty)
        };
    }
    let span: Span = match step {
        Step::Load => open!("module.load"),
        Step::Lookup => open!("cache.lookup"),
        Step::Compile => open!("compile"),
        Step::Add => open!("cache.add"),
    };
    let done = span.in_scope(act);
    if !span.is_disabled() {
        let Told { key, layer, outcome, bytes } = tell(&done);
        let hex = |key: [u8; 32]| key.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        key.map(|key| span.record("key", display(hex(key))));
        layer.map(|layer| span.record("layer", display(layer)));
        span.record("outcome", outcome);
        bytes.map(|bytes| span.record("bytes", bytes));
    }
    done
}
