//! Running: what is the guest's, what is ours, and how it ends.

use crate::support::{World, finish, program};
use std::io::{PipeReader, PipeWriter, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

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
        (&["add", "1"][..], "takes 2 arguments, there is 1: `1`"),
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

/// What was warmed with a setting is found by a run with the same one, and by no other.
#[test]
fn settings_are_those_of_warming() {
    let world = World::new();
    let wide = world.write(
        "wide.wat",
        r#"(module (func (export "_start") (drop (drop
            (i64.mul_wide_u (i64.const 1) (i64.const 1))))))"#,
    );
    let wide = wide.to_str().unwrap();
    let hello = program("hello");
    let hello = hello.to_str().unwrap();
    let host = precompile::Target::host().unwrap();
    let portable = precompile::CpuLevel::portable(host.arch()).to_string();
    for (file, settings, field) in [
        (hello, &["--opt-level", "none"][..], "opt-level"),
        (hello, &["--bounds", "explicit"], "bounds"),
        (hello, &["--nan-canonicalization"], "nan-canonicalization"),
        (hello, &["--relaxed-simd", "fast"], "relaxed-simd"),
        (hello, &["--features", "wasm2"], "features"),
        (hello, &["--features=-simd,-relaxed-simd", "--cpu", &portable], "features"),
        (wide, &["--features", "+wide-arithmetic"], "features"),
    ] {
        let cache = world.arg(field);
        let warm = [settings, &["--cache-dir", &cache, file]].concat();
        world.run(&warm).expect(0, &[]);
        let check = [&["check"], settings, &["--cache-dir", &cache, file]].concat();
        world.run(&check).expect(0, &[]);
        let run = ["run", "-v", "--require-hit", "--cache-dir", &cache];
        world.run(&[&run[..], settings, &[file]].concat()).expect(0, &["hit dir", "compiles: 0"]);
        world.run(&[&run[..], &[file]].concat()).expect(124, &[&format!("differs: {field}")]);
        std::fs::remove_dir_all(&cache).unwrap();
    }
    let refused = "needs the proposal wide-arithmetic, which is switched off";
    run(&world, &[wide]).expect(125, &[refused, "--features +wide-arithmetic"]);
    run(&world, &["--features", "all", wide]).expect(0, &[]);
    run(&world, &["--features", "+oops", wide]).expect(125, &["unknown proposal `oops`"]);
    run(&world, &["--cpu", "x86-64-v9", wide]).expect(125, &["unknown CPU level"]);
}

/// What the engine cannot do yet is refused by its name, wherever it is asked for.
#[test]
fn proposals_that_are_not_there_are_named() {
    let world = World::new();
    let hello = program("hello");
    let hello = hello.to_str().unwrap();
    let later = precompile::Features::WASM3.union(precompile::Features::THREADS);
    for name in later.difference(precompile::Features::SUPPORTED).names() {
        let text = format!("this engine does not support {name} yet");
        let features = format!("+{name}");
        run(&world, &["--features", &features, hello]).expect(125, &[&text]);
        for command in [&[][..], &["check"], &["wast"]] {
            let args = [command, &["--features", &features, hello]].concat();
            world.run(&args).expect(2, &[&text]);
        }
        world.run(&["settings", "--features", &features]).expect(2, &[&text]);
    }
}

/// What may not be compiled is not read into memory either: 16 MiB are enough for any module.
#[test]
fn a_miss_that_is_not_compiled_takes_no_memory() {
    let world = World::new();
    // 30 MiB that are no more than skipped by whoever decodes.
    let file = world.write("long.wasm", tests::long_module(30 << 20));
    let limited = |args: &[&str]| {
        let program = world.command();
        let mut shell = std::process::Command::new("sh");
        // Private memory that can be written; the limit is the kernel's own count.
        shell.args(["-c", "ulimit -d 16384 && exec \"$0\" \"$@\""]).arg(program.get_program());
        shell.args(args).env_clear().env("HOME", world.arg(""));
        finish(&mut shell, b"")
    };
    let (cache, file) = (world.arg("cache"), file.to_str().unwrap());
    let args = ["run", "--require-hit", "--cache-dir", &cache, file];
    limited(&args).expect(124, &["no entry of this module"]);
    assert!(!world.path("cache").exists());
    // Where it is compiled, that is not enough, so the limit does limit.
    assert_ne!(limited(&["run", "--cache-dir", &cache, file]).code, Some(0));
}

const ENDLESS: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_read"
        (func $read (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\10\00\00\00\06\00\00\00")
    (func (export "_start") (loop (br 0)))
    (func (export "short") (result i32) (i32.const 7))
    (func (export "wait")
        (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;

/// What ends a guest is code of its own, which is warmed and asked for by the same words.
#[test]
fn guests_end_by_fuel_or_time() {
    let world = World::new();
    let file = world.write("endless.wat", ENDLESS);
    let file = file.to_str().unwrap();
    let cache = world.arg("cache");
    let fixed = ["--cache-dir", &cache];
    for (option, value, warming, told) in [
        ("--fuel", "100000", "--fuel", "--fuel 100000 was not enough"),
        ("--timeout", "50ms", "--epoch-interruption", "longer than --timeout, which is 50ms"),
    ] {
        let run = |more: &[&str]| world.run(&[&["run", option, value], &fixed[..], more].concat());
        let needed = format!("`precompile {warming} FILE`");
        run(&["--require-hit", file]).expect(124, &[&needed]);
        let check = || world.run(&[&["check", "--host", warming], &fixed[..], &[file]].concat());
        check().expect(4, &[]);
        world.run(&[&[warming], &fixed[..], &[file]].concat()).expect(0, &["1 compiled"]);
        check().expect(0, &[]);
        run(&["--require-hit", file]).expect(134, &[told]);
        // What has to end in time gets all that it may need.
        let value = if option == "--timeout" { "60s" } else { value };
        let short = ["run", option, value, "--require-hit", "--invoke", "short", file];
        let short = world.run(&[&short[..1], &fixed, &short[1..]].concat());
        short.expect(0, &[]);
        assert_eq!(short.text(), "7\n");
        // Code without such an end is another.
        world.run(&[&["run", "--require-hit"], &fixed[..], &[file]].concat()).expect(124, &[]);
    }
    for bad in ["--fuel=-1", "--fuel=much", "--timeout=soon"] {
        world.run(&["run", bad, file]).expect(2, &["invalid value"]);
    }
    world.run(&["run", "--timeout", "0", "--invoke", "short", file]).expect(0, &[]);
    world.run(&["run", "--fuel", "0", "--invoke", "short", file]).expect(134, &["--fuel 0"]);
}

/// Where nobody looks at the epoch: in a function of the host.
#[test]
fn a_guest_that_waits_ends_by_time() {
    let world = World::new();
    let file = world.write("endless.wat", ENDLESS);
    let mut command = world.command();
    command.args(["run", "--timeout", "50ms", "--invoke", "wait"]).arg(file);
    let piped = std::process::Stdio::piped;
    let mut child = command.stdin(piped()).stdout(piped()).stderr(piped()).spawn().unwrap();
    // Open as long as the guest runs, and nothing comes.
    let stdin = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(134), "{told}");
    assert!(told.contains("longer than --timeout") && told.contains("of the host"), "{told}");
}

/// Fills standard error, which nobody reads; and does nothing at all.
const TALKING: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write"
        (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\10\00\00\00\01\00\00\00")
    (func (export "fill") (param $to i32)
        (loop
            (drop (call $write (local.get $to) (i32.const 0) (i32.const 1) (i32.const 8)))
            (br 0)))
    (func (export "spin") (loop (br 0)))
    (func (export "short") (result i32) (i32.const 7)))"#;

/// Waits for as long as it takes, but not for ever.
fn ended(child: &mut Child) -> ExitStatus {
    for _ in 0..1200 {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    child.kill().unwrap();
    panic!("it does not end");
}

/// A pipe that a guest has filled to its last byte.
fn full(mut command: Command) -> (PipeReader, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    let null = Stdio::null;
    command.stdin(null()).stdout(null()).stderr(writer.try_clone().unwrap());
    let status = ended(&mut command.spawn().unwrap());
    assert_eq!(status.code(), Some(134));
    (reader, writer)
}

#[test]
fn a_guest_ends_by_time_though_nobody_reads() {
    let world = World::new();
    let file = world.write("talking.wat", TALKING);
    let run = |limit: &str, more: &[&str]| {
        let mut command = world.command();
        command.args(["run", "--timeout", limit, "--cache-dir", &world.arg("cache"), "--invoke"]);
        command.arg(more[0]).arg(&file).args(&more[1..]);
        command
    };
    // One that waits for its reader, and one that has none to tell what became of it.
    let (mut reader, writer) = full(run("200ms", &["fill", "2"]));
    let mut spin = run("200ms", &["spin"]);
    spin.stdout(Stdio::null()).stderr(writer.try_clone().unwrap());
    assert_eq!(ended(&mut spin.spawn().unwrap()).code(), Some(134));
    // A guest that has ended is not ended again while its results wait for their reader.
    let mut command = run("8s", &["short"]);
    let mut short = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(9500));
    let drain = std::thread::spawn(move || {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        all
    });
    // The reader ends when the last writer is gone.
    drop((spin, command));
    let status = ended(&mut short);
    let mut told = String::new();
    short.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(status.code(), Some(0), "{told}");
    assert!(drain.join().unwrap().ends_with(b"7\n"));
}

/// What runs is what messages name, and not the first argument of the guest.
#[test]
fn a_guest_that_is_named_is_told_by_its_name() {
    let world = World::new();
    let file = world.write(
        "endless.wat",
        ENDLESS.replace("(func (export \"wait\")", "(func (export \"wait\") (param i32)"),
    );
    let fixed = ["--cache-dir", &world.arg("cache")];
    let warm = [&["--names", "--epoch-interruption"], &fixed[..], &[file.to_str().unwrap()]];
    world.run(&warm.concat()).expect(0, &["1 compiled"]);
    for (invoke, told) in [("wait", "of the host"), ("spin", "which is 50ms")] {
        let mut command = world.command();
        command.args(["run", "--timeout", "50ms", "--name", "endless.wat"]).args(fixed);
        let args: &[&str] = if invoke == "wait" { &["--invoke", "wait", "77"] } else { &[] };
        let (stdin, open) = std::io::pipe().unwrap();
        let output = command.args(args).stdin(stdin).output().unwrap();
        drop(open);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.starts_with("precompile: endless.wat: it took longer"), "{text}");
        assert!(text.contains(told), "{text}");
    }
}

/// A module writes no lines of its own into a log, by whichever name it gives.
#[test]
fn names_of_modules_stay_on_their_line() {
    let world = World::new();
    let forged = r#"x\0aprecompile: forged: line\e2\80\ae"#;
    let check = |name: &str, text: String, run_code: i32, check_code: i32| {
        let file = world.write(name, text);
        let file = file.to_str().unwrap();
        for (args, code) in [
            (&["run", "--features", "all", "--cache-dir", &world.arg("run"), file][..], run_code),
            (&["check", "--features", "all", "--cache-dir", &world.arg("none"), file], check_code),
        ] {
            let ended = world.run(args);
            ended.expect(code, &[]);
            let is_forged = |line: &str| line.starts_with("precompile: forged");
            assert!(!ended.stderr.lines().any(is_forged), "{}", ended.stderr);
            assert!(!ended.stderr.contains('\u{202e}'), "{}", ended.stderr);
            if args[0] == "run" {
                assert!(ended.stderr.contains(r"x\nprecompile: forged"), "{}", ended.stderr);
            }
        }
    };
    check("nl.wat", format!("(module (func (export \"{forged}\")))"), 125, 4);
    let shared = format!(
        "(module (import \"{forged}\" \"m\" (memory 1 1 shared)) (func (export \"_start\")))"
    );
    check("shared.wat", shared, 125, 4);
    let twice = format!("(module (func (export \"{forged}\")) (func (export \"{forged}\")))");
    check("twice.wat", twice, 125, 1);
}

#[test]
fn values_are_spelled_as_in_the_text_format() {
    let world = World::new();
    let text = r#"(module
        (func (export "f32") (param f32) (result f32) (local.get 0))
        (func (export "f64") (param f64) (result f64) (local.get 0))
        (func (export "bits") (param f64) (result i64) (i64.reinterpret_f64 (local.get 0))))"#;
    let file = world.write("same.wat", text);
    let file = file.to_str().unwrap();
    for (name, given, printed) in [
        ("f32", "nan:0x200001", "nan:0x200001"),
        ("f64", "-nan:0x1", "-nan:0x1"),
        ("f64", "-nan", "-nan"),
        ("f64", "1_000.5", "1000.5"),
        ("bits", "0x1p-1074", "1"),
    ] {
        // Before the values, too, options may be ended.
        for end in [&[][..], &["--"]] {
            let args = [&["--invoke", name, file][..], end, &[given]].concat();
            let ended = run(&world, &args);
            ended.expect(0, &[]);
            assert_eq!(ended.text().trim_end(), printed, "{args:?}");
        }
    }
    run(&world, &["--invoke", "f32", file, "x"])
        .expect(125, &["expected an f32: decimal, 0x1.8p-3"]);
    let told = "takes 1 argument, there are 2: `1` `--`";
    run(&world, &["--invoke", "f32", file, "1", "--"]).expect(125, &[told]);
}

#[test]
fn stacks_without_room_are_told() {
    let world = World::new();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -s 64 && exec \"$0\" run \"$1\""]);
    command.arg(tests::precompile_binary()).arg(program("hello")).env_clear();
    let ended = finish(command.env("HOME", world.path("home")), b"");
    ended.expect(134, &["call stack exhausted before any wasm was entered", "ulimit -s"]);
    assert!(!ended.stderr.contains("backtrace"), "{}", ended.stderr);
}
