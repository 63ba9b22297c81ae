//! Constant expressions as bytes: an opcode and its operand, fixed width, without an `end`.
//!
//! ```text
//!  0 i32.const u32   1 i64.const u64   2 f32.const u32 (bits)   3 f64.const u64 (bits)
//!  4 v128.const u128   5 global.get u32   6 ref.null u32 (0 func, 1 extern, 2 exn)   7 ref.func u32
//!  8 i32.add  9 i32.sub  10 i32.mul  11 i64.add  12 i64.sub  13 i64.mul
//! ```

use crate::wasm::types::{ConstOp, HeapType};

/// Appends `ops` to `out`.
pub(crate) fn encode(ops: &[ConstOp], out: &mut Vec<u8>) {
    for op in ops {
        match *op {
            ConstOp::I32Const(x) => put(out, 0, &x.to_le_bytes()),
            ConstOp::I64Const(x) => put(out, 1, &x.to_le_bytes()),
            ConstOp::F32Const(x) => put(out, 2, &x.to_le_bytes()),
            ConstOp::F64Const(x) => put(out, 3, &x.to_le_bytes()),
            ConstOp::V128Const(x) => put(out, 4, &x.to_le_bytes()),
            ConstOp::GlobalGet(x) => put(out, 5, &x.to_le_bytes()),
            ConstOp::RefNull(heap) => {
                let heap: u32 = match heap {
                    HeapType::Func | HeapType::ConcreteFunc(_) => 0,
                    HeapType::Extern => 1,
                    HeapType::Exn | HeapType::NoExn => 2,
                };
                put(out, 6, &heap.to_le_bytes());
            }
            ConstOp::RefFunc(x) => put(out, 7, &x.to_le_bytes()),
            ConstOp::I32Add => put(out, 8, &[]),
            ConstOp::I32Sub => put(out, 9, &[]),
            ConstOp::I32Mul => put(out, 10, &[]),
            ConstOp::I64Add => put(out, 11, &[]),
            ConstOp::I64Sub => put(out, 12, &[]),
            ConstOp::I64Mul => put(out, 13, &[]),
        }
    }
}

fn put(out: &mut Vec<u8>, opcode: u8, operand: &[u8]) {
    out.push(opcode);
    out.extend_from_slice(operand);
}

/// Takes the first operation off `bytes`; `None` if there is none that makes sense.
pub(crate) fn decode(bytes: &mut &[u8]) -> Option<ConstOp> {
    fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
        let (head, tail) = bytes.split_first_chunk::<N>()?;
        *bytes = tail;
        Some(*head)
    }
    let [opcode] = take(bytes)?;
    Some(match opcode {
        0 => ConstOp::I32Const(i32::from_le_bytes(take(bytes)?)),
        1 => ConstOp::I64Const(i64::from_le_bytes(take(bytes)?)),
        2 => ConstOp::F32Const(u32::from_le_bytes(take(bytes)?)),
        3 => ConstOp::F64Const(u64::from_le_bytes(take(bytes)?)),
        4 => ConstOp::V128Const(u128::from_le_bytes(take(bytes)?)),
        5 => ConstOp::GlobalGet(u32::from_le_bytes(take(bytes)?)),
        6 => ConstOp::RefNull(match u32::from_le_bytes(take(bytes)?) {
            0 => HeapType::Func,
            1 => HeapType::Extern,
            2 => HeapType::Exn,
            _ => return None,
        }),
        7 => ConstOp::RefFunc(u32::from_le_bytes(take(bytes)?)),
        8 => ConstOp::I32Add,
        9 => ConstOp::I32Sub,
        10 => ConstOp::I32Mul,
        11 => ConstOp::I64Add,
        12 => ConstOp::I64Sub,
        13 => ConstOp::I64Mul,
        _ => return None,
    })
}

#[cfg(all(test, feature = "compile", feature = "runtime"))]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let ops = [
            ConstOp::I32Const(-1),
            ConstOp::I64Const(i64::MIN),
            ConstOp::F32Const(0x7fc0_0001),
            ConstOp::F64Const(1),
            ConstOp::V128Const(1 << 100),
            ConstOp::GlobalGet(3),
            ConstOp::RefNull(HeapType::Extern),
            ConstOp::RefNull(HeapType::Exn),
            ConstOp::RefFunc(9),
            ConstOp::I32Add,
            ConstOp::I64Mul,
        ];
        let mut bytes = Vec::new();
        encode(&ops, &mut bytes);
        let mut rest = &bytes[..];
        for op in ops {
            assert_eq!(decode(&mut rest), Some(op));
        }
        assert!(rest.is_empty());
        for cut in 0..bytes.len() {
            let mut rest = &bytes[..cut];
            while decode(&mut rest).is_some() {}
        }
    }
}
