//! Without the feature `tracing`: nobody is told.

/// A step of the way from bytes to a module.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    Load,
    Lookup,
    Compile,
    Add,
}

/// What would be told of it.
#[derive(Default)]
#[expect(dead_code, reason = "what the feature reads")]
pub(crate) struct Told {
    pub(crate) key: Option<[u8; 32]>,
    pub(crate) layer: Option<String>,
    pub(crate) outcome: &'static str,
    pub(crate) bytes: Option<u64>,
}

/// Takes a step.
pub(crate) fn span<T>(_: Step, act: impl FnOnce() -> T, _: impl FnOnce(&T) -> Told) -> T {
    act()
}
