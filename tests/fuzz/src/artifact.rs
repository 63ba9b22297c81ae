//! Artifacts with damage: refused, or looked at without harm.
//!
//! Four ways in: `Module::deserialize` and `inspect` with damage that the header's digest was made
//! to fit again (so that the reader behind it is reached), the same without that, and a cache
//! directory whose file was damaged, under both policies. Code out of what was damaged is never
//! run: such a module is listed and instantiated, without a start function, and no more. That is
//! what the engine promises for damage; machine code that somebody made up is another matter.
//!
//! But for the fourth way: what says which calls catch what is damaged, in words that are checked at
//! each use, and exceptions are thrown.

use crate::unsafe_door::deserialize;
use crate::{Result, Verdict, ours};
use arbitrary::Unstructured;
use precompile::cache::{Layers, Policy};
use precompile::{
    Engine, ErrorKind, Extern, ExternType, Func, Global, Instance, Memory, Module, Outcome, Ref,
    Store, StoreLimits, StoreLimitsBuilder, Table, Val, ValType,
};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

/// Modules with something in each section, and no start function.
const TEXTS: &[&str] = &[
    r#"(module
        (type $unused (func (param v128 funcref externref) (result f32 f64)))
        (type $f (func (param i32) (result i32)))
        (import "host" "func" (func $host (param i32) (result i64)))
        (import "host" "table" (table $imported 2 funcref))
        (import "host" "memory" (memory 1 10))
        (import "host" "global" (global $imported i32))
        (table $lazy (export "table") 20 30 funcref)
        (table $typed (export "typed") 3 (ref null $f))
        (table $externs (export "externs") 4 externref)
        (global $number (export "number") (mut i64) (i64.const -7))
        (global $wide v128 (v128.const i64x2 1 2))
        (global $func (export "ref") (mut funcref) (ref.func $one))
        (global $sum i32 (i32.add (i32.const 4) (i32.mul (i32.const 2) (global.get $imported))))
        (elem (table $lazy) (i32.const 3) func $one $two $host $one)
        (elem (table $lazy) (global.get $imported) func $two)
        (elem (table $typed) (i32.const 0) (ref null $f) (ref.func $one) (ref.null $f))
        (elem (table $imported) (i32.const 1) func $two)
        (elem $passive func $one $two)
        (data (i32.const 16) "active") (data (global.get $imported) "offset")
        (data $bytes "passive")
        (func $one (export "one") (param i32) (result i32)
            (i32.load (i32.div_u (i32.const 1) (local.get 0))))
        (func $two (param i32) (result i64) (call $host (local.get 0)))
        (func (export "again") (param i32) (result i64)
            (memory.init $bytes (i32.const 0) (i32.const 0) (i32.const 1))
            (table.init $lazy $passive (i32.const 0) (i32.const 0) (i32.const 1))
            (call $two (local.get 0)))
        (export "host" (func $host)) (export "memory" (memory 0)))"#,
    r#"(module
        (memory (export "memory") 2 3) (memory (export "wide") i64 1 4)
        (memory (export "small") 40 (pagesize 1))
        (data (i32.const 0) "first") (data (i32.const 70000) "last")
        (data (memory 1) (i64.const 5) "wide") (data (memory 2) (i32.const 7) "small")
        (table (export "wide table") i64 3 9 funcref)
        (global (export "global") f64 (f64.const 1.5))
        (func (export "load") (param i32) (result i32) (i32.load (local.get 0))))"#,
    "(module)",
];

/// Bytes of the first page where the digest over it is.
const DIGEST: std::ops::Range<usize> = 272..304;
/// Where the first page has the index of the start function.
const START: usize = 256 + 104;
const PAGE: usize = 4096;

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| ours::engine(|_| {}))
}

fn artifacts() -> &'static [Vec<u8>] {
    static ARTIFACTS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    ARTIFACTS.get_or_init(|| {
        let compile = |text: &&str| engine().precompile_module(text.as_bytes());
        TEXTS.iter().map(|text| compile(text).expect("it is valid")).collect()
    })
}

/// Damages `bytes` in a few places that `u` chooses.
fn damage(u: &mut Unstructured<'_>, bytes: &mut Vec<u8>) -> arbitrary::Result<()> {
    for _ in 0..u.int_in_range(1..=4)? {
        // The header with its directory is small; what it points to is not.
        let at = match u.int_in_range(0..=3)? {
            0 => 256 + u.int_in_range(0..=767)?,
            1 => 1024 + u.int_in_range(0..=255)?,
            _ => u.int_in_range(PAGE..=bytes.len().max(PAGE + 1) - 1)?,
        };
        let len = bytes.len() as u64;
        let word = *u.choose(&[0, 1, 2, 0x15, 0x7fff_ffff, 0x8000_0000, u32::MAX])?;
        match u.int_in_range(0..=6)? {
            0 | 1 => bytes[at.min(len as usize - 1)] ^= 1u8 << u.int_in_range(0..=7)?,
            2 => overwrite(bytes, at & !3, &word.to_le_bytes()),
            3 => {
                let near = (len as u32).wrapping_add_signed(u.int_in_range(-64..=64)?);
                overwrite(bytes, at & !3, &near.to_le_bytes());
            }
            4 => overwrite(bytes, at & !7, &u.arbitrary::<u64>()?.to_le_bytes()),
            // One word of a table in the place of another: an index that is one, of other things.
            5 => {
                let from = (at + u.int_in_range(0..=256)?) & !3;
                if let Some(word) = bytes.get(from..from + 4).map(<[u8]>::to_vec) {
                    overwrite(bytes, at & !3, &word);
                }
            }
            _ if u.ratio(1, 4)? => bytes.truncate(u.int_in_range(0..=bytes.len())?),
            _ => bytes.push(0),
        }
        if bytes.len() <= PAGE {
            break;
        }
    }
    Ok(())
}

fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + with.len()) {
        place.copy_from_slice(with);
    }
}

/// Makes the first page whole: the length is the file's, and its digest is right.
fn mend(bytes: &mut [u8]) {
    if bytes.len() < PAGE {
        return;
    }
    let len = bytes.len() as u64;
    overwrite(bytes, 256 + 48, &len.to_le_bytes());
    bytes[DIGEST].fill(0);
    let digest = Sha256::digest(&bytes[..PAGE]);
    bytes[DIGEST].copy_from_slice(&digest);
}

/// Damages an artifact as `data` says, and tries to get it in.
///
/// # Errors
/// If it is refused with an error of another kind, or not refused where it has to be.
pub fn run(data: &[u8]) -> Result {
    let mut u = Unstructured::new(data);
    let few = Ok(Verdict::Skipped("few bytes"));
    let (Ok(whole), Ok(way)) = (u.choose(artifacts()), u.int_in_range(0..=16)) else { return few };
    match way {
        0 => return entry(u),
        16 => return thrown(u),
        _ => {}
    }
    let mut bytes = whole.clone();
    if damage(&mut u, &mut bytes).is_err() {
        return few;
    }
    if way > 2 {
        // A start function would be run.
        overwrite(&mut bytes, START, &u32::MAX.to_le_bytes());
        mend(&mut bytes);
    }
    if let Err(error) = precompile::inspect(&bytes) {
        refused(&error)?;
    }
    match deserialize(engine(), &bytes) {
        Ok(module) => {
            let page = |bytes: &[u8]| bytes[..PAGE].to_vec();
            if way <= 2 && page(&bytes) != page(whole) {
                return Err("a header that does not match its digest was taken".into());
            }
            look(&module).map_err(|error| format!("{error:#}"))?;
        }
        Err(error) => refused(&error)?,
    }
    Ok(Verdict::Agreed)
}

/// Throws and catches. All tags have one type, so that a clause may take another one's values.
const THROWS: &str = r#"(module
    (tag $a (param i32)) (tag $b (param i32)) (tag $c (param i32))
    (global (mut i64) (i64.const -1)) (memory 1) (table 1 funcref) (elem (i32.const 0) $throw)
    (func $throw (param i32) (result i32)
        (block $c (block $b (block $a (br_table $a $b $c (local.get 0)))
            (throw $a (i32.const 1))) (throw $b (i32.const 2)))
        (throw $c (i32.const 3)))
    (func $inner (param i32) (result i32)
        (block $caught (result i32)
            (try_table (result i32) (catch $a $caught)
                (call_indirect (param i32) (result i32) (local.get 0) (i32.const 0)))))
    (func (export "run") (param i32) (result i32)
        (block $any
            (return (block $b (result i32)
                (try_table (result i32) (catch $b $b) (catch $c $b) (catch_all $any)
                    (call $inner (local.get 0))))))
        (i32.const 4)))"#;

/// Damages what says which calls catch what, but not where they go on, and throws exceptions: they
/// are caught, rightly or not, or come out.
fn thrown(mut u: Unstructured<'_>) -> Result {
    static WHOLE: OnceLock<(Vec<u8>, Vec<usize>)> = OnceLock::new();
    let (whole, places) = WHOLE.get_or_init(|| {
        let whole = engine().precompile_module(THROWS.as_bytes()).expect("it is valid");
        let sections = precompile::inspect(&whole).expect("it is whole").sections;
        let section = |wanted: &str| {
            let found = sections.iter().find(|(name, ..)| *name == wanted);
            let (_, start, len) = found.expect("it throws");
            *start as usize..(*start + *len) as usize
        };
        // Of six words, three say where a frame is and goes on.
        let calls = section("TryCalls").step_by(24).flat_map(|at| [at + 8, at + 16, at + 20]);
        let places = section("HandlerTags").step_by(4).chain(calls).collect();
        (whole, places)
    });
    let mut bytes = whole.clone();
    let mut hurt = || -> arbitrary::Result<()> {
        for _ in 0..u.int_in_range(1..=3)? {
            let at = *u.choose(places)?;
            let word = match u.int_in_range(0..=2)? {
                0 => 8 * u.int_in_range(0..=100)?,
                1 => {
                    *u.choose(&[1, 4, 0x1000, 0x7fff_fff8, 0x8000_0000, u32::MAX - 7, u32::MAX])?
                }
                _ => u.arbitrary()?,
            };
            overwrite(&mut bytes, at, &word.to_le_bytes());
        }
        Ok(())
    };
    if hurt().is_err() {
        return Ok(Verdict::Skipped("few bytes"));
    }
    let text = |error: precompile::Error| format!("{error:#}");
    let module = deserialize(engine(), &bytes).map_err(text)?;
    let mut store = Store::new(engine(), ());
    let instance = Instance::new(&mut store, &module, &[]).map_err(text)?;
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").map_err(text)?;
    for tag in 0..3 {
        match run.call(&mut store, tag) {
            Ok(1..=4) => {}
            Ok(other) => return Err(format!("{other} was caught, which nobody threw")),
            Err(error) if error.kind() == ErrorKind::Exception => {}
            Err(error) => return Err(text(error)),
        }
    }
    Ok(Verdict::Agreed)
}

fn refused(error: &precompile::Error) -> std::result::Result<(), String> {
    match error.kind() {
        ErrorKind::Corrupt | ErrorKind::Incompatible => Ok(()),
        kind => Err(format!("refused as {kind:?}: {error:#}")),
    }
}

/// Something to import.
fn supply(store: &mut Store<StoreLimits>, ty: ExternType) -> Option<Extern> {
    Some(match ty {
        ExternType::Func(ty) => Func::new(store, ty, |_, _, _| Ok(())).into(),
        ExternType::Table(ty) => {
            let init = Ref::null(ty.element().heap_type());
            (ty.minimum() < 1000).then(|| Table::new(store, ty, init).ok())??.into()
        }
        ExternType::Memory(ty) => {
            (ty.minimum() < 1000).then(|| Memory::new(store, ty).ok())??.into()
        }
        ExternType::Global(ty) => {
            let value = match ty.content() {
                ValType::I32 => Val::I32(9),
                ty => Val::default_for_ty(ty),
            };
            Global::new(store, ty, value).ok()?.into()
        }
        _ => return None,
    })
}

/// Goes through all that runs no code.
///
/// # Errors
/// None that damage explains.
fn look(module: &Module) -> precompile::Result<()> {
    for export in module.exports() {
        let _ = (export.name().len(), export.ty().to_string());
        let _ = module.get_export(export.name());
    }
    let _ = module.serialize()?;
    // Damage may ask for any amount.
    let limits = StoreLimitsBuilder::new().memory_size(1 << 24).table_elements(1 << 16);
    let mut store = Store::new(module.engine(), limits.build());
    store.limiter(|limits| limits);
    let imports = module.imports().map(|import| (import.name().len(), import.ty()));
    let imports: Option<Vec<_>> = imports.map(|(_, ty)| supply(&mut store, ty)).collect();
    let Some(imports) = imports else { return Ok(()) };
    let Ok(instance) = Instance::new(&mut store, module, &imports) else { return Ok(()) };
    let exports: Vec<Extern> = instance.exports(&mut store).map(|e| e.into_extern()).collect();
    for export in exports {
        let _ = export.ty(&store).to_string();
        match export {
            Extern::Global(global) => {
                if let Val::FuncRef(Some(func)) = global.get(&mut store) {
                    let _ = func.ty(&store);
                }
            }
            Extern::Table(table) => {
                for i in 0..table.size(&store).min(50) {
                    if let Some(Ref::Func(Some(func))) = table.get(&mut store, i) {
                        let _ = func.ty(&store);
                    }
                }
            }
            Extern::Memory(memory) => {
                let bytes = memory.data(&store);
                let _ = bytes.iter().step_by(4096).map(|byte| u64::from(*byte)).sum::<u64>();
            }
            _ => {}
        }
    }
    Ok(())
}

/// A cache directory with one entry, for each policy.
struct Directory {
    engine: Engine,
    path: PathBuf,
    whole: Vec<u8>,
    _dir: tempfile::TempDir,
}

const ENTRY: &str = r#"(module (memory (export "memory") 1) (data (i32.const 3) "three")
    (func (export "f") (result i32) (i32.load8_u (i32.const 3))))"#;

impl Directory {
    fn new(policy: Policy) -> Directory {
        let dir = tempfile::tempdir().expect("a folder");
        let engine = ours::engine(|config| {
            config.cache(Layers::builder().read_write(dir.path().join("cache")).policy(policy));
        });
        Module::new(&engine, ENTRY).expect("it is valid");
        let mut folders = vec![dir.path().join("cache")];
        let mut path = None;
        while let Some(folder) = folders.pop() {
            for item in std::fs::read_dir(folder).expect("the cache is a folder") {
                let item = item.expect("it can be listed").path();
                let name = item.file_name().map(|name| name.to_string_lossy().into_owned());
                if item.is_dir() {
                    folders.push(item);
                } else if name.is_some_and(|name| name.len() == 64) {
                    path = Some(item);
                }
            }
        }
        let path = path.expect("there is an entry");
        let whole = std::fs::read(&path).expect("it can be read");
        Directory { engine, path, whole, _dir: dir }
    }
}

/// Damages an entry of a cache; a cache never fails a run.
fn entry(mut u: Unstructured<'_>) -> Result {
    static DIRECTORIES: [OnceLock<Mutex<Directory>>; 2] = [OnceLock::new(), OnceLock::new()];
    let few = Ok(Verdict::Skipped("few bytes"));
    let Ok(full) = u.arbitrary::<bool>() else { return few };
    let policy = if full { Policy::Full } else { Policy::Header };
    let directory = DIRECTORIES[usize::from(full)].get_or_init(|| Directory::new(policy).into());
    let directory = directory.lock().unwrap_or_else(|poison| poison.into_inner());
    let mut bytes = directory.whole.clone();
    if damage(&mut u, &mut bytes).is_err() {
        return few;
    }
    // As whoever writes to a cache does: files are replaced.
    let io = |error: std::io::Error| error.to_string();
    let new = directory.path.with_extension("new");
    std::fs::write(&new, &bytes).map_err(io)?;
    std::fs::rename(&new, &directory.path).map_err(io)?;
    let (module, report) = Module::new_reported(&directory.engine, ENTRY)
        .map_err(|error| format!("a cache failed a run: {error:#}"))?;
    look(&module).map_err(|error| format!("{error:#}"))?;
    let hit = matches!(report.outcome, Outcome::Hit { .. });
    if full && hit != (bytes == directory.whole) {
        return Err(format!("hit: {hit}, with {} bytes of {}", bytes.len(), directory.whole.len()));
    }
    if !hit {
        let mut store = Store::new(&directory.engine, ());
        let instance = Instance::new(&mut store, &module, &[]).map_err(|e| format!("{e:#}"))?;
        let f =
            instance.get_typed_func::<(), i32>(&mut store, "f").map_err(|e| format!("{e:#}"))?;
        if f.call(&mut store, ()).ok() != Some(i32::from(b't')) {
            return Err("what was compiled instead is another module".into());
        }
    }
    Ok(Verdict::Agreed)
}
