//! Each operation on the disk fails in turn: never a wrong content, a panic, or a key that cannot be
//! written any more.

use std::fs;
use std::path::Path;

use precompile_cache::testing::{Errno, Faults, Operation};
use precompile_cache::{Cache, Content, DirCache, DirOptions, Key, Result};

const ERRNOS: [Errno; 6] =
    [Errno::NOSPC, Errno::ROFS, Errno::ACCESS, Errno::IO, Errno::MFILE, Errno::NOENT];

fn key() -> Key {
    Key::new([1; 32], [2; 32])
}

fn old() -> Content {
    Content::from_bytes(vec![1; 1000])
}

fn new() -> Content {
    Content::from_bytes(vec![2; 600_000])
}

/// A directory with or without an entry, and a cache in it whose disk can fail.
fn set_up(has_entry: bool) -> (tempfile::TempDir, DirCache, Faults) {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults::new();
    let path = folder.path().join("cache");
    let cache = DirOptions::new().with_faults(&faults).open(path).unwrap();
    if has_entry {
        cache.add(&key(), &old(), b"").unwrap();
    }
    (folder, cache, faults)
}

fn temporary_files(cache: &DirCache) -> usize {
    fs::read_dir(cache.path().join(".tmp")).map_or(0, Iterator::count)
}

/// What is there: nothing, or one of the two contents, whole.
#[track_caller]
fn is_sound(cache: &DirCache) {
    if let Some(content) = cache.get(&key()).unwrap() {
        let bytes = content.to_vec().unwrap();
        assert!(bytes == old().to_vec().unwrap() || bytes == new().to_vec().unwrap());
    }
}

/// Runs `operate` once to count its operations, then once for each of them and each reason.
fn each_fault(
    has_entry: bool,
    operate: impl Fn(&DirCache) -> Result<()>,
    check: impl Fn(&DirCache, Errno, Result<()>),
) -> usize {
    let (_folder, cache, faults) = set_up(has_entry);
    faults.heal();
    operate(&cache).unwrap();
    let log = faults.log();
    for (number, operation) in log.iter().enumerate() {
        for errno in ERRNOS {
            for kills in [false, true] {
                let (_folder, cache, faults) = set_up(has_entry);
                if kills {
                    faults.fail_from(number, errno);
                } else {
                    faults.fail_nth(number, errno);
                }
                let result = operate(&cache);
                faults.heal();
                if result.is_err() && !kills && *operation != Operation::Remove {
                    assert_eq!(temporary_files(&cache), 0, "{operation:?} {errno:?}");
                }
                is_sound(&cache);
                check(&cache, errno, result);
                cache.add(&key(), &new(), b"").unwrap();
                assert_eq!(cache.get(&key()).unwrap().unwrap().len(), new().len());
            }
        }
    }
    log.len()
}

#[test]
fn add() {
    for has_entry in [false, true] {
        let count = each_fault(
            has_entry,
            |cache| cache.add(&key(), &new(), b"description"),
            |cache, _, result| {
                let found = cache.get(&key()).unwrap().map(|content| content.len());
                if result.is_ok() {
                    assert_eq!(found, Some(new().len()), "it said that it is there");
                } else if has_entry {
                    assert!(found.is_some(), "the old one goes only when the new one comes");
                }
            },
        );
        assert!(count > 10, "{count} operations");
    }
}

#[test]
fn delete() {
    each_fault(
        true,
        |cache| cache.delete(&key()),
        |cache, errno, result| {
            // Where the disk says that there is nothing, there is nothing to delete.
            if result.is_ok() && errno != Errno::NOENT {
                assert!(cache.get(&key()).unwrap().is_none(), "it said that it is gone");
            }
        },
    );
}

#[test]
fn get() {
    let get = |cache: &DirCache| match cache.get(&key())? {
        Some(content) => {
            assert_eq!(content.to_vec().unwrap(), old().to_vec().unwrap());
            Ok(())
        }
        None => Ok(()),
    };
    each_fault(true, get, |cache, _, _| {
        assert!(cache.get(&key()).unwrap().is_some(), "a failed get changes nothing");
    });
}

#[test]
fn siblings() {
    let siblings = |cache: &DirCache| cache.siblings(&[1; 32]).map(|_| ());
    each_fault(true, siblings, |cache, _, _| {
        assert_eq!(cache.siblings(&[1; 32]).unwrap().len(), 1);
    });
}

#[test]
fn lock() {
    let lock = |cache: &DirCache| cache.lock(&key(), std::time::Duration::ZERO).map(|_| ());
    each_fault(true, lock, |cache, _, _| {
        assert!(cache.lock(&key(), std::time::Duration::ZERO).unwrap().is_some());
    });
}

#[test]
fn open() {
    type Open = fn(&DirOptions, &Path) -> Result<DirCache>;
    let opens: [Open; 3] = [
        |options, path| options.open(path),
        |options, path| options.open_image(path),
        |options, path| options.open_read_only(path),
    ];
    for open in opens {
        for number in 0.. {
            let mut is_over = false;
            for errno in ERRNOS {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("a/b");
                fs::create_dir_all(folder.path().join("a/b/.tmp")).unwrap();
                let faults = Faults::new();
                faults.fail_nth(number, errno);
                let result = open(&DirOptions::new().with_faults(&faults), &path);
                is_over = faults.log().len() <= number;
                faults.heal();
                if let Ok(cache) = result {
                    assert!(cache.get(&key()).unwrap().is_none());
                }
                assert!(DirCache::open(&path).unwrap().add(&key(), &old(), b"").is_ok());
            }
            if is_over {
                assert!(number > 3);
                break;
            }
        }
    }
}
