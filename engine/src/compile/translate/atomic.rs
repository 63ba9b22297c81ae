//! Atomic accesses, and waiting for other threads.
//!
//! An address that is no multiple of its access's size traps, before anybody asks whether it is in
//! bounds. Cranelift's atomic instructions are in one order that all threads see, as wasm's are;
//! and its optimiser takes each for a fence, so that neither a length nor a value that was loaded
//! before one is used behind it.

use super::memory::{access, add, memory_index};
use super::{Translator, call, metering};
use crate::Trap;
use crate::abi::builtins::Builtin;
use crate::abi::target::Arch;
use crate::compile::function::trap_code;
use cranelift_codegen::ir::{AtomicRmwOp, InstBuilder, MemFlagsData, Type, Value, types};
use types::{I8, I16, I32, I64};
use wasmparser::{MemArg, Operator as Op};

/// Translates `op` if it is one of the operators of this file; says whether it was.
pub(super) fn translate(t: &mut Translator<'_, '_>, op: &Op<'_>) -> bool {
    use AtomicRmwOp::{Add, And, Or, Sub, Xchg, Xor};
    match op {
        Op::I32AtomicLoad { memarg } => load(t, memarg, I32, I32),
        Op::I64AtomicLoad { memarg } => load(t, memarg, I64, I64),
        Op::I32AtomicLoad8U { memarg } => load(t, memarg, I8, I32),
        Op::I32AtomicLoad16U { memarg } => load(t, memarg, I16, I32),
        Op::I64AtomicLoad8U { memarg } => load(t, memarg, I8, I64),
        Op::I64AtomicLoad16U { memarg } => load(t, memarg, I16, I64),
        Op::I64AtomicLoad32U { memarg } => load(t, memarg, I32, I64),

        Op::I64AtomicStore { memarg } => store(t, memarg, I64),
        Op::I32AtomicStore { memarg } | Op::I64AtomicStore32 { memarg } => store(t, memarg, I32),
        Op::I32AtomicStore16 { memarg } | Op::I64AtomicStore16 { memarg } => store(t, memarg, I16),
        Op::I32AtomicStore8 { memarg } | Op::I64AtomicStore8 { memarg } => store(t, memarg, I8),

        Op::I32AtomicRmwAdd { memarg } => rmw(t, memarg, I32, Add),
        Op::I64AtomicRmwAdd { memarg } => rmw(t, memarg, I64, Add),
        Op::I32AtomicRmw8AddU { memarg } => rmw(t, memarg, I8, Add),
        Op::I32AtomicRmw16AddU { memarg } => rmw(t, memarg, I16, Add),
        Op::I64AtomicRmw8AddU { memarg } => rmw(t, memarg, I8, Add),
        Op::I64AtomicRmw16AddU { memarg } => rmw(t, memarg, I16, Add),
        Op::I64AtomicRmw32AddU { memarg } => rmw(t, memarg, I32, Add),

        Op::I32AtomicRmwSub { memarg } => rmw(t, memarg, I32, Sub),
        Op::I64AtomicRmwSub { memarg } => rmw(t, memarg, I64, Sub),
        Op::I32AtomicRmw8SubU { memarg } => rmw(t, memarg, I8, Sub),
        Op::I32AtomicRmw16SubU { memarg } => rmw(t, memarg, I16, Sub),
        Op::I64AtomicRmw8SubU { memarg } => rmw(t, memarg, I8, Sub),
        Op::I64AtomicRmw16SubU { memarg } => rmw(t, memarg, I16, Sub),
        Op::I64AtomicRmw32SubU { memarg } => rmw(t, memarg, I32, Sub),

        Op::I32AtomicRmwAnd { memarg } => rmw(t, memarg, I32, And),
        Op::I64AtomicRmwAnd { memarg } => rmw(t, memarg, I64, And),
        Op::I32AtomicRmw8AndU { memarg } => rmw(t, memarg, I8, And),
        Op::I32AtomicRmw16AndU { memarg } => rmw(t, memarg, I16, And),
        Op::I64AtomicRmw8AndU { memarg } => rmw(t, memarg, I8, And),
        Op::I64AtomicRmw16AndU { memarg } => rmw(t, memarg, I16, And),
        Op::I64AtomicRmw32AndU { memarg } => rmw(t, memarg, I32, And),

        Op::I32AtomicRmwOr { memarg } => rmw(t, memarg, I32, Or),
        Op::I64AtomicRmwOr { memarg } => rmw(t, memarg, I64, Or),
        Op::I32AtomicRmw8OrU { memarg } => rmw(t, memarg, I8, Or),
        Op::I32AtomicRmw16OrU { memarg } => rmw(t, memarg, I16, Or),
        Op::I64AtomicRmw8OrU { memarg } => rmw(t, memarg, I8, Or),
        Op::I64AtomicRmw16OrU { memarg } => rmw(t, memarg, I16, Or),
        Op::I64AtomicRmw32OrU { memarg } => rmw(t, memarg, I32, Or),

        Op::I32AtomicRmwXor { memarg } => rmw(t, memarg, I32, Xor),
        Op::I64AtomicRmwXor { memarg } => rmw(t, memarg, I64, Xor),
        Op::I32AtomicRmw8XorU { memarg } => rmw(t, memarg, I8, Xor),
        Op::I32AtomicRmw16XorU { memarg } => rmw(t, memarg, I16, Xor),
        Op::I64AtomicRmw8XorU { memarg } => rmw(t, memarg, I8, Xor),
        Op::I64AtomicRmw16XorU { memarg } => rmw(t, memarg, I16, Xor),
        Op::I64AtomicRmw32XorU { memarg } => rmw(t, memarg, I32, Xor),

        Op::I32AtomicRmwXchg { memarg } => rmw(t, memarg, I32, Xchg),
        Op::I64AtomicRmwXchg { memarg } => rmw(t, memarg, I64, Xchg),
        Op::I32AtomicRmw8XchgU { memarg } => rmw(t, memarg, I8, Xchg),
        Op::I32AtomicRmw16XchgU { memarg } => rmw(t, memarg, I16, Xchg),
        Op::I64AtomicRmw8XchgU { memarg } => rmw(t, memarg, I8, Xchg),
        Op::I64AtomicRmw16XchgU { memarg } => rmw(t, memarg, I16, Xchg),
        Op::I64AtomicRmw32XchgU { memarg } => rmw(t, memarg, I32, Xchg),

        Op::I32AtomicRmwCmpxchg { memarg } => cmpxchg(t, memarg, I32),
        Op::I64AtomicRmwCmpxchg { memarg } => cmpxchg(t, memarg, I64),
        Op::I32AtomicRmw8CmpxchgU { memarg } => cmpxchg(t, memarg, I8),
        Op::I32AtomicRmw16CmpxchgU { memarg } => cmpxchg(t, memarg, I16),
        Op::I64AtomicRmw8CmpxchgU { memarg } => cmpxchg(t, memarg, I8),
        Op::I64AtomicRmw16CmpxchgU { memarg } => cmpxchg(t, memarg, I16),
        Op::I64AtomicRmw32CmpxchgU { memarg } => cmpxchg(t, memarg, I32),

        Op::AtomicFence { .. } => {
            t.builder.ins().fence();
        }
        Op::MemoryAtomicNotify { memarg } => notify(t, memarg),
        Op::MemoryAtomicWait32 { memarg } => wait(t, memarg, 4, Builtin::memory_atomic_wait32),
        Op::MemoryAtomicWait64 { memarg } => wait(t, memarg, 8, Builtin::memory_atomic_wait64),
        _ => return false,
    }
    true
}

fn load(t: &mut Translator<'_, '_>, memarg: &MemArg, narrow: Type, wide: Type) {
    let index = t.pop();
    let (flags, address) = place(t, memarg, narrow, index);
    let value = t.builder.ins().atomic_load(narrow, flags, address);
    push_extended(t, value, wide);
}

fn store(t: &mut Translator<'_, '_>, memarg: &MemArg, narrow: Type) {
    let (index, value) = t.pop2();
    let (flags, address) = place(t, memarg, narrow, index);
    let value = reduced(t, value, narrow);
    t.builder.ins().atomic_store(flags, value, address);
}

fn rmw(t: &mut Translator<'_, '_>, memarg: &MemArg, narrow: Type, op: AtomicRmwOp) {
    let (index, operand) = t.pop2();
    let wide = t.value_type(operand);
    let (flags, address) = place(t, memarg, narrow, index);
    let operand = reduced(t, operand, narrow);
    let old = t.builder.ins().atomic_rmw(narrow, flags, op, address, operand);
    push_extended(t, old, wide);
}

fn cmpxchg(t: &mut Translator<'_, '_>, memarg: &MemArg, narrow: Type) {
    let (index, expected, replacement) = t.pop3();
    let wide = t.value_type(expected);
    let (flags, address) = place(t, memarg, narrow, index);
    let expected = reduced(t, expected, narrow);
    let expected = clean(t, expected);
    let replacement = reduced(t, replacement, narrow);
    let old = t.builder.ins().atomic_cas(flags, address, expected, replacement);
    push_extended(t, old, wide);
}

/// The 32-bit value that a compare-and-swap expects, in a register whose upper half is zero.
///
/// On 64-bit Arm Cranelift's loop compares the whole register with what it loaded, and the upper
/// half of a 32-bit value may be anything. An operation of 32 bits clears it; this one changes
/// nothing else, which the optimiser must not know: that a vmctx is aligned is not told to it.
fn clean(t: &mut Translator<'_, '_>, value: Value) -> Value {
    if t.value_type(value) != I32 || t.env.settings.target.arch() != Arch::Aarch64 {
        return value;
    }
    let zero = t.builder.ins().band_imm_u(t.vmctx, 1);
    let zero = t.builder.ins().ireduce(I32, zero);
    t.builder.ins().bor(value, zero)
}

fn wait(t: &mut Translator<'_, '_>, memarg: &MemArg, size: u32, builtin: Builtin) {
    metering::check(t);
    let (index, expected, timeout) = t.pop3();
    trap_if_unaligned(t, memarg, size, index);
    let memory = memory_index(memarg);
    if !t.env.info.memories[memory as usize].shared {
        t.trap_here(Trap::AtomicWaitNonSharedMemory);
        let none = t.builder.ins().iconst(I32, 0);
        t.push(none);
        return;
    }
    let address = address(t, memarg, index);
    let memory = t.builder.ins().iconst(I32, i64::from(memory));
    let result = call::walking_builtin(t, builtin, &[memory, address, expected, timeout]);
    let result = t.builder.ins().ireduce(I32, result.expect("it has a result"));
    t.push(result);
}

fn notify(t: &mut Translator<'_, '_>, memarg: &MemArg) {
    let (index, count) = t.pop2();
    trap_if_unaligned(t, memarg, 4, index);
    let address = address(t, memarg, index);
    let memory = t.builder.ins().iconst(I32, i64::from(memory_index(memarg)));
    let builtin = Builtin::memory_atomic_notify;
    let woken = call::walking_builtin(t, builtin, &[memory, address, count]);
    let woken = t.builder.ins().ireduce(I32, woken.expect("it has a result"));
    t.push(woken);
}

/// Where an access of `narrow` at `index` goes.
fn place(
    t: &mut Translator<'_, '_>,
    memarg: &MemArg,
    narrow: Type,
    index: Value,
) -> (MemFlagsData, Value) {
    trap_if_unaligned(t, memarg, narrow.bytes(), index);
    let (flags, address, offset) = access(t, memarg, narrow.bytes(), index);
    // No offset is negative.
    (flags, add(t, address, offset.unsigned_abs().into()))
}

fn trap_if_unaligned(t: &mut Translator<'_, '_>, memarg: &MemArg, size: u32, index: Value) {
    let mask = u64::from(size) - 1;
    if mask == 0 {
        return;
    }
    // The low bits alone, which are right whatever becomes of the high ones.
    let low = add(t, index, memarg.offset & mask);
    let low = t.builder.ins().band_imm_u(low, mask.cast_signed());
    t.builder.ins().trapnz(low, trap_code(Trap::HeapMisaligned));
}

/// `index` and the offset of `memarg`, in bytes from the memory's start.
fn address(t: &mut Translator<'_, '_>, memarg: &MemArg, index: Value) -> Value {
    if t.env.info.memories[memory_index(memarg) as usize].memory64 && memarg.offset > 0 {
        let offset = t.builder.ins().iconst(I64, memarg.offset.cast_signed());
        let code = trap_code(Trap::MemoryOutOfBounds);
        return t.builder.ins().uadd_overflow_trap(index, offset, code);
    }
    let index = t.extend(index);
    add(t, index, memarg.offset)
}

fn reduced(t: &mut Translator<'_, '_>, value: Value, narrow: Type) -> Value {
    if t.value_type(value) == narrow { value } else { t.builder.ins().ireduce(narrow, value) }
}

fn push_extended(t: &mut Translator<'_, '_>, value: Value, wide: Type) {
    let same = t.value_type(value) == wide;
    let value = if same { value } else { t.builder.ins().uextend(wide, value) };
    t.push(value);
}
