//! The settings that code depends on.

use super::{FINE, USAGE, written};
use crate::args::{Format, Settings};
use crate::plan;
use crate::report::{self, SCHEMA_VERSION};
use precompile::Settings as EngineSettings;
use precompile::cache::Layers;
use serde_json::{Map, Value, json};

pub(crate) fn settings(args: &Settings) -> u8 {
    let all = plan::variants(&args.code).and_then(|variants| {
        let engines = variants.iter().map(|variant| variant.engine(Layers::builder(), 1));
        engines.map(|engine| Ok(engine?.settings())).collect::<Result<Vec<_>, _>>()
    });
    let all = match all {
        Ok(all) => all,
        Err(usage) => {
            report::error(None, usage);
            return USAGE;
        }
    };
    if args.format == Format::Json {
        let variants: Vec<_> = all.iter().map(object).collect();
        let document = json!({ "schema_version": SCHEMA_VERSION, "variants": variants });
        return written(report::json(&document), FINE);
    }
    let blocks: Vec<String> = all.iter().map(ToString::to_string).collect();
    written(report::data(&blocks.join("\n")), FINE)
}

/// Settings as an object of names and values.
pub(crate) fn object(settings: &EngineSettings) -> Map<String, Value> {
    settings.iter().map(|(name, value)| (name.to_string(), json!(value))).collect()
}
