//! Class 3: where processors lack an instruction, what stands for it is the same to the bit.

use crate::layout;
use precompile::*;

/// What arithmetic makes of NaNs of all kinds is the canonical one, if that is asked for: also
/// where rounding is a call, because the processor has no instruction for it.
#[test]
fn class_03_there_is_one_nan_at_every_level() {
    const UNARY: [&str; 5] = ["ceil", "floor", "trunc", "nearest", "sqrt"];
    const BINARY: [&str; 6] = ["add", "sub", "mul", "div", "min", "max"];
    let canonical = |ty: &str| match ty {
        "f32" => 0x7fc0_0000u128,
        "f64" => 0x7ff8_0000_0000_0000,
        "f32x4" => 0x7fc0_0000_7fc0_0000_7fc0_0000_7fc0_0000,
        _ => 0x7ff8_0000_0000_0000_7ff8_0000_0000_0000,
    };
    let nans = |ty: &str| match ty {
        "f32" => [0xffc0_0000u128, 0x7fa0_0001, 0xffff_ffff],
        "f64" => [0xfff8_0000_0000_0001, 0x7ff4_0000_0000_0000, 0xffff_ffff_ffff_ffff],
        "f32x4" => [0x7fa0_0001_ffc0_0001_ff80_0001_ffff_ffff, u128::MAX, 0x7fc1 << 16 | !0 << 32],
        _ => [0xfff8_0000_0000_0001_7ff4_0000_0000_0000, u128::MAX, !0 << 51],
    };
    for engine in layout::engines_with(|config| {
        config.cranelift_nan_canonicalization(true);
    }) {
        for ty in ["f32", "f64", "f32x4", "f64x2"] {
            let value = if ty.contains('x') { "v128" } else { ty };
            let function = |name: &str, operands: &str| {
                format!(
                    r#"(func (export "{name}") (param {value}) (result {value})
                        ({ty}.{name} {operands}))"#
                )
            };
            let unary = UNARY.map(|name| function(name, "(local.get 0)")).concat();
            let binary = BINARY.map(|name| function(name, "(local.get 0) (local.get 0)")).concat();
            let module = Module::new(&engine, format!("(module {unary} {binary})")).unwrap();
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            for name in UNARY.iter().chain(&BINARY) {
                for nan in nans(ty) {
                    let arg = match ty {
                        "f32" => Val::F32(nan as u32),
                        "f64" => Val::F64(nan as u64),
                        _ => Val::V128(nan.into()),
                    };
                    let mut results = [Val::I32(0)];
                    let func = instance.get_func(&mut store, name).unwrap();
                    func.call(&mut store, &[arg], &mut results).unwrap();
                    let bits = layout::bits(results[0]);
                    assert_eq!(bits, canonical(ty), "{}: {ty}.{name} {nan:#x}", engine.cpu());
                }
            }
        }
    }
}
