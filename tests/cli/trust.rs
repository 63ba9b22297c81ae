//! Directories that the trust rule refuses, and the word that waives it for one of them.

use crate::support::{Ended, World, finish, is_root, program, set_mode};
use std::fs;
use std::os::unix::fs::{chown, symlink};

fn hello() -> String {
    program("hello").to_str().unwrap().to_string()
}

/// A world with a directory as an emptyDir has it: of mode 0777, without the sticky bit, and where
/// that is possible another user's.
fn world() -> (World, String) {
    let world = World::new();
    let path = world.path("empty");
    fs::create_dir(&path).unwrap();
    set_mode(&path, 0o777);
    if is_root() {
        chown(&path, Some(0), Some(12345)).unwrap();
    }
    let arg = world.arg("empty");
    (world, arg)
}

#[test]
fn an_open_directory_is_refused_and_used_when_it_is_trusted() {
    let (world, dir) = world();
    let hello = hello();
    let commands: [(&[&str], i32); 7] = [
        (&[], 3),
        (&["check"], 4),
        (&["explain"], 4),
        (&["run"], 0),
        (&["run", "--require-hit"], 124),
        (&["cache", "ls"], 3),
        (&["cache", "verify"], 3),
    ];
    let run = |command: &[&str], more: &[&str]| -> Ended {
        let input: &[&str] = if command.first() == Some(&"cache") { &[] } else { &[&hello] };
        world.run(&[command, &["--cache-dir", &dir], more, input].concat())
    };
    for (command, code) in commands {
        let ended = run(command, &[]);
        let said = format!("{}{}", ended.text(), ended.stderr);
        for text in [&*format!("untrusted cache path {dir}:"), "0777", "--trust-dir"] {
            assert!(said.contains(text), "{command:?}: {text} is not in {said}");
        }
        assert_eq!(ended.code, Some(code), "{command:?}");
    }
    assert!(world.entries("empty").is_empty());
    let trusted = ["--trust-dir", &dir];
    run(&[], &trusted).expect(0, &["1 compiled"]);
    for (command, _) in commands {
        run(command, &trusted).expect(0, &[]);
    }
    run(&["cache", "prune", "--max-size", "1"], &trusted).expect(0, &["Removed 1 entry"]);
    run(&["run"], &trusted).expect(0, &[]);
    run(&["cache", "clean"], &trusted).expect(0, &[]);
    assert!(world.entries("empty").is_empty());
    // Neither another directory nor the one around it is meant.
    for other in [world.arg(""), "/".to_string()] {
        run(&[], &["--trust-dir", &other]).expect(3, &["untrusted"]);
    }
    run(&[], &["--trust-dir", &world.arg("missing")]).expect(2, &["there is no such folder"]);
}

#[test]
fn the_component_is_named_wherever_it_is() {
    let (world, dir) = world();
    let below = format!("{dir}/a/cache");
    fs::create_dir_all(&below).unwrap();
    let warm = |more: &[&str]| world.run(&[&["--cache-dir", &below], more, &[&hello()]].concat());
    warm(&[]).expect(3, &[&format!("untrusted cache path {dir}:"), "--trust-dir"]);
    warm(&["--trust-dir", &dir]).expect(3, &["untrusted"]);
    warm(&["--trust-dir", &below]).expect(0, &["1 compiled"]);
}

#[test]
fn any_layer_may_be_the_one_and_by_any_name() {
    let (world, dir) = world();
    world.run(&["-q", "--cache-dir", &world.arg("own"), &hello()]).expect(0, &[]);
    world.run(&["--out", &dir, "--cache-dir", &world.arg("own"), &hello()]).expect(0, &[]);
    set_mode(&world.path("empty"), 0o777);
    symlink("empty", world.path("link")).unwrap();
    let run = |layer: &str, trusted: Option<&str>| {
        let mut command = world.command();
        command.env("PRECOMPILE_CACHE_DIR", "").env("PRECOMPILE_CACHE_PATH", layer);
        command.args(["run", "--require-hit"]);
        trusted.into_iter().for_each(|path| _ = command.args(["--trust-dir", path]));
        finish(command.arg(hello()), b"")
    };
    let link = world.arg("link");
    run(&dir, None).expect(124, &["untrusted", "--trust-dir"]);
    for (layer, trusted) in [(&dir, &dir), (&dir, &link), (&link, &dir), (&link, &link)] {
        run(layer, Some(trusted)).expect(0, &[]);
    }
    let below = ["run", "--require-hit", "--cache-dir", &world.arg("new"), "--below", &dir];
    world.run(&[&below[..], &[&hello()]].concat()).expect(124, &["untrusted"]);
    world.run(&[&below[..], &["--trust-dir", &dir, &hello()]].concat()).expect(0, &[]);
}

#[test]
fn a_sticky_ancestor_and_links_are_fine() {
    let world = World::new();
    // As /tmp is, whatever the folder of the tests is in.
    let tmp = world.path("tmp");
    fs::create_dir(&tmp).unwrap();
    set_mode(&tmp, 0o1777);
    let cache = world.arg("tmp/cache");
    world.run(&["--cache-dir", &cache, &hello()]).expect(0, &["1 compiled"]);
    symlink("tmp/cache", world.path("link")).unwrap();
    for name in [world.arg("link"), world.arg("tmp/../tmp/cache"), world.arg("link/.")] {
        world.run(&["--cache-dir", &name, &hello()]).expect(0, &["1 cached"]);
        let run = ["run", "--require-hit", "--cache-dir", &name, &hello()];
        world.run(&run).expect(0, &[]);
    }
    // Anybody can make the cache itself his own there.
    world.run(&["--cache-dir", &world.arg("tmp"), &hello()]).expect(3, &["untrusted", "1777"]);
    let own = tempfile::tempdir_in("/tmp").unwrap();
    let own = own.path().join("cache");
    world.run(&["--cache-dir", own.to_str().unwrap(), &hello()]).expect(0, &["1 compiled"]);
}

#[test]
fn what_is_warmed_for_one_c_library_is_found_with_the_other() {
    let world = World::new();
    for arch in ["x86_64", "aarch64"] {
        let target = |libc: &str| format!("{arch}-unknown-linux-{libc}");
        let command = |first: &[&str], libc: &str| {
            let fixed = ["--cache-dir", &world.arg("cache"), "--target", &target(libc), &hello()];
            world.run(&[first, &fixed].concat())
        };
        command(&[], "gnu").expect(0, &["1 compiled"]);
        command(&["check"], "musl").expect(0, &["1 cached"]);
        command(&["explain"], "musl").expect(0, &[]);
        command(&[], "musl").expect(0, &["0 compiled, 1 cached"]);
    }
    assert_eq!(world.entries("cache").len(), 2);
}
