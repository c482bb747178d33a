//! What goes from the side that reads to the side that decodes.

use ctct_extract::Page;

/// Pages that belong together.
pub(super) type Unit = Vec<Page>;

/// How reading ended, when nothing failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadOutcome {
    /// Every page was read.
    Complete,
    /// The run was asked to stop; what was sent on is complete in itself.
    Stopped,
}
