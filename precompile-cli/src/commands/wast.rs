//! Runs scripts of tests.

use super::{FAILED, FINE, USAGE, written};
use crate::args::{Format, Wast};
use crate::input::{self, Input};
use crate::plan::{self, Usage};
use crate::report::{self, Printer, SCHEMA_VERSION};
use precompile::{Config, Engine, Features};
use precompile_wast::{Failure, Header, Outcome};
use serde_json::{Value, json};
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Instant;

/// Of a thread that runs scripts: the parser and the compiler go as deep as a script is nested.
const STACK: usize = 64 << 20;

pub(crate) fn wast(args: &Wast) -> u8 {
    let mut printer = Printer::new(&args.output);
    let engines = match Engines::new(args) {
        Ok(engines) => engines,
        Err(usage) => {
            report::error(None, usage);
            return USAGE;
        }
    };
    let start = Instant::now();
    let inputs = input::expand_scripts(&args.scripts);
    let mut summary = Summary::default();
    let mut rows = Vec::new();
    printer.progress(inputs.len() as u64);
    each(&inputs, args.jobs, &engines, |input, outcome| {
        tell(&printer, input, &outcome);
        summary.note(&outcome);
        if args.format == Format::Json {
            rows.push(row(input, &outcome));
        }
        printer.advance();
    });
    printer.finish();
    printer.status("Finished", format!("{} in {:.2?}", summary.line(), start.elapsed()));
    let code = if summary.failed_scripts == 0 { FINE } else { FAILED };
    if args.format == Format::Text {
        return code;
    }
    let document = json!({
        "schema_version": SCHEMA_VERSION,
        "command": "wast",
        "scripts": rows,
        "summary": {
            "scripts": summary.scripts,
            "failed_scripts": summary.failed_scripts,
            "directives": summary.directives,
            "passed": summary.directives - summary.failures,
            "failed": summary.failures,
            "seconds": start.elapsed().as_secs_f64(),
        },
    });
    written(report::json(&document), code)
}

/// What scripts may ask for: proposals, and whether NaNs are canonical.
type Asked = (Features, Option<bool>);

/// The engines of all scripts: those that ask for the same settings share one.
struct Engines {
    config: Config,
    features: Features,
    /// Whether scripts may ask for proposals: not if the command line names them.
    follow: bool,
    made: Mutex<Vec<(Asked, Engine)>>,
}

impl Engines {
    fn new(args: &Wast) -> Result<Engines, Usage> {
        let variants = plan::variants(&args.code)?;
        let [variant] = &variants[..] else {
            return Err(Usage("scripts run one way at a time: name one --cpu".to_string()));
        };
        if precompile::Target::host() != Some(variant.target) {
            return Err(Usage(format!("scripts run here, which is not {}", variant.target)));
        }
        let mut config = variant.config.clone();
        // Scripts are what is done at the same time, not the functions of a module.
        config.parallel_compilation(args.jobs == 1);
        let engines = Engines {
            config,
            features: plan::features(args.code.tuning.features.as_deref())?,
            follow: args.code.tuning.features.is_none(),
            made: Mutex::default(),
        };
        // What cannot be is found out before anything runs.
        engines.get((engines.features, None)).map_err(Usage)?;
        Ok(engines)
    }

    fn get(&self, key: Asked) -> Result<Engine, String> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, engine)) = made.iter().find(|(known, _)| *known == key) {
            return Ok(engine.clone());
        }
        let mut config = self.config.clone();
        config.features(key.0);
        if let Some(on) = key.1 {
            config.cranelift_nan_canonicalization(on);
        }
        let engine = Engine::new(&config).map_err(|error| format!("{error:#}"))?;
        made.push((key, engine.clone()));
        Ok(engine)
    }

    fn run(&self, input: &Input) -> Result<Outcome, String> {
        let source = String::from_utf8(input.read()?).map_err(|error| {
            format!("it is not UTF-8 from byte {} on", error.utf8_error().valid_up_to())
        })?;
        let header = Header::parse(&source);
        let features = if self.follow { header.features(self.features) } else { self.features };
        let engine = self.get((features, header.nan_canonicalization()))?;
        Ok(precompile_wast::run(&engine, &source))
    }
}

/// Runs all scripts on `jobs` threads, and tells of each in their order.
fn each(
    inputs: &[Input],
    jobs: usize,
    engines: &Engines,
    mut tell: impl FnMut(&Input, Result<Outcome, String>),
) {
    let jobs = match jobs {
        0 => thread::available_parallelism().map_or(1, NonZero::get),
        jobs => jobs,
    };
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..jobs.min(inputs.len()) {
            let (sender, next) = (sender.clone(), &next);
            let work = move || {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some(input) = inputs.get(i) else { return };
                    // Nobody listens any more only where telling panicked.
                    _ = sender.send((i, engines.run(input)));
                }
            };
            let worker = thread::Builder::new().stack_size(STACK);
            if worker.spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        drop(sender);
        let mut waiting: Vec<Option<Result<Outcome, String>>> = Vec::new();
        waiting.resize_with(inputs.len(), || None);
        let mut told = 0;
        for (i, outcome) in receiver {
            waiting[i] = Some(outcome);
            while let Some(outcome) = waiting.get_mut(told).and_then(Option::take) {
                tell(&inputs[told], outcome);
                told += 1;
            }
        }
        for input in &inputs[told..] {
            tell(input, Err("there was no thread to run it".to_string()));
        }
    });
}

fn tell(printer: &Printer, input: &Input, outcome: &Result<Outcome, String>) {
    let path = input.path.display();
    match outcome {
        Ok(outcome) => {
            for failure in &outcome.failures {
                printer.finding(format_args!("{path}:{}: {}", failure.line, said(failure)));
            }
            let (all, failed) = (outcome.directives, outcome.failures.len());
            printer.detail(format_args!("{path}: {all} directives, {failed} failed"));
        }
        Err(problem) => printer.error(&input.path, problem),
    }
}

/// What is said about a failure, on one line.
fn said(failure: &Failure) -> String {
    const LIMIT: usize = 600;
    let message: Vec<_> = failure.message.split_whitespace().collect();
    let mut text = format!("{}: {}", failure.directive, message.join(" "));
    if let Some((end, _)) = text.char_indices().nth(LIMIT) {
        text.truncate(end);
        text.push('…');
    }
    text
}

fn row(input: &Input, outcome: &Result<Outcome, String>) -> Value {
    let path = input.path.display().to_string();
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(problem) => return json!({ "path": path, "passed": false, "error": problem }),
    };
    let failures = outcome.failures.iter().map(|failure| {
        let Failure { line, directive, message } = failure;
        json!({ "line": line, "directive": directive, "message": message })
    });
    json!({
        "path": path,
        "passed": outcome.failures.is_empty(),
        "directives": outcome.directives,
        "failures": failures.collect::<Vec<_>>(),
    })
}

/// How many of what.
#[derive(Default)]
struct Summary {
    scripts: usize,
    failed_scripts: usize,
    directives: usize,
    failures: usize,
}

impl Summary {
    fn note(&mut self, outcome: &Result<Outcome, String>) {
        self.scripts += 1;
        let failed = outcome.as_ref().map_or(true, |outcome| !outcome.failures.is_empty());
        self.failed_scripts += usize::from(failed);
        if let Ok(outcome) = outcome {
            self.directives += outcome.directives;
            self.failures += outcome.failures.len();
        }
    }

    fn line(&self) -> String {
        let scripts = if self.scripts == 1 { "script" } else { "scripts" };
        format!(
            "{} {scripts}, {} failed: {} directives passed, {} failed",
            self.scripts,
            self.failed_scripts,
            self.directives - self.failures,
            self.failures
        )
    }
}
