//! Entries in the memory of this process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cache::{Cache, Sibling};
use crate::content::Content;
use crate::error::{Error, Result};
use crate::key::Key;

/// A cache in private memory, with an optional budget.
///
/// Files are copied when they are added, so nobody can change an entry from outside. When the
/// budget is exceeded, what was used longest ago goes; an entry that exceeds it alone is not kept.
#[derive(Debug, Default)]
pub struct MemoryCache {
    budget: Option<u64>,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    // Ordered, so that the siblings of a group are a range.
    by_key: BTreeMap<Key, Entry>,
    // The moments of last use, which are never shared, in order: the first is the one to go.
    by_use: BTreeMap<u64, Key>,
    now: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Entry {
    bytes: Arc<[u8]>,
    description: Arc<[u8]>,
    used: u64,
}

impl MemoryCache {
    /// A cache without a limit.
    pub fn new() -> MemoryCache {
        MemoryCache::default()
    }

    /// A cache that keeps at most `bytes` bytes of content and descriptions.
    pub fn with_budget(bytes: u64) -> MemoryCache {
        MemoryCache { budget: Some(bytes), entries: Mutex::default() }
    }

    /// The bytes of content and descriptions that are kept now.
    pub fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // Nothing between two consistent states can panic, so a poisoned lock guards a good value.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache for MemoryCache {
    fn get(&self, key: &Key) -> Result<Option<Content>> {
        let mut guard = self.lock();
        let entries = &mut *guard;
        entries.now += 1;
        let Some(entry) = entries.by_key.get_mut(key) else { return Ok(None) };
        entries.by_use.remove(&entry.used);
        entry.used = entries.now;
        entries.by_use.insert(entry.used, *key);
        Ok(Some(Content::from_bytes(Arc::clone(&entry.bytes))))
    }

    fn add(&self, key: &Key, content: &Content, description: &[u8]) -> Result<()> {
        let size = content.len().saturating_add(description.len() as u64);
        if self.budget.is_some_and(|budget| size > budget) {
            // The old content must not survive what was to replace it.
            self.lock().remove(key);
            return Ok(());
        }
        let bytes = match content.shared_bytes() {
            Some(bytes) => bytes,
            None => content
                .to_vec()
                .map_err(|source| Error::io("read the content", content.origin(), source))?
                .into(),
        };
        let mut entries = self.lock();
        entries.remove(key);
        entries.now += 1;
        let used = entries.now;
        entries.bytes += size;
        entries.by_use.insert(used, *key);
        entries.by_key.insert(*key, Entry { bytes, description: description.into(), used });
        while self.budget.is_some_and(|budget| entries.bytes > budget) {
            let Some((_, oldest)) = entries.by_use.first_key_value() else { break };
            let oldest = *oldest;
            entries.remove(&oldest);
        }
        Ok(())
    }

    fn delete(&self, key: &Key) -> Result<()> {
        self.lock().remove(key);
        Ok(())
    }

    fn siblings(&self, group: &[u8; 32]) -> Result<Vec<Sibling>> {
        let range = Key::new(*group, [0; 32])..=Key::new(*group, [0xff; 32]);
        let entries = self.lock();
        let sibling = |(key, entry): (&Key, &Entry)| Sibling::new(*key.id(), &*entry.description);
        Ok(entries.by_key.range(range).map(sibling).collect())
    }
}

impl Entries {
    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.by_key.remove(key) {
            self.by_use.remove(&entry.used);
            self.bytes -= (entry.bytes.len() + entry.description.len()) as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u8) -> Key {
        Key::new([0; 32], [id; 32])
    }

    #[test]
    fn the_longest_unused_goes_first() {
        let cache = MemoryCache::with_budget(30);
        for id in 0..3 {
            cache.add(&key(id), &Content::from_bytes(vec![id; 10]), b"").unwrap();
        }
        cache.get(&key(0)).unwrap().unwrap();
        cache.add(&key(3), &Content::from_bytes(vec![3; 8]), b"ab").unwrap();
        assert_eq!(cache.bytes(), 30);
        assert!(cache.get(&key(1)).unwrap().is_none());
        assert!(cache.get(&key(0)).unwrap().is_some());
    }

    #[test]
    fn what_is_replaced_no_longer_counts() {
        let cache = MemoryCache::with_budget(25);
        for length in [10, 20, 5] {
            cache.add(&key(1), &Content::from_bytes(vec![1; length]), b"").unwrap();
            assert_eq!(cache.bytes(), length as u64);
        }
    }

    #[test]
    fn what_exceeds_the_budget_alone_replaces_and_is_not_kept() {
        let cache = MemoryCache::with_budget(10);
        cache.add(&key(1), &Content::from_bytes(vec![1; 10]), b"").unwrap();
        cache.add(&key(1), &Content::from_bytes(vec![2; 11]), b"").unwrap();
        assert!(cache.get(&key(1)).unwrap().is_none());
        assert_eq!(cache.bytes(), 0);
    }
}
