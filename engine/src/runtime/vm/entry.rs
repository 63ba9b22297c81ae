//! Entering wasm, and leaving it by a trap, an error or a panic.
//!
//! Compiled code is entered through the entry trampoline of a signature (see `abi/mod.rs`), which
//! leaves its frame, stack pointer and landing pad in the store. Whoever wants to stop wasm puts
//! the reason into the [`Execution`] and goes to that landing pad: the signal handler by changing
//! the registers that it returns to, the builtin `raise` by a jump. No frame in between has
//! anything to drop: host functions have returned to their trampoline by then, and their panics
//! were caught there. An exception takes the same way, but goes on at the first landing pad of
//! wasm's own that it meets, and at the entry's if there is none.
//!
//! Activations nest: a host function that wasm called may enter wasm again, of the same store or
//! of another one. [`enter`] keeps what it has to restore in its own frame, and links the frames
//! of a store, so that backtraces go on through all of them.

use super::instance::VmInstance;
use super::traps::{Fault, Landing};
use super::unwind::{Backtrace, Instances, Segment, Trace};
use super::vmctx::{EntryFn, ValRaw, VmCtx, VmFuncRef, VmStore};
use super::{arch, sys};
use crate::runtime::backtrace::WasmBacktrace;
use crate::runtime::heap::Handle;
use crate::{Error, ErrorKind, Result, Trap};
use std::any::Any;
use std::cell::Cell;
use std::mem::offset_of;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::{self, NonNull};
use std::sync::atomic::{Ordering, compiler_fence};

/// Stack that is left for the host below the limit of wasm: for the functions that wasm calls,
/// and for the signal handler.
const HOST_RESERVE: usize = 128 << 10;

/// Why wasm was stopped.
pub(crate) enum Raise {
    Trap(Trap),
    Error(Error),
    Exception(Thrown),
    Panic(Box<dyn Any + Send>),
}

/// An exception that looks for a handler.
pub(crate) struct Thrown {
    pub(crate) exception: Handle,
    /// Its tag's number in the store.
    pub(crate) tag: u64,
    /// Its values, which lie there as long as it is alive: nobody collects before a landing pad
    /// has loaded them.
    pub(crate) values: *const ValRaw,
    /// What it was on its way through the host, with the context that it got there.
    pub(crate) error: Option<Error>,
}

impl From<Error> for Raise {
    fn from(error: Error) -> Raise {
        Raise::Error(error)
    }
}

/// What [`enter`] fails with.
pub(crate) struct Unwound {
    pub(crate) raise: Raise,
    /// Of wasm when that happened; for a panic, there is none.
    pub(crate) backtrace: Option<Backtrace>,
}

impl Unwound {
    /// The trap or error, with what `context` makes of the backtrace. An error that has such a
    /// context already, because it came through wasm before, gets no second one.
    ///
    /// An exception becomes the error that `uncaught` makes of it.
    ///
    /// # Panics
    /// If this is a panic: goes on with it.
    pub(crate) fn into_error<C>(
        self,
        uncaught: impl FnOnce(Thrown) -> Error,
        context: impl FnOnce(Backtrace) -> C,
    ) -> Error
    where
        C: std::fmt::Display + std::fmt::Debug + Send + Sync + 'static,
    {
        let error = match self.raise {
            Raise::Trap(trap) => Error::from(trap),
            Raise::Error(error) => error,
            Raise::Exception(thrown) => uncaught(thrown),
            Raise::Panic(payload) => resume_unwind(payload),
        };
        match self.backtrace {
            Some(backtrace) if !error.is::<C>() => error.context(context(backtrace)),
            _ => error,
        }
    }
}

/// The state of a store's running wasm. Code has a pointer to its first field.
#[repr(C)]
pub(crate) struct Execution {
    /// Only by raw pointer: code writes it.
    vm: VmStore,
    /// The store, as a pointer made from the borrow under which wasm was entered; see `call.rs`.
    pub(crate) owner: *mut (),
    own: Own,
}

/// What only this file looks at.
struct Own {
    /// The innermost activation, in the frame of its `enter`.
    activation: *const Activation,
    pending: Option<Raise>,
    /// Where wasm was when `pending` was set.
    trace: Trace,
    /// Of all memories that code of this store may access, with their guards.
    memories: Vec<Range<usize>>,
    /// The vmctxs of this store.
    instances: Instances,
    max_stack: usize,
    /// The thread that the stack limit is of, while there is an activation.
    thread: usize,
}

/// What an activation has to put back when it ends: the state of the one around it.
struct Activation {
    outer: *const Activation,
    marks: Marks,
    thread: usize,
}

/// The part of a [`VmStore`] that belongs to an activation.
#[repr(C)]
#[derive(Clone, Copy)]
struct Marks {
    exit_fp: usize,
    exit_pc: usize,
    entry_fp: usize,
    entry_sp: usize,
    entry_handler: usize,
}

const _: () = {
    let at = offset_of!(VmStore, exit_fp);
    assert!(offset_of!(Execution, vm) == 0);
    assert!(offset_of!(VmStore, exit_pc) == at + offset_of!(Marks, exit_pc));
    assert!(offset_of!(VmStore, entry_fp) == at + offset_of!(Marks, entry_fp));
    assert!(offset_of!(VmStore, entry_sp) == at + offset_of!(Marks, entry_sp));
    assert!(offset_of!(VmStore, entry_handler) == at + offset_of!(Marks, entry_handler));
};

thread_local! {
    /// The innermost execution that has wasm on this thread's stack.
    static CURRENT: Cell<*mut Execution> = const { Cell::new(ptr::null_mut()) };
    /// Whether the thread was prepared for signals. Its address names the thread.
    static PREPARED: Cell<bool> = const { Cell::new(false) };
}

/// Owner of an [`Execution`], which stays where it is.
///
/// Code, signal handlers and host functions reach it by copies of one raw pointer, so it is not a
/// `Box`, which would claim to be the only way.
pub(crate) struct ExecutionBox(NonNull<Execution>);

// SAFETY: an execution has pointers into a thread's stack only while `enter` runs, which the
// owner outlives and which puts them back.
unsafe impl Send for ExecutionBox {}
// SAFETY: there is nothing to do with a shared reference but to copy the pointer.
unsafe impl Sync for ExecutionBox {}

impl ExecutionBox {
    /// With `max_stack` bytes of stack for wasm and what it calls, and no more than the thread
    /// has.
    pub(crate) fn new(max_stack: usize) -> Self {
        let own = Own {
            activation: ptr::null(),
            pending: None,
            trace: Trace::new(),
            memories: Vec::new(),
            instances: Instances::default(),
            max_stack,
            thread: 0,
        };
        let execution = Execution { vm: VmStore::default(), owner: ptr::null_mut(), own };
        ExecutionBox(NonNull::from(Box::leak(Box::new(execution))))
    }

    pub(crate) fn as_ptr(&self) -> *mut Execution {
        self.0.as_ptr()
    }

    /// What a vmctx has as its store.
    pub(crate) fn vm_store(&self) -> *mut VmStore {
        self.0.as_ptr().cast()
    }
}

impl Drop for ExecutionBox {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a `Box`, and the owner's end is the end of all copies.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// A short look at an execution.
///
/// # Safety
/// `exec` is alive, on the thread that uses its store now, and the reference is given up before
/// wasm runs or anybody else looks.
unsafe fn look<'a>(exec: *mut Execution) -> &'a mut Own {
    // SAFETY: as the caller says.
    unsafe { &mut (*exec).own }
}

/// Where an execution's marks are.
fn marks(exec: *mut Execution) -> *mut Marks {
    exec.wrapping_byte_add(offset_of!(VmStore, exit_fp)).cast()
}

/// Tells the signal handler about a memory, guards included, before code can access it.
///
/// # Safety
/// `exec` is alive and this thread's.
pub(crate) unsafe fn add_memory(exec: *mut Execution, range: Range<usize>) {
    // SAFETY: as the caller says; the reference ends here.
    unsafe { look(exec) }.memories.push(range);
}

/// The opposite of [`add_memory`], with the same range.
///
/// # Safety
/// `exec` is alive and this thread's.
pub(crate) unsafe fn remove_memory(exec: *mut Execution, range: &Range<usize>) {
    // SAFETY: as the caller says; the reference ends here.
    let memories = &mut unsafe { look(exec) }.memories;
    if let Some(at) = memories.iter().position(|other| other == range) {
        memories.swap_remove(at);
    }
}

/// Lets exceptions be caught by code with that vmctx, which from now on stays for as long as `exec`.
///
/// # Safety
/// `exec` is alive and this thread's.
pub(super) unsafe fn add_instance(exec: *mut Execution, instance: &VmInstance) {
    // SAFETY: as the caller says; the reference ends here.
    unsafe { look(exec) }.instances.add(instance);
}

/// Calls a wasm function; `values` are its parameters and then its results.
///
/// # Errors
/// What stopped it.
///
/// # Safety
/// `exec` is alive and this thread's. `func` is a wasm function of its store, not a host one:
/// `entry` is an entry trampoline in registered code. `caller` is a vmctx of the same store. There
/// is room for max(parameters, results) in `values`, and the parameters have the right types.
/// `traps::init` has succeeded. No reference to what code may change is held meanwhile.
pub(crate) unsafe fn enter(
    exec: *mut Execution,
    func: *const VmFuncRef,
    caller: *mut VmCtx,
    values: *mut ValRaw,
) -> Result<(), Unwound> {
    let thread = PREPARED.with(|prepared| {
        if !prepared.replace(true) {
            sys::prepare_thread();
        }
        ptr::from_ref(prepared).addr()
    });
    // SAFETY: as the caller says; used up to the call below only.
    let own = unsafe { look(exec) };
    // SAFETY: as the caller says; only a place.
    let limit_at = unsafe { &raw mut (*exec).vm.stack_limit };
    let sp = arch::stack_pointer();
    // SAFETY: as the caller says.
    let old_limit = unsafe { limit_at.read() };
    // An activation inside of another one has what is left of that one's stack. A host function
    // may also have gone to another thread, or to another stack.
    let nested = own.thread == thread && is_further_down(own.activation.addr(), sp);
    let limit = if nested { old_limit } else { stack_limit(sp, own.max_stack) };
    if sp < limit {
        // SAFETY: the outer activations are on the stack and wait for this call.
        unsafe { trace_wasm(exec, None) };
        return Err(unwound(exec, Raise::Trap(Trap::StackOverflow)));
    }
    // SAFETY: as the caller says.
    let saved = unsafe { marks(exec).read() };
    let activation = Activation { outer: own.activation, marks: saved, thread: own.thread };
    own.activation = &raw const activation;
    own.thread = thread;
    // SAFETY: as the caller says.
    unsafe { limit_at.write(limit) };
    let outer = CURRENT.replace(exec);

    // SAFETY: `func` is alive.
    let VmFuncRef { code, vmctx, entry, .. } = unsafe { *func };
    // SAFETY: an entry trampoline, which has this type.
    let entry = unsafe { std::mem::transmute::<*const u8, EntryFn>(entry) };
    // What the handler reads is written before code runs, and what it wrote is read after.
    compiler_fence(Ordering::SeqCst);
    // SAFETY: as the caller says.
    let returned = unsafe { entry(vmctx, caller, values, code) };
    compiler_fence(Ordering::SeqCst);

    CURRENT.set(outer);
    // The outermost one leaves its limit, so that calls in a loop need not change it.
    if !activation.outer.is_null() {
        // SAFETY: as the caller says; code has ended.
        unsafe { limit_at.write(old_limit) };
    }
    // SAFETY: as the caller says; code has ended.
    unsafe { marks(exec).write(activation.marks) };
    // SAFETY: as above.
    let own = unsafe { look(exec) };
    own.activation = activation.outer;
    own.thread = activation.thread;
    if returned != 0 {
        return Ok(());
    }
    let raise = own.pending.take().unwrap_or_else(|| {
        Raise::Error(Error::with_kind(ErrorKind::Bug, "wasm stopped without saying why"))
    });
    Err(unwound(exec, raise))
}

/// Whether `sp` may be on the stack that a frame at `outer` is on. Of two stacks that are not a
/// thread's own, this tells only the one further up.
fn is_further_down(outer: usize, sp: usize) -> bool {
    sp <= outer && sys::stack_end(outer).is_some() == sys::stack_end(sp).is_some()
}

/// The lowest address that wasm may use, entered with the stack at `sp`.
fn stack_limit(sp: usize, max: usize) -> usize {
    let limit = sp.saturating_sub(max);
    match sys::stack_end(sp) {
        Some(end) => limit.max(end.saturating_add(HOST_RESERVE)),
        None => limit,
    }
}

#[cold]
fn unwound(exec: *mut Execution, raise: Raise) -> Unwound {
    // SAFETY: only `enter` calls this, with its own execution.
    let trace = &unsafe { look(exec) }.trace;
    let backtrace = match raise {
        Raise::Trap(_) | Raise::Error(_) | Raise::Exception(_) => Some(Backtrace::new(trace)),
        Raise::Panic(_) => None,
    };
    Unwound { raise, backtrace }
}

/// Records why wasm is to be stopped, and where it is. Whoever calls this then has [`raise`]
/// called, or returns to a trampoline that does so.
///
/// # Safety
/// `exec` is alive and this thread's, and wasm of it was left by a trampoline on record.
pub(crate) unsafe fn set_pending(exec: *mut Execution, raise: Raise) {
    match &raise {
        // SAFETY: as the caller says.
        Raise::Trap(_) => unsafe { trace_raised(exec, false) },
        // SAFETY: as the caller says.
        Raise::Error(error) => unsafe { trace_raised(exec, is_traced(error)) },
        // Most are caught, and nobody asks where they came from.
        Raise::Exception(_) | Raise::Panic(_) => {}
    }
    // SAFETY: as the caller says.
    unsafe { look(exec) }.pending = Some(raise);
}

/// What is pending after a host function was called by the host itself and returned 0.
///
/// # Safety
/// `exec` is alive and this thread's.
pub(crate) unsafe fn take_pending(exec: *mut Execution) -> Unwound {
    // SAFETY: as the caller says; the reference ends here.
    let raise = unsafe { look(exec) }.pending.take().unwrap_or_else(|| {
        Raise::Error(Error::with_kind(ErrorKind::Bug, "a host function failed without saying why"))
    });
    Unwound { raise, backtrace: None }
}

/// Where wasm is, as far as a host function that was called by it can tell.
///
/// # Safety
/// `exec` is alive and this thread's, and wasm of it was left by a trampoline on record.
pub(crate) unsafe fn capture_backtrace(exec: *mut Execution) -> Backtrace {
    // SAFETY: as the caller says.
    unsafe { trace_wasm(exec, None) };
    // SAFETY: as above.
    Backtrace::new(&unsafe { look(exec) }.trace)
}

/// Stops the innermost activation for the reason that is pending, or has it go on where an
/// exception is caught.
///
/// # Safety
/// `exec` is alive and this thread's; the innermost activation on this thread is its own, and all
/// frames above it are of code and trampolines, or have nothing left to drop. Something is
/// pending.
pub(crate) unsafe fn raise(exec: *mut Execution) -> ! {
    // SAFETY: as the caller says.
    let marks = unsafe { marks(exec).read() };
    if marks.entry_handler == 0 {
        sys::die(&[b"precompile: nothing to return to from wasm\n"]);
    }
    // SAFETY: as the caller says; used up to the jump only.
    let own = unsafe { look(exec) };
    if let Some(Raise::Exception(thrown)) = &own.pending {
        let exception = Handle::to_raw(Some(thrown.exception)) as usize;
        let values = thrown.values.addr();
        let segment = Segment { low: marks.exit_fp, fp: marks.exit_fp, entry_fp: marks.entry_fp };
        // SAFETY: as the caller says, wasm was left by a trampoline on record.
        if let Some((pad, clause)) = unsafe { segment.find_handler(thrown.tag, &own.instances) } {
            own.pending = None;
            let payload = [clause << 32 | exception, values];
            // SAFETY: a landing pad of a frame that is on the stack, below the entry's; the frames
            // below it have nothing to drop, as the caller says.
            unsafe { arch::resume(pad.fp, pad.sp, pad.pc, payload) }
        }
        let traced = thrown.error.as_ref().is_some_and(is_traced);
        // SAFETY: as the caller says; the reference above is used no more.
        unsafe { trace_raised(exec, traced) };
    }
    // SAFETY: as the caller says, and the entry trampoline wrote these three.
    unsafe { arch::resume(marks.entry_fp, marks.entry_sp, marks.entry_handler, [0; 2]) }
}

/// Whether `error` comes from an inner activation, and knows where that was.
fn is_traced(error: &Error) -> bool {
    error.is::<WasmBacktrace>()
}

/// Records where wasm is that something stops, unless that is `traced` already.
///
/// # Safety
/// As for [`set_pending`].
unsafe fn trace_raised(exec: *mut Execution, traced: bool) {
    if traced {
        // What comes from an inner activation keeps the backtrace of there. A walk for each that it
        // comes through would take a time that is the square of their number.
        // SAFETY: as the caller says; the reference ends here.
        unsafe { look(exec) }.trace.restart(None);
    } else {
        // SAFETY: as the caller says.
        unsafe { trace_wasm(exec, None) };
    }
}

/// Runs what a host function does, and gives what its trampoline expects: 1, or 0 with the error
/// or panic pending.
///
/// # Safety
/// As for [`set_pending`].
pub(crate) unsafe fn catch_host(
    exec: *mut Execution,
    f: impl FnOnce() -> Result<(), Raise>,
) -> u32 {
    // A panic ends at the next `enter`, which goes on with it: nobody sees broken state that
    // would not have seen it otherwise.
    let result = catch_unwind(AssertUnwindSafe(f));
    // Whoever switches stacks inside of host functions may have left another execution here than
    // the one whose code goes on now.
    // SAFETY: as the caller says; the reference ends here.
    if !unsafe { look(exec) }.activation.is_null() {
        CURRENT.set(exec);
    }
    let raise = match result {
        Ok(Ok(())) => return 1,
        Ok(Err(raise)) => raise,
        Err(payload) => Raise::Panic(payload),
    };
    // SAFETY: as the caller says.
    unsafe { set_pending(exec, raise) };
    0
}

/// Records where wasm is, from a trap or else from the last exit on, through all activations.
///
/// # Safety
/// `exec` is alive and this thread's; its activations are on the stack.
unsafe fn trace_wasm(exec: *mut Execution, trap: Option<&Fault>) {
    // SAFETY: as the caller says.
    let segments = unsafe { segments(exec, trap) };
    // SAFETY: as the caller says; walking only reads stacks.
    let trace = &mut unsafe { look(exec) }.trace;
    trace.restart(trap.map(|trap| trap.pc));
    for segment in segments {
        // SAFETY: the activation's frames are on the stack, below its entry's frame. An exit on
        // record is one of them; without any, `fp` is 0 and nothing is read.
        unsafe { segment.calls() }.for_each(|call| trace.push(call.return_address));
    }
}

/// The frames of wasm, from a trap or else from the last exit on, through all activations.
///
/// # Safety
/// `exec` is alive and this thread's; its activations are on the stack while the iterator is used.
pub(super) unsafe fn segments(
    exec: *mut Execution,
    trap: Option<&Fault>,
) -> impl Iterator<Item = Segment> + use<> {
    // SAFETY: as the caller says; the reference ends here.
    let mut activation = unsafe { look(exec) }.activation;
    // SAFETY: as the caller says.
    let Marks { exit_fp, entry_fp, .. } = unsafe { marks(exec).read() };
    let (low, fp) = trap.map_or((exit_fp, exit_fp), |trap| (trap.sp, trap.fp));
    let mut next = Some(Segment { low, fp, entry_fp });
    std::iter::from_fn(move || {
        let segment = next.take()?;
        if !activation.is_null() {
            // SAFETY: in the frame of an `enter` that has not returned.
            let Activation { outer, marks, .. } = unsafe { &*activation };
            let Marks { exit_fp, entry_fp, .. } = *marks;
            next = Some(Segment { low: exit_fp, fp: exit_fp, entry_fp });
            activation = *outer;
        }
        Some(segment)
    })
}

/// The execution whose wasm may be running on this thread. For the signal handler.
pub(super) fn current() -> *mut Execution {
    CURRENT.try_with(Cell::get).unwrap_or(ptr::null_mut())
}

/// What the signal handler needs of an execution.
pub(super) struct Running(*mut Execution);

impl Running {
    /// # Safety
    /// `exec` is what [`current`] gave on this thread, which has been interrupted in wasm.
    pub(super) unsafe fn new(exec: *mut Execution) -> Self {
        Running(exec)
    }

    /// Whether `address` belongs to a memory or its guards.
    pub(super) fn has_memory_at(&self, address: usize) -> bool {
        // SAFETY: by the contract of `new`, the thread is in code: nobody else looks.
        unsafe { look(self.0) }.memories.iter().any(|range| range.contains(&address))
    }

    /// The innermost entry; `None` if there is none on record.
    pub(super) fn landing(&self) -> Option<Landing> {
        // SAFETY: by the contract of `new`.
        let Marks { entry_fp: fp, entry_sp: sp, entry_handler: pc, .. } =
            unsafe { marks(self.0).read() };
        (pc != 0).then_some(Landing { fp, sp, pc })
    }

    /// Records a trap. Takes no memory.
    pub(super) fn trap(&self, trap: Trap, fault: &Fault) {
        // SAFETY: by the contract of `new`; the stack up to the entry is there.
        unsafe { trace_wasm(self.0, Some(fault)) };
        // SAFETY: by the contract of `new`.
        unsafe { look(self.0) }.pending = Some(Raise::Trap(trap));
    }
}
