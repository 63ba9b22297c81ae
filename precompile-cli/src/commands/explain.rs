//! Why would it hit, or miss?

use super::modules;
use super::settings::object;
use super::{FAILED, FINE, MISS, USAGE, written};
use crate::args::{Explain, Format};
use crate::report::{self, Printer, SCHEMA_VERSION, clean, shown};
use crate::rows::{DifferenceRow, MissRow};
use crate::{input, plan};
use precompile::cache::{Mode, to_hex};
use precompile::{
    Difference, Engine, ErrorKind, Explanation, Features, Miss, Module, Neighbour, Outcome,
};
use serde_json::{Value, json};
use std::path::Path;

pub(crate) fn explain(args: &Explain) -> u8 {
    let asked = &args.question;
    let printer = Printer::new(&asked.document.output);
    let engines = plan::layers(&asked.layers, &asked.trust)
        .and_then(|layers| plan::engines(&asked.code, &layers.mode(Mode::ReadOnly)));
    let engines = match engines {
        Ok(engines) => engines,
        Err(usage) => {
            report::error(None, usage);
            return USAGE;
        }
    };
    // What is wrong with layers is told with what they said.
    let problems = engines.first().map_or(&[][..], |engine| engine.cache_problems());
    for problem in problems.iter().filter(|problem| plan::is_of_environment(problem)) {
        printer.warning(problem);
    }
    let mut all = Vec::new();
    let (path, bytes) = match (&args.input, &args.name, &args.digest) {
        (Some(input), ..) => match input::read(input)
            .and_then(|bytes| input::refuse_compiled(&bytes).map(|()| bytes))
        {
            Ok(bytes) => (input.display().to_string(), bytes),
            Err(problem) => {
                printer.error(input, problem);
                return FAILED;
            }
        },
        (_, Some(name), _) => (name.clone(), Vec::new()),
        (.., digest) => (digest.map(|digest| to_hex(&digest.0)).unwrap_or_default(), Vec::new()),
    };
    for engine in &engines {
        let explanation = match (&args.name, &args.digest) {
            (Some(name), _) => engine.resolve(name).map(|digest| engine.explain_digest(digest)),
            (_, Some(digest)) => Ok(engine.explain_digest(digest.0)),
            _ => engine.explain(&bytes),
        };
        match explanation {
            // Of a module that is nowhere in the cache nobody knows yet whether it can be.
            Ok(explanation) if args.input.is_some() && is_unknown(&explanation) => {
                if let Err(error) = Module::validate(engine, &bytes) {
                    modules::tell_error(&printer, Path::new(&path), &error);
                    return FAILED;
                }
                all.push((engine, explanation));
            }
            Ok(explanation) => all.push((engine, explanation)),
            // There is nothing more to say: it is not known which module is meant.
            Err(error) if error.kind() == ErrorKind::Miss => {
                printer.failure("Missing", format!("{}: {error:#}", shown(Path::new(&path))));
                let miss = error.downcast_ref::<Miss>().map(MissRow::from);
                let one = json!({ "digest": null, "outcome": "missing", "miss": miss });
                return match args.question.document.format {
                    Format::Json => written(report::json(&whole(&path, vec![one])), MISS),
                    Format::Text => MISS,
                };
            }
            Err(error) => {
                modules::tell_error(&printer, Path::new(&path), &error);
                return FAILED;
            }
        }
    }
    let is_hit = |(_, explanation): &(&Engine, Explanation)| {
        matches!(explanation.report.outcome, Outcome::Hit { .. })
    };
    let code = if all.iter().all(is_hit) { FINE } else { MISS };
    let result = match asked.document.format {
        Format::Json => {
            report::json(&whole(&path, all.iter().map(|(_, one)| document(one)).collect()))
        }
        Format::Text => {
            let blocks: Vec<_> = all.iter().map(|(engine, one)| text(&path, engine, one)).collect();
            report::data(&clean(&blocks.join("\n")))
        }
    };
    written(result, code)
}

/// Whether it misses, and there is no entry of it for other settings either.
fn is_unknown(explanation: &Explanation) -> bool {
    matches!(explanation.report.outcome, Outcome::Missed { .. }) && explanation.entries.is_empty()
}

fn whole(path: &str, explanations: Vec<Value>) -> Value {
    json!({
        "schema_version": SCHEMA_VERSION,
        "command": "explain",
        "path": path,
        "explanations": explanations,
    })
}

fn document(one: &Explanation) -> Value {
    let wanted = one
        .wanted
        .iter()
        .map(|wanted| json!({ "id": to_hex(&wanted.id), "settings": object(&wanted.settings) }));
    let probes = one.probes.iter().map(|probe| {
        json!({
            "layer": probe.layer,
            "path": probe.path.as_ref().map(|path| path.display().to_string()),
            "id": one.wanted.get(probe.wanted).map(|wanted| to_hex(&wanted.id)),
            "result": probe.result,
            "message": probe.message,
        })
    });
    let entries = one.entries.iter().map(|entry| {
        json!({
            "layer": entry.layer,
            "id": to_hex(&entry.id),
            "settings": object(&entry.settings),
            "differences": entry.differences.iter().map(DifferenceRow::from).collect::<Vec<_>>(),
            "host_lacks": entry.host_lacks.names().collect::<Vec<_>>(),
        })
    });
    let mut document = json!({
        "digest": one.report.digest.map(|digest| to_hex(&digest)),
        "module_bytes": one.report.module_len,
        "wanted": wanted.collect::<Vec<_>>(),
        "probes": probes.collect::<Vec<_>>(),
        "entries": entries.collect::<Vec<_>>(),
    });
    match &one.report.outcome {
        Outcome::Hit { layer, path } => {
            document["outcome"] = json!("hit");
            document["layer"] = json!(layer);
            document["entry"] = json!(path.as_ref().map(|path| path.display().to_string()));
            document["id"] = json!(one.report.id.map(|id| to_hex(&id)));
        }
        Outcome::Missed { miss } => {
            document["outcome"] = json!("missing");
            document["miss"] = json!(MissRow::from(miss));
        }
        _ => document["outcome"] = json!("unknown"),
    }
    document
}

fn text(path: &str, engine: &Engine, one: &Explanation) -> String {
    let path = shown(Path::new(path));
    let mut lines = Vec::new();
    let short = |id: &[u8; 32]| to_hex(id)[..16].to_string();
    lines.push(match &one.report.outcome {
        Outcome::Hit { layer, path: Some(entry) } => {
            format!("HIT {path}: {layer} {}", shown(entry))
        }
        Outcome::Hit { layer, path: None } => format!("HIT {path}: {layer}"),
        Outcome::Missed { miss } => format!("MISS ({}) {path}: {miss}", miss.as_str()),
        _ => path,
    });
    if let Some(digest) = one.report.digest {
        lines.push(format!("module: SHA-256 {}", to_hex(&digest)));
    }
    let levels: Vec<_> = one.wanted.iter().filter_map(|w| w.settings.get("cpu")).collect();
    lines.push(match levels.len() {
        1 => "wanted:".to_string(),
        _ => "wanted, best first, as `run` and apps on this host ask:".to_string(),
    });
    for (wanted, level) in one.wanted.iter().zip(&levels) {
        lines.push(format!("  {} for {} {level}", to_hex(&wanted.id), engine.target()));
    }
    lines.push("key, beside the module and the level:".to_string());
    let settings = engine.settings();
    let parts = settings.iter().filter(|(name, _)| *name != "cpu" || levels.len() == 1);
    lines.extend(parts.map(|(name, value)| format!("  {name} = {value}")));
    lines.push("layers, as they were asked:".to_string());
    if one.probes.is_empty() {
        lines.push("  none".to_string());
    }
    for probe in &one.probes {
        let place = probe.path.as_ref().map(|path| format!(" {}", shown(path)));
        let level = levels.get(probe.wanted).filter(|_| levels.len() > 1);
        let level = level.map(|level| format!(" for {level}")).unwrap_or_default();
        let message = probe.message.as_ref().map(|message| format!(": {message}"));
        let (place, message) = (place.unwrap_or_default(), message.unwrap_or_default());
        lines.push(format!("  {}{place}{level}: {}{message}", probe.layer, probe.result));
    }
    lines.push("entries of this module, the nearest first:".to_string());
    if one.entries.is_empty() {
        lines.push("  none".to_string());
    }
    for entry in &one.entries {
        let name = format!("{} {}", entry.layer, short(&entry.id));
        lines.push(format!("  {name}: {}", differences(entry)));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn differences(entry: &Neighbour) -> String {
    if entry.differences.is_empty() {
        return "wanted".to_string();
    }
    let mut all: Vec<_> = entry
        .differences
        .iter()
        .map(|difference| {
            let Difference { field, expected, found, .. } = difference;
            let Some((wanted, unwanted)) = difference.proposals() else {
                return format!("{field} is {found}, wanted is {expected}");
            };
            let parts = [(wanted, "wanted is also"), (unwanted, "not wanted is")];
            let parts = parts.iter().filter(|(names, _)| !names.is_empty());
            let list = |names: &Features| names.to_string().replace('+', ", ");
            let parts: Vec<_> =
                parts.map(|(names, word)| format!("{word} {}", list(names))).collect();
            format!("{field}: {}", parts.join(", "))
        })
        .collect();
    if !entry.host_lacks.is_empty() {
        let names: Vec<_> = entry.host_lacks.names().collect();
        all.push(format!("this processor lacks {}", names.join(", ")));
    }
    all.join("; ")
}
