//! What is in a cache directory: entry by entry, and in sum.

use super::{Failure, open, shown};
use crate::args::cache::Look;
use crate::args::{Code, Format};
use crate::commands::settings::object;
use crate::commands::{FINE, written};
use crate::plan;
use crate::report::{self, Printer, SCHEMA_VERSION, clean, size};
use crate::units::{ago, timestamp};
use precompile::Settings;
use precompile::cache::{Depth, DirCache, Item, ItemState, LayersBuilder, to_hex};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::time::SystemTime;

/// Digits of a digest that people are shown.
const DIGITS: usize = 12;

pub(super) fn ls(args: &Look) -> Result<u8, Failure> {
    let place = &args.place;
    let printer = Printer::new(&place.document.output);
    let caches = open(place, &printer)?;
    let mut items = Vec::new();
    let mut rows = Vec::new();
    for cache in &caches {
        cache.survey(Depth::Trailer, |item| {
            rows.push(row(cache, &item));
            items.push(item);
        })?;
    }
    let result = match place.document.format {
        Format::Json => report::json(&json!({
            "schema_version": SCHEMA_VERSION,
            "command": "cache ls",
            "cache": shown(place, &caches),
            "entries": rows,
        })),
        Format::Text => report::data(&table(&items)),
    };
    Ok(written(result, FINE))
}

/// What an item is, in a word.
pub(super) fn state(item: &Item) -> &'static str {
    match item.state {
        ItemState::Sound { .. } => "sound",
        ItemState::Damaged(_) => "damaged",
        ItemState::Untrusted(_) => "untrusted",
        ItemState::Foreign => "foreign",
        _ => "unreadable",
    }
}

/// An item of a directory, for tools.
pub(super) fn row(cache: &DirCache, item: &Item) -> Value {
    let mut row = json!({
        "cache": cache.path().display().to_string(),
        "path": item.path.display().to_string(),
        "state": state(item),
        "bytes": item.bytes,
        "added": timestamp(item.added),
        "used": timestamp(item.used),
    });
    match &item.state {
        ItemState::Sound { key, description, content_length, content_digest, .. } => {
            row["digest"] = json!(to_hex(key.group()));
            row["id"] = json!(to_hex(key.id()));
            row["artifact_bytes"] = json!(content_length);
            row["artifact_sha256"] = json!(to_hex(content_digest));
            row["settings"] = Value::Object(object(&Settings::from_description(description)));
        }
        ItemState::Damaged(error) | ItemState::Untrusted(error) | ItemState::Unreadable(error) => {
            row["message"] = json!(error.to_string());
        }
        _ => {}
    }
    row
}

fn table(items: &[Item]) -> String {
    let now = SystemTime::now();
    let mut bases = Bases::default();
    let head = ["MODULE", "ENTRY", "TARGET", "CPU", "SIZE", "AGE", "USED", "SETTINGS"];
    let mut rows = vec![head.map(String::from)];
    let mut others = Vec::new();
    for item in items {
        let ItemState::Sound { key, description, .. } = &item.state else {
            others.push(format!("{:<10} {}", state(item), report::shown(&item.path)));
            continue;
        };
        let settings = Settings::from_description(description);
        let get = |name| clean(settings.get(name).unwrap_or("?")).into_owned();
        rows.push([
            to_hex(key.group())[..DIGITS].to_string(),
            to_hex(key.id())[..DIGITS].to_string(),
            get("target"),
            level(&get("cpu")).to_string(),
            size(item.bytes),
            ago(item.added, now),
            ago(item.used, now),
            clean(&bases.differences(&settings)).into_owned(),
        ]);
    }
    let mut text = String::new();
    if rows.len() > 1 {
        text += &columns(&rows);
    }
    for other in others {
        text += &other;
        text.push('\n');
    }
    text
}

/// A level for a column. The extensions of one host's are many, and `inspect` and JSON have them.
fn level(name: &str) -> &str {
    if name.starts_with("native") { "native(…)" } else { name }
}

fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// The settings that the command line has when nothing is asked for, by target and level.
#[derive(Default)]
struct Bases(BTreeMap<(String, String), Option<Settings>>);

impl Bases {
    /// What is not as usual: `name=value` each.
    fn differences(&mut self, settings: &Settings) -> String {
        let get = |name| settings.get(name).unwrap_or_default().to_string();
        let (target, cpu) = (get("target"), get("cpu"));
        let base = self.0.entry((target.clone(), cpu)).or_insert_with(|| base(&target));
        let Some(base) = base else { return String::new() };
        if !settings.is_of_this_engine() {
            return match settings
                .get("engine")
                .filter(|version| base.get("engine") != Some(version))
            {
                Some(version) => format!("engine={version}"),
                None => "another build of this version".to_string(),
            };
        }
        let all = settings.iter().filter(|(name, value)| {
            !matches!(*name, "target" | "cpu") && base.get(name) != Some(value)
        });
        let all = all.map(|(name, value)| match (name, base.get(name)) {
            ("features", Some(base)) => format!("features={}", changes(base, value)),
            _ => format!("{name}={value}"),
        });
        all.collect::<Vec<_>>().join(" ")
    }
}

fn base(target: &str) -> Option<Settings> {
    let code = Code { target: vec![target.to_string()], ..Code::default() };
    let variants = plan::variants(&code).ok()?;
    let engine = variants.first()?.engine(LayersBuilder::from_variables(|_| None), 1).ok()?;
    Some(engine.settings())
}

/// A list of proposals as changes of another one, as `--features` takes it.
fn changes(base: &str, list: &str) -> String {
    let set = |list| -> HashSet<&str> { str::split(list, '+').collect() };
    let (base_set, set) = (set(base), set(list));
    let less = base.split('+').filter(|name| !set.contains(name)).map(|name| format!("-{name}"));
    let more = list.split('+').filter(|name| !base_set.contains(name));
    less.chain(more.map(|name| format!("+{name}"))).collect::<Vec<_>>().join(",")
}

/// How many, and how many bytes.
#[derive(Clone, Copy, Default)]
struct Sum {
    count: u64,
    bytes: u64,
}

impl Sum {
    fn add(&mut self, item: &Item) {
        self.count += 1;
        self.bytes += item.bytes;
    }

    fn json(self, name: &str, of: &str) -> Value {
        json!({ name: of, "entries": self.count, "bytes": self.bytes })
    }
}

pub(super) fn stats(args: &Look) -> Result<u8, Failure> {
    let place = &args.place;
    let printer = Printer::new(&place.document.output);
    let caches = open(place, &printer)?;
    let (mut total, mut modules) = (Sum::default(), HashSet::new());
    let (mut engines, mut variants) = (BTreeMap::new(), BTreeMap::new());
    let mut others: BTreeMap<&'static str, Sum> = BTreeMap::new();
    let mut note = |item: Item| {
        let ItemState::Sound { key, description, .. } = &item.state else {
            return others.entry(state(&item)).or_default().add(&item);
        };
        let settings = Settings::from_description(description);
        let get = |name| settings.get(name).unwrap_or("?");
        let engine = match (settings.is_of_this_engine(), get("engine")) {
            (true, version) => format!("{version} (this one)"),
            (false, version) => format!("{version} (build {:.12})", get("sources")),
        };
        modules.insert(*key.group());
        total.add(&item);
        engines.entry(engine).or_insert_with(Sum::default).add(&item);
        let variant = format!("{} {}", get("target"), get("cpu"));
        variants.entry(variant).or_insert_with(Sum::default).add(&item);
    };
    for cache in &caches {
        cache.survey(Depth::Trailer, &mut note)?;
    }
    let path = shown(place, &caches);
    let list = |name: &str, sums: &BTreeMap<String, Sum>| -> Vec<Value> {
        sums.iter().map(|(of, sum)| sum.json(name, of)).collect()
    };
    let result = match place.document.format {
        Format::Json => report::json(&json!({
            "schema_version": SCHEMA_VERSION,
            "command": "cache stats",
            "cache": path,
            "modules": modules.len(),
            "entries": total.count,
            "bytes": total.bytes,
            "engines": list("engine", &engines),
            "variants": list("variant", &variants),
            "others": others.iter().map(|(of, sum)| sum.json("state", of)).collect::<Vec<_>>(),
        })),
        Format::Text => {
            let line = |name: &str, sum: &Sum| {
                [clean(name).into_owned(), sum.count.to_string(), size(sum.bytes)]
            };
            let mut rows = vec![["", "ENTRIES", "SIZE"].map(String::from)];
            rows.push(line(&format!("all, of {} modules", modules.len()), &total));
            rows.extend(engines.iter().map(|(of, sum)| line(&format!("engine {of}"), sum)));
            rows.extend(variants.iter().map(|(of, sum)| {
                let (target, cpu) = of.split_once(' ').unwrap_or((of, ""));
                line(&format!("{target} {}", level(cpu)), sum)
            }));
            rows.extend(others.iter().map(|(of, sum)| line(of, sum)));
            // Where nothing is written, those that are read.
            let read = || caches.iter().map(|cache| cache.path().display().to_string());
            let paths = path.map_or_else(|| read().collect(), |path| vec![path]);
            report::data(&format!("{}\n{}", clean(&paths.join("\n")), columns(&rows)))
        }
    };
    Ok(written(result, FINE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_told_as_changes() {
        assert_eq!(changes("a+b+c", "a+c+d"), "-b,+d");
        assert_eq!(
            columns(&[["a", "bc", ""], ["de", "f", "g"]].map(|r| r.map(String::from))),
            "a   bc\nde  f   g\n"
        );
    }
}
