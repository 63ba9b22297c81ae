//! Copies in the memory of this process, where there are no files that can be sealed.

use std::fs::File;

use super::disk::Disk;
use super::entry::{Summary, Trailer, Unreadable};
use crate::content::Content;

/// Copies the content that `trailer` speaks of from `file`, and checks the copy against it.
pub(super) fn copy(disk: &Disk, file: &File, trailer: &Trailer) -> Result<Content, Unreadable> {
    let mut bytes = Vec::new();
    trailer.each_piece(disk, file, |piece| bytes.extend_from_slice(piece))?;
    let mut summary = Summary::default();
    summary.update(&bytes);
    if summary.finish(&[]).content_digest != trailer.content_digest {
        return Err(Unreadable::Damaged("its content does not match the content's digest"));
    }
    Ok(Content::from_bytes(bytes))
}
