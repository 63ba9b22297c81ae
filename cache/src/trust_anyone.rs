//! The explicit way around the trust rule.

/// A promise, made in the code of the caller, that a store holds only what may be used unchecked.
///
/// What a cache returns is used as it is, machine code included: whoever writes to the cache runs
/// code in every process that reads it. The directories of this crate are therefore refused when
/// anybody but root and the effective user could write to them, and other implementations of
/// [`Cache`](crate::Cache) are not accepted without this token.
///
/// An engine should treat [`Layers`](crate::Layers) that were made with it
/// ([`Layers::is_vouched`](crate::Layers::is_vouched)) like `unsafe` code: accept them through an
/// `unsafe` call of its own only.
#[derive(Clone, Copy, Debug)]
pub struct TrustAnyone(());

impl TrustAnyone {
    /// Makes the promise.
    ///
    /// # Contract
    /// Everybody who can write to the store that this token is used for, now and as long as it is
    /// open, writes only what an engine produced for that very key. Checksums do not help here:
    /// they find damage, not malice. When the promise does not hold, anything can happen: the
    /// behaviour of the process is undefined.
    pub fn i_vouch_for_every_writer() -> TrustAnyone {
        TrustAnyone(())
    }
}
