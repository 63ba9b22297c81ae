//! Filling a cache ahead of time.

use crate::error::{Context, Error, ErrorKind, Result};
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
        lookup::warm(self, &bytes, digest, id, &mut report)?;
        Ok(report)
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
