//! Proposals of WebAssembly, each on or off.

use std::fmt;

/// What to do about instructions that never came to be standard, though compilers had them on.
#[cfg(any(feature = "compile", feature = "wat"))]
pub(crate) const LEGACY_EXCEPTIONS: &str = "; translate it with `wasm-opt --translate-to-exnref`, \
    or compile it with clang's `-mllvm -wasm-use-legacy-eh=false`";

macro_rules! features {
    ($($(#[$doc:meta])* $constant:ident = $bit:literal, $name:literal, $state:ident;)*) => {
        /// A set of proposals. A module that uses one which is not in the set is invalid.
        ///
        /// The default is what the newest specification, [`Features::WASM3`], has and this engine
        /// supports: what is no part of the specification yet is switched on by name. The set is
        /// part of the fingerprint.
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct Features(u64);

        impl Features {
            $($(#[$doc])* pub const $constant: Features = Features(1 << $bit);)*

            const TABLE: &[(Features, &'static str, bool)] =
                &[$((Features::$constant, $name, features!(@$state)),)*];
        }
    };
    (@supported) => { true };
    (@later) => { false };
}

features! {
    /// Import and export of mutable globals.
    MUTABLE_GLOBAL = 0, "mutable-global", supported;
    /// Conversions from float to integer that do not trap.
    SATURATING_FLOAT_TO_INT = 1, "saturating-float-to-int", supported;
    /// Sign extension operators.
    SIGN_EXTENSION = 2, "sign-extension", supported;
    /// Blocks with parameters, functions and blocks with several results.
    MULTI_VALUE = 3, "multi-value", supported;
    /// Bulk memory operations and passive segments.
    BULK_MEMORY = 4, "bulk-memory", supported;
    /// `externref`, several tables, table instructions.
    REFERENCE_TYPES = 5, "reference-types", supported;
    /// 128-bit vectors.
    SIMD = 6, "simd", supported;
    /// Vector instructions whose results may differ between processors. Here they never do.
    RELAXED_SIMD = 7, "relaxed-simd", supported;
    /// Tail calls.
    TAIL_CALL = 8, "tail-call", supported;
    /// Exceptions with `exnref`.
    EXCEPTIONS = 9, "exceptions", supported;
    /// Typed function references.
    FUNCTION_REFERENCES = 10, "function-references", supported;
    /// 64-bit memories and tables.
    MEMORY64 = 11, "memory64", supported;
    /// Several memories.
    MULTI_MEMORY = 12, "multi-memory", supported;
    /// Arithmetic in constant expressions. With [`FUNCTION_REFERENCES`](Features::FUNCTION_REFERENCES)
    /// also constant globals of the module itself, as the specification has them since 3.0.
    EXTENDED_CONST = 13, "extended-const", supported;
    /// Atomics and shared memories.
    THREADS = 14, "threads", supported;
    /// Pages of one byte.
    CUSTOM_PAGE_SIZES = 15, "custom-page-sizes", supported;
    /// 128-bit addition and multiplication.
    WIDE_ARITHMETIC = 16, "wide-arithmetic", supported;
    /// Garbage-collected types.
    GC = 17, "gc", later;
}

impl Features {
    /// WebAssembly 1.0, without any proposal.
    pub const WASM1: Features = Features::MUTABLE_GLOBAL;

    /// WebAssembly 2.0.
    pub const WASM2: Features = Features::WASM1
        .union(Features::SATURATING_FLOAT_TO_INT)
        .union(Features::SIGN_EXTENSION)
        .union(Features::MULTI_VALUE)
        .union(Features::BULK_MEMORY)
        .union(Features::REFERENCE_TYPES)
        .union(Features::SIMD);

    /// WebAssembly 3.0.
    pub const WASM3: Features = Features::WASM2
        .union(Features::RELAXED_SIMD)
        .union(Features::TAIL_CALL)
        .union(Features::EXCEPTIONS)
        .union(Features::FUNCTION_REFERENCES)
        .union(Features::MEMORY64)
        .union(Features::MULTI_MEMORY)
        .union(Features::EXTENDED_CONST)
        .union(Features::GC);

    /// Every proposal that the engine supports.
    pub const SUPPORTED: Features = {
        let mut all = 0;
        let mut i = 0;
        while i < Features::TABLE.len() {
            if Features::TABLE[i].2 {
                all |= Features::TABLE[i].0.0;
            }
            i += 1;
        }
        Features(all)
    };

    /// No proposal at all.
    pub const NONE: Features = Features(0);

    /// Both sets.
    #[must_use]
    pub const fn union(self, other: Features) -> Features {
        Features(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub const fn intersection(self, other: Features) -> Features {
        Features(self.0 & other.0)
    }

    /// What of `self` is not in `other`.
    #[must_use]
    pub const fn difference(self, other: Features) -> Features {
        Features(self.0 & !other.0)
    }

    /// Whether all of `other` is in here.
    pub const fn contains(self, other: Features) -> bool {
        other.0 & !self.0 == 0
    }

    /// Whether there is none in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The same set with `feature` on or off.
    #[must_use]
    pub const fn with(self, feature: Features, on: bool) -> Features {
        if on { self.union(feature) } else { self.difference(feature) }
    }

    /// The names, in the order of the list above.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::TABLE.iter().filter(move |row| self.contains(row.0)).map(|row| row.1)
    }

    /// The proposal of that name.
    pub fn from_name(name: &str) -> Option<Features> {
        Self::TABLE.iter().find(|row| row.1 == name).map(|row| row.0)
    }
}

impl Default for Features {
    fn default() -> Self {
        Features::WASM3.intersection(Features::SUPPORTED)
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.names().enumerate() {
            if i > 0 {
                f.write_str("+")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Features({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is no part of the specification takes a switch, whether it is supported or not.
    #[test]
    fn the_default_is_the_specification() {
        let default = Features::default();
        assert!(default.contains(Features::WASM2) && Features::SUPPORTED.contains(default));
        let others = [Features::THREADS, Features::CUSTOM_PAGE_SIZES, Features::WIDE_ARITHMETIC];
        for feature in others {
            assert!(!default.contains(feature) && !Features::WASM3.contains(feature), "{feature}");
        }
        let beyond = others.into_iter().fold(Features::NONE, Features::union);
        assert_eq!(Features::SUPPORTED.difference(default).difference(beyond), Features::NONE);
    }
}
