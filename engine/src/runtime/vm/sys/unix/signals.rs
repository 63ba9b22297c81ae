//! Signals: our handler, and going on with the one that was there before.

use super::context;
use crate::runtime::vm::traps::{self, Fault, Kind};
use libc::{
    SIG_DFL, SIG_IGN, SIGBUS, SIGFPE, SIGILL, SIGSEGV, c_int, c_void, siginfo_t, ucontext_t,
};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// The signals that an instruction can cause here. On 64-bit Arm division does not trap; the
/// signal is taken all the same, and passed on.
const SIGNALS: [c_int; 4] = [SIGSEGV, SIGBUS, SIGILL, SIGFPE];

/// What was installed before, in the order of `SIGNALS`.
static PREVIOUS: [Previous; 4] = [const { Previous::new() }; 4];

struct Previous {
    action: OnceLock<libc::sigaction>,
    /// Whether it was to be used once and has been.
    used_up: AtomicBool,
}

impl Previous {
    const fn new() -> Self {
        Previous { action: OnceLock::new(), used_up: AtomicBool::new(false) }
    }
}

/// Installs the handler for all signals. To be called once.
pub(crate) fn install_handlers() -> io::Result<()> {
    for (signal, previous) in SIGNALS.into_iter().zip(&PREVIOUS) {
        // The old action is read first, so that it is there when the first signal comes.
        previous.action.get_or_init(|| action(signal, None).unwrap_or_else(|_| default_action()));
        let mut ours = default_action();
        ours.sa_sigaction = on_signal as *const () as usize;
        // NODEFER: a fault in the handler itself goes to the handler before, instead of killing
        // the process without a word. ONSTACK: the thread may have no stack left.
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER | libc::SA_ONSTACK;
        action(signal, Some(&ours))?;
    }
    Ok(())
}

fn default_action() -> libc::sigaction {
    // SAFETY: all zero is a valid action: the default, with nothing blocked.
    unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() }
}

/// Sets a signal's action, and gives the one before.
fn action(signal: c_int, new: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    let mut old = default_action();
    let new = new.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: both pointers are valid or null. A handler among them is `on_signal`, or was
    // installed before.
    if unsafe { libc::sigaction(signal, new, &mut old) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(old)
}

unsafe extern "C" fn on_signal(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes the saved registers, which this handler alone has now.
    let registers = unsafe { &mut *context.cast::<ucontext_t>() };
    // SAFETY: the kernel passes a valid description.
    let details = unsafe { &*info };
    if let Some(fault) = fault(signal, details, registers)
        && let Some(landing) = traps::on_fault(&fault)
    {
        context::redirect(registers, &landing);
        return;
    }
    // SAFETY: the arguments are those that the kernel passed.
    unsafe { pass_on(signal, info, context) }
}

/// What the signal tells about an instruction; `None` if somebody just sent it.
fn fault(signal: c_int, info: &siginfo_t, registers: &ucontext_t) -> Option<Fault> {
    /// The kernel does not know an address: a pointer that is not canonical, for example.
    const SI_KERNEL: c_int = 0x80;
    if info.si_code <= 0 {
        return None;
    }
    // SAFETY: the signals of `SIGNALS` have an address in their description.
    let address = unsafe { info.si_addr() }.addr();
    let kind = match signal {
        SIGSEGV => Kind::Access((info.si_code != SI_KERNEL).then_some(address)),
        SIGBUS => Kind::FileEnd(address),
        SIGILL => Kind::Instruction,
        SIGFPE => Kind::Arithmetic,
        _ => return None,
    };
    let (pc, fp, sp) = (context::pc(registers), context::fp(registers), context::sp(registers));
    Some(Fault { kind, pc, fp, sp })
}

/// Does what would have happened without our handler.
///
/// # Safety
/// The arguments are those of a signal handler that is running.
unsafe fn pass_on(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let slot = SIGNALS.iter().position(|s| *s == signal).and_then(|i| PREVIOUS.get(i));
    let (previous, once) = match slot.and_then(|slot| Some((slot, slot.action.get()?))) {
        Some((slot, action)) if action.sa_flags & libc::SA_RESETHAND != 0 => {
            (*action, slot.used_up.swap(true, Ordering::Relaxed))
        }
        Some((_, action)) => (*action, false),
        None => (default_action(), false),
    };
    // SAFETY: the kernel's description, valid while the handler runs.
    let sent = unsafe { (*info).si_code } <= 0;
    match previous.sa_sigaction {
        // The kernel does not let a fault be ignored.
        SIG_IGN if sent && !once => {}
        SIG_DFL | SIG_IGN => by_default(signal, sent),
        _ if once => by_default(signal, sent),
        handler => {
            block_as(signal, &previous);
            if previous.sa_flags & libc::SA_SIGINFO != 0 {
                // SAFETY: the flag says that the handler has this type.
                let handler = unsafe {
                    std::mem::transmute::<
                        usize,
                        unsafe extern "C" fn(c_int, *mut siginfo_t, *mut c_void),
                    >(handler)
                };
                // SAFETY: called as the kernel would.
                unsafe { handler(signal, info, context) }
            } else {
                // SAFETY: without the flag, the handler has this type.
                let handler =
                    unsafe { std::mem::transmute::<usize, unsafe extern "C" fn(c_int)>(handler) };
                // SAFETY: called as the kernel would.
                unsafe { handler(signal) }
            }
        }
    }
}

/// The default action, which ends the process: the instruction faults once more when the handler
/// returns, so that a core dump shows it. A signal that was sent has to be sent again.
fn by_default(signal: c_int, sent: bool) {
    // If that fails, there is nothing better than to return.
    let _ = action(signal, Some(&default_action()));
    if sent {
        // SAFETY: sends a signal to this thread.
        unsafe { libc::raise(signal) };
    }
}

/// Blocks the signals that the kernel would have blocked for this action. The mask of the
/// interrupted code comes back when the handler returns.
fn block_as(signal: c_int, action: &libc::sigaction) {
    let mut mask = action.sa_mask;
    if action.sa_flags & libc::SA_NODEFER == 0 {
        // SAFETY: the pointer is valid.
        unsafe { libc::sigaddset(&mut mask, signal) };
    }
    // SAFETY: the pointers are valid or null.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &mask, ptr::null_mut()) };
}

/// Writes a message and aborts, by means that a signal handler may use.
pub(crate) fn die(message: &[&[u8]]) -> ! {
    for part in message {
        // SAFETY: the bytes are readable. If nobody listens, that is that.
        unsafe { libc::write(libc::STDERR_FILENO, part.as_ptr().cast(), part.len()) };
    }
    // SAFETY: always allowed.
    unsafe { libc::abort() }
}
