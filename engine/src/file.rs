//! Reading files of modules, which nobody has to believe are modules.

use crate::error::{Error, ErrorKind, Result};
use std::fs::File;
use std::io::Read;

/// The longest file that is read as a module: 1 GiB, as much as the engines of browsers take.
const LIMIT: u64 = 1 << 30;

/// Refuses a file by its length, before a byte of it is read.
///
/// # Errors
/// [`Limit`](ErrorKind::Limit) if it is too long for a module.
pub(crate) fn check_len(len: u64) -> Result<()> {
    if len <= LIMIT {
        return Ok(());
    }
    let message = "the file is longer than 1 GiB, the most that a module may have: check the path";
    Err(Error::with_kind(ErrorKind::Limit, message))
}

/// All that is left of a file, or what comes out of a pipe.
///
/// # Errors
/// [`Limit`](ErrorKind::Limit) if that is too long for a module, [`Io`](ErrorKind::Io) if it cannot
/// be read, or there is no memory for it.
pub(crate) fn read(file: &File) -> Result<Vec<u8>> {
    let io = |error| Error::wrap(ErrorKind::Io, error);
    // The length is a claim: what is reserved by it is no more than the limit.
    let len = file.metadata().map_err(io)?.len();
    check_len(len)?;
    let mut bytes = Vec::new();
    let reserved = bytes.try_reserve_exact(usize::try_from(len).unwrap_or(usize::MAX));
    reserved.map_err(|_| io(std::io::ErrorKind::OutOfMemory.into()))?;
    file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(io)?;
    check_len(bytes.len() as u64)?;
    Ok(bytes)
}
