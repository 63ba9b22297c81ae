//! Module text, accepted wherever a binary is.

use crate::error::{Error, ErrorKind, Result};
use std::borrow::Cow;

/// The binary for `bytes`, which may be text.
pub(crate) fn to_binary(bytes: &[u8]) -> Result<Cow<'_, [u8]>> {
    if bytes.starts_with(b"\0asm") {
        return Ok(Cow::Borrowed(bytes));
    }
    // What is no text either is left to the decoder, which says what it expected.
    match std::str::from_utf8(bytes) {
        Ok(text) if looks_like_text(text) => wat::parse_str(text)
            .map(Cow::Owned)
            .map_err(|error| Error::wrap(ErrorKind::Invalid, error)),
        _ => Ok(Cow::Borrowed(bytes)),
    }
}

/// Whether the first thing that is not white space opens a list or a comment.
fn looks_like_text(text: &str) -> bool {
    let start = text.trim_start();
    start.starts_with('(') || start.starts_with(";;")
}
