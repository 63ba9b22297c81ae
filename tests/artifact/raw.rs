//! The door for machine code, with damaged bytes in it on purpose.

use precompile::{Engine, Module, Result};

/// Loads what an engine of this crate made, perhaps damaged outside of its code.
pub(crate) fn deserialize(engine: &Engine, bytes: &[u8]) -> Result<Module> {
    // SAFETY: not the promise that is asked for: these tests hold the engine to more. Loading
    // and listing run no code, and callers run it only where the bytes are whole, where what is
    // damaged was refused, or where it is a table that is checked at each use.
    unsafe { Module::deserialize(engine, bytes) }
}
