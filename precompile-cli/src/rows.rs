//! What `warm` and `check` did with each module, for tools and for the line that sums it up.

use crate::commands::modules::Job;
use crate::commands::{CACHE, FAILED, FINE, MISS};
use crate::report::{self, Printer, SCHEMA_VERSION};
use precompile::cache::{self, Key, Lookup, from_hex, to_hex};
use precompile::{Difference, ErrorKind, Miss, ModuleError, Outcome, Report, Result, Settings};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::time::Instant;

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
struct Summary {
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
    #[serde(skip)]
    start: Instant,
}

impl Row {
    /// Of a module that `done` tells about.
    pub(crate) fn new(path: &str, job: &Job, done: &Result<Report>) -> Row {
        let mut row = Row {
            path: path.to_string(),
            target: Some(job.variant.target.to_string()),
            cpu: Some(job.level(done.as_ref().ok())),
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
                row.miss = Some(job.miss(report, miss));
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

impl Row {
    /// Of an entry that a manifest lists.
    pub(crate) fn listed(
        name: &str,
        key: &Key,
        settings: &Settings,
        found: std::result::Result<Lookup, Box<MissRow>>,
    ) -> Row {
        let mut row = Row {
            path: name.to_string(),
            digest: Some(to_hex(key.group())),
            id: Some(to_hex(key.id())),
            target: settings.get("target").map(String::from),
            cpu: settings.get("cpu").map(String::from),
            outcome: "hit",
            ..Row::default()
        };
        match found.map(|lookup| lookup.outcome) {
            Ok(cache::Outcome::Hit { layer, content }) => {
                row.layer = Some(layer.to_string());
                row.entry = content.origin().map(|path| path.display().to_string());
                row.artifact_bytes = Some(content.len());
            }
            Ok(_) => row.outcome = "missing",
            Err(miss) => {
                row.outcome = "missing";
                row.miss = Some(*miss);
            }
        }
        row
    }

    /// Of a module that a manifest does not list.
    pub(crate) fn unlisted(path: &str, digest: &[u8; 32]) -> Row {
        Row {
            path: path.to_string(),
            digest: Some(to_hex(digest)),
            outcome: "missing",
            ..Row::default()
        }
    }

    /// Of a file that is no module.
    pub(crate) fn invalid(path: &str, error: &precompile::Error) -> Row {
        Row { path: path.to_string(), error: Some(error.into()), ..Row::default() }
    }

    /// Of a file that could not even be read.
    pub(crate) fn unreadable(path: &str, problem: &str) -> Row {
        let error = ErrorRow { kind: "input", message: problem.to_string(), offset: None };
        Row { path: path.to_string(), error: Some(error), ..Row::default() }
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

/// Why something missed, for tools.
#[derive(Debug, Serialize)]
pub(crate) struct MissRow {
    reason: &'static str,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<String>,
    /// All of them; the first is told above.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differences: Vec<DifferenceRow>,
}

/// A setting that is not as it should be, for tools.
#[derive(Debug, Serialize)]
pub(crate) struct DifferenceRow {
    field: String,
    expected: String,
    found: String,
}

impl From<&Difference> for DifferenceRow {
    fn from(difference: &Difference) -> DifferenceRow {
        let Difference { field, expected, found, .. } = difference.clone();
        DifferenceRow { field, expected, found }
    }
}

impl MissRow {
    /// The same with a message that knows more.
    pub(crate) fn saying(self, message: String) -> MissRow {
        MissRow { message, ..self }
    }

    /// An entry whose content is not what was added.
    pub(crate) fn damaged(path: &Path) -> MissRow {
        let error = cache::Error::corrupt(Some(path), "its content was changed");
        MissRow::from(Miss::Corrupt).saying(error.to_string())
    }

    /// An entry that is there, and is not the one that was listed with that digest.
    pub(crate) fn of_bytes(expected: &str, found: String) -> MissRow {
        MissRow {
            reason: "artifact",
            message: format!(
                "its artifact is {found:.16}…, the manifest lists {expected:.16}…: somebody replaced \
                 one of the two; warm the cache anew, with the manifest"
            ),
            field: Some("artifact_sha256".to_string()),
            expected: Some(expected.to_string()),
            found: Some(found),
            differences: Vec::new(),
        }
    }
}

impl From<Miss> for MissRow {
    fn from(miss: Miss) -> MissRow {
        MissRow::from(&miss)
    }
}

impl From<&Miss> for MissRow {
    fn from(miss: &Miss) -> MissRow {
        let first = miss.differences().next();
        MissRow {
            reason: miss.as_str(),
            message: miss.to_string(),
            field: first.map(|first| first.field.clone()),
            expected: first.map(|first| first.expected.clone()),
            found: first.map(|first| first.found.clone()),
            differences: miss.differences().map(DifferenceRow::from).collect(),
        }
    }
}

/// What went wrong with an input, for tools.
#[derive(Debug, Serialize)]
struct ErrorRow {
    kind: &'static str,
    message: String,
    offset: Option<u64>,
}

impl From<&precompile::Error> for ErrorRow {
    fn from(error: &precompile::Error) -> ErrorRow {
        let kind = match error.kind() {
            ErrorKind::Invalid => "invalid",
            ErrorKind::Unsupported => "unsupported",
            ErrorKind::Limit => "limit",
            ErrorKind::Config => "config",
            ErrorKind::Incompatible => "incompatible",
            ErrorKind::Corrupt => "corrupt",
            ErrorKind::Miss => "miss",
            ErrorKind::Io => "io",
            ErrorKind::Bug => "bug",
            _ => "other",
        };
        let offset = error.downcast_ref::<ModuleError>().and_then(ModuleError::offset);
        ErrorRow { kind, message: format!("{error:#}"), offset }
    }
}

impl Document {
    /// One about `modules` inputs, of which nothing is known yet.
    pub(crate) fn new(command: &'static str, cache: Option<&Path>, modules: usize) -> Document {
        Document {
            schema_version: SCHEMA_VERSION,
            command,
            cache: cache.map(|path| {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
                path.display().to_string()
            }),
            modules: Vec::new(),
            summary: Summary { modules, ..Summary::default() },
            start: Instant::now(),
        }
    }

    /// Whether something missed for one of these reasons.
    pub(crate) fn misses_for(&self, reasons: &[&str]) -> bool {
        let mut misses = self.modules.iter().filter_map(|row| row.miss.as_ref());
        misses.any(|miss| reasons.contains(&miss.reason))
    }

    /// All is done.
    pub(crate) fn stop(&mut self) {
        self.summary.seconds = self.start.elapsed().as_secs_f64();
    }

    /// Takes a row up, and counts it.
    pub(crate) fn note(&mut self, row: Row) {
        let summary = &mut self.summary;
        *match row.outcome {
            "compiled" => &mut summary.compiled,
            "hit" => &mut summary.hits,
            "missing" => &mut summary.missing,
            _ => &mut summary.failed,
        } += 1;
        summary.add_failures += usize::from(row.add_failure.is_some());
        // What is not kept takes no room.
        if row.add_failure.is_none() {
            summary.artifact_bytes += row.artifact_bytes.unwrap_or(0);
        }
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
            line += &format!(" · cache {}", report::shown(Path::new(cache)));
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
