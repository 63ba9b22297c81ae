//! Every program with every case: warmed, and then run from the cache.

use crate::support::{World, finish, fixtures};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn folders(path: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(path)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    all.sort();
    all
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_string).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, target) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&path).unwrap(), target).unwrap();
        } else if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}

/// The arguments and the input of a case, which runs in a copy of its folder.
fn command(world: &World, module: &Path, case: &Path) -> (Command, Vec<u8>) {
    let mut command = world.command();
    command.args(["run", "-v", "--require-hit", "--cache-dir", &world.arg("cache")]);
    for variable in lines(&case.join("env")) {
        command.args(["--env", &variable]);
    }
    for dir in lines(&case.join("dirs")) {
        let (host, _) = dir.split_once("::").unwrap();
        fs::create_dir_all(case.join(host)).unwrap();
        command.args(["--dir", &dir]);
    }
    command.arg(module).args(lines(&case.join("args"))).current_dir(case);
    (command, fs::read(case.join("stdin")).unwrap_or_default())
}

#[test]
fn all_print_what_was_recorded() {
    let world = World::new();
    let mut count = 0;
    for folder in folders(&fixtures("programs")) {
        let name = folder.file_name().unwrap().to_str().unwrap().to_string();
        let module = folder.join(format!("{name}.wasm")).canonicalize();
        // Some have their sources only.
        let Ok(module) = module else { continue };
        world.warm(&module);
        for case in folders(&folder.join("cases")) {
            let label = format!("{name}/{}", case.file_name().unwrap().display());
            let place = world.path(&format!("cases/{label}"));
            copy(&case, &place);
            let (mut command, stdin) = command(&world, &module, &place);
            let ended = finish(&mut command, &stdin);
            let expected: i32 =
                lines(&case.join("exit")).first().map_or(0, |line| line.parse().unwrap());
            assert_eq!(ended.code, Some(expected), "{label}: {ended:#?}");
            let stdout = fs::read(case.join("stdout")).unwrap();
            assert!(ended.stdout == stdout, "{label}: {ended:#?}");
            assert!(ended.stderr.contains("compiles: 0"), "{label}: {}", ended.stderr);
            assert!(ended.stderr.contains("hit dir "), "{label}: {}", ended.stderr);
            count += 1;
        }
    }
    assert!(count > 40, "{count} cases are not all");
}
