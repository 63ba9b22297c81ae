//! How much of an entry is checked before it is returned.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// How much of an entry a directory checks before it returns it. Parsed from and written as `auto`,
/// `header`, `full`, `signed`.
///
/// Either way, what is checked is checked before anything is returned, and what is found wrong is
/// [`Corrupt`](crate::ErrorKind::Corrupt) or, for signatures,
/// [`Untrusted`](crate::ErrorKind::Untrusted).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// The trailer, and a checksum over the whole content the first time that this user gets this
    /// file since the machine was started; from then on the trailer. Files that were checked are
    /// remembered in the read-write directory, by what changes whenever a file does; on file systems
    /// where nothing is known to, the checksum each time. Without a read-write directory: the
    /// checksum each time for content up to 1 MiB, for longer content the trailer only.
    ///
    /// Finds damage at a cost that nobody notices.
    #[default]
    Auto,
    /// The length of the file and its trailer: magic, version, key, and the digest over the
    /// trailer. Costs the same for every size, and finds cut, misplaced and exchanged entries; a
    /// bit flipped inside the content is not found.
    Header,
    /// The trailer, and the SHA-256 of the whole content, each time.
    Full,
    /// The trailer, the signature over it by a [trusted key](crate::TrustedKeys), and the SHA-256
    /// of the whole content: all of it on a private copy, which is what is returned. Nobody needs
    /// to be trusted with the directory, so the trust rule does not apply to it.
    Signed,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Policy::Auto => "auto",
            Policy::Header => "header",
            Policy::Full => "full",
            Policy::Signed => "signed",
        })
    }
}

impl FromStr for Policy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Policy> {
        [Policy::Auto, Policy::Header, Policy::Full, Policy::Signed]
            .into_iter()
            .find(|policy| policy.to_string() == text)
            .ok_or_else(|| {
                let expected = "a policy of verification: auto, header, full or signed";
                ErrorKind::Parse { expected, found: text.to_owned() }.into()
            })
    }
}
