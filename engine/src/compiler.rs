//! Compiling into a file in memory, from which a module is mapped and a cache is filled; where a
//! process has no room for one more open file, or may not make such ones, into its own memory.

use crate::error::{Context, Error, ErrorKind, Result};
use crate::fingerprint::{ModuleDigest, entry_id};
use crate::report::Report;
use crate::runtime::code::CodeMapping;
use crate::runtime::vm::doors;
use crate::trace::{self, Step, Told};
use crate::{Engine, precompile};
use std::fs::File;
use std::io::{BufWriter, Cursor};
use std::sync::Arc;

/// Whether this build has a compiler.
pub(crate) const PRESENT: bool = true;

/// An artifact that was just made.
pub(crate) struct Compiled {
    body: Body,
    len: u64,
}

enum Body {
    File(File),
    Bytes(Vec<u8>),
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
    let (body, summary) = match doors::scratch_file() {
        Ok(file) => {
            let mut out = BufWriter::with_capacity(1 << 20, file);
            let summary = precompile::compile(engine, module, digest, &mut out)?;
            let file = out.into_inner().map_err(std::io::IntoInnerError::into_error);
            let file = file.map_err(|error| Error::wrap(ErrorKind::Io, error));
            (Body::File(file.context("cannot write the compiled module")?), summary)
        }
        Err(_) => {
            let mut out = Cursor::new(Vec::new());
            let summary = precompile::compile(engine, module, digest, &mut out)?;
            (Body::Bytes(out.into_inner()), summary)
        }
    };
    report.artifact_len = summary.artifact_len;
    report.text_len = summary.text_len;
    report.functions = summary.functions;
    report.decode = summary.decode;
    report.compile = summary.compile;
    report.write = summary.write;
    Ok(Compiled { body, len: summary.artifact_len })
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
    /// If it cannot be read back.
    #[cfg(feature = "cache")]
    pub(crate) fn content(&self) -> Result<precompile_cache::Content> {
        use precompile_cache::Content;
        let file = match &self.body {
            Body::Bytes(bytes) => return Ok(Content::from_bytes(&bytes[..])),
            Body::File(file) => file,
        };
        if let Ok(file) = file.try_clone() {
            return Ok(Content::from_file(file, self.len));
        }
        // There is no room for another open file.
        let mut bytes = vec![0; usize::try_from(self.len).unwrap_or(usize::MAX)];
        let read = std::os::unix::fs::FileExt::read_exact_at(file, &mut bytes, 0);
        read.map_err(|error| Error::wrap(ErrorKind::Io, error))?;
        Ok(Content::from_bytes(bytes))
    }

    /// For loading.
    ///
    /// # Errors
    /// If it cannot be mapped.
    pub(crate) fn into_mapping(self) -> Result<Arc<CodeMapping>> {
        match self.body {
            Body::File(file) => doors::of_compiler(file, self.len),
            Body::Bytes(bytes) => doors::of_compiler_in_memory(&bytes),
        }
    }
}
