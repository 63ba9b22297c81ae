//! What the environment and the options say of the cache: the same thing, and nothing by mistake.

use crate::support::{Ended, World, finish, program};
use std::process::Command;

fn hello() -> String {
    program("hello").to_str().unwrap().to_string()
}

fn with(world: &World, variables: &[(&str, &str)], args: &[&str]) -> Ended {
    let mut command: Command = world.command();
    command.envs(variables.iter().copied()).args(args);
    finish(&mut command, b"")
}

#[test]
fn an_unknown_mode_compiles_nowhere() {
    let world = World::new();
    let hello = hello();
    let mode = [("PRECOMPILE_CACHE_MODE", "require_hit")];
    for (command, code) in
        [(&[][..], 2), (&["run"], 125), (&["check"], 2), (&["explain"], 2), (&["cache", "ls"], 2)]
    {
        let input: &[&str] = if command.first() == Some(&"cache") { &[] } else { &[&hello] };
        let ended = with(&world, &mode, &[command, input].concat());
        let texts = ["PRECOMPILE_CACHE_MODE", "expected a cache mode", "require_hit"];
        ended.expect(code, &texts);
        assert!(ended.stdout.is_empty());
    }
    assert!(!world.path(".cache").exists());
    // Empty is not set.
    with(&world, &[("PRECOMPILE_CACHE_MODE", "")], &["run", &hello]).expect(0, &[]);
}

#[test]
fn no_directory_is_none_for_everybody() {
    let world = World::new();
    let hello = hello();
    let none = [("PRECOMPILE_CACHE_DIR", "")];
    with(&world, &none, &[&hello]).expect(3, &["PRECOMPILE_CACHE_DIR is empty"]);
    with(&world, &none, &["--dry-run", &hello]).expect(0, &["1 to compile"]);
    with(&world, &none, &["run", "-v", &hello]).expect(0, &["compiled (absent)"]);
    with(&world, &none, &["check", &hello]).expect(4, &[]);
    with(&world, &none, &["explain", &hello]).expect(4, &[]);
    for command in ["dir", "ls", "stats", "verify", "clean"] {
        let ended = with(&world, &none, &["cache", command]);
        ended.expect(3, &["there is no cache directory"]);
    }
    // What is only read is looked into all the same, and never changed.
    world.run(&["--out", &world.arg("image"), &hello]).expect(0, &[]);
    let image = world.arg("image");
    let read = [none[0], ("PRECOMPILE_CACHE_PATH", &*image)];
    let dir = with(&world, &read, &["cache", "dir"]);
    dir.expect(0, &["Reads layer 0", &image]);
    assert!(dir.stdout.is_empty(), "nothing is written anywhere");
    let dir = with(&world, &read, &["cache", "dir", "--format", "json"]);
    let dir: serde_json::Value = serde_json::from_str(dir.text()).unwrap();
    assert!(dir["cache"].is_null());
    assert_eq!(dir["layers"][0]["path"], *image);
    let entry = world.entries("image").remove(0);
    let id = entry.file_name().unwrap().to_str().unwrap();
    let list = with(&world, &read, &["cache", "ls"]);
    assert!(list.text().contains(&id[..12]), "{}", list.text());
    let stats = with(&world, &read, &["cache", "stats"]);
    assert!(stats.text().starts_with(&image), "{}", stats.text());
    with(&world, &read, &["cache", "verify", "--rebuild", &hello])
        .expect(0, &["1 sound", "1 the same"]);
    for change in [&["clean"][..], &["prune", "--max-size", "0"]] {
        let ended = with(&world, &read, &[&["cache"], change].concat());
        ended.expect(3, &["only read are not changed"]);
    }
    assert!(entry.exists());
    std::fs::remove_dir_all(&image).unwrap();
    // An option is a name of something.
    world.run(&["--cache-dir", "", &hello]).expect(2, &["a value is required"]);
    assert_eq!(std::fs::read_dir(world.path("")).unwrap().count(), 0);
}

#[test]
fn what_is_found_below_is_copied_up() {
    let world = World::new();
    let hello = hello();
    world
        .run(&[
            "-q",
            "--cpu",
            "x86-64-v2",
            "--target",
            "x86_64-linux",
            "--out",
            &world.arg("share"),
            &hello,
        ])
        .expect(0, &[]);
    let settings = ["--cpu", "x86-64-v2", "--target", "x86_64-linux"];
    let below = ["--cache-dir", &world.arg("own"), "--below", &world.arg("share")];
    let check = [&["check"][..], &below, &settings, &[&hello]].concat();
    world.run(&check).expect(0, &["1 cached"]);
    assert!(!world.path("own").exists(), "who only looks copies nothing");
    let warm = [&below[..], &settings, &[&hello]].concat();
    world.run(&warm).expect(0, &["0 compiled, 1 cached"]);
    let alone = ["check", "--cache-dir", &world.arg("own")];
    world.run(&[&alone[..], &settings, &[&hello]].concat()).expect(0, &[]);
    assert_eq!(world.entries("own").len(), 1);
    let missing = ["--cache-dir", &world.arg("own"), "--below", &world.arg("missing"), &hello];
    world.run(&missing).expect(0, &["warning: ", "does not exist"]);
}

#[test]
fn the_users_own_directory_keeps_to_its_size() {
    let world = World::new();
    let programs =
        ["hello", "sort", "lib-wat"].map(|name| program(name).to_str().unwrap().to_string());
    let files: Vec<&str> = programs.iter().map(|path| &**path).collect();
    let small = [("PRECOMPILE_CACHE_MAX_SIZE", "1K")];
    with(&world, &small, &files).expect(0, &["3 compiled"]);
    assert_eq!(world.entries(".cache/precompile").len(), 1, "the one that was added last");
    for none in ["none", "0", ""] {
        let all = with(&world, &[("PRECOMPILE_CACHE_MAX_SIZE", none)], &files);
        all.expect(0, &[]);
        assert_eq!(world.entries(".cache/precompile").len(), 3);
    }
    let named = [small[0], ("PRECOMPILE_CACHE_DIR", &world.arg("named"))];
    with(&world, &named, &files).expect(0, &["3 compiled"]);
    assert_eq!(world.entries("named").len(), 1);
    // Who names a directory for this command means all of it.
    let exact = world.arg("exact");
    let args = [&["--cache-dir", &exact][..], &files].concat();
    with(&world, &small, &args).expect(0, &["3 compiled"]);
    assert_eq!(world.entries("exact").len(), 3);
    let bad = with(&world, &[("PRECOMPILE_CACHE_MAX_SIZE", "much")], &files);
    bad.expect(0, &["warning: expected a size", "such as 500M"]);
}

/// What the environment asks for and does not get is told once, whatever the cache has.
#[test]
fn what_cannot_be_meant_is_told_on_hits_as_well() {
    let world = World::new();
    let hello = hello();
    let dir = ("PRECOMPILE_CACHE_DIR", &*world.arg("cache"));
    with(&world, &[dir], &["run", &hello]).expect(0, &[]);
    let nowhere = world.arg("nowhere/file");
    for (variable, told) in [
        (("PRECOMPILE_RECORD", &*nowhere), "could not open the record"),
        (("PRECOMPILE_CACHE_MAX_SIZE", "much"), "PRECOMPILE_CACHE_MAX_SIZE is not used"),
        (("PRECOMPILE_CACHE_KEYS", &nowhere), "could not read the key"),
        (("PRECOMPILE_CACHE_VERIFY", "sgned"), "found \"sgned\""),
    ] {
        let ended = with(&world, &[dir, variable], &["run", &hello]);
        ended.expect(0, &["warning: ", told]);
        assert!(ended.text().starts_with("hello, world"));
        let count = ended.stderr.matches("warning: ").count();
        assert_eq!(count, 1, "{}", ended.stderr);
        // Only runs are recorded, so only they have to do with it.
        for command in [&["check", "--host", &hello][..], &["explain", &hello], &["cache", "ls"]] {
            let ended = with(&world, &[dir, variable], command);
            let is_told = ended.stderr.matches("warning: ").count() == 1;
            assert_eq!(is_told, variable.0 != "PRECOMPILE_RECORD", "{command:?} {ended:?}");
        }
    }
    // A directory that is not there is none of it, where all hit.
    let path = [dir, ("PRECOMPILE_CACHE_PATH", &*world.arg("nowhere"))];
    assert!(!with(&world, &path, &["run", &hello]).stderr.contains("warning"));
    let record = world.arg("record");
    with(&world, &[dir, ("PRECOMPILE_RECORD", &record)], &["check", &hello]);
    assert!(!world.path("record").exists(), "who only looks makes nothing");
}

/// All that differs is told, the most telling first.
#[test]
fn each_setting_that_differs_is_named() {
    let world = World::new();
    let hello = hello();
    let fixed = ["--target", "x86_64-linux", "--cache-dir", &world.arg("cache")];
    let warm = ["-q", "--cpu", "x86-64", "--opt-level", "none", "--fuel"];
    world.run(&[&warm[..], &fixed, &[&hello]].concat()).expect(0, &[]);
    let told = "cpu is x86-64, this engine needs x86-64-v2; also, opt-level is none and not speed; \
                also, fuel is on and not off";
    world.run(&[&["check"], &fixed[..], &[&hello]].concat()).expect(4, &[told]);
    let explained = world.run(&[&["explain"], &fixed[..], &[&hello]].concat());
    assert!(explained.text().lines().next().unwrap().contains(told), "{}", explained.text());
    let json = world.run(&[&["check", "--format", "json"], &fixed[..], &[&hello]].concat());
    let json: serde_json::Value = serde_json::from_str(json.text()).unwrap();
    let miss = &json["modules"][0]["miss"];
    let all = miss["differences"].as_array().unwrap().iter();
    let fields: Vec<_> = all.map(|one| one["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["cpu", "opt-level", "fuel"]);
    assert_eq!(miss["field"], "cpu");
}

#[test]
fn help_is_in_groups_and_says_what_is_asked() {
    let world = World::new();
    for command in [&[][..], &["run"], &["check"], &["explain"]] {
        let help = world.run(&[command, &["--help"]].concat());
        help.expect(0, &[]);
        for heading in ["\nCache:\n", "\nTrust:\n", "\nSettings that change code:\n", "\nOutput:\n"]
        {
            assert!(
                help.text().contains(heading),
                "{command:?} has no {heading:?}: {}",
                help.text()
            );
        }
    }
    let check = world.run(&["check", "--help"]);
    for text in ["/usr/share/precompile", "x86-64-v2", "not for this processor"] {
        assert!(check.text().contains(text), "{}", check.text());
    }
}
