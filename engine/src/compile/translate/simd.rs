//! Vectors: the 128-bit SIMD proposal. This file has the operators as tables; what takes more than
//! an instruction or two is in `lanes.rs`, loads and stores are in `memory.rs`.
//!
//! WebAssembly has one vector type, Cranelift one for each shape. On the operand stack a vector is
//! `I8X16`; an operator casts it to the shape it works on, which costs no instruction.
//!
//! Below SSSE3 and SSE4.1 Cranelift implements some instructions by a call of a library function.
//! There is no such library here, so these are written out: see `lanes.rs`.

mod lanes;
mod memory;
mod relaxed;
#[cfg(test)]
mod tests;

use crate::compile::function::Translator;
use crate::compile::translate::numeric::Rounding;
use crate::error::Result;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32X4, F64X2, I8, I8X16, I16, I16X8, I32, I32X4, I64X2};
use cranelift_codegen::ir::{self, Endianness, InstBuilder, MemFlagsData, Value};
use wasmparser::Operator as Op;

/// Pops a vector as one of type `ty`.
fn pop_v128_as(t: &mut Translator<'_, '_>, ty: ir::Type) -> Value {
    let value = t.pop();
    cast(t, value, ty)
}

/// Pops two vectors, the deeper one first.
fn pop2_v128_as(t: &mut Translator<'_, '_>, ty: ir::Type) -> (Value, Value) {
    let second = pop_v128_as(t, ty);
    (pop_v128_as(t, ty), second)
}

/// Pushes a vector of any shape.
fn push_v128(t: &mut Translator<'_, '_>, value: Value) {
    let value = t.canonical(value);
    t.push(value);
}

/// The bits of the vector `value` as a vector of type `ty`.
fn cast(t: &mut Translator<'_, '_>, value: Value, ty: ir::Type) -> Value {
    if t.value_type(value) == ty {
        return value;
    }
    // Between shapes the order of bytes must be named.
    let little = MemFlagsData::new().with_endianness(Endianness::Little);
    t.builder.ins().bitcast(ty, little, value)
}

/// A vector constant.
fn constant(t: &mut Translator<'_, '_>, ty: ir::Type, bytes: [u8; 16]) -> Value {
    let handle = t.builder.func.dfg.constants.insert(bytes.as_slice().into());
    t.builder.ins().vconst(ty, handle)
}

// The forms of the table's operators. Each is called with the translator, an instruction or
// condition, and the shape of the operands.

macro_rules! unary {
    ($t:ident, $inst:ident, $ty:ident) => {{
        let x = pop_v128_as($t, $ty);
        let result = $t.builder.ins().$inst(x);
        push_v128($t, result);
    }};
}

macro_rules! binary {
    ($t:ident, $inst:ident, $ty:ident) => {{
        let (x, y) = pop2_v128_as($t, $ty);
        let result = $t.builder.ins().$inst(x, y);
        push_v128($t, result);
    }};
}

/// A comparison, lane by lane: all ones where it holds.
macro_rules! icompare {
    ($t:ident, $condition:ident, $ty:ident) => {{
        let (x, y) = pop2_v128_as($t, $ty);
        let result = $t.builder.ins().icmp(IntCC::$condition, x, y);
        push_v128($t, result);
    }};
}

macro_rules! fcompare {
    ($t:ident, $condition:ident, $ty:ident) => {{
        let (x, y) = pop2_v128_as($t, $ty);
        let result = $t.builder.ins().fcmp(FloatCC::$condition, x, y);
        push_v128($t, result);
    }};
}

/// A shift of all lanes by an `i32`, modulo the width of a lane.
macro_rules! shift {
    ($t:ident, $inst:ident, $ty:ident) => {{
        let amount = $t.pop();
        let x = pop_v128_as($t, $ty);
        let result = $t.builder.ins().$inst(x, amount);
        push_v128($t, result);
    }};
}

/// A question about the lanes, answered by an `i32`.
macro_rules! test {
    ($t:ident, $inst:ident, $ty:ident) => {{
        let x = pop_v128_as($t, $ty);
        let holds = $t.builder.ins().$inst(x);
        let result = $t.builder.ins().uextend(I32, holds);
        $t.push(result);
    }};
}

/// The product of two halves, widened.
macro_rules! extmul {
    ($t:ident, $widen:ident, $ty:ident) => {{
        let (x, y) = pop2_v128_as($t, $ty);
        let x = $t.builder.ins().$widen(x);
        let y = $t.builder.ins().$widen(y);
        let result = $t.builder.ins().imul(x, y);
        push_v128($t, result);
    }};
}

macro_rules! round {
    ($t:ident, $rounding:ident, $ty:ident) => {{
        let x = pop_v128_as($t, $ty);
        let result = lanes::round($t, Rounding::$rounding, x);
        push_v128($t, result);
    }};
}

/// A `match` from rows of `form { instruction: operator shape, …; }`.
macro_rules! table {
    ($t:ident, $op:ident;
     $($form:ident { $($inst:ident: $($name:ident $ty:ident),+;)+ })+) => {
        match *$op {
            $($($(Op::$name => $form!($t, $inst, $ty),)+)+)+
            _ => return false,
        }
    };
}

/// Translates `op` if it is one of the vector operators; says whether it was.
pub(crate) fn translate(t: &mut Translator<'_, '_>, op: &Op<'_>) -> Result<bool> {
    let taken =
        lanewise(t, op) || single(t, op) || memory::translate(t, op) || relaxed::translate(t, op);
    Ok(taken)
}

/// The operators that are alike but for their shape.
fn lanewise(t: &mut Translator<'_, '_>, op: &Op<'_>) -> bool {
    table! { t, op;
        unary {
            bnot: V128Not I8X16;
            ineg: I8x16Neg I8X16, I16x8Neg I16X8, I32x4Neg I32X4, I64x2Neg I64X2;
            iabs: I8x16Abs I8X16, I16x8Abs I16X8, I32x4Abs I32X4, I64x2Abs I64X2;
            popcnt: I8x16Popcnt I8X16;
            fneg: F32x4Neg F32X4, F64x2Neg F64X2;
            fabs: F32x4Abs F32X4, F64x2Abs F64X2;
            sqrt: F32x4Sqrt F32X4, F64x2Sqrt F64X2;
            swiden_low: I16x8ExtendLowI8x16S I8X16, I32x4ExtendLowI16x8S I16X8,
                I64x2ExtendLowI32x4S I32X4;
            swiden_high: I16x8ExtendHighI8x16S I8X16, I32x4ExtendHighI16x8S I16X8,
                I64x2ExtendHighI32x4S I32X4;
            uwiden_low: I16x8ExtendLowI8x16U I8X16, I32x4ExtendLowI16x8U I16X8,
                I64x2ExtendLowI32x4U I32X4;
            uwiden_high: I16x8ExtendHighI8x16U I8X16, I32x4ExtendHighI16x8U I16X8,
                I64x2ExtendHighI32x4U I32X4;
            fvdemote: F32x4DemoteF64x2Zero F64X2;
            fvpromote_low: F64x2PromoteLowF32x4 F32X4;
        }
        binary {
            band: V128And I8X16;
            band_not: V128AndNot I8X16;
            bor: V128Or I8X16;
            bxor: V128Xor I8X16;
            iadd: I8x16Add I8X16, I16x8Add I16X8, I32x4Add I32X4, I64x2Add I64X2;
            isub: I8x16Sub I8X16, I16x8Sub I16X8, I32x4Sub I32X4, I64x2Sub I64X2;
            imul: I16x8Mul I16X8, I32x4Mul I32X4, I64x2Mul I64X2;
            sadd_sat: I8x16AddSatS I8X16, I16x8AddSatS I16X8;
            uadd_sat: I8x16AddSatU I8X16, I16x8AddSatU I16X8;
            ssub_sat: I8x16SubSatS I8X16, I16x8SubSatS I16X8;
            usub_sat: I8x16SubSatU I8X16, I16x8SubSatU I16X8;
            smin: I8x16MinS I8X16, I16x8MinS I16X8, I32x4MinS I32X4;
            umin: I8x16MinU I8X16, I16x8MinU I16X8, I32x4MinU I32X4;
            smax: I8x16MaxS I8X16, I16x8MaxS I16X8, I32x4MaxS I32X4;
            umax: I8x16MaxU I8X16, I16x8MaxU I16X8, I32x4MaxU I32X4;
            avg_round: I8x16AvgrU I8X16, I16x8AvgrU I16X8;
            sqmul_round_sat: I16x8Q15MulrSatS I16X8;
            snarrow: I8x16NarrowI16x8S I16X8, I16x8NarrowI32x4S I32X4;
            unarrow: I8x16NarrowI16x8U I16X8, I16x8NarrowI32x4U I32X4;
            fadd: F32x4Add F32X4, F64x2Add F64X2;
            fsub: F32x4Sub F32X4, F64x2Sub F64X2;
            fmul: F32x4Mul F32X4, F64x2Mul F64X2;
            fdiv: F32x4Div F32X4, F64x2Div F64X2;
            fmin: F32x4Min F32X4, F64x2Min F64X2;
            fmax: F32x4Max F32X4, F64x2Max F64X2;
        }
        icompare {
            Equal: I8x16Eq I8X16, I16x8Eq I16X8, I32x4Eq I32X4, I64x2Eq I64X2;
            NotEqual: I8x16Ne I8X16, I16x8Ne I16X8, I32x4Ne I32X4, I64x2Ne I64X2;
            SignedLessThan: I8x16LtS I8X16, I16x8LtS I16X8, I32x4LtS I32X4, I64x2LtS I64X2;
            SignedGreaterThan: I8x16GtS I8X16, I16x8GtS I16X8, I32x4GtS I32X4, I64x2GtS I64X2;
            SignedLessThanOrEqual: I8x16LeS I8X16, I16x8LeS I16X8, I32x4LeS I32X4, I64x2LeS I64X2;
            SignedGreaterThanOrEqual: I8x16GeS I8X16, I16x8GeS I16X8, I32x4GeS I32X4,
                I64x2GeS I64X2;
            UnsignedLessThan: I8x16LtU I8X16, I16x8LtU I16X8, I32x4LtU I32X4;
            UnsignedGreaterThan: I8x16GtU I8X16, I16x8GtU I16X8, I32x4GtU I32X4;
            UnsignedLessThanOrEqual: I8x16LeU I8X16, I16x8LeU I16X8, I32x4LeU I32X4;
            UnsignedGreaterThanOrEqual: I8x16GeU I8X16, I16x8GeU I16X8, I32x4GeU I32X4;
        }
        fcompare {
            Equal: F32x4Eq F32X4, F64x2Eq F64X2;
            NotEqual: F32x4Ne F32X4, F64x2Ne F64X2;
            LessThan: F32x4Lt F32X4, F64x2Lt F64X2;
            GreaterThan: F32x4Gt F32X4, F64x2Gt F64X2;
            LessThanOrEqual: F32x4Le F32X4, F64x2Le F64X2;
            GreaterThanOrEqual: F32x4Ge F32X4, F64x2Ge F64X2;
        }
        shift {
            ishl: I8x16Shl I8X16, I16x8Shl I16X8, I32x4Shl I32X4, I64x2Shl I64X2;
            sshr: I8x16ShrS I8X16, I16x8ShrS I16X8, I32x4ShrS I32X4, I64x2ShrS I64X2;
            ushr: I8x16ShrU I8X16, I16x8ShrU I16X8, I32x4ShrU I32X4, I64x2ShrU I64X2;
        }
        test {
            vany_true: V128AnyTrue I8X16;
            vall_true: I8x16AllTrue I8X16, I16x8AllTrue I16X8, I32x4AllTrue I32X4,
                I64x2AllTrue I64X2;
        }
        extmul {
            swiden_low: I16x8ExtMulLowI8x16S I8X16, I32x4ExtMulLowI16x8S I16X8,
                I64x2ExtMulLowI32x4S I32X4;
            swiden_high: I16x8ExtMulHighI8x16S I8X16, I32x4ExtMulHighI16x8S I16X8,
                I64x2ExtMulHighI32x4S I32X4;
            uwiden_low: I16x8ExtMulLowI8x16U I8X16, I32x4ExtMulLowI16x8U I16X8,
                I64x2ExtMulLowI32x4U I32X4;
            uwiden_high: I16x8ExtMulHighI8x16U I8X16, I32x4ExtMulHighI16x8U I16X8,
                I64x2ExtMulHighI32x4U I32X4;
        }
        round {
            Ceil: F32x4Ceil F32X4, F64x2Ceil F64X2;
            Floor: F32x4Floor F32X4, F64x2Floor F64X2;
            Trunc: F32x4Trunc F32X4, F64x2Trunc F64X2;
            Nearest: F32x4Nearest F32X4, F64x2Nearest F64X2;
        }
    }
    true
}

/// The operators with immediates, of other forms, or of several instructions.
fn single(t: &mut Translator<'_, '_>, op: &Op<'_>) -> bool {
    match *op {
        Op::V128Const { value } => {
            let result = constant(t, I8X16, *value.bytes());
            t.push(result);
        }
        Op::V128Bitselect => {
            let (x, y, mask) = t.pop3();
            let result = t.builder.ins().bitselect(mask, x, y);
            t.push(result);
        }

        Op::I8x16Splat => lanes::splat(t, I8X16, Some(I8)),
        Op::I16x8Splat => lanes::splat(t, I16X8, Some(I16)),
        Op::I32x4Splat => lanes::splat(t, I32X4, None),
        Op::I64x2Splat => lanes::splat(t, I64X2, None),
        Op::F32x4Splat => lanes::splat(t, F32X4, None),
        Op::F64x2Splat => lanes::splat(t, F64X2, None),
        Op::I8x16ExtractLaneS { lane } => lanes::extract_narrow(t, I8X16, lane, true),
        Op::I8x16ExtractLaneU { lane } => lanes::extract_narrow(t, I8X16, lane, false),
        Op::I16x8ExtractLaneS { lane } => lanes::extract_narrow(t, I16X8, lane, true),
        Op::I16x8ExtractLaneU { lane } => lanes::extract_narrow(t, I16X8, lane, false),
        Op::I32x4ExtractLane { lane } => lanes::extract(t, I32X4, lane),
        Op::I64x2ExtractLane { lane } => lanes::extract(t, I64X2, lane),
        Op::F32x4ExtractLane { lane } => lanes::extract(t, F32X4, lane),
        Op::F64x2ExtractLane { lane } => lanes::extract(t, F64X2, lane),
        Op::I8x16ReplaceLane { lane } => lanes::replace(t, I8X16, Some(I8), lane),
        Op::I16x8ReplaceLane { lane } => lanes::replace(t, I16X8, Some(I16), lane),
        Op::I32x4ReplaceLane { lane } => lanes::replace(t, I32X4, None, lane),
        Op::I64x2ReplaceLane { lane } => lanes::replace(t, I64X2, None, lane),
        Op::F32x4ReplaceLane { lane } => lanes::replace(t, F32X4, None, lane),
        Op::F64x2ReplaceLane { lane } => lanes::replace(t, F64X2, None, lane),
        Op::I8x16Shuffle { lanes } => lanes::shuffle(t, lanes),
        Op::I8x16Swizzle => lanes::swizzle(t),
        Op::I8x16Bitmask => bitmask(t, I8X16),
        Op::I16x8Bitmask => bitmask(t, I16X8),
        Op::I32x4Bitmask => bitmask(t, I32X4),
        Op::I64x2Bitmask => bitmask(t, I64X2),

        Op::F32x4PMin => pseudo_minimum(t, F32X4),
        Op::F64x2PMin => pseudo_minimum(t, F64X2),
        Op::F32x4PMax => pseudo_maximum(t, F32X4),
        Op::F64x2PMax => pseudo_maximum(t, F64X2),

        Op::I16x8ExtAddPairwiseI8x16S => add_pairwise_s(t, I8X16),
        Op::I32x4ExtAddPairwiseI16x8S => add_pairwise_s(t, I16X8),
        Op::I16x8ExtAddPairwiseI8x16U => add_pairwise_u(t, I8X16),
        Op::I32x4ExtAddPairwiseI16x8U => add_pairwise_u(t, I16X8),
        Op::I32x4DotI16x8S => dot(t),

        Op::I32x4TruncSatF32x4S => {
            let x = pop_v128_as(t, F32X4);
            let result = t.builder.ins().fcvt_to_sint_sat(I32X4, x);
            push_v128(t, result);
        }
        Op::I32x4TruncSatF32x4U => {
            let x = pop_v128_as(t, F32X4);
            let result = t.builder.ins().fcvt_to_uint_sat(I32X4, x);
            push_v128(t, result);
        }
        Op::I32x4TruncSatF64x2SZero => lanes::trunc_sat_zero_s(t),
        Op::I32x4TruncSatF64x2UZero => lanes::trunc_sat_zero_u(t),
        Op::F32x4ConvertI32x4S => {
            let x = pop_v128_as(t, I32X4);
            let result = t.builder.ins().fcvt_from_sint(F32X4, x);
            push_v128(t, result);
        }
        Op::F32x4ConvertI32x4U => {
            let x = pop_v128_as(t, I32X4);
            let result = t.builder.ins().fcvt_from_uint(F32X4, x);
            push_v128(t, result);
        }
        Op::F64x2ConvertLowI32x4S => {
            let x = pop_v128_as(t, I32X4);
            let wide = t.builder.ins().swiden_low(x);
            let result = t.builder.ins().fcvt_from_sint(F64X2, wide);
            push_v128(t, result);
        }
        Op::F64x2ConvertLowI32x4U => {
            let x = pop_v128_as(t, I32X4);
            let wide = t.builder.ins().uwiden_low(x);
            let result = t.builder.ins().fcvt_from_uint(F64X2, wide);
            push_v128(t, result);
        }
        _ => return false,
    }
    true
}

/// The sign of each lane as a bit of an `i32`, the first lane's in the lowest.
fn bitmask(t: &mut Translator<'_, '_>, ty: ir::Type) {
    let x = pop_v128_as(t, ty);
    let result = t.builder.ins().vhigh_bits(I32, x);
    t.push(result);
}

/// `y < x ? y : x`, which is neither operand's NaN by rule. The backends know this form.
fn pseudo_minimum(t: &mut Translator<'_, '_>, ty: ir::Type) {
    let (x, y) = pop2_v128_as(t, ty);
    let less = t.builder.ins().fcmp(FloatCC::LessThan, y, x);
    let less = cast(t, less, ty);
    let result = t.builder.ins().bitselect(less, y, x);
    push_v128(t, result);
}

/// `x < y ? y : x`.
fn pseudo_maximum(t: &mut Translator<'_, '_>, ty: ir::Type) {
    let (x, y) = pop2_v128_as(t, ty);
    let less = t.builder.ins().fcmp(FloatCC::LessThan, x, y);
    let less = cast(t, less, ty);
    let result = t.builder.ins().bitselect(less, y, x);
    push_v128(t, result);
}

fn add_pairwise_s(t: &mut Translator<'_, '_>, ty: ir::Type) {
    let x = pop_v128_as(t, ty);
    let low = t.builder.ins().swiden_low(x);
    let high = t.builder.ins().swiden_high(x);
    let result = t.builder.ins().iadd_pairwise(low, high);
    push_v128(t, result);
}

fn add_pairwise_u(t: &mut Translator<'_, '_>, ty: ir::Type) {
    let x = pop_v128_as(t, ty);
    let low = t.builder.ins().uwiden_low(x);
    let high = t.builder.ins().uwiden_high(x);
    let result = t.builder.ins().iadd_pairwise(low, high);
    push_v128(t, result);
}

/// `i32x4.dot_i16x8_s`: products in 32 bits, neighbours added.
fn dot(t: &mut Translator<'_, '_>) {
    let (x, y) = pop2_v128_as(t, I16X8);
    let (x_low, y_low) = (t.builder.ins().swiden_low(x), t.builder.ins().swiden_low(y));
    let low = t.builder.ins().imul(x_low, y_low);
    let (x_high, y_high) = (t.builder.ins().swiden_high(x), t.builder.ins().swiden_high(y));
    let high = t.builder.ins().imul(x_high, y_high);
    let result = t.builder.ins().iadd_pairwise(low, high);
    push_v128(t, result);
}
