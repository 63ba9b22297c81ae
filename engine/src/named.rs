//! Loading a module whose bytes are not here: by their digest, or by a name that a cache knows it
//! by. An image may so ship entries and no modules.
//!
//! The digest is all of a module that is in a key, so nothing else is missing; and the entry that is
//! found is checked as ever, the digest in its header included.

use crate::error::{Error, ErrorKind, Result};
use crate::fingerprint::ModuleDigest;
use crate::report::{NotCached, Report};
use crate::{Engine, Module, load, lookup};
use std::time::Instant;

impl Module {
    /// Loads the module whose bytes have that SHA-256 from the engine's cache. Nothing is compiled,
    /// in whichever mode and build: there is nothing to compile it from.
    ///
    /// `digest` is what [`Module::digest`], [`Report::digest`] and `sha256sum` of the binary tell. As
    /// safe as [`Module::new`]: what a cache has is checked in the same way.
    ///
    /// # Errors
    /// [`ErrorKind::Miss`] if the cache does not have it: with [`Miss`](crate::Miss), which says why,
    /// inside of [`NotCached`], which says what was asked for and where. Besides, as
    /// [`Module::new`].
    ///
    /// ```
    /// use precompile::{Config, Engine, ErrorKind, Miss, Module, cache::Layers};
    /// let mut config = Config::new();
    /// config.cache(Layers::builder().read_only_if_present("/usr/share/precompile"));
    /// let engine = Engine::new(&config)?;
    /// let error = Module::from_digest(&engine, [7; 32]).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Miss);
    /// assert_eq!(error.downcast_ref(), Some(&Miss::Absent));
    /// # Ok::<(), precompile::Error>(())
    /// ```
    pub fn from_digest(engine: &Engine, digest: [u8; 32]) -> Result<Module> {
        Module::from_digest_reported(engine, digest).map(|(module, _)| module)
    }

    /// As [`from_digest`](Module::from_digest), with what happened and how long it took.
    ///
    /// # Errors
    /// As [`from_digest`](Module::from_digest).
    pub fn from_digest_reported(engine: &Engine, digest: [u8; 32]) -> Result<(Module, Report)> {
        let mut report = Report::default();
        let module = obtain(engine, ModuleDigest(digest), &mut report);
        let module = module.map_err(|error| tell(engine, error, None, Some(digest)))?;
        Ok((module, report))
    }

    /// Loads the module of that name from the engine's cache, as [`from_digest`](Module::from_digest)
    /// does. Names are those of the [lists](precompile_cache::Names) that `precompile --out` writes
    /// beside the entries: the path of the module in the folder that was named, such as
    /// `more/hello.wasm`, or else the name of its file.
    ///
    /// The first layer that has the name in its list decides. A list that is damaged, or that others
    /// could have written, ends the search; under
    /// [`Policy::Signed`](precompile_cache::Policy::Signed) it needs a signature.
    ///
    /// # Errors
    /// As [`from_digest`](Module::from_digest), or if no list has the name.
    ///
    /// ```
    /// # #[cfg(all(feature = "compile", feature = "wat"))] {
    /// use precompile::cache::{DirCache, Layers, Mode};
    /// use precompile::{Config, Engine, Module};
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path().join("image");
    ///
    /// // Where images are built, as `precompile --out DIR plugins/` does it: entries and names.
    /// let mut config = Config::new();
    /// config.cache(Layers::builder().read_write_dir(DirCache::open_image(&dir)?));
    /// let report = Engine::new(&config)?.warm(r#"(module (func (export "run")))"#)?;
    /// let digest = report.digest.unwrap();
    /// DirCache::open_image(&dir)?
    ///     .update_names(|names| names.insert("plugins/hello.wasm", digest).map(drop))?;
    ///
    /// // In the image, where there is nothing but that directory.
    /// config.cache(Layers::builder().read_only(&dir).mode(Mode::RequireHit));
    /// let engine = Engine::new(&config)?;
    /// let module = Module::from_name(&engine, "plugins/hello.wasm")?;
    /// assert!(module.get_export("run").is_some());
    /// # }
    /// # Ok::<(), precompile::Error>(())
    /// ```
    pub fn from_name(engine: &Engine, name: &str) -> Result<Module> {
        Module::from_name_reported(engine, name).map(|(module, _)| module)
    }

    /// As [`from_name`](Module::from_name), with what happened and how long it took.
    ///
    /// # Errors
    /// As [`from_name`](Module::from_name).
    pub fn from_name_reported(engine: &Engine, name: &str) -> Result<(Module, Report)> {
        let mut report = Report::default();
        let start = Instant::now();
        let digest = engine.resolve(name)?;
        report.key = start.elapsed();
        let module = obtain(engine, ModuleDigest(digest), &mut report);
        let module = module.map_err(|error| tell(engine, error, Some(name), Some(digest)))?;
        Ok((module, report))
    }
}

impl Engine {
    /// The digest of the module that a name stands for, by the lists of names in the engine's cache:
    /// what [`Module::from_name`] loads.
    ///
    /// # Errors
    /// [`ErrorKind::Miss`] if no list has the name, or one that may have it cannot be used.
    pub fn resolve(&self, name: &str) -> Result<[u8; 32]> {
        match lookup::resolve(self, name) {
            Ok(digest) => Ok(digest.0),
            Err(error) => Err(tell(self, error, Some(name), None)),
        }
    }
}

fn obtain(engine: &Engine, digest: ModuleDigest, report: &mut Report) -> Result<Module> {
    let module = load::obtain(engine, digest, report, true, |_| Ok(None))?;
    module.ok_or_else(|| Error::with_kind(ErrorKind::Bug, "a module that must hit was missed"))
}

/// A miss, with what was asked for.
fn tell(engine: &Engine, error: Error, name: Option<&str>, digest: Option<[u8; 32]>) -> Error {
    if error.kind() != ErrorKind::Miss {
        return match name {
            Some(name) => error.context(format!("cannot load the module {name:?}")),
            None => error.context("cannot load a module by its digest"),
        };
    }
    let (name, layers) = (name.map(String::from), lookup::places(engine));
    error.context(NotCached { name, digest, layers })
}
