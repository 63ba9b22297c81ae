//! Every vector operator, compiled for every level. That they compute the right thing is for the
//! specification's tests.

use crate::compile::translate::numeric::tests::compiles_everywhere;

/// Parameters, result, operators; loads and stores are in the second table.
const OPERATORS: &[(&str, &str, &str)] = &[
    ("", "v128", "v128.const i32x4 1 2 3 4"),
    (
        "v128",
        "v128",
        "v128.not, i8x16.abs, i8x16.neg, i8x16.popcnt, i16x8.abs, i16x8.neg, i32x4.abs, i32x4.neg,
        i64x2.abs, i64x2.neg, f32x4.abs, f32x4.neg, f32x4.sqrt, f32x4.ceil, f32x4.floor,
        f32x4.trunc, f32x4.nearest, f64x2.abs, f64x2.neg, f64x2.sqrt, f64x2.ceil, f64x2.floor,
        f64x2.trunc, f64x2.nearest, i16x8.extend_low_i8x16_s, i16x8.extend_high_i8x16_s,
        i16x8.extend_low_i8x16_u, i16x8.extend_high_i8x16_u, i32x4.extend_low_i16x8_s,
        i32x4.extend_high_i16x8_s, i32x4.extend_low_i16x8_u, i32x4.extend_high_i16x8_u,
        i64x2.extend_low_i32x4_s, i64x2.extend_high_i32x4_s, i64x2.extend_low_i32x4_u,
        i64x2.extend_high_i32x4_u, i16x8.extadd_pairwise_i8x16_s, i16x8.extadd_pairwise_i8x16_u,
        i32x4.extadd_pairwise_i16x8_s, i32x4.extadd_pairwise_i16x8_u, i32x4.trunc_sat_f32x4_s,
        i32x4.trunc_sat_f32x4_u, i32x4.trunc_sat_f64x2_s_zero, i32x4.trunc_sat_f64x2_u_zero,
        f32x4.convert_i32x4_s, f32x4.convert_i32x4_u, f64x2.convert_low_i32x4_s,
        f64x2.convert_low_i32x4_u, f32x4.demote_f64x2_zero, f64x2.promote_low_f32x4",
    ),
    (
        "v128 v128",
        "v128",
        "v128.and, v128.andnot, v128.or, v128.xor, i8x16.swizzle,
        i8x16.eq, i8x16.ne, i8x16.lt_s, i8x16.lt_u, i8x16.gt_s, i8x16.gt_u, i8x16.le_s, i8x16.le_u,
        i8x16.ge_s, i8x16.ge_u, i16x8.eq, i16x8.ne, i16x8.lt_s, i16x8.lt_u, i16x8.gt_s, i16x8.gt_u,
        i16x8.le_s, i16x8.le_u, i16x8.ge_s, i16x8.ge_u, i32x4.eq, i32x4.ne, i32x4.lt_s, i32x4.lt_u,
        i32x4.gt_s, i32x4.gt_u, i32x4.le_s, i32x4.le_u, i32x4.ge_s, i32x4.ge_u, i64x2.eq, i64x2.ne,
        i64x2.lt_s, i64x2.gt_s, i64x2.le_s, i64x2.ge_s, f32x4.eq, f32x4.ne, f32x4.lt, f32x4.gt,
        f32x4.le, f32x4.ge, f64x2.eq, f64x2.ne, f64x2.lt, f64x2.gt, f64x2.le, f64x2.ge,
        i8x16.narrow_i16x8_s, i8x16.narrow_i16x8_u, i16x8.narrow_i32x4_s, i16x8.narrow_i32x4_u,
        i8x16.add, i8x16.add_sat_s, i8x16.add_sat_u, i8x16.sub, i8x16.sub_sat_s, i8x16.sub_sat_u,
        i8x16.min_s, i8x16.min_u, i8x16.max_s, i8x16.max_u, i8x16.avgr_u,
        i16x8.add, i16x8.add_sat_s, i16x8.add_sat_u, i16x8.sub, i16x8.sub_sat_s, i16x8.sub_sat_u,
        i16x8.mul, i16x8.min_s, i16x8.min_u, i16x8.max_s, i16x8.max_u, i16x8.avgr_u,
        i16x8.q15mulr_sat_s, i32x4.add, i32x4.sub, i32x4.mul, i32x4.min_s, i32x4.min_u,
        i32x4.max_s, i32x4.max_u, i32x4.dot_i16x8_s, i64x2.add, i64x2.sub, i64x2.mul,
        i16x8.extmul_low_i8x16_s, i16x8.extmul_high_i8x16_s, i16x8.extmul_low_i8x16_u,
        i16x8.extmul_high_i8x16_u, i32x4.extmul_low_i16x8_s, i32x4.extmul_high_i16x8_s,
        i32x4.extmul_low_i16x8_u, i32x4.extmul_high_i16x8_u, i64x2.extmul_low_i32x4_s,
        i64x2.extmul_high_i32x4_s, i64x2.extmul_low_i32x4_u, i64x2.extmul_high_i32x4_u,
        f32x4.add, f32x4.sub, f32x4.mul, f32x4.div, f32x4.min, f32x4.max, f32x4.pmin, f32x4.pmax,
        f64x2.add, f64x2.sub, f64x2.mul, f64x2.div, f64x2.min, f64x2.max, f64x2.pmin, f64x2.pmax,
        i8x16.shuffle 0 17 2 19 4 21 6 23 8 25 10 27 12 29 14 31",
    ),
    ("v128 v128 v128", "v128", "v128.bitselect"),
    (
        "v128 i32",
        "v128",
        "i8x16.shl, i8x16.shr_s, i8x16.shr_u, i16x8.shl, i16x8.shr_s, i16x8.shr_u, i32x4.shl,
        i32x4.shr_s, i32x4.shr_u, i64x2.shl, i64x2.shr_s, i64x2.shr_u,
        i8x16.replace_lane 15, i16x8.replace_lane 7, i32x4.replace_lane 3",
    ),
    ("v128 i64", "v128", "i64x2.replace_lane 1"),
    ("v128 f32", "v128", "f32x4.replace_lane 3"),
    ("v128 f64", "v128", "f64x2.replace_lane 1"),
    ("i32", "v128", "i8x16.splat, i16x8.splat, i32x4.splat"),
    ("i64", "v128", "i64x2.splat"),
    ("f32", "v128", "f32x4.splat"),
    ("f64", "v128", "f64x2.splat"),
    (
        "v128",
        "i32",
        "v128.any_true, i8x16.all_true, i16x8.all_true, i32x4.all_true, i64x2.all_true,
        i8x16.bitmask, i16x8.bitmask, i32x4.bitmask, i64x2.bitmask,
        i8x16.extract_lane_s 15, i8x16.extract_lane_u 15, i16x8.extract_lane_s 7,
        i16x8.extract_lane_u 7, i32x4.extract_lane 3",
    ),
    ("v128", "i64", "i64x2.extract_lane 1"),
    ("v128", "f32", "f32x4.extract_lane 3"),
    ("v128", "f64", "f64x2.extract_lane 1"),
];

const MEMORY_OPERATORS: &[(&str, &str, &str)] = &[
    (
        "i32",
        "v128",
        "v128.load, v128.load8x8_s, v128.load8x8_u, v128.load16x4_s, v128.load16x4_u,
        v128.load32x2_s, v128.load32x2_u, v128.load8_splat, v128.load16_splat, v128.load32_splat,
        v128.load64_splat, v128.load32_zero, v128.load64_zero",
    ),
    (
        "i32 v128",
        "v128",
        "v128.load8_lane 15, v128.load16_lane 7, v128.load32_lane 3, v128.load64_lane 1",
    ),
    (
        "i32 v128",
        "",
        "v128.store, v128.store8_lane 15, v128.store16_lane 7, v128.store32_lane 3,
        v128.store64_lane offset=8 align=4 1",
    ),
];

const RELAXED_OPERATORS: &[(&str, &str, &str)] = &[
    (
        "v128",
        "v128",
        "i32x4.relaxed_trunc_f32x4_s, i32x4.relaxed_trunc_f32x4_u,
        i32x4.relaxed_trunc_f64x2_s_zero, i32x4.relaxed_trunc_f64x2_u_zero",
    ),
    (
        "v128 v128",
        "v128",
        "i8x16.relaxed_swizzle, f32x4.relaxed_min, f32x4.relaxed_max, f64x2.relaxed_min,
        f64x2.relaxed_max, i16x8.relaxed_q15mulr_s, i16x8.relaxed_dot_i8x16_i7x16_s",
    ),
    (
        "v128 v128 v128",
        "v128",
        "f32x4.relaxed_madd, f32x4.relaxed_nmadd, f64x2.relaxed_madd, f64x2.relaxed_nmadd,
        i8x16.relaxed_laneselect, i16x8.relaxed_laneselect, i32x4.relaxed_laneselect,
        i64x2.relaxed_laneselect, i32x4.relaxed_dot_i8x16_i7x16_add_s",
    ),
];

#[test]
fn every_operator_compiles() {
    let here = compiles_everywhere(OPERATORS) + compiles_everywhere(MEMORY_OPERATORS);
    assert_eq!(here, 236, "operators of the proposal");
    assert_eq!(compiles_everywhere(RELAXED_OPERATORS), 20, "operators of the relaxed proposal");
}

/// Below SSSE3 each width of lane has its own way, and above it many patterns have an instruction
/// of their own.
#[test]
fn every_kind_of_shuffle_compiles() {
    let picks: [[u8; 16]; 6] = [
        std::array::from_fn(|i| i as u8),
        std::array::from_fn(|i| 31 - i as u8),
        std::array::from_fn(|i| i as u8 ^ 2),
        std::array::from_fn(|i| i as u8 ^ 20),
        std::array::from_fn(|i| i as u8 ^ 24),
        [31; 16],
    ];
    for picks in picks {
        let lanes = picks.map(|pick| pick.to_string()).join(" ");
        let shuffle = format!("i8x16.shuffle {lanes}");
        compiles_everywhere(&[("v128 v128", "v128", shuffle.as_str())]);
    }
}

/// Operands that do not come from a register, which have rules of their own.
#[test]
fn constants_and_loads_compile() {
    let zero = "v128.const i64x2 0 0";
    let vector_ops = OPERATORS.iter().filter(|row| row.0 == "v128 v128");
    for op in vector_ops.flat_map(|row| row.2.split(',')) {
        let op = op.trim();
        let texts = [
            ("v128", "v128", format!("{zero} {op}")),
            ("v128", "v128", format!("(v128.load (i32.const 8)) {op}")),
            ("", "v128", format!("{zero} {zero} {op}")),
        ];
        for (params, result, text) in &texts {
            compiles_everywhere(&[(params, result, text.as_str())]);
        }
    }
}
