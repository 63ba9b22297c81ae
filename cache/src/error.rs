//! The one error of the crate: a word wide, cheap to clone, and always with a next step.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What went wrong in a cache.
///
/// One word wide. It is shared rather than owned, because one failure is shown in several places:
/// a directory that could not be opened is a problem of the [`Layers`](crate::Layers) that wanted
/// it and a line in the trace of each lookup.
#[derive(Clone)]
pub struct Error(Arc<ErrorKind>);

/// The result of an operation on a cache.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kinds of [`Error`], with what is known about each.
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An entry is not what was added: cut, flipped, replaced by something else, or under a name
    /// that is not its own. It may be deleted and made again.
    Corrupt {
        /// The entry, when it has a path.
        path: Option<PathBuf>,
        /// What does not hold.
        what: &'static str,
    },
    /// Somebody other than root and the effective user could have written here, or a signature that
    /// was asked for is missing or wrong.
    Untrusted {
        /// The component that breaks the rule: an ancestor, the directory, or an entry in it.
        path: PathBuf,
        /// How it breaks the rule.
        reason: Distrust,
    },
    /// A file is where a cache directory, or an ancestor of one, should be.
    NotADirectory {
        /// The component that is not a directory.
        path: PathBuf,
    },
    /// A directory that was to be read does not exist.
    Missing {
        /// The directory as it was asked for.
        path: PathBuf,
    },
    /// A write was asked of a cache that was opened for reading.
    ReadOnly {
        /// The directory.
        path: PathBuf,
    },
    /// The description is longer than an entry can hold.
    DescriptionTooLong {
        /// Its length in bytes.
        length: usize,
        /// The longest that an entry holds, in bytes.
        limit: usize,
    },
    /// A text is not a key, a mode or another value of this crate.
    Parse {
        /// What was expected.
        expected: &'static str,
        /// What was found.
        found: String,
    },
    /// A text is not the key that it should be.
    Key {
        /// The file that it was read from.
        path: Option<PathBuf>,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A text is no list of names of this version, or a damaged one.
    Names {
        /// The file that it was read from.
        path: Option<PathBuf>,
        /// The first line that is wrong, if it is one.
        line: Option<usize>,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Something cannot be a name in a list.
    Name {
        /// What it is.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// No home folder is known, so there is no default directory to write to.
    NoHome,
    /// The process has rights that whoever started it lacks, so its environment may restrict and no
    /// more.
    Privileged,
    /// Whether the process has such rights cannot be learned, so its environment may restrict and no
    /// more.
    UnknownRights {
        /// What would tell.
        path: PathBuf,
        /// Why it does not.
        source: io::Error,
    },
    /// The operating system refused an operation.
    Io {
        /// What was tried, as a verb and its object: "open the entry".
        operation: &'static str,
        /// What it was tried on.
        path: Option<PathBuf>,
        /// The reason of the operating system.
        source: io::Error,
    },
}

/// How a path breaks the trust rule, or a signature does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Distrust {
    /// It is owned by neither root nor the effective user.
    Owner {
        /// The owner's numeric id.
        uid: u32,
    },
    /// Group or world may write to it (an access list that grants a write shows as a group write).
    Writable {
        /// The permission bits, such as `0o777`.
        mode: u32,
    },
    /// A signature is asked for, and there is none.
    Unsigned,
    /// The signature is of a kind that is not known here.
    UnknownSignature,
    /// The signature is of a key that is not trusted.
    UnknownKey {
        /// What the key is called by whoever signed.
        name: String,
    },
    /// The signature does not belong to this.
    BadSignature {
        /// The name of the key that it should be of.
        name: String,
    },
    /// The signature holds, and the content is not what was signed.
    Tampered {
        /// The name of the key that signed.
        name: String,
    },
    /// It is a list of names for something else than what is asked for.
    Scope {
        /// What it is for; `None` when it does not say.
        found: Option<String>,
        /// What is asked for; `None` for a list that does not say.
        wanted: Option<String>,
    },
}

impl Error {
    /// What kind of failure this is, with its details.
    pub fn kind(&self) -> &ErrorKind {
        &self.0
    }

    /// The path that the failure is about, if there is one: the entry, the directory, or the
    /// component of the path that broke the trust rule.
    pub fn path(&self) -> Option<&Path> {
        match &*self.0 {
            ErrorKind::Corrupt { path, .. }
            | ErrorKind::Key { path, .. }
            | ErrorKind::Names { path, .. }
            | ErrorKind::Io { path, .. } => path.as_deref(),
            ErrorKind::Untrusted { path, .. }
            | ErrorKind::NotADirectory { path }
            | ErrorKind::Missing { path }
            | ErrorKind::ReadOnly { path }
            | ErrorKind::UnknownRights { path, .. } => Some(path),
            ErrorKind::DescriptionTooLong { .. }
            | ErrorKind::Parse { .. }
            | ErrorKind::Name { .. }
            | ErrorKind::NoHome
            | ErrorKind::Privileged => None,
        }
    }

    /// Whether an entry is damaged: then it may be deleted and made again.
    pub fn is_corrupt(&self) -> bool {
        matches!(&*self.0, ErrorKind::Corrupt { .. })
    }

    /// Whether the trust rule was broken, or a signature did not hold.
    pub fn is_untrusted(&self) -> bool {
        matches!(&*self.0, ErrorKind::Untrusted { .. })
    }

    /// Whether a directory that was to be read does not exist.
    pub fn is_missing(&self) -> bool {
        matches!(&*self.0, ErrorKind::Missing { .. })
    }

    /// An entry that is not what was added, for implementations of [`Cache`](crate::Cache).
    /// `path` is the entry for messages, `what` says what does not hold.
    pub fn corrupt(path: Option<&Path>, what: &'static str) -> Error {
        ErrorKind::Corrupt { path: path.map(Path::to_path_buf), what }.into()
    }

    /// A refusal of the operating system, for implementations of [`Cache`](crate::Cache).
    /// `operation` is a verb and its object, such as "read the entry".
    pub fn io(operation: &'static str, path: Option<&Path>, source: io::Error) -> Error {
        ErrorKind::Io { operation, path: path.map(Path::to_path_buf), source }.into()
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Error {
        Error(Arc::new(kind))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            ErrorKind::Corrupt { path, what } => {
                f.write_str("damaged cache entry")?;
                if let Some(path) = path {
                    write!(f, " {}", path.display())?;
                }
                write!(f, ": {what}; delete it and it is made again")
            }
            ErrorKind::Untrusted { path, reason } => write!(
                f,
                "untrusted cache path {}: {reason}; {}",
                path.display(),
                reason.next_step()
            ),
            ErrorKind::NotADirectory { path } => write!(
                f,
                "{} is not a directory; move it away or choose another cache directory",
                path.display()
            ),
            ErrorKind::Missing { path } => write!(
                f,
                "cache directory {} does not exist; create it or leave it out",
                path.display()
            ),
            ErrorKind::ReadOnly { path } => write!(
                f,
                "cache directory {} was opened for reading; open it for writing to change it",
                path.display()
            ),
            ErrorKind::DescriptionTooLong { length, limit } => {
                write!(f, "the description has {length} bytes, an entry holds {limit}; shorten it")
            }
            ErrorKind::Parse { expected, found } => {
                write!(f, "expected {expected}, found {found:?}")
            }
            ErrorKind::Key { path, what } => {
                f.write_str("no key")?;
                if let Some(path) = path {
                    write!(f, " in {}", path.display())?;
                }
                write!(f, ": {what}; make one with `precompile keygen`")
            }
            ErrorKind::Names { path, line, what } => {
                f.write_str("no list of names")?;
                if let Some(path) = path {
                    write!(f, " in {}", path.display())?;
                }
                if let Some(line) = line {
                    write!(f, ", line {line}")?;
                }
                write!(f, ": {what}; delete it and warm the cache with names again")
            }
            ErrorKind::Name { name, what } => {
                write!(f, "{name:.100?} cannot be a name: {what}; rename it")
            }
            ErrorKind::NoHome => f.write_str(
                "no home folder is known, so nothing is cached; set HOME, XDG_CACHE_HOME or \
                 PRECOMPILE_CACHE_DIR",
            ),
            ErrorKind::Privileged => f.write_str(
                "this process has rights that whoever started it lacks (set-user-ID or file \
                 capabilities), so its environment only restricts; name directories explicitly",
            ),
            ErrorKind::UnknownRights { path, source } => write!(
                f,
                "could not learn from {} whose rights this process has: {source}; until it can be \
                 read the environment only restricts: mount /proc, or name directories explicitly",
                path.display()
            ),
            ErrorKind::Io { operation, path, source } => {
                write!(f, "could not {operation}")?;
                if let Some(path) = path {
                    write!(f, " {}", path.display())?;
                }
                write!(f, ": {source}")?;
                f.write_str(next_step(source.kind()))
            }
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &*self.0 {
            ErrorKind::Io { source, .. } | ErrorKind::UnknownRights { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Distrust::Owner { uid } => {
                write!(f, "it is owned by user {uid}, neither root nor the current user")
            }
            Distrust::Writable { mode } => {
                write!(f, "its mode {mode:04o} lets group or others write to it")
            }
            Distrust::Unsigned => f.write_str("it is not signed"),
            Distrust::UnknownSignature => f.write_str("its signature is of an unknown kind"),
            Distrust::UnknownKey { name } => {
                write!(f, "it is signed by {name}, which is no trusted key")
            }
            Distrust::BadSignature { name } => {
                write!(f, "its signature by {name} does not hold")
            }
            Distrust::Tampered { name } => {
                write!(f, "its content is not what {name} signed")
            }
            Distrust::Scope { found, wanted } => {
                let told = |f: &mut fmt::Formatter<'_>, scope: &Option<String>| match scope {
                    Some(scope) => write!(f, "the scope {scope:?}"),
                    None => f.write_str("no scope"),
                };
                f.write_str("it is a list for ")?;
                told(f, found)?;
                f.write_str(", and one for ")?;
                told(f, wanted)?;
                f.write_str(" is asked for")
            }
        }
    }
}

impl Distrust {
    fn next_step(&self) -> &'static str {
        match self {
            Distrust::Owner { .. } | Distrust::Writable { .. } => {
                "choose a directory that only you or root can write to, repair its owner and mode, \
                 or trust the cache directory explicitly: --trust-dir on the command line, \
                 dangerously_trust_dir in code"
            }
            Distrust::Unsigned | Distrust::UnknownSignature | Distrust::UnknownKey { .. } => {
                "sign it with a trusted key, or trust the key that signed it"
            }
            Distrust::BadSignature { .. } | Distrust::Tampered { .. } => {
                "replace it by what was signed, and find out who changed it"
            }
            Distrust::Scope { .. } => {
                "write or sign it with that scope (--scope on the command line), or find out who put \
                 it there"
            }
        }
    }
}

fn next_step(kind: io::ErrorKind) -> &'static str {
    use io::ErrorKind as K;
    match kind {
        K::StorageFull | K::QuotaExceeded => "; free some space or choose another cache directory",
        K::ReadOnlyFilesystem => "; choose a writable cache directory or the mode read-only",
        K::PermissionDenied => "; choose a cache directory of your own or the mode read-only",
        _ => "; nothing was changed, it may be tried again",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_word() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }

    #[test]
    fn messages_are_lower_case_and_have_a_next_step() {
        let path = || PathBuf::from("/a/b");
        let kinds = [
            ErrorKind::Corrupt { path: Some(path()), what: "it is cut" },
            ErrorKind::Untrusted { path: path(), reason: Distrust::Writable { mode: 0o777 } },
            ErrorKind::NotADirectory { path: path() },
            ErrorKind::Missing { path: path() },
            ErrorKind::ReadOnly { path: path() },
            ErrorKind::Io {
                operation: "write the entry",
                path: Some(path()),
                source: io::ErrorKind::StorageFull.into(),
            },
            ErrorKind::UnknownRights { path: path(), source: io::ErrorKind::NotFound.into() },
        ];
        for kind in kinds {
            let error = Error::from(kind);
            let text = error.to_string();
            assert!(text.contains("/a/b") && text.contains("; "), "{text}");
            assert!(!text.starts_with(char::is_uppercase), "{text}");
            assert_eq!(error.path(), Some(Path::new("/a/b")));
        }
    }
}
