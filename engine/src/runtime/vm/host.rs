//! Functions of the host, as wasm calls them.

use super::entry::{self, Execution};
use super::vmctx::{ValRaw, VmCtx, VmHostFunc};
use crate::error::Result;
use crate::runtime::func::Caller;
use crate::runtime::store::{StoreContextMut, StoreInner, StoreOpaque};

/// What a function of the host runs: takes its parameters from the values, and leaves its results
/// there.
type Call<T> = dyn Fn(Caller<'_, T>, &mut [ValRaw]) -> Result<()> + Send + Sync;

/// A function of the host: its closure, and what wasm calls to get there.
pub(crate) struct HostCode {
    vm: VmHostFunc,
    /// Frees `vm.data`, of which only `new` knows the type.
    free: unsafe fn(*const ()),
}

// SAFETY: the closure is `Send + Sync`, and `vm` and `free` never change.
unsafe impl Send for HostCode {}
// SAFETY: as above.
unsafe impl Sync for HostCode {}

impl Drop for HostCode {
    fn drop(&mut self) {
        // SAFETY: `free` and `data` were made for each other in `new`, and this happens once.
        unsafe { (self.free)(self.vm.data) }
    }
}

impl HostCode {
    pub(crate) fn new<T: 'static>(
        call: impl Fn(Caller<'_, T>, &mut [ValRaw]) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        let call: Box<Call<T>> = Box::new(call);
        let data = Box::into_raw(Box::new(call)).cast_const().cast();
        HostCode { vm: VmHostFunc { data, call: shim::<T> }, free: free::<T> }
    }

    pub(crate) fn vm(&self) -> &VmHostFunc {
        &self.vm
    }
}

/// # Safety
/// `data` was made in `HostCode::new::<T>`, and is not used after.
unsafe fn free<T: 'static>(data: *const ()) {
    let boxed = data.cast::<Box<Call<T>>>().cast_mut();
    // SAFETY: the caller's promise.
    drop(unsafe { Box::from_raw(boxed) });
}

/// What wasm, or `call_host`, calls. Errors and panics are noted in the store's execution.
///
/// # Safety
/// As `HostFn`: `callee` is a function of the host for stores of `T`, which the engine makes sure
/// of when it lets one into a store; `caller` is a vmctx of the store that is running; `values`
/// are `count` values.
unsafe extern "C" fn shim<T: 'static>(
    callee: *mut VmHostFunc,
    caller: *mut VmCtx,
    values: *mut ValRaw,
    count: usize,
) -> u32 {
    // SAFETY: `caller` is a vmctx, whose store outlives it.
    let execution = unsafe { execution_of(caller) };
    let run = || {
        // SAFETY: the pointer comes from `HostCode::new::<T>`, whose owner is kept by whoever let
        // wasm import it.
        let data: *const Box<Call<T>> = unsafe { (*callee).data }.cast();
        // SAFETY: as above.
        let call = unsafe { &*data };
        // SAFETY: the trampoline has `count` initialised values for us alone.
        let values = unsafe { std::slice::from_raw_parts_mut(values, count) };
        // SAFETY: the store that is running is one of `T`, and its `StoreInner` starts with the
        // opaque part. Whoever entered wasm gave up its borrow of the store for the while.
        let store = unsafe { &mut *owner(execution).cast::<StoreInner<T>>() };
        // SAFETY: `caller` is a vmctx.
        let instance = unsafe { (*caller).instance } as usize;
        let called = call(Caller::new(StoreContextMut::new(store), instance), values);
        called.map_err(|error| {
            // SAFETY: as above: that borrow has ended.
            unsafe { &mut *owner(execution) }.raise_of(error)
        })
    };
    // SAFETY: as in `run`, before and after it.
    let scope = unsafe { (*owner(execution)).roots.enter() };
    // SAFETY: wasm was left by the host trampoline, or there is no wasm and the host calls.
    let done = unsafe { entry::catch_host(execution, run) };
    // What it returns is in `values`, and moves on to wasm, or to the host and there to an outer
    // scope, before the next collection.
    // SAFETY: as above.
    unsafe { (*owner(execution)).roots.exit(scope) };
    done
}

/// The execution state of the store that `vmctx` belongs to.
///
/// # Safety
/// `vmctx` is one of a live store.
pub(crate) unsafe fn execution_of(vmctx: *mut VmCtx) -> *mut Execution {
    // SAFETY: the caller's promise. `VmStore` is the first field of an `Execution`.
    unsafe { (*vmctx).store }.cast()
}

/// The store that is running in `execution`.
pub(crate) fn owner(execution: *mut Execution) -> *mut StoreOpaque {
    // SAFETY: an execution lives as long as its store.
    unsafe { (*execution).owner }.cast()
}
