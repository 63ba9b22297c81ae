//! A cache in a directory that processes share.
//!
//! | file | what is there |
//! | --- | --- |
//! | `options` | the ways to open a directory, and what opening does |
//! | `trust` | who may have written here |
//! | `layout` | names, modes, and the few files that are not entries |
//! | `entry` | the format of an entry: content and trailer |
//! | `read`, `write` | the way of an entry out and in |
//! | `signed`, `private`, `in_memory` | entries that are believed for their signature |
//! | `names` | what groups are called |
//! | `inspect` | one entry file by itself, for tools |
//! | `lock` | one process at a time works on a key |
//! | `sweep` | what writers left behind when they were killed |
//! | `times` | when an entry was added, and used last |
//! | `survey` | all that is in a directory, for tools |
//! | `prune` | removing entries: what a budget wants to go, or all |
//! | `ledger` | what entries take, without counting them after each add |
//! | `disk` | every operation on files, once, so that tests can make each of them fail |
//!
//! Everything is done relative to the descriptor of the directory, which is resolved and checked
//! once: no path is looked up again, so nothing on the way can be exchanged afterwards.

pub(crate) mod disk;
pub(crate) mod entry;
mod in_memory;
mod inspect;
mod layout;
mod ledger;
mod lock;
mod names;
mod options;
#[cfg(target_os = "linux")]
pub(crate) mod private;
#[cfg(not(target_os = "linux"))]
#[path = "private_unsupported.rs"]
pub(crate) mod private;
mod prune;
mod read;
mod signed;
mod survey;
mod sweep;
mod times;
mod trust;
mod write;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use rustix::io::Errno;

#[cfg(feature = "testing")]
pub use disk::Operation;
pub use inspect::EntryInfo;
pub(crate) use layout::MEMO;
pub use lock::KeyLock;
pub use options::DirOptions;
pub use prune::{Evicted, Pruned};
pub use survey::{Depth, Item, ItemState};

use crate::cache::{Cache, Sibling};
use crate::content::Content;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{Key, to_hex};
use crate::memo::Memo;
use crate::policy::Policy;
use crate::sign::{SigningKey, TrustedKeys};
use disk::Disk;
use layout::Modes;
use trust::Trust;

/// A cache in a directory: `<group>/<id>`, each entry a file with its content first.
///
/// ```
/// use precompile_cache::{Cache, Content, DirCache, Key};
/// let folder = tempfile::tempdir().unwrap();
/// let cache = DirCache::open(folder.path().join("cache")).unwrap();
/// let key = Key::new([1; 32], [2; 32]);
/// assert!(cache.get(&key).unwrap().is_none());
/// cache.add(&key, &Content::from_bytes(b"content".to_vec()), b"description").unwrap();
/// assert_eq!(cache.get(&key).unwrap().unwrap().to_vec().unwrap(), b"content");
/// ```
///
/// When somebody removes the directory itself while it is open, gets miss and adds fail from then
/// on; removing what is in it is fine at any time.
#[derive(Debug)]
pub struct DirCache {
    root: OwnedFd,
    path: PathBuf,
    access: Access,
    policy: Policy,
    trust: Trust,
    trusted_keys: Arc<TrustedKeys>,
    sign_with: Option<Arc<SigningKey>>,
    /// Whether the list of names needs a signature, whatever the policy.
    signed_names: bool,
    /// What the list of names has to be for.
    scope: Option<Arc<str>>,
    names: Mutex<Option<names::Known>>,
    memo: OnceLock<Arc<Memo>>,
    /// Why entries are not read, for an image that is written where others may write.
    refusal: Option<Error>,
    disk: Disk,
}

/// What a directory was opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    /// A user's own cache.
    Write,
    /// Output for an image: readable by everybody, with nothing but entries in it.
    Image,
}

impl DirCache {
    /// Opens a user's own cache for reading and writing, and creates it where it is missing:
    /// directories with mode 0700, files with 0600.
    ///
    /// # Errors
    /// When the path is a file, cannot be created or written, or breaks the trust rule.
    pub fn open(path: impl AsRef<Path>) -> Result<DirCache> {
        DirOptions::new().open(path)
    }

    /// Opens a directory for reading. Nothing is ever created, locked or touched in it.
    ///
    /// # Errors
    /// [`Missing`](ErrorKind::Missing) when it does not exist; else as [`open`](DirCache::open).
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<DirCache> {
        DirOptions::new().open_read_only(path)
    }

    /// Opens a directory to put entries for an image into: what is created has the modes 0755 and
    /// 0644 whatever the umask, and there is nothing in it but entries.
    ///
    /// Writing where others may write is fine here, since it is the reader who decides; but then
    /// nothing is read: each get is [`Untrusted`](ErrorKind::Untrusted).
    ///
    /// # Errors
    /// When the path is a file or cannot be created or written.
    pub fn open_image(path: impl AsRef<Path>) -> Result<DirCache> {
        DirOptions::new().open_image(path)
    }

    /// The ways to open a directory with settings.
    pub fn options() -> DirOptions {
        DirOptions::new()
    }

    /// The directory, absolute and without symbolic links, as it was when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the entry of `key` is or would be.
    pub fn entry_path(&self, key: &Key) -> PathBuf {
        self.group_path(key.group()).join(to_hex(key.id()))
    }

    /// Whether entries can be added and deleted.
    pub fn is_writable(&self) -> bool {
        self.access != Access::Read
    }

    /// Whether the trust rule was waived by [`DirOptions::dangerously_trust`].
    pub fn is_vouched(&self) -> bool {
        matches!(self.trust, Trust::Anyone)
    }

    /// Whether it is a user's own cache, which is locked.
    pub(crate) fn is_private(&self) -> bool {
        self.access == Access::Write
    }

    /// Whether no more than the trust rule, or a signature, is relied upon.
    fn is_under_the_rule(&self) -> bool {
        matches!(self.trust, Trust::Rule { .. }) && self.refusal.is_none()
    }

    /// How much failed that nothing depends on.
    pub(crate) fn passed_over(&self) -> u64 {
        self.disk.passed_over()
    }

    /// Where this user's memos are: here, if this is a directory of the user's own.
    pub(crate) fn own_memo(&self) -> Option<Arc<Memo>> {
        if let Some(memo) = self.memo.get() {
            return Some(Arc::clone(memo));
        }
        if self.access == Access::Image || !self.is_under_the_rule() {
            return None;
        }
        let memo = Memo::new(self.disk.clone(), self.root.try_clone().ok()?);
        if self.access == Access::Read {
            memo.freeze();
        }
        Some(Arc::new(memo))
    }

    /// Remembers there which entries were checked, unless it does so elsewhere.
    pub(crate) fn remember_in(&self, memo: Arc<Memo>) {
        _ = self.memo.set(memo);
    }

    fn group_path(&self, group: &[u8; 32]) -> PathBuf {
        self.path.join(to_hex(group))
    }

    fn modes(&self) -> Modes {
        match self.access {
            Access::Image => layout::IMAGE,
            Access::Read | Access::Write => layout::PRIVATE,
        }
    }

    fn writable(&self) -> Result<()> {
        match self.access {
            Access::Read => Err(ErrorKind::ReadOnly { path: self.path.clone() }.into()),
            Access::Write | Access::Image => Ok(()),
        }
    }

    /// Opens the folder of a group. `Ok(None)` when there is none.
    fn open_group(&self, group: &[u8; 32]) -> Result<Option<OwnedFd>> {
        let path = || self.group_path(group);
        let fd = match self.disk.open_dir(self.root.as_fd(), to_hex(group)) {
            Ok(fd) => fd,
            Err(error) => {
                return match Errno::from_io_error(&error) {
                    Some(Errno::NOENT) => Ok(None),
                    Some(Errno::NOTDIR | Errno::LOOP) => {
                        Err(Error::corrupt(Some(&path()), "the folder of the group is no folder"))
                    }
                    _ => Err(Error::io("open the folder of the group", Some(&path()), error)),
                };
            }
        };
        let stat = self
            .disk
            .stat(fd.as_fd())
            .map_err(|error| Error::io("inspect the folder of the group", Some(&path()), error))?;
        self.trust.check(&stat, path)?;
        Ok(Some(fd))
    }
}

impl Cache for DirCache {
    fn get(&self, key: &Key) -> Result<Option<Content>> {
        self.read_entry(key)
    }

    fn add(&self, key: &Key, content: &Content, description: &[u8]) -> Result<()> {
        self.writable()?;
        self.write_entry(key, content, description)
    }

    fn delete(&self, key: &Key) -> Result<()> {
        self.writable()?;
        self.remove_entry(key)
    }

    fn siblings(&self, group: &[u8; 32]) -> Result<Vec<Sibling>> {
        self.read_siblings(group)
    }

    fn resolve(&self, name: &str) -> Result<Option<[u8; 32]>> {
        Ok(self.names()?.and_then(|names| names.get(name)))
    }
}

/// Whether an operation failed because something is not there.
fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}
