//! Functions of the host.

use super::func::Caller;
use super::types::{FuncType, TypeIds};
use super::vm::host::HostCode;
use super::vm::vmctx::{ValRaw, VmHostFunc};
use crate::Engine;
use crate::error::Result;

/// A function of the host, of no store in particular.
pub struct HostFunc {
    ty: FuncType,
    type_ids: TypeIds,
    code: HostCode,
}

impl HostFunc {
    /// The function that runs `call` on its parameters, which it replaces by its results. There
    /// are as many values as the larger number of the two.
    pub(crate) fn new<T: 'static>(
        engine: &Engine,
        ty: FuncType,
        call: impl Fn(Caller<'_, T>, &mut [ValRaw]) -> Result<()> + Send + Sync + 'static,
    ) -> Result<Self> {
        let type_ids = TypeIds::new(engine, 1, |_, _| Ok((*ty.0).clone()))?;
        Ok(HostFunc { ty, type_ids, code: HostCode::new(call) })
    }

    pub(crate) fn ty(&self) -> &FuncType {
        &self.ty
    }

    pub(crate) fn type_id(&self) -> u32 {
        self.type_ids.ids()[0]
    }

    pub(crate) fn vm(&self) -> &VmHostFunc {
        self.code.vm()
    }
}
