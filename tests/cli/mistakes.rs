//! Command lines that are mistyped, and outputs that nothing can be written to: what is said, and how
//! it ends.

use crate::support::{World, finish, program, tree};
use std::fs::File;
use std::process::{Command, Stdio};
use tests::precompile_binary;

#[test]
fn a_command_that_is_mistyped_is_suggested() {
    let world = World::new();
    for (typed, meant) in
        [("chekc", "check"), ("expain", "explain"), ("inspct", "inspect"), ("prune", "cache prune")]
    {
        let message = format!("no file or command `{typed}`; did you mean `{meant}`?");
        world.run(&[typed, "x.wasm"]).expect(2, &[&message]);
    }
    world.run(&["chekc", "--digest", "x"]).expect(2, &["did you mean `check`?"]);
    let known = world.run(&["check", "--no-such-option"]);
    known.expect(2, &["--no-such-option"]);
    assert!(!known.stderr.contains("did you mean"));
    // What is nothing like a command is a file that is not there.
    world.run(&["plugin", "--dry-run"]).expect(1, &["plugin: no such file or folder"]);
    world.run(&["chekc.wasm", "--dry-run"]).expect(1, &["chekc.wasm: no such file or folder"]);
    // And a file that is there is one, whatever it is called.
    world.write("chekc", std::fs::read(program("hello")).unwrap());
    let mut command = world.command();
    command.current_dir(world.path("")).args(["--dry-run", "chekc"]);
    finish(&mut command, b"").expect(0, &["1 to compile"]);
}

#[test]
fn values_that_cannot_be_meant_are_refused() {
    let world = World::new();
    let hello = program("hello");
    let hello = hello.to_str().unwrap();
    let dir = world.arg("nodir");
    for (args, code, message) in [
        (&["-j", "99999999", hello][..], 2, "a whole number up to 1024"),
        (&["-j=-1", hello], 2, "a whole number up to 1024"),
        (&["wast", "-j", "many", hello], 2, "a whole number up to 1024"),
        (&["wast", "--timeout", "nan", hello], 2, "a whole number of seconds"),
        (&["wast", "--timeout=-5", hello], 2, "a whole number of seconds"),
        (&["run", "--env", "=x", hello], 2, "belongs a name: NAME=VALUE"),
        (&["run", "--env", "", hello], 2, "--env"),
        (&["run", "--trust-dir", &dir, hello], 125, "there is no such folder"),
        (&["check", "--trust-dir", &dir, hello], 2, "there is no such folder"),
        (&["--trust-dir", &dir, hello], 2, "there is no such folder"),
        (&["cache", "ls", "--trust-dir", &dir], 2, "there is no such folder"),
        (&["check", "--trusted-key", &dir, hello], 2, "could not read the key"),
        (&["run", "--trusted-key", &dir, hello], 125, "could not read the key"),
    ] {
        let ended = world.run(args);
        ended.expect(code, &[message]);
        assert!(ended.stdout.is_empty());
    }
    assert!(!world.path("nodir").exists());
    // One that is made by what trusts it.
    let made = ["--trust-dir", &dir, "--cache-dir", &dir, hello];
    world.run(&made).expect(0, &["1 compiled"]);
    let own = world.arg(".cache/precompile");
    assert!(!world.path(".cache").exists());
    world.run(&["run", "--trust-dir", &own, hello]).expect(0, &[]);
    let mut command = world.command();
    command.current_dir(world.path("")).args([
        "check",
        "--trust-dir",
        "./below",
        "--below",
        "below",
    ]);
    finish(command.arg(hello), b"").expect(4, &["does not exist"]);
    let out = world.arg("out");
    world.run(&["--trust-dir", &out, "--out", &out, hello]).expect(0, &["1 compiled"]);
}

/// Opened for writing as it is: nothing is made or replaced.
fn into_full(world: &World, args: &[&str]) -> (Option<i32>, String) {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut command = world.command();
    let output = command.args(args).stdout(Stdio::from(full)).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn an_output_that_is_full_is_an_error() {
    let world = World::new();
    let hello = program("hello");
    let hello = hello.to_str().unwrap();
    for args in [
        &["--help"][..],
        &["-h"],
        &["--version"],
        &["run", "--help"],
        &["help", "cache"],
        &["settings"],
        &["completions", "bash"],
        &["cache", "dir"],
        &["explain", hello],
        &["check", "--format", "json", hello],
    ] {
        let (code, told) = into_full(&world, args);
        assert_eq!(code, Some(1), "{args:?}: {told}");
        assert!(told.contains("cannot write to standard output"), "{args:?}: {told}");
    }
    // What is wrong with the command line goes elsewhere.
    let (code, told) = into_full(&world, &["--no-such-option"]);
    assert_eq!(code, Some(2), "{told}");
}

#[test]
fn half_a_pair_of_keys_is_taken_away() {
    let world = World::new();
    std::fs::create_dir(world.path("keys")).unwrap();
    // A file of this process may have no byte, and trying is no signal but an error.
    let script = "trap '' XFSZ && ulimit -f 0 && exec \"$0\" keygen release --dir \"$1\"";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(precompile_binary()).arg(world.path("keys"));
    finish(command.env_clear(), b"").expect(1, &["release-1.key", "cannot be written"]);
    assert_eq!(tree(&world.path("keys")), []);
    // The second one of the two fails.
    world.write("taken/release-7.pub", "");
    let taken = world.arg("taken");
    world
        .run(&["keygen", "release-7", "--dir", &taken])
        .expect(1, &["there is a key of this name"]);
    assert_eq!(tree(&world.path("taken")).len(), 1);
    world.run(&["keygen", "release", "--dir", &world.arg("keys")]).expect(0, &[]);
    assert_eq!(tree(&world.path("keys")).len(), 2);
}

#[test]
fn scripts_without_directives_are_told() {
    let world = World::new();
    let script = world.write("empty.wast", ";; nothing\n");
    let ended = world.run(&["wast", script.to_str().unwrap()]);
    ended.expect(0, &["empty.wast: it has 0 directives", "0 directives passed"]);
}
