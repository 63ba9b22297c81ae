//! Types (core specification, section 2.3).

use std::fmt;

/// The type of a value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ValType {
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// 128-bit vector.
    V128,
    /// A reference.
    Ref(RefType),
}

impl ValType {
    /// `funcref`, which is `(ref null func)`.
    pub const FUNCREF: ValType = ValType::Ref(RefType::FUNCREF);
    /// `externref`, which is `(ref null extern)`.
    pub const EXTERNREF: ValType = ValType::Ref(RefType::EXTERNREF);
    /// `exnref`, which is `(ref null exn)`.
    pub const EXNREF: ValType = ValType::Ref(RefType::EXNREF);

    /// Whether this is one of the number types, `i32`, `i64`, `f32` and `f64`.
    pub const fn is_num(&self) -> bool {
        matches!(self, ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64)
    }

    /// Whether this is a reference type.
    pub const fn is_ref(&self) -> bool {
        matches!(self, ValType::Ref(_))
    }

    /// Whether every value of this type is one of `other` as well. Both are of one engine.
    pub fn matches(&self, other: &ValType) -> bool {
        match (self, other) {
            (ValType::Ref(own), ValType::Ref(other)) => own.matches(other),
            (own, other) => own == other,
        }
    }

    #[allow(dead_code, reason = "not in every feature set")]
    pub(crate) fn renumbered<E>(
        self,
        number: impl FnOnce(FuncTypeId) -> Result<FuncTypeId, E>,
    ) -> Result<ValType, E> {
        Ok(match self {
            ValType::Ref(r) => ValType::Ref(r.renumbered(number)?),
            other => other,
        })
    }
}

impl ValType {
    /// Whether its values are handles into the store's heap: see [`HeapType::in_heap`].
    #[allow(dead_code, reason = "not in every feature set")]
    pub(crate) const fn in_heap(self) -> bool {
        matches!(self, ValType::Ref(ty) if ty.heap_type().in_heap())
    }
}

impl fmt::Display for ValType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValType::I32 => f.write_str("i32"),
            ValType::I64 => f.write_str("i64"),
            ValType::F32 => f.write_str("f32"),
            ValType::F64 => f.write_str("f64"),
            ValType::V128 => f.write_str("v128"),
            ValType::Ref(r) => r.fmt(f),
        }
    }
}

/// The type of a reference.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RefType {
    nullable: bool,
    heap: HeapType,
}

impl RefType {
    /// `(ref null func)`.
    pub const FUNCREF: RefType = RefType::new(true, HeapType::Func);
    /// `(ref null extern)`.
    pub const EXTERNREF: RefType = RefType::new(true, HeapType::Extern);
    /// `(ref null exn)`.
    pub const EXNREF: RefType = RefType::new(true, HeapType::Exn);

    /// A reference to `heap`, which may be null if `nullable`.
    pub const fn new(nullable: bool, heap: HeapType) -> Self {
        RefType { nullable, heap }
    }

    /// Whether null is a value of this type.
    pub const fn is_nullable(&self) -> bool {
        self.nullable
    }

    /// What is referred to.
    pub const fn heap_type(&self) -> HeapType {
        self.heap
    }

    /// Whether every reference of this type is one of `other` as well. Both are of one engine.
    pub fn matches(&self, other: &RefType) -> bool {
        let wider = matches!(
            (self.heap, other.heap),
            (HeapType::ConcreteFunc(_), HeapType::Func) | (HeapType::NoExn, HeapType::Exn)
        );
        (self.heap == other.heap || wider) && (other.nullable || !self.nullable)
    }

    #[allow(dead_code, reason = "not in every feature set")]
    pub(crate) fn renumbered<E>(
        self,
        number: impl FnOnce(FuncTypeId) -> Result<FuncTypeId, E>,
    ) -> Result<RefType, E> {
        Ok(match self.heap {
            HeapType::ConcreteFunc(ty) => {
                RefType::new(self.nullable, HeapType::ConcreteFunc(number(ty)?))
            }
            _ => self,
        })
    }
}

impl fmt::Display for RefType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.nullable, self.heap) {
            (true, HeapType::Func) => f.write_str("funcref"),
            (true, HeapType::Extern) => f.write_str("externref"),
            (true, HeapType::Exn) => f.write_str("exnref"),
            (false, HeapType::Func) => f.write_str("(ref func)"),
            (false, HeapType::Extern) => f.write_str("(ref extern)"),
            (false, HeapType::Exn) => f.write_str("(ref exn)"),
            (true, HeapType::NoExn) => f.write_str("nullexnref"),
            (false, HeapType::NoExn) => f.write_str("(ref noexn)"),
            // Its number tells nobody anything, and is another one in each engine.
            (true, HeapType::ConcreteFunc(_)) => f.write_str("(ref null $type)"),
            (false, HeapType::ConcreteFunc(_)) => f.write_str("(ref $type)"),
        }
    }
}

/// What a reference refers to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum HeapType {
    /// Any function.
    Func,
    /// Any value of the host.
    Extern,
    /// Any exception.
    Exn,
    /// No exception: a reference of this type is null, or there is none.
    NoExn,
    /// A function of exactly that type.
    ConcreteFunc(FuncTypeId),
}

impl HeapType {
    /// Whether functions are what is referred to.
    pub(crate) const fn is_func(self) -> bool {
        matches!(self, HeapType::Func | HeapType::ConcreteFunc(_))
    }

    /// Whether references to it are handles into the store's heap: what a collection has to find.
    #[allow(dead_code, reason = "not in every feature set")]
    pub(crate) const fn in_heap(self) -> bool {
        match self {
            HeapType::Func | HeapType::ConcreteFunc(_) => false,
            HeapType::Extern | HeapType::Exn | HeapType::NoExn => true,
        }
    }

    /// The widest type of the same hierarchy: references of one are kept in one way.
    pub(crate) const fn top(self) -> HeapType {
        match self {
            HeapType::Func | HeapType::ConcreteFunc(_) => HeapType::Func,
            HeapType::Extern => HeapType::Extern,
            HeapType::Exn | HeapType::NoExn => HeapType::Exn,
        }
    }
}

/// A function type by number: the engine's, once a module is loaded;
/// [`FuncType::heap_type`](crate::FuncType::heap_type) has it. In artifacts and in the compiler it
/// is the module's `SigIndex`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FuncTypeId(pub(crate) u32);

/// The type of a function: parameters and results, in order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Signature {
    pub(crate) params: Box<[ValType]>,
    pub(crate) results: Box<[ValType]>,
}

#[allow(dead_code, reason = "not every feature set has types that refer to types")]
impl Signature {
    /// With other numbers for the types that it refers to.
    pub(crate) fn renumbered<E>(
        mut self,
        mut number: impl FnMut(FuncTypeId) -> Result<FuncTypeId, E>,
    ) -> Result<Signature, E> {
        for ty in self.params.iter_mut().chain(&mut self.results) {
            *ty = ty.renumbered(&mut number)?;
        }
        Ok(self)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, types: &[ValType]| {
            for (i, ty) in types.iter().enumerate() {
                if i > 0 {
                    f.write_str(", ")?;
                }
                ty.fmt(f)?;
            }
            Ok(())
        };
        f.write_str("(")?;
        list(f, &self.params)?;
        f.write_str(") -> (")?;
        list(f, &self.results)?;
        f.write_str(")")
    }
}

/// The type of a global.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct GlobalDecl {
    pub(crate) content: ValType,
    pub(crate) mutable: bool,
}

/// The type of a table; limits count elements.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TableDecl {
    pub(crate) element: RefType,
    pub(crate) min: u64,
    pub(crate) max: Option<u64>,
    /// Whether indices are `i64`.
    pub(crate) table64: bool,
}

/// The type of a memory; limits count pages of `1 << page_size_log2` bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MemoryDecl {
    pub(crate) min: u64,
    pub(crate) max: Option<u64>,
    /// Whether addresses are `i64`.
    pub(crate) memory64: bool,
    pub(crate) shared: bool,
    /// 16, unless the module asks for custom page sizes.
    pub(crate) page_size_log2: u8,
}

impl MemoryDecl {
    /// The size at instantiation in bytes, or `None` where that exceeds `u64`.
    pub(crate) fn min_bytes(&self) -> Option<u64> {
        self.min.checked_mul(1 << self.page_size_log2)
    }

    /// The most pages that it can have: what it declares, or what its addresses reach. Their
    /// number is a value of the address type as well, which is less with pages of one byte.
    pub(crate) fn max_pages(&self) -> u64 {
        let address: u64 = if self.memory64 { u64::MAX } else { u32::MAX.into() };
        let reach = match self.page_size_log2 {
            0 => address,
            log2 => (address >> log2) + 1,
        };
        self.max.unwrap_or(reach).min(reach)
    }
}

/// What an import asks for or an export offers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum ExternKind {
    Func = 0,
    Table = 1,
    Memory = 2,
    Global = 3,
    Tag = 4,
}

impl ExternKind {
    pub(crate) fn from_u8(kind: u8) -> Option<Self> {
        Some(match kind {
            0 => ExternKind::Func,
            1 => ExternKind::Table,
            2 => ExternKind::Memory,
            3 => ExternKind::Global,
            4 => ExternKind::Tag,
            _ => return None,
        })
    }
}

impl fmt::Display for ExternKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ExternKind::Func => "function",
            ExternKind::Table => "table",
            ExternKind::Memory => "memory",
            ExternKind::Global => "global",
            ExternKind::Tag => "tag",
        })
    }
}

/// A constant expression (core specification, section 3.4.13), as a program for a small stack
/// machine. `artifact/const_expr.rs` has the encoding, `runtime/instantiate.rs` the machine.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum ConstOp {
    I32Const(i32),
    I64Const(i64),
    /// The bits of the float.
    F32Const(u32),
    /// The bits of the float.
    F64Const(u64),
    V128Const(u128),
    GlobalGet(u32),
    RefNull(HeapType),
    RefFunc(u32),
    I32Add,
    I32Sub,
    I32Mul,
    I64Add,
    I64Sub,
    I64Mul,
}
