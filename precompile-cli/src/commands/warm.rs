//! Warming a cache, or filling the folder of an image.

use super::lists::{List, NameList};
use super::modules::{self, Job};
use super::{CACHE, FAILED, FINE, USAGE, written};
use crate::args::{DirArgs, Format, Warm};
use crate::epoch;
use crate::input::{self, Input};
use crate::plan::{self, Usage};
use crate::record::Record;
use crate::report::{self, Printer};
use precompile::cache::{Cache, DirCache, Key, Layers, LayersBuilder, Policy, SigningKey};
use precompile::{Outcome, Report};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where entries go.
pub(super) struct Place {
    layers: LayersBuilder,
    path: Option<PathBuf>,
    /// Whether it is an image.
    pub(super) is_image: bool,
    copy: Option<Copy>,
    sign: Option<Sign>,
    pub(super) key: Option<Arc<SigningKey>>,
    pub(super) dir: DirArgs,
}

impl Place {
    /// Where entries are copied from, if they are.
    pub(super) fn source(&self) -> Option<&DirCache> {
        self.copy.as_ref().map(|copy| &*copy.from)
    }
}

/// What entries that are there already are signed with, and where.
struct Sign {
    dir: DirCache,
    key: Arc<SigningKey>,
}

/// From a cache into an image.
struct Copy {
    from: Arc<DirCache>,
    to: DirCache,
}

pub(crate) fn warm(args: &Warm) -> u8 {
    let mut printer = Printer::new(&args.document.output);
    let epoch = match usable(args).and_then(|()| epoch::from_env()) {
        Ok(epoch) => epoch,
        Err(usage) => {
            report::error(None, usage);
            return USAGE;
        }
    };
    let record = match args.from.as_deref().map(|path| Record::read(path, &args.code)).transpose() {
        Ok(record) => record,
        Err(problem) => {
            report::error(None, problem);
            return FAILED;
        }
    };
    let (variants, recorded) = match record {
        Some(record) => {
            let found = record.find(&args.inputs);
            (Ok(record.variants), Some(found))
        }
        None => (plan::variants(&args.code), None),
    };
    let variants = match variants {
        Ok(variants) => variants,
        Err(usage) => {
            report::error(None, usage);
            return USAGE;
        }
    };
    for variant in variants.iter().filter(|variant| variant.is_native()) {
        report::warning(format_args!(
            "--cpu native: the code needs what this host's processor has ({}), and is found by \
             engines that ask for exactly that",
            variant.cpu.features()
        ));
    }
    let sign_key = match args.sign_key.as_deref().map(plan::sign_key).transpose() {
        Ok(key) => key,
        Err(usage) => {
            report::error(None, usage);
            return USAGE;
        }
    };
    let mut names = match NameList::new(args) {
        Ok(names) => names,
        Err(usage) => {
            report::error(None, usage);
            return USAGE;
        }
    };
    let place = match place(args, sign_key) {
        Ok(place) => place,
        Err(problem) => {
            report::error(None, problem);
            return CACHE;
        }
    };
    let mut jobs = Vec::new();
    for variant in variants {
        match variant.engine(place.layers.clone(), args.jobs) {
            Ok(engine) => jobs.push(Job { variant, engine }),
            Err(usage) => {
                report::error(None, usage);
                return USAGE;
            }
        }
    }
    if let Some(job) = jobs.first() {
        for problem in job.engine.cache_problems() {
            printer.warning(problem);
        }
    }
    if let (Some(out), false) = (&args.out, args.dry_run) {
        tell_mode(out, &printer);
    }
    let inputs =
        recorded.unwrap_or_else(|| modules::everything(input::expand(&args.inputs), &jobs));
    let command = if args.dry_run { "dry-run" } else { "warm" };
    let path = place.path.as_deref();
    let mut list = List::new(args, &place, path);
    let act = |input: &Input, job: &Job, bytes: &[u8]| {
        if args.dry_run {
            return job.engine.check(bytes);
        }
        let mut report = job.engine.warm(bytes)?;
        if let Some(copy) = &place.copy {
            copy.entry(&mut report);
        }
        if let Some(sign) = &place.sign
            && !(place.copy.is_none() && matches!(report.outcome, Outcome::Compiled { .. }))
        {
            sign.entry(&mut report);
        }
        list.note(input, job, &report);
        names.note(input, &report);
        Ok(report)
    };
    let document = modules::each(command, path, &inputs, &jobs, &mut printer, act);
    document.finish(&printer);
    let mut code = document.code();
    // Lists that lack something would let it be missed later.
    let failure = |what: &str, at: Option<&Path>| {
        let old = match at.is_some_and(Path::exists) {
            true => "; what is there already stays as it was",
            false => "",
        };
        Err(format!("the {what} not written, since something failed{old}"))
    };
    let named = match (&place.path, code) {
        (Some(path), FINE) => names.write(path, &place, &printer),
        _ if names.is_empty() => Ok(()),
        _ => failure("names are", place.path.as_ref().map(|path| path.join("names")).as_deref()),
    };
    let listed = args.manifest.as_ref().map(|manifest| match code {
        FINE => list.write(manifest, place.key.as_deref(), &printer),
        _ => failure("manifest is", Some(manifest)),
    });
    for (path, written) in [(place.path.as_ref(), Some(named)), (args.manifest.as_ref(), listed)] {
        if let (Some(path), Some(Err(problem))) = (path, written) {
            printer.error(path, problem);
            code = code.max(FAILED);
        }
    }
    if let (Some(out), false) = (&args.out, args.dry_run) {
        // What they need there they take away when they go: that is the last change.
        drop((jobs, place));
        if let Some(Err(error)) = epoch.map(|time| epoch::set(out, time)) {
            printer.error(out, format_args!("cannot set the times of files: {error}"));
            code = code.max(FAILED);
        }
        let others = document.others(out);
        if others > 0 {
            printer.warning(format_args!(
                "{} has entries of other inputs or settings as well ({others}); empty it first \
                 to ship these alone",
                report::shown(out)
            ));
        }
    }
    match args.document.format {
        Format::Json => written(report::json(&document), code),
        Format::Text => code,
    }
}

/// A folder that was there keeps its mode, which may not be one for an image.
fn tell_mode(out: &Path, printer: &Printer) {
    let Ok(metadata) = out.metadata() else { return };
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
    let out = report::shown(out);
    if mode & 0o022 != 0 {
        printer.warning(format_args!(
            "{out} has mode {mode:04o}: others can write there, so readers will not trust it; \
             chmod it to 0755"
        ));
    } else if mode & 0o005 != 0o005 {
        printer.warning(format_args!(
            "{out} has mode {mode:04o}: not everybody can read there; chmod it to 0755"
        ));
    }
}

/// Whether the command line can be meant.
fn usable(args: &Warm) -> std::result::Result<(), Usage> {
    if args.from.is_some() && args.inputs.iter().any(|path| input::is_stdin(path)) {
        let message = "with --from the modules of inputs are looked for by digest: name files";
        return Err(Usage(message.to_string()));
    }
    if args.inputs.iter().filter(|path| input::is_stdin(path)).count() > 1 {
        return Err(Usage("standard input can be read once: name - once".to_string()));
    }
    // Before anything is compiled: `precompile --cache-dir D check FILE` warms nobody's cache.
    if let Some(command) = args.inputs.iter().find(|path| input::is_command(path)) {
        let command = report::shown(command);
        return Err(Usage(format!(
            "`{command}` is a command, and comes before all options; a file of that name is ./{command}"
        )));
    }
    if args.scope.is_some() && (args.no_names || !args.names && args.out.is_none()) {
        let message = "--scope is for the list of names: add --names or --out";
        return Err(Usage(message.to_string()));
    }
    if let Some(message) = args.inputs.first().and_then(|first| input::mistyped(first)) {
        return Err(Usage(message));
    }
    plan::known_dirs(&args.layers, args.out.as_deref())?;
    match (&args.layers.dir.cache_dir, &args.out) {
        (None, None) => plan::known_words(),
        _ => Ok(()),
    }
}

fn place(args: &Warm, key: Option<Arc<SigningKey>>) -> std::result::Result<Place, String> {
    let dir = args.layers.dir.clone();
    if args.dry_run {
        let path = args.out.as_ref().or(args.layers.dir.cache_dir.as_ref());
        let layers = plan::look_layers(path.map(PathBuf::as_path), &args.layers);
        let (is_image, path) = (args.out.is_some(), path.cloned());
        return Ok(Place { layers, path, is_image, copy: None, sign: None, key, dir });
    }
    let failed = |error: precompile::cache::Error| error.to_string();
    let image =
        |out: &PathBuf| plan::dir_options(&dir, key.as_ref()).open_image(out).map_err(failed);
    let (layers, path, copy) = match (&args.out, &dir.cache_dir) {
        (None, _) => {
            let layers = plan::warm_layers(&args.layers, key.as_ref())?;
            let path = layers.clone().build().write_path().map(PathBuf::from);
            (layers, path, None)
        }
        (Some(out), None) => {
            let image = image(out)?;
            let path = Some(image.path().to_path_buf());
            let layers = plan::with_dirs(Layers::builder().read_write_dir(image), &args.layers);
            (layers, path, None)
        }
        (Some(out), Some(from)) => {
            // What is copied gets a new digest, so it is held against its own one first.
            let options = plan::dir_options(&dir, None).policy(Policy::Full);
            let from = options.open(from).map_err(failed)?;
            let layers = Layers::builder().read_write(from.path());
            let layers = plan::with_dirs(layers, &args.layers);
            let to = image(out)?;
            let path = Some(to.path().to_path_buf());
            (layers, path, Some(Copy { from: Arc::new(from), to }))
        }
    };
    let sign = match (&key, &path) {
        // As an image, of which nothing but entries is left behind.
        (Some(key), Some(path)) => {
            let dir = plan::dir_options(&dir, None).open_image(path).map_err(failed)?;
            Some(Sign { dir, key: Arc::clone(key) })
        }
        _ => None,
    };
    Ok(Place { layers, path, is_image: args.out.is_some(), copy, sign, key, dir })
}

impl Sign {
    /// Signs the entry that `report` is about, unless it is, or lies in a layer that is only read. What
    /// was just compiled into the directory is, and where others may write it is not read again.
    fn entry(&self, report: &mut Report) {
        let (Some(digest), Some(id)) = (report.digest, report.id) else { return };
        if report.add_failure.is_some() {
            return;
        }
        if let Err(error) = self.dir.sign(&Key::new(digest, id), &self.key)
            && !error.is_missing()
        {
            report.add_failure = Some(error.to_string());
        }
    }
}

impl Copy {
    /// Copies the entry that `report` is about, unless the image has it.
    fn entry(&self, report: &mut Report) {
        let (Some(digest), Some(id)) = (report.digest, report.id) else { return };
        if report.add_failure.is_some() {
            return;
        }
        let key = Key::new(digest, id);
        if matches!(self.to.get(&key), Ok(Some(_))) {
            return;
        }
        // With its signature, if it has one.
        let copied = self.to.copy_from(&self.from, &key);
        report.add_failure = copied.err().map(|error| error.to_string());
        if report.add_failure.is_none()
            && let Outcome::Hit { path, .. } = &mut report.outcome
        {
            *path = Some(self.to.entry_path(&key));
        }
    }
}
