//! Limits of a store: asked for all that is made and all that grows, by the host and by wasm.

use crate::support::{engine, engines, instance, module};
use precompile::*;

const GROWS: &str = r#"(module
    (memory (export "memory") 1 8)
    (table $functions (export "table") 2 100 funcref)
    (table $others 0 externref)
    (func (export "memory_grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "table_grow") (param i32) (result i32)
        (table.grow $functions (ref.null func) (local.get 0)))
    (func (export "others_grow") (param i32) (result i32)
        (table.grow $others (ref.null extern) (local.get 0))))"#;

fn limited(engine: &Engine, limits: StoreLimitsBuilder) -> Store<StoreLimits> {
    let mut store = Store::new(engine, limits.build());
    store.limiter(|limits| limits);
    store
}

fn grow(store: &mut Store<StoreLimits>, instance: Instance, name: &str, delta: i32) -> Result<i32> {
    let func = instance.get_typed_func::<i32, i32>(&mut *store, name).unwrap();
    func.call(store, delta)
}

#[test]
fn growth_stops_at_the_limit() {
    for (name, engine) in engines() {
        let limits = StoreLimitsBuilder::new().memory_size(3 << 16).table_elements(10);
        let mut store = limited(&engine, limits);
        let instance = instance(&mut store, GROWS, &[]);
        let mut grow = |name: &str, delta| grow(&mut store, instance, name, delta).unwrap();
        assert_eq!(grow("memory_grow", 3), -1, "{name}");
        assert_eq!(grow("memory_grow", 2), 1);
        assert_eq!(grow("memory_grow", 1), -1);
        assert_eq!(grow("memory_grow", -1), -1);
        assert_eq!(grow("memory_grow", 0), 3);
        assert_eq!(grow("table_grow", 9), -1);
        assert_eq!(grow("table_grow", 8), 2);
        assert_eq!(grow("table_grow", 1), -1);
        assert_eq!(grow("others_grow", 11), -1);
        assert_eq!(grow("others_grow", 10), 0);
        assert_eq!(grow("table_grow", 0), 10);

        let memory = instance.get_memory(&mut store, "memory").unwrap();
        assert_eq!(memory.grow(&mut store, 1).unwrap_err().kind(), ErrorKind::Limit);
        assert_eq!(memory.size(&store), 3);
        let table = instance.get_table(&mut store, "table").unwrap();
        let error = table.grow(&mut store, 1, Ref::Func(None)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        // The numbers can be changed at any time.
        *store.data_mut() = StoreLimits::default();
        assert_eq!(memory.grow(&mut store, 1).unwrap(), 3);
        assert_eq!(table.grow(&mut store, 1, Ref::Func(None)).unwrap(), 10);
    }
}

#[test]
fn failure_can_be_an_error() {
    let limits = StoreLimitsBuilder::new().memory_size(2 << 16).table_elements(10);
    let mut store = limited(&engine(), limits.trap_on_grow_failure(true));
    let instance = instance(&mut store, GROWS, &[]);
    for (name, most, beyond) in [("memory_grow", 1, 1), ("table_grow", 8, 1)] {
        assert!(grow(&mut store, instance, name, most).unwrap() >= 0);
        let error = grow(&mut store, instance, name, beyond).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit, "{error:?}");
        assert!(error.downcast_ref::<WasmBacktrace>().is_some(), "{error:?}");
    }
    // Its own maximum is a failure as well.
    *store.data_mut() = StoreLimitsBuilder::new().trap_on_grow_failure(true).build();
    assert!(grow(&mut store, instance, "memory_grow", 100).is_err());
    assert!(grow(&mut store, instance, "table_grow", 100).is_err());
    assert!(grow(&mut store, instance, "others_grow", -1).is_err());
}

#[test]
fn what_is_made_counts_from_nothing() {
    let engine = engine();
    let two_pages = module(&engine, "(module (memory 2))");
    let three_elements = module(&engine, "(module (table 3 funcref))");
    let limits = StoreLimitsBuilder::new().memory_size(1 << 16).table_elements(2);
    let mut store = limited(&engine, limits);
    let limit = |result: Result<()>| assert_eq!(result.unwrap_err().kind(), ErrorKind::Limit);
    limit(Instance::new(&mut store, &two_pages, &[]).map(drop));
    limit(Instance::new(&mut store, &three_elements, &[]).map(drop));
    limit(Memory::new(&mut store, MemoryType::new(2, None)).map(drop));
    let ty = TableType::new(RefType::FUNCREF, 3, None);
    limit(Table::new(&mut store, ty, Ref::Func(None)).map(drop));
    Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
    let ty = TableType::new(RefType::FUNCREF, 2, None);
    Table::new(&mut store, ty, Ref::Func(None)).unwrap();
    *store.data_mut() = StoreLimits::default();
    Instance::new(&mut store, &two_pages, &[]).unwrap();
    Linker::new(&engine).instantiate(&mut store, &three_elements).unwrap();
}

#[test]
fn instances_memories_and_tables_are_counted() {
    let engine = engine();
    let empty = module(&engine, "(module)");
    let memory = module(&engine, "(module (memory 0))");
    let tables = module(&engine, "(module (table 0 funcref) (table 0 funcref))");
    let limits = StoreLimitsBuilder::new().instances(4).memories(2).tables(3);
    let mut store = limited(&engine, limits);
    let mut make = |module: &Module| Instance::new(&mut store, module, &[]).map(drop);
    make(&memory).unwrap();
    make(&memory).unwrap();
    assert_eq!(make(&memory).unwrap_err().kind(), ErrorKind::Limit);
    make(&tables).unwrap();
    assert_eq!(make(&tables).unwrap_err().kind(), ErrorKind::Limit);
    make(&empty).unwrap();
    let error = make(&empty).unwrap_err();
    assert!(error.to_string().contains("4 instances"), "{error}");
    assert!(Memory::new(&mut store, MemoryType::new(0, None)).is_err());
    let ty = || TableType::new(RefType::FUNCREF, 0, None);
    Table::new(&mut store, ty(), Ref::Func(None)).unwrap();
    assert!(Table::new(&mut store, ty(), Ref::Func(None)).is_err());
}

/// Notes what it is asked.
#[derive(Default)]
struct Noting {
    asked: Vec<(usize, usize, Option<usize>)>,
    failed: Vec<String>,
    refuse: Option<&'static str>,
}

impl ResourceLimiter for Noting {
    fn memory_growing(&mut self, now: usize, then: usize, max: Option<usize>) -> Result<bool> {
        self.asked.push((now, then, max));
        match self.refuse {
            Some("panic") => panic!("the limiter panics"),
            Some(why) => Err(Error::msg(why)),
            None => Ok(true),
        }
    }

    fn memory_grow_failed(&mut self, error: Error) -> Result<()> {
        self.failed.push(error.to_string());
        Ok(())
    }

    fn table_growing(&mut self, now: usize, then: usize, max: Option<usize>) -> Result<bool> {
        self.asked.push((now, then, max));
        Ok(true)
    }

    fn table_grow_failed(&mut self, error: Error) -> Result<()> {
        self.failed.push(error.to_string());
        Ok(())
    }
}

#[test]
fn a_limiter_of_the_embedder_is_asked_and_told() {
    let mut store = Store::new(&engine(), (7, Noting::default()));
    store.limiter(|data| &mut data.1);
    let instance = instance(&mut store, GROWS, &[]);
    let made = [(0, 1 << 16, Some(8 << 16)), (0, 2, Some(100)), (0, 0, None)];
    assert_eq!(std::mem::take(&mut store.data_mut().1.asked), made);
    let grow = instance.get_typed_func::<i32, i32>(&mut store, "memory_grow").unwrap();
    assert_eq!(grow.call(&mut store, 1).unwrap(), 1);
    assert_eq!(grow.call(&mut store, 7).unwrap(), -1);
    let table_grow = instance.get_typed_func::<i32, i32>(&mut store, "table_grow").unwrap();
    assert_eq!(table_grow.call(&mut store, 99).unwrap(), -1);
    let asked =
        [(1 << 16, 2 << 16, Some(8 << 16)), (2 << 16, 9 << 16, Some(8 << 16)), (2, 101, Some(100))];
    assert_eq!(store.data().1.asked, asked);
    assert_eq!(store.data().1.failed.len(), 2, "{:?}", store.data().1.failed);

    store.data_mut().1.refuse = Some("no more");
    let error = grow.call(&mut store, 1).unwrap_err();
    assert_eq!(error.root_cause(), "no more");
    store.data_mut().1.refuse = Some("panic");
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        drop(grow.call(&mut store, 1));
    }));
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"the limiter panics"));
    store.data_mut().1.refuse = None;
    assert_eq!(grow.call(&mut store, 1).unwrap(), 2);
    assert_eq!(store.into_data().0, 7);
}
