//! The lists that warming writes: the manifest, for CI, and the names, for those who load without
//! the modules.

use super::modules::Job;
use super::warm::Place;
use crate::args::Warm;
use crate::input::{self, Input};
use crate::manifest::{Entry, Manifest};
use crate::plan::{self, Usage};
use crate::report::{self, Printer};
use precompile::cache::{
    Cache, Depth, DirCache, DirOptions, Error as CacheFailure, ErrorKind as CacheError, ItemState,
    Key, Names, Policy, SigningKey, TrustedKeys, to_hex,
};
use precompile::{Outcome, Report};
use std::path::Path;
use std::time::Duration;

/// How many names that changed are told one by one.
const TOLD: usize = 10;

/// The manifest, if it was asked for.
pub(super) struct List {
    manifest: Manifest,
    problem: Option<String>,
    /// The directory that is warmed, if it is trusted.
    dir: Option<DirCache>,
    /// The same with no more than what was signed: where others may write, that tells our own
    /// entries from theirs.
    signed: Option<DirCache>,
    /// How many entries are listed without a digest.
    unknown: usize,
    has_times: bool,
}

impl List {
    pub(super) fn new(args: &Warm, place: &Place, path: Option<&Path>) -> List {
        let path = path.filter(|_| args.manifest.is_some());
        let options = plan::dir_options(&place.dir, None);
        let open = |options: &DirOptions| options.open_read_only(path?).ok();
        let signed = place.key.as_ref().and_then(|key| {
            let mut trusted = TrustedKeys::new();
            trusted.add(key.public_key());
            open(&options.clone().policy(Policy::Signed).trusted_keys(trusted))
        });
        let dir = open(&options);
        // What goes into an image is the same whoever makes it, and so is the list of it.
        let has_times = args.out.is_none();
        List { manifest: Manifest::new(), problem: None, dir, signed, unknown: 0, has_times }
    }

    pub(super) fn note(&mut self, input: &Input, job: &Job, report: &Report) {
        let (Some(digest), Some(id)) = (report.digest, report.id) else { return };
        let key = Key::new(digest, id);
        let sha256 = self.sha256(&key).map(|digest| to_hex(&digest));
        self.unknown += usize::from(sha256.is_none());
        let is_new = matches!(report.outcome, Outcome::Compiled { .. });
        let times = [report.decode, report.compile, report.write].iter().sum::<Duration>();
        let times = (self.has_times && is_new).then_some(times.as_millis() as u64);
        let settings = job.engine.settings();
        let entry = Entry::new(to_hex(&id), &settings, report.artifact_len, sha256, times);
        let added = self.manifest.add(&input.name, to_hex(&digest), report.module_len, entry);
        self.problem = self.problem.take().or(added.err());
    }

    /// SHA-256 of the content of an entry: what its trailer says, where that is believed.
    fn sha256(&self, key: &Key) -> Option<[u8; 32]> {
        let item = self.dir.as_ref().and_then(|dir| dir.item(key, Depth::Trailer).ok()?);
        if let Some(ItemState::Sound { content_digest, .. }) = item.map(|item| item.state) {
            return Some(content_digest);
        }
        self.signed.as_ref()?.get(key).ok()??.sha256().ok()
    }

    pub(super) fn write(
        self,
        path: &Path,
        key: Option<&SigningKey>,
        printer: &Printer,
    ) -> Result<(), String> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        if self.unknown > 0 {
            printer.warning(format_args!(
                "{} has no artifact_sha256 of {} entries, so `check --manifest` does not compare \
                 their bytes: they are not in the directory that is warmed, or others may write \
                 there; sign with --sign-key, or name a directory of your own",
                report::shown(path),
                self.unknown
            ));
        }
        self.manifest.write(path, key)
    }
}

/// The names, if they are to be written.
pub(super) struct NameList {
    is_wanted: bool,
    scope: Option<String>,
    names: Names,
    problem: Option<String>,
}

impl NameList {
    pub(super) fn new(args: &Warm) -> Result<NameList, Usage> {
        let is_wanted = (args.names || args.out.is_some()) && !args.no_names && !args.dry_run;
        let scope = match is_wanted {
            true => plan::list_scope(args.scope.as_deref())?,
            false => None,
        };
        Ok(NameList { is_wanted, scope, names: Names::new(), problem: None })
    }

    pub(super) fn note(&mut self, input: &Input, report: &Report) {
        let Some(digest) = report.digest.filter(|_| self.is_wanted) else { return };
        if input::is_stdin(&input.path) {
            return;
        }
        let name = &input.name;
        let problem = match self.names.insert(name, digest) {
            _ if !input.is_exact => {
                let path = report::shown(&input.path);
                Some(format!("the name of {path} is not UTF-8, as names are: rename it"))
            }
            Err(error) => Some(error.to_string()),
            Ok(Some(other)) if other != digest => {
                Some(format!("two modules are named {name}: name a folder above both"))
            }
            Ok(_) => None,
        };
        self.problem = self.problem.take().or(problem);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.problem.is_none()
    }

    /// Adds them to the list in the directory that was warmed.
    pub(super) fn write(self, path: &Path, place: &Place, printer: &Printer) -> Result<(), String> {
        if let Some(problem) = self.problem {
            return Err(format!("the names are not written: {problem}, or leave it at --no-names"));
        }
        if self.names.is_empty() {
            return Ok(());
        }
        let mut options = plan::dir_options(&place.dir, place.key.as_ref());
        if let Some(scope) = &self.scope {
            options = options.names_scope(scope.as_str());
        }
        let dir = match place.is_image {
            true => options.open_image(path),
            false => options.open(path),
        };
        let dir = dir.map_err(|error| error.to_string())?;
        if let Err(error) = dir.names()
            && matches!(error.kind(), CacheError::Names { .. })
        {
            printer.warning(format_args!("the names that were there are lost: {error}"));
        }
        let (mut changed, mut signer, mut scope) = (Vec::new(), None, None);
        let source = place.source().and_then(|source| source.names().ok().flatten());
        let names = dir.update_names(|names| {
            signer = names.signer().map(String::from);
            scope = names.scope().map(String::from);
            for (name, digest) in self.names.iter() {
                if names.insert(name, digest)?.is_some_and(|before| before != digest) {
                    changed.push(name);
                }
            }
            if let Some(source) = source.filter(|_| names.signer().is_none()) {
                names.keep_signature(&source);
            }
            Ok(())
        });
        // It may as well be about the folder that it is written in first.
        let is_about_list = |error: &CacheFailure| {
            let path = error.path().filter(|_| error.is_untrusted());
            path.is_some_and(|path| *path == dir.names_path() || dir.path().starts_with(path))
        };
        let names = names.map_err(|error| match is_about_list(&error) {
            true => format!(
                "the names are not written, since those that are there may be somebody else's: \
                 {error}; or remove the list"
            ),
            false => error.to_string(),
        })?;
        for name in changed.iter().take(TOLD) {
            printer.warning(format_args!("{name} is the name of another module than before"));
        }
        if changed.len() > TOLD {
            printer.warning(format_args!("and so are {} more names", changed.len() - TOLD));
        }
        if let Some(scope) = scope.filter(|scope| names.scope() != Some(scope)) {
            tell_scope(path, &scope, names.scope().unwrap_or_default(), printer);
        }
        if let (Some(signer), None) = (signer, names.signer()) {
            printer.warning(format_args!(
                "the names in {} were signed by {signer}, and are not any more: sign them with \
                 `precompile sign`",
                report::shown(path)
            ));
        }
        Ok(())
    }
}

/// That a whole list is for something else than before.
pub(super) fn tell_scope(path: &Path, before: &str, now: &str, printer: &Printer) {
    printer.warning(format_args!(
        "all names in {} are for the scope {now:?} now, and were for {before:?}",
        report::shown(path),
    ));
}
