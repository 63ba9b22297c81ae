//! Exhausted stacks, of threads that have less than wasm may use.

use precompile::{Caller, Engine, Error, Linker, Module, Store, Trap};
use std::thread;

const RECURSION: &str = r#"
    (module
        (import "host" "again" (func $again))
        (table funcref (elem $indirect))
        (func $direct (export "direct") (call $direct))
        (func $even (export "mutual") (call $odd))
        (func $odd (call $even))
        (func $indirect (export "indirect") (call_indirect (i32.const 0)))
        (func (export "large") (param i64 i64 i64 i64 i64 i64 i64 i64) (result i64)
            (local v128 v128 v128 v128)
            (local.set 8 (i64x2.splat (local.get 0)))
            (i64.add
                (call 5 (local.get 7) (local.get 0) (local.get 1) (local.get 2)
                    (local.get 3) (local.get 4) (local.get 5) (local.get 6))
                (i64x2.extract_lane 0 (local.get 8))))
        (func (export "host") (call $again))
        (func (export "one") (result i32) (i32.const 1)))
"#;

/// Recursion without end is a trap on any thread, and leaves the thread and the store usable.
#[test]
fn exhaustion_on_small_stacks() {
    let engine = Engine::default();
    let module = Module::new(&engine, RECURSION).expect("valid");
    let mut linker = Linker::new(&engine);
    let again = |mut caller: Caller<'_, ()>| -> Result<(), Error> {
        let func = caller.get_export("host").and_then(|e| e.into_func()).expect("exported");
        func.call(&mut caller, &[], &mut [])
    };
    linker.func_wrap("host", "again", again).expect("a new name");
    for kib in [192, 256, 512, 1024, 2048, 8192] {
        let run = || {
            let mut store = Store::new(&engine, ());
            let instance = linker.instantiate(&mut store, &module).expect("linked");
            for name in ["direct", "mutual", "indirect", "host", "large"].repeat(3) {
                let func = instance.get_func(&mut store, name).expect("exported");
                let ty = func.ty(&store);
                let zero = precompile::Val::default_for_ty;
                let params: Vec<_> = ty.params().map(zero).collect();
                let mut results: Vec<_> = ty.results().map(zero).collect();
                let error = func.call(&mut store, &params, &mut results).expect_err(name);
                let trap = error.downcast_ref::<Trap>();
                assert_eq!(trap, Some(&Trap::StackOverflow), "{name}: {error:?}");
                let one = instance.get_typed_func::<(), i32>(&mut store, "one").expect("exported");
                assert_eq!(one.call(&mut store, ()).expect("no trap"), 1);
            }
        };
        thread::scope(|scope| {
            let thread = thread::Builder::new().stack_size(kib << 10).spawn_scoped(scope, run);
            thread.expect("room for a thread").join().expect("no panic");
        });
    }
}
