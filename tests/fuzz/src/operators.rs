//! Numeric operators and what they take: a table for generators.

use arbitrary::{Result, Unstructured};
use std::sync::OnceLock;
use wasm_encoder::{Ieee32, Ieee64, Instruction, ValType};

/// Types of numbers and vectors.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Ty {
    I32,
    I64,
    F32,
    F64,
    V128,
}

impl Ty {
    pub(crate) const ALL: [Ty; 5] = [Ty::I32, Ty::I64, Ty::F32, Ty::F64, Ty::V128];

    pub(crate) fn val_type(self) -> ValType {
        match self {
            Ty::I32 => ValType::I32,
            Ty::I64 => ValType::I64,
            Ty::F32 => ValType::F32,
            Ty::F64 => ValType::F64,
            Ty::V128 => ValType::V128,
        }
    }

    /// The constant with these bits.
    pub(crate) fn constant(self, bits: u128) -> Instruction<'static> {
        match self {
            Ty::I32 => Instruction::I32Const(bits as i32),
            Ty::I64 => Instruction::I64Const(bits as i64),
            Ty::F32 => Instruction::F32Const(Ieee32::new(bits as u32)),
            Ty::F64 => Instruction::F64Const(Ieee64::new(bits as u64)),
            Ty::V128 => Instruction::V128Const(bits as i128),
        }
    }

    /// How many bytes a value has.
    pub(crate) fn size(self) -> u64 {
        match self {
            Ty::I32 | Ty::F32 => 4,
            Ty::I64 | Ty::F64 => 8,
            Ty::V128 => 16,
        }
    }
}

/// What a result has of NaNs whose bits are for the implementation to choose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Nan {
    /// None: each bit is prescribed.
    Exact,
    F32,
    F64,
    F32x4,
    F64x2,
    /// The whole result may differ between engines.
    Relaxed,
}

/// An operator.
#[derive(Clone, Debug)]
pub(crate) struct Operator {
    pub(crate) instruction: Instruction<'static>,
    pub(crate) params: &'static [Ty],
    pub(crate) result: Ty,
    pub(crate) nan: Nan,
}

macro_rules! operators {
    ($([$($param:ident)*] $result:ident $nan:ident => $($name:ident)*;)*) => {
        /// Those without immediates: types, and what has them.
        const PLAIN: &[(&[Ty], Ty, Nan, &[Instruction<'static>])] = &[
            $((&[$(Ty::$param),*], Ty::$result, Nan::$nan, &[$(Instruction::$name),*]),)*
        ];
    };
}

operators! {
    [I32] I32 Exact =>
        I32Eqz I32Clz I32Ctz I32Popcnt I32Extend8S I32Extend16S;
    [I32 I32] I32 Exact =>
        I32Eq I32Ne I32LtS I32LtU I32GtS I32GtU I32LeS I32LeU I32GeS I32GeU I32Add I32Sub
        I32Mul I32DivS I32DivU I32RemS I32RemU I32And I32Or I32Xor I32Shl I32ShrS I32ShrU
        I32Rotl I32Rotr;
    [I64] I32 Exact =>
        I64Eqz I32WrapI64;
    [I64 I64] I32 Exact =>
        I64Eq I64Ne I64LtS I64LtU I64GtS I64GtU I64LeS I64LeU I64GeS I64GeU;
    [I64] I64 Exact =>
        I64Clz I64Ctz I64Popcnt I64Extend8S I64Extend16S I64Extend32S;
    [I64 I64] I64 Exact =>
        I64Add I64Sub I64Mul I64DivS I64DivU I64RemS I64RemU I64And I64Or I64Xor I64Shl
        I64ShrS I64ShrU I64Rotl I64Rotr;
    [F32 F32] I32 Exact =>
        F32Eq F32Ne F32Lt F32Gt F32Le F32Ge;
    [F32] F32 Exact =>
        F32Abs F32Neg;
    [F32 F32] F32 Exact =>
        F32Copysign;
    [F32] F32 F32 =>
        F32Ceil F32Floor F32Trunc F32Nearest F32Sqrt;
    [F32 F32] F32 F32 =>
        F32Add F32Sub F32Mul F32Div F32Min F32Max;
    [F32] I32 Exact =>
        I32TruncF32S I32TruncF32U I32TruncSatF32S I32TruncSatF32U I32ReinterpretF32;
    [I32] F32 Exact =>
        F32ConvertI32S F32ConvertI32U F32ReinterpretI32;
    [F32] I64 Exact =>
        I64TruncF32S I64TruncF32U I64TruncSatF32S I64TruncSatF32U;
    [I64] F32 Exact =>
        F32ConvertI64S F32ConvertI64U;
    [F64 F64] I32 Exact =>
        F64Eq F64Ne F64Lt F64Gt F64Le F64Ge;
    [F64] F64 Exact =>
        F64Abs F64Neg;
    [F64 F64] F64 Exact =>
        F64Copysign;
    [F64] F64 F64 =>
        F64Ceil F64Floor F64Trunc F64Nearest F64Sqrt;
    [F64 F64] F64 F64 =>
        F64Add F64Sub F64Mul F64Div F64Min F64Max;
    [F64] I32 Exact =>
        I32TruncF64S I32TruncF64U I32TruncSatF64S I32TruncSatF64U;
    [I32] F64 Exact =>
        F64ConvertI32S F64ConvertI32U;
    [F64] I64 Exact =>
        I64TruncF64S I64TruncF64U I64TruncSatF64S I64TruncSatF64U I64ReinterpretF64;
    [I64] F64 Exact =>
        F64ConvertI64S F64ConvertI64U F64ReinterpretI64;
    [I32] I64 Exact =>
        I64ExtendI32S I64ExtendI32U;
    [F64] F32 F32 =>
        F32DemoteF64;
    [F32] F64 F64 =>
        F64PromoteF32;
    [I32] V128 Exact =>
        I8x16Splat I16x8Splat I32x4Splat;
    [I64] V128 Exact =>
        I64x2Splat;
    [F32] V128 Exact =>
        F32x4Splat;
    [F64] V128 Exact =>
        F64x2Splat;
    [V128 V128] V128 Exact =>
        I8x16Eq I8x16Ne I8x16LtS I8x16LtU I8x16GtS I8x16GtU I8x16LeS I8x16LeU I8x16GeS
        I8x16GeU I8x16Add I8x16Sub I8x16MinS I8x16MinU I8x16MaxS I8x16MaxU I16x8Eq I16x8Ne
        I16x8LtS I16x8LtU I16x8GtS I16x8GtU I16x8LeS I16x8LeU I16x8GeS I16x8GeU I16x8Add
        I16x8Sub I16x8MinS I16x8MinU I16x8MaxS I16x8MaxU I32x4Eq I32x4Ne I32x4LtS I32x4LtU
        I32x4GtS I32x4GtU I32x4LeS I32x4LeU I32x4GeS I32x4GeU I32x4Add I32x4Sub I32x4MinS
        I32x4MinU I32x4MaxS I32x4MaxU I64x2Eq I64x2Ne I64x2LtS I64x2GtS I64x2LeS I64x2GeS
        I64x2Add I64x2Sub I64x2Mul I8x16AddSatS I8x16AddSatU I8x16SubSatS I8x16SubSatU
        I8x16AvgrU I16x8AddSatS I16x8AddSatU I16x8SubSatS I16x8SubSatU I16x8AvgrU I16x8Mul
        I32x4Mul I8x16Swizzle I16x8Q15MulrSatS I32x4DotI16x8S I8x16NarrowI16x8S
        I8x16NarrowI16x8U I16x8NarrowI32x4S I16x8NarrowI32x4U V128And V128AndNot V128Or
        V128Xor I16x8ExtMulLowI8x16S I16x8ExtMulLowI8x16U I16x8ExtMulHighI8x16S
        I16x8ExtMulHighI8x16U I32x4ExtMulLowI16x8S I32x4ExtMulLowI16x8U
        I32x4ExtMulHighI16x8S I32x4ExtMulHighI16x8U I64x2ExtMulLowI32x4S
        I64x2ExtMulLowI32x4U I64x2ExtMulHighI32x4S I64x2ExtMulHighI32x4U F32x4Eq F32x4Ne
        F32x4Lt F32x4Gt F32x4Le F32x4Ge F32x4PMin F32x4PMax F64x2Eq F64x2Ne F64x2Lt F64x2Gt
        F64x2Le F64x2Ge F64x2PMin F64x2PMax;
    [V128] V128 Exact =>
        I8x16Abs I8x16Neg I16x8Abs I16x8Neg I32x4Abs I32x4Neg I64x2Abs I64x2Neg V128Not
        I8x16Popcnt I16x8ExtAddPairwiseI8x16S I16x8ExtAddPairwiseI8x16U I16x8ExtendLowI8x16S
        I16x8ExtendLowI8x16U I16x8ExtendHighI8x16S I16x8ExtendHighI8x16U
        I32x4ExtAddPairwiseI16x8S I32x4ExtAddPairwiseI16x8U I32x4ExtendLowI16x8S
        I32x4ExtendLowI16x8U I32x4ExtendHighI16x8S I32x4ExtendHighI16x8U
        I64x2ExtendLowI32x4S I64x2ExtendLowI32x4U I64x2ExtendHighI32x4S
        I64x2ExtendHighI32x4U F32x4Abs F32x4Neg F64x2Abs F64x2Neg I32x4TruncSatF32x4S
        I32x4TruncSatF32x4U F32x4ConvertI32x4S F32x4ConvertI32x4U I32x4TruncSatF64x2SZero
        I32x4TruncSatF64x2UZero F64x2ConvertLowI32x4S F64x2ConvertLowI32x4U;
    [V128] I32 Exact =>
        I8x16AllTrue I8x16Bitmask I16x8AllTrue I16x8Bitmask I32x4AllTrue I32x4Bitmask
        I64x2AllTrue I64x2Bitmask V128AnyTrue;
    [V128 I32] V128 Exact =>
        I8x16Shl I8x16ShrS I8x16ShrU I16x8Shl I16x8ShrS I16x8ShrU I32x4Shl I32x4ShrS
        I32x4ShrU I64x2Shl I64x2ShrS I64x2ShrU;
    [V128 V128 V128] V128 Exact =>
        V128Bitselect;
    [V128] V128 F32x4 =>
        F32x4Ceil F32x4Floor F32x4Trunc F32x4Nearest F32x4Sqrt F32x4DemoteF64x2Zero;
    [V128 V128] V128 F32x4 =>
        F32x4Add F32x4Sub F32x4Mul F32x4Div F32x4Min F32x4Max;
    [V128] V128 F64x2 =>
        F64x2Ceil F64x2Floor F64x2Trunc F64x2Nearest F64x2Sqrt F64x2PromoteLowF32x4;
    [V128 V128] V128 F64x2 =>
        F64x2Add F64x2Sub F64x2Mul F64x2Div F64x2Min F64x2Max;
    [V128] V128 Relaxed =>
        I32x4RelaxedTruncF32x4S I32x4RelaxedTruncF32x4U I32x4RelaxedTruncF64x2SZero
        I32x4RelaxedTruncF64x2UZero;
    [V128 V128] V128 Relaxed =>
        I8x16RelaxedSwizzle F32x4RelaxedMin F32x4RelaxedMax F64x2RelaxedMin F64x2RelaxedMax
        I16x8RelaxedQ15mulrS I16x8RelaxedDotI8x16I7x16S;
    [V128 V128 V128] V128 Relaxed =>
        F32x4RelaxedMadd F32x4RelaxedNmadd F64x2RelaxedMadd F64x2RelaxedNmadd
        I8x16RelaxedLaneselect I16x8RelaxedLaneselect I32x4RelaxedLaneselect
        I64x2RelaxedLaneselect I32x4RelaxedDotI8x16I7x16AddS;
}

/// Those with lanes.
fn lanes() -> Vec<Operator> {
    type Make = fn(u8) -> Instruction<'static>;
    use Instruction as I;
    let extract: [(Make, u8, Ty); 8] = [
        (I::I8x16ExtractLaneS, 16, Ty::I32),
        (I::I8x16ExtractLaneU, 16, Ty::I32),
        (I::I16x8ExtractLaneS, 8, Ty::I32),
        (I::I16x8ExtractLaneU, 8, Ty::I32),
        (I::I32x4ExtractLane, 4, Ty::I32),
        (I::I64x2ExtractLane, 2, Ty::I64),
        (I::F32x4ExtractLane, 4, Ty::F32),
        (I::F64x2ExtractLane, 2, Ty::F64),
    ];
    let replace: [(Make, u8, &'static [Ty]); 6] = [
        (I::I8x16ReplaceLane, 16, &[Ty::V128, Ty::I32]),
        (I::I16x8ReplaceLane, 8, &[Ty::V128, Ty::I32]),
        (I::I32x4ReplaceLane, 4, &[Ty::V128, Ty::I32]),
        (I::I64x2ReplaceLane, 2, &[Ty::V128, Ty::I64]),
        (I::F32x4ReplaceLane, 4, &[Ty::V128, Ty::F32]),
        (I::F64x2ReplaceLane, 2, &[Ty::V128, Ty::F64]),
    ];
    let mut all = Vec::new();
    let exact =
        |instruction, params, result| Operator { instruction, params, result, nan: Nan::Exact };
    for (make, lanes, result) in extract {
        all.extend((0..lanes).map(|lane| exact(make(lane), &[Ty::V128], result)));
    }
    for (make, lanes, params) in replace {
        all.extend((0..lanes).map(|lane| exact(make(lane), params, Ty::V128)));
    }
    all
}

/// Shuffles that processors have instructions for, and one that they have none for.
fn shuffles() -> Vec<Operator> {
    let patterns: [fn(u8) -> u8; 12] = [
        |i| i,
        |i| 16 + i,
        |_| 0,
        |i| 15 - i,
        |i| i % 4,
        |i| (i + 1) % 32,
        |i| i + 8,
        |i| (i / 2) + 16 * (i % 2),
        |i| (i / 4) * 2 % 16 + i % 2 + 16 * (i / 8),
        |i| if i < 8 { i } else { i + 8 },
        |i| (i / 8) * 24 + i % 8,
        |i| (i * 7 + 3) % 32,
    ];
    let shuffle = |pattern: fn(u8) -> u8| Operator {
        instruction: Instruction::I8x16Shuffle(std::array::from_fn(|i| pattern(i as u8) % 32)),
        params: &[Ty::V128, Ty::V128],
        result: Ty::V128,
        nan: Nan::Exact,
    };
    patterns.map(shuffle).into()
}

/// All of them.
pub(crate) fn all() -> &'static [Operator] {
    static ALL: OnceLock<Vec<Operator>> = OnceLock::new();
    ALL.get_or_init(|| {
        let rows = PLAIN.iter().flat_map(|&(params, result, nan, instructions)| {
            let operator = move |instruction: &Instruction<'static>| Operator {
                instruction: instruction.clone(),
                params,
                result,
                nan,
            };
            instructions.iter().map(operator)
        });
        rows.chain(lanes()).chain(shuffles()).collect()
    })
}

/// One that has this result.
pub(crate) fn of_result(u: &mut Unstructured<'_>, ty: Ty) -> Result<&'static Operator> {
    static BY_TYPE: OnceLock<Vec<Vec<&'static Operator>>> = OnceLock::new();
    let by_type = BY_TYPE.get_or_init(|| {
        let of = |ty| all().iter().filter(|operator| operator.result == ty).collect();
        Ty::ALL.map(of).into()
    });
    u.choose(&by_type[ty as usize]).copied()
}

/// Bits for a value: often those where operators have their edges.
pub(crate) fn bits(u: &mut Unstructured<'_>) -> Result<u128> {
    const EDGES: &[u128] = &[
        0,
        1,
        2,
        7,
        8,
        15,
        31,
        32,
        63,
        64,
        0x7f,
        0x80,
        0xff,
        0x7fff,
        0x8000,
        0xffff,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_ffff,
        0x7fff_ffff_ffff_ffff,
        0x8000_0000_0000_0000,
        u128::MAX,
        // Floats: one, infinity, NaNs, the least, and where integers end.
        0x3f80_0000,
        0x7f80_0000,
        0xff80_0000,
        0x7fc0_0000,
        0x7fa0_0001,
        0x4f00_0000,
        0xcf00_0000,
        0x5f00_0000,
        0x4f80_0000,
        0x3ff0_0000_0000_0000,
        0x7ff0_0000_0000_0000,
        0xfff8_0000_0000_0001,
        0x41e0_0000_0000_0000,
        0xc1e0_0000_0020_0000,
        0x43e0_0000_0000_0000,
        0x3fdf_ffff_ffff_ffff,
        0x8000_0000_0000_0001,
    ];
    if u.ratio(1, 4)? {
        return u.arbitrary();
    }
    let edge = *u.choose(EDGES)?;
    // In each lane of a vector, or in the lowest one only.
    Ok(match u.int_in_range(0..=3)? {
        0 => edge,
        1 => (edge & u128::from(u64::MAX)) * 0x1_0000_0000_0000_0001,
        2 => (edge & 0xffff_ffff) * 0x1_0000_0001_0000_0001_0000_0001,
        _ => (edge & 0xff) * 0x0101_0101_0101_0101_0101_0101_0101_0101,
    })
}
