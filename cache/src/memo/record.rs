//! The format of a record.
//!
//! All numbers are little-endian; times are seconds and nanoseconds since 1970.
//!
//! ```text
//!   0        8                24       32       40       48       56
//!   +--------+----------------+--------+--------+--------+--------+
//!   | magic, | boot id        | mount  | device | inode  | length |
//!   | kind   |                | id     |        |        |        |
//!   +--------+----------------+--------+--------+--------+--------+
//!  56       64       72       80                        112
//!   +--------+--------+--------+-------------------------+
//!   | mtime  | ctime  | mtime, | value                   |
//!   |        |        | ctime  |                         |
//!   +--------+--------+-ns-----+-------------------------+
//! 112      120      128                                160
//!   +--------+--------+----------------------------------+
//!   | noted  | clock  | SHA-256 of the 128 bytes before  |
//!   +--------+--------+----------------------------------+
//! ```
//!
//! *noted* is the time of the note; *clock* the time at which the machine was started, as the clock
//! had it then. When the clock is set, that moves; then nothing is known about what the time stamps
//! of files mean, and the record does not hold.

use sha2::{Digest, Sha256};

use super::Kind;
use super::identity::{Clock, FileIdentity};

pub(super) const RECORD: usize = 160;
const DIGESTED: usize = 128;
const MAGIC: [u8; 7] = *b"memo\x00\r\n";
/// Seconds that the clock may be corrected by without being set.
const SLACK: i64 = 2;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    kind: u8,
    identity: FileIdentity,
    pub(super) value: [u8; 32],
    pub(super) noted: i64,
}

impl Record {
    pub(super) fn new(kind: Kind, identity: &FileIdentity, value: [u8; 32]) -> Record {
        Record { kind: kind as u8, identity: identity.clone(), value, noted: identity.seen.now }
    }

    /// Whether it is about this very file, unchanged.
    pub(super) fn holds(&self, kind: Kind, identity: &FileIdentity) -> bool {
        let drift = self.identity.seen.booted.abs_diff(identity.seen.booted);
        self.kind == kind as u8
            && self.identity.is(identity)
            && self.identity.is_settled()
            && drift <= SLACK.unsigned_abs()
    }

    /// Whether it is about this file, as it is now or was.
    pub(super) fn is_same_file(&self, kind: Kind, identity: &FileIdentity) -> bool {
        self.kind == kind as u8
            && (self.identity.mount, self.identity.device, self.identity.inode)
                == (identity.mount, identity.device, identity.inode)
    }

    pub(super) fn is_of_this_boot(&self, identity: &FileIdentity) -> bool {
        self.identity.boot == identity.boot
    }

    pub(super) fn to_bytes(&self) -> [u8; RECORD] {
        let Record { kind, identity, value, noted } = self;
        let mut bytes = [0; RECORD];
        let mut rest = &mut bytes[..];
        let mut put = |field: &[u8]| {
            let (head, tail) = std::mem::take(&mut rest).split_at_mut(field.len());
            head.copy_from_slice(field);
            rest = tail;
        };
        put(&MAGIC);
        put(&[*kind]);
        put(&identity.boot);
        put(&identity.mount.to_le_bytes());
        put(&identity.device.to_le_bytes());
        put(&identity.inode.to_le_bytes());
        put(&identity.length.to_le_bytes());
        put(&identity.mtime.0.to_le_bytes());
        put(&identity.ctime.0.to_le_bytes());
        put(&identity.mtime.1.to_le_bytes());
        put(&identity.ctime.1.to_le_bytes());
        put(value);
        put(&noted.to_le_bytes());
        put(&identity.seen.booted.to_le_bytes());
        let digest = Sha256::digest(&bytes[..DIGESTED]);
        bytes[DIGESTED..].copy_from_slice(&digest);
        bytes
    }

    /// The record in `bytes`, if it is one and whole.
    pub(super) fn parse(bytes: &[u8]) -> Option<Record> {
        let (body, digest) = bytes.split_at_checked(DIGESTED)?;
        if !body.starts_with(&MAGIC) || Sha256::digest(body)[..] != *digest {
            return None;
        }
        let mut rest = &body[MAGIC.len()..];
        let [kind] = take(&mut rest)?;
        let boot = take(&mut rest)?;
        let mut number = || Some(u64::from_le_bytes(take(&mut rest)?));
        let (mount, device, inode, length) = (number()?, number()?, number()?, number()?);
        let (mtime, ctime) = (number()?.cast_signed(), number()?.cast_signed());
        let mtime = (mtime, u32::from_le_bytes(take(&mut rest)?));
        let ctime = (ctime, u32::from_le_bytes(take(&mut rest)?));
        let value = take(&mut rest)?;
        let noted = i64::from_le_bytes(take(&mut rest)?);
        let seen = Clock { now: noted, booted: i64::from_le_bytes(take(&mut rest)?) };
        let identity = FileIdentity { boot, mount, device, inode, length, mtime, ctime, seen };
        Some(Record { kind, identity, value, noted })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}
