//! Modules whose bytes are not here, by digest and by name; and files that are given by their path.

use crate::cache::{entries, folder};
use crate::raw;
use precompile::cache::{
    DirCache, DirOptions, EntryInfo, Layers, LayersBuilder, MemoryCache, Mode, Names, Policy,
    SigningKey, TrustedKeys,
};
use precompile::*;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

fn text(number: u32) -> String {
    assert!((1 << 20..1 << 27).contains(&number), "an equally long constant");
    format!(r#"(module (func (export "f") (result i32) (i32.const {number})))"#)
}

const RIGHT: u32 = 0x123_4567;
const WRONG: u32 = 0x765_4321;

fn engine(layers: LayersBuilder) -> Engine {
    with(layers, |_| {})
}

fn with(layers: LayersBuilder, change: impl FnOnce(&mut Config)) -> Engine {
    let mut config = Config::new();
    config.cache(layers);
    change(&mut config);
    Engine::new(&config).unwrap()
}

fn call(module: &Module) -> u32 {
    let mut store = Store::new(module.engine(), ());
    let instance = Instance::new(&mut store, module, &[]).unwrap();
    let f = instance.get_typed_func::<(), i32>(&mut store, "f").unwrap();
    f.call(&mut store, ()).unwrap() as u32
}

/// An image with entries of both modules and their names, and their digests.
struct Image {
    dir: TempDir,
    right: [u8; 32],
    wrong: [u8; 32],
}

impl Image {
    fn new(key: Option<&Arc<SigningKey>>) -> Image {
        let dir = folder();
        let options = match key {
            Some(key) => DirOptions::new().sign_with(Arc::clone(key)),
            None => DirOptions::new(),
        };
        let image = options.open_image(dir.path()).unwrap();
        let maker = engine(Layers::builder().read_write_dir(image));
        let warm = |number| maker.warm(text(number)).unwrap().digest.unwrap();
        let (right, wrong) = (warm(RIGHT), warm(WRONG));
        let image = options.open_image(dir.path()).unwrap();
        image
            .update_names(|names| {
                names.insert("plugins/right", right)?;
                names.insert("plugins/wrong", wrong)?;
                names.insert("gone", [7; 32]).map(drop)
            })
            .unwrap();
        Image { dir, right, wrong }
    }

    fn layers(&self) -> LayersBuilder {
        Layers::builder().read_only(self.dir.path())
    }
}

/// What was asked for, and why it is not there.
#[track_caller]
fn missed(result: Result<Module>) -> (NotCached, Miss, String) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Miss, "{error:#}");
    let asked = error.downcast_ref::<NotCached>().unwrap().clone();
    (asked, error.downcast_ref::<Miss>().unwrap().clone(), format!("{error:#}"))
}

#[test]
fn a_module_by_its_digest_and_by_its_name() {
    let image = Image::new(None);
    for mode in [Mode::Auto, Mode::ReadOnly, Mode::RequireHit] {
        let engine = engine(image.layers().mode(mode));
        let (module, report) = Module::from_digest_reported(&engine, image.right).unwrap();
        assert_eq!((call(&module), module.digest()), (RIGHT, image.right));
        assert!(matches!(report.outcome, Outcome::Hit { .. }), "{:?}", report.outcome);
        assert_eq!(report.digest, Some(image.right));
        // It is the same module as by the bytes, and by the name.
        let (_, report) = Module::new_reported(&engine, text(RIGHT)).unwrap();
        assert_eq!(report.outcome, Outcome::Loaded);
        let (_, report) = Module::from_name_reported(&engine, "plugins/right").unwrap();
        assert_eq!(report.outcome, Outcome::Loaded);
        assert_eq!(call(&Module::from_name(&engine, "plugins/wrong").unwrap()), WRONG);
        assert_eq!(engine.compile_count(), 0);
        assert_eq!(engine.misses().total(), 0);
        assert_eq!(engine.resolve("plugins/wrong").unwrap(), image.wrong);
        let check = engine.check_digest(image.right);
        assert!(matches!(check.outcome, Outcome::Hit { .. }), "{:?}", check.outcome);
    }
}

#[test]
fn a_miss_says_what_was_asked_for_where_and_why() {
    let image = Image::new(None);
    let own = folder();
    let layers = || image.layers().read_write(own.path().join("cache"));
    let all = engine(layers());
    let (asked, miss, told) = missed(Module::from_digest(&all, [0xab; 32]));
    assert_eq!((asked.name, asked.digest, miss), (None, Some([0xab; 32]), Miss::Absent));
    let image_path = image.dir.path().display().to_string();
    assert_eq!(asked.layers[0], format!("layer 0 {image_path}"));
    assert!(asked.layers[1].starts_with("dir "), "{:?}", asked.layers);
    for part in ["abababab", &image_path, "no entry of this module"] {
        assert!(told.contains(part), "{told}");
    }
    let (asked, miss, _) = missed(Module::from_name(&all, "plugins/other"));
    assert_eq!((asked.name.as_deref(), asked.digest), (Some("plugins/other"), None));
    assert_eq!((miss.as_str(), miss), ("absent", Miss::Unnamed));
    let (asked, miss, _) = missed(Module::from_name(&all, "gone"));
    assert_eq!((asked.name.as_deref(), asked.digest), (Some("gone"), Some([7; 32])));
    assert_eq!(miss, Miss::Absent);
    assert_eq!(all.misses().of("absent"), 3);
    assert_eq!(all.cache_stats().unwrap().misses(), 3);
    // The nearest entry's first difference.
    let other = with(layers(), |config| _ = config.cranelift_opt_level(OptLevel::None));
    let (_, miss, told) = missed(Module::from_name(&other, "plugins/right"));
    assert_eq!(miss.as_str(), "setting");
    assert!(told.contains("opt-level is speed, this engine needs none"), "{told}");
    let explained = other.explain_digest(image.right);
    assert_eq!(explained.entries[0].differences[0].field, "opt-level");
    let check = other.check_digest(image.right);
    assert!(matches!(check.outcome, Outcome::Missed { miss: Miss::Differs(_) }));
    // Nothing was compiled, and nobody waits for somebody who compiles it.
    assert_eq!(other.compile_count(), 0);
    for (engine, layers) in [(Engine::default(), 0), (engine(layers().mode(Mode::Off)), 0)] {
        let (asked, miss, _) = missed(Module::from_digest(&engine, image.right));
        assert_eq!((asked.layers.len(), miss), (layers, Miss::Off));
        assert_eq!(missed(Module::from_name(&engine, "plugins/right")).1, Miss::Off);
    }
    // Code for others is not loaded here, whoever asks.
    let arm = if cfg!(target_arch = "aarch64") { "x86_64" } else { "aarch64" };
    let arm = with(layers(), |c| _ = c.target(&format!("{arm}-unknown-linux-gnu")).unwrap());
    let error = Module::from_digest(&arm, image.right).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn entries_are_checked_as_ever() {
    let image = Image::new(None);
    let path = |digest: &[u8; 32]| {
        let of = |path: &Path| {
            let info = EntryInfo::read(&File::open(path).unwrap(), path).unwrap();
            info.key.group() == digest
        };
        entries(image.dir.path()).into_iter().find(|path| of(path)).unwrap()
    };
    let (right, wrong) = (path(&image.right), path(&image.wrong));
    let good = fs::read(&right).unwrap();
    for place in (0..good.len()).step_by(97) {
        let mut bytes = good.clone();
        bytes[place] ^= 1;
        fs::write(&right, &bytes).unwrap();
        let (_, miss, _) = missed(Module::from_name(&engine(image.layers()), "plugins/right"));
        assert_eq!(miss, Miss::Corrupt, "byte {place}");
    }
    // Another module's whole entry; and its artifact in a good trailer of this one's key.
    fs::copy(&wrong, &right).unwrap();
    assert_eq!(missed(Module::from_digest(&engine(image.layers()), image.right)).1, Miss::Corrupt);
    let info = EntryInfo::read(&File::open(&wrong).unwrap(), &wrong).unwrap();
    let content = fs::read(&wrong).unwrap()[..info.content_length as usize].to_vec();
    fs::write(&right, &good).unwrap();
    let key = EntryInfo::read(&File::open(&right).unwrap(), &right).unwrap().key;
    let dir = DirCache::open_image(image.dir.path()).unwrap();
    let content = precompile::cache::Content::from_bytes(content);
    precompile::cache::Cache::add(&dir, &key, &content, b"").unwrap();
    assert_eq!(missed(Module::from_digest(&engine(image.layers()), image.right)).1, Miss::Corrupt);
}

#[test]
fn lists_that_cannot_be_used() {
    let image = Image::new(None);
    let list = image.dir.path().join("names");
    let good = fs::read_to_string(&list).unwrap();
    let refused = |reason: &str, part: &str| {
        let engine = engine(image.layers());
        let (asked, miss, told) = missed(Module::from_name(&engine, "plugins/right"));
        assert_eq!((miss.as_str(), asked.digest), (reason, None), "{told}");
        assert!(told.contains(part) && told.contains("names"), "{told}");
        assert_eq!(engine.misses().of(reason), 1);
        // By its digest, it is there.
        assert_eq!(call(&Module::from_digest(&engine, image.right).unwrap()), RIGHT);
    };
    fs::write(&list, &good[..good.len() - 3]).unwrap();
    refused("corrupt", "cut");
    fs::write(&list, good.replace("plugins/wrong", "plugins/right")).unwrap();
    refused("corrupt", "a name is there twice");
    fs::write(&list, good.replace("plugins/", "../")).unwrap();
    refused("corrupt", "`..`");
    fs::write(&list, good.replace("plugins/right\n", "plugins/right\0\n")).unwrap();
    refused("corrupt", "control character");
    File::create(&list).unwrap().set_len(65 << 20).unwrap();
    refused("corrupt", "longer than 64 MiB");
    fs::write(&list, &good).unwrap();
    fs::set_permissions(&list, fs::Permissions::from_mode(0o666)).unwrap();
    refused("untrusted", "lets group or others write");
    fs::remove_file(&list).unwrap();
    let (_, miss, _) = missed(Module::from_name(&engine(image.layers()), "plugins/right"));
    assert_eq!(miss, Miss::Unnamed);
}

#[test]
fn under_the_policy_signed_names_and_entries_need_signatures() {
    let key = Arc::new(SigningKey::generate("release-1").unwrap());
    let trusted = TrustedKeys::from(key.public_key());
    let image = Image::new(Some(&key));
    fs::set_permissions(image.dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let layers = || image.layers().policy(Policy::Signed).trusted_keys(trusted.clone());
    let right = |engine: &Engine| Module::from_name(engine, "plugins/right");
    assert_eq!(call(&right(&engine(layers())).unwrap()), RIGHT);
    // Somebody else's list sends the name elsewhere: with no signature, with that of another key, of
    // another purpose, and with the good one of the other list.
    let list = image.dir.path().join("names");
    let good = fs::read_to_string(&list).unwrap();
    let mut forged = Names::parse(good.as_bytes()).unwrap();
    assert_eq!(forged.verify(&trusted), Ok("release-1"));
    forged.insert("plugins/right", image.wrong).unwrap();
    let signature = good.lines().last().unwrap();
    let mut foreign = forged.clone();
    foreign.sign(&SigningKey::generate("release-1").unwrap());
    let purpose = key.sign("manifest", forged.to_string().as_bytes());
    let purpose: String = purpose.iter().map(|byte| format!("{byte:02x}")).collect();
    for text in [
        forged.to_string(),
        foreign.to_string(),
        format!("{forged}# signature {purpose}\n"),
        format!("{forged}{signature}\n"),
    ] {
        fs::write(&list, &text).unwrap();
        let engine = engine(layers());
        let (_, miss, told) = missed(right(&engine));
        assert!(matches!(miss, Miss::Untrusted(_)), "{told}");
        assert_eq!(engine.misses().of("untrusted"), 1);
    }
    // A good list, and the signed entry of another module where this one's belongs.
    fs::write(&list, &good).unwrap();
    let all = entries(image.dir.path());
    let read = |path: &Path| EntryInfo::read(&File::open(path).unwrap(), path).unwrap();
    let of = |digest| all.iter().find(|path| read(path).key.group() == &digest).unwrap();
    let (mine, other) = (of(image.right), of(image.wrong));
    let bytes = fs::read(mine).unwrap();
    fs::copy(other, mine).unwrap();
    assert_eq!(missed(right(&engine(layers()))).1, Miss::Corrupt);
    fs::write(mine, &bytes).unwrap();
    assert_eq!(call(&right(&engine(layers())).unwrap()), RIGHT);
}

/// The safe way to attach a store that anybody may write to.
#[test]
fn a_store_of_ones_own_is_safe_where_entries_are_signed() {
    let key = Arc::new(SigningKey::generate("release-1").unwrap());
    let store = Arc::new(MemoryCache::new());
    let maker = engine(Layers::builder().signed_read_write(store.clone()).sign_with(key.clone()));
    let digest = maker.warm(text(RIGHT)).unwrap().digest.unwrap();
    let layers = || Layers::builder().signed_read_only(store.clone());
    let engine_of = |layers: LayersBuilder| engine(layers.mode(Mode::RequireHit));
    let user = engine_of(layers().trusted_keys(key.public_key()));
    assert_eq!(call(&Module::from_digest(&user, digest).unwrap()), RIGHT);
    assert_eq!(call(&Module::new(&user, text(RIGHT)).unwrap()), RIGHT);
    // Without the key it is untrusted, and without the promise the unsafe way is shut.
    assert!(matches!(
        missed(Module::from_digest(&engine_of(layers()), digest)).1,
        Miss::Untrusted(_)
    ));
    let promise = precompile::cache::TrustAnyone::i_vouch_for_every_writer();
    let mut config = Config::new();
    config.cache(Layers::builder().dangerously_read_only(store, promise));
    let told = Engine::new(&config).unwrap_err().to_string();
    assert!(told.contains("cache_vouched"), "{told}");
}

/// Flipped bytes of a file that is named by its path are found, in an entry and in an artifact by
/// itself, and what is behind it is passed over.
#[test]
fn files_that_are_named_are_checked_whole() {
    let image = Image::new(None);
    let entry = entries(image.dir.path()).remove(0);
    let engine = Engine::default();
    let len = EntryInfo::read(&File::open(&entry).unwrap(), &entry).unwrap().content_length;
    let good = fs::read(&entry).unwrap();
    let memory = br#"(module (memory 1) (data (i32.const 1000) "data") (func (export "f")))"#;
    let alone = engine.precompile_module(memory).unwrap();
    let file = image.dir.path().join("file");
    for (bytes, len) in [(&good, len as usize), (&alone, alone.len())] {
        fs::write(&file, bytes).unwrap();
        raw::deserialize_file(&engine, &file).unwrap();
        // Each of the header, and of what takes longer to look at a part.
        for place in (0..1024).chain((1024..len).step_by(17)) {
            let mut bytes = bytes.clone();
            bytes[place] ^= 1 << (place % 8);
            fs::write(&file, &bytes).unwrap();
            let error = raw::deserialize_file(&engine, &file).unwrap_err();
            let kinds = [ErrorKind::Corrupt, ErrorKind::Incompatible];
            assert!(kinds.contains(&error.kind()), "byte {place}: {error:#}");
            assert!(error.to_string().contains("file"), "byte {place}: {error:#}");
        }
        for len in (0..len).step_by(61) {
            fs::write(&file, &bytes[..len]).unwrap();
            assert!(raw::deserialize_file(&engine, &file).is_err(), "length {len}");
        }
    }
}
