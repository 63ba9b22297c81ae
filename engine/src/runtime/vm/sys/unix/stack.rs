//! Stacks: where a thread's ends, and the one that its signals are handled on.

use super::{Access, Mapping, page_size};
use std::cell::{Cell, RefCell};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;

/// Size of the signal stack: the processor's state takes up to 11 KiB of it, and handlers that
/// ours chains to may want to print a backtrace.
const SIGNAL_STACK: usize = 64 << 10;

thread_local! {
    /// Bounds of the thread's stack, once known; empty where they cannot be found.
    static BOUNDS: Cell<Option<(usize, usize)>> = const { Cell::new(None) };
    static SIGNAL: RefCell<Option<SignalStack>> = const { RefCell::new(None) };
}

/// The lowest address of the current stack, of which `sp` is an address; `None` where the thread
/// runs on a stack that is not its own, of a fiber for example.
pub(crate) fn stack_end(sp: usize) -> Option<usize> {
    let (start, end) = BOUNDS.get().unwrap_or_else(|| {
        let found = main_stack(sp).or_else(thread_stack).unwrap_or(0..0);
        BOUNDS.set(Some((found.start, found.end)));
        (found.start, found.end)
    });
    (start..end).contains(&sp).then_some(start)
}

/// The main thread's stack, if `sp` is in it.
///
/// The C library can tell as well, but reads a file of all mappings to do so. The kernel puts the
/// program's name at the very top of this stack, and lets it grow to the soft limit from there.
fn main_stack(sp: usize) -> Option<Range<usize>> {
    /// Unless told so, the kernel keeps no more than 128 MiB free below the stack.
    const MOST: usize = 64 << 20;
    /// Further up than this from the program's name, the stack does not go.
    const NAME: usize = 4096;
    // SAFETY: reads the process's own vector of constants.
    let name = unsafe { libc::getauxval(libc::AT_EXECFN) } as usize;
    let mut limit = MaybeUninit::<libc::rlimit>::zeroed();
    // SAFETY: the pointer is valid for writes of the type that the call expects.
    let status = unsafe { libc::getrlimit(libc::RLIMIT_STACK, limit.as_mut_ptr()) };
    // SAFETY: zeroed bytes are a valid `rlimit`, and the call writes nothing else.
    let limit = unsafe { limit.assume_init() };
    if name == 0 || status != 0 {
        return None;
    }
    let size = usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX).min(MOST);
    let start = name.checked_sub(size.checked_sub(2 * NAME)?)?;
    (start..name).contains(&sp).then_some(start..name)
}

/// The stack of a thread, as the C library knows it.
fn thread_stack() -> Option<Range<usize>> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: a thread may always ask for itself.
    let thread = unsafe { libc::pthread_self() };
    // SAFETY: the pointer is valid for writes; the call initialises it if it returns 0.
    if unsafe { libc::pthread_getattr_np(thread, attributes.as_mut_ptr()) } != 0 {
        return None;
    }
    let (mut start, mut size, mut guard) = (ptr::null_mut(), 0, 0);
    // SAFETY: the attributes were initialised just above.
    let found =
        unsafe { libc::pthread_attr_getstack(attributes.as_ptr(), &mut start, &mut size) } == 0;
    // SAFETY: as above.
    if unsafe { libc::pthread_attr_getguardsize(attributes.as_ptr(), &mut guard) } != 0 {
        guard = 0;
    }
    // SAFETY: as above, and they are not used any more.
    unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    let end = start.addr().checked_add(size)?;
    // Some libraries count the guard as part of the stack.
    found.then_some(start.addr().checked_add(guard)?..end)
}

/// Gives the thread a stack for signals, unless it has one that is large enough.
///
/// Never fails: the stack limit of wasm leaves enough room for the handler below it, so a thread
/// without memory for this only shares its stack with the handler.
pub(crate) fn prepare_thread() {
    // No place where thread locals are gone already, while the thread ends.
    let _ = SIGNAL.try_with(|slot| {
        let mut slot = slot.borrow_mut();
        if slot.is_none() && current_signal_stack().is_none_or(|s| s.ss_size < SIGNAL_STACK) {
            *slot = SignalStack::install();
        }
    });
}

/// A signal stack of ours, with a guard page below it.
struct SignalStack(Mapping);

impl SignalStack {
    fn install() -> Option<SignalStack> {
        let guard = page_size();
        let mapping = Mapping::reserve(guard + SIGNAL_STACK).ok()?;
        let range = mapping.range();
        // SAFETY: nobody else knows this memory.
        unsafe { mapping.protect(guard..range.len(), Access::ReadWrite) }.ok()?;
        let stack = libc::stack_t {
            ss_sp: mapping.base().wrapping_add(guard).cast(),
            ss_flags: 0,
            ss_size: range.len() - guard,
        };
        // SAFETY: the memory is writable and lives until `drop` takes the stack away.
        let status = unsafe { libc::sigaltstack(&stack, ptr::null_mut()) };
        (status == 0).then_some(SignalStack(mapping))
    }
}

impl Drop for SignalStack {
    fn drop(&mut self) {
        // The stack that was there before is not put back: whoever made it may have freed it.
        let ours = |s: libc::stack_t| self.0.range().contains(&s.ss_sp.addr());
        if current_signal_stack().is_some_and(ours) {
            let none =
                libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
            // SAFETY: takes away a stack that is not in use: this is no signal handler.
            unsafe { libc::sigaltstack(&none, ptr::null_mut()) };
        }
    }
}

/// The thread's signal stack.
fn current_signal_stack() -> Option<libc::stack_t> {
    let mut stack = MaybeUninit::<libc::stack_t>::zeroed();
    // SAFETY: the pointer is valid for writes of that type.
    if unsafe { libc::sigaltstack(ptr::null(), stack.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: zeroed bytes are a valid `stack_t`, and the call writes nothing else.
    let stack = unsafe { stack.assume_init() };
    (stack.ss_flags & libc::SS_DISABLE == 0).then_some(stack)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sp() -> usize {
        let here = 0u8;
        (&raw const here).addr()
    }

    #[test]
    fn a_thread_knows_its_stack() {
        let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(|| {
            let end = stack_end(sp()).unwrap();
            // It may be the stack of an earlier thread, which had more.
            assert!(sp() - end <= 64 << 20);
            assert!(stack_end(end - 1).is_none());
            // The last bytes are there.
            let last = ptr::with_exposed_provenance_mut::<u8>(end);
            // SAFETY: in the stack, far below every frame.
            unsafe { last.write_volatile(1) };
        });
        thread.unwrap().join().unwrap();
    }

    #[test]
    fn a_thread_gets_a_signal_stack_and_gives_it_back() {
        let range = std::thread::spawn(|| {
            prepare_thread();
            prepare_thread();
            let stack = current_signal_stack().unwrap();
            assert!(stack.ss_size >= SIGNAL_STACK);
            stack.ss_sp.addr()..stack.ss_sp.addr() + stack.ss_size
        });
        assert!(!range.join().unwrap().is_empty());
    }

    #[test]
    fn a_large_signal_stack_is_left_alone() {
        std::thread::spawn(|| {
            let own = SignalStack::install().unwrap();
            prepare_thread();
            assert!(SIGNAL.with_borrow(Option::is_none));
            drop(own);
            assert!(current_signal_stack().is_none());
        })
        .join()
        .unwrap();
    }
}
