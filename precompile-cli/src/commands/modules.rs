//! What `warm` and `check` share: going through modules and variants, and telling of each.

use super::{CACHE, FAILED, FINE, MISS};
use crate::input::Input;
use crate::plan::Variant;
use crate::report::{self, ErrorRow, MissRow, Printer, SCHEMA_VERSION};
use precompile::cache::{from_hex, to_hex};
use precompile::{Engine, ErrorKind, Outcome, Report, Result};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::time::Instant;

/// One way to compile, with an engine that does.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) variant: Variant,
    pub(crate) engine: Engine,
}

/// What was done with a module in one variant.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    path: String,
    digest: Option<String>,
    id: Option<String>,
    target: Option<String>,
    cpu: Option<String>,
    outcome: &'static str,
    layer: Option<String>,
    entry: Option<String>,
    miss: Option<MissRow>,
    module_bytes: Option<u64>,
    artifact_bytes: Option<u64>,
    functions: Option<u32>,
    times_ns: BTreeMap<&'static str, u64>,
    error: Option<ErrorRow>,
    add_failure: Option<String>,
}

/// How many of what.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Summary {
    modules: usize,
    compiled: usize,
    hits: usize,
    missing: usize,
    failed: usize,
    add_failures: usize,
    artifact_bytes: u64,
    seconds: f64,
}

/// All that happened.
#[derive(Debug, Serialize)]
pub(crate) struct Document {
    schema_version: u32,
    command: &'static str,
    cache: Option<String>,
    modules: Vec<Row>,
    summary: Summary,
}

/// Goes through `inputs`: each file is read once, and `act` is called for each variant of it.
pub(crate) fn each(
    command: &'static str,
    cache: Option<&Path>,
    inputs: &[Input],
    jobs: &[Job],
    printer: &mut Printer,
    mut act: impl FnMut(&Job, &[u8]) -> Result<Report>,
) -> Document {
    let start = Instant::now();
    let mut document = Document {
        schema_version: SCHEMA_VERSION,
        command,
        cache: cache.map(|path| path.display().to_string()),
        modules: Vec::new(),
        summary: Summary { modules: inputs.len(), ..Summary::default() },
    };
    printer.progress(inputs.len() as u64);
    for input in inputs {
        let path = input.path.display().to_string();
        printer.step(&input.path.file_name().unwrap_or_default().to_string_lossy());
        match input.read() {
            Ok(bytes) => {
                for job in jobs {
                    let done = act(job, &bytes);
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
                let error = Some(ErrorRow::input(&problem));
                document.note(Row { path, outcome: "failed", error, ..Row::default() });
            }
        }
        printer.advance();
    }
    printer.finish();
    document.summary.seconds = start.elapsed().as_secs_f64();
    document
}

/// Whether it is the module's fault, in whichever variant.
fn is_verdict(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Invalid | ErrorKind::Unsupported | ErrorKind::Limit)
}

fn tell(command: &str, printer: &Printer, input: &Input, job: &Job, done: &Result<Report>) {
    let path = input.path.display();
    let made_for = match job.variant.is_native() {
        true => format!("{} (native)", job.variant.target),
        false => format!("{} ({})", job.variant.target, job.variant.cpu),
    };
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
                    printer.notice(word, format!("{path} -> {made_for}: {miss}"));
                }
                _ => printer.status("Cached", format!("{path} {id} {made_for}")),
            }
            printer.detail(report::outcome(&report.outcome));
            printer.detail(report::times(report));
            if let Some(failure) = &report.add_failure {
                printer.error(&input.path, format_args!("not cached: {failure}"));
            }
        }
        Err(error) if is_verdict(error.kind()) => {
            printer.failure("Invalid", format!("{path} {}", cut(&format!("{error:#}"))));
        }
        Err(error) => printer.error(&input.path, format_args!("{error:#}")),
    }
}

/// A message with its lines cut to what a log can take: one about text quotes the line, which may
/// be the whole module.
fn cut(message: &str) -> String {
    const LIMIT: usize = 200;
    let lines = message.split('\n').map(|line| match line.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_string(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

impl Row {
    fn new(path: &str, job: &Job, done: &Result<Report>) -> Row {
        let mut row = Row {
            path: path.to_string(),
            target: Some(job.variant.target.to_string()),
            cpu: Some(job.variant.cpu.to_string()),
            ..Row::default()
        };
        let report = match done {
            Ok(report) => report,
            Err(error) => {
                row.outcome = "failed";
                row.error = Some(error.into());
                return row;
            }
        };
        row.digest = report.digest.map(|digest| to_hex(&digest));
        row.id = report.id.map(|id| to_hex(&id));
        row.module_bytes = Some(report.module_len);
        row.artifact_bytes = Some(report.artifact_len).filter(|len| *len > 0);
        row.add_failure = report.add_failure.clone();
        for (name, time) in report::steps(report) {
            row.times_ns.insert(name, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        }
        match &report.outcome {
            Outcome::Compiled { miss } => {
                row.outcome = "compiled";
                row.functions = Some(report.functions);
                row.miss = miss.as_ref().map(MissRow::from);
            }
            Outcome::Missed { miss } => {
                row.outcome = "missing";
                row.miss = Some(miss.into());
            }
            Outcome::Hit { layer, path } => {
                row.outcome = "hit";
                row.layer = Some(layer.clone());
                row.entry = path.as_ref().map(|path| path.display().to_string());
            }
            _ => row.outcome = "hit",
        }
        row
    }
}

impl Default for Row {
    fn default() -> Row {
        Row {
            path: String::new(),
            digest: None,
            id: None,
            target: None,
            cpu: None,
            outcome: "failed",
            layer: None,
            entry: None,
            miss: None,
            module_bytes: None,
            artifact_bytes: None,
            functions: None,
            times_ns: BTreeMap::new(),
            error: None,
            add_failure: None,
        }
    }
}

impl Document {
    fn note(&mut self, row: Row) {
        let summary = &mut self.summary;
        *match row.outcome {
            "compiled" => &mut summary.compiled,
            "hit" => &mut summary.hits,
            "missing" => &mut summary.missing,
            _ => &mut summary.failed,
        } += 1;
        summary.add_failures += usize::from(row.add_failure.is_some());
        summary.artifact_bytes += row.artifact_bytes.unwrap_or(0);
        self.modules.push(row);
    }

    /// The line that ends it all.
    pub(crate) fn finish(&self, printer: &Printer) {
        let Summary { modules, compiled, hits, missing, failed, .. } = self.summary;
        let mut parts = Vec::new();
        // What does not belong to the command is not even said to be none.
        if self.command == "warm" || compiled > 0 {
            parts.push(format!("{compiled} compiled"));
        }
        parts.push(format!("{hits} cached"));
        if self.command != "warm" || missing > 0 {
            parts.push(format!("{missing} {}", self.missing_word()));
        }
        parts.push(format!("{failed} failed"));
        let modules = match modules {
            1 => "1 module".to_string(),
            count => format!("{count} modules"),
        };
        let mut line = format!("{modules}: {} in {:.2}s", parts.join(", "), self.summary.seconds);
        if let Some(cache) = &self.cache {
            line += &format!(" · cache {cache}");
            if self.summary.artifact_bytes > 0 {
                line += &format!(" {}", report::size(self.summary.artifact_bytes));
            }
        }
        printer.status("Finished", line);
    }

    /// How many entries in a folder are not of this document.
    pub(crate) fn others(&self, folder: &Path) -> usize {
        let names = |folder: &Path| -> Vec<String> {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
            names.filter(|name| from_hex(name).is_some()).collect()
        };
        let of = |row: &Row| Some((row.digest.clone()?, row.id.clone()?));
        let ours: HashSet<(String, String)> = self.modules.iter().filter_map(of).collect();
        let all = names(folder).into_iter().flat_map(|group| {
            let ids = names(&folder.join(&group));
            ids.into_iter().map(move |id| (group.clone(), id))
        });
        all.filter(|entry| !ours.contains(entry)).count()
    }

    fn missing_word(&self) -> &'static str {
        if self.command == "check" { "missing" } else { "to compile" }
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        let Summary { missing, failed, add_failures, .. } = self.summary;
        if failed > 0 {
            FAILED
        } else if add_failures > 0 {
            CACHE
        } else if missing > 0 && self.command == "check" {
            MISS
        } else {
            FINE
        }
    }
}
