//! What all of these tests use.

use precompile::{
    Bounds, Config, Engine, Error, Extern, Features, Instance, Module, OptLevel, Store, Trap,
};

/// An engine with the defaults.
pub(crate) fn engine() -> Engine {
    Engine::default()
}

/// Engines for each way in which memories are kept, and each way of compiling.
pub(crate) fn engines() -> impl Iterator<Item = (String, Engine)> {
    engines_with(Features::NONE)
}

/// The same with `features` besides those that are on anyway.
pub(crate) fn engines_with(features: Features) -> impl Iterator<Item = (String, Engine)> {
    let modes = [Bounds::Guard, Bounds::Explicit];
    let levels = [OptLevel::None, OptLevel::Speed];
    modes.into_iter().flat_map(move |bounds| {
        levels.into_iter().map(move |level| {
            let mut config = Config::new();
            config.features(Features::default().union(features));
            config.bounds(bounds).cranelift_opt_level(level);
            (format!("{bounds:?}, {level:?}"), Engine::new(&config).unwrap())
        })
    })
}

/// A module of `engine` made from text.
pub(crate) fn module(engine: &Engine, text: &str) -> Module {
    Module::new(engine, text).unwrap_or_else(|error| panic!("{error:?}"))
}

/// An instance of a module made from text.
pub(crate) fn instance<T: 'static>(
    store: &mut Store<T>,
    text: &str,
    imports: &[Extern],
) -> Instance {
    let module = module(store.engine(), text);
    Instance::new(store, &module, imports).unwrap_or_else(|error| panic!("{error:?}"))
}

/// The trap in `error`.
#[track_caller]
pub(crate) fn trap(error: &Error) -> Trap {
    *error.downcast_ref::<Trap>().unwrap_or_else(|| panic!("no trap: {error:?}"))
}

/// The trap that a call ended with.
#[track_caller]
pub(crate) fn trapped<R: std::fmt::Debug>(result: precompile::Result<R>) -> Trap {
    trap(&result.unwrap_err())
}
