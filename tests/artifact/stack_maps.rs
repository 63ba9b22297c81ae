//! Damage to what an artifact says of references on the stack. Its code is whole, so it is run: a
//! collection then fails, or frees too little or too much. Whatever is gone is told as gone where
//! it is used, and nothing outside of a frame or of the file is read.

use crate::raw::deserialize;
use precompile::*;
use std::ops::Range;

const TEXT: &str = r#"(module
    (import "" "look" (func $look (param externref i32)))
    (import "" "new" (func $new (param i32) (result externref)))
    (func $down (param $n i32) (param $a externref) (result externref)
        (local $b externref) (local $c externref)
        (local.set $b (call $new (i32.add (local.get $n) (i32.const 1))))
        (local.set $c (call $new (i32.add (local.get $n) (i32.const 2))))
        (if (local.get $n) (then
            (local.set $a (call $down (i32.sub (local.get $n) (i32.const 1)) (local.get $c)))))
        (call $look (local.get $a) (i32.const -1))
        (call $look (local.get $b) (i32.add (local.get $n) (i32.const 1)))
        (call $look (local.get $c) (i32.add (local.get $n) (i32.const 2)))
        (local.get $b))
    (func (export "run") (call $look (call $down (i32.const 3) (ref.null extern)) (i32.const 4))))"#;

/// Where the two tables are in the file.
fn tables(artifact: &[u8]) -> [Range<usize>; 2] {
    let sections = inspect(artifact).unwrap().sections;
    ["StackMaps", "StackSlots"].map(|name| {
        let (_, start, len) = *sections.iter().find(|section| section.0 == name).unwrap();
        start as usize..(start + len) as usize
    })
}

/// Runs it. How many references turned out to be gone or others, and how it ended.
fn run(engine: &Engine, artifact: &[u8]) -> (usize, Result<()>) {
    type Reference = Option<Rooted<ExternRef>>;
    let module = deserialize(engine, artifact).unwrap();
    let mut store = Store::new(engine, 0);
    let look = |mut caller: Caller<'_, usize>, it: Reference, want: i32| -> Result<()> {
        caller.gc(None)?;
        let Some(it) = it else { return Ok(()) };
        let found = it.data(&caller).ok().flatten().and_then(|it| it.downcast_ref::<i32>());
        if found.is_none_or(|found| want >= 0 && *found != want) {
            *caller.data_mut() += 1;
        }
        Ok(())
    };
    let look = Func::wrap(&mut store, look);
    let new = Func::wrap(&mut store, |mut caller: Caller<'_, usize>, number: i32| {
        caller.gc(None)?;
        ExternRef::new(&mut caller, number).map(Some)
    });
    let instance = Instance::new(&mut store, &module, &[look.into(), new.into()]).unwrap();
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    let result = run.call(&mut store, ());
    // Outside of wasm there are no frames that could be misread.
    store.gc(None).unwrap();
    (*store.data(), result)
}

#[test]
fn class_13_damaged_stack_maps_are_told() {
    let engine = Engine::default();
    let artifact = engine.precompile_module(TEXT.as_bytes()).unwrap();
    let (wrong, result) = run(&engine, &artifact);
    result.unwrap();
    assert_eq!(wrong, 0);
    let (mut corrupt, mut lost) = (0, 0);
    for at in tables(&artifact).into_iter().flatten() {
        for mask in [0x01, 0x04, 0x10, 0x80, 0xff] {
            let mut damaged = artifact.clone();
            damaged[at] ^= mask;
            let (wrong, result) = run(&engine, &damaged);
            lost += usize::from(wrong > 0);
            if let Err(error) = result {
                let fits = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Bug);
                assert!(fits, "byte {at:#x} ^ {mask:#x}: {error:?}");
                corrupt += 1;
            }
        }
    }
    assert!(corrupt > 20 && lost > 20, "{corrupt} told by collections, {lost} by their use");
}

/// Without references there is nothing about them in the file.
#[test]
fn modules_without_references_pay_nothing() {
    let text = r#"(module (table 2 funcref) (func $f (param i64 funcref) (result f32)
        (call $f (i64.const 1) (table.get (i32.const 0)))) (export "f" (func $f)))"#;
    let artifact = Engine::default().precompile_module(text.as_bytes()).unwrap();
    let sections = inspect(&artifact).unwrap().sections;
    assert!(sections.iter().all(|section| !section.0.starts_with("Stack")), "{sections:?}");
}
