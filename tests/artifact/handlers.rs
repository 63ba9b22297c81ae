//! Damage to what an artifact says of which calls catch what. Its code is whole, and so is what says
//! where frames are and go on, so it is run: an exception is then caught by another clause or by
//! none, and nothing outside of a frame, of an instance or of the file is read.

use crate::raw::deserialize;
use precompile::*;
use std::ops::Range;

/// All tags have one type: a clause takes for its own what it is given.
const TEXT: &str = r#"(module
    (import "" "tag" (tag $foreign (param i32)))
    (tag $a (param i32)) (tag $b (param i32))
    (global (mut i64) (i64.const -1))
    (table 1 funcref) (elem (i32.const 0) $throw)
    (func $throw (param $tag i32) (result i32)
        (block $foreign
            (block $b
                (block $a (br_table $a $b $foreign (local.get $tag)))
                (throw $a (i32.const 10)))
            (throw $b (i32.const 20)))
        (throw $foreign (i32.const 30)))
    (func $inner (param $tag i32) (result i32)
        (block $caught (result i32)
            (try_table (result i32) (catch $a $caught)
                (call_indirect (param i32) (result i32) (local.get $tag) (i32.const 0)))))
    (func (export "run") (param $tag i32) (result i32)
        (block $any
            (return (block $foreign (result i32)
                (i32.add (i32.const 1) (block $b (result i32)
                    (return
                        (try_table (result i32) (catch $b $b) (catch $foreign $foreign) (catch_all $any)
                            (call $inner (local.get $tag)))))))))
        (i32.const -1)))"#;

/// Where a section is in the file.
fn section(artifact: &[u8], name: &str) -> Range<usize> {
    let sections = inspect(artifact).unwrap().sections;
    let (_, start, len) = *sections.iter().find(|section| section.0 == name).unwrap();
    start as usize..(start + len) as usize
}

/// How the call ends for each of the tags; `None` where the exception comes out.
fn run(engine: &Engine, artifact: &[u8]) -> [Option<i32>; 3] {
    let module = deserialize(engine, artifact).unwrap();
    let mut store = Store::new(engine, ());
    let ty = TagType::new(FuncType::new(engine, [ValType::I32], []));
    let tag = Tag::new(&mut store, &ty).unwrap();
    let instance = Instance::new(&mut store, &module, &[tag.into()]).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    [0, 1, 2].map(|tag| match run.call(&mut store, tag) {
        Ok(result) => Some(result),
        Err(error) => {
            assert!(error.is::<ThrownException>(), "{error:?}");
            None
        }
    })
}

/// The artifact with another word at `at`.
fn with(artifact: &[u8], at: usize, word: u32) -> Vec<u8> {
    let mut damaged = artifact.to_vec();
    damaged[at..at + 4].copy_from_slice(&word.to_le_bytes());
    damaged
}

fn word(artifact: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(artifact[at..at + 4].try_into().unwrap())
}

const WHOLE: [Option<i32>; 3] = [Some(10), Some(21), Some(30)];

#[test]
fn class_13_damaged_handlers_catch_nothing() {
    for level in [OptLevel::None, OptLevel::Speed] {
        let engine = Engine::new(Config::new().cranelift_opt_level(level)).unwrap();
        let artifact = engine.precompile_module(TEXT.as_bytes()).unwrap();
        assert_eq!(run(&engine, &artifact), WHOLE);
        let tags = section(&artifact, "HandlerTags");
        let everything = u32::MAX;
        let (mut same, mut lost) = (0, 0);
        let mut check = |damaged: &[u8]| {
            let found = run(&engine, damaged);
            same += usize::from(found == WHOLE);
            lost += usize::from(found.contains(&None));
        };
        for at in tags.step_by(4).filter(|at| word(&artifact, *at) != everything) {
            let place = word(&artifact, at);
            // Near, misaligned, at the end of any vmctx, and far out.
            for other in [place + 1, place + 4, place ^ 0x80, 0x1000, 0x10_0000, 0x7fff_fff8] {
                check(&with(&artifact, at, other));
            }
            for other in (0..1024).step_by(8).chain([u32::MAX - 7]) {
                check(&with(&artifact, at, other));
            }
        }
        // Where a frame has its vmctx, and which list is the call's: three words of six.
        let calls = section(&artifact, "TryCalls");
        for record in calls.step_by(24) {
            for field in [8, 16, 20] {
                let at = record + field;
                for bit in 0..32 {
                    check(&with(&artifact, at, word(&artifact, at) ^ 1 << bit));
                }
                for other in (0..512).step_by(8).chain([1, 4, u32::MAX, u32::MAX - 7]) {
                    check(&with(&artifact, at, other));
                }
            }
        }
        assert!(same > 8 && lost > 200, "{same} as before, {lost} not caught");
    }
}
