//! Who it is that signed in.

use serde_json::Value;

use crate::scrub::printable;
use crate::{Client, ExtractError, RequestPlace};

/// Most bytes of a summary, which has a handful of fields.
const MAX_BYTES: u64 = 1 << 20;

/// Whose account a token opens (`GET /account/summary`; vendor's OpenAPI description). Any of it may be absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountSummary {
    /// The vendor's own name for the account, which never changes.
    pub encoded_account_id: Option<String>,
    /// Organisation.
    pub organization_name: Option<String>,
    /// Address of the account's owner.
    pub contact_email: Option<String>,
}

impl Client {
    /// Whose account the client reads: one request, paced and counted like every other.
    ///
    /// # Errors
    /// Those of any page; [`ExtractError::NotAPage`]: the response is no summary.
    pub async fn account_summary(&self) -> Result<AccountSummary, ExtractError> {
        let mut url = self.base_url().clone();
        // `Client::new` takes only URLs that have a path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["account", "summary"]);
        }
        let place = RequestPlace::new("account summary".to_owned(), "GET", &url);
        let (answer, ()) = self.fetch(&place, "account_read", &url, MAX_BYTES, |_| Ok(())).await?;
        if let Ok(Value::Object(summary)) = serde_json::from_slice(&answer.body) {
            return Ok(AccountSummary::of(&summary));
        }
        let reason = "it is not an account summary".to_owned();
        Err(ExtractError::NotAPage { place, reply: answer.reply, reason, gave_up: None })
    }
}

impl AccountSummary {
    /// What can be told of it. A field of another kind than expected does not hide the others.
    fn of(summary: &serde_json::Map<String, Value>) -> Self {
        let text = |key: &str| {
            let text = match summary.get(key)? {
                Value::String(text) => printable(text.trim()),
                Value::Number(number) => number.to_string(),
                _ => return None,
            };
            Some(text).filter(|text| !text.is_empty())
        };
        Self {
            encoded_account_id: text("encoded_account_id"),
            organization_name: text("organization_name"),
            contact_email: text("contact_email"),
        }
    }
}
