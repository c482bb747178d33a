//! Random runs that merge, against a plain model: after any sequence of them the tables are what the model says, and
//! only the files that had to change did.

use std::collections::BTreeSet;

use arrow_array::{ArrayRef, TimestampMicrosecondArray, new_null_array};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const TABLES: [&str; 3] = ["people", "people_phones", "people_phones_lines"];
/// One id is in no month, and two share one.
const MONTHS: [&str; 6] = ["2026-01-05", "2026-02-05", "2026-02-06", "", "2026-03-05", "2026-04-05"];

/// A page with the instant of its response, in microseconds. Nothing in it depends on the place of a row in the page.
pub(crate) fn timed_page(version: i64, extracted_at: i64, people: &[Person]) -> Vec<TableRows> {
    let mut tables = page(version, people);
    for TableRows { batch, .. } in &mut tables {
        let schema = batch.schema();
        let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| match field.name().as_str() {
            "_extracted_at" => {
                let instants = TimestampMicrosecondArray::from_value(extracted_at, batch.num_rows());
                Arc::new(instants.with_timezone("UTC")) as ArrayRef
            }
            "score" | "active" => new_null_array(field.data_type(), batch.num_rows()),
            _ => Arc::clone(column),
        });
        *batch = RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap();
    }
    tables
}

/// What one run does.
#[derive(Debug, Clone)]
struct Run {
    pages: Vec<(i64, Vec<Person>)>,
    absent: Missing,
    memory_bytes: usize,
    row_group_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Missing {
    Stays,
    IsMarked,
    Goes,
}

/// A row as it is stored, but for its id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    content: String,
    commit: i64,
    extracted_at: i64,
    deleted_at: Option<i64>,
    valid: Option<(i64, Option<i64>)>,
}

impl Row {
    fn is_open(&self) -> bool {
        self.valid.is_none_or(|(_, to)| to.is_none())
    }

    /// Ends it, and gives the instant from which what follows holds: never before it began itself.
    fn end(&mut self, at: i64) -> i64 {
        let Some((from, to)) = &mut self.valid else { return at };
        *to.insert(at.max(*from))
    }
}

/// The rows of each table by id.
#[derive(Debug, Clone, Default)]
struct Model {
    tables: [BTreeMap<String, Vec<Row>>; 3],
    /// The phones of each id, as they are stored.
    phones: BTreeMap<String, Phones>,
    history: bool,
}

type Phones = Vec<(String, Vec<String>)>;

/// Phones without regard to their order.
pub(crate) fn unordered(phones: &[(String, Vec<String>)]) -> Phones {
    let mut phones = phones.to_vec();
    for (_, lines) in &mut phones {
        lines.sort();
    }
    phones.sort();
    phones
}

impl Model {
    fn apply(&mut self, version: i64, run: &Run, committed_at: i64, marked_at: i64) -> [MergeTotals; 3] {
        let mut totals = [MergeTotals::default(); 3];
        let mut brought: BTreeMap<&str, Vec<(i64, &Person)>> = BTreeMap::new();
        for (extracted_at, people) in &run.pages {
            for person in people {
                brought.entry(&person.id).or_default().push((*extracted_at, person));
            }
        }
        for (id, versions) in &brought {
            let versions = if self.history { &versions[..] } else { &versions[versions.len() - 1..] };
            let mut phones = self.phones.get(*id).cloned().unwrap_or_default();
            // For each version whether its phones are others than those before; their order does not count.
            let other: Vec<bool> = versions
                .iter()
                .map(|(_, person)| {
                    let other = unordered(&person.phones) != unordered(&phones);
                    if other {
                        phones.clone_from(&person.phones);
                    }
                    other
                })
                .collect();
            self.phones.insert((*id).to_owned(), phones);
            for (table, totals) in totals.iter_mut().enumerate() {
                let rows = self.tables[table].entry((*id).to_owned()).or_default();
                let mut changed = false;
                let open_before = rows.iter().filter(|row| row.is_open()).count() as u64;
                // Versions follow each other in the order in which they came, whatever their clocks said.
                let mut held = rows.iter().filter_map(|row| row.valid.map(|(from, to)| to.unwrap_or(from))).max();
                for ((extracted_at, person), other) in versions.iter().zip(&other) {
                    let new = contents(person, table);
                    let open: Vec<&Row> = rows.iter().filter(|row| row.is_open()).collect();
                    let same = open.iter().map(|row| &row.content).eq(&new);
                    if (same || table > 0 && !other) && open.iter().all(|row| row.deleted_at.is_none()) {
                        continue;
                    }
                    changed = true;
                    totals.updated += open.len().min(new.len()) as u64;
                    totals.inserted += new.len().saturating_sub(open.len()) as u64;
                    totals.deleted += open.len().saturating_sub(new.len()) as u64;
                    let from = held.map_or(*extracted_at, |held| (held + 1).max(*extracted_at));
                    if self.history {
                        held = Some(from);
                        rows.iter_mut().filter(|row| row.is_open()).for_each(|row| _ = row.end(from));
                    } else {
                        rows.clear();
                    }
                    let valid = self.history.then_some((from, None));
                    rows.extend(new.into_iter().map(|content| Row {
                        content,
                        commit: version,
                        extracted_at: *extracted_at,
                        deleted_at: None,
                        valid,
                    }));
                }
                totals.unchanged += if changed { 0 } else { open_before };
            }
        }
        if run.absent == Missing::Goes {
            self.phones.retain(|id, _| brought.contains_key(id.as_str()));
        }
        for (table, totals) in totals.iter_mut().enumerate() {
            let absent = self.tables[table].iter_mut().filter(|(id, _)| !brought.contains_key(id.as_str()));
            for rows in absent.map(|(_, rows)| rows) {
                let open = rows.iter_mut().filter(|row| row.is_open());
                match run.absent {
                    Missing::Goes if self.history => open.for_each(|row| {
                        totals.deleted += 1;
                        row.end(committed_at);
                    }),
                    Missing::Goes => totals.deleted += std::mem::take(rows).len() as u64,
                    Missing::IsMarked if table == 0 => {
                        let mut marked = Vec::new();
                        for row in open.filter(|row| row.deleted_at.is_none()) {
                            totals.deleted += 1;
                            let gone = row.clone();
                            let at = row.end(marked_at);
                            let valid = self.history.then_some((at, None));
                            let mark = Row { commit: version, deleted_at: Some(at), valid, ..gone };
                            if self.history {
                                marked.push(mark);
                            } else {
                                *row = mark;
                            }
                        }
                        rows.extend(marked);
                    }
                    _ => {}
                }
            }
        }
        totals
    }

    /// The rows of each partition of each table, as [`stored`] gives them.
    fn rows(&self, by: &[PartitionBy]) -> BTreeMap<(String, String), Vec<String>> {
        let mut found: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for (name, table) in TABLES.iter().zip(&self.tables) {
            for (id, rows) in table {
                for Row { content, commit, extracted_at, deleted_at, valid } in rows {
                    let reason = deleted_at.map(|_| "not in a complete read");
                    let line = format!("{id} {content} {commit} {extracted_at} {deleted_at:?} {reason:?} {valid:?}");
                    found.entry(((*name).to_owned(), folder(id, by))).or_default().push(line);
                }
            }
        }
        for lines in found.values_mut() {
            lines.sort();
        }
        found
    }
}

/// What makes two versions of a person's rows in a table differ, in the order of the rows.
fn contents(person: &Person, table: usize) -> Vec<String> {
    let phones = || person.phones.iter().enumerate();
    match table {
        0 => vec![format!("{:?} {:?}", person.kind, person.created_at)],
        1 => phones().map(|(at, (number, _))| format!("{at} {number}")).collect(),
        _ => phones()
            .flat_map(|(at, (number, lines))| {
                lines.iter().enumerate().map(move |(position, line)| format!("{number} {at} {position} {line}"))
            })
            .collect(),
    }
}

fn folder(id: &str, by: &[PartitionBy]) -> String {
    match by {
        [] => String::new(),
        [PartitionBy::Month(_)] => {
            let month = MONTHS[id[1..].parse::<usize>().unwrap()];
            let month = if month.is_empty() { NULL_FOLDER } else { &month[..7] };
            format!("created_at_month={month}")
        }
        _ => {
            let digest = <sha2::Sha256 as sha2::Digest>::digest(id);
            format!("id_bucket={}", u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]) % 3)
        }
    }
}

/// What the files hold, by table and partition; and that they are where and as they should be.
async fn stored(destination: &Destination, by: &[PartitionBy]) -> BTreeMap<(String, String), Vec<String>> {
    let mut found = BTreeMap::new();
    for (at, name) in TABLES.iter().enumerate() {
        for path in destination.list(name).await.unwrap() {
            let place = path.strip_prefix(&format!("{name}/account=acme")).unwrap();
            let place = place.strip_suffix("/part-00000.parquet").expect("one file with a stable name");
            let mut lines = Vec::new();
            let mut order = Vec::new();
            for row in read(destination, &path).await {
                let text = |column: &str| row.get(column).and_then(Value::as_str).map(str::to_owned);
                let number = |column: &str| row.get(column).and_then(Value::as_i64);
                let (phone, ordinal) = (text("number"), number("_ordinal"));
                let content = match at {
                    0 => format!("{:?} {:?}", text("kind"), number("created_at")),
                    1 => format!("{} {}", ordinal.unwrap(), phone.clone().unwrap()),
                    _ => format!(
                        "{} {} {} {}",
                        phone.clone().unwrap(),
                        number("_parent_ordinal").unwrap(),
                        ordinal.unwrap(),
                        text("line").unwrap()
                    ),
                };
                let id = text("id").unwrap();
                let valid = number("_valid_from").map(|from| (from, number("_valid_to")));
                lines.push(format!(
                    "{id} {content} {} {} {:?} {:?} {valid:?}",
                    number("_commit").unwrap(),
                    number("_extracted_at").unwrap(),
                    number("_deleted_at"),
                    text("_delete_reason").as_deref(),
                ));
                order.push((id, valid.map(|(from, _)| from)));
            }
            assert!(order.is_sorted(), "{path}: {order:?}");
            lines.sort();
            found.insert(((*name).to_owned(), place.trim_start_matches('/').to_owned()), lines);
        }
    }
    // Files without rows say nothing, but every table has a file.
    for name in TABLES {
        assert!(found.keys().any(|(table, _)| table == name), "{name} has no file");
    }
    found.retain(|(_, folder), lines| {
        assert!(by.is_empty() == folder.is_empty());
        !lines.is_empty()
    });
    found
}

async fn check(runs: Vec<Run>, history: bool, by: Vec<PartitionBy>) {
    let destination = Destination::in_memory();
    let mut model = Model { history, ..Model::default() };
    for (number, run) in (1_i64..).zip(&runs) {
        let mut plan = LoadPlan { history, ..plan(WriteMode::Merge, &by, &format!("r{number}")) };
        plan.files.memory_bytes = run.memory_bytes;
        plan.files.row_group_bytes = run.row_group_bytes;
        let mut session = Session::begin(&destination, plan).await.unwrap();
        for (extracted_at, people) in &run.pages {
            session.write(timed_page(number, *extracted_at, people)).await.unwrap();
        }
        let (committed_at, marked_at) = (number * 1000 + 900, number * 1000 + 500);
        let micros = |at| DateTime::from_timestamp_micros(at).unwrap();
        let absent = match run.absent {
            Missing::Stays => Absent::Stay,
            Missing::IsMarked => Absent::Mark(micros(marked_at)),
            Missing::Goes => Absent::Go,
        };
        let outcome = RunOutcome { absent, committed_at: micros(committed_at), ..outcome() };
        let committed = session.commit(outcome).await.unwrap();

        let before = model.rows(&by);
        let totals = model.apply(number, run, committed_at, marked_at);
        let after = model.rows(&by);
        assert_eq!(stored(&destination, &by).await, after, "after run {number}");
        let counted: Vec<MergeTotals> = committed.tables.iter().map(|table| table.merge.unwrap()).collect();
        assert_eq!(counted, totals, "counts of run {number}");

        let log = ReportLog::new(&destination, "acme", "people").unwrap();
        let files = log.head().await.unwrap().unwrap().files;
        let written: BTreeSet<(String, String)> = files
            .iter()
            .filter(|file| number > 1 || file.rows > 0)
            .map(|file| (file.table.clone(), file.partition.clone()))
            .collect();
        let places = before.keys().chain(after.keys());
        let differ: BTreeSet<(String, String)> =
            places.filter(|place| before.get(*place) != after.get(*place)).cloned().collect();
        assert_eq!(written, differ, "files of run {number}");
        assert!(destination.list("_ctct/acme/people/staging").await.unwrap().is_empty());
    }
}

fn a_person() -> impl Strategy<Value = Person> {
    let phone = (select(vec!["1", "2"]), vec(select(vec!["p", "q"]), 0..3));
    (0..MONTHS.len(), select(vec!["x", "y", "a text that is too long for the view itself"]), vec(phone, 0..3)).prop_map(
        |(number, kind, phones)| {
            let person = person(&format!("k{number}"), kind, MONTHS[number]);
            phones.iter().fold(person, |person, (number, lines)| person.phone(number, lines))
        },
    )
}

/// Pages of the run with this number. Some come from a host whose clock is behind that of earlier runs.
fn a_run(number: i64) -> impl Strategy<Value = Run> {
    let delay = prop_oneof![4 => Just(0_i64), 1 => -1800_i64..0];
    let page = (delay, vec(a_person(), 0..5));
    let absent = prop_oneof![3 => Just(Missing::Stays), 1 => Just(Missing::IsMarked), 1 => Just(Missing::Goes)];
    let memory = select(vec![1, 3_000, 14 << 20]);
    (vec(page, 0..5), absent, memory, select(vec![1, 700, 8 << 20])).prop_map(
        move |(pages, absent, memory_bytes, row_group_bytes)| {
            let instant = |at: usize, delay: i64| number * 1000 + i64::try_from(at).unwrap() * 10 + delay;
            let pages = pages.into_iter().enumerate().map(|(at, (delay, people))| (instant(at, delay), people));
            Run { pages: pages.collect(), absent, memory_bytes, row_group_bytes }
        },
    )
}

fn some_runs() -> impl Strategy<Value = Vec<Run>> {
    (1_i64..6).prop_flat_map(|runs| (1..=runs).map(a_run).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn merged_tables_are_what_a_plain_model_says(
        runs in some_runs(),
        history in any::<bool>(),
        by in select(vec![
            vec![],
            vec![PartitionBy::Month("created_at".to_owned())],
            vec![PartitionBy::Bucket { column: "id".to_owned(), count: 3 }],
        ]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(check(runs, history, by));
    }
}
