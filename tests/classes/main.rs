//! Classes of bugs that engines like this one had, and what looks for each here.
//!
//! The list is that of published advisories on Cranelift and wasmtime. Tests carry the number of
//! their class in their names, wherever they are, so that `cargo test class_` runs them and
//! `cargo test class_09` those of one; `tests/layering` sees that none is without. Here are those
//! that belong to no other place.
//!
//! | class | what went wrong elsewhere | looked for in, besides fuzzing |
//! | --- | --- | --- |
//! | 01 | addresses lowered to instructions that reach outside | `api/memories`, `api/memory64`, fuzz `addresses` |
//! | 02 | loads sunk into operators that load more | fuzz `oracles` |
//! | 03 | vectors and constants compiled wrongly | `numbers` here, spec suite at each level, fuzz `constants` |
//! | 04 | optimisations that mistake what aliases | fuzz `optlevels` |
//! | 05 | stacks that end, of wasm and of the host | `api/stack`, `api/main_thread`, `compile/translate/tests` |
//! | 06 | signals that are not wasm's | `api/signals`, `runtime/vm/tests` |
//! | 07 | functions called by another type | `api/func_types`, `api/tables`, `api/threads` |
//! | 08 | handles of another store or engine | `api/handles` |
//! | 09 | bulk operations at the ends of numbers | `bulk` here, `api/tables`, `api/fuel` |
//! | 10 | what an instance left behind for the next | `stale` here, `api/memories` |
//! | 11 | memories that move under who uses them | `api/memories`, `api/memory64`, `stale` here |
//! | 12 | the context of an instance seen in two ways | `layout` here, `abi/vmctx`, asserts beside its types |
//! | 13 | stacks walked wrongly, references not kept | `api/traps`, `api/tails` |
//! | 14 | wasm that never ends | `api/fuel`, `api/epochs`, `api/endless` |
//! | 15 | entries and files that are not what they seem | `artifact`, `api/cache`, `api/rewrite`, `wasi/fs`, fuzz `artifact` |

mod bulk;
mod layout;
mod numbers;
mod stale;

use precompile::{Bounds, Config, Engine, OptLevel};

/// Engines for each way in which memories are kept, and each way of compiling.
fn engines() -> impl Iterator<Item = (String, Engine)> {
    let bounds = [Bounds::Guard, Bounds::Explicit];
    let all = bounds.into_iter().flat_map(|b| [OptLevel::None, OptLevel::Speed].map(|o| (b, o)));
    all.map(|(bounds, level)| {
        let mut config = Config::new();
        config.bounds(bounds).cranelift_opt_level(level).wasm_custom_page_sizes(true);
        (format!("{bounds:?}, {level:?}"), Engine::new(&config).unwrap())
    })
}
