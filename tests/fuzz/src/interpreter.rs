//! Runs a module on wasmi and tells what was seen.
//!
//! wasmi is an interpreter that shares no code with us or with Cranelift.

use crate::observe::{End, Host, Observed, State, Step, Trap, Value, argument};
use std::sync::OnceLock;
use wasmi::errors::ErrorKind;
use wasmi::{
    Config, Engine, Error, Extern, ExternType, Func, Global, Instance, Memory, Module, Store,
    StoreLimits, StoreLimitsBuilder, Table, TrapCode, V128, Val, ValType,
};

struct Data {
    host: Host,
    limits: StoreLimits,
}

fn engine(fuel: bool) -> &'static Engine {
    static ENGINES: [OnceLock<Engine>; 2] = [OnceLock::new(), OnceLock::new()];
    ENGINES[usize::from(fuel)].get_or_init(|| {
        let mut config = Config::default();
        config.wasm_multi_memory(true).wasm_memory64(true).wasm_tail_call(true);
        config.wasm_extended_const(true).wasm_custom_page_sizes(true).wasm_wide_arithmetic(true);
        config.wasm_simd(true).wasm_relaxed_simd(false).consume_fuel(fuel);
        Engine::new(&config)
    })
}

/// As [`ours::observe`](crate::ours::observe). Fuel is counted otherwise than by us, so that it
/// only keeps the interpreter from running for ever.
///
/// # Errors
/// If it does not take the module.
pub(crate) fn observe(wasm: &[u8], seed: u64, fuel: Option<u64>) -> Result<Observed, Error> {
    let engine = engine(fuel.is_some());
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
            supply(&mut store, format!("{} {}", import.module(), import.name()), import.ty())
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
    let mut exports: Vec<(String, Extern)> = module
        .exports()
        .filter_map(|e| Some((e.name().to_string(), instance.get_export(&store, e.name())?)))
        .collect();
    exports.sort_by(|a, b| a.0.cmp(&b.0));
    for (call, (name, export)) in exports.iter().enumerate() {
        let Extern::Func(func) = export else { continue };
        let end = invoke(&mut store, *func, |index| argument(seed, call, index));
        let over = matches!(end, End::Exhausted(_));
        step(&mut seen, &store, name.clone(), end);
        if over {
            return Ok(seen);
        }
    }
    for (name, export) in exports {
        let state = match export {
            Extern::Memory(memory) => State::memory(memory.data(&store)),
            Extern::Global(global) => State::Global(value(&global.get(&store))),
            Extern::Table(table) => {
                let elements = 0..table.size(&store);
                let nulls = elements.map(|i| {
                    table.get(&store, i).is_none_or(|x| value(&x) == Value::Ref { null: true })
                });
                State::table(&nulls.collect::<Vec<_>>())
            }
            Extern::Func(_) => continue,
        };
        seen.state.push((name, state));
    }
    Ok(seen)
}

/// Calls an export of a module without imports, with arguments of these bits.
///
/// # Errors
/// If it does not take the module.
pub(crate) fn call(wasm: &[u8], name: &str, bits: &[u128]) -> Result<End, String> {
    let module = Module::new(engine(false), wasm).map_err(|error| error.to_string())?;
    let limits = StoreLimitsBuilder::new().build();
    let mut store = Store::new(engine(false), Data { host: Host::default(), limits });
    let instance = Instance::new(&mut store, &module, &[]).map_err(|error| error.to_string())?;
    let func = instance.get_func(&store, name).ok_or("no such export")?;
    Ok(invoke(&mut store, func, |index| bits[index]))
}

fn step(seen: &mut Observed, store: &Store<Data>, what: String, end: End) {
    seen.steps.push(Step { what, end, fuel: None, host: store.data().host.clone() });
}

fn invoke(store: &mut Store<Data>, func: Func, bits: impl Fn(usize) -> u128) -> End {
    let ty = func.ty(&*store);
    let params: Vec<Val> =
        ty.params().iter().enumerate().map(|(i, ty)| val(*ty, bits(i))).collect();
    let mut results: Vec<Val> = ty.results().iter().map(|ty| Val::default(*ty)).collect();
    match func.call(&mut *store, &params, &mut results) {
        Ok(()) => End::Returned(results.iter().map(value).collect()),
        Err(error) => stop(&error),
    }
}

fn val(ty: ValType, bits: u128) -> Val {
    match ty {
        ValType::I32 => Val::I32(bits as i32),
        ValType::I64 => Val::I64(bits as i64),
        ValType::F32 => Val::F32(wasmi::F32::from_bits(bits as u32)),
        ValType::F64 => Val::F64(wasmi::F64::from_bits(bits as u64)),
        ValType::V128 => Val::V128(V128::from(bits)),
        ValType::FuncRef | ValType::ExternRef => Val::default(ty),
    }
}

fn value(val: &Val) -> Value {
    match val {
        Val::I32(x) => Value::I32(*x),
        Val::I64(x) => Value::I64(*x),
        Val::F32(x) => Value::F32(x.to_bits()),
        Val::F64(x) => Value::F64(x.to_bits()),
        Val::V128(x) => Value::V128(x.as_u128()),
        Val::FuncRef(x) => Value::Ref { null: x.is_null() },
        Val::ExternRef(x) => Value::Ref { null: x.is_null() },
    }
}

fn supply(store: &mut Store<Data>, name: String, ty: &ExternType) -> Option<Extern> {
    Some(match ty {
        ExternType::Func(ty) => Func::new(store, ty.clone(), move |mut caller, args, _| {
            let args: Vec<Value> = args.iter().map(value).collect();
            caller.data_mut().host.call(&name, args);
            Ok(())
        })
        .into(),
        ExternType::Table(ty) => Table::new(store, *ty, Val::default(ty.element())).ok()?.into(),
        ExternType::Memory(ty) => Memory::new(store, *ty).ok()?.into(),
        ExternType::Global(ty) => Global::new(store, val(ty.content(), 0), ty.mutability()).into(),
    })
}

fn stop(error: &Error) -> End {
    let Some(code) = error.as_trap_code() else {
        return match error.kind() {
            // wasmi says of what a segment does at instantiation that it does not fit.
            ErrorKind::Instantiation(error) => {
                let text = error.to_string();
                let table = text.contains("table") || text.contains("element");
                End::Trapped(if table { Trap::Table } else { Trap::Memory })
            }
            _ => End::Failed(error.to_string()),
        };
    };
    End::Trapped(match code {
        TrapCode::StackOverflow => return End::Exhausted("the stack"),
        TrapCode::OutOfFuel => return End::Exhausted("fuel"),
        TrapCode::GrowthOperationLimited => return End::Exhausted("a resource"),
        TrapCode::UnreachableCodeReached => Trap::Unreachable,
        TrapCode::MemoryOutOfBounds => Trap::Memory,
        TrapCode::TableOutOfBounds => Trap::Table,
        TrapCode::IndirectCallToNull => Trap::NullCall,
        TrapCode::BadSignature => Trap::Signature,
        TrapCode::IntegerOverflow => Trap::Overflow,
        TrapCode::IntegerDivisionByZero => Trap::DivisionByZero,
        TrapCode::BadConversionToInteger => Trap::Conversion,
    })
}
