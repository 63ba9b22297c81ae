//! What modules can take of the host, and what is given back.

use crate::child::{is_child, passed, run};
use precompile::{Caller, Engine, ErrorKind, Extern, Instance, Linker, Module, Store};
use precompile::{Ref, RefType, Table, TableType};

#[test]
fn the_tables_of_a_store_are_bounded_together() {
    let engine = Engine::default();
    let table = "(table 10000000 funcref)";
    let module = Module::new(&engine, format!("(module {})", table.repeat(20))).unwrap();
    let mut store = Store::new(&engine, ());
    for _ in 0..3 {
        let error = Instance::new(&mut store, &module, &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit, "{error:#}");
    }
    // What was taken for the instances that failed was given back.
    let module = Module::new(&engine, format!("(module {})", table.repeat(4))).unwrap();
    Instance::new(&mut store, &module, &[]).unwrap();
    let ty = TableType::new(RefType::FUNCREF, 0, None);
    let other = Table::new(&mut store, ty, Ref::Func(None)).unwrap();
    other.grow(&mut store, 9_000_000, Ref::Func(None)).unwrap();
    let third = Table::new(&mut store, ty, Ref::Func(None)).unwrap();
    let error = third.grow(&mut store, 9_000_000, Ref::Func(None)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
}

#[test]
fn instances_that_fail_leave_nothing_in_the_store() {
    let engine = Engine::default();
    let text = format!("(module (memory 1) {})", "(table 10000000 funcref)".repeat(6));
    let module = Module::new(&engine, text).unwrap();
    let mut store = Store::new(&engine, ());
    // More than fits into the address space if each kept its 10 GiB.
    for _ in 0..20_000 {
        assert!(Instance::new(&mut store, &module, &[]).is_err());
    }
    let module = Module::new(&engine, "(module (memory 1))").unwrap();
    Instance::new(&mut store, &module, &[]).unwrap();
}

#[test]
fn a_module_without_images_takes_no_descriptor() {
    if !is_child() {
        return passed(&run("resources::a_module_without_images_takes_no_descriptor"));
    }
    let engine = Engine::default();
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    let modules: Vec<_> = (0..100)
        .map(|i| Module::new(&engine, format!("(module (global i32 (i32.const {i})))")).unwrap())
        .collect();
    assert!(open() < before + 10, "{} modules take descriptors", modules.len());
}

#[test]
fn an_imported_start_function_is_called_by_its_instance() {
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    linker
        .func_wrap("host", "start", |mut caller: Caller<'_, u64>| {
            let memory = caller.get_export("memory").and_then(Extern::into_memory).unwrap();
            *caller.data_mut() = memory.size(&caller);
        })
        .unwrap();
    let module = Module::new(
        &engine,
        r#"(module (import "host" "start" (func)) (memory (export "memory") 3) (start 0))"#,
    )
    .unwrap();
    let mut store = Store::new(&engine, 0);
    linker.instantiate(&mut store, &module).unwrap();
    assert_eq!(*store.data(), 3);
}

#[test]
fn growing_by_moving_leaves_untouched_pages_without_memory() {
    if !is_child() {
        return passed(&run("resources::growing_by_moving_leaves_untouched_pages_without_memory"));
    }
    let mut config = precompile::Config::new();
    config.bounds(precompile::Bounds::Explicit);
    let engine = Engine::new(&config).unwrap();
    let mut store = Store::new(&engine, ());
    let ty = precompile::MemoryType::new(4096, None);
    let memory = precompile::Memory::new(&mut store, ty).unwrap();
    memory.write(&mut store, 100 << 20, b"touched").unwrap();
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let before = resident();
    memory.grow(&mut store, 8192).unwrap();
    assert_eq!(&memory.data(&store)[100 << 20..][..7], b"touched");
    assert!(resident() < before + (128 << 10), "the copy became resident");
}

#[test]
fn a_level_that_the_host_lacks_hurts_no_entry() {
    use precompile::cache::Layers;
    use precompile::{Config, CpuFeatures, CpuLevel};
    if Engine::default().target().arch() != precompile::Arch::X86_64 {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let engine = |features| {
        let mut config = Config::new();
        config.cpu(CpuLevel::X86_64V3).assume_host_features(features);
        config.cache(Layers::builder().read_write(dir.path().join("cache")));
        Engine::new(&config).unwrap()
    };
    let bytes = b"\0asm\x01\0\0\0";
    engine(CpuLevel::X86_64V3.features()).warm(bytes).unwrap();
    let old = engine(CpuFeatures::NONE);
    let error = Module::new(&old, bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    assert!(error.to_string().contains("avx2"), "{error}");
    assert_eq!(old.compile_count(), 0);
    let report = engine(CpuLevel::X86_64V3.features()).check(bytes).unwrap();
    assert!(matches!(report.outcome, precompile::Outcome::Hit { .. }), "{report:?}");
    // One that takes what it can run says what it lacks for what there is.
    let mut config = Config::new();
    config.assume_host_features(CpuLevel::X86_64V2.features());
    config.cache(Layers::builder().read_only(dir.path().join("cache")));
    let report = Engine::new(&config).unwrap().check(bytes).unwrap();
    let precompile::Outcome::Missed { miss } = report.outcome else { panic!("{report:?}") };
    let told = "cpu is x86-64-v3, this engine needs x86-64-v2; this processor lacks avx+";
    assert!(miss.to_string().contains(told), "{miss}");
}

#[test]
fn warming_a_cache_that_keeps_nothing_is_told() {
    use precompile::Config;
    use precompile::cache::{Layers, Mode};
    let bytes = b"\0asm\x01\0\0\0";
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new();
    for mode in [Mode::ReadOnly, Mode::RequireHit, Mode::Off] {
        config.cache(Layers::builder().read_write(dir.path()).mode(mode));
        let engine = Engine::new(&config).unwrap();
        assert_eq!(engine.warm(bytes).unwrap_err().kind(), ErrorKind::Miss, "{mode}");
        assert_eq!(engine.compile_count(), 0, "{mode}");
    }
    config.cache(Layers::builder().read_only(dir.path()));
    let report = Engine::new(&config).unwrap().warm(bytes).unwrap();
    assert!(report.add_failure.is_some());
}

#[test]
fn a_function_of_values_without_end_is_refused() {
    let values = "i32 ".repeat(900);
    let text = format!(
        "(module (type $t (func (param {values}) (result {values}))) (func {} {} {} {}))",
        "i32.const 0 ".repeat(900),
        "loop (type $t) ".repeat(5000),
        "end ".repeat(5000),
        "drop ".repeat(900)
    );
    let error = Module::new(&Engine::default(), text).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error:#}");
}

/// The same result with locals as values and, where they would become too many, in the frame.
#[test]
fn locals_are_locals_wherever_they_are_kept() {
    for (depth, locals) in [(3, 5), (600, 5), (300, 400)] {
        let types = "i32 i64 f32 f64 v128 ".repeat(locals);
        let each = |op: &str| -> String {
            let step = |i: usize| {
                let set = format!("(local.set {}", 5 * i + 1);
                match op {
                    "count" => {
                        format!("{set} (i32.add (local.get {}) (i32.const {i})))", 5 * i + 1)
                    }
                    _ => format!("(i32.add (local.get {}))", 5 * i + 1),
                }
            };
            (0..locals).map(step).collect()
        };
        let rest: String = (0..locals)
            .map(|i| {
                let (l, f, d, v) = (5 * i + 2, 5 * i + 3, 5 * i + 4, 5 * i + 5);
                format!(
                    "(i64.add (local.get {l})) (i64.add (i64.trunc_f32_s (local.get {f})))
                     (i64.add (i64.trunc_f64_s (local.get {d})))
                     (i64.add (i64x2.extract_lane 1 (local.get {v})))"
                )
            })
            .collect();
        let text = format!(
            r#"(module (func (export "run") (param i32) (result i64) (local {types})
                {} {} (br_if 0 (i32.lt_s (i32.const 0)
                    (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) {}
                (local.set 2 (i64.const 7)) (local.set 3 (f32.const 1.5))
                (local.set 4 (f64.const -3)) (local.set 5 (v128.const i64x2 1 100))
                (i32.const 0) {} i64.extend_i32_s {rest}))"#,
            "loop ".repeat(depth),
            each("count"),
            "end ".repeat(depth),
            each("sum"),
        );
        let mut store = Store::new(&Engine::default(), ());
        let instance = crate::support::instance(&mut store, &text, &[]);
        let run = instance.get_typed_func::<i32, i64>(&mut store, "run").unwrap();
        let sum: usize = (0..locals).sum();
        assert_eq!(run.call(&mut store, 10).unwrap(), 10 * sum as i64 + 7 + 1 - 3 + 100);
    }
}
