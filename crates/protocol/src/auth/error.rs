//! Refusals of authentication and what each tells the client.
//!
//! Codes, messages and EC numbers are the service's own where they are documented; one table says them all.

use super::MAX_V4_VALIDITY_SECONDS;
use super::detect::{Carrier, Version};
use crate::error::{ErrorCode, OssError};
use crate::time;
use std::borrow::Cow;
use std::fmt;

/// Why a request is not authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthError {
    /// A signature in the header and one in the URL.
    HeaderAndQuery,
    /// `Authorization` names no known scheme.
    UnknownScheme,
    /// `Authorization` names a scheme but cannot be read.
    MalformedAuthorization,
    /// V1: nothing behind the colon.
    EmptySignature,
    /// V4 header without `Credential`.
    MissingCredential,
    /// A V4 credential that is not `id/day/region/product/aliyun_v4_request`.
    MalformedCredential(Carrier),
    /// The day of a V4 scope is malformed or not the day of the request's time.
    ScopeDay(Carrier),
    /// The region of a V4 scope is not the server's; only when the server is strict.
    ScopeRegion,
    /// The product of a V4 scope is not `oss` (or `oss-cloudbox` under a cloud box's name).
    ScopeProduct,
    /// `x-oss-content-sha256` is something else than `UNSIGNED-PAYLOAD`.
    PayloadHash,
    /// A V2 or V4 URL lacks a parameter, or has it without a value.
    IncompleteUrl {
        /// The parameter at fault.
        parameter: &'static str,
        /// The service's number for it, where known.
        ec: Option<&'static str>,
    },
    /// A V1 URL lacks one of its three parameters.
    IncompleteV1Url,
    /// `Expires` of a V1 URL or `x-oss-expires` of a V2 URL is not a number.
    MalformedExpires,
    /// `x-oss-expires` of a V4 URL is not within 1 and 604,800 seconds.
    ExpiresOutOfRange {
        /// The value received.
        value: String,
    },
    /// No date, or one that cannot be read.
    InvalidDate,
    /// The request's time and the server's are too far apart. Unix seconds.
    TimeSkewed {
        /// The time the request names.
        request_time: i64,
        /// The server's time.
        server_time: i64,
        /// How far apart they may be, in seconds.
        max_skew_seconds: i64,
    },
    /// A URL or form after its time. Unix seconds.
    Expired {
        /// When it expired.
        expires: i64,
        /// The server's time.
        server_time: i64,
    },
    /// A V4 URL from the future.
    NotYetValid,
    /// The key id does not exist. Where the operation needs a bucket and the bucket is absent, a server says so instead.
    UnknownKey {
        /// The id received.
        access_key_id: String,
    },
    /// The key id exists but is switched off.
    DisabledKey {
        /// The id received.
        access_key_id: String,
    },
    /// The token is unknown or damaged.
    InvalidToken,
    /// The token belongs to another key id.
    TokenMismatch,
    /// The token's time is over.
    TokenExpired,
    /// A token came with a key id that has none.
    TokenOnLongTermKey {
        /// The id received.
        access_key_id: String,
    },
    /// The operation cannot be called with a temporary key.
    TokenNotSupported,
    /// The signature is not the one computed, and the request lacks a header that was signed.
    AbsentHeader {
        /// The scheme.
        version: Version,
        /// Where the signature came.
        carrier: Carrier,
        /// The name of the header.
        name: String,
    },
    /// The signature is not the one computed.
    SignatureMismatch(Box<SignatureMismatch>),
    /// A form with some of key id, policy and signature, but without the key id.
    FormWithoutKey,
    /// A form with some of key id, policy and signature, but without the signature.
    FormWithoutSignature {
        /// Whether the field is there, empty.
        present: bool,
    },
    /// A form with key id and signature, but without a policy.
    FormWithoutPolicy,
    /// A field of a V4 form that is missing or cannot be read.
    FormField {
        /// The name of the field.
        field: &'static str,
    },
    /// A form policy that is not a policy.
    InvalidPolicy {
        /// What is wrong with it.
        reason: Cow<'static, str>,
    },
    /// A form after the expiration of its policy.
    PolicyExpired,
    /// A form that its policy does not allow.
    PolicyCondition {
        /// The condition as JSON.
        condition: String,
    },
    /// The file is larger than the policy allows. Bytes.
    FormTooLarge {
        /// Size of the file, as far as it was read.
        size: u64,
        /// The upper end of `content-length-range`.
        limit: u64,
    },
    /// The file is smaller than the policy allows. Bytes.
    FormTooSmall {
        /// Size of the file.
        size: u64,
        /// The lower end of `content-length-range`.
        limit: u64,
    },
}

/// What a client needs in order to find out why its signature differs.
#[derive(Clone, PartialEq, Eq)]
pub struct SignatureMismatch {
    /// The scheme that was verified.
    pub version: Version,
    /// The id received.
    pub access_key_id: String,
    /// The signature received.
    pub signature_provided: String,
    /// The text that the server signed. It holds header values, so it goes to the sender only, never to a log.
    pub string_to_sign: Vec<u8>,
    /// V4: the canonical request behind it.
    pub canonical_request: Option<Vec<u8>>,
}

/// Leaves out what was signed and the signature, which must not reach a log.
impl fmt::Debug for SignatureMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignatureMismatch")
            .field("version", &self.version)
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

impl SignatureMismatch {
    fn fields(&self) -> Vec<(&'static str, String)> {
        let bytes: String = self.string_to_sign.iter().map(|byte| format!("{byte:02X} ")).collect();
        let mut fields = vec![
            ("OSSAccessKeyId", self.access_key_id.clone()),
            ("SignatureProvided", self.signature_provided.clone()),
            ("StringToSign", String::from_utf8_lossy(&self.string_to_sign).into_owned()),
            ("StringToSignBytes", bytes),
        ];
        if let Some(canonical) = &self.canonical_request {
            fields.push(("CanonicalRequest", String::from_utf8_lossy(canonical).into_owned()));
        }
        fields
    }
}

/// One row of the error table.
struct Row {
    code: ErrorCode,
    message: Cow<'static, str>,
    ec: Option<&'static str>,
}

const UNKNOWN_KEY: &str = "The OSS Access Key Id you provided does not exist in our records.";
const MALFORMED_KEY: &str = "The OSS Access Key Id contains non-acceptable characters.";
const INCOMPLETE_V1_URL: &str =
    "Query string authentication requires the Signature, Expires and OSSAccessKeyId parameters.";
const BAD_AUTHORIZATION: &str = "Authorization header is invalid.";

impl AuthError {
    /// The OSS code, which also says the status.
    pub fn code(&self) -> ErrorCode {
        self.row().code
    }

    /// The OSS message, or ours where none is documented.
    pub fn message(&self) -> Cow<'static, str> {
        self.row().message
    }

    /// The fine-grained number, where one is known.
    pub fn ec(&self) -> Option<&'static str> {
        self.row().ec
    }

    fn row(&self) -> Row {
        use AuthError as E;
        use ErrorCode as C;
        match self {
            E::HeaderAndQuery => {
                argument("Only one of the Authorization header and a signed URL is allowed.", None)
            }
            E::UnknownScheme => argument(BAD_AUTHORIZATION, Some("0002-00000061")),
            E::MalformedAuthorization => argument(BAD_AUTHORIZATION, Some("0002-00000063")),
            E::EmptySignature => argument(BAD_AUTHORIZATION, Some("0002-00000065")),
            E::MissingCredential => argument(BAD_AUTHORIZATION, Some("0002-00000205")),
            E::MalformedCredential(Carrier::Header) => {
                argument("Invalid Credential in Authorization header.", Some("0002-00000213"))
            }
            E::MalformedCredential(Carrier::Query) => {
                argument("Invalid x-oss-credential parameter.", None)
            }
            E::ScopeDay(Carrier::Header) => {
                argument("Invalid signing date in Authorization header.", Some("0002-00000212"))
            }
            E::ScopeDay(Carrier::Query) => {
                argument("Invalid signing date in x-oss-credential.", Some("0002-00000223"))
            }
            E::ScopeRegion => {
                argument("Invalid signing region in Authorization header.", Some("0002-00000226"))
            }
            E::ScopeProduct => {
                argument("Invalid signing product in Authorization header.", Some("0002-00000227"))
            }
            E::PayloadHash => {
                argument("Invalid x-oss-content-sha256 header.", Some("0002-00000214"))
            }
            E::IncompleteUrl { parameter, ec } => {
                argument(format!("The signed URL has no {parameter}, or an empty one."), *ec)
            }
            E::IncompleteV1Url => denied(INCOMPLETE_V1_URL),
            E::MalformedExpires => denied("Invalid date (should be seconds since epoch)."),
            E::ExpiresOutOfRange { .. } => argument(
                format!("x-oss-expires must be within 1 and {MAX_V4_VALIDITY_SECONDS} seconds."),
                Some("0002-00000232"),
            ),
            E::InvalidDate => Row {
                ec: Some("0002-00000503"),
                ..denied("OSS authentication requires a valid Date.")
            },
            E::TimeSkewed { .. } => usual(C::RequestTimeTooSkewed),
            E::Expired { .. } => denied("Request has expired."),
            E::NotYetValid => denied("Request is not valid yet."),
            E::UnknownKey { access_key_id } if !has_usual_characters(access_key_id) => {
                row(C::InvalidAccessKeyId, MALFORMED_KEY, Some("0002-00000206"))
            }
            E::UnknownKey { .. } => row(C::InvalidAccessKeyId, UNKNOWN_KEY, Some("0002-00000902")),
            E::DisabledKey { .. } => {
                row(C::InvalidAccessKeyId, "The OSS Access Key Id you provided is disabled.", None)
            }
            E::InvalidToken => usual(C::InvalidSecurityToken),
            E::TokenMismatch => usual(C::AccessKeyIdAndSecurityTokenNotMatch),
            E::TokenExpired => usual(C::SecurityTokenExpired),
            E::TokenOnLongTermKey { .. } => {
                row(C::InvalidAccessKeyId, UNKNOWN_KEY, Some("0002-00000002"))
            }
            E::TokenNotSupported => usual(C::SecurityTokenNotSupported),
            E::AbsentHeader { version, carrier, .. } => argument(
                "The additional headers name one that the request does not have.",
                match (version, carrier) {
                    (Version::V2, Carrier::Query) => Some("0002-00000077"),
                    (Version::V2, Carrier::Header) => Some("0002-00000112"),
                    _ => None,
                },
            ),
            E::SignatureMismatch(mismatch) => Row {
                ec: (mismatch.version == Version::V1).then_some("0002-00000040"),
                ..usual(C::SignatureDoesNotMatch)
            },
            E::FormWithoutKey => {
                argument("Post request accessKeyId is empty.", Some("0002-00000706"))
            }
            E::FormWithoutSignature { present } => {
                let ec = if *present { "0002-00000704" } else { "0002-00000703" };
                argument("Post request signature is empty.", Some(ec))
            }
            E::FormWithoutPolicy => argument("Post request policy is empty.", None),
            E::FormField { field } => {
                let ec = (*field == "x-oss-credential").then_some("0002-00000710");
                argument(format!("Post request {field} is invalid."), ec)
            }
            E::InvalidPolicy { reason } => {
                row(C::InvalidPolicyDocument, format!("Invalid Policy: {reason}"), None)
            }
            E::PolicyExpired => denied("Invalid according to Policy: Policy expired."),
            E::PolicyCondition { condition } => {
                denied(format!("Invalid according to Policy: Policy Condition failed: {condition}"))
            }
            E::FormTooLarge { .. } => usual(C::EntityTooLarge),
            E::FormTooSmall { .. } => usual(C::EntityTooSmall),
        }
    }

    /// The elements that the error XML carries beside code, message and ids.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        use AuthError as E;
        match self {
            E::SignatureMismatch(mismatch) => mismatch.fields(),
            E::TimeSkewed { request_time, server_time, max_skew_seconds } => vec![
                ("RequestTime", time::xml(*request_time)),
                ("ServerTime", time::xml(*server_time)),
                ("MaxAllowedSkewMilliseconds", max_skew_seconds.saturating_mul(1000).to_string()),
            ],
            E::Expired { expires, server_time } => {
                vec![("Expires", time::xml(*expires)), ("ServerTime", time::xml(*server_time))]
            }
            E::UnknownKey { access_key_id }
            | E::DisabledKey { access_key_id }
            | E::TokenOnLongTermKey { access_key_id } => {
                vec![("OSSAccessKeyId", access_key_id.clone())]
            }
            E::AbsentHeader { name, .. } => {
                vec![("ArgumentName", "AdditionalHeaders".into()), ("ArgumentValue", name.clone())]
            }
            E::ExpiresOutOfRange { value } => {
                vec![("ArgumentName", "x-oss-expires".into()), ("ArgumentValue", value.clone())]
            }
            E::IncompleteUrl { parameter: name, .. } | E::FormField { field: name } => {
                vec![("ArgumentName", (*name).to_owned())]
            }
            E::FormTooLarge { size, limit } => {
                vec![("MaxSizeAllowed", limit.to_string()), ("ProposedSize", size.to_string())]
            }
            E::FormTooSmall { size, limit } => {
                vec![("MinSizeAllowed", limit.to_string()), ("ProposedSize", size.to_string())]
            }
            E::HeaderAndQuery
            | E::UnknownScheme
            | E::MalformedAuthorization
            | E::EmptySignature
            | E::MissingCredential
            | E::MalformedCredential(_)
            | E::ScopeDay(_)
            | E::ScopeRegion
            | E::ScopeProduct
            | E::PayloadHash
            | E::IncompleteV1Url
            | E::MalformedExpires
            | E::InvalidDate
            | E::NotYetValid
            | E::InvalidToken
            | E::TokenMismatch
            | E::TokenExpired
            | E::TokenNotSupported
            | E::FormWithoutKey
            | E::FormWithoutSignature { .. }
            | E::FormWithoutPolicy
            | E::InvalidPolicy { .. }
            | E::PolicyExpired
            | E::PolicyCondition { .. } => Vec::new(),
        }
    }
}

fn row(code: ErrorCode, message: impl Into<Cow<'static, str>>, ec: Option<&'static str>) -> Row {
    Row { code, message: message.into(), ec }
}

/// The code with the message and number that it always has.
fn usual(code: ErrorCode) -> Row {
    row(code, code.message(), code.ec())
}

fn argument(message: impl Into<Cow<'static, str>>, ec: Option<&'static str>) -> Row {
    row(ErrorCode::InvalidArgument, message, ec)
}

fn denied(message: impl Into<Cow<'static, str>>) -> Row {
    row(ErrorCode::AccessDenied, message, None)
}

/// The characters that key ids are made of. Other ids may exist here, but one that does not is reported as malformed.
fn has_usual_characters(access_key_id: &str) -> bool {
    access_key_id
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'='))
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.row().message)
    }
}

impl std::error::Error for AuthError {}

impl From<AuthError> for OssError {
    fn from(error: AuthError) -> OssError {
        let Row { code, message, ec } = error.row();
        let mut answer = OssError::new(code).with_message(message);
        if let Some(ec) = ec {
            answer = answer.with_ec(ec);
        }
        error
            .fields()
            .into_iter()
            .fold(answer, |answer, (name, value)| answer.with_field(name, value))
    }
}
