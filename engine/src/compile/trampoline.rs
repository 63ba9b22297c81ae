//! The ways in and out of wasm: entry, host and builtin trampolines, as `abi/mod.rs` has them.

use super::function::{CompiledCode, finish, trap_code};
use super::isa::{host_call_conv, value_type, wasm_signature};
use crate::Trap;
use crate::abi::builtins::{Builtin, RAISE_PTR, RAISE_SIZE, for_each_builtin};
use crate::abi::vmctx::{VALUE_SIZE, fixed, host_func, store};
use crate::error::Result;
use crate::wasm::types::{Signature, ValType};
use cranelift_codegen::Context;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    self, AbiParam, BlockArg, ExceptionTableData, ExceptionTableItem, InstBuilder, MemFlagsData,
    StackSlotData, StackSlotKind, Value, types,
};
use cranelift_codegen::isa::{CallConv, TargetIsa};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};

/// Makes one trampoline after another and keeps the allocations between them.
pub(crate) struct TrampolineCompiler<'a> {
    isa: &'a dyn TargetIsa,
    ctx: Context,
    builder: FunctionBuilderContext,
}

/// What comes back from a walking builtin, in the table's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Bool,
    Size,
    Ptr,
    Never,
}

impl Outcome {
    /// What the builtin itself returns. The low byte of a `bool` counts alone, so that it does not
    /// matter whether the runtime's function has a C `bool` or a wider integer.
    fn host(self) -> Option<ir::Type> {
        match self {
            Outcome::Bool => Some(types::I8),
            Outcome::Size | Outcome::Ptr => Some(types::I64),
            Outcome::Never => None,
        }
    }

    /// What its trampoline returns to code.
    fn wasm(self) -> Option<ir::Type> {
        match self {
            Outcome::Bool | Outcome::Never => None,
            Outcome::Size | Outcome::Ptr => Some(types::I64),
        }
    }
}

macro_rules! walks {
    // Collects the rows of walking builtins; leaf ones have no trampoline.
    (@row walk $name:ident ($($ty:ident),*) never) => {
        Some((&[$(walks!(@type $ty)),*], Outcome::Never))
    };
    (@row walk $name:ident ($($ty:ident),*) bool) => {
        Some((&[$(walks!(@type $ty)),*], Outcome::Bool))
    };
    (@row walk $name:ident ($($ty:ident),*) size) => {
        Some((&[$(walks!(@type $ty)),*], Outcome::Size))
    };
    (@row walk $name:ident ($($ty:ident),*) ptr) => {
        Some((&[$(walks!(@type $ty)),*], Outcome::Ptr))
    };
    (@row leaf $name:ident ($($ty:ident),*) $ret:ident) => { None };
    (@type i32) => { types::I32 };
    (@type i64) => { types::I64 };
    (@type f32) => { types::F32 };
    (@type f64) => { types::F64 };
    ($($(#[$doc:meta])* $class:ident $name:ident($($arg:ident: $ty:ident),*) -> $ret:ident;)*) => {
        /// Arguments behind the vmctx and the outcome; `None` for leaf builtins.
        fn walking(builtin: Builtin) -> Option<(&'static [ir::Type], Outcome)> {
            match builtin {
                $(Builtin::$name => walks!(@row $class $name ($($ty),*) $ret),)*
            }
        }
    };
}
for_each_builtin!(walks);

/// The signature of the trampoline of `builtin`; `None` for leaf builtins, which have none.
pub(crate) fn builtin_signature(isa: &dyn TargetIsa, builtin: Builtin) -> Option<ir::Signature> {
    let (args, outcome) = walking(builtin)?;
    let convention = if builtin.keeps_registers() { CallConv::PreserveAll } else { CallConv::Tail };
    let mut sig = ir::Signature::new(convention);
    sig.params.push(AbiParam::new(isa.pointer_type()));
    sig.params.extend(args.iter().map(|ty| AbiParam::new(*ty)));
    sig.returns.extend(outcome.wasm().map(AbiParam::new));
    Some(sig)
}

impl<'a> TrampolineCompiler<'a> {
    pub(crate) fn new(isa: &'a dyn TargetIsa) -> Self {
        let (ctx, builder) = (Context::new(), FunctionBuilderContext::new());
        TrampolineCompiler { isa, ctx, builder }
    }

    /// The entry trampoline of functions of type `sig`.
    ///
    /// # Errors
    /// `Bug` only.
    pub(crate) fn entry(&mut self, sig: &Signature) -> Result<CompiledCode> {
        let isa = self.isa;
        let pointer = isa.pointer_type();
        let callee_sig = wasm_signature(isa, sig);
        self.build(entry_signature(isa), |b, params| {
            let [callee, caller, values, code] = *params else { unreachable!("four parameters") };
            let mut args = vec![callee, caller];
            args.extend(load_values(b, values, &sig.params));

            // Where whoever raises a trap goes on.
            let call = b.create_block();
            let store = b.ins().load(pointer, constant(), callee, offset(fixed::STORE));
            let fp = b.ins().get_frame_pointer(pointer);
            b.ins().store(plain(), fp, store, offset(store::ENTRY_FP));
            let sp = b.ins().get_stack_pointer(pointer);
            b.ins().store(plain(), sp, store, offset(store::ENTRY_SP));
            let handler = b.ins().get_exception_handler_address(pointer, call, 0);
            b.ins().store(plain(), handler, store, offset(store::ENTRY_HANDLER));
            b.ins().jump(call, []);

            // The call ends a block of its own, which the handler's address names.
            b.switch_to_block(call);
            let (returned, raised) = (b.create_block(), b.create_block());
            let results: Vec<Value> = sig
                .results
                .iter()
                .map(|ty| b.append_block_param(returned, value_type(*ty)))
                .collect();
            let result_args: Vec<_> = (0..results.len() as u32).map(BlockArg::TryCallRet).collect();
            let lists = &mut b.func.dfg.value_lists;
            let normal = ir::BlockCall::new(returned, result_args, lists);
            let default = ExceptionTableItem::Default(ir::BlockCall::new(raised, [], lists));
            let callee_sig = b.import_signature(callee_sig);
            let table = ExceptionTableData::new(callee_sig, normal, [default]);
            let table = b.func.dfg.exception_tables.push(table);
            b.ins().try_call_indirect(code, &args, table);

            b.switch_to_block(returned);
            store_values(b, values, &results);
            let done = b.ins().iconst(types::I32, 1);
            b.ins().return_(&[done]);

            b.switch_to_block(raised);
            let failed = b.ins().iconst(types::I32, 0);
            b.ins().return_(&[failed]);
        })
    }

    /// The host trampoline of functions of type `sig`.
    ///
    /// # Errors
    /// `Bug` only.
    pub(crate) fn host(&mut self, sig: &Signature) -> Result<CompiledCode> {
        let isa = self.isa;
        let pointer = isa.pointer_type();
        self.build(wasm_signature(isa, sig), |b, params| {
            let (callee, caller) = (params[0], params[1]);
            record_exit(b, isa, caller);
            let count = sig.params.len().max(sig.results.len());
            let slot = b.create_sized_stack_slot(StackSlotData::new(
                StackSlotKind::ExplicitSlot,
                count as u32 * VALUE_SIZE,
                VALUE_SIZE.trailing_zeros() as u8,
            ));
            let values = b.ins().stack_addr(pointer, slot, 0);
            store_values(b, values, &params[2..]);

            let mut host = ir::Signature::new(host_call_conv(isa));
            host.params.extend([AbiParam::new(pointer); 4]);
            host.returns.push(AbiParam::new(types::I32));
            let host = b.import_signature(host);
            let code = b.ins().load(pointer, constant(), callee, offset(host_func::CALL));
            let count = b.ins().iconst(pointer, count as i64);
            let call = b.ins().call_indirect(host, code, &[callee, caller, values, count]);
            let ok = b.inst_results(call)[0];
            or_raise(b, isa, caller, ok);

            let results: Vec<Value> = load_values(b, values, &sig.results).collect();
            b.ins().return_(&results);
        })
    }

    /// The trampoline of `builtin`; `None` for leaf builtins.
    ///
    /// # Errors
    /// `Bug` only.
    pub(crate) fn builtin(&mut self, builtin: Builtin) -> Result<Option<CompiledCode>> {
        let isa = self.isa;
        let (Some((_, outcome)), Some(sig)) = (walking(builtin), builtin_signature(isa, builtin))
        else {
            return Ok(None);
        };
        let mut host = ir::Signature::new(host_call_conv(isa));
        host.params.clone_from(&sig.params);
        host.returns.extend(outcome.host().map(AbiParam::new));
        let code = self.build(sig, |b, params| {
            let vmctx = params[0];
            record_exit(b, isa, vmctx);
            let host = b.import_signature(host);
            let code = load_builtin(b, isa, vmctx, builtin);
            let call = b.ins().call_indirect(host, code, params);
            let result = b.inst_results(call).first().copied();
            let raises = match outcome {
                Outcome::Size => RAISE_SIZE,
                Outcome::Ptr => RAISE_PTR,
                Outcome::Bool => 0,
                Outcome::Never => {
                    b.ins().trap(trap_code(Trap::UnreachableCodeReached));
                    return;
                }
            };
            let result = result.expect("all but `never` return something");
            match outcome {
                Outcome::Bool => {
                    or_raise(b, isa, vmctx, result);
                    b.ins().return_(&[]);
                }
                _ => {
                    let ok = b.ins().icmp_imm_s(IntCC::NotEqual, result, raises);
                    or_raise(b, isa, vmctx, ok);
                    b.ins().return_(&[result]);
                }
            }
        })?;
        Ok(Some(code))
    }

    /// Builds a function of type `sig` and compiles it. `body` starts in the entry block with the
    /// parameters, and ends the last block.
    fn build(
        &mut self,
        sig: ir::Signature,
        body: impl FnOnce(&mut FunctionBuilder<'_>, &[Value]),
    ) -> Result<CompiledCode> {
        self.ctx.clear();
        self.ctx.func.signature = sig;
        let mut builder = FunctionBuilder::new(&mut self.ctx.func, &mut self.builder);
        let entry = builder.create_block();
        builder.append_block_params_for_function_params(entry);
        builder.switch_to_block(entry);
        let params = builder.block_params(entry).to_vec();
        body(&mut builder, &params);
        builder.seal_all_blocks();
        builder.finalize(self.isa.frontend_config());
        finish(&mut self.ctx, self.isa)
    }
}

/// `host(callee vmctx, caller vmctx, values, code) -> u32`.
fn entry_signature(isa: &dyn TargetIsa) -> ir::Signature {
    let mut sig = ir::Signature::new(host_call_conv(isa));
    sig.params.extend([AbiParam::new(isa.pointer_type()); 4]);
    sig.returns.push(AbiParam::new(types::I32));
    sig
}

/// An access that cannot fault.
fn plain() -> MemFlagsData {
    MemFlagsData::new().with_notrap().with_endianness(ir::Endianness::Little)
}

/// An access to what never changes.
fn constant() -> MemFlagsData {
    plain().with_readonly().with_can_move()
}

fn offset(offset: u32) -> i32 {
    offset as i32
}

fn value_offset(index: usize) -> i32 {
    // A signature has at most 1,000 parameters and 1,000 results.
    offset(index as u32 * VALUE_SIZE)
}

fn load_values(
    b: &mut FunctionBuilder<'_>,
    values: Value,
    types: &[ValType],
) -> impl Iterator<Item = Value> {
    let types = types.iter().enumerate();
    let loaded =
        types.map(|(i, ty)| b.ins().load(value_type(*ty), plain(), values, value_offset(i)));
    loaded.collect::<Vec<_>>().into_iter()
}

fn store_values(b: &mut FunctionBuilder<'_>, values: Value, stored: &[Value]) {
    for (i, value) in stored.iter().enumerate() {
        b.ins().store(plain(), *value, values, value_offset(i));
    }
}

/// Writes into the store of `vmctx` where wasm was left: by the function that called this one.
fn record_exit(b: &mut FunctionBuilder<'_>, isa: &dyn TargetIsa, vmctx: Value) {
    let pointer = isa.pointer_type();
    let store = b.ins().load(pointer, constant(), vmctx, offset(fixed::STORE));
    let fp = b.ins().get_frame_pointer(pointer);
    b.ins().store(plain(), fp, store, offset(store::EXIT_FP));
    let pc = b.ins().get_return_address(pointer);
    b.ins().store(plain(), pc, store, offset(store::EXIT_PC));
}

/// Goes on in a new block where `ok` is not 0; raises what is pending otherwise.
fn or_raise(b: &mut FunctionBuilder<'_>, isa: &dyn TargetIsa, vmctx: Value, ok: Value) {
    let (raise, go_on) = (b.create_block(), b.create_block());
    b.set_cold_block(raise);
    b.ins().brif(ok, go_on, [], raise, []);

    b.switch_to_block(raise);
    let mut sig = ir::Signature::new(host_call_conv(isa));
    sig.params.push(AbiParam::new(isa.pointer_type()));
    let sig = b.import_signature(sig);
    let code = load_builtin(b, isa, vmctx, Builtin::raise);
    b.ins().call_indirect(sig, code, &[vmctx]);
    // It does not return.
    b.ins().trap(trap_code(Trap::UnreachableCodeReached));

    b.switch_to_block(go_on);
}

fn load_builtin(
    b: &mut FunctionBuilder<'_>,
    isa: &dyn TargetIsa,
    vmctx: Value,
    builtin: Builtin,
) -> Value {
    let pointer = isa.pointer_type();
    let table = b.ins().load(pointer, constant(), vmctx, offset(fixed::BUILTINS));
    b.ins().load(pointer, constant(), table, offset(builtin.offset()))
}
