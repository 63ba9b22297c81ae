//! 128-bit integers, as two operands of 64 bits each, the lower half first.

use super::Translator;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use wasmparser::Operator as Op;

/// Translates `op` if it is one of the operators of this file; says whether it was.
pub(super) fn translate(t: &mut Translator<'_, '_>, op: &Op<'_>) -> bool {
    match op {
        Op::I64Add128 => {
            let (x, y) = pop2_wide(t);
            let sum = t.builder.ins().iadd(x, y);
            push_wide(t, sum);
        }
        Op::I64Sub128 => {
            let (x, y) = pop2_wide(t);
            let difference = t.builder.ins().isub(x, y);
            push_wide(t, difference);
        }
        // The backends know a product of extended factors as one multiplication.
        Op::I64MulWideS => {
            let (x, y) = t.pop2();
            let x = t.builder.ins().sextend(types::I128, x);
            let y = t.builder.ins().sextend(types::I128, y);
            let product = t.builder.ins().imul(x, y);
            push_wide(t, product);
        }
        Op::I64MulWideU => {
            let (x, y) = t.pop2();
            let x = t.builder.ins().uextend(types::I128, x);
            let y = t.builder.ins().uextend(types::I128, y);
            let product = t.builder.ins().imul(x, y);
            push_wide(t, product);
        }
        _ => return false,
    }
    true
}

/// Pops two integers of two halves each, the deeper one first.
fn pop2_wide(t: &mut Translator<'_, '_>) -> (Value, Value) {
    let (low, high) = t.pop2();
    let second = t.builder.ins().iconcat(low, high);
    let (low, high) = t.pop2();
    (t.builder.ins().iconcat(low, high), second)
}

fn push_wide(t: &mut Translator<'_, '_>, value: Value) {
    let (low, high) = t.builder.ins().isplit(value);
    t.push(low);
    t.push(high);
}
