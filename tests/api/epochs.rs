//! Epochs: whatever runs stops at the deadline, or asks.

use crate::endless::{self, Endless};
use crate::support::{instance, module, trapped};
use precompile::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

fn engines() -> impl Iterator<Item = (String, Engine)> {
    let levels = [OptLevel::None, OptLevel::Speed];
    levels.into_iter().flat_map(|level| {
        [false, true].map(|fuel| {
            let mut config = Config::new();
            config.epoch_interruption(true).consume_fuel(fuel).cranelift_opt_level(level);
            (format!("{level:?}, fuel {fuel}"), Engine::new(&config).unwrap())
        })
    })
}

fn engine() -> Engine {
    engines().nth(2).unwrap().1
}

fn store<T: 'static>(engine: &Engine, data: T) -> Store<T> {
    let mut store = Store::new(engine, data);
    // Where there is fuel, there is enough.
    let _ = store.set_fuel(u64::MAX);
    store
}

/// Increments the epoch again and again while `body` runs.
fn ticking<R>(engine: &Engine, body: impl FnOnce() -> R) -> R {
    thread::scope(|scope| {
        // Gone when `body` ends, however it ends: the ticking ends then.
        let (alive, over) = mpsc::channel::<()>();
        scope.spawn(move || {
            while over.try_recv() == Err(TryRecvError::Empty) {
                thread::sleep(Duration::from_millis(1));
                engine.increment_epoch();
            }
        });
        let result = body();
        drop(alive);
        result
    })
}

#[test]
fn class_14_a_watchdog_stops_everything() {
    for (name, engine) in engines() {
        let endless = Endless::new(&engine);
        for (export, recursive) in endless::exports() {
            let mut store = store(&engine, ());
            let run = endless.function(&mut store, export);
            ticking(&engine, || {
                store.set_epoch_deadline(2);
                let start = Instant::now();
                let trap = trapped(run.call(&mut store, ()));
                let ended = trap == Trap::Interrupt || (*recursive && trap == Trap::StackOverflow);
                assert!(ended, "{export}: {trap:?}: {name}");
                assert!(start.elapsed() < Duration::from_secs(20), "{export}: {name}");
            });
            // A deadline that has passed stops it at the first function or loop.
            store.set_epoch_deadline(0);
            assert_eq!(trapped(run.call(&mut store, ())), Trap::Interrupt, "{export}: {name}");
        }
    }
}

const COUNT: &str = r#"(module
    (func (export "empty"))
    (func (export "count") (param i32) (result i32) (local i32 i64 f64 v128)
        (local.set 2 (i64.const 7)) (local.set 3 (f64.const 0.5))
        (local.set 4 (v128.const i64x2 3 4))
        (loop
            (local.set 1 (i32.add (local.get 1) (i32.const 1)))
            (local.set 2 (i64.add (local.get 2) (i64.const 1)))
            (local.set 3 (f64.add (local.get 3) (f64.const 1)))
            (local.set 4 (i64x2.add (local.get 4) (v128.const i64x2 1 1)))
            (br_if 0 (i32.ne (local.get 1) (local.get 0))))
        (i32.add (local.get 1)
            (i32.add
                (i32.wrap_i64 (i64.sub (i64.extend_i32_u (local.get 0)) (local.get 2)))
                (i32.add
                    (i32.sub (i32.trunc_f64_s (local.get 3)) (local.get 0))
                    (i32.sub (i32.wrap_i64 (i64x2.extract_lane 1 (local.get 4)))
                        (local.get 0)))))))"#;

fn count<T: 'static>(store: &mut Store<T>) -> TypedFunc<i32, i32> {
    instance(store, COUNT, &[]).get_typed_func(store, "count").unwrap()
}

/// What `count` gives for a number: all of its locals have survived.
fn expected(n: i32) -> i32 {
    n - 7 + 4
}

#[test]
fn a_store_starts_at_its_deadline() {
    let engine = engine();
    let mut store = store(&engine, 0);
    let count = count(&mut store);
    assert_eq!(trapped(count.call(&mut store, 1)), Trap::Interrupt);
    store.set_epoch_deadline(1);
    assert_eq!(count.call(&mut store, 9).unwrap(), expected(9));
    engine.increment_epoch();
    let error = count.call(&mut store, 1).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::Interrupt));
    assert_eq!(error.downcast_ref::<WasmBacktrace>().unwrap().frames().len(), 1);
    // No overflow, and no end.
    store.set_epoch_deadline(u64::MAX);
    assert_eq!(count.call(&mut store, 9).unwrap(), expected(9));
}

#[test]
fn engines_without_the_setting_do_not_look() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, 0);
    let count = count(&mut store);
    engine.increment_epoch();
    assert_eq!(count.call(&mut store, 9).unwrap(), expected(9));
}

#[test]
fn a_callback_lets_it_go_on_with_all_it_had() {
    for (name, engine) in engines() {
        let mut store = store(&engine, 0);
        let count = count(&mut store);
        store.epoch_deadline_callback(|mut store| {
            *store.data_mut() += 1;
            Ok(UpdateDeadline::Continue(1))
        });
        // At every function and loop: the deadline is always there.
        store.epoch_deadline_callback(|mut store| {
            *store.data_mut() += 1;
            Ok(UpdateDeadline::Continue(0))
        });
        assert_eq!(count.call(&mut store, 1000).unwrap(), expected(1000), "{name}");
        assert_eq!(*store.data(), 1001, "{name}");

        let n = 50_000_000;
        store.epoch_deadline_callback(|mut store| {
            *store.data_mut() += 1;
            Ok(UpdateDeadline::Continue(1))
        });
        ticking(&engine, || assert_eq!(count.call(&mut store, n).unwrap(), expected(n), "{name}"));
        assert!(*store.data() > 1002, "{name}");
        store.epoch_deadline_trap();
        store.set_epoch_deadline(0);
        assert_eq!(trapped(count.call(&mut store, 1)), Trap::Interrupt);
    }
}

#[test]
fn a_callback_stops_it_in_many_ways() {
    let engine = engine();
    let mut store = store(&engine, 0);
    let count = count(&mut store);
    store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Interrupt));
    assert_eq!(trapped(count.call(&mut store, 1)), Trap::Interrupt);
    store.epoch_deadline_callback(|_| Err(Error::msg("enough")));
    let error = count.call(&mut store, 1).unwrap_err();
    assert_eq!(error.root_cause(), "enough");
    store.epoch_deadline_callback(|_| panic!("the callback panics"));
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        drop(count.call(&mut store, 1));
    }));
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"the callback panics"));
    store.set_epoch_deadline(1);
    assert_eq!(count.call(&mut store, 3).unwrap(), expected(3));
}

/// It is asked again after a panic, and whatever it roots is let go of, however it ends.
#[test]
fn what_a_callback_roots_ends_with_it() {
    for (name, engine) in engines() {
        let value = Arc::new(());
        let mut store = store(&engine, None);
        let count = count(&mut store);
        let (rooted, mut calls) = (value.clone(), 0);
        store.epoch_deadline_callback(move |mut store| {
            let root = ExternRef::new(&mut store, rooted.clone())?;
            *store.data_mut() = Some(root);
            calls += 1;
            match calls {
                1 => panic!("the callback panics"),
                2 => Err(Error::msg("enough")),
                3 => Ok(UpdateDeadline::Interrupt),
                _ => Ok(UpdateDeadline::Continue(1)),
            }
        });
        for call in 1..=4 {
            let called = catch_unwind(AssertUnwindSafe(|| count.call(&mut store, 3)));
            match (call, called) {
                (1, Err(payload)) => {
                    assert_eq!(payload.downcast_ref(), Some(&"the callback panics"), "{name}");
                }
                (2, Ok(error)) => assert_eq!(error.unwrap_err().root_cause(), "enough", "{name}"),
                (3, Ok(trap)) => assert_eq!(trapped(trap), Trap::Interrupt, "{name}"),
                (4, Ok(counted)) => assert_eq!(counted.unwrap(), expected(3), "{name}"),
                (_, called) => panic!("call {call}: {called:?}: {name}"),
            }
            let stale: Rooted<ExternRef> = store.data_mut().take().expect("it was asked");
            assert!(stale.data(&store).is_err(), "call {call}: {name}");
            store.gc(None).unwrap();
            // Here and in the callback.
            assert_eq!(Arc::strong_count(&value), 2, "call {call}: {name}");
        }
    }
}

#[test]
fn a_callback_may_enter_wasm_and_change_everything() {
    for (name, engine) in engines() {
        let mut store = store(&engine, 0);
        let count = count(&mut store);
        let calls = Arc::new(AtomicU32::new(0));
        let seen = calls.clone();
        store.epoch_deadline_callback(move |mut store| {
            if seen.fetch_add(1, Ordering::Relaxed) == 0 {
                // Inside of it the default holds.
                assert_eq!(trapped(count.call(&mut store, 5)), Trap::Interrupt);
            }
            store.set_epoch_deadline(1);
            assert_eq!(count.call(&mut store, 5)?, expected(5));
            let _ = store.set_fuel(1_000_000);
            Ok(UpdateDeadline::Continue(0))
        });
        assert_eq!(count.call(&mut store, 100).unwrap(), expected(100), "{name}");
        assert_eq!(calls.load(Ordering::Relaxed), 101, "{name}");
        if let Ok(fuel) = store.get_fuel() {
            assert!((999_900..1_000_000).contains(&fuel), "{fuel}: {name}");
        }
    }
}

#[test]
fn a_host_function_moves_the_deadline() {
    let engine = engine();
    let mut store = store(&engine, ());
    let text = r#"(module (import "" "host" (func $host)) (func (export "run")
        (call $host) (loop (br 0))))"#;
    let host = Func::wrap(&mut store, |mut caller: Caller<'_, ()>| {
        caller.as_context_mut().set_epoch_deadline(0);
    });
    let instance = instance(&mut store, text, &[host.into()]);
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    store.set_epoch_deadline(1_000_000);
    assert_eq!(trapped(run.call(&mut store, ())), Trap::Interrupt);
}

#[test]
fn a_start_function_stops_too() {
    let engine = engine();
    let module = module(&engine, "(module (func $f (loop (br 0))) (start $f))");
    let mut store = store(&engine, ());
    store.set_epoch_deadline(3);
    let result = ticking(&engine, || Instance::new(&mut store, &module, &[]));
    assert_eq!(trapped(result), Trap::Interrupt);
}

#[test]
fn a_callback_that_puts_itself_away_is_not_asked_again() {
    let engine = engine();
    let mut store = store(&engine, 0);
    let instance = instance(&mut store, r#"(module (func (export "spin") (loop (br 0))))"#, &[]);
    let spin = instance.get_typed_func::<(), ()>(&mut store, "spin").unwrap();
    store.epoch_deadline_callback(|mut store| {
        *store.data_mut() += 1;
        store.epoch_deadline_trap();
        Ok(UpdateDeadline::Continue(0))
    });
    store.set_epoch_deadline(0);
    assert_eq!(trapped(spin.call(&mut store, ())), Trap::Interrupt);
    assert_eq!(*store.data(), 1);
    // One that leaves things as they are is.
    store.epoch_deadline_callback(|mut store| {
        *store.data_mut() += 1;
        Ok(match *store.data() {
            2 => UpdateDeadline::Continue(0),
            _ => UpdateDeadline::Interrupt,
        })
    });
    assert_eq!(trapped(spin.call(&mut store, ())), Trap::Interrupt);
    assert_eq!(*store.data(), 3);
}
