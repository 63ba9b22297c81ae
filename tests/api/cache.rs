//! Modules through the cache: what hits, what misses and why, and what is not compiled twice.

use crate::child::{is_child, passed, run as run_child};
use precompile::cache::{Cache, Content, DirCache, Key, Layers, LayersBuilder, Mode, Stats};
use precompile::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;
use tempfile::TempDir;

const TEXT: &str = r#"(module (func (export "f") (result i32) (i32.const 42)))"#;

pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn engine(layers: LayersBuilder, change: impl FnOnce(&mut Config)) -> Engine {
    let mut config = Config::new();
    config.cache(layers);
    change(&mut config);
    Engine::new(&config).unwrap()
}

pub(crate) fn with(dir: &Path) -> Engine {
    engine(Layers::builder().read_write(dir), |_| {})
}

fn stats(engine: &Engine) -> Stats {
    assert!(engine.cache_problems().is_empty(), "{:?}", engine.cache_problems());
    engine.cache_stats().unwrap()
}

/// What the module's export `f` returns.
fn run(module: &Module) -> i32 {
    let mut store = Store::new(module.engine(), ());
    let instance = Instance::new(&mut store, module, &[]).unwrap();
    instance.get_typed_func::<(), i32>(&mut store, "f").unwrap().call(&mut store, ()).unwrap()
}

/// The files that are entries below `dir`.
pub(crate) fn entries(dir: &Path) -> Vec<PathBuf> {
    let is_hex = |name: &str| name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
    let mut found = Vec::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(folder).unwrap() {
            let path = item.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with('.') {
                // Locks and temporary files.
            } else if path.is_dir() {
                folders.push(path);
            } else if is_hex(&name) {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn the_second_engine_compiles_nothing() {
    let dir = folder();
    let first = with(dir.path());
    let (made, report) = Module::new_reported(&first, TEXT).unwrap();
    assert_eq!(report.outcome, Outcome::Compiled { miss: Some(Miss::Absent) });
    assert_eq!(report.add_failure, None);
    assert_eq!((run(&made), first.compile_count(), stats(&first).adds), (42, 1, 1));
    let second = with(dir.path());
    let (found, report) = Module::new_reported(&second, TEXT).unwrap();
    let Outcome::Hit { layer, path } = report.outcome else { panic!("{:?}", report.outcome) };
    assert_eq!((&*layer, path.as_deref().is_some_and(Path::is_file)), ("dir", true));
    assert_eq!((run(&found), second.compile_count(), stats(&second).hits_dir), (42, 0, 1));
    assert_eq!(made.digest(), found.digest());
    assert_eq!(entries(dir.path()).len(), 1);
}

#[test]
fn a_module_is_mapped_once() {
    // Other tests of this process have modules of their own.
    if !is_child() {
        passed(&run_child("cache::a_module_is_mapped_once"));
        return;
    }
    let dir = folder();
    let engine = with(dir.path());
    let maps = || fs::read_to_string("/proc/self/maps").unwrap().matches(" r-xp ").count();
    let first = Module::new(&engine, TEXT).unwrap();
    let before = maps();
    let many: Vec<_> = (0..50).map(|_| Module::new_reported(&engine, TEXT).unwrap()).collect();
    assert!(many.iter().all(|(_, report)| report.outcome == Outcome::Loaded));
    assert_eq!(maps(), before);
    assert_eq!(run(&many[49].0), 42);
    drop((first, many));
    assert!(maps() < before);
    let (again, report) = Module::new_reported(&engine, TEXT).unwrap();
    assert!(matches!(report.outcome, Outcome::Hit { .. }), "{:?}", report.outcome);
    assert_eq!((run(&again), engine.compile_count()), (42, 1));
}

#[test]
fn each_setting_that_changes_code_is_named_when_it_misses() {
    let dir = folder();
    let base = |change: &dyn Fn(&mut Config)| {
        engine(Layers::builder().read_write(dir.path()), |config| {
            config.cpu(CpuLevel::portable(Target::host().unwrap().arch()));
            change(config);
        })
    };
    let own = base(&|_| {});
    Module::new(&own, TEXT).unwrap();
    for (field, word, settings) in tests::settings::changed(&own.settings()) {
        let mut config = Config::from_settings(&settings).unwrap();
        config.cache(Layers::builder().read_write(dir.path()).mode(Mode::RequireHit));
        // Of the processor as well, so that what it lacks is no reason.
        config.assume_host_features(CpuFeatures::from_bits(u64::MAX));
        let engine = Engine::new(&config).unwrap();
        let miss = if field == "target" {
            // Nothing is loaded for another system; asked for it may be.
            let report = engine.check(wat::parse_str(TEXT).unwrap()).unwrap();
            let Outcome::Missed { miss } = report.outcome else { panic!("{:?}", report.outcome) };
            miss
        } else {
            let error = Module::new(&engine, TEXT).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Miss, "{error:?}");
            assert!(error.to_string().contains(&field), "{error}");
            error.downcast_ref::<Miss>().unwrap().clone()
        };
        assert_eq!(miss.as_str(), word);
        let Miss::Differs { first: difference, others } = miss else { panic!("{miss:?}") };
        assert!(others.is_empty(), "{others:?}");
        assert_eq!(difference.field, field);
        assert_eq!(Some(&*difference.expected), settings.get(&field));
        assert_eq!(Some(&*difference.found), own.settings().get(&field));
        assert_eq!((engine.compile_count(), stats(&engine).misses_absent), (0, 1));
        assert_eq!((engine.misses().of(word), engine.misses().total()), (1, 1));
    }
    // What changes no code changes no key.
    let same: [fn(&mut Config); 4] = [
        |c| {
            c.max_wasm_stack(1 << 20);
        },
        |c| {
            c.parallel_compilation(false);
        },
        |c| {
            c.compile_jobs(3);
        },
        |c| {
            c.load(Load::Copy);
        },
    ];
    for change in same {
        let engine = base(&|config| change(config));
        assert_eq!(run(&Module::new(&engine, TEXT).unwrap()), 42);
        assert_eq!(engine.compile_count(), 0);
    }
    // And a module that the cache knows nothing of.
    let layers = Layers::builder().read_write(dir.path()).mode(Mode::RequireHit);
    let engine = engine(layers, |_| {});
    let error = Module::new(&engine, "(module)").unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Miss::Absent));
}

#[test]
fn each_part_of_the_key_has_its_counter() {
    let dir = folder();
    let layers = || Layers::builder().read_write(dir.path());
    let settings = engine(layers(), |_| {}).settings();
    let cache = DirCache::open(dir.path()).unwrap();
    let bytes = wat::parse_str(TEXT).unwrap();
    for (changed, _) in settings.iter() {
        let engine = engine(layers().mode(Mode::RequireHit), |config| {
            config.cpu(
                CpuLevel::parse(settings.get("cpu").unwrap(), Target::host().unwrap().arch())
                    .unwrap(),
            );
        });
        let digest = engine.check(&bytes).unwrap().digest.unwrap();
        let before = engine.misses();
        let lines = settings.iter().map(|(name, value)| {
            format!("{name}={}\n", if name == changed { "another" } else { value })
        });
        let (key, content) = (Key::new(digest, [7; 32]), Content::from_bytes(b"code".to_vec()));
        cache.add(&key, &content, lines.collect::<String>().as_bytes()).unwrap();
        let error = Module::new(&engine, &bytes).unwrap_err();
        let miss = error.downcast_ref::<Miss>().unwrap();
        let Miss::Differs { first: difference, others } = miss else { panic!("{miss:?}") };
        assert!(others.is_empty(), "{others:?}");
        assert_eq!((&*difference.field, &*difference.found), (changed, "another"));
        let moved: Vec<_> = engine
            .misses()
            .iter()
            .zip(before.iter())
            .filter(|(now, before)| now != before)
            .map(|((reason, now), (_, before))| (reason, now - before))
            .collect();
        assert_eq!(moved, [(miss.as_str(), 1)], "{changed}");
        let explained = engine.explain(&bytes).unwrap();
        assert_eq!(explained.entries[0].differences, std::slice::from_ref(difference));
    }
}

#[test]
fn a_lower_level_hits_on_a_better_processor() {
    let dir = folder();
    let host = CpuFeatures::detect();
    if !cfg!(target_arch = "x86_64") || !host.contains(CpuLevel::X86_64V2.features()) {
        return;
    }
    let portable = engine(Layers::builder().read_write(dir.path()), |c| {
        c.cpu(CpuLevel::X86_64);
    });
    Module::new(&portable, TEXT).unwrap();
    let engine = with(dir.path());
    assert_ne!(engine.cpu(), CpuLevel::X86_64);
    assert_eq!(run(&Module::new(&engine, TEXT).unwrap()), 42);
    assert_eq!(engine.compile_count(), 0);
}

#[test]
fn a_read_only_layer_over_a_read_write_one() {
    let (baked, own) = (folder(), folder());
    Module::new(&with(baked.path()), TEXT).unwrap();
    let layers = || Layers::builder().read_only(baked.path()).read_write(own.path());
    let other = r#"(module (func (export "f") (result i32) (i32.const 7)))"#;
    let engine_one = engine(layers(), |_| {});
    let (module, report) = Module::new_reported(&engine_one, TEXT).unwrap();
    let Outcome::Hit { layer, .. } = report.outcome else { panic!("{:?}", report.outcome) };
    assert!(layer.starts_with("layer"), "{layer}");
    assert_eq!(run(&module), 42);
    assert_eq!(run(&Module::new(&engine_one, other).unwrap()), 7);
    let counts = stats(&engine_one);
    assert_eq!((counts.hits_layer, counts.adds, engine_one.compile_count()), (1, 1, 1));
    assert_eq!((entries(baked.path()).len(), entries(own.path()).len()), (1, 1));
    let engine_two = engine(layers(), |_| {});
    assert_eq!(run(&Module::new(&engine_two, other).unwrap()), 7);
    assert_eq!((engine_two.compile_count(), stats(&engine_two).hits_dir), (0, 1));
    // Only the read-only one: what it lacks is compiled and kept nowhere.
    let engine_three = engine(Layers::builder().read_only(baked.path()), |_| {});
    for _ in 0..2 {
        assert_eq!(run(&Module::new(&engine_three, other).unwrap()), 7);
    }
    assert_eq!(engine_three.compile_count(), 2);
    assert_eq!(entries(baked.path()).len(), 1);
}

#[test]
fn a_damaged_entry_is_compiled_again_and_replaced() {
    let dir = folder();
    Module::new(&with(dir.path()), TEXT).unwrap();
    let [entry] = &entries(dir.path())[..] else { panic!() };
    let good = fs::read(entry).unwrap();
    // In the header, in code, in tables, in the trailer; cut off; empty; nonsense.
    let mut damages: Vec<Vec<u8>> = [0, 300, 1100, 4096, 4100, good.len() / 2, good.len() - 10]
        .map(|at| {
            let mut bytes = good.clone();
            bytes[at] ^= 0x10;
            bytes
        })
        .into();
    damages.extend([&good[..good.len() / 2], &good[..4096], &[], &[7; 100_000]].map(Vec::from));
    for damage in damages {
        // Put in place as whole files are, so that memos of the old one do not hold.
        let temporary = dir.path().join("damaged");
        fs::write(&temporary, &damage).unwrap();
        fs::rename(&temporary, entry).unwrap();
        let engine = with(dir.path());
        let (module, report) = Module::new_reported(&engine, TEXT).unwrap();
        assert_eq!(run(&module), 42);
        let counts = stats(&engine);
        assert_eq!(report.outcome, Outcome::Compiled { miss: Some(Miss::Corrupt) });
        assert_eq!((engine.compile_count(), counts.adds), (1, 1), "{counts:?}");
        assert_eq!(counts.damaged + counts.rejected_corrupt, 1, "{counts:?}");
        assert_eq!(fs::read(entry).unwrap(), good, "the entry is as it was");
        let engine = with(dir.path());
        assert_eq!(run(&Module::new(&engine, TEXT).unwrap()), 42);
        assert_eq!(engine.compile_count(), 0);
    }
}

/// An entry under the key of another module: whole, but not what was asked for.
#[test]
fn class_15_an_entry_of_another_module_is_not_run() {
    let dir = folder();
    let other = r#"(module (func (export "f") (result i32) (i32.const 7)))"#;
    Module::new(&with(dir.path()), TEXT).unwrap();
    let right = entries(dir.path()).remove(0);
    Module::new(&with(dir.path()), other).unwrap();
    let wrong = entries(dir.path()).into_iter().find(|entry| *entry != right).unwrap();
    fs::copy(&wrong, dir.path().join("copy")).unwrap();
    fs::rename(dir.path().join("copy"), &right).unwrap();
    let engine = with(dir.path());
    assert_eq!(run(&Module::new(&engine, TEXT).unwrap()), 42);
    assert_eq!(engine.compile_count(), 1);
}

#[test]
fn the_cache_never_fails_a_run() {
    let dir = folder();
    let file = dir.path().join("file");
    fs::write(&file, "no directory").unwrap();
    let engine_one = engine(Layers::builder().read_write(&file), |_| {});
    assert!(!engine_one.cache_problems().is_empty());
    assert_eq!(run(&Module::new(&engine_one, TEXT).unwrap()), 42);
    let off = engine(Layers::builder().read_write(dir.path()).mode(Mode::Off), |_| {});
    let (_, report) = Module::new_reported(&off, TEXT).unwrap();
    assert_eq!(report.outcome, Outcome::Compiled { miss: Some(Miss::Off) });
    assert!(entries(dir.path()).is_empty());
    // An invalid module is the user's error, cache or not, and leaves nothing.
    let error = Module::new(&with(dir.path()), b"\0asm\x01\0\0\0\x01").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
    assert!(entries(dir.path()).is_empty());
}

#[test]
fn sixteen_threads_compile_a_module_once() {
    let dir = folder();
    let text = include_str!("../../fixtures/wat/thousand.wat");
    let engine = with(dir.path());
    let barrier = Barrier::new(16);
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                barrier.wait();
                let module = Module::new(&engine, text).unwrap();
                assert!(module.get_export("f999").is_some());
            });
        }
    });
    assert_eq!(engine.compile_count(), 1);
    assert_eq!(stats(&engine).adds, 1);
    // Engines of their own share only the directory.
    let dir = folder();
    let engines: Vec<_> = (0..8).map(|_| with(dir.path())).collect();
    let barrier = Barrier::new(8);
    thread::scope(|scope| {
        for engine in &engines {
            scope.spawn(|| {
                barrier.wait();
                Module::new(engine, text).unwrap();
            });
        }
    });
    assert_eq!(engines.iter().map(Engine::compile_count).sum::<u64>(), 1);
}

#[test]
fn a_mode_that_is_misspelled_is_quoted_where_it_matters() {
    let dir = folder();
    let variables = [
        ("PRECOMPILE_CACHE_DIR", dir.path().to_str().unwrap()),
        ("PRECOMPILE_CACHE_MODE", "requirehit"),
    ];
    let layers = LayersBuilder::from_variables(|name| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
    });
    let engine = engine(layers, |_| {});
    let error = Module::new(&engine, TEXT).unwrap_err();
    assert_eq!((error.kind(), error.downcast_ref()), (ErrorKind::Miss, Some(&Miss::Absent)));
    let text = format!("{error:#}");
    assert!(text.contains("\"requirehit\"") && text.contains("require-hit, which is"), "{text}");
    assert_eq!((engine.compile_count(), entries(dir.path()).len()), (0, 0));
}

#[test]
fn what_is_asked_for_is_recorded_with_the_settings() {
    let dir = folder();
    let record = dir.path().join("record");
    let file = dir.path().join("module.wat");
    fs::write(&file, TEXT).unwrap();
    let layers = || Layers::builder().read_write(dir.path().join("cache")).record(&record);
    let first = engine(layers(), |config| {
        config.cranelift_opt_level(OptLevel::None);
    });
    let module = Module::new(&first, TEXT).unwrap();
    Module::new(&first, TEXT).unwrap();
    Module::from_file(&first, &file).unwrap();
    assert!(Module::new(&first, "(module (func (result i32)))").is_err());
    first.warm("(module (memory 1))").unwrap();
    first.check(wat::parse_str("(module)").unwrap()).unwrap();
    let text = fs::read_to_string(&record).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "loads that succeed, each once: {text}");
    let digest = precompile::cache::to_hex(&module.digest());
    let start = format!("{{\"record\":1,\"module\":\"{digest}\",");
    let settings = first.settings().to_string().replace('\n', "\\n");
    let end = format!("\"settings\":\"{settings}\"}}");
    assert_eq!(lines[0], format!("{start}{end}"));
    assert_eq!(lines[1], format!("{start}\"path\":\"{}\",{end}", file.display()));
    // One that must not be compiled is what a record is for.
    let second = engine(layers().mode(Mode::RequireHit), |_| {});
    Module::new(&second, "(module (table 1 funcref))").unwrap_err();
    assert_eq!(fs::read_to_string(&record).unwrap().lines().count(), 3);
}

#[test]
fn files_that_are_too_long_are_refused_unread() {
    let dir = folder();
    let path = dir.path().join("long.wasm");
    let file = fs::File::create(&path).unwrap();
    file.set_len((1 << 30) + 1).unwrap();
    let engine = with(&dir.path().join("cache"));
    for error in
        [Module::from_file(&engine, &path).unwrap_err(), engine.warm_file(&path).unwrap_err()]
    {
        assert_eq!(error.kind(), ErrorKind::Limit, "{error:#}");
        let text = format!("{error:#}");
        assert!(text.contains("long.wasm") && text.contains("1 GiB"), "{text}");
    }
}

/// Each operation on the disk fails in turn, under an engine: what the program does is what it does
/// without a cache, and one counter tells of it.
#[test]
fn a_failing_disk_changes_no_result() {
    use precompile_cache::testing::{Errno, Faults};
    for warm in [false, true] {
        let mut number = 0;
        loop {
            let mut is_over = true;
            for errno in [Errno::NOSPC, Errno::ROFS, Errno::ACCESS, Errno::IO, Errno::MFILE] {
                let dir = tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| folder());
                if warm {
                    Module::new(&with(dir.path()), TEXT).unwrap();
                }
                let faults = Faults::new();
                let options = DirCache::options().with_faults(&faults);
                let cache = options.open(dir.path()).unwrap();
                let engine = engine(Layers::builder().read_write_dir(cache), |_| {});
                faults.fail_nth(number, errno);
                let (module, report) = Module::new_reported(&engine, TEXT).unwrap();
                let what = format!("operation {number} of {:?}: {errno:?}", faults.log());
                is_over &= faults.log().len() <= number;
                faults.heal();
                assert_eq!(run(&module), 42, "{what}");
                let stats = stats(&engine);
                let failures = stats.named().filter(|(name, _)| name.ends_with("_failures"));
                let failures = failures.map(|(_, count)| count).sum::<u64>() + stats.io_errors;
                let is_reached = faults.log().is_empty() && !is_over;
                assert_eq!(failures, u64::from(is_reached), "{what}: {stats:?}");
                assert_eq!(report.add_failure.is_some(), stats.add_failures == 1, "{what}");
                // The second look, before it compiles, may find what the first one missed.
                assert!(engine.compile_count() <= engine.misses().total(), "{what}");
                assert!(engine.compile_count() == 1 || warm, "{what}");
            }
            if is_over {
                break;
            }
            number += 1;
        }
        assert!(number > if warm { 4 } else { 20 }, "{number} operations");
    }
}
