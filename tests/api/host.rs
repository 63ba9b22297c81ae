//! Functions of the host: types, callers, failures.

use crate::support::{engine, instance, module, trapped};
use precompile::*;

#[test]
fn closures_of_many_parameters_and_results() {
    let mut store = Store::new(&engine(), ());
    type F = Option<Func>;
    type X = Option<Rooted<ExternRef>>;
    type Reversed = (X, F, V128, f64, f32, i64, i32, X, F, V128, f64, f32, u64, i64, u32, i32);
    #[expect(clippy::too_many_arguments, reason = "that is the point")]
    fn all(
        a: i32,
        b: u32,
        c: i64,
        d: u64,
        e: f32,
        f: f64,
        g: V128,
        h: F,
        i: X,
        j: i32,
        k: i64,
        l: f32,
        m: f64,
        n: V128,
        o: F,
        p: X,
    ) -> Reversed {
        (p, o, n, m, l, k, j, i, h, g, f, e, d, c, b, a)
    }
    let func = Func::wrap(&mut store, all);
    let all_types = "i32 i32 i64 i64 f32 f64 v128 funcref externref \
                     i32 i64 f32 f64 v128 funcref externref";
    let reversed: Vec<&str> = all_types.split_whitespace().rev().collect();
    let gets: String = (0..16).map(|i| format!("(local.get {i})")).collect();
    let text = format!(
        r#"(module
            (type $t (func (param {all_types}) (result {})))
            (import "" "all" (func $all (type $t)))
            (table funcref (elem $all))
            (func (export "direct") (type $t) {gets} (call $all))
            (func (export "indirect") (type $t) {gets} (call_indirect (type $t) (i32.const 0))))"#,
        reversed.join(" ")
    );
    let instance = instance(&mut store, &text, &[func.into()]);
    let one = ExternRef::new(&mut store, 1u8).unwrap();
    let two = ExternRef::new(&mut store, String::from("two")).unwrap();
    let v = |x: u128| V128::from(x);
    for name in ["direct", "indirect"] {
        let typed = instance
            .get_typed_func::<
                (i32, u32, i64, u64, f32, f64, V128, F, X, i32, i64, f32, f64, V128, F, X),
                Reversed,
            >(&mut store, name)
            .unwrap();
        let got = typed
            .call(
                &mut store,
                (
                    -1,
                    u32::MAX,
                    i64::MIN,
                    u64::MAX,
                    1.5,
                    -2.5,
                    v(u128::MAX - 3),
                    Some(func),
                    Some(one),
                    7,
                    8,
                    f32::NAN,
                    f64::INFINITY,
                    v(5),
                    None,
                    Some(two),
                ),
            )
            .unwrap();
        assert!(Rooted::ref_eq(&store, &got.0.unwrap(), &two).unwrap());
        assert!(got.1.is_none());
        assert_eq!((got.2, got.3, got.5, got.6), (v(5), f64::INFINITY, 8, 7));
        assert!(got.4.is_nan());
        assert!(Rooted::ref_eq(&store, &got.7.unwrap(), &one).unwrap());
        assert_eq!(got.9, v(u128::MAX - 3));
        assert_eq!((got.10, got.11, got.12, got.13), (-2.5, 1.5, u64::MAX, i64::MIN));
        assert_eq!((got.14, got.15), (u32::MAX, -1));
        // It is the same function, wherever the reference has been.
        let back = got.8.unwrap();
        assert_eq!(back.ty(&store).to_string(), func.ty(&store).to_string());
    }
    let word = two.data(&store).unwrap().unwrap().downcast_ref::<String>();
    assert_eq!(word.map(String::as_str), Some("two"));
}

#[test]
fn dynamic_functions_of_hundreds_of_values() {
    const N: usize = 300;
    let engine = engine();
    let mut store = Store::new(&engine, ());
    let kinds = [ValType::I32, ValType::V128, ValType::F64, ValType::I64, ValType::F32];
    let types: Vec<_> = (0..N).map(|i| kinds[i % kinds.len()]).collect();
    let ty = FuncType::new(&engine, types.clone(), types.iter().rev().copied());
    let reverse = Func::new(&mut store, ty, |_, params, results| {
        for (result, param) in results.iter_mut().zip(params.iter().rev()) {
            *result = *param;
        }
        Ok(())
    });
    let list = |types: &[ValType]| types.iter().map(|t| format!("{t} ")).collect::<String>();
    let backwards: Vec<_> = types.iter().rev().copied().collect();
    let gets: String = (0..N).map(|i| format!("(local.get {i})")).collect();
    let text = format!(
        r#"(module (import "" "" (func $f (param {p}) (result {r})))
            (func (export "run") (param {p}) (result {r}) {gets} (call $f)))"#,
        p = list(&types),
        r = list(&backwards)
    );
    let instance = instance(&mut store, &text, &[reverse.into()]);
    let run = instance.get_func(&mut store, "run").unwrap();
    let val = |i: usize| match kinds[i % kinds.len()] {
        ValType::I32 => Val::I32(i as i32),
        ValType::I64 => Val::I64(-(i as i64)),
        ValType::F32 => (i as f32).into(),
        ValType::F64 => (i as f64 / 3.0).into(),
        _ => Val::V128(V128::from(u128::MAX / (i as u128 + 1))),
    };
    let params: Vec<_> = (0..N).map(val).collect();
    for func in [run, reverse] {
        let mut results = vec![Val::I32(0); N];
        func.call(&mut store, &params, &mut results).unwrap();
        for (i, result) in results.iter().rev().enumerate() {
            assert_eq!(format!("{result:?}"), format!("{:?}", val(i)));
        }
    }
}

const LOG: &str = r#"(module
    (import "" "log" (func $log (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (global (export "global") (mut i32) (i32.const 5))
    (data (i32.const 1024) "hello")
    (func (export "run") (result i32) (call $log (i32.const 1024) (i32.const 5))))"#;

#[test]
fn callers_have_data_and_exports() {
    let mut store = Store::new(&engine(), Vec::<String>::new());
    let log = Func::wrap(&mut store, |mut caller: Caller<'_, Vec<String>>, at: i32, len: i32| {
        assert!(caller.get_export("nothing").is_none());
        let memory = caller.get_export("memory").and_then(Extern::into_memory).unwrap();
        let global = caller.get_export("global").and_then(Extern::into_global).unwrap();
        let mut bytes = vec![0; len as usize];
        memory.read(&caller, at as usize, &mut bytes).unwrap();
        assert!(memory.read(&caller, 65533, &mut bytes).is_err());
        assert!(memory.write(&mut caller, usize::MAX, b"x").is_err());
        memory.write(&mut caller, at as usize, b"HELLO").unwrap();
        let (all, data) = memory.data_and_store_mut(&mut caller);
        data.push(String::from_utf8(bytes).unwrap());
        all[0] = data.len() as u8;
        let old = global.get(&mut caller).unwrap_i32();
        global.set(&mut caller, Val::I32(old + 1)).unwrap();
        assert_eq!(caller.data().len(), caller.data_mut().len());
        assert_eq!(caller.backtrace().frames().len(), 1);
        old
    });
    let instance = instance(&mut store, LOG, &[log.into()]);
    let run = instance.get_typed_func::<(), i32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 5);
    assert_eq!(run.call(&mut store, ()).unwrap(), 6);
    assert_eq!(*store.data(), ["hello", "HELLO"]);
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    assert_eq!(memory.data(&store)[0], 2);
}

#[test]
fn a_caller_without_wasm_has_no_exports() {
    let mut store = Store::new(&engine(), 0);
    let func = Func::wrap(&mut store, |mut caller: Caller<'_, i32>| {
        assert!(caller.get_export("memory").is_none());
        assert!(caller.backtrace().frames().is_empty());
        *caller.data_mut() += 1;
    });
    func.call(&mut store, &[], &mut []).unwrap();
    assert_eq!(*store.data(), 1);
}

#[derive(Debug, PartialEq)]
struct Mine(u32);

impl std::fmt::Display for Mine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "mine {}", self.0)
    }
}

impl std::error::Error for Mine {}

const FAIL: &str = r#"(module
    (import "" "fail" (func $fail (param i32) (result i64 f32 v128)))
    (func (export "run") (param i32) (call $fail (local.get 0)) drop drop drop))"#;

#[test]
fn errors_of_the_host_come_back_by_their_type() {
    let mut store = Store::new(&engine(), ());
    let fail = |n: i32| -> Result<(i64, f32, V128), Error> {
        match n {
            0 => Ok((1, 2.0, V128::from(3))),
            1 => Err(Mine(7).into()),
            2 => Err(Error::from(Mine(8)).context("in the plugin")),
            3 => Err(Trap::IntegerOverflow.into()),
            _ => Err(Error::msg("plain")),
        }
    };
    let typed = Func::wrap(&mut store, fail);
    let ty = typed.ty(&store);
    let dynamic =
        Func::new(&mut store, ty, move |_, params, _| fail(params[0].unwrap_i32()).map(|_| ()));
    for func in [typed, dynamic] {
        let instance = instance(&mut store, FAIL, &[func.into()]);
        let run = instance.get_typed_func::<i32, ()>(&mut store, "run").unwrap();
        run.call(&mut store, 0).unwrap();
        let error = run.call(&mut store, 1).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Mine(7)));
        assert_eq!(error.kind(), ErrorKind::Host);
        assert_eq!(error.downcast_ref::<WasmBacktrace>().unwrap().frames().len(), 1);
        assert_eq!(error.downcast::<Mine>().unwrap(), Mine(7));
        let error = run.call(&mut store, 2).unwrap_err();
        assert!(format!("{error:#}").contains("in the plugin: mine 8"), "{error:#}");
        assert_eq!(trapped(run.call(&mut store, 3)), Trap::IntegerOverflow);
        assert_eq!(run.call(&mut store, 4).unwrap_err().root_cause(), "plain");
        // The host calls it without wasm in between.
        let error = func.typed::<i32, (i64, f32, V128)>(&store).unwrap().call(&mut store, 1);
        assert!(error.unwrap_err().is::<Mine>());
    }
}

#[test]
fn wrong_types_are_refused() {
    let engine = engine();
    let mut store = Store::new(&engine, ());
    let func = Func::wrap(&mut store, |a: i32, b: f64| f64::from(a) + b);
    assert!(func.typed::<(i32, f32), f64>(&store).is_err());
    assert!(func.typed::<(i32, f64), ()>(&store).is_err());
    let mut one = [Val::I32(0)];
    let call = |store: &mut _, params: &[Val], results: &mut [Val]| {
        func.call(store, params, results).unwrap_err().to_string()
    };
    assert!(call(&mut store, &[Val::I32(1)], &mut one).contains("parameters"));
    assert!(call(&mut store, &[Val::I32(1), Val::F64(0)], &mut []).contains("results"));
    assert!(call(&mut store, &[Val::I32(1), Val::F32(0)], &mut one).contains("f64"));
    // What a dynamic function returns is checked as well.
    let ty = FuncType::new(&engine, [], [ValType::I32]);
    let liar = Func::new(&mut store, ty, |_, _, results| {
        results[0] = Val::I64(1);
        Ok(())
    });
    assert!(liar.call(&mut store, &[], &mut one).is_err());
    let text = r#"(module (import "" "" (func $f (result i32)))
        (func (export "run") (result i32) (call $f)))"#;
    let instance = instance(&mut store, text, &[liar.into()]);
    let run = instance.get_typed_func::<(), i32>(&mut store, "run").unwrap();
    let error = run.call(&mut store, ()).unwrap_err();
    assert!(format!("{error:#}").contains("expected a value of type i32"), "{error:#}");
    assert!(instance.get_typed_func::<(), i64>(&mut store, "run").is_err());
    assert!(instance.get_typed_func::<(), i32>(&mut store, "walk").is_err());
}

#[test]
fn imports_of_another_type_are_refused() {
    let mut store = Store::new(&engine(), ());
    let text = r#"(module (import "a" "b" (func (param i32))))"#;
    let module = module(store.engine(), text);
    let wrong = Func::wrap(&mut store, |_: i64| ());
    let memory = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
    for imports in [vec![], vec![wrong.into()], vec![memory.into()], vec![wrong.into(); 2]] {
        let error = Instance::new(&mut store, &module, &imports).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Link, "{error:?}");
    }
    let error = Linker::new(store.engine()).instantiate(&mut store, &module).unwrap_err();
    assert!(error.to_string().contains("`a::b`"), "{error}");
}
