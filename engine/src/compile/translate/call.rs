//! Calls: of functions, through tables, and of builtins.

use super::{Translator, control, exception, metering, table};
use crate::Trap;
use crate::abi::builtins::{Builtin, for_each_builtin};
use crate::abi::vmctx::{PTR, fixed, func_import, func_ref};
use crate::compile::function::{NAME_BUILTIN, NAME_FUNC, trap_code};
use crate::compile::isa::{host_call_conv, wasm_signature};
use crate::compile::trampoline::builtin_signature;
use crate::wasm::index::{FuncIndex, SigIndex};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self, AbiParam, InstBuilder, types};
use cranelift_codegen::isa::CallConv;
use wasmparser::Operator as Op;

/// Translates `op` if it is one of the operators of this file; says whether it was.
pub(super) fn translate(t: &mut Translator<'_, '_>, op: &Op<'_>) -> bool {
    match *op {
        Op::Call { function_index } => direct(t, FuncIndex::new(function_index), Kind::Call),
        Op::ReturnCall { function_index } => direct(t, FuncIndex::new(function_index), Kind::Tail),
        Op::CallIndirect { type_index, table_index } => {
            indirect(t, t.env.info.types[type_index as usize], table_index, Kind::Call);
        }
        Op::ReturnCallIndirect { type_index, table_index } => {
            indirect(t, t.env.info.types[type_index as usize], table_index, Kind::Tail);
        }
        Op::CallRef { type_index } => by_reference(t, type_index, Kind::Call),
        Op::ReturnCallRef { type_index } => by_reference(t, type_index, Kind::Tail),
        _ => return false,
    }
    true
}

/// How a function is called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Call,
    /// In place of the caller, whose frame is gone by then. The callee finds the caller's vmctx
    /// as ever: an instance lives as long as its store. So a function of the host still knows on
    /// whose behalf it runs, though no frame of it is on the stack.
    Tail,
}

/// What is called.
enum Callee {
    Defined(ir::FuncRef),
    Code(ir::Value),
}

fn direct(t: &mut Translator<'_, '_>, func: FuncIndex, kind: Kind) {
    let info = t.env.info;
    let sig = info.functions[func.index()];
    if info.defined_func(func).is_some() {
        let callee = defined(t, func, sig);
        call(t, sig, Callee::Defined(callee), t.vmctx, kind);
    } else {
        let import = t.env.layout.imported_function(func.as_u32());
        let code = t.load_constant(types::I64, import + func_import::CODE);
        let vmctx = t.load_constant(types::I64, import + func_import::VMCTX);
        call(t, sig, Callee::Code(code), vmctx, kind);
    }
}

/// The index was popped last, so it lies on top of the arguments.
fn indirect(t: &mut Translator<'_, '_>, sig: SigIndex, table: u32, kind: Kind) {
    t.called.insert(sig);
    let index = t.pop();
    let callee = table::get_function(t, table, index);

    // One load says whether there is a function at all, since address 16 is never mapped, and of
    // which type it is.
    let null = Some(trap_code(Trap::IndirectCallToNull));
    let flags = t.flags.func_ref.with_trap_code(null);
    let found = t.builder.ins().load(types::I32, flags, callee, func_ref::TYPE_ID as i32);
    let ids = t.load_constant(types::I64, fixed::TYPE_IDS);
    let offset = i64::from(sig.as_u32()) * 4;
    let (ids, offset) = match i32::try_from(offset) {
        Ok(offset) => (ids, offset),
        Err(_) => (t.builder.ins().iadd_imm_s(ids, offset), 0),
    };
    let expected = t.builder.ins().load(types::I32, t.flags.constant, ids, offset);
    let same = t.builder.ins().icmp(IntCC::Equal, found, expected);
    t.builder.ins().trapz(same, trap_code(Trap::BadSignature));

    let flags = t.flags.func_ref;
    let code = t.builder.ins().load(types::I64, flags, callee, func_ref::CODE as i32);
    let vmctx = t.builder.ins().load(types::I64, flags, callee, func_ref::VMCTX as i32);
    call(t, sig, Callee::Code(code), vmctx, kind);
}

/// The reference lies on top of the arguments. It is of the right type, or null.
fn by_reference(t: &mut Translator<'_, '_>, ty: u32, kind: Kind) {
    let sig = t.env.info.types[ty as usize];
    t.called.insert(sig);
    let callee = t.pop();
    // The first page is never mapped, so the load is the question for null as well.
    let null = t.flags.func_ref.with_trap_code(Some(trap_code(Trap::NullReference)));
    let code = t.builder.ins().load(types::I64, null, callee, func_ref::CODE as i32);
    let flags = t.flags.func_ref;
    let vmctx = t.builder.ins().load(types::I64, flags, callee, func_ref::VMCTX as i32);
    call(t, sig, Callee::Code(code), vmctx, kind);
}

/// Pops the arguments, calls, and pushes the results; or calls and is done with the function.
/// `vmctx` is the callee's.
fn call(t: &mut Translator<'_, '_>, sig: SigIndex, callee: Callee, vmctx: ir::Value, kind: Kind) {
    let args = arguments(t, sig, vmctx);
    metering::spill(t);
    if kind == Kind::Tail {
        match callee {
            Callee::Defined(func) => t.builder.ins().return_call(func, &args),
            Callee::Code(code) => {
                let signature = signature(t, sig);
                t.builder.ins().return_call_indirect(signature, code, &args)
            }
        };
        control::stop(t);
        return;
    }
    let signature = signature(t, sig);
    if let Some(guard) = exception::guard(t, signature) {
        match callee {
            Callee::Defined(func) => t.builder.ins().try_call(func, &args, guard.table),
            Callee::Code(code) => t.builder.ins().try_call_indirect(code, &args, guard.table),
        };
        let results = guard.go_on(t);
        t.stack.extend(results);
    } else {
        let call = match callee {
            Callee::Defined(func) => t.builder.ins().call(func, &args),
            Callee::Code(code) => t.builder.ins().call_indirect(signature, code, &args),
        };
        t.stack.extend_from_slice(t.builder.func.dfg.inst_results(call));
    }
    metering::reload(t);
    let results = t.env.info.signatures.get(sig).results.iter();
    let first = t.stack.len() - results.len();
    for (i, ty) in results.enumerate() {
        t.declare(t.stack[first + i], *ty);
    }
}

/// Pops the arguments of a call; in front of them come the callee's vmctx and ours.
fn arguments(t: &mut Translator<'_, '_>, sig: SigIndex, callee: ir::Value) -> Vec<ir::Value> {
    let count = t.env.info.signatures.get(sig).params.len();
    t.canonical_top(count);
    let first = t.stack.len() - count;
    let mut args = Vec::with_capacity(count + 2);
    args.extend([callee, t.vmctx]);
    args.extend(t.stack.drain(first..));
    args
}

fn signature(t: &mut Translator<'_, '_>, sig: SigIndex) -> ir::SigRef {
    if let Some(known) = t.signatures.get(&sig) {
        return *known;
    }
    let clif = wasm_signature(t.env.isa, t.env.info.signatures.get(sig));
    let imported = t.builder.import_signature(clif);
    t.signatures.insert(sig, imported);
    imported
}

fn defined(t: &mut Translator<'_, '_>, func: FuncIndex, sig: SigIndex) -> ir::FuncRef {
    if let Some(known) = t.functions.get(&func) {
        return *known;
    }
    let signature = signature(t, sig);
    let imported = import(t, NAME_FUNC, func.as_u32(), signature);
    t.functions.insert(func, imported);
    imported
}

fn import(t: &mut Translator<'_, '_>, namespace: u32, index: u32, sig: ir::SigRef) -> ir::FuncRef {
    let name = ir::UserExternalName::new(namespace, index);
    let name = t.builder.func.declare_imported_user_function(name);
    t.builder.import_function(ir::ExtFuncData {
        name: ir::ExternalName::user(name),
        signature: sig,
        // Whatever is called by name is in the same text.
        colocated: true,
        patchable: false,
    })
}

/// Calls a builtin through its trampoline, which raises when it has to.
pub(crate) fn walking_builtin(
    t: &mut Translator<'_, '_>,
    builtin: Builtin,
    args: &[ir::Value],
) -> Option<ir::Value> {
    let callee = walk(t, builtin);
    // Whether an element is asked for depends on who looked at it before, and nobody sees it.
    let seen = builtin != Builtin::table_get_lazy && builtin != Builtin::epoch_passed;
    if seen {
        metering::spill(t);
    }
    let mut all = Vec::with_capacity(args.len() + 1);
    all.push(t.vmctx);
    all.extend_from_slice(args);
    let call = t.builder.ins().call(callee, &all);
    if builtin != Builtin::table_get_lazy {
        metering::reload(t);
    }
    t.builder.func.dfg.inst_results(call).first().copied()
}

/// Calls a builtin that throws, and does not come back. What follows cannot be reached.
pub(super) fn throwing_builtin(t: &mut Translator<'_, '_>, builtin: Builtin, args: &[ir::Value]) {
    let callee = walk(t, builtin);
    metering::spill(t);
    let mut all = vec![t.vmctx];
    all.extend_from_slice(args);
    let signature = t.builder.func.dfg.ext_funcs[callee].signature;
    if let Some(guard) = exception::guard(t, signature) {
        t.builder.ins().try_call(callee, &all, guard.table);
        guard.go_on(t);
    } else {
        t.builder.ins().call(callee, &all);
    }
    t.builder.ins().trap(trap_code(Trap::UnreachableCodeReached));
    control::stop(t);
}

/// The trampoline of a walking builtin.
fn walk(t: &mut Translator<'_, '_>, builtin: Builtin) -> ir::FuncRef {
    if let Some(known) = t.walks.get(&builtin) {
        return *known;
    }
    let signature = builtin_signature(t.env.isa, builtin);
    let signature = signature.expect("walking builtins have a trampoline");
    let signature = t.builder.import_signature(signature);
    let imported = import(t, NAME_BUILTIN, builtin as u32, signature);
    t.walks.insert(builtin, imported);
    imported
}

/// Calls a builtin that neither walks the stack nor traps.
pub(crate) fn leaf_builtin(
    t: &mut Translator<'_, '_>,
    builtin: Builtin,
    args: &[ir::Value],
) -> Option<ir::Value> {
    let signature = match t.leaves.get(&builtin) {
        Some(known) => *known,
        None => {
            let signature = leaf_signature(builtin, host_call_conv(t.env.isa));
            let signature = signature.expect("it is a leaf");
            let imported = t.builder.import_signature(signature);
            t.leaves.insert(builtin, imported);
            imported
        }
    };
    let builtins = t.load_constant(types::I64, fixed::BUILTINS);
    const { assert!(Builtin::ALL.len() as u32 * PTR <= i32::MAX as u32) };
    let offset = builtin.offset() as i32;
    let code = t.builder.ins().load(types::I64, t.flags.constant, builtins, offset);
    let call = t.builder.ins().call_indirect(signature, code, args);
    t.builder.func.dfg.inst_results(call).first().copied()
}

macro_rules! leaves {
    (@type i32) => { types::I32 };
    (@type i64) => { types::I64 };
    (@type f32) => { types::F32 };
    (@type f64) => { types::F64 };
    (@result none) => { None };
    (@result $ty:ident) => { Some(leaves!(@type $ty)) };
    (@row walk $args:tt $ret:ident) => { return None };
    (@row leaf ($($ty:ident),*) $ret:ident) => {
        (&[$(leaves!(@type $ty)),*], leaves!(@result $ret))
    };
    ($($(#[$doc:meta])* $class:ident $name:ident($($arg:ident: $ty:ident),*) -> $ret:ident;)*) => {
        /// The signature of a leaf builtin; `None` for the other ones.
        fn leaf_signature(builtin: Builtin, conv: CallConv) -> Option<ir::Signature> {
            let (params, result): (&[ir::Type], Option<ir::Type>) = match builtin {
                $(Builtin::$name => leaves!(@row $class ($($ty),*) $ret),)*
            };
            let mut signature = ir::Signature::new(conv);
            signature.params.extend(params.iter().copied().map(AbiParam::new));
            signature.returns.extend(result.map(AbiParam::new));
            Some(signature)
        }
    };
}
for_each_builtin!(leaves);
