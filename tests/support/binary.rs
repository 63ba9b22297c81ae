//! The command line as a program.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The folder that cargo builds into: `target`, unless it was told another one.
pub fn target_dir() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it is");
    // target/PROFILE/deps/TEST
    test.ancestors().nth(3).expect("tests are in target/PROFILE/deps").into()
}

/// This test's own program, to be started once more.
///
/// With `TEST_RUNNER` in the environment by that program, an emulator: what an emulated process
/// starts is not emulated by itself.
///
/// # Panics
/// If the test does not know where its program is.
pub fn own_program() -> Command {
    let own = std::env::current_exe().expect("a test knows where it is");
    let Some(runner) = std::env::var_os("TEST_RUNNER") else { return Command::new(own) };
    let mut command = Command::new(runner);
    command.arg(own);
    command
}

/// Path of the program `precompile`, built now in case it is not up to date.
///
/// With `PRECOMPILE_BIN` in the environment that program is taken instead.
///
/// # Panics
/// If it does not build.
pub fn precompile_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("PRECOMPILE_BIN") {
            return path.into();
        }
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "precompile-cli", "--target-dir"])
            .arg(target_dir())
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the command line does not build");
        target_dir().join("debug/precompile")
    })
}

/// An empty module that is longer than `length`, by a section that decoders skip.
pub fn long_module(length: usize) -> Vec<u8> {
    let mut bytes = b"\0asm\x01\0\0\0\0".to_vec();
    let mut section = b"\x04long".to_vec();
    section.resize(length, 7);
    let mut left = section.len();
    while left >= 0x80 {
        bytes.push(0x80 | (left & 0x7f) as u8);
        left >>= 7;
    }
    bytes.push(left as u8);
    bytes.extend(section);
    bytes
}
