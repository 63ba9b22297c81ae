//! Which instruction traps how, and which wasm instruction made it.
//!
//! A *site* is a place in code that can stop or be returned to: an instruction that traps, or the
//! address behind a call. `SiteStarts` has a `u32` a defined function, where its records start in
//! `Sites`. The records of a function, ascending by pc, are pairs of LEB128 numbers:
//!
//! ```text
//!  unsigned  (pc - previous pc) << 5 | code     code: the trap's number, 0 for a return address
//!  signed    wasm offset - previous wasm offset (zigzag: 0 -1 1 -2 2 … as 0 1 2 3 4 …)
//! ```
//!
//! Both start at 0 in each function; pcs are relative to the function, wasm offsets to the
//! module. About three bytes a site, where two `u32` and a code would take nine: a large module
//! has as many sites as loads, stores and calls. They are read only when wasm traps or a
//! backtrace is taken, one function at a time.

use crate::Trap;

/// A place in code that can stop or be returned to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Site {
    /// Relative to the start of the function.
    pub(crate) pc: u32,
    /// Relative to the start of the module.
    pub(crate) wasm_offset: u32,
    /// `None` for the address behind a call.
    pub(crate) trap: Option<Trap>,
}

/// Appends the records of one function to `out`.
///
/// # Panics
/// If `sites` do not ascend by pc.
pub(crate) fn encode(sites: &[Site], out: &mut Vec<u8>) {
    let mut put = |mut x: u64| {
        while x >= 0x80 {
            out.push(x as u8 | 0x80);
            x >>= 7;
        }
        out.push(x as u8);
    };
    let (mut pc, mut wasm_offset) = (0, 0);
    for site in sites {
        assert!(site.pc >= pc, "sites ascend");
        let code = site.trap.map_or(0, |trap| trap as u64);
        assert!(code < 32, "a trap's number has five bits");
        put(u64::from(site.pc - pc) << 5 | code);
        let delta = i64::from(site.wasm_offset) - wasm_offset;
        put((delta << 1 ^ delta >> 63) as u64);
        (pc, wasm_offset) = (site.pc, i64::from(site.wasm_offset));
    }
}

/// The sites in `bytes`, the records of one function; ends early where they make no sense.
///
/// Allocates nothing and cannot panic: the signal handler uses it.
pub(crate) fn decode(mut bytes: &[u8]) -> impl Iterator<Item = Site> {
    let (mut pc, mut wasm_offset) = (0u32, 0i64);
    std::iter::from_fn(move || {
        let head = take(&mut bytes)?;
        let delta = take(&mut bytes)?;
        pc = pc.checked_add(u32::try_from(head >> 5).ok()?)?;
        let delta = (delta >> 1) as i64 ^ -((delta & 1) as i64);
        wasm_offset = wasm_offset.checked_add(delta)?;
        let trap = match (head & 31) as u8 {
            0 => None,
            code => Some(Trap::from_u8(code)?),
        };
        Some(Site { pc, wasm_offset: u32::try_from(wasm_offset).ok()?, trap })
    })
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut x = 0;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        x |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(x);
        }
    }
    None
}

#[cfg(all(test, feature = "compile", feature = "runtime"))]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let sites = [
            Site { pc: 0, wasm_offset: 1_000_000, trap: Some(Trap::MemoryOutOfBounds) },
            Site { pc: 4, wasm_offset: 1_000_003, trap: None },
            Site { pc: 4, wasm_offset: 999_000, trap: Some(Trap::NullReference) },
            Site { pc: u32::MAX, wasm_offset: u32::MAX, trap: None },
            Site { pc: u32::MAX, wasm_offset: 0, trap: None },
        ];
        let mut bytes = Vec::new();
        encode(&sites, &mut bytes);
        assert_eq!(decode(&bytes).collect::<Vec<_>>(), sites);
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).count() <= sites.len());
        }
        assert_eq!(decode(&[0xff; 40]).count(), 0);
    }
}
