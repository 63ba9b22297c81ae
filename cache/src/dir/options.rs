//! The ways to open a directory.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use rustix::fs::{Access as Permission, AtFlags};

use super::disk::Disk;
use super::layout::{self, Modes};
use super::trust::Trust;
use super::{Access, DirCache};
use crate::cache::Cache;
use crate::error::{Error, ErrorKind, Result};
use crate::policy::Policy;
use crate::sealed::Sealed;
use crate::sign::{SigningKey, TrustedKeys};
use crate::trust_anyone::TrustAnyone;

/// Settings for opening a [`DirCache`].
#[derive(Clone, Debug, Default)]
pub struct DirOptions {
    policy: Policy,
    anyone: bool,
    /// Directories that are used whoever can write to them.
    trusted_dirs: Vec<PathBuf>,
    trusted_keys: Arc<TrustedKeys>,
    signed_names: bool,
    scope: Option<Arc<str>>,
    sign_with: Option<Arc<SigningKey>>,
    pub(crate) disk: Disk,
}

impl DirOptions {
    /// The defaults: [`Policy::Auto`], and the trust rule.
    pub fn new() -> DirOptions {
        DirOptions::default()
    }

    /// How much of an entry is checked before it is returned.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> DirOptions {
        self.policy = policy;
        self
    }

    /// The keys whose signatures are accepted under [`Policy::Signed`]; none by default, and then no
    /// entry is.
    #[must_use]
    pub fn trusted_keys(mut self, keys: impl Into<Arc<TrustedKeys>>) -> DirOptions {
        self.trusted_keys = keys.into();
        self
    }

    /// Signs what is added.
    #[must_use]
    pub fn sign_with(mut self, key: impl Into<Arc<SigningKey>>) -> DirOptions {
        self.sign_with = Some(key.into());
        self
    }

    /// An implementation of one's own whose entries are believed for their signatures.
    pub(crate) fn seal(&self, cache: Arc<dyn Cache>) -> Sealed {
        Sealed::new(cache, Arc::clone(&self.trusted_keys), self.sign_with.clone())
    }

    /// Wants a signature of the list of names, whatever the policy.
    #[must_use]
    pub(crate) fn signed_names(mut self) -> DirOptions {
        self.signed_names = true;
        self
    }

    /// What the list of [names](crate::Names) is for. One that is written gets this
    /// [scope](crate::Names::scope); one that is read must have it, or is
    /// [`Untrusted`](ErrorKind::Untrusted). Without it, a list is read whatever it is for.
    ///
    /// For keys that sign lists of more than one directory: who can write to one of these can put
    /// there what was signed for another one. What cannot be a scope is that of no list.
    #[must_use]
    pub fn names_scope(mut self, scope: impl Into<Arc<str>>) -> DirOptions {
        self.scope = Some(scope.into());
        self
    }

    pub(crate) fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    pub(crate) fn policy_named(&self) -> Policy {
        self.policy
    }

    /// Uses the directory whoever can write to it: no component and no entry is asked for its owner
    /// and mode any more. Links and special files are refused all the same.
    ///
    /// What the caller promises is written at [`TrustAnyone::i_vouch_for_every_writer`].
    #[must_use]
    pub fn dangerously_trust(mut self, _promise: TrustAnyone) -> DirOptions {
        self.anyone = true;
        self
    }

    /// As [`dangerously_trust`](DirOptions::dangerously_trust), if the directory that is opened is
    /// `path`, by whichever name: both are resolved, and what was compared is what is opened.
    ///
    /// What the caller promises is written at [`TrustAnyone::i_vouch_for_every_writer`].
    #[must_use]
    pub fn dangerously_trust_dir(
        mut self,
        path: impl Into<PathBuf>,
        _promise: TrustAnyone,
    ) -> DirOptions {
        self.trusted_dirs.push(path.into());
        self
    }

    /// As [`DirCache::open`], with these settings.
    ///
    /// # Errors
    /// As [`DirCache::open`].
    pub fn open(&self, path: impl AsRef<Path>) -> Result<DirCache> {
        let (cache, is_new) = self.open_writable(path.as_ref(), Access::Write, layout::PRIVATE)?;
        // A directory that we did not make and that is in use may be anything, a source tree for
        // instance: a `.gitignore` there would hide what is in it.
        if is_new || cache.disk.list(cache.root.as_fd(), 1).is_ok_and(|names| names.is_empty()) {
            cache.write_tags();
        }
        cache.sweep();
        cache.sweep_locks();
        if let Some(memo) = cache.own_memo() {
            cache.remember_in(memo);
        }
        Ok(cache)
    }

    /// As [`DirCache::open_read_only`], with these settings.
    ///
    /// # Errors
    /// As [`DirCache::open_read_only`].
    pub fn open_read_only(&self, path: impl AsRef<Path>) -> Result<DirCache> {
        let path = resolve(path.as_ref())?;
        let (cache, refusal) = self.walk(path, Access::Read)?;
        refusal.map_or(Ok(cache), Err)
    }

    /// As [`DirCache::open_image`], with these settings.
    ///
    /// # Errors
    /// As [`DirCache::open_image`].
    pub fn open_image(&self, path: impl AsRef<Path>) -> Result<DirCache> {
        let (cache, _) = self.open_writable(path.as_ref(), Access::Image, layout::IMAGE)?;
        cache.sweep();
        Ok(cache)
    }

    fn open_writable(&self, path: &Path, access: Access, modes: Modes) -> Result<(DirCache, bool)> {
        let is_new = create_all(&self.disk, path, modes)?;
        let path = resolve(path)?;
        let (mut cache, refusal) = self.walk(path, access)?;
        match (refusal, access) {
            (None, _) => {}
            (refusal, Access::Image) => cache.refusal = refusal,
            (Some(refusal), _) => return Err(refusal),
        }
        // Asked now, so that whoever opens a directory to write to it is told at once.
        let wanted = Permission::READ_OK | Permission::WRITE_OK | Permission::EXEC_OK;
        rustix::fs::accessat(&cache.root, ".", wanted, AtFlags::EACCESS).map_err(|errno| {
            Error::io("get permission to write to", Some(&cache.path), errno.into())
        })?;
        Ok((cache, is_new))
    }

    /// Opens a path that is resolved; from here on nothing follows a link.
    fn walk(&self, path: PathBuf, access: Access) -> Result<(DirCache, Option<Error>)> {
        let is_this = |dir: &PathBuf| dir.canonicalize().is_ok_and(|dir| dir == path);
        let trust = match self.policy {
            _ if self.anyone || self.trusted_dirs.iter().any(is_this) => Trust::Anyone,
            Policy::Signed => Trust::Signatures,
            _ => Trust::rule(),
        };
        let (root, refusal): (OwnedFd, _) = trust.walk(&self.disk, &path)?;
        let cache = DirCache {
            root,
            path,
            access,
            policy: self.policy,
            trust,
            trusted_keys: Arc::clone(&self.trusted_keys),
            sign_with: self.sign_with.clone(),
            signed_names: self.signed_names,
            scope: self.scope.clone(),
            names: Mutex::new(None),
            memo: OnceLock::new(),
            refusal: None,
            disk: self.disk.anew(),
        };
        Ok((cache, refusal))
    }
}

impl DirCache {
    /// Marks the directory as a cache. It works as well without, so errors are passed over.
    fn write_tags(&self) {
        for (name, text) in layout::TAGS {
            if let Ok(file) = self.disk.create(self.root.as_fd(), name) {
                _ = self.disk.write(&file, text);
            }
        }
    }

    /// Takes the marks away that are ours to the byte.
    pub(super) fn remove_tags(&self) {
        for (name, text) in layout::TAGS {
            let Ok(file) = self.disk.open(self.root.as_fd(), name) else { continue };
            let mut found = vec![0; text.len() + 1];
            let length = self.disk.read_at(&file, &mut found, 0);
            if length.is_ok_and(|length| found[..length] == *text) {
                _ = self.disk.remove(self.root.as_fd(), name);
            }
        }
    }
}

/// The absolute path without symbolic links.
fn resolve(path: &Path) -> Result<PathBuf> {
    path.canonicalize().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::Missing { path: path.to_path_buf() }.into(),
        io::ErrorKind::NotADirectory => not_a_directory(path),
        _ => Error::io("resolve the path", Some(path), error),
    })
}

/// Creates a directory and its ancestors where they are missing; `false` when it was there. What is
/// created gets its mode whatever the umask, what was there keeps its own.
fn create_all(disk: &Disk, path: &Path, modes: Modes) -> Result<bool> {
    let failed = |error| Error::io("create the directory", Some(path), error);
    let path = std::path::absolute(path).map_err(failed)?;
    let mut missing = Vec::new();
    let mut existing = path.as_path();
    loop {
        match existing.metadata() {
            Ok(metadata) if metadata.is_dir() => break,
            Ok(_) => return Err(not_a_directory(&path)),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(not_a_directory(&path));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        match (existing.parent(), existing.file_name()) {
            (Some(parent), Some(name)) => {
                missing.push(name);
                existing = parent;
            }
            // A path that ends in `..` below something missing names nothing that can be created.
            _ => return Err(failed(io::ErrorKind::NotFound.into())),
        }
    }
    if missing.is_empty() {
        return Ok(false);
    }
    let existing = existing.canonicalize().map_err(failed)?;
    let mut fd = disk.start(&existing).map_err(failed)?;
    for &name in missing.iter().rev() {
        let made = disk.make_dir(fd.as_fd(), name, modes.dir);
        fd = match made {
            Ok(()) => {
                let made = disk.open_dir(fd.as_fd(), name).map_err(failed)?;
                disk.set_mode(made.as_fd(), modes.dir).map_err(failed)?;
                made
            }
            // Another process was quicker.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                disk.open_dir(fd.as_fd(), name).map_err(failed)?
            }
            Err(error) => return Err(failed(error)),
        };
    }
    Ok(true)
}

/// The error for a path with a file in it, which it names.
fn not_a_directory(path: &Path) -> Error {
    let is_file = |path: &&Path| path.metadata().is_ok_and(|metadata| !metadata.is_dir());
    let path = path.ancestors().find(is_file).unwrap_or(path);
    ErrorKind::NotADirectory { path: path.to_path_buf() }.into()
}
