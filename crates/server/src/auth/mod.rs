//! Who sent a request.
//!
//! Owns the credentials and the cache of V4 signing keys; the signatures themselves are `ossia-protocol`'s. Nothing behind this room
//! sees a secret, a signature or a token. It must not know what a caller may do.

mod keys;

use std::sync::Arc;

use http::HeaderMap;
use ossia_access::Caller;
use ossia_protocol::{
    auth::{
        AuthError, FormFields, FormSigned, Headers, Lookup, RequestParts, Secret, Signed,
        TokenFault, VerifyOptions, detect, detect_form, verify, verify_form,
    },
    error::OssError,
};

use self::keys::SigningKeys;
use crate::identity::RootKey;

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
}

impl Authenticator {
    pub(crate) fn new(root: &RootKey, region: &str, strict_region: bool) -> Authenticator {
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
        }
    }

    /// Nobody in particular.
    pub(crate) fn anonymous(&self) -> Arc<Caller> {
        Arc::clone(&self.anonymous)
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
        let known = claim.access_key_id() == self.root_id;
        let key = match (known, claim.scope()) {
            (true, Some(scope)) => Some(self.signing_keys.of(&self.root_secret, &scope)),
            _ => None,
        };
        let lookup = match (known, claim.token()) {
            (false, _) => Lookup::Unknown,
            (true, Some(_)) => Lookup::BadToken(TokenFault::OnLongTermKey),
            (true, None) => {
                Lookup::Found { secret: &self.root_secret, signing_key: key.as_deref() }
            }
        };
        let verified = verify(&claim, request, lookup, now, &self.options).map_err(refusal)?;
        if let (Some(scope), Some(key)) = (claim.scope(), key) {
            // Only now: whoever cannot sign must not be able to fill the cache.
            self.signing_keys.keep(&scope, key);
        }
        if let Some(leniency) = verified.leniency {
            tracing::debug!(?leniency, "signature held in a lenient form");
        }
        Ok(Arc::clone(&self.root))
    }
}

impl Authenticator {
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
        let known = claim.access_key_id() == self.root_id;
        let lookup = match (known, claim.token()) {
            (false, _) => Lookup::Unknown,
            (true, Some(_)) => Lookup::BadToken(TokenFault::OnLongTermKey),
            (true, None) => Lookup::Found { secret: &self.root_secret, signing_key: None },
        };
        let policy = verify_form(&claim, cloudbox, lookup, now, &self.options)?;
        policy.check(&claim, bucket, fields, now)?;
        Ok((Arc::clone(&self.root), policy.length_range()))
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
