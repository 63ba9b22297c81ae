//! One cache for a fleet: code for several kinds of processors side by side, of which each host
//! takes the best that it can run. What the host has is injected.

use crate::support::{World, program};
use precompile::cache::{Layers, Mode};
use precompile::{
    Config, CpuFeatures, CpuLevel, Engine, ErrorKind, Instance, Module, Outcome, Store,
};
use precompile_wasi::{WasiCtx, WasiCtxBuilder, add_to_linker};
use std::path::Path;

/// What hosts are said to be: each takes the entry for its own level, if there is one.
#[cfg(target_arch = "x86_64")]
const HOSTS: &[CpuLevel] = &[CpuLevel::X86_64V2, CpuLevel::X86_64V3, CpuLevel::X86_64V4];
#[cfg(target_arch = "aarch64")]
const HOSTS: &[CpuLevel] = &[CpuLevel::Aarch64, CpuLevel::Aarch64Lse];

/// Code for all of them, and for those of the other instruction set.
const ALL: &[&str] = &[
    "--platform",
    "linux/amd64/v2,linux/amd64/v3,linux/amd64/v4,linux/arm64",
    "--cpu",
    "aarch64",
    "--cpu",
    "aarch64+lse",
];

/// An engine on a host that has `features`, which never compiles.
fn engine(cache: &Path, features: CpuFeatures) -> Engine {
    let mut config = Config::new();
    config.assume_host_features(features);
    config.cache(Layers::builder().read_only(cache).mode(Mode::RequireHit));
    let engine = Engine::new(&config).unwrap();
    assert!(engine.cache_problems().is_empty(), "{:?}", engine.cache_problems());
    engine
}

/// The level of the entry that such an engine takes for the module.
fn taken(cache: &Path, features: CpuFeatures) -> String {
    let engine = engine(cache, features);
    let (module, report) = Module::from_file_reported(&engine, program("hello")).unwrap();
    assert!(matches!(report.outcome, Outcome::Hit { .. }), "{report:?}");
    assert_eq!((engine.compile_count(), engine.cache_stats().unwrap().hits()), (0, 1));
    if CpuFeatures::detect().contains(features) {
        run(&engine, &module);
    }
    module.settings().get("cpu").unwrap().to_string()
}

fn run(engine: &Engine, module: &Module) {
    let mut linker = precompile::Linker::new(engine);
    add_to_linker(&mut linker, |wasi: &mut WasiCtx| wasi).unwrap();
    let mut store = Store::new(engine, WasiCtxBuilder::new().arg("hello").build());
    let instance: Instance = linker.instantiate(&mut store, module).unwrap();
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start").unwrap();
    start.call(&mut store, ()).unwrap();
}

fn warm(world: &World, cache: &str, platforms: &[&str]) {
    let hello = program("hello");
    let fixed = ["-q", "--out", &world.arg(cache), hello.to_str().unwrap()];
    world.run(&[&fixed[..], platforms].concat()).expect(0, &[]);
}

#[test]
fn each_host_takes_the_best_that_it_can_run() {
    let world = World::new();
    warm(&world, "all", ALL);
    assert_eq!(world.entries("all").len(), 5);
    for level in HOSTS {
        assert_eq!(taken(&world.path("all"), level.features()), level.to_string());
    }
    // One that has all there is takes the same as the best of them.
    let all = CpuFeatures::from_bits(u64::MAX);
    assert_eq!(taken(&world.path("all"), all), HOSTS.last().unwrap().to_string());
    // Where its own level is absent, the next below.
    let below: &[&str] = match HOSTS[0] {
        CpuLevel::Aarch64 => &["--platform", "linux/arm64"],
        _ => &["--platform", "linux/amd64/v2"],
    };
    warm(&world, "below", below);
    for level in HOSTS {
        assert_eq!(taken(&world.path("below"), level.features()), HOSTS[0].to_string());
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn what_the_host_lacks_for_the_nearest_level_is_named() {
    let world = World::new();
    let miss = |cache: &str, features| {
        let engine = engine(&world.path(cache), features);
        let error = Module::from_file(&engine, program("hello")).unwrap_err();
        assert_eq!((error.kind(), engine.compile_count()), (ErrorKind::Miss, 0));
        assert_eq!(engine.misses().of("cpu"), 1);
        let explanation = engine.explain(std::fs::read(program("hello")).unwrap()).unwrap();
        let Outcome::Missed { miss } = explanation.report.outcome else { panic!("it hits") };
        let text = error.chain().last().unwrap().to_string();
        // Both say the same, and the entry that they mean is told first.
        assert_eq!(text, miss.to_string());
        assert!(text.contains(&explanation.entries[0].differences[0].to_string()), "{text}");
        text
    };
    warm(&world, "all", ALL);
    let text = miss("all", CpuFeatures::NONE);
    let told = "cpu is x86-64-v2, this engine needs x86-64; this processor lacks \
                sse3+ssse3+sse4.1+sse4.2+popcnt+cmpxchg16b for x86-64-v2";
    assert!(text.ends_with(told), "{text}");
    // A host of the second level, for which there is none.
    warm(&world, "above", &["--platform", "linux/amd64/v4,linux/amd64/v3,linux/arm64"]);
    let text = miss("above", CpuLevel::X86_64V2.features());
    let told = "cpu is x86-64-v3, this engine needs x86-64-v2; this processor lacks \
                avx+avx2+fma+bmi1+bmi2+lzcnt for x86-64-v3";
    assert!(text.ends_with(told), "{text}");
}
