//! Email campaigns and landing pages.

use serde::Serialize;

use super::identity::random_id;
use super::lists::numbered;
use super::moments::{self, DAY};
use super::{Account, names};
use crate::draws::{Draws, Topic};

/// A campaign as `/emails` sends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the vendor's names")]
pub struct Campaign {
    pub campaign_id: String,
    pub created_at: String,
    /// `Draft`, `Scheduled`, `Done`, `Error` or `Removed`.
    pub current_status: String,
    pub name: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub type_code: u32,
    pub updated_at: String,
    /// The activity that went out; sent only by `/emails/{campaign_id}`.
    #[serde(skip)]
    pub primary_activity_id: String,
    /// The activity behind the permanent link; sent only by `/emails/{campaign_id}`.
    #[serde(skip)]
    pub permalink_activity_id: String,
    /// When it went out, if it did, in seconds since 1970 UTC.
    #[serde(skip)]
    pub sent: Option<i64>,
    /// `updated_at` in seconds since 1970 UTC.
    #[serde(skip)]
    pub(crate) updated: i64,
}

/// A landing page, which contacts open, click and sign up on.
#[derive(Debug, Clone)]
pub(crate) struct LandingPage {
    pub(crate) activity_id: String,
    pub(crate) name: &'static str,
}

/// Time over which the campaigns that there were on the anchor day had been created.
const HISTORY: i64 = 730 * DAY;

const KINDS: &[(&str, u32)] =
    &[("NEWSLETTER", 10), ("NEWSLETTER", 10), ("CUSTOM_CODE_EMAIL", 26), ("ANNOUNCEMENT", 11), ("AB_TEST", 57)];

/// Campaigns, newest first, the order in which the API sends them.
pub(super) fn campaigns(account: &Account, anchored: u32) -> Vec<Campaign> {
    let every = HISTORY / i64::from(anchored.max(1));
    let later = if anchored == 0 { 0 } else { (account.now - account.anchor) / every };
    let count = u64::from(anchored) + later.unsigned_abs();
    let campaign = |index: u64| {
        let begun = account.anchor + (index.cast_signed() - i64::from(anchored)) * every;
        campaign(account, index, begun, every)
    };
    (0..count).rev().map(campaign).collect()
}

fn campaign(account: &Account, index: u64, begun: i64, every: i64) -> Campaign {
    let mut draws = Draws::new(account.seed, Topic::CampaignCatalogue, index);
    let created = begun + draws.between(0, every / 2);
    let fate = draws.below(100);
    let planned = created + draws.between(3_600, 3 * DAY);
    let removed = planned + draws.between(DAY, 60 * DAY);
    let never_sent = fate < 6;
    let sent = (!never_sent && planned < account.now).then_some(planned);
    let (current_status, updated) = match (fate, sent) {
        (0..4, _) => ("Draft", created + draws.between(0, 3_600)),
        (4..6, _) => ("Error", created + draws.between(0, 3_600)),
        (6..10, Some(_)) if removed < account.now => ("Removed", removed),
        (_, Some(sent)) => ("Done", sent + 60),
        (_, None) => ("Scheduled", created + draws.between(0, 3_600)),
    };
    let (kind, type_code) = draws.pick(KINDS);
    Campaign {
        campaign_id: random_id(&mut draws),
        created_at: moments::millis(created),
        current_status: current_status.to_owned(),
        name: numbered(names::CAMPAIGNS, index),
        kind,
        type_code,
        updated_at: moments::millis(updated.min(account.now - 1)),
        primary_activity_id: random_id(&mut draws),
        permalink_activity_id: random_id(&mut draws),
        sent,
        updated: updated.min(account.now - 1),
    }
}

/// The landing pages of the account.
pub(super) fn landing_pages(account: &Account) -> Vec<LandingPage> {
    let mut draws = Draws::new(account.seed, Topic::LandingPages, 0);
    let pages = ["Sign up for our newsletter", "Spring Sale 🌷", "Webinar registration"];
    pages.into_iter().map(|name| LandingPage { activity_id: random_id(&mut draws), name }).collect()
}
