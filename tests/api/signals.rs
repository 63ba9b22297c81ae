//! Class 6: signals that are not wasm's go where they would have gone without us.

use crate::child::{died_of, is_child, passed, run};
use crate::raw;
use crate::support::{engine, instance, trapped};
use precompile::*;

/// Wasm that has trapped by signal, so that the handler has been there; and what is called by it.
fn used(host: impl IntoFunc<(), (), ()>) -> (Store<()>, TypedFunc<(), ()>) {
    let mut store = Store::new(&engine(), ());
    let host = Func::wrap(&mut store, host);
    let text = r#"(module
        (import "" "host" (func $host)) (memory 1)
        (func (export "load") (drop (i32.load (i32.const -1))))
        (func (export "run") (call $host)))"#;
    let instance = instance(&mut store, text, &[host.into()]);
    let load = instance.get_typed_func::<(), ()>(&mut store, "load").unwrap();
    assert_eq!(trapped(load.call(&mut store, ())), Trap::MemoryOutOfBounds);
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    raw::no_core();
    (store, run)
}

#[test]
fn class_06_the_hosts_own_fault_outside_of_wasm() {
    if is_child() {
        used(|| ());
        raw::null_dereference();
        return;
    }
    died_of(&run("signals::class_06_the_hosts_own_fault_outside_of_wasm"), libc::SIGSEGV);
}

#[test]
fn class_06_the_hosts_own_fault_inside_of_an_activation() {
    if is_child() {
        let (mut store, run) = used(|| {
            raw::null_dereference();
        });
        let _ = run.call(&mut store, ());
        return;
    }
    died_of(&run("signals::class_06_the_hosts_own_fault_inside_of_an_activation"), libc::SIGSEGV);
}

#[test]
fn class_06_a_handler_that_was_there_before_gets_the_hosts_faults() {
    if is_child() {
        raw::exit_on(libc::SIGSEGV);
        let (mut store, run) = used(|| {
            raw::null_dereference();
        });
        let _ = run.call(&mut store, ());
        return;
    }
    let output = run("signals::class_06_a_handler_that_was_there_before_gets_the_hosts_faults");
    assert_eq!(output.status.code(), Some(raw::HANDLED), "{output:?}");
}

#[test]
fn class_06_a_handler_that_was_there_before_on_another_thread() {
    if is_child() {
        raw::exit_on(libc::SIGSEGV);
        used(|| ());
        // This thread has never been in wasm.
        let _ = std::thread::spawn(raw::null_dereference).join();
        return;
    }
    let output = run("signals::class_06_a_handler_that_was_there_before_on_another_thread");
    assert_eq!(output.status.code(), Some(raw::HANDLED), "{output:?}");
}

#[test]
fn class_06_illegal_instructions_of_the_host() {
    if is_child() {
        let (mut store, run) = used(raw::illegal_instruction);
        let _ = run.call(&mut store, ());
        return;
    }
    died_of(&run("signals::class_06_illegal_instructions_of_the_host"), libc::SIGILL);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn class_06_divisions_of_the_host() {
    if is_child() {
        let (mut store, run) = used(raw::division_by_zero);
        let _ = run.call(&mut store, ());
        return;
    }
    died_of(&run("signals::class_06_divisions_of_the_host"), libc::SIGFPE);
}

/// What other signals the host can get by an instruction, and how. Divisions do not trap on Arm.
const OTHERS: &[(&str, i32, fn())] = &[
    ("ill", libc::SIGILL, raw::illegal_instruction),
    #[cfg(target_arch = "x86_64")]
    ("fpe", libc::SIGFPE, raw::division_by_zero),
];

#[test]
fn class_06_handlers_for_the_other_signals() {
    if is_child() {
        let which = std::env::var("API_TEST_SIGNAL").unwrap();
        let (_, signal, fault) = *OTHERS.iter().find(|other| other.0 == which).unwrap();
        raw::exit_on(signal);
        let (mut store, run) = used(fault);
        let _ = run.call(&mut store, ());
        return;
    }
    for (which, ..) in OTHERS {
        let output = crate::child::run_with(
            "signals::class_06_handlers_for_the_other_signals",
            ("API_TEST_SIGNAL", which),
        );
        assert_eq!(output.status.code(), Some(raw::HANDLED), "{output:?}");
    }
}

/// The host's own stack overflow is found by whoever found it before: the standard library.
#[test]
fn class_06_the_hosts_own_stack_overflow() {
    #[expect(unconditional_recursion, reason = "that is the point")]
    fn forever() -> u64 {
        std::hint::black_box(forever() + 1)
    }
    if is_child() {
        let (mut store, run) = used(|| {
            forever();
        });
        let _ = run.call(&mut store, ());
        return;
    }
    let output = run("signals::class_06_the_hosts_own_stack_overflow");
    died_of(&output, libc::SIGABRT);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("overflowed its stack"), "{message}");
}

/// A program whose code or data comes from a file that was cut off.
const LARGE: &str = r#"(module (memory 2) (data (i32.const 0) "first") (data (i32.const 70000) "last")
    (func (export "run") (result i32)
        (i32.add (i32.load (i32.const 0)) (i32.load (i32.const 70000)))))"#;

/// Loads `LARGE` from a file, cuts the file off, and runs what was loaded.
fn run_truncated(load: Load) -> Result<i32> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("entry");
    let mut config = Config::new();
    config.load(load);
    let engine = Engine::new(&config).unwrap();
    std::fs::write(&path, engine.precompile_module(LARGE.as_bytes()).unwrap()).unwrap();
    // By a name that says nothing to who reads of it later.
    std::env::set_current_dir(dir.path()).unwrap();
    let module = raw::deserialize_file(&engine, "entry".as_ref()).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let run = instance.get_typed_func::<(), i32>(&mut store, "run")?;
    file.set_len(4096).unwrap();
    raw::no_core();
    run.call(&mut store, ())
}

#[test]
fn class_06_a_mapped_entry_that_is_cut_off_is_named() {
    if is_child() {
        let _ = run_truncated(Load::Map);
        return;
    }
    let output = run("signals::class_06_a_mapped_entry_that_is_cut_off_is_named");
    died_of(&output, libc::SIGABRT);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("/entry` was shortened"), "{message}");
}

#[test]
fn class_06_a_copied_entry_that_is_cut_off_runs_on() {
    if is_child() {
        let sum = i32::from_le_bytes(*b"firs").wrapping_add(i32::from_le_bytes(*b"last"));
        assert_eq!(run_truncated(Load::Copy).unwrap(), sum);
        return;
    }
    passed(&run("signals::class_06_a_copied_entry_that_is_cut_off_runs_on"));
}
