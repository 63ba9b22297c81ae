//! A file to which the owner of the keys appends lines: a list of what it asked for, say.
//!
//! Any number of processes append to one file. Each line is one write to a file that was opened for
//! appending, which no other one can get into on a local file system; a line is written once a
//! process. What is in a line is the owner's business, and who reads the file sorts it.
//!
//! Neither the file nor what is remembered of it grows without end, whatever a service is asked for:
//! at [`LIMIT`] bytes, or [`LINES`] lines of one process, the journal is full.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FileType, Mode, OFlags};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// The longest that a file gets, in bytes, but for the lines of those who write at once: `precompile
/// --from` reads longer ones.
const LIMIT: u64 = 64 << 20;
/// The most lines that a process writes.
const LINES: usize = 1 << 17;

pub(crate) struct Journal {
    file: File,
    path: PathBuf,
    /// Digests of the lines that this process has written.
    written: Mutex<HashSet<[u8; 32]>>,
}

impl Journal {
    /// Opens the file, and makes it where it is missing. What is no regular file is refused, and
    /// not waited for; so is a symbolic link, which somebody else may have put there.
    pub(crate) fn open(path: &Path) -> Result<Journal> {
        let failed = |error: io::Error| Error::io("open the record", Some(path), error);
        let flags = OFlags::WRONLY
            | OFlags::APPEND
            | OFlags::CREATE
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::NOCTTY
            | OFlags::CLOEXEC;
        // As any file that a program is told to write; the umask takes its bits away.
        let mode = Mode::from_raw_mode(0o666);
        let fd = rustix::fs::open(path, flags, mode).map_err(|errno| failed(errno.into()))?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| failed(errno.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(failed(io::Error::other("it is not a regular file")));
        }
        if u64::try_from(stat.st_size).unwrap_or(0) >= LIMIT {
            return Err(failed(io::Error::other(
                "it is full, at 64 MiB: warm from it, and empty it",
            )));
        }
        Ok(Journal { file: fd.into(), path: path.to_path_buf(), written: Mutex::default() })
    }

    /// Appends a line, which has no line feed in it, unless this process did before.
    pub(crate) fn note(&self, line: &str) -> Result<()> {
        let digest = Sha256::digest(line).into();
        let failed = |error| Err(Error::io("write the record", Some(&self.path), error));
        let bytes = format!("{line}\n");
        {
            // A panic in here leaves a set that is as good as another.
            let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            if written.contains(&digest) {
                return Ok(());
            }
            // Others write as well: it may get longer by a line of each of them.
            let length = rustix::fs::fstat(&self.file).map_or(0, |stat| stat.st_size);
            let length = u64::try_from(length).unwrap_or(0) + bytes.len() as u64;
            if written.len() >= LINES || length > LIMIT {
                return failed(io::ErrorKind::FileTooLarge.into());
            }
            written.insert(digest);
        }
        loop {
            return match (&self.file).write(bytes.as_bytes()) {
                Ok(count) if count == bytes.len() => Ok(()),
                // The rest would be a write of its own, behind somebody else's line perhaps.
                Ok(_) => failed(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => failed(error),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_appended_once_a_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record");
        for _ in 0..2 {
            let journal = Journal::open(&path).unwrap();
            for line in ["one", "two", "one"] {
                journal.note(line).unwrap();
            }
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\none\ntwo\n");
    }

    #[test]
    fn a_record_does_not_grow_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record");
        let journal = Journal::open(&path).unwrap();
        journal.note("one").unwrap();
        let length = || std::fs::metadata(&path).unwrap().len();
        let grow = |length| journal.file.set_len(length).unwrap();
        grow(LIMIT - 4);
        journal.note("two").unwrap();
        assert_eq!(length(), LIMIT);
        let told = journal.note("three").unwrap_err().to_string();
        assert!(told.contains("write the record") && length() == LIMIT, "{told}");
        journal.note("two").unwrap();
        let told = Journal::open(&path).err().unwrap().to_string();
        assert!(told.contains("it is full") && told.contains("and empty it"), "{told}");
        // Emptied by somebody, it goes on.
        grow(0);
        journal.note("three").unwrap();
        assert_eq!(length(), 6);
        // By lines, too, and what is not written is not remembered.
        for number in 0..LINES + 10 {
            assert_eq!(journal.note(&number.to_string()).is_ok(), number < LINES - 3, "{number}");
        }
        assert_eq!(journal.written.lock().unwrap().len(), LINES);
        journal.note("three").unwrap();
    }

    #[test]
    fn only_a_regular_file_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink(path("elsewhere"), path("link")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, path("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        for name in ["link", "fifo", "", "no/folder"] {
            assert!(Journal::open(&path(name)).is_err(), "{name}");
        }
        assert!(Journal::open(Path::new("/dev/null")).is_err());
        assert!(!path("elsewhere").exists());
    }

    #[test]
    fn a_full_disk_is_an_error() {
        // The one file of which every write fails, opened as it is.
        let Ok(file) = std::fs::OpenOptions::new().append(true).open("/dev/full") else { return };
        let journal = Journal { file, path: "/dev/full".into(), written: Mutex::default() };
        assert!(journal.note("one").unwrap_err().to_string().contains("/dev/full"));
    }
}
