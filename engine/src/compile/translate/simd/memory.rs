//! Vectors in memory: loads and stores.
//!
//! Each names its access whole, so that no instruction reads more than the operator does: what is
//! loaded to be extended, repeated or inserted is as wide as it says.

use super::{pop_v128_as, push_v128};
use crate::compile::function::Translator;
use crate::compile::translate::memory::access;
use cranelift_codegen::ir::types::{I8, I8X16, I16, I16X8, I32, I32X4, I64, I64X2};
use cranelift_codegen::ir::{InstBuilder, Type, Value};
use wasmparser::{MemArg, Operator as Op};

/// A load of eight bytes as lanes, each made twice as wide.
macro_rules! load_extend {
    ($t:ident, $memarg:ident, $inst:ident) => {{
        let index = $t.pop();
        let (flags, address, offset) = access($t, $memarg, 8, index);
        let result = $t.builder.ins().$inst(flags, address, offset);
        push_v128($t, result);
    }};
}

/// Translates `op` if it is a load or store of vectors; says whether it was.
pub(super) fn translate(t: &mut Translator<'_, '_>, op: &Op<'_>) -> bool {
    match op {
        Op::V128Load { memarg } => {
            let result = load(t, memarg, I8X16);
            t.push(result);
        }
        Op::V128Load8x8S { memarg } => load_extend!(t, memarg, sload8x8),
        Op::V128Load8x8U { memarg } => load_extend!(t, memarg, uload8x8),
        Op::V128Load16x4S { memarg } => load_extend!(t, memarg, sload16x4),
        Op::V128Load16x4U { memarg } => load_extend!(t, memarg, uload16x4),
        Op::V128Load32x2S { memarg } => load_extend!(t, memarg, sload32x2),
        Op::V128Load32x2U { memarg } => load_extend!(t, memarg, uload32x2),
        Op::V128Load8Splat { memarg } => load_splat(t, memarg, I8, I8X16),
        Op::V128Load16Splat { memarg } => load_splat(t, memarg, I16, I16X8),
        Op::V128Load32Splat { memarg } => load_splat(t, memarg, I32, I32X4),
        Op::V128Load64Splat { memarg } => load_splat(t, memarg, I64, I64X2),
        Op::V128Load32Zero { memarg } => load_zero(t, memarg, I32, I32X4),
        Op::V128Load64Zero { memarg } => load_zero(t, memarg, I64, I64X2),
        Op::V128Load8Lane { memarg, lane } => load_lane(t, memarg, I8, I8X16, *lane),
        Op::V128Load16Lane { memarg, lane } => load_lane(t, memarg, I16, I16X8, *lane),
        Op::V128Load32Lane { memarg, lane } => load_lane(t, memarg, I32, I32X4, *lane),
        Op::V128Load64Lane { memarg, lane } => load_lane(t, memarg, I64, I64X2, *lane),
        Op::V128Store { memarg } => {
            let value = pop_v128_as(t, I8X16);
            store(t, memarg, value);
        }
        Op::V128Store8Lane { memarg, lane } => store_lane(t, memarg, I8X16, *lane),
        Op::V128Store16Lane { memarg, lane } => store_lane(t, memarg, I16X8, *lane),
        Op::V128Store32Lane { memarg, lane } => store_lane(t, memarg, I32X4, *lane),
        Op::V128Store64Lane { memarg, lane } => store_lane(t, memarg, I64X2, *lane),
        _ => return false,
    }
    true
}

/// The `ty` at the address on the stack.
fn load(t: &mut Translator<'_, '_>, memarg: &MemArg, ty: Type) -> Value {
    let index = t.pop();
    let (flags, address, offset) = access(t, memarg, ty.bytes(), index);
    t.builder.ins().load(ty, flags, address, offset)
}

fn store(t: &mut Translator<'_, '_>, memarg: &MemArg, value: Value) {
    let size = t.value_type(value).bytes();
    let index = t.pop();
    let (flags, address, offset) = access(t, memarg, size, index);
    t.builder.ins().store(flags, value, address, offset);
}

fn load_splat(t: &mut Translator<'_, '_>, memarg: &MemArg, lane: Type, ty: Type) {
    let x = load(t, memarg, lane);
    let result = t.builder.ins().splat(ty, x);
    push_v128(t, result);
}

/// A first lane, and zero in all others.
fn load_zero(t: &mut Translator<'_, '_>, memarg: &MemArg, lane: Type, ty: Type) {
    let x = load(t, memarg, lane);
    let result = t.builder.ins().scalar_to_vector(ty, x);
    push_v128(t, result);
}

/// The vector on the stack with `lane` from memory.
fn load_lane(t: &mut Translator<'_, '_>, memarg: &MemArg, lane_ty: Type, ty: Type, lane: u8) {
    let vector = pop_v128_as(t, ty);
    let x = load(t, memarg, lane_ty);
    let result = t.builder.ins().insertlane(vector, x, lane);
    push_v128(t, result);
}

fn store_lane(t: &mut Translator<'_, '_>, memarg: &MemArg, ty: Type, lane: u8) {
    let vector = pop_v128_as(t, ty);
    let x = t.builder.ins().extractlane(vector, lane);
    store(t, memarg, x);
}
