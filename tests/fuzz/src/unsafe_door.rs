//! The door for machine code, with damaged bytes in it on purpose.

use precompile::{Engine, Error, Module};

/// Loads what an engine of this crate made, damaged.
pub(crate) fn deserialize(engine: &Engine, bytes: &[u8]) -> Result<Module, Error> {
    // SAFETY: not the promise that is asked for: the engine is held to more here. Loading and
    // listing run no code, and nothing is called that was damaged, but in what is checked at each
    // use.
    unsafe { Module::deserialize(engine, bytes) }
}
