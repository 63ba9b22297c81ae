//! Tags: what exceptions are told apart by.

use super::store::{AsContext, AsContextMut, Stored};
use super::types::{FuncType, TagType, TypeIds};
use crate::error::{Error, ErrorKind, Result};

/// A tag of a store: which kind of exception one is, and what it carries.
///
/// Two tags are different even if their types are the same. That of a module's definition is
/// another one in each instance.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tag(pub(crate) Stored);

/// A tag. Its index in the store is its number, which compiled code compares.
pub(crate) struct TagData {
    ty: FuncType,
    type_id: u32,
    /// What keeps the type's number, where no module of the store does.
    _own: Option<TypeIds>,
}

impl TagData {
    /// A tag that an instance defines, whose module has the type.
    pub(crate) fn in_instance(ty: FuncType, type_id: u32) -> Self {
        TagData { ty, type_id, _own: None }
    }

    /// What an exception with it carries, as a function's parameters.
    pub(crate) fn func_type(&self) -> &FuncType {
        &self.ty
    }

    pub(crate) fn ty(&self) -> TagType {
        TagType::new(self.ty.clone())
    }

    /// The engine's number of its type.
    pub(crate) fn type_id(&self) -> u32 {
        self.type_id
    }
}

impl Tag {
    /// A tag made by the host.
    ///
    /// # Errors
    /// If the type has results, or the engine has no number left for another type.
    pub fn new(mut store: impl AsContextMut, ty: &TagType) -> Result<Tag> {
        let mut store = store.as_context_mut();
        let store = store.opaque_mut();
        let ty = ty.ty().clone();
        if ty.results().len() != 0 {
            let message = format!("a tag's type has no results, unlike {ty}");
            return Err(Error::with_kind(ErrorKind::Host, message));
        }
        let own = TypeIds::new(store.engine(), 1, |_, _| Ok((*ty.0).clone()))?;
        let type_id = own.ids()[0];
        store.tags.push(TagData { ty, type_id, _own: Some(own) });
        Ok(Tag(store.stored(store.tags.len() - 1)))
    }

    /// Its type.
    ///
    /// # Panics
    /// If it belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> TagType {
        let store = store.as_context();
        store.opaque().tags[self.0.index(store.opaque())].ty()
    }

    /// Whether both are the same tag.
    ///
    /// # Panics
    /// If one of them belongs to another store.
    pub fn eq(a: &Tag, b: &Tag, store: impl AsContext) -> bool {
        let store = store.as_context();
        a.0.index(store.opaque()) == b.0.index(store.opaque())
    }
}
