//! Class 5 on the main thread, whose stack is another thing than that of other threads: it grows,
//! to a limit that whoever started the process has set. Test harnesses run no test there.

use precompile::*;
use std::process::Command;

const NAME: &str = "class_05_on_the_main_thread";
const LIMITS: [&str; 4] = ["200", "1000", "8192", "unlimited"];

const DEEP: &str = r#"(module
    (import "" "host" (func $host (param i32) (result i32)))
    (func $forever (export "forever") (param i32) (result i32)
        (i32.add (call $forever (local.get 0)) (i32.const 1)))
    (func (export "mutual") (param i32) (result i32)
        (i32.add (call $host (local.get 0)) (i32.const 1)))
    (func $down (export "down") (param i32) (result i32)
        (if (result i32) (local.get 0)
            (then (i32.add (i32.const 1) (call $down (i32.sub (local.get 0) (i32.const 1)))))
            (else (i32.const 0)))))"#;

fn host(mut caller: Caller<'_, ()>, n: i32) -> Result<i32> {
    let mutual = caller.get_export("mutual").and_then(Extern::into_func).expect("exported");
    mutual.typed::<i32, i32>(&caller)?.call(&mut caller, n)
}

/// With the engine's limit near and far: then what counts is the end of the stack.
fn overflow() {
    for max in [64 << 10, 512 << 10, 1 << 30, usize::MAX] {
        let mut config = Config::new();
        config.max_wasm_stack(max);
        let engine = Engine::new(&config).unwrap();
        let mut store = Store::new(&engine, ());
        let host = Func::wrap(&mut store, host);
        let module = Module::new(&engine, DEEP).unwrap();
        let instance = Instance::new(&mut store, &module, &[host.into()]).unwrap();
        for name in ["forever", "mutual", "forever"] {
            let func = instance.get_typed_func::<i32, i32>(&mut store, name).unwrap();
            let error = func.call(&mut store, 1).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&Trap::StackOverflow), "{name}: {error:?}");
        }
        let down = instance.get_typed_func::<i32, i32>(&mut store, "down").unwrap();
        assert_eq!(down.call(&mut store, 50).unwrap(), 50);
    }
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let has = |argument: &str| arguments.iter().any(|a| a == argument);
    if has("--list") {
        if !has("--ignored") {
            println!("{NAME}: test");
        }
        return;
    }
    if has("child") {
        overflow();
        return;
    }
    // The module is compiled on threads of their own, but decoded here: 200 KiB are enough.
    for limit in LIMITS {
        // No stack that an emulator makes is without a limit.
        if limit == "unlimited" && std::env::var_os("TEST_RUNNER").is_some() {
            println!("skipped: an unlimited stack");
            continue;
        }
        let script = format!("ulimit -s {limit} && exec \"$0\" \"$@\"");
        let own = tests::own_program();
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).arg(own.get_program()).args(own.get_args());
        let output = shell.arg("child").output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ulimit -s {limit}: {}: {message}", output.status);
    }
    println!("test {NAME} ... ok");
}
