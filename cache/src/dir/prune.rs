//! Removing entries: what a budget wants to go, or all.
//!
//! Only what has the name of an entry, belongs to whom entries may belong to, and ends in the
//! trailer of the key that its name says is ever removed. So a file of somebody else's stays,
//! whatever it is called; and so does a damaged entry, which the next use of its key replaces.
//!
//! Everybody may go on meanwhile. Readers keep what they have open. A file that was used or
//! replaced since it was looked at is left alone. Two that prune at the same time remove what both
//! want to go, once. A writer whose group goes away makes it again.

use std::cmp::Reverse;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::SystemTime;

use rustix::fs::{FileType, Stat};

use super::survey::{Depth, ItemState};
use super::{DirCache, is_absent, layout, read, times};
use crate::budget::{Budget, Eviction, rank};
use crate::error::{Error, Result};
use crate::key::{Key, to_hex};

/// An entry that was removed, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evicted {
    /// What it was added under.
    pub key: Key,
    /// Bytes of the file.
    pub bytes: u64,
    /// When it was used last, to the hour.
    pub used: SystemTime,
    /// Why it went.
    pub reason: Eviction,
}

/// What pruning did, or would do.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Pruned {
    /// What went, in that order.
    pub evicted: Vec<Evicted>,
    /// Entries that are left.
    pub entries: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// The most bytes that the budget has for them at the moment, if it has a limit.
    pub limit: Option<u64>,
    /// What was to go and could not be removed, and what could not be looked at.
    pub failures: Vec<Error>,
}

/// A file that looks like an entry from outside.
struct Found {
    key: Key,
    stat: Stat,
}

/// How to go about it.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    /// Only say what would go.
    pub(super) is_dry: bool,
    /// When there is too much: down to how much of the limit, in percent.
    pub(super) goal: u64,
    /// An entry that stays.
    pub(super) keep: Option<&'a Key>,
}

impl Way<'_> {
    const EXACT: Way<'static> = Way { is_dry: false, goal: 100, keep: None };
}

impl DirCache {
    /// Removes the entries that `budget` has no room for: those that are unwanted, then those that
    /// are too old, then what was used longest ago until the rest fits.
    ///
    /// # Errors
    /// When the directory was opened for reading or cannot be listed. What cannot be removed is in
    /// [`Pruned::failures`].
    pub fn prune(&self, budget: &Budget) -> Result<Pruned> {
        self.writable()?;
        self.prune_by(budget, Way::EXACT)
    }

    /// What [`prune`](DirCache::prune) would do now. Changes nothing, so the directory may be one
    /// that was opened for reading.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn would_prune(&self, budget: &Budget) -> Result<Pruned> {
        self.prune_by(budget, Way { is_dry: true, ..Way::EXACT })
    }

    /// Removes all entries, and the cache's own files and folders as far as nobody uses them. The
    /// directory itself stays, and so does all that is not the cache's.
    ///
    /// # Errors
    /// As [`prune`](DirCache::prune).
    pub fn clean(&self) -> Result<Pruned> {
        self.writable()?;
        let mut pruned = Pruned::default();
        for found in self.census(&mut pruned)? {
            self.evict(&found, Eviction::Clean, false, &mut pruned);
        }
        self.sweep();
        // A lock that is held is the business of its holder, and its folder then stays.
        if let Ok(folder) = self.disk.open_dir(self.root.as_fd(), layout::LOCKS) {
            _ = self.disk.remove(folder.as_fd(), layout::LEDGER);
        }
        for folder in [layout::TEMPORARY, layout::LOCKS] {
            _ = self.disk.remove_dir(self.root.as_fd(), folder);
        }
        let user = rustix::process::geteuid().as_raw();
        _ = self.disk.remove(self.root.as_fd(), &crate::memo::name(user));
        self.remove_names();
        self.remove_tags();
        Ok(pruned)
    }

    /// What [`clean`](DirCache::clean) would remove now.
    ///
    /// # Errors
    /// As [`would_prune`](DirCache::would_prune).
    pub fn would_clean(&self) -> Result<Pruned> {
        let mut pruned = Pruned::default();
        for found in self.census(&mut pruned)? {
            self.evict(&found, Eviction::Clean, true, &mut pruned);
        }
        Ok(pruned)
    }

    pub(super) fn prune_by(&self, budget: &Budget, way: Way<'_>) -> Result<Pruned> {
        let mut pruned = Pruned::default();
        let all = self.census(&mut pruned)?;
        let now = SystemTime::now();
        pruned.limit = self.limit(budget, pruned.bytes);
        let stays = |key: &Key| budget.is_pinned(key) || way.keep == Some(key);
        let mut rest = Vec::new();
        for found in all.into_iter().filter(|found| !stays(&found.key)) {
            let reason = if self.is_unwanted(budget, &found.key) {
                Eviction::Unwanted
            } else if budget.is_too_old(times::used(&found.stat), now) {
                Eviction::Age
            } else {
                rest.push(found);
                continue;
            };
            self.evict(&found, reason, way.is_dry, &mut pruned);
        }
        let Some(limit) = pruned.limit.filter(|limit| pruned.bytes > *limit) else {
            return Ok(pruned);
        };
        // Of equally old ones the largest goes first, so that fewer do.
        rest.sort_by_key(|found| {
            (rank(times::used(&found.stat), now), Reverse(read::length(&found.stat)), found.key)
        });
        let goal = (u128::from(limit) * u128::from(way.goal) / 100) as u64;
        for found in rest {
            if pruned.bytes <= goal {
                break;
            }
            self.evict(&found, Eviction::Size, way.is_dry, &mut pruned);
        }
        Ok(pruned)
    }

    /// The most bytes that entries may take when they take `used` now.
    pub(super) fn limit(&self, budget: &Budget, used: u64) -> Option<u64> {
        budget.max_bytes?;
        // Where the file system does not tell, the owner's number has to do.
        budget.limit(used, self.disk.pass_over(self.disk.free(self.root.as_fd())))
    }

    /// All that looks like an entry from outside, which is counted in `pruned`.
    fn census(&self, pruned: &mut Pruned) -> Result<Vec<Found>> {
        let mut all = Vec::new();
        for group in self.groups()?.0 {
            let folder = match self.open_group(&group) {
                Ok(Some(folder)) => folder,
                Ok(None) => continue,
                // None of ours.
                Err(error) if error.is_corrupt() || error.is_untrusted() => continue,
                Err(error) => {
                    pruned.failures.push(error);
                    continue;
                }
            };
            let ids = match self.ids(folder.as_fd(), &group) {
                Ok((ids, _)) => ids,
                Err(error) => {
                    pruned.failures.push(error);
                    continue;
                }
            };
            for id in ids {
                let key = Key::new(group, id);
                match self.disk.stat_at(folder.as_fd(), &to_hex(&id)) {
                    Ok(stat) if self.may_be_ours(&stat) => all.push(Found { key, stat }),
                    Ok(_) => {}
                    Err(error) if is_absent(&error) => {}
                    Err(error) => {
                        let path = self.entry_path(&key);
                        pruned.failures.push(Error::io("inspect the entry", Some(&path), error));
                    }
                }
            }
        }
        pruned.entries = all.len() as u64;
        pruned.bytes = all.iter().map(|found| read::length(&found.stat)).sum();
        Ok(all)
    }

    fn may_be_ours(&self, stat: &Stat) -> bool {
        FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && self.trust.check(stat, PathBuf::new).is_ok()
    }

    fn is_unwanted(&self, budget: &Budget, key: &Key) -> bool {
        let Some(unwanted) = budget.unwanted_by() else { return false };
        let Ok(Some(folder)) = self.open_group(key.group()) else { return false };
        match self.look(folder.as_fd(), key, Depth::Trailer).map(|item| item.state) {
            Some(ItemState::Sound { description, .. }) => unwanted(&description),
            _ => false,
        }
    }

    /// Removes an entry, and notes what came of it in `pruned`.
    fn evict(&self, found: &Found, reason: Eviction, is_dry: bool, pruned: &mut Pruned) {
        let bytes = read::length(&found.stat);
        match self.try_evict(found, is_dry) {
            Ok(true) => {
                let used = times::used(&found.stat);
                pruned.evicted.push(Evicted { key: found.key, bytes, used, reason });
                pruned.entries -= 1;
                pruned.bytes -= bytes;
            }
            // Not ours, or gone: it takes nothing of the budget.
            Ok(false) => {
                pruned.entries -= 1;
                pruned.bytes -= bytes;
            }
            Err(None) => {}
            Err(Some(error)) => pruned.failures.push(error),
        }
    }

    /// `false` when there is nothing of ours under that name, `Err(None)` when it has to stay.
    fn try_evict(&self, found: &Found, is_dry: bool) -> std::result::Result<bool, Option<Error>> {
        let key = &found.key;
        let failed =
            |error| Some(Error::io("delete the entry", Some(&self.entry_path(key)), error));
        let Some(folder) = self.open_group(key.group()).map_err(Some)? else { return Ok(false) };
        match self.look(folder.as_fd(), key, Depth::Trailer).map(|item| item.state) {
            Some(ItemState::Sound { .. }) => {}
            Some(ItemState::Unreadable(error)) => return Err(Some(error)),
            _ => return Ok(false),
        }
        if is_dry {
            return Ok(true);
        }
        let name = to_hex(key.id());
        match self.disk.stat_at(folder.as_fd(), &name) {
            Ok(stat) if is_same(&stat, &found.stat) => {}
            Ok(_) => return Err(None),
            Err(error) if is_absent(&error) => return Ok(false),
            Err(error) => return Err(failed(error)),
        }
        match self.disk.remove(folder.as_fd(), &name) {
            Ok(()) => {}
            Err(error) if is_absent(&error) => return Ok(false),
            Err(error) => return Err(failed(error)),
        }
        self.remove_empty(folder.as_fd(), key.group());
        Ok(true)
    }

    /// Removes the folder of a group if that was its last entry.
    fn remove_empty(&self, folder: BorrowedFd<'_>, group: &[u8; 32]) {
        let names = self.disk.pass_over(self.disk.list(folder, 1));
        if names.is_some_and(|names| names.is_empty()) {
            let removed = self.disk.remove_dir(self.root.as_fd(), &to_hex(group));
            self.disk.pass_over_removal(removed);
        }
    }
}

/// Whether it is the same file, and was not used in between.
fn is_same(now: &Stat, then: &Stat) -> bool {
    let identity = |stat: &Stat| (stat.st_dev, stat.st_ino, read::length(stat));
    identity(now) == identity(then)
        && times::used(now) == times::used(then)
        && times::added(now) == times::added(then)
}
