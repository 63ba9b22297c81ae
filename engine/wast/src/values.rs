//! Arguments, and whether results are what a script expects.

use precompile::{AsContextMut, ExternRef, Store, Val};
use wast::core::{AbstractHeapType, HeapType, NanPattern, V128Pattern, WastArgCore, WastRetCore};
use wast::token::{F32, F64};
use wast::{WastArg, WastRet};

/// The value that a script calls a function with.
pub(crate) fn argument(arg: &WastArg<'_>, store: impl AsContextMut) -> Result<Val, String> {
    let WastArg::Core(arg) = arg else {
        return Err("values of components are not supported yet".into());
    };
    Ok(match arg {
        WastArgCore::I32(x) => Val::I32(*x),
        WastArgCore::I64(x) => Val::I64(*x),
        WastArgCore::F32(x) => Val::F32(x.bits),
        WastArgCore::F64(x) => Val::F64(x.bits),
        WastArgCore::V128(x) => Val::V128(u128::from_le_bytes(x.to_le_bytes()).into()),
        WastArgCore::RefNull(heap) => Val::null_ref(
            heap_type(heap).ok_or_else(|| format!("a null of {heap:?} is not supported yet"))?,
        ),
        WastArgCore::RefExtern(x) => {
            let value = ExternRef::new(store, *x).map_err(|error| format!("{error:#}"))?;
            Val::ExternRef(Some(value))
        }
        WastArgCore::RefHost(_) => return Err("an `anyref` is not supported yet".into()),
    })
}

/// The type whose null is that of `heap`: a null has no more of a type than its hierarchy.
fn heap_type(heap: &HeapType<'_>) -> Option<precompile::HeapType> {
    match heap {
        HeapType::Abstract { shared: false, ty } => match ty {
            AbstractHeapType::Func | AbstractHeapType::NoFunc => Some(precompile::HeapType::Func),
            AbstractHeapType::Extern | AbstractHeapType::NoExtern => {
                Some(precompile::HeapType::Extern)
            }
            AbstractHeapType::Exn | AbstractHeapType::NoExn => Some(precompile::HeapType::Exn),
            _ => None,
        },
        // The null of a function's type is that of all of them.
        HeapType::Concrete(_) => Some(precompile::HeapType::Func),
        _ => None,
    }
}

/// Compares results with what a script expects.
///
/// # Errors
/// What differs.
pub(crate) fn compare(
    found: &[Val],
    expected: &[WastRet<'_>],
    store: &Store<()>,
) -> Result<(), String> {
    if found.len() != expected.len() {
        return Err(format!("{} results, not {}", found.len(), expected.len()));
    }
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let WastRet::Core(expected) = expected else {
            return Err("values of components are not supported yet".into());
        };
        if !matches(found, expected, store) {
            return Err(format!("result {i} is {}, expected {expected:?}", describe(found, store)));
        }
    }
    Ok(())
}

/// What the name of a directive says of its result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Nan {
    canonical: bool,
    lanes: Lanes,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lanes {
    One,
    F32x4,
    F64x2,
}

/// The result that a directive such as `assert_return_canonical_nan` has in its name, as they had
/// before there were patterns.
pub(crate) fn nan_of_directive(keyword: &str) -> Option<Nan> {
    let rest = keyword.strip_prefix("assert_return_")?;
    let (canonical, lanes) = match rest.strip_prefix("canonical_nan") {
        Some(lanes) => (true, lanes),
        None => (false, rest.strip_prefix("arithmetic_nan")?),
    };
    let lanes = match lanes {
        "" => Lanes::One,
        "_f32x4" => Lanes::F32x4,
        "_f64x2" => Lanes::F64x2,
        _ => return None,
    };
    Some(Nan { canonical, lanes })
}

/// Compares the only result with `nan`.
///
/// # Errors
/// What differs.
pub(crate) fn compare_nan(found: &[Val], nan: Nan, store: &Store<()>) -> Result<(), String> {
    let (f32, f64) = (pattern(nan.canonical), pattern(nan.canonical));
    let is_nan = match (found, nan.lanes) {
        ([Val::F32(bits)], Lanes::One) => f32_matches(*bits, &f32),
        ([Val::F64(bits)], Lanes::One) => f64_matches(*bits, &f64),
        ([Val::V128(bits)], Lanes::F32x4) => {
            v128_matches(bits.as_u128(), &V128Pattern::F32x4([f32; 4]))
        }
        ([Val::V128(bits)], Lanes::F64x2) => {
            v128_matches(bits.as_u128(), &V128Pattern::F64x2([f64; 2]))
        }
        _ => false,
    };
    if is_nan {
        return Ok(());
    }
    let found: Vec<_> = found.iter().map(|val| describe(val, store)).collect();
    Err(format!("the result is {}", found.join(", ")))
}

fn pattern<T>(canonical: bool) -> NanPattern<T> {
    if canonical { NanPattern::CanonicalNan } else { NanPattern::ArithmeticNan }
}

fn matches(found: &Val, expected: &WastRetCore<'_>, store: &Store<()>) -> bool {
    match (found, expected) {
        (found, WastRetCore::Either(cases)) => cases.iter().any(|c| matches(found, c, store)),
        (Val::I32(x), WastRetCore::I32(want)) => x == want,
        (Val::I64(x), WastRetCore::I64(want)) => x == want,
        (Val::F32(x), WastRetCore::F32(want)) => f32_matches(*x, want),
        (Val::F64(x), WastRetCore::F64(want)) => f64_matches(*x, want),
        (Val::V128(x), WastRetCore::V128(want)) => v128_matches(x.as_u128(), want),
        // Which one it is by its index, nobody outside of the module can tell.
        (Val::FuncRef(x), WastRetCore::RefFunc(_)) => x.is_some(),
        (
            Val::FuncRef(None) | Val::ExternRef(None) | Val::ExnRef(None),
            WastRetCore::RefNull(None),
        ) => true,
        (Val::FuncRef(None), WastRetCore::RefNull(Some(heap))) => {
            heap_type(heap) == Some(precompile::HeapType::Func)
        }
        (Val::ExternRef(None), WastRetCore::RefNull(Some(heap))) => {
            heap_type(heap) == Some(precompile::HeapType::Extern)
        }
        (Val::ExnRef(None), WastRetCore::RefNull(Some(heap))) => {
            heap_type(heap) == Some(precompile::HeapType::Exn)
        }
        (Val::ExternRef(Some(_)), WastRetCore::RefExtern(None)) => true,
        (found @ Val::ExternRef(Some(_)), WastRetCore::RefExtern(Some(want))) => {
            host_value(found, store) == Some(*want)
        }
        _ => false,
    }
}

/// The number in an external reference that a script made.
fn host_value(val: &Val, store: &Store<()>) -> Option<u32> {
    let data = val.extern_ref()??.data(store).ok()??;
    data.downcast_ref::<u32>().copied()
}

/// A canonical NaN has only the highest bit of its fraction set, and either sign; an arithmetic
/// one has at least that bit set (core specification, section 4.3.3).
fn f32_matches(bits: u32, expected: &NanPattern<F32>) -> bool {
    const QUIET: u32 = 0x7fc0_0000;
    match expected {
        NanPattern::CanonicalNan => bits & 0x7fff_ffff == QUIET,
        NanPattern::ArithmeticNan => bits & QUIET == QUIET,
        NanPattern::Value(want) => bits == want.bits,
    }
}

fn f64_matches(bits: u64, expected: &NanPattern<F64>) -> bool {
    const QUIET: u64 = 0x7ff8_0000_0000_0000;
    match expected {
        NanPattern::CanonicalNan => bits & 0x7fff_ffff_ffff_ffff == QUIET,
        NanPattern::ArithmeticNan => bits & QUIET == QUIET,
        NanPattern::Value(want) => bits == want.bits,
    }
}

/// Lane 0 is in the lowest bits.
fn v128_matches(bits: u128, expected: &V128Pattern) -> bool {
    let lane = |i: usize, width: usize| bits >> (i * width);
    match expected {
        V128Pattern::I8x16(want) => (0..16).all(|i| lane(i, 8) as i8 == want[i]),
        V128Pattern::I16x8(want) => (0..8).all(|i| lane(i, 16) as i16 == want[i]),
        V128Pattern::I32x4(want) => (0..4).all(|i| lane(i, 32) as i32 == want[i]),
        V128Pattern::I64x2(want) => (0..2).all(|i| lane(i, 64) as i64 == want[i]),
        V128Pattern::F32x4(want) => (0..4).all(|i| f32_matches(lane(i, 32) as u32, &want[i])),
        V128Pattern::F64x2(want) => (0..2).all(|i| f64_matches(lane(i, 64) as u64, &want[i])),
    }
}

fn describe(val: &Val, store: &Store<()>) -> String {
    match val {
        Val::F32(bits) => format!("f32 {:?} ({bits:#010x})", f32::from_bits(*bits)),
        Val::F64(bits) => format!("f64 {:?} ({bits:#018x})", f64::from_bits(*bits)),
        Val::ExternRef(Some(_)) => match host_value(val, store) {
            Some(x) => format!("the external reference {x}"),
            None => "an external reference of somebody else's".into(),
        },
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_patterns() {
        let (canonical, arithmetic) = (NanPattern::CanonicalNan, NanPattern::ArithmeticNan);
        for (bits, is_canonical, is_arithmetic) in [
            (0x7fc0_0000, true, true),
            (0xffc0_0000, true, true),
            (0x7fc0_0001, false, true),
            (0x7fa0_0000, false, false),
            (0x7f80_0000, false, false),
            (0x3fc0_0000, false, false),
        ] {
            assert_eq!(f32_matches(bits, &canonical), is_canonical, "{bits:#x}");
            assert_eq!(f32_matches(bits, &arithmetic), is_arithmetic, "{bits:#x}");
        }
        assert!(f64_matches(f64::NAN.to_bits(), &NanPattern::CanonicalNan));
        assert!(!f64_matches(f64::NAN.to_bits() | 1, &NanPattern::CanonicalNan));
        assert!(f64_matches(f64::NAN.to_bits() | 1, &NanPattern::ArithmeticNan));
        assert!(!f64_matches(f64::INFINITY.to_bits(), &NanPattern::ArithmeticNan));
    }

    #[test]
    fn directives_for_nans() {
        for (keyword, canonical, lanes) in [
            ("assert_return_canonical_nan", true, Lanes::One),
            ("assert_return_arithmetic_nan_f64x2", false, Lanes::F64x2),
            ("assert_return_canonical_nan_f32x4", true, Lanes::F32x4),
        ] {
            assert_eq!(nan_of_directive(keyword), Some(Nan { canonical, lanes }));
        }
        for keyword in ["assert_return", "assert_return_nan", "assert_return_canonical_nans"] {
            assert_eq!(nan_of_directive(keyword), None, "{keyword}");
        }
    }

    #[test]
    fn lanes() {
        let bits = 0x0000_0004_0000_0003_0000_0002_0000_0001;
        assert!(v128_matches(bits, &V128Pattern::I32x4([1, 2, 3, 4])));
        assert!(!v128_matches(bits, &V128Pattern::I32x4([4, 3, 2, 1])));
        assert!(v128_matches(bits, &V128Pattern::I16x8([1, 0, 2, 0, 3, 0, 4, 0])));
    }
}
