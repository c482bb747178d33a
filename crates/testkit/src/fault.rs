//! What is to go wrong with a store, and at which of its mutations.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use tokio::sync::Semaphore;

/// What happens to a mutation.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It fails and is not applied.
    Reject,
    /// The same, and the error is a local disk's, of this kind: that it is full, say.
    RejectAs(io::ErrorKind),
    /// It is applied and its response is lost.
    FailAfterApply,
    /// It waits until the test lets it go, and goes on as if nothing had been.
    Hold(Hold),
    /// It waits so long by tokio's clock, which the test has paused, and goes on.
    Slow(Duration),
    /// The process dies: this call and every later one fail, reads too, and nothing of them is applied.
    Crash,
    /// The same, but this one call is applied.
    CrashAfterApply,
}

/// A kind of mutation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// An object in one piece.
    Put,
    /// A part of an object, which nobody sees yet.
    Part,
    /// The end of an object in parts: now it is seen.
    Complete,
    /// A copy within the store, or the first half of a rename that is not atomic.
    Copy,
    /// A rename in one step.
    Rename,
    /// A removal, or the second half of a rename that is not atomic.
    Delete,
}

/// One mutation that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutation {
    /// Its kind.
    pub operation: Operation,
    /// The object that it makes or removes.
    pub path: Path,
}

impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.operation, self.path)
    }
}

/// Which mutations a fault meets: those between two numbers, counted from 0 over all that fit the rest.
#[derive(Debug, Clone)]
pub struct Spot {
    first: usize,
    last: usize,
    operation: Option<Operation>,
    pattern: Option<String>,
}

impl Spot {
    /// The mutation of this number, from 0.
    pub fn nth(number: usize) -> Self {
        Self { first: number, last: number, operation: None, pattern: None }
    }

    /// The mutation of this number and all that follow.
    pub fn from(number: usize) -> Self {
        Self { last: usize::MAX, ..Self::nth(number) }
    }

    /// Every mutation.
    pub fn every() -> Self {
        Self::from(0)
    }

    /// Only mutations of this kind; others are not counted.
    #[must_use]
    pub fn by(self, operation: Operation) -> Self {
        Self { operation: Some(operation), ..self }
    }

    /// Only paths that fit a pattern, in which `*` stands for any text; others are not counted.
    #[must_use]
    pub fn on(self, pattern: impl Into<String>) -> Self {
        Self { pattern: Some(pattern.into()), ..self }
    }

    pub(crate) fn fits(&self, mutation: &Mutation) -> bool {
        self.operation.is_none_or(|operation| operation == mutation.operation)
            && self.pattern.as_deref().is_none_or(|pattern| matches(pattern, mutation.path.as_ref()))
    }

    pub(crate) fn holds(&self, number: usize) -> bool {
        (self.first..=self.last).contains(&number)
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text
            .strip_prefix(start)
            .is_some_and(|text| text.char_indices().any(|(at, _)| matches(rest, &text[at..])) || matches(rest, "")),
    }
}

/// The test's end of [`Fault::Hold`]. Clones are the same hold.
#[derive(Debug, Clone)]
pub struct Hold {
    /// Both are closed when the time has come, and never hold a permit.
    reached: Arc<Semaphore>,
    released: Arc<Semaphore>,
}

impl Hold {
    /// A hold that nothing has reached yet.
    pub fn new() -> Self {
        Self { reached: Arc::new(Semaphore::new(0)), released: Arc::new(Semaphore::new(0)) }
    }

    /// Returns once a mutation waits here, or has.
    pub async fn reached(&self) {
        // The only end of this is the closing.
        let _ = self.reached.acquire().await;
    }

    /// Lets go what waits, and all that comes later.
    pub fn release(&self) {
        self.released.close();
    }

    pub(crate) async fn wait(&self) {
        self.reached.close();
        let _ = self.released.acquire().await;
    }
}

impl Default for Hold {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, fits) in [
            ("a/b", "a/b", true),
            ("a/b", "a/bc", false),
            ("a*", "a/bc", true),
            ("*", "", true),
            ("a*", "a", true),
            ("*/commits/*.json", "_ctct/x/commits/1.json", true),
            ("*/commits/*.json", "_ctct/x/commits/1.jso", false),
            ("*b*b", "ab", false),
            ("*b*b", "abxb", true),
            ("*ü*", "grün", true),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }
}
