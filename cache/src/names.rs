//! What groups are called: a list for those who have a name, and not what the group is made from.
//!
//! ```text
//! # names of cache groups, version 1
//! <group, 64 hexadecimal digits>  <name>
//! ...
//! # signature <hexadecimal digits>
//! ```
//!
//! Lines end in a line feed, and are in the order of the names' bytes, each name once. The line with
//! the signature may be missing; it is over all that comes before it. So a list has one spelling, and
//! is the same whoever makes it. Lines are those of `sha256sum`, which reads the list as well.
//!
//! Whoever writes a list decides what is used for a name. So it is under the same rules as entries:
//! see [`DirCache::names`](crate::DirCache::names).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Distrust, Error, ErrorKind, Result};
use crate::key::{from_hex, to_hex};
use crate::sign::{SigningKey, TrustedKeys};

const FIRST: &str = "# names of cache groups, version 1";
const SIGNATURE: &str = "# signature ";
/// What signatures over lists are for.
const DOMAIN: &str = "list of names";
/// The longest list, in bytes: half a million names of a usual length.
pub(crate) const LIMIT: u64 = 64 << 20;
/// The longest name, in bytes: the longest path of most systems.
const NAME_LIMIT: usize = 4096;

/// Names of groups.
///
/// A name is a relative path as archives have them: parts between slashes, none of them empty, `.`
/// or `..`; at most 4096 bytes of UTF-8 without control characters. It is kept byte for byte and
/// opens no file.
///
/// ```
/// use precompile_cache::Names;
/// let mut names = Names::new();
/// names.insert("plugins/hello", [1; 32])?;
/// let again = Names::parse(names.to_string().as_bytes())?;
/// assert_eq!(again.get("plugins/hello"), Some([1; 32]));
/// assert!(names.insert("../hello", [1; 32]).is_err());
/// # Ok::<(), precompile_cache::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    groups: BTreeMap<Box<str>, [u8; 32]>,
    /// As [`SigningKey::sign`] made it; empty for none.
    signature: Vec<u8>,
}

impl Names {
    /// No names.
    pub fn new() -> Names {
        Names::default()
    }

    /// Gives a group a name, and returns the group that had it before. A change takes the signature
    /// away.
    ///
    /// # Errors
    /// [`Name`](ErrorKind::Name) when it cannot be one.
    pub fn insert(&mut self, name: &str, group: [u8; 32]) -> Result<Option<[u8; 32]>> {
        if let Err(what) = check(name) {
            return Err(ErrorKind::Name { name: name.to_owned(), what }.into());
        }
        let before = self.groups.insert(name.into(), group);
        if before != Some(group) {
            self.signature.clear();
        }
        Ok(before)
    }

    /// The group of that name.
    pub fn get(&self, name: &str) -> Option<[u8; 32]> {
        self.groups.get(name).copied()
    }

    /// All names in the order of their bytes, with their groups.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, [u8; 32])> {
        self.groups.iter().map(|(name, group)| (&**name, *group))
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The list in a text that [`to_string`](ToString::to_string) made. Its signature is kept, and
    /// not checked.
    ///
    /// # Errors
    /// [`Names`](ErrorKind::Names), with the first line that is not as it has to be.
    pub fn parse(text: &[u8]) -> Result<Names> {
        let (body, signature) = split(text);
        let mut names = parse_body(body)?;
        names.signature = match signature {
            None => Vec::new(),
            Some(hex) => bytes_of_hex(hex).ok_or_else(|| {
                let line = body.iter().filter(|byte| **byte == b'\n').count() + 1;
                error(line, "its signature is no signature")
            })?,
        };
        Ok(names)
    }

    /// As [`parse`](Names::parse), of a file. Who may have written it is not asked; in a cache
    /// directory, [`DirCache::names`](crate::DirCache::names) does.
    ///
    /// # Errors
    /// When it cannot be read, or is longer than 64 MiB, too.
    pub fn read(path: impl AsRef<Path>) -> Result<Names> {
        let path = path.as_ref();
        let failed = |error| Error::io("read the list of names", Some(path), error);
        let mut text = Vec::new();
        let file = File::open(path).map_err(failed)?;
        file.take(LIMIT + 1).read_to_end(&mut text).map_err(failed)?;
        if text.len() as u64 > LIMIT {
            return Err(in_file(too_long(), path));
        }
        Names::parse(&text).map_err(|error| in_file(error, path))
    }

    /// As [`parse`](Names::parse), of a text that a trusted key has signed. Nothing but the
    /// signature is looked at before it holds.
    pub(crate) fn parse_signed(
        text: &[u8],
        trusted: &TrustedKeys,
    ) -> Result<Result<Names>, Distrust> {
        let (body, signature) = split(text);
        let signature = signature.ok_or(Distrust::Unsigned)?;
        let signature = bytes_of_hex(signature).ok_or(Distrust::UnknownSignature)?;
        trusted.verify(DOMAIN, body, &signature)?;
        Ok(parse_body(body).map(|names| Names { signature, ..names }))
    }

    /// Signs the list, in place of the signature that it had.
    pub fn sign(&mut self, with: &SigningKey) {
        self.signature = with.sign(DOMAIN, self.body().as_bytes());
    }

    /// Checks the signature over the whole list, and says by which key it is.
    ///
    /// # Errors
    /// When there is none, or it does not hold.
    pub fn verify<'a>(&self, trusted: &'a TrustedKeys) -> Result<&'a str, Distrust> {
        trusted.verify(DOMAIN, self.body().as_bytes(), &self.signature)
    }

    /// The name of the key that the signature says it was made with. Nothing is checked.
    pub fn signer(&self) -> Option<&str> {
        crate::sign::signer(&self.signature)
    }

    /// Takes over the signature of a list with the same names.
    pub fn keep_signature(&mut self, of: &Names) {
        if self.groups == of.groups {
            self.signature.clone_from(&of.signature);
        }
    }

    /// All but the signature.
    fn body(&self) -> String {
        let mut text = String::from(FIRST);
        text.push('\n');
        for (name, group) in &self.groups {
            _ = writeln!(text, "{}  {name}", to_hex(group));
        }
        text
    }
}

impl std::fmt::Display for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.body())?;
        if self.signature.is_empty() {
            return Ok(());
        }
        f.write_str(SIGNATURE)?;
        self.signature.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_char('\n')
    }
}

/// The list, and the digits of its signature.
fn split(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let line = text.strip_suffix(b"\n").map(|rest| {
        let start = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        (start, &rest[start..])
    });
    match line {
        Some((start, line)) if line.starts_with(SIGNATURE.as_bytes()) => {
            (&text[..start], Some(&line[SIGNATURE.len()..]))
        }
        _ => (text, None),
    }
}

fn parse_body(body: &[u8]) -> Result<Names> {
    let Some(body) = body.strip_suffix(b"\n") else {
        return Err(error(1, "it does not end in a line feed: it was cut"));
    };
    let mut lines = body.split(|byte| *byte == b'\n');
    if lines.next() != Some(FIRST.as_bytes()) {
        return Err(error(1, "it does not begin as lists of this version do"));
    }
    let mut groups: Vec<(Box<str>, [u8; 32])> = Vec::new();
    for (number, line) in (2..).zip(lines) {
        let wrong = |what| error(number, what);
        let line = std::str::from_utf8(line).map_err(|_| wrong("a name is not UTF-8"))?;
        let (group, name) = line.split_once("  ").unwrap_or_default();
        let group =
            from_hex(group).ok_or_else(|| wrong("it is no digest, two spaces and a name"))?;
        check(name).map_err(wrong)?;
        match groups.last().map(|(last, _)| (**last).cmp(name)) {
            None | Some(std::cmp::Ordering::Less) => groups.push((name.into(), group)),
            Some(std::cmp::Ordering::Equal) => return Err(wrong("a name is there twice")),
            Some(std::cmp::Ordering::Greater) => {
                return Err(wrong("the names are not in the order of their bytes"));
            }
        }
    }
    Ok(Names { groups: groups.into_iter().collect(), signature: Vec::new() })
}

/// What is wrong with a name.
fn check(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("a name is empty");
    }
    if name.len() > NAME_LIMIT {
        return Err("a name is longer than 4096 bytes");
    }
    if name.chars().any(char::is_control) {
        return Err("a name has a control character, such as a line feed");
    }
    if name.starts_with('/') {
        return Err("a name is an absolute path");
    }
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("a part of a name is empty, `.` or `..`");
    }
    Ok(())
}

/// The bytes that an even number of lower-case digits stand for.
fn bytes_of_hex(hex: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if hex.is_empty() || !hex.len().is_multiple_of(2) {
        return None;
    }
    hex.chunks(2).map(|pair| Some(digit(&pair[0])? << 4 | digit(&pair[1])?)).collect()
}

fn error(line: usize, what: &'static str) -> Error {
    ErrorKind::Names { path: None, line: Some(line), what }.into()
}

/// It is longer than [`LIMIT`].
pub(crate) fn too_long() -> Error {
    ErrorKind::Names { path: None, line: None, what: "it is longer than 64 MiB" }.into()
}

/// The same error, of a file.
pub(crate) fn in_file(error: Error, path: &Path) -> Error {
    match *error.kind() {
        ErrorKind::Names { line, what, .. } => {
            ErrorKind::Names { path: Some(path.to_path_buf()), line, what }.into()
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> Names {
        let mut names = Names::new();
        for (name, group) in [("b", 2), ("a/ü  x", 1), ("a-b", 3), ("#", 1)] {
            assert_eq!(names.insert(name, [group; 32]).unwrap(), None);
        }
        names
    }

    #[test]
    fn a_list_has_one_spelling() {
        let names = list();
        let text = names.to_string();
        let lines: Vec<_> = text.lines().map(|line| line.get(66..).unwrap_or_default()).collect();
        assert_eq!(lines, ["", "#", "a-b", "a/ü  x", "b"]);
        assert_eq!(Names::parse(text.as_bytes()).unwrap(), names);
        assert_eq!((names.len(), names.get("a/ü  x"), names.get("c")), (4, Some([1; 32]), None));
        // Every flipped bit is found, or is another list.
        for place in 0..text.len() {
            for bit in 0..8 {
                let mut bytes = text.clone().into_bytes();
                bytes[place] ^= 1 << bit;
                if let Ok(other) = Names::parse(&bytes) {
                    assert_ne!(other, names);
                    assert_eq!(other.to_string().as_bytes(), bytes);
                }
            }
            let cut = Names::parse(&text.as_bytes()[..place]);
            assert!(cut.is_err() || text[..place].ends_with('\n'), "{place}");
        }
        assert!(Names::parse(format!("{FIRST}\n").as_bytes()).unwrap().is_empty());
    }

    #[test]
    fn bad_lines_are_told_with_their_number() {
        let one = format!("{}  a\n", "1".repeat(64));
        let cases = [
            (String::new(), 1, "cut"),
            (FIRST.to_string(), 1, "cut"),
            ("# names of cache groups, version 2\n".into(), 1, "begin"),
            (format!("{FIRST}\n\n"), 2, "no digest"),
            (format!("{FIRST}\n{one}{one}"), 3, "twice"),
            (format!("{FIRST}\n{}{one}", one.replace('a', "b")), 3, "order"),
            (format!("{FIRST}\n{}", one.replace("  ", " ")), 2, "no digest"),
            (format!("{FIRST}\n{}", &one[1..]), 2, "no digest"),
            (format!("{FIRST}\n{}", one.replace('a', "../a")), 2, "`..`"),
            (format!("{FIRST}\n{}", one.replace('a', "/a")), 2, "absolute"),
            (format!("{FIRST}\n{}", one.replace('a', "a\0")), 2, "control"),
            (format!("{FIRST}\n{}", one.replace('a', "a\r")), 2, "control"),
            (format!("{FIRST}\n{}", one.replace('a', "")), 2, "empty"),
            (format!("{FIRST}\n{one}# signature 0g\n"), 3, "no signature"),
            (format!("{FIRST}\n{one}# signature \n"), 3, "no signature"),
            (format!("{FIRST}\n# signature 00\n{one}"), 2, "no digest"),
        ];
        for (text, line, what) in cases {
            let told = Names::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(told.contains(what) && told.contains(&format!("line {line}:")), "{told}");
        }
        let told = Names::parse(&[FIRST.as_bytes(), b"\n\xff\n"].concat()).unwrap_err().to_string();
        assert!(told.contains("not UTF-8"), "{told}");
    }

    #[test]
    fn names_that_cannot_be() {
        let long = "x".repeat(NAME_LIMIT + 1);
        let bad = ["", "/", "/a", "a/", "a//b", ".", "..", "a/..", "./a", "a\0", "a\nb", &long];
        for name in bad {
            let error = Names::new().insert(name, [0; 32]).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Name { .. }), "{error}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
        for name in ["...", "..a", "a.b/c d", "-", "\\", &long[1..]] {
            assert!(Names::new().insert(name, [0; 32]).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_signature_is_over_all_of_it() {
        let key = SigningKey::generate("release-1").unwrap();
        let trusted = TrustedKeys::from(key.public_key());
        let mut names = list();
        assert_eq!(names.verify(&trusted), Err(Distrust::Unsigned));
        names.sign(&key);
        let text = names.to_string();
        let read = Names::parse_signed(text.as_bytes(), &trusted).unwrap().unwrap();
        assert_eq!((&read, read.verify(&trusted)), (&names, Ok("release-1")));
        assert_eq!(read.signer(), Some("release-1"));
        for place in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[place] ^= 1;
            assert!(Names::parse_signed(&bytes, &trusted).is_err(), "byte {place}");
            assert!(Names::parse_signed(&text.as_bytes()[..place], &trusted).is_err(), "{place}");
        }
        // What is signed for another purpose is no list.
        let body = names.body();
        let other: String =
            key.sign("cache entry", body.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
        let forged = format!("{body}{SIGNATURE}{other}\n");
        let refused = Names::parse_signed(forged.as_bytes(), &trusted).unwrap_err();
        assert_eq!(refused, Distrust::BadSignature { name: "release-1".into() });
        // The same names keep it, others do not.
        assert_eq!(names.insert("b", [2; 32]).unwrap(), Some([2; 32]));
        let mut copy = list();
        copy.keep_signature(&names);
        assert_eq!(copy, names);
        names.insert("c", [2; 32]).unwrap();
        assert_eq!(names.signer(), None);
        names.keep_signature(&copy);
        assert_eq!(names.signer(), None);
    }
}
