//! What was found out about a file, remembered until the file changes or the machine is started
//! again.
//!
//! | file | what is there |
//! | --- | --- |
//! | here | the table: a file of records that processes of one user share |
//! | `record` | the format of a record |
//! | `identity` | what tells a file from every other one, and from itself after a change |
//!
//! A memo saves work and nothing else: whatever is wrong with it, the answer is "not known", and the
//! work is done. It is kept in a user's own directory under the trust rule, in a file of the user's
//! own, since whoever writes memos decides what is not checked again.
//!
//! The table is `WAYS` records in each of `BUCKETS` buckets, at fixed places of a sparse file, so it
//! never grows beyond 640 KiB. A bucket is chosen by device and inode: a file's new memo replaces its
//! old one. Records are written in place by single writes, and each has a digest over itself, so two
//! writers, a torn write or a damaged file make records unknown, and never wrong.
//!
//! What a memo cannot see is a write through a shared writable mapping that was made before the memo:
//! such writes move no time stamp until the page is written back. Whoever has one open on an entry is
//! trusted with it; on other files it means that the file as it was goes on to be used.

mod identity;
mod record;

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::fs::{FileType, Mode, Stat};
use sha2::{Digest, Sha256};

use crate::dir::disk::Disk;
use crate::stats::Counter;
pub(crate) use identity::FileIdentity;
use record::{RECORD, Record};

const WAYS: usize = 4;
const BUCKETS: u64 = 1024;
const BUCKET: usize = WAYS * RECORD;

/// What a memo is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An entry whose content was checked, with the digest of its trailer.
    Entry = 1,
    /// Any file, with the SHA-256 of what is in it.
    File = 2,
}

/// The memos of a user in a directory.
#[derive(Debug)]
pub(crate) struct Memo {
    disk: Disk,
    folder: OwnedFd,
    name: String,
    user: u32,
    frozen: AtomicBool,
    file: OnceLock<File>,
    failures: Counter,
}

impl Memo {
    /// The memos in `folder`, which only this user and root can write to. Nothing is opened yet.
    pub(crate) fn new(disk: Disk, folder: OwnedFd) -> Memo {
        let user = rustix::process::geteuid().as_raw();
        Memo {
            disk,
            folder,
            name: name(user),
            user,
            frozen: AtomicBool::new(false),
            file: OnceLock::new(),
            failures: Counter::default(),
        }
    }

    /// Writes no memos from now on.
    pub(crate) fn freeze(&self) {
        self.frozen.store(true, Ordering::Relaxed);
    }

    /// What tells `file` from others; `None` where that cannot be told.
    pub(crate) fn identify(&self, file: &File) -> Option<FileIdentity> {
        self.disk.identify(file).unwrap_or_else(|_| {
            self.failures.one();
            None
        })
    }

    /// What was noted about the file, if it was, and still holds.
    pub(crate) fn recall(&self, kind: Kind, identity: &FileIdentity) -> Option<[u8; 32]> {
        let file = self.open(false)?;
        let bucket = self.read(file, place(kind, identity))?;
        let mut records = bucket.chunks_exact(RECORD).filter_map(Record::parse);
        records.find(|record| record.holds(kind, identity)).map(|record| record.value)
    }

    /// Notes `value` about the file whose identity was taken before it was read. Nothing is noted
    /// about a file that was changed so shortly before that another change might not show.
    pub(crate) fn note(&self, kind: Kind, identity: &FileIdentity, value: [u8; 32]) {
        if self.frozen.load(Ordering::Relaxed) || !identity.is_settled() {
            return;
        }
        let Some(file) = self.open(true) else { return };
        let place = place(kind, identity);
        let Some(bucket) = self.read(file, place) else { return };
        let rank = |bytes: &[u8]| match Record::parse(bytes) {
            Some(record) if record.is_same_file(kind, identity) => 0,
            Some(record) if record.is_of_this_boot(identity) => 2 + record.noted.max(0),
            _ => 1,
        };
        let ways = bucket.chunks_exact(RECORD).enumerate();
        let way = ways.min_by_key(|(_, bytes)| rank(bytes)).map_or(0, |(way, _)| way);
        let bytes = Record::new(kind, identity, value).to_bytes();
        if self.disk.write_at(file, &bytes, place + (way * RECORD) as u64).is_err() {
            self.failures.one();
        }
    }

    /// Reads and writes that failed.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.get()
    }

    fn read(&self, file: &File, place: u64) -> Option<[u8; BUCKET]> {
        // What is behind the end of the file is zero, which is no record.
        let mut bucket = [0; BUCKET];
        match self.disk.read_at(file, &mut bucket, place) {
            Ok(_) => Some(bucket),
            Err(_) => {
                self.failures.one();
                None
            }
        }
    }

    fn open(&self, create: bool) -> Option<&File> {
        if let Some(file) = self.file.get() {
            return Some(file);
        }
        let frozen = self.frozen.load(Ordering::Relaxed);
        let opened = match (frozen, create) {
            (true, _) => self.disk.open(self.folder.as_fd(), &self.name),
            (false, false) => self.disk.open_to_change(self.folder.as_fd(), &self.name),
            (false, true) => self.disk.open_lock(self.folder.as_fd(), &self.name),
        };
        let checked = opened.and_then(|file| Ok((self.disk.stat(file.as_fd())?, file)));
        match checked {
            Ok((stat, file)) if self.is_ours(&stat) => {
                _ = self.file.set(file);
                self.file.get()
            }
            Ok(_) => None,
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    self.failures.one();
                }
                None
            }
        }
    }

    fn is_ours(&self, stat: &Stat) -> bool {
        let mode = Mode::from_raw_mode(stat.st_mode);
        FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && stat.st_uid == self.user
            && !mode.intersects(Mode::WGRP | Mode::WOTH)
    }
}

/// What the file of a user's memos is called.
pub(crate) fn name(user: u32) -> String {
    format!("{}{user}", crate::dir::MEMO)
}

/// Where the bucket is.
fn place(kind: Kind, identity: &FileIdentity) -> u64 {
    let hash = Sha256::new()
        .chain_update([kind as u8])
        .chain_update(identity.device.to_le_bytes())
        .chain_update(identity.inode.to_le_bytes())
        .finalize();
    let number = u64::from(u16::from_le_bytes([hash[0], hash[1]])) % BUCKETS;
    number * BUCKET as u64
}

/// A file that may be known already, for callers that want its SHA-256. Made by
/// [`Layers::file_memo`](crate::Layers::file_memo).
#[derive(Debug)]
pub struct FileMemo {
    memo: Option<(Arc<Memo>, FileIdentity)>,
}

impl FileMemo {
    pub(crate) fn new(memo: Option<Arc<Memo>>, file: &File) -> FileMemo {
        let memo = memo.and_then(|memo| memo.identify(file).map(|identity| (memo, identity)));
        FileMemo { memo }
    }

    /// The digest that was noted for the file as it is now; `None` if there is none.
    pub fn digest(&self) -> Option<[u8; 32]> {
        let (memo, identity) = self.memo.as_ref()?;
        memo.recall(Kind::File, identity)
    }

    /// Notes the digest of what was read from the file after this value was made. Never fails; it
    /// may be forgotten at any time.
    pub fn note(&self, digest: [u8; 32]) {
        if let Some((memo, identity)) = &self.memo {
            memo.note(Kind::File, identity, digest);
        }
    }
}

#[cfg(test)]
mod tests;
