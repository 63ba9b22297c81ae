//! What the tests of the workspace share.

pub mod app;
mod binary;
pub mod cases;
mod readme;
pub mod settings;

pub use binary::{long_module, own_program, precompile_binary, target_dir};
