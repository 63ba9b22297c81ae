//! Recorded runs of real programs: folders with what goes in and what must come out.
//! `fixtures/programs/record.py` documents the files of a case.

use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A recorded run.
#[derive(Debug)]
pub struct Case {
    /// The case's folder.
    pub folder: PathBuf,
    /// The module that runs.
    pub module: PathBuf,
}

/// What a case left behind that it should not have, or did not.
#[derive(Debug)]
pub struct Difference(pub String);

/// The sorted folders in `folder`; none if it does not exist.
pub fn folders(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<_> = entries
        .map(|entry| entry.expect("a folder can be listed").path())
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    found
}

impl Case {
    /// Every case of the programs in `fixtures/programs` that are built there.
    pub fn of_fixtures(root: &Path) -> Vec<Case> {
        let programs = folders(&root.join("fixtures/programs"));
        let cases = programs.iter().flat_map(|program| {
            let name = program.file_name().expect("a folder has a name").to_owned();
            let module = program.join(name).with_extension("wasm");
            let cases = folders(&program.join("cases"));
            cases.into_iter().map(move |folder| Case { folder, module: module.clone() })
        });
        cases.filter(|case| case.module.exists()).collect()
    }

    /// Every case of the programs that were fetched to `fetched`; those of programs that are not
    /// there are left out.
    pub fn of_fetched(root: &Path, fetched: &Path) -> Vec<Case> {
        let programs = folders(&root.join("tests/fetch/cases"));
        let cases = programs.iter().flat_map(|program| folders(program)).map(|folder| {
            let module = fs::read_to_string(folder.join("wasm")).expect("the case names a module");
            Case { module: fetched.join(module.trim()), folder }
        });
        cases.filter(|case| case.module.exists()).collect()
    }

    fn lines(&self, file: &str) -> Vec<String> {
        let text = fs::read_to_string(self.folder.join(file)).unwrap_or_default();
        text.lines().map(str::to_string).collect()
    }

    /// Runs the case with `precompile run OPTIONS`, in a copy of its folder; what it wrote to
    /// stderr.
    ///
    /// # Errors
    /// How its output, its exit code or its files differ from what is recorded.
    pub fn run(&self, binary: &Path, options: &[&str]) -> Result<String, Difference> {
        let copy = tempfile::tempdir().expect("a temporary directory");
        copy_tree(&self.folder, copy.path());
        let mut command = Command::new(binary);
        command.arg("run").args(options).env_clear().current_dir(copy.path());
        for line in self.lines("env") {
            command.args(["--env", &line]);
        }
        for line in self.lines("dirs") {
            let host = line.split("::").next().expect("there is a first part");
            fs::create_dir_all(copy.path().join(host)).expect("the host's folder can be made");
            command.args(["--dir", &line]);
        }
        command.arg(&self.module).args(self.lines("args"));
        let stdin = copy.path().join("stdin");
        command.stdin(match fs::File::open(stdin) {
            Ok(file) => file.into(),
            Err(_) => Stdio::null(),
        });
        let output = command.output().expect("the command line runs");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();

        let differs = |what: &str| {
            Err(Difference(format!("{}: {what} differs\n{told}", self.folder.display())))
        };
        let exit: i32 = self
            .lines("exit")
            .first()
            .map_or(0, |line| line.trim().parse().expect("the recorded exit code is a number"));
        if output.status.code() != Some(exit) {
            return differs(&format!("exit code (recorded {exit}, now {:?})", output.status));
        }
        let digests = self.lines("sha256");
        if let Ok(stdout) = fs::read(self.folder.join("stdout"))
            && stdout != output.stdout
        {
            return differs("stdout");
        }
        for line in digests {
            let (digest, path) = line.split_once("  ").expect("a digest and a path");
            let bytes = match path {
                "stdout" => output.stdout.clone(),
                path => fs::read(copy.path().join(path)).unwrap_or_default(),
            };
            let found: String =
                Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            if found != digest {
                return differs(path);
            }
        }
        Ok(told)
    }
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("the case can be listed") {
        let entry = entry.expect("the case can be listed");
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().expect("an entry has a type");
        if kind.is_dir() {
            copy_tree(&source, &target);
        } else if kind.is_symlink() {
            let link = fs::read_link(&source).expect("a link can be read");
            std::os::unix::fs::symlink(link, &target).expect("a link can be made");
        } else {
            fs::copy(&source, &target).expect("a file can be copied");
        }
    }
}
