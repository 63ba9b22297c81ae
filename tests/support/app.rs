//! Apps in crates of their own, outside of the workspace, built the way that users build: no
//! profile of ours, no feature of ours.

use crate::target_dir;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The engine's features in a manifest, of a build with everything.
pub const WITH_COMPILER: &str = "";
/// Of a build without the compiler.
pub const LOAD_ONLY: &str = "default-features = false, features = [\"runtime\", \"cache\"]";

/// Makes the crate of the app `name`, with `sources` (their paths in the workspace), the first of
/// which is its `main.rs`, and builds it; the path of the program.
///
/// # Panics
/// If it does not build.
pub fn build_app(name: &str, features: &str, sources: &[&str]) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    // In the target directory, so that a second run has little to build; and one directory for all
    // that have the same of the engine.
    let with = if features == WITH_COMPILER { "with-compiler" } else { "load-only" };
    let embed = target_dir().join("embed");
    let dir = embed.join(name);
    fs::create_dir_all(&dir).expect("a folder for the app");
    let features = if features.is_empty() { "" } else { &format!(", {features}") };
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
         [[bin]]\nname = \"{name}\"\npath = \"main.rs\"\n\n\
         [dependencies]\nprecompile = {{ path = \"{}\"{features} }}\n\n[workspace]\n",
        root.join("engine").display()
    );
    fs::write(dir.join("Cargo.toml"), manifest).expect("a manifest");
    // The lock file comes along: the same versions, and nothing is looked up anew.
    fs::copy(root.join("Cargo.lock"), dir.join("Cargo.lock")).expect("the lock file");
    for (i, source) in sources.iter().enumerate() {
        let source = root.join(source);
        let to = if i == 0 { "main.rs".as_ref() } else { source.file_name().expect("a file") };
        fs::copy(&source, dir.join(to)).expect("a source");
    }
    let target = embed.join(with).join("target");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--manifest-path"])
        .arg(dir.join("Cargo.toml"))
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("RUSTFLAGS")
        .status()
        .expect("cargo runs");
    assert!(status.success(), "the app does not build");
    target.join("debug").join(name)
}
