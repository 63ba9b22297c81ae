//! What was checked is not checked again, unless it changed; and attempts to hide a change.
//!
//! Times that are put back are put back by the calls that exist for it; what no call can set is what
//! the memo relies upon.

#![expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "not a library")]

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use precompile_cache::testing::{Errno, Faults, Operation};
use precompile_cache::{
    Cache, Content, DirCache, DirOptions, Error, Key, LayerId, Layers, MissReason, Mode, Policy,
};
use tempfile::TempDir;

const LENGTH: usize = 900_000;

fn key(id: u8) -> Key {
    Key::new([1; 32], [id; 32])
}

fn content(id: u8) -> Vec<u8> {
    vec![id; LENGTH]
}

/// Long enough for a change to be old.
fn settle() {
    thread::sleep(Duration::from_millis(3200));
}

/// Whether files can be remembered where temporary files are.
fn is_supported() -> bool {
    let file = tempfile::tempfile().unwrap();
    let magic = rustix::fs::fstatfs(&file).unwrap().f_type as u32;
    let is_known = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994].contains(&magic);
    if !is_known {
        eprintln!("skipped: temporary files are on a file system where nothing is remembered");
    }
    is_known
}

/// A directory with one entry that is old enough.
fn settled() -> Option<(TempDir, PathBuf)> {
    if !is_supported() {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    let cache = DirCache::open(&path).unwrap();
    cache.add(&key(1), &Content::from_bytes(content(1)), b"").unwrap();
    settle();
    Some((folder, path))
}

/// Gets the entry with a new value of the cache, and counts the reads: as a new process would.
fn get(path: &Path) -> (Result<Option<Content>, Error>, usize) {
    let faults = Faults::new();
    let cache = DirOptions::new().with_faults(&faults).open(path).unwrap();
    faults.heal();
    let found = cache.get(&key(1));
    let reads = faults.log().iter().filter(|operation| **operation == Operation::Read).count();
    (found, reads)
}

fn entry(path: &Path) -> PathBuf {
    path.join(key(1).to_string())
}

/// Other bytes of the same length, with the old times: as hidden as it gets.
fn change_and_restore(path: &Path, change: impl FnOnce(&Path)) {
    let before = fs::metadata(path).unwrap();
    change(path);
    let times = rustix::fs::Timestamps {
        last_access: rustix::fs::Timespec {
            tv_sec: before.atime(),
            tv_nsec: before.atime_nsec() as _,
        },
        last_modification: rustix::fs::Timespec {
            tv_sec: before.mtime(),
            tv_nsec: before.mtime_nsec() as _,
        },
    };
    let flags = rustix::fs::AtFlags::empty();
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, flags).unwrap();
    let after = fs::metadata(path).unwrap();
    assert_eq!((after.len(), after.mtime()), (before.len(), before.mtime()));
    assert_eq!(after.mtime_nsec(), before.mtime_nsec());
}

fn flip(path: &Path) {
    use std::os::unix::fs::FileExt;
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 500_000).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 500_000).unwrap();
}

#[test]
fn an_entry_is_checked_once() {
    let Some((_folder, path)) = settled() else { return };
    let (found, first) = get(&path);
    assert_eq!(found.unwrap().unwrap().to_vec().unwrap(), content(1));
    // The trailer and one record, instead of four pieces more.
    for _ in 0..2 {
        let (found, again) = get(&path);
        assert!(found.unwrap().is_some());
        assert!(again == 2 && first > 4, "{first} reads, then {again}");
    }
    // Without its memo it is checked again.
    let name = format!(".memo-{}", rustix::process::geteuid().as_raw());
    fs::remove_file(path.join(name)).unwrap();
    assert!(get(&path).1 > 4);
    assert_eq!(get(&path).1, 2);
    // Another policy has no use for memos.
    let faults = Faults::new();
    let options = DirOptions::new().policy(Policy::Full).with_faults(&faults);
    let cache = options.open(&path).unwrap();
    faults.heal();
    assert!(cache.get(&key(1)).unwrap().is_some());
    assert_eq!(faults.log().iter().filter(|kind| **kind == Operation::Read).count(), 5);
}

#[test]
fn a_new_entry_is_checked_each_time() {
    if !is_supported() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let cache = DirCache::open(folder.path()).unwrap();
    cache.add(&key(1), &Content::from_bytes(content(1)), b"").unwrap();
    assert!(get(folder.path()).1 > 4);
    change_and_restore(&entry(folder.path()), flip);
    assert!(get(folder.path()).0.unwrap_err().is_corrupt());
}

#[test]
fn other_bytes_with_the_same_length_and_times() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 4] = [
        ("in place", flip),
        ("through another name", |path| {
            let other = path.with_file_name("other");
            fs::hard_link(path, &other).unwrap();
            flip(&other);
            fs::remove_file(other).unwrap();
        }),
        ("by another file", |path| {
            let other = path.with_file_name("other");
            fs::copy(path, &other).unwrap();
            flip(&other);
            fs::rename(other, path).unwrap();
        }),
        ("by way of another name", |path| {
            let other = path.with_file_name("other");
            fs::rename(path, &other).unwrap();
            flip(&other);
            fs::rename(other, path).unwrap();
        }),
    ];
    let attempt = |how: &str, change: Change| {
        let Some((_folder, path)) = settled() else { return };
        get(&path).0.unwrap();
        assert_eq!(get(&path).1, 2, "it is remembered");
        change_and_restore(&entry(&path), change);
        let error = get(&path).0.expect_err(how);
        assert!(error.is_corrupt(), "{how}: {error}");
        // Nor does it become right by time.
        settle();
        assert!(get(&path).0.unwrap_err().is_corrupt(), "{how}, later");
    };
    // All at once, since they wait most of the time.
    thread::scope(|scope| {
        for (how, change) in changes {
            scope.spawn(move || attempt(how, change));
        }
    });
}

#[test]
fn the_memo_of_a_file_is_not_taken_for_another() {
    let Some((folder, path)) = settled() else { return };
    let layers = Layers::builder().read_write(&path).build();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    fs::write(&one, "content of the one").unwrap();
    fs::write(&two, "content of another").unwrap();
    settle();
    let memo = |path: &Path| layers.file_memo(&File::open(path).unwrap());
    assert_eq!(memo(&one).digest(), None);
    memo(&one).note([1; 32]);
    assert_eq!(memo(&one).digest(), Some([1; 32]));
    assert_eq!(memo(&two).digest(), None);
    // Another process of this user knows it too, also one that only reads.
    for mode in [Mode::Auto, Mode::ReadOnly, Mode::RequireHit] {
        let layers = Layers::builder().read_write(&path).mode(mode).build();
        let memo = |path: &Path| layers.file_memo(&File::open(path).unwrap());
        assert_eq!(memo(&one).digest(), Some([1; 32]), "{mode}");
        if mode != Mode::Auto {
            memo(&two).note([2; 32]);
            assert_eq!(memo(&two).digest(), None, "{mode} writes nothing");
        }
    }
    let off = Layers::builder().read_write(&path).mode(Mode::Off).build();
    assert_eq!(off.file_memo(&File::open(&one).unwrap()).digest(), None);
    // The value is about the open file, and about what was in it when it was asked for.
    let before = memo(&two);
    change_and_restore(&two, |path| fs::write(path, "content of a third").unwrap());
    before.note([2; 32]);
    assert_eq!(memo(&two).digest(), None);
    // Exchanged, with each other's names and times.
    memo(&one).note([1; 32]);
    change_and_restore(&one, |path| {
        fs::rename(path, path.with_file_name("three")).unwrap();
        fs::rename(path.with_file_name("two"), path).unwrap();
        fs::rename(path.with_file_name("three"), path.with_file_name("two")).unwrap();
    });
    assert_eq!(memo(&one).digest(), None);
    assert!(matches!(memo(&two).digest(), None | Some([1, ..])));
    assert_eq!(layers.stats().memo_failures, 0);
}

#[test]
fn entries_of_read_only_layers_are_remembered_in_the_read_write_one() {
    let Some((folder, path)) = settled() else { return };
    let image = folder.path().join("image");
    DirCache::open_image(&image)
        .unwrap()
        .add(&key(2), &Content::from_bytes(content(2)), b"")
        .unwrap();
    settle();
    let before = fs::metadata(&image).unwrap();
    let reads = |layers: Layers, faults: &Faults| {
        faults.heal();
        let lookup = layers.lookup(&key(2));
        assert!(lookup.is_hit(), "{lookup:?}");
        faults.log().iter().filter(|operation| **operation == Operation::Read).count()
    };
    let build = |mode| {
        let faults = Faults::new();
        let options = DirOptions::new().with_faults(&faults);
        let image = options.open_read_only(&image).unwrap();
        let layers = Layers::builder().read_only_dir(image).read_write(&path).mode(mode);
        (layers.build(), faults)
    };
    // Reads of the image only: the trailer, and the content in four pieces.
    for (mode, expected) in
        [(Mode::ReadOnly, 5), (Mode::Auto, 5), (Mode::Auto, 1), (Mode::RequireHit, 1)]
    {
        let (layers, faults) = build(mode);
        assert_eq!(reads(layers, &faults), expected, "{mode}");
    }
    let after = fs::metadata(&image).unwrap();
    assert_eq!(
        (before.mtime_nsec(), before.ctime_nsec()),
        (after.mtime_nsec(), after.ctime_nsec())
    );
    // Changed, it is a miss, which deletes nothing there.
    change_and_restore(&image.join(key(2).to_string()), flip);
    let (layers, _faults) = build(Mode::Auto);
    assert_eq!(layers.lookup(&key(2)).miss_reason(), Some(MissReason::Corrupt));
    assert!(image.join(key(2).to_string()).exists());
}

#[test]
fn without_a_place_to_remember() {
    let folder = tempfile::tempdir().unwrap();
    let cache = DirCache::open_image(folder.path()).unwrap();
    let long = (1 << 20) + 1;
    cache.add(&key(1), &Content::from_bytes(content(1)), b"").unwrap();
    cache.add(&key(9), &Content::from_bytes(vec![2; long]), b"").unwrap();
    drop(cache);
    for key in [key(1), key(9)] {
        flip(&folder.path().join(key.to_string()));
    }
    // Up to a mebibyte all is checked, above that the trailer: as it is written down.
    let cache = DirCache::open_read_only(folder.path()).unwrap();
    assert!(cache.get(&key(1)).unwrap_err().is_corrupt());
    assert_eq!(cache.get(&key(9)).unwrap().unwrap().len(), long as u64);
    let full = DirOptions::new().policy(Policy::Full).open_read_only(folder.path()).unwrap();
    assert!(full.get(&key(9)).unwrap_err().is_corrupt());
    // With a place it is found.
    let rw = folder.path().join("rw");
    let layers = Layers::builder().read_only(folder.path()).read_write(rw).build();
    let lookup = layers.lookup(&key(9));
    if is_supported() {
        assert_eq!(lookup.miss_reason(), Some(MissReason::Corrupt));
    }
}

#[test]
fn a_memo_that_cannot_be_kept_changes_nothing() {
    let Some((_folder, path)) = settled() else { return };
    for (operation, errno) in [
        (Operation::Create, Errno::NOSPC),
        (Operation::Create, Errno::ACCESS),
        (Operation::Write, Errno::NOSPC),
        (Operation::Write, Errno::IO),
    ] {
        let faults = Faults::new();
        let dir = DirOptions::new().with_faults(&faults).open(&path).unwrap();
        let layers = Layers::builder().read_write_dir(dir).build();
        faults.fail_each(operation, errno);
        let lookup = layers.lookup(&key(1));
        assert!(matches!(
            lookup.outcome,
            precompile_cache::Outcome::Hit { layer: LayerId::Dir, .. }
        ));
        assert_eq!(layers.stats().memo_failures, 1, "{operation:?}");
    }
}

const ROLE: &str = "PRECOMPILE_MEMO_TEST_DIR";

/// A mount exchanged for another one, with a file of the same name, length, times and number.
#[test]
fn another_mount_in_the_same_place() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can mount");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--propagation", "private"]).arg(std::env::current_exe().unwrap());
    unshare.args(["--exact", "mounts", "--nocapture"]).env(ROLE, folder.path());
    match unshare.output() {
        Ok(output) => {
            let told = String::from_utf8_lossy(&output.stderr);
            let cannot = told.contains("unshare:");
            assert!(output.status.success() || cannot, "{told}");
            if cannot {
                eprintln!("skipped: no mount namespaces here: {told}");
            }
        }
        Err(error) => eprintln!("skipped: no `unshare`: {error}"),
    }
}

#[test]
fn mounts() {
    let Some(folder) = std::env::var_os(ROLE).map(PathBuf::from) else { return };
    let run = |program: &str, args: &[&str]| {
        assert!(Command::new(program).args(args).arg(&folder).status().unwrap().success());
    };
    let mount = || run("mount", &["-t", "tmpfs", "-o", "mode=0755", "tmpfs"]);
    let file = folder.join("file");
    let put = |text: &str| {
        mount();
        fs::write(&file, text).unwrap();
        let time = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
        settle();
        fs::metadata(&file).unwrap()
    };
    // The memos are elsewhere, on what stays.
    let elsewhere = tempfile::tempdir().unwrap();
    let layers = Layers::builder().read_write(elsewhere.path()).build();
    let memo = || layers.file_memo(&File::open(&file).unwrap());
    let one = put("content of the one");
    memo().note([1; 32]);
    if is_supported() {
        assert_eq!(memo().digest(), Some([1; 32]));
    }
    run("umount", &[]);
    let two = put("content of another");
    assert_eq!((one.ino(), one.len(), one.mtime()), (two.ino(), two.len(), two.mtime()));
    assert_eq!(memo().digest(), None);
    // One over the other, and away again: the first one is as it was.
    memo().note([2; 32]);
    put("content of a third");
    assert_eq!(memo().digest(), None);
    run("umount", &[]);
    assert!(matches!(memo().digest(), None | Some([2, ..])));
}
