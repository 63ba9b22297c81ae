//! Plays steps and writes down what becomes of each: results, traps, messages.
//!
//! On the engine's public API only, and without its compiler: the same file is part of an app that
//! is built without one. A step is a line of words, the number of the script's line first. Texts
//! are in hexadecimal behind an `x`; `-` is none; modules are files named by their digests:
//!
//! ```text
//! 3 module NAME MODULE        makes and instantiates; later steps without a name mean this one
//! 4 define NAME MODULE        makes
//! 5 instance NAME DEFINITION  instantiates
//! 6 register AS NAME
//! 7 invoke NAME FUNCTION VALUE...
//! 8 get NAME GLOBAL
//! 9 instantiate MODULE        makes and instantiates; nothing refers to it later
//! 9 refuse MODULE             makes, which must not succeed
//! ```

use super::spectest;
use precompile::{Engine, Error, ExternRef, HeapType, Instance, Linker, Module, Store, Val};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

/// Plays `steps` with the modules in `folder`; the transcript, a line for each step.
pub(crate) fn play(engine: &Engine, folder: &Path, steps: &str) -> String {
    let mut player = Player::new(engine, folder);
    let mut transcript = String::new();
    for step in steps.lines() {
        let (line, step) = step.split_once(' ').expect("a step has a line");
        let outcome = player.step(&step.split(' ').collect::<Vec<_>>());
        let outcome = outcome.unwrap_or_else(|outcome| outcome);
        transcript += &format!("{line} {}\n", outcome.replace('\n', " | "));
    }
    transcript
}

/// How a module is made that must not be: whether it is compiled or looked up, there is none.
const REFUSED: &str = "refused";

struct Player<'a> {
    folder: &'a Path,
    engine: Engine,
    store: Store<()>,
    linker: Linker<()>,
    current: Option<Instance>,
    instances: HashMap<String, Instance>,
    registered: HashSet<String>,
    definitions: HashMap<String, Module>,
}

/// What is written down; on the left what succeeded.
type Told = Result<String, String>;

impl<'a> Player<'a> {
    fn new(engine: &Engine, folder: &'a Path) -> Player<'a> {
        let mut store = Store::new(engine, ());
        // Where either is looked at, there is enough.
        let _ = store.set_fuel(u64::MAX);
        store.set_epoch_deadline(u64::MAX);
        let mut linker = Linker::new(engine);
        linker.allow_shadowing(true);
        spectest::define(&mut linker, &mut store).expect("the host's modules can be made");
        Player {
            folder,
            engine: engine.clone(),
            store,
            linker,
            current: None,
            instances: HashMap::new(),
            registered: spectest::NAMES.map(String::from).into(),
            definitions: HashMap::new(),
        }
    }

    fn step(&mut self, words: &[&str]) -> Told {
        match *words {
            ["module", name, module] => {
                self.current = None;
                let module = self.define(name, module)?;
                self.instantiate(name, &module)
            }
            ["define", name, module] => self.define(name, module).map(|_| "defined".into()),
            ["instance", name, definition] => {
                self.current = None;
                let module = self.definitions.get(definition).cloned();
                self.instantiate(name, &module.ok_or("no such definition")?)
            }
            ["register", name, instance] => {
                let instance = self.instance(instance)?;
                let name = text(name);
                let defined = self.linker.instance(&mut self.store, &name, instance);
                self.registered.insert(name);
                defined.map(|_| "registered".into()).map_err(|error| said(&error))
            }
            ["invoke", instance, function, ref arguments @ ..] => {
                self.invoke(instance, function, arguments)
            }
            ["get", instance, global] => {
                let instance = self.instance(instance)?;
                let export = instance.get_export(&mut self.store, &text(global));
                let global = export.and_then(|export| export.into_global());
                let value = global.ok_or("no such global")?.get(&mut self.store);
                Ok(show(&value, &self.store))
            }
            ["instantiate", module] => {
                let module = self.make(module)?;
                let instance = self.linker.instantiate(&mut self.store, &module);
                instance.map(|_| "instantiated".into()).map_err(|error| said(&error))
            }
            ["refuse", module] => self.make(module).map(|_| "accepted".into()),
            _ => panic!("no step: {words:?}"),
        }
    }

    fn make(&self, module: &str) -> Result<Module, String> {
        let bytes = fs::read(self.folder.join(module)).expect("the module was written");
        Module::from_binary(&self.engine, &bytes)
            .map_err(|error| format!("{REFUSED} {}", said(&error)))
    }

    fn define(&mut self, name: &str, module: &str) -> Result<Module, String> {
        let module = self.make(module)?;
        // Without a name the last one is meant.
        for name in [name, "-"] {
            self.definitions.insert(name.into(), module.clone());
        }
        Ok(module)
    }

    fn instantiate(&mut self, name: &str, module: &Module) -> Told {
        let instance = self.linker.instantiate(&mut self.store, module);
        let instance = instance.map_err(|error| said(&error))?;
        if name != "-" {
            self.instances.insert(name.into(), instance);
            let name = text(name);
            if !self.registered.contains(&name) {
                let defined = self.linker.instance(&mut self.store, &name, instance);
                defined.map_err(|error| said(&error))?;
            }
        }
        self.current = Some(instance);
        Ok("instantiated".into())
    }

    fn instance(&self, name: &str) -> Result<Instance, String> {
        let instance = match name {
            "-" => self.current,
            name => self.instances.get(name).copied(),
        };
        instance.ok_or_else(|| "no such instance".into())
    }

    fn invoke(&mut self, instance: &str, function: &str, arguments: &[&str]) -> Told {
        let instance = self.instance(instance)?;
        let func = instance.get_func(&mut self.store, &text(function));
        let func = func.ok_or("no such function")?;
        let arguments = arguments.iter().map(|word| parse(word, &mut self.store));
        let arguments: Vec<_> = arguments.collect();
        let mut results = vec![Val::I32(0); func.ty(&self.store).results().len()];
        let called = func.call(&mut self.store, &arguments, &mut results);
        called.map_err(|error| said(&error))?;
        let results: Vec<_> = results.iter().map(|value| show(value, &self.store)).collect();
        Ok(format!("returned {}", results.join(" ")))
    }
}

/// All that an error says.
fn said(error: &Error) -> String {
    format!("{:?}: {error:#}", error.kind())
}

/// The text of a word.
fn text(word: &str) -> String {
    let digits = word.strip_prefix('x').expect("a text");
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits");
    let bytes = (0..digits.len()).step_by(2).map(byte).collect();
    String::from_utf8(bytes).expect("it was text before")
}

fn parse(word: &str, store: &mut Store<()>) -> Val {
    let (ty, value) = word.split_once(':').expect("a type and a value");
    let bits = || u128::from_str_radix(value, 16).expect("hexadecimal");
    match ty {
        "i32" => Val::I32(bits() as u32 as i32),
        "i64" => Val::I64(bits() as u64 as i64),
        "f32" => Val::F32(bits() as u32),
        "f64" => Val::F64(bits() as u64),
        "v128" => Val::V128(bits().into()),
        "extern" => Val::ExternRef(Some(
            ExternRef::new(store, bits() as u32).expect("there is room in the store"),
        )),
        _ => Val::null_ref(if value == "func" { HeapType::Func } else { HeapType::Extern }),
    }
}

/// All of a value that can be told from outside.
fn show(value: &Val, store: &Store<()>) -> String {
    match value {
        Val::I32(x) => format!("i32:{:x}", *x as u32),
        Val::I64(x) => format!("i64:{:x}", *x as u64),
        Val::F32(bits) => format!("f32:{bits:x}"),
        Val::F64(bits) => format!("f64:{bits:x}"),
        Val::V128(x) => format!("v128:{:x}", x.as_u128()),
        Val::ExternRef(Some(reference)) => {
            let data = reference.data(store).expect("it is of this store");
            let number = data.and_then(|data| data.downcast_ref::<u32>());
            number.map_or("extern".into(), |x| format!("extern:{x:x}"))
        }
        Val::FuncRef(Some(func)) => format!("func {}", func.ty(store)),
        other => format!("{other:?}"),
    }
}
