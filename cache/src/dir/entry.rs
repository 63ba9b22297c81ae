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
//!   | magic  | trailer| descr. | content        | signat.| zero   |
//!   | 8 bytes| version| length | length         | length |        |
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
//! The digest of the trailer is the SHA-256 over the footer's first 128 bytes and then the
//! description. The signature is a slot: its length is zero in this version. The four lengths add up
//! to the length of the file, exactly. So every byte of the file is covered: the content by its
//! digest, the description and the footer by the trailer's, and the last 32 bytes by being compared.
//!
//! Nothing in a trailer depends on when, where or by whom it was made. A change of this layout is a
//! new trailer version; entries of other versions are damaged ones, and are made again.

use std::fs::File;
use std::io;

use sha2::{Digest, Sha256};

use super::disk::Disk;
use crate::key::Key;

const MAGIC: [u8; 8] = *b"\x7fENTRY\r\n";
const VERSION: u32 = 1;
const FOOTER: usize = 160;
const DIGESTED: usize = 128;

/// The longest description, in bytes. What says how two variants differ is much shorter; the limit
/// keeps a damaged length from asking for memory.
pub(super) const DESCRIPTION_LIMIT: usize = 1 << 16;

/// Files are read and written in pieces of this many bytes.
pub(super) const PIECE: usize = 256 << 10;

/// What a valid trailer says.
#[derive(Debug)]
pub(super) struct Trailer {
    pub(super) content_length: u64,
    pub(super) content_digest: [u8; 32],
    pub(super) description: Vec<u8>,
}

/// Why an entry could not be read.
#[derive(Debug)]
pub(super) enum Unreadable {
    Damaged(&'static str),
    Io(io::Error),
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Unreadable {
        Unreadable::Io(error)
    }
}

impl Trailer {
    /// The bytes to write behind the content. The description is at most [`DESCRIPTION_LIMIT`] long.
    pub(super) fn to_bytes(&self, key: &Key) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.description.len() + FOOTER);
        bytes.extend_from_slice(&self.description);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(self.description.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.content_length.to_le_bytes());
        bytes.extend_from_slice(&0_u32.to_le_bytes());
        bytes.extend_from_slice(&0_u32.to_le_bytes());
        bytes.extend_from_slice(key.group());
        bytes.extend_from_slice(key.id());
        bytes.extend_from_slice(&self.content_digest);
        let digest = digest(&bytes[self.description.len()..], &self.description);
        bytes.extend_from_slice(&digest);
        bytes
    }

    /// Reads and checks the trailer of a file that is `length` bytes long: everything that can be
    /// known without reading the content.
    pub(super) fn read(
        disk: &Disk,
        file: &File,
        length: u64,
        key: &Key,
    ) -> Result<Trailer, Unreadable> {
        let (trailer, found) = Trailer::read_any(disk, file, length)?;
        if found != *key {
            return Err(Unreadable::Damaged("it is the entry of another key"));
        }
        Ok(trailer)
    }

    /// As [`read`](Trailer::read), of an entry of whichever key, which is returned as well.
    pub(super) fn read_any(
        disk: &Disk,
        file: &File,
        length: u64,
    ) -> Result<(Trailer, Key), Unreadable> {
        use Unreadable::Damaged;
        // One read for the footer and nearly every description.
        let mut end = [0; 4096];
        let start = length.saturating_sub(end.len() as u64);
        let end = &mut end[..(length - start) as usize];
        read_exact(disk, file, end, start)?;
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
        if u32_at(footer, 24) != 0 || u32_at(footer, 28) != 0 {
            return Err(Damaged("its trailer uses a reserved field"));
        }
        if description_length > DESCRIPTION_LIMIT {
            return Err(Damaged("its description is too long"));
        }
        let sum = content_length.checked_add((description_length + FOOTER) as u64);
        if sum != Some(length) {
            return Err(Damaged("its length is not what its trailer says"));
        }
        let description = match before.len().checked_sub(description_length) {
            Some(start) => before[start..].to_vec(),
            None => {
                let mut description = vec![0; description_length];
                read_exact(disk, file, &mut description, content_length)?;
                description
            }
        };
        if footer[DIGESTED..] != digest(&footer[..DIGESTED], &description) {
            return Err(Damaged("its trailer does not match the trailer's digest"));
        }
        let key = Key::new(digest_at(footer, 32), digest_at(footer, 64));
        let content_digest = digest_at(footer, 96);
        Ok((Trailer { content_length, content_digest, description }, key))
    }

    /// Checks the whole content against its digest, piece by piece.
    pub(super) fn verify(&self, disk: &Disk, file: &File) -> Result<(), Unreadable> {
        let mut hash = Sha256::new();
        let mut buffer = vec![0; PIECE.min(self.content_length as usize)];
        let mut offset = 0;
        while offset < self.content_length {
            let left = self.content_length - offset;
            let count = (buffer.len() as u64).min(left) as usize;
            read_exact(disk, file, &mut buffer[..count], offset)?;
            hash.update(&buffer[..count]);
            offset += count as u64;
        }
        if self.content_digest != <[u8; 32]>::from(hash.finalize()) {
            return Err(Unreadable::Damaged("its content does not match the content's digest"));
        }
        Ok(())
    }
}

/// Reads what the length of the file promised; when it is not there, the file was cut meanwhile.
fn read_exact(disk: &Disk, file: &File, buffer: &mut [u8], offset: u64) -> Result<(), Unreadable> {
    if disk.read_at(file, buffer, offset)? != buffer.len() {
        return Err(Unreadable::Damaged("it was cut while it was read"));
    }
    Ok(())
}

fn digest(footer: &[u8], description: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(footer).chain_update(description).finalize().into()
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
            description: b"text".to_vec(),
        };
        let bytes = trailer.to_bytes(&Key::new([0xaa; 32], [0xbb; 32]));
        assert_eq!(bytes.len(), 4 + 160);
        let (description, footer) = bytes.split_at(4);
        assert_eq!(description, b"text");
        assert_eq!(&footer[..8], b"\x7fENTRY\r\n");
        assert_eq!(&footer[8..16], [1, 0, 0, 0, 4, 0, 0, 0]);
        assert_eq!(&footer[16..32], [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&footer[32..64], [0xaa; 32]);
        assert_eq!(&footer[64..96], [0xbb; 32]);
        assert_eq!(&footer[96..128], [0xcc; 32]);
        assert_eq!(&footer[128..], digest(&footer[..128], b"text"));
    }
}
