//! Class 15: files that are rewritten while they are loaded.

use crate::cache::{entries, folder, with};
use precompile::*;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Write;
use std::sync::mpsc::{self, TryRecvError};
use std::thread;

/// A module whose `f` returns `first`, a constant near its start, and whose `g` returns `last`, the
/// end of its data. Nothing else differs, and the length never does: whatever a reader gets of
/// two of them, if it is a module at all, is one of these.
fn torn(first: i32, last: i32) -> Vec<u8> {
    const DATA: usize = 65536;
    let mut wasm = b"\0asm\x01\0\0\0".to_vec();
    wasm.extend(b"\x01\x05\x01\x60\0\x01\x7f"); // type 0: (result i32)
    wasm.extend(b"\x03\x03\x02\0\0");
    wasm.extend(b"\x05\x03\x01\0\x01"); // a memory of one page
    wasm.extend(b"\x07\x09\x02\x01f\0\0\x01g\0\x01");
    wasm.extend(b"\x0a\x14\x02\x08\0\x41"); // i32.const, in five bytes
    let bits = i64::from(first);
    wasm.extend([0, 7, 14, 21].map(|shift| (bits >> shift) as u8 | 0x80));
    wasm.push((bits >> 28) as u8 & 0x7f);
    wasm.extend(b"\x0b\x09\0\x41\0\x28\x02\xfc\xff\x03\x0b"); // i32.load offset=65532
    wasm.extend(b"\x0b\x88\x80\x04\x01\0\x41\0\x0b\x80\x80\x04");
    wasm.resize(wasm.len() + DATA - 4, 0);
    wasm.extend(last.to_le_bytes());
    wasm
}

fn call(module: &Module, name: &str) -> i32 {
    let mut store = Store::new(module.engine(), ());
    let instance = Instance::new(&mut store, module, &[]).unwrap();
    instance.get_typed_func::<(), i32>(&mut store, name).unwrap().call(&mut store, ()).unwrap()
}

/// Class 15: whatever a file's bytes are while it is being rewritten, no entry's code belongs to
/// other bytes than those of its digest.
#[test]
fn class_15_a_file_that_is_rewritten_meanwhile() {
    /// Modules that are to be loaded; as many others are parts of one, and refused.
    const ROUNDS: u32 = 200;
    let (dir, work) = (folder(), folder());
    let path = work.path().join("module.wasm");
    fs::write(&path, torn(0, 0)).unwrap();
    Module::from_file(&with(dir.path()), &path).unwrap();
    let (mut loaded, mut wrong) = (0u32, 0u32);
    thread::scope(|scope| {
        // Gone when this ends, however it ends: the writer ends then.
        let (alive, over) = mpsc::channel::<()>();
        let path = &path;
        scope.spawn(move || {
            let mut n = 1i32;
            while over.try_recv() == Err(TryRecvError::Empty) {
                let x = n.wrapping_mul(0x3779_b9a5);
                let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
                if n % 16 == 0 {
                    // A reader may get a part.
                    file.set_len(40_000).unwrap();
                }
                file.write_all(&torn(x, x)).unwrap();
                n += 1;
            }
        });
        for round in 0.. {
            // On a busy machine the writer may not have had its turn yet.
            let enough = loaded >= ROUNDS && entries(dir.path()).len() > 20;
            if enough || loaded >= 20 * ROUNDS {
                break;
            }
            let engine = with(dir.path());
            if round % 2 == 0 {
                // A part of a module is invalid: an error, and no entry.
                loaded += u32::from(engine.warm_file(path).is_ok());
            } else if let Ok(module) = Module::from_file(&engine, path) {
                let bytes = torn(call(&module, "f"), call(&module, "g"));
                wrong += u32::from(sha(&bytes) != module.digest());
                loaded += 1;
            }
        }
        drop(alive);
    });
    let found = entries(dir.path());
    assert!(found.len() > 20, "{loaded} loaded, {} entries", found.len());
    let fresh = Engine::default();
    let mut mixed = 0;
    for entry in found {
        let module = crate::raw::deserialize_file(&fresh, &entry).unwrap();
        let (first, last) = (call(&module, "f"), call(&module, "g"));
        let digest = sha(&torn(first, last));
        wrong += u32::from(digest != module.digest());
        let group = entry.parent().unwrap().file_name().unwrap();
        assert_eq!(group.to_str(), Some(&*precompile::cache::to_hex(&digest)));
        mixed += u32::from(first != last);
    }
    assert_eq!(wrong, 0);
    println!("{loaded} loaded, {mixed} entries of mixed bytes");
}

fn sha(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
