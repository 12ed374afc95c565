//! Sealing: authenticated encryption of small things under a master key.
//!
//! ```text
//! format 1   1
//! key 8      which master key
//! salt 12    random; the key of this one sealing is derived with it
//! nonce 12   random
//! text       AES-256-GCM, with the context as associated data
//! tag 16
//! ```
//!
//! A key per sealing, because random nonces of 96 bits under one key are safe for some 2^32 sealings only, and a server may make
//! more objects than that. With 192 random bits a repetition is out of the question.

use std::{fmt, ops::Deref};

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf,
    rand::{SecureRandom as _, SystemRandom},
};
use thiserror::Error;
use zeroize::{Zeroize as _, Zeroizing};

use crate::keys::KeyId;

const FORMAT: u8 = 1;
const SALT: usize = 12;
const NONCE: usize = 12;
const TAG: usize = 16;
const HEAD: usize = 1 + KeyId::BYTES + SALT + NONCE;

/// How many bytes a sealed text is longer than the plain one.
pub const OVERHEAD: usize = HEAD + TAG;

/// What something is sealed for. Each has keys of its own, so that what was sealed for one can never be opened as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// The secret of an AccessKey.
    Secret,
    /// A security token that is handed out.
    Token,
    /// The key that an object's bytes are encrypted under.
    DataKey,
}

impl Purpose {
    /// Stored in what is derived: never changed.
    pub(crate) fn label(self) -> &'static [u8] {
        match self {
            Purpose::Secret => b"ossia secret",
            Purpose::Token => b"ossia token",
            Purpose::DataKey => b"ossia data key",
        }
    }
}

/// Why something cannot be sealed or opened. Never holds or shows any of what was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SealError {
    /// It was sealed under a key that is not there.
    #[error("the master key {id} is needed, and is not there")]
    UnknownKey {
        /// The key that is needed.
        id: KeyId,
    },
    /// It is not what was sealed, or was sealed for another purpose or in another context.
    #[error("what was sealed has been changed, or belongs elsewhere")]
    Tampered,
    /// It is nothing that was ever sealed.
    #[error("this is nothing that was sealed")]
    Malformed,
    /// There is no master key to seal under.
    #[error("there is no master key")]
    NoKey,
    /// The system gives no random bytes, or the text is too long for one sealing.
    #[error("sealing failed")]
    Failed,
}

/// Bytes that nobody else should see: wiped when let go of, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// The bytes, to be kept safe.
    pub fn new(bytes: Vec<u8>) -> Secret {
        Secret(Zeroizing::new(bytes))
    }
}

impl Deref for Secret {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// Never shows the bytes, nor how many they are.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Random bytes that nobody can foretell.
///
/// # Errors
/// [`SealError::Failed`] if the system gives none.
pub fn random<const N: usize>() -> Result<[u8; N], SealError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| SealError::Failed)?;
    Ok(bytes)
}

/// Under which key something was sealed; none if it is nothing that was sealed.
pub fn sealed_with(sealed: &[u8]) -> Option<KeyId> {
    take_apart(sealed).map(|parts| parts.key)
}

struct Parts<'a> {
    key: KeyId,
    salt: &'a [u8],
    nonce: [u8; NONCE],
    text: &'a [u8],
}

fn take_apart(sealed: &[u8]) -> Option<Parts<'_>> {
    let (format, rest) = sealed.split_first()?;
    let (key, rest) = rest.split_first_chunk()?;
    let (salt, rest) = rest.split_at_checked(SALT)?;
    let (nonce, text) = rest.split_first_chunk()?;
    (*format == FORMAT && text.len() >= TAG).then_some(Parts {
        key: KeyId(*key),
        salt,
        nonce: *nonce,
        text,
    })
}

/// The key of one sealing.
fn key_of(prk: &hkdf::Prk, purpose: Purpose, salt: &[u8]) -> Result<LessSafeKey, SealError> {
    let info = [purpose.label(), salt];
    let mut key = [0; 32];
    prk.expand(&info, &AES_256_GCM)
        .and_then(|okm| okm.fill(&mut key))
        .map_err(|_| SealError::Failed)?;
    let unbound = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| SealError::Failed);
    key.zeroize();
    Ok(LessSafeKey::new(unbound?))
}

pub(crate) fn seal(
    id: KeyId,
    prk: &hkdf::Prk,
    purpose: Purpose,
    context: &[u8],
    plain: &[u8],
) -> Result<Vec<u8>, SealError> {
    let fresh: [u8; SALT + NONCE] = random()?;
    let (salt, nonce) = fresh.split_at(SALT);
    let key = key_of(prk, purpose, salt)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Failed)?;
    let mut sealed = Vec::with_capacity(OVERHEAD + plain.len());
    sealed.push(FORMAT);
    sealed.extend_from_slice(&id.0);
    sealed.extend_from_slice(&fresh);
    // Into its own place at once, so that the plain text is never copied into memory that is not wiped.
    sealed.extend_from_slice(plain);
    let text = sealed.get_mut(HEAD..).unwrap_or_default();
    match key.seal_in_place_separate_tag(nonce, Aad::from(context), text) {
        Ok(tag) => {
            sealed.extend_from_slice(tag.as_ref());
            Ok(sealed)
        }
        Err(_) => {
            sealed.zeroize();
            Err(SealError::Failed)
        }
    }
}

pub(crate) fn open<'a>(
    prk: impl FnOnce(KeyId) -> Option<&'a hkdf::Prk>,
    purpose: Purpose,
    context: &[u8],
    sealed: &[u8],
) -> Result<Secret, SealError> {
    let parts = take_apart(sealed).ok_or(SealError::Malformed)?;
    let prk = prk(parts.key).ok_or(SealError::UnknownKey { id: parts.key })?;
    let key = key_of(prk, purpose, parts.salt)?;
    let nonce = Nonce::assume_unique_for_key(parts.nonce);
    let mut text = Zeroizing::new(parts.text.to_vec());
    let length = key
        .open_in_place(nonce, Aad::from(context), &mut text)
        .map_err(|_| SealError::Tampered)?
        .len();
    text.truncate(length);
    Ok(Secret(text))
}
