//! Where `unsafe` is, and where it is forbidden. That each block says why it is sound is for
//! clippy (`undocumented_unsafe_blocks`).

use crate::source::{files, read};

/// The unsafe floor, the one place where bytes become executable, and the one where a user vouches
/// for a directory.
const ADDRESSES: &[&str] =
    &["engine/src/runtime/vm/", "engine/src/runtime/code.rs", "precompile-cli/src/trusted.rs"];

/// Files, with all modules below them, that cannot have any.
const FORBIDDEN: &[&str] = &[
    "cache/src/lib.rs",
    "engine/wasi/src/lib.rs",
    "engine/wast/src/lib.rs",
    "engine/src/compile/mod.rs",
    "engine/src/artifact/mod.rs",
    "engine/src/abi/mod.rs",
    "engine/src/wasm/mod.rs",
];

#[test]
fn unsafe_has_an_address() {
    for file in files("", &["rs"]) {
        let at_home = ADDRESSES.iter().any(|address| file.path.starts_with(address));
        if !at_home && !file.is_test() && !file.path.contains("/examples/") {
            let found = file.tokens().iter().any(|token| token == "unsafe");
            assert!(!found, "{} has `unsafe`, which belongs in {ADDRESSES:?}", file.path);
        }
    }
}

/// The address there has one sentence in it.
#[test]
fn the_command_line_promises_once() {
    assert!(read("precompile-cli/src/main.rs").contains("#![deny(unsafe_code)]"));
    let tokens =
        crate::source::Source { path: String::new(), text: read("precompile-cli/src/trusted.rs") };
    let count = tokens.tokens().iter().filter(|token| *token == "unsafe").count();
    assert_eq!(count, 1);
}

#[test]
fn the_rest_cannot_have_any() {
    for path in FORBIDDEN {
        let forbids = read(path).lines().any(|line| line == "#![forbid(unsafe_code)]");
        assert!(forbids, "{path} does not say #![forbid(unsafe_code)]");
    }
}
