//! Whole artifacts that are for others: class 15. The reason is named.

use crate::raw::deserialize;
use precompile::*;

const TEXT: &[u8] = br#"(module (func (export "f") (result i32) (i32.const 42)))"#;

fn engine(change: impl FnOnce(&mut Config)) -> Engine {
    let mut config = Config::new();
    change(&mut config);
    Engine::new(&config).unwrap()
}

fn refused(engine: &Engine, artifact: &[u8]) -> String {
    let error = deserialize(engine, artifact).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible, "{error:?}");
    format!("{error:#}")
}

#[test]
fn class_15_code_of_another_target() {
    let here = Engine::default();
    for triple in ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "x86_64-apple-darwin"] {
        let there = engine(|c| {
            c.target(triple).unwrap();
        });
        let artifact = there.precompile_module(TEXT).unwrap();
        if there.target() == here.target() {
            continue;
        }
        let message = refused(&here, &artifact);
        let target = there.target().to_string();
        assert!(message.contains("target") && message.contains(&target), "{message}");
        // And the engine for there cannot load it here either.
        assert!(deserialize(&there, &artifact).is_err());
        let error = Module::new(&there, TEXT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn class_15_code_of_a_higher_level_than_the_processor() {
    let levels = CpuLevel::named(Arch::X86_64);
    for (better, worse) in levels.iter().zip(&levels[1..]) {
        let maker = engine(|c| {
            c.cpu(*better);
        });
        let artifact = maker.precompile_module(TEXT).unwrap();
        // An engine that looks for that level, on a processor without it.
        let user = engine(|c| {
            c.cpu(*better).assume_host_features(worse.features());
        });
        let message = refused(&user, &artifact);
        let missing = better.features().difference(worse.features());
        for name in missing.names() {
            assert!(message.contains(name), "{name}: {message}");
        }
        // One that looks for what the processor has.
        let user = engine(|c| {
            c.assume_host_features(worse.features());
        });
        assert_eq!(user.cpu(), *worse);
        let message = refused(&user, &artifact);
        assert!(message.contains("cpu") && message.contains(&better.to_string()), "{message}");
        // A processor that has more runs it.
        if CpuFeatures::detect().contains(worse.features()) {
            let artifact = user.precompile_module(TEXT).unwrap();
            let module = deserialize(&Engine::default(), &artifact);
            assert!(module.is_ok() || !CpuFeatures::detect().contains(better.features()));
        }
    }
}

#[test]
fn class_15_code_of_other_settings() {
    let base = Engine::default();
    type Change = fn(&mut Config);
    let changes: [(&str, Change); 5] = [
        ("bounds", |c| {
            c.bounds(Bounds::Explicit);
        }),
        ("features", |c| {
            c.wasm_simd(false);
        }),
        ("opt-level", |c| {
            c.cranelift_opt_level(OptLevel::None);
        }),
        ("nan-canonicalization", |c| {
            c.cranelift_nan_canonicalization(true);
        }),
        ("relaxed-simd", |c| {
            c.relaxed_simd_deterministic(false);
        }),
    ];
    for (field, change) in changes {
        let other = engine(change);
        let artifact = other.precompile_module(TEXT).unwrap();
        assert!(refused(&base, &artifact).contains(field), "{field}");
        assert!(deserialize(&other, &artifact).is_ok());
        let artifact = base.precompile_module(TEXT).unwrap();
        assert!(refused(&other, &artifact).contains(field), "{field}");
    }
}

#[test]
fn what_is_no_artifact_says_so() {
    let base = Engine::default();
    for bytes in [&b""[..], b"\0asm\x01\0\0\0", &[0; 4096], &[0xff; 10_000], b"\x7fELF"] {
        let error = deserialize(&base, bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(format!("{error:#}").contains("not a precompiled module"), "{error:#}");
    }
    // And an artifact is no module.
    let artifact = base.precompile_module(TEXT).unwrap();
    let error = Module::new(&base, &artifact).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
}
