//! What `warm` and `check` share: going through modules and variants, and telling of each.

use crate::input::Input;
use crate::plan::Variant;
use crate::report::{self, Printer};
use crate::rows::{Document, MissRow, Row};
use precompile::cache::to_hex;
use precompile::{Config, Engine, Error, ErrorKind, Miss, Module, Outcome, Report, Result};
use std::path::Path;

/// One way to compile, with an engine that does.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) variant: Variant,
    pub(crate) engine: Engine,
}

impl Job {
    /// The level of processors: of the host's, the one of the entry that was found.
    pub(crate) fn level(&self, report: Option<&Report>) -> String {
        let found = report.filter(|_| self.variant.is_host).and_then(|report| {
            let explained = self.engine.explain_digest(report.digest?);
            let wanted =
                explained.wanted.into_iter().find(|wanted| Some(wanted.id) == report.id)?;
            wanted.settings.get("cpu").map(String::from)
        });
        found.unwrap_or_else(|| self.variant.cpu.to_string())
    }

    /// Why it missed; of a damaged entry, which one it is as well.
    pub(crate) fn miss(&self, report: &Report, miss: &Miss) -> MissRow {
        let row = MissRow::from(miss);
        let damaged = match (miss, report.digest) {
            (Miss::Corrupt, Some(digest)) => {
                let mut probes = self.engine.explain_digest(digest).probes.into_iter();
                probes.find(|probe| probe.result == "corrupt").and_then(|probe| probe.message)
            }
            _ => None,
        };
        match damaged {
            Some(message) => row.saying(message),
            None => row,
        }
    }

    /// What the code is for, for people.
    pub(crate) fn made_for(&self, report: Option<&Report>) -> String {
        let target = &self.variant.target;
        match self.variant.is_native() {
            true => format!("{target} (native)"),
            false => format!("{target} ({})", self.level(report)),
        }
    }
}

/// All `inputs` in all ways.
pub(crate) fn everything(inputs: Vec<Input>, jobs: &[Job]) -> Vec<(Input, Vec<usize>)> {
    inputs.into_iter().map(|input| (input, (0..jobs.len()).collect())).collect()
}

/// Goes through inputs, each with the numbers of its jobs: each file is read once, and `act` is called
/// for each variant of it.
pub(crate) fn each(
    command: &'static str,
    cache: Option<&Path>,
    inputs: &[(Input, Vec<usize>)],
    jobs: &[Job],
    printer: &mut Printer,
    mut act: impl FnMut(&Input, &Job, &[u8]) -> Result<Report>,
) -> Document {
    let mut document = Document::new(command, cache, inputs.len());
    printer.progress(inputs.len() as u64);
    for (input, numbers) in inputs {
        let path = input.path.display().to_string();
        printer.step(&report::shown(Path::new(&input.path.file_name().unwrap_or_default())));
        match input.read() {
            Ok(bytes) => {
                for job in numbers.iter().filter_map(|number| jobs.get(*number)) {
                    let done = act(input, job, &bytes).and_then(|report| match &report.outcome {
                        // Nothing was compiled, so nobody has looked at the module yet.
                        Outcome::Missed { .. } => {
                            Module::validate(&job.engine, &bytes).map(|()| report)
                        }
                        _ => Ok(report),
                    });
                    let is_bad = done.as_ref().is_err_and(|error| is_verdict(error.kind()));
                    document.note(Row::new(&path, job, &done));
                    tell(command, printer, input, job, &done);
                    if is_bad {
                        // It is bad for the other processors as well.
                        break;
                    }
                }
            }
            Err(problem) => {
                printer.error(&input.path, &problem);
                document.note(Row::unreadable(&path, &problem));
            }
        }
        printer.advance();
    }
    printer.finish();
    document.stop();
    document
}

/// The digest that the entries of a module are under, whichever settings they are of.
pub(crate) fn digest(bytes: &[u8]) -> std::result::Result<[u8; 32], String> {
    let engine = Engine::new(&Config::new()).map_err(|error| format!("{error:#}"))?;
    let report = engine.check(bytes).map_err(|error| format!("{error:#}"))?;
    report.digest.ok_or_else(|| "it has no digest".to_string())
}

/// Whether it is the module's fault, in whichever variant.
fn is_verdict(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Invalid | ErrorKind::Unsupported | ErrorKind::Limit)
}

/// Tells what became of one of them.
pub(crate) fn tell(
    command: &str,
    printer: &Printer,
    input: &Input,
    job: &Job,
    done: &Result<Report>,
) {
    let path = report::shown(&input.path);
    let made_for = job.made_for(done.as_ref().ok());
    match done {
        Ok(report) => {
            let id = report.id.map(|id| to_hex(&id)[..16].to_string()).unwrap_or_default();
            match &report.outcome {
                Outcome::Compiled { .. } => {
                    let (module, artifact) = (report.module_len, report.artifact_len);
                    let functions = match report.functions {
                        1 => "1 function".to_string(),
                        count => format!("{count} functions"),
                    };
                    let (module, artifact) = (report::size(module), report::size(artifact));
                    let line = format!("{path} {module}, {functions} -> {made_for}, {artifact}");
                    printer.status("Compiling", line);
                }
                Outcome::Missed { miss } => {
                    let word = if command == "check" { "Missing" } else { "To compile" };
                    let message = job.miss(report, miss).message;
                    printer.notice(word, format!("{path} -> {made_for}: {message}"));
                }
                _ => printer.status("Cached", format!("{path} {id} {made_for}")),
            }
            printer.detail(report::outcome(&report.outcome));
            printer.detail(report::times(report));
            if let Some(failure) = &report.add_failure {
                printer.error(&input.path, format_args!("not cached: {failure}"));
            }
        }
        Err(error) => tell_error(printer, &input.path, error),
    }
}

/// Tells why it could not be done with the file at `path`.
pub(crate) fn tell_error(printer: &Printer, path: &Path, error: &Error) {
    if !is_verdict(error.kind()) {
        return printer.error(path, format_args!("{error:#}"));
    }
    let message = worded(path, &format!("{error:#}"));
    printer.failure("Invalid", format!("{} {}", report::shown(path), cut(&message)));
}

/// What the engine says of the module at `path`, for people at a command line: errors about text have a
/// place in it, but no name of the file, and what apps do about proposals is nothing to do here.
pub(crate) fn worded(path: &Path, message: &str) -> String {
    let message = message.replace("<anon>:", &format!("{}:", report::shown(path)));
    message
        .replace("`Config::features` switches on, or `--features ", "switch on with `--features ")
}

/// A message with its lines cut to what a log can take: one about text quotes the line, which may
/// be the whole module. The first line has what is wrong and what to do about it.
fn cut(message: &str) -> String {
    const LIMIT: usize = 200;
    let lines = message.split('\n').enumerate().map(|(number, line)| {
        let limit = if number == 0 { 10 * LIMIT } else { LIMIT };
        match line.char_indices().nth(limit) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line.to_string(),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}
