//! What to do about what ended a run or a report: commands to copy.

use ctct_extract::ExtractError;
use ctct_load::LoadError;

use super::error::RunError;

impl RunError {
    /// What to do; `file` is the pipeline's.
    pub(super) fn advice(&self, file: &str) -> String {
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
