//! Host functions that go to other stacks, as those of fibers do, and enter wasm there.

use super::*;
use std::arch::asm;

/// Bytes of each stack: more than wasm may use.
const SIZE: usize = 1 << 20;
/// What is on a stack that nobody has used.
const UNUSED: u64 = 0xa5a5_a5a5_a5a5_a5a5;

/// Two stacks, the second one further up. A raw pointer, since whoever is on them writes there.
struct Stacks(*mut [u128]);

impl Stacks {
    fn new() -> Self {
        let unused = u128::from(UNUSED) << 64 | u128::from(UNUSED);
        Stacks(Box::into_raw(vec![unused; 2 * SIZE / 16].into()))
    }

    fn top(&self, stack: usize) -> *mut u8 {
        self.0.cast::<u8>().wrapping_add((stack + 1) * SIZE)
    }

    /// How many bytes of a stack were used.
    fn used(&self, stack: usize) -> usize {
        let words = self.top(stack).cast::<u64>().wrapping_sub(SIZE / 8);
        // SAFETY: inside of the allocation, which nobody writes to by now.
        let unused = |i: &usize| unsafe { words.wrapping_add(*i).read() } == UNUSED;
        SIZE - (0..SIZE / 8).take_while(unused).count() * 8
    }
}

impl Drop for Stacks {
    fn drop(&mut self) {
        // SAFETY: it came from a `Box`, and nobody is on these stacks any more.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

/// Calls `f` with the stack at `top`. It must not panic.
fn on_stack(top: *mut u8, mut f: &mut dyn FnMut()) {
    extern "C" fn call(f: &mut &mut dyn FnMut()) {
        f();
    }
    // SAFETY: the stack pointer is kept where `call` keeps it, and put back; all else that `call`
    // may change is said. There is a stack of `SIZE` bytes below `top`, which is aligned to 16.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "mov r12, rsp", "mov rsp, {top}", "call {call}", "mov rsp, r12",
            top = in(reg) top, call = sym call, in("rdi") &mut f, out("r12") _,
            clobber_abi("C"),
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "mov x20, sp", "mov sp, {top}", "bl {call}", "mov sp, x20",
            top = in(reg) top, call = sym call, in("x0") &mut f, out("x20") _,
            clobber_abi("C"),
        );
    }
}

/// From each stack to each other one: wasm uses no more of it than it may, and none of another.
#[test]
fn each_stack_has_a_limit_of_its_own() {
    /// As `Instance::new` has it.
    const MOST: usize = 256 << 10;
    for (from, to) in [(None, Some(0)), (None, Some(1)), (Some(0), Some(1)), (Some(0), Some(0))] {
        let stacks = Stacks::new();
        let instance = Instance::new(load());
        let mut traps = Vec::new();
        let mut recurse = || traps.push(instance.trap(4, &mut none()).0);
        let mut host = || {
            match to {
                Some(to) if from != Some(to) => on_stack(stacks.top(to), &mut recurse),
                _ => recurse(),
            }
            Ok(())
        };
        let mut run =
            || assert!(instance.call_host(&mut (Box::new(&mut host) as HostFn<'_>)).is_ok());
        match from {
            Some(from) => on_stack(stacks.top(from), &mut run),
            None => run(),
        }
        // And back where it was.
        assert_eq!(instance.trap(4, &mut none()).0, Trap::StackOverflow);
        assert_eq!(traps, [Trap::StackOverflow], "from {from:?} to {to:?}");
        let used = [0, 1].map(|stack| stacks.used(stack));
        for (stack, used) in used.into_iter().enumerate() {
            let most = match (from == Some(stack), to == Some(stack)) {
                (_, true) => MOST / 2..MOST + (64 << 10),
                (true, false) => 1..MOST / 2,
                (false, false) => 0..1,
            };
            assert!(most.contains(&used), "from {from:?} to {to:?}: {used} of stack {stack}");
        }
    }
}
