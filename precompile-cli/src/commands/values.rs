//! Parameters and results of functions as text.

use precompile::{HeapType, V128, Val, ValType};
use wast::parser::{self, Parse, ParseBuffer};
use wast::token::{F32, F64};

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
        ValType::F32 => float::<F32>(text)
            .map(|float| Val::F32(float.bits))
            .or_else(|| text.parse::<f32>().ok().filter(|x| !x.is_nan()).map(Val::from))
            .ok_or_else(|| wrong(&format!("an f32: {FLOATS}"))),
        ValType::F64 => float::<F64>(text)
            .map(|float| Val::F64(float.bits))
            .or_else(|| text.parse::<f64>().ok().filter(|x| !x.is_nan()).map(Val::from))
            .ok_or_else(|| wrong(&format!("an f64: {FLOATS}"))),
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
    const X: [char; 2] = ['x', 'X'];
    // Between digits, as the text format has them.
    let digits = digits.split('_').collect::<Vec<_>>();
    if digits.len() > 1
        && digits.iter().any(|part| part.is_empty() || part.starts_with(X) || part.ends_with(X))
    {
        return None;
    }
    let digits = digits.concat();
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

/// The forms of floats, for messages.
const FLOATS: &str = "decimal, 0x1.8p-3, inf, nan or nan:0x1, signed or unsigned";

/// A float as the text format has it, words in capitals as well.
fn float<T: for<'a> Parse<'a>>(text: &str) -> Option<T> {
    // Nothing that the format lets be around a number.
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.:_".contains(&byte)) {
        return None;
    }
    let text = text.to_ascii_lowercase();
    parser::parse(&ParseBuffer::new(&text).ok()?).ok()
}

/// A value as text; what can be parsed is parsed back to the same value.
pub(crate) fn show(value: &Val) -> String {
    match value {
        Val::I32(x) => x.to_string(),
        Val::I64(x) => x.to_string(),
        Val::F32(bits) => match f32::from_bits(*bits) {
            value if value.is_nan() => nan((*bits).into(), 23),
            value => value.to_string(),
        },
        Val::F64(bits) => match f64::from_bits(*bits) {
            value if value.is_nan() => nan(*bits, 52),
            value => value.to_string(),
        },
        Val::V128(x) => format!("{:#034x}", x.as_u128()),
        Val::FuncRef(None) | Val::ExternRef(None) | Val::ExnRef(None) => "null".to_string(),
        Val::FuncRef(Some(_)) => "funcref".to_string(),
        Val::ExternRef(Some(_)) => "externref".to_string(),
        Val::ExnRef(Some(_)) => "exnref".to_string(),
        _ => "?".to_string(),
    }
}

/// A NaN as the text format has it, of a float with so many bits behind the point.
fn nan(bits: u64, width: u32) -> String {
    let is_negative = bits >> if width == 23 { 31 } else { 63 } == 1;
    let sign = if is_negative { "-" } else { "" };
    match bits & ((1 << width) - 1) {
        payload if payload == 1 << (width - 1) => format!("{sign}nan"),
        payload => format!("{sign}nan:{payload:#x}"),
    }
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
            ("1_000_000", "1000000"),
            ("0xff_ff", "65535"),
        ] {
            assert_eq!(round(ValType::I32, text), shown);
        }
        assert_eq!(round(ValType::I64, "18446744073709551615"), "-1");
        assert_eq!(round(ValType::I64, "-9223372036854775808"), "-9223372036854775808");
        for text in [
            "",
            "-",
            "--1",
            "+-1",
            "0x",
            "0x-1",
            "x",
            "1.0",
            "4294967296",
            "-2147483649",
            "_1",
            "1_",
            "1__0",
            "0x_1",
            "0_x12",
        ] {
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
        for (text, bits) in [
            ("-nan", 0xffc0_0000),
            ("nan:0x200001", 0x7fa0_0001),
            ("-nan:0x1", 0xff80_0001),
            ("0x1p-149", 1),
            ("-0x1.8p1", 0xc040_0000),
            ("1_000.5", 0x447a_2000),
        ] {
            let value = parse(ValType::F32, text).unwrap();
            assert!(matches!(value, Val::F32(x) if x == bits), "{text}: {value:?}");
            assert_eq!(round(ValType::F32, &show(&value)), show(&value));
        }
        assert!(matches!(parse(ValType::F64, "0x1p-1074"), Ok(Val::F64(1))));
        for text in ["-nan", "nan:0x1", "-nan:0xfffffffffffff"] {
            assert_eq!(round(ValType::F64, text), text);
        }
        for text in ["", "+-1", "nan:0x0", "nan:0x10000000000000", "1 ", "(;;)1", "1__0", "nan:"] {
            let told = parse(ValType::F64, text).unwrap_err();
            assert!(told.contains("0x1.8p-3"), "{text}: {told}");
        }
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
