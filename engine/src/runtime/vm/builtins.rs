//! The functions that compiled code calls in the runtime; `abi/builtins.rs` has the table.

use super::call::in_store;
use super::entry::{self, Raise};
use super::host::execution_of;
use super::instance::FuncRef;
use super::vmctx::{ValRaw, VmCtx};
use super::{arch, shared};
use crate::Trap;
use crate::abi::builtins::{RAISE_PTR, RAISE_SIZE, for_each_builtin};
use crate::error::{Error, Result};
use crate::runtime::heap::Handle;
use crate::runtime::memory::MemorySlot;
use crate::runtime::parking::WaitResult;
use crate::runtime::shared::Expected;
use crate::runtime::store::StoreOpaque;

type Vm = *mut VmCtx;

macro_rules! rust_type {
    (i32) => {
        u32
    };
    (i64) => {
        u64
    };
    (f32) => {
        f32
    };
    (f64) => {
        f64
    };
}

/// How a builtin's result is told to code.
macro_rules! told {
    (bool, $result:expr) => {
        u32::from($result.is_some())
    };
    (size, $result:expr) => {
        match $result {
            None => RAISE_SIZE,
            Some(None) => -1,
            Some(Some(size)) => u64::cast_signed(size),
        }
    };
    (ptr, $result:expr) => {
        $result.map_or(RAISE_PTR, u64::cast_signed)
    };
}

macro_rules! told_type {
    (bool) => {
        u32
    };
    (size) => {
        i64
    };
    (ptr) => {
        i64
    };
    (f32) => {
        f32
    };
    (f64) => {
        f64
    };
    (none) => {
        ()
    };
}

macro_rules! entry_points {
    ($($(#[$doc:meta])* $class:ident $name:ident($($arg:ident: $ty:ident),*) -> $ret:ident;)*) => {
        mod entry_points {
            use super::*;
            $(entry_points!(@one $class $name($($arg: $ty),*) -> $ret);)*
        }

        /// A pointer in the table.
        #[repr(transparent)]
        struct Entry(*const ());

        // SAFETY: the pointers are to functions, which never change.
        unsafe impl Sync for Entry {}

        static TABLE: &[Entry] = &[$(Entry(entry_points::$name as *const ()),)*];
    };
    (@one walk raise() -> never) => {
        pub(super) unsafe extern "C" fn raise(vmctx: Vm) -> ! {
            // SAFETY: code calls this with its vmctx.
            let execution = unsafe { execution_of(vmctx) };
            // SAFETY: trampolines raise when something is pending, and leave nothing to drop.
            unsafe { entry::raise(execution) }
        }
    };
    (@one walk $name:ident($($arg:ident: $ty:ident),*) -> $ret:ident) => {
        pub(super) unsafe extern "C" fn $name(
            vmctx: Vm,
            $($arg: rust_type!($ty),)*
        ) -> told_type!($ret) {
            // SAFETY: code calls this with its vmctx, through the trampoline.
            let result = unsafe {
                in_store(vmctx, |store, instance| super::$name(store, instance, $($arg),*))
            };
            told!($ret, result)
        }
    };
    (@one leaf $name:ident($($arg:ident: $ty:ident),*) -> $ret:ident) => {
        pub(super) unsafe extern "C" fn $name($($arg: rust_type!($ty),)*) -> told_type!($ret) {
            super::$name($($arg),*)
        }
    };
}
for_each_builtin!(entry_points);

/// What `vmctx::fixed::BUILTINS` points to.
pub(crate) fn table() -> *const usize {
    TABLE.as_ptr().cast()
}

/// What the module knows as memory `index`. Code has indices from its own module, which was
/// validated.
fn memory_of(store: &StoreOpaque, instance: usize, index: u32) -> MemorySlot {
    store.instances[instance].memories[index as usize]
}

/// Index in the store of what the module knows as table `index`; see `memory_of`.
fn table_of(store: &StoreOpaque, instance: usize, index: u32) -> usize {
    store.instances[instance].tables[index as usize]
}

fn memory_grow(
    store: &mut StoreOpaque,
    instance: usize,
    memory: u32,
    delta: u64,
) -> Result<Option<u64>> {
    match memory_of(store, instance, memory) {
        MemorySlot::Own(memory) => store.grow_memory(memory, delta),
        MemorySlot::Shared(memory) => store.grow_shared(memory, delta),
    }
}

fn memory_init(
    store: &mut StoreOpaque,
    instance: usize,
    memory: u32,
    data: u32,
    dst: u64,
    src: u32,
    len: u32,
) -> Result<()> {
    store.memory_init(instance, (memory, dst), (data, src.into()), len.into())
}

fn data_drop(store: &mut StoreOpaque, instance: usize, data: u32) -> Result<()> {
    store.drop_data(instance, data);
    Ok(())
}

fn table_get_lazy(store: &mut StoreOpaque, instance: usize, table: u32, index: u64) -> Result<u64> {
    let table = table_of(store, instance, table);
    store.table_get(table, index)
}

fn table_grow_func(
    store: &mut StoreOpaque,
    instance: usize,
    table: u32,
    delta: u64,
    init: u64,
) -> Result<Option<u64>> {
    let table = table_of(store, instance, table);
    store.table_grow(table, delta, init)
}

fn table_grow_ref(
    store: &mut StoreOpaque,
    instance: usize,
    table: u32,
    delta: u64,
    init: u32,
) -> Result<Option<u64>> {
    table_grow_func(store, instance, table, delta, init.into())
}

fn table_fill_func(
    store: &mut StoreOpaque,
    instance: usize,
    table: u32,
    dst: u64,
    value: u64,
    len: u64,
) -> Result<()> {
    let table = table_of(store, instance, table);
    store.table_fill(table, dst, value, len)
}

fn table_fill_ref(
    store: &mut StoreOpaque,
    instance: usize,
    table: u32,
    dst: u64,
    value: u32,
    len: u64,
) -> Result<()> {
    table_fill_func(store, instance, table, dst, value.into(), len)
}

fn table_copy(
    store: &mut StoreOpaque,
    instance: usize,
    dst_table: u32,
    src_table: u32,
    dst: u64,
    src: u64,
    len: u64,
) -> Result<()> {
    let (to, from) = (table_of(store, instance, dst_table), table_of(store, instance, src_table));
    store.table_copy((to, dst), (from, src), len)
}

fn table_init(
    store: &mut StoreOpaque,
    instance: usize,
    table: u32,
    element: u32,
    dst: u64,
    src: u32,
    len: u32,
) -> Result<()> {
    store.table_init(instance, (table, dst), (element, src.into()), len.into())
}

fn elem_drop(store: &mut StoreOpaque, instance: usize, element: u32) -> Result<()> {
    store.drop_element(instance, element);
    Ok(())
}

fn ref_func(store: &mut StoreOpaque, instance: usize, func: u32) -> Result<u64> {
    store.func_ref(instance, func).map(|func| FuncRef::to_raw(Some(func)))
}

fn throw(store: &mut StoreOpaque, instance: usize, tag: u32, values: u64) -> Result<(), Raise> {
    let tag = store.instances[instance].tags[tag as usize];
    let count = store.tags[tag].func_type().params().len();
    let values = values as usize as *const ValRaw;
    // SAFETY: code put as many values there, aligned as they are in trampolines.
    let values = unsafe { std::slice::from_raw_parts(values, count) };
    Err(store.throw_new(tag, values.into()))
}

fn throw_ref(store: &mut StoreOpaque, _: usize, exception: u32) -> Result<(), Raise> {
    let exception = Handle::from_raw(exception).ok_or(Error::from(Trap::NullReference))?;
    Err(store.throw_again(exception))
}

fn memory_atomic_wait32(
    store: &mut StoreOpaque,
    instance: usize,
    memory: u32,
    address: u64,
    expected: u32,
    timeout: u64,
) -> Result<Option<u64>> {
    let memory = memory_of(store, instance, memory);
    store.wait(memory, address, Expected::Bits32(expected), timeout.cast_signed()).map(wait_result)
}

fn memory_atomic_wait64(
    store: &mut StoreOpaque,
    instance: usize,
    memory: u32,
    address: u64,
    expected: u64,
    timeout: u64,
) -> Result<Option<u64>> {
    let memory = memory_of(store, instance, memory);
    store.wait(memory, address, Expected::Bits64(expected), timeout.cast_signed()).map(wait_result)
}

fn wait_result(result: WaitResult) -> Option<u64> {
    Some(result as u64)
}

fn memory_atomic_notify(
    store: &mut StoreOpaque,
    instance: usize,
    memory: u32,
    address: u64,
    count: u32,
) -> Result<Option<u64>> {
    let memory = memory_of(store, instance, memory);
    store.notify(memory, address, count).map(|woken| Some(woken.into()))
}

fn epoch_passed(store: &mut StoreOpaque, _: usize) -> Result<()> {
    store.epoch_passed()
}

fn memory_move(dst: u64, src: u64, len: u64) {
    let (dst, src) = (dst as usize as *mut u8, src as usize as *const u8);
    // SAFETY: code checked that both ranges lie in memories of its instance.
    unsafe { std::ptr::copy(src, dst, len as usize) }
}

fn memory_set(dst: u64, value: u32, len: u64) {
    // SAFETY: code checked that the range lies in a memory of its instance.
    unsafe { std::ptr::write_bytes(dst as usize as *mut u8, value as u8, len as usize) }
}

fn memory_move_shared(dst: u64, src: u64, len: u64) {
    let (dst, src) = (dst as usize as *mut u8, src as usize as *const u8);
    // SAFETY: code checked that both ranges lie in memories of its instance.
    unsafe { shared::copy(dst, src, len as usize) }
}

fn memory_set_shared(dst: u64, value: u32, len: u64) {
    // SAFETY: code checked that the range lies in a memory of its instance.
    unsafe { arch::fill(dst as usize as *mut u8, value as u8, len as usize) }
}

macro_rules! rounding {
    ($($name:ident $ty:ident $method:ident $nan:literal;)*) => {
        $(fn $name(x: $ty) -> $ty {
            // The canonical NaN is always right, and what is asked for with NaN canonicalization,
            // which passes over calls.
            if x.is_nan() { $ty::from_bits($nan) } else { x.$method() }
        })*
    };
}

rounding! {
    f32_ceil f32 ceil 0x7fc0_0000;
    f32_floor f32 floor 0x7fc0_0000;
    f32_trunc f32 trunc 0x7fc0_0000;
    f32_nearest f32 round_ties_even 0x7fc0_0000;
    f64_ceil f64 ceil 0x7ff8_0000_0000_0000;
    f64_floor f64 floor 0x7ff8_0000_0000_0000;
    f64_trunc f64 trunc 0x7ff8_0000_0000_0000;
    f64_nearest f64 round_ties_even 0x7ff8_0000_0000_0000;
}
