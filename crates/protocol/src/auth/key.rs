//! Secrets, keys derived from them, message authentication codes, and comparison in constant time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// What ends a V4 scope, and the last step of deriving its key.
pub(super) const V4_TERMINATOR: &str = "aliyun_v4_request";

/// The secret half of an access key. Printing it shows nothing; comparing it takes constant time.
#[derive(Clone)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Wraps a secret. Nothing about its form is checked: clients do not either.
    pub fn new(secret: impl AsRef<[u8]>) -> Secret {
        Secret(secret.as_ref().into())
    }

    /// The secret in clear, for storing it; signatures need it in clear, so it cannot be kept as a hash.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The key that V4 signatures of one day, region and product are made with.
///
/// Deriving it costs four codes, so a server may keep it. A cache must be keyed by key id, token, day, region and product
/// (see [`super::Scope`]) and emptied when the secret of the id changes.
#[derive(Clone)]
pub struct SigningKey([u8; 32]);

impl SigningKey {
    /// Derives the key for a scope: `day` as `yyyyMMdd`, the texts exactly as the scope has them.
    pub fn derive(secret: &Secret, day: &str, region: &str, product: &str) -> SigningKey {
        let mut first = hmac_key::<Hmac<Sha256>>(&[b"aliyun_v4", secret.expose()].concat());
        first.update(day.as_bytes());
        let mut key: [u8; 32] = first.finalize().into_bytes().into();
        for part in [region, product, V4_TERMINATOR] {
            key = hmac_sha256(&key, part.as_bytes());
        }
        SigningKey(key)
    }

    /// The signature of a text, in lower-case hex.
    pub fn sign(&self, text: &[u8]) -> String {
        crate::uri::lower_hex(&hmac_sha256(&self.0, text))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

fn hmac_key<M: Mac + hmac::digest::KeyInit>(key: &[u8]) -> M {
    <M as Mac>::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// HMAC-SHA256.
pub(super) fn hmac_sha256(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut mac = hmac_key::<Hmac<Sha256>>(key);
    mac.update(text);
    mac.finalize().into_bytes().into()
}

/// Base64 of HMAC-SHA1, the code of V1.
pub(super) fn hmac_sha1_base64(key: &[u8], text: &[u8]) -> String {
    let mut mac = hmac_key::<Hmac<Sha1>>(key);
    mac.update(text);
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Base64 of HMAC-SHA256, the code of V2.
pub(super) fn hmac_sha256_base64(key: &[u8], text: &[u8]) -> String {
    STANDARD.encode(hmac_sha256(key, text))
}

/// SHA-256 in lower-case hex.
pub(super) fn sha256_hex(text: &[u8]) -> String {
    crate::uri::lower_hex(&Sha256::digest(text))
}

/// Whether a signature that arrived equals the computed one; the time taken tells only whether the lengths differ.
pub(super) fn matches(computed: &str, provided: &str) -> bool {
    computed.as_bytes().ct_eq(provided.as_bytes()).into()
}
