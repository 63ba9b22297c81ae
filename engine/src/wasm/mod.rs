//! What the specification says, as our own types.
//!
//! Here: index spaces ([`index`]), types ([`types`]), the equality of types across a module
//! ([`canon`]) and what a module declares ([`module`]).
//! Not here: parsing (that is `compile/decode.rs`) and anything with a pointer in it (that is
//! `runtime/`). Nothing in this folder names another crate.

#![forbid(unsafe_code)]

pub(crate) mod index;
pub(crate) mod types;

#[cfg(feature = "compile")]
pub(crate) mod canon;
#[cfg(feature = "compile")]
pub(crate) mod module;
