//! What an observer is told, and that it is what the counters count.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use precompile_cache::testing::{Errno, Faults, Operation};
use precompile_cache::{
    Budget, Content, DirOptions, Event, Key, LayerId, Layers, LayersBuilder, Observer, Reject,
    Stats,
};

#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Observer for Log {
    fn event(&self, event: &Event<'_>) {
        let more = match event {
            Event::Hit { layer, bytes, .. } => format!(" {layer} {bytes}"),
            Event::Miss { reason, .. } => format!(" {reason}"),
            Event::Added { bytes, .. } => format!(" {bytes}"),
            Event::AddFailed { error, .. } => format!(" {error}"),
            Event::Evicted(evicted) => format!(" {}", evicted.reason),
            _ => String::new(),
        };
        self.0.lock().unwrap().push(format!("{}{more}", event.name()));
    }
}

impl Log {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn key(id: u8) -> Key {
    Key::new([1; 32], [id; 32])
}

fn content() -> Content {
    Content::from_bytes(vec![7; 1000])
}

fn observed(builder: LayersBuilder) -> (Layers, Arc<Log>) {
    let log = Arc::new(Log::default());
    (builder.observer(log.clone()).build(), log)
}

/// The events that the counters of `stats` amount to.
fn counted(stats: &Stats) -> BTreeMap<&'static str, u64> {
    let all = [
        ("hit", stats.hits()),
        ("miss", stats.misses()),
        ("added", stats.adds),
        ("add-failed", stats.add_failures),
        ("rejected", stats.rejected_corrupt + stats.rejected_mismatch),
        ("deleted", stats.deletes),
        ("delete-failed", stats.delete_failures),
        ("waited", stats.waits),
        ("evicted", stats.evictions),
        ("upkeep-failed", stats.upkeep_failures),
    ];
    all.into_iter().filter(|(_, count)| *count > 0).collect()
}

#[test]
fn everything_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let builder = Layers::builder().read_write(folder.path().join("cache"));
    let (layers, log) = observed(builder.budget(Budget::new().max_bytes(1500)));
    layers.lookup(&key(1));
    assert_eq!(log.take(), ["miss absent"]);
    layers.lookup_any(&[key(1), key(2)]);
    assert_eq!(log.take(), ["miss absent"], "one question, one event");
    layers.publish(&key(1), &content(), b"");
    layers.settle();
    assert_eq!(log.take(), ["added 1000"]);
    layers.lookup_any(&[key(2), key(1)]);
    assert_eq!(log.take(), ["hit dir 1000"]);
    layers.reject(&key(1), LayerId::Dir, Reject::Corrupt);
    assert_eq!(log.take(), ["rejected", "deleted"]);
    layers.publish(&key(2), &content(), b"");
    layers.publish(&key(3), &content(), b"");
    layers.settle();
    let told = log.take();
    assert!(told.contains(&"evicted size".to_string()), "{told:?}");
    let flight = layers.begin(&key(4));
    thread::scope(|scope| {
        let waiter = scope.spawn(|| drop(layers.begin(&key(4))));
        thread::sleep(Duration::from_millis(50));
        drop(flight);
        waiter.join().unwrap();
    });
    assert!(log.take().iter().all(|event| event == "waited"));
}

/// Each failure of the disk is one event, and the counters agree with the events.
#[test]
fn failures_are_told_as_they_are_counted() {
    for operation in [
        Operation::Write,
        Operation::Rename,
        Operation::Sync,
        Operation::List,
        Operation::Open,
        Operation::Remove,
        Operation::Stat,
        Operation::Read,
    ] {
        for errno in [Errno::NOSPC, Errno::IO, Errno::ACCESS, Errno::MFILE, Errno::ROFS] {
            let folder = tempfile::tempdir().unwrap();
            let faults = Faults::new();
            let dir = DirOptions::new().with_faults(&faults).open(folder.path().join("c")).unwrap();
            let builder = Layers::builder().read_write_dir(dir);
            let (layers, log) = observed(builder.budget(Budget::new().max_bytes(1500)));
            layers.publish(&key(1), &content(), b"");
            layers.settle();
            faults.fail_each(operation, errno);
            layers.lookup(&key(1));
            layers.publish(&key(2), &content(), b"");
            layers.reject(&key(1), LayerId::Dir, Reject::Mismatch);
            layers.settle();
            faults.heal();
            let mut told = BTreeMap::new();
            for event in log.take() {
                let name = event.split(' ').next().unwrap().to_string();
                *told.entry(name).or_insert(0) += 1;
            }
            let stats = layers.stats();
            let told: BTreeMap<&str, u64> = told.iter().map(|(k, v)| (k.as_str(), *v)).collect();
            assert_eq!(told, counted(&stats), "{operation:?} {errno:?}");
            assert_eq!(stats.adds + stats.add_failures, 2, "{operation:?} {errno:?}");
        }
    }
}
