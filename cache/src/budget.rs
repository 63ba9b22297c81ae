//! How much a directory may hold, and what goes first.
//!
//! The numbers and the choice are here; `dir/prune.rs` looks at the files and removes them.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::error::{ErrorKind, Result};
use crate::key::Key;

/// A last use is written down at most this often. What differs by less is equally old.
pub(crate) const RESOLUTION: Duration = Duration::from_secs(3600);
/// How often a directory is counted anew, unless the budget says otherwise.
const INTERVAL: Duration = Duration::from_secs(3600);
/// How much of what is free a cache may take, in percent, unless the budget says otherwise.
const FREE_SHARE: u8 = 50;

/// How much a directory may hold, for [`LayersBuilder::budget`](crate::LayersBuilder::budget) and
/// [`DirCache::prune`](crate::DirCache::prune).
///
/// What was used longest ago goes first. Nothing goes that is not an entry, nothing from a layer
/// that is only read, and nothing that is pinned, even if that is too much by itself. A new budget
/// has no limits.
///
/// ```
/// use precompile_cache::{Budget, Content, DirCache, Cache, Key};
/// let folder = tempfile::tempdir().unwrap();
/// let cache = DirCache::open(folder.path().join("cache")).unwrap();
/// for id in 0..4 {
///     cache.add(&Key::new([1; 32], [id; 32]), &Content::from_bytes(vec![id; 10_000]), b"").unwrap();
/// }
/// let pinned = Key::new([1; 32], [0; 32]);
/// let pruned = cache.prune(&Budget::new().max_bytes(25_000).pin([pinned])).unwrap();
/// assert_eq!(pruned.evicted.len(), 2);
/// assert!(cache.get(&pinned).unwrap().is_some());
/// ```
#[derive(Clone)]
pub struct Budget {
    pub(crate) max_bytes: Option<u64>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) interval: Duration,
    free_share: u8,
    pins: Arc<HashSet<Key>>,
    unwanted: Option<Arc<Unwanted>>,
}

/// Tells by its description whether an entry is of no use any more.
type Unwanted = dyn Fn(&[u8]) -> bool + Send + Sync;

/// Why an entry was evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Eviction {
    /// The owner of the keys does not want it any more: [`Budget::unwanted`].
    Unwanted,
    /// It was not used for too long: [`Budget::max_age`].
    Age,
    /// There was too much, and the others were used later: [`Budget::max_bytes`].
    Size,
    /// All entries were to go: [`DirCache::clean`](crate::DirCache::clean).
    Clean,
}

impl Budget {
    /// No limits.
    pub fn new() -> Budget {
        Budget {
            max_bytes: None,
            max_age: None,
            interval: INTERVAL,
            free_share: FREE_SHARE,
            pins: Arc::default(),
            unwanted: None,
        }
    }

    /// The most bytes that entries may take, as lengths of files. On a disk that is nearly full it
    /// is less: [`free_share`](Budget::free_share).
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Budget {
        self.max_bytes = Some(bytes);
        self
    }

    /// How much of the disk a cache with [`max_bytes`](Budget::max_bytes) may take however large
    /// that is: a share, in percent, of what is free and what the entries take now. 50 by default;
    /// 100 and more leave the disk to be filled.
    #[must_use]
    pub fn free_share(mut self, percent: u8) -> Budget {
        self.free_share = percent;
        self
    }

    /// How long an entry may go unused. A last use is known to the hour.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Budget {
        self.max_age = Some(age);
        self
    }

    /// Entries that stay, whatever their age and size.
    #[must_use]
    pub fn pin(mut self, keys: impl IntoIterator<Item = Key>) -> Budget {
        Arc::make_mut(&mut self.pins).extend(keys);
        self
    }

    /// Entries that go first, told by the description that they were added with: those of an old
    /// version of the owner, for instance. Each entry is opened for that.
    #[must_use]
    pub fn unwanted(mut self, is: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Budget {
        self.unwanted = Some(Arc::new(is));
        self
    }

    /// How often layers with this budget count a directory anew, and with that find what is too old
    /// and what others have added; one hour by default. What they add themselves is always counted.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Budget {
        self.interval = interval;
        self
    }

    /// The most bytes of entries that may be there, when they take `used` now, and `free` are free
    /// on the disk; `None` for no limit.
    pub(crate) fn limit(&self, used: u64, free: Option<u64>) -> Option<u64> {
        let max = self.max_bytes?;
        let Some(free) = free.filter(|_| self.free_share < 100) else { return Some(max) };
        let share = (u128::from(free) + u128::from(used)) * u128::from(self.free_share) / 100;
        Some(max.min(u64::try_from(share).unwrap_or(u64::MAX)))
    }

    pub(crate) fn is_pinned(&self, key: &Key) -> bool {
        self.pins.contains(key)
    }

    pub(crate) fn unwanted_by(&self) -> Option<&Unwanted> {
        self.unwanted.as_deref()
    }

    /// Whether what was used at `used` is too old at `now`. A time in the future has no age.
    pub(crate) fn is_too_old(&self, used: SystemTime, now: SystemTime) -> bool {
        let age = now.duration_since(used).unwrap_or_default();
        self.max_age.is_some_and(|max| age > max)
    }
}

/// Bytes as people write them: a whole number, and behind it nothing or a unit. K, M, G and T are
/// powers of 1024, in upper or lower case, with or without `B` or `iB`.
///
/// # Errors
/// If the text is anything else, or more than a `u64` holds.
///
/// ```
/// assert_eq!(precompile_cache::parse_size("20 GiB").unwrap(), 20 << 30);
/// assert!(precompile_cache::parse_size("1.5G").is_err());
/// ```
pub fn parse_size(text: &str) -> Result<u64> {
    let trimmed = text.trim();
    let end = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(end);
    let shift = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => Some(0),
        "K" | "KB" | "KIB" => Some(10),
        "M" | "MB" | "MIB" => Some(20),
        "G" | "GB" | "GIB" => Some(30),
        "T" | "TB" | "TIB" => Some(40),
        _ => None,
    };
    let bytes = shift.and_then(|shift| number.parse::<u64>().ok()?.checked_mul(1 << shift));
    bytes.ok_or_else(|| {
        let expected = "a size, a whole number with K, M, G, T or nothing behind it, such as 500M";
        ErrorKind::Parse { expected, found: text.to_owned() }.into()
    })
}

impl Default for Budget {
    fn default() -> Budget {
        Budget::new()
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("max_bytes", &self.max_bytes)
            .field("free_share", &self.free_share)
            .field("max_age", &self.max_age)
            .field("pins", &self.pins.len())
            .field("unwanted", &self.unwanted.is_some())
            .field("interval", &self.interval)
            .finish()
    }
}

impl fmt::Display for Eviction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Eviction::Unwanted => "unwanted",
            Eviction::Age => "age",
            Eviction::Size => "size",
            Eviction::Clean => "clean",
        })
    }
}

/// Where an entry stands among those that may go, the first to go first.
///
/// The clock may have jumped back, or another host's may be ahead. A time that is a little in the
/// future is now. One that is far in the future is nobody's last use: it comes first, since entries
/// that are in use get a right time at their next use, and others would stay until that future.
pub(crate) fn rank(used: SystemTime, now: SystemTime) -> (bool, SystemTime) {
    match used.duration_since(now) {
        Ok(ahead) if ahead > RESOLUTION => (false, used),
        Ok(_) => (true, now),
        Err(_) => (true, used),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_smaller_of_the_two() {
        let budget = Budget::new().max_bytes(1000);
        assert_eq!(budget.limit(0, Some(1 << 40)), Some(1000));
        assert_eq!(budget.limit(0, Some(400)), Some(200));
        assert_eq!(budget.limit(600, Some(0)), Some(300), "a full disk makes it shrink");
        assert_eq!(budget.limit(600, None), Some(1000));
        assert_eq!(budget.clone().free_share(10).limit(500, Some(500)), Some(100));
        assert_eq!(budget.free_share(100).limit(0, Some(1)), Some(1000));
        let huge = Budget::new().max_bytes(u64::MAX).free_share(99);
        assert!(huge.limit(u64::MAX, Some(u64::MAX)).is_some());
        assert_eq!(Budget::new().limit(1, Some(0)), None);
    }

    #[test]
    fn sizes_have_units() {
        let sizes = [("0", 0), ("12", 12), ("1k", 1024), ("2 MiB", 2 << 20), ("3GB", 3 << 30)];
        for (text, bytes) in sizes {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "M", "1.5G", "-1", "1X", "20000000T", "9999999999999999999999", "1KM"] {
            assert!(parse_size(text).unwrap_err().to_string().contains("a size"), "{text}");
        }
    }

    #[test]
    fn times_of_a_wrong_clock_neither_age_nor_protect() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let at = |seconds: i64| match u64::try_from(seconds) {
            Ok(ahead) => now + Duration::from_secs(ahead),
            Err(_) => now - Duration::from_secs(seconds.unsigned_abs()),
        };
        let budget = Budget::new().max_age(Duration::from_secs(10));
        assert!(budget.is_too_old(at(-11), now));
        assert!(!budget.is_too_old(at(-10), now) && !budget.is_too_old(at(1_000_000), now));
        let mut times = [-5, 86_400, 5, -86_400];
        times.sort_by_key(|&seconds| rank(at(seconds), now));
        assert_eq!(times, [86_400, -86_400, -5, 5]);
    }
}
