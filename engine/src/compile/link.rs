//! Where code comes to lie in the text, and calls pointed to their targets.
//!
//! The text is never in memory as a whole: [`Plan::new`] places all pieces by their lengths, then
//! [`Plan::write`] patches one piece at a time, writes it and drops it.
//!
//! An x86-64 call reaches ±2 GiB. An aarch64 call reaches ±128 MiB; where that is not enough, the
//! piece with the call gets a *veneer* behind it, a jump to the target that may lie anywhere.

use super::function::{CallTarget, CompiledCode, RelocKind};
use super::isa::FUNCTION_ALIGN;
use crate::abi::builtins::Builtin;
use crate::abi::target::Arch;
use crate::error::{Error, ErrorKind, Result};
use crate::wasm::index::SigIndex;
use crate::wasm::module::ModuleInfo;
use std::collections::BTreeMap;

/// The code of a function or trampoline, reduced to what linking needs.
pub(crate) struct Piece {
    code: Box<[u8]>,
    align: u32,
    calls: Box<[Call]>,
}

/// A call from a piece.
#[derive(Clone, Copy)]
struct Call {
    /// The first byte to change, from the start of the piece.
    at: u32,
    /// Which piece is called.
    target: u32,
}

impl Piece {
    /// `code` without its sites, calls by the number of the piece called. `piece_of` gives the
    /// number; `None` for what has no code here.
    ///
    /// # Errors
    /// `Bug`, if a call is not of the form that the instruction set has.
    pub(crate) fn new(
        code: CompiledCode,
        arch: Arch,
        piece_of: impl Fn(CallTarget) -> Option<u32>,
    ) -> Result<Piece> {
        let call = |reloc: &super::function::Reloc| {
            // Cranelift counts from the field, the processor from behind it.
            let (kind, addend, end) = match arch {
                Arch::X86_64 => (RelocKind::X86CallRel32, -4, 4),
                Arch::Aarch64 => (RelocKind::Aarch64Call26, 0, 4),
            };
            let inside = reloc.at as usize + end <= code.code.len();
            let target = piece_of(reloc.target);
            match target {
                Some(target) if inside && reloc.kind == kind && reloc.addend == addend => {
                    Ok(Call { at: reloc.at, target })
                }
                _ => Err(bug(format_args!("unexpected relocation {reloc:?}"))),
            }
        };
        let calls = code.relocs.iter().map(call).collect::<Result<_>>()?;
        Ok(Piece { code: code.code, align: code.align.max(FUNCTION_ALIGN), calls })
    }
}

/// The order of pieces: defined functions, a trampoline for each walking builtin, then the entry
/// and host trampolines that the module needs, which is known when its functions are compiled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    functions: u32,
    imported: u32,
}

/// A piece by what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// The defined function of that number.
    Function(u32),
    /// The entry trampoline of that signature.
    Entry(u32),
    /// The host trampoline of that signature.
    Host(u32),
    Builtin(Builtin),
}

impl Order {
    pub(crate) fn new(info: &ModuleInfo) -> Self {
        // The validator caps functions at a million.
        Order { functions: info.bodies.len() as u32, imported: info.num_imported_functions }
    }

    /// Number of pieces that can be called by name: functions and trampolines of builtins.
    pub(crate) fn len(self) -> usize {
        self.functions as usize + walking().count()
    }

    /// What piece `index` is; `None` past the end of those that can be called by name.
    pub(crate) fn part(self, index: usize) -> Option<Part> {
        let index = u32::try_from(index).ok()?;
        match index.checked_sub(self.functions) {
            None => Some(Part::Function(index)),
            Some(builtin) => walking().nth(builtin as usize).map(Part::Builtin),
        }
    }

    /// The number of the piece that a call goes to.
    pub(crate) fn piece_of(self, target: CallTarget) -> Option<u32> {
        match target {
            CallTarget::Func(func) => {
                let defined = func.as_u32().checked_sub(self.imported)?;
                (defined < self.functions).then_some(defined)
            }
            CallTarget::Builtin(builtin) => {
                let at = walking().position(|b| b == builtin)?;
                Some(self.functions + at as u32)
            }
        }
    }
}

/// The entry and host trampolines that a module needs, in the order of their signatures.
///
/// Functions that somebody else can get hold of are entered from outside. A function of the host
/// is called as an import, or by a reference: so for the types of imports, and for those that
/// `called` has, which are called by reference. A module may declare a million types besides.
pub(crate) fn trampolines(
    info: &ModuleInfo,
    called: impl IntoIterator<Item = SigIndex>,
) -> Vec<Part> {
    let mut needed = vec![(false, false); info.signatures.len()];
    for (func, sig) in info.functions.iter().enumerate() {
        if func < info.num_imported_functions as usize {
            needed[sig.index()].1 = true;
        } else if info.func_refs[func].is_some() {
            needed[sig.index()].0 = true;
        }
    }
    for sig in called {
        needed[sig.index()].1 = true;
    }
    let parts = needed.into_iter().enumerate().flat_map(|(sig, (entry, host))| {
        let sig = sig as u32;
        [entry.then_some(Part::Entry(sig)), host.then_some(Part::Host(sig))]
    });
    parts.flatten().collect()
}

fn walking() -> impl Iterator<Item = Builtin> {
    Builtin::ALL.iter().copied().filter(|builtin| builtin.walks())
}

/// Bytes of a veneer: `adrp x16, target; add x16, x16, #low; br x16`. x16 is the register that
/// the platform leaves to linkers for this.
const VENEER: u32 = 12;

/// Where everything is.
pub(crate) struct Plan {
    arch: Arch,
    /// Where each piece starts in the text.
    starts: Vec<u32>,
    /// Where each piece and its veneers end.
    ends: Vec<u32>,
    /// The places of veneers, by calling piece and target.
    veneers: BTreeMap<(u32, u32), u32>,
    /// Furthest distance of a direct call, exclusive.
    reach: i64,
}

impl Plan {
    /// Places `pieces`.
    ///
    /// # Errors
    /// If the text exceeds 2 GiB (x86-64), or 4 GiB (aarch64).
    pub(crate) fn new(pieces: &[Piece], arch: Arch) -> Result<Plan> {
        let reach = match arch {
            Arch::X86_64 => 1 << 31,
            Arch::Aarch64 => 128 << 20,
        };
        Plan::with_reach(pieces, arch, reach)
    }

    /// As `new`, with another `reach` of direct calls, so that a test can have veneers without
    /// 128 MiB of code.
    fn with_reach(pieces: &[Piece], arch: Arch, reach: i64) -> Result<Plan> {
        let mut plan = Plan {
            arch,
            starts: vec![0; pieces.len()],
            ends: vec![0; pieces.len()],
            veneers: BTreeMap::new(),
            reach,
        };
        // Veneers move what is behind them, so that further calls may come to need one. Their
        // number only grows, and it is bounded by that of calls.
        loop {
            plan.place(pieces)?;
            let before = plan.veneers.len();
            for (index, piece) in pieces.iter().enumerate() {
                for call in &piece.calls {
                    if !plan.reaches(index, call) {
                        plan.veneers.entry((index as u32, call.target)).or_default();
                    }
                }
            }
            if plan.veneers.len() == before {
                return Ok(plan);
            }
            if arch == Arch::X86_64 {
                return Err(too_large());
            }
        }
    }

    /// Computes all places for the present veneers.
    fn place(&mut self, pieces: &[Piece]) -> Result<()> {
        let mut at: u32 = 0;
        let mut veneers = self.veneers.iter_mut().peekable();
        for (index, piece) in pieces.iter().enumerate() {
            let start = at.checked_next_multiple_of(piece.align).ok_or_else(too_large)?;
            let len = u32::try_from(piece.code.len()).map_err(|_| too_large())?;
            at = start.checked_add(len).ok_or_else(too_large)?;
            while let Some((_, place)) = veneers.next_if(|((from, _), _)| *from as usize == index) {
                // Instructions have four bytes; so has the alignment of what is behind them.
                let veneer = at.checked_next_multiple_of(4).ok_or_else(too_large)?;
                *place = veneer;
                at = veneer.checked_add(VENEER).ok_or_else(too_large)?;
            }
            self.starts[index] = start;
            self.ends[index] = at;
        }
        Ok(())
    }

    /// Whether `call` in piece `index` reaches its target directly.
    fn reaches(&self, index: usize, call: &Call) -> bool {
        let target = i64::from(self.starts[call.target as usize]);
        self.in_reach(target - self.origin(index, call))
    }

    /// The place that a call's distance is counted from.
    fn origin(&self, index: usize, call: &Call) -> i64 {
        let behind = match self.arch {
            Arch::X86_64 => 4,
            Arch::Aarch64 => 0,
        };
        i64::from(self.starts[index]) + i64::from(call.at) + behind
    }

    fn in_reach(&self, distance: i64) -> bool {
        (-self.reach..self.reach).contains(&distance)
    }

    /// Where piece `index` starts in the text.
    pub(crate) fn start(&self, index: usize) -> u32 {
        self.starts[index]
    }

    /// Where piece `index` and its veneers end.
    pub(crate) fn end(&self, index: usize) -> u32 {
        self.ends[index]
    }

    /// Length of the text.
    pub(crate) fn len(&self) -> u32 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Hands the text to `out`, piece by piece, each of which is dropped behind that.
    ///
    /// # Errors
    /// Those of `out`; `Bug` if a call cannot be pointed to its target.
    pub(crate) fn write(
        &self,
        pieces: Vec<Piece>,
        out: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut at = 0;
        for (index, mut piece) in pieces.into_iter().enumerate() {
            for call in &piece.calls {
                self.patch(index, call, &mut piece.code)?;
            }
            fill(self.arch, self.starts[index] - at, out)?;
            out(&piece.code)?;
            at = self.starts[index] + piece.code.len() as u32;
            let from = index as u32;
            for ((_, target), place) in self.veneers.range((from, 0)..=(from, u32::MAX)) {
                fill(self.arch, place - at, out)?;
                out(&veneer(*place, self.starts[*target as usize]))?;
                at = place + VENEER;
            }
        }
        Ok(())
    }

    fn patch(&self, index: usize, call: &Call, code: &mut [u8]) -> Result<()> {
        let place = match self.veneers.get(&(index as u32, call.target)) {
            Some(veneer) if !self.reaches(index, call) => *veneer,
            _ => self.starts[call.target as usize],
        };
        let distance = i64::from(place) - self.origin(index, call);
        let field = code.get_mut(call.at as usize..).and_then(|rest| rest.first_chunk_mut::<4>());
        let field = field.ok_or_else(|| bug("a call lies outside of its function"))?;
        // The plan made sure of targets; the veneer of a huge piece may be out of reach as well.
        match self.arch {
            Arch::X86_64 => {
                let distance = i32::try_from(distance).map_err(|_| too_large())?;
                *field = distance.to_le_bytes();
            }
            Arch::Aarch64 => {
                const REACH: i64 = 128 << 20;
                if !(-REACH..REACH).contains(&distance) {
                    return Err(too_large());
                }
                let instruction = u32::from_le_bytes(*field);
                if distance % 4 != 0 || instruction & 0x7c00_0000 != 0x1400_0000 {
                    return Err(bug("a relocation is not at a call"));
                }
                let imm = (distance / 4) as u32 & 0x03ff_ffff;
                *field = (instruction & 0xfc00_0000 | imm).to_le_bytes();
            }
        }
        Ok(())
    }
}

/// Hands `len` bytes to `out` that trap when executed.
pub(crate) fn fill(arch: Arch, len: u32, out: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    // `int3`; on aarch64 the word 0, `udf #0`.
    const INT3: [u8; 64] = [0xcc; 64];
    const UDF: [u8; 64] = [0; 64];
    let filler = match arch {
        Arch::X86_64 => &INT3,
        Arch::Aarch64 => &UDF,
    };
    let mut left = len as usize;
    while left > 0 {
        let now = left.min(filler.len());
        out(&filler[..now])?;
        left -= now;
    }
    Ok(())
}

/// The veneer at `place` to `target`. Distances in the text are those in memory: it is loaded as
/// a whole, at a multiple of the page size.
fn veneer(place: u32, target: u32) -> [u8; VENEER as usize] {
    let pages = (i64::from(target >> 12) - i64::from(place >> 12)) as u32;
    let adrp = 0x9000_0010 | (pages & 3) << 29 | (pages >> 2 & 0x7_ffff) << 5;
    let add = 0x9100_0210 | (target & 0xfff) << 10;
    let br: u32 = 0xd61f_0200;
    let mut bytes = [0; VENEER as usize];
    for (bytes, instruction) in bytes.chunks_exact_mut(4).zip([adrp, add, br]) {
        bytes.copy_from_slice(&instruction.to_le_bytes());
    }
    bytes
}

fn too_large() -> Error {
    Error::with_kind(ErrorKind::Limit, "the module's code is too large to be linked")
}

fn bug(message: impl std::fmt::Display) -> Error {
    Error::with_kind(ErrorKind::Bug, format!("linking: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BL: u32 = 0x9400_0000;

    /// A piece of `words` instructions, the first ones calls of `targets`.
    fn arm(words: usize, targets: &[u32]) -> Piece {
        let mut code = vec![0xd503_201fu32; words];
        code[..targets.len()].fill(BL);
        let call = |(i, target): (usize, &u32)| Call { at: i as u32 * 4, target: *target };
        Piece {
            code: code.iter().flat_map(|word| word.to_le_bytes()).collect(),
            align: 16,
            calls: targets.iter().enumerate().map(call).collect(),
        }
    }

    fn text(plan: &Plan, pieces: Vec<Piece>) -> Vec<u8> {
        let mut text = Vec::new();
        let mut out = |bytes: &[u8]| {
            text.extend_from_slice(bytes);
            Ok(())
        };
        plan.write(pieces, &mut out).unwrap();
        assert_eq!(text.len(), plan.len() as usize);
        text
    }

    /// Where a `bl` at `at`, and then a veneer if it leads to one, arrives.
    fn follow(text: &[u8], at: u32) -> u32 {
        let word = |at: u32| u32::from_le_bytes(*text[at as usize..].first_chunk::<4>().unwrap());
        let bl = word(at);
        assert_eq!(bl & 0xfc00_0000, BL);
        let to = at.wrapping_add_signed((bl << 6) as i32 >> 4);
        let adrp = word(to);
        if adrp & 0x9f00_001f != 0x9000_0010 {
            return to;
        }
        let (add, br) = (word(to + 4), word(to + 8));
        assert_eq!(add & 0xffc0_03ff, 0x9100_0210);
        assert_eq!(br, 0xd61f_0200);
        let pages = ((adrp >> 5 & 0x7_ffff) << 2 | adrp >> 29 & 3) << 11;
        let base = (to & !0xfff).wrapping_add_signed((pages as i32 >> 11) << 12);
        base + (add >> 10 & 0xfff)
    }

    #[test]
    fn veneers_lead_to_the_same_targets() {
        let pieces = || {
            vec![
                arm(3000, &[4, 1, 4, 0]),
                arm(5, &[3, 0]),
                arm(2000, &[]),
                arm(64, &[0, 1, 2, 3, 4]),
                arm(9, &[2, 0]),
            ]
        };
        for (reach, some) in [(128 << 20, false), (12_200, true), (64, true)] {
            let all = pieces();
            let plan = Plan::with_reach(&all, Arch::Aarch64, reach).unwrap();
            assert_eq!(!plan.veneers.is_empty(), some);
            let text = text(&plan, all);
            for (index, piece) in pieces().iter().enumerate() {
                assert_eq!(plan.start(index) % 16, 0);
                for call in &piece.calls {
                    let arrives = follow(&text, plan.start(index) + call.at);
                    assert_eq!(arrives, plan.start(call.target as usize), "reach {reach}");
                }
            }
        }
    }

    #[test]
    fn x86_distances_count_from_behind_the_field() {
        let call = |target| Piece {
            code: Box::new([0xe8, 0, 0, 0, 0, 0xc3]),
            align: 16,
            calls: Box::new([Call { at: 1, target }]),
        };
        let pieces = vec![call(1), call(0)];
        let plan = Plan::new(&pieces, Arch::X86_64).unwrap();
        let text = text(&plan, pieces);
        assert_eq!(text[..6], [0xe8, 11, 0, 0, 0, 0xc3]);
        assert_eq!(text[6..16], [0xcc; 10]);
        assert_eq!(text[16..], [0xe8, 0xeb, 0xff, 0xff, 0xff, 0xc3]);
        let pieces = vec![call(1), call(0)];
        let error = Plan::with_reach(&pieces, Arch::X86_64, 8).err();
        assert_eq!(error.map(|e| e.kind()), Some(ErrorKind::Limit));
    }

    #[test]
    fn order_and_its_inverse() {
        let order = Order { functions: 3, imported: 2 };
        let parts: Vec<_> = (0..order.len()).map(|i| order.part(i).unwrap()).collect();
        assert_eq!(order.part(order.len()), None);
        assert_eq!(parts[2], Part::Function(2));
        assert!(matches!(parts[3], Part::Builtin(_)));
        for (i, part) in parts.iter().enumerate() {
            if let Part::Builtin(builtin) = part {
                assert_eq!(order.piece_of(CallTarget::Builtin(*builtin)), Some(i as u32));
            }
        }
        let func = |i| CallTarget::Func(crate::wasm::index::FuncIndex::new(i));
        assert_eq!(order.piece_of(func(1)), None);
        assert_eq!(order.piece_of(func(4)), Some(2));
        assert_eq!(order.piece_of(func(5)), None);
    }
}
