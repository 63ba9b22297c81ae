//! Copies that nobody else can change: files in memory, sealed before they are checked.

use std::fs::File;
use std::io::{self, Write};

use rustix::fs::{MemfdFlags, SealFlags};

use super::disk::Disk;
use super::entry::{Source, Trailer, Unreadable};
use super::in_memory;
use crate::content::Content;

/// Copies the content that `trailer` speaks of from `source`, and checks the copy against it.
pub(crate) fn copy(
    disk: &Disk,
    source: &impl Source,
    trailer: &Trailer,
) -> Result<Content, Unreadable> {
    let Some(mut copy) = create(disk)? else { return in_memory::copy(source, trailer) };
    let mut written = Ok(());
    trailer.each_piece(source, |piece| {
        if written.is_ok() {
            written = copy.write_all(piece);
        }
    })?;
    written?;
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&copy, seals).map_err(io::Error::from)?;
    trailer.verify(&(disk, &copy))?;
    Ok(Content::from_file(copy, trailer.content_length))
}

/// An empty file in memory; `None` in a sandbox that does not have them.
fn create(disk: &Disk) -> io::Result<Option<File>> {
    disk.before_copy()?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match rustix::fs::memfd_create("cache entry", flags) {
        Ok(fd) => Ok(Some(fd.into())),
        // Not allowed here, or no room for another open file.
        Err(_) => Ok(None),
    }
}
