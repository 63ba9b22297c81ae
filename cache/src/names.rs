//! What groups are called: a list for those who have a name, and not what the group is made from.
//!
//! ```text
//! # names of cache groups, version 1
//! # scope <what the list is for>
//! <group, 64 hexadecimal digits>  <name>
//! ...
//! # signature <hexadecimal digits>
//! ```
//!
//! Lines end in a line feed, and are in the order of the names' bytes, each name once. Those with the
//! scope and the signature may be missing. So a list has one spelling, and is the same whoever makes
//! it. Lines are those of `sha256sum`, which reads the list as well.
//!
//! Whoever writes a list decides what is used for a name. So it is under the same rules as entries:
//! see [`DirCache::names`](crate::DirCache::names). The signature is over the SHA-256 of all that
//! comes before it: what nobody has signed is hashed in pieces, and not kept. The scope is for those
//! who sign more than one list: it says which one this is.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::dir::entry::{PIECE, Source};
use crate::error::{Distrust, Error, ErrorKind, Result};
use crate::key::{from_hex, to_hex};
use crate::sign::{SigningKey, TrustedKeys};

const FIRST: &str = "# names of cache groups, version 1";
const SCOPE: &str = "# scope ";
const SIGNATURE: &str = "# signature ";
/// What signatures over lists are for.
const DOMAIN: &str = "digest of a list of names";
/// The longest line with a signature, in bytes, and more than that.
const TAIL: u64 = 1024;
/// The longest list, in bytes: half a million names of a usual length.
pub(crate) const LIMIT: u64 = 64 << 20;
/// The longest name, in bytes: the longest path of most systems.
const NAME_LIMIT: usize = 4096;
/// The longest scope, in bytes.
const SCOPE_LIMIT: usize = 256;

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
    scope: Option<Box<str>>,
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

    /// Takes a name out, and returns the group that had it. A change takes the signature away.
    ///
    /// This list then says nothing of the name: [`Layers::resolve`](crate::Layers::resolve) goes on to
    /// the next layer, which may have it.
    pub fn remove(&mut self, name: &str) -> Option<[u8; 32]> {
        let before = self.groups.remove(name);
        if before.is_some() {
            self.signature.clear();
        }
        before
    }

    /// What the list is for, if it says so: its name among those that the same key signs.
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// Says what the list is for: 1 to 256 bytes of UTF-8 without control characters, and without
    /// spaces at the ends; `None` for nothing. A change takes the signature away.
    ///
    /// Who reads lists in places where others may write asks for a scope
    /// ([`DirOptions::names_scope`](crate::DirOptions::names_scope)), so that nobody can put another
    /// list there that the same key has signed for somewhere else.
    ///
    /// # Errors
    /// [`Parse`](ErrorKind::Parse) when it cannot be one.
    pub fn set_scope(&mut self, scope: Option<&str>) -> Result<()> {
        if let Some(found) = scope.filter(|scope| !is_scope(scope)) {
            return Err(no_scope(found));
        }
        if self.scope() != scope {
            self.scope = scope.map(Box::from);
            self.signature.clear();
        }
        Ok(())
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

    /// As [`parse`](Names::parse), of the first `length` bytes of a source that anybody may write to,
    /// at any time. Nothing but the signature is looked at before it holds, and until then no more than
    /// a piece is kept; then as much as was signed for is read again, and has to be the same.
    pub(crate) fn read_signed(
        source: &impl Source,
        length: u64,
        trusted: &TrustedKeys,
    ) -> Result<Names, Refused> {
        let mut tail = vec![0; length.min(TAIL) as usize];
        let start = length - tail.len() as u64;
        let count = source.read_at(&mut tail, start)?;
        tail.truncate(count);
        let (before, signature) = split(&tail);
        let length = start + before.len() as u64;
        let signature = signature.ok_or(Distrust::Unsigned)?;
        let signature = bytes_of_hex(signature).ok_or(Distrust::UnknownSignature)?;
        let digest = digest(source, length)?;
        let name = trusted.verify(DOMAIN, &digest, &signature)?;
        let mut body = vec![0; length as usize];
        let count = source.read_at(&mut body, 0)?;
        body.truncate(count);
        if <[u8; 32]>::from(Sha256::digest(&body)) != digest {
            return Err(Distrust::Tampered { name: name.to_owned() }.into());
        }
        let names = parse_body(&body).map_err(Refused::Damaged)?;
        Ok(Names { signature, ..names })
    }

    /// Signs the list, in place of the signature that it had.
    pub fn sign(&mut self, with: &SigningKey) {
        self.signature = with.sign(DOMAIN, &self.digest());
    }

    /// Checks the signature over the whole list, and says by which key it is.
    ///
    /// # Errors
    /// When there is none, or it does not hold.
    pub fn verify<'a>(&self, trusted: &'a TrustedKeys) -> Result<&'a str, Distrust> {
        trusted.verify(DOMAIN, &self.digest(), &self.signature)
    }

    /// The name of the key that the signature says it was made with. Nothing is checked.
    pub fn signer(&self) -> Option<&str> {
        crate::sign::signer(&self.signature)
    }

    /// Takes over the signature of a list with the same names and scope, or, having none, with its
    /// scope.
    pub fn keep_signature(&mut self, of: &Names) {
        if self.groups == of.groups && (self.scope.is_none() || self.scope == of.scope) {
            self.scope.clone_from(&of.scope);
            self.signature.clone_from(&of.signature);
        }
    }

    /// Writes all but the signature.
    fn write_body(&self, to: &mut impl Write) -> std::fmt::Result {
        writeln!(to, "{FIRST}")?;
        if let Some(scope) = &self.scope {
            writeln!(to, "{SCOPE}{scope}")?;
        }
        self.groups.iter().try_for_each(|(name, group)| writeln!(to, "{}  {name}", to_hex(group)))
    }

    /// The digest of all but the signature.
    fn digest(&self) -> [u8; 32] {
        struct Hashing(Sha256);
        impl Write for Hashing {
            fn write_str(&mut self, text: &str) -> std::fmt::Result {
                self.0.update(text);
                Ok(())
            }
        }
        let mut hash = Hashing(Sha256::new());
        _ = self.write_body(&mut hash);
        hash.0.finalize().into()
    }
}

impl std::fmt::Display for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.write_body(f)?;
        if self.signature.is_empty() {
            return Ok(());
        }
        f.write_str(SIGNATURE)?;
        self.signature.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_char('\n')
    }
}

/// Why a signed list is not used.
#[derive(Debug)]
pub(crate) enum Refused {
    Distrust(Distrust),
    /// It is signed, and no list.
    Damaged(Error),
    Io(io::Error),
}

impl From<Distrust> for Refused {
    fn from(reason: Distrust) -> Refused {
        Refused::Distrust(reason)
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Refused {
        Refused::Io(error)
    }
}

/// The digest of the first `length` bytes, or of those that there are.
fn digest(source: &impl Source, length: u64) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut piece = vec![0; length.min(PIECE as u64) as usize];
    let mut offset = 0;
    while offset < length {
        let wanted = piece.len().min((length - offset) as usize);
        let count = source.read_at(&mut piece[..wanted], offset)?;
        hash.update(&piece[..count]);
        if count < wanted {
            break;
        }
        offset += count as u64;
    }
    Ok(hash.finalize().into())
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
    let mut scope = None;
    let mut groups: Vec<(Box<str>, [u8; 32])> = Vec::new();
    for (number, line) in (2..).zip(lines) {
        let wrong = |what| error(number, what);
        let line = std::str::from_utf8(line).map_err(|_| wrong("a name is not UTF-8"))?;
        if let (2, Some(text)) = (number, line.strip_prefix(SCOPE)) {
            scope = Some(text).filter(|text| is_scope(text)).map(Box::from);
            scope.as_ref().ok_or_else(|| wrong("its scope is no scope"))?;
            continue;
        }
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
    Ok(Names { scope, groups: groups.into_iter().collect(), signature: Vec::new() })
}

const SCOPES: &str = "a scope: 1 to 256 bytes of UTF-8 without control characters, and without \
                      spaces at the ends";

fn is_scope(text: &str) -> bool {
    let has_fitting_length = (1..=SCOPE_LIMIT).contains(&text.len());
    has_fitting_length && text.trim() == text && !text.chars().any(char::is_control)
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

/// A text cannot be a scope.
pub(crate) fn no_scope(found: &str) -> Error {
    ErrorKind::Parse { expected: SCOPES, found: found.to_owned() }.into()
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
mod tests;
