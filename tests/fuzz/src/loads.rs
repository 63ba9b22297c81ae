//! Loads and stores: how many bytes they touch, and what comes of them.

use crate::operators::Ty;
use wasm_encoder::{Instruction, Lane, MemArg, MemArgTarget};

/// The vector of which loads of a lane replace one, and stores of a lane store one.
pub(crate) const VECTOR: u128 = 0x0f1e_2d3c_4b5a_6978_8796_a5b4_c3d2_e1f0;

/// How bytes become a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum How {
    Unsigned,
    Signed,
    Splat,
    /// Each so many bytes become a lane that is twice as wide.
    Widen {
        bytes: u32,
        signed: bool,
    },
    /// A lane of [`VECTOR`] is replaced, or stored.
    Lane(Lane),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    make: fn(MemArg) -> Instruction<'static>,
    make_lane: fn(MemArg, Lane) -> Instruction<'static>,
    pub(crate) how: How,
    pub(crate) bytes: u32,
    /// What it loads or stores.
    pub(crate) ty: Ty,
    pub(crate) store: bool,
}

/// An access without a promise on its alignment.
pub(crate) fn memarg(memory: u32, offset: u64) -> MemArg {
    MemArg { offset, align: 0, target: MemArgTarget::Memory(memory), ordering: None }
}

fn no_lane(_: MemArg, _: Lane) -> Instruction<'static> {
    Instruction::Nop
}

fn no_arg(_: MemArg) -> Instruction<'static> {
    Instruction::Nop
}

/// All that there are.
pub(crate) fn all() -> Vec<Access> {
    use Instruction as I;
    type Row = (fn(MemArg) -> Instruction<'static>, Ty, u32, How);
    let (zero, sign) = (How::Unsigned, How::Signed);
    let widen = |bytes, signed| How::Widen { bytes, signed };
    let loads: [Row; 27] = [
        (I::I32Load, Ty::I32, 4, zero),
        (I::I64Load, Ty::I64, 8, zero),
        (I::F32Load, Ty::F32, 4, zero),
        (I::F64Load, Ty::F64, 8, zero),
        (I::I32Load8S, Ty::I32, 1, sign),
        (I::I32Load8U, Ty::I32, 1, zero),
        (I::I32Load16S, Ty::I32, 2, sign),
        (I::I32Load16U, Ty::I32, 2, zero),
        (I::I64Load8S, Ty::I64, 1, sign),
        (I::I64Load8U, Ty::I64, 1, zero),
        (I::I64Load16S, Ty::I64, 2, sign),
        (I::I64Load16U, Ty::I64, 2, zero),
        (I::I64Load32S, Ty::I64, 4, sign),
        (I::I64Load32U, Ty::I64, 4, zero),
        (I::V128Load, Ty::V128, 16, zero),
        (I::V128Load8x8S, Ty::V128, 8, widen(1, true)),
        (I::V128Load8x8U, Ty::V128, 8, widen(1, false)),
        (I::V128Load16x4S, Ty::V128, 8, widen(2, true)),
        (I::V128Load16x4U, Ty::V128, 8, widen(2, false)),
        (I::V128Load32x2S, Ty::V128, 8, widen(4, true)),
        (I::V128Load32x2U, Ty::V128, 8, widen(4, false)),
        (I::V128Load8Splat, Ty::V128, 1, How::Splat),
        (I::V128Load16Splat, Ty::V128, 2, How::Splat),
        (I::V128Load32Splat, Ty::V128, 4, How::Splat),
        (I::V128Load64Splat, Ty::V128, 8, How::Splat),
        (I::V128Load32Zero, Ty::V128, 4, zero),
        (I::V128Load64Zero, Ty::V128, 8, zero),
    ];
    let stores: [Row; 10] = [
        (I::I32Store, Ty::I32, 4, zero),
        (I::I64Store, Ty::I64, 8, zero),
        (I::F32Store, Ty::F32, 4, zero),
        (I::F64Store, Ty::F64, 8, zero),
        (I::I32Store8, Ty::I32, 1, zero),
        (I::I32Store16, Ty::I32, 2, zero),
        (I::I64Store8, Ty::I64, 1, zero),
        (I::I64Store16, Ty::I64, 2, zero),
        (I::I64Store32, Ty::I64, 4, zero),
        (I::V128Store, Ty::V128, 16, zero),
    ];
    type LaneRow = (fn(MemArg, Lane) -> Instruction<'static>, u32, bool);
    let lanes: [LaneRow; 8] = [
        (|memarg, lane| I::V128Load8Lane { memarg, lane }, 1, false),
        (|memarg, lane| I::V128Load16Lane { memarg, lane }, 2, false),
        (|memarg, lane| I::V128Load32Lane { memarg, lane }, 4, false),
        (|memarg, lane| I::V128Load64Lane { memarg, lane }, 8, false),
        (|memarg, lane| I::V128Store8Lane { memarg, lane }, 1, true),
        (|memarg, lane| I::V128Store16Lane { memarg, lane }, 2, true),
        (|memarg, lane| I::V128Store32Lane { memarg, lane }, 4, true),
        (|memarg, lane| I::V128Store64Lane { memarg, lane }, 8, true),
    ];
    let plain = |rows: &[Row], store| -> Vec<Access> {
        let access = |&(make, ty, bytes, how): &Row| Access {
            make,
            make_lane: no_lane,
            how,
            bytes,
            ty,
            store,
        };
        rows.iter().map(access).collect()
    };
    let mut all = [plain(&loads, false), plain(&stores, true)].concat();
    for (make_lane, bytes, store) in lanes {
        let last = 16 / bytes as u8 - 1;
        for lane in [0, last / 2, last] {
            let how = How::Lane(lane);
            all.push(Access { make: no_arg, make_lane, how, bytes, ty: Ty::V128, store });
        }
    }
    all
}

impl Access {
    pub(crate) fn instruction(&self, memarg: MemArg) -> Instruction<'static> {
        match self.how {
            How::Lane(lane) => (self.make_lane)(memarg, lane),
            _ => (self.make)(memarg),
        }
    }

    /// Whether a load takes a vector beside the address.
    pub(crate) fn takes_vector(&self) -> bool {
        matches!(self.how, How::Lane(_)) && !self.store
    }

    /// What a load makes of `bytes`.
    pub(crate) fn loaded(&self, bytes: &[u8]) -> u128 {
        let number =
            |bytes: &[u8]| bytes.iter().rev().fold(0u128, |all, byte| all << 8 | u128::from(*byte));
        let extend =
            |value: u128, bits: u32| ((value << (128 - bits)) as i128 >> (128 - bits)) as u128;
        let value = number(bytes);
        let bits = self.bytes * 8;
        match self.how {
            How::Unsigned => value,
            How::Signed => extend(value, bits) & (u128::MAX >> (128 - self.ty.size() * 8)),
            How::Splat => (0..128 / bits).fold(0, |all, lane| all | value << (lane * bits)),
            How::Widen { bytes: narrow, signed } => {
                let narrow = narrow * 8;
                let mask = u128::MAX >> (128 - 2 * narrow);
                (0..64 / narrow).fold(0, |all, lane| {
                    let lane_value = value >> (lane * narrow) & (u128::MAX >> (128 - narrow));
                    let wide = if signed { extend(lane_value, narrow) } else { lane_value };
                    all | (wide & mask) << (lane * 2 * narrow)
                })
            }
            How::Lane(lane) => {
                let (at, mask) = (u32::from(lane) * bits, u128::MAX >> (128 - bits));
                VECTOR & !(mask << at) | value << at
            }
        }
    }

    /// What a store leaves in memory of `value`.
    pub(crate) fn stored(&self, value: u128) -> Vec<u8> {
        let value = match self.how {
            How::Lane(lane) => value >> (u32::from(lane) * self.bytes * 8),
            _ => value,
        };
        value.to_le_bytes()[..self.bytes as usize].to_vec()
    }
}
