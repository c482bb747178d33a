//! What keeps the tables well between runs: small files joined, everything checked, a lost log made again.

pub(crate) mod loss;
pub(crate) mod rebuild;
pub(crate) mod state;
pub(crate) mod survey;
pub(crate) mod verify;
