//! The vmctx of an instance, and the cells in it.
//!
//! Invariant of this file, which its users uphold: vmctxs, definitions, global cells and function
//! references belong to a store, which frees none of them before it is dropped itself, and which
//! is used by one thread at a time. (The definition of a memory that threads share is none of the
//! store's, lives as long as its [`SharedLinear`](super::shared::SharedLinear), which the store
//! keeps alive, and is never set here.) So a [`FuncRef`], [`GlobalCell`] or [`Definition`] that a
//! store's parts hold may be read and written through `&self` of that store.

use super::vmctx::*;
use crate::abi::vmctx::Layout;
use std::alloc;
use std::ptr::NonNull;

/// A function reference of a store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct FuncRef(NonNull<VmFuncRef>);

// SAFETY: a `FuncRef` is only used together with its store, which is what crosses threads, and
// one thread at a time; the handles check the store before they use it.
unsafe impl Send for FuncRef {}
// SAFETY: as above.
unsafe impl Sync for FuncRef {}

/// A value of [`VmFuncRef::zero`] that marks functions of the host.
const HOST: u32 = 1;

impl FuncRef {
    /// The reference behind a value that wasm code made, or `None` for null.
    pub(crate) fn from_raw(raw: u64) -> Option<FuncRef> {
        NonNull::new(raw as usize as *mut VmFuncRef).map(FuncRef)
    }

    /// The value that wasm code takes for it.
    pub(crate) fn to_raw(this: Option<FuncRef>) -> u64 {
        this.map_or(0, |f| f.0.as_ptr() as usize as u64)
    }

    pub(crate) fn as_ptr(self) -> *const VmFuncRef {
        self.0.as_ptr()
    }

    fn read(self) -> VmFuncRef {
        // SAFETY: the store keeps it alive and initialised (invariant of this file).
        unsafe { self.0.read() }
    }

    /// The engine's number of its type.
    pub(crate) fn type_id(self) -> u32 {
        self.read().type_id
    }

    /// Whether it is a function of the host.
    pub(crate) fn is_host(self) -> bool {
        self.read().zero == HOST
    }

    /// As an import; `host_trampoline` is the importing module's, for the function's type.
    pub(crate) fn as_import(self, host_trampoline: *const u8) -> FuncImport {
        let func = self.read();
        let code = if func.zero == HOST { host_trampoline } else { func.code };
        FuncImport(VmFuncImport { code, vmctx: func.vmctx })
    }

    /// Whether wasm can't call it yet, since no trampoline for its type is known.
    pub(crate) fn lacks_code(self) -> bool {
        self.read().code.is_null()
    }

    /// Gives a function of the host the trampoline through which wasm calls it.
    pub(crate) fn set_code(self, host_trampoline: *const u8) {
        // SAFETY: the store keeps it alive, and no other thread uses it (invariant of this file).
        unsafe { (*self.0.as_ptr()).code = host_trampoline };
    }
}

/// What a function import slot holds.
#[derive(Clone, Copy)]
pub(crate) struct FuncImport(VmFuncImport);

impl FuncImport {
    /// An import of a function of the host.
    pub(crate) fn host(func: &VmHostFunc, host_trampoline: *const u8) -> Self {
        let vmctx = std::ptr::from_ref(func).cast_mut().cast();
        FuncImport(VmFuncImport { code: host_trampoline, vmctx })
    }
}

/// A function reference that stands alone, for a function of the host.
pub(crate) struct HostFuncRef(Box<VmFuncRef>);

// SAFETY: as for `FuncRef`.
unsafe impl Send for HostFuncRef {}
// SAFETY: as for `FuncRef`.
unsafe impl Sync for HostFuncRef {}

impl HostFuncRef {
    /// A reference to `func`, which must outlive the store that holds this.
    pub(crate) fn new(func: &VmHostFunc, type_id: u32) -> Self {
        HostFuncRef(Box::new(VmFuncRef {
            code: std::ptr::null(),
            vmctx: std::ptr::from_ref(func).cast_mut().cast(),
            type_id,
            zero: HOST,
            entry: func.call as *const u8,
        }))
    }

    pub(crate) fn get(&mut self) -> FuncRef {
        FuncRef(NonNull::from(&mut *self.0))
    }
}

/// The place of a global's value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct GlobalCell(NonNull<ValRaw>);

// SAFETY: as for `FuncRef`.
unsafe impl Send for GlobalCell {}
// SAFETY: as for `FuncRef`.
unsafe impl Sync for GlobalCell {}

impl GlobalCell {
    pub(crate) fn get(self) -> ValRaw {
        // SAFETY: the store keeps the cell alive (invariant of this file).
        unsafe { self.0.read() }
    }

    pub(crate) fn set(self, value: ValRaw) {
        // SAFETY: the store keeps the cell alive, and no other thread uses it.
        unsafe { self.0.write(value) }
    }
}

/// Where code finds a memory or a table: base and length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Definition(NonNull<VmMemory>);

// SAFETY: as for `FuncRef`.
unsafe impl Send for Definition {}
// SAFETY: as for `FuncRef`.
unsafe impl Sync for Definition {}

const _: () = assert!(
    size_of::<VmMemory>() == size_of::<VmTable>()
        && std::mem::offset_of!(VmMemory, base) == std::mem::offset_of!(VmTable, base)
        && std::mem::offset_of!(VmMemory, len) == std::mem::offset_of!(VmTable, len),
    "a memory's and a table's definition have one shape"
);

impl Definition {
    /// That of a memory which threads share; it must not be set.
    pub(super) fn of_shared(memory: &VmSharedMemory) -> Self {
        Definition(NonNull::from(memory).cast())
    }

    pub(crate) fn set(self, base: *mut u8, len: u64) {
        // SAFETY: the store keeps the definition alive, and no other thread uses it.
        unsafe { self.0.write(VmMemory { base, len }) }
    }
}

/// Cells of memories, tables and globals that the host made, which no vmctx has.
#[derive(Debug)]
pub(crate) struct OwnCell(Box<ValRaw>);

impl OwnCell {
    pub(crate) fn new() -> Self {
        OwnCell(Box::default())
    }

    pub(crate) fn global(&mut self) -> GlobalCell {
        GlobalCell(NonNull::from(&mut *self.0))
    }

    pub(crate) fn definition(&mut self) -> Definition {
        const { assert!(size_of::<ValRaw>() >= size_of::<VmMemory>()) };
        Definition(NonNull::from(&mut *self.0).cast())
    }
}

/// An instance's vmctx.
pub(crate) struct VmInstance {
    vmctx: NonNull<VmCtx>,
    layout: Layout,
}

// SAFETY: it owns its allocation; what is in it is covered by the invariant of this file.
unsafe impl Send for VmInstance {}
// SAFETY: as above.
unsafe impl Sync for VmInstance {}

impl Drop for VmInstance {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, and not freed since.
        unsafe { alloc::dealloc(self.vmctx.as_ptr().cast(), allocation(&self.layout)) }
    }
}

fn allocation(layout: &Layout) -> alloc::Layout {
    // `Layout::new` of the ABI keeps sizes below `i32::MAX`, and 16 is a power of two.
    alloc::Layout::from_size_align(layout.size() as usize, 16).expect("a vmctx has a valid layout")
}

impl VmInstance {
    /// A vmctx whose variable part is zero. Large ones come from the system as zero pages, so
    /// that slots nobody uses cost nothing.
    /// `None` where there is no memory for it.
    pub(crate) fn new(layout: Layout, fixed: VmCtx) -> Option<Self> {
        let memory = allocation(&layout);
        // SAFETY: the size is not zero: the fixed part is always there.
        let zeroed = unsafe { alloc::alloc_zeroed(memory) };
        let vmctx = NonNull::new(zeroed.cast::<VmCtx>())?;
        // SAFETY: the allocation is at least as large and as aligned as a `VmCtx`.
        unsafe { vmctx.write(fixed) };
        Some(VmInstance { vmctx, layout })
    }

    pub(crate) fn as_ptr(&self) -> *mut VmCtx {
        self.vmctx.as_ptr()
    }

    /// Bytes from there on.
    pub(super) fn size(&self) -> usize {
        self.layout.size() as usize
    }

    /// The slot at `offset`, which comes from `self.layout` and so lies inside.
    fn slot<T>(&self, offset: u32) -> NonNull<T> {
        debug_assert!(offset as usize + size_of::<T>() <= self.layout.size() as usize);
        // SAFETY: offsets of the layout lie inside of the allocation of its size.
        unsafe { self.vmctx.cast::<u8>().add(offset as usize) }.cast()
    }

    pub(crate) fn set_function_import(&self, index: u32, import: FuncImport) {
        // SAFETY: a slot of the layout, aligned to 8; one thread uses the store.
        unsafe { self.slot(self.layout.imported_function(index)).write(import.0) }
    }

    pub(crate) fn set_table_import(&self, index: u32, definition: Definition, handle: usize) {
        let definition = definition.0.as_ptr().cast();
        let slot = self.slot(self.layout.imported_table(index));
        // SAFETY: a slot of the layout, aligned to 8; one thread uses the store.
        unsafe { slot.write(VmPlaceImport { definition, handle }) }
    }

    pub(crate) fn set_memory_import(&self, index: u32, definition: Definition, handle: usize) {
        let definition = definition.0.as_ptr().cast();
        let slot = self.slot(self.layout.imported_memory(index));
        // SAFETY: a slot of the layout, aligned to 8; one thread uses the store.
        unsafe { slot.write(VmPlaceImport { definition, handle }) }
    }

    /// Fills the slot of a memory that is defined here and that threads share.
    pub(crate) fn set_shared_memory(&self, index: u32, definition: Definition) {
        let slot = self.slot(self.layout.defined_memory(index));
        let value = VmSharedMemorySlot { zero: 0, definition: definition.0.as_ptr() };
        // SAFETY: a slot of the layout, aligned to 8; one thread uses the store.
        unsafe { slot.write(value) }
    }

    pub(crate) fn set_global_import(&self, index: u32, cell: GlobalCell) {
        // SAFETY: a slot of the layout, aligned to 8; one thread uses the store.
        unsafe { self.slot(self.layout.imported_global(index)).write(cell.0) }
    }

    pub(crate) fn set_tag_import(&self, index: u32, number: u64) {
        // SAFETY: a slot of the layout, aligned to 8; one thread uses the store.
        unsafe { self.slot(self.layout.imported_tag(index)).write(number) }
    }

    pub(crate) fn set_tag(&self, index: u32, number: u64) {
        // SAFETY: a slot of the layout, aligned to 8; one thread uses the store.
        unsafe { self.slot(self.layout.defined_tag(index)).write(number) }
    }

    pub(crate) fn defined_global(&self, index: u32) -> GlobalCell {
        GlobalCell(self.slot(self.layout.defined_global(index)))
    }

    pub(crate) fn defined_memory(&self, index: u32) -> Definition {
        Definition(self.slot(self.layout.defined_memory(index)))
    }

    pub(crate) fn defined_table(&self, index: u32) -> Definition {
        Definition(self.slot(self.layout.defined_table(index)))
    }

    /// The function reference in `slot`, if it was made.
    pub(crate) fn func_ref(&self, slot: u32) -> Option<FuncRef> {
        let func_ref: NonNull<VmFuncRef> = self.slot(self.layout.func_ref(slot));
        // SAFETY: a slot of the layout, aligned to 8, zero or initialised.
        let entry = unsafe { (*func_ref.as_ptr()).entry };
        (!entry.is_null()).then_some(FuncRef(func_ref))
    }

    /// Makes the reference in `slot` to a function that this instance defines.
    pub(crate) fn make_func_ref(
        &self,
        slot: u32,
        type_id: u32,
        code: *const u8,
        entry: *const u8,
    ) -> FuncRef {
        self.write_func_ref(slot, VmFuncRef { code, vmctx: self.as_ptr(), type_id, zero: 0, entry })
    }

    /// Makes the reference in `slot` to an imported function: a copy of `func`.
    pub(crate) fn copy_func_ref(&self, slot: u32, func: FuncRef) -> FuncRef {
        self.write_func_ref(slot, func.read())
    }

    /// Makes the reference in `slot` to an imported function of the host.
    pub(crate) fn make_host_ref(
        &self,
        slot: u32,
        type_id: u32,
        func: &VmHostFunc,
        host_trampoline: *const u8,
    ) -> FuncRef {
        let vmctx = std::ptr::from_ref(func).cast_mut().cast();
        let entry = func.call as *const u8;
        self.write_func_ref(
            slot,
            VmFuncRef { code: host_trampoline, vmctx, type_id, zero: HOST, entry },
        )
    }

    fn write_func_ref(&self, slot: u32, value: VmFuncRef) -> FuncRef {
        let func_ref = self.slot(self.layout.func_ref(slot));
        // SAFETY: a slot of the layout, aligned to 8; one thread uses the store.
        unsafe { func_ref.write(value) };
        FuncRef(func_ref)
    }
}
