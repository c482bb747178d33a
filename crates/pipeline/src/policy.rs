//! The one table from what went wrong to what follows: the outcome, and by it the exit code, who tries again, and what to do.
//!
//! Whoever adds an error finds it under "fix it first": a scheduler repeats only what is named here as passing.

use ctct_extract::{ExtractError, RetryAdvice, shown};
use ctct_load::{Fix, LoadError};

use crate::causes::with_causes;
use crate::document::TOKEN_KEY;
pub use crate::outcome::Outcome;
use crate::run_error::RunError;
use crate::summary::ErrorSummary;

/// What follows from an outcome.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Exit code of the process.
    pub exit_code: u8,
    /// Whether a scheduler should start the same command again, and when.
    pub retry: RetryWhen,
    /// What to tell the user to do.
    pub advice: &'static str,
}

/// How loud an outcome is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is wrong.
    Info,
    /// The next run may do it.
    Warn,
    /// A person is needed.
    Error,
}

impl Severity {
    /// What an exit code means, `status` and its codes included.
    pub fn of_exit_code(code: u8) -> Self {
        match code {
            0 => Self::Info,
            11..=14 | 20 => Self::Warn,
            _ => Self::Error,
        }
    }

    /// Its name in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

/// When the same command may be started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryWhen {
    /// There is nothing to try again.
    Never,
    /// Soon.
    Soon,
    /// After 00:00 UTC, when the quota is new.
    Tomorrow,
    /// When somebody has done what the advice says.
    AfterMending,
}

impl Outcome {
    /// The row of the table.
    pub fn policy(self) -> Policy {
        let row = |exit_code, retry, advice| Policy { exit_code, retry, advice };
        match self {
            Self::Done => row(0, RetryWhen::Never, "nothing to do"),
            Self::Bug => row(1, RetryWhen::Never, "please report this, with the lines above"),
            Self::Configuration => row(2, RetryWhen::AfterMending, "fix the problem above, then run again"),
            Self::SignIn => row(10, RetryWhen::AfterMending, "give the pipeline a valid access token, then run again"),
            Self::Quota => row(11, RetryWhen::Tomorrow, "run again after 00:00 UTC, when the API's daily quota resets"),
            Self::Transient => {
                row(12, RetryWhen::Soon, "run again; if it keeps failing, check the network and the API's status page")
            }
            Self::Stopped => row(12, RetryWhen::Soon, "run again to resume where it stopped"),
            Self::Held => row(13, RetryWhen::Soon, "wait until the other run has ended, then run again"),
            Self::Partial => row(14, RetryWhen::AfterMending, "fix the problem above; the same run would fail again"),
            Self::Damaged => row(15, RetryWhen::AfterMending, "do not run again until the state is repaired"),
        }
    }

    /// How loud it is told.
    pub fn severity(self) -> Severity {
        Severity::of_exit_code(self.policy().exit_code)
    }

    /// What to do, with the very commands for the pipeline `file`; without them where its name is empty.
    pub(crate) fn advice(self, file: &str) -> String {
        let advice = self.policy().advice;
        match self {
            _ if file.is_empty() => advice.to_owned(),
            Self::Done | Self::Bug => advice.to_owned(),
            Self::SignIn => format!("{advice}; `ctct-etl auth status` shows who is signed in and what may be read"),
            Self::Quota => format!("{advice}; `ctct-etl plan {file}` shows what is left and what a run needs"),
            Self::Transient => format!(
                "run `ctct-etl run {file}` again; if it keeps failing, check the network, `base_url` and the API's status page"
            ),
            Self::Configuration | Self::Stopped => format!("{advice}: `ctct-etl run {file}`"),
            Self::Held => format!("{advice}; `ctct-etl state {file}` shows what is committed"),
            Self::Partial => {
                format!(
                    "{advice}; `ctct-etl plan {file}` shows what is requested, `ctct-etl state {file}` what is stored"
                )
            }
            Self::Damaged => format!("{advice}; `ctct-etl verify {file}` shows all that is wrong"),
        }
    }

    /// What an error of the API side means.
    pub fn of_extract(error: &ExtractError) -> Self {
        of_extract(error, "").outcome
    }
}

/// A row of the table. Where it has no advice of its own, that of the outcome holds.
struct Row {
    outcome: Outcome,
    advice: Option<String>,
}

fn row(outcome: Outcome, advice: impl Into<String>) -> Row {
    Row { outcome, advice: Some(advice.into()) }
}

fn plain(outcome: Outcome) -> Row {
    Row { outcome, advice: None }
}

/// Advice on an error of the API side where no pipeline is at hand; `None` where its text says all that there is.
pub fn advice_on(error: &ExtractError) -> Option<String> {
    of_extract(error, "").advice
}

/// The error with its causes and what to do, in one line.
pub fn with_advice(error: &ExtractError) -> String {
    match advice_on(error) {
        Some(advice) => format!("{}; {advice}", with_causes(error)),
        None => with_causes(error),
    }
}

/// The rows of errors of the API side. `file` is the pipeline's name; empty where there is none.
fn of_extract(error: &ExtractError, file: &str) -> Row {
    use Outcome::{Configuration, Partial, Quota, SignIn, Transient};
    let then_run = |advice: String| {
        if file.is_empty() { advice } else { format!("{advice}, then `ctct-etl run {file}`") }
    };
    let login = |account: &str| format!("`ctct-etl auth login --account {account}`");
    match error {
        error if error.has_wrong_scheme() => {
            row(Configuration, then_run("correct the scheme of `base_url`".to_owned()))
        }
        error if error.lacks_version().is_some() => row(
            Configuration,
            then_run(
                "`base_url` has no `/v3`, which the paths of the API begin with: write `base_url: .../v3`".to_owned(),
            ),
        ),
        ExtractError::Forbidden { .. } => row(
            SignIn,
            "`ctct-etl auth status` shows what may be read; once the application has the scope, and its user the right, sign \
             in again with `ctct-etl auth login`",
        ),
        ExtractError::NotSignedIn { account, .. }
        | ExtractError::LoginNeeded { account, .. }
        | ExtractError::TokensDamaged { account, .. } => row(SignIn, then_run(format!("run {}", login(account)))),
        ExtractError::ClientRefused { account, .. } => row(
            SignIn,
            then_run(format!(
                "generate a new secret in the vendor's portal if it was replaced, sign in with {}",
                login(account)
            )),
        ),
        ExtractError::TokenKey { account, .. } => row(
            Configuration,
            format!("give the key that it was stored with, or sign in again with the new one: {}", login(account)),
        ),
        ExtractError::Config { key, .. } if *key == TOKEN_KEY => row(
            Configuration,
            "`ctct-etl auth key` prints a new key; sign-ins that are already stored need the key that they were stored with",
        ),
        ExtractError::TokensOpen { path, tight, .. } => {
            row(Configuration, then_run(format!("run `chmod {tight:o} '{}'`", path.display())))
        }
        ExtractError::LedgerFile { .. } => {
            row(Configuration, "make it readable and writable, or name another folder with `--state-dir`")
        }
        ExtractError::Certificate { .. }
        | ExtractError::Config { .. }
        | ExtractError::Setup { .. }
        | ExtractError::Redirect { .. }
        | ExtractError::Profile { .. }
        | ExtractError::SigningIn(_)
        | ExtractError::TokenStore { .. }
            if error.retry() != RetryAdvice::AfterSignIn && error.retry() != RetryAdvice::Later =>
        {
            plain(Configuration)
        }
        error if error.retry() == RetryAdvice::AfterSignIn => plain(SignIn),
        ExtractError::Quota { .. } => plain(Quota),
        error if error.retry() == RetryAdvice::Later => plain(Transient),
        // One report's request or response is wrong; the others may be fine.
        _ => plain(Partial),
    }
}

/// The rows of errors of the storing side, for one report or for the destination itself.
fn of_load(error: &LoadError, file: &str, report: Option<&str>) -> Row {
    use Outcome::{Bug, Configuration, Damaged, Held, Partial, Stopped, Transient};
    let of_report = report.map(|report| format!(" --report {report}")).unwrap_or_default();
    let run = |flags: &str| format!("`ctct-etl run {file}{of_report}{flags}`");
    match error {
        LoadError::Stopped => row(Stopped, format!("run again to resume where it stopped: `ctct-etl run {file}`")),
        LoadError::Fenced { .. } | LoadError::Overtaken { .. } => plain(Held),
        LoadError::Ahead { .. } => row(
            Damaged,
            format!(
                "check this host's clock; if it is right, run `ctct-etl state rebuild {file}{of_report}`, and the next run \
                 reads again from a watermark that is in the past"
            ),
        ),
        LoadError::Moved { .. } => row(Damaged, format!("{} writes all partitions", run(" --full-refresh"))),
        LoadError::NewerFormat { .. } => row(Damaged, format!("upgrade ctct-etl, then `ctct-etl run {file}`")),
        error if error.is_mended_by_rebuild() => row(
            Damaged,
            format!(
                "restore it from a backup, or move it away if this program did not write it; without a backup, run `ctct-etl state \
                 rebuild {file}{of_report}`. `ctct-etl verify {file}{of_report}` lists all problems"
            ),
        ),
        LoadError::Damaged { .. } | LoadError::Foreign { .. } | LoadError::Lost { .. } => plain(Damaged),
        LoadError::TooMuchRemoved { .. } => row(
            Partial,
            format!("check the account; if the rows were really deleted, run once {}", run(" --allow-removal")),
        ),
        LoadError::CannotStay { .. } => plain(Partial),
        LoadError::KeyChanged { .. } => row(Configuration, format!("run once {}", run(" --full-refresh"))),
        LoadError::ModeChanged { .. } => row(
            Configuration,
            format!(
                "keep the old one, write to another destination, or write all tables again with {}",
                run(" --full-refresh")
            ),
        ),
        LoadError::Columns { .. } => row(
            Configuration,
            format!(
                "upgrade ctct-etl if a later version wrote it, else write the tables again with {}",
                run(" --full-refresh")
            ),
        ),
        LoadError::Shape { .. } | LoadError::Task { .. } => plain(Bug),
        error if error.is_transient() => {
            row(Transient, "run again; if it keeps failing, check the destination's store and the network")
        }
        _ => plain(Configuration),
    }
}

/// What to do about files that `state rebuild` does not know.
pub(crate) const ADVICE_ON_REFUSED: &str = "move them out of the table's folder, then rebuild again";

/// What to do after `state rebuild` found rows that are lost.
pub(crate) fn advice_on_lost_rows(file: &str, report: &str) -> String {
    format!("`ctct-etl run {file} --report {report} --full-refresh` brings back all that the API still has")
}

/// What to do about something that `verify` found.
pub(crate) fn advice_on_finding(fix: Fix, file: &str, report: &str) -> String {
    let refresh = format!("`ctct-etl run {file} --report {report} --full-refresh`");
    let rebuild = format!("`ctct-etl state rebuild {file} --report {report}`");
    match fix {
        Fix::Restore => format!("restore it from a backup; without one, {rebuild}, then {refresh}"),
        Fix::Rebuild => rebuild,
        Fix::Remove => "move it out of the table's folder".to_owned(),
        Fix::Label => "keep one of the two labels: move `account=LABEL` of the other out of each table's folder, and \
                        `_ctct/LABEL` with it"
            .to_owned(),
        Fix::Refresh => format!("{refresh} writes the tables again"),
        Fix::Run => {
            format!("`ctct-etl run {file} --report {report}` loads what changed since; if it remains, {refresh}")
        }
    }
}

impl RunError {
    /// How a run or a report ends with it.
    pub fn outcome(&self) -> Outcome {
        self.row("").outcome
    }

    /// For the summary: what happened, and what to do. `file` is the pipeline's, for commands to copy.
    pub fn summary(&self, file: &str) -> ErrorSummary {
        let Row { outcome, advice } = self.row(file);
        let advice = advice.unwrap_or_else(|| outcome.advice(file));
        let message = match self {
            Self::Destination(source) | Self::Load { source, .. } if source.explains_itself() => self.to_string(),
            _ => with_causes(self),
        };
        // Here everything passes that is printed, stored and sent: causes may quote what a server or a store said.
        ErrorSummary { message: shown(&message), advice: shown(&advice) }
    }

    /// The row of the error; `file` is the pipeline's name.
    #[expect(clippy::too_many_lines, reason = "a table, one row per error")]
    fn row(&self, file: &str) -> Row {
        use Outcome::{Bug, Configuration, Held, Partial, Quota, SignIn, Stopped, Transient};
        let run = |report: &str, flags: &str| format!("`ctct-etl run {file} --report {report}{flags}`");
        match self {
            Self::Extract(source) => of_extract(source, file),
            Self::Load { source, report } => of_load(source, file, Some(report)),
            // Before the first request nothing is lost: whatever the store said, the destination needs a fix.
            Self::Destination(source) => match of_load(source, file, None) {
                kept @ Row { outcome: Stopped | Transient, .. } => kept,
                Row { advice, .. } => Row { outcome: Configuration, advice },
            },
            Self::Configuration(_) | Self::Sandbox(_) => plain(Configuration),
            Self::Transform { .. } => plain(Partial),
            Self::WorkerDied { .. } | Self::Panicked { .. } => plain(Bug),
            Self::NoToken { account } => row(
                SignIn,
                format!(
                    "run `ctct-etl auth login --account {account}`, or add `access_token: {{env: NAME}}` to `source`"
                ),
            ),
            Self::NoAccounts { .. } => {
                row(SignIn, "`ctct-etl auth list` shows those that are; `ctct-etl auth login` adds one")
            }
            Self::NoTokenKey => {
                row(Configuration, "set it to the key that they were stored with; `ctct-etl auth key` makes a new one")
            }
            Self::OtherAccount { account, found, stored_sign_in, .. } => {
                let first = if *stored_sign_in {
                    format!("sign in to the right one with `ctct-etl auth login --account {account} --replace`")
                } else {
                    "give the pipeline the right token".to_owned()
                };
                row(
                    Configuration,
                    format!(
                        "{first}, or keep {found} apart under another `account:` or in another destination; only if its rows \
                         belong among the stored ones, run once `ctct-etl state adopt {file}`"
                    ),
                )
            }
            Self::UnknownAccount { .. } => row(
                Configuration,
                "give the token the scope `account_read`, or use one that has it, then run this again",
            ),
            Self::OtherServer { account, wanted, .. } => row(
                Configuration,
                format!(
                    "remove `base_url` from `source`, or sign in for that server: `ctct-etl auth login --account {account} \
                     --base-url {wanted}`"
                ),
            ),
            Self::NoSource { table, .. } => row(
                Configuration,
                format!(
                    "add the report `{table}` to the pipeline if it is missing, and run it first: {}",
                    run(table, "")
                ),
            ),
            Self::SourceFailed { on, outcome, .. } => {
                row(*outcome, format!("fix `{on}` first; {} runs it alone", run(on, "")))
            }
            Self::OtherRows { report, owner: Some(_), .. } => row(
                Configuration,
                format!(
                    "give one of the two pipelines a destination of its own, or let this one take the tables over: {}",
                    run(report, " --full-refresh")
                ),
            ),
            Self::OtherRows { report, .. } => row(
                Configuration,
                format!(
                    "undo the change, read everything once with {}, or set `write_mode: replace`",
                    run(report, " --full-refresh")
                ),
            ),
            Self::LettersNotAdded { report, .. } => {
                row(Configuration, format!("{} reads everything again and takes in what fits now", run(report, "")))
            }
            Self::NothingKept { report, .. } => row(
                Configuration,
                format!(
                    "set `keep_raw: true` from the first run on, or, in merge and replace, run once {}",
                    run(report, " --full-refresh --keep-raw")
                ),
            ),
            Self::DoesNotFit { needed, allowance } if *needed > allowance.daily => row(
                Quota,
                format!(
                    "`ctct-etl run {file} --over-days`: each run does what its day allows, and the run of day {} finishes",
                    allowance.days(*needed)
                ),
            ),
            Self::DoesNotFit { .. } => row(
                Quota,
                format!(
                    "run again after that, or `ctct-etl run {file} --over-days`: it does what fits today, and the next run \
                     continues"
                ),
            ),
            Self::Held { .. } => {
                row(Held, format!("try again when it has ended; `ctct-etl run {file} --wait` waits for it"))
            }
            Self::Stopped { .. } => {
                row(Stopped, format!("run again to resume where it stopped: `ctct-etl run {file}`"))
            }
            // Where the token may not read the report, trying again is no use.
            Self::Outage { first, .. } if first.outcome() == SignIn => plain(SignIn),
            Self::Outage { .. } => plain(Transient),
            Self::IdsFailed { report, .. } => row(
                Partial,
                format!(
                    "the next run requests these ids again, after all others: {}; if one keeps failing, give its request id to \
                     the API's support",
                    run(report, "")
                ),
            ),
            Self::NoneFound { .. } => row(Partial, "check the ids, and that the token belongs to their account"),
            Self::NoProgress { .. } => row(
                Partial,
                "report it to the API's support with the request id; the next run reads it again from where this one began",
            ),
            Self::TooManyRejected { report, .. } => row(
                Partial,
                format!(
                    "read the reasons in that file (`zstd -dc`); the next run requests the same again; to publish the rest \
                     anyway, set `max_rejected` of `{report}` to a larger share, then {}",
                    run(report, "")
                ),
            ),
            Self::Incomplete { report, .. } => row(
                Partial,
                format!(
                    "{} reads everything again; if it keeps failing, compare the table with the account: report missing rows to \
                     the API's support, or set `check_count: false` of `{report}` if none is missing",
                    run(report, "")
                ),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use ctct_extract::Identity;
    use ctct_transform::TransformError;

    use super::*;
    use crate::allowance::Allowance;

    #[test]
    fn every_error_says_what_to_do_next() {
        let (account, report, table) = (|| "acme".to_owned(), || "contacts".to_owned(), || "contacts".to_owned());
        let resets_at = DateTime::parse_from_rfc3339("2026-03-02T00:00:00Z").unwrap().to_utc();
        let allowance = |left| Allowance { left, daily: 10_000, spent: 10_000 - left, resets_at };
        let load = |error| RunError::Load { report: report(), source: Box::new(error) };
        let identity = |name: &str, account: &str| Identity {
            name: Some(name.to_owned()),
            account: Some(account.to_owned()),
            ..Identity::default()
        };
        let path = || "contacts/1.parquet".to_owned();
        let errors = [
            RunError::NoToken { account: account() },
            RunError::NoAccounts { pattern: "franchise-*".to_owned() },
            RunError::NoTokenKey,
            RunError::Destination(Box::new(LoadError::Unconditional { url: "s3://bucket".to_owned() })),
            RunError::from(ExtractError::NotSignedIn { account: account(), path: "accounts/acme.json".to_owned() }),
            RunError::from(ExtractError::Config { key: "daily_requests", reason: "must be above 0".to_owned() }),
            RunError::Transform {
                report: report(),
                page: 3,
                request_id: "0a1b".to_owned(),
                source: TransformError::NotJson { reason: "it ends early".to_owned() },
            },
            load(LoadError::Fenced { account: account(), report: report(), version: 4, winner: "run-2".to_owned() }),
            load(LoadError::Damaged { path: path(), reason: "its length is another".to_owned() }),
            load(LoadError::Moved { path: path(), reason: "created_at changed".to_owned() }),
            load(LoadError::NewerFormat { path: path(), of: "format", format: 9, known: 1 }),
            RunError::NoSource { report: "contact_activity_details".to_owned(), table: table() },
            RunError::SourceFailed {
                report: "contact_activity_details".to_owned(),
                on: table(),
                outcome: Outcome::Partial,
            },
            RunError::NoProgress { report: report(), page: 9, request_id: "0a1b".to_owned() },
            RunError::Panicked { what: report() },
            RunError::NoneFound { report: report(), ids: 3 },
            RunError::NothingKept { report: report(), place: "/data/acme".to_owned() },
            RunError::IdsFailed {
                report: report(),
                failed: 3,
                ids: 400,
                ordinal: 17,
                first: Box::new(RunError::NoSource { report: report(), table: table() }),
                file: Some("/data/acme/_ctct/acme/contacts/failed_ids/1.json".to_owned()),
            },
            RunError::Outage {
                report: report(),
                failed: 90,
                ids: 400,
                first: Box::new(RunError::NoSource { report: report(), table: table() }),
            },
            load(LoadError::TooMuchRemoved { account: account(), report: report(), removed: 900, stored: 1000 }),
            RunError::TooManyRejected {
                report: report(),
                rejected: 30,
                records: 100,
                kept: Some("s3://bucket/_ctct/acme/contacts/rejected/run-1.jsonl.zst".to_owned()),
            },
            RunError::Incomplete { report: report(), read: 199, counted: 200 },
            RunError::LettersNotAdded { report: report(), mode: "replace" },
            RunError::OtherRows {
                report: report(),
                stored: "contact_status: all".to_owned(),
                wanted: "contact_status: active".to_owned(),
                owner: None,
            },
            RunError::OtherRows {
                report: report(),
                stored: "contact_status: all".to_owned(),
                wanted: "contact_status: active".to_owned(),
                owner: Some("nightly".to_owned()),
            },
            RunError::OtherAccount {
                account: account(),
                report: report(),
                stored: Box::new(identity("Acme", "a07e1")),
                found: Box::new(identity("Beta", "a07e2")),
                stored_sign_in: false,
            },
            RunError::UnknownAccount { account: account() },
            RunError::OtherServer {
                account: account(),
                signed_in: "http://127.0.0.1:8080/v3".to_owned(),
                wanted: "https://api.cc.email/v3".to_owned(),
            },
            RunError::DoesNotFit { needed: 25_000, allowance: allowance(9_000) },
            RunError::DoesNotFit { needed: 9_500, allowance: allowance(9_000) },
            RunError::Stopped { report: report() },
            RunError::WorkerDied { report: report() },
        ];
        let table = errors.map(|error| {
            let (exit_code, ErrorSummary { message, advice }) =
                (error.outcome().policy().exit_code, error.summary("acme.yaml"));
            format!("{exit_code:>2} {message}\n   next: {advice}")
        });
        insta::assert_snapshot!(table.join("\n"));
    }

    #[test]
    fn a_person_is_told_of_as_an_error_and_what_passes_as_a_warning() {
        for outcome in Outcome::ALL {
            let expected = match outcome.policy().exit_code {
                0 => Severity::Info,
                11..=14 => Severity::Warn,
                _ => Severity::Error,
            };
            assert_eq!(outcome.severity(), expected, "{outcome}");
        }
    }

    #[test]
    fn every_outcome_has_its_own_code() {
        let table = Outcome::ALL.map(|outcome| {
            let Policy { exit_code, retry, advice } = outcome.policy();
            format!("{exit_code:>2} {outcome}: {retry:?}: {advice}")
        });
        insta::assert_snapshot!(table.join("\n"));
    }
}
