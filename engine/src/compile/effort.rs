//! How much is done for a function: all of it, unless that would take far longer than its length
//! says.
//!
//! Three parts of Cranelift take a time, or memory, that can grow with the square of a function's
//! length: values for variables at joins, optimisation of blocks nested in each other, and the
//! register allocator that backtracks. So a module could take an hour of a compiler that serves
//! others. What is far beyond anything that a compiler's output was seen to have is compiled in
//! [simple](Effort::simple) ways, each of which takes a time that is proportional to the length:
//! locals in the frame, no optimisation, and registers given out in one pass.
//!
//! What decides is counted in the function itself, so that an artifact stays a function of the
//! module and the fingerprint.

use super::translate::locals::Storage;

/// What was counted in a function.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Size {
    /// Bytes of the body.
    pub(crate) bytes: usize,
    /// CLIF blocks, instructions and values.
    pub(crate) blocks: usize,
    pub(crate) insts: usize,
    pub(crate) values: usize,
    /// Locals that the body names and that are variables.
    pub(crate) variables: usize,
    /// Loops, and the most that were open at once.
    pub(crate) loops: usize,
    pub(crate) loop_depth: usize,
    /// The most operands on the stack at once.
    pub(crate) operands: usize,
    /// Handlers of exceptions, each as often as calls name it.
    pub(crate) handlers: usize,
    /// What branches pass on to the parameters of blocks, each as often as a branch does.
    pub(crate) arguments: usize,
}

impl Size {
    /// Whether locals as values are too much: then the function is translated once more.
    pub(crate) fn overflows(&self) -> bool {
        // Of 26 MB of Python, 30 MB of Ruby and others, no function has more than 5 values a byte.
        // Block parameters that stand for one local each are what makes more.
        self.values > 20_000 + 8 * self.bytes
            // Each is a move where registers are given out in one pass.
            || self.arguments > 20_000 + 8 * self.bytes
            // The most in those programs: 1.5 million, and 2.6 arguments a byte.
            || self.table() > 1 << 23
            || self.lookups() > 1 << 26
            || self.loop_depth > 500
    }

    /// Whether it has more values than even operands and results account for: blocks with many
    /// parameters make them without end from few bytes. So do blocks with handlers in each other,
    /// every one of which has those of all around it, and branches that pass many operands on.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.values + self.handlers + self.arguments > 200_000 + 64 * self.bytes
            || self.table() > 1 << 26
            || self.lookups() > 1 << 26
    }

    /// Most entries of the builder's table of variables and blocks.
    fn table(&self) -> usize {
        self.variables.saturating_mul(self.blocks)
    }

    /// Most steps to find the values of variables: one that comes from outside of all loops is
    /// looked up from each through all around that.
    fn lookups(&self) -> usize {
        self.variables.saturating_mul(self.loop_depth).saturating_mul(self.loop_depth)
    }

    /// Whether it is too much for optimisation and for the better register allocator. The same
    /// programs have up to 9,856 blocks and 78,644 instructions in a function.
    pub(crate) fn is_huge(&self) -> bool {
        self.blocks > 12_000
            || self.insts > 150_000
            || self.values > 1_000_000
            || self.loops > 2_000
            || self.operands > 1_000
    }
}

/// How a function is compiled.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Effort {
    pub(crate) locals: Storage,
    /// Without optimisation, with registers given out in one pass.
    pub(crate) simple: bool,
}

impl Effort {
    /// The effort for a function of `size`, whose locals are kept in `locals`.
    pub(crate) fn of(size: &Size, locals: Storage) -> Effort {
        Effort { locals, simple: locals == Storage::Frame || size.is_huge() }
    }
}

#[cfg(test)]
mod tests;
