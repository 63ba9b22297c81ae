//! What every implementation of the trait must do.

use std::io::{Seek, Write};
use std::thread;

use crate::cache::{Cache, Sibling};
use crate::content::Content;
use crate::key::Key;

/// Runs the whole suite. `make` makes an empty cache each time that it is called; the caches do not
/// share entries, and keep everything that is added to them here: a few megabytes.
///
/// # Panics
/// When the implementation does not do what the trait says, with what it did instead.
pub fn conformance(make: impl Fn() -> Box<dyn Cache>) {
    absent(&*make());
    unmodified(&*make());
    replaced(&*make());
    deleted(&*make());
    a_group_of_two(&*make());
    held_open(&*make());
    from_a_file(&*make());
    concurrent(&*make());
}

fn key(group: u8, id: u8) -> Key {
    Key::new([group; 32], [id; 32])
}

/// Bytes that differ in all places, between lengths and between seeds.
fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ length as u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[track_caller]
fn add(cache: &dyn Cache, key: &Key, bytes: &[u8], description: &[u8]) {
    cache.add(key, &Content::from_bytes(bytes), description).expect("add");
}

#[track_caller]
fn expect(cache: &dyn Cache, key: &Key, bytes: &[u8]) {
    let content = cache.get(key).expect("get").expect("the entry is there");
    assert_eq!(content.len(), bytes.len() as u64, "the length is that of what was added");
    assert!(content.to_vec().expect("read") == bytes, "what went in comes back unmodified");
}

fn absent(cache: &dyn Cache) {
    assert!(cache.get(&key(1, 1)).expect("absent is not an error").is_none());
    cache.delete(&key(1, 1)).expect("deleting what is absent is fine");
    assert_eq!(cache.siblings(&[1; 32]).expect("siblings"), []);
}

fn unmodified(cache: &dyn Cache) {
    let lengths = [0, 1, 159, 160, 161, 4095, 4096, 4097, (256 << 10) + 1, 1 << 20];
    for (id, &length) in (0..).zip(&lengths) {
        add(cache, &key(1, id), &bytes(length, 1), &bytes(length.min(5000), 2));
    }
    for (id, &length) in (0..).zip(&lengths) {
        expect(cache, &key(1, id), &bytes(length, 1));
    }
}

fn replaced(cache: &dyn Cache) {
    for length in [100, 5000, 0, 100] {
        add(cache, &key(1, 1), &bytes(length, length as u64), b"");
        expect(cache, &key(1, 1), &bytes(length, length as u64));
    }
}

fn deleted(cache: &dyn Cache) {
    add(cache, &key(1, 1), b"content", b"");
    cache.delete(&key(1, 1)).expect("delete");
    assert!(cache.get(&key(1, 1)).expect("get").is_none(), "what is deleted is absent");
    cache.delete(&key(1, 1)).expect("delete again");
    add(cache, &key(1, 1), b"another", b"");
    expect(cache, &key(1, 1), b"another");
}

fn a_group_of_two(cache: &dyn Cache) {
    add(cache, &key(1, 2), b"two", b"description 2");
    add(cache, &key(1, 1), b"one", b"description 1");
    add(cache, &key(2, 1), b"other group, same id", b"");
    expect(cache, &key(1, 1), b"one");
    expect(cache, &key(1, 2), b"two");
    expect(cache, &key(2, 1), b"other group, same id");
    let siblings = cache.siblings(&[1; 32]).expect("siblings");
    // Not to answer is allowed; a wrong answer is not.
    if !siblings.is_empty() {
        let one = Sibling::new([1; 32], *b"description 1");
        let two = Sibling::new([2; 32], *b"description 2");
        assert_eq!(siblings, [one, two], "all of the group, in order");
    }
    cache.delete(&key(1, 1)).expect("delete");
    expect(cache, &key(1, 2), b"two");
    expect(cache, &key(2, 1), b"other group, same id");
}

fn held_open(cache: &dyn Cache) {
    let old = bytes(100_000, 1);
    add(cache, &key(1, 1), &old, b"");
    let held = cache.get(&key(1, 1)).expect("get").expect("the entry is there");
    add(cache, &key(1, 1), b"new", b"");
    assert!(held.to_vec().expect("read") == old, "who holds an entry keeps it when it is replaced");
    cache.delete(&key(1, 1)).expect("delete");
    assert!(held.to_vec().expect("read") == old, "and when it is deleted");
}

fn from_a_file(cache: &dyn Cache) {
    let mut file = tempfile_like();
    file.write_all(b"content, and more").expect("write");
    // The offset of the file is the caller's business, before and after.
    file.seek(std::io::SeekFrom::Start(3)).expect("seek");
    let shared = file.try_clone().expect("clone");
    cache.add(&key(1, 1), &Content::from_file(shared, 7), b"").expect("add");
    assert_eq!(file.stream_position().expect("position"), 3, "reads move no shared offset");
    expect(cache, &key(1, 1), b"content");
    let cut = Content::from_file(file, 1000);
    assert!(cache.add(&key(1, 2), &cut, b"").is_err(), "content that ends early is an error");
    assert!(cache.get(&key(1, 2)).expect("get").is_none(), "and adds nothing");
}

/// A file without a name, made with what std has.
fn tempfile_like() -> std::fs::File {
    let number = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
    let name = format!("precompile-conformance-{}-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path);
    let file = file.expect("create a temporary file");
    std::fs::remove_file(path).expect("remove its name");
    file
}

fn concurrent(cache: &dyn Cache) {
    const ROUNDS: usize = 40;
    // Each content says who made it, so that a mixture of two shows.
    let content = |writer: usize, round: usize| {
        let seed = (writer * ROUNDS + round) as u64;
        let mut content = seed.to_le_bytes().to_vec();
        content.extend(bytes(round * 1000, seed));
        content
    };
    let check = |bytes: &[u8]| {
        let (seed, _) = bytes.split_first_chunk::<8>().expect("a whole content");
        let seed = u64::from_le_bytes(*seed) as usize;
        assert!(content(seed / ROUNDS, seed % ROUNDS) == bytes, "one content, not a mixture");
    };
    thread::scope(|scope| {
        for writer in 0..4 {
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    add(cache, &key(1, (round % 3) as u8), &content(writer, round), b"");
                }
            });
            scope.spawn(move || {
                for round in 0..ROUNDS * 4 {
                    let key = key(1, (round % 3) as u8);
                    if let Some(found) = cache.get(&key).expect("get while others add") {
                        check(&found.to_vec().expect("read"));
                    }
                    if writer == 0 && round % 16 == 0 {
                        cache.delete(&key).expect("delete while others add");
                    }
                }
            });
        }
    });
}
