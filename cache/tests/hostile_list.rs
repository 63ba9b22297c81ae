//! What a list of names costs that nobody has signed. By itself in its process, whose memory is
//! looked at.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::{BufWriter, Write};

use precompile_cache::{DirOptions, Names, Policy, SigningKey, TrustedKeys};

/// The most memory that this process has had so far, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() << 10
}

#[test]
fn a_list_that_is_not_signed_costs_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let key = SigningKey::generate("release-1").unwrap();
    let trusted = TrustedKeys::from(key.public_key());
    // As long as lists may be, as they are written, with a signature of another list.
    let mut other = Names::new();
    other.insert("a", [1; 32]).unwrap();
    other.sign(&key);
    let other = other.to_string();
    let signature = other.lines().last().unwrap();
    let path = folder.path().join("names");
    let mut file = BufWriter::new(File::create(&path).unwrap());
    writeln!(file, "# names of cache groups, version 1").unwrap();
    let digits = "0".repeat(64);
    for number in 0..880_000 {
        writeln!(file, "{digits}  {number:08}").unwrap();
    }
    writeln!(file, "{signature}").unwrap();
    file.flush().unwrap();
    let length = fs::metadata(&path).unwrap().len();
    assert!(length > 60 << 20 && length < 64 << 20, "{length}");
    let options = DirOptions::new().policy(Policy::Signed).trusted_keys(trusted);
    let dir = options.open_read_only(folder.path()).unwrap();
    let before = peak();
    let error = dir.names().unwrap_err();
    assert!(error.to_string().contains("its signature by release-1 does not hold"), "{error}");
    let grown = peak() - before;
    assert!(grown < 8 << 20, "{grown} bytes for a list of {length}");
}
