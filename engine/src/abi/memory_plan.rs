//! The address space around a linear memory, and what code may leave to it.

/// How code keeps accesses inside a memory. Part of the fingerprint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Bounds {
    /// By guard pages: a 32-bit memory lies in a reservation that no address computed by wasm can
    /// leave, so an access is checked by the processor alone. Takes 10 GiB of address space a
    /// memory, but no memory.
    Guard,
    /// By comparisons in the code. For hosts that cannot reserve that much address space.
    Explicit,
}

impl Bounds {
    /// How it is for one memory where this is the setting: explicit for addresses that can leave
    /// any reservation, and for pages that no processor protects.
    pub(crate) const fn of_memory(self, memory64: bool, page_size_log2: u8) -> Bounds {
        if memory64 || page_size_log2 < 16 { Bounds::Explicit } else { self }
    }

    /// The word in fingerprints, settings and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Bounds::Guard => "guard",
            Bounds::Explicit => "explicit",
        }
    }
}

/// Inaccessible bytes before a guarded memory: an address that was sign-extended by mistake, of
/// the compiler or of a processor, lands there.
pub(crate) const GUARD_BEFORE: u64 = 2 << 30;
/// Bytes a guarded 32-bit memory may grow to in place.
pub(crate) const GUARD_RESERVATION: u64 = 4 << 30;
/// Inaccessible bytes behind the reservation. An access reaches at most
/// `u32::MAX (index) + u32::MAX (offset) + 16 (size)` from the base; the 64 KiB take the last
/// bytes of that sum and keep the whole a multiple of every page size.
pub(crate) const GUARD_AFTER: u64 = (4 << 30) + (64 << 10);
/// Inaccessible bytes behind a memory with explicit checks, so that the check may be of the
/// index alone where offset and size are small: `index > len` is enough as long as
/// `offset + size <= EXPLICIT_GUARD`.
pub(crate) const EXPLICIT_GUARD: u64 = 64 << 10;
/// Largest table in elements, whatever it declares.
pub(crate) const MAX_TABLE: u64 = 10_000_000;
/// Most elements of all tables of a store together: a module may declare a hundred thousand
/// tables, and each element takes up to eight bytes of the host's memory.
pub(crate) const MAX_TABLES: u64 = 50_000_000;

const _: () = assert!(
    u32::MAX as u64 + u32::MAX as u64 + 16 <= GUARD_RESERVATION + GUARD_AFTER,
    "every address that code can form lies in the reservation or its guards"
);
