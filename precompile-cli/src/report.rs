//! What people and tools are told: lines on standard error, documents on standard output.

use crate::args::{Color, Output};
use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use precompile::{Outcome, Report};
use serde::Serialize;
use std::borrow::Cow;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

/// Version of all JSON documents. A change of meaning raises it, a new field does not.
pub(crate) const SCHEMA_VERSION: u32 = 1;

const GREEN: Style = AnsiColor::Green.on_default().bold();
const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default().bold();

/// Writes to standard error, above a progress bar if there is one.
#[derive(Debug)]
pub(crate) struct Printer {
    quiet: bool,
    pub(crate) verbose: bool,
    bar: Option<ProgressBar>,
}

impl Printer {
    pub(crate) fn new(output: &Output) -> Printer {
        set_color(output.color);
        Printer { quiet: output.quiet, verbose: output.verbose, bar: None }
    }

    /// Shows a bar of `steps`, on a terminal that somebody looks at.
    pub(crate) fn progress(&mut self, steps: u64) {
        let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
        if self.quiet || is_ci || steps < 2 || !io::stderr().is_terminal() {
            return;
        }
        let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{pos:>8}/{len} [{bar:30}] {wide_msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        self.bar = Some(bar);
    }

    /// Says on the bar what comes next.
    pub(crate) fn step(&self, message: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(message.to_string());
        }
    }

    /// A step is done.
    pub(crate) fn advance(&self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// A line with a green word in front.
    pub(crate) fn status(&self, word: &str, rest: impl fmt::Display) {
        if !self.quiet {
            self.word(GREEN, word, &rest.to_string());
        }
    }

    /// A line with a yellow word in front.
    pub(crate) fn notice(&self, word: &str, rest: impl fmt::Display) {
        if !self.quiet {
            self.word(YELLOW, word, &rest.to_string());
        }
    }

    /// A line with a red word in front. Never left out.
    pub(crate) fn failure(&self, word: &str, rest: impl fmt::Display) {
        self.word(RED, word, &rest.to_string());
    }

    /// Something that is worth knowing and stops nothing.
    pub(crate) fn warning(&self, message: impl fmt::Display) {
        if !self.quiet {
            warning(message);
        }
    }

    /// What was found wrong at a place, which it begins with. Never left out.
    pub(crate) fn finding(&self, text: impl fmt::Display) {
        self.line(&clean(&text.to_string()));
    }

    /// More about the line above.
    pub(crate) fn detail(&self, text: impl fmt::Display) {
        if self.verbose {
            self.line(&format!("{:12} {}", "", clean(&text.to_string())));
        }
    }

    /// An error about `path`.
    pub(crate) fn error(&self, path: &Path, message: impl fmt::Display) {
        self.line(&error_line(Some(path), &message.to_string()));
    }

    fn word(&self, style: Style, word: &str, rest: &str) {
        self.line(&format!("{style}{word:>12}{style:#} {}", clean(rest)));
    }

    fn line(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| print_line(line)),
            None => print_line(line),
        }
    }
}

/// Colours for both outputs. `NO_COLOR` and the like count when it is `auto`.
pub(crate) fn set_color(color: Color) {
    let choice = match color {
        Color::Auto => anstream::ColorChoice::Auto,
        Color::Always => anstream::ColorChoice::Always,
        Color::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
}

/// `precompile: PATH: MESSAGE` on standard error.
pub(crate) fn error(path: Option<&Path>, message: impl fmt::Display) {
    print_line(&error_line(path, &message.to_string()));
}

/// A warning that is never left out.
pub(crate) fn warning(message: impl fmt::Display) {
    print_line(&format!("{YELLOW}warning{YELLOW:#}: {}", clean(&message.to_string())));
}

fn error_line(path: Option<&Path>, message: &str) -> String {
    let path = path.map(|path| format!("{}: ", shown(path))).unwrap_or_default();
    format!("{RED}precompile{RED:#}: {path}{}", clean(message))
}

/// Nobody may be reading, and that is no reason to stop.
fn print_line(line: &str) {
    _ = writeln!(anstream::stderr().lock(), "{line}");
}

/// Data on standard output.
///
/// # Errors
/// If it cannot be written; that a reader has left is fine.
pub(crate) fn data(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// A document on standard output.
///
/// # Errors
/// As [`data`].
pub(crate) fn json(document: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(document)?;
    text.push('\n');
    data(&text)
}

/// Text that comes from files and modules, of any number of lines: what else a terminal would obey is
/// written as Rust does.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    spelled_out(text, |c| c != '\n' && c != '\t')
}

/// A name that a module or a list gives, on one line, whatever is in it.
pub(crate) fn name(text: &str) -> Cow<'_, str> {
    spelled_out(text, |_| true)
}

/// A path on one line.
pub(crate) fn shown(path: &Path) -> String {
    name(&path.display().to_string()).into_owned()
}

fn spelled_out(text: &str, is_meant: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_bad = |c: char| (c.is_control() || is_reordering(c)) && is_meant(c);
    if !text.contains(is_bad) {
        return Cow::Borrowed(text);
    }
    let escaped = |c: char| if is_bad(c) { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escaped).collect()
}

/// Whether it changes the order in which the text around it is shown, so that one name looks like
/// another.
fn is_reordering(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} GiB")
}

/// The steps that took time.
pub(crate) fn times(report: &Report) -> String {
    let parts: Vec<String> = steps(report)
        .into_iter()
        .filter(|(_, time)| !time.is_zero())
        .map(|(name, time)| format!("{name} {time:.2?}"))
        .collect();
    parts.join(", ")
}

/// The steps, in the order in which they are taken.
pub(crate) fn steps(report: &Report) -> [(&'static str, Duration); 7] {
    [
        ("key", report.key),
        ("get", report.get),
        ("decode", report.decode),
        ("compile", report.compile),
        ("write", report.write),
        ("add", report.add),
        ("load", report.load),
    ]
}

/// Hit or miss, in words.
pub(crate) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Hit { layer, path: Some(path) } => format!("hit {layer} {}", shown(path)),
        Outcome::Hit { layer, path: None } => format!("hit {layer}"),
        Outcome::Compiled { miss: Some(miss) } => {
            format!("compiled ({}): {miss}", miss.as_str())
        }
        Outcome::Compiled { miss: None } => "compiled (off): there is no cache".to_string(),
        Outcome::Missed { miss } => format!("missed ({}): {miss}", miss.as_str()),
        Outcome::Loaded => "in use already".to_string(),
        _ => "nothing happened".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_get_no_orders_from_modules() {
        assert_eq!(clean("a\u{1b}[31mb\r\n"), "a\\u{1b}[31mb\\r\n");
        assert!(matches!(clean("plain ü"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_path_is_on_one_line() {
        assert_eq!(shown(Path::new("a\nb\u{1b}[0m\u{202e}.wasm")), r"a\nb\u{1b}[0m\u{202e}.wasm");
        assert_eq!(shown(Path::new("plain ü")), "plain ü");
    }

    #[test]
    fn sizes() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(5 << 30), "5.0 GiB");
    }
}
