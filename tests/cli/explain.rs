//! Why does it hit or miss? For each part of the key, changed alone, with exactly that reason.

use crate::support::{Ended, World, finish, fixtures, program, tree};
use precompile_cache::{Cache, Content, DirCache, Key};
use serde_json::Value;
use std::path::PathBuf;

fn json(ended: &Ended) -> Value {
    let value: Value = serde_json::from_str(ended.text()).unwrap();
    assert_eq!(value["schema_version"], 1);
    value
}

fn hello() -> String {
    program("hello").to_str().unwrap().to_string()
}

/// The reason that a difference in the setting of that name is. A new setting has to be added here.
fn reason(setting: &str) -> &'static str {
    match setting {
        "engine" | "format" | "abi" | "epoch" | "compiler" | "sources" => "engine-version",
        "target" => "target",
        "cpu" => "cpu",
        "bounds" => "bounds",
        "features"
        | "opt-level"
        | "nan-canonicalization"
        | "relaxed-simd"
        | "fuel"
        | "epoch-interruption" => "setting",
        other => panic!("which reason is a difference in `{other}`?"),
    }
}

#[test]
fn each_part_of_the_key_is_named() {
    let world = World::new();
    let cache = world.arg("cache");
    let options = ["--target", "x86_64-linux", "--cpu", "x86-64-v2", "--cache-dir", &cache];
    let run = |command: &str, file: &str| {
        let ended = world.run(&[&[command, "--format", "json"], &options[..], &[file]].concat());
        let document = json(&ended);
        (ended.code, document)
    };
    let (code, absent) = run("explain", &hello());
    assert_eq!((code, &absent["explanations"][0]["miss"]["reason"]), (Some(4), &"absent".into()));
    let wanted = &absent["explanations"][0]["wanted"][0];
    let settings = wanted["settings"].as_object().unwrap();
    assert!(settings.len() >= 14, "{settings:?}");
    let digest = absent["explanations"][0]["digest"].as_str().unwrap();
    let group = precompile_cache::from_hex(digest).unwrap();

    // The order in which they are compared, which an object does not keep.
    let text = world.run(&["settings", "--target", "x86_64-linux"]);
    let names: Vec<_> = text.text().lines().filter_map(|line| line.split_once(" = ")).collect();
    assert_eq!(names.len(), settings.len());
    for changed in names.iter().map(|(name, _)| *name) {
        let dir = DirCache::open(&cache).unwrap();
        let value = |name: &str, own: &str| match name == changed {
            true => "another".to_string(),
            false => own.to_string(),
        };
        let lines = names.iter().map(|(name, own)| format!("{name}={}\n", value(name, own)));
        let description = lines.collect::<String>();
        let key = Key::new(group, [7; 32]);
        dir.add(&key, &Content::from_bytes(b"code".to_vec()), description.as_bytes()).unwrap();

        let (code, explained) = run("explain", &hello());
        assert_eq!(code, Some(4));
        let explained = &explained["explanations"][0];
        let (_, checked) = run("check", &hello());
        for miss in [&explained["miss"], &checked["modules"][0]["miss"]] {
            assert_eq!(miss["reason"], reason(changed), "{changed}");
            assert_eq!(miss["field"], changed);
            assert_eq!(
                (&miss["found"], &miss["expected"]),
                (&"another".into(), &settings[changed])
            );
        }
        let entry = &explained["entries"][0];
        assert_eq!(entry["differences"].as_array().unwrap().len(), 1, "{entry}");
        assert_eq!(entry["differences"][0]["field"], changed);
        let text = world.run(&[&["explain"], &options[..], &[&hello()]].concat());
        let first = text.text().lines().next().unwrap();
        assert!(first.starts_with(&format!("MISS ({})", reason(changed))), "{first}");
        assert!(first.contains(&format!("{changed} is another")), "{first}");
    }
    // The part of the key that is no setting: the module.
    let sort = program("sort");
    let (_, other) = run("explain", sort.to_str().unwrap());
    assert_eq!(other["explanations"][0]["miss"]["reason"], "absent");
}

/// Real keys: the entry is there for one value of a setting, and each other value is asked for.
#[test]
fn each_setting_changed_alone_is_the_reason() {
    let world = World::new();
    let cache = world.arg("cache");
    let args = ["settings", "--target", "x86_64-linux", "--cpu", "x86-64-v2"];
    let own: precompile::Settings = world.run(&args).text().parse().unwrap();
    let ask = |command: &str, settings: &precompile::Settings, format: &str| {
        let file = world.write("settings", settings.to_string());
        let args = ["--engine-settings", file.to_str().unwrap(), "--cache-dir", &cache];
        let ended = world.run(&[&[command, "--format", format], &args[..], &[&hello()]].concat());
        ended.expect(4, &[]);
        ended
    };
    let file = world.write("settings", own.to_string());
    let args = ["--engine-settings", file.to_str().unwrap(), "--cache-dir", &cache, &hello()];
    world.run(&args).expect(0, &["1 compiled"]);
    let before = tree(&world.path("cache"));
    let changed = tests::settings::changed(&own);
    assert!(changed.len() > 40, "{}", changed.len());
    for (name, reason, settings) in changed {
        let explained = json(&ask("explain", &settings, "json"));
        let checked = json(&ask("check", &settings, "json"));
        let entry = &explained["explanations"][0]["entries"][0];
        assert_eq!(entry["differences"].as_array().unwrap().len(), 1, "{entry}");
        for miss in [&explained["explanations"][0]["miss"], &checked["modules"][0]["miss"]] {
            assert_eq!((&miss["reason"], &miss["field"]), (&reason.into(), &name.clone().into()));
            assert_eq!(miss["found"], own.get(&name).unwrap());
            assert_eq!(miss["expected"], settings.get(&name).unwrap());
        }
        let text = ask("explain", &settings, "text");
        let first = text.text().lines().next().unwrap();
        let wanted = settings.get(&name).unwrap();
        assert!(first.starts_with(&format!("MISS ({reason})")), "{first}");
        // Of many proposals only those are told that make the difference.
        let told = match &*name {
            "features" => "features: this engine ".to_string(),
            _ => format!("this engine needs {wanted}"),
        };
        assert!(first.contains(&told), "{first}");
    }
    assert_eq!(tree(&world.path("cache")), before, "looking changes nothing");
}

#[test]
fn the_nearest_entry_is_the_reason() {
    let world = World::new();
    let warm = |more: &[&str]| {
        let fixed = ["-q", "--target", "x86_64-linux", "--cache-dir", &world.arg("cache")];
        world.run(&[&fixed[..], more, &[&hello()]].concat()).expect(0, &[]);
    };
    warm(&["--opt-level", "none", "--cpu", "x86-64-v4"]);
    warm(&["--opt-level", "none", "--fuel"]);
    let explain = |more: &[&str]| {
        let fixed = ["explain", "--target", "x86_64-linux", "--cache-dir", &world.arg("cache")];
        world.run(&[&fixed[..], more, &[&hello()]].concat())
    };
    let before = tree(&world.path("cache"));
    let document = json(&explain(&["--format", "json"]));
    let explained = &document["explanations"][0];
    assert_eq!(explained["miss"]["field"], "opt-level");
    let fields = |entry: &Value| -> Vec<String> {
        let all = entry["differences"].as_array().unwrap().iter();
        all.map(|difference| difference["field"].as_str().unwrap().to_string()).collect()
    };
    assert_eq!(fields(&explained["entries"][0]), ["opt-level", "fuel"]);
    assert_eq!(fields(&explained["entries"][1]), ["cpu", "opt-level"]);
    assert_eq!(explained["probes"][0]["result"], "absent");
    explain(&["--opt-level", "none", "--fuel"]).expect(0, &[]);
    let hit = explain(&["--opt-level", "none", "--fuel"]);
    assert!(hit.text().starts_with("HIT "), "{}", hit.text());
    assert!(hit.text().contains(": wanted\n"), "{}", hit.text());
    assert_eq!(tree(&world.path("cache")), before, "looking changes nothing");
}

#[test]
fn layers_are_told_in_order_with_what_they_said() {
    let world = World::new();
    world.run(&["-q", "--out", &world.arg("image"), &hello()]).expect(0, &[]);
    let explain = |paths: &str| {
        let mut command = world.command();
        command.args(["explain", "--format", "json", &hello()]);
        command.env("PRECOMPILE_CACHE_PATH", paths);
        finish(&mut command, b"")
    };
    let missing = world.arg("missing");
    let ended = explain(&format!("{missing}:{}", world.arg("image")));
    ended.expect(0, &[]);
    let explained = &json(&ended)["explanations"][0];
    assert_eq!((&explained["outcome"], &explained["layer"]), (&"hit".into(), &"layer 1".into()));
    let probes = explained["probes"].as_array().unwrap();
    let last = probes.last().unwrap();
    assert_eq!((&last["result"], &last["path"]), (&"hit".into(), &world.arg("image").into()));
    assert_eq!(
        (&probes[0]["result"], &probes[0]["path"]),
        (&"missing".into(), &missing.clone().into())
    );
    // What is damaged is the reason, before all that differs.
    let entry = world.entries("image").remove(0);
    let damaged = |name: &str, bytes: &[u8]| {
        std::fs::write(&entry, bytes).unwrap();
        let ended = explain(&world.arg("image"));
        ended.expect(4, &[]);
        let document = json(&ended);
        assert_eq!(document["explanations"][0]["miss"]["reason"], name);
    };
    let mut bytes = std::fs::read(&entry).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    damaged("corrupt", &bytes);
    let text = world.run(&["explain", &hello(), "--cache-dir", &missing]);
    text.expect(4, &[]);
    assert!(text.text().contains("no entry of this module"), "{}", text.text());
}

#[test]
fn inputs_that_are_no_modules_are_said_so() {
    let world = World::new();
    let random: PathBuf = fixtures("bad/random.wasm");
    world.run(&["explain", random.to_str().unwrap()]).expect(1, &["Invalid"]);
    world.run(&["explain", "missing.wasm"]).expect(1, &["no such file"]);
    world.run(&["explain", "--cpu", "v9", &hello()]).expect(2, &["unknown CPU level"]);
    let mut command = world.command();
    command.args(["explain", &hello()]).env("PRECOMPILE_CACHE_MODE", "off");
    // The mode is for apps; whoever asks why wants to know all the same.
    finish(&mut command, b"").expect(4, &[]);
}
