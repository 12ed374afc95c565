//! The order of checks, and the leniencies.

use std::borrow::Cow;

use super::canonical::{self, V1Variant, V4Variant};
use super::detect::{Carrier, Claim, Scope, Validity, Version};
use super::error::{AuthError, SignatureMismatch};
use super::request::RequestParts;
use super::{MAX_SKEW_SECONDS, Secret, SigningKey, key};
use crate::time;

/// What the caller found under the key id and token of a claim.
#[derive(Clone, Copy, Debug)]
pub enum Lookup<'k> {
    /// No such key id. Also for a temporary id that came without a token.
    Unknown,
    /// The key id is switched off.
    Disabled,
    /// The key id exists, but the token does not pass.
    BadToken(TokenFault),
    /// A long-term key, or a temporary one whose token is known, belongs to the id and has not expired.
    Found {
        /// The secret of this id and token.
        secret: &'k Secret,
        /// For V4, the key of the claim's scope, if the caller keeps derived keys.
        signing_key: Option<&'k SigningKey>,
    },
}

/// What is wrong with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFault {
    /// Unknown or damaged.
    Invalid,
    /// Of another key id.
    Mismatch,
    /// Past its time.
    Expired,
    /// Sent with a long-term key id.
    OnLongTermKey,
    /// Sent to an operation that takes no temporary keys.
    NotSupported,
}

/// Settings of verification.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// The server's region.
    pub region: String,
    /// Whether a V4 scope must name that region. The derived key proves the secret whatever the region.
    pub strict_region: bool,
    /// How far a request's time may be off, in seconds, either way.
    pub max_skew_seconds: i64,
}

impl Default for VerifyOptions {
    /// Region `cn-hangzhou`, any region accepted, 900 seconds.
    fn default() -> VerifyOptions {
        VerifyOptions {
            region: "cn-hangzhou".to_owned(),
            strict_region: false,
            max_skew_seconds: MAX_SKEW_SECONDS,
        }
    }
}

/// A deviation from the strict canonical form under which a signature held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leniency {
    /// V1 without the `x-oss-` parameters in the canonical resource.
    OssParametersUnsigned,
    /// V1 with `regions` in the canonical resource.
    RegionsSigned,
    /// V1 with `key=` in the canonical resource (the Java SDK's presigner given an empty value); V4 with it in the canonical
    /// query, or with empty headers in the canonical headers.
    EmptyValuesKept,
    /// V1 with `/bucket` as the resource of a bucket, without the slash at its end (opendal's path style).
    BareBucket,
}

/// A claim that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The deviation that was needed, if any; for a log or a counter.
    pub leniency: Option<Leniency>,
}

/// Checks a claim: key id, then date or expiry (with the V4 scope), then token, then signature.
///
/// `request` must be the one that the claim was detected in, `now` is in Unix seconds.
///
/// # Errors
/// The first check that fails. [`AuthError::UnknownKey`] on an operation that needs an existing bucket is for the caller to
/// turn into the absence of the bucket, if it is absent.
pub fn verify(
    claim: &Claim<'_>,
    request: &RequestParts<'_>,
    lookup: Lookup<'_>,
    now: i64,
    options: &VerifyOptions,
) -> Result<Verified, AuthError> {
    let (secret, signing_key) = admit(lookup, claim.access_key_id, || {
        claim.check_time(now, options)?;
        claim.check_scope(request.target.cloudbox.as_deref(), options)
    })?;
    claim.check_signature(request, secret, signing_key)
}

/// The checks before the signature, for every kind of claim: `timely` comes between the key id and the token.
pub(super) fn admit<'k>(
    lookup: Lookup<'k>,
    access_key_id: &str,
    timely: impl FnOnce() -> Result<(), AuthError>,
) -> Result<(&'k Secret, Option<&'k SigningKey>), AuthError> {
    let access_key_id = || access_key_id.to_owned();
    match lookup {
        Lookup::Unknown => Err(AuthError::UnknownKey { access_key_id: access_key_id() }),
        Lookup::Disabled => Err(AuthError::DisabledKey { access_key_id: access_key_id() }),
        Lookup::BadToken(fault) => {
            timely()?;
            Err(match fault {
                TokenFault::Invalid => AuthError::InvalidToken,
                TokenFault::Mismatch => AuthError::TokenMismatch,
                TokenFault::Expired => AuthError::TokenExpired,
                TokenFault::OnLongTermKey => {
                    AuthError::TokenOnLongTermKey { access_key_id: access_key_id() }
                }
                TokenFault::NotSupported => AuthError::TokenNotSupported,
            })
        }
        Lookup::Found { secret, signing_key } => {
            timely()?;
            Ok((secret, signing_key))
        }
    }
}

/// Product, then region, of a scope. A cloud box has its own product, and its id in the place of the region.
pub(super) fn check_place(
    scope: &Scope<'_>,
    cloudbox: Option<&str>,
    options: &VerifyOptions,
) -> Result<(), AuthError> {
    let (product, region) = match cloudbox {
        Some(id) => ("oss-cloudbox", id),
        None => ("oss", options.region.as_str()),
    };
    if scope.product != product {
        return Err(AuthError::ScopeProduct);
    }
    if options.strict_region && scope.region != region {
        return Err(AuthError::ScopeRegion);
    }
    Ok(())
}

impl Claim<'_> {
    /// Date or expiry, and that the day of a V4 scope is the day of the request's time.
    pub(super) fn check_time(&self, now: i64, options: &VerifyOptions) -> Result<(), AuthError> {
        let skew = options.max_skew_seconds;
        let time = match self.validity {
            Validity::Around(None) => return Err(AuthError::InvalidDate),
            Validity::Around(Some(time)) => {
                if now.abs_diff(time) > skew.unsigned_abs() {
                    return Err(AuthError::TimeSkewed {
                        request_time: time,
                        server_time: now,
                        max_skew_seconds: skew,
                    });
                }
                time
            }
            Validity::Until(until) => {
                expired(until, now)?;
                until
            }
            Validity::Window { from, until } => {
                if from > now.saturating_add(skew) {
                    return Err(AuthError::NotYetValid);
                }
                expired(until, now)?;
                from
            }
        };
        match self.scope {
            Some(scope) if scope.day != time::compact_day(time) => {
                Err(AuthError::ScopeDay(self.carrier))
            }
            _ => Ok(()),
        }
    }

    fn check_scope(
        &self,
        cloudbox: Option<&str>,
        options: &VerifyOptions,
    ) -> Result<(), AuthError> {
        self.scope.as_ref().map_or(Ok(()), |scope| check_place(scope, cloudbox, options))
    }

    /// Compares the signature with the one computed, strictly first, then in the forms that some client signs.
    fn check_signature(
        &self,
        request: &RequestParts<'_>,
        secret: &Secret,
        signing_key: Option<&SigningKey>,
    ) -> Result<Verified, AuthError> {
        match (self.version, self.scope) {
            (Version::V4, Some(scope)) => {
                let derived;
                let signing_key = match signing_key {
                    Some(kept) => kept,
                    None => {
                        derived =
                            SigningKey::derive(secret, scope.day, scope.region, scope.product);
                        &derived
                    }
                };
                self.check_v4(request, scope, signing_key)
            }
            (Version::V2, _) => self.check_v2(request, secret),
            (Version::V1 | Version::V4, _) => self.check_v1(request, secret),
        }
    }

    fn check_v1(&self, request: &RequestParts<'_>, secret: &Secret) -> Result<Verified, AuthError> {
        let holds = |string: &[u8]| {
            key::matches(&key::hmac_sha1_base64(secret.expose(), string), self.signature)
        };
        let strict = canonical::v1_string(request, self.timestamp, V1Variant::default());
        if holds(&strict) {
            return Ok(Verified { leniency: None });
        }
        // Not for URLs: whoever holds a signed URL could then add parameters that its maker never signed.
        let has_oss_parameters = request.query.iter().any(|one| one.name.starts_with(b"x-oss-"));
        let empty_value = request.query.iter().any(|one| one.has_equals && one.value.is_empty());
        let strict_form = V1Variant::default();
        let lenient = [
            (
                self.carrier == Carrier::Header && has_oss_parameters,
                V1Variant { without_oss_parameters: true, ..strict_form },
                Leniency::OssParametersUnsigned,
            ),
            (
                request.query.has("regions"),
                V1Variant { with_regions: true, ..strict_form },
                Leniency::RegionsSigned,
            ),
            (
                empty_value,
                V1Variant { keep_equals: true, ..strict_form },
                Leniency::EmptyValuesKept,
            ),
            (
                request.target.bucket.is_some() && request.target.key.is_none(),
                V1Variant { bare_bucket: true, ..strict_form },
                Leniency::BareBucket,
            ),
        ];
        for (applies, variant, leniency) in lenient {
            if applies && holds(&canonical::v1_string(request, self.timestamp, variant)) {
                return Ok(Verified { leniency: Some(leniency) });
            }
        }
        Err(self.mismatch(strict, None))
    }

    fn check_v2(&self, request: &RequestParts<'_>, secret: &Secret) -> Result<Verified, AuthError> {
        let string = canonical::v2_string(request, self.timestamp, &self.additional);
        if key::matches(&key::hmac_sha256_base64(secret.expose(), &string), self.signature) {
            return Ok(Verified { leniency: None });
        }
        Err(self.absent(request).unwrap_or_else(|| self.mismatch(string, None)))
    }

    fn check_v4(
        &self,
        request: &RequestParts<'_>,
        scope: Scope<'_>,
        signing_key: &SigningKey,
    ) -> Result<Verified, AuthError> {
        let attempt = |variant| {
            let canonical = canonical::v4_request(request, self.carrier, &self.additional, variant);
            let (string, signature) =
                canonical::v4_sign(signing_key, self.timestamp, scope.text, &canonical);
            (key::matches(&signature, self.signature), string, canonical)
        };
        let (holds, string, canonical) = attempt(V4Variant::default());
        if holds {
            return Ok(Verified { leniency: None });
        }
        let equals = request.query.iter().any(|one| one.has_equals && one.value.is_empty());
        let empty = ["content-type", "content-md5"].iter().any(|name| {
            request.headers.first(name).is_some_and(|value| value.trim_ascii().is_empty())
        });
        for (keep_equals, keep_empty_headers) in [(true, false), (false, true), (true, true)] {
            let applies = (equals || !keep_equals) && (empty || !keep_empty_headers);
            if applies && attempt(V4Variant { keep_equals, keep_empty_headers }).0 {
                return Ok(Verified { leniency: Some(Leniency::EmptyValuesKept) });
            }
        }
        Err(self.absent(request).unwrap_or_else(|| self.mismatch(string, Some(canonical))))
    }

    /// A header that was signed and did not come: the client is told which, rather than that its secret may be wrong.
    fn absent(&self, request: &RequestParts<'_>) -> Option<AuthError> {
        let absent = |name: &&Cow<'_, str>| request.headers.first(name).is_none();
        let name = self.additional.iter().find(absent)?.clone().into_owned();
        Some(AuthError::AbsentHeader { version: self.version, carrier: self.carrier, name })
    }

    fn mismatch(&self, string_to_sign: Vec<u8>, canonical_request: Option<Vec<u8>>) -> AuthError {
        AuthError::SignatureMismatch(Box::new(SignatureMismatch {
            version: self.version,
            access_key_id: self.access_key_id.to_owned(),
            signature_provided: self.signature.to_owned(),
            string_to_sign,
            canonical_request,
        }))
    }
}

/// A time is still good in its own second.
pub(super) fn expired(until: i64, now: i64) -> Result<(), AuthError> {
    if now > until {
        return Err(AuthError::Expired { expires: until, server_time: now });
    }
    Ok(())
}
