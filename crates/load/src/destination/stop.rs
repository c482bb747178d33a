//! Whether somebody wants the work to end. Asked before each row group, object and page of a listing, so that no phase goes on
//! for long; from the commit record on nothing asks any more.

#[cfg(test)]
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio_util::sync::CancellationToken;

use crate::error::LoadError;

/// Tells loops to end. Clones share it; the default never does.
#[derive(Debug, Clone, Default)]
pub struct StopFlag {
    token: CancellationToken,
    #[cfg(test)]
    counted: Option<Arc<Counted>>,
}

/// Looks at the flag, for tests of how often there are any.
#[cfg(test)]
#[derive(Debug)]
struct Counted {
    looks: AtomicU64,
    most: u64,
}

impl StopFlag {
    /// Stops once the token is cancelled.
    pub fn on(token: CancellationToken) -> Self {
        Self {
            token,
            #[cfg(test)]
            counted: None,
        }
    }

    /// Stops at the look after so many, so that a test can stop at each place there is.
    #[cfg(test)]
    pub(crate) fn after(looks: u64) -> Self {
        Self {
            token: CancellationToken::new(),
            counted: Some(Arc::new(Counted { looks: AtomicU64::new(0), most: looks })),
        }
    }

    /// Looks until now, where they are counted.
    #[cfg(test)]
    pub(crate) fn looks(&self) -> u64 {
        self.counted.as_ref().map_or(0, |counted| counted.looks.load(Ordering::Relaxed))
    }

    /// To be asked before each step of work.
    ///
    /// # Errors
    /// [`LoadError::Stopped`] from the moment on that somebody wants the work to end.
    pub fn check(&self) -> Result<(), LoadError> {
        #[cfg(test)]
        if let Some(counted) = &self.counted
            && counted.looks.fetch_add(1, Ordering::Relaxed) >= counted.most
        {
            self.token.cancel();
        }
        if self.token.is_cancelled() { Err(LoadError::Stopped) } else { Ok(()) }
    }

    /// The result of work that may be given up at any of its awaits, unless it is to end before.
    ///
    /// # Errors
    /// [`LoadError::Stopped`]; else as `work`.
    pub async fn unless_stopped<T>(&self, work: impl Future<Output = Result<T, LoadError>>) -> Result<T, LoadError> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.token.cancelled() => Err(LoadError::Stopped),
        }
    }
}
