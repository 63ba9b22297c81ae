//! Without the feature `compile`: a module that no cache has is an error.

use crate::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::fingerprint::ModuleDigest;
use crate::report::Report;
use crate::runtime::code::CodeMapping;
use std::sync::Arc;

/// Whether this build has a compiler.
pub(crate) const PRESENT: bool = false;

/// An artifact that was just made: there is none.
pub(crate) enum Compiled {}

/// Compiles nothing.
///
/// # Errors
/// Always.
pub(crate) fn compile(_: &Engine, _: &[u8], _: ModuleDigest, _: &mut Report) -> Result<Compiled> {
    Err(Error::with_kind(
        ErrorKind::Miss,
        "this build has no compiler and no cache has the module: precompile it, \
         or build with the feature `compile`",
    ))
}

/// Validates nothing.
///
/// # Errors
/// Always.
pub(crate) fn validate(_: &Engine, _: &[u8]) -> Result<()> {
    let message = "this build has no compiler, which is what validates: build with `compile`";
    Err(Error::with_kind(ErrorKind::Config, message))
}

impl Compiled {
    #[cfg(feature = "cache")]
    pub(crate) fn content(&self) -> Result<precompile_cache::Content> {
        match *self {}
    }

    pub(crate) fn into_mapping(self) -> Result<Arc<CodeMapping>> {
        match self {}
    }
}
