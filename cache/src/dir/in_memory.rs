//! Copies in the memory of this process, where there are no files that can be sealed.

use super::entry::{Source, Summary, Trailer, Unreadable};
use crate::content::Content;

/// Copies the content that `trailer` speaks of from `source`, and checks the copy against it.
pub(super) fn copy(source: &impl Source, trailer: &Trailer) -> Result<Content, Unreadable> {
    let mut bytes = Vec::new();
    trailer.each_piece(source, |piece| bytes.extend_from_slice(piece))?;
    let mut summary = Summary::default();
    summary.update(&bytes);
    if summary.finish(&[]).content_digest != trailer.content_digest {
        return Err(Unreadable::Damaged("its content does not match the content's digest"));
    }
    Ok(Content::from_bytes(bytes))
}
