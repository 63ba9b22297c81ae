//! Keys: a 256-bit id, and the 256-bit group that it belongs to.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// The name of an entry: an `id`, and the `group` of entries that it is a variant in.
///
/// Both are digests that the caller derives; the cache gives them no meaning. Entries of one group
/// are [siblings](crate::Cache::siblings). Written and parsed as `<group>/<id>`, each of them as
/// 64 lower-case hexadecimal digits, which is also where a directory keeps the entry.
///
/// ```
/// use precompile_cache::Key;
/// let key = Key::new([0xab; 32], [0x01; 32]);
/// assert_eq!(key.to_string().parse::<Key>().unwrap(), key);
/// assert!(key.to_string().starts_with("abab"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    group: [u8; 32],
    id: [u8; 32],
}

impl Key {
    /// The key of the entry `id` in `group`.
    pub fn new(group: [u8; 32], id: [u8; 32]) -> Key {
        Key { group, id }
    }

    /// The group that the entry belongs to.
    pub fn group(&self) -> &[u8; 32] {
        &self.group
    }

    /// The id of the entry, which alone distinguishes it.
    pub fn id(&self) -> &[u8; 32] {
        &self.id
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", to_hex(&self.group), to_hex(&self.id))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

impl FromStr for Key {
    type Err = Error;

    fn from_str(text: &str) -> Result<Key> {
        text.split_once('/')
            .and_then(|(group, id)| Some(Key { group: from_hex(group)?, id: from_hex(id)? }))
            .ok_or_else(|| {
                let expected = "a key: two times 64 lower-case hexadecimal digits around a slash";
                ErrorKind::Parse { expected, found: text.to_owned() }.into()
            })
    }
}

/// A digest as 64 lower-case hexadecimal digits.
pub fn to_hex(digest: &[u8; 32]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(64);
    for byte in digest {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// The digest that 64 lower-case hexadecimal digits stand for; `None` for any other text, upper
/// case included, so that a digest has one spelling.
pub fn from_hex(text: &str) -> Option<[u8; 32]> {
    fn digit(byte: u8) -> Option<u8> {
        match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        }
    }
    let text: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_spelling() {
        let key = Key::new([0x0f; 32], [0xf0; 32]);
        let text = key.to_string();
        assert_eq!(text.len(), 129);
        assert_eq!(text.parse::<Key>().unwrap(), key);
        let wrong = [
            text.to_uppercase(),
            text.replace('/', ""),
            text[1..].to_owned(),
            format!("{text}0"),
            text.replacen('0', "g", 1),
            text.replacen("0f", "é", 1),
            String::new(),
        ];
        for wrong in wrong {
            assert!(wrong.parse::<Key>().is_err(), "{wrong}");
        }
    }
}
