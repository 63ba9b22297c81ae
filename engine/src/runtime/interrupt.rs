//! What stops wasm that runs too long: fuel and epochs.

use super::func::Caller;
use super::roots::RootScope;
use super::store::{AsContextMut, Store, StoreContext, StoreContextMut, StoreOpaque};
use crate::Trap;
use crate::error::{Error, ErrorKind, Result};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;

/// What an [epoch callback](Store::epoch_deadline_callback) wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UpdateDeadline {
    /// Stop with [`Trap::Interrupt`]. The deadline stays as it is.
    Interrupt,
    /// Go on, until the epoch is so many ticks beyond the current one.
    Continue(u64),
}

/// What is asked when the deadline has passed.
pub(crate) enum OnDeadline<T: 'static> {
    Ask(Box<Callback<T>>),
    /// The callback runs. What the store wants next is put here in the meantime, if it says so.
    Asking,
}

type Callback<T> =
    dyn FnMut(StoreContextMut<'_, T>) -> Result<UpdateDeadline> + Send + Sync + 'static;

impl<T> fmt::Debug for OnDeadline<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnDeadline(..)")
    }
}

/// What a store of `T` wants when the deadline has passed: by default, to stop.
///
/// # Errors
/// The callback's.
///
/// # Panics
/// If the callback does; it is asked again the next time.
pub(crate) fn ask<T: 'static>(store: &mut StoreOpaque) -> Result<UpdateDeadline> {
    // It is away while it runs: it has the store, and may enter wasm and get here again.
    let on_deadline = &mut store.whole::<T>().on_deadline;
    let Some(OnDeadline::Ask(_)) = on_deadline else { return Ok(UpdateDeadline::Interrupt) };
    let Some(OnDeadline::Ask(mut callback)) = on_deadline.replace(OnDeadline::Asking) else {
        return Ok(UpdateDeadline::Interrupt);
    };
    let update = catch_unwind(AssertUnwindSafe(|| {
        let mut scope = RootScope::new(StoreContextMut::new(store.whole::<T>()));
        callback(scope.as_context_mut())
    }));
    // Unless it has put another one there, or none.
    let on_deadline = &mut store.whole::<T>().on_deadline;
    if let Some(OnDeadline::Asking) = on_deadline {
        *on_deadline = Some(OnDeadline::Ask(callback));
    }
    update.unwrap_or_else(|payload| resume_unwind(payload))
}

impl StoreOpaque {
    /// The deadline has passed, as code found: moves it, or fails.
    pub(crate) fn epoch_passed(&mut self) -> Result<()> {
        match self.ask_deadline()? {
            UpdateDeadline::Interrupt => Err(Trap::Interrupt.into()),
            UpdateDeadline::Continue(ticks) => {
                self.set_deadline_in(ticks);
                Ok(())
            }
        }
    }

    /// What code does where it looks at the epoch.
    ///
    /// # Errors
    /// As [`epoch_passed`](Self::epoch_passed).
    pub(crate) fn check_epoch(&mut self) -> Result<()> {
        let now = self.engine().epoch().load(Ordering::Relaxed);
        if now < self.deadline() { Ok(()) } else { self.epoch_passed() }
    }

    fn set_deadline_in(&mut self, ticks: u64) {
        let now = self.engine().epoch().load(Ordering::Relaxed);
        self.set_deadline(now.saturating_add(ticks));
    }

    /// # Errors
    /// If the engine's code counts no fuel.
    fn check_fuel(&self) -> Result<()> {
        if self.engine().config().compile.fuel {
            return Ok(());
        }
        let message = "code of this engine counts no fuel: see `Config::consume_fuel`";
        Err(Error::with_kind(ErrorKind::Config, message))
    }

    fn fuel(&self) -> Result<u64> {
        self.check_fuel()?;
        // Code stops at the first place where it looks and nothing is left, so the counter may be
        // above 0.
        Ok(self.fuel_counter().min(0).unsigned_abs().saturating_add(self.fuel_reserve))
    }

    fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        self.check_fuel()?;
        // The counter has room for half of the numbers. The rest is there for whoever asks: no
        // code lives long enough to need it.
        let counted = fuel.min(i64::MIN.unsigned_abs());
        self.fuel_reserve = fuel - counted;
        self.set_fuel_counter(0i64.wrapping_sub_unsigned(counted));
        Ok(())
    }
}

impl<T: 'static> Store<T> {
    /// The fuel that is left.
    ///
    /// # Errors
    /// Without [`Config::consume_fuel`](crate::Config::consume_fuel).
    pub fn get_fuel(&self) -> Result<u64> {
        self.opaque().fuel()
    }

    /// Sets how much wasm may execute from now on; a store starts with 0. Where nothing is left,
    /// it stops with [`Trap::OutOfFuel`]; with more fuel, the next call works.
    ///
    /// ```
    /// # #[cfg(all(feature = "compile", feature = "wat"))] {
    /// use precompile::{Config, Engine, Instance, Module, Store, Trap};
    /// let mut config = Config::new();
    /// config.consume_fuel(true);
    /// let engine = Engine::new(&config)?;
    /// let module = Module::new(&engine, r#"(module
    ///     (func (export "add") (result i32) (i32.add (i32.const 1) (i32.const 2)))
    ///     (func (export "spin") (loop (br 0))))"#)?;
    /// let mut store = Store::new(&engine, ());
    /// store.set_fuel(100)?;
    /// let instance = Instance::new(&mut store, &module, &[])?;
    /// instance.get_typed_func::<(), i32>(&mut store, "add")?.call(&mut store, ())?;
    /// // Three operators and a call.
    /// assert_eq!(store.get_fuel()?, 96);
    /// let spin = instance.get_typed_func::<(), ()>(&mut store, "spin")?;
    /// let error = spin.call(&mut store, ()).unwrap_err();
    /// assert_eq!(error.downcast_ref(), Some(&Trap::OutOfFuel));
    /// # }
    /// # Ok::<(), precompile::Error>(())
    /// ```
    ///
    /// # Errors
    /// Without [`Config::consume_fuel`](crate::Config::consume_fuel).
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        self.opaque_mut().set_fuel(fuel)
    }

    /// Lets wasm run until the engine's epoch is so many ticks beyond the current one. A store
    /// starts with a deadline that has passed. Matters with
    /// [`Config::epoch_interruption`](crate::Config::epoch_interruption) only.
    ///
    /// ```
    /// # #[cfg(all(feature = "compile", feature = "wat"))] {
    /// use precompile::{Config, Engine, Instance, Module, Store, Trap};
    /// use std::{thread, time::Duration};
    /// let mut config = Config::new();
    /// config.epoch_interruption(true);
    /// let engine = Engine::new(&config)?;
    /// let module = Module::new(&engine, r#"(module (func (export "spin") (loop (br 0))))"#)?;
    /// let mut store = Store::new(&engine, ());
    /// let instance = Instance::new(&mut store, &module, &[])?;
    /// let spin = instance.get_typed_func::<(), ()>(&mut store, "spin")?;
    /// store.set_epoch_deadline(1);
    /// let watchdog = thread::spawn(move || {
    ///     thread::sleep(Duration::from_millis(10));
    ///     engine.increment_epoch();
    /// });
    /// let error = spin.call(&mut store, ()).unwrap_err();
    /// assert_eq!(error.downcast_ref(), Some(&Trap::Interrupt));
    /// # watchdog.join().unwrap();
    /// # }
    /// # Ok::<(), precompile::Error>(())
    /// ```
    pub fn set_epoch_deadline(&mut self, ticks_beyond_current: u64) {
        self.opaque_mut().set_deadline_in(ticks_beyond_current);
    }

    /// At the deadline, wasm stops with [`Trap::Interrupt`]: the default.
    pub fn epoch_deadline_trap(&mut self) {
        self.as_context_mut().epoch_deadline_trap();
    }

    /// At the deadline, asks `callback` whether to go on. Its error or panic stops wasm as one of a
    /// host function would, and as there, what it roots is no longer rooted when it has returned.
    pub fn epoch_deadline_callback(
        &mut self,
        callback: impl FnMut(StoreContextMut<'_, T>) -> Result<UpdateDeadline> + Send + Sync + 'static,
    ) {
        let callback = OnDeadline::Ask(Box::new(callback));
        self.opaque_mut().whole::<T>().on_deadline = Some(callback);
    }
}

impl<T: 'static> StoreContext<'_, T> {
    /// As [`Store::get_fuel`].
    ///
    /// # Errors
    /// Likewise.
    pub fn get_fuel(&self) -> Result<u64> {
        self.opaque().fuel()
    }
}

impl<T: 'static> StoreContextMut<'_, T> {
    /// As [`Store::get_fuel`].
    ///
    /// # Errors
    /// Likewise.
    pub fn get_fuel(&self) -> Result<u64> {
        self.opaque().fuel()
    }

    /// As [`Store::set_fuel`].
    ///
    /// # Errors
    /// Likewise.
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        self.opaque_mut().set_fuel(fuel)
    }

    /// As [`Store::set_epoch_deadline`].
    pub fn set_epoch_deadline(&mut self, ticks_beyond_current: u64) {
        self.opaque_mut().set_deadline_in(ticks_beyond_current);
    }

    /// As [`Store::epoch_deadline_trap`].
    pub fn epoch_deadline_trap(&mut self) {
        self.opaque_mut().whole::<T>().on_deadline = None;
    }
}

impl<T: 'static> Caller<'_, T> {
    /// As [`Store::get_fuel`]: what wasm has left at this call.
    ///
    /// # Errors
    /// Likewise.
    pub fn get_fuel(&self) -> Result<u64> {
        super::store::AsContext::as_context(self).get_fuel()
    }

    /// As [`Store::set_fuel`]: what wasm has when this call is over.
    ///
    /// # Errors
    /// Likewise.
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        self.as_context_mut().set_fuel(fuel)
    }
}
