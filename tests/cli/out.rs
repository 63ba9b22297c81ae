//! Entries for an image.

use crate::support::{World, finish, program, set_mode, tree};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use tests::precompile_binary;

#[test]
fn modes_do_not_follow_the_umask() {
    let world = World::new();
    let mut command = Command::new("sh");
    command.args(["-c", "umask 077; exec \"$0\" \"$@\""]).arg(precompile_binary());
    command.args(["--out", &world.arg("image/usr/share/precompile")]).arg(program("hello"));
    finish(&mut command, b"").expect(0, &["1 compiled"]);
    let all = tree(&world.path("image"));
    let files = all.iter().filter(|(path, _)| path.is_file()).count();
    // The folders image, usr, share, precompile and the module's, the entry, and the names.
    assert_eq!((files, all.len()), (2, 6), "{all:?}");
    for (path, mode) in &all {
        assert_eq!(*mode, if path.is_dir() { 0o755 } else { 0o644 }, "{}", path.display());
    }
}

#[test]
fn only_the_inputs_are_copied_from_a_cache() {
    let world = World::new();
    let (cache, out) = (world.arg("cache"), world.arg("out"));
    world.warm(&program("hello"));
    world.warm(&program("sort"));
    let hello = program("hello").to_str().unwrap().to_string();
    let wc = program("wc").to_str().unwrap().to_string();
    let ended = world.run(&["--cache-dir", &cache, "--out", &out, &hello, &wc]);
    ended.expect(0, &["1 compiled, 1 cached"]);
    assert_eq!(world.entries("cache").len(), 3);
    let entries = world.entries("out");
    assert_eq!(entries.len(), 2);
    let again = world.run(&["--cache-dir", &cache, "--out", &out, &hello]);
    again.expect(0, &["1 cached", "warning: ", "entries of other inputs or settings as well (1)"]);
    for entry in entries {
        let same = world.path("cache").join(entry.strip_prefix(world.path("out")).unwrap());
        assert!(fs::read(&entry).unwrap() == fs::read(same).unwrap());
    }
    // It is a layer to read from.
    let mut command = world.command();
    command.env("PRECOMPILE_CACHE_PATH", &out).env("PRECOMPILE_CACHE_DIR", "");
    command.args(["run", "-v", "--require-hit", &hello]);
    finish(&mut command, b"").expect(0, &["hit layer 0", "compiles: 0"]);
}

#[test]
fn a_folder_that_others_write_to_is_filled_all_the_same() {
    let world = World::new();
    let (out, hello) = (world.arg("out"), program("hello"));
    fs::create_dir(&out).unwrap();
    set_mode(&world.path("out"), 0o777);
    world.run(&["--out", &out, hello.to_str().unwrap()]).expect(0, &["1 compiled"]);
    assert_eq!(world.entries("out").len(), 1);
    world.write("file", "");
    let file = world.arg("file");
    world.run(&["--out", &file, hello.to_str().unwrap()]).expect(3, &["is not a directory"]);
}

#[test]
fn a_folder_that_is_not_for_everybody_is_told() {
    let world = World::new();
    let hello = program("hello");
    for (mode, text) in [(0o777, "others can write there"), (0o700, "not everybody can read there")]
    {
        let out = world.path(&format!("out{mode:o}"));
        fs::create_dir(&out).unwrap();
        set_mode(&out, mode);
        let ended = world.run(&["--out", out.to_str().unwrap(), hello.to_str().unwrap()]);
        ended.expect(0, &["1 compiled", "warning: ", text, "0755"]);
    }
}

#[test]
fn times_are_those_of_a_reproducible_build() {
    let world = World::new();
    let (out, hello) = (world.path("out"), program("hello"));
    world.write("out/foreign", "");
    let warm = |epoch: &str| {
        let mut command = world.command();
        command.env("SOURCE_DATE_EPOCH", epoch).arg("--out").arg(&out).arg(&hello);
        finish(&mut command, b"")
    };
    let time = |path: &Path| fs::metadata(path).unwrap().mtime();
    warm("1000000000").expect(0, &["1 compiled"]);
    let ours =
        tree(&out).into_iter().map(|(path, _)| path).filter(|path| !path.ends_with("foreign"));
    let ours: Vec<_> = ours.chain([out.clone()]).collect();
    // The module's folder, the entry, the names, and the directory itself.
    assert_eq!(ours.len(), 4);
    assert!(ours.iter().all(|path| time(path) == 1_000_000_000), "{ours:?}");
    assert!(time(&out.join("foreign")) > 1_000_000_000);
    // Also of what was there already; and an empty variable is none.
    warm("0").expect(0, &["1 cached"]);
    assert!(ours.iter().all(|path| time(path) == 0));
    warm("").expect(0, &[]);
    for bad in ["yesterday", "-1", "1.5", "99999999999999999999"] {
        warm(bad).expect(2, &["SOURCE_DATE_EPOCH", "seconds since 1970"]);
    }
}
