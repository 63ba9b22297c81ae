//! Proposals: which are on, how each is switched, and what is said of a module that needs one.

use precompile::{Config, Engine, ErrorKind, Features, Module};

type Switch = fn(&mut Config, bool) -> &mut Config;

/// A proposal that an engine can be asked for, its switch, and a module that needs it.
const SWITCHES: &[(Features, Switch, &str)] = &[
    (Features::MULTI_VALUE, Config::wasm_multi_value, "(func (result i32 i32) unreachable)"),
    (
        Features::BULK_MEMORY,
        Config::wasm_bulk_memory,
        "(memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0)))",
    ),
    (Features::REFERENCE_TYPES, Config::wasm_reference_types, "(func (param externref))"),
    (Features::SIMD, Config::wasm_simd, "(func (param v128))"),
    (
        Features::RELAXED_SIMD,
        Config::wasm_relaxed_simd,
        "(func (param v128) (result v128) (i8x16.relaxed_swizzle (local.get 0) (local.get 0)))",
    ),
    (Features::TAIL_CALL, Config::wasm_tail_call, "(func (return_call 0))"),
    (Features::EXCEPTIONS, Config::wasm_exceptions, "(tag)"),
    (
        Features::FUNCTION_REFERENCES,
        Config::wasm_function_references,
        "(type $t (func)) (func (param (ref $t)))",
    ),
    (Features::MEMORY64, Config::wasm_memory64, "(memory i64 1)"),
    (Features::MULTI_MEMORY, Config::wasm_multi_memory, "(memory 1) (memory 1)"),
    (
        Features::EXTENDED_CONST,
        Config::wasm_extended_const,
        "(global i32 (i32.add (i32.const 1) (i32.const 2)))",
    ),
    (Features::THREADS, Config::wasm_threads, "(memory 1 1 shared)"),
    (Features::CUSTOM_PAGE_SIZES, Config::wasm_custom_page_sizes, "(memory 1 (pagesize 1))"),
    (
        Features::WIDE_ARITHMETIC,
        Config::wasm_wide_arithmetic,
        "(func (param i64) (result i64 i64) (i64.mul_wide_u (local.get 0) (local.get 0)))",
    ),
    (Features::GC, Config::wasm_gc, "(type (struct))"),
];

/// Proposals that no engine can be asked for.
const OTHERS: &[(&str, &str)] = &[
    ("legacy-exceptions", "(func try catch_all end)"),
    ("legacy-exceptions", "(tag $t) (func try catch $t end)"),
    ("stack-switching", "(type $f (func)) (type (cont $f))"),
    ("memory-control", "(memory 1) (func (memory.discard (i32.const 0) (i32.const 0)))"),
    ("shared-everything-threads", "(type (shared (func)))"),
    (
        "custom-descriptors",
        "(rec (type $a (descriptor $b) (struct)) (type $b (describes $a) (struct)))",
    ),
];

fn binary(fields: &str) -> Vec<u8> {
    wat::parse_str(format!("(module {fields})")).expect("the text is well-formed")
}

fn name(feature: Features) -> String {
    feature.to_string()
}

/// What is said of a module, under `features`.
fn refusal(features: Features, fields: &str) -> String {
    let engine = Engine::new(Config::new().features(features)).expect("supported settings");
    let error = Module::new(&engine, binary(fields)).expect_err(fields);
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{fields}: {error:#}");
    format!("{error:#}")
}

#[test]
fn each_proposal_has_a_switch() {
    let all = SWITCHES.iter().fold(Features::WASM1, |all, row| all.union(row.0));
    let without = Features::SATURATING_FLOAT_TO_INT.union(Features::SIGN_EXTENSION);
    let known = Features::WASM3.union(Features::SUPPORTED).union(Features::THREADS);
    assert_eq!(all, known.difference(without));
    for (feature, switch, fields) in SWITCHES {
        let (mut on, mut off) = (Config::new(), Config::new());
        on.features(Features::default().difference(*feature));
        switch(&mut on, true);
        switch(&mut off, false);
        if Features::SUPPORTED.contains(*feature) {
            let engine = Engine::new(&on).expect("supported");
            Module::new(&engine, binary(fields)).expect(fields);
            let engine = Engine::new(&off).expect("supported");
            let error = Module::new(&engine, binary(fields)).expect_err(fields);
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{fields}: {error:#}");
        } else {
            let error = Engine::new(&on).expect_err("not supported");
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(format!("{error:#}").contains(&name(*feature)), "{error:#}");
            assert!(Engine::new(&off).is_ok());
        }
    }
}

/// By its name, and whether it helps to switch it on.
#[test]
fn modules_are_refused_by_what_they_need() {
    // What a proposal is made of, is on.
    let base = Features::WASM2.union(Features::FUNCTION_REFERENCES);
    for (feature, _, fields) in SWITCHES {
        let said = refusal(base.difference(*feature), fields);
        let state = match Features::SUPPORTED.contains(*feature) {
            true => format!(
                "switched off; `Config::features` switches on, or `--features +{}`",
                name(*feature)
            ),
            false => "not supported by this engine".to_string(),
        };
        let whole = format!("needs the proposal {}, which is {state}", name(*feature));
        assert!(said.contains(&whole), "{fields}: {said}");
    }
    for (proposal, fields) in OTHERS {
        let said = refusal(Features::SUPPORTED, fields);
        assert!(said.contains(proposal), "{fields}: {said}");
        assert!(said.contains("not supported by this engine"), "{fields}: {said}");
    }
}

/// The validator has one flag for them and for garbage-collected types, of which they need nothing.
#[test]
fn constant_expressions_that_read_own_globals_need_no_collector() {
    let own = "(global $a i32 (i32.const 1)) (global i32 (global.get $a))";
    let own_and = |more: &str| format!("{own} {more}");
    let both = "needs the proposals extended-const, function-references, which are switched off; \
                `Config::features` switches on, or `--features +extended-const,+function-references`";
    let (extended, typed) = (Features::EXTENDED_CONST, Features::FUNCTION_REFERENCES);
    for (features, fields, whole) in [
        (Features::WASM2, own, both),
        (Features::WASM1, own, both),
        (Features::WASM2.union(extended), own, "needs the proposal function-references, which is"),
        (Features::WASM2.union(typed), own, "needs the proposal extended-const, which is"),
        (
            Features::WASM2,
            &own_and("(memory 1 1 shared)"),
            "needs the proposals extended-const, threads, function-references, which are",
        ),
        (
            Features::default(),
            &own_and("(memory 1 1 shared)"),
            "needs the proposal threads, which is",
        ),
        // What does need it, before such an expression or behind it.
        (Features::WASM2, &own_and("(type (struct))"), "needs the proposal gc, which is not"),
        (
            Features::WASM2,
            &own_and("(func (drop (ref.i31 (i32.const 1))))"),
            "needs the proposal gc, which is not",
        ),
        (
            Features::default(),
            &own_and("(func (drop (ref.i31 (i32.const 1))))"),
            "needs the proposal gc, which is not",
        ),
    ] {
        let said = refusal(features, fields);
        assert!(said.contains(whole), "{features}: {fields}: {said}");
    }
    // And what is named is enough.
    let engine = Engine::new(Config::new().features(Features::WASM2.union(extended).union(typed)));
    Module::new(&engine.unwrap(), binary(own)).unwrap();
}

/// Of garbage-collected types nothing is there yet, and whatever needs them is told so.
#[test]
fn whatever_needs_a_collector_is_refused_by_its_name() {
    for fields in [
        "(type (struct))",
        "(type (array i8))",
        "(func (param (ref null i31)))",
        "(func (param anyref))",
        "(func (param eqref))",
        "(rec (type $a (func (param (ref null $b)))) (type $b (func)))",
        "(rec (type (func)) (type (func)))",
        "(type $a (sub (func))) (type (sub $a (func)))",
        "(type (sub final (func)))(type $a (sub (func)))",
        "(func (param nullfuncref))",
        "(func (param nullexternref))",
        "(func (drop (ref.null nofunc)))",
        "(func (drop (ref.null noextern)))",
        "(global funcref (ref.null nofunc))",
        "(table 1 nullfuncref)",
        "(func (drop (ref.cast funcref (ref.null func))))",
        "(func (drop (ref.test (ref func) (ref.null func))))",
        "(func (drop (any.convert_extern (ref.null extern))))",
        "(func (drop (extern.convert_any (ref.null any))))",
        "(func (drop (ref.i31 (i32.const 1))))",
        "(func (drop (ref.eq (ref.null eq) (ref.null eq))))",
        "(func (block $l (result funcref) (br_on_cast $l funcref (ref func) (ref.null func))) drop)",
    ] {
        let said = refusal(Features::default(), fields);
        assert!(said.contains("needs the proposal gc, which is not supported"), "{fields}: {said}");
        let next = "build it for linear memory, without garbage-collected types";
        assert!(said.contains(next), "{fields}: {said}");
    }
}

/// The default has what the specification has.
#[test]
fn the_default_is_the_specification() {
    let engine = Engine::default();
    for (feature, _, fields) in SWITCHES {
        let is_on = Features::WASM3.intersection(Features::SUPPORTED).contains(*feature);
        assert_eq!(Module::new(&engine, binary(fields)).is_ok(), is_on, "{fields}");
    }
}
