//! Globals.

use super::store::{AsContext, AsContextMut, StoreOpaque, Stored};
use super::types::{GlobalType, Mutability};
use super::value::Val;
use super::vm::instance::{GlobalCell, OwnCell};
use crate::error::{Error, ErrorKind, Result};
use crate::wasm::types::GlobalDecl;

/// A global of a store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Global(pub(crate) Stored);

pub(crate) struct GlobalData {
    pub(crate) decl: GlobalDecl,
    pub(crate) cell: GlobalCell,
    /// The cell itself, where the host made the global.
    _own: Option<OwnCell>,
}

impl GlobalData {
    /// A global in an instance's vmctx.
    pub(crate) fn in_instance(decl: GlobalDecl, cell: GlobalCell) -> Self {
        GlobalData { decl, cell, _own: None }
    }
}

impl Global {
    /// A global made by the host, which holds `value`.
    ///
    /// # Errors
    /// If `value` is not of the global's type or belongs to another store.
    pub fn new(mut store: impl AsContextMut, ty: GlobalType, value: Val) -> Result<Global> {
        let mut store = store.as_context_mut();
        let store = store.opaque_mut();
        let raw = value.to_raw(ty.content(), store)?;
        let mut own = OwnCell::new();
        let cell = own.global();
        cell.set(raw);
        store.note_global(ty.content(), cell);
        store.globals.push(GlobalData { decl: ty.0, cell, _own: Some(own) });
        Ok(Global(store.stored(store.globals.len() - 1)))
    }

    fn data<'a>(&self, store: &'a StoreOpaque) -> &'a GlobalData {
        &store.globals[self.0.index(store)]
    }

    /// Its type.
    ///
    /// # Panics
    /// If it belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> GlobalType {
        GlobalType(self.data(store.as_context().opaque()).decl)
    }

    /// Its value.
    ///
    /// # Panics
    /// If it belongs to another store.
    pub fn get(&self, mut store: impl AsContextMut) -> Val {
        let mut store = store.as_context_mut();
        let data = self.data(store.opaque());
        let (raw, ty) = (data.cell.get(), data.decl.content);
        Val::from_raw(raw, ty, store.opaque_mut())
    }

    /// Sets its value.
    ///
    /// # Errors
    /// If it may not be set, or `value` is not of its type or belongs to another store.
    ///
    /// # Panics
    /// If it belongs to another store itself.
    pub fn set(&self, mut store: impl AsContextMut, value: Val) -> Result<()> {
        let mut store = store.as_context_mut();
        let store = store.opaque_mut();
        let ty = GlobalType(self.data(store).decl);
        if ty.mutability() == Mutability::Const {
            return Err(Error::with_kind(ErrorKind::Host, "an immutable global cannot be set"));
        }
        let raw = value.to_raw(ty.content(), store)?;
        self.data(store).cell.set(raw);
        Ok(())
    }
}
