//! Running: what is the guest's, what is ours, and how it ends.

use crate::support::{World, finish, program};

fn run(world: &World, args: &[&str]) -> crate::support::Ended {
    world.run(&[&["run", "--cache-dir", &world.arg("cache")][..], args].concat())
}

#[test]
fn a_miss_compiles_or_fails() {
    let world = World::new();
    let hello = program("hello");
    let hello = hello.to_str().unwrap();
    run(&world, &["--require-hit", hello])
        .expect(124, &["no entry of this module", "warm the cache"]);
    assert!(!world.path("cache").exists());
    run(&world, &["-v", hello]).expect(0, &["compiled (absent)", "compiles: 1", "instantiate"]);
    run(&world, &["-v", "--require-hit", hello]).expect(0, &["hit dir", "compiles: 0"]);
    run(&world, &["-v", "--load", "copy", hello]).expect(0, &["hit dir", "compiles: 0"]);
}

#[test]
fn options_end_at_the_file() {
    let world = World::new();
    let hello = program("hello");
    let ended = run(&world, &[hello.to_str().unwrap(), "--dir", "-v", "--", "-x"]);
    ended.expect(0, &[]);
    for text in ["[--dir]", "[-v]", "[--]", "[-x]"] {
        assert!(ended.text().contains(text), "{}", ended.text());
    }
}

#[test]
fn traps_tell_where() {
    let world = World::new();
    let path = world.write(
        "deep.wat",
        r#"(module
            (func $inner (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))
            (func $middle (drop (call $inner (i32.const 0))))
            (func (export "_start") (call $middle)))"#,
    );
    let ended = run(&world, &[path.to_str().unwrap()]);
    let message = "deep.wat: wasm trap: integer divide by zero\n";
    ended.expect(134, &["precompile: ", message, "wasm backtrace:", "- inner", "- middle"]);
    let start = world.write("start.wat", "(module (func $s unreachable) (start $s))");
    // Without `_start` nothing of a module runs.
    run(&world, &[start.to_str().unwrap()]).expect(125, &["exports no function"]);
}

#[test]
fn functions_are_called_by_name() {
    let world = World::new();
    let library = program("lib-wat");
    let library = library.to_str().unwrap();
    for (args, printed) in [
        (&["add", "2", "40"][..], "42\n"),
        (&["add", "0x7fffffff", "1"], "-2147483648\n"),
        (&["add", "4294967295", "-1"], "-2\n"),
        (&["fib", "20"], "6765\n"),
        (&["half", "5"], "2.5\n"),
        (&["half", "nan"], "nan\n"),
        (&["half", "-inf"], "-inf\n"),
        (&["swap", "1", "-2"], "-2\n1\n"),
        (&["nothing"], ""),
    ] {
        let ended = run(&world, &[&["--invoke", args[0], library][..], &args[1..]].concat());
        ended.expect(0, &[]);
        assert_eq!(ended.text(), printed, "{args:?}");
    }
    for (args, text) in [
        (&["add", "1"][..], "takes 2 arguments, there are 1"),
        (&["add", "1", "x"], "argument 2: expected an i32"),
        (&["half", "x"], "argument 1: expected an f64"),
        (&["missing"], "there is no export `missing`: it exports `add`"),
    ] {
        let ended = run(&world, &[&["--invoke", args[0], library][..], &args[1..]].concat());
        ended.expect(125, &[text]);
    }
    run(&world, &["--invoke", "fail", library]).expect(134, &["unreachable"]);
    run(&world, &[library]).expect(125, &["no `_start`", "--invoke", "`add`"]);
}

#[test]
fn what_is_missing_is_named() {
    let world = World::new();
    let hello = program("hello");
    let hello = hello.to_str().unwrap();
    run(&world, &["missing.wasm"]).expect(125, &["precompile: missing.wasm: no such file"]);
    let imports = world
        .write("imports.wat", "(module (import \"host\" \"f\" (func)) (func (export \"_start\")))");
    run(&world, &[imports.to_str().unwrap()]).expect(125, &["`host::f`", "wasi_snapshot_preview1"]);
    run(&world, &["--dir", "/no/such", hello]).expect(125, &["--dir /no/such: cannot open"]);
    run(&world, &["--env", "NO_SUCH", hello]).expect(125, &["--env NO_SUCH"]);
    let memory = world.write("memory.wat", "(module (memory (export \"_start\") 1))");
    run(&world, &[memory.to_str().unwrap()]).expect(125, &["not a function"]);
}

#[test]
fn nobody_has_to_read_what_is_printed() {
    let world = World::new();
    let binary = tests::precompile_binary().to_str().unwrap();
    let hello = program("hello");
    // The reader is gone before anything is written.
    for line in ["settings", "settings --format json", "completions bash", "--help"] {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("(sleep 0.2; {binary} {line}; echo code $? >&2) | true")]);
        finish(&mut shell, b"").expect(0, &["code 0"]);
    }
    let mut shell = std::process::Command::new("sh");
    let cache = world.arg("cache");
    let line = format!(
        "(sleep 0.2; {binary} --cache-dir {cache} --format json {} 2>&1; echo code $? >&2) | true",
        hello.display()
    );
    shell.args(["-c", &line]);
    finish(&mut shell, b"").expect(0, &["code 0"]);
}
