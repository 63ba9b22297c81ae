//! `sock_*`: there is no way to get a socket, so that every open descriptor is
//! the wrong kind.

use crate::ctx::WasiCtx;
use crate::memory::GuestMemory;
use crate::types::Errno;

impl WasiCtx {
    fn not_a_socket(&self, fd: u32) -> Result<(), Errno> {
        self.table.get(fd)?;
        Err(Errno::NOTSOCK)
    }

    pub(crate) fn sock_accept(
        &mut self,
        _mem: &mut GuestMemory<'_>,
        fd: u32,
        _flags: u32,
        _accepted: u32,
    ) -> Result<(), Errno> {
        self.not_a_socket(fd)
    }

    pub(crate) fn sock_recv(
        &mut self,
        _mem: &mut GuestMemory<'_>,
        fd: u32,
        _iovs: u32,
        _count: u32,
        _flags: u32,
        _received: u32,
        _flags_out: u32,
    ) -> Result<(), Errno> {
        self.not_a_socket(fd)
    }

    pub(crate) fn sock_send(
        &mut self,
        _mem: &mut GuestMemory<'_>,
        fd: u32,
        _iovs: u32,
        _count: u32,
        _flags: u32,
        _sent: u32,
    ) -> Result<(), Errno> {
        self.not_a_socket(fd)
    }

    pub(crate) fn sock_shutdown(
        &mut self,
        _mem: &mut GuestMemory<'_>,
        fd: u32,
        _how: u32,
    ) -> Result<(), Errno> {
        self.not_a_socket(fd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_descriptor_is_a_socket() {
        let mut mem = GuestMemory::new(&mut []);
        let mut ctx = WasiCtx::builder().build();
        assert_eq!(ctx.sock_shutdown(&mut mem, 1, 0), Err(Errno::NOTSOCK));
        assert_eq!(ctx.sock_accept(&mut mem, 9, 0, 0), Err(Errno::BADF));
        assert_eq!(ctx.sock_recv(&mut mem, 0, 0, 0, 0, 0, 0), Err(Errno::NOTSOCK));
        assert_eq!(ctx.sock_send(&mut mem, 0, 0, 0, 0, 0), Err(Errno::NOTSOCK));
    }
}
