//! Fuel and deadline of a store, where code has them; and the store with its `T` behind the part
//! of it that builtins know.

use crate::runtime::store::{StoreInner, StoreOpaque};
use std::any::TypeId;
use std::ptr;

impl StoreOpaque {
    /// The counter that code counts up to 0.
    pub(crate) fn fuel_counter(&self) -> i64 {
        // SAFETY: the execution lives as long as the store, and no code runs that has not put its
        // fuel there: whoever has the store is the host.
        unsafe { (*self.execution.vm_store()).fuel }
    }

    pub(crate) fn set_fuel_counter(&mut self, fuel: i64) {
        // SAFETY: as above; this thread has the store.
        unsafe { (*self.execution.vm_store()).fuel = fuel }
    }

    /// The epoch at which code stops.
    pub(crate) fn deadline(&self) -> u64 {
        // SAFETY: as above.
        unsafe { (*self.execution.vm_store()).epoch_deadline }
    }

    /// Sets the epoch at which code stops.
    pub(crate) fn set_deadline(&mut self, epoch: u64) {
        // SAFETY: as above; this thread has the store.
        unsafe { (*self.execution.vm_store()).epoch_deadline = epoch }
    }

    /// All of the store.
    ///
    /// # Panics
    /// If it is not one of `T`.
    pub(crate) fn whole<T: 'static>(&mut self) -> &mut StoreInner<T> {
        assert!(self.data_type() == TypeId::of::<T>(), "the store is not one of this type");
        // SAFETY: the opaque part is only ever made as the first field of a `StoreInner`, of the
        // type that it has on record.
        unsafe { &mut *ptr::from_mut(self).cast() }
    }
}
