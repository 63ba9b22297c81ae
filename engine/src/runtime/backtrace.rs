//! Backtraces of wasm.

use super::vm::unwind::Backtrace;
use crate::artifact::header::Header;
use crate::artifact::read::{Directory, View};
use crate::error::Foreign;
use std::fmt;
use std::sync::Arc;

/// The calls that wasm was in, innermost first: a context of errors that stopped it.
///
/// ```text
/// error while executing at wasm backtrace:
///     0:   0x6d - inner
///     1:   0x4c - middle
///     2:  0x1a3 - function[7]
/// ```
#[derive(Clone, Debug)]
pub struct WasmBacktrace {
    frames: Vec<FrameInfo>,
    /// Calls further out that were not kept.
    omitted: usize,
}

/// A call of a [`WasmBacktrace`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FrameInfo {
    func_index: u32,
    func_name: Option<Arc<str>>,
    module_offset: Option<usize>,
}

impl FrameInfo {
    /// The function's index in its module.
    pub fn func_index(&self) -> u32 {
        self.func_index
    }

    /// The function's name, where the module has one.
    pub fn func_name(&self) -> Option<&str> {
        self.func_name.as_deref()
    }

    /// The byte offset in the module of the instruction that trapped or called.
    pub fn module_offset(&self) -> Option<usize> {
        self.module_offset
    }
}

impl WasmBacktrace {
    /// Looks up functions and names for what was found on the stack.
    pub(crate) fn new(backtrace: &Backtrace) -> Self {
        let frames = backtrace.frames().filter_map(|frame| {
            let code = frame.code;
            let (header, _) = Header::read(code.bytes()).ok()?;
            let directory = Directory::new(header);
            let name = View::new(code.bytes(), &directory).func_name(frame.function);
            Some(FrameInfo {
                func_index: header.counts().imported_functions.checked_add(frame.function)?,
                func_name: name.map(Arc::from),
                module_offset: frame.wasm_offset.map(|offset| offset as usize),
            })
        });
        WasmBacktrace { frames: frames.collect(), omitted: backtrace.omitted() }
    }

    /// The calls, innermost first.
    pub fn frames(&self) -> &[FrameInfo] {
        &self.frames
    }
}

impl fmt::Display for WasmBacktrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.frames.is_empty() {
            true => "there was no wasm on the stack",
            false => "error while executing at wasm backtrace:",
        })?;
        for (i, frame) in self.frames.iter().enumerate() {
            write!(f, "\n{i:>5}: {:>6}", "")?;
            match frame.module_offset {
                Some(offset) => write!(f, "{offset:#x} - ")?,
                None => f.write_str("?    - ")?,
            }
            match &frame.func_name {
                Some(name) => Foreign(name).fmt(f)?,
                None => write!(f, "function[{}]", frame.func_index)?,
            }
        }
        if self.omitted > 0 {
            write!(f, "\n       … and {} more", self.omitted)?;
        }
        Ok(())
    }
}
