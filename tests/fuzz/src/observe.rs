//! What can be seen of a module that ran, in words that fit every engine.

use crate::operators::Ty;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A value. Floats are their bits; of a reference it can be told whether it is null.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Value {
    I32(i32),
    I64(i64),
    F32(u32),
    F64(u64),
    V128(u128),
    Ref { null: bool },
}

impl Value {
    /// The value with these bits.
    pub(crate) fn of(ty: Ty, bits: u128) -> Value {
        match ty {
            Ty::I32 => Value::I32(bits as i32),
            Ty::I64 => Value::I64(bits as i64),
            Ty::F32 => Value::F32(bits as u32),
            Ty::F64 => Value::F64(bits as u64),
            Ty::V128 => Value::V128(bits),
        }
    }

    /// Its bits; of a reference none.
    pub(crate) fn bits(self) -> u128 {
        match self {
            Value::I32(x) => (x as u32).into(),
            Value::I64(x) => (x as u64).into(),
            Value::F32(x) => x.into(),
            Value::F64(x) => x.into(),
            Value::V128(x) => x,
            Value::Ref { .. } => 0,
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::I32(x) => write!(f, "i32:{x:#x}"),
            Value::I64(x) => write!(f, "i64:{x:#x}"),
            Value::F32(x) => write!(f, "f32:{x:#x} ({:?})", f32::from_bits(*x)),
            Value::F64(x) => write!(f, "f64:{x:#x} ({:?})", f64::from_bits(*x)),
            Value::V128(x) => write!(f, "v128:{x:#034x}"),
            Value::Ref { null } => f.write_str(if *null { "null" } else { "a reference" }),
        }
    }
}

/// How a step ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Returned(Vec<Value>),
    /// By a trap of the specification.
    Trapped(Trap),
    /// By an exception that nobody caught.
    Threw,
    /// By a limit, which engines have at different places: whatever came after means nothing.
    Exhausted(&'static str),
    /// By anything else: what the engine said.
    Failed(String),
}

/// Traps that engines tell apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trap {
    Unreachable,
    Memory,
    Table,
    NullCall,
    Signature,
    Overflow,
    DivisionByZero,
    Conversion,
    NullReference,
    Other,
}

/// What a step did: instantiation is the first, calls of exports follow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Step {
    pub(crate) what: String,
    pub(crate) end: End,
    /// What it used up, where the engine counts.
    pub(crate) fuel: Option<u64>,
    pub(crate) host: Host,
}

/// Calls of host functions up to a point.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Host {
    /// All of them, in their order, with their arguments.
    hash: u64,
    /// The arguments of the last one.
    last: Vec<Value>,
}

impl Host {
    pub(crate) fn call(&mut self, import: &str, args: Vec<Value>) {
        self.hash = hash((self.hash, import, &args));
        self.last = args;
    }
}

/// All that was seen.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Observed {
    pub(crate) steps: Vec<Step>,
    /// Memories, globals and tables at the end, by the names of their exports.
    pub(crate) state: Vec<(String, State)>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Memory {
        bytes: u64,
        hash: u64,
    },
    Global(Value),
    /// Which elements are null.
    Table {
        hash: u64,
        len: u64,
    },
}

impl State {
    pub(crate) fn memory(bytes: &[u8]) -> State {
        State::Memory { bytes: bytes.len() as u64, hash: hash(bytes) }
    }

    pub(crate) fn table(nulls: &[bool]) -> State {
        State::Table { len: nulls.len() as u64, hash: hash(nulls) }
    }
}

pub(crate) fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// The arguments of the `n`th call of an export, as bits: odd numbers, and others.
pub(crate) fn argument(seed: u64, call: usize, index: usize) -> u128 {
    const ODD: [u128; 14] = [
        0,
        1,
        u128::MAX,
        0x7fff_ffff,
        0x8000_0000,
        0x7fff_ffff_ffff_ffff,
        0x8000_0000_0000_0000,
        0xffff,
        0x1_0000,
        0x3fff8,
        0x7f80_0000_7f80_0000_7f80_0000_7f80_0000,
        0x7ff0_0000_0000_0000_7ff0_0000_0000_0000,
        0x3ff0_0000_0000_0000_3f80_0000_3f80_0000,
        0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10,
    ];
    let pick = hash((seed, call, index));
    let wide = u128::from(hash((pick, 1))) << 64 | u128::from(hash((pick, 2)));
    // Twice as many as there are, so that half are of no kind.
    ODD.get(pick as usize % (2 * ODD.len())).copied().unwrap_or(wide)
}

impl Observed {
    /// Up to the first step that a limit ended. Whether that is all.
    fn conclusive(&self) -> (usize, bool) {
        let end = self.steps.iter().position(|step| matches!(step.end, End::Exhausted(_)));
        end.map_or((self.steps.len(), true), |end| (end, false))
    }

    /// Whether two engines saw the same; how many steps were compared if so.
    ///
    /// # Errors
    /// What differs.
    pub(crate) fn agree(&self, other: &Observed) -> Result<usize, String> {
        let ((mine, whole), (theirs, also)) = (self.conclusive(), other.conclusive());
        let both = mine.min(theirs);
        for (a, b) in self.steps[..both].iter().zip(&other.steps[..both]) {
            let fuel = a.fuel.is_none() || b.fuel.is_none() || a.fuel == b.fuel;
            if a.what != b.what || a.end != b.end || a.host != b.host || !fuel {
                return Err(format!("one says\n  {a:x?}\nthe other\n  {b:x?}"));
            }
        }
        if whole && also {
            if self.steps.len() != other.steps.len() {
                return Err(format!("{} steps, and {}", self.steps.len(), other.steps.len()));
            }
            for (a, b) in self.state.iter().zip(&other.state) {
                if a != b {
                    return Err(format!("at the end, one has\n  {a:x?}\nthe other\n  {b:x?}"));
                }
            }
            if self.state.len() != other.state.len() {
                return Err("one has more exports than the other".into());
            }
        }
        Ok(both)
    }
}
