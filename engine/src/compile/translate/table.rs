//! Tables.
//!
//! An element of a function table is 0 until it is first looked at, whatever it holds: making an
//! instance then costs nothing a table element. Reading one has a slow path for that, which asks
//! the runtime (see [`TABLE_INIT_BIT`]).

use super::{Translator, call, metering};
use crate::abi::builtins::Builtin;
use crate::abi::vmctx::{TABLE_INIT_BIT, place_import, table};
use crate::wasm::types::TableDecl;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{BlockArg, InstBuilder, MemFlagsData, Value, types};
use wasmparser::Operator as Op;

/// Translates `op` if it is one of the operators of this file; says whether it was.
pub(super) fn translate(t: &mut Translator<'_, '_>, op: &Op<'_>) -> bool {
    match *op {
        Op::TableGet { table } => {
            let index = t.pop();
            let value = if of_functions(&decl(t, table)) {
                get_function(t, table, index)
            } else {
                let (flags, address) = element(t, table, index);
                let handle = t.builder.ins().load(types::I32, flags, address, 0);
                t.declare_handle(handle);
                handle
            };
            t.push(value);
        }
        Op::TableSet { table } => {
            let (index, mut value) = t.pop2();
            let (flags, address) = element(t, table, index);
            if of_functions(&decl(t, table)) {
                value = t.builder.ins().bor_imm_u(value, TABLE_INIT_BIT.cast_signed());
            }
            t.builder.ins().store(flags, value, address, 0);
        }
        Op::TableSize { table } => {
            let len = Table::new(t, table).len(t);
            let len = t.reduce(len, decl(t, table).table64);
            t.push(len);
        }
        Op::TableGrow { table } => {
            metering::check(t);
            let (init, delta) = t.pop2();
            let decl = decl(t, table);
            let builtin = by_element(&decl, Builtin::table_grow_func, Builtin::table_grow_ref);
            let delta = t.extend(delta);
            let table = constant(t, table);
            let before = call::walking_builtin(t, builtin, &[table, delta, init]);
            // Cuts the -1 of 64 bits down to that of 32.
            let before = t.reduce(before.expect("table_grow has a result"), decl.table64);
            t.push(before);
        }
        Op::TableFill { table } => {
            metering::check(t);
            let (dst, value, len) = t.pop3();
            let decl = decl(t, table);
            let builtin = by_element(&decl, Builtin::table_fill_func, Builtin::table_fill_ref);
            let (dst, len) = (t.extend(dst), t.extend(len));
            let table = constant(t, table);
            call::walking_builtin(t, builtin, &[table, dst, value, len]);
        }
        Op::TableCopy { dst_table, src_table } => {
            metering::check(t);
            let (dst, src, len) = t.pop3();
            let (dst, src, len) = (t.extend(dst), t.extend(src), t.extend(len));
            let (dst_table, src_table) = (constant(t, dst_table), constant(t, src_table));
            let args = [dst_table, src_table, dst, src, len];
            call::walking_builtin(t, Builtin::table_copy, &args);
        }
        Op::TableInit { elem_index, table } => {
            metering::check(t);
            let (dst, src, len) = t.pop3();
            let dst = t.extend(dst);
            let (table, segment) = (constant(t, table), constant(t, elem_index));
            call::walking_builtin(t, Builtin::table_init, &[table, segment, dst, src, len]);
        }
        Op::ElemDrop { elem_index } => {
            let segment = constant(t, elem_index);
            call::walking_builtin(t, Builtin::elem_drop, &[segment]);
        }
        _ => return false,
    }
    true
}

fn decl(t: &Translator<'_, '_>, table: u32) -> TableDecl {
    t.env.info.tables[table as usize]
}

fn of_functions(decl: &TableDecl) -> bool {
    decl.element.heap_type().is_func()
}

fn by_element(decl: &TableDecl, functions: Builtin, others: Builtin) -> Builtin {
    if of_functions(decl) { functions } else { others }
}

fn constant(t: &mut Translator<'_, '_>, index: u32) -> Value {
    t.builder.ins().iconst(types::I32, i64::from(index))
}

/// A table as code reaches it.
struct Table {
    decl: TableDecl,
    /// It is defined here and cannot grow: length and base never change.
    fixed: bool,
    /// Pointer to its definition, and the offset from there.
    definition: Value,
    offset: i32,
}

impl Table {
    fn new(t: &mut Translator<'_, '_>, index: u32) -> Self {
        let decl = decl(t, index);
        match index.checked_sub(t.env.info.num_imported_tables) {
            Some(defined) => Table {
                decl,
                fixed: decl.max == Some(decl.min),
                definition: t.vmctx,
                offset: t.env.layout.defined_table(defined) as i32,
            },
            None => {
                let import = t.env.layout.imported_table(index) + place_import::DEFINITION;
                let definition = t.load_constant(types::I64, import);
                Table { decl, fixed: false, definition, offset: 0 }
            }
        }
    }

    fn base(&self, t: &mut Translator<'_, '_>) -> Value {
        let flags = if self.fixed { t.flags.constant } else { t.flags.vmctx };
        let offset = self.offset + table::BASE as i32;
        t.builder.ins().load(types::I64, flags, self.definition, offset)
    }

    /// Its length in elements.
    fn len(&self, t: &mut Translator<'_, '_>) -> Value {
        if self.fixed {
            return t.builder.ins().iconst(types::I64, self.decl.min.cast_signed());
        }
        let offset = self.offset + table::LEN as i32;
        t.builder.ins().load(types::I64, t.flags.vmctx, self.definition, offset)
    }
}

/// Flags and address for the element at `index`. Out of bounds the address is null, where the
/// access traps: no guess of a comparison leads to another address.
fn element(t: &mut Translator<'_, '_>, table: u32, index: Value) -> (MemFlagsData, Value) {
    let table = Table::new(t, table);
    let constant = t.constant(index);
    let index = t.extend(index);
    let base = table.base(t);
    let shift = if of_functions(&table.decl) { 3 } else { 2 };
    let offset = t.builder.ins().ishl_imm_u(index, shift);
    let address = t.builder.ins().iadd(base, offset);
    // Tables never shrink.
    if constant.is_some_and(|index| index < table.decl.min) {
        return (t.flags.table.with_notrap(), address);
    }
    let len = table.len(t);
    let outside = t.builder.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, index, len);
    let null = t.builder.ins().iconst(types::I64, 0);
    (t.flags.table, t.builder.ins().select_spectre_guard(outside, null, address))
}

/// The reference at `index` of a table of functions.
pub(super) fn get_function(t: &mut Translator<'_, '_>, table: u32, index: Value) -> Value {
    let (flags, address) = element(t, table, index);
    let found = t.builder.ins().load(types::I64, flags, address, 0);
    let reference = t.builder.ins().band_imm_s(found, !TABLE_INIT_BIT.cast_signed());

    let (ask, done) = (t.builder.create_block(), t.builder.create_block());
    t.builder.set_cold_block(ask);
    let result = t.builder.append_block_param(done, types::I64);
    let args = [BlockArg::Value(reference)];
    t.builder.ins().brif(found, done, &args, ask, &[]);
    t.builder.seal_block(ask);

    t.builder.switch_to_block(ask);
    let table = constant(t, table);
    let index = t.extend(index);
    let asked = call::walking_builtin(t, Builtin::table_get_lazy, &[table, index]);
    let args = [BlockArg::Value(asked.expect("table_get_lazy has a result"))];
    t.builder.ins().jump(done, &args);
    t.builder.seal_block(done);
    t.builder.switch_to_block(done);
    result
}
