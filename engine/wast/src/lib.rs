//! Runs scripts in the format of the specification's tests (`.wast`): modules, and what must
//! become of them and of calls. On the engine's public API only.
//!
//! ```
//! let script = r#"
//!     (module (func (export "one") (result i32) (i32.const 1)))
//!     (assert_return (invoke "one") (i32.const 1))
//!     (assert_return (invoke "one") (i32.const 2))"#;
//! let outcome = precompile_wast::run(&precompile::Engine::default(), script);
//! assert_eq!((outcome.directives, outcome.failures.len()), (3, 1));
//! assert_eq!(outcome.failures[0].line, 4);
//! ```
//!
//! No directive gets lost: [`script`] finds them by their parentheses, and one that the parser of
//! the text format does not know has failed. A script is one store, as the specification has it,
//! so a failure does not stop it. A panic of the engine is a failure as well.
//!
//! | file | what is there |
//! | --- | --- |
//! | [`script`] | where directives start and end |
//! | [`Header`] | the settings that a script asks for in its first lines |
//! | `session` | the store and the instances of a script, and what each directive does |
//! | `refusal` | whether a module is refused as it has to be |
//! | `expect` | whether a trap or a failure to link is the one that was meant |
//! | `values` | arguments, and patterns of results |
//! | `spectest` | the host's modules |
//!
//! Texts of `assert_invalid` and `assert_malformed` are not compared: a module is refused for one
//! reason out of several that it may have. Suspensions and components are not supported
//! yet: directives with them fail and say so. Of directives that there are no longer,
//! `assert_return_canonical_nan` and `assert_return_arithmetic_nan` are known, and their variants
//! for vectors.
//!
//! A `thread` is one of the host's, with a store of its own, in which it has the shared memories
//! that the module exports which it shares. What failed there is a failure of the directive that
//! waits for it; of `thread` itself where none does.

#![forbid(unsafe_code)]

mod expect;
mod header;
mod refusal;
pub mod script;
mod session;
mod spectest;
mod values;

pub use header::Header;

use precompile::Engine;
use script::Form;
use session::Session;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use wast::lexer::Lexer;
use wast::parser::{ParseBuffer, parse};
use wast::{Wast, WastDirective};

/// How a script went.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How many directives it has.
    pub directives: usize,
    /// Those that failed, in the script's order.
    pub failures: Vec<Failure>,
}

/// A directive that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Where it starts; the first line is 1.
    pub line: usize,
    /// Its keyword.
    pub directive: String,
    /// What went otherwise than the script says.
    pub message: String,
}

/// Runs all directives of `source`, with the features of `engine`: those that its [`Header`] asks
/// for are the caller's to give.
///
/// It runs as long as the script does, and on the caller's stack.
pub fn run(engine: &Engine, source: &str) -> Outcome {
    run_with(engine, source, &Options::default(), &mut |_| {})
}

/// How a script is run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How many epochs a script may take, with an engine that has
    /// [`Config::epoch_interruption`](precompile::Config::epoch_interruption) and whose epoch
    /// somebody moves on. The directive in which they are over fails, and those after it are not
    /// run, which fails as well.
    pub epochs: Option<u64>,
    /// Whether an assertion that a module is refused is held against an engine without proposals
    /// as well, where its text is one for what a proposal allows since, such as `multiple
    /// memories`. Scripts of all versions of the specification then run with all proposals.
    pub earlier_versions: bool,
}

/// Runs all directives of `source` as [`run`] does, and tells `done` of each, in their order, as
/// soon as it is over: how it failed, or `None`.
pub fn run_with(
    engine: &Engine,
    source: &str,
    options: &Options,
    done: &mut dyn FnMut(Option<&Failure>),
) -> Outcome {
    let forms = script::forms(source);
    let lacks = !Header::parse(source).lacking().is_empty();
    // With nothing to run in, nothing passes.
    let mut session = Session::new(engine, lacks, options)
        .map_err(|error| format!("no module `spectest`: {error:#}"));
    let mut outcome = Outcome { directives: forms.len(), failures: Vec::new() };
    for form in &forms {
        let result = match &mut session {
            Ok(session) if session.is_interrupted() => Err(session::NOT_RUN.to_string()),
            Ok(session) => run_one(session, form, source, 1),
            Err(message) => Err(message.clone()),
        };
        let failure = result.err().map(|message| form.failure(source, &message));
        done(failure.as_ref());
        outcome.failures.extend(failure);
    }
    let left = session.as_mut().map(Session::finish).unwrap_or_default();
    for (line, message) in left {
        let failure = Failure { line, directive: "thread".into(), message };
        done(Some(&failure));
        outcome.failures.push(failure);
    }
    outcome.failures.sort_by_key(|failure| failure.line);
    outcome
}

/// Runs one directive of `source`, whose first line is `first_line` of the script.
fn run_one(
    session: &mut Session,
    form: &Form<'_>,
    source: &str,
    first_line: usize,
) -> Result<(), String> {
    // A panic is a defect of the engine; it is the failure of this directive, not the end.
    let run = || parse_and_run(session, form, form.line(source) - 1 + first_line);
    let result = catch_unwind(AssertUnwindSafe(run));
    result.unwrap_or_else(|panic| Err(panic_message(&*panic)))
}

fn parse_and_run(session: &mut Session, form: &Form<'_>, first: usize) -> Result<(), String> {
    let keyword = form.keyword();
    let nan = values::nan_of_directive(keyword);
    // Alone, these would be taken for the fields of a module.
    let needs_company = matches!(keyword, "thread" | "wait");
    let text = match (needs_company, nan) {
        (true, _) => &*format!("(module) {}", form.text),
        (false, Some(_)) => &*form.text.replacen(keyword, "assert_return", 1),
        (false, None) => form.text,
    };
    let refused = |error: wast::Error| {
        let line = first + error.span().linecol_in(text).0;
        format!("cannot parse the directive: line {line}: {}", error.message())
    };
    let buffer = buffer(text).map_err(refused)?;
    let mut script = parse::<Wast<'_>>(&buffer).map_err(refused)?;
    if form.keyword() == "component" {
        return Err(session::COMPONENT.into());
    }
    match (&mut script.directives[usize::from(needs_company)..], nan) {
        ([WastDirective::AssertReturn { exec, results, .. }], Some(nan)) if results.is_empty() => {
            session.expect_nan(exec, nan)
        }
        ([directive], None) => session.run(directive, form.text, first),
        (_, Some(_)) => Err("it has no results to compare with".into()),
        (other, None) => Err(format!("one directive was expected here, not {}", other.len())),
    }
}

/// Names in the suite have characters that change the direction of text, on purpose.
fn buffer(text: &str) -> Result<ParseBuffer<'_>, wast::Error> {
    let mut lexer = Lexer::new(text);
    lexer.allow_confusing_unicode(true);
    ParseBuffer::new_with_lexer(lexer)
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("the engine panicked: {}", text.unwrap_or("(no message)"))
}

/// The keyword of a directive.
fn keyword(directive: &WastDirective<'_>) -> &'static str {
    match directive {
        WastDirective::Module(_) => "module",
        WastDirective::ModuleDefinition(_) => "module definition",
        WastDirective::ModuleInstance { .. } => "module instance",
        WastDirective::AssertMalformed { .. } => "assert_malformed",
        WastDirective::AssertInvalid { .. } => "assert_invalid",
        WastDirective::AssertInvalidCustom { .. } => "assert_invalid_custom",
        WastDirective::Register { .. } => "register",
        WastDirective::Invoke(_) => "invoke",
        WastDirective::AssertTrap { .. } => "assert_trap",
        WastDirective::AssertReturn { .. } => "assert_return",
        WastDirective::AssertExhaustion { .. } => "assert_exhaustion",
        WastDirective::AssertUnlinkable { .. } => "assert_unlinkable",
        WastDirective::AssertException { .. } => "assert_exception",
        WastDirective::AssertSuspension { .. } => "assert_suspension",
        WastDirective::Thread(_) => "thread",
        WastDirective::Wait { .. } => "wait",
        WastDirective::AssertMalformedCustom { .. } => "assert_malformed_custom",
    }
}
