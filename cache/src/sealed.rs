//! An implementation of one's own that nobody needs to be trusted with: entries go in with a signed
//! trailer behind them, and are believed for it when they come out.
//!
//! Whatever the implementation returns may be somebody's forgery, and may change while it is looked
//! at. So it is treated as a file in a directory where anybody may write: the trailer is read into
//! memory and its signature checked; as many bytes as were signed for are copied to where nobody else
//! can write; the copy is held against the digest, and returned.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::cache::{Cache, Sibling};
use crate::content::Content;
use crate::dir::disk::Disk;
use crate::dir::entry::{DESCRIPTION_LIMIT, Found, Source, Summary, Unreadable};
use crate::dir::private;
use crate::error::{Distrust, Error, ErrorKind, Result};
use crate::key::Key;
use crate::sign::{SigningKey, TrustedKeys};

pub(crate) struct Sealed {
    inner: Arc<dyn Cache>,
    trusted: Arc<TrustedKeys>,
    sign_with: Option<Arc<SigningKey>>,
}

impl Sealed {
    pub(crate) fn new(
        inner: Arc<dyn Cache>,
        trusted: Arc<TrustedKeys>,
        sign_with: Option<Arc<SigningKey>>,
    ) -> Sealed {
        Sealed { inner, trusted, sign_with }
    }
}

impl Source for &Content {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut count = 0;
        while count < buffer.len() {
            match Content::read_at(self, offset + count as u64, &mut buffer[count..]) {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }
}

impl Cache for Sealed {
    fn get(&self, key: &Key) -> Result<Option<Content>> {
        let Some(sealed) = self.inner.get(key)? else { return Ok(None) };
        let origin = sealed.origin();
        let untrusted = |reason| -> Error {
            let path = origin.map_or_else(|| PathBuf::from(key.to_string()), PathBuf::from);
            ErrorKind::Untrusted { path, reason }.into()
        };
        let unreadable = |error| match error {
            Unreadable::Damaged(what) => Error::corrupt(origin, what),
            Unreadable::Io(error) => Error::io("read the entry", origin, error),
        };
        let found = Found::read(&&sealed, sealed.len(), key).map_err(unreadable)?;
        let name = found.trailer.verify_signature(key, &self.trusted).map_err(untrusted)?;
        let copy = private::copy(&Disk::default(), &&sealed, &found.trailer);
        let copy = copy.map_err(|error| match error {
            Unreadable::Damaged(_) => untrusted(Distrust::Tampered { name: name.to_owned() }),
            error => unreadable(error),
        })?;
        let copy = copy.with_description(&found.trailer.description);
        Ok(Some(match origin {
            Some(origin) => copy.with_origin(origin),
            None => copy,
        }))
    }

    fn add(&self, key: &Key, content: &Content, description: &[u8]) -> Result<()> {
        let Some(with) = &self.sign_with else {
            // It would never be used again.
            let (path, reason) = (PathBuf::from(key.to_string()), Distrust::Unsigned);
            return Err(ErrorKind::Untrusted { path, reason }.into());
        };
        let (length, limit) = (description.len(), DESCRIPTION_LIMIT);
        if length > limit {
            return Err(ErrorKind::DescriptionTooLong { length, limit }.into());
        }
        let failed = |error| Error::io("read the content", content.origin(), error);
        let mut bytes = content.to_vec().map_err(failed)?;
        let mut summary = Summary::default();
        summary.update(&bytes);
        let mut trailer = summary.finish(description);
        trailer.sign(key, with);
        bytes.extend(trailer.to_bytes(key));
        self.inner.add(key, &Content::from_bytes(bytes), description)
    }

    fn delete(&self, key: &Key) -> Result<()> {
        self.inner.delete(key)
    }

    fn siblings(&self, group: &[u8; 32]) -> Result<Vec<Sibling>> {
        self.inner.siblings(group)
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::MemoryCache;

    #[test]
    fn it_is_a_cache_like_any_other() {
        crate::testing::conformance(|| {
            let key = Arc::new(SigningKey::generate("test-1").unwrap());
            let trusted = Arc::new(key.public_key().into());
            Box::new(Sealed::new(Arc::new(MemoryCache::new()), trusted, Some(key)))
        });
    }
}
