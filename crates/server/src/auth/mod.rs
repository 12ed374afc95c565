//! Who sent a request.
//!
//! Owns the credentials and the cache of V4 signing keys; the signatures themselves are `ossia-protocol`'s. Nothing behind this room
//! sees a secret, a signature or a token. It must not know what a caller may do.

mod nonces;

use std::sync::Arc;

use http::HeaderMap;
use ossia_access::Caller;
use ossia_protocol::{
    auth::{
        AuthError, FormFields, FormSigned, Headers, Lookup, RequestParts, RpcError, Scope, Secret,
        Signed, SigningKey, TokenFault, VerifyOptions, detect, detect_form, detect_rpc, verify,
        verify_form, verify_rpc,
    },
    error::OssError,
    query::Query,
};
use ossia_ram::{Credential, Found, Nonce, Ram, SigningKeys};

use self::nonces::Nonces;
use crate::identity::RootKey;

/// What temporary key ids begin with.
const TEMPORARY: &str = "STS.";

/// Why nobody is known to have sent a request.
#[derive(Debug)]
pub(crate) enum AuthRefusal {
    /// The key id is unknown. Where an operation needs a bucket and the bucket is absent, its absence is told instead.
    UnknownKey(OssError),
    /// A form upload, whose signature is in its body.
    Form,
    /// Anything else.
    Other(OssError),
}

/// Verifies signatures.
#[derive(Debug)]
pub(crate) struct Authenticator {
    root: Arc<Caller>,
    anonymous: Arc<Caller>,
    root_id: String,
    root_secret: Secret,
    options: VerifyOptions,
    signing_keys: SigningKeys,
    ram: Arc<Ram>,
    nonces: Nonces,
}

/// What a key id, and a token if there is one, stand for.
enum Holder<'a> {
    Root(&'a Authenticator),
    Ram(&'a Credential),
    Nobody(Lookup<'static>),
}

impl Holder<'_> {
    /// The signing key of a scope, kept or derived.
    fn signing_key(&self, scope: Option<Scope<'_>>) -> Option<Arc<SigningKey>> {
        let scope = scope?;
        match self {
            Holder::Root(root) => Some(root.signing_keys.of(&root.root_secret, &scope)),
            Holder::Ram(one) => Some(one.signing_keys().of(one.secret(), &scope)),
            Holder::Nobody(_) => None,
        }
    }

    fn lookup<'k>(&'k self, signing_key: Option<&'k SigningKey>) -> Lookup<'k> {
        match self {
            Holder::Root(root) => Lookup::Found { secret: &root.root_secret, signing_key },
            Holder::Ram(one) => Lookup::Found { secret: one.secret(), signing_key },
            Holder::Nobody(lookup) => *lookup,
        }
    }
}

impl Authenticator {
    pub(crate) fn new(
        root: &RootKey,
        ram: Arc<Ram>,
        region: &str,
        strict_region: bool,
    ) -> Authenticator {
        Authenticator {
            root: Arc::new(Caller::account(&root.id)),
            anonymous: Arc::new(Caller::anonymous()),
            root_id: root.id.clone(),
            root_secret: Secret::new(&root.secret),
            options: VerifyOptions {
                region: region.to_owned(),
                strict_region,
                ..VerifyOptions::default()
            },
            signing_keys: SigningKeys::default(),
            ram,
            nonces: Nonces::default(),
        }
    }

    /// Nobody in particular.
    pub(crate) fn anonymous(&self) -> Arc<Caller> {
        Arc::clone(&self.anonymous)
    }

    fn found(&self, key_id: &str, token: Option<&str>, now: i64) -> Option<Found> {
        let root = key_id == self.root_id;
        match token {
            None if root => None,
            _ => match self.ram.find(key_id, token, u64::try_from(now).unwrap_or(0)) {
                Found::BadToken(TokenFault::Invalid) if root => {
                    Some(Found::BadToken(TokenFault::OnLongTermKey))
                }
                found => Some(found),
            },
        }
    }

    /// `None` stands for the root key.
    fn holder<'a>(&'a self, found: Option<&'a Found>) -> Holder<'a> {
        match found {
            None => Holder::Root(self),
            Some(Found::Credential(one)) => Holder::Ram(one),
            Some(Found::Unknown) => Holder::Nobody(Lookup::Unknown),
            Some(Found::Disabled) => Holder::Nobody(Lookup::Disabled),
            Some(Found::BadToken(fault)) => Holder::Nobody(Lookup::BadToken(*fault)),
        }
    }

    /// Who it is whose signature held. Only now anything is kept: whoever cannot sign must not be able to fill a cache.
    fn held(
        &self,
        holder: &Holder<'_>,
        key: Option<(Scope<'_>, Arc<SigningKey>)>,
        now: i64,
    ) -> Arc<Caller> {
        let keep = |keys: &SigningKeys| {
            if let Some((scope, key)) = key {
                keys.keep(&scope, key);
            }
        };
        match holder {
            Holder::Ram(one) => {
                keep(one.signing_keys());
                self.ram.held(one, u64::try_from(now).unwrap_or(0).saturating_mul(1000));
                Arc::clone(&one.caller)
            }
            Holder::Root(_) => {
                keep(&self.signing_keys);
                Arc::clone(&self.root)
            }
            // Nothing holds for nobody.
            Holder::Nobody(_) => self.anonymous(),
        }
    }

    /// Who sent this request, at `now` in Unix seconds.
    pub(crate) fn identify(
        &self,
        request: &RequestParts<'_>,
        now: i64,
    ) -> Result<Arc<Caller>, AuthRefusal> {
        let claim = match detect(request).map_err(refusal)? {
            Signed::Anonymous => return Ok(self.anonymous()),
            Signed::Form => return Err(AuthRefusal::Form),
            Signed::Claimed(claim) => claim,
        };
        let found = self.found(claim.access_key_id(), claim.token(), now);
        let holder = self.holder(found.as_ref());
        let key = holder.signing_key(claim.scope());
        let lookup = holder.lookup(key.as_deref());
        let verified = verify(&claim, request, lookup, now, &self.options).map_err(refusal)?;
        if let Some(leniency) = verified.leniency {
            tracing::debug!(?leniency, "signature held in a lenient form");
        }
        Ok(self.held(&holder, claim.scope().zip(key), now))
    }

    /// Who sent a form, what its policy demands checked; and the sizes in bytes, both included, that its file may have.
    ///
    /// # Errors
    /// 400 and 403, as [`AuthError`] says.
    pub(crate) fn identify_form(
        &self,
        fields: &FormFields,
        bucket: &str,
        cloudbox: Option<&str>,
        now: i64,
    ) -> Result<(Arc<Caller>, (u64, u64)), OssError> {
        let claim = match detect_form(fields)? {
            FormSigned::Anonymous => return Ok((self.anonymous(), (0, u64::MAX))),
            FormSigned::Claimed(claim) => claim,
        };
        let found = self.found(claim.access_key_id(), claim.token(), now);
        let holder = self.holder(found.as_ref());
        let policy = verify_form(&claim, cloudbox, holder.lookup(None), now, &self.options)?;
        policy.check(&claim, bucket, fields, now)?;
        Ok((self.held(&holder, None, now), policy.length_range()))
    }

    /// Who sent a request to RAM or STS; `body` is all of it, `form` the same one parsed.
    ///
    /// # Errors
    /// [`RpcError`].
    pub(crate) fn identify_rpc(
        &self,
        request: &RequestParts<'_>,
        form: Option<&Query>,
        body: &[u8],
        now: i64,
    ) -> Result<(Arc<Caller>, Nonce), RpcError> {
        let claim = detect_rpc(request, form)?;
        let id = claim.access_key_id();
        let found = self.found(id, claim.token(), now);
        if matches!(found, Some(Found::Unknown)) && id.starts_with(TEMPORARY) {
            return Err(RpcError::MissingToken);
        }
        let holder = self.holder(found.as_ref());
        let skew = self.options.max_skew_seconds;
        verify_rpc(&claim, request, form, body, holder.lookup(None), now, skew)?;
        // Whoever cannot sign spends no nonces.
        let until = claim.timestamp().saturating_add(skew);
        if !self.nonces.spend(id, claim.nonce(), until, now) {
            return Err(RpcError::NonceUsed);
        }
        Ok((self.held(&holder, None, now), Nonce::new(id, claim.nonce(), until)))
    }
}

fn refusal(error: AuthError) -> AuthRefusal {
    match error {
        AuthError::UnknownKey { .. } => AuthRefusal::UnknownKey(error.into()),
        error => AuthRefusal::Other(error.into()),
    }
}

/// hyper's headers as the signatures see them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeaderView<'a>(pub(crate) &'a HeaderMap);

impl Headers for HeaderView<'_> {
    fn for_each<'h>(&'h self, visit: &mut dyn FnMut(&'h str, &'h [u8])) {
        for (name, value) in self.0 {
            visit(name.as_str(), value.as_bytes());
        }
    }

    fn first(&self, name: &str) -> Option<&[u8]> {
        first(self.0, name)
    }
}

/// Up to so many headers are looked through.
const FEW_HEADERS: usize = 20;

/// The first value of a header; `name` in lower case.
///
/// A request has some ten headers and is asked for forty names, most of which it lacks. Comparing lengths says so sooner than
/// checking and hashing each name does.
pub(crate) fn first<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    let found = if headers.len() <= FEW_HEADERS {
        headers.iter().find(|(known, _)| known.as_str() == name).map(|(_, value)| value)
    } else {
        headers.get(name)
    };
    found.map(|value| value.as_bytes())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn the_first_value_of_a_header_is_found_among_few_and_among_many() {
        for more in [0, 2 * FEW_HEADERS] {
            let mut headers = HeaderMap::new();
            for number in 0..more {
                let name = HeaderName::try_from(format!("x-oss-meta-{number}")).unwrap();
                headers.append(name, HeaderValue::from_static("more"));
            }
            for (name, value) in [("host", "here"), ("x-a", "1"), ("x-b", "2"), ("x-a", "3")] {
                headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            assert_eq!(first(&headers, "host"), Some(b"here".as_slice()));
            assert_eq!(first(&headers, "x-a"), Some(b"1".as_slice()), "of several the first");
            assert_eq!(first(&headers, "x-"), None);
        }
    }
}
