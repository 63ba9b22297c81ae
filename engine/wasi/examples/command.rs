//! Runs a WASI command: `cargo run -p precompile-wasi --example command -- app.wasm ARGS...`.

use precompile::{Engine, Linker, Module, Result, Store};
use precompile_wasi::{I32Exit, WasiCtx, WasiCtxBuilder};
use std::process::ExitCode;

fn main() -> Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(file) = args.first() else {
        return Err(precompile::Error::msg("usage: command FILE [ARGS]..."));
    };
    let engine = Engine::default();
    let module = Module::from_file(&engine, file)?;
    let mut linker: Linker<WasiCtx> = Linker::new(&engine);
    precompile_wasi::add_to_linker(&mut linker, |wasi| wasi)?;
    let wasi = WasiCtxBuilder::new().inherit_stdio().args(&args).build();
    let mut store = Store::new(&engine, wasi);
    let instance = linker.instantiate(&mut store, &module)?;
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
    match start.call(&mut store, ()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(exit) => Ok(ExitCode::from(exit.0 as u8)),
            None => Err(error),
        },
    }
}
