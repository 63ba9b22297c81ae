//! Keys as text, and what is no signature.

use super::*;

fn key(name: &str) -> SigningKey {
    SigningKey::generate(name).unwrap()
}

#[test]
fn texts_of_keys() {
    let one = key("release-1");
    assert_eq!(SigningKey::parse(&one.to_secret_text()).unwrap().public_key(), one.public_key());
    let two = key("release-2").public_key();
    let text = format!("# both\n\n{}\n  {two}\r\n", one.public_key());
    assert_eq!(TrustedKeys::parse(&text).unwrap().keys(), [one.public_key(), two.clone()]);
    let secret = one.to_secret_text();
    for (bad, message) in [
        (String::new(), "there is no key"),
        ("# nothing".into(), "there is no key"),
        (secret.clone(), "a secret key"),
        (text.replace("ed25519", "rsa"), "not of the kind ed25519"),
        (text.replace("release-1", "release"), "ends in a dash and a number"),
        (text.replace("release-1", "release-"), "ends in a dash and a number"),
        (text.replace("release-1", "../r-1"), "the name of a key"),
        (format!("{two} more"), "no key"),
        (format!("{two}0"), "no key"),
        ("hello".into(), "no key"),
    ] {
        let error = TrustedKeys::parse(&bad).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    // A point of small order would accept signatures of anything.
    let weak = text::line(text::PUBLIC, "weak-1", &[0; 32]);
    assert!(TrustedKeys::parse(&weak).unwrap_err().to_string().contains("curve"));
    for bad in [format!("{secret}\n{secret}"), secret[..90].to_owned(), two.to_string()] {
        let error = SigningKey::parse(&bad).unwrap_err().to_string();
        assert!(!error.contains(&secret[secret.len() - 20..]), "{error}");
    }
    assert!(!format!("{one:?}").contains(&secret[secret.len() - 20..]));
    assert_ne!(key("release-1").public_key(), one.public_key());
}

#[test]
fn what_is_no_signature_of_this() {
    let (one, two) = (key("release-1"), key("release-2"));
    let mut trusted = TrustedKeys::from(one.public_key());
    let good = one.sign("a", b"message");
    assert_eq!(good.len(), one.signature_length());
    assert_eq!(trusted.verify("a", b"message", &good), Ok("release-1"));
    assert_eq!(signer(&good), Some("release-1"));
    assert_eq!(trusted.verify("a", b"message", b""), Err(Distrust::Unsigned));
    let unknown = trusted.verify("a", b"message", &two.sign("a", b"message")).unwrap_err();
    assert_eq!(unknown, Distrust::UnknownKey { name: "release-2".into() });
    // Another key of the same name, and the same key by another name.
    let bad = Err(Distrust::BadSignature { name: "release-1".into() });
    assert_eq!(trusted.verify("a", b"message", &key("release-1").sign("a", b"message")), bad);
    let renamed = SigningKey::parse(&one.to_secret_text().replace("e-1", "e-3")).unwrap();
    let mut forged = renamed.sign("a", b"message");
    forged[10] = b'1';
    assert_eq!(trusted.verify("a", b"message", &forged), bad);
    for (domain, message) in [("b", &b"message"[..]), ("a", b"messages"), ("am", b"essage")] {
        assert_eq!(trusted.verify(domain, message, &good), bad);
    }
    for place in 0..good.len() {
        for bit in 0..8 {
            let mut flipped = good.clone();
            flipped[place] ^= 1 << bit;
            assert!(trusted.verify("a", b"message", &flipped).is_err(), "{place} {bit}");
        }
        assert!(trusted.verify("a", b"message", &good[..place]).is_err());
    }
    assert!(trusted.verify("a", b"message", &[&good[..], b"0"].concat()).is_err());
    // Rotation: both are trusted for a while, then the new one alone.
    trusted.add(two.public_key());
    assert_eq!(trusted.verify("a", b"message", &good), Ok("release-1"));
    assert_eq!(trusted.verify("a", b"message", &two.sign("a", b"message")), Ok("release-2"));
    let trusted = TrustedKeys::from(two.public_key());
    assert!(trusted.verify("a", b"message", &good).is_err());
}
