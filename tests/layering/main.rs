//! The guards of the map: what `ARCHITECTURE.md` claims, held against sources and manifests.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `arrows` | which part of the workspace names which |
//! | `address` | where `unsafe` is, and where it is forbidden |
//! | `classes` | that each class of bugs has a test |
//! | `identity` | the build identity against `Cargo.lock`, the pins and the sources |
//! | `dependencies` | what the crates are built from, and under which licences |
//! | `documents` | links, lengths, and what no file of ours may say |
//! | `source` | reading sources: files, code without comments and strings, paths |
//!
//! Nothing is compiled or fetched here. `BLESS=1` writes what `identity` wants.

mod address;
mod arrows;
mod classes;
mod dependencies;
mod documents;
mod identity;
mod source;
