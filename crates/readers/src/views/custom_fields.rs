//! Custom fields as columns: what they are called, of which type they are, and the view of contacts that has them.
//!
//! A field's column has its label as name, in lower case, with `_` for all that is neither letter nor digit. Fields take
//! their names in the order in which they were created, so a new one never changes the name of another: where the name is
//! taken it ends in the beginning of the field's id. Fields of several accounts with one label and one type are one column.

use std::collections::{BTreeMap, BTreeSet};

use ctct_catalog::{COMMIT, Catalog, EXTRACTED_AT, ORDINAL, Report, Role, Subject, ValueType};
use ctct_load::{TextRow, VALID_TO};

use super::script::Script;
use super::table::{ACCOUNT, TableViews};
use crate::dialect::{SqlType, ViewColumn};

/// Longest name that is made of a label, in letters.
const LONGEST: usize = 60;
/// Letters of an id that tell two fields of one name apart.
const ID_LETTERS: usize = 8;

/// The tables that the view of contacts is joined from, and their columns.
#[derive(Debug)]
pub(crate) struct CustomFields<'a> {
    contacts: &'a str,
    contact_id: &'a str,
    /// The table of values.
    values: &'a str,
    field_id: &'a str,
    value: &'a str,
    /// The table of choices that were made.
    chosen: &'a str,
    choice_id: &'a str,
    /// The table of choices that there are.
    choices: &'a str,
    choice_label: &'a str,
}

impl<'a> CustomFields<'a> {
    /// Those of the report of contacts; `None` where the catalog does not say which they are.
    pub(crate) fn of(contacts: &'a Report, catalog: &'a Catalog) -> Option<Self> {
        let holding =
            |report: &'a Report, holding| report.roles().iter().find(move |roles| roles.holds() == Some(holding));
        let own = holding(contacts, Subject::Contacts)?;
        let values = holding(contacts, Subject::CustomFieldValues)?;
        let chosen = holding(contacts, Subject::ChosenOptions)?;
        let choices = holding(catalog.holding(Subject::CustomFields)?, Subject::CustomFieldChoices)?;
        Some(Self {
            contacts: own.table(),
            contact_id: own.column(Role::ContactId)?,
            values: values.table(),
            field_id: values.column(Role::CustomFieldId)?,
            value: values.column(Role::Value)?,
            chosen: chosen.table(),
            choice_id: chosen.column(Role::ChoiceId)?,
            choices: choices.table(),
            choice_label: choices.column(Role::ChoiceLabel)?,
        })
    }
}

/// Columns of the report of definitions that [`definitions`] takes.
pub(crate) fn defining(report: &Report) -> Option<[&str; 8]> {
    let roles = report.roles_of(&report.name)?;
    let column = |role| roles.column(role);
    let [id, label, kind] = [column(Role::CustomFieldId)?, column(Role::Label)?, column(Role::ValueType)?];
    Some([id, label, kind, column(Role::Version)?, column(Role::CreatedAt)?, VALID_TO, COMMIT, EXTRACTED_AT])
}

/// A custom field of one account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Definition {
    pub(crate) account: String,
    pub(crate) id: String,
    /// Absent where the definitions were never read.
    pub(crate) label: Option<String>,
    /// The API's name of the type, such as `date`.
    pub(crate) kind: Option<String>,
    /// How its values are read, by type and version; absent where as text.
    pub(crate) value_type: Option<ValueType>,
    /// In microseconds.
    pub(crate) created_at: Option<i64>,
}

/// A column of custom fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldColumn {
    pub(crate) name: String,
    pub(crate) shape: ValueReading,
    /// The fields: one of each account at most.
    pub(crate) fields: Vec<Definition>,
}

/// How the values of a field are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueReading {
    /// Its text.
    Value(SqlType),
    /// The label of the choice.
    OneOf,
    /// The labels of the choices.
    SeveralOf,
}

impl ValueReading {
    /// By the type that the catalog knows. The vendor's types are an open set: what is not known stays text.
    fn of(definition: &Definition) -> Self {
        match definition.value_type {
            Some(ValueType::Date) => Self::Value(SqlType::Day),
            Some(ValueType::Timestamp) => Self::Value(SqlType::Instant),
            Some(ValueType::Number) => Self::Value(SqlType::Real),
            Some(ValueType::Amount) => Self::Value(SqlType::Amount),
            Some(ValueType::Boolean) => Self::Value(SqlType::Flag),
            Some(ValueType::Choice) => Self::OneOf,
            Some(ValueType::Choices) => Self::SeveralOf,
            None => Self::Value(SqlType::Text),
        }
    }

    fn kind(self) -> SqlType {
        match self {
            Self::Value(kind) => kind,
            Self::OneOf => SqlType::Text,
            Self::SeveralOf => SqlType::Texts,
        }
    }
}

/// The newest definition of each field, from all stored versions of the columns that [`defining`] names.
pub(crate) fn definitions(report: &Report, rows: Vec<TextRow>) -> Vec<Definition> {
    let whole = |value: &Option<String>| value.as_deref().and_then(|text| text.parse::<i64>().ok());
    let mut newest = BTreeMap::new();
    for TextRow { account, values } in rows {
        let [Some(id), label, kind, version, created_at, until, commit, read] = values.as_slice() else { continue };
        let definition = Definition {
            account: account.clone(),
            id: id.clone(),
            label: label.clone(),
            kind: kind.clone(),
            value_type: kind.as_ref().and_then(|kind| report.value_type(&kind.to_lowercase(), whole(version))),
            created_at: whole(created_at),
        };
        // Of versions with a span, the one that has no end holds.
        let age = (until.is_none(), whole(commit), whole(read));
        let kept = newest.entry((account, id.clone())).or_insert_with(|| (age, definition.clone()));
        if age > kept.0 {
            *kept = (age, definition);
        }
    }
    newest.into_values().map(|(_, definition)| definition).collect()
}

/// A column for each field, in the order in which they were created. `taken` are names that other columns have.
pub(crate) fn columns(mut definitions: Vec<Definition>, taken: &BTreeSet<String>) -> Vec<FieldColumn> {
    // An id that is no plain text is none of the API's, and no literal should have to carry it.
    definitions.retain(|field| !field.id.is_empty() && !field.id.chars().any(char::is_control));
    definitions.sort_by(|left, right| {
        let age = |field: &Definition| field.created_at.unwrap_or(i64::MAX);
        (age(left), &left.id, &left.account).cmp(&(age(right), &right.id, &right.account))
    });
    let mut columns: Vec<FieldColumn> = Vec::new();
    for field in definitions {
        let shape = ValueReading::of(&field);
        for name in names(&field) {
            if taken.contains(&name) {
                continue;
            }
            let Some(at) = columns.iter().position(|column| column.name == name) else {
                columns.push(FieldColumn { name, shape, fields: vec![field] });
                break;
            };
            let column = &mut columns[at];
            if column.shape == shape && column.fields.iter().all(|other| other.account != field.account) {
                column.fields.push(field);
                break;
            }
        }
    }
    columns
}

/// Names that a field could have, the nicest first, without end.
fn names(field: &Definition) -> impl Iterator<Item = String> + use<> {
    let id = safe(&field.id).replace('_', "");
    let short: String = id.chars().take(ID_LETTERS).collect();
    let label = safe(field.label.as_deref().unwrap_or_default());
    let nameless = label.is_empty();
    let stem = if nameless { "custom_field".to_owned() } else { label };
    let plain = (!nameless).then(|| stem.clone());
    let (stem_of_number, long) = (stem.clone(), format!("{stem}_{id}"));
    plain
        .into_iter()
        .chain([format!("{stem}_{short}"), long])
        .chain((2_u64..).map(move |n| format!("{stem_of_number}_{id}_{n}")))
}

/// A text in lower case, letters and digits of any script kept, all else one `_`. A digit is not its first letter.
pub(crate) fn safe(label: &str) -> String {
    let lower = label.to_lowercase();
    let words: Vec<&str> =
        lower.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let name: String = words.join("_").chars().take(LONGEST).collect();
    if name.starts_with(|letter: char| letter.is_numeric()) { format!("_{name}") } else { name }
}

/// Writes the view of contacts with a column for each custom field.
pub(crate) fn view(script: &mut Script, contacts: &TableViews<'_>, tables: &CustomFields<'_>, columns: &[FieldColumn]) {
    let dialect = script.dialect;
    let own = contacts.current_columns();
    let [account, contact, field] = [ACCOUNT, tables.contact_id, tables.field_id].map(|name| dialect.name(name));
    let mut shown = own.clone();
    let mut select: Vec<String> = own.iter().map(|column| format!("c.{}", dialect.name(&column.name))).collect();
    let (mut values, mut choices) = (Vec::new(), Vec::new());
    for (at, FieldColumn { name, shape, fields }) in columns.iter().enumerate() {
        shown.push(ViewColumn::new(name, shape.kind(), doc(fields)));
        let one = |alias: &str| {
            let ids: BTreeSet<&str> = fields.iter().map(|field| field.id.as_str()).collect();
            let ids: Vec<String> = ids.into_iter().map(|id| dialect.text(id)).collect();
            format!("{alias}{field} IN ({})", ids.join(", "))
        };
        let value = dialect.name(tables.value);
        values.push(format!("max(CASE WHEN {} THEN {value} END) AS v{at}", one("")));
        let value = format!("v.v{at}");
        let label = format!("coalesce(l.{}, h.{})", dialect.name(tables.choice_label), dialect.name(tables.choice_id));
        let ordinal = format!("h.{}", dialect.name(ORDINAL));
        let expression = match shape {
            ValueReading::Value(kind) => dialect.parsed(&value, *kind),
            ValueReading::OneOf => {
                choices.push(format!("max(CASE WHEN {} AND {ordinal} = 0 THEN {label} END) AS s{at}", one("h.")));
                format!("coalesce(s.s{at}, {value})")
            }
            ValueReading::SeveralOf => {
                choices.push(format!("{} AS s{at}", dialect.gathered(&label, &ordinal, &one("h."))));
                format!("coalesce(s.s{at}, {})", dialect.parsed(&value, SqlType::Texts))
            }
        };
        select.push(format!("{expression} AS {}", dialect.name(name)));
    }

    let mut sql = format!("SELECT\n  {}\nFROM {} AS c", select.join(",\n  "), current(script, tables.contacts));
    let joined = |alias: &str| format!("c.{account} = {alias}.{account} AND c.{contact} = {alias}.{contact}");
    if !values.is_empty() {
        sql += &format!(
            "\nLEFT JOIN (\n  SELECT {account}, {contact},\n    {}\n  FROM {}\n  GROUP BY {account}, {contact}\n) AS v ON {}",
            values.join(",\n    "),
            current(script, tables.values),
            joined("v")
        );
    }
    if !choices.is_empty() {
        let [choice, label] = [tables.choice_id, tables.choice_label].map(|name| dialect.name(name));
        let table = current(script, tables.choices);
        let labels = format!(
            "SELECT {account}, {field}, {choice}, max({label}) AS {label}\n    FROM {table}\n    \
             GROUP BY {account}, {field}, {choice}"
        );
        sql += &format!(
            "\nLEFT JOIN (\n  SELECT h.{account}, h.{contact},\n    {}\n  FROM {} AS h\n  LEFT JOIN (\n    {labels}\n  ) AS l\n    \
             ON h.{account} = l.{account} AND h.{field} = l.{field} AND h.{choice} = l.{choice}\n  \
             GROUP BY h.{account}, h.{contact}\n) AS s ON {}",
            choices.join(",\n    "),
            current(script, tables.chosen),
            joined("s")
        );
    }
    let doc = "Contacts, the newest version of each, with a column for each custom field.";
    script.view(&format!("{}_with_custom_fields", tables.contacts), doc, &shown, &sql);
}

/// The view of the newest version of each row of a table.
fn current(script: &Script, table: &str) -> String {
    script.name(&format!("{table}_current"))
}

/// What a column is for people: the label and the type as the account has them.
fn doc(fields: &[Definition]) -> String {
    // A column has a field.
    let Some(field) = fields.first() else { return String::new() };
    let kind = field.kind.as_deref().map(|kind| format!(", {kind}")).unwrap_or_default();
    match &field.label {
        Some(label) => format!("Custom field: {label}{kind}."),
        None => format!("Custom field {}.", field.id),
    }
}

/// Fields of which only the ids are known, because their definitions were never read.
pub(crate) fn nameless(account: &str, ids: impl Iterator<Item = String>) -> Vec<Definition> {
    ids.map(|id| Definition { account: account.to_owned(), id, ..Definition::default() }).collect()
}

/// Names that columns of the view have anyway.
pub(crate) fn taken(contacts: &TableViews<'_>) -> BTreeSet<String> {
    contacts.current_columns().into_iter().map(|column| column.name).collect()
}

#[cfg(test)]
mod tests;
