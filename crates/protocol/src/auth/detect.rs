//! Which scheme a request is signed with, and the fields of its claim.
//!
//! Scheme words are matched exactly, what follows them is read leniently: any order of fields, blanks after commas. Everything
//! here is syntax; nothing needs a secret or a clock.

use super::error::AuthError;
use super::request::RequestParts;
use super::{MAX_V4_VALIDITY_SECONDS, key};
use crate::time;
use std::borrow::Cow;

/// The word that opens V4.
pub(super) const V4_WORD: &str = "OSS4-HMAC-SHA256";
/// The word that opens V2.
const V2_WORD: &str = "OSS2";
/// The only payload hash that the service takes.
pub(super) const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";
/// More additional headers than any client lists; a bound on the work that a claim can ask for.
const MAX_ADDITIONAL_HEADERS: usize = 64;

/// Signature versions of OSS requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// HMAC-SHA1 over the listed sub-resources.
    V1,
    /// HMAC-SHA256 over all parameters.
    V2,
    /// HMAC-SHA256 with a key derived for day, region and product.
    V4,
}

/// Where the signature stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// In the `Authorization` header.
    Header,
    /// In the URL.
    Query,
}

/// What a request says about its sender.
#[derive(Clone, Debug)]
pub enum Signed<'a> {
    /// Nothing.
    Anonymous,
    /// A form upload: the claim is in the body, see [`super::detect_form`]. Signatures in header or URL are ignored.
    Form,
    /// A claim to be verified.
    Claimed(Claim<'a>),
}

/// The scope of a V4 signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scope<'a> {
    /// All of it, `day/region/product/aliyun_v4_request`.
    pub text: &'a str,
    /// `yyyyMMdd`.
    pub day: &'a str,
    /// The region, or the id of a cloud box.
    pub region: &'a str,
    /// `oss` or `oss-cloudbox`.
    pub product: &'a str,
}

/// When a claim may be used. Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Validity {
    /// Within the skew of this time; `None` if there is no readable date.
    Around(Option<i64>),
    /// Up to and including this time.
    Until(i64),
    /// From one time (less the skew) to another.
    Window { from: i64, until: i64 },
}

/// A claim as parsed. It borrows from the request.
#[derive(Clone)]
pub struct Claim<'a> {
    pub(super) version: Version,
    pub(super) carrier: Carrier,
    pub(super) access_key_id: &'a str,
    pub(super) token: Option<&'a str>,
    pub(super) signature: &'a str,
    /// The date line of the string to sign, verbatim.
    pub(super) timestamp: &'a str,
    pub(super) validity: Validity,
    /// V4 only.
    pub(super) scope: Option<Scope<'a>>,
    /// V2 and V4: lower case, sorted, without repetition.
    pub(super) additional: Vec<Cow<'a, str>>,
}

impl std::fmt::Debug for Claim<'_> {
    /// Leaves out the token and the signature: neither belongs in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claim")
            .field("version", &self.version)
            .field("carrier", &self.carrier)
            .field("access_key_id", &self.access_key_id)
            .field("timestamp", &self.timestamp)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl<'a> Claim<'a> {
    /// The signature version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Header or URL.
    pub fn carrier(&self) -> Carrier {
        self.carrier
    }

    /// The id to look up, together with [`Claim::token`]: one id may be long-term and temporary at once.
    pub fn access_key_id(&self) -> &'a str {
        self.access_key_id
    }

    /// The STS token, if one came along.
    pub fn token(&self) -> Option<&'a str> {
        self.token
    }

    /// The V4 scope: with key id and token it names the signing key, for a cache.
    pub fn scope(&self) -> Option<Scope<'a>> {
        self.scope
    }
}

/// Finds the claim of a request, in the protocol's order of schemes.
///
/// RPC requests ([`super::is_rpc`]) must have been taken out before: they would be read as malformed.
pub fn detect<'a>(request: &RequestParts<'a>) -> Result<Signed<'a>, AuthError> {
    if is_form(request) {
        return Ok(Signed::Form);
    }
    let query = request.query;
    let version = query.get("x-oss-signature-version");
    let in_query = version.is_some_and(|version| version == V4_WORD || version == V2_WORD)
        || query.has("OSSAccessKeyId")
        || query.has("Signature");
    if request.headers.first("authorization").is_some() {
        if in_query || query.has("x-oss-signature") {
            return Err(AuthError::HeaderAndQuery);
        }
        return authorization(request).map(Signed::Claimed);
    }
    match version {
        Some(V4_WORD) => v4_query(request).map(Signed::Claimed),
        Some(V2_WORD) => v2_query(request).map(Signed::Claimed),
        _ if in_query => v1_query(request).map(Signed::Claimed),
        _ => Ok(Signed::Anonymous),
    }
}

/// `POST` to a bucket without a key, carrying a multipart form.
fn is_form(request: &RequestParts<'_>) -> bool {
    request.method == "POST"
        && request.target.bucket.is_some()
        && request.target.key.is_none()
        && request.header("content-type").is_some_and(|kind| {
            kind.get(..19).is_some_and(|start| start.eq_ignore_ascii_case("multipart/form-data"))
        })
}

fn authorization<'a>(request: &RequestParts<'a>) -> Result<Claim<'a>, AuthError> {
    let value = request.header("authorization").ok_or(AuthError::UnknownScheme)?;
    let (word, rest) = value.split_once(' ').unwrap_or((value, ""));
    match word {
        V4_WORD => v4_header(request, rest),
        V2_WORD => v2_header(request, rest),
        "OSS" => v1_header(request, rest),
        _ => Err(AuthError::UnknownScheme),
    }
}

/// `<id>:<signature>`.
fn v1_header<'a>(request: &RequestParts<'a>, rest: &'a str) -> Result<Claim<'a>, AuthError> {
    let (id, signature) = rest.split_once(':').ok_or(AuthError::MalformedAuthorization)?;
    let (id, signature) = (id.trim_ascii(), signature.trim_ascii());
    if id.is_empty() {
        return Err(AuthError::MalformedAuthorization);
    }
    if signature.is_empty() {
        return Err(AuthError::EmptySignature);
    }
    let (timestamp, validity) = header_time(request);
    // One client in V1 mode sends the token in a header without the prefix, and therefore unsigned. The token is still bound
    // to the id, whose secret makes the signature.
    let unprefixed = || request.header("security-token").filter(|_| id.starts_with("STS."));
    Ok(Claim {
        version: Version::V1,
        carrier: Carrier::Header,
        access_key_id: id,
        token: request.header("x-oss-security-token").or_else(unprefixed),
        signature,
        timestamp,
        validity,
        scope: None,
        additional: Vec::new(),
    })
}

/// `AccessKeyId:<id>[,AdditionalHeaders:<h1;h2>],Signature:<base64>`.
fn v2_header<'a>(request: &RequestParts<'a>, rest: &'a str) -> Result<Claim<'a>, AuthError> {
    let [id, additional, signature] =
        fields(rest, ':', ["AccessKeyId", "AdditionalHeaders", "Signature"])?;
    let (Some(access_key_id), Some(signature)) = (id, signature) else {
        return Err(AuthError::MalformedAuthorization);
    };
    let (timestamp, validity) = header_time(request);
    Ok(Claim {
        version: Version::V2,
        carrier: Carrier::Header,
        access_key_id,
        token: request.header("x-oss-security-token"),
        signature,
        timestamp,
        validity,
        scope: None,
        additional: additional_headers(Version::V2, additional)?,
    })
}

/// `Credential=<id>/<scope>[,AdditionalHeaders=<h1;h2>],Signature=<hex>`.
fn v4_header<'a>(request: &RequestParts<'a>, rest: &'a str) -> Result<Claim<'a>, AuthError> {
    let [credential, additional, signature] =
        fields(rest, '=', ["Credential", "AdditionalHeaders", "Signature"])?;
    let credential = credential.ok_or(AuthError::MissingCredential)?;
    let signature = signature.ok_or(AuthError::MalformedAuthorization)?;
    let (access_key_id, scope) =
        split_credential(credential).ok_or(AuthError::MalformedCredential(Carrier::Header))?;
    if !is_day(scope.day) {
        return Err(AuthError::ScopeDay(Carrier::Header));
    }
    check_payload_hash(request)?;
    let (timestamp, validity) = header_time(request);
    Ok(Claim {
        version: Version::V4,
        carrier: Carrier::Header,
        access_key_id,
        token: request.header("x-oss-security-token"),
        signature,
        timestamp,
        validity,
        scope: Some(scope),
        additional: additional_headers(Version::V4, additional)?,
    })
}

/// `OSSAccessKeyId`, `Expires`, `Signature`, optionally `security-token`.
fn v1_query<'a>(request: &RequestParts<'a>) -> Result<Claim<'a>, AuthError> {
    let given = |name| request.query.get(name).filter(|value| !value.is_empty());
    let (Some(access_key_id), Some(expires), Some(signature)) =
        (given("OSSAccessKeyId"), given("Expires"), given("Signature"))
    else {
        return Err(AuthError::IncompleteV1Url);
    };
    let until = digits(expires).ok_or(AuthError::MalformedExpires)?;
    Ok(Claim {
        version: Version::V1,
        carrier: Carrier::Query,
        access_key_id,
        token: given("security-token"),
        signature,
        timestamp: expires,
        validity: Validity::Until(until),
        scope: None,
        additional: Vec::new(),
    })
}

/// `x-oss-access-key-id`, `x-oss-expires` (a Unix time), `x-oss-signature`.
fn v2_query<'a>(request: &RequestParts<'a>) -> Result<Claim<'a>, AuthError> {
    let access_key_id = url_parameter(request, "x-oss-access-key-id", Some("0002-00000115"), None)?;
    let expires = url_parameter(request, "x-oss-expires", None, None)?;
    let signature = url_parameter(request, "x-oss-signature", None, Some("0002-00000118"))?;
    let until = digits(expires).ok_or(AuthError::MalformedExpires)?;
    Ok(Claim {
        version: Version::V2,
        carrier: Carrier::Query,
        access_key_id,
        token: request.query.get("security-token").filter(|token| !token.is_empty()),
        signature,
        timestamp: expires,
        validity: Validity::Until(until),
        scope: None,
        additional: additional_headers(Version::V2, request.query.get("x-oss-additional-headers"))?,
    })
}

/// `x-oss-credential`, `x-oss-date`, `x-oss-expires` (seconds of validity), `x-oss-signature`.
fn v4_query<'a>(request: &RequestParts<'a>) -> Result<Claim<'a>, AuthError> {
    let credential =
        url_parameter(request, "x-oss-credential", Some("0002-00000217"), Some("0002-00000218"))?;
    let timestamp = url_parameter(request, "x-oss-date", None, None)?;
    let expires =
        url_parameter(request, "x-oss-expires", Some("0002-00000215"), Some("0002-00000216"))?;
    let signature = url_parameter(request, "x-oss-signature", Some("0002-00000219"), None)?;
    let (access_key_id, scope) =
        split_credential(credential).ok_or(AuthError::MalformedCredential(Carrier::Query))?;
    if !is_day(scope.day) {
        return Err(AuthError::ScopeDay(Carrier::Query));
    }
    let seconds = digits(expires)
        .filter(|seconds| (1..=MAX_V4_VALIDITY_SECONDS).contains(seconds))
        .ok_or_else(|| AuthError::ExpiresOutOfRange { value: expires.to_owned() })?;
    check_payload_hash(request)?;
    let validity = match time::parse_compact(timestamp) {
        Some(from) => Validity::Window { from, until: from.saturating_add(seconds) },
        None => Validity::Around(None),
    };
    Ok(Claim {
        version: Version::V4,
        carrier: Carrier::Query,
        access_key_id,
        token: request.query.get("x-oss-security-token").filter(|token| !token.is_empty()),
        signature,
        timestamp,
        validity,
        scope: Some(scope),
        additional: additional_headers(Version::V4, request.query.get("x-oss-additional-headers"))?,
    })
}

/// The date line of header schemes: `x-oss-date` if that header exists, else `Date`. Either may have either form.
fn header_time<'a>(request: &RequestParts<'a>) -> (&'a str, Validity) {
    let text = match request.headers.first("x-oss-date") {
        Some(_) => request.header("x-oss-date"),
        None => request.header("date"),
    };
    let text = text.unwrap_or_default();
    let parsed = time::parse_compact(text).or_else(|| time::parse_http_date(text));
    (text, Validity::Around(parsed))
}

/// The values of three named fields in a list such as `a=1, b=2`; empty ones count as absent, unknown ones are ignored.
fn fields<'a, const N: usize>(
    list: &'a str,
    separator: char,
    names: [&str; N],
) -> Result<[Option<&'a str>; N], AuthError> {
    let mut found = [None; N];
    for piece in list.split(',').map(str::trim_ascii).filter(|piece| !piece.is_empty()) {
        let (name, value) = piece.split_once(separator).ok_or(AuthError::MalformedAuthorization)?;
        for (slot, known) in found.iter_mut().zip(names) {
            if known == name.trim_ascii() && slot.is_none() {
                *slot = Some(value.trim_ascii()).filter(|value| !value.is_empty());
            }
        }
    }
    Ok(found)
}

/// Splits `id/day/region/product/aliyun_v4_request`; the id may contain slashes.
pub(super) fn split_credential(credential: &str) -> Option<(&str, Scope<'_>)> {
    let mut parts = credential.rsplitn(5, '/');
    let (end, product, region, day, id) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if end != key::V4_TERMINATOR || [product, region, id].iter().any(|part| part.is_empty()) {
        return None;
    }
    let text = credential.get(id.len() + 1..)?;
    Some((id, Scope { text, day, region, product }))
}

/// Eight digits. Whether they are the right day is a matter of the date check.
pub(super) fn is_day(day: &str) -> bool {
    day.len() == 8 && day.bytes().all(|byte| byte.is_ascii_digit())
}

/// A non-negative decimal number, without a sign.
fn digits(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn url_parameter<'a>(
    request: &RequestParts<'a>,
    parameter: &'static str,
    missing: Option<&'static str>,
    empty: Option<&'static str>,
) -> Result<&'a str, AuthError> {
    match request.query.get(parameter) {
        None => Err(AuthError::IncompleteUrl { parameter, ec: missing }),
        Some("") => Err(AuthError::IncompleteUrl { parameter, ec: empty }),
        Some(value) => Ok(value),
    }
}

/// A hash that nobody compares with the body would only look like protection, so it is refused, as by the service.
fn check_payload_hash(request: &RequestParts<'_>) -> Result<(), AuthError> {
    match request.headers.first("x-oss-content-sha256") {
        Some(value) if value.trim_ascii() != UNSIGNED_PAYLOAD.as_bytes() => {
            Err(AuthError::PayloadHash)
        }
        _ => Ok(()),
    }
}

/// The additional header names as the canonical forms want them. Names that are signed anyway are left out of V4's.
fn additional_headers<'a>(
    version: Version,
    list: Option<&'a str>,
) -> Result<Vec<Cow<'a, str>>, AuthError> {
    let list = list.unwrap_or_default();
    let mut names: Vec<Cow<'a, str>> = Vec::new();
    for name in list.split(';').map(str::trim_ascii).filter(|name| !name.is_empty()) {
        if names.len() == MAX_ADDITIONAL_HEADERS {
            return Err(AuthError::MalformedAuthorization);
        }
        names.push(match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => Cow::Owned(name.to_ascii_lowercase()),
            false => Cow::Borrowed(name),
        });
    }
    names.retain(|name| {
        let always = match version {
            Version::V4 => super::canonical::is_always_signed(name),
            Version::V1 | Version::V2 => name.starts_with("x-oss-"),
        };
        !always
    });
    names.sort_unstable();
    names.dedup();
    Ok(names)
}
