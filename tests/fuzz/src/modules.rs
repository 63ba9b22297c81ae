//! Modules of wasm-smith, in several profiles.
//!
//! Random modules are mostly shallow: a function traps after a few operators. So profiles leave
//! families of operators out, and half of all modules are made such that few things trap.

use arbitrary::{Result, Unstructured};
use precompile::Features;
use wasm_smith::{Config, InstructionKind, InstructionKinds, MemoryOffsetChoices, Module};

/// Who runs the modules, which decides what may be in them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Audience {
    /// Us and wasmi: what both support, with the same NaNs everywhere.
    Both,
    /// Us alone, and the modules are run.
    Ours,
    /// Us alone, and they are compiled only.
    Compiler,
}

/// A module, and what is known of it.
#[derive(Debug)]
pub struct Made {
    /// Its bytes.
    pub wasm: Vec<u8>,
    /// Whether it ends by itself, because it counts what it does and traps.
    pub ends: bool,
    /// Whether wasm-smith guarded its operators such that none divides by zero.
    pub guarded: bool,
}

/// What a module may hold: memories are small, so that comparing them is quick.
const MEMORY_BYTES: u64 = 4 << 16;

/// Makes a module.
///
/// # Errors
/// If `u` has not enough bytes.
pub fn module(u: &mut Unstructured<'_>, audience: Audience) -> Result<Made> {
    let mut config = limits(audience);
    features(u, audience, &mut config)?;
    profile(u, &mut config)?;
    let wanted = u.ratio(3, 4)?;
    let guarded = config.disallow_traps;
    let mut module = Module::new(config, u)?;
    let ends = wanted && module.ensure_termination(1000).is_ok();
    Ok(Made { wasm: module.to_bytes(), ends, guarded })
}

fn limits(audience: Audience) -> Config {
    Config {
        max_types: 20,
        max_imports: 6,
        max_tags: 4,
        max_funcs: 8,
        min_funcs: 1,
        max_globals: 8,
        max_exports: 30,
        export_everything: true,
        max_element_segments: 6,
        max_elements: 12,
        max_data_segments: 6,
        max_instructions: 120,
        max_memory32_bytes: MEMORY_BYTES,
        max_memory64_bytes: MEMORY_BYTES.into(),
        memory_max_size_required: true,
        max_table_elements: 200,
        table_max_size_required: true,
        canonicalize_nans: audience == Audience::Both,
        allow_invalid_funcs: audience == Audience::Compiler,
        const_expr_fuel: 20,
        limit_arrays_in_const_exprs: true,
        ..Config::default()
    }
}

/// Proposals: what the engine has, at times without one or the other.
fn features(u: &mut Unstructured<'_>, audience: Audience, config: &mut Config) -> Result<()> {
    let has = |feature| Features::SUPPORTED.contains(feature);
    let mut maybe = |on: bool| Ok(on && u.ratio(7, 8)?);
    let alone = audience != Audience::Both;
    config.bulk_memory_enabled = maybe(has(Features::BULK_MEMORY))?;
    config.reference_types_enabled = maybe(has(Features::REFERENCE_TYPES))?;
    config.simd_enabled = maybe(has(Features::SIMD))?;
    // What these give is for the implementation to choose.
    config.relaxed_simd_enabled = maybe(alone && has(Features::RELAXED_SIMD))?;
    config.tail_call_enabled = maybe(has(Features::TAIL_CALL))?;
    config.memory64_enabled = maybe(has(Features::MEMORY64))?;
    config.extended_const_enabled = maybe(has(Features::EXTENDED_CONST))?;
    config.custom_page_sizes_enabled = maybe(has(Features::CUSTOM_PAGE_SIZES))?;
    config.wide_arithmetic_enabled = maybe(has(Features::WIDE_ARITHMETIC))?;
    config.gc_enabled = maybe(alone && has(Features::GC))?;
    config.exceptions_enabled = maybe(alone && has(Features::EXCEPTIONS))?;
    // A thread that waits for nobody waits for ever.
    config.threads_enabled = maybe(audience == Audience::Compiler && has(Features::THREADS))?;
    config.compact_imports_enabled = false;
    config.shared_everything_threads_enabled = false;
    let multi = has(Features::MULTI_MEMORY);
    config.max_memories = if maybe(multi)? { 3 } else { 1 };
    config.max_tables = if config.reference_types_enabled { 3 } else { 1 };
    if !config.reference_types_enabled {
        config.gc_enabled = false;
    }
    if !config.simd_enabled {
        config.relaxed_simd_enabled = false;
    }
    Ok(())
}

fn profile(u: &mut Unstructured<'_>, config: &mut Config) -> Result<()> {
    use InstructionKind::{
        Aggregate, Control, Memory, Numeric, Parametric, Reference, Table, Variable, Vector,
    };
    let allowed: &[InstructionKind] = match u.int_in_range(0..=5)? {
        // Everything.
        0 => return offsets(u, config),
        // Arithmetic, deep inside of few functions.
        1 => &[Numeric, Variable, Parametric],
        2 => {
            config.min_memories = 1;
            config.min_data_segments = config.max_data_segments.min(2);
            &[Memory, Numeric, Variable, Control]
        }
        3 => {
            config.min_memories = 1;
            &[Vector, Memory, Variable, Parametric]
        }
        // Calls of all kinds, and what they go through.
        4 => {
            config.min_tables = 1;
            config.min_element_segments = 2;
            &[Control, Table, Reference, Variable, Parametric, Aggregate]
        }
        _ => &[Numeric, Vector, Control, Variable, Parametric],
    };
    config.allowed_instructions = InstructionKinds::new(allowed);
    offsets(u, config)
}

fn offsets(u: &mut Unstructured<'_>, config: &mut Config) -> Result<()> {
    config.disallow_traps = u.arbitrary()?;
    let odd = MemoryOffsetChoices(60, 30, 10);
    config.memory_offset_choices = if u.ratio(1, 4)? { odd } else { MemoryOffsetChoices(1, 0, 0) };
    Ok(())
}
