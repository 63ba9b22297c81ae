//! What the translation makes of small modules, on both instruction sets. That the code computes
//! the right thing is for the specification's tests.

use crate::abi::memory_plan::Bounds;
use crate::abi::target::{Arch, CpuLevel, Os, Target};
use crate::abi::vmctx::{Counts, Layout};
use crate::compile::decode::{Decoded, decode};
use crate::compile::function::{CallTarget, CompiledCode, FunctionCompiler, ModuleEnv, RelocKind};
use crate::compile::isa;
use crate::error::{ErrorKind, Result};
use crate::fingerprint::{Fingerprint, OptLevel};
use crate::wasm::index::DefinedFuncIndex;
use crate::{Features, Trap};
use std::fmt::Write as _;

fn settings(cpu: CpuLevel, bounds: Bounds, opt_level: OptLevel) -> Fingerprint {
    Fingerprint {
        target: Target::new(cpu.arch(), Os::Linux),
        cpu,
        features: Features::SUPPORTED,
        bounds,
        opt_level,
        nan_canonicalization: false,
        relaxed_simd_deterministic: true,
        fuel: false,
        epoch_interruption: false,
    }
}

/// With all that stops code.
fn metered(settings: Fingerprint) -> Fingerprint {
    Fingerprint { fuel: true, epoch_interruption: true, ..settings }
}

const X86: CpuLevel = CpuLevel::X86_64V2;

/// Settings that between them take every path of the translation.
fn all_settings() -> [Fingerprint; 6] {
    [
        settings(X86, Bounds::Guard, OptLevel::Speed),
        settings(X86, Bounds::Explicit, OptLevel::Speed),
        settings(CpuLevel::X86_64, Bounds::Explicit, OptLevel::None),
        settings(CpuLevel::X86_64V3, Bounds::Guard, OptLevel::None),
        settings(CpuLevel::Aarch64, Bounds::Guard, OptLevel::Speed),
        settings(CpuLevel::Aarch64, Bounds::Explicit, OptLevel::Speed),
    ]
}

fn layout(decoded: &Decoded<'_>) -> Layout {
    let info = &decoded.info;
    let defined = |all: usize, imported: u32| all as u32 - imported;
    Layout::new(Counts {
        imported_functions: info.num_imported_functions,
        imported_tables: info.num_imported_tables,
        imported_memories: info.num_imported_memories,
        imported_globals: info.num_imported_globals,
        imported_tags: info.num_imported_tags,
        defined_tables: defined(info.tables.len(), info.num_imported_tables),
        defined_memories: defined(info.memories.len(), info.num_imported_memories),
        defined_globals: defined(info.globals.len(), info.num_imported_globals),
        defined_tags: defined(info.tags.len(), info.num_imported_tags),
        func_refs: info.num_func_refs,
    })
    .unwrap()
}

/// Code and CLIF of each function of a module.
fn compile(wasm: &[u8], settings: Fingerprint) -> Result<Vec<(CompiledCode, String)>> {
    let decoded = decode(wasm, settings.features)?;
    let isa = isa::build(&settings)?;
    let layout = layout(&decoded);
    let env = ModuleEnv { info: &decoded.info, layout, settings, isa: &*isa };
    let mut compiler = FunctionCompiler::new();
    (0..decoded.info.bodies.len())
        .map(|index| {
            let func = DefinedFuncIndex::new(index as u32);
            let (body, validator) = decoded.body(func).unwrap();
            let code = compiler.compile(&env, func, body, validator)?;
            Ok((code, compiler.clif()))
        })
        .collect()
}

fn compile_wat(text: &str, settings: Fingerprint) -> Vec<(CompiledCode, String)> {
    let wasm = wat::parse_str(text).unwrap();
    compile(&wasm, settings).unwrap_or_else(|e| panic!("{e:#}\n{text}"))
}

/// Compiles with all settings, twice, and checks what holds for all code.
fn everywhere(text: &str) {
    for settings in all_settings().into_iter().flat_map(|s| [s, metered(s)]) {
        let functions = compile_wat(text, settings);
        for (code, clif) in &functions {
            for reloc in &code.relocs {
                let (kind, size) = match settings.target.arch() {
                    Arch::X86_64 => (RelocKind::X86CallRel32, 4),
                    Arch::Aarch64 => (RelocKind::Aarch64Call26, 4),
                };
                assert_eq!(reloc.kind, kind);
                assert!(reloc.at as usize + size <= code.code.len());
            }
            assert!(code.relocs.is_sorted_by_key(|reloc| reloc.at));
            assert!(code.sites.is_sorted_by_key(|site| site.pc));
            assert!(code.sites.iter().all(|s| s.pc as usize <= code.code.len()), "{clif}");
        }
        let again = compile_wat(text, settings);
        assert!(functions == again, "{settings:?}");
    }
}

fn traps(code: &CompiledCode) -> Vec<Trap> {
    code.sites.iter().filter_map(|site| site.trap).collect()
}

#[test]
fn control() {
    everywhere(
        r#"(module
        (func (export "block") (param i32) (result i32)
            (block (result i32)
                (drop (br_if 0 (i32.const 1) (local.get 0)))
                (i32.const 2)))
        (func (export "loop") (param i32 i64) (result i64)
            (local.get 1)
            (loop (param i64) (result i64)
                (i64.add (i64.const 1))
                (local.tee 1)
                (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
                (br_if 0 (local.get 0))))
        (func (export "if") (param i32) (result i32)
            (if (result i32) (local.get 0) (then (i32.const 1)) (else (i32.const 2))))
        (func (export "if without else") (param i32)
            (if (local.get 0) (then (local.set 0 (i32.const 1))))
            (if (local.get 0) (then (return)))
            (if (local.get 0) (then (br 0)))
            (if (local.get 0) (then (br_if 0 (i32.const 1)) (br_if 1 (i32.const 1)))))
        (func (export "if with parameters and no else") (param i32) (result i32 i64)
            (i32.const 7) (i64.const 8) (local.get 0)
            (if (param i32 i64) (result i32 i64)
                (then (drop) (drop) (i32.const 9) (i64.const 10)))
            (local.get 0)
            (if (param i32 i64) (result i32 i64)
                (then (br_if 0 (local.get 0)) (br 0)))
            (local.get 0)
            (if (param i32 i64) (result i32 i64) (then (unreachable))))
        (func (export "table") (param i32) (result i32)
            (block (result i32)
                (block (result i32)
                    (block (result i32)
                        (br_table 0 1 2 3 1 0 (i32.const 5) (local.get 0)))
                    (i32.add (i32.const 1)))
                (i32.add (i32.const 2))))
        (func (export "table without values") (param i32) (result i32)
            (loop
                (block (block (br_table 0 1 2 0 1 2 0 (local.get 0)))
                    (return (i32.const 1)))
                (return (i32.const 2)))
            (i32.const 3))
        (func (export "table of nothing") (param i32) (result i32)
            (block (result i32) (br_table 0 (i32.const 5) (local.get 0))))
        (func (export "br to the function") (param i32) (result i32 f64)
            (block (br 1 (i32.const 1) (f64.const 2)))
            (br_if 0 (i32.const 3) (f64.const 4) (local.get 0))
            (br_table 0 0 (local.get 0)))
        )"#,
    );
}

#[test]
fn unreachable_code() {
    everywhere(
        r#"(module (memory 1) (table 1 funcref)
        (func (export "after unreachable") (result i32)
            (unreachable) (i32.add) (drop) (i64.load) (drop)
            (block (loop (unreachable) (if (then (br 2)) (else (br 1)))))
            (call_indirect (param f32 f64) (result i32)))
        (func (export "select") (result i32)
            (block (br 0)) (unreachable) (select) (drop) (i32.const 1))
        (func (export "arms") (param i32) (result i32)
            (if (result i32) (local.get 0)
                (then (return (i32.const 1)))
                (else (unreachable))))
        (func (export "one arm") (param i32) (result i32)
            (if (result i32) (local.get 0)
                (then (return (i32.const 1)))
                (else (i32.const 2))))
        (func (export "if in unreachable code") (param i32) (result i32)
            (block (result i32)
                (br 0 (i32.const 3))
                (if (result i32) (then (i32.const 1)) (else (i32.const 2)))
                (if (then (unreachable)))))
        (func (export "endless") (loop (br 0)))
        (func (export "endless with a tail") (result i64)
            (loop (result i64) (br 0)) (i64.const 1) (i64.add))
        (func (export "br_if behind br") (result i32)
            (block (result i32) (i32.const 1) (br 0) (br_if 0) (br_table 0 0)))
        (func (export "the label is not reached, the end is not either") (param i32)
            (block (block (br 1)) (unreachable)))
        (func (export "return") (result i32) (return (i32.const 1)) (return))
        (func (export "loop, never back") (param i32) (result i32)
            (loop (result i32) (return (local.get 0))))
        )"#,
    );
}

#[test]
fn many_values() {
    let mut text = String::from("(module (import \"\" \"f\" (func $f (type $t)))");
    let types = "i32 i64 f32 f64 v128 funcref externref ".repeat(30);
    let _ = write!(text, "(type $t (func (param {types}) (result {types})))");
    for (name, head) in [("block", "block (type $t)"), ("loop", "loop (type $t)")] {
        let _ = write!(text, "(func $g_{name} (export \"{name}\") (type $t)");
        for i in 0..types.split_whitespace().count() {
            let _ = write!(text, "(local.get {i})");
        }
        let _ = write!(text, "{head} call $f call $g_{name} i32.const 1 br_if 0 end)");
    }
    text.push(')');
    // Types come before the import.
    let (import, rest) = text.split_at(text.find("(type $t (func").unwrap());
    let end = rest.find("(func $g_block").unwrap();
    let import = import.strip_prefix("(module ").unwrap();
    everywhere(&format!("(module {} {import} {}", &rest[..end], &rest[end..]));
}

#[test]
fn memories() {
    let mut text = String::from("(module (memory (export \"m\") 2 10)");
    for offset in ["0", "4", "65532", "131064", "0x7fffffff", "0x80000000", "0xffffffff"] {
        let _ = write!(text, "(func (param i32 i32 i64 f32 f64)");
        let loads = "i32.load i64.load f32.load f64.load i32.load8_s i32.load8_u i32.load16_s \
            i32.load16_u i64.load8_s i64.load8_u i64.load16_s i64.load16_u i64.load32_s \
            i64.load32_u";
        for load in loads.split_whitespace() {
            let _ = write!(text, "(drop ({load} offset={offset} (local.get 0)))");
            let _ = write!(text, "(drop ({load} offset={offset} (i32.const 100)))");
            let _ = write!(text, "(drop ({load} offset={offset} (i32.const -1)))");
        }
        let stores = "i32.store=1 i64.store=2 f32.store=3 f64.store=4 i32.store8=1 i32.store16=1 \
            i64.store8=2 i64.store16=2 i64.store32=2";
        for store in stores.split_whitespace() {
            let (store, local) = store.split_once('=').unwrap();
            let _ = write!(text, "({store} offset={offset} (local.get 0) (local.get {local}))");
        }
        text.push(')');
    }
    text.push_str(
        "(func (export \"g\") (param i32) (result i32 i32) (memory.grow (local.get 0))
            (memory.size)))",
    );
    everywhere(&text);
    everywhere(&text.replace("(memory (export \"m\") 2 10)", "(import \"\" \"m\" (memory 0))"));
    everywhere(&text.replace("2 10", "0 0"));
    everywhere(&text.replace("2 10", "65536 65536"));
}

#[test]
fn bulk() {
    let mut text = String::from("(module (memory 1) (data $d \"abc\")");
    for len in [0, 1, 2, 3, 7, 15, 16, 31, 127, 128, 129, 100_000] {
        let _ = write!(
            text,
            "(func (param i32 i32)
                (memory.copy (local.get 0) (local.get 1) (i32.const {len}))
                (memory.fill (local.get 0) (local.get 1) (i32.const {len}))
                (memory.init $d (local.get 0) (local.get 1) (i32.const {len})))"
        );
    }
    text.push_str(
        "(func (param i32 i32 i32)
            (memory.copy (local.get 0) (local.get 1) (local.get 2))
            (memory.fill (local.get 0) (local.get 1) (local.get 2))
            (memory.init $d (local.get 0) (local.get 1) (local.get 2))
            (data.drop $d)))",
    );
    everywhere(&text);
    everywhere(&text.replace("(memory 1)", "(import \"\" \"m\" (memory 1))"));
}

#[test]
fn tables_and_references() {
    let text = r#"(module TABLES
        (type $t (func (param i32) (result i64)))
        (import "" "g" (global $g funcref)) (import "" "h" (global $h (mut externref)))
        (elem $e funcref (ref.func $f)) (elem $x externref (ref.null extern))
        (func $f (export "f") (type $t)
            (call_indirect $a (type $t) (local.get 0) (local.get 0))
            (drop (call_indirect $a (type $t) (local.get 0) (i32.const 3)))
            (drop (call_indirect $a (type $t) (local.get 0) (i32.const 30))))
        (func (param i32 funcref externref) (result funcref externref)
            (table.set $a (local.get 0) (local.get 1))
            (table.set $b (local.get 0) (local.get 2))
            (table.set $a (i32.const 1) (ref.func $f))
            (table.fill $a (local.get 0) (local.get 1) (local.get 0))
            (table.fill $b (local.get 0) (local.get 2) (local.get 0))
            (table.copy $a $a (local.get 0) (local.get 0) (local.get 0))
            (table.copy $b $b (local.get 0) (local.get 0) (local.get 0))
            (table.init $a $e (local.get 0) (local.get 0) (local.get 0))
            (table.init $b $x (local.get 0) (local.get 0) (local.get 0))
            (elem.drop $e)
            (drop (table.grow $a (local.get 1) (local.get 0)))
            (drop (table.grow $b (local.get 2) (local.get 0)))
            (drop (i32.add (table.size $a) (table.size $b)))
            (drop (ref.is_null (global.get $g)))
            (drop (ref.is_null (ref.null extern)))
            (global.set $h (local.get 2))
            (drop (select (result externref) (global.get $h) (local.get 2) (local.get 0)))
            (table.get $a (local.get 0))
            (table.get $b (local.get 0))))"#;
    for tables in [
        "(table $a 10 funcref) (table $b 10 externref)",
        "(table $a 10 10 funcref) (table $b 10 10 externref)",
        "(table $a 0 0 funcref) (table $b (export \"b\") 0 0 externref)",
        "(import \"\" \"a\" (table $a 10 funcref)) (import \"\" \"b\" (table $b 1 1 externref))",
    ] {
        // Imports come first.
        everywhere(&match tables.starts_with("(import") {
            true => text.replace("TABLES", tables),
            false => text.replace("TABLES", "").replace("(elem $e", &format!("{tables} (elem $e")),
        });
    }
}

#[test]
fn globals_and_locals() {
    everywhere(
        r#"(module
        (import "" "a" (global $a i32)) (import "" "b" (global $b (mut v128)))
        (global $c i32 (i32.const -1)) (global $d (mut f64) (f64.const 1))
        (global $e v128 (v128.const i64x2 1 2)) (global $f i32 (global.get $a))
        (global $g f32 (f32.const nan:0x200000))
        (func (export "f") (param i32 v128) (result i32 v128 f32 f64)
            (local v128 funcref externref f32)
            (global.set $b (local.get 1))
            (local.set 2 (f32x4.add (global.get $e) (global.get $b)))
            (global.set $b (i64x2.add (local.get 2) (global.get $b)))
            (global.set $d (f64.const 3))
            (i32.add (global.get $a) (i32.add (global.get $c) (global.get $f)))
            (select (f32x4.add (local.get 1) (local.get 2)) (local.get 1) (local.get 0))
            (global.get $g)
            (global.get $d)))"#,
    );
}

#[test]
fn calls() {
    let text = r#"(module
        (import "" "i" (func $i (param i32) (result i32)))
        (func $a (param i32) (result i32) (call $b (call $i (call $a (local.get 0)))))
        (func $b (param i32) (result i32) (call $i (local.get 0))))"#;
    everywhere(text);
    let functions = compile_wat(text, all_settings()[0]);
    let targets = |code: &CompiledCode| -> Vec<_> {
        let func = |target| match target {
            CallTarget::Func(func) => func.as_u32(),
            CallTarget::Builtin(builtin) => panic!("{builtin:?}"),
        };
        code.relocs.iter().map(|reloc| func(reloc.target)).collect()
    };
    assert_eq!(targets(&functions[0].0), [1, 2]);
    assert_eq!(targets(&functions[1].0), [] as [u32; 0]);
    let returns = |code: &CompiledCode| code.sites.iter().filter(|s| s.trap.is_none()).count();
    assert_eq!(returns(&functions[0].0), 3);
    assert!(traps(&functions[0].0).contains(&Trap::StackOverflow));
}

#[test]
fn tail_calls() {
    let text = r#"(module
        (type $t (func (param i32) (result i32)))
        (import "" "i" (func $i (type $t)))
        (table 1 funcref)
        (func $a (type $t) (return_call $b (local.get 0)))
        (func $b (type $t) (return_call $i (local.get 0)))
        (func $c (type $t) (return_call_indirect (type $t) (local.get 0) (local.get 0))
            (i32.const 1) (drop)))"#;
    everywhere(text);
    let functions = compile_wat(text, all_settings()[0]);
    assert_eq!(functions[0].0.relocs.len(), 1);
}

#[test]
fn typed_function_references() {
    let text = r#"(module
        (type $t (func (param i32) (result i32)))
        (type $u (func (param (ref null $t) (ref $t) externref) (result (ref null $t))))
        (import "" "g" (global $g (ref $t)))
        (table $a 2 (ref null $t)) (table $b 2 (ref $t) (global.get $g))
        (elem declare func $call)
        (func $call (type $t)
            (call_ref $t (call_ref $t (local.get 0) (global.get $g)) (ref.func $call)))
        (func (export "tail") (type $t)
            (return_call_ref $t (local.get 0) (table.get $a (local.get 0)))
            (i32.const 1) (drop))
        (func (export "null") (type $u) (local (ref null $t) (ref $t))
            (local.set 3 (local.get 0))
            (block $null
                (local.set 4 (br_on_null $null (local.get 3)))
                (table.set $b (i32.const 1) (local.get 4))
                (drop (table.grow $a (local.get 4) (i32.const 1))))
            (block $extern (drop (br_on_null $extern (local.get 2))))
            (drop (block $some (result externref)
                (br_on_non_null $some (local.get 2)) (ref.null extern)))
            (drop (ref.as_non_null (local.get 2)))
            (ref.as_non_null (local.get 0)))
        (func (export "block") (param (ref $t)) (result i32)
            (i32.const 1)
            (block (param i32) (result i32 (ref $t)) (br_on_non_null 0 (local.get 0)) (unreachable))
            (call_ref $t)))"#;
    everywhere(text);
    let functions = compile_wat(text, all_settings()[0]);
    assert!(traps(&functions[0].0).contains(&Trap::NullReference));
    assert!(traps(&functions[2].0).contains(&Trap::NullReference));
}

#[test]
fn wide_memories_and_small_pages() {
    for memory in
        ["i64 2 10", "i64 2", "i64 2 2", "i64 0", "2 200000 (pagesize 1)", "7 7 (pagesize 1)"]
    {
        let index = if memory.starts_with("i64") { "i64" } else { "i32" };
        let mut text = format!("(module (memory {memory}) (memory $n 1) (data $d \"abc\")");
        for offset in ["0", "8", "65532", "0x7fffffff", "0xffffffff"] {
            let _ = write!(
                text,
                "(func (param {index} i64) (result i64 v128)
                    (i64.store offset={offset} (local.get 0) (local.get 1))
                    (drop (i64.load offset={offset} ({index}.const 100)))
                    (drop (i64.load offset={offset} ({index}.const -1)))
                    (i64.load8_u offset={offset} (local.get 0))
                    (v128.load offset={offset} (local.get 0)))"
            );
        }
        let _ = write!(
            text,
            "(func (param {index} i32) (result {index})
                (memory.copy 0 0 (local.get 0) (local.get 0) (local.get 0))
                (memory.copy $n 0 (local.get 1) (local.get 0) (local.get 1))
                (memory.copy 0 $n (local.get 0) (local.get 1) (i32.const 40))
                (memory.fill 0 (local.get 0) (i32.const 1) (local.get 0))
                (memory.init $d (local.get 0) (local.get 1) (local.get 1))
                (drop (memory.grow 0 (local.get 0)))
                (memory.size 0)))"
        );
        everywhere(&text);
    }
    let most = "(module (memory i64 1) (func (param i64) (result i64)
        (i64.load offset=0xfffffffffffffff8 (local.get 0))))";
    everywhere(most);
    // Guard pages or not: such an address could be anywhere.
    let (_, clif) = compile_wat(most, settings(X86, Bounds::Guard, OptLevel::None)).remove(0);
    assert!(!clif.contains("load.i64 little"), "it always traps:\n{clif}");
    let text = most.replace("0xfffffffffffffff8", "8");
    let (_, clif) = compile_wat(&text, settings(X86, Bounds::Guard, OptLevel::Speed)).remove(0);
    assert!(clif.contains("select_spectre_guard"), "{clif}");
}

#[test]
fn wide_arithmetic() {
    everywhere(
        "(module
        (func (param i64 i64 i64 i64) (result i64 i64)
            (i64.add128 (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
        (func (param i64 i64 i64 i64) (result i64 i64)
            (i64.sub128 (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
        (func (param i64 i64) (result i64 i64) (i64.mul_wide_s (local.get 0) (local.get 1)))
        (func (param i64 i64) (result i64 i64) (i64.mul_wide_u (local.get 0) (local.get 1))))",
    );
}

#[test]
fn sites_name_the_operator() {
    let text = "(module (func (param i32 i32) (result i32)
        (drop (call 0 (i32.const 0) (i32.const 1)))
        (i32.div_s (local.get 0) (local.get 1))))";
    let wasm = wat::parse_str(text).unwrap();
    let call = wasm.windows(2).position(|w| w == [0x10, 0]).unwrap() as u32;
    let div = wasm.iter().rposition(|b| *b == 0x6d).unwrap() as u32;
    for settings in all_settings() {
        let (code, _) = compile(&wasm, settings).unwrap().remove(0);
        for site in &code.sites {
            match site.trap {
                None => assert_eq!(site.wasm_offset, call),
                Some(Trap::IntegerDivisionByZero | Trap::IntegerOverflow) => {
                    assert_eq!(site.wasm_offset, div);
                }
                Some(Trap::StackOverflow) => assert!(site.wasm_offset < call),
                Some(other) => panic!("{other}"),
            }
        }
        assert!(traps(&code).contains(&Trap::IntegerDivisionByZero));
    }
}

#[test]
fn a_guarded_access_is_not_checked() {
    let text = "(module (memory 1) (func (param i32) (result i32)
        (i32.load offset=0xffffffff (local.get 0))))";
    let (_, clif) = compile_wat(text, settings(X86, Bounds::Guard, OptLevel::Speed)).remove(0);
    assert!(!clif.contains("icmp") && !clif.contains("select"), "{clif}");
    let text = "(module (memory 1) (func (param i32) (result i32)
        (i32.add (i32.load offset=4 (local.get 0)) (i32.load offset=8 (local.get 0)))))";
    let (_, clif) = compile_wat(text, settings(X86, Bounds::Explicit, OptLevel::Speed)).remove(0);
    assert_eq!(clif.matches("icmp").count(), 1, "one comparison for both:\n{clif}");
    assert_eq!(clif.matches("select_spectre_guard").count(), 2, "{clif}");
}

#[test]
fn always_out_of_bounds() {
    let text = "(module (memory 1 1) (func (param i32) (result i32)
        (i32.load offset=65536 (local.get 0))))";
    let (code, clif) = compile_wat(text, settings(X86, Bounds::Explicit, OptLevel::None)).remove(0);
    assert_eq!(traps(&code), [Trap::MemoryOutOfBounds], "{clif}");
    assert!(!clif.contains("load.i32"), "{clif}");
}

#[test]
fn an_element_that_is_known_to_exist_is_not_checked() {
    let text = "(module (table 4 4 externref) (func (result externref)
        (table.get (i32.const 3))))";
    let (code, clif) = compile_wat(text, settings(X86, Bounds::Guard, OptLevel::Speed)).remove(0);
    assert_eq!(traps(&code), []);
    assert!(!clif.contains("icmp"), "{clif}");
    let (code, _) = compile_wat(&text.replace("const 3", "const 4"), all_settings()[0]).remove(0);
    assert_eq!(traps(&code), [Trap::TableOutOfBounds]);
}

#[test]
fn an_indirect_call_has_its_traps() {
    let text = "(module (table 4 funcref) (type $t (func))
        (func (param i32) (call_indirect (type $t) (local.get 0))))";
    for settings in all_settings() {
        let (code, clif) = compile_wat(text, settings).remove(0);
        let found = traps(&code);
        for trap in [Trap::TableOutOfBounds, Trap::IndirectCallToNull, Trap::BadSignature] {
            assert!(found.contains(&trap), "{trap} in {found:?}\n{clif}");
        }
        assert_eq!(code.relocs.len(), 1, "the slow path");
    }
}

#[test]
fn deep_nesting() {
    // Optimising takes Cranelift a time that grows with the square of the depth.
    for (depth, opt_level) in [(100_000, OptLevel::None), (2_000, OptLevel::Speed)] {
        for open in ["block ", "loop ", "i32.const 1 if "] {
            let (open, close) = (open.repeat(depth), "end ".repeat(depth));
            let text = format!("(module (func {open} br {} {close}))", depth - 1);
            compile_wat(&text, settings(X86, Bounds::Guard, opt_level));
        }
    }
}

#[test]
fn many_locals() {
    let text = format!(
        "(module (func (export \"f\") (param i32) (result i64) (local {})
            (if (local.get 0) (then (local.set 2 (i64.const 1))))
            (local.get 49999)))",
        "i64 ".repeat(49_999)
    );
    compile_wat(&text, settings(X86, Bounds::Guard, OptLevel::Speed));
}

#[test]
fn too_many_targets() {
    let module = |targets: usize| {
        let text =
            format!("(module (func (param i32) br_table {} (local.get 0)))", "0 ".repeat(targets));
        let text =
            text.replace(" br_table", " local.get 0 br_table").replace("(local.get 0)))", "))");
        wat::parse_str(text).unwrap()
    };
    let settings = settings(X86, Bounds::Guard, OptLevel::None);
    // The last one is the default.
    compile(&module(65_521), settings).unwrap();
    let error = compile(&module(65_522), settings).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
}

#[test]
fn invalid_bodies_leave_the_compiler_usable() {
    let good = wat::parse_str("(module (func (result i32) (i32.const 1)))").unwrap();
    let mut bad = good.clone();
    let at = bad.len() - 3;
    assert_eq!(bad[at], 0x41, "i32.const");
    bad[at] = 0x42;
    let settings = all_settings()[0];
    let decoded = decode(&bad, settings.features).unwrap();
    let isa = isa::build(&settings).unwrap();
    let layout = layout(&decoded);
    let env = ModuleEnv { info: &decoded.info, layout, settings, isa: &*isa };
    let mut compiler = FunctionCompiler::new();
    let func = DefinedFuncIndex::new(0);
    let (body, validator) = decoded.body(func).unwrap();
    let error = compiler.compile(&env, func, body, validator).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let decoded = decode(&good, settings.features).unwrap();
    let (body, validator) = decoded.body(func).unwrap();
    compiler.compile(&env, func, body, validator).unwrap();
}

#[test]
fn programs() {
    let programs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/programs");
    for name in ["hello", "interp", "rust"] {
        let wasm = std::fs::read(programs.join(format!("{name}/{name}.wasm"))).unwrap();
        for settings in all_settings() {
            let functions = compile(&wasm, settings).unwrap();
            assert!(functions.iter().all(|(code, _)| !code.code.is_empty()), "{name}");
        }
    }
}
