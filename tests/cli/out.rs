//! Entries for an image.

use crate::support::{World, finish, program, set_mode, tree};
use std::fs;
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
