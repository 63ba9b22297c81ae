//! Entries that are believed for their signature, and giving entries one.
//!
//! Where anybody may write, what was checked can change before it is used. So the trailer is read
//! into memory once, and its signature checked there; then as many bytes as it says are copied to
//! where nobody else can write, and the digest is worked out over that copy. The copy is what is
//! returned. Nothing else of the file is used, and no more is copied than somebody who is trusted
//! has signed for.

use std::fs::File;
use std::os::fd::AsFd;

use rustix::fs::Mode;

use super::entry::{Found, Trailer, Unreadable};
use super::write::Temporary;
use super::{DirCache, private};
use crate::content::Content;
use crate::error::{Distrust, Error, ErrorKind, Result};
use crate::key::Key;
use crate::policy::Policy;
use crate::sign::{SigningKey, TrustedKeys};

impl DirCache {
    /// A copy of the content that nobody can change, if a trusted key has signed it.
    pub(super) fn private_copy(&self, file: &File, found: &Found) -> Result<Content> {
        let path = self.entry_path(&found.key);
        let untrusted = |reason| Error::from(ErrorKind::Untrusted { path: path.clone(), reason });
        let name = found.trailer.verify_signature(&found.key, &self.trusted_keys);
        let name = name.map_err(untrusted)?;
        private::copy(&self.disk, &(&self.disk, file), &found.trailer)
            .map(|content| content.with_origin(path.clone()))
            .map(|content| content.with_description(&found.trailer.description))
            .map_err(|error| match error {
                Unreadable::Damaged(_) => untrusted(Distrust::Tampered { name: name.to_owned() }),
                error => self.unreadable(&found.key, error),
            })
    }

    /// Signs the entry of `key`, after checking it; `false` when it already has a signature by this
    /// key. The signed entry replaces the other one.
    ///
    /// # Errors
    /// When there is no entry, it is damaged or not to be trusted, or the new one cannot be written.
    pub fn sign(&self, key: &Key, with: &SigningKey) -> Result<bool> {
        self.writable()?;
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        let group = self.open_group(key.group())?;
        let entry = group.map(|group| self.open_entry(group.as_fd(), key)).transpose()?.flatten();
        let Some((file, stat, found)) = entry else {
            return Err(ErrorKind::Missing { path: self.entry_path(key) }.into());
        };
        self.vouched_by_signature(&found)?;
        let temporary = Temporary::create(self)?;
        let mut trailer = self.refill(&temporary, file, &found)?;
        let own = TrustedKeys::from(with.public_key());
        if found.trailer.verify_signature(key, &own).is_ok() {
            return Ok(false);
        }
        trailer.sign(key, with);
        temporary.complete(key, &trailer, Mode::from_raw_mode(stat.st_mode) & self.modes().dir)?;
        self.put(key, &temporary)?;
        Ok(true)
    }

    /// Copies the entry of `key` from another directory with its description, after checking it; an
    /// entry that is here already is replaced. It keeps its signature, unless this directory was
    /// opened [to sign](crate::DirOptions::sign_with).
    ///
    /// # Errors
    /// When there is no entry, it is damaged or not to be trusted, or the copy cannot be written.
    pub fn copy_from(&self, from: &DirCache, key: &Key) -> Result<()> {
        self.writable()?;
        if let Some(refusal) = &from.refusal {
            return Err(refusal.clone());
        }
        let group = from.open_group(key.group())?;
        let entry = group.map(|group| from.open_entry(group.as_fd(), key)).transpose()?.flatten();
        let Some((file, _, found)) = entry else {
            return Err(ErrorKind::Missing { path: from.entry_path(key) }.into());
        };
        from.vouched_by_signature(&found)?;
        let temporary = Temporary::create(self)?;
        let mut trailer = from.refill(&temporary, file, &found)?;
        match &self.sign_with {
            Some(with) => trailer.sign(key, with),
            None => trailer.signature = found.trailer.signature,
        }
        temporary.complete(key, &trailer, self.modes().file)?;
        self.put(key, &temporary)
    }

    /// Where files of anybody are opened, that a trusted key signed this one: what is signed anew or
    /// copied from there is believed afterwards.
    fn vouched_by_signature(&self, found: &Found) -> Result<()> {
        if self.policy != Policy::Signed {
            return Ok(());
        }
        let name = found.trailer.verify_signature(&found.key, &self.trusted_keys);
        name.map(drop).map_err(|reason| {
            ErrorKind::Untrusted { path: self.entry_path(&found.key), reason }.into()
        })
    }

    /// Writes the content of an entry of this directory to a temporary file, if it is as it was
    /// added. The trailer that it gets is not signed.
    fn refill(&self, temporary: &Temporary<'_>, file: File, found: &Found) -> Result<Trailer> {
        let content = Content::from_file(file, found.trailer.content_length)
            .with_origin(self.entry_path(&found.key));
        let trailer = temporary.fill(&found.key, &content, &found.trailer.description)?;
        if trailer.content_digest != found.trailer.content_digest {
            let what = "its content does not match the content's digest";
            return Err(self.unreadable(&found.key, Unreadable::Damaged(what)));
        }
        Ok(trailer)
    }

    /// The keys of all entries, in order. What is not ours is passed over.
    ///
    /// # Errors
    /// When a folder cannot be listed.
    pub fn keys(&self) -> Result<Vec<Key>> {
        let (groups, _) = self.groups()?;
        let mut keys = Vec::new();
        for group in groups {
            let folder = match self.open_group(&group) {
                Ok(Some(folder)) => folder,
                Ok(None) => continue,
                Err(error) if error.is_corrupt() => continue,
                Err(error) => return Err(error),
            };
            let (ids, _) = self.ids(folder.as_fd(), &group)?;
            keys.extend(ids.into_iter().map(|id| Key::new(group, id)));
        }
        Ok(keys)
    }
}
