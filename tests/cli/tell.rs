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
