//! The conformance suite on each implementation.

use std::sync::Arc;

use precompile_cache::testing::conformance;
use precompile_cache::{
    Cache, Content, DirCache, DirOptions, Key, MemoryCache, Policy, Result, Sibling, SigningKey,
    TrustedKeys,
};
use tempfile::TempDir;

/// A directory that lives as long as the cache in it.
struct Owned(DirCache, #[expect(dead_code, reason = "held for its destructor")] TempDir);

impl Cache for Owned {
    fn get(&self, key: &Key) -> Result<Option<Content>> {
        self.0.get(key)
    }

    fn add(&self, key: &Key, content: &Content, description: &[u8]) -> Result<()> {
        self.0.add(key, content, description)
    }

    fn delete(&self, key: &Key) -> Result<()> {
        self.0.delete(key)
    }

    fn siblings(&self, group: &[u8; 32]) -> Result<Vec<Sibling>> {
        self.0.siblings(group)
    }
}

fn owned(open: impl Fn(&std::path::Path) -> Result<DirCache>) -> Box<dyn Cache> {
    let folder = tempfile::tempdir().unwrap();
    Box::new(Owned(open(&folder.path().join("cache")).unwrap(), folder))
}

#[test]
fn memory() {
    conformance(|| Box::new(MemoryCache::new()));
    conformance(|| Box::new(MemoryCache::with_budget(16 << 20)));
}

#[test]
fn directory_auto() {
    conformance(|| owned(|path| DirCache::open(path)));
}

#[test]
fn directory_full() {
    conformance(|| owned(|path| DirOptions::new().policy(Policy::Full).open(path)));
}

#[test]
fn directory_header() {
    conformance(|| owned(|path| DirOptions::new().policy(Policy::Header).open(path)));
}

#[test]
fn directory_signed() {
    let key = Arc::new(SigningKey::generate("test-1").unwrap());
    let options = DirOptions::new().policy(Policy::Signed);
    let options = options.trusted_keys(TrustedKeys::from(key.public_key())).sign_with(key);
    conformance(|| owned(|path| options.open(path)));
}

#[test]
fn image() {
    conformance(|| owned(|path| DirCache::open_image(path)));
}

#[test]
fn the_siblings_of_a_directory_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let cache = DirCache::open(folder.path().join("cache")).unwrap();
    let long = vec![b'd'; 1 << 16];
    for (id, description) in [(2, &b""[..]), (1, b"text"), (3, &long)] {
        let content = Content::from_bytes(vec![id; 100]);
        cache.add(&Key::new([7; 32], [id; 32]), &content, description).unwrap();
    }
    // What is not ours, or damaged, is not told of.
    let group = cache.entry_path(&Key::new([7; 32], [1; 32])).parent().unwrap().to_owned();
    std::fs::write(group.join("README"), "text").unwrap();
    std::fs::write(group.join("0".repeat(64)), "text").unwrap();
    let expected = [
        Sibling::new([1; 32], *b"text"),
        Sibling::new([2; 32], *b""),
        Sibling::new([3; 32], long.clone()),
    ];
    assert_eq!(cache.siblings(&[7; 32]).unwrap(), expected);
    let too_long = vec![0; (1 << 16) + 1];
    let key = Key::new([7; 32], [4; 32]);
    assert!(cache.add(&key, &Content::from_bytes(vec![]), &too_long).is_err());
    assert!(cache.get(&key).unwrap().is_none());
}

#[test]
fn an_entry_depends_on_its_input_only() {
    let key = Key::new([1; 32], [2; 32]);
    let entry = |open: fn(std::path::PathBuf) -> Result<DirCache>, content: Content| {
        let folder = tempfile::tempdir().unwrap();
        let cache = open(folder.path().join("cache")).unwrap();
        cache.add(&key, &content, b"description").unwrap();
        std::fs::read(cache.entry_path(&key)).unwrap()
    };
    let bytes: Arc<[u8]> = vec![5; 300_000].into();
    let one = entry(DirCache::open, Content::from_bytes(Arc::clone(&bytes)));
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, &bytes).unwrap();
    let two = entry(DirCache::open_image, Content::from_file(file, bytes.len() as u64));
    assert!(one == two);
    assert_eq!(one.len(), bytes.len() + 11 + 160);
    assert!(one[..bytes.len()] == *bytes, "the content comes first");
}
