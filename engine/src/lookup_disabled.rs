//! Without the feature `cache`: there is none.

use crate::compiler::Compiled;
use crate::error::Result;
use crate::fingerprint::ModuleDigest;
use crate::report::{Outcome, Report};
use crate::runtime::code::CodeMapping;
use crate::{Engine, Module};
use std::fs::File;
use std::marker::PhantomData;
use std::sync::Arc;

/// What the cache had: nothing.
pub(crate) enum Found<'e> {
    #[expect(dead_code, reason = "the shape that a cache gives")]
    Hit(usize, Module),
    Miss(Permit<'e>),
}

/// The right to compile a module.
pub(crate) struct Permit<'e>(PhantomData<&'e Engine>);

impl Permit<'_> {
    /// Publishes nothing.
    pub(crate) fn publish(self, _: &Engine, _: &Compiled, _: &mut Report) {}
}

/// What is remembered about a file of a module: nothing.
pub(crate) struct Memo;

impl Memo {
    /// Asks nobody.
    pub(crate) fn of(_: &Engine, _: &File) -> Memo {
        Memo
    }

    /// Nothing.
    pub(crate) fn digest(&self) -> Option<ModuleDigest> {
        None
    }

    /// Forgets it.
    pub(crate) fn note(&self, _: &ModuleDigest) {}
}

/// Finds nothing.
pub(crate) fn find<'e>(
    _: &'e Engine,
    _: &ModuleDigest,
    _: &[[u8; 32]],
    _: bool,
    report: &mut Report,
    _: impl Fn(Arc<CodeMapping>, &mut Report) -> Result<Module>,
) -> Result<Found<'e>> {
    report.outcome = Outcome::Compiled { miss: None };
    Ok(Found::Miss(Permit(PhantomData)))
}
