//! An app in an image: runs the WASI commands of a folder, with machine code that the image brings
//! along. There is no compiler in it.
//!
//! `app FOLDER` runs all `*.wasm` in there, in the order of their names, and tells on standard error
//! what each of them was found as. `app --settings` tells the settings that the code has to be made
//! with.

use precompile::cache::LayersBuilder;
use precompile::{Config, Context, Engine, Error, Linker, Module, Result, Store};
use precompile_wasi::{I32Exit, WasiCtx, WasiCtxBuilder, add_to_linker};
use std::path::{Path, PathBuf};

fn main() -> Result<()> {
    let argument = std::env::args_os().nth(1).unwrap_or_default();
    let mut config = Config::new();
    // Settings that change code are made here and nowhere else: the image's build asks for them.
    if argument == "--settings" {
        print!("{}", Engine::new(&config)?.settings());
        return Ok(());
    }
    // From PRECOMPILE_CACHE_* and /usr/share/precompile.
    config.cache(LayersBuilder::from_env());
    let engine = Engine::new(&config)?;
    for problem in engine.cache_problems() {
        eprintln!("warning: {problem}");
    }
    for path in modules(Path::new(&argument))? {
        run(&engine, &path).with_context(|| path.display().to_string())?;
    }
    eprintln!("compiles: {}", engine.compile_count());
    Ok(())
}

fn modules(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder);
    let entries = entries.with_context(|| format!("cannot read {}", folder.display()))?;
    let mut all = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            all.push(path);
        }
    }
    all.sort();
    Ok(all)
}

fn run(engine: &Engine, path: &Path) -> Result<()> {
    let module = Module::from_file(engine, path)?;
    let made_for = module.settings();
    eprintln!("{}: {}", path.display(), made_for.get("cpu").unwrap_or("?"));

    let mut linker: Linker<WasiCtx> = Linker::new(engine);
    add_to_linker(&mut linker, |wasi| wasi)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut store = Store::new(engine, WasiCtxBuilder::new().inherit_stdio().arg(name).build());
    let instance = linker.instantiate(&mut store, &module)?;
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
    match start.call(&mut store, ()) {
        Ok(()) => Ok(()),
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(I32Exit(0)) => Ok(()),
            Some(I32Exit(code)) => Err(Error::msg(format!("it ended with {code}"))),
            None => Err(error),
        },
    }
}
