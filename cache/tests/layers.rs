//! Layers: order, outcomes, counters, modes, and what happens to failures.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use precompile_cache::testing::{Errno, Faults, Operation};
use precompile_cache::{
    Cache, Content, DirCache, DirOptions, ErrorKind, Key, LayerId, Layers, MemoryCache, MissReason,
    Mode, Outcome, Policy, ProbeResult, Reject, Stats, TrustAnyone,
};
use tempfile::TempDir;

fn key() -> Key {
    Key::new([1; 32], [2; 32])
}

fn content(text: &str) -> Content {
    Content::from_bytes(text.as_bytes())
}

fn fill(path: &Path, text: &str) {
    DirCache::open_image(path).unwrap().add(&key(), &content(text), text.as_bytes()).unwrap();
}

/// The layer and the content of a hit.
#[track_caller]
fn hit(layers: &Layers) -> (LayerId, String) {
    let Outcome::Hit { layer, content } = layers.lookup(&key()).outcome else { panic!("a miss") };
    assert_eq!(content.layer(), Some(layer));
    (layer, String::from_utf8(content.to_vec().unwrap()).unwrap())
}

#[track_caller]
fn miss(layers: &Layers) -> MissReason {
    layers.lookup(&key()).miss_reason().expect("a miss")
}

/// Two folders for read-only layers, and one for the read-write one.
fn folders() -> (TempDir, [std::path::PathBuf; 3]) {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["one", "two", "rw"].map(|name| folder.path().join(name));
    (folder, paths)
}

#[test]
fn layers_are_probed_in_order() {
    let (_folder, [one, two, rw]) = folders();
    fill(&one, "one");
    fill(&two, "two");
    let build = || Layers::builder().read_only(&one).read_only(&two).read_write(&rw).build();
    assert_eq!(hit(&build()), (LayerId::Layer(0), "one".into()));
    let delete = |path| DirCache::open_image(path).unwrap().delete(&key()).unwrap();
    delete(&one);
    let layers = build();
    assert_eq!(hit(&layers), (LayerId::Layer(1), "two".into()));
    delete(&two);
    assert_eq!(miss(&layers), MissReason::Absent);
    assert!(layers.publish(&key(), &content("rw"), b"rw").is_none());
    assert_eq!(hit(&layers), (LayerId::Dir, "rw".into()));
    fill(&one, "one");
    let siblings: Vec<_> = layers.siblings(&[1; 32]).into_iter().map(|(id, _)| id).collect();
    assert_eq!(siblings, [LayerId::Layer(0), LayerId::Dir]);
    let mut expected = Stats::default();
    (expected.hits_layer, expected.hits_dir, expected.misses_absent, expected.adds) = (1, 1, 1, 1);
    (expected.bytes_hit, expected.bytes_added) = (5, 2);
    assert_eq!(layers.stats(), expected);
    assert_eq!((layers.stats().hits(), layers.stats().misses()), (2, 1));
    assert!(layers.stats().named().any(|counter| counter == ("bytes_hit", 5)));
}

#[test]
fn a_damaged_entry_is_deleted_where_that_is_possible() {
    let (_folder, [one, _, rw]) = folders();
    fill(&one, "one");
    let layers = Layers::builder().read_only(&one).read_write(&rw).build();
    layers.publish(&key(), &content("rw"), b"");
    let entry = |path: &Path| path.canonicalize().unwrap().join(key().to_string());
    let damage = |path: &Path| {
        let mut bytes = fs::read(entry(path)).unwrap();
        bytes[0] ^= 1;
        fs::write(entry(path), bytes).unwrap();
    };
    damage(&one);
    assert_eq!(hit(&layers), (LayerId::Dir, "rw".into()), "the next layer is probed");
    damage(&rw);
    let lookup = layers.lookup(&key());
    assert_eq!(lookup.miss_reason(), Some(MissReason::Corrupt));
    assert!(lookup.miss_error().unwrap().is_corrupt());
    assert_eq!(lookup.trace.len(), 2);
    assert!(entry(&one).exists() && !entry(&rw).exists());
    let stats = layers.stats();
    assert_eq!((stats.damaged, stats.deletes, stats.misses_corrupt), (3, 1, 1));
    // The same for a reader only: nothing is deleted.
    fill(&rw, "rw");
    damage(&rw);
    let reader = Layers::builder().read_write(&rw).mode(Mode::ReadOnly).build();
    assert_eq!(miss(&reader), MissReason::Corrupt);
    assert!(entry(&rw).exists());
    assert_eq!(reader.stats().deletes, 0);
}

#[test]
fn what_took_the_place_of_a_rejected_entry_stays() {
    let (_folder, [_, _, rw]) = folders();
    fill(&rw, "bad");
    let layers = Layers::builder().read_write(&rw).build();
    let Outcome::Hit { layer, content: bad } = layers.lookup(&key()).outcome else { panic!() };
    let seen = bad.stamp();
    assert!(seen.is_some());
    fill(&rw, "good");
    assert!(layers.reject_seen(&key(), layer, seen, Reject::Corrupt).is_none());
    assert_eq!(hit(&layers), (LayerId::Dir, "good".into()));
    let Outcome::Hit { layer, content: bad } = layers.lookup(&key()).outcome else { panic!() };
    assert!(layers.reject_seen(&key(), layer, bad.stamp(), Reject::Corrupt).is_none());
    assert_eq!(miss(&layers), MissReason::Absent);
    let stats = layers.stats();
    assert_eq!((stats.rejected_corrupt, stats.deletes, stats.delete_failures), (2, 1, 0));
}

#[test]
fn when_work_fails_those_who_wait_take_turns() {
    let (_folder, [_, _, rw]) = folders();
    let layers = Layers::builder().read_write(&rw).build();
    let (working, worked) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let flight = layers.begin(&key());
                if layers.look_again(&flight).is_hit() {
                    return;
                }
                assert_eq!(working.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
                thread::sleep(Duration::from_millis(10));
                // The fourth one makes it, the others fail.
                if worked.fetch_add(1, Ordering::SeqCst) == 3 {
                    assert!(layers.publish(&key(), &content("made"), b"").is_none());
                }
                working.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    assert_eq!(worked.load(Ordering::SeqCst), 4);
    assert_eq!(hit(&layers).1, "made");
}

#[test]
fn lines_are_noted_in_a_record_in_each_mode() {
    let (folder, [_, _, rw]) = folders();
    let path = folder.path().join("record");
    for mode in [Mode::Auto, Mode::ReadOnly, Mode::RequireHit, Mode::Off] {
        let layers = Layers::builder().read_write(&rw).mode(mode).record(&path).build();
        assert!(layers.problems().is_empty());
        layers.note(|| format!("in mode {mode}"));
        layers.note(|| format!("in mode {mode}"));
        assert_eq!(layers.stats().record_failures, 0);
    }
    let all = "in mode auto\nin mode read-only\nin mode require-hit\nin mode off\n";
    assert_eq!(fs::read_to_string(path).unwrap(), all);
}

#[test]
fn what_is_rejected_is_not_returned_again() {
    let (_folder, [one, two, rw]) = folders();
    fill(&one, "one");
    fill(&two, "two");
    let layers = Layers::builder().read_only(&one).read_only(&two).read_write(&rw).build();
    let (layer, _) = hit(&layers);
    assert!(layers.reject(&key(), layer, Reject::Mismatch).is_none());
    let (layer, text) = hit(&layers);
    assert_eq!((layer, &*text), (LayerId::Layer(1), "two"));
    assert!(layers.reject(&key(), layer, Reject::Corrupt).is_none());
    let lookup = layers.lookup(&key());
    assert_eq!(lookup.miss_reason(), Some(MissReason::Corrupt));
    assert!(matches!(lookup.trace[0].result, ProbeResult::Rejected));
    layers.publish(&key(), &content("rw"), b"");
    assert_eq!(hit(&layers).0, LayerId::Dir);
    layers.reject(&key(), LayerId::Dir, Reject::Corrupt);
    assert_eq!(fs::read_dir(rw.join(&key().to_string()[..64])).unwrap().count(), 0);
    layers.publish(&key(), &content("better"), b"");
    assert_eq!(hit(&layers).1, "better");
    let stats = layers.stats();
    assert_eq!((stats.rejected_mismatch, stats.rejected_corrupt, stats.deletes), (1, 2, 1));
}

#[test]
fn the_modes() {
    let (_folder, [one, _, rw]) = folders();
    let build = |mode| Layers::builder().read_only_if_present(&one).read_write(&rw).mode(mode);
    for mode in [Mode::ReadOnly, Mode::RequireHit, Mode::Off] {
        let layers = build(mode).try_build().unwrap();
        assert_eq!(layers.mode(), mode);
        assert!(layers.publish(&key(), &content("text"), b"").is_none());
        assert_eq!(layers.stats().adds, 0);
        drop(layers.begin(&key()));
        assert!(!rw.exists(), "{mode} creates nothing");
    }
    fill(&one, "one");
    fill(&rw, "rw");
    assert_eq!(hit(&build(Mode::ReadOnly).build()).1, "one");
    assert_eq!(hit(&build(Mode::RequireHit).build()).1, "one");
    let off = build(Mode::Off).build();
    assert_eq!((miss(&off), off.stats().misses_off), (MissReason::Off, 1));
    let before = fs::read_dir(&rw).unwrap().count();
    let layers = build(Mode::ReadOnly).build();
    drop((layers.begin(&key()), layers.lookup(&key())));
    assert_eq!(fs::read_dir(&rw).unwrap().count(), before, "no folders for locks");
}

#[test]
fn what_does_not_open_is_a_problem_and_done_without() {
    let (folder, [one, two, rw]) = folders();
    fs::write(&one, "a file").unwrap();
    let open = folder.path().join("open");
    fill(&open, "open");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let builder = || {
        Layers::builder().read_only(&two).read_only(&open).read_write(one.join("below")).memory(100)
    };
    let layers = builder().build();
    let problems: Vec<_> = layers.problems().iter().map(|problem| problem.layer).collect();
    assert_eq!(problems, [LayerId::Layer(0), LayerId::Layer(1), LayerId::Dir].map(Some));
    assert!(layers.problems()[2].to_string().starts_with("cache dir: "));
    assert!(builder().try_build().unwrap_err().is_missing());
    // What nobody could open is why it misses.
    let lookup = layers.lookup(&key());
    assert_eq!(lookup.miss_reason(), Some(MissReason::Untrusted));
    assert_eq!(lookup.miss_error().unwrap().path(), Some(open.as_path()));
    assert!(layers.publish(&key(), &content("memory"), b"").is_none());
    assert_eq!(hit(&layers), (LayerId::Memory, "memory".into()));
    // The explicit way out.
    let promise = TrustAnyone::i_vouch_for_every_writer();
    let layers = Layers::builder().read_only(&open).read_write(&rw).dangerously_trust(promise);
    let layers = layers.build();
    assert_eq!(hit(&layers).1, "open");
    assert!(layers.is_vouched());
}

#[test]
fn a_failing_disk_fails_no_run() {
    let (_folder, [_, _, rw]) = folders();
    let faults = Faults::new();
    let dir = DirOptions::new().with_faults(&faults).open(&rw).unwrap();
    let layers = Layers::builder().read_write_dir(dir).memory(1000).build();
    faults.fail_each(Operation::Write, Errno::NOSPC);
    let error = layers.publish(&key(), &content("text"), b"").unwrap();
    assert!(error.to_string().contains("free some space"), "{error}");
    assert_eq!(hit(&layers), (LayerId::Memory, "text".into()), "memory stands in");
    faults.fail_each(Operation::Lock, Errno::NOLCK);
    assert!(layers.begin(&key()).is_leader(), "without locks it goes on without");
    faults.heal();
    assert!(layers.publish(&key(), &content("text"), b"").is_none());
    layers.reject(&key(), LayerId::Memory, Reject::Mismatch);
    assert_eq!(hit(&layers).0, LayerId::Dir);
    faults.fail_each(Operation::Read, Errno::IO);
    let lookup = layers.lookup(&key());
    assert_eq!(lookup.miss_reason(), Some(MissReason::Io));
    assert!(matches!(lookup.miss_error().unwrap().kind(), ErrorKind::Io { .. }));
    faults.fail_each(Operation::Remove, Errno::ROFS);
    assert!(layers.reject(&key(), LayerId::Dir, Reject::Corrupt).is_some());
    assert_eq!(miss(&layers), MissReason::Corrupt, "it cannot be deleted, so it is remembered");
    faults.heal();
    assert!(layers.publish(&key(), &content("better"), b"").is_none());
    assert_eq!(hit(&layers), (LayerId::Dir, "better".into()), "a new entry is looked at again");
    let stats = layers.stats();
    assert_eq!((stats.adds, stats.add_failures, stats.delete_failures), (2, 1, 1));
    assert_eq!((stats.misses_io, stats.misses_corrupt), (1, 1));
}

#[test]
fn an_implementation_of_ones_own() {
    let own: Arc<dyn Cache> = Arc::new(MemoryCache::new());
    let promise = TrustAnyone::i_vouch_for_every_writer();
    let layers = Layers::builder().dangerously_read_write(Arc::clone(&own), promise).build();
    assert!(layers.is_vouched());
    let flight = layers.begin(&key());
    assert!(flight.is_leader() && !layers.look_again(&flight).is_hit());
    layers.publish(&key(), &content("text"), b"");
    assert_eq!(hit(&layers).1, "text");
    let layers = Layers::builder().dangerously_read_only(own, promise).policy(Policy::Header);
    assert_eq!(hit(&layers.build()).0, LayerId::Layer(0));
}

#[test]
fn of_many_threads_one_works() {
    let (_folder, [_, _, rw]) = folders();
    let layers = Layers::builder().read_write(&rw).build();
    let made = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                if layers.lookup(&key()).is_hit() {
                    return;
                }
                let flight = layers.begin(&key());
                if layers.look_again(&flight).is_hit() {
                    return;
                }
                made.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(30));
                assert!(layers.publish(&key(), &content("text"), b"").is_none());
            });
        }
    });
    assert_eq!(made.into_inner(), 1);
    assert_eq!(fs::read_dir(rw.join(".locks")).unwrap().count(), 0, "no lock file stays behind");
}

#[test]
fn between_two_engines_one_works_and_a_wait_ends() {
    let (_folder, [_, _, rw]) = folders();
    // Two values know of each other by the file lock only, as two processes do.
    let one = Layers::builder().read_write(&rw).build();
    let two = Layers::builder().read_write(&rw).wait(Duration::from_millis(20)).build();
    let flight = one.begin(&key());
    assert!(!flight.waited());
    let start = Instant::now();
    assert!(two.begin(&key()).waited());
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert_eq!((two.stats().waits, two.stats().wait_timeouts), (1, 1));
    let three = Layers::builder().read_write(&rw).build();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let flight = three.begin(&key());
            assert!(flight.waited());
            three.look_again(&flight).is_hit()
        });
        thread::sleep(Duration::from_millis(30));
        one.publish(&key(), &content("text"), b"");
        drop(flight);
        assert!(waiter.join().unwrap());
    });
    assert_eq!(three.stats().wait_timeouts, 0);
}

#[test]
fn a_lock_has_one_holder() {
    let (_folder, [_, _, rw]) = folders();
    let dir = DirCache::open(&rw).unwrap();
    let holders = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let lock = dir.lock(&key(), Duration::from_secs(60)).unwrap().unwrap();
                    assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                    thread::yield_now();
                    holders.fetch_sub(1, Ordering::SeqCst);
                    drop(lock);
                }
            });
        }
    });
}

#[test]
fn a_panic_frees_the_others() {
    let (_folder, [_, _, rw]) = folders();
    let layers = Layers::builder().read_write(&rw).build();
    thread::scope(|scope| {
        let flight = layers.begin(&key());
        let waiter = scope.spawn(|| layers.begin(&key()).waited());
        let worker = scope.spawn(move || {
            let _flight = flight;
            thread::sleep(Duration::from_millis(20));
            std::panic::resume_unwind(Box::new("on purpose"));
        });
        assert!(worker.join().is_err());
        waiter.join().unwrap();
    });
    assert!(!layers.begin(&key()).waited());
}
