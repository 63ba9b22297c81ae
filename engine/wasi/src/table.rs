//! The guest's descriptors: numbers from 0 up, the lowest free one first.

use crate::fs::{OpenDir, OpenFile};
use crate::stdio::{InputStream, OutputStream};
use crate::types::Errno;

/// How many descriptors a guest may have open. Each may hold one of the host's.
const MAX_OPEN: usize = 1 << 16;

/// What a number stands for.
#[derive(Debug)]
pub(crate) enum Descriptor {
    Input(InputStream),
    Output(OutputStream),
    File(OpenFile),
    Dir(OpenDir),
}

/// All open descriptors of one guest.
#[derive(Default)]
pub(crate) struct Table {
    slots: Vec<Option<Descriptor>>,
    /// No slot below this one is free.
    first_free: usize,
}

impl Table {
    /// Opens `descriptor` under the lowest free number.
    pub(crate) fn insert(&mut self, descriptor: Descriptor) -> Result<u32, Errno> {
        let free = self.slots[self.first_free..].iter().position(Option::is_none);
        let at = free.map_or(self.slots.len(), |offset| self.first_free + offset);
        if at == MAX_OPEN {
            return Err(Errno::MFILE);
        }
        if at == self.slots.len() {
            self.slots.push(Some(descriptor));
        } else {
            self.slots[at] = Some(descriptor);
        }
        self.first_free = at + 1;
        Ok(at as u32)
    }

    /// Whether one more would fit: asked before a file is created for it.
    pub(crate) fn has_room(&self) -> bool {
        self.slots.len() < MAX_OPEN || self.slots[self.first_free..].iter().any(Option::is_none)
    }

    pub(crate) fn get(&self, fd: u32) -> Result<&Descriptor, Errno> {
        self.slots.get(fd as usize).and_then(Option::as_ref).ok_or(Errno::BADF)
    }

    pub(crate) fn get_mut(&mut self, fd: u32) -> Result<&mut Descriptor, Errno> {
        self.slots.get_mut(fd as usize).and_then(Option::as_mut).ok_or(Errno::BADF)
    }

    /// The directory of a path function: `NOTDIR` if it is something else.
    pub(crate) fn dir(&self, fd: u32) -> Result<&OpenDir, Errno> {
        match self.get(fd)? {
            Descriptor::Dir(dir) => Ok(dir),
            _ => Err(Errno::NOTDIR),
        }
    }

    /// Closes `fd`.
    pub(crate) fn remove(&mut self, fd: u32) -> Result<Descriptor, Errno> {
        let slot = self.slots.get_mut(fd as usize).ok_or(Errno::BADF)?;
        let descriptor = slot.take().ok_or(Errno::BADF)?;
        self.first_free = self.first_free.min(fd as usize);
        Ok(descriptor)
    }

    /// Moves `from` over `to`, which is closed. Both must be open: a guest
    /// cannot choose how far the table grows.
    pub(crate) fn renumber(&mut self, from: u32, to: u32) -> Result<(), Errno> {
        self.get(from)?;
        self.get(to)?;
        if from != to {
            let descriptor = self.remove(from)?;
            self.slots[to as usize] = Some(descriptor);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any() -> Descriptor {
        Descriptor::Input(InputStream::closed())
    }

    #[test]
    fn the_lowest_number_is_reused() {
        let mut table = Table::default();
        for n in 0..5 {
            assert_eq!(table.insert(any()), Ok(n));
        }
        table.remove(3).unwrap_or_else(|e| panic!("{e}"));
        table.remove(1).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(table.remove(1).err(), Some(Errno::BADF));
        assert_eq!(table.insert(any()), Ok(1));
        assert_eq!(table.insert(any()), Ok(3));
        assert_eq!(table.insert(any()), Ok(5));
    }

    #[test]
    fn renumber_needs_both_open() {
        let mut table = Table::default();
        for _ in 0..3 {
            table.insert(any()).unwrap();
        }
        assert_eq!(table.renumber(0, 0), Ok(()));
        assert!(table.get(0).is_ok());
        assert_eq!(table.renumber(0, 7), Err(Errno::BADF));
        assert_eq!(table.renumber(7, 0), Err(Errno::BADF));
        assert_eq!(table.renumber(0, u32::MAX), Err(Errno::BADF));
        assert_eq!(table.renumber(2, 0), Ok(()));
        assert_eq!(table.get(2).err(), Some(Errno::BADF));
        assert_eq!(table.renumber(0, 2), Err(Errno::BADF));
        assert_eq!(table.insert(any()), Ok(2));
    }

    #[test]
    fn the_table_has_an_end() {
        let mut table = Table::default();
        for _ in 0..MAX_OPEN {
            assert!(table.has_room());
            table.insert(any()).unwrap();
        }
        assert!(!table.has_room());
        assert_eq!(table.insert(any()), Err(Errno::MFILE));
        table.remove(9).unwrap_or_else(|e| panic!("{e}"));
        assert!(table.has_room());
        assert_eq!(table.insert(any()), Ok(9));
    }
}
