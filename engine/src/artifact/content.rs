//! The digest over all of an artifact, which finds what the checks at loading do not: flipped code.
//!
//! An artifact is written as a stream, and two places are written again at its end: the first page,
//! which has a digest of its own, and the section `Memories`. So the digest is over the file as it
//! was streamed, with both of them as zeros, and then over `Memories`.

use super::header::{Header, HeaderError, PAGE, Section};
use sha2::{Digest, Sha256};
#[cfg(feature = "compile")]
use std::io::{self, Seek, SeekFrom, Write};

/// Hashes what is appended to a file, and not what is written over.
#[cfg(feature = "compile")]
pub(crate) struct Hashing<'a, W> {
    file: &'a mut W,
    at: u64,
    end: u64,
    hash: Sha256,
}

#[cfg(feature = "compile")]
impl<'a, W> Hashing<'a, W> {
    /// Begins at the start of an empty file.
    pub(crate) fn new(file: &'a mut W) -> Self {
        Hashing { file, at: 0, end: 0, hash: Sha256::new() }
    }

    /// The digest of an artifact with these `memories`.
    pub(crate) fn digest(&self, memories: &[u8]) -> [u8; 32] {
        self.hash.clone().chain_update(memories).finalize().into()
    }
}

#[cfg(feature = "compile")]
impl<W: Write> Write for Hashing<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        if self.at == self.end {
            self.hash.update(&bytes[..count]);
            self.end += count as u64;
        }
        self.at += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(feature = "compile")]
impl<W: Seek> Seek for Hashing<'_, W> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = self.file.seek(to)?;
        Ok(self.at)
    }
}

/// Checks all of an artifact against its digest. Takes a time that depends on its length.
///
/// # Errors
/// If its header does not hold, or it is not as it was written.
pub(crate) fn verify(file: &[u8]) -> Result<(), HeaderError> {
    let (header, _) = Header::read(file)?;
    let place = &header.sections[Section::Memories as usize];
    // The header holds: sections lie between the first page and the end of the file.
    let (start, end) = match place.len.get() {
        0 => (PAGE, PAGE),
        len => (place.offset.get() as usize, (place.offset.get() + len) as usize),
    };
    let mut hash = Sha256::new();
    hash.update([0; PAGE]);
    hash.update(&file[PAGE..start]);
    (start..end).for_each(|_| hash.update([0]));
    hash.update(&file[end..]);
    hash.update(&file[start..end]);
    if header.content != <[u8; 32]>::from(hash.finalize()) {
        return Err(HeaderError::Corrupt("its content is not what was written"));
    }
    Ok(())
}
