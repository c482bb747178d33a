//! Pages and what is none.

use ctct_catalog::Catalog;
use std::sync::Arc;

use super::*;

fn report(name: &str) -> Arc<Report> {
    Arc::clone(Catalog::embedded().unwrap().get(name).unwrap())
}

/// The page without what tells its rows from others.
fn page_of(report: &Report, body: &[u8]) -> Result<Envelope, String> {
    Envelope::read(report, Bounds::of(report, &[]), body).map(|page| Envelope { rows: Rows::default(), ..page })
}

fn read(body: &str) -> Result<Envelope, String> {
    page_of(&report("contacts"), body.as_bytes())
}

#[test]
fn every_form_of_a_last_page_ends() {
    for links in [
        "",
        r#","_links":null"#,
        r#","_links":{}"#,
        r#","_links":{"next":null}"#,
        r#","_links":{"next":{}}"#,
        r#","_links":{"next":{"href":null}}"#,
        r#","_links":{"next":{"href":""}}"#,
        r#","_links":{"self":{"href":"/v3/contacts"}}"#,
    ] {
        let body = format!(r#"{{"contacts":[]{links}}}"#);
        assert_eq!(
            read(&body),
            Ok(Envelope { next: None, count: None, oldest: None, rows: Rows::default() }),
            "{body}"
        );
    }
}

#[test]
fn link_and_count_are_found_in_any_order_and_escaped() {
    let next = Some("/v3/contacts?cursor=bGltaXQ9MQ==&a=b".to_owned());
    let body = r#" {"x":{"contacts":3},"_links":{"next":{"x":[],"href":"/v3/contacts?cursor=bGltaXQ9MQ==\u0026a=b"}},
        "contacts_count":7,"c\u006fntacts":[{"_links":{"next":{"href":"/other"}}}]} "#;
    assert_eq!(read(body), Ok(Envelope { next, count: Some(7), oldest: None, rows: Rows::default() }));
}

#[test]
fn a_count_that_is_no_count_is_left_out() {
    for count in ["null", "-1", "1.5", "\"7\"", "[]"] {
        let body = format!(r#"{{"contacts":[],"contacts_count":{count}}}"#);
        assert_eq!(read(&body).unwrap().count, None, "{count}");
    }
}

#[test]
fn what_is_no_page_is_refused_without_a_word_of_its_content() {
    let bodies = [
        "",
        "  ",
        "<html>secret</html>",
        "secret",
        r#""secret""#,
        "[1]",
        "{}",
        r#"{"secret":1}"#,
        r#"{"contacts":null}"#,
        r#"{"contacts":"secret"}"#,
        r#"{"contacts":{"a":"secret"}}"#,
        r#"{"contacts":[1,2"#,
        r#"{"contacts":[secret]}"#,
        r#"{"contacts":[]} secret"#,
        r#"{"contacts":[],"contacts":[]}"#,
        r#"{"contacts":[],"_links":"secret"}"#,
        r#"{"contacts":[],"_links":{"next":{"href":["secret"]}}}"#,
        r#"{"contacts":[],"_links":{"next":{"href":5}}}"#,
    ];
    let mut reasons = Vec::new();
    for body in bodies {
        let reason = read(body).unwrap_err();
        assert!(!reason.contains("secret"), "{reason}");
        reasons.push(format!("{} -> {reason}", body.replace("secret", "...")));
    }
    insta::assert_snapshot!(reasons.join("\n"));
}

#[test]
fn text_that_is_not_unicode_is_no_reason_to_refuse_a_page() {
    let next = Some("/v3/contacts?cursor=a\u{e9}\u{1f980}".to_owned());
    let links = r#""_links":{"next":{"href":"/v3/contacts?cursor=a\u00e9\ud83e\udd80"}},"contacts_count":7"#;
    for odd in [
        &b"\xe9"[..],
        b"\xed\xa0\xbd",
        b"\xff\xfe",
        br"\ud83d",
        br"\uDC00",
        br"\udc00\ud83d",
        br"\ud83d\ud83d",
        br"\ud83d\u0041",
    ] {
        for body in [
            [br#"{"contacts":[{"first_name":"a"#, odd, br#"b\\"}],"#, links.as_bytes(), b"}"].concat(),
            [br#"{"contacts":[{"a"#, odd, br#"b":["#, b"{}]}],", links.as_bytes(), b"}"].concat(),
            [br#"{"k"#, odd, br#"":1,"contacts":[],"#, links.as_bytes(), b"}"].concat(),
            [br#"{"status":""#, odd, br#"","contacts":[],"#, links.as_bytes(), b"}"].concat(),
            [b"\xEF\xBB\xBF".as_slice(), br#"{"contacts":[{"x":[""#, odd, br#""]}],"#, links.as_bytes(), b"}"].concat(),
        ] {
            let shown = String::from_utf8_lossy(&body).into_owned();
            let page = page_of(&report("contacts"), &body);
            assert_eq!(
                page,
                Ok(Envelope { next: next.clone(), count: Some(7), oldest: None, rows: Rows::default() }),
                "{shown}"
            );
        }
        let link = [br#"{"contacts":[],"_links":{"next":{"href":"/v3?cursor="#, odd, br#""}}}"#].concat();
        let reason = page_of(&report("contacts"), &link).unwrap_err();
        assert_eq!(reason, "the link at `_links.next.href` is not Unicode");
        let other_link = [br#"{"contacts":[],"_links":{"self":{"h"#, odd, br#"":""#, odd, br#""}}}"#].concat();
        assert_eq!(page_of(&report("contacts"), &other_link).map(|page| page.next), Ok(None));
        let oldest = [br#"{"tracking_activities":[{"created_time":""#, odd, br#""}]}"#].concat();
        assert!(page_of(&report("contact_activity_details"), &oldest).is_ok());
        for broken in [[br#"{"contacts":["#, odd, b"]}"].concat(), [br#"{"contacts":[{"a":""#, odd].concat()] {
            assert!(page_of(&report("contacts"), &broken).is_err());
        }
    }
}

#[test]
fn no_beginning_of_a_page_is_a_page() {
    let body = r#"{"contacts":[{"a":[1,2.5e3],"b":"\u00e9"}],"_links":{"next":{"href":"/v3"}},"contacts_count":10}"#;
    assert!(read(body).is_ok());
    for end in 0..body.len() {
        assert!(read(&body[..end]).is_err(), "{}", &body[..end]);
    }
}

#[test]
fn the_oldest_row_is_told_only_where_rows_surely_come_newest_first() {
    let oldest = |report: &Report, rows: &str| {
        let rows_key = report.rows.as_deref().unwrap();
        page_of(report, format!(r#"{{"{rows_key}":{rows}}}"#).as_bytes()).unwrap().oldest
    };
    let details = report("contact_activity_details");
    let row = |time: &str| format!(r#"{{"x":{{"created_time":"no"}},"created_time":{time},"y":[1]}}"#);
    let (newer, older) = (row(r#""2026-01-02T00:00:00Z""#), row(r#""2026-01-01""#));
    assert_eq!(oldest(&details, &format!("[{newer},{older}]")).as_deref(), Some("2026-01-01"));
    for rows in [
        "[]".to_owned(),
        format!("[{newer},{}]", row("null")),
        format!("[{newer},{}]", row("5")),
        format!("[{newer},{}]", row(r#"{"a":"2026"}"#)),
        format!("[{newer},{{}}]"),
        format!(r#"[{newer},"2026-01-01"]"#),
        format!("[{newer},null]"),
    ] {
        assert_eq!(oldest(&details, &rows), None, "{rows}");
    }
    let created = r#"[{"created_at":"2026-01-01"}]"#;
    assert_eq!(oldest(&report("contacts"), created), None, "what was only seen is not relied on");
    let mut upwards = Report::clone(&details);
    upwards.order.as_mut().unwrap().direction = Direction::Ascending;
    assert_eq!(oldest(&upwards, &format!("[{older}]")), None);
}

#[test]
fn a_report_without_rows_or_paging_is_one_object() {
    let mut whole = Report::clone(&report("contacts"));
    whole.rows = None;
    whole.paging = None;
    let body = br#"{"contact_id":"x","_links":{"next":{"href":"/v3/more"}}}"#;
    assert_eq!(page_of(&whole, body), Ok(Envelope { next: None, count: None, oldest: None, rows: Rows::default() }));
    assert!(page_of(&whole, b"[]").is_err());
}

#[test]
fn a_link_that_is_there_twice_is_refused_wherever_its_path_doubles() {
    let next = r#"{"href":"/v3/contacts?cursor=a"}"#;
    for links in [
        format!(r#"{{"next":{next},"next":null}}"#),
        format!(r#"{{"next":null,"next":{next}}}"#),
        format!(r#"{{"next":{next},"self":{{}},"next":{next}}}"#),
        r#"{"next":{"href":"/v3/contacts?cursor=a","href":null}}"#.to_owned(),
        r#"{"next":{"href":null,"x":1,"href":"/v3"}}"#.to_owned(),
    ] {
        let reason = read(&format!(r#"{{"contacts":[],"_links":{links}}}"#)).unwrap_err();
        assert!(reason.contains("is a duplicate key"), "{links}: {reason}");
    }
    assert!(read(&format!(r#"{{"contacts":[],"_links":{{"self":1,"self":2,"next":{next}}}}}"#)).is_ok());
}

#[test]
fn no_more_records_than_twice_what_was_asked_for_nor_longer_links_make_a_page() {
    let body = |records: usize, link: usize| {
        let (rows, link) = (vec!["{}"; records].join(","), "a".repeat(link));
        format!(r#"{{"contacts":[{rows}],"_links":{{"next":{{"href":"{link}"}}}}}}"#)
    };
    let contacts = report("contacts");
    for (limit, records, link, fits) in [
        (500, 1_000, 8_192, true),
        (500, 1_001, 1, false),
        (500, 1, 8_193, false),
        (500, 1, 1 << 20, false),
        (3, 6, 1, true),
        (3, 7, 1, false),
    ] {
        let bounds = Bounds::of(&contacts, &[("limit".to_owned(), limit.to_string())]);
        let page = Envelope::read(&contacts, bounds, body(records, link).as_bytes());
        assert_eq!(page.is_ok(), fits, "{records} of {limit}, a link of {link}: {page:?}");
    }
}

#[test]
fn a_page_is_known_again_by_its_rows_alone() {
    let contacts = report("contacts");
    let rows = |body: &str| Envelope::read(&contacts, Bounds::of(&contacts, &[]), body.as_bytes()).unwrap().rows;
    let page = rows(r#"{"contacts":[{"contact_id":"a"},{"contact_id":"b"}]}"#);
    let again = rows(r#"{"_links":{"next":{"href":"/x"}},"contacts":[ {"contact_id":"a"} , {"contact_id":"b"}]}"#);
    assert_eq!(page, again);
    for other in [r#"[{"contact_id":"a"}]"#, r#"[{"contact_id":"a"},{"contact_id":"c"}]"#, "[]"] {
        assert_ne!(rows(&format!(r#"{{"contacts":{other}}}"#)), page, "{other}");
    }
}
