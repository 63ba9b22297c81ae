//! From arguments to what they mean: settings of engines, and which cache.

use crate::args::{self, Code, DirArgs, LayerArgs, Run, Trust, Tuning, Verify};
use crate::{input, platform, report, trusted, units};
use precompile::cache::{
    DirOptions, ErrorKind, Layers, LayersBuilder, Mode, Policy, Problem, SigningKey, TrustAnyone,
    TrustedKeys,
};
use precompile::{Arch, Bounds, Config, CpuLevel, Engine, Features, OptLevel, Settings, Target};
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// A command line that cannot be meant.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One way to compile each input.
#[derive(Clone, Debug)]
pub(crate) struct Variant {
    pub(crate) target: Target,
    pub(crate) cpu: CpuLevel,
    pub(crate) config: Config,
    /// Whether it is for this very host, where engines take the best level that there is an entry for;
    /// then `cpu` is the best one of the host.
    pub(crate) is_host: bool,
}

impl Variant {
    /// The one that `config` stands for, which names its target and level.
    fn new(config: Config) -> Result<Variant, Usage> {
        let engine = engine(&config)?;
        Ok(Variant { target: engine.target(), cpu: engine.cpu(), config, is_host: false })
    }

    /// What engines ask for here.
    pub(crate) fn of_host(code: &Code) -> Result<Variant, Usage> {
        Ok(Variant { is_host: true, ..Variant::new(host_settings(code)?)? })
    }

    /// All that its code depends on.
    pub(crate) fn settings(&self) -> Result<Settings, Usage> {
        Ok(engine(&self.config)?.settings())
    }

    /// Whether the code is for one kind of processor only.
    pub(crate) fn is_native(&self) -> bool {
        matches!(self.cpu, CpuLevel::Native(..))
    }

    /// The engine that compiles this way, with a cache.
    pub(crate) fn engine(&self, cache: LayersBuilder, jobs: usize) -> Result<Engine, Usage> {
        let mut config = self.config.clone();
        trusted::attach(&mut config, cache).compile_jobs(jobs);
        engine(&config)
    }
}

fn engine(config: &Config) -> Result<Engine, Usage> {
    Engine::new(config).map_err(|error| Usage(format!("{error:#}")))
}

/// All ways that `code` asks for: each target with each of the CPU levels that belong to it.
pub(crate) fn variants(code: &Code) -> Result<Vec<Variant>, Usage> {
    let files = code.engine_settings.iter().map(|path| from_file(path));
    let files = files.collect::<Result<Vec<Variant>, Usage>>()?;
    if !files.is_empty() && !is_placed(code) {
        return Ok(files);
    }
    if files.is_empty() {
        return placed(code, &settings(code)?, None);
    }
    let all = files.iter().map(|file| placed(code, &file.config, Some(file.target)));
    Ok(all.collect::<Result<Vec<_>, _>>()?.concat())
}

/// The ways that a record asks for with `settings`: as they are, or on the platforms that `code`
/// names.
pub(crate) fn variants_from(settings: &Settings, code: &Code) -> Result<Vec<Variant>, Usage> {
    let config = Config::from_settings(settings).map_err(|error| Usage(format!("{error:#}")))?;
    let own = Variant::new(config)?;
    match is_placed(code) {
        true => placed(code, &own.config, Some(own.target)),
        false => Ok(vec![own]),
    }
}

/// Whether anything is said of what code is for, so that not all of it is this program's choice.
pub(crate) fn is_named(code: &Code) -> bool {
    is_placed(code) || !code.engine_settings.is_empty()
}

/// Whether a target, a platform or a level is named.
fn is_placed(code: &Code) -> bool {
    [&code.target, &code.platform, &code.cpu].iter().any(|list| !list.is_empty())
}

/// The settings of `base` for each target and level that are named; without a target for `own`, or
/// else this host.
fn placed(code: &Code, base: &Config, own: Option<Target>) -> Result<Vec<Variant>, Usage> {
    let named = places(code, own)?;
    let targets: Vec<Target> = named.iter().map(|(target, _)| *target).collect();
    let mut all: Vec<Variant> = Vec::new();
    for (target, level) in named {
        let levels = levels(code, target.arch(), &targets)?;
        for cpu in level.map_or(levels, |level| vec![level]) {
            // The same target twice, or by two names, is one.
            if !all.iter().any(|known| known.target == target && known.cpu == cpu) {
                all.push(Variant { target, cpu, config: at(base, target, cpu)?, is_host: false });
            }
        }
    }
    Ok(all)
}

/// The targets that are named, each with its level if the platform has one; or else `own`, or else
/// this host.
fn places(code: &Code, own: Option<Target>) -> Result<Vec<(Target, Option<CpuLevel>)>, Usage> {
    let target = |name: &String| match name.parse::<Target>() {
        Ok(target) => Ok((target, None)),
        Err(error) => Err(Usage(error.to_string())),
    };
    let platform = |name: &String| platform::parse(name).map_err(Usage);
    let named = code.target.iter().map(target).chain(code.platform.iter().map(platform));
    let named = named.collect::<Result<Vec<_>, _>>()?;
    if !named.is_empty() {
        return Ok(named);
    }
    let host = own.or(Target::host());
    let message = "there is no code for this host: name a --target";
    Ok(vec![(host.ok_or_else(|| Usage(message.to_string()))?, None)])
}

/// The variant that a file with an engine's settings asks for.
fn from_file(path: &Path) -> Result<Variant, Usage> {
    let text = fs::read_to_string(path).map_err(|error| input::explain(&error));
    let config = text.and_then(|text| {
        let settings = text.parse::<Settings>();
        let config = settings.and_then(|settings| Config::from_settings(&settings));
        config.map_err(|error| format!("{error:#}"))
    });
    let config = config.map_err(|problem| Usage(format!("{}: {problem}", report::shown(path))))?;
    Variant::new(config)
}

/// The CPU levels for an instruction set: those that are asked for, or else the portable one. The
/// host's processor is looked at for `native` alone.
fn levels(code: &Code, arch: Arch, targets: &[Target]) -> Result<Vec<CpuLevel>, Usage> {
    let mut levels = Vec::new();
    for name in &code.cpu {
        match CpuLevel::parse(name, arch) {
            Ok(level) => levels.push(level),
            // It may be meant for another one of the targets.
            Err(error) => {
                if !targets.iter().any(|target| CpuLevel::parse(name, target.arch()).is_ok()) {
                    return Err(unknown_level(name, arch, &error));
                }
            }
        }
    }
    if levels.is_empty() {
        levels.push(CpuLevel::portable(arch));
    }
    Ok(levels)
}

/// A level that there is not for `arch`; it may be one of another.
fn unknown_level(name: &str, arch: Arch, error: &impl std::fmt::Display) -> Usage {
    let others = [
        (Arch::X86_64, "x86-64", "x86_64-unknown-linux-gnu"),
        (Arch::Aarch64, "aarch64", "aarch64-unknown-linux-gnu"),
    ];
    let mut others = others.iter().filter(|(other, ..)| *other != arch);
    let found = others.find(|(other, ..)| CpuLevel::parse(name, *other).is_ok());
    Usage(match found {
        Some((_, other, target)) => format!(
            "`{name}` is a CPU level of {other}: for code that runs there add --target {target}"
        ),
        None => error.to_string(),
    })
}

/// The engines of an app that has these settings: on this host, one that takes the best level that
/// there is an entry for; or else one for each level and target that are named.
pub(crate) fn engines(code: &Code, layers: &LayersBuilder) -> Result<Vec<Engine>, Usage> {
    if !is_placed(code) && code.engine_settings.is_empty() {
        return Ok(vec![Variant::of_host(code)?.engine(layers.clone(), 1)?]);
    }
    variants(code)?.iter().map(|variant| variant.engine(layers.clone(), 1)).collect()
}

fn at(base: &Config, target: Target, cpu: CpuLevel) -> Result<Config, Usage> {
    let mut config = base.clone();
    // All are named, so that nothing of the building host gets into the key.
    config.target(&target.to_string()).map_err(|error| Usage(format!("{error:#}")))?.cpu(cpu);
    Ok(config)
}

/// The settings that are the same for all targets and levels.
fn settings(code: &Code) -> Result<Config, Usage> {
    let mut config = host_settings(code)?;
    config.bounds(bounds(code.bounds.unwrap_or_default()));
    Ok(config)
}

/// The same, where bounds that are not named are the choice of the engine, as in `run` and apps.
fn host_settings(code: &Code) -> Result<Config, Usage> {
    let mut config = Config::new();
    if let Some(how) = code.bounds {
        config.bounds(bounds(how));
    }
    config.consume_fuel(code.fuel).epoch_interruption(code.epoch_interruption);
    tune(&mut config, &code.tuning)?;
    Ok(config)
}

/// The settings of `run`: what is not named is the engine's choice, as it is in apps.
pub(crate) fn run_config(args: &Run) -> Result<Config, Usage> {
    let mut config = Config::new();
    if let Some(name) = &args.cpu {
        let arch = Target::host().map(|host| host.arch());
        let arch = arch.ok_or_else(|| Usage("there is no code for this host".to_string()))?;
        config.cpu(CpuLevel::parse(name, arch).map_err(|error| unknown_level(name, arch, &error))?);
    }
    if let Some(how) = args.bounds {
        config.bounds(bounds(how));
    }
    config.consume_fuel(args.fuel.is_some()).epoch_interruption(args.timeout.is_some());
    tune(&mut config, &args.tuning)?;
    Ok(config)
}

fn bounds(how: args::Bounds) -> Bounds {
    match how {
        args::Bounds::Guard => Bounds::Guard,
        args::Bounds::Explicit => Bounds::Explicit,
    }
}

fn tune(config: &mut Config, tuning: &Tuning) -> Result<(), Usage> {
    config
        .features(features(tuning.features.as_deref())?)
        .cranelift_opt_level(match tuning.opt_level {
            args::Opt::None => OptLevel::None,
            args::Opt::Speed => OptLevel::Speed,
        })
        .cranelift_nan_canonicalization(tuning.nan_canonicalization)
        .relaxed_simd_deterministic(match tuning.relaxed_simd {
            args::RelaxedSimd::Deterministic => true,
            args::RelaxedSimd::Fast => false,
        });
    Ok(())
}

/// The proposals of a list: changes of the default or of a set with a name, or a whole set.
pub(crate) fn features(list: Option<&str>) -> Result<Features, Usage> {
    let Some(list) = list else { return Ok(Features::default()) };
    let words: Vec<&str> = list.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    let named = words.first().and_then(|word| set(word));
    let words = &words[usize::from(named.is_some())..];
    let is_change = |word: &&str| word.starts_with(['+', '-']);
    let changes = words.iter().copied().filter(|word| is_change(word)).count();
    if changes != 0 && changes != words.len() || named.is_some() && changes != words.len() {
        let message = "--features takes changes (+simd,-bulk-memory), a set and changes \
                       (wasm2,+simd) or a list (simd,bulk-memory), not both";
        return Err(Usage(message.to_string()));
    }
    let default = if changes > 0 { Features::default() } else { Features::NONE };
    let mut features = named.unwrap_or(default);
    for word in words {
        let (on, name) = match word.strip_prefix('-') {
            Some(name) => (false, name),
            None => (true, word.strip_prefix('+').unwrap_or(word)),
        };
        let feature = Features::from_name(name).ok_or_else(|| {
            let known: Vec<_> = Features::SUPPORTED.names().collect();
            Usage(format!("unknown proposal `{name}`: there are {}", known.join(", ")))
        })?;
        features = features.with(feature, on);
    }
    Ok(features)
}

/// A set of proposals that has a name.
fn set(name: &str) -> Option<Features> {
    Some(match name {
        "all" => Features::SUPPORTED,
        "default" => Features::default(),
        "wasm1" => Features::WASM1,
        "wasm2" => Features::WASM2,
        // As far as the engine has it; a module with more is refused by the proposal's name.
        "wasm3" => Features::WASM3.intersection(Features::SUPPORTED),
        _ => return None,
    })
}

/// Whoever misspells a mode or a policy means another one than the default.
pub(crate) fn known_words() -> Result<(), Usage> {
    fn known<T: FromStr<Err = precompile::cache::Error>>(name: &str) -> Result<(), Usage> {
        let text = std::env::var_os(name).unwrap_or_default();
        let word = text.to_string_lossy();
        if word.is_empty() {
            return Ok(());
        }
        word.parse::<T>().map(drop).map_err(|error| Usage(format!("{name}: {error}")))
    }
    known::<Mode>("PRECOMPILE_CACHE_MODE")?;
    known::<Policy>("PRECOMPILE_CACHE_VERIFY")
}

/// The directory that is read if it is there.
const SYSTEM: &str = "/usr/share/precompile";

/// The path in one spelling, from the root on. No link is followed: of what is missing there is none.
fn whole(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut whole = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => _ = whole.pop(),
            component => whole.push(component),
        }
    }
    whole
}

/// Whoever trusts a directory that is not there, and that nothing else names, misspells it.
pub(crate) fn known_dirs(args: &LayerArgs, out: Option<&Path>) -> Result<(), Usage> {
    // What cannot be looked at is there, or at least not misspelled.
    let is_missing = |dir: &&PathBuf| matches!(dir.try_exists(), Ok(false));
    let missing: Vec<_> = args.dir.trust_dir.iter().filter(is_missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let own = from_env(&args.dir, &["PRECOMPILE_RECORD"]);
    let read = std::env::var_os("PRECOMPILE_CACHE_PATH").unwrap_or_default();
    let named = std::env::split_paths(&read).chain(args.below.iter().cloned());
    let named = named.chain(own.write_path().into_iter().chain(out).map(PathBuf::from));
    let named = named.chain([PathBuf::from(SYSTEM)]);
    let named: Vec<PathBuf> = named.map(|path| whole(&path)).collect();
    let Some(unknown) = missing.into_iter().find(|dir| !named.contains(&whole(dir))) else {
        return Ok(());
    };
    Err(Usage(format!(
        "--trust-dir {}: there is no such folder, and it is none of the cache's; check the path",
        report::shown(unknown)
    )))
}

/// The layers of an engine that runs here: those of the environment, with another read-write
/// directory if one is named.
pub(crate) fn layers(args: &LayerArgs, trust: &Trust) -> Result<LayersBuilder, Usage> {
    layers_of(from_env(&args.dir, &["PRECOMPILE_RECORD"]), args, trust)
}

/// The same for `run`, which is what a record is of.
pub(crate) fn run_layers(args: &LayerArgs, trust: &Trust) -> Result<LayersBuilder, Usage> {
    layers_of(from_env(&args.dir, &[]), args, trust)
}

fn layers_of(
    layers: LayersBuilder,
    args: &LayerArgs,
    trust: &Trust,
) -> Result<LayersBuilder, Usage> {
    known_words()?;
    known_dirs(args, None)?;
    let mut layers = with_dirs(layers, args);
    if let Some(scope) = &trust.scope {
        layers = layers.names_scope(scope.as_str());
    }
    for path in &trust.trusted_key {
        layers = layers.trusted_keys(read_trusted(path)?);
    }
    let policy = match (trust.verify, trust.trusted_key.is_empty()) {
        (None, true) => return Ok(layers),
        (None | Some(Verify::Signed), _) => Policy::Signed,
        (Some(_), false) => {
            let message = "--trusted-key is for --verify signed: leave one of the two out";
            return Err(Usage(message.to_string()));
        }
        (Some(Verify::Auto), _) => Policy::Auto,
        (Some(Verify::Header), _) => Policy::Header,
        (Some(Verify::Full), _) => Policy::Full,
    };
    Ok(layers.policy(policy))
}

/// The keys that have to have signed what is believed, if a signature is asked for: those that are
/// named, or else those of the environment.
pub(crate) fn trusted_keys(trust: &Trust) -> Result<Option<TrustedKeys>, Usage> {
    let word = |name| std::env::var_os(name).filter(|text| !text.is_empty());
    let mut files = trust.trusted_key.clone();
    // A word that is none is the strictest one, as it is for layers.
    let by_environment = word("PRECOMPILE_CACHE_VERIFY").is_some_and(|policy| {
        policy.to_string_lossy().parse::<Policy>().map_or(true, |policy| policy == Policy::Signed)
    });
    if files.is_empty() && !by_environment && !matches!(trust.verify, Some(Verify::Signed)) {
        return Ok(None);
    }
    if files.is_empty()
        && let Some(list) = word("PRECOMPILE_CACHE_KEYS")
    {
        files = std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect();
    }
    let mut keys = TrustedKeys::new();
    for path in files {
        keys.extend(read_trusted(&path)?);
    }
    Ok(Some(keys))
}

/// The secret key in a file. That others can read it is told.
pub(crate) fn sign_key(path: &Path) -> Result<Arc<SigningKey>, Usage> {
    let key = SigningKey::read(path).map_err(|error| no_key(path, &error))?;
    let mode = path.metadata().map_or(0, |metadata| metadata.permissions().mode() & 0o777);
    if mode & 0o077 != 0 {
        report::warning(format_args!(
            "{}: others can use this secret key, its mode is {mode:04o}: chmod it to 0600",
            report::shown(path)
        ));
    }
    Ok(Arc::new(key))
}

/// The public keys in a file.
fn read_trusted(path: &Path) -> Result<TrustedKeys, Usage> {
    TrustedKeys::read(path).map_err(|error| no_key(path, &error))
}

/// Why there is no key, and what to do about it.
fn no_key(path: &Path, error: &precompile::cache::Error) -> Usage {
    let shown = report::shown(path);
    let is_secret = || {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.trim_start().starts_with("precompile-secret-key")
    };
    Usage(match error.kind() {
        ErrorKind::Io { source, .. } => {
            format!("could not read the key {shown}: {}", input::explain(source))
        }
        ErrorKind::Key { what, .. } if what.contains("is where") => format!(
            "no key in {shown}: {what}; `keygen` has written both, {}",
            match is_secret() {
                true => "name the one that ends in .pub, and give this one to nobody",
                false => "name the one that ends in .key",
            }
        ),
        _ => error.to_string(),
    })
}

/// The ways to open a directory, which may be one that is trusted by name.
pub(crate) fn dir_options(dir: &DirArgs, sign_with: Option<&Arc<SigningKey>>) -> DirOptions {
    let options = dir
        .trust_dir
        .iter()
        .fold(DirOptions::new(), |options, path| options.dangerously_trust_dir(path, promise()));
    match sign_with {
        Some(key) => options.sign_with(Arc::clone(key)),
        None => options,
    }
}

/// What whoever writes `--trust-dir` says.
pub(crate) fn promise() -> TrustAnyone {
    TrustAnyone::i_vouch_for_every_writer()
}

/// The layers of the environment, with the directory that is named in place of its own, and without
/// what some variables say.
fn from_env(dir: &DirArgs, without: &[&str]) -> LayersBuilder {
    let named = dir.cache_dir.as_ref().map(|path| OsString::from(path.as_os_str()));
    LayersBuilder::from_env_or(|name| match name {
        "PRECOMPILE_CACHE_DIR" => named.clone(),
        // Empty is not set.
        _ => without.contains(&name).then(OsString::new),
    })
}

/// What a list of names is for that is written or signed: what is named, or else what the environment
/// has its readers ask for.
pub(crate) fn list_scope(named: Option<&str>) -> Result<Option<String>, Usage> {
    let layers = from_env(&DirArgs::default(), &["PRECOMPILE_RECORD"]);
    match (named, layers.scope()) {
        (Some(scope), _) => Ok(Some(scope.to_string())),
        (None, Some(scope)) => units::parse_scope(scope)
            .map(Some)
            .map_err(|problem| Usage(format!("PRECOMPILE_CACHE_SCOPE: {problem}"))),
        (None, None) => Ok(None),
    }
}

/// Whether the environment asks for what cannot be: that is told whatever the cache has. That there
/// is no home, or whose rights this process has, is not asked for.
pub(crate) fn is_of_environment(problem: &Problem) -> bool {
    use ErrorKind::{NoHome, Privileged, UnknownRights};
    let kind = problem.error.kind();
    problem.layer.is_none() && !matches!(kind, NoHome | Privileged | UnknownRights { .. })
}

/// With the directories below, and those that are trusted.
pub(crate) fn with_dirs(layers: LayersBuilder, args: &LayerArgs) -> LayersBuilder {
    let layers = args.below.iter().fold(layers, LayersBuilder::below);
    let trusted = args.dir.trust_dir.iter();
    trusted.fold(layers, |layers, path| layers.dangerously_trust_dir(path, promise()))
}

/// The layers to warm: exactly the named directory, or else those of the environment.
///
/// # Errors
/// If nothing can be written there.
pub(crate) fn warm_layers(
    args: &LayerArgs,
    sign_with: Option<&Arc<SigningKey>>,
) -> Result<LayersBuilder, String> {
    if let Some(path) = &args.dir.cache_dir {
        let dir = dir_options(&args.dir, sign_with).open(path);
        let dir = dir.map_err(|error| error.to_string())?;
        return Ok(with_dirs(Layers::builder().read_write_dir(dir), args));
    }
    let mut builder = with_dirs(from_env(&args.dir, &["PRECOMPILE_RECORD"]), args);
    if let Some(key) = sign_with {
        builder = builder.sign_with(Arc::clone(key));
    }
    // Opened once by itself, to learn whether it can be written, and then by each engine.
    let opened = builder.clone().build();
    if opened.write_path().is_some() {
        return Ok(builder);
    }
    Err(match opened.problems().first() {
        Some(problem) => problem.error.to_string(),
        None if opened.mode() != Mode::Auto => format!(
            "PRECOMPILE_CACHE_MODE is {}, so nothing can be written; unset it, or name a \
             directory with --cache-dir or --out",
            opened.mode()
        ),
        None => "PRECOMPILE_CACHE_DIR is empty, so there is no directory to write to; set it, or \
                 name one with --cache-dir or --out"
            .to_string(),
    })
}

/// The same to look only: nothing is created or written.
pub(crate) fn look_layers(dir: Option<&Path>, args: &LayerArgs) -> LayersBuilder {
    let layers = match dir {
        Some(path) => Layers::builder().read_write(path),
        None => from_env(&args.dir, &["PRECOMPILE_RECORD"]),
    };
    with_dirs(layers, args).mode(Mode::ReadOnly)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(code: &Code) -> Vec<String> {
        let all = variants(code).unwrap();
        all.iter().map(|variant| format!("{} {}", variant.target, variant.cpu)).collect()
    }

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| word.to_string()).collect()
    }

    #[test]
    fn each_target_gets_the_levels_that_belong_to_it() {
        let targets = ["x86_64-unknown-linux-musl", "aarch64-linux", "x86_64-linux"];
        let mut code = Code { target: strings(&targets), ..Code::default() };
        assert_eq!(names(&code), ["x86_64-linux x86-64-v2", "aarch64-linux aarch64"]);
        code.cpu = strings(&["x86-64-v3", "x86-64"]);
        let two = ["x86_64-linux x86-64-v3", "x86_64-linux x86-64", "aarch64-linux aarch64"];
        assert_eq!(names(&code), two);
        code.cpu = strings(&["v9"]);
        assert!(variants(&code).unwrap_err().0.contains("unknown CPU level `v9`"));
        code.target = strings(&["riscv64gc-unknown-linux-gnu"]);
        assert!(variants(&code).unwrap_err().0.contains("unknown target"));
    }

    #[test]
    fn proposals_are_changed_or_listed() {
        let default = Features::default();
        assert_eq!(features(None).unwrap(), default);
        assert_eq!(features(Some("-simd")).unwrap(), default.difference(Features::SIMD));
        let two = Features::SIMD.union(Features::BULK_MEMORY);
        assert_eq!(features(Some("simd, bulk-memory")).unwrap(), two);
        assert_eq!(features(Some("")).unwrap(), Features::NONE);
        assert_eq!(features(Some("all")).unwrap(), Features::SUPPORTED);
        let some = features(Some("wasm1, +simd,-mutable-global")).unwrap();
        assert_eq!(some, Features::SIMD);
        for list in ["simd,-bulk-memory", "wasm2,simd", "all,wasm1", "+simd,all"] {
            let refused = features(Some(list)).unwrap_err().0;
            assert!(refused.contains("not both") || refused.contains("unknown"), "{refused}");
        }
        assert!(features(Some("+sind")).unwrap_err().0.contains("there are"));
    }
}
