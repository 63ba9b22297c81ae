//! What is in an entry, or in an artifact by itself.

use super::{FAILED, FINE, written};
use crate::args::{Format, Inspect};
use crate::input;
use crate::report::{self, SCHEMA_VERSION, clean, size};
use precompile::Inspection;
use precompile::cache::{EntryInfo, to_hex};
use serde_json::{Map, Value, json};

pub(crate) fn inspect(args: &Inspect) -> u8 {
    let path = &args.entry;
    let fail = |message: String| {
        report::error(Some(path), message);
        FAILED
    };
    let bytes = match input::read(path) {
        Ok(bytes) => bytes,
        Err(problem) => return fail(problem),
    };
    let artifact = match precompile::inspect(&bytes) {
        Ok(artifact) => artifact,
        Err(error) => {
            let hint = if bytes.starts_with(b"\0asm") {
                "; this is a module, for which `precompile check` tells whether it is cached"
            } else {
                ""
            };
            return fail(format!("{error:#}{hint}"));
        }
    };
    // An artifact ends where an entry goes on with its trailer.
    let entry = if bytes.len() as u64 > artifact.len {
        match input::open(path).map(|file| EntryInfo::read(&file, path)) {
            Ok(Ok(entry)) => Some(entry),
            Ok(Err(error)) => return fail(error.to_string()),
            Err(problem) => return fail(problem),
        }
    } else {
        None
    };
    let is_intact = entry.as_ref().is_none_or(|entry| entry.is_intact);
    let result = match args.format {
        Format::Json => report::json(&document(&artifact, entry.as_ref())),
        Format::Text => report::data(&text(&artifact, entry.as_ref())),
    };
    if !is_intact {
        return fail("the content was changed since it was added; delete the entry".to_string());
    }
    written(result, FINE)
}

fn document(artifact: &Inspection, entry: Option<&EntryInfo>) -> Value {
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
        "schema_version": SCHEMA_VERSION,
        "entry": entry.map(|entry| json!({
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

fn text(artifact: &Inspection, entry: Option<&EntryInfo>) -> String {
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
        lines.push(format!("  {module}::{name}: {ty}"));
    }
    if !artifact.exports.is_empty() {
        lines.push("exports:".to_string());
    }
    lines.extend(artifact.exports.iter().map(|(name, ty)| format!("  {name}: {ty}")));
    lines.push(String::new());
    clean(&lines.join("\n")).into_owned()
}
