//! What Linux's calls tell of a file: see `identity`.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::time::SystemTime;

use rustix::fs::{AtFlags, StatxFlags, StatxTimestamp};
use rustix::io::Errno;

use super::{Clock, FileIdentity};

/// ext2 to ext4, XFS, btrfs, tmpfs: see statfs(2).
const FILE_SYSTEMS: [u32; 4] = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994];
/// A mount's id that is never used again, since Linux 6.8.
const UNIQUE_MOUNT: StatxFlags = StatxFlags::from_bits_retain(0x4000);

impl FileIdentity {
    /// The identity of an open file; `None` where a ctime does not mean what it has to.
    pub(crate) fn of(file: &File) -> io::Result<Option<FileIdentity>> {
        // Before the file is looked at, so that what changes it later is later.
        let Some(seen) = Clock::read() else { return Ok(None) };
        let Some(boot) = boot_id() else { return Ok(None) };
        let system = rustix::fs::fstatfs(file)?;
        // The type is a word whose width and sign differ between platforms; magics have 32 bits.
        if !FILE_SYSTEMS.contains(&(system.f_type as u32)) {
            return Ok(None);
        }
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        let flags = AtFlags::EMPTY_PATH;
        let stat = match rustix::fs::statx(file.as_fd(), "", flags, wanted | UNIQUE_MOUNT) {
            Ok(stat) => stat,
            // An old kernel, or a sandbox that does not know the call.
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let has = StatxFlags::from_bits_retain(stat.stx_mask);
        let has_mount = has.intersects(StatxFlags::MNT_ID | UNIQUE_MOUNT);
        if !has.contains(StatxFlags::BASIC_STATS) || !has_mount {
            return Ok(None);
        }
        let time = |time: StatxTimestamp| (time.tv_sec, time.tv_nsec);
        Ok(Some(FileIdentity {
            boot,
            mount: stat.stx_mnt_id,
            device: u64::from(stat.stx_dev_major) << 32 | u64::from(stat.stx_dev_minor),
            inode: stat.stx_ino,
            length: stat.stx_size,
            mtime: time(stat.stx_mtime),
            ctime: time(stat.stx_ctime),
            seen,
        }))
    }
}

impl Clock {
    fn read() -> Option<Clock> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
        let now = i64::try_from(now).ok()?;
        let running = rustix::time::clock_gettime(rustix::time::ClockId::Boottime).tv_sec;
        Some(Clock { now, booted: now - running })
    }
}

/// What the kernel chose when it was started; `None` where `/proc` does not tell.
fn boot_id() -> Option<[u8; 16]> {
    static ID: OnceLock<Option<[u8; 16]>> = OnceLock::new();
    *ID.get_or_init(|| parse(&std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?))
}

fn parse(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text.trim_end().bytes().filter(|byte| *byte != b'-').collect();
    let mut id = [0; 16];
    if digits.len() != 32 {
        return None;
    }
    for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_id_is_a_uuid() {
        let id = parse("01234567-89ab-cdef-0123-456789abcdef\n").unwrap();
        assert_eq!(id[..5], [0x01, 0x23, 0x45, 0x67, 0x89]);
        assert_eq!(parse(""), None);
        assert_eq!(parse(&"g".repeat(32)), None);
    }
}
