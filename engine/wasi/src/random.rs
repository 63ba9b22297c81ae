//! `random_get`: the host's generator.

use crate::ctx::WasiCtx;
use crate::memory::GuestMemory;
use crate::types::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

/// How much is asked of the host at a time: a call for more may be interrupted.
const CHUNK: usize = 1 << 20;

impl WasiCtx {
    /// Fills the guest's buffer in place with bytes fit for keys.
    pub(crate) fn random_get(
        &mut self,
        mem: &mut GuestMemory<'_>,
        buf: u32,
        len: u32,
    ) -> Result<(), Errno> {
        for chunk in mem.bytes_mut(buf, len)?.chunks_mut(CHUNK) {
            let mut done = 0;
            while done < chunk.len() {
                let rest = &mut chunk[done..];
                done +=
                    rustix::io::retry_on_intr(|| getrandom(&mut *rest, GetRandomFlags::empty()))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_all_of_it_and_nothing_else() {
        let mut bytes = vec![0; (2 << 20) + 16];
        let mut mem = GuestMemory::new(&mut bytes);
        let mut ctx = WasiCtx::builder().build();
        ctx.random_get(&mut mem, 8, 2 << 20).unwrap();
        assert_eq!(ctx.random_get(&mut mem, 0, 0), Ok(()));
        assert_eq!(ctx.random_get(&mut mem, 24, 2 << 20), Err(Errno::FAULT));
        assert_eq!(bytes[..8], [0; 8]);
        assert_eq!(bytes[bytes.len() - 8..], [0; 8]);
        assert!(bytes[8..bytes.len() - 8].chunks(64).all(|c| c.iter().any(|&b| b != 0)));
    }
}
