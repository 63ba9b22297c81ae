//! The README's examples, as tests.

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
