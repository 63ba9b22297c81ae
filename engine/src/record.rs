//! Record mode: a list of the modules and settings that a process asked for, which
//! `precompile --from` warms.
//!
//! The layers have the file ([`LayersBuilder::record`]); here is what a line says. It is one object of
//! JSON, its members always in this order, and the same for the same module, place and settings:
//!
//! ```text
//! {"record":1,"module":"SHA-256 in hex","path":"/where/it/was.wasm","settings":"name = value\n…"}
//! ```
//!
//! `module` is the digest of the binary, also where text was read. `path` is where the bytes came
//! from, absolute; it is left out when they were in memory, or when it is no UTF-8. `settings` is the
//! text of [`Settings`], of what the engine compiles with: the first of what it asks the cache for.
//!
//! [`LayersBuilder::record`]: precompile_cache::LayersBuilder::record

use crate::Engine;
use crate::fingerprint::ModuleDigest;
use crate::settings::Settings;
use precompile_cache::to_hex;
use std::fmt::Write;
use std::path::Path;

/// Notes that `engine` asked for a module, if there is a record.
pub(crate) fn note(engine: &Engine, digest: &ModuleDigest, origin: Option<&Path>) {
    if let Some(layers) = engine.cache() {
        layers.note(|| line(digest, origin, &engine.settings()));
    }
}

fn line(digest: &ModuleDigest, origin: Option<&Path>, settings: &Settings) -> String {
    let path = origin.and_then(|path| std::path::absolute(path).ok());
    let path = path.as_deref().and_then(Path::to_str);
    let path = path.map(|path| format!(",\"path\":{}", quoted(path))).unwrap_or_default();
    let (module, settings) = (to_hex(&digest.0), quoted(&settings.to_string()));
    format!("{{\"record\":1,\"module\":\"{module}\"{path},\"settings\":{settings}}}")
}

/// A string of JSON.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            c if c.is_control() => _ = write!(quoted, "\\u{:04x}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_object_on_one_line() {
        let settings: Settings = "a = 1\nb = \"\\".parse().unwrap();
        let digest = ModuleDigest([0xab; 32]);
        let ab = "ab".repeat(32);
        assert_eq!(
            line(&digest, Some(Path::new("/x/\u{1}\"ü\n.wasm")), &settings),
            format!(
                r#"{{"record":1,"module":"{ab}","path":"/x/\u0001\"ü\n.wasm","settings":"a = 1\nb = \"\\\n"}}"#
            )
        );
        assert!(!line(&digest, None, &settings).contains("path"));
        let relative = line(&digest, Some(Path::new("x.wasm")), &settings);
        assert!(relative.contains("/x.wasm\"") && !relative.contains(":\"x.wasm"), "{relative}");
    }
}
