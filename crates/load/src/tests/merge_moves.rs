//! Rows whose partition changes, versions that come out of order, lists in another order, lists that did not come, and
//! records that leave, against a plain model and case by case.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use ctct_transform::Fit;

use super::merge_model::{timed_page, unordered};
use super::*;

const MONTHS: [&str; 4] = ["2026-01-05", "2026-02-05", "", "2026-03-05"];

/// A record of a page.
#[derive(Debug, Clone)]
struct Record {
    person: Person,
    /// Whether it is outside of what the tables keep.
    outside: bool,
    /// Whether its phones were asked for and did not come.
    absent: bool,
}

type Pages = Vec<(i64, Vec<Record>)>;

async fn write(session: &mut Session, at: i64, records: &[Record]) {
    let people: Vec<Person> = records.iter().map(|record| record.person.clone()).collect();
    let mut page = timed_page(session.version(), at, &people);
    page[1].absent = (0..).zip(records).filter(|(_, record)| record.absent).map(|(row, _)| row).collect();
    let fits: Vec<Fit> = records.iter().map(|record| if record.outside { Fit::Fails } else { Fit::Fits }).collect();
    session.write_judged(page, &fits).await.unwrap();
}

fn a_plan(number: i64, by: &[PartitionBy], history: bool, changed: bool) -> LoadPlan {
    let changed = if changed { vec!["created_at".to_owned()] } else { Vec::new() };
    LoadPlan { history, changed, ..plan(WriteMode::Merge, by, &format!("r{number}")) }
}

fn by_month() -> Vec<PartitionBy> {
    vec![PartitionBy::Month("created_at".to_owned())]
}

fn place(person: &Person, by: &[PartitionBy]) -> String {
    if by.is_empty() {
        return String::new();
    }
    let at = person.created_at.map(|at| DateTime::from_timestamp_micros(at).unwrap().format("%Y-%m").to_string());
    format!("created_at_month={} ", at.as_deref().unwrap_or(NULL_FOLDER))
}

/// A person as the tables should have it.
#[derive(Debug, Clone, Default)]
struct Known {
    open: Option<(String, Option<i64>, String)>,
    phones: Vec<(String, Vec<String>)>,
    /// Rows with their time: table, place and content, from, to.
    rows: Vec<(usize, String, i64, Option<i64>)>,
}

impl Known {
    fn rows_of(table: usize, id: &str, place: &str, phones: &[(String, Vec<String>)]) -> Vec<String> {
        let phones = || phones.iter().enumerate();
        match table {
            1 => phones().map(|(at, (number, _))| format!("{place}{id} {at} {number}")).collect(),
            _ => phones()
                .flat_map(|(at, (number, lines))| {
                    let line = move |(position, line): (usize, &String)| {
                        format!("{place}{id} {number} {at} {position} {line}")
                    };
                    lines.iter().enumerate().map(line)
                })
                .collect(),
        }
    }

    fn replace(&mut self, table: usize, rows: Vec<String>, at: i64, history: bool) {
        let held = self.rows.iter().filter(|(of, ..)| *of == table).map(|(_, _, from, to)| to.unwrap_or(*from)).max();
        let at = held.map_or(at, |held| at.max(held + 1));
        if history {
            let open = self.rows.iter_mut().filter(|(of, _, _, to)| *of == table && to.is_none());
            open.for_each(|row| row.3 = Some(at));
        } else {
            self.rows.retain(|(of, ..)| *of != table);
        }
        self.rows.extend(rows.into_iter().map(|row| (table, row, at, None)));
    }

    fn meet(
        &mut self,
        record: &Record,
        phones: Vec<(String, Vec<String>)>,
        at: i64,
        by: &[PartitionBy],
        history: bool,
    ) {
        let Record { person, outside, .. } = record;
        let place = place(person, by);
        let moves = self.open.as_ref().is_some_and(|(_, _, from)| *from != place);
        let content = format!("{place}{} {} {}", person.id, person.kind.as_deref().unwrap(), shown(person.created_at));
        if *outside {
            (0..3).for_each(|table| self.replace(table, Vec::new(), at, history));
            (self.open, self.phones) = (None, Vec::new());
            return;
        }
        if self.rows.iter().all(|(table, row, _, to)| *table != 0 || to.is_some() || *row != content) {
            self.replace(0, vec![content], at, history);
        }
        if moves || unordered(&phones) != unordered(&self.phones) {
            let before = self.open.as_ref().map_or_else(|| place.clone(), |(_, _, from)| from.clone());
            for table in 1..3 {
                let rows = Self::rows_of(table, &person.id, &place, &phones);
                if rows != Self::rows_of(table, &person.id, &before, &self.phones) {
                    self.replace(table, rows, at, history);
                }
            }
            self.phones = phones;
        }
        self.open = Some((person.id.clone(), person.created_at, place));
    }
}

fn shown(value: Option<i64>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| value.to_string())
}

/// Whether a page has an id twice. Then only what holds is compared where rows move: what they held in between is a matter
/// of microseconds.
fn has_twice(pages: &Pages) -> bool {
    let ids = |records: &[Record]| {
        records.iter().map(|record| record.person.id.clone()).collect::<std::collections::BTreeSet<_>>().len()
    };
    pages.iter().any(|(_, records)| ids(records) < records.len())
}

async fn check(runs: Vec<Pages>, history: bool, by: Vec<PartitionBy>, changed: bool) {
    let timed = history && (by.is_empty() || !runs.iter().any(has_twice));
    let destination = Destination::in_memory();
    let mut model: BTreeMap<String, Known> = BTreeMap::new();
    for (number, pages) in (1_i64..).zip(&runs) {
        let mut plan = a_plan(number, &by, history, changed);
        plan.files.row_group_bytes = 700;
        plan.files.memory_bytes = if number % 2 == 0 { 1 } else { 14 << 20 };
        let mut session = Session::begin(&destination, plan).await.unwrap();
        let mut newest: BTreeMap<String, Option<i64>> = BTreeMap::new();
        let mut outdated = 0;
        let stored = model.clone();
        for (at, records) in pages {
            write(&mut session, *at, records).await;
            for record in records {
                let known = model.entry(record.person.id.clone()).or_default();
                let held = known.open.as_ref().and_then(|(_, created_at, _)| *created_at);
                let newest = newest.entry(record.person.id.clone()).or_insert(held);
                let came = record.person.created_at;
                if changed && came.is_some() && came < *newest {
                    outdated += 1;
                    continue;
                }
                *newest = came.max(*newest);
                let phones = if record.absent { known.phones.clone() } else { record.person.phones.clone() };
                if !history {
                    // Of the versions of one run only the last is compared with what is stored, in the order that it has.
                    *known = stored.get(&record.person.id).cloned().unwrap_or_default();
                }
                known.meet(record, phones, *at, &by, history);
            }
        }
        let ids: std::collections::BTreeSet<&str> =
            pages.iter().flat_map(|(_, records)| records).map(|record| record.person.id.as_str()).collect();
        assert_eq!(session.distinct_records().await.unwrap(), ids.len() as u64);
        let committed = session.commit(outcome()).await.unwrap();
        assert_eq!(committed.outdated, outdated, "run {number}");

        let columns: [&[&str]; 3] = [
            &["id", "kind", "created_at"],
            &["id", "_ordinal", "number"],
            &["id", "number", "_parent_ordinal", "_ordinal", "line"],
        ];
        for (at, name) in ["people", "people_phones", "people_phones_lines"].into_iter().enumerate() {
            let mut columns = columns[at].to_vec();
            if timed {
                columns.push("_valid_from");
            }
            columns.push("_valid_to");
            let rows = model.values().flat_map(|known| &known.rows).filter(|(of, ..)| *of == at);
            let rows = rows.filter(|(.., to)| timed || to.is_none());
            let time =
                |from: i64, to: Option<i64>| if timed { format!(" {from} {}", shown(to)) } else { " null".to_owned() };
            let mut expected: Vec<String> =
                rows.map(|(_, row, from, to)| format!("{row}{}", time(*from, *to))).collect();
            expected.sort();
            let mut stored = table(&destination, name, &columns).await;
            stored.retain(|row| timed || row.ends_with(" null"));
            assert_eq!(stored, expected, "{name} after run {number}");
        }
        let verified = verify(&destination, "acme", &people(), &VerifyOptions::default()).await.unwrap();
        assert_eq!(verified.findings, [], "after run {number}");
    }
}

fn a_record(absent: bool) -> impl Strategy<Value = Record> {
    let phone = (select(vec!["1", "2"]), vec(select(vec!["p", "q"]), 0..3));
    let what = (select(vec!["a", "b", "c"]), select(vec!["x", "y"]), select(MONTHS.to_vec()), vec(phone, 0..3));
    let rarely = || prop_oneof![4 => Just(false), 1 => Just(true)];
    (what, rarely(), rarely()).prop_map(move |((id, kind, month, phones), outside, lacks)| {
        let absent = absent && lacks && !outside;
        let person = person(id, kind, month);
        let phones = if absent { Vec::new() } else { phones };
        let person = phones.iter().fold(person, |person, (number, lines)| person.phone(number, lines));
        Record { person, outside, absent }
    })
}

fn some_runs(absent: bool) -> impl Strategy<Value = Vec<Pages>> {
    vec(vec(vec(a_record(absent), 0..4), 0..4), 1..5).prop_map(|runs| {
        let instants = (1..).map(|number| READ_AT + number * 1000);
        let runs = runs.into_iter().zip(instants);
        runs.map(|(pages, first)| (first..).step_by(10).zip(pages).collect()).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_key_is_in_one_partition_whatever_comes(runs in some_runs(false), history in any::<bool>(), changed in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(check(runs, history, by_month(), changed));
    }

    #[test]
    fn lists_compare_as_what_they_hold_and_stay_where_they_did_not_come(
        runs in some_runs(true),
        history in any::<bool>(),
        changed in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(check(runs, history, Vec::new(), changed));
    }
}

fn record(person: Person) -> Record {
    Record { person, outside: false, absent: false }
}

#[tokio::test]
async fn a_rebuild_compares_only_what_it_brings() {
    let destination = Destination::in_memory();
    for (number, month) in [(1, "2026-03-05"), (2, "2026-01-05")] {
        let rebuild = LoadPlan { rebuild: true, ..a_plan(number, &by_month(), false, true) };
        let mut session = Session::begin(&destination, rebuild).await.unwrap();
        write(&mut session, number * 100, &[record(person("a", "x", month))]).await;
        session.commit(RunOutcome { absent: Absent::Go, ..outcome() }).await.unwrap();
    }
    assert_eq!(table(&destination, "people", &["id"]).await, ["created_at_month=2026-01 a"]);
}

#[tokio::test]
async fn a_row_that_moves_without_one_of_its_lists_is_refused() {
    let destination = Destination::in_memory();
    let first = [record(person("a", "x", "2026-01-05").phone("1", &["p"]))];
    let mut session = Session::begin(&destination, a_plan(1, &by_month(), false, false)).await.unwrap();
    write(&mut session, 100, &first).await;
    session.commit(outcome()).await.unwrap();
    let mut session = Session::begin(&destination, a_plan(2, &by_month(), false, false)).await.unwrap();
    write(&mut session, 200, &[Record { absent: true, ..record(person("a", "x", "2026-02-05")) }]).await;
    let refused = session.commit(outcome()).await.unwrap_err();
    assert!(matches!(refused, LoadError::Moved { .. }), "{refused}");
    assert_eq!(table(&destination, "people_phones", &["number"]).await, ["created_at_month=2026-01 1"]);
}

/// What a run brings of people 0 to 99, and how many it takes away.
#[tokio::test]
async fn a_merge_that_removes_too_much_publishes_nothing() {
    let instant = DateTime::from_timestamp_micros(5000).unwrap();
    let people = |ids: std::ops::Range<usize>, month: &str| -> Vec<Record> {
        ids.map(|id| record(person(&format!("{id:03}"), "x", month))).collect()
    };
    let reads = [Absent::Mark(instant), Absent::Go];
    // Stored, brought, brake, whether that is too much.
    let cases = [
        (100, 0..50, Brake::Usual, false),
        (100, 0..49, Brake::Usual, true),
        (100, 0..49, Brake::Off, false),
        (100, 0..0, Brake::Usual, true),
        (3, 0..0, Brake::Usual, true),
        (3, 0..1, Brake::Usual, false),
        (100, 0..90, Brake::Share(0.05), true),
        (100, 0..96, Brake::Share(0.05), false),
    ];
    for absent in reads {
        for (history, rebuild) in [(false, false), (true, false), (false, true), (true, true)] {
            for (stored, brought, brake, stops) in cases.clone() {
                if rebuild && absent != Absent::Go {
                    continue;
                }
                let destination = Destination::in_memory();
                let mut session = Session::begin(&destination, a_plan(1, &by_month(), history, false)).await.unwrap();
                write(&mut session, 1000, &people(0..stored, "2026-01-05")).await;
                session.commit(outcome()).await.unwrap();
                // What moves is not removed.
                let second = LoadPlan { rebuild, ..a_plan(2, &by_month(), history, false) };
                let mut session = Session::begin(&destination, second).await.unwrap();
                write(&mut session, 2000, &people(brought.clone(), "2026-02-05")).await;
                let done = session.commit(RunOutcome { absent, brake, committed_at: instant, ..outcome() }).await;
                let removed = stored as u64 - brought.len() as u64;
                match done {
                    Ok(done) => assert_eq!((stops, done.removed), (false, removed), "{absent:?} {brake:?} {brought:?}"),
                    Err(LoadError::TooMuchRemoved { removed: told, stored: of, .. }) => {
                        assert_eq!(
                            (stops, told, of),
                            (true, removed, stored as u64),
                            "{absent:?} {brake:?} {brought:?}"
                        );
                        assert_eq!(table(&destination, "people", &["id"]).await.len(), stored);
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
}
