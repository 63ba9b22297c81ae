//! Every operator, compiled for every level, alone and as the vector operators' tests want it.
//! That they compute the right thing is for the specification's tests.

use crate::Trap;
use crate::abi::memory_plan::Bounds;
use crate::abi::target::{Arch, CpuFeatures, CpuLevel, Os, Target};
use crate::abi::vmctx::{Counts, Layout};
use crate::compile::function::{FunctionCompiler, ModuleEnv};
use crate::compile::{decode, isa};
use crate::features::Features;
use crate::fingerprint::{Fingerprint, OptLevel};
use crate::wasm::index::DefinedFuncIndex;

/// Those with a name; of others the least that has one of the two extensions without which
/// something is written out, and the most.
const LEVELS: [CpuLevel; 8] = [
    CpuLevel::X86_64,
    CpuLevel::X86_64V2,
    CpuLevel::X86_64V3,
    CpuLevel::X86_64V4,
    CpuLevel::Native(Arch::X86_64, CpuFeatures::SSE3.union(CpuFeatures::SSSE3)),
    CpuLevel::Native(
        Arch::X86_64,
        CpuLevel::X86_64V4
            .features()
            .union(CpuFeatures::AVX512VBMI)
            .union(CpuFeatures::AVX512BITALG),
    ),
    CpuLevel::Aarch64,
    CpuLevel::Native(Arch::Aarch64, CpuFeatures::LSE.union(CpuFeatures::FP16)),
];

/// Compiles a function for each operator in `rows` of parameters, result and comma-separated
/// operators, everywhere; returns how many operators they were.
///
/// A level at which Cranelift would call a library fails: such a call is an error of
/// `function::finish`.
pub(crate) fn compiles_everywhere(rows: &[(&str, &str, &str)]) -> usize {
    let mut operators = Vec::new();
    let mut text = String::from("(module (memory 1)");
    for (params, result, list) in rows {
        let arity = params.split_whitespace().count();
        let arguments: String = (0..arity).map(|i| format!("local.get {i} ")).collect();
        for operator in list.split(',').map(str::trim) {
            operators.push(operator);
            text += &format!("(func (param {params}) (result {result}) {arguments} {operator})\n");
        }
    }
    let module = wat::parse_str(text + ")").unwrap();
    for cpu in LEVELS {
        for opt_level in [OptLevel::None, OptLevel::Speed] {
            for nan_canonicalization in [false, true] {
                let settings = Fingerprint {
                    target: Target::new(cpu.arch(), Os::Linux),
                    cpu,
                    features: Features::SUPPORTED,
                    bounds: Bounds::Guard,
                    opt_level,
                    nan_canonicalization,
                    // Two of the four ways are enough for the few operators that this is about.
                    relaxed_simd_deterministic: !nan_canonicalization,
                    fuel: false,
                    epoch_interruption: false,
                };
                compiles(&module, settings, &operators);
            }
        }
    }
    operators.len()
}

fn compiles(module: &[u8], settings: Fingerprint, operators: &[&str]) {
    let isa = isa::build(&settings).unwrap();
    let decoded = decode::decode(module, settings.features).unwrap();
    let counts = Counts { defined_memories: 1, ..Counts::default() };
    let layout = Layout::new(counts).unwrap();
    let env = ModuleEnv { info: &decoded.info, layout, settings, isa: isa.as_ref() };
    let mut compiler = FunctionCompiler::new();
    for (i, operator) in operators.iter().enumerate() {
        let func = DefinedFuncIndex::new(i as u32);
        let (body, validator) = decoded.body(func).unwrap();
        let code = match compiler.compile(&env, func, body, validator) {
            Ok(code) => code,
            Err(e) => panic!("{operator} for {}, {:?}: {e:?}", settings.cpu, settings.opt_level),
        };
        if let Some((_, traps)) = TRAPS.iter().find(|(names, _)| names.contains(operator)) {
            let mut found: Vec<Trap> = code.sites.iter().filter_map(|site| site.trap).collect();
            found.sort_by_key(|trap| *trap as u8);
            found.dedup();
            assert_eq!(found, *traps, "{operator} for {}", settings.cpu);
        }
    }
}

/// What operators trap with, by number.
const TRAPS: &[(&[&str], &[Trap])] = &[
    (&["i32.div_s", "i64.div_s"], &[Trap::IntegerOverflow, Trap::IntegerDivisionByZero]),
    // Also of the signed one: the least number by -1 leaves 0.
    (
        &["i32.div_u", "i64.div_u", "i32.rem_s", "i64.rem_s", "i32.rem_u", "i64.rem_u"],
        &[Trap::IntegerDivisionByZero],
    ),
    (
        &[
            "i32.trunc_f32_s",
            "i32.trunc_f32_u",
            "i32.trunc_f64_s",
            "i32.trunc_f64_u",
            "i64.trunc_f32_s",
            "i64.trunc_f32_u",
            "i64.trunc_f64_s",
            "i64.trunc_f64_u",
        ],
        &[Trap::IntegerOverflow, Trap::BadConversionToInteger],
    ),
    (&["i32.add", "i32.trunc_sat_f32_s", "i64.trunc_sat_f64_u", "i32x4.trunc_sat_f32x4_s"], &[]),
];

const OPERATORS: &[(&str, &str, &str)] = &[
    ("", "i32", "i32.const -1"),
    ("", "i64", "i64.const -1"),
    ("", "f32", "f32.const nan:0x200001"),
    ("", "f64", "f64.const -0"),
    ("i32", "i32", "i32.eqz, i32.clz, i32.ctz, i32.popcnt, i32.extend8_s, i32.extend16_s"),
    ("i64", "i64", "i64.clz, i64.ctz, i64.popcnt, i64.extend8_s, i64.extend16_s, i64.extend32_s"),
    (
        "i32 i32",
        "i32",
        "i32.eq, i32.ne, i32.lt_s, i32.lt_u, i32.gt_s, i32.gt_u, i32.le_s, i32.le_u,
            i32.ge_s, i32.ge_u, i32.add, i32.sub, i32.mul, i32.div_s, i32.div_u, i32.rem_s,
            i32.rem_u, i32.and, i32.or, i32.xor, i32.shl, i32.shr_s, i32.shr_u, i32.rotl,
            i32.rotr",
    ),
    (
        "i64 i64",
        "i64",
        "i64.add, i64.sub, i64.mul, i64.div_s, i64.div_u, i64.rem_s, i64.rem_u, i64.and,
            i64.or, i64.xor, i64.shl, i64.shr_s, i64.shr_u, i64.rotl, i64.rotr",
    ),
    (
        "i64 i64",
        "i32",
        "i64.eq, i64.ne, i64.lt_s, i64.lt_u, i64.gt_s, i64.gt_u, i64.le_s, i64.le_u,
            i64.ge_s, i64.ge_u",
    ),
    ("f32 f32", "i32", "f32.eq, f32.ne, f32.lt, f32.gt, f32.le, f32.ge"),
    ("f64 f64", "i32", "f64.eq, f64.ne, f64.lt, f64.gt, f64.le, f64.ge"),
    ("f32", "f32", "f32.abs, f32.neg, f32.ceil, f32.floor, f32.trunc, f32.nearest, f32.sqrt"),
    ("f64", "f64", "f64.abs, f64.neg, f64.ceil, f64.floor, f64.trunc, f64.nearest, f64.sqrt"),
    ("f32 f32", "f32", "f32.add, f32.sub, f32.mul, f32.div, f32.min, f32.max, f32.copysign"),
    ("f64 f64", "f64", "f64.add, f64.sub, f64.mul, f64.div, f64.min, f64.max, f64.copysign"),
    ("i64", "i32", "i32.wrap_i64, i64.eqz"),
    ("i32", "i64", "i64.extend_i32_s, i64.extend_i32_u"),
    (
        "f32",
        "i32",
        "i32.trunc_f32_s, i32.trunc_f32_u, i32.trunc_sat_f32_s, i32.trunc_sat_f32_u,
            i32.reinterpret_f32",
    ),
    ("f64", "i32", "i32.trunc_f64_s, i32.trunc_f64_u, i32.trunc_sat_f64_s, i32.trunc_sat_f64_u"),
    ("f32", "i64", "i64.trunc_f32_s, i64.trunc_f32_u, i64.trunc_sat_f32_s, i64.trunc_sat_f32_u"),
    (
        "f64",
        "i64",
        "i64.trunc_f64_s, i64.trunc_f64_u, i64.trunc_sat_f64_s, i64.trunc_sat_f64_u,
            i64.reinterpret_f64",
    ),
    ("i32", "f32", "f32.convert_i32_s, f32.convert_i32_u, f32.reinterpret_i32"),
    ("i64", "f32", "f32.convert_i64_s, f32.convert_i64_u"),
    ("i32", "f64", "f64.convert_i32_s, f64.convert_i32_u"),
    ("i64", "f64", "f64.convert_i64_s, f64.convert_i64_u, f64.reinterpret_i64"),
    ("f64", "f32", "f32.demote_f64"),
    ("f32", "f64", "f64.promote_f32"),
];

#[test]
fn every_operator_compiles() {
    assert_eq!(compiles_everywhere(OPERATORS), 140);
}
