//! One sign-in that is kept nowhere: a refresh token that was given for one run.

use std::sync::{Mutex, PoisonError};

use super::Record;

/// The one sign-in.
#[derive(Debug)]
pub(super) struct TokenMemory(Mutex<Box<Record>>);

impl TokenMemory {
    pub(super) fn new(record: Record) -> Self {
        Self(Mutex::new(Box::new(record)))
    }

    pub(super) fn record(&self) -> Record {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().clone()
    }

    pub(super) fn replace(&self, record: Record) {
        **self.0.lock().unwrap_or_else(PoisonError::into_inner) = record;
    }
}
