//! One question to the API: a report and its parameters, made into a URL as the catalog says.

use std::fmt;
use std::sync::Arc;

use ctct_catalog::{ParamPlace, Report};
use url::Url;

use crate::ExtractError;

/// A report and the parameters to ask it with.
#[derive(Clone)]
pub struct Request {
    /// The report.
    pub report: Arc<Report>,
    /// Every parameter, path and query alike: its name in the catalog and its value as it goes on the wire, not
    /// encoded. The page size is added where it is not given: the most that the report takes.
    pub params: Vec<(String, String)>,
}

impl Request {
    /// The URL of the first page below `base`.
    ///
    /// # Errors
    /// [`ExtractError::Parameter`]: one is unknown, missing, or not allowed in the path.
    pub(crate) fn url(&self, base: &Url) -> Result<Url, ExtractError> {
        let report = &self.report;
        if let Some((name, _)) = self.params.iter().find(|(name, _)| report.param(name).is_none()) {
            return Err(self.wrong(name, "is not in the catalog"));
        }
        let mut url = self.path(base)?;
        let limit = report.paging.as_ref().and_then(|paging| paging.limit.as_ref());
        let mut query = String::new();
        let mut pairs = url::form_urlencoded::Serializer::new(&mut query);
        for param in report.params.iter().filter(|param| param.place == ParamPlace::Query) {
            let mut given = self.values(&param.name).peekable();
            match limit.filter(|limit| limit.param == param.name) {
                Some(limit) if given.peek().is_none() => _ = pairs.append_pair(&param.name, &limit.max.to_string()),
                None if param.required && given.peek().is_none() => {
                    return Err(self.wrong(&param.name, "is required"));
                }
                _ => given.for_each(|value| _ = pairs.append_pair(&param.name, value)),
            }
        }
        url.set_query(Some(query.as_str()).filter(|query| !query.is_empty()));
        Ok(url)
    }

    /// `base` and the report's path, with a value in place of each `{name}`. A value is encoded so that it cannot leave
    /// its segment. Refused is what has no such encoding: `.` and `..` (`%2E` means the same), and control characters,
    /// some of which a URL drops.
    fn path(&self, base: &Url) -> Result<Url, ExtractError> {
        let mut url = base.clone();
        // `Client::new` takes only URLs that have a path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty();
            for segment in self.report.path.trim_start_matches('/').split('/') {
                let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
                    segments.push(segment);
                    continue;
                };
                match self.values(name).next() {
                    None => return Err(self.wrong(name, "is required")),
                    Some(value) if matches!(value, "" | "." | "..") || value.contains(char::is_control) => {
                        return Err(self.wrong(name, "is not allowed in a path"));
                    }
                    Some(value) => _ = segments.push(value),
                }
            }
        }
        Ok(url)
    }

    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.params.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    fn wrong(&self, name: &str, reason: &'static str) -> ExtractError {
        ExtractError::Parameter { report: self.report.name.clone(), name: name.to_owned(), reason }
    }
}

/// Names only: a value may be an email address.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.params.iter().map(|(name, _)| name).collect();
        f.debug_struct("Request").field("report", &self.report.name).field("params", &names).finish()
    }
}

#[cfg(test)]
mod tests {
    use ctct_catalog::Catalog;

    use super::*;

    fn url(report: &str, params: &[(&str, &str)]) -> Result<String, String> {
        let report = Arc::clone(Catalog::embedded().unwrap().get(report).unwrap());
        let params = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let base = Url::parse("https://api.cc.email/v3").unwrap();
        Request { report, params }.url(&base).map(String::from).map_err(|error| error.to_string())
    }

    #[test]
    fn parameters_stand_in_the_catalogues_order_with_the_largest_page() {
        let got = url("contacts", &[("updated_after", "2026-01-31T00:00:00.000Z"), ("status", "all")]).unwrap();
        assert_eq!(
            got,
            "https://api.cc.email/v3/contacts?status=all&updated_after=2026-01-31T00%3A00%3A00.000Z&limit=500"
        );
    }

    #[test]
    fn a_page_size_that_is_given_stays_and_a_report_without_one_gets_none() {
        assert!(url("contacts", &[("limit", "7")]).unwrap().ends_with("/contacts?limit=7"));
        let summary = url("contact_action_summary", &[("contact_id", "a"), ("start", "s"), ("end", "e")]).unwrap();
        assert!(summary.ends_with("/contact_reports/a/activity_summary?start=s&end=e"), "{summary}");
    }

    #[test]
    fn no_value_leaves_its_segment_or_its_parameter() {
        let path =
            |id| url("contact_activity_details", &[("contact_id", id), ("tracking_activities_list", "em_sends")]);
        let prefix = "https://api.cc.email/v3/reports/contact_reports/";
        let suffix = "/activity_details?tracking_activities_list=em_sends&limit=100";
        for (id, encoded) in [
            ("../../x", "..%2F..%2Fx"),
            ("a?b#c", "a%3Fb%23c"),
            ("%2e%2e", "%252e%252e"),
            ("a\\b", "a%5Cb"),
            ("{x}", "%7Bx%7D"),
            ("é ", "%C3%A9%20"),
        ] {
            assert_eq!(path(id).unwrap(), format!("{prefix}{encoded}{suffix}"));
        }
        for id in ["", ".", "..", ".\n.", "\t..", "a\0"] {
            assert!(path(id).unwrap_err().contains("is not allowed in a path"));
        }
        let query = url("contacts", &[("email", "a+b@example.com&status=x#y")]).unwrap();
        assert!(query.ends_with("?email=a%2Bb%40example.com%26status%3Dx%23y&limit=500"), "{query}");
    }

    #[test]
    fn the_base_may_end_with_a_slash_or_have_no_path() {
        let report = Arc::clone(Catalog::embedded().unwrap().get("contacts").unwrap());
        let request = Request { report, params: Vec::new() };
        let url = |base: &str| request.url(&Url::parse(base).unwrap()).unwrap().to_string();
        assert_eq!(url("http://localhost/v3/"), "http://localhost/v3/contacts?limit=500");
        assert_eq!(url("http://localhost:80"), "http://localhost/contacts?limit=500");
    }

    proptest::proptest! {
        #[test]
        fn any_value_is_refused_or_stays_whole_in_its_segment(id in "\\PC*|[./\\\\%?#\\x00-\\x20]{1,6}") {
            let params = [("contact_id", id.as_str()), ("tracking_activities_list", "em_sends")];
            if let Ok(got) = url("contact_activity_details", &params) {
                let url = Url::parse(&got).unwrap();
                let segments: Vec<_> = url.path_segments().unwrap().collect();
                let [_, _, "contact_reports", segment, "activity_details"] = segments[..] else { panic!("{got}") };
                let decoded = percent_encoding::percent_decode_str(segment).decode_utf8().unwrap();
                proptest::prop_assert_eq!(decoded, id);
            }
        }
    }

    #[test]
    fn unknown_and_missing_parameters_are_refused() {
        let refused = [
            url("contact_lists", &[("updated_after", "2026-01-31")]),
            url("contact_action_summary", &[("start", "s"), ("end", "e")]),
            url("contact_action_summary", &[("contact_id", "a"), ("start", "s")]),
        ];
        insta::assert_snapshot!(refused.map(Result::unwrap_err).join("\n"));
    }
}
