//! Signatures, for entries and documents that come from places where anybody may write.
//!
//! Ed25519 as RFC 8032 has it, with strict verification. What is signed begins with a text of ours,
//! a domain and the name of the key, so that a signature made for one purpose or under one name is
//! none for another:
//!
//! ```text
//! signed     "precompile signature 1\0" | u8 length, domain | u8 length, name | message
//! signature  u8 1 | u8 length, name of the key | 64 bytes
//! ```
//!
//! Keys are texts of one line ([`text`]). Their names end in a number, `release-1`: the next key of
//! the same owner is `release-2`, and as long as both are trusted, what either signed is accepted.

mod text;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use ed25519_dalek::{Signer, VerifyingKey};

use crate::error::{Distrust, Error, Result};

const ALGORITHM: u8 = 1;
const SIGNATURE: usize = 64;
const PREFIX: &[u8] = b"precompile signature 1\0";
/// The longest name of a key, in bytes.
const NAME_LIMIT: usize = 64;
/// The longest file of keys, in bytes.
const FILE_LIMIT: u64 = 1 << 20;

/// A secret key that signs, with its name.
pub struct SigningKey {
    name: String,
    secret: ed25519_dalek::SigningKey,
}

/// The public half of a [`SigningKey`]: what checks its signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    key: VerifyingKey,
}

/// The keys whose signatures are accepted.
///
/// ```
/// use precompile_cache::{SigningKey, TrustedKeys};
/// let key = SigningKey::generate("release-1").unwrap();
/// let trusted = TrustedKeys::parse(&key.public_key().to_string()).unwrap();
/// let signature = key.sign("list of names", b"a document");
/// assert_eq!(trusted.verify("list of names", b"a document", &signature), Ok("release-1"));
/// assert!(trusted.verify("list of names", b"another one", &signature).is_err());
/// assert!(trusted.verify("another purpose", b"a document", &signature).is_err());
/// ```
#[derive(Clone, Debug, Default)]
pub struct TrustedKeys(Vec<PublicKey>);

impl SigningKey {
    /// A new key from the operating system's randomness. Its name is of letters, digits, dots,
    /// dashes and underlines, at most 64 of them, and ends in a dash and a number.
    ///
    /// # Errors
    /// When the name is not like that, or there is no randomness to be had.
    pub fn generate(name: &str) -> Result<SigningKey> {
        let failed = |error| Error::io("read", Some(Path::new(RANDOM)), error);
        let mut seed = [0; 32];
        File::open(RANDOM).and_then(|mut file| file.read_exact(&mut seed)).map_err(failed)?;
        let secret = ed25519_dalek::SigningKey::from_bytes(&seed);
        Ok(SigningKey { name: text::name(name)?, secret })
    }

    /// The key in a text that [`to_secret_text`](SigningKey::to_secret_text) made.
    ///
    /// # Errors
    /// When there is not exactly one secret key in it. The text is not repeated in the message.
    pub fn parse(text: &str) -> Result<SigningKey> {
        let (name, seed) = text::only(text::SECRET, text)?;
        Ok(SigningKey { name, secret: ed25519_dalek::SigningKey::from_bytes(&seed) })
    }

    /// As [`parse`](SigningKey::parse), from a file.
    ///
    /// # Errors
    /// When it cannot be read, too.
    pub fn read(path: impl AsRef<Path>) -> Result<SigningKey> {
        let path = path.as_ref();
        SigningKey::parse(&read(path)?).map_err(|error| text::in_file(error, path))
    }

    /// The secret key as a line of text, to be written where nobody else reads.
    pub fn to_secret_text(&self) -> String {
        text::line(text::SECRET, &self.name, self.secret.as_bytes())
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        PublicKey { name: self.name.clone(), key: self.secret.verifying_key() }
    }

    /// What the key is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The signature of a message, which may be any document. `domain` says what it is for and is
    /// part of what is signed: use one of your own for each kind of document, at most 255 bytes.
    ///
    /// # Panics
    /// When the domain is longer.
    pub fn sign(&self, domain: &str, message: &[u8]) -> Vec<u8> {
        let signature = self.secret.sign(&framed(domain, &self.name, message));
        let mut bytes = Vec::with_capacity(self.signature_length());
        bytes.extend([ALGORITHM, self.name.len() as u8]);
        bytes.extend(self.name.as_bytes());
        bytes.extend(signature.to_bytes());
        bytes
    }

    /// The length of all its signatures.
    pub(crate) fn signature_length(&self) -> usize {
        2 + self.name.len() + SIGNATURE
    }
}

impl PublicKey {
    /// What the key is called.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl TrustedKeys {
    /// No keys: nothing is accepted.
    pub fn new() -> TrustedKeys {
        TrustedKeys::default()
    }

    /// The keys in a text: a line each, as [`PublicKey`] is written; empty lines and those that
    /// begin with `#` are passed over.
    ///
    /// # Errors
    /// When a line is no public key, or there is none.
    pub fn parse(text: &str) -> Result<TrustedKeys> {
        let keys = text::all(text::PUBLIC, text)?.into_iter().map(|(name, bytes)| {
            let key = VerifyingKey::from_bytes(&bytes).ok().filter(|key| !key.is_weak());
            let key = key.ok_or_else(|| text::error("a line has no point of the curve"))?;
            Ok(PublicKey { name, key })
        });
        Ok(TrustedKeys(keys.collect::<Result<_>>()?))
    }

    /// As [`parse`](TrustedKeys::parse), from a file.
    ///
    /// # Errors
    /// When it cannot be read, too.
    pub fn read(path: impl AsRef<Path>) -> Result<TrustedKeys> {
        let path = path.as_ref();
        TrustedKeys::parse(&read(path)?).map_err(|error| text::in_file(error, path))
    }

    /// Accepts another key.
    pub fn add(&mut self, key: PublicKey) {
        self.0.push(key);
    }

    /// Accepts all keys that `others` accepts.
    pub fn extend(&mut self, others: TrustedKeys) {
        self.0.extend(others.0);
    }

    /// The keys.
    pub fn keys(&self) -> &[PublicKey] {
        &self.0
    }

    /// Checks what [`SigningKey::sign`] made for this domain and message, and says by which key.
    ///
    /// # Errors
    /// When it is no signature, not of a key of these, or not of this domain and message.
    pub fn verify(&self, domain: &str, message: &[u8], signature: &[u8]) -> Result<&str, Distrust> {
        let (name, signature) = split(signature)?;
        let mut named = self.0.iter().filter(|key| key.name == name).peekable();
        if named.peek().is_none() {
            return Err(Distrust::UnknownKey { name: name.to_owned() });
        }
        let framed = framed(domain, name, message);
        match named.find(|key| key.key.verify_strict(&framed, &signature).is_ok()) {
            Some(key) => Ok(&key.name),
            None => Err(Distrust::BadSignature { name: name.to_owned() }),
        }
    }
}

/// The name of the key that a signature says it was made with, for people: nothing is checked.
pub(crate) fn signer(signature: &[u8]) -> Option<&str> {
    split(signature).ok().map(|(name, _)| name)
}

fn split(signature: &[u8]) -> Result<(&str, ed25519_dalek::Signature), Distrust> {
    if signature.is_empty() {
        return Err(Distrust::Unsigned);
    }
    let parse = || {
        let [ALGORITHM, length, rest @ ..] = signature else { return None };
        let (name, rest) = rest.split_at_checked(usize::from(*length))?;
        let name = std::str::from_utf8(name).ok().filter(|name| text::is_name(name))?;
        Some((name, ed25519_dalek::Signature::from_bytes(rest.try_into().ok()?)))
    };
    parse().ok_or(Distrust::UnknownSignature)
}

/// What is really signed.
fn framed(domain: &str, name: &str, message: &[u8]) -> Vec<u8> {
    let length = u8::try_from(domain.len()).expect("a domain has at most 255 bytes");
    let lengths = 2 + domain.len() + name.len();
    let mut bytes = Vec::with_capacity(PREFIX.len() + lengths + message.len());
    bytes.extend(PREFIX);
    bytes.push(length);
    bytes.extend(domain.as_bytes());
    bytes.push(name.len() as u8);
    bytes.extend(name.as_bytes());
    bytes.extend(message);
    bytes
}

const RANDOM: &str = "/dev/urandom";

fn read(path: &Path) -> Result<String> {
    let failed = |error| Error::io("read the key", Some(path), error);
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    file.take(FILE_LIMIT).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

impl fmt::Display for PublicKey {
    /// A line of text, which [`TrustedKeys::parse`] takes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::line(text::PUBLIC, &self.name, self.key.as_bytes()))
    }
}

impl fmt::Debug for SigningKey {
    /// The name only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("name", &self.name).finish_non_exhaustive()
    }
}

impl From<PublicKey> for TrustedKeys {
    fn from(key: PublicKey) -> TrustedKeys {
        TrustedKeys(vec![key])
    }
}

#[cfg(test)]
mod tests;
