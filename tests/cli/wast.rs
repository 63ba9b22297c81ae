//! Scripts of tests.

use crate::support::{World, finish};
use serde_json::Value;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

const PASSES: &str = r#"(module (func (export "one") (result i32) (i32.const 1)))
(assert_return (invoke "one") (i32.const 1))
"#;

const FAILS: &str = r#"(module (func (export "one") (result i32) (i32.const 1))
    (func (export "trap") unreachable))
(assert_return (invoke "one") (i32.const 2))
(assert_trap (invoke "trap") "unreachable")

(assert_return (invoke "one"))
"#;

fn world() -> World {
    let world = World::new();
    world.write("scripts/b/fails.wast", FAILS);
    world.write("scripts/a.wast", PASSES);
    world.write("scripts/none.txt", "(oops)");
    world
}

#[test]
fn a_script_passes() {
    let world = world();
    let ended = world.run(&["wast", &world.arg("scripts/a.wast")]);
    ended.expect(0, &["1 script, 0 failed: 2 directives passed, 0 failed"]);
    assert_eq!(ended.text(), "");
    let ended = world.run(&["wast", "-q", &world.arg("scripts/a.wast")]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    finish(world.command().args(["wast", "-"]), PASSES.as_bytes()).expect(0, &["2 directives"]);
    assert!(!world.path(".cache").exists());
}

/// In the order of the folder, each with its place in front, and nothing stops the others.
#[test]
fn failures_have_places() {
    let world = world();
    let file = world.arg("scripts/b/fails.wast");
    let ended = world.run(&["wast", &world.arg("scripts")]);
    ended.expect(1, &["2 scripts, 1 failed: 4 directives passed, 2 failed"]);
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert!(lines[0].starts_with(&format!("{file}:3: assert_return: result 0 is")), "{lines:?}");
    assert_eq!(lines[1], format!("{file}:6: assert_return: 1 results, not 0"));
    assert_eq!(lines.len(), 3);
    let quiet = world.run(&["wast", "-q", "-j", "1", &world.arg("scripts")]);
    assert_eq!((quiet.code, quiet.stderr.lines().count()), (Some(1), 2), "{quiet:?}");
}

#[test]
fn what_cannot_be_read_or_parsed_fails() {
    let world = world();
    for (name, text, said) in [
        (
            "text.wast",
            &b"(module)\n(module (func (frob)))"[..],
            "text.wast:2: module: cannot parse",
        ),
        ("open.wast", b"(module)\n\n(module (func)", "open.wast:3: module: cannot parse"),
        ("words.wast", b"(module) words", "words.wast:1: words: cannot parse"),
        ("binary.wast", b"(module)\n\xff", "binary.wast: it is not UTF-8 from byte 9 on"),
    ] {
        world.write(name, text);
        let ended = world.run(&["wast", &world.arg(name), &world.arg("scripts/a.wast")]);
        ended.expect(1, &[said, "2 scripts, 1 failed"]);
    }
    world.run(&["wast", &world.arg("missing.wast")]).expect(1, &["no such file"]);
    world.write("empty/x.wat", "(module)");
    world.run(&["wast", &world.arg("empty")]).expect(1, &["no *.wast in this folder"]);
}

#[test]
fn a_document_for_tools() {
    let world = world();
    world.write("c.wast", b"\xff");
    let args = ["wast", "--format", "json", &world.arg("scripts"), &world.arg("c.wast")];
    let ended = world.run(&args);
    ended.expect(1, &[]);
    let document: Value = serde_json::from_str(ended.text()).unwrap();
    assert_eq!((&document["schema_version"], &document["command"]), (&1.into(), &"wast".into()));
    let scripts = document["scripts"].as_array().unwrap();
    let passed: Vec<_> = scripts.iter().map(|script| script["passed"].as_bool()).collect();
    assert_eq!(passed, [Some(true), Some(false), Some(false)]);
    assert_eq!(scripts[0]["path"], world.arg("scripts/a.wast"));
    let failure = &scripts[1]["failures"][1];
    assert_eq!((&failure["line"], &failure["directive"]), (&6.into(), &"assert_return".into()));
    assert_eq!(failure["message"], "1 results, not 0");
    assert!(scripts[2]["error"].as_str().unwrap().contains("not UTF-8"));
    let summary = &document["summary"];
    assert_eq!((&summary["scripts"], &summary["failed_scripts"]), (&3.into(), &2.into()));
    assert_eq!((&summary["passed"], &summary["failed"]), (&4.into(), &2.into()));
}

/// They switch proposals for their script only, and not against the command line.
#[test]
fn lines_at_the_top_switch_proposals() {
    let world = World::new();
    let two = "(module (memory 1) (memory 1))";
    let off = format!(";;! multi_memory = false\n;;! hogs_memory = true\n{two}");
    let on = format!(";;! multi_memory = true\n{two}");
    let files = [("off.wast", off), ("on.wast", on)].map(|(name, text)| {
        world.write(name, text);
        world.arg(name)
    });
    let run = |more: &[&str]| world.run(&[&["wast"], more, &[&files[0][..], &files[1]]].concat());
    run(&[]).expect(1, &["off.wast:3: module: refused", "2 scripts, 1 failed"]);
    run(&["--features", "+multi-memory"]).expect(0, &["2 scripts, 0 failed"]);
    run(&["--features", "-multi-memory"]).expect(1, &["on.wast:2: ", "2 scripts, 2 failed"]);
}

/// With each setting that code depends on, and none that cannot be.
#[test]
fn settings() {
    let world = world();
    let file = world.arg("scripts/a.wast");
    for more in [
        &["--opt-level", "none"][..],
        &["--bounds", "explicit"],
        &["--fuel", "--epoch-interruption", "--nan-canonicalization"],
        &["--cpu", "native"],
    ] {
        world.run(&[&["wast"], more, &[&file[..]]].concat()).expect(0, &["1 script, 0 failed"]);
    }
    world.run(&["wast"]).expect(2, &["FILE"]);
    world.run(&["wast", "--features", "+oops", &file]).expect(2, &["unknown proposal"]);
    world.run(&["wast", "--target", "x86_64-pc-windows-msvc", &file]).expect(2, &["run here"]);
}

/// A script that is about what the engine does not have is neither passed nor passed over.
#[test]
fn what_cannot_be_shown_is_skipped_aloud() {
    let world = world();
    world.write("skip/gc.wast", ";;! made_up = true\n;;! simd = true\n(module)\n(oops)");
    world.write("skip/component.wast", "(module)\n(component)\n(assert_invalid (module) \"\")");
    let [skip, passes] = [world.arg("skip"), world.arg("scripts/a.wast")];
    let ended = world.run(&["wast", &skip, &passes]);
    ended.expect(
        0,
        &[
            "gc.wast: it is about what is not here: made-up",
            "component.wast: it is about what is not here: component-model",
            "3 scripts, 0 failed, 2 skipped: 2 directives passed, 0 failed",
        ],
    );
    let ended = world.run(&["wast", "--format", "json", "--features", "all", &skip]);
    let document: Value = serde_json::from_str(ended.text()).unwrap();
    let script = &document["scripts"][1];
    assert_eq!((&script["skipped"], &script["passed"]), (&"made-up".into(), &false.into()));
    assert_eq!(document["summary"]["skipped_scripts"], 2);
}

/// Without --features, scripts of all versions and proposals run. What a text says of a proposal
/// that was not there yet is held against an engine without it.
#[test]
fn scripts_of_all_versions_run() {
    let world = World::new();
    let all = r#"(module (memory 1 1 shared) (memory 0 (pagesize 1))
    (func (export "nan") (result f32) (f32.const nan))
    (func (export "nans") (result v128) (v128.const f64x2 nan -nan))
    (func (param i64 i64) (result i64 i64) (i64.mul_wide_u (local.get 0) (local.get 1))))
(assert_return_canonical_nan (invoke "nan"))
(assert_return_arithmetic_nan_f64x2 (invoke "nans"))
(assert_invalid (module (memory 0) (memory 0)) "multiple memories")
(assert_invalid (module (func (result i32 i32) unreachable)) "invalid result arity")
(assert_invalid (module (global i32 (i32.const 0)) (global i32 (global.get 0))) "unknown global")
(assert_invalid (module (memory 1 1 shared)) "threads must be enabled for shared memories")
"#;
    world.write("all.wast", all);
    let file = world.arg("all.wast");
    world.run(&["wast", &file]).expect(0, &["7 directives passed, 0 failed"]);
    world.run(&["wast", "--features", "all", &file]).expect(0, &["7 directives passed"]);
    world.run(&["wast", "--features", "wasm2", &file]).expect(1, &["all.wast:1: module: refused"]);
    let wrong = r#"(module (func (export "one") (result f32) (f32.const 1)))
(assert_return_canonical_nan (invoke "one"))
(assert_return_canonical_nan (invoke "one") (f32.const 1))
(assert_return_canonical_nan_f32x4 (invoke "one"))
(assert_invalid (module (memory 0) (memory 0)) "type mismatch")
(assert_invalid (module (memory 0)) "multiple memories")
"#;
    world.write("wrong.wast", wrong);
    let lines = ["wrong.wast:2: ", "wrong.wast:3: ", "wrong.wast:4: "];
    let ended = world.run(&["wast", &world.arg("wrong.wast")]);
    ended.expect(1, &lines);
    ended.expect(1, &["wrong.wast:5: ", "wrong.wast:6: ", "1 directives passed, 5 failed"]);
}

/// The lines at the top of wasm-tools' scripts count as well.
#[test]
fn commands_at_the_top_switch_proposals() {
    let world = World::new();
    let script = ";; RUN: wast --assert default % \\\n;;   -f wasm1,simd\n\
        (module (func (drop (v128.const i32x4 0 0 0 0))))\n\
        (assert_invalid (module (table 0 funcref) (table 0 funcref)) \"\")\n";
    world.write("a.wast", script);
    world.run(&["wast", &world.arg("a.wast")]).expect(0, &["2 directives passed, 0 failed"]);
}

/// A script that is about more than there is has passed where it shows nothing of that.
#[test]
fn what_passes_is_not_skipped() {
    let world = World::new();
    world.write(
        "more.wast",
        ";;! made_up = true\n(module (func))\n(assert_invalid (module (func (result i32))) \"\")",
    );
    let missing = ";;! gc = true\n(assert_invalid (module (type (struct))) \"\")";
    world.write("missing.wast", missing);
    let args = ["wast", "-j", "1", &world.arg("more.wast"), &world.arg("missing.wast")];
    let ended = world.run(&args);
    ended.expect(0, &["missing.wast: it is about what is not here: gc"]);
    ended.expect(0, &["2 scripts, 0 failed, 1 skipped: 2 directives passed, 0 failed"]);
}

/// What fails in a thread that nobody waits for is a failure of its script, and of no other one.
#[test]
fn threads_that_nobody_waits_for_fail_their_script() {
    let world = World::new();
    let memory = "(module $M (memory (export \"m\") 1 1 shared))\n";
    let fails = format!(
        "{memory}(thread $T (shared (module $M)) (invoke \"nothing\"))\n\
         (thread $U (shared (module $M)) (invoke \"nothing\"))"
    );
    let hangs =
        format!("{memory}(thread $T (module (func (export \"f\") (loop (br 0)))) (invoke \"f\"))");
    world.write("s/a.wast", fails);
    world.write("s/b.wast", PASSES);
    world.write("s/c.wast", hangs);
    world.write("s/d.wast", PASSES);
    let ended = world.run(&["wast", "-j", "1", "--timeout", "2", &world.arg("s")]);
    ended.expect(1, &["a.wast:2: thread: line 2: invoke: ", "a.wast:3: thread: line 3: invoke: "]);
    ended.expect(1, &["c.wast:2: thread: the script takes longer than 2 s"]);
    ended.expect(1, &["4 scripts, 2 failed: 6 directives passed, 3 failed"]);
}

const ENDLESS: &str = r#"(module (func (export "f") (loop (br 0))))
(module (func (export "g")))
(invoke "g")
(module (func (export "f") (loop (br 0))))
(invoke "f")
(invoke "f")
"#;

/// A script without an end ends where it hangs, and no other one waits for it.
#[test]
fn a_script_that_hangs_fails() {
    let world = world();
    world.write("scripts/a-loop.wast", ENDLESS);
    world.write("scripts/start.wast", "(module (func $f (loop (br 0))) (start $f))\n(module)");
    let scripts = world.arg("scripts");
    for (more, said) in [
        (&["-j", "1"][..], "longer than 1 s"),
        (&["--epoch-interruption"], "interrupt"),
        (&["--epoch-interruption", "--opt-level", "none"], "interrupt"),
    ] {
        let args = [&["wast", "--timeout", "1"], more, &[&scripts]].concat();
        let ended = world.run(&args);
        let line = "4 scripts, 3 failed: 8 directives passed, 6 failed";
        ended.expect(
            1,
            &["a-loop.wast:5: invoke: ", "a-loop.wast:6: invoke: not run: ", said, line],
        );
        ended.expect(1, &["start.wast:1: module: ", "start.wast:2: module: not run"]);
    }
}

/// What a thread uses up counts for the whole script: nothing runs behind it.
#[test]
fn a_thread_that_hangs_ends_the_script() {
    let world = world();
    let thread = r#"(thread $t
  (module (func (export "f") (loop (br 0))))
  (invoke "f")
  (invoke "f"))
(wait $t)
(module)
"#;
    world.write("thread.wast", thread);
    let script = world.arg("thread.wast");
    let args =
        ["wast", "--epoch-interruption", "--timeout", "1", "--features", "+threads", &script];
    let ended = world.run(&args);
    ended.expect(1, &["thread.wast:5: wait: line 3: ", "interrupt", "; not run: "]);
    ended.expect(1, &["thread.wast:6: module: not run: ", "1 directives passed, 2 failed"]);
}

/// A script whose process dies, as it does when the engine crashes, fails from where it died on.
#[test]
fn a_script_that_crashes_fails() {
    let world = world();
    world.write("scripts/a-loop.wast", ENDLESS);
    let mut program = world.command();
    program.args(["wast", "-j", "1", &world.arg("scripts")]);
    program.stdout(Stdio::null()).stderr(Stdio::piped());
    let program = program.spawn().unwrap();
    let begin = Instant::now();
    // Its worker, as soon as it is there, and at work.
    let worker = loop {
        assert!(begin.elapsed() < Duration::from_secs(60), "there is no worker");
        thread::sleep(Duration::from_millis(50));
        let tasks = format!("/proc/{}/task", program.id());
        let tasks = fs::read_dir(tasks).unwrap().map(|task| task.unwrap().path());
        let children = tasks.map(|task| fs::read_to_string(task.join("children")).unwrap());
        if let Some(worker) = children.collect::<String>().split_whitespace().next() {
            break worker.to_string();
        }
    };
    let is_busy = || {
        let stat = fs::read_to_string(format!("/proc/{worker}/stat")).unwrap();
        let user: u64 =
            stat.rsplit(')').next().unwrap().split_whitespace().nth(11).unwrap().parse().unwrap();
        user > 50
    };
    while !is_busy() {
        assert!(begin.elapsed() < Duration::from_secs(60), "the worker does not work");
        thread::sleep(Duration::from_millis(50));
    }
    let killed = Command::new("kill").args(["-ABRT", &worker]).status().unwrap();
    assert!(killed.success());
    let output = program.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    for text in [
        "a-loop.wast:5: invoke: the process of the script died (signal: 6",
        "a-loop.wast:6: invoke: not run",
        "fails.wast:3: assert_return",
        "3 scripts, 2 failed: 8 directives passed, 4 failed",
    ] {
        assert!(told.contains(text), "{told}");
    }
}

#[test]
fn the_time_is_named_by_which_a_script_ends() {
    let world = World::new();
    let text = r#"(module (func (export "spin") (loop (br 0)))) (invoke "spin")"#;
    let script = world.write("spin.wast", text);
    for how in [&["--epoch-interruption"][..], &[]] {
        let args = [&["wast", "--timeout", "1", script.to_str().unwrap()][..], how].concat();
        world.run(&args).expect(1, &["takes longer than 1 s", "(--timeout)"]);
    }
    let help = world.run(&["wast", "--help"]);
    let is_listed = |name: &str| help.text().lines().any(|line| line.trim().starts_with(name));
    assert!(is_listed("--cpu") && !is_listed("--target") && !is_listed("--platform"));
}

#[test]
fn folded_legacy_exceptions_are_skipped() {
    let world = World::new();
    let text = "(module (func (export \"f\") (try (do (nop)) (catch_all (nop)))))";
    let script = world.write("legacy.wast", text);
    let ended = world.run(&["wast", script.to_str().unwrap()]);
    ended.expect(0, &["Skipped", "legacy-exceptions", "1 script, 0 failed, 1 skipped"]);
}
