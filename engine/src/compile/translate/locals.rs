//! Locals, and where they are kept.
//!
//! A local is a [`Variable`], made when the body first names it: a body of ten bytes may declare
//! 50,000 locals. In a function whose variables would make far too many values, locals are
//! [slots](Storage::Frame) of the frame instead, which makes none; see `../effort.rs`. Handles into
//! the store's heap are variables there as well.

use super::{Translator, clif_type, in_heap, invalid};
use crate::error::{Error, ErrorKind, Result};
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::{
    self, InstBuilder, MemFlagsData, StackSlot, StackSlotData, StackSlotKind, types,
};
use cranelift_codegen::packed_option::PackedOption;
use cranelift_frontend::Variable;
use wasmparser::FunctionBody;

/// Where a function's locals are.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Storage {
    /// In values, and so in registers.
    #[default]
    Values,
    /// In the frame. Each access is a load or store.
    Frame,
}

/// Where one local is.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Variable(Variable),
    Slot(StackSlot, ir::Type),
}

/// The locals of a function.
#[derive(Default)]
pub(super) struct Locals {
    storage: Storage,
    /// For each run of locals of one type the index behind it, the type, and whether such values
    /// are handles into the store's heap; parameters first.
    runs: Vec<(u32, ir::Type, bool)>,
    /// Numbers of variables or slots of those that were named so far.
    variables: Vec<PackedOption<Variable>>,
    slots: Vec<PackedOption<StackSlot>>,
    /// How many have a variable.
    in_variables: usize,
}

impl Locals {
    pub(super) fn in_variables(&self) -> usize {
        self.in_variables
    }
}

/// Takes up the parameters, and the declarations of `body`.
///
/// # Errors
/// If a local is of a type that there is not.
pub(super) fn declare(
    t: &mut Translator<'_, '_>,
    entry: ir::Block,
    body: &FunctionBody<'_>,
    storage: Storage,
) -> Result<()> {
    t.locals.storage = storage;
    // For slots, which may come before the first instruction.
    t.builder.ensure_inserted_block();
    // The first two are the callee's and the caller's vmctx.
    let params = t.builder.block_params(entry)[2..].to_vec();
    let types = &t.env.info.func_signature(t.func).params;
    for (i, (value, ty)) in params.iter().zip(types).enumerate() {
        t.locals.runs.push((i as u32 + 1, t.value_type(*value), ty.in_heap()));
    }
    for (i, value) in params.iter().enumerate() {
        let place = t.local(i as u32);
        t.write(place, *value);
    }
    let mut behind = params.len() as u32;
    for declaration in body.get_locals_reader().map_err(invalid)? {
        let (count, ty) = declaration.map_err(invalid)?;
        let in_heap = in_heap(ty);
        let ty = clif_type(ty).ok_or_else(|| {
            let message = format!("locals of type {ty} are not supported");
            Error::module(ErrorKind::Unsupported, body.range().start, message)
        })?;
        // The validator has bounded the sum.
        behind += count;
        t.locals.runs.push((behind, ty, in_heap));
    }
    Ok(())
}

impl Translator<'_, '_> {
    /// Where local `index` is.
    pub(super) fn local(&mut self, index: u32) -> Place {
        match self.locals.storage {
            Storage::Values => Place::Variable(self.variable(index as usize)),
            Storage::Frame => self.slot(index as usize),
        }
    }

    /// All that the variable of a handle is set to is one.
    fn variable(&mut self, index: usize) -> Variable {
        if let Some(known) = self.locals.variables.get(index).and_then(|known| known.expand()) {
            return known;
        }
        let (ty, in_heap) = self.local_type(index);
        // What was never written is zero, or null, to the builder as well.
        let variable = self.builder.declare_var(ty);
        if in_heap {
            self.has_handles = true;
            self.handle_locals += 1;
            self.builder.declare_var_needs_stack_map(variable);
        }
        remember(&mut self.locals.variables, index, variable);
        self.locals.in_variables += 1;
        variable
    }

    fn slot(&mut self, index: usize) -> Place {
        let (ty, in_heap) = self.local_type(index);
        if in_heap {
            // A collection finds handles in values alone.
            return Place::Variable(self.variable(index));
        }
        if let Some(known) = self.locals.slots.get(index).and_then(|known| known.expand()) {
            return Place::Slot(known, ty);
        }
        let slot = self.zeroed_slot(ty);
        remember(&mut self.locals.slots, index, slot);
        Place::Slot(slot, ty)
    }

    /// A slot of the frame that is zero, or null, when the function starts.
    fn zeroed_slot(&mut self, ty: ir::Type) -> StackSlot {
        let data = StackSlotData::new(StackSlotKind::ExplicitSlot, ty.bytes(), align(ty));
        let slot = self.builder.create_sized_stack_slot(data);
        let entry = self.builder.func.layout.entry_block().expect("the entry block is there");
        let mut at = FuncCursor::new(self.builder.func).at_first_insertion_point(entry);
        let zero = match ty {
            types::F32 => at.ins().f32const(0.0),
            types::F64 => at.ins().f64const(0.0),
            _ if ty.is_vector() => {
                let zero = at.func.dfg.constants.insert([0; 16].as_slice().into());
                at.ins().vconst(ty, zero)
            }
            _ => at.ins().iconst(ty, 0),
        };
        let address = at.ins().stack_addr(types::I64, slot, 0);
        at.ins().store(in_frame(), zero, address, 0);
        slot
    }

    /// A place for a value that is no local, but changes as they do.
    pub(super) fn new_place(&mut self, ty: ir::Type) -> Place {
        match self.locals.storage {
            Storage::Values => Place::Variable(self.builder.declare_var(ty)),
            Storage::Frame => Place::Slot(self.zeroed_slot(ty), ty),
        }
    }

    pub(super) fn read(&mut self, place: Place) -> ir::Value {
        match place {
            Place::Variable(variable) => self.builder.use_var(variable),
            Place::Slot(slot, ty) => {
                let address = self.builder.ins().stack_addr(types::I64, slot, 0);
                self.builder.ins().load(ty, in_frame(), address, 0)
            }
        }
    }

    pub(super) fn write(&mut self, place: Place, value: ir::Value) {
        match place {
            Place::Variable(variable) => self.builder.def_var(variable, value),
            Place::Slot(slot, _) => {
                let address = self.builder.ins().stack_addr(types::I64, slot, 0);
                self.builder.ins().store(in_frame(), value, address, 0);
            }
        }
    }

    /// The type of a local, and whether it is a handle.
    fn local_type(&self, index: usize) -> (ir::Type, bool) {
        let runs = &self.locals.runs;
        let run = runs.partition_point(|(behind, ..)| *behind as usize <= index);
        let (_, ty, in_heap) = runs.get(run).expect("validated code names locals that there are");
        (*ty, *in_heap)
    }
}

fn remember<T: Copy + cranelift_codegen::packed_option::ReservedValue>(
    known: &mut Vec<PackedOption<T>>,
    index: usize,
    value: T,
) {
    if known.len() <= index {
        known.resize(index + 1, None.into());
    }
    known[index] = value.into();
}

/// Log2 of a slot's alignment.
fn align(ty: ir::Type) -> u8 {
    ty.bytes().trailing_zeros() as u8
}

/// An access to a slot.
fn in_frame() -> MemFlagsData {
    MemFlagsData::new().with_endianness(ir::Endianness::Little).with_notrap().with_aligned()
}
