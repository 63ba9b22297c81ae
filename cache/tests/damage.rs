//! Whatever is in the place of an entry: never served wrongly, never a hang, and never in the way
//! of a new one.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use precompile_cache::{Cache, Content, DirCache, DirOptions, ErrorKind, Key, Policy};
use tempfile::TempDir;

const CONTENT: &[u8] = b"the content of a small entry";

struct Fixture {
    folder: TempDir,
    key: Key,
    entry: PathBuf,
    good: Vec<u8>,
}

impl Fixture {
    fn new() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let key = Key::new([1; 32], [2; 32]);
        let cache = DirCache::open(folder.path()).unwrap();
        cache.add(&key, &Content::from_bytes(CONTENT), b"description").unwrap();
        let entry = cache.entry_path(&key);
        let good = fs::read(&entry).unwrap();
        Fixture { folder, key, entry, good }
    }

    fn open(&self, policy: Policy) -> DirCache {
        DirOptions::new().policy(policy).open(self.folder.path()).unwrap()
    }

    /// Removes whatever is in the place of the entry.
    fn clear(&self) {
        let is_dir = fs::symlink_metadata(&self.entry).is_ok_and(|metadata| metadata.is_dir());
        if is_dir { fs::remove_dir(&self.entry) } else { fs::remove_file(&self.entry) }.unwrap();
    }

    #[track_caller]
    fn is_corrupt(&self, cache: &DirCache) {
        let error = cache.get(&self.key).expect_err("it is not served");
        assert!(error.is_corrupt(), "{error}");
        assert_eq!(error.path(), Some(cache.entry_path(&self.key).as_path()));
    }

    /// What is there is refused, can be replaced, and can be deleted.
    #[track_caller]
    fn is_refused_and_heals(&self, put: impl Fn(&Path)) {
        for policy in [Policy::Header, Policy::Auto, Policy::Full] {
            let cache = self.open(policy);
            self.clear();
            put(&self.entry);
            cache.get(&self.key).expect_err("it is not served");
            assert!(cache.siblings(self.key.group()).unwrap().is_empty());
            cache.add(&self.key, &Content::from_bytes(CONTENT), b"description").unwrap();
            assert_eq!(cache.get(&self.key).unwrap().unwrap().to_vec().unwrap(), CONTENT);
            self.clear();
            put(&self.entry);
            cache.delete(&self.key).unwrap();
            assert!(cache.get(&self.key).unwrap().is_none());
            put(&self.entry);
        }
    }
}

#[test]
fn each_flipped_bit() {
    let fixture = Fixture::new();
    let full = fixture.open(Policy::Full);
    let auto = fixture.open(Policy::Auto);
    let header = fixture.open(Policy::Header);
    for place in 0..fixture.good.len() {
        for bit in [0x01, 0x80, 0xff] {
            let mut bytes = fixture.good.clone();
            bytes[place] ^= bit;
            fs::write(&fixture.entry, &bytes).unwrap();
            fixture.is_corrupt(&full);
            fixture.is_corrupt(&auto);
            if place >= CONTENT.len() {
                fixture.is_corrupt(&header);
            } else {
                // The header policy does not read the content: it is served, and it is as long.
                assert_eq!(header.get(&fixture.key).unwrap().unwrap().len(), CONTENT.len() as u64);
            }
        }
    }
}

#[test]
fn cut_at_each_length_and_longer() {
    let fixture = Fixture::new();
    for policy in [Policy::Full, Policy::Auto, Policy::Header] {
        let cache = fixture.open(policy);
        for length in 0..fixture.good.len() {
            fs::write(&fixture.entry, &fixture.good[..length]).unwrap();
            fixture.is_corrupt(&cache);
            // Cut at the front: the trailer is good, what it says is not.
            fs::write(&fixture.entry, &fixture.good[fixture.good.len() - length..]).unwrap();
            fixture.is_corrupt(&cache);
        }
        for more in [1, 160, 5000] {
            let mut bytes = fixture.good.clone();
            bytes.resize(bytes.len() + more, 0);
            fs::write(&fixture.entry, &bytes).unwrap();
            fixture.is_corrupt(&cache);
            let mut bytes = vec![0; more];
            bytes.extend(&fixture.good);
            fs::write(&fixture.entry, &bytes).unwrap();
            fixture.is_corrupt(&cache);
        }
        // A hole: long, and without a single block on the disk.
        fs::File::create(&fixture.entry).unwrap().set_len(1 << 40).unwrap();
        fixture.is_corrupt(&cache);
    }
}

#[test]
fn the_entry_of_another_key() {
    let fixture = Fixture::new();
    let cache = fixture.open(Policy::Header);
    let others = [Key::new([1; 32], [3; 32]), Key::new([9; 32], [2; 32])];
    for other in others {
        cache.add(&other, &Content::from_bytes(CONTENT), b"description").unwrap();
        fs::copy(cache.entry_path(&other), &fixture.entry).unwrap();
        fixture.is_corrupt(&cache);
    }
}

#[test]
fn what_is_no_regular_file() {
    let fixture = Fixture::new();
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    fs::write(elsewhere.path(), &fixture.good).unwrap();
    fixture.is_refused_and_heals(|path| symlink(elsewhere.path(), path).unwrap());
    fixture.is_refused_and_heals(|path| symlink("nowhere", path).unwrap());
    fixture.is_refused_and_heals(|path| symlink(path, path).unwrap());
    fixture.is_refused_and_heals(|path| fs::create_dir(path).unwrap());
    fixture.is_refused_and_heals(|path| {
        rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RWXU).unwrap();
    });
    fixture.is_refused_and_heals(|path| {
        std::os::unix::net::UnixListener::bind(short(path)).unwrap();
    });
    assert_eq!(fs::read(elsewhere.path()).unwrap(), fixture.good, "nothing is followed");
}

/// The path of a socket is short, so it goes by a link beside the folder of the group.
fn short(path: &Path) -> PathBuf {
    let group = path.parent().unwrap();
    let link = group.with_file_name("s");
    _ = fs::remove_file(&link);
    symlink(group, &link).unwrap();
    link.join(path.file_name().unwrap())
}

#[test]
fn what_others_can_write_to() {
    let fixture = Fixture::new();
    for mode in [0o620, 0o602, 0o666] {
        fixture.is_refused_and_heals(|path| {
            fs::write(path, &fixture.good).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        });
    }
    let cache = fixture.open(Policy::Header);
    let error = cache.get(&fixture.key).unwrap_err();
    assert!(error.is_untrusted(), "{error}");
    assert!(error.to_string().contains("0666"), "{error}");
    // That everybody may read it is fine.
    fs::set_permissions(&fixture.entry, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(cache.get(&fixture.key).unwrap().is_some());
}

#[test]
fn the_folder_of_the_group() {
    let fixture = Fixture::new();
    let cache = fixture.open(Policy::Full);
    let group = fixture.entry.parent().unwrap();
    fs::set_permissions(group, fs::Permissions::from_mode(0o777)).unwrap();
    let error = cache.get(&fixture.key).unwrap_err();
    assert!(error.is_untrusted() && error.path() == Some(group), "{error}");
    assert!(cache.add(&fixture.key, &Content::from_bytes(CONTENT), b"").is_err());
    fs::set_permissions(group, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(cache.get(&fixture.key).unwrap().is_some());
    // A file, or a link to a folder: refused, and no longer there after the next add or delete.
    let elsewhere = tempfile::tempdir().unwrap();
    let puts: [&dyn Fn(); 2] =
        [&|| fs::write(group, "text").unwrap(), &|| symlink(elsewhere.path(), group).unwrap()];
    for put in puts {
        fs::remove_dir_all(group).unwrap();
        put();
        assert!(cache.get(&fixture.key).unwrap_err().is_corrupt());
        cache.delete(&fixture.key).unwrap();
        assert!(cache.get(&fixture.key).unwrap().is_none());
        put();
        cache.add(&fixture.key, &Content::from_bytes(CONTENT), b"").unwrap();
        assert_eq!(cache.get(&fixture.key).unwrap().unwrap().to_vec().unwrap(), CONTENT);
    }
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0, "nothing is followed");
}

#[test]
fn what_is_missing_is_absent() {
    let fixture = Fixture::new();
    let cache = fixture.open(Policy::Full);
    for folder in [".tmp", &fixture.key.to_string()[..64]] {
        _ = fs::remove_dir_all(fixture.folder.path().join(folder));
    }
    assert!(cache.get(&fixture.key).unwrap().is_none());
    cache.add(&fixture.key, &Content::from_bytes(CONTENT), b"").unwrap();
    assert!(cache.get(&fixture.key).unwrap().is_some());
    // A folder that is not empty is not ours to remove.
    fixture.clear();
    fs::create_dir_all(fixture.entry.join("something")).unwrap();
    let error = cache.add(&fixture.key, &Content::from_bytes(CONTENT), b"").unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Io { .. }), "{error}");
}

/// A process that was killed while it held a lock leaves the file behind.
#[test]
fn locks_of_the_dead_are_swept_and_those_of_the_living_stay() {
    use std::time::{Duration, SystemTime};
    let fixture = Fixture::new();
    let cache = DirCache::open(fixture.folder.path()).unwrap();
    let held = cache.lock(&fixture.key, Duration::ZERO).unwrap().unwrap();
    let locks = fixture.folder.path().join(".locks");
    let name = |digit: &str| locks.join(digit.repeat(64));
    for (digit, hours) in [("a", 2), ("b", 0)] {
        fs::write(name(digit), "").unwrap();
        let file = fs::File::options().write(true).open(name(digit)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(hours * 3600)).unwrap();
    }
    let own = locks.join("02".repeat(32));
    let file = fs::File::options().write(true).open(&own).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    fs::write(locks.join("budget-of-somebody"), "").unwrap();
    DirCache::open(fixture.folder.path()).unwrap();
    assert!(!name("a").exists(), "nobody holds it, and it is old");
    assert!(name("b").exists(), "it was just made");
    assert!(own.exists(), "it is held");
    drop(held);
    assert!(!own.exists());
    assert_eq!(fs::read_dir(&locks).unwrap().count(), 2);
}
