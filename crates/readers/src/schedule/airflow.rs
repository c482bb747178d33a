//! A DAG for Airflow: the file of `integrations/airflow`, with the settings of a pipeline.

use ctct_pipeline::document::Schedule;

use super::{ScheduledJob, SchedulerFile};

/// The DAG of the repository.
const DAG: &str = include_str!("../../../../integrations/airflow/ctct_etl_dag.py");
const BEGIN: &str = "# --- settings ---\n";
const END: &str = "# --- end of the settings ---\n";

/// The file.
pub(super) fn files(job: &ScheduledJob) -> Vec<SchedulerFile> {
    let id = format!("ctct_{}", job.pipeline.name);
    let (head, rest) = DAG.split_once(BEGIN).unwrap_or((DAG, ""));
    let (_, tail) = rest.split_once(END).unwrap_or(("", rest));
    let text = [head, BEGIN, &settings(job, &id), END, tail].concat();
    vec![SchedulerFile { name: format!("{id}.py"), text }]
}

fn settings(job: &ScheduledJob, id: &str) -> String {
    let timetable = match &job.schedule {
        Schedule::Cron { expression, timezone } => {
            let zone = timezone.unwrap_or(job.pipeline.timezone);
            format!("CronDataIntervalTimetable(\"{expression}\", timezone=\"{zone}\")")
        }
        Schedule::Every(span) => format!("DeltaDataIntervalTimetable(timedelta(minutes={}))", span.as_secs() / 60),
    };
    let parts: Vec<Vec<&str>> = match job.accounts() {
        [] => vec![Vec::new()],
        accounts => accounts.iter().map(|account| vec!["--account", account]).collect(),
    };
    format!(
        "DAG_ID = {id}
DESCRIPTION = {description}
#: The program: a path, or a name on the workers' PATH.
COMMAND = {program}
PIPELINE = {file}
#: The program runs here.
FOLDER = {folder}
SCHEDULE = {timetable}
#: One mapped task each, with these arguments of its own: [\"--account\", \"east\"] or [\"--shard\", \"1/4\"].
PARTS: list[list[str]] = {parts}
#: Reports that the API can filter by date: a backfill reads these.
WINDOWED: list[str] = {windowed}
#: Variables of the program, as templates: {{\"CTCT_ACCESS_TOKEN\": \"{{{{ conn.constant_contact.password }}}}\"}}.
ENVIRONMENT: dict[str, str] = {{}}
#: How often exit codes 12 and 13 are retried, and the first delay; it doubles each time.
RETRIES, RETRY_DELAY = 6, timedelta(minutes=1)
",
        id = literal(id),
        description = literal(&job.description()),
        program = literal(&job.program.display().to_string()),
        file = literal(&job.file.display().to_string()),
        folder = literal(&job.folder.display().to_string()),
        parts = literals(parts.iter().map(|part| literals(part.iter().map(|word| literal(word))))),
        windowed = literals(job.windowed.iter().map(|name| literal(name))),
    )
}

/// A text as Python writes it; JSON's form is one of Python's.
fn literal(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn literals(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}
