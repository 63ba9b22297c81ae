//! The list of what was warmed, and what is held against it; settings and platforms from elsewhere.

use crate::support::{Ended, World, program, tree};
use serde_json::Value;
use std::fs;

fn json(text: &str) -> Value {
    let value: Value = serde_json::from_str(text).unwrap();
    assert_eq!(value["schema_version"], 1);
    value
}

/// A world with a folder of two modules.
fn world() -> World {
    let world = World::new();
    world.write("plugins/hello.wasm", fs::read(program("hello")).unwrap());
    world.write("plugins/more/sort.wasm", fs::read(program("sort")).unwrap());
    world
}

fn warm(world: &World, more: &[&str]) -> Ended {
    let fixed = ["--manifest", &world.arg("list.json"), "--platform", "linux/amd64/v2,linux/arm64"];
    world.run(&[&fixed[..], more, &[&world.arg("plugins")]].concat())
}

#[test]
fn a_manifest_lists_modules_and_entries() {
    let world = world();
    warm(&world, &["--cache-dir", &world.arg("cache")]).expect(0, &["4 compiled"]);
    let list = json(&fs::read_to_string(world.path("list.json")).unwrap());
    let modules = list["modules"].as_array().unwrap();
    let names: Vec<_> = modules.iter().map(|module| module["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["hello.wasm", "more/sort.wasm"]);
    for module in modules {
        let entries = module["entries"].as_array().unwrap();
        assert_eq!(entries.len(), 2);
        for entry in entries {
            let path = world.path("cache").join(module["digest"].as_str().unwrap());
            let bytes = fs::read(path.join(entry["id"].as_str().unwrap())).unwrap();
            let length = entry["artifact_bytes"].as_u64().unwrap();
            assert!(length > 1000 && length < bytes.len() as u64);
            assert_eq!(entry["artifact_sha256"].as_str().unwrap().len(), 64);
            assert!(entry["compile_ms"].is_u64());
            assert_eq!(entry["settings"]["opt-level"], "speed");
        }
    }
    // An image's is the same whoever makes it, in which order, and with how many threads.
    let image = |out: &str, jobs: &str, inputs: &[&str]| {
        let file = world.arg(&format!("{out}.json"));
        let inputs: Vec<_> = inputs.iter().map(|input| world.arg(input)).collect();
        let inputs: Vec<_> = inputs.iter().map(String::as_str).collect();
        let fixed =
            ["--out", &world.arg(out), "--manifest", &file, jobs, "--platform", "linux/amd64"];
        world.run(&[&fixed[..], &inputs].concat()).expect(0, &[]);
        fs::read_to_string(file).unwrap()
    };
    let one = image("one", "-j1", &["plugins/hello.wasm", "plugins/more/sort.wasm"]);
    let two = image("two", "-j2", &["plugins/more/sort.wasm", "plugins/hello.wasm"]);
    assert_eq!(one, two);
    assert!(!one.contains("compile_ms") && !one.contains("plugins") && one.contains("sha256"));
    assert_eq!(
        fs::read_dir(world.path(""))
            .unwrap()
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|end| end == "tmp"))
            .count(),
        0
    );
}

#[test]
fn a_cache_is_held_against_a_manifest_without_the_modules() {
    let world = world();
    let cache = world.arg("cache");
    warm(&world, &["--cache-dir", &cache]).expect(0, &[]);
    let check = |more: &[&str]| {
        let fixed = ["check", "--manifest", &world.arg("list.json"), "--cache-dir", &cache];
        world.run(&[&fixed[..], more].concat())
    };
    let before = tree(&world.path("cache"));
    check(&[]).expect(0, &["2 modules: 4 cached, 0 missing"]);
    check(&[&world.arg("plugins")]).expect(0, &["4 cached"]);
    assert_eq!(tree(&world.path("cache")), before);
    // A module that was changed since.
    let changed = [fs::read(program("hello")).unwrap(), b"\0\x03\x01xx".to_vec()].concat();
    world.write("plugins/hello.wasm", changed);
    let ended = check(&[&world.arg("plugins"), "--format", "json"]);
    ended.expect(4, &["hello.wasm is not in the manifest", "4 cached, 1 missing"]);
    assert_eq!(json(ended.text())["modules"].as_array().unwrap().len(), 5);
    // An entry that went away: its sibling says what is different.
    let list = json(&fs::read_to_string(world.path("list.json")).unwrap());
    let module = &list["modules"][0];
    let group = world.path("cache").join(module["digest"].as_str().unwrap());
    let entries = module["entries"].as_array().unwrap();
    let gone = entries.iter().find(|entry| entry["settings"]["cpu"] == "aarch64").unwrap();
    fs::remove_file(group.join(gone["id"].as_str().unwrap())).unwrap();
    let ended = check(&["--format", "json"]);
    ended.expect(4, &["target is x86_64-linux", "3 cached, 1 missing"]);
    let document = json(ended.text());
    let rows = document["modules"].as_array().unwrap();
    let missing: Vec<_> = rows.iter().filter(|row| row["outcome"] == "missing").collect();
    assert_eq!(missing.len(), 1);
    assert_eq!((&missing[0]["id"], &missing[0]["miss"]["reason"]), (&gone["id"], &"target".into()));
    fs::remove_dir_all(&group).unwrap();
    check(&[]).expect(4, &["no entry of this module", "2 cached, 2 missing"]);
    // A list of another version asks for what this one never finds.
    let text = fs::read_to_string(world.path("list.json")).unwrap();
    fs::write(world.path("list.json"), text.replace("\"abi\": \"", "\"abi\": \"9")).unwrap();
    check(&[]).expect(4, &["abi is 9", "0 cached, 4 missing"]);
    for (text, message) in [
        ("", "it is no manifest"),
        ("{\"schema_version\": 1}", "it is no manifest"),
        ("{\"schema_version\": 9, \"modules\": []}", "schema version 9"),
        (
            "{\"schema_version\": 1, \"modules\": [{\"name\": \"a\", \"digest\": \"x\", \"bytes\": 1, \
          \"entries\": []}]}",
            "`x` is no digest",
        ),
    ] {
        fs::write(world.path("list.json"), text).unwrap();
        check(&[]).expect(1, &[message, "list.json"]);
    }
}

#[test]
fn pruning_keeps_what_a_manifest_lists() {
    let world = world();
    let cache = world.arg("cache");
    warm(&world, &["--cache-dir", &cache]).expect(0, &[]);
    let other = program("fib");
    let other = if other.exists() { other } else { program("lib-wat") };
    world.run(&["-q", "--cache-dir", &cache, other.to_str().unwrap()]).expect(0, &[]);
    assert_eq!(world.entries("cache").len(), 5);
    let list = world.arg("list.json");
    let prune = ["cache", "prune", "--cache-dir", &cache, "--max-size", "0"];
    world.run(&[&prune[..], &["--keep-manifest", "missing"]].concat()).expect(1, &["missing"]);
    let key = ["--keep-manifest", &list, "--trusted-key", "no-key"];
    world.run(&[&prune[..], &key].concat()).expect(2, &["no-key"]);
    world.run(&[&prune[..], &["--keep-manifest", &list]].concat()).expect(0, &["Removed 1 entry"]);
    world.run(&["check", "--manifest", &list, "--cache-dir", &cache]).expect(0, &["4 cached"]);
}

#[test]
fn a_manifest_that_would_lie_is_not_written() {
    let world = world();
    world.write("other/hello.wasm", fs::read(program("sort")).unwrap());
    let list = world.arg("list.json");
    let fixed = ["--cache-dir", &world.arg("cache"), "--manifest", &list];
    let run = |more: &[&str]| world.run(&[&fixed[..], more].concat());
    run(&[&world.arg("plugins"), "missing.wasm"]).expect(1, &["the manifest is not written"]);
    run(&[&world.arg("plugins/hello.wasm"), &world.arg("other/hello.wasm")])
        .expect(1, &["two modules are named hello.wasm"]);
    run(&["--dry-run", &world.arg("plugins")]).expect(2, &["--dry-run"]);
    assert!(!world.path("list.json").exists());
}

#[test]
fn platforms_and_settings_of_an_app() {
    let world = world();
    let settings = |more: &[&str]| {
        let ended = world.run(&[&["settings"], more].concat());
        ended.expect(0, &[]);
        ended.text().to_string()
    };
    let levels = settings(&[
        "--platform",
        "linux/amd64/v1,linux/amd64/v4",
        "--platform",
        "linux/arm64",
        "--cpu",
        "aarch64+lse",
    ]);
    let levels: Vec<_> = levels.lines().filter_map(|line| line.strip_prefix("cpu = ")).collect();
    assert_eq!(levels, ["x86-64", "x86-64-v4", "aarch64+lse"]);
    let same = ["--target", "x86_64-unknown-linux-musl", "--cpu", "x86-64-v3"];
    assert_eq!(settings(&["--platform", "linux/amd64/v3"]), settings(&same));
    for bad in ["linux/riscv64", "linux/amd64/v5", "linux/arm/v7", "amd64"] {
        world.run(&["settings", "--platform", bad]).expect(2, &["unknown platform"]);
    }
    // What an app wrote is what is warmed for.
    let text = settings(&["--platform", "linux/amd64/v3", "--opt-level", "none", "--fuel"]);
    let file = world.write("app.settings", &text);
    let file = file.to_str().unwrap();
    assert_eq!(settings(&["--engine-settings", file]), text);
    let hello = world.arg("plugins/hello.wasm");
    let cache = world.arg("cache");
    let warm = ["--engine-settings", file, "--cache-dir", &cache, &hello];
    world.run(&warm).expect(0, &["x86-64-v3", "1 compiled"]);
    let check = ["check", "--platform", "linux/amd64/v3", "--opt-level", "none", "--fuel"];
    world.run(&[&check[..], &["--cache-dir", &cache, &hello]].concat()).expect(0, &["1 cached"]);
    world.run(&[&["explain"], &warm[..]].concat()).expect(0, &[]);
    world.run(&["settings", "--engine-settings", file, "--fuel"]).expect(2, &["--fuel"]);
    // What it wrote on one machine, for the platforms that its image is for.
    let for_platforms = |more: &[&str]| settings(&[&["--engine-settings", file], more].concat());
    let tuned = ["--opt-level", "none", "--fuel"];
    for platform in ["linux/amd64/v2,linux/arm64", "linux/amd64/v4"] {
        let named = ["--platform", platform];
        assert_eq!(for_platforms(&named), settings(&[&named[..], &tuned].concat()));
    }
    let level = for_platforms(&["--cpu", "x86-64-v2"]);
    assert_eq!(level, settings(&[&["--platform", "linux/amd64/v2"][..], &tuned].concat()));
    world.write("app.settings", text.replace("engine = ", "engine = 9"));
    let message = ["app.settings", "of another engine", "use the same version"];
    world.run(&["settings", "--engine-settings", file]).expect(2, &message);
    world.write("app.settings", "nonsense");
    world.run(&["settings", "--engine-settings", file]).expect(2, &["line 1"]);
    world.run(&["settings", "--engine-settings", "missing"]).expect(2, &["no such file"]);
}

/// What is named stays what it is.
#[test]
fn a_manifest_goes_through_links_and_into_pipes() {
    let world = world();
    let (real, link) = (world.path("real.json"), world.path("link.json"));
    fs::write(&real, "").unwrap();
    std::os::unix::fs::symlink("real.json", &link).unwrap();
    let (cache, plugins) = (world.arg("cache"), world.arg("plugins"));
    let warm = |to: &str| world.run(&["--manifest", to, "--cache-dir", &cache, &plugins]);
    warm(&world.arg("link.json")).expect(0, &["2 compiled"]);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    let written = fs::read_to_string(&real).unwrap();
    assert_eq!(json(&written)["modules"].as_array().unwrap().len(), 2);
    let piped = warm("/dev/stdout");
    piped.expect(0, &["2 cached"]);
    assert_eq!(json(piped.text())["modules"].as_array().unwrap().len(), 2);
    assert!(fs::symlink_metadata("/dev/stdout").unwrap().is_symlink());
}

/// What was listed is what has to be there, not only something under its key.
#[test]
fn each_entry_is_held_against_the_digest_that_is_listed() {
    let world = world();
    let cache = world.arg("cache");
    warm(&world, &["--cache-dir", &cache]).expect(0, &[]);
    let check = |more: &[&str]| {
        let fixed = ["check", "--manifest", &world.arg("list.json"), "--cache-dir", &cache];
        world.run(&[&fixed[..], more].concat())
    };
    let mut list = json(&fs::read_to_string(world.path("list.json")).unwrap());
    let good = list.to_string();
    let entry = &mut list["modules"][1]["entries"][0];
    let (id, own) = (entry["id"].clone(), entry["artifact_sha256"].take());
    let other = "ab".repeat(32);
    entry["artifact_sha256"] = other.clone().into();
    let digest = list["modules"][1]["digest"].as_str().unwrap().to_string();
    world.write("list.json", list.to_string());
    let ended = check(&["--format", "json"]);
    ended.expect(
        4,
        &["Missing", "more/sort.wasm", "the manifest lists abab", "3 cached, 1 missing"],
    );
    let document = json(ended.text());
    let rows = document["modules"].as_array().unwrap();
    let miss = &rows.iter().find(|row| row["id"] == id).unwrap()["miss"];
    assert_eq!((&miss["reason"], &miss["field"]), (&"artifact".into(), &"artifact_sha256".into()));
    assert_eq!((&miss["expected"], &miss["found"]), (&other.into(), &own));
    // A list without digests is of an older version of this program, or of no directory.
    list["modules"][1]["entries"][0].as_object_mut().unwrap().remove("artifact_sha256");
    world.write("list.json", list.to_string());
    check(&[]).expect(0, &["4 cached", "more/sort.wasm", "its bytes are not compared"]);
    // What was changed behind the trailer's back is not what was listed either.
    world.write("list.json", good);
    let entry = world.path("cache").join(digest).join(id.as_str().unwrap());
    let mut bytes = fs::read(&entry).unwrap();
    let half = bytes.len() / 2;
    bytes[half] ^= 1;
    fs::write(&entry, bytes).unwrap();
    check(&[]).expect(4, &["more/sort.wasm", "damaged cache entry", entry.to_str().unwrap()]);
}

#[test]
fn inputs_beside_a_manifest_are_told_as_ever() {
    let world = world();
    let cache = world.arg("cache");
    warm(&world, &["--cache-dir", &cache]).expect(0, &[]);
    let check = |file: &str| {
        let list = world.arg("list.json");
        world.run(&["check", "--manifest", &list, "--cache-dir", &cache, &world.arg(file)])
    };
    world.write("bad.wasm", b"\0asm\x01\0\0\0\x01\x01\x05");
    world.write("bad.wat", "(module (fnc))");
    check("bad.wasm").expect(1, &["Invalid", "bad.wasm"]);
    check("bad.wat").expect(1, &["Invalid", "bad.wat:1:10"]);
    check("missing.wasm").expect(1, &["missing.wasm: no such file or folder; check the path"]);
    world.write("list.json", "{\"schema_version\": 1, \"modules\": []}");
    check("plugins").expect(1, &["list.json", "names no modules"]);
}
