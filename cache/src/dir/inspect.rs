//! One entry file by itself, for tools: what its trailer says, and whether that holds.

use std::fs::File;
use std::path::Path;

use super::disk::Disk;
use super::entry::{Found, Trailer, Unreadable};
use crate::error::{Error, Result};
use crate::key::Key;

/// What the trailer of an entry file says; see [`EntryInfo::read`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntryInfo {
    /// The key that it was added under.
    pub key: Key,
    /// Bytes of the content, which is at the start of the file.
    pub content_length: u64,
    /// SHA-256 of the content, as it was when it was added.
    pub content_digest: [u8; 32],
    /// The description that it was added with.
    pub description: Vec<u8>,
    /// The signature, as [`SigningKey::sign`](crate::SigningKey::sign) made it; empty for none. It
    /// is not checked here.
    pub signature: Vec<u8>,
    /// Whether the content still has that digest.
    pub is_intact: bool,
}

impl EntryInfo {
    /// Reads the trailer of `file` and checks the content against it. Who may have written the file
    /// is not asked: this is for looking at an entry, not for using it.
    ///
    /// # Errors
    /// When it does not end in a trailer, or cannot be read. `path` is for messages.
    pub fn read(file: &File, path: &Path) -> Result<EntryInfo> {
        let failed = |error| match error {
            Unreadable::Damaged(what) => Error::corrupt(Some(path), what),
            Unreadable::Io(error) => Error::io("read the entry", Some(path), error),
        };
        let disk = Disk::default();
        let length = file.metadata().map_err(|error| failed(error.into()))?.len();
        let Found { trailer, key, .. } = Found::read_any(&(&disk, file), length).map_err(failed)?;
        let is_intact = match trailer.verify(&(&disk, file)) {
            Ok(()) => true,
            Err(Unreadable::Damaged(_)) => false,
            Err(error) => return Err(failed(error)),
        };
        let Trailer { content_length, content_digest, description, signature, .. } = trailer;
        Ok(EntryInfo { key, content_length, content_digest, description, signature, is_intact })
    }

    /// The name of the key that the signature says it was made with. Nothing is checked.
    pub fn signer(&self) -> Option<&str> {
        crate::sign::signer(&self.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cache, Content, DirCache};

    #[test]
    fn an_entry_tells_its_key_and_whether_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let cache = DirCache::open(folder.path().join("cache")).unwrap();
        let key = Key::new([1; 32], [2; 32]);
        cache.add(&key, &Content::from_bytes(b"content".to_vec()), b"description").unwrap();
        let path = cache.entry_path(&key);
        let info = EntryInfo::read(&File::open(&path).unwrap(), &path).unwrap();
        assert_eq!((info.key, info.content_length), (key, 7));
        assert_eq!(info.description, b"description");
        assert!(info.is_intact);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[0] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(!EntryInfo::read(&File::open(&path).unwrap(), &path).unwrap().is_intact);
        std::fs::write(&path, &bytes[1..]).unwrap();
        assert!(EntryInfo::read(&File::open(&path).unwrap(), &path).unwrap_err().is_corrupt());
    }
}
