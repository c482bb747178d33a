//! What the contacts of an edited account did: the events that were generated, and those that were added.

use std::cmp::Reverse;

use super::{EditedAccount, EditedContact};
use crate::account::{Account, ActivitySummary, Event, OpenAndClickRates, millis};

/// An event that was added.
#[derive(Debug, Clone)]
pub(super) struct Tracked {
    pub(super) at: i64,
    pub(super) kind: &'static str,
    pub(super) activity_id: String,
    pub(super) activity_name: String,
}

impl EditedAccount {
    /// Every tracked event of a contact, newest first; of the same second, the one that was added last comes first.
    pub(crate) fn events<'a>(&'a self, generated: &'a Account, contact: &EditedContact) -> Vec<Event<'a>> {
        let added = self.tracked.get(contact.id()).into_iter().flatten().rev().map(|event| Event {
            at: event.at,
            kind: event.kind,
            activity_id: &event.activity_id,
            activity_name: &event.activity_name,
        });
        let mut events: Vec<Event<'_>> = added.collect();
        events.extend(contact.index.into_iter().flat_map(|index| generated.events(index)));
        events.sort_by_key(|event| Reverse(event.at));
        events
    }

    /// What a contact did with each campaign that was sent to it from `start` to `end`, both included and in milliseconds
    /// since 1970 UTC, newest first.
    pub(crate) fn activity_summary(
        &self,
        generated: &Account,
        contact: &EditedContact,
        start: i64,
        end: i64,
    ) -> Vec<ActivitySummary> {
        let events = self.events(generated, contact);
        let sends = events.iter().filter(|event| event.kind == "em_sends");
        let within = sends.filter(|send| (start..=end).contains(&(send.at * 1_000)));
        let summary = |send: &Event<'_>| {
            let count = |kind: &str| {
                let same = |event: &&Event<'_>| event.activity_id == send.activity_id && event.kind == kind;
                u32::try_from(events.iter().filter(same).count()).unwrap_or(u32::MAX)
            };
            ActivitySummary {
                campaign_activity_id: send.activity_id.to_owned(),
                start_on: millis(send.at),
                em_bounces: count("em_bounces"),
                em_clicks: count("em_clicks"),
                em_forwards: count("em_forwards"),
                em_opens: count("em_opens"),
                em_sends: count("em_sends"),
                em_unsubscribes: count("em_optouts"),
            }
        };
        within.map(summary).collect()
    }

    /// How often a contact opened and clicked what was sent to it in the same period.
    pub(crate) fn open_and_click_rates(
        &self,
        generated: &Account,
        contact: &EditedContact,
        start: i64,
        end: i64,
    ) -> OpenAndClickRates {
        let rows = self.activity_summary(generated, contact, start, end);
        let count = |choose: fn(&ActivitySummary) -> bool| {
            u32::try_from(rows.iter().filter(|row| choose(row)).count()).unwrap_or(u32::MAX)
        };
        OpenAndClickRates::of(
            contact.id(),
            count(|_| true),
            count(|row| row.em_opens > 0),
            count(|row| row.em_clicks > 0),
        )
    }
}
