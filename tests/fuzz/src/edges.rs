//! Class 2: operators on what was just loaded, from the very last bytes of a memory.
//!
//! Code that loads more than the operator needs faults there, or sees bytes that are not memory's.
//! For each operator and operand there are functions that load the operand (at a parameter, and at
//! a constant), one that takes it as it is, and one that stores the result where it was loaded.
//! The first three have to give the same at the last address that is inside, and the loads have to
//! trap one byte further.

use crate::build::Builder;
use crate::loads::{self, Access, VECTOR};
use crate::observe::{End, Trap};
use crate::operators::{self, Nan, Operator, Ty, bits};
use crate::{Result, Verdict, ours};
use arbitrary::Unstructured;
use precompile::{Bounds, Config, Engine, OptLevel};
use std::sync::OnceLock;
use wasm_encoder::{Instruction, MemArg, MemoryType};

/// One page, so that what follows it is not mapped.
const LEN: u64 = 65536;

/// An operator with one operand out of memory.
#[derive(Clone, Debug)]
struct Case {
    operator: &'static Operator,
    operand: usize,
    /// Loads that operand.
    load: Access,
    /// The others, and what lies in memory.
    values: Vec<u128>,
}

/// Each operator with each operand loaded whole, and what loads less into the same type.
fn cases(mut values: impl FnMut() -> u128) -> Vec<Case> {
    let loads: Vec<Access> = loads::all().into_iter().filter(|load| !load.store).collect();
    let mut cases = Vec::new();
    for operator in operators::all() {
        for (operand, ty) in operator.params.iter().enumerate() {
            for load in loads.iter().filter(|load| load.ty == *ty) {
                let values = operator.params.iter().map(|_| values()).collect();
                cases.push(Case { operator, operand, load: *load, values });
            }
        }
    }
    cases
}

fn memarg() -> MemArg {
    loads::memarg(0, 0)
}

impl Case {
    /// Where the last operand inside begins.
    fn last(&self) -> u64 {
        LEN - u64::from(self.load.bytes)
    }

    /// Code of the operator, with the operand as `operand` says.
    fn code(&self, operand: &[Instruction<'static>], first: u32) -> Vec<Instruction<'static>> {
        let mut code = Vec::new();
        for i in 0..self.operator.params.len() {
            match i == self.operand {
                true => code.extend_from_slice(operand),
                false => code.push(Instruction::LocalGet(first + i as u32)),
            }
        }
        code.push(self.operator.instruction.clone());
        code
    }

    fn load(&self, address: Instruction<'static>) -> Vec<Instruction<'static>> {
        let vector = self.load.takes_vector().then(|| Ty::V128.constant(VECTOR));
        let load = self.load.instruction(memarg());
        [address].into_iter().chain(vector).chain([load]).collect()
    }

    /// Adds the functions of the case to a module. All take an address, then the operands.
    fn add(&self, number: usize, module: &mut Builder) {
        let params: Vec<Ty> =
            [Ty::I32].into_iter().chain(self.operator.params.iter().copied()).collect();
        let result = Some(self.operator.result);
        let taken = [Instruction::LocalGet(1 + self.operand as u32)];
        let constant = self.load(Instruction::I32Const(self.last() as i32));
        let loaded = self.load(Instruction::LocalGet(0));
        let mut function = |name: &str, result, code: &[Instruction<'_>]| {
            module.function(&format!("{name}{number}"), &params, result, &[], code);
        };
        function("taken", result, &self.code(&taken, 1));
        function("constant", result, &self.code(&constant, 1));
        function("loaded", result, &self.code(&loaded, 1));
        if let Some(store) = self.store() {
            let mut code = vec![Instruction::LocalGet(0)];
            code.extend(self.code(&loaded, 1));
            code.push(store);
            function("stored", None, &code);
        }
    }

    /// Stores a result in the place of the operand, if it is as long.
    fn store(&self) -> Option<Instruction<'static>> {
        let store = match self.operator.result {
            Ty::I32 => Instruction::I32Store(memarg()),
            Ty::I64 => Instruction::I64Store(memarg()),
            Ty::F32 => Instruction::F32Store(memarg()),
            Ty::F64 => Instruction::F64Store(memarg()),
            Ty::V128 => Instruction::V128Store(memarg()),
        };
        (self.operator.result.size() == u64::from(self.load.bytes)).then_some(store)
    }

    /// Calls the functions.
    fn check(
        &self,
        number: usize,
        exact: bool,
        running: &mut ours::Running,
    ) -> std::result::Result<(), String> {
        let bytes = self.values[self.operand].to_le_bytes();
        let bytes = &bytes[..self.load.bytes as usize];
        let mut args = self.values.clone();
        args[self.operand] = self.load.loaded(bytes);
        let call = |running: &mut ours::Running, name: &str, address: u64| {
            let memory = running.memory("m0");
            memory[self.last() as usize..].copy_from_slice(bytes);
            let args: Vec<u128> =
                [address.into()].into_iter().chain(args.iter().copied()).collect();
            running.call(&format!("{name}{number}"), &args)
        };
        let taken = call(running, "taken", 0);
        // Which NaN comes out may depend on where operands are.
        let exact = exact || self.operator.nan == Nan::Exact;
        let same = |end: &End| match (end, &taken) {
            (End::Returned(_), End::Returned(_)) if !exact => true,
            _ => *end == taken,
        };
        for name in ["constant", "loaded"] {
            let end = call(running, name, self.last());
            if !same(&end) {
                return Err(format!("{name}: {end:x?} instead of {taken:x?}"));
            }
        }
        let end = call(running, "loaded", self.last() + 1);
        if end != End::Trapped(Trap::Memory) {
            return Err(format!("one byte further: {end:x?}"));
        }
        if self.store().is_some() {
            let end = call(running, "stored", self.last());
            let memory = running.memory("m0")[self.last() as usize..].to_vec();
            match (&end, &taken) {
                (End::Returned(_), End::Returned(values)) => {
                    let stored = values[0].bits().to_le_bytes();
                    if exact && memory[..] != stored[..memory.len()] {
                        return Err(format!("stored {memory:x?} instead of {values:x?}"));
                    }
                }
                _ if end == taken => {}
                _ => return Err(format!("stored: {end:x?} instead of {taken:x?}")),
            }
            let end = call(running, "stored", self.last() + 1);
            if end != End::Trapped(Trap::Memory) {
                return Err(format!("stored one byte further: {end:x?}"));
            }
        }
        Ok(())
    }
}

fn check(
    cases: &[Case],
    name: &str,
    exact: bool,
    engine: &Engine,
) -> std::result::Result<(), String> {
    let mut module = Builder::new();
    module.memory(MemoryType {
        minimum: LEN >> 16,
        maximum: Some(LEN >> 16),
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    for (number, case) in cases.iter().enumerate() {
        case.add(number, &mut module);
    }
    let mut running = ours::Running::new(engine, &module.finish())
        .map_err(|error| format!("{name}: {error:#}"))?;
    for (number, case) in cases.iter().enumerate() {
        case.check(number, exact, &mut running).map_err(|what| {
            let (operator, load) = (&case.operator.instruction, case.load.instruction(memarg()));
            format!("{name}: {operator:?} with operand {} by {load:?}: {what}", case.operand)
        })?;
    }
    Ok(())
}

/// Engines: each level, both kinds of bounds, optimised; whether NaNs are canonical.
fn engines() -> &'static [(String, bool, Engine)] {
    static ENGINES: OnceLock<Vec<(String, bool, Engine)>> = OnceLock::new();
    ENGINES.get_or_init(|| {
        let mut engines = Vec::new();
        for level in ours::levels() {
            for (bounds, opt, exact) in [
                (Bounds::Guard, OptLevel::Speed, false),
                (Bounds::Guard, OptLevel::None, true),
                (Bounds::Explicit, OptLevel::Speed, true),
            ] {
                let settings = |config: &mut Config| {
                    config.cpu(level).bounds(bounds).cranelift_opt_level(opt);
                    config.cranelift_nan_canonicalization(exact);
                };
                engines.push((
                    format!("{level}, {bounds:?}, {opt:?}"),
                    exact,
                    ours::engine(settings),
                ));
            }
        }
        engines
    })
}

/// All operators with all operands on each engine, by `threads`: loaded whole, and one in `sample`
/// of the loads that make an operand of fewer bytes. How many cases.
///
/// # Errors
/// The first that is wrong.
pub fn sweep(threads: usize, sample: usize) -> std::result::Result<usize, String> {
    let mut random = crate::bytes(2, 1 << 20).into_iter();
    let values = || u128::from_le_bytes(std::array::from_fn(|_| random.next().unwrap_or(1)));
    let cases = cases(values);
    let mut all = Vec::new();
    for (number, engine) in engines().iter().enumerate() {
        let whole = |case: &Case| u64::from(case.load.bytes) == case.load.ty.size();
        let mine = cases.iter().enumerate();
        let mine = mine.filter(|(i, case)| whole(case) || (i + number).is_multiple_of(sample));
        let mine: Vec<Case> = mine.map(|(_, case)| case.clone()).collect();
        all.extend(mine.chunks(500).map(|chunk| (engine, chunk.to_vec())));
    }
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || -> std::result::Result<(), String> {
        while let Some(((name, exact, engine), cases)) =
            all.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
        {
            check(cases, name, *exact, engine)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    Ok(all.iter().map(|(_, cases)| cases.len()).sum())
}

/// A few cases that the bytes choose.
pub(crate) fn run(mut u: Unstructured<'_>) -> Result {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    let all = CASES.get_or_init(|| cases(|| 0));
    let few = Ok(Verdict::Skipped("few bytes"));
    let Ok((name, exact, engine)) = u.choose(engines()) else { return few };
    let mut cases = Vec::new();
    for _ in 0..6 {
        let Ok(case) = u.choose(all) else { return few };
        let mut case = case.clone();
        for value in &mut case.values {
            let Ok(bits) = bits(&mut u) else { return few };
            *value = bits;
        }
        cases.push(case);
    }
    check(&cases, name, *exact, engine)?;
    Ok(Verdict::Agreed)
}
