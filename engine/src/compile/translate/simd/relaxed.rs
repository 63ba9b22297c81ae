//! The relaxed operators, of which the specification allows several results.
//!
//! By default each has one, the same at every level of processors and on all instruction sets: what
//! the ordinary operator next to it has, or else what all of them can do at little cost. So moving
//! a module to another machine, or compiling it for a better level, changes no result.
//!
//! Where the settings ask for the fast forms, an operator is the one instruction that the processor
//! has for it, if there is one and it is quicker; which operands it then treats otherwise is said
//! at each. On 64-bit Arm most deterministic forms are one instruction already.

use super::{
    constant, lanes, pop_v128_as, pop2_v128_as, pseudo_maximum, pseudo_minimum, push_v128,
};
use crate::abi::target::Arch;
use crate::compile::function::Translator;
use cranelift_codegen::ir::types::{F32X4, F64X2, I8X16, I16X8, I32X4, I64X2};
use cranelift_codegen::ir::{InstBuilder, Type, Value};
use wasmparser::Operator as Op;

/// Translates `op` if it is a relaxed operator; says whether it was.
pub(super) fn translate(t: &mut Translator<'_, '_>, op: &Op<'_>) -> bool {
    if !t.env.settings.relaxed_simd_deterministic && fast(t, op) {
        return true;
    }
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

/// Translates `op` if the processor has a quicker instruction for it; says whether it did.
fn fast(t: &mut Translator<'_, '_>, op: &Op<'_>) -> bool {
    let isa = t.env.isa;
    let is_x86 = t.env.settings.target.arch() == Arch::X86_64;
    match op {
        // A number from 16 to 127 means what its last four bits mean.
        Op::I8x16RelaxedSwizzle if isa.has_x86_pshufb_lowering() => {
            let (x, picks) = pop2_v128_as(t, I8X16);
            let result = t.builder.ins().x86_pshufb(x, picks);
            t.push(result);
        }
        // What does not fit, NaN included, is the least number. There is no such instruction for
        // unsigned ones below AVX-512.
        Op::I32x4RelaxedTruncF32x4S if is_x86 => {
            let x = pop_v128_as(t, F32X4);
            let result = t.builder.ins().x86_cvtt2dq(I32X4, x);
            push_v128(t, result);
        }
        Op::I32x4RelaxedTruncF64x2SZero if is_x86 => {
            // Cranelift has the instruction in just this form.
            let x = pop_v128_as(t, F64X2);
            let wide = t.builder.ins().x86_cvtt2dq(I64X2, x);
            let zero = constant(t, I64X2, [0; 16]);
            let result = t.builder.ins().snarrow(wide, zero);
            push_v128(t, result);
        }
        // Rounded once.
        Op::F32x4RelaxedMadd if isa.has_native_fma() => fused(t, F32X4, false),
        Op::F64x2RelaxedMadd if isa.has_native_fma() => fused(t, F64X2, false),
        Op::F32x4RelaxedNmadd if isa.has_native_fma() => fused(t, F32X4, true),
        Op::F64x2RelaxedNmadd if isa.has_native_fma() => fused(t, F64X2, true),
        // Lane by lane, by the mask's highest bit.
        Op::I8x16RelaxedLaneselect if isa.has_blendv_lowering(I8X16) => blend(t, I8X16),
        Op::I32x4RelaxedLaneselect if isa.has_blendv_lowering(I32X4) => blend(t, I32X4),
        Op::I64x2RelaxedLaneselect if isa.has_blendv_lowering(I64X2) => blend(t, I64X2),
        // The first operand of two zeros or where either is NaN.
        Op::F32x4RelaxedMin if is_x86 => pseudo_minimum(t, F32X4),
        Op::F64x2RelaxedMin if is_x86 => pseudo_minimum(t, F64X2),
        Op::F32x4RelaxedMax if is_x86 => pseudo_maximum(t, F32X4),
        Op::F64x2RelaxedMax if is_x86 => pseudo_maximum(t, F64X2),
        // -1 times -1 is -1.
        Op::I16x8RelaxedQ15mulrS if isa.has_x86_pmulhrsw_lowering() => {
            let (x, y) = pop2_v128_as(t, I16X8);
            let result = t.builder.ins().x86_pmulhrsw(x, y);
            push_v128(t, result);
        }
        // The second operand's bytes are unsigned, and a sum of two products saturates.
        Op::I16x8RelaxedDotI8x16I7x16S if isa.has_x86_pmaddubsw_lowering() => {
            let (x, y) = pop2_v128_as(t, I8X16);
            let result = t.builder.ins().x86_pmaddubsw(x, y);
            push_v128(t, result);
        }
        Op::I32x4RelaxedDotI8x16I7x16AddS if isa.has_x86_pmaddubsw_lowering() => {
            let addend = pop_v128_as(t, I32X4);
            let (x, y) = pop2_v128_as(t, I8X16);
            let pairs = t.builder.ins().x86_pmaddubsw(x, y);
            let sums = add_neighbours(t, pairs);
            let result = t.builder.ins().iadd(sums, addend);
            push_v128(t, result);
        }
        _ => return false,
    }
    true
}

/// `x * y + z`, or `-(x * y) + z`, rounded once.
fn fused(t: &mut Translator<'_, '_>, ty: Type, negate: bool) {
    let z = pop_v128_as(t, ty);
    let (mut x, y) = pop2_v128_as(t, ty);
    if negate {
        x = t.builder.ins().fneg(x);
    }
    let result = t.builder.ins().fma(x, y, z);
    push_v128(t, result);
}

/// Lanes of `x` where the mask's highest bit is set, lanes of `y` elsewhere.
fn blend(t: &mut Translator<'_, '_>, ty: Type) {
    let mask = pop_v128_as(t, ty);
    let (x, y) = pop2_v128_as(t, ty);
    let result = t.builder.ins().blendv(mask, x, y);
    push_v128(t, result);
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
