//! Entries that are not what was added.

use crate::support::{World, program};
use std::fs;
use std::path::Path;

/// Warms, damages the entry, and runs: it must work as if nothing had been there.
fn damaged(damage: impl Fn(&mut Vec<u8>)) {
    let world = World::new();
    let hello = program("hello");
    // The levels that this host would look for first are not there, so this is the one.
    world.warm(&hello);
    let entry = only(&world);
    let good = fs::read(&entry).unwrap();
    let mut bytes = good.clone();
    damage(&mut bytes);
    assert!(bytes != good);
    fs::write(&entry, &bytes).unwrap();

    let (cache, hello) = (world.arg("cache"), hello.to_str().unwrap().to_string());
    let run = |more: &[&str]| {
        world.run(&[&["run", "-v", "--cache-dir", &cache][..], more, &[&hello]].concat())
    };
    // Without the right to compile it is a miss, which leaves all as it is.
    run(&["--require-hit"]).expect(124, &["damaged"]);
    assert!(fs::read(&entry).unwrap() == bytes);
    let ended = run(&[]);
    ended.expect(0, &["compiled (corrupt)", "compiles: 1"]);
    assert_eq!(ended.text().lines().next(), Some("hello, world"));
    run(&["--require-hit"]).expect(0, &["hit dir", "compiles: 0"]);
    // Warming makes the same entry as before.
    world.run(&["--cache-dir", &cache, &hello]).expect(0, &[]);
    assert!(fs::read(&entry).unwrap() == good);
}

fn only(world: &World) -> std::path::PathBuf {
    let entries = world.entries("cache");
    assert_eq!(entries.len(), 1);
    entries.into_iter().next().unwrap()
}

#[test]
fn empty() {
    damaged(Vec::clear);
}

#[test]
fn cut() {
    damaged(|bytes| bytes.truncate(bytes.len() / 2));
}

#[test]
fn one_byte_of_code() {
    damaged(|bytes| bytes[0x1800] ^= 0x40);
}

#[test]
fn one_byte_of_the_trailer() {
    damaged(|bytes| *bytes.last_mut().unwrap() ^= 1);
}

#[test]
fn replaced_by_something_else() {
    damaged(|bytes| bytes.fill(0x5a));
}

#[test]
fn warming_repairs() {
    let world = World::new();
    let hello = program("hello");
    world.warm(&hello);
    let entry = only(&world);
    let good = fs::read(&entry).unwrap();
    fs::write(&entry, &good[1..]).unwrap();
    let args = ["-v", "--cache-dir", &world.arg("cache"), hello.to_str().unwrap()];
    world.run(&args).expect(0, &["compiled (corrupt)", "1 compiled"]);
    assert!(fs::read(&entry).unwrap() == good);
    inspect(&world, &entry, &good);
}

fn inspect(world: &World, entry: &Path, good: &[u8]) {
    let path = entry.to_str().unwrap();
    world.run(&["inspect", path]).expect(0, &[]);
    let mut bytes = good.to_vec();
    bytes[0x1800] ^= 1;
    fs::write(entry, &bytes).unwrap();
    world.run(&["inspect", path]).expect(1, &["changed since it was added"]);
    for cut in [0, 1, 4095, 4096, good.len() / 2, good.len() - 1] {
        fs::write(entry, &good[..cut]).unwrap();
        world.run(&["inspect", path]).expect(1, &["precompile: "]);
    }
}
