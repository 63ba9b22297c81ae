//! Class 14: functions that never end, one for each way of going on.

use crate::support::module;
use precompile::*;

/// Exports, and whether each goes deeper and deeper.
pub(crate) fn exports() -> impl Iterator<Item = &'static (&'static str, bool)> {
    EXPORTS.iter()
}

const EXPORTS: &[(&str, bool)] = &[
    ("loop", false),
    ("loop_of_loops", false),
    ("br_if", false),
    ("br_table", false),
    ("br_from_inside", false),
    ("loop_with_parameters", false),
    ("call", false),
    ("call_indirect", false),
    ("call_import", false),
    ("call_host", false),
    ("call_ref", false),
    ("return_call", false),
    ("return_call_mutual", false),
    ("return_call_indirect", false),
    ("return_call_ref", false),
    ("memory_loop", false),
    ("bulk_loop", false),
    ("grow_loop", false),
    ("tree", false),
    ("tree_indirect", false),
    ("recursion", true),
    ("mutual", true),
    ("recursion_indirect", true),
    ("host_reentry", true),
];

const OTHER: &str = r#"(module (func (export "empty")))"#;

const TEXT: &str = r#"(module
    (import "" "other" (func $other))
    (import "" "host" (func $host))
    (import "" "reenter" (func $reenter))
    (type $empty (func))
    (memory 1 2)
    (table funcref (elem $empty $tree_indirect $recursion_indirect $mutual_2))
    (func $empty)
    (func (export "loop") (loop (br 0)))
    (func (export "loop_of_loops") (local i32)
        (loop
            (local.set 0 (i32.const 3))
            (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
            (br 0)))
    (func (export "br_if") (loop (br_if 0 (i32.const 1))))
    (func (export "br_table") (local i32)
        (loop (block (br_table 0 1 1 (local.tee 0 (i32.xor (local.get 0) (i32.const 1)))))
            (br 0)))
    (func (export "br_from_inside") (loop (block (block (loop (br 3))))))
    (func (export "loop_with_parameters")
        (i32.const 1) (i64.const 2)
        (loop (param i32 i64) (drop) (i32.add (i32.const 1)) (i64.const 3) (br 0))
        (unreachable))
    (func (export "call") (loop (call $empty) (br 0)))
    (func (export "call_indirect") (loop (call_indirect (type $empty) (i32.const 0)) (br 0)))
    (func (export "call_import") (loop (call $other) (br 0)))
    (func (export "call_host") (loop (call $host) (br 0)))
    (func (export "call_ref") (loop (call_ref $empty (ref.func $empty)) (br 0)))
    (func $again (export "return_call") (return_call $again))
    (func $ping (export "return_call_mutual") (return_call $pong (i64.const 1)))
    (func $pong (param i64) (return_call $ping))
    (table $tail funcref (elem $again_indirect))
    (func $again_indirect (export "return_call_indirect")
        (return_call_indirect $tail (type $empty) (i32.const 0)))
    (func $again_ref (export "return_call_ref")
        (return_call_ref $empty (ref.func $again_ref)))
    (func (export "memory_loop")
        (loop (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1))) (br 0)))
    (func (export "bulk_loop")
        (loop (memory.fill (i32.const 0) (i32.const 0) (i32.const 65536)) (br 0)))
    (func (export "grow_loop") (loop (drop (memory.grow (i32.const 0))) (br 0)))
    ;; 2^1000 calls, none of them deep.
    (func $tree (param i32)
        (if (local.get 0) (then
            (call $tree (i32.sub (local.get 0) (i32.const 1)))
            (call $tree (i32.sub (local.get 0) (i32.const 1))))))
    (func (export "tree") (call $tree (i32.const 1000)))
    (func $tree_indirect (param i32)
        (if (local.get 0) (then
            (call_indirect (param i32) (i32.sub (local.get 0) (i32.const 1)) (i32.const 1))
            (call_indirect (param i32) (i32.sub (local.get 0) (i32.const 1)) (i32.const 1)))))
    (func (export "tree_indirect") (call $tree_indirect (i32.const 1000)))
    (func $recursion (export "recursion") (call $recursion) (call $empty))
    (func $mutual (export "mutual") (call $mutual_2) (call $empty))
    (func $mutual_2 (call $mutual))
    (func $recursion_indirect (export "recursion_indirect")
        (call_indirect (type $empty) (i32.const 2)) (call $empty))
    (func (export "host_reentry") (call $reenter)))"#;

/// The modules, compiled once for many stores.
pub(crate) struct Endless {
    other: Module,
    main: Module,
}

impl Endless {
    pub(crate) fn new(engine: &Engine) -> Self {
        Endless { other: module(engine, OTHER), main: module(engine, TEXT) }
    }

    /// That export of an instance in `store`.
    pub(crate) fn function(&self, store: &mut Store<()>, export: &str) -> TypedFunc<(), ()> {
        let other = Instance::new(&mut *store, &self.other, &[]).unwrap();
        let other = other.get_func(&mut *store, "empty").unwrap();
        let host = Func::wrap(&mut *store, || {});
        let reenter = Func::wrap(&mut *store, |mut caller: Caller<'_, ()>| {
            let again = caller.get_export("host_reentry").and_then(Extern::into_func).unwrap();
            again.typed::<(), ()>(&caller)?.call(&mut caller, ())
        });
        let imports = [other.into(), host.into(), reenter.into()];
        let instance = Instance::new(&mut *store, &self.main, &imports).unwrap();
        instance.get_typed_func(store, export).unwrap()
    }
}
