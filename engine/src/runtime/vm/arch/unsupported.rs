//! Processors that the engine makes no code for, so that nothing here is ever reached.

/// See the other files.
///
/// # Safety
/// None.
pub(crate) unsafe fn resume(_fp: usize, _sp: usize, _pc: usize, _payload: [usize; 2]) -> ! {
    std::process::abort()
}

pub(crate) fn stack_pointer() -> usize {
    0
}

pub(crate) fn strip_return_address(address: usize) -> usize {
    address
}

pub(crate) fn flush_instructions(_code: &[u8]) {}

/// See the other files.
///
/// # Safety
/// None.
pub(crate) unsafe fn copy_forward(_dst: *mut u8, _src: *const u8, _len: usize) {
    std::process::abort()
}

/// See the other files.
///
/// # Safety
/// None.
pub(crate) unsafe fn copy_backward(_dst: *mut u8, _src: *const u8, _len: usize) {
    std::process::abort()
}

/// See the other files.
///
/// # Safety
/// None.
pub(crate) unsafe fn fill(_dst: *mut u8, _byte: u8, _len: usize) {
    std::process::abort()
}

/// See the other files.
///
/// # Safety
/// None.
pub(crate) unsafe fn load32(_address: *const u32) -> u32 {
    std::process::abort()
}

/// See the other files.
///
/// # Safety
/// None.
pub(crate) unsafe fn load64(_address: *const u64) -> u64 {
    std::process::abort()
}
