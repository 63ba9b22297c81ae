//! Bulk operations on memories.

use super::memory::{Memory, checked_range};
use super::{Translator, call, metering};
use crate::abi::builtins::Builtin;
use cranelift_codegen::ir::{self, InstBuilder, Value, types};
use wasmparser::Operator as Op;

/// Longest constant length that is copied or filled without a call.
const MAX_INLINE: u64 = 128;

/// Translates `op` if it is one of the operators of this file; says whether it was.
pub(super) fn translate(t: &mut Translator<'_, '_>, op: &Op<'_>) -> bool {
    match *op {
        Op::MemoryCopy { dst_mem, src_mem } => copy(t, dst_mem, src_mem),
        Op::MemoryFill { mem } => fill(t, mem),
        Op::MemoryInit { data_index, mem } => {
            metering::check(t);
            let (dst, src, len) = t.pop3();
            let dst = t.extend(dst);
            let mem = t.builder.ins().iconst(types::I32, i64::from(mem));
            let data = t.builder.ins().iconst(types::I32, i64::from(data_index));
            call::walking_builtin(t, Builtin::memory_init, &[mem, data, dst, src, len]);
        }
        Op::DataDrop { data_index } => {
            let data = t.builder.ins().iconst(types::I32, i64::from(data_index));
            call::walking_builtin(t, Builtin::data_drop, &[data]);
        }
        _ => return false,
    }
    true
}

fn copy(t: &mut Translator<'_, '_>, dst_mem: u32, src_mem: u32) {
    let (dst, src, len) = t.pop3();
    let constant = t.constant(len);
    if constant.is_none_or(|len| len > MAX_INLINE) {
        metering::check(t);
    }
    let (dst, src, len) = (t.extend(dst), t.extend(src), t.extend(len));
    let dst_mem = Memory::new(t, dst_mem);
    let src_mem = Memory::new(t, src_mem);
    let dst = checked_range(t, &dst_mem, dst, len);
    let src = checked_range(t, &src_mem, src, len);
    let Some(len) = constant.filter(|len| *len <= MAX_INLINE) else {
        let shared = dst_mem.decl.shared || src_mem.decl.shared;
        let builtin = if shared { Builtin::memory_move_shared } else { Builtin::memory_move };
        call::leaf_builtin(t, builtin, &[dst, src, len]);
        return;
    };
    // The ranges may overlap: everything is read before anything is written.
    let flags = t.flags.memory.with_notrap();
    let mut pieces = Vec::new();
    for (offset, ty) in chunks(len) {
        let value = t.builder.ins().load(ty, flags, src, offset);
        pieces.push((offset, value));
    }
    for (offset, value) in pieces {
        t.builder.ins().store(flags, value, dst, offset);
    }
}

fn fill(t: &mut Translator<'_, '_>, mem: u32) {
    let (dst, value, len) = t.pop3();
    let constant = t.constant(len);
    if constant.is_none_or(|len| len > MAX_INLINE) {
        metering::check(t);
    }
    let (dst, len) = (t.extend(dst), t.extend(len));
    let mem = Memory::new(t, mem);
    let dst = checked_range(t, &mem, dst, len);
    let Some(len) = constant.filter(|len| *len <= MAX_INLINE) else {
        let shared = mem.decl.shared;
        let builtin = if shared { Builtin::memory_set_shared } else { Builtin::memory_set };
        call::leaf_builtin(t, builtin, &[dst, value, len]);
        return;
    };
    let flags = t.flags.memory.with_notrap();
    let byte = t.builder.ins().ireduce(types::I8, value);
    let word = t.builder.ins().uextend(types::I64, byte);
    let word = t.builder.ins().imul_imm_u(word, 0x0101_0101_0101_0101);
    let mut vector = None;
    for (offset, ty) in chunks(len) {
        let piece: Value = match ty {
            types::I8X16 => {
                *vector.get_or_insert_with(|| t.builder.ins().splat(types::I64X2, word))
            }
            types::I64 => word,
            ty => t.builder.ins().ireduce(ty, word),
        };
        t.builder.ins().store(flags, piece, dst, offset);
    }
}

/// Cuts `len` bytes into values: offset and type of each.
fn chunks(len: u64) -> impl Iterator<Item = (i32, ir::Type)> {
    let mut offset = 0;
    std::iter::from_fn(move || {
        let ty = match len - offset {
            0 => return None,
            1 => types::I8,
            2..4 => types::I16,
            4..8 => types::I32,
            8..16 => types::I64,
            _ => types::I8X16,
        };
        // Lengths that are cut up are short.
        let at = offset as i32;
        offset += u64::from(ty.bytes());
        Some((at, ty))
    })
}
