//! Modules made for measuring.

use std::fmt::Write;

/// A module of `count` small functions that differ, the last of which is exported as `run`.
pub(crate) fn many_functions(count: usize) -> Vec<u8> {
    let mut text = String::from("(module (memory 1)\n");
    for i in 0..count {
        let callee = i / 2;
        writeln!(
            text,
            "(func $f{i} (param i32) (result i32)
               (i32.store (i32.and (local.get 0) (i32.const 0xfff8)) (i32.const {i}))
               (if (result i32) (i32.lt_u (local.get 0) (i32.const {}))
                 (then (i32.add (local.get 0) (i32.const {i})))
                 (else (call $f{callee} (i32.shr_u (local.get 0) (i32.const 1))))))",
            i * 7 + 1
        )
        .expect("writing to a string cannot fail");
    }
    writeln!(text, "(export \"run\" (func $f{})))", count - 1).expect("as above");
    wat::parse_str(&text).expect("the text is a module")
}
