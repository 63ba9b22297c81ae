//! Class 3: operators on constants and on parameters give the same.
//!
//! The bytes become a tree of operators with values at its leaves. It is compiled with all leaves
//! as parameters, all as constants, and some of each; for each level of processors that the host
//! has, and without optimisation. wasmi says what comes out, where the specification does.

use crate::build::Builder;
use crate::observe::{End, Value};
use crate::operators::{Nan, Operator, Ty, bits, of_result};
use crate::{Result, Verdict, interpreter, ours};
use arbitrary::Unstructured;
use precompile::{Engine, OptLevel};
use std::sync::OnceLock;
use wasm_encoder::Instruction;

/// A tree, whose leaves are numbered.
enum Node {
    Leaf(usize),
    Operator(&'static Operator, Vec<Node>),
}

/// Engines with one NaN: for each level, and without optimisation.
fn engines() -> &'static [(String, Engine)] {
    static ENGINES: OnceLock<Vec<(String, Engine)>> = OnceLock::new();
    ENGINES.get_or_init(|| {
        let levels = ours::levels();
        let none = levels.first().map(|level| (*level, OptLevel::None));
        let speed = levels.iter().map(|level| (*level, OptLevel::Speed));
        let settings = speed.chain(none);
        let engine = |(level, opt)| {
            let engine = ours::engine(|config| {
                config.cranelift_nan_canonicalization(true).cpu(level).cranelift_opt_level(opt);
            });
            (format!("{level}, {opt:?}"), engine)
        };
        settings.map(engine).collect()
    })
}

/// Grows a tree of this type.
fn grow(
    u: &mut Unstructured<'_>,
    ty: Ty,
    depth: u32,
    leaves: &mut Vec<(Ty, u128)>,
) -> arbitrary::Result<Node> {
    if depth == 0 || u.ratio(1, 5)? {
        // The same value twice, at times: `x - x` is another thing than `x - y`.
        let same: Vec<usize> = (0..leaves.len()).filter(|leaf| leaves[*leaf].0 == ty).collect();
        if !same.is_empty() && u.ratio(1, 4)? {
            return Ok(Node::Leaf(*u.choose(&same)?));
        }
        leaves.push((ty, bits(u)?));
        return Ok(Node::Leaf(leaves.len() - 1));
    }
    let operator = of_result(u, ty)?;
    let below = operator.params.iter().map(|ty| grow(u, *ty, depth - 1, leaves));
    let below: arbitrary::Result<Vec<Node>> = below.collect();
    Ok(Node::Operator(operator, below?))
}

/// Writes the code of a tree. Leaves of which the bit in `constants` is set are constants, others
/// parameters. With `locals`, the first of which has the number given, NaNs are made one.
fn emit(
    node: &Node,
    leaves: &[(Ty, u128)],
    constants: u64,
    locals: Option<u32>,
    code: &mut Vec<Instruction<'static>>,
) {
    match node {
        Node::Leaf(leaf) => code.push(match constants >> leaf & 1 {
            1 => leaves[*leaf].0.constant(leaves[*leaf].1),
            _ => Instruction::LocalGet(*leaf as u32),
        }),
        Node::Operator(operator, below) => {
            below.iter().for_each(|node| emit(node, leaves, constants, locals, code));
            code.push(operator.instruction.clone());
            if let Some(first) = locals {
                one_nan(operator, first, code);
            }
        }
    }
}

/// Replaces a NaN that may have any bits by the canonical one.
fn one_nan(operator: &Operator, locals: u32, code: &mut Vec<Instruction<'static>>) {
    let f32s = 0x7fc0_0000u128 * 0x1_0000_0001_0000_0001_0000_0001;
    let f64s = 0x7ff8_0000_0000_0000u128 * 0x1_0000_0000_0000_0001;
    let (equal, canonical) = match operator.nan {
        Nan::Exact | Nan::Relaxed => return,
        Nan::F32 => (Instruction::F32Eq, f32s),
        Nan::F64 => (Instruction::F64Eq, f64s),
        Nan::F32x4 => (Instruction::F32x4Eq, f32s),
        Nan::F64x2 => (Instruction::F64x2Eq, f64s),
    };
    let local = locals + operator.result as u32;
    code.push(Instruction::LocalTee(local));
    code.push(operator.result.constant(canonical));
    code.extend([Instruction::LocalGet(local), Instruction::LocalGet(local), equal]);
    let vector = operator.result == Ty::V128;
    code.push(if vector { Instruction::V128Bitselect } else { Instruction::Select });
}

fn relaxed(node: &Node) -> bool {
    match node {
        Node::Leaf(_) => false,
        Node::Operator(operator, below) => {
            operator.nan == Nan::Relaxed || below.iter().any(relaxed)
        }
    }
}

/// Makes a tree of `data`, and compares what its variants give.
///
/// # Errors
/// What differs.
pub fn run(data: &[u8]) -> Result {
    let mut u = Unstructured::new(data);
    let mut leaves = Vec::new();
    let tree = u.choose(&Ty::ALL).copied().and_then(|ty| {
        let depth = u.int_in_range(1..=3)?;
        grow(&mut u, ty, depth, &mut leaves).map(|tree| (ty, tree))
    });
    let (Ok((ty, tree)), Ok(some)) = (tree, u.arbitrary::<u64>()) else {
        return Ok(Verdict::Skipped("few bytes"));
    };
    if leaves.len() > 60 || matches!(tree, Node::Leaf(_)) {
        return Ok(Verdict::Skipped("no tree"));
    }
    let params: Vec<Ty> = leaves.iter().map(|leaf| leaf.0).collect();
    let values: Vec<u128> = leaves.iter().map(|leaf| leaf.1).collect();
    let variants = [("none", 0), ("all", u64::MAX), ("some", some), ("others", !some)];
    let mut module = Builder::new();
    for (name, constants) in variants {
        let mut code = Vec::new();
        emit(&tree, &leaves, constants, None, &mut code);
        module.function(name, &params, Some(ty), &[], &code);
    }
    let wasm = module.finish();
    let (mut expected, mut by) = (None, String::from("wasmi"));
    if !relaxed(&tree) {
        let (mut code, mut module) = (Vec::new(), Builder::new());
        emit(&tree, &leaves, 0, Some(leaves.len() as u32), &mut code);
        module.function("none", &params, Some(ty), &Ty::ALL, &code);
        expected = Some(interpreter::call(&module.finish(), "none", &values)?);
    }
    for (engine, ours) in engines() {
        let mut running =
            ours::Running::new(ours, &wasm).map_err(|e| format!("{engine}: {e:#}"))?;
        for (name, _) in variants {
            let end = running.call(name, &values);
            match &expected {
                Some(expected) if *expected != end => {
                    let values: Vec<Value> =
                        leaves.iter().map(|(ty, bits)| Value::of(*ty, *bits)).collect();
                    let mut code = Vec::new();
                    emit(&tree, &leaves, 0, None, &mut code);
                    return Err(format!(
                        "{engine}, constant leaves: {name}: {end:x?}, but {by}: {expected:x?}\n  \
                         {code:?}\n  {values:x?}"
                    ));
                }
                Some(_) => {}
                None => (expected, by) = (Some(end), format!("{engine}, {name}")),
            }
        }
    }
    let trapped = matches!(expected, Some(End::Trapped(_)));
    Ok(if trapped { Verdict::Skipped("traps") } else { Verdict::Agreed })
}
