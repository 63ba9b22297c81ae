//! The trait: three verbs, and the question for siblings.

use crate::content::Content;
use crate::error::Result;
use crate::key::Key;

/// A store of entries by key, shared by threads and usually by processes.
///
/// What `get` returns is used without being checked for meaning again, so *who may write* is part
/// of the contract: `get` returns only what somebody who is trusted passed to `add`, unmodified.
/// An implementation that cannot promise this is attached to [`Layers`](crate::Layers) through
/// [`TrustAnyone`](crate::TrustAnyone) only. `testing::conformance` (feature `testing`) checks the
/// rest of what is written here.
pub trait Cache: Send + Sync {
    /// The entry of `key`; `Ok(None)` when there is none, which is not an error.
    ///
    /// # Errors
    /// A damaged entry is [`Corrupt`](crate::ErrorKind::Corrupt), one that somebody else could
    /// have written [`Untrusted`](crate::ErrorKind::Untrusted). Whatever the error, the caller may
    /// treat it as a miss: an `add` of the same key replaces what was there.
    fn get(&self, key: &Key) -> Result<Option<Content>>;

    /// Puts `content` under `key`, replacing what was there. Whoever has the old content open keeps
    /// it. What goes in comes back unmodified or not at all: no reader ever sees a part of it.
    /// `description` is for [`siblings`](Cache::siblings), a few hundred bytes that the cache does
    /// not interpret.
    ///
    /// # Errors
    /// When the content could not be read or the entry not be written; then either the old entry
    /// is still there, or none, or the whole new one.
    fn add(&self, key: &Key, content: &Content, description: &[u8]) -> Result<()>;

    /// Removes the entry of `key`. It is fine when there is none. Whoever has the content open
    /// keeps it.
    ///
    /// # Errors
    /// When there may still be an entry.
    fn delete(&self, key: &Key) -> Result<()>;

    /// The entries of a group with their descriptions, in order of their ids. Damaged ones are left
    /// out. Asked after a miss to say why it missed, never on the way to a hit; by default none.
    ///
    /// # Errors
    /// When the group could not be listed.
    fn siblings(&self, group: &[u8; 32]) -> Result<Vec<Sibling>> {
        let _ = group;
        Ok(Vec::new())
    }

    /// The group of that [name](crate::Names); by default there are no names.
    ///
    /// # Errors
    /// When there may be one.
    fn resolve(&self, name: &str) -> Result<Option<[u8; 32]>> {
        let _ = name;
        Ok(None)
    }
}

/// An entry of a group, as [`Cache::siblings`] tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sibling {
    /// The id of the entry.
    pub id: [u8; 32],
    /// The description that it was added with.
    pub description: Vec<u8>,
}

impl Sibling {
    /// The sibling `id` with its `description`.
    pub fn new(id: [u8; 32], description: impl Into<Vec<u8>>) -> Sibling {
        Sibling { id, description: description.into() }
    }
}
