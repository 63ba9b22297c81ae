//! The runner itself: that what is wrong fails, whatever kind of directive says it.

use precompile::{Config, Engine, Features};
use precompile_wast::run;

/// Directives of which each fails after `module`, and a part of what is said about it.
const WRONG: &[(&str, &str)] = &[
    // Values.
    (r#"(assert_return (invoke "i32") (i32.const 2))"#, "expected I32(2)"),
    (r#"(assert_return (invoke "i32") (i64.const 1))"#, "expected I64(1)"),
    (r#"(assert_return (invoke "i32"))"#, "1 results, not 0"),
    (r#"(assert_return (invoke "i32") (either (i32.const 2) (i32.const 3)))"#, "Either"),
    (r#"(assert_return (invoke "none") (i32.const 1))"#, "0 results, not 1"),
    (r#"(assert_return (invoke "zero") (f32.const -0))"#, "expected F32"),
    (r#"(assert_return (invoke "zero") (f32.const nan:arithmetic))"#, "ArithmeticNan"),
    (r#"(assert_return (invoke "nan") (f64.const nan:canonical))"#, "CanonicalNan"),
    (r#"(assert_return (invoke "vector") (v128.const i32x4 1 2 3 5))"#, "expected V128"),
    (r#"(assert_return (invoke "vector") (v128.const f32x4 nan:arithmetic 0 0 0))"#, "V128"),
    (r#"(assert_return (invoke "same" (ref.extern 7)) (ref.extern 8))"#, "reference 7"),
    (r#"(assert_return (invoke "same" (ref.extern 7)) (ref.null extern))"#, "reference 7"),
    (r#"(assert_return (invoke "same" (ref.null extern)) (ref.extern))"#, "ExternRef(None)"),
    (r#"(assert_return (invoke "same" (ref.null extern)) (ref.null func))"#, "ExternRef(None)"),
    (r#"(assert_return (invoke "func") (ref.null))"#, "expected RefNull"),
    (r#"(assert_return (get "global") (i32.const 2))"#, "expected I32(2)"),
    // Traps.
    (r#"(invoke "trap")"#, "unreachable"),
    (r#"(assert_return (invoke "trap"))"#, "unreachable"),
    (r#"(assert_trap (invoke "trap") "integer overflow")"#, "expected \"integer overflow\""),
    (r#"(assert_trap (invoke "trap") "2")"#, "expected \"2\""),
    (r#"(assert_trap (invoke "i32") "unreachable")"#, "no trap"),
    (r#"(assert_exhaustion (invoke "trap") "call stack exhausted")"#, "unreachable"),
    (r#"(assert_exhaustion (invoke "i32") "call stack exhausted")"#, "no trap"),
    (r#"(assert_trap (module (func $f) (start $f)) "unreachable")"#, "no trap"),
    (r#"(assert_trap (module (import "no" "thing" (func))) "unknown import")"#, "no trap"),
    // What is not there, or not of the right kind.
    (r#"(assert_trap (invoke "missing") "unreachable")"#, "no function `missing`"),
    (r#"(assert_return (get "i32") (i32.const 1))"#, "no global `i32`"),
    (r#"(assert_return (invoke $other "i32") (i32.const 1))"#, "no such instance"),
    (r#"(assert_return (invoke "same") (ref.extern))"#, "expected 1 parameters"),
    (r#"(assert_trap (invoke "same" (i32.const 1)) "unreachable")"#, "expected a value"),
    (r#"(register "name" $other)"#, "no such instance"),
    (r#"(module instance $i $other)"#, "no such module"),
    // Modules.
    (r#"(module (import "spectest" "nothing" (func)))"#, "unknown import"),
    (r#"(module (func (result i32)))"#, "refused"),
    (r#"(module quote "(func) (oops)")"#, "refused as text"),
    (r#"(assert_invalid (module (func)) "type mismatch")"#, "accepted"),
    (r#"(assert_malformed (module quote "(func)") "unexpected token")"#, "accepted"),
    (r#"(assert_malformed_custom (module quote "(@custom \"x\" \"y\")") "")"#, "accepted"),
    (r#"(assert_invalid_custom (module (@custom "x" "y")) "")"#, "accepted"),
    (r#"(assert_malformed (module binary "\00asm\01\00\00\00") "magic")"#, "accepted"),
    (r#"(assert_unlinkable (module) "unknown import")"#, "linked"),
    (
        r#"(assert_unlinkable (module (import "spectest" "global_i32" (global i64))) "unknown")"#,
        "incompatible import type",
    ),
    (r#"(assert_unlinkable (module (func unreachable) (start 0)) "unknown")"#, "unreachable"),
    (r#"(assert_unlinkable (module (func (result i32))) "unknown import")"#, "refused"),
    // What the runner does not know.
    (r#"(assert_exception (invoke "i32"))"#, "no exception, but"),
    (r#"(assert_suspension (invoke "i32") "")"#, "not supported yet"),
    (r#"(thread $t (shared (module $m)))"#, "there is no such instance"),
    (r#"(thread $t (invoke "i32"))"#, "line 12: invoke: there is no such instance"),
    (r#"(wait $t)"#, "no thread `t`"),
    (r#"(component)"#, "components are not supported yet"),
    (r#"(assert_invalid (component (core module (func (i32.const 1)))) "")"#, "components are not"),
    (r#"(assert_return (invoke "i32") (i32.const 1.5))"#, "cannot parse"),
    (r#"(assert_nothing (invoke "i32"))"#, "cannot parse"),
];

const MODULE: &str = r#"
    (module
        (global (export "global") i32 (i32.const 1))
        (func $none (export "none"))
        (func (export "i32") (result i32) (i32.const 1))
        (func (export "zero") (result f32) (f32.const 0))
        (func (export "nan") (result f64) (f64.const nan:0xc000000000000))
        (func (export "vector") (result v128) (v128.const i32x4 1 2 3 4))
        (func (export "same") (param externref) (result externref) (local.get 0))
        (func (export "func") (result funcref) (ref.func $none))
        (func (export "trap") unreachable))
"#;

#[test]
fn what_is_wrong_fails() {
    let engine = Engine::default();
    for (directive, said) in WRONG {
        let outcome = run(&engine, &format!("{MODULE}{directive}"));
        assert_eq!(outcome.directives, 2, "{directive}");
        let [failure] = &outcome.failures[..] else {
            panic!("{directive}: {:?}", outcome.failures);
        };
        assert_eq!(failure.line, MODULE.lines().count() + 1, "{directive}");
        assert!(failure.message.contains(said), "{directive}: {}", failure.message);
        assert!(directive[1..].starts_with(&failure.directive), "{directive}");
    }
}

#[test]
fn what_is_right_passes() {
    let script = r#"
        (module definition $d (global (export "g") (mut i32) (i32.const 1))
            (func (export "set") (param i32) (global.set 0 (local.get 0))))
        (module instance $a $d)
        (module instance $b $d)
        (invoke $a "set" (i32.const 5))
        (assert_return (get $a "g") (i32.const 5))
        (assert_return (get $b "g") (i32.const 1))
        (assert_return (get "g") (either (i32.const 0) (i32.const 1)))
        (register "a" $a)
        (module (import "a" "g" (global (mut i32))) (export "g" (global 0)))
        (assert_return (get "g") (i32.const 5))
        (register "a" $b)
        (module (import "a" "g" (global (mut i32))) (export "g" (global 0)))
        (assert_return (get "g") (i32.const 1))
        (assert_return (module))
        (assert_invalid (module (func (local.get 0))) "unknown local")
        (assert_malformed (module quote "(func") "unexpected end")
        (assert_malformed_custom (module quote "(@custom 4)") "@custom annotation")
        (module (func $f (export "f") (result v128 externref)
            (v128.const f32x4 nan 1 2 nan:0x600000) (ref.null extern)))
        (assert_return (invoke "f")
            (v128.const f32x4 nan:canonical 1 2 nan:arithmetic) (ref.null))
        (module (import "wasmtime" "gc" (func)) (func (export "null") (result funcref)
            (ref.null func)) (func (export "f") (param externref) (result externref)
            (local.get 0)) (func (export "trap") unreachable))
        (assert_return (invoke "null") (ref.null nofunc))
        (assert_return (invoke "f" (ref.null noextern)) (ref.null extern))
        (assert_trap (invoke "trap") "")
        (assert_trap (invoke "trap") "wasm trap: wasm `unreachable` instruction executed: more")
        (assert_unlinkable (module (import "spectest" "memory" (memory 3)))
            "in other words")
        (assert_unlinkable (module (memory 0) (data (i32.const 0) "a")) "segment does not fit")
        (module $named (func (export "f") (result i32) (i32.const 3)))
        (module (import "named" "f" (func (result i32))))
        (thread $t
            (module (func (export "two") (result i32) (i32.const 2)))
            (assert_return (invoke "two") (i32.const 2)))
        (wait $t)"#;
    let outcome = run(&Engine::default(), script);
    assert_eq!((outcome.directives, outcome.failures), (30, vec![]));
}

/// A module that is refused since the engine lacks what the script is about proves nothing.
#[test]
fn lack_of_support_is_no_refusal() {
    let script = ";;! gc = true\n(assert_invalid (module (type (struct))) \"\")";
    let lacking = precompile_wast::Header::parse(script).unsupported();
    let outcome = run(&Engine::default(), script);
    assert_eq!(outcome.failures.len(), 1, "{lacking}: {:?}", outcome.failures);
}

/// What is between directives is not passed over.
#[test]
fn nothing_is_passed_over() {
    let outcome = run(&Engine::default(), "(module)\noops (module))\n");
    let lines: Vec<_> = outcome.failures.iter().map(|f| (f.line, &*f.directive)).collect();
    assert_eq!((outcome.directives, lines), (4, vec![(2, "oops"), (2, ")")]));
    assert_eq!(run(&Engine::default(), "oops").failures.len(), 1);
    assert!(run(&Engine::default(), ";; nothing").failures.is_empty());
}

/// A failed module leaves nothing behind that later directives could pass with.
#[test]
fn nothing_passes_with_the_module_before() {
    let script = r#"(module (func (export "f")))
        (module (func (export "f") (result i32)))
        (assert_return (invoke "f"))"#;
    let outcome = run(&Engine::default(), script);
    assert_eq!(outcome.failures.len(), 2, "{:?}", outcome.failures);
}

/// Refused because the feature is off counts as refused.
#[test]
fn features_are_those_of_the_engine() {
    let engine = Engine::new(Config::new().features(Features::WASM1)).expect("valid settings");
    let script = r#"(assert_invalid (module (func (param externref))) "reference types")"#;
    assert!(run(&engine, script).failures.is_empty());
    assert_eq!(run(&Engine::default(), script).failures.len(), 1);
}

/// An engine that has threads.
fn threads() -> Engine {
    Engine::new(Config::new().wasm_threads(true)).expect("valid settings")
}

/// Threads run at the same time: each of these ends only since the others run.
#[test]
fn threads_meet_in_the_memory_that_they_share() {
    let script = r#"
        (module $Mem (memory (export "memory") 1 1 shared)
            (func (export "get") (result i32) (i32.load (i32.const 8))))
        (register "mine" $Mem)
        (thread $waits (shared (module $Mem))
            (register "mem" $Mem)
            (module (import "mem" "memory" (memory 1 1 shared))
                (func (export "wait") (result i32)
                    (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))
            (assert_return (invoke "wait") (either (i32.const 0) (i32.const 1)))
            ;; Under the module's own name as well, and on into threads of its own.
            (thread $inner (shared (module $Mem))
                (module (import "Mem" "memory" (memory 1 1 shared))
                    (func (export "run") (i32.store (i32.const 8) (i32.const 42))))
                (assert_unlinkable (module (import "mem" "memory" (memory 1 1 shared))) "unknown")
                (assert_unlinkable (module (import "mine" "memory" (memory 1 1 shared))) "unknown")
                (invoke "run"))
            (wait $inner))
        (thread $wakes (shared (module $Mem))
            (module (import "Mem" "memory" (memory 1 1 shared))
                (func (export "wake")
                    (i32.atomic.store (i32.const 0) (i32.const 1))
                    (drop (memory.atomic.notify (i32.const 0) (i32.const 1)))))
            (invoke "wake"))
        (wait $waits)
        (wait $wakes)
        (assert_return (invoke $Mem "get") (i32.const 42))
        (module (import "spectest" "shared_memory" (memory 1 2 shared)))"#;
    for _ in 0..20 {
        let outcome = run(&threads(), script);
        assert_eq!((outcome.directives, outcome.failures), (8, vec![]));
    }
}

/// What fails in a thread is told where it is waited for, or where it starts if nobody waits, with
/// its own line.
#[test]
fn what_fails_in_a_thread_fails() {
    let script = r#"(module $m (func (export "f")))
        (thread $waited
            (module (func (export "f") (result i32) (i32.const 1)))
            (assert_return (invoke "f") (i32.const 2)))
        (wait $waited)
        (wait $waited)
        (thread $alone (assert_return (invoke "f"))
            (thread $inner (shared (module $missing))))
        (thread $alone)
        (thread $fine (shared (module $m)) (register "m" $m) (module))"#;
    let outcome = run(&threads(), script);
    let said: Vec<_> = outcome.failures.iter().map(|f| (f.line, &*f.directive)).collect();
    let all = [(5, "wait"), (6, "wait"), (7, "thread"), (9, "thread")];
    assert_eq!((outcome.directives, &said[..]), (7, &all[..]), "{:?}", outcome.failures);
    let parts: [&[&str]; 4] = [
        &["line 4: assert_return: result 0", "expected I32(2)"],
        &["no thread `waited`"],
        &["line 7: assert_return: there is no such instance", "line 8: thread: there is no such"],
        &["nobody has waited"],
    ];
    for (failure, parts) in outcome.failures.iter().zip(parts) {
        assert!(parts.iter().all(|part| failure.message.contains(part)), "{failure:?}");
    }
}
