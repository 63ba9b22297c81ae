//! WebAssembly's operators as CLIF, a file for each family.
//!
//! [`body`] walks a function's operators; [`Translator`] is the state that the families share.
//! Code that cannot be reached is validated but not translated: behind an unconditional branch
//! only the nesting of blocks is followed, up to an `end` or `else` that can be reached again.

pub(crate) mod atomic;
pub(crate) mod bulk;
pub(crate) mod call;
pub(crate) mod control;
pub(crate) mod exception;
pub(crate) mod locals;
pub(crate) mod memory;
pub(crate) mod metering;
pub(crate) mod numeric;
pub(crate) mod reference;
pub(crate) mod simd;
pub(crate) mod table;
pub(crate) mod variable;
pub(crate) mod wide;

#[cfg(test)]
mod tests;

use super::decode;
use super::effort::Size;
use super::function::{ModuleEnv, source_bits, trap_code};
use crate::Trap;
use crate::abi::builtins::Builtin;
use crate::error::{Error, ErrorKind, Result};
use crate::wasm::index::{FuncIndex, SigIndex};
use cranelift_codegen::ir::{self, AliasRegionData, InstBuilder, MemFlagsData, types};
use cranelift_frontend::FunctionBuilder;
use locals::{Locals, Storage};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use wasmparser::{
    FuncValidator, FunctionBody, Operator, OperatorsReader, ValType, ValidatorResources,
};

/// Most references that are kept across calls, summed up over all blocks and calls of a function.
const MOST_KEPT: usize = 1 << 25;

/// The state of one function's translation.
pub(crate) struct Translator<'a, 'f> {
    pub(crate) env: &'a ModuleEnv<'a>,
    pub(crate) builder: FunctionBuilder<'f>,
    pub(crate) func: FuncIndex,
    /// The operand stack. A `v128` is `I8X16`, or another vector type until its next use as such:
    /// take it with `pop_v128`, and see [`canonical`](Translator::canonical).
    pub(crate) stack: Vec<ir::Value>,
    /// The function's own vmctx.
    pub(crate) vmctx: ir::Value,
    pub(crate) flags: Flags,
    locals: Locals,
    control: control::Control,
    handlers: exception::Handlers,
    meter: metering::Meter,
    // What was declared in this function so far. Never iterated, so that the order of hashing
    // does not show.
    signatures: HashMap<SigIndex, ir::SigRef>,
    functions: HashMap<FuncIndex, ir::FuncRef>,
    walks: HashMap<Builtin, ir::FuncRef>,
    leaves: HashMap<Builtin, ir::SigRef>,
    /// Types of functions that are called by reference: the host's may be among them.
    called: HashSet<SigIndex>,
    /// Whether there are handles, and how many locals hold one.
    has_handles: bool,
    handle_locals: usize,
}

/// What loads and stores promise, by what they touch.
///
/// The alias regions are few and coarse: different ones never overlap, and that a mistake here
/// shows in nothing but wrong results is a reason to have no more of them than are worth it.
pub(crate) struct Flags {
    /// Constant as long as the function runs, and there wherever the function could look: such
    /// loads are values to the optimiser, to be shared and moved.
    pub(crate) constant: MemFlagsData,
    /// Bases and lengths that change when something grows.
    pub(crate) vmctx: MemFlagsData,
    pub(crate) global: MemFlagsData,
    /// Fuel, epoch and deadline.
    pub(crate) meters: MemFlagsData,
    /// Elements of tables. Traps as an access out of bounds: what is out of bounds is read at
    /// address 0.
    pub(crate) table: MemFlagsData,
    /// Linear memory. Traps as an access out of bounds.
    pub(crate) memory: MemFlagsData,
    /// What a thrown exception brings along. Not to be moved: where it lies is known right after
    /// the landing only.
    pub(crate) payload: MemFlagsData,
    /// The fields of a function reference, which never change once there is a pointer to it. Not
    /// to be moved, since before that they do.
    pub(crate) func_ref: MemFlagsData,
    /// Where handles are kept across calls; see [`Translator::declare_handle`].
    kept: Option<ir::AliasRegion>,
}

impl Flags {
    fn new(func: &mut ir::Function) -> Self {
        let mut next = 0;
        let mut region = |description: &'static str| {
            next += 1;
            let data = AliasRegionData { user_id: next, description: Cow::Borrowed(description) };
            Some(func.dfg.alias_regions.insert(data))
        };
        let little = MemFlagsData::new().with_endianness(ir::Endianness::Little);
        let trusted = little.with_notrap().with_aligned();
        let (vmctx, global) = (region("vmctx"), region("globals"));
        let (table, memory) = (region("tables"), region("memories"));
        let (meters, kept) = (region("meters"), region("kept handles"));
        Flags {
            constant: trusted.with_readonly().with_can_move(),
            vmctx: trusted.with_alias_region(vmctx),
            global: trusted.with_alias_region(global),
            meters: trusted.with_alias_region(meters),
            table: little
                .with_aligned()
                .with_trap_code(Some(trap_code(Trap::TableOutOfBounds)))
                .with_alias_region(table),
            memory: little
                .with_trap_code(Some(trap_code(Trap::MemoryOutOfBounds)))
                .with_alias_region(memory),
            payload: trusted,
            func_ref: trusted.with_readonly(),
            kept,
        }
    }
}

/// What [`body`] tells about a function.
pub(crate) struct Translated {
    pub(crate) size: Size,
    /// The types that it calls by reference, ascending.
    pub(crate) called: Vec<SigIndex>,
    /// What its calls name by index as what they can go on in.
    pub(crate) lists: Vec<exception::TagList>,
}

/// Translates `body`, the body of `func`, into the function of `builder`, and validates it.
///
/// Returns what it has become; or `None` if with locals as values it becomes too large: then the
/// caller has it translated again from the start, with locals in the frame.
///
/// # Errors
/// If the body is invalid, uses something unsupported, or exceeds a limit.
pub(crate) fn body(
    env: &ModuleEnv<'_>,
    mut builder: FunctionBuilder<'_>,
    func: FuncIndex,
    body: &FunctionBody<'_>,
    validator: &mut FuncValidator<ValidatorResources>,
    storage: Storage,
) -> Result<Option<Translated>> {
    // With the last offset all of them fit.
    source_bits(body.range().end)?;
    let mut reader = body.get_binary_reader();
    validator.read_locals(&mut reader).map_err(invalid)?;
    reader.set_features(*validator.features());

    let flags = Flags::new(builder.func);
    let kept = flags.kept;
    builder.make_stack_map_alias_region(Box::new(move |_, _, _, _| kept));
    let entry = builder.create_block();
    builder.append_block_params_for_function_params(entry);
    builder.switch_to_block(entry);
    builder.seal_block(entry);
    builder.set_srcloc(ir::SourceLoc::new(body.range().start as u32));
    let vmctx = builder.block_params(entry)[0];
    let mut t = Translator {
        env,
        builder,
        func,
        stack: Vec::new(),
        vmctx,
        flags,
        locals: Locals::default(),
        control: control::Control::default(),
        handlers: exception::Handlers::default(),
        meter: metering::Meter::default(),
        signatures: HashMap::new(),
        functions: HashMap::new(),
        walks: HashMap::new(),
        leaves: HashMap::new(),
        called: HashSet::new(),
        has_handles: false,
        handle_locals: 0,
    };
    locals::declare(&mut t, entry, body, storage)?;
    control::enter_function(&mut t);
    metering::enter_function(&mut t);

    let bytes = body.range().end.saturating_sub(body.range().start) as usize;
    let mut size = Size { bytes, ..Size::default() };
    let mut operators = OperatorsReader::new(reader);
    while !operators.eof() {
        let (op, offset) = operators.read_with_offset().map_err(invalid)?;
        validator.op(offset, &op).map_err(invalid)?;
        t.builder.set_srcloc(ir::SourceLoc::new(offset as u32));
        operator(&mut t, &op, offset)?;
        t.measure(&mut size);
        if !fits(&size, storage, offset)? {
            return Ok(None);
        }
    }
    operators.finish().map_err(invalid)?;
    size.arguments = arguments(t.builder.func);
    if !fits(&size, storage, body.range().start)? {
        return Ok(None);
    }
    if t.has_handles {
        check_handles(&t, size.operands, body.range().start)?;
    }
    t.builder.finalize(env.isa.frontend_config());
    let mut called: Vec<_> = t.called.into_iter().collect();
    called.sort_unstable();
    Ok(Some(Translated { size, called, lists: t.handlers.into_lists() }))
}

/// Whether a function of `size` may keep its locals in `storage`.
///
/// # Errors
/// If it is too large however they are kept. It is so at `offset`.
fn fits(size: &Size, storage: Storage, offset: u64) -> Result<bool> {
    if storage == Storage::Values && size.overflows() {
        return Ok(false);
    }
    if size.is_hopeless() {
        let message = "the function is too complex: its blocks have \
                       far more values, arguments and handlers than it has bytes";
        return Err(Error::module(ErrorKind::Limit, offset, message));
    }
    Ok(true)
}

/// What branches pass on, those values included that stand for locals.
fn arguments(func: &ir::Function) -> usize {
    let dfg = &func.dfg;
    let insts = func.layout.blocks().filter_map(|block| func.layout.last_inst(block));
    let calls = insts.flat_map(|inst| {
        dfg.insts[inst].branch_destination(&dfg.jump_tables, &dfg.exception_tables)
    });
    calls.map(|call| call.len(&dfg.value_lists)).sum()
}

/// Checks that the handles of a function are not too many to be kept: Cranelift has a set of them
/// for each block and each call, and artifacts a list for each call. No set has more than the
/// locals that are handles and the operands; `deepest` is the most operands that there were.
///
/// # Errors
/// If all sets together might have more than are worth it.
fn check_handles(t: &Translator<'_, '_>, deepest: usize, start: u64) -> Result<()> {
    let func = &t.builder.func;
    let insts = func.layout.blocks().flat_map(|block| func.layout.block_insts(block));
    let calls = insts.filter(|inst| func.dfg.insts[*inst].opcode().is_call()).count();
    let places = func.dfg.num_blocks() + calls;
    if places.saturating_mul(t.handle_locals + deepest) > MOST_KEPT {
        let message = "the function is too complex: it has too many references for its many calls";
        return Err(Error::module(ErrorKind::Limit, start, message));
    }
    Ok(())
}

/// Translates `op`, which is valid at this place.
///
/// # Errors
/// If the operator is not supported, or exceeds a limit.
pub(crate) fn operator(t: &mut Translator<'_, '_>, op: &Operator<'_>, offset: u64) -> Result<()> {
    if !t.control.reachable() {
        control::unreachable(t, op);
        return Ok(());
    }
    metering::note(t, op);
    let taken = variable::translate(t, op)
        || numeric::translate(t, op)?
        || memory::translate(t, op)
        || atomic::translate(t, op)
        || control::translate(t, op, offset)?
        || exception::translate(t, op, offset)?
        || call::translate(t, op)
        || reference::translate(t, op)
        || table::translate(t, op)
        || bulk::translate(t, op)
        || wide::translate(t, op)
        || simd::translate(t, op)?;
    if taken {
        return Ok(());
    }
    // Operators show their fields as well, which are nobody's business here.
    let name = format!("{op:?}");
    let name = name.split([' ', '{', '(']).next().unwrap_or_default();
    let message = format!("the operator {name} is not supported");
    Err(Error::module(ErrorKind::Unsupported, offset, message))
}

/// The reader's, or validator's, error as ours.
fn invalid(error: wasmparser::Error) -> Error {
    decode::invalid(&error)
}

/// How a value of type `ty` is kept in code; `None` if it is of no type that we have.
pub(crate) fn clif_type(ty: ValType) -> Option<ir::Type> {
    Some(match ty {
        ValType::I32 => types::I32,
        ValType::I64 => types::I64,
        ValType::F32 => types::F32,
        ValType::F64 => types::F64,
        ValType::V128 => types::I8X16,
        ValType::Ref(ty) => reference::clif_type(ty.heap_type())?,
    })
}

/// Whether values of type `ty` are handles into the store's heap.
pub(crate) fn in_heap(ty: ValType) -> bool {
    matches!(ty, ValType::Ref(ty) if reference::in_heap(ty.heap_type()))
}

/// Handles into the store's heap, which a collection has to find on the stack.
///
/// **Whoever makes a value that may be one says so here, or makes it through one of these**:
/// results of calls and builtins, loads, selections, parameters of blocks and landing pads,
/// locals. Cranelift then keeps it in the frame across every call that it is live behind, and
/// tells where. A value that only passes on another one, and null, need no word.
impl Translator<'_, '_> {
    /// `value` is a handle, or null.
    pub(crate) fn declare_handle(&mut self, value: ir::Value) {
        self.has_handles = true;
        self.builder.declare_value_needs_stack_map(value);
    }

    /// `value` is of type `ty`, and a handle if such values are.
    pub(crate) fn declare(&mut self, value: ir::Value, ty: crate::wasm::types::ValType) {
        if ty.in_heap() {
            self.declare_handle(value);
        }
    }

    /// Adds a parameter to `block`.
    pub(crate) fn add_param(&mut self, block: ir::Block, ty: ir::Type, in_heap: bool) -> ir::Value {
        let param = self.builder.append_block_param(block, ty);
        if in_heap {
            self.declare_handle(param);
        }
        param
    }
}

impl Translator<'_, '_> {
    /// Counts what there is so far.
    fn measure(&self, size: &mut Size) {
        let dfg = &self.builder.func.dfg;
        size.blocks = dfg.num_blocks();
        size.insts = dfg.num_insts();
        size.values = dfg.num_values();
        size.variables = self.locals.in_variables();
        (size.loops, size.loop_depth) = self.control.loops();
        size.operands = size.operands.max(self.stack.len());
        size.handlers = self.handlers.entries();
        size.arguments = self.control.passed();
    }

    /// Pushes a value.
    pub(crate) fn push(&mut self, value: ir::Value) {
        self.stack.push(value);
    }

    /// Pops a value. The body is validated, so there is one.
    pub(crate) fn pop(&mut self) -> ir::Value {
        self.stack.pop().expect("validated code never pops an empty stack")
    }

    /// Pops two values, the deeper one first.
    pub(crate) fn pop2(&mut self) -> (ir::Value, ir::Value) {
        let second = self.pop();
        (self.pop(), second)
    }

    /// Pops three values, the deepest first.
    pub(crate) fn pop3(&mut self) -> (ir::Value, ir::Value, ir::Value) {
        let third = self.pop();
        let (first, second) = self.pop2();
        (first, second, third)
    }

    pub(crate) fn value_type(&self, value: ir::Value) -> ir::Type {
        self.builder.func.dfg.value_type(value)
    }

    /// The same value in the type that it has in locals, arguments and results: a `v128` as
    /// `I8X16`.
    pub(crate) fn canonical(&mut self, value: ir::Value) -> ir::Value {
        let ty = self.value_type(value);
        if !ty.is_vector() || ty == types::I8X16 {
            return value;
        }
        let flags = MemFlagsData::new().with_endianness(ir::Endianness::Little);
        self.builder.ins().bitcast(types::I8X16, flags, value)
    }

    /// Makes the top `count` values canonical where they are.
    fn canonical_top(&mut self, count: usize) {
        for i in self.stack.len() - count..self.stack.len() {
            self.stack[i] = self.canonical(self.stack[i]);
        }
    }

    /// The number that `value` always is, if that is plain to see.
    fn constant(&self, value: ir::Value) -> Option<u64> {
        let dfg = &self.builder.func.dfg;
        let value = dfg.resolve_aliases(value);
        let inst = dfg.value_def(value).inst()?;
        match dfg.insts[inst] {
            ir::InstructionData::UnaryImm { opcode: ir::Opcode::Iconst, imm } => {
                let bits = imm.bits().cast_unsigned();
                let unused = 64 - dfg.value_type(value).bits();
                Some(bits << unused >> unused)
            }
            _ => None,
        }
    }

    /// A constant of the vmctx.
    pub(crate) fn load_constant(&mut self, ty: ir::Type, offset: u32) -> ir::Value {
        // The whole vmctx is within reach of an i32: see `Layout::new`.
        self.builder.ins().load(ty, self.flags.constant, self.vmctx, offset as i32)
    }

    /// Always traps. What comes behind it is translated on, as code that cannot be reached.
    fn trap_here(&mut self, trap: Trap) {
        self.builder.ins().trap(trap_code(trap));
        let behind = self.builder.create_block();
        self.builder.seal_block(behind);
        self.builder.switch_to_block(behind);
    }

    /// An index or length as `i64`, zero-extended unless it is one already.
    fn extend(&mut self, value: ir::Value) -> ir::Value {
        if self.value_type(value) == types::I64 {
            return value;
        }
        self.builder.ins().uextend(types::I64, value)
    }

    /// The inverse of `extend`: as the index type of a 64-bit or 32-bit memory or table.
    fn reduce(&mut self, value: ir::Value, is_64: bool) -> ir::Value {
        if is_64 { value } else { self.builder.ins().ireduce(types::I32, value) }
    }
}
