//! Entries for an image.

use crate::support::{World, finish, program, set_mode, tree};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
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

/// A file or folder of an image: its path there, mode, times, and what is in it.
type Item = (PathBuf, u32, [i64; 2], Vec<u8>);

/// All of an image, itself included.
fn items(world: &World, image: &str) -> Vec<Item> {
    let root = world.path(image);
    let all = tree(&root).into_iter().chain([(root.clone(), 0)]);
    let item = |(path, mode): (PathBuf, u32)| {
        let metadata = fs::metadata(&path).unwrap();
        let times = [metadata.mtime(), metadata.mtime_nsec()];
        let bytes = if metadata.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        (path.strip_prefix(&root).unwrap().to_path_buf(), mode, times, bytes)
    };
    all.map(item).collect()
}

/// Whatever is no input may differ: the image is the same, and so is the list of what is in it.
#[test]
fn the_same_inputs_make_the_same_image() {
    let world = World::new();
    world.run(&["keygen", "release-1", "--dir", &world.arg("")]).expect(0, &[]);
    let names = ["hello", "sort", "wc"].map(|name| program(name).to_str().unwrap().to_string());
    world.write("warm/.keep", "");
    let cache = world.arg("warm/cache");
    let variant = ["--target", "x86_64-linux", "--cpu", "x86-64-v3"];
    world.run(&[&["--cache-dir", &cache, &names[1]][..], &variant].concat()).expect(0, &[]);
    let mut number = 0;
    let mut make =
        |umask: &str, reversed: bool, epoch: &str, more: &[&str]| -> (Vec<Item>, Vec<u8>) {
            number += 1;
            let (image, list) = (format!("{number}/image"), world.arg(&format!("list-{number}")));
            let mut command = Command::new("sh");
            let script = format!("umask {umask}; exec \"$0\" \"$@\"");
            command.args(["-c", &script]).arg(precompile_binary());
            command.args(["--target", "x86_64-linux", "--cpu", "x86-64-v2", "--cpu", "x86-64-v3"]);
            command.args(["--out", &world.arg(&image), "--sign-key", &world.arg("release-1.key")]);
            command.args(["--manifest", &list]).args(more);
            let mut inputs = names.to_vec();
            if reversed {
                inputs.reverse();
            }
            command.args(inputs).env_clear().env("HOME", world.path(&number.to_string()));
            command.env("TZ", if reversed { "Asia/Tokyo" } else { "UTC" });
            command.current_dir(world.path(if reversed { "warm" } else { "" }));
            if !epoch.is_empty() {
                command.env("SOURCE_DATE_EPOCH", epoch);
            }
            finish(&mut command, b"").expect(0, &[]);
            (items(&world, &image), fs::read(list).unwrap())
        };
    let first = make("022", false, "1000000000", &["-j1"]);
    // Six entries, three groups, the names, and the image itself.
    assert_eq!(first.0.len(), 11, "{:?}", first.0.iter().map(|item| &item.0).collect::<Vec<_>>());
    assert!(first.0.iter().all(|item| item.2 == [1_000_000_000, 0]), "each has the time");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let others: [(&str, bool, &[&str]); 4] = [
        ("077", false, &["-j3"]),
        ("000", true, &["-j2"]),
        ("022", true, &["--cache-dir", &cache]),
        ("022", false, &["--cache-dir", &cache, "--format", "json", "-v"]),
    ];
    for (umask, reversed, more) in others {
        let other = make(umask, reversed, "1000000000", more);
        assert!(other == first, "umask {umask}, reversed {reversed}, {more:?}");
    }
    // Without the variable only the times are others.
    let timeless = |(items, list): (Vec<Item>, Vec<u8>)| {
        let items = items.into_iter().map(|(path, mode, _, bytes)| (path, mode, bytes));
        (items.collect::<Vec<_>>(), list)
    };
    let plain = make("022", false, "", &[]);
    assert!(plain.0.iter().all(|item| item.2 != [1_000_000_000, 0]));
    assert!(timeless(plain) == timeless(first));
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
