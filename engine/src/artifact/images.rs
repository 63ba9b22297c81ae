//! Initial contents of memories and tables, worked out ahead of time.
//!
//! An active segment is copied at instantiation, in order, and one that does not fit traps after
//! those before it were copied. Where that cannot be told from contents that were there from the
//! start, segments become part of an image: mapped (memories) or looked up lazily (tables).
//!
//! It cannot be told if all segments of a memory or table are in bounds of its minimum, and if no
//! function of the instance can be called before all segments are copied. The latter only happens
//! to one whose functions are put into a table that others see, an imported one, before a later
//! segment traps: such modules have no images.

use super::NONE;
use crate::wasm::module::{ConstExpr, DataSegment, ElementItems, ModuleInfo, SegmentMode};
use crate::wasm::types::{ConstOp, HeapType, RefType};

/// Largest image of a memory.
const MAX_IMAGE: u64 = 64 << 20;
/// What an image may have of zeros beyond the size of its data.
const SPARSE_MEMORY: u64 = 1 << 20;
/// Likewise for tables, in elements.
const SPARSE_TABLE: u64 = 16 << 10;
/// A memory's image is made in pieces of this size.
pub(crate) const CHUNK: u64 = 64 << 10;

/// The images of a module.
#[derive(Default)]
pub(crate) struct Images {
    /// By defined memory.
    pub(crate) memories: Vec<Option<MemoryImage>>,
    /// By defined table; empty for none. Function indices, or `NONE`.
    pub(crate) tables: Vec<Vec<u32>>,
    /// By data segment, whether it is part of an image.
    pub(crate) data_applied: Vec<bool>,
    /// By element segment, whether it is part of an image.
    pub(crate) elements_applied: Vec<bool>,
}

/// The first contents of a memory: data segments laid over zeros.
#[derive(Debug)]
pub(crate) struct MemoryImage {
    /// Where in the memory it starts.
    pub(crate) start: u64,
    pub(crate) len: u64,
    /// Place in the memory and number of each segment, in the order in which they are copied.
    segments: Vec<(u64, usize)>,
}

impl Images {
    /// Works out what can be. Memory images start at multiples of `align`.
    pub(crate) fn new(module: &[u8], info: &ModuleInfo, align: u64) -> Self {
        let mut images = Images {
            memories: Vec::new(),
            tables: vec![Vec::new(); info.tables.len() - info.num_imported_tables as usize],
            data_applied: vec![false; info.data.len()],
            elements_applied: vec![false; info.elements.len()],
        };
        let escapes = info.elements.iter().any(|segment| match &segment.mode {
            SegmentMode::Active { target, .. } => target.as_u32() < info.num_imported_tables,
            _ => false,
        });
        images
            .memories
            .resize_with(info.memories.len() - info.num_imported_memories as usize, || None);
        if !escapes {
            images.fill_memories(module, info, align);
            images.fill_tables(info);
        }
        images
    }

    fn fill_memories(&mut self, module: &[u8], info: &ModuleInfo, align: u64) {
        let imported = info.num_imported_memories as usize;
        // All segments of each defined memory; `None` once there is one that does not fit.
        let mut segments: Vec<_> = self.memories.iter().map(|_| Some(Vec::new())).collect();
        for (index, segment) in info.data.iter().enumerate() {
            let SegmentMode::Active { target, offset } = &segment.mode else { continue };
            let Some(defined) = target.index().checked_sub(imported) else { continue };
            let decl = &info.memories[target.index()];
            let start = fitting(offset, segment.range.len() as u64, decl.min_bytes());
            match (start, &mut segments[defined]) {
                (Some(start), Some(list)) => list.push((start, index)),
                (None, list) => *list = None,
                (Some(_), None) => {}
            }
        }
        for (defined, segments) in segments.into_iter().enumerate() {
            let Some(segments) = segments else { continue };
            let Some(image) = MemoryImage::new(module, info, segments, align) else { continue };
            for (_, segment) in &image.segments {
                self.data_applied[*segment] = true;
            }
            // An image of nothing but zeros needs no bytes.
            self.memories[defined] = (image.len > 0).then_some(image);
        }
    }

    fn fill_tables(&mut self, info: &ModuleInfo) {
        let imported = info.num_imported_tables as usize;
        // All segments of each defined table; `None` once there is one that does not fit.
        let mut segments: Vec<_> = self.tables.iter().map(|_| Some(Vec::new())).collect();
        for (index, segment) in info.elements.iter().enumerate() {
            let SegmentMode::Active { target, offset } = &segment.mode else { continue };
            let Some(defined) = target.index().checked_sub(imported) else { continue };
            let min = info.tables[target.index()].min;
            let functions = match &segment.items {
                ElementItems::Functions(functions) => Some(functions),
                ElementItems::Expressions(_) => None,
            };
            let place = functions.and_then(|f| fitting(offset, f.len() as u64, Some(min)));
            match (place.zip(functions), &mut segments[defined]) {
                (Some((place, functions)), Some(list)) => list.push((place, index, functions)),
                (None, list) => *list = None,
                (Some(_), None) => {}
            }
        }
        for (defined, segments) in segments.into_iter().enumerate() {
            let Some(segments) = segments else { continue };
            let lazy = info.tables[imported + defined].element == RefType::FUNCREF
                && info.table_inits[defined].as_deref().is_none_or(is_null);
            let items: u64 = segments.iter().map(|(_, _, f)| f.len() as u64).sum();
            let ends = segments.iter().map(|(place, _, f)| place + f.len() as u64);
            let len = ends.max().unwrap_or(0);
            if !lazy || len > 4 * items + SPARSE_TABLE {
                continue;
            }
            let image = &mut self.tables[defined];
            image.resize(len as usize, NONE);
            for (place, index, functions) in segments {
                let elements = &mut image[place as usize..][..functions.len()];
                for (element, func) in elements.iter_mut().zip(functions) {
                    *element = func.map_or(NONE, |func| func.as_u32());
                }
                self.elements_applied[index] = true;
            }
            while image.last() == Some(&NONE) {
                image.pop();
            }
        }
    }
}

impl MemoryImage {
    /// The image of `segments`, which are in bounds; `None` if it would be too large for what is
    /// in it.
    fn new(
        module: &[u8],
        info: &ModuleInfo,
        segments: Vec<(u64, usize)>,
        align: u64,
    ) -> Option<Self> {
        let (mut start, mut end, mut data) = (u64::MAX, 0, 0);
        for (place, index) in &segments {
            let bytes = bytes(module, &info.data[*index])?;
            data += bytes.len() as u64;
            // Zeros at the ends are left out. (Those that overwrite something else are not at the
            // ends of the whole, or they only make it longer than need be.)
            if let Some(first) = bytes.iter().position(|b| *b != 0) {
                let last = bytes.iter().rposition(|b| *b != 0)?;
                start = start.min(place + first as u64);
                end = end.max(place + last as u64 + 1);
            }
        }
        start = start.min(end) / align * align;
        let len = end - start;
        let fits = len <= MAX_IMAGE && len <= 2 * data + SPARSE_MEMORY;
        fits.then_some(MemoryImage { start, len, segments })
    }

    /// Hands the image to `out`, in pieces of up to [`CHUNK`] bytes.
    pub(crate) fn write<E>(
        &self,
        module: &[u8],
        info: &ModuleInfo,
        mut out: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        // For each chunk the segments that touch it, in the order in which they are copied.
        let chunks = self.len.div_ceil(CHUNK) as usize;
        let mut touching: Vec<Vec<u32>> = vec![Vec::new(); chunks];
        for (number, (place, index)) in self.segments.iter().enumerate() {
            let from = (*place).max(self.start);
            let to = (place + info.data[*index].range.len() as u64).min(self.start + self.len);
            if from < to {
                let first = (from - self.start) / CHUNK;
                let last = (to - 1 - self.start) / CHUNK;
                for chunk in &mut touching[first as usize..=last as usize] {
                    chunk.push(number as u32);
                }
            }
        }
        let mut buffer = vec![0; CHUNK as usize];
        for (chunk, numbers) in touching.iter().enumerate() {
            let start = self.start + chunk as u64 * CHUNK;
            let len = CHUNK.min(self.start + self.len - start);
            let buffer = &mut buffer[..len as usize];
            buffer.fill(0);
            for number in numbers {
                let (place, index) = self.segments[*number as usize];
                let bytes = bytes(module, &info.data[index]).unwrap_or_default();
                let from = place.max(start);
                let to = (place + bytes.len() as u64).min(start + len);
                let piece = &bytes[(from - place) as usize..(to - place) as usize];
                buffer[(from - start) as usize..(to - start) as usize].copy_from_slice(piece);
            }
            out(buffer)?;
        }
        Ok(())
    }
}

fn bytes<'a>(module: &'a [u8], segment: &DataSegment) -> Option<&'a [u8]> {
    module.get(segment.range.clone())
}

/// The value of `offset`, if it is constant and `offset + len` is at most `limit`.
fn fitting(offset: &ConstExpr, len: u64, limit: Option<u64>) -> Option<u64> {
    let start = constant(offset)?;
    (start.checked_add(len)? <= limit?).then_some(start)
}

/// The value of an expression that depends on no import, as an offset.
fn constant(expr: &[ConstOp]) -> Option<u64> {
    let mut stack: Vec<ConstOp> = Vec::new();
    for op in expr {
        let value = match op {
            ConstOp::I32Const(_) | ConstOp::I64Const(_) => *op,
            _ => {
                let (b, a) = (stack.pop()?, stack.pop()?);
                match (op, a, b) {
                    (ConstOp::I32Add, ConstOp::I32Const(a), ConstOp::I32Const(b)) => {
                        ConstOp::I32Const(a.wrapping_add(b))
                    }
                    (ConstOp::I32Sub, ConstOp::I32Const(a), ConstOp::I32Const(b)) => {
                        ConstOp::I32Const(a.wrapping_sub(b))
                    }
                    (ConstOp::I32Mul, ConstOp::I32Const(a), ConstOp::I32Const(b)) => {
                        ConstOp::I32Const(a.wrapping_mul(b))
                    }
                    (ConstOp::I64Add, ConstOp::I64Const(a), ConstOp::I64Const(b)) => {
                        ConstOp::I64Const(a.wrapping_add(b))
                    }
                    (ConstOp::I64Sub, ConstOp::I64Const(a), ConstOp::I64Const(b)) => {
                        ConstOp::I64Const(a.wrapping_sub(b))
                    }
                    (ConstOp::I64Mul, ConstOp::I64Const(a), ConstOp::I64Const(b)) => {
                        ConstOp::I64Const(a.wrapping_mul(b))
                    }
                    _ => return None,
                }
            }
        };
        stack.push(value);
    }
    match stack[..] {
        [ConstOp::I32Const(value)] => Some(u64::from(value as u32)),
        [ConstOp::I64Const(value)] => Some(value as u64),
        _ => None,
    }
}

fn is_null(expr: &[ConstOp]) -> bool {
    expr == [ConstOp::RefNull(HeapType::Func)]
}
