//! Bytes in, artifact out: the compiler as an engine's method.

use crate::Engine;
use crate::compile::{self, Summary};
use crate::error::{Error, ErrorKind, Result};
use crate::fingerprint::ModuleDigest;
use std::io::{Cursor, Seek, Write};
use std::thread;

impl Engine {
    /// Compiles a module ahead of time. The bytes are for
    /// [`Module::deserialize`](crate::Module::deserialize) of an engine with the same settings;
    /// they depend on nothing but these and the module.
    ///
    /// ```
    /// let engine = precompile::Engine::default();
    /// let artifact = engine.precompile_module(b"\0asm\x01\0\0\0")?;
    /// assert_eq!(&artifact[..4], b"\x7fELF");
    /// # Ok::<(), precompile::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the bytes are no valid module, or it needs what the settings do not have.
    pub fn precompile_module(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let module = crate::text::to_binary(bytes)?;
        let mut out = Cursor::new(Vec::new());
        compile(self, &module, ModuleDigest::of(&module), &mut out)?;
        Ok(out.into_inner())
    }
}

/// Compiles `module` with the settings of `engine`, and counts that.
pub(crate) fn compile(
    engine: &Engine,
    module: &[u8],
    digest: ModuleDigest,
    out: &mut (impl Write + Seek),
) -> Result<Summary> {
    engine.count_compile();
    let jobs = match engine.config().runtime.jobs {
        0 => thread::available_parallelism().map_or(1, |n| n.get()),
        jobs => jobs,
    };
    let summary = compile::compile(module, digest, engine.compile_fingerprint(), jobs, out)?;
    out.flush().map_err(|error| Error::wrap(ErrorKind::Io, error))?;
    Ok(summary)
}

/// Validates `module` for the proposals of `engine`.
///
/// # Errors
/// If it is not valid.
pub(crate) fn validate(engine: &Engine, module: &[u8]) -> Result<()> {
    compile::validate(module, engine.compile_fingerprint().features)
}
