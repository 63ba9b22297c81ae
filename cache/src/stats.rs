//! Counters, failures included.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What happened so far in one [`Layers`](crate::Layers), as a snapshot of its counters.
        ///
        /// The counters move one by one: a snapshot that is taken in the middle of a lookup may
        /// have counted a part of it.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Stats {
            /// The counters with their names, in a fixed order, for reports.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> Stats {
                Stats { $($name: self.$name.get(),)* }
            }
        }
    };
}

counters! {
    /// Lookups that hit in the memory of the process.
    hits_memory,
    /// Lookups that hit in the read-write directory.
    hits_dir,
    /// Lookups that hit in a read-only layer.
    hits_layer,
    /// Lookups that missed since no layer had the entry.
    misses_absent,
    /// Lookups that missed with a damaged entry in some layer.
    misses_corrupt,
    /// Lookups that missed with an untrusted directory or entry in some layer.
    misses_untrusted,
    /// Lookups that missed with an error of the operating system in some layer.
    misses_io,
    /// Lookups that missed since the cache is off.
    misses_off,
    /// Damaged entries that were met, also when a later layer then hit.
    damaged,
    /// Errors of the operating system that lookups and explanations met, also when a later layer
    /// then hit.
    io_errors,
    /// Hits that the caller rejected as damaged.
    rejected_corrupt,
    /// Hits that the caller rejected as made for something else.
    rejected_mismatch,
    /// Entries that were published.
    adds,
    /// Entries that could not be published.
    add_failures,
    /// Entries that were copied from below into the read-write layer.
    backfills,
    /// Entries that could not be copied from below into the read-write layer.
    backfill_failures,
    /// Damaged or rejected entries that were deleted.
    deletes,
    /// Damaged or rejected entries that could not be deleted.
    delete_failures,
    /// Entries that were evicted to keep the budget.
    evictions,
    /// Things that went wrong while the budget was kept.
    upkeep_failures,
    /// Bytes of content of all hits.
    bytes_hit,
    /// Bytes of content of all entries that were published.
    bytes_added,
    /// Bytes of the files that were evicted.
    bytes_evicted,
    /// Times that somebody waited for another thread or process that was making an entry.
    waits,
    /// Waits that were given up.
    wait_timeouts,
    /// Times that the work was done without a lock, since there was none to be had.
    lock_failures,
    /// Reads and writes of what is remembered about files that failed.
    memo_failures,
    /// Lines that could not be noted in the record.
    record_failures,
    /// Failures in the read-write directory that nothing depends on: the time of last use was not
    /// noted, a file that is not needed any more not removed, the ledger of the budget not read.
    housekeeping_failures,
}

/// One counter. Counters order nothing, so relaxed operations do.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn one(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Stats {
    /// Lookups that hit, in whichever layer.
    pub fn hits(&self) -> u64 {
        self.hits_memory + self.hits_dir + self.hits_layer
    }

    /// Lookups that missed, for whichever reason.
    pub fn misses(&self) -> u64 {
        self.misses_absent
            + self.misses_corrupt
            + self.misses_untrusted
            + self.misses_io
            + self.misses_off
    }
}
