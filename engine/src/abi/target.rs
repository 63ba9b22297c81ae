//! Processors and platforms that code is made for.
//!
//! CPU levels are our own tables. Cranelift's presets of the same names are not used: its
//! `x86-64-v3` leaves out AVX itself, so that none of its AVX rules apply.

use std::fmt;
use std::str::FromStr;
use target_lexicon::{Architecture, OperatingSystem, Triple};

/// Instruction set.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Arch {
    /// x86-64.
    X86_64,
    /// 64-bit Arm.
    Aarch64,
}

impl Arch {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
        }
    }

    /// Alignment of code in an artifact and so the largest page that it can be mapped with.
    pub(crate) const fn text_align(self) -> u64 {
        match self {
            Arch::X86_64 => 4 << 10,
            // Arm kernels may be built for pages of 64 KiB.
            Arch::Aarch64 => 64 << 10,
        }
    }
}

/// Operating system, as far as code depends on it: by its C calling convention and its signals.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Os {
    /// Linux.
    Linux,
    /// macOS.
    MacOs,
    /// Windows.
    Windows,
}

impl Os {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Os::Linux => "linux",
            Os::MacOs => "macos",
            Os::Windows => "windows",
        }
    }
}

/// What code is made for: an instruction set and an operating system.
///
/// A target triple's vendor and C library change no code, so they are dropped, and a `-musl`
/// program finds what a `-gnu` one has compiled.
///
/// ```
/// # use precompile::Target;
/// let gnu: Target = "x86_64-unknown-linux-gnu".parse()?;
/// let musl: Target = "x86_64-alpine-linux-musl".parse()?;
/// assert_eq!(gnu, musl);
/// assert_eq!(gnu.to_string(), "x86_64-linux");
/// # Ok::<(), precompile::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Target {
    arch: Arch,
    os: Os,
}

impl Target {
    /// The target of those parts.
    pub const fn new(arch: Arch, os: Os) -> Self {
        Target { arch, os }
    }

    /// What this very program was built for; `None` where the engine makes no code for it.
    pub const fn host() -> Option<Self> {
        let arch = if cfg!(target_arch = "x86_64") {
            Arch::X86_64
        } else if cfg!(target_arch = "aarch64") {
            Arch::Aarch64
        } else {
            return None;
        };
        let os = if cfg!(any(target_os = "linux", target_os = "android")) {
            Os::Linux
        } else if cfg!(target_os = "macos") {
            Os::MacOs
        } else if cfg!(windows) {
            Os::Windows
        } else {
            return None;
        };
        Some(Target { arch, os })
    }

    /// Instruction set.
    pub const fn arch(self) -> Arch {
        self.arch
    }

    /// Operating system.
    pub const fn os(self) -> Os {
        self.os
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.arch.as_str(), self.os.as_str())
    }
}

/// A target, CPU level or word of a setting that is not known, with what would be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownName {
    what: &'static str,
    name: String,
    known: &'static str,
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown {} `{}`: use {}", self.what, self.name, self.known)
    }
}

impl std::error::Error for UnknownName {}

impl FromStr for Target {
    type Err = UnknownName;

    /// Takes a target triple, or the short form that `Display` writes.
    fn from_str(triple: &str) -> Result<Self, UnknownName> {
        let unknown = || UnknownName {
            what: "target",
            name: triple.chars().take(100).collect(),
            known: "a triple of x86_64 or aarch64 with linux, macos or windows, \
                    such as x86_64-unknown-linux-gnu",
        };
        // What `Display` writes is no triple for every system.
        let all = [Arch::X86_64, Arch::Aarch64]
            .into_iter()
            .flat_map(|arch| [Os::Linux, Os::MacOs, Os::Windows].map(|os| Target { arch, os }));
        if let Some(target) = all.into_iter().find(|target| target.to_string() == triple) {
            return Ok(target);
        }
        let parsed = Triple::from_str(triple).map_err(|_| unknown())?;
        let arch = match parsed.architecture {
            Architecture::X86_64 | Architecture::X86_64h => Arch::X86_64,
            Architecture::Aarch64(target_lexicon::Aarch64Architecture::Aarch64) => Arch::Aarch64,
            _ => return Err(unknown()),
        };
        let os = match parsed.operating_system {
            OperatingSystem::Linux => Os::Linux,
            OperatingSystem::Darwin(_) | OperatingSystem::MacOSX(_) => Os::MacOs,
            OperatingSystem::Windows => Os::Windows,
            _ => return Err(unknown()),
        };
        Ok(Target { arch, os })
    }
}

macro_rules! cpu_features {
    ($($(#[$doc:meta])* $constant:ident = $bit:literal, $arch:ident, $name:literal;)*) => {
        impl CpuFeatures {
            $($(#[$doc])* pub const $constant: CpuFeatures = CpuFeatures(1 << $bit);)*

            const TABLE: &[(CpuFeatures, Arch, &'static str)] =
                &[$((CpuFeatures::$constant, Arch::$arch, $name),)*];
        }
    };
}

/// A set of instruction set extensions. The bits are part of the artifact format: they never
/// change.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CpuFeatures(u64);

cpu_features! {
    /// SSE3.
    SSE3 = 0, X86_64, "sse3";
    /// SSSE3.
    SSSE3 = 1, X86_64, "ssse3";
    /// SSE4.1.
    SSE41 = 2, X86_64, "sse4.1";
    /// SSE4.2.
    SSE42 = 3, X86_64, "sse4.2";
    /// POPCNT.
    POPCNT = 4, X86_64, "popcnt";
    /// CMPXCHG16B.
    CMPXCHG16B = 5, X86_64, "cmpxchg16b";
    /// AVX.
    AVX = 6, X86_64, "avx";
    /// AVX2.
    AVX2 = 7, X86_64, "avx2";
    /// FMA3.
    FMA = 8, X86_64, "fma";
    /// BMI1.
    BMI1 = 9, X86_64, "bmi1";
    /// BMI2.
    BMI2 = 10, X86_64, "bmi2";
    /// LZCNT.
    LZCNT = 11, X86_64, "lzcnt";
    /// AVX-512 foundation.
    AVX512F = 12, X86_64, "avx512f";
    /// AVX-512 doubleword and quadword.
    AVX512DQ = 13, X86_64, "avx512dq";
    /// AVX-512 vector length.
    AVX512VL = 14, X86_64, "avx512vl";
    /// AVX-512 vector byte manipulation.
    AVX512VBMI = 15, X86_64, "avx512vbmi";
    /// AVX-512 bit algorithms.
    AVX512BITALG = 16, X86_64, "avx512bitalg";
    /// Large system extensions: atomic instructions.
    LSE = 32, Aarch64, "lse";
    /// Half-precision arithmetic.
    FP16 = 33, Aarch64, "fp16";
}

impl CpuFeatures {
    /// No extension.
    pub const NONE: CpuFeatures = CpuFeatures(0);

    /// Both sets.
    pub const fn union(self, other: CpuFeatures) -> CpuFeatures {
        CpuFeatures(self.0 | other.0)
    }

    /// What of `self` is not in `other`.
    pub const fn difference(self, other: CpuFeatures) -> CpuFeatures {
        CpuFeatures(self.0 & !other.0)
    }

    /// Whether all of `other` is in here.
    pub const fn contains(self, other: CpuFeatures) -> bool {
        other.0 & !self.0 == 0
    }

    /// Whether there is none in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// As written in artifacts.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// From an artifact. Unknown bits stay: no host has them, so nothing that needs them runs.
    pub const fn from_bits(bits: u64) -> Self {
        CpuFeatures(bits)
    }

    /// The names, in the order of the bits.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::TABLE.iter().filter(move |row| self.contains(row.0)).map(|row| row.2)
    }

    /// What the processor of this host has (asked once by the standard library, which also makes
    /// sure that the operating system saves the registers concerned).
    pub fn detect() -> CpuFeatures {
        let mut found = CpuFeatures::NONE;
        #[cfg(target_arch = "x86_64")]
        {
            macro_rules! ask {
                ($($feature:tt => $constant:ident,)*) => {
                    $(if std::arch::is_x86_feature_detected!($feature) {
                        found = found.union(CpuFeatures::$constant);
                    })*
                };
            }
            ask! {
                "sse3" => SSE3, "ssse3" => SSSE3, "sse4.1" => SSE41, "sse4.2" => SSE42,
                "popcnt" => POPCNT, "cmpxchg16b" => CMPXCHG16B, "avx" => AVX, "avx2" => AVX2,
                "fma" => FMA, "bmi1" => BMI1, "bmi2" => BMI2, "lzcnt" => LZCNT,
                "avx512f" => AVX512F, "avx512dq" => AVX512DQ, "avx512vl" => AVX512VL,
                "avx512vbmi" => AVX512VBMI, "avx512bitalg" => AVX512BITALG,
            }
        }
        #[cfg(target_arch = "aarch64")]
        {
            if std::arch::is_aarch64_feature_detected!("lse") {
                found = found.union(CpuFeatures::LSE);
            }
            if std::arch::is_aarch64_feature_detected!("fp16") {
                found = found.union(CpuFeatures::FP16);
            }
        }
        found
    }
}

impl fmt::Display for CpuFeatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for name in self.names() {
            if !first {
                f.write_str("+")?;
            }
            first = false;
            f.write_str(name)?;
        }
        if first { f.write_str("none") } else { Ok(()) }
    }
}

impl fmt::Debug for CpuFeatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuFeatures({self})")
    }
}

/// Which processors of an instruction set code is made for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CpuLevel {
    /// Every x86-64: SSE2.
    X86_64,
    /// x86-64-v2, processors from about 2009 on. The portable default.
    X86_64V2,
    /// x86-64-v3, from about 2015 on: AVX2, FMA, BMI.
    X86_64V3,
    /// x86-64-v4: AVX-512.
    X86_64V4,
    /// Every 64-bit Arm. The portable default.
    Aarch64,
    /// With the atomic instructions of Armv8.1.
    Aarch64Lse,
    /// Exactly these extensions: a host's own. Never chosen unless asked for.
    Native(Arch, CpuFeatures),
}

const V2: CpuFeatures = CpuFeatures::SSE3
    .union(CpuFeatures::SSSE3)
    .union(CpuFeatures::SSE41)
    .union(CpuFeatures::SSE42)
    .union(CpuFeatures::POPCNT)
    .union(CpuFeatures::CMPXCHG16B);
const V3: CpuFeatures = V2
    .union(CpuFeatures::AVX)
    .union(CpuFeatures::AVX2)
    .union(CpuFeatures::FMA)
    .union(CpuFeatures::BMI1)
    .union(CpuFeatures::BMI2)
    .union(CpuFeatures::LZCNT);
const V4: CpuFeatures =
    V3.union(CpuFeatures::AVX512F).union(CpuFeatures::AVX512DQ).union(CpuFeatures::AVX512VL);

impl CpuLevel {
    /// The named levels of an instruction set, best first.
    pub const fn named(arch: Arch) -> &'static [CpuLevel] {
        match arch {
            Arch::X86_64 => {
                &[CpuLevel::X86_64V4, CpuLevel::X86_64V3, CpuLevel::X86_64V2, CpuLevel::X86_64]
            }
            Arch::Aarch64 => &[CpuLevel::Aarch64Lse, CpuLevel::Aarch64],
        }
    }

    /// The level that is used when none is asked for: runs on about every processor in use.
    pub const fn portable(arch: Arch) -> CpuLevel {
        match arch {
            Arch::X86_64 => CpuLevel::X86_64V2,
            Arch::Aarch64 => CpuLevel::Aarch64,
        }
    }

    /// Its instruction set.
    pub const fn arch(self) -> Arch {
        match self {
            CpuLevel::X86_64 | CpuLevel::X86_64V2 | CpuLevel::X86_64V3 | CpuLevel::X86_64V4 => {
                Arch::X86_64
            }
            CpuLevel::Aarch64 | CpuLevel::Aarch64Lse => Arch::Aarch64,
            CpuLevel::Native(arch, _) => arch,
        }
    }

    /// The extensions that code of this level may use.
    pub const fn features(self) -> CpuFeatures {
        match self {
            CpuLevel::X86_64 | CpuLevel::Aarch64 => CpuFeatures::NONE,
            CpuLevel::X86_64V2 => V2,
            CpuLevel::X86_64V3 => V3,
            CpuLevel::X86_64V4 => V4,
            CpuLevel::Aarch64Lse => CpuFeatures::LSE,
            CpuLevel::Native(_, features) => features,
        }
    }

    /// The level of that name for `arch`; `native` is the processor of this host.
    ///
    /// # Errors
    /// If there is no such level, or it belongs to another instruction set.
    pub fn parse(name: &str, arch: Arch) -> Result<CpuLevel, UnknownName> {
        if name == "native" && Target::host().is_some_and(|host| host.arch == arch) {
            return Ok(CpuLevel::Native(arch, CpuFeatures::detect()));
        }
        let named = CpuLevel::named(arch).iter().find(|level| level.to_string() == name);
        named.copied().ok_or_else(|| UnknownName {
            what: "CPU level",
            name: name.chars().take(100).collect(),
            known: match arch {
                Arch::X86_64 => "x86-64, x86-64-v2, x86-64-v3, x86-64-v4, or native on such a host",
                Arch::Aarch64 => "aarch64, aarch64+lse, or native on such a host",
            },
        })
    }
}

impl fmt::Display for CpuLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CpuLevel::X86_64 => "x86-64",
            CpuLevel::X86_64V2 => "x86-64-v2",
            CpuLevel::X86_64V3 => "x86-64-v3",
            CpuLevel::X86_64V4 => "x86-64-v4",
            CpuLevel::Aarch64 => "aarch64",
            CpuLevel::Aarch64Lse => "aarch64+lse",
            CpuLevel::Native(arch, features) => {
                return write!(f, "native:{}:{features}", arch.as_str());
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_grow() {
        for arch in [Arch::X86_64, Arch::Aarch64] {
            for pair in CpuLevel::named(arch).windows(2) {
                assert!(pair[0].features().contains(pair[1].features()));
                assert_ne!(pair[0].features(), pair[1].features());
            }
            for level in CpuLevel::named(arch) {
                assert_eq!(CpuLevel::parse(&level.to_string(), arch), Ok(*level));
                assert_eq!(level.arch(), arch);
            }
        }
    }

    #[test]
    fn vendor_and_libc_are_dropped() {
        for (triple, short) in [
            ("x86_64-unknown-linux-gnu", "x86_64-linux"),
            ("x86_64-unknown-linux-musl", "x86_64-linux"),
            ("aarch64-unknown-linux-gnu", "aarch64-linux"),
            ("aarch64-apple-darwin", "aarch64-macos"),
            ("x86_64-pc-windows-msvc", "x86_64-windows"),
            ("x86_64-linux", "x86_64-linux"),
        ] {
            assert_eq!(triple.parse::<Target>().unwrap().to_string(), short);
            assert_eq!(short.parse::<Target>().unwrap().to_string(), short);
        }
        for bad in ["", "x86_64", "riscv64gc-unknown-linux-gnu", "wasm32-wasip1", "🦀"] {
            let message = bad.parse::<Target>().unwrap_err().to_string();
            assert!(message.starts_with("unknown target"), "{message}");
        }
    }

    #[test]
    fn levels_of_another_processor_are_refused() {
        assert!(CpuLevel::parse("x86-64-v3", Arch::Aarch64).is_err());
        assert!(CpuLevel::parse("aarch64", Arch::X86_64).is_err());
    }
}
