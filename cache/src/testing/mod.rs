//! Tests that any implementation of [`Cache`](crate::Cache) can run, and a disk that fails on
//! command. Behind the cargo feature `testing`.

mod conformance;
mod faults;

pub use crate::dir::Operation;
pub use conformance::conformance;
pub use faults::{Errno, Faults};
