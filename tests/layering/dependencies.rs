//! What the crates are built from, as cargo resolves it without the network.

use crate::source::{read, root};
use std::collections::BTreeSet;
use std::process::Command;

/// The lines of `cargo tree` with `arguments`, each package once, as `format` has it.
pub(crate) fn tree(arguments: &[&str], format: &str) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root()).args(["tree", "--offline", "--locked", "--prefix", "none"]);
    command.args(["--format", format]).args(arguments);
    let output = command.output().expect("cargo starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    let lines = text(&output.stdout);
    lines.lines().map(|line| line.trim_end_matches(" (*)").to_string()).collect()
}

fn names(arguments: &[&str]) -> BTreeSet<String> {
    let lines = tree(arguments, "{p}");
    lines.iter().filter_map(|line| line.split(' ').next()).map(String::from).collect()
}

#[test]
fn an_engine_without_the_compiler_has_nothing_of_it() {
    let has_none = |build: &[&str]| {
        for name in names(&[build, &["-e", "normal,build"]].concat()) {
            let compiler = name.starts_with("cranelift")
                || matches!(&*name, "wasmparser" | "regalloc2" | "gimli" | "wat");
            assert!(!compiler, "{name} is in the build of {build:?}");
        }
    };
    for features in ["runtime,cache", "runtime", "cache", ""] {
        has_none(&["-p", "precompile", "--no-default-features", "--features", features]);
    }
    // The app that goes into an image.
    has_none(&["-p", "app"]);
}

#[test]
fn a_compiler_without_the_runtime_has_nothing_of_it() {
    let features = ["-p", "precompile", "--no-default-features", "--features", "compile"];
    let names = names(&[&features[..], &["-e", "normal", "--depth", "1"]].concat());
    for name in ["libc", "rustix", "precompile-cache"] {
        assert!(!names.contains(name), "{name} is in the build with the feature compile alone");
    }
}

#[test]
fn the_cache_stands_on_little() {
    let names = names(&["-p", "precompile-cache", "-e", "normal", "--depth", "1"]);
    assert_eq!(
        Vec::from_iter(names),
        ["crc32fast", "ed25519-dalek", "precompile-cache", "rustix", "sha2"]
    );
}

#[test]
fn arrows_between_the_crates() {
    let ours = |package: &str| -> Vec<String> {
        let all = names(&["-p", package, "-e", "normal", "--depth", "1"]);
        all.into_iter().filter(|n| n.starts_with("precompile") && n != package).collect()
    };
    assert_eq!(ours("precompile-cache"), [""; 0]);
    assert_eq!(ours("precompile"), ["precompile-cache"]);
    assert_eq!(ours("precompile-wasi"), ["precompile"]);
    assert_eq!(ours("precompile-wast"), ["precompile"]);
    let below = ["precompile", "precompile-cache", "precompile-wasi", "precompile-wast"];
    assert_eq!(ours("precompile-cli"), below);
    for package in ["precompile-cli", "precompile-wasi", "precompile-wast"] {
        for name in names(&["-p", package, "-e", "normal", "--depth", "1"]) {
            let behind = name.starts_with("cranelift") || name == "wasmparser";
            assert!(!behind, "{package} goes behind the engine's back to {name}");
        }
    }
}

#[test]
fn licences_go_with_ours() {
    let deny = read("deny.toml");
    let list = deny.split("\nallow = [").nth(1).expect("deny.toml has a list of licences");
    let list = list.split(']').next().expect("which ends");
    let allowed: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
    assert!(allowed.contains(&"Apache-2.0"), "{allowed:?}");
    let ours =
        ["precompile", "precompile-cache", "precompile-wasi", "precompile-wast", "precompile-cli"];
    let ours: Vec<&str> = ours.iter().flat_map(|package| ["-p", package]).collect();
    for line in tree(&[&ours[..], &["-e", "normal,build"]].concat(), "{p}|{l}") {
        // Between packages that were asked for there are empty lines.
        let Some((package, licence)) = line.split_once('|') else { continue };
        assert!(is_allowed(licence, &allowed), "{package} is under {licence:?}");
    }
}

/// Whether the expression holds with the licences that are allowed: one of each `OR`, all of an
/// `AND`. `/` is how `OR` was written once. `AND` binds closer, and parentheses group.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let expression = expression.replace('/', " OR ");
    let (mut depth, mut parts) = (0, vec![String::new()]);
    let mut operators = Vec::new();
    for word in expression.replace('(', " ( ").replace(')', " ) ").split_whitespace() {
        match word {
            "OR" | "AND" if depth == 0 => {
                operators.push(word.to_string());
                parts.push(String::new());
                continue;
            }
            "(" => depth += 1,
            ")" => depth -= 1,
            _ => {}
        }
        let part = parts.last_mut().expect("there is one");
        if !part.is_empty() {
            part.push(' ');
        }
        part.push_str(word);
    }
    let holds = |part: &String| {
        let inner = part.strip_prefix("( ").and_then(|rest| rest.strip_suffix(" )"));
        inner.map_or_else(|| allowed.contains(&&**part), |inner| is_allowed(inner, allowed))
    };
    let mut any = false;
    let mut all = holds(&parts[0]);
    for (operator, part) in operators.iter().zip(&parts[1..]) {
        if operator == "OR" {
            any |= all;
            all = holds(part);
        } else {
            all &= holds(part);
        }
    }
    any | all
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = ["MIT", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"];
    for good in [
        "MIT",
        "GPL-3.0 OR MIT",
        "MIT/GPL-3.0",
        "(MIT OR GPL-3.0) AND Unicode-3.0",
        "GPL-3.0 AND MIT OR MIT",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(is_allowed(good, &allowed), "{good}");
    }
    for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR X) AND GPL-3.0", "Apache-2.0"] {
        assert!(!is_allowed(bad, &allowed), "{bad}");
    }
}
