//! The budget of a directory: what goes, what stays, and who may do what meanwhile.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::{self, File, FileTimes};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use precompile_cache::testing::{Errno, Faults, Operation};
use precompile_cache::{
    Budget, Cache, Content, Depth, DirCache, DirOptions, ErrorKind, Eviction, ItemState, Key,
    Layers, Mode,
};
use proptest::prelude::*;
use tempfile::TempDir;

const HOUR: Duration = Duration::from_secs(3600);
/// What a file has beside its content and description.
const FOOTER: u64 = 160;

fn key(id: u8) -> Key {
    Key::new([id / 4; 32], [id; 32])
}

fn content(length: u64) -> Content {
    Content::from_bytes(vec![7; length as usize])
}

fn open() -> (TempDir, DirCache) {
    let folder = tempfile::tempdir().unwrap();
    let cache = DirCache::open(folder.path().join("cache")).unwrap();
    (folder, cache)
}

/// An entry whose file has `bytes` bytes, used `age` ago.
fn add(cache: &DirCache, id: u8, bytes: u64, age: Duration) {
    cache.add(&key(id), &content(bytes - FOOTER), b"").unwrap();
    set_used(&cache.entry_path(&key(id)), SystemTime::now() - age);
}

fn set_used(path: &Path, used: SystemTime) {
    File::open(path).unwrap().set_times(FileTimes::new().set_accessed(used)).unwrap();
}

fn used(path: &Path) -> i64 {
    fs::metadata(path).unwrap().atime()
}

/// The ids that there are entries of.
fn ids(cache: &DirCache) -> Vec<u8> {
    let mut ids = Vec::new();
    let note = |item: precompile_cache::Item| {
        if let ItemState::Sound { key, .. } = item.state {
            ids.push(key.id()[0]);
        }
    };
    cache.survey(Depth::Content, note).unwrap();
    ids
}

#[test]
fn what_was_used_longest_ago_goes_first() {
    let (_folder, cache) = open();
    for (id, hours) in [(1, 3), (2, 9), (3, 1), (4, 5)] {
        add(&cache, id, 1000, HOUR * hours);
    }
    let budget = Budget::new().max_bytes(2500);
    let plan = cache.would_prune(&budget).unwrap();
    assert_eq!(ids(&cache), [1, 2, 3, 4], "a plan changes nothing");
    let pruned = cache.prune(&budget).unwrap();
    assert_eq!(plan.evicted, pruned.evicted);
    let gone: Vec<_> = pruned.evicted.iter().map(|gone| gone.key.id()[0]).collect();
    assert_eq!(gone, [2, 4]);
    assert!(pruned.evicted.iter().all(|gone| gone.reason == Eviction::Size && gone.bytes == 1000));
    assert_eq!((pruned.entries, pruned.bytes, pruned.limit), (2, 2000, Some(2500)));
    assert_eq!(ids(&cache), [1, 3]);
    // Emptied groups go with their last entry.
    cache.prune(&Budget::new().max_bytes(0)).unwrap();
    assert!(ids(&cache).is_empty());
    let left: Vec<_> =
        fs::read_dir(cache.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name.len() < 64), "{left:?}");
    assert!(cache.prune(&Budget::new()).unwrap().evicted.is_empty());
}

#[test]
fn old_and_unwanted_entries_go_and_pinned_ones_stay() {
    let (_folder, cache) = open();
    for (id, description) in [(1, "old"), (2, "new"), (3, "old"), (4, "new"), (5, "new")] {
        cache.add(&key(id), &content(1000), description.as_bytes()).unwrap();
    }
    for id in [3, 4, 5] {
        set_used(&cache.entry_path(&key(id)), SystemTime::now() - 3 * HOUR);
    }
    let budget = Budget::new()
        .max_age(2 * HOUR)
        .unwanted(|description| description == b"old")
        .pin([key(3), key(5)]);
    let gone = cache.prune(&budget).unwrap().evicted;
    let gone: Vec<_> = gone.iter().map(|gone| (gone.key.id()[0], gone.reason)).collect();
    assert_eq!(gone, [(1, Eviction::Unwanted), (4, Eviction::Age)]);
    let pruned = cache.prune(&budget.max_bytes(0)).unwrap();
    assert_eq!(ids(&cache), [3, 5], "pins are stronger than size");
    assert_eq!(pruned.entries, 2);
}

#[test]
fn a_hit_is_written_down_once_an_hour() {
    let (_folder, cache) = open();
    add(&cache, 1, 1000, Duration::from_secs(1800));
    let path = cache.entry_path(&key(1));
    let (before, added) = (used(&path), fs::metadata(&path).unwrap().mtime());
    // The file system may keep times of its own: a header alone is not read past them.
    let noted = |age: i64| {
        let now = SystemTime::now();
        let then = match u64::try_from(age) {
            Ok(age) => now - Duration::from_secs(age),
            Err(_) => now + Duration::from_secs(age.unsigned_abs()),
        };
        set_used(&path, then);
        let before = used(&path);
        cache.get(&key(1)).unwrap().unwrap();
        used(&path) != before
    };
    assert!(noted(3601) && noted(1_000_000_000));
    assert!(noted(-100_000), "a clock that jumped back");
    assert_eq!(fs::metadata(&path).unwrap().mtime(), added);
    assert!(before <= used(&path));
    // Looking is not using, and a reader leaves no trace of its own.
    let times = |path: &Path| fs::metadata(path).map(|m| (m.ctime(), m.ctime_nsec())).unwrap();
    set_used(&path, SystemTime::now() - 2 * HOUR);
    let before = times(&path);
    let reader = DirCache::open_read_only(cache.path()).unwrap();
    reader.get(&key(1)).unwrap().unwrap();
    cache.survey(Depth::Content, |_| ()).unwrap();
    assert_eq!(times(&path), before);
}

#[test]
fn a_time_that_cannot_be_set_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults::new();
    let cache = DirOptions::new().with_faults(&faults).open(folder.path().join("c")).unwrap();
    add(&cache, 1, 1000, 5 * HOUR);
    faults.fail_each(Operation::Touch, Errno::ROFS);
    assert_eq!(cache.get(&key(1)).unwrap().unwrap().len(), 1000 - FOOTER);
    assert!(faults.log().contains(&Operation::Touch));
}

#[test]
fn nothing_goes_that_is_not_ours() {
    let (folder, cache) = open();
    add(&cache, 1, 1000, 9 * HOUR);
    add(&cache, 200, 1000, 9 * HOUR);
    let group = cache.entry_path(&key(1)).parent().unwrap().to_path_buf();
    let hex = |byte: &str| byte.repeat(32);
    let outside = folder.path().join("outside");
    fs::write(&outside, "outside").unwrap();
    let odd = OsString::from_vec(vec![0xff, 0xfe, b'\n', 0x1b]);
    let mut foreign = vec![
        cache.path().join("notes.txt"),
        cache.path().join(&odd),
        group.join(&odd),
        group.join("notes"),
        // The name of an entry, or of a group, and something else in it.
        group.join(hex("ab")),
        cache.path().join(hex("cd")),
        group.join(hex("AB")),
    ];
    for path in &foreign {
        fs::write(path, "foreign, and long enough to have the trailer of an entry: ".repeat(9))
            .unwrap();
    }
    symlink(&outside, group.join(hex("ef"))).unwrap();
    symlink(folder.path(), cache.path().join(hex("ef"))).unwrap();
    fs::create_dir(group.join(hex("11"))).unwrap();
    foreign.extend([group.join(hex("ef")), cache.path().join(hex("ef")), group.join(hex("11"))]);
    // An entry of another key, and one that others may write to.
    fs::copy(cache.entry_path(&key(1)), group.join(hex("22"))).unwrap();
    add(&cache, 3, 1000, 9 * HOUR);
    fs::set_permissions(cache.entry_path(&key(3)), fs::Permissions::from_mode(0o666)).unwrap();
    foreign.extend([group.join(hex("22")), cache.entry_path(&key(3))]);

    let budget = Budget::new().max_bytes(0).max_age(HOUR).unwanted(|_| true);
    assert_eq!(cache.prune(&budget).unwrap().evicted.len(), 2);
    assert!(cache.clean().unwrap().evicted.is_empty());
    for path in &foreign {
        assert!(path.symlink_metadata().is_ok(), "{path:?} is gone");
    }
    assert!(outside.exists());
    let mut states = HashMap::new();
    let note = |item: precompile_cache::Item| {
        let state = match item.state {
            ItemState::Foreign => "foreign",
            ItemState::Damaged(_) => "damaged",
            ItemState::Untrusted(_) => "untrusted",
            other => panic!("{other:?}"),
        };
        states.insert(item.path, state);
    };
    cache.survey(Depth::Content, note).unwrap();
    assert_eq!(states.len(), foreign.len());
    assert_eq!(states[&cache.entry_path(&key(3))], "untrusted");
    assert_eq!(states[&group.join(hex("22"))], "damaged");
    assert_eq!(states[&cache.path().join(&odd)], "foreign");
}

#[test]
fn ten_thousand_foreign_files_are_passed_over() {
    let (_folder, cache) = open();
    for number in 0..10_000 {
        File::create(cache.path().join(format!("foreign-{number}"))).unwrap();
    }
    add(&cache, 1, 1000, 2 * HOUR);
    let layers = Layers::builder().read_write(cache.path()).budget(Budget::new().max_bytes(1500));
    let layers = layers.build();
    assert!(layers.publish(&key(2), &content(1000 - FOOTER), b"").is_none());
    layers.settle();
    assert_eq!(ids(&cache), [2]);
    assert!(layers.lookup(&key(2)).is_hit());
    assert!(cache.clean().unwrap().failures.is_empty());
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 10_000, "ours are gone, tags included");
}

#[test]
fn a_reader_prunes_nothing_and_keeps_what_it_has() {
    let (_folder, cache) = open();
    add(&cache, 1, 100_000, HOUR);
    let reader = DirCache::open_read_only(cache.path()).unwrap();
    let budget = Budget::new().max_bytes(0);
    let error = reader.prune(&budget).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ReadOnly { .. }));
    assert!(matches!(reader.clean().unwrap_err().kind(), ErrorKind::ReadOnly { .. }));
    assert_eq!(reader.would_prune(&budget).unwrap().evicted.len(), 1);
    assert_eq!(reader.would_clean().unwrap().evicted.len(), 1);
    let held = reader.get(&key(1)).unwrap().unwrap();
    cache.prune(&budget).unwrap();
    assert_eq!(held.to_vec().unwrap().len() as u64, 100_000 - FOOTER);
    assert!(reader.get(&key(1)).unwrap().is_none());
}

#[test]
fn layers_keep_to_their_own_directory() {
    let folder = tempfile::tempdir().unwrap();
    let image = DirCache::open_image(folder.path().join("image")).unwrap();
    for id in 0..8 {
        image.add(&key(id), &content(1000), b"").unwrap();
    }
    let budget = Budget::new().max_bytes(1).max_age(Duration::ZERO).unwanted(|_| true);
    let builder = || {
        let layers = Layers::builder().read_only(image.path()).budget(budget.clone());
        layers.read_write(folder.path().join("rw"))
    };
    let layers = builder().build();
    layers.publish(&key(20), &content(1000), b"");
    layers.publish(&key(21), &content(1000), b"");
    layers.settle();
    assert_eq!(ids(&image).len(), 8);
    let own = DirCache::open_read_only(folder.path().join("rw")).unwrap();
    assert_eq!(ids(&own), [21], "the newest stays");
    let stats = layers.stats();
    assert_eq!((stats.evictions, stats.bytes_evicted), (1, 1000 + FOOTER));
    // Those that only read, or that have no directory, keep nothing.
    for mode in [Mode::ReadOnly, Mode::RequireHit, Mode::Off] {
        let layers = builder().mode(mode).build();
        layers.publish(&key(22), &content(1000), b"");
        assert!(layers.lookup(&key(21)).is_hit() != (mode == Mode::Off));
    }
    assert_eq!(ids(&own), [21]);
}

/// A process that makes one entry and ends leaves the directory within the budget, and others count
/// what it has added.
#[test]
fn short_lives_add_up() {
    let (_folder, cache) = open();
    for id in 0..20 {
        let budget = Budget::new().max_bytes(5000);
        let layers = Layers::builder().read_write(cache.path()).budget(budget).build();
        assert!(layers.publish(&key(id), &content(1000 - FOOTER), b"").is_none());
        drop(layers);
        let ids = ids(&cache);
        assert!(ids.len() <= 5 && ids.contains(&id), "{ids:?}");
    }
}

#[test]
fn a_ledger_that_makes_no_sense_is_counted_anew() {
    let (_folder, cache) = open();
    let ledger = cache.path().join(".locks/budget");
    let far = u64::MAX;
    for text in [String::new(), "nonsense".into(), format!("{:020} {far:020}\n", 0)] {
        for id in 0..5 {
            add(&cache, id, 1000, 2 * HOUR);
        }
        fs::create_dir_all(ledger.parent().unwrap()).unwrap();
        fs::write(&ledger, text).unwrap();
        let budget = Budget::new().max_bytes(2000);
        let layers = Layers::builder().read_write(cache.path()).budget(budget).build();
        layers.publish(&key(9), &content(1000 - FOOTER), b"");
        layers.settle();
        assert!(ids(&cache).len() <= 2 && ids(&cache).contains(&9));
        assert_eq!(fs::read_to_string(&ledger).unwrap().len(), 42);
    }
    // Where none can be kept, that is counted, and entries are added all the same.
    fs::remove_file(&ledger).unwrap();
    fs::create_dir(&ledger).unwrap();
    let layers = Layers::builder().read_write(cache.path()).budget(Budget::new().max_bytes(2000));
    let layers = layers.build();
    assert!(layers.publish(&key(10), &content(1000), b"").is_none());
    layers.settle();
    assert_eq!((layers.stats().upkeep_failures, layers.stats().add_failures), (1, 0));
}

#[test]
fn everybody_goes_on_while_others_prune() {
    let (_folder, cache) = open();
    let foreign = cache.path().join("foreign");
    fs::write(&foreign, "foreign").unwrap();
    /// Ends the others, be it by a panic.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let over = AtomicBool::new(false);
    let (cache, over) = (&cache, &over);
    thread::scope(|scope| {
        for seed in 0..2_u8 {
            scope.spawn(move || {
                let _over = Over(over);
                for round in 0..150_u64 {
                    let id = (round * 7 + u64::from(seed)) as u8 % 12;
                    let length = 100 + u64::from(id) * 1000;
                    cache.add(&key(id), &content(length), b"").expect("add while others prune");
                    if let Some(found) = cache.get(&key(id)).expect("get while others prune") {
                        assert_eq!(found.to_vec().expect("whole").len() as u64, length);
                    }
                }
            });
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let pruned = cache.prune(&Budget::new().max_bytes(20_000)).unwrap();
                    assert!(pruned.failures.is_empty(), "{pruned:?}");
                    cache.clean().unwrap();
                }
            });
        }
    });
    assert!(foreign.exists());
}

#[test]
fn a_disk_that_fails_leaves_entries_whole() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults::new();
    let cache = DirOptions::new().with_faults(&faults).open(folder.path().join("c")).unwrap();
    let fill = || (0..6).for_each(|id| add(&cache, id, 1000, HOUR * 2));
    let budget = Budget::new().max_bytes(2500).unwanted(|_| false);
    fill();
    faults.heal();
    cache.prune(&budget).unwrap();
    let count = faults.log().len();
    assert!(count > 20);
    for number in 0..count {
        for errno in [Errno::IO, Errno::ACCESS, Errno::MFILE, Errno::NOENT] {
            fill();
            faults.fail_nth(number, errno);
            let pruned = cache.prune(&budget);
            let operation = faults.log().get(number).copied();
            faults.heal();
            // What one operation says decides over one entry, or over one group that is not seen.
            let left = ids(&cache).len();
            assert!((2..=6).contains(&left), "{operation:?} {errno:?} {left}");
            if let Ok(pruned) = pruned {
                assert!(pruned.evicted.len() + left <= 6);
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// By another process in half of the cases, which knows of this one by the directory only.
    Add {
        id: u8,
        kilobytes: u64,
        is_other: bool,
    },
    Get(u8),
    Age {
        id: u8,
        hours: i64,
    },
    Foreign(u8),
    Reopen,
    Prune,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..24_u8, 1..20_u64, any::<bool>())
            .prop_map(|(id, kilobytes, is_other)| Step::Add { id, kilobytes, is_other }),
        3 => (0..24_u8).prop_map(Step::Get),
        3 => (0..24_u8, -100..100_i64).prop_map(|(id, hours)| Step::Age { id, hours }),
        1 => any::<u8>().prop_map(Step::Foreign),
        1 => Just(Step::Reopen),
        1 => Just(Step::Prune),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    /// Whatever happens, the directory is over its budget by one entry at most, beside those that
    /// are pinned; and neither these nor foreign files nor a layer that is only read lose anything.
    #[test]
    fn never_over_by_more_than_one_entry(
        steps in prop::collection::vec(step(), 1..40),
        max in 1_000..60_000_u64,
        pins in prop::collection::hash_set(0..24_u8, 0..4),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let image = DirCache::open_image(folder.path().join("image")).unwrap();
        image.add(&key(200), &content(50_000), b"").unwrap();
        let path = folder.path().join("rw");
        let budget = Budget::new().max_bytes(max).pin(pins.iter().map(|&id| key(id)));
        let build = || {
            let layers = Layers::builder().read_only(image.path()).read_write(&path);
            layers.budget(budget.clone()).build()
        };
        let (mut layers, other) = (build(), build());
        let cache = DirCache::open(&path).unwrap();
        let mut added_pins = HashSet::new();
        let mut foreign: Vec<PathBuf> = Vec::new();
        for step in steps {
            let mut newest = None;
            match step {
                Step::Add { id, kilobytes, is_other } => {
                    let layers = if is_other { &other } else { &layers };
                    prop_assert!(layers.publish(&key(id), &content(kilobytes * 1000), b"").is_none());
                    newest = Some(id);
                    if pins.contains(&id) {
                        added_pins.insert(id);
                    }
                }
                Step::Get(id) => _ = layers.lookup(&key(id)),
                Step::Age { id, hours } => {
                    let entry = cache.entry_path(&key(id));
                    if entry.exists() {
                        let hour = Duration::from_secs(3600 * hours.unsigned_abs());
                        let now = SystemTime::now();
                        set_used(&entry, if hours < 0 { now - hour } else { now + hour });
                    }
                }
                Step::Foreign(byte) => {
                    let group = cache.path().join(precompile_cache::to_hex(&[byte % 6; 32]));
                    fs::create_dir_all(&group).unwrap();
                    fs::set_permissions(&group, fs::Permissions::from_mode(0o700)).unwrap();
                    let file = group.join(precompile_cache::to_hex(&[byte | 128; 32]));
                    fs::write(&file, vec![byte; 3000]).unwrap();
                    foreign.push(file);
                }
                Step::Reopen => {
                    drop(layers);
                    layers = build();
                }
                Step::Prune => _ = cache.prune(&budget).unwrap(),
            }
            layers.settle();
            other.settle();
            let (mut total, mut largest, mut found) = (0, 0, HashSet::new());
            cache.survey(Depth::Content, |item| if let ItemState::Sound { key, .. } = item.state {
                let id = key.id()[0];
                found.insert(id);
                if !pins.contains(&id) {
                    total += item.bytes;
                    largest = largest.max(item.bytes);
                }
            }).unwrap();
            prop_assert!(total <= max + largest, "{total} of {max}, the largest {largest}");
            prop_assert!(newest.is_none_or(|id| found.contains(&id)), "what was just added stays");
            prop_assert!(added_pins.is_subset(&found), "pins stay");
            prop_assert!(foreign.iter().all(|file| file.exists()), "foreign files stay");
            prop_assert!(image.get(&key(200)).unwrap().is_some(), "read-only layers stay");
        }
        prop_assert_eq!(layers.stats().upkeep_failures + other.stats().upkeep_failures, 0);
    }
}
