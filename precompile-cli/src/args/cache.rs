//! What can be written behind `precompile cache`.

use super::{DirArgs, Document};
use crate::units;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// Look after a cache directory.
#[derive(Debug, Args)]
pub(crate) struct Cache {
    #[command(subcommand)]
    pub(crate) command: CacheCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Tell where the cache is, and which layers are asked
    Dir(Look),
    /// List what is in it
    Ls(Look),
    /// Tell how much is in it, and of which engines
    Stats(Look),
    /// Check each entry against its digest
    ///
    /// Exits with 1 when an entry is damaged, or belongs to somebody who must not write there. Files
    /// that are not the cache's are told of, and are no failure.
    Verify(Verify),
    /// Remove entries that there is no room or use for
    ///
    /// Those of old versions go first, then those that were not used for too long, then what was used
    /// longest ago until the rest fits. Processes that have an entry open keep it.
    Prune(Prune),
    /// Remove all entries, and nothing that is not the cache's
    Clean(Clean),
}

#[derive(Debug, Args)]
pub(crate) struct Where {
    #[command(flatten)]
    pub(crate) dir: DirArgs,
    #[command(flatten)]
    pub(crate) document: Document,
}

/// Look into a cache directory.
#[derive(Debug, Args)]
pub(crate) struct Look {
    #[command(flatten)]
    pub(crate) place: Where,
}

/// Check each entry.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) place: Where,
    /// Compile these modules, or folders of them, again, with the settings of each of their
    /// entries, and compare the bytes; may be repeated
    #[arg(long, value_name = "FILE|DIR")]
    pub(crate) rebuild: Vec<PathBuf>,
    /// Threads that compile; 0 for one a processor
    #[arg(short = 'j', long, value_name = "N", default_value = "0", value_parser = units::parse_jobs)]
    pub(crate) jobs: usize,
}

/// Remove entries.
#[derive(Debug, Args)]
#[group(id = "what", required = true, multiple = true, args = ["max_size", "max_age", "old_versions"])]
pub(crate) struct Prune {
    #[command(flatten)]
    pub(crate) place: Where,
    /// The most that may be left: bytes, or with K, M, G or T behind the number
    #[arg(long, value_name = "SIZE", value_parser = precompile::cache::parse_size)]
    pub(crate) max_size: Option<u64>,
    /// How long an entry may go unused: a number with s, m, h, d or w behind it
    #[arg(long, value_name = "TIME", value_parser = units::parse_age)]
    pub(crate) max_age: Option<Duration>,
    /// Keep the entries of a list that warming has written; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) keep_manifest: Vec<PathBuf>,
    /// Take manifests with a signature by a key in FILE only; may be repeated
    #[arg(long, value_name = "FILE", requires = "keep_manifest")]
    pub(crate) trusted_key: Vec<PathBuf>,
    /// Remove what other, not newer, versions of precompile have compiled
    #[arg(long)]
    pub(crate) old_versions: bool,
    /// Say what would go; remove nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

/// Remove all entries.
#[derive(Debug, Args)]
pub(crate) struct Clean {
    #[command(flatten)]
    pub(crate) place: Where,
    /// Say what would go; remove nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}
