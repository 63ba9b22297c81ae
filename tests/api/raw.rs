//! All that is unsafe in these tests: signals, faults made on purpose, and bytes that threads
//! share.

use libc::{c_int, c_void, siginfo_t};
use precompile::{Engine, Module, Result, SharedMemory};
use std::path::Path;
use std::sync::atomic::AtomicU32;

/// What [`exit_on`]'s handler ends the process with.
pub(crate) const HANDLED: i32 = 73;

/// Installs a handler for `signal` that ends the process with [`HANDLED`].
pub(crate) fn exit_on(signal: c_int) {
    extern "C" fn handler(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
        // SAFETY: may be called in a signal handler, and does not return.
        unsafe { libc::_exit(HANDLED) }
    }
    // SAFETY: all zero is a valid action.
    let mut action = unsafe { std::mem::zeroed::<libc::sigaction>() };
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: the pointers are valid or null, and the handler has the type that the flags say.
    let status = unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) };
    assert_eq!(status, 0);
}

/// Has the process killed without a core file.
pub(crate) fn no_core() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is valid.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) };
}

/// Reads from address 8, of the host's own doing.
pub(crate) fn null_dereference() -> u8 {
    let address = std::hint::black_box(8usize);
    // SAFETY: not sound, and meant so: in a child process that is to die of it.
    unsafe { std::ptr::without_provenance::<u8>(address).read_volatile() }
}

/// Executes an instruction that is none.
pub(crate) fn illegal_instruction() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: in a child process that is to die of it.
    unsafe {
        std::arch::asm!("ud2")
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: in a child process that is to die of it.
    unsafe {
        std::arch::asm!("udf #0")
    }
}

/// Divides by zero, as the processor does it.
#[cfg(target_arch = "x86_64")]
pub(crate) fn division_by_zero() {
    // SAFETY: in a child process that is to die of it.
    unsafe {
        std::arch::asm!("xor edx, edx", "xor ecx, ecx", "div ecx", out("eax") _, out("edx") _, out("ecx") _)
    }
}

/// Loads an entry of a cache.
pub(crate) fn deserialize_file(engine: &Engine, entry: &Path) -> Result<Module> {
    // SAFETY: callers pass what engines of this crate wrote. One cuts its file off, to see that
    // the engine finds that.
    unsafe { Module::deserialize_file(engine, entry) }
}

/// The number at `at`, for atomic use.
pub(crate) fn word(memory: &SharedMemory, at: usize) -> &AtomicU32 {
    let cell = memory.data()[at..at + 4].as_ptr();
    // SAFETY: four bytes of the memory, aligned, of which Rust has no other reference.
    unsafe { AtomicU32::from_ptr(cell.cast_mut().cast()) }
}

/// What is in a memory that no thread uses now.
pub(crate) fn bytes(memory: &SharedMemory, at: usize, len: usize) -> Vec<u8> {
    let cells = memory.data()[at..at + len].iter();
    // SAFETY: a byte of the memory, which no thread uses now.
    cells.map(|cell| unsafe { cell.get().read() }).collect()
}
