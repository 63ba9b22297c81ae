//! References into the heap: what keeps a value of the host alive, and that nothing else does.
//!
//! Values count their drops, and wasm's references are looked at by the number in the value: a
//! reference that was lost in a collection shows as an error, as another value, or as a drop too
//! early; one that was kept too long as a drop that did not happen.

use crate::support::{engines, instance};
use precompile::*;
use std::sync::{Arc, Mutex};

pub(crate) type Reference = Option<Rooted<ExternRef>>;

/// The numbers of values that were dropped, in order.
#[derive(Clone, Default)]
pub(crate) struct Drops(Arc<Mutex<Vec<i32>>>);

impl Drops {
    /// Those since the last time, sorted.
    pub(crate) fn take(&self) -> Vec<i32> {
        let mut drops = std::mem::take(&mut *self.0.lock().unwrap());
        drops.sort_unstable();
        drops
    }

    pub(crate) fn value(&self, number: i32) -> Value {
        Value(number, self.clone())
    }
}

/// A value of the host.
pub(crate) struct Value(pub(crate) i32, Drops);

impl Drop for Value {
    fn drop(&mut self) {
        self.1.0.lock().unwrap().push(self.0);
    }
}

/// The number in the value that wasm passed; -1 for null.
pub(crate) fn number(store: impl AsContext, reference: Reference) -> i32 {
    let Some(reference) = reference else { return -1 };
    let value = reference.data(store.as_context()).unwrap().unwrap();
    value.downcast_ref::<Value>().unwrap().0
}

/// A store, and a linker with what cases import from the host:
///
/// - `gc`: collects;
/// - `new`: a value with that number, put into the heap after a collection;
/// - `is`: collects, then compares the reference's number;
/// - `same`: collects, and gives the reference back.
pub(crate) fn host(engine: &Engine) -> (Store<Drops>, Linker<Drops>) {
    let store = Store::new(engine, Drops::default());
    let mut linker = Linker::new(engine);
    linker
        .func_wrap("", "gc", |mut caller: Caller<'_, Drops>| caller.gc(None))
        .unwrap()
        .func_wrap("", "new", |mut caller: Caller<'_, Drops>, number: i32| -> Result<Reference> {
            caller.gc(None)?;
            let value = caller.data().value(number);
            Ok(Some(ExternRef::new(&mut caller, value)?))
        })
        .unwrap()
        .func_wrap("", "is", |mut caller: Caller<'_, Drops>, it: Reference, want: i32| {
            caller.gc(None)?;
            let found = number(&caller, it);
            if found == want {
                return Ok(());
            }
            Err(Error::msg(format!("found {found}, expected {want}")))
        })
        .unwrap()
        .func_wrap(
            "",
            "same",
            |mut caller: Caller<'_, Drops>, it: Reference| -> Result<Reference> {
                caller.gc(None)?;
                Ok(it)
            },
        )
        .unwrap();
    (store, linker)
}

/// What all cases start with.
pub(crate) const IMPORTS: &str = r#"
    (import "" "gc" (func $gc))
    (import "" "new" (func $new (param i32) (result externref)))
    (import "" "is" (func $is (param externref i32)))
    (import "" "same" (func $same (param externref) (result externref)))"#;

/// Instantiates a case and calls its `run`, in each of the engine's ways; then nothing of what it
/// made is left but `left`, and with the store goes that as well.
fn case(text: &str, made: i32, left: &[i32]) {
    for (name, engine) in engines().chain(others()) {
        let (mut store, linker) = host(&engine);
        let _ = store.set_fuel(u64::MAX);
        store.set_epoch_deadline(u64::MAX / 2);
        let drops = store.data().clone();
        let module = Module::new(&engine, format!("(module {IMPORTS} {text})"));
        let module = module.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let instance = linker.instantiate(&mut store, &module);
        let instance = instance.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
        run.call(&mut store, ()).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        store.gc(None).unwrap();
        let mut gone = drops.take();
        assert_eq!(gone, (1..=made).filter(|i| !left.contains(i)).collect::<Vec<_>>(), "{name}");
        drop(store);
        gone.extend(drops.take());
        gone.sort_unstable();
        assert_eq!(gone, (1..=made).collect::<Vec<_>>(), "{name}");
    }
}

/// Where calls have more to do, fuel and epochs; and processors with the least.
fn others() -> impl Iterator<Item = (String, Engine)> {
    let mut metered = Config::new();
    metered.consume_fuel(true).epoch_interruption(true);
    let mut configs = vec![("metered".to_string(), metered)];
    for level in CpuLevel::named(Engine::default().target().arch()) {
        if CpuFeatures::detect().contains(level.features()) {
            let mut config = Config::new();
            config.cpu(*level);
            configs.push((level.to_string(), config));
        }
    }
    configs.into_iter().map(|(name, config)| (name, Engine::new(&config).unwrap()))
}

#[test]
fn class_13_a_local_across_a_call() {
    case(
        r#"(func (export "run") (local $a externref) (local $b externref)
            (local.set $a (call $new (i32.const 1)))
            (local.set $b (call $new (i32.const 2)))
            (call $gc)
            (call $is (local.get $a) (i32.const 1))
            (call $is (local.get $b) (i32.const 2))
            ;; 1 is gone when 3 is made.
            (local.set $a (call $new (i32.const 3)))
            (call $is (local.get $b) (i32.const 2))
            (call $is (local.get $a) (i32.const 3)))"#,
        3,
        &[],
    );
}

#[test]
fn class_13_operands_that_fit_no_registers() {
    let push: String = (1..=40).map(|i| format!("(call $new (i32.const {i}))")).collect();
    let pop: String = (1..=40).rev().map(|i| format!("(call $is (i32.const {i}))")).collect();
    case(&format!(r#"(func (export "run") {push} {pop})"#), 40, &[]);
}

#[test]
fn class_13_tables_and_globals() {
    case(
        r#"(table $t 10 20 externref)
        (global $g (export "g") (mut externref) (ref.null extern))
        (func (export "run")
            (table.set $t (i32.const 3) (call $new (i32.const 1)))
            (global.set $g (call $new (i32.const 2)))
            (call $gc)
            (call $is (table.get $t (i32.const 3)) (i32.const 1))
            (call $is (global.get $g) (i32.const 2))
            (drop (table.grow $t (call $new (i32.const 3)) (i32.const 5)))
            (call $gc)
            (call $is (table.get $t (i32.const 14)) (i32.const 3))
            (table.fill $t (i32.const 0) (call $new (i32.const 4)) (i32.const 3))
            (table.copy $t $t (i32.const 1) (i32.const 2) (i32.const 5))
            (call $is (table.get $t (i32.const 2)) (i32.const 1))
            ;; 4 is in two places now, of which one goes.
            (call $is (table.get $t (i32.const 1)) (i32.const 4))
            (table.set $t (i32.const 0) (ref.null extern))
            (table.set $t (i32.const 2) (ref.null extern))
            (table.set $t (i32.const 3) (call $new (i32.const 5)))
            (global.set $g (call $new (i32.const 6))))"#,
        6,
        // 1 was moved away and overwritten, 2 replaced, 3 is where the table grew.
        &[3, 4, 5, 6],
    );
}

#[test]
fn class_13_parameters_of_blocks_and_selections() {
    case(
        r#"(type $two (func (param externref) (result externref externref)))
        (func $pick (param $i i32) (param $a externref) (param $b externref) (result externref)
            (call $gc)
            (select (result externref) (local.get $a) (local.get $b) (local.get $i))
            (call $gc))
        (func $table (param $i i32) (param $a externref) (param $b externref) (result externref)
            (block $out (result externref)
                (block $first (result externref)
                    (block $second (result externref)
                        (local.get $a)
                        (br_table $first $second $out (local.get $i)))
                    (call $gc)
                    (drop)
                    (br $out (local.get $b)))
                (call $gc))
            (call $gc))
        (func (export "run") (local $a externref) (local $b externref)
            (local.set $a (call $new (i32.const 1)))
            (local.set $b (call $new (i32.const 2)))
            (call $is (call $pick (i32.const 1) (local.get $a) (local.get $b)) (i32.const 1))
            (call $is (call $pick (i32.const 0) (local.get $a) (local.get $b)) (i32.const 2))
            (call $is (call $table (i32.const 0) (local.get $a) (local.get $b)) (i32.const 1))
            (call $is (call $table (i32.const 1) (local.get $a) (local.get $b)) (i32.const 2))
            (call $is (call $table (i32.const 2) (local.get $a) (local.get $b)) (i32.const 1))
            ;; Parameters and results of `if`, both arms and none.
            (call $new (i32.const 3))
            (if (type $two) (i32.eqz (ref.is_null (local.get $a)))
                (then (call $gc) (local.get $b) (call $gc))
                (else (call $new (i32.const 99))))
            (call $gc)
            (call $is (i32.const 2))
            (call $is (i32.const 3))
            (call $new (i32.const 4))
            (block $null (param externref) (result externref)
                (call $gc) (br_if $null (i32.const 1)))
            (call $is (i32.const 4)))"#,
        4,
        &[],
    );
}

#[test]
fn class_13_a_variable_of_a_loop() {
    case(
        r#"(func (export "run") (local $i i32) (local $last externref) (local $first externref)
            (local.set $first (call $new (i32.const 1)))
            (local.set $last (local.get $first))
            (local.set $i (i32.const 1))
            (call $same (local.get $first))
            (loop $next (param externref)
                (call $is (local.get $i))
                (call $is (local.get $last) (local.get $i))
                (call $is (local.get $first) (i32.const 1))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (local.set $last (call $new (local.get $i)))
                (local.get $last)
                (br_if $next (i32.lt_u (local.get $i) (i32.const 50)))
                (drop))
            (call $is (local.get $first) (i32.const 1)))"#,
        50,
        &[],
    );
}

#[test]
fn class_13_arguments_and_results_of_all_kinds_of_calls() {
    case(
        r#"(type $swap (func (param externref externref) (result externref externref)))
        (table $t funcref (elem $swap $swap_tail $swap_host))
        (elem declare func $swap)
        (func $swap (type $swap) (call $gc) (local.get 1) (call $gc) (local.get 0) (call $gc))
        ;; More arguments than there are registers, moved around, in place of the caller.
        (func $many
            (param externref i64 externref f64 externref externref externref externref externref
                externref externref externref externref)
            (result externref externref)
            (call $gc) (local.get 12) (local.get 0) (call $gc))
        (func $swap_tail (type $swap)
            (return_call $many (local.get 0) (i64.const 1) (local.get 1) (f64.const 1)
                (local.get 1) (local.get 0) (local.get 1) (local.get 0) (local.get 1)
                (local.get 0) (local.get 1) (local.get 0) (local.get 1)))
        (func $swap_host (type $swap)
            (call $same (local.get 1)) (call $same (local.get 0)))
        (func $tail_host (param externref) (result externref) (return_call $same (local.get 0)))
        (func $by_table (param i32 externref externref) (result externref externref)
            (return_call_indirect $t (type $swap) (local.get 1) (local.get 2) (local.get 0)))
        (func $check (param externref externref)
            (call $is (local.get 0) (i32.const 2)) (call $is (local.get 1) (i32.const 1)))
        (func (export "run") (local $i i32) (local $a externref) (local $b externref)
            (local.set $a (call $new (i32.const 1)))
            (local.set $b (call $new (i32.const 2)))
            (call $check (call $swap (local.get $a) (local.get $b)))
            (call $check (call $swap_tail (local.get $a) (local.get $b)))
            (call $check (call_ref $swap (local.get $a) (local.get $b) (ref.func $swap)))
            (loop $next
                (call $check (call_indirect $t (type $swap)
                    (local.get $a) (local.get $b) (local.get $i)))
                (call $check (call $by_table (local.get $i) (local.get $a) (local.get $b)))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $next (i32.lt_u (local.get $i) (i32.const 3))))
            ;; The only reference to it is the argument.
            (call $is (call $tail_host (call $new (i32.const 3))) (i32.const 3))
            (call $check (call $swap (call $same (local.get $a)) (call $same (local.get $b)))))"#,
        3,
        &[],
    );
}

#[test]
fn class_13_frames_of_all_depths() {
    case(
        r#"(func $down (param $n i32) (param $mine externref) (result externref)
            (local $next externref)
            (if (i32.eqz (local.get $n)) (then (call $gc) (return (local.get $mine))))
            (local.set $next
                (call $down (i32.sub (local.get $n) (i32.const 1))
                    (call $new (i32.add (local.get $n) (i32.const 1)))))
            (call $is (local.get $mine) (i32.add (local.get $n) (i32.const 2)))
            (call $is (local.get $next) (i32.const 2))
            (local.get $next))
        (func (export "run")
            (call $is (call $down (i32.const 60) (call $new (i32.const 62))) (i32.const 2))
            (call $is (call $new (i32.const 1)) (i32.const 1)))"#,
        62,
        &[],
    );
}

/// What an activation further out holds stays, however often the host and wasm call each other,
/// and whichever of them collects.
#[test]
fn class_13_activations_around_the_host() {
    let text = format!(
        r#"(module {IMPORTS}
        (import "" "again" (func $again (param i32 externref) (result externref)))
        (func (export "down") (param $n i32) (param $mine externref) (result externref)
            (local $kept externref)
            (local.set $kept (call $new (i32.add (i32.mul (local.get $n) (i32.const 2)) (i32.const 1))))
            (local.set $mine (call $again (local.get $n) (local.get $mine)))
            (call $is (local.get $kept) (i32.add (i32.mul (local.get $n) (i32.const 2)) (i32.const 1)))
            (local.get $mine)))"#
    );
    for (name, engine) in engines() {
        let (mut store, mut linker) = host(&engine);
        let drops = store.data().clone();
        let again = |mut caller: Caller<'_, Drops>, n: i32, it: Reference| -> Result<Reference> {
            assert_eq!(number(&caller, it), 2 * n);
            if n == 1 {
                caller.gc(None)?;
                return Ok(it);
            }
            let value = caller.data().value(2 * n - 2);
            let own = ExternRef::new(&mut caller, value)?;
            let down = caller.get_export("down").and_then(Extern::into_func).unwrap();
            let down = down.typed::<(i32, Reference), Reference>(&caller)?;
            let found = down.call(&mut caller, (n - 1, Some(own)))?;
            // Both scopes are still there: what came back, and what was passed.
            caller.gc(None)?;
            assert_eq!(number(&caller, found), 2);
            assert_eq!(number(&caller, Some(own)), 2 * n - 2);
            assert_eq!(number(&caller, it), 2 * n);
            Ok(found)
        };
        linker.func_wrap("", "again", again).unwrap();
        let module = Module::new(&engine, &text).unwrap();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let down = instance.get_func(&mut store, "down").unwrap();
        let down = down.typed::<(i32, Reference), Reference>(&store).unwrap();
        {
            let mut scope = RootScope::new(&mut store);
            let first = ExternRef::new(&mut scope, drops.value(20)).unwrap();
            let found = down.call(&mut scope, (10, Some(first))).unwrap();
            scope.as_context_mut().gc(None).unwrap();
            assert_eq!(number(&scope, found), 2, "{name}");
            assert_eq!(number(&scope, Some(first)), 20, "{name}");
        }
        store.gc(None).unwrap();
        assert_eq!(drops.take().len(), 20, "{name}");
    }
}

/// Tables and globals of one instance, which only another one's code knows.
#[test]
fn class_13_what_other_instances_hold() {
    let exporter = r#"(module
        (table (export "table") 3 externref)
        (global (export "global") (mut externref) (ref.null extern)))"#;
    let importer = format!(
        r#"(module {IMPORTS}
        (import "" "table" (table $t 3 externref))
        (import "" "global" (global $g (mut externref)))
        (import "" "constant" (global $c externref))
        (table $own 2 externref (global.get $c))
        (elem $passive externref (global.get $c) (ref.null extern) (global.get $c))
        (global $copy externref (global.get $c))
        (func (export "put")
            (table.set $t (i32.const 1) (call $new (i32.const 1)))
            (global.set $g (call $new (i32.const 2))))
        (func (export "look")
            (call $is (table.get $t (i32.const 1)) (i32.const 1))
            (call $is (global.get $g) (i32.const 2))
            (call $is (global.get $c) (i32.const 3))
            (call $is (table.get $own (i32.const 1)) (i32.const 3))
            (table.init $own $passive (i32.const 0) (i32.const 1) (i32.const 2))
            (elem.drop $passive)
            (call $is (table.get $own (i32.const 0)) (i32.const -1))
            (call $is (table.get $own (i32.const 1)) (i32.const 3))
            (call $is (global.get $copy) (i32.const 3))))"#
    );
    for (name, engine) in engines() {
        let (mut store, mut linker) = host(&engine);
        let drops = store.data().clone();
        let exporting = instance(&mut store, exporter, &[]);
        linker.instance(&mut store, "", exporting).unwrap();
        {
            // The global is all that keeps it.
            let mut scope = RootScope::new(&mut store);
            let value = ExternRef::new(&mut scope, drops.value(3)).unwrap();
            let ty = GlobalType::new(ValType::EXTERNREF, Mutability::Const);
            let constant = Global::new(&mut scope, ty, value.into()).unwrap();
            linker.define(&scope, "", "constant", constant).unwrap();
        }
        let module = Module::new(&engine, &importer).unwrap();
        let importing = linker.instantiate(&mut store, &module).unwrap();
        for export in ["put", "look"] {
            let run = importing.get_typed_func::<(), ()>(&mut store, export).unwrap();
            run.call(&mut store, ()).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        }
        assert_eq!(drops.take(), [0; 0]);
        let table = exporting.get_table(&mut store, "table").unwrap();
        {
            let mut scope = RootScope::new(&mut store);
            let Some(Ref::Extern(found)) = table.get(&mut scope, 1) else { panic!("{name}") };
            assert_eq!(number(&scope, found), 1);
            table.set(&mut scope, 1, Ref::Extern(None)).unwrap();
            scope.as_context_mut().gc(None).unwrap();
            assert_eq!(number(&scope, found), 1);
        }
        store.gc(None).unwrap();
        assert_eq!(drops.take(), [1], "{name}");
        let global = exporting.get_global(&mut store, "global").unwrap();
        global.set(&mut store, Val::ExternRef(None)).unwrap();
        store.gc(None).unwrap();
        assert_eq!(drops.take(), [2], "{name}");
    }
}

/// After a trap, an error or a panic nothing of the frames that are gone is held; and what is
/// further out stays.
#[test]
fn class_13_frames_that_are_gone_hold_nothing() {
    let text = format!(
        r#"(module {IMPORTS}
        (import "" "ends" (func $ends (param i32 externref)))
        (func $inner (export "inner") (param i32) (local $a externref)
            (local.set $a (call $new (i32.const 1)))
            (call $ends (local.get 0) (local.get $a))
            (call $is (local.get $a) (i32.const 1))
            (unreachable))
        (func (export "outer") (param i32) (local $a externref)
            (local.set $a (call $new (i32.const 2)))
            (call $inner (local.get 0))
            (call $is (local.get $a) (i32.const 2))))"#
    );
    for (name, engine) in engines() {
        let (mut store, mut linker) = host(&engine);
        let drops = store.data().clone();
        let ends = |mut caller: Caller<'_, Drops>, how: i32, it: Reference| -> Result<()> {
            match how {
                0 => Ok(()),
                1 => Err(Error::msg("no")),
                2 => panic!("on purpose"),
                _ => {
                    // The inner activation ends in a trap; the outer one goes on.
                    let inner = caller.get_export("inner").and_then(Extern::into_func).unwrap();
                    let inner = inner.typed::<i32, ()>(&caller)?;
                    assert!(inner.call(&mut caller, 0).is_err());
                    caller.data().take();
                    caller.gc(None)?;
                    assert_eq!(caller.data().take(), [1], "what the inner one had is gone");
                    assert_eq!(number(&caller, it), 1);
                    Ok(())
                }
            }
        };
        linker.func_wrap("", "ends", ends).unwrap();
        let module = Module::new(&engine, &text).unwrap();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let outer = instance.get_typed_func::<i32, ()>(&mut store, "outer").unwrap();
        for how in 0..4 {
            let call = std::panic::AssertUnwindSafe(|| outer.call(&mut store, how));
            let result = std::panic::catch_unwind(call);
            assert_eq!(result.is_err(), how == 2, "{name}");
            assert!(result.is_err() || result.is_ok_and(|result| result.is_err()), "{name}");
            store.gc(None).unwrap();
            let dropped = drops.take();
            assert!(dropped.ends_with(&[1, 2]), "{name}, {how}: {dropped:?}");
        }
    }
}

/// A store whose callback at the deadline of an epoch collects.
#[test]
fn class_13_collections_between_operators() {
    let mut config = Config::new();
    config.epoch_interruption(true);
    for level in [OptLevel::None, OptLevel::Speed] {
        let engine = Engine::new(config.cranelift_opt_level(level)).unwrap();
        let (mut store, linker) = host(&engine);
        let drops = store.data().clone();
        let collect = |mut store: StoreContextMut<'_, Drops>| {
            store.gc(None)?;
            // The next place that looks asks again.
            Ok(UpdateDeadline::Continue(0))
        };
        store.epoch_deadline_callback(collect);
        let text = format!(
            r#"(module {IMPORTS} (func (export "run") (result externref)
            (local $i i32) (local $a externref) (local $b externref)
            (local.set $a (call $new (i32.const 1)))
            (local.set $b (call $new (i32.const 2)))
            (loop $next
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (local.get $a) (local.set $a (local.get $b)) (local.set $b)
                (br_if $next (i32.lt_u (local.get $i) (i32.const 100))))
            (call $is (local.get $a) (i32.const 1))
            (local.get $b)))"#
        );
        let module = Module::new(&engine, &text).unwrap();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let run = instance.get_typed_func::<(), Reference>(&mut store, "run").unwrap();
        let found = run.call(&mut store, ()).unwrap();
        assert_eq!(number(&store, found), 2);
        assert_eq!(drops.take(), [0; 0]);
    }
}

/// Code generation keeps a set of references for each block and call: too many are refused at
/// once, and what is well below that compiles.
#[test]
fn too_many_references_for_too_many_calls_are_refused() {
    let text = |operands: usize, calls: usize| {
        let push = "(table.get 0 (i32.const 0))".repeat(operands);
        let calls = "(if (local.get 0) (then (call $gc)))".repeat(calls);
        let drop = "(drop (call $same))".repeat(operands);
        format!("(module {IMPORTS} (table 1 externref) (func (param i32) {push} {calls} {drop}))")
    };
    let engine = Engine::default();
    Module::new(&engine, text(100, 100)).unwrap();
    let error = Module::new(&engine, text(5000, 5000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(format!("{error:#}").contains("too many references"), "{error:#}");
}
