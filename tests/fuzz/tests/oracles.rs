//! Each target on fixed seeds, as a part of every test run. `FUZZ_SEEDS=FROM..TO` runs others.

use fuzz::{TARGETS, Verdict, bytes};
use std::collections::BTreeMap;
use std::time::Instant;

/// Runs a target on what is kept in `seeds/`, then on seeds; at least `agreed` of a hundred must reach the oracle's end.
fn seeds(name: &str, count: u64, agreed: u64) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let kept = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(name);
    for file in kept.read_dir().into_iter().flatten() {
        let path = file.unwrap().path();
        if let Err(finding) = (target.run)(&std::fs::read(&path).unwrap()) {
            panic!("{name}, {}: {finding}", path.display());
        }
    }
    let range = std::env::var("FUZZ_SEEDS").ok().map(|range| {
        let (from, to) = range.split_once("..").unwrap();
        from.parse::<u64>().unwrap()..to.parse::<u64>().unwrap()
    });
    let range = range.unwrap_or(0..count);
    let (start, total) = (Instant::now(), range.end - range.start);
    let mut verdicts: BTreeMap<String, u64> = BTreeMap::new();
    for seed in range {
        // Short inputs make small modules, and long ones deep ones.
        let data = bytes(seed, target.max_len >> (seed % 3));
        match (target.run)(&data) {
            Ok(verdict) => *verdicts.entry(format!("{verdict:?}")).or_default() += 1,
            Err(finding) => panic!("{name}, seed {seed}: {finding}"),
        }
    }
    println!("{name}: {verdicts:?} in {:.1?}", start.elapsed());
    let good = verdicts.get(&format!("{:?}", Verdict::Agreed)).copied().unwrap_or(0);
    assert!(good * 100 >= agreed * total, "only {good} of {total}: {verdicts:?}");
}

#[test]
fn each_module_does_what_it_does_in_an_interpreter() {
    seeds("differential", 600, 80);
}

#[test]
fn class_04_optimised_or_not_is_the_same() {
    seeds("optlevels", 250, 80);
}

#[test]
fn class_01_addresses_are_what_arithmetic_says() {
    seeds("addresses", 700, 80);
}

#[test]
fn class_03_constants_and_parameters_are_the_same() {
    seeds("constants", 300, 40);
}

#[test]
fn class_15_damaged_artifacts_do_no_harm() {
    seeds("artifact", 3000, 80);
}

#[test]
fn any_bytes_compile_or_are_refused() {
    seeds("compile", 300, 80);
}

/// Class 2: every operator with every operand loaded from the last bytes of a memory.
#[test]
fn class_02_what_operators_load_ends_where_memory_does() {
    let start = Instant::now();
    let cases = fuzz::edges::sweep(2, 8).unwrap();
    println!("{cases} cases in {:.1?}", start.elapsed());
    assert!(cases > 10_000, "{cases}");
}
