//! Runs scripts of tests, each in a process that it may end.

mod engines;
mod worker;

use super::{FAILED, FINE, USAGE, written};
use crate::args::{Format, Wast};
use crate::input::{self, Input};
use crate::report::{self, Printer, SCHEMA_VERSION};
use engines::Engines;
use precompile_wast::{Failure, Outcome};
use serde_json::{Value, json};
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Once, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use worker::Worker;

/// Of a thread that runs scripts: the parser and the compiler go as deep as a script is nested.
const STACK: usize = 64 << 20;

/// How long a worker may take to end a script by itself, once the time is over.
const GRACE: Duration = Duration::from_secs(10);

/// How a script went.
#[derive(Debug)]
enum Done {
    Ran(Outcome),
    /// It is about these, which the engine does not have.
    Skipped(String),
    /// It could not be run.
    Failed(String),
}

pub(crate) fn wast(args: &Wast) -> u8 {
    let mut printer = Printer::new(&args.document.output);
    let engines = match Engines::new(args) {
        Ok(engines) => engines,
        Err(usage) => {
            report::error(None, usage);
            return USAGE;
        }
    };
    engines.start_clock();
    if args.worker {
        return serve(&engines);
    }
    let start = Instant::now();
    let inputs = input::expand_scripts(&args.scripts);
    let mut summary = Summary::default();
    let mut rows = Vec::new();
    printer.progress(inputs.len() as u64);
    each(&inputs, args, &engines, |input, outcome| {
        tell(&printer, input, &outcome);
        summary.note(&outcome);
        if args.document.format == Format::Json {
            rows.push(row(input, &outcome));
        }
        printer.advance();
    });
    printer.finish();
    printer.status("Finished", format!("{} in {:.2?}", summary.line(), start.elapsed()));
    let code = if summary.failed_scripts == 0 { FINE } else { FAILED };
    if args.document.format == Format::Text {
        return code;
    }
    let document = json!({
        "schema_version": SCHEMA_VERSION,
        "command": "wast",
        "scripts": rows,
        "summary": {
            "scripts": summary.scripts,
            "failed_scripts": summary.failed_scripts,
            "skipped_scripts": summary.skipped_scripts,
            "directives": summary.directives,
            "passed": summary.directives.saturating_sub(summary.failures),
            "failed": summary.failures,
            "seconds": start.elapsed().as_secs_f64(),
        },
    });
    written(report::json(&document), code)
}

/// Runs what comes in, on a stack that is deep enough.
fn serve(engines: &Engines) -> u8 {
    thread::scope(|scope| {
        let worker = thread::Builder::new().stack_size(STACK);
        let served = match worker.spawn_scoped(scope, || worker::serve(engines)) {
            Ok(thread) => {
                thread.join().unwrap_or_else(|_| Err(std::io::Error::other("it panicked")))
            }
            Err(error) => Err(error),
        };
        served.map_or_else(
            |error| {
                report::error(None, format_args!("no script can be run: {error}"));
                FAILED
            },
            |()| FINE,
        )
    })
}

/// Runs all scripts on several threads, and tells of each in their order.
fn each(inputs: &[Input], args: &Wast, engines: &Engines, mut tell: impl FnMut(&Input, Done)) {
    let jobs = match args.jobs {
        0 => thread::available_parallelism().map_or(1, NonZero::get),
        jobs => jobs,
    };
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..jobs.min(inputs.len()) {
            let (sender, next) = (sender.clone(), &next);
            let work = move || {
                let mut worker = None;
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some(input) = inputs.get(i) else { return };
                    // Nobody listens any more only where telling panicked.
                    _ = sender.send((i, run(input, args, engines, &mut worker)));
                }
            };
            let thread = thread::Builder::new().stack_size(STACK);
            if thread.spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        drop(sender);
        let mut waiting: Vec<Option<Done>> = Vec::new();
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
            tell(input, Done::Failed("there was no thread to run it".to_string()));
        }
    });
}

/// Runs a script in `worker`, which is started where it is missing.
fn run(input: &Input, args: &Wast, engines: &Engines, worker: &mut Option<Worker>) -> Done {
    let source = match input.read().map(String::from_utf8) {
        Err(problem) => return Done::Failed(problem),
        Ok(Err(error)) => {
            let valid = error.utf8_error().valid_up_to();
            return Done::Failed(format!("it is not UTF-8 from byte {valid} on"));
        }
        Ok(Ok(source)) => source,
    };
    let started = match worker.take() {
        Some(worker) => Ok(worker),
        None => Worker::start(),
    };
    let mut started = match started {
        Ok(started) => started,
        Err(error) => {
            static TOLD: Once = Once::new();
            TOLD.call_once(|| {
                report::warning(format_args!(
                    "no process can be started for scripts ({error}): they run in this one, which \
                     they may end, and --timeout counts with --epoch-interruption only"
                ));
            });
            return worker::run_here(engines, &source);
        }
    };
    // Where code looks at the epoch, a script that goes on and on ends by itself.
    let grace = if args.code.epoch_interruption { GRACE } else { Duration::ZERO };
    let (done, is_alive) = started.run(&source, args.limit().map(|limit| limit + grace));
    *worker = is_alive.then_some(started);
    done
}

fn tell(printer: &Printer, input: &Input, done: &Done) {
    let path = report::shown(&input.path);
    match done {
        Done::Ran(outcome) => {
            if outcome.directives == 0 {
                printer.warning(format_args!("{path}: it has 0 directives, so nothing was tested"));
            }
            for failure in &outcome.failures {
                printer.finding(format_args!("{path}:{}: {}", failure.line, said(failure)));
            }
            let (all, failed) = (outcome.directives, outcome.failures.len());
            printer.detail(format_args!("{path}: {all} directives, {failed} failed"));
        }
        Done::Skipped(what) => {
            printer.notice("Skipped", format_args!("{path}: it is about what is not here: {what}"));
        }
        Done::Failed(problem) => printer.error(&input.path, problem),
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

fn row(input: &Input, done: &Done) -> Value {
    let path = input.path.display().to_string();
    let outcome = match done {
        Done::Ran(outcome) => outcome,
        Done::Skipped(what) => return json!({ "path": path, "passed": false, "skipped": what }),
        Done::Failed(problem) => return json!({ "path": path, "passed": false, "error": problem }),
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
    skipped_scripts: usize,
    directives: usize,
    failures: usize,
}

impl Summary {
    fn note(&mut self, done: &Done) {
        self.scripts += 1;
        match done {
            Done::Ran(outcome) => {
                self.failed_scripts += usize::from(!outcome.failures.is_empty());
                self.directives += outcome.directives;
                self.failures += outcome.failures.len();
            }
            Done::Skipped(_) => self.skipped_scripts += 1,
            Done::Failed(_) => self.failed_scripts += 1,
        }
    }

    fn line(&self) -> String {
        let scripts = if self.scripts == 1 { "script" } else { "scripts" };
        let skipped = match self.skipped_scripts {
            0 => String::new(),
            count => format!(", {count} skipped"),
        };
        format!(
            "{} {scripts}, {} failed{skipped}: {} directives passed, {} failed",
            self.scripts,
            self.failed_scripts,
            self.directives.saturating_sub(self.failures),
            self.failures
        )
    }
}
