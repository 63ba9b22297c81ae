//! Running a WASI command through the cache.

use super::{limit, modules, values};
use crate::args::{self, Run};
use crate::report::{self, Printer};
use crate::{input, plan, trusted};
use precompile::cache::{Mode, to_hex};
use precompile::{
    Context, Engine, Error, ErrorKind, ExternType, Func, Linker, Load, MemoryType, Miss, Module,
    Outcome, Report, Result, Store, Trap, Val, WasmBacktrace,
};
use precompile_wasi::{DirPerms, FilePerms, I32Exit, WasiCtx, WasiCtxBuilder, add_to_linker};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

pub(super) const TRAP: u8 = 134;
const MISS: u8 = 124;
const OURS: u8 = 125;

pub(crate) fn run(args: &Run) -> ExitCode {
    let printer = Printer::new(&args.output);
    let Some((wanted, guest)) = Wanted::of(args) else { return ExitCode::from(OURS) };
    let shown = wanted.shown();
    let file = Path::new(&shown);
    let guest: Option<Vec<&str>> = guest.iter().map(|arg| arg.to_str()).collect();
    let result = match guest {
        Some(guest) => go(args, &wanted, file, &guest, &printer),
        None => Err(Error::msg("an argument is not UTF-8, which all are in WASI")),
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return exit.process_exit_code();
    }
    let mut text = explain(&error, file);
    if let Some(end) = limit::explain(args, &error) {
        text = format!("{end}: {text}");
    }
    if error.kind() == ErrorKind::Miss {
        text += &wanted.advice(args.require_hit, &limit::warming(args));
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => limit::tell(file, text),
        _ => report::error(Some(file), text),
    }
    ExitCode::from(match error.kind() {
        ErrorKind::Trap | ErrorKind::Exception => TRAP,
        ErrorKind::Miss => MISS,
        _ => OURS,
    })
}

/// What to run.
enum Wanted<'a> {
    File(&'a Path),
    Name(&'a str),
    Digest([u8; 32]),
}

impl Wanted<'_> {
    /// What the arguments say, and those that belong to the guest.
    fn of(args: &Run) -> Option<(Wanted<'_>, &[OsString])> {
        if let Some(name) = &args.name {
            return Some((Wanted::Name(name), &args.guest));
        }
        if let Some(digest) = &args.digest {
            return Some((Wanted::Digest(digest.0), &args.guest));
        }
        let (file, guest) = args.guest.split_first()?;
        Some((Wanted::File(Path::new(file)), guest))
    }

    fn shown(&self) -> OsString {
        match self {
            Wanted::File(path) => path.as_os_str().to_owned(),
            Wanted::Name(name) => name.into(),
            Wanted::Digest(digest) => to_hex(digest).into(),
        }
    }

    fn load(&self, engine: &Engine) -> Result<(Module, Report)> {
        match self {
            Wanted::File(file) => load(engine, file),
            Wanted::Name(name) => Module::from_name_reported(engine, name),
            Wanted::Digest(digest) => Module::from_digest_reported(engine, *digest),
        }
    }

    /// What to do about a miss.
    fn advice(&self, require_hit: bool, options: &str) -> String {
        let (what, way_out) = match self {
            Wanted::Name(_) => ("--names FILE|DIR", "run the file"),
            Wanted::Digest(_) => ("FILE", "run the file"),
            Wanted::File(_) if require_hit => ("FILE", "run without --require-hit"),
            Wanted::File(_) => ("FILE", "unset PRECOMPILE_CACHE_MODE, which is require-hit"),
        };
        let also = match self {
            Wanted::File(_) => "which also tells whether the module is valid, ",
            _ => "",
        };
        format!("; warm the cache with `precompile {options}{what}`, {also}or {way_out}")
    }
}

/// The chain of messages without what is said anyway, and behind it where wasm was.
fn explain(error: &Error, file: &Path) -> String {
    let backtrace = error.downcast_ref::<WasmBacktrace>();
    let trace = backtrace.map(ToString::to_string);
    let prefix = format!("cannot load {}", file.display());
    let chain = error.chain().filter(|text| trace.as_ref() != Some(text) && *text != prefix);
    let mut text = modules::worded(file, &chain.collect::<Vec<_>>().join(": "));
    text += match error.kind() {
        ErrorKind::Link => "; only functions of wasi_snapshot_preview1 are there to be imported",
        _ => "",
    };
    let is_outside = backtrace.is_some_and(|backtrace| backtrace.frames().is_empty());
    if is_outside && error.downcast_ref() == Some(&Trap::StackOverflow) {
        text += " before any wasm was entered: the stack of this process has no room beside what the \
                 host itself needs; raise its limit, `ulimit -s`";
    }
    if let Some(trace) = trace.filter(|_| !is_outside) {
        text += "\n";
        text += &trace;
    }
    text
}

fn go(
    args: &Run,
    wanted: &Wanted<'_>,
    file: &Path,
    guest: &[&str],
    printer: &Printer,
) -> Result<()> {
    let layers = plan::run_layers(&args.layers, &args.trust);
    let mut layers = layers.map_err(|usage| Error::msg(usage.to_string()))?;
    if args.require_hit {
        layers = layers.mode(Mode::RequireHit);
    }
    let mut config = plan::run_config(args).map_err(|usage| Error::msg(usage.0))?;
    trusted::attach(&mut config, layers).load(match args.load {
        args::Load::Map => Load::Map,
        args::Load::Copy => Load::Copy,
    });
    let engine = Engine::new(&config)?;
    let loaded = wanted.load(&engine);
    tell_problems(&engine, loaded.as_ref().ok().map(|(_, report)| report), printer);
    let (module, report) = loaded?;

    let start = Instant::now();
    let mut store = Store::new(&engine, context(args, file, guest)?);
    let clock = limit::start(args, file, &engine, &mut store)?;
    let mut linker = Linker::new(&engine);
    add_to_linker(&mut linker, |wasi: &mut WasiCtx| wasi)?;
    let call = find(&module, args.invoke.as_deref())?;
    refuse_shared(&module)?;
    let instance = linker.instantiate(&mut store, &module);
    if printer.verbose {
        let took = start.elapsed();
        let (outcome, times) = (report::outcome(&report.outcome), report::times(&report));
        report::error(None, outcome);
        report::error(None, format_args!("{times}, instantiate {took:.2?}"));
        report::error(None, format_args!("compiles: {}", engine.compile_count()));
    }
    let instance = instance?;
    let func = instance
        .get_func(&mut store, call)
        .with_context(|| format!("the export `{call}` is not a function"))?;
    let results = match &args.invoke {
        None => func.call(&mut store, &[], &mut []).map(|()| Vec::new())?,
        Some(_) => {
            // Libraries of WASI set themselves up there.
            if let Some(initialize) = instance.get_func(&mut store, "_initialize") {
                initialize.call(&mut store, &[], &mut [])?;
            }
            invoke(&mut store, func, guest)?
        }
    };
    // The guest has ended; whoever reads the results may take any time.
    drop(clock);
    let text: String = results.iter().map(|value| values::show(value) + "\n").collect();
    report::data(&text).context("cannot write the results")
}

fn load(engine: &Engine, file: &Path) -> Result<(Module, Report)> {
    if input::is_stdin(file) {
        let bytes = input::read(file).map_err(Error::msg)?;
        input::refuse_compiled(&bytes).map_err(Error::msg)?;
        return Module::new_reported(engine, &bytes);
    }
    // Refuses what would be waited for. The engine opens it again, and reads it only if it has to.
    let opened = input::open(file).map(input::refuse_compiled_file);
    if let Ok(Err(problem)) = opened {
        return Err(Error::msg(problem));
    }
    if let Err(mut problem) = opened {
        if let Some(name) = file.to_str().filter(|name| engine.resolve(name).is_ok()) {
            problem += &format!("; the cache has a module of this name: --name {name}");
        }
        return Err(Error::msg(problem));
    }
    Module::from_file_reported(engine, file)
}

/// A cache that does not open changes nothing in a run that hits; who waits for a compiler should
/// know why. What the environment asks for and does not get is told in any case.
fn tell_problems(engine: &Engine, report: Option<&Report>, printer: &Printer) {
    let is_hit = report.is_some_and(|report| matches!(report.outcome, Outcome::Hit { .. }));
    let is_silent = is_hit && !printer.verbose;
    for problem in engine.cache_problems() {
        if !is_silent || plan::is_of_environment(problem) {
            printer.warning(problem);
        }
    }
    if engine.cache_stats().is_some_and(|stats| stats.record_failures > 0) {
        printer.warning(
            "PRECOMPILE_RECORD: what was loaded is not recorded, since the record is full or cannot \
             be written; at 64 MiB warm from it, and empty it",
        );
    }
    if is_silent {
        return;
    }
    // Somebody may have tampered with it, or forgotten to sign it.
    if let Some(Outcome::Compiled { miss: Some(Miss::Untrusted(what)) }) =
        report.map(|report| &report.outcome)
        && !engine.cache_problems().iter().any(|problem| problem.error.to_string() == *what)
    {
        printer.warning(what);
    }
    if let Some(failure) = report.and_then(|report| report.add_failure.as_ref()) {
        printer.warning(format_args!("not cached: {failure}"));
    }
}

fn context(args: &Run, file: &Path, guest: &[&str]) -> Result<WasiCtx> {
    let mut wasi = WasiCtxBuilder::new();
    let name = file.file_name().unwrap_or(file.as_os_str());
    wasi.inherit_stdio().arg(name.to_string_lossy());
    if args.invoke.is_none() {
        wasi.args(guest);
    }
    for variable in &args.env {
        let (name, value) = match variable.split_once('=') {
            Some((name, value)) => (name, value.to_string()),
            None => (
                variable.as_str(),
                std::env::var(variable).with_context(|| {
                    format!("--env {variable}: the host has no such variable; give a value")
                })?,
            ),
        };
        wasi.env(name, value);
    }
    for dir in &args.dirs {
        let (host, guest) = dir.split_once("::").unwrap_or((dir, dir));
        wasi.preopened_dir(host, guest, DirPerms::all(), FilePerms::all())
            .with_context(|| format!("--dir {dir}: cannot open the folder `{host}`"))?;
    }
    Ok(wasi.build())
}

/// The export to call, if the module has it. Asked before anything of the module runs.
fn find<'a>(module: &Module, invoke: Option<&'a str>) -> Result<&'a str> {
    let name = invoke.unwrap_or("_start");
    let shown = report::name(name);
    match (module.get_export(name), invoke) {
        (Some(ExternType::Func(ty)), None) if ty.params().len() + ty.results().len() > 0 => Err(
            Error::msg(format!("`_start` takes or returns values ({ty}), so this is no command")),
        ),
        (Some(ExternType::Func(_)), _) => Ok(name),
        (Some(ty), _) => Err(Error::msg(format!("the export `{shown}` is a {ty}, not a function"))),
        (None, _) => {
            let all = module.exports();
            let functions = all.filter(|export| export.ty().func().is_some());
            let names: Vec<_> =
                functions.map(|export| format!("`{}`", report::name(export.name()))).collect();
            let others = match names.len() {
                0 => "it exports no function at all".to_string(),
                1..=20 => format!("it exports {}", names.join(", ")),
                count => format!("it exports {count} functions, the first is {}", names[0]),
            };
            Err(Error::msg(match invoke {
                None => format!(
                    "no `_start`, so this is no command; call a function with --invoke: {others}"
                ),
                Some(_) => format!("there is no export `{shown}`: {others}"),
            }))
        }
    }
}

/// A memory to share would be found nowhere, and that it is not defined is not the point.
fn refuse_shared(module: &Module) -> Result<()> {
    let mut imports = module.imports();
    let shared = imports.find(|i| i.ty().memory().is_some_and(MemoryType::is_shared));
    let Some(import) = shared else { return Ok(()) };
    Err(Error::msg(format!(
        "it imports a {}, `{}::{}`: `run` starts no threads, and has no memory to share; such \
         modules are run by apps of their own",
        import.ty(),
        report::name(import.module()),
        report::name(import.name())
    )))
}

fn invoke(store: &mut Store<WasiCtx>, func: Func, words: &[&str]) -> Result<Vec<Val>> {
    let ty = func.ty(&*store);
    // No value is spelled like that: it is there to keep negative numbers from being options.
    let words = words.strip_prefix(&["--"]).unwrap_or(words);
    if words.len() != ty.params().len() {
        let (need, have) = (ty.params().len(), words.len());
        let plural = if need == 1 { "" } else { "s" };
        let shown: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
        let shown = match have {
            0 => String::new(),
            _ => format!(": {}", shown.join(" ")),
        };
        let are = if have == 1 { "is" } else { "are" };
        let message = format!("{ty} takes {need} argument{plural}, there {are} {have}{shown}");
        return Err(Error::msg(message));
    }
    let params: Vec<Val> = ty
        .params()
        .zip(words)
        .enumerate()
        .map(|(i, (ty, word))| {
            values::parse(ty, word).map_err(|why| Error::msg(format!("argument {}: {why}", i + 1)))
        })
        .collect::<Result<_>>()?;
    let mut results: Vec<Val> = ty.results().map(Val::default_for_ty).collect();
    func.call(store, &params, &mut results)?;
    Ok(results)
}
