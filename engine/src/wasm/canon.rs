//! Type equality within a module.
//!
//! Two function types with the same parameters and results are the same type. Each distinct one
//! gets a [`SigIndex`], in order of first appearance, so that code compares one number and so
//! that trampolines are made once a signature. A type refers to others, which come before it, by
//! their numbers, so comparing these is comparing all of it. Recursion groups will have their
//! place here.

use super::index::SigIndex;
use super::types::Signature;
use std::collections::HashMap;

/// The distinct signatures of a module.
#[derive(Default, Debug)]
pub(crate) struct Signatures {
    list: Vec<Signature>,
    index: HashMap<Signature, SigIndex>,
}

impl Signatures {
    /// The index of `sig`, which is added unless an equal one is there. References to other types
    /// are by their indices.
    pub(crate) fn intern(&mut self, sig: Signature) -> SigIndex {
        if let Some(index) = self.index.get(&sig) {
            return *index;
        }
        // The validator caps types at 1,000,000, so the count fits.
        let index = SigIndex::new(self.list.len() as u32);
        self.list.push(sig.clone());
        self.index.insert(sig, index);
        index
    }

    pub(crate) fn get(&self, index: SigIndex) -> &Signature {
        &self.list[index.index()]
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (SigIndex, &Signature)> {
        self.list.iter().enumerate().map(|(i, s)| (SigIndex::new(i as u32), s))
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }
}
