//! Where things are in a cache directory, and which modes they have.
//!
//! ```text
//! <root>/
//!   <group, 64 hex digits>/
//!     <id, 64 hex digits>          an entry; complete from the moment that it has this name
//!   names                          what groups are called; see `Names`
//!   .tmp/
//!     <pid>-<number>               an entry that is being written, locked by its writer
//!     names                        held by the process that changes the names
//!   .locks/
//!     <id, 64 hex digits>          held by the process that works on this entry
//!     budget                       what the entries take, if there is a budget; see `ledger`
//!   .memo-<user id>                which entries and files that user has checked since boot
//!   CACHEDIR.TAG  .gitignore       so that backups and git leave the cache alone
//! ```
//!
//! Temporary files are in a folder of their own: what a killed writer left behind is found by
//! listing one folder that is nearly always empty, however many entries there are, and a rename from
//! there to a group stays within the file system. An image has entries and names only: `.tmp` goes away when it
//! is closed, and there are no locks, memos and tags. Whatever else is in the directory is not ours, and
//! is left alone.

use rustix::fs::Mode;

use crate::key::from_hex;

/// The list of names.
pub(super) const NAMES: &str = "names";
/// The folder of temporary files.
pub(super) const TEMPORARY: &str = ".tmp";
/// The lock of the list of names, in the folder of temporary files.
pub(super) const NAMES_LOCK: &str = "names";
/// What the names of memo files begin with; the number of the user follows.
pub(crate) const MEMO: &str = ".memo-";
/// The folder of lock files.
pub(super) const LOCKS: &str = ".locks";

/// The ledger of a budget, in the folder of lock files.
pub(super) const LEDGER: &str = "budget";

/// The files that tell other programs to leave a user's cache alone, with their content. The
/// signature is the one that the Cache Directory Tagging Specification asks for.
pub(super) const TAGS: [(&str, &[u8]); 2] = [
    (
        "CACHEDIR.TAG",
        b"Signature: 8a477f597d28d172789f06886806bc55\n\
          # This directory is a cache: everything in it can be made again.\n",
    ),
    (".gitignore", b"*\n"),
];

/// The modes of what is created, set explicitly so that they do not depend on the umask.
#[derive(Clone, Copy, Debug)]
pub(super) struct Modes {
    pub(super) dir: Mode,
    pub(super) file: Mode,
}

/// A user's own cache: nobody else has business in it.
pub(super) const PRIVATE: Modes = Modes { dir: Mode::RWXU, file: Mode::RUSR.union(Mode::WUSR) };

/// An image: built as one user, usually root, and read as another.
pub(super) const IMAGE: Modes = Modes {
    dir: Mode::RWXU.union(Mode::RGRP).union(Mode::XGRP).union(Mode::ROTH).union(Mode::XOTH),
    file: Mode::RUSR.union(Mode::WUSR).union(Mode::RGRP).union(Mode::ROTH),
};

/// The id that a file name in a group stands for; `None` when the file is not an entry of ours.
pub(super) fn entry_id(name: &[u8]) -> Option<[u8; 32]> {
    from_hex(std::str::from_utf8(name).ok()?)
}

/// Whether a name in the folder of temporary files is one that [`write`](super::write) gave, or the
/// lock of the list of names.
pub(super) fn is_temporary(name: &[u8]) -> bool {
    if name == NAMES_LOCK.as_bytes() {
        return true;
    }
    let mut parts = name.split(|&byte| byte == b'-');
    let number = |part: Option<&[u8]>| {
        part.is_some_and(|part| !part.is_empty() && part.iter().all(u8::is_ascii_digit))
    };
    number(parts.next()) && number(parts.next()) && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_ours() {
        assert!(is_temporary(b"12-3") && is_temporary(b"names"));
        for foreign in [&b"12"[..], b"-3", b"12-", b"a-3", b"1-2-3", b"", b"12-3.txt"] {
            assert!(!is_temporary(foreign), "{foreign:?}");
        }
        assert_eq!(entry_id("0a".repeat(32).as_bytes()), Some([10; 32]));
        assert_eq!(entry_id("0A".repeat(32).as_bytes()), None);
        assert_eq!(entry_id(b".tmp"), None);
    }

    #[test]
    fn the_modes_are_the_ones_that_are_documented() {
        assert_eq!((PRIVATE.dir.as_raw_mode(), PRIVATE.file.as_raw_mode()), (0o700, 0o600));
        assert_eq!((IMAGE.dir.as_raw_mode(), IMAGE.file.as_raw_mode()), (0o755, 0o644));
    }
}
