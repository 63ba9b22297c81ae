//! The engines that scripts run in.

use crate::args::Wast;
use crate::plan::{self, Usage};
use precompile::{Config, Engine, Features};
use precompile_wast::script::forms;
use precompile_wast::{Header, Options};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How often the epoch moves on.
const EPOCH: Duration = Duration::from_millis(50);

/// What scripts may ask for: proposals, and whether NaNs are canonical.
type Asked = (Features, Option<bool>);

/// The engines of all scripts: those that ask for the same settings share one.
pub(super) struct Engines {
    config: Config,
    features: Features,
    /// Whether scripts may ask for proposals: not if the command line names them.
    follow: bool,
    /// How long a script may take, where code looks at the epoch.
    limit: Option<Duration>,
    made: Arc<Mutex<Vec<(Asked, Engine)>>>,
}

/// What there is for a script.
pub(super) enum Ready {
    Engine(Engine),
    /// It is about these, which the engine does not have: it can pass, but not fail.
    Lacks(String, Engine),
}

impl Engines {
    /// # Errors
    /// If scripts cannot be run with these arguments.
    pub(super) fn new(args: &Wast) -> Result<Engines, Usage> {
        let variants = plan::variants(&args.code)?;
        let [variant] = &variants[..] else {
            return Err(Usage("scripts run one way at a time: name one --cpu".to_string()));
        };
        if precompile::Target::host() != Some(variant.target) {
            return Err(Usage(format!("scripts run here, which is not {}", variant.target)));
        }
        let mut config = variant.config.clone();
        // Scripts are what is done at the same time, not the functions of a module.
        config.parallel_compilation(args.jobs == 1);
        let features = args.code.tuning.features.as_deref();
        let engines = Engines {
            config,
            // A script that nobody has seen may need any of them.
            features: features
                .map_or(Ok(Features::SUPPORTED), |list| plan::features(Some(list)))?,
            follow: features.is_none(),
            limit: args.limit().filter(|_| args.code.epoch_interruption),
            made: Arc::default(),
        };
        // What cannot be is found out before anything runs.
        engines.get((engines.features, None)).map_err(Usage)?;
        Ok(engines)
    }

    /// The engine for a script, if it can show anything.
    ///
    /// # Errors
    /// If its settings do not go together.
    pub(super) fn ready(&self, source: &str) -> Result<Ready, String> {
        let header = Header::parse(source);
        let mut lacking = header.lacking();
        if forms(source).iter().any(|form| form.text.contains("(component")) {
            lacking.push("component-model".to_string());
        }
        if forms(source).iter().any(|form| has_folded_try(form.text)) {
            lacking.push("legacy-exceptions".to_string());
        }
        let features = if self.follow { header.features(self.features) } else { self.features };
        let engine = self.get((features, header.nan_canonicalization()))?;
        Ok(match lacking.is_empty() {
            true => Ready::Engine(engine),
            false => Ready::Lacks(lacking.join(", "), engine),
        })
    }

    /// What is said of a failure: that the time is over where it is what ended wasm.
    pub(super) fn said(&self, message: &str) -> String {
        const INTERRUPTED: &str = "wasm trap: interrupt";
        let Some(limit) = self.limit.filter(|_| message.contains(INTERRUPTED)) else {
            return message.to_string();
        };
        let limit = limit.as_secs_f64();
        let told =
            format!("the script takes longer than {limit} s: it was interrupted (--timeout)");
        message.replace(INTERRUPTED, &told)
    }

    /// How scripts are run.
    pub(super) fn options(&self) -> Options {
        let limit = self.limit.map(|limit| limit.as_millis() / EPOCH.as_millis());
        let epochs = limit.and_then(|epochs| u64::try_from(epochs).ok());
        Options { epochs, earlier_versions: true }
    }

    /// Moves on the epoch of all engines from now on, if that ends anything.
    pub(super) fn start_clock(&self) {
        if self.limit.is_none() {
            return;
        }
        let made = Arc::clone(&self.made);
        thread::spawn(move || {
            loop {
                thread::sleep(EPOCH);
                let made = made.lock().unwrap_or_else(PoisonError::into_inner);
                made.iter().for_each(|(_, engine)| engine.increment_epoch());
            }
        });
    }

    fn get(&self, key: Asked) -> Result<Engine, String> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, engine)) = made.iter().find(|(known, _)| *known == key) {
            return Ok(engine.clone());
        }
        let mut config = self.config.clone();
        config.features(key.0);
        if let Some(on) = key.1 {
            config.cranelift_nan_canonicalization(on);
        }
        let engine = Engine::new(&config).map_err(|error| format!("{error:#}"))?;
        made.push((key, engine.clone()));
        Ok(engine)
    }
}

/// Whether there are folded exceptions of the kind that was before the standard, which the parser of
/// the text format does not know. It knows them unfolded, and the engine refuses those by name.
fn has_folded_try(text: &str) -> bool {
    let has = |word: &str| {
        let mut ends = text.match_indices(word).filter_map(|(at, _)| text.get(at + word.len()..));
        ends.any(|rest| rest.starts_with(|c: char| c.is_ascii_whitespace() || "()".contains(c)))
    };
    has("(try") && has("(do")
}
