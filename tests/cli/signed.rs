//! Keys, signed entries, and what becomes of those that are not.

use crate::support::{World, is_root, program, set_mode, tree};
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::PathBuf;

/// A world with a key, and an image that is signed by it in a place where anybody may write.
fn signed() -> (World, PathBuf) {
    let world = World::new();
    let hello = program("hello");
    world.run(&["keygen", "release", "--dir", &world.arg("")]).expect(0, &[]);
    let (image, key) = (world.arg("image"), world.arg("release-1.key"));
    world.run(&["--out", &image, "--sign-key", &key, hello.to_str().unwrap()]).expect(0, &[]);
    open_up(&world);
    (world, hello)
}

/// Lets everybody write to the image, and gives it away where that is possible.
fn open_up(world: &World) {
    let image = world.path("image");
    for (path, _) in tree(&image).into_iter().chain([(image.clone(), 0)]) {
        set_mode(&path, 0o777);
        if is_root() {
            chown(&path, Some(12345), Some(12345)).unwrap();
        }
    }
}

/// Runs the program with the image as a layer.
fn run(world: &World, args: &[&str]) -> crate::support::Ended {
    let hello = program("hello");
    let mut command = world.command();
    command.env("PRECOMPILE_CACHE_PATH", world.path("image")).env("PRECOMPILE_CACHE_DIR", "");
    command.args(["run", "-v"]).args(args).arg(hello);
    crate::support::finish(&mut command, b"")
}

#[test]
fn a_signed_image_is_used_wherever_it_is() {
    let (world, hello) = signed();
    let public = world.arg("release-1.pub");
    run(&world, &["--require-hit"]).expect(124, &["untrusted cache path"]);
    let ended = run(&world, &["--require-hit", "--trusted-key", &public]);
    ended.expect(0, &["hit layer 0", "compiles: 0"]);
    assert_eq!(ended.text().lines().next(), Some("hello, world"));
    // The same by the environment, and for `check`.
    let mut command = world.command();
    command.env("PRECOMPILE_CACHE_PATH", world.path("image")).env("PRECOMPILE_CACHE_DIR", "");
    command.env("PRECOMPILE_CACHE_VERIFY", "signed").env("PRECOMPILE_CACHE_KEYS", &public);
    command.arg("check").arg(&hello);
    crate::support::finish(&mut command, b"").expect(0, &["Cached"]);
    let entry = world.entries("image").remove(0);
    world.run(&["inspect", entry.to_str().unwrap()]).expect(0, &[]);
    let told = world.run(&["inspect", "--format", "json", entry.to_str().unwrap()]);
    assert!(told.text().contains("\"signer\": \"release-1\""), "{}", told.text());
}

#[test]
fn what_is_not_signed_by_a_trusted_key_is_compiled_instead() {
    let (world, _) = signed();
    let public = world.arg("release-1.pub");
    let entry = world.entries("image").remove(0);
    let good = fs::read(&entry).unwrap();
    // Unknown.
    world.run(&["keygen", "release", "--dir", &world.arg("")]).expect(0, &[]);
    let other = world.arg("release-2.pub");
    let ended = run(&world, &["--trusted-key", &other]);
    ended.expect(0, &["warning", "signed by release-1, which is no trusted key", "compiles: 1"]);
    assert_eq!(ended.text().lines().next(), Some("hello, world"));
    assert_eq!(ended.stderr.matches("warning").count(), 1, "{}", ended.stderr);
    // Both, as while a key is replaced.
    let both = ["--require-hit", "--trusted-key", &other, "--trusted-key", &public];
    run(&world, &both).expect(0, &["compiles: 0"]);
    // Tampered with, in code and in the signature; and not signed.
    let unsigned = {
        let world = World::new();
        world.warm(&program("hello"));
        fs::read(world.entries("cache").remove(0)).unwrap()
    };
    let flipped = |place: usize| {
        let mut bytes = good.clone();
        bytes[place] ^= 1;
        bytes
    };
    let trailer_is_damaged = flipped(good.len() - 200);
    for (bytes, message) in [
        (flipped(0x1800), "its content is not what release-1 signed"),
        (trailer_is_damaged, "compiled (corrupt)"),
        (unsigned, "it is not signed"),
    ] {
        fs::write(&entry, bytes).unwrap();
        let ended = run(&world, &["--trusted-key", &public]);
        ended.expect(0, &[message, "compiles: 1"]);
        assert_eq!(ended.text().lines().next(), Some("hello, world"));
        run(&world, &["--require-hit", "--trusted-key", &public]).expect(124, &[]);
    }
}

#[test]
fn signing_later_is_signing_at_once() {
    let (world, hello) = signed();
    let at_once = fs::read(world.entries("image").remove(0)).unwrap();
    let later = world.arg("later");
    let key = world.arg("release-1.key");
    world.run(&["--out", &later, hello.to_str().unwrap()]).expect(0, &[]);
    let before = tree(&world.path("later"));
    world.run(&["sign", "--key", &key, &later]).expect(0, &["1 signed by release-1, 0 were"]);
    assert!(fs::read(world.entries("later").remove(0)).unwrap() == at_once);
    assert_eq!(tree(&world.path("later")), before, "the same names and modes");
    let told = world.run(&["sign", "--format", "json", "--key", &key, &later]);
    told.expect(0, &["0 signed by release-1, 1 were"]);
    assert!(told.text().contains("\"signed_before\": 1"), "{}", told.text());
    // Warming signs what is there already, also in a user's own cache and when it is copied.
    world.warm(&hello);
    let cache = world.arg("cache");
    let warm = ["--cache-dir", &cache, "--sign-key", &key, hello.to_str().unwrap()];
    world.run(&warm).expect(0, &["Cached"]);
    assert!(fs::read(world.entries("cache").remove(0)).unwrap() == at_once);
    let copy = world.arg("copy");
    world.run(&[&["--out", &copy], &warm[..]].concat()).expect(0, &[]);
    assert!(fs::read(world.entries("copy").remove(0)).unwrap() == at_once);
}

#[test]
fn keys_follow_each_other() {
    let world = World::new();
    let dir = world.arg("");
    for number in 1..4 {
        let ended = world.run(&["keygen", "release", "--dir", &dir]);
        ended.expect(0, &[]);
        let public = fs::read_to_string(world.path(&format!("release-{number}.pub"))).unwrap();
        assert_eq!(ended.text(), public);
        let secret = fs::metadata(world.path(&format!("release-{number}.key"))).unwrap();
        assert_eq!(secret.mode() & 0o7777, 0o600);
    }
    world.run(&["keygen", "release-2", "--dir", &dir]).expect(1, &["choose another name"]);
    world.run(&["keygen", "no/name", "--dir", &dir]).expect(2, &["the name of a key"]);
    world.run(&["keygen", "a", "--dir", &world.arg("none")]).expect(1, &["--dir"]);
}

#[test]
fn what_is_no_key_is_told() {
    let (world, hello) = signed();
    let hello = hello.to_str().unwrap();
    let (public, secret) = (world.arg("release-1.pub"), world.arg("release-1.key"));
    let cache = world.arg("cache");
    let warm = |key: &str| world.run(&["--cache-dir", &cache, "--sign-key", key, hello]);
    warm(&public).expect(2, &["a public key is where the secret one belongs"]);
    warm(&world.arg("none")).expect(2, &["none"]);
    assert!(!world.path("cache").exists());
    let check = |more: &[&str]| world.run(&[&["check", hello][..], more].concat());
    let ended = check(&["--trusted-key", &secret]);
    ended.expect(2, &["a secret key is where a public one belongs"]);
    let seed = fs::read_to_string(&secret).unwrap();
    let seed = seed.split_whitespace().last().unwrap().to_string();
    assert!(!ended.stderr.contains(&seed), "secrets are not repeated");
    check(&["--trusted-key", &public, "--verify", "full"]).expect(2, &["leave one"]);
    check(&["--verify", "fully"]).expect(2, &["possible values"]);
    world.run(&["sign", "--key", &secret, &world.arg("none")]).expect(3, &["no directory"]);
    // What others can write to is not signed.
    world.run(&["sign", "--key", &secret, &world.arg("image")]).expect(3, &["untrusted"]);
}

/// Where others may write, it is the signature that tells what a manifest lists.
#[test]
fn a_manifest_of_a_shared_directory_has_digests() {
    let (world, hello) = signed();
    let shared = |name: &str| {
        fs::create_dir(world.path(name)).unwrap();
        set_mode(&world.path(name), 0o777);
        world.arg(name)
    };
    let (image, list) = (shared("shared"), world.arg("list.json"));
    let (secret, public) = (world.arg("release-1.key"), world.arg("release-1.pub"));
    let warm = |image: &str, more: &[&str]| {
        let fixed = ["--out", image, "--manifest", &list, hello.to_str().unwrap()];
        world.run(&[more, &fixed].concat())
    };
    let digest = || {
        let text = fs::read_to_string(&list).unwrap();
        let list: serde_json::Value = serde_json::from_str(&text).unwrap();
        list["modules"][0]["entries"][0]["artifact_sha256"].clone()
    };
    warm(&image, &["--sign-key", &secret]).expect(0, &[]);
    assert_eq!(digest().as_str().map(str::len), Some(64));
    let check = || {
        let mut command = world.command();
        command.env("PRECOMPILE_CACHE_PATH", &image).env("PRECOMPILE_CACHE_DIR", "");
        command.args(["check", "--manifest", &list, "--trusted-key", &public]);
        crate::support::finish(&mut command, b"")
    };
    check().expect(0, &["1 cached"]);
    // What is held against the list is the copy that the signature was checked of.
    let text = fs::read_to_string(&list).unwrap();
    let other = text.replace(digest().as_str().unwrap(), &"ab".repeat(32));
    fs::write(&list, other).unwrap();
    world.run(&["sign", "--key", &secret, "--manifest", &list]).expect(0, &[]);
    check().expect(4, &["the manifest lists abab"]);
    // Without a signature nobody knows whose entry it is, which is said.
    let told = ["list.json has no artifact_sha256 of 1 entries", "others may write"];
    warm(&shared("open"), &[]).expect(0, &told);
    assert!(digest().is_null());
}
