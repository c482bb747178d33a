//! The right to renew one generation of an account's token, and what may be done with it: claimed before the token is
//! sent, given up where nothing came of it, and used up by storing what came.

use std::time::Duration;

use super::bucket::SLACK;
use super::folder::Lock;
use super::{Accounts, Claim, Place, Record, check_name, on_disk};
use crate::{Clock, ExtractError};

/// What came of asking for a turn.
#[derive(Debug)]
pub(crate) enum Claimed {
    /// It is this process' turn.
    Mine(Box<Turn>),
    /// The generation is not the newest any more.
    Newer,
    /// Another process is renewing the token, and waiting for it was not asked for.
    Busy,
}

/// The right to renew one generation.
#[derive(Debug)]
pub(crate) struct Turn {
    /// The generation, with the claims on it, this process' among them.
    pub(crate) record: Record,
    /// This process' claim.
    pub(crate) claim: Claim,
    pub(super) hold: Hold,
}

/// What keeps others away.
#[derive(Debug)]
pub(super) enum Hold {
    /// Nothing: there are no others.
    Memory,
    /// A lock, which ends with the process.
    File { _lock: Lock },
    /// Claims by these numbers, which end with their time.
    Object { attempts: Vec<u32> },
}

impl Turn {
    /// Who claimed the generation before and never stored an answer.
    pub(crate) fn unfinished(&self) -> Vec<Claim> {
        self.record.claims.iter().filter(|claim| claim.id != self.claim.id).cloned().collect()
    }
}

impl Accounts {
    /// Claims a generation, durably, so that nobody else sends its refresh token. `answer_within` is how long an answer
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
            Place::Memory(memory) => {
                let record = memory.record();
                Ok(Claimed::Mine(Box::new(Turn { record, claim, hold: Hold::Memory })))
            }
            Place::Folder(folder) => {
                let lock = if urgent { Some(folder.lock(account).await?) } else { folder.try_lock(account)? };
                let Some(lock) = lock else { return Ok(Claimed::Busy) };
                let account = account.to_owned();
                on_disk(folder, move |folder| {
                    let record = folder.read(&account)?.filter(|record| record.sign_in.generation == generation);
                    let Some(mut record) = record else { return Ok(Claimed::Newer) };
                    record.claim(claim.clone());
                    folder.write(&record)?;
                    Ok(Claimed::Mine(Box::new(Turn { record, claim, hold: Hold::File { _lock: lock } })))
                })
                .await
            }
            Place::Bucket(bucket) => bucket.claim(account, generation, urgent, claim).await,
        }
    }

    /// Makes sure that the turn holds for another answer. `false`: somebody else has taken over.
    ///
    /// # Errors
    /// The claim cannot be written; nothing may be sent.
    pub(crate) async fn claim_again(&self, turn: &mut Turn) -> Result<bool, ExtractError> {
        let (Place::Bucket(bucket), Hold::Object { attempts }) = (&*self.0, &turn.hold) else { return Ok(true) };
        let next = bucket.claim_again(turn, attempts.last().copied().unwrap_or_default()).await?;
        if let (Some(next), Hold::Object { attempts }) = (next, &mut turn.hold) {
            attempts.push(next);
        }
        Ok(next.is_some())
    }

    /// Gives the turn up. `unsent` is where the server has certainly not used the token up: then the claim is forgotten.
    ///
    /// # Errors
    /// It cannot be written; the claim then stands until its time is over.
    pub(crate) async fn give_up(&self, turn: Turn, unsent: bool) -> Result<(), ExtractError> {
        match (&*self.0, &turn.hold) {
            (Place::Bucket(bucket), Hold::Object { attempts }) => bucket.release(&turn, attempts, unsent).await,
            (Place::Folder(folder), Hold::File { .. }) if unsent => {
                let mut turn = turn;
                turn.record.claims.retain(|claim| claim.id != turn.claim.id);
                on_disk(folder, move |folder| folder.write(&turn.record)).await
            }
            _ => Ok(()),
        }
    }

    /// Stores what came, durably, as the generation after the turn's. `false`: somebody else was faster, and theirs is
    /// there.
    ///
    /// # Errors
    /// It cannot be written; what was there is still there.
    pub(crate) async fn save(&self, turn: &Turn, record: &Record) -> Result<bool, ExtractError> {
        match &*self.0 {
            Place::Memory(memory) => memory.replace(record.clone()),
            Place::Folder(folder) => {
                let record = record.clone();
                on_disk(folder, move |folder| folder.write(&record)).await?;
            }
            Place::Bucket(bucket) => return bucket.save(record, turn.record.sign_in.generation).await,
        }
        Ok(true)
    }

    /// Forgets what was kept in case that a generation would not work: it has worked.
    ///
    /// # Errors
    /// It cannot be written, which does no harm.
    pub(crate) async fn confirm(&self, account: &str, generation: u64) -> Result<(), ExtractError> {
        match &*self.0 {
            Place::Memory(memory) => {
                let mut record = memory.record();
                record.previous = None;
                memory.replace(record);
                Ok(())
            }
            Place::Folder(folder) => {
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
            Place::Bucket(bucket) => bucket.confirm(account, generation).await,
        }
    }
}
