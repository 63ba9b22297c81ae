//! Loading without the modules: lists of names, digests, and signatures over lists.

use crate::support::{Ended, World, finish, program, set_mode};
use precompile::cache::Names;
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

/// A world with a folder of two modules, and no modules after they were warmed into `image`.
fn world(more: &[&str]) -> World {
    let world = World::new();
    world.run(&["keygen", "release", "--dir", &world.arg("")]).expect(0, &[]);
    world.write("plugins/hello.wasm", fs::read(program("hello")).unwrap());
    world.write("plugins/more/wc.wasm", fs::read(program("wc")).unwrap());
    let fixed = ["-q", "--out", &world.arg("image")];
    let (key, plugins) = (world.arg("release-1.key"), world.arg("plugins"));
    let more: Vec<_> = more.iter().map(|arg| if *arg == "KEY" { &key } else { *arg }).collect();
    world.run(&[&fixed[..], &more, &[&plugins]].concat()).expect(0, &[]);
    world
}

/// Runs the program with the image as a layer that nothing is added to.
fn run(world: &World, args: &[&str]) -> Ended {
    let mut command = world.command();
    command.env("PRECOMPILE_CACHE_PATH", world.path("image")).env("PRECOMPILE_CACHE_DIR", "");
    finish(command.env("PRECOMPILE_CACHE_MODE", "require-hit").args(args), b"one two\n")
}

fn digest(world: &World, name: &str) -> String {
    let list = fs::read_to_string(world.path("image/names")).unwrap();
    let line = list.lines().find(|line| line.ends_with(&format!("  {name}"))).unwrap();
    line[..64].to_string()
}

#[test]
fn an_image_without_modules_runs_them_by_name() {
    let world = world(&[]);
    fs::remove_dir_all(world.path("plugins")).unwrap();
    let ended = run(&world, &["run", "-v", "--name", "hello.wasm", "you", "--name"]);
    ended.expect(0, &["hit layer 0", "compiles: 0"]);
    let direct = world.run(&["run", program("hello").to_str().unwrap(), "you", "--name"]);
    assert_eq!(ended.text(), direct.text(), "the guest gets what it would get");
    let ended = run(&world, &["run", "--name", "more/wc.wasm"]);
    ended.expect(0, &[]);
    assert!(ended.text().contains('2'), "{}", ended.text());
    let digest = digest(&world, "hello.wasm");
    for digest in [&digest, &format!("sha256:{}", digest.to_uppercase())] {
        let ended = run(&world, &["run", "--digest", digest, "you"]);
        ended.expect(0, &[]);
        assert!(ended.text().starts_with("hello, "), "{}", ended.text());
    }
    // What asks for it by the file is told of the name.
    run(&world, &["run", "hello.wasm"]).expect(125, &["no such file", "--name hello.wasm"]);
    run(&world, &["run", "--name", "other"])
        .expect(124, &["other", "no list of names has it", "layer 0", "precompile --names"]);
    let none = "0".repeat(64);
    run(&world, &["run", "--digest", &none]).expect(124, &[&none, "no entry of this module"]);
    // Behind the first argument, all are the guest's.
    run(&world, &["run", "--name", "hello.wasm", "x", "--opt-level", "none"]).expect(0, &[]);
}

#[test]
fn the_order_of_options_and_arguments() {
    let world = world(&[]);
    let none = run(&world, &["run", "--opt-level", "none", "--name", "hello.wasm"]);
    none.expect(124, &["opt-level is speed, this engine needs none", "SHA-256"]);
    for digest in ["", "12", &"g".repeat(64), &"0".repeat(63)] {
        run(&world, &["run", "--digest", digest]).expect(2, &["64 hexadecimal digits"]);
    }
    let zeros = "0".repeat(64);
    run(&world, &["run", "--digest", &zeros, "--name", "a"]).expect(2, &["cannot be used with"]);
    run(&world, &["run"]).expect(2, &["FILE"]);
    run(&world, &["check", "--name", "a", "b.wasm"]).expect(2, &["cannot be used with"]);
}

#[test]
fn check_and_explain_without_modules() {
    let world = world(&[]);
    let digest = digest(&world, "more/wc.wasm");
    run(&world, &["check", "--name", "hello.wasm", "--digest", &digest])
        .expect(0, &["2 modules: 2 cached"]);
    let ended =
        run(&world, &["check", "--name", "hello.wasm", "--name", "other", "--format", "json"]);
    ended.expect(4, &["Missing other", "no list of names has it", "1 cached, 1 missing"]);
    let rows: Value = serde_json::from_str(ended.text()).unwrap();
    assert_eq!(rows["modules"][1]["miss"]["reason"], "absent");
    run(&world, &["check", "--name", "hello.wasm", "--opt-level", "none"])
        .expect(4, &["opt-level is speed, this engine needs none"]);
    let told = run(&world, &["explain", "--name", "more/wc.wasm"]);
    told.expect(0, &[]);
    assert!(told.text().contains("HIT more/wc.wasm") && told.text().contains(&digest));
    let told = run(&world, &["explain", "--digest", &digest]);
    told.expect(0, &[]);
    let told = run(&world, &["explain", "--name", "other", "--format", "json"]);
    told.expect(4, &["no list of names has it"]);
    let told: Value = serde_json::from_str(told.text()).unwrap();
    assert_eq!(told["explanations"][0]["miss"]["reason"], "absent");
    run(&world, &["explain", "--digest", &"0".repeat(64)]).expect(4, &[]);
}

#[test]
fn a_list_is_the_same_whoever_makes_it() {
    let (one, two) = (world(&["-j1"]), world(&["-j2", "--platform", "linux/arm64,linux/amd64"]));
    let list = |world: &World| fs::read_to_string(world.path("image/names")).unwrap();
    assert_eq!(list(&one), list(&two));
    let names: Vec<_> = list(&one).lines().skip(1).map(|line| line[66..].to_string()).collect();
    assert_eq!(names, ["hello.wasm", "more/wc.wasm"]);
    // sha256sum reads it, and finds the modules to be those.
    let mut sum = std::process::Command::new("sha256sum");
    sum.current_dir(one.path("plugins")).arg("-c").arg(one.path("image/names"));
    finish(&mut sum, b"").expect(0, &[]);
    // It grows with what is put there, and a name's module may become another one.
    let (out, sort) = (one.arg("image"), program("sort"));
    one.run(&["--out", &out, sort.to_str().unwrap()]).expect(0, &[]);
    assert_eq!(list(&one).lines().count(), 4);
    one.write("other/hello.wasm", fs::read(&sort).unwrap());
    let ended = one.run(&["--out", &out, &one.arg("other")]);
    ended.expect(0, &["warning: hello.wasm is the name of another module than before"]);
    assert_eq!(digest(&one, "hello.wasm"), digest(&one, "sort.wasm"));
    one.run(&["cache", "verify", "--cache-dir", &out]).expect(0, &["0 foreign"]);
    fs::write(one.path("image/names"), "damaged").unwrap();
    one.run(&["cache", "verify", "--cache-dir", &out]).expect(1, &["1 damaged", "names"]);
}

#[test]
fn what_writes_names_and_what_does_not() {
    let world = world(&[]);
    let (cache, plugins) = (world.arg("cache"), world.arg("plugins"));
    let warm = |more: &[&str]| world.run(&[&["--cache-dir", &cache], more].concat());
    warm(&[&plugins]).expect(0, &[]);
    assert!(!world.path("cache/names").exists());
    warm(&["--names", "--dry-run", &plugins]).expect(0, &[]);
    assert!(!world.path("cache/names").exists());
    warm(&["--names", &plugins]).expect(0, &[]);
    world.run(&["run", "--cache-dir", &cache, "--name", "hello.wasm"]).expect(0, &[]);
    let out = world.arg("out");
    world.run(&["--out", &out, "--no-names", &plugins]).expect(0, &[]);
    assert!(!world.path("out/names").exists());
    world.run(&["--names", "--no-names", &plugins]).expect(2, &["cannot be used with"]);
    // Standard input has no name.
    let mut command = world.command();
    command.args(["--out", &out, "-"]);
    finish(&mut command, &fs::read(program("hello")).unwrap()).expect(0, &[]);
    assert!(!world.path("out/names").exists());
    // Two of a name, and names that cannot be.
    world.write("other/hello.wasm", fs::read(program("sort")).unwrap());
    let two = [&world.arg("plugins/hello.wasm")[..], &world.arg("other/hello.wasm")];
    let ended = world.run(&[&["--out", &out], &two[..]].concat());
    ended.expect(1, &["two modules are named hello.wasm", "--no-names"]);
    assert!(!world.path("out/names").exists());
    world.run(&[&["--out", &out, "--no-names"], &two[..]].concat()).expect(0, &[]);
    let module = fs::read(program("hello")).unwrap();
    for (name, told) in [(&b"\xff.wasm"[..], "not UTF-8"), (b"a\nb.wasm", "control character")] {
        let path = world.path("odd").join(OsStr::from_bytes(name));
        fs::create_dir_all(world.path("odd")).unwrap();
        fs::write(&path, &module).unwrap();
        world.run(&["--out", &out, &world.arg("odd")]).expect(1, &[told, "--no-names"]);
        world.run(&["--out", &out, "--no-names", &world.arg("odd")]).expect(0, &[]);
        fs::remove_file(&path).unwrap();
    }
    let odd = world.write("odd/\u{fc} \\.wasm", &module);
    world.run(&["--out", &out, odd.to_str().unwrap()]).expect(0, &[]);
    let layer = ["run", "--cache-dir", &out, "--name", "\u{fc} \\.wasm"];
    world.run(&layer).expect(0, &[]);
    // What failed leaves a list that is as it was.
    let before = fs::read(world.path("out/names")).unwrap();
    world.write("plugins/bad.wasm", "\0asm");
    world.run(&["--out", &out, &plugins]).expect(1, &["the names are not written"]);
    assert_eq!(fs::read(world.path("out/names")).unwrap(), before);
}

#[test]
fn names_and_manifests_are_signed() {
    let world = world(&["--sign-key", "KEY"]);
    let (public, key, image) =
        (world.arg("release-1.pub"), world.arg("release-1.key"), world.arg("image"));
    let hello = |more: &[&str]| {
        run(&world, &[&["run"], more, &["--trusted-key", &public, "--name", "hello.wasm"]].concat())
    };
    set_mode(&world.path("image"), 0o777);
    hello(&[]).expect(0, &[]);
    run(&world, &["run", "--name", "hello.wasm"]).expect(124, &["untrusted"]);
    set_mode(&world.path("image"), 0o755);
    let list = world.path("image/names");
    let good = fs::read_to_string(&list).unwrap();
    // Sent elsewhere.
    let swapped = good.replace(&digest(&world, "hello.wasm"), &digest(&world, "more/wc.wasm"));
    fs::write(&list, swapped).unwrap();
    let ended = hello(&[]);
    ended.expect(124, &["its signature by release-1 does not hold"]);
    assert_eq!(ended.stderr.matches("does not hold").count(), 1, "{}", ended.stderr);
    // Names that others may have written are neither dropped nor taken over; one's own are kept.
    let sort = program("sort");
    let sort = sort.to_str().unwrap();
    let open = world.arg("open");
    let swapped = fs::read(&list).unwrap();
    let there = world.write("open/names", &swapped);
    set_mode(&world.path("open"), 0o777);
    for more in [&[][..], &["--sign-key", &key]] {
        let ended = world.run(&[&["--out", &open], more, &[sort]].concat());
        ended.expect(1, &["the names are not written", "untrusted", "or remove the list"]);
        assert_eq!(fs::read(&there).unwrap(), swapped);
    }
    fs::write(&there, &good).unwrap();
    world.run(&["--out", &open, "--sign-key", &key, sort]).expect(0, &[]);
    assert_eq!(Names::read(&there).unwrap().len(), 3);
    // Not signed, and signed later.
    fs::write(&list, &good[..good.rfind("# signature").unwrap()]).unwrap();
    hello(&[]).expect(124, &["names: it is not signed"]);
    run(&world, &["check", "--trusted-key", &public, "--name", "hello.wasm"])
        .expect(4, &["it is not signed"]);
    world.run(&["sign", "--key", &key, &image]).expect(0, &["2 were before", "lists signed: 1"]);
    assert_eq!(fs::read_to_string(&list).unwrap(), good);
    world.run(&["sign", "--key", &key, &image]).expect(0, &["lists signed: 0"]);
    // The same names once more leave the signature; others without the key are told.
    world.run(&["--out", &image, &world.arg("plugins")]).expect(0, &[]);
    assert_eq!(fs::read_to_string(&list).unwrap(), good);
    // Copies keep signatures, of entries and of the list.
    let copy = world.arg("copy");
    let copied = ["--out", &copy, "--cache-dir", &image, &world.arg("plugins")];
    world.run(&copied).expect(0, &["2 cached"]);
    for entry in world.entries("image") {
        let same = world.path("copy").join(entry.strip_prefix(world.path("image")).unwrap());
        assert!(fs::read(entry).unwrap() == fs::read(same).unwrap());
    }
    assert_eq!(fs::read_to_string(world.path("copy/names")).unwrap(), good);
    let sort = program("sort");
    world
        .run(&["--out", &copy, sort.to_str().unwrap()])
        .expect(0, &["were signed by release-1, and are not any more", "precompile sign"]);
    fs::write(world.path("copy/names"), "damaged").unwrap();
    world
        .run(&["--out", &copy, sort.to_str().unwrap()])
        .expect(0, &["warning: the names that were there are lost", "line 1"]);
    // Manifests.
    let manifest = world.arg("list.json");
    let warm = |more: &[&str]| {
        let fixed = ["--out", &image, "--manifest", &manifest];
        world.run(&[&fixed[..], more, &[&world.arg("plugins")]].concat()).expect(0, &[]);
    };
    let check = |more: &[&str]| {
        let fixed = ["check", "--cache-dir", &image, "--manifest", &manifest];
        world.run(&[&fixed[..], more].concat())
    };
    let prune = |more: &[&str]| {
        let fixed = ["cache", "prune", "-n", "--max-size", "0", "--cache-dir", &image];
        world.run(&[&fixed[..], &["--keep-manifest", &manifest], more].concat())
    };
    let trusted = ["--trusted-key", &public[..]];
    warm(&[]);
    check(&[]).expect(0, &["2 cached"]);
    check(&trusted).expect(1, &["list.json: it is not signed", "sign --manifest"]);
    prune(&trusted).expect(1, &["list.json: it is not signed"]);
    world.run(&["sign", "--key", &key, "--manifest", &manifest]).expect(0, &["lists signed: 1"]);
    check(&trusted).expect(0, &["2 cached"]);
    prune(&trusted).expect(0, &["0 entries"]);
    warm(&[]);
    check(&trusted).expect(1, &["it is not signed"]);
    warm(&["--sign-key", &key]);
    check(&trusted).expect(0, &["2 cached"]);
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("more/wc.wasm", "more/we.wasm")).unwrap();
    check(&[]).expect(0, &[]);
    check(&trusted).expect(1, &["its signature by release-1 does not hold"]);
    prune(&trusted).expect(1, &["does not hold"]);
    for junk in ["", "zz", "00", "0", "\u{fc}"] {
        fs::write(world.path("list.json.sig"), junk).unwrap();
        check(&trusted).expect(1, &["sign --manifest"]);
    }
    fs::write(&manifest, "{}").unwrap();
    world.run(&["sign", "--key", &key, "--manifest", &manifest]).expect(1, &["no manifest"]);
    world.run(&["sign", "--key", &key]).expect(2, &["DIR"]);
}

#[test]
fn a_list_is_for_a_scope() {
    let world = world(&["--sign-key", "KEY", "--scope", "one"]);
    let (public, key, image) =
        (world.arg("release-1.pub"), world.arg("release-1.key"), world.arg("image"));
    let hello = |more: &[&str]| {
        run(&world, &[&["run"], more, &["--trusted-key", &public, "--name", "hello.wasm"]].concat())
    };
    hello(&[]).expect(0, &[]);
    hello(&["--scope", "one"]).expect(0, &[]);
    let told = ["a list for the scope \"one\", and one for the scope \"two\" is asked for"];
    hello(&["--scope", "two"]).expect(124, &told);
    let check = ["check", "--trusted-key", &public, "--name", "hello.wasm", "--scope"];
    run(&world, &[&check[..], &["two"]].concat()).expect(4, &told);
    run(&world, &[&check[..], &["one"]].concat()).expect(0, &[]);
    let by_environment = |scope: &str| {
        let mut command = world.command();
        command.env("PRECOMPILE_CACHE_PATH", &image).env("PRECOMPILE_CACHE_DIR", "");
        command.env("PRECOMPILE_CACHE_SCOPE", scope);
        finish(command.args(["run", "--require-hit", "--name", "hello.wasm"]), b"")
    };
    by_environment("one").expect(0, &[]);
    by_environment("").expect(0, &[]);
    by_environment("two").expect(124, &told);
    by_environment(" ").expect(124, &["expected a scope", "no list of names is used"]);
    // A list that the same key has signed for something else.
    let other = world.arg("other");
    let warm = ["-q", "--sign-key", &key, "--scope", "two", &world.arg("plugins")];
    world.run(&[&["--out", &other], &warm[..]].concat()).expect(0, &[]);
    fs::copy(world.path("other/names"), world.path("image/names")).unwrap();
    hello(&["--scope", "one"]).expect(124, &["the scope \"two\""]);
    world.run(&["sign", "--key", &key, "--scope", "one", &image]).expect(0, &["lists signed: 1"]);
    world.run(&["sign", "--key", &key, "--scope", "one", &image]).expect(0, &["lists signed: 0"]);
    world.run(&["sign", "--key", &key, &image]).expect(0, &["lists signed: 0"]);
    hello(&["--scope", "one"]).expect(0, &[]);
    // A copy keeps it, a list that is added to as well, and another one is told.
    let copy = world.arg("copy");
    let plugins = world.arg("plugins");
    world.run(&["--out", &copy, "--cache-dir", &image, &plugins]).expect(0, &["2 cached"]);
    assert_eq!(
        fs::read(world.path("copy/names")).unwrap(),
        fs::read(world.path("image/names")).unwrap()
    );
    let sort = program("sort");
    let sort = sort.to_str().unwrap();
    world.run(&["--out", &copy, "--sign-key", &key, sort]).expect(0, &[]);
    assert_eq!(Names::read(world.path("copy/names")).unwrap().scope(), Some("one"));
    world
        .run(&["--out", &copy, "--sign-key", &key, "--scope", "two", sort])
        .expect(0, &["are for the scope \"two\" now, and were for \"one\""]);
    let cache = ["--cache-dir", &world.arg("cache"), "--scope", "one", sort];
    world.run(&cache).expect(2, &["add --names or --out"]);
    world.run(&[&["--no-names", "--out", &copy], &cache[2..]].concat()).expect(2, &["add --names"]);
    world.run(&["--out", &copy, "--scope", "", sort]).expect(2, &["expected a scope"]);
    // Signing tells it as well, once.
    let sign = ["sign", "--key", &key, "--scope", "one", &copy];
    let told = "are for the scope \"one\" now, and were for \"two\"";
    world.run(&sign).expect(0, &[told, "lists signed: 1"]);
    let again = world.run(&sign);
    again.expect(0, &["lists signed: 0"]);
    assert!(!again.stderr.contains("are for the scope"), "{}", again.stderr);
}

/// Who writes with the environment that readers have writes what they read.
#[test]
fn lists_are_written_for_the_scope_of_the_environment() {
    let world = world(&["--sign-key", "KEY", "--no-names"]);
    let (key, image) = (world.arg("release-1.key"), world.arg("image"));
    let plugins = world.arg("plugins");
    let with = |scope: &str, args: &[&str]| {
        let mut command = world.command();
        command.env("PRECOMPILE_CACHE_SCOPE", scope).args(args);
        finish(&mut command, b"")
    };
    let scope = |dir: &str| {
        let names = Names::read(world.path(dir).join("names")).unwrap();
        names.scope().map(String::from)
    };
    with("prod", &["--out", &image, &plugins]).expect(0, &[]);
    assert_eq!(scope("image").as_deref(), Some("prod"));
    let cache = world.arg("cache");
    with("prod", &["--cache-dir", &cache, "--names", &plugins]).expect(0, &[]);
    let hello = ["run", "--require-hit", "--cache-dir", &cache, "--name", "hello.wasm"];
    with("prod", &hello).expect(0, &[]);
    with("test", &hello).expect(124, &[]);
    with("test", &["--out", &image, "--scope", "prod", &plugins]).expect(0, &[]);
    assert_eq!(scope("image").as_deref(), Some("prod"), "what is named counts first");
    with("test", &["sign", "--key", &key, &image]).expect(0, &["were for \"prod\""]);
    assert_eq!(scope("image").as_deref(), Some("test"));
    with("", &["sign", "--key", &key, &image]).expect(0, &["lists signed: 0"]);
    for bad in [&["--out", &image, &plugins][..], &["sign", "--key", &key, &image]] {
        with(" ", bad).expect(2, &["PRECOMPILE_CACHE_SCOPE: expected a scope"]);
    }
    assert_eq!(scope("image").as_deref(), Some("test"));
    // It is told once.
    let mut command = world.command();
    command.env("PRECOMPILE_CACHE_SCOPE", " ").env("PRECOMPILE_CACHE_DIR", "");
    let ended = finish(command.args(["cache", "dir"]), b"");
    assert_eq!(ended.stderr.matches("expected a scope").count(), 1, "{}", ended.stderr);
}

/// What cannot be written for another reason is not put down to the list.
#[test]
fn a_folder_for_temporary_files_that_others_write_to_is_not_the_list() {
    let world = world(&[]);
    let image = world.arg("image");
    let warm = || world.run(&["--out", &image, &world.arg("plugins")]);
    fs::create_dir(world.path("image/.tmp")).unwrap();
    set_mode(&world.path("image/.tmp"), 0o777);
    let ended = warm();
    ended.expect(1, &[".tmp", "its mode 0777"]);
    assert!(!ended.stderr.contains("remove the list"), "{}", ended.stderr);
    // An image that is done takes it away if it is empty.
    _ = fs::remove_dir(world.path("image/.tmp"));
    set_mode(&world.path("image/names"), 0o666);
    warm().expect(1, &["or remove the list"]);
}
