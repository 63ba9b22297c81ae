//! Documents and pages.

use crate::support::{World, fixtures, program};
use serde_json::Value;

fn json(text: &str) -> Value {
    let value: Value = serde_json::from_str(text).unwrap();
    assert_eq!(value["schema_version"], 1);
    value
}

#[test]
fn warming_tells_of_each_module() {
    let world = World::new();
    let files = [program("hello"), fixtures("bad/type-mismatch.wasm"), "missing".into()];
    let files = files.map(|path| path.to_str().unwrap().to_string());
    let fixed =
        ["--format", "json", "--target", "x86_64-linux", "--cache-dir", &world.arg("cache")];
    let args = [&fixed[..], &[&files[0][..], &files[1], &files[2]]].concat();
    let ended = world.run(&args);
    ended.expect(1, &["Finished"]);
    let document = json(ended.text());
    let [hello, bad, missing] = &document["modules"].as_array().unwrap()[..] else { panic!() };
    assert_eq!(hello["outcome"], "compiled");
    assert_eq!(hello["cpu"], "x86-64-v2");
    assert_eq!(hello["miss"]["reason"], "absent");
    assert!(hello["times_ns"]["compile"].as_u64().unwrap() > 0);
    let entry = world.entries("cache").remove(0);
    let id = entry.file_name().unwrap().to_str().unwrap();
    assert_eq!(hello["id"], id);
    assert_eq!(hello["digest"], entry.parent().unwrap().file_name().unwrap().to_str().unwrap());
    assert_eq!((&bad["error"]["kind"], &bad["error"]["offset"]), (&"invalid".into(), &0x21.into()));
    assert_eq!(missing["error"]["kind"], "input");
    assert_eq!(document["summary"]["failed"], 2);
    let again = json(world.run(&args).text());
    assert_eq!(again["modules"][0]["outcome"], "hit");
    assert_eq!(again["modules"][0]["entry"], entry.to_str().unwrap());

    let check = ["check", "--format", "json", "--target", "x86_64-linux", "--cpu", "x86-64-v3"];
    let ended = world.run(&[&check[..], &["--cache-dir", &world.arg("cache"), &files[0]]].concat());
    ended.expect(4, &[]);
    let miss = &json(ended.text())["modules"][0]["miss"];
    assert_eq!((&miss["reason"], &miss["field"]), (&"cpu".into(), &"cpu".into()));
    assert_eq!((&miss["expected"], &miss["found"]), (&"x86-64-v3".into(), &"x86-64-v2".into()));

    let inspected = world.run(&["inspect", "--format", "json", entry.to_str().unwrap()]);
    inspected.expect(0, &[]);
    let inspected = json(inspected.text());
    assert_eq!(inspected["entry"]["id"], id);
    assert_eq!(inspected["entry"]["intact"], true);
    assert_eq!(inspected["module"], hello["digest"]);
    assert_eq!(inspected["settings"]["cpu"], "x86-64-v2");
    let text = world.run(&["inspect", entry.to_str().unwrap()]);
    text.expect(0, &[]);
    for part in [id, "Text", "_start: function () -> ()", "wasi_snapshot_preview1::fd_write"] {
        assert!(text.text().contains(part), "{}", text.text());
    }
}

#[test]
fn verbose_tells_where_the_time_went() {
    let world = World::new();
    let hello = program("hello");
    let args = ["-v", "--cache-dir", &world.arg("cache"), hello.to_str().unwrap()];
    let steps = ["compiled (absent)", "key ", "get ", "decode ", "compile ", "write ", "add "];
    world.run(&args).expect(0, &steps);
    world.run(&args).expect(0, &["hit dir"]);
}

#[test]
fn colours_are_for_those_who_ask() {
    let world = World::new();
    let hello = program("hello");
    let args = ["--cache-dir", &world.arg("cache"), hello.to_str().unwrap()];
    assert!(!world.run(&args).stderr.contains('\u{1b}'));
    assert!(world.run(&[&["--color", "always"], &args[..]].concat()).stderr.contains('\u{1b}'));
}

#[test]
fn native_is_said_aloud() {
    let world = World::new();
    let hello = program("hello");
    let args = ["-q", "--cpu", "native", "--cache-dir", &world.arg("cache")];
    let ended = world.run(&[&args[..], &[hello.to_str().unwrap()]].concat());
    ended.expect(0, &["warning: --cpu native"]);
}

#[test]
fn settings_do_not_depend_on_the_host() {
    let world = World::new();
    let args = ["settings", "--target", "x86_64-linux", "--target", "aarch64-linux"];
    let ended = world.run(&args);
    ended.expect(0, &[]);
    assert!(ended.text().contains("cpu = x86-64-v2\n"), "{}", ended.text());
    assert!(ended.text().contains("cpu = aarch64\n"), "{}", ended.text());
    let json = json(world.run(&[&args[..], &["--format", "json"]].concat()).text());
    assert_eq!(json["variants"][1]["target"], "aarch64-linux");
}

#[test]
fn completions_and_pages_are_written() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ended = world.run(&["completions", shell]);
        ended.expect(0, &[]);
        assert!(ended.text().contains("require-hit"), "{shell}");
    }
    world.run(&["man", &world.arg("man/pages")]).expect(0, &[]);
    let page = std::fs::read_to_string(world.path("man/pages/precompile.1")).unwrap();
    assert!(page.contains("cache"), "{page}");
    assert!(world.path("man/pages/precompile-run.1").exists());
    world.write("file", "");
    world.run(&["man", &world.arg("file")]).expect(1, &["cannot write the pages"]);
}

/// What a file is that is no entry, and which command is for it.
#[test]
fn other_files_are_told_apart() {
    let world = World::new();
    let hello = program("hello");
    let hello = hello.to_str().unwrap();
    let (image, list) = (world.arg("image"), world.arg("list.json"));
    world.run(&["keygen", "release", "--dir", &world.arg("")]).expect(0, &[]);
    let key = world.arg("release-1.key");
    world
        .run(&[
            "--out",
            &image,
            "--manifest",
            &list,
            "--sign-key",
            &key,
            "--scope",
            "plugins",
            hello,
        ])
        .expect(0, &[]);
    let mut command = world.command();
    command.env("PRECOMPILE_RECORD", world.path("record")).args(["run", hello]);
    crate::support::finish(&mut command, b"").expect(0, &[]);
    world.write("settings", world.run(&["settings"]).text());
    let entry = world.entries("image").remove(0);
    let good = std::fs::read(&entry).unwrap();
    for (name, bytes) in [
        ("short", &good[..5000]),
        ("shorter", &good[..70]),
        ("empty", b""),
        ("component", b"\0asm\x0d\0\x01\0"),
        ("text.wat", b"(module)"),
        ("other.json", b"{\"a\": 1}"),
        ("binary", b"\xff\xfe\0"),
    ] {
        world.write(name, bytes);
    }
    for (name, told) in [
        (
            "image/names",
            "the list of names of a cache directory, 1 of them, of the scope \"plugins\", signed by \
             release-1",
        ),
        ("list.json", "a manifest of 1 modules, for `check --manifest`"),
        ("release-1.key", "the secret key release-1, for --sign-key"),
        ("release-1.pub", "the public key release-1, for --trusted-key"),
        ("record", "a record of what runs asked for"),
        ("settings", "the settings of an engine, for --engine-settings"),
        ("short", "it was cut off or changed: delete it"),
        ("shorter", "an ELF file, but none"),
        ("empty", "it is empty"),
        ("component", "no module of version 1: a component"),
        ("text.wat", "the text of a module"),
        ("other.json", "neither an artifact nor an entry"),
        ("binary", "neither an artifact nor an entry"),
    ] {
        let ended = world.run(&["inspect", &world.arg(name)]);
        ended.expect(1, &[name, told]);
        assert!(ended.stdout.is_empty());
        let secret = std::fs::read_to_string(&key).unwrap();
        assert!(!ended.stderr.contains(secret.split_whitespace().last().unwrap()));
    }
    world.run(&["inspect", hello]).expect(1, &["this is a module"]);
    // By its name and place it is one, whatever is left of it.
    for (bytes, told) in [(&good[..70], "was cut off"), (b"", "is empty"), (b"xxx", "was changed")]
    {
        std::fs::write(&entry, bytes).unwrap();
        let told = format!("this entry of a cache {told}: delete it");
        world.run(&["inspect", entry.to_str().unwrap()]).expect(1, &[&told]);
    }
}

#[test]
fn the_entries_of_a_module_are_found_by_its_digest() {
    let world = World::new();
    let hello = program("hello");
    let hello = hello.to_str().unwrap();
    let (image, cache) = (world.arg("image"), world.arg("cache"));
    let platforms = ["--platform", "linux/amd64/v2,linux/arm64"];
    world.run(&[&["--out", &image], &platforms[..], &[hello]].concat()).expect(0, &[]);
    let warmed = ["--format", "json", "--platform", "linux/amd64/v3", "--cache-dir", &cache, hello];
    let warmed = json(world.run(&warmed).text());
    let digest = warmed["modules"][0]["digest"].as_str().unwrap();
    let inspect = |more: &[&str]| {
        let mut command = world.command();
        command.env("PRECOMPILE_CACHE_PATH", &image).args(["inspect", "--cache-dir", &cache]);
        crate::support::finish(command.args(more), b"")
    };
    let ended = inspect(&["--digest", digest, "--format", "json"]);
    ended.expect(0, &[]);
    let found = json(ended.text());
    let mut all: Vec<_> = found["entries"].as_array().unwrap().iter().collect();
    all.sort_by_key(|entry| entry["settings"]["cpu"].as_str());
    let cpus: Vec<_> = all.iter().map(|entry| entry["settings"]["cpu"].as_str().unwrap()).collect();
    assert_eq!(cpus, ["aarch64", "x86-64-v2", "x86-64-v3"]);
    let layers: Vec<_> = all.iter().map(|entry| entry["layer"].as_str().unwrap()).collect();
    assert_eq!(layers, ["layer 0", "layer 0", "dir"]);
    assert_eq!(all[2]["path"], world.entries("cache")[0].to_str().unwrap());
    assert_eq!(all[2]["module"], digest);
    let text = inspect(&["--digest", &format!("sha256:{}", digest.to_uppercase())]);
    text.expect(0, &[]);
    assert_eq!(text.text().matches("settings:").count(), 3, "{}", text.text());
    assert!(text.text().starts_with(&format!("entry          layer 0 {image}")), "{}", text.text());
    // One that is damaged is told beside the others.
    let damaged = world.entries("cache").remove(0);
    std::fs::write(&damaged, "damaged").unwrap();
    let ended = inspect(&["--digest", digest, "--format", "json"]);
    ended.expect(1, &[damaged.to_str().unwrap(), "; delete it and it is made again"]);
    assert_eq!(json(ended.text())["entries"].as_array().unwrap().len(), 3);
    // A link is not followed, wherever it leads.
    let whole = std::fs::read_dir(world.path("image").join(digest)).unwrap().next().unwrap();
    std::fs::remove_file(&damaged).unwrap();
    std::os::unix::fs::symlink(whole.unwrap().path(), &damaged).unwrap();
    inspect(&["--digest", digest]).expect(1, &[damaged.to_str().unwrap(), "not a regular file"]);
    // A folder that cannot be looked into is not one without entries.
    let group = damaged.parent().unwrap();
    std::fs::remove_dir_all(group).unwrap();
    std::fs::write(group, "").unwrap();
    inspect(&["--digest", digest]).expect(1, &[group.to_str().unwrap(), "no folder"]);
    inspect(&["--digest", &"0".repeat(64)]).expect(4, &["no entry of 0000", &image, &cache]);
    inspect(&["--digest", digest, hello]).expect(2, &["cannot be used with"]);
    inspect(&[]).expect(2, &["--digest"]);
    inspect(&["--digest", "xyz"]).expect(2, &["64 hexadecimal digits"]);
}
