//! Tables.

use super::limits::{Growing, Growth};
use super::store::{AsContext, AsContextMut, StoreOpaque, Stored};
use super::types::TableType;
use super::value::{Ref, Val};
use super::vm::instance::{Definition, FuncRef, OwnCell};
use super::vm::table::Elements;
use super::vm::vmctx::ValRaw;
use crate::abi::memory_plan::{MAX_TABLE, MAX_TABLES};
use crate::abi::vmctx::TABLE_INIT_BIT;
use crate::artifact::NONE;
use crate::error::{Error, ErrorKind, Result};
use crate::wasm::types::{TableDecl, ValType};
use crate::{RefType, Trap};

/// A table of a store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Table(pub(crate) Stored);

pub(crate) struct TableData {
    pub(crate) decl: TableDecl,
    elements: Elements,
    /// The instance whose module has an image for this table, and the table's index there: what
    /// elements that are still 0 hold.
    image: Option<(usize, u32)>,
    _own: Option<OwnCell>,
}

/// Bytes of an element.
fn element_size(element: RefType) -> usize {
    if element.heap_type().is_func() { 8 } else { 4 }
}

impl TableData {
    /// A table whose definition is in an instance's vmctx; all elements 0.
    pub(crate) fn in_instance(
        decl: TableDecl,
        definition: Definition,
        image: Option<(usize, u32)>,
    ) -> Result<Self> {
        let elements = elements(&decl, definition)?;
        Ok(TableData { decl, elements, image, _own: None })
    }

    pub(crate) fn definition(&self) -> Definition {
        self.elements.definition()
    }

    pub(crate) fn len(&self) -> u64 {
        self.elements.len()
    }

    /// All elements that are handles into the store's heap, or null.
    pub(crate) fn handles(&self) -> impl Iterator<Item = u32> {
        let len = if self.decl.element.heap_type().in_heap() { self.len() } else { 0 };
        (0..len).map(|index| self.elements.get(index) as u32)
    }

    fn is_func(&self) -> bool {
        self.decl.element.heap_type().is_func()
    }

    /// The raw element for a reference as wasm has it.
    fn encode(&self, value: u64) -> u64 {
        if self.is_func() { value | TABLE_INIT_BIT } else { value }
    }
}

/// The elements that a table starts with, all 0.
fn elements(decl: &TableDecl, definition: Definition) -> Result<Elements> {
    let min = decl.min;
    if min > MAX_TABLE {
        let message = format!("a table of {min} elements: the most is {MAX_TABLE}");
        return Err(Error::with_kind(ErrorKind::Limit, message));
    }
    Elements::new(min, element_size(decl.element), definition).ok_or_else(|| {
        Error::with_kind(ErrorKind::Limit, format!("no memory for a table of {min} elements"))
    })
}

/// Bulk operations, by the table's index in the store. References are as wasm has them: pointers
/// or handles. Ranges are checked before anything is written.
impl StoreOpaque {
    /// Adds a table; its index.
    ///
    /// # Errors
    /// If the store's tables have too many elements together.
    pub(crate) fn add_table(&mut self, table: TableData) -> Result<usize> {
        let all = self.table_elements + table.len();
        if all > MAX_TABLES {
            let message = format!("the tables of a store have at most {MAX_TABLES} elements");
            return Err(Error::with_kind(ErrorKind::Limit, message));
        }
        self.table_elements = all;
        self.tables.push(table);
        Ok(self.tables.len() - 1)
    }

    /// Takes back the tables from that index on, to which nobody has a handle.
    pub(crate) fn forget_tables_from(&mut self, first: usize) {
        for table in self.tables.split_off(first) {
            self.table_elements -= table.len();
        }
    }

    /// The element, initialised now if it was not.
    pub(crate) fn table_get(&mut self, table: usize, index: u64) -> Result<u64> {
        let data = &self.tables[table];
        if index >= data.len() {
            return Err(Trap::TableOutOfBounds.into());
        }
        let raw = data.elements.get(index);
        if !data.is_func() {
            return Ok(raw);
        }
        if raw != 0 {
            return Ok(raw & !TABLE_INIT_BIT);
        }
        let mut func = None;
        if let Some((instance, own_index)) = data.image {
            let module = self.instances[instance].module.clone();
            let view = module.view();
            let image = view.table_image(view.table(own_index)?.1)?;
            let word = usize::try_from(index).ok().and_then(|i| image.get(i));
            if let Some(word) = word.filter(|w| w.get() != NONE) {
                func = Some(self.func_ref(instance, word.get())?);
            }
        }
        let value = FuncRef::to_raw(func);
        self.tables[table].elements.set(index, value | TABLE_INIT_BIT);
        Ok(value)
    }

    /// Sets the element.
    pub(crate) fn table_set(&mut self, table: usize, index: u64, value: u64) -> Result<()> {
        self.table_fill(table, index, value, 1)
    }

    /// Grows by `delta` elements of `value`; the old length, or `None` where that can't be.
    ///
    /// # Errors
    /// The limiter's.
    pub(crate) fn table_grow(
        &mut self,
        table: usize,
        delta: u64,
        value: u64,
    ) -> Result<Option<u64>> {
        let data = &self.tables[table];
        let (old, maximum) = (data.len(), data.decl.max);
        let len = old.saturating_add(delta);
        let growth = Growth { current: old, desired: len, maximum };
        if delta > 0 && !self.may_grow(Growing::Table, growth)? {
            return Ok(None);
        }
        let all = self.table_elements.saturating_add(delta);
        let fits = len <= maximum.unwrap_or(u64::MAX).min(MAX_TABLE) && all <= MAX_TABLES;
        if !fits || self.tables[table].elements.grow(len).is_none() {
            self.grow_failed(Growing::Table, growth)?;
            return Ok(None);
        }
        self.table_elements = all;
        let data = &mut self.tables[table];
        let raw = data.encode(value);
        for index in old..len {
            data.elements.set(index, raw);
        }
        Ok(Some(old))
    }

    /// `table.fill`.
    pub(crate) fn table_fill(
        &mut self,
        table: usize,
        start: u64,
        value: u64,
        len: u64,
    ) -> Result<()> {
        let data = &mut self.tables[table];
        let end = range_end(start, len, data.len())?;
        let raw = data.encode(value);
        for index in start..end {
            data.elements.set(index, raw);
        }
        Ok(())
    }

    /// `table.copy`.
    pub(crate) fn table_copy(
        &mut self,
        (to, to_start): (usize, u64),
        (from, from_start): (usize, u64),
        len: u64,
    ) -> Result<()> {
        range_end(to_start, len, self.tables[to].len())?;
        range_end(from_start, len, self.tables[from].len())?;
        let mut copy = |i: u64| {
            let value = self.table_get(from, from_start + i)?;
            let data = &mut self.tables[to];
            let raw = data.encode(value);
            data.elements.set(to_start + i, raw);
            Ok(())
        };
        if to_start <= from_start {
            (0..len).try_for_each(&mut copy)
        } else {
            (0..len).rev().try_for_each(&mut copy)
        }
    }
}

/// `start + len`, if that is at most `size`.
pub(crate) fn range_end(start: u64, len: u64, size: u64) -> Result<u64> {
    let end = start.checked_add(len).filter(|end| *end <= size);
    end.ok_or_else(|| Trap::TableOutOfBounds.into())
}

impl Table {
    /// A table made by the host, all of whose elements are `init`.
    ///
    /// # Errors
    /// If `init` is not of the element type or belongs to another store, or the table is too
    /// large or not allowed by the store's limits.
    pub fn new(mut store: impl AsContextMut, ty: TableType, init: Ref) -> Result<Table> {
        let mut store = store.as_context_mut();
        let store = store.opaque_mut();
        if ty.maximum().is_some_and(|max| max < ty.minimum()) {
            let message = "the table's minimum is above its maximum";
            return Err(Error::with_kind(ErrorKind::Host, message));
        }
        store.may_have(0, 0, 1)?;
        store.may_make(Growing::Table, ty.0.min, ty.0.max)?;
        let value = reference(init, ty.element(), store)?;
        let mut own = OwnCell::new();
        let elements = elements(&ty.0, own.definition())?;
        let data = TableData { decl: ty.0, elements, image: None, _own: Some(own) };
        let index = store.add_table(data)?;
        store.table_fill(index, 0, value, ty.0.min)?;
        Ok(Table(store.stored(index)))
    }

    /// Its type.
    ///
    /// # Panics
    /// If it belongs to another store. So do all methods here.
    pub fn ty(&self, store: impl AsContext) -> TableType {
        let store = store.as_context();
        TableType(store.opaque().tables[self.0.index(store.opaque())].decl)
    }

    /// How many elements it has.
    pub fn size(&self, store: impl AsContext) -> u64 {
        let store = store.as_context();
        store.opaque().tables[self.0.index(store.opaque())].len()
    }

    /// Element `index`, or `None` outside of the table.
    pub fn get(&self, mut store: impl AsContextMut, index: u64) -> Option<Ref> {
        let mut store = store.as_context_mut();
        let store = store.opaque_mut();
        let table = self.0.index(store);
        let raw = ValRaw::from_u64(store.table_get(table, index).ok()?);
        let ty = ValType::Ref(store.tables[table].decl.element);
        Ref::from_val(Val::from_raw(raw, ty, store))
    }

    /// Sets element `index`.
    ///
    /// # Errors
    /// Outside of the table, or if `value` is not of the element type or of another store.
    pub fn set(&self, mut store: impl AsContextMut, index: u64, value: Ref) -> Result<()> {
        self.fill(store.as_context_mut(), index, value, 1)
    }

    /// Grows by `delta` elements `init`; the old size.
    ///
    /// # Errors
    /// If the maximum or the store's limits do not allow it, or `init` is not of the element type or of another
    /// store.
    pub fn grow(&self, mut store: impl AsContextMut, delta: u64, init: Ref) -> Result<u64> {
        let mut store = store.as_context_mut();
        let store = store.opaque_mut();
        let table = self.0.index(store);
        let value = reference(init, store.tables[table].decl.element, store)?;
        store.table_grow(table, delta, value)?.ok_or_else(|| {
            Error::with_kind(ErrorKind::Limit, format!("the table cannot grow by {delta} elements"))
        })
    }

    /// Sets `len` elements from `start` on.
    ///
    /// # Errors
    /// As [`set`](Table::set).
    pub fn fill(
        &self,
        mut store: impl AsContextMut,
        start: u64,
        value: Ref,
        len: u64,
    ) -> Result<()> {
        let mut store = store.as_context_mut();
        let store = store.opaque_mut();
        let table = self.0.index(store);
        let value = reference(value, store.tables[table].decl.element, store)?;
        store.table_fill(table, start, value, len)
    }
}

/// `value` as wasm has it.
fn reference(value: Ref, element: RefType, store: &mut StoreOpaque) -> Result<u64> {
    let raw = Val::from(value).to_raw(ValType::Ref(element), store)?;
    Ok(if element.heap_type().is_func() { raw.as_u64() } else { raw.as_u32().into() })
}
