//! One function: from its body to machine code.
//!
//! Each operator is validated, then translated, so that the translation relies on what the
//! validator has just checked. What comes out names nothing by address: calls of functions and of
//! builtin trampolines are left to `link.rs`, all else goes through the vmctx.

use super::effort::Effort;
use super::isa::{self, wasm_signature};
use super::translate::exception::TagList;
use super::translate::{self, locals::Storage};
use crate::Trap;
use crate::abi::builtins::Builtin;
use crate::abi::vmctx::{self, Layout};
use crate::artifact::handlers::TryCall;
use crate::artifact::sites::Site;
use crate::artifact::stack_maps::StackMap;
use crate::error::{Error, ErrorKind, Result};
use crate::fingerprint::Fingerprint;
use crate::wasm::index::{DefinedFuncIndex, FuncIndex, SigIndex};
use crate::wasm::module::ModuleInfo;
use cranelift_codegen::binemit;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{self, TrapCode};
use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use cranelift_codegen::{
    CodegenError, Context, ExceptionContextLoc, FinalizedMachCallSite,
    FinalizedMachExceptionHandler, FinalizedRelocTarget,
};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use wasmparser::{
    FuncToValidate, FuncValidator, FuncValidatorAllocations, FunctionBody, ValidatorResources,
};

pub(crate) use super::translate::Translator;

/// What the translation of every function of a module reads.
pub(crate) struct ModuleEnv<'a> {
    pub(crate) info: &'a ModuleInfo,
    pub(crate) layout: Layout,
    pub(crate) settings: Fingerprint,
    pub(crate) isa: &'a dyn TargetIsa,
}

/// Namespace of `ir::UserExternalName`s: `index` is a `FuncIndex` of this module.
pub(crate) const NAME_FUNC: u32 = 0;
/// Namespace of `ir::UserExternalName`s: `index` is a `Builtin`'s number; what is called is its
/// trampoline.
pub(crate) const NAME_BUILTIN: u32 = 1;

/// The code of one function or trampoline.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct CompiledCode {
    pub(crate) code: Box<[u8]>,
    /// A power of two.
    pub(crate) align: u32,
    /// Ascending by place.
    pub(crate) relocs: Box<[Reloc]>,
    /// Ascending by pc.
    pub(crate) sites: Box<[Site]>,
    /// Ascending by pc.
    pub(crate) stack_maps: Box<[StackMap]>,
    /// Calls in blocks with handlers, ascending by return address. None in trampolines.
    pub(crate) try_calls: Box<[TryCall]>,
}

/// A call that `link.rs` points to its target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reloc {
    /// The first byte to change, from the start of the code.
    pub(crate) at: u32,
    pub(crate) kind: RelocKind,
    pub(crate) target: CallTarget,
    pub(crate) addend: i64,
}

/// How the distance to the target is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RelocKind {
    /// Four bytes: target + addend - place.
    X86CallRel32,
    /// The low 26 bits of an instruction: (target + addend - place) / 4.
    Aarch64Call26,
}

/// What is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CallTarget {
    /// A defined function.
    Func(FuncIndex),
    /// The trampoline of a walking builtin.
    Builtin(Builtin),
}

/// Compiles one function after another on one thread, and keeps the allocations between them.
pub(crate) struct FunctionCompiler {
    ctx: Context,
    builder: FunctionBuilderContext,
    validator: FuncValidatorAllocations,
    /// For functions that get little effort, once there was one.
    simple: Option<OwnedTargetIsa>,
    /// Types that the last function calls by reference.
    called: Vec<SigIndex>,
    #[cfg(test)]
    pub(crate) effort: Effort,
}

impl FunctionCompiler {
    pub(crate) fn new() -> Self {
        FunctionCompiler {
            ctx: Context::new(),
            builder: FunctionBuilderContext::new(),
            validator: FuncValidatorAllocations::default(),
            simple: None,
            called: Vec::new(),
            #[cfg(test)]
            effort: Effort::default(),
        }
    }

    /// Validates and compiles `body`, the body of `func`; `validate` is what validates it.
    ///
    /// # Errors
    /// If the body is invalid, uses something unsupported, or exceeds a limit.
    pub(crate) fn compile(
        &mut self,
        env: &ModuleEnv<'_>,
        func: DefinedFuncIndex,
        body: FunctionBody<'_>,
        validate: FuncToValidate<ValidatorResources>,
    ) -> Result<CompiledCode> {
        let func = env.info.func_index(func);
        let FuncToValidate { resources, index, ty, features } = validate;
        let mut build = |locals| {
            let resources = resources.clone();
            let validate = FuncToValidate { resources, index, ty, features };
            let mut validator = validate.into_validator(std::mem::take(&mut self.validator));
            let built = self.build(env, func, &body, &mut validator, locals)?;
            self.validator = validator.into_allocations();
            Ok::<_, Error>(built)
        };
        let (effort, lists) = match build(Storage::Values)? {
            Some(built) => built,
            None => build(Storage::Frame)?.ok_or_else(|| bug("a function was given up twice"))?,
        };
        #[cfg(test)]
        {
            self.effort = effort;
        }
        let isa = match (effort.simple, &mut self.simple) {
            (false, _) => env.isa,
            (true, Some(simple)) => &**simple,
            (true, simple) => &**simple.insert(isa::build_simple(&env.settings)?),
        };
        let mut code = finish(&mut self.ctx, isa).map_err(|error| {
            let start = body.range().start;
            error.context(format!("function {} (at offset {start:#x})", func.as_u32()))
        })?;
        code.try_calls = try_calls(&self.ctx, &lists)?;
        Ok(code)
    }

    /// The types that the function that was compiled last calls by reference.
    pub(crate) fn take_called(&mut self) -> Vec<SigIndex> {
        std::mem::take(&mut self.called)
    }

    /// The CLIF that was compiled last, after optimisation.
    #[cfg(test)]
    pub(crate) fn clif(&self) -> String {
        self.ctx.func.display().to_string()
    }

    /// Puts the CLIF of `body` into the context, whose calls name lists of handlers by index, and
    /// says how it is to be compiled; `None` if it has to be built once more, with locals in the
    /// frame.
    fn build(
        &mut self,
        env: &ModuleEnv<'_>,
        func: FuncIndex,
        body: &FunctionBody<'_>,
        validator: &mut FuncValidator<ValidatorResources>,
        locals: Storage,
    ) -> Result<Option<(Effort, Vec<TagList>)>> {
        self.ctx.clear();
        let clif = &mut self.ctx.func;
        clif.name = ir::UserFuncName::user(NAME_FUNC, func.as_u32());
        clif.signature = wasm_signature(env.isa, env.info.func_signature(func));
        // The prologue finds the stack limit through this parameter.
        clif.signature.params[0].purpose = ir::ArgumentPurpose::VMContext;
        // What the prologue does is reported at the start of the body.
        clif.params.ensure_base_srcloc(ir::SourceLoc::new(source_bits(body.range().start)?));
        stack_limit(clif);
        let builder = FunctionBuilder::new(clif, &mut self.builder);
        let done = translate::body(env, builder, func, body, validator, locals);
        if !matches!(done, Ok(Some(_))) {
            // A builder that was dropped half way leaves its state behind.
            self.builder = FunctionBuilderContext::new();
        }
        Ok(done?.map(|translated| {
            self.called = translated.called;
            (Effort::of(&translated.size, locals), translated.lists)
        }))
    }
}

/// A byte offset in a module as the bits of a `SourceLoc`, which keeps one value for "none".
pub(crate) fn source_bits(offset: u64) -> Result<u32> {
    u32::try_from(offset)
        .ok()
        .filter(|bits| *bits != u32::MAX)
        .ok_or_else(|| Error::module(ErrorKind::Limit, offset, "modules end before 4 GiB"))
}

/// Has the prologue compare the stack pointer with the store's limit.
fn stack_limit(func: &mut ir::Function) {
    let flags = func.dfg.mem_flags.insert(ir::MemFlagsData::trusted());
    let flags = flags.expect("the first flags of a function fit");
    let mut global = ir::GlobalValueData::VMContext;
    for offset in [vmctx::fixed::STORE, vmctx::store::STACK_LIMIT] {
        let base = func.create_global_value(global);
        global = ir::GlobalValueData::Load {
            base,
            offset: ir::immediates::Offset32::new(offset as i32),
            global_type: ir::types::I64,
            flags,
        };
    }
    func.stack_limit = Some(func.create_global_value(global));
}

/// Where `trap` is a trap of Cranelift's own, that one; else our number.
pub(crate) fn trap_code(trap: Trap) -> TrapCode {
    match trap {
        Trap::StackOverflow => TrapCode::STACK_OVERFLOW,
        Trap::MemoryOutOfBounds => TrapCode::HEAP_OUT_OF_BOUNDS,
        Trap::IntegerOverflow => TrapCode::INTEGER_OVERFLOW,
        Trap::IntegerDivisionByZero => TrapCode::INTEGER_DIVISION_BY_ZERO,
        Trap::BadConversionToInteger => TrapCode::BAD_CONVERSION_TO_INTEGER,
        other => TrapCode::unwrap_user(other as u8),
    }
}

/// The inverse of [`trap_code`].
fn trap_of(code: TrapCode) -> Option<Trap> {
    match code {
        TrapCode::STACK_OVERFLOW => Some(Trap::StackOverflow),
        TrapCode::HEAP_OUT_OF_BOUNDS => Some(Trap::MemoryOutOfBounds),
        TrapCode::INTEGER_OVERFLOW => Some(Trap::IntegerOverflow),
        TrapCode::INTEGER_DIVISION_BY_ZERO => Some(Trap::IntegerDivisionByZero),
        TrapCode::BAD_CONVERSION_TO_INTEGER => Some(Trap::BadConversionToInteger),
        other => Trap::from_u8(other.as_raw().get()),
    }
}

/// Compiles the function in `ctx` and takes what became of it.
///
/// # Errors
/// If it is too large; and `ErrorKind::Bug` if the code would need something at load that
/// artifacts do not have.
pub(crate) fn finish(ctx: &mut Context, isa: &dyn TargetIsa) -> Result<CompiledCode> {
    // The control plane is for fuzzing: the default one leaves the code alone.
    ctx.compile(isa, &mut ControlPlane::default()).map_err(|error| match error.inner {
        CodegenError::ImplLimitExceeded | CodegenError::CodeTooLarge => {
            Error::with_kind(ErrorKind::Limit, "the function is too large to be compiled")
        }
        CodegenError::Verifier(errors) => bug(format!("code is ill-formed: {errors}")),
        other => bug(other),
    })?;
    let compiled = ctx.compiled_code().ok_or_else(|| bug("there is no code"))?;
    Ok(CompiledCode {
        code: compiled.code_buffer().into(),
        align: compiled.buffer.alignment,
        relocs: relocs(ctx, compiled)?,
        sites: sites(ctx, compiled)?,
        stack_maps: stack_maps(compiled)?,
        try_calls: Box::default(),
    })
}

fn bug(message: impl std::fmt::Display) -> Error {
    Error::with_kind(ErrorKind::Bug, message)
}

fn relocs(ctx: &Context, compiled: &cranelift_codegen::CompiledCode) -> Result<Box<[Reloc]>> {
    let names = ctx.func.params.user_named_funcs();
    let reloc = |reloc: &cranelift_codegen::FinalizedMachReloc| {
        let kind = match reloc.kind {
            binemit::Reloc::X86CallPCRel4 => RelocKind::X86CallRel32,
            binemit::Reloc::Arm64Call => RelocKind::Aarch64Call26,
            other => return Err(bug(format!("code needs a relocation of kind {other}"))),
        };
        let FinalizedRelocTarget::ExternalName(ir::ExternalName::User(name)) = &reloc.target else {
            return Err(bug(format!("code calls {:?}", reloc.target)));
        };
        let name = &names[*name];
        let target = match name.namespace {
            NAME_FUNC => CallTarget::Func(FuncIndex::new(name.index)),
            NAME_BUILTIN => match Builtin::ALL.get(name.index as usize) {
                Some(builtin) => CallTarget::Builtin(*builtin),
                None => return Err(bug(format!("code calls builtin {}", name.index))),
            },
            _ => return Err(bug(format!("code calls {name}"))),
        };
        Ok(Reloc { at: reloc.offset, kind, target, addend: reloc.addend })
    };
    compiled.buffer.relocs().iter().map(reloc).collect()
}

/// The calls of the function in `ctx` that name one of `lists`, ascending by return address.
fn try_calls(ctx: &Context, lists: &[TagList]) -> Result<Box<[TryCall]>> {
    use FinalizedMachExceptionHandler::{Context, Tag};
    let compiled = ctx.compiled_code().ok_or_else(|| bug("there is no code"))?;
    let calls = compiled.buffer.call_sites().filter(|call| !call.exception_handlers.is_empty());
    let call = |call: FinalizedMachCallSite<'_>| match *call.exception_handlers {
        [Context(ExceptionContextLoc::SPOffset(context)), Tag(list, landing)] => Some(TryCall {
            return_address: call.ret_addr,
            frame_size: call.frame_offset?,
            context,
            landing,
            tags: lists.get(list.as_u32() as usize)?.clone(),
        }),
        _ => None,
    };
    let calls: Option<Vec<_>> = calls.map(call).collect();
    let mut calls = calls.ok_or_else(|| bug("a call does not say where it goes on"))?;
    calls.sort_by_key(|call| call.return_address);
    Ok(calls.into())
}

fn sites(ctx: &Context, compiled: &cranelift_codegen::CompiledCode) -> Result<Box<[Site]>> {
    // Of trampolines nothing has a place in the module.
    let base = ctx.func.params.base_srcloc();
    let base = if base.is_default() { 0 } else { base.bits() };
    // Ranges ascend and do not overlap; where there is none, what happens belongs to the prologue.
    let srclocs = compiled.buffer.get_srclocs_sorted();
    let wasm_offset = |pc: u32| {
        let at = srclocs.partition_point(|s| s.end <= pc);
        match srclocs.get(at) {
            Some(s) if s.start <= pc && !s.loc.is_default() => s.loc.bits(),
            _ => base,
        }
    };
    let buffer = &compiled.buffer;
    let mut sites = Vec::with_capacity(buffer.traps().len() + buffer.call_sites().count());
    for trap in buffer.traps() {
        let code = trap_of(trap.code);
        let code = code.ok_or_else(|| bug(format!("code traps with {}", trap.code)))?;
        let wasm_offset = wasm_offset(trap.offset);
        sites.push(Site { pc: trap.offset, wasm_offset, trap: Some(code) });
    }
    for call in buffer.call_sites() {
        // The address behind a call belongs to what comes next, the byte before it to the call.
        let wasm_offset = wasm_offset(call.ret_addr.saturating_sub(1));
        sites.push(Site { pc: call.ret_addr, wasm_offset, trap: None });
    }
    sites.sort_by_key(|site| (site.pc, site.trap.map(|trap| trap as u8)));
    Ok(sites.into())
}

/// The stack maps, as artifacts have them: what Cranelift counts from the stack pointer, counted
/// from the frame pointer, which is what a walk of the stack comes by.
fn stack_maps(compiled: &cranelift_codegen::CompiledCode) -> Result<Box<[StackMap]>> {
    let map = |(pc, frame, map): &(u32, u32, ir::UserStackMap)| {
        let slot = |(ty, offset): (ir::Type, u32)| {
            let distance = frame.checked_sub(offset).filter(|distance| *distance >= ty.bytes());
            match distance {
                Some(distance) if ty == ir::types::I32 && distance % 4 == 0 => Ok(distance),
                _ => Err(bug(format!("a stack map has {ty} at {offset} of {frame}"))),
            }
        };
        let mut slots = map.entries().map(slot).collect::<Result<Vec<_>>>()?;
        slots.sort_unstable();
        Ok(StackMap { pc: *pc, slots: slots.into() })
    };
    let maps = compiled.buffer.user_stack_maps().iter();
    maps.filter(|(_, _, map)| map.entries().next().is_some()).map(map).collect()
}
