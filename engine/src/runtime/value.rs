//! Values as embedders see them.

use super::exception::ExnRef;
use super::externref::ExternRef;
use super::func::Func;
use super::roots::Rooted;
use super::store::StoreOpaque;
use super::vm::instance::FuncRef;
use super::vm::vmctx::ValRaw;
use crate::error::{Error, ErrorKind, Result};
use crate::wasm::types::{HeapType, ValType};

/// A 128-bit vector.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct V128(u128);

impl V128 {
    /// As an integer: lane 0 in the lowest bits.
    pub fn as_u128(self) -> u128 {
        self.0
    }
}

impl From<u128> for V128 {
    fn from(bits: u128) -> V128 {
        V128(bits)
    }
}

impl From<V128> for u128 {
    fn from(v: V128) -> u128 {
        v.0
    }
}

impl std::fmt::Debug for V128 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "V128({:#034x})", self.0)
    }
}

/// A value of WebAssembly. Floats are their bits, so that NaNs keep theirs.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Val {
    /// A 32-bit integer.
    I32(i32),
    /// A 64-bit integer.
    I64(i64),
    /// The bits of a 32-bit float.
    F32(u32),
    /// The bits of a 64-bit float.
    F64(u64),
    /// A 128-bit vector.
    V128(V128),
    /// A function, or null.
    FuncRef(Option<Func>),
    /// A value of the host, or null.
    ExternRef(Option<Rooted<ExternRef>>),
    /// An exception, or null.
    ExnRef(Option<Rooted<ExnRef>>),
}

macro_rules! unwrap {
    ($($(#[$doc:meta])* $get:ident $unwrap:ident $variant:ident $ty:ty, $bind:ident => $expr:expr;)*) => {
        impl Val {
            $(
                $(#[$doc])*
                pub fn $get(&self) -> Option<$ty> {
                    if let Val::$variant($bind) = *self { Some($expr) } else { None }
                }

                $(#[$doc])*
                ///
                /// # Panics
                /// If it is of another type.
                #[track_caller]
                pub fn $unwrap(&self) -> $ty {
                    self.$get().unwrap_or_else(|| panic!("not of this type: {self:?}"))
                }
            )*
        }
    };
}

unwrap! {
    /// The `i32`, if it is one.
    i32 unwrap_i32 I32 i32, x => x;
    /// The `i64`, if it is one.
    i64 unwrap_i64 I64 i64, x => x;
    /// The `f32`, if it is one.
    f32 unwrap_f32 F32 f32, x => f32::from_bits(x);
    /// The `f64`, if it is one.
    f64 unwrap_f64 F64 f64, x => f64::from_bits(x);
    /// The `v128`, if it is one.
    v128 unwrap_v128 V128 V128, x => x;
    /// The function reference, if it is one.
    func_ref unwrap_func_ref FuncRef Option<Func>, x => x;
    /// The external reference, if it is one.
    extern_ref unwrap_extern_ref ExternRef Option<Rooted<ExternRef>>, x => x;
    /// The exception reference, if it is one.
    exn_ref unwrap_exn_ref ExnRef Option<Rooted<ExnRef>>, x => x;
}

impl Val {
    /// The null reference of `heap`.
    pub fn null_ref(heap: HeapType) -> Val {
        match heap {
            HeapType::Func | HeapType::ConcreteFunc(_) => Val::FuncRef(None),
            HeapType::Extern => Val::ExternRef(None),
            HeapType::Exn | HeapType::NoExn => Val::ExnRef(None),
        }
    }

    /// Zero, or null.
    pub fn default_for_ty(ty: ValType) -> Val {
        match ty {
            ValType::I32 => Val::I32(0),
            ValType::I64 => Val::I64(0),
            ValType::F32 => Val::F32(0),
            ValType::F64 => Val::F64(0),
            ValType::V128 => Val::V128(V128(0)),
            ValType::Ref(r) => Val::null_ref(r.heap_type()),
        }
    }

    /// Its type: the widest one for references.
    pub fn ty(&self) -> ValType {
        match self {
            Val::I32(_) => ValType::I32,
            Val::I64(_) => ValType::I64,
            Val::F32(_) => ValType::F32,
            Val::F64(_) => ValType::F64,
            Val::V128(_) => ValType::V128,
            Val::FuncRef(_) => ValType::FUNCREF,
            Val::ExternRef(_) => ValType::EXTERNREF,
            Val::ExnRef(_) => ValType::EXNREF,
        }
    }

    fn is_null(&self) -> bool {
        matches!(self, Val::FuncRef(None) | Val::ExternRef(None) | Val::ExnRef(None))
    }

    /// Whether it may stand where a `ty` is wanted, but for the type of a function.
    fn matches(&self, ty: ValType) -> bool {
        match (self.ty(), ty) {
            (ValType::Ref(own), ValType::Ref(want)) => {
                own.heap_type().top() == want.heap_type().top()
                    && (want.is_nullable() || !self.is_null())
                    && (want.heap_type() != HeapType::NoExn || self.is_null())
            }
            (own, want) => own == want,
        }
    }

    /// As code takes it.
    ///
    /// # Errors
    /// If it is not of type `ty` or of another store.
    pub(crate) fn to_raw(self, ty: ValType, store: &mut StoreOpaque) -> Result<ValRaw> {
        if !self.matches(ty) {
            let message = format!("expected a value of type {ty}, found {}", self.ty());
            return Err(Error::with_kind(ErrorKind::Host, message));
        }
        Ok(match self {
            Val::I32(x) => ValRaw::from_i32(x),
            Val::I64(x) => ValRaw::from_i64(x),
            Val::F32(x) => ValRaw::from_u32(x),
            Val::F64(x) => ValRaw::from_u64(x),
            Val::V128(x) => ValRaw::from_u128(x.0),
            Val::FuncRef(func) => {
                let func = func.map(|f| store.func_into_wasm(f)).transpose()?;
                if let (Some(func), ValType::Ref(want)) = (func, ty)
                    && let HeapType::ConcreteFunc(want) = want.heap_type()
                    && want.0 != func.type_id()
                {
                    let message = format!("expected a value of type {ty}, found another function");
                    return Err(Error::with_kind(ErrorKind::Host, message));
                }
                ValRaw::from_u64(FuncRef::to_raw(func))
            }
            Val::ExternRef(x) => ValRaw::from_u32(x.map_or(Ok(0), |x| x.to_raw(store))?),
            Val::ExnRef(x) => ValRaw::from_u32(x.map_or(Ok(0), |x| x.to_raw(store))?),
        })
    }

    /// From what code of `store` made.
    pub(crate) fn from_raw(raw: ValRaw, ty: ValType, store: &mut StoreOpaque) -> Val {
        match ty {
            ValType::I32 => Val::I32(raw.as_i32()),
            ValType::I64 => Val::I64(raw.as_i64()),
            ValType::F32 => Val::F32(raw.as_u32()),
            ValType::F64 => Val::F64(raw.as_u64()),
            ValType::V128 => Val::V128(V128(raw.as_u128())),
            ValType::Ref(r) => match r.heap_type() {
                HeapType::Func | HeapType::ConcreteFunc(_) => {
                    Val::FuncRef(FuncRef::from_raw(raw.as_u64()).map(|f| store.func(f)))
                }
                HeapType::Extern => Val::ExternRef(Rooted::from_raw(raw.as_u32(), store)),
                HeapType::Exn | HeapType::NoExn => {
                    Val::ExnRef(Rooted::from_raw(raw.as_u32(), store))
                }
            },
        }
    }
}

macro_rules! from {
    ($($ty:ty, $x:ident => $val:expr;)*) => {
        $(impl From<$ty> for Val {
            fn from($x: $ty) -> Val {
                $val
            }
        })*
    };
}

from! {
    i32, x => Val::I32(x);
    i64, x => Val::I64(x);
    f32, x => Val::F32(x.to_bits());
    f64, x => Val::F64(x.to_bits());
    V128, x => Val::V128(x);
    Func, x => Val::FuncRef(Some(x));
    Option<Func>, x => Val::FuncRef(x);
    Rooted<ExternRef>, x => Val::ExternRef(Some(x));
    Option<Rooted<ExternRef>>, x => Val::ExternRef(x);
    Rooted<ExnRef>, x => Val::ExnRef(Some(x));
    Option<Rooted<ExnRef>>, x => Val::ExnRef(x);
}

/// What may be in a table: a reference.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Ref {
    /// A function, or null.
    Func(Option<Func>),
    /// A value of the host, or null.
    Extern(Option<Rooted<ExternRef>>),
    /// An exception, or null.
    Exn(Option<Rooted<ExnRef>>),
}

impl Ref {
    /// The null reference of `heap`.
    pub fn null(heap: HeapType) -> Ref {
        match heap {
            HeapType::Func | HeapType::ConcreteFunc(_) => Ref::Func(None),
            HeapType::Extern => Ref::Extern(None),
            HeapType::Exn | HeapType::NoExn => Ref::Exn(None),
        }
    }

    /// The function, if it is one and not null.
    pub fn as_func(&self) -> Option<Func> {
        if let Ref::Func(func) = self { *func } else { None }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        Val::from(*self).is_null()
    }

    pub(crate) fn from_val(val: Val) -> Option<Ref> {
        match val {
            Val::FuncRef(x) => Some(Ref::Func(x)),
            Val::ExternRef(x) => Some(Ref::Extern(x)),
            Val::ExnRef(x) => Some(Ref::Exn(x)),
            _ => None,
        }
    }
}

impl From<Ref> for Val {
    fn from(r: Ref) -> Val {
        match r {
            Ref::Func(x) => Val::FuncRef(x),
            Ref::Extern(x) => Val::ExternRef(x),
            Ref::Exn(x) => Val::ExnRef(x),
        }
    }
}

impl From<Func> for Ref {
    fn from(func: Func) -> Ref {
        Ref::Func(Some(func))
    }
}
