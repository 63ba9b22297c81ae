//! The relaxed operators, of which the specification allows several results.
//!
//! Here each has one, the same at every level of processors and on all instruction sets: what the
//! ordinary operator next to it has, or else what all of them can do at little cost. So moving a
//! module to another machine, or compiling it for a better level, changes no result.

use super::{lanes, pop_v128_as, pop2_v128_as, push_v128};
use crate::compile::function::Translator;
use cranelift_codegen::ir::types::{F32X4, F64X2, I8X16, I16X8, I32X4};
use cranelift_codegen::ir::{InstBuilder, Type, Value};
use wasmparser::Operator as Op;

/// Translates `op` if it is a relaxed operator; says whether it was.
pub(super) fn translate(t: &mut Translator<'_, '_>, op: &Op<'_>) -> bool {
    match op {
        // As without the word `relaxed`: out of range is 0.
        Op::I8x16RelaxedSwizzle => lanes::swizzle(t),
        // Saturating, and NaN is 0.
        Op::I32x4RelaxedTruncF32x4S => {
            let x = pop_v128_as(t, F32X4);
            let result = t.builder.ins().fcvt_to_sint_sat(I32X4, x);
            push_v128(t, result);
        }
        Op::I32x4RelaxedTruncF32x4U => {
            let x = pop_v128_as(t, F32X4);
            let result = t.builder.ins().fcvt_to_uint_sat(I32X4, x);
            push_v128(t, result);
        }
        Op::I32x4RelaxedTruncF64x2SZero => lanes::trunc_sat_zero_s(t),
        Op::I32x4RelaxedTruncF64x2UZero => lanes::trunc_sat_zero_u(t),
        Op::F32x4RelaxedMadd => multiply_add(t, F32X4),
        Op::F64x2RelaxedMadd => multiply_add(t, F64X2),
        Op::F32x4RelaxedNmadd => negate_multiply_add(t, F32X4),
        Op::F64x2RelaxedNmadd => negate_multiply_add(t, F64X2),
        // Bit by bit, whatever the shape.
        Op::I8x16RelaxedLaneselect
        | Op::I16x8RelaxedLaneselect
        | Op::I32x4RelaxedLaneselect
        | Op::I64x2RelaxedLaneselect => {
            let mask = pop_v128_as(t, I8X16);
            let (x, y) = pop2_v128_as(t, I8X16);
            let result = t.builder.ins().bitselect(mask, x, y);
            t.push(result);
        }
        Op::F32x4RelaxedMin => minimum(t, F32X4),
        Op::F64x2RelaxedMin => minimum(t, F64X2),
        Op::F32x4RelaxedMax => maximum(t, F32X4),
        Op::F64x2RelaxedMax => maximum(t, F64X2),
        // Saturating.
        Op::I16x8RelaxedQ15mulrS => {
            let (x, y) = pop2_v128_as(t, I16X8);
            let result = t.builder.ins().sqmul_round_sat(x, y);
            push_v128(t, result);
        }
        Op::I16x8RelaxedDotI8x16I7x16S => {
            // In 16 bits, where -128 * -128 twice wraps around.
            let (even, odd) = products(t);
            let result = t.builder.ins().iadd(even, odd);
            push_v128(t, result);
        }
        Op::I32x4RelaxedDotI8x16I7x16AddS => {
            let addend = pop_v128_as(t, I32X4);
            // In 32 bits from the products on, where no sum of four is too large.
            let (even, odd) = products(t);
            let (even, odd) = (add_neighbours(t, even), add_neighbours(t, odd));
            let sums = t.builder.ins().iadd(even, odd);
            let result = t.builder.ins().iadd(sums, addend);
            push_v128(t, result);
        }
        _ => return false,
    }
    true
}

/// `x * y + z`, rounded twice: not every level has an instruction that rounds once, and doing
/// that without one takes a call a lane.
fn multiply_add(t: &mut Translator<'_, '_>, ty: Type) {
    let z = pop_v128_as(t, ty);
    let (x, y) = pop2_v128_as(t, ty);
    let product = t.builder.ins().fmul(x, y);
    let result = t.builder.ins().fadd(product, z);
    push_v128(t, result);
}

/// `-(x * y) + z`, likewise.
fn negate_multiply_add(t: &mut Translator<'_, '_>, ty: Type) {
    let z = pop_v128_as(t, ty);
    let (x, y) = pop2_v128_as(t, ty);
    let product = t.builder.ins().fmul(x, y);
    let result = t.builder.ins().fsub(z, product);
    push_v128(t, result);
}

/// As `min`: NaN if there is one, and -0 is less than 0.
fn minimum(t: &mut Translator<'_, '_>, ty: Type) {
    let (x, y) = pop2_v128_as(t, ty);
    let result = t.builder.ins().fmin(x, y);
    push_v128(t, result);
}

/// As `max`.
fn maximum(t: &mut Translator<'_, '_>, ty: Type) {
    let (x, y) = pop2_v128_as(t, ty);
    let result = t.builder.ins().fmax(x, y);
    push_v128(t, result);
}

/// Pops two vectors of bytes, both signed; the products of those with even numbers, and of the
/// other ones, 16 bits each.
fn products(t: &mut Translator<'_, '_>) -> (Value, Value) {
    let (x, y) = pop2_v128_as(t, I16X8);
    let (x_odd, y_odd) = (odd_bytes(t, x), odd_bytes(t, y));
    let (x_even, y_even) = (even_bytes(t, x), even_bytes(t, y));
    let odd = t.builder.ins().imul(x_odd, y_odd);
    (t.builder.ins().imul(x_even, y_even), odd)
}

/// The sums of each two lanes, in 32 bits.
fn add_neighbours(t: &mut Translator<'_, '_>, x: Value) -> Value {
    let low = t.builder.ins().swiden_low(x);
    let high = t.builder.ins().swiden_high(x);
    t.builder.ins().iadd_pairwise(low, high)
}

/// The upper byte of each lane, extended.
fn odd_bytes(t: &mut Translator<'_, '_>, x: Value) -> Value {
    t.builder.ins().sshr_imm_u(x, 8)
}

/// The lower byte of each lane, extended.
fn even_bytes(t: &mut Translator<'_, '_>, x: Value) -> Value {
    let up = t.builder.ins().ishl_imm_u(x, 8);
    t.builder.ins().sshr_imm_u(up, 8)
}
