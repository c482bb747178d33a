//! Edits of a running sandbox: those that were made, and those that wait for a request.

use chrono::{DateTime, Utc};

use crate::account::Account;
use crate::change::Change;
use crate::config::Quirks;
use crate::edited::EditedAccount;
use crate::error::SandboxError;

/// The edits of a sandbox.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    /// `None`: nothing was edited yet, and the generated account is served.
    account: Option<EditedAccount>,
    queue: Vec<Queued>,
}

/// What waits for a request.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// A change, with the moment that its rows will show.
    Change(DateTime<Utc>, Change),
    /// Another time on the server's clock.
    Time(DateTime<Utc>),
}

/// The request that something waits for.
#[derive(Debug)]
struct Queued {
    path: String,
    /// Requests to the path up to it.
    left: u64,
    what: Waiting,
}

impl Edits {
    /// The account, if it was edited.
    pub(crate) fn account(&self) -> Option<&EditedAccount> {
        self.account.as_ref()
    }

    /// Makes a change now.
    pub(crate) fn make(
        &mut self,
        generated: &Account,
        quirks: &Quirks,
        at: DateTime<Utc>,
        change: &Change,
    ) -> Result<(), SandboxError> {
        let account = self.account.get_or_insert_with(|| EditedAccount::of(generated));
        account.apply(at.timestamp(), change, quirks)
    }

    /// Keeps something until just before the `request`-th request from now to a path, counted from 1. The account counts as
    /// edited at once: its positional cursors count matches, those of the generated account count all contacts.
    pub(crate) fn wait(&mut self, generated: &Account, path: String, request: u64, what: Waiting) {
        self.account.get_or_insert_with(|| EditedAccount::of(generated));
        self.queue.push(Queued { path, left: request.max(1), what });
    }

    /// What waited for this request to a path, in the order in which it was told.
    pub(crate) fn due(&mut self, path: &str) -> Vec<Waiting> {
        let of_path = self.queue.iter_mut().filter(|queued| queued.path == path);
        of_path.for_each(|queued| queued.left -= 1);
        self.queue.extract_if(.., |queued| queued.left == 0).map(|queued| queued.what).collect()
    }

    /// All that waits, in the order of the requests.
    pub(crate) fn all(&mut self) -> Vec<Waiting> {
        self.queue.sort_by_key(|queued| queued.left);
        self.queue.drain(..).map(|queued| queued.what).collect()
    }
}
