//! Bytes in, artifact out.
//!
//! decode and validate (`decode.rs`) → for each function, on one thread while its body is hot:
//! translate to CLIF (`function.rs`, `translate/`), compile (`function.rs`) → trampolines
//! (`trampoline.rs`) → link (`link.rs`) → write (`artifact/write.rs`). `parallel.rs` spreads the
//! functions over threads, largest first; `isa.rs` sets Cranelift up.
//!
//! Invariants: the only settings are those of the [`Fingerprint`](crate::fingerprint::Fingerprint);
//! the bytes of the artifact depend on nothing but it and the module. No `unsafe`; nothing of
//! `runtime/`.

#![forbid(unsafe_code)]

pub(crate) mod function;
pub(crate) mod isa;
pub(crate) mod translate;
