//! What is given: invalid modules, and what is no module at all.

use crate::support::{World, finish, fixtures, is_root, program, set_mode};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::Command;
use tests::precompile_binary;

#[test]
fn bad_modules_are_refused_with_a_message() {
    let world = World::new();
    let mut count = 0;
    for entry in fs::read_dir(fixtures("bad")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "wasm" && end != "wat") {
            continue;
        }
        let (path, cache) = (path.to_str().unwrap(), world.arg("cache"));
        let name = path.rsplit('/').next().unwrap();
        let warm = world.run(&["--cache-dir", &cache, path]);
        warm.expect(1, &["     Invalid ", name, "1 module: 0 compiled, 0 cached, 1 failed"]);
        assert!(warm.stdout.is_empty(), "{warm:?}");
        let run = world.run(&["run", "--cache-dir", &cache, path]);
        run.expect(125, &[&format!("precompile: {path}: ")]);
        assert!(run.stdout.is_empty(), "{run:?}");
        count += 1;
    }
    assert!(count > 30, "{count}");
    assert!(world.entries("cache").is_empty());
}

#[test]
fn messages_say_what_and_where() {
    let world = World::new();
    let cache = world.arg("cache");
    for (file, texts) in [
        ("bad/type-mismatch.wasm", &["expected i32, found i64", "offset 0x21"][..]),
        ("bad/component.wasm", &["component"]),
        ("bad/empty.wasm", &["empty"]),
        ("bad/unknown-word.wat", &["i32.frobnicate"]),
        ("wat/unsupported/gc-struct.wat", &["gc"]),
        ("wat/unsupported/legacy-exceptions.wasm", &["legacy-exceptions", "wasm-opt"]),
    ] {
        let path = fixtures(file);
        world.run(&["--cache-dir", &cache, path.to_str().unwrap()]).expect(1, texts);
    }
}

#[test]
fn a_failure_does_not_stop_the_others() {
    let world = World::new();
    let bad = fixtures("bad/random.wasm");
    let good = program("hello");
    let files = ["missing.wasm", bad.to_str().unwrap(), good.to_str().unwrap()];
    let ended = world.run(&[&["--cache-dir", &world.arg("cache")][..], &files].concat());
    let missing = "precompile: missing.wasm: no such file";
    ended
        .expect(1, &[missing, "Invalid", "Compiling", "3 modules: 1 compiled, 0 cached, 2 failed"]);
    assert_eq!(world.entries("cache").len(), 1);
}

#[test]
fn folders_are_searched_in_order() {
    let world = World::new();
    for name in ["in/b.wat", "in/sub/c.wasm", "in/a.wasm", "in/sub/deep/d.wat"] {
        world.write(name, format!("(module (func (export \"{name}\")))"));
    }
    world.write("in/readme.txt", "no module");
    world.write("elsewhere/e.wat", "(module)");
    symlink(world.path("elsewhere/e.wat"), world.path("in/link.wat")).unwrap();
    // A folder that leads back to itself has no end.
    symlink(world.path("in"), world.path("in/loop")).unwrap();
    let ended = world.run(&["--cache-dir", &world.arg("cache"), &world.arg("in")]);
    ended.expect(0, &["5 modules: 5 compiled"]);
    let compiled = ended.stderr.lines().filter(|line| line.contains("Compiling"));
    let names: Vec<_> = compiled.map(|line| line.split("/in/").nth(1).unwrap()).collect();
    let starts = ["a.wasm", "b.wat", "link.wat", "sub/c.wasm", "sub/deep/d.wat"];
    assert!(names.iter().zip(starts).all(|(name, start)| name.starts_with(start)), "{names:?}");

    fs::create_dir(world.path("empty")).unwrap();
    let ended = world.run(&["--cache-dir", &world.arg("cache"), &world.arg("empty")]);
    ended.expect(1, &["no *.wasm or *.wat in this folder"]);
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let world = World::new();
    let fifo = world.arg("pipe.wasm");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let cache = world.arg("cache");
    for path in [&fifo[..], "/dev/zero", "/dev/null"] {
        world.run(&["--cache-dir", &cache, path]).expect(1, &["not a regular file"]);
        world.run(&["run", "--cache-dir", &cache, path]).expect(125, &["not a regular file"]);
        world.run(&["inspect", path]).expect(1, &["not a regular file"]);
    }
    let folder = world.arg("");
    world.run(&["run", "--cache-dir", &cache, &folder]).expect(125, &["it is a folder"]);
}

#[test]
fn files_longer_than_a_module_are_not_read() {
    let world = World::new();
    let path = world.write("huge.wasm", b"\0asm\x01\0\0\0");
    fs::File::options().write(true).open(&path).unwrap().set_len(5 << 30).unwrap();
    let path = path.to_str().unwrap();
    let cache = world.arg("cache");
    world.run(&["--cache-dir", &cache, path]).expect(1, &["longer than 1 GiB"]);
    world.run(&["run", "--cache-dir", &cache, path]).expect(125, &["longer than 1 GiB"]);
}

#[test]
fn standard_input_is_a_module() {
    let world = World::new();
    let cache = world.arg("cache");
    let module = fs::read(program("hello")).unwrap();
    let warm = |stdin: &[u8]| finish(world.command().args(["--cache-dir", &cache, "-"]), stdin);
    warm(&module).expect(0, &["Compiling - "]);
    warm(b"").expect(1, &["Invalid - the module is empty"]);
    // What it is called is not part of what it is.
    let path = program("hello");
    let check = world.run(&["check", "--cache-dir", &cache, path.to_str().unwrap()]);
    check.expect(0, &["Cached"]);
    world.run(&["--cache-dir", &cache, "-", "-"]).expect(2, &["once"]);
}

#[test]
fn unreadable_files_are_named() {
    let world = World::new();
    let path = world.write("secret.wasm", "(module)");
    set_mode(&path, 0);
    // Nobody is kept out as root.
    let program = world.path("precompile");
    // By another process, since one that is started meanwhile would have our copy open, and what is
    // open for writing cannot be started.
    assert!(Command::new("cp").arg(precompile_binary()).arg(&program).status().unwrap().success());
    set_mode(&world.path(""), 0o755);
    let mut command = Command::new(program);
    command.env_clear().args(["--cache-dir", &world.arg("cache/of-mine")]).arg(&path);
    fs::create_dir(world.path("cache")).unwrap();
    if is_root() {
        std::os::unix::fs::chown(world.path("cache"), Some(65534), Some(65534)).unwrap();
        command.uid(65534).gid(65534);
    }
    finish(&mut command, b"").expect(1, &["secret.wasm: permission denied"]);
}

#[test]
fn text_has_the_key_of_its_binary() {
    let world = World::new();
    let text = fixtures("programs/hello-wat/hello-wat.wat");
    world.warm(&program("hello-wat"));
    world.warm(&text);
    assert_eq!(world.entries("cache").len(), 1);
    let text = text.to_str().unwrap();
    world.run(&["run", "--require-hit", "--cache-dir", &world.arg("cache"), text]).expect(0, &[]);
}

#[test]
fn wrong_command_lines_end_with_two() {
    let world = World::new();
    let hello = program("hello");
    let hello = hello.to_str().unwrap();
    for (args, text) in [
        (&["--no-such-option", hello][..], "--no-such-option"),
        (&["--cpu", "x86-64-v9", hello], "unknown CPU level"),
        (&["--target", "riscv64gc-unknown-linux-gnu", hello], "unknown target"),
        (&["--features", "sind", hello], "unknown proposal `sind`"),
        (&["--features", "+gc", hello], "does not support gc"),
        (&["--opt-level", "9", hello], "--opt-level"),
        (&["--cache-dir", "", hello], "--cache-dir <DIR>"),
        (&["run"], "FILE"),
        (&["check"], "FILE"),
        // Nothing is compiled by a command line that was meant as another one.
        (&["--color", "never", "run", hello], "comes before all options"),
    ] {
        world.run(args).expect(2, &[text]);
    }
    // What `Display` writes of a target is taken again.
    world.run(&["settings", "--target", "aarch64-apple-darwin"]).expect(0, &[]);
    assert_eq!(world.run(&["--help"]).code, Some(0));
}
