//! The layers that environment variables ask for.

use std::ffi::OsString;
use std::path::PathBuf;

use super::{Layers, LayersBuilder, Mode};
use crate::error::ErrorKind;
use crate::policy::Policy;

/// The last read-only layer, where an image has its entries.
const SYSTEM: &str = "/usr/share/precompile";
const NAME: &str = "precompile";

impl LayersBuilder {
    /// The layers that the environment of this process asks for:
    ///
    /// - `PRECOMPILE_CACHE_DIR`: the read-write directory; empty for none. When it is not set:
    ///   `precompile` in `XDG_CACHE_HOME`, or else in `.cache` in `HOME`; with neither of them there
    ///   is no read-write layer, and a [`Problem`](crate::Problem) says so.
    /// - `PRECOMPILE_CACHE_PATH`: read-only directories, separated by colons, the first one probed
    ///   first.
    /// - `/usr/share/precompile` is the last read-only layer if it exists.
    /// - `PRECOMPILE_CACHE_MODE`: a [`Mode`]; one that is unknown is `auto`, and a problem.
    /// - `PRECOMPILE_CACHE_VERIFY`: a [`Policy`]; one that is unknown is `signed`, and a problem.
    /// - `PRECOMPILE_CACHE_KEYS`: files of [trusted keys](crate::TrustedKeys), separated by colons.
    ///
    /// Nothing else in this crate reads the environment.
    #[expect(clippy::disallowed_methods, reason = "the one place: whoever calls this asks for it")]
    pub fn from_env() -> LayersBuilder {
        LayersBuilder::from_variables(|name| std::env::var_os(name))
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
        builder = match variable("PRECOMPILE_CACHE_DIR") {
            Some(path) if path.is_empty() => builder,
            Some(path) => builder.read_write(path),
            None => match default_dir(&variable) {
                Some(path) => builder.read_write(path),
                None => builder.problem(ErrorKind::NoHome.into(), "nothing is kept"),
            },
        };
        let word = |name| variable(name).filter(|text| !text.is_empty());
        builder = match word("PRECOMPILE_CACHE_MODE") {
            None => builder,
            Some(text) => match text.to_string_lossy().parse::<Mode>() {
                Ok(mode) => builder.mode(mode),
                Err(error) => builder.problem(error, "the mode is auto"),
            },
        };
        if let Some(list) = word("PRECOMPILE_CACHE_KEYS") {
            let paths = std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty());
            builder = paths.fold(builder, LayersBuilder::trusted_keys_file);
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

/// The user's cache folder. Relative paths do not count, as the XDG specification wants it.
fn default_dir(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(caches.join(NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn an_unknown_mode_is_a_problem_and_auto() {
        let variables = [("PRECOMPILE_CACHE_DIR", ""), ("PRECOMPILE_CACHE_MODE", "fast")];
        let layers = with(&variables).build();
        assert_eq!(layers.mode(), Mode::Auto);
        assert!(layers.problems()[0].error.to_string().contains("require-hit"));
        let variables = [("PRECOMPILE_CACHE_DIR", ""), ("PRECOMPILE_CACHE_MODE", "require-hit")];
        assert_eq!(with(&variables).build().mode(), Mode::RequireHit);
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
