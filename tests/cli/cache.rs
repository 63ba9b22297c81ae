//! The directory that is warmed: which one, and when it is refused.

use crate::support::{World, finish, fixtures, is_root, program, set_mode, tree};
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use tests::precompile_binary;

fn hello() -> String {
    program("hello").to_str().unwrap().to_string()
}

#[test]
fn the_second_time_is_a_hit() {
    let world = World::new();
    let args = ["--cache-dir", &world.arg("missing/parents/cache"), &hello()];
    world.run(&args).expect(0, &["   Compiling ", "1 module: 1 compiled, 0 cached, 0 failed"]);
    world.run(&args).expect(0, &["      Cached ", "1 module: 0 compiled, 1 cached, 0 failed"]);
    let quiet = world.run(&[&args[..], &["-q"]].concat());
    assert_eq!((quiet.code, &quiet.stderr[..], &quiet.stdout[..]), (Some(0), "", &b""[..]));
    let root = tree(&world.path("missing"));
    assert!(root.iter().all(|(path, mode)| mode & 0o077 == 0 || path.is_file()), "{root:?}");
}

#[test]
fn the_default_directory_is_the_users() {
    let world = World::new();
    world.run(&[&hello()]).expect(0, &["/.cache/precompile"]);
    assert_eq!(world.entries(".cache/precompile").len(), 1);
    let mut command = world.command();
    command.env("XDG_CACHE_HOME", world.path("xdg")).arg(hello());
    finish(&mut command, b"").expect(0, &["xdg/precompile"]);
    let mut command = world.command();
    command.env("PRECOMPILE_CACHE_DIR", world.path("named")).arg(hello());
    finish(&mut command, b"").expect(0, &["named"]);
    assert_eq!(world.entries("named").len(), 1);
}

#[test]
fn nothing_to_write_to_is_said() {
    let world = World::new();
    for (name, value, text) in [
        ("PRECOMPILE_CACHE_DIR", "", "PRECOMPILE_CACHE_DIR is empty"),
        ("PRECOMPILE_CACHE_MODE", "read-only", "PRECOMPILE_CACHE_MODE is read-only"),
        ("PRECOMPILE_CACHE_MODE", "off", "PRECOMPILE_CACHE_MODE is off"),
        ("HOME", "", "no home folder"),
    ] {
        let mut command = world.command();
        command.env(name, value).arg(hello());
        finish(&mut command, b"").expect(3, &[text]);
    }
}

#[test]
fn directories_that_cannot_be_used_are_refused() {
    let world = World::new();
    world.write("file", "");
    world.run(&["--cache-dir", &world.arg("file"), &hello()]).expect(3, &["is not a directory"]);
    let below = world.arg("file/below");
    world.run(&["--cache-dir", &below, &hello()]).expect(3, &["is not a directory"]);
    fs::create_dir(world.path("open")).unwrap();
    set_mode(&world.path("open"), 0o777);
    let open = world.arg("open");
    world.run(&["--cache-dir", &open, &hello()]).expect(3, &["untrusted", "0777", "choose"]);
    assert!(world.entries("open").is_empty());
    // A run goes on without, and says why it had to compile.
    let run = world.run(&["run", "--cache-dir", &open, &hello()]);
    run.expect(0, &["warning: cache dir: untrusted"]);
    assert!(run.text().starts_with("hello"));
    let miss = world.run(&["run", "--require-hit", "--cache-dir", &open, &hello()]);
    miss.expect(124, &["untrusted"]);
}

#[test]
fn directories_of_others_cannot_be_written() {
    let world = World::new();
    set_mode(&world.path(""), 0o755);
    fs::create_dir(world.path("cache")).unwrap();
    let program = world.path("precompile");
    // By another process, since one that is started meanwhile would have our copy open, and what is
    // open for writing cannot be started.
    assert!(Command::new("cp").arg(precompile_binary()).arg(&program).status().unwrap().success());
    let module = world.path("hello.wasm");
    fs::copy(hello(), &module).unwrap();
    set_mode(&module, 0o644);
    set_mode(&world.path("cache"), 0o555);
    let mut command = Command::new(program);
    command.env_clear().args(["--cache-dir", &world.arg("cache")]).arg(module);
    if is_root() {
        command.uid(65534).gid(65534);
    }
    finish(&mut command, b"").expect(3, &["permission", "choose a cache directory of your own"]);
}

#[test]
fn entries_depend_on_nothing_else() {
    let world = World::new();
    let programs = fixtures("programs");
    let programs = programs.to_str().unwrap();
    let all = |cache: &str, jobs: &str| {
        world.run(&["--cache-dir", &world.arg(cache), jobs, programs]).expect(0, &[]);
        let entries = world.entries(cache).into_iter();
        let contents = entries.map(|path| {
            let bytes = fs::read(&path).unwrap();
            (path.strip_prefix(world.path(cache)).unwrap().to_path_buf(), bytes)
        });
        contents.collect::<Vec<_>>()
    };
    let (one, two) = (all("one", "-j1"), all("two", "-j2"));
    assert!(one.len() > 15);
    assert!(one == two, "entries differ between -j1 and -j2");
}

#[test]
fn each_setting_has_its_entry() {
    let world = World::new();
    let cache = world.arg("cache");
    for settings in [
        &[][..],
        &["--cpu", "x86-64-v3"],
        &["--opt-level", "none"],
        &["--bounds", "explicit"],
        &["--nan-canonicalization"],
        &["--fuel"],
        &["--epoch-interruption"],
        &["--fuel", "--epoch-interruption"],
        &["--features", "-simd"],
        &["--target", "aarch64-unknown-linux-gnu"],
    ] {
        let fixed = ["--cache-dir", &cache, "--target", "x86_64-linux"];
        let args = if settings.contains(&"--target") { &fixed[..2] } else { &fixed };
        let ended = world.run(&[args, settings, &[&hello()]].concat());
        ended.expect(0, &["1 compiled"]);
    }
    assert_eq!(world.entries("cache").len(), 10);
    let two = ["--cache-dir", &cache, "--target", "x86_64-linux", "--cpu", "x86-64", "--cpu"];
    let ended = world.run(&[&two[..], &["x86-64-v3", &hello()]].concat());
    ended.expect(0, &["1 compiled, 1 cached"]);
}

#[test]
fn a_dry_run_writes_nothing() {
    let world = World::new();
    let cache = world.arg("cache");
    let dry = ["--dry-run", "--cache-dir", &cache, &hello()];
    world.run(&dry).expect(0, &["To compile", "1 to compile"]);
    assert!(!world.path("cache").exists());
    world.warm(&program("hello"));
    let before = tree(&world.path("cache"));
    world.run(&dry).expect(0, &["Cached"]);
    world.run(&["--dry-run", "--out", &world.arg("out"), &hello()]).expect(0, &["To compile"]);
    assert_eq!(tree(&world.path("cache")), before);
    assert!(!world.path("out").exists());
}

#[test]
fn an_entry_that_cannot_be_written_is_a_failure_of_the_cache() {
    let world = World::new();
    world.warm(&program("hello"));
    let entry = world.entries("cache").remove(0);
    // Others may write to the module's folder, so that nothing there is used or added.
    set_mode(entry.parent().unwrap(), 0o777);
    let args = ["--cache-dir", &world.arg("cache"), &hello()];
    let ended = world.run(&args);
    ended.expect(3, &["not cached: ", "untrusted", "1 compiled, 0 cached, 0 failed"]);
    let run = world.run(&["run", "--cache-dir", &world.arg("cache"), &hello()]);
    run.expect(0, &["warning: not cached: "]);
    assert!(run.text().starts_with("hello"));
}
