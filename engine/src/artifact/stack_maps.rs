//! Where references into the store's heap are on the stack: what a collection has to find in the
//! frames of wasm.
//!
//! A *stack map* belongs to a call: it says which words of the caller's frame hold such references
//! while the callee runs. `StackMaps` has a record for each call that has any, ascending by return
//! address; a module without such references has none. The words are distances below the frame
//! pointer, in bytes, in `StackSlots`; calls with the same words share them.
//!
//! ```text
//!  StackMaps   | pc u32 | first u32 | count u32 |     pc: the return address, from the text's start
//!  StackSlots  | distance u32 | distance u32 | …      the word is at: frame pointer - distance
//! ```
//!
//! Read in place, by a collection only. A record that names slots which are not there is
//! [`Corrupt`](super::header::Corrupt), and so is, for whoever knows the frame, a word outside of
//! it: the collection then fails and frees nothing. What a *missing* word leads to is a reference
//! to what was freed, which the heap tells when it is used: handles are checked there.

#[cfg(feature = "compile")]
use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "compile")]
use {super::records, std::collections::HashMap};

/// The references that a frame holds during a call.
#[cfg(feature = "compile")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct StackMap {
    /// The return address, from the start of the function.
    pub(crate) pc: u32,
    /// Distances below the frame pointer, ascending.
    pub(crate) slots: Box<[u32]>,
}

/// Both tables, while they are made.
#[cfg(feature = "compile")]
#[derive(Default)]
pub(crate) struct Tables<'a> {
    pub(crate) maps: Vec<records::StackMap>,
    pub(crate) slots: Vec<u32>,
    /// Where lists of slots are in `slots`. Never iterated.
    known: HashMap<&'a [u32], u32>,
}

#[cfg(feature = "compile")]
impl<'a> Tables<'a> {
    /// Adds the maps of the function that starts at `start` of the text. Functions ascend.
    ///
    /// # Errors
    /// If there are more slots than 32 bits can count.
    pub(crate) fn add(&mut self, start: u32, maps: &'a [StackMap]) -> Result<()> {
        for map in maps {
            let first = match self.known.get(&*map.slots) {
                Some(first) => *first,
                None => {
                    let first = u32::try_from(self.slots.len()).map_err(|_| {
                        Error::with_kind(ErrorKind::Limit, "the module's stack maps are too large")
                    })?;
                    self.slots.extend_from_slice(&map.slots);
                    self.known.insert(&map.slots, first);
                    first
                }
            };
            self.maps.push(records::StackMap {
                pc: (start + map.pc).into(),
                first: first.into(),
                count: (map.slots.len() as u32).into(),
            });
        }
        Ok(())
    }
}
