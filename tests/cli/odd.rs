//! What else happens to a cache directory: another version beside this one, a hand that cuts an
//! entry off, a process without descriptors, names that are no text, a clock that jumps.

use crate::support::{World, finish, program, tree};
use std::ffi::OsStr;
use std::fs::{self, File, FileTimes};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};
use tests::precompile_binary;

fn hello() -> String {
    program("hello").to_str().unwrap().to_string()
}

/// This program as another version of it: one with another hash of its sources inside.
fn other_version(world: &World) -> std::path::PathBuf {
    let settings = world.run(&["settings"]);
    let sources = settings.text().lines().find_map(|line| line.strip_prefix("sources = ")).unwrap();
    let mut bytes = fs::read(precompile_binary()).unwrap();
    let places: Vec<_> = (0..=bytes.len() - sources.len())
        .filter(|at| bytes[*at] == sources.as_bytes()[0])
        .filter(|at| bytes[*at..].starts_with(sources.as_bytes()))
        .collect();
    assert!(!places.is_empty(), "the program knows what it was made from");
    for at in places {
        bytes[at..at + sources.len()].fill(b'0');
    }
    let path = world.path("other-version");
    // Written by another process, since one that is started meanwhile would have our file open,
    // and what is open for writing cannot be started.
    let mut cp = Command::new("cp");
    finish(cp.arg("/dev/stdin").arg(&path), &bytes).expect(0, &[]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn two_versions_share_a_directory() {
    let world = World::new();
    let other = other_version(&world);
    let cache = world.arg("cache");
    let run = |program: &std::path::Path, args: &[&str]| {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", world.path("")).args(args);
        finish(&mut command, b"")
    };
    let hello = hello();
    let require = ["run", "-v", "--require-hit", "--cache-dir", &cache, &hello];
    run(&other, &["-v", "--cache-dir", &cache, &hello]).expect(0, &["1 compiled"]);
    let theirs = world.entries("cache").remove(0);
    let before = fs::read(&theirs).unwrap();
    world.run(&require).expect(124, &["sources is 0000", "this engine needs "]);
    let explained = world.run(&["explain", "--cache-dir", &cache, &hello]);
    assert!(explained.text().starts_with("MISS (engine-version)"), "{}", explained.text());
    // Each has its own, all at once and again and again.
    let programs = [precompile_binary(), &other];
    std::thread::scope(|scope| {
        for program in programs.into_iter().cycle().take(8) {
            scope.spawn(|| {
                let ended = run(program, &["run", "--cache-dir", &cache, &hello]);
                ended.expect(0, &[]);
                assert!(ended.text().starts_with("hello, world"), "{}", ended.text());
            });
        }
    });
    for program in programs {
        run(program, &require).expect(0, &["hit dir", "compiles: 0"]);
        run(program, &["cache", "verify", "--cache-dir", &cache]).expect(0, &["0 damaged"]);
    }
    assert!(fs::read(&theirs).unwrap() == before, "nobody touches what is the other's");
    let count = world.entries("cache").len();
    world.run(&["cache", "prune", "--old-versions", "--cache-dir", &cache]).expect(0, &[]);
    assert!(!theirs.exists() && world.entries("cache").len() < count);
    world.run(&require).expect(0, &["compiles: 0"]);
    // What is pruned under its feet the other one makes again.
    run(&other, &require).expect(124, &[]);
    run(&other, &["run", "-v", "--cache-dir", &cache, &hello]).expect(0, &["compiles: 1"]);
}

/// Says that it is there, reads a byte, and says that it goes on.
const WAITS: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write"
        (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read"
        (func $read (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\10\00\00\00\06\00\00\00")
    (data (i32.const 16) "ready\0a")
    (func (export "_start")
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;

/// Cuts the entry off in place while a guest runs that was loaded from it: whether the guest ended
/// well, and what was told.
fn cut_off(load: &str) -> (std::process::ExitStatus, String, String) {
    let world = World::new();
    let file = world.write("waits.wat", WAITS);
    world.warm(&file);
    let entry = world.entries("cache").remove(0);
    // A crash is what is waited for here, and nobody reads its core, of many gigabytes.
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -c 0 && exec \"$0\" \"$@\""]).arg(precompile_binary());
    command.args(["run", "--require-hit", "--load", load, "--cache-dir", &world.arg("cache")]);
    command
        .arg(file)
        .env_clear()
        .env("HOME", world.path(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.current_dir(world.path("")).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    File::options().write(true).open(&entry).unwrap().set_len(0).unwrap();
    // It may have ended already.
    _ = child.stdin.take().unwrap().write_all(b"x");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).replace(entry.to_str().unwrap(), "ENTRY");
    (output.status, rest, told)
}

#[test]
fn an_entry_that_is_cut_off_by_hand() {
    let (status, rest, told) = cut_off("map");
    assert_eq!(status.signal(), Some(6), "{told}");
    assert!(rest.is_empty() && told.contains("ENTRY` was shortened"), "{told}");
    let (status, rest, told) = cut_off("copy");
    assert_eq!((status.code(), &*rest, &*told), (Some(0), "xeady\n", ""));
}

/// Whatever a process has too few descriptors for: it does what it does without a cache, but for the
/// few that a cache has open itself.
#[test]
fn with_few_descriptors() {
    const OWN: usize = 4;
    let world = World::new();
    world.warm(&program("hello"));
    let run = |limit: usize, cache: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -n \"$1\" && shift && exec \"$0\" \"$@\""]);
        shell.arg(precompile_binary()).arg(limit.to_string()).arg("run").arg(hello());
        shell.env_clear().env("HOME", world.path("")).env("PRECOMPILE_CACHE_DIR", cache);
        finish(&mut shell, b"")
    };
    let right = run(1000, "").stdout;
    let mut works_without = Vec::new();
    for limit in 3..24 {
        works_without.push(run(limit, "").code == Some(0));
        let must = limit >= 3 + OWN && works_without[limit - 3 - OWN];
        for cache in [world.arg("cache"), world.arg(&format!("new-{limit}"))] {
            let with = run(limit, &cache);
            assert!(!with.stderr.contains("panicked"), "{limit}: {}", with.stderr);
            match with.code {
                Some(0) => assert_eq!(with.stdout, right, "{limit}"),
                _ => assert!(with.stdout.is_empty() && !must, "{limit}: {with:?}"),
            }
        }
    }
    assert!(works_without.contains(&false) && works_without.contains(&true));
    // And nothing that was left behind is in the way later.
    for entry in fs::read_dir(world.path("")).unwrap() {
        let cache = entry.unwrap().path();
        if cache.file_name().is_some_and(|name| name.as_bytes().starts_with(b"new-")) {
            let cache = cache.to_str().unwrap();
            assert_eq!(run(1000, cache).stdout, right);
            world.run(&["run", "--require-hit", "--cache-dir", cache, &hello()]).expect(0, &[]);
        }
    }
}

#[test]
fn names_in_any_encoding() {
    let world = World::new();
    let odd = OsStr::from_bytes(b"sp ace\n\xff\xfe\x1b[31m\xc3\xa9");
    let [folder, cache, image] = ["in", "cache", "image"].map(|name| world.path(name).join(odd));
    fs::create_dir_all(&folder).unwrap();
    let module = folder.join(odd).with_extension("wasm");
    fs::copy(program("hello"), &module).unwrap();
    let run = |words: &[&str], rest: &[&OsStr]| {
        let mut command = world.command();
        finish(command.args(words).args(rest), b"")
    };
    let cache = ["--cache-dir".as_ref(), cache.as_os_str()];
    let warmed = run(&["--format", "json"], &[cache[0], cache[1], folder.as_os_str()]);
    warmed.expect(0, &["1 compiled"]);
    assert!(!warmed.stderr.contains('\x1b'), "{:?}", warmed.stderr);
    serde_json::from_str::<serde_json::Value>(warmed.text()).unwrap();
    run(&["check"], &[cache[0], cache[1], folder.as_os_str()]).expect(0, &[]);
    run(&["explain"], &[cache[0], cache[1], module.as_os_str()]).expect(0, &[]);
    let ended = run(&["run", "-v", "--require-hit"], &[cache[0], cache[1], module.as_os_str()]);
    ended.expect(0, &["compiles: 0"]);
    assert!(!ended.stderr.contains('\x1b'), "{:?}", ended.stderr);
    run(&["cache", "verify"], &cache).expect(0, &["1 sound"]);
    // In the list of names such a one cannot be, which is said with the way out.
    let out = [image.as_os_str(), module.as_os_str()];
    run(&["--out"], &out).expect(1, &["1 compiled", "is not UTF-8", "--no-names"]);
    run(&["--no-names", "--out"], &out).expect(0, &["1 cached"]);
    for place in [world.path("cache").join(odd), world.path("cache").join(odd).join(odd)] {
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join(OsStr::from_bytes(&[0xfe; 64])), "foreign").unwrap();
    }
    run(&["cache", "ls"], &cache).expect(0, &[]);
    run(&["cache", "clean"], &cache).expect(0, &["Removed 1 entry"]);
    assert!(world.path("cache").join(odd).join(odd).exists(), "what is foreign stays");
}

/// All times lie in the future, as after a clock has jumped back, or before all time.
#[test]
fn a_clock_that_jumps() {
    let day = Duration::from_secs(86_400);
    for time in [SystemTime::now() + 4000 * day, SystemTime::UNIX_EPOCH - 400 * day] {
        let world = World::new();
        let cache = world.arg("cache");
        world.warm(&program("hello"));
        world.warm(&program("sort"));
        for name in [".tmp/1-0", ".locks/budget"] {
            world.write(&format!("cache/{name}"), "left behind");
        }
        let set = || {
            for (path, _) in tree(&world.path("cache")) {
                let times = FileTimes::new().set_accessed(time).set_modified(time);
                File::open(path).unwrap().set_times(times).unwrap();
            }
        };
        set();
        for name in ["hello", "sort"] {
            let module = program(name);
            let ended = world.run(&[
                "run",
                "-v",
                "--require-hit",
                "--cache-dir",
                &cache,
                module.to_str().unwrap(),
            ]);
            ended.expect(0, &["hit dir", "compiles: 0"]);
        }
        // A hit has put the time right: what was used now is not what goes for its age.
        let prune = ["cache", "prune", "--max-age", "1h", "--cache-dir", &cache];
        world.run(&prune).expect(0, &[]);
        assert_eq!(world.entries("cache").len(), 2);
        // Of those that were not used the future ones are not old, and the others are; what does
        // not fit goes either way.
        set();
        world.run(&prune).expect(0, &[]);
        let left = world.entries("cache").len();
        assert_eq!(left, if time > SystemTime::now() { 2 } else { 0 });
        world.warm(&program("hello"));
        let prune = ["cache", "prune", "--max-size", "0", "--cache-dir", &cache];
        world.run(&prune).expect(0, &[]);
        assert!(world.entries("cache").is_empty());
    }
}
