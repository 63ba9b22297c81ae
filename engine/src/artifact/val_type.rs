//! Value types as words.
//!
//! ```text
//!  bits 0..4   0 i32 · 1 i64 · 2 f32 · 3 f64 · 4 v128 · 5 reference
//!  bit  4      of a reference: nullable
//!  bit  5      of a reference: to functions of the type whose index is in bits 8..32
//!  bits 8..32  of a reference otherwise: 0 func · 1 extern · 2 exn · 3 noexn
//! ```
//! Everything else is zero.

use crate::wasm::types::{FuncTypeId, HeapType, RefType, ValType};

/// The word for `ty`.
pub(crate) fn encode(ty: ValType) -> u32 {
    match ty {
        ValType::I32 => 0,
        ValType::I64 => 1,
        ValType::F32 => 2,
        ValType::F64 => 3,
        ValType::V128 => 4,
        ValType::Ref(r) => {
            let (concrete, heap) = match r.heap_type() {
                HeapType::Func => (0, 0),
                HeapType::Extern => (0, 1),
                HeapType::Exn => (0, 2),
                HeapType::NoExn => (0, 3),
                // The validator caps types at 1,000,000.
                HeapType::ConcreteFunc(ty) => (1, ty.0),
            };
            5 | (r.is_nullable() as u32) << 4 | concrete << 5 | heap << 8
        }
    }
}

/// The type of a word, or `None` for a word that no type has.
pub(crate) fn decode(word: u32) -> Option<ValType> {
    Some(match word {
        0 => ValType::I32,
        1 => ValType::I64,
        2 => ValType::F32,
        3 => ValType::F64,
        4 => ValType::V128,
        _ if word & 0xcf == 5 => {
            let heap = match (word & 0x20 != 0, word >> 8) {
                (true, ty) => HeapType::ConcreteFunc(FuncTypeId(ty)),
                (false, 0) => HeapType::Func,
                (false, 1) => HeapType::Extern,
                (false, 2) => HeapType::Exn,
                (false, 3) => HeapType::NoExn,
                _ => return None,
            };
            ValType::Ref(RefType::new(word & 0x10 != 0, heap))
        }
        _ => return None,
    })
}

#[cfg(all(test, feature = "compile", feature = "runtime"))]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let mut count = 0;
        for word in (0..0x1000).chain([u32::MAX, 1 << 31]) {
            if let Some(ty) = decode(word) {
                assert_eq!(encode(ty), word);
                count += 1;
            }
        }
        assert_eq!(count, 5 + 8 + 2 * 16);
    }
}
