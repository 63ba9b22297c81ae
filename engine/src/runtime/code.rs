//! Mapping code: the one place where bytes become executable.
//!
//! No page is ever writable and executable. Where the file can be mapped as code it is, so that
//! processes share its pages and profilers find its symbols (an address is the mapping's base plus
//! the file offset). Where it lies on a file system without the right to execute, a file in
//! memory takes its place, and where that is forbidden as well, anonymous memory.

use super::vm::arch;
use super::vm::memory::Image;
use super::vm::registry::{self, Places, Tables};
use super::vm::sys::{self, Access, Mapping};
use crate::artifact::header::{Header, HeaderError, PAGE, Section};
use crate::{Error, ErrorKind, Result, Target};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// How an artifact gets into memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Load {
    /// By mapping the file: microseconds, and memory is shared. The file must stay as it is.
    #[default]
    Map,
    /// By copying it: whatever becomes of the file later.
    Copy,
}

/// An artifact in memory, its text executable. Found by the signal handler while it lives.
#[derive(Debug)]
pub(crate) struct CodeMapping {
    mapping: Mapping,
    /// Length of the artifact.
    len: usize,
    places: Places,
    /// What is mapped; `None` if the mapping is a copy.
    file: Option<File>,
    name: Box<str>,
}

impl CodeMapping {
    /// Maps the first `len` bytes of `file`, an artifact. Takes the same time for any length.
    ///
    /// `name` is for messages only.
    ///
    /// # Errors
    /// If the header does not hold, or the system refuses. Kind `Corrupt`, `Incompatible` or `Io`.
    ///
    /// # Safety
    /// The bytes are those of an artifact that an engine of this version wrote, from which code
    /// will run. With `Load::Map` nobody changes or shortens the file while it is mapped.
    pub(crate) unsafe fn from_file(
        file: File,
        len: u64,
        load: Load,
        name: &str,
    ) -> Result<Arc<CodeMapping>> {
        let whole = |error| in_file(Error::wrap(ErrorKind::Io, error), name);
        let there = file.metadata().map_err(whole)?.len();
        let len = usize::try_from(len).ok().filter(|len| *len >= PAGE && *len as u64 <= there);
        let len = len.ok_or_else(|| refuse(HeaderError::NotAnArtifact, name))?;
        let read = || {
            let copy = Mapping::zeroed(len)?;
            // SAFETY: `len` bytes that are readable and writable, and that nobody else knows.
            let bytes = unsafe { std::slice::from_raw_parts_mut(copy.base(), len) };
            sys::read_at(&file, bytes, 0)?;
            Ok(copy)
        };
        if load == Load::Copy {
            return Self::seal(read().map_err(whole)?, len, name);
        }
        let mapping = Mapping::file(&file, len).map_err(whole)?;
        // SAFETY: the file has at least `len` bytes; the caller vouches that it keeps them.
        let places = unsafe { check(&mapping, len, name) }?;
        // SAFETY: no reference into the mapping is left; the file's bytes stay the same.
        match unsafe {
            mapping.map_over(pages(&places), &file, places.text.start as u64, Access::ReadExecute)
        } {
            Ok(()) => Ok(Self::publish(mapping, len, places, Some(file), name)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let copy = read().map_err(whole)?;
                // SAFETY: `len` bytes that `read` has filled; nobody writes them any more.
                let bytes = unsafe { std::slice::from_raw_parts(copy.base(), len) };
                match Self::in_memory_file(bytes, name)? {
                    Some(code) => Ok(code),
                    None => Self::seal(copy, len, name),
                }
            }
            Err(error) => Err(whole(error)),
        }
    }

    /// A copy of `bytes`, an artifact.
    ///
    /// # Errors
    /// As `from_file`.
    ///
    /// # Safety
    /// The bytes are those of an artifact that an engine of this version wrote, from which code
    /// will run.
    pub(crate) unsafe fn from_bytes(bytes: &[u8], name: &str) -> Result<Arc<CodeMapping>> {
        if bytes.len() < PAGE {
            return Err(refuse(HeaderError::NotAnArtifact, name));
        }
        if let Some(code) = Self::in_memory_file(bytes, name)? {
            return Ok(code);
        }
        let whole = |error| in_file(Error::wrap(ErrorKind::Io, error), name);
        let copy = Mapping::zeroed(bytes.len()).map_err(whole)?;
        // SAFETY: two ranges of `len` bytes, of which one was mapped just now.
        unsafe { copy.base().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        Self::seal(copy, bytes.len(), name)
    }

    /// Maps a copy in a file in memory; `None` where the system does not allow that.
    fn in_memory_file(bytes: &[u8], name: &str) -> Result<Option<Arc<CodeMapping>>> {
        let Ok(file) = sys::memory_file(bytes) else { return Ok(None) };
        let Ok(mapping) = Mapping::file(&file, bytes.len()) else { return Ok(None) };
        // SAFETY: the file has that length and is sealed.
        let places = unsafe { check(&mapping, bytes.len(), name) }?;
        // SAFETY: no reference into the mapping is left; the file is sealed.
        let text = unsafe {
            mapping.map_over(pages(&places), &file, places.text.start as u64, Access::ReadExecute)
        };
        Ok(text.is_ok().then(|| Self::publish(mapping, bytes.len(), places, Some(file), name)))
    }

    /// Makes a copy in anonymous memory read-only and its text executable.
    fn seal(copy: Mapping, len: usize, name: &str) -> Result<Arc<CodeMapping>> {
        // SAFETY: the memory is readable; whoever filled it is done.
        let places = unsafe { check(&copy, len, name) }?;
        let all = 0..copy.range().len();
        // SAFETY: nobody writes to it any more.
        let mut result = unsafe { copy.protect(all, Access::Read) };
        if result.is_ok() {
            // SAFETY: `len` bytes that stay as they are from here on.
            let bytes = unsafe { std::slice::from_raw_parts(copy.base(), len) };
            arch::flush_instructions(&bytes[places.text.clone()]);
            // SAFETY: only adds a right.
            result = unsafe { copy.protect(pages(&places), Access::ReadExecute) };
        }
        result.map_err(|error| in_file(Error::wrap(ErrorKind::Io, error), name))?;
        sys::serialize_cores();
        Ok(Self::publish(copy, len, places, None, name))
    }

    fn publish(
        mapping: Mapping,
        len: usize,
        places: Places,
        file: Option<File>,
        name: &str,
    ) -> Arc<CodeMapping> {
        // The registry makes pointers of addresses again.
        mapping.base().expose_provenance();
        let mut code = CodeMapping { mapping, len, places, file, name: name.into() };
        // Only images are mapped later; a process has few descriptors, and may have many modules.
        if place(code.header(), Section::Images).is_none_or(|images| images.is_empty()) {
            code.file = None;
        }
        let code = Arc::new(code);
        registry::register(&code);
        code
    }

    /// The artifact.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: mapped and readable for `len` bytes while `self` lives, which nobody changes:
        // the mapping is private, and whoever made `self` vouched for the file.
        unsafe { std::slice::from_raw_parts(self.mapping.base(), self.len) }
    }

    /// The header, which was checked.
    pub(crate) fn header(&self) -> &Header {
        header(self.bytes()).expect("checked when it was mapped")
    }

    /// The contents of a memory: `len` bytes of the file from `offset` on.
    pub(crate) fn image(&self, offset: u64, len: u64) -> Option<Image<'_>> {
        let start = usize::try_from(offset).ok()?;
        let range = start..start.checked_add(usize::try_from(len).ok()?)?;
        let images = place(self.header(), Section::Images)?;
        if range.start < images.start || range.end > images.end {
            return None;
        }
        let bytes = self.bytes().get(range.clone())?;
        // Images are padded with zeros to the alignment of text, so no page has anything else.
        let alone = Target::host().map_or(0, |target| target.arch().text_align());
        Some(match &self.file {
            Some(file) if sys::page_size() as u64 <= alone => {
                Image::File { file, offset, len: range.len() }
            }
            _ => Image::Bytes(bytes),
        })
    }

    /// The addresses of the text.
    pub(crate) fn text(&self) -> Range<usize> {
        let base = self.mapping.range().start;
        base + self.places.text.start..base + self.places.text.end
    }

    /// The address of `offset` in the text, if it is inside.
    pub(crate) fn text_address(&self, offset: u32) -> Option<*const u8> {
        let at = self.places.text.start.checked_add(offset as usize)?;
        self.places.text.contains(&at).then(|| self.mapping.base().wrapping_add(at).cast_const())
    }

    /// All its addresses.
    pub(crate) fn range(&self) -> Range<usize> {
        self.mapping.range()
    }

    /// What to call it in messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn places(&self) -> &Places {
        &self.places
    }

    /// What answers questions about a pc.
    pub(crate) fn tables(&self) -> Tables<'_> {
        Tables { bytes: self.bytes(), places: &self.places }
    }
}

impl Drop for CodeMapping {
    fn drop(&mut self) {
        registry::unregister(&self.mapping.range());
    }
}

/// Checks the header of what is mapped.
///
/// # Safety
/// The first `len` bytes can be read, and nobody changes them meanwhile.
unsafe fn check(mapping: &Mapping, len: usize, name: &str) -> Result<Places> {
    // SAFETY: as the caller says.
    let bytes = unsafe { std::slice::from_raw_parts(mapping.base(), len) };
    let (header, _) = Header::read(bytes).map_err(|error| refuse(error, name))?;
    let place = |section| place(header, section).filter(|range| range.end <= len);
    let places = || {
        Some(Places {
            text: place(Section::Text)?,
            func_starts: place(Section::FuncStarts)?,
            site_starts: place(Section::SiteStarts)?,
            sites: place(Section::Sites)?,
            try_calls: place(Section::TryCalls)?,
            handler_tags: place(Section::HandlerTags)?,
        })
    };
    let places = places()
        .filter(|places| {
            places.text.is_empty() || places.text.start.is_multiple_of(sys::page_size())
        })
        .ok_or_else(|| refuse(HeaderError::Corrupt("the place of the text"), name))?;
    Ok(places)
}

/// The pages of the text. The file's header page is never among them.
fn pages(places: &Places) -> Range<usize> {
    if places.text.is_empty() {
        return 0..0;
    }
    // No further than the mapping, which ends with a page as well.
    places.text.start..places.text.end.next_multiple_of(sys::page_size())
}

fn header(bytes: &[u8]) -> Option<&Header> {
    use crate::artifact::header::HEADER_AT;
    use zerocopy::FromBytes;
    Some(Header::ref_from_prefix(bytes.get(HEADER_AT..)?).ok()?.0)
}

fn place(header: &Header, section: Section) -> Option<Range<usize>> {
    let place = header.sections[section as usize];
    let start = usize::try_from(place.offset.get()).ok()?;
    Some(start..start.checked_add(usize::try_from(place.len.get()).ok()?)?)
}

fn refuse(error: HeaderError, name: &str) -> Error {
    let kind = match error {
        HeaderError::Version(_) => ErrorKind::Incompatible,
        HeaderError::NotAnArtifact | HeaderError::Corrupt(_) => ErrorKind::Corrupt,
    };
    in_file(Error::wrap(kind, error), name)
}

fn in_file(error: Error, name: &str) -> Error {
    error.context(format!("cannot load `{name}`"))
}
