//! Filling a cache ahead of time.

use crate::error::{Context, Error, ErrorKind, ModuleError, Result};
use crate::fingerprint::{ModuleDigest, entry_id};
use crate::report::Report;
use crate::{Engine, lookup, text};
use std::path::Path;
use std::time::Instant;

impl Engine {
    /// Makes sure that the engine's cache has the entry which this engine would make for a module,
    /// compiling it if need be. Loads nothing, so the target need not be this host.
    ///
    /// The way to give an app a warm-up of its own, with exactly its own settings.
    ///
    /// # Errors
    /// If the bytes are no valid module, or the engine has no cache. That the entry could not be
    /// added is in [`Report::add_failure`].
    pub fn warm(&self, bytes: impl AsRef<[u8]>) -> Result<Report> {
        let bytes = text::to_binary(bytes.as_ref())?;
        let mut report = Report { module_len: bytes.len() as u64, ..Report::default() };
        let start = Instant::now();
        let digest = ModuleDigest::of(&bytes);
        let id = entry_id(&digest, self.compile_fingerprint());
        report.key = start.elapsed();
        report.digest = Some(digest.0);
        lookup::warm(self, &bytes, digest, id, &mut report)?;
        Ok(report)
    }

    /// Looks whether the engine's cache has an entry of a module that this engine would load.
    /// Compiles, loads and writes nothing, so the target need not be this host. The outcome is
    /// [`Hit`](crate::Outcome::Hit) or [`Missed`](crate::Outcome::Missed).
    ///
    /// # Errors
    /// If the bytes cannot be a module. What is inside of one is not looked at.
    pub fn check(&self, bytes: impl AsRef<[u8]>) -> Result<Report> {
        let (mut report, digest, ids) = identify(self, bytes.as_ref())?;
        lookup::check(self, &digest, &ids, &mut report);
        Ok(report)
    }

    /// As [`check`](Engine::check), of the module whose bytes have that SHA-256, which need not be
    /// here.
    pub fn check_digest(&self, digest: [u8; 32]) -> Report {
        let digest = ModuleDigest(digest);
        let mut report = Report { digest: Some(digest.0), ..Report::default() };
        lookup::check(self, &digest, &ids(self, &digest), &mut report);
        report
    }

    /// As [`warm`](Engine::warm), of a file's contents.
    ///
    /// # Errors
    /// As [`warm`](Engine::warm), or if the file cannot be read.
    pub fn warm_file(&self, path: impl AsRef<Path>) -> Result<Report> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|error| Error::wrap(ErrorKind::Io, error));
        self.warm(bytes.with_context(|| format!("cannot read {}", path.display()))?)
    }
}

/// The ids of the entries of a module that `engine` would load, best first.
pub(crate) fn ids(engine: &Engine, digest: &ModuleDigest) -> Vec<[u8; 32]> {
    engine.candidates().iter().map(|candidate| entry_id(digest, candidate)).collect()
}

/// The digest of a module and the ids of the entries that `engine` would load, best first.
///
/// # Errors
/// If the bytes cannot be a module.
pub(crate) fn identify(
    engine: &Engine,
    bytes: &[u8],
) -> Result<(Report, ModuleDigest, Vec<[u8; 32]>)> {
    let bytes = text::to_binary(bytes)?;
    if !bytes.starts_with(b"\0asm\x01\0\0\0") {
        let message = "no module of WebAssembly 1.0 to 3.0: its first eight bytes are others";
        return Err(Error::wrap(
            ErrorKind::Invalid,
            ModuleError { offset: Some(0), message: message.to_string() },
        ));
    }
    let mut report = Report { module_len: bytes.len() as u64, ..Report::default() };
    let start = Instant::now();
    let digest = ModuleDigest::of(&bytes);
    let ids = ids(engine, &digest);
    report.key = start.elapsed();
    report.digest = Some(digest.0);
    Ok((report, digest, ids))
}
