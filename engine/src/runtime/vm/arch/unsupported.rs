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
