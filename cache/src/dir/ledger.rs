//! What the entries of a directory take, known to all processes that add to it under a budget,
//! without counting them after each add.
//!
//! A file with two numbers, changed under a lock: the bytes of all entries as far as known, and
//! when they were last counted. Whoever adds an entry adds its length there, and counts anew, and
//! prunes, when the sum exceeds the budget or the last count is long ago. So the numbers may be
//! wrong for a while: by those who add without a budget, who are killed in between, or who replace
//! an entry; a count mends that, and a file that does not make sense is as good as none.

use std::fs::File;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::prune::Way;
use super::{Access, DirCache, Pruned, is_absent, layout, read};
use crate::budget::Budget;
use crate::error::{Error, Result};
use crate::key::{Key, to_hex};

/// How long to wait for another one that counts and prunes.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);
/// When there was too much: how much of the limit is left full, in percent, so that not each add
/// after it has to prune.
const GOAL: u64 = 90;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Numbers {
    bytes: u64,
    /// Seconds since 1970.
    counted: u64,
}

impl DirCache {
    /// Notes that the entries of `keys` were added, and keeps the directory within `budget`: `None`
    /// when there was no need to look. The last of them stays, even if it is too large by itself.
    pub(crate) fn keep_within(&self, budget: &Budget, keys: &[Key]) -> Result<Option<Pruned>> {
        // What an image takes is decided by who makes it.
        if self.access != Access::Write {
            return Ok(None);
        }
        let length = |key: &Key| -> Option<u64> {
            let folder = self.disk.pass_over(self.open_group(key.group()))??;
            match self.disk.stat_at(folder.as_fd(), &to_hex(key.id())) {
                Err(error) if is_absent(&error) => None,
                stat => self.disk.pass_over(stat).map(|stat| read::length(&stat)),
            }
        };
        // What is gone already takes nothing.
        let length: u64 = keys.iter().filter_map(length).sum();
        let way = Way { is_dry: false, goal: GOAL, keep: keys.last() };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = now.as_secs();
        let Some(file) = self.open_ledger()? else { return Ok(None) };
        let known = self.read_ledger(&file);
        let numbers = known.map(|known| Numbers { bytes: known.bytes + length, ..known });
        let is_due = |counted: u64| {
            // A count in the future was before the clock jumped back.
            counted > now || now - counted >= budget.interval.as_secs()
        };
        if let Some(numbers) = numbers
            && !is_due(numbers.counted)
            && self.limit(budget, numbers.bytes).is_none_or(|limit| numbers.bytes <= limit)
        {
            self.write_ledger(&file, numbers)?;
            return Ok(None);
        }
        let pruned = self.prune_by(budget, way)?;
        self.write_ledger(&file, Numbers { bytes: pruned.bytes, counted: now })?;
        Ok(Some(pruned))
    }

    /// The ledger, locked; `None` when another one holds it for long, who counts then.
    fn open_ledger(&self) -> Result<Option<File>> {
        let folder = self.own_dir(layout::LOCKS)?;
        let failed = |error| {
            let path = self.path.join(layout::LOCKS).join(layout::LEDGER);
            Error::io("open the ledger", Some(&path), error)
        };
        let start = Instant::now();
        let file = self.disk.open_lock(folder.as_fd(), layout::LEDGER).map_err(failed)?;
        while !self.disk.try_lock(&file).map_err(failed)? {
            if start.elapsed() >= PATIENCE {
                return Ok(None);
            }
            thread::sleep(PAUSE);
        }
        Ok(Some(file))
    }

    fn read_ledger(&self, file: &File) -> Option<Numbers> {
        let mut text = [0; 64];
        let length = self.disk.pass_over(self.disk.read_at(file, &mut text, 0))?;
        Numbers::parse(&text[..length])
    }

    fn write_ledger(&self, file: &File, numbers: Numbers) -> Result<()> {
        self.disk.write(file, numbers.to_text().as_bytes()).map_err(|error| {
            let path = self.path.join(layout::LOCKS).join(layout::LEDGER);
            Error::io("write the ledger", Some(&path), error)
        })
    }
}

impl Numbers {
    /// Always of one length, so that writing over it leaves nothing of what was there.
    fn to_text(self) -> String {
        format!("{:020} {:020}\n", self.bytes, self.counted)
    }

    fn parse(text: &[u8]) -> Option<Numbers> {
        let (bytes, counted) =
            std::str::from_utf8(text).ok()?.strip_suffix('\n')?.split_once(' ')?;
        // More than any disk has is damage, and must not overflow in a sum.
        let bytes = bytes.parse().ok().filter(|bytes| *bytes < 1 << 60)?;
        Some(Numbers { bytes, counted: counted.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_read_as_it_was_written() {
        let numbers = Numbers { bytes: 12, counted: u64::MAX };
        assert_eq!(Numbers::parse(numbers.to_text().as_bytes()), Some(numbers));
        for bad in ["", "12 3", "x 3\n", "12\n", "1152921504606846976 3\n", "-1 3\n"] {
            assert_eq!(Numbers::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
