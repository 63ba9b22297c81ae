//! Small modules, put together function by function.

use crate::operators::Ty;
use wasm_encoder::{
    CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, ImportSection,
    Instruction, MemorySection, MemoryType, Module, TypeSection, ValType,
};

/// A module in the making. Everything is exported: functions by their names, memories as `m0`,
/// `m1` and so on.
#[derive(Default)]
pub(crate) struct Builder {
    types: TypeSection,
    imports: ImportSection,
    functions: FunctionSection,
    memories: MemorySection,
    exports: ExportSection,
    code: CodeSection,
}

impl Builder {
    pub(crate) fn new() -> Builder {
        Builder::default()
    }

    /// Imports a function without parameters and results. Comes before all other functions.
    pub(crate) fn import(&mut self) -> u32 {
        let index = self.types.len();
        self.types.ty().function([], []);
        let import = self.imports.len();
        self.imports.import("host", "nothing", EntityType::Function(index));
        import
    }

    pub(crate) fn memory(&mut self, ty: MemoryType) -> u32 {
        let index = self.memories.len();
        self.memories.memory(ty);
        self.exports.export(&format!("m{index}"), ExportKind::Memory, index);
        index
    }

    /// Adds a function; `body` has no `end`.
    pub(crate) fn function(
        &mut self,
        name: &str,
        params: &[Ty],
        result: Option<Ty>,
        locals: &[Ty],
        body: &[Instruction<'_>],
    ) {
        let val_types =
            |types: &[Ty]| -> Vec<ValType> { types.iter().map(|ty| ty.val_type()).collect() };
        let index = self.types.len();
        self.types.ty().function(val_types(params), result.map(Ty::val_type));
        let function = self.imports.len() + self.functions.len();
        self.functions.function(index);
        self.exports.export(name, ExportKind::Func, function);
        let mut code = Function::new_with_locals_types(val_types(locals));
        for instruction in body {
            code.instruction(instruction);
        }
        code.instruction(&Instruction::End);
        self.code.function(&code);
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let mut module = Module::new();
        module.section(&self.types);
        if !self.imports.is_empty() {
            module.section(&self.imports);
        }
        module.section(&self.functions);
        module.section(&self.memories).section(&self.exports).section(&self.code);
        module.finish()
    }
}
