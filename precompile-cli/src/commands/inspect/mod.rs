//! What is in an entry, in all entries of a module, or in an artifact by itself.

mod kind;

use super::{FAILED, FINE, MISS, USAGE, written};
use crate::args::{Format, Inspect, Trust};
use crate::report::{self, SCHEMA_VERSION, clean, shown, size};
use crate::{input, plan};
use precompile::cache::{Cache, Content, DirOptions, EntryInfo, Mode, Policy, to_hex};
use precompile::{ErrorKind, Inspection};
use serde_json::{Map, Value, json};
use std::io;
use std::path::Path;

/// A file, and what is in it.
struct Inspected {
    artifact: Inspection,
    entry: Option<EntryInfo>,
}

impl Inspected {
    /// Reads what there is.
    ///
    /// # Errors
    /// What the file is instead, or what is wrong with it.
    fn read(path: &Path) -> Result<Inspected, String> {
        let bytes = input::read(path)?;
        let artifact = artifact(path, &bytes)?;
        // An artifact ends where an entry goes on with its trailer.
        let entry = if bytes.len() as u64 > artifact.len {
            let read = EntryInfo::read(&input::open(path)?, path);
            Some(read.map_err(|error| error.to_string())?)
        } else {
            None
        };
        Ok(Inspected { artifact, entry })
    }

    /// Reads an entry as it was found.
    ///
    /// # Errors
    /// What is wrong with it.
    fn found(path: &Path, content: &Content) -> Result<Inspected, String> {
        let failed = |error: io::Error| input::explain(&error);
        input::limited(content.len())?;
        let bytes = content.to_vec().map_err(failed)?;
        let artifact = artifact(path, &bytes)?;
        let read = content.as_file().map(|file| EntryInfo::read(file, path)).transpose();
        Ok(Inspected { artifact, entry: read.map_err(|error| error.to_string())? })
    }

    fn is_intact(&self) -> bool {
        self.entry.as_ref().is_none_or(|entry| entry.is_intact)
    }
}

/// What is in an artifact, or else what it is that `bytes` are.
fn artifact(path: &Path, bytes: &[u8]) -> Result<Inspection, String> {
    precompile::inspect(bytes).map_err(|error| {
        let message = format!("{error:#}");
        match (error.kind(), message.starts_with("damaged artifact")) {
            (ErrorKind::Corrupt, true) => {
                message + "; it was cut off or changed: delete it and it is made again"
            }
            (ErrorKind::Corrupt, false) => format!("{message}; {}", kind::tell(path, bytes)),
            // Of another version, which is all that there is to say.
            _ => message,
        }
    })
}

/// What is said of one that is not.
const CHANGED: &str = "the content was changed since it was added; delete the entry";

pub(crate) fn inspect(args: &Inspect) -> u8 {
    if let Some(digest) = &args.digest {
        return entries(args, &digest.0);
    }
    let Some(path) = &args.entry else { return USAGE };
    let found = match Inspected::read(path) {
        Ok(found) => found,
        Err(problem) => {
            report::error(Some(path), problem);
            return FAILED;
        }
    };
    let result = match args.format {
        Format::Json => {
            let mut document = document(&found);
            document["schema_version"] = json!(SCHEMA_VERSION);
            report::json(&document)
        }
        Format::Text => report::data(&text(&found)),
    };
    if !found.is_intact() {
        report::error(Some(path), CHANGED);
        return FAILED;
    }
    written(result, FINE)
}

/// Tells of all entries of the module with that digest, in all layers that an app would ask.
fn entries(args: &Inspect, digest: &[u8; 32]) -> u8 {
    let layers = match plan::layers(&args.layers, &Trust::default()) {
        Ok(layers) => layers.mode(Mode::ReadOnly).build(),
        Err(usage) => {
            report::error(None, usage);
            return USAGE;
        }
    };
    // Nothing is used: what was changed since, and what others wrote, is looked at as well.
    let options = DirOptions::new().policy(Policy::Header).dangerously_trust(plan::promise());
    let (mut code, mut places, mut texts, mut documents) =
        (FINE, Vec::new(), Vec::new(), Vec::new());
    for layer in layers.layers() {
        let Some(path) = layer.path else { continue };
        if let Some(error) = layer.error {
            report::warning(error);
            continue;
        }
        let dir = options.open_read_only(&path);
        let listed = dir.and_then(|dir| Ok((dir.keys_of(digest)?, dir)));
        let (keys, dir) = match listed {
            Ok(listed) => listed,
            Err(error) => {
                report::error(None, error);
                code = FAILED;
                continue;
            }
        };
        for key in keys {
            let entry = dir.entry_path(&key);
            let found = match dir.get(&key) {
                Ok(Some(content)) => Inspected::found(&entry, &content),
                // It went away since it was listed.
                Ok(None) => continue,
                Err(error) => Err(error.to_string()),
            };
            let problem = match &found {
                Ok(found) if found.is_intact() => None,
                Ok(_) => Some(CHANGED.to_string()),
                Err(problem) => Some(problem.clone()),
            };
            if let Some(problem) = &problem {
                // The cache's own errors name it.
                let is_named = problem.contains(&entry.display().to_string());
                report::error((!is_named).then_some(entry.as_path()), problem);
                code = FAILED;
            }
            if let Ok(found) = &found {
                texts.push(format!(
                    "{:<14} {} {}\n{}",
                    "entry",
                    layer.id,
                    shown(&entry),
                    text(found)
                ));
            }
            let mut one = found.as_ref().map(document).unwrap_or_else(|_| json!({}));
            one["layer"] = json!(layer.id.to_string());
            one["path"] = json!(entry.display().to_string());
            one["problem"] = json!(problem);
            documents.push(one);
        }
        places.push(shown(&path));
    }
    let digest = to_hex(digest);
    if documents.is_empty() && code == FINE {
        let places = if places.is_empty() { "no directory".into() } else { places.join(", ") };
        report::error(
            None,
            format_args!(
                "no entry of {digest} in {places}; it is the SHA-256 of a module's bytes, as \
                 `precompile cache ls --format json` has it"
            ),
        );
        code = MISS;
    }
    let result = match args.format {
        Format::Text => report::data(&texts.join("\n")),
        Format::Json => report::json(&json!({
            "schema_version": SCHEMA_VERSION,
            "command": "inspect",
            "digest": digest,
            "entries": documents,
        })),
    };
    written(result, code)
}

fn document(Inspected { artifact, entry }: &Inspected) -> Value {
    let settings: Map<String, Value> =
        artifact.settings.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let sections = artifact
        .sections
        .iter()
        .map(|(name, offset, bytes)| json!({ "name": name, "offset": offset, "bytes": bytes }));
    let imports = artifact
        .imports
        .iter()
        .map(|(module, name, ty)| json!({ "module": module, "name": name, "type": ty }));
    let exports = artifact.exports.iter().map(|(name, ty)| json!({ "name": name, "type": ty }));
    json!({
        "entry": entry.as_ref().map(|entry| json!({
            "group": to_hex(entry.key.group()),
            "id": to_hex(entry.key.id()),
            "content_sha256": to_hex(&entry.content_digest),
            "intact": entry.is_intact,
            "signer": entry.signer(),
        })),
        "module": to_hex(&artifact.module),
        "settings": settings,
        "cpu_features": artifact.cpu_features.names().collect::<Vec<_>>(),
        "artifact_bytes": artifact.len,
        "functions": artifact.functions,
        "start": artifact.start,
        "sections": sections.collect::<Vec<_>>(),
        "imports": imports.collect::<Vec<_>>(),
        "exports": exports.collect::<Vec<_>>(),
    })
}

fn text(Inspected { artifact, entry }: &Inspected) -> String {
    let mut lines = Vec::new();
    let mut field = |name: &str, value: String| lines.push(format!("{name:<14} {value}"));
    if let Some(entry) = entry {
        field("key", entry.key.to_string());
        field("content", format!("SHA-256 {}", to_hex(&entry.content_digest)));
        field("intact", if entry.is_intact { "yes" } else { "no" }.to_string());
        if let Some(signer) = entry.signer() {
            field("signed by", format!("{signer}, says the entry; not checked here"));
        }
    }
    field("module", format!("SHA-256 {}", to_hex(&artifact.module)));
    field("artifact", size(artifact.len));
    field("functions", artifact.functions.to_string());
    field("processor", artifact.cpu_features.to_string());
    if let Some(start) = artifact.start {
        field("start", format!("function {start}"));
    }
    lines.push("settings:".to_string());
    lines.extend(artifact.settings.iter().map(|(name, value)| format!("  {name} = {value}")));
    lines.push("sections:".to_string());
    for (name, offset, bytes) in &artifact.sections {
        lines.push(format!("  {name:<14} at {offset:#9x} {bytes:>10} bytes"));
    }
    if !artifact.imports.is_empty() {
        lines.push("imports:".to_string());
    }
    for (module, name, ty) in &artifact.imports {
        lines.push(format!("  {}::{}: {ty}", report::name(module), report::name(name)));
    }
    if !artifact.exports.is_empty() {
        lines.push("exports:".to_string());
    }
    let exports = artifact.exports.iter();
    lines.extend(exports.map(|(name, ty)| format!("  {}: {ty}", report::name(name))));
    lines.push(String::new());
    clean(&lines.join("\n")).into_owned()
}
