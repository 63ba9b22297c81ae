//! From a module's bytes to a loaded [`Module`]: key, cache, compile on a miss, load. The only
//! file where the compiler, the runtime and the cache meet.
//!
//! Invariant: the bytes that are hashed are the bytes that are compiled: one private buffer. A hit
//! needs no buffer at all: the file is hashed as a stream, or its digest is remembered.

use crate::artifact::header::Corrupt;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::fingerprint::{ModuleDigest, entry_id};
use crate::lookup::{self, Found};
use crate::report::{Outcome, Report};
use crate::runtime::code::CodeMapping;
use crate::{Engine, Module, compiler, text};
use std::borrow::Cow;
use std::fs::File;
use std::io::{Read, Seek};
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
        let module = from_bytes(engine, &bytes, &mut report)?;
        Ok((module, report))
    }

    /// As [`new`](Module::new), of a file's contents, which are read into memory only if the
    /// module has to be compiled.
    ///
    /// # Errors
    /// As [`new`](Module::new), or if the file cannot be read.
    pub fn from_file(engine: &Engine, path: impl AsRef<Path>) -> Result<Module> {
        Module::from_file_reported(engine, path).map(|(module, _)| module)
    }

    /// As [`from_file`](Module::from_file), with what happened and how long it took.
    ///
    /// # Errors
    /// As [`from_file`](Module::from_file).
    pub fn from_file_reported(engine: &Engine, path: impl AsRef<Path>) -> Result<(Module, Report)> {
        let path = path.as_ref();
        let mut report = Report::default();
        let module = from_file(engine, path, &mut report);
        Ok((module.with_context(|| format!("cannot load {}", path.display()))?, report))
    }

    /// As [`new`](Module::new), of a binary only.
    ///
    /// # Errors
    /// As [`new`](Module::new).
    pub fn from_binary(engine: &Engine, bytes: &[u8]) -> Result<Module> {
        from_bytes(engine, bytes, &mut Report::default())
    }

    /// Validates a module, bodies included; compiles nothing and asks no cache.
    ///
    /// # Errors
    /// If the bytes are no valid module for the engine's proposals: `Invalid`, `Unsupported` or
    /// `Limit`. `Config` in a build without the compiler.
    ///
    /// ```
    /// # #[cfg(feature = "compile")] {
    /// use precompile::{Engine, Module};
    /// let engine = Engine::default();
    /// assert!(Module::validate(&engine, b"\0asm\x01\0\0\0").is_ok());
    /// assert!(Module::validate(&engine, b"\0asm\x02\0\0\0").is_err());
    /// # }
    /// ```
    pub fn validate(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<()> {
        compiler::validate(engine, &text::to_binary(bytes.as_ref())?)
    }

    /// The artifact, for [`Module::deserialize`].
    ///
    /// # Errors
    /// None today.
    pub fn serialize(&self) -> Result<Vec<u8>> {
        Ok(self.mapping().bytes().to_vec())
    }
}

fn from_bytes(engine: &Engine, bytes: &[u8], report: &mut Report) -> Result<Module> {
    let start = Instant::now();
    let digest = ModuleDigest::of(bytes);
    report.key = start.elapsed();
    report.module_len = bytes.len() as u64;
    let same = |_: &ModuleDigest| Ok(Some(Cow::Borrowed(bytes)));
    let module = obtain(engine, digest, report, false, same)?;
    module.ok_or_else(|| Error::with_kind(ErrorKind::Bug, "bytes in memory have changed"))
}

fn from_file(engine: &Engine, path: &Path, report: &mut Report) -> Result<Module> {
    let io = |error| Error::wrap(ErrorKind::Io, error);
    let start = Instant::now();
    let file = File::open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    let (regular, len) = (metadata.is_file(), metadata.len());
    let read = || {
        let mut bytes = Vec::new();
        if regular {
            (&file).rewind()?;
        }
        (&file).read_to_end(&mut bytes).map(|_| bytes)
    };
    if !regular {
        // A pipe, say, which can be read only once.
        return from_bytes(engine, &text::to_binary(&read().map_err(io)?)?, report);
    }
    let memo = lookup::Memo::of(engine, &file);
    let digest = match memo.digest() {
        Some(digest) => digest,
        None => {
            let (first, digest, _) = ModuleDigest::of_file(&file).map_err(io)?;
            if !first.starts_with(b"\0asm") {
                // Text, whose binary is what counts, or nothing that can be loaded.
                return from_bytes(engine, &text::to_binary(&read().map_err(io)?)?, report);
            }
            memo.note(&digest);
            digest
        }
    };
    report.key = start.elapsed();
    report.module_len = len;
    // What is compiled is read once more, since the file may be another one by now; then it is
    // that file's module which is wanted.
    let mut changed = None;
    let unchanged = |digest: &ModuleDigest| {
        let bytes = read().map_err(io)?;
        if ModuleDigest::of(&bytes) == *digest {
            return Ok(Some(Cow::Owned(bytes)));
        }
        changed = Some(bytes);
        Ok(None)
    };
    let module = obtain(engine, digest, report, false, unchanged)?;
    match (module, changed) {
        (Some(module), _) => Ok(module),
        (None, changed) => {
            from_bytes(engine, &text::to_binary(&changed.unwrap_or_default())?, report)
        }
    }
}

/// The module with that digest. What has to be compiled is asked for when it is; it must have the
/// digest too, and otherwise there is no module. With `must_hit` nothing is compiled.
pub(crate) fn obtain<'b>(
    engine: &Engine,
    digest: ModuleDigest,
    report: &mut Report,
    must_hit: bool,
    bytes: impl FnOnce(&ModuleDigest) -> Result<Option<Cow<'b, [u8]>>>,
) -> Result<Option<Module>> {
    if !engine.runs_here() {
        let message = format!(
            "code for {} does not run on this host: it can be precompiled, but not loaded",
            engine.target()
        );
        return Err(Error::with_kind(ErrorKind::Unsupported, message));
    }
    let missing = engine.cpu().features().difference(engine.host_features());
    if engine.candidates().len() == 1 && !missing.is_empty() {
        // Before the cache is asked: an entry that others can run is none of this host's business.
        let message = format!(
            "the engine is set to {}, which needs {missing}: this processor lacks that",
            engine.cpu()
        );
        return Err(Error::with_kind(ErrorKind::Incompatible, message));
    }
    let ids: Vec<[u8; 32]> =
        engine.candidates().iter().map(|fingerprint| entry_id(&digest, fingerprint)).collect();
    report.digest = Some(digest.0);
    if let Some(module) = ids.iter().find_map(|id| engine.loaded().get(id)) {
        report.outcome = Outcome::Loaded;
        return Ok(Some(module));
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
    let (index, module) = match lookup::find(engine, &digest, &ids, must_hit, report, load)? {
        Found::Hit(index, module) => (index, module),
        Found::Miss(permit) => {
            let Some(bytes) = bytes(&digest)? else { return Ok(None) };
            // The best of the candidates is what the engine compiles with.
            let compiled = compiler::compile(engine, &bytes, digest, report)?;
            permit.publish(engine, &compiled, report);
            (0, load(compiled.into_mapping()?, report)?)
        }
    };
    engine.loaded().insert(ids[index], &module);
    Ok(Some(module))
}
