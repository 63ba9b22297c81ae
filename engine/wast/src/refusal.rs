//! Whether a module is refused as a script wants it to be.
//!
//! Texts are not compared, but for one thing: what an earlier version of the specification refuses,
//! a proposal may allow since. An assertion that a module has one memory too many can only be held
//! against an engine without that proposal.

use precompile::{Config, Engine, Error, ErrorKind, Features, Module, Result};

/// What earlier versions of the specification say where a proposal was not there yet.
const EARLIER: &[&str] = &[
    "multiple memories",
    "multiple tables",
    "unknown global",
    "invalid result arity",
    "zero byte expected",
    "zero flag expected",
    "integer representation too long",
    "malformed limits flags",
];

/// That `engine` refuses `bytes`, and with `lacks`, which says that the script is about what it
/// does not have, not for that alone.
///
/// # Errors
/// What it did instead.
pub(crate) fn expect(engine: &Engine, bytes: &[u8], lacks: bool) -> Result<(), String> {
    match Module::from_binary(engine, bytes) {
        Ok(_) => Err("the module was accepted".into()),
        Err(error) if error.kind() == ErrorKind::Unsupported && lacks => {
            Err(format!("refused, but for lack of support only: {error:#}"))
        }
        Err(error) if matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Unsupported) => Ok(()),
        Err(error) => Err(format!("refused, but as {:?}: {error:#}", error.kind())),
    }
}

/// An engine without any proposal.
///
/// # Errors
/// Those of [`Engine::new`].
pub(crate) fn without_proposals() -> Result<Engine> {
    Engine::new(Config::new().features(Features::NONE))
}

/// Whether `engine`, which has no proposals, refuses `bytes` for the lack of one that has to do
/// with `expected`.
pub(crate) fn is_of_earlier_version(engine: &Engine, bytes: &[u8], expected: &str) -> bool {
    let refused = |error: Error| {
        error.kind() == ErrorKind::Unsupported
            && (EARLIER.contains(&expected)
                || !expected.is_empty() && format!("{error:#}").contains(expected))
    };
    Module::validate(engine, bytes).is_err_and(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_earlier_versions() {
        let engine = without_proposals().expect("nothing to ask for");
        let check = |module: &str, text: &str| {
            let module = wast::parser::ParseBuffer::new(module).expect("tokens");
            let module = wast::parser::parse::<wast::Wat<'_>>(&module);
            let bytes = module.and_then(|mut module| module.encode()).expect("a module");
            is_of_earlier_version(&engine, &bytes, text)
        };
        let memories = "(module (memory 0) (memory 0))";
        assert!(check(memories, "multiple memories"));
        // It is refused, but not for a mistake that other modules make.
        assert!(!check(memories, "type mismatch") && !check(memories, ""));
        let sign = "(module (func (drop (i32.extend8_s (i32.const 0)))))";
        assert!(check(sign, "sign extension operations support is not enabled"));
        assert!(!check("(module (memory 0))", "multiple memories"));
        // What no proposal makes valid is no matter of versions.
        assert!(!check("(module (func (result i32)))", "multiple memories"));
    }
}
