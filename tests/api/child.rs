//! Tests in processes of their own: for signals, limits and what ends a process.
//!
//! Such a test calls [`run`] with its own name, which starts this binary again with that test
//! alone. There, [`is_child`] tells it to do what is to be looked at from outside.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use tests::own_program;

const VARIABLE: &str = "API_TEST_CHILD";

/// Whether this process was started by the test itself.
pub(crate) fn is_child() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// Runs test `name` (with its module) as a child.
pub(crate) fn run(name: &str) -> Output {
    run_by(own_program(), name)
}

/// As [`run`], with a variable in its environment.
pub(crate) fn run_with(name: &str, (variable, value): (&str, &str)) -> Output {
    let mut command = own_program();
    command.env(variable, value);
    run_by(command, name)
}

/// As [`run`], with `limit`, a `ulimit` option and its value, set in a shell around it.
pub(crate) fn run_limited(name: &str, limit: &str) -> Output {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\"")]);
    let own = own_program();
    shell.arg(own.get_program()).args(own.get_args());
    run_by(shell, name)
}

fn run_by(mut command: Command, name: &str) -> Output {
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]);
    command.env(VARIABLE, "1").output().unwrap()
}

/// The child did what it was to do and ended as a test that passes.
#[track_caller]
pub(crate) fn passed(output: &Output) {
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && out.contains("1 passed"), "{output:?}");
}

/// The child was ended by `signal`.
#[track_caller]
pub(crate) fn died_of(output: &Output, signal: i32) {
    assert_eq!(output.status.signal(), Some(signal), "{output:?}");
}
