//! Each operation on the disk fails in turn, under layers: what the program gets is what it gets
//! without a cache, one counter says that something failed, and nothing is left behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use precompile_cache::testing::{Errno, Faults, Operation};
use precompile_cache::{Cache, Content, DirOptions, Key, Layers, Outcome, Stats};
use tempfile::TempDir;

const ERRNOS: [Errno; 5] = [Errno::NOSPC, Errno::ROFS, Errno::ACCESS, Errno::IO, Errno::MFILE];
const LENGTH: usize = 300_000;

fn key() -> Key {
    Key::new([1; 32], [2; 32])
}

/// What a program does: take what is there, or make it and put it there. The content that it then
/// uses, and whether it was made.
fn program(layers: &Layers) -> (Vec<u8>, bool) {
    let found = |outcome: Outcome| match outcome {
        // A mapping that fails is a matter of the engine; here it is read.
        Outcome::Hit { content, .. } => Some(content.to_vec().unwrap()),
        Outcome::Miss(_) => None,
    };
    if let Some(content) = found(layers.lookup(&key()).outcome) {
        return (content, false);
    }
    let flight = layers.begin(&key());
    if let Some(content) = found(layers.look_again(&flight).outcome) {
        return (content, false);
    }
    let made = vec![7; LENGTH];
    _ = layers.publish(&key(), &Content::from_bytes(made.clone()), b"description");
    (made, true)
}

/// What is in the directory at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    Entry,
    /// An entry that is old enough to be remembered.
    OldEntry,
    Damage,
}

fn set_up(before: Before) -> (TempDir, Layers, Faults) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    let faults = Faults::new();
    let dir = DirOptions::new().with_faults(&faults).open(&path).unwrap();
    if before != Before::Nothing {
        dir.add(&key(), &Content::from_bytes(vec![7; LENGTH]), b"description").unwrap();
    }
    match before {
        Before::Damage => {
            let mut bytes = fs::read(dir.entry_path(&key())).unwrap();
            bytes[LENGTH / 2] ^= 1;
            fs::write(dir.entry_path(&key()), bytes).unwrap();
        }
        Before::OldEntry => thread::sleep(Duration::from_millis(3200)),
        Before::Nothing | Before::Entry => {}
    }
    (folder, Layers::builder().read_write_dir(dir).build(), faults)
}

/// How many failures the counters tell of.
fn failures(stats: &Stats) -> u64 {
    let Stats { io_errors, add_failures, delete_failures, lock_failures, memo_failures, .. } =
        stats;
    io_errors + add_failures + delete_failures + lock_failures + memo_failures
}

/// All names in the directory, with digests by their first digits.
fn names(path: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let short = name.chars().take(8).collect::<String>();
        if entry.file_type().unwrap().is_dir() {
            names.extend(self::names(&entry.path()).iter().map(|below| format!("{short}/{below}")));
        } else {
            names.insert(short);
        }
    }
    names
}

fn each_fault(before: Before) {
    let (folder, layers, faults) = set_up(before);
    faults.heal();
    let (content, made) = program(&layers);
    assert!(content == vec![7; LENGTH]);
    assert_eq!(made, matches!(before, Before::Nothing | Before::Damage));
    assert_eq!(failures(&layers.stats()), 0, "{:?}", layers.stats());
    let log = faults.log();
    let expected = names(&folder.path().join("cache"));
    let attempt = |number: usize, errno: Errno| {
        let operation = log[number];
        let what = format!("{before:?}, operation {number}: {operation:?} fails with {errno:?}");
        let (folder, layers, faults) = set_up(before);
        faults.fail_nth(number, errno);
        let (content, _) = program(&layers);
        assert!(content == vec![7; LENGTH], "{what}");
        let stats = layers.stats();
        // Nobody waits for a time of use, the lock on a temporary file is a courtesy to those who
        // sweep, and a file that is locked or done with goes the next time.
        let is_counted = match operation {
            Operation::Touch => false,
            Operation::Lock => stats.adds == 0 || stats.lock_failures == 1,
            Operation::Remove => before == Before::Damage && stats.delete_failures == 1,
            _ => true,
        };
        assert_eq!(failures(&stats), u64::from(is_counted), "{what}: {stats:?}");
        faults.heal();
        drop(faults);
        let left = names(&folder.path().join("cache"));
        let more: Vec<_> =
            left.difference(&expected).filter(|name| !name.starts_with(".memo")).collect();
        assert!(more.is_empty() || operation == Operation::Remove, "{what} leaves {more:?}");
        // And all is well afterwards.
        let layers = Layers::builder().read_write(folder.path().join("cache")).try_build().unwrap();
        assert!(program(&layers).0 == vec![7; LENGTH], "{what}");
        assert!(layers.lookup(&key()).is_hit(), "{what}");
    };
    let attempt = &attempt;
    // Those that have to grow old do so together.
    thread::scope(|scope| {
        for errno in ERRNOS {
            let count = log.len();
            if before == Before::OldEntry {
                for number in 0..count {
                    scope.spawn(move || attempt(number, errno));
                }
            } else {
                scope.spawn(move || (0..count).for_each(|number| attempt(number, errno)));
            }
        }
    });
}

#[test]
fn with_nothing_there() {
    each_fault(Before::Nothing);
}

#[test]
fn with_an_entry() {
    each_fault(Before::Entry);
}

#[test]
fn with_an_entry_that_is_remembered() {
    each_fault(Before::OldEntry);
}

#[test]
fn with_a_damaged_entry() {
    each_fault(Before::Damage);
}
