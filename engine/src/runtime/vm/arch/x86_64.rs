//! x86-64.

use std::arch::asm;

/// Goes on at a landing pad, with a payload of zero.
///
/// # Safety
/// `pc` is the landing pad of an entry trampoline whose frame, at `fp` and `sp`, is still on this
/// thread's stack; nothing that has to be dropped is in the frames above it.
pub(crate) unsafe fn resume(fp: usize, sp: usize, pc: usize) -> ! {
    // SAFETY: as the caller says. All registers that Cranelift's convention for landing pads
    // defines are set; the trampoline keeps nothing in the others.
    unsafe {
        asm!(
            "mov rsp, {sp}",
            "mov rbp, {fp}",
            "jmp {pc}",
            sp = in(reg) sp,
            fp = in(reg) fp,
            pc = in(reg) pc,
            in("rax") 0,
            in("rdx") 0,
            options(noreturn),
        )
    }
}

/// The stack pointer of the caller, more or less.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let sp;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rsp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
}

/// A return address as it is on the stack, without what a processor may have signed it with.
pub(crate) fn strip_return_address(address: usize) -> usize {
    address
}

/// Lets instruction fetch see code that was written to memory: it does here by itself.
pub(crate) fn flush_instructions(_code: &[u8]) {}
