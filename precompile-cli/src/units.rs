//! Times, numbers and names as people write and read them.

use std::time::{Duration, SystemTime};

/// A time: a number with a unit from seconds to weeks.
pub(crate) fn parse_age(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim());
    let factor = match unit {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return Err("a time is a number with s, m, h, d or w behind it".to_string()),
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    seconds.map(Duration::from_secs).ok_or_else(|| "a time is a whole number, such as 30d".into())
}

/// How long something may take: seconds, or a number with a unit up to hours.
pub(crate) fn parse_timeout(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let factor = match text[end..].trim() {
        "ms" => 1,
        "" | "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    let number = text[..end].parse::<u64>().ok().filter(|_| factor > 0);
    let time = number.and_then(|number| number.checked_mul(factor)).map(Duration::from_millis);
    time.ok_or_else(|| {
        "a time is a whole number of seconds, or with ms, s, m or h behind it, such as 60 or 5m"
            .to_string()
    })
}

/// A number of threads; no machine has use for more.
pub(crate) fn parse_jobs(text: &str) -> Result<usize, String> {
    let number = text.parse::<usize>().ok().filter(|number| *number <= 1024);
    number.ok_or_else(|| {
        "the number of threads is a whole number up to 1024, or 0 for one a processor".to_string()
    })
}

/// A variable of a guest, with a value or without.
pub(crate) fn parse_variable(text: &str) -> Result<String, String> {
    match text.split('=').next() {
        None | Some("") => Err("in front of the value belongs a name: NAME=VALUE".to_string()),
        _ => Ok(text.to_string()),
    }
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

/// What a list of names is for.
pub(crate) fn parse_scope(text: &str) -> Result<String, String> {
    let fits = precompile::cache::Names::new().set_scope(Some(text));
    fits.map(|()| text.to_string()).map_err(|error| error.to_string())
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
    fn times() {
        for (text, seconds) in [("90s", 90), ("2m", 120), ("1h", 3600), ("2 w", 1_209_600)] {
            assert_eq!(parse_age(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "d", "1", "1y", "1.5h", "18446744073709551615d"] {
            assert!(parse_age(text).is_err(), "{text}");
        }
        for (text, millis) in
            [("60", 60_000), ("1500ms", 1500), ("2s", 2000), ("5m", 300_000), ("0", 0)]
        {
            assert_eq!(parse_timeout(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "nan", "-1", "1.5", "ms", "1d", "18446744073709551615h"] {
            assert!(parse_timeout(text).is_err(), "{text}");
        }
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let told = [5, 300, 7200, 400_000].map(|age| ago(now - Duration::from_secs(age), now));
        assert_eq!(told, ["5 s", "5 min", "2 h", "4 d"]);
        assert_eq!(ago(now + Duration::from_secs(1), now), "in future");
    }
}
