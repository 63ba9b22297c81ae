//! The list of what runs have asked for, as the engine writes it with `PRECOMPILE_RECORD`.
//!
//! Any number of processes have appended to it, in any order and each for itself. What is read is
//! sorted by module, and each thing is there once: the same runs ask for the same work.

use crate::args::Code;
use crate::commands::modules;
use crate::input::{self, Input};
use crate::plan::{self, Variant};
use crate::report;
use precompile::Settings;
use precompile::cache::{from_hex, to_hex};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

/// No list of what runs asked for is longer: it ends at 64 MiB, but for a line of each of those who
/// write at once.
const LIMIT: u64 = 96 << 20;
const VERSION: u32 = 1;

/// Modules, and the ways in which they are compiled.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) variants: Vec<Variant>,
    modules: BTreeMap<[u8; 32], Asked>,
}

/// What was asked of one module.
#[derive(Debug, Default)]
struct Asked {
    paths: BTreeSet<PathBuf>,
    /// Numbers of variants.
    variants: BTreeSet<usize>,
}

#[derive(Deserialize)]
struct Line {
    module: String,
    path: Option<PathBuf>,
    settings: String,
}

#[derive(Deserialize)]
struct Version {
    record: u32,
}

impl Record {
    /// Reads all of it, with the platforms that `code` names in place of the recorded ones.
    ///
    /// # Errors
    /// The first line that is not as it should be.
    pub(crate) fn read(path: &Path, code: &Code) -> Result<Record, String> {
        let name = report::shown(path);
        let mut bytes = Vec::new();
        let file = input::open(path).map_err(|problem| format!("{name}: {problem}"))?;
        let read = file.take(LIMIT + 1).read_to_end(&mut bytes);
        read.map_err(|error| format!("{name}: {}", input::explain(&error)))?;
        if bytes.len() as u64 > LIMIT {
            return Err(format!("{name}: it is longer than 96 MiB, too long to be a record"));
        }
        let mut record = Record { variants: Vec::new(), modules: BTreeMap::new() };
        let mut known = Known::default();
        for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if !line.trim_ascii().is_empty() {
                let taken = record.take(line, code, &mut known);
                taken.map_err(|problem| format!("{name}: line {}: {problem}", number + 1))?;
            }
        }
        if record.modules.is_empty() {
            return Err(format!(
                "{name}: nothing is recorded there; run what loads modules with \
                 PRECOMPILE_RECORD={name}"
            ));
        }
        Ok(record)
    }

    fn take(&mut self, line: &[u8], code: &Code, known: &mut Known) -> Result<(), String> {
        let damaged = || "it is no line of a record: delete it, or record anew".to_string();
        let text = std::str::from_utf8(line).map_err(|_| damaged())?;
        let Version { record } = serde_json::from_str(text).map_err(|_| damaged())?;
        if record != VERSION {
            return Err(format!(
                "it is of version {record} of records, this program reads {VERSION}: record anew"
            ));
        }
        let line: Line = serde_json::from_str(text).map_err(|_| damaged())?;
        let module = from_hex(&line.module).ok_or_else(damaged)?;
        // Others would be read from where this program is, or from standard input.
        if line.path.as_ref().is_some_and(|path| !Path::new(path).is_absolute()) {
            return Err(damaged());
        }
        let variants = match known.asked.get(&line.settings) {
            Some(variants) => variants.clone(),
            None => {
                let variants = self.variants_of(&line.settings, code, known)?;
                known.asked.insert(line.settings, variants.clone());
                variants
            }
        };
        let asked = self.modules.entry(module).or_default();
        asked.paths.extend(line.path);
        asked.variants.extend(variants);
        Ok(())
    }

    /// The numbers of the variants that recorded settings ask for.
    fn variants_of(
        &mut self,
        text: &str,
        code: &Code,
        known: &mut Known,
    ) -> Result<Vec<usize>, String> {
        let settings: Settings = text.parse().map_err(|error| format!("{error:#}"))?;
        let mut numbers = Vec::new();
        for variant in plan::variants_from(&settings, code).map_err(|usage| usage.0)? {
            let own = variant.settings().map_err(|usage| usage.0)?.to_string();
            let number = *known.made.entry(own).or_insert(self.variants.len());
            if number == self.variants.len() {
                self.variants.push(variant);
            }
            numbers.push(number);
        }
        Ok(numbers)
    }

    /// How many modules there are.
    pub(crate) fn len(&self) -> usize {
        self.modules.len()
    }

    /// The modules by digest, each with where it was loaded from, and the numbers of its variants.
    pub(crate) fn modules(
        &self,
    ) -> impl Iterator<Item = (&[u8; 32], &BTreeSet<PathBuf>, &BTreeSet<usize>)> {
        self.modules.iter().map(|(digest, asked)| (digest, &asked.paths, &asked.variants))
    }

    /// The modules, each with the numbers of its variants: the file that was recorded if it has the
    /// digest still, or else the one of the inputs that has it. One that is nowhere has a problem.
    pub(crate) fn find(&self, inputs: &[PathBuf]) -> Vec<(Input, Vec<usize>)> {
        let digest = |input: &Input| {
            let bytes = input.read().ok()?;
            modules::digest(&bytes).ok()
        };
        let mut others: Option<BTreeMap<[u8; 32], Input>> = None;
        let mut found = Vec::new();
        for (module, asked) in &self.modules {
            let recorded = asked.paths.iter().map(Input::file);
            let there = recorded.into_iter().find(|input| digest(input) == Some(*module));
            let among_inputs = || {
                let all = others.get_or_insert_with(|| {
                    let inputs = input::expand(inputs).into_iter();
                    inputs.filter_map(|input| Some((digest(&input)?, input))).collect()
                });
                all.get(module).cloned()
            };
            let input = there.or_else(among_inputs);
            let input = input.map(|input| Input { digest: Some(*module), ..input });
            let input = input.unwrap_or_else(|| lost(module, asked));
            found.push((input, asked.variants.iter().copied().collect()));
        }
        // What is named and cannot be read may be what is missing.
        let unread = input::expand(inputs).into_iter().filter_map(|input| {
            let problem = input.read().err()?;
            Some((Input::failed(input.path, problem), Vec::new()))
        });
        found.extend(unread);
        found
    }
}

/// A module whose bytes are nowhere.
fn lost(module: &[u8; 32], asked: &Asked) -> Input {
    let digest = to_hex(module);
    match asked.paths.first() {
        Some(path) => {
            let problem = format!(
                "the module {digest} was loaded from here, and is not here now; name the file or \
                 folder that has it"
            );
            Input::failed(path, problem)
        }
        None => {
            let problem = "this module was loaded from memory; name the file or folder that has it";
            Input::failed(format!("module {digest}"), problem)
        }
    }
}

/// What was read already: each text of settings is looked at once.
#[derive(Default)]
struct Known {
    asked: BTreeMap<String, Vec<usize>>,
    made: BTreeMap<String, usize>,
}
