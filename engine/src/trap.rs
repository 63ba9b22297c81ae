//! Traps: why wasm stopped.

use std::fmt;

macro_rules! traps {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $message:literal;)*) => {
        /// Why wasm stopped (core specification, section 4).
        ///
        /// The numbers are part of the artifact format: they never change, and a new trap gets a
        /// new one.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Trap {
            $($(#[$doc])* $name = $code,)*
        }

        impl Trap {
            /// The trap with that number in an artifact.
            #[allow(dead_code, reason = "not in every feature set")]
            pub(crate) const fn from_u8(code: u8) -> Option<Trap> {
                match code {
                    $($code => Some(Trap::$name),)*
                    _ => None,
                }
            }

            /// What the specification's tests call it.
            const fn message(self) -> &'static str {
                match self {
                    $(Trap::$name => $message,)*
                }
            }
        }
    };
}

traps! {
    /// The stack limit of the store was reached.
    StackOverflow = 1, "call stack exhausted";
    /// A load, store or bulk operation left its memory.
    MemoryOutOfBounds = 2, "out of bounds memory access";
    /// An atomic operation on an address that is not a multiple of its size.
    HeapMisaligned = 3, "unaligned atomic";
    /// A table access left its table.
    TableOutOfBounds = 4, "undefined element: out of bounds table access";
    /// A call through a table element that is null.
    IndirectCallToNull = 5, "uninitialized element";
    /// A call through a table element of another type.
    BadSignature = 6, "indirect call type mismatch";
    /// A signed division whose result does not fit.
    IntegerOverflow = 7, "integer overflow";
    /// A division by zero.
    IntegerDivisionByZero = 8, "integer divide by zero";
    /// A conversion of NaN to an integer.
    BadConversionToInteger = 9, "invalid conversion to integer";
    /// The instruction `unreachable`.
    UnreachableCodeReached = 10, "wasm `unreachable` instruction executed";
    /// The epoch's deadline passed.
    Interrupt = 11, "interrupt";
    /// The fuel is used up.
    OutOfFuel = 12, "all fuel consumed by WebAssembly";
    /// `memory.atomic.wait` on a memory that is not shared.
    AtomicWaitNonSharedMemory = 13, "expected shared memory";
    /// A null reference where one that is not null is needed.
    NullReference = 14, "null reference";
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wasm trap: {}", self.message())
    }
}

impl std::error::Error for Trap {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_frozen() {
        assert_eq!(Trap::from_u8(1), Some(Trap::StackOverflow));
        assert_eq!(Trap::from_u8(10), Some(Trap::UnreachableCodeReached));
        assert_eq!(Trap::from_u8(14), Some(Trap::NullReference));
        assert_eq!(Trap::from_u8(0), None);
        assert_eq!(Trap::from_u8(15), None);
    }
}
