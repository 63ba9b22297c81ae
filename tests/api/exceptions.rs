//! Exceptions between functions of wasm: across frames, instances and tail calls, in loops, and
//! beside traps. `exceptions_host.rs` has the host's part.

use crate::support::{engine, engines, instance, trapped};
use precompile::*;

fn names(error: &Error) -> Vec<String> {
    let frames = error.downcast_ref::<WasmBacktrace>().expect("a backtrace").frames();
    frames.iter().map(|frame| frame.func_name().unwrap_or("?").to_string()).collect()
}

const DEEP: &str = r#"(module
    (tag $deep (param i32 i64 f32 f64 v128))
    (func $down (param $n i32) (param $x i32) (result i32)
        (if (i32.eqz (local.get $n)) (then
            (throw $deep (local.get $x) (i64.extend_i32_u (local.get $x))
                (f32.convert_i32_s (local.get $x)) (f64.convert_i32_s (local.get $x))
                (i32x4.splat (local.get $x)))))
        (i32.add (i32.const 1)
            (call $down (i32.sub (local.get $n) (i32.const 1)) (local.get $x))))
    (func (export "once") (param $depth i32) (param $x i32) (result i32)
        ;; Values that live across the throw: in more than the registers.
        (local $a i64) (local $b f64) (local $c v128) (local $d i32)
        (local $l i64) (local $p f32) (local $q f64) (local $v v128)
        (local.set $a (i64.mul (i64.extend_i32_u (local.get $x)) (i64.const 3)))
        (local.set $b (f64.convert_i32_u (local.get $x)))
        (local.set $c (i64x2.splat (local.get $a)))
        (local.set $d (i32.add (local.get $x) (local.get $depth)))
        (block $caught (result i32 i64 f32 f64 v128)
            (try_table (catch $deep $caught)
                (drop (call $down (local.get $depth) (local.get $x))))
            (unreachable))
        (local.set $v) (local.set $q) (local.set $p) (local.set $l)
        (i32.add (i32.wrap_i64 (local.get $l)))
        (i32.add (i32.trunc_f32_s (local.get $p)))
        (i32.add (i32.trunc_f64_s (local.get $q)))
        (i32.add (i32x4.extract_lane 3 (local.get $v)))
        (i32.add (i32.wrap_i64 (local.get $a)))
        (i32.add (i32.trunc_f64_u (local.get $b)))
        (i32.add (i32.wrap_i64 (i64x2.extract_lane 1 (local.get $c))))
        (i32.add (local.get $d)))
    (func (export "many") (param $times i32) (result i32) (local $sum i32)
        (loop $again
            (block $caught (result i32 i64 f32 f64 v128)
                (try_table (catch $deep $caught)
                    (drop (call $down (i32.const 1) (local.get $times))))
                (unreachable))
            (drop) (drop) (drop) (drop)
            (local.set $sum (i32.add (local.get $sum)))
            (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
        (local.get $sum)))"#;

#[test]
fn values_and_locals_survive() {
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let deep = instance(&mut store, DEEP, &[]);
        let once = deep.get_typed_func::<(i32, i32), i32>(&mut store, "once").unwrap();
        for depth in [0, 1, 2, 100, 5_000] {
            for x in [0, 7, 1000] {
                let found = once.call(&mut store, (depth, x)).unwrap();
                assert_eq!(found, depth + 13 * x, "{name}, {depth}, {x}");
            }
        }
        let many = deep.get_typed_func::<i32, i32>(&mut store, "many").unwrap();
        let sum: i32 = (1..=1000).sum();
        assert_eq!(many.call(&mut store, 1000).unwrap(), sum, "{name}");
    }
}

#[test]
fn a_million_times() {
    let mut store = Store::new(&engine(), ());
    let deep = instance(&mut store, DEEP, &[]);
    let many = deep.get_typed_func::<i32, i32>(&mut store, "many").unwrap();
    let sum = (1..=1_000_000i32).fold(0i32, i32::wrapping_add);
    assert_eq!(many.call(&mut store, 1_000_000).unwrap(), sum);
}

const TAGS: &str = r#"(module
    (tag $own (export "own") (param i32))
    (tag $other (export "other") (param i32))
    (func (export "throw_own") (param i32) (throw $own (local.get 0)))
    (func (export "throw_other") (param i32) (throw $other (local.get 0))))"#;

const CATCHER: &str = r#"(module
    (import "" "f" (func $f (param i32)))
    (import "" "first" (tag $first (param i32)))
    (import "" "second" (tag $second (param i32)))
    (tag $mine (param i32))
    ;; The value, and which clause it was.
    (func (export "which") (param i32) (result i32 i32)
        (block $mine (result i32)
            (block $second (result i32)
                (block $first (result i32)
                    (block $all
                        (try_table (catch $mine $mine) (catch $second $second)
                                (catch $first $first) (catch_all $all)
                            (call $f (local.get 0)))
                        (return (i32.const 0) (i32.const 0)))
                    (return (i32.const 0) (i32.const 4)))
                (return (i32.const 1)))
            (return (i32.const 2)))
        (return (i32.const 3)))
    ;; The clauses of inner blocks are tried first, whatever their tags are called.
    (func (export "inner") (param i32) (result i32)
        (block $outer (result i32)
            (try_table (catch $first $outer)
                (block $inner (result i32)
                    (try_table (catch $second $inner) (call $f (local.get 0)))
                    (return (i32.const 0)))
                (drop)
                (return (i32.const 2)))
            (return (i32.const 0)))
        (drop)
        (i32.const 1)))"#;

/// A tag is the same under any name, and another one in each instance.
#[test]
fn tags_are_told_apart_by_what_they_are() {
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let [a, b] = [(); 2].map(|()| instance(&mut store, TAGS, &[]));
        let mut get = |from: &Instance, what: &str| from.get_export(&mut store, what).unwrap();
        let (own, other, foreign) = (get(&a, "own"), get(&a, "other"), get(&b, "own"));
        let (throw_own, throw_other) = (get(&a, "throw_own"), get(&a, "throw_other"));
        let mut which = |f: &Extern, first: &Extern, second: &Extern| {
            let imports = [f, first, second].map(Extern::clone);
            let catcher = instance(&mut store, CATCHER, &imports);
            let which = catcher.get_typed_func::<i32, (i32, i32)>(&mut store, "which").unwrap();
            let inner = catcher.get_typed_func::<i32, i32>(&mut store, "inner").unwrap();
            let inner = inner.call(&mut store, 5).map_err(|error| error.is::<ThrownException>());
            (which.call(&mut store, 5).unwrap(), inner)
        };
        assert_eq!(which(&throw_own, &own, &other), ((5, 1), Ok(1)), "{name}");
        assert_eq!(which(&throw_other, &own, &other), ((5, 2), Ok(2)), "{name}");
        assert_eq!(which(&throw_own, &own, &own), ((5, 2), Ok(2)), "{name}");
        assert_eq!(which(&throw_own, &other, &own), ((5, 2), Ok(2)), "{name}");
        assert_eq!(which(&throw_own, &foreign, &other), ((0, 4), Err(true)), "{name}");
    }
}

const REFERENCES: &str = r#"(module
    (tag $refs (param funcref externref exnref))
    (tag $one (param i32))
    (global $kept (mut exnref) (ref.null exn))
    (table $table 2 exnref)
    (elem declare func $throw)
    (func $throw (export "throw") (param i32) (throw $one (local.get 0)))
    (func $catch (param i32) (result exnref)
        (block $caught (result i32 exnref)
            (try_table (catch_ref $one $caught) (call $throw (local.get 0)))
            (unreachable))
        (global.set $kept) (drop) (global.get $kept))
    ;; The same exception comes out again, from a global and from a table.
    (func (export "again") (param i32) (result i32)
        (table.set $table (i32.const 1) (call $catch (local.get 0)))
        (global.set $kept (ref.null exn))
        (block $caught (result i32)
            (try_table (catch $one $caught) (throw_ref (table.get $table (i32.const 1))))
            (unreachable)))
    (func (export "null") (throw_ref (table.get $table (i32.const 0))))
    (func (export "catch_null") (block $caught
        (try_table (catch_all $caught) (throw_ref (ref.null exn)))))
    (func (export "carry") (param externref) (result funcref externref exnref)
        (block $caught (result funcref externref exnref)
            (try_table (catch $refs $caught)
                (throw $refs (ref.func $throw) (local.get 0) (call $catch (i32.const 9))))
            (unreachable)))
    (func (export "is_null") (param exnref) (result i32) (ref.is_null (local.get 0)))
    (func (export "rethrow") (param exnref) (throw_ref (local.get 0))))"#;

#[test]
fn references_to_exceptions_are_values() {
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let refs = instance(&mut store, REFERENCES, &[]);
        let again = refs.get_typed_func::<i32, i32>(&mut store, "again").unwrap();
        assert_eq!(again.call(&mut store, 31).unwrap(), 31, "{name}");
        for export in ["null", "catch_null"] {
            let null = refs.get_typed_func::<(), ()>(&mut store, export).unwrap();
            assert_eq!(trapped(null.call(&mut store, ())), Trap::NullReference, "{name}");
        }
        let value = ExternRef::new(&mut store, "a value").unwrap();
        let carry = refs.get_func(&mut store, "carry").unwrap();
        let mut results = [Val::I32(0); 3];
        carry.call(&mut store, &[value.into()], &mut results).unwrap();
        let func = results[0].unwrap_func_ref().expect("a function");
        let func = func.typed::<i32, ()>(&store).unwrap();
        assert!(func.call(&mut store, 1).unwrap_err().is::<ThrownException>());
        let other = results[1].unwrap_extern_ref().unwrap();
        assert!(Rooted::ref_eq(&store, &other, &value).unwrap());
        let exception = results[2].unwrap_exn_ref();
        assert_eq!(exception.unwrap().field(&mut store, 0).unwrap().i32(), Some(9), "{name}");
        type Exception = Option<Rooted<ExnRef>>;
        let is_null = refs.get_typed_func::<Exception, i32>(&mut store, "is_null").unwrap();
        assert_eq!(is_null.call(&mut store, None).unwrap(), 1);
        assert_eq!(is_null.call(&mut store, exception).unwrap(), 0);
        // What is thrown again keeps its identity.
        let rethrow = refs.get_typed_func::<Exception, ()>(&mut store, "rethrow").unwrap();
        assert!(rethrow.call(&mut store, exception).unwrap_err().is::<ThrownException>());
        let pending = store.take_pending_exception().expect("it was thrown");
        assert!(Rooted::ref_eq(&store, &pending, &exception.unwrap()).unwrap(), "{name}");
    }
}

const LIMITS: &str = r#"(module
    (tag $e)
    (memory 1)
    (func $throw (throw $e))
    (func $trap unreachable)
    (func $load (drop (i32.load (i32.const -1))))
    (func $forever (call $forever))
    (table funcref (elem $throw $trap $load $forever))
    ;; Traps are not exceptions.
    (func $catches (export "catches") (param i32) (result i32)
        (block $caught (try_table (catch_all $caught) (call_indirect (local.get 0)))
            (return (i32.const 0)))
        (i32.const 1))
    ;; A tail call leaves the block, as a return does.
    (func $leaves (try_table (catch_all 0) (return_call $throw)))
    (func $leaves_by_table (try_table (catch_all 0) (return_call_indirect (i32.const 0))))
    (func (export "tail") (result i32)
        (block $caught (try_table (catch_all $caught) (call $leaves)) (return (i32.const 0)))
        (i32.const 1))
    (func (export "tail_uncaught") (call $leaves_by_table))
    ;; What traps behind a catch, and where.
    (func $after (export "after") (param i32) (result i32)
        (drop (call $catches (i32.const 0)))
        (drop (call $catches (i32.const 0)))
        (call $catches (local.get 0)))
    ;; A catch as the end of the function.
    (func (export "to_end") (result i32)
        (try_table (result i32) (catch_all_ref 0) (call $throw) (i32.const 0)) (return)
        unreachable))"#;

#[test]
fn traps_are_not_caught() {
    let limits = LIMITS.replace(
        "(try_table (result i32) (catch_all_ref 0) (call $throw) (i32.const 0)) (return)",
        "(block $l (result exnref) (try_table (catch_all_ref $l) (call $throw)) (unreachable)) \
         (ref.is_null) (return)",
    );
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let limits = instance(&mut store, &limits, &[]);
        let catches = limits.get_typed_func::<i32, i32>(&mut store, "catches").unwrap();
        let after = limits.get_typed_func::<i32, i32>(&mut store, "after").unwrap();
        assert_eq!(catches.call(&mut store, 0).unwrap(), 1, "{name}");
        assert_eq!(after.call(&mut store, 0).unwrap(), 1, "{name}");
        for (index, trap, names_of) in [
            (1, Trap::UnreachableCodeReached, ["trap", "catches", "after"]),
            (2, Trap::MemoryOutOfBounds, ["load", "catches", "after"]),
        ] {
            assert_eq!(trapped(catches.call(&mut store, index)), trap, "{name}");
            let error = after.call(&mut store, index).unwrap_err();
            assert_eq!(names(&error), names_of, "{name}");
            assert_eq!(trapped(Err::<(), _>(error)), trap, "{name}");
        }
        // The prologue's own trap, and the frames after it was unwound.
        assert_eq!(trapped(catches.call(&mut store, 3)), Trap::StackOverflow, "{name}");
        assert_eq!(after.call(&mut store, 0).unwrap(), 1, "{name}");
        let tail = limits.get_typed_func::<(), i32>(&mut store, "tail").unwrap();
        assert_eq!(tail.call(&mut store, ()).unwrap(), 1, "{name}");
        let uncaught = limits.get_typed_func::<(), ()>(&mut store, "tail_uncaught").unwrap();
        let error = uncaught.call(&mut store, ()).unwrap_err();
        assert!(error.is::<ThrownException>(), "{name}: {error:?}");
        assert_eq!(names(&error), ["throw", "?"], "{name}");
        let to_end = limits.get_typed_func::<(), i32>(&mut store, "to_end").unwrap();
        assert_eq!(to_end.call(&mut store, ()).unwrap(), 0, "{name}");
    }
}

const ENDLESS: &str = r#"(module
    (tag $e)
    (func $throw (throw $e))
    (func (export "run")
        (loop $again (try_table (catch_all $again) (call $throw)) (unreachable))))"#;

/// A loop that goes through a catch is one like any other.
#[test]
fn class_14_loops_through_catch_end() {
    for (fuel, trap) in [(true, Trap::OutOfFuel), (false, Trap::Interrupt)] {
        let mut config = Config::new();
        config.consume_fuel(fuel).epoch_interruption(!fuel);
        let engine = Engine::new(&config).unwrap();
        let mut store = Store::new(&engine, ());
        if fuel {
            store.set_fuel(1_000_000).unwrap();
        }
        store.set_epoch_deadline(1);
        let run = instance(&mut store, ENDLESS, &[]);
        let run = run.get_typed_func::<(), ()>(&mut store, "run").unwrap();
        let timer = engine.clone();
        let timer = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            timer.increment_epoch();
        });
        assert_eq!(trapped(run.call(&mut store, ())), trap);
        timer.join().unwrap();
    }
}

/// The same fuel is used whether memory is guarded, and how well it was compiled.
#[test]
fn what_throwing_costs_is_the_same_everywhere() {
    let mut used = Vec::new();
    for level in [OptLevel::None, OptLevel::Speed] {
        let mut config = Config::new();
        let engine = Engine::new(config.consume_fuel(true).cranelift_opt_level(level)).unwrap();
        let mut store = Store::new(&engine, ());
        store.set_fuel(1_000_000).unwrap();
        let deep = instance(&mut store, DEEP, &[]);
        let many = deep.get_typed_func::<i32, i32>(&mut store, "many").unwrap();
        many.call(&mut store, 100).unwrap();
        used.push(1_000_000 - store.get_fuel().unwrap());
    }
    assert_eq!(used[0], used[1]);
    assert!(used[0] > 2_000, "{used:?}");
}

/// The clauses of all blocks around are written down for each block, so that few bytes may make
/// many of them.
#[test]
fn too_many_handlers_are_refused() {
    let tags: String = (0..2_000).map(|i| format!("(tag $t{i})")).collect();
    let catches: String = (0..2_000).map(|i| format!("(catch $t{i} 0)")).collect();
    let nested = |depth: usize| {
        let (open, close) = ("(try_table (catch $t1 0) ".repeat(depth), ")".repeat(depth));
        format!("(module {tags} (func $f (try_table {catches} {open} (call $f) {close})))")
    };
    let error = Module::new(&engine(), nested(1_000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error:#}");
    Module::new(&engine(), nested(100)).unwrap();
}

const NESTED: &str = r#"(module
    (tag $a (param i32)) (tag $b (param i32)) (tag $c (param i32)) (tag $d (param i32))
    (func $throw (param i32)
        (block $c (block $b (block $a (br_table $a $b $c (local.get 0)))
            (throw $a (i32.const 1))) (throw $b (i32.const 2))) (throw $c (i32.const 3)))
    ;; A number for each clause: from the innermost block to the outermost.
    (func (export "run") (param i32) (result i32) (local $x i32)
        (block $all (block $c1 (result i32) (block $c2 (result i32) (block $b1 (result i32)
            (block $a1 (result i32) (block $a2 (result i32)
            (try_table (catch $d $c1) (catch $c $c1) (catch_all $all)
                (try_table (catch $d $b1) (catch $b $b1) (catch $a $a1)
                    (try_table (catch $a $a2)
                        (call $throw (local.get 0)))
                    (drop (call $run (i32.const 1)))
                    (call $throw (local.get 0)))
                (unreachable))
            (unreachable))
            (return (i32.add (i32.const 10)))) (return (i32.add (i32.const 20))))
            (return (i32.add (i32.const 30)))) (return (i32.add (i32.const 40))))
            (return (i32.add (i32.const 50)))) (i32.const 60))
    (func $run (param i32) (result i32) (local.get 0)))"#;

#[test]
fn blocks_in_blocks_are_tried_inside_out() {
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let run = instance(&mut store, NESTED, &[]);
        let run = run.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        for (which, found) in [(0, 11), (1, 32), (2, 53)] {
            assert_eq!(run.call(&mut store, which).unwrap(), found, "{name}");
        }
    }
}

/// A function that is too large for the better compiler has its locals in the frame, registers in
/// one pass, and exceptions as any other.
#[test]
fn huge_functions_catch() {
    const CALLS: i32 = 13_000;
    let calls: String = (0..CALLS)
        .map(|i| {
            format!(
                "(local.set $sum (i32.add (local.get $sum)
                    (call $maybe (i32.const {i}) (local.get $k))))
                (local.set $x (f64.add (local.get $x) (f64.const 1)))"
            )
        })
        .collect();
    let text = format!(
        r#"(module
            (tag $e (param i32 v128))
            (func $maybe (param $i i32) (param $k i32) (result i32)
                (if (i32.eq (local.get $i) (local.get $k)) (then
                    (throw $e (local.get $i) (i32x4.splat (local.get $k)))))
                (local.get $i))
            (func (export "run") (param $k i32) (result i32 i32 f64 i32)
                (local $sum i32) (local $x f64) (local $v v128) (local $i i32)
                (block $none
                    (block $caught (result i32 v128)
                        (try_table (catch $e $caught) {calls})
                        (br $none))
                    (local.set $v) (local.set $i))
                (local.get $i) (local.get $sum) (local.get $x)
                (i32x4.extract_lane 2 (local.get $v))))"#
    );
    // Its frame is large as well.
    let engine = Engine::new(Config::new().max_wasm_stack(64 << 20)).unwrap();
    let run = move || {
        let mut store = Store::new(&engine, ());
        let run = instance(&mut store, &text, &[]);
        let run = run.get_typed_func::<i32, (i32, i32, f64, i32)>(&mut store, "run").unwrap();
        for k in [0, 1, 77, CALLS - 1] {
            let found = run.call(&mut store, k).unwrap();
            assert_eq!(found, (k, (0..k).sum(), f64::from(k), k));
        }
        let found = run.call(&mut store, -1).unwrap();
        assert_eq!(found, (0, (0..CALLS).sum(), f64::from(CALLS), 0));
    };
    std::thread::Builder::new().stack_size(128 << 20).spawn(run).unwrap().join().unwrap();
}

#[test]
fn legacy_instructions_are_refused_with_a_next_step() {
    for text in [
        "(module (tag $e) (func try (throw $e) catch $e end))",
        "(module (func try catch_all rethrow 0 end))",
        "(module (func try nop delegate 0))",
    ] {
        let error = Module::new(&engine(), text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:#}");
        for part in ["the proposal legacy-exceptions", "wasm-opt --translate-to-exnref"] {
            assert!(format!("{error:#}").contains(part), "{error:#}");
        }
    }
}
