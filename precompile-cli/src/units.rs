//! Sizes and times as people write and read them.

use std::time::{Duration, SystemTime};

/// Bytes: a number, and behind it nothing or a unit: K, M, G and T are powers of 1024, with or
/// without `B` or `iB`.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let factor = match unit.to_ascii_uppercase().trim_end_matches('B').trim_end_matches('I') {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        "T" => 1_u64 << 40,
        _ => return Err("a size is a number with K, M, G, T or nothing behind it".to_string()),
    };
    times(number, factor).ok_or_else(|| "a size is a whole number, such as 500M".to_string())
}

/// A time: a number with a unit from seconds to weeks.
pub(crate) fn parse_age(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let factor = match unit {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return Err("a time is a number with s, m, h, d or w behind it".to_string()),
    };
    let seconds = times(number, factor);
    seconds.map(Duration::from_secs).ok_or_else(|| "a time is a whole number, such as 30d".into())
}

/// SHA-256 of a module's binary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Digest(pub(crate) [u8; 32]);

/// A digest: 64 hexadecimal digits, as `sha256sum` prints them, or images name them.
pub(crate) fn parse_digest(text: &str) -> Result<Digest, String> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
    let digest = precompile::cache::from_hex(&digits).map(Digest);
    digest.ok_or_else(|| "a digest is 64 hexadecimal digits, as sha256sum prints".to_string())
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

fn times(number: &str, factor: u64) -> Option<u64> {
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// How long ago, in one unit.
pub(crate) fn ago(then: SystemTime, now: SystemTime) -> String {
    let Ok(age) = now.duration_since(then) else { return "in future".to_string() };
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Seconds since 1970.
pub(crate) fn timestamp(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times() {
        let sizes = [("0", 0), ("12", 12), ("1k", 1024), ("2 MiB", 2 << 20), ("3GB", 3 << 30)];
        for (text, bytes) in sizes {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "1.5G", "-1", "1X", "20000000T", "9999999999999999999999", "1KM"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        for (text, seconds) in [("90s", 90), ("2m", 120), ("1h", 3600), ("2 w", 1_209_600)] {
            assert_eq!(parse_age(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "d", "1", "1y", "1.5h", "18446744073709551615d"] {
            assert!(parse_age(text).is_err(), "{text}");
        }
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let told = [5, 300, 7200, 400_000].map(|age| ago(now - Duration::from_secs(age), now));
        assert_eq!(told, ["5 s", "5 min", "2 h", "4 d"]);
        assert_eq!(ago(now + Duration::from_secs(1), now), "in future");
    }
}
