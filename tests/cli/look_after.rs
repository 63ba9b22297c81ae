//! `precompile cache`: telling what is there, checking it, and removing it.

use crate::support::{Ended, World, finish, program, set_mode, tree};
use serde_json::Value;
use std::fs;
use std::time::{Duration, SystemTime};

fn json(ended: &Ended) -> Value {
    let value: Value = serde_json::from_str(ended.text()).unwrap();
    assert_eq!(value["schema_version"], 1);
    value
}

/// A world with entries of two modules, one of them in two variants.
fn world() -> World {
    let world = World::new();
    for (name, more) in [("hello", &[][..]), ("hello", &["--opt-level", "none"]), ("sort", &[])] {
        let fixed = ["-q", "--target", "x86_64-linux", "--cache-dir", &world.arg("cache")];
        let file = program(name);
        world.run(&[&fixed[..], more, &[file.to_str().unwrap()]].concat()).expect(0, &[]);
    }
    world
}

impl World {
    fn cache(&self, command: &str, more: &[&str]) -> Ended {
        let fixed = ["cache", command, "--cache-dir", &self.arg("cache")];
        self.run(&[&fixed[..], more].concat())
    }
}

#[test]
fn the_directory_is_told_and_not_made() {
    let world = World::new();
    for command in ["dir", "ls", "stats", "verify", "clean"] {
        world.cache(command, &[]).expect(0, &[]);
        world.cache(command, &["--format", "json"]).expect(0, &[]);
    }
    world.cache("prune", &["--max-size", "1M"]).expect(0, &["does not exist yet"]);
    assert!(!world.path("cache").exists());
    assert_eq!(world.cache("dir", &[]).text(), format!("{}\n", world.arg("cache")));
    let mut command = world.command();
    command.args(["cache", "dir", "--format", "json"]);
    command.env("PRECOMPILE_CACHE_PATH", world.path("image"));
    let ended = finish(&mut command, b"");
    let document = json(&ended);
    assert_eq!(document["cache"], world.arg(".cache/precompile"));
    assert_eq!(document["layers"][0]["path"], world.arg("image"));
    assert!(document["layers"][0]["problem"].as_str().unwrap().contains("does not exist"));
    let mut command = world.command();
    command.args(["cache", "ls"]).env("PRECOMPILE_CACHE_DIR", "");
    finish(&mut command, b"").expect(3, &["there is no cache directory", "--cache-dir"]);
}

#[test]
fn entries_are_listed_with_their_settings() {
    let world = world();
    let before = tree(&world.path("cache"));
    let ended = world.cache("ls", &[]);
    ended.expect(0, &[]);
    let lines: Vec<&str> = ended.text().lines().collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines.iter().filter(|line| line.ends_with("opt-level=none")).count() == 1);
    let document = json(&world.cache("ls", &["--format", "json"]));
    let entries = document["entries"].as_array().unwrap();
    for (entry, path) in entries.iter().zip(world.entries("cache")) {
        assert_eq!(entry["path"], path.to_str().unwrap());
        assert_eq!(entry["cache"], world.path("cache").canonicalize().unwrap().to_str().unwrap());
        assert_eq!(entry["bytes"], fs::metadata(&path).unwrap().len());
        assert_eq!(entry["state"], "sound");
        assert_eq!(entry["settings"]["cpu"], "x86-64-v2");
        assert!(path.ends_with(entry["id"].as_str().unwrap()));
    }
    let stats = json(&world.cache("stats", &["--format", "json"]));
    assert_eq!((&stats["entries"], &stats["modules"]), (&3.into(), &2.into()));
    let sizes = world.entries("cache").into_iter().map(|path| fs::metadata(path).unwrap().len());
    assert_eq!(stats["bytes"], sizes.sum::<u64>());
    assert_eq!(stats["engines"].as_array().unwrap().len(), 1);
    assert!(world.cache("stats", &[]).text().contains("(this one)"));
    assert_eq!(tree(&world.path("cache")), before);
}

#[test]
fn damage_is_found_and_named() {
    let world = world();
    world.cache("verify", &[]).expect(0, &["3 sound", "0 damaged"]);
    let entries = world.entries("cache");
    world.write("cache/notes", "mine");
    world.cache("verify", &[]).expect(0, &["notes is not the cache's", "1 foreign"]);
    let mut bytes = fs::read(&entries[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&entries[0], &bytes).unwrap();
    set_mode(&entries[1], 0o666);
    let ended = world.cache("verify", &["--format", "json"]);
    ended.expect(1, &["Damaged", "Untrusted", "0666", "1 sound", "1 damaged, 1 untrusted"]);
    let findings = &json(&ended)["findings"];
    let state = |path: &std::path::Path| {
        let all = findings.as_array().unwrap().iter();
        let mut own = all.filter(|finding| finding["path"] == path.to_str().unwrap());
        own.next().map(|finding| finding["state"].as_str().unwrap().to_string())
    };
    assert_eq!(state(&entries[0]).as_deref(), Some("damaged"));
    assert_eq!(state(&entries[1]).as_deref(), Some("untrusted"));
    assert_eq!(state(&world.path("cache/notes")).as_deref(), Some("foreign"));
    assert_eq!(state(&entries[2]), None);
    assert_eq!(fs::read(&entries[0]).unwrap(), bytes, "it is told of, not repaired");
    // Wherever in an entry it is, and however much of it is missing.
    let good = fs::read(&entries[2]).unwrap();
    let flips = (0..good.len()).step_by(good.len() / 11).chain([good.len() - 1]);
    for place in flips {
        let mut bytes = good.clone();
        bytes[place] ^= 4;
        for bytes in [&bytes[..], &good[..place]] {
            fs::write(&entries[2], bytes).unwrap();
            world.cache("verify", &[]).expect(1, &["2 damaged"]);
        }
    }
    // A directory that others may write to is not even looked into.
    set_mode(&world.path("cache"), 0o777);
    world.cache("verify", &[]).expect(3, &["untrusted", "0777"]);
}

#[test]
fn a_rebuilt_entry_is_the_same() {
    let world = world();
    let hello = program("hello");
    let rebuild = |more: &[&str]| {
        world.cache("verify", &[&["--rebuild", hello.to_str().unwrap()], more].concat())
    };
    rebuild(&[]).expect(0, &["2 the same, 0 different, 0 skipped, 0 failed"]);
    // Another module's code under a good trailer: only compiling again tells.
    let digest = |name: &str| {
        let all = json(&world.run(&["check", "--format", "json", program(name).to_str().unwrap()]));
        all["modules"][0]["digest"].as_str().unwrap().to_string()
    };
    let cache = precompile_cache::DirCache::open(world.path("cache")).unwrap();
    let group = precompile_cache::from_hex(&digest("hello")).unwrap();
    let sibling = precompile_cache::Cache::siblings(&cache, &group).unwrap().remove(0);
    let key = precompile_cache::Key::new(group, sibling.id);
    let forged = precompile_cache::Content::from_bytes(b"forged".to_vec());
    precompile_cache::Cache::add(&cache, &key, &forged, &sibling.description).unwrap();
    world.cache("verify", &[]).expect(0, &["3 sound"]);
    rebuild(&[]).expect(1, &["is not what compiling gives", "1 the same, 1 different"]);
    // What another version has made, it alone can make again.
    let description = String::from_utf8(sibling.description).unwrap();
    let other = description.replace("engine=", "engine=0.0.");
    precompile_cache::Cache::add(&cache, &key, &forged, other.as_bytes()).unwrap();
    rebuild(&[]).expect(0, &["Skipped", "of another engine", "1 the same", "1 skipped"]);
    let ended = rebuild(&["--format", "json"]);
    let outcomes = json(&ended)["rebuilt"].clone();
    let outcomes = outcomes.as_array().unwrap().iter().map(|row| row["outcome"].as_str().unwrap());
    let mut outcomes: Vec<_> = outcomes.collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["same", "skipped"]);
    let missing = world.cache("verify", &["--rebuild", "missing.wasm"]);
    missing.expect(1, &["no such file", "1 failed"]);
}

#[test]
fn pruning_takes_what_was_used_longest_ago() {
    let world = world();
    world.write("cache/notes", "mine");
    let entries = world.entries("cache");
    let old = SystemTime::now() - Duration::from_secs(10 * 86_400);
    let times = fs::FileTimes::new().set_accessed(old);
    fs::File::open(&entries[1]).unwrap().set_times(times).unwrap();
    world.cache("prune", &[]).expect(2, &["--max-size"]);
    world.cache("prune", &["--max-size", "12Q"]).expect(2, &["expected a size"]);
    world.cache("prune", &["--max-age", "30d"]).expect(0, &["Removed 0 entries"]);
    let dry = world.cache("prune", &["--max-age", "7d", "--dry-run"]);
    dry.expect(0, &["Would remove 1 entry"]);
    assert_eq!(world.entries("cache").len(), 3);
    let ended = world.cache("prune", &["--max-age", "7d", "--format", "json"]);
    ended.expect(0, &["Removed 1 entry"]);
    let evicted = &json(&ended)["evicted"][0];
    assert!(entries[1].ends_with(evicted["id"].as_str().unwrap()));
    assert_eq!(evicted["reason"], "age");
    assert_eq!(world.entries("cache"), [entries[0].clone(), entries[2].clone()]);
    world.cache("prune", &["--max-size", "0", "-v"]).expect(0, &["Removed 2 entries", ": size)"]);
    assert!(world.entries("cache").is_empty() && world.path("cache/notes").exists());
}

#[test]
fn entries_of_old_versions_go_and_those_of_new_ones_stay() {
    let world = world();
    let cache = precompile_cache::DirCache::open(world.path("cache")).unwrap();
    let content = precompile_cache::Content::from_bytes(b"code".to_vec());
    for (id, engine) in [(1, "0.0.1"), (2, "99.0.0")] {
        let key = precompile_cache::Key::new([9; 32], [id; 32]);
        let description = format!("engine={engine}\nsources=other\ntarget=x86_64-linux\n");
        precompile_cache::Cache::add(&cache, &key, &content, description.as_bytes()).unwrap();
    }
    let stats = world.cache("stats", &[]);
    assert!(stats.text().contains("engine 0.0.1 (build other)"), "{}", stats.text());
    assert!(world.cache("ls", &[]).text().contains("engine=99.0.0"));
    let ended = world.cache("prune", &["--old-versions", "--format", "json"]);
    assert_eq!(json(&ended)["evicted"][0]["reason"], "unwanted");
    assert_eq!(world.entries("cache").len(), 4);
    world.cache("clean", &["--dry-run"]).expect(0, &["Would remove 4 entries"]);
    assert_eq!(world.entries("cache").len(), 4);
    world.write("cache/notes", "mine");
    world.cache("clean", &[]).expect(0, &["Removed 4 entries"]);
    assert_eq!(tree(&world.path("cache")).len(), 1);
}
