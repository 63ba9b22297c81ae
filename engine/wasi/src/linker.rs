//! The 46 functions, by name and signature, put into a linker.

use crate::ctx::WasiCtx;
use crate::memory::GuestMemory;
use crate::process::I32Exit;
use crate::types::Errno;
use precompile::{Caller, Error, Extern, Linker, Result};

/// The module that guests import the functions from.
const MODULE: &str = "wasi_snapshot_preview1";

/// The type that a parameter has at the boundary.
macro_rules! wasm {
    (u32) => {
        i32
    };
    (u64) => {
        i64
    };
    (i64) => {
        i64
    };
}

macro_rules! register {
    ($linker:ident, $get:ident; $($name:ident($($arg:ident: $ty:tt),*);)*) => {$(
        $linker.func_wrap(
            MODULE,
            stringify!($name),
            move |mut caller: Caller<'_, T>, $($arg: wasm!($ty)),*| -> Result<i32> {
                call(&mut caller, $get, |ctx, mem| ctx.$name(mem $(, $arg as $ty)*))
            },
        )?;
    )*};
}

/// Runs one function on the memory that the calling instance exports.
fn call<T: 'static>(
    caller: &mut Caller<'_, T>,
    get: impl Fn(&mut T) -> &mut WasiCtx,
    run: impl FnOnce(&mut WasiCtx, &mut GuestMemory<'_>) -> std::result::Result<(), Errno>,
) -> Result<i32> {
    let memory = match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => memory,
        Some(Extern::SharedMemory(_)) => {
            let message = "WASI's functions work on no memory that threads share, and the caller \
                           exports one";
            return Err(Error::msg(message));
        }
        _ => return Err(Error::msg("a WASI function needs the caller to export a memory")),
    };
    let (bytes, data) = memory.data_and_store_mut(caller);
    let errno = match run(get(data), &mut GuestMemory::new(bytes)) {
        Ok(()) => Errno::SUCCESS,
        Err(errno) => errno,
    };
    Ok(i32::from(errno.raw()))
}

/// Defines all 46 functions of `wasi_snapshot_preview1` in `linker`.
///
/// `get` finds the [`WasiCtx`] in the store's data. Each function works on the
/// memory that its caller exports as `memory`; without one it is an error, not
/// a code. `proc_exit` ends the call into the guest with an [`I32Exit`].
///
/// # Errors
/// When `linker` has one of the names already and does not allow shadowing.
pub fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut WasiCtx + Copy + Send + Sync + 'static,
) -> Result<()> {
    register! { linker, get;
        args_get(argv: u32, buf: u32);
        args_sizes_get(count: u32, size: u32);
        environ_get(environ: u32, buf: u32);
        environ_sizes_get(count: u32, size: u32);
        clock_res_get(id: u32, resolution: u32);
        clock_time_get(id: u32, precision: u64, time: u32);
        fd_advise(fd: u32, offset: u64, len: u64, advice: u32);
        fd_allocate(fd: u32, offset: u64, len: u64);
        fd_close(fd: u32);
        fd_datasync(fd: u32);
        fd_fdstat_get(fd: u32, stat: u32);
        fd_fdstat_set_flags(fd: u32, flags: u32);
        fd_fdstat_set_rights(fd: u32, base: u64, inheriting: u64);
        fd_filestat_get(fd: u32, stat: u32);
        fd_filestat_set_size(fd: u32, size: u64);
        fd_filestat_set_times(fd: u32, atim: u64, mtim: u64, flags: u32);
        fd_pread(fd: u32, iovs: u32, count: u32, offset: u64, nread: u32);
        fd_prestat_get(fd: u32, prestat: u32);
        fd_prestat_dir_name(fd: u32, path: u32, len: u32);
        fd_pwrite(fd: u32, iovs: u32, count: u32, offset: u64, nwritten: u32);
        fd_read(fd: u32, iovs: u32, count: u32, nread: u32);
        fd_readdir(fd: u32, buf: u32, len: u32, cookie: u64, used: u32);
        fd_renumber(from: u32, to: u32);
        fd_seek(fd: u32, offset: i64, whence: u32, position: u32);
        fd_sync(fd: u32);
        fd_tell(fd: u32, position: u32);
        fd_write(fd: u32, iovs: u32, count: u32, nwritten: u32);
        path_create_directory(fd: u32, path: u32, len: u32);
        path_filestat_get(fd: u32, lookup: u32, path: u32, len: u32, stat: u32);
        path_filestat_set_times(
            fd: u32, lookup: u32, path: u32, len: u32, atim: u64, mtim: u64, flags: u32
        );
        path_link(
            old_fd: u32, lookup: u32, old: u32, old_len: u32, new_fd: u32, new: u32, new_len: u32
        );
        path_open(
            fd: u32, lookup: u32, path: u32, len: u32, oflags: u32, base: u64, inheriting: u64,
            fdflags: u32, opened: u32
        );
        path_readlink(fd: u32, path: u32, len: u32, buf: u32, buf_len: u32, used: u32);
        path_remove_directory(fd: u32, path: u32, len: u32);
        path_rename(old_fd: u32, old: u32, old_len: u32, new_fd: u32, new: u32, new_len: u32);
        path_symlink(target: u32, target_len: u32, fd: u32, path: u32, len: u32);
        path_unlink_file(fd: u32, path: u32, len: u32);
        poll_oneoff(subscriptions: u32, events: u32, count: u32, nevents: u32);
        proc_raise(signal: u32);
        random_get(buf: u32, len: u32);
        sched_yield();
        sock_accept(fd: u32, flags: u32, accepted: u32);
        sock_recv(fd: u32, iovs: u32, count: u32, flags: u32, received: u32, flags_out: u32);
        sock_send(fd: u32, iovs: u32, count: u32, flags: u32, sent: u32);
        sock_shutdown(fd: u32, how: u32);
    }
    linker.func_wrap(MODULE, "proc_exit", |status: i32| -> Result<()> {
        Err(I32Exit(status).into())
    })?;
    Ok(())
}
