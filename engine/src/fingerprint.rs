//! The fingerprint: all that generated code depends on besides the module. And the cache's key,
//! whose derivation is here and nowhere else.
//!
//! Invariant: the compiler takes its settings from a [`Fingerprint`] and from nothing else, so
//! that a setting which changes code cannot be missing in the key. The key and the check at load
//! read the same list of fields, [`Fingerprint::fields`], which names each field of the struct, so
//! that a new one does not compile until it is in the list.

use crate::abi::ABI_VERSION;
use crate::abi::identity::{CODEGEN_EPOCH, ENGINE_VERSION, PINS, SOURCES};
use crate::abi::memory_plan::Bounds;
use crate::abi::target::{Arch, CpuFeatures, CpuLevel, Target};
use crate::artifact::FORMAT_VERSION;
use crate::features::Features;
use sha2::{Digest, Sha256};
use std::cmp::Reverse;
use std::fs::File;
use std::io::{self, Read};

/// How hard the compiler tries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum OptLevel {
    /// As quickly as possible.
    None,
    /// For quick code.
    #[default]
    Speed,
}

impl OptLevel {
    /// The word in fingerprints, settings and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            OptLevel::None => "none",
            OptLevel::Speed => "speed",
        }
    }
}

/// All that generated code depends on besides the module's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fingerprint {
    pub(crate) target: Target,
    pub(crate) cpu: CpuLevel,
    pub(crate) features: Features,
    pub(crate) bounds: Bounds,
    pub(crate) opt_level: OptLevel,
    pub(crate) nan_canonicalization: bool,
    pub(crate) relaxed_simd_deterministic: bool,
    pub(crate) fuel: bool,
    pub(crate) epoch_interruption: bool,
}

/// A field of a fingerprint: which outcome a difference in it is, its name, and its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) value: String,
}

impl Fingerprint {
    /// All fields, the most telling first: of two fingerprints that differ in several, the first
    /// in this order is the reason that people are told.
    pub(crate) fn fields(&self) -> Vec<Field> {
        let Fingerprint {
            target,
            cpu,
            features,
            bounds,
            opt_level,
            nan_canonicalization,
            relaxed_simd_deterministic,
            fuel,
            epoch_interruption,
        } = self;
        let on_off = |on: bool| String::from(if on { "on" } else { "off" });
        let relaxed_simd = if *relaxed_simd_deterministic { "deterministic" } else { "fast" };
        let settings = [
            ("target", target.to_string()),
            ("cpu", cpu.to_string()),
            ("bounds", bounds.as_str().to_string()),
            ("features", features.to_string()),
            ("opt-level", opt_level.as_str().to_string()),
            ("nan-canonicalization", on_off(*nan_canonicalization)),
            ("relaxed-simd", relaxed_simd.to_string()),
            ("fuel", on_off(*fuel)),
            ("epoch-interruption", on_off(*epoch_interruption)),
        ];
        let settings = settings.map(|(name, value)| Field { name, value });
        identity().into_iter().chain(settings).collect()
    }

    /// The canonical bytes: a line `name=value` a field, ended by `\n`. They are in every
    /// artifact's header and are an entry's description in the cache.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let lines = self.fields().into_iter().map(|f| format!("{}={}\n", f.name, f.value));
        lines.collect::<String>().into_bytes()
    }
}

/// The fields that say which engine it is, rather than how it is set.
pub(crate) const IDENTITY: [&str; 6] = ["engine", "format", "abi", "epoch", "compiler", "sources"];

/// What this engine has in these fields.
pub(crate) fn identity() -> [Field; 6] {
    let values = [
        ENGINE_VERSION.to_string(),
        FORMAT_VERSION.to_string(),
        ABI_VERSION.to_string(),
        CODEGEN_EPOCH.to_string(),
        PINS.to_string(),
        SOURCES.to_string(),
    ];
    let mut values = values.into_iter();
    IDENTITY.map(|name| Field { name, value: values.next().unwrap_or_default() })
}

/// The fields of `wanted` that `found` has otherwise, or not at all.
pub(crate) fn differences<'a>(
    wanted: impl Iterator<Item = (&'a str, &'a str)>,
    found: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> impl Iterator<Item = Difference> {
    let found: Vec<_> = found.into_iter().collect();
    wanted.filter_map(move |(field, expected)| {
        let there = found.iter().find(|(name, _)| *name == field);
        let there = there.map_or("absent", |(_, value)| value);
        (there != expected).then(|| Difference {
            field: field.to_string(),
            expected: expected.to_string(),
            found: there.to_string(),
            lacking: CpuFeatures::NONE,
        })
    })
}

/// The differences between what `ours` has and what `theirs` (canonical bytes each) have that is
/// nearest to it: of all pairs, the one that agrees the longest in the order of the fields, and
/// of those that have different levels of processors the one with the nearest levels. Of equally
/// near ones the first of `ours` counts. Empty where nothing differs.
pub(crate) fn nearest_differences<'t>(
    ours: &[Fingerprint],
    theirs: impl IntoIterator<Item = &'t [u8]>,
) -> Vec<Difference> {
    let mut nearest: Option<(_, Vec<Difference>)> = None;
    for theirs in theirs {
        for own in ours {
            let fields = own.fields();
            let names = fields.iter().map(|field| (field.name, &*field.value));
            let all: Vec<_> = differences(names, parse(theirs)).collect();
            let Some(first) = all.first() else { continue };
            let place = fields.iter().position(|field| field.name == first.field);
            let distance = Reverse(first.distance(own.target.arch()));
            let near = (place.unwrap_or_default(), distance);
            if nearest.as_ref().is_none_or(|(nearest, _)| near > *nearest) {
                nearest = Some((near, all));
            }
        }
    }
    nearest.map(|(_, all)| all).unwrap_or_default()
}

/// The fields of canonical bytes. What is no line `name=value` is left out.
pub(crate) fn parse(bytes: &[u8]) -> Vec<(&str, &str)> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    text.lines().filter_map(|line| line.split_once('=')).collect()
}

/// The first field in which two fingerprints differ.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Its name, such as `cpu` or `opt-level`.
    pub field: String,
    /// What this engine needs.
    pub expected: String,
    /// What there is.
    pub found: String,
    /// Of what there is, if it is a level of processors, what this one lacks for it.
    pub lacking: CpuFeatures,
}

impl Difference {
    /// Of two lists of proposals, which are long, what is in the one that this engine needs only, and
    /// what is in the other one only. `None` for other fields, and for lists with names that are not known here.
    pub fn proposals(&self) -> Option<(Features, Features)> {
        let set = |list: &str| {
            let mut names = list.split('+').map(Features::from_name);
            names.try_fold(Features::NONE, |set, name| Some(set.union(name?)))
        };
        let (found, expected) = (set(&self.found)?, set(&self.expected)?);
        let differs = self.field == "features" && found != expected;
        differs.then(|| (expected.difference(found), found.difference(expected)))
    }

    /// How many extensions one of two levels of processors has and the other has not; 0 for all
    /// other fields.
    pub(crate) fn distance(&self, arch: Arch) -> u32 {
        if self.field != "cpu" {
            return 0;
        }
        let bits = |name: &str| CpuLevel::parse(name, arch).map(|level| level.features().bits());
        match (bits(&self.found), bits(&self.expected)) {
            (Ok(found), Ok(expected)) => (found ^ expected).count_ones(),
            _ => u32::MAX,
        }
    }

    /// The same, with what a host of these `features` lacks for the level that there is.
    pub(crate) fn on_host(mut self, target: Target, features: CpuFeatures) -> Difference {
        if self.field == "cpu"
            && let Ok(level) = CpuLevel::parse(&self.found, target.arch())
        {
            self.lacking = level.features().difference(features);
        }
        self
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.proposals() {
            Some((more, less)) => {
                write!(f, "{}: this engine", self.field)?;
                let separator = if more.is_empty() || less.is_empty() { "" } else { ", and" };
                let list = |names: Features| names.to_string().replace('+', ", ");
                if !more.is_empty() {
                    write!(f, " also has {}{separator}", list(more))?;
                }
                if !less.is_empty() {
                    write!(f, " lacks {}", list(less))?;
                }
            }
            None => {
                write!(f, "{} is {}, this engine needs {}", self.field, self.found, self.expected)?;
            }
        }
        if self.lacking.is_empty() {
            return Ok(());
        }
        write!(f, "; this processor lacks {} for {}", self.lacking, self.found)
    }
}

/// SHA-256 of a module's bytes: the group that all its entries in a cache belong to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct ModuleDigest(pub(crate) [u8; 32]);

impl ModuleDigest {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        ModuleDigest(Sha256::digest(bytes).into())
    }

    /// Of a file, read as a stream; besides, its first bytes and its length.
    pub(crate) fn of_file(mut file: &File) -> io::Result<([u8; 8], Self, u64)> {
        let (mut hash, mut first, mut len) = (Sha256::new(), [0; 8], 0);
        let mut buffer = vec![0; 128 << 10];
        loop {
            let count = match file.read(&mut buffer) {
                Ok(0) => return Ok((first, ModuleDigest(hash.finalize().into()), len)),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            for (at, byte) in (len..8).zip(&buffer[..count]) {
                first[at as usize] = *byte;
            }
            hash.update(&buffer[..count]);
            len += count as u64;
        }
    }
}

/// The id of the entry of module `digest` compiled under `fingerprint`:
/// SHA-256 over a domain tag, the format's version (u32, little endian), the length of the
/// fingerprint's canonical bytes (u64, little endian), these bytes, and the digest.
pub(crate) fn entry_id(digest: &ModuleDigest, fingerprint: &Fingerprint) -> [u8; 32] {
    id(digest, &fingerprint.to_bytes())
}

fn id(digest: &ModuleDigest, bytes: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"precompile entry id\0");
    hash.update(FORMAT_VERSION.to_le_bytes());
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
    hash.update(digest.0);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::target::{Arch, Os};
    use std::collections::HashSet;

    fn base() -> Fingerprint {
        Fingerprint {
            target: Target::new(Arch::X86_64, Os::Linux),
            cpu: CpuLevel::X86_64V2,
            features: Features::SUPPORTED,
            bounds: Bounds::Guard,
            opt_level: OptLevel::Speed,
            nan_canonicalization: false,
            relaxed_simd_deterministic: true,
            fuel: false,
            epoch_interruption: false,
        }
    }

    #[test]
    fn each_field_changes_the_key_and_is_named() {
        let base = base();
        let changed = [
            ("target", Fingerprint { target: Target::new(Arch::X86_64, Os::MacOs), ..base }),
            ("cpu", Fingerprint { cpu: CpuLevel::X86_64V3, ..base }),
            ("cpu", Fingerprint { cpu: CpuLevel::Native(Arch::X86_64, CpuFeatures::SSE3), ..base }),
            ("features", Fingerprint { features: Features::WASM1, ..base }),
            ("bounds", Fingerprint { bounds: Bounds::Explicit, ..base }),
            ("opt-level", Fingerprint { opt_level: OptLevel::None, ..base }),
            ("nan-canonicalization", Fingerprint { nan_canonicalization: true, ..base }),
            ("relaxed-simd", Fingerprint { relaxed_simd_deterministic: false, ..base }),
            ("fuel", Fingerprint { fuel: true, ..base }),
            ("epoch-interruption", Fingerprint { epoch_interruption: true, ..base }),
        ];
        let names: HashSet<_> = changed.iter().map(|(name, _)| *name).collect();
        let fields = base.fields();
        let settings = fields.iter().filter(|field| !IDENTITY.contains(&field.name));
        assert_eq!(names, settings.map(|field| field.name).collect(), "a change of each");
        let digest = ModuleDigest::of(b"module");
        let mut ids = HashSet::from([entry_id(&digest, &base)]);
        for (field, other) in changed {
            assert!(ids.insert(entry_id(&digest, &other)), "{field} is not in the key");
            let differences = nearest_differences(&[base], [&*other.to_bytes()]);
            let names: Vec<_> = differences.iter().map(|difference| &*difference.field).collect();
            assert_eq!(names, [field]);
        }
        assert!(ids.insert(entry_id(&ModuleDigest::of(b"another"), &base)));
        // Whatever another engine has in a field, its identity included.
        for (at, field) in fields.iter().enumerate() {
            let mut other = fields.clone();
            other[at].value.push('x');
            let lines = other.iter().map(|f| format!("{}={}\n", f.name, f.value));
            let bytes = lines.collect::<String>().into_bytes();
            assert!(ids.insert(id(&digest, &bytes)), "{} is not in the key", field.name);
            let differences = nearest_differences(&[base], [&bytes[..]]);
            assert_eq!(differences[0].field, field.name);
        }
        assert_eq!(nearest_differences(&[base], [&*base.to_bytes()]), []);
        let both = Fingerprint { fuel: true, bounds: Bounds::Explicit, ..base };
        let fuel = Fingerprint { fuel: true, ..base };
        let names = |theirs: &[Fingerprint]| -> Vec<String> {
            let theirs: Vec<_> = theirs.iter().map(|one| one.to_bytes()).collect();
            let all = nearest_differences(&[base], theirs.iter().map(|one| &**one));
            all.into_iter().map(|difference| difference.field).collect()
        };
        assert_eq!(names(&[both]), ["bounds", "fuel"]);
        assert_eq!(names(&[both, fuel]), ["fuel"], "the nearest one");
    }

    #[test]
    fn proposals_are_named_alone() {
        let (simd, threads) = (Features::SIMD, Features::THREADS);
        let found = base().features.with(simd, false).with(threads, true);
        let own = Fingerprint { features: base().features.with(threads, false), ..base() };
        let theirs = Fingerprint { features: found, ..own }.to_bytes();
        let text = nearest_differences(&[own], [&*theirs])[0].to_string();
        assert!(text == "features: this engine also has simd, and lacks threads", "{text}");
    }

    #[test]
    fn fits_the_header_page() {
        let native = CpuLevel::Native(Arch::X86_64, CpuFeatures::from_bits(u64::MAX));
        let longest = Fingerprint { cpu: native, ..base() };
        let room = crate::artifact::header::PAGE - crate::artifact::header::FINGERPRINT_AT;
        assert!(longest.to_bytes().len() <= room);
    }
}
