//! Artifacts are the same each time, and ELF files that tools read.

use precompile::*;
use std::path::Path;
use std::process::Command;

const THOUSAND: &str = include_str!("../../fixtures/wat/thousand.wat");
const CHAIN: &str = include_str!("../../fixtures/wat/backtrace.wat");

fn fixture(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(path)).unwrap()
}

fn engine(triple: Option<&str>, jobs: usize) -> Engine {
    let mut config = Config::new();
    config.compile_jobs(jobs);
    if let Some(triple) = triple {
        config.target(triple).unwrap();
    }
    Engine::new(&config).unwrap()
}

#[test]
fn the_same_bytes_each_time() {
    let real = fixture("programs/interp/interp.wasm");
    for triple in [None, Some("aarch64-unknown-linux-gnu"), Some("x86_64-unknown-linux-musl")] {
        for module in [THOUSAND.as_bytes(), CHAIN.as_bytes(), &real] {
            let first = engine(triple, 1).precompile_module(module).unwrap();
            for jobs in [1, 2, 5] {
                let again = engine(triple, jobs).precompile_module(module).unwrap();
                assert!(again == first, "{triple:?} with {jobs} jobs");
            }
        }
    }
    // What is loaded is what was made.
    let engine = engine(None, 2);
    let module = Module::new(&engine, THOUSAND).unwrap();
    assert!(module.serialize().unwrap() == engine.precompile_module(THOUSAND.as_bytes()).unwrap());
}

/// What `tool` says of `artifact`; `None`, and a word on it, if there is no such tool.
fn tool(tool: &str, arguments: &[&str], artifact: &[u8]) -> Option<String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, artifact).unwrap();
    let output = match Command::new(tool).args(arguments).arg(file.path()).output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: there is no {tool} here");
            return None;
        }
        Err(error) => panic!("{tool}: {error}"),
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{tool}: {errors}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn readelf_reads_headers_sections_and_symbols() {
    for triple in [None, Some("x86_64-unknown-linux-gnu"), Some("aarch64-unknown-linux-gnu")] {
        let artifact = engine(triple, 1).precompile_module(CHAIN.as_bytes()).unwrap();
        let Some(all) = tool("readelf", &["--wide", "--all"], &artifact) else { return };
        assert!(all.contains("ELF64") && all.contains(".text"), "{all}");
        assert!(!all.to_lowercase().contains("warning"), "{all}");
        for name in ["inner", "middle", "outer", "back"] {
            assert!(all.lines().any(|line| line.contains("FUNC") && line.contains(name)), "{all}");
        }
        let relocations = tool("readelf", &["--wide", "--relocs"], &artifact).unwrap();
        assert!(relocations.contains("no relocations"), "{relocations}");
        let sections = tool("readelf", &["--wide", "--sections"], &artifact).unwrap();
        for kind in [" REL ", " RELA ", " RELR "] {
            assert!(!sections.contains(kind), "{sections}");
        }
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn objdump_disassembles_functions_by_their_names() {
    let artifact = engine(None, 1).precompile_module(CHAIN.as_bytes()).unwrap();
    let Some(code) = tool("objdump", &["-d"], &artifact) else { return };
    for name in ["inner", "middle", "outer", "back"] {
        assert!(code.lines().any(|line| line.contains(name) && line.ends_with(">:")), "{code}");
    }
    assert!(code.contains("ud2") && code.contains("call"), "{code}");
    assert!(!code.contains("(bad)"), "{code}");
}
