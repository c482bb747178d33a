//! Engagement by contact and by campaign: what was sent, opened and clicked, how often and when.
//!
//! The events of `contact_activity_details` say most. Where a pipeline has only `contact_action_summary`, which counts, the
//! same columns come from there, as far as it has them. Its current view has a contact and a campaign once, whatever periods
//! were asked for.

use super::script::Script;
use super::table::ACCOUNT;
use crate::dialect::{Column, Kind};

const CONTACT: &str = "contact_id";
const CAMPAIGN: &str = "campaign_activity_id";

/// Where the numbers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// `contact_activity_details`.
    Events,
    /// `contact_action_summary`.
    Counts,
}

/// Counts of each kind of event: the column, the event's type, the column of the summary, what it counts.
const COUNTS: [(&str, &str, Option<&str>, &str); 10] = [
    ("sends", "em_sends", Some("em_sends"), "E-mails that were sent."),
    ("opens", "em_opens", Some("em_opens"), "Opens, repeated ones included."),
    ("clicks", "em_clicks", Some("em_clicks"), "Clicks on links, repeated ones included."),
    ("bounces", "em_bounces", Some("em_bounces"), "E-mails that bounced."),
    ("optouts", "em_optouts", Some("em_unsubscribes"), "Times that a contact unsubscribed."),
    ("forwards", "em_forwards", Some("em_forwards"), "Times that an e-mail was forwarded."),
    ("page_opens", "p_contact_open", None, "Opens of landing pages."),
    ("page_clicks", "p_contact_click", None, "Clicks on landing pages."),
    ("page_adds", "p_contact_add", None, "Contacts that a landing page added."),
    ("page_updates", "p_contact_update", None, "Contacts that a landing page changed."),
];

/// Kinds of events that are counted once each, with the times of the first and the last: the column of the count, its
/// event, and the word in the names of the times.
const UNIQUE: [(&str, &str, &str); 3] = [
    ("unique_sends", "em_sends", "sent"),
    ("unique_opens", "em_opens", "opened"),
    ("unique_clicks", "em_clicks", "clicked"),
];

/// Writes `engagement_per_contact` and `engagement_per_campaign`. `campaigns` says whether there is a view of campaigns.
pub(crate) fn views(script: &mut Script, source: Source, campaigns: bool) {
    let rows = match source {
        Source::Events => script.name("contact_activity_details_current"),
        Source::Counts => script.name("contact_action_summary_current"),
    };
    let (columns, select) = grouped(script, source, &rows, CONTACT, CAMPAIGN, "The contact.");
    script.view("engagement_per_contact", "What each contact did with what was sent to it.", &columns, &select);

    let (columns, select) = grouped(script, source, &rows, CAMPAIGN, CONTACT, "The campaign activity.");
    let (columns, select) = match source {
        Source::Events if campaigns => with_campaigns(script, &columns, &select),
        _ => (columns, select),
    };
    script.view("engagement_per_campaign", "What contacts did with each campaign activity.", &columns, &select);
}

/// One row for each value of `by`; `other` are counted once each.
fn grouped(script: &Script, source: Source, rows: &str, by: &str, other: &str, doc: &str) -> (Vec<Column>, String) {
    let name = |name: &str| script.dialect.name(name);
    let mut columns = vec![Column::new(ACCOUNT, Kind::Text, "Label of the account."), Column::new(by, Kind::Text, doc)];
    let mut select = vec![format!("e.{}", name(ACCOUNT)), format!("e.{}", name(by))];
    let mut add = |column: Column, expression: String| {
        select.push(format!("{expression} AS {}", name(&column.name)));
        columns.push(column);
    };
    let kind = format!("e.{}", name("tracking_activity_type"));
    let at = format!("e.{}", name("created_time"));
    let whole = script.dialect.kind(Kind::Whole);
    if source == Source::Events && by == CAMPAIGN {
        let label = Column::new("campaign_activity_name", Kind::Text, "Name of the campaign activity.");
        add(label, format!("max(e.{})", name("campaign_activity_name")));
    }
    for (column, event, counted, doc) in COUNTS {
        let expression = match (source, counted) {
            (Source::Events, _) => format!("count(CASE WHEN {kind} = '{event}' THEN 1 END)"),
            (Source::Counts, Some(counted)) => format!("CAST(sum(e.{}) AS {whole})", name(counted)),
            (Source::Counts, None) => continue,
        };
        // A campaign activity is an e-mail, and pages have no part in it.
        if by == CONTACT || !column.starts_with("page_") {
            add(Column::new(column, Kind::Whole, doc), expression);
        }
    }
    let unique = |event: &str| {
        let condition = match source {
            Source::Events => format!("{kind} = '{event}'"),
            Source::Counts => format!("e.{} > 0", name(event)),
        };
        format!("count(DISTINCT CASE WHEN {condition} THEN e.{} END)", name(other))
    };
    for (column, event, word) in UNIQUE {
        let doc = match (by == CONTACT, word) {
            (true, word) => format!("Different e-mails that were {word} at least once."),
            (false, "sent") => "Different contacts that it was sent to.".to_owned(),
            (false, word) => format!("Different contacts that {word} it at least once."),
        };
        add(Column::new(column, Kind::Whole, doc), unique(event));
    }
    for (column, event, doc) in [
        ("open_rate", "em_opens", "unique_opens over unique_sends, 0 to 1; null where nothing was sent."),
        ("click_rate", "em_clicks", "unique_clicks over unique_sends, 0 to 1; null where nothing was sent."),
    ] {
        let real = script.dialect.kind(Kind::Real);
        let rate = format!("CAST({} AS {real}) / nullif({}, 0)", unique(event), unique("em_sends"));
        add(Column::new(column, Kind::Real, doc), rate);
    }
    match source {
        Source::Events => {
            for (_, event, word) in UNIQUE {
                for (which, aggregate) in [("first", "min"), ("last", "max")] {
                    let expression = format!("{aggregate}(CASE WHEN {kind} = '{event}' THEN {at} END)");
                    let doc = format!("When an e-mail was {word} for the {which} time.");
                    add(Column::new(format!("{which}_{word}_at"), Kind::Instant, doc), expression);
                }
            }
            for (which, aggregate) in [("first", "min"), ("last", "max")] {
                let doc = format!("When the {which} event of any type happened.");
                add(Column::new(format!("{which}_event_at"), Kind::Instant, doc), format!("{aggregate}({at})"));
            }
        }
        Source::Counts => {
            let doc = "When an e-mail was sent for the last time.";
            add(Column::new("last_sent_at", Kind::Instant, doc), format!("max(e.{})", name("start_on")));
        }
    }
    let known = if by == CAMPAIGN { format!("\nWHERE e.{} IS NOT NULL", name(CAMPAIGN)) } else { String::new() };
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
fn with_campaigns(script: &Script, columns: &[Column], select: &str) -> (Vec<Column>, String) {
    let name = |name: &str| script.dialect.name(name);
    let added = [
        ("campaign_id", "campaign_id", "The campaign of that name; null where none is stored."),
        ("campaign_status", "current_status", "Status of the campaign."),
        ("campaign_type", "type", "Kind of campaign."),
    ];
    let mut shown: Vec<String> = columns.iter().map(|column| format!("g.{}", name(&column.name))).collect();
    shown.extend(added.map(|(column, of, _)| format!("k.{} AS {}", name(of), name(column))));
    let columns = columns.iter().cloned().chain(added.map(|(column, _, doc)| Column::new(column, Kind::Text, doc)));
    let (account, label) = (name(ACCOUNT), name("name"));
    let sql = format!(
        "SELECT\n  {}\nFROM (\n  {}\n) AS g\nLEFT JOIN (\n  SELECT *, row_number() OVER (PARTITION BY {account}, {label} \
         ORDER BY {} DESC, {} DESC) AS {rank}\n  FROM {}\n) AS k\n  ON g.{account} = k.{account} AND g.{} = k.{label} AND k.{rank} = 1",
        shown.join(",\n  "),
        select.replace('\n', "\n  "),
        name("updated_at"),
        name("campaign_id"),
        script.name("email_campaigns_current"),
        name("campaign_activity_name"),
        rank = name("_rank"),
    );
    (columns.collect(), sql)
}
