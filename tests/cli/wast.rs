//! Scripts of tests.

use crate::support::{World, finish};
use serde_json::Value;

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
    let off = format!(";;! multi_memory = false\n;;! made_up = true\n{two}");
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
