//! Whose account a run reads. A label in a pipeline is a name that people chose; the vendor's id of the account is what
//! tells one company from another.
//!
//! A run knows it before its first page: from the sign-in, from the commit that the same user or token made before, or else
//! by one request. Where the stored rows are another account's, nothing is read.

use ctct_extract::Identity;
use ctct_load::{Destination, Owned, Owner, owners};

use crate::context::Context;
use crate::document::Credentials;
use crate::plan::Plan;
use crate::run_error::RunError;
use crate::source::{self, OpenSource, SourceFacts};

/// Whose account a run reads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reader {
    /// For commits and files.
    pub(crate) owner: Owner,
    /// Tells the pages of one account from those of another; the same for every run of one account.
    pub(crate) source: String,
    /// Why the account is not known, where it is not.
    pub(crate) warning: Option<String>,
}

/// What a plan can know of that without a request.
#[derive(Debug, Default)]
pub(crate) struct Foreseen {
    /// Whose account a run will read, as far as that can be known.
    pub(crate) reader: Reader,
    /// The least and the most requests that a run will send to learn it.
    pub(crate) requests: (u64, u64),
    /// The server that a run will ask, where that is known.
    pub(crate) server: Option<String>,
    /// Why a run will not begin.
    pub(crate) error: Option<RunError>,
}

/// Learns whose account the source is, and refuses to add its rows to those of another account.
///
/// # Errors
/// [`RunError::OtherAccount`]; the destination cannot be read; or the API said something that would be the same again.
pub(crate) async fn establish(
    plan: &Plan,
    context: &Context,
    destination: &Destination,
    source: &OpenSource,
) -> Result<Reader, RunError> {
    let stored = stored(plan, destination).await?;
    let facts = source.facts();
    let identity = if facts.identity.account.is_some() {
        facts.identity.clone()
    } else {
        let asking = async {
            let of_token = source.client.token_identity().await?;
            match remembered(facts, &of_token, &stored) {
                Some(identity) => Ok(identity),
                None => source.client.identify().await,
            }
        };
        tokio::select! {
            identity = asking => identity?,
            // The reports end by themselves, before their first page.
            () = context.stop.cancelled() => return Ok(Reader::default()),
        }
    };
    refuse_other(plan, &stored, &identity)?;
    Ok(Reader::new(&identity, facts, &plan.account))
}

/// What can be known of that without a request. What cannot be looked at is not known.
pub(crate) async fn foresee(plan: &Plan, context: &Context, destination: Option<&Destination>) -> Foreseen {
    let facts = match source::facts(plan, context).await {
        Ok(facts) => facts,
        Err(error @ RunError::OtherServer { .. }) => return Foreseen { error: Some(error), ..Foreseen::default() },
        Err(_) => return Foreseen::default(),
    };
    let stored = match destination {
        Some(destination) => stored(plan, destination).await.unwrap_or_default(),
        None => Vec::new(),
    };
    let server = facts.server.as_ref().map(ToString::to_string);
    let (identity, requests) = match (&facts.identity.account, &facts.of_token) {
        (Some(_), _) => (Some(facts.identity.clone()), (0, 0)),
        (None, Some(of_token)) => match remembered(&facts, of_token, &stored) {
            Some(identity) => (Some(identity), (0, 0)),
            None => (None, (1, 1)),
        },
        // The token is not there yet.
        (None, None) => (None, (0, 1)),
    };
    let error = identity.as_ref().and_then(|identity| refuse_other(plan, &stored, identity).err());
    // A run whose account is not known yet continues with what it finds, if that is its own.
    let identity = identity.or_else(|| newest(&stored).map(identity_of)).unwrap_or_default();
    Foreseen { reader: Reader::new(&identity, &facts, &plan.account), requests, server, error }
}

async fn stored(plan: &Plan, destination: &Destination) -> Result<Vec<Owned>, RunError> {
    owners(destination, &plan.account).await.map_err(|error| RunError::Destination(Box::new(error)))
}

/// What was learnt of this token or its user before: whose account it is, or that nothing tells.
fn remembered(facts: &SourceFacts, of_token: &Identity, stored: &[Owned]) -> Option<Identity> {
    let known = stored.iter().filter(|owned| owned.owner.account.is_some());
    let known = known.filter(|owned| identity_of(owned).holds_for(of_token));
    if let Some(owned) = known.max_by_key(|owned| owned.committed_at) {
        let Identity { account, name, .. } = identity_of(owned);
        return Some(Identity { account, name, ..of_token.clone() });
    }
    let asked = |hash: &Option<String>| hash.is_some() && *hash == of_token.token;
    let in_vain = asked(&facts.identity.token) || stored.iter().any(|owned| asked(&owned.owner.asked));
    in_vain.then(|| of_token.clone())
}

/// Refuses rows of another account than the stored ones. A report of which nothing is known goes by the newest of those that
/// are stored beside it.
fn refuse_other(plan: &Plan, stored: &[Owned], identity: &Identity) -> Result<(), RunError> {
    let newest = newest(stored);
    for report in &plan.reports {
        let own = stored.iter().find(|owned| owned.report == report.report.name && owned.owner.account.is_some());
        let Some(owned) = own.or(newest) else { continue };
        let stored = identity_of(owned);
        if stored.contradicts(identity) {
            return Err(RunError::OtherAccount {
                account: plan.account.clone(),
                report: owned.report.clone(),
                stored: Box::new(stored),
                found: Box::new(identity.clone()),
                stored_sign_in: matches!(plan.pipeline.source.credentials, Credentials::Stored),
            });
        }
    }
    Ok(())
}

/// The newest commit whose account is known.
fn newest(stored: &[Owned]) -> Option<&Owned> {
    stored.iter().filter(|owned| owned.owner.account.is_some()).max_by_key(|owned| owned.committed_at)
}

fn identity_of(owned: &Owned) -> Identity {
    let Owner { account, name, user, token, .. } = owned.owner.clone();
    Identity { account, name, user, token }
}

/// What commits and files say of an identity.
pub(crate) fn owner(identity: &Identity) -> Owner {
    let Identity { account, name, user, token } = identity.clone();
    let asked = if account.is_none() { token.clone() } else { None };
    Owner { account, name, user, token, asked, former: Vec::new() }
}

impl Reader {
    fn new(identity: &Identity, facts: &SourceFacts, label: &str) -> Self {
        let known = identity.account.as_ref().map(|account| format!("account={account}"));
        // Without the account, pages of one user or one sign-in are still not mixed with another's.
        let user = || identity.user.as_ref().map(|user| format!("user={user}"));
        let signed_in = || facts.signed_in_at.map(|at| format!("signed_in={}", at.timestamp_micros()));
        let token = || identity.token.as_ref().map(|token| format!("token={token}"));
        let source = known.or_else(user).or_else(signed_in).or_else(token).unwrap_or_else(|| "unknown".to_owned());
        let warning = identity.account.is_none().then(|| {
            format!(
                "the API does not say whose account `{label}` is (GET /account/summary), so its rows are stored without a check \
                 that they belong together; give the token the scope `account_read`"
            )
        });
        Self { owner: owner(identity), source, warning }
    }
}
