//! Values of the host that wasm holds by reference.

use super::collect::GcHeapOutOfMemory;
use super::heap::Object;
use super::roots::{HasHandle, OwnedRooted, Rooted};
use super::store::{AsContextMut, StoreContext, StoreContextMut, StoreOpaque};
use crate::error::{Error, ErrorKind, Result};
use std::any::Any;

/// A value of the host that wasm holds as an `externref`; see [`Rooted`].
#[derive(Debug)]
pub enum ExternRef {}

impl ExternRef {
    /// Puts `value` into the store's heap. It is dropped there when neither wasm nor the host can
    /// reach it any more, with the store at the latest: on the thread that uses the store then,
    /// while something else is put into the heap, or by [`Store::gc`](crate::Store::gc).
    ///
    /// # Errors
    /// [`GcHeapOutOfMemory`] with the value in it, if the store's limiter allows no more or there
    /// are 2^31 - 1 objects; and those of [`Store::gc`](crate::Store::gc).
    ///
    /// # Panics
    /// If the `Drop` of a value does that cannot be reached any more.
    pub fn new<T>(mut store: impl AsContextMut, value: T) -> Result<Rooted<ExternRef>>
    where
        T: Any + Send + Sync,
    {
        let mut store = store.as_context_mut();
        let store = store.opaque_mut();
        match store.alloc(Object::Extern(Box::new(value)))? {
            Ok(handle) => Ok(Rooted::new(store, handle)),
            Err(object) => Err(full::<T>(object)),
        }
    }
}

/// There was no room for `object`, a value of type `T`.
fn full<T: Any + Send + Sync>(object: Object) -> Error {
    let value = match object {
        Object::Extern(value) => value.downcast::<T>().ok(),
        Object::Exception(_) => None,
    };
    match value {
        Some(value) => Error::wrap(ErrorKind::Limit, GcHeapOutOfMemory::new(*value)),
        None => Error::with_kind(ErrorKind::Bug, "the heap gave back another value"),
    }
}

fn data<'a>(
    reference: &impl HasHandle,
    store: &'a StoreOpaque,
) -> Result<Option<&'a (dyn Any + Send + Sync)>> {
    Ok(match store.heap.get(reference.handle(store)?) {
        Some(Object::Extern(value)) => Some(&**value),
        _ => None,
    })
}

fn data_mut<'a>(
    reference: &impl HasHandle,
    store: &'a mut StoreOpaque,
) -> Result<Option<&'a mut (dyn Any + Send + Sync)>> {
    Ok(match store.heap.get_mut(reference.handle(store)?) {
        Some(Object::Extern(value)) => Some(&mut **value),
        _ => None,
    })
}

macro_rules! access {
    ($($root:ident)*) => {$(
        impl $root<ExternRef> {
            /// The value. Always `Some` in this version.
            ///
            /// # Errors
            /// If it belongs to another store, or its scope has ended.
            pub fn data<'a, T: 'static>(
                &self,
                store: impl Into<StoreContext<'a, T>>,
            ) -> Result<Option<&'a (dyn Any + Send + Sync)>> {
                data(self, store.into().opaque())
            }

            /// The value, to be changed. Always `Some` in this version.
            ///
            /// # Errors
            /// If it belongs to another store, or its scope has ended.
            pub fn data_mut<'a, T: 'static>(
                &self,
                store: impl Into<StoreContextMut<'a, T>>,
            ) -> Result<Option<&'a mut (dyn Any + Send + Sync)>> {
                data_mut(self, store.into().into_parts().0)
            }
        }
    )*};
}

access!(Rooted OwnedRooted);
