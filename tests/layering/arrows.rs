//! Which part names which: the arrows of `ARCHITECTURE.md`, read from the sources.
//!
//! A part of the engine is a folder or a file right below `engine/src`. What is not in its line
//! it may not name, by a path or by an import. A new arrow is a change of the map first.

use crate::source::{Source, files, paths, read};
use std::collections::BTreeMap;

/// Parts that any part above the first three levels may name: words, not machinery.
const WORDS: &[&str] = &["error", "features", "fingerprint", "trap", "report"];

/// A part, the parts that it names (beside [`WORDS`], where it has a `+`), and the crates.
const PARTS: &[(&str, &[&str], &[&str])] = &[
    // Level 0: the specification's words, and what code and runtime agree on.
    ("wasm", &[], &[]),
    ("abi", &["wasm"], &["target_lexicon"]),
    // Level 1: the file format.
    ("artifact", &["abi", "wasm", "error", "fingerprint", "trap"], &["sha2", "zerocopy"]),
    // Level 2: the two that never meet.
    (
        "compile",
        &["+", "abi", "artifact", "wasm"],
        &["cranelift_codegen", "cranelift_frontend", "target_lexicon", "wasmparser"],
    ),
    (
        "runtime",
        &["+", "abi", "artifact", "wasm", "config", "engine"],
        // The cache in `vm/doors.rs` only, see below.
        &["libc", "rustix", "zerocopy", "precompile_cache"],
    ),
    // The engine: settings, and words that all use.
    ("trap", &[], &[]),
    ("features", &[], &[]),
    ("error", &["abi", "artifact", "trap"], &[]),
    ("fingerprint", &["abi", "artifact", "features"], &["sha2"]),
    ("report", &["fingerprint"], &[]),
    ("config", &["+", "abi"], &["precompile_cache"]),
    ("engine", &["+", "abi", "config", "runtime"], &["precompile_cache"]),
    ("settings", &["+", "abi", "config", "engine"], &[]),
    ("text", &["+"], &["wat"]),
    ("inspect", &["+", "abi", "artifact", "runtime", "settings", "wasm"], &[]),
    // The load side, where compiler, runtime and cache meet.
    ("precompile", &["+", "engine", "text", "compile"], &[]),
    ("compiler", &["+", "engine", "precompile", "runtime"], &["precompile_cache"]),
    ("lookup", &["+", "engine", "compiler", "runtime"], &["precompile_cache"]),
    ("load", &["+", "engine", "artifact", "compiler", "lookup", "runtime", "text"], &[]),
    ("named", &["+", "engine", "load", "lookup", "runtime"], &[]),
    ("warm", &["+", "engine", "lookup", "text"], &[]),
    ("explain", &["+", "abi", "engine", "lookup", "settings", "warm"], &["precompile_cache"]),
    ("lib", &["*"], &["precompile_cache"]),
];

/// Crates that are named in the table. All others are the standard library's.
const CRATES: &[&str] = &[
    "cranelift_codegen",
    "cranelift_entity",
    "cranelift_frontend",
    "libc",
    "precompile_cache",
    "regalloc2",
    "rustix",
    "sha2",
    "target_lexicon",
    "wasmparser",
    "wat",
    "zerocopy",
];

#[test]
fn parts_name_what_the_map_says() {
    let exports = exports();
    for file in engine() {
        let (part, inside) = place(&file.path);
        let row = PARTS.iter().find(|row| row.0 == part);
        let Some((_, parts, crates)) = row else {
            panic!("{} is in no part of the map: give it a line in {}", file.path, file!());
        };
        for path in paths(&file.product()) {
            match resolve(&path, &inside, &exports) {
                Named::Part(other) => {
                    let word = parts.contains(&"+") && WORDS.contains(&&*other);
                    let fine = other == part || word || parts.contains(&&*other);
                    let fine = fine || parts.contains(&"*");
                    assert!(fine, "{} names {other}: {}", file.path, path.join("::"));
                }
                Named::Crate(name) => {
                    assert!(crates.contains(&&*name), "{} names {name}", file.path);
                }
                Named::Other => {}
            }
        }
    }
}

#[test]
fn the_compiler_the_runtime_and_the_cache_meet_in_few_files() {
    let allowed = |part: &str, name: &str| {
        let (_, parts, crates) = PARTS.iter().find(|row| row.0 == part).expect("it is in the map");
        parts.contains(&name) || crates.contains(&name)
    };
    for (part, ..) in PARTS.iter().filter(|(part, ..)| *part != "lib") {
        let compiler = allowed(part, "compile") || allowed(part, "precompile");
        let meet = compiler || allowed(part, "compiler");
        let both = meet && (allowed(part, "runtime") || allowed(part, "precompile_cache"));
        let load_side = ["compiler", "lookup", "load", "warm"].contains(part);
        assert!(!both || load_side, "{part} is where compiler and runtime meet");
    }
    for file in engine().iter().filter(|file| file.path.contains("/runtime/")) {
        let door = file.path == "engine/src/runtime/vm/doors.rs";
        let named = file.product().iter().any(|token| token == "precompile_cache");
        assert!(door || !named, "{} names the cache", file.path);
    }
}

/// By whole words, so that macros, attributes and odd paths are caught as well.
#[test]
fn some_words_are_not_even_spelled() {
    let compiler = ["compile", "wasmparser", "regalloc2"];
    let rules: &[(&str, &[&str])] = &[
        ("engine/src/wasm/", &compiler),
        ("engine/src/abi/", &compiler),
        ("engine/src/artifact/", &compiler),
        ("engine/src/runtime/", &compiler),
        ("engine/src/compile/", &["runtime", "precompile_cache", "libc", "rustix"]),
        ("engine/wasi/src/", &["wasmparser", "precompile_cache"]),
        ("engine/wast/src/", &["wasmparser", "precompile_cache"]),
        ("precompile-cli/src/", &["wasmparser"]),
    ];
    for (folder, words) in rules {
        for file in files(folder, &["rs"]).iter().filter(|file| !file.is_test()) {
            let tokens = file.product();
            for (i, token) in tokens.iter().enumerate() {
                // `config.compile` is a field.
                if i > 0 && tokens[i - 1] == "." {
                    continue;
                }
                let cranelift = token.starts_with("cranelift_") && *folder != "engine/src/compile/";
                assert!(!cranelift && !words.contains(&&**token), "{} names {token}", file.path);
            }
        }
    }
}

/// The cache keeps bytes. Comments count as well: what is explained by wasm depends on it.
#[test]
fn the_cache_has_no_word_of_wasm() {
    const WORDS: &[&str] = &[
        "wasm",
        "webassembly",
        "wasmparser",
        "cranelift",
        "regalloc2",
        "wasi",
        "wat",
        "clif",
        "artifact",
        "artifacts",
        "fingerprint",
        "vmctx",
        "trampoline",
        "opcode",
        "simd",
        "funcref",
        "externref",
        "triple",
        "linker",
    ];
    let files = files("cache", &["rs", "toml"]);
    for file in files.iter().filter(|file| !file.path.ends_with("clippy.toml")) {
        let lower = file.text.to_lowercase();
        for word in lower.split(|c: char| !c.is_alphanumeric()) {
            assert!(!WORDS.contains(&word), "{} says {word}", file.path);
        }
    }
}

/// What a path leads to.
enum Named {
    Part(String),
    Crate(String),
    Other,
}

fn engine() -> Vec<Source> {
    let files = files("engine/src", &["rs"]);
    files.into_iter().filter(|file| !file.is_test()).collect()
}

/// The part that a file belongs to, and its path as a module.
fn place(path: &str) -> (String, Vec<String>) {
    let path = path.strip_prefix("engine/src/").expect("of the engine").trim_end_matches(".rs");
    let mut inside: Vec<String> = path.split('/').map(String::from).collect();
    inside.pop_if(|last| last == "mod" || last == "lib");
    // `lookup_disabled.rs` is `lookup` in builds without the feature.
    let part = inside.first().map_or("lib", |first| first.trim_end_matches("_disabled"));
    (part.to_string(), inside)
}

/// What the crate's root has, by the part that it comes from.
fn exports() -> BTreeMap<String, String> {
    let lib = Source { path: String::new(), text: read("engine/src/lib.rs") };
    let paths = paths(&lib.tokens()).into_iter().filter(|path| path.len() > 1);
    paths.map(|path| (path[path.len() - 1].clone(), path[0].clone())).collect()
}

fn resolve(path: &[String], inside: &[String], exports: &BTreeMap<String, String>) -> Named {
    let mut rest = path.iter().map(String::as_str).peekable();
    let mut base: Vec<&str> = inside.iter().map(String::as_str).collect();
    match rest.peek() {
        Some(&"crate") => {
            base.clear();
            rest.next();
        }
        Some(&("super" | "self")) => {
            while let Some(step) = rest.next_if(|step| ["super", "self"].contains(step)) {
                if step == "super" {
                    base.pop();
                }
            }
        }
        Some(name) if CRATES.contains(name) => return Named::Crate(name.to_string()),
        _ => return Named::Other,
    }
    base.extend(rest);
    match base.first() {
        None | Some(&("*" | "self")) => Named::Other,
        Some(name) => {
            let part = exports.get(*name).map_or(*name, |part| part);
            Named::Part(part.trim_end_matches("_disabled").to_string())
        }
    }
}
