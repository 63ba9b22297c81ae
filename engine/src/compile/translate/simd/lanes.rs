//! Lanes: moved, picked and built one at a time; and what older processors have no instruction
//! for, lane by lane.

use super::{cast, constant, pop_v128_as, pop2_v128_as, push_v128};
use crate::abi::target::Arch;
use crate::compile::function::Translator;
use crate::compile::translate::numeric::Rounding;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{F64X2, I8X16, I16X8, I32, I32X4, I64X2};
use cranelift_codegen::ir::{InstBuilder, Type, Value};

/// Pops a scalar, of which `narrow` is the part that counts.
fn pop_lane(t: &mut Translator<'_, '_>, narrow: Option<Type>) -> Value {
    let x = t.pop();
    narrow.map_or(x, |ty| t.builder.ins().ireduce(ty, x))
}

pub(super) fn splat(t: &mut Translator<'_, '_>, ty: Type, narrow: Option<Type>) {
    let x = pop_lane(t, narrow);
    let result = t.builder.ins().splat(ty, x);
    push_v128(t, result);
}

pub(super) fn replace(t: &mut Translator<'_, '_>, ty: Type, narrow: Option<Type>, lane: u8) {
    let x = pop_lane(t, narrow);
    let vector = pop_v128_as(t, ty);
    let result = t.builder.ins().insertlane(vector, x, lane);
    push_v128(t, result);
}

pub(super) fn extract(t: &mut Translator<'_, '_>, ty: Type, lane: u8) {
    let vector = pop_v128_as(t, ty);
    let result = t.builder.ins().extractlane(vector, lane);
    t.push(result);
}

/// A lane that is narrower than the `i32` it becomes.
pub(super) fn extract_narrow(t: &mut Translator<'_, '_>, ty: Type, lane: u8, signed: bool) {
    let vector = pop_v128_as(t, ty);
    let x = t.builder.ins().extractlane(vector, lane);
    let ins = t.builder.ins();
    let result = if signed { ins.sextend(I32, x) } else { ins.uextend(I32, x) };
    t.push(result);
}

/// Whether bytes can be permuted by an instruction. x86-64 has it from SSSE3 on; before that,
/// Cranelift calls a library.
fn permutes_bytes(t: &Translator<'_, '_>) -> bool {
    t.env.settings.target.arch() != Arch::X86_64 || t.env.isa.has_x86_pshufb_lowering()
}

/// `i8x16.shuffle`: byte `i` of the result is byte `picks[i]` of both operands in a row.
pub(super) fn shuffle(t: &mut Translator<'_, '_>, picks: [u8; 16]) {
    let (x, y) = pop2_v128_as(t, I8X16);
    if permutes_bytes(t) {
        let mask = t.builder.func.dfg.immediates.push(picks.as_slice().into());
        let result = t.builder.ins().shuffle(x, y, mask);
        t.push(result);
        return;
    }
    // Whole lanes, as wide as the pattern allows.
    let shapes = [(I64X2, 8), (I32X4, 4), (I16X8, 2), (I8X16, 1)];
    let (ty, width) = shapes
        .into_iter()
        .find(|&(_, width)| picks.chunks(width).all(is_lane))
        .expect("a group of one byte is a lane");
    let (x, y) = (cast(t, x, ty), cast(t, y, ty));
    let mut result = constant(t, ty, [0; 16]);
    for (to, group) in (0..).zip(picks.chunks(width)) {
        let from = if group[0] < 16 { x } else { y };
        let lane = t.builder.ins().extractlane(from, group[0] % 16 / group.len() as u8);
        result = t.builder.ins().insertlane(result, lane, to);
    }
    push_v128(t, result);
}

/// Whether the bytes `picks` are those of one lane of their number, in order.
fn is_lane(picks: &[u8]) -> bool {
    usize::from(picks[0]).is_multiple_of(picks.len())
        && picks.windows(2).all(|pair| pair[1] == pair[0] + 1)
}

/// `i8x16.swizzle`: byte `i` of the result is the byte of the first operand that byte `i` of the
/// second one names, or 0 if there is none.
pub(super) fn swizzle(t: &mut Translator<'_, '_>) {
    let (x, picks) = pop2_v128_as(t, I8X16);
    if permutes_bytes(t) {
        let result = t.builder.ins().swizzle(x, picks);
        t.push(result);
        return;
    }
    // Each byte goes to all the places where it is wanted.
    let mut result = constant(t, I8X16, [0; 16]);
    for lane in 0..16 {
        let byte = t.builder.ins().extractlane(x, lane);
        let everywhere = t.builder.ins().splat(I8X16, byte);
        let number = constant(t, I8X16, [lane; 16]);
        let wanted = t.builder.ins().icmp(IntCC::Equal, picks, number);
        let placed = t.builder.ins().band(everywhere, wanted);
        result = t.builder.ins().bor(result, placed);
    }
    t.push(result);
}

/// The lanes of `x`, rounded.
pub(super) fn round(t: &mut Translator<'_, '_>, rounding: Rounding, x: Value) -> Value {
    if t.env.isa.has_round() {
        return rounding.instruction(t, x);
    }
    let lanes = t.value_type(x).lane_count() as u8;
    let mut result = x;
    for lane in 0..lanes {
        let scalar = t.builder.ins().extractlane(x, lane);
        let rounded = rounding.scalar(t, scalar);
        result = t.builder.ins().insertlane(result, rounded, lane);
    }
    result
}

// Cranelift implements the two conversions below in just this form: a conversion to 64 bits, made
// narrow together with a constant zero.

/// `i32x4.trunc_sat_f64x2_s_zero`.
pub(super) fn trunc_sat_zero_s(t: &mut Translator<'_, '_>) {
    let x = pop_v128_as(t, F64X2);
    let wide = t.builder.ins().fcvt_to_sint_sat(I64X2, x);
    let zero = constant(t, I64X2, [0; 16]);
    let result = t.builder.ins().snarrow(wide, zero);
    push_v128(t, result);
}

/// `i32x4.trunc_sat_f64x2_u_zero`.
pub(super) fn trunc_sat_zero_u(t: &mut Translator<'_, '_>) {
    let x = pop_v128_as(t, F64X2);
    let result = if t.env.isa.has_round() {
        let wide = t.builder.ins().fcvt_to_uint_sat(I64X2, x);
        let zero = constant(t, I64X2, [0; 16]);
        t.builder.ins().uunarrow(wide, zero)
    } else {
        // The form above rounds, which is a library call there.
        let mut result = constant(t, I32X4, [0; 16]);
        for lane in 0..2 {
            let scalar = t.builder.ins().extractlane(x, lane);
            let converted = t.builder.ins().fcvt_to_uint_sat(I32, scalar);
            result = t.builder.ins().insertlane(result, converted, lane);
        }
        result
    };
    push_v128(t, result);
}
