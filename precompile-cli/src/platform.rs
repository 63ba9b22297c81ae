//! Platforms as container people write them: `linux/amd64/v3`, `linux/arm64`.

use precompile::{Arch, CpuLevel, Os, Target};

/// The target of a platform, and its level of processors if it names one.
pub(crate) fn parse(text: &str) -> Result<(Target, Option<CpuLevel>), String> {
    let unknown = |what: &str| {
        let shown: String = text.chars().take(100).collect();
        Err(format!(
            "unknown platform `{shown}`: {what}; platforms are written OS/ARCHITECTURE or \
             OS/ARCHITECTURE/VARIANT, such as linux/amd64/v3 and linux/arm64"
        ))
    };
    let parts: Vec<&str> = text.trim().split('/').collect();
    let (os, arch, variant) = match parts[..] {
        [os, arch] => (os, arch, None),
        [os, arch, variant] => (os, arch, Some(variant)),
        _ => return unknown("it has no two or three parts"),
    };
    let os = match os {
        "linux" => Os::Linux,
        "darwin" => Os::MacOs,
        "windows" => Os::Windows,
        _ => return unknown("there is code for linux, darwin and windows"),
    };
    let (arch, level) = match (arch, variant) {
        ("amd64", None) => (Arch::X86_64, None),
        ("amd64", Some("v1")) => (Arch::X86_64, Some(CpuLevel::X86_64)),
        ("amd64", Some("v2")) => (Arch::X86_64, Some(CpuLevel::X86_64V2)),
        ("amd64", Some("v3")) => (Arch::X86_64, Some(CpuLevel::X86_64V3)),
        ("amd64", Some("v4")) => (Arch::X86_64, Some(CpuLevel::X86_64V4)),
        ("amd64", Some(_)) => return unknown("amd64 has the variants v1 to v4"),
        // Every such processor is a v8, so naming it says nothing more.
        ("arm64", None | Some("v8")) => (Arch::Aarch64, None),
        ("arm64", Some(_)) => {
            return unknown("arm64 has the variant v8; for later ones use --cpu aarch64+lse");
        }
        _ => return unknown("there is code for amd64 and arm64"),
    };
    Ok((Target::new(arch, os), level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms() {
        for (text, target, level) in [
            ("linux/amd64", "x86_64-linux", None),
            ("linux/amd64/v1", "x86_64-linux", Some("x86-64")),
            ("linux/amd64/v2", "x86_64-linux", Some("x86-64-v2")),
            ("linux/amd64/v3", "x86_64-linux", Some("x86-64-v3")),
            (" linux/amd64/v4", "x86_64-linux", Some("x86-64-v4")),
            ("linux/arm64", "aarch64-linux", None),
            ("linux/arm64/v8", "aarch64-linux", None),
            ("darwin/arm64", "aarch64-macos", None),
            ("windows/amd64", "x86_64-windows", None),
        ] {
            let (found, cpu) = parse(text).unwrap();
            assert_eq!(found.to_string(), target);
            assert_eq!(cpu.map(|cpu| cpu.to_string()).as_deref(), level);
        }
        for bad in [
            "",
            "linux",
            "linux/",
            "linux/386",
            "linux/arm/v7",
            "linux/amd64/v5",
            "linux/arm64/v9",
            "linux/amd64/v3/x",
            "Linux/amd64",
            "freebsd/amd64",
        ] {
            let message = parse(bad).unwrap_err();
            assert!(message.starts_with("unknown platform") && message.contains("such as"));
        }
    }
}
