//! What stops code that runs on and on: fuel and epochs, where the settings ask for them.
//!
//! Both are looked at where a function or a loop starts, and before bulk operations: between two
//! of these places code goes forward only, so that it ends on its own.
//!
//! **Fuel** is a variable like a local, a negative number that counts up. The costs of operators
//! are summed up while they are translated, and added where a piece of straight code ends: whoever
//! ends a block calls [`charge`] first. Others see the number in the store only, so it is put
//! there ([`spill`]) before calls, returns and `unreachable`, and wherever it is looked at; and is
//! taken from there ([`reload`]) behind all that may have changed it, which is every call, and
//! every landing pad of an exception.
//!
//! What is counted must not depend on the processor, the optimiser or the kind of bounds checks.
//! So operators that trap put nothing into the store: what was executed since the last place that
//! did is not counted, in any of the variants.

use super::locals::Place;
use super::{Translator, call};
use crate::Trap;
use crate::abi::builtins::Builtin;
use crate::abi::vmctx::{fixed, store};
use crate::compile::function::trap_code;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use wasmparser::Operator as Op;

/// The state of one function.
#[derive(Default)]
pub(super) struct Meter {
    /// The fuel, once it was loaded; `None` where none is counted.
    fuel: Option<Place>,
    /// Costs that are not added yet, of operators in the block at hand.
    pending: i64,
}

/// What `op` costs.
fn cost(op: &Op<'_>) -> i64 {
    match op {
        Op::Nop
        | Op::Drop
        | Op::Block { .. }
        | Op::Loop { .. }
        | Op::TryTable { .. }
        | Op::Else
        | Op::End
        | Op::Return
        | Op::Unreachable => 0,
        _ => 1,
    }
}

/// At the start of a function.
pub(super) fn enter_function(t: &mut Translator<'_, '_>) {
    check_epoch(t);
    if t.env.settings.fuel {
        let fuel = t.new_place(types::I64);
        t.meter.fuel = Some(fuel);
        reload(t);
        trap_without_fuel(t);
        // An empty function costs something too.
        t.meter.pending = 1;
    }
}

/// In the header of a loop, or before an operator that may take long.
pub(super) fn check(t: &mut Translator<'_, '_>) {
    if t.meter.fuel.is_some() {
        // For whom a trap leads to, and so that a deadline that passes here adds nothing to see.
        spill(t);
        trap_without_fuel(t);
    }
    check_epoch(t);
}

/// Notes the cost of `op`, which is about to be translated.
pub(super) fn note(t: &mut Translator<'_, '_>, op: &Op<'_>) {
    if t.meter.fuel.is_some() {
        t.meter.pending += cost(op);
    }
}

/// Adds the costs up to here. To be called before the end of a block.
pub(super) fn charge(t: &mut Translator<'_, '_>) {
    let Some(fuel) = t.meter.fuel else { return };
    let pending = std::mem::take(&mut t.meter.pending);
    if pending != 0 {
        let before = t.read(fuel);
        let after = t.builder.ins().iadd_imm_s(before, pending);
        t.write(fuel, after);
    }
}

/// Puts the fuel where others see it, with all costs up to here.
pub(super) fn spill(t: &mut Translator<'_, '_>) {
    let Some(fuel) = t.meter.fuel else { return };
    charge(t);
    let fuel = t.read(fuel);
    let store = t.load_constant(types::I64, fixed::STORE);
    t.builder.ins().store(t.flags.meters, fuel, store, store::FUEL as i32);
}

/// Takes the fuel from where others may have changed it.
pub(super) fn reload(t: &mut Translator<'_, '_>) {
    let Some(fuel) = t.meter.fuel else { return };
    let now = load(t, store::FUEL);
    t.write(fuel, now);
}

fn trap_without_fuel(t: &mut Translator<'_, '_>) {
    let Some(fuel) = t.meter.fuel else { return };
    let fuel = t.read(fuel);
    let empty = t.builder.ins().icmp_imm_s(IntCC::SignedGreaterThanOrEqual, fuel, 0);
    t.builder.ins().trapnz(empty, trap_code(Trap::OutOfFuel));
}

/// Compares the engine's epoch with the store's deadline.
fn check_epoch(t: &mut Translator<'_, '_>) {
    if !t.env.settings.epoch_interruption {
        return;
    }
    // Another thread changes it. The optimiser takes one load for another only where no call may
    // have come between, and the one below always may.
    let epoch = t.load_constant(types::I64, fixed::EPOCH);
    let epoch = t.builder.ins().load(types::I64, t.flags.meters, epoch, 0);
    let deadline = load(t, store::EPOCH_DEADLINE);
    let passed = t.builder.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, epoch, deadline);

    let (ask, go_on) = (t.builder.create_block(), t.builder.create_block());
    t.builder.set_cold_block(ask);
    t.builder.ins().brif(passed, ask, &[], go_on, &[]);
    t.builder.seal_block(ask);
    t.builder.switch_to_block(ask);
    // The fuel is in the store already: see `check`.
    call::walking_builtin(t, Builtin::epoch_passed, &[]);
    t.builder.ins().jump(go_on, &[]);
    t.builder.seal_block(go_on);
    t.builder.switch_to_block(go_on);
}

/// A field of the store.
fn load(t: &mut Translator<'_, '_>, field: u32) -> Value {
    let store = t.load_constant(types::I64, fixed::STORE);
    t.builder.ins().load(types::I64, t.flags.meters, store, field as i32)
}
