//! Cranelift, set up from a [`Fingerprint`]; and wasm's types as Cranelift's.
//!
//! Every setting that changes code is named here, defaults included where they matter, and comes
//! from the fingerprint or is constant: nothing is asked of the host.

use crate::abi::target::{Arch, CpuFeatures, Os};
use crate::error::{Error, ErrorKind, Result};
use crate::fingerprint::{Fingerprint, OptLevel};
use crate::wasm::types::{HeapType, Signature, ValType};
use cranelift_codegen::ir::{self, AbiParam, types};
use cranelift_codegen::isa::{self, CallConv, OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use target_lexicon::Triple;

/// The instruction set that `fingerprint` asks for.
///
/// # Errors
/// If the CPU level belongs to another instruction set than the target, or has extensions that
/// code generation knows nothing of.
pub(crate) fn build(fingerprint: &Fingerprint) -> Result<OwnedTargetIsa> {
    build_with(fingerprint, fingerprint.opt_level, "backtracking")
}

/// The same with as little work as can be done for each function. Code of both calls each other.
///
/// # Errors
/// As [`build`].
pub(crate) fn build_simple(fingerprint: &Fingerprint) -> Result<OwnedTargetIsa> {
    build_with(fingerprint, OptLevel::None, "single_pass")
}

fn build_with(
    fingerprint: &Fingerprint,
    opt_level: OptLevel,
    registers: &str,
) -> Result<OwnedTargetIsa> {
    let Fingerprint {
        target,
        cpu,
        features: _,
        bounds: _,
        opt_level: _,
        nan_canonicalization,
        relaxed_simd_deterministic: _,
        fuel: _,
        epoch_interruption: _,
    } = *fingerprint;
    if cpu.arch() != target.arch() {
        let message = format!("CPU level {cpu} does not belong to the target {target}");
        return Err(Error::with_kind(ErrorKind::Config, message));
    }
    let mut isa = isa::lookup(triple(target.arch(), target.os())).map_err(bug)?;
    let mut known = CpuFeatures::NONE;
    for &(feature, arch, setting) in CPU_SETTINGS {
        if arch == target.arch() {
            known = known.union(feature);
            if let Some(setting) = setting {
                let on = cpu.features().contains(feature);
                isa.set(setting, if on { "true" } else { "false" }).map_err(bug)?;
            }
        }
    }
    let unknown = cpu.features().difference(known);
    if !unknown.is_empty() {
        let message = format!("unknown CPU features for {target}: {unknown}");
        return Err(Error::with_kind(ErrorKind::Config, message));
    }
    isa.finish(shared_flags(opt_level, registers, nan_canonicalization)?).map_err(bug)
}

fn shared_flags(
    opt_level: OptLevel,
    registers: &str,
    nan_canonicalization: bool,
) -> Result<settings::Flags> {
    let on_off = |on: bool| if on { "true" } else { "false" };
    let mut flags = settings::builder();
    let fixed = [
        ("opt_level", opt_level.as_str()),
        ("enable_nan_canonicalization", on_off(nan_canonicalization)),
        // Costs a third of the compile time and changes no code.
        ("enable_verifier", on_off(cfg!(debug_assertions))),
        ("regalloc_algorithm", registers),
        // Code that names anything by an absolute address is refused in `function.rs`; this keeps
        // it from being made.
        ("is_pic", "true"),
        // Backtraces and the trap path walk frame pointers; there are no unwind tables.
        ("preserve_frame_pointers", "true"),
        ("unwind_info", "false"),
        // A frame larger than a page touches each of its pages in order, so that it cannot step
        // over the guard below the stack.
        ("enable_probestack", "true"),
        ("probestack_strategy", "inline"),
        ("probestack_size_log2", "12"),
        // Results beyond the registers go through memory that the caller provides. Both sides of
        // every such call are ours.
        ("enable_multi_ret_implicit_sret", "true"),
        // The first only documents what the translation does by itself; the backend reads the
        // second one, for `br_table`.
        ("enable_heap_access_spectre_mitigation", "true"),
        ("enable_table_access_spectre_mitigation", "true"),
        ("machine_code_cfg_info", "false"),
        ("libcall_call_conv", "isa_default"),
    ];
    for (name, value) in fixed {
        flags.set(name, value).map_err(bug)?;
    }
    Ok(settings::Flags::new(flags))
}

/// Our extensions as Cranelift's settings; `None` for one that it makes no use of.
const CPU_SETTINGS: &[(CpuFeatures, Arch, Option<&str>)] = &[
    (CpuFeatures::SSE3, Arch::X86_64, Some("has_sse3")),
    (CpuFeatures::SSSE3, Arch::X86_64, Some("has_ssse3")),
    (CpuFeatures::SSE41, Arch::X86_64, Some("has_sse41")),
    (CpuFeatures::SSE42, Arch::X86_64, Some("has_sse42")),
    (CpuFeatures::POPCNT, Arch::X86_64, Some("has_popcnt")),
    (CpuFeatures::CMPXCHG16B, Arch::X86_64, Some("has_cmpxchg16b")),
    (CpuFeatures::AVX, Arch::X86_64, Some("has_avx")),
    (CpuFeatures::AVX2, Arch::X86_64, Some("has_avx2")),
    (CpuFeatures::FMA, Arch::X86_64, Some("has_fma")),
    (CpuFeatures::BMI1, Arch::X86_64, Some("has_bmi1")),
    (CpuFeatures::BMI2, Arch::X86_64, Some("has_bmi2")),
    (CpuFeatures::LZCNT, Arch::X86_64, Some("has_lzcnt")),
    (CpuFeatures::AVX512F, Arch::X86_64, Some("has_avx512f")),
    (CpuFeatures::AVX512DQ, Arch::X86_64, Some("has_avx512dq")),
    (CpuFeatures::AVX512VL, Arch::X86_64, Some("has_avx512vl")),
    (CpuFeatures::AVX512VBMI, Arch::X86_64, Some("has_avx512vbmi")),
    (CpuFeatures::AVX512BITALG, Arch::X86_64, Some("has_avx512bitalg")),
    (CpuFeatures::LSE, Arch::Aarch64, Some("has_lse")),
    (CpuFeatures::FP16, Arch::Aarch64, Some("has_fp16")),
];

fn triple(arch: Arch, os: Os) -> Triple {
    use target_lexicon::{
        Aarch64Architecture, Architecture, BinaryFormat, Environment, OperatingSystem, Vendor,
    };
    let architecture = match arch {
        Arch::X86_64 => Architecture::X86_64,
        Arch::Aarch64 => Architecture::Aarch64(Aarch64Architecture::Aarch64),
    };
    let (vendor, operating_system, environment, binary_format) = match os {
        Os::Linux => (Vendor::Unknown, OperatingSystem::Linux, Environment::Gnu, BinaryFormat::Elf),
        Os::MacOs => (
            Vendor::Apple,
            OperatingSystem::Darwin(None),
            Environment::Unknown,
            BinaryFormat::Macho,
        ),
        Os::Windows => {
            (Vendor::Pc, OperatingSystem::Windows, Environment::Msvc, BinaryFormat::Coff)
        }
    };
    Triple { architecture, vendor, operating_system, environment, binary_format }
}

fn bug(error: impl std::fmt::Display) -> Error {
    Error::with_kind(ErrorKind::Bug, format!("code generation cannot be set up: {error}"))
}

/// Alignment of functions in the text. Cranelift would like 32, which costs more bytes than it
/// gains time; loops are not aligned either way.
pub(crate) const FUNCTION_ALIGN: u32 = 16;

/// How a value of type `ty` is kept in code.
pub(crate) fn value_type(ty: ValType) -> ir::Type {
    match ty {
        ValType::I32 => types::I32,
        ValType::I64 => types::I64,
        ValType::F32 => types::F32,
        ValType::F64 => types::F64,
        ValType::V128 => types::I8X16,
        ValType::Ref(r) => match r.heap_type() {
            // A pointer to a func_ref.
            HeapType::Func | HeapType::ConcreteFunc(_) => types::I64,
            // A handle into the store's heap.
            HeapType::Extern | HeapType::Exn | HeapType::NoExn => types::I32,
        },
    }
}

/// A wasm function of type `sig` as code calls it: the callee's vmctx, the caller's, parameters.
pub(crate) fn wasm_signature(isa: &dyn TargetIsa, sig: &Signature) -> ir::Signature {
    let pointer = AbiParam::new(isa.pointer_type());
    let mut clif = ir::Signature::new(CallConv::Tail);
    clif.params.extend([pointer, pointer]);
    clif.params.extend(sig.params.iter().map(|ty| AbiParam::new(value_type(*ty))));
    clif.returns.extend(sig.results.iter().map(|ty| AbiParam::new(value_type(*ty))));
    clif
}

/// The convention of the platform's C functions.
pub(crate) fn host_call_conv(isa: &dyn TargetIsa) -> CallConv {
    isa.default_call_conv()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Features;
    use crate::abi::memory_plan::Bounds;
    use crate::abi::target::{CpuLevel, Target};

    fn fingerprint(arch: Arch, os: Os, cpu: CpuLevel) -> Fingerprint {
        Fingerprint {
            target: Target::new(arch, os),
            cpu,
            features: Features::SUPPORTED,
            bounds: Bounds::Guard,
            opt_level: OptLevel::Speed,
            nan_canonicalization: false,
            relaxed_simd_deterministic: true,
            fuel: false,
            epoch_interruption: false,
        }
    }

    #[test]
    fn all_targets_and_levels() {
        for arch in [Arch::X86_64, Arch::Aarch64] {
            for os in [Os::Linux, Os::MacOs, Os::Windows] {
                for cpu in CpuLevel::named(arch) {
                    let isa = build(&fingerprint(arch, os, *cpu)).unwrap();
                    let set: Vec<_> = isa
                        .isa_flags()
                        .iter()
                        .filter(|f| f.as_bool() == Some(true) && f.name.starts_with("has_"))
                        .map(|f| f.name)
                        .collect();
                    let ours = CPU_SETTINGS.iter().filter(|row| {
                        row.1 == arch && row.2.is_some() && cpu.features().contains(row.0)
                    });
                    assert_eq!(set.len(), ours.count(), "{cpu}: {set:?}");
                }
            }
        }
    }

    #[test]
    fn the_wrong_processor_is_refused() {
        let wrong = fingerprint(Arch::X86_64, Os::Linux, CpuLevel::Aarch64);
        assert_eq!(build(&wrong).err().map(|e| e.kind()), Some(ErrorKind::Config));
        let all = CpuLevel::Native(Arch::X86_64, CpuFeatures::from_bits(u64::MAX));
        let unknown = fingerprint(Arch::X86_64, Os::Linux, all);
        assert_eq!(build(&unknown).err().map(|e| e.kind()), Some(ErrorKind::Config));
    }
}
