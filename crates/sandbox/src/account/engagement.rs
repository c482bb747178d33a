//! What contacts did with campaigns: sends, opens, clicks, bounces, opt-outs, forwards, and visits of landing pages.

use serde::Serialize;

use super::Account;
use super::campaigns::Campaign;
use super::life::Life;
use super::moments::{self, DAY};
use crate::draws::{Draws, Topic};

/// Kinds of tracked events, as the API spells them.
pub const TRACKING_ACTIVITY_TYPES: [&str; 10] = [
    "em_sends",
    "em_opens",
    "em_clicks",
    "em_bounces",
    "em_optouts",
    "em_forwards",
    "p_contact_open",
    "p_contact_click",
    "p_contact_add",
    "p_contact_update",
];

/// One tracked event of a contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the vendor's names")]
pub struct TrackingActivity {
    pub contact_id: String,
    pub campaign_activity_id: String,
    pub created_time: String,
    pub tracking_activity_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaign_activity_name: Option<String>,
}

/// What one contact did with one campaign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the vendor's names")]
pub struct ActivitySummary {
    pub campaign_activity_id: String,
    pub start_on: String,
    pub em_bounces: u32,
    pub em_clicks: u32,
    pub em_forwards: u32,
    pub em_opens: u32,
    pub em_sends: u32,
    pub em_unsubscribes: u32,
}

/// How often a contact opens and clicks what it gets.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the vendor's names")]
pub struct OpenAndClickRates {
    pub contact_id: String,
    pub included_activities_count: u32,
    pub average_open_rate: f64,
    pub average_click_rate: f64,
}

/// An event before it is written down. Ids and names are borrowed: many events are dropped by a filter or a page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event<'a> {
    pub(crate) at: i64,
    pub(crate) kind: &'static str,
    pub(crate) activity_id: &'a str,
    pub(crate) activity_name: &'a str,
}

/// What came of one campaign that was sent to a contact.
#[derive(Debug)]
struct Outcome<'a> {
    campaign: &'a Campaign,
    sent: i64,
    bounced: Option<i64>,
    opens: Vec<i64>,
    clicks: Vec<i64>,
    forwarded: Option<i64>,
    opted_out: Option<i64>,
}

impl Account {
    /// Every tracked event of a contact, newest first.
    pub fn activities(&self, index: u64) -> Vec<TrackingActivity> {
        let contact_id = self.contact_id(index);
        self.events(index).iter().map(|event| event.activity(&contact_id, true)).collect()
    }

    /// What a contact did with each campaign that was sent to it from `start` to `end`, both included and in milliseconds
    /// since 1970 UTC, newest first.
    pub fn activity_summary(&self, index: u64, start: i64, end: i64) -> Vec<ActivitySummary> {
        self.outcomes(index).iter().filter(|outcome| outcome.sent_within(start, end)).map(Outcome::summary).collect()
    }

    /// How often a contact opened and clicked what was sent to it from `start` to `end`, both included and in milliseconds
    /// since 1970 UTC.
    pub fn open_and_click_rates(&self, index: u64, start: i64, end: i64) -> OpenAndClickRates {
        let (mut sent, mut opened, mut clicked) = (0_u32, 0_u32, 0_u32);
        for outcome in self.outcomes(index).iter().filter(|outcome| outcome.sent_within(start, end)) {
            sent += 1;
            opened += u32::from(!outcome.opens.is_empty());
            clicked += u32::from(!outcome.clicks.is_empty());
        }
        OpenAndClickRates::of(&self.contact_id(index), sent, opened, clicked)
    }

    /// Every tracked event of a contact, newest first, not yet written down.
    pub(crate) fn events(&self, index: u64) -> Vec<Event<'_>> {
        let mut events = Vec::with_capacity(48);
        for outcome in self.outcomes(index) {
            outcome.events(&mut events);
        }
        self.visits(index, &mut events);
        // The sort is stable, so that events of the same second keep their order from request to request.
        events.sort_by_key(|event| std::cmp::Reverse(event.at));
        events
    }

    /// The campaigns that were sent to a contact, newest first.
    fn outcomes(&self, index: u64) -> Vec<Outcome<'_>> {
        let life = self.life(index);
        let Some(permission) = life.permission else { return Vec::new() };
        let end = [life.opted_out, life.deleted].into_iter().flatten().fold(self.now, i64::min);
        let mailable = life.opted_out.is_some() || permission.is_active();
        let mut keenness = Draws::new(self.seed, Topic::Engagement, index);
        let opens = keenness.low(900) + 50;
        let mut outcomes = Vec::new();
        for (place, campaign) in (0..).zip(self.campaigns.iter().rev()) {
            let Some(sent) = campaign.sent.filter(|sent| mailable && life.created < *sent && *sent < end) else {
                continue;
            };
            let mut draws = Draws::new(self.seed ^ crate::draws::mix(place), Topic::Sends, index);
            if draws.below(self.sends.0) < self.sends.1 {
                outcomes.push(self.outcome(campaign, sent, opens, &mut draws));
            }
        }
        if let Some(last) = outcomes.last_mut().filter(|_| life.left_by_mail()) {
            last.opted_out = life.opted_out;
        }
        outcomes.reverse();
        outcomes
    }

    fn outcome<'a>(&self, campaign: &'a Campaign, sent: i64, opens: u64, draws: &mut Draws) -> Outcome<'a> {
        let none = Outcome {
            campaign,
            sent,
            bounced: None,
            opens: Vec::new(),
            clicks: Vec::new(),
            forwarded: None,
            opted_out: None,
        };
        if draws.permille(25) {
            return Outcome { bounced: self.past(sent + draws.between(1, 3_600)), ..none };
        }
        if !draws.permille(opens) {
            return none;
        }
        let mut after = |count: u64, from: i64| -> Vec<i64> {
            // Rising by at least a second, so that no two events of a kind share one.
            let mut at = from;
            let mut next = || {
                at += 1 + draws.low(DAY.unsigned_abs()).cast_signed();
                at
            };
            (0..count).map(|_| next()).collect()
        };
        let opens = after(1 + u64::from(sent.rem_euclid(7) == 0) + sent.rem_euclid(2).unsigned_abs(), sent);
        let clicks = after(3, opens.first().copied().unwrap_or(sent));
        let clicked = draws.pick(&[0, 0, 0, 0, 0, 0, 1, 1, 2, 3]);
        let forwarded = draws.permille(15).then(|| opens.last().copied()).flatten();
        Outcome {
            opens: opens.into_iter().filter_map(|at| self.past(at)).collect(),
            clicks: clicks.into_iter().take(clicked).filter_map(|at| self.past(at)).collect(),
            forwarded: forwarded.and_then(|at| self.past(at)),
            ..none
        }
    }

    /// Visits of landing pages: few contacts make any.
    fn visits<'a>(&'a self, index: u64, events: &mut Vec<Event<'a>>) {
        let mut draws = Draws::new(self.seed, Topic::LandingPages, index);
        if !draws.permille(60) {
            return;
        }
        let created = self.life(index).created;
        let Some(page) = self.landing_pages.get(usize::try_from(draws.below(3)).unwrap_or_default()) else { return };
        let kinds = ["p_contact_open", "p_contact_click", "p_contact_add", "p_contact_update"];
        let most = draws.below(4) + 1;
        for (kind, step) in kinds.into_iter().zip(0..most.cast_signed()) {
            let Some(at) = self.past(created + step * draws.between(20, 40 * DAY)) else { continue };
            events.push(Event { at, kind, activity_id: &page.activity_id, activity_name: page.name });
        }
    }

    /// The moment, if the account has come to it.
    fn past(&self, at: i64) -> Option<i64> {
        Some(at).filter(|at| *at < self.now)
    }
}

impl OpenAndClickRates {
    /// The rates of a contact that opened and clicked so many of the campaigns that were sent to it.
    pub(crate) fn of(contact_id: &str, sent: u32, opened: u32, clicked: u32) -> Self {
        let share = |part: u32| if sent == 0 { 0.0 } else { f64::from(part) / f64::from(sent) };
        Self {
            contact_id: contact_id.to_owned(),
            included_activities_count: sent,
            average_open_rate: share(opened),
            average_click_rate: share(clicked),
        }
    }
}

impl Life {
    /// Four of five who unsubscribe do so by the link in an email.
    pub(crate) fn left_by_mail(&self) -> bool {
        self.opted_out.is_some_and(|at| at.rem_euclid(5) != 0)
    }
}

impl Event<'_> {
    pub(crate) fn activity(&self, contact_id: &str, with_name: bool) -> TrackingActivity {
        TrackingActivity {
            contact_id: contact_id.to_owned(),
            campaign_activity_id: self.activity_id.to_owned(),
            created_time: moments::millis(self.at),
            tracking_activity_type: self.kind,
            campaign_activity_name: with_name.then(|| self.activity_name.to_owned()),
        }
    }
}

impl<'a> Outcome<'a> {
    fn sent_within(&self, start: i64, end: i64) -> bool {
        (start..=end).contains(&(self.sent * 1_000))
    }

    fn events(&self, events: &mut Vec<Event<'a>>) {
        let mut push = |kind, at: &i64| {
            let activity_id = self.campaign.primary_activity_id.as_str();
            events.push(Event { at: *at, kind, activity_id, activity_name: &self.campaign.name });
        };
        push("em_sends", &self.sent);
        self.bounced.iter().for_each(|at| push("em_bounces", at));
        self.opens.iter().for_each(|at| push("em_opens", at));
        self.clicks.iter().for_each(|at| push("em_clicks", at));
        self.forwarded.iter().for_each(|at| push("em_forwards", at));
        self.opted_out.iter().for_each(|at| push("em_optouts", at));
    }

    fn summary(&self) -> ActivitySummary {
        let count = |times: &[i64]| u32::try_from(times.len()).unwrap_or(u32::MAX);
        ActivitySummary {
            campaign_activity_id: self.campaign.primary_activity_id.clone(),
            start_on: moments::millis(self.sent),
            em_bounces: u32::from(self.bounced.is_some()),
            em_clicks: count(&self.clicks),
            em_forwards: u32::from(self.forwarded.is_some()),
            em_opens: count(&self.opens),
            em_sends: 1,
            em_unsubscribes: u32::from(self.opted_out.is_some()),
        }
    }
}
