//! Walking the stack: from a trap or an exit to the entry of wasm, and on through the activations
//! around it.
//!
//! All frames of wasm and of the trampolines keep a frame pointer, and a frame is set up before
//! its function checks the stack limit or does anything else that can trap. So the chain is whole
//! at every place that a walk can start from: `[fp]` is the caller's frame pointer, `[fp + 8]` the
//! return address, on x86-64 and on 64-bit Arm alike. A tail call replaces the frame of its
//! caller, which is then not in the chain at all.

use super::instance::VmInstance;
use super::traps::Landing;
use super::{arch, registry};
use crate::artifact::NONE;
use crate::artifact::records::Le32;
use crate::runtime::code::CodeMapping;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Frames that a backtrace keeps, the innermost ones.
pub(crate) const MAX_FRAMES: usize = 64;

/// The frames of one activation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    /// Where the innermost frame may be at the lowest.
    pub(crate) low: usize,
    /// The innermost frame.
    pub(crate) fp: usize,
    /// The frame of the entry trampoline.
    pub(crate) entry_fp: usize,
}

/// A call that wasm made and that has not returned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) return_address: usize,
    /// The caller's frame pointer.
    pub(crate) fp: usize,
    /// Below this, nothing is the caller's: the end of the callee's frame.
    pub(crate) low: usize,
}

/// The vmctxs of a store, by their addresses: which words can be read where a table says that there
/// is one.
#[derive(Default)]
pub(super) struct Instances(BTreeMap<usize, Context>);

/// A vmctx, and its size.
#[derive(Clone, Copy)]
struct Context(*const u8, usize);

impl Instances {
    /// Adds one that stays for as long as this.
    pub(super) fn add(&mut self, instance: &VmInstance) {
        let vmctx = instance.as_ptr().cast_const().cast::<u8>();
        self.0.insert(vmctx.addr(), Context(vmctx, instance.size()));
    }

    fn at(&self, address: usize) -> Option<Context> {
        self.0.get(&address).copied()
    }
}

impl Context {
    /// The word at `offset`; `None` where it has none.
    fn word(self, offset: usize) -> Option<u64> {
        let inside = offset.is_multiple_of(align_of::<u64>())
            && offset.checked_add(size_of::<u64>())? <= self.1;
        let word = self.0.wrapping_add(offset).cast::<u64>();
        // SAFETY: inside of a vmctx, which stays as long as its store, and aligned to 16 as that is.
        // Code waits for whoever throws.
        inside.then(|| unsafe { word.read() })
    }
}

impl Segment {
    /// The calls from the innermost frame on, up to the last that wasm made.
    ///
    /// # Safety
    /// The bytes from `low` to `entry_fp` are those of a stack that is there, and stays as it is
    /// while the iterator is used.
    pub(crate) unsafe fn calls(self) -> impl Iterator<Item = Call> {
        let Segment { low, mut fp, entry_fp } = self;
        let frames: Range<usize> = low..entry_fp;
        std::iter::from_fn(move || {
            // Both words lie below `entry_fp`: it is aligned as `fp` is, and larger.
            if !frames.contains(&fp) || !fp.is_multiple_of(16) || !entry_fp.is_multiple_of(16) {
                return None;
            }
            let frame = std::ptr::with_exposed_provenance::<[usize; 2]>(fp);
            // SAFETY: inside of the range that the caller vouches for, and aligned.
            let [caller, return_address] = unsafe { frame.read() };
            // The frame that the entry trampoline made returns to the trampoline, not to wasm.
            let ascends = fp < caller && caller < entry_fp;
            let low = fp + 2 * size_of::<usize>();
            fp = caller;
            let return_address = arch::strip_return_address(return_address);
            ascends.then_some(Call { return_address, fp, low })
        })
    }

    /// Where an exception goes on whose tag has that number, thrown from the innermost frame; and
    /// the place of the clause that catches it among those which that code has.
    ///
    /// Where a table is wrong about what the frame has there, or about what an instance has, there
    /// is no handler. `instances` are those of the store that the frames are of.
    ///
    /// # Safety
    /// As for [`calls`](Segment::calls); all frames are of code whose artifacts are registered, and
    /// these are right about where the frames are and where they go on.
    pub(super) unsafe fn find_handler(
        self,
        tag: u64,
        instances: &Instances,
    ) -> Option<(Landing, usize)> {
        registry::reading(|codes| {
            // SAFETY: as the caller says.
            let mut calls = unsafe { self.calls() };
            calls.find_map(|Call { return_address, fp, low }| {
                let code = codes.at(return_address)?;
                let (record, tags) = code.handlers(return_address)?;
                let sp = fp.checked_sub(record.frame_size.get() as usize)?;
                let context = sp.checked_add(record.context.get() as usize)?;
                let inside = low <= sp && context.checked_add(size_of::<usize>())? <= fp;
                if !inside || !context.is_multiple_of(align_of::<usize>()) {
                    return None;
                }
                let context = std::ptr::with_exposed_provenance::<usize>(context);
                // SAFETY: inside of a frame that the caller vouches for, and aligned. Code has put
                // its vmctx there, as the table says.
                let vmctx = instances.at(unsafe { context.read() })?;
                let catches = |place: &Le32| {
                    place.get() == NONE || vmctx.word(place.get() as usize) == Some(tag)
                };
                let clause = tags.iter().position(catches)?;
                Some((Landing { fp, sp, pc: code.text_address(record.landing.get())? }, clause))
            })
        })
    }
}

/// Where code was, innermost first, as bare addresses: what can be recorded without memory.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    pcs: [usize; MAX_FRAMES],
    /// How many of `pcs` are set.
    len: usize,
    /// How many frames there were.
    total: usize,
    /// Whether the first pc is that of a trap; all others are return addresses.
    trapped: bool,
}

impl Trace {
    pub(crate) const fn new() -> Self {
        Trace { pcs: [0; MAX_FRAMES], len: 0, total: 0, trapped: false }
    }

    /// Forgets all, to start with the pc of a trap, if there is one.
    pub(crate) fn restart(&mut self, trap: Option<usize>) {
        (self.len, self.total, self.trapped) = (0, 0, trap.is_some());
        trap.into_iter().for_each(|pc| self.push(pc));
    }

    /// Adds the next outer frame.
    pub(crate) fn push(&mut self, pc: usize) {
        if let Some(slot) = self.pcs.get_mut(self.len) {
            *slot = pc;
            self.len += 1;
        }
        self.total += 1;
    }
}

/// The wasm functions that were active when something happened, innermost first.
///
/// Addresses are turned into functions only when asked for; the code is kept until then.
#[derive(Clone, Debug)]
pub(crate) struct Backtrace {
    pcs: Box<[usize]>,
    trapped: bool,
    omitted: usize,
    codes: Vec<Arc<CodeMapping>>,
}

/// A frame of a [`Backtrace`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    /// The artifact of its module.
    pub(crate) code: &'a Arc<CodeMapping>,
    /// Index among the module's defined functions.
    pub(crate) function: u32,
    /// Offset in the module's bytes of the instruction that trapped or called, if on record.
    pub(crate) wasm_offset: Option<u32>,
}

impl Backtrace {
    /// To be called while everything that was active still is.
    pub(crate) fn new(trace: &Trace) -> Self {
        let pcs: Box<[usize]> = trace.pcs[..trace.len].into();
        let mut codes: Vec<Arc<CodeMapping>> = Vec::new();
        for &pc in &pcs {
            if !codes.iter().any(|code| code.range().contains(&pc)) {
                codes.extend(registry::find(pc));
            }
        }
        let omitted = trace.total - trace.len;
        Backtrace { pcs, trapped: trace.trapped, omitted, codes }
    }

    /// The innermost frames.
    pub(crate) fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        self.pcs.iter().enumerate().filter_map(|(i, &pc)| {
            let code = self.codes.iter().find(|code| code.range().contains(&pc))?;
            let offset = pc.checked_sub(code.text().start)?;
            let position = if i == 0 && self.trapped {
                code.tables().trap(offset)?.0
            } else {
                code.tables().call(offset)?
            };
            let wasm_offset = position.site.map(|site| site.wasm_offset);
            Some(Frame { code, function: position.function, wasm_offset })
        })
    }

    /// How many frames there were besides, further out.
    pub(crate) fn omitted(&self) -> usize {
        self.omitted
    }
}
