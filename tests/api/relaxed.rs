//! Relaxed vector instructions: the same results everywhere, or what is fast.

use precompile::{Config, CpuFeatures, CpuLevel, Engine, Instance, Module, Store};

/// The product is 1 + 2e + e², of which `f64` has no room for the last part.
const MODULE: &str = r#"(module
    (func (export "madd") (result i64)
        (local $x v128)
        (local.set $x (f64x2.splat (f64.const 0x1.00000004p0)))
        (i64x2.extract_lane 0 (f64x2.relaxed_madd (local.get $x) (local.get $x)
            (f64x2.splat (f64.const -0x1.00000008p0)))))
    (func (export "trunc") (result i64)
        (i64.extend_i32_s (i32x4.extract_lane 0
            (i32x4.relaxed_trunc_f32x4_s (v128.const f32x4 nan 0 0 0)))))
    (func (export "swizzle") (result i64)
        (i64.extend_i32_u (i8x16.extract_lane_u 0
            (i8x16.relaxed_swizzle (i8x16.splat (i32.const 7)) (i8x16.splat (i32.const 17)))))))
"#;

fn results(config: &Config) -> [i64; 3] {
    let engine = Engine::new(config).expect("supported settings");
    let module = Module::new(&engine, MODULE).expect("valid");
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).expect("nothing is imported");
    ["madd", "trunc", "swizzle"].map(|name| {
        let func = instance.get_typed_func::<(), i64>(&mut store, name).expect("exported");
        func.call(&mut store, ()).expect("no trap")
    })
}

#[test]
fn results_depend_on_processors_only_if_asked_to() {
    let host = CpuFeatures::detect();
    let fused = (2.0_f64.powi(-60)).to_bits() as i64;
    let arch = Engine::default().target().arch();
    for level in CpuLevel::named(arch).iter().filter(|level| host.contains(level.features())) {
        let mut config = Config::new();
        config.cpu(*level);
        assert_eq!(results(&config), [0, 0, 0], "{level}");
        config.relaxed_simd_deterministic(false);
        let expected = match level {
            CpuLevel::X86_64 => [0, i32::MIN.into(), 0],
            CpuLevel::X86_64V2 => [0, i32::MIN.into(), 7],
            CpuLevel::X86_64V3 | CpuLevel::X86_64V4 => [fused, i32::MIN.into(), 7],
            _ => [fused, 0, 0],
        };
        assert_eq!(results(&config), expected, "{level}, fast");
    }
}
