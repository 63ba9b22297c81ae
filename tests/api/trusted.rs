//! Entries that are damaged, tampered with, exchanged or changed while they are looked at: what
//! runs is always what the module says.

use crate::cache::{entries, folder};
use crate::child::{died_of, is_child, run as run_child};
use crate::raw;
use precompile::cache::{
    DirOptions, EntryInfo, Layers, LayersBuilder, Mode, Policy, SigningKey, TrustedKeys,
};
use precompile::*;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A module whose export `f` returns `number`. All of them are equally long, and so is their code.
fn text(number: u32) -> String {
    assert!((1 << 20..1 << 27).contains(&number), "an equally long constant");
    format!(r#"(module (func (export "f") (result i32) (i32.const {number})))"#)
}

const RIGHT: u32 = 0x123_4567;
const WRONG: u32 = 0x765_4321;

/// A folder in memory where there is one, since each of thousands of entries is synced.
fn quick_folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| folder())
}

fn engine(layers: LayersBuilder) -> Engine {
    let mut config = Config::new();
    config.cache(layers).parallel_compilation(false);
    Engine::new(&config).unwrap()
}

/// Calls `f` of a module that was loaded from the text.
fn run(engine: &Engine, number: u32) -> (u32, Report) {
    let (module, report) = Module::new_reported(engine, text(number)).unwrap();
    (call(&module), report)
}

fn call(module: &Module) -> u32 {
    let mut store = Store::new(module.engine(), ());
    let instance = Instance::new(&mut store, module, &[]).unwrap();
    let f = instance.get_typed_func::<(), i32>(&mut store, "f").unwrap();
    f.call(&mut store, ()).unwrap() as u32
}

/// The entry of the right module in `dir`, which is made.
fn make(dir: &Path) -> (PathBuf, Vec<u8>) {
    run(&engine(Layers::builder().read_write(dir)), RIGHT);
    let entry = entries(dir).remove(0);
    let bytes = fs::read(&entry).unwrap();
    (entry, bytes)
}

/// All ways to flip one byte of `good` and to cut it off.
fn damages(good: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> + '_ {
    let flipped = (0..good.len()).map(|place| {
        let mut bytes = good.to_vec();
        bytes[place] ^= 1 << (place % 8);
        (format!("byte {place}"), bytes)
    });
    flipped.chain((0..good.len()).map(|length| (format!("length {length}"), good[..length].into())))
}

fn is_right_and_replaced(policy: Policy) {
    let dir = quick_folder();
    let (entry, good) = make(dir.path());
    let layers = || Layers::builder().read_write(dir.path()).policy(policy);
    // All of them are refused; and of a part of them, which takes longer, all that follows.
    for (what, bytes) in damages(&good) {
        fs::write(&entry, &bytes).unwrap();
        let engine = engine(layers().mode(Mode::RequireHit));
        let error = Module::new(&engine, text(RIGHT)).expect_err(&what);
        assert_eq!(error.downcast_ref(), Some(&Miss::Corrupt), "{what}: {error:#}");
    }
    let engine = engine(layers());
    for (count, (what, bytes)) in (1..).zip(damages(&good).step_by(61)) {
        fs::write(&entry, &bytes).unwrap();
        let (result, report) = run(&engine, RIGHT);
        assert_eq!(result, RIGHT, "{what}");
        assert_eq!(report.outcome, Outcome::Compiled { miss: Some(Miss::Corrupt) }, "{what}");
        assert_eq!(report.add_failure, None, "{what}");
        assert_eq!(engine.compile_count(), count, "{what}");
        assert!(fs::read(&entry).unwrap() == good, "{what}: the entry is as it was");
    }
    let stats = engine.cache_stats().unwrap();
    assert_eq!(
        (stats.damaged, stats.misses_corrupt, stats.deletes),
        (stats.adds, stats.adds, stats.adds)
    );
}

#[test]
fn every_flipped_byte_and_every_length_by_auto() {
    is_right_and_replaced(Policy::Auto);
}

#[test]
fn every_flipped_byte_and_every_length_by_full() {
    is_right_and_replaced(Policy::Full);
}

/// A module that is longer than what is checked without a place to remember it: `f` adds up its
/// memory, and what other functions return. And that sum.
fn large() -> (Vec<u8>, u32) {
    const WORDS: u32 = 300_000;
    let word = |at: u32| at.wrapping_mul(0x9e37_79b9) ^ (at >> 3);
    let escaped = |at: u32| word(at).to_le_bytes().map(|byte| format!("\\{byte:02x}")).concat();
    let data: String = (0..WORDS).map(escaped).collect();
    let functions: String = (0..200_u32)
        .map(|at| format!("(func (result i32) (i32.const {}))", word(at) as i32))
        .collect();
    let calls: String = (0..200).map(|at| format!("(i32.add (call {at}))")).collect();
    let text = format!(
        r#"(module {functions} (memory 19) (data (i32.const 0) "{data}")
            (func (export "f") (result i32) (local i32 i32)
                (loop $more
                    (local.set 1 (i32.add (local.get 1) (i32.load (local.get 0))))
                    (local.set 0 (i32.add (local.get 0) (i32.const 4)))
                    (br_if $more (i32.lt_u (local.get 0) (i32.const {}))))
                (local.get 1) {calls}))"#,
        WORDS * 4
    );
    let all = (0..WORDS).chain(0..200).map(word);
    (wat::parse_str(text).unwrap(), all.fold(0, u32::wrapping_add))
}

/// A sample of the bytes and lengths of a large entry, which is remembered when the first is changed:
/// in a directory of one's own, and in one that is only read beside one of one's own.
#[test]
fn a_large_entry_is_right_wherever_it_is_damaged() {
    let dir = quick_folder();
    let (module, sum) = large();
    let go = |layers: LayersBuilder| {
        let engine = engine(layers);
        let (module, report) = Module::new_reported(&engine, &module).unwrap();
        (call(&module), report.outcome)
    };
    let image = dir.path().join("image");
    go(Layers::builder().read_write_dir(DirOptions::new().open_image(&image).unwrap()));
    let entry = entries(&image).remove(0);
    let good = fs::read(&entry).unwrap();
    assert!(good.len() > 1 << 20, "{}", good.len());
    let corrupt = Outcome::Compiled { miss: Some(Miss::Corrupt) };
    let builders: [(&str, &dyn Fn() -> LayersBuilder); 3] = [
        ("auto", &|| Layers::builder().read_write(&image)),
        ("full", &|| Layers::builder().read_write(&image).policy(Policy::Full)),
        ("auto, only read", &|| {
            let own = dir.path().join("own");
            _ = fs::remove_dir_all(&own);
            Layers::builder().read_only(&image).read_write(own)
        }),
    ];
    for (name, layers) in builders {
        if name == "auto" {
            thread::sleep(Duration::from_millis(3200));
        }
        // Twice, so that it is remembered where that is possible.
        for _ in 0..2 {
            let (result, outcome) = go(layers());
            assert!(result == sum && matches!(outcome, Outcome::Hit { .. }), "{outcome:?}");
        }
        let step = good.len() / if name == "auto" { 23 } else { 7 };
        let places = (0..good.len()).step_by(step).chain([4096, good.len() - 1]);
        for place in places {
            let file = File::options().write(true).open(&entry).unwrap();
            file.write_all_at(&[good[place] ^ 0x10], place as u64).unwrap();
            let (result, outcome) = go(layers());
            assert_eq!((result, &outcome), (sum, &corrupt), "{name}: byte {place}");
            if name == "auto, only read" {
                file.write_all_at(&[good[place]], place as u64).unwrap();
            } else {
                File::options().write(true).open(&entry).unwrap().set_len(place as u64).unwrap();
                let (result, outcome) = go(layers());
                assert_eq!((result, &outcome), (sum, &corrupt), "{name}: length {place}");
            }
            assert!(fs::read(&entry).unwrap() == good, "{name}: {place}: replaced");
        }
    }
}

/// The header policy does not read the content. What it then serves can be loaded and looked at
/// without harm; and who looks at all of it finds the damage.
#[test]
fn every_flipped_byte_and_every_length_by_header() {
    let dir = quick_folder();
    let (entry, good) = make(dir.path());
    let (mut served, mut refused) = (0, 0);
    for (what, bytes) in damages(&good) {
        fs::write(&entry, &bytes).unwrap();
        let file = File::open(&entry).unwrap();
        let is_whole = EntryInfo::read(&file, &entry).is_ok_and(|info| info.is_intact);
        assert!(!is_whole, "{what} is found");
        let layers = Layers::builder().read_write(dir.path()).policy(Policy::Header);
        let engine = engine(layers.mode(Mode::RequireHit));
        match Module::new(&engine, text(RIGHT)) {
            Ok(module) => {
                served += 1;
                module.exports().for_each(|export| drop(export.ty().to_string()));
                _ = module.imports().count();
                _ = module.serialize().unwrap();
                let mut store = Store::new(&engine, ());
                _ = Instance::new(&mut store, &module, &[]);
            }
            Err(error) => {
                refused += 1;
                assert_eq!(error.kind(), ErrorKind::Miss, "{what}: {error:#}");
            }
        }
    }
    // All of the headers and trailers is refused, and each cut.
    assert!(served > 0 && refused > good.len(), "{served} served, {refused} refused");
}

/// A directory where anybody may write with a signed entry of each of the two modules, and layers
/// that trust the signature. The second path is the wrong one's.
struct Signed {
    dir: TempDir,
    trusted: TrustedKeys,
    right: PathBuf,
    wrong: PathBuf,
}

impl Signed {
    fn new() -> Signed {
        let dir = quick_folder();
        let key = SigningKey::generate("test-1").unwrap();
        let trusted = key.public_key().into();
        let image = DirOptions::new().sign_with(key).open_image(dir.path()).unwrap();
        let engine = engine(Layers::builder().read_write_dir(image));
        let made = |number| {
            let before = entries(dir.path());
            assert_eq!(run(&engine, number).0, number);
            entries(dir.path()).into_iter().find(|entry| !before.contains(entry)).unwrap()
        };
        let (right, wrong) = (made(RIGHT), made(WRONG));
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        Signed { dir, trusted, right, wrong }
    }

    fn engine(&self) -> Engine {
        let layers = Layers::builder().policy(Policy::Signed).trusted_keys(self.trusted.clone());
        let engine = engine(layers.read_only(self.dir.path()));
        assert!(engine.cache_problems().is_empty());
        engine
    }
}

#[test]
fn signed_entries_run_from_where_anybody_may_write() {
    let signed = Signed::new();
    let engine = signed.engine();
    let (result, report) = run(&engine, RIGHT);
    assert!(matches!(report.outcome, Outcome::Hit { .. }), "{:?}", report.outcome);
    assert_eq!((result, engine.compile_count()), (RIGHT, 0));
    // It is a copy that runs: the file may go, or become shorter.
    let module = Module::new(&engine, text(WRONG)).unwrap();
    File::options().write(true).open(&signed.wrong).unwrap().set_len(0).unwrap();
    assert_eq!(call(&module), WRONG);
}

#[test]
fn what_no_trusted_key_signed_is_never_run() {
    let signed = Signed::new();
    let good = fs::read(&signed.right).unwrap();
    let wrong = fs::read(&signed.wrong).unwrap();
    assert_eq!(good.len(), wrong.len(), "so that one can stand in for the other");
    // The wrong code under the right trailer, whole entries under other names, no signature, and
    // one by somebody else.
    let content = EntryInfo::read(&File::open(&signed.right).unwrap(), &signed.right).unwrap();
    let content = content.content_length as usize;
    let mut forged = wrong.clone();
    forged[content..].copy_from_slice(&good[content..]);
    let other = folder();
    let foreign = {
        let key = SigningKey::generate("test-1").unwrap();
        let image = DirOptions::new().sign_with(key).open_image(other.path()).unwrap();
        run(&engine(Layers::builder().read_write_dir(image)), RIGHT);
        fs::read(entries(other.path()).remove(0)).unwrap()
    };
    let plain = folder();
    let (_, unsigned) = make(plain.path());
    for (what, bytes, word) in [
        ("forged", forged, "untrusted"),
        ("another module's", wrong, "corrupt"),
        ("foreign", foreign, "untrusted"),
        ("unsigned", unsigned, "untrusted"),
    ] {
        fs::write(&signed.right, bytes).unwrap();
        let engine = signed.engine();
        let (result, report) = run(&engine, RIGHT);
        let Outcome::Compiled { miss: Some(miss) } = report.outcome else { panic!("{what}") };
        assert_eq!((result, miss.as_str()), (RIGHT, word), "{what}");
        let stats = engine.cache_stats().unwrap();
        assert_eq!((stats.misses_untrusted + stats.misses_corrupt, stats.hits()), (1, 0), "{what}");
    }
}

/// Somebody writes the code of another module over the signed one all the time, in the hope that
/// the right one is checked and the wrong one mapped.
#[test]
fn a_writer_between_check_and_map_never_gets_its_code_run() {
    let signed = Signed::new();
    let good = fs::read(&signed.right).unwrap();
    let wrong = fs::read(&signed.wrong).unwrap();
    let (mut hits, mut misses) = (0_u32, 0_u32);
    thread::scope(|scope| {
        // Gone when this ends, however it ends: the writer ends then.
        let (alive, over) = mpsc::channel::<()>();
        let (signed, good, wrong) = (&signed, &good, &wrong);
        let writer = scope.spawn(move || {
            let file = File::options().write(true).open(&signed.right).unwrap();
            let mut round = 0_u64;
            while over.try_recv() == Err(TryRecvError::Empty) {
                for bytes in [wrong, good] {
                    file.write_all_at(bytes, 0).unwrap();
                    thread::sleep(Duration::from_micros(round * 7919 % 3000));
                    round += 1;
                }
            }
        });
        let start = Instant::now();
        while start.elapsed().as_secs() < if hits > 0 && misses > 0 { 3 } else { 60 } {
            let (result, report) = run(&signed.engine(), RIGHT);
            assert_eq!(result, RIGHT);
            match report.outcome {
                Outcome::Hit { .. } => hits += 1,
                _ => misses += 1,
            }
        }
        drop(alive);
        writer.join().unwrap();
    });
    assert!(hits > 0 && misses > 0, "both happened: {hits} hits, {misses} misses");
}

/// Who has an entry mapped keeps it, whatever takes its name.
#[test]
fn an_entry_that_is_replaced_or_deleted_runs_on() {
    let dir = folder();
    let (entry, good) = make(dir.path());
    let engine = engine(Layers::builder().read_write(dir.path()));
    let module = Module::new(&engine, text(RIGHT)).unwrap();
    for bytes in [&good[..], &[0; 10_000], b""] {
        let aside = dir.path().join("aside");
        fs::write(&aside, bytes).unwrap();
        fs::rename(&aside, &entry).unwrap();
        assert_eq!(call(&module), RIGHT);
    }
    fs::remove_file(&entry).unwrap();
    assert_eq!(call(&module), RIGHT);
}

/// Loads from a cache, cuts the entry off in place, and calls.
fn call_of_truncated(load: Load) -> u32 {
    let dir = folder();
    let (entry, _) = make(dir.path());
    let mut config = Config::new();
    config.cache(Layers::builder().read_write(dir.path())).load(load);
    let engine = Engine::new(&config).unwrap();
    let (module, report) = Module::new_reported(&engine, text(RIGHT)).unwrap();
    assert!(matches!(report.outcome, Outcome::Hit { .. }), "{:?}", report.outcome);
    eprintln!("the entry is {}", entry.display());
    File::options().write(true).open(&entry).unwrap().set_len(0).unwrap();
    raw::no_core();
    call(&module)
}

#[test]
fn a_mapped_entry_that_is_cut_off_in_place_is_named() {
    if is_child() {
        call_of_truncated(Load::Map);
        return;
    }
    let output = run_child("trusted::a_mapped_entry_that_is_cut_off_in_place_is_named");
    died_of(&output, libc::SIGABRT);
    let told = String::from_utf8_lossy(&output.stderr);
    let entry = told.lines().find_map(|line| line.strip_prefix("the entry is ")).unwrap();
    assert!(told.contains(&format!("{entry}` was shortened")), "{told}");
}

#[test]
fn a_copied_entry_that_is_cut_off_in_place_runs_on() {
    assert_eq!(call_of_truncated(Load::Copy), RIGHT);
}

/// The digest of a module's file is remembered, and no other module is taken for it.
#[test]
fn the_digest_of_a_file_is_remembered_until_it_changes() {
    let dir = folder();
    let (cache, file) = (dir.path().join("cache"), dir.path().join("module.wasm"));
    let module = |number| {
        let mut bytes = wat::parse_str(text(number)).unwrap();
        // A custom section that makes it longer than what is hashed at once.
        bytes.extend([0, 0xa5, 0x8d, 0x06, 4]);
        bytes.extend(*b"long");
        bytes.extend(vec![0; 100_000]);
        bytes
    };
    let load = |mode| {
        let engine = engine(Layers::builder().read_write(&cache).mode(mode));
        let (module, report) = Module::from_file_reported(&engine, &file).unwrap();
        (call(&module), report.digest.unwrap())
    };
    fs::write(&file, module(RIGHT)).unwrap();
    let (result, digest) = load(Mode::Auto);
    assert_eq!(result, RIGHT);
    thread::sleep(Duration::from_millis(3200));
    for _ in 0..3 {
        assert_eq!(load(Mode::Auto), (RIGHT, digest));
    }
    let is_remembered = || {
        let layers = Layers::builder().read_write(&cache).build();
        layers.file_memo(&File::open(&file).unwrap()).digest()
    };
    let supported = is_remembered() == Some(digest);
    // Other bytes, of the same length and with the same times.
    let before = fs::metadata(&file).unwrap();
    fs::write(&file, module(WRONG)).unwrap();
    File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(before.modified().unwrap())
        .unwrap();
    let after = fs::metadata(&file).unwrap();
    assert_eq!(
        (after.len(), after.mtime(), after.mtime_nsec(), after.ino()),
        (before.len(), before.mtime(), before.mtime_nsec(), before.ino())
    );
    assert_eq!(is_remembered(), None);
    assert_eq!(load(Mode::Auto).0, WRONG);
    thread::sleep(Duration::from_millis(3200));
    let (result, other) = load(Mode::RequireHit);
    assert!(result == WRONG && other != digest);
    if !supported {
        eprintln!("note: on this file system nothing is remembered");
    }
}
