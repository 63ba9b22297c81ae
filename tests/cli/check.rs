//! Would everything hit?

use crate::support::{World, fixtures, program, tree};

#[test]
fn before_and_after() {
    let world = World::new();
    let cache = world.arg("cache");
    let files = [program("hello"), program("sort")].map(|path| path.to_str().unwrap().to_string());
    let check = |more: &[&str]| {
        let fixed = ["check", "--target", "x86_64-linux", "--cache-dir", &cache];
        world.run(&[&fixed[..], more, &[&files[0][..], &files[1]]].concat())
    };
    check(&[]).expect(4, &["Missing", "no entry of this module", "0 cached, 2 missing"]);
    assert!(!world.path("cache").exists());
    world.run(&["--target", "x86_64-linux", "--cache-dir", &cache, &files[0]]).expect(0, &[]);
    let before = tree(&world.path("cache"));
    check(&[]).expect(4, &["1 cached, 1 missing"]);
    world.run(&["--target", "x86_64-linux", "--cache-dir", &cache, &files[1]]).expect(0, &[]);
    check(&[]).expect(0, &["2 cached, 0 missing"]);
    check(&["--cpu", "x86-64-v3"]).expect(4, &["cpu is x86-64-v2, this engine needs x86-64-v3"]);
    check(&["--bounds", "explicit"]).expect(4, &["bounds is guard"]);
    check(&["--opt-level", "none"]).expect(4, &["opt-level is speed"]);
    check(&["--features", "-simd"]).expect(4, &["features is"]);
    assert_eq!(tree(&world.path("cache")).len(), before.len() + 2);
}

#[test]
fn inputs_that_fail_are_no_misses() {
    let world = World::new();
    let cache = world.arg("cache");
    let random = fixtures("bad/random.wasm");
    world.run(&["check", "--cache-dir", &cache, random.to_str().unwrap()]).expect(1, &["Invalid"]);
    world.run(&["check", "--cache-dir", &cache, "missing"]).expect(1, &["no such file"]);
}
