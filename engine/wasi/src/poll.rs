//! `poll_oneoff`: wait for clocks and descriptors.

use crate::clock::{MONOTONIC, PROCESS_CPUTIME, REALTIME, THREAD_CPUTIME};
use crate::ctx::WasiCtx;
use crate::memory::{GuestMemory, get_u16, get_u32, get_u64};
use crate::table::Descriptor;
use crate::types::{Errno, Record, event, eventtype, subscription};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use std::io::Seek;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How many subscriptions one call takes; more are `INVAL`.
const MAX_SUBSCRIPTIONS: u32 = 1 << 16;

/// The longest single wait. A clock that is set while one waits for a time of
/// day is noticed after this.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The flag of a clock that makes its timeout a point in time.
const ABSTIME: u16 = 1;

/// The flag of an event that says that the other side is gone.
const HANGUP: u16 = 1;

/// One subscription, decoded.
struct Subscription {
    userdata: u64,
    kind: u8,
    wait: Wait,
}

enum Wait {
    /// For a point on the host's monotonic clock; never, if it is too far off.
    Until(Option<Instant>),
    /// For a time of day.
    UntilTime(SystemTime),
    /// For a descriptor.
    Fd(u32),
    /// For nothing: the event tells why.
    Failed(Errno),
}

/// How a descriptor stands.
enum State<'a> {
    /// Ready, with so many bytes.
    Ready(u64),
    /// To be asked of the host.
    Host(BorrowedFd<'a>),
}

/// One event to report.
struct Event {
    userdata: u64,
    kind: u8,
    error: Errno,
    nbytes: u64,
    flags: u16,
}

impl Subscription {
    fn happened(&self, error: Errno, nbytes: u64, flags: u16) -> Event {
        Event { userdata: self.userdata, kind: self.kind, error, nbytes, flags }
    }
}

impl Wait {
    /// How long until a clock's time comes; none for a descriptor.
    fn remaining(&self) -> Option<Duration> {
        match self {
            Self::Until(Some(at)) => Some(at.saturating_duration_since(Instant::now())),
            Self::Until(None) => Some(Duration::MAX),
            Self::UntilTime(at) => {
                Some(at.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO))
            }
            Self::Fd(_) | Self::Failed(_) => None,
        }
    }
}

impl WasiCtx {
    fn clock_wait(&self, id: u32, timeout: u64, flags: u16) -> Wait {
        let timeout = Duration::from_nanos(timeout);
        match (id, flags) {
            (PROCESS_CPUTIME | THREAD_CPUTIME, 0 | ABSTIME) => Wait::Failed(Errno::NOTSUP),
            (REALTIME | MONOTONIC, 0) => Wait::Until(Instant::now().checked_add(timeout)),
            (MONOTONIC, ABSTIME) => Wait::Until(self.started.checked_add(timeout)),
            (REALTIME, ABSTIME) => match UNIX_EPOCH.checked_add(timeout) {
                Some(at) => Wait::UntilTime(at),
                None => Wait::Until(None),
            },
            _ => Wait::Failed(Errno::INVAL),
        }
    }

    fn subscription(&self, bytes: &[u8]) -> Result<Subscription, Errno> {
        let kind = bytes[subscription::TAG];
        let wait = match kind {
            eventtype::CLOCK => self.clock_wait(
                get_u32(bytes, subscription::CLOCK_ID),
                get_u64(bytes, subscription::CLOCK_TIMEOUT),
                get_u16(bytes, subscription::CLOCK_FLAGS),
            ),
            eventtype::FD_READ | eventtype::FD_WRITE => Wait::Fd(get_u32(bytes, subscription::FD)),
            _ => return Err(Errno::INVAL),
        };
        Ok(Subscription { userdata: get_u64(bytes, subscription::USERDATA), kind, wait })
    }

    /// Whether `fd` can be read (or written) now, or who knows.
    fn state(&self, fd: u32, kind: u8) -> Result<State<'_>, Errno> {
        let reads = kind == eventtype::FD_READ;
        let host = match self.table.get(fd)? {
            Descriptor::File(open) if reads && open.readable => {
                let mut file = &open.file;
                let left = file.metadata()?.len().saturating_sub(file.stream_position()?);
                return Ok(State::Ready(left));
            }
            Descriptor::File(open) if !reads && open.writable => return Ok(State::Ready(1)),
            Descriptor::Input(stream) if reads => stream.pollable(),
            Descriptor::Output(stream) if !reads => stream.pollable(),
            _ => return Err(Errno::BADF),
        };
        Ok(host.map_or(State::Ready(1), State::Host))
    }

    fn wait(&self, subscriptions: &[Subscription]) -> Result<Vec<Event>, Errno> {
        let mut events = Vec::new();
        let mut hosts = Vec::new();
        let mut fds = Vec::new();
        for sub in subscriptions {
            match sub.wait {
                Wait::Failed(error) => events.push(sub.happened(error, 0, 0)),
                Wait::Fd(fd) => match self.state(fd, sub.kind) {
                    Ok(State::Ready(nbytes)) => {
                        events.push(sub.happened(Errno::SUCCESS, nbytes, 0));
                    }
                    Ok(State::Host(fd)) => {
                        let reads = sub.kind == eventtype::FD_READ;
                        let wanted = if reads { PollFlags::IN } else { PollFlags::OUT };
                        hosts.push(sub);
                        fds.push(PollFd::from_borrowed_fd(fd, wanted));
                    }
                    Err(error) => events.push(sub.happened(error, 0, 0)),
                },
                Wait::Until(_) | Wait::UntilTime(_) => {}
            }
        }
        loop {
            let first = subscriptions.iter().filter_map(|sub| sub.wait.remaining()).min();
            // With an event in hand the rest is only looked at.
            let wait = if events.is_empty() { first } else { Some(Duration::ZERO) };
            sleep(&mut fds, wait)?;
            for (sub, fd) in hosts.iter().zip(&fds) {
                let seen = fd.revents();
                if seen.contains(PollFlags::NVAL) {
                    events.push(sub.happened(Errno::BADF, 0, 0));
                } else if !seen.is_empty() {
                    let flags = if seen.contains(PollFlags::HUP) { HANGUP } else { 0 };
                    let data = seen.intersects(PollFlags::IN | PollFlags::OUT);
                    events.push(sub.happened(Errno::SUCCESS, u64::from(data), flags));
                }
            }
            for sub in subscriptions {
                if sub.wait.remaining() == Some(Duration::ZERO) {
                    events.push(sub.happened(Errno::SUCCESS, 0, 0));
                }
            }
            if !events.is_empty() {
                return Ok(events);
            }
        }
    }

    pub(crate) fn poll_oneoff(
        &mut self,
        mem: &mut GuestMemory<'_>,
        subscriptions: u32,
        events: u32,
        count: u32,
        nevents: u32,
    ) -> Result<(), Errno> {
        if count == 0 || count > MAX_SUBSCRIPTIONS {
            return Err(Errno::INVAL);
        }
        let out_count = mem.slot_u32(nevents)?;
        let out = mem.slot(events, count * event::SIZE, event::ALIGN)?;
        let array = mem.array(subscriptions, count, subscription::SIZE, subscription::ALIGN)?;
        let subscriptions = array
            .chunks_exact(subscription::SIZE as usize)
            .map(|bytes| self.subscription(bytes))
            .collect::<Result<Vec<_>, _>>()?;

        let happened = self.wait(&subscriptions)?;
        let records = mem.record(out).chunks_exact_mut(event::SIZE as usize);
        for (record, event) in records.zip(&happened) {
            record.set_u64(event::USERDATA, event.userdata);
            record.set_u16(event::ERROR, event.error.raw());
            record.set_u8(event::TYPE, event.kind);
            record.set_u64(event::NBYTES, event.nbytes);
            record.set_u16(event::FLAGS, event.flags);
        }
        mem.put_u32(out_count, happened.len() as u32);
        Ok(())
    }
}

/// Waits for one of `fds`, at most `wait`, and perhaps less.
fn sleep(fds: &mut [PollFd<'_>], wait: Option<Duration>) -> Result<(), Errno> {
    let wait = match wait {
        Some(wait) => Some(wait.min(LONGEST_WAIT)),
        // No clock: for ever, unless there is nothing to wait for at all.
        None if fds.is_empty() => Some(Duration::ZERO),
        None => None,
    };
    let wait = wait.map(Timespec::try_from).transpose().map_err(|_| Errno::OVERFLOW)?;
    match poll(fds, wait.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(err) => Err(err.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stdio::MemoryInputPipe;
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::OwnedFd;

    const EVENTS: usize = 1024;

    /// A subscription's bytes: tag, then the union's first three fields.
    fn sub(userdata: u64, tag: u8, id: u32, timeout: u64, flags: u16) -> [u8; 48] {
        let mut bytes = [0; 48];
        bytes.set_u64(subscription::USERDATA, userdata);
        bytes.set_u8(subscription::TAG, tag);
        bytes.set_u32(subscription::CLOCK_ID, id);
        bytes.set_u64(subscription::CLOCK_TIMEOUT, timeout);
        bytes.set_u16(subscription::CLOCK_FLAGS, flags);
        bytes
    }

    /// Polls; gives user data, error, bytes and flags of each event.
    fn poll_all(ctx: &mut WasiCtx, subs: &[[u8; 48]]) -> Result<Vec<(u64, u16, u64, u16)>, Errno> {
        let mut bytes = vec![0; 2048];
        bytes[..subs.len() * 48].copy_from_slice(subs.as_flattened());
        let mut mem = GuestMemory::new(&mut bytes);
        ctx.poll_oneoff(&mut mem, 0, EVENTS as u32, subs.len() as u32, 2000)?;
        let n = get_u32(&bytes, 2000) as usize;
        Ok(bytes[EVENTS..]
            .chunks_exact(32)
            .take(n)
            .map(|e| {
                (get_u64(e, 0), get_u16(e, event::ERROR), get_u64(e, 16), get_u16(e, event::FLAGS))
            })
            .collect())
    }

    #[test]
    fn clocks() {
        let mut ctx = WasiCtx::builder().build();
        let start = Instant::now();
        let ms = 1_000_000;
        let events = poll_all(
            &mut ctx,
            &[sub(1, 0, MONOTONIC, 20 * ms, 0), sub(2, 0, REALTIME, u64::MAX, 0)],
        );
        assert_eq!(events, Ok(vec![(1, 0, 0, 0)]));
        assert!(start.elapsed() >= Duration::from_millis(20));
        // Points that have passed, on both clocks.
        let events = poll_all(&mut ctx, &[sub(3, 0, MONOTONIC, 1, 1), sub(4, 0, REALTIME, 1, 1)]);
        assert_eq!(events, Ok(vec![(3, 0, 0, 0), (4, 0, 0, 0)]));
        let soon = ctx.monotonic_now() + 10 * ms;
        assert_eq!(poll_all(&mut ctx, &[sub(5, 0, MONOTONIC, soon, 1)]), Ok(vec![(5, 0, 0, 0)]));
        assert!(ctx.monotonic_now() >= soon);
        let errors = poll_all(
            &mut ctx,
            &[
                sub(6, 0, PROCESS_CPUTIME, 0, 0),
                sub(7, 0, 9, 0, 0),
                sub(8, 0, MONOTONIC, u64::MAX, 0),
                sub(9, 0, MONOTONIC, 0, 2),
            ],
        );
        let (notsup, inval) = (Errno::NOTSUP.raw(), Errno::INVAL.raw());
        assert_eq!(errors, Ok(vec![(6, notsup, 0, 0), (7, inval, 0, 0), (9, inval, 0, 0)]));
    }

    #[test]
    fn descriptors() {
        let (read, mut write) = std::io::pipe().unwrap();
        let mut ctx = WasiCtx::builder().stdin(File::from(OwnedFd::from(read))).build();
        let long = sub(0, 0, MONOTONIC, 3_600_000_000_000, 0);
        let short = sub(0, 0, MONOTONIC, 5_000_000, 0);
        let stdin = sub(1, eventtype::FD_READ, 0, 0, 0);
        assert_eq!(poll_all(&mut ctx, &[stdin, short]), Ok(vec![(0, 0, 0, 0)]));
        write.write_all(b"x").unwrap();
        assert_eq!(poll_all(&mut ctx, &[stdin, long]), Ok(vec![(1, 0, 1, 0)]));
        drop(write);
        assert_eq!(poll_all(&mut ctx, &[long, stdin]), Ok(vec![(1, 0, 1, HANGUP)]));
        let badf = Errno::BADF.raw();
        let subs = [sub(2, eventtype::FD_WRITE, 0, 0, 0), sub(3, eventtype::FD_READ, 77, 0, 0)];
        assert_eq!(poll_all(&mut ctx, &subs), Ok(vec![(2, badf, 0, 0), (3, badf, 0, 0)]));
        let mut ctx = WasiCtx::builder().stdin(MemoryInputPipe::new("")).build();
        let stdout = sub(4, eventtype::FD_WRITE, 1, 0, 0);
        assert_eq!(poll_all(&mut ctx, &[stdin, stdout]), Ok(vec![(1, 0, 1, 0), (4, 0, 1, 0)]));
    }

    #[test]
    fn bad_arguments() {
        let mut ctx = WasiCtx::builder().build();
        assert_eq!(poll_all(&mut ctx, &[]), Err(Errno::INVAL));
        assert_eq!(poll_all(&mut ctx, &[sub(0, 3, 0, 0, 0)]), Err(Errno::INVAL));
        let mut bytes = [0; 256];
        let mut mem = GuestMemory::new(&mut bytes);
        assert_eq!(ctx.poll_oneoff(&mut mem, 0, 240, 1, 96), Err(Errno::FAULT));
        assert_eq!(ctx.poll_oneoff(&mut mem, 0, 64, 1, 256), Err(Errno::FAULT));
        assert_eq!(ctx.poll_oneoff(&mut mem, 216, 64, 1, 96), Err(Errno::FAULT));
        assert_eq!(ctx.poll_oneoff(&mut mem, 4, 64, 1, 96), Err(Errno::INVAL));
        assert_eq!(ctx.poll_oneoff(&mut mem, 0, 64, u32::MAX, 96), Err(Errno::INVAL));
    }
}
