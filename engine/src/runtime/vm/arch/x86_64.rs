//! x86-64.

use std::arch::asm;

/// Goes on at a landing pad, with what it expects as payload.
///
/// # Safety
/// `pc` is a landing pad of a function or an entry trampoline whose frame, at `fp` and `sp`, is
/// still on this thread's stack; nothing that has to be dropped is in the frames above it.
pub(crate) unsafe fn resume(fp: usize, sp: usize, pc: usize, payload: [usize; 2]) -> ! {
    // SAFETY: as the caller says. All registers that Cranelift's convention for landing pads
    // defines are set; the code there keeps nothing in the others.
    unsafe {
        asm!(
            // Registers by name: one that is chosen may be `rbp`.
            "mov rsp, rcx",
            "mov rbp, rsi",
            "jmp rdi",
            in("rcx") sp,
            in("rsi") fp,
            in("rdi") pc,
            in("rax") payload[0],
            in("rdx") payload[1],
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
