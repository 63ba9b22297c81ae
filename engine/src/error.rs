//! Errors: one word, with a kind, a chain of context, and the value that was thrown inside.

use crate::Trap;
use crate::abi::target::UnknownName;
use crate::artifact::header::{Corrupt, HeaderError};
use std::any::Any;
use std::error::Error as StdError;
use std::fmt;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A name that a module gives, in a message: what would begin a new line or command a terminal is
/// spelled out, so that a module cannot write lines of its own into a log, and so is what changes the
/// order in which the text around it is shown.
pub(crate) struct Foreign<'a>(pub(crate) &'a str);

impl fmt::Display for Foreign<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_bad = |c: &char| {
            c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        for part in self.0.split_inclusive(|c| is_bad(&c)) {
            let bad = part.chars().next_back().filter(is_bad);
            f.write_str(&part[..part.len() - bad.map_or(0, char::len_utf8)])?;
            bad.map_or(Ok(()), |c| write!(f, "{}", c.escape_default()))?;
        }
        Ok(())
    }
}

/// What went wrong, and around it what was being done.
///
/// Errors of the embedder (what a host function returns) pass through it unharmed:
/// [`downcast_ref`](Error::downcast_ref) finds them again. As with other such types, it does not
/// implement [`std::error::Error`] itself, so that every error converts into it with `?`.
///
/// ```
/// use precompile::{Error, ErrorKind, Trap};
/// let error = Error::from(Trap::UnreachableCodeReached).context("while running the plugin");
/// assert_eq!(error.kind(), ErrorKind::Trap);
/// assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::UnreachableCodeReached));
/// assert_eq!(error.to_string(), "while running the plugin");
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    /// Innermost first.
    context: Vec<Box<dyn ContextValue>>,
    error: Box<dyn ErrorValue>,
}

/// Which of the engine's failures an [`Error`] is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The bytes are no valid module.
    Invalid,
    /// The module needs something that this engine, or its settings, does not have.
    Unsupported,
    /// The module, or what it asks for, exceeds a limit.
    Limit,
    /// A setting, or a combination of them, that cannot be.
    Config,
    /// An artifact that is whole, but made for another engine, processor or setting.
    Incompatible,
    /// An artifact that is damaged.
    Corrupt,
    /// The cache has no entry and compiling was ruled out.
    Miss,
    /// An import is missing or has another type.
    Link,
    /// Wasm trapped.
    Trap,
    /// Wasm, or the host, threw an exception that nobody caught.
    Exception,
    /// The operating system refused something.
    Io,
    /// An error of the embedder's, from a host function for example.
    Host,
    /// A defect of the engine.
    Bug,
}

/// What can be context: shown, and found again by its type.
trait ContextValue: fmt::Display + fmt::Debug + Any + Send + Sync {}

impl<C: fmt::Display + fmt::Debug + Any + Send + Sync> ContextValue for C {}

/// An error that can be found again by its type.
trait ErrorValue: StdError + Any + Send + Sync {}

impl<E: StdError + Any + Send + Sync> ErrorValue for E {}

/// A message as an error.
#[derive(Debug)]
struct Message(String);

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Message {}

/// A module that was refused: at which byte of it, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModuleError {
    pub(crate) offset: Option<u64>,
    pub(crate) message: String,
}

impl ModuleError {
    /// The byte offset in the module, where one place is to blame.
    pub fn offset(&self) -> Option<u64> {
        self.offset
    }
}

impl fmt::Display for ModuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.offset {
            Some(offset) => write!(f, " (at offset {offset:#x})"),
            None => Ok(()),
        }
    }
}

impl StdError for ModuleError {}

impl Error {
    /// An error that is a message; its kind is [`ErrorKind::Host`].
    pub fn msg(message: impl fmt::Display) -> Error {
        Error::with_kind(ErrorKind::Host, message)
    }

    /// An error of the embedder.
    pub fn new(error: impl StdError + Send + Sync + 'static) -> Error {
        Error::from(error)
    }

    pub(crate) fn with_kind(kind: ErrorKind, message: impl fmt::Display) -> Error {
        Error::wrap(kind, Message(message.to_string()))
    }

    pub(crate) fn wrap(kind: ErrorKind, error: impl StdError + Send + Sync + 'static) -> Error {
        Error(Box::new(Inner { kind, context: Vec::new(), error: Box::new(error) }))
    }

    /// The module is refused at byte `offset`.
    pub(crate) fn module(
        kind: ErrorKind,
        offset: impl Into<Option<u64>>,
        message: impl fmt::Display,
    ) -> Error {
        Error::wrap(kind, ModuleError { offset: offset.into(), message: message.to_string() })
    }

    /// Which failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The same error, told as `context`, which becomes the first line of its message and can be
    /// found by [`downcast_ref`](Error::downcast_ref).
    #[must_use]
    pub fn context<C>(mut self, context: C) -> Error
    where
        C: fmt::Display + fmt::Debug + Send + Sync + 'static,
    {
        self.0.context.push(Box::new(context));
        self
    }

    /// The error or a context of type `E` inside.
    pub fn downcast_ref<E: fmt::Display + fmt::Debug + Send + Sync + 'static>(&self) -> Option<&E> {
        let error: &dyn Any = &*self.0.error;
        let mut contexts = self.0.context.iter().rev().map(|c| &**c as &dyn Any);
        contexts.find_map(|c| c.downcast_ref::<E>()).or_else(|| error.downcast_ref::<E>())
    }

    /// Whether there is an error or a context of type `E` inside.
    pub fn is<E: fmt::Display + fmt::Debug + Send + Sync + 'static>(&self) -> bool {
        self.downcast_ref::<E>().is_some()
    }

    /// The error of type `E` inside, without its context, or `self` unchanged.
    ///
    /// # Errors
    /// `self`, if what is inside is of another type.
    pub fn downcast<E: StdError + Send + Sync + 'static>(self) -> Result<E, Error> {
        if !(&*self.0.error as &dyn Any).is::<E>() {
            return Err(self);
        }
        let error: Box<dyn Any> = self.0.error;
        Ok(*error.downcast::<E>().expect("the type was just checked"))
    }

    /// The messages, outermost first.
    pub fn chain(&self) -> impl Iterator<Item = String> {
        let contexts = self.0.context.iter().rev().map(|c| c.to_string());
        let mut next: Option<&(dyn StdError + 'static)> = Some(&*self.0.error);
        let errors = std::iter::from_fn(move || {
            let error = next?;
            next = error.source();
            Some(error.to_string())
        });
        contexts.chain(errors)
    }

    /// The innermost message.
    pub fn root_cause(&self) -> String {
        self.chain().last().unwrap_or_default()
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Error {
        let kind = kind_of(&error);
        Error::wrap(kind, error)
    }
}

/// The kind of the engine's own errors; all others are the embedder's.
fn kind_of(error: &dyn Any) -> ErrorKind {
    if error.is::<Trap>() {
        return ErrorKind::Trap;
    }
    if error.is::<UnknownName>() {
        return ErrorKind::Config;
    }
    if error.is::<Corrupt>() {
        return ErrorKind::Corrupt;
    }
    match error.downcast_ref::<HeaderError>() {
        Some(HeaderError::Version(_)) => ErrorKind::Incompatible,
        Some(HeaderError::NotAnArtifact | HeaderError::Corrupt(_)) => ErrorKind::Corrupt,
        None => ErrorKind::Host,
    }
}

impl fmt::Display for Error {
    /// The outermost message; with `{:#}` all of them, with colons between.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chain = self.chain();
        f.write_str(&chain.next().unwrap_or_default())?;
        if f.alternate() {
            for cause in chain {
                write!(f, ": {cause}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chain = self.chain();
        f.write_str(&chain.next().unwrap_or_default())?;
        for (i, cause) in chain.enumerate() {
            f.write_str(if i == 0 { "\n\nCaused by:\n" } else { "\n" })?;
            write!(f, "    {}", cause.replace('\n', "\n    "))?;
        }
        Ok(())
    }
}

/// Adds [`context`](Context::context) to results and options.
pub trait Context<T> {
    /// The error told as `context`; see [`Error::context`].
    ///
    /// # Errors
    /// If `self` is one, or `None`.
    fn context<C>(self, context: C) -> Result<T>
    where
        C: fmt::Display + fmt::Debug + Send + Sync + 'static;

    /// As `context`, which is made only when there is an error.
    ///
    /// # Errors
    /// If `self` is one, or `None`.
    fn with_context<C>(self, context: impl FnOnce() -> C) -> Result<T>
    where
        C: fmt::Display + fmt::Debug + Send + Sync + 'static;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context<C>(self, context: C) -> Result<T>
    where
        C: fmt::Display + fmt::Debug + Send + Sync + 'static,
    {
        self.map_err(|error| error.into().context(context))
    }

    fn with_context<C>(self, context: impl FnOnce() -> C) -> Result<T>
    where
        C: fmt::Display + fmt::Debug + Send + Sync + 'static,
    {
        self.map_err(|error| error.into().context(context()))
    }
}

impl<T> Context<T> for Option<T> {
    fn context<C>(self, context: C) -> Result<T>
    where
        C: fmt::Display + fmt::Debug + Send + Sync + 'static,
    {
        self.ok_or_else(|| Error::msg(context))
    }

    fn with_context<C>(self, context: impl FnOnce() -> C) -> Result<T>
    where
        C: fmt::Display + fmt::Debug + Send + Sync + 'static,
    {
        self.ok_or_else(|| Error::msg(context()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }

    #[test]
    fn names_of_modules_stay_on_their_line() {
        let name = Foreign("a\nb\u{1b}[0m\u{202e}\u{2066}ü").to_string();
        assert_eq!(name, r"a\nb\u{1b}[0m\u{202e}\u{2066}ü");
    }

    #[test]
    fn errors_and_contexts_are_found_by_type() {
        let io = std::io::Error::new(std::io::ErrorKind::NotFound, "no such plugin");
        let error = Error::from(io).context(7u32).context("outer");
        assert_eq!(error.downcast_ref::<u32>(), Some(&7));
        assert!(error.is::<std::io::Error>());
        assert!(!error.is::<Trap>());
        assert_eq!(format!("{error:#}"), "outer: 7: no such plugin");
        assert_eq!(format!("{error:?}"), "outer\n\nCaused by:\n    7\n    no such plugin");
        assert_eq!(error.root_cause(), "no such plugin");
        let error = error.downcast::<Trap>().unwrap_err();
        assert_eq!(error.downcast::<std::io::Error>().unwrap().to_string(), "no such plugin");
    }

    #[test]
    fn options_and_results_take_context() {
        let error = None::<()>.context("nothing there").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Host);
        let error = Err::<(), _>(Trap::OutOfFuel).with_context(|| "in plugin").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Trap);
        assert_eq!(error.to_string(), "in plugin");
    }
}
