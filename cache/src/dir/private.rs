//! Copies that nobody else can change: files in memory, sealed before they are checked.

use std::fs::File;
use std::io::Write;

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
    let Some(copy) = sealed(disk, source, trailer)? else {
        return in_memory::copy(source, trailer);
    };
    trailer.verify(&(disk, &copy))?;
    Ok(Content::from_file(copy, trailer.content_length))
}

/// What `source` holds, in a file in memory that nobody can write to any more; `None` where there is
/// no such file to be had.
fn sealed(
    disk: &Disk,
    source: &impl Source,
    trailer: &Trailer,
) -> Result<Option<File>, Unreadable> {
    disk.before_copy()?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Not allowed in this sandbox, or no room for another open file.
    let Ok(fd) = rustix::fs::memfd_create("cache entry", flags) else { return Ok(None) };
    let mut copy = File::from(fd);
    let mut written = Ok(());
    trailer.each_piece(source, |piece| {
        if written.is_ok() {
            written = copy.write_all(piece);
        }
    })?;
    written?;
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
    // The kernel seals no file of which it still holds a page itself (EBUSY), and does not tell why.
    Ok(rustix::fs::fcntl_add_seals(&copy, seals).is_ok().then_some(copy))
}
