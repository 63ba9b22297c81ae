//! 64-bit Arm.

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
            // Registers by name: one that is chosen may be `x29`.
            "mov sp, x2",
            "mov x29, x3",
            "br x4",
            in("x2") sp,
            in("x3") fp,
            in("x4") pc,
            in("x0") payload[0],
            in("x1") payload[1],
            options(noreturn),
        )
    }
}

/// The stack pointer of the caller, more or less.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let sp;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, sp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
}

/// A return address as it is on the stack, without what a processor may have signed it with.
pub(crate) fn strip_return_address(address: usize) -> usize {
    let stripped;
    // SAFETY: `xpaclri`, written as the hint that it is, so that processors without signatures
    // do nothing; it changes x30 only.
    unsafe {
        asm!(
            "hint #7",
            inout("x30") address => stripped,
            options(nomem, nostack, preserves_flags),
        )
    };
    stripped
}

/// Lets instruction fetch see code that was written to memory.
pub(crate) fn flush_instructions(code: &[u8]) {
    /// The smallest line that the architecture allows, so that none is left out.
    const LINE: usize = 16;
    let range = code.as_ptr_range();
    let lines = || (range.start.addr() & !(LINE - 1)..range.end.addr()).step_by(LINE);
    for line in lines() {
        // SAFETY: cleans a cache line of memory that is mapped and readable.
        unsafe { asm!("dc cvau, {}", in(reg) line, options(nostack, preserves_flags)) };
    }
    // SAFETY: a barrier.
    unsafe { asm!("dsb ish", options(nostack, preserves_flags)) };
    for line in lines() {
        // SAFETY: invalidates a cache line of memory that is mapped and readable.
        unsafe { asm!("ic ivau, {}", in(reg) line, options(nostack, preserves_flags)) };
    }
    // SAFETY: barriers.
    unsafe { asm!("dsb ish", "isb", options(nostack, preserves_flags)) };
}
