//! The one table from what went wrong to what follows: the outcome, and by it the exit code, who tries again, and what to do.
//!
//! Whoever adds an error finds it under "fix it first": a scheduler repeats only what is named here as passing.

use ctct_extract::{ExtractError, RetryAdvice, shown};
use ctct_load::LoadError;

use crate::causes::with_causes;
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
            Self::Quota => row(11, RetryWhen::Tomorrow, "run again after 00:00 UTC, when the API's daily quota is new"),
            Self::Transient => row(12, RetryWhen::Soon, "run again; if it keeps failing, check the API's status page"),
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
            Self::Configuration => format!("{advice}; `ctct-etl validate {file}` checks the pipeline"),
            Self::SignIn => format!("{advice}; `ctct-etl auth status` shows who is signed in and what may be read"),
            Self::Quota => format!("{advice}; `ctct-etl plan {file}` shows what is left and what a run takes"),
            Self::Transient | Self::Stopped => format!("{advice}: `ctct-etl run {file}`"),
            Self::Held => format!("{advice}; `ctct-etl state {file}` shows what is committed"),
            Self::Partial => {
                format!("{advice}; `ctct-etl plan {file}` shows what is asked, `ctct-etl state {file}` what is stored")
            }
            Self::Damaged => format!("{advice}; `ctct-etl verify {file}` shows all that is wrong"),
        }
    }

    /// What an error of the API side means.
    pub fn of_extract(error: &ExtractError) -> Self {
        match error {
            error if error.has_wrong_scheme() || error.lacks_version().is_some() => Self::Configuration,
            ExtractError::Forbidden { .. } => Self::SignIn,
            error if error.retry() == RetryAdvice::AfterSignIn => Self::SignIn,
            ExtractError::Quota { .. } => Self::Quota,
            error if error.retry() == RetryAdvice::Later => Self::Transient,
            ExtractError::Certificate { .. }
            | ExtractError::Config { .. }
            | ExtractError::Setup { .. }
            | ExtractError::LedgerFile { .. }
            | ExtractError::Redirect { .. }
            | ExtractError::Profile { .. }
            | ExtractError::SigningIn(_)
            | ExtractError::TokensOpen { .. }
            | ExtractError::TokenKey { .. }
            | ExtractError::TokenStore { .. } => Self::Configuration,
            // One report's request or answer is wrong; the others may be fine.
            _ => Self::Partial,
        }
    }

    /// What an error of the storing side means.
    pub(crate) fn of_load(error: &LoadError) -> Self {
        match error {
            LoadError::Stopped => Self::Stopped,
            LoadError::Fenced { .. } | LoadError::Overtaken { .. } => Self::Held,
            LoadError::Damaged { .. }
            | LoadError::Moved { .. }
            | LoadError::Ahead { .. }
            | LoadError::Foreign { .. }
            | LoadError::NewerFormat { .. }
            | LoadError::Lost { .. } => Self::Damaged,
            LoadError::TooMuchRemoved { .. } | LoadError::CannotStay { .. } => Self::Partial,
            LoadError::Shape { .. } | LoadError::Task { .. } => Self::Bug,
            error if error.is_transient() => Self::Transient,
            _ => Self::Configuration,
        }
    }
}

impl RunError {
    /// Which row of the policy table holds.
    pub fn outcome(&self) -> Outcome {
        match self {
            // Where the token may not read the report, trying again is no use.
            Self::Outage { first, .. } if first.outcome() == Outcome::SignIn => Outcome::SignIn,
            Self::Configuration(_)
            | Self::Sandbox(_)
            | Self::NoTokenKey
            | Self::NoSource { .. }
            | Self::OtherRows { .. }
            | Self::LettersNotAdded { .. }
            | Self::OtherAccount { .. }
            | Self::UnknownAccount { .. }
            | Self::OtherServer { .. }
            | Self::NothingKept { .. } => Outcome::Configuration,
            Self::NoToken { .. } | Self::NoAccounts { .. } => Outcome::SignIn,
            Self::DoesNotFit { .. } => Outcome::Quota,
            Self::Held { .. } => Outcome::Held,
            // Before the first request nothing is lost: whatever the store said, the destination wants mending.
            Self::Destination(source) if matches!(**source, LoadError::Stopped) => Outcome::Stopped,
            Self::Destination(source) if !source.is_transient() => Outcome::Configuration,
            Self::Destination(_) | Self::Outage { .. } => Outcome::Transient,
            Self::Stopped { .. } => Outcome::Stopped,
            Self::Extract(source) => Outcome::of_extract(source),
            Self::Transform { .. }
            | Self::NoneFound { .. }
            | Self::NoProgress { .. }
            | Self::TooManyRejected { .. }
            | Self::IdsFailed { .. }
            | Self::Incomplete { .. } => Outcome::Partial,
            Self::SourceFailed { outcome, .. } => *outcome,
            Self::Load { source, .. } => Outcome::of_load(source),
            Self::WorkerDied { .. } | Self::Panicked { .. } => Outcome::Bug,
        }
    }

    /// For the summary: what happened, and what to do. `file` is the pipeline's, for commands to copy.
    pub fn summary(&self, file: &str) -> ErrorSummary {
        let advice = self.advice(file);
        let message = match self {
            Self::Destination(source) | Self::Load { source, .. } if source.explains_itself() => self.to_string(),
            _ => with_causes(self),
        };
        // Here everything passes that is printed, stored and sent: causes may quote what a server or a store said.
        ErrorSummary { message: shown(&message), advice: shown(&advice) }
    }

    /// What to do; `file` is the pipeline's.
    fn advice(&self, file: &str) -> String {
        match self {
            Self::NoToken { account } => format!(
                "run `ctct-etl auth login --account {account}`, or add `access_token: {{env: NAME}}` to `source`"
            ),
            Self::NoAccounts { .. } => {
                "`ctct-etl auth list` shows those that are; `ctct-etl auth login` adds one".to_owned()
            }
            Self::NoTokenKey => {
                "set it to the key that they were stored with; `ctct-etl auth key` makes a new one".to_owned()
            }
            Self::NoSource { table, .. } => format!(
                "add the report `{table}` to the pipeline where it is not there, and run it first: \
                 `ctct-etl run {file} --report {table}`"
            ),
            Self::SourceFailed { on, .. } => {
                format!("fix `{on}` first; `ctct-etl run {file} --report {on}` runs it alone")
            }
            Self::NoProgress { .. } => "report it to the API's support with the request id; the next run reads it \
                 again from where this one began"
                .to_owned(),
            Self::NoneFound { .. } => "check the ids, and that the token belongs to their account".to_owned(),
            Self::NothingKept { report, .. } => format!(
                "set `keep_raw: true` from the first run on, or, in merge and replace, run once \
                 `ctct-etl run {file} --report {report} --full-refresh --keep-raw`"
            ),
            Self::OtherAccount { account, found, stored_sign_in, .. } => {
                let right = if *stored_sign_in {
                    format!("sign in to the right one with `ctct-etl auth login --account {account} --replace`")
                } else {
                    "give the pipeline the right token".to_owned()
                };
                format!(
                    "{right}, or keep {found} apart under another `account:` or in another destination; only if its rows \
                     belong among the stored ones, run once `ctct-etl state adopt {file}`"
                )
            }
            Self::UnknownAccount { .. } => {
                "give the token the scope `account_read`, or use one that has it, then run this again".to_owned()
            }
            Self::OtherServer { account, wanted, .. } => format!(
                "remove `base_url` from `source`, or sign in for that server: \
                 `ctct-etl auth login --account {account} --base-url {wanted}`"
            ),
            Self::DoesNotFit { needed, allowance } if *needed > allowance.daily => format!(
                "`ctct-etl run {file} --over-days`: each run does what its day allows, and the run of day {} ends it",
                allowance.days(*needed)
            ),
            Self::DoesNotFit { .. } => format!(
                "run again after that, or `ctct-etl run {file} --over-days`: it does what fits today, and the next run goes on"
            ),
            Self::Held { .. } => format!("wait until it has ended; `ctct-etl run {file} --wait` does so and then runs"),
            Self::Stopped { .. } => format!("run again to resume where it stopped: `ctct-etl run {file}`"),
            Self::Destination(source) | Self::Load { source, .. } if source.is_transient() => {
                "run again; if it stays, look at the destination's store and the way to it".to_owned()
            }
            Self::Extract(source) if source.has_wrong_scheme() => {
                format!("correct the scheme of `base_url`, then `ctct-etl run {file}`")
            }
            Self::Extract(source) if source.lacks_version().is_some() => format!(
                "`base_url` has no `/v3`, which the paths of the API begin with: write `base_url: .../v3`, then \
                 `ctct-etl run {file}`"
            ),
            Self::Extract(source) => match &**source {
                ExtractError::NotSignedIn { account, .. }
                | ExtractError::LoginNeeded { account, .. }
                | ExtractError::ClientRefused { account, .. }
                | ExtractError::TokensDamaged { account, .. } => {
                    format!("`ctct-etl auth login --account {account}`, then `ctct-etl run {file}`")
                }
                ExtractError::Forbidden { .. } => {
                    "`ctct-etl auth status` shows what may be read; once the application has the \
                     scope, and its user the right, sign in again with `ctct-etl auth login`"
                        .to_owned()
                }
                _ => self.outcome().advice(file),
            },
            Self::Load { source, .. } if matches!(**source, LoadError::NewerFormat { .. }) => {
                format!("upgrade ctct-etl, then `ctct-etl run {file}`")
            }
            Self::Load { report, source } => {
                advice_on_stored(source, file, report).unwrap_or_else(|| self.outcome().advice(file))
            }
            _ => self.advice_on_rows(file).unwrap_or_else(|| self.outcome().advice(file)),
        }
    }

    /// What to do about rows that cannot be used, did not all come, or were chosen otherwise.
    fn advice_on_rows(&self, file: &str) -> Option<String> {
        Some(match self {
            Self::TooManyRejected { report, .. } => format!(
                "read the reasons in that file (`zstd -dc`); the next run asks for the same again; to publish the rest all the \
                 same, set `max_rejected` of `{report}` to a larger share, then `ctct-etl run {file} --report {report}`"
            ),
            Self::IdsFailed { report, .. } => format!(
                "the next run requests these ids again, after all others: `ctct-etl run {file} --report {report}`; if one keeps \
                 failing, give its request id to the API's support"
            ),
            Self::Incomplete { report, .. } => format!(
                "`ctct-etl run {file} --report {report}` reads everything again; if it stays, compare the table with the \
                 account: report rows that lack to the API's support, or set `check_count: false` of `{report}` if none lack"
            ),
            Self::LettersNotAdded { report, .. } => {
                format!("`ctct-etl run {file} --report {report}` reads all of it again and takes in what fits now")
            }
            Self::OtherRows { report, owner: Some(_), .. } => format!(
                "give one of the two pipelines a destination of its own, or let this one take the tables over: \
                 `ctct-etl run {file} --report {report} --full-refresh`"
            ),
            Self::OtherRows { report, .. } => format!(
                "take the change back, read everything once with `ctct-etl run {file} --report {report} --full-refresh`, or set \
                 `write_mode: replace`"
            ),
            _ => return None,
        })
    }
}

/// What to do about stored rows and their state.
fn advice_on_stored(error: &LoadError, file: &str, report: &str) -> Option<String> {
    let again = format!("`ctct-etl run {file} --report {report}");
    Some(match error {
        LoadError::Ahead { .. } => format!(
            "look at this host's clock; where that is right, run `ctct-etl state rebuild {file} --report {report}`, and the \
             next run reads again from a watermark that holds"
        ),
        error if error.is_mended_by_rebuild() => format!(
            "restore it from a backup, or run `ctct-etl state rebuild {file} --report {report}`; \
             `ctct-etl verify {file} --report {report}` shows all that is wrong"
        ),
        LoadError::KeyChanged { .. } => format!("run once {again} --full-refresh`"),
        LoadError::Moved { .. } => format!("{again} --full-refresh` writes all partitions"),
        LoadError::TooMuchRemoved { .. } => {
            format!("look at the account; if the rows are really gone, run once {again} --allow-removal`")
        }
        _ => return None,
    })
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
