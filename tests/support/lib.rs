//! What the tests of the workspace share.

mod binary;
pub mod cases;
mod readme;
pub mod wast;

pub use binary::{precompile_binary, target_dir};
