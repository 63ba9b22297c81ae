//! References into the heap that frames of wasm hold: found by the stack maps of their modules.
//!
//! A frame has its references in memory only during a call, and only there a collection can
//! happen. Which words they are in, the map of the return address says (`artifact/stack_maps.rs`);
//! calls during which there are none have no map.

use super::entry::{self, ExecutionBox};
use super::registry;
use super::unwind::Call;
use crate::artifact::header::Corrupt;
use crate::artifact::read::{Directory, View};
use crate::error::Result;
use crate::runtime::code::CodeMapping;
use std::sync::Arc;

/// Code that was found for a return address. Frames on a stack are of few modules.
struct Known {
    code: Arc<CodeMapping>,
    directory: Directory,
}

impl ExecutionBox {
    /// Calls `visit` with each reference that wasm of this store holds on the stack, or null. It
    /// must not run wasm.
    ///
    /// # Errors
    /// Those of `visit`; `Corrupt` if a map names what is no part of its frame.
    pub(crate) fn scan(&mut self, visit: &mut dyn FnMut(u32) -> Result<()>) -> Result<()> {
        let mut known: Vec<Known> = Vec::new();
        // SAFETY: whoever has the store has its execution, on this thread, and its activations
        // wait for the host function or builtin that is running now.
        let segments = unsafe { entry::segments(self.as_ptr(), None) };
        for segment in segments {
            // SAFETY: the frames of an activation are on the stack and wait as well.
            for call in unsafe { segment.calls() } {
                let Some(at) = find(&mut known, call.return_address) else { continue };
                let Known { code, directory } = &known[at];
                let view = View::new(code.bytes(), directory);
                let pc = call.return_address.wrapping_sub(code.text().start);
                let pc = u32::try_from(pc).map_err(|_| Corrupt("the length of the text"))?;
                for distance in view.stack_slots(pc)? {
                    // SAFETY: the caller's frame, which lies between the two, does not change
                    // while nothing but this runs.
                    let found = unsafe { word(&call, distance.get()) };
                    visit(found.ok_or(Corrupt("a stack map"))?)?;
                }
            }
        }
        Ok(())
    }
}

/// The place in `known` of the code that `pc` is in.
fn find(known: &mut Vec<Known>, pc: usize) -> Option<usize> {
    // Return addresses are behind their calls, which are never the last thing in a text.
    if let Some(at) = known.iter().position(|known| known.code.text().contains(&pc)) {
        return Some(at);
    }
    let code = registry::find(pc)?;
    let directory = Directory::new(code.header());
    known.push(Known { code, directory });
    Some(known.len() - 1)
}

/// The word of the caller's frame that lies `distance` bytes below its frame pointer; `None` if
/// that is outside of the frame.
///
/// # Safety
/// The bytes between `call.low` and `call.fp` can be read.
unsafe fn word(call: &Call, distance: u32) -> Option<u32> {
    let at = call.fp.checked_sub(distance as usize)?;
    let inside = at >= call.low && distance >= 4 && at.is_multiple_of(4);
    // SAFETY: the caller's promise; aligned, and all four bytes are between the two.
    inside.then(|| unsafe { std::ptr::with_exposed_provenance::<u32>(at).read() })
}
