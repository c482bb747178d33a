//! Who asks: signing in, tokens that are renewed once and never lost, and whose account a token reads.

pub(crate) mod claims;
pub(crate) mod credentials;
pub(crate) mod identity;
pub(crate) mod private;
pub(crate) mod sign_in;
pub(crate) mod token;
pub(crate) mod token_reply;
pub(crate) mod tokens;
