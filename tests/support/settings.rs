//! Each setting that code depends on, changed alone: a list that comes from the engine's own, so
//! that a new setting is in it or fails the tests.

use precompile::{Arch, CpuFeatures, CpuLevel, Features, Settings};

/// The settings `own` with one of them changed, for each other value that it can have on the same
/// architecture: its name, the reason of the miss that it leads to, and all of them. Those that say
/// which engine it is are left out: there is only one here.
///
/// # Panics
/// If nobody has said yet which values a setting has.
pub fn changed(own: &Settings) -> Vec<(String, &'static str, Settings)> {
    let mut all = Vec::new();
    for (name, value) in own.iter() {
        let Some(reason) = reason(name) else { continue };
        let others = values(name, value);
        assert!(!others.is_empty(), "no other value of `{name}`");
        for other in others {
            assert_ne!(other, value, "another value of `{name}`");
            let pairs = own.iter();
            let pairs = pairs.map(|(n, v)| (n, if n == name { other.as_str() } else { v }));
            all.push((name.to_string(), reason, Settings::from_pairs(pairs)));
        }
    }
    all
}

/// The reason that a difference in a setting is; `None` for what says which engine it is.
fn reason(name: &str) -> Option<&'static str> {
    match name {
        "engine" | "format" | "abi" | "epoch" | "compiler" | "sources" => None,
        "target" => Some("target"),
        "cpu" => Some("cpu"),
        "bounds" => Some("bounds"),
        _ => Some("setting"),
    }
}

fn values(name: &str, value: &str) -> Vec<String> {
    let other = |pair: [&str; 2]| {
        assert!(pair.contains(&value), "`{name}` is {value}");
        pair.into_iter().filter(|word| *word != value).map(str::to_string).collect()
    };
    match name {
        "target" => {
            let (arch, own) = value.split_once('-').expect("a processor and a system");
            let all = ["linux", "macos", "windows"].into_iter().filter(|os| *os != own);
            all.map(|os| format!("{arch}-{os}")).collect()
        }
        "cpu" => {
            let arch = if value.starts_with("aarch64") { Arch::Aarch64 } else { Arch::X86_64 };
            let named = CpuLevel::named(arch).iter().copied();
            // Each extension alone, as processors have them that nobody has named a level after.
            let bits = (0..u64::BITS).map(|bit| CpuFeatures::from_bits(1 << bit));
            let alone = bits.filter(|bit| bit.names().next().is_some());
            let natives = alone.map(|features| CpuLevel::Native(arch, features));
            named.chain(natives).map(|level| level.to_string()).filter(|cpu| cpu != value).collect()
        }
        "features" => {
            let own: Vec<_> = value.split('+').map(Features::from_name).collect();
            let own = own.into_iter().flatten().fold(Features::NONE, Features::union);
            let flip = |name: &str| {
                let proposal = Features::from_name(name).expect("its own name");
                own.with(proposal, !own.contains(proposal)).to_string()
            };
            Features::SUPPORTED.names().map(flip).collect()
        }
        "bounds" => other(["guard", "explicit"]),
        "opt-level" => other(["speed", "none"]),
        "relaxed-simd" => other(["deterministic", "fast"]),
        "nan-canonicalization" | "fuel" | "epoch-interruption" => other(["on", "off"]),
        _ => panic!("which values does the setting `{name}` have?"),
    }
}
