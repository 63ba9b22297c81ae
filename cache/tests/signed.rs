//! Entries in directories where anybody may write: only what a trusted key signed is served, and
//! only as it was signed.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, TryRecvError};
use std::thread;

use precompile_cache::{
    Cache, Content, DirCache, DirOptions, EntryInfo, Key, LayerId, Layers, MissReason, Mode,
    Outcome, Policy, SigningKey, TrustedKeys,
};
use tempfile::TempDir;

const CONTENT: &[u8] = b"the content of a small entry";

fn key(id: u8) -> Key {
    Key::new([1; 32], [id; 32])
}

/// A directory where anybody may write, with a signed entry, and who trusts it.
struct Fixture {
    folder: TempDir,
    signer: SigningKey,
    entry: PathBuf,
    good: Vec<u8>,
}

impl Fixture {
    fn with(content: &[u8]) -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let signer = SigningKey::generate("release-1").unwrap();
        let image = folder.path().join("image");
        let again = SigningKey::parse(&signer.to_secret_text()).unwrap();
        let cache = DirOptions::new().sign_with(again).open_image(&image).unwrap();
        cache.add(&key(1), &Content::from_bytes(content), b"description").unwrap();
        let entry = cache.entry_path(&key(1));
        drop(cache);
        for path in [&image, entry.parent().unwrap(), &entry] {
            fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
            // Only root can give it away.
            _ = chown(path, Some(12345), None);
        }
        Fixture { folder, signer, good: fs::read(&entry).unwrap(), entry }
    }

    fn new() -> Fixture {
        Fixture::with(CONTENT)
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    fn trusted(&self) -> TrustedKeys {
        self.signer.public_key().into()
    }

    fn open(&self) -> DirCache {
        let options = DirOptions::new().policy(Policy::Signed).trusted_keys(self.trusted());
        options.open_read_only(self.image()).unwrap()
    }

    fn served(&self) -> Option<Vec<u8>> {
        let layers = Layers::builder().read_only_dir(self.open()).build();
        assert!(!layers.is_vouched());
        match layers.lookup(&key(1)).outcome {
            Outcome::Hit { content, .. } => Some(content.to_vec().unwrap()),
            Outcome::Miss(reason) => {
                assert!(matches!(reason, MissReason::Untrusted | MissReason::Corrupt), "{reason}");
                None
            }
        }
    }

    #[track_caller]
    fn is_untrusted(&self, what: &str) {
        let error = self.open().get(&key(1)).unwrap_err();
        assert!(error.is_untrusted() && error.to_string().contains(what), "{error}");
        assert_eq!(error.path().unwrap().file_name(), self.entry.file_name());
    }

    /// Replaces the entry by one that is not signed, or by this key.
    fn put(&self, content: &[u8], with: Option<SigningKey>) {
        let folder = tempfile::tempdir().unwrap();
        let options = with.map_or(DirOptions::new(), |key| DirOptions::new().sign_with(key));
        let cache = options.open(folder.path()).unwrap();
        cache.add(&key(1), &Content::from_bytes(content), b"description").unwrap();
        fs::copy(cache.entry_path(&key(1)), &self.entry).unwrap();
    }
}

#[test]
fn whoever_may_write_there() {
    let fixture = Fixture::new();
    let error = DirCache::open_read_only(fixture.image()).unwrap_err();
    assert!(error.is_untrusted(), "under any other policy it is refused");
    assert_eq!(fixture.served().as_deref(), Some(CONTENT));
    let info = EntryInfo::read(&File::open(&fixture.entry).unwrap(), &fixture.entry).unwrap();
    assert_eq!((info.signer(), info.is_intact), (Some("release-1"), true));
    // The signature does not get in the way of those who do not ask for it.
    let layers = Layers::builder().policy(Policy::Signed).trusted_keys(fixture.trusted());
    let layers = layers.read_only(fixture.image()).try_build().unwrap();
    assert!(layers.lookup(&key(1)).is_hit());
    assert_eq!(layers.lookup(&key(2)).miss_reason(), Some(MissReason::Absent));
}

#[test]
fn missing_foreign_and_wrong_signatures() {
    let fixture = Fixture::new();
    fixture.put(CONTENT, None);
    fixture.is_untrusted("it is not signed");
    fixture.put(CONTENT, Some(SigningKey::generate("release-2").unwrap()));
    fixture.is_untrusted("signed by release-2, which is no trusted key");
    fixture.put(CONTENT, Some(SigningKey::generate("release-1").unwrap()));
    fixture.is_untrusted("its signature by release-1 does not hold");
    // Other content under a good trailer.
    let mut bytes = fixture.good.clone();
    bytes[3] ^= 1;
    fs::write(&fixture.entry, bytes).unwrap();
    fixture.is_untrusted("its content is not what release-1 signed");
    // Nobody is trusted: nothing is.
    fs::write(&fixture.entry, &fixture.good).unwrap();
    let options = DirOptions::new().policy(Policy::Signed);
    let cache = options.open_read_only(fixture.image()).unwrap();
    assert!(cache.get(&key(1)).unwrap_err().is_untrusted());
    assert!(fixture.served().is_some());
}

#[test]
fn each_flipped_byte_and_each_length() {
    let fixture = Fixture::new();
    for place in 0..fixture.good.len() {
        for bit in [0x01, 0x80, 0xff] {
            let mut bytes = fixture.good.clone();
            bytes[place] ^= bit;
            fs::write(&fixture.entry, &bytes).unwrap();
            assert_eq!(fixture.served(), None, "byte {place}");
        }
        fs::write(&fixture.entry, &fixture.good[..place]).unwrap();
        assert_eq!(fixture.served(), None, "length {place}");
    }
    fs::write(&fixture.entry, [&fixture.good[..], b"more"].concat()).unwrap();
    assert_eq!(fixture.served(), None);
    File::create(&fixture.entry).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(fixture.served(), None, "a hole is not copied");
}

/// Signed, whole, and not what was asked for.
#[test]
fn an_entry_of_another_name() {
    let fixture = Fixture::new();
    let folder = tempfile::tempdir().unwrap();
    let again = SigningKey::parse(&fixture.signer.to_secret_text()).unwrap();
    let cache = DirOptions::new().sign_with(again).open(folder.path()).unwrap();
    for other in [key(2), Key::new([9; 32], [1; 32])] {
        cache.add(&other, &Content::from_bytes(&b"other"[..]), b"").unwrap();
        let signed = fs::read(cache.entry_path(&other)).unwrap();
        fs::write(&fixture.entry, &signed).unwrap();
        assert_eq!(fixture.served(), None);
        // With the right name written into it and its digest put right, the signature is wrong.
        let footer = signed.len() - 160;
        let mut forged = signed;
        forged[footer + 32..footer + 64].copy_from_slice(key(1).group());
        forged[footer + 64..footer + 96].copy_from_slice(key(1).id());
        let signature = forged[footer - 75..footer].to_vec();
        let digest = {
            use sha2::{Digest, Sha256};
            let hash = Sha256::new().chain_update(&forged[footer..footer + 128]);
            hash.chain_update(signature).finalize()
        };
        forged[footer + 128..].copy_from_slice(&digest);
        fs::write(&fixture.entry, &forged).unwrap();
        fixture.is_untrusted("its signature by release-1 does not hold");
    }
}

#[test]
fn what_is_served_is_a_copy_that_nobody_changes() {
    let fixture = Fixture::with(&[7; 300_000]);
    let content = fixture.open().get(&key(1)).unwrap().unwrap();
    let file = File::options().write(true).open(&fixture.entry).unwrap();
    file.write_all_at(&[8; 300_000], 0).unwrap();
    file.set_len(10).unwrap();
    assert!(content.to_vec().unwrap() == [7; 300_000], "it was copied");
    if let Some(copy) = content.as_file() {
        assert!(copy.write_all_at(b"8", 0).is_err(), "and is sealed");
        assert!(copy.set_len(0).is_err());
        assert_eq!(copy.metadata().unwrap().len(), 300_000, "without what is behind the content");
    }
}

/// Somebody exchanges the bytes all the time, in the hope that the good ones are checked and the
/// others used.
#[test]
fn a_writer_between_check_and_use() {
    let length = 2_000_000;
    let fixture = Fixture::with(&vec![7; length]);
    let (mut hits, mut misses) = (0, 0);
    thread::scope(|scope| {
        // Gone when this ends, however it ends: the writer ends then.
        let (alive, over) = mpsc::channel::<()>();
        let fixture = &fixture;
        let writer = scope.spawn(move || {
            let file = File::options().write(true).open(&fixture.entry).unwrap();
            let mut round = 0_u64;
            while over.try_recv() == Err(TryRecvError::Empty) {
                // From the front and from the back, by little and by much, and rarely not at all.
                let place = (round * 77_777) % length as u64;
                let count = [1, 5_000, 200_000][round as usize % 3].min(length as u64 - place);
                file.write_all_at(&vec![8; count as usize], place).unwrap();
                // Bad for a while, then good for a while, or good at once.
                let pause = || thread::sleep(std::time::Duration::from_millis(round % 23));
                if round.is_multiple_of(2) {
                    pause();
                }
                file.write_all_at(&fixture.good, 0).unwrap();
                if round.is_multiple_of(3) {
                    pause();
                }
                round += 1;
            }
        });
        let cache = fixture.open();
        let start = std::time::Instant::now();
        let both = |hits, misses| hits > 0 && misses > 0;
        while start.elapsed().as_secs() < if both(hits, misses) { 3 } else { 60 } {
            match cache.get(&key(1)) {
                Ok(Some(content)) => {
                    hits += 1;
                    for _ in 0..2 {
                        assert!(content.to_vec().unwrap().iter().all(|byte| *byte == 7));
                    }
                }
                Ok(None) => panic!("it is there all the time"),
                Err(error) => {
                    assert!(error.is_untrusted() || error.is_corrupt(), "{error}");
                    misses += 1;
                }
            }
        }
        drop(alive);
        writer.join().unwrap();
    });
    assert!(hits > 0 && misses > 0, "both happened: {hits} hits, {misses} misses");
}

#[test]
fn signing_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let signer = SigningKey::generate("release-1").unwrap();
    let cache = DirCache::open_image(folder.path()).unwrap();
    for id in 1..4 {
        cache.add(&key(id), &Content::from_bytes(CONTENT), b"description").unwrap();
    }
    fs::write(folder.path().join("README"), "text").unwrap();
    assert_eq!(cache.keys().unwrap(), [key(1), key(2), key(3)]);
    let before = fs::read(cache.entry_path(&key(1))).unwrap();
    for key in cache.keys().unwrap() {
        assert!(cache.sign(&key, &signer).unwrap());
        assert!(!cache.sign(&key, &signer).unwrap(), "once is enough");
    }
    let after = fs::read(cache.entry_path(&key(1))).unwrap();
    assert!(after[..CONTENT.len()] == before[..CONTENT.len()] && after.len() > before.len());
    let mode = fs::metadata(cache.entry_path(&key(1))).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o644);
    let siblings = cache.siblings(&[1; 32]).unwrap();
    assert!(siblings.iter().all(|sibling| sibling.description == b"description"));
    let keys = TrustedKeys::from(signer.public_key());
    let options = DirOptions::new().policy(Policy::Signed).trusted_keys(keys);
    let reader = options.open_read_only(folder.path()).unwrap();
    assert_eq!(reader.get(&key(2)).unwrap().unwrap().to_vec().unwrap(), CONTENT);
    // The next key takes the place of the first.
    let next = SigningKey::generate("release-2").unwrap();
    assert!(cache.sign(&key(2), &next).unwrap());
    assert!(reader.get(&key(2)).unwrap_err().is_untrusted());
    // The same signature as when it is added with the key.
    assert!(cache.sign(&key(2), &signer).unwrap());
    let again = SigningKey::parse(&signer.to_secret_text()).unwrap();
    let other = tempfile::tempdir().unwrap();
    let other = DirOptions::new().sign_with(again).open_image(other.path()).unwrap();
    other.add(&key(2), &Content::from_bytes(CONTENT), b"description").unwrap();
    let one = fs::read(cache.entry_path(&key(2))).unwrap();
    assert!(one == fs::read(other.entry_path(&key(2))).unwrap());
    // What is damaged, absent or somebody else's is not signed.
    let mut bytes = one;
    bytes[0] ^= 1;
    fs::write(cache.entry_path(&key(2)), &bytes).unwrap();
    assert!(cache.sign(&key(2), &signer).unwrap_err().is_corrupt());
    assert!(cache.sign(&key(7), &signer).unwrap_err().is_missing());
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    let open = DirCache::open_image(folder.path()).unwrap();
    assert!(open.sign(&key(1), &next).unwrap_err().is_untrusted());
}

/// Or it would be believed from then on.
#[test]
fn what_anybody_may_have_written_is_neither_signed_nor_copied() {
    let fixture = Fixture::new();
    let own = DirCache::open(fixture.folder.path().join("own")).unwrap();
    own.add(&key(2), &Content::from_bytes(CONTENT), b"description").unwrap();
    let unsigned = own.entry_path(&key(2));
    fs::copy(&unsigned, fixture.entry.with_file_name(unsigned.file_name().unwrap())).unwrap();
    own.delete(&key(2)).unwrap();
    let options = DirOptions::new().policy(Policy::Signed).trusted_keys(fixture.trusted());
    let open = options.open(fixture.image()).unwrap();
    own.copy_from(&open, &key(1)).unwrap();
    assert!(own.copy_from(&open, &key(2)).unwrap_err().is_untrusted());
    assert!(own.get(&key(1)).unwrap().is_some() && own.get(&key(2)).unwrap().is_none());
    assert!(open.sign(&key(2), &fixture.signer).unwrap_err().is_untrusted());
}

#[test]
fn what_this_user_makes_needs_no_signature_unless_it_is_asked_for() {
    let fixture = Fixture::new();
    let rw = fixture.folder.path().join("rw");
    let builder = || Layers::builder().policy(Policy::Signed).trusted_keys(fixture.trusted());
    let layers = builder().read_only(fixture.image()).read_write(&rw).build();
    assert!(layers.publish(&key(2), &Content::from_bytes(CONTENT), b"").is_none());
    assert!(layers.lookup(&key(2)).is_hit());
    assert!(matches!(
        layers.lookup(&key(1)).outcome,
        Outcome::Hit { layer: LayerId::Layer(0), .. }
    ));
    // A directory that is opened for signed entries takes none without.
    let options = || DirOptions::new().policy(Policy::Signed).trusted_keys(fixture.trusted());
    let strict = |options: DirOptions| builder().read_write_dir(options.open(&rw).unwrap()).build();
    let layers = strict(options());
    assert_eq!(layers.lookup(&key(2)).miss_reason(), Some(MissReason::Untrusted));
    assert_eq!(layers.stats().misses_untrusted, 1);
    let again = SigningKey::parse(&fixture.signer.to_secret_text()).unwrap();
    let layers = strict(options().sign_with(again));
    assert!(layers.publish(&key(2), &Content::from_bytes(CONTENT), b"").is_none());
    assert!(layers.lookup(&key(2)).is_hit());
    // One where others write is not this user's own: it is read, with signatures.
    let layers = builder().read_write(fixture.image()).build();
    assert!(layers.problems()[0].error.is_untrusted());
    assert!(layers.lookup(&key(1)).is_hit());
    assert!(layers.write_path().is_none());
    let layers = builder().read_write(fixture.image()).mode(Mode::ReadOnly).build();
    assert_eq!(layers.lookup(&key(1)).is_hit(), fixture.served().is_some());
}

fn tree(path: &Path) -> usize {
    let entries = fs::read_dir(path).into_iter().flatten();
    entries.map(|entry| 1 + tree(&entry.unwrap().path())).sum()
}

#[test]
fn a_signed_layer_below_is_copied_up_and_then_own() {
    let fixture = Fixture::with(&[7; 200_000]);
    let rw = fixture.folder.path().join("rw");
    let before = tree(&fixture.image());
    let build = || {
        let layers = Layers::builder().policy(Policy::Signed).trusted_keys(fixture.trusted());
        layers.read_write(&rw).below(fixture.image())
    };
    for backfill in [false, true] {
        let layers = build().backfill(backfill).build();
        let found = layers.lookup(&key(1)).outcome;
        assert!(matches!(found, Outcome::Hit { layer: LayerId::Layer(0), .. }));
        assert_eq!(layers.stats().backfills, u64::from(backfill));
        let layer =
            matches!(layers.lookup(&key(1)).outcome, Outcome::Hit { layer: LayerId::Dir, .. });
        assert_eq!(layer, backfill);
    }
    assert_eq!(layers_siblings(&build().build()), [&b"description"[..]; 2]);
    assert_eq!(tree(&fixture.image()), before, "nothing is written there");
    // What is tampered with is not copied.
    fs::remove_dir_all(&rw).unwrap();
    let mut bytes = fixture.good.clone();
    bytes[100_000] ^= 1;
    fs::write(&fixture.entry, bytes).unwrap();
    let layers = build().build();
    assert_eq!(layers.lookup(&key(1)).miss_reason(), Some(MissReason::Untrusted));
    assert_eq!((layers.stats().backfills, layers.stats().misses_untrusted), (0, 1));
}

fn layers_siblings(layers: &Layers) -> Vec<Vec<u8>> {
    let siblings = layers.siblings(&[1; 32]).into_iter();
    siblings.map(|(_, sibling)| sibling.description).collect()
}
