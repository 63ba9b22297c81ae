//! The layers that environment variables ask for.

use std::ffi::{OsStr, OsString};
#[cfg(target_os = "linux")]
use std::io;
use std::path::PathBuf;

use super::{Layers, LayersBuilder, Mode};
use crate::budget::{Budget, parse_size};
use crate::error::{Error, ErrorKind};
use crate::names::{self, Names};
use crate::policy::Policy;

/// The last read-only layer, where an image has its entries.
const SYSTEM: &str = "/usr/share/precompile";
const NAME: &str = "precompile";
/// The most that the default directory may hold, which nobody looks after: 10 GiB.
const DEFAULT_SIZE: u64 = 10 << 30;

impl LayersBuilder {
    /// The layers that the environment of this process asks for:
    ///
    /// - `PRECOMPILE_CACHE_DIR`: the read-write directory; empty for none. When it is not set:
    ///   `precompile` in `XDG_CACHE_HOME`, or else in `.cache` in `HOME`; with neither of them there
    ///   is no read-write layer, and a [`Problem`](crate::Problem) says so.
    /// - `PRECOMPILE_CACHE_PATH`: read-only directories, separated by colons, the first one probed
    ///   first.
    /// - `/usr/share/precompile` is the last read-only layer if it exists.
    /// - `PRECOMPILE_CACHE_MODE`: a [`Mode`]; one that is unknown is `require-hit`, and a problem.
    /// - `PRECOMPILE_CACHE_MAX_SIZE`: the [budget](LayersBuilder::budget) of the read-write
    ///   directory, as [`parse_size`] reads it; `none` or 0 for no limit. When it is not set, 10 GiB
    ///   for the default directory, and no limit for one that `PRECOMPILE_CACHE_DIR` names. One that
    ///   is no size is not set, and a problem.
    /// - `PRECOMPILE_CACHE_VERIFY`: a [`Policy`]; one that is unknown is `signed`, and a problem.
    /// - `PRECOMPILE_CACHE_KEYS`: files of [trusted keys](crate::TrustedKeys), separated by colons.
    /// - `PRECOMPILE_CACHE_SCOPE`: what lists of names have to be [for](LayersBuilder::names_scope). What
    ///   cannot be a scope is that of no list, and a problem.
    /// - `PRECOMPILE_RECORD`: the [record](LayersBuilder::record).
    ///
    /// In a process with rights that whoever started it lacks (set-user-ID, set-group-ID or file
    /// capabilities) a variable may restrict, and no more: of all these the mode, the scope, and the
    /// policies `full` and `signed` count, and a problem says so. So it is on Linux where that cannot
    /// be learned, since `/proc` is not there.
    ///
    /// Nothing else in this crate reads the environment.
    pub fn from_env() -> LayersBuilder {
        LayersBuilder::from_env_or(|_| None)
    }

    /// As [`from_env`](LayersBuilder::from_env), where what `named` has for a variable counts in
    /// place of what the environment has: for options of a command line.
    #[expect(clippy::disallowed_methods, reason = "the one place: whoever calls this asks for it")]
    pub fn from_env_or(named: impl Fn(&str) -> Option<OsString>) -> LayersBuilder {
        LayersBuilder::from_env_unless(distrust(), named, |name| std::env::var_os(name))
    }

    fn from_env_unless(
        distrust: Option<Error>,
        named: impl Fn(&str) -> Option<OsString>,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> LayersBuilder {
        let Some(distrust) = distrust else {
            return LayersBuilder::from_variables(|name| named(name).or_else(|| variable(name)));
        };
        let allowed = |name: &str| match name {
            // That there is no home is what comes of it, and not worth a problem of its own.
            "PRECOMPILE_CACHE_DIR" => Some(OsString::new()),
            _ => variable(name).filter(|text| restricts(name, text)),
        };
        LayersBuilder::from_variables(|name| named(name).or_else(|| allowed(name)))
            .problem(distrust, "only the mode, the scope and stricter policies count")
    }

    /// As [`from_env`](LayersBuilder::from_env), with variables from somewhere else.
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> LayersBuilder {
        let mut builder = Layers::builder();
        if let Some(list) = variable("PRECOMPILE_CACHE_PATH") {
            // An empty part of a list would be the current directory, which nobody means.
            let paths = std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty());
            builder = paths.fold(builder, LayersBuilder::read_only);
        }
        builder = builder.read_only_if_present(SYSTEM);
        let mut size = None;
        builder = match variable("PRECOMPILE_CACHE_DIR") {
            Some(path) if path.is_empty() => builder,
            Some(path) => builder.read_write(path),
            None => match default_dir(&variable) {
                Some(path) => {
                    size = Some(DEFAULT_SIZE);
                    builder.read_write(path)
                }
                None => builder.problem(ErrorKind::NoHome.into(), "nothing is kept"),
            },
        };
        let word = |name| variable(name).filter(|text| !text.is_empty());
        if let Some(text) = word("PRECOMPILE_CACHE_MAX_SIZE") {
            match text.to_string_lossy().as_ref() {
                "none" => size = None,
                text => match parse_size(text) {
                    Ok(bytes) => size = Some(bytes).filter(|bytes| *bytes > 0),
                    Err(error) => {
                        builder = builder.problem(error, "PRECOMPILE_CACHE_MAX_SIZE is not used");
                    }
                },
            }
        }
        if let Some(bytes) = size {
            builder = builder.budget(Budget::new().max_bytes(bytes));
        }
        builder = match word("PRECOMPILE_CACHE_MODE") {
            None => builder,
            Some(text) => match text.to_string_lossy().parse::<Mode>() {
                Ok(mode) => builder.mode(mode),
                // Whoever means `require-hit` and misspells it must not get work done in silence.
                Err(error) => builder
                    .problem(error, "the mode is require-hit, which is the strictest")
                    .mode(Mode::RequireHit),
            },
        };
        if let Some(list) = word("PRECOMPILE_CACHE_KEYS") {
            let paths = std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty());
            builder = paths.fold(builder, LayersBuilder::trusted_keys_file);
        }
        if let Some(text) = word("PRECOMPILE_CACHE_SCOPE") {
            // What is told of bytes that are no text may be the scope of a list; no list has an empty one.
            let scope = text.to_str().unwrap_or_default();
            let checked = match text.to_str() {
                Some(scope) => Names::new().set_scope(Some(scope)),
                None => Err(names::no_scope(&text.to_string_lossy())),
            };
            if let Err(error) = checked {
                builder = builder.problem(error, "no list of names is used");
            }
            builder = builder.names_scope(scope);
        }
        if let Some(path) = word("PRECOMPILE_RECORD") {
            builder = builder.record(path);
        }
        match word("PRECOMPILE_CACHE_VERIFY") {
            None => builder,
            Some(text) => match text.to_string_lossy().parse::<Policy>() {
                Ok(policy) => builder.policy(policy),
                // Whoever asks for more than is known here must not get less.
                Err(error) => builder
                    .problem(error, "the policy is signed, which is the strictest")
                    .policy(Policy::Signed),
            },
        }
    }
}

/// Whether a variable can do no more than keep something from being used. A word that is none is the
/// strictest one.
fn restricts(name: &str, text: &OsStr) -> bool {
    match name {
        // Beside `auto`, the default, each of them allows less.
        "PRECOMPILE_CACHE_MODE" | "PRECOMPILE_CACHE_SCOPE" => true,
        "PRECOMPILE_CACHE_VERIFY" => {
            let policy = text.to_string_lossy().parse();
            matches!(policy, Ok(Policy::Full | Policy::Signed) | Err(_))
        }
        _ => false,
    }
}

/// Why the environment may only restrict, if that is so: it is somebody else's in a process that has
/// rights that whoever started it lacks. The kernel's own answer is in the auxiliary vector; ids alone
/// say nothing of file capabilities.
fn distrust() -> Option<Error> {
    use rustix::process::{getegid, geteuid, getgid, getuid};
    match getuid() != geteuid() || getgid() != getegid() {
        true => Some(ErrorKind::Privileged.into()),
        false => distrust_by_kernel(),
    }
}

#[cfg(target_os = "linux")]
const VECTOR: &str = "/proc/self/auxv";

#[cfg(target_os = "linux")]
fn distrust_by_kernel() -> Option<Error> {
    distrust_by(std::fs::read(VECTOR))
}

#[cfg(not(target_os = "linux"))]
fn distrust_by_kernel() -> Option<Error> {
    None
}

/// What the vector says, as it was read. Without an answer it may be either, and what may not be
/// read is not: whoever starts a program can see to it that it has no file descriptor left.
#[cfg(target_os = "linux")]
fn distrust_by(vector: io::Result<Vec<u8>>) -> Option<Error> {
    let unknown = |source| Some(ErrorKind::UnknownRights { path: VECTOR.into(), source }.into());
    match vector.map(|vector| secure_in(&vector)) {
        Ok(Some(false)) => None,
        Ok(Some(true)) => Some(ErrorKind::Privileged.into()),
        Ok(None) => unknown(io::ErrorKind::InvalidData.into()),
        // The kernel hides it from processes that nobody may look into, such as these.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Some(ErrorKind::Privileged.into())
        }
        Err(error) => unknown(error),
    }
}

/// Whether an auxiliary vector, pairs of words, has `AT_SECURE` with anything but 0; `None` if it
/// does not have it at all.
#[cfg(target_os = "linux")]
fn secure_in(vector: &[u8]) -> Option<bool> {
    const SECURE: u64 = 23;
    const WORD: usize = size_of::<usize>();
    // As a kernel of this processor's order writes it; the sum is 0 for a zero only.
    let is = |word: &[u8], value: u64| {
        let value = value.to_le_bytes();
        let order: fn(usize) -> usize =
            if cfg!(target_endian = "little") { |at| at } else { |at| WORD - 1 - at };
        (0..WORD).all(|at| word[order(at)] == value[at])
    };
    let mut pairs = vector.chunks_exact(2 * WORD);
    let pair = pairs.find(|pair| is(&pair[..WORD], SECURE))?;
    Some(!is(&pair[WORD..], 0))
}

/// The user's cache folder. Relative paths do not count, as the XDG specification wants it.
fn default_dir(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(caches.join(NAME))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_os = "linux")]
    use rustix::io::Errno;

    fn with(variables: &[(&str, &str)]) -> LayersBuilder {
        let variables = variables.to_vec();
        LayersBuilder::from_variables(move |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn the_default_directory_follows_xdg_and_home() {
        let dir = |variables: &[(&str, &str)]| {
            let variables = variables.to_vec();
            default_dir(move |name| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
            })
        };
        assert_eq!(dir(&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")]), Some("/x/precompile".into()));
        assert_eq!(
            dir(&[("XDG_CACHE_HOME", ""), ("HOME", "/h")]),
            Some("/h/.cache/precompile".into())
        );
        assert_eq!(dir(&[("XDG_CACHE_HOME", "x")]), None);
        assert_eq!(dir(&[("HOME", "")]), None);
    }

    #[test]
    fn without_a_home_there_is_a_note_and_no_layer() {
        let layers = with(&[]).build();
        assert!(matches!(layers.problems()[0].error.kind(), ErrorKind::NoHome));
        assert!(layers.write_path().is_none());
        assert!(with(&[]).try_build().is_err());
        // To ask for no directory is no problem.
        assert!(with(&[("PRECOMPILE_CACHE_DIR", "")]).build().problems().is_empty());
    }

    #[test]
    fn an_unknown_mode_is_a_problem_and_the_strictest() {
        let variables = [("PRECOMPILE_CACHE_DIR", ""), ("PRECOMPILE_CACHE_MODE", "fast")];
        let layers = with(&variables).build();
        assert_eq!(layers.mode(), Mode::RequireHit);
        assert!(layers.problems()[0].error.to_string().contains("require-hit"));
        let variables = [("PRECOMPILE_CACHE_DIR", ""), ("PRECOMPILE_CACHE_MODE", "read-only")];
        assert_eq!(with(&variables).build().mode(), Mode::ReadOnly);
        let variables = [("PRECOMPILE_CACHE_DIR", ""), ("PRECOMPILE_CACHE_MODE", "")];
        assert_eq!(with(&variables).build().mode(), Mode::Auto);
    }

    #[test]
    fn the_default_directory_has_a_limit_and_others_have_one_if_asked() {
        let home = ("HOME", "/h");
        let dir = ("PRECOMPILE_CACHE_DIR", "/c");
        let size = |text| ("PRECOMPILE_CACHE_MAX_SIZE", text);
        let limit = |variables: &[(&str, &str)]| with(variables).max_bytes();
        assert_eq!(limit(&[home]), Some(DEFAULT_SIZE));
        assert_eq!(limit(&[dir]), None);
        assert_eq!(limit(&[dir, size("20M")]), Some(20 << 20));
        assert_eq!(limit(&[home, size("")]), Some(DEFAULT_SIZE));
        for none in ["none", "0"] {
            assert_eq!(limit(&[home, size(none)]), None);
        }
        for (variables, kept) in
            [([home, size("much")], Some(DEFAULT_SIZE)), ([dir, size("-1")], None)]
        {
            let builder = with(&variables).no_read_write();
            assert_eq!(builder.max_bytes(), kept);
            assert!(builder.build().problems()[0].to_string().contains("such as 500M"));
        }
    }

    #[test]
    fn what_is_named_counts_before_the_environment() {
        let named = |name: &str| (name == "PRECOMPILE_CACHE_DIR").then(|| "/named".into());
        let builder = LayersBuilder::from_env_or(named);
        assert_eq!(builder.write_path(), Some("/named".as_ref()));
        assert!(distrust().is_none(), "tests run with nobody else's rights");
    }

    #[test]
    fn an_environment_that_is_not_trusted_restricts_and_no_more() {
        let unknown = || ErrorKind::UnknownRights {
            path: "/proc/self/auxv".into(),
            source: std::io::ErrorKind::NotFound.into(),
        };
        let build = |kind: ErrorKind, variables: &[(&str, &str)]| {
            let variables = variables.to_vec();
            LayersBuilder::from_env_unless(
                Some(kind.into()),
                |_| None,
                move |name| {
                    variables
                        .iter()
                        .find(|(known, _)| *known == name)
                        .map(|(_, value)| value.into())
                },
            )
        };
        let generous = [
            ("PRECOMPILE_CACHE_DIR", "/nowhere/dir"),
            ("PRECOMPILE_CACHE_PATH", "/nowhere/path"),
            ("PRECOMPILE_CACHE_KEYS", "/nowhere/keys"),
            ("PRECOMPILE_CACHE_MAX_SIZE", "1"),
            ("PRECOMPILE_RECORD", "/nowhere/record"),
            ("HOME", "/nowhere"),
            ("PRECOMPILE_CACHE_VERIFY", "header"),
            ("PRECOMPILE_CACHE_MODE", "auto"),
        ];
        for kind in [ErrorKind::Privileged, unknown()] {
            let builder = build(kind, &generous);
            assert_eq!((builder.write_path(), builder.max_bytes()), (None, None));
            let told: Vec<String> =
                builder.build().problems().iter().map(|p| p.to_string()).collect();
            assert!(told.len() == 1 && told[0].contains("stricter policies count"), "{told:?}");
        }
        for kind in [ErrorKind::Privileged, unknown()] {
            let narrow = [
                ("PRECOMPILE_CACHE_MODE", "require-hit"),
                ("PRECOMPILE_CACHE_VERIFY", "signed"),
                ("PRECOMPILE_CACHE_SCOPE", "one"),
            ];
            let builder = build(kind, &narrow);
            assert!(builder.is_signed());
            assert_eq!(builder.scope(), Some("one"));
            let layers = builder.build();
            assert_eq!((layers.mode(), layers.problems().len()), (Mode::RequireHit, 1));
        }
        // A word that is none is the strictest one here as well.
        let misspelt = [("PRECOMPILE_CACHE_MODE", "hit"), ("PRECOMPILE_CACHE_VERIFY", "sign")];
        let builder = build(unknown(), &misspelt);
        assert!(builder.is_signed());
        assert_eq!(builder.build().mode(), Mode::RequireHit);
        let full = build(unknown(), &[("PRECOMPILE_CACHE_VERIFY", "full")]);
        assert!(full.is_full() && !full.is_signed());
    }

    #[test]
    fn a_scope_that_is_no_text_is_that_of_no_list() {
        use std::os::unix::ffi::OsStringExt;
        let builder = LayersBuilder::from_variables(|name| match name {
            "PRECOMPILE_CACHE_DIR" => Some(OsString::new()),
            "PRECOMPILE_CACHE_SCOPE" => Some(OsString::from_vec(b"prod\xff".to_vec())),
            _ => None,
        });
        assert_eq!(builder.scope(), Some(""), "which no list has");
        let told = builder.build().problems()[0].to_string();
        assert!(told.contains("expected a scope") && told.contains("no list of names"), "{told}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_kernels_answer_is_found_in_the_vector() {
        let vector = |pairs: &[(usize, usize)]| -> Vec<u8> {
            let words =
                pairs.iter().flat_map(|(key, value)| [key.to_le_bytes(), value.to_le_bytes()]);
            words.flatten().collect()
        };
        if cfg!(target_endian = "big") {
            return;
        }
        assert_eq!(secure_in(&vector(&[(6, 4096), (23, 1), (0, 0)])), Some(true));
        assert_eq!(secure_in(&vector(&[(6, 4096), (23, 0), (0, 0)])), Some(false));
        assert_eq!(secure_in(&vector(&[(4096, 23), (11, 1)])), None);
        assert_eq!((secure_in(b""), secure_in(&[23])), (None, None));
        // Whatever is no answer is not taken for one.
        assert!(distrust_by(Ok(vector(&[(23, 0)]))).is_none());
        let told = |read| distrust_by(read).unwrap().to_string();
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOENT, Errno::IO, Errno::NOMEM] {
            let told = told(Err(errno.into()));
            assert!(told.contains("whose rights") && told.contains("/proc/self/auxv"), "{told}");
        }
        assert!(told(Ok(Vec::new())).contains("whose rights"));
        for read in [Ok(vector(&[(23, 1)])), Err(Errno::ACCESS.into())] {
            assert!(told(read).contains("rights that whoever started it lacks"));
        }
    }

    #[test]
    fn a_record_that_cannot_be_written_is_a_problem() {
        let variables = [("PRECOMPILE_CACHE_DIR", ""), ("PRECOMPILE_RECORD", "/nowhere/record")];
        let layers = with(&variables).build();
        let problem = layers.problems()[0].to_string();
        assert!(problem.contains("/nowhere/record") && problem.contains("nothing is recorded"));
        layers.note(|| unreachable!("nobody wants to know"));
        let variables = [("PRECOMPILE_CACHE_DIR", ""), ("PRECOMPILE_RECORD", "")];
        assert!(with(&variables).build().problems().is_empty());
    }

    #[test]
    fn an_unknown_policy_is_a_problem_and_the_strictest() {
        let variables = [("PRECOMPILE_CACHE_DIR", ""), ("PRECOMPILE_CACHE_VERIFY", "sign")];
        let builder = with(&variables);
        assert!(builder.is_signed());
        assert!(builder.build().problems()[0].error.to_string().contains("header, full or signed"));
        let variables = [
            ("PRECOMPILE_CACHE_DIR", ""),
            ("PRECOMPILE_CACHE_VERIFY", "header"),
            ("PRECOMPILE_CACHE_KEYS", "/nowhere/key"),
        ];
        let builder = with(&variables);
        assert!(!builder.is_signed());
        let layers = builder.build();
        assert_eq!(layers.problems()[0].error.path(), Some("/nowhere/key".as_ref()));
    }

    #[test]
    fn empty_parts_of_the_path_are_passed_over() {
        let variables =
            [("PRECOMPILE_CACHE_DIR", ""), ("PRECOMPILE_CACHE_PATH", ":/nowhere/a::/nowhere/b:")];
        let layers = with(&variables).build();
        let paths: Vec<_> = layers.problems().iter().map(|p| p.error.path().unwrap()).collect();
        assert_eq!(paths, [std::path::Path::new("/nowhere/a"), std::path::Path::new("/nowhere/b")]);
    }
}
