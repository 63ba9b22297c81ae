//! A running script: its store, the instances that it named, and the directives.

use super::{keyword, spectest, values};
use precompile::{Engine, Error, ErrorKind, Instance, Linker, Module, Result, Store, Trap, Val};
use std::collections::HashMap;
use wast::token::Id;
use wast::{QuoteWat, WastDirective, WastExecute, WastInvoke, Wat};

/// The state of a script.
pub(super) struct Session {
    engine: Engine,
    store: Store<()>,
    linker: Linker<()>,
    /// The instance that directives without a name mean; `None` if its module failed, so that
    /// nothing passes by chance with the one before.
    current: Option<Instance>,
    instances: HashMap<String, Instance>,
    definition: Option<Module>,
    definitions: HashMap<String, Module>,
}

/// Why a call or an instantiation has no results.
enum Stopped {
    /// There was nothing to call: a mistake in the script, or of an earlier directive.
    Script(String),
    Engine(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Stopped::Engine(error)
    }
}

impl From<String> for Stopped {
    fn from(message: String) -> Self {
        Stopped::Script(message)
    }
}

impl From<Stopped> for String {
    fn from(stopped: Stopped) -> String {
        match stopped {
            Stopped::Script(message) => message,
            Stopped::Engine(error) => format!("{error:#}"),
        }
    }
}

impl Session {
    /// With nothing but `spectest` in it.
    pub(super) fn new(engine: &Engine) -> Result<Self> {
        let mut store = Store::new(engine, ());
        // Where either is looked at, there is enough.
        let _ = store.set_fuel(u64::MAX);
        store.set_epoch_deadline(u64::MAX);
        let mut linker = Linker::new(engine);
        // A name that is registered again means the later instance.
        linker.allow_shadowing(true);
        spectest::define(&mut linker, &mut store)?;
        Ok(Session {
            engine: engine.clone(),
            store,
            linker,
            current: None,
            instances: HashMap::new(),
            definition: None,
            definitions: HashMap::new(),
        })
    }

    /// Runs a directive.
    ///
    /// # Errors
    /// What went otherwise than it says.
    pub(super) fn run(&mut self, directive: &mut WastDirective<'_>) -> Result<(), String> {
        match directive {
            WastDirective::Module(quote) => {
                self.current = None;
                let name = quote.name();
                let module = self.define(quote)?;
                Ok(self.instantiate(name, &module)?)
            }
            WastDirective::ModuleDefinition(quote) => self.define(quote).map(drop),
            WastDirective::ModuleInstance { instance, module, .. } => {
                self.current = None;
                let module = match module {
                    Some(name) => self.definitions.get(name.name()),
                    None => self.definition.as_ref(),
                };
                let module = module.ok_or("no such module was defined")?.clone();
                Ok(self.instantiate(*instance, &module)?)
            }
            WastDirective::Register { name, module, .. } => {
                let instance = self.instance(*module)?;
                self.linker
                    .instance(&mut self.store, name, instance)
                    .map(drop)
                    .map_err(|error| format!("{error:#}"))
            }
            WastDirective::Invoke(invoke) => Ok(self.invoke(invoke).map(drop)?),
            WastDirective::AssertReturn { exec, results, .. } => {
                let found = self.execute(exec)?;
                values::compare(&found, results, &self.store)
            }
            WastDirective::AssertTrap { exec, message, .. } => {
                expect_trap(self.execute(exec), message)
            }
            WastDirective::AssertExhaustion { call, message, .. } => {
                expect_trap(self.invoke(call), message)
            }
            WastDirective::AssertUnlinkable { module, message, .. } => {
                expect_unlinkable(self.execute_module(module), message)
            }
            // Text and binaries are refused by different parts, none of which says which of the
            // two it found.
            WastDirective::AssertMalformed { module, .. }
            | WastDirective::AssertMalformedCustom { module, .. }
            | WastDirective::AssertInvalid { module, .. }
            | WastDirective::AssertInvalidCustom { module, .. } => self.expect_refused(module),
            WastDirective::AssertException { .. }
            | WastDirective::AssertSuspension { .. }
            | WastDirective::Thread(_)
            | WastDirective::Wait { .. } => {
                Err(format!("`{}` is not supported yet", keyword(directive)))
            }
        }
    }

    /// Compiles a module, and remembers it for `module instance`.
    fn define(&mut self, quote: &mut QuoteWat<'_>) -> Result<Module, String> {
        let bytes = quote.encode().map_err(|error| format!("refused as text: {error}"))?;
        let module = Module::from_binary(&self.engine, &bytes);
        let module = module.map_err(|error| format!("refused: {error:#}"))?;
        if let Some(name) = quote.name() {
            self.definitions.insert(name.name().to_string(), module.clone());
        }
        self.definition = Some(module.clone());
        Ok(module)
    }

    fn instantiate(&mut self, name: Option<Id<'_>>, module: &Module) -> Result<(), Stopped> {
        let instance = self.linker.instantiate(&mut self.store, module)?;
        if let Some(name) = name {
            self.instances.insert(name.name().to_string(), instance);
        }
        self.current = Some(instance);
        Ok(())
    }

    fn instance(&self, name: Option<Id<'_>>) -> Result<Instance, String> {
        match name {
            Some(name) => self.instances.get(name.name()).copied(),
            None => self.current,
        }
        .ok_or_else(|| "there is no such instance".to_string())
    }

    fn execute(&mut self, exec: &mut WastExecute<'_>) -> Result<Vec<Val>, Stopped> {
        match exec {
            WastExecute::Invoke(invoke) => self.invoke(invoke),
            WastExecute::Wat(module) => self.execute_module(module),
            WastExecute::Get { module, global, .. } => {
                let instance = self.instance(*module)?;
                let export = instance.get_export(&mut self.store, global);
                let found = export.and_then(|export| export.into_global());
                let found = found.ok_or_else(|| format!("no global `{global}` is exported"))?;
                Ok(vec![found.get(&mut self.store)])
            }
        }
    }

    /// Instantiates a module that no directive refers to afterwards.
    fn execute_module(&mut self, module: &mut Wat<'_>) -> Result<Vec<Val>, Stopped> {
        let bytes = module.encode().map_err(|error| format!("refused as text: {error}"))?;
        let module = Module::from_binary(&self.engine, &bytes);
        // What does not compile has neither trapped nor failed to link.
        let module = module.map_err(|error| format!("refused: {error:#}"))?;
        self.linker.instantiate(&mut self.store, &module)?;
        Ok(Vec::new())
    }

    fn invoke(&mut self, invoke: &WastInvoke<'_>) -> Result<Vec<Val>, Stopped> {
        let instance = self.instance(invoke.module)?;
        let func = instance.get_func(&mut self.store, invoke.name);
        let func = func.ok_or_else(|| format!("no function `{}` is exported", invoke.name))?;
        let args = invoke.args.iter().map(|arg| values::argument(arg, &mut self.store));
        let args = args.collect::<Result<Vec<_>, _>>()?;
        let mut results = vec![Val::I32(0); func.ty(&self.store).results().len()];
        func.call(&mut self.store, &args, &mut results)?;
        Ok(results)
    }

    fn expect_refused(&self, quote: &mut QuoteWat<'_>) -> Result<(), String> {
        let Ok(bytes) = quote.encode() else {
            return Ok(());
        };
        match Module::from_binary(&self.engine, &bytes) {
            Ok(_) => Err("the module was accepted".into()),
            Err(error) if matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Unsupported) => {
                Ok(())
            }
            Err(error) => Err(format!("refused, but as {:?}: {error:#}", error.kind())),
        }
    }
}

fn expect_trap(result: Result<Vec<Val>, Stopped>, expected: &str) -> Result<(), String> {
    let error = match result {
        Ok(results) => return Err(format!("no trap, but {results:?}: expected \"{expected}\"")),
        Err(Stopped::Engine(error)) => error,
        Err(Stopped::Script(message)) => return Err(message),
    };
    let Some(trap) = error.downcast_ref::<Trap>() else {
        return Err(format!("no trap, but {error:#}: expected \"{expected}\""));
    };
    // The specification's own interpreter also tells which element was not there.
    let words = expected.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end();
    // And what a null would have been a reference to.
    let null = words.starts_with("null ") && words.ends_with(" reference");
    let words = if null { "null reference" } else { words };
    let found = trap.to_string();
    if !words.is_empty() && found.contains(words) {
        return Ok(());
    }
    Err(format!("\"{found}\", expected \"{expected}\""))
}

fn expect_unlinkable(result: Result<Vec<Val>, Stopped>, expected: &str) -> Result<(), String> {
    match result {
        Ok(_) => Err(format!("it was linked, expected \"{expected}\"")),
        Err(Stopped::Engine(error)) if error.kind() == ErrorKind::Link => {
            let found = format!("{error:#}");
            if found.contains(expected) {
                return Ok(());
            }
            Err(format!("\"{found}\", expected \"{expected}\""))
        }
        Err(stopped) => Err(stopped.into()),
    }
}
