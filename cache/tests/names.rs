//! Lists of names: whose are used, what becomes of bad ones, and how they are changed.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use precompile_cache::testing::{Errno, Faults};
use precompile_cache::{
    Cache, DirCache, DirOptions, Distrust, ErrorKind, Event, LayerId, Layers, MissReason, Mode,
    Names, Observer, Policy, SigningKey, TrustedKeys,
};
use tempfile::TempDir;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn put(dir: &DirCache, name: &str, group: u8) -> Names {
    dir.update_names(|names| names.insert(name, [group; 32]).map(drop)).unwrap()
}

/// An image with a list, in which `a` is 1.
fn image() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    put(&DirCache::open_image(&path).unwrap(), "a", 1);
    (folder, path)
}

fn key(name: &str) -> SigningKey {
    SigningKey::generate(name).unwrap()
}

/// What becomes of the name `a` in a layer that is only read.
#[track_caller]
fn expect(path: &Path, expected: Result<u8, MissReason>) {
    let layers = Layers::builder().read_only(path).build();
    let lookup = layers.resolve("a");
    let found = lookup.outcome.map(|(_, group)| group[0]);
    assert_eq!(found, expected, "{lookup:?}");
    let stats = layers.stats();
    let counted = match expected {
        Ok(_) => 0,
        Err(MissReason::Corrupt) => stats.misses_corrupt,
        Err(MissReason::Untrusted) => stats.misses_untrusted,
        Err(MissReason::Io) => stats.misses_io,
        Err(_) => stats.misses_absent,
    };
    let all = stats.misses_absent + stats.misses_corrupt + stats.misses_untrusted + stats.misses_io;
    assert_eq!((counted, all), (expected.is_err().into(), expected.is_err().into()));
}

#[test]
fn an_image_has_its_list_beside_its_entries() {
    let (_folder, path) = image();
    let list = path.join("names");
    let metadata = fs::metadata(&list).unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o644);
    let names: Vec<_> = fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["names"]);
    expect(&path, Ok(1));
    // The same list is not written again, another one takes its place.
    let dir = DirCache::open_image(&path).unwrap();
    put(&dir, "a", 1);
    assert_eq!(fs::metadata(&list).unwrap().ino(), metadata.ino());
    let reader = DirCache::open_read_only(&path).unwrap();
    assert_eq!(reader.resolve("b").unwrap(), None);
    assert_eq!(put(&dir, "b", 2).len(), 2);
    assert_eq!(reader.resolve("b").unwrap(), Some([2; 32]), "it is read again");
    assert_eq!(Names::read(&list).unwrap(), *reader.names().unwrap().unwrap());
    assert_eq!(reader.resolve("c").unwrap(), None);
    // It is no foreign file, and goes with all that is ours.
    dir.survey(precompile_cache::Depth::Content, |item| panic!("{item:?}")).unwrap();
    dir.clean().unwrap();
    assert!(!list.exists());
    expect(&path, Err(MissReason::Absent));
    fs::write(&list, "my own names").unwrap();
    dir.clean().unwrap();
    assert!(list.exists(), "what is none of ours stays");
}

#[test]
fn what_is_no_list_is_not_used() {
    let (folder, path) = image();
    let list = path.join("names");
    let good = fs::read(&list).unwrap();
    for bad in [&good[1..], &good[..good.len() - 1], &[&good[..], &good[..]].concat(), b""] {
        fs::write(&list, bad).unwrap();
        expect(&path, Err(MissReason::Corrupt));
    }
    File::create(&list).unwrap().set_len(1 << 40).unwrap();
    expect(&path, Err(MissReason::Corrupt));
    let error = DirCache::open_read_only(&path).unwrap().names().unwrap_err();
    assert!(error.to_string().contains("longer than 64 MiB"), "{error}");
    assert!(Names::read(&list).unwrap_err().to_string().contains("longer than 64 MiB"));
    // A good one by another way.
    let elsewhere = folder.path().join("elsewhere");
    fs::write(&elsewhere, &good).unwrap();
    fs::remove_file(&list).unwrap();
    symlink(&elsewhere, &list).unwrap();
    expect(&path, Err(MissReason::Corrupt));
    fs::remove_file(&list).unwrap();
    fs::create_dir(&list).unwrap();
    expect(&path, Err(MissReason::Corrupt));
    fs::remove_dir(&list).unwrap();
    let fifo = std::process::Command::new("mkfifo").arg(&list).status().unwrap();
    assert!(fifo.success());
    expect(&path, Err(MissReason::Corrupt));
    // It is replaced when names are written, whatever it was.
    fs::remove_file(&list).unwrap();
    fs::write(&list, &good[1..]).unwrap();
    put(&DirCache::open_image(&path).unwrap(), "a", 3);
    expect(&path, Ok(3));
}

#[test]
fn a_list_that_others_write_to_is_not_used() {
    let (_folder, path) = image();
    let list = path.join("names");
    for mode in [0o666, 0o664, 0o646] {
        set_mode(&list, mode);
        expect(&path, Err(MissReason::Untrusted));
    }
    set_mode(&list, 0o644);
    expect(&path, Ok(1));
    // Only root can give it away.
    if chown(&list, Some(12345), None).is_ok() {
        expect(&path, Err(MissReason::Untrusted));
        chown(&list, Some(0), None).unwrap();
    }
    set_mode(&path, 0o777);
    expect(&path, Err(MissReason::Untrusted));
}

#[test]
fn names_that_others_may_have_written_are_neither_dropped_nor_taken_over() {
    let (_folder, path) = image();
    set_mode(&path, 0o777);
    let list = path.join("names");
    let good = fs::read(&list).unwrap();
    let signer = Arc::new(key("release-1"));
    let add = |options: DirOptions, name: &str| {
        let dir = options.open_image(&path).unwrap();
        dir.update_names(|names| names.insert(name, [2; 32]).map(drop))
    };
    let signing = || DirOptions::new().sign_with(Arc::clone(&signer));
    let signed = |options: DirOptions| {
        options.policy(Policy::Signed).trusted_keys(TrustedKeys::from(signer.public_key()))
    };
    for (options, told) in [
        (DirOptions::new(), "its mode 0777"),
        (signing(), "it is not signed"),
        (DirOptions::new().sign_with(key("release-1")), "it is not signed"),
        (signed(DirOptions::new()), "it is not signed"),
        (signed(signing()), "it is not signed"),
    ] {
        let error = add(options, "b").unwrap_err();
        assert!(error.is_untrusted() && error.to_string().contains(told), "{error}");
        assert_eq!(fs::read(&list).unwrap(), good);
    }
    // Where there is none, there is nothing to drop; and what the same key signed is kept.
    fs::remove_file(&list).unwrap();
    add(signing(), "a").unwrap();
    assert_eq!(add(signing(), "b").unwrap().len(), 2);
    let refuses = |options: DirOptions, told: &str| {
        let before = fs::read(&list).unwrap();
        let error = add(options, "c").unwrap_err();
        assert!(error.is_untrusted() && error.to_string().contains(told), "{error}");
        assert_eq!(fs::read(&list).unwrap(), before);
    };
    // Under the policy signed, too, where each of these signatures is believed.
    let refused = |options: DirOptions, told: &str| {
        refuses(options.clone(), told);
        refuses(signed(options), told);
    };
    refuses(DirOptions::new(), "its mode 0777");
    refuses(signed(DirOptions::new()), "signed by release-1, which is no trusted key");
    refused(DirOptions::new().sign_with(key("release-1")), "by release-1 does not hold");
    refused(DirOptions::new().sign_with(key("release-2")), "signed by release-1, which is no");
    refused(signing().names_scope("one"), "for no scope, and one for the scope \"one\"");
    fs::remove_file(&list).unwrap();
    add(signing().names_scope("one"), "a").unwrap();
    refused(signing(), "the scope \"one\", and one for no scope");
    refused(signing().names_scope("two"), "the scope \"one\", and one for the scope \"two\"");
    let both = add(signing().names_scope("one"), "b").unwrap();
    assert_eq!((both.len(), both.scope(), both.signer()), (2, Some("one"), Some("release-1")));
    assert_eq!(Names::read(&list).unwrap(), both);
    let more = add(signed(signing().names_scope("one")), "c").unwrap();
    assert_eq!((more.len(), more.scope(), more.signer()), (3, Some("one"), Some("release-1")));
    // What is no list at all may be somebody else's doing as well.
    let long = || File::create(&list).unwrap().set_len(1 << 40).unwrap();
    let link = || symlink("/dev/null", &list).unwrap();
    for make in [&long as &dyn Fn(), &link] {
        fs::remove_file(&list).unwrap();
        make();
        for (options, told) in [
            (signing().names_scope("one"), "its mode 0777"),
            (DirOptions::new(), "its mode 0777"),
            (signed(signing().names_scope("one")), "it is not signed"),
        ] {
            let error = add(options, "d").unwrap_err();
            assert!(error.is_untrusted() && error.to_string().contains(told), "{error}");
        }
        assert!(fs::symlink_metadata(&list).unwrap().len() != 0, "it is there");
    }
}

#[test]
fn what_others_signed_or_for_something_else_is_not_signed_anew() {
    let folder = tempfile::tempdir().unwrap();
    let [prod, dev] = ["prod-1", "dev-1"].map(|name| Arc::new(key(name)));
    let mut both = TrustedKeys::from(prod.public_key());
    both.extend(TrustedKeys::from(dev.public_key()));
    let options = |scope: &str, with: &Arc<SigningKey>| {
        let options = DirOptions::new().policy(Policy::Signed).trusted_keys(both.clone());
        options.names_scope(scope).sign_with(Arc::clone(with))
    };
    let path = |name: &str| folder.path().join(name);
    let place = path("place");
    fs::create_dir(&place).unwrap();
    set_mode(&place, 0o777);
    let reader = || options("prod", &prod).open_image(&place).unwrap();
    for (number, (scope, with, told)) in [
        ("staging", &dev, "signed by dev-1"),
        ("staging", &prod, "for the scope \"staging\""),
        ("prod", &dev, "signed by dev-1"),
    ]
    .into_iter()
    .enumerate()
    {
        let other = path(&number.to_string());
        put(&options(scope, with).open_image(&other).unwrap(), "evil", 6);
        fs::copy(other.join("names"), place.join("names")).unwrap();
        let before = fs::read(place.join("names")).unwrap();
        for error in [
            reader().update_names(|names| names.insert("good", [1; 32]).map(drop)).unwrap_err(),
            reader().sign_names(&prod).unwrap_err(),
        ] {
            assert!(error.is_untrusted() && error.to_string().contains(told), "{error}");
        }
        assert_eq!(fs::read(place.join("names")).unwrap(), before);
    }
    // One's own is changed, and found signed.
    fs::remove_file(place.join("names")).unwrap();
    assert_eq!(reader().sign_names(&prod).unwrap(), None);
    put(&reader(), "good", 1);
    assert_eq!(put(&reader(), "better", 2).len(), 2);
    assert_eq!(reader().sign_names(&prod).unwrap(), Some(false));
    assert_eq!(reader().resolve("better").unwrap(), Some([2; 32]));
}

#[test]
fn a_list_for_another_scope_is_not_used_by_who_asks_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let signer = Arc::new(key("release-1"));
    let scopes = [None, Some("one"), Some("two")];
    let path = |number: usize| folder.path().join(number.to_string());
    for (number, scope) in scopes.into_iter().enumerate() {
        let options = DirOptions::new().sign_with(Arc::clone(&signer));
        let options = scope.map_or(options.clone(), |scope| options.names_scope(scope));
        let names = put(&options.open_image(path(number)).unwrap(), "a", number as u8);
        assert_eq!(names.scope(), scope);
    }
    let layers = |number: usize, scope: Option<&str>, policy: Policy| {
        let layers = Layers::builder().read_only(path(number)).policy(policy);
        let layers = layers.trusted_keys(signer.public_key());
        scope.map_or(layers.clone(), |scope| layers.names_scope(scope)).build()
    };
    for (number, found) in scopes.into_iter().enumerate() {
        for wanted in [None, Some("one"), Some("two"), Some("three"), Some("")] {
            for policy in [Policy::Signed, Policy::Auto] {
                let lookup = layers(number, wanted, policy).resolve("a");
                if wanted.is_none() || wanted == found {
                    assert_eq!(lookup.outcome, Ok((LayerId::Layer(0), [number as u8; 32])));
                    continue;
                }
                assert_eq!(lookup.outcome, Err(MissReason::Untrusted));
                let error = lookup.miss_error().unwrap();
                let ErrorKind::Untrusted { reason, .. } = error.kind() else { panic!("{error}") };
                let [found, wanted] = [found, wanted].map(|scope| scope.map(String::from));
                assert_eq!(*reason, Distrust::Scope { found, wanted });
            }
        }
    }
    // What the key has signed for one directory, in the place of the list of another one.
    fs::copy(path(1).join("names"), path(2).join("names")).unwrap();
    let outcome = layers(2, Some("two"), Policy::Signed).resolve("a").outcome;
    assert_eq!(outcome, Err(MissReason::Untrusted));
    // And with the line changed.
    let text = fs::read_to_string(path(1).join("names")).unwrap();
    fs::write(path(2).join("names"), text.replace("scope one", "scope two")).unwrap();
    let lookup = layers(2, Some("two"), Policy::Signed).resolve("a");
    assert!(lookup.miss_error().unwrap().to_string().contains("does not hold"));
    // Signing again says for what.
    let dir = DirOptions::new().names_scope("two").open_image(path(1)).unwrap();
    assert_eq!(dir.sign_names(&signer).unwrap(), Some(true));
    assert_eq!(dir.sign_names(&signer).unwrap(), Some(false));
    let outcome = layers(1, Some("two"), Policy::Signed).resolve("a").outcome;
    assert_eq!(outcome, Ok((LayerId::Layer(0), [1; 32])));
    // A list keeps its own, unless another one is asked for.
    let unasked = DirCache::open_image(path(1)).unwrap();
    assert_eq!(put(&unasked, "b", 2).scope(), Some("two"));
    assert_eq!(put(&dir, "c", 2).len(), 3);
    dir.clean().unwrap();
    assert!(!path(1).join("names").exists());
}

#[test]
fn a_name_that_is_taken_out_is_asked_of_the_next_layer() {
    let (folder, below) = image();
    let own = folder.path().join("own");
    let dir = DirCache::open(&own).unwrap();
    put(&dir, "a", 2);
    let layers = Layers::builder().read_write(&own).below(&below).build();
    assert_eq!(layers.resolve("a").outcome, Ok((LayerId::Dir, [2; 32])));
    let removed = dir.update_names(|names| {
        assert_eq!(names.remove("a"), Some([2; 32]));
        Ok(())
    });
    assert!(removed.unwrap().is_empty());
    assert_eq!(layers.resolve("a").outcome, Ok((LayerId::Layer(0), [1; 32])));
    // It is gone when no list has it.
    let image = DirCache::open_image(&below).unwrap();
    image
        .update_names(|names| {
            names.remove("a");
            Ok(())
        })
        .unwrap();
    assert_eq!(layers.resolve("a").outcome, Err(MissReason::Absent));
}

#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Observer for Log {
    fn event(&self, event: &Event<'_>) {
        let Event::Unnamed { name, reason, .. } = event else { return };
        self.0.lock().unwrap().push(format!("{name} {reason}"));
    }
}

#[test]
fn under_the_policy_signed_lists_need_a_signature() {
    let (folder, path) = image();
    let signer = Arc::new(key("release-1"));
    let trusted = TrustedKeys::from(signer.public_key());
    let own = folder.path().join("own");
    put(&DirCache::open(&own).unwrap(), "b", 2);
    let log = Arc::new(Log::default());
    let layers = || {
        let layers = Layers::builder().read_only(&path).read_write(&own).observer(log.clone());
        layers.policy(Policy::Signed).trusted_keys(trusted.clone()).build()
    };
    let refused = |name: &str, wanted: &Distrust| {
        let layers = layers();
        let lookup = layers.resolve(name);
        assert_eq!(lookup.outcome, Err(MissReason::Untrusted));
        let error = lookup.miss_error().unwrap();
        let ErrorKind::Untrusted { reason, .. } = error.kind() else { panic!("{error}") };
        assert_eq!(reason, wanted);
        assert_eq!(layers.stats().misses_untrusted, 1);
    };
    refused("a", &Distrust::Unsigned);
    let image = DirCache::open_image(&path).unwrap();
    assert_eq!(image.sign_names(&key("other-1")).unwrap(), Some(true));
    refused("a", &Distrust::UnknownKey { name: "other-1".into() });
    assert_eq!(image.sign_names(&key("release-1")).unwrap(), Some(true));
    refused("a", &Distrust::BadSignature { name: "release-1".into() });
    assert_eq!(*log.0.lock().unwrap(), ["a untrusted"; 3]);
    assert_eq!(image.sign_names(&signer).unwrap(), Some(true));
    assert_eq!(image.sign_names(&signer).unwrap(), Some(false));
    // It is as good where anybody may write.
    for path in [&path, &path.join("names")] {
        set_mode(path, 0o777);
        _ = chown(path, Some(12345), None);
    }
    assert_eq!(layers().resolve("a").outcome, Ok((LayerId::Layer(0), [1; 32])));
    // What it does not have is asked of the user's own list, which has to be signed as well.
    refused("b", &Distrust::Unsigned);
    let options = DirOptions::new().sign_with(Arc::clone(&signer));
    put(&options.open(&own).unwrap(), "b", 2);
    assert_eq!(layers().resolve("b").outcome, Ok((LayerId::Dir, [2; 32])));
    assert_eq!(layers().resolve("c").outcome, Err(MissReason::Absent));
    // Each flipped byte and each length.
    let list = path.join("names");
    let good = fs::read(&list).unwrap();
    for place in 0..good.len() {
        let mut bytes = good.clone();
        bytes[place] ^= 1;
        for bytes in [&bytes[..], &good[..place]] {
            fs::write(&list, bytes).unwrap();
            let outcome = layers().resolve("a").outcome;
            assert_eq!(outcome, Err(MissReason::Untrusted), "{place}");
        }
    }
    // Without a key, a change takes the signature away.
    let own = DirCache::open(&own).unwrap();
    assert_eq!(put(&own, "b", 2).signer(), Some("release-1"));
    assert_eq!(put(&own, "b", 3).signer(), None);
}

#[test]
fn the_first_layer_that_can_tell_decides() {
    let (folder, first) = image();
    let second = folder.path().join("second");
    let dir = DirCache::open_image(&second).unwrap();
    put(&dir, "a", 2);
    put(&dir, "b", 2);
    let missing = folder.path().join("missing");
    let layers = || Layers::builder().read_only(&missing).read_only(&first).read_only(&second);
    let layers = |mode| layers().mode(mode).memory(1 << 20).build();
    let found = |name: &str, mode| layers(mode).resolve(name).outcome;
    assert_eq!(found("a", Mode::RequireHit), Ok((LayerId::Layer(1), [1; 32])));
    assert_eq!(found("b", Mode::Auto), Ok((LayerId::Layer(2), [2; 32])));
    assert_eq!(found("a", Mode::Off), Err(MissReason::Off));
    // It may have meant something else.
    fs::write(first.join("names"), "damaged").unwrap();
    assert_eq!(found("a", Mode::Auto), Err(MissReason::Corrupt));
    assert_eq!(found("b", Mode::Auto), Err(MissReason::Corrupt));
    fs::remove_file(first.join("names")).unwrap();
    assert_eq!(found("a", Mode::Auto), Ok((LayerId::Layer(2), [2; 32])));
}

#[test]
fn writers_at_once_lose_no_name() {
    let (_folder, path) = image();
    thread::scope(|scope| {
        for number in 0..8_u8 {
            let path = &path;
            scope.spawn(move || put(&DirCache::open_image(path).unwrap(), &number.to_string(), 9));
        }
    });
    assert_eq!(Names::read(path.join("names")).unwrap().len(), 9);
    let left: Vec<_> = fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["names"]);
}

#[test]
fn only_who_may_write_can_hold_up_writers() {
    let (_folder, path) = image();
    // Whoever can read the directory can lock it, and all that is in it that others can read.
    let reader = [File::open(&path).unwrap(), File::open(path.join("names")).unwrap()];
    reader.iter().for_each(|file| file.lock().unwrap());
    let start = std::time::Instant::now();
    put(&DirCache::open_image(&path).unwrap(), "soon", 9);
    assert!(start.elapsed() < Duration::from_secs(8), "it was waited for");
    // The right to write dies with its holder, and is waited for.
    let tmp = path.join(".tmp");
    fs::create_dir(&tmp).unwrap();
    let holder = File::create(tmp.join("names")).unwrap();
    holder.lock().unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(|| put(&DirCache::open_image(&path).unwrap(), "late", 9));
        thread::sleep(Duration::from_millis(50));
        assert!(!writer.is_finished());
        assert_eq!(fs::metadata(tmp.join("names")).unwrap().mode() & 0o022, 0);
        drop(holder);
        assert_eq!(writer.join().unwrap().len(), 3);
    });
    assert!(!tmp.exists(), "an image has nothing of it");
    // What a writer makes is for writers alone, while it is held.
    let dir = DirCache::open_image(&path).unwrap();
    dir.update_names(|_| {
        assert_eq!(fs::metadata(tmp.join("names")).unwrap().mode() & 0o7777, 0o600);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_hundred_thousand_names() {
    let (_folder, path) = image();
    let dir = DirCache::open_image(&path).unwrap();
    let name = |number: u32| format!("plugins/of/somebody/{number}");
    let all = dir.update_names(|names| {
        (0..100_000_u32).try_for_each(|number| {
            let mut group = [0; 32];
            group[..4].copy_from_slice(&number.to_le_bytes());
            names.insert(&name(number), group).map(drop)
        })
    });
    assert_eq!(all.unwrap().len(), 100_001);
    let layers = Layers::builder().read_only(&path).build();
    for number in (0..100_000).step_by(97) {
        let (_, group) = layers.resolve(&name(number)).outcome.unwrap();
        assert_eq!(group[..4], number.to_le_bytes());
    }
}

#[test]
fn each_fault_leaves_the_old_list_or_the_new_one() {
    let set_up = || {
        let folder = tempfile::tempdir().unwrap();
        let faults = Faults::new();
        let options = DirOptions::new().with_faults(&faults);
        let dir = options.open_image(folder.path().join("image")).unwrap();
        put(&dir, "a", 1);
        (folder, dir, faults)
    };
    let change =
        |dir: &DirCache| dir.update_names(|names| names.insert("b", [2; 32]).map(drop)).map(drop);
    let (_folder, dir, faults) = set_up();
    faults.heal();
    change(&dir).unwrap();
    let count = faults.log().len();
    assert!(count > 8, "{:?}", faults.log());
    for number in 0..count {
        for errno in [Errno::NOSPC, Errno::ROFS, Errno::ACCESS, Errno::IO, Errno::MFILE] {
            let (_folder, dir, faults) = set_up();
            faults.fail_nth(number, errno);
            let result = change(&dir);
            faults.heal();
            let names = dir.names().unwrap().unwrap();
            assert_eq!(names.get("a"), Some([1; 32]), "{number} {errno:?}");
            assert!(names.get("b").is_some() || result.is_err(), "{number} {errno:?}");
            // Nothing but a lock that could not be removed, which the next one does.
            let left = || fs::read_dir(dir.path().join(".tmp")).into_iter().flatten();
            assert!(left().all(|file| file.unwrap().file_name() == "names"));
            change(&dir).unwrap();
            assert_eq!(left().count(), 0);
        }
    }
    // And each one at reading is a miss with its reason, or harmless.
    let (_folder, dir, faults) = set_up();
    for number in 0..3 {
        let dir = DirOptions::new().with_faults(&faults).open_read_only(dir.path()).unwrap();
        faults.fail_nth(number, Errno::IO);
        let layers = Layers::builder().read_only_dir(dir).build();
        assert_eq!(layers.resolve("a").outcome, Err(MissReason::Io), "{number}");
        faults.heal();
        assert!(layers.resolve("a").outcome.is_ok());
    }
}
