//! Entering, trapping and unwinding with code made by hand, in an artifact made by hand.
//!
//! What ends the process is tested in a child: this program again, told to run one test.

mod stacks;

use super::entry::{self, ExecutionBox, Raise, Unwound};
use super::memory::{LinearMemory, Plan};
use super::registry;
use super::traps;
use super::vmctx::{ValRaw, VmCtx, VmFuncRef, VmHostFunc};
use crate::artifact::FORMAT_VERSION;
use crate::artifact::header::{HEADER_AT, Header, MAGIC, PAGE, Section, digest};
use crate::runtime::code::{CodeMapping, Load};
use crate::{Bounds, Error, Trap};
use std::fs::File;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};
use std::ptr;
use std::sync::Arc;
use zerocopy::{FromZeros, IntoBytes};

// The entry trampoline, the functions, the host trampoline. A function gets its vmctx in rdi or x0
// and the values in rdx or x2; like the tail convention, it may change every register.
#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".pushsection .rodata.precompile_test, \"a\"",
    "precompile_test_entry:",
    "push rbp; mov rbp, rsp; push rbx; push r12; push r13; push r14; push r15; sub rsp, 8",
    "mov rax, [rdi]; mov [rax + 24], rbp; mov [rax + 32], rsp",
    "lea r8, [rip + 2f]; mov [rax + 40], r8",
    "call rcx",
    "mov eax, 1; jmp 3f",
    "2: xor eax, eax",
    "3: lea rsp, [rbp - 40]",
    "pop r15; pop r14; pop r13; pop r12; pop rbx; pop rbp; ret",
    // unreachable
    "precompile_test_f0: push rbp; mov rbp, rsp",
    "precompile_test_f0_trap: ud2",
    // calls f0
    "precompile_test_f1: push rbp; mov rbp, rsp; call precompile_test_f0",
    "precompile_test_f1_ret: pop rbp; ret",
    // *values[0] += 1
    "precompile_test_f2: push rbp; mov rbp, rsp; mov rax, [rdx]",
    "precompile_test_f2_trap: add dword ptr [rax], 1",
    "pop rbp; ret",
    // calls the host function values[0]; values[1] raises
    "precompile_test_f3: push rbp; mov rbp, rsp; call 4f",
    "precompile_test_f3_ret: pop rbp; ret",
    // calls itself for ever
    "precompile_test_f4: push rbp; mov rbp, rsp; mov rax, [rdi]; cmp rsp, [rax]; ja 5f",
    "precompile_test_f4_trap: ud2",
    "5: call precompile_test_f4",
    "precompile_test_f4_ret: pop rbp; ret",
    // 1 / 0
    "precompile_test_f5: push rbp; mov rbp, rsp; mov eax, 1; xor ecx, ecx; cdq",
    "precompile_test_f5_trap: idiv ecx",
    "pop rbp; ret",
    // a trap that is not on record
    "precompile_test_f6: push rbp; mov rbp, rsp; ud2",
    "precompile_test_host:",
    "4: push rbp; mov rbp, rsp; mov rax, [rdi]; mov [rax + 8], rbp",
    "mov r8, [rbp + 8]; mov [rax + 16], r8",
    "mov rbx, rdi; mov r12, rdx; mov rsi, rdi; mov rdi, [rdx]; mov ecx, 1; call [rdi + 8]",
    "test eax, eax; jnz 6f",
    "mov rdi, rbx; call [r12 + 16]",
    "6: pop rbp; ret",
    "precompile_test_end:",
    ".popsection",
);

#[cfg(target_arch = "aarch64")]
std::arch::global_asm!(
    ".pushsection .rodata.precompile_test, \"a\"",
    ".balign 4",
    ".macro precompile_test_frame",
    "stp x29, x30, [sp, #-16]!; mov x29, sp",
    ".endm",
    ".macro precompile_test_return",
    "ldp x29, x30, [sp], #16; ret",
    ".endm",
    "precompile_test_entry: precompile_test_frame",
    "stp x19, x20, [sp, #-16]!; stp x21, x22, [sp, #-16]!; stp x23, x24, [sp, #-16]!",
    "stp x25, x26, [sp, #-16]!; stp x27, x28, [sp, #-16]!",
    "ldr x9, [x0]; str x29, [x9, #24]; mov x10, sp; str x10, [x9, #32]",
    "adr x10, 2f; str x10, [x9, #40]",
    "blr x3",
    "mov w0, #1; b 3f",
    "2: mov w0, #0",
    "3: sub sp, x29, #80",
    "ldp x27, x28, [sp], #16; ldp x25, x26, [sp], #16; ldp x23, x24, [sp], #16",
    "ldp x21, x22, [sp], #16; ldp x19, x20, [sp], #16",
    "precompile_test_return",
    // unreachable
    "precompile_test_f0: precompile_test_frame",
    "precompile_test_f0_trap: udf #0",
    // calls f0
    "precompile_test_f1: precompile_test_frame; bl precompile_test_f0",
    "precompile_test_f1_ret: precompile_test_return",
    // *values[0] += 1
    "precompile_test_f2: precompile_test_frame; ldr x8, [x2]",
    "precompile_test_f2_trap: ldr w9, [x8]",
    "add w9, w9, #1; str w9, [x8]; precompile_test_return",
    // calls the host function values[0]; values[1] raises
    "precompile_test_f3: precompile_test_frame; bl 4f",
    "precompile_test_f3_ret: precompile_test_return",
    // calls itself for ever
    "precompile_test_f4: precompile_test_frame",
    "ldr x8, [x0]; ldr x8, [x8]; mov x9, sp; cmp x9, x8; b.hi 5f",
    "precompile_test_f4_trap: udf #0",
    "5: bl precompile_test_f4",
    "precompile_test_f4_ret: precompile_test_return",
    // 1 / 0, for which there is no trap but a check and this
    "precompile_test_f5: precompile_test_frame",
    "precompile_test_f5_trap: udf #0",
    // a trap that is not on record
    "precompile_test_f6: precompile_test_frame; udf #0",
    "precompile_test_host:",
    "4: precompile_test_frame; ldr x8, [x0]; str x29, [x8, #8]; str x30, [x8, #16]",
    "mov x19, x0; mov x20, x2; mov x1, x0; ldr x0, [x2]; mov x3, #1",
    "ldr x8, [x0, #8]; blr x8",
    "cbnz w0, 6f",
    "mov x0, x19; ldr x8, [x20, #16]; blr x8",
    "6: precompile_test_return",
    "precompile_test_end:",
    ".popsection",
);

macro_rules! labels {
    ($($label:ident)*) => {
        unsafe extern "C" {
            $(static $label: u8;)*
        }
    };
}
labels! {
    precompile_test_entry precompile_test_f0 precompile_test_f0_trap precompile_test_f1
    precompile_test_f1_ret precompile_test_f2 precompile_test_f2_trap precompile_test_f3
    precompile_test_f3_ret precompile_test_f4 precompile_test_f4_trap precompile_test_f4_ret
    precompile_test_f5 precompile_test_f5_trap precompile_test_f6 precompile_test_host
    precompile_test_end
}

fn offset(label: *const u8) -> u32 {
    (label.addr() - (&raw const precompile_test_entry).addr()) as u32
}

/// Starts of the functions and their end.
fn starts() -> [u32; 8] {
    [
        offset(&raw const precompile_test_f0),
        offset(&raw const precompile_test_f1),
        offset(&raw const precompile_test_f2),
        offset(&raw const precompile_test_f3),
        offset(&raw const precompile_test_f4),
        offset(&raw const precompile_test_f5),
        offset(&raw const precompile_test_f6),
        offset(&raw const precompile_test_host),
    ]
}

/// The artifact: header, a page of text, a page of tables, a page of image.
fn artifact() -> Vec<u8> {
    let start = &raw const precompile_test_entry;
    let len = offset(&raw const precompile_test_end) as usize;
    // SAFETY: between two labels of one section.
    let text = unsafe { std::slice::from_raw_parts(start, len) };
    let places: [(*const u8, Option<Trap>); 7] = [
        (&raw const precompile_test_f0_trap, Some(Trap::UnreachableCodeReached)),
        (&raw const precompile_test_f1_ret, None),
        (&raw const precompile_test_f2_trap, Some(Trap::MemoryOutOfBounds)),
        (&raw const precompile_test_f3_ret, None),
        (&raw const precompile_test_f4_trap, Some(Trap::StackOverflow)),
        (&raw const precompile_test_f4_ret, None),
        (&raw const precompile_test_f5_trap, Some(Trap::IntegerDivisionByZero)),
    ];
    let starts = starts();
    let (mut sites, mut site_starts) = (Vec::new(), Vec::new());
    for pair in starts.windows(2) {
        site_starts.push(sites.len() as u32);
        let (mut pc, mut wasm_offset) = (pair[0], 0);
        for (label, trap) in places {
            let at = offset(label);
            if (pair[0] + 1..pair[1]).contains(&at) {
                put_number(&mut sites, (at - pc) << 5 | trap.map_or(0, |trap| trap as u32));
                put_number(&mut sites, (at - wasm_offset) << 1);
                (pc, wasm_offset) = (at, at);
            }
        }
    }
    site_starts.push(sites.len() as u32);

    let mut file = vec![0; 4 * PAGE];
    let mut header = Header::new_zeroed();
    let mut put = |section: Section, at: usize, bytes: &[u8]| {
        file[at..at + bytes.len()].copy_from_slice(bytes);
        header.sections[section as usize].offset.set(at as u64);
        header.sections[section as usize].len.set(bytes.len() as u64);
    };
    let words = |words: &[u32]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
    put(Section::Text, PAGE, text);
    put(Section::FuncStarts, 2 * PAGE, &words(&starts));
    put(Section::SiteStarts, 2 * PAGE + 64, &words(&site_starts));
    put(Section::Sites, 2 * PAGE + 128, &sites);
    put(Section::Images, 3 * PAGE, &[7; PAGE]);
    header.magic = MAGIC;
    header.format_version.set(FORMAT_VERSION);
    header.section_count.set(Section::COUNT as u32);
    header.file_len.set(file.len() as u64);
    file[HEADER_AT..HEADER_AT + size_of::<Header>()].copy_from_slice(header.as_bytes());
    header.digest = digest(&file[..PAGE]);
    file[HEADER_AT..HEADER_AT + size_of::<Header>()].copy_from_slice(header.as_bytes());
    file
}

/// As in `artifact/sites.rs`.
fn put_number(out: &mut Vec<u8>, x: u32) {
    out.extend([x as u8 & 0x7f | 0x80, (x >> 7) as u8 & 0x7f | 0x80, (x >> 14) as u8]);
}

fn load() -> Arc<CodeMapping> {
    // SAFETY: the code above is as sound as it has to be here.
    unsafe { CodeMapping::from_bytes(&artifact(), "by hand") }.unwrap()
}

fn in_file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// A store with one instance of the artifact.
struct Instance {
    code: Arc<CodeMapping>,
    exec: ExecutionBox,
    vmctx: Box<VmCtx>,
}

// SAFETY: its pointers lead to what it owns.
unsafe impl Send for Instance {}

impl Instance {
    fn new(code: Arc<CodeMapping>) -> Self {
        traps::init().unwrap();
        let exec = ExecutionBox::new(256 << 10);
        let vmctx = Box::new(VmCtx {
            store: exec.vm_store(),
            builtins: ptr::null(),
            type_ids: ptr::null(),
            instance: exec.as_ptr().cast(),
            epoch: ptr::null(),
        });
        Instance { code, exec, vmctx }
    }

    fn call(&self, function: usize, values: &mut [ValRaw; 2]) -> Result<(), Unwound> {
        let vmctx = (&raw const *self.vmctx).cast_mut();
        let func = VmFuncRef {
            code: self.code.text_address(starts()[function]).unwrap(),
            vmctx,
            type_id: 0,
            zero: 0,
            entry: self.code.text_address(0).unwrap(),
        };
        // SAFETY: a function of this instance, with as many values as it uses.
        unsafe { entry::enter(self.exec.as_ptr(), &func, vmctx, values.as_mut_ptr()) }
    }

    fn trap(&self, function: usize, values: &mut [ValRaw; 2]) -> (Trap, Vec<(u32, Option<u32>)>) {
        let unwound = self.call(function, values).unwrap_err();
        let Raise::Trap(trap) = unwound.raise else { panic!("not a trap") };
        (trap, frames(&unwound.backtrace.unwrap()))
    }

    /// f3 calls `host` with the exec.
    fn call_host(&self, host: &mut HostFn<'_>) -> Result<(), Unwound> {
        let func = VmHostFunc { data: (&raw mut *host).cast(), call };
        let mut values = [
            ValRaw::from_u64((&raw const func).addr() as u64),
            ValRaw::from_u64(raise as *const () as u64),
        ];
        self.call(3, &mut values)
    }
}

type HostFn<'a> = Box<dyn FnMut() -> Result<(), Error> + 'a>;

unsafe extern "C" fn call(
    func: *mut VmHostFunc,
    caller: *mut VmCtx,
    _: *mut ValRaw,
    _: usize,
) -> u32 {
    // SAFETY: as `call_host` made it.
    let host = unsafe { (*func).data }.cast_mut().cast::<HostFn<'_>>();
    // SAFETY: as above; nobody else uses it meanwhile.
    let host = unsafe { &mut *host };
    // SAFETY: a vmctx made by `Instance::new`.
    let exec = unsafe { (*caller).instance }.cast();
    // SAFETY: called by the host trampoline.
    unsafe { entry::catch_host(exec, || host().map_err(Raise::from)) }
}

unsafe extern "C" fn raise(vmctx: *mut VmCtx) -> ! {
    // SAFETY: a vmctx made by `Instance::new`.
    let exec = unsafe { (*vmctx).instance }.cast();
    // SAFETY: called by the host trampoline.
    unsafe { entry::raise(exec) }
}

fn frames(backtrace: &super::unwind::Backtrace) -> Vec<(u32, Option<u32>)> {
    backtrace.frames().map(|frame| (frame.function, frame.wasm_offset)).collect()
}

fn never_thrown(_: entry::Thrown) -> Error {
    panic!("nothing here throws")
}

fn none() -> [ValRaw; 2] {
    [ValRaw::default(); 2]
}

fn memory() -> LinearMemory {
    let (min_bytes, bounds) = (64 << 10, Bounds::Guard);
    LinearMemory::new(Plan { min_bytes, max_bytes: None, bounds, stays: false }).unwrap()
}

#[test]
fn traps_end_the_activation() {
    let instance = Instance::new(load());
    let f0 = offset(&raw const precompile_test_f0_trap);
    let f1 = offset(&raw const precompile_test_f1_ret);
    for _ in 0..3 {
        let (trap, frames) = instance.trap(1, &mut none());
        assert_eq!(trap, Trap::UnreachableCodeReached);
        assert_eq!(frames, [(0, Some(f0)), (1, Some(f1))]);
        assert_eq!(instance.trap(5, &mut none()).0, Trap::IntegerDivisionByZero);
    }
}

#[test]
fn memory_faults_are_traps_where_memories_are() {
    let instance = Instance::new(load());
    let memory = memory();
    let range = memory.range_with_guards();
    let exec = instance.exec.as_ptr();
    // SAFETY: nothing runs.
    unsafe { entry::add_memory(exec, range.clone()) };
    let at = |offset: i64| {
        let address = memory.base().addr().wrapping_add_signed(offset as isize);
        [ValRaw::from_u64(address as u64), ValRaw::default()]
    };
    instance.call(2, &mut at(65532)).unwrap_or_else(|_| panic!("in bounds"));
    // SAFETY: accessible, and code has ended.
    assert_eq!(unsafe { memory.base().wrapping_add(65532).read() }, 1);
    for offset in [65533, 65536, u32::MAX.into(), (8 << 30) + 14, -4, -(2 << 30)] {
        let (trap, frames) = instance.trap(2, &mut at(offset));
        assert_eq!(trap, Trap::MemoryOutOfBounds, "{offset}");
        assert_eq!(frames, [(2, Some(offset_of_f2()))]);
    }
    assert_eq!(instance.trap(2, &mut none()).0, Trap::MemoryOutOfBounds);
    // SAFETY: nothing runs.
    unsafe { entry::remove_memory(exec, &range) };
}

fn offset_of_f2() -> u32 {
    offset(&raw const precompile_test_f2_trap)
}

#[test]
fn recursion_is_a_trap_on_any_thread() {
    let run = || {
        let instance = Instance::new(load());
        for _ in 0..2 {
            let unwound = instance.call(4, &mut none()).unwrap_err();
            assert!(matches!(unwound.raise, Raise::Trap(Trap::StackOverflow)));
            let backtrace = unwound.backtrace.unwrap();
            assert_eq!(backtrace.frames().count(), super::unwind::MAX_FRAMES);
            assert!(backtrace.frames().all(|frame| frame.function == 4));
            assert!(backtrace.omitted() > 1000);
        }
        instance
    };
    // The store goes on on another thread, with less stack than it may use.
    let instance = run();
    let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(move || {
        assert_eq!(instance.trap(4, &mut none()).0, Trap::StackOverflow);
    });
    thread.unwrap().join().unwrap();
}

#[test]
fn recursion_through_the_host_is_a_trap() {
    fn down(instance: &Instance) -> Result<(), Error> {
        instance.call_host(&mut (Box::new(|| down(instance)) as HostFn<'_>)).map_err(|unwound| {
            unwound.into_error(never_thrown, |backtrace| format!("{}", backtrace.omitted()))
        })
    }
    let instance = Instance::new(load());
    let error = down(&instance).unwrap_err();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::StackOverflow));
    // One backtrace, the innermost.
    assert_eq!(error.chain().count(), 2);
}

#[test]
fn errors_and_panics_of_the_host_come_out() {
    let instance = Instance::new(load());
    let f3 = offset(&raw const precompile_test_f3_ret);
    let unwound = instance.call_host(&mut (Box::new(|| Err(Error::msg("no"))) as HostFn<'_>));
    let unwound = unwound.unwrap_err();
    assert_eq!(frames(unwound.backtrace.as_ref().unwrap()), [(3, Some(f3))]);
    let error = unwound.into_error(never_thrown, |_| "context");
    assert_eq!(format!("{error:#}"), "context: no");

    let unwound = instance.call_host(
        &mut (Box::new(|| -> crate::Result<()> { panic!("out of here") }) as HostFn<'_>),
    );
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        unwound.unwrap_err().into_error(never_thrown, |_| "context")
    }));
    assert_eq!(result.unwrap_err().downcast_ref(), Some(&"out of here"));
    assert_eq!(instance.trap(0, &mut none()).0, Trap::UnreachableCodeReached);
}

#[test]
fn activations_nest() {
    let (instance, other) = (Instance::new(load()), Instance::new(load()));
    let f3 = offset(&raw const precompile_test_f3_ret);
    let mut rounds = 0;
    let mut host = || {
        // Of the same store: the backtrace goes on through both.
        let (trap, frames) = instance.trap(1, &mut none());
        assert_eq!(trap, Trap::UnreachableCodeReached);
        let functions: Vec<u32> = frames.iter().map(|frame| frame.0).collect();
        assert_eq!(functions, [0, 1, 3]);
        assert_eq!(frames[2].1, Some(f3));
        // Of another store.
        assert_eq!(other.trap(1, &mut none()).1.len(), 2);
        assert_eq!(other.trap(4, &mut none()).0, Trap::StackOverflow);
        // On another thread, while this one waits.
        let there = &AssertSend(&instance);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (trap, frames) = there.get().trap(4, &mut none());
                assert_eq!((trap, frames.len()), (Trap::StackOverflow, 64));
                assert_eq!(there.get().trap(1, &mut none()).1.len(), 3);
            });
        });
        rounds += 1;
        Ok(())
    };
    for _ in 0..2 {
        let result = instance.call_host(&mut (Box::new(&mut host) as HostFn<'_>));
        assert!(result.is_ok());
        // What was there before the activation is back.
        assert_eq!(instance.trap(0, &mut none()).1.len(), 1);
    }
    assert_eq!(rounds, 2);
}

struct AssertSend<'a>(&'a Instance);

// SAFETY: only one thread uses it at a time.
unsafe impl Sync for AssertSend<'_> {}

impl AssertSend<'_> {
    fn get(&self) -> &Instance {
        self.0
    }
}

#[test]
fn all_ways_of_loading_run_and_are_found() {
    let bytes = artifact();
    for way in [Some(Load::Map), Some(Load::Copy), None] {
        let code = match way {
            Some(way) => {
                let mut longer = bytes.clone();
                longer.extend([1; 100]);
                let file = in_file(&longer);
                // SAFETY: made by `artifact`, and nobody else has the file.
                unsafe { CodeMapping::from_file(file, bytes.len() as u64, way, "file") }.unwrap()
            }
            None => load(),
        };
        assert_eq!(code.bytes(), bytes);
        let pc = code.text().start + starts()[0] as usize;
        assert!(Arc::ptr_eq(&registry::find(pc).unwrap(), &code));
        // What other tests mapped may lie right before it.
        let before = registry::find(code.range().start - 1);
        assert!(before.is_none_or(|other| !Arc::ptr_eq(&other, &code)));
        let instance = Instance::new(code);
        assert_eq!(instance.trap(1, &mut none()).0, Trap::UnreachableCodeReached);

        let mut memory = memory();
        let image = instance.code.image(3 * PAGE as u64, PAGE as u64).unwrap();
        memory.map_image(PAGE as u64, image).unwrap();
        // SAFETY: accessible, and nobody writes.
        let bytes = unsafe { std::slice::from_raw_parts(memory.base(), 3 * PAGE) };
        assert!(bytes[..PAGE].iter().chain(&bytes[2 * PAGE..]).all(|b| *b == 0));
        assert!(bytes[PAGE..2 * PAGE].iter().all(|b| *b == 7));
        assert!(instance.code.image(PAGE as u64, 1).is_none());
        assert!(instance.code.image(3 * PAGE as u64, PAGE as u64 + 1).is_none());
        assert!(instance.code.image(u64::MAX, 1).is_none());
        drop(instance);
    }
}

/// Needs the right to mount; without it, nothing is tested.
#[test]
fn files_that_may_not_be_executed_are_copied() {
    if !is_child() {
        let output = child("files_that_may_not_be_executed_are_copied");
        assert!(output.status.success(), "{output:?}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = std::ffi::CString::new(dir.path().to_str().unwrap()).unwrap();
    // SAFETY: gives this thread a list of mounts of its own.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        return;
    }
    let mount = |at: &std::ffi::CStr, flags| {
        let kind = c"tmpfs".as_ptr();
        // SAFETY: the strings end with NUL; only this thread sees the mount.
        unsafe { libc::mount(kind, at.as_ptr(), kind, flags, ptr::null()) }
    };
    assert_eq!(mount(c"/", libc::MS_REC | libc::MS_PRIVATE), 0);
    assert_eq!(mount(&path, libc::MS_NOEXEC), 0);
    let bytes = artifact();
    let mut file = tempfile::tempfile_in(dir.path()).unwrap();
    file.write_all(&bytes).unwrap();
    // SAFETY: made by `artifact`, and nobody else has the file.
    let code = unsafe { CodeMapping::from_file(file, bytes.len() as u64, Load::Map, "noexec") };
    let instance = Instance::new(code.unwrap());
    assert_eq!(instance.trap(1, &mut none()).0, Trap::UnreachableCodeReached);
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let text = format!("{:x}-", instance.code.text().start);
    let line = maps.lines().find(|line| line.starts_with(&text)).unwrap();
    assert!(line.contains("r-xp") && line.contains("memfd:precompile"), "{line}");
    // SAFETY: as above.
    unsafe { libc::umount(path.as_ptr()) };
}

#[test]
fn damaged_artifacts_are_refused() {
    let whole = artifact();
    let load = |bytes: &[u8]| {
        // SAFETY: refused, or never run.
        let result = unsafe { CodeMapping::from_bytes(bytes, "damaged") };
        let len = bytes.len() as u64;
        // SAFETY: as above.
        let same = unsafe { CodeMapping::from_file(in_file(bytes), len, Load::Map, "damaged") };
        assert_eq!(result.is_ok(), same.is_ok());
        // SAFETY: as above.
        let longer =
            unsafe { CodeMapping::from_file(in_file(bytes), len + 1, Load::Map, "damaged") };
        assert!(longer.is_err());
        result
    };
    assert!(load(&whole).is_ok());
    for len in [0, 1, PAGE - 1, PAGE, whole.len() - 1] {
        let error = load(&whole[..len]).unwrap_err();
        assert_eq!(error.to_string(), "cannot load `damaged`");
    }
    for at in (HEADER_AT..HEADER_AT + size_of::<Header>()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        assert!(load(&bytes).is_err());
    }
}

#[test]
fn tables_that_make_no_sense_answer_nothing() {
    let mut bytes = artifact();
    bytes[2 * PAGE..3 * PAGE].fill(0xff);
    // SAFETY: not run.
    let code = unsafe { CodeMapping::from_bytes(&bytes, "nonsense") }.unwrap();
    for offset in 0..code.text().len() {
        assert!(code.tables().trap(offset).is_none());
        assert!(code.tables().call(offset).is_none());
    }
    let code = load();
    let found = (0..code.text().len()).filter(|at| code.tables().trap(*at).is_some());
    assert_eq!(found.count(), 4);
}

#[test]
fn threads_load_trap_and_drop_at_once() {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let instance = Instance::new(load());
                    assert_eq!(instance.trap(1, &mut none()).1.len(), 2);
                }
            });
        }
    });
}

/// This binary; started by `TEST_RUNNER`, where that names an emulator.
#[expect(clippy::disallowed_methods, reason = "how tests are told that they are emulated")]
fn own_program() -> Command {
    let own = std::env::current_exe().unwrap();
    let Some(runner) = std::env::var_os("TEST_RUNNER") else { return Command::new(own) };
    let mut command = Command::new(runner);
    command.arg(own);
    command
}

/// Runs a test of this file in a child, with `CHILD` set.
fn child(test: &str) -> Output {
    own_program()
        .args([
            "--exact",
            &format!("runtime::vm::tests::{test}"),
            "--nocapture",
            "--test-threads=1",
        ])
        .env("CHILD", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[expect(clippy::disallowed_methods, reason = "how a test tells its own child what it is")]
fn is_child() -> bool {
    std::env::var_os("CHILD").is_some()
}

fn assert_dies(output: &Output, signal: i32, message: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(signal), "{output:?}");
    assert!(stderr.contains(message), "{stderr}");
}

#[test]
fn a_fault_outside_of_memories_aborts() {
    if is_child() {
        let memory = memory();
        let at = memory.range_with_guards().start as u64;
        // The memory was not made known.
        let _ = Instance::new(load()).call(2, &mut [ValRaw::from_u64(at), ValRaw::default()]);
        return;
    }
    let output = child("a_fault_outside_of_memories_aborts");
    assert_dies(&output, libc::SIGABRT, "outside of the memories in code of `by hand`");
}

#[test]
fn an_address_that_is_none_aborts() {
    if is_child() {
        // Not in the top byte, which processors may be told not to look at.
        let _ = Instance::new(load()).call(2, &mut [ValRaw::from_u64(1 << 55), ValRaw::default()]);
        return;
    }
    assert_dies(&child("an_address_that_is_none_aborts"), libc::SIGABRT, "outside of the memories");
}

#[test]
fn a_trap_that_is_not_on_record_aborts() {
    if is_child() {
        let _ = Instance::new(load()).call(6, &mut none());
        return;
    }
    let output = child("a_trap_that_is_not_on_record_aborts");
    assert_dies(&output, libc::SIGABRT, "where no instruction can trap");
}

#[test]
fn a_fault_of_the_host_stays_one() {
    if is_child() {
        let mut host = || {
            // SAFETY: none; this is what is tested.
            unsafe { ptr::without_provenance::<u8>(8).read_volatile() };
            Ok(())
        };
        let _ = Instance::new(load()).call_host(&mut (Box::new(&mut host) as HostFn<'_>));
        return;
    }
    assert_dies(&child("a_fault_of_the_host_stays_one"), libc::SIGSEGV, "");
}

#[test]
fn a_signal_that_was_sent_still_kills() {
    if is_child() {
        traps::init().unwrap();
        // SAFETY: what is tested.
        unsafe { libc::raise(libc::SIGILL) };
        return;
    }
    assert_dies(&child("a_signal_that_was_sent_still_kills"), libc::SIGILL, "");
}

#[test]
fn a_shortened_file_is_named() {
    if is_child() {
        let bytes = artifact();
        let file = in_file(&bytes);
        let len = bytes.len() as u64;
        let same = file.try_clone().unwrap();
        // SAFETY: none; this is what is tested.
        let code = unsafe { CodeMapping::from_file(file, len, Load::Map, "the/entry") }.unwrap();
        traps::init().unwrap();
        same.set_len(0).unwrap();
        std::hint::black_box(code.bytes()[3 * PAGE]);
        return;
    }
    assert_dies(&child("a_shortened_file_is_named"), libc::SIGABRT, "`the/entry` was shortened");
}

#[test]
fn a_shortened_image_is_named() {
    if is_child() {
        let bytes = artifact();
        let file = in_file(&bytes);
        let len = bytes.len() as u64;
        let same = file.try_clone().unwrap();
        // SAFETY: none; this is what is tested.
        let code = unsafe { CodeMapping::from_file(file, len, Load::Map, "the/entry") }.unwrap();
        let mut memory = memory();
        memory.map_image(0, code.image(3 * PAGE as u64, PAGE as u64).unwrap()).unwrap();
        let instance = Instance::new(code);
        // SAFETY: nothing runs.
        unsafe { entry::add_memory(instance.exec.as_ptr(), memory.range_with_guards()) };
        same.set_len(3 * PAGE as u64).unwrap();
        let at = ValRaw::from_u64(memory.base().addr() as u64);
        let _ = instance.call(2, &mut [at, ValRaw::default()]);
        return;
    }
    assert_dies(&child("a_shortened_image_is_named"), libc::SIGABRT, "`the/entry` was shortened");
}

#[test]
fn the_handler_before_ours_is_called() {
    unsafe extern "C" fn before(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: the kernel passes a valid description.
        let info = unsafe { &*info };
        // SAFETY: this signal has an address.
        let address = unsafe { info.si_addr() }.addr();
        // SAFETY: ends the process at once.
        unsafe { libc::_exit(if address == 8 { 42 } else { 43 }) };
    }
    if is_child() {
        // SAFETY: all zero is a valid action.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = before as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        // SAFETY: a valid action.
        unsafe { libc::sigaction(libc::SIGSEGV, &action, ptr::null_mut()) };
        let instance = Instance::new(load());
        assert_eq!(instance.trap(1, &mut none()).0, Trap::UnreachableCodeReached);
        let null = ptr::without_provenance::<u8>(8);
        // SAFETY: none; this is what is tested.
        unsafe { null.read_volatile() };
        return;
    }
    assert_eq!(child("the_handler_before_ours_is_called").status.code(), Some(42));
}

#[test]
fn little_address_space_is_an_error() {
    if is_child() {
        let limit = libc::rlimit { rlim_cur: 4 << 30, rlim_max: 4 << 30 };
        // SAFETY: a valid limit.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
        assert!(!super::memory::can_reserve_guarded());
        let (min_bytes, bounds) = (64 << 10, Bounds::Guard);
        let plan = Plan { min_bytes, max_bytes: None, bounds, stays: false };
        let error = LinearMemory::new(plan).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Io);
        let plan = Plan { bounds: Bounds::Explicit, ..plan };
        let mut memory = LinearMemory::new(plan).unwrap();
        assert!(memory.grow_to(8 << 30).is_err());
        assert_eq!(memory.len(), 64 << 10);
        memory.grow_to(1 << 30).unwrap();
        assert!(memory.grow_to(u64::MAX).is_err());
        return;
    }
    let output = child("little_address_space_is_an_error");
    assert!(output.status.success(), "{output:?}");
}
