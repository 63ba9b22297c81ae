//! What the host holds of a store's heap: [`Rooted`] and [`OwnedRooted`].
//!
//! A `Rooted` is a place in a stack of roots that the store keeps, and the serial number that the
//! root there must have: the end of a scope takes its roots off the stack, whose places others
//! then get with other numbers. Numbers have 64 bits and are never used twice, so a `Rooted` that
//! is used too late is told, and never taken for another reference.
//!
//! An `OwnedRooted` shares its handle with the store, which keeps the object for as long as it is
//! not the last to have it.

use super::heap::Handle;
use super::store::{AsContext, AsContextMut, StoreContext, StoreContextMut, StoreOpaque};
use crate::error::{Error, ErrorKind, Result};
use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::sync::Arc;

/// The roots of a store.
#[derive(Default)]
pub(crate) struct Roots {
    /// Those of scopes, the innermost scope's last.
    scoped: Vec<Scoped>,
    /// How many of those there ever were.
    made: u64,
    owned: Vec<Arc<Handle>>,
    /// Length of `owned` at which it is looked through for those that nobody has any more.
    trim_at: usize,
}

struct Scoped {
    serial: NonZeroU64,
    /// `None` if the reference was to nothing that is there.
    handle: Option<Handle>,
}

/// The number of roots that there were when a scope began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope(usize);

impl Roots {
    /// Begins a scope.
    pub(crate) fn enter(&self) -> Scope {
        Scope(self.scoped.len())
    }

    /// Ends a scope, and those inside of it that were not.
    pub(crate) fn exit(&mut self, scope: Scope) {
        self.scoped.truncate(scope.0);
    }

    /// Every handle that the host has, some more than once.
    pub(crate) fn handles(&mut self) -> impl Iterator<Item = Handle> {
        self.trim();
        let scoped = self.scoped.iter().filter_map(|root| root.handle);
        scoped.chain(self.owned.iter().map(|handle| **handle))
    }

    fn trim(&mut self) {
        self.owned.retain(|handle| Arc::strong_count(handle) > 1);
        self.trim_at = (2 * self.owned.len()).max(32);
        self.owned.shrink_to(self.trim_at);
    }
}

/// A reference into a store's heap that keeps what it refers to alive, until its scope ends.
///
/// # Scopes
///
/// - The store is the outermost scope: what is rooted there, with no other scope around, stays
///   until the store is dropped. That holds for every `Rooted` that a call returns, too, so a loop
///   that makes many needs a [`RootScope`].
/// - Each call of a host function by wasm is a scope: what was rooted through its
///   [`Caller`](crate::Caller), its parameters included, is no longer when it has returned.
///   Whatever it returned is wasm's from then on. So is each call of a callback at a
///   [deadline](crate::Store::epoch_deadline_callback).
/// - A [`RootScope`] ends when it is dropped.
///
/// A `Rooted` of a scope that has ended is an error wherever it is used. [`OwnedRooted`] has no
/// scope, and costs a little more.
pub struct Rooted<T> {
    store: u64,
    serial: NonZeroU64,
    index: usize,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Rooted<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Rooted<T> {}

impl<T> std::fmt::Debug for Rooted<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rooted(#{})", self.serial)
    }
}

/// A reference into a store's heap that keeps what it refers to alive, until it is dropped.
///
/// It may outlive every scope, and its store. Made by [`Rooted::to_owned_rooted`].
///
/// ```
/// use precompile::{Engine, ExternRef, OwnedRooted, RootScope, Store};
/// let mut store = Store::new(&Engine::default(), None::<OwnedRooted<ExternRef>>);
/// let kept = {
///     let mut scope = RootScope::new(&mut store);
///     ExternRef::new(&mut scope, "kept")?.to_owned_rooted(&mut scope)?
/// };
/// assert_eq!(kept.data(&store)?.unwrap().downcast_ref(), Some(&"kept"));
/// *store.data_mut() = Some(kept);
/// # Ok::<(), precompile::Error>(())
/// ```
pub struct OwnedRooted<T> {
    store: u64,
    handle: Arc<Handle>,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for OwnedRooted<T> {
    fn clone(&self) -> Self {
        OwnedRooted { store: self.store, handle: self.handle.clone(), of: PhantomData }
    }
}

impl<T> std::fmt::Debug for OwnedRooted<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OwnedRooted({:?})", self.handle)
    }
}

mod sealed {
    use super::*;

    /// What has a handle.
    pub trait HasHandle {
        /// # Errors
        /// If it belongs to another store, or its scope has ended.
        fn handle(&self, store: &StoreOpaque) -> Result<Handle>;
    }
}

pub(crate) use sealed::HasHandle;

/// A [`Rooted`] or an [`OwnedRooted`].
pub trait RootedGcRef<T>: HasHandle {}

impl<T> RootedGcRef<T> for Rooted<T> {}
impl<T> RootedGcRef<T> for OwnedRooted<T> {}

impl<T> HasHandle for Rooted<T> {
    fn handle(&self, store: &StoreOpaque) -> Result<Handle> {
        store.check(self.store)?;
        let root = store.roots.scoped.get(self.index).filter(|root| root.serial == self.serial);
        let Some(root) = root else {
            let message = "a rooted reference was used after its scope had ended; make the scope \
                           larger, or keep an `OwnedRooted`";
            return Err(Error::with_kind(ErrorKind::Host, message));
        };
        root.handle.ok_or_else(|| {
            let message = "wasm passed a reference to what is no longer there: the engine is \
                           broken, or an artifact damaged";
            Error::with_kind(ErrorKind::Bug, message)
        })
    }
}

impl<T> HasHandle for OwnedRooted<T> {
    fn handle(&self, store: &StoreOpaque) -> Result<Handle> {
        store.check(self.store)?;
        Ok(*self.handle)
    }
}

impl<T> Rooted<T> {
    /// Roots `handle` in the innermost scope.
    pub(crate) fn new(store: &mut StoreOpaque, handle: Handle) -> Self {
        let handle = store.heap.get(handle).map(|_| handle);
        let id = store.id();
        let Roots { scoped, made, .. } = &mut store.roots;
        let serial = NonZeroU64::MIN.saturating_add(*made);
        *made += 1;
        let index = scoped.len();
        scoped.push(Scoped { serial, handle });
        Rooted { store: id, serial, index, of: PhantomData }
    }

    /// Roots what code has as `raw`; `None` for null.
    pub(crate) fn from_raw(raw: u32, store: &mut StoreOpaque) -> Option<Self> {
        Handle::from_raw(raw).map(|handle| Rooted::new(store, handle))
    }

    /// As code has it.
    ///
    /// # Errors
    /// If it belongs to another store, or its scope has ended.
    pub(crate) fn to_raw(self, store: &StoreOpaque) -> Result<u32> {
        Ok(Handle::to_raw(Some(self.handle(store)?)))
    }

    /// The same reference without a scope.
    ///
    /// # Errors
    /// If it belongs to another store, or its scope has ended.
    pub fn to_owned_rooted(&self, mut store: impl AsContextMut) -> Result<OwnedRooted<T>> {
        let mut store = store.as_context_mut();
        let store = store.opaque_mut();
        let handle = Arc::new(self.handle(store)?);
        if store.roots.owned.len() >= store.roots.trim_at {
            store.roots.trim();
        }
        store.roots.owned.push(handle.clone());
        Ok(OwnedRooted { store: self.store, handle, of: PhantomData })
    }

    /// Whether both are the same root: copies of one `Rooted`. Two roots may refer to one object
    /// all the same: see [`ref_eq`](Rooted::ref_eq).
    pub fn rooted_eq(a: Self, b: Self) -> bool {
        (a.store, a.serial) == (b.store, b.serial)
    }

    /// Whether both refer to the same object.
    ///
    /// # Errors
    /// If one belongs to another store, or its scope has ended.
    pub fn ref_eq(
        store: impl AsContext,
        a: &impl RootedGcRef<T>,
        b: &impl RootedGcRef<T>,
    ) -> Result<bool> {
        let store = store.as_context().opaque();
        Ok(a.handle(store)? == b.handle(store)?)
    }
}

impl<T> OwnedRooted<T> {
    /// The same reference, rooted in the innermost scope as well.
    ///
    /// # Panics
    /// If it belongs to another store.
    pub fn to_rooted(&self, mut store: impl AsContextMut) -> Rooted<T> {
        let mut store = store.as_context_mut();
        let store = store.opaque_mut();
        let handle = self.handle(store).expect("references are used with the store they are of");
        Rooted::new(store, handle)
    }

    /// Whether both refer to the same object; see [`Rooted::ref_eq`].
    ///
    /// # Errors
    /// If one belongs to another store, or its scope has ended.
    pub fn ref_eq(
        store: impl AsContext,
        a: &impl RootedGcRef<T>,
        b: &impl RootedGcRef<T>,
    ) -> Result<bool> {
        Rooted::ref_eq(store, a, b)
    }
}

/// A scope of [`Rooted`] references inside of another one: those made through it are no longer
/// roots when it is dropped.
///
/// It is used in place of the store.
///
/// ```
/// use precompile::{Engine, ExternRef, RootScope, Store};
/// let mut store = Store::new(&Engine::default(), ());
/// let outer = ExternRef::new(&mut store, 1)?;
/// let inner = {
///     let mut scope = RootScope::new(&mut store);
///     ExternRef::new(&mut scope, 2)?
/// };
/// assert!(outer.data(&store).is_ok());
/// assert!(inner.data(&store).is_err());
/// # Ok::<(), precompile::Error>(())
/// ```
#[derive(Debug)]
pub struct RootScope<C: AsContextMut> {
    store: C,
    scope: Scope,
}

impl<C: AsContextMut> RootScope<C> {
    /// Begins a scope.
    pub fn new(store: C) -> Self {
        let scope = store.as_context().opaque().roots.enter();
        RootScope { store, scope }
    }

    /// Makes room for `additional` references.
    pub fn reserve(&mut self, additional: usize) {
        self.store.as_context_mut().opaque_mut().roots.scoped.reserve(additional);
    }
}

impl<C: AsContextMut> Drop for RootScope<C> {
    fn drop(&mut self) {
        self.store.as_context_mut().opaque_mut().roots.exit(self.scope);
    }
}

impl<C: AsContextMut> AsContext for RootScope<C> {
    type Data = C::Data;

    fn as_context(&self) -> StoreContext<'_, C::Data> {
        self.store.as_context()
    }
}

impl<C: AsContextMut> AsContextMut for RootScope<C> {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, C::Data> {
        self.store.as_context_mut()
    }
}
