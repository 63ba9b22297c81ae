//! A program of several threads, in C, which an embedder runs on threads of its own.

use crate::root;
use precompile::cache::{Layers, Mode};
use precompile::{Config, Engine, Linker, Module, SharedMemory, Store, Val};
use precompile_wasi::{WasiCtx, WasiCtxBuilder};
use std::process::Command;
use std::thread;

/// The part of one thread: an instance of its own, with a stack of its own in the memory of all.
fn part(module: &Module, memory: &SharedMemory, this: i32, all: i32) -> precompile::Result<i32> {
    let mut store = Store::new(module.engine(), ());
    let mut linker = Linker::new(module.engine());
    linker.define(&store, "env", "memory", memory.clone())?;
    let instance = linker.instantiate(&mut store, module)?;
    let stack = instance.get_typed_func::<i32, i32>(&mut store, "stack")?.call(&mut store, this)?;
    let pointer = instance.get_global(&mut store, "__stack_pointer").expect("it is exported");
    pointer.set(&mut store, Val::I32(stack))?;
    let run = instance.get_typed_func::<(i32, i32), i32>(&mut store, "run")?;
    run.call(&mut store, (this, all))
}

#[test]
fn threads_compute_together_from_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache").display().to_string();
    let wasm = root().join("fixtures/threads/threads.wasm");
    let output = Command::new(tests::precompile_binary())
        .args(["--features", "+threads", "--cache-dir", &cache])
        .arg(&wasm)
        .output()
        .expect("the command line runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let mut config = Config::new();
    let layers = Layers::builder().read_only(&cache).mode(Mode::RequireHit);
    config.wasm_threads(true).cache(layers);
    let engine = Engine::new(&config).unwrap();
    let module = Module::from_file(&engine, &wasm).unwrap();
    let ty = *module.imports().next().unwrap().ty().memory().unwrap();
    let digests = [1, 2, 3, 8, 16].map(|threads| {
        let memory = SharedMemory::new(&engine, ty).unwrap();
        thread::scope(|scope| {
            let part = |this| part(&module, &memory, this, threads);
            let parts: Vec<_> = (0..threads).map(|i| scope.spawn(move || part(i))).collect();
            for part in parts {
                assert_eq!(part.join().unwrap().unwrap(), 0, "{threads} threads");
            }
        });
        let mut store = Store::new(&engine, ());
        let mut linker = Linker::new(&engine);
        linker.define(&store, "env", "memory", memory).unwrap();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let digest = instance.get_typed_func::<(), i32>(&mut store, "digest").unwrap();
        digest.call(&mut store, ()).unwrap()
    });
    assert_eq!(digests, [digests[0]; 5]);
    assert_eq!(engine.compile_count(), 0);
}

/// What `run` has no threads for is told, not left to a search.
#[test]
fn the_command_line_says_that_it_has_no_threads() {
    let wasm = root().join("fixtures/threads/threads.wasm");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(tests::precompile_binary());
        command.arg("run").args(arguments).args(["--invoke", "digest"]).arg(&wasm);
        let output = command.output().expect("the command line runs");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let told = run(&["--features", "+threads"]);
    assert!(told.contains("`env::memory`") && told.contains("shared"), "{told}");
    assert!(told.contains("starts no threads"), "{told}");
    assert!(run(&[]).contains("threads, which is switched off"), "{}", run(&[]));
}

/// WASI's functions work on bytes that nobody else writes to.
#[test]
fn wasi_refuses_a_shared_memory() {
    let engine = Engine::new(Config::new().wasm_threads(true)).unwrap();
    let text = r#"(module
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (memory (export "memory") 1 1 shared)
        (func (export "run") (result i32) (call $random (i32.const 0) (i32.const 8))))"#;
    let module = Module::new(&engine, text).unwrap();
    let mut linker = Linker::new(&engine);
    precompile_wasi::add_to_linker(&mut linker, |wasi: &mut WasiCtx| wasi).unwrap();
    let mut store = Store::new(&engine, WasiCtxBuilder::new().build());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.get_typed_func::<(), i32>(&mut store, "run").unwrap();
    let error = format!("{:#}", run.call(&mut store, ()).unwrap_err());
    assert!(error.contains("no memory that threads share"), "{error}");
}
