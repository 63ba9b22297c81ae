//! Loads, stores, and the size of memories.
//!
//! Under [`Bounds::Guard`] a 32-bit memory lies in a reservation that no index with any offset
//! can leave, so an access is an addition and the access itself. Else there is a comparison, the
//! cheapest of a ladder that is right, and the address is made null where it fails, by a
//! conditional move: a processor that guesses the comparison's outcome still has no address to
//! read from, and the trap is the access's own.

use super::{Translator, call, metering};
use crate::Trap;
use crate::abi::builtins::Builtin;
use crate::abi::memory_plan::{Bounds, EXPLICIT_GUARD};
use crate::abi::vmctx::{memory, place_import, shared_memory};
use crate::compile::function::trap_code;
use crate::wasm::types::MemoryDecl;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};
use wasmparser::{MemArg, MemArgTarget, Operator as Op};

macro_rules! load {
    ($t:ident, $memarg:ident, $ty:ident, $size:literal) => {{
        let index = $t.pop();
        let (flags, address, offset) = access($t, $memarg, $size, index);
        let value = $t.builder.ins().load(types::$ty, flags, address, offset);
        $t.push(value);
    }};
    ($t:ident, $memarg:ident, $inst:ident $ty:ident, $size:literal) => {{
        let index = $t.pop();
        let (flags, address, offset) = access($t, $memarg, $size, index);
        let value = $t.builder.ins().$inst(types::$ty, flags, address, offset);
        $t.push(value);
    }};
}

/// The loads that extend from 32 bits have no type to choose.
macro_rules! load32 {
    ($t:ident, $memarg:ident, $inst:ident) => {{
        let index = $t.pop();
        let (flags, address, offset) = access($t, $memarg, 4, index);
        let value = $t.builder.ins().$inst(flags, address, offset);
        $t.push(value);
    }};
}

macro_rules! store {
    ($t:ident, $memarg:ident, $inst:ident, $size:literal) => {{
        let (index, value) = $t.pop2();
        let (flags, address, offset) = access($t, $memarg, $size, index);
        $t.builder.ins().$inst(flags, value, address, offset);
    }};
}

/// Translates `op` if it is one of the operators of this file; says whether it was.
pub(super) fn translate(t: &mut Translator<'_, '_>, op: &Op<'_>) -> bool {
    match op {
        Op::I32Load { memarg } => load!(t, memarg, I32, 4),
        Op::I64Load { memarg } => load!(t, memarg, I64, 8),
        Op::F32Load { memarg } => load!(t, memarg, F32, 4),
        Op::F64Load { memarg } => load!(t, memarg, F64, 8),
        Op::I32Load8S { memarg } => load!(t, memarg, sload8 I32, 1),
        Op::I32Load8U { memarg } => load!(t, memarg, uload8 I32, 1),
        Op::I32Load16S { memarg } => load!(t, memarg, sload16 I32, 2),
        Op::I32Load16U { memarg } => load!(t, memarg, uload16 I32, 2),
        Op::I64Load8S { memarg } => load!(t, memarg, sload8 I64, 1),
        Op::I64Load8U { memarg } => load!(t, memarg, uload8 I64, 1),
        Op::I64Load16S { memarg } => load!(t, memarg, sload16 I64, 2),
        Op::I64Load16U { memarg } => load!(t, memarg, uload16 I64, 2),
        Op::I64Load32S { memarg } => load32!(t, memarg, sload32),
        Op::I64Load32U { memarg } => load32!(t, memarg, uload32),
        Op::I32Store { memarg } | Op::F32Store { memarg } => store!(t, memarg, store, 4),
        Op::I64Store { memarg } | Op::F64Store { memarg } => store!(t, memarg, store, 8),
        Op::I32Store8 { memarg } | Op::I64Store8 { memarg } => store!(t, memarg, istore8, 1),
        Op::I32Store16 { memarg } | Op::I64Store16 { memarg } => store!(t, memarg, istore16, 2),
        Op::I64Store32 { memarg } => store!(t, memarg, istore32, 4),
        Op::MemorySize { mem } => {
            let decl = t.env.info.memories[*mem as usize];
            let bytes = Memory::new(t, *mem).size(t);
            let pages = t.builder.ins().ushr_imm_u(bytes, i64::from(decl.page_size_log2));
            let pages = t.reduce(pages, decl.memory64);
            t.push(pages);
        }
        Op::MemoryGrow { mem } => {
            metering::check(t);
            let decl = t.env.info.memories[*mem as usize];
            let delta = t.pop();
            let delta = t.extend(delta);
            let index = t.builder.ins().iconst(types::I32, i64::from(*mem));
            let before = call::walking_builtin(t, Builtin::memory_grow, &[index, delta]);
            let before = before.expect("memory_grow has a result");
            // Cuts the -1 of 64 bits down to that of 32.
            let before = t.reduce(before, decl.memory64);
            t.push(before);
        }
        _ => return false,
    }
    true
}

/// A memory as code reaches it.
#[derive(Clone, Copy)]
pub(super) struct Memory {
    pub(super) decl: MemoryDecl,
    defined: bool,
    /// Pointer to its definition, and the offset from there.
    definition: Value,
    offset: i32,
}

impl Memory {
    pub(super) fn new(t: &mut Translator<'_, '_>, index: u32) -> Self {
        let info = t.env.info;
        let decl = info.memories[index as usize];
        match index.checked_sub(info.num_imported_memories) {
            Some(defined) if decl.shared => {
                let slot = t.env.layout.defined_memory(defined) + shared_memory::DEFINITION;
                let definition = t.load_constant(types::I64, slot);
                Memory { decl, defined: true, definition, offset: 0 }
            }
            Some(defined) => {
                let offset = t.env.layout.defined_memory(defined) as i32;
                Memory { decl, defined: true, definition: t.vmctx, offset }
            }
            None => {
                let import = t.env.layout.imported_memory(index) + place_import::DEFINITION;
                let definition = t.load_constant(types::I64, import);
                Memory { decl, defined: false, definition, offset: 0 }
            }
        }
    }

    /// Whether guard pages stop whatever leaves it.
    pub(super) fn guarded(&self, t: &Translator<'_, '_>) -> bool {
        let setting = t.env.settings.bounds;
        setting.of_memory(self.decl.memory64, self.decl.page_size_log2) == Bounds::Guard
    }

    /// The address of its first byte.
    pub(super) fn base(&self, t: &mut Translator<'_, '_>) -> Value {
        // These never move.
        let stays = self.guarded(t) || self.decl.shared;
        let flags = if stays { t.flags.constant } else { t.flags.vmctx };
        let offset = self.offset + memory::BASE as i32;
        t.builder.ins().load(types::I64, flags, self.definition, offset)
    }

    /// Its length in bytes, as `memory.size` sees it: in one order with what other threads do.
    fn size(&self, t: &mut Translator<'_, '_>) -> Value {
        if !self.decl.shared {
            return self.len(t);
        }
        let offset = i64::from(self.offset) + i64::from(memory::LEN);
        let address = t.builder.ins().iadd_imm_s(self.definition, offset);
        t.builder.ins().atomic_load(types::I64, t.flags.vmctx, address)
    }

    /// Its length in bytes. Where other threads share the memory, that it had at some time: it may
    /// be larger by now, never smaller, and what was atomic before this is seen.
    pub(super) fn len(&self, t: &mut Translator<'_, '_>) -> Value {
        if self.defined
            && self.decl.max == Some(self.decl.min)
            && let Some(bytes) = self.decl.min_bytes()
        {
            return t.builder.ins().iconst(types::I64, bytes.cast_signed());
        }
        let offset = self.offset + memory::LEN as i32;
        t.builder.ins().load(types::I64, t.flags.vmctx, self.definition, offset)
    }

    /// At least as many bytes as it ever has: what reaches beyond is out of bounds for sure.
    fn max_bytes(&self) -> u64 {
        self.decl.max_pages().saturating_mul(1 << self.decl.page_size_log2)
    }
}

/// Which memory `memarg` means.
pub(super) fn memory_index(memarg: &MemArg) -> u32 {
    match memarg.target {
        MemArgTarget::Memory(memory) => memory,
        MemArgTarget::Array(_) => unreachable!("validated: there are no arrays"),
    }
}

/// Where an access of `size` bytes at `index` with the immediate `memarg` goes: flags, address and
/// offset of the load or store. What is out of bounds traps there.
pub(crate) fn access(
    t: &mut Translator<'_, '_>,
    memarg: &MemArg,
    size: u32,
    index: Value,
) -> (MemFlagsData, Value, i32) {
    let memory = Memory::new(t, memory_index(memarg));
    let flags = t.flags.memory;
    if memory.guarded(t) {
        let base = memory.base(t);
        let index = t.extend(index);
        let address = t.builder.ins().iadd(base, index);
        return match i32::try_from(memarg.offset) {
            Ok(offset) => (flags, address, offset),
            Err(_) => (flags, add(t, address, memarg.offset), 0),
        };
    }
    let address = checked(t, &memory, index, memarg.offset, size);
    (flags, address, 0)
}

/// The address of `index + offset`, or null if that with `size` is out of bounds.
fn checked(
    t: &mut Translator<'_, '_>,
    memory: &Memory,
    index: Value,
    offset: u64,
    size: u32,
) -> Value {
    // How far an access reaches beyond its index.
    let reach = match offset.checked_add(u64::from(size)) {
        Some(reach) if reach <= memory.max_bytes() => reach,
        _ => {
            t.trap_here(Trap::MemoryOutOfBounds);
            return t.builder.ins().iconst(types::I64, 0);
        }
    };
    let min = memory.decl.min_bytes().unwrap_or(u64::MAX);
    let constant = t.constant(index);
    let index = t.extend(index);
    let base = memory.base(t);
    // Memories never shrink.
    if let Some(end) = constant.and_then(|index| index.checked_add(reach))
        && end <= min
    {
        let address = t.builder.ins().iadd(base, index);
        return add(t, address, offset);
    }
    // The length is a multiple of the page size, so the guard behind it starts right there unless
    // pages are smaller than the processor's.
    let guard = if memory.decl.page_size_log2 >= 16 { EXPLICIT_GUARD } else { 0 };
    let len = memory.len(t);
    let outside = if reach <= guard {
        // Up to the length itself, the guard takes the rest. The same comparison for all small
        // offsets from one index.
        t.builder.ins().icmp(IntCC::UnsignedGreaterThan, index, len)
    } else if reach <= min {
        let last = t.builder.ins().iadd_imm_s(len, reach.cast_signed().wrapping_neg());
        t.builder.ins().icmp(IntCC::UnsignedGreaterThan, index, last)
    } else {
        let end = if memory.decl.memory64 {
            let reach = t.builder.ins().iconst(types::I64, reach.cast_signed());
            t.builder.ins().uadd_overflow_trap(index, reach, trap_code(Trap::MemoryOutOfBounds))
        } else {
            // Both are below 2^33.
            add(t, index, reach)
        };
        t.builder.ins().icmp(IntCC::UnsignedGreaterThan, end, len)
    };
    // The whole address before the choice, so that nothing is added to null.
    let address = t.builder.ins().iadd(base, index);
    let address = add(t, address, offset);
    let null = t.builder.ins().iconst(types::I64, 0);
    t.builder.ins().select_spectre_guard(outside, null, address)
}

/// The address of the `len` bytes at `start`, both `i64`; traps if they are not all inside.
pub(super) fn checked_range(
    t: &mut Translator<'_, '_>,
    memory: &Memory,
    start: Value,
    len: Value,
) -> Value {
    let out_of_bounds = trap_code(Trap::MemoryOutOfBounds);
    let end = if memory.decl.memory64 {
        t.builder.ins().uadd_overflow_trap(start, len, out_of_bounds)
    } else {
        t.builder.ins().iadd(start, len)
    };
    let size = memory.len(t);
    let outside = t.builder.ins().icmp(IntCC::UnsignedGreaterThan, end, size);
    t.builder.ins().trapnz(outside, out_of_bounds);
    let base = memory.base(t);
    let address = t.builder.ins().iadd(base, start);
    if memory.guarded(t) {
        return address;
    }
    let null = t.builder.ins().iconst(types::I64, 0);
    t.builder.ins().select_spectre_guard(outside, null, address)
}

pub(super) fn add(t: &mut Translator<'_, '_>, x: Value, y: u64) -> Value {
    if y == 0 { x } else { t.builder.ins().iadd_imm_s(x, y.cast_signed()) }
}
