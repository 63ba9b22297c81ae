//! x86-64: the registers that a signal interrupted.

use crate::runtime::vm::traps::Landing;
use libc::{REG_RAX, REG_RBP, REG_RDX, REG_RIP, REG_RSP, ucontext_t};

pub(super) fn pc(context: &ucontext_t) -> usize {
    context.uc_mcontext.gregs[REG_RIP as usize] as usize
}

pub(super) fn fp(context: &ucontext_t) -> usize {
    context.uc_mcontext.gregs[REG_RBP as usize] as usize
}

pub(super) fn sp(context: &ucontext_t) -> usize {
    context.uc_mcontext.gregs[REG_RSP as usize] as usize
}

/// Lets the thread go on at a landing pad, with a payload of zero.
pub(super) fn redirect(context: &mut ucontext_t, to: &Landing) {
    let registers = &mut context.uc_mcontext.gregs;
    registers[REG_RIP as usize] = to.pc as i64;
    registers[REG_RSP as usize] = to.sp as i64;
    registers[REG_RBP as usize] = to.fp as i64;
    registers[REG_RAX as usize] = 0;
    registers[REG_RDX as usize] = 0;
}
