//! Class 5: the end of the stack is a trap, however wasm got there.

use crate::child;
use crate::support::{engine, instance, trapped};
use precompile::*;
use std::thread;

/// A function whose frame is above a megabyte: as many values, all of them used after a call.
fn wide() -> String {
    const RESULTS: usize = 900;
    const CALLS: usize = 80;
    const { assert!(RESULTS * CALLS * 16 > 1 << 20) };
    let results = "v128 ".repeat(RESULTS);
    let gives = "(v128.const i64x2 1 2)".repeat(RESULTS);
    let calls = "(call $many)".repeat(CALLS);
    let uses = "v128.xor ".repeat(RESULTS * CALLS - 1);
    format!(
        r#"(module
            (global $result (mut v128) (v128.const i64x2 0 0))
            (func $many (result {results}) {gives})
            (func $wide (export "run") (param i32)
                {calls}
                (if (local.get 0) (then (call $wide (i32.sub (local.get 0) (i32.const 1)))))
                {uses}
                (global.set $result)))"#
    )
}

const DEEP: &str = r#"(module
    (import "" "host" (func $host (param i32) (result i32)))
    (func $forever (export "forever") (param i32) (result i32)
        (i32.add (call $forever (local.get 0)) (i32.const 1)))
    (func $ping (export "ping") (param i32) (result i32)
        (i32.add (call $pong (i64.const 1) (local.get 0)) (i32.const 1)))
    (func $pong (param i64 i32) (result i32) (i32.add (call $ping (local.get 1)) (i32.const 1)))
    (func $down (export "down") (param i32) (result i32)
        (if (result i32) (local.get 0)
            (then (i32.add (i32.const 1) (call $down (i32.sub (local.get 0) (i32.const 1)))))
            (else (i32.const 0))))
    (func $host_at (export "host_at") (param i32) (result i32)
        (if (result i32) (local.get 0)
            (then (i32.add (i32.const 1) (call $host_at (i32.sub (local.get 0) (i32.const 1)))))
            (else (call $host (i32.const 0)))))
    (func (export "mutual") (param i32) (result i32)
        (i32.add (call $host (local.get 0)) (i32.const 1))))"#;

/// With 0 uses some stack, as printing does; else calls `mutual` again.
fn host(mut caller: Caller<'_, ()>, n: i32) -> Result<i32> {
    if n == 0 {
        let mut room = [1u8; 64 << 10];
        std::hint::black_box(&mut room);
        return Ok(i32::from(room[n as usize]));
    }
    let mutual = caller.get_export("mutual").and_then(Extern::into_func).unwrap();
    mutual.typed::<i32, i32>(&caller)?.call(&mut caller, n)
}

fn deep(engine: &Engine) -> (Store<()>, Instance) {
    let mut store = Store::new(engine, ());
    let host = Func::wrap(&mut store, host);
    let instance = instance(&mut store, DEEP, &[host.into()]);
    (store, instance)
}

/// All kinds of recursion; what is left works.
fn overflow(store: &mut Store<()>, instance: Instance) {
    for name in ["forever", "ping", "mutual"] {
        let func = instance.get_typed_func::<i32, i32>(&mut *store, name).unwrap();
        let error = func.call(&mut *store, 1).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::StackOverflow), "{name}: {error:?}");
        let frames = error.downcast_ref::<WasmBacktrace>().unwrap().frames().len();
        assert!(frames <= 64, "a backtrace is limited: {frames}");
    }
    let down = instance.get_typed_func::<i32, i32>(&mut *store, "down").unwrap();
    assert_eq!(down.call(&mut *store, 100).unwrap(), 100);
}

#[test]
fn class_05_recursion_without_end_is_a_trap() {
    let (mut store, instance) = deep(&engine());
    for _ in 0..20 {
        overflow(&mut store, instance);
    }
}

/// Runs `body` on a thread with a stack of that size.
fn on_stack<R: Send>(kib: usize, body: impl FnOnce() -> R + Send) -> R {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(kib << 10);
        thread.spawn_scoped(scope, body).unwrap().join().unwrap()
    })
}

#[test]
fn class_05_on_threads_of_all_sizes() {
    let (mut store, instance) = deep(&engine());
    let funcs = ["forever", "ping", "mutual"]
        .map(|name| instance.get_typed_func::<i32, i32>(&mut store, name).unwrap());
    for kib in [16, 64, 128, 160, 192, 256, 384, 512, 1024, 2048, 16384] {
        on_stack(kib, || {
            for func in funcs {
                for _ in 0..5 {
                    assert_eq!(trapped(func.call(&mut store, 1)), Trap::StackOverflow);
                }
            }
        });
        // Back on this thread there is room again.
        overflow(&mut store, instance);
    }
}

#[test]
fn class_05_a_frame_of_a_megabyte() {
    let mut config = Config::new();
    config.max_wasm_stack(3 << 20).cranelift_opt_level(OptLevel::None);
    let engine = Engine::new(&config).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = instance(&mut store, &wide(), &[]);
    let run = instance.get_typed_func::<i32, ()>(&mut store, "run").unwrap();
    on_stack(8 << 10, || {
        run.call(&mut store, 0).unwrap();
        assert_eq!(trapped(run.call(&mut store, 1000)), Trap::StackOverflow);
    });
    // The C library may hand a thread a stack that is left over, of up to four times that size.
    for kib in [64, 256] {
        on_stack(kib, || {
            assert_eq!(trapped(run.call(&mut store, 0)), Trap::StackOverflow);
        });
    }
}

#[test]
fn class_05_the_host_has_room_at_every_depth() {
    let (mut store, instance) = deep(&engine());
    let host_at = instance.get_typed_func::<i32, i32>(&mut store, "host_at").unwrap();
    // The deepest that works, and all around it: a result or a trap, never a crash.
    let (mut low, mut high) = (0, 1 << 20);
    while low + 1 < high {
        let middle = (low + high) / 2;
        match host_at.call(&mut store, middle) {
            Ok(depth) => {
                assert_eq!(depth, middle + 1);
                low = middle;
            }
            Err(error) => {
                assert_eq!(crate::support::trap(&error), Trap::StackOverflow);
                high = middle;
            }
        }
    }
    assert!(low > 1000, "{low}");
    for depth in low.saturating_sub(50)..low + 50 {
        let result = host_at.call(&mut store, depth);
        assert!(result.is_ok() || trapped(result) == Trap::StackOverflow);
    }
}

#[test]
fn class_05_the_limit_is_the_configured_one() {
    let depth = |bytes: usize| {
        let mut config = Config::new();
        config.max_wasm_stack(bytes);
        let (mut store, instance) = deep(&Engine::new(&config).unwrap());
        let down = instance.get_typed_func::<i32, i32>(&mut store, "down").unwrap();
        (0..).map(|i| 1 << i).find(|n| down.call(&mut store, *n).is_err()).unwrap()
    };
    assert!(depth(64 << 10) < depth(256 << 10));
    assert!(depth(256 << 10) < depth(1 << 20));
}

/// Resident memory in KiB.
pub(crate) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

#[test]
fn thousands_of_overflows_leave_nothing() {
    // What other tests hold would be counted too.
    if !child::is_child() {
        let name = "stack::thousands_of_overflows_leave_nothing";
        return child::passed(&child::run(name));
    }
    let (mut store, instance) = deep(&engine());
    let forever = instance.get_typed_func::<i32, i32>(&mut store, "forever").unwrap();
    let mut round = || {
        for _ in 0..2500 {
            assert_eq!(trapped(forever.call(&mut store, 1)), Trap::StackOverflow);
        }
        resident()
    };
    let first = round();
    let last = (0..3).map(|_| round()).last().unwrap();
    assert!(last < first + 2048, "{first} KiB grew to {last} KiB");
}
