//! No instruction of an entry exceeds the level of processors that it was made for: the code is
//! disassembled and each instruction asked what it needs.
//!
//! Constants and jump tables lie in between, so code is followed from each function's start along
//! its branches instead of being read in a row; how much of it was reached is checked as well.

use iced_x86::{CpuidFeature as Cpuid, Decoder, DecoderOptions, FlowControl, Instruction};
use precompile::{Config, CpuLevel, Engine};
use std::collections::BTreeSet;
use std::path::Path;

/// What every x86-64 has, as far as it is named.
const BASE: &[Cpuid] = &[
    Cpuid::INTEL8086,
    Cpuid::INTEL186,
    Cpuid::INTEL286,
    Cpuid::INTEL386,
    Cpuid::INTEL486,
    Cpuid::X64,
    Cpuid::CMOV,
    Cpuid::FPU,
    Cpuid::SSE,
    Cpuid::SSE2,
    Cpuid::MULTIBYTENOP,
    Cpuid::PAUSE,
    Cpuid::CX8,
];
const V2: &[Cpuid] =
    &[Cpuid::SSE3, Cpuid::SSSE3, Cpuid::SSE4_1, Cpuid::SSE4_2, Cpuid::POPCNT, Cpuid::CMPXCHG16B];
const V3: &[Cpuid] = &[Cpuid::AVX, Cpuid::AVX2, Cpuid::FMA, Cpuid::BMI1, Cpuid::BMI2, Cpuid::LZCNT];
const V4: &[Cpuid] = &[Cpuid::AVX512F, Cpuid::AVX512DQ, Cpuid::AVX512VL];

/// Functions and trampolines of an artifact: address (which is the place in the file) and size.
fn symbols(artifact: &[u8]) -> Vec<(u64, u64)> {
    let inspection = precompile::inspect(artifact).unwrap();
    let (_, start, len) = *inspection.sections.iter().find(|s| s.0 == "Symbols").unwrap();
    let table = &artifact[start as usize..(start + len) as usize];
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    table
        .chunks_exact(24)
        .map(|symbol| (word(&symbol[8..16]), word(&symbol[16..24])))
        .filter(|(_, size)| *size > 0)
        .collect()
}

/// The instructions that are reached from `start`, inside of the symbol.
fn reached(artifact: &[u8], start: u64, size: u64) -> Vec<Instruction> {
    let end = start + size;
    let (mut seen, mut todo, mut found) = (BTreeSet::new(), vec![start], Vec::new());
    while let Some(at) = todo.pop() {
        if !(start..end).contains(&at) || !seen.insert(at) {
            continue;
        }
        let bytes = &artifact[at as usize..end as usize];
        let instruction = Decoder::with_ip(64, bytes, at, DecoderOptions::NONE).decode();
        assert!(!instruction.is_invalid(), "no instruction at {at:#x}");
        found.push(instruction);
        match instruction.flow_control() {
            FlowControl::UnconditionalBranch => todo.push(instruction.near_branch_target()),
            FlowControl::ConditionalBranch => {
                todo.push(instruction.near_branch_target());
                todo.push(instruction.next_ip());
            }
            // A jump through a table has the table right behind it: distances from its start, up
            // to where the first of the branches begins.
            FlowControl::IndirectBranch => {
                let table = instruction.next_ip();
                let (mut entry, mut behind) = (table, end);
                while entry + 4 <= behind {
                    let distance = &artifact[entry as usize..entry as usize + 4];
                    let distance = i32::from_le_bytes(distance.try_into().unwrap());
                    let target = table.wrapping_add_signed(distance.into());
                    if !(start..end).contains(&target) {
                        break;
                    }
                    if target > table {
                        behind = behind.min(target);
                    }
                    todo.push(target);
                    entry += 4;
                }
            }
            // Nothing comes after a return or `ud2`.
            FlowControl::Return | FlowControl::Exception => {}
            _ => todo.push(instruction.next_ip()),
        }
    }
    found
}

fn modules() -> Vec<Vec<u8>> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("fixtures");
    let programs = ["simd", "math64", "nbody", "sort", "bulk", "features", "rust", "interp"];
    let mut modules: Vec<_> = programs
        .map(|name| std::fs::read(fixtures.join(format!("programs/{name}/{name}.wasm"))).unwrap())
        .into();
    modules.push(std::fs::read(fixtures.join("threads/threads.wasm")).unwrap());
    for name in ["simd", "floats", "conversions", "many-params", "results", "atomics"] {
        if let Ok(text) = std::fs::read(fixtures.join(format!("wat/{name}.wat"))) {
            modules.push(wat::parse_bytes(&text).unwrap().into_owned());
        }
    }
    modules
}

fn check(level: CpuLevel, allowed: &[&[Cpuid]]) -> BTreeSet<String> {
    let mut config = Config::new();
    config.target("x86_64-linux").unwrap().cpu(level).wasm_threads(true);
    let engine = Engine::new(&config).unwrap();
    let (mut bytes, mut walked, mut used) = (0, 0, BTreeSet::new());
    for module in modules() {
        let artifact = engine.precompile_module(&module).unwrap();
        for (start, size) in symbols(&artifact) {
            bytes += size;
            for instruction in reached(&artifact, start, size) {
                walked += instruction.len() as u64;
                for feature in instruction.cpuid_features() {
                    let fine =
                        BASE.contains(feature) || allowed.iter().any(|a| a.contains(feature));
                    assert!(fine, "{level}: {:?} needs {feature:?}", instruction.code());
                    used.insert(format!("{feature:?}"));
                }
            }
        }
    }
    assert!(walked * 10 > bytes * 9, "{level}: only {walked} of {bytes} bytes were reached");
    used
}

#[test]
fn no_instruction_exceeds_its_level() {
    let none = check(CpuLevel::X86_64, &[]);
    let v2 = check(CpuLevel::X86_64V2, &[V2]);
    let v3 = check(CpuLevel::X86_64V3, &[V2, V3]);
    let v4 = check(CpuLevel::X86_64V4, &[V2, V3, V4]);
    // And the levels are used: the check is not empty.
    assert!(!none.contains("SSE4_1") && v2.contains("SSE4_1"), "{v2:?}");
    assert!(!v2.contains("AVX") && v3.contains("AVX") && v4.contains("AVX"), "{v3:?}");
}
