//! What instances export and imports take.

use super::func::Func;
use super::global::Global;
use super::memory::Memory;
use super::shared::SharedMemory;
use super::store::{AsContext, StoreOpaque};
use super::table::Table;
use super::tag::Tag;
use super::types::ExternType;

/// Something that an instance exports, or an import takes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Extern {
    /// A function.
    Func(Func),
    /// A global.
    Global(Global),
    /// A table.
    Table(Table),
    /// A memory.
    Memory(Memory),
    /// A tag.
    Tag(Tag),
    /// A memory that other threads use as well.
    SharedMemory(SharedMemory),
}

macro_rules! conversions {
    ($($variant:ident $into:ident;)*) => {
        impl Extern {
            $(
                #[doc = concat!("The ", stringify!($variant), ", if it is one.")]
                pub fn $into(self) -> Option<$variant> {
                    if let Extern::$variant(x) = self { Some(x) } else { None }
                }
            )*
        }

        $(impl From<$variant> for Extern {
            fn from(x: $variant) -> Extern {
                Extern::$variant(x)
            }
        })*
    };
}

conversions! {
    Func into_func;
    Global into_global;
    Table into_table;
    Memory into_memory;
    Tag into_tag;
    SharedMemory into_shared_memory;
}

impl Extern {
    /// Its type.
    ///
    /// # Panics
    /// If it belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> ExternType {
        let store = store.as_context();
        match self {
            Extern::Func(x) => ExternType::Func(x.ty(store)),
            Extern::Global(x) => ExternType::Global(x.ty(store)),
            Extern::Table(x) => ExternType::Table(x.ty(store)),
            Extern::Memory(x) => ExternType::Memory(x.ty(store)),
            Extern::Tag(x) => ExternType::Tag(x.ty(store)),
            Extern::SharedMemory(x) => ExternType::Memory(x.ty()),
        }
    }

    pub(crate) fn belongs_to(&self, store: &StoreOpaque) -> bool {
        match self {
            Extern::Func(x) => x.get(store).is_ok(),
            Extern::Global(x) => x.0.get(store).is_ok(),
            Extern::Table(x) => x.0.get(store).is_ok(),
            Extern::Memory(x) => x.0.get(store).is_ok(),
            Extern::Tag(x) => x.0.get(store).is_ok(),
            // To all stores of its engine.
            Extern::SharedMemory(x) => x.engine().same(store.engine()),
        }
    }
}

/// An export of an instance: a name, and what it names.
#[derive(Clone, Debug)]
pub struct Export<'i> {
    name: &'i str,
    value: Extern,
}

impl<'i> Export<'i> {
    pub(crate) fn new(name: &'i str, value: Extern) -> Self {
        Export { name, value }
    }

    /// Its name.
    pub fn name(&self) -> &'i str {
        self.name
    }

    /// What it names.
    pub fn into_extern(self) -> Extern {
        self.value
    }
}
