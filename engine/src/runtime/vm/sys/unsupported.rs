//! Systems that the engine does not run code on yet. [`check_supported`] says so first; all else
//! is here so that the runtime type-checks, and fails.

use crate::{Error, ErrorKind, Result};
use std::fs::File;
use std::io;
use std::ops::Range;

/// Whether this system can run code at all.
pub(crate) fn check_supported() -> Result<()> {
    Err(Error::with_kind(
        ErrorKind::Unsupported,
        "running wasm is supported on Linux on x86-64 and aarch64 only; compiling works here",
    ))
}

fn unsupported<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn page_size() -> usize {
    64 << 10
}

pub(crate) fn read_at(_file: &File, _bytes: &mut [u8], _offset: u64) -> io::Result<()> {
    unsupported()
}

pub(crate) fn scratch_file() -> io::Result<File> {
    unsupported()
}

pub(crate) fn memory_file(_content: &[u8]) -> io::Result<File> {
    unsupported()
}

pub(crate) fn serialize_cores() {}

pub(crate) fn stack_end(_sp: usize) -> Option<usize> {
    None
}

pub(crate) fn prepare_thread() {}

pub(crate) fn install_handlers() -> io::Result<()> {
    unsupported()
}

#[expect(clippy::disallowed_macros, reason = "the last words of a process that must not go on")]
pub(crate) fn die(message: &[&[u8]]) -> ! {
    for part in message {
        eprint!("{}", String::from_utf8_lossy(part));
    }
    std::process::abort()
}

/// Nothing is known of files here.
pub(crate) struct MapsLine;

impl MapsLine {
    pub(crate) fn new() -> Self {
        MapsLine
    }

    pub(crate) fn of_file_at(&mut self, _address: usize) -> Option<&[u8]> {
        None
    }
}

/// What may be done with pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    Read,
    ReadWrite,
    ReadExecute,
}

/// A range of address space; there is none here.
#[derive(Debug)]
pub(crate) struct Mapping(std::convert::Infallible);

impl Mapping {
    pub(crate) fn reserve(_len: usize) -> io::Result<Mapping> {
        unsupported()
    }

    pub(crate) fn zeroed(_len: usize) -> io::Result<Mapping> {
        unsupported()
    }

    pub(crate) fn file(_file: &File, _len: usize) -> io::Result<Mapping> {
        unsupported()
    }

    pub(crate) fn base(&self) -> *mut u8 {
        match self.0 {}
    }

    pub(crate) fn range(&self) -> Range<usize> {
        match self.0 {}
    }

    /// See the other systems.
    ///
    /// # Safety
    /// None: it cannot be called.
    pub(crate) unsafe fn protect(&self, _range: Range<usize>, _access: Access) -> io::Result<()> {
        match self.0 {}
    }

    /// See the other systems.
    ///
    /// # Safety
    /// None: it cannot be called.
    pub(crate) unsafe fn map_over(
        &self,
        _range: Range<usize>,
        _file: &File,
        _offset: u64,
        _access: Access,
    ) -> io::Result<()> {
        match self.0 {}
    }
}
