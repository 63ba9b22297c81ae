//! Which directories are used, and what opening them leaves behind.

#![expect(clippy::disallowed_macros, reason = "not a library")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use precompile_cache::{
    Cache, Content, DirCache, DirOptions, Distrust, Error, ErrorKind, Key, Layers, Mode,
    TrustAnyone,
};

fn key() -> Key {
    Key::new([1; 32], [2; 32])
}

fn content() -> Content {
    Content::from_bytes(*b"content")
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[track_caller]
fn names_component(error: &Error, component: &Path) {
    assert!(error.is_untrusted(), "{error}");
    assert_eq!(error.path(), Some(component), "{error}");
    assert!(error.to_string().contains("--trust-dir"), "{error}");
}

#[test]
fn a_directory_that_others_write_to_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b");
    fs::create_dir_all(&path).unwrap();
    for refused in [path.clone(), folder.path().join("a")] {
        for bad in [0o777, 0o775, 0o757, 0o720, 0o702] {
            set_mode(&refused, bad);
            names_component(&DirCache::open(&path).unwrap_err(), &refused);
            names_component(&DirCache::open_read_only(&path).unwrap_err(), &refused);
        }
        assert_eq!(names(&path), [""; 0], "a refusal leaves nothing behind");
        set_mode(&refused, 0o755);
    }
    assert!(DirCache::open(&path).is_ok());
}

#[test]
fn a_sticky_ancestor_is_accepted_and_a_sticky_directory_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let sticky = folder.path().join("sticky");
    fs::create_dir(&sticky).unwrap();
    set_mode(&sticky, 0o1777);
    assert!(DirCache::open(sticky.join("cache")).is_ok());
    names_component(&DirCache::open(&sticky).unwrap_err(), &sticky);
    assert!(DirCache::open(tempfile::tempdir_in("/tmp").unwrap().path()).is_ok());
}

#[test]
fn a_foreign_owner_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b");
    fs::create_dir_all(&path).unwrap();
    let middle = folder.path().join("a");
    if chown(&middle, Some(12345), None).is_err() {
        eprintln!("skipped: only root can give files away");
        return;
    }
    let error = DirCache::open(&path).unwrap_err();
    names_component(&error, &middle);
    let owner = Distrust::Owner { uid: 12345 };
    assert!(matches!(error.kind(), ErrorKind::Untrusted { reason, .. } if *reason == owner));
    // Below a sticky ancestor as well: its owner could exchange what is in it.
    set_mode(&middle, 0o1777);
    names_component(&DirCache::open(&path).unwrap_err(), &middle);
    chown(&middle, Some(0), None).unwrap();
    let cache = DirCache::open(&path).unwrap();
    cache.add(&key(), &content(), b"").unwrap();
    chown(cache.entry_path(&key()), Some(12345), None).unwrap();
    names_component(&cache.get(&key()).unwrap_err(), &cache.entry_path(&key()));
    cache.add(&key(), &content(), b"").unwrap();
    assert!(cache.get(&key()).unwrap().is_some(), "it is replaced, owner and all");
}

#[test]
fn trust_can_be_given_explicitly() {
    let folder = tempfile::tempdir().unwrap();
    set_mode(folder.path(), 0o777);
    let options = DirOptions::new().dangerously_trust(TrustAnyone::i_vouch_for_every_writer());
    let cache = options.open(folder.path()).unwrap();
    assert!(cache.is_vouched());
    cache.add(&key(), &content(), b"").unwrap();
    set_mode(&cache.entry_path(&key()), 0o666);
    assert!(cache.get(&key()).unwrap().is_some());
    assert!(options.open_read_only(folder.path()).unwrap().get(&key()).unwrap().is_some());
    // Links and special files are refused all the same.
    fs::rename(cache.entry_path(&key()), folder.path().join("entry")).unwrap();
    symlink(folder.path().join("entry"), cache.entry_path(&key())).unwrap();
    assert!(cache.get(&key()).unwrap_err().is_corrupt());
}

#[test]
fn what_is_checked_is_what_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().join("real");
    let link = folder.path().join("link");
    symlink(&real, &link).unwrap();
    fs::create_dir(&real).unwrap();
    let cache = DirCache::open(&link).unwrap();
    assert_eq!(cache.path(), real.canonicalize().unwrap(), "links are resolved once");
    cache.add(&key(), &content(), b"").unwrap();
    // Another directory in its place is not looked at.
    fs::rename(&real, folder.path().join("moved")).unwrap();
    fs::create_dir(&real).unwrap();
    assert!(cache.get(&key()).unwrap().is_some());
    assert!(DirCache::open(&link).unwrap().get(&key()).unwrap().is_none());
}

#[test]
fn what_is_no_directory() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "text").unwrap();
    for path in [file.clone(), file.join("cache"), file.join("a/b")] {
        type Open = fn(&Path) -> Result<DirCache, Error>;
        let opens: [Open; 3] = [
            |path| DirCache::open(path),
            |path| DirCache::open_read_only(path),
            |path| DirCache::open_image(path),
        ];
        for open in opens {
            let error = open(&path).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::NotADirectory { .. }), "{error}");
            assert_eq!(error.path(), Some(file.as_path()));
        }
    }
    let missing = folder.path().join("missing");
    let error = DirCache::open_read_only(&missing).unwrap_err();
    assert!(error.is_missing() && error.path() == Some(missing.as_path()), "{error}");
    assert!(!missing.exists(), "nothing is created for reading");
    let loops = folder.path().join("loop");
    symlink(&loops, &loops).unwrap();
    assert!(DirCache::open(&loops).is_err());
    assert!(DirCache::open("").is_err());
}

#[test]
fn reading_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    DirCache::open_image(folder.path()).unwrap().add(&key(), &content(), b"").unwrap();
    let state = || {
        let mut state: Vec<(PathBuf, i64, i64)> = Vec::new();
        let mut todo = vec![folder.path().to_owned()];
        while let Some(path) = todo.pop() {
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
            state.push((path, metadata.mtime_nsec(), metadata.ctime_nsec()));
        }
        state
    };
    let before = state();
    let cache = DirCache::open_read_only(folder.path()).unwrap();
    assert!(cache.get(&key()).unwrap().is_some());
    assert!(cache.lock(&key(), std::time::Duration::MAX).unwrap().is_none());
    let refused = [cache.add(&key(), &content(), b""), cache.delete(&key())];
    for refused in refused {
        assert!(matches!(refused.unwrap_err().kind(), ErrorKind::ReadOnly { .. }));
    }
    drop(cache);
    assert_eq!(state(), before);
}

#[test]
fn a_user_cache_is_private_and_tagged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/cache");
    let cache = DirCache::open(&path).unwrap();
    cache.add(&key(), &content(), b"").unwrap();
    let entry = cache.entry_path(&key());
    assert_eq!(names(&path), [".gitignore", ".tmp", &key().to_string()[..64], "CACHEDIR.TAG"]);
    assert!(
        fs::read(path.join("CACHEDIR.TAG")).unwrap().starts_with(b"Signature: 8a477f597d28d17")
    );
    assert_eq!(names(&path.join(".tmp")), [""; 0]);
    for dir in [&folder.path().join("a"), &path, entry.parent().unwrap()] {
        assert_eq!(mode(dir), 0o700, "{}", dir.display());
    }
    assert_eq!(mode(&entry), 0o600);
}

#[test]
fn a_directory_in_use_gets_no_tags() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("source.c"), "text").unwrap();
    DirCache::open(folder.path()).unwrap().add(&key(), &content(), b"").unwrap();
    assert!(!folder.path().join(".gitignore").exists());
}

#[test]
fn one_directory_among_the_layers_is_trusted_by_any_of_its_names() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
    for path in [&one, &two] {
        DirCache::open(path).unwrap().add(&key(), &content(), b"").unwrap();
        set_mode(path, 0o777);
    }
    symlink("one", folder.path().join("link")).unwrap();
    let trusting = |path: &str| {
        let builder = Layers::builder().read_only(&one).read_write(&two);
        let promise = TrustAnyone::i_vouch_for_every_writer();
        builder.dangerously_trust_dir(folder.path().join(path), promise)
    };
    let problems = |path| {
        let layers = trusting(path).build();
        assert!(layers.is_vouched());
        let all =
            layers.problems().iter().map(|problem| problem.error.path().unwrap().to_path_buf());
        (all.collect::<Vec<_>>(), layers.lookup(&key()).is_hit())
    };
    for path in ["one", "one/", "link", "two/../one"] {
        assert_eq!(problems(path), (vec![two.clone()], true), "{path}");
    }
    assert_eq!(problems("two"), (vec![one.clone()], true));
    // Neither what is around it nor what is in it.
    for path in ["", ".", "three", "one/0101"] {
        assert_eq!(problems(path), (vec![one.clone(), two.clone()], false), "{path}");
    }
    // A reader does as well with the read-write directory.
    let reader = trusting("two").mode(Mode::ReadOnly).build();
    assert_eq!(reader.problems().len(), 1);
    assert!(reader.lookup(&key()).is_hit());
}

/// Somebody turns a link to and fro, in the hope that the trusted directory is compared and the other
/// one opened.
#[test]
fn what_was_compared_with_a_trusted_directory_is_what_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let others = Key::new([1; 32], [3; 32]);
    for (name, key) in [("one", key()), ("other", others)] {
        DirCache::open(path(name)).unwrap().add(&key, &content(), b"").unwrap();
        set_mode(&path(name), 0o777);
    }
    symlink("one", path("link")).unwrap();
    let (alive, over) = std::sync::mpsc::channel::<()>();
    let (mut trusted, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        let path = &path;
        scope.spawn(move || {
            let over = || over.try_recv() == Err(std::sync::mpsc::TryRecvError::Disconnected);
            for to in ["other", "one"].into_iter().cycle().take_while(|_| !over()) {
                symlink(to, path("next")).unwrap();
                fs::rename(path("next"), path("link")).unwrap();
            }
        });
        // Gone when this ends, however it ends.
        let _alive = alive;
        let start = std::time::Instant::now();
        let both = |trusted, refused| trusted > 0 && refused > 0;
        while start.elapsed().as_secs() < if both(trusted, refused) { 2 } else { 60 } {
            let promise = TrustAnyone::i_vouch_for_every_writer();
            let layers = Layers::builder().read_only(path("link"));
            let layers = layers.dangerously_trust_dir(path("one"), promise).build();
            assert!(!layers.lookup(&others).is_hit(), "after {trusted} and {refused}");
            match layers.lookup(&key()).is_hit() {
                true => trusted += 1,
                false => refused += 1,
            }
        }
    });
    assert!(trusted > 0 && refused > 0, "{trusted} {refused}");
}

#[test]
fn an_image_where_others_write_is_written_and_not_read() {
    let folder = tempfile::tempdir().unwrap();
    set_mode(folder.path(), 0o775);
    let cache = DirCache::open_image(folder.path()).unwrap();
    cache.add(&key(), &content(), b"").unwrap();
    names_component(&cache.get(&key()).unwrap_err(), folder.path());
    names_component(&cache.siblings(&[1; 32]).unwrap_err(), folder.path());
    drop(cache);
    set_mode(folder.path(), 0o755);
    assert!(DirCache::open_read_only(folder.path()).unwrap().get(&key()).unwrap().is_some());
}

#[test]
fn old_temporary_files_of_ours_are_swept() {
    let folder = tempfile::tempdir().unwrap();
    drop(DirCache::open(folder.path()).unwrap());
    let tmp = folder.path().join(".tmp");
    _ = fs::create_dir(&tmp);
    let now = std::time::SystemTime::now();
    let old = now - std::time::Duration::from_secs(3700);
    let put = |name: &str, time| {
        let file = fs::File::create(tmp.join(name)).unwrap();
        file.set_modified(time).unwrap();
        file
    };
    put("1-1", old);
    put("1-2", now);
    put("1-3", now + std::time::Duration::from_secs(3700));
    put("notes", old);
    let held = put("1-4", old);
    held.lock().unwrap();
    fs::create_dir(tmp.join("1-5")).unwrap();
    DirCache::open_read_only(folder.path()).unwrap();
    assert_eq!(names(&tmp).len(), 6, "a reader sweeps nothing");
    DirCache::open(folder.path()).unwrap();
    assert_eq!(names(&tmp), ["1-2", "1-3", "1-4", "1-5", "notes"]);
}
