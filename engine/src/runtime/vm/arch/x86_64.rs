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

/// Copies bytes, the first one first.
///
/// # Safety
/// Both ranges may be accessed; where they overlap, `dst` is not behind `src`.
pub(crate) unsafe fn copy_forward(dst: *mut u8, src: *const u8, len: usize) {
    // SAFETY: as the caller says; the direction flag is clear between instructions of Rust.
    unsafe {
        asm!(
            "rep movsb",
            inout("rcx") len => _,
            inout("rdi") dst => _,
            inout("rsi") src => _,
            options(nostack, preserves_flags),
        )
    }
}

/// Copies bytes, the last one first.
///
/// # Safety
/// Both ranges may be accessed; where they overlap, `dst` is not before `src`.
pub(crate) unsafe fn copy_backward(dst: *mut u8, src: *const u8, len: usize) {
    // SAFETY: as the caller says. Eight at a time, then one at a time.
    unsafe {
        asm!(
            "2:",
            "sub {len}, 8",
            "jb 3f",
            "mov {x}, qword ptr [{src} + {len}]",
            "mov qword ptr [{dst} + {len}], {x}",
            "jmp 2b",
            "3:",
            "add {len}, 8",
            "jz 5f",
            "4:",
            "mov {x:l}, byte ptr [{src} + {len} - 1]",
            "mov byte ptr [{dst} + {len} - 1], {x:l}",
            "sub {len}, 1",
            "jnz 4b",
            "5:",
            x = out(reg) _,
            len = inout(reg) len => _,
            dst = in(reg) dst,
            src = in(reg) src,
            options(nostack),
        )
    }
}

/// Sets bytes.
///
/// # Safety
/// The range may be accessed.
pub(crate) unsafe fn fill(dst: *mut u8, byte: u8, len: usize) {
    // SAFETY: as the caller says; the direction flag is clear between instructions of Rust.
    unsafe {
        asm!(
            "rep stosb",
            inout("rcx") len => _,
            inout("rdi") dst => _,
            in("al") byte,
            options(nostack, preserves_flags),
        )
    }
}

/// Loads a number at once, in one order with all that is atomic.
///
/// # Safety
/// It may be accessed, and is aligned.
pub(crate) unsafe fn load32(address: *const u32) -> u32 {
    let value;
    // SAFETY: as the caller says. Every load has this order here.
    unsafe {
        asm!("mov {:e}, dword ptr [{}]", out(reg) value, in(reg) address,
            options(nostack, preserves_flags))
    };
    value
}

/// As `load32`.
///
/// # Safety
/// Likewise.
pub(crate) unsafe fn load64(address: *const u64) -> u64 {
    let value;
    // SAFETY: as the caller says. Every load has this order here.
    unsafe {
        asm!("mov {}, qword ptr [{}]", out(reg) value, in(reg) address,
            options(nostack, preserves_flags))
    };
    value
}
