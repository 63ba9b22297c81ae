//! Module text, accepted wherever a binary is.

use crate::error::{Error, ErrorKind, Result};
use crate::features::LEGACY_EXCEPTIONS;
use std::borrow::Cow;

/// The binary for `bytes`, which may be text.
pub(crate) fn to_binary(bytes: &[u8]) -> Result<Cow<'_, [u8]>> {
    if bytes.starts_with(b"\0asm") {
        return Ok(Cow::Borrowed(bytes));
    }
    // What is no text either is left to the decoder, which says what it expected.
    match std::str::from_utf8(bytes) {
        Ok(text) if looks_like_text(text) => {
            wat::parse_str(text).map(Cow::Owned).map_err(|error| {
                match legacy(text, &error.to_string()) {
                    Some(message) => Error::with_kind(ErrorKind::Unsupported, message),
                    None => Error::wrap(ErrorKind::Invalid, error),
                }
            })
        }
        _ => Ok(Cow::Borrowed(bytes)),
    }
}

/// Whether the first thing that is not white space opens a list or a comment.
fn looks_like_text(text: &str) -> bool {
    let start = text.trim_start();
    start.starts_with('(') || start.starts_with(";;")
}

/// What to say instead of `refused` where the parser stopped at exceptions as they were before the
/// standard: it knows their instructions one after the other, but not folded, as in
/// `(try (do ...) (catch $tag ...))`.
fn legacy(text: &str, refused: &str) -> Option<String> {
    let (_, place) = refused.split_once("--> ")?;
    let mut numbers = place.lines().next()?.trim_end().rsplit(':');
    let column: usize = numbers.next()?.parse().ok()?;
    let line: usize = numbers.next()?.parse().ok()?;
    let from = text.lines().nth(line.checked_sub(1)?)?.get(column.checked_sub(1)?..)?;
    let from = from.trim_start_matches('(').trim_start();
    let end = from.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let word = &from[..end.unwrap_or(from.len())];
    let is_old = matches!(word, "try" | "do" | "catch" | "catch_all" | "delegate");
    (is_old && text.contains("(try")).then(|| {
        let place = refused.split_once('\n').map(|(_, place)| place).unwrap_or_default();
        format!(
            "`{word}`: needs the proposal legacy-exceptions, which is not supported by this \
             engine{LEGACY_EXCEPTIONS}\n{place}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folded_legacy_exceptions_are_named() {
        for body in [
            "(try (do) (catch_all))",
            "(try (do (nop)) (catch $e (nop)))",
            "(try\n (result i32)\n (do (i32.const 1)) (catch_all (i32.const 2))) drop",
            "(try (do (nop)) (delegate 0))",
        ] {
            let text = format!("(module (tag $e)\n (func {body}))");
            let error = to_binary(text.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:#}");
            let message = format!("{error:#}");
            assert!(message.contains("legacy-exceptions") && message.contains("wasm-opt"));
            assert!(message.contains(" --> "), "{message}");
        }
        for text in ["(module (func (oops)))", "(module (do", "(module (func (i32.const \"do\")))"]
        {
            let error = to_binary(text.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error:#}");
        }
    }
}
