//! What an entry holds: bytes in memory, or the first bytes of an open file.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use crate::layered::LayerId;

/// The content of an entry, to be added or as it was found.
///
/// A hit of a directory is an open file whose first [`len`](Content::len) bytes are the content,
/// page aligned from offset 0, so that it can be mapped without a copy. More bytes lie behind them:
/// never use the length of the file. Reads are positional and move no shared offset. Cloning is
/// cheap: bytes and file are shared.
#[derive(Clone)]
pub struct Content {
    body: Body,
    origin: Option<Arc<Path>>,
    layer: Option<LayerId>,
    stamp: Option<Stamp>,
    description: Option<Arc<[u8]>>,
}

/// Which file an entry was read from, so that another one in its place is told from it: entries are
/// replaced, and never changed. Made by [`Content::stamp`], for
/// [`Layers::reject_seen`](crate::Layers::reject_seen).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    file: (u64, u64),
    length: u64,
    /// Numbers of files are used again, but hardly within one tick.
    modified: (i64, u64),
}

impl Stamp {
    // The fields' widths and signs differ between platforms; only equality counts.
    #[cfg_attr(
        target_os = "linux",
        expect(clippy::unnecessary_cast, reason = "other systems have other widths")
    )]
    pub(crate) fn of(stat: &rustix::fs::Stat) -> Stamp {
        Stamp {
            file: (stat.st_dev as u64, stat.st_ino as u64),
            length: stat.st_size as u64,
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as u64),
        }
    }
}

#[derive(Clone)]
enum Body {
    Bytes(Arc<[u8]>),
    File { file: Arc<File>, len: u64 },
}

impl Content {
    /// Content in memory, from a `Vec<u8>`, a `Box<[u8]>`, an `Arc<[u8]>` or a slice.
    pub fn from_bytes(bytes: impl Into<Arc<[u8]>>) -> Content {
        Content::new(Body::Bytes(bytes.into()))
    }

    /// The first `len` bytes of `file`, which must be open for reading and stay as it is while the
    /// content lives.
    pub fn from_file(file: File, len: u64) -> Content {
        Content::new(Body::File { file: Arc::new(file), len })
    }

    fn new(body: Body) -> Content {
        Content { body, origin: None, layer: None, stamp: None, description: None }
    }

    /// The same content with a path that messages name it by.
    #[must_use]
    pub fn with_origin(mut self, origin: impl Into<Arc<Path>>) -> Content {
        self.origin = Some(origin.into());
        self
    }

    pub(crate) fn with_stamp(mut self, stat: &rustix::fs::Stat) -> Content {
        self.stamp = Some(Stamp::of(stat));
        self
    }

    pub(crate) fn with_description(mut self, description: &[u8]) -> Content {
        self.description = Some(description.into());
        self
    }

    /// The description that the entry was added with, from the trailer that was checked with it;
    /// `None` where there was no trailer.
    pub(crate) fn description(&self) -> Option<&[u8]> {
        self.description.as_deref()
    }

    /// Which file of a directory the content was read from; `None` if it was not, or is a copy that
    /// was passed on.
    pub fn stamp(&self) -> Option<Stamp> {
        self.stamp
    }

    pub(crate) fn with_layer(mut self, layer: LayerId) -> Content {
        self.layer = Some(layer);
        self
    }

    /// The path that messages name the content by, if it came from a file. It is for display only:
    /// another file may be there by now.
    pub fn origin(&self) -> Option<&Path> {
        self.origin.as_deref()
    }

    /// The layer that the content was found in; `None` unless it came out of
    /// [`Layers`](crate::Layers).
    pub fn layer(&self) -> Option<LayerId> {
        self.layer
    }

    /// The length of the content in bytes.
    pub fn len(&self) -> u64 {
        match &self.body {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::File { len, .. } => *len,
        }
    }

    /// Whether the content has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The open file whose first [`len`](Content::len) bytes are the content; `None` when it is in
    /// memory.
    pub fn as_file(&self) -> Option<&File> {
        match &self.body {
            Body::Bytes(_) => None,
            Body::File { file, .. } => Some(file),
        }
    }

    /// The bytes, when they are in memory; `None` for a file.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.body {
            Body::Bytes(bytes) => Some(bytes),
            Body::File { .. } => None,
        }
    }

    pub(crate) fn shared_bytes(&self) -> Option<Arc<[u8]>> {
        match &self.body {
            Body::Bytes(bytes) => Some(Arc::clone(bytes)),
            Body::File { .. } => None,
        }
    }

    /// The open file of the content, to keep; `None` when it is in memory.
    ///
    /// # Errors
    /// When the file is shared with a clone and the process has no descriptor left for its own.
    pub fn into_file(self) -> io::Result<Option<File>> {
        match self.body {
            Body::Bytes(_) => Ok(None),
            Body::File { file, .. } => match Arc::try_unwrap(file) {
                Ok(file) => Ok(Some(file)),
                Err(shared) => shared.try_clone().map(Some),
            },
        }
    }

    /// Reads content bytes from `offset` on into `buffer` and says how many: fewer than asked for
    /// are possible, none at the end of the content. Never reads what lies behind the content.
    ///
    /// # Errors
    /// Whatever reading the file fails with.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.len().saturating_sub(offset);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = &mut buffer[..count];
        if count == 0 {
            return Ok(0);
        }
        match &self.body {
            Body::Bytes(bytes) => {
                // The bytes are in memory, so an offset before their end fits a usize.
                let start = offset as usize;
                buffer.copy_from_slice(&bytes[start..start + count]);
                Ok(count)
            }
            Body::File { file, .. } => file.read_at(buffer, offset),
        }
    }

    /// A reader over the content from its start, with an offset of its own.
    pub fn reader(&self) -> ContentReader<'_> {
        ContentReader { content: self, offset: 0 }
    }

    /// A copy of the whole content.
    ///
    /// # Errors
    /// Whatever reading the file fails with, `UnexpectedEof` when it is shorter than the content.
    pub fn to_vec(&self) -> io::Result<Vec<u8>> {
        if let Body::Bytes(bytes) = &self.body {
            return Ok(bytes.to_vec());
        }
        // The length is a claim until the bytes are there: reserve little, and grow by reading.
        let mut bytes = Vec::with_capacity(self.len().min(1 << 20) as usize);
        self.reader().read_to_end(&mut bytes)?;
        if bytes.len() as u64 != self.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes)
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field("len", &self.len())
            .field("in_memory", &self.as_bytes().is_some())
            .field("origin", &self.origin)
            .field("layer", &self.layer)
            .finish()
    }
}

/// Reads a [`Content`] from its start to its end. Made by [`Content::reader`].
#[derive(Debug)]
pub struct ContentReader<'a> {
    content: &'a Content,
    offset: u64,
}

impl Read for ContentReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read_at(self.offset, buffer)?;
        self.offset += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_file_ends_where_the_content_ends() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"content and more").unwrap();
        let content = Content::from_file(file, 7);
        assert_eq!(content.to_vec().unwrap(), b"content");
        let mut buffer = [0; 32];
        assert_eq!(content.read_at(3, &mut buffer).unwrap(), 4);
        assert_eq!(content.read_at(7, &mut buffer).unwrap(), 0);
        assert_eq!(content.read_at(u64::MAX, &mut buffer).unwrap(), 0);
        let clone = content.clone();
        assert!(content.into_file().unwrap().is_some());
        assert_eq!(clone.to_vec().unwrap(), b"content");
    }

    #[test]
    fn a_file_that_is_too_short_is_an_error() {
        let content = Content::from_file(tempfile::tempfile().unwrap(), u64::MAX);
        assert_eq!(content.to_vec().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn bytes_read_like_a_file() {
        let content = Content::from_bytes(b"content".to_vec());
        let mut buffer = [0; 4];
        assert_eq!(content.read_at(5, &mut buffer).unwrap(), 2);
        assert_eq!(&buffer[..2], b"nt");
        assert_eq!(content.read_at(u64::MAX, &mut buffer).unwrap(), 0);
        assert!(content.into_file().unwrap().is_none());
    }
}
