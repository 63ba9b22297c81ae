//! Exceptions, as the host makes, throws and catches them.
//!
//! While an exception is on its way through the host it is an error with a [`ThrownException`]
//! inside, and the store has the exception itself: so errors need no store, and are of any thread.

use super::collect::GcHeapOutOfMemory;
use super::heap::{Handle, Object};
use super::roots::{HasHandle, OwnedRooted, Rooted};
use super::store::{AsContextMut, Store, StoreContextMut, StoreOpaque};
use super::tag::Tag;
use super::value::Val;
use super::vm::entry::{Raise, Thrown};
use super::vm::vmctx::ValRaw;
use crate::artifact::header::Corrupt;
use crate::error::{Error, ErrorKind, Result};
use crate::wasm::types::Signature;
use std::fmt;
use std::sync::Arc;

/// An exception in a store's heap.
pub(crate) struct Exception {
    /// Which of the store's exceptions it is: another one may get its handle.
    serial: u64,
    /// The tag's number in the store.
    tag: usize,
    /// The tag's type: its parameters are those of `values`.
    ty: Arc<Signature>,
    values: Box<[ValRaw]>,
}

impl Exception {
    /// Bytes of what it carries.
    pub(crate) fn size(&self) -> usize {
        size_of_val(&*self.values)
    }

    /// Calls `visit` with each reference that it carries.
    pub(crate) fn children(&self, visit: &mut dyn FnMut(Handle)) {
        for (value, ty) in self.values.iter().zip(&self.ty.params) {
            if ty.in_heap() {
                Handle::from_raw(value.as_u32()).into_iter().for_each(&mut *visit);
            }
        }
    }
}

/// An exception that wasm holds as an `exnref`; see [`Rooted`].
///
/// ```
/// # #[cfg(all(feature = "compile", feature = "wat"))] {
/// use precompile::*;
/// let engine = Engine::default();
/// let module = Module::new(&engine, r#"(module
///     (tag $code (export "code") (param i32))
///     (func (export "run") (throw $code (i32.const 42))))"#)?;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let run = instance.get_typed_func::<(), ()>(&mut store, "run")?;
/// let error = run.call(&mut store, ()).unwrap_err();
/// assert!(error.is::<ThrownException>());
/// let exception = store.take_pending_exception().expect("it was thrown");
/// assert_eq!(exception.tag(&mut store)?, instance.get_tag(&mut store, "code").unwrap());
/// assert_eq!(exception.field(&mut store, 0)?.i32(), Some(42));
/// # }
/// # Ok::<(), precompile::Error>(())
/// ```
#[derive(Debug)]
pub enum ExnRef {}

/// What a call of wasm fails with that ends by an exception which nobody caught. Who returns it
/// from a host function goes on throwing.
///
/// [`Store::take_pending_exception`] has the exception itself.
#[derive(Clone, Debug)]
pub struct ThrownException {
    store: u64,
    /// Of the exception.
    serial: u64,
    ty: Arc<Signature>,
}

impl fmt::Display for ThrownException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a WebAssembly exception was thrown and not caught: its tag carries (")?;
        for (i, ty) in self.ty.params.iter().enumerate() {
            let separator = if i == 0 { "" } else { ", " };
            write!(f, "{separator}{ty}")?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for ThrownException {}

impl ExnRef {
    /// Puts an exception with that tag into the store's heap. It is not thrown yet.
    ///
    /// # Errors
    /// If `fields` are not what the tag's type says, if they or the tag belong to another store;
    /// [`GcHeapOutOfMemory`] if the store's heap is full, and those of [`Store::gc`].
    ///
    /// # Panics
    /// If the `Drop` of a value does that cannot be reached any more.
    pub fn new(mut store: impl AsContextMut, tag: &Tag, fields: &[Val]) -> Result<Rooted<ExnRef>> {
        let mut store = store.as_context_mut();
        let store = store.opaque_mut();
        let tag = tag.0.get(store)?;
        let ty = store.tags[tag].func_type().0.clone();
        if ty.params.len() != fields.len() {
            let (want, have) = (ty.params.len(), fields.len());
            let message = format!("the tag carries {want} values, found {have}");
            return Err(Error::with_kind(ErrorKind::Host, message));
        }
        let values = fields.iter().zip(&ty.params).map(|(field, ty)| field.to_raw(*ty, store));
        let values = values.collect::<Result<_>>()?;
        let exception = store.add_exception(tag, ty, values)?;
        Ok(Rooted::new(store, exception))
    }
}

fn fields(exception: &impl HasHandle, store: &mut StoreOpaque) -> Result<Vec<Val>> {
    let Exception { ty, values, .. } = store.exception(exception.handle(store)?)?;
    let (ty, values) = (ty.clone(), values.clone());
    Ok(values.iter().zip(&ty.params).map(|(raw, ty)| Val::from_raw(*raw, *ty, store)).collect())
}

fn field(exception: &impl HasHandle, store: &mut StoreOpaque, index: usize) -> Result<Val> {
    let Exception { ty, values, .. } = store.exception(exception.handle(store)?)?;
    match (values.get(index).copied(), ty.params.get(index).copied()) {
        (Some(raw), Some(ty)) => Ok(Val::from_raw(raw, ty, store)),
        _ => {
            let count = values.len();
            let message = format!("there is no field {index}: the exception has {count}");
            Err(Error::with_kind(ErrorKind::Host, message))
        }
    }
}

macro_rules! access {
    ($($root:ident)*) => {$(
        impl $root<ExnRef> {
            /// Its tag.
            ///
            /// # Errors
            /// If it belongs to another store, or its scope has ended.
            pub fn tag(&self, mut store: impl AsContextMut) -> Result<Tag> {
                let store = store.as_context_mut();
                let store = store.opaque();
                Ok(Tag(store.stored(store.exception(self.handle(store)?)?.tag)))
            }

            /// The values that it carries.
            ///
            /// # Errors
            /// If it belongs to another store, or its scope has ended.
            pub fn fields(&self, mut store: impl AsContextMut) -> Result<Vec<Val>> {
                fields(self, store.as_context_mut().opaque_mut())
            }

            /// One of the values that it carries.
            ///
            /// # Errors
            /// If it belongs to another store, its scope has ended, or it carries fewer.
            pub fn field(&self, mut store: impl AsContextMut, index: usize) -> Result<Val> {
                field(self, store.as_context_mut().opaque_mut(), index)
            }
        }
    )*};
}

access!(Rooted OwnedRooted);

impl StoreOpaque {
    fn exception(&self, exception: Handle) -> Result<&Exception> {
        match self.heap.get(exception) {
            Some(Object::Exception(exception)) => Ok(exception),
            _ => Err(Corrupt("a reference to an exception").into()),
        }
    }

    fn add_exception(
        &mut self,
        tag: usize,
        ty: Arc<Signature>,
        values: Box<[ValRaw]>,
    ) -> Result<Handle> {
        self.exceptions += 1;
        let exception = Exception { serial: self.exceptions, tag, ty, values };
        self.alloc(Object::Exception(exception))?
            .map_err(|_| Error::wrap(ErrorKind::Limit, GcHeapOutOfMemory::new(())))
    }

    /// Throws a new exception from wasm.
    pub(crate) fn throw_new(&mut self, tag: usize, values: Box<[ValRaw]>) -> Raise {
        let ty = self.tags[tag].func_type().0.clone();
        match self.add_exception(tag, ty, values) {
            Ok(exception) => self.throw_again(exception),
            Err(error) => {
                self.schedule.forgive();
                error.into()
            }
        }
    }

    /// Throws an exception that is in the heap.
    pub(crate) fn throw_again(&self, exception: Handle) -> Raise {
        match self.exception(exception) {
            Ok(Exception { tag, values, .. }) => Raise::Exception(Thrown {
                exception,
                tag: *tag as u64,
                values: values.as_ptr(),
                error: None,
            }),
            Err(error) => error.into(),
        }
    }

    /// What a host function failed with: an exception goes on as such, if it is the one that is
    /// pending.
    pub(crate) fn raise_of(&mut self, error: Error) -> Raise {
        let thrown = error.downcast_ref::<ThrownException>();
        let thrown = thrown.filter(|thrown| thrown.store == self.id());
        let pending = self.pending_exception.filter(|pending| {
            let pending = self.exception(*pending).ok();
            thrown.zip(pending).is_some_and(|(thrown, pending)| thrown.serial == pending.serial)
        });
        let Some(exception) = pending else {
            return error.into();
        };
        self.pending_exception = None;
        match self.throw_again(exception) {
            Raise::Exception(thrown) => Raise::Exception(Thrown { error: Some(error), ..thrown }),
            other => other,
        }
    }

    /// Makes an exception that left wasm the pending one, and its error.
    pub(crate) fn uncaught(&mut self, thrown: Thrown) -> Error {
        self.pending_exception = Some(thrown.exception);
        thrown.error.unwrap_or_else(|| self.thrown(thrown.exception))
    }

    fn thrown(&self, handle: Handle) -> Error {
        match self.exception(handle) {
            Ok(exception) => {
                let (store, ty) = (self.id(), exception.ty.clone());
                let thrown = ThrownException { store, serial: exception.serial, ty };
                Error::wrap(ErrorKind::Exception, thrown)
            }
            Err(error) => error,
        }
    }

    fn throw(&mut self, exception: &Rooted<ExnRef>) -> Error {
        match exception.handle(self) {
            Ok(handle) => {
                self.pending_exception = Some(handle);
                self.thrown(handle)
            }
            Err(error) => error,
        }
    }

    fn take_pending_exception(&mut self) -> Option<Rooted<ExnRef>> {
        let exception = self.pending_exception.take()?;
        Some(Rooted::new(self, exception))
    }
}

impl<T: 'static> Store<T> {
    /// Makes `exception` the pending one, and an error that throws it when a host function returns
    /// it. So `return caller.as_context_mut().throw(exception)` is a host function's `throw_ref`.
    ///
    /// # Errors
    /// Always; one without a [`ThrownException`] inside if `exception` belongs to another store.
    pub fn throw<R>(&mut self, exception: Rooted<ExnRef>) -> Result<R> {
        Err(self.opaque_mut().throw(&exception))
    }

    /// The exception that the last [`ThrownException`] of this store stands for. Nobody else gets
    /// it, and the error throws nothing any more: this is how the host catches.
    pub fn take_pending_exception(&mut self) -> Option<Rooted<ExnRef>> {
        self.opaque_mut().take_pending_exception()
    }
}

impl<T: 'static> StoreContextMut<'_, T> {
    /// As [`Store::throw`].
    ///
    /// # Errors
    /// As there.
    pub fn throw<R>(&mut self, exception: Rooted<ExnRef>) -> Result<R> {
        Err(self.opaque_mut().throw(&exception))
    }

    /// As [`Store::take_pending_exception`].
    pub fn take_pending_exception(&mut self) -> Option<Rooted<ExnRef>> {
        self.opaque_mut().take_pending_exception()
    }
}
