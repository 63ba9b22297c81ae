//! Runs a module on our engine and tells what was seen.

use crate::observe::{End, Host, Observed, State, Step, Trap, Value, argument};
use precompile::{
    Arch, Config, CpuFeatures, CpuLevel, Engine, Error, ErrorKind, Extern, ExternType, Features,
    Func, Global, GlobalType, Instance, Memory, Module, Ref, Store, StoreLimits,
    StoreLimitsBuilder, Table, Tag, Val, ValType,
};

/// What a store holds: calls of the host, and how much wasm may have.
struct Data {
    host: Host,
    limits: StoreLimits,
}

/// An engine for all proposals, with `change` made to the settings; one thread compiles.
///
/// # Panics
/// If the settings do not fit together.
pub(crate) fn engine(change: impl FnOnce(&mut Config)) -> Engine {
    let mut config = Config::new();
    config.compile_jobs(1).features(Features::SUPPORTED);
    change(&mut config);
    Engine::new(&config).expect("settings of a target")
}

/// The levels of processors that the host has, best first.
pub(crate) fn levels() -> Vec<CpuLevel> {
    let arch = if cfg!(target_arch = "x86_64") { Arch::X86_64 } else { Arch::Aarch64 };
    let host = CpuFeatures::detect();
    let named = CpuLevel::named(arch).iter().copied();
    named.filter(|level| host.contains(level.features())).collect()
}

/// The best level and the least: what lies between is made of the same rules.
pub(crate) fn ends() -> [CpuLevel; 2] {
    let levels = levels();
    [levels[0], levels[levels.len() - 1]]
}

/// Instantiates the module, calls what it exports, and looks at the rest.
///
/// # Errors
/// If it does not compile.
pub(crate) fn observe(
    engine: &Engine,
    wasm: &[u8],
    seed: u64,
    fuel: Option<u64>,
) -> Result<Observed, Error> {
    let module = Module::new(engine, wasm)?;
    let limits = StoreLimitsBuilder::new().memory_size(64 << 20).table_elements(100_000).build();
    let mut store = Store::new(engine, Data { host: Host::default(), limits });
    store.limiter(|data| &mut data.limits);
    if let Some(fuel) = fuel {
        store.set_fuel(fuel)?;
    }
    let mut seen = Observed::default();
    let imports: Option<Vec<Extern>> = module
        .imports()
        .map(|import| {
            supply(&mut store, format!("{} {}", import.module(), import.name()), &import.ty())
        })
        .collect();
    let Some(imports) = imports else {
        step(&mut seen, &store, "import".into(), End::Exhausted("an import of no value"));
        return Ok(seen);
    };
    let instance = match Instance::new(&mut store, &module, &imports) {
        Ok(instance) => instance,
        Err(error) => {
            step(&mut seen, &store, "instantiate".into(), stop(&error));
            return Ok(seen);
        }
    };
    step(&mut seen, &store, "instantiate".into(), End::Returned(Vec::new()));
    let mut exports: Vec<(String, Extern)> =
        instance.exports(&mut store).map(|e| (e.name().to_string(), e.into_extern())).collect();
    exports.sort_by(|a, b| a.0.cmp(&b.0));
    for (call, (name, export)) in exports.iter().enumerate() {
        let Extern::Func(func) = export else { continue };
        let end = self::call(&mut store, *func, |index| argument(seed, call, index));
        let over = matches!(end, End::Exhausted(_));
        step(&mut seen, &store, name.clone(), end);
        if over {
            return Ok(seen);
        }
    }
    for (name, export) in exports {
        let state = match export {
            Extern::Memory(memory) => State::memory(memory.data(&store)),
            Extern::Global(global) => State::Global(value(global.get(&mut store))),
            Extern::Table(table) => {
                let elements = 0..table.size(&store);
                let nulls = elements.map(|i| table.get(&mut store, i).is_none_or(|r| r.is_null()));
                State::table(&nulls.collect::<Vec<_>>())
            }
            _ => continue,
        };
        seen.state.push((name, state));
    }
    Ok(seen)
}

/// An instance without imports, or with functions that do nothing, whose exports are called.
pub(crate) struct Running {
    store: Store<Data>,
    instance: Instance,
}

impl Running {
    /// # Errors
    /// If the module does not compile, or cannot be instantiated.
    pub(crate) fn new(engine: &Engine, wasm: &[u8]) -> Result<Running, Error> {
        let module = Module::new(engine, wasm)?;
        let mut store =
            Store::new(engine, Data { host: Host::default(), limits: StoreLimits::default() });
        let imports = module.imports();
        let imports = imports.filter_map(|i| supply(&mut store, String::new(), &i.ty()));
        let imports: Vec<Extern> = imports.collect();
        let instance = Instance::new(&mut store, &module, &imports)?;
        Ok(Running { store, instance })
    }

    /// Calls an export with arguments of these bits.
    pub(crate) fn call(&mut self, name: &str, bits: &[u128]) -> End {
        let Some(func) = self.instance.get_func(&mut self.store, name) else {
            return End::Failed(format!("no export {name}"));
        };
        call(&mut self.store, func, |index| bits.get(index).copied().unwrap_or(0))
    }

    /// The bytes of an exported memory.
    pub(crate) fn memory(&mut self, name: &str) -> &mut [u8] {
        match self.instance.get_memory(&mut self.store, name) {
            Some(memory) => memory.data_mut(&mut self.store),
            None => &mut [],
        }
    }
}

fn step(seen: &mut Observed, store: &Store<Data>, what: String, end: End) {
    seen.steps.push(Step {
        what,
        end,
        fuel: store.get_fuel().ok(),
        host: store.data().host.clone(),
    });
}

fn call(store: &mut Store<Data>, func: Func, bits: impl Fn(usize) -> u128) -> End {
    let ty = func.ty(&*store);
    let params: Option<Vec<Val>> =
        ty.params().enumerate().map(|(i, ty)| val(ty, bits(i))).collect();
    // A parameter that cannot be null.
    let Some(params) = params else { return End::Returned(Vec::new()) };
    let mut results: Vec<Val> = ty.results().map(Val::default_for_ty).collect();
    match func.call(&mut *store, &params, &mut results) {
        Ok(()) => End::Returned(results.into_iter().map(value).collect()),
        Err(error) => stop(&error),
    }
}

fn val(ty: ValType, bits: u128) -> Option<Val> {
    Some(match ty {
        ValType::I32 => Val::I32(bits as i32),
        ValType::I64 => Val::I64(bits as i64),
        ValType::F32 => Val::F32(bits as u32),
        ValType::F64 => Val::F64(bits as u64),
        ValType::V128 => Val::V128(bits.into()),
        ValType::Ref(r) if r.is_nullable() => Val::default_for_ty(ty),
        _ => return None,
    })
}

fn value(val: Val) -> Value {
    match val {
        Val::I32(x) => Value::I32(x),
        Val::I64(x) => Value::I64(x),
        Val::F32(x) => Value::F32(x),
        Val::F64(x) => Value::F64(x),
        Val::V128(x) => Value::V128(x.into()),
        Val::FuncRef(x) => Value::Ref { null: x.is_none() },
        Val::ExternRef(x) => Value::Ref { null: x.is_none() },
        Val::ExnRef(x) => Value::Ref { null: x.is_none() },
        #[allow(unreachable_patterns, reason = "kinds of references that are added later")]
        _ => Value::Ref { null: false },
    }
}

/// Something of that type to import.
fn supply(store: &mut Store<Data>, name: String, ty: &ExternType) -> Option<Extern> {
    Some(match ty {
        ExternType::Func(ty) => {
            // A result that cannot be null has no default.
            if ty.results().any(|ty| val(ty, 0).is_none()) {
                return None;
            }
            Func::new(store, ty.clone(), move |mut caller, args, _| {
                let args: Vec<Value> = args.iter().map(|arg| value(*arg)).collect();
                caller.data_mut().host.call(&name, args);
                Ok(())
            })
            .into()
        }
        ExternType::Table(ty) if ty.element().is_nullable() => {
            Table::new(store, *ty, Ref::null(ty.element().heap_type())).ok()?.into()
        }
        ExternType::Memory(ty) => Memory::new(store, *ty).ok()?.into(),
        ExternType::Global(ty) => {
            let value = val(ty.content(), 0)?;
            Global::new(store, GlobalType::new(ty.content(), ty.mutability()), value).ok()?.into()
        }
        ExternType::Tag(ty) => Tag::new(store, ty).ok()?.into(),
        _ => return None,
    })
}

fn stop(error: &Error) -> End {
    use precompile::Trap as T;
    let Some(trap) = error.downcast_ref::<T>() else {
        return match error.kind() {
            ErrorKind::Limit | ErrorKind::Io => End::Exhausted("a resource"),
            ErrorKind::Exception => End::Threw,
            _ => End::Failed(format!("{error:#}")),
        };
    };
    End::Trapped(match trap {
        T::StackOverflow => return End::Exhausted("the stack"),
        T::OutOfFuel => return End::Exhausted("fuel"),
        T::UnreachableCodeReached => Trap::Unreachable,
        T::MemoryOutOfBounds => Trap::Memory,
        T::TableOutOfBounds => Trap::Table,
        T::IndirectCallToNull => Trap::NullCall,
        T::BadSignature => Trap::Signature,
        T::IntegerOverflow => Trap::Overflow,
        T::IntegerDivisionByZero => Trap::DivisionByZero,
        T::BadConversionToInteger => Trap::Conversion,
        T::NullReference => Trap::NullReference,
        _ => Trap::Other,
    })
}
