//! Compiling into a file in memory, from which a module is mapped and a cache is filled.

use crate::error::{Context, Error, ErrorKind, Result};
use crate::fingerprint::{ModuleDigest, entry_id};
use crate::report::Report;
use crate::runtime::code::CodeMapping;
use crate::runtime::vm::doors;
use crate::trace::{self, Step, Told};
use crate::{Engine, precompile};
use std::fs::File;
use std::io::BufWriter;
use std::sync::Arc;

/// Whether this build has a compiler.
pub(crate) const PRESENT: bool = true;

/// An artifact that was just made.
pub(crate) struct Compiled {
    file: File,
    len: u64,
}

/// Compiles `module`.
///
/// # Errors
/// If it is no valid module, or there is no room for the artifact.
pub(crate) fn compile(
    engine: &Engine,
    module: &[u8],
    digest: ModuleDigest,
    report: &mut Report,
) -> Result<Compiled> {
    let act = || try_compile(engine, module, digest, report);
    trace::span(Step::Compile, act, |compiled| Told {
        key: Some(entry_id(&digest, engine.compile_fingerprint())),
        outcome: if compiled.is_ok() { "compiled" } else { "failed" },
        bytes: compiled.as_ref().ok().map(|compiled| compiled.len),
        ..Told::default()
    })
}

fn try_compile(
    engine: &Engine,
    module: &[u8],
    digest: ModuleDigest,
    report: &mut Report,
) -> Result<Compiled> {
    let mut out = BufWriter::with_capacity(1 << 20, doors::scratch_file()?);
    let summary = precompile::compile(engine, module, digest, &mut out)?;
    report.artifact_len = summary.artifact_len;
    report.text_len = summary.text_len;
    report.functions = summary.functions;
    report.decode = summary.decode;
    report.compile = summary.compile;
    report.write = summary.write;
    let file = out.into_inner().map_err(|error| Error::wrap(ErrorKind::Io, error.into_error()));
    Ok(Compiled {
        file: file.context("cannot write the compiled module")?,
        len: summary.artifact_len,
    })
}

/// Validates `module`.
///
/// # Errors
/// If it is not valid.
pub(crate) fn validate(engine: &Engine, module: &[u8]) -> Result<()> {
    precompile::validate(engine, module)
}

impl Compiled {
    /// For a cache.
    ///
    /// # Errors
    /// If the process has no room for another open file.
    #[cfg(feature = "cache")]
    pub(crate) fn content(&self) -> Result<precompile_cache::Content> {
        let file = self.file.try_clone().map_err(|error| Error::wrap(ErrorKind::Io, error))?;
        Ok(precompile_cache::Content::from_file(file, self.len))
    }

    /// For loading.
    ///
    /// # Errors
    /// If it cannot be mapped.
    pub(crate) fn into_mapping(self) -> Result<Arc<CodeMapping>> {
        doors::of_compiler(self.file, self.len)
    }
}
