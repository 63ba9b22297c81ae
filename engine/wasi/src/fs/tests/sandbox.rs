//! Ways out that must be closed, and permissions that must hold.

use super::*;
use crate::types::filetype;
use std::fs;
use std::os::unix::fs::symlink;

/// A guest whose directory lies beside one that it must not reach:
/// `outside/secret`, and in its own `file`, `dir/` and links that lead out.
fn beside_a_secret() -> (TempDir, Guest) {
    let host = tempfile::tempdir().unwrap();
    let (inside, outside) = (host.path().join("inside"), host.path().join("outside"));
    fs::create_dir_all(inside.join("dir")).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    fs::write(inside.join("file"), "file").unwrap();
    symlink(&outside, inside.join("abs")).unwrap();
    symlink(outside.join("secret"), inside.join("abs-file")).unwrap();
    symlink("..", inside.join("up")).unwrap();
    symlink("../outside/secret", inside.join("rel-file")).unwrap();
    symlink("dir/../../outside", inside.join("rel")).unwrap();
    symlink("/", inside.join("top")).unwrap();
    symlink("up", inside.join("chain")).unwrap();
    symlink("dir/../file", inside.join("fine")).unwrap();
    let mut guest = Guest::new();
    let mut builder = WasiCtx::builder();
    builder.preopened_dir(&inside, "/", DirPerms::all(), FilePerms::all()).unwrap();
    guest.ctx = builder.build();
    (host, guest)
}

const SECRETS: &[&str] = &[
    "../outside/secret",
    "dir/../../outside/secret",
    "./dir/.././../outside/secret",
    "abs/secret",
    "abs-file",
    "up/outside/secret",
    "chain/outside/secret",
    "rel/secret",
    "rel-file",
    "top/etc/passwd",
    "/etc/passwd",
    "//etc/passwd",
    "dir/../up/outside/secret",
];

#[test]
fn nothing_outside_is_opened() {
    let (host, mut guest) = beside_a_secret();
    for path in SECRETS {
        for (oflags, base) in [(0, READ), (CREAT, WRITE), (oflags::TRUNC, WRITE), (0, 0)] {
            assert_eq!(guest.open(ROOT, path, oflags, base), Err(Errno::PERM), "{path} {oflags}");
        }
        assert_eq!(guest.stat(path, 1), Err(Errno::PERM), "{path}");
        assert_eq!(guest.set_mtime(path, 1), Err(Errno::PERM), "{path}");
    }
    for path in ["..", "up", "abs", "rel", "top", "chain", "/", "../..", "up/", "dir/../.."] {
        assert_eq!(guest.open(ROOT, path, oflags::DIRECTORY, READ), Err(Errno::PERM), "{path}");
    }
    assert!(guest.open(ROOT, "fine", 0, READ).is_ok());
    assert_eq!(fs::read(host.path().join("outside/secret")).unwrap(), b"secret");
}

#[test]
fn nothing_outside_is_changed() {
    let (host, mut guest) = beside_a_secret();
    for path in ["../outside/x", "abs/x", "rel/x", "up/outside/x", "/tmp/x", "chain/outside/x"] {
        assert_eq!(guest.mkdir(path), Err(Errno::PERM), "{path}");
        assert_eq!(guest.symlink("file", path), Err(Errno::PERM), "{path}");
        assert_eq!(guest.rename(ROOT, "file", ROOT, path), Err(Errno::PERM), "{path}");
        assert_eq!(guest.link(ROOT, "file", ROOT, path), Err(Errno::PERM), "{path}");
        assert_eq!(guest.open(ROOT, path, CREAT, WRITE), Err(Errno::PERM), "{path}");
    }
    for path in ["../outside/secret", "abs/secret", "up/outside/secret", "rel/secret"] {
        assert_eq!(guest.unlink(path), Err(Errno::PERM), "{path}");
        assert_eq!(guest.rename(ROOT, path, ROOT, "mine"), Err(Errno::PERM), "{path}");
        assert_eq!(guest.link(ROOT, path, ROOT, "mine"), Err(Errno::PERM), "{path}");
    }
    for path in ["../outside", "..", "up/outside", "dir/../..", "dir/../../outside"] {
        assert_eq!(guest.rmdir(path), Err(Errno::PERM), "{path}");
    }
    // Links are removed, moved and linked as what they are.
    assert_eq!(guest.link(ROOT, "abs-file", ROOT, "abs-link"), Ok(()));
    assert_eq!(guest.open(ROOT, "abs-link", 0, READ), Err(Errno::PERM));
    assert_eq!(guest.rename(ROOT, "abs-link", ROOT, "dir/abs-link"), Ok(()));
    assert_eq!(guest.unlink("dir/abs-link"), Ok(()));
    assert_eq!(guest.unlink("rel-file"), Ok(()));
    let mut left: Vec<_> = fs::read_dir(host.path().join("outside")).unwrap().collect();
    assert_eq!(left.pop().unwrap().unwrap().file_name(), "secret");
    assert!(left.is_empty());
}

#[test]
fn links_tell_nothing_of_the_host() {
    let (_host, mut guest) = beside_a_secret();
    assert_eq!(guest.symlink("/etc/passwd", "new"), Err(Errno::PERM));
    assert_eq!(guest.symlink("", "new"), Err(Errno::NOENT));
    assert_eq!(guest.readlink("abs", 100), Err(Errno::PERM));
    assert_eq!(guest.readlink("up", 100).unwrap(), b"..");
    assert_eq!(guest.readlink("rel-file", 4).unwrap(), b"../o");
    assert_eq!(guest.readlink("rel-file", 0).unwrap(), b"");
    assert_eq!(guest.readlink("file", 100), Err(Errno::INVAL));
    assert_eq!(guest.stat("abs", 0).unwrap().0, filetype::SYMBOLIC_LINK);
}

#[test]
fn moved_directories_do_not_open_a_way_out() {
    let mut guest = Guest::new();
    guest.mkdir("a").unwrap();
    guest.mkdir("a/b").unwrap();
    let b = guest.open(ROOT, "a/b", oflags::DIRECTORY, READ).unwrap();
    guest.rename(ROOT, "a/b", ROOT, "b").unwrap();
    for path in ["..", "../a", "../../etc"] {
        assert_eq!(guest.open(b, path, 0, READ), Err(Errno::PERM));
    }
    assert_eq!(guest.rename(ROOT, "a", ROOT, "a/c"), Err(Errno::INVAL));
    assert_eq!(guest.symlink("loop", "loop"), Ok(()));
    assert_eq!(guest.open(ROOT, "loop", 0, READ), Err(Errno::LOOP));
    assert_eq!(guest.open(ROOT, "loop/x", 0, READ), Err(Errno::LOOP));
}

#[test]
fn trailing_slashes() {
    let mut guest = Guest::new();
    fs::write(guest.dir.path().join("file"), "").unwrap();
    assert_eq!(guest.mkdir("dir/"), Ok(()));
    assert_eq!(guest.unlink("file/"), Err(Errno::NOTDIR));
    assert_eq!(guest.unlink("dir/"), Err(Errno::ISDIR));
    assert_eq!(guest.rmdir("file/"), Err(Errno::NOTDIR));
    assert_eq!(guest.stat("file/", 0), Err(Errno::NOTDIR));
    assert_eq!(guest.symlink("x", "none/"), Err(Errno::NOENT));
    assert_eq!(guest.link(ROOT, "file", ROOT, "none/"), Err(Errno::NOENT));
    assert_eq!(guest.rename(ROOT, "file/", ROOT, "other"), Err(Errno::NOTDIR));
    assert_eq!(guest.rename(ROOT, "dir/", ROOT, "moved/"), Ok(()));
    assert_eq!(guest.symlink("moved", "link"), Ok(()));
    assert_eq!(guest.stat("link/", 0), guest.stat("moved", 0));
    assert_eq!(guest.rmdir("link/"), Err(Errno::NOTDIR));
    assert_eq!(guest.rmdir("moved///"), Ok(()));
    assert_eq!(guest.rmdir("/"), Err(Errno::PERM));
    assert_eq!(guest.rmdir("."), Err(Errno::INVAL));
    assert!(guest.dir.path().join("file").exists());
}

#[test]
fn read_only_holds() {
    let mut guest = Guest::with(DirPerms::READ, FilePerms::READ);
    let path = guest.dir.path().to_owned();
    fs::write(path.join("file"), "data").unwrap();
    fs::create_dir(path.join("dir")).unwrap();
    fs::write(path.join("dir/file"), "data").unwrap();
    let dir = guest.open(ROOT, "dir", oflags::DIRECTORY, READ).unwrap();
    let before = fs::metadata(path.join("file")).unwrap().modified().unwrap();
    for (fd, name) in [(ROOT, "file"), (dir, "file"), (ROOT, "new"), (dir, "new")] {
        for oflags in [CREAT, oflags::TRUNC, CREAT | oflags::TRUNC, CREAT | oflags::EXCL] {
            for base in [0, READ, WRITE, rights::FD_WRITE] {
                assert_eq!(guest.open(fd, name, oflags, base), Err(Errno::PERM));
            }
        }
        assert_eq!(guest.open(fd, name, 0, WRITE), Err(Errno::PERM));
        assert_eq!(guest.rename(fd, name, fd, "x"), Err(Errno::PERM));
        assert_eq!(guest.link(fd, name, fd, "x"), Err(Errno::PERM));
    }
    assert_eq!(guest.mkdir("x"), Err(Errno::PERM));
    assert_eq!(guest.rmdir("dir"), Err(Errno::PERM));
    assert_eq!(guest.unlink("file"), Err(Errno::PERM));
    assert_eq!(guest.symlink("file", "x"), Err(Errno::PERM));
    assert_eq!(guest.set_mtime("file", 1), Err(Errno::PERM));
    let file = guest.open(ROOT, "file", 0, READ).unwrap();
    for fd in [file, dir, ROOT] {
        let times = guest.run(|ctx, mem| ctx.fd_filestat_set_times(mem, fd, 1, 1, 5));
        assert_eq!(times, Err(Errno::PERM));
    }
    assert_eq!(guest.run(|ctx, mem| ctx.fd_filestat_set_size(mem, file, 0)), Err(Errno::BADF));
    assert_eq!(guest.read(file, 9).unwrap(), b"data");
    assert_eq!(fs::metadata(path.join("file")).unwrap().modified().unwrap(), before);
    assert_eq!(fs::read_dir(&path).unwrap().count(), 2);
}

#[test]
fn without_permission_to_look() {
    let mut guest = Guest::with(DirPerms::empty(), FilePerms::all());
    fs::write(guest.dir.path().join("file"), "data").unwrap();
    assert_eq!(guest.open(ROOT, "file", 0, READ), Err(Errno::PERM));
    assert_eq!(guest.stat("file", 1), Err(Errno::PERM));
    assert_eq!(guest.readlink("file", 9), Err(Errno::PERM));
    let list = guest.run(|ctx, mem| ctx.fd_readdir(mem, ROOT, DATA, 100, 0, OUT));
    assert_eq!(list, Err(Errno::PERM));
    let mut guest = Guest::with(DirPerms::READ, FilePerms::WRITE);
    fs::write(guest.dir.path().join("file"), "data").unwrap();
    assert_eq!(guest.open(ROOT, "file", 0, READ), Err(Errno::PERM));
    assert!(guest.open(ROOT, "file", 0, rights::FD_WRITE).is_ok());
}

#[test]
fn files_do_not_gain_permissions_by_moving() {
    let host = tempfile::tempdir().unwrap();
    let mut builder = WasiCtx::builder();
    for (name, files) in [("all", FilePerms::all()), ("read", FilePerms::READ)] {
        fs::create_dir(host.path().join(name)).unwrap();
        fs::write(host.path().join(name).join("file"), name).unwrap();
        builder.preopened_dir(host.path().join(name), name, DirPerms::all(), files).unwrap();
    }
    let mut guest = Guest::new();
    guest.ctx = builder.build();
    let (all, read) = (ROOT, ROOT + 1);
    assert_eq!(guest.rename(read, "file", all, "x"), Err(Errno::PERM));
    assert_eq!(guest.link(read, "file", all, "x"), Err(Errno::PERM));
    assert_eq!(guest.link(all, "file", read, "x"), Ok(()));
    assert_eq!(guest.open(read, "x", 0, WRITE), Err(Errno::PERM));
    assert_eq!(guest.rename(all, "file", read, "y"), Ok(()));
    assert_eq!(fs::read(host.path().join("read/file")).unwrap(), b"read");
}
