//! Blocks and branches.
//!
//! A frame's continuation is a CLIF block of its own only if something branches to it: most
//! blocks of a module end by falling through, and many are never left otherwise. Frames live in a
//! vector, so that nesting costs no stack of ours.

use super::{Translator, exception, metering};
use crate::Trap;
use crate::compile::function::trap_code;
use crate::compile::isa::value_type;
use crate::error::{Error, ErrorKind, Result};
use crate::wasm::index::SigIndex;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self, BlockArg, InstBuilder};
use cranelift_codegen::packed_option::PackedOption;
use std::collections::HashSet;
use wasmparser::{BlockType, BrTable, Operator as Op};

/// Most targets of one `br_table`: what the branches of every target reach for sure. Neither
/// Cranelift nor the validator has a limit of its own.
const MAX_BR_TABLE_TARGETS: u32 = 65_520;

/// The blocks that are open, and whether code is reachable.
#[derive(Default)]
pub(super) struct Control {
    frames: Vec<Frame>,
    unreachable: bool,
    /// Blocks that were opened in unreachable code and not ended yet.
    skipped: u32,
    /// Loops so far, those that are open, and the most that were.
    loops: usize,
    open_loops: usize,
    loop_depth: usize,
    /// How many operands branches have passed on, or an `if` keeps for its other arm.
    passed: usize,
    /// Arguments of the branch at hand; here to keep the allocation.
    args: Vec<BlockArg>,
}

impl Control {
    pub(super) fn reachable(&self) -> bool {
        !self.unreachable
    }

    /// How many loops there were, and how many at most in each other.
    pub(super) fn loops(&self) -> (usize, usize) {
        (self.loops, self.loop_depth)
    }

    /// How many operands branches pass on, or an `if` keeps for its other arm.
    pub(super) fn passed(&self) -> usize {
        self.passed
    }

    fn frame(&self, depth: u32) -> usize {
        self.frames.len() - 1 - depth as usize
    }
}

struct Frame {
    kind: Kind,
    ty: Type,
    /// Height of the operand stack below the parameters.
    height: usize,
    /// What comes behind the `end`, once something branches there.
    following: PackedOption<ir::Block>,
    /// The block that passes arguments on to the label, while a `br_table` is translated.
    edge: PackedOption<ir::Block>,
}

pub(super) enum Kind {
    Block,
    /// The block of a `try_table`.
    Try(exception::Outer),
    Loop {
        header: ir::Block,
    },
    /// Before the `else`.
    If {
        /// Where it goes on if the condition does not hold.
        otherwise: ir::Block,
        params: Vec<ir::Value>,
    },
    Else,
}

#[derive(Clone, Copy)]
pub(super) enum Type {
    Empty,
    /// One result, and whether it is a handle into the store's heap.
    Result(ir::Type, bool),
    Function(SigIndex),
}

impl Type {
    pub(super) fn params(self, t: &Translator<'_, '_>) -> usize {
        match self {
            Type::Empty | Type::Result(..) => 0,
            Type::Function(sig) => t.env.info.signatures.get(sig).params.len(),
        }
    }

    fn results(self, t: &Translator<'_, '_>) -> usize {
        match self {
            Type::Empty => 0,
            Type::Result(..) => 1,
            Type::Function(sig) => t.env.info.signatures.get(sig).results.len(),
        }
    }
}

/// Says that what follows cannot be reached.
pub(super) fn stop(t: &mut Translator<'_, '_>) {
    t.control.unreachable = true;
}

/// Opens the frame of the function itself, whose label is its return.
pub(super) fn enter_function(t: &mut Translator<'_, '_>) {
    let ty = Type::Function(t.env.info.functions[t.func.index()]);
    push_frame(t, Kind::Block, ty, 0);
}

pub(super) fn push_frame(t: &mut Translator<'_, '_>, kind: Kind, ty: Type, height: usize) {
    let (following, edge) = (None.into(), None.into());
    t.control.frames.push(Frame { kind, ty, height, following, edge });
}

/// Follows `op` through code that cannot be reached.
pub(super) fn unreachable(t: &mut Translator<'_, '_>, op: &Op<'_>) {
    match op {
        Op::Block { .. } | Op::Loop { .. } | Op::If { .. } | Op::TryTable { .. } => {
            t.control.skipped += 1;
        }
        Op::End if t.control.skipped > 0 => t.control.skipped -= 1,
        Op::End => end(t),
        Op::Else if t.control.skipped == 0 => otherwise(t),
        _ => {}
    }
}

/// Translates `op` if it is one of the operators of this file; says whether it was.
pub(super) fn translate(t: &mut Translator<'_, '_>, op: &Op<'_>, offset: u64) -> Result<bool> {
    match op {
        Op::Nop => {}
        Op::Unreachable => {
            metering::spill(t);
            t.builder.ins().trap(trap_code(Trap::UnreachableCodeReached));
            t.control.unreachable = true;
        }
        Op::Block { blockty } => {
            let ty = block_type(t, *blockty, offset)?;
            let height = t.stack.len() - ty.params(t);
            push_frame(t, Kind::Block, ty, height);
        }
        Op::Loop { blockty } => {
            let ty = block_type(t, *blockty, offset)?;
            enter_loop(t, ty);
        }
        Op::If { blockty } => {
            let ty = block_type(t, *blockty, offset)?;
            enter_if(t, ty);
        }
        Op::Else => otherwise(t),
        Op::End => end(t),
        Op::Br { relative_depth } => {
            branch(t, *relative_depth);
            t.control.unreachable = true;
        }
        Op::BrIf { relative_depth } => {
            let condition = t.pop();
            branch_if(t, condition, *relative_depth);
        }
        Op::BrOnNull { relative_depth } => {
            let reference = t.pop();
            let is_null = t.builder.ins().icmp_imm_u(IntCC::Equal, reference, 0);
            branch_if(t, is_null, *relative_depth);
            t.push(reference);
        }
        Op::BrOnNonNull { relative_depth } => {
            // The branch takes the reference along.
            let reference = *t.stack.last().expect("validated code never reads an empty stack");
            branch_if(t, reference, *relative_depth);
            t.pop();
        }
        Op::BrTable { targets } => {
            branch_table(t, targets, offset)?;
            t.control.unreachable = true;
        }
        Op::Return => {
            return_(t);
            t.control.unreachable = true;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

pub(super) fn block_type(t: &Translator<'_, '_>, ty: BlockType, offset: u64) -> Result<Type> {
    match ty {
        BlockType::Empty => Ok(Type::Empty),
        BlockType::Type(ty) => match super::clif_type(ty) {
            Some(clif) => Ok(Type::Result(clif, super::in_heap(ty))),
            None => {
                let message = format!("blocks of type {ty} are not supported");
                Err(Error::module(ErrorKind::Unsupported, offset, message))
            }
        },
        BlockType::FuncType(index) => Ok(Type::Function(t.env.info.types[index as usize])),
    }
}

fn enter_loop(t: &mut Translator<'_, '_>, ty: Type) {
    let count = ty.params(t);
    let height = t.stack.len() - count;
    let header = t.builder.create_block();
    t.canonical_top(count);
    if let Type::Function(sig) = ty {
        let info = t.env.info;
        for ty in &info.signatures.get(sig).params {
            t.add_param(header, value_type(*ty), ty.in_heap());
        }
    }
    jump(t, header, count);
    continue_with_params(t, header, height);
    // Sealed at its end: until then, branches back may come.
    push_frame(t, Kind::Loop { header }, ty, height);
    t.control.loops += 1;
    t.control.open_loops += 1;
    t.control.loop_depth = t.control.loop_depth.max(t.control.open_loops);
    metering::check(t);
}

fn enter_if(t: &mut Translator<'_, '_>, ty: Type) {
    let condition = t.pop();
    let height = t.stack.len() - ty.params(t);
    let params = t.stack[height..].to_vec();
    t.control.passed += params.len();
    let (then, otherwise) = (t.builder.create_block(), t.builder.create_block());
    metering::charge(t);
    // Neither takes arguments: what is on the stack here is as good in both.
    t.builder.ins().brif(condition, then, &[], otherwise, &[]);
    t.builder.seal_block(then);
    t.builder.switch_to_block(then);
    push_frame(t, Kind::If { otherwise, params }, ty, height);
}

/// `else`: closes the first arm.
fn otherwise(t: &mut Translator<'_, '_>) {
    if t.control.reachable() {
        jump_label(t, 0);
    }
    let frame = t.control.frames.last_mut().expect("validated: `else` is within an `if`");
    let height = frame.height;
    let Kind::If { otherwise, params } = std::mem::replace(&mut frame.kind, Kind::Else) else {
        unreachable!("validated: `else` ends the first arm of an `if`");
    };
    t.control.unreachable = false;
    t.builder.seal_block(otherwise);
    t.builder.switch_to_block(otherwise);
    t.stack.truncate(height);
    t.stack.extend(params);
}

fn end(t: &mut Translator<'_, '_>) {
    let frame = t.control.frames.last_mut().expect("validated: `end` closes a block");
    match std::mem::replace(&mut frame.kind, Kind::Else) {
        Kind::Block | Kind::Else => {}
        Kind::Try(outer) => exception::leave(t, outer),
        Kind::Loop { header } => {
            t.control.open_loops -= 1;
            t.builder.seal_block(header);
        }
        Kind::If { otherwise, params } => empty_else(t, otherwise, params),
    }
    let frame = t.control.frames.pop().expect("there is one, as above");
    if let Some(following) = frame.following.expand() {
        if t.control.reachable() {
            let results = frame.ty.results(t);
            jump(t, following, results);
        }
        t.builder.seal_block(following);
        t.control.unreachable = false;
        continue_with_params(t, following, frame.height);
    }
    if t.control.unreachable {
        t.stack.truncate(frame.height);
    } else if t.control.frames.is_empty() {
        return_values(t, frame.ty);
    }
}

/// The `if` in the innermost frame ends without an `else`: if the condition does not hold, its
/// parameters are its results.
fn empty_else(t: &mut Translator<'_, '_>, otherwise: ir::Block, params: Vec<ir::Value>) {
    let frame = t.control.frames.last().expect("the `if`");
    let height = frame.height;
    if params.is_empty() && frame.following.is_none() {
        // Nothing to pass on and nobody else who goes there: the way around is the way out.
        if t.control.reachable() {
            metering::charge(t);
            t.builder.ins().jump(otherwise, &[]);
        }
    } else if t.control.reachable() {
        jump_label(t, 0);
    }
    t.control.unreachable = false;
    t.builder.seal_block(otherwise);
    t.builder.switch_to_block(otherwise);
    t.stack.truncate(height);
    t.stack.extend(params);
}

/// Goes on in `block`, with its parameters on the stack.
fn continue_with_params(t: &mut Translator<'_, '_>, block: ir::Block, height: usize) {
    t.builder.switch_to_block(block);
    t.stack.truncate(height);
    t.stack.extend_from_slice(t.builder.block_params(block));
}

/// The block that a branch to `depth` goes to, and how many values it takes there.
fn label(t: &mut Translator<'_, '_>, depth: u32) -> (ir::Block, usize) {
    let index = t.control.frame(depth);
    let frame = &t.control.frames[index];
    let ty = frame.ty;
    if let Kind::Loop { header } = frame.kind {
        return (header, ty.params(t));
    }
    if let Some(following) = frame.following.expand() {
        return (following, ty.results(t));
    }
    let following = t.builder.create_block();
    t.control.frames[index].following = following.into();
    match ty {
        Type::Empty => {}
        Type::Result(ty, in_heap) => {
            t.add_param(following, ty, in_heap);
        }
        Type::Function(sig) => {
            let info = t.env.info;
            for ty in &info.signatures.get(sig).results {
                t.add_param(following, value_type(*ty), ty.in_heap());
            }
        }
    }
    (following, ty.results(t))
}

/// The top `count` values as arguments of a branch. Give the vector back.
fn take_args(t: &mut Translator<'_, '_>, count: usize) -> Vec<BlockArg> {
    t.canonical_top(count);
    t.control.passed += count;
    let mut args = std::mem::take(&mut t.control.args);
    args.clear();
    args.extend(t.stack[t.stack.len() - count..].iter().copied().map(BlockArg::Value));
    args
}

/// Jumps with the top `count` values, which stay on the stack.
fn jump(t: &mut Translator<'_, '_>, block: ir::Block, count: usize) {
    metering::charge(t);
    let args = take_args(t, count);
    t.builder.ins().jump(block, &args);
    t.control.args = args;
}

fn jump_label(t: &mut Translator<'_, '_>, depth: u32) {
    let (block, count) = label(t, depth);
    jump(t, block, count);
}

pub(super) fn branch(t: &mut Translator<'_, '_>, depth: u32) {
    if t.control.frame(depth) == 0 {
        return_(t);
    } else {
        jump_label(t, depth);
    }
}

fn branch_if(t: &mut Translator<'_, '_>, condition: ir::Value, depth: u32) {
    let (block, count) = label(t, depth);
    let args = take_args(t, count);
    let next = t.builder.create_block();
    metering::charge(t);
    t.builder.ins().brif(condition, block, &args, next, &[]);
    t.control.args = args;
    t.builder.seal_block(next);
    t.builder.switch_to_block(next);
}

fn branch_table(t: &mut Translator<'_, '_>, targets: &BrTable<'_>, offset: u64) -> Result<()> {
    if targets.len() > MAX_BR_TABLE_TARGETS {
        let message = format!(
            "br_table has {} targets, of which there may be {MAX_BR_TABLE_TARGETS}",
            targets.len()
        );
        return Err(Error::module(ErrorKind::Limit, offset, message));
    }
    let index = t.pop();
    if targets.is_empty() {
        branch(t, targets.default());
        return Ok(());
    }
    let depths = targets.targets().chain([Ok(targets.default())]);
    let mut depths = depths.collect::<Result<Vec<_>, _>>().map_err(super::invalid)?;
    let (mut seen, mut repeated) = (HashSet::new(), HashSet::new());
    for depth in &depths {
        if !seen.insert(*depth) {
            repeated.insert(*depth);
        }
    }
    let default = depths.pop().expect("there is a default");
    let mut edges = Vec::new();
    let mut entry = |t: &mut Translator<'_, '_>, depth| {
        table_entry(t, depth, repeated.contains(&depth), &mut edges)
    };
    let table: Vec<_> = depths.into_iter().map(|depth| entry(t, depth)).collect();
    let default = entry(t, default);
    let table = t.builder.create_jump_table(ir::JumpTableData::new(default, &table));
    metering::charge(t);
    t.builder.ins().br_table(index, table);
    for (depth, edge) in edges {
        let frame = t.control.frame(depth);
        t.control.frames[frame].edge = None.into();
        t.builder.seal_block(edge);
        t.builder.switch_to_block(edge);
        jump_label(t, depth);
    }
    Ok(())
}

/// An entry of a jump table. One that has to pass values goes through a block of its own, one a
/// label, so that they are not written down once an entry; so does one of a label that has several
/// entries, for the sake of the values of locals, which the builder may come to pass.
fn table_entry(
    t: &mut Translator<'_, '_>,
    depth: u32,
    repeated: bool,
    edges: &mut Vec<(u32, ir::Block)>,
) -> ir::BlockCall {
    let (block, count) = label(t, depth);
    let mut target = block;
    if count > 0 || repeated {
        let frame = t.control.frame(depth);
        target = t.control.frames[frame].edge.expand().unwrap_or_else(|| {
            let edge = t.builder.create_block();
            edges.push((depth, edge));
            edge
        });
        t.control.frames[frame].edge = target.into();
        // Branches come before the edge blocks, so this is the last place for a conversion that
        // all of them share.
        t.canonical_top(count);
    }
    t.builder.func.dfg.block_call(target, &[])
}

fn return_(t: &mut Translator<'_, '_>) {
    let ty = t.control.frames.first().expect("the function's own frame is there").ty;
    return_values(t, ty);
}

/// Returns the top values.
fn return_values(t: &mut Translator<'_, '_>, ty: Type) {
    let count = ty.results(t);
    metering::spill(t);
    t.canonical_top(count);
    let first = t.stack.len() - count;
    t.builder.ins().return_(&t.stack[first..]);
}
