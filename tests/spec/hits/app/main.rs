//! An app without a compiler that plays steps with what is in a cache:
//! `player SETTINGS CACHE MODULES STEPS TRANSCRIPTS`, a file and four folders.

mod player;
mod spectest;

use precompile::cache::{Layers, Mode};
use precompile::{Bounds, Config, CpuLevel, Engine, Features, OptLevel, Target};
use std::fs;
use std::path::Path;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, settings, cache, modules, steps, transcripts] = &args[..] else { panic!("{args:?}") };
    let settings = fs::read_to_string(settings).expect("the settings");
    let mut config = config(&settings);
    config.cache(Layers::builder().read_only(cache).mode(Mode::RequireHit));
    let engine = Engine::new(&config).expect("supported settings");
    let own: String = engine.settings().iter().map(|(k, v)| format!("{k}={v}\n")).collect();
    assert_eq!(own, settings, "these settings mean something else here");
    let mut names: Vec<_> = fs::read_dir(steps)
        .expect("the folder of steps")
        .map(|entry| entry.expect("it can be listed").file_name())
        .collect();
    names.sort();
    for name in names {
        let steps = fs::read_to_string(Path::new(steps).join(&name)).expect("steps");
        let transcript = player::play(&engine, Path::new(modules), &steps);
        fs::write(Path::new(transcripts).join(&name), transcript).expect("a transcript");
    }
    assert_eq!(engine.compile_count(), 0);
    let hits = engine.cache_stats().expect("the engine has a cache").hits();
    println!("{hits}");
}

/// Settings of an engine, from what another one says of its own.
fn config(settings: &str) -> Config {
    let get = |name: &str| {
        let mut fields = settings.lines().filter_map(|line| line.split_once('='));
        fields.find(|field| field.0 == name).unwrap_or_else(|| panic!("no {name}")).1
    };
    let arch = Target::host().expect("a supported host").arch();
    let names = get("features").split('+').filter(|name| !name.is_empty());
    let features = names.map(|name| Features::from_name(name).expect("a proposal"));
    let mut config = Config::new();
    config
        .cpu(CpuLevel::parse(get("cpu"), arch).expect("a level"))
        .features(features.fold(Features::NONE, Features::union))
        .bounds(if get("bounds") == "guard" { Bounds::Guard } else { Bounds::Explicit })
        .cranelift_opt_level(match get("opt-level") {
            "none" => OptLevel::None,
            _ => OptLevel::Speed,
        })
        .cranelift_nan_canonicalization(get("nan-canonicalization") == "on")
        .relaxed_simd_deterministic(get("relaxed-simd") == "deterministic")
        .consume_fuel(get("fuel") == "on")
        .epoch_interruption(get("epoch-interruption") == "on");
    config
}
