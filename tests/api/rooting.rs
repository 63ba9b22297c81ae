//! Roots of the host: scopes, owned ones, what happens to those that are used too late; when
//! values are dropped, and limits.

use crate::child;
use crate::references::{Drops, IMPORTS, Reference, host, number};
use crate::support::{engine, instance};
use precompile::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

fn numbered(store: impl AsContextMut<Data = Drops>, number: i32) -> Rooted<ExternRef> {
    let value = store.as_context().data().value(number);
    ExternRef::new(store, value).unwrap()
}

fn store() -> (Store<Drops>, Drops) {
    let store = Store::new(&engine(), Drops::default());
    let drops = store.data().clone();
    (store, drops)
}

#[test]
fn scopes_end_in_the_order_of_the_stack() {
    let (mut store, drops) = store();
    let a = numbered(&mut store, 1);
    let (b, c, d);
    {
        let mut outer = RootScope::new(&mut store);
        b = numbered(&mut outer, 2);
        {
            let mut inner = RootScope::new(&mut outer);
            inner.reserve(10);
            c = numbered(&mut inner, 3);
            inner.as_context_mut().gc(None).unwrap();
            assert_eq!((number(&inner, Some(a)), number(&inner, Some(b))), (1, 2));
            assert_eq!(number(&inner, Some(c)), 3);
        }
        // In the place of `c`, which must not be taken for it.
        d = numbered(&mut outer, 4);
        assert!(c.data(&outer).is_err());
        outer.as_context_mut().gc(None).unwrap();
        assert_eq!(drops.take(), [3]);
        assert_eq!(number(&outer, Some(d)), 4);
    }
    store.gc(None).unwrap();
    assert_eq!(drops.take(), [2, 4]);
    assert_eq!(number(&store, Some(a)), 1);
    for stale in [b, c, d] {
        let error = stale.data(&store).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Host);
        assert!(error.to_string().contains("scope had ended"), "{error}");
    }
    drop(store);
    assert_eq!(drops.take(), [1]);
}

/// Wherever a reference can be passed.
#[test]
fn what_is_used_too_late_is_an_error_everywhere() {
    let (mut store, _) = store();
    let text = r#"(module
        (table (export "table") 2 externref)
        (global (export "global") (mut externref) (ref.null extern))
        (func (export "take") (param externref)))"#;
    let module = instance(&mut store, text, &[]);
    let stale = numbered(RootScope::new(&mut store), 1);
    // There is another root in its place, and another object in that one's.
    store.gc(None).unwrap();
    let other = numbered(&mut store, 2);
    let refused = |result: Result<()>| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Host, "{error:?}");
        assert!(error.to_string().contains("scope had ended"), "{error}");
    };
    refused(stale.data(&store).map(drop));
    refused(stale.data_mut(&mut store).map(drop));
    refused(stale.to_owned_rooted(&mut store).map(drop));
    refused(Rooted::ref_eq(&store, &stale, &other).map(drop));
    refused(Rooted::ref_eq(&store, &other, &stale).map(drop));
    let table = module.get_table(&mut store, "table").unwrap();
    refused(table.set(&mut store, 0, Ref::Extern(Some(stale))));
    refused(table.fill(&mut store, 0, Ref::Extern(Some(stale)), 0));
    refused(table.grow(&mut store, 1, Ref::Extern(Some(stale))).map(drop));
    let ty = TableType::new(RefType::EXTERNREF, 1, None);
    refused(Table::new(&mut store, ty, Ref::Extern(Some(stale))).map(drop));
    let global = module.get_global(&mut store, "global").unwrap();
    refused(global.set(&mut store, stale.into()));
    let ty = global.ty(&store);
    refused(Global::new(&mut store, ty, stale.into()).map(drop));
    let take = module.get_func(&mut store, "take").unwrap();
    refused(take.call(&mut store, &[stale.into()], &mut []));
    let typed = take.typed::<Reference, ()>(&store).unwrap();
    refused(typed.call(&mut store, Some(stale)));
    let give = Func::wrap(&mut store, move || Some(stale));
    refused(give.call(&mut store, &[], &mut [Val::ExternRef(None)]));
    let ty = FuncType::new(&engine(), [], [ValType::EXTERNREF]);
    let give = Func::new(&mut store, ty, move |_, _, results| {
        results[0] = stale.into();
        Ok(())
    });
    refused(give.call(&mut store, &[], &mut [Val::ExternRef(None)]));
    typed.call(&mut store, Some(other)).unwrap();
}

/// What a host function roots is no root when it has returned, by whoever it was called and
/// however it ends; what it returns is.
#[test]
fn calls_of_the_host_are_scopes() {
    let engine = engine();
    let (mut store, mut linker) = host(&engine);
    let drops = store.data().clone();
    let leak = |mut caller: Caller<'_, Drops>, it: Reference, how: i32| -> Result<Reference> {
        for i in 0..3 {
            numbered(&mut caller, 10 * how + i);
        }
        caller.gc(None)?;
        assert_eq!(caller.data().take(), [0; 0], "they are roots as long as it runs");
        match how {
            1 => Ok(it),
            2 => Err(Error::msg("no")),
            _ => panic!("on purpose"),
        }
    };
    linker.func_wrap("", "leak", leak).unwrap();
    let text = format!(
        r#"(module {IMPORTS}
        (import "" "leak" (func $leak (param externref i32) (result externref)))
        (export "leak" (func $leak))
        (func (export "run") (param externref i32) (result externref)
            (call $leak (local.get 0) (local.get 1))
            (call $gc)))"#
    );
    let module = Module::new(&engine, &text).unwrap();
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let kept = numbered(&mut store, 1);
    for export in ["run", "leak"] {
        let run = instance.get_func(&mut store, export).unwrap();
        let run = run.typed::<(Reference, i32), Reference>(&store).unwrap();
        for how in 1..4 {
            let call = AssertUnwindSafe(|| {
                let mut scope = RootScope::new(&mut store);
                let own = numbered(&mut scope, 100 + how);
                let found = run.call(&mut scope, (Some(own), how));
                found.map(|found| number(&scope, found))
            });
            match catch_unwind(call) {
                Ok(Ok(found)) => assert_eq!((how, found), (1, 101)),
                Ok(Err(_)) => assert_eq!(how, 2),
                Err(_) => assert_eq!(how, 3),
            }
            store.gc(None).unwrap();
            let three = 10 * how;
            assert_eq!(drops.take(), [three, three + 1, three + 2, 100 + how], "{export}");
        }
    }
    assert_eq!(number(&store, Some(kept)), 1);
}

#[test]
fn owned_roots_have_no_scope() {
    let (mut store, drops) = store();
    let owned: Vec<_> = (0..100)
        .map(|i| {
            let mut scope = RootScope::new(&mut store);
            numbered(&mut scope, i).to_owned_rooted(&mut scope).unwrap()
        })
        .collect();
    store.gc(None).unwrap();
    assert_eq!(drops.take(), [0; 0]);
    let value = owned[7].data(&store).unwrap().unwrap();
    assert!(value.is::<crate::references::Value>());
    {
        let mut scope = RootScope::new(&mut store);
        let again = owned[7].to_rooted(&mut scope);
        assert_eq!(number(&scope, Some(again)), 7);
        assert!(Rooted::ref_eq(&scope, &again, &owned[7]).unwrap());
        assert!(OwnedRooted::ref_eq(&scope, &owned[7].clone(), &owned[7]).unwrap());
        assert!(!Rooted::ref_eq(&scope, &owned[8], &owned[7]).unwrap());
        let other = owned[7].to_rooted(&mut scope);
        assert!(!Rooted::rooted_eq(again, other) && Rooted::rooted_eq(again, again));
        assert!(Rooted::ref_eq(&scope, &again, &other).unwrap());
    }
    // Copies count, and so do those on other threads.
    let (first, rest) = owned.split_at(50);
    let copies = first.to_vec();
    let rest = rest.to_vec();
    drop(owned);
    let thread = std::thread::spawn(move || drop(rest));
    thread.join().unwrap();
    store.gc(None).unwrap();
    assert_eq!(drops.take(), (50..100).collect::<Vec<_>>());
    drop(copies);
    store.gc(None).unwrap();
    assert_eq!(drops.take(), (0..50).collect::<Vec<_>>());
    // One may outlive the store, in which the value was.
    let last = numbered(&mut store, 1000).to_owned_rooted(&mut store).unwrap();
    drop(store);
    assert_eq!(drops.take(), [1000]);
    let (mut other, _) = self::store();
    assert_eq!(last.data(&other).unwrap_err().kind(), ErrorKind::Host);
    assert!(catch_unwind(AssertUnwindSafe(|| last.to_rooted(&mut other))).is_err());
}

#[test]
fn values_can_be_changed_where_they_are() {
    let (mut store, _) = store();
    let root = ExternRef::new(&mut store, vec![1]).unwrap();
    let owned = root.to_owned_rooted(&mut store).unwrap();
    let vector = |any: &mut (dyn std::any::Any + Send + Sync)| {
        any.downcast_mut::<Vec<i32>>().unwrap().push(2);
    };
    vector(root.data_mut(&mut store).unwrap().unwrap());
    vector(owned.data_mut(&mut store).unwrap().unwrap());
    let now = root.data(&store).unwrap().unwrap().downcast_ref::<Vec<i32>>();
    assert_eq!(now, Some(&vec![1, 2, 2]));
}

/// Without anybody asking for it, and with a bounded number of values around.
#[test]
fn collections_happen_by_themselves() {
    static LIVE: AtomicUsize = AtomicUsize::new(0);
    struct Live;
    impl Live {
        fn new() -> Live {
            LIVE.fetch_add(1, Ordering::Relaxed);
            Live
        }
    }
    impl Drop for Live {
        fn drop(&mut self) {
            LIVE.fetch_sub(1, Ordering::Relaxed);
        }
    }
    let mut store = Store::new(&engine(), ());
    let mut most = 0;
    for _ in 0..200_000 {
        ExternRef::new(RootScope::new(&mut store), Live::new()).unwrap();
        most = most.max(LIVE.load(Ordering::Relaxed));
    }
    assert!(most < 10_000, "{most}");
    // What is live counts: with many there, it takes as many to collect again.
    for _ in 0..100_000 {
        ExternRef::new(&mut store, Live::new()).unwrap();
    }
    let before = LIVE.load(Ordering::Relaxed);
    assert!(before >= 100_000);
    for _ in 0..1_000_000 {
        ExternRef::new(RootScope::new(&mut store), Live::new()).unwrap();
        most = most.max(LIVE.load(Ordering::Relaxed));
    }
    assert!(most < 500_000, "{most}");
    drop(store);
    assert_eq!(LIVE.load(Ordering::Relaxed), 0);
}

/// A value whose `Drop` panics: what asked for the collection panics, the heap is whole, and each
/// value is dropped once all the same.
#[test]
fn drops_that_panic_leave_the_heap_whole() {
    struct Panics(i32, Drops);
    impl Drop for Panics {
        fn drop(&mut self) {
            let _counted = self.1.value(self.0);
            assert!(self.0 % 3 != 0, "on purpose");
        }
    }
    let engine = engine();
    let (mut store, mut linker) = host(&engine);
    let drops = store.data().clone();
    {
        let mut scope = RootScope::new(&mut store);
        for i in 1..=9 {
            ExternRef::new(&mut scope, Panics(i, drops.clone())).unwrap();
        }
    }
    let kept = numbered(&mut store, 100);
    // One in wasm's middle: it goes on in the caller like any panic of a host function.
    linker.func_wrap("", "collects", |mut caller: Caller<'_, Drops>| caller.gc(None)).unwrap();
    let text = r#"(module (import "" "collects" (func $collects))
        (func (export "run") (call $collects)))"#;
    let module = Module::new(&engine, text).unwrap();
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| run.call(&mut store, ()))).is_err());
    let mut panics = 1;
    while catch_unwind(AssertUnwindSafe(|| store.gc(None))).is_err() {
        panics += 1;
        // In between, all works.
        let mut scope = RootScope::new(&mut store);
        let new = numbered(&mut scope, 200 + panics);
        assert_eq!(number(&scope, Some(new)), 200 + panics);
        assert_eq!(number(&scope, Some(kept)), 100);
    }
    assert_eq!(panics, 3);
    assert_eq!(drops.take(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 202, 203]);
    assert_eq!(number(&store, Some(kept)), 100);
}

#[test]
fn a_limit_of_objects() {
    let limits = StoreLimitsBuilder::new().heap_objects(5).build();
    let mut store = Store::new(&engine(), limits);
    store.limiter(|limits| limits);
    let kept: Vec<_> = (0..5).map(|i| ExternRef::new(&mut store, i).unwrap()).collect();
    let error = ExternRef::new(&mut store, String::from("sixth")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    let full = error.downcast::<GcHeapOutOfMemory<String>>().unwrap();
    assert!(full.to_string().contains("no room"), "{full}");
    assert_eq!(full.into_inner(), "sixth");
    for (i, root) in kept.iter().enumerate() {
        let value = root.data(&store).unwrap().unwrap();
        assert_eq!(value.downcast_ref::<i32>(), Some(&(i as i32)));
    }
    // What can be collected makes room by itself.
    let mut store = Store::new(&engine(), StoreLimitsBuilder::new().heap_objects(5).build());
    store.limiter(|limits| limits);
    for i in 0..100 {
        ExternRef::new(RootScope::new(&mut store), i).unwrap();
    }
}

/// A large heap that is full of what is in use: whoever puts in one for one that is let go of does
/// not collect everything each time, for long.
#[test]
fn a_full_heap_is_not_collected_again_and_again() {
    let (objects, rounds) = (40_000, 3_000);
    let mut store = Store::new(&engine(), (Drops::default(), StoreLimits::default()));
    let drops = store.data().0.clone();
    store.limiter(|data| &mut data.1);
    store.data_mut().1 = StoreLimitsBuilder::new().heap_objects(objects).build();
    let put = |store: &mut Store<(Drops, StoreLimits)>| {
        let mut scope = RootScope::new(store);
        let value = scope.as_context().data().0.value(0);
        ExternRef::new(&mut scope, value)?.to_owned_rooted(&mut scope)
    };
    let mut kept = Vec::new();
    for _ in 0..objects {
        kept.push(put(&mut store).unwrap());
    }
    let (mut collections, mut refused, mut first) = (0_usize, 0, None);
    for round in 0..rounds {
        kept.pop();
        match put(&mut store) {
            Ok(root) => kept.push(root),
            Err(error) => {
                assert!(error.to_string().contains("call `Store::gc`"), "{error:#}");
                collections += usize::from(!drops.take().is_empty());
                // The value comes back with the error.
                drop(error);
                assert_eq!(drops.take(), [0]);
                refused += 1;
                first = first.or(Some(round));
                continue;
            }
        }
        collections += usize::from(!drops.take().is_empty());
    }
    assert!((17..50).contains(&collections), "{collections} collections, {refused} refused");
    assert!(refused < rounds / 2, "{collections} collections, {refused} refused");
    assert!(first >= Some(16), "{first:?}");
    // Who asks for a collection gets it, and what it made room for.
    kept.truncate(objects - rounds);
    store.gc(None).unwrap();
    while kept.len() < objects {
        kept.push(put(&mut store).unwrap());
    }
    assert!(put(&mut store).is_err());
}

/// The same in a module: it ends by it, and once it has let go of what it kept, there is room.
#[test]
fn a_module_that_fills_the_heap_ends_and_may_run_again() {
    let engine = engine();
    let mut store = Store::new(&engine, StoreLimits::default());
    store.limiter(|limits| limits);
    *store.data_mut() = StoreLimitsBuilder::new().heap_objects(40_000).build();
    let wat = r#"(module
        (tag $e)
        (table $kept 40000 exnref)
        (func $new (result exnref)
            (block $caught (result exnref)
                (try_table (catch_all_ref $caught) (throw $e))
                unreachable))
        (func (export "keep") (param $i i32)
            (loop $next
                (local.set $i (i32.sub (local.get $i) (i32.const 1)))
                (table.set $kept (local.get $i) (call $new))
                (br_if $next (local.get $i))))
        (func (export "drop") (param $i i32)
            (loop $next
                (drop (call $new))
                (br_if $next (local.tee $i (i32.sub (local.get $i) (i32.const 1))))))
        (func (export "clear") (param i32)
            (table.fill $kept (i32.const 0) (ref.null exn) (local.get 0))))"#;
    let instance = instance(&mut store, wat, &[]);
    let mut run = |name, count: i32| {
        let func = instance.get_typed_func::<i32, ()>(&mut store, name).unwrap();
        func.call(&mut store, count).map_err(|error| error.root_cause().to_string())
    };
    assert_eq!(run("keep", 39_999), Ok(()));
    // One place is left: each exception waits for a collection, which finds the one before.
    assert_eq!(run("drop", 10), Ok(()));
    for _ in 0..3 {
        let error = run("drop", 1_000).unwrap_err();
        assert!(error.contains("no room for another object"), "{error}");
    }
    assert_eq!(run("clear", 39_999), Ok(()));
    assert_eq!(run("drop", 100_000), Ok(()));
}

/// A value to wasm, to the host, and back: resident memory after each tenth of `rounds`.
fn round_trips(rounds: u32) -> Vec<u64> {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Counted(u32);
    impl Drop for Counted {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
    let mut store = Store::new(&engine(), ());
    let same = Func::wrap(&mut store, |it: Reference| it);
    let text = r#"(module (import "" "same" (func $same (param externref) (result externref)))
        (func (export "run") (param externref) (result externref) (local externref)
            (local.set 1 (call $same (local.get 0)))
            (drop (call $same (local.get 0)))
            (local.get 1)))"#;
    let instance = instance(&mut store, text, &[same.into()]);
    let run = instance.get_typed_func::<Reference, Reference>(&mut store, "run").unwrap();
    let mut resident = Vec::new();
    for round in 0..rounds {
        let mut scope = RootScope::new(&mut store);
        let value = ExternRef::new(&mut scope, Counted(round)).unwrap();
        let found = run.call(&mut scope, Some(value)).unwrap().unwrap();
        let found = found.data(&scope).unwrap().unwrap();
        assert_eq!(found.downcast_ref::<Counted>().unwrap().0, round);
        if (round + 1) % (rounds / 10) == 0 {
            resident.push(crate::stack::resident());
        }
    }
    store.gc(None).unwrap();
    assert_eq!(DROPPED.load(Ordering::Relaxed), rounds as usize);
    resident
}

/// Ten million, with their times: `cargo run --profile fair -p bench -- roots`.
#[test]
fn a_million_round_trips_leave_nothing() {
    if !child::is_child() {
        return child::passed(&child::run("rooting::a_million_round_trips_leave_nothing"));
    }
    let resident = round_trips(1_000_000);
    let (first, last) = (resident[0], resident[9]);
    assert!(last < first + 1024, "{first} KiB grew to {last} KiB");
}
