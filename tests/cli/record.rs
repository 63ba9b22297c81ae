//! What runs asked for is noted, and warmed from the notes.

use crate::support::{Ended, World, finish, is_root, program};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Child;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// `run` with a record, in a cache that is empty each time.
fn run(world: &World, args: &[&str]) -> Ended {
    let mut command = world.command();
    command.env("PRECOMPILE_RECORD", world.path("record")).env("PRECOMPILE_CACHE_DIR", "");
    finish(command.arg("run").args(args), b"")
}

fn lines(world: &World) -> Vec<Value> {
    let text = fs::read_to_string(world.path("record")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn from(world: &World, cache: &str, more: &[&str]) -> Ended {
    let fixed = ["--from", &world.arg("record"), "--cache-dir", &world.arg(cache)];
    world.run(&[&fixed[..], more].concat())
}

/// `run` that must not compile.
fn hit(world: &World, cache: &str, args: &[&str]) -> Ended {
    world.run(&[&["run", "--require-hit", "--cache-dir", &world.arg(cache)][..], args].concat())
}

#[test]
fn what_runs_asked_for_is_warmed() {
    let world = World::new();
    let hello = program("hello");
    let hello = text(&hello);
    let library = world.write("lib.wat", fs::read(program("lib-wat")).unwrap());
    let library = text(&library);
    let add = ["--opt-level", "none", "--invoke", "add", library, "1", "2"];
    for _ in 0..2 {
        run(&world, &[hello]).expect(0, &[]);
        run(&world, &add).expect(0, &[]);
    }
    // A miss is noted as well, an input that is no module is not.
    run(&world, &["--require-hit", "--bounds", "explicit", hello]).expect(124, &[]);
    run(&world, &[text(&world.write("bad.wasm", b"\0asm no"))]).expect(125, &[]);
    let noted = lines(&world);
    assert_eq!(noted.len(), 5);
    assert_eq!(noted[0], noted[2], "the same run notes the same");
    assert_eq!(noted[0]["path"], hello);
    assert_eq!(noted[0]["module"].as_str().unwrap().len(), 64);
    assert!(noted[1]["settings"].as_str().unwrap().contains("\nopt-level = none\n"));

    from(&world, "cache", &[]).expect(0, &["2 modules: 3 compiled, 0 cached, 0 failed"]);
    from(&world, "cache", &[]).expect(0, &["2 modules: 0 compiled, 3 cached, 0 failed"]);
    hit(&world, "cache", &[hello]).expect(0, &[]);
    hit(&world, "cache", &["--bounds", "explicit", hello]).expect(0, &[]);
    assert_eq!(hit(&world, "cache", &add).text(), "3\n");
    let other = ["--invoke", "add", library, "1", "2"];
    hit(&world, "cache", &other).expect(124, &["opt-level is none"]);

    // For other processors than the one that recorded; and as an image with a manifest.
    let list = world.arg("list.json");
    let more = ["--platform", "linux/amd64/v2,linux/arm64", "--manifest", &list];
    from(&world, "wide", &more).expect(0, &["2 modules: 6 compiled"]);
    world.run(&["check", "--manifest", &list, "--cache-dir", &world.arg("wide")]).expect(0, &[]);
    let targets = ["--platform", "linux/amd64/v2,linux/arm64", "--opt-level", "none", library];
    let cache = world.arg("wide");
    world.run(&[&["check", "--cache-dir", &cache][..], &targets].concat()).expect(0, &[]);
    world.run(&["--from", &world.arg("record"), "--fuel"]).expect(2, &["cannot be used with"]);
}

#[test]
fn processes_write_one_record_at_once() {
    let world = World::new();
    let files: Vec<_> = (0..6)
        .map(|number| {
            // A path that is longer than a page.
            let folder = format!("{}/{number}", ["long"; 40].join("/"));
            let bytes = format!("(module (func (export \"_start\") (drop (i32.const {number}))))");
            world.write(&format!("{folder}/{}.wat", "x".repeat(200)), bytes)
        })
        .collect();
    let start = |file: &std::path::PathBuf| -> Child {
        let mut command = world.command();
        command.env("PRECOMPILE_RECORD", world.path("record")).env("PRECOMPILE_CACHE_DIR", "");
        command.args(["run", "--opt-level", "none", text(file)]).spawn().unwrap()
    };
    for _ in 0..3 {
        let children: Vec<_> = files.iter().map(start).collect();
        children.into_iter().for_each(|mut child| assert!(child.wait().unwrap().success()));
    }
    assert_eq!(lines(&world).len(), 18);
    from(&world, "cache", &[]).expect(0, &["6 modules: 6 compiled"]);
}

#[test]
fn modules_that_are_elsewhere_are_found_by_digest() {
    let world = World::new();
    let hello = world.write("app/hello.wasm", fs::read(program("hello")).unwrap());
    let sort = program("sort");
    run(&world, &[text(&hello)]).expect(0, &[]);
    run(&world, &[text(&sort)]).expect(0, &[]);
    // From memory: there is no path.
    let mut command = world.command();
    command.env("PRECOMPILE_RECORD", world.path("record")).env("PRECOMPILE_CACHE_DIR", "");
    let module = wat::parse_str("(module (func (export \"_start\")))").unwrap();
    finish(command.args(["run", "-"]), &module).expect(0, &[]);
    let noted = lines(&world);
    assert!(noted[2].get("path").is_none(), "{noted:?}");

    fs::rename(&hello, world.path("app/moved.wasm")).unwrap();
    let digest = |number: usize| noted[number]["module"].as_str().unwrap().to_string();
    let ended = from(&world, "cache", &[]);
    ended.expect(1, &[&digest(0), &digest(2), "from memory", "1 compiled, 0 cached, 2 failed"]);
    // Another module is at its place now.
    fs::copy(&sort, &hello).unwrap();
    from(&world, "cache", &[]).expect(1, &[&digest(0), "is not here now", "1 cached, 2 failed"]);
    let memory = world.write("other/memory.wasm", &module);
    let folders = [world.arg("app"), text(&memory).to_string()];
    let folders: Vec<_> = folders.iter().map(|folder| &**folder).collect();
    from(&world, "cache", &folders).expect(0, &["3 modules: 2 compiled, 1 cached, 0 failed"]);
    // What is named has to be there; what nobody asked for need not be a module.
    world.write("app/none.wasm", "none");
    from(&world, "cache", &folders).expect(0, &["3 cached"]);
    from(&world, "cache", &["missing.wasm"]).expect(1, &["missing.wasm: no such file"]);
    from(&world, "cache", &["-"]).expect(2, &["--from", "name files"]);
}

#[test]
fn a_damaged_record_is_refused_with_the_line() {
    let world = World::new();
    run(&world, &[text(&program("hello"))]).expect(0, &[]);
    let good = fs::read_to_string(world.path("record")).unwrap();
    let line = good.trim_end();
    let none = "no line of a record";
    let bad: [(Vec<u8>, &str); 10] = [
        ("nonsense".into(), none),
        ("{}".into(), none),
        (b"\0\xff\xfe\x80".to_vec(), none),
        (line[..line.len() / 2].into(), none),
        ([line, line].concat().into(), none),
        (line.replace("\"record\":1", "\"record\":2").into(), "version 2 of records"),
        (line.replacen("engine = ", "engine = 9", 1).into(), "of another engine: engine is"),
        (line.replace("fuel = off", "fuel = perhaps").into(), "unknown value of `fuel`"),
        (line.replace("fuel = off", "fuel off").into(), "name = value"),
        (line.replace("\"module\":\"", "\"module\":\"x").into(), none),
    ];
    for (bytes, text) in bad {
        let all = [good.as_bytes(), b"\n", &bytes, b"\n", good.as_bytes()].concat();
        fs::write(world.path("record"), all).unwrap();
        from(&world, "cache", &[]).expect(1, &["record: line 3: ", text]);
    }
    assert!(!world.path("cache").exists(), "nothing is compiled by half a list");
    for nothing in ["", "\n\n"] {
        fs::write(world.path("record"), nothing).unwrap();
        from(&world, "cache", &[]).expect(1, &["nothing is recorded"]);
    }
    let huge = fs::File::create(world.path("record")).unwrap();
    huge.set_len((96 << 20) + 1).unwrap();
    from(&world, "cache", &[]).expect(1, &["too long to be a record"]);
    fs::remove_file(world.path("record")).unwrap();
    from(&world, "cache", &[]).expect(1, &["record: no such file"]);
    fs::create_dir(world.path("record")).unwrap();
    from(&world, "cache", &[]).expect(1, &["record: it is a folder"]);
    // The last line need not be ended.
    fs::remove_dir(world.path("record")).unwrap();
    fs::write(world.path("record"), line).unwrap();
    from(&world, "cache", &[]).expect(0, &["1 compiled"]);
}

#[test]
fn a_record_that_cannot_be_written_fails_no_run() {
    let world = World::new();
    fs::create_dir(world.path("record")).unwrap();
    let ended = run(&world, &[text(&program("hello"))]);
    ended.expect(0, &["warning: could not open the record", "(nothing is recorded)"]);
    assert!(ended.text().starts_with("hello"));
    let mut command = world.command();
    command.env("PRECOMPILE_RECORD", "/dev/full").args(["run", text(&program("hello"))]);
    finish(&mut command, b"").expect(0, &["not a regular file"]);
}

/// The environment of a process with others' rights is its starter's.
#[test]
fn set_user_id_programs_read_no_environment() {
    use std::os::unix::process::CommandExt;
    if !is_root() {
        return;
    }
    let world = World::new();
    crate::support::set_mode(&world.path(""), 0o755);
    let copy = world.path("precompile");
    fs::copy(tests::precompile_binary(), &copy).unwrap();
    crate::support::set_mode(&copy, 0o4755);
    let hello = world.write("hello.wasm", fs::read(program("hello")).unwrap());
    let mut command = std::process::Command::new(&copy);
    command.env_clear().uid(65534).gid(65534).args(["run", "-v", text(&hello)]);
    for name in ["PRECOMPILE_RECORD", "PRECOMPILE_CACHE_DIR", "PRECOMPILE_CACHE_PATH", "HOME"] {
        command.env(name, world.path("theirs"));
    }
    let ended = finish(&mut command, b"");
    ended.expect(0, &["its environment only restricts", "stricter policies count"]);
    assert!(ended.text().starts_with("hello"));
    assert!(!world.path("theirs").exists() && !world.path(".cache").exists());
    command.env("PRECOMPILE_CACHE_MODE", "require-hit");
    finish(&mut command, b"").expect(124, &[]);
}

/// Those who write at once write a line each when it is all but full.
#[test]
fn a_full_record_is_warmed_from_and_told() {
    use std::os::unix::fs::FileExt;
    let world = World::new();
    let hello = program("hello");
    run(&world, &[text(&hello)]).expect(0, &[]);
    let line = fs::metadata(world.path("record")).unwrap().len();
    let limit = 64 << 20;
    let fill = |to: u64| {
        let file = fs::OpenOptions::new().write(true).open(world.path("record")).unwrap();
        // Empty lines are passed over.
        file.write_all_at(&vec![b'\n'; (to - line) as usize], line).unwrap();
        file.set_len(to).unwrap();
    };
    fill(limit - 10);
    let ended = run(&world, &[text(&hello)]);
    ended.expect(0, &["what was loaded is not recorded", "empty it"]);
    assert_eq!(ended.stderr.matches("not recorded").count(), 1, "{}", ended.stderr);
    fill(limit + 100 * line);
    run(&world, &[text(&hello)]).expect(0, &["it is full", "warm from it, and empty it"]);
    from(&world, "cache", &[]).expect(0, &["1 compiled"]);
}

/// The same list that `--from` warms is what `check --from` asks for, without the modules.
#[test]
fn a_cache_is_held_against_what_was_recorded() {
    let world = World::new();
    let module = world.write("plugin.wasm", fs::read(program("hello")).unwrap());
    let module = text(&module);
    run(&world, &[module]).expect(0, &[]);
    run(&world, &["--opt-level", "none", module]).expect(0, &[]);
    let check = |more: &[&str]| {
        let fixed = ["check", "--from", &world.arg("record"), "--cache-dir", &world.arg("cache")];
        world.run(&[&fixed[..], more].concat())
    };
    check(&[]).expect(4, &["plugin.wasm", "1 module: 0 cached, 2 missing"]);
    assert!(!world.path("cache").exists());
    from(&world, "cache", &[]).expect(0, &["2 compiled"]);
    check(&[]).expect(0, &["2 cached, 0 missing"]);
    let ended = check(&["--format", "json"]);
    let document: Value = serde_json::from_str(ended.text()).unwrap();
    assert_eq!(document["modules"][0]["path"], module);
    assert_eq!(document["modules"][0]["outcome"], "hit");
    // Other platforms than the one that recorded.
    let arm = ["--platform", "linux/arm64"];
    check(&arm).expect(4, &["aarch64-linux", "0 cached, 2 missing"]);
    from(&world, "cache", &arm).expect(0, &["2 compiled"]);
    check(&arm).expect(0, &["2 cached"]);
    // The file is not needed, and one that has become another is told.
    fs::write(module, fs::read(program("sort")).unwrap()).unwrap();
    check(&[]).expect(0, &["warning: ", "has another module than when it was recorded"]);
    fs::remove_file(module).unwrap();
    assert!(!check(&[]).stderr.contains("warning"));
    check(&["--fuel"]).expect(2, &["--fuel"]);
    check(&["--host"]).expect(2, &["--host"]);
    check(&["x.wasm"]).expect(2, &["cannot be used with"]);
    world.write("record", "nonsense");
    check(&[]).expect(1, &["line 1: it is no line of a record"]);
    world.write("record", "");
    check(&[]).expect(1, &["nothing is recorded"]);
}
