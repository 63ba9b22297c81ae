//! Calls from the host, and the way back from wasm to the store.
//!
//! Whoever calls wasm has a `&mut` of the store. While wasm runs, host functions and builtins
//! reach the store again through a pointer made from that very borrow (`Execution::owner`), which
//! waits in [`StoreOpaque::call`] and touches nothing until they are back. Nested calls put a
//! pointer made from their own borrow there, and put back what they found.

use super::entry::{self, Execution, ExecutionBox, Raise};
use super::host::execution_of;
use super::instance::FuncRef;
use super::unwind::Backtrace;
use super::vmctx::{HostFn, ValRaw, VmCtx};
use crate::error::Result;
use crate::runtime::backtrace::WasmBacktrace;
use crate::runtime::instance::InstanceData;
use crate::runtime::store::StoreOpaque;
use std::ptr;

/// The vmctx that calls come from when the host itself makes them.
pub(crate) struct RootCtx(Box<VmCtx>);

// SAFETY: only its store's thread uses it, through the vmctx pointers of this file.
unsafe impl Send for RootCtx {}
// SAFETY: as above.
unsafe impl Sync for RootCtx {}

/// In place of an instance's index: the caller is the host.
pub(crate) const NO_INSTANCE: usize = usize::MAX;

impl RootCtx {
    pub(crate) fn new(execution: &ExecutionBox) -> Self {
        RootCtx(Box::new(VmCtx {
            store: execution.vm_store(),
            builtins: ptr::null(),
            type_ids: ptr::null(),
            instance: NO_INSTANCE as *mut (),
            epoch: ptr::null(),
        }))
    }
}

impl StoreOpaque {
    /// Calls `func` of this store, whose parameters are in `values` and whose results will be:
    /// there are at least as many values as the larger number of the two.
    ///
    /// # Errors
    /// What stopped it. Panics of host functions go on here.
    pub(crate) fn call(&mut self, func: FuncRef, values: &mut [ValRaw]) -> Result<()> {
        let caller = ptr::from_mut(&mut *self.root.0);
        self.call_by(caller, func, values)
    }

    /// As [`call`](Self::call), with an instance of this store as the caller.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub(crate) fn call_from(
        &mut self,
        instance: usize,
        func: FuncRef,
        values: &mut [ValRaw],
    ) -> Result<()> {
        let caller = self.instances[instance].vm.as_ptr();
        self.call_by(caller, func, values)
    }

    /// `caller` is a vmctx of this store.
    fn call_by(&mut self, caller: *mut VmCtx, func: FuncRef, values: &mut [ValRaw]) -> Result<()> {
        let execution = self.execution.as_ptr();
        let owner: *mut () = ptr::from_mut(self).cast();
        // SAFETY: the execution lives as long as the store, and is this thread's while we have it.
        let slot = unsafe { &mut (*execution).owner };
        let outer = std::mem::replace(slot, owner);
        let result = if func.is_host() {
            // SAFETY: `func` is a function of the host of this store, `caller` a vmctx of it.
            let ok = unsafe { call_host(func, caller, values) };
            // SAFETY: the execution is this thread's while we have the store.
            if ok != 0 { Ok(()) } else { Err(unsafe { entry::take_pending(execution) }) }
        } else {
            // SAFETY: `func` is a wasm function of this store, `caller` a vmctx of it, the caller
            // vouches for `values`; the engine has installed the handlers; nothing of the store
            // is borrowed but by us, and we wait.
            unsafe { entry::enter(execution, func.as_ptr(), caller, values.as_mut_ptr()) }
        };
        // SAFETY: as above.
        unsafe { (*execution).owner = outer };
        result.map_err(|unwound| {
            let context = |backtrace: Backtrace| WasmBacktrace::new(&backtrace);
            unwound.into_error(|thrown| self.uncaught(thrown), context)
        })
    }

    /// Makes an instance one of this store, once all of its imports are known; its index.
    pub(crate) fn add_instance(&mut self, instance: InstanceData) -> usize {
        // SAFETY: the execution is this thread's while we have the store, which keeps its instances
        // until it is dropped.
        unsafe { entry::add_instance(self.execution.as_ptr(), &instance.vm) };
        self.instances.push(instance);
        self.instances.len() - 1
    }

    /// Tells the signal handler about a memory, guards included, before code can access it.
    pub(crate) fn register_memory(&mut self, range: std::ops::Range<usize>) {
        // SAFETY: the execution is this thread's while we have the store.
        unsafe { entry::add_memory(self.execution.as_ptr(), range) }
    }

    /// The opposite, with the same range.
    pub(crate) fn forget_memory(&mut self, range: &std::ops::Range<usize>) {
        // SAFETY: the execution is this thread's while we have the store.
        unsafe { entry::remove_memory(self.execution.as_ptr(), range) }
    }

    /// Where wasm is that called the host function which asks.
    pub(crate) fn backtrace(&mut self) -> WasmBacktrace {
        // SAFETY: the execution is this thread's while we have the store.
        WasmBacktrace::new(&unsafe { entry::capture_backtrace(self.execution.as_ptr()) })
    }
}

/// # Safety
/// `func` is a function of the host, `caller` a vmctx of the same store, and `values` has room for
/// its parameters and results.
unsafe fn call_host(func: FuncRef, caller: *mut VmCtx, values: &mut [ValRaw]) -> u32 {
    // SAFETY: the store keeps it alive.
    let func_ref = unsafe { *func.as_ptr() };
    // SAFETY: the entry of a function of the host is its `HostFn`.
    let call = unsafe { std::mem::transmute::<*const u8, HostFn>(func_ref.entry) };
    // SAFETY: the caller's promise.
    unsafe { call(func_ref.vmctx.cast(), caller, values.as_mut_ptr(), values.len()) }
}

/// Runs a builtin for the instance of `vmctx`; `None` if what it stopped for is pending now. Wasm
/// does not catch the errors of limiters and deadlines, even if they are exceptions of the host's.
///
/// # Safety
/// `vmctx` is an instance's, whose code called the builtin through its trampoline.
pub(crate) unsafe fn in_store<R, E: Into<Raise>>(
    vmctx: *mut VmCtx,
    builtin: impl FnOnce(&mut StoreOpaque, usize) -> Result<R, E>,
) -> Option<R> {
    // SAFETY: the caller's promise.
    let execution: *mut Execution = unsafe { execution_of(vmctx) };
    // SAFETY: as above.
    let instance = unsafe { (*vmctx).instance } as usize;
    // SAFETY: an execution lives as long as its store.
    let owner: *mut StoreOpaque = unsafe { (*execution).owner }.cast();
    let mut result = None;
    let run = || {
        // SAFETY: wasm of this store is running, so `owner` was made from the borrow that waits.
        let store = unsafe { &mut *owner };
        result = Some(builtin(store, instance).map_err(Into::into)?);
        Ok(())
    };
    // SAFETY: wasm was left by the builtin's trampoline.
    unsafe { entry::catch_host(execution, run) };
    result
}
