//! Which proposals the validator lets through, and which one a refused module would have needed.

use crate::Features;
use crate::error::{Error, ErrorKind, ModuleError};
use crate::features::LEGACY_EXCEPTIONS;
use wasmparser::{Validator, WasmFeatures};

/// Our names for the validator's flags. From the plainest to the most exotic: see [`explain`].
const PROPOSALS: &[(&str, WasmFeatures, Option<Features>)] = &[
    ("mutable-global", WasmFeatures::MUTABLE_GLOBAL, Some(Features::MUTABLE_GLOBAL)),
    (
        "saturating-float-to-int",
        WasmFeatures::SATURATING_FLOAT_TO_INT,
        Some(Features::SATURATING_FLOAT_TO_INT),
    ),
    ("sign-extension", WasmFeatures::SIGN_EXTENSION, Some(Features::SIGN_EXTENSION)),
    ("multi-value", WasmFeatures::MULTI_VALUE, Some(Features::MULTI_VALUE)),
    ("bulk-memory", WasmFeatures::BULK_MEMORY, Some(Features::BULK_MEMORY)),
    ("reference-types", WasmFeatures::REFERENCE_TYPES, Some(Features::REFERENCE_TYPES)),
    ("simd", WasmFeatures::SIMD, Some(Features::SIMD)),
    ("relaxed-simd", WasmFeatures::RELAXED_SIMD, Some(Features::RELAXED_SIMD)),
    ("extended-const", WasmFeatures::EXTENDED_CONST, Some(Features::EXTENDED_CONST)),
    ("tail-call", WasmFeatures::TAIL_CALL, Some(Features::TAIL_CALL)),
    ("multi-memory", WasmFeatures::MULTI_MEMORY, Some(Features::MULTI_MEMORY)),
    ("memory64", WasmFeatures::MEMORY64, Some(Features::MEMORY64)),
    ("threads", WasmFeatures::THREADS, Some(Features::THREADS)),
    ("exceptions", WasmFeatures::EXCEPTIONS, Some(Features::EXCEPTIONS)),
    ("function-references", WasmFeatures::FUNCTION_REFERENCES, Some(Features::FUNCTION_REFERENCES)),
    ("gc", WasmFeatures::GC, Some(Features::GC)),
    ("custom-page-sizes", WasmFeatures::CUSTOM_PAGE_SIZES, Some(Features::CUSTOM_PAGE_SIZES)),
    ("wide-arithmetic", WasmFeatures::WIDE_ARITHMETIC, Some(Features::WIDE_ARITHMETIC)),
    ("legacy-exceptions", WasmFeatures::LEGACY_EXCEPTIONS, None),
    ("compact-import-section", WasmFeatures::COMPACT_IMPORTS, None),
    ("stack-switching", WasmFeatures::STACK_SWITCHING, None),
    ("memory-control", WasmFeatures::MEMORY_CONTROL, None),
    ("multibyte-array-access", WasmFeatures::MULTIBYTE_ARRAY_ACCESS, None),
    ("custom-descriptors", WasmFeatures::CUSTOM_DESCRIPTORS, None),
    ("acquire-release-atomics", WasmFeatures::ACQUIRE_RELEASE_ATOMICS, None),
    ("shared-everything-threads", WasmFeatures::SHARED_EVERYTHING_THREADS, None),
];

/// What to do about types that need a collector.
const LINEAR: &str = "; build it for linear memory, without garbage-collected types";

/// What is no proposal: the validator can switch it off, the specification cannot.
const ALWAYS: WasmFeatures = WasmFeatures::FLOATS.union(WasmFeatures::GC_TYPES);

/// The validator's flags for `features`: these and no other ones, whatever its defaults are.
pub(crate) fn validator_features(features: Features) -> WasmFeatures {
    let on = PROPOSALS.iter().filter(|row| row.2.is_some_and(|f| features.contains(f)));
    on.fold(ALWAYS, |all, row| all.union(row.1))
}

/// How the validator refuses a constant expression that reads a global of the module itself.
const OWN_GLOBAL: &str = "constant expression required: global.get of locally defined global";

/// What the specification has together with such expressions: what they compute, and the tables and
/// references that they are for.
const FOR_OWN_GLOBALS: WasmFeatures =
    WasmFeatures::EXTENDED_CONST.union(WasmFeatures::FUNCTION_REFERENCES);

/// Other flags for the validator with `flags` if it said `refused`, which is about a global that the
/// specification lets a constant expression read: any constant one before it. That came with
/// garbage-collected types and has one flag with them, but needs none of them.
pub(crate) fn for_own_globals(flags: WasmFeatures, refused: &str) -> Option<WasmFeatures> {
    (flags.contains(FOR_OWN_GLOBALS) && refused.starts_with(OWN_GLOBAL))
        .then(|| flags.union(WasmFeatures::GC))
}

/// Says of an invalid `module` which proposals would make it valid: an error of the kind
/// `Unsupported` that names them, at the place where the module was refused. `error` as it is
/// where none would.
///
/// Validates the module several times, so it is for modules that were refused only.
pub(crate) fn explain(module: &[u8], features: Features, error: Error) -> Error {
    if error.kind() != ErrorKind::Invalid {
        return error;
    }
    let Some(refused) = error.downcast_ref::<ModuleError>() else {
        return error;
    };
    let enabled = validator_features(features);
    let Some(mut needed) = needed(module, enabled) else {
        return error;
    };
    // A module that reads its own globals may need nothing else of what has the same flag.
    let others = needed.difference(WasmFeatures::GC).union(FOR_OWN_GLOBALS);
    if needed.contains(WasmFeatures::GC) && super::check(module, enabled.union(others)).is_ok() {
        needed = others;
    }
    let missing =
        PROPOSALS.iter().filter(|row| needed.intersects(row.1) && !enabled.contains(row.1));
    let is_supported = |row: &&(_, _, Option<Features>)| {
        row.2.is_some_and(|feature| Features::SUPPORTED.contains(feature))
    };
    let (off, unsupported): (Vec<_>, Vec<_>) = missing.partition(is_supported);
    let list = |rows: &[&(&str, _, _)], separator: &str| {
        rows.iter().map(|row| row.0).collect::<Vec<_>>().join(separator)
    };
    // With some that nobody can switch on, it does not help to name those that one can.
    let told = if unsupported.is_empty() { &off } else { &unsupported };
    let (plural, are) = if told.len() > 1 { ("s", "are") } else { ("", "is") };
    let state = match unsupported.is_empty() {
        true => format!(
            "switched off; `Config::features` switches on, or `--features +{}`",
            list(told, ",+")
        ),
        false => "not supported by this engine".to_string(),
    };
    let (refusal, names) = (&refused.message, list(told, ", "));
    let next = match &*names {
        "gc" => LINEAR,
        names if names.contains("legacy-exceptions") => LEGACY_EXCEPTIONS,
        _ => "",
    };
    let message =
        format!("{refusal}: needs the proposal{plural} {names}, which {are} {state}{next}");
    Error::module(ErrorKind::Unsupported, refused.offset, message)
}

/// Flags besides `enabled` with which `module` is valid; `None` if it is valid with none at all
/// or without any.
fn needed(module: &[u8], enabled: WasmFeatures) -> Option<WasmFeatures> {
    // The validator often knows which flag it misses, and stops at the first place that misses
    // one, so this is quick.
    let mut tried = enabled;
    let error = loop {
        match validate(module, tried) {
            Ok(()) if tried == enabled => return None,
            Ok(()) => return Some(tried.difference(enabled)),
            Err(error) => match error.missing_wasm_feature() {
                Some(flag) if !tried.contains(flag) => tried = tried.union(flag),
                _ => break error,
            },
        }
    };
    drop(error);
    // It does not always: take all, and leave out what is not needed, the most exotic first, so
    // that what stays is the plainest explanation.
    let all = PROPOSALS.iter().fold(enabled, |all, row| all.union(row.1));
    validate(module, all).ok()?;
    let mut needed = all;
    for (_, flag, _) in PROPOSALS.iter().rev().filter(|row| !enabled.contains(row.1)) {
        // Flags share bits, so take out those alone that nothing enabled has.
        let without = needed.difference(flag.difference(enabled));
        if validate(module, without).is_ok() {
            needed = without;
        }
    }
    Some(needed.difference(enabled))
}

fn validate(module: &[u8], features: WasmFeatures) -> Result<(), wasmparser::Error> {
    Validator::new_with_features(features).validate_all(module).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_proposal_of_ours_has_a_flag() {
        for (name, _, feature) in PROPOSALS {
            if let Some(feature) = feature {
                assert_eq!(Features::from_name(name), Some(*feature));
            }
        }
        let all = PROPOSALS.iter().filter_map(|row| row.2).fold(Features::NONE, Features::union);
        assert_eq!(all.names().count(), PROPOSALS.iter().filter(|row| row.2.is_some()).count());
        assert!(all.contains(Features::SUPPORTED));
        assert_eq!(validator_features(Features::NONE), ALWAYS);
    }
}
