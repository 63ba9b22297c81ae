//! What a file is that is no artifact, as far as it is one of this program's, and which command is
//! for it.

use crate::manifest;
use precompile::Settings;
use precompile::cache::{Names, from_hex};
use serde_json::Value;
use std::path::Path;

/// What the file at `path`, with these bytes, is.
pub(super) fn tell(path: &Path, bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return match is_entry(path) {
            true => cut_off("is empty"),
            false => "it is empty".to_string(),
        };
    }
    if bytes.starts_with(b"\0asm\x01\0\0\0") {
        return "this is a module, for which `precompile check` tells whether it is cached".into();
    }
    if bytes.starts_with(b"\0asm") {
        return "this is WebAssembly, but no module of version 1: a component, perhaps".into();
    }
    if bytes.starts_with(b"\x7fELF") {
        return match is_entry(path) {
            true => cut_off("was cut off"),
            false => {
                "this is an ELF file, but none that this version of precompile has made".into()
            }
        };
    }
    let text = std::str::from_utf8(bytes).ok();
    let told = text.and_then(|text| of_text(path, text));
    told.unwrap_or_else(|| match is_entry(path) {
        true => cut_off("was changed"),
        false => "this is neither an artifact nor an entry of a cache".to_string(),
    })
}

fn of_text(path: &Path, text: &str) -> Option<String> {
    let start = text.trim_start();
    let mut words = start.split_ascii_whitespace();
    // Of a secret key no more than its name is repeated.
    let mut name = || words.nth(2).unwrap_or_default().to_string();
    if start.starts_with("precompile-secret-key ") {
        return Some(format!("this is the secret key {}, for --sign-key and `sign --key`", name()));
    }
    if start.starts_with("precompile-public-key ") {
        return Some(format!("this is the public key {}, for --trusted-key", name()));
    }
    if start.starts_with("# names of cache groups") {
        return Some(match Names::parse(text.as_bytes()) {
            Ok(names) => {
                let signer = names.signer().map(|signer| format!(", signed by {signer}"));
                let scope = names.scope().map(|scope| format!(", of the scope {scope:?}"));
                format!(
                    "this is the list of names of a cache directory, {} of them{}{}, for `run \
                     --name` and Module::from_name",
                    names.len(),
                    scope.unwrap_or_default(),
                    signer.unwrap_or_default()
                )
            }
            Err(error) => error.to_string(),
        });
    }
    if let Ok(manifest) = manifest::parse(path, text.as_bytes()) {
        let count = manifest.modules.len();
        return Some(format!("this is a manifest of {count} modules, for `check --manifest`"));
    }
    let record = start.lines().next().and_then(|line| serde_json::from_str::<Value>(line).ok());
    if record.is_some_and(|line| line["record"].is_u64()) {
        return Some(
            "this is a record of what runs asked for, for --from and `check --from`".into(),
        );
    }
    if start.starts_with("(;") || start.starts_with(";;") || start.starts_with("(module") {
        return Some(
            "this is the text of a module or script: `precompile check` takes *.wat".into(),
        );
    }
    // Any text of names and values is one of settings; these name what code is for.
    let settings = text.parse::<Settings>().ok()?;
    let is_whole = ["engine", "target", "cpu"].iter().all(|name| settings.get(name).is_some());
    is_whole.then(|| "these are the settings of an engine, for --engine-settings".to_string())
}

/// Whether it is called as an entry of a cache directory is.
fn is_entry(path: &Path) -> bool {
    let is_digest =
        |path: &Path| path.file_name().and_then(|name| name.to_str()).and_then(from_hex).is_some();
    is_digest(path) && path.parent().is_some_and(is_digest)
}

fn cut_off(how: &str) -> String {
    format!("this entry of a cache {how}: delete it and it is made again")
}
