//! Hardware traps: which faults are wasm's, and what becomes of the others.
//!
//! | the fault | what happens |
//! |---|---|
//! | not in code of ours, or the thread is not in wasm | the handler that was there before |
//! | in code, on record, and where such a trap faults | a trap: the thread goes on at the entry |
//! | in code, anything else | a message, and abort: going on would be a sandbox with a hole |
//! | a mapped artifact has become shorter (SIGBUS), whoever reads it | a message that names it, and abort |
//!
//! Everything here runs in a signal handler: no memory is allocated, and nothing waits but as
//! `registry.rs` explains.

use super::entry::{self, Running};
use super::{registry, sys};
use crate::{Error, ErrorKind, Result, Trap};
use std::sync::OnceLock;

/// A load from a null reference is at most this far from 0, and no system maps anything there.
const NULL_PAGE: usize = 4096;

/// Installs the signal handlers of this process; later calls only tell how that went.
///
/// # Errors
/// If the system has no such signals or refuses.
pub(crate) fn init() -> Result<()> {
    static INSTALLED: OnceLock<Result<(), std::io::ErrorKind>> = OnceLock::new();
    sys::check_supported()?;
    INSTALLED.get_or_init(|| sys::install_handlers().map_err(|error| error.kind())).map_err(
        |kind| {
            let error = Error::wrap(ErrorKind::Io, std::io::Error::from(kind));
            error.context("cannot install signal handlers")
        },
    )
}

/// What kind of signal a fault came as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// An access to memory that is not there or not allowed; the address, where the processor
    /// tells it.
    Access(Option<usize>),
    /// An access to a file behind its end; the address.
    FileEnd(usize),
    /// An instruction that always traps.
    Instruction,
    /// A division.
    Arithmetic,
}

/// A synchronous signal of this thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    pub(super) pc: usize,
    pub(super) fp: usize,
    pub(super) sp: usize,
}

/// Where a thread goes on after a trap, or after it has thrown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Landing {
    pub(crate) fp: usize,
    pub(crate) sp: usize,
    pub(crate) pc: usize,
}

/// Decides about a fault; `None` if it is not ours.
pub(super) fn on_fault(fault: &Fault) -> Option<Landing> {
    if let Kind::FileEnd(address) = fault.kind {
        on_file_end(fault.pc, address);
        return None;
    }
    let exec = entry::current();
    if exec.is_null() {
        return None;
    }
    registry::with_code_at(fault.pc, |code| {
        // SAFETY: the thread has an activation and was interrupted in code.
        let running = unsafe { Running::new(exec) };
        let Some(trap) = code.trap(fault.pc) else {
            unexpected("a fault where no instruction can trap", fault, code.name);
        };
        if !plausible(trap, fault.kind, &running) {
            unexpected("a fault outside of the memories", fault, code.name);
        }
        let Some(landing) = running.landing() else {
            unexpected("a trap without an entry", fault, code.name);
        };
        running.trap(trap, fault);
        landing
    })
}

/// Whether an instruction with this trap on record faults in this way when code is right.
fn plausible(trap: Trap, kind: Kind, running: &Running) -> bool {
    match kind {
        Kind::Access(Some(address)) if address < NULL_PAGE => true,
        Kind::Access(Some(address)) => {
            trap == Trap::MemoryOutOfBounds && running.has_memory_at(address)
        }
        // Addresses that no pointer can have: nothing that wasm computes is one.
        Kind::Access(None) | Kind::FileEnd(_) => false,
        Kind::Instruction => true,
        Kind::Arithmetic => {
            matches!(trap, Trap::IntegerDivisionByZero | Trap::IntegerOverflow)
        }
    }
}

/// Aborts if the file that became shorter is an artifact: code, tables or a memory's contents.
fn on_file_end(pc: usize, address: usize) {
    registry::with_code_at(address, |code| truncated(code.name));
    // The contents of a memory are a mapping of their own, which the host reads as well.
    let mut line = sys::MapsLine::new();
    if let Some(path) = line.of_file_at(address) {
        registry::with_code_named(path, |code| truncated(code.name));
    }
    let exec = entry::current();
    if exec.is_null() {
        return;
    }
    registry::with_code_at(pc, |code| {
        // SAFETY: the thread has an activation and was interrupted in code.
        let running = unsafe { Running::new(exec) };
        if running.has_memory_at(address) {
            truncated(code.name);
        }
        unexpected(
            "a bus error",
            &Fault { kind: Kind::FileEnd(address), pc, fp: 0, sp: 0 },
            code.name,
        );
    });
}

fn truncated(name: &str) -> ! {
    sys::die(&[
        b"precompile: `",
        name.as_bytes(),
        b"` was shortened while it was in use. Entries are replaced, never written to; \
          load a copy where that cannot be ruled out\n",
    ])
}

fn unexpected(what: &str, fault: &Fault, name: &str) -> ! {
    let address = match fault.kind {
        Kind::Access(Some(address)) | Kind::FileEnd(address) => address,
        Kind::Access(None) | Kind::Instruction | Kind::Arithmetic => 0,
    };
    sys::die(&[
        b"precompile: ",
        what.as_bytes(),
        b" in code of `",
        name.as_bytes(),
        b"`: pc ",
        &hex(fault.pc),
        b", address ",
        &hex(address),
        b". This is a defect of the engine, or the entry is damaged\n",
    ])
}

/// `0x` and sixteen digits, without taking memory.
fn hex(x: usize) -> [u8; 18] {
    let mut out = *b"0x0000000000000000";
    for (i, digit) in out[2..].iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[x >> (60 - 4 * i) & 15];
    }
    out
}
