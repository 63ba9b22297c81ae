//! What the operating system gives: address space, stacks, signals. One file a system, chosen
//! here; the rest of the runtime has no `cfg` of its own.
//!
//! Where there is no file yet, `unsupported` has the same functions, and
//! [`check_supported`] says so before anything else is tried.

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod unix;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) use unix::*;

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod unsupported;
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
pub(crate) use unsupported::*;
