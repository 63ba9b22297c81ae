//! A running script: its store, the instances that it named, and the directives.

use crate::expect::{self, Stopped};
use crate::{keyword, spectest, values};
use precompile::{
    Engine, Error, ErrorKind, Features, Instance, Linker, Module, Result, Store, Trap, Val,
};
use std::collections::{HashMap, HashSet};
use wast::token::{Id, Span};
use wast::{QuoteWat, WastDirective, WastExecute, WastInvoke, WastThread, Wat};

/// The state of a script.
pub(crate) struct Session {
    engine: Engine,
    store: Store<()>,
    linker: Linker<()>,
    /// The instance that directives without a name mean; `None` if its module failed, so that
    /// nothing passes by chance with the one before.
    current: Option<Instance>,
    instances: HashMap<String, Instance>,
    /// Names of modules that mean what was registered, or the host's.
    registered: HashSet<String>,
    definition: Option<Module>,
    definitions: HashMap<String, Module>,
    /// Threads that ran and are not waited for yet.
    threads: HashSet<String>,
    /// What the script is about, and the engine does not have.
    lacking: Features,
    /// The epochs that it may take.
    epochs: Option<u64>,
    /// Whether they are over.
    is_interrupted: bool,
}

impl Session {
    /// With nothing but the host's modules in it, for a script about features some of which,
    /// `lacking`, the engine does not have.
    pub(crate) fn new(engine: &Engine, lacking: Features, epochs: Option<u64>) -> Result<Self> {
        let mut store = Store::new(engine, ());
        // Where it is looked at, there is enough.
        let _ = store.set_fuel(u64::MAX);
        store.set_epoch_deadline(epochs.unwrap_or(u64::MAX));
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
            registered: spectest::NAMES.map(String::from).into(),
            definition: None,
            definitions: HashMap::new(),
            threads: HashSet::new(),
            lacking,
            epochs,
            is_interrupted: false,
        })
    }

    /// Whether the epochs of the script are over, so that nothing more of it can run.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.is_interrupted
    }

    /// Why a directive ended, noted if it is that the script took too long.
    fn stopped(&mut self, error: Error) -> Stopped {
        self.is_interrupted |= error.downcast_ref() == Some(&Trap::Interrupt);
        Stopped::Engine(error)
    }

    /// Runs a directive. `line` tells in which line of the script something inside of it is.
    ///
    /// # Errors
    /// What went otherwise than it says.
    pub(crate) fn run(
        &mut self,
        directive: &mut WastDirective<'_>,
        line: &dyn Fn(Span) -> usize,
    ) -> Result<(), String> {
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
                self.registered.insert(name.to_string());
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
                expect::trap(self.execute(exec), message)
            }
            WastDirective::AssertExhaustion { call, message, .. } => {
                expect::trap(self.invoke(call), message)
            }
            WastDirective::AssertUnlinkable { module, message, .. } => {
                expect::unlinkable(self.execute_module(module), message)
            }
            // Text and binaries are refused by different parts, none of which says which of the
            // two it found.
            WastDirective::AssertMalformed { module, .. }
            | WastDirective::AssertMalformedCustom { module, .. }
            | WastDirective::AssertInvalid { module, .. }
            | WastDirective::AssertInvalidCustom { module, .. } => self.expect_refused(module),
            WastDirective::AssertException { .. } | WastDirective::AssertSuspension { .. } => {
                Err(format!("`{}` is not supported yet", keyword(directive)))
            }
            WastDirective::Thread(thread) => self.thread(thread, line),
            WastDirective::Wait { thread, .. } => match self.threads.remove(thread.name()) {
                true => Ok(()),
                false => Err(format!("no thread `{}` was run", thread.name())),
            },
        }
    }

    /// Runs all of a thread's directives, in a store of its own. Nothing is shared between stores,
    /// so nobody can tell that it has ended before the next directive.
    fn thread(
        &mut self,
        thread: &mut WastThread<'_>,
        line: &dyn Fn(Span) -> usize,
    ) -> Result<(), String> {
        if let Some(module) = thread.shared_module {
            let name = module.name();
            return Err(format!(
                "the thread shares the module `{name}`: shared memories are not supported yet"
            ));
        }
        let child = Session::new(&self.engine, self.lacking, self.epochs);
        let mut child = child.map_err(|error| format!("no module `spectest`: {error:#}"))?;
        let mut failures = Vec::new();
        for directive in &mut thread.directives {
            let span = directive.span();
            if let Err(message) = child.run(directive, line) {
                failures.push(format!("line {}: {}: {message}", line(span), keyword(directive)));
            }
        }
        self.is_interrupted |= child.is_interrupted;
        self.threads.insert(thread.name.name().to_string());
        if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
    }

    /// Compiles a module, and remembers it for `module instance`.
    fn define(&mut self, quote: &mut QuoteWat<'_>) -> Result<Module, String> {
        if is_component(quote) {
            return Err(COMPONENT.into());
        }
        let bytes = quote.encode().map_err(refused)?;
        let module = Module::from_binary(&self.engine, &bytes);
        let module = module.map_err(|error| format!("refused: {error:#}"))?;
        if let Some(name) = quote.name() {
            self.definitions.insert(name.name().to_string(), module.clone());
        }
        self.definition = Some(module.clone());
        Ok(module)
    }

    fn instantiate(&mut self, name: Option<Id<'_>>, module: &Module) -> Result<(), Stopped> {
        let instance = self.linker.instantiate(&mut self.store, module);
        let instance = instance.map_err(|error| self.stopped(error))?;
        if let Some(name) = name {
            let name = name.name();
            self.instances.insert(name.to_string(), instance);
            // Wasmtime's scripts import from such a name. One that is registered stays what it is.
            if !self.registered.contains(name) {
                self.linker.instance(&mut self.store, name, instance)?;
            }
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
        if matches!(module, Wat::Component(_)) {
            return Err(Stopped::Script(COMPONENT.into()));
        }
        let bytes = module.encode().map_err(refused)?;
        let module = Module::from_binary(&self.engine, &bytes);
        // What does not compile has neither trapped nor failed to link.
        let module = module.map_err(|error| format!("refused: {error:#}"))?;
        let instance = self.linker.instantiate(&mut self.store, &module);
        instance.map_err(|error| self.stopped(error))?;
        Ok(Vec::new())
    }

    fn invoke(&mut self, invoke: &WastInvoke<'_>) -> Result<Vec<Val>, Stopped> {
        let instance = self.instance(invoke.module)?;
        let func = instance.get_func(&mut self.store, invoke.name);
        let func = func.ok_or_else(|| format!("no function `{}` is exported", invoke.name))?;
        let args = invoke.args.iter().map(|arg| values::argument(arg, &mut self.store));
        let args = args.collect::<Result<Vec<_>, _>>()?;
        let mut results = vec![Val::I32(0); func.ty(&self.store).results().len()];
        let called = func.call(&mut self.store, &args, &mut results);
        called.map_err(|error| self.stopped(error))?;
        Ok(results)
    }

    fn expect_refused(&self, quote: &mut QuoteWat<'_>) -> Result<(), String> {
        if is_component(quote) {
            return Err(COMPONENT.into());
        }
        let Ok(bytes) = quote.encode() else {
            return Ok(());
        };
        match Module::from_binary(&self.engine, &bytes) {
            Ok(_) => Err("the module was accepted".into()),
            Err(error) if error.kind() == ErrorKind::Unsupported && !self.lacking.is_empty() => {
                Err(format!("refused, but for lack of support only: {error:#}"))
            }
            Err(error) if matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Unsupported) => {
                Ok(())
            }
            Err(error) => Err(format!("refused, but as {:?}: {error:#}", error.kind())),
        }
    }
}

/// What is said of components, wherever they are.
pub(crate) const COMPONENT: &str = "components are not supported yet";

fn is_component(quote: &QuoteWat<'_>) -> bool {
    matches!(quote, QuoteWat::Wat(Wat::Component(_)) | QuoteWat::QuoteComponent(..))
}

/// The parser's message without the text that it quotes, which may be the whole module.
fn refused(error: wast::Error) -> String {
    format!("refused as text: {}", error.message())
}
