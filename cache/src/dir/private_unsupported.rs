//! Without files that can be sealed: copies in the memory of this process.

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
    disk.before_copy()?;
    in_memory::copy(source, trailer)
}
