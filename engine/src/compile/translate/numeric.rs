//! Numbers: every operator on `i32`, `i64`, `f32` and `f64` that touches neither memory nor
//! control.
//!
//! Division and the trapping conversions need no checks here: Cranelift's instructions trap as
//! the specification says (the divisor's zero before an overflow, NaN before a range), with its
//! reserved trap codes.

#[cfg(test)]
pub(super) mod tests;

use super::call;
use crate::abi::builtins::Builtin;
use crate::compile::function::Translator;
use crate::error::Result;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::types::{F32, F64, I8, I16, I32, I64};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Type, Value};
use wasmparser::Operator as Op;

/// An instruction of one operand whose result has the operand's type.
macro_rules! unary {
    ($t:ident, $inst:ident) => {{
        let x = $t.pop();
        let result = $t.builder.ins().$inst(x);
        $t.push(result);
    }};
}

macro_rules! binary {
    ($t:ident, $inst:ident) => {{
        let (x, y) = $t.pop2();
        let result = $t.builder.ins().$inst(x, y);
        $t.push(result);
    }};
}

/// An instruction of one operand and a result of type `$ty`.
macro_rules! convert {
    ($t:ident, $inst:ident, $ty:ident) => {{
        let x = $t.pop();
        let result = $t.builder.ins().$inst($ty, x);
        $t.push(result);
    }};
}

/// A comparison. Cranelift's results are `i8`, those of wasm `i32`.
macro_rules! compare {
    ($t:ident, $inst:ident, $condition:expr) => {{
        let (x, y) = $t.pop2();
        let holds = $t.builder.ins().$inst($condition, x, y);
        let result = $t.builder.ins().uextend(I32, holds);
        $t.push(result);
    }};
}

/// Translates `op` if it is one of the operators of this file; says whether it was.
pub(crate) fn translate(t: &mut Translator<'_, '_>, op: &Op<'_>) -> Result<bool> {
    match *op {
        Op::I32Const { value } => {
            let result = t.builder.ins().iconst(I32, i64::from(value.cast_unsigned()));
            t.push(result);
        }
        Op::I64Const { value } => {
            let result = t.builder.ins().iconst(I64, value);
            t.push(result);
        }
        Op::F32Const { value } => {
            let result = t.builder.ins().f32const(Ieee32::with_bits(value.bits()));
            t.push(result);
        }
        Op::F64Const { value } => {
            let result = t.builder.ins().f64const(Ieee64::with_bits(value.bits()));
            t.push(result);
        }

        Op::I32Eqz | Op::I64Eqz => {
            let x = t.pop();
            let holds = t.builder.ins().icmp_imm_u(IntCC::Equal, x, 0);
            let result = t.builder.ins().uextend(I32, holds);
            t.push(result);
        }
        Op::I32Eq | Op::I64Eq => compare!(t, icmp, IntCC::Equal),
        Op::I32Ne | Op::I64Ne => compare!(t, icmp, IntCC::NotEqual),
        Op::I32LtS | Op::I64LtS => compare!(t, icmp, IntCC::SignedLessThan),
        Op::I32LtU | Op::I64LtU => compare!(t, icmp, IntCC::UnsignedLessThan),
        Op::I32GtS | Op::I64GtS => compare!(t, icmp, IntCC::SignedGreaterThan),
        Op::I32GtU | Op::I64GtU => compare!(t, icmp, IntCC::UnsignedGreaterThan),
        Op::I32LeS | Op::I64LeS => compare!(t, icmp, IntCC::SignedLessThanOrEqual),
        Op::I32LeU | Op::I64LeU => compare!(t, icmp, IntCC::UnsignedLessThanOrEqual),
        Op::I32GeS | Op::I64GeS => compare!(t, icmp, IntCC::SignedGreaterThanOrEqual),
        Op::I32GeU | Op::I64GeU => compare!(t, icmp, IntCC::UnsignedGreaterThanOrEqual),
        Op::F32Eq | Op::F64Eq => compare!(t, fcmp, FloatCC::Equal),
        Op::F32Ne | Op::F64Ne => compare!(t, fcmp, FloatCC::NotEqual),
        Op::F32Lt | Op::F64Lt => compare!(t, fcmp, FloatCC::LessThan),
        Op::F32Gt | Op::F64Gt => compare!(t, fcmp, FloatCC::GreaterThan),
        Op::F32Le | Op::F64Le => compare!(t, fcmp, FloatCC::LessThanOrEqual),
        Op::F32Ge | Op::F64Ge => compare!(t, fcmp, FloatCC::GreaterThanOrEqual),

        Op::I32Clz | Op::I64Clz => unary!(t, clz),
        Op::I32Ctz | Op::I64Ctz => unary!(t, ctz),
        Op::I32Popcnt | Op::I64Popcnt => unary!(t, popcnt),
        Op::I32Add | Op::I64Add => binary!(t, iadd),
        Op::I32Sub | Op::I64Sub => binary!(t, isub),
        Op::I32Mul | Op::I64Mul => binary!(t, imul),
        Op::I32DivS | Op::I64DivS => binary!(t, sdiv),
        Op::I32DivU | Op::I64DivU => binary!(t, udiv),
        // The remainder of the least integer by -1 is 0 here as well, without a trap.
        Op::I32RemS | Op::I64RemS => binary!(t, srem),
        Op::I32RemU | Op::I64RemU => binary!(t, urem),
        Op::I32And | Op::I64And => binary!(t, band),
        Op::I32Or | Op::I64Or => binary!(t, bor),
        Op::I32Xor | Op::I64Xor => binary!(t, bxor),
        // Both take the amount modulo the width.
        Op::I32Shl | Op::I64Shl => binary!(t, ishl),
        Op::I32ShrS | Op::I64ShrS => binary!(t, sshr),
        Op::I32ShrU | Op::I64ShrU => binary!(t, ushr),
        Op::I32Rotl | Op::I64Rotl => binary!(t, rotl),
        Op::I32Rotr | Op::I64Rotr => binary!(t, rotr),

        Op::F32Abs | Op::F64Abs => unary!(t, fabs),
        Op::F32Neg | Op::F64Neg => unary!(t, fneg),
        Op::F32Sqrt | Op::F64Sqrt => unary!(t, sqrt),
        Op::F32Ceil | Op::F64Ceil => round(t, Rounding::Ceil),
        Op::F32Floor | Op::F64Floor => round(t, Rounding::Floor),
        Op::F32Trunc | Op::F64Trunc => round(t, Rounding::Trunc),
        Op::F32Nearest | Op::F64Nearest => round(t, Rounding::Nearest),
        Op::F32Add | Op::F64Add => binary!(t, fadd),
        Op::F32Sub | Op::F64Sub => binary!(t, fsub),
        Op::F32Mul | Op::F64Mul => binary!(t, fmul),
        Op::F32Div | Op::F64Div => binary!(t, fdiv),
        Op::F32Min | Op::F64Min => binary!(t, fmin),
        Op::F32Max | Op::F64Max => binary!(t, fmax),
        Op::F32Copysign | Op::F64Copysign => binary!(t, fcopysign),

        Op::I32WrapI64 => convert!(t, ireduce, I32),
        Op::I64ExtendI32S => convert!(t, sextend, I64),
        Op::I64ExtendI32U => convert!(t, uextend, I64),
        Op::I32Extend8S => sign_extend(t, I8, I32),
        Op::I32Extend16S => sign_extend(t, I16, I32),
        Op::I64Extend8S => sign_extend(t, I8, I64),
        Op::I64Extend16S => sign_extend(t, I16, I64),
        Op::I64Extend32S => sign_extend(t, I32, I64),

        Op::I32TruncF32S | Op::I32TruncF64S => convert!(t, fcvt_to_sint, I32),
        Op::I32TruncF32U | Op::I32TruncF64U => convert!(t, fcvt_to_uint, I32),
        Op::I64TruncF32S | Op::I64TruncF64S => convert!(t, fcvt_to_sint, I64),
        Op::I64TruncF32U | Op::I64TruncF64U => convert!(t, fcvt_to_uint, I64),
        Op::I32TruncSatF32S | Op::I32TruncSatF64S => convert!(t, fcvt_to_sint_sat, I32),
        Op::I32TruncSatF32U | Op::I32TruncSatF64U => convert!(t, fcvt_to_uint_sat, I32),
        Op::I64TruncSatF32S | Op::I64TruncSatF64S => convert!(t, fcvt_to_sint_sat, I64),
        Op::I64TruncSatF32U | Op::I64TruncSatF64U => convert!(t, fcvt_to_uint_sat, I64),
        Op::F32ConvertI32S | Op::F32ConvertI64S => convert!(t, fcvt_from_sint, F32),
        Op::F32ConvertI32U | Op::F32ConvertI64U => convert!(t, fcvt_from_uint, F32),
        Op::F64ConvertI32S | Op::F64ConvertI64S => convert!(t, fcvt_from_sint, F64),
        Op::F64ConvertI32U | Op::F64ConvertI64U => convert!(t, fcvt_from_uint, F64),
        Op::F32DemoteF64 => convert!(t, fdemote, F32),
        Op::F64PromoteF32 => convert!(t, fpromote, F64),
        Op::I32ReinterpretF32 => reinterpret(t, I32),
        Op::I64ReinterpretF64 => reinterpret(t, I64),
        Op::F32ReinterpretI32 => reinterpret(t, F32),
        Op::F64ReinterpretI64 => reinterpret(t, F64),

        _ => return Ok(false),
    }
    Ok(true)
}

/// Of the integer's low bits, as many as `from` has, the sign into all above.
fn sign_extend(t: &mut Translator<'_, '_>, from: Type, to: Type) {
    let x = t.pop();
    let low = t.builder.ins().ireduce(from, x);
    let result = t.builder.ins().sextend(to, low);
    t.push(result);
}

fn reinterpret(t: &mut Translator<'_, '_>, to: Type) {
    let x = t.pop();
    let result = t.builder.ins().bitcast(to, MemFlagsData::new(), x);
    t.push(result);
}

/// To which integer a float is rounded.
#[derive(Clone, Copy)]
pub(super) enum Rounding {
    Ceil,
    Floor,
    Trunc,
    Nearest,
}

impl Rounding {
    /// The instruction for `x`, a scalar or a vector.
    pub(super) fn instruction(self, t: &mut Translator<'_, '_>, x: Value) -> Value {
        let ins = t.builder.ins();
        match self {
            Rounding::Ceil => ins.ceil(x),
            Rounding::Floor => ins.floor(x),
            Rounding::Trunc => ins.trunc(x),
            Rounding::Nearest => ins.nearest(x),
        }
    }

    /// `x`, a scalar, rounded.
    pub(super) fn scalar(self, t: &mut Translator<'_, '_>, x: Value) -> Value {
        if t.env.isa.has_round() {
            return self.instruction(t, x);
        }
        // x86-64 before SSE4.1: Cranelift would call a function of the C library.
        let single = t.value_type(x) == F32;
        let builtin = match (self, single) {
            (Rounding::Ceil, true) => Builtin::f32_ceil,
            (Rounding::Ceil, false) => Builtin::f64_ceil,
            (Rounding::Floor, true) => Builtin::f32_floor,
            (Rounding::Floor, false) => Builtin::f64_floor,
            (Rounding::Trunc, true) => Builtin::f32_trunc,
            (Rounding::Trunc, false) => Builtin::f64_trunc,
            (Rounding::Nearest, true) => Builtin::f32_nearest,
            (Rounding::Nearest, false) => Builtin::f64_nearest,
        };
        call::leaf_builtin(t, builtin, &[x]).expect("a rounding builtin has a result")
    }
}

fn round(t: &mut Translator<'_, '_>, rounding: Rounding) {
    let x = t.pop();
    let result = rounding.scalar(t, x);
    t.push(result);
}
