//! The format of lists: what is one, what is told of the others, and what a signature is over.

use super::*;

fn list() -> Names {
    let mut names = Names::new();
    for (name, group) in [("b", 2), ("a/ü  x", 1), ("a-b", 3), ("#", 1)] {
        assert_eq!(names.insert(name, [group; 32]).unwrap(), None);
    }
    names
}

#[test]
fn a_list_has_one_spelling() {
    let names = list();
    let text = names.to_string();
    let lines: Vec<_> = text.lines().map(|line| line.get(66..).unwrap_or_default()).collect();
    assert_eq!(lines, ["", "#", "a-b", "a/ü  x", "b"]);
    assert_eq!(Names::parse(text.as_bytes()).unwrap(), names);
    assert_eq!((names.len(), names.get("a/ü  x"), names.get("c")), (4, Some([1; 32]), None));
    // Every flipped bit is found, or is another list.
    for place in 0..text.len() {
        for bit in 0..8 {
            let mut bytes = text.clone().into_bytes();
            bytes[place] ^= 1 << bit;
            if let Ok(other) = Names::parse(&bytes) {
                assert_ne!(other, names);
                assert_eq!(other.to_string().as_bytes(), bytes);
            }
        }
        let cut = Names::parse(&text.as_bytes()[..place]);
        assert!(cut.is_err() || text[..place].ends_with('\n'), "{place}");
    }
    assert!(Names::parse(format!("{FIRST}\n").as_bytes()).unwrap().is_empty());
}

#[test]
fn bad_lines_are_told_with_their_number() {
    let one = format!("{}  a\n", "1".repeat(64));
    let cases = [
        (String::new(), 1, "cut"),
        (FIRST.to_string(), 1, "cut"),
        ("# names of cache groups, version 2\n".into(), 1, "begin"),
        (format!("{FIRST}\n\n"), 2, "no digest"),
        (format!("{FIRST}\n{one}{one}"), 3, "twice"),
        (format!("{FIRST}\n{}{one}", one.replace('a', "b")), 3, "order"),
        (format!("{FIRST}\n{}", one.replace("  ", " ")), 2, "no digest"),
        (format!("{FIRST}\n{}", &one[1..]), 2, "no digest"),
        (format!("{FIRST}\n{}", one.replace('a', "../a")), 2, "`..`"),
        (format!("{FIRST}\n{}", one.replace('a', "/a")), 2, "absolute"),
        (format!("{FIRST}\n{}", one.replace('a', "a\0")), 2, "control"),
        (format!("{FIRST}\n{}", one.replace('a', "a\r")), 2, "control"),
        (format!("{FIRST}\n{}", one.replace('a', "")), 2, "empty"),
        (format!("{FIRST}\n{one}# signature 0g\n"), 3, "no signature"),
        (format!("{FIRST}\n{one}# signature \n"), 3, "no signature"),
        (format!("{FIRST}\n# signature 00\n{one}"), 2, "no digest"),
    ];
    for (text, line, what) in cases {
        let told = Names::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(told.contains(what) && told.contains(&format!("line {line}:")), "{told}");
    }
    let told = Names::parse(&[FIRST.as_bytes(), b"\n\xff\n"].concat()).unwrap_err().to_string();
    assert!(told.contains("not UTF-8"), "{told}");
}

#[test]
fn names_that_cannot_be() {
    let long = "x".repeat(NAME_LIMIT + 1);
    let bad = ["", "/", "/a", "a/", "a//b", ".", "..", "a/..", "./a", "a\0", "a\nb", &long];
    for name in bad {
        let error = Names::new().insert(name, [0; 32]).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Name { .. }), "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    for name in ["...", "..a", "a.b/c d", "-", "\\", &long[1..]] {
        assert!(Names::new().insert(name, [0; 32]).is_ok(), "{name}");
    }
}

/// Bytes that are others when they are read from the start a second time.
struct Fickle<'a>([&'a [u8]; 2], std::cell::Cell<usize>);

impl Source for Fickle<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset == 0 {
            self.1.set(self.1.get() + 1);
        }
        let bytes = self.0[usize::from(self.1.get() > 1)];
        let rest = bytes.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

fn read_signed(text: [&[u8]; 2], trusted: &TrustedKeys) -> Result<Names, Distrust> {
    let source = Fickle(text, std::cell::Cell::new(0));
    Names::read_signed(&source, text[0].len() as u64, trusted).map_err(|refused| match refused {
        Refused::Distrust(reason) => reason,
        other => panic!("{other:?}"),
    })
}

#[test]
fn a_signature_is_over_all_of_it() {
    let key = SigningKey::generate("release-1").unwrap();
    let trusted = TrustedKeys::from(key.public_key());
    let mut names = list();
    assert_eq!(names.verify(&trusted), Err(Distrust::Unsigned));
    names.set_scope(Some("plugins")).unwrap();
    names.sign(&key);
    let text = names.to_string().into_bytes();
    let signed = |text: &[u8]| read_signed([text; 2], &trusted);
    let read = signed(&text).unwrap();
    assert_eq!((&read, read.verify(&trusted)), (&names, Ok("release-1")));
    assert_eq!((read.signer(), read.scope()), (Some("release-1"), Some("plugins")));
    for place in 0..text.len() {
        let mut bytes = text.clone();
        bytes[place] ^= 1;
        assert!(signed(&bytes).is_err(), "byte {place}");
        assert!(signed(&text[..place]).is_err(), "{place}");
    }
    // What is signed for another purpose is no list.
    let mut forged = text[..text.len() - SIGNATURE.len() - 2 * names.signature.len() - 1].to_vec();
    let other = key.sign("cache entry", &names.digest());
    forged.extend(SIGNATURE.bytes());
    forged.extend(other.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()));
    forged.push(b'\n');
    assert_eq!(forged.len(), text.len());
    let refused = signed(&forged).unwrap_err();
    assert_eq!(refused, Distrust::BadSignature { name: "release-1".into() });
    // The same names and scope keep it, others do not.
    assert_eq!(names.insert("b", [2; 32]).unwrap(), Some([2; 32]));
    let mut other = list();
    other.set_scope(Some("else")).unwrap();
    other.keep_signature(&names);
    assert_eq!((other.scope(), other.signer()), (Some("else"), None));
    let mut copy = list();
    copy.keep_signature(&names);
    assert_eq!(copy, names);
    names.insert("c", [2; 32]).unwrap();
    assert_eq!(names.signer(), None);
    names.keep_signature(&copy);
    assert_eq!(names.signer(), None);
    assert_eq!(copy.remove("none"), None);
    copy.set_scope(Some("plugins")).unwrap();
    assert_eq!(copy.signer(), Some("release-1"), "nothing has changed");
    let mut less = copy.clone();
    assert_eq!(less.remove("b"), Some([2; 32]));
    assert_eq!((less.signer(), less.get("b")), (None, None));
    copy.set_scope(None).unwrap();
    assert_eq!(copy.signer(), None);
}

#[test]
fn a_list_that_changes_while_it_is_read() {
    let key = SigningKey::generate("release-1").unwrap();
    let trusted = TrustedKeys::from(key.public_key());
    let mut names = Names::new();
    for number in 0..100_u32 {
        names.insert(&number.to_string(), [1; 32]).unwrap();
    }
    names.sign(&key);
    let text = names.to_string();
    assert!(text.len() as u64 > TAIL);
    let other = text.replace("  77\n", "  7x\n");
    let tampered = Err(Distrust::Tampered { name: "release-1".into() });
    for (second, expected) in [(&text, Ok(names)), (&other, tampered)] {
        assert_eq!(read_signed([text.as_bytes(), second.as_bytes()], &trusted), expected);
    }
}

#[test]
fn what_a_list_is_for() {
    let mut names = list();
    names.set_scope(Some("plugins of ü, 1")).unwrap();
    let text = names.to_string();
    assert_eq!(text.lines().nth(1), Some("# scope plugins of ü, 1"));
    assert_eq!(Names::parse(text.as_bytes()).unwrap(), names);
    let long = "x".repeat(SCOPE_LIMIT + 1);
    for bad in ["", " a", "a ", "a\nb", "a\0", &long] {
        let told = names.set_scope(Some(bad)).unwrap_err().to_string();
        assert!(told.contains("expected a scope"), "{told}");
        let text = text.replace("plugins of ü, 1", bad);
        let told = Names::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(told.contains("line 2") || bad.contains('\n'), "{told}");
    }
    assert_eq!(names.scope(), Some("plugins of ü, 1"));
    names.set_scope(Some(&long[1..])).unwrap();
    // It is in one place, once.
    let (first, rest) = text.split_once('\n').unwrap();
    let (scope, rest) = rest.split_once('\n').unwrap();
    for text in [format!("{first}\n{scope}\n{scope}\n{rest}"), format!("{first}\n{rest}{scope}\n")]
    {
        assert!(Names::parse(text.as_bytes()).is_err());
    }
    names.set_scope(None).unwrap();
    assert_eq!(names, list());
}
