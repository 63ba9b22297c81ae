//! What is in an artifact, told without loading or running any of it.

use crate::abi::target::CpuFeatures;
use crate::artifact::header::{Header, HeaderError, Section, file_len};
use crate::artifact::read::{Directory, View};
use crate::artifact::records::Le32;
use crate::error::Result;
use crate::fingerprint::parse;
use crate::runtime::module::Module;
use crate::runtime::types::{ExternType, FuncType, GlobalType, MemoryType, TableType, TagType};
use crate::settings::Settings;
use crate::wasm::types::ExternKind;
use std::sync::Arc;

/// What [`inspect`] found in an artifact.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// The settings that it was compiled with, names and values: its fingerprint.
    pub settings: Vec<(String, String)>,
    /// SHA-256 of the module's bytes.
    pub module: [u8; 32],
    /// What its code needs of a processor.
    pub cpu_features: CpuFeatures,
    /// Bytes of the artifact.
    pub len: u64,
    /// Its sections that are not empty: name, offset, bytes.
    pub sections: Vec<(&'static str, u64, u64)>,
    /// Functions of the module, imported ones included.
    pub functions: u32,
    /// What it imports: module, name, type.
    pub imports: Vec<(String, String, String)>,
    /// What it exports: name, type.
    pub exports: Vec<(String, String)>,
    /// Index of the start function.
    pub start: Option<u32>,
}

/// Reads what an artifact says of itself. `bytes` start with it; what an entry of a cache has
/// behind it is passed over.
///
/// Safe for any bytes: each table is checked where it is read, and no code runs.
///
/// ```
/// # #[cfg(all(feature = "compile", feature = "wat"))] {
/// let engine = precompile::Engine::default();
/// let artifact = engine.precompile_module(br#"(module (func (export "run")))"#)?;
/// assert_eq!(precompile::inspect(&artifact)?.exports[0].0, "run");
/// # }
/// # Ok::<(), precompile::Error>(())
/// ```
///
/// # Errors
/// If it is no artifact, one of another format, or damaged.
pub fn inspect(bytes: &[u8]) -> Result<Inspection> {
    let len = file_len(bytes).ok_or(HeaderError::NotAnArtifact)?;
    let artifact = usize::try_from(len).ok().and_then(|len| bytes.get(..len));
    let artifact = artifact.ok_or(HeaderError::Corrupt("it is shorter than its header says"))?;
    let (header, fingerprint) = Header::read(artifact)?;
    let directory = Directory::new(header);
    let view = View::new(artifact, &directory);
    let sections = Section::ALL.iter().filter_map(|section| {
        let range = directory.range(*section);
        (!range.is_empty()).then(|| (section.name(), range.start as u64, range.len() as u64))
    });
    let imports = (0..view.import_count()).map(|i| {
        let (module, name, kind, index) = view.import(i)?;
        Ok((module.to_string(), name.to_string(), type_of(&view, kind, index)?))
    });
    let exports = (0..view.export_count()).map(|i| {
        let (name, kind, index) = view.export(i)?;
        Ok((name.to_string(), type_of(&view, kind, index)?))
    });
    Ok(Inspection {
        settings: parse(fingerprint).into_iter().map(|(n, v)| (n.into(), v.into())).collect(),
        module: header.module,
        cpu_features: CpuFeatures::from_bits(header.cpu_features.get()),
        len,
        sections: sections.collect(),
        functions: view.all::<Le32>(Section::FuncSigs).len() as u32,
        imports: imports.collect::<Result<_>>()?,
        exports: exports.collect::<Result<_>>()?,
        start: header.start(),
    })
}

impl Module {
    /// The settings that its code was made with: of several entries that the engine could use, whose
    /// this is. [`Settings::get`]`("cpu")` is the level of processors.
    ///
    /// ```
    /// # #[cfg(feature = "compile")] {
    /// use precompile::{Engine, Module};
    /// let engine = Engine::default();
    /// let module = Module::new(&engine, b"\0asm\x01\0\0\0")?;
    /// assert_eq!(module.settings(), engine.settings());
    /// # }
    /// # Ok::<(), precompile::Error>(())
    /// ```
    pub fn settings(&self) -> Settings {
        // It was read when the module was loaded, and does not change after that.
        let fingerprint = Header::read(self.mapping().bytes()).map(|(_, fingerprint)| fingerprint);
        Settings::from_description(fingerprint.unwrap_or_default())
    }
}

fn type_of(view: &View<'_>, kind: ExternKind, index: u32) -> Result<String> {
    let ty = match kind {
        ExternKind::Func => {
            ExternType::Func(FuncType(Arc::new(view.signature(view.func_sig(index)?)?)))
        }
        ExternKind::Table => ExternType::Table(TableType(view.table(index)?.0)),
        ExternKind::Memory => ExternType::Memory(MemoryType(view.memory(index)?.0)),
        ExternKind::Global => ExternType::Global(GlobalType(view.global(index)?.0)),
        ExternKind::Tag => {
            let ty = view.signature(view.tag(index)?)?;
            ExternType::Tag(TagType::new(FuncType(Arc::new(ty))))
        }
    };
    Ok(ty.to_string())
}

#[cfg(all(test, feature = "compile"))]
mod tests {
    use super::*;

    #[test]
    fn damage_is_an_error_at_worst() {
        let text = r#"(module
            (import "a" "f" (func (param i32 f64) (result externref)))
            (import "a" "t" (table 1 2 funcref)) (import "a" "g" (global (mut i64)))
            (memory (export "memory") 1) (data (i32.const 8) "data")
            (func (export "run") (result i32) (i32.const 1)))"#;
        let module = wat::parse_str(text).unwrap();
        let artifact = crate::Engine::default().precompile_module(&module).unwrap();
        let found = inspect(&artifact).unwrap();
        assert_eq!((found.functions, found.imports.len(), found.exports.len()), (2, 3, 2));
        assert_eq!(found.imports[2].2, "mutable global of i64");
        assert_eq!(inspect(&[&artifact[..], b"a trailer"].concat()).unwrap().len, found.len);
        for at in 0..artifact.len() {
            // Whatever it says then, it says so without a panic.
            for bits in [0x01, 0x80, 0xff] {
                let mut damaged = artifact.clone();
                damaged[at] ^= bits;
                _ = inspect(&damaged);
            }
            assert!(inspect(&artifact[..at]).is_err());
        }
    }
}
