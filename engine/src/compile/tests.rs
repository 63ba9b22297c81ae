//! The compiler as a whole, from module text to the bytes of an artifact.

use super::compile;
use crate::abi::memory_plan::Bounds;
use crate::abi::target::{Arch, CpuLevel, Os, Target};
use crate::artifact::header::{Header, PAGE, Section};
use crate::fingerprint::{Fingerprint, ModuleDigest, OptLevel};
use crate::{ErrorKind, Features, ModuleError, Result};
use std::io::Cursor;

fn fingerprint(cpu: CpuLevel) -> Fingerprint {
    Fingerprint {
        target: Target::new(cpu.arch(), Os::Linux),
        cpu,
        features: Features::SUPPORTED,
        bounds: Bounds::Guard,
        opt_level: OptLevel::Speed,
        nan_canonicalization: false,
        relaxed_simd_deterministic: true,
        fuel: false,
        epoch_interruption: false,
    }
}

fn artifact(module: &[u8], fingerprint: &Fingerprint, jobs: usize) -> Result<Vec<u8>> {
    let mut out = Cursor::new(Vec::new());
    let digest = ModuleDigest::of(module);
    let summary = compile(module, digest, fingerprint, jobs, &mut out)?;
    let bytes = out.into_inner();
    assert_eq!(summary.artifact_len, bytes.len() as u64);
    Ok(bytes)
}

fn portable(module: &[u8]) -> Result<Vec<u8>> {
    artifact(module, &fingerprint(CpuLevel::X86_64V2), 1)
}

fn binary(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

fn section(artifact: &[u8], section: Section) -> &[u8] {
    let (header, _) = Header::read(artifact).unwrap();
    let place = &header.sections[section as usize];
    let start = place.offset.get() as usize;
    &artifact[start..start + place.len.get() as usize]
}

fn words(artifact: &[u8], which: Section) -> Vec<u32> {
    let chunks = section(artifact, which).chunks_exact(4);
    chunks.map(|word| u32::from_le_bytes(*word.first_chunk().unwrap())).collect()
}

/// Something of everything: each section has something in it.
const KITCHEN: &str = r#"
(module $kitchen
  (type $binary (func (param i32 i32) (result i32)))
  (import "host" "log" (func $log (param i32)))
  (import "host" "many" (func $many (param i64 f32 f64 v128 externref) (result i32 i64 f32 f64 v128 funcref externref i32 i32 i32)))
  (import "host" "limit" (global $limit i32))
  (memory (export "memory") 2 10)
  (table $t (export "table") 10 20 funcref)
  (table $late 4 funcref)
  (table $refs 3 externref)
  (global (export "counter") (mut i32) (i32.const 7))
  (global $v v128 (v128.const i64x2 1 2))
  (global $f funcref (ref.func $hidden))
  (data (i32.const 16) "hello")
  (data (i32.const 65540) "there")
  (data $passive "later")
  (elem (table $t) (i32.const 2) func $add $sub)
  (elem (table $late) (global.get $limit) func $add)
  (elem $p func $sub)
  (elem $x externref (ref.null extern))
  (elem declare func $declared)
  (func $add (export "add") (type $binary) (i32.add (local.get 0) (local.get 1)))
  (func $sub (type $binary) (i32.sub (local.get 0) (local.get 1)))
  (func $hidden (param i32) (call $log (local.get 0)))
  (func $declared (result funcref) (ref.func $declared))
  (func (export "load") (param i32) (result i32)
    (i32.load (call $add (local.get 0) (i32.const 4))))
  (func (export "init")
    (memory.init $passive (i32.const 0) (i32.const 0) (i32.const 5))
    (data.drop $passive)
    (table.init $t $p (i32.const 0) (i32.const 0) (i32.const 1))
    (call $hidden (i32.const 1)))
  (func (export "div") (param i64 i64) (result i64) (i64.div_s (local.get 0) (local.get 1)))
  (func (export "indirect") (param i32) (result i32)
    (call_indirect $t (type $binary) (i32.const 1) (i32.const 2) (local.get 0)))
  (func $start)
  (start $start))
"#;

#[test]
fn an_artifact_parses_back() {
    let module = binary(KITCHEN);
    let fingerprint = fingerprint(CpuLevel::X86_64V2);
    let bytes = artifact(&module, &fingerprint, 2).unwrap();
    let (header, canonical) = Header::read(&bytes).unwrap();
    assert_eq!(canonical, fingerprint.to_bytes());
    assert_eq!(header.module, ModuleDigest::of(&module).0);
    assert_eq!(header.start(), Some(10));
    assert_eq!(header.cpu_features.get(), CpuLevel::X86_64V2.features().bits());
    let counts = header.counts();
    assert_eq!((counts.imported_functions, counts.imported_globals), (2, 1));
    assert_eq!((counts.defined_tables, counts.defined_memories), (3, 1));
    assert_eq!(counts.defined_globals, 3);
    assert_eq!(counts.func_refs, 9, "exports, elements, the global's and the start");

    let starts = words(&bytes, Section::FuncStarts);
    assert_eq!(starts.len(), 9 + 1);
    assert!(starts.is_sorted());
    assert_eq!(words(&bytes, Section::FuncSigs).len(), 11);
    let text = &header.sections[Section::Text as usize];
    assert_eq!((text.offset.get(), text.len.get() % 4096), (PAGE as u64, 0));

    let site_starts = words(&bytes, Section::SiteStarts);
    let all = section(&bytes, Section::Sites);
    assert_eq!(site_starts.len(), 9 + 1);
    assert_eq!(*site_starts.last().unwrap() as usize, all.len());
    assert!(site_starts.is_sorted());
    // Pairs of numbers, the last bytes of which have the high bit clear.
    for pair in site_starts.windows(2) {
        let records = &all[pair[0] as usize..pair[1] as usize];
        assert_eq!(records.iter().filter(|b| **b & 0x80 == 0).count() % 2, 0);
    }

    let names = section(&bytes, Section::SymbolNames);
    let name = |at: u32| {
        let rest = &names[at as usize..];
        std::str::from_utf8(rest.split(|b| *b == 0).next().unwrap()).unwrap()
    };
    let func_names = words(&bytes, Section::FuncNames);
    assert_eq!(
        func_names.iter().map(|at| name(*at)).collect::<Vec<_>>(),
        ["add", "sub", "hidden", "declared", "", "", "", "", "start"]
    );
    let symbols: Vec<_> = section(&bytes, Section::Symbols)
        .chunks_exact(24)
        .map(|symbol| name(u32::from_le_bytes(*symbol.first_chunk().unwrap())))
        .collect();
    assert_eq!(symbols[..6], ["", "add", "sub", "hidden", "declared", "function[6]"]);
    assert!(symbols.contains(&"entry[0]") && symbols.contains(&"builtin[raise]"));
    // The text holds what the data segments had, once, in the images.
    let images = section(&bytes, Section::Images);
    assert_eq!(&images[16..21], b"hello");
    assert_eq!(&images[65540..65545], b"there");
    assert_eq!(section(&bytes, Section::DataBytes), b"later");
}

#[test]
fn the_same_bytes_for_any_number_of_threads() {
    let mut text = String::from("(module (import \"a\" \"b\" (func $i))");
    for i in 0..60 {
        text.push_str(&format!(
            "(func (export \"f{i}\") (param i32) (result i32) (call $i) {} (local.get 0))",
            "(drop (i32.load offset=8 (local.get 0)))".repeat(i * 7 % 60)
        ));
    }
    text.push_str("(memory 1))");
    let module = binary(&text);
    for cpu in [CpuLevel::X86_64V3, CpuLevel::Aarch64] {
        let fingerprint = fingerprint(cpu);
        let first = artifact(&module, &fingerprint, 1).unwrap();
        for jobs in [2, 3, 16, 1] {
            assert!(artifact(&module, &fingerprint, jobs).unwrap() == first, "{jobs} jobs");
        }
    }
}

#[test]
fn all_targets_levels_and_settings() {
    let module = binary(KITCHEN);
    for arch in [Arch::X86_64, Arch::Aarch64] {
        for os in [Os::Linux, Os::MacOs, Os::Windows] {
            for cpu in CpuLevel::named(arch) {
                let base = Fingerprint { target: Target::new(arch, os), ..fingerprint(*cpu) };
                for fingerprint in [
                    base,
                    Fingerprint { bounds: Bounds::Explicit, ..base },
                    Fingerprint { opt_level: OptLevel::None, ..base },
                    Fingerprint { nan_canonicalization: true, ..base },
                    Fingerprint { fuel: true, epoch_interruption: true, ..base },
                ] {
                    let bytes = artifact(&module, &fingerprint, 1).unwrap();
                    let (header, _) = Header::read(&bytes).unwrap();
                    let text = &header.sections[Section::Text as usize];
                    assert_eq!(text.offset.get() % arch.text_align(), 0);
                    assert_eq!(text.len.get() % arch.text_align(), 0);
                }
            }
        }
    }
}

#[test]
fn an_empty_module_is_one() {
    for module in [&b"\0asm\x01\0\0\0"[..], &binary("(module (import \"a\" \"b\" (func)))")] {
        let bytes = portable(module).unwrap();
        assert_eq!(words(&bytes, Section::FuncStarts), [0]);
        assert_eq!(words(&bytes, Section::SiteStarts), [0]);
    }
}

#[test]
fn refusals_name_the_place_and_the_proposal() {
    let gc = "(module (type (struct (field i32))))";
    let cases = [
        ("(module (func (result i32) i64.const 0))", ErrorKind::Invalid, "type mismatch"),
        ("(module (func) (func (return_call 0)))", ErrorKind::Unsupported, "tail-call"),
        ("(module (memory i64 1))", ErrorKind::Unsupported, "memory64"),
        ("(module (memory 1) (memory 1))", ErrorKind::Unsupported, "multi-memory"),
        ("(module (memory 1 1 shared))", ErrorKind::Unsupported, "threads"),
        ("(module (tag))", ErrorKind::Unsupported, "exceptions, which is switched off"),
        ("(module (memory 1 (pagesize 1)))", ErrorKind::Unsupported, "custom-page-sizes"),
        (
            "(module (type $t (func)) (table 1 (ref null $t)))",
            ErrorKind::Unsupported,
            "function-references",
        ),
        (gc, ErrorKind::Unsupported, "gc"),
        (
            "(module (func (param i64 i64 i64 i64) (drop (drop
               (i64.add128 (local.get 0) (local.get 1) (local.get 2) (local.get 3))))))",
            ErrorKind::Unsupported,
            "wide-arithmetic",
        ),
    ];
    // What is supported by now is named as well where it is switched off.
    let settings = Fingerprint { features: Features::WASM2, ..fingerprint(CpuLevel::X86_64V2) };
    for (text, kind, words) in cases {
        let error = artifact(&binary(text), &settings, 1).unwrap_err();
        assert_eq!(error.kind(), kind, "{text}: {error:#}");
        let message = format!("{error:#}");
        assert!(message.contains(words), "{text}: {message}");
        let place = error.downcast_ref::<ModuleError>().and_then(ModuleError::offset);
        assert!(place.is_some_and(|at| at >= 8), "{text}: {message}");
    }
}

#[test]
fn switched_off_is_told_from_unsupported() {
    let module = binary("(module (func (param i32) (result i32) (i32.extend8_s (local.get 0))))");
    let base = fingerprint(CpuLevel::X86_64V2);
    let fingerprint = Fingerprint { features: Features::WASM1, ..base };
    let error = artifact(&module, &fingerprint, 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let message = format!("{error:#}");
    assert!(message.contains("the proposal sign-extension, which is switched off"), "{message}");
    let fingerprint = Fingerprint { features: Features::GC, ..base };
    assert_eq!(artifact(&module, &fingerprint, 1).unwrap_err().kind(), ErrorKind::Config);
}

/// What came with garbage-collected types and needs none of them. The types stay out, also where
/// one flag of the validator lets in both.
#[test]
fn constant_globals_are_read_in_constant_expressions() {
    let own = "(global $a i32 (i32.const 1)) (global i32 (global.get $a))";
    let compile = |module: &[u8], features| {
        let fingerprint = Fingerprint { features, ..fingerprint(CpuLevel::X86_64V2) };
        artifact(module, &fingerprint, 1).map(drop)
    };
    let fine = binary(&format!("(module {own})"));
    compile(&fine, Features::default()).unwrap();
    let error = compile(&fine, Features::WASM2).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:#}");
    for (with, kind, words) in [
        ("(type (struct))", ErrorKind::Unsupported, "the proposal gc, which is not supported"),
        ("(rec (type (func)) (type (func)))", ErrorKind::Unsupported, "proposal gc"),
        ("(type (sub (func)))", ErrorKind::Unsupported, "proposal gc"),
        ("(type $f (func (param (ref $f))))", ErrorKind::Unsupported, "proposal gc"),
        ("(global anyref (ref.null any))", ErrorKind::Unsupported, "the proposal gc"),
        ("(func (local nullfuncref))", ErrorKind::Unsupported, "the proposal gc"),
        ("(func (drop (ref.i31 (i32.const 0))))", ErrorKind::Unsupported, "the proposal gc"),
        ("(global (mut i32) (i32.const 1)) (global i32 (global.get 2))", ErrorKind::Invalid, "mut"),
        (
            "(memory 1 1 shared)",
            ErrorKind::Unsupported,
            "the proposal threads, which is switched off",
        ),
        (
            "(func (result i64 i64) (i64.add128 (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 0)))",
            ErrorKind::Unsupported,
            "the proposal wide-arithmetic, which is switched off",
        ),
        ("(global i64 (global.get $a))", ErrorKind::Invalid, "type mismatch"),
        ("(global i32 (global.get 2))", ErrorKind::Invalid, "global"),
    ] {
        let module = binary(&format!("(module {own} {with})"));
        let error = compile(&module, Features::default()).unwrap_err();
        assert_eq!(error.kind(), kind, "{with}: {error:#}");
        assert!(format!("{error:#}").contains(words), "{with}: {error:#}");
        assert_eq!(
            super::validate(&module, Features::default()).unwrap_err().kind(),
            kind,
            "{with}"
        );
    }
}

#[test]
fn what_is_no_module_is_told_what_it_is() {
    let cases: [(&[u8], &str); 8] = [
        (b"", "no bytes at all"),
        (b"\0as", "unexpected end of the module's header"),
        (b"\0asm\x01\0", "unexpected end of the module's header"),
        (b"\0asm\x02\0\0\0", "unknown binary version"),
        (b"\0asm\x0d\0\x01\0", "this is a component"),
        (b"  (module)", "looks like the text format"),
        (b"\x7fELF\x02\x01\x01\0", "magic header"),
        (b"\0asm\x01\0\0\0\x01", "unexpected end"),
    ];
    for (bytes, words) in cases {
        let message = format!("{:#}", portable(bytes).unwrap_err());
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn the_first_bad_function_is_reported() {
    let bad = "(func (result i32) (i64.const 0))";
    let fine = "(func (param i32) (drop (i32.add (local.get 0) (i32.const 1))))".repeat(20);
    let large = format!("(func (result i32) {} (i64.const 0))", "nop ".repeat(1000));
    let module = binary(&format!("(module {fine} {bad} {fine} {large})"));
    let first = format!("{:#}", portable(&module).unwrap_err());
    let base = fingerprint(CpuLevel::X86_64V2);
    for jobs in [1, 2, 5] {
        let again = artifact(&module, &base, jobs).unwrap_err();
        assert_eq!(format!("{again:#}"), first);
    }
}

#[test]
fn no_panic_on_cut_or_mutated_modules() {
    let module = binary(KITCHEN);
    // The quickest settings: the compiler proper is not what this is about.
    let base = Fingerprint { opt_level: OptLevel::None, ..fingerprint(CpuLevel::X86_64V2) };
    let check = |bytes: &[u8]| match artifact(bytes, &base, 1) {
        Ok(artifact) => drop(Header::read(&artifact).unwrap()),
        Err(error) => {
            assert_ne!(error.kind(), ErrorKind::Bug, "{error:#}");
            assert_ne!(error.kind(), ErrorKind::Io, "{error:#}");
        }
    };
    for len in 0..module.len() {
        check(&module[..len]);
    }
    let mut bytes = module.clone();
    // A fixed sequence, so that a failure can be seen again.
    let mut random: u32 = 12345;
    for at in 8..module.len() {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bytes[at] = (random >> 24) as u8;
        check(&bytes);
        bytes[at] = module[at] ^ 1 << (random >> 8 & 7);
        check(&bytes);
        bytes[at] = module[at];
    }
}

#[test]
fn damaged_names_are_left_out() {
    let module = binary("(module (func $a) (func $b))");
    let custom = |payload: &[u8]| {
        let mut bytes = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x03\x02\0\0".to_vec();
        bytes.extend_from_slice(b"\x0a\x07\x02\x02\0\x0b\x02\0\x0b\0");
        bytes.truncate(bytes.len() - 1);
        bytes.extend_from_slice(&[0, payload.len() as u8 + 5, 4]);
        bytes.extend_from_slice(b"name");
        bytes.extend_from_slice(payload);
        bytes
    };
    assert!(words(&portable(&module).unwrap(), Section::FuncNames).iter().all(|at| *at != 0));
    // Function names: count 2; function 1 twice; function 9, which does not exist; bad UTF-8.
    for (payload, named) in [
        (&b"\x01\x06\x02\x00\x01x\x01\x00"[..], [true, false]),
        (b"\x01\x07\x02\x01\x01x\x01\x01y", [false, true]),
        (b"\x01\x07\x02\x09\x01x\x00\x01y", [true, false]),
        (b"\x01\x07\x02\x00\x01\xff\x01\x01y", [false, false]),
        (b"\x01\x7f\x02", [false, false]),
        (b"\x07\xff\xff", [false, false]),
        (b"\x01\x05\x01\x00\x02\0x", [false, false]),
    ] {
        let bytes = portable(&custom(payload)).unwrap();
        let names = words(&bytes, Section::FuncNames);
        assert_eq!(names.iter().map(|at| *at != 0).collect::<Vec<_>>(), named, "{payload:?}");
    }
}

/// The records of defined function `index`: distance, trap's number, place in the module.
fn sites_of(artifact: &[u8], index: usize) -> Vec<(u64, u64, i64)> {
    let starts = words(artifact, Section::SiteStarts);
    let all = section(artifact, Section::Sites);
    let mut bytes = all[starts[index] as usize..starts[index + 1] as usize].iter();
    let mut number = || {
        let mut value = 0;
        for (i, byte) in bytes.by_ref().enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    };
    let (mut pc, mut place, mut sites) = (0, 0, Vec::new());
    while let Some(head) = number() {
        let delta = number().unwrap();
        pc += head >> 5;
        place += (delta >> 1) as i64 ^ -((delta & 1) as i64);
        sites.push((pc, head & 31, place));
    }
    sites
}

#[test]
fn sites_of_a_load_and_a_call() {
    let module = binary(
        "(module (memory 1)
           (func $f)
           (func (param i32) (result i32) (call $f) (i32.load (local.get 0))))",
    );
    let find =
        |opcode: &[u8]| module.windows(opcode.len()).rposition(|w| w == opcode).unwrap() as i64;
    let (call, load) = (find(&[0x10, 0]), find(&[0x28, 2, 0]));
    for cpu in [CpuLevel::X86_64V2, CpuLevel::Aarch64] {
        let bytes = artifact(&module, &fingerprint(cpu), 1).unwrap();
        let starts = words(&bytes, Section::FuncStarts);
        let sites = sites_of(&bytes, 1);
        assert!(sites.iter().all(|site| site.0 <= u64::from(starts[2] - starts[1])));
        assert!(sites.is_sorted_by_key(|site| site.0));
        let places = |trap| {
            let of_it = sites.iter().filter(move |site| site.1 == trap);
            of_it.map(|site| site.2).collect::<Vec<_>>()
        };
        assert_eq!(places(0), [call]);
        assert_eq!(places(crate::Trap::MemoryOutOfBounds as u64), [load]);
    }
}

/// Word `word` of record `record` of a table whose records have `size` bytes.
fn field(artifact: &[u8], which: Section, size: usize, record: usize, word: usize) -> u32 {
    words(artifact, which)[record * size / 4 + word]
}

/// Modes of the data segments and of the element segments.
fn modes(artifact: &[u8]) -> (Vec<u32>, Vec<u32>) {
    let data = words(artifact, Section::DataSegments).chunks(8).map(|r| r[0]).collect();
    let elements = words(artifact, Section::Elements).chunks(8).map(|r| r[0]).collect();
    (data, elements)
}

#[test]
fn segments_become_images_where_nobody_can_tell() {
    const PASSIVE: u32 = crate::artifact::records::PASSIVE;
    const ACTIVE: u32 = crate::artifact::records::ACTIVE;
    const APPLIED: u32 = crate::artifact::records::APPLIED;
    const TABLE: &str = "(import \"a\" \"t\" (table 5 funcref))";
    const GLOBAL: &str = "(import \"a\" \"g\" (global i32))";
    let cases: [(&str, &[u32], &[u32]); 12] = [
        ("(memory 1) (data (i32.const 0) \"a\") (data \"b\")", &[APPLIED, PASSIVE], &[]),
        // Up to the end, and one byte more, which keeps the others as well.
        ("(memory 1) (data (i32.const 65535) \"a\")", &[APPLIED], &[]),
        (
            "(memory 1) (data (i32.const 0) \"a\") (data (i32.const 65535) \"ab\")",
            &[ACTIVE; 2],
            &[],
        ),
        ("(memory 0) (data (i32.const 0) \"\")", &[APPLIED], &[]),
        ("(memory 0) (data (i32.const 1) \"\")", &[ACTIVE], &[]),
        ("(memory 1) (data (i32.const -1) \"a\")", &[ACTIVE], &[]),
        ("(memory 1) (data (i32.add (i32.const 1) (i32.const 2)) \"a\")", &[APPLIED], &[]),
        // Far apart.
        (
            "(memory 200) (data (i32.const 0) \"a\") (data (i32.const 9000000) \"b\")",
            &[ACTIVE; 2],
            &[],
        ),
        ("(func) (table 3 funcref) (elem (i32.const 2) func 0)", &[], &[APPLIED]),
        ("(func) (table 3 funcref) (elem (i32.const 3) func 0)", &[], &[ACTIVE]),
        ("(table 3 externref) (elem (i32.const 0) externref (ref.null extern))", &[], &[ACTIVE]),
        ("(func) (table 1000000 funcref) (elem (i32.const 999999) func 0)", &[], &[ACTIVE]),
    ];
    for (text, data, elements) in cases {
        let bytes = portable(&binary(&format!("(module {text})"))).unwrap();
        assert_eq!(modes(&bytes), (data.to_vec(), elements.to_vec()), "{text}");
    }
    let given = format!("(module {GLOBAL} (memory 1) (data (global.get 0) \"a\"))");
    assert_eq!(modes(&portable(&binary(&given)).unwrap()).0, [ACTIVE]);
    // Functions of the instance may be called by whoever has the imported table.
    let escapes = format!(
        "(module {TABLE} (memory 1) (func) (table 1 funcref)
           (data (i32.const 0) \"a\")
           (elem (table 0) (i32.const 0) func 0)
           (elem (table 1) (i32.const 0) func 0))"
    );
    assert_eq!(modes(&portable(&binary(&escapes)).unwrap()), (vec![ACTIVE], vec![ACTIVE; 2]));
}

#[test]
fn images_hold_what_copying_would_leave() {
    // Overlapping, zeros over something, across pieces of the image, nothing in the first page.
    let long = "x".repeat(100_000);
    let module = binary(&format!(
        "(module (func $a) (func $b) (memory 8) (table 20 funcref)
           (data (i32.const 70000) \"{long}\")
           (data (i32.const 70010) \"yy\\00\\00y\")
           (data (i32.const 131070) \"zzzz\")
           (data (i32.const 400000) \"\\00\\00\")
           (elem (i32.const 3) func $a $a $a)
           (elem (i32.const 4) funcref (ref.func $b) (ref.null func))
           (elem (i32.const 9) funcref (ref.null func)))"
    ));
    let mut memory = vec![0; 8 << 16];
    memory[70000..170_000].fill(b'x');
    memory[70010..70015].copy_from_slice(b"yy\0\0y");
    memory[131_070..131_074].fill(b'z');
    for cpu in [CpuLevel::X86_64V2, CpuLevel::Aarch64] {
        let bytes = artifact(&module, &fingerprint(cpu), 1).unwrap();
        let long = |word| {
            let low = field(&bytes, Section::Memories, 48, 0, word);
            u64::from(low) | u64::from(field(&bytes, Section::Memories, 48, 0, word + 1)) << 32
        };
        let (start, offset, len) = (long(6) as usize, long(8) as usize, long(10) as usize);
        let align = cpu.arch().text_align() as usize;
        assert_eq!((start, offset % align), (70000 / align * align, 0));
        assert_eq!(start + len, 170_000);
        let padded = len.next_multiple_of(align);
        assert!(bytes[offset..offset + padded] == memory[start..start + padded]);
        assert_eq!(
            words(&bytes, Section::TableImages),
            [u32::MAX, u32::MAX, u32::MAX, 0, 1, u32::MAX][..5]
        );
    }
}

#[test]
fn signatures_of_any_size() {
    let types = "i32 i64 f32 f64 v128 funcref externref ".repeat(30);
    let zeros = "(i32.const 0) (i64.const 0) (f32.const 0) (f64.const 0) (v128.const i64x2 0 0)
                 (ref.null func) (ref.null extern)"
        .repeat(30);
    let module = binary(&format!(
        "(module (import \"a\" \"b\" (func (param {types}) (result {types})))
           (func (export \"f\") (param {types}) (result {types}) (call 0 {zeros})))"
    ));
    for arch in [Arch::X86_64, Arch::Aarch64] {
        for os in [Os::Linux, Os::MacOs, Os::Windows] {
            let base = fingerprint(CpuLevel::portable(arch));
            let fingerprint = Fingerprint { target: Target::new(arch, os), ..base };
            artifact(&module, &fingerprint, 1).unwrap();
        }
    }
}

#[test]
fn trampolines_are_made_for_what_can_be_reached() {
    let types: String =
        (0..500).map(|i| format!("(type $t{i} (func (param {}i32)))", "i64 ".repeat(i))).collect();
    let text = format!(
        r#"(module {types}
            (import "" "f" (func $import (type $t1)))
            (table 1 funcref)
            (func (export "f") (type $t2))
            (func $alone (type $t3))
            (func $element (type $t4))
            (elem declare func $element)
            (func (type $t0)
                (call $alone (i64.const 0) (i64.const 0) (i64.const 0) (i32.const 0))
                (drop (ref.func $element))
                (call_indirect (type $t5) (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 0)
                    (i64.const 0) (i32.const 0) (i32.const 0))))"#
    );
    let artifact = portable(&binary(&text)).unwrap();
    let names = section(&artifact, Section::SymbolNames).split(|byte| *byte == 0);
    let names: Vec<_> = names.map(|name| str::from_utf8(name).unwrap()).collect();
    let found: Vec<_> =
        names.iter().filter(|n| n.starts_with("entry") || n.starts_with("host")).collect();
    assert_eq!(found, [&"host[1]", &"entry[2]", &"entry[4]", &"host[5]"]);
}
