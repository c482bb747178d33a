//! Who it is that signed in.

use serde::Deserialize;

use crate::api_error::printable;
use crate::{Client, ExtractError, Place};

/// Whose account a token opens (`GET /account/summary`; vendor's OpenAPI description). Any of it may be absent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
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
    /// Those of any page; [`ExtractError::NotAPage`]: the answer is no summary.
    pub async fn account_summary(&self) -> Result<AccountSummary, ExtractError> {
        let mut url = self.base_url().clone();
        // `Client::new` takes only URLs that have a path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["account", "summary"]);
        }
        let place = Place::new("account summary".to_owned(), "GET", &url);
        let answer = self.fetch(&place, "account_read", &url).await?;
        let summary = serde_json::from_slice::<AccountSummary>(&answer.body).map_err(|_| ExtractError::NotAPage {
            place,
            reply: answer.reply,
            reason: "it is no account summary".to_owned(),
        })?;
        Ok(summary.printable())
    }
}

impl AccountSummary {
    fn printable(self) -> Self {
        let safe = |text: Option<String>| text.map(|text| printable(&text));
        Self {
            encoded_account_id: safe(self.encoded_account_id),
            organization_name: safe(self.organization_name),
            contact_email: safe(self.contact_email),
        }
    }
}
