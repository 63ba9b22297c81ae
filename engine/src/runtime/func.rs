//! Functions: handles, calls, and what host functions are called with.

use super::backtrace::WasmBacktrace;
use super::exception::ExnRef;
use super::externals::Extern;
use super::externref::ExternRef;
use super::host::HostFunc;
use super::roots::Rooted;
use super::store::{AsContext, AsContextMut, StoreContext, StoreContextMut, StoreOpaque};
use super::types::FuncType;
use super::value::{V128, Val};
use super::vm::call::NO_INSTANCE;
use super::vm::instance::FuncRef;
use super::vm::vmctx::ValRaw;
use crate::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::wasm::types::{Signature, ValType};
use std::marker::PhantomData;
use std::sync::Arc;

/// A function of a store: of wasm or of the host.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Func {
    store: u64,
    func: FuncRef,
}

/// What a call on the stack keeps its values in, unless there are more.
const INLINE_VALUES: usize = 16;

impl Func {
    pub(crate) fn of_store(store: u64, func: FuncRef) -> Self {
        Func { store, func }
    }

    /// The reference.
    ///
    /// # Errors
    /// If it belongs to another store.
    pub(crate) fn get(&self, store: &StoreOpaque) -> Result<FuncRef> {
        store.check(self.store)?;
        Ok(self.func)
    }

    pub(crate) fn ty_in(&self, store: &StoreOpaque) -> FuncType {
        let func = self.get(store).expect("functions are used with the store they belong to");
        let ty = store.engine().types().get(func.type_id());
        FuncType(ty.expect("the types of a store's functions are registered in its engine"))
    }

    /// A function of the host whose type is that of a closure: parameters and results are `i32`,
    /// `u32`, `i64`, `u64`, `f32`, `f64`, `V128`, `Option<Func>`, `Option<Rooted<ExternRef>>` and
    /// `Option<Rooted<ExnRef>>`, with [`Caller`] before them if wanted, and [`Result`] around the
    /// result if it can fail.
    ///
    /// ```
    /// use precompile::{Engine, Func, Store};
    /// let mut store = Store::new(&Engine::default(), ());
    /// let double = Func::wrap(&mut store, |x: i32| x * 2);
    /// let double = double.typed::<i32, i32>(&store)?;
    /// assert_eq!(double.call(&mut store, 21)?, 42);
    /// # Ok::<(), precompile::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the engine has 2^32 - 1 function types.
    pub fn wrap<T: 'static, Params, Results>(
        mut store: impl AsContextMut<Data = T>,
        func: impl IntoFunc<T, Params, Results>,
    ) -> Func {
        let mut store = store.as_context_mut();
        let host = func.into_host(store.engine()).expect("there is room for another type");
        Func::of_host(store.opaque_mut(), host)
    }

    /// A function of the host with that type. `call` gets the parameters, and leaves the results
    /// in the second slice, where zeros and nulls of the right types are.
    ///
    /// # Panics
    /// If the engine has 2^32 - 1 function types.
    pub fn new<T: 'static>(
        mut store: impl AsContextMut<Data = T>,
        ty: FuncType,
        call: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
    ) -> Func {
        let mut store = store.as_context_mut();
        let host = dynamic(store.engine(), ty, call).expect("there is room for another type");
        Func::of_host(store.opaque_mut(), host)
    }

    fn of_host(store: &mut StoreOpaque, host: HostFunc) -> Func {
        let func = store.add_host_func(Arc::new(host));
        store.func(func.expect("the modules of a store have trampolines for their types"))
    }

    /// Its type.
    ///
    /// # Panics
    /// If it belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> FuncType {
        self.ty_in(store.as_context().opaque())
    }

    /// Calls it. `results` is overwritten.
    ///
    /// # Errors
    /// If `params` are not of its types or belong to another store, if `results` has another
    /// length, if it traps, or if a host function fails.
    pub fn call(
        &self,
        mut store: impl AsContextMut,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<()> {
        let mut store = store.as_context_mut();
        let store = store.opaque_mut();
        let func = self.get(store)?;
        let ty = self.ty_in(store).0;
        let wrong = |what: &str, want: usize, have: usize| {
            let message = format!("expected {want} {what}, found {have}");
            Err(Error::with_kind(ErrorKind::Host, message))
        };
        if params.len() != ty.params.len() {
            return wrong("parameters", ty.params.len(), params.len());
        }
        if results.len() != ty.results.len() {
            return wrong("results", ty.results.len(), results.len());
        }
        let mut values = vec![ValRaw::default(); params.len().max(results.len())];
        for ((raw, param), ty) in values.iter_mut().zip(params).zip(&ty.params) {
            *raw = param.to_raw(*ty, store)?;
        }
        store.call(func, &mut values)?;
        for ((result, raw), ty) in results.iter_mut().zip(values).zip(&ty.results) {
            *result = Val::from_raw(raw, *ty, store);
        }
        Ok(())
    }

    /// The same function, with its types known to the compiler.
    ///
    /// # Errors
    /// If it has another type.
    ///
    /// # Panics
    /// If it belongs to another store.
    pub fn typed<P: WasmParams, R: WasmResults>(
        &self,
        store: impl AsContext,
    ) -> Result<TypedFunc<P, R>> {
        let ty = self.ty_in(store.as_context().opaque());
        let want = signature::<P, R>();
        if *ty.0 != want {
            let message = format!("the function's type is {ty}, not {want}");
            return Err(Error::with_kind(ErrorKind::Host, message));
        }
        Ok(TypedFunc { func: *self, types: PhantomData })
    }
}

fn signature<P: WasmParams, R: WasmResults>() -> Signature {
    Signature { params: P::types(), results: R::types() }
}

/// A function whose types the compiler knows.
pub struct TypedFunc<P, R> {
    func: Func,
    types: PhantomData<fn(P) -> R>,
}

impl<P, R> Clone for TypedFunc<P, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P, R> Copy for TypedFunc<P, R> {}

impl<P, R> std::fmt::Debug for TypedFunc<P, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.func.fmt(f)
    }
}

impl<P: WasmParams, R: WasmResults> TypedFunc<P, R> {
    /// The function without its types.
    pub fn func(&self) -> &Func {
        &self.func
    }

    /// Calls it.
    ///
    /// # Errors
    /// If a parameter or the function belongs to another store, if it traps, or if a host
    /// function fails.
    pub fn call(&self, mut store: impl AsContextMut, params: P) -> Result<R> {
        let mut store = store.as_context_mut();
        let store = store.opaque_mut();
        let func = self.func.get(store)?;
        let mut inline = [ValRaw::default(); INLINE_VALUES];
        let mut many;
        let count = P::COUNT.max(R::COUNT);
        let values = if count <= INLINE_VALUES {
            &mut inline[..count]
        } else {
            many = vec![ValRaw::default(); count];
            &mut many
        };
        params.store_all(values, store)?;
        store.call(func, values)?;
        Ok(R::load_all(values, store))
    }
}

/// What a host function is called with: the store, and the instance that calls.
pub struct Caller<'a, T: 'static> {
    store: StoreContextMut<'a, T>,
    instance: usize,
}

impl<'a, T: 'static> Caller<'a, T> {
    pub(crate) fn new(store: StoreContextMut<'a, T>, instance: usize) -> Self {
        Caller { store, instance }
    }

    /// The embedder's data in the store.
    pub fn data(&self) -> &T {
        self.store.data()
    }

    /// The embedder's data in the store.
    pub fn data_mut(&mut self) -> &mut T {
        self.store.data_mut()
    }

    /// The store's engine.
    pub fn engine(&self) -> &Engine {
        self.store.engine()
    }

    /// The export of that name of the instance that calls; `None` if the host calls.
    pub fn get_export(&mut self, name: &str) -> Option<Extern> {
        if self.instance == NO_INSTANCE {
            return None;
        }
        self.store.opaque_mut().export(self.instance, name)
    }

    /// The calls that wasm is in.
    pub fn backtrace(&mut self) -> WasmBacktrace {
        self.store.opaque_mut().backtrace()
    }
}

impl<T: 'static> AsContext for Caller<'_, T> {
    type Data = T;

    fn as_context(&self) -> StoreContext<'_, T> {
        self.store.as_context()
    }
}

impl<T: 'static> AsContextMut for Caller<'_, T> {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        self.store.reborrow()
    }
}

mod sealed {
    use super::*;

    /// A type that is one value of wasm.
    pub trait Value: Sized {
        const TYPE: ValType;

        /// # Errors
        /// If it belongs to another store.
        fn to_raw(self, store: &mut StoreOpaque) -> Result<ValRaw>;

        fn from_raw(raw: ValRaw, store: &mut StoreOpaque) -> Self;
    }

    /// A list of values of wasm.
    pub trait List: Sized {
        const COUNT: usize;

        fn types() -> Box<[ValType]>;

        /// # Errors
        /// If one belongs to another store.
        fn store_all(self, values: &mut [ValRaw], store: &mut StoreOpaque) -> Result<()>;

        fn load_all(values: &[ValRaw], store: &mut StoreOpaque) -> Self;
    }

    /// What a host function may return.
    pub trait Returned {
        type List: List;

        fn into_result(self) -> Result<Self::List>;
    }

    /// A closure that can be a host function.
    pub trait Closure<T, Params, Results>: Send + Sync + 'static {
        /// # Errors
        /// If the engine has 2^32 - 1 function types.
        fn into_host(self, engine: &Engine) -> Result<HostFunc>;
    }
}

use sealed::{Closure, List, Returned, Value};

/// A type that is one value of wasm: `i32`, `u32`, `i64`, `u64`, `f32`, `f64`, [`V128`],
/// `Option<Func>`, `Option<Rooted<ExternRef>>` and `Option<Rooted<ExnRef>>`.
pub trait WasmTy: Value + Send + 'static {}

impl<V: Value + Send + 'static> WasmTy for V {}

/// Parameters of a function: a [`WasmTy`], or a tuple of them.
pub trait WasmParams: List + Send {}

impl<L: List + Send> WasmParams for L {}

/// Results of a function: a [`WasmTy`], or a tuple of them.
pub trait WasmResults: List + Send {}

impl<L: List + Send> WasmResults for L {}

/// What a host function may return: [`WasmResults`], or a [`Result`] of them.
pub trait WasmRet: Returned {}

impl<R: Returned> WasmRet for R {}

/// A closure that can be a host function; see [`Func::wrap`].
pub trait IntoFunc<T, Params, Results>: Closure<T, Params, Results> {}

impl<T, P, R, F: Closure<T, P, R>> IntoFunc<T, P, R> for F {}

macro_rules! numbers {
    ($($ty:ty, $variant:ident, $x:ident => $to:expr, $raw:ident => $from:expr;)*) => {
        $(impl Value for $ty {
            const TYPE: ValType = ValType::$variant;

            fn to_raw(self, _: &mut StoreOpaque) -> Result<ValRaw> {
                let $x = self;
                Ok($to)
            }

            fn from_raw($raw: ValRaw, _: &mut StoreOpaque) -> Self {
                $from
            }
        })*
    };
}

numbers! {
    i32, I32, x => ValRaw::from_i32(x), raw => raw.as_i32();
    u32, I32, x => ValRaw::from_u32(x), raw => raw.as_u32();
    i64, I64, x => ValRaw::from_i64(x), raw => raw.as_i64();
    u64, I64, x => ValRaw::from_u64(x), raw => raw.as_u64();
    f32, F32, x => ValRaw::from_u32(x.to_bits()), raw => f32::from_bits(raw.as_u32());
    f64, F64, x => ValRaw::from_u64(x.to_bits()), raw => f64::from_bits(raw.as_u64());
    V128, V128, x => ValRaw::from_u128(x.as_u128()), raw => V128::from(raw.as_u128());
}

impl Value for Option<Func> {
    const TYPE: ValType = ValType::FUNCREF;

    fn to_raw(self, store: &mut StoreOpaque) -> Result<ValRaw> {
        let func = self.map(|func| func.get(store)).transpose()?;
        Ok(ValRaw::from_u64(FuncRef::to_raw(func)))
    }

    fn from_raw(raw: ValRaw, store: &mut StoreOpaque) -> Self {
        FuncRef::from_raw(raw.as_u64()).map(|func| store.func(func))
    }
}

macro_rules! references {
    ($($ty:ident $variant:ident;)*) => {
        $(impl Value for Option<Rooted<$ty>> {
            const TYPE: ValType = ValType::$variant;

            fn to_raw(self, store: &mut StoreOpaque) -> Result<ValRaw> {
                let raw = self.map_or(Ok(0), |reference| reference.to_raw(store));
                raw.map(ValRaw::from_u32)
            }

            fn from_raw(raw: ValRaw, store: &mut StoreOpaque) -> Self {
                Rooted::from_raw(raw.as_u32(), store)
            }
        })*
    };
}

references! {
    ExternRef EXTERNREF;
    ExnRef EXNREF;
}

impl<V: Value> List for V {
    const COUNT: usize = 1;

    fn types() -> Box<[ValType]> {
        Box::new([V::TYPE])
    }

    fn store_all(self, values: &mut [ValRaw], store: &mut StoreOpaque) -> Result<()> {
        values[0] = self.to_raw(store)?;
        Ok(())
    }

    fn load_all(values: &[ValRaw], store: &mut StoreOpaque) -> Self {
        V::from_raw(values[0], store)
    }
}

impl<L: List> Returned for L {
    type List = L;

    fn into_result(self) -> Result<L> {
        Ok(self)
    }
}

impl<L: List, E: Into<Error>> Returned for Result<L, E> {
    type List = L;

    fn into_result(self) -> Result<L> {
        self.map_err(Into::into)
    }
}

macro_rules! tuples {
    ($(($($name:ident)*))*) => {
        $(
            #[allow(
                non_snake_case,
                unused_mut,
                unused_variables,
                clippy::unused_unit,
                reason = "tuples of any length"
            )]
            impl<$($name: Value),*> List for ($($name,)*) {
                const COUNT: usize = 0 $(+ { let _ = $name::TYPE; 1 })*;

                fn types() -> Box<[ValType]> {
                    Box::new([$($name::TYPE),*])
                }

                fn store_all(self, values: &mut [ValRaw], store: &mut StoreOpaque) -> Result<()> {
                    let ($($name,)*) = self;
                    let mut values = values.iter_mut();
                    $(*values.next().expect("as many values as types") = $name.to_raw(store)?;)*
                    Ok(())
                }

                fn load_all(values: &[ValRaw], store: &mut StoreOpaque) -> Self {
                    let mut values = values.iter();
                    $(let $name = *values.next().expect("as many values as types");)*
                    ($($name::from_raw($name, store),)*)
                }
            }

            #[allow(non_snake_case, unused_mut, reason = "closures of any number of parameters")]
            impl<T: 'static, R, Fun, $($name: Value),*> Closure<T, ($($name,)*), R> for Fun
            where
                R: Returned,
                Fun: Fn($($name),*) -> R + Send + Sync + 'static,
            {
                fn into_host(self, engine: &Engine) -> Result<HostFunc> {
                    host::<T, ($($name,)*), R>(engine, move |_, ($($name,)*)| self($($name),*))
                }
            }

            #[allow(non_snake_case, unused_mut, reason = "closures of any number of parameters")]
            impl<T: 'static, R, Fun, $($name: Value),*>
                Closure<T, (Caller<'_, T>, $($name,)*), R> for Fun
            where
                R: Returned,
                Fun: Fn(Caller<'_, T>, $($name),*) -> R + Send + Sync + 'static,
            {
                fn into_host(self, engine: &Engine) -> Result<HostFunc> {
                    host::<T, ($($name,)*), R>(
                        engine,
                        move |caller, ($($name,)*)| self(caller, $($name),*),
                    )
                }
            }
        )*
    };
}

tuples! {
    ()
    (A1)
    (A1 A2)
    (A1 A2 A3)
    (A1 A2 A3 A4)
    (A1 A2 A3 A4 A5)
    (A1 A2 A3 A4 A5 A6)
    (A1 A2 A3 A4 A5 A6 A7)
    (A1 A2 A3 A4 A5 A6 A7 A8)
    (A1 A2 A3 A4 A5 A6 A7 A8 A9)
    (A1 A2 A3 A4 A5 A6 A7 A8 A9 A10)
    (A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11)
    (A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12)
    (A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13)
    (A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14)
    (A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14 A15)
    (A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14 A15 A16)
}

/// The host function that `call` is.
fn host<T: 'static, P: List, R: Returned>(
    engine: &Engine,
    call: impl Fn(Caller<'_, T>, P) -> R + Send + Sync + 'static,
) -> Result<HostFunc> {
    let ty = Signature { params: P::types(), results: R::List::types() };
    HostFunc::new(engine, FuncType(Arc::new(ty)), move |mut caller: Caller<'_, T>, values| {
        let params = P::load_all(values, caller.store.opaque_mut());
        // The closure takes the caller by value; what comes after goes through this one.
        let inner = Caller { store: caller.store.reborrow(), instance: caller.instance };
        let results = call(inner, params).into_result()?;
        results.store_all(values, caller.store.opaque_mut())
    })
}

/// The host function of that type that `call` is.
pub(crate) fn dynamic<T: 'static>(
    engine: &Engine,
    ty: FuncType,
    call: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
) -> Result<HostFunc> {
    let own = ty.clone();
    HostFunc::new(engine, own, move |mut caller: Caller<'_, T>, values| {
        let store = caller.store.opaque_mut();
        let params: Vec<_> =
            ty.params().zip(&*values).map(|(ty, raw)| Val::from_raw(*raw, ty, store)).collect();
        let mut results: Vec<_> = ty.results().map(Val::default_for_ty).collect();
        let inner = Caller { store: caller.store.reborrow(), instance: caller.instance };
        call(inner, &params, &mut results)?;
        for ((raw, result), ty) in values.iter_mut().zip(results).zip(ty.results()) {
            *raw = result.to_raw(ty, caller.store.opaque_mut())?;
        }
        Ok(())
    })
}
