//! Reading, writing, seeking; numbers of descriptors; flags and times.

use super::*;
use crate::types::{fdflags, fdstat, filetype};

#[test]
fn write_seek_read() {
    let mut guest = Guest::new();
    let fd = guest.open(ROOT, "file", CREAT, WRITE).unwrap();
    assert_eq!(fd, 4);
    assert_eq!(guest.write(fd, b"hello"), Ok(5));
    assert_eq!(guest.seek(fd, -4, 1), Ok(1));
    assert_eq!(guest.read(fd, 100).unwrap(), b"ello");
    assert_eq!(guest.read(fd, 100).unwrap(), b"");
    assert_eq!(guest.seek(fd, 0, 2), Ok(5));
    assert_eq!(guest.seek(fd, -1, 0), Err(Errno::INVAL));
    assert_eq!(guest.seek(fd, -6, 2), Err(Errno::INVAL));
    assert_eq!(guest.seek(fd, 0, 3), Err(Errno::INVAL));
    assert_eq!(guest.seek(1, 0, 1), Err(Errno::SPIPE));
    assert_eq!(guest.seek(ROOT, 0, 1), Err(Errno::BADF));
    assert_eq!(guest.stat("file", 0), Ok((filetype::REGULAR_FILE, 5)));
    guest.run(|ctx, mem| ctx.fd_filestat_set_size(mem, fd, 3)).unwrap();
    assert_eq!(guest.stat("file", 0), Ok((filetype::REGULAR_FILE, 3)));
    assert_eq!(guest.close(fd), Ok(()));
    assert_eq!(guest.close(fd), Err(Errno::BADF));
    assert_eq!(std::fs::read(guest.dir.path().join("file")).unwrap(), b"hel");
}

#[test]
fn at_an_offset_and_in_pieces() {
    let mut guest = Guest::new();
    let fd = guest.open(ROOT, "file", CREAT, WRITE).unwrap();
    guest.put(DATA, b"abcdef");
    for (i, (buf, len)) in [(DATA, 2), (0, 0), (DATA + 4, 2)].into_iter().enumerate() {
        guest.put(IOVS + 8 * i as u32, &u32::to_le_bytes(buf));
        guest.put(IOVS + 8 * i as u32 + 4, &u32::to_le_bytes(len));
    }
    guest.run(|ctx, mem| ctx.fd_pwrite(mem, fd, IOVS, 3, 2, OUT)).unwrap();
    guest.put(DATA, b"......");
    guest.run(|ctx, mem| ctx.fd_pread(mem, fd, IOVS, 3, 1, OUT)).unwrap();
    assert_eq!(get_u32(&guest.bytes, OUT as usize), 4);
    assert_eq!(&guest.bytes[DATA as usize..][..6], b"\0a..be");
    assert_eq!(guest.seek(fd, 0, 1), Ok(0));
    for offset in [1 << 63, u64::MAX] {
        assert_eq!(
            guest.run(|ctx, mem| ctx.fd_pread(mem, fd, IOVS, 3, offset, OUT)),
            Err(Errno::INVAL)
        );
    }
}

#[test]
fn bad_pointers_lose_nothing() {
    let mut guest = Guest::new();
    std::fs::write(guest.dir.path().join("file"), "data").unwrap();
    let fd = guest.open(ROOT, "file", 0, WRITE).unwrap();
    guest.iov(DATA, 4);
    for (out, error) in [(SIZE, Errno::FAULT), (u32::MAX, Errno::FAULT), (2, Errno::INVAL)] {
        assert_eq!(guest.run(|ctx, mem| ctx.fd_read(mem, fd, IOVS, 1, out)), Err(error));
        assert_eq!(guest.run(|ctx, mem| ctx.fd_write(mem, fd, IOVS, 1, out)), Err(error));
        assert_eq!(guest.run(|ctx, mem| ctx.fd_filestat_get(mem, fd, out)), Err(error));
        assert_eq!(guest.run(|ctx, mem| ctx.fd_tell(mem, fd, out)), Err(error));
        assert_eq!(
            guest.at("new", |ctx, mem, len| {
                ctx.path_open(mem, ROOT, 0, PATH, len, CREAT, WRITE, 0, 0, out)
            }),
            Err(error)
        );
    }
    assert!(!guest.dir.path().join("new").exists());
    guest.iov(SIZE - 1, 2);
    assert_eq!(guest.run(|ctx, mem| ctx.fd_read(mem, fd, IOVS, 1, OUT)), Err(Errno::FAULT));
    assert_eq!(
        guest.run(|ctx, mem| ctx.fd_read(mem, fd, IOVS, 1 << 29, OUT)),
        Err(Errno::OVERFLOW)
    );
    guest.iov(0, SIZE);
    assert_eq!(guest.seek(fd, 0, 1), Ok(0));
    assert_eq!(guest.read(fd, 10).unwrap(), b"data");
    assert_eq!(guest.open(ROOT, "bad\0name", CREAT, WRITE), Err(Errno::INVAL));
    let not_utf8 = guest.put(PATH, b"\xff");
    assert_eq!(
        guest.run(|ctx, mem| ctx.path_unlink_file(mem, ROOT, PATH, not_utf8)),
        Err(Errno::ILSEQ)
    );
}

#[test]
fn rights_decide_reading_and_writing() {
    let mut guest = Guest::new();
    std::fs::write(guest.dir.path().join("file"), "data").unwrap();
    let (none, read) = (guest.open(ROOT, "file", 0, 0), guest.open(ROOT, "file", 0, READ));
    let (none, read) = (none.unwrap(), read.unwrap());
    let write = guest.open(ROOT, "file", 0, rights::FD_WRITE).unwrap();
    assert_eq!(guest.read(none, 1), Err(Errno::BADF));
    assert_eq!(guest.write(read, b"x"), Err(Errno::BADF));
    assert_eq!(guest.read(write, 1), Err(Errno::BADF));
    assert_eq!(guest.write(write, b"D"), Ok(1));
    assert_eq!(guest.read(read, 9).unwrap(), b"Data");
    let size =
        |ctx: &mut WasiCtx, mem: &mut GuestMemory<'_>| ctx.fd_filestat_set_size(mem, read, 0);
    assert_eq!(guest.run(size), Err(Errno::BADF));
    guest.run(|ctx, mem| ctx.fd_fdstat_get(mem, read, STAT)).unwrap();
    let base = get_u64(&guest.bytes, STAT as usize + fdstat::RIGHTS_BASE);
    assert_eq!(base & (rights::FD_READ | rights::FD_WRITE), rights::FD_READ);
    assert_eq!(guest.open(ROOT, "file", 0, 1 << 40), Err(Errno::INVAL));
    assert_eq!(guest.open(ROOT, "file", 1 << 4, 0), Err(Errno::INVAL));
    assert_eq!(guest.open_with(ROOT, 2, "file", 0, 0, 0), Err(Errno::INVAL));
    assert_eq!(guest.open_with(ROOT, 0, "file", 0, 0, 1 << 5), Err(Errno::INVAL));
}

#[test]
fn open_flags() {
    let mut guest = Guest::new();
    std::fs::write(guest.dir.path().join("file"), "data").unwrap();
    guest.mkdir("dir").unwrap();
    guest.symlink("file", "link").unwrap();
    let (dir, excl, trunc) = (oflags::DIRECTORY, oflags::EXCL, oflags::TRUNC);
    for (path, oflags, base, error) in [
        ("none", 0, READ, Errno::NOENT),
        ("none/", CREAT, WRITE, Errno::ISDIR),
        ("none/file", CREAT, WRITE, Errno::NOENT),
        ("file", CREAT | excl, WRITE, Errno::EXIST),
        ("file", dir, READ, Errno::NOTDIR),
        ("file/", 0, READ, Errno::NOTDIR),
        ("file/x", CREAT, WRITE, Errno::NOTDIR),
        ("dir", dir | CREAT, READ, Errno::INVAL),
        ("dir", dir, WRITE, Errno::ISDIR),
        ("dir", CREAT, READ, Errno::ISDIR),
        ("dir", trunc, READ, Errno::ISDIR),
        ("", 0, READ, Errno::NOENT),
    ] {
        assert_eq!(guest.open(ROOT, path, oflags, base), Err(error), "{path} {oflags}");
    }
    assert_eq!(guest.open_with(ROOT, 0, "link", 0, READ, 0), Err(Errno::LOOP));
    for path in ["dir", "dir/", "dir///", ".", "dir/.."] {
        let fd = guest.open(ROOT, path, dir, READ).unwrap();
        assert!(guest.open(fd, "../../file", 0, READ).is_err(), "{path}");
        guest.close(fd).unwrap();
    }
    let fd = guest.open(ROOT, "link", trunc, READ).unwrap();
    assert_eq!(guest.stat("file", 0), Ok((filetype::REGULAR_FILE, 0)));
    assert_eq!(guest.open(fd, "x", 0, READ), Err(Errno::NOTDIR));
    assert_eq!(guest.open(99, "x", 0, READ), Err(Errno::BADF));
}

#[test]
fn appending_is_a_flag() {
    let mut guest = Guest::new();
    let flags = fdflags::APPEND | fdflags::SYNC;
    let fd = guest.open_with(ROOT, 0, "file", CREAT, WRITE, flags).unwrap();
    guest.write(fd, b"abc").unwrap();
    guest.seek(fd, 0, 0).unwrap();
    guest.write(fd, b"def").unwrap();
    let set =
        |guest: &mut Guest, flags| guest.run(|ctx, mem| ctx.fd_fdstat_set_flags(mem, fd, flags));
    assert_eq!(set(&mut guest, 0), Err(Errno::INVAL));
    assert_eq!(set(&mut guest, 1 << 5), Err(Errno::INVAL));
    assert_eq!(set(&mut guest, fdflags::SYNC), Ok(()));
    guest.seek(fd, 0, 0).unwrap();
    guest.write(fd, b"ABC").unwrap();
    assert_eq!(std::fs::read(guest.dir.path().join("file")).unwrap(), b"ABCdef");
    guest.run(|ctx, mem| ctx.fd_fdstat_get(mem, fd, STAT)).unwrap();
    assert_eq!(u32::from(guest.bytes[STAT as usize + fdstat::FLAGS]), fdflags::SYNC);
}

#[test]
fn renumbering() {
    let mut guest = Guest::new();
    let (a, b) = (guest.open(ROOT, "a", CREAT, WRITE), guest.open(ROOT, "b", CREAT, WRITE));
    let (a, b) = (a.unwrap(), b.unwrap());
    let mut renumber = |from, to| guest.run(|ctx, mem| ctx.fd_renumber(mem, from, to));
    assert_eq!(renumber(a, a), Ok(()));
    assert_eq!(renumber(a, b), Ok(()));
    assert_eq!(renumber(a, b), Err(Errno::BADF));
    assert_eq!(renumber(b, a), Err(Errno::BADF));
    assert_eq!(renumber(b, 1 << 30), Err(Errno::BADF));
    assert_eq!(renumber(b, 1), Ok(()));
    guest.write(1, b"to a").unwrap();
    assert_eq!(std::fs::read(guest.dir.path().join("a")).unwrap(), b"to a");
    // A preopened directory keeps its name when it moves, and can be closed.
    guest.run(|ctx, mem| ctx.fd_renumber(mem, ROOT, 0)).unwrap();
    guest.run(|ctx, mem| ctx.fd_prestat_get(mem, 0, OUT)).unwrap();
    assert_eq!(guest.run(|ctx, mem| ctx.fd_prestat_get(mem, ROOT, OUT)), Err(Errno::BADF));
    assert_eq!(guest.open(0, "a", 0, READ), Ok(ROOT));
}

#[test]
fn times() {
    let mut guest = Guest::new();
    let fd = guest.open(ROOT, "file", CREAT, WRITE).unwrap();
    let mtime = |guest: &mut Guest| {
        guest.stat("file", 0).unwrap();
        get_u64(&guest.bytes, STAT as usize + filestat::MTIM)
    };
    guest.set_mtime("file", 1_234_567_890).unwrap();
    assert_eq!(mtime(&mut guest), 1_234_567_890);
    let mut set =
        |at, flags| guest.run(|ctx, mem| ctx.fd_filestat_set_times(mem, fd, at, at, flags));
    assert_eq!(set(5, 4), Ok(()));
    for both in [1 | 2, 4 | 8, 15] {
        assert_eq!(set(6, both), Err(Errno::INVAL));
    }
    assert_eq!(set(6, 16), Err(Errno::INVAL));
    assert_eq!(mtime(&mut guest), 5);
    guest.run(|ctx, mem| ctx.fd_filestat_set_times(mem, fd, 0, 0, 8)).unwrap();
    assert!(mtime(&mut guest) > 1_600_000_000 * 1_000_000_000);
    let dir = guest.run(|ctx, mem| ctx.fd_filestat_set_times(mem, ROOT, 7, 7, 4));
    assert_eq!(dir, Ok(()));
    assert_eq!(guest.set_mtime("none", 1), Err(Errno::NOENT));
}

#[test]
fn what_is_not_supported() {
    let mut guest = Guest::new();
    let fd = guest.open(ROOT, "file", CREAT, WRITE).unwrap();
    assert_eq!(guest.run(|ctx, mem| ctx.fd_allocate(mem, fd, 0, 1)), Err(Errno::NOTSUP));
    assert_eq!(guest.run(|ctx, mem| ctx.fd_allocate(mem, 99, 0, 1)), Err(Errno::BADF));
    assert_eq!(guest.run(|ctx, mem| ctx.fd_fdstat_set_rights(mem, fd, 0, 0)), Err(Errno::NOTSUP));
    assert_eq!(guest.run(|ctx, mem| ctx.proc_raise(mem, 9)), Err(Errno::NOSYS));
    assert_eq!(guest.run(|ctx, mem| ctx.fd_advise(mem, fd, 0, 0, 6)), Err(Errno::INVAL));
    assert_eq!(guest.run(|ctx, mem| ctx.fd_advise(mem, fd, u64::MAX, 1, 0)), Err(Errno::INVAL));
    assert_eq!(guest.run(|ctx, mem| ctx.fd_advise(mem, fd, 0, 0, 3)), Ok(()));
    for fd in [fd, ROOT] {
        assert_eq!(guest.run(|ctx, mem| ctx.fd_sync(mem, fd)), Ok(()));
        assert_eq!(guest.run(|ctx, mem| ctx.fd_datasync(mem, fd)), Ok(()));
    }
}
