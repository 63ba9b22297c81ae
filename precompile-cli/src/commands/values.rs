//! Parameters and results of functions as text.

use precompile::{HeapType, V128, Val, ValType};

/// The value of type `ty` that `text` stands for.
///
/// # Errors
/// What was expected instead.
pub(crate) fn parse(ty: ValType, text: &str) -> Result<Val, String> {
    let wrong = |expected: &str| format!("expected {expected}, found `{text}`");
    match ty {
        ValType::I32 => integer(text, 32)
            .map(|bits| Val::I32(bits as i32))
            .ok_or_else(|| wrong("an i32: decimal or 0x, signed or unsigned")),
        ValType::I64 => integer(text, 64)
            .map(|bits| Val::I64(bits as i64))
            .ok_or_else(|| wrong("an i64: decimal or 0x, signed or unsigned")),
        ValType::F32 => match nan(text) {
            Some(negative) => Ok(Val::F32(0x7fc0_0000 | u32::from(negative) << 31)),
            None => text.parse::<f32>().map(|x| Val::F32(x.to_bits())).map_err(|_| wrong("an f32")),
        },
        ValType::F64 => match nan(text) {
            Some(negative) => Ok(Val::F64(0x7ff8_0000_0000_0000 | u64::from(negative) << 63)),
            None => text.parse::<f64>().map(|x| Val::F64(x.to_bits())).map_err(|_| wrong("an f64")),
        },
        ValType::V128 => text
            .strip_prefix("0x")
            .and_then(|digits| u128::from_str_radix(digits, 16).ok())
            .map(|bits| Val::V128(V128::from(bits)))
            .ok_or_else(|| wrong("a v128: 0x and up to 32 digits")),
        ValType::Ref(ty) if text == "null" => Ok(Val::null_ref(ty.heap_type())),
        ValType::Ref(ty) => Err(match ty.heap_type() {
            HeapType::Func => wrong("null: functions cannot be written down"),
            _ => wrong("null: references cannot be written down"),
        }),
    }
}

/// The bits of an integer, given as its signed or its unsigned value.
fn integer(text: &str, width: u32) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    // A second sign would be taken by the parser of the standard library.
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    let value = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) if digits.starts_with(|c: char| c.is_ascii_hexdigit()) => {
            i128::from_str_radix(digits, 16).ok()?
        }
        Some(_) => return None,
        None => digits.parse::<i128>().ok()?,
    };
    let value = sign * value;
    (-(1 << (width - 1)) <= value && value < 1 << width).then_some(value)
}

/// Whether `text` is a NaN: and if so, whether its sign is set. Its payload is the canonical one,
/// where Rust promises none.
fn nan(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "nan" | "+nan" => Some(false),
        "-nan" => Some(true),
        _ => None,
    }
}

/// A value as text; what can be parsed is parsed back to the same value, but for payloads of NaNs.
pub(crate) fn show(value: &Val) -> String {
    match value {
        Val::I32(x) => x.to_string(),
        Val::I64(x) => x.to_string(),
        Val::F32(bits) => float(f32::from_bits(*bits).is_nan(), f32::from_bits(*bits)),
        Val::F64(bits) => float(f64::from_bits(*bits).is_nan(), f64::from_bits(*bits)),
        Val::V128(x) => format!("{:#034x}", x.as_u128()),
        Val::FuncRef(None) | Val::ExternRef(None) | Val::ExnRef(None) => "null".to_string(),
        Val::FuncRef(Some(_)) => "funcref".to_string(),
        Val::ExternRef(Some(_)) => "externref".to_string(),
        Val::ExnRef(Some(_)) => "exnref".to_string(),
        _ => "?".to_string(),
    }
}

fn float(is_nan: bool, value: impl std::fmt::Display) -> String {
    if is_nan { "nan".to_string() } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(ty: ValType, text: &str) -> String {
        parse(ty, text).map_or_else(|error| error, |value| show(&value))
    }

    #[test]
    fn integers_are_signed_or_unsigned() {
        for (text, shown) in [
            ("0", "0"),
            ("-1", "-1"),
            ("4294967295", "-1"),
            ("0xffffffff", "-1"),
            ("-0x80000000", "-2147483648"),
            ("+7", "7"),
        ] {
            assert_eq!(round(ValType::I32, text), shown);
        }
        assert_eq!(round(ValType::I64, "18446744073709551615"), "-1");
        assert_eq!(round(ValType::I64, "-9223372036854775808"), "-9223372036854775808");
        for text in ["", "-", "--1", "+-1", "0x", "0x-1", "x", "1.0", "4294967296", "-2147483649"] {
            assert!(parse(ValType::I32, text).is_err(), "{text}");
        }
        let long = "9".repeat(100);
        assert!(parse(ValType::I64, &long).is_err());
    }

    #[test]
    fn floats_have_words() {
        for (text, shown) in [
            ("1.5", "1.5"),
            ("-0", "-0"),
            ("nan", "nan"),
            ("NaN", "nan"),
            ("inf", "inf"),
            ("-inf", "-inf"),
            ("1e3", "1000"),
        ] {
            assert_eq!(round(ValType::F32, text), shown);
            assert_eq!(round(ValType::F64, text), shown);
        }
        assert!(matches!(parse(ValType::F32, "-nan"), Ok(Val::F32(0xffc0_0000))));
        assert!(parse(ValType::F64, "one").is_err());
    }

    #[test]
    fn vectors_and_references() {
        assert_eq!(round(ValType::V128, "0x01"), "0x00000000000000000000000000000001");
        assert!(parse(ValType::V128, "1").is_err());
        assert_eq!(round(ValType::FUNCREF, "null"), "null");
        assert!(parse(ValType::EXTERNREF, "1").unwrap_err().contains("null"));
    }
}
