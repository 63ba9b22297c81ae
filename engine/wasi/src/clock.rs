//! `clock_res_get` and `clock_time_get`: four clocks, in nanoseconds.

use crate::ctx::WasiCtx;
use crate::memory::GuestMemory;
use crate::types::Errno;
use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

/// Since 1970.
pub(crate) const REALTIME: u32 = 0;
/// Since the context was built: a guest does not learn how long the host is up.
pub(crate) const MONOTONIC: u32 = 1;
/// Processor time of the host process.
pub(crate) const PROCESS_CPUTIME: u32 = 2;
/// Processor time of the calling thread.
pub(crate) const THREAD_CPUTIME: u32 = 3;

fn host_clock(id: u32) -> Result<ClockId, Errno> {
    match id {
        REALTIME => Ok(ClockId::Realtime),
        MONOTONIC => Ok(ClockId::Monotonic),
        PROCESS_CPUTIME => Ok(ClockId::ProcessCPUTime),
        THREAD_CPUTIME => Ok(ClockId::ThreadCPUTime),
        _ => Err(Errno::INVAL),
    }
}

fn nanoseconds(time: Timespec) -> Result<u64, Errno> {
    let seconds = u64::try_from(time.tv_sec).map_err(|_| Errno::OVERFLOW)?;
    let nanos = u64::try_from(time.tv_nsec).map_err(|_| Errno::OVERFLOW)?;
    seconds.checked_mul(1_000_000_000).and_then(|s| s.checked_add(nanos)).ok_or(Errno::OVERFLOW)
}

impl WasiCtx {
    /// How fine a clock is.
    pub(crate) fn clock_res_get(
        &mut self,
        mem: &mut GuestMemory<'_>,
        id: u32,
        resolution: u32,
    ) -> Result<(), Errno> {
        let out = mem.slot_u64(resolution)?;
        let resolution = nanoseconds(clock_getres(host_clock(id)?))?;
        mem.put_u64(out, resolution);
        Ok(())
    }

    /// What a clock says. The precision that the guest would be content with
    /// is not used: all are read as finely as they go.
    pub(crate) fn clock_time_get(
        &mut self,
        mem: &mut GuestMemory<'_>,
        id: u32,
        _precision: u64,
        time: u32,
    ) -> Result<(), Errno> {
        let out = mem.slot_u64(time)?;
        let now = match id {
            MONOTONIC => self.monotonic_now(),
            id => nanoseconds(clock_gettime(host_clock(id)?))?,
        };
        mem.put_u64(out, now);
        Ok(())
    }

    pub(crate) fn monotonic_now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::get_u64;

    #[test]
    fn four_clocks() {
        let mut bytes = [0; 16];
        let mut ctx = WasiCtx::builder().build();
        for id in [REALTIME, MONOTONIC, PROCESS_CPUTIME, THREAD_CPUTIME] {
            let mut mem = GuestMemory::new(&mut bytes);
            ctx.clock_res_get(&mut mem, id, 0).unwrap();
            ctx.clock_time_get(&mut mem, id, 0, 8).unwrap();
            assert_ne!(get_u64(&bytes, 0), 0);
            assert_ne!(get_u64(&bytes, 8), 0);
        }
        let mut mem = GuestMemory::new(&mut bytes);
        for id in [4, u32::MAX] {
            assert_eq!(ctx.clock_res_get(&mut mem, id, 0), Err(Errno::INVAL));
            assert_eq!(ctx.clock_time_get(&mut mem, id, 0, 0), Err(Errno::INVAL));
        }
        assert_eq!(ctx.clock_time_get(&mut mem, REALTIME, 0, 16), Err(Errno::FAULT));
        assert_eq!(ctx.clock_time_get(&mut mem, REALTIME, 0, 4), Err(Errno::INVAL));
    }
}
