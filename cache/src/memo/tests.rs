//! Records: what holds, what does not, and what damage does.

use std::fs;
use std::os::fd::AsFd;

use super::*;

/// A folder, the memos in it, and a file that they may be about.
struct Fixture {
    folder: tempfile::TempDir,
    file: File,
}

impl Fixture {
    fn new() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "content").unwrap();
        Fixture { file: File::open(path).unwrap(), folder }
    }

    fn memo(&self) -> Memo {
        let folder = File::open(self.folder.path()).unwrap();
        Memo::new(Disk::default(), folder.as_fd().try_clone_to_owned().unwrap())
    }

    /// The file as it will be in a while, if nobody changes it.
    fn settled(&self) -> Option<FileIdentity> {
        let mut identity = self.memo().identify(&self.file)?;
        identity.seen.now += 10;
        Some(identity)
    }

    fn table(&self) -> std::path::PathBuf {
        self.folder.path().join(format!(".memo-{}", rustix::process::geteuid().as_raw()))
    }
}

#[test]
fn what_is_noted_is_known_to_all() {
    let fixture = Fixture::new();
    let Some(identity) = fixture.settled() else { return };
    let memo = fixture.memo();
    assert_eq!(memo.recall(Kind::File, &identity), None);
    memo.note(Kind::File, &identity, [7; 32]);
    for memo in [&memo, &fixture.memo()] {
        assert_eq!(memo.recall(Kind::File, &identity), Some([7; 32]));
        assert_eq!(memo.recall(Kind::Entry, &identity), None, "another kind");
    }
    memo.note(Kind::File, &identity, [8; 32]);
    assert_eq!(fixture.memo().recall(Kind::File, &identity), Some([8; 32]));
    assert_eq!(memo.failures(), 0);
}

#[test]
fn each_part_of_the_identity_counts() {
    let fixture = Fixture::new();
    let Some(identity) = fixture.settled() else { return };
    let memo = fixture.memo();
    memo.note(Kind::File, &identity, [7; 32]);
    let changes: [fn(&mut FileIdentity); 9] = [
        |other| other.boot[15] ^= 1,
        |other| other.mount += 1,
        |other| other.device += 1,
        |other| other.inode += 1,
        |other| other.length += 1,
        |other| other.mtime.0 += 1,
        |other| other.mtime.1 ^= 1,
        |other| other.ctime.0 += 1,
        |other| other.ctime.1 ^= 1,
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut other = identity.clone();
        change(&mut other);
        assert_eq!(memo.recall(Kind::File, &other), None, "part {number}");
    }
}

#[test]
fn a_change_that_is_too_new_or_a_clock_that_was_set() {
    let fixture = Fixture::new();
    let Some(identity) = fixture.settled() else { return };
    let memo = fixture.memo();
    // Just changed; within two seconds; in the future, as after a clock that was set back; never.
    for now in [identity.ctime.0, identity.ctime.0 + 2, identity.ctime.0 - 3600] {
        let mut fresh = identity.clone();
        fresh.seen.now = now;
        memo.note(Kind::File, &fresh, [7; 32]);
        assert_eq!(memo.recall(Kind::File, &identity), None);
    }
    let mut timeless = identity.clone();
    timeless.ctime = (0, 0);
    memo.note(Kind::File, &timeless, [7; 32]);
    assert_eq!(memo.recall(Kind::File, &timeless), None);
    assert!(!fixture.table().exists(), "nothing was written at all");
    // A memo from before the clock was set does not hold after it, whichever way it was set.
    memo.note(Kind::File, &identity, [7; 32]);
    for jump in [-3600, -3, 3, 3600] {
        let mut later = identity.clone();
        later.seen.now += jump;
        later.seen.booted += jump;
        assert_eq!(memo.recall(Kind::File, &later), None, "{jump}");
    }
    let mut later = identity.clone();
    later.seen.now += 1_000_000;
    later.seen.booted += 1;
    assert_eq!(memo.recall(Kind::File, &later), Some([7; 32]), "time goes by");
}

#[test]
fn damage_makes_unknown() {
    let fixture = Fixture::new();
    let Some(identity) = fixture.settled() else { return };
    fixture.memo().note(Kind::File, &identity, [7; 32]);
    let good = fs::read(fixture.table()).unwrap();
    let start = good.len() - RECORD;
    for place in start..good.len() {
        let mut bytes = good.clone();
        bytes[place] ^= 1;
        fs::write(fixture.table(), &bytes).unwrap();
        assert_eq!(fixture.memo().recall(Kind::File, &identity), None, "{place}");
    }
    for length in [0, 1, start, good.len() - 1] {
        fs::write(fixture.table(), &good[..length]).unwrap();
        let memo = fixture.memo();
        assert_eq!(memo.recall(Kind::File, &identity), None, "{length}");
        memo.note(Kind::File, &identity, [8; 32]);
        assert_eq!(memo.recall(Kind::File, &identity), Some([8; 32]), "and is written again");
    }
}

#[test]
fn a_table_that_is_not_ours_is_not_used() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let fixture = Fixture::new();
    let Some(identity) = fixture.settled() else { return };
    fixture.memo().note(Kind::File, &identity, [7; 32]);
    for mode in [0o620, 0o602] {
        fs::set_permissions(fixture.table(), fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(fixture.memo().recall(Kind::File, &identity), None, "{mode:o}");
    }
    fs::set_permissions(fixture.table(), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(fixture.memo().recall(Kind::File, &identity).is_some());
    if std::os::unix::fs::chown(fixture.table(), Some(12345), None).is_ok() {
        assert_eq!(fixture.memo().recall(Kind::File, &identity), None, "another user's");
        std::os::unix::fs::chown(fixture.table(), Some(0), None).unwrap();
    }
    fs::rename(fixture.table(), fixture.folder.path().join("real")).unwrap();
    symlink("real", fixture.table()).unwrap();
    assert_eq!(fixture.memo().recall(Kind::File, &identity), None, "a link");
    fs::remove_file(fixture.table()).unwrap();
    fs::create_dir(fixture.table()).unwrap();
    assert_eq!(fixture.memo().recall(Kind::File, &identity), None, "a folder");
    fixture.memo().note(Kind::File, &identity, [7; 32]);
}

#[test]
fn the_table_is_bounded_and_keeps_the_newest() {
    let fixture = Fixture::new();
    let Some(identity) = fixture.settled() else { return };
    let memo = fixture.memo();
    let file = |number: u64| FileIdentity { inode: number, ..identity.clone() };
    for number in 0..20_000 {
        let mut identity = file(number);
        identity.seen.now += number as i64;
        memo.note(Kind::File, &identity, [7; 32]);
    }
    let metadata = fs::metadata(fixture.table()).unwrap();
    assert!(metadata.len() <= BUCKETS * BUCKET as u64, "{}", metadata.len());
    let known = |from: u64, to: u64| {
        (from..to).filter(|number| memo.recall(Kind::File, &file(*number)).is_some()).count()
    };
    assert!(known(19_000, 20_000) > 950, "of the newest nearly all: {}", known(19_000, 20_000));
    assert!(known(0, 10_000) < 500, "of the oldest few");
    // Those of another boot go first.
    let mut other = identity.clone();
    other.boot[0] ^= 1;
    other.seen.now += 1_000_000;
    memo.note(Kind::File, &other, [9; 32]);
    assert_eq!(memo.recall(Kind::File, &other), Some([9; 32]));
    memo.note(Kind::File, &identity, [7; 32]);
    assert_eq!(memo.recall(Kind::File, &identity), Some([7; 32]));
    assert_eq!(memo.recall(Kind::File, &other), None, "its place was taken");
}

#[test]
fn many_writers_make_no_wrong_record() {
    let fixture = Fixture::new();
    let Some(identity) = fixture.settled() else { return };
    // Four files of one bucket, and writers that change its records all the time.
    let bucket = place(Kind::File, &identity);
    let file = |number: u64| FileIdentity { inode: number, ..identity.clone() };
    let files: Vec<_> =
        (0..).map(file).filter(|file| place(Kind::File, file) == bucket).take(6).collect();
    std::thread::scope(|scope| {
        for writer in 0..4_u8 {
            let (fixture, files) = (&fixture, &files);
            scope.spawn(move || {
                let memo = fixture.memo();
                for round in 0..500 {
                    let number = (round + usize::from(writer)) % files.len();
                    memo.note(Kind::File, &files[number], [number as u8; 32]);
                    for (number, file) in files.iter().enumerate() {
                        let value = memo.recall(Kind::File, file);
                        assert!(value.is_none_or(|value| value == [number as u8; 32]));
                    }
                }
            });
        }
    });
}
