//! Bytes in, artifact out.
//!
//! decode and validate (`decode.rs`) → for each function, on one thread while its body is hot:
//! translate to CLIF (`function.rs`, `translate/`), compile (`function.rs`; `effort.rs` decides how
//! hard) → trampolines (`trampoline.rs`) → link (`link.rs`) → write (`artifact/write.rs`).
//! `parallel.rs` spreads the functions over threads, largest first; `isa.rs` sets Cranelift up.
//!
//! Invariants: the only settings are those of the [`Fingerprint`](crate::fingerprint::Fingerprint);
//! the bytes of the artifact depend on nothing but it and the module. No `unsafe`; nothing of
//! `runtime/`.

#![forbid(unsafe_code)]

mod decode;
mod effort;
pub(crate) mod function;
pub(crate) mod isa;
mod link;
mod parallel;
mod proposals;
#[cfg(test)]
mod tests;
mod trampoline;
pub(crate) mod translate;

use crate::abi::builtins::Builtin;
use crate::abi::vmctx::{Counts, Layout};
use crate::artifact::write::{self, Contents, FunctionRecords};
use crate::artifact::{NONE, sites};
use crate::error::{Error, ErrorKind, Result};
use crate::features::Features;
use crate::fingerprint::{Fingerprint, ModuleDigest};
use crate::wasm::index::{DefinedFuncIndex, SigIndex};
use crate::wasm::module::ModuleInfo;
use decode::Decoded;
use function::{CompiledCode, FunctionCompiler, ModuleEnv};
use link::{Order, Part, Piece, Plan};
use std::io::{Seek, Write};
use std::time::{Duration, Instant};
use trampoline::TrampolineCompiler;
use wasmparser::WasmFeatures;

/// What a compilation did, for reports. None of it is in the artifact.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Summary {
    /// Functions with a body.
    pub(crate) functions: u32,
    /// Bytes of code, trampolines included.
    pub(crate) text_len: u64,
    /// Bytes of the artifact.
    pub(crate) artifact_len: u64,
    /// Time for everything but bodies to be decoded and validated.
    pub(crate) decode: Duration,
    /// Time for bodies to be validated, translated and compiled, on all threads at once.
    pub(crate) compile: Duration,
    /// Time to link and write.
    pub(crate) write: Duration,
}

/// Compiles `module`, whose digest is `digest`, under the settings of `fingerprint` on up to
/// `jobs` threads, and writes the artifact to `out`, from its position 0.
///
/// # Errors
/// `Invalid`, `Unsupported` or `Limit` where the module is to blame; `Io` where `out` fails, which
/// leaves something behind that is no artifact.
pub(crate) fn compile(
    module: &[u8],
    digest: ModuleDigest,
    fingerprint: &Fingerprint,
    jobs: usize,
    out: &mut (impl Write + Seek),
) -> Result<Summary> {
    let features = fingerprint.features;
    let missing = features.difference(Features::SUPPORTED);
    if !missing.is_empty() {
        let message = format!("features that this engine does not support: {missing}");
        return Err(Error::with_kind(ErrorKind::Config, message));
    }
    compile_bodies(module, digest, fingerprint, jobs, out)
        .map_err(|error| proposals::explain(module, features, error))
}

/// Validates `module`, bodies included, and compiles nothing.
///
/// # Errors
/// `Invalid`, `Unsupported` or `Limit`, as for [`compile`]; what only compiling finds is not found.
pub(crate) fn validate(module: &[u8], features: Features) -> Result<()> {
    check(module, proposals::validator_features(features))
        .map_err(|error| proposals::explain(module, features, error))
}

/// As [`validate`], with those flags of the validator, and without its explanations.
fn check(module: &[u8], flags: WasmFeatures) -> Result<()> {
    let decoded = decode::decode_with(module, flags)?;
    let mut allocations = wasmparser::FuncValidatorAllocations::default();
    for index in 0..decoded.info.bodies.len() as u32 {
        let missing = || Error::with_kind(ErrorKind::Bug, "a function has no body");
        let body = decoded.body(DefinedFuncIndex::new(index));
        let (body, validate) = body.ok_or_else(missing)?;
        let mut validator = validate.into_validator(allocations);
        validator.validate(&body).map_err(|error| decode::invalid(&error))?;
        allocations = validator.into_allocations();
    }
    Ok(())
}

fn compile_bodies(
    module: &[u8],
    digest: ModuleDigest,
    fingerprint: &Fingerprint,
    jobs: usize,
    out: &mut (impl Write + Seek),
) -> Result<Summary> {
    let start = Instant::now();
    let isa = isa::build(fingerprint)?;
    let decoded = decode::decode(module, fingerprint.features)?;
    let info = &decoded.info;
    let counts = counts(info);
    let layout = Layout::new(counts).ok_or_else(|| {
        Error::with_kind(ErrorKind::Limit, "the module declares too much for one instance")
    })?;
    let env = ModuleEnv { info, layout, settings: *fingerprint, isa: &*isa };
    let decoded_at = Instant::now();

    let order = Order::new(info);
    let new = || Worker::new(&env);
    let named: Vec<_> = (0..order.len()).filter_map(|index| order.part(index)).collect();
    let done = parallel::run(
        jobs,
        &weights(info, &named),
        new,
        |worker, index| worker.part(&decoded, order, named[index]),
        |index| describe(info, named[index]),
    )?;
    let called = done.iter().flat_map(|done| done.called.iter().copied());
    let trampolines = link::trampolines(info, called);
    let more = parallel::run(
        jobs,
        &weights(info, &trampolines),
        new,
        |worker, index| worker.part(&decoded, order, trampolines[index]),
        |index| describe(info, trampolines[index]),
    )?;
    let (pieces, mut records): (Vec<_>, Vec<_>) =
        done.into_iter().chain(more).map(|done| (done.piece, done.records)).unzip();
    records.truncate(info.bodies.len());
    let compiled_at = Instant::now();

    let arch = fingerprint.target.arch();
    let plan = Plan::new(&pieces, arch)?;
    let mut contents = Contents {
        module,
        digest,
        info,
        counts,
        fingerprint,
        functions: Vec::with_capacity(info.bodies.len()),
        records,
        signatures: vec![(NONE, NONE); info.signatures.len()],
        trampolines: Vec::new(),
        text_len: plan.len(),
    };
    for (index, part) in named.iter().chain(&trampolines).enumerate() {
        place(&mut contents, *part, plan.start(index), plan.end(index));
    }
    let artifact_len = write::write(&contents, out, |text| plan.write(pieces, text))?;
    Ok(Summary {
        functions: info.bodies.len() as u32,
        text_len: u64::from(plan.len()),
        artifact_len,
        decode: decoded_at - start,
        compile: compiled_at - decoded_at,
        write: compiled_at.elapsed(),
    })
}

/// Notes where a piece of the text is.
fn place(contents: &mut Contents<'_>, part: Part, start: u32, end: u32) {
    let name = match part {
        Part::Function(_) => return contents.functions.push((start, end)),
        Part::Entry(sig) => {
            contents.signatures[sig as usize].0 = start;
            format!("entry[{sig}]")
        }
        Part::Host(sig) => {
            contents.signatures[sig as usize].1 = start;
            format!("host[{sig}]")
        }
        Part::Builtin(builtin) => format!("builtin[{}]", builtin.name()),
    };
    contents.trampolines.push((name, start, end));
}

/// What the layout of the vmctx depends on.
fn counts(info: &ModuleInfo) -> Counts {
    let defined = |all: usize, imported: u32| all as u32 - imported;
    Counts {
        imported_functions: info.num_imported_functions,
        imported_tables: info.num_imported_tables,
        imported_memories: info.num_imported_memories,
        imported_globals: info.num_imported_globals,
        imported_tags: info.num_imported_tags,
        defined_tables: defined(info.tables.len(), info.num_imported_tables),
        defined_memories: defined(info.memories.len(), info.num_imported_memories),
        defined_globals: defined(info.globals.len(), info.num_imported_globals),
        defined_tags: defined(info.tags.len(), info.num_imported_tags),
        func_refs: info.num_func_refs,
    }
}

/// How long each of `parts` will take, roughly: the length of its body.
fn weights(info: &ModuleInfo, parts: &[Part]) -> Vec<u32> {
    const TRAMPOLINE: u32 = 40;
    let weight = |part: &Part| match part {
        Part::Function(func) => info.bodies[*func as usize].len() as u32,
        _ => TRAMPOLINE,
    };
    parts.iter().map(weight).collect()
}

/// A piece, for the report of a panic.
fn describe(info: &ModuleInfo, part: Part) -> String {
    match part {
        Part::Function(defined) => {
            let func = info.func_index(DefinedFuncIndex::new(defined));
            format!("while function {} was compiled", func.as_u32())
        }
        Part::Builtin(builtin) => format!("in the trampoline of {}", builtin.name()),
        Part::Entry(sig) | Part::Host(sig) => format!("in a trampoline of signature {sig}"),
    }
}

/// A piece that is done.
struct Done {
    piece: Piece,
    /// What is on record of it, if it is a function.
    records: FunctionRecords,
    /// Types that it calls by reference.
    called: Box<[SigIndex]>,
}

/// What a thread keeps from one piece to the next.
struct Worker<'a> {
    env: &'a ModuleEnv<'a>,
    functions: FunctionCompiler,
    trampolines: TrampolineCompiler<'a>,
}

impl<'a> Worker<'a> {
    fn new(env: &'a ModuleEnv<'a>) -> Self {
        Worker {
            env,
            functions: FunctionCompiler::new(),
            trampolines: TrampolineCompiler::new(env.isa),
        }
    }

    /// Compiles `part`.
    fn part(&mut self, decoded: &Decoded<'_>, order: Order, part: Part) -> Result<Done> {
        let signature = |sig| self.env.info.signatures.get(SigIndex::new(sig));
        let (mut records, mut called) = (FunctionRecords::default(), Vec::new());
        let code = match part {
            Part::Function(func) => {
                let mut code = self.function(decoded, DefinedFuncIndex::new(func))?;
                let mut encoded = Vec::new();
                sites::encode(&code.sites, &mut encoded);
                records.sites = encoded.into();
                records.stack_maps = std::mem::take(&mut code.stack_maps);
                records.try_calls = std::mem::take(&mut code.try_calls);
                called = self.functions.take_called();
                code
            }
            Part::Entry(sig) => self.trampolines.entry(signature(sig))?,
            Part::Host(sig) => self.trampolines.host(signature(sig))?,
            Part::Builtin(builtin) => self.builtin(builtin)?,
        };
        let arch = self.env.settings.target.arch();
        let piece = Piece::new(code, arch, |target| order.piece_of(target))?;
        Ok(Done { piece, records, called: called.into() })
    }

    fn function(&mut self, decoded: &Decoded<'_>, func: DefinedFuncIndex) -> Result<CompiledCode> {
        let missing = || Error::with_kind(ErrorKind::Bug, "a function has no body");
        let (body, validate) = decoded.body(func).ok_or_else(missing)?;
        self.functions.compile(self.env, func, body, validate)
    }

    fn builtin(&mut self, builtin: Builtin) -> Result<CompiledCode> {
        let code = self.trampolines.builtin(builtin)?;
        code.ok_or_else(|| Error::with_kind(ErrorKind::Bug, "a leaf builtin has no trampoline"))
    }
}
