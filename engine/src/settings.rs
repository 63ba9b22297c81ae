//! Settings as text: what an engine says of itself, what a cache says of an entry, and what a tool
//! makes an engine from.
//!
//! The names and values are those of the fingerprint, in its order. Here alone they are read back;
//! a value of [`Fingerprint::fields`](crate::fingerprint::Fingerprint::fields) that is not
//! understood here is found by the tests.

use crate::Engine;
use crate::abi::memory_plan::Bounds;
use crate::abi::target::{Arch, CpuFeatures, CpuLevel, Target};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::features::Features;
use crate::fingerprint::{
    Difference, Fingerprint, IDENTITY, OptLevel, differences, identity, parse,
};
use std::fmt;
use std::str::FromStr;

/// The settings that code depends on, as names and values, with the identity of the engine that
/// they were written by.
///
/// Written and read as lines `name = value`; empty lines and those that start with `#` are passed
/// over.
///
/// ```
/// use precompile::{Config, Engine, OptLevel, Settings};
/// let mut config = Config::new();
/// config.cranelift_opt_level(OptLevel::None);
/// let text = Engine::new(&config)?.settings().to_string();
///
/// // Elsewhere: an engine whose entries the first one finds.
/// let settings: Settings = text.parse()?;
/// assert_eq!(settings.get("opt-level"), Some("none"));
/// let engine = Engine::new(&Config::from_settings(&settings)?)?;
/// assert_eq!(engine.settings(), settings);
/// # Ok::<(), precompile::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Settings(Vec<(String, String)>);

/// The fields that [`Config::from_settings`] reads, in the fingerprint's order.
const READ: &[&str] = &[
    "target",
    "cpu",
    "bounds",
    "features",
    "opt-level",
    "nan-canonicalization",
    "relaxed-simd",
    "fuel",
    "epoch-interruption",
];

impl Settings {
    pub(crate) fn of(fingerprint: &Fingerprint) -> Settings {
        let fields = fingerprint.fields().into_iter();
        Settings(fields.map(|field| (field.name.to_string(), field.value)).collect())
    }

    /// What a cache entry, or the header of an artifact, was described with. Bytes that describe
    /// nothing give settings without any name.
    pub fn from_description(description: &[u8]) -> Settings {
        let fields = parse(description).into_iter();
        Settings(fields.map(|(name, value)| (name.to_string(), value.to_string())).collect())
    }

    /// From names and values in any order. Names that this version does not know come last.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Settings {
        let known: Vec<&str> = IDENTITY.iter().chain(READ).copied().collect();
        let place = |name: &str| known.iter().position(|known| *known == name);
        let pairs = pairs.into_iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let mut all: Vec<_> = pairs.collect();
        all.sort_by_cached_key(|(name, _)| (place(name).unwrap_or(usize::MAX), name.clone()));
        Settings(all)
    }

    /// The value of the setting `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Names and values, in the order in which they are compared.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The settings in which `self`, which is there, differs from `wanted`, the most telling first.
    pub fn differences(&self, wanted: &Settings) -> Vec<Difference> {
        differences(wanted.iter(), self.iter()).collect()
    }

    /// Whether a setting of that name says which engine it is, rather than how it is set.
    pub fn is_identity(name: &str) -> bool {
        IDENTITY.contains(&name)
    }

    /// Whether it was this very engine that wrote them: version, formats and the compiler's
    /// sources. Entries of another one are never found by this one.
    pub fn is_of_this_engine(&self) -> bool {
        identity().iter().all(|field| self.get(field.name) == Some(&field.value))
    }

    /// Whether it was another engine that wrote them, and no later version of it: an entry with
    /// these settings is of no use to those who have moved on.
    pub fn is_of_older_engine(&self) -> bool {
        fn numbers(version: &str) -> Vec<u64> {
            let release = version.split(['-', '+']).next().unwrap_or_default();
            release.split('.').map(|number| number.parse().unwrap_or(0)).collect()
        }
        let theirs = self.get("engine").map(numbers);
        let ours = numbers(crate::abi::identity::ENGINE_VERSION);
        !self.is_of_this_engine() && theirs.is_some_and(|theirs| theirs <= ours)
    }
}

impl Engine {
    /// The settings that this engine compiles with, in the order in which they are compared.
    /// Written to a file, they are what [`Config::from_settings`] and
    /// `precompile --engine-settings FILE` read.
    pub fn settings(&self) -> Settings {
        Settings::of(self.compile_fingerprint())
    }
}

impl Config {
    /// The configuration whose engine has exactly these settings, in so far as they change code:
    /// what it compiles is found by the engine that wrote them.
    ///
    /// # Errors
    /// [`Incompatible`](ErrorKind::Incompatible) if another engine wrote them, since nothing that
    /// this one compiles is found by that; [`Config`](ErrorKind::Config) if a setting is missing,
    /// unknown, or has an unknown value.
    pub fn from_settings(settings: &Settings) -> Result<Config> {
        let bad = |message: String| Error::with_kind(ErrorKind::Config, message);
        let get = |name: &str| {
            settings.get(name).ok_or_else(|| {
                bad(format!(
                    "the setting `{name}` is missing: write the file anew with this version"
                ))
            })
        };
        for own in identity() {
            let found = get(own.name)?;
            if found != own.value {
                let difference = Difference {
                    field: own.name.to_string(),
                    expected: own.value,
                    found: found.to_string(),
                    lacking: CpuFeatures::NONE,
                };
                let message = format!(
                    "the settings are of another engine: {difference}; use the same version of \
                     precompile in the app and here"
                );
                return Err(Error::with_kind(ErrorKind::Incompatible, message));
            }
        }
        let unknown = |name: &str, value: &str| bad(format!("unknown value of `{name}`: {value}"));
        let is_on = |name: &str| match get(name)? {
            "on" => Ok(true),
            "off" => Ok(false),
            other => Err(unknown(name, other)),
        };
        let target: Target = get("target")?.parse()?;
        let mut config = Config::new();
        config
            .target(&target.to_string())?
            .cpu(cpu(get("cpu")?, target.arch())?)
            .bounds(match get("bounds")? {
                "guard" => Bounds::Guard,
                "explicit" => Bounds::Explicit,
                other => return Err(unknown("bounds", other)),
            })
            .features(features(get("features")?)?)
            .cranelift_opt_level(match get("opt-level")? {
                "none" => OptLevel::None,
                "speed" => OptLevel::Speed,
                other => return Err(unknown("opt-level", other)),
            })
            .cranelift_nan_canonicalization(is_on("nan-canonicalization")?)
            .relaxed_simd_deterministic(match get("relaxed-simd")? {
                "deterministic" => true,
                "fast" => false,
                other => return Err(unknown("relaxed-simd", other)),
            })
            .consume_fuel(is_on("fuel")?)
            .epoch_interruption(is_on("epoch-interruption")?);
        let is_known = |name: &str| READ.contains(&name) || IDENTITY.contains(&name);
        match settings.iter().find(|(name, _)| !is_known(name)) {
            Some((name, _)) => Err(bad(format!("unknown setting `{name}`"))),
            None => Ok(config),
        }
    }
}

/// What code with these settings needs of a processor, as far as their names are known.
#[cfg(all(feature = "runtime", feature = "cache"))]
pub(crate) fn needs(settings: &Settings) -> CpuFeatures {
    let target = settings.get("target").and_then(|target| target.parse::<Target>().ok());
    let level = target.zip(settings.get("cpu")).map(|(target, name)| cpu(name, target.arch()));
    level.and_then(Result::ok).map_or(CpuFeatures::NONE, CpuLevel::features)
}

/// The level with that name, or of exactly these extensions.
fn cpu(text: &str, arch: Arch) -> Result<CpuLevel> {
    let Some(native) = text.strip_prefix("native:") else {
        return Ok(CpuLevel::parse(text, arch)?);
    };
    let extension = |name: &str| {
        let mut all = (0..64).map(|bit| CpuFeatures::from_bits(1 << bit));
        all.find(|extension| extension.names().eq([name]))
    };
    let unknown = || Error::with_kind(ErrorKind::Config, format!("unknown processor `{text}`"));
    let (named, list) = native.split_once(':').ok_or_else(unknown)?;
    if named != arch.as_str() {
        return Err(unknown());
    }
    let mut features = CpuFeatures::NONE;
    for name in list.split('+').filter(|name| *name != "none") {
        features = features.union(extension(name).ok_or_else(unknown)?);
    }
    Ok(CpuLevel::Native(arch, features))
}

fn features(list: &str) -> Result<Features> {
    let mut features = Features::NONE;
    for name in list.split('+').filter(|name| !name.is_empty()) {
        features = features.union(Features::from_name(name).ok_or_else(|| {
            Error::with_kind(ErrorKind::Config, format!("unknown proposal `{name}`"))
        })?);
    }
    Ok(features)
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, value)| writeln!(f, "{name} = {value}"))
    }
}

impl FromStr for Settings {
    type Err = Error;

    /// # Errors
    /// If a line is no `name = value`, or a name comes twice.
    fn from_str(text: &str) -> Result<Settings> {
        let bad = |number: usize, what: &str| {
            let message = format!("line {}: {what}", number + 1);
            Error::with_kind(ErrorKind::Config, message)
        };
        let mut all: Vec<(String, String)> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, value) = line
                .split_once('=')
                .ok_or_else(|| bad(number, "a setting is written `name = value`"))?;
            let (name, value) = (name.trim().to_string(), value.trim().to_string());
            if all.iter().any(|(known, _)| *known == name) {
                return Err(bad(number, "this setting is there twice"));
            }
            all.push((name, value));
        }
        Ok(Settings(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change of each setting alone.
    fn configs() -> Vec<Config> {
        let base = || {
            let mut config = Config::new();
            config.target("x86_64-linux").unwrap().cpu(CpuLevel::X86_64V2).bounds(Bounds::Guard);
            config
        };
        let change = |change: &dyn Fn(&mut Config)| {
            let mut config = base();
            change(&mut config);
            config
        };
        let native = CpuLevel::Native(Arch::X86_64, CpuFeatures::AVX2.union(CpuFeatures::SSE3));
        let arm = CpuLevel::Native(Arch::Aarch64, CpuFeatures::NONE);
        vec![
            base(),
            change(&|c| _ = c.target("x86_64-macos").unwrap()),
            change(&|c| _ = c.target("aarch64-linux").unwrap().cpu(CpuLevel::Aarch64Lse)),
            change(&|c| _ = c.target("aarch64-linux").unwrap().cpu(arm)),
            change(&|c| _ = c.cpu(CpuLevel::X86_64)),
            change(&|c| _ = c.cpu(native)),
            change(&|c| _ = c.bounds(Bounds::Explicit)),
            change(&|c| _ = c.features(Features::WASM1)),
            change(&|c| _ = c.features(Features::NONE)),
            change(&|c| _ = c.cranelift_opt_level(OptLevel::None)),
            change(&|c| _ = c.cranelift_nan_canonicalization(true)),
            change(&|c| _ = c.relaxed_simd_deterministic(false)),
            change(&|c| _ = c.consume_fuel(true)),
            change(&|c| _ = c.epoch_interruption(true)),
        ]
    }

    #[test]
    fn what_an_engine_writes_makes_the_same_engine() {
        let mut seen = Vec::new();
        for config in configs() {
            let engine = Engine::new(&config).unwrap();
            let settings = engine.settings();
            assert!(!seen.contains(&settings) && settings.is_of_this_engine());
            let read: Settings = format!("# of an app\n\n{settings}").parse().unwrap();
            assert_eq!(read, settings);
            let again = Engine::new(&Config::from_settings(&read).unwrap()).unwrap();
            assert_eq!(again.compile_fingerprint(), engine.compile_fingerprint());
            let described = engine.compile_fingerprint().to_bytes();
            assert_eq!(Settings::from_description(&described), settings);
            let mut pairs: Vec<_> = settings.iter().collect();
            pairs.sort_unstable();
            assert_eq!(Settings::from_pairs(pairs), settings);
            assert!(seen.iter().all(|other| !settings.differences(other).is_empty()));
            seen.push(settings);
        }
    }

    #[test]
    fn each_field_that_is_changed_missing_or_unknown_is_named() {
        let settings = Engine::new(&configs()[0]).unwrap().settings();
        for (at, (name, _)) in settings.0.iter().enumerate() {
            let mut changed = settings.clone();
            changed.0[at].1 = "other".to_string();
            let error = format!("{:#}", Config::from_settings(&changed).unwrap_err());
            assert!(error.contains("other"), "{name}: {error}");
            assert_eq!(changed.differences(&settings)[0].field, *name);
            let is_identity = IDENTITY.contains(&&**name);
            assert_eq!(changed.is_of_this_engine(), !is_identity, "{name}");
            let mut missing = settings.clone();
            missing.0.remove(at);
            let error = Config::from_settings(&missing).unwrap_err().to_string();
            assert!(error.contains(&format!("`{name}` is missing")), "{error}");
        }
        let mut more = settings.clone();
        more.0.push(("new".into(), "1".into()));
        assert!(Config::from_settings(&more).unwrap_err().to_string().contains("`new`"));
        for bad in ["nonsense", "a = 1\na = 2", "= \u{0}\n=", "x"] {
            assert!(bad.parse::<Settings>().is_err(), "{bad}");
        }
        assert!(Settings::from_description(b"\xff\0=").is_empty());
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let of = |version: &str| Settings(vec![("engine".into(), version.into())]);
        assert!(of("0.0.9").is_of_older_engine() && of("0.1.0-rc.1").is_of_older_engine());
        assert!(!of("0.10.0").is_of_older_engine() && !of("1000.0.0").is_of_older_engine());
        let own = Engine::new(&configs()[0]).unwrap().settings();
        assert!(!own.is_of_older_engine());
        assert!(!Settings(Vec::new()).is_of_older_engine(), "of whom nobody knows");
    }
}
