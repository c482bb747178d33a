//! Engagement by contact and by campaign: what was sent, opened and clicked, how often and when.
//!
//! Events say most. Where a pipeline reads only their counts per period, the same columns come from there, as far as it has
//! them. The current view of counts has a contact and a campaign once, whatever periods were asked for.

use std::collections::BTreeMap;

use ctct_catalog::{Activity, Report, Role};

use super::script::Script;
use super::table::ACCOUNT;
use crate::dialect::{SqlType, ViewColumn};

/// Where the numbers come from.
#[derive(Debug)]
pub(crate) struct EngagementSource<'a> {
    /// The table.
    table: &'a str,
    contact: &'a str,
    /// The column of the campaign activity.
    campaign: &'a str,
    /// Types of events, or columns of counts.
    activities: BTreeMap<Activity, &'a str>,
    rows: SourceRows<'a>,
}

/// What a row is.
#[derive(Debug)]
enum SourceRows<'a> {
    /// An event; with the columns of its type, its moment, and the campaign activity's name.
    Event { kind: &'a str, at: &'a str, name: &'a str },
    /// Numbers of events; with the column of the last time that an email was sent.
    Counts { last_sent: &'a str },
}

impl<'a> EngagementSource<'a> {
    /// A report with a row per event.
    pub(crate) fn events(report: &'a Report) -> Option<Self> {
        let column = |role| report.roles_of(&report.name)?.column(role);
        let (kind, at) = (column(Role::EventType)?, column(Role::EventTime)?);
        Self::of(report, SourceRows::Event { kind, at, name: column(Role::CampaignActivityName)? })
    }

    /// A report with counts of events.
    pub(crate) fn counts(report: &'a Report) -> Option<Self> {
        let last_sent = report.roles_of(&report.name)?.column(Role::LastSentAt)?;
        Self::of(report, SourceRows::Counts { last_sent })
    }

    fn of(report: &'a Report, rows: SourceRows<'a>) -> Option<Self> {
        let roles = report.roles_of(&report.name)?;
        let (contact, campaign) = (roles.column(Role::ContactId)?, roles.column(Role::CampaignActivityId)?);
        Some(Self { table: roles.table(), contact, campaign, activities: report.activities(), rows })
    }
}

/// Counts of each activity: the column, the activity, what it counts.
const COUNTS: [(&str, Activity, &str); 10] = [
    ("sends", Activity::Sends, "Emails that were sent."),
    ("opens", Activity::Opens, "Opens, repeated ones included."),
    ("clicks", Activity::Clicks, "Clicks on links, repeated ones included."),
    ("bounces", Activity::Bounces, "Emails that bounced."),
    ("optouts", Activity::Optouts, "Times that a contact unsubscribed."),
    ("forwards", Activity::Forwards, "Times that an email was forwarded."),
    ("page_opens", Activity::PageOpens, "Opens of landing pages."),
    ("page_clicks", Activity::PageClicks, "Clicks on landing pages."),
    ("page_adds", Activity::PageAdds, "Contacts that a landing page added."),
    ("page_updates", Activity::PageUpdates, "Contacts that a landing page changed."),
];

/// Activities that are counted once each, with the times of the first and the last: the column of the count, the activity,
/// and the word in the names of the times.
const UNIQUE: [(&str, Activity, &str); 3] = [
    ("unique_sends", Activity::Sends, "sent"),
    ("unique_opens", Activity::Opens, "opened"),
    ("unique_clicks", Activity::Clicks, "clicked"),
];

/// Writes `engagement_per_contact` and `engagement_per_campaign`; `campaigns` is the report of campaigns, where there is one.
pub(crate) fn views(script: &mut Script, source: &EngagementSource<'_>, campaigns: Option<&Report>) {
    let (columns, select) = grouped(script, source, By::Contact, "The contact.");
    script.view("engagement_per_contact", "What each contact did with the emails sent to it.", &columns, &select);

    let (columns, select) = grouped(script, source, By::Campaign, "The campaign activity.");
    let known = match source.rows {
        SourceRows::Event { name, .. } => {
            campaigns.and_then(|campaigns| with_campaigns(script, campaigns, name, &columns, &select))
        }
        SourceRows::Counts { .. } => None,
    };
    let (columns, select) = known.unwrap_or((columns, select));
    script.view("engagement_per_campaign", "What contacts did with each campaign activity.", &columns, &select);
}

/// What there is a row for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Contact,
    Campaign,
}

/// One row per contact or campaign activity; the others are counted once each.
fn grouped(script: &Script, source: &EngagementSource<'_>, of: By, doc: &str) -> (Vec<ViewColumn>, String) {
    let (by, other) = match of {
        By::Contact => (source.contact, source.campaign),
        By::Campaign => (source.campaign, source.contact),
    };
    let rows = script.name(&format!("{}_current", source.table));
    let name = |name: &str| script.dialect.name(name);
    let mut columns =
        vec![ViewColumn::new(ACCOUNT, SqlType::Text, "Label of the account."), ViewColumn::new(by, SqlType::Text, doc)];
    let mut select = vec![format!("e.{}", name(ACCOUNT)), format!("e.{}", name(by))];
    let mut add = |column: ViewColumn, expression: String| {
        select.push(format!("{expression} AS {}", name(&column.name)));
        columns.push(column);
    };
    let whole = script.dialect.kind(SqlType::Whole);
    if let (SourceRows::Event { name: of_activity, .. }, By::Campaign) = (&source.rows, of) {
        let label = ViewColumn::new(*of_activity, SqlType::Text, "Name of the campaign activity.");
        add(label, format!("max(e.{})", name(of_activity)));
    }
    // Whether a row is of an activity.
    let is = |activity: Activity| {
        let called = source.activities.get(&activity)?;
        Some(match source.rows {
            SourceRows::Event { kind, .. } => format!("e.{} = {}", name(kind), script.dialect.text(called)),
            SourceRows::Counts { .. } => format!("e.{} > 0", name(called)),
        })
    };
    for (column, activity, doc) in COUNTS {
        let (Some(called), Some(is)) = (source.activities.get(&activity), is(activity)) else { continue };
        let expression = match source.rows {
            SourceRows::Event { .. } => format!("count(CASE WHEN {is} THEN 1 END)"),
            SourceRows::Counts { .. } => format!("CAST(sum(e.{}) AS {whole})", name(called)),
        };
        // A campaign activity is an email, and pages have no part in it.
        if of == By::Contact || !column.starts_with("page_") {
            add(ViewColumn::new(column, SqlType::Whole, doc), expression);
        }
    }
    let unique = |activity| is(activity).map(|is| format!("count(DISTINCT CASE WHEN {is} THEN e.{} END)", name(other)));
    for (column, activity, word) in UNIQUE {
        let Some(unique) = unique(activity) else { continue };
        let doc = match (of == By::Contact, word) {
            (true, word) => format!("Different emails that were {word} at least once."),
            (false, "sent") => "Different contacts that it was sent to.".to_owned(),
            (false, word) => format!("Different contacts that {word} it at least once."),
        };
        add(ViewColumn::new(column, SqlType::Whole, doc), unique);
    }
    for (column, activity, doc) in [
        ("open_rate", Activity::Opens, "unique_opens over unique_sends, 0 to 1; null where nothing was sent."),
        ("click_rate", Activity::Clicks, "unique_clicks over unique_sends, 0 to 1; null where nothing was sent."),
    ] {
        let real = script.dialect.kind(SqlType::Real);
        let (Some(unique), Some(sends)) = (unique(activity), unique(Activity::Sends)) else { continue };
        let rate = format!("CAST({unique} AS {real}) / nullif({sends}, 0)");
        add(ViewColumn::new(column, SqlType::Real, doc), rate);
    }
    match source.rows {
        SourceRows::Event { at, .. } => {
            let at = format!("e.{}", name(at));
            for (_, activity, word) in UNIQUE {
                let Some(is) = is(activity) else { continue };
                for (which, aggregate) in [("first", "min"), ("last", "max")] {
                    let expression = format!("{aggregate}(CASE WHEN {is} THEN {at} END)");
                    let doc = format!("When an email was {word} for the {which} time.");
                    add(ViewColumn::new(format!("{which}_{word}_at"), SqlType::Instant, doc), expression);
                }
            }
            for (which, aggregate) in [("first", "min"), ("last", "max")] {
                let doc = format!("When the {which} event of any type happened.");
                add(ViewColumn::new(format!("{which}_event_at"), SqlType::Instant, doc), format!("{aggregate}({at})"));
            }
        }
        SourceRows::Counts { last_sent } => {
            let doc = "When an email was sent for the last time.";
            add(ViewColumn::new("last_sent_at", SqlType::Instant, doc), format!("max(e.{})", name(last_sent)));
        }
    }
    let known = if of == By::Campaign { format!("\nWHERE e.{} IS NOT NULL", name(by)) } else { String::new() };
    let sql = format!(
        "SELECT\n  {}\nFROM {rows} AS e{known}\nGROUP BY e.{}, e.{}",
        select.join(",\n  "),
        name(ACCOUNT),
        name(by)
    );
    (columns, sql)
}

/// Adds what is known of the campaign, which goes by the name: events carry no campaign's id, and an account has a name once.
/// Should it have it twice, because a removed campaign had it before, the campaign that changed last counts.
///
/// `None` where the catalog does not say what the columns are.
fn with_campaigns(
    script: &Script,
    campaigns: &Report,
    activity_name: &str,
    columns: &[ViewColumn],
    select: &str,
) -> Option<(Vec<ViewColumn>, String)> {
    let name = |name: &str| script.dialect.name(name);
    let roles = campaigns.roles_of(&campaigns.name)?;
    let (id, label) = (roles.column(Role::CampaignId)?, roles.column(Role::CampaignName)?);
    let added = [
        ("campaign_id", id, "The campaign of that name; null where none is stored."),
        ("campaign_status", roles.column(Role::CampaignStatus)?, "Status of the campaign."),
        ("campaign_type", roles.column(Role::CampaignType)?, "SqlType of campaign."),
    ];
    let mut shown: Vec<String> = columns.iter().map(|column| format!("g.{}", name(&column.name))).collect();
    shown.extend(added.map(|(column, of, _)| format!("k.{} AS {}", name(of), name(column))));
    let columns =
        columns.iter().cloned().chain(added.map(|(column, _, doc)| ViewColumn::new(column, SqlType::Text, doc)));
    let (account, label) = (name(ACCOUNT), name(label));
    let sql = format!(
        "SELECT\n  {}\nFROM (\n  {}\n) AS g\nLEFT JOIN (\n  SELECT *, row_number() OVER (PARTITION BY {account}, {label} \
         ORDER BY {} DESC, {} DESC) AS {rank}\n  FROM {}\n) AS k\n  ON g.{account} = k.{account} AND g.{} = k.{label} AND k.{rank} = 1",
        shown.join(",\n  "),
        select.replace('\n', "\n  "),
        name(campaigns.changed_columns().first()?),
        name(id),
        script.name(&format!("{}_current", roles.table())),
        name(activity_name),
        rank = name("_rank"),
    );
    Some((columns.collect(), sql))
}
