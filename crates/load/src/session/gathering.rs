//! What a session gathers before its commit: the rows that a merging run brings, and the keys that came.

use std::sync::Arc;

use ctct_catalog::Report;
use ctct_transform::Fit;

use crate::dedupe::index::{Entry, Index};
use crate::error::LoadError;
use crate::merge::{Delta, DeltaRun, Sequences, Shape};

/// Different keys.
#[derive(Debug)]
pub(super) struct KeySet {
    pub(super) known: Index,
    pub(super) count: u64,
}

impl KeySet {
    pub(super) fn note(&mut self, keys: Vec<u128>) -> Result<(), LoadError> {
        for key in keys {
            if self.known.get(key)?.is_none() {
                self.known.insert(Entry { key, content: 0, at: 0, order: 0 })?;
                self.count += 1;
            }
        }
        Ok(())
    }
}

/// What a session of [`WriteMode::Merge`] gathers.
#[derive(Debug)]
pub(super) struct Merging {
    pub(super) shapes: Vec<Arc<Shape>>,
    pub(super) brought: Brought,
    /// Parent rows that came so far.
    pub(super) sequence: u64,
    /// Those that the tables do not keep.
    pub(super) outside: Sequences,
    /// Those of which nothing tells whether the tables keep them.
    pub(super) unsure: Sequences,
    /// For each table, those whose list of it did not come.
    pub(super) absent: Vec<Sequences>,
}

impl Merging {
    /// Notes of the next parent rows which of them fit, and which lists of each table are `absent`. What hangs on a list
    /// that did not come did not come either.
    pub(super) fn note(&mut self, report: &Report, fits: &[Fit], absent: &[Vec<u32>]) {
        let first = self.sequence;
        for (sequence, fit) in (first..).zip(fits) {
            match fit {
                Fit::Fits => {}
                Fit::Fails => self.outside.insert(sequence),
                Fit::Unsure => self.unsure.insert(sequence),
            }
        }
        for at in 0..report.tables().len() {
            let mut of = Some(at);
            while let Some(list) = of {
                absent[list].iter().for_each(|row| self.absent[at].insert(first + u64::from(*row)));
                of = report.tables()[list].parent;
            }
        }
    }
}

/// The rows that a merging run brings.
#[derive(Debug)]
pub(super) enum Brought {
    /// More may come.
    Gathering(Delta),
    /// All are there, one sorted run for each table.
    Sorted(Vec<DeltaRun>),
}

impl Brought {
    /// Arrow bytes that are in memory while rows are gathered.
    pub(super) fn held_bytes(&self) -> usize {
        match self {
            Self::Gathering(delta) => delta.held_bytes(),
            Self::Sorted(_) => 0,
        }
    }

    pub(super) async fn sorted(self) -> Result<Vec<DeltaRun>, LoadError> {
        match self {
            Self::Gathering(delta) => delta.finish().await,
            Self::Sorted(runs) => Ok(runs),
        }
    }
}
