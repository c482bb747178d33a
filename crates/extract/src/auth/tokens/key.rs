//! The key that sign-ins are encrypted with where they are in an object store, and the cipher.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::ExtractError;
use crate::scrub::hide;

/// Bytes of a nonce, which stands before what it was used for.
const NONCE: usize = 24;

/// The key that sign-ins are encrypted with where they are in an object store (XChaCha20-Poly1305). It can neither be
/// displayed nor serialised, and `Debug` hides it:
///
/// ```compile_fail,E0277
/// println!("{}", ctct_extract::TokenKey::generate());
/// ```
/// ```compile_fail,E0277
/// fn serialised(_: impl serde::Serialize) {}
/// serialised(ctct_extract::TokenKey::generate());
/// ```
#[derive(Clone)]
pub struct TokenKey(Zeroizing<[u8; 32]>);

impl TokenKey {
    /// A new key, from the system's source of randomness.
    pub fn generate() -> Self {
        Self(Zeroizing::new(random()))
    }

    /// Reads a key from its text: 32 bytes in base64, as `ctct-etl auth key` prints one.
    ///
    /// # Errors
    /// [`ExtractError::Config`]: it is no key.
    pub fn parse(text: &str) -> Result<Self, ExtractError> {
        let wrong = || ExtractError::Config {
            key: "CTCT_TOKEN_KEY",
            reason: "is not a valid key: 32 bytes in base64".to_owned(),
        };
        hide(text);
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| wrong())?);
        let key = <[u8; 32]>::try_from(&bytes[..]).map_err(|_| wrong())?;
        Ok(Self(Zeroizing::new(key)))
    }

    /// The key's text, which [`Self::parse`] reads: for the one who keeps it.
    pub fn text(&self) -> SecretString {
        STANDARD.encode(&self.0[..]).into()
    }

    /// Encrypts; `bound_to` is not kept, and must be the same again to decrypt.
    pub(super) fn seal(&self, plain: &[u8], bound_to: &str) -> Vec<u8> {
        let nonce = XNonce::from(random::<NONCE>());
        let payload = Payload { msg: plain, aad: bound_to.as_bytes() };
        // The cipher fails only beyond 256 GiB.
        let sealed = self.cipher().encrypt(&nonce, payload).unwrap_or_default();
        [&nonce[..], &sealed].concat()
    }

    /// Decrypts; `None` where the key is another, or the bytes are not what was sealed for `bound_to`.
    pub(super) fn open(&self, sealed: &[u8], bound_to: &str) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        let payload = Payload { msg: sealed, aad: bound_to.as_bytes() };
        self.cipher().decrypt(&XNonce::from(*nonce), payload).ok().map(Zeroizing::new)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&(*self.0).into())
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(...)")
    }
}

/// Bytes from the system's source of randomness.
pub(super) fn random<const N: usize>() -> [u8; N] {
    <[u8; N]>::generate()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_key_survives_its_text_and_anything_else_is_refused() {
        let key = TokenKey::generate();
        let text = key.text();
        let again = TokenKey::parse(&format!(" {}\n", text.expose_secret())).unwrap();
        assert_eq!(again.0, key.0);
        assert_ne!(TokenKey::generate().0, key.0);
        for text in ["", "s3cr3t", "AAAA", &format!("{}AAAA", text.expose_secret())] {
            let error = TokenKey::parse(text).unwrap_err().to_string();
            assert!(error.contains("32 bytes in base64") && !error.contains("s3cr3t"), "{error}");
        }
        assert_eq!(format!("{key:?}"), "TokenKey(...)");
    }

    #[test]
    fn only_the_same_key_opens_what_was_sealed_for_the_same_place() {
        let key = TokenKey::generate();
        let mut sealed = key.seal(b"s3cr3t", "a/1");
        assert!(!sealed.windows(6).any(|window| window == b"s3cr3t"));
        assert_ne!(sealed, key.seal(b"s3cr3t", "a/1"), "every nonce is new");
        assert_eq!(**key.open(&sealed, "a/1").unwrap(), *b"s3cr3t");
        assert!(key.open(&sealed, "a/2").is_none());
        assert!(TokenKey::generate().open(&sealed, "a/1").is_none());
        assert!(key.open(&sealed[..10], "a/1").is_none());
        sealed[30] ^= 1;
        assert!(key.open(&sealed, "a/1").is_none());
    }
}
