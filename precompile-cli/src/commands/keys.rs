//! Keys, and signing what is in a cache directory, and lists.

use super::lists::tell_scope;
use super::{CACHE, FAILED, FINE, USAGE, written};
use crate::args::{Format, Keygen, Sign};
use crate::manifest::Manifest;
use crate::plan;
use crate::report::{self, Printer, SCHEMA_VERSION};
use precompile::cache::{DirCache, DirOptions, Distrust, ErrorKind, SigningKey};
use serde_json::json;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub(crate) fn keygen(args: &Keygen) -> u8 {
    let is_numbered = |name: &str| {
        let number = name.rsplit_once('-').map_or("", |(_, number)| number);
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_taken = |name: &str| ["key", "pub"].iter().any(|end| file(args, name, end).exists());
    let name = match is_numbered(&args.name) {
        true => args.name.clone(),
        false => {
            let mut names = (1_u32..).map(|number| format!("{}-{number}", args.name));
            names.find(|name| !is_taken(name)).expect("there are more numbers than files")
        }
    };
    let key = match SigningKey::generate(&name) {
        Ok(key) => key,
        Err(error) => {
            report::error(None, error);
            return USAGE;
        }
    };
    let public = format!("{}\n", key.public_key());
    // The secret one first: a public key without it is of no use.
    let files =
        [("key", format!("{}\n", key.to_secret_text()), 0o600), ("pub", public.clone(), 0o644)];
    let mut made: Vec<PathBuf> = Vec::new();
    for (end, text, mode) in files {
        let path = file(args, &name, end);
        if let Err(error) = create(&path, &text, mode) {
            // Half a pair of keys is none.
            made.iter().for_each(|path| _ = fs::remove_file(path));
            let message = match error.kind() {
                io::ErrorKind::AlreadyExists => {
                    "there is a key of this name: choose another name or number".to_string()
                }
                _ => format!("cannot be written: {error}; name another folder with --dir"),
            };
            report::error(Some(&path), message);
            return FAILED;
        }
        made.push(path);
    }
    written(report::data(&public), FINE)
}

fn file(args: &Keygen, name: &str, end: &str) -> PathBuf {
    args.dir.join(format!("{name}.{end}"))
}

fn create(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.inspect_err(|_| _ = fs::remove_file(path))
}

/// What the list of a directory is for, if that is something else than what is asked for.
fn other_scope(dir: &DirCache) -> Option<String> {
    match dir.names().err()?.kind() {
        ErrorKind::Untrusted { reason: Distrust::Scope { found, .. }, .. } => found.clone(),
        _ => None,
    }
}

pub(crate) fn sign(args: &Sign) -> u8 {
    let printer = Printer::new(&args.document.output);
    let asked = plan::sign_key(&args.key)
        .and_then(|key| Ok((key, plan::list_scope(args.scope.as_deref())?)));
    let (key, scope) = match asked {
        Ok(asked) => asked,
        Err(usage) => {
            report::error(None, usage);
            return USAGE;
        }
    };
    let (mut signed, mut before, mut failed, mut unopened) = (0, 0, 0, 0);
    let mut lists = 0;
    for path in &args.manifest {
        match Manifest::sign(path, &key) {
            Ok(()) => lists += 1,
            Err(problem) => {
                failed += 1;
                report::error(None, problem);
            }
        }
    }
    let options = match &scope {
        Some(scope) => DirOptions::new().names_scope(scope.as_str()),
        None => DirOptions::new(),
    };
    for path in &args.dirs {
        // As an image, of which nothing but entries is left behind; which is not made here.
        let opened = match path.is_dir() {
            true => options.open_image(path).and_then(|dir| Ok((dir.keys()?, dir))),
            false => {
                unopened += 1;
                report::error(Some(path), "it is no directory; name one that was warmed");
                continue;
            }
        };
        let (keys, dir) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                unopened += 1;
                report::error(None, error);
                continue;
            }
        };
        let other = other_scope(&dir);
        match dir.sign_names(&key) {
            Ok(Some(true)) => {
                lists += 1;
                if let (Some(before), Some(now)) = (other, &scope) {
                    tell_scope(path, &before, now, &printer);
                }
            }
            Ok(None) if keys.is_empty() => {
                unopened += 1;
                let message = "it has no entries and no names; name one that was warmed";
                report::error(Some(path), message);
            }
            Ok(Some(false)) | Ok(None) => {}
            Err(error) => {
                failed += 1;
                report::error(None, error);
            }
        }
        for entry in keys {
            match dir.sign(&entry, &key) {
                Ok(true) => signed += 1,
                Ok(false) => before += 1,
                // Somebody removed it meanwhile.
                Err(error) if error.is_missing() => {}
                Err(error) => {
                    failed += 1;
                    report::error(None, error);
                }
            }
        }
    }
    let code = match (unopened, failed) {
        (0, 0) => FINE,
        (0, _) => FAILED,
        _ => CACHE,
    };
    printer.status(
        "Finished",
        format_args!(
            "{signed} signed by {}, {before} were before, {failed} failed; lists signed: {lists}",
            key.name()
        ),
    );
    if args.document.format == Format::Json {
        let document = json!({
            "schema_version": SCHEMA_VERSION,
            "key": key.name(),
            "signed": signed,
            "signed_before": before,
            "failed": failed,
            "lists_signed": lists,
        });
        return written(report::json(&document), code);
    }
    code
}
