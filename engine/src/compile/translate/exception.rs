//! Exceptions: blocks with handlers, and throwing.
//!
//! A clause of a `try_table` becomes a *landing pad*, a block that takes what it catches to the
//! clause's label. What a call in the block can go on in is the list of the clauses of all blocks
//! around it, innermost first. Which of them it is, is found at run time by whoever throws
//! (`runtime/vm/unwind.rs`), from tables that `artifact/handlers.rs` has; so a call names one
//! place only where it goes on, and tables of jumps lead from there to the landing pad.
//!
//! A landing pad gets two words: the handle of the exception, and where its values lie. They are
//! loaded before anything else is done, which could free the exception. The upper half of the
//! first word is the place of the clause in the list.

use super::{Translator, call, control, metering};
use crate::Trap;
use crate::abi::builtins::Builtin;
use crate::abi::vmctx::VALUE_SIZE;
use crate::compile::function::trap_code;
use crate::compile::isa::value_type;
use crate::error::Result;
use cranelift_codegen::ir::{
    self, BlockArg, ExceptionTableData, ExceptionTableItem, ExceptionTag, InstBuilder,
    StackSlotData, StackSlotKind, types,
};
use std::collections::HashSet;
use std::sync::Arc;
use wasmparser::{Catch, Operator as Op, TryTable};

/// A clause that a call may go on in.
#[derive(Clone, Copy)]
struct Handler {
    /// Index of the tag; `None` catches all.
    tag: Option<u32>,
    pad: ir::Block,
}

/// What calls at a place of a function can go on in.
#[derive(Clone)]
struct Scope {
    /// Index of the tags of all clauses in `Handlers::lists`.
    list: u32,
    /// Where calls go on: the landing pad, if there is but one clause, or what leads there.
    landing: ir::Block,
}

/// The state of one function.
#[derive(Default)]
pub(super) struct Handlers {
    scope: Option<Scope>,
    lists: Vec<TagList>,
    /// How many clauses all lists have together: what they cost to compile.
    entries: usize,
    /// Where values are put to be thrown.
    values: Option<ir::StackSlot>,
}

/// The tags of a list of clauses, each as the place of its number in the vmctx; `None` for all.
pub(crate) type TagList = Arc<[Option<u32>]>;

impl Handlers {
    /// How many clauses all lists have together.
    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    /// The lists that calls have by their indices.
    pub(super) fn into_lists(self) -> Vec<TagList> {
        self.lists
    }
}

/// What is around a block with handlers.
pub(super) struct Outer {
    scope: Option<Scope>,
    /// The block's own landing pads and what leads there: further calls and blocks in it may come
    /// to name them.
    unsealed: Vec<ir::Block>,
}

/// Translates `op` if it is one of the operators of this file; says whether it was.
pub(super) fn translate(t: &mut Translator<'_, '_>, op: &Op<'_>, offset: u64) -> Result<bool> {
    match op {
        Op::TryTable { try_table } => enter(t, try_table, offset)?,
        Op::Throw { tag_index } => throw(t, *tag_index),
        Op::ThrowRef => {
            let exception = t.pop();
            t.builder.ins().trapz(exception, trap_code(Trap::NullReference));
            call::throwing_builtin(t, Builtin::throw_ref, &[exception]);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn enter(t: &mut Translator<'_, '_>, table: &TryTable, offset: u64) -> Result<()> {
    let ty = control::block_type(t, table.ty, offset)?;
    let height = t.stack.len() - ty.params(t);
    let scope = t.handlers.scope.clone();
    let mut unsealed = Vec::new();
    if !table.catches.is_empty() {
        // Landing pads are written here, where the labels are those of the clauses.
        let body = t.builder.create_block();
        metering::charge(t);
        t.builder.ins().jump(body, &[]);
        t.builder.seal_block(body);
        let mut handlers = Vec::with_capacity(table.catches.len());
        for catch in &table.catches {
            let (tag, label, with_reference) = match *catch {
                Catch::One { tag, label } => (Some(tag), label, false),
                Catch::OneRef { tag, label } => (Some(tag), label, true),
                Catch::All { label } => (None, label, false),
                Catch::AllRef { label } => (None, label, true),
            };
            let pad = landing_pad(t, tag, label, with_reference);
            handlers.push(Handler { tag, pad });
            unsealed.push(pad);
        }
        hide(&mut handlers);
        // What is around is tried next, if there is anything left to catch.
        let next = scope.as_ref().filter(|_| handlers.iter().all(|handler| handler.tag.is_some()));
        let own = handlers.iter().map(|handler| handler.tag.map(|tag| place(t, tag)));
        let outer = next.map_or(&[][..], |next| &t.handlers.lists[next.list as usize]);
        let tags: TagList = own.chain(outer.iter().copied()).collect();
        t.handlers.entries += tags.len();
        let landing = match handlers[..] {
            [Handler { pad, .. }] if next.is_none() => pad,
            _ => {
                let landing = lead_on(t, &handlers, next.map(|next| next.landing));
                unsealed.push(landing);
                landing
            }
        };
        let list = t.handlers.lists.len() as u32;
        t.handlers.lists.push(tags);
        t.handlers.scope = Some(Scope { list, landing });
        t.builder.switch_to_block(body);
    }
    control::push_frame(t, control::Kind::Try(Outer { scope, unsealed }), ty, height);
    Ok(())
}

/// At the end of a block with handlers, that of the code in it: no more calls name its handlers.
pub(super) fn leave(t: &mut Translator<'_, '_>, outer: Outer) {
    t.handlers.scope = outer.scope;
    for block in outer.unsealed {
        t.builder.seal_block(block);
    }
}

/// Leaves out clauses that another one before them hides. Two indices may still turn out to be one
/// tag.
fn hide(handlers: &mut Vec<Handler>) {
    if let Some(all) = handlers.iter().position(|handler| handler.tag.is_none()) {
        handlers.truncate(all + 1);
    }
    let mut seen = HashSet::new();
    handlers.retain(|handler| seen.insert(handler.tag));
}

/// A block that leads to the landing pad of one of `handlers`, or on to `outer` with the number of
/// a clause behind them. So all of these blocks together are no longer than what they come from.
fn lead_on(
    t: &mut Translator<'_, '_>,
    handlers: &[Handler],
    outer: Option<ir::Block>,
) -> ir::Block {
    let block = t.builder.create_block();
    t.builder.set_cold_block(block);
    let payload = [(); 2].map(|()| t.builder.append_block_param(block, types::I64));
    t.builder.switch_to_block(block);
    let clause = t.builder.ins().ushr_imm_u(payload[0], 32);
    let clause = t.builder.ins().ireduce(types::I32, clause);
    let args = payload.map(BlockArg::Value);
    let mut targets = Vec::with_capacity(handlers.len());
    for handler in handlers {
        targets.push(t.builder.func.dfg.block_call(handler.pad, &args));
    }
    if let Some(outer) = outer {
        let others = handlers.len() as i64;
        let rest = t.builder.ins().iadd_imm_s(payload[0], -(others << 32));
        let args = [BlockArg::Value(rest), args[1]];
        targets.push(t.builder.func.dfg.block_call(outer, &args));
    }
    let last = targets.pop().expect("a clause at least, and another one or a block around");
    let table = t.builder.create_jump_table(ir::JumpTableData::new(last, &targets));
    t.builder.ins().br_table(clause, table);
    block
}

fn landing_pad(
    t: &mut Translator<'_, '_>,
    tag: Option<u32>,
    label: u32,
    with_reference: bool,
) -> ir::Block {
    let pad = t.builder.create_block();
    t.builder.set_cold_block(pad);
    let exception = t.builder.append_block_param(pad, types::I64);
    let values = t.builder.append_block_param(pad, types::I64);
    t.builder.switch_to_block(pad);
    metering::reload(t);
    let height = t.stack.len();
    if let Some(tag) = tag {
        let sig = t.env.info.tags[tag as usize];
        for (i, ty) in t.env.info.signatures.get(sig).params.iter().enumerate() {
            let flags = t.flags.payload;
            let value = t.builder.ins().load(value_type(*ty), flags, values, value_offset(i));
            t.declare(value, *ty);
            t.push(value);
        }
    }
    if with_reference {
        let reference = t.builder.ins().ireduce(types::I32, exception);
        t.declare_handle(reference);
        t.push(reference);
    }
    control::branch(t, label);
    t.stack.truncate(height);
    pad
}

fn throw(t: &mut Translator<'_, '_>, tag: u32) {
    let sig = t.env.info.tags[tag as usize];
    let count = t.env.info.signatures.get(sig).params.len();
    t.canonical_top(count);
    let first = t.stack.len() - count;
    let values = values_slot(t, value_offset(count).cast_unsigned());
    let values = t.builder.ins().stack_addr(types::I64, values, 0);
    for (i, value) in t.stack.split_off(first).into_iter().enumerate() {
        t.builder.ins().store(t.flags.payload, value, values, value_offset(i));
    }
    let tag = t.builder.ins().iconst(types::I32, i64::from(tag));
    call::throwing_builtin(t, Builtin::throw, &[tag, values]);
}

/// The function's place for thrown values, which has room for `size` bytes at least.
fn values_slot(t: &mut Translator<'_, '_>, size: u32) -> ir::StackSlot {
    if let Some(slot) = t.handlers.values {
        let data = &mut t.builder.func.sized_stack_slots[slot];
        data.size = data.size.max(size);
        return slot;
    }
    let align = VALUE_SIZE.trailing_zeros() as u8;
    let data = StackSlotData::new(StackSlotKind::ExplicitSlot, size, align);
    *t.handlers.values.insert(t.builder.create_sized_stack_slot(data))
}

/// Where the value of that index lies. A tag has at most 1,000.
fn value_offset(index: usize) -> i32 {
    (index as u32 * VALUE_SIZE).cast_signed()
}

/// What a call in a block with handlers needs.
pub(super) struct Guard {
    pub(super) table: ir::ExceptionTable,
    /// Where the call returns to; its parameters are the results.
    returned: ir::Block,
}

/// For a call of that type; `None` where nothing around it catches.
pub(super) fn guard(t: &mut Translator<'_, '_>, sig: ir::SigRef) -> Option<Guard> {
    let Scope { list, landing } = *t.handlers.scope.as_ref()?;
    let returned = t.builder.create_block();
    let count = t.builder.func.dfg.signatures[sig].returns.len();
    for i in 0..count {
        let ty = t.builder.func.dfg.signatures[sig].returns[i].value_type;
        t.builder.append_block_param(returned, ty);
    }
    let results: Vec<_> = (0..count as u32).map(BlockArg::TryCallRet).collect();
    let normal = t.builder.func.dfg.block_call(returned, &results);
    let payload = [BlockArg::TryCallExn(0), BlockArg::TryCallExn(1)];
    let landing = t.builder.func.dfg.block_call(landing, &payload);
    let items = [
        // Tags are told apart by what the instance of this frame has for them.
        ExceptionTableItem::Context(t.vmctx),
        ExceptionTableItem::Tag(ExceptionTag::from_u32(list), landing),
    ];
    let table = ExceptionTableData::new(sig, normal, items);
    let table = t.builder.func.dfg.exception_tables.push(table);
    Some(Guard { table, returned })
}

impl Guard {
    /// Goes on behind the call, with its results.
    pub(super) fn go_on(self, t: &mut Translator<'_, '_>) -> Vec<ir::Value> {
        t.builder.seal_block(self.returned);
        t.builder.switch_to_block(self.returned);
        t.builder.block_params(self.returned).to_vec()
    }
}

/// Where in the vmctx a tag's number is.
fn place(t: &Translator<'_, '_>, tag: u32) -> u32 {
    match tag.checked_sub(t.env.info.num_imported_tags) {
        Some(defined) => t.env.layout.defined_tag(defined),
        None => t.env.layout.imported_tag(tag),
    }
}
