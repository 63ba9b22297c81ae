//! What can be written on the command line. What it means is in `plan.rs`.

pub(crate) mod cache;

use crate::units::{self, Digest};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

const EXIT_CODES: &str = "\
Exit codes:
  0    fine
  1    an input was invalid or failed: a module, a script of tests or its time,
       a manifest, a record; the others were done all the same
  2    the command line or the environment is wrong, or a file of keys or
       settings that they name
  3    the cache directory cannot be opened or written
  4    check, explain, inspect --digest: something would miss
  run passes the guest's own code through; 134 is a trap, by --fuel or --timeout
  as well, or an exception that nobody caught, 124 a miss under --require-hit, 125
  any failure of our own, be it a key, the cache or the module, and 2 a command
  line that cannot be read.

Environment:
  PRECOMPILE_CACHE_DIR   the cache directory; empty for none
  PRECOMPILE_CACHE_PATH  directories that are only read, separated by colons
  PRECOMPILE_CACHE_MODE  auto, read-only, require-hit or off
  PRECOMPILE_CACHE_MAX_SIZE  the most that the cache directory may hold, such as
                         500M; none for no limit
  PRECOMPILE_CACHE_VERIFY  auto, header, full or signed
  PRECOMPILE_CACHE_KEYS  files of trusted keys, separated by colons
  PRECOMPILE_CACHE_SCOPE  what lists of names have to be for, and are written for
  PRECOMPILE_RECORD      a file to which each run appends what it asked for, for
                         --from
  SOURCE_DATE_EPOCH      the time of what --out writes, in seconds since 1970
The cache directory is $XDG_CACHE_HOME/precompile unless one is named; that one
holds 10 GiB at most, a named one has no limit. In programs with set-user-ID
these only restrict: the mode, the scope, and full and signed count.

A file that is named like a command is written ./NAME.";

/// Compile WebAssembly ahead of time, so that it starts without compiling.
///
/// Without a command, warms the cache: compiles each module that the cache does not have yet.
/// Folders stand for all *.wasm and *.wat in them, - for a module on standard input.
#[derive(Debug, Parser)]
#[command(
    name = "precompile",
    version,
    after_help = EXIT_CODES,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) warm: Warm,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a WASI command through the cache
    ///
    /// Takes the entry of the best level of processors that this host and the cache have; `check --host`
    /// tells beforehand whether there is one. What is missing is compiled for the best level of this host,
    /// and added.
    Run(Run),
    /// Tell whether everything would hit; compile nothing
    ///
    /// Asks all layers that `run`, or an app with LayersBuilder::from_env, would: the directories of
    /// PRECOMPILE_CACHE_PATH, /usr/share/precompile, the cache directory, those of --below. And it asks for
    /// what `precompile FILE` with the same options makes: exactly the platforms and levels of processors
    /// that are named, without --target, --platform and --cpu for this host's platform and the level
    /// x86-64-v2 or aarch64, not for this processor. So it says the same on each machine, and a hit means
    /// that hosts of that level and better ones find it. Whether `run` would hit here is told with --host,
    /// which asks for the best level that there is an entry for, as `run`, apps and `explain` do.
    Check(Check),
    /// Tell why a module would hit or miss
    ///
    /// Asks for what `run` and apps on this host would: the best level that there is an entry for. With
    /// --cpu or --target, for exactly that, as `check` does. Compiles nothing; exits with 4 for a miss.
    Explain(Explain),
    /// Tell what is in an entry or artifact
    Inspect(Inspect),
    /// Make a key that signs entries
    ///
    /// Writes NAME.key, which is secret, and NAME.pub, for --trusted-key, and prints the latter. A name
    /// without a number at its end gets the next one, so that keys can follow each other: make the
    /// next, trust both for a while, sign with the new one, then trust that one alone.
    Keygen(Keygen),
    /// Sign the entries and names of a cache directory
    ///
    /// Only what nobody else could have written, and what is whole. The signed form takes its place.
    Sign(Sign),
    /// Look after a cache directory: dir, ls, stats, verify, prune, clean
    Cache(cache::Cache),
    /// Tell the settings that code depends on
    Settings(Settings),
    /// Run scripts of tests: *.wast
    ///
    /// Each directive that fails is told as FILE:LINE: MESSAGE on standard error, and the others run
    /// all the same. Scripts run in processes of their own: one that crashes, or takes longer than
    /// --timeout, fails from that directive on, and no other one notices.
    ///
    /// Without --features, scripts have all proposals that the engine supports, those too that are off
    /// by default elsewhere: `run` and modules have what WebAssembly 3.0 has. Lines such as
    /// ;;! memory64 = true or ;; RUN: wast % -f wasm1 at the top of a script switch them for it. A
    /// script whose lines ask for what the engine does not have, and which fails, is skipped: it is
    /// told and counted, and has not passed. There is no cache.
    ///
    /// An assertion of an earlier version of the specification, such as that a module is invalid for
    /// "multiple memories", is held against an engine without proposals.
    Wast(Wast),
    /// Print a script that completes command lines in a shell
    Completions(Completions),
    /// Write the manual pages into a folder
    Man(Man),
}

/// Compile modules into the cache.
#[derive(Debug, Args)]
pub(crate) struct Warm {
    /// Modules, folders of them, or - for standard input
    #[arg(required_unless_present = "from", value_name = "FILE|DIR|-")]
    pub(crate) inputs: Vec<PathBuf>,
    /// Compile exactly what runs have noted in FILE with PRECOMPILE_RECORD=FILE: their modules, with
    /// their settings. A module that is not where it was, or was in memory, is looked for among the
    /// inputs by its digest. The level of processors is that of the machine that recorded, unless
    /// --target, --platform or --cpu names others
    #[arg(long, value_name = "FILE", conflicts_with_all = ["engine_settings", "bounds", "fuel",
        "epoch_interruption", "opt_level", "features", "nan_canonicalization", "relaxed_simd"])]
    pub(crate) from: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) layers: LayerArgs,
    /// Put the entries of these inputs, and nothing else, into DIR for an image: readable by
    /// everybody. With --cache-dir, what is there already is copied instead of compiled
    #[arg(long, value_name = "DIR", help_heading = "Cache")]
    pub(crate) out: Option<PathBuf>,
    /// Sign the entries, names and manifest with the secret key in FILE; entries that are there
    /// already as well
    #[arg(long, value_name = "FILE", help_heading = "Trust")]
    pub(crate) sign_key: Option<PathBuf>,
    /// Say in the list of names that it is for SCOPE, such as plugins-prod: who reads with --scope SCOPE
    /// takes no other list, whoever signed it. Without it, what PRECOMPILE_CACHE_SCOPE says
    #[arg(long, value_name = "SCOPE", value_parser = units::parse_scope, help_heading = "Trust")]
    pub(crate) scope: Option<String>,
    /// Write a list of the modules and their entries into FILE, as JSON, for `check --manifest` and
    /// `cache prune --keep-manifest`; its signature goes into FILE.sig
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run", help_heading = "Output")]
    pub(crate) manifest: Option<PathBuf>,
    /// Write the names of the modules into the cache directory, for `run --name` and
    /// Module::from_name: their paths in the folders that are named, or the names of their files.
    /// --out does so in any case. Standard input has no name
    #[arg(long, help_heading = "Output")]
    pub(crate) names: bool,
    /// Write no names
    #[arg(long, conflicts_with = "names", help_heading = "Output")]
    pub(crate) no_names: bool,
    #[command(flatten)]
    pub(crate) code: Code,
    /// Threads that compile; 0 for one a processor
    #[arg(short = 'j', long, value_name = "N", default_value = "0", value_parser = units::parse_jobs)]
    pub(crate) jobs: usize,
    /// Say what would be compiled; compile and write nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) document: Document,
}

/// Which cache directory.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Cache")]
pub(crate) struct DirArgs {
    /// The cache directory
    #[arg(long, value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Use DIR although others can write to it, or to what is above it. Whoever can write there runs
    /// code in what reads it. May be repeated
    #[arg(long, value_name = "DIR", help_heading = "Trust")]
    pub(crate) trust_dir: Vec<PathBuf>,
}

/// Which directories.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Cache")]
pub(crate) struct LayerArgs {
    #[command(flatten)]
    pub(crate) dir: DirArgs,
    /// Look in DIR when all others miss, and copy what is found there into the cache directory: for
    /// a share of the network. May be repeated
    #[arg(long, value_name = "DIR", help_heading = "Cache")]
    pub(crate) below: Vec<PathBuf>,
}

/// What is written where.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct Document {
    /// json writes one document to standard output
    ///
    /// It has a schema_version, within which fields are added and none is taken away. What there is
    /// nothing to say of is null: cache, where no directory is written to, so that each entry of
    /// `cache ls` and each finding of `cache verify` has the path of its own as cache; digest and id of
    /// what is no module; layer and entry of what was not found; miss, error and add_failure where there
    /// is none; and sizes and functions that nobody has counted.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// What `check` and `explain` ask for, and whom.
#[derive(Debug, Args)]
pub(crate) struct Question {
    #[command(flatten)]
    pub(crate) layers: LayerArgs,
    #[command(flatten)]
    pub(crate) code: Code,
    #[command(flatten)]
    pub(crate) trust: Trust,
    #[command(flatten)]
    pub(crate) document: Document,
}

/// What changes code, and so the key of an entry.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Settings that change code")]
pub(crate) struct Code {
    /// Take all of them from FILE, which an app has written with Engine::settings(), or
    /// `precompile settings`; may be repeated. With --platform, --target or --cpu, all but what
    /// these say
    #[arg(long, value_name = "FILE", conflicts_with_all = ["bounds", "fuel", "epoch_interruption", "opt_level", "features", "nan_canonicalization",
        "relaxed_simd"])]
    pub(crate) engine_settings: Vec<PathBuf>,
    /// Platforms to make code for, as images have them: linux/amd64/v3,linux/arm64. amd64 without a
    /// variant is for the levels of --cpu
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) platform: Vec<String>,
    /// Platform to make code for, this host's by default; may be repeated
    #[arg(long, value_name = "TRIPLE")]
    pub(crate) target: Vec<String>,
    /// Level of processors, such as x86-64-v3 or aarch64+lse; may be repeated. The default is
    /// x86-64-v2 or aarch64; native is this host's own processor
    #[arg(long, value_name = "LEVEL")]
    pub(crate) cpu: Vec<String>,
    /// How accesses are kept inside of memories; the default is guard
    #[arg(long, value_name = "HOW")]
    pub(crate) bounds: Option<Bounds>,
    /// Make code that counts fuel, for apps with Config::consume_fuel and `run --fuel N`
    #[arg(long)]
    pub(crate) fuel: bool,
    /// Make code that looks at the epoch, for apps with Config::epoch_interruption and `run --timeout`
    #[arg(long)]
    pub(crate) epoch_interruption: bool,
    #[command(flatten)]
    pub(crate) tuning: Tuning,
}

/// The part of it that is the same for all processors, and that `run` has as well.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Settings that change code")]
pub(crate) struct Tuning {
    /// How hard the compiler tries
    #[arg(long, value_name = "LEVEL", default_value = "speed")]
    pub(crate) opt_level: Opt,
    /// Proposals that modules may use: changes of the default, such as -simd,+wide-arithmetic; or
    /// all, wasm1, wasm2 or wasm3 and changes of that; or a list, such as simd,bulk-memory
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    pub(crate) features: Option<String>,
    /// Give every NaN the same bits on all processors; without this, their signs and payloads may differ
    #[arg(long)]
    pub(crate) nan_canonicalization: bool,
    /// Relaxed vector instructions: the same results on all processors, as the specification's
    /// deterministic profile has them (a madd rounds twice; for bits of NaNs, --nan-canonicalization),
    /// or what is fast on one
    #[arg(long, value_name = "HOW", default_value = "deterministic")]
    pub(crate) relaxed_simd: RelaxedSimd,
}

/// Which entries are believed.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Trust")]
pub(crate) struct Trust {
    /// How much of an entry is checked before it is used. auto: all of it the first time; header:
    /// that it is the right one; full: all of it each time; signed: that a trusted key signed it,
    /// in directories that are only read or that others may write to
    #[arg(long, value_name = "POLICY")]
    pub(crate) verify: Option<Verify>,
    /// Trust the public keys in FILE, and with it --verify signed; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) trusted_key: Vec<PathBuf>,
    /// Take lists of names that are for SCOPE only, as --scope has said where they were written
    #[arg(long, value_name = "SCOPE", value_parser = units::parse_scope)]
    pub(crate) scope: Option<String>,
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct Output {
    /// Say nothing but errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say where the time went, and why something missed
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
}

/// Run a WASI command through the cache.
#[derive(Debug, Args)]
#[command(override_usage = "precompile run [OPTIONS] <FILE> [ARGS]...
       precompile run [OPTIONS] --name <NAME> | --digest <SHA256> [ARGS]...")]
pub(crate) struct Run {
    /// Give the guest a directory of the host, under its own name or as GUEST; may be repeated
    #[arg(long = "dir", value_name = "HOST[::GUEST]")]
    pub(crate) dirs: Vec<String>,
    /// Give the guest an environment variable, with the host's value or VALUE; may be repeated
    #[arg(long = "env", value_name = "NAME[=VALUE]", value_parser = units::parse_variable)]
    pub(crate) env: Vec<String>,
    /// Call this export with ARGS as its parameters, and print its results one a line
    #[arg(long, value_name = "NAME")]
    pub(crate) invoke: Option<String>,
    /// Let the guest use N units of fuel, about one an operator; without any left it traps. This is code
    /// that counts: `precompile --fuel` warms the cache for it, `check --host --fuel` looks
    #[arg(long, value_name = "N")]
    pub(crate) fuel: Option<u64>,
    /// Let the guest run for so long: seconds, or with ms, s, m or h behind the number; then it traps (0
    /// for as long as it likes).
    /// This is code that looks at the epoch: `precompile --epoch-interruption` warms the cache for it,
    /// `check --host --epoch-interruption` looks
    #[arg(long, value_name = "TIME", value_parser = units::parse_timeout)]
    pub(crate) timeout: Option<Duration>,
    /// Fail with 124 instead of compiling
    #[arg(long, help_heading = "Cache")]
    pub(crate) require_hit: bool,
    #[command(flatten)]
    pub(crate) layers: LayerArgs,
    /// How compiled modules get into memory
    #[arg(long, value_name = "HOW", default_value = "map", help_heading = "Cache")]
    pub(crate) load: Load,
    /// Level of processors, such as x86-64-v3: look for no other, and compile for it. The default
    /// is the best one that there is an entry for, and then the best one of this host
    #[arg(long, value_name = "LEVEL", help_heading = "Settings that change code")]
    pub(crate) cpu: Option<String>,
    /// How accesses are kept inside of memories; the default is guard, if this host can
    #[arg(long, value_name = "HOW", help_heading = "Settings that change code")]
    pub(crate) bounds: Option<Bounds>,
    #[command(flatten)]
    pub(crate) tuning: Tuning,
    #[command(flatten)]
    pub(crate) trust: Trust,
    #[command(flatten)]
    pub(crate) output: Output,
    /// Run the module that the cache's names call NAME, instead of a file; -- goes before options of
    /// the guest
    #[arg(long, value_name = "NAME", conflicts_with = "digest")]
    pub(crate) name: Option<String>,
    /// Run the module whose bytes have this SHA-256, instead of a file
    #[arg(long, value_name = "SHA256", value_parser = units::parse_digest)]
    pub(crate) digest: Option<Digest>,
    /// The module, unless it is named by --name or --digest, and behind it what belongs to the guest
    // One list, so that options behind the file are the guest's.
    #[arg(required_unless_present_any = ["name", "digest"], trailing_var_arg = true,
        value_name = "FILE [ARGS]")]
    pub(crate) guest: Vec<OsString>,
}

/// Tell whether everything would hit.
#[derive(Debug, Args)]
#[command(override_usage = "precompile check [OPTIONS] <FILE|DIR|->...
       precompile check [OPTIONS] --name <NAME> | --digest <SHA256> | --from <FILE>
       precompile check [OPTIONS] --manifest <FILE> [FILE|DIR|-]...")]
pub(crate) struct Check {
    /// Modules, folders of them, or - for standard input
    #[arg(required_unless_present_any = ["manifest", "name", "digest", "from"],
        value_name = "FILE|DIR|-")]
    pub(crate) inputs: Vec<PathBuf>,
    /// Ask for what `run`, and apps, would take on this host: the best level of processors that there is
    /// an entry for
    #[arg(long, conflicts_with_all = ["manifest", "from", "target", "platform", "cpu",
        "engine_settings"])]
    pub(crate) host: bool,
    /// A module that the cache's names call NAME, instead of a file; may be repeated
    #[arg(long, value_name = "NAME", conflicts_with_all = ["inputs", "manifest"])]
    pub(crate) name: Vec<String>,
    /// A module whose bytes have this SHA-256, instead of a file; may be repeated
    #[arg(long, value_name = "SHA256", value_parser = units::parse_digest,
        conflicts_with_all = ["inputs", "manifest"])]
    pub(crate) digest: Vec<Digest>,
    /// Hold the cache against a list that warming has written, without the modules: each entry has to be
    /// there, with the bytes that the list says; and the modules against the list, as far as they are
    /// given
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,
    /// Ask for what runs have noted in FILE with PRECOMPILE_RECORD=FILE: their modules, which need not
    /// be here, with their settings. --target, --platform or --cpu names other levels of processors
    #[arg(long, value_name = "FILE", conflicts_with_all = ["inputs", "manifest", "name", "digest",
        "engine_settings", "bounds", "fuel", "epoch_interruption", "opt_level", "features",
        "nan_canonicalization", "relaxed_simd"])]
    pub(crate) from: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) question: Question,
}

/// Tell why a module would hit or miss: what is in its key, which layers were asked, and how the
/// entries of the same module differ.
#[derive(Debug, Args)]
#[command(override_usage = "precompile explain [OPTIONS] <FILE>
       precompile explain [OPTIONS] --name <NAME> | --digest <SHA256>")]
pub(crate) struct Explain {
    /// The module, or - for standard input
    #[arg(value_name = "FILE", required_unless_present_any = ["name", "digest"])]
    pub(crate) input: Option<PathBuf>,
    /// The module that the cache's names call NAME, instead of a file
    #[arg(long, value_name = "NAME", conflicts_with_all = ["input", "digest"])]
    pub(crate) name: Option<String>,
    /// The module whose bytes have this SHA-256, instead of a file
    #[arg(long, value_name = "SHA256", value_parser = units::parse_digest, conflicts_with = "input")]
    pub(crate) digest: Option<Digest>,
    #[command(flatten)]
    pub(crate) question: Question,
}

/// Tell what is in an entry or artifact.
#[derive(Debug, Args)]
#[command(override_usage = "precompile inspect [OPTIONS] <ENTRY>
       precompile inspect [OPTIONS] --digest <SHA256>")]
pub(crate) struct Inspect {
    /// A file of a cache directory, or an artifact
    #[arg(required_unless_present = "digest")]
    pub(crate) entry: Option<PathBuf>,
    /// All entries of the module whose bytes have this SHA-256, in all directories that `run` would ask;
    /// exits with 4 if there are none
    #[arg(long, value_name = "SHA256", value_parser = units::parse_digest, conflicts_with = "entry")]
    pub(crate) digest: Option<Digest>,
    #[command(flatten)]
    pub(crate) layers: LayerArgs,
    /// How to write it
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = "Output")]
    pub(crate) format: Format,
}

/// Make a key that signs entries.
#[derive(Debug, Args)]
pub(crate) struct Keygen {
    /// What to call the key, such as release or release-3
    pub(crate) name: String,
    /// Where to put it
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
}

/// Sign the entries of a cache directory, and its names.
#[derive(Debug, Args)]
pub(crate) struct Sign {
    /// Cache directories
    #[arg(required_unless_present = "manifest", value_name = "DIR")]
    pub(crate) dirs: Vec<PathBuf>,
    /// Sign the list that warming has written into FILE, by FILE.sig; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Vec<PathBuf>,
    /// The file of the secret key
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// Say in the list of names that it is for SCOPE; without it and PRECOMPILE_CACHE_SCOPE, what the
    /// list says stays
    #[arg(long, value_name = "SCOPE", value_parser = units::parse_scope)]
    pub(crate) scope: Option<String>,
    #[command(flatten)]
    pub(crate) document: Document,
}

/// Tell the settings that code depends on.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    #[command(flatten)]
    pub(crate) code: Code,
    /// How to write them
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
}

/// Run scripts of tests, in the format of WebAssembly's own.
#[derive(Debug, Args)]
// Scripts run here, and code for elsewhere does not.
#[command(mut_arg("target", |arg| arg.hide(true)), mut_arg("platform", |arg| arg.hide(true)))]
pub(crate) struct Wast {
    /// Scripts, folders of them, or - for standard input
    #[arg(required = true, value_name = "FILE|DIR|-")]
    pub(crate) scripts: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) code: Code,
    /// Scripts that run at the same time; 0 for one a processor
    #[arg(short = 'j', long, value_name = "N", default_value = "0", value_parser = units::parse_jobs)]
    pub(crate) jobs: usize,
    /// How long a script may take: seconds, or with ms, s, m or h behind the number; 0 for as long as
    /// it likes. With --epoch-interruption it is interrupted, else its process is ended
    #[arg(long, value_name = "TIME", default_value = "60", value_parser = units::parse_timeout)]
    pub(crate) timeout: Duration,
    /// Run the scripts that come in; see commands/wast/worker.rs
    #[arg(long, hide = true)]
    pub(crate) worker: bool,
    #[command(flatten)]
    pub(crate) document: Document,
}

impl Wast {
    /// How long a script may take.
    pub(crate) fn limit(&self) -> Option<Duration> {
        Some(self.timeout).filter(|time| !time.is_zero())
    }
}

/// Print a script that completes command lines.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

/// Write the manual pages.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The folder, which is made where it is missing
    pub(crate) dir: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Opt {
    None,
    #[default]
    Speed,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Bounds {
    #[default]
    Guard,
    Explicit,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Verify {
    Auto,
    Header,
    Full,
    Signed,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum RelaxedSimd {
    #[default]
    Deterministic,
    Fast,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Load {
    Map,
    Copy,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_holds() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_behind_the_file_are_the_guests() {
        let line = ["precompile", "run", "--env", "A", "x.wasm", "--dir", "y", "-v", "--", "-"];
        let Some(Command::Run(run)) = Cli::parse_from(line).command else { panic!() };
        assert_eq!(run.guest, ["x.wasm", "--dir", "y", "-v", "--", "-"]);
        assert!(run.dirs.is_empty() && !run.output.verbose);
    }

    #[test]
    fn a_file_may_be_named_like_a_command() {
        let cli = Cli::parse_from(["precompile", "./run"]);
        assert!(cli.command.is_none());
        assert_eq!(cli.warm.inputs, [PathBuf::from("./run")]);
    }
}
