//! Changing the account of a running sandbox and moving its clock, and what the account holds now.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Sandbox, Service};
use crate::account::{Campaign, Census, ContactList, Members, TrackingActivity};
use crate::change::Change;
use crate::edited::{EditedAccount, EditedContact};
use crate::edits::{Edits, Waiting};
use crate::error::SandboxError;
use crate::gate::{API, lock};
use crate::refusal::Refusal;

impl Sandbox {
    /// Sets the server's clock, which then stands still: for the `Date` header, cursors, tokens and the day of the quota.
    pub fn set_time(&self, time: DateTime<Utc>) {
        *lock(&self.service.time) = Some(time);
    }

    /// Sets it just before the `request`-th request from now to a path, in the order of what else waits for that request,
    /// as [`edit_before`](Self::edit_before) does: pages that take their time.
    pub fn set_time_before(&self, path: &str, request: u64, time: DateTime<Utc>) {
        self.wait(path, request, Waiting::Time(time));
    }

    /// The server's clock.
    pub fn time(&self) -> DateTime<Utc> {
        self.service.time()
    }

    /// Changes the account now. `at` is the moment that the rows will show, to the second; it may lie before what was there
    /// already. The first change copies the generated account into memory, so change small ones, and not for the first time
    /// while a filtered crawl is under way: positional cursors count all contacts until then, and matches from then on.
    ///
    /// # Errors
    /// The change is about something that is not there, or creates what is. Then nothing changed.
    pub fn edit(&self, at: DateTime<Utc>, change: &Change) -> Result<(), SandboxError> {
        let service = &self.service;
        lock(&service.edits).make(&service.account, &service.config.quirks, at, change)
    }

    /// Changes the account just before the `request`-th request from now, counted from 1, to a path such as `/contacts`:
    /// between two pages of one crawl, say. Requests that are refused or meet a fault do not count. A change that cannot be
    /// made by then answers the request with a 400 that says why.
    pub fn edit_before(&self, path: &str, request: u64, at: DateTime<Utc>, change: Change) {
        self.wait(path, request, Waiting::Change(at, change));
    }

    fn wait(&self, path: &str, request: u64, what: Waiting) {
        let path = format!("{}{}", API.trim_end_matches('/'), path);
        lock(&self.service.edits).wait(&self.service.account, path, request, what);
    }

    /// Does what still waits for a request, since nobody sent it: in the order of the requests.
    ///
    /// # Errors
    /// As [`edit`](Self::edit); what comes after the change that cannot be made is lost.
    pub fn wait_no_longer(&self) -> Result<(), SandboxError> {
        let mut edits = lock(&self.service.edits);
        let due = edits.all();
        self.service.carry_out(&mut edits, due)
    }

    /// Every contact that the account holds now, deleted ones included, with all sub-resources, in the order of the API.
    pub fn contacts_now(&self) -> Vec<Value> {
        let account = &self.service.account;
        let generated = || (0..account.contacts()).map(|position| EditedContact::generated(account, position).json());
        lock(&self.service.edits)
            .account()
            .map_or_else(|| generated().collect(), |edited| edited.contacts().iter().map(EditedContact::json).collect())
    }

    /// Every list of the email channel that the account holds now, deleted ones included, with `membership_count` of all
    /// members, by ascending id.
    pub fn lists_now(&self) -> Vec<ContactList> {
        let edits = lock(&self.service.edits);
        let members = self.service.census(&edits).lists.clone();
        let lists = self.service.lists(&edits);
        let counted = |(list, members): (&ContactList, Members)| ContactList {
            membership_count: Some(members.all),
            ..list.clone()
        };
        lists.iter().zip(members).map(counted).collect()
    }

    /// Every campaign that the account holds now, newest first.
    pub fn campaigns_now(&self) -> Vec<Campaign> {
        let edits = lock(&self.service.edits);
        self.service.campaigns(&edits).to_vec()
    }

    /// Every tracked event of a contact that the account holds now, newest first; none for an unknown contact.
    pub fn activities_now(&self, contact_id: &str) -> Vec<TrackingActivity> {
        let account = &self.service.account;
        match lock(&self.service.edits).account() {
            Some(edited) => {
                let events = edited.contact(contact_id).map(|contact| edited.events(account, contact));
                events.iter().flatten().map(|event| event.activity(contact_id, true)).collect()
            }
            None => account.index_of(contact_id).map(|index| account.activities(index)).unwrap_or_default(),
        }
    }
}

impl Service {
    /// Lists of the email channel as they are now.
    pub(super) fn lists<'a>(&'a self, edits: &'a Edits) -> &'a [ContactList] {
        edits.account().map_or_else(|| self.account.lists(), EditedAccount::lists)
    }

    /// Campaigns as they are now.
    pub(super) fn campaigns<'a>(&'a self, edits: &'a Edits) -> &'a [Campaign] {
        edits.account().map_or_else(|| self.account.campaigns(), EditedAccount::campaigns)
    }

    /// Counts as they are now.
    pub(super) fn census(&self, edits: &Edits) -> Cow<'_, Census> {
        match edits.account() {
            Some(edited) => Cow::Owned(edited.census(&self.account, self.now())),
            None => Cow::Borrowed(self.account.census()),
        }
    }

    /// Does what waited for a request to this path. A change that cannot be made refuses the request, so that no test goes
    /// on without it.
    pub(crate) fn before(&self, path: &str) -> Result<(), Refusal> {
        let mut edits = lock(&self.edits);
        let due = edits.due(path);
        self.carry_out(&mut edits, due).map_err(|error| Refusal::Invalid(error.to_string()))
    }

    fn carry_out(&self, edits: &mut Edits, due: Vec<Waiting>) -> Result<(), SandboxError> {
        for what in due {
            match what {
                Waiting::Change(at, change) => edits.make(&self.account, &self.config.quirks, at, &change)?,
                Waiting::Time(time) => *lock(&self.time) = Some(time),
            }
        }
        Ok(())
    }
}
