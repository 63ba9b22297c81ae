//! What stands behind descriptors 0, 1 and 2: nothing, the host's own streams,
//! a file, or a buffer in memory.

use crate::types::Errno;
use std::fs::File;
use std::io::{self, IoSlice, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The buffers are valid whatever a panicking holder was doing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that a guest reads from its standard input, then end of file.
///
/// Clones share the bytes and the position.
#[derive(Clone, Debug)]
pub struct MemoryInputPipe(Arc<Mutex<(Vec<u8>, usize)>>);

impl MemoryInputPipe {
    /// A pipe that holds `bytes`.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Arc::new(Mutex::new((bytes.into(), 0))))
    }

    fn read(&self, into: &mut [u8]) -> usize {
        let mut guard = lock(&self.0);
        let (bytes, at) = &mut *guard;
        let n = into.len().min(bytes.len() - *at);
        into[..n].copy_from_slice(&bytes[*at..*at + n]);
        *at += n;
        n
    }
}

/// A buffer that a guest writes its standard output or error to.
///
/// Clones share the buffer. When it is full, a write is cut short and the next
/// one fails with `NOSPC`.
#[derive(Clone, Debug)]
pub struct MemoryOutputPipe {
    buffer: Arc<Mutex<Vec<u8>>>,
    capacity: usize,
}

impl MemoryOutputPipe {
    /// A buffer for at most `capacity` bytes.
    pub fn new(capacity: usize) -> Self {
        Self { buffer: Arc::default(), capacity }
    }

    /// What was written so far.
    pub fn contents(&self) -> Vec<u8> {
        lock(&self.buffer).clone()
    }

    fn write(&self, from: &[IoSlice<'_>]) -> Result<usize, Errno> {
        let mut buffer = lock(&self.buffer);
        let room = self.capacity.saturating_sub(buffer.len());
        let mut left = room;
        for slice in from {
            let n = slice.len().min(left);
            buffer.extend_from_slice(&slice[..n]);
            left -= n;
        }
        let wanted = from.iter().any(|slice| !slice.is_empty());
        if room == 0 && wanted { Err(Errno::NOSPC) } else { Ok(room - left) }
    }
}

/// A source for the guest's standard input.
///
/// Made from a [`MemoryInputPipe`] or a [`File`], or by
/// [`WasiCtxBuilder::inherit_stdin`](crate::WasiCtxBuilder::inherit_stdin).
#[derive(Debug)]
pub struct InputStream(Input);

#[derive(Debug)]
enum Input {
    Closed,
    Host,
    Pipe(MemoryInputPipe),
    File(File),
}

/// A sink for the guest's standard output or error.
///
/// Made from a [`MemoryOutputPipe`] or a [`File`], or by
/// [`WasiCtxBuilder::inherit_stdout`](crate::WasiCtxBuilder::inherit_stdout).
#[derive(Debug)]
pub struct OutputStream(Output);

#[derive(Debug)]
enum Output {
    Discard,
    HostOut,
    HostErr,
    Pipe(MemoryOutputPipe),
    File(File),
}

impl From<MemoryInputPipe> for InputStream {
    fn from(pipe: MemoryInputPipe) -> Self {
        Self(Input::Pipe(pipe))
    }
}

impl From<File> for InputStream {
    fn from(file: File) -> Self {
        Self(Input::File(file))
    }
}

impl From<MemoryOutputPipe> for OutputStream {
    fn from(pipe: MemoryOutputPipe) -> Self {
        Self(Output::Pipe(pipe))
    }
}

impl From<File> for OutputStream {
    fn from(file: File) -> Self {
        Self(Output::File(file))
    }
}

impl InputStream {
    /// Always at its end.
    pub(crate) fn closed() -> Self {
        Self(Input::Closed)
    }

    /// The host process's standard input, read without a buffer: what the
    /// embedder's own `std::io::stdin` has buffered is not seen.
    pub(crate) fn host() -> Self {
        Self(Input::Host)
    }

    /// Reads what is there, once. Blocks as the host's stream does.
    pub(crate) fn read(&self, into: &mut [u8]) -> Result<usize, Errno> {
        match &self.0 {
            Input::Closed => Ok(0),
            Input::Pipe(pipe) => Ok(pipe.read(into)),
            Input::Host => read_fd(io::stdin().as_fd(), into),
            Input::File(file) => read_fd(file.as_fd(), into),
        }
    }

    /// The host's descriptor to wait for, or none if it never blocks.
    pub(crate) fn pollable(&self) -> Option<BorrowedFd<'_>> {
        match &self.0 {
            Input::Closed | Input::Pipe(_) => None,
            Input::Host => Some(rustix::stdio::stdin()),
            Input::File(file) => Some(file.as_fd()),
        }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        match &self.0 {
            Input::Closed | Input::Pipe(_) => false,
            Input::Host => io::stdin().is_terminal(),
            Input::File(file) => file.is_terminal(),
        }
    }
}

impl OutputStream {
    /// Takes everything and keeps nothing.
    pub(crate) fn discard() -> Self {
        Self(Output::Discard)
    }

    pub(crate) fn host_stdout() -> Self {
        Self(Output::HostOut)
    }

    pub(crate) fn host_stderr() -> Self {
        Self(Output::HostErr)
    }

    /// Writes the slices, or as much of them as the stream takes.
    pub(crate) fn write(&self, from: &[IoSlice<'_>]) -> Result<usize, Errno> {
        match &self.0 {
            Output::Discard => Ok(from.iter().map(|slice| slice.len()).sum()),
            Output::Pipe(pipe) => pipe.write(from),
            Output::HostOut => {
                // What the embedder printed before comes before.
                let mut stdout = io::stdout().lock();
                stdout.flush()?;
                write_fd(stdout.as_fd(), from)
            }
            Output::HostErr => write_fd(io::stderr().lock().as_fd(), from),
            Output::File(file) => write_fd(file.as_fd(), from),
        }
    }

    /// The host's descriptor to wait for, or none if it never blocks.
    pub(crate) fn pollable(&self) -> Option<BorrowedFd<'_>> {
        match &self.0 {
            Output::Discard | Output::Pipe(_) => None,
            Output::HostOut => Some(rustix::stdio::stdout()),
            Output::HostErr => Some(rustix::stdio::stderr()),
            Output::File(file) => Some(file.as_fd()),
        }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        match &self.0 {
            Output::Discard | Output::Pipe(_) => false,
            Output::HostOut => io::stdout().is_terminal(),
            Output::HostErr => io::stderr().is_terminal(),
            Output::File(file) => file.is_terminal(),
        }
    }
}

/// `read`, again when a signal came between.
pub(crate) fn read_fd(fd: BorrowedFd<'_>, into: &mut [u8]) -> Result<usize, Errno> {
    Ok(rustix::io::retry_on_intr(|| rustix::io::read(fd, &mut *into))?)
}

/// `writev`, again when a signal came between.
pub(crate) fn write_fd(fd: BorrowedFd<'_>, from: &[IoSlice<'_>]) -> Result<usize, Errno> {
    Ok(rustix::io::retry_on_intr(|| rustix::io::writev(fd, from))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_pipe_cuts_short_then_fails() {
        let pipe = MemoryOutputPipe::new(5);
        let stream = OutputStream::from(pipe.clone());
        let slices = [IoSlice::new(b"abc"), IoSlice::new(b"defg")];
        assert_eq!(stream.write(&slices), Ok(5));
        assert_eq!(stream.write(&slices), Err(Errno::NOSPC));
        assert_eq!(stream.write(&[]), Ok(0));
        assert_eq!(pipe.contents(), b"abcde");
    }

    #[test]
    fn an_input_pipe_ends() {
        let stream = InputStream::from(MemoryInputPipe::new("abc"));
        let mut buf = [0; 2];
        assert_eq!(stream.read(&mut buf), Ok(2));
        assert_eq!(stream.read(&mut buf), Ok(1));
        assert_eq!(stream.read(&mut buf), Ok(0));
        assert_eq!(InputStream::closed().read(&mut buf), Ok(0));
    }
}
