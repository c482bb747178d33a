//! A report more takes one catalogue file and nothing else: it plans, runs, has its place in the JSON Schema and takes its
//! options, with pages and without.

use ctct_catalog::Catalog;
use ctct_pipeline::{Environment, Outcome, Pipeline};
use serde_json::{Value, json};

use crate::harness::Harness;
use crate::truth::comparable;

const TAGS: &str = "
report: labels
operation: retrieveTags
doc: Tags with the number of contacts that carry each.
path: /contact_tags
scope: contact_data
rows: tags
key: [tag_id]
paging:
  next: _links.next.href
  limit: {param: limit, default: 50, max: 500}
params:
  - {name: include_count, type: choice, values: ['true', 'false'], doc: Send contacts_count.}
  - {name: limit, type: integer, min: 1, max: 500, doc: Rows a page.}
options:
  - {name: contact_counts, kind: choice, params: [include_count], default: ['true'], doc: Whether to count the contacts of each tag.}
columns:
  - {name: tag_id, type: id, required: true, doc: Unique id of the tag.}
  - {name: name, type: string, doc: Name of the tag.}
  - {name: contacts_count, type: integer, doc: Contacts that carry the tag.}
  - {name: created_at, type: timestamp, constant: true, doc: When the tag was created.}
  - {name: updated_at, type: timestamp, doc: When the tag last changed.}
";

const ACCOUNT: &str = "
report: organisation
operation: getAccountSummary
doc: The account itself.
path: /account/summary
scope: account_read
key: [encoded_account_id]
params:
  - {name: extra_fields, type: csv, values: [physical_address, company_logo], doc: Fields to send beside the usual ones.}
options:
  - {name: extra_fields, kind: subresources, params: [extra_fields], default: [none], doc: Fields to send beside the usual ones.}
columns:
  - {name: encoded_account_id, type: id, required: true, doc: Unique id of the account.}
  - {name: organization_name, type: string, doc: Name of the organisation.}
  - {name: time_zone_id, type: string, doc: Time zone of the account.}
  - name: physical_address
    type: object
    doc: Where the organisation is.
    fields:
      - {name: city, type: string, doc: City.}
";

async fn harness() -> Harness {
    let mut harness = Harness::new(40).await;
    let catalog = Catalog::embedded().unwrap().with_file("labels.yaml", TAGS).unwrap();
    harness.catalog = catalog.with_file("organisation.yaml", ACCOUNT).unwrap();
    harness
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paged_report_of_one_file_runs_and_takes_its_options() {
    let harness = harness().await;
    let summary = harness.run("  - {report: labels, write_mode: replace}\n").await;
    assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
    let account = harness.sandbox.account();
    let expected: Vec<_> = account
        .tags()
        .iter()
        .zip(&account.census().tags)
        .map(|(tag, count)| {
            let mut row = serde_json::to_value(tag).unwrap().as_object().unwrap().clone();
            row.insert("contacts_count".to_owned(), json!(count));
            row
        })
        .collect();
    assert!(!expected.is_empty());
    assert_eq!(comparable(&harness.rows("labels")), comparable(&expected));

    harness.run("  - {report: labels, write_mode: replace, contact_counts: 'false'}\n").await;
    assert!(harness.rows("labels").iter().all(|row| !row.contains_key("contacts_count")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_whose_whole_body_is_the_row_runs() {
    let harness = harness().await;
    let summary = harness.run("  - {report: organisation, extra_fields: physical_address}\n").await;
    assert_eq!((summary.outcome, summary.rows()), (Outcome::Done, 1), "{summary:#?}");
    let row = &harness.rows("organisation")[0];
    assert_eq!((&row["organization_name"], &row["physical_address_city"]), (&json!("Sandbox"), &json!("Waltham")));
    let extra: Value = serde_json::from_str(row["_extra"].as_str().unwrap()).unwrap();
    assert_eq!(extra["contact_email"], json!("owner@example.com"), "what the file does not name is kept");
    assert!(summary.reports[0].drift.contains_key("contact_email"), "{:?}", summary.reports[0].drift);
}

#[tokio::test]
async fn the_json_schema_and_the_checks_know_the_report() {
    let harness = harness().await;
    let schema = jsonschema::validator_for(&ctct_pipeline::document::schema(&harness.catalog)).unwrap();
    let cases = [
        ("{report: labels}", true),
        ("{report: labels, contact_counts: 'false'}", true),
        ("{report: labels, contact_counts: maybe}", false),
        ("{report: labels, extra_fields: none}", false),
        ("{report: labels, partition_by: {year: created_at}, write_mode: partition}", true),
        ("{report: organisation, extra_fields: [physical_address, company_logo]}", true),
        ("{report: organisation, partition_by: physical_address_city}", true),
        ("{report: organisation, partition_by: {year: created_at}}", false),
    ];
    for (entry, good) in cases {
        let text = harness.pipeline(&format!("  - {entry}\n"));
        let document: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(schema.is_valid(&document), good, "the schema on {entry}");
        let parsed = Pipeline::parse(&text, "test.yaml", &harness.catalog, &Environment::default());
        assert_eq!(parsed.is_ok(), good, "the program on {entry}: {parsed:?}");
    }
}
