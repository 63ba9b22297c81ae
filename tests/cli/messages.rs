//! What is said when something is wrong: where, what, and what to do about it, on one line each.

use crate::support::{World, finish, is_root, program, set_mode};
use std::fs;

fn hello() -> String {
    program("hello").to_str().unwrap().to_string()
}

#[test]
fn keys_that_cannot_be_used() {
    let world = World::new();
    world.run(&["keygen", "release", "--dir", &world.arg("")]).expect(0, &[]);
    let (secret, public) = (world.arg("release-1.key"), world.arg("release-1.pub"));
    let (hello, image) = (hello(), world.arg("image"));
    let sign = |key: &str| world.run(&["--out", &image, "--sign-key", key, &hello]);
    sign(&world.arg("missing")).expect(2, &["could not read the key", "missing: no such file"]);
    sign(&public).expect(2, &["a public key is where the secret one", "that ends in .key"]);
    let ended = world.run(&["check", "--trusted-key", &secret, &hello]);
    ended.expect(
        2,
        &["a secret key is where a public one", "ends in .pub", "give this one to nobody"],
    );
    let text = fs::read_to_string(&secret).unwrap();
    let digits = text.split_whitespace().last().unwrap();
    assert!(!ended.stderr.contains(digits), "a secret is told to nobody");
    if !is_root() {
        set_mode(secret.as_ref(), 0o000);
        sign(&secret).expect(2, &["permission denied; make it readable for this user"]);
        set_mode(secret.as_ref(), 0o600);
    }
    assert!(!sign(&secret).stderr.contains("warning"));
    set_mode(secret.as_ref(), 0o644);
    sign(&secret).expect(0, &["warning: ", "others can use this secret key", "0644", "chmod"]);
    let ended = world.run(&["sign", "--key", &secret, &image]);
    ended.expect(0, &["others can use this secret key"]);
}

#[test]
fn what_is_no_cache_is_not_signed() {
    let world = World::new();
    world.run(&["keygen", "release", "--dir", &world.arg("")]).expect(0, &[]);
    let key = world.arg("release-1.key");
    world.write("folder/file", "text");
    for folder in ["folder", "nowhere", "folder/file"] {
        let ended = world.run(&["sign", "--key", &key, &world.arg(folder)]);
        ended.expect(3, &[folder, "name one that was warmed"]);
    }
    assert_eq!(fs::read_dir(world.path("folder")).unwrap().count(), 1);
}

#[test]
fn names_with_line_feeds_stay_on_their_line() {
    let world = World::new();
    let file = world.write("a\nFinished \u{1b}[1mb.wasm", fs::read(program("hello")).unwrap());
    let bad = world.write("bad\n.wasm", "no module");
    let missing = world.path("missing\n\u{202e}.wasm");
    let cache = world.arg("cache");
    let [file, bad, missing] = [&file, &bad, &missing].map(|path| path.to_str().unwrap());
    for command in [&[][..], &["check"], &["--dry-run"]] {
        let fixed = [command, &["--cache-dir", &cache, file, bad, missing]].concat();
        let ended = world.run(&fixed);
        ended
            .expect(1, &[r"a\nFinished \u{1b}[1mb.wasm", r"bad\n.wasm", r"missing\n\u{202e}.wasm"]);
        let lines = ended.stderr.lines().filter(|line| line.contains(".wasm")).count();
        assert_eq!(lines, 3, "{}", ended.stderr);
        assert!(!ended.stderr.contains(['\u{1b}', '\u{202e}']), "{}", ended.stderr);
    }
    let explained = world.run(&["explain", "--cache-dir", &cache, file]);
    assert!(explained.text().starts_with(r"HIT "), "{}", explained.text());
    assert!(explained.text().lines().next().unwrap().contains(r"a\nFinished"));
    world.run(&["run", missing]).expect(125, &[r"missing\n\u{202e}.wasm: no such file or folder"]);
    world.run(&["wast", missing]).expect(1, &[r"missing\n\u{202e}.wasm: no such file"]);
    // Tools get what it is.
    let json = world.run(&["check", "--format", "json", "--cache-dir", &cache, file]);
    let json: serde_json::Value = serde_json::from_str(json.text()).unwrap();
    assert_eq!(json["modules"][0]["path"], file);
}

#[test]
fn folders_have_modules_of_all_cases() {
    let world = World::new();
    let bytes = fs::read(program("hello")).unwrap();
    for name in ["LOWER.WASM", "a.wasm", "b.Wat", "c.txt"] {
        let bytes = if name == "b.Wat" { b"(module)".to_vec() } else { bytes.clone() };
        world.write(&format!("plugins/{name}"), bytes);
    }
    let args = ["--cache-dir", &world.arg("cache"), &world.arg("plugins")];
    world
        .run(&args)
        .expect(0, &["LOWER.WASM", "a.wasm", "b.Wat", "3 modules: 2 compiled, 1 cached"]);
}

#[test]
fn lists_that_are_kept_are_told() {
    let world = World::new();
    let (hello, image, list) = (hello(), world.arg("image"), world.arg("list.json"));
    let warm = |file: &str| world.run(&["--out", &image, "--manifest", &list, &hello, file]);
    let missing = world.arg("missing.wasm");
    let first = warm(&missing);
    first.expect(1, &["the names are not written, since something failed"]);
    assert!(!first.stderr.contains("stays as it was"), "{}", first.stderr);
    warm(program("sort").to_str().unwrap()).expect(0, &[]);
    let before = fs::read(world.path("image/names")).unwrap();
    let kept = "since something failed; what is there already stays as it was";
    warm(&missing).expect(
        1,
        &[&format!("names are not written, {kept}"), &format!("manifest is not written, {kept}")],
    );
    assert_eq!(fs::read(world.path("image/names")).unwrap(), before);
}

#[test]
fn advice_is_not_cut_off() {
    let world = World::new();
    // Old exceptions are refused at some length, with what to do at the end.
    let code =
        b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a\x08\x01\x06\0\x06\x40\x19\x0b\x0b";
    let file = world.write("legacy.wasm", code);
    let ended = world.run(&["--cache-dir", &world.arg("cache"), file.to_str().unwrap()]);
    ended.expect(1, &["Invalid", "legacy-exceptions", "-wasm-use-legacy-eh=false"]);
    assert!(!ended.stderr.contains('…'), "{}", ended.stderr);
    // A line of the text that is quoted is.
    let text = world.write("long.wat", format!("(module (fnc {}))", "x".repeat(9000)));
    let ended = world.run(&["--cache-dir", &world.arg("cache"), text.to_str().unwrap()]);
    ended.expect(1, &["Invalid", "…"]);
    assert!(ended.stderr.len() < 4000, "{}", ended.stderr.len());
}

#[test]
fn documents_have_whole_paths() {
    let world = World::new();
    let hello = hello();
    let run = |args: &[&str]| {
        let mut command = world.command();
        command.current_dir(world.path("")).args(args).args(["--cache-dir", "cache"]);
        let ended = finish(command.args(["--format", "json"]), b"");
        let json: serde_json::Value = serde_json::from_str(ended.text()).unwrap();
        json["cache"].as_str().unwrap().to_string()
    };
    let whole = world.arg("cache");
    for args in [&["check", &hello][..], &["cache", "ls"], &["--dry-run", &hello]] {
        assert_eq!(run(args), whole, "{args:?} before there is one");
    }
    for args in [&[&*hello][..], &["check", &hello], &["cache", "dir"], &["cache", "ls"]] {
        assert!(run(args).ends_with("/cache") && run(args).starts_with('/'), "{args:?}");
    }
}

#[test]
fn usage_lines_have_what_may_be_there_instead_of_files() {
    let world = World::new();
    for (command, words) in [
        (
            "check",
            &["--name <NAME>", "--digest <SHA256>", "--from <FILE>", "--manifest <FILE>"][..],
        ),
        ("explain", &["--name <NAME>", "--digest <SHA256>"]),
        ("run", &["--name <NAME>", "--digest <SHA256>"]),
    ] {
        let help = world.run(&[command, "-h"]);
        let usage = help.text().split("\n\n").find(|part| part.starts_with("Usage:")).unwrap();
        for word in words {
            assert!(usage.contains(word), "{command} has no {word}: {usage}");
        }
    }
}

/// The folded form, which the parser of the text format does not know.
const FOLDED: &str = "(module (func (export \"f\") (try (do (nop)) (catch_all (nop)))))";

#[test]
fn what_can_never_be_compiled_is_no_miss() {
    let world = World::new();
    let cache = world.arg("cache");
    let write = |name, text: &str| world.write(name, text).to_str().unwrap().to_string();
    let folded = write("folded.wat", FOLDED);
    let flat = write("flat.wat", "(module (func try nop catch_all nop end))");
    let wide = write(
        "wide.wat",
        "(module (func (result i64 i64)
            (i64.mul_wide_u (i64.const 1) (i64.const 2))))",
    );
    let wrong = write("wrong.wat", "(module (func (result i32)))");
    for command in ["explain", "check"] {
        let ask = |file: &str| world.run(&[command, "--cache-dir", &cache, file]);
        for file in [&folded, &flat] {
            ask(file).expect(1, &["Invalid", "legacy-exceptions", "--translate-to-exnref"]);
        }
        let off = ask(&wide);
        off.expect(1, &["wide-arithmetic, which is switched off; switch on with `--features +"]);
        assert!(!off.stderr.contains("Config::"), "{}", off.stderr);
        ask(&wrong).expect(1, &["Invalid", "type mismatch"]);
    }
    assert!(!world.path("cache").exists());
    let ended = world.run(&["run", "--cache-dir", &cache, &folded]);
    ended.expect(125, &["legacy-exceptions", "folded.wat:1:"]);
    assert!(!ended.stderr.contains("<anon>"), "{}", ended.stderr);
}

#[test]
fn features_differ_by_a_few_names() {
    let world = World::new();
    let cache = world.arg("cache");
    let file = hello();
    let features = "+wide-arithmetic,-simd,-relaxed-simd";
    let args = ["--cpu", "x86-64-v2", "--target", "x86_64-linux", "--features", features];
    world.run(&[&["--cache-dir", &cache, &file][..], &args[..4]].concat()).expect(0, &[]);
    let told = "features: this engine also has wide-arithmetic, and lacks simd, relaxed-simd";
    let ask = |command| world.run(&[&[command, "--cache-dir", &cache, &file][..], &args].concat());
    ask("check").expect(4, &[told]);
    let explained = ask("explain");
    explained.expect(4, &[]);
    assert!(explained.text().contains(told), "{}", explained.text());
    let row = "features: wanted is also wide-arithmetic, not wanted is simd, relaxed-simd";
    assert!(explained.text().contains(row), "{}", explained.text());
}

#[test]
fn levels_of_other_instruction_sets_are_known() {
    let world = World::new();
    let (level, told) = match std::env::consts::ARCH {
        "x86_64" => ("aarch64", ["a CPU level of aarch64", "--target aarch64-unknown-linux-gnu"]),
        _ => ("x86-64-v3", ["a CPU level of x86-64", "--target x86_64-unknown-linux-gnu"]),
    };
    world.run(&["--cpu", level, &hello()]).expect(2, &told);
}

#[test]
fn entries_are_no_modules() {
    let world = World::new();
    world.warm(&program("hello"));
    let entry = &world.entries("cache")[0];
    let entry = entry.to_str().unwrap();
    for (args, code) in [(&[entry][..], 1), (&["check", entry], 1), (&["run", entry], 125)] {
        world.run(args).expect(code, &["compiled already", "precompile inspect"]);
    }
    // Other programs are what the decoder says.
    world.run(&["run", "/bin/sh"]).expect(125, &["magic header"]);
}

#[test]
fn the_same_file_counts_once() {
    let world = World::new();
    let (cache, file) = (world.arg("cache"), hello());
    let args = ["--format", "json", "--cache-dir", &cache, &file, &file, &file];
    let ended = world.run(&args);
    ended.expect(0, &["1 compiled"]);
    let told: serde_json::Value = serde_json::from_str(ended.text()).unwrap();
    assert_eq!(told["modules"].as_array().unwrap().len(), 1, "{told}");
}

#[test]
fn tables_stay_narrow_with_native_levels() {
    let world = World::new();
    let cache = world.arg("cache");
    world.run(&["--cpu", "native", "--cache-dir", &cache, &hello()]).expect(0, &[]);
    for command in ["ls", "stats"] {
        let ended = world.run(&["cache", command, "--cache-dir", &cache]);
        ended.expect(0, &[]);
        assert!(ended.text().contains("native(…)"), "{}", ended.text());
        let is_narrow = |line: &str| line.chars().count() <= 120;
        assert!(ended.text().lines().skip(1).all(is_narrow), "{}", ended.text());
    }
}
