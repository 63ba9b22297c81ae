//! One file a command.

pub(crate) mod cache;
pub(crate) mod check;
pub(crate) mod explain;
pub(crate) mod inspect;
pub(crate) mod keys;
mod limit;
mod lists;
pub(crate) mod modules;
pub(crate) mod run;
pub(crate) mod settings;
pub(crate) mod shell;
pub(crate) mod values;
pub(crate) mod warm;
pub(crate) mod wast;

/// Fine.
pub(crate) const FINE: u8 = 0;
/// An input was invalid or failed.
pub(crate) const FAILED: u8 = 1;
/// The command line is wrong.
pub(crate) const USAGE: u8 = 2;
/// The cache directory cannot be opened or written.
pub(crate) const CACHE: u8 = 3;
/// Something would miss.
pub(crate) const MISS: u8 = 4;

/// The code of a command that wrote data, or could not.
pub(crate) fn written(result: std::io::Result<()>, code: u8) -> u8 {
    match result {
        Ok(()) => code,
        Err(error) => {
            crate::report::error(None, format!("cannot write to standard output: {error}"));
            FAILED
        }
    }
}
