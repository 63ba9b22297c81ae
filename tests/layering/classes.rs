//! Each of the fifteen classes of bugs has a test that carries its number: `class_07_…`. What they
//! are is in `tests/classes/main.rs`.

use crate::source::{files, read};
use std::collections::{BTreeMap, BTreeSet};

const CLASSES: usize = 15;

/// The names of tests that carry a number, by what is between `class_` and the next `_`.
fn tests() -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files("", &["rs"]) {
        let code = file.tokens();
        for pair in code.windows(2).filter(|pair| pair[0] == "fn") {
            if let Some(name) = pair[1].strip_prefix("class_") {
                let number = name.split('_').next().unwrap_or_default();
                all.entry(number.into()).or_default().insert(pair[1].clone());
            }
        }
    }
    all
}

#[test]
fn each_class_has_a_test() {
    let tests = tests();
    for class in 1..=CLASSES {
        assert!(tests.contains_key(&format!("{class:02}")), "no test is called class_{class:02}_…");
    }
    for (number, names) in &tests {
        let known = number.len() == 2 && number.parse().is_ok_and(|n| (1..=CLASSES).contains(&n));
        assert!(known, "{number} is the number of no class, of two digits: {names:?}");
    }
}

#[test]
fn the_list_has_each_class() {
    let list = read("tests/classes/main.rs");
    for class in 1..=CLASSES {
        assert!(
            list.contains(&format!("//! | {class:02} |")),
            "class {class:02} is not in the list"
        );
    }
}
