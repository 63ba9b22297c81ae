//! The build identity (`engine/src/abi/identity.rs`) against what it stands for.
//!
//! It is made of constants, so that an engine without a compiler derives the same keys. So they
//! have to be written down, and a change that they should follow has to be noticed: here. Any
//! commit that changes the sources of the code generator or of the format changes all keys; that
//! is meant, since nobody can tell a change that matters from one that does not.

use crate::dependencies::tree;
use crate::source::{Source, files, read, root};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

const IDENTITY: &str = "engine/src/abi/identity.rs";
const SOURCES: &str = "engine/src";
/// What code and its format come from.
const FOLDERS: &[&str] = &["abi", "artifact", "compile", "wasm"];

/// And single files: the numbers of traps are written into artifacts.
const FILES: &[&str] = &["engine/src/trap.rs"];

#[test]
fn pins_are_what_is_built() {
    let lock = locked();
    // Cranelift's crates are published together under one version, which one of them tells.
    let cranelift = &lock["cranelift-codegen"];
    let pinned: Vec<&String> = lock.keys().filter(|name| name.starts_with("cranelift-")).collect();
    for name in &pinned {
        assert_eq!(&lock[*name], cranelift, "{name} is of another version than cranelift-codegen");
    }
    let manifest = read("Cargo.toml");
    let engine = read("engine/Cargo.toml");
    for name in pinned.into_iter().map(String::as_str).chain(["regalloc2", "wasmparser"]) {
        let line = manifest.lines().find(|line| line.starts_with(&format!("{name} = ")));
        let line = line.unwrap_or_else(|| panic!("Cargo.toml does not pin {name}"));
        let exact = format!("\"={}\"", lock[name]);
        assert!(line.contains(&exact), "Cargo.toml does not pin {name} to {exact}: {line}");
        let used = format!("{name} = {{ workspace = true, optional = true }}");
        assert!(engine.contains(&used), "engine/Cargo.toml does not pin {name}");
        let feature = format!("\"dep:{name}\"");
        assert!(engine.contains(&feature), "the feature compile does not pin {name}");
    }
    let names = ["cranelift-codegen", "cranelift-frontend", "regalloc2", "wasmparser"];
    let pins = names.map(|name| format!("{name}={}", lock[name])).join(" ");
    hold("PINS", &pins);
}

#[test]
fn sources_are_what_is_built() {
    hold("SOURCES", &digest());
}

#[test]
fn the_identity_is_the_same_in_every_build() {
    let code = Source { path: IDENTITY.into(), text: read(IDENTITY) }.tokens();
    assert!(!code.iter().any(|token| token == "cfg"), "{IDENTITY} depends on the features");
}

/// The versions in `Cargo.lock` of what the compiler is built from.
fn locked() -> BTreeMap<String, String> {
    let compiler = ["-p", "precompile", "--no-default-features", "--features", "compile"];
    let mut versions = BTreeMap::new();
    for line in tree(&[&compiler[..], &["-e", "normal,build"]].concat(), "{p}") {
        let mut words = line.split(' ');
        let (Some(name), Some(version)) = (words.next(), words.next()) else { continue };
        let version = version.trim_start_matches('v').to_string();
        if let Some(other) = versions.insert(name.to_string(), version.clone()) {
            let ours = name.starts_with("cranelift") || ["regalloc2", "wasmparser"].contains(&name);
            assert!(!ours || other == version, "{name} is built twice: {other} and {version}");
        }
    }
    versions
}

/// SHA-256, in hex, over the Rust files of [`FOLDERS`] and [`FILES`] but for the identity itself and what is
/// there for tests only, in the order of their paths: for each, the length of its path in
/// [`SOURCES`] (u64, little endian), the path with `/`, the length of the file (likewise), and the
/// file as it is.
fn digest() -> String {
    let mut hash = Sha256::new();
    let all = FOLDERS.iter().flat_map(|folder| files(&format!("{SOURCES}/{folder}"), &["rs"]));
    let all = all.chain(FILES.iter().map(|file| Source { path: (*file).into(), text: read(file) }));
    let mut all: Vec<Source> =
        all.filter(|file| file.path != IDENTITY && !file.is_test()).collect();
    all.sort_by(|a, b| a.path.cmp(&b.path));
    for file in all {
        let path = file.path.strip_prefix(SOURCES).expect("below it").trim_start_matches('/');
        for part in [path, &file.text] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Holds a constant of the identity against `wanted`, or writes it with `BLESS=1`.
fn hold(name: &str, wanted: &str) {
    let text = read(IDENTITY);
    let start = text.find(&format!("const {name}: &str =")).expect("the constant is there");
    let open = start + text[start..].find('"').expect("it is a string") + 1;
    let close = open + text[open..].find('"').expect("it ends");
    let found = &text[open..close];
    if found == wanted {
        return;
    }
    if std::env::var_os("BLESS").is_some_and(|bless| bless == "1") {
        let text = [&text[..open], wanted, &text[close..]].concat();
        std::fs::write(root().join(IDENTITY), text).expect("it can be written");
        return;
    }
    panic!(
        "{IDENTITY} has another {name} than this workspace. Write there, or let\n\
         `BLESS=1 cargo test -p tests --test layering` write it:\n\n    \"{wanted}\";\n\n\
         All entries of all caches become misses by that, which is right: code may have changed."
    );
}
