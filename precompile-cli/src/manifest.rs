//! The list of what was warmed: modules by name and digest, and their entries.
//!
//! It says what a cache has to have, so that a build can hold a cache against it without the
//! modules, and pruning can keep it. Sorted, without paths and, for an image, without times: the
//! same modules and settings give the same bytes.

use crate::report::SCHEMA_VERSION;
use precompile::Settings;
use precompile::cache::{Key, from_hex};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// No list that somebody wrote is longer.
const LIMIT: u64 = 256 << 20;

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
    artifact_sha256: Option<String>,
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

    /// Writes it, whole or not at all.
    pub(crate) fn write(&self, path: &Path) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("cannot write the manifest: {error}");
        let mut text = serde_json::to_string_pretty(self).map_err(|error| failed(error.into()))?;
        text.push('\n');
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}.tmp", std::process::id()));
        let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path));
        written.map_err(|error| {
            _ = fs::remove_file(&beside);
            failed(error)
        })
    }

    /// Reads one that any version wrote whose documents mean the same.
    pub(crate) fn read(path: &Path) -> Result<Manifest, String> {
        let name = path.display();
        let length = fs::metadata(path).map_err(|error| format!("{name}: {error}"))?.len();
        if length > LIMIT {
            return Err(format!("{name}: it is too long to be a manifest"));
        }
        let text = fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
        let version: Version = serde_json::from_str(&text)
            .map_err(|error| format!("{name}: it is no manifest: {error}"))?;
        if version.schema_version != SCHEMA_VERSION {
            return Err(format!(
                "{name}: it has schema version {}, this program reads {SCHEMA_VERSION}: write it \
                 anew",
                version.schema_version
            ));
        }
        let manifest: Manifest = serde_json::from_str(&text)
            .map_err(|error| format!("{name}: it is no manifest: {error}"))?;
        manifest.keys().map_err(|bad| format!("{name}: `{bad}` is no digest"))?;
        Ok(manifest)
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
