//! Bombs: functions that are short, and made to take long. None takes more than some times what
//! ordinary code of the same length takes, measured in the time of the thread that compiles.

use super::{Effort, Storage};
use crate::abi::memory_plan::Bounds;
use crate::abi::target::{Arch, CpuLevel, Os, Target};
use crate::abi::vmctx::Layout;
use crate::compile::decode::decode;
use crate::compile::function::{FunctionCompiler, ModuleEnv};
use crate::compile::{counts, isa};
use crate::fingerprint::{Fingerprint, OptLevel};
use crate::wasm::index::DefinedFuncIndex;
use crate::{ErrorKind, Features, Result};
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

const BLOCK: &[u8] = &[0x02, 0x40];
const LOOP: &[u8] = &[0x03, 0x40];
const IF: &[u8] = &[0x04, 0x40];
const END: &[u8] = &[0x0b];
const LOAD: &[u8] = &[0x28, 2, 0];
const STORE: &[u8] = &[0x36, 2, 0];
const ADD: &[u8] = &[0x6a];
const CALL: &[u8] = &[0x10, 0];
const DROP: &[u8] = &[0x1a];

fn leb(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn op(code: u8, value: usize) -> Vec<u8> {
    [vec![code], leb(value)].concat()
}

fn get(local: usize) -> Vec<u8> {
    op(0x20, local)
}

fn set(local: usize) -> Vec<u8> {
    op(0x21, local)
}

fn br_if(depth: usize) -> Vec<u8> {
    op(0x0d, depth)
}

/// A positive constant.
fn number(value: usize) -> Vec<u8> {
    let mut bytes = op(0x41, value);
    if bytes[bytes.len() - 1] & 0x40 != 0 {
        *bytes.last_mut().unwrap() |= 0x80;
        bytes.push(0);
    }
    bytes
}

fn code(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn each(count: usize, code: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    (0..count).flat_map(code).collect()
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id][..], &leb(content.len()), content].concat()
}

/// A module of `count` functions without parameters, with `locals` of type `i32`; type 1 has 900
/// parameters and as many results.
fn module(count: usize, locals: usize, body: &[u8]) -> Vec<u8> {
    let many = [leb(900), vec![0x7f; 900]].concat();
    let types = [&[2, 0x60, 0, 0, 0x60][..], &many, &many].concat();
    let body = [&[1][..], &leb(locals), &[0x7f], body, END].concat();
    let body = [leb(body.len()), body].concat();
    [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &types),
        section(3, &[leb(count), vec![0; count]].concat()),
        section(5, &[1, 0, 1]),
        section(10, &[leb(count), body.repeat(count)].concat()),
    ]
    .concat()
}

/// Compiles all functions; tells how the first one was, and how long all took.
fn compile(module: &[u8]) -> Result<(Effort, Duration)> {
    let settings = Fingerprint {
        target: Target::new(Arch::X86_64, Os::Linux),
        cpu: CpuLevel::X86_64V2,
        features: Features::SUPPORTED,
        bounds: Bounds::Guard,
        opt_level: OptLevel::Speed,
        nan_canonicalization: false,
        relaxed_simd_deterministic: true,
        fuel: false,
        epoch_interruption: false,
    };
    let start = clock_gettime(ClockId::ThreadCPUTime);
    let decoded = decode(module, settings.features)?;
    let isa = isa::build(&settings)?;
    let layout = Layout::new(counts(&decoded.info)).unwrap();
    let env = ModuleEnv { info: &decoded.info, layout, settings, isa: &*isa };
    let mut compiler = FunctionCompiler::new();
    let mut effort = None;
    for index in 0..decoded.info.bodies.len() {
        let func = DefinedFuncIndex::new(index as u32);
        let (body, validate) = decoded.body(func).unwrap();
        compiler.compile(&env, func, body, validate)?;
        effort.get_or_insert(compiler.effort);
    }
    let took = clock_gettime(ClockId::ThreadCPUTime) - start;
    Ok((effort.unwrap(), took.try_into().unwrap()))
}

/// Ordinary code, `bytes` of it in functions of about 300 bytes.
fn plain(bytes: usize) -> Vec<u8> {
    const LESS: &[u8] = &[0x48];
    const SUB: &[u8] = &[0x6b];
    const IS_ZERO: &[u8] = &[0x45];
    let body = each(7, |i| {
        let (a, b, c) = (&*get(0), &*get(1), &*get(2));
        code(&[
            code(&[a, &number(i), ADD, &set(1), b, LOAD, &set(2)]).as_slice(),
            &code(&[c, b, LESS, IF, b, c, STORE, END]),
            &code(&[LOOP, a, &number(1), SUB, &op(0x22, 0), &br_if(0), END]),
            &code(&[a, IS_ZERO, IF, CALL, END]),
        ])
    });
    module(bytes / body.len(), 3, &body)
}

/// Name, number of locals and code of each.
fn bombs() -> Vec<(&'static str, usize, Vec<u8>)> {
    const COUNT: usize = 20_000;
    let branches = each(COUNT, |k| code(&[&get(0), &br_if(k)]));
    let nested = |open: &[u8]| code(&[&open.repeat(COUNT), &branches, &END.repeat(COUNT)]);
    let loads = each(COUNT, |i| code(&[&number(4 * i), LOAD]));
    vec![
        ("loops in loops", 1, nested(LOOP)),
        ("blocks in blocks", 1, nested(BLOCK)),
        (
            "loops in conditions",
            1,
            code(&[
                &code(&[&get(0), IF, LOOP]).repeat(COUNT),
                &code(&[&get(0), &br_if(0), END, END]).repeat(COUNT),
            ]),
        ),
        ("conditions", 1, code(&[&get(0), IF, &number(1), &set(0), END]).repeat(COUNT)),
        (
            "loops with loads",
            1,
            code(&[LOOP, &get(0), LOAD, &op(0x22, 0), &br_if(0), END]).repeat(COUNT),
        ),
        ("operands", 1, code(&[&loads, &ADD.repeat(COUNT - 1), &set(0)])),
        (
            "locals in loops",
            1000,
            code(&[
                &LOOP.repeat(1000),
                &each(COUNT, |i| {
                    let local = i % 1000;
                    code(&[&get(local), &number(1), ADD, &op(0x22, local), &br_if(local)])
                }),
                &END.repeat(1000),
            ]),
        ),
        (
            "locals in blocks",
            COUNT,
            code(&[BLOCK, &each(COUNT, |i| code(&[&get(i), &br_if(0)])), END]),
        ),
        (
            "locals across a call",
            COUNT,
            code(&[
                &each(COUNT, |i| code(&[&number(4 * i), LOAD, &set(i)])),
                CALL,
                &each(COUNT, |i| code(&[&number(4 * i), &get(i), STORE])),
            ]),
        ),
        (
            "locals through branches",
            2000,
            code(&[
                BLOCK,
                &each(COUNT, |i| code(&[&get(0), LOAD, &set(i % 2000), &get(0), &br_if(0)])),
                END,
                &each(2000, |i| code(&[&number(4 * i), &get(i), STORE])),
            ]),
        ),
        (
            "locals through a table",
            1000,
            code(&[
                &code(&[BLOCK, BLOCK]),
                &each(1000, |i| code(&[&number(4 * i), LOAD, &set(i)])),
                &code(&[&get(0), &br_if(1)]),
                &each(1000, |i| code(&[&number(5000 + 4 * i), LOAD, &set(i)])),
                &code(&[&get(0), &op(0x0e, COUNT), &[1; COUNT], &[0], END, END]),
                &each(1000, |i| code(&[&number(4 * i), &get(i), STORE])),
            ]),
        ),
        ("calls", 1, CALL.repeat(8 * COUNT)),
        ("long", 1, each(3 * COUNT, |i| code(&[&number(i), LOAD, DROP]))),
    ]
}

#[test]
fn no_function_takes_far_longer_than_its_length() {
    // Cranelift needs more than a test's stack for some of these, as it does in the compiler.
    let thread = std::thread::Builder::new().stack_size(32 << 20).spawn(|| {
        let mut ordinary = compile(&plain(300_000)).unwrap().1;
        for (name, locals, body) in bombs() {
            // Others who fight over the processor's caches only add: then it is measured again.
            for left in (0..4).rev() {
                let (effort, took) = compile(&module(1, locals, &body)).unwrap();
                // A table needs no less effort where its entries share what they pass on.
                assert!(effort.simple || name == "locals through a table", "{name}");
                let length = body.len() as f64 / 300_000.0;
                let ratio = took.as_secs_f64() / (ordinary.as_secs_f64() * length.max(0.2));
                // Up to 5 with debug assertions, up to 2 without. What is not mended takes hundreds.
                if ratio < 15.0 {
                    break;
                }
                assert!(left > 0, "{name}: {ratio} times as long as ordinary code");
                ordinary = compile(&plain(300_000)).unwrap().1;
            }
        }
    });
    thread.unwrap().join().unwrap();
}

#[test]
fn ordinary_functions_get_all_effort() {
    let (effort, _) = compile(&plain(5_000)).unwrap();
    assert_eq!(effort, Effort { locals: Storage::Values, simple: false });
}

#[test]
fn locals_that_are_not_named_cost_nothing() {
    let unused = module(5000, 50_000, &[]);
    assert!(unused.len() < 60_000);
    let measure = || (compile(&unused).unwrap().1, compile(&plain(60_000)).unwrap().1);
    let measured: Vec<_> = (0..4).map(|_| measure()).collect();
    let is_fine = measured.iter().any(|(took, ordinary)| *took < 4 * *ordinary);
    assert!(is_fine, "empty functions, and ordinary code: {measured:?}");
}

fn assert_refused(module: &[u8]) {
    let error = compile(module).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error:#}");
}

#[test]
fn values_without_end_are_refused() {
    let operands = number(0).repeat(900);
    let drops = DROP.repeat(900);
    let into = code(&[&number(0), &[0x04, 1]]);
    for (open, close) in [
        (&[0x03, 1][..], END),
        (&[0x10, 1], &[]),
        // What one arm takes is kept for the other.
        (&into, END),
        // What a branch takes along is still there when it does not branch.
        (&code(&[&number(0), &br_if(0)]), &[]),
    ] {
        let code = [&[0x02, 1], &*open.repeat(5000), &close.repeat(5000), END].concat();
        let code = [operands.as_slice(), &code, &drops].concat();
        // Function 1 is of type 1 where it is called.
        let mut module = module(2, 1, &code);
        let functions = module.windows(5).position(|w| w == [3, 3, 2, 0, 0]).unwrap();
        module[functions + 4] = 1;
        assert_refused(&module);
    }
}

/// References are values in any function, and each is looked up through all loops.
#[test]
fn references_in_many_loops_are_refused() {
    const DEPTH: usize = 4000;
    let null = &[0xd0, 0x6f][..];
    let uses = each(100, |i| code(&[&get(i), DROP]));
    let body = code(&[
        &each(100, |i| code(&[null, &set(i)])),
        &LOOP.repeat(DEPTH),
        &uses,
        &END.repeat(DEPTH),
    ]);
    let mut module = module(1, 100, &body);
    let locals = module.windows(3).position(|w| w == [1, 100, 0x7f]).unwrap();
    module[locals + 2] = 0x6f;
    assert_refused(&module);
}
