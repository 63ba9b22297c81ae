//! Memories that threads share, from wasm on real threads and from the host.

use crate::atomics::engines;
use crate::raw::{bytes, word};
use crate::support::{instance, module, trapped};
use precompile::*;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{self, TryRecvError};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

/// An emulator takes its time.
const SLOWER: u32 = if cfg!(target_arch = "aarch64") { 50 } else { 1 };

fn config() -> Config {
    let mut config = Config::new();
    config.wasm_threads(true);
    config
}

fn engine() -> Engine {
    Engine::new(&config()).unwrap()
}

fn memory(engine: &Engine, min: u32, max: u32) -> SharedMemory {
    SharedMemory::new(engine, MemoryType::shared(min, max)).unwrap()
}

/// An instance of `module`, which imports nothing but `memory`, in a store of its own.
fn user(module: &Module, memory: &SharedMemory) -> (Store<()>, Instance) {
    let mut store = Store::new(module.engine(), ());
    let instance = Instance::new(&mut store, module, &[memory.clone().into()]).unwrap();
    (store, instance)
}

fn call<P: WasmParams, R: WasmResults>(
    (store, instance): &mut (Store<()>, Instance),
    name: &str,
    params: P,
) -> Result<R> {
    instance.get_typed_func::<P, R>(&mut *store, name)?.call(&mut *store, params)
}

/// A lock as in the proposal: 0 is free, 1 taken, 2 taken with somebody waiting.
const MUTEX: &str = r#"(module
    (import "" "" (memory 1 4 shared))
    (func $lock (local $state i32)
        (local.set $state (i32.atomic.rmw.cmpxchg (i32.const 0) (i32.const 0) (i32.const 1)))
        (if (local.get $state) (then
            (if (i32.ne (local.get $state) (i32.const 2)) (then
                (local.set $state (i32.atomic.rmw.xchg (i32.const 0) (i32.const 2)))))
            (block $taken (loop $again
                (br_if $taken (i32.eqz (local.get $state)))
                (drop (memory.atomic.wait32 (i32.const 0) (i32.const 2) (i64.const -1)))
                (local.set $state (i32.atomic.rmw.xchg (i32.const 0) (i32.const 2)))
                (br $again))))))
    (func $unlock
        (if (i32.ne (i32.atomic.rmw.sub (i32.const 0) (i32.const 1)) (i32.const 1)) (then
            (i32.atomic.store (i32.const 0) (i32.const 0))
            (drop (memory.atomic.notify (i32.const 0) (i32.const 1))))))
    (func (export "run") (param $rounds i32)
        (loop $next
            (call $lock)
            ;; Two plain counters that only the lock keeps equal.
            (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 1)))
            (i64.store (i32.const 65000) (i64.add (i64.load (i32.const 65000)) (i64.const 1)))
            (call $unlock)
            (br_if $next (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))))"#;

#[test]
fn a_lock_keeps_threads_apart() {
    let rounds = 100_000 / SLOWER as i32;
    for (name, engine) in engines().filter(|(name, _)| name.contains("Speed")) {
        let (module, memory) = (module(&engine, MUTEX), memory(&engine, 1, 4));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope
                    .spawn(|| call::<i32, ()>(&mut user(&module, &memory), "run", rounds).unwrap());
            }
        });
        let count = word(&memory, 8).load(Ordering::SeqCst);
        assert_eq!(count, 8 * rounds as u32, "{name}");
        assert_eq!(word(&memory, 65000).load(Ordering::SeqCst), count, "{name}");
    }
}

const LITMUS: &str = r#"(module
    (import "" "" (memory 1 1 shared))
    ;; Between two looks at what has not come: nothing at first, then a moment without a processor.
    (func $pause (param $spins i32)
        (if (i32.gt_u (local.get $spins) (i32.const 1000)) (then
            (drop (memory.atomic.wait32 (i32.const 600) (i32.const 0) (i64.const 20000))))))
    (func $meet (param $round i32) (local $spins i32)
        (drop (i32.atomic.rmw.add (i32.const 512) (i32.const 1)))
        (loop $until
            (local.set $spins (i32.add (local.get $spins) (i32.const 1)))
            (call $pause (local.get $spins))
            (br_if $until (i32.lt_u (i32.atomic.load (i32.const 512))
                (i32.mul (local.get $round) (i32.const 2))))))
    (func $until (param $at i32) (param $value i32) (local $spins i32)
        (loop $until
            (local.set $spins (i32.add (local.get $spins) (i32.const 1)))
            (call $pause (local.get $spins))
            (br_if $until (i32.ne (i32.atomic.load (local.get $at)) (local.get $value)))))
    ;; Writes one place, reads the other; how often neither thread has seen the other's write is
    ;; counted by whoever looks at what both have read.
    (func $store-buffer (param $own i32) (param $other i32) (param $round i32) (result i32)
        (i32.atomic.store (local.get $own) (local.get $round))
        (i32.atomic.load (local.get $other)))
    (func $fences (param $own i32) (param $other i32) (param $round i32) (result i32)
        (i32.store (local.get $own) (local.get $round))
        (atomic.fence)
        (i32.load (local.get $other)))
    (func $updates (param $own i32) (param $other i32) (param $round i32) (result i32)
        (drop (i32.atomic.rmw.xchg (local.get $own) (local.get $round)))
        (i32.atomic.rmw.or (local.get $other) (i32.const 0)))
    (table funcref (elem $store-buffer $fences $updates))
    (type $test (func (param i32 i32 i32) (result i32)))
    (func (export "store-buffer") (param $test i32) (param $own i32) (param $other i32)
        (param $rounds i32) (result i32) (local $round i32) (local $seen i32) (local $missed i32)
        (loop $next
            (local.set $round (i32.add (local.get $round) (i32.const 1)))
            (call $meet (i32.sub (i32.mul (local.get $round) (i32.const 2)) (i32.const 1)))
            (local.set $seen (call_indirect (type $test) (local.get $own) (local.get $other)
                (local.get $round) (local.get $test)))
            ;; What was read, behind what is written.
            (i32.atomic.store offset=4 (local.get $own) (local.get $seen))
            (call $meet (i32.mul (local.get $round) (i32.const 2)))
            (local.set $missed (i32.add (local.get $missed) (i32.and
                (i32.ne (local.get $seen) (local.get $round))
                (i32.ne (i32.atomic.load offset=4 (local.get $other)) (local.get $round)))))
            (br_if $next (i32.lt_u (local.get $round) (local.get $rounds))))
        (local.get $missed))
    ;; Message passing: data without atomics, behind a flag with.
    (func (export "send") (param $rounds i32) (local $round i32)
        (loop $next
            (local.set $round (i32.add (local.get $round) (i32.const 1)))
            (i32.store (i32.const 128) (i32.mul (local.get $round) (i32.const 3)))
            (i64.store (i32.const 1024) (i64.extend_i32_u (local.get $round)))
            (i32.atomic.store (i32.const 256) (local.get $round))
            (call $until (i32.const 320) (local.get $round))
            (br_if $next (i32.lt_u (local.get $round) (local.get $rounds)))))
    (func (export "receive") (param $rounds i32) (result i32)
        (local $round i32) (local $wrong i32)
        (loop $next
            (local.set $round (i32.add (local.get $round) (i32.const 1)))
            (call $until (i32.const 256) (local.get $round))
            (local.set $wrong (i32.add (local.get $wrong) (i32.or
                (i32.ne (i32.load (i32.const 128)) (i32.mul (local.get $round) (i32.const 3)))
                (i64.ne (i64.load (i32.const 1024)) (i64.extend_i32_u (local.get $round))))))
            (i32.atomic.store (i32.const 320) (local.get $round))
            (br_if $next (i32.lt_u (local.get $round) (local.get $rounds))))
        (local.get $wrong)))"#;

/// Of two threads that each write and then read what the other writes, one at least sees it.
#[test]
fn no_store_is_passed_by_a_later_load() {
    let rounds = 5_000 / SLOWER as i32;
    for (name, engine) in engines().filter(|(name, _)| name.contains("Speed")) {
        for test in 0..3 {
            let (module, memory) = (module(&engine, LITMUS), memory(&engine, 1, 1));
            let run = |own, other| {
                let (module, memory) = (&module, &memory);
                move || {
                    let mut wasm = user(module, memory);
                    let params = (test, own, other, rounds);
                    call::<_, i32>(&mut wasm, "store-buffer", params).unwrap()
                }
            };
            let missed = thread::scope(|scope| {
                let other = scope.spawn(run(64, 128));
                (run(128, 64)(), other.join().unwrap())
            });
            assert_eq!(missed, (0, 0), "{name}, test {test}");
        }
    }
}

#[test]
fn what_is_behind_a_flag_is_there_when_the_flag_is() {
    let rounds = 5_000 / SLOWER as i32;
    for (name, engine) in engines().filter(|(name, _)| name.contains("Speed")) {
        let (module, memory) = (module(&engine, LITMUS), memory(&engine, 1, 1));
        let wrong = thread::scope(|scope| {
            scope.spawn(|| call::<i32, ()>(&mut user(&module, &memory), "send", rounds).unwrap());
            call::<i32, i32>(&mut user(&module, &memory), "receive", rounds).unwrap()
        });
        assert_eq!(wrong, 0, "{name}");
    }
}

const GROW: &str = r#"(module
    (import "" "" (memory 1 300 shared))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "size") (result i32) (memory.size))
    ;; Uses all pages that there are, until there are as many as told.
    (func (export "use") (param $pages i32) (result i32) (local $at i32) (local $sum i32)
        (loop $all
            (local.set $at (i32.const 0))
            (loop $page
                (local.set $sum (i32.add (local.get $sum)
                    (i32.atomic.rmw.add offset=65528 (local.get $at) (i32.const 1))))
                (i32.store offset=8 (local.get $at) (i32.load offset=12 (local.get $at)))
                (local.set $at (i32.add (local.get $at) (i32.const 65536)))
                (br_if $page (i32.lt_u (local.get $at)
                    (i32.mul (memory.size) (i32.const 65536)))))
            (br_if $all (i32.lt_u (memory.size) (local.get $pages))))
        (memory.size))
    (func (export "load") (param i32) (result i32) (i32.load (local.get 0))))"#;

#[test]
fn it_grows_while_others_use_it() {
    for (name, engine) in engines() {
        let (module, memory) = (module(&engine, GROW), memory(&engine, 1, 300));
        let base = memory.data().as_ptr();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let pages: i32 = call(&mut user(&module, &memory), "use", 300).unwrap();
                    assert_eq!(pages, 300, "{name}");
                });
            }
            // From wasm and from the host, in turn.
            let mut wasm = user(&module, &memory);
            for pages in 1..300 {
                let old = match pages % 2 {
                    0 => call::<i32, i32>(&mut wasm, "grow", 1).unwrap() as u64,
                    _ => memory.grow(1).unwrap(),
                };
                assert_eq!(old, pages, "{name}");
            }
        });
        assert_eq!(
            (memory.size(), memory.data_size(), memory.page_size()),
            (300, 300 << 16, 65536)
        );
        assert_eq!(memory.data().len(), 300 << 16);
        assert_eq!(memory.data().as_ptr(), base, "{name}: it never moves");
        let mut wasm = user(&module, &memory);
        assert_eq!(call::<i32, i32>(&mut wasm, "grow", 0).unwrap(), 300);
        assert_eq!(call::<i32, i32>(&mut wasm, "grow", 1).unwrap(), -1);
        assert_eq!(call::<i32, i32>(&mut wasm, "grow", -1).unwrap(), -1);
        assert_eq!(memory.grow(1).unwrap_err().kind(), ErrorKind::Limit);
        assert_eq!(memory.grow(0).unwrap(), 300);
    }
}

/// Each size is told to one thread alone.
#[test]
fn growing_races_with_growing() {
    for (name, engine) in engines() {
        let (module, memory) = (module(&engine, GROW), memory(&engine, 1, 300));
        let barrier = Barrier::new(4);
        let mut seen: Vec<i32> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|i| {
                    let (module, memory, barrier) = (&module, &memory, &barrier);
                    scope.spawn(move || {
                        let mut wasm = user(module, memory);
                        barrier.wait();
                        let grow = |_| match i {
                            0 => memory.grow(1).map_or(-1, |pages| pages as i32),
                            _ => call(&mut wasm, "grow", 1).unwrap(),
                        };
                        (0..100).map(grow).collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        seen.sort();
        let expected: Vec<_> = [-1; 101].into_iter().chain(1..300).collect();
        assert_eq!(seen, expected, "{name}");
        assert_eq!(memory.size(), 300);
    }
}

const WAIT: &str = r#"(module
    (import "" "" (memory 1 2 shared))
    (func (export "wait32") (param i32 i32 i64) (result i32)
        (memory.atomic.wait32 (local.get 0) (local.get 1) (local.get 2)))
    (func (export "wait64") (param i32 i64 i64) (result i32)
        (memory.atomic.wait64 (local.get 0) (local.get 1) (local.get 2)))
    (func (export "notify") (param i32 i32) (result i32)
        (memory.atomic.notify (local.get 0) (local.get 1))))"#;

#[test]
fn waits_end_by_value_by_time_and_by_notification() {
    for (name, engine) in engines() {
        let (module, memory) = (module(&engine, WAIT), memory(&engine, 1, 2));
        let mut wasm = user(&module, &memory);
        word(&memory, 64).store(5, Ordering::SeqCst);
        assert_eq!(call::<_, i32>(&mut wasm, "wait32", (64, 4, -1_i64)).unwrap(), 1, "{name}");
        assert_eq!(call::<_, i32>(&mut wasm, "wait64", (64, 4_i64, -1_i64)).unwrap(), 1);
        assert_eq!(memory.atomic_wait32(64, 4, None), Ok(WaitResult::Mismatch));
        assert_eq!(memory.atomic_wait64(64, 1 << 32 | 5, None), Ok(WaitResult::Mismatch));
        let begin = Instant::now();
        let some = Duration::from_millis(20);
        let nanoseconds = some.as_nanos() as i64;
        assert_eq!(call::<_, i32>(&mut wasm, "wait32", (64, 5, nanoseconds)).unwrap(), 2);
        assert_eq!(call::<_, i32>(&mut wasm, "wait64", (64, 5_i64, nanoseconds)).unwrap(), 2);
        assert_eq!(memory.atomic_wait32(64, 5, Some(some)), Ok(WaitResult::TimedOut));
        assert_eq!(memory.atomic_wait64(64, 5, Some(some)), Ok(WaitResult::TimedOut));
        assert!(begin.elapsed() >= 4 * some);
        assert_eq!(call::<_, i32>(&mut wasm, "wait32", (64, 5, 0_i64)).unwrap(), 2);
        // Nobody waits any more, so nobody is woken.
        assert_eq!(call::<_, i32>(&mut wasm, "notify", (64, -1)).unwrap(), 0);
        assert_eq!(memory.atomic_notify(64, u32::MAX), Ok(0));

        for (addr, trap) in [
            (2, Trap::HeapMisaligned),
            (65536, Trap::MemoryOutOfBounds),
            (65538, Trap::HeapMisaligned),
            (u64::MAX - 3, Trap::MemoryOutOfBounds),
        ] {
            assert_eq!(memory.atomic_notify(addr, 1), Err(trap));
            assert_eq!(memory.atomic_wait32(addr, 0, None), Err(trap));
            let at = addr as i32;
            assert_eq!(trapped(call::<_, i32>(&mut wasm, "notify", (at, 1))), trap, "{name}");
            assert_eq!(trapped(call::<_, i32>(&mut wasm, "wait32", (at, 0, 0_i64))), trap);
        }
        for (addr, trap) in [(4, Trap::HeapMisaligned), (65536, Trap::MemoryOutOfBounds)] {
            assert_eq!(memory.atomic_wait64(addr, 0, None), Err(trap));
            let result = call::<_, i32>(&mut wasm, "wait64", (addr as i32, 0_i64, 0_i64));
            assert_eq!(trapped(result), trap, "{name}");
        }
    }
}

#[test]
fn notifications_wake_as_many_as_they_say() {
    let engine = engine();
    let (module, memory) = (module(&engine, WAIT), memory(&engine, 1, 2));
    let (woken, waiting) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let until = |condition: &dyn Fn() -> bool| {
        while !condition() {
            thread::yield_now();
        }
    };
    thread::scope(|scope| {
        let (woken, waiting) = (&woken, &waiting);
        for i in 0..7 {
            let (module, memory) = (&module, &memory);
            scope.spawn(move || {
                let mut wasm = user(module, memory);
                waiting.fetch_add(1, Ordering::SeqCst);
                // Wasm and host, both widths, at one address; one thread at another one.
                let result = match i {
                    0 => memory.atomic_wait32(256, 0, None).unwrap() as i32,
                    1 => memory.atomic_wait64(256, 0, None).unwrap() as i32,
                    2 => call(&mut wasm, "wait64", (256, 0_i64, -1_i64)).unwrap(),
                    3 => call(&mut wasm, "wait32", (264, 0, i64::MAX)).unwrap(),
                    _ => call(&mut wasm, "wait32", (256, 0, -1_i64)).unwrap(),
                };
                assert_eq!(result, 0);
                woken.fetch_add(1, Ordering::SeqCst);
            });
        }
        let mut wasm = user(&module, &memory);
        let mut notify =
            |at: i32, count: i32| call::<_, i32>(&mut wasm, "notify", (at, count)).unwrap();
        until(&|| waiting.load(Ordering::SeqCst) == 7);
        assert_eq!(notify(256, 0), 0);
        // They are on their way: what a notification does not find comes to wait.
        let mut told = 0;
        for count in [2, 1] {
            let want = told + count;
            while told < want {
                told += notify(256, want - told);
            }
            until(&|| woken.load(Ordering::SeqCst) == told as usize);
        }
        while told < 6 {
            told += memory.atomic_notify(256, u32::MAX).unwrap() as i32;
        }
        until(&|| woken.load(Ordering::SeqCst) == 6);
        assert_eq!((told, notify(256, 9)), (6, 0));
        while notify(264, 1) == 0 {}
    });
    assert_eq!(woken.into_inner(), 7);
}

/// What waits ends at the deadline of its store, and a callback may let it go on.
#[test]
fn waits_end_at_the_deadline() {
    let engine = Engine::new(config().epoch_interruption(true)).unwrap();
    let (module, memory) = (module(&engine, WAIT), memory(&engine, 1, 2));
    let asked = Arc::new(AtomicU32::new(0));
    thread::scope(|scope| {
        // Gone when this ends, however it ends: the ticking ends then.
        let (alive, over) = mpsc::channel::<()>();
        let engine = &engine;
        scope.spawn(move || {
            while over.try_recv() == Err(TryRecvError::Empty) {
                thread::sleep(Duration::from_millis(1));
                engine.increment_epoch();
            }
        });
        let mut wasm = user(&module, &memory);
        wasm.0.set_epoch_deadline(5);
        assert_eq!(trapped(call::<_, i32>(&mut wasm, "wait32", (0, 0, -1_i64))), Trap::Interrupt);
        assert_eq!(
            trapped(call::<_, i32>(&mut wasm, "wait64", (0, 0_i64, i64::MAX))),
            Trap::Interrupt
        );
        assert_eq!(memory.atomic_notify(0, 9), Ok(0), "nobody waits any more");

        // It goes on three times; and one that is asked may fail in its own way.
        let count = asked.clone();
        wasm.0.epoch_deadline_callback(move |_| match count.fetch_add(1, Ordering::SeqCst) {
            0..3 => Ok(UpdateDeadline::Continue(2)),
            _ => Err(Error::msg("enough of it")),
        });
        wasm.0.set_epoch_deadline(2);
        let error = call::<_, i32>(&mut wasm, "wait32", (0, 0, -1_i64)).unwrap_err();
        assert!(format!("{error:#}").contains("enough of it"), "{error:#}");
        assert_eq!(asked.load(Ordering::SeqCst), 4);
        // While it goes on, it keeps its place: a notification is for it.
        wasm.0.epoch_deadline_callback(|_| Ok(UpdateDeadline::Continue(1)));
        let memory = &memory;
        scope.spawn(move || {
            thread::sleep(Duration::from_millis(30));
            while memory.atomic_notify(0, 1) == Ok(0) {}
        });
        assert_eq!(call::<_, i32>(&mut wasm, "wait32", (0, 0, -1_i64)).unwrap(), 0);
        drop(alive);
    });
}

/// An atomic operator costs what others do, and a wait is one, however long it takes.
#[test]
fn waiting_costs_no_fuel() {
    let engine = Engine::new(config().consume_fuel(true)).unwrap();
    let (module, memory) = (module(&engine, WAIT), memory(&engine, 1, 2));
    let mut wasm = user(&module, &memory);
    wasm.0.set_fuel(100).unwrap();
    assert_eq!(call::<_, i32>(&mut wasm, "wait32", (0, 0, 5_000_000_i64)).unwrap(), 2);
    // The function, three operands, the wait.
    assert_eq!(wasm.0.get_fuel().unwrap(), 95);
    assert_eq!(call::<_, i32>(&mut wasm, "notify", (0, 1)).unwrap(), 0);
    assert_eq!(wasm.0.get_fuel().unwrap(), 91);
}

#[test]
fn a_trap_in_one_thread_is_nothing_to_the_others() {
    for (name, engine) in engines() {
        let (module, memory) = (module(&engine, GROW), memory(&engine, 1, 300));
        thread::scope(|scope| {
            for thread in 0..4 {
                let (name, module, memory) = (&name, &module, &memory);
                scope.spawn(move || {
                    let mut wasm = user(module, memory);
                    for _ in 0..50 {
                        if thread % 2 == 0 {
                            let result = call::<i32, i32>(&mut wasm, "load", -4);
                            assert_eq!(trapped(result), Trap::MemoryOutOfBounds, "{name}");
                        }
                        assert_eq!(
                            call::<i32, i32>(&mut wasm, "load", 65532).unwrap(),
                            0,
                            "{name}"
                        );
                    }
                });
            }
        });
    }
}

/// A module that defines a shared memory with data in it, and exports it.
const OWNER: &str = r#"(module
    (memory (export "memory") 2 4 shared) (data (i32.const 65530) "from the image")
    (data $passive "passive")
    (func (export "init") (param i32) (memory.init $passive
        (local.get 0) (i32.const 0) (i32.const 7)))
    (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
    (func (export "size") (result i32) (memory.size))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"#;

#[test]
fn what_an_instance_defines_outlives_its_store() {
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let owner = instance(&mut store, OWNER, &[]);
        let memory = owner.get_shared_memory(&mut store, "memory").unwrap();
        assert!(owner.get_memory(&mut store, "memory").is_none());
        assert_eq!((memory.ty().minimum(), memory.ty().maximum()), (2, Some(4)));
        assert!(memory.ty().is_shared());
        assert_eq!(bytes(&memory, 65530, 14), b"from the image", "{name}");
        let init = owner.get_typed_func::<i32, ()>(&mut store, "init").unwrap();
        init.call(&mut store, 131065).unwrap();
        assert_eq!(trapped(init.call(&mut store, 131066)), Trap::MemoryOutOfBounds);
        assert_eq!(bytes(&memory, 131065, 7), b"passive", "{name}");
        let grow = owner.get_typed_func::<i32, i32>(&mut store, "grow").unwrap();
        assert_eq!(grow.call(&mut store, 1).unwrap(), 2);
        let load = owner.get_typed_func::<i32, i32>(&mut store, "load").unwrap();
        assert_eq!(load.call(&mut store, 196607).unwrap(), 0);
        assert_eq!(trapped(load.call(&mut store, 196608)), Trap::MemoryOutOfBounds);
        // Each instance makes one of its own.
        let other = instance(&mut store, OWNER, &[]);
        let other = other.get_shared_memory(&mut store, "memory").unwrap();
        assert_eq!((other.size(), memory.size()), (2, 3));
        // And what was imported is exported as the same.
        let again = r#"(module (import "" "" (memory 1 4 shared)) (export "memory" (memory 0)))"#;
        let again = instance(&mut store, again, &[memory.clone().into()]);
        let again = again.get_shared_memory(&mut store, "memory").unwrap();
        assert_eq!(again.data().as_ptr(), memory.data().as_ptr());
        drop(store);
        assert_eq!(bytes(&memory, 65530, 14), b"from the image", "{name}");

        // A store keeps what its instances use.
        let module = module(&engine, WAIT.replace("1 2", "1 4").as_str());
        let mut wasm = user(&module, &memory);
        drop((memory, again, other));
        assert_eq!(call::<_, i32>(&mut wasm, "wait32", (0, 1, -1_i64)).unwrap(), 1, "{name}");
    }
}

/// Bulk operations between a shared memory and one that is not, in both directions.
#[test]
fn bulk_operations_cross_between_kinds_of_memories() {
    const BULK: &str = r#"(module
        (import "" "" (memory $shared 1 2 shared)) (memory $own (export "own") 1)
        (data (i32.const 0) "an active segment")
        (func (export "there") (param i32 i32 i32)
            (memory.copy $shared $own (local.get 0) (local.get 1) (local.get 2)))
        (func (export "back") (param i32 i32 i32)
            (memory.copy $own $shared (local.get 0) (local.get 1) (local.get 2)))
        (func (export "within") (param i32 i32 i32)
            (memory.copy $shared $shared (local.get 0) (local.get 1) (local.get 2)))
        (func (export "fill") (param i32 i32 i32)
            (memory.fill $shared (local.get 0) (local.get 1) (local.get 2)))
        (func (export "short")
            (memory.copy $shared $own (i32.const 500) (i32.const 9) (i32.const 100))
            (memory.fill $shared (i32.const 700) (i32.const 0x1ab) (i32.const 33))))"#;
    for (name, engine) in engines() {
        let (module, memory) = (module(&engine, BULK), memory(&engine, 1, 2));
        let mut wasm = user(&module, &memory);
        // Active segments go into imported ones as well.
        assert_eq!(bytes(&memory, 0, 17), b"an active segment", "{name}");
        let own = wasm.1.get_memory(&mut wasm.0, "own").unwrap();
        let pattern: Vec<u8> = (0..65536).map(|i| (i % 251) as u8).collect();
        own.write(&mut wasm.0, 0, &pattern).unwrap();
        call::<_, ()>(&mut wasm, "there", (0, 0, 65536)).unwrap();
        let mut expected = pattern.clone();
        let mut check = |wasm: &mut _, what: &str, (dst, src, len): (i32, i32, i32)| {
            call::<_, ()>(wasm, what, (dst, src, len)).unwrap();
            let (dst, len) = (dst as usize, len as usize);
            match what {
                "fill" => expected[dst..dst + len].fill(src as u8),
                _ => expected.copy_within(src as usize..src as usize + len, dst),
            }
            assert!(bytes(&memory, 0, 65536) == expected, "{name}: {what} {dst} {src} {len}");
        };
        for range in [(10, 0, 1000), (0, 10, 1000), (1000, 3000, 1), (5, 5, 60000), (65536, 0, 0)] {
            check(&mut wasm, "within", range);
        }
        for range in [(1, 0x1ff, 63), (100, 7, 60000), (65535, 1, 1), (65536, 1, 0)] {
            check(&mut wasm, "fill", range);
        }
        call::<_, ()>(&mut wasm, "back", (0, 0, 65536)).unwrap();
        assert!(own.data(&wasm.0) == expected, "{name}");
        call::<_, ()>(&mut wasm, "short", ()).unwrap();
        assert_eq!(bytes(&memory, 500, 100), expected[9..109], "{name}");
        assert_eq!(bytes(&memory, 700, 34), [&[0xab; 33][..], &expected[733..734]].concat());
        // Nothing happens where it does not fit.
        let before = bytes(&memory, 0, 65536);
        for (what, range) in [
            ("there", (65530, 0, 7)),
            ("there", (0, 65530, 7)),
            ("within", (65530, 0, 7)),
            ("within", (0, -1, 2)),
            ("fill", (65530, 5, 7)),
            ("fill", (-1, 5, -1)),
            ("back", (0, 65537, 0)),
        ] {
            let result = call::<_, ()>(&mut wasm, what, range);
            assert_eq!(trapped(result), Trap::MemoryOutOfBounds, "{name}: {what} {range:?}");
        }
        assert!(bytes(&memory, 0, 65536) == before, "{name}");
    }
}

/// Nobody knows what comes of it, but nobody is harmed.
#[test]
fn bulk_operations_race_with_each_other() {
    const RACE: &str = r#"(module
        (import "" "" (memory 1 8 shared))
        (func (export "run") (param $rounds i32) (param $byte i32)
            (loop $next
                (memory.fill (i32.const 8) (local.get $byte) (i32.const 50000))
                (memory.copy (i32.const 11) (i32.const 3) (i32.const 50000))
                (memory.copy (i32.const 5) (i32.const 1000) (i32.const 50000))
                (drop (memory.grow (i32.eq (local.get $rounds) (i32.const 50))))
                (br_if $next (local.tee $rounds
                    (i32.sub (local.get $rounds) (i32.const 1)))))))"#;
    let engine = engine();
    let (module, memory) = (module(&engine, RACE), memory(&engine, 1, 8));
    thread::scope(|scope| {
        for byte in 1..5 {
            let (module, memory) = (&module, &memory);
            let run = move || call::<_, ()>(&mut user(module, memory), "run", (100, byte));
            scope.spawn(move || run().unwrap());
        }
    });
    assert!(bytes(&memory, 2000, 40000).iter().all(|byte| (1..5).contains(byte)));
    assert_eq!(bytes(&memory, 60000, 100), [0; 100]);
    assert_eq!(memory.size(), 5);
}

#[test]
fn imports_are_of_their_kind() {
    let engine = engine();
    let mut store = Store::new(&engine, ());
    let shared = memory(&engine, 1, 2);
    shared.grow(1).unwrap();
    let ordinary = Memory::new(&mut store, MemoryType::new(1, Some(2))).unwrap();
    for (import, given, expected) in [
        ("1 2", Extern::from(shared.clone()), "found shared memory of 2 to 2 pages"),
        ("1 2 shared", ordinary.into(), "expected shared memory of 1 to 2 pages, found memory"),
        ("3 3 shared", shared.clone().into(), "expected shared memory of 3 to 3 pages"),
        ("1 1 shared", shared.clone().into(), "expected shared memory of 1 to 1 pages"),
        ("i64 1 2 shared", shared.clone().into(), "expected shared 64-bit memory of 1 to 2"),
    ] {
        let module = module(&engine, &format!(r#"(module (import "a" "b" (memory {import})))"#));
        let error = Instance::new(&mut store, &module, &[given]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Link);
        let error = format!("{error:#}");
        assert!(error.contains("`a::b`") && error.contains(expected), "{import}: {error}");
    }
    // One linker for the stores of all threads.
    let fits = module(&engine, r#"(module (import "a" "b" (memory 2 9 shared)))"#);
    let mut linker = Linker::new(&engine);
    linker.define(&store, "a", "b", shared.clone()).unwrap();
    let pre = linker.instantiate_pre(&fits).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| pre.instantiate(Store::new(&engine, ())).unwrap());
        }
    });
    assert!(linker.get(&mut store, "a", "b").unwrap().into_shared_memory().is_some());

    // Numbers of types, and so memories, are an engine's own.
    let other = Engine::new(&config()).unwrap();
    let mut store = Store::new(&other, ());
    assert!(Linker::<()>::new(&other).define(&store, "a", "b", shared.clone()).is_err());
    let fits = module(&other, r#"(module (import "a" "b" (memory 2 9 shared)))"#);
    let error = Instance::new(&mut store, &fits, &[shared.into()]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Link);
}

#[test]
fn what_cannot_be_made_says_why() {
    let engine = engine();
    let refused = |engine: &Engine, ty, kind, expected: &str| {
        let error = SharedMemory::new(engine, ty).unwrap_err();
        assert_eq!(error.kind(), kind, "{error:#}");
        assert!(format!("{error:#}").contains(expected), "{error:#}");
    };
    let host = ErrorKind::Host;
    refused(&engine, MemoryType::new(1, Some(2)), host, "see `MemoryType::shared`");
    refused(&engine, MemoryType::shared(3, 2), host, "minimum is above its maximum");
    refused(&engine, MemoryType::shared(65537, 65537), ErrorKind::Limit, "larger than");
    let shared = MemoryType::shared(1, 2);
    refused(&Engine::default(), shared, ErrorKind::Config, "`Config::wasm_threads`");
    let none = Engine::new(config().shared_memory(false)).unwrap();
    refused(&none, shared, ErrorKind::Config, "`Config::shared_memory`");
    let mut store = Store::new(&none, ());
    let owner = module(&none, OWNER);
    let error = Instance::new(&mut store, &owner, &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error:#}");
    // Atomics do without.
    instance(&mut store, "(module (memory 1) (func (drop (i32.atomic.load (i32.const 0)))))", &[]);

    let mut store = Store::new(&engine, ());
    let error = Memory::new(&mut store, shared).unwrap_err();
    assert!(format!("{error:#}").contains("`SharedMemory::new`"), "{error:#}");
    // All of the maximum is reserved, and no address space has this much.
    let vast = "(module (memory i64 1 0x1000000000 shared))";
    let error = Instance::new(&mut store, &module(&engine, vast), &[]).unwrap_err();
    assert!(format!("{error:#}").contains("cannot reserve"), "{error:#}");
    // The store is as good as before.
    instance(&mut store, OWNER, &[]);
    let module = module(&engine, "(module (memory 0 0 shared))");
    Instance::new(&mut store, &module, &[]).unwrap();
    let empty = SharedMemory::new(&engine, MemoryType::shared(0, 0)).unwrap();
    assert_eq!((empty.data().len(), empty.grow(0).unwrap()), (0, 0));
    assert_eq!(empty.atomic_notify(0, 1), Err(Trap::MemoryOutOfBounds));
}

/// A store's limits count what its modules define, and what its wasm makes grow.
#[test]
fn limits_of_a_store_hold_for_its_wasm() {
    let engine = engine();
    let limits = StoreLimitsBuilder::new().memory_size(3 << 16).memories(1).build();
    let mut store = Store::new(&engine, limits);
    store.limiter(|limits| limits);
    let owner = instance(&mut store, OWNER, &[]);
    let memory = owner.get_shared_memory(&mut store, "memory").unwrap();
    let grow = owner.get_typed_func::<i32, i32>(&mut store, "grow").unwrap();
    assert_eq!(grow.call(&mut store, 2).unwrap(), -1);
    assert_eq!(grow.call(&mut store, 1).unwrap(), 2);
    // The embedder itself may.
    assert_eq!(memory.grow(1).unwrap(), 3);
    assert_eq!(grow.call(&mut store, 0).unwrap(), 4);
    let error = Instance::new(&mut store, &module(&engine, OWNER), &[]).unwrap_err();
    assert!(format!("{error:#}").contains("allow 1 memories"), "{error:#}");
    let mut store = Store::new(&engine, StoreLimitsBuilder::new().memory_size(1 << 16).build());
    store.limiter(|limits| limits);
    let error = Instance::new(&mut store, &module(&engine, OWNER), &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
}

#[test]
fn artifacts_tell_of_it() {
    let artifact = engine().precompile_module(OWNER.as_bytes()).unwrap();
    let found = inspect(&artifact).unwrap();
    assert_eq!(found.exports[0], ("memory".into(), "shared memory of 2 to 4 pages".into()));
    let module = module(&engine(), MUTEX);
    let import = module.imports().next().unwrap();
    let ty = import.ty();
    assert!(ty.memory().is_some_and(|ty| ty.is_shared() && ty.maximum() == Some(4)));
}
