//! 64-bit Arm: the registers that a signal interrupted.

use crate::runtime::vm::traps::Landing;
use libc::ucontext_t;

/// The frame pointer's number.
const FP: usize = 29;

pub(super) fn pc(context: &ucontext_t) -> usize {
    context.uc_mcontext.pc as usize
}

pub(super) fn fp(context: &ucontext_t) -> usize {
    context.uc_mcontext.regs[FP] as usize
}

pub(super) fn sp(context: &ucontext_t) -> usize {
    context.uc_mcontext.sp as usize
}

/// Lets the thread go on at a landing pad, with a payload of zero.
pub(super) fn redirect(context: &mut ucontext_t, to: &Landing) {
    let registers = &mut context.uc_mcontext;
    registers.pc = to.pc as u64;
    registers.sp = to.sp as u64;
    registers.regs[FP] = to.fp as u64;
    registers.regs[0] = 0;
    registers.regs[1] = 0;
}
