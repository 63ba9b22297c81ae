//! Which files are meant, and what is in them.

use crate::commands::modules;
use crate::report;
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// The longest file that is read: 1 GiB, as much as the web's engines take. Longer ones are refused
/// before a byte of them is read.
const LIMIT: u64 = 1 << 30;

/// Something that was to be compiled, or why it cannot.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) path: PathBuf,
    /// What lists call it: its path in the folder that was named, or its file's name.
    pub(crate) name: String,
    /// Whether that is its name byte for byte, which one that is not UTF-8 cannot be.
    pub(crate) is_exact: bool,
    pub(crate) problem: Option<String>,
    /// The digest that its module must have, if one was asked for.
    pub(crate) digest: Option<[u8; 32]>,
}

impl Input {
    pub(crate) fn file(path: impl Into<PathBuf>) -> Input {
        let path = path.into();
        let name = path.file_name().unwrap_or(path.as_os_str());
        let (is_exact, name) = (name.to_str().is_some(), name.to_string_lossy().into_owned());
        Input { path, name, is_exact, problem: None, digest: None }
    }

    pub(crate) fn failed(path: impl Into<PathBuf>, problem: impl Into<String>) -> Input {
        Input { problem: Some(problem.into()), ..Input::file(path) }
    }

    fn within(path: &Path, folder: &Path) -> Input {
        let name = path.strip_prefix(folder).unwrap_or(path);
        let (is_exact, name) = (name.to_str().is_some(), name.to_string_lossy().into_owned());
        Input { name, is_exact, ..Input::file(path) }
    }

    /// What is in it.
    pub(crate) fn read(&self) -> Result<Vec<u8>, String> {
        if let Some(problem) = &self.problem {
            return Err(problem.clone());
        }
        let bytes = read(&self.path)?;
        refuse_compiled(&bytes)?;
        match self.digest {
            Some(digest) if modules::digest(&bytes)? != digest => {
                Err("it was changed while it was looked at; try again".to_string())
            }
            _ => Ok(bytes),
        }
    }
}

/// All modules that `paths` stand for, in order: those of a folder sorted by name. The same file by the
/// same name is one, however often it is named.
pub(crate) fn expand(paths: &[PathBuf]) -> Vec<Input> {
    let mut known = HashSet::new();
    let mut all = expand_to(paths, &["wasm", "wat"]);
    all.retain(|input| match input.path.canonicalize() {
        Ok(real) if !is_stdin(&input.path) => known.insert((real, input.name.clone())),
        _ => true,
    });
    all
}

/// The same for scripts of tests.
pub(crate) fn expand_scripts(paths: &[PathBuf]) -> Vec<Input> {
    expand_to(paths, &["wast"])
}

fn expand_to(paths: &[PathBuf], extensions: &[&str]) -> Vec<Input> {
    let mut all = Vec::new();
    for path in paths {
        if !is_stdin(path) && path.is_dir() {
            walk(path, extensions, &mut all);
        } else {
            all.push(Input::file(path));
        }
    }
    all
}

fn walk(folder: &Path, extensions: &[&str], all: &mut Vec<Input>) {
    let before = all.len();
    for entry in WalkDir::new(folder).sort_by_file_name() {
        match entry {
            Ok(entry) => {
                let path = entry.path();
                let end = path.extension();
                let is_meant = end.is_some_and(|end| {
                    extensions.iter().any(|known| end.eq_ignore_ascii_case(known))
                });
                // A link counts by what it leads to; a folder behind one is not entered, since
                // that may have no end.
                if is_meant && !path.is_dir() {
                    all.push(Input::within(path, folder));
                }
            }
            Err(error) => {
                let path = error.path().unwrap_or(folder).to_path_buf();
                let why = error.io_error().map_or("it cannot be listed".into(), explain);
                all.push(Input::failed(path, why));
            }
        }
    }
    if all.len() == before {
        let kinds = extensions.iter().map(|end| format!("*.{end}")).collect::<Vec<_>>();
        let message = format!("no {} in this folder; name the files", kinds.join(" or "));
        all.push(Input::failed(folder, message));
    }
}

/// Whether standard input is meant.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// A file's contents, or standard input's.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, String> {
    if is_stdin(path) {
        return read_limited(io::stdin().lock(), 0);
    }
    let file = open(path)?;
    let len = file.metadata().map_err(|error| explain(&error))?.len();
    read_limited(file, usize::try_from(len).unwrap_or(usize::MAX))
}

/// Refuses what is compiled already.
pub(crate) fn refuse_compiled(bytes: &[u8]) -> Result<(), String> {
    if !bytes.starts_with(b"\x7fELF") {
        return Ok(());
    }
    match precompile::inspect(bytes) {
        // The decoder says what it expected instead.
        Err(error) if error.kind() == precompile::ErrorKind::Corrupt => Ok(()),
        // Of this version, or of another.
        _ => Err("it is compiled already, an artifact or an entry of a cache: see `precompile \
                  inspect FILE`, and name the module that it was made from"
            .to_string()),
    }
}

/// The same of a file that is to be opened by its name, if it can be looked at.
pub(crate) fn refuse_compiled_file(mut file: File) -> Result<(), String> {
    let mut magic = [0; 4];
    if file.read_exact(&mut magic).is_err() || magic != *b"\x7fELF" {
        return Ok(());
    }
    let mut bytes = magic.to_vec();
    file.read_to_end(&mut bytes).map_err(|error| explain(&error))?;
    refuse_compiled(&bytes)
}

/// Opens a regular file that may be a module by its length. Whatever else has the name is refused, and never waited for.
pub(crate) fn open(path: &Path) -> Result<File, String> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        libc::O_NONBLOCK | libc::O_NOCTTY,
    );
    let file = options.open(path).map_err(|error| explain(&error))?;
    let metadata = file.metadata().map_err(|error| explain(&error))?;
    if metadata.is_dir() {
        return Err("it is a folder, a file is needed".to_string());
    }
    if !metadata.is_file() {
        return Err("it is not a regular file; pass a module through a pipe as -".to_string());
    }
    if metadata.len() > LIMIT {
        return Err(too_long());
    }
    Ok(file)
}

fn read_limited(reader: impl Read, len: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| "there is no memory to read it".to_string())?;
    reader.take(LIMIT + 1).read_to_end(&mut bytes).map_err(|error| explain(&error))?;
    if bytes.len() as u64 > LIMIT { Err(too_long()) } else { Ok(bytes) }
}

/// Whether so many bytes are more than a module may have, and what to say of it.
pub(crate) fn limited(len: u64) -> Result<(), String> {
    if len > LIMIT { Err(too_long()) } else { Ok(()) }
}

fn too_long() -> String {
    "it is longer than 1 GiB, the most that a module may have".to_string()
}

/// Whether `path` is the name of a command, and there is no file of that name.
pub(crate) fn is_command(path: &Path) -> bool {
    use clap::CommandFactory;
    let commands = crate::args::Cli::command();
    let is_known = |name: &str| name == "help" || commands.find_subcommand(name).is_some();
    path.to_str().is_some_and(is_known) && !path.exists()
}

/// What to say if `path` is neither a file nor a command, and is called nearly like one.
pub(crate) fn mistyped(path: &Path) -> Option<String> {
    let meant = meant_command(path)?;
    let typed = report::shown(path);
    Some(format!("no file or command `{typed}`; did you mean `{meant}`?"))
}

fn meant_command(path: &Path) -> Option<String> {
    use clap::CommandFactory;
    let is_word = |name: &&str| !name.starts_with('-') && !name.contains(['/', '.']);
    let name = path.to_str().filter(is_word)?;
    if path.exists() || is_command(path) {
        return None;
    }
    let commands = crate::args::Cli::command();
    let mut below = commands.get_subcommands().filter(|command| command.get_name() == "cache");
    if below.next().is_some_and(|cache| cache.find_subcommand(name).is_some()) {
        return Some(format!("cache {name}"));
    }
    let near = commands
        .get_subcommands()
        .map(|command| (strsim::jaro(name, command.get_name()), command.get_name()));
    let (likeness, nearest) = near.max_by(|one, other| one.0.total_cmp(&other.0))?;
    (likeness > 0.8).then(|| nearest.to_string())
}

/// An error of the operating system, with what to do about it.
pub(crate) fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or folder; check the path".to_string(),
        io::ErrorKind::PermissionDenied => {
            "permission denied; make it readable for this user".to_string()
        }
        _ => format!("cannot be read: {error}"),
    }
}
