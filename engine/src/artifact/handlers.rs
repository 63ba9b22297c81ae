//! Which calls go on where when they throw.
//!
//! Two sections: `TryCalls` has a record for each call in a block with handlers, ascending by
//! return address; `HandlerTags` lists of tags, in the order in which they are tried. Calls with
//! the same list share it.
//!
//! ```text
//!             0                4            8         12        16           20      24
//!             +----------------+------------+---------+---------+------------+-------+
//!  TryCalls   | return address | frame size | context | landing | first tag  | count |
//!             +----------------+------------+---------+---------+------------+-------+
//! ```
//!
//! Whoever throws knows return addresses and frame pointers from its walk. `frame pointer - frame
//! size` is the stack pointer of that frame, at which its code goes on; the vmctx is at `stack
//! pointer + context`. A tag stands here as the place in the vmctx where the instance has the
//! tag's number in its store, so that two names of one tag are equal where they meet. The code at
//! the landing is told which tag of the list it was.
//!
//! What is here is trusted as the text is, since it says where that goes on. That it is read
//! inside of the file, that the frame has a vmctx of its store at that place, that tags are inside
//! of it, and that the landing is inside of the text, is checked; where it is not so, nothing is
//! caught.

#[cfg(feature = "compile")]
use super::NONE;
use super::records::{Le32, TryCall as Record};
#[cfg(feature = "compile")]
use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "compile")]
use std::collections::HashMap;
use std::sync::Arc;

/// A call in a block with handlers, with places counted from the start of its function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TryCall {
    pub(crate) return_address: u32,
    pub(crate) frame_size: u32,
    pub(crate) context: u32,
    pub(crate) landing: u32,
    /// The tags that are caught; `None` catches all.
    pub(crate) tags: Arc<[Option<u32>]>,
}

/// The two sections, while they are collected.
#[cfg(feature = "compile")]
#[derive(Default)]
pub(crate) struct Tables<'a> {
    pub(crate) calls: Vec<Record>,
    pub(crate) tags: Vec<u32>,
    /// Where each list is in `tags`: most functions of a module catch one of few. Never iterated.
    lists: HashMap<&'a [Option<u32>], u32>,
}

#[cfg(feature = "compile")]
impl<'a> Tables<'a> {
    /// Adds the calls of the function at `start` in the text. Functions come in their order there.
    ///
    /// # Errors
    /// If the tables exceed the format's 32 bits.
    pub(crate) fn add(&mut self, start: u32, calls: &'a [TryCall]) -> Result<()> {
        // By their addresses: many calls may share a list that takes long to compare.
        let mut own = HashMap::new();
        for call in calls {
            let first_tag = match own.get(&call.tags.as_ptr()) {
                Some(known) => *known,
                None => {
                    let first = self.list(&call.tags)?;
                    own.insert(call.tags.as_ptr(), first);
                    first
                }
            };
            self.calls.push(Record {
                // Places in functions lie in the text, whose length has 32 bits.
                return_address: (start + call.return_address).into(),
                frame_size: call.frame_size.into(),
                context: call.context.into(),
                landing: (start + call.landing).into(),
                first_tag: first_tag.into(),
                tag_count: word(call.tags.len())?.into(),
            });
        }
        Ok(())
    }

    /// Where `list` is in `tags`, by now.
    fn list(&mut self, list: &'a [Option<u32>]) -> Result<u32> {
        if let Some(known) = self.lists.get(list) {
            return Ok(*known);
        }
        let first = word(self.tags.len())?;
        self.tags.extend(list.iter().map(|tag| tag.unwrap_or(NONE)));
        self.lists.insert(list, first);
        Ok(first)
    }
}

#[cfg(feature = "compile")]
fn word(value: usize) -> Result<u32> {
    u32::try_from(value).map_err(|_| {
        let message = "the module's handlers exceed the format's 32 bits";
        Error::with_kind(ErrorKind::Limit, message)
    })
}

/// The record of the call that returns to `return_address`, and its tags, `NONE` for all.
///
/// `None` where there is none or the tables are damaged. Allocates nothing and cannot panic.
#[allow(dead_code, reason = "not in every feature set")]
pub(crate) fn find<'a>(
    calls: &'a [Record],
    tags: &'a [Le32],
    return_address: u32,
) -> Option<(&'a Record, &'a [Le32])> {
    let at = calls.binary_search_by_key(&return_address, |call| call.return_address.get()).ok()?;
    let call = calls.get(at)?;
    let first = call.first_tag.get() as usize;
    let end = first.checked_add(call.tag_count.get() as usize)?;
    Some((call, tags.get(first..end)?))
}

#[cfg(all(test, feature = "compile", feature = "runtime"))]
mod tests {
    use super::*;

    #[test]
    fn calls_are_found_with_their_tags() {
        let call = |return_address: u32, first: u32, count: u32| Record {
            return_address: return_address.into(),
            frame_size: 32.into(),
            context: 8.into(),
            landing: 100.into(),
            first_tag: first.into(),
            tag_count: count.into(),
        };
        let tags: [Le32; 3] = [64.into(), NONE.into(), 72.into()];
        let found = |calls: &[Record], address| {
            let (_, tags) = find(calls, &tags, address)?;
            Some(tags.iter().map(|tag| tag.get()).collect::<Vec<_>>())
        };
        let calls = [call(5, 0, 2), call(9, 1, 0), call(20, 2, 1)];
        assert_eq!(found(&calls, 5), Some(vec![64, NONE]));
        assert_eq!(found(&calls, 9), Some(vec![]));
        assert_eq!(found(&calls, 20), Some(vec![72]));
        assert_eq!(found(&calls, 6), None);
        assert_eq!(found(&[], 5), None);
        // Damage: lists that lie behind the table.
        assert_eq!(found(&[call(5, 0, 4)], 5), None);
        assert_eq!(found(&[call(5, 4, 0)], 5), None);
        assert_eq!(found(&[call(5, u32::MAX, u32::MAX)], 5), None);
    }

    #[test]
    fn calls_share_equal_lists() {
        let list = |tags: &[Option<u32>]| Arc::<[Option<u32>]>::from(tags);
        let (first, second) = (list(&[Some(64), None]), list(&[Some(72)]));
        let lists = [first.clone(), second, first, list(&[Some(64), None])];
        let call = |tags: &Arc<[Option<u32>]>| TryCall {
            return_address: 4,
            frame_size: 32,
            context: 8,
            landing: 100,
            tags: tags.clone(),
        };
        let calls: Vec<_> = lists.iter().map(call).collect();
        let mut tables = Tables::default();
        tables.add(0, &calls).unwrap();
        tables.add(1000, &calls).unwrap();
        assert_eq!(tables.tags, [64, NONE, 72]);
        let firsts: Vec<_> = tables.calls.iter().map(|call| call.first_tag.get()).collect();
        assert_eq!(firsts, [0, 2, 0, 0, 0, 2, 0, 0]);
        assert_eq!(tables.calls[5].return_address.get(), 1004);
    }
}
