//! The list of what was warmed: modules by name and digest, and their entries.
//!
//! It says what a cache has to have, so that a build can hold a cache against it without the
//! modules, and pruning can keep it. Sorted, without paths and, for an image, without times: the
//! same modules and settings give the same bytes.

use crate::input;
use crate::report::{SCHEMA_VERSION, shown};
use precompile::Settings;
use precompile::cache::{Key, SigningKey, TrustedKeys, from_hex};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// No list that somebody wrote is longer.
const LIMIT: u64 = 256 << 20;
/// What signatures over lists are for.
const DOMAIN: &str = "manifest";

/// The document.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Manifest {
    schema_version: u32,
    pub(crate) modules: Vec<Module>,
}

/// A module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Module {
    /// Its file's path in the folder that was named, or its file's name. Another module never has
    /// the same.
    pub(crate) name: String,
    pub(crate) digest: String,
    pub(crate) bytes: u64,
    pub(crate) entries: Vec<Entry>,
}

/// An entry of a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) id: String,
    /// The parts of the key, beside the module.
    settings: BTreeMap<String, String>,
    artifact_bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    compile_ms: Option<u64>,
}

impl Entry {
    pub(crate) fn new(
        id: String,
        settings: &Settings,
        artifact_bytes: u64,
        artifact_sha256: Option<String>,
        compile_ms: Option<u64>,
    ) -> Entry {
        let settings = settings.iter().map(|(name, value)| (name.into(), value.into())).collect();
        Entry { id, settings, artifact_bytes, artifact_sha256, compile_ms }
    }

    /// What is in its key.
    pub(crate) fn settings(&self) -> Settings {
        let pairs = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Settings::from_pairs(pairs)
    }
}

impl Manifest {
    pub(crate) fn new() -> Manifest {
        Manifest { schema_version: SCHEMA_VERSION, modules: Vec::new() }
    }

    /// Takes an entry up.
    ///
    /// # Errors
    /// If another module has that name.
    pub(crate) fn add(
        &mut self,
        name: &str,
        digest: String,
        bytes: u64,
        entry: Entry,
    ) -> Result<(), String> {
        let at = match self.modules.binary_search_by(|module| module.name.as_str().cmp(name)) {
            Ok(at) if self.modules[at].digest != digest => {
                return Err(format!(
                    "two modules are named {name} in the manifest: name a folder above both, or \
                     warm them apart"
                ));
            }
            Ok(at) => at,
            Err(at) => {
                let entries = Vec::new();
                self.modules.insert(at, Module { name: name.into(), digest, bytes, entries });
                at
            }
        };
        let entries = &mut self.modules[at].entries;
        if let Err(at) = entries.binary_search_by(|known| known.id.cmp(&entry.id)) {
            entries.insert(at, entry);
        }
        Ok(())
    }

    /// Writes it, whole or not at all, and its signature.
    pub(crate) fn write(&self, path: &Path, key: Option<&SigningKey>) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("cannot write the manifest: {error}");
        let mut text = serde_json::to_string_pretty(self).map_err(|error| failed(error.into()))?;
        text.push('\n');
        // The one of another text is none of this one.
        match fs::remove_file(signature_path(path)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        put(path, text.as_bytes()).map_err(failed)?;
        key.map_or(Ok(()), |key| put_signature(path, text.as_bytes(), key).map_err(failed))
    }

    /// Signs the one in a file, if it is one.
    pub(crate) fn sign(path: &Path, key: &SigningKey) -> Result<(), String> {
        let text = load(path)?;
        parse(path, &text)?;
        let failed = |error| format!("{}: cannot write the signature: {error}", shown(path));
        put_signature(path, &text, key).map_err(failed)
    }

    /// Reads one that any version wrote whose documents mean the same; with keys, one that one of
    /// them has signed.
    pub(crate) fn read(path: &Path, trusted: Option<&TrustedKeys>) -> Result<Manifest, String> {
        let text = load(path)?;
        if let Some(trusted) = trusted {
            verify(path, &text, trusted)?;
        }
        parse(path, &text)
    }

    /// The keys of all entries.
    ///
    /// # Errors
    /// The first digest that is none.
    pub(crate) fn keys(&self) -> Result<Vec<Key>, String> {
        let digest = |text: &str| from_hex(text).ok_or_else(|| text.to_string());
        let mut keys = Vec::new();
        for module in &self.modules {
            let group = digest(&module.digest)?;
            for entry in &module.entries {
                keys.push(Key::new(group, digest(&entry.id)?));
            }
        }
        Ok(keys)
    }
}

#[derive(Deserialize)]
struct Version {
    schema_version: u32,
}

fn load(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| format!("{}: {}", shown(path), input::explain(&error));
    let mut text = Vec::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(LIMIT + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > LIMIT {
        return Err(format!("{}: it is too long to be a manifest", shown(path)));
    }
    Ok(text)
}

fn parse(path: &Path, text: &[u8]) -> Result<Manifest, String> {
    let name = shown(path);
    let version: Version = serde_json::from_slice(text)
        .map_err(|error| format!("{name}: it is no manifest: {error}"))?;
    if version.schema_version != SCHEMA_VERSION {
        return Err(format!(
            "{name}: it has schema version {}, this program reads {SCHEMA_VERSION}: write it anew",
            version.schema_version
        ));
    }
    let manifest: Manifest = serde_json::from_slice(text)
        .map_err(|error| format!("{name}: it is no manifest: {error}"))?;
    manifest.keys().map_err(|bad| format!("{name}: `{bad}` is no digest"))?;
    Ok(manifest)
}

/// Where the signature of a manifest is: a line of hexadecimal digits.
fn signature_path(path: &Path) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(".sig");
    path.into()
}

/// At once where it is a file; a pipe or device gets the bytes, and a link stays one.
fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let real = path.canonicalize();
    let path = real.as_deref().unwrap_or(path);
    if fs::metadata(path).is_ok_and(|known| !known.is_file()) {
        return fs::OpenOptions::new().write(true).open(path)?.write_all(bytes);
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.tmp", std::process::id()));
    // Never through a link that somebody has put there.
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&beside)?;
    let written = file.write_all(bytes).and_then(|()| fs::rename(&beside, path));
    written.inspect_err(|_| _ = fs::remove_file(&beside))
}

fn put_signature(path: &Path, text: &[u8], key: &SigningKey) -> io::Result<()> {
    let signature = key.sign(DOMAIN, text);
    let digits: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
    put(&signature_path(path), format!("{digits}\n").as_bytes())
}

fn verify(path: &Path, text: &[u8], trusted: &TrustedKeys) -> Result<(), String> {
    let at = signature_path(path);
    let mut digits = String::new();
    match fs::File::open(&at).and_then(|file| file.take(4096).read_to_string(&mut digits)) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        read => drop(read.map_err(|error| format!("{}: {error}", shown(&at)))?),
    }
    let digits = digits.trim_end().as_bytes();
    let byte = |pair: &[u8]| {
        std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok())
    };
    // What is no signature is refused as one.
    let signature: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    let verified = trusted.verify(DOMAIN, text, &signature.unwrap_or(vec![0]));
    verified.map(drop).map_err(|reason| {
        format!("{}: {reason}; sign it with `precompile sign --manifest`", shown(path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_adding_leaves_no_trace() {
        let settings: Settings = "target = x\ncpu = y".parse().unwrap();
        let entry = |id: u8| Entry::new(format!("{id:064}"), &settings, 1, None, None);
        let mut adds = vec![("b", 1, 1), ("a", 2, 2), ("b", 1, 0), ("a", 2, 2)];
        let text = |adds: &[(&str, u8, u8)]| {
            let mut manifest = Manifest::new();
            for (name, digest, id) in adds {
                manifest.add(name, format!("{digest:064}"), 3, entry(*id)).unwrap();
            }
            serde_json::to_string(&manifest).unwrap()
        };
        let forwards = text(&adds);
        adds.reverse();
        assert_eq!(forwards, text(&adds));
        let mut manifest: Manifest = serde_json::from_str(&forwards).unwrap();
        assert_eq!(manifest.keys().unwrap().len(), 3);
        assert!(manifest.add("a", format!("{:064}", 9), 3, entry(1)).is_err());
    }
}
