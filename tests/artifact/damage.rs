//! Damage is found, or does nothing: never a panic, never a read outside of the file.
//!
//! Code is left alone here, and nothing that was damaged is run.

use crate::raw::deserialize;
use precompile::*;
use std::ops::Range;

/// A module with something in each table, and no start function: instantiating runs no code.
const ALL: &str = r#"(module $all
    (type $unused (func (param v128 funcref externref) (result f32 f64)))
    (import "host" "func" (func $host (param i32) (result i64)))
    (import "host" "table" (table $imported 2 funcref))
    (import "host" "memory" (memory 1 10))
    (import "host" "global" (global $imported i32))
    (import "host" "tag" (tag $foreign (param i32)))
    (import "host" "func" (func $again (param i32) (result i64)))
    (table $lazy (export "table") 20 30 funcref)
    (table $second 3 funcref)
    (table $externs (export "externs") 4 externref)
    (global $number (export "number") (mut i64) (i64.const -7))
    (global $wide v128 (v128.const i64x2 1 2))
    (global $func (export "ref") (mut funcref) (ref.func $one))
    (global $copy (export "copy") i32 (global.get $imported))
    (global $sum i32 (i32.add (i32.const 4) (i32.mul (i32.const 2) (global.get $imported))))
    (global $null (mut externref) (ref.null extern))
    (global $nothing (mut exnref) (ref.null exn))
    (tag $tag (export "tag") (param i64 externref))
    (elem (table $lazy) (i32.const 3) func $one $two $host $one)
    (elem (table $lazy) (global.get $imported) func $two)
    (elem (table $second) (i32.const 0) funcref (ref.func $one) (ref.null func) (ref.func $again))
    (elem (table $imported) (i32.const 1) func $two)
    (elem $passive func $one $two)
    (elem declare func $two)
    (data (i32.const 16) "active")
    (data (global.get $imported) "offset")
    (data $bytes "passive")
    (func $one (export "one") (param i32) (result i32)
        (i32.load (i32.div_u (i32.const 1) (local.get 0))))
    (func $two (param i32) (result i64) (call $host (local.get 0)))
    (func (export "catch") (result i64)
        (block $tagged (result i64 externref)
            (block $all
                (try_table (catch $tag $tagged) (catch_all $all)
                    (drop (call $one (i32.const 1))) (return (call $two (i32.const 1)))))
            (throw $foreign (i32.const 0)))
        (drop))
    (func (export "again") (param i32) (result i64)
        (memory.init $bytes (i32.const 0) (i32.const 0) (i32.const 1))
        (table.init $lazy $passive (i32.const 0) (i32.const 0) (i32.const 1))
        (drop (table.get $second (i32.const 0)))
        (call $again (local.get 0)))
    (export "host" (func $host))
    (export "memory" (memory 0)))"#;

/// A memory of its own, with an image.
const IMAGE: &str = r#"(module
    (memory (export "memory") 2 3)
    (data (i32.const 0) "first")
    (data (i32.const 70000) "last")
    (global (export "global") f64 (f64.const 1.5))
    (func (export "load") (param i32) (result i32) (i32.load (local.get 0))))"#;

/// Memories that threads share: one that is imported, one with an image.
const SHARED: &str = r#"(module
    (import "host" "memory" (memory $imported 1 4 shared))
    (memory $own (export "own") 1 2 shared)
    (data (memory $own) (i32.const 16) "an image")
    (data (memory $imported) (i32.const 16) "a segment")
    (export "memory" (memory $imported))
    (func (export "wait") (result i32)
        (memory.atomic.wait32 $own (i32.const 0) (i32.const 1) (i64.const 0))))"#;

/// Tables and globals whose types refer to types of the module.
const TYPED: &str = r#"(module
    (type $f (func (param i32) (result i32)))
    (type $g (func (param (ref null $f))))
    (import "host" "global" (global $imported i32))
    (table (export "table") 3 (ref null $f))
    (global (export "f") (ref null $f) (ref.null $f))
    (global (export "g") (mut (ref null $g)) (ref.null $g)))"#;

/// An engine with threads, which are not on by default.
fn engine() -> Engine {
    Engine::new(Config::new().wasm_threads(true)).unwrap()
}

fn compile(engine: &Engine, text: &str) -> Vec<u8> {
    engine.precompile_module(text.as_bytes()).unwrap()
}

/// What `ALL` and `IMAGE` import, by name and by kind; wrong ones where it is asked for those.
fn supply(store: &mut Store<()>, import: &ImportType<'_>) -> Option<Extern> {
    Some(match import.ty() {
        ExternType::Func(ty) => Func::new(store, ty, |_, _, _| Ok(())).into(),
        ExternType::Table(ty) => {
            let init = Ref::null(ty.element().heap_type());
            Table::new(store, ty, init).ok()?.into()
        }
        ExternType::Memory(ty) if ty.is_shared() => {
            SharedMemory::new(store.engine(), ty).ok()?.into()
        }
        ExternType::Memory(ty) => Memory::new(store, ty).ok()?.into(),
        ExternType::Global(ty) => {
            let value = match ty.content() {
                ValType::I32 => Val::I32(9),
                ty => Val::default_for_ty(ty),
            };
            Global::new(store, ty, value).ok()?.into()
        }
        ExternType::Tag(ty) => Tag::new(store, &ty).ok()?.into(),
        _ => return None,
    })
}

/// Goes through everything that does not run code. Whether it could be instantiated.
fn look(module: &Module) -> bool {
    for import in module.imports() {
        let _ = (import.module().len(), import.name().len(), import.ty().to_string());
    }
    for export in module.exports() {
        let _ = (export.name().len(), export.ty().to_string());
        let _ = module.get_export(export.name());
    }
    let _ = module.get_export("again");
    let _ = module.serialize().unwrap();
    let mut store = Store::new(module.engine(), ());
    let imports: Option<Vec<_>> =
        module.imports().map(|import| supply(&mut store, &import)).collect();
    let Some(imports) = imports else { return false };
    let Ok(instance) = Instance::new(&mut store, module, &imports) else { return false };
    let exports: Vec<_> =
        instance.exports(&mut store).map(|e| (e.name().to_string(), e.into_extern())).collect();
    for (name, export) in exports {
        let _ = instance.get_export(&mut store, &name);
        let _ = export.ty(&store);
        match export {
            Extern::Global(global) => {
                if let Val::FuncRef(Some(func)) = global.get(&mut store) {
                    let _ = func.ty(&store);
                }
            }
            Extern::Table(table) => {
                for i in 0..table.size(&store).min(100) {
                    if let Some(Ref::Func(Some(func))) = table.get(&mut store, i) {
                        let _ = func.ty(&store);
                    }
                }
            }
            Extern::Memory(memory) => {
                let _ =
                    memory.data(&store).iter().step_by(4096).map(|b| u64::from(*b)).sum::<u64>();
            }
            _ => {}
        }
    }
    true
}

/// Where the text is: the bytes between the header page and the first table, found by comparing
/// the section table of ELF, which the engine does not read.
fn text(artifact: &[u8]) -> Range<usize> {
    let word = |at: usize| u64::from_le_bytes(artifact[at..at + 8].try_into().unwrap()) as usize;
    let half = |at: usize| u16::from_le_bytes(artifact[at..at + 2].try_into().unwrap()) as usize;
    let (sections, count, names) = (word(40), half(60), half(62));
    let names = word(sections + names * 64 + 24);
    for section in (0..count).map(|i| sections + i * 64) {
        let name = u32::from_le_bytes(artifact[section..section + 4].try_into().unwrap()) as usize;
        if artifact[names + name..].starts_with(b".text\0") {
            let start = word(section + 24);
            return start..start + word(section + 32);
        }
    }
    panic!("no .text");
}

#[test]
fn whole_artifacts_load() {
    let engine = engine();
    for module in [ALL, IMAGE, SHARED, "(module)"] {
        let artifact = compile(&engine, module);
        assert!(look(&deserialize(&engine, &artifact).unwrap()));
        let text = text(&artifact);
        assert!(text.start >= 4096 && text.end < artifact.len(), "{text:?}");
    }
}

#[test]
fn every_truncation_is_refused() {
    let engine = engine();
    for module in [ALL, "(module)"] {
        let artifact = compile(&engine, module);
        for len in 0..artifact.len() {
            let error = deserialize(&engine, &artifact[..len]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{len}: {error:?}");
        }
        // And one that is longer than it says.
        let longer = [&artifact[..], &[0]].concat();
        assert_eq!(deserialize(&engine, &longer).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn every_flip_in_the_header_page_is_refused() {
    let engine = engine();
    let artifact = compile(&engine, ALL);
    for at in 0..4096 {
        for bit in [1, 0x10, 0x80] {
            let mut bytes = artifact.clone();
            bytes[at] ^= bit;
            let error = deserialize(&engine, &bytes).unwrap_err();
            let kind = error.kind();
            let fits = matches!(kind, ErrorKind::Corrupt | ErrorKind::Incompatible);
            assert!(fits, "byte {at}: {error:?}");
        }
    }
}

/// Flips every `step`th byte behind the text in several ways; how many of the artifacts were
/// refused, and how many could be instantiated.
fn flip_tables(text_of: &str, step: usize, masks: &[u8]) -> (usize, usize) {
    let engine = engine();
    let artifact = compile(&engine, text_of);
    let (mut refused, mut used) = (0, 0);
    for at in (text(&artifact).end..artifact.len()).step_by(step) {
        for mask in masks {
            let mut bytes = artifact.clone();
            bytes[at] ^= mask;
            match deserialize(&engine, &bytes) {
                Ok(module) => used += usize::from(look(&module)),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at}: {error:?}");
                    refused += 1;
                }
            }
        }
    }
    (refused, used)
}

#[test]
fn flips_in_the_tables_do_no_harm() {
    let (refused, used) = flip_tables(ALL, 1, &[1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80, 0xff, 0x15]);
    assert!(refused > 100, "{refused} refused, {used} used");
    assert!(used > 100, "{refused} refused, {used} used");
}

#[test]
fn flips_in_the_tables_of_a_module_with_an_image_do_no_harm() {
    // The image is 72 KiB of the module's own data, where every value is as good as another.
    let (_, used) = flip_tables(IMAGE, 37, &[0x11, 0xff]);
    assert!(used > 100);
}

#[test]
fn flips_in_the_tables_of_a_module_with_shared_memories_do_no_harm() {
    let (refused, used) = flip_tables(SHARED, 1, &[1, 2, 4, 8, 0x10, 0x80, 0xff]);
    assert!(refused > 100, "{refused} refused, {used} used");
    assert!(used > 100, "{refused} refused, {used} used");
}

#[test]
fn flips_in_the_tables_of_a_module_with_typed_references_do_no_harm() {
    let (refused, used) = flip_tables(TYPED, 1, &[1, 2, 4, 8, 0x10, 0x80, 0xff]);
    assert!(refused > 100, "{refused} refused, {used} used");
    assert!(used > 100, "{refused} refused, {used} used");
}

/// Whole words, which a flip of one byte does not make.
#[test]
fn words_of_the_tables_replaced_do_no_harm() {
    let engine = engine();
    let artifact = compile(&engine, ALL);
    for at in (text(&artifact).end..artifact.len() - 4).step_by(4) {
        for word in [u32::MAX, 0, 1, 0x7fff_ffff, 0x8000_0000, artifact.len() as u32, 0x15] {
            let mut bytes = artifact.clone();
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
            if let Ok(module) = deserialize(&engine, &bytes) {
                look(&module);
            }
        }
    }
}
