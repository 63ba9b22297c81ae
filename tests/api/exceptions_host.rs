//! Exceptions and the host: through its functions, thrown and caught by it, and what it is told
//! about those that nobody caught.

use crate::support::{engine, engines, instance, trapped};
use precompile::*;

fn names(error: &Error) -> Vec<String> {
    let frames = error.downcast_ref::<WasmBacktrace>().expect("a backtrace").frames();
    frames.iter().map(|frame| frame.func_name().unwrap_or("?").to_string()).collect()
}

/// Calls the host, which may call back.
const MODULE: &str = r#"(module
    (import "" "host" (func $host (param i32)))
    (import "" "tag" (tag $tag (param i32)))
    (func $throw (export "throw") (param i32) (throw $tag (local.get 0)))
    (func $call (export "call") (param i32) (call $host (local.get 0)))
    (func $call_in_place (export "call_in_place") (param i32) (return_call $host (local.get 0)))
    (func (export "catch_tail") (param i32) (result i32)
        (block $caught (result i32)
            (try_table (catch $tag $caught) (call $call_in_place (local.get 0)))
            (i32.const -1)))
    (func $catch (export "catch") (param i32) (result i32)
        (block $caught (result i32)
            (try_table (catch $tag $caught) (call $call (local.get 0)))
            (i32.const -1)))
    (func $catch_all (export "catch_all") (param i32) (result i32)
        (block $caught (try_table (catch_all $caught) (call $call (local.get 0)))
            (return (i32.const -1)))
        (i32.const -2)))"#;

struct Env {
    store: Store<Option<Instance>>,
    tag: Tag,
    instance: Instance,
}

impl Env {
    fn new(
        engine: &Engine,
        host: impl Fn(Caller<'_, Option<Instance>>, i32) -> Result<()> + Send + Sync + 'static,
    ) -> Env {
        let mut store = Store::new(engine, None);
        let ty = TagType::new(FuncType::new(engine, [ValType::I32], []));
        let tag = Tag::new(&mut store, &ty).unwrap();
        let host = Func::wrap(&mut store, host);
        let instance = instance(&mut store, MODULE, &[host.into(), tag.into()]);
        *store.data_mut() = Some(instance);
        Env { store, tag, instance }
    }

    fn run(&mut self, export: &str, x: i32) -> Result<i32> {
        let func = self.instance.get_typed_func::<i32, i32>(&mut self.store, export)?;
        func.call(&mut self.store, x)
    }
}

/// The exported function, of the instance that the store's data is.
fn exported(caller: &mut Caller<'_, Option<Instance>>, name: &str) -> Func {
    let instance = caller.data().expect("it was made");
    instance.get_func(caller, name).expect("it is exported")
}

#[test]
fn what_nobody_catches_is_an_error() {
    for (name, engine) in engines() {
        let mut env = Env::new(&engine, |_, _| Ok(()));
        let throw = env.instance.get_typed_func::<i32, ()>(&mut env.store, "throw").unwrap();
        let error = throw.call(&mut env.store, 7).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exception, "{name}");
        let thrown = error.downcast_ref::<ThrownException>().expect("an exception");
        let text = "a WebAssembly exception was thrown and not caught: its tag carries (i32)";
        assert_eq!(thrown.to_string(), text);
        assert_eq!(names(&error), ["throw"], "{name}");
        let exception = env.store.take_pending_exception().expect("it is pending");
        assert_eq!(exception.tag(&mut env.store).unwrap(), env.tag);
        assert_eq!(exception.field(&mut env.store, 0).unwrap().i32(), Some(7));
        assert!(exception.field(&mut env.store, 1).is_err());
        assert!(env.store.take_pending_exception().is_none());
        // In the start function as well.
        let text = "(module (tag $e (param f64)) (func $f (throw $e (f64.const 1))) (start $f))";
        let module = Module::new(&engine, text).unwrap();
        let error = Instance::new(&mut env.store, &module, &[]).unwrap_err();
        assert!(error.is::<ThrownException>() && error.to_string() == "in the start function");
        let pending = env.store.take_pending_exception().unwrap();
        assert_eq!(pending.fields(&mut env.store).unwrap()[0].f64(), Some(1.0));
    }
}

#[test]
fn the_host_throws() {
    for (name, engine) in engines() {
        let mut env = Env::new(&engine, |mut caller, x| {
            let instance = caller.data().unwrap();
            let module = instance.module(&caller).clone();
            assert_eq!(module.imports().last().unwrap().ty().to_string(), "tag (i32) -> ()");
            let ty = TagType::new(FuncType::new(caller.engine(), [ValType::I32], []));
            let other = Tag::new(&mut caller, &ty)?;
            let exception = ExnRef::new(&mut caller, &other, &[Val::I32(x)])?;
            caller.as_context_mut().throw(exception)
        });
        assert_eq!(env.run("catch_all", 3).unwrap(), -2, "{name}");
        // It is another tag, though of the same type.
        let error = env.run("catch", 3).unwrap_err();
        assert_eq!(names(&error), ["call", "catch"], "{name}");
        let exception = env.store.take_pending_exception().unwrap();
        let tag = exception.tag(&mut env.store).unwrap();
        assert!(!Tag::eq(&tag, &env.tag, &env.store));
        // The host calls the host.
        let call = env.instance.get_func(&mut env.store, "call").unwrap();
        assert!(call.call(&mut env.store, &[Val::I32(1)], &mut []).is_err());
        let direct = Func::wrap(&mut env.store, move |mut caller: Caller<'_, _>| -> Result<()> {
            caller.as_context_mut().throw(exception)
        });
        let error = direct.call(&mut env.store, &[], &mut []).unwrap_err();
        assert!(error.is::<ThrownException>());
        let pending = env.store.take_pending_exception().unwrap();
        assert!(Rooted::ref_eq(&env.store, &pending, &exception).unwrap());
    }
}

#[test]
fn exceptions_go_through_the_host() {
    for (name, engine) in engines() {
        let mut env = Env::new(&engine, |mut caller, x| {
            let throw = exported(&mut caller, "throw");
            throw.call(&mut caller, &[Val::I32(x)], &mut []).context("in the host")
        });
        for export in ["catch", "catch_tail"] {
            assert_eq!(env.run(export, 41).unwrap(), 41, "{name}, {export}");
        }
        assert!(env.store.take_pending_exception().is_none(), "{name}: it was caught");
        let call = env.instance.get_func(&mut env.store, "call").unwrap();
        let error = call.call(&mut env.store, &[Val::I32(42)], &mut []).unwrap_err();
        // What it was told on the way is still there, and where it was thrown.
        assert_eq!(error.chain().next().unwrap(), "in the host", "{name}");
        assert_eq!(names(&error), ["throw", "call"], "{name}");
        let exception = env.store.take_pending_exception().unwrap();
        assert_eq!(exception.field(&mut env.store, 0).unwrap().i32(), Some(42), "{name}");
    }
}

#[test]
fn the_host_catches() {
    for (name, engine) in engines() {
        let mut env = Env::new(&engine, |mut caller, x| {
            let throw = exported(&mut caller, "throw");
            let error = throw.call(&mut caller, &[Val::I32(x)], &mut []).unwrap_err();
            if x == 3 {
                // Whoever leaves it where it is has swallowed it all the same.
                return Ok(());
            }
            let exception = caller.as_context_mut().take_pending_exception().expect("thrown");
            match exception.field(&mut caller, 0)?.i32() {
                // The error alone throws nothing.
                Some(1) => Err(error),
                Some(2) => caller.as_context_mut().throw(exception),
                _ => Ok(()),
            }
        });
        assert_eq!(env.run("catch", 0).unwrap(), -1, "{name}");
        let error = env.run("catch_all", 1).unwrap_err();
        assert!(error.is::<ThrownException>(), "{name}");
        assert!(env.store.take_pending_exception().is_none(), "{name}");
        assert_eq!(env.run("catch", 2).unwrap(), 2, "{name}");
        assert_eq!(env.run("catch", 3).unwrap(), -1, "{name}");
    }
}

/// Entries in each other, each of which an exception leaves as an error.
/// An error stands for its exception for good, whatever gets the place of that in the heap.
#[test]
fn errors_of_exceptions_that_are_gone_throw_nothing() {
    for (name, engine) in engines() {
        let mut env = Env::new(&engine, |mut caller, x| {
            let throw = exported(&mut caller, "throw").typed::<i32, ()>(&caller)?;
            let old = throw.call(&mut caller, x).unwrap_err();
            {
                let mut scope = RootScope::new(&mut caller);
                assert!(scope.as_context_mut().take_pending_exception().is_some());
            }
            caller.gc(None)?;
            // The only exception that there is now.
            assert!(throw.call(&mut caller, x + 1).unwrap_err().is::<ThrownException>());
            Err(old)
        });
        let error = env.run("catch", 7).unwrap_err();
        assert!(error.is::<ThrownException>(), "{name}");
        let pending = env.store.take_pending_exception().expect("nobody took it");
        assert_eq!(pending.field(&mut env.store, 0).unwrap().unwrap_i32(), 8, "{name}");
    }
}

#[test]
fn many_activations() {
    for (name, engine) in engines() {
        let mut env = Env::new(&engine, |mut caller, x| {
            let next = exported(&mut caller, if x > 1 { "call" } else { "throw" });
            next.call(&mut caller, &[Val::I32(x - 1)], &mut [])
        });
        assert_eq!(env.run("catch", 50).unwrap(), 0, "{name}");
        let call = env.instance.get_func(&mut env.store, "call").unwrap();
        let error = call.call(&mut env.store, &[Val::I32(50)], &mut []).unwrap_err();
        let frames = names(&error);
        assert_eq!((frames.len(), &*frames[0], &*frames[50]), (51, "throw", "call"), "{name}");
    }
}

/// An error of one store says nothing to another one, whatever is pending there.
#[test]
fn stores_do_not_mix() {
    let engine = engine();
    let mut env = Env::new(&engine, |mut caller, _| {
        let mut inner = Env::new(caller.engine(), |_, _| Ok(()));
        let throw = inner.instance.get_func(&mut inner.store, "throw").unwrap();
        let error = throw.call(&mut inner.store, &[Val::I32(1)], &mut []).unwrap_err();
        let own = exported(&mut caller, "throw");
        own.call(&mut caller, &[Val::I32(2)], &mut []).unwrap_err();
        let foreign = inner.store.take_pending_exception().unwrap();
        assert!(foreign.tag(&mut caller).is_err() && foreign.fields(&mut caller).is_err());
        let wrong = caller.as_context_mut().throw::<()>(foreign).unwrap_err();
        assert!(!wrong.is::<ThrownException>());
        assert!(ExnRef::new(&mut caller, &inner.tag, &[Val::I32(0)]).is_err());
        Err(error)
    });
    let error = env.run("catch_all", 0).unwrap_err();
    assert!(error.is::<ThrownException>());
}

/// What the host fails with otherwise is not caught, nor are its panics.
#[test]
fn errors_and_panics_are_no_exceptions() {
    for (name, engine) in engines() {
        let mut env = Env::new(&engine, |_, x| match x {
            0 => Err(Error::msg("no such thing")),
            1 => Err(Trap::Interrupt.into()),
            _ => panic!("on purpose"),
        });
        let error = env.run("catch_all", 0).unwrap_err();
        assert_eq!(error.root_cause(), "no such thing", "{name}");
        assert_eq!(trapped(env.run("catch_all", 1)), Trap::Interrupt, "{name}");
        let run = std::panic::AssertUnwindSafe(|| env.run("catch_all", 2));
        assert!(std::panic::catch_unwind(run).is_err(), "{name}");
    }
}

/// A backtrace that the host takes after frames were unwound has none of them.
#[test]
fn class_13_backtraces_after_a_catch() {
    const AFTER: &str = r#"(module
        (import "" "look" (func $look))
        (tag $e)
        (func $deep (param i32)
            (if (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1)))))
            (call $look) (throw $e))
        (func $in_place (return_call $look))
        (func $run (export "run")
            (block $caught (try_table (catch_all $caught) (call $deep (i32.const 3))))
            (call $look)
            (block $caught (try_table (catch_all $caught) (call $in_place) (call $deep (i32.const 0))))
            (call $in_place)))"#;
    for (name, engine) in engines() {
        let mut store = Store::new(&engine, Vec::new());
        let look = Func::wrap(&mut store, |mut caller: Caller<'_, Vec<usize>>| {
            let trace = caller.backtrace();
            assert!(trace.frames().iter().all(|frame| frame.module_offset().is_some()));
            caller.data_mut().push(trace.frames().len());
        });
        let after = instance(&mut store, AFTER, &[look.into()]);
        let run = after.get_typed_func::<(), ()>(&mut store, "run").unwrap();
        run.call(&mut store, ()).unwrap();
        assert_eq!(*store.data(), [5, 1, 1, 2, 1], "{name}");
    }
}

#[test]
fn values_of_each_type_are_carried() {
    let engine = engine();
    let mut store = Store::new(&engine, ());
    let types = [
        ValType::I32,
        ValType::I64,
        ValType::F32,
        ValType::F64,
        ValType::V128,
        ValType::FUNCREF,
        ValType::EXTERNREF,
        ValType::EXNREF,
    ];
    let tag = Tag::new(&mut store, &TagType::new(FuncType::new(&engine, types, []))).unwrap();
    let own = Func::wrap(&mut store, || 5);
    let value = ExternRef::new(&mut store, 8).unwrap();
    let empty = TagType::new(FuncType::new(&engine, [], []));
    let empty = Tag::new(&mut store, &empty).unwrap();
    let inner = ExnRef::new(&mut store, &empty, &[]).unwrap();
    let sent = [
        Val::I32(-1),
        Val::I64(i64::MIN),
        Val::F32(0x7fc0_1234),
        Val::F64(0xfff8_0000_0000_4321),
        Val::V128((1u128 << 127 | 99).into()),
        own.into(),
        value.into(),
        inner.into(),
    ];
    let exception = ExnRef::new(&mut store, &tag, &sent).unwrap();
    let list = "i32 i64 f32 f64 v128 funcref externref exnref";
    let text = format!(
        "(module (import \"\" \"\" (tag $t (param {list})))
            (func $throw (param exnref) (throw_ref (local.get 0)))
            (func (export \"run\") (param exnref) (result {list})
                (block $caught (result {list})
                    (try_table (catch $t $caught) (call $throw (local.get 0)))
                    (unreachable))))"
    );
    let run = instance(&mut store, &text, &[tag.into()]);
    let run = run.get_func(&mut store, "run").unwrap();
    let mut results = [Val::I32(0); 8];
    run.call(&mut store, &[exception.into()], &mut results).unwrap();
    for (sent, got) in sent[..5].iter().zip(&results) {
        assert_eq!(format!("{sent:?}"), format!("{got:?}"));
    }
    let func = results[5].unwrap_func_ref().unwrap().typed::<(), i32>(&store).unwrap();
    assert_eq!(func.call(&mut store, ()).unwrap(), 5);
    let got = results[6].unwrap_extern_ref().unwrap();
    assert!(Rooted::ref_eq(&store, &got, &value).unwrap());
    let got = results[7].unwrap_exn_ref().unwrap();
    assert!(Rooted::ref_eq(&store, &got, &inner).unwrap());
    // Values that are not what the tag says.
    assert!(ExnRef::new(&mut store, &tag, &sent[..7]).is_err());
    assert!(ExnRef::new(&mut store, &empty, &[Val::I32(0)]).is_err());
    let number = TagType::new(FuncType::new(&engine, [ValType::I32], []));
    let number = Tag::new(&mut store, &number).unwrap();
    assert!(ExnRef::new(&mut store, &number, &[Val::I64(0)]).is_err());
}

#[test]
fn tags_are_imported_by_type() {
    let engine = engine();
    let mut store = Store::new(&engine, ());
    let number = TagType::new(FuncType::new(&engine, [ValType::I32], []));
    let tag = Tag::new(&mut store, &number).unwrap();
    assert_eq!(tag.ty(&store), number);
    let mut linker = Linker::new(&engine);
    linker.define(&store, "host", "tag", tag).unwrap();
    for (text, why) in [
        (r#"(import "host" "tag" (tag (param i64)))"#, "expected tag (i64) -> (), found tag (i32)"),
        (r#"(import "host" "tag" (func (param i32)))"#, "expected function (i32) -> (), found tag"),
        (r#"(import "host" "other" (tag))"#, "has not been defined (tag () -> ())"),
    ] {
        let module = Module::new(&engine, format!("(module {text})")).unwrap();
        let error = linker.instantiate(&mut store, &module).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Link);
        assert!(format!("{error:#}").contains(why), "{error:#}");
    }
    let text = r#"(module (import "host" "tag" (tag $t (param i32))) (export "again" (tag $t))
        (tag (export "own") (param i32)))"#;
    let module = Module::new(&engine, text).unwrap();
    assert!(module.get_export("own").is_some_and(|ty| ty.tag() == Some(&number)));
    let instance = linker.instantiate(&mut store, &module).unwrap();
    assert_eq!(instance.get_tag(&mut store, "again"), Some(tag));
    assert_ne!(instance.get_tag(&mut store, "own"), Some(tag));
    // A tag has no results; and belongs to one store.
    let results = TagType::new(FuncType::new(&engine, [], [ValType::I32]));
    assert!(Tag::new(&mut store, &results).is_err());
    let mut other = Store::new(&engine, ());
    assert!(linker.instantiate(&mut other, &module).is_err());
}
