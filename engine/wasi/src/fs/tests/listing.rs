//! Listing directories and the names of the preopened ones.

use super::*;
use crate::types::{dirent, filetype};
use std::collections::BTreeMap;

impl Guest {
    fn readdir(&mut self, fd: u32, len: u32, cookie: u64) -> Result<u32, Errno> {
        self.run(|ctx, mem| ctx.fd_readdir(mem, fd, DATA, len, cookie, OUT))?;
        Ok(get_u32(&self.bytes, OUT as usize))
    }

    /// Lists all of `fd` as a C library does: whole entries count, the next
    /// call starts where the last whole one says.
    fn list(&mut self, fd: u32, len: u32) -> BTreeMap<String, u8> {
        let mut names = BTreeMap::new();
        let mut cookie = 0;
        loop {
            let used = self.readdir(fd, len, cookie).unwrap();
            let mut buf = &self.bytes[DATA as usize..(DATA + used) as usize];
            while buf.len() >= dirent::SIZE {
                let end = dirent::SIZE + get_u32(buf, dirent::NAMLEN) as usize;
                if buf.len() < end {
                    break;
                }
                let name = std::str::from_utf8(&buf[dirent::SIZE..end]).unwrap();
                let twice = names.insert(name.to_owned(), buf[dirent::TYPE]);
                assert_eq!(twice, None, "{name}");
                cookie = get_u64(buf, dirent::NEXT);
                buf = &buf[end..];
            }
            if used < len {
                return names;
            }
        }
    }
}

#[test]
fn whatever_the_size_of_the_buffer() {
    let mut guest = Guest::new();
    let mut expected = BTreeMap::new();
    for n in 0..40 {
        let name = format!("file{}", "x".repeat(n));
        std::fs::write(guest.dir.path().join(&name), "").unwrap();
        expected.insert(name, filetype::REGULAR_FILE);
    }
    guest.mkdir("dir").unwrap();
    guest.symlink("nowhere", "link").unwrap();
    for name in [".", "..", "dir"] {
        expected.insert(name.to_owned(), filetype::DIRECTORY);
    }
    expected.insert("link".to_owned(), filetype::SYMBOLIC_LINK);
    // The longest entry has 24 and 43 bytes.
    for len in [67, 68, 100, 333, 4096, 60_000] {
        assert_eq!(guest.list(ROOT, len), expected, "{len}");
    }
}

#[test]
fn an_entry_is_cut_where_the_buffer_ends() {
    let mut guest = Guest::new();
    std::fs::write(guest.dir.path().join("name"), "").unwrap();
    for len in 0..24 + 1 {
        guest.bytes[DATA as usize..].fill(0xee);
        assert_eq!(guest.readdir(ROOT, len, 0), Ok(len));
        assert!(guest.bytes[(DATA + len) as usize..].iter().all(|&b| b == 0xee));
    }
    assert_eq!(guest.readdir(ROOT, SIZE, 0), Err(Errno::FAULT));
    assert_eq!(guest.readdir(ROOT, 100, u64::MAX), Err(Errno::INVAL));
    assert_eq!(guest.readdir(1, 100, 0), Err(Errno::NOTDIR));
    assert_eq!(guest.readdir(99, 100, 0), Err(Errno::BADF));
}

#[test]
fn removing_while_listing() {
    let mut guest = Guest::new();
    for n in 0..200 {
        std::fs::write(guest.dir.path().join(format!("{n}")), "").unwrap();
    }
    let (mut cookie, mut removed) = (0, 0);
    loop {
        let used = guest.readdir(ROOT, 300, cookie).unwrap();
        let buf = guest.bytes[DATA as usize..(DATA + used) as usize].to_vec();
        let mut buf = &buf[..];
        while buf.len() >= dirent::SIZE {
            let end = dirent::SIZE + get_u32(buf, dirent::NAMLEN) as usize;
            if buf.len() < end {
                break;
            }
            let name = std::str::from_utf8(&buf[dirent::SIZE..end]).unwrap();
            if !name.starts_with('.') {
                guest.unlink(name).unwrap();
                removed += 1;
            }
            cookie = get_u64(buf, dirent::NEXT);
            buf = &buf[end..];
        }
        if used < 300 {
            break;
        }
    }
    assert_eq!(removed, 200);
}

#[test]
fn names_of_preopened_directories() {
    let dir = tempfile::tempdir().unwrap();
    let mut builder = WasiCtx::builder();
    builder.preopened_dir(dir.path(), "/data", DirPerms::all(), FilePerms::all()).unwrap();
    let missing =
        builder.preopened_dir(dir.path().join("none"), "/x", DirPerms::all(), FilePerms::all());
    assert_eq!(missing.err().map(|e| e.kind()), Some(std::io::ErrorKind::NotFound));
    let mut ctx = builder.build();
    let mut bytes = [0xff; 32];
    let mut mem = GuestMemory::new(&mut bytes);
    assert_eq!(ctx.fd_prestat_get(&mut mem, 3, 0), Ok(()));
    assert_eq!(ctx.fd_prestat_get(&mut mem, 4, 0), Err(Errno::BADF));
    assert_eq!(ctx.fd_prestat_get(&mut mem, 0, 0), Err(Errno::BADF));
    assert_eq!(ctx.fd_prestat_dir_name(&mut mem, 3, 8, 4), Err(Errno::NAMETOOLONG));
    assert_eq!(ctx.fd_prestat_dir_name(&mut mem, 3, 8, 6), Ok(()));
    assert_eq!(ctx.fd_prestat_dir_name(&mut mem, 3, 30, 6), Err(Errno::FAULT));
    assert_eq!(&bytes[..8], [0, 0, 0, 0, 5, 0, 0, 0]);
    assert_eq!(&bytes[8..14], b"/data\xff");
}
