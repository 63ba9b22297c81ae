//! One function: from its body to machine code.

use crate::abi::vmctx::Layout;
use crate::fingerprint::Fingerprint;
use crate::wasm::index::FuncIndex;
use crate::wasm::module::ModuleInfo;
use cranelift_codegen::ir;
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::FunctionBuilder;

/// What the translation of every function of a module reads.
pub(crate) struct ModuleEnv<'a> {
    pub(crate) info: &'a ModuleInfo,
    pub(crate) layout: Layout,
    pub(crate) settings: Fingerprint,
    pub(crate) isa: &'a dyn TargetIsa,
}

/// Namespace of `ir::UserExternalName`s: `index` is a `FuncIndex` of this module.
pub(crate) const NAME_FUNC: u32 = 0;
/// Namespace of `ir::UserExternalName`s: `index` is a `Builtin`'s number; what is called is its
/// trampoline.
pub(crate) const NAME_BUILTIN: u32 = 1;

/// The state of one function's translation.
pub(crate) struct Translator<'a, 'f> {
    pub(crate) env: &'a ModuleEnv<'a>,
    pub(crate) builder: FunctionBuilder<'f>,
    pub(crate) func: FuncIndex,
    /// The operand stack. A `v128` is `I8X16`, or another vector type until its next use as such:
    /// take it with `pop_v128`.
    pub(crate) stack: Vec<ir::Value>,
}

impl Translator<'_, '_> {
    /// Pushes a value.
    pub(crate) fn push(&mut self, value: ir::Value) {
        self.stack.push(value);
    }

    /// Pops a value. The body is validated, so there is one.
    pub(crate) fn pop(&mut self) -> ir::Value {
        self.stack.pop().expect("validated code never pops an empty stack")
    }

    /// Pops two values, the deeper one first.
    pub(crate) fn pop2(&mut self) -> (ir::Value, ir::Value) {
        let second = self.pop();
        (self.pop(), second)
    }

    /// Pops three values, the deepest first.
    pub(crate) fn pop3(&mut self) -> (ir::Value, ir::Value, ir::Value) {
        let third = self.pop();
        let (first, second) = self.pop2();
        (first, second, third)
    }
}
