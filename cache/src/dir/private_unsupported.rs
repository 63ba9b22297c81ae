//! Without files that can be sealed: copies in the memory of this process.

use std::fs::File;

use super::disk::Disk;
use super::entry::{Trailer, Unreadable};
use super::in_memory;
use crate::content::Content;

/// Copies the content that `trailer` speaks of from `file`, and checks the copy against it.
pub(super) fn copy(disk: &Disk, file: &File, trailer: &Trailer) -> Result<Content, Unreadable> {
    disk.before_copy()?;
    in_memory::copy(disk, file, trailer)
}
