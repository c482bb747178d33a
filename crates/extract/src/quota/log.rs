//! The log of leases in an object store: one object a lease, numbered, each created by put-if-absent, never changed.
//!
//! `<prefix>/<key>/<day>/<sequence>.json`. Who takes the number after the last one has the lease; who finds it taken reads
//! on. The last lease of a day says all that there is to know of it. One that is damaged is passed over, and the one before
//! it counts: its number stays taken.

use std::sync::Arc;

use chrono::{NaiveDate, TimeDelta};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use serde::{Deserialize, Serialize};
use tracing::{debug, error};

use super::checksum;
use super::ledger_state::Shut;

/// Days that are kept: yesterday's last lease may still run, and clocks differ.
const KEPT: TimeDelta = TimeDelta::days(2);

/// A lease of time and a block of requests for one process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lease {
    /// Of this lease alone. A process whose put was not answered knows its own lease by it.
    pub(super) id: String,
    /// The process that has it.
    pub(super) owner: String,
    /// The lease begins, by the wall clock in microseconds.
    pub(super) from: i64,
    /// The lease ends.
    pub(super) until: i64,
    /// Requests that may be sent in it.
    pub(super) requests: u64,
    /// Requests of the owner's earlier blocks that were not sent.
    pub(super) returned: u64,
    /// Requests of the day after this lease: all blocks, less what was returned.
    pub(super) spent: u64,
    /// The API takes no more requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) shut: Option<Shut>,
}

/// The last lease that is known.
#[derive(Debug, Clone, Default)]
pub(super) struct Tail {
    pub(super) day: NaiveDate,
    /// 0: the day has no lease yet, and `lease` is that of a day before.
    pub(super) sequence: u64,
    pub(super) lease: Option<Lease>,
}

/// What became of a lease that was to be written.
pub(super) enum Put {
    Written,
    /// Somebody was faster, or an earlier put was not answered.
    Taken,
}

/// The log of one key.
#[derive(Debug, Clone)]
pub(super) struct LeaseLog {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

impl LeaseLog {
    pub(super) fn new(store: Arc<dyn ObjectStore>, prefix: Path) -> Self {
        Self { store, prefix }
    }

    pub(super) fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// The last lease of a day, read from the one that is known. On a day without any, the last one of the day before.
    pub(super) async fn tail(&self, day: NaiveDate, known: &Tail) -> Result<Tail, StoreError> {
        let known = if known.day == day { known.clone() } else { Tail { day, ..Tail::default() } };
        if let Some((sequence, lease)) = self.last(day, known.sequence).await? {
            return Ok(Tail { day, sequence, lease: lease.or(known.lease) });
        }
        if known.lease.is_some() {
            return Ok(known);
        }
        let lease = match day.pred_opt() {
            Some(before) => self.last(before, 0).await?.and_then(|(_, lease)| lease),
            None => None,
        };
        Ok(Tail { lease, ..known })
    }

    /// The last lease of the day, from a number on that is known to be taken.
    pub(super) async fn after(&self, known: Tail, taken: u64) -> Result<Tail, StoreError> {
        let tail = self.tail(known.day, &known).await?;
        if tail.sequence >= taken {
            return Ok(tail);
        }
        // A store that lists late. It is asked again in a while.
        let path = self.path(known.day, taken).to_string();
        Err(StoreError::NotFound { path, source: "it is there and not listed".into() })
    }

    /// Writes a lease under a number, if it is free.
    pub(super) async fn put(&self, day: NaiveDate, sequence: u64, lease: &Lease) -> Result<Put, StoreError> {
        let body = encode(lease).map_err(damaged)?;
        match self.store.put_opts(&self.path(day, sequence), PutPayload::from(body), PutMode::Create.into()).await {
            Ok(_) => Ok(Put::Written),
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => Ok(Put::Taken),
            Err(error) => Err(error),
        }
    }

    /// Removes the days before yesterday. What cannot be removed stays for the next day.
    pub(super) async fn forget_before(self, day: NaiveDate) {
        let forgotten = async {
            for folder in self.store.list_with_delimiter(Some(&self.prefix)).await?.common_prefixes {
                let of: Option<NaiveDate> = folder.filename().and_then(|name| name.parse().ok());
                if of.is_some_and(|of| day - of >= KEPT) {
                    let leases = self.store.list(Some(&folder)).map_ok(|object| object.location).boxed();
                    self.store.delete_stream(leases).try_for_each(|_| async { Ok(()) }).await?;
                }
            }
            Ok::<_, StoreError>(())
        };
        if let Err(error) = forgotten.await {
            debug!(%error, "old leases of the quota ledger stay");
        }
    }

    /// The last number after one, and the last lease after it that can be read.
    async fn last(&self, day: NaiveDate, after: u64) -> Result<Option<(u64, Option<Lease>)>, StoreError> {
        let folder = self.prefix.clone().join(day.to_string());
        let mut objects = self.store.list_with_offset(Some(&folder), &self.path(day, after));
        let mut sequences = Vec::new();
        while let Some(object) = objects.try_next().await? {
            let sequence = object.location.filename().and_then(|name| name.strip_suffix(".json")?.parse().ok());
            sequences.extend(sequence.filter(|&sequence: &u64| sequence > after && sequence < u64::MAX));
        }
        sequences.sort_unstable();
        let Some(&last) = sequences.last() else { return Ok(None) };
        for sequence in sequences.into_iter().rev() {
            let path = self.path(day, sequence);
            if let Some(lease) = decode(&self.store.get(&path).await?.bytes().await?) {
                return Ok(Some((last, Some(lease))));
            }
            error!(%path, "a lease of the quota ledger is damaged; the one before it counts");
        }
        Ok(Some((last, None)))
    }

    fn path(&self, day: NaiveDate, sequence: u64) -> Path {
        self.prefix.clone().join(day.to_string()).join(format!("{sequence:020}.json"))
    }
}

/// Names the checksum, which is the last key.
const CHECK: &str = ",\"check\":\"";

pub(super) fn encode(lease: &Lease) -> serde_json::Result<Vec<u8>> {
    let json = serde_json::to_string(lease)?;
    let body = json.strip_suffix('}').unwrap_or(&json);
    Ok(format!("{body}{CHECK}{}\"}}", checksum(body.as_bytes())).into_bytes())
}

/// Reads a lease; `None` where it is not what was written. The first versions wrote no checksum.
pub(super) fn decode(body: &[u8]) -> Option<Lease> {
    let text = std::str::from_utf8(body).ok()?;
    if let Some((body, check)) = text.rsplit_once(CHECK)
        && check.trim_end_matches(['}', '"']) != checksum(body.as_bytes())
    {
        return None;
    }
    serde_json::from_str(text).ok()
}

fn damaged(error: serde_json::Error) -> StoreError {
    StoreError::Generic { store: "quota ledger", source: error.into() }
}
