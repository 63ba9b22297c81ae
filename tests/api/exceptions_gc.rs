//! Exceptions and collections of the store's heap: what an exception keeps alive, and where wasm
//! has one, or what it carries, across a throw.

use crate::support::{engines, instance};
use precompile::*;
use std::sync::Arc;

/// Values that drop counters hang on: each is one more holder of this.
type Counter = Arc<()>;

const MODULE: &str = r#"(module
    (import "" "gc" (func $gc))
    (tag $e (export "e") (param externref i32))
    (global $last (mut exnref) (ref.null exn))
    (func $throw (export "throw") (param externref) (throw $e (local.get 0) (i32.const 1)))
    ;; The value is in nothing but the exception meanwhile, and that in nothing but a local.
    (func (export "in_exception") (param externref) (result externref) (local $x exnref)
        (block $caught (result externref i32 exnref)
            (try_table (catch_ref $e $caught) (call $throw (local.get 0))) (unreachable))
        (local.set $x) (drop) (drop)
        (local.set 0 (ref.null extern))
        (call $gc)
        (block $again (result externref i32)
            (try_table (catch $e $again) (throw_ref (local.get $x))) (unreachable))
        (drop))
    ;; Locals and operands that are live across a call which collects and throws.
    (func $collect_and_throw (param externref) (call $gc) (throw $e (local.get 0) (i32.const 2)))
    (func (export "across") (param externref externref) (result externref externref externref)
        (local.get 1)
        (block $caught (result externref i32)
            (try_table (catch $e $caught) (call $collect_and_throw (local.get 0))) (unreachable))
        (drop)
        (local.get 1))
    ;; What was caught, while the handler collects: and its exception in a global.
    (func (export "in_handler") (param externref) (result externref)
        (block $caught (result externref i32 exnref)
            (try_table (catch_ref $e $caught) (call $throw (local.get 0))) (unreachable))
        (global.set $last) (drop)
        (local.set 0 (ref.null extern))
        (call $gc))
    (func (export "forget") (global.set $last (ref.null exn)))
    ;; An exception in an exception, and so on.
    (tag $chain (param exnref))
    (func (export "chain") (param externref i32) (result exnref)
        (block $caught (result externref i32 exnref)
            (try_table (catch_ref $e $caught) (call $throw (local.get 0))) (unreachable))
        (global.set $last) (drop) (drop)
        (loop $more
            (block $caught (result exnref exnref)
                (try_table (catch_ref $chain $caught) (throw $chain (global.get $last)))
                (unreachable))
            (global.set $last) (drop)
            (br_if $more (local.tee 1 (i32.sub (local.get 1) (i32.const 1)))))
        (global.get $last)
        (global.set $last (ref.null exn)))
    (func (export "many") (param i32)
        (loop $more
            (block $caught (result externref i32)
                (try_table (catch $e $caught) (call $throw (ref.null extern))) (unreachable))
            (drop) (drop)
            (br_if $more (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#;

struct Env {
    store: Store<StoreLimits>,
    instance: Instance,
    counter: Counter,
}

impl Env {
    fn new(engine: &Engine) -> Env {
        let mut store = Store::new(engine, StoreLimits::default());
        let gc = |mut caller: Caller<'_, StoreLimits>| caller.gc(None);
        let gc = Func::wrap(&mut store, gc);
        let instance = instance(&mut store, MODULE, &[gc.into()]);
        Env { store, instance, counter: Counter::default() }
    }

    /// Calls a function with a value that hangs on the counter, and then others that do not; how
    /// many of the results hang on it.
    fn run(&mut self, export: &str, others: &[Val]) -> usize {
        let func = self.instance.get_func(&mut self.store, export).unwrap();
        let mut scope = RootScope::new(&mut self.store);
        let value = ExternRef::new(&mut scope, self.counter.clone()).unwrap();
        let mut params = vec![Val::from(value)];
        params.extend(others);
        let mut results = vec![Val::I32(0); func.ty(&scope).results().len()];
        func.call(&mut scope, &params, &mut results).unwrap();
        let values = results.iter().filter_map(|result| result.extern_ref().flatten());
        let data = values.map(|value| value.data(&scope).unwrap().unwrap());
        data.filter(|data| data.downcast_ref() == Some(&self.counter)).count()
    }

    /// How many values hang on the counter that were not dropped, after a collection.
    fn alive(&mut self) -> usize {
        self.store.gc(None).unwrap();
        Arc::strong_count(&self.counter) - 1
    }
}

#[test]
fn class_13_what_an_exception_carries_is_kept() {
    for (name, engine) in engines() {
        let mut env = Env::new(&engine);
        assert_eq!(env.run("in_exception", &[]), 1, "{name}");
        assert_eq!(env.alive(), 0, "{name}");
        assert_eq!(env.run("in_handler", &[]), 1, "{name}");
        assert_eq!(env.alive(), 1, "{name}: by a global");
        let forget = env.instance.get_typed_func::<(), ()>(&mut env.store, "forget").unwrap();
        forget.call(&mut env.store, ()).unwrap();
        assert_eq!(env.alive(), 0, "{name}");
    }
}

#[test]
fn class_13_references_live_across_a_throw() {
    for (name, engine) in engines() {
        let mut env = Env::new(&engine);
        let other = {
            let mut scope = RootScope::new(&mut env.store);
            let other = ExternRef::new(&mut scope, env.counter.clone()).unwrap();
            other.to_owned_rooted(&mut scope).unwrap()
        };
        let rooted = other.to_rooted(&mut env.store);
        assert_eq!(env.run("across", &[rooted.into()]), 3, "{name}");
        assert_eq!(env.alive(), 1, "{name}");
    }
}

#[test]
fn what_is_pending_is_kept() {
    for (name, engine) in engines() {
        let mut env = Env::new(&engine);
        let throw = env.instance.get_func(&mut env.store, "throw").unwrap();
        {
            let mut scope = RootScope::new(&mut env.store);
            let value = ExternRef::new(&mut scope, env.counter.clone()).unwrap();
            throw.call(&mut scope, &[value.into()], &mut []).unwrap_err();
        }
        assert_eq!(env.alive(), 1, "{name}");
        let kept = {
            let mut scope = RootScope::new(&mut env.store);
            let mut scope = scope.as_context_mut();
            let exception = scope.take_pending_exception().unwrap();
            exception.to_owned_rooted(&mut scope).unwrap()
        };
        assert_eq!(env.alive(), 1, "{name}");
        assert_eq!(kept.field(&mut env.store, 1).unwrap().i32(), Some(1));
        drop(kept);
        assert_eq!(env.alive(), 0, "{name}");
    }
}

#[test]
fn exceptions_in_exceptions() {
    for (name, engine) in engines() {
        let mut env = Env::new(&engine);
        let chain = env.instance.get_func(&mut env.store, "chain").unwrap();
        let mut scope = RootScope::new(&mut env.store);
        let value = ExternRef::new(&mut scope, env.counter.clone()).unwrap();
        let mut results = [Val::I32(0)];
        // Deeper than a stack of ours would go.
        chain.call(&mut scope, &[value.into(), Val::I32(300_000)], &mut results).unwrap();
        let outermost = results[0].unwrap_exn_ref().unwrap().to_owned_rooted(&mut scope).unwrap();
        drop(scope);
        assert_eq!(env.alive(), 1, "{name}");
        drop(outermost);
        assert_eq!(env.alive(), 0, "{name}");
    }
}

/// Whatever was thrown and caught takes no room any more.
#[test]
fn a_million_exceptions_fit_a_small_heap() {
    for (name, engine) in engines() {
        let mut env = Env::new(&engine);
        *env.store.data_mut() = StoreLimitsBuilder::new().heap_objects(1_000).build();
        env.store.limiter(|limits| limits);
        let many = env.instance.get_typed_func::<i32, ()>(&mut env.store, "many").unwrap();
        many.call(&mut env.store, 250_000).unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
}

/// Exceptions are counted by their bytes as well: by what they carry, kept or not.
#[test]
fn large_exceptions_fill_a_heap() {
    let text = format!(
        r#"(module
        (tag $e (param {types}))
        (table $kept 10000 exnref)
        (func $throw {values} (throw $e))
        (func $catch (result exnref)
            (block $caught (result exnref)
                (try_table (catch_all_ref $caught) (call $throw)) (unreachable)))
        (func (export "drop") (param i32)
            (loop $next
                (drop (call $catch))
                (br_if $next (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
        (func (export "keep") (param i32)
            (loop $next
                (table.set $kept (local.get 0) (call $catch))
                (br_if $next (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#,
        types = "i64 ".repeat(500),
        values = "(i64.const 7)".repeat(500),
    );
    for (name, engine) in engines() {
        let limits = StoreLimitsBuilder::new().heap_size(1 << 20).build();
        let mut store = Store::new(&engine, limits);
        store.limiter(|limits| limits);
        let instance = instance(&mut store, &text, &[]);
        let drop = instance.get_typed_func::<i32, ()>(&mut store, "drop").unwrap();
        let keep = instance.get_typed_func::<i32, ()>(&mut store, "keep").unwrap();
        // 8 KB each.
        drop.call(&mut store, 3_000).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        keep.call(&mut store, 100).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let error = keep.call(&mut store, 200).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit, "{name}: {error:?}");
        assert!(error.is::<GcHeapOutOfMemory<()>>(), "{name}: {error:?}");
        *store.data_mut() = StoreLimitsBuilder::new().heap_size(4 << 20).build();
        keep.call(&mut store, 200).unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
}
