//! Keys as text: `precompile-public-key ed25519 <name> <64 hexadecimal digits>`, and the same with
//! `precompile-secret-key`.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::key::{from_hex, to_hex};

pub(super) const PUBLIC: &str = "precompile-public-key";
pub(super) const SECRET: &str = "precompile-secret-key";
const ALGORITHM: &str = "ed25519";

pub(super) fn line(kind: &str, name: &str, key: &[u8; 32]) -> String {
    format!("{kind} {ALGORITHM} {name} {}", to_hex(key))
}

/// All keys of a kind in a text, at least one. No other lines are accepted.
pub(super) fn all(kind: &str, text: &str) -> Result<Vec<(String, [u8; 32])>> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<_> = lines.map(|line| parse(kind, line)).collect::<Result<_>>()?;
    if keys.is_empty() { Err(error("there is no key in it")) } else { Ok(keys) }
}

/// The only key of a kind in a text.
pub(super) fn only(kind: &str, text: &str) -> Result<(String, [u8; 32])> {
    let mut keys = all(kind, text)?;
    match (keys.pop(), keys.pop()) {
        (Some(key), None) => Ok(key),
        _ => Err(error("there is more than one key in it")),
    }
}

fn parse(kind: &str, line: &str) -> Result<(String, [u8; 32])> {
    let mut words = line.split_ascii_whitespace();
    let found = words.next();
    if found != Some(kind) {
        return Err(error(match (kind, found) {
            (PUBLIC, Some(SECRET)) => "a secret key is where a public one belongs",
            (SECRET, Some(PUBLIC)) => "a public key is where the secret one belongs",
            _ => "a line is no key",
        }));
    }
    if words.next() != Some(ALGORITHM) {
        return Err(error("a key is not of the kind ed25519"));
    }
    match (words.next(), words.next().and_then(from_hex), words.next()) {
        (Some(text), Some(key), None) => Ok((name(text)?, key)),
        _ => Err(error("a line is no key")),
    }
}

/// A name, if it can be one.
pub(super) fn name(text: &str) -> Result<String> {
    if is_name(text) {
        return Ok(text.to_owned());
    }
    Err(error(
        "the name of a key is of letters, digits, dots, dashes and underlines, at most 64, and ends \
         in a dash and a number, such as release-1",
    ))
}

pub(super) fn is_name(text: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let number =
        text.rsplit_once('-').filter(|(owner, _)| !owner.is_empty() && !owner.starts_with('.'));
    text.len() <= super::NAME_LIMIT
        && text.bytes().all(fine)
        && number.is_some_and(|(_, number)| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        })
}

pub(super) fn error(what: &'static str) -> Error {
    ErrorKind::Key { path: None, what }.into()
}

/// The same error, of a file.
pub(super) fn in_file(error: Error, path: &Path) -> Error {
    match error.kind() {
        ErrorKind::Key { what, .. } => {
            ErrorKind::Key { path: Some(path.to_path_buf()), what }.into()
        }
        _ => error,
    }
}
