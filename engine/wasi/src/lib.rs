//! WASI preview 1 for the precompile engine.
//!
//! A [`WasiCtxBuilder`] says what a guest gets, [`add_to_linker`] gives it the
//! 46 functions of `wasi_snapshot_preview1`, and [`I32Exit`] is how it ends.
//! The crate stands on the engine's public host-function API alone.
//!
//! # The sandbox
//! A guest reaches the files below its preopened directories and no others:
//! every path is resolved by cap-primitives, beneath the directory it starts
//! from, through `openat2` where the kernel has it. An absolute path, a `..`
//! or a symbolic link that leads out is `PERM`. Links to absolute targets are
//! neither created nor read. A file in a directory that was given with fewer
//! permissions cannot be linked or moved into one that was given more.
//!
//! # The guest's memory
//! Every pointer is checked before use. One outside the memory is `FAULT` and a
//! misaligned one `INVAL`, where wasmtime traps. Data goes between host and
//! guest memory without a copy in between, so that no length given by a guest
//! makes the host allocate. A read or write looks at the first 1024 buffers; a
//! shorter result is for the guest to handle, as on any host.
//!
//! # What is not there
//! - `fd_allocate` is `NOTSUP`: not every file system can do it.
//! - `fd_fdstat_set_rights` is `NOTSUP`. Rights decide, when a file is opened,
//!   whether it can be read and written; they are reported, not kept apart.
//! - `proc_raise` is `NOSYS`: there are no signals.
//! - `sock_accept`, `sock_recv`, `sock_send` and `sock_shutdown` are `NOTSOCK`,
//!   since nothing gives a guest a socket.
//! - `path_link` does not follow symbolic links: `INVAL` when asked to.
//! - `poll_oneoff` cannot wait for the two processor time clocks: `NOTSUP`.
//!   Regular files and directories are always ready. It blocks the host's
//!   thread for as long as the guest says.
//! - Directory entries whose names are not UTF-8 are left out of `fd_readdir`.
//!
//! # Where things are
//! `types` has the standard's numbers and layouts, `memory` the checked access,
//! `table` the descriptors, `linker` the list of functions. Each function is a
//! method of [`WasiCtx`] on a guest's memory, in `process`, `clock`, `random`,
//! `fs`, `poll` and `socket`; none of these knows the engine.

#![forbid(unsafe_code)]
#![expect(clippy::too_many_arguments, reason = "the standard's signatures")]

mod clock;
mod ctx;
mod fs;
mod linker;
mod memory;
mod perms;
mod poll;
mod process;
mod random;
mod socket;
mod stdio;
mod table;
mod types;

pub use ctx::{WasiCtx, WasiCtxBuilder};
pub use linker::add_to_linker;
pub use perms::{DirPerms, FilePerms};
pub use process::I32Exit;
pub use stdio::{InputStream, MemoryInputPipe, MemoryOutputPipe, OutputStream};
