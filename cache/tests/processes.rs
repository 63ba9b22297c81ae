//! Several processes on one directory, writers that are killed, and what belongs to a process: its
//! umask, its user.
//!
//! A test starts this binary again with `ROLE` set, and then runs as one of the roles below.

#![expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "not a library")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use precompile_cache::{Cache, Content, DirCache, Key, Layers, LayersBuilder};

const ROLE: &str = "PRECOMPILE_CACHE_TEST_ROLE";
const DIR: &str = "PRECOMPILE_CACHE_TEST_DIR";

fn key(id: u8) -> Key {
    Key::new([1; 32], [id; 32])
}

fn content(id: u8) -> Vec<u8> {
    vec![id; 700_000]
}

/// `binary`, a copy of this one: started by `TEST_RUNNER`, where that names an emulator.
fn start(binary: &Path) -> Command {
    let Some(runner) = std::env::var_os("TEST_RUNNER") else { return Command::new(binary) };
    let mut command = Command::new(runner);
    command.arg(binary);
    command
}

/// This binary in a role; the test `role` runs it.
fn command(role: &str, dir: &Path) -> Command {
    let mut command = start(&std::env::current_exe().unwrap());
    command.args(["--exact", "role", "--nocapture"]).env(ROLE, role).env(DIR, dir);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn wait(mut child: Child) {
    assert!(child.wait().unwrap().success());
}

#[test]
fn role() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let dir = std::path::PathBuf::from(std::env::var_os(DIR).unwrap());
    match &*role {
        "write" => {
            let cache = DirCache::open(dir).unwrap();
            for id in (0..4).cycle() {
                cache.add(&key(id), &Content::from_bytes(content(id)), b"description").unwrap();
            }
        }
        "lock" => {
            let cache = DirCache::open(&dir).unwrap();
            let _lock = cache.lock(&key(0), Duration::ZERO).unwrap().unwrap();
            fs::write(dir.join("locked"), "").unwrap();
            thread::sleep(Duration::from_secs(600));
        }
        "make" => {
            let layers = Layers::builder().read_write(dir.join("cache")).build();
            if !layers.lookup(&key(0)).is_hit() {
                let flight = layers.begin(&key(0));
                if !layers.look_again(&flight).is_hit() {
                    let made = dir.join(format!("made-{}", std::process::id()));
                    fs::write(made, "").unwrap();
                    thread::sleep(Duration::from_millis(50));
                    assert!(
                        layers.publish(&key(0), &Content::from_bytes(content(0)), b"").is_none()
                    );
                }
            }
            assert!(layers.lookup(&key(0)).is_hit());
        }
        "image" => {
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
            let cache = DirCache::open_image(dir.join("usr/share/image")).unwrap();
            cache.add(&key(0), &Content::from_bytes(content(0)), b"").unwrap();
        }
        "private" => {
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(0));
            let cache = DirCache::open(dir.join("a/cache")).unwrap();
            cache.add(&key(0), &Content::from_bytes(content(0)), b"").unwrap();
            _ = cache.lock(&key(0), Duration::ZERO).unwrap().unwrap();
        }
        "foreign" => {
            // Not root, and not the owner: what root built is read, nothing can be written.
            let layers = Layers::builder().read_only(dir.join("image")).read_write(dir.join("rw"));
            let layers = layers.memory(0).build();
            assert!(layers.lookup(&key(0)).is_hit());
            assert_eq!(layers.problems().len(), 1, "{layers:?}");
            assert!(!layers.lookup(&key(1)).is_hit());
            assert!(layers.publish(&key(1), &Content::from_bytes(content(1)), b"").is_none());
            let error = DirCache::open(dir.join("rw")).unwrap_err().to_string();
            assert!(error.contains("a cache directory of your own"), "{error}");
            let error = DirCache::open(dir.join("image")).unwrap_err().to_string();
            assert!(error.contains("a cache directory of your own"), "{error}");
            // The same directory as the read-write one: read, since it cannot be written.
            let layers = Layers::builder().read_write(dir.join("image")).build();
            assert!(layers.lookup(&key(0)).is_hit());
            assert_eq!(layers.problems().len(), 1);
        }
        "environment" => {
            let layers = Layers::from_env();
            assert!(layers.problems().is_empty(), "{layers:?}");
            assert_eq!(layers.write_path().unwrap(), dir.join("rw").canonicalize().unwrap());
            assert!(layers.lookup(&key(0)).is_hit());
            assert!(LayersBuilder::from_env().try_build().is_ok());
        }
        _ => panic!("unknown role {role}"),
    }
}

#[test]
fn a_killed_writer_damages_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    for round in 0..30 {
        let mut child = command("write", &path).spawn().unwrap();
        // A different moment in each round, from before the first entry to many rounds on.
        thread::sleep(Duration::from_micros(1000 + 1700 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let cache = DirCache::open(&path).unwrap();
        for id in 0..4 {
            if let Some(found) = cache.get(&key(id)).unwrap() {
                assert!(found.to_vec().unwrap() == content(id));
            }
            cache.add(&key(id), &Content::from_bytes(content(id)), b"").unwrap();
        }
    }
    // What they left behind goes when it is old enough.
    let tmp = path.join(".tmp");
    let old = std::time::SystemTime::now() - Duration::from_secs(3700);
    for file in fs::read_dir(&tmp).unwrap() {
        let file = fs::File::options().append(true).open(file.unwrap().path()).unwrap();
        file.set_modified(old).unwrap();
    }
    DirCache::open(&path).unwrap();
    assert_eq!(fs::read_dir(&tmp).unwrap().count(), 0);
}

#[test]
fn processes_read_and_write_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    let mut writers: Vec<_> = (0..2).map(|_| command("write", &path).spawn().unwrap()).collect();
    let cache = DirCache::open(&path).unwrap();
    let start = Instant::now();
    let mut hits = 0;
    while start.elapsed() < Duration::from_millis(600) || hits < 10 {
        for id in 0..4 {
            if let Some(found) = cache.get(&key(id)).unwrap() {
                assert!(found.to_vec().unwrap() == content(id));
                hits += 1;
            }
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{hits} hits");
    }
    for writer in &mut writers {
        writer.kill().unwrap();
        writer.wait().unwrap();
    }
}

#[test]
fn of_many_processes_one_works() {
    let folder = tempfile::tempdir().unwrap();
    let children: Vec<_> =
        (0..8).map(|_| command("make", folder.path()).spawn().unwrap()).collect();
    children.into_iter().for_each(wait);
    let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let made = names.filter(|name| name.to_string_lossy().starts_with("made-")).count();
    assert_eq!(made, 1);
}

#[test]
fn a_lock_dies_with_its_holder() {
    let folder = tempfile::tempdir().unwrap();
    let cache = DirCache::open(folder.path()).unwrap();
    let mut holder = command("lock", folder.path()).spawn().unwrap();
    let start = Instant::now();
    while !folder.path().join("locked").exists() {
        assert!(start.elapsed() < Duration::from_secs(60));
        thread::sleep(Duration::from_millis(5));
    }
    assert!(cache.lock(&key(0), Duration::from_millis(20)).unwrap().is_none());
    assert!(cache.lock(&key(1), Duration::ZERO).unwrap().is_some(), "other keys are free");
    // Who has waited for long looks rarely, and still gets it at once; all of them after each other.
    thread::scope(|scope| {
        let waiter = || {
            let lock = cache.lock(&key(0), Duration::from_secs(60)).unwrap().unwrap();
            assert!(lock.waited());
            Instant::now()
        };
        let waiters = [(); 8].map(|()| scope.spawn(waiter));
        thread::sleep(Duration::from_millis(500));
        holder.kill().unwrap();
        let start = Instant::now();
        holder.wait().unwrap();
        for waiter in waiters {
            let delay = waiter.join().unwrap() - start;
            assert!(delay < Duration::from_secs(1), "{delay:?}");
        }
    });
    assert!(cache.lock(&key(0), Duration::ZERO).unwrap().is_some());
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    let folder = tempfile::tempdir().unwrap();
    wait(command("image", folder.path()).spawn().unwrap());
    wait(command("private", folder.path()).spawn().unwrap());
    let check = |top: &str, dir_mode: u32, file_mode: u32| -> usize {
        let mut todo = vec![folder.path().join(top)];
        let mut count = 0;
        while let Some(path) = todo.pop() {
            let metadata = fs::symlink_metadata(&path).unwrap();
            let expected = if metadata.is_dir() { dir_mode } else { file_mode };
            let mode = metadata.permissions().mode() & 0o7777;
            // The tags hold nothing that anybody needs to be kept from.
            let is_tag = ["CACHEDIR.TAG", ".gitignore"].iter().any(|tag| path.ends_with(tag));
            assert!(mode == expected || is_tag, "{mode:o} {}", path.display());
            if metadata.is_dir() {
                todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
            count += 1;
        }
        count
    };
    assert_eq!(check("usr", 0o755, 0o644), 5, "folders, group and entry; nothing else");
    check("a", 0o700, 0o600);
}

#[test]
fn another_user_reads_an_image() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can become another user");
        return;
    }
    // A folder of its own, since temporary folders are closed to others.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let image = DirCache::open_image(folder.path().join("image")).unwrap();
    image.add(&key(0), &Content::from_bytes(content(0)), b"").unwrap();
    drop(image);
    fs::create_dir(folder.path().join("rw")).unwrap();
    fs::set_permissions(folder.path().join("rw"), fs::Permissions::from_mode(0o755)).unwrap();
    // The binary may lie where the other user cannot go.
    let binary = folder.path().join("binary");
    // By another process, since one that is started meanwhile would have our copy open, and what is
    // open for writing cannot be started.
    wait(Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&binary).spawn().unwrap());
    let mut child = start(&binary);
    child.args(["--exact", "role"]).env(ROLE, "foreign").env(DIR, folder.path());
    let output = child.uid(12345).gid(12345).current_dir("/").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_environment() {
    let folder = tempfile::tempdir().unwrap();
    DirCache::open_image(folder.path().join("image"))
        .unwrap()
        .add(&key(0), &Content::from_bytes(content(0)), b"")
        .unwrap();
    let child = command("environment", folder.path())
        .env("PRECOMPILE_CACHE_DIR", folder.path().join("rw"))
        .env("PRECOMPILE_CACHE_PATH", folder.path().join("image"))
        .env_remove("PRECOMPILE_CACHE_MODE")
        .spawn();
    wait(child.unwrap());
}
