//! A cache of three verbs over a 256-bit key, made for content that is used unchecked.
//!
//! # What it guarantees
//!
//! - **What goes in comes back unmodified, or not at all.** An entry is written beside its place,
//!   synced and renamed; it is never changed in place. No reader sees a part of it, whatever dies
//!   when, and a reader that has it open keeps it when it is replaced or removed.
//! - **Damage is a miss.** An entry that is cut, flipped or misplaced is found by the [`Policy`],
//!   deleted where that is possible, and reported with its reason. No file content, however bad,
//!   makes this crate panic, hang, or read outside the file.
//! - **Only the trusted write.** A directory is used when nobody but root and the effective user can
//!   write to it or to anything on the way to it. The refusal names the component. Where others write,
//!   an entry is used with the signature of a [trusted key](TrustedKeys) only, from a private copy.
//! - **A cache never fails a run.** [`Layers`] turns each failure into a miss or a counted write
//!   error. Whoever wants to know opens a [`DirCache`] alone, or asks [`LayersBuilder::try_build`].
//! - **Reading leaves no trace.** A read-only layer gets no write, no lock and no time stamp.
//! - **Same in, same out.** An entry depends on its key, content and description only.
//!
//! # A tour
//!
//! ```
//! use precompile_cache::{Content, Key, Layers, Outcome};
//!
//! let folder = tempfile::tempdir().unwrap();
//! let layers = Layers::builder().read_write(folder.path().join("cache")).build();
//! let key = Key::new([1; 32], [2; 32]);
//!
//! // A miss: become the one that makes the content, and look again, since another process may have
//! // made it in the meantime.
//! assert!(matches!(layers.lookup(&key).outcome, Outcome::Miss(_)));
//! let flight = layers.begin(&key);
//! if !layers.look_again(&flight).is_hit() {
//!     let content = Content::from_bytes(b"made with much effort".to_vec());
//!     assert!(layers.publish(&key, &content, b"variant 2").is_none());
//! }
//! drop(flight);
//!
//! // A hit: an open file whose first `len` bytes are the content, ready to be mapped.
//! let Outcome::Hit { layer, content } = layers.lookup(&key).outcome else { panic!() };
//! assert_eq!(layer.to_string(), "dir");
//! assert_eq!(content.to_vec().unwrap(), b"made with much effort");
//! assert!(content.as_file().is_some());
//!
//! // Unusable after all, for a reason that only the caller can see? Then it is a miss as well.
//! layers.reject(&key, layer, precompile_cache::Reject::Mismatch);
//! assert!(!layers.lookup(&key).is_hit());
//! assert_eq!(layers.stats().rejected_mismatch, 1);
//! ```
//!
//! # What is where
//!
//! [`Cache`] is the trait; [`MemoryCache`] and [`DirCache`] implement it. [`Layers`] is what an
//! engine holds: read-only layers over a read-write one, with single flight ([`Flight`]), counters
//! ([`Stats`]) and typed outcomes ([`Lookup`]). The crate does not know what the entries are for.

#![forbid(unsafe_code)]

mod budget;
mod cache;
mod content;
mod dir;
mod error;
mod key;
mod layered;
mod memo;
mod memory;
mod names;
mod observer;
mod policy;
mod sealed;
mod sign;
mod single_flight;
mod stats;
#[cfg(feature = "testing")]
pub mod testing;
mod trust_anyone;

pub use budget::{Budget, Eviction};
pub use cache::{Cache, Sibling};
pub use content::{Content, ContentReader};
pub use dir::{Depth, DirCache, DirOptions, EntryInfo, Evicted, Item, ItemState, KeyLock, Pruned};
pub use error::{Distrust, Error, ErrorKind, Result};
pub use key::{Key, from_hex, to_hex};
pub use layered::{
    Flight, LayerId, LayerInfo, Layers, LayersBuilder, Lookup, MissReason, Mode, NameLookup,
    Outcome, Probe, ProbeResult, Problem, Reject,
};
pub use memo::FileMemo;
pub use memory::MemoryCache;
pub use names::Names;
pub use observer::{Event, Observer};
pub use policy::Policy;
pub use sign::{PublicKey, SigningKey, TrustedKeys};
pub use stats::Stats;
pub use trust_anyone::TrustAnyone;
