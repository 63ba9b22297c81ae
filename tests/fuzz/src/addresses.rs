//! Class 1: addresses put together in every way, against arithmetic with 128 bits.
//!
//! The bytes become a function that computes an index (extended, shifted, added, masked), and
//! uses it for one to three loads and stores with different static offsets, perhaps with a call in
//! between so that the index is spilled. Its memory lies between two others, which must stay as
//! they are. What it returns, whether it traps, and each byte of memory is foretold.
//!
//! One input in four goes to [`edges`](crate::edges) instead.

use crate::build::Builder;
use crate::loads::{self, Access, VECTOR};
use crate::observe::{End, Trap, Value};
use crate::operators::Ty;
use crate::{Result, Verdict, edges, ours};
use arbitrary::Unstructured;
use precompile::{Bounds, Engine, OptLevel};
use std::sync::OnceLock;
use wasm_encoder::{Instruction, MemoryType};

/// How an index is computed. Parameter 0 is an `i32`, parameter 1 an `i64`.
#[derive(Debug)]
enum Index {
    Param(Ty),
    Constant(Ty, u64),
    /// `i64` of an `i32`.
    Extend {
        signed: bool,
        of: Box<Index>,
    },
    /// `i32` of an `i64`.
    Wrap(Box<Index>),
    /// Of the lowest so many bits, of the same type.
    SignExtend(u32, Box<Index>),
    Shift(u32, Box<Index>),
    ShiftRight {
        signed: bool,
        by: u32,
        of: Box<Index>,
    },
    Mask(u64, Box<Index>),
    Add(Box<Index>, Box<Index>),
    Sub(Box<Index>, Box<Index>),
    Mul(u64, Box<Index>),
}

/// Numbers around which addressing modes, pages and types have their edges.
const NUMBERS: &[u64] = &[
    0,
    1,
    4,
    8,
    15,
    16,
    0x7f,
    0x80,
    0xfff,
    0x1000,
    0x7fff,
    0x8000,
    0xffff,
    0x1_0000,
    0xff_ffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fff0,
    0xffff_ffff,
    0x1_0000_0000,
    0x7_ffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_0000_0000,
    0xffff_ffff_ffff_fff0,
    u64::MAX,
];

fn number(u: &mut Unstructured<'_>) -> arbitrary::Result<u64> {
    let number = *u.choose(NUMBERS)?;
    Ok(number.wrapping_add_signed(u.int_in_range(-17..=17)?))
}

impl Index {
    fn grow(u: &mut Unstructured<'_>, ty: Ty, depth: u32) -> arbitrary::Result<Index> {
        let kind = if depth == 0 { u.int_in_range(0..=2)? } else { u.int_in_range(0..=12)? };
        let narrow = ty == Ty::I32;
        let below = |u: &mut Unstructured<'_>, ty| {
            Index::grow(u, ty, depth.saturating_sub(1)).map(Box::new)
        };
        Ok(match kind {
            0 | 1 => Index::Param(ty),
            2 => Index::Constant(ty, number(u)?),
            3 | 4 if narrow => Index::Wrap(below(u, Ty::I64)?),
            3 | 4 => Index::Extend { signed: u.arbitrary()?, of: below(u, Ty::I32)? },
            5 => {
                let bits = if narrow { *u.choose(&[8, 16])? } else { *u.choose(&[8, 16, 32])? };
                Index::SignExtend(bits, below(u, ty)?)
            }
            6 | 7 => Index::Shift(u.int_in_range(0..=5)?, below(u, ty)?),
            8 => {
                let by = u.int_in_range(0..=63)?;
                Index::ShiftRight { signed: u.arbitrary()?, by, of: below(u, ty)? }
            }
            9 => Index::Mask(number(u)?, below(u, ty)?),
            10 => Index::Add(below(u, ty)?, below(u, ty)?),
            11 => Index::Sub(below(u, ty)?, below(u, ty)?),
            _ => Index::Mul(*u.choose(&[2, 3, 4, 5, 8, 9, 24, 65536])?, below(u, ty)?),
        })
    }

    fn ty(&self) -> Ty {
        match self {
            Index::Param(ty) | Index::Constant(ty, _) => *ty,
            Index::Extend { .. } => Ty::I64,
            Index::Wrap(_) => Ty::I32,
            Index::SignExtend(_, of)
            | Index::Shift(_, of)
            | Index::ShiftRight { of, .. }
            | Index::Mask(_, of)
            | Index::Add(of, _)
            | Index::Sub(of, _)
            | Index::Mul(_, of) => of.ty(),
        }
    }

    fn emit(&self, code: &mut Vec<Instruction<'static>>) {
        use Instruction as I;
        let narrow = self.ty() == Ty::I32;
        let pick = |a: I<'static>, b: I<'static>| if narrow { a } else { b };
        let constant = |x: u64| pick(I::I32Const(x as i32), I::I64Const(x as i64));
        match self {
            Index::Param(_) => code.push(I::LocalGet(u32::from(!narrow))),
            Index::Constant(_, x) => code.push(constant(*x)),
            Index::Extend { signed, of } => {
                of.emit(code);
                code.push(if *signed { I::I64ExtendI32S } else { I::I64ExtendI32U });
            }
            Index::Wrap(of) => {
                of.emit(code);
                code.push(I::I32WrapI64);
            }
            Index::SignExtend(bits, of) => {
                of.emit(code);
                code.push(match bits {
                    8 => pick(I::I32Extend8S, I::I64Extend8S),
                    16 => pick(I::I32Extend16S, I::I64Extend16S),
                    _ => I::I64Extend32S,
                });
            }
            Index::Shift(by, of) => {
                of.emit(code);
                code.extend([constant((*by).into()), pick(I::I32Shl, I::I64Shl)]);
            }
            Index::ShiftRight { signed, by, of } => {
                of.emit(code);
                code.push(constant((*by).into()));
                code.push(match signed {
                    true => pick(I::I32ShrS, I::I64ShrS),
                    false => pick(I::I32ShrU, I::I64ShrU),
                });
            }
            Index::Mask(mask, of) => {
                of.emit(code);
                code.extend([constant(*mask), pick(I::I32And, I::I64And)]);
            }
            Index::Add(a, b) | Index::Sub(a, b) => {
                a.emit(code);
                b.emit(code);
                let add = matches!(self, Index::Add(..));
                code.push(match add {
                    true => pick(I::I32Add, I::I64Add),
                    false => pick(I::I32Sub, I::I64Sub),
                });
            }
            Index::Mul(by, of) => {
                of.emit(code);
                code.extend([constant(*by), pick(I::I32Mul, I::I64Mul)]);
            }
        }
    }

    /// What comes out, zero-extended.
    fn value(&self, params: [u64; 2]) -> u64 {
        let narrow = self.ty() == Ty::I32;
        let width = if narrow { 32 } else { 64 };
        let cut = |x: u64| if narrow { u64::from(x as u32) } else { x };
        let signed = |x: u64| if narrow { i64::from(x as i32) } else { x as i64 };
        cut(match self {
            Index::Param(_) => params[usize::from(!narrow)],
            Index::Constant(_, x) => *x,
            Index::Extend { signed: false, of } | Index::Wrap(of) => of.value(params),
            Index::Extend { signed: true, of } => i64::from(of.value(params) as i32) as u64,
            Index::SignExtend(bits, of) => {
                let (x, unused) = (of.value(params), 64 - bits);
                ((x << unused) as i64 >> unused) as u64
            }
            Index::Shift(by, of) => of.value(params) << by,
            Index::ShiftRight { signed: false, by, of } => of.value(params) >> (by % width),
            Index::ShiftRight { signed: true, by, of } => {
                (signed(of.value(params)) >> (by % width)) as u64
            }
            Index::Mask(mask, of) => of.value(params) & mask,
            Index::Add(a, b) => a.value(params).wrapping_add(b.value(params)),
            Index::Sub(a, b) => a.value(params).wrapping_sub(b.value(params)),
            Index::Mul(by, of) => of.value(params).wrapping_mul(*by),
        })
    }
}

/// What a function does to the middle memory.
#[derive(Debug)]
struct Shape {
    wide: bool,
    /// Bytes of memory, in pages of one byte if they are odd.
    len: u64,
    index: Index,
    /// The last of them is what is returned.
    accesses: Vec<(Access, u64)>,
    /// Whether something is called between index and accesses.
    call: bool,
}

impl Shape {
    fn grow(u: &mut Unstructured<'_>) -> arbitrary::Result<Shape> {
        static ACCESSES: OnceLock<Vec<Access>> = OnceLock::new();
        let all = ACCESSES.get_or_init(loads::all);
        let wide = u.arbitrary()?;
        let len = match u.int_in_range(0..=5u64)? {
            0 => u.int_in_range(0..=40)?,
            1 => u.int_in_range(65530..=65550)?,
            pages => (pages - 2) << 16,
        };
        let depth = u.int_in_range(0..=4)?;
        let index = Index::grow(u, if wide { Ty::I64 } else { Ty::I32 }, depth)?;
        let mut accesses = Vec::new();
        for _ in 0..u.int_in_range(1..=3)? {
            let near = u.ratio(1, 4)?;
            let offset = if near { len.wrapping_sub(u.int_in_range(0..=32)?) } else { number(u)? };
            let offset = if wide { offset } else { offset & 0xffff_ffff };
            accesses.push((*u.choose(all)?, offset));
        }
        Ok(Shape { wide, len, index, accesses, call: u.arbitrary()? })
    }

    fn module(&self) -> Vec<u8> {
        let mut module = Builder::new();
        let nothing = module.import();
        let odd = !self.len.is_multiple_of(65536);
        let memory = |len: u64, odd: bool, wide| MemoryType {
            minimum: if odd { len } else { len >> 16 },
            maximum: None,
            memory64: wide,
            shared: false,
            page_size_log2: odd.then_some(0),
        };
        module.memory(memory(65536, false, false));
        let middle = module.memory(memory(self.len, odd, self.wide));
        module.memory(memory(65536, false, false));
        let mut code = Vec::new();
        let index = if self.wide { 3 } else { 2 };
        self.index.emit(&mut code);
        code.push(Instruction::LocalSet(index));
        if self.call {
            code.push(Instruction::Call(nothing));
        }
        let mut result = None;
        for (i, (access, offset)) in self.accesses.iter().enumerate() {
            let last = i + 1 == self.accesses.len();
            code.push(Instruction::LocalGet(index));
            if access.store || access.takes_vector() {
                code.push(access.ty.constant(VECTOR));
            }
            code.push(access.instruction(loads::memarg(middle, *offset)));
            match (access.store, last) {
                (false, true) => result = Some(access.ty),
                (false, false) => code.push(Instruction::Drop),
                (true, _) => {}
            }
        }
        module.function("run", &[Ty::I32, Ty::I64], result, &[Ty::I32, Ty::I64], &code);
        module.finish()
    }

    /// Does to `memory` what wasm has to do, and tells how it has to end.
    fn model(&self, params: [u64; 2], memory: &mut [u8]) -> End {
        let index = u128::from(self.index.value(params));
        let mut values = Vec::new();
        for (i, (access, offset)) in self.accesses.iter().enumerate() {
            let start = index + u128::from(*offset);
            if start + u128::from(access.bytes) > memory.len() as u128 {
                return End::Trapped(Trap::Memory);
            }
            let place = &mut memory[start as usize..start as usize + access.bytes as usize];
            if access.store {
                place.copy_from_slice(&access.stored(VECTOR));
            } else if i + 1 == self.accesses.len() {
                values.push(Value::of(access.ty, access.loaded(place)));
            }
        }
        End::Returned(values)
    }

    /// Parameters, of which some make the first access end where memory does.
    fn params(&self, u: &mut Unstructured<'_>) -> arbitrary::Result<[u64; 2]> {
        let mut one = || {
            if u.ratio(1, 3)? {
                return number(u);
            }
            let (access, offset) = *u.choose(&self.accesses)?;
            let end = self.len.wrapping_sub(access.bytes.into()).wrapping_sub(offset);
            let near = end.wrapping_add_signed(u.int_in_range(-2..=2)?);
            Ok(near >> u.int_in_range(0..=3)?)
        };
        Ok([one()?, one()?])
    }
}

/// Engines that differ in how they keep accesses inside, in effort, and in processors.
fn engines() -> &'static [(String, Engine)] {
    static ENGINES: OnceLock<Vec<(String, Engine)>> = OnceLock::new();
    ENGINES.get_or_init(|| {
        let mut engines = Vec::new();
        for level in ours::ends() {
            for bounds in [Bounds::Guard, Bounds::Explicit] {
                for opt in [OptLevel::Speed, OptLevel::None] {
                    let engine = ours::engine(|config| {
                        config.bounds(bounds).cranelift_opt_level(opt).cpu(level);
                    });
                    engines.push((format!("{bounds:?}, {opt:?}, {level}"), engine));
                }
            }
        }
        engines
    })
}

/// Makes a function of `data`, and calls it several times.
///
/// # Errors
/// What is not as foretold.
pub fn run(data: &[u8]) -> Result {
    let mut u = Unstructured::new(data);
    match u.ratio(1, 4) {
        Ok(true) => edges::run(u),
        Ok(false) => accesses(u),
        Err(_) => Ok(Verdict::Skipped("few bytes")),
    }
}

fn accesses(mut u: Unstructured<'_>) -> Result {
    const CANARY: u8 = 0xa5;
    let few = Ok(Verdict::Skipped("few bytes"));
    let Ok(shape) = Shape::grow(&mut u) else { return few };
    let Ok((name, engine)) = u.choose(engines()) else { return few };
    let mut running = ours::Running::new(engine, &shape.module())
        .map_err(|error| format!("{name}: {error:#}: {shape:?}"))?;
    let mut model: Vec<u8> = (0..shape.len).map(|i| (i * 167 + (i >> 8) * 31) as u8 | 1).collect();
    running.memory("m1").copy_from_slice(&model);
    for canary in ["m0", "m2"] {
        running.memory(canary).fill(CANARY);
    }
    for _ in 0..8 {
        let Ok(params) = shape.params(&mut u) else { return few };
        let expected = shape.model(params, &mut model);
        let end = running.call("run", &params.map(u128::from));
        let told = || format!("{name}: with {params:#x?}: {shape:?}");
        if end != expected {
            return Err(format!("{end:x?} instead of {expected:x?}, {}", told()));
        }
        if running.memory("m1") != model {
            return Err(format!("memory is not as it has to be, {}", told()));
        }
    }
    for canary in ["m0", "m2"] {
        if running.memory(canary).iter().any(|byte| *byte != CANARY) {
            return Err(format!("{name}: another memory was written to: {shape:?}"));
        }
    }
    Ok(Verdict::Agreed)
}
