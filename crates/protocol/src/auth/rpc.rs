//! Signatures of the RPC services (STS, RAM): RPC 1.0 with HMAC-SHA1, and ACS3-HMAC-SHA256.
//!
//! Both share the port with OSS: [`is_rpc`] tells their requests apart, and must be asked before [`super::detect`]. Errors have a
//! table of their own. Nonces are for the caller to remember: each counts once within the skew.

use super::Secret;
use super::canonical::{self, KeepEquals};
use super::key;
use super::request::{HeaderList, RequestParts};
use super::verify::{Lookup, TokenFault};
use crate::addressing::Target;
use crate::query::Query;
use crate::{time, uri};

const ACS3_WORD: &str = "ACS3-HMAC-SHA256";
/// More headers than any client signs; a bound on the work that a claim can ask for.
const MAX_SIGNED_HEADERS: usize = 64;

/// Whether a request is for STS or RAM: at service level, with an `x-acs-action` header or with `Action` and `Version`
/// parameters in the query or the form. `form` is the parsed body of a `POST` of type `application/x-www-form-urlencoded`.
pub fn is_rpc(request: &RequestParts<'_>, form: Option<&Query>) -> bool {
    let named = |query: &Query| query.has("Action") && query.has("Version");
    request.target.bucket.is_none()
        && matches!(request.method, "GET" | "POST")
        && (request.headers.first("x-acs-action").is_some()
            || named(request.query)
            || form.is_some_and(named))
}

/// The claim of an RPC request. It borrows from the request.
#[derive(Clone)]
pub struct RpcClaim<'a> {
    access_key_id: &'a str,
    token: Option<&'a str>,
    signature: &'a str,
    nonce: &'a str,
    /// Unix seconds.
    timestamp: i64,
    /// ACS3: the signed header names and the claimed hash of the body.
    acs3: Option<(&'a str, &'a str)>,
}

impl std::fmt::Debug for RpcClaim<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RpcClaim")
            .field("access_key_id", &self.access_key_id)
            .field("timestamp", &self.timestamp)
            .finish_non_exhaustive()
    }
}

impl<'a> RpcClaim<'a> {
    /// The id to look up, together with [`RpcClaim::token`].
    pub fn access_key_id(&self) -> &'a str {
        self.access_key_id
    }

    /// The STS token, if one came along.
    pub fn token(&self) -> Option<&'a str> {
        self.token
    }

    /// The nonce: a second verified request with it, within the skew, is a replay ([`RpcError::NonceUsed`]).
    pub fn nonce(&self) -> &'a str {
        self.nonce
    }

    /// The time that the request names, in Unix seconds: after it and the skew, its nonce needs no remembering.
    pub fn timestamp(&self) -> i64 {
        self.timestamp
    }
}

/// Why an RPC request is not authenticated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// A parameter or header that every request needs.
    #[error(
        "The input parameter \"{0}\" that is mandatory for processing this request is not supplied."
    )]
    Missing(&'static str),
    /// Something about the signature that cannot be read or is not supported.
    #[error("The request signature does not conform to Aliyun standards: {0}.")]
    Incomplete(&'static str),
    /// The time stamp cannot be read.
    #[error("Specified time stamp or date value is not well formatted.")]
    MalformedTime,
    /// The time stamp is more than the skew away.
    #[error("Specified time stamp or date value is expired.")]
    Expired,
    /// The nonce was used before. Raised by the caller, who remembers nonces.
    #[error("Specified signature nonce was used already.")]
    NonceUsed,
    /// No such key id.
    #[error("Specified access key is not found.")]
    UnknownKey,
    /// The key id is switched off.
    #[error("Specified access key is disabled.")]
    DisabledKey,
    /// A temporary key without its token. Raised by a caller who knows the id.
    #[error("SecurityToken is mandatory for this action.")]
    MissingToken,
    /// The token is unknown or damaged.
    #[error("Specified SecurityToken is malformed.")]
    InvalidToken,
    /// The token belongs to another key id, or the id takes none.
    #[error("Specified SecurityToken mismatch with the AccessKey.")]
    TokenMismatch,
    /// The token's time is over.
    #[error("Specified SecurityToken is expired.")]
    TokenExpired,
    /// `x-acs-content-sha256` is not the hash of the body.
    #[error("The specified x-acs-content-sha256 is not the hash of the body.")]
    BodyHash,
    /// The signature is not the one computed.
    #[error(
        "Specified signature is not matched with our calculation. server string to sign is:{string_to_sign}"
    )]
    SignatureMismatch {
        /// The text that the server signed. It may hold a token, so it goes to the sender only, never to a log.
        string_to_sign: String,
        /// ACS3: the canonical request behind it.
        canonical_request: Option<String>,
    },
}

impl RpcError {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.row().0
    }

    /// The code; the message is the `Display` form.
    pub fn code(&self) -> &'static str {
        self.row().1
    }

    fn row(&self) -> (u16, &'static str) {
        match self {
            RpcError::Missing(_) => (400, "MissingParameter"),
            RpcError::Incomplete(_) => (400, "IncompleteSignature"),
            RpcError::MalformedTime => (400, "InvalidTimeStamp.Format"),
            RpcError::Expired => (400, "InvalidTimeStamp.Expired"),
            RpcError::NonceUsed => (400, "SignatureNonceUsed"),
            RpcError::UnknownKey => (404, "InvalidAccessKeyId.NotFound"),
            RpcError::DisabledKey => (403, "InvalidAccessKeyId.Inactive"),
            RpcError::MissingToken => (400, "MissingSecurityToken"),
            RpcError::InvalidToken => (400, "InvalidSecurityToken.Malformed"),
            RpcError::TokenMismatch => (400, "InvalidSecurityToken.MismatchWithAccessKey"),
            RpcError::TokenExpired => (400, "InvalidSecurityToken.Expired"),
            RpcError::BodyHash => (400, "InvalidParameter"),
            RpcError::SignatureMismatch { .. } => (400, "SignatureDoesNotMatch"),
        }
    }
}

/// Reads the claim of a request for which [`is_rpc`] holds.
pub fn detect_rpc<'a>(
    request: &RequestParts<'a>,
    form: Option<&'a Query>,
) -> Result<RpcClaim<'a>, RpcError> {
    match request.header("authorization") {
        Some(value) => acs3(request, value),
        None => rpc1(request, form),
    }
}

/// RPC 1.0: everything is a parameter of the query or the form.
fn rpc1<'a>(request: &RequestParts<'a>, form: Option<&'a Query>) -> Result<RpcClaim<'a>, RpcError> {
    let query = request.query;
    let get = |name| {
        let value = query.get(name).or_else(|| form.and_then(|form| form.get(name)));
        value.filter(|value| !value.is_empty())
    };
    let need = |name| get(name).ok_or(RpcError::Missing(name));
    if get("SignatureMethod").is_some_and(|method| method != "HMAC-SHA1") {
        return Err(RpcError::Incomplete("SignatureMethod must be HMAC-SHA1"));
    }
    if get("SignatureVersion").is_some_and(|version| version != "1.0") {
        return Err(RpcError::Incomplete("SignatureVersion must be 1.0"));
    }
    Ok(RpcClaim {
        access_key_id: need("AccessKeyId")?,
        token: get("SecurityToken"),
        signature: need("Signature")?,
        nonce: need("SignatureNonce")?,
        timestamp: time::parse_iso8601(need("Timestamp")?).ok_or(RpcError::MalformedTime)?,
        acs3: None,
    })
}

/// ACS3: `Credential=<id>,SignedHeaders=<h1;h2>,Signature=<hex>` and headers.
fn acs3<'a>(request: &RequestParts<'a>, authorization: &'a str) -> Result<RpcClaim<'a>, RpcError> {
    let list = authorization
        .strip_prefix(ACS3_WORD)
        .and_then(|rest| rest.strip_prefix(' '))
        .ok_or(RpcError::Incomplete("Authorization must be ACS3-HMAC-SHA256"))?;
    let field = |wanted: &str| {
        let pieces = list.split(',').filter_map(|piece| piece.trim_ascii().split_once('='));
        let mut values =
            pieces.filter(|(name, _)| name.trim_ascii() == wanted).map(|(_, value)| value);
        values.next().map(str::trim_ascii).filter(|value| !value.is_empty())
    };
    let signed = field("SignedHeaders").ok_or(RpcError::Missing("SignedHeaders"))?;
    if signed.split(';').count() > MAX_SIGNED_HEADERS {
        return Err(RpcError::Incomplete("too many SignedHeaders"));
    }
    check_signed_headers(request, signed)?;
    let header = |name| request.header(name).ok_or(RpcError::Missing(name));
    Ok(RpcClaim {
        access_key_id: field("Credential").ok_or(RpcError::Missing("Credential"))?,
        token: request.header("x-acs-security-token"),
        signature: field("Signature").ok_or(RpcError::Missing("Signature"))?,
        nonce: header("x-acs-signature-nonce")?,
        timestamp: time::parse_iso8601(header("x-acs-date")?).ok_or(RpcError::MalformedTime)?,
        acs3: Some((signed, header("x-acs-content-sha256")?)),
    })
}

/// Every `x-acs-` header must be signed: action, date, nonce and body hash would otherwise be anyone's to change.
fn check_signed_headers(request: &RequestParts<'_>, signed: &str) -> Result<(), RpcError> {
    let mut unsigned = false;
    request.headers.for_each(&mut |name, _| {
        unsigned |= name.starts_with("x-acs-") && !signed.split(';').any(|one| one == name);
    });
    match unsigned {
        true => Err(RpcError::Incomplete("SignedHeaders must name every x-acs- header")),
        false => Ok(()),
    }
}

/// The signature of a request in the RPC style 1.0, to be sent as `Signature` beside `parameters`, which must hold everything else:
/// those of the operation and those that are common, `AccessKeyId`, `SignatureNonce` and so on.
pub fn sign_rpc(method: &str, parameters: &Query, secret: &Secret) -> String {
    let target = Target::new(None, None);
    let headers = HeaderList::new();
    let request = RequestParts { method, target: &target, query: parameters, headers: &headers };
    let secret = [secret.expose(), b"&"].concat();
    key::hmac_sha1_base64(&secret, rpc1_string(&request, None).as_bytes())
}

/// Checks a claim: key id, then time stamp, then token, then body hash and signature.
///
/// `body` is the whole body (RPC bodies are small), `form` the same one parsed, as given to [`detect_rpc`]; `now` and the skew
/// are in seconds. The nonce is the caller's to check.
pub fn verify_rpc(
    claim: &RpcClaim<'_>,
    request: &RequestParts<'_>,
    form: Option<&Query>,
    body: &[u8],
    lookup: Lookup<'_>,
    now: i64,
    max_skew_seconds: i64,
) -> Result<(), RpcError> {
    let timely = match now.abs_diff(claim.timestamp) <= max_skew_seconds.unsigned_abs() {
        true => Ok(()),
        false => Err(RpcError::Expired),
    };
    let secret = match lookup {
        Lookup::Unknown => return Err(RpcError::UnknownKey),
        Lookup::Disabled => return Err(RpcError::DisabledKey),
        Lookup::BadToken(fault) => {
            timely?;
            return Err(match fault {
                TokenFault::Invalid | TokenFault::NotSupported => RpcError::InvalidToken,
                TokenFault::Mismatch | TokenFault::OnLongTermKey => RpcError::TokenMismatch,
                TokenFault::Expired => RpcError::TokenExpired,
            });
        }
        Lookup::Found { secret, .. } => secret,
    };
    timely?;
    let (computed, string, canonical) = match claim.acs3 {
        Some((signed, body_hash)) => {
            if !key::matches(&key::sha256_hex(body), body_hash) {
                return Err(RpcError::BodyHash);
            }
            let canonical = acs3_canonical(request, signed, body_hash);
            let string = format!("{ACS3_WORD}\n{}", key::sha256_hex(&canonical));
            let code = key::hmac_sha256(secret.expose(), string.as_bytes());
            (uri::lower_hex(&code), string, Some(canonical))
        }
        None => {
            let string = rpc1_string(request, form);
            let secret = [secret.expose(), b"&"].concat();
            (key::hmac_sha1_base64(&secret, string.as_bytes()), string, None)
        }
    };
    if key::matches(&computed, claim.signature) {
        return Ok(());
    }
    let canonical_request = canonical.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Err(RpcError::SignatureMismatch { string_to_sign: string, canonical_request })
}

/// `METHOD&%2F&enc(canonical)`, the canonical form being all parameters but `Signature`, each with its `=`.
fn rpc1_string(request: &RequestParts<'_>, form: Option<&Query>) -> String {
    let mut merged = request.query.clone();
    if let Some(form) = form {
        merged.extend(form);
    }
    let mut canonical = Vec::with_capacity(512);
    canonical::write_query(&mut canonical, &merged, Some("Signature"), KeepEquals::Always);
    format!("{}&%2F&{}", request.method, uri::encode(&canonical))
}

/// The canonical request of ACS3, headers in the order in which `signed` names them.
fn acs3_canonical(request: &RequestParts<'_>, signed: &str, body_hash: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(request.method.as_bytes());
    out.push(b'\n');
    uri::encode_into(&mut out, &request.target.resource(), true);
    out.push(b'\n');
    canonical::write_query(&mut out, request.query, None, KeepEquals::Always);
    out.push(b'\n');
    for name in signed.split(';') {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        let start = out.len();
        request.headers.for_each(&mut |line, value| {
            if line == name {
                if out.len() > start {
                    out.push(b',');
                }
                out.extend_from_slice(value.trim_ascii());
            }
        });
        out.push(b'\n');
    }
    for line in ["\n", signed, "\n", body_hash] {
        out.extend_from_slice(line.as_bytes());
    }
    out
}
