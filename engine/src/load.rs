//! From a module's bytes to a loaded [`Module`]: key, cache, compile on a miss, load. The only
//! file where the compiler, the runtime and the cache meet.
//!
//! Invariant: the bytes that are hashed are the bytes that are compiled: one private buffer.

use crate::artifact::header::Corrupt;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::fingerprint::{ModuleDigest, entry_id};
use crate::lookup::{self, Found};
use crate::report::{Outcome, Report};
use crate::runtime::code::CodeMapping;
use crate::{Engine, Module, compiler, text};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

impl Module {
    /// Loads a module: from the engine's cache if that has it, else by compiling it, and then the
    /// cache has it. Takes text as well, with the feature `wat`.
    ///
    /// Safe for any bytes.
    ///
    /// # Errors
    /// If the bytes are no valid module, if it needs what the settings do not have, or, where
    /// compiling is ruled out, if the cache does not have it.
    pub fn new(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<Module> {
        Module::new_reported(engine, bytes).map(|(module, _)| module)
    }

    /// As [`new`](Module::new), with what happened and how long it took.
    ///
    /// # Errors
    /// As [`new`](Module::new).
    pub fn new_reported(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<(Module, Report)> {
        let mut report = Report::default();
        let bytes = text::to_binary(bytes.as_ref())?;
        let module = obtain(engine, &bytes, &mut report)?;
        Ok((module, report))
    }

    /// As [`new`](Module::new), of a file's contents.
    ///
    /// # Errors
    /// As [`new`](Module::new), or if the file cannot be read.
    pub fn from_file(engine: &Engine, path: impl AsRef<Path>) -> Result<Module> {
        let path = path.as_ref();
        let bytes = fs::read(path).map_err(|error| Error::wrap(ErrorKind::Io, error));
        let bytes = bytes.with_context(|| format!("cannot read {}", path.display()))?;
        Module::new(engine, bytes).with_context(|| format!("cannot load {}", path.display()))
    }

    /// As [`new`](Module::new), of a binary only.
    ///
    /// # Errors
    /// As [`new`](Module::new).
    pub fn from_binary(engine: &Engine, bytes: &[u8]) -> Result<Module> {
        obtain(engine, bytes, &mut Report::default())
    }

    /// The artifact, for [`Module::deserialize`].
    ///
    /// # Errors
    /// None today.
    pub fn serialize(&self) -> Result<Vec<u8>> {
        Ok(self.mapping().bytes().to_vec())
    }
}

fn obtain(engine: &Engine, bytes: &[u8], report: &mut Report) -> Result<Module> {
    if !engine.runs_here() {
        let message = format!(
            "code for {} does not run on this host: it can be precompiled, but not loaded",
            engine.target()
        );
        return Err(Error::with_kind(ErrorKind::Unsupported, message));
    }
    let start = Instant::now();
    let digest = ModuleDigest::of(bytes);
    let ids: Vec<[u8; 32]> =
        engine.candidates().iter().map(|fingerprint| entry_id(&digest, fingerprint)).collect();
    report.key = start.elapsed();
    report.digest = Some(digest.0);
    report.module_len = bytes.len() as u64;
    if let Some(module) = ids.iter().find_map(|id| engine.loaded().get(id)) {
        report.outcome = Outcome::Loaded;
        return Ok(module);
    }
    let load = |mapping: Arc<CodeMapping>, report: &mut Report| -> Result<Module> {
        let start = Instant::now();
        if mapping.header().module != digest.0 {
            return Err(Corrupt("the artifact is of another module").into());
        }
        let module = Module::load(engine, mapping)?;
        report.load += start.elapsed();
        Ok(module)
    };
    let (index, module) = match lookup::find(engine, &digest, &ids, report, load)? {
        Found::Hit(index, module) => (index, module),
        Found::Miss(permit) => {
            // The best of the candidates is what the engine compiles with.
            let compiled = compiler::compile(engine, bytes, digest, report)?;
            permit.publish(engine, &compiled, report);
            (0, load(compiled.into_mapping()?, report)?)
        }
    };
    engine.loaded().insert(ids[index], &module);
    Ok(module)
}
