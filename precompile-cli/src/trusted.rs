//! The one place where a word of the command line, `--trust-dir`, becomes a promise to the engine.

use precompile::Config;
use precompile::cache::LayersBuilder;

/// Gives `config` its cache. The trust rule was waived for none of its layers but those that
/// `--trust-dir` names.
#[expect(unsafe_code, reason = "whoever writes --trust-dir vouches, as an app does in its code")]
pub(crate) fn attach(config: &mut Config, layers: LayersBuilder) -> &mut Config {
    if !layers.is_vouched() {
        return config.cache(layers);
    }
    // SAFETY: all layers are directories, into which engines write; that nobody else writes to those
    // that are trusted by name is what the user says by naming them, and is told in the help.
    unsafe { config.cache_vouched(layers) }
}
