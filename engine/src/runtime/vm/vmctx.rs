//! The runtime's side of `abi/vmctx.rs`: the same layouts as types, and assertions that hold the
//! two together.

use crate::abi::vmctx as layout;
use std::mem::offset_of;
use std::sync::atomic::AtomicU64;

/// An instance's vmctx. Its size depends on the module, so it is only ever behind a pointer.
#[repr(C, align(16))]
pub(crate) struct VmCtx {
    pub(crate) store: *mut VmStore,
    pub(crate) builtins: *const usize,
    pub(crate) type_ids: *const u32,
    /// The runtime's instance.
    pub(crate) instance: *mut (),
    pub(crate) epoch: *const u64,
}

/// What wasm code and the store share.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct VmStore {
    pub(crate) stack_limit: usize,
    pub(crate) exit_fp: usize,
    pub(crate) exit_pc: usize,
    pub(crate) entry_fp: usize,
    pub(crate) entry_sp: usize,
    pub(crate) entry_handler: usize,
    pub(crate) epoch_deadline: u64,
    pub(crate) fuel: i64,
}

/// A function reference.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct VmFuncRef {
    pub(crate) code: *const u8,
    /// A [`VmCtx`] or a [`VmHostFunc`].
    pub(crate) vmctx: *mut VmCtx,
    pub(crate) type_id: u32,
    pub(crate) zero: u32,
    /// [`EntryFn`] for wasm, [`HostFn`] for the host. Null where the slot was never filled.
    pub(crate) entry: *const u8,
}

/// `host(callee vmctx, caller vmctx, values, code) -> 1 or 0`.
pub(crate) type EntryFn =
    unsafe extern "C" fn(*mut VmCtx, *mut VmCtx, *mut ValRaw, *const u8) -> u32;

/// `host(callee, caller vmctx, values, count) -> 1 or 0`.
pub(crate) type HostFn =
    unsafe extern "C" fn(*mut VmHostFunc, *mut VmCtx, *mut ValRaw, usize) -> u32;

/// What stands where a vmctx would, for a function of the host.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct VmHostFunc {
    /// The runtime's data of the function.
    pub(crate) data: *const (),
    pub(crate) call: HostFn,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct VmFuncImport {
    pub(crate) code: *const u8,
    pub(crate) vmctx: *mut VmCtx,
}

/// An imported table or memory.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct VmPlaceImport {
    /// A [`VmTable`] or a [`VmMemory`].
    pub(crate) definition: *mut (),
    /// Its index in the store.
    pub(crate) handle: usize,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct VmTable {
    pub(crate) base: *mut u8,
    pub(crate) len: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct VmMemory {
    pub(crate) base: *mut u8,
    pub(crate) len: u64,
}

/// A memory that several threads use, at the place where [`VmMemory`] is one that they do not.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct VmSharedMemory {
    pub(crate) base: *mut u8,
    pub(crate) len: AtomicU64,
}

/// A shared memory that an instance defines.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct VmSharedMemorySlot {
    pub(crate) zero: usize,
    /// A [`VmSharedMemory`].
    pub(crate) definition: *mut VmMemory,
}

/// A value as trampolines pass it: the value in the low bytes, little endian.
#[repr(C, align(16))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ValRaw(pub(crate) [u8; 16]);

macro_rules! accessors {
    ($($get:ident $make:ident $ty:ty;)*) => {
        impl ValRaw {
            $(
                pub(crate) fn $get(self) -> $ty {
                    let (head, _) = self.0.split_first_chunk().expect("sixteen bytes hold it");
                    <$ty>::from_le_bytes(*head)
                }

                pub(crate) fn $make(x: $ty) -> Self {
                    let mut bytes = [0; 16];
                    bytes[..size_of::<$ty>()].copy_from_slice(&x.to_le_bytes());
                    ValRaw(bytes)
                }
            )*
        }
    };
}

accessors! {
    as_i32 from_i32 i32;
    as_u32 from_u32 u32;
    as_i64 from_i64 i64;
    as_u64 from_u64 u64;
    as_u128 from_u128 u128;
}

macro_rules! hold_together {
    ($($ty:ident.$field:ident == $offset:expr;)*) => {
        const _: () = {
            $(assert!(offset_of!($ty, $field) == $offset as usize);)*
        };
    };
}

hold_together! {
    VmCtx.store == layout::fixed::STORE;
    VmCtx.builtins == layout::fixed::BUILTINS;
    VmCtx.type_ids == layout::fixed::TYPE_IDS;
    VmCtx.instance == layout::fixed::INSTANCE;
    VmCtx.epoch == layout::fixed::EPOCH;
    VmStore.stack_limit == layout::store::STACK_LIMIT;
    VmStore.exit_fp == layout::store::EXIT_FP;
    VmStore.exit_pc == layout::store::EXIT_PC;
    VmStore.entry_fp == layout::store::ENTRY_FP;
    VmStore.entry_sp == layout::store::ENTRY_SP;
    VmStore.entry_handler == layout::store::ENTRY_HANDLER;
    VmStore.epoch_deadline == layout::store::EPOCH_DEADLINE;
    VmStore.fuel == layout::store::FUEL;
    VmFuncRef.code == layout::func_ref::CODE;
    VmFuncRef.vmctx == layout::func_ref::VMCTX;
    VmFuncRef.type_id == layout::func_ref::TYPE_ID;
    VmFuncRef.entry == layout::func_ref::ENTRY;
    VmHostFunc.call == layout::host_func::CALL;
    VmFuncImport.code == layout::func_import::CODE;
    VmFuncImport.vmctx == layout::func_import::VMCTX;
    VmPlaceImport.definition == layout::place_import::DEFINITION;
    VmPlaceImport.handle == layout::place_import::HANDLE;
    VmTable.base == layout::table::BASE;
    VmTable.len == layout::table::LEN;
    VmMemory.base == layout::memory::BASE;
    VmMemory.len == layout::memory::LEN;
    VmSharedMemory.base == layout::memory::BASE;
    VmSharedMemory.len == layout::memory::LEN;
    VmSharedMemorySlot.definition == layout::shared_memory::DEFINITION;
}

const _: () = {
    assert!(size_of::<VmCtx>() == layout::fixed::SIZE as usize);
    assert!(size_of::<VmStore>() == layout::store::SIZE as usize);
    assert!(size_of::<VmFuncRef>() == layout::func_ref::SIZE as usize);
    assert!(size_of::<VmFuncImport>() == layout::func_import::SIZE as usize);
    assert!(size_of::<VmPlaceImport>() == layout::place_import::SIZE as usize);
    assert!(size_of::<VmTable>() == layout::table::SIZE as usize);
    assert!(size_of::<VmMemory>() == layout::memory::SIZE as usize);
    assert!(size_of::<VmSharedMemory>() == layout::memory::SIZE as usize);
    assert!(size_of::<VmSharedMemorySlot>() == layout::shared_memory::SIZE as usize);
    assert!(size_of::<ValRaw>() == layout::VALUE_SIZE as usize);
};
