//! An app that embeds the engine: `app CACHE_DIR MODULE [require-hit] [opt-level-none]
//! [trusted-key=FILE]` loads the module through the cache, calls its export `add` and tells what the
//! cache did. The module is a file, or `name:NAME` of one whose bytes are not here.

use precompile::cache::{Layers, Mode, Policy, TrustedKeys};
use precompile::{Config, Engine, Instance, Module, OptLevel, Result, Store};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let mut config = Config::new();
    let mut layers = Layers::builder().read_write(&args[1]);
    for setting in &args[3..] {
        match setting.as_str() {
            "require-hit" => layers = layers.mode(Mode::RequireHit),
            "opt-level-none" => {
                config.cranelift_opt_level(OptLevel::None);
            }
            key if key.starts_with("trusted-key=") => {
                let key = TrustedKeys::read(&key["trusted-key=".len()..])?;
                layers = layers.no_read_write().read_only(&args[1]);
                layers = layers.policy(Policy::Signed).trusted_keys(key);
            }
            other => return Err(precompile::Error::msg(format!("unknown setting {other}"))),
        }
    }
    config.cache(layers);
    let engine = Engine::new(&config)?;
    let module = match args[2].strip_prefix("name:") {
        Some(name) => Module::from_name(&engine, name)?,
        None => Module::from_file(&engine, &args[2])?,
    };
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let add = instance.get_typed_func::<(i32, i32), i32>(&mut store, "add")?;
    let sum = add.call(&mut store, (40, 2))?;
    let stats = engine.cache_stats().expect("the engine has a cache");
    println!("sum {sum} hits {} compiles {}", stats.hits(), engine.compile_count());
    Ok(())
}
