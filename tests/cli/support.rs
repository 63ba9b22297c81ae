//! Running the program in a world of its own.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;
use tests::precompile_binary;

/// A folder of fixtures.
pub(crate) fn fixtures(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(folder)
}

/// The module of one of the programs.
pub(crate) fn program(name: &str) -> PathBuf {
    fixtures("programs").join(name).join(format!("{name}.wasm"))
}

/// A folder for one test, in which the program's home and caches are.
pub(crate) struct World {
    folder: TempDir,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl World {
    pub(crate) fn new() -> World {
        World { folder: TempDir::new().unwrap() }
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A path in it, as an argument.
    pub(crate) fn arg(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_string()
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The program, with nothing of the tester's environment.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(precompile_binary());
        command.env_clear().env("HOME", self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs it with arguments.
    pub(crate) fn run<A: AsRef<std::ffi::OsStr>>(&self, args: &[A]) -> Ended {
        finish(self.command().args(args), b"")
    }

    /// Compiles `file` into the folder `cache`.
    pub(crate) fn warm(&self, file: &Path) {
        let ended = self.run(&["--cache-dir", &self.arg("cache"), file.to_str().unwrap()]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    /// The entries in a cache folder.
    pub(crate) fn entries(&self, cache: &str) -> Vec<PathBuf> {
        let files = tree(&self.path(cache)).into_iter().map(|(path, _)| path);
        let is_entry = |path: &PathBuf| path.file_name().is_some_and(|name| name.len() == 64);
        files.filter(|path| is_entry(path) && path.is_file()).collect()
    }
}

/// Runs a command with standard input.
pub(crate) fn finish(command: &mut Command, stdin: &[u8]) -> Ended {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let stdin = stdin.to_vec();
    // It may end without reading all of it.
    let writer = std::thread::spawn(move || _ = pipe.write_all(&stdin));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Ended {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Ended {
    /// Checks the exit code, and that the messages have these texts.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32, texts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for text in texts {
            assert!(self.stderr.contains(text), "no {text:?} in {}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }
}

/// All that is in a folder, with modes, sorted.
pub(crate) fn tree(folder: &Path) -> Vec<(PathBuf, u32)> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                folders.push(entry.path());
            }
            all.push((entry.path(), metadata.mode() & 0o7777));
        }
    }
    all.sort();
    all
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Whether the tests run as root, who may do everything.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}
