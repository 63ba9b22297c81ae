//! What a script says about itself in its first lines: `;;! memory64 = true`.
//!
//! Wasmtime's scripts have such lines. A key is a proposal's name, with `_` or `-`, or one of a few
//! other settings. A key that nobody here knows may be a proposal's, so that a script which sets it
//! to `true` needs it: see [`Header::lacking`].
//!
//! Those of wasm-tools have the command that runs them, `;; RUN: wast % -f wasm1,simd`, of which
//! `-f` and `--features` count: names of proposals, with `-` before one that is off, or of a
//! version of the specification, which is all there is then.

use precompile::Features;

/// What each proposal is not there without.
const NEEDS: &[(Features, Features)] = &[
    (Features::GC, Features::FUNCTION_REFERENCES),
    (Features::FUNCTION_REFERENCES, Features::REFERENCE_TYPES),
    (Features::EXCEPTIONS, Features::REFERENCE_TYPES),
    (Features::RELAXED_SIMD, Features::SIMD),
];

/// Keys that change nothing here: what a script does with memory and with sections that are
/// ignored, and how its own engine tests it.
const INDIFFERENT: &[&str] = &["hogs-memory", "branch-hinting", "spec-test", "gc-types"];

/// What wasm-tools can switch off, and nobody can here.
const ALWAYS: &[&str] = &["floats", "gc-types"];

/// The settings that a script asks for.
///
/// ```
/// use precompile::Features;
/// use precompile_wast::Header;
///
/// let header = Header::parse(";;! simd = false\n(module)");
/// assert_eq!(header.features(Features::WASM2), Features::WASM2.difference(Features::SIMD));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    on: Features,
    off: Features,
    nan_canonicalization: Option<bool>,
    /// Keys that are switched on, and that are not known.
    unknown: Vec<String>,
}

impl Header {
    /// Reads the lines before the first directive.
    pub fn parse(source: &str) -> Header {
        let mut header = Header {
            on: Features::NONE,
            off: Features::NONE,
            nan_canonicalization: None,
            unknown: Vec::new(),
        };
        let lines = source.lines().map(str::trim);
        let lines = lines.take_while(|line| line.is_empty() || line.starts_with(";;"));
        let mut command = None;
        for line in lines {
            if let Some(setting) = line.strip_prefix(";;!") {
                header.setting(setting);
                continue;
            }
            let line = line.trim_start_matches(';').trim();
            let starts = line.strip_prefix("RUN").and_then(|rest| rest.split_once(": "));
            let starts = starts.filter(|(name, _)| name.is_empty() || name.starts_with('['));
            // A command goes on in the next line after this sign.
            let Some(part) = starts.map(|(_, part)| part).or(command.map(|()| line)) else {
                continue;
            };
            command = part.ends_with('\\').then_some(());
            header.command(part);
        }
        header
    }

    fn setting(&mut self, setting: &str) {
        let Some((key, value)) = setting.split_once('=') else { return };
        let on = match value.trim() {
            "true" | "yes" => true,
            "false" | "no" => false,
            _ => return,
        };
        self.set(&key.trim().replace('_', "-"), on);
    }

    /// Reads a line of a command. The option and its value are in one line.
    fn command(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        while let Some(word) = words.next() {
            let (option, value) = word.split_once('=').unwrap_or((word, ""));
            if !matches!(option, "-f" | "--features") {
                continue;
            }
            let value = if value.is_empty() { words.next().unwrap_or_default() } else { value };
            for name in value.split(',') {
                match (name, name.strip_prefix('-')) {
                    ("mvp" | "wasm1", _) => self.only(Features::WASM1),
                    ("wasm2", _) => self.only(Features::WASM2),
                    ("wasm3", _) => self.only(Features::WASM3),
                    (_, Some(name)) if ALWAYS.contains(&name) => {
                        self.unknown.push(format!("-{name}"))
                    }
                    (_, Some(name)) => self.set(name, false),
                    (_, None) => self.set(name, true),
                }
            }
        }
    }

    /// Proposals that are not in `features` are off from here on.
    fn only(&mut self, features: Features) {
        let features = features.intersection(Features::SUPPORTED);
        self.on = features;
        self.off = Features::SUPPORTED.difference(features);
    }

    fn set(&mut self, key: &str, on: bool) {
        if key == "nan-canonicalization" {
            self.nan_canonicalization = Some(on);
            return;
        }
        let Some(feature) = Features::from_name(key) else {
            if on && !INDIFFERENT.contains(&key) {
                self.unknown.push(key.to_string());
            }
            return;
        };
        self.on = self.on.with(feature, on);
        self.off = self.off.with(feature, !on);
    }

    /// The proposals of this script, where `base` are those of one that says nothing. What the
    /// engine does not have is not among them.
    pub fn features(&self, base: Features) -> Features {
        let mut off = self.off;
        for (feature, needed) in NEEDS.iter().rev() {
            off = off.with(*feature, off.contains(*feature) || off.contains(*needed));
        }
        let features = base.difference(off).union(self.wanted());
        features.difference(features.difference(Features::SUPPORTED))
    }

    /// The proposals that it is about and that the engine does not have. Its modules may be refused
    /// for that alone.
    pub fn unsupported(&self) -> Features {
        self.wanted().difference(Features::SUPPORTED)
    }

    /// The names of all that it is about and that the engine does not have or know: such a script
    /// can show nothing here.
    pub fn lacking(&self) -> Vec<String> {
        let names = self.unsupported().names().map(String::from);
        names.chain(self.unknown.iter().cloned()).collect()
    }

    /// Whether every NaN is to have the same bits, if it says so.
    pub fn nan_canonicalization(&self) -> Option<bool> {
        self.nan_canonicalization
    }

    fn wanted(&self) -> Features {
        let mut all = self.on;
        for (feature, needed) in NEEDS {
            if all.contains(*feature) {
                all = all.union(*needed);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_proposals_are_switched() {
        let text = ";; a script\n\n;;! simd = false\n;;! multi_memory=true\n;;! odd = 1\n(module)";
        let header = Header::parse(text);
        let base = Features::WASM2.union(Features::RELAXED_SIMD);
        let wanted = Features::WASM2.difference(Features::SIMD).union(Features::MULTI_MEMORY);
        assert_eq!(header.features(base), wanted);
        assert_eq!(Header::parse("(module)").features(base), base);
        assert_eq!(Header::parse("(module)\n;;! simd = false").features(base), base);
        let vectors = Header::parse(";;! relaxed_simd = true").features(Features::NONE);
        assert_eq!(vectors, Features::RELAXED_SIMD.union(Features::SIMD));
    }

    #[test]
    fn other_settings() {
        let header = Header::parse(";;! nan_canonicalization = true");
        assert_eq!(header.nan_canonicalization(), Some(true));
        assert_eq!(header.features(Features::WASM2), Features::WASM2);
    }

    #[test]
    fn commands_are_read() {
        let of = |text: &str| Header::parse(text).features(Features::SUPPORTED);
        let all = Features::SUPPORTED;
        assert_eq!(of(";; RUN: wast % -f=-bulk-memory"), all.difference(Features::BULK_MEMORY));
        let text = ";; RUN: wast \\\n;;   --assert default \\\n;;   -f wasm1,simd %\n;; -f threads";
        assert_eq!(of(text), Features::WASM1.union(Features::SIMD));
        let text = ";; RUN[a-b]: wast --features -simd,-exceptions %\n;;! threads = false";
        let off = Features::SIMD.union(Features::RELAXED_SIMD).union(Features::EXCEPTIONS);
        assert_eq!(of(text), all.difference(off).difference(Features::THREADS));
        let text = ";; -f wasm1\n;; RUNS: wast -f wasm1\n(module)\n;; RUN: wast -f wasm1";
        assert_eq!(of(text), all);
        let lacking = |text: &str| Header::parse(text).lacking();
        assert_eq!(
            lacking(";; RUN: wast -f stack-switching,-floats"),
            ["stack-switching", "-floats"]
        );
        assert_eq!(lacking(";; RUN: wast % -f=-stack-switching"), [""; 0]);
    }

    #[test]
    fn what_the_engine_lacks_is_left_out_and_told() {
        let header = Header::parse(";;! gc = true\n;;! made_up = true");
        let gc = Features::GC.union(Features::FUNCTION_REFERENCES).union(Features::REFERENCE_TYPES);
        let unsupported = gc.difference(Features::SUPPORTED);
        assert_eq!(header.unsupported(), unsupported);
        let lacking: Vec<_> = unsupported.names().chain(["made-up"]).map(String::from).collect();
        assert_eq!(header.lacking(), lacking);
        let fine = Header::parse(";;! hogs_memory = true\n;;! made_up = false\n;;! simd = true");
        assert!(fine.lacking().is_empty());
        assert!(Features::SUPPORTED.contains(header.features(Features::WASM2)));
    }
}
