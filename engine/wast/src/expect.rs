//! Whether something failed for the reason that a script gives.
//!
//! The texts are those of the specification's interpreter, and each engine has its own besides. So
//! they are compared by what they mean, as far as it takes to tell one reason from another.

use precompile::{Error, ErrorKind, ThrownException, Trap, Val};

/// Why a call or an instantiation has no results.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// There was nothing to call: a mistake in the script, or of an earlier directive.
    Script(String),
    /// The engine says why.
    Engine(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Stopped::Engine(error)
    }
}

impl From<String> for Stopped {
    fn from(message: String) -> Self {
        Stopped::Script(message)
    }
}

impl From<Stopped> for String {
    fn from(stopped: Stopped) -> String {
        match stopped {
            Stopped::Script(message) => message,
            Stopped::Engine(error) => format!("{error:#}"),
        }
    }
}

/// Words for a trap that are not in its own text, or of which one is enough: those of the
/// specification's interpreter, then those of other engines. All in lower case.
const WORDS: &[(Trap, &[&str])] = &[
    (
        Trap::StackOverflow,
        &["call stack", "stack overflow", "stack exhausted", "too much recursion"],
    ),
    (
        Trap::MemoryOutOfBounds,
        &["out of bounds memory", "memory access out of bounds", "out of bounds data segment"],
    ),
    (
        Trap::TableOutOfBounds,
        &["undefined element", "out of bounds table", "undefined table", "out of bounds elem"],
    ),
    (Trap::IndirectCallToNull, &["uninitialized element", "uninitialized table", "null function"]),
    (Trap::BadSignature, &["signature", "call type mismatch"]),
    (Trap::IntegerDivisionByZero, &["divide by zero", "division by zero"]),
    (Trap::BadConversionToInteger, &["invalid conversion", "unrepresentable"]),
    // The kind of overflow that a conversion may have, too.
    (Trap::IntegerOverflow, &["unrepresentable"]),
    (Trap::UnreachableCodeReached, &["unreachable"]),
    (Trap::OutOfFuel, &["fuel"]),
    (Trap::HeapMisaligned, &["unaligned", "misaligned"]),
    (Trap::AtomicWaitNonSharedMemory, &["non-shared memory", "unshared memory"]),
    (Trap::NullReference, &["null function"]),
];

/// Words of a few scripts for whatever is outside of its bounds.
const OUTSIDE: &[&str] = &["oob", "index out of bounds", "index is out of bounds"];

/// That `result` is a trap, and the one that `expected` tells of.
///
/// # Errors
/// What happened instead.
pub(crate) fn trap(result: Result<Vec<Val>, Stopped>, expected: &str) -> Result<(), String> {
    let error = match result {
        Ok(results) => return Err(format!("no trap, but {results:?}: expected \"{expected}\"")),
        Err(Stopped::Engine(error)) => error,
        Err(Stopped::Script(message)) => return Err(message),
    };
    let Some(trap) = error.downcast_ref::<Trap>() else {
        // A memory or a table that is too large: a limit here, a trap elsewhere.
        let words = ["alloc", "limit", "exceed"];
        if error.kind() == ErrorKind::Limit && words.iter().any(|word| expected.contains(word)) {
            return Ok(());
        }
        return Err(format!("no trap, but {error:#}: expected \"{expected}\""));
    };
    if is_trap(*trap, expected) {
        return Ok(());
    }
    Err(format!("\"{trap}\", expected \"{expected}\""))
}

/// That `result` is an exception which nobody caught.
///
/// # Errors
/// What happened instead.
pub(crate) fn exception(result: Result<Vec<Val>, Stopped>) -> Result<(), String> {
    match result {
        Ok(results) => Err(format!("no exception, but {results:?}")),
        Err(Stopped::Engine(error)) if error.is::<ThrownException>() => Ok(()),
        Err(stopped) => Err(format!("no exception, but {}", String::from(stopped))),
    }
}

/// Either text in the other; which of them is the longer one differs between engines.
fn is_trap(trap: Trap, expected: &str) -> bool {
    let expected = &*expected.to_ascii_lowercase();
    let long = trap.to_string();
    let short = long.trim_start_matches("wasm trap: ");
    // The specification's own interpreter also tells which element was not there.
    let words = expected.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end();
    if long.contains(expected) || expected.contains(short) {
        return true;
    }
    if !words.is_empty() && long.contains(words) {
        return true;
    }
    // It tells what was null, as well.
    if trap == Trap::NullReference && expected.contains("null") && expected.contains("reference") {
        return true;
    }
    if matches!(trap, Trap::MemoryOutOfBounds | Trap::TableOutOfBounds)
        && OUTSIDE.contains(&expected)
    {
        return true;
    }
    let known = WORDS.iter().find(|row| row.0 == trap).map_or(&[][..], |row| row.1);
    known.iter().any(|word| expected.contains(word))
}

/// Whether `trap` is what a script takes for a failure to link. Before bulk memory operations, a
/// segment that does not fit was found while linking.
fn is_late(trap: Trap, expected: &str) -> bool {
    match trap {
        Trap::MemoryOutOfBounds | Trap::TableOutOfBounds if expected.contains("does not fit") => {
            true
        }
        _ => !expected.is_empty() && is_trap(trap, expected),
    }
}

/// That `result` is a failure to link, and an unknown import or an incompatible one as `expected`
/// has it. In which way an import is incompatible, each engine tells in its own words.
///
/// # Errors
/// What happened instead.
pub(crate) fn unlinkable(result: Result<Vec<Val>, Stopped>, expected: &str) -> Result<(), String> {
    match result {
        Ok(_) => Err(format!("it was linked, expected \"{expected}\"")),
        Err(Stopped::Engine(error)) if error.kind() == ErrorKind::Link => {
            let found = format!("{error:#}");
            let reasons = ["unknown", "incompatible", "does not fit"];
            let reason = reasons.iter().find(|reason| expected.contains(*reason));
            if reason.is_none_or(|reason| found.contains(reason)) {
                return Ok(());
            }
            Err(format!("\"{found}\", expected \"{expected}\""))
        }
        Err(Stopped::Engine(error))
            if error.downcast_ref().is_some_and(|t| is_late(*t, expected)) =>
        {
            Ok(())
        }
        Err(stopped) => Err(stopped.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traps_have_many_names() {
        for (trap, text) in [
            (Trap::UnreachableCodeReached, "unreachable"),
            (Trap::UnreachableCodeReached, "unreachable executed"),
            (Trap::UnreachableCodeReached, "wasm trap: wasm `unreachable` instruction executed\n"),
            (Trap::MemoryOutOfBounds, "out of bounds memory access"),
            (Trap::MemoryOutOfBounds, "out of bounds"),
            (Trap::TableOutOfBounds, "undefined element 11"),
            (Trap::IndirectCallToNull, "uninitialized element 2"),
            (Trap::BadSignature, "indirect call type mismatch"),
            (Trap::NullReference, "null structure reference"),
            (Trap::NullReference, "null function"),
            (Trap::IntegerDivisionByZero, "divide by zero"),
            (Trap::IntegerOverflow, ""),
            (Trap::MemoryOutOfBounds, "Out of bounds data segment access"),
            (Trap::TableOutOfBounds, "out of bounds elem segment access element"),
            (Trap::TableOutOfBounds, "oob"),
            (Trap::BadSignature, "callIndirect: function signatures don't match"),
            (Trap::AtomicWaitNonSharedMemory, "atomic wait on unshared memory"),
            (Trap::BadConversionToInteger, "float unrepresentable in integer range"),
        ] {
            assert!(is_trap(trap, text), "{trap}: {text}");
        }
        for (trap, text) in [
            (Trap::UnreachableCodeReached, "integer overflow"),
            (Trap::MemoryOutOfBounds, "out of bounds table access"),
            (Trap::TableOutOfBounds, "out of bounds memory access"),
            (Trap::IntegerOverflow, "integer divide by zero"),
            (Trap::IntegerOverflow, "2"),
            (Trap::NullReference, "unreachable"),
            (Trap::MemoryOutOfBounds, "out of bounds elem segment access"),
            (Trap::TableOutOfBounds, "out of bounds data segment access"),
            (Trap::UnreachableCodeReached, "oob"),
        ] {
            assert!(!is_trap(trap, text), "{trap}: {text}");
        }
    }
}
