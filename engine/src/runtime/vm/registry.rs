//! Which code a pc is in: a process-wide map of mapped artifacts, for the signal handler and for
//! backtraces.
//!
//! # Why the handler may lock
//!
//! The map is behind a lock that the signal handler takes as a reader. It cannot wait for its own
//! thread: whoever holds or waits for the lock says so in a thread local first, and a handler
//! that finds it set answers "not ours", which is true, since that thread was interrupted in this
//! file and not in wasm. And it waits for other threads only while they change the map, which
//! they do without calling anything: memory is taken and given back before and after.

use crate::Trap;
use crate::artifact::handlers;
use crate::artifact::records::{Le32, TryCall};
use crate::artifact::sites::{self, Site};
use crate::runtime::code::CodeMapping;
use std::cell::Cell;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use zerocopy::FromBytes;

/// Ascending by the end of the mapping, so that the first entry behind a pc is the one it may be
/// in.
static CODE: RwLock<Vec<Entry>> = RwLock::new(Vec::new());
/// Held by whoever changes [`CODE`], before and after it is locked.
static CHANGES: Mutex<()> = Mutex::new(());

thread_local! {
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

/// Where in an artifact's bytes the tables are that answer questions about a pc. Checked against
/// the length before it comes here, and again at each use.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) text: Range<usize>,
    pub(crate) func_starts: Range<usize>,
    pub(crate) site_starts: Range<usize>,
    pub(crate) sites: Range<usize>,
    pub(crate) try_calls: Range<usize>,
    pub(crate) handler_tags: Range<usize>,
}

struct Entry {
    /// First address of the mapping.
    base: usize,
    /// First address behind it.
    end: usize,
    /// Length of the artifact.
    len: usize,
    places: Places,
    code: Weak<CodeMapping>,
}

impl Entry {
    fn end(&self) -> usize {
        self.end
    }
}

/// A function, and the place in it if there is a record of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Position {
    /// Index among the defined functions.
    pub(crate) function: u32,
    pub(crate) site: Option<Site>,
}

/// Artifact bytes with the places of its tables.
#[derive(Clone, Copy)]
pub(crate) struct Tables<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) places: &'a Places,
}

impl Tables<'_> {
    /// The trap at `offset` of the text: of the instruction that starts there.
    pub(crate) fn trap(&self, offset: usize) -> Option<(Position, Trap)> {
        let position = self.find(offset, offset, |site| site.trap.is_some())?;
        Some((position, position.site?.trap?))
    }

    /// The call that returns to `offset` of the text.
    ///
    /// The call is behind the function's start, the return address may be the next one's.
    pub(crate) fn call(&self, offset: usize) -> Option<Position> {
        self.find(offset.checked_sub(1)?, offset, |site| site.trap.is_none())
    }

    fn find(&self, inside: usize, at: usize, which: fn(&Site) -> bool) -> Option<Position> {
        let inside = u32::try_from(inside).ok()?;
        let starts = self.words(&self.places.func_starts)?;
        let behind = starts.partition_point(|start| start.get() <= inside);
        if behind == starts.len() {
            return None;
        }
        let function = behind.checked_sub(1)?;
        let pc = u32::try_from(at).ok()?.checked_sub(starts[function].get())?;
        let site = self.sites(function).and_then(|mut sites| {
            // They ascend, so a site behind `pc` ends the search.
            let at = sites.find(|site| site.pc > pc || (site.pc == pc && which(site)));
            at.filter(|site| site.pc == pc)
        });
        Some(Position { function: u32::try_from(function).ok()?, site })
    }

    fn sites(&self, function: usize) -> Option<impl Iterator<Item = Site>> {
        let starts = self.words(&self.places.site_starts)?;
        let start = starts.get(function)?.get() as usize;
        let end = starts.get(function + 1)?.get() as usize;
        let all = self.bytes.get(self.places.sites.clone())?;
        Some(sites::decode(all.get(start..end)?))
    }

    fn words(&self, range: &Range<usize>) -> Option<&[Le32]> {
        <[Le32]>::ref_from_bytes(self.bytes.get(range.clone())?).ok()
    }

    /// The record of the call that returns to `offset` of the text, and the tags that it catches;
    /// `None` where it catches nothing.
    fn handlers(&self, offset: usize) -> Option<(&TryCall, &[Le32])> {
        let calls = self.bytes.get(self.places.try_calls.clone())?;
        let calls = <[TryCall]>::ref_from_bytes(calls).ok()?;
        let tags = self.words(&self.places.handler_tags)?;
        handlers::find(calls, tags, u32::try_from(offset).ok()?)
    }
}

/// What the signal handler may see of an entry.
pub(crate) struct Code<'a> {
    /// Address of the artifact's first byte.
    base: usize,
    tables: Tables<'a>,
    /// What to call it in a message.
    pub(crate) name: &'a str,
}

impl Code<'_> {
    /// The trap that is on record for the instruction at `pc`.
    pub(crate) fn trap(&self, pc: usize) -> Option<Trap> {
        let offset = pc.checked_sub(self.base)?.checked_sub(self.tables.places.text.start)?;
        Some(self.tables.trap(offset)?.1)
    }

    /// What the call that returns to `pc` catches, and how; as in `artifact/handlers.rs`.
    pub(crate) fn handlers(&self, pc: usize) -> Option<(&TryCall, &[Le32])> {
        let offset = pc.checked_sub(self.base)?.checked_sub(self.tables.places.text.start)?;
        self.tables.handlers(offset)
    }

    /// The address of `offset` in the text, if it is inside.
    pub(crate) fn text_address(&self, offset: u32) -> Option<usize> {
        let text = &self.tables.places.text;
        let at = text.start.checked_add(offset as usize).filter(|at| text.contains(at))?;
        Some(self.base + at)
    }
}

/// All code that there is, while nobody adds or removes any.
pub(crate) struct Codes<'a>(&'a [Entry]);

impl Codes<'_> {
    /// The code that `address` is in.
    pub(crate) fn at(&self, address: usize) -> Option<Code<'_>> {
        Some(self.of(entry_at(self.0, address)?))
    }

    /// Code from the file with that path.
    fn named(&self, path: &[u8]) -> Option<Code<'_>> {
        self.0.iter().map(|entry| self.of(entry)).find(|code| code.name.as_bytes() == path)
    }

    fn of<'e>(&'e self, entry: &'e Entry) -> Code<'e> {
        let base = std::ptr::with_exposed_provenance::<u8>(entry.base);
        // SAFETY: the mapping is readable for `len` bytes (checked when it was made), and cannot
        // be gone: its `Drop` removes the entry first, and waits for the lock that is held.
        let bytes = unsafe { std::slice::from_raw_parts(base, entry.len) };
        let code = entry.code.as_ptr();
        // SAFETY: the `CodeMapping` itself is still there for the same reason.
        let name = unsafe { (*code).name() };
        Code { base: entry.base, tables: Tables { bytes, places: &entry.places }, name }
    }
}

/// Adds a mapping, whose `Drop` removes it.
pub(crate) fn register(code: &Arc<CodeMapping>) {
    let range = code.range();
    let entry = Entry {
        base: range.start,
        end: range.end,
        len: code.bytes().len(),
        places: code.places().clone(),
        code: Arc::downgrade(code),
    };
    let _changes = CHANGES.lock().unwrap_or_else(PoisonError::into_inner);
    // All memory is taken and given back outside of the lock. Nobody else changes the length.
    let old = {
        let (len, capacity) = with_map(|map| (map.len(), map.capacity()));
        let mut larger = if len == capacity { Vec::with_capacity(2 * len + 8) } else { Vec::new() };
        with_map(|map| {
            if len == capacity {
                larger.append(map);
                std::mem::swap(map, &mut larger);
            }
            let at = map.partition_point(|other| other.end() < range.end);
            map.insert(at, entry);
        });
        larger
    };
    drop(old);
}

/// Removes the mapping at `range`, if it was added. When this returns, nobody reads it through
/// here any more.
pub(crate) fn unregister(range: &Range<usize>) {
    let _changes = CHANGES.lock().unwrap_or_else(PoisonError::into_inner);
    let entry = with_map(|map| {
        let at = map.binary_search_by_key(&range.end, Entry::end).ok()?;
        Some(map.remove(at))
    });
    drop(entry);
}

fn with_map<R>(f: impl FnOnce(&mut Vec<Entry>) -> R) -> R {
    busy(|| f(&mut CODE.write().unwrap_or_else(PoisonError::into_inner)))
}

/// The mapping that `pc` is in.
pub(crate) fn find(pc: usize) -> Option<Arc<CodeMapping>> {
    // The `Arc` leaves the lock before it may be dropped, which would lock again.
    busy(|| {
        let map = CODE.read().unwrap_or_else(PoisonError::into_inner);
        entry_at(&map, pc)?.code.upgrade()
    })
}

/// Calls `f` with all code, in which it looks for what it needs: nothing that locks again.
pub(crate) fn reading<R>(f: impl FnOnce(&Codes<'_>) -> R) -> R {
    busy(|| f(&Codes(&CODE.read().unwrap_or_else(PoisonError::into_inner))))
}

/// Calls `f` with the code of the mapping that `address` is in. For the signal handler: neither
/// allocates nor panics, and is `None` where the thread was interrupted in this file.
pub(crate) fn with_code_at<R>(address: usize, f: impl FnOnce(&Code<'_>) -> R) -> Option<R> {
    if BUSY.get() {
        return None;
    }
    reading(|codes| Some(f(&codes.at(address)?)))
}

/// As [`with_code_at`], with the code that is called `name`.
pub(crate) fn with_code_named<R>(name: &[u8], f: impl FnOnce(&Code<'_>) -> R) -> Option<R> {
    if BUSY.get() {
        return None;
    }
    reading(|codes| Some(f(&codes.named(name)?)))
}

fn entry_at(map: &[Entry], address: usize) -> Option<&Entry> {
    let entry = map.get(map.partition_point(|entry| entry.end() <= address))?;
    (entry.base <= address).then_some(entry)
}

/// Marks this thread as one that has to do with the lock.
fn busy<R>(f: impl FnOnce() -> R) -> R {
    let before = BUSY.replace(true);
    let result = f();
    BUSY.set(before);
    result
}
