//! The format of an entry: the content, and a trailer behind it.
//!
//! The content comes first, so that it is page aligned in the file and can be mapped as it is. The
//! trailer ends the file and is found from there:
//!
//! ```text
//! 0                content length           file length - 160    file length
//! +----------------+-------------+-----------+--------------------+
//! | content        | description | signature | footer, 160 bytes  |
//! +----------------+-------------+-----------+--------------------+
//!
//! the footer; all numbers are little-endian and unsigned
//!   0        8       12       16               24       28       32
//!   +--------+--------+--------+----------------+--------+--------+
//!   | magic  | trailer| descr. | content        | signat.| CRC-32 |
//!   | 8 bytes| version| length | length         | length | of the |
//!   |        |        |        |                |        | content|
//!   +--------+--------+--------+----------------+--------+--------+
//!  32                                64                          96
//!   +--------------------------------+-----------------------------+
//!   | group of the key               | id of the key               |
//!   +--------------------------------+-----------------------------+
//!  96                               128                         160
//!   +--------------------------------+-----------------------------+
//!   | SHA-256 of the content         | digest of the trailer       |
//!   +--------------------------------+-----------------------------+
//! ```
//!
//! The digest of the trailer is the SHA-256 over the footer's first 128 bytes, the description and
//! the signature. The signature, which may be missing, is over the first two of these: see
//! [`sign`](crate::SigningKey). The four lengths add up to the length of the file, exactly. So every
//! byte of the file is covered: the content by its digest, all others by the trailer's, and the last
//! 32 bytes by being compared. The CRC-32 (of IEEE 802.3) finds damage in the content in a tenth of
//! the time that its digest takes.
//!
//! Nothing in a trailer depends on when, where or by whom it was made. A change of this layout is a
//! new trailer version; entries of other versions are damaged ones, and are made again.

use std::fs::File;
use std::io;

use sha2::{Digest, Sha256};

use super::disk::Disk;
use crate::error::Distrust;
use crate::key::Key;
use crate::sign::{SigningKey, TrustedKeys};

const MAGIC: [u8; 8] = *b"\x7fENTRY\r\n";
const VERSION: u32 = 2;
const FOOTER: usize = 160;
const DIGESTED: usize = 128;
/// What signatures over entries are for.
const DOMAIN: &str = "cache entry";

/// The longest description, in bytes. What says how two variants differ is much shorter; the limit
/// keeps a damaged length from asking for memory.
pub(crate) const DESCRIPTION_LIMIT: usize = 1 << 16;
/// The longest signature, in bytes.
const SIGNATURE_LIMIT: usize = 256;

/// Files are read and written in pieces of this many bytes.
pub(crate) const PIECE: usize = 256 << 10;

/// What entries are read from.
pub(crate) trait Source {
    /// Reads as many bytes as there are, up to the length of the buffer.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl Source for (&Disk, &File) {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(self.1, buffer, offset)
    }
}

/// What a trailer says.
#[derive(Debug)]
pub(crate) struct Trailer {
    pub(crate) content_length: u64,
    pub(crate) content_digest: [u8; 32],
    pub(crate) content_checksum: u32,
    pub(crate) description: Vec<u8>,
    /// As [`SigningKey::sign`] made it; empty for none.
    pub(crate) signature: Vec<u8>,
}

/// A valid trailer, as it was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) trailer: Trailer,
    pub(crate) key: Key,
    /// The digest of the trailer, which stands for all that is in it.
    pub(crate) digest: [u8; 32],
}

/// Why an entry could not be read.
#[derive(Debug)]
pub(crate) enum Unreadable {
    Damaged(&'static str),
    Io(io::Error),
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Unreadable {
        Unreadable::Io(error)
    }
}

/// Works out what a trailer says about its content, piece by piece.
#[derive(Default)]
pub(crate) struct Summary {
    digest: Sha256,
    checksum: crc32fast::Hasher,
    length: u64,
}

impl Summary {
    pub(crate) fn update(&mut self, piece: &[u8]) {
        self.digest.update(piece);
        self.checksum.update(piece);
        self.length += piece.len() as u64;
    }

    /// The trailer of what was summed up, not signed.
    pub(crate) fn finish(self, description: &[u8]) -> Trailer {
        Trailer {
            content_length: self.length,
            content_digest: self.digest.finalize().into(),
            content_checksum: self.checksum.finalize(),
            description: description.to_vec(),
            signature: Vec::new(),
        }
    }
}

impl Trailer {
    /// The bytes to write behind the content. The description is at most [`DESCRIPTION_LIMIT`] long.
    pub(crate) fn to_bytes(&self, key: &Key) -> Vec<u8> {
        let signed = self.signed(key, self.signature.len());
        let digest = digest(&signed, &self.signature);
        let (footer, _) = signed.split_at(DIGESTED);
        [&self.description, &self.signature, footer, &digest].concat()
    }

    /// Signs it as the trailer of the entry of `key`.
    pub(crate) fn sign(&mut self, key: &Key, with: &SigningKey) {
        self.signature = with.sign(DOMAIN, &self.signed(key, with.signature_length()));
    }

    /// Checks the signature, and says whose it is.
    pub(crate) fn verify_signature<'a>(
        &self,
        key: &Key,
        trusted: &'a TrustedKeys,
    ) -> Result<&'a str, Distrust> {
        let signed = self.signed(key, self.signature.len());
        trusted.verify(DOMAIN, &signed, &self.signature)
    }

    /// What a signature is over: the digested part of the footer, and the description.
    fn signed(&self, key: &Key, signature_length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(DIGESTED + self.description.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(self.description.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.content_length.to_le_bytes());
        bytes.extend_from_slice(&(signature_length as u32).to_le_bytes());
        bytes.extend_from_slice(&self.content_checksum.to_le_bytes());
        bytes.extend_from_slice(key.group());
        bytes.extend_from_slice(key.id());
        bytes.extend_from_slice(&self.content_digest);
        bytes.extend_from_slice(&self.description);
        bytes
    }

    /// Checks the whole content against its digest, piece by piece.
    pub(crate) fn verify(&self, source: &impl Source) -> Result<(), Unreadable> {
        let mut hash = Sha256::new();
        self.each_piece(source, |piece| hash.update(piece))?;
        if self.content_digest != <[u8; 32]>::from(hash.finalize()) {
            return Err(Unreadable::Damaged("its content does not match the content's digest"));
        }
        Ok(())
    }

    /// Checks the whole content against its checksum, which finds damage and takes a tenth of the
    /// time.
    pub(crate) fn verify_checksum(&self, source: &impl Source) -> Result<(), Unreadable> {
        let mut hash = crc32fast::Hasher::new();
        self.each_piece(source, |piece| hash.update(piece))?;
        if self.content_checksum != hash.finalize() {
            return Err(Unreadable::Damaged("its content does not match the content's checksum"));
        }
        Ok(())
    }

    /// Reads the content, which is at the start of `source`, piece by piece.
    pub(crate) fn each_piece(
        &self,
        source: &impl Source,
        mut act: impl FnMut(&[u8]),
    ) -> Result<(), Unreadable> {
        let mut buffer = vec![0; self.content_length.min(PIECE as u64) as usize];
        let mut offset = 0;
        while offset < self.content_length {
            let left = self.content_length - offset;
            let count = (buffer.len() as u64).min(left) as usize;
            read_exact(source, &mut buffer[..count], offset)?;
            act(&buffer[..count]);
            offset += count as u64;
        }
        Ok(())
    }
}

impl Found {
    /// Reads and checks the trailer of what is `length` bytes long: everything that can be known
    /// without reading the content, but for the signature.
    pub(crate) fn read(source: &impl Source, length: u64, key: &Key) -> Result<Found, Unreadable> {
        let found = Found::read_any(source, length)?;
        if found.key != *key {
            return Err(Unreadable::Damaged("it is the entry of another key"));
        }
        Ok(found)
    }

    /// As [`read`](Found::read), of an entry of whichever key.
    pub(crate) fn read_any(source: &impl Source, length: u64) -> Result<Found, Unreadable> {
        use Unreadable::Damaged;
        // One read for the footer, a signature and nearly every description.
        let mut end = [0; 4096];
        let start = length.saturating_sub(end.len() as u64);
        let end = &mut end[..(length - start) as usize];
        read_exact(source, end, start)?;
        let Some((before, footer)) = end.split_last_chunk::<FOOTER>() else {
            return Err(Damaged("it is too short to have a trailer"));
        };
        if footer[..8] != MAGIC {
            return Err(Damaged("it does not end in a trailer"));
        }
        if u32_at(footer, 8) != VERSION {
            return Err(Damaged("its trailer is of another version"));
        }
        let description_length = u32_at(footer, 12) as usize;
        let content_length = u64_at(footer, 16);
        let signature_length = u32_at(footer, 24) as usize;
        if description_length > DESCRIPTION_LIMIT || signature_length > SIGNATURE_LIMIT {
            return Err(Damaged("its description or signature is too long"));
        }
        let between = description_length + signature_length;
        if content_length.checked_add((between + FOOTER) as u64) != Some(length) {
            return Err(Damaged("its length is not what its trailer says"));
        }
        let mut description = match before.len().checked_sub(between) {
            Some(start) => before[start..].to_vec(),
            None => {
                let mut bytes = vec![0; between];
                read_exact(source, &mut bytes, content_length)?;
                bytes
            }
        };
        let trailer = Trailer {
            content_length,
            content_digest: digest_at(footer, 96),
            content_checksum: u32_at(footer, 28),
            signature: description.split_off(description_length),
            description,
        };
        let key = Key::new(digest_at(footer, 32), digest_at(footer, 64));
        let digest = digest(&trailer.signed(&key, signature_length), &trailer.signature);
        if footer[DIGESTED..] != digest {
            return Err(Damaged("its trailer does not match the trailer's digest"));
        }
        Ok(Found { trailer, key, digest })
    }
}

/// Reads what the length of the file promised; when it is not there, the file was cut meanwhile.
fn read_exact(source: &impl Source, buffer: &mut [u8], offset: u64) -> Result<(), Unreadable> {
    if source.read_at(buffer, offset)? != buffer.len() {
        return Err(Unreadable::Damaged("it was cut while it was read"));
    }
    Ok(())
}

/// The digest of a trailer: over what a signature is over, and the signature.
fn digest(signed: &[u8], signature: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(signed).chain_update(signature).finalize().into()
}

// Offsets are the constants of the format, within the 160 bytes.
fn u32_at(footer: &[u8; FOOTER], offset: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&footer[offset..offset + 4]);
    u32::from_le_bytes(bytes)
}

fn u64_at(footer: &[u8; FOOTER], offset: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&footer[offset..offset + 8]);
    u64::from_le_bytes(bytes)
}

fn digest_at(footer: &[u8; FOOTER], offset: usize) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(&footer[offset..offset + 32]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_the_one_that_is_documented() {
        let trailer = Trailer {
            content_length: 0x0102,
            content_digest: [0xcc; 32],
            content_checksum: 0x0708_090a,
            description: b"text".to_vec(),
            signature: b"sig".to_vec(),
        };
        let bytes = trailer.to_bytes(&Key::new([0xaa; 32], [0xbb; 32]));
        assert_eq!(bytes.len(), 4 + 3 + 160);
        let (before, footer) = bytes.split_at(7);
        assert_eq!(before, b"textsig");
        assert_eq!(&footer[..8], b"\x7fENTRY\r\n");
        assert_eq!(&footer[8..16], [2, 0, 0, 0, 4, 0, 0, 0]);
        assert_eq!(&footer[16..32], [2, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 10, 9, 8, 7]);
        assert_eq!(&footer[32..64], [0xaa; 32]);
        assert_eq!(&footer[64..96], [0xbb; 32]);
        assert_eq!(&footer[96..128], [0xcc; 32]);
        let digested = [&footer[..128], b"text", b"sig"].concat();
        assert_eq!(footer[128..], Sha256::digest(digested)[..]);
    }

    #[test]
    fn a_summary_has_the_usual_digest_and_checksum() {
        let mut summary = Summary::default();
        summary.update(b"1234");
        summary.update(b"56789");
        let trailer = summary.finish(b"text");
        // The check value of the catalogue of CRCs.
        assert_eq!((trailer.content_length, trailer.content_checksum), (9, 0xcbf4_3926));
        assert_eq!(trailer.content_digest, <[u8; 32]>::from(Sha256::digest(b"123456789")));
    }
}
