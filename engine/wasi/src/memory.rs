//! Access to the guest's memory, bounds and alignment checked.
//!
//! A guest pointer is an `u32` and means nothing until it went through one of
//! these methods. Outside the memory is `FAULT`, misaligned is `INVAL`. Places
//! for results are claimed *before* an effect takes place ([`Slot`]), so that a
//! bad pointer never loses data that was already read.

use crate::types::{Errno, Record, iovec};
use std::io::IoSlice;
use std::ops::Range;

/// The guest's linear memory during one call.
pub(crate) struct GuestMemory<'a> {
    bytes: &'a mut [u8],
}

/// A checked place for a result.
#[derive(Clone, Copy)]
pub(crate) struct Slot {
    at: usize,
    len: usize,
}

/// How many buffers of a vector one call looks at, the host's own limit. What
/// is beyond is a short read or write, which a guest must expect anyway.
const MAX_BUFFERS: usize = 1024;

impl<'a> GuestMemory<'a> {
    pub(crate) fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes }
    }

    fn range(&self, ptr: u32, len: u32) -> Result<Range<usize>, Errno> {
        // Both are below 2^32, so that the sum fits.
        let start = u64::from(ptr);
        let end = start + u64::from(len);
        if end > self.bytes.len() as u64 {
            return Err(Errno::FAULT);
        }
        Ok(start as usize..end as usize)
    }

    fn aligned(&self, ptr: u32, len: u32, align: u32) -> Result<Range<usize>, Errno> {
        let range = self.range(ptr, len)?;
        if ptr.is_multiple_of(align) { Ok(range) } else { Err(Errno::INVAL) }
    }

    /// `len` bytes at `ptr`.
    pub(crate) fn bytes(&self, ptr: u32, len: u32) -> Result<&[u8], Errno> {
        let range = self.range(ptr, len)?;
        Ok(&self.bytes[range])
    }

    /// `len` bytes at `ptr`, to be filled.
    pub(crate) fn bytes_mut(&mut self, ptr: u32, len: u32) -> Result<&mut [u8], Errno> {
        let range = self.range(ptr, len)?;
        Ok(&mut self.bytes[range])
    }

    /// A string: bytes that are UTF-8, or `ILSEQ`.
    pub(crate) fn str(&self, ptr: u32, len: u32) -> Result<&str, Errno> {
        std::str::from_utf8(self.bytes(ptr, len)?).map_err(|_| Errno::ILSEQ)
    }

    /// An array of `count` records.
    pub(crate) fn array(
        &self,
        ptr: u32,
        count: u32,
        size: u32,
        align: u32,
    ) -> Result<&[u8], Errno> {
        let len = count.checked_mul(size).ok_or(Errno::OVERFLOW)?;
        let range = self.aligned(ptr, len, align)?;
        Ok(&self.bytes[range])
    }

    /// Claims a place for a record.
    pub(crate) fn slot(&self, ptr: u32, size: u32, align: u32) -> Result<Slot, Errno> {
        let range = self.aligned(ptr, size, align)?;
        Ok(Slot { at: range.start, len: range.len() })
    }

    /// Claims a place for an `u32`.
    pub(crate) fn slot_u32(&self, ptr: u32) -> Result<Slot, Errno> {
        self.slot(ptr, 4, 4)
    }

    /// Claims a place for an `u64`.
    pub(crate) fn slot_u64(&self, ptr: u32) -> Result<Slot, Errno> {
        self.slot(ptr, 8, 8)
    }

    /// The bytes of a claimed place, all zero.
    pub(crate) fn record(&mut self, slot: Slot) -> &mut [u8] {
        let bytes = &mut self.bytes[slot.at..slot.at + slot.len];
        bytes.fill(0);
        bytes
    }

    pub(crate) fn put_u32(&mut self, slot: Slot, value: u32) {
        self.record(slot).set_u32(0, value);
    }

    pub(crate) fn put_u64(&mut self, slot: Slot, value: u64) {
        self.record(slot).set_u64(0, value);
    }

    /// The ranges of an `iovec` array, each inside the memory; empty ones are
    /// left out, and those beyond [`MAX_BUFFERS`] are not looked at.
    pub(crate) fn buffers(&self, iovs: u32, count: u32) -> Result<Vec<Range<usize>>, Errno> {
        let array = self.array(iovs, count, iovec::SIZE, iovec::ALIGN)?;
        let mut buffers = Vec::with_capacity((count as usize).min(16));
        for vec in array.chunks_exact(iovec::SIZE as usize) {
            if buffers.len() == MAX_BUFFERS {
                break;
            }
            let range = self.range(get_u32(vec, iovec::BUF), get_u32(vec, iovec::BUF_LEN))?;
            if !range.is_empty() {
                buffers.push(range);
            }
        }
        Ok(buffers)
    }

    /// A `ciovec` array, for writing from.
    pub(crate) fn io_slices(&self, iovs: u32, count: u32) -> Result<Vec<IoSlice<'_>>, Errno> {
        let buffers = self.buffers(iovs, count)?;
        Ok(buffers.into_iter().map(|range| IoSlice::new(&self.bytes[range])).collect())
    }

    /// One of the ranges that [`Self::buffers`] returned.
    pub(crate) fn buffer(&mut self, range: Range<usize>) -> &mut [u8] {
        &mut self.bytes[range]
    }
}

pub(crate) fn get_u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(crate) fn get_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(crate) fn get_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from(get_u32(bytes, at)) | u64::from(get_u32(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_exact() {
        let mut bytes = [0; 64];
        let mem = GuestMemory::new(&mut bytes);
        assert!(mem.bytes(0, 64).is_ok());
        assert!(mem.bytes(64, 0).is_ok());
        for (ptr, len) in [(0, 65), (65, 0), (64, 1), (u32::MAX, 1), (1, u32::MAX)] {
            assert_eq!(mem.bytes(ptr, len).err(), Some(Errno::FAULT), "{ptr} {len}");
        }
        assert_eq!(mem.slot_u32(2).err(), Some(Errno::INVAL));
        assert_eq!(mem.slot_u32(61).err(), Some(Errno::FAULT));
        assert_eq!(mem.slot_u64(4).err(), Some(Errno::INVAL));
    }

    #[test]
    fn vectors_are_checked_before_use() {
        let mut bytes = [0; 64];
        bytes[..16].copy_from_slice(&[32, 0, 0, 0, 4, 0, 0, 0, 60, 0, 0, 0, 5, 0, 0, 0]);
        let mem = GuestMemory::new(&mut bytes);
        assert_eq!(mem.buffers(0, 1).unwrap(), vec![32..36]);
        assert_eq!(mem.buffers(0, 2).err(), Some(Errno::FAULT));
        assert_eq!(mem.buffers(0, 9).err(), Some(Errno::FAULT));
        assert_eq!(mem.buffers(0, u32::MAX).err(), Some(Errno::OVERFLOW));
        assert_eq!(mem.buffers(0, 1 << 29).err(), Some(Errno::OVERFLOW));
        assert_eq!(mem.buffers(1, 1).err(), Some(Errno::INVAL));
    }

    #[test]
    fn strings_are_utf8() {
        let mut bytes = *b"ok\xff!";
        let mem = GuestMemory::new(&mut bytes);
        assert_eq!(mem.str(0, 2).unwrap(), "ok");
        assert_eq!(mem.str(0, 3).err(), Some(Errno::ILSEQ));
    }
}
