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

/// Copies bytes, the first ones first.
///
/// # Safety
/// Both ranges may be accessed; where they overlap, `dst` is not behind `src`.
pub(crate) unsafe fn copy_forward(dst: *mut u8, src: *const u8, len: usize) {
    // SAFETY: as the caller says. Sixteen at a time, all read before any is written; then one at a
    // time.
    unsafe {
        asm!(
            "2:",
            "subs {len}, {len}, #16",
            "b.lo 3f",
            "ldp {x}, {y}, [{src}], #16",
            "stp {x}, {y}, [{dst}], #16",
            "b 2b",
            "3:",
            "adds {len}, {len}, #16",
            "b.eq 5f",
            "4:",
            "ldrb {x:w}, [{src}], #1",
            "strb {x:w}, [{dst}], #1",
            "subs {len}, {len}, #1",
            "b.ne 4b",
            "5:",
            x = out(reg) _,
            y = out(reg) _,
            len = inout(reg) len => _,
            dst = inout(reg) dst => _,
            src = inout(reg) src => _,
            options(nostack),
        )
    }
}

/// Copies bytes, the last ones first.
///
/// # Safety
/// Both ranges may be accessed; where they overlap, `dst` is not before `src`.
pub(crate) unsafe fn copy_backward(dst: *mut u8, src: *const u8, len: usize) {
    // SAFETY: as the caller says. Sixteen at a time, all read before any is written; then one at a
    // time.
    unsafe {
        asm!(
            "2:",
            "subs {len}, {len}, #16",
            "b.lo 3f",
            "ldp {x}, {y}, [{src}, #-16]!",
            "stp {x}, {y}, [{dst}, #-16]!",
            "b 2b",
            "3:",
            "adds {len}, {len}, #16",
            "b.eq 5f",
            "4:",
            "ldrb {x:w}, [{src}, #-1]!",
            "strb {x:w}, [{dst}, #-1]!",
            "subs {len}, {len}, #1",
            "b.ne 4b",
            "5:",
            x = out(reg) _,
            y = out(reg) _,
            len = inout(reg) len => _,
            dst = inout(reg) dst.wrapping_add(len) => _,
            src = inout(reg) src.wrapping_add(len) => _,
            options(nostack),
        )
    }
}

/// Sets bytes.
///
/// # Safety
/// The range may be accessed.
pub(crate) unsafe fn fill(dst: *mut u8, byte: u8, len: usize) {
    // SAFETY: as the caller says. Sixteen at a time, then one at a time.
    unsafe {
        asm!(
            "2:",
            "subs {len}, {len}, #16",
            "b.lo 3f",
            "stp {x}, {x}, [{dst}], #16",
            "b 2b",
            "3:",
            "adds {len}, {len}, #16",
            "b.eq 5f",
            "4:",
            "strb {x:w}, [{dst}], #1",
            "subs {len}, {len}, #1",
            "b.ne 4b",
            "5:",
            x = in(reg) u64::from_ne_bytes([byte; 8]),
            len = inout(reg) len => _,
            dst = inout(reg) dst => _,
            options(nostack),
        )
    }
}

/// Loads a number at once, in one order with all that is atomic.
///
/// # Safety
/// It may be accessed, and is aligned.
pub(crate) unsafe fn load32(address: *const u32) -> u32 {
    let value;
    // SAFETY: as the caller says.
    unsafe {
        asm!("ldar {:w}, [{}]", out(reg) value, in(reg) address, options(nostack, preserves_flags))
    };
    value
}

/// As `load32`.
///
/// # Safety
/// Likewise.
pub(crate) unsafe fn load64(address: *const u64) -> u64 {
    let value;
    // SAFETY: as the caller says.
    unsafe {
        asm!("ldar {}, [{}]", out(reg) value, in(reg) address, options(nostack, preserves_flags))
    };
    value
}
