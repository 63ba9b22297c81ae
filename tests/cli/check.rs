//! Would everything hit?

use crate::support::{Ended, World, finish, fixtures, program, tree};
use serde_json::Value;
use std::fs;

fn json(ended: &Ended) -> Value {
    serde_json::from_str(ended.text()).unwrap()
}

#[test]
fn before_and_after() {
    let world = World::new();
    let cache = world.arg("cache");
    let files = [program("hello"), program("sort")].map(|path| path.to_str().unwrap().to_string());
    let check = |more: &[&str]| {
        let fixed = ["check", "--target", "x86_64-linux", "--cache-dir", &cache];
        world.run(&[&fixed[..], more, &[&files[0][..], &files[1]]].concat())
    };
    check(&[]).expect(4, &["Missing", "no entry of this module", "0 cached, 2 missing"]);
    assert!(!world.path("cache").exists());
    world.run(&["--target", "x86_64-linux", "--cache-dir", &cache, &files[0]]).expect(0, &[]);
    let before = tree(&world.path("cache"));
    check(&[]).expect(4, &["1 cached, 1 missing"]);
    world.run(&["--target", "x86_64-linux", "--cache-dir", &cache, &files[1]]).expect(0, &[]);
    check(&[]).expect(0, &["2 cached, 0 missing"]);
    check(&["--cpu", "x86-64-v3"]).expect(4, &["cpu is x86-64-v2, this engine needs x86-64-v3"]);
    check(&["--bounds", "explicit"]).expect(4, &["bounds is guard"]);
    check(&["--opt-level", "none"]).expect(4, &["opt-level is speed"]);
    check(&["--features", "-simd"]).expect(4, &["features: this engine lacks simd"]);
    assert_eq!(tree(&world.path("cache")).len(), before.len() + 2);
}

#[test]
fn inputs_that_fail_are_no_misses() {
    let world = World::new();
    let cache = world.arg("cache");
    let random = fixtures("bad/random.wasm");
    world.run(&["check", "--cache-dir", &cache, random.to_str().unwrap()]).expect(1, &["Invalid"]);
    world.run(&["check", "--cache-dir", &cache, "missing"]).expect(1, &["no such file"]);
}

#[test]
fn what_nobody_has_looked_at_is_validated() {
    let world = World::new();
    let cache = world.arg("cache");
    // A body that returns nothing where an i32 is due.
    let body = b"\0asm\x01\0\0\0\x01\x05\x01\x60\0\x01\x7f\x03\x02\x01\0\x0a\x04\x01\x02\0\x0b";
    let file = world.write("body.wasm", body);
    let file = file.to_str().unwrap();
    world.run(&["check", "--cache-dir", &cache, file]).expect(1, &["Invalid", "body.wasm", "i32"]);
    world.run(&["--dry-run", "--cache-dir", &cache, file]).expect(1, &["Invalid", "body.wasm"]);
    let ended = world.run(&["run", "--require-hit", "--cache-dir", &cache, file]);
    ended.expect(124, &["tells whether the module is valid", "without --require-hit"]);
    let mut command = world.command();
    command.env("PRECOMPILE_CACHE_MODE", "require-hit").args(["run", file]);
    finish(&mut command, b"").expect(124, &["unset PRECOMPILE_CACHE_MODE"]);
    let text = world.write("text.wat", "(module (func (result i32)))");
    let text = text.to_str().unwrap();
    let ended = world.run(&["--cache-dir", &cache, text]);
    ended.expect(1, &["Invalid", "text.wat"]);
    let text = world.write("broken.wat", "(module (fnc))");
    let ended = world.run(&["--cache-dir", &cache, text.to_str().unwrap()]);
    ended.expect(1, &["broken.wat:1:10"]);
}

#[test]
fn a_mode_that_is_misspelled_is_an_error() {
    let world = World::new();
    let hello = program("hello");
    let hello = hello.to_str().unwrap();
    for (arguments, code) in [(&[hello][..], 2), (&["check", hello], 2), (&["run", hello], 125)] {
        let mut command = world.command();
        command.env("PRECOMPILE_CACHE_MODE", "require_hit").args(arguments);
        finish(&mut command, b"").expect(code, &["PRECOMPILE_CACHE_MODE", "require-hit or off"]);
    }
}

/// `check` says what a build makes, `check --host` what `run` would take here.
#[test]
fn the_host_takes_the_best_that_there_is() {
    let world = World::new();
    let (cache, hello) = (world.arg("cache"), program("hello"));
    let hello = hello.to_str().unwrap();
    let fixed = ["--cache-dir", &cache, hello];
    let run = |command: &[&str]| world.run(&[command, &fixed[..]].concat());
    let explained = json(&run(&["explain", "--format", "json"]));
    let wanted = explained["explanations"][0]["wanted"].as_array().unwrap().iter();
    let levels: Vec<_> =
        wanted.map(|wanted| wanted["settings"]["cpu"].as_str().unwrap().to_string()).collect();
    run(&["check", "--host"]).expect(4, &["Missing", &levels[0]]);
    assert!(!run(&["check"]).stderr.contains("--host"), "there is nothing for either");
    run(&["run", "--require-hit"]).expect(124, &[]);
    for level in levels.iter().rev() {
        run(&["--cpu", level]).expect(0, &["1 compiled"]);
        let ended = run(&["check", "--host", "--format", "json"]);
        ended.expect(0, &[]);
        assert_eq!(json(&ended)["modules"][0]["cpu"], **level, "the best that there is");
        run(&["check", "--host"]).expect(0, &["Cached", level]);
        run(&["explain"]).expect(0, &[]);
        run(&["run", "--require-hit"]).expect(0, &[]);
    }
    // A build makes another one than the best, and says so.
    if levels.len() > 1 {
        fs::remove_dir_all(world.path("cache")).unwrap();
        run(&["--cpu", &levels[0]]).expect(0, &[]);
        run(&["check", "--host"]).expect(0, &[&levels[0]]);
        run(&["check"])
            .expect(4, &["what `precompile FILE` makes", "--host asks what `run` takes"]);
        assert!(!run(&["check", "--quiet"]).stderr.contains("--host"));
        assert!(!run(&["check", "--cpu", &levels[1]]).stderr.contains("--host"));
    }
    run(&["check", "--host", "--fuel"]).expect(4, &["fuel is off"]);
    run(&["check", "--host", "--cpu", "native"]).expect(2, &["--host", "--cpu"]);
    let help = world.run(&["check", "--help"]);
    assert!(help.text().contains("what `precompile FILE` with the same options makes"));
    assert!(world.run(&["run", "--help"]).text().contains("`check --host`"));
}

#[test]
fn a_damaged_entry_is_named() {
    let world = World::new();
    let (cache, hello) = (world.arg("cache"), program("hello"));
    world.warm(&hello);
    let entry = world.entries("cache").remove(0);
    let mut bytes = fs::read(&entry).unwrap();
    bytes.truncate(5000);
    fs::write(&entry, bytes).unwrap();
    let (entry, hello) = (entry.to_str().unwrap(), hello.to_str().unwrap());
    let ended = world.run(&["check", "--format", "json", "--cache-dir", &cache, hello]);
    ended.expect(4, &["damaged cache entry", entry, "delete it"]);
    let miss = &json(&ended)["modules"][0]["miss"];
    assert_eq!(miss["reason"], "corrupt");
    assert!(miss["message"].as_str().unwrap().contains(entry));
}
