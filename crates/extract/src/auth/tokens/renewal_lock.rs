//! The right to renew one generation of an account's token, and what may be done with it: claimed before the token is
//! sent, given up where nothing came of it, and used up by storing what came.

use std::time::Duration;

use super::folder::Lock;
use super::objects::SLACK;
use super::{AccountStore, Accounts, Claim, Record, check_name, on_disk};
use crate::{Clock, ExtractError};

/// What came of trying to lock a generation.
#[derive(Debug)]
pub(crate) enum Claimed {
    /// This process holds the lock.
    Mine(Box<RenewalLock>),
    /// The generation is not the newest any more.
    Newer,
    /// Another process is renewing the token, and waiting for it was not asked for.
    Busy,
}

/// The right to renew one generation.
#[derive(Debug)]
pub(crate) struct RenewalLock {
    /// The generation, with the claims on it, this process' among them.
    pub(crate) record: Record,
    /// This process' claim.
    pub(crate) claim: Claim,
    pub(super) hold: LockKind,
}

/// What keeps others away.
#[derive(Debug)]
pub(super) enum LockKind {
    /// Nothing: there are no others.
    Memory,
    /// A lock, which ends with the process.
    File { _lock: Lock },
    /// Claims by these numbers, which end with their time.
    Object { attempts: Vec<u32> },
}

impl RenewalLock {
    /// Who claimed the generation before and never stored a response.
    pub(crate) fn unfinished(&self) -> Vec<Claim> {
        self.record.claims.iter().filter(|claim| claim.id != self.claim.id).cloned().collect()
    }
}

impl Accounts {
    /// Claims a generation, durably, so that nobody else sends its refresh token. `answer_within` is how long a response
    /// can take; `urgent` waits for whoever is at it.
    ///
    /// # Errors
    /// The claim cannot be written; nothing may be sent.
    pub(crate) async fn claim(
        &self,
        account: &str,
        generation: u64,
        urgent: bool,
        answer_within: Duration,
        clock: &Clock,
    ) -> Result<Claimed, ExtractError> {
        check_name(account)?;
        let claim = Claim::new(clock.now(), answer_within + SLACK);
        match &*self.0 {
            AccountStore::Memory(memory) => {
                let record = memory.record();
                Ok(Claimed::Mine(Box::new(RenewalLock { record, claim, hold: LockKind::Memory })))
            }
            AccountStore::Folder(folder) => {
                let lock = if urgent { Some(folder.lock(account).await?) } else { folder.try_lock(account)? };
                let Some(lock) = lock else { return Ok(Claimed::Busy) };
                let account = account.to_owned();
                on_disk(folder, move |folder| {
                    let record = folder.read(&account)?.filter(|record| record.sign_in.generation == generation);
                    let Some(mut record) = record else { return Ok(Claimed::Newer) };
                    record.claim(claim.clone());
                    folder.write(&record)?;
                    Ok(Claimed::Mine(Box::new(RenewalLock { record, claim, hold: LockKind::File { _lock: lock } })))
                })
                .await
            }
            AccountStore::Objects(bucket) => bucket.claim(account, generation, urgent, claim).await,
        }
    }

    /// Makes sure that the lock holds for another response. `false`: somebody else has taken over.
    ///
    /// # Errors
    /// The claim cannot be written; nothing may be sent.
    pub(crate) async fn claim_again(&self, lock: &mut RenewalLock) -> Result<bool, ExtractError> {
        let (AccountStore::Objects(bucket), LockKind::Object { attempts }) = (&*self.0, &lock.hold) else {
            return Ok(true);
        };
        let next = bucket.claim_again(lock, attempts.last().copied().unwrap_or_default()).await?;
        if let (Some(next), LockKind::Object { attempts }) = (next, &mut lock.hold) {
            attempts.push(next);
        }
        Ok(next.is_some())
    }

    /// Gives the lock up. `unsent` is where the server has certainly not used the token up: then the claim is forgotten.
    ///
    /// # Errors
    /// It cannot be written; the claim then stands until its time is over.
    pub(crate) async fn give_up(&self, lock: RenewalLock, unsent: bool) -> Result<(), ExtractError> {
        match (&*self.0, &lock.hold) {
            (AccountStore::Objects(bucket), LockKind::Object { attempts }) => {
                bucket.release(&lock, attempts, unsent).await
            }
            (AccountStore::Folder(folder), LockKind::File { .. }) if unsent => {
                let mut lock = lock;
                lock.record.claims.retain(|claim| claim.id != lock.claim.id);
                on_disk(folder, move |folder| folder.write(&lock.record)).await
            }
            _ => Ok(()),
        }
    }

    /// Stores what came, durably, as the generation after the locked one. `false`: somebody else was faster, and theirs is
    /// there.
    ///
    /// # Errors
    /// It cannot be written; what was there is still there.
    pub(crate) async fn save(&self, lock: &RenewalLock, record: &Record) -> Result<bool, ExtractError> {
        match &*self.0 {
            AccountStore::Memory(memory) => memory.replace(record.clone()),
            AccountStore::Folder(folder) => {
                let record = record.clone();
                on_disk(folder, move |folder| folder.write(&record)).await?;
            }
            AccountStore::Objects(bucket) => return bucket.save(record, lock.record.sign_in.generation).await,
        }
        Ok(true)
    }

    /// Forgets what was kept in case that a generation would not work: it has worked.
    ///
    /// # Errors
    /// It cannot be written, which does no harm.
    pub(crate) async fn confirm(&self, account: &str, generation: u64) -> Result<(), ExtractError> {
        match &*self.0 {
            AccountStore::Memory(memory) => {
                let mut record = memory.record();
                record.previous = None;
                memory.replace(record);
                Ok(())
            }
            AccountStore::Folder(folder) => {
                let account = account.to_owned();
                on_disk(folder, move |folder| {
                    // Whoever holds the lock is writing a newer generation.
                    let Some(_lock) = folder.try_lock(&account)? else { return Ok(()) };
                    let record = folder.read(&account)?.filter(|record| record.sign_in.generation == generation);
                    let Some(mut record) = record else { return Ok(()) };
                    if record.previous.take().is_some() { folder.write(&record) } else { Ok(()) }
                })
                .await
            }
            AccountStore::Objects(bucket) => bucket.confirm(account, generation).await,
        }
    }
}
