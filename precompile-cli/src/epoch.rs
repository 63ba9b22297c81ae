//! SOURCE_DATE_EPOCH: the time that the files of a reproducible build have.

use crate::plan::Usage;
use std::fs::{File, FileTimes};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

const NAME: &str = "SOURCE_DATE_EPOCH";

/// The time that the environment names, if it does.
pub(crate) fn from_env() -> Result<Option<SystemTime>, Usage> {
    let Some(text) = std::env::var_os(NAME).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let seconds = text.to_str().and_then(|text| text.parse::<u64>().ok());
    let time = seconds
        .and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
    let unknown = || Usage(format!("{NAME} is a number of seconds since 1970, not {text:?}"));
    time.map(Some).ok_or_else(unknown)
}

/// Gives `folder`, a cache directory for an image, its entries and its list of names that time.
/// What is not of a cache keeps its own.
pub(crate) fn set(folder: &Path, time: SystemTime) -> io::Result<()> {
    let is_ours = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name == "names" || name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let times = FileTimes::new().set_accessed(time).set_modified(time);
    let walk = walkdir::WalkDir::new(folder).contents_first(true).max_depth(2).into_iter();
    for entry in walk.filter_entry(|entry| entry.depth() == 0 || is_ours(entry.path())) {
        let entry = entry?;
        let kind = entry.file_type();
        if kind.is_file() || kind.is_dir() || entry.depth() == 0 {
            File::open(entry.path())?.set_times(times)?;
        }
    }
    Ok(())
}
