//! One request parameter as the vendor describes it. The description says some of it in prose alone: which texts are
//! lists and which are instants, what some texts may be, and that `maximum` of a text counts the items of its list.

use chrono::DateTime;
use serde_json::Value;

/// A parameter of an operation.
#[derive(Clone, Copy)]
pub(crate) struct Parameter<'a>(pub(crate) &'a Value);

impl<'a> Parameter<'a> {
    fn text(self, key: &str) -> &'a str {
        self.0.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn name(self) -> &'a str {
        self.text("name")
    }

    /// `query` or `path`.
    pub(crate) fn place(self) -> &'a str {
        self.text("in")
    }

    pub(crate) fn is_required(self) -> bool {
        self.0["required"] == true
    }

    pub(crate) fn prose(self) -> &'a str {
        self.text("description")
    }

    /// Values that it takes, or that the items of its list take; empty where any goes.
    pub(crate) fn choices(self) -> Vec<&'a str> {
        match self.0.get("enum").or_else(|| self.0.get("items")?.get("enum")) {
            Some(values) => values.as_array().into_iter().flatten().filter_map(Value::as_str).collect(),
            None if self.text("type") == "string" => self.choices_in_prose(),
            None => Vec::new(),
        }
    }

    /// Texts that the prose names as `(parameter=value)`.
    fn choices_in_prose(self) -> Vec<&'a str> {
        let spelled = self.prose().split('`').filter_map(|code| code.strip_prefix(self.name())?.strip_prefix('='));
        spelled.collect()
    }

    /// Several values in one, joined by commas.
    pub(crate) fn is_list(self) -> bool {
        self.text("type") == "string" && (self.text("format") == "csv" || self.prose().contains("comma"))
    }

    /// The same name may come several times.
    pub(crate) fn is_repeated(self) -> bool {
        self.text("type") == "array"
    }

    pub(crate) fn is_instant(self) -> bool {
        let prose = self.prose();
        self.text("format") == "date-time" || prose.contains("ISO 8601") || prose.contains("ISO-8601")
    }

    pub(crate) fn is_boolean(self) -> bool {
        self.text("type") == "boolean"
    }

    /// Some limits are typed as texts, with numbers for bounds or for the default.
    pub(crate) fn is_number(self) -> bool {
        let by_default = || self.default().is_some_and(|value| value.parse::<i64>().is_ok());
        self.text("type") == "integer" || self.0.get("minimum").is_some() || by_default()
    }

    pub(crate) fn minimum(self) -> Option<i64> {
        self.0.get("minimum").and_then(Value::as_i64)
    }

    pub(crate) fn maximum(self) -> Option<i64> {
        self.0.get("maximum").and_then(Value::as_i64).filter(|_| self.is_number())
    }

    /// Most items of a list.
    pub(crate) fn most_items(self) -> Option<usize> {
        let most = self.0.get("maximum").and_then(Value::as_u64).filter(|_| self.is_list());
        most.map(|most| usize::try_from(most).unwrap())
    }

    /// The value without it, as text.
    pub(crate) fn default(self) -> Option<String> {
        self.0.get("default").map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }

    /// What is wrong with a value.
    pub(crate) fn complaint(self, value: &str) -> Option<&'static str> {
        let items: Vec<&str> = if self.is_list() { value.split(',').collect() } else { vec![value] };
        let choices = self.choices();
        if items.iter().any(|item| item.is_empty()) {
            return Some("is empty");
        }
        if !choices.is_empty() && items.iter().any(|item| !choices.contains(item)) {
            return Some("is not one of the values");
        }
        if self.most_items().is_some_and(|most| items.len() > most) {
            return Some("has too many items");
        }
        if self.is_boolean() && !["true", "false"].contains(&value) {
            return Some("is no boolean");
        }
        if self.is_instant() && DateTime::parse_from_rfc3339(value).is_err() {
            return Some("is no instant");
        }
        if self.is_number() {
            let fits = |number: i64| {
                self.minimum().is_none_or(|least| least <= number) && self.maximum().is_none_or(|most| number <= most)
            };
            return (!value.parse().is_ok_and(fits)).then_some("is no number in its bounds");
        }
        None
    }
}
