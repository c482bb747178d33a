//! What tables, columns and values mean to readers, so that views can be written without naming any of them elsewhere.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{Catalog, Report};

/// What the rows of a table are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// Contacts.
    Contacts,
    /// Values of the custom fields of contacts.
    CustomFieldValues,
    /// Choices that were made in custom fields of contacts.
    ChosenOptions,
    /// Definitions of custom fields.
    CustomFields,
    /// Choices that custom fields offer.
    CustomFieldChoices,
    /// Campaigns.
    Campaigns,
    /// What contacts did, one row per event.
    Events,
    /// What contacts did, one row per contact, campaign activity and period, with a number per [`Activity`].
    EventCounts,
}

/// What a column is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Id of a contact.
    ContactId,
    /// Id of a custom field.
    CustomFieldId,
    /// Name of a custom field, for people.
    Label,
    /// The API's type of a custom field; its `value_types` say how values are read.
    ValueType,
    /// Version of a custom field's definition.
    Version,
    /// When the row's object was created.
    CreatedAt,
    /// When the API says that the row's object was deleted.
    DeletedAt,
    /// Value of a custom field, as text.
    Value,
    /// Id of a choice of a custom field.
    ChoiceId,
    /// Name of a choice, for people.
    ChoiceLabel,
    /// Id of a campaign.
    CampaignId,
    /// Name of a campaign, unique in an account.
    CampaignName,
    /// Status of a campaign.
    CampaignStatus,
    /// Kind of a campaign.
    CampaignType,
    /// Id of a campaign activity.
    CampaignActivityId,
    /// Name of a campaign activity, which is that of its campaign.
    CampaignActivityName,
    /// The API's type of an event; its `events` say which [`Activity`] each is.
    EventType,
    /// When an event happened.
    EventTime,
    /// When a campaign activity was last sent to a contact.
    LastSentAt,
}

/// What a contact can do, or have done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// An email was sent to it.
    Sends,
    /// It opened an email.
    Opens,
    /// It clicked a link.
    Clicks,
    /// An email to it bounced.
    Bounces,
    /// It unsubscribed.
    Optouts,
    /// It forwarded an email.
    Forwards,
    /// It opened a landing page.
    PageOpens,
    /// It clicked on a landing page.
    PageClicks,
    /// A landing page added it.
    PageAdds,
    /// A landing page changed it.
    PageUpdates,
}

/// How the text of a custom field's value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueType {
    /// As a date.
    Date,
    /// As an instant.
    Timestamp,
    /// As a number.
    Number,
    /// As an amount of money.
    Amount,
    /// As true or false.
    Boolean,
    /// As one of the field's choices.
    Choice,
    /// As several of the field's choices.
    Choices,
}

impl Catalog {
    /// The report whose own table holds this.
    pub fn holding(&self, holding: Subject) -> Option<&Report> {
        self.reports().map(AsRef::as_ref).find(|report| report.holds == Some(holding))
    }

    /// Reports that a first pipeline reads unless told otherwise, in the order in which it lists them.
    pub fn starters(&self) -> Vec<&Report> {
        let mut reports: Vec<&Report> =
            self.reports().map(AsRef::as_ref).filter(|report| report.starter.is_some()).collect();
        reports.sort_by_key(|report| report.starter);
        reports
    }
}

impl Report {
    /// What its tables mean, in the order of [`Report::tables`].
    pub fn roles(&self) -> &[TableRoles] {
        &self.roles
    }

    /// What the table of this name means.
    pub fn roles_of(&self, table: &str) -> Option<&TableRoles> {
        self.roles.iter().find(|roles| roles.table == table)
    }

    /// What the report calls each activity: types of its events, or columns that count them.
    pub fn activities(&self) -> BTreeMap<Activity, &str> {
        let types = self.columns.iter().flat_map(|field| &field.events);
        let types = types.map(|(activity, name)| (*activity, name.as_str()));
        types.chain(self.columns.iter().filter_map(|field| Some((field.counts?, field.name.as_str())))).collect()
    }

    /// The option by which a table begins at a moment instead of with the first row there is.
    pub fn beginning(&self) -> Option<&crate::ReportOption> {
        self.watermark.as_ref().and_then(|watermark| self.option(&watermark.option))
    }

    /// The column of the report's own table with the moment at which its row came to be, where that never changes.
    pub fn creation(&self) -> Option<&str> {
        let is_creation = |field: &&crate::Field| field.constant && field.kind == crate::FieldType::Timestamp;
        self.columns.iter().find(is_creation).map(|field| field.name.as_str())
    }

    /// How values of custom fields with a definition of this type and version are read; `None` as text, which is how types
    /// are read that nobody knows yet.
    pub fn value_type(&self, name: &str, version: Option<i64>) -> Option<ValueType> {
        let value_type = self.columns.iter().find_map(|field| field.value_types.get(name)).copied()?;
        let is_moment = matches!(value_type, ValueType::Date | ValueType::Timestamp);
        let is_free =
            || self.columns.iter().any(|field| version.is_some_and(|version| field.free_text.contains(&version)));
        (!is_moment || !is_free()).then_some(value_type)
    }
}

/// What a table means: what its rows are and which of its columns are for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRoles {
    pub(crate) table: String,
    pub(crate) holds: Option<Subject>,
    pub(crate) columns: Vec<(Role, String)>,
}

impl TableRoles {
    /// Name of the table.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// What its rows are, where views are made of them.
    pub fn holds(&self) -> Option<Subject> {
        self.holds
    }

    /// The column that is for this.
    pub fn column(&self, role: Role) -> Option<&str> {
        self.columns.iter().find(|(has, _)| *has == role).map(|(_, column)| column.as_str())
    }
}
