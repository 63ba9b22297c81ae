//! A running script: its store, the instances that it named, and the directives.

use crate::expect::{self, Stopped};
use crate::{Options, keyword, refusal, run_one, script, spectest, values};
use precompile::{
    AsContextMut, Engine, Error, Extern, Instance, Linker, Module, Result, RootScope, SharedMemory,
    Store, Trap, Val,
};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use wast::token::Id;
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
    /// Modules that the thread shares with the one that started it: their shared memories.
    shared: HashMap<String, SharedMemories>,
    /// Threads that nobody has waited for yet, by name.
    threads: HashMap<String, Thread>,
    /// Whether the script is about what the engine does not have.
    lacks: bool,
    options: Options,
    /// An engine without any proposal, once it was needed.
    without_proposals: Option<Engine>,
    /// Whether they are over, for the script or for one of its threads: all share it.
    is_interrupted: Arc<AtomicBool>,
}

/// Shared memories by the names under which a module exports them.
type SharedMemories = Vec<(String, SharedMemory)>;

/// A thread that runs, or has.
struct Thread {
    /// Where it is in the script.
    line: usize,
    /// What failed there.
    failures: JoinHandle<Vec<String>>,
}

/// The stack of a thread.
const STACK: usize = 8 << 20;

impl Session {
    /// With nothing but the host's modules in it, for a script that is about what the engine does
    /// not have if it `lacks` something.
    pub(crate) fn new(engine: &Engine, lacks: bool, options: &Options) -> Result<Self> {
        let mut store = Store::new(engine, ());
        // Where it is looked at, there is enough.
        let _ = store.set_fuel(u64::MAX);
        store.set_epoch_deadline(options.epochs.unwrap_or(u64::MAX));
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
            shared: HashMap::new(),
            threads: HashMap::new(),
            lacks,
            options: options.clone(),
            without_proposals: None,
            is_interrupted: Arc::default(),
        })
    }

    /// Whether the epochs of the script are over, so that nothing more of it can run.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.is_interrupted.load(Ordering::Relaxed)
    }

    /// Why a directive ended, noted if it is that the script took too long.
    fn stopped(&mut self, error: Error) -> Stopped {
        if error.downcast_ref() == Some(&Trap::Interrupt) {
            self.is_interrupted.store(true, Ordering::Relaxed);
        }
        Stopped::Engine(error)
    }

    /// Runs a directive, which is `text` and starts in that line of the script.
    ///
    /// # Errors
    /// What went otherwise than it says.
    pub(crate) fn run(
        &mut self,
        directive: &mut WastDirective<'_>,
        text: &str,
        line: usize,
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
            WastDirective::Register { name, module: Some(module), .. }
                if self.shared.contains_key(module.name())
                    && !self.instances.contains_key(module.name()) =>
            {
                let memories = self.shared[module.name()].clone();
                self.registered.insert(name.to_string());
                self.define_shared(name, memories)
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
            WastDirective::AssertMalformed { module, message, .. }
            | WastDirective::AssertMalformedCustom { module, message, .. }
            | WastDirective::AssertInvalid { module, message, .. }
            | WastDirective::AssertInvalidCustom { module, message, .. } => {
                self.expect_refused(module, message)
            }
            WastDirective::AssertException { exec, .. } => expect::exception(self.execute(exec)),
            WastDirective::AssertSuspension { .. } => {
                Err(format!("`{}` is not supported yet", keyword(directive)))
            }
            WastDirective::Thread(thread) => self.start(thread, text, line),
            WastDirective::Wait { thread, .. } => match self.threads.remove(thread.name()) {
                Some(thread) => all(thread.join()),
                None => Err(format!("no thread `{}` was run", thread.name())),
            },
        }
    }

    /// That the only result is that NaN.
    pub(crate) fn expect_nan(
        &mut self,
        exec: &mut WastExecute<'_>,
        nan: values::Nan,
    ) -> Result<(), String> {
        let found = self.execute(exec)?;
        values::compare_nan(&found, nan, &self.store)
    }

    /// Starts a thread that runs the directives in `text`, in a store of its own.
    fn start(&mut self, thread: &WastThread<'_>, text: &str, line: usize) -> Result<(), String> {
        let name = thread.name.name().to_string();
        if self.threads.contains_key(&name) {
            return Err(format!("nobody has waited for the thread `{name}` before this one"));
        }
        let child = Session::new(&self.engine, self.lacks, &self.options);
        let mut child = child.map_err(|error| format!("no module `spectest`: {error:#}"))?;
        child.is_interrupted = Arc::clone(&self.is_interrupted);
        if let Some(module) = thread.shared_module {
            let memories = self.shared_memories(module)?;
            // As an instance of that name would be.
            child.define_shared(module.name(), memories.clone())?;
            child.shared.insert(module.name().to_string(), memories);
        }
        let text = text.to_string();
        let run = move || {
            let mut failures = Vec::new();
            for form in script::inside(&text) {
                if child.is_interrupted() {
                    failures.push(NOT_RUN.to_string());
                    break;
                }
                if let Err(message) = run_one(&mut child, &form, &text, line) {
                    let line = form.line(&text) - 1 + line;
                    failures.push(format!("line {line}: {}: {message}", form.keyword()));
                }
            }
            let threads = child.finish().into_iter();
            failures
                .extend(threads.map(|(line, message)| format!("line {line}: thread: {message}")));
            failures
        };
        let builder = thread::Builder::new().stack_size(STACK);
        let failures = builder.spawn(run).map_err(|error| format!("no thread: {error}"))?;
        self.threads.insert(name, Thread { line, failures });
        Ok(())
    }

    /// Waits for all threads that nobody has waited for: where they are, and what failed.
    pub(crate) fn finish(&mut self) -> Vec<(usize, String)> {
        let threads = self.threads.drain();
        let mut failed: Vec<_> = threads
            .filter_map(|(_, thread)| {
                let line = thread.line;
                all(thread.join()).err().map(|message| (line, message))
            })
            .collect();
        failed.sort();
        failed
    }

    /// What other threads can have of a module.
    fn shared_memories(&mut self, module: Id<'_>) -> Result<SharedMemories, String> {
        if !self.instances.contains_key(module.name())
            && let Some(memories) = self.shared.get(module.name())
        {
            return Ok(memories.clone());
        }
        let instance = self.instance(Some(module))?;
        let exports = instance.exports(&mut self.store).filter_map(|export| {
            let name = export.name().to_string();
            Some((name, export.into_extern().into_shared_memory()?))
        });
        Ok(exports.collect())
    }

    fn define_shared(&mut self, module: &str, memories: SharedMemories) -> Result<(), String> {
        for (name, memory) in memories {
            let memory = Extern::SharedMemory(memory);
            let defined = self.linker.define(&self.store, module, &name, memory);
            defined.map(drop).map_err(|error| format!("{error:#}"))?;
        }
        Ok(())
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
        // Arguments are the module's alone from the call on, and whatever it does not keep is
        // collected before anybody looks at it again.
        let mut scope = RootScope::new(&mut self.store);
        let args = invoke.args.iter().map(|arg| values::argument(arg, &mut scope));
        let args = args.collect::<Result<Vec<_>, _>>()?;
        let mut results = vec![Val::I32(0); func.ty(&scope).results().len()];
        scope.as_context_mut().gc(None)?;
        let called = func.call(&mut scope, &args, &mut results);
        let mut kept = Vec::new();
        for result in &results {
            let reference = result.extern_ref().flatten();
            kept.push(reference.map(|found| found.to_owned_rooted(&mut scope)).transpose()?);
        }
        drop(scope);
        called.map_err(|error| self.stopped(error))?;
        self.store.gc(None)?;
        for (result, kept) in results.iter_mut().zip(kept) {
            if let Some(kept) = kept {
                *result = kept.to_rooted(&mut self.store).into();
            }
        }
        Ok(results)
    }

    /// That a module is refused, for which `expected` is the text.
    fn expect_refused(&mut self, quote: &mut QuoteWat<'_>, expected: &str) -> Result<(), String> {
        if is_component(quote) {
            return Err(COMPONENT.into());
        }
        let Ok(bytes) = quote.encode() else {
            return Ok(());
        };
        let found = refusal::expect(&self.engine, &bytes, self.lacks);
        if found.is_err() && self.options.earlier_versions {
            let engine = match self.without_proposals.take() {
                Some(engine) => engine,
                None => refusal::without_proposals().map_err(|error| format!("{error:#}"))?,
            };
            let engine = self.without_proposals.insert(engine);
            if refusal::is_of_earlier_version(engine, &bytes, expected) {
                return Ok(());
            }
        }
        found
    }
}

impl Thread {
    /// Waits for its end; what failed.
    fn join(self) -> Vec<String> {
        let panicked = |_| vec!["the thread panicked".to_string()];
        self.failures.join().unwrap_or_else(panicked)
    }
}

fn all(failures: Vec<String>) -> Result<(), String> {
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
}

/// What is said of the rest of a script whose epochs are over.
pub(crate) const NOT_RUN: &str = "not run: the script took too long before";

/// What is said of components, wherever they are.
pub(crate) const COMPONENT: &str = "components are not supported yet";

fn is_component(quote: &QuoteWat<'_>) -> bool {
    matches!(quote, QuoteWat::Wat(Wat::Component(_)) | QuoteWat::QuoteComponent(..))
}

/// The parser's message without the text that it quotes, which may be the whole module.
fn refused(error: wast::Error) -> String {
    format!("refused as text: {}", error.message())
}
