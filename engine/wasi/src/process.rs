//! Arguments, environment, exit and yield.

use crate::ctx::WasiCtx;
use crate::memory::GuestMemory;
use crate::types::Errno;
use std::fmt;

/// The guest called `proc_exit` with this status.
///
/// It travels as an error to whoever called into the guest, who finds it with
/// `err.downcast_ref::<I32Exit>()`. The process goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct I32Exit(pub i32);

impl I32Exit {
    /// The status as the host's exit code would show it: its low eight bits.
    pub fn process_exit_code(&self) -> std::process::ExitCode {
        std::process::ExitCode::from(self.0.to_le_bytes()[0])
    }
}

impl fmt::Display for I32Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exited with status {}", self.0)
    }
}

impl std::error::Error for I32Exit {}

/// Writes how many strings there are, and how many bytes with a NUL each.
fn sizes(
    strings: &[String],
    mem: &mut GuestMemory<'_>,
    count: u32,
    size: u32,
) -> Result<(), Errno> {
    let count = mem.slot_u32(count)?;
    let size = mem.slot_u32(size)?;
    let bytes: usize = strings.iter().map(|s| s.len() + 1).sum();
    let bytes = u32::try_from(bytes).map_err(|_| Errno::OVERFLOW)?;
    let strings = u32::try_from(strings.len()).map_err(|_| Errno::OVERFLOW)?;
    mem.put_u32(count, strings);
    mem.put_u32(size, bytes);
    Ok(())
}

/// Writes the strings to `buf`, a NUL after each, and where each begins to
/// `pointers`.
fn strings(
    strings: &[String],
    mem: &mut GuestMemory<'_>,
    pointers: u32,
    buf: u32,
) -> Result<(), Errno> {
    let (mut pointer, mut at) = (pointers, buf);
    for string in strings {
        let slot = mem.slot_u32(pointer)?;
        let len = u32::try_from(string.len() + 1).map_err(|_| Errno::OVERFLOW)?;
        let (text, nul) = mem.bytes_mut(at, len)?.split_at_mut(string.len());
        text.copy_from_slice(string.as_bytes());
        nul.fill(0);
        mem.put_u32(slot, at);
        pointer = pointer.checked_add(4).ok_or(Errno::FAULT)?;
        at = at.checked_add(len).ok_or(Errno::FAULT)?;
    }
    Ok(())
}

impl WasiCtx {
    pub(crate) fn args_sizes_get(
        &mut self,
        mem: &mut GuestMemory<'_>,
        count: u32,
        size: u32,
    ) -> Result<(), Errno> {
        sizes(&self.args, mem, count, size)
    }

    pub(crate) fn args_get(
        &mut self,
        mem: &mut GuestMemory<'_>,
        argv: u32,
        buf: u32,
    ) -> Result<(), Errno> {
        strings(&self.args, mem, argv, buf)
    }

    pub(crate) fn environ_sizes_get(
        &mut self,
        mem: &mut GuestMemory<'_>,
        count: u32,
        size: u32,
    ) -> Result<(), Errno> {
        sizes(&self.env, mem, count, size)
    }

    pub(crate) fn environ_get(
        &mut self,
        mem: &mut GuestMemory<'_>,
        environ: u32,
        buf: u32,
    ) -> Result<(), Errno> {
        strings(&self.env, mem, environ, buf)
    }

    /// There are no signals.
    pub(crate) fn proc_raise(
        &mut self,
        _mem: &mut GuestMemory<'_>,
        _signal: u32,
    ) -> Result<(), Errno> {
        Err(Errno::NOSYS)
    }

    pub(crate) fn sched_yield(&mut self, _mem: &mut GuestMemory<'_>) -> Result<(), Errno> {
        std::thread::yield_now();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::get_u32;

    #[test]
    fn arguments_and_environment() {
        let mut bytes = [0xff; 64];
        let mut ctx = WasiCtx::builder().args(&["a", "", "bc"]).env("K", "v").build();
        let mut mem = GuestMemory::new(&mut bytes);
        ctx.args_sizes_get(&mut mem, 0, 4).unwrap();
        ctx.args_get(&mut mem, 8, 20).unwrap();
        ctx.environ_sizes_get(&mut mem, 32, 36).unwrap();
        ctx.environ_get(&mut mem, 40, 44).unwrap();
        assert_eq!([get_u32(&bytes, 0), get_u32(&bytes, 4)], [3, 6]);
        assert_eq!([8, 12, 16].map(|at| get_u32(&bytes, at)), [20, 22, 23]);
        assert_eq!(&bytes[20..26], b"a\0\0bc\0");
        assert_eq!([32, 36, 40].map(|at| get_u32(&bytes, at)), [1, 4, 44]);
        assert_eq!(&bytes[44..49], b"K=v\0\xff");
    }

    #[test]
    fn bad_pointers() {
        let mut bytes = [0; 16];
        let mut mem = GuestMemory::new(&mut bytes);
        let mut ctx = WasiCtx::builder().args(&["abc", "def"]).build();
        assert_eq!(ctx.args_sizes_get(&mut mem, 16, 0), Err(Errno::FAULT));
        assert_eq!(ctx.args_sizes_get(&mut mem, 0, 2), Err(Errno::INVAL));
        assert_eq!(ctx.args_get(&mut mem, 0, 9), Err(Errno::FAULT));
        assert_eq!(ctx.args_get(&mut mem, 12, 0), Err(Errno::FAULT));
        assert_eq!(ctx.args_get(&mut mem, u32::MAX - 3, u32::MAX), Err(Errno::FAULT));
    }

    #[test]
    fn exit_is_a_value() {
        let err: Box<dyn std::error::Error + Send + Sync> = Box::new(I32Exit(3));
        assert_eq!(err.downcast_ref::<I32Exit>(), Some(&I32Exit(3)));
        assert_eq!(err.to_string(), "exited with status 3");
        let mut ctx = WasiCtx::builder().build();
        assert_eq!(ctx.sched_yield(&mut GuestMemory::new(&mut [])), Ok(()));
    }
}
