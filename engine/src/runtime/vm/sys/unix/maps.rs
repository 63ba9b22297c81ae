//! Which file is mapped at an address, as the kernel tells; for the signal handler, which takes no
//! memory and has little stack.

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// The longest line that is understood; the path of a file that is longer is not told.
const LONGEST: usize = 1024;

/// Room for a line of the kernel's list.
pub(crate) struct MapsLine {
    line: [u8; LONGEST],
    len: usize,
}

impl MapsLine {
    pub(crate) fn new() -> Self {
        MapsLine { line: [0; LONGEST], len: 0 }
    }

    /// The path of the file that is mapped at `address`.
    pub(crate) fn of_file_at(&mut self, address: usize) -> Option<&[u8]> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let maps = rustix::fs::open(c"/proc/self/maps", flags, Mode::empty()).ok()?;
        let mut buffer = [0; 256];
        loop {
            let count = match rustix::io::read(&maps, &mut buffer) {
                Ok(0) => return None,
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(_) => return None,
            };
            for byte in buffer.get(..count)? {
                if *byte != b'\n' {
                    // What is too long is not told, rather than told in part.
                    if let Some(slot) = self.line.get_mut(self.len) {
                        *slot = *byte;
                    }
                    self.len = self.len.saturating_add(1);
                } else if self.is_at(address) {
                    return self.path();
                } else {
                    self.len = 0;
                }
            }
        }
    }

    fn is_at(&self, address: usize) -> bool {
        let line = self.line.get(..self.len).unwrap_or(&self.line);
        let mut ends = line.split(|byte| matches!(byte, b'-' | b' ')).map(hex);
        let (start, end) = (ends.next().flatten(), ends.next().flatten());
        start.is_some_and(|start| start <= address) && end.is_some_and(|end| address < end)
    }

    /// What follows the first slash: `START-END RIGHTS OFFSET DEVICE INODE   /PATH`.
    fn path(&self) -> Option<&[u8]> {
        let line = self.line.get(..self.len)?;
        line.get(line.iter().position(|byte| *byte == b'/')?..)
    }
}

fn hex(digits: &[u8]) -> Option<usize> {
    usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_this_program_is() {
        let own = std::env::current_exe().unwrap();
        let mut line = MapsLine::new();
        let path = line.of_file_at(hex as fn(&[u8]) -> Option<usize> as usize).unwrap();
        assert_eq!(path, own.as_os_str().as_encoded_bytes());
        assert_eq!(MapsLine::new().of_file_at(0), None);
        assert_eq!(MapsLine::new().of_file_at(&raw const own as usize), None, "no file");
    }
}
