//! The doors through which machine code comes in.
//!
//! The safe ones are for code whose maker is known: this process's compiler, or a cache layer
//! under the trust rule, into which only engines write, or whose entries a trusted key has signed. Everything else is `unsafe`, for ever: no
//! check of an artifact can tell that its code is harmless.

use super::sys;
use crate::Engine;
use crate::artifact::{content, header};
use crate::config::{Config, Load};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::runtime::code::{self, CodeMapping};
use crate::runtime::module::Module;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

fn load(choice: Load) -> code::Load {
    match choice {
        Load::Map => code::Load::Map,
        Load::Copy => code::Load::Copy,
    }
}

/// An empty file in memory for the compiler to write an artifact to.
pub(crate) fn scratch_file() -> Result<File> {
    sys::scratch_file()
        .map_err(|error| Error::wrap(ErrorKind::Io, error))
        .context("cannot make a file in memory for the compiled module")
}

/// Maps what this process's compiler has written to a [`scratch_file`].
pub(crate) fn of_compiler(file: File, len: u64) -> Result<Arc<CodeMapping>> {
    // SAFETY: the compiler of this engine wrote it, and nobody else has the file.
    unsafe { CodeMapping::from_file(file, len, code::Load::Map, "a module just compiled") }
}

/// Copies what this process's compiler has written to its memory.
pub(crate) fn of_compiler_in_memory(bytes: &[u8]) -> Result<Arc<CodeMapping>> {
    // SAFETY: the compiler of this engine wrote them.
    unsafe { CodeMapping::from_bytes(bytes, "a module just compiled") }
}

/// Maps an entry that a cache returned.
#[cfg(feature = "cache")]
pub(crate) fn of_cache(
    content: precompile_cache::Content,
    choice: Load,
) -> Result<Arc<CodeMapping>> {
    let name = content.origin().map_or("an entry in memory".into(), |p| p.display().to_string());
    let len = content.len();
    let io = |error| Error::wrap(ErrorKind::Io, error).context(format!("cannot read {name}"));
    if content.as_file().is_some() {
        let file = content.into_file().map_err(io)?.expect("just seen to be a file");
        // SAFETY: a layer returns what an engine added (the trust rule, or whoever attached it
        // by `Config::cache_vouched`, sees to that), or what a key signed that whoever set up the
        // layers trusts; entries are replaced, never written in place, and signed ones are copies.
        return unsafe { CodeMapping::from_file(file, len, load(choice), &name) };
    }
    let bytes = content.to_vec().map_err(io)?;
    // SAFETY: as above.
    unsafe { CodeMapping::from_bytes(&bytes, &name) }
}

#[cfg(feature = "cache")]
impl Config {
    /// As [`cache`](Config::cache), for layers of which the engine cannot know who writes to them:
    /// an implementation of the embedder's own, or a directory that others may write to.
    ///
    /// # Safety
    /// `get` of every layer returns only what an engine of this crate has passed to `add`: the
    /// code in it is run.
    pub unsafe fn cache_vouched(
        &mut self,
        cache: impl Into<Option<precompile_cache::LayersBuilder>>,
    ) -> &mut Self {
        self.cache(cache);
        self.runtime.cache_vouched = true;
        self
    }
}

impl Module {
    /// Loads the artifact in `bytes`, as [`Engine::precompile_module`] makes it.
    ///
    /// # Errors
    /// If it is no artifact, damaged, or made for other settings; the first field that differs
    /// is named.
    ///
    /// # Safety
    /// The bytes come from an engine of this crate, unchanged: the code in them is run.
    pub unsafe fn deserialize(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<Module> {
        // SAFETY: the caller's promise.
        let mapping = unsafe { CodeMapping::from_bytes(bytes.as_ref(), "a serialized module") }?;
        Module::load(engine, mapping)
    }

    /// Loads the artifact in a file: one with the bytes that [`Engine::precompile_module`] makes,
    /// or an entry of a cache directory. All of it is held against the digest that it has of
    /// itself, which takes a time that depends on its length and finds whatever damage there is.
    ///
    /// # Errors
    /// As [`deserialize`](Module::deserialize), or if the file cannot be read.
    ///
    /// # Safety
    /// The bytes come from an engine of this crate: the code in them is run. That they are
    /// unchanged is checked, against accidents and not against malice. And with [`Load::Map`] nobody
    /// changes or shortens the file as long as the module lives; replacing it by another file is
    /// fine.
    pub unsafe fn deserialize_file(engine: &Engine, path: impl AsRef<Path>) -> Result<Module> {
        // SAFETY: the caller's promise.
        unsafe { of_file(engine, path.as_ref(), true) }
    }

    /// As [`deserialize_file`](Module::deserialize_file), of which only the header is checked: takes
    /// the same time for any number of functions.
    ///
    /// # Errors
    /// As [`deserialize_file`](Module::deserialize_file); damage outside of the header is found where
    /// it is met, or, inside of code, never.
    ///
    /// # Safety
    /// As [`deserialize_file`](Module::deserialize_file); and the bytes are unchanged.
    pub unsafe fn deserialize_file_unchecked(
        engine: &Engine,
        path: impl AsRef<Path>,
    ) -> Result<Module> {
        // SAFETY: the caller's promise.
        unsafe { of_file(engine, path.as_ref(), false) }
    }
}

/// Loads the artifact that a file starts with, and checks all of it if `is_checked`.
///
/// # Safety
/// As `Module::deserialize_file`, or, if it is not checked, `Module::deserialize_file_unchecked`.
unsafe fn of_file(engine: &Engine, path: &Path, is_checked: bool) -> Result<Module> {
    // What a fault in the mapping is told with, wherever the process has gone by then.
    let shown = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let shown = shown.display().to_string();
    let io = |error| Error::wrap(ErrorKind::Io, error);
    let file = File::open(path).map_err(io).with_context(|| format!("cannot open {shown}"))?;
    let len = file.metadata().map_err(io)?.len();
    let mut page = vec![0; header::PAGE];
    let read = file.read_exact_at(&mut page, 0).map(|()| header::file_len(&page));
    // A cache's trailer may follow; the header says where the artifact ends.
    let len = read.ok().flatten().filter(|own| *own <= len).unwrap_or(len);
    // SAFETY: the caller's promise.
    let mapping =
        unsafe { CodeMapping::from_file(file, len, load(engine.config().runtime.load), &shown) }?;
    // What is mapped is checked, and nothing of it has run yet.
    let checked = if is_checked { content::verify(mapping.bytes()) } else { Ok(()) };
    let module = checked.map_err(Error::from).and_then(|()| Module::load(engine, mapping));
    module.with_context(|| format!("cannot load {shown}"))
}
