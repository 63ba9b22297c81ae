//! Linkers: names for what modules import.

use super::externals::Extern;
use super::func::{Caller, IntoFunc, dynamic};
use super::host::HostFunc;
use super::instance::Instance;
use super::instantiate::{self, Import};
use super::module::Module;
use super::store::{AsContext, AsContextMut};
use super::types::FuncType;
use super::value::Val;
use crate::Engine;
use crate::error::{Error, ErrorKind, Foreign, Result};
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;

/// Names for what modules import, for stores of `T`.
///
/// ```
/// # #[cfg(all(feature = "compile", feature = "wat"))] {
/// use precompile::{Caller, Engine, Linker, Module, Store};
/// let engine = Engine::default();
/// let mut linker = Linker::new(&engine);
/// linker.func_wrap("host", "add", |mut caller: Caller<'_, i32>, x: i32| {
///     *caller.data_mut() += x;
/// })?;
/// let module = Module::new(&engine, r#"(module
///     (import "host" "add" (func $add (param i32)))
///     (func (export "run") (call $add (i32.const 42))))"#)?;
/// let mut store = Store::new(&engine, 0);
/// let instance = linker.instantiate(&mut store, &module)?;
/// instance.get_typed_func::<(), ()>(&mut store, "run")?.call(&mut store, ())?;
/// assert_eq!(*store.data(), 42);
/// # }
/// # Ok::<(), precompile::Error>(())
/// ```
///
/// As a [`Store`](crate::Store), it is for exactly its `T`:
///
/// ```compile_fail
/// use precompile::Linker;
/// fn widen(linker: Linker<fn(&'static str)>) -> Linker<for<'a> fn(&'a str)> {
///     linker
/// }
/// ```
pub struct Linker<T: 'static> {
    engine: Engine,
    /// By module, then by name.
    definitions: HashMap<String, HashMap<String, Import>>,
    shadowing: bool,
    /// Of exactly this `T`; see [`Store`](crate::Store).
    store: PhantomData<fn(T) -> T>,
}

impl<T> Clone for Linker<T> {
    fn clone(&self) -> Self {
        Linker {
            engine: self.engine.clone(),
            definitions: self.definitions.clone(),
            shadowing: self.shadowing,
            store: PhantomData,
        }
    }
}

impl<T> std::fmt::Debug for Linker<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Linker").finish_non_exhaustive()
    }
}

impl<T: 'static> Linker<T> {
    /// Without any name.
    pub fn new(engine: &Engine) -> Self {
        Linker {
            engine: engine.clone(),
            definitions: HashMap::new(),
            shadowing: false,
            store: PhantomData,
        }
    }

    /// The engine that it was made with.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Whether a name may be defined again (it may not at first).
    pub fn allow_shadowing(&mut self, allow: bool) -> &mut Self {
        self.shadowing = allow;
        self
    }

    fn insert(&mut self, module: &str, name: &str, import: Import) -> Result<&mut Self> {
        let names = self.definitions.entry(module.to_string()).or_default();
        if names.contains_key(name) && !self.shadowing {
            let message = format!("`{module}::{name}` is defined already");
            return Err(Error::with_kind(ErrorKind::Link, message));
        }
        names.insert(name.to_string(), import);
        Ok(self)
    }

    /// Defines a name as something of a store.
    ///
    /// # Errors
    /// If the name is defined already, or `item` belongs to another store.
    pub fn define(
        &mut self,
        store: impl AsContext,
        module: &str,
        name: &str,
        item: impl Into<Extern>,
    ) -> Result<&mut Self> {
        let item = item.into();
        if !item.belongs_to(store.as_context().opaque()) {
            let message = format!("`{module}::{name}` belongs to another store");
            return Err(Error::with_kind(ErrorKind::Link, message));
        }
        self.insert(module, name, Import::Extern(item))
    }

    /// Defines a name as a function of the host; see [`Func::wrap`](crate::Func::wrap).
    ///
    /// # Errors
    /// If the name is defined already.
    pub fn func_wrap<Params, Results>(
        &mut self,
        module: &str,
        name: &str,
        func: impl IntoFunc<T, Params, Results>,
    ) -> Result<&mut Self> {
        let host = func.into_host(&self.engine)?;
        self.insert_host(module, name, host)
    }

    /// Defines a name as a function of the host; see [`Func::new`](crate::Func::new).
    ///
    /// # Errors
    /// If the name is defined already.
    pub fn func_new(
        &mut self,
        module: &str,
        name: &str,
        ty: FuncType,
        call: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
    ) -> Result<&mut Self> {
        let host = dynamic(&self.engine, ty, call)?;
        self.insert_host(module, name, host)
    }

    fn insert_host(&mut self, module: &str, name: &str, host: HostFunc) -> Result<&mut Self> {
        self.insert(module, name, Import::Host(Arc::new(host)))
    }

    /// Defines a name for each export of an instance.
    ///
    /// # Errors
    /// If a name is defined already, or the instance belongs to another store.
    pub fn instance(
        &mut self,
        mut store: impl AsContextMut<Data = T>,
        module: &str,
        instance: Instance,
    ) -> Result<&mut Self> {
        let mut store = store.as_context_mut();
        if instance.0.get(store.opaque()).is_err() {
            let message = format!("the instance for `{module}` belongs to another store");
            return Err(Error::with_kind(ErrorKind::Link, message));
        }
        let exports: Vec<_> = instance
            .exports(&mut store)
            .map(|export| (export.name().to_string(), export.into_extern()))
            .collect();
        for (name, item) in exports {
            self.insert(module, &name, Import::Extern(item))?;
        }
        Ok(self)
    }

    /// Instantiates `module` with what is defined here, and defines a name for each of its
    /// exports.
    ///
    /// # Errors
    /// As [`instantiate`](Linker::instantiate), or if a name is defined already.
    pub fn module(
        &mut self,
        mut store: impl AsContextMut<Data = T>,
        module_name: &str,
        module: &Module,
    ) -> Result<&mut Self> {
        let instance = self.instantiate(store.as_context_mut(), module)?;
        self.instance(store, module_name, instance)
    }

    /// What is defined under that name. A function of the host becomes one of the store, unless
    /// that is of another engine.
    pub fn get(
        &self,
        mut store: impl AsContextMut<Data = T>,
        module: &str,
        name: &str,
    ) -> Option<Extern> {
        match self.definitions.get(module)?.get(name)? {
            Import::Extern(item) => Some(item.clone()),
            Import::Host(host) => {
                let mut store = store.as_context_mut();
                let store = store.opaque_mut();
                store.check_engine(&self.engine).ok()?;
                let func = store.add_host_func(host.clone()).ok()?;
                Some(Extern::Func(store.func(func)))
            }
        }
    }

    /// Looks up what `module` imports, once for any number of instances.
    ///
    /// # Errors
    /// If an import is not defined here, or `module` is of another engine.
    pub fn instantiate_pre(&self, module: &Module) -> Result<InstancePre<T>> {
        // The types of the functions here are numbers that only their engine knows.
        if !self.engine.same(module.engine()) {
            let message = "module and linker belong to different engines";
            return Err(Error::with_kind(ErrorKind::Host, message));
        }
        let imports = self.imports(module)?;
        Ok(InstancePre { module: module.clone(), imports, store: PhantomData })
    }

    fn imports(&self, module: &Module) -> Result<Vec<Import>> {
        let view = module.view();
        (0..view.import_count())
            .map(|i| {
                let (from, name, kind, index) = view.import(i)?;
                let found = self.definitions.get(from).and_then(|names| names.get(name));
                found.cloned().ok_or_else(|| {
                    let ty = module.extern_type(kind, index);
                    let ty = ty.map(|ty| ty.to_string()).unwrap_or_default();
                    let (from, name) = (Foreign(from), Foreign(name));
                    Error::with_kind(
                        ErrorKind::Link,
                        format!("unknown import: `{from}::{name}` has not been defined ({ty})"),
                    )
                })
            })
            .collect()
    }

    /// Instantiates `module` with what is defined here, and runs its start function.
    ///
    /// # Errors
    /// If an import is not defined here or is of another type, if there is no room, or if
    /// instantiation or the start function traps.
    pub fn instantiate(
        &self,
        store: impl AsContextMut<Data = T>,
        module: &Module,
    ) -> Result<Instance> {
        self.instantiate_pre(module)?.instantiate(store)
    }
}

/// A module whose imports were looked up.
pub struct InstancePre<T: 'static> {
    module: Module,
    imports: Vec<Import>,
    /// Of exactly this `T`; see [`Store`](crate::Store).
    store: PhantomData<fn(T) -> T>,
}

impl<T> Clone for InstancePre<T> {
    fn clone(&self) -> Self {
        InstancePre {
            module: self.module.clone(),
            imports: self.imports.clone(),
            store: PhantomData,
        }
    }
}

impl<T> std::fmt::Debug for InstancePre<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InstancePre").field("module", &self.module).finish_non_exhaustive()
    }
}

impl<T: 'static> InstancePre<T> {
    /// The module.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Makes an instance in `store`, and runs its start function.
    ///
    /// # Errors
    /// As [`Linker::instantiate`].
    pub fn instantiate(&self, mut store: impl AsContextMut<Data = T>) -> Result<Instance> {
        let mut store = store.as_context_mut();
        let store = store.opaque_mut();
        for import in &self.imports {
            if let Import::Extern(item) = import
                && !item.belongs_to(store)
            {
                let message = "an import belongs to another store than the instance's";
                return Err(Error::with_kind(ErrorKind::Link, message));
            }
        }
        instantiate::instantiate(store, &self.module, &self.imports)
    }
}
