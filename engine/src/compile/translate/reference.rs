//! References, and the operators of any type: `drop` and `select`.

use super::{Translator, call};
use crate::Trap;
use crate::abi::builtins::Builtin;
use crate::compile::function::trap_code;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self, InstBuilder, types};
use wasmparser::{AbstractHeapType, HeapType, Operator as Op};

/// Translates `op` if it is one of the operators of this file; says whether it was.
pub(super) fn translate(t: &mut Translator<'_, '_>, op: &Op<'_>) -> bool {
    match *op {
        Op::Drop => {
            t.pop();
        }
        Op::Select => {
            // Validated: numbers and vectors only.
            let result = select(t);
            t.push(result);
        }
        Op::TypedSelect { ty } => {
            let result = select(t);
            if super::in_heap(ty) {
                t.declare_handle(result);
            }
            t.push(result);
        }
        Op::RefNull { hty } => {
            let Some(ty) = clif_type(hty) else {
                return false;
            };
            let null = t.builder.ins().iconst(ty, 0);
            t.push(null);
        }
        Op::RefIsNull => {
            let reference = t.pop();
            let is_null = t.builder.ins().icmp_imm_u(IntCC::Equal, reference, 0);
            let result = t.builder.ins().uextend(types::I32, is_null);
            t.push(result);
        }
        Op::RefAsNonNull => {
            let reference = t.pop();
            t.builder.ins().trapz(reference, trap_code(Trap::NullReference));
            t.push(reference);
        }
        Op::RefFunc { function_index } => {
            let function = t.builder.ins().iconst(types::I32, i64::from(function_index));
            let reference = call::walking_builtin(t, Builtin::ref_func, &[function]);
            t.push(reference.expect("ref_func has a result"));
        }
        _ => return false,
    }
    true
}

fn select(t: &mut Translator<'_, '_>) -> ir::Value {
    let (first, second, condition) = t.pop3();
    let (first, second) = (t.canonical(first), t.canonical(second));
    t.builder.ins().select(condition, first, second)
}

/// Whether references to `heap` are handles into the store's heap.
pub(super) fn in_heap(heap: HeapType) -> bool {
    match heap {
        HeapType::Abstract { ty, .. } => {
            matches!(ty, AbstractHeapType::Extern | AbstractHeapType::Exn | AbstractHeapType::NoExn)
        }
        // Of functions, as below.
        _ => false,
    }
}

/// How a reference to `heap` is kept in code; `None` if we have no such references.
pub(super) fn clif_type(heap: HeapType) -> Option<ir::Type> {
    match heap {
        HeapType::Abstract { shared: false, ty } => match ty {
            // A pointer to a func_ref.
            AbstractHeapType::Func => Some(types::I64),
            // A handle into the store's heap.
            AbstractHeapType::Extern | AbstractHeapType::Exn | AbstractHeapType::NoExn => {
                Some(types::I32)
            }
            _ => None,
        },
        // Validated: without garbage collection, all types are of functions.
        HeapType::Concrete(_) => Some(types::I64),
        _ => None,
    }
}
