//! Who reads and writes the reports of an account at this moment, so that a second run says so before its first request.
//!
//! ```text
//! _ctct/.leases/<account>/<number>.json
//! ```
//!
//! Each lease is an object that is created if absent under the next number, by a process that has read all before it, so that
//! of two that want the same report one comes first. It names the reports, and is renewed while its holder lives. The newest
//! object stays when it is given back, so that no number is used twice. A lease spares requests; what keeps rows right is
//! the commit log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{LazyLock, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use object_store::{Error as StoreError, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::destination::Destination;
use crate::destination::folder::{self, STATE_FOLDER};
use crate::error::LoadError;

/// A lease that is not renewed lapses after this time.
const HOLDS: TimeDelta = TimeDelta::seconds(120);

/// Leases that this process holds: a task that has died leaves its process behind.
static HELD_HERE: LazyLock<Mutex<BTreeSet<String>>> = LazyLock::new(Mutex::default);

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Tells it from every other.
    id: String,
    /// The run.
    pub run_id: String,
    /// Name of its pipeline.
    pub pipeline: String,
    /// The reports.
    pub reports: Vec<String>,
    /// Name of the host.
    pub host: String,
    /// Tells hosts, their starts and their spaces of process numbers apart.
    place: String,
    /// Number of the process.
    pub pid: u32,
    /// When the process started, as the system counts it.
    started: Option<String>,
    /// When the lease lapses, by the holder's clock.
    expires_at: DateTime<Utc>,
    /// Whether it was given back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    released: bool,
}

/// A lease that others hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Who.
    pub holder: Holder,
    /// When it lapses if it is not renewed.
    pub until: DateTime<Utc>,
}

/// A lease of this process. Renew it now and then; give it back in the end.
#[derive(Debug)]
pub struct Lease {
    destination: Destination,
    path: String,
    holder: Holder,
}

impl Lease {
    /// Takes the lease on those of the reports that nobody holds, and tells who holds the others; with `all_or_none` on
    /// all of them or on none.
    ///
    /// # Errors
    /// The store fails, or the account's name cannot be a folder.
    pub async fn take(
        destination: &Destination,
        account: &str,
        (run_id, pipeline): (&str, &str),
        reports: &[&str],
        all_or_none: bool,
        now: DateTime<Utc>,
    ) -> Result<(Option<Self>, BTreeMap<String, Held>), LoadError> {
        let root = root(account)?;
        loop {
            let entries = read(destination, &root).await?;
            let mut held = BTreeMap::new();
            for lease in entries.iter().filter_map(|entry| entry.held(now)) {
                for report in lease.holder.reports.iter().filter(|report| reports.contains(&report.as_str())) {
                    held.insert(report.clone(), lease.clone());
                }
            }
            let free: Vec<String> =
                reports.iter().map(|report| (*report).to_owned()).filter(|report| !held.contains_key(report)).collect();
            if free.is_empty() || (all_or_none && !held.is_empty()) {
                return Ok((None, held));
            }
            let holder = Holder::of_this_process(run_id, pipeline, free, now);
            let number = entries.last().map_or(1, |entry| entry.number + 1);
            let path = format!("{root}/{number:020}.json");
            here().insert(holder.id.clone());
            let lease = Self { destination: destination.clone(), path, holder };
            match destination.create(&lease.path, lease.holder.to_json().into()).await {
                Ok(()) => {}
                Err(LoadError::Store { source: StoreError::AlreadyExists { .. }, .. }) => continue,
                Err(error) => return Err(error),
            }
            // What was killed while it wrote a lease. One that is alive writes it again.
            destination.sweep(&root, |_| true).await;
            for entry in entries.iter().filter(|entry| entry.held(now).is_none()) {
                destination.delete(&entry.path).await?;
            }
            return Ok((Some(lease), held));
        }
    }

    /// Holds it for another while. `false`: it is not ours any more, since it had lapsed.
    ///
    /// # Errors
    /// The store fails; the lease holds until it lapses.
    pub async fn renew(&self, now: DateTime<Utc>) -> Result<bool, LoadError> {
        if !self.destination.exists(&self.path).await? {
            return Ok(false);
        }
        let holder = Holder { expires_at: lapses(now), ..self.holder.clone() };
        self.put(&holder).await.map(|()| true)
    }

    /// Gives it back.
    ///
    /// # Errors
    /// The store fails; others wait until it lapses, or until this process has ended.
    pub async fn release(&self) -> Result<(), LoadError> {
        if self.destination.exists(&self.path).await? {
            self.put(&Holder { released: true, ..self.holder.clone() }).await?;
        }
        Ok(())
    }

    async fn put(&self, holder: &Holder) -> Result<(), LoadError> {
        let key = self.destination.key(&self.path)?;
        let put = self.destination.retidied(|| self.destination.pages.put(&key, holder.to_json().into())).await;
        put.map(drop).map_err(self.destination.failed("write", &self.path))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        here().remove(&self.holder.id);
    }
}

/// The leases that are held on reports of an account.
///
/// # Errors
/// The store fails, or the account's name cannot be a folder.
pub async fn leases(destination: &Destination, account: &str, now: DateTime<Utc>) -> Result<Vec<Held>, LoadError> {
    let entries = read(destination, &root(account)?).await?;
    Ok(entries.iter().filter_map(|entry| entry.held(now)).collect())
}

/// Where the leases of an account lie that cannot be read, as people are shown it. Each is nobody's.
///
/// # Errors
/// The store fails, or the account's name cannot be a folder.
pub async fn unreadable_leases(destination: &Destination, account: &str) -> Result<Vec<String>, LoadError> {
    let entries = read(destination, &root(account)?).await?;
    Ok(entries.iter().filter(|entry| entry.holder.is_none()).map(|entry| destination.shown(&entry.path)).collect())
}

/// A lease as it is stored. One that cannot be read is nobody's.
struct StoredLease {
    number: u64,
    path: String,
    /// By the store's clock.
    modified: DateTime<Utc>,
    holder: Option<Holder>,
}

impl StoredLease {
    fn held(&self, now: DateTime<Utc>) -> Option<Held> {
        let holder = self.holder.clone().filter(|holder| !holder.released)?;
        let until = match holder.lives() {
            Some(false) => return None,
            Some(true) => holder.expires_at,
            // The clocks of hosts differ; the store's says when it was last renewed.
            None => holder.expires_at.min(lapses(self.modified)),
        };
        (now < until).then_some(Held { holder, until })
    }
}

impl Holder {
    fn of_this_process(run_id: &str, pipeline: &str, reports: Vec<String>, now: DateTime<Utc>) -> Self {
        let pid = std::process::id();
        Self {
            id: Uuid::now_v7().to_string(),
            run_id: run_id.to_owned(),
            pipeline: pipeline.to_owned(),
            reports,
            host: host(),
            place: place(),
            pid,
            started: started(pid),
            expires_at: lapses(now),
            released: false,
        }
    }

    /// Whether the process is still there; `None` where that cannot be known, as of one on another host.
    fn lives(&self) -> Option<bool> {
        if self.place != place() {
            return None;
        }
        let own = std::process::id();
        if self.pid == own && self.started == started(own) {
            return Some(here().contains(&self.id));
        }
        // A number that another process has now is told by the time of its start.
        self.started.as_ref()?;
        Some(started(self.pid) == self.started)
    }

    fn to_json(&self) -> Vec<u8> {
        // Nothing in it can fail to be written.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }
}

fn here() -> std::sync::MutexGuard<'static, BTreeSet<String>> {
    HELD_HERE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lapses(from: DateTime<Utc>) -> DateTime<Utc> {
    from.checked_add_signed(HOLDS).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn root(account: &str) -> Result<String, LoadError> {
    // No account's folder begins with a dot.
    Ok(format!("{STATE_FOLDER}/.leases/{}", folder::of_name("account", account)?))
}

/// All leases, the oldest first.
async fn read(destination: &Destination, root: &str) -> Result<Vec<StoredLease>, LoadError> {
    let mut entries = Vec::new();
    for object in destination.objects(root).await? {
        let path = destination.relative(&object.location).to_owned();
        let name = path.rsplit('/').next().and_then(|name| name.strip_suffix(".json"));
        let Some(number) = name.and_then(|name| name.parse().ok()) else { continue };
        // Where it is gone by now, whoever came after it has cleared it away.
        let holder = destination.get(&path).await?.and_then(|json| serde_json::from_slice(&json).ok());
        entries.push(StoredLease { number, path, modified: object.last_modified, holder });
    }
    entries.sort_unstable_by_key(|entry| entry.number);
    Ok(entries)
}

fn host() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}

/// Where process numbers mean the same: this start of this host, and on Linux this space of process numbers, since containers
/// have their own.
fn place() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let space = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    match boot.trim() {
        "" => host(),
        boot => format!("{boot} {}", space.display()),
    }
}

/// When a process started, as the system counts it; `None` where there is none, where it has ended and nobody has asked for
/// its exit code, and where the system does not tell.
fn started(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    async fn take(place: &Destination, reports: &[&str], second: i64) -> (Option<Lease>, Vec<String>) {
        let (lease, held) = Lease::take(place, "a", ("run", "p"), reports, false, at(second)).await.unwrap();
        (lease, held.into_keys().collect())
    }

    /// Writes the lease of somebody else.
    async fn put(place: &Destination, change: impl FnOnce(&mut Holder)) {
        let mut holder = Holder::of_this_process("other", "p", vec!["contacts".to_owned()], at(0));
        change(&mut holder);
        place.create("_ctct/.leases/a/00000000000000000001.json", holder.to_json().into()).await.unwrap();
    }

    #[tokio::test]
    async fn one_holds_a_report_at_a_time_and_other_reports_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let on_disk =
            Destination::open(folder.path().to_str().unwrap(), folder.path(), &crate::StoreOptions::default());
        for place in [Destination::in_memory(), on_disk.unwrap()] {
            let (first, held) = take(&place, &["contacts", "lists"], 0).await;
            assert!(first.is_some() && held.is_empty());
            let (second, held) = take(&place, &["lists", "events"], 1).await;
            assert_eq!(
                (second.as_ref().unwrap().holder.reports.as_slice(), held),
                (&["events".to_owned()][..], vec!["lists".to_owned()])
            );
            let (third, held) = take(&place, &["contacts"], 1).await;
            assert!(third.is_none() && held == ["contacts"]);
            let (all, held) = Lease::take(&place, "a", ("run", "p"), &["contacts", "x"], true, at(1)).await.unwrap();
            assert!(all.is_none() && held.len() == 1, "all or none");
            first.unwrap().release().await.unwrap();
            assert!(take(&place, &["contacts"], 1).await.0.is_some());
            // A task that died gives nothing back.
            drop(second);
            assert!(take(&place, &["events"], 1).await.0.is_some());
        }
    }

    #[tokio::test]
    async fn a_dead_process_holds_nothing_and_another_host_until_it_lapses() {
        let gone = |holder: &mut Holder| (holder.pid, holder.started) = (u32::MAX, Some("1".to_owned()));
        let reused = |holder: &mut Holder| (holder.pid, holder.started) = (1, Some("1".to_owned()));
        let elsewhere = |holder: &mut Holder| "another start".clone_into(&mut holder.place);
        for change in [gone, reused] {
            let place = Destination::in_memory();
            put(&place, change).await;
            if started(1).is_some() {
                assert!(take(&place, &["contacts"], 0).await.0.is_some());
            }
        }
        let place = Destination::in_memory();
        put(&place, elsewhere).await;
        let modified = place.objects("_ctct").await.unwrap()[0].last_modified;
        let lapses = at(120).min(modified + HOLDS);
        let until = (lapses - at(0)).num_seconds();
        assert!(take(&place, &["contacts"], until - 1).await.0.is_none());
        assert!(take(&place, &["contacts"], until).await.0.is_some());
    }

    #[tokio::test]
    async fn a_lease_that_is_renewed_holds_on_and_one_that_lapsed_is_not_taken_back() {
        let place = Destination::in_memory();
        let (lease, _) = take(&place, &["contacts"], 0).await;
        let lease = lease.unwrap();
        assert!(lease.renew(at(100)).await.unwrap());
        assert!(take(&place, &["contacts"], 219).await.0.is_none());
        let (other, _) = take(&place, &["contacts"], 220).await;
        assert!(other.is_some());
        assert!(!lease.renew(at(221)).await.unwrap());
    }
}
