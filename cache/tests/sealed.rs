//! An implementation of one's own that nobody is trusted with: what it returns may be anything.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{self, TryRecvError};
use std::sync::{Arc, Mutex};
use std::thread;

use precompile_cache::{
    Cache, Content, DirCache, DirOptions, EntryInfo, ErrorKind, Key, Layers, LayersBuilder,
    MemoryCache, MissReason, Outcome, Result, Sibling, SigningKey, TrustAnyone,
};

const CONTENT: &[u8] = b"the content of an entry";

fn key(id: u8) -> Key {
    Key::new([1; 32], [id; 32])
}

/// Returns the same for whatever is asked.
struct Liar(Mutex<Content>);

impl Liar {
    fn new(bytes: &[u8]) -> Arc<Liar> {
        Arc::new(Liar(Mutex::new(Content::from_bytes(bytes))))
    }
}

impl Cache for Liar {
    fn get(&self, _: &Key) -> Result<Option<Content>> {
        Ok(Some(self.0.lock().unwrap().clone()))
    }

    fn add(&self, _: &Key, _: &Content, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn delete(&self, _: &Key) -> Result<()> {
        Ok(())
    }

    fn siblings(&self, _: &[u8; 32]) -> Result<Vec<Sibling>> {
        Ok((0..9).map(|id| Sibling::new([id; 32], *b"a lie")).collect())
    }

    fn resolve(&self, _: &str) -> Result<Option<[u8; 32]>> {
        Ok(Some([1; 32]))
    }
}

#[test]
fn what_is_copied_up_is_described_by_what_was_signed() {
    let signer = signer();
    let folder = tempfile::tempdir().unwrap();
    let own = DirCache::open(folder.path()).unwrap();
    let store = Liar::new(&entry(1, CONTENT, &signer));
    let layers = Layers::builder().read_write(folder.path()).signed_below(store.clone());
    let layers = layers.trusted_keys(signer.public_key()).build();
    assert!(layers.lookup(&key(1)).is_hit());
    assert_eq!(layers.stats().backfills, 1);
    assert_eq!(own.siblings(&[1; 32]).unwrap(), [Sibling::new([1; 32], *b"description")]);
    // One that somebody vouches for has no trailer, and is asked.
    own.delete(&key(1)).unwrap();
    *store.0.lock().unwrap() = Content::from_bytes(CONTENT);
    let promise = TrustAnyone::i_vouch_for_every_writer();
    let layers = Layers::builder().read_write(folder.path()).dangerously_below(store, promise);
    assert!(layers.build().lookup(&key(1)).is_hit());
    assert_eq!(own.siblings(&[1; 32]).unwrap(), [Sibling::new([1; 32], *b"a lie")]);
}

/// An entry as a signed directory has it in its file.
fn entry(id: u8, content: &[u8], signer: &Arc<SigningKey>) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let options = DirOptions::new().sign_with(Arc::clone(signer));
    let dir = options.open_image(folder.path()).unwrap();
    dir.add(&key(id), &Content::from_bytes(content), b"description").unwrap();
    std::fs::read(dir.entry_path(&key(id))).unwrap()
}

fn signer() -> Arc<SigningKey> {
    Arc::new(SigningKey::generate("release-1").unwrap())
}

fn look(layers: LayersBuilder, signer: &SigningKey) -> Result<Vec<u8>, MissReason> {
    let layers = layers.trusted_keys(signer.public_key()).build();
    assert!(!layers.is_vouched());
    match layers.lookup(&key(1)).outcome {
        Outcome::Hit { content, .. } => Ok(content.to_vec().unwrap()),
        Outcome::Miss(reason) => Err(reason),
    }
}

#[test]
fn only_what_a_trusted_key_signed_for_this_key() {
    let signer = signer();
    let good = entry(1, CONTENT, &signer);
    let asked = |bytes: &[u8]| look(Layers::builder().signed_read_only(Liar::new(bytes)), &signer);
    assert_eq!(asked(&good).as_deref(), Ok(CONTENT));
    for place in 0..good.len() {
        let mut bytes = good.clone();
        bytes[place] ^= 1;
        assert!(asked(&bytes).is_err(), "byte {place}");
        assert!(asked(&good[..place]).is_err(), "length {place}");
    }
    let mut bytes = good.clone();
    bytes[0] ^= 1;
    assert_eq!(asked(&bytes), Err(MissReason::Untrusted));
    assert_eq!(asked(&entry(2, CONTENT, &signer)), Err(MissReason::Corrupt), "of another key");
    let other = Arc::new(SigningKey::generate("other-1").unwrap());
    assert_eq!(asked(&entry(1, CONTENT, &other)), Err(MissReason::Untrusted));
    assert_eq!(asked(&[&good[..], b"x"].concat()), Err(MissReason::Corrupt));
    // Names have no signature there.
    let layers = Layers::builder().signed_read_only(Liar::new(&good)).build();
    assert_eq!(layers.resolve("a").outcome, Err(MissReason::Absent));
}

#[test]
fn a_file_that_changes_is_never_served() {
    let signer = signer();
    let (right, wrong) = (vec![1; 1 << 20], vec![2; 1 << 20]);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&entry(1, &right, &signer)).unwrap();
    let len = file.metadata().unwrap().len();
    let liar = Liar::new(b"");
    *liar.0.lock().unwrap() = Content::from_file(file.try_clone().unwrap(), len);
    thread::scope(|scope| {
        // Gone when this ends, however it ends: the writer ends then.
        let (alive, over) = mpsc::channel::<()>();
        let (file, right, wrong) = (&file, &right, &wrong);
        scope.spawn(move || {
            while over.try_recv() == Err(TryRecvError::Empty) {
                file.write_all_at(wrong, 0).unwrap();
                file.write_all_at(right, 0).unwrap();
            }
        });
        for _ in 0..100 {
            let looked = look(Layers::builder().signed_read_only(liar.clone()), &signer);
            assert!(looked.is_err() || looked == Ok(right.clone()));
        }
        drop(alive);
    });
    // A private copy does not change any more.
    let layers = Layers::builder().signed_read_only(liar).trusted_keys(signer.public_key()).build();
    let content = layers.lookup(&key(1)).into_content().unwrap();
    file.write_all_at(&wrong, 0).unwrap();
    assert!(content.to_vec().unwrap() == right);
}

#[test]
fn it_is_written_with_a_key_only() {
    let (signer, store) = (signer(), Arc::new(MemoryCache::new()));
    let layers = || Layers::builder().signed_read_write(store.clone());
    let content = Content::from_bytes(CONTENT);
    let error = layers().build().publish(&key(1), &content, b"description").unwrap();
    assert!(matches!(error.kind(), ErrorKind::Untrusted { .. }), "{error}");
    assert!(store.get(&key(1)).unwrap().is_none());
    let writer = layers().sign_with(Arc::clone(&signer)).build();
    assert!(writer.publish(&key(1), &content, b"description").is_none());
    assert_eq!(look(layers(), &signer).as_deref(), Ok(CONTENT));
    assert_eq!(writer.siblings(&[1; 32])[0].1.description, b"description");
    let kept = store.get(&key(1)).unwrap().unwrap().to_vec().unwrap();
    assert!(kept == entry(1, CONTENT, &signer), "the bytes of an entry file");
    // From below, it is copied up.
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own");
    let below = || Layers::builder().read_write(&own).signed_below(store.clone());
    assert_eq!(look(below(), &signer).as_deref(), Ok(CONTENT));
    assert!(DirCache::open(&own).unwrap().get(&key(1)).unwrap().is_some());
}

#[test]
fn a_copy_between_directories_keeps_its_signature() {
    let (signer, folder) = (signer(), tempfile::tempdir().unwrap());
    let from = folder.path().join("from");
    let from = DirOptions::new().sign_with(Arc::clone(&signer)).open(from).unwrap();
    from.add(&key(1), &Content::from_bytes(CONTENT), b"description").unwrap();
    let to = DirCache::open_image(folder.path().join("to")).unwrap();
    to.copy_from(&from, &key(1)).unwrap();
    assert!(to.copy_from(&from, &key(2)).unwrap_err().is_missing());
    let bytes = |dir: &DirCache| std::fs::read(dir.entry_path(&key(1))).unwrap();
    assert!(bytes(&to) == bytes(&from));
    // What signs by itself does.
    let other = Arc::new(SigningKey::generate("other-1").unwrap());
    let again = DirOptions::new().sign_with(other).open_image(folder.path().join("again")).unwrap();
    again.copy_from(&from, &key(1)).unwrap();
    let path = again.entry_path(&key(1));
    let info = EntryInfo::read(&File::open(&path).unwrap(), &path).unwrap();
    assert_eq!((info.signer(), &*info.description), (Some("other-1"), &b"description"[..]));
    // Damage is not copied.
    let mut damaged = bytes(&from);
    damaged[3] ^= 1;
    std::fs::write(from.entry_path(&key(1)), damaged).unwrap();
    assert!(to.copy_from(&from, &key(1)).unwrap_err().is_corrupt());
    assert_eq!(to.get(&key(1)).unwrap().unwrap().to_vec().unwrap(), CONTENT);
}
