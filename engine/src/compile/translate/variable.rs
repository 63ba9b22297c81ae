//! Access to locals and globals.

use super::Translator;
use crate::compile::isa::value_type;
use crate::wasm::types::ConstOp;
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::{self, InstBuilder, MemFlagsData, types};
use wasmparser::Operator as Op;

/// Translates `op` if it is one of the operators of this file; says whether it was.
pub(super) fn translate(t: &mut Translator<'_, '_>, op: &Op<'_>) -> bool {
    match *op {
        Op::LocalGet { local_index } => {
            let local = t.local(local_index);
            let value = t.read(local);
            t.push(value);
        }
        Op::LocalSet { local_index } => {
            let value = t.pop();
            let value = t.canonical(value);
            let local = t.local(local_index);
            t.write(local, value);
        }
        Op::LocalTee { local_index } => {
            let value = t.pop();
            let value = t.canonical(value);
            let local = t.local(local_index);
            t.write(local, value);
            t.push(value);
        }
        Op::GlobalGet { global_index } => {
            let value = get(t, global_index);
            t.push(value);
        }
        Op::GlobalSet { global_index } => {
            let value = t.pop();
            let value = t.canonical(value);
            let (flags, base, offset) = place(t, global_index);
            t.builder.ins().store(flags, value, base, offset);
        }
        _ => return false,
    }
    true
}

fn get(t: &mut Translator<'_, '_>, global: u32) -> ir::Value {
    let info = t.env.info;
    let decl = info.globals[global as usize];
    if !decl.mutable
        && let Some(defined) = global.checked_sub(info.num_imported_globals)
        && let [init] = &*info.global_inits[defined as usize]
        && let Some(value) = constant(t, *init)
    {
        return value;
    }
    let (flags, base, offset) = place(t, global);
    let value = t.builder.ins().load(value_type(decl.content), flags, base, offset);
    t.declare(value, decl.content);
    value
}

/// The value of an initialiser that is a number.
fn constant(t: &mut Translator<'_, '_>, init: ConstOp) -> Option<ir::Value> {
    let ins = t.builder.ins();
    Some(match init {
        ConstOp::I32Const(x) => ins.iconst(types::I32, i64::from(x.cast_unsigned())),
        ConstOp::I64Const(x) => ins.iconst(types::I64, x),
        ConstOp::F32Const(bits) => ins.f32const(Ieee32::with_bits(bits)),
        ConstOp::F64Const(bits) => ins.f64const(Ieee64::with_bits(bits)),
        _ => return None,
    })
}

/// Where a global is: flags, base and offset of the access.
fn place(t: &mut Translator<'_, '_>, global: u32) -> (MemFlagsData, ir::Value, i32) {
    let info = t.env.info;
    // Immutable globals have their value before any code of the module runs.
    let mutable = info.globals[global as usize].mutable;
    let flags = if mutable { t.flags.global } else { t.flags.constant };
    match global.checked_sub(info.num_imported_globals) {
        Some(defined) => (flags, t.vmctx, t.env.layout.defined_global(defined) as i32),
        None => {
            let pointer = t.env.layout.imported_global(global);
            (flags, t.load_constant(types::I64, pointer), 0)
        }
    }
}
