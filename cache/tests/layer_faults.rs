//! Each operation on the disk fails in turn, under layers: what the program gets is what it gets
//! without a cache, one counter says that something failed, and nothing is left behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use precompile_cache::testing::{Errno, Faults, Operation};
use precompile_cache::{
    Budget, Cache, Content, DirCache, DirOptions, Key, Layers, Outcome, Policy, SigningKey, Stats,
};
use tempfile::TempDir;

const ERRNOS: [Errno; 6] =
    [Errno::NOSPC, Errno::ROFS, Errno::ACCESS, Errno::IO, Errno::MFILE, Errno::STALE];
/// What a network file system says of something that is done, when it asks a second time because
/// the first answer was lost.
const LOST: [Errno; 4] = [Errno::NOENT, Errno::EXIST, Errno::STALE, Errno::IO];
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
    drop(flight);
    layers.settle();
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
    /// Entries of others, more than the budget has room for.
    Full,
    /// Nothing; the entry is in a layer below.
    Below,
    /// Nothing; the entry is signed and in a layer where anybody may write, whose disk it is that
    /// fails.
    Signed,
}

fn set_up(before: Before) -> (TempDir, Layers, Faults) {
    // In memory where there is such a folder, since each entry is synced.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let (path, image) = (folder.path().join("cache"), folder.path().join("image"));
    let faults = Faults::new();
    let options = DirOptions::new().with_faults(&faults);
    let content = Content::from_bytes(vec![7; LENGTH]);
    if before == Before::Signed {
        let signer = SigningKey::generate("test-1").unwrap();
        let trusted = precompile_cache::TrustedKeys::from(signer.public_key());
        let made = DirOptions::new().sign_with(signer).open_image(&image).unwrap();
        made.add(&key(), &content, b"description").unwrap();
        let options = options.policy(Policy::Signed).trusted_keys(trusted);
        let image = options.open_read_only(&image).unwrap();
        let layers = Layers::builder().read_only_dir(image).read_write(&path);
        return (folder, layers.try_build().unwrap(), faults);
    }
    let dir = options.open(&path).unwrap();
    if matches!(before, Before::Entry | Before::OldEntry | Before::Damage) {
        dir.add(&key(), &content, b"description").unwrap();
    }
    let mut layers = Layers::builder();
    match before {
        Before::Full => {
            for id in 0..3 {
                dir.add(&Key::new([2; 32], [id; 32]), &content, b"").unwrap();
            }
            layers = layers.budget(Budget::new().max_bytes(2 * LENGTH as u64 + 1000));
        }
        Before::Below => {
            let image = DirCache::open_image(&image).unwrap();
            image.add(&key(), &content, b"description").unwrap();
            layers = layers.below(image.path()).backfill(true);
        }
        Before::Damage => {
            let mut bytes = fs::read(dir.entry_path(&key())).unwrap();
            bytes[LENGTH / 2] ^= 1;
            fs::write(dir.entry_path(&key()), bytes).unwrap();
        }
        Before::OldEntry => thread::sleep(Duration::from_millis(3200)),
        Before::Nothing | Before::Entry | Before::Signed => {}
    }
    (folder, layers.read_write_dir(dir).build(), faults)
}

/// How many failures the counters tell of.
fn failures(stats: &Stats) -> u64 {
    stats
        .named()
        .filter(|(name, _)| name.ends_with("_failures"))
        .map(|(_, count)| count)
        .sum::<u64>()
        + stats.io_errors
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
    assert_eq!(made, matches!(before, Before::Nothing | Before::Damage | Before::Full));
    assert_eq!(failures(&layers.stats()), 0, "{:?}", layers.stats());
    let others = |names: BTreeSet<String>| -> BTreeSet<String> {
        names.into_iter().filter(|name| !name.starts_with("02")).collect()
    };
    let log = faults.log();
    let expected = others(names(&folder.path().join("cache")));
    let attempt = |number: usize, errno: Errno, is_done: bool| {
        let (folder, layers, faults) = set_up(before);
        if is_done {
            faults.lose_nth(number, errno);
        } else {
            faults.fail_nth(number, errno);
        }
        let (content, _) = program(&layers);
        // The budget is kept on a thread of its own, so the order is not always the same.
        let Some(operation) = faults.log().get(number).copied() else { return };
        let what = format!(
            "{before:?}, operation {number}: {operation:?} fails with {errno:?}, done: {is_done}"
        );
        assert!(content == vec![7; LENGTH], "{what}");
        let stats = layers.stats();
        // An answer that was lost may have been as good as the right one.
        let expected_failures = if is_done { 0..=1 } else { 1..=1 };
        assert!(expected_failures.contains(&failures(&stats)), "{what}: {stats:?}");
        faults.heal();
        drop(faults);
        let left = others(names(&folder.path().join("cache")));
        let more: Vec<_> =
            left.difference(&expected).filter(|name| !name.starts_with(".memo")).collect();
        // What could not be taken away is swept up later.
        let is_swept = is_done || operation == Operation::Remove;
        assert!(more.is_empty() || is_swept, "{what} leaves {more:?}");
        // And all is well afterwards.
        let layers = Layers::builder().read_write(folder.path().join("cache")).try_build().unwrap();
        assert!(program(&layers).0 == vec![7; LENGTH], "{what}");
        assert!(layers.lookup(&key()).is_hit(), "{what}");
    };
    let changes_names = |number: &usize| {
        use Operation::{Create, MakeDir, Remove, Rename};
        matches!(log[*number], Create | MakeDir | Remove | Rename)
    };
    let attempt = &attempt;
    // Those that have to grow old do so together.
    thread::scope(|scope| {
        for (is_done, errno) in
            ERRNOS.map(|errno| (false, errno)).into_iter().chain(LOST.map(|errno| (true, errno)))
        {
            let numbers = (0..log.len()).filter(|number| !is_done || changes_names(number));
            let numbers: Vec<_> = numbers.collect();
            if before == Before::OldEntry {
                for number in numbers {
                    scope.spawn(move || attempt(number, errno, is_done));
                }
            } else {
                scope.spawn(move || {
                    numbers.into_iter().for_each(|number| attempt(number, errno, is_done))
                });
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

#[test]
fn with_more_than_the_budget() {
    each_fault(Before::Full);
}

#[test]
fn with_an_entry_below() {
    each_fault(Before::Below);
}

#[test]
fn with_a_signed_entry() {
    each_fault(Before::Signed);
}
