//! How much of an entry is checked before it is returned.

/// How much of an entry a directory checks before it returns it.
///
/// Either way, what is checked is checked before anything is returned, and what is found wrong is
/// [`Corrupt`](crate::ErrorKind::Corrupt).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// The length of the file and its trailer: magic, version, key, and the digest over the
    /// trailer. Costs the same for every size, and finds cut, misplaced and exchanged entries; a
    /// bit flipped inside the content is not found.
    Header,
    /// The trailer, and the SHA-256 of the whole content.
    #[default]
    Full,
}
