//! All that is in a directory, for tools: each entry with what it says of itself, and what is no
//! entry.
//!
//! Looking is not using: no time of last use moves, and nothing is deleted, whatever is found.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use super::entry::{Found, Trailer, Unreadable};
use super::{DirCache, is_absent, layout, read, times};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{Key, to_hex};

/// How closely [`DirCache::survey`] looks at each entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// At its trailer, which costs the same for every size.
    Trailer,
    /// At its whole content as well, whatever the policy of the directory.
    Content,
}

/// Something in a directory.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Item {
    /// Where it is.
    pub path: PathBuf,
    /// The length of the file; 0 for what is no file.
    pub bytes: u64,
    /// When it was added.
    pub added: SystemTime,
    /// When it was used last, to the hour.
    pub used: SystemTime,
    /// What it is.
    pub state: ItemState,
}

/// What something in a directory is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ItemState {
    /// An entry, which holds as far as it was looked at.
    Sound {
        /// What it was added under.
        key: Key,
        /// The description that it was added with.
        description: Vec<u8>,
        /// Bytes of its content.
        content_length: u64,
        /// SHA-256 of its content.
        content_digest: [u8; 32],
    },
    /// It has the name of an entry, and is not what was added under it.
    Damaged(Error),
    /// It belongs to somebody else, or others may write to it: nothing in it is used.
    Untrusted(Error),
    /// It could not be looked at.
    Unreadable(Error),
    /// It is none of the cache's, and is left alone.
    Foreign,
}

impl DirCache {
    /// Calls `each` for all that is in the directory, in order of the keys, and what is foreign
    /// behind the entries of its folder; last for the list of names, if it cannot be used. Nothing is changed. What comes and goes meanwhile may or
    /// may not be told of.
    ///
    /// # Errors
    /// When the directory cannot be listed. Folders and entries that cannot be looked at are
    /// [`Unreadable`](ItemState::Unreadable).
    pub fn survey(&self, depth: Depth, mut each: impl FnMut(Item)) -> Result<()> {
        let (groups, foreign) = self.groups()?;
        for group in groups {
            let path = self.group_path(&group);
            match self.open_group(&group) {
                Ok(Some(folder)) => self.survey_group(folder.as_fd(), &group, depth, &mut each),
                Ok(None) => {}
                // A folder is no entry, but a thing in its place is none of ours either.
                Err(error) if error.is_corrupt() => each(bare(path, ItemState::Foreign)),
                Err(error) if error.is_untrusted() => {
                    each(bare(path, ItemState::Untrusted(error)));
                }
                Err(error) => each(bare(path, ItemState::Unreadable(error))),
            }
        }
        foreign.into_iter().for_each(|path| each(bare(path, ItemState::Foreign)));
        // A good list is no item: it is none of the entries.
        if self.refusal.is_none()
            && let Err(error) = self.names()
        {
            let state = match error.kind() {
                ErrorKind::Names { .. } => ItemState::Damaged(error),
                ErrorKind::Untrusted { .. } => ItemState::Untrusted(error),
                _ => ItemState::Unreadable(error),
            };
            each(bare(self.names_path(), state));
        }
        Ok(())
    }

    /// What is under the name of `key`; `None` when there is nothing. Looking is not using.
    ///
    /// # Errors
    /// When the folder of its group cannot be looked into.
    pub fn item(&self, key: &Key, depth: Depth) -> Result<Option<Item>> {
        let folder = self.open_group(key.group())?;
        Ok(folder.and_then(|folder| self.look(folder.as_fd(), key, depth)))
    }

    /// The groups that there are folders of by their names, in order, and what else is there.
    pub(super) fn groups(&self) -> Result<(Vec<[u8; 32]>, Vec<PathBuf>)> {
        let names = self
            .disk
            .list(self.root.as_fd(), usize::MAX)
            .map_err(|error| Error::io("list the directory", Some(&self.path), error))?;
        let is_ours = |name: &[u8]| {
            let known = [layout::TEMPORARY, layout::LOCKS, layout::NAMES].into_iter();
            let mut known = known.chain(layout::TAGS.iter().map(|(name, _)| *name));
            name.starts_with(layout::MEMO.as_bytes()) || known.any(|known| known.as_bytes() == name)
        };
        Ok(sorted(&self.path, names, is_ours))
    }

    /// The ids that there are entries of in a group by their names, in order, and what else.
    pub(super) fn ids(
        &self,
        folder: BorrowedFd<'_>,
        group: &[u8; 32],
    ) -> Result<(Vec<[u8; 32]>, Vec<PathBuf>)> {
        let path = self.group_path(group);
        let names = self
            .disk
            .list(folder, usize::MAX)
            .map_err(|error| Error::io("list the folder of the group", Some(&path), error))?;
        Ok(sorted(&path, names, |_| false))
    }

    fn survey_group(
        &self,
        folder: BorrowedFd<'_>,
        group: &[u8; 32],
        depth: Depth,
        each: &mut impl FnMut(Item),
    ) {
        let (ids, foreign) = match self.ids(folder, group) {
            Ok(found) => found,
            Err(error) => {
                return each(bare(self.group_path(group), ItemState::Unreadable(error)));
            }
        };
        for id in ids {
            let key = Key::new(*group, id);
            if let Some(item) = self.look(folder, &key, depth) {
                each(item);
            }
        }
        foreign.into_iter().for_each(|path| each(bare(path, ItemState::Foreign)));
    }

    /// What is under the name of `key`; `None` when there is nothing.
    pub(super) fn look(&self, folder: BorrowedFd<'_>, key: &Key, depth: Depth) -> Option<Item> {
        let path = self.entry_path(key);
        let file = match self.disk.open_quietly(folder, &to_hex(key.id())) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return None,
            Err(error) => {
                let state = match Errno::from_io_error(&error) {
                    // A symbolic link, or a socket or device without anybody behind it.
                    Some(Errno::LOOP | Errno::NXIO | Errno::NODEV) => ItemState::Foreign,
                    _ => ItemState::Unreadable(Error::io("open the entry", Some(&path), error)),
                };
                return Some(bare(path, state));
            }
        };
        let stat = match self.disk.stat(file.as_fd()) {
            Ok(stat) => stat,
            Err(error) => {
                let error = Error::io("inspect the entry", Some(&path), error);
                return Some(bare(path, ItemState::Unreadable(error)));
            }
        };
        let item = |state| Some(item(path.clone(), &stat, state));
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return item(ItemState::Foreign);
        }
        if let Err(error) = self.trust.check(&stat, || path.clone()) {
            return item(ItemState::Untrusted(error));
        }
        let checked =
            Found::read(&(&self.disk, &file), read::length(&stat), key).and_then(|found| {
                if depth == Depth::Content {
                    found.trailer.verify(&(&self.disk, &file))?;
                }
                Ok(found.trailer)
            });
        item(match checked {
            Ok(Trailer { content_length, content_digest, description, .. }) => {
                ItemState::Sound { key: *key, description, content_length, content_digest }
            }
            Err(Unreadable::Damaged(what)) => ItemState::Damaged(Error::corrupt(Some(&path), what)),
            Err(Unreadable::Io(error)) => {
                ItemState::Unreadable(Error::io("read the entry", Some(&path), error))
            }
        })
    }
}

fn item(path: PathBuf, stat: &Stat, state: ItemState) -> Item {
    let (added, used) = (times::added(stat), times::used(stat));
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    let bytes = if is_file { read::length(stat) } else { 0 };
    Item { path, bytes, added, used, state }
}

/// Of which nothing more is known.
fn bare(path: PathBuf, state: ItemState) -> Item {
    let never = SystemTime::UNIX_EPOCH;
    Item { path, bytes: 0, added: never, used: never, state }
}

/// Names that are digests, and the paths of the others but for those that are ours. Sorted, since
/// the order of a directory depends on its history. A name may be any bytes.
fn sorted(
    folder: &Path,
    mut names: Vec<Vec<u8>>,
    is_ours: impl Fn(&[u8]) -> bool,
) -> (Vec<[u8; 32]>, Vec<PathBuf>) {
    names.sort_unstable();
    let (mut digests, mut foreign) = (Vec::new(), Vec::new());
    for name in names {
        match layout::entry_id(&name) {
            Some(digest) => digests.push(digest),
            None if is_ours(&name) => {}
            None => foreign.push(folder.join(OsString::from_vec(name))),
        }
    }
    (digests, foreign)
}
