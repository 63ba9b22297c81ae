//! Real file systems: read-only, too small, exchanged under a running process. In a mount namespace
//! of this test's own, which only root can have; elsewhere these tests say that they are skipped.
//!
//! A test starts this binary again with `ROLE` set, in the namespace.

#![expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "not a library")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use precompile_cache::{
    Cache, Content, DirCache, Key, LayerId, Layers, Mode, Outcome, Reject, Stats,
};

const ROLE: &str = "PRECOMPILE_MOUNTS_TEST_ROLE";
const DIR: &str = "PRECOMPILE_MOUNTS_TEST_DIR";

fn key(id: u8) -> Key {
    Key::new([id; 32], [id; 32])
}

fn content(length: usize) -> Content {
    Content::from_bytes(vec![7; length])
}

/// Runs a role in a mount namespace of its own, with a folder on a tmpfs of `size`.
fn namespace(role: &str, size: &str) {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can mount");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c"]);
    let script = "mount -t tmpfs -o mode=0755,size=$1 tmpfs \"$2\" && shift 2 && exec \"$@\"";
    command.args([script, "sh", size]).arg(folder.path());
    command.arg(std::env::current_exe().unwrap()).args(["--exact", "role", "--nocapture"]);
    let output = match command.env(ROLE, role).env(DIR, folder.path()).output() {
        Ok(output) => output,
        Err(error) => return eprintln!("skipped: no `unshare`: {error}"),
    };
    let told = String::from_utf8_lossy(&output.stderr);
    if told.contains("unshare:") || told.contains("mount:") {
        return eprintln!("skipped: no mount namespaces here: {told}");
    }
    assert!(output.status.success(), "{told}");
}

/// Copies a program in a process of its own: one that another thread starts meanwhile would have a
/// copy of ours open, and a program that is open for writing cannot be started.
fn copy(program: &Path, to: &Path) {
    assert!(Command::new("cp").args([program, to]).status().unwrap().success());
}

fn remount(dir: &Path, options: &str) {
    let options = format!("remount,{options}");
    assert!(Command::new("mount").args(["-o", &options]).arg(dir).status().unwrap().success());
}

/// All names, with what shows a change.
fn state(dir: &Path) -> Vec<(PathBuf, u64, i64, i64, i64)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            all.extend(state(&path));
        }
        let times = (metadata.atime_nsec(), metadata.mtime_nsec(), metadata.ctime_nsec());
        all.push((path, metadata.len(), times.0, times.1, times.2));
    }
    all.sort();
    all
}

#[test]
fn role() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let dir = PathBuf::from(std::env::var_os(DIR).unwrap());
    match &*role {
        "read-only" => read_only(&dir),
        "full" => full(&dir),
        "turned" => turned_read_only(&dir),
        "lost" => permission_lost(&dir),
        "unknown" => nothing_remembered(&dir),
        _ => panic!("unknown role {role}"),
    }
}

#[test]
fn layers_on_a_read_only_file_system() {
    namespace("read-only", "10m");
}

fn read_only(dir: &Path) {
    let image = dir.join("image");
    let cache = DirCache::open_image(&image).unwrap();
    cache.add(&key(1), &content(200_000), b"description").unwrap();
    cache.add(&key(2), &content(200_000), b"").unwrap();
    let damaged = cache.entry_path(&key(2));
    drop(cache);
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[100_000] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    // Somebody else's mode and owner, root's in fact: listed and read by all, written by none.
    for path in [&image, damaged.parent().unwrap()] {
        fs::set_permissions(path, Permissions::from_mode(0o555)).unwrap();
    }
    remount(dir, "ro,strictatime");
    let before = state(&image);
    let rw = tempfile::tempdir().unwrap();
    for mode in [Mode::Auto, Mode::ReadOnly, Mode::RequireHit] {
        let layers = Layers::builder().read_only(&image).read_write(rw.path()).mode(mode);
        let layers = layers.try_build().unwrap();
        assert!(layers.lookup(&key(1)).is_hit());
        assert!(!layers.lookup(&key(2)).is_hit());
        assert_eq!(layers.siblings(&[1; 32]).len(), 1);
        drop(layers.begin(&key(1)));
        assert!(layers.reject(&key(1), LayerId::Layer(0), Reject::Mismatch).is_none());
        assert!(!layers.lookup(&key(1)).is_hit());
    }
    assert!(DirCache::open(&image).is_err());
    // As the read-write one it is read; what is made goes to memory.
    let layers = Layers::builder().read_write(&image).memory(1 << 20).build();
    assert_eq!(layers.problems().len(), 1);
    assert!(layers.lookup(&key(1)).is_hit());
    drop(layers.begin(&key(3)));
    assert!(layers.publish(&key(3), &content(10), b"").is_none());
    assert!(matches!(layers.lookup(&key(3)).outcome, Outcome::Hit { layer: LayerId::Memory, .. }));
    assert_eq!(state(&image), before, "no name, length or time has changed");
}

#[test]
fn a_file_system_that_fills_in_the_middle_of_an_add() {
    namespace("full", "1m");
}

fn full(dir: &Path) {
    let layers = Layers::builder().read_write(dir.join("cache")).try_build().unwrap();
    assert!(layers.publish(&key(1), &content(300_000), b"").is_none());
    let before = state(dir).len();
    // Piece by piece: the first ones fit.
    let flight = layers.begin(&key(2));
    let error = layers.publish(&key(2), &content(900_000), b"").unwrap();
    assert!(error.to_string().contains("free some space"), "{error}");
    drop(flight);
    let expected = Stats::default();
    let stats = layers.stats();
    assert_eq!((stats.adds, stats.add_failures), (1, 1));
    assert_eq!((stats.io_errors, stats.lock_failures), (expected.io_errors, 0));
    let left: Vec<_> = state(dir).into_iter().map(|(path, ..)| path).collect();
    let new = left.iter().filter(|path| !path.ends_with(".locks")).count();
    assert_eq!(new, before, "{left:?}");
    // What there was is there, and what fits still goes in.
    assert!(layers.lookup(&key(1)).is_hit());
    assert!(!layers.lookup(&key(2)).is_hit());
    assert!(layers.publish(&key(2), &content(400_000), b"").is_none());
    assert!(layers.lookup(&key(2)).is_hit());
    // Without room for a single file more: reading goes on, also for new processes.
    _ = fs::write(dir.join("ballast"), vec![0; 1 << 20]);
    let layers = Layers::builder().read_write(dir.join("cache")).build();
    assert!(layers.lookup(&key(1)).is_hit() && layers.lookup(&key(2)).is_hit());
    assert!(layers.publish(&key(3), &content(10), b"").is_some());
}

#[test]
fn a_file_system_that_becomes_read_only() {
    namespace("turned", "10m");
}

fn turned_read_only(dir: &Path) {
    let layers = Layers::builder().read_write(dir.join("cache")).try_build().unwrap();
    assert!(layers.publish(&key(1), &content(200_000), b"").is_none());
    remount(dir, "ro");
    let flight = layers.begin(&key(2));
    assert!(flight.is_leader(), "without a lock");
    let error = layers.publish(&key(2), &content(10), b"").unwrap();
    assert!(error.to_string().contains("Read-only file system"), "{error}");
    assert!(layers.lookup(&key(1)).is_hit());
    let stats = layers.stats();
    assert_eq!((stats.add_failures, stats.lock_failures, stats.io_errors), (1, 1, 0));
    remount(dir, "rw");
    assert!(layers.publish(&key(2), &content(10), b"").is_none(), "and it goes on");
}

#[test]
fn damage_on_a_file_system_where_nothing_is_remembered() {
    namespace("unknown", "20m");
}

fn nothing_remembered(dir: &Path) {
    let other = dir.join("other");
    fs::create_dir(&other).unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", "ramfs", "-o", "mode=0755", "ramfs"]).arg(&other);
    assert!(mount.status().unwrap().success());
    let image = DirCache::open_image(other.join("image")).unwrap();
    // Longer than what is checked without a place to remember it in.
    image.add(&key(1), &content(3 << 20), b"").unwrap();
    let entry = image.entry_path(&key(1));
    let good = fs::read(&entry).unwrap();
    let mut bad = good.clone();
    bad[2 << 20] ^= 1;
    let hits = |rw: Option<&Path>| {
        let layers = Layers::builder().read_only(image.path());
        let layers = if let Some(rw) = rw { layers.read_write(rw) } else { layers };
        layers.try_build().unwrap().lookup(&key(1)).is_hit()
    };
    for rw in [dir.join("rw"), other.join("rw")] {
        fs::write(&entry, &good).unwrap();
        assert!(hits(Some(&rw)) && hits(None));
        std::thread::sleep(std::time::Duration::from_millis(3200));
        assert!(hits(Some(&rw)));
        fs::write(&entry, &bad).unwrap();
        assert!(!hits(Some(&rw)), "with a directory of one's own damage is never served");
        assert!(hits(None), "without, no more than the trailer is looked at");
    }
}

/// As root, who may do everything, another user has to be asked.
#[test]
fn permission_that_is_lost_after_the_start() {
    let folder = tempfile::tempdir().unwrap();
    if !rustix::process::geteuid().is_root() {
        return permission_lost(folder.path());
    }
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let own = folder.path().join("own");
    fs::create_dir(&own).unwrap();
    chown(&own, Some(12345), Some(12345)).unwrap();
    let binary = folder.path().join("binary");
    copy(&std::env::current_exe().unwrap(), &binary);
    let mut child = Command::new(&binary);
    child.args(["--exact", "role", "--nocapture"]).env(ROLE, "lost").env(DIR, &own);
    let output = child.uid(12345).gid(12345).current_dir("/").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn permission_lost(dir: &Path) {
    let path = dir.join("cache");
    let layers = Layers::builder().read_write(&path).try_build().unwrap();
    assert!(layers.publish(&key(1), &content(200_000), b"").is_none());
    let entry = path.join(key(1).to_string());
    let set = |mode| {
        for path in [&path, entry.parent().unwrap(), &path.join(".tmp")] {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
    };
    set(0o555);
    assert!(layers.begin(&key(2)).is_leader());
    let error = layers.publish(&key(2), &content(10), b"").unwrap();
    assert!(error.to_string().contains("a cache directory of your own"), "{error}");
    assert!(layers.lookup(&key(1)).is_hit());
    fs::set_permissions(&entry, Permissions::from_mode(0o000)).unwrap();
    assert!(!layers.lookup(&key(1)).is_hit());
    let stats = layers.stats();
    assert_eq!((stats.add_failures, stats.lock_failures, stats.io_errors), (1, 1, 1));
    set(0o700);
    assert!(layers.publish(&key(1), &content(200_000), b"").is_none());
    assert!(layers.lookup(&key(1)).is_hit(), "and it goes on");
}
