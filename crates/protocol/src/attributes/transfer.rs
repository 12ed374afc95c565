//! Headers about the request itself: what its body must hash to, whether it may overwrite, what it copies.

use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{lossy, word};
use crate::auth::Headers;
use crate::error::{ErrorCode, OssError};
use crate::names::{BucketName, ObjectKey};
use crate::query::Query;
use crate::uri;

/// What `x-oss-traffic-limit` may ask for, in bits a second.
pub const TRAFFIC_LIMIT_BITS: RangeInclusive<u64> = 245_760..=838_860_800;

/// `Content-MD5`: the MD5 that the body must have.
///
/// # Errors
/// 400 `InvalidDigest`, EC 0017-00000502, for anything but 16 bytes of base64.
pub fn content_md5(headers: &dyn Headers) -> Result<Option<[u8; 16]>, OssError> {
    let Some(value) = headers.first("content-md5") else {
        return Ok(None);
    };
    let digest = STANDARD.decode(value.trim_ascii()).ok().and_then(|bytes| bytes.try_into().ok());
    digest.map(Some).ok_or_else(OssError::malformed_content_md5)
}

/// `x-oss-hash-crc64ecma` of a request: the CRC-64 that the body must have.
///
/// # Errors
/// 400 `InvalidArgument` for anything but a decimal number of 64 bits.
pub fn hash_crc64(headers: &dyn Headers) -> Result<Option<u64>, OssError> {
    word(headers, "x-oss-hash-crc64ecma", decimal, |name, value| {
        OssError::invalid_argument(name, value, "The CRC-64 must be an unsigned decimal number.")
    })
}

/// `x-oss-forbid-overwrite`.
///
/// # Errors
/// 400 `InvalidArgument` for anything but `true` and `false`: taking a typing error for "overwrite" could destroy an object.
pub fn forbid_overwrite(headers: &dyn Headers) -> Result<bool, OssError> {
    let known = |value: &str| match value {
        _ if value.eq_ignore_ascii_case("true") => Some(true),
        _ if value.is_empty() || value.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    };
    let value = word(headers, "x-oss-forbid-overwrite", known, |name, value| {
        OssError::invalid_argument(name, value, "The value must be true or false.")
    })?;
    Ok(value.unwrap_or(false))
}

/// Whether the request asks for encryption at rest, which is by `AES256` alone: what is not encrypted as it was asked for must not be
/// acknowledged as if it were.
///
/// # Errors
/// 400 `KmsServiceNotEnabled` for `KMS`, 400 `InvalidEncryptionAlgorithmError` for another algorithm, of data keys too, 400
/// `InvalidArgument` for the id of a key, 400 `NotImplemented` for another header of the kind.
pub fn encryption(headers: &dyn Headers) -> Result<bool, OssError> {
    const NAME: &str = "x-oss-server-side-encryption";
    let mut refused = None;
    let mut algorithm = None;
    headers.for_each(&mut |name, value| match name {
        NAME => {
            algorithm.get_or_insert(value.trim_ascii());
        }
        "x-oss-server-side-encryption-key-id" => {
            let message = "The id of a key is not applicable to this algorithm.";
            refused = Some(OssError::invalid_argument(name, lossy(value), message));
        }
        "x-oss-server-side-data-encryption" => {
            refused = Some(OssError::new(ErrorCode::InvalidEncryptionAlgorithmError));
        }
        _ if name.starts_with("x-oss-server-side-") => {
            refused = Some(OssError::header_not_implemented(name));
        }
        _ => {}
    });
    match (algorithm, refused) {
        (Some(b"KMS"), _) => Err(OssError::new(ErrorCode::KmsServiceNotEnabled)),
        (_, Some(refused)) => Err(refused),
        (None, None) => Ok(false),
        (Some(b"AES256"), None) => Ok(true),
        (Some(_), None) => Err(OssError::new(ErrorCode::InvalidEncryptionAlgorithmError)),
    }
}

/// Refuses the standard conditional headers where they are not implemented, as on PutObject: ignoring one would overwrite what
/// the client meant to protect.
///
/// # Errors
/// 400 `NotImplemented` naming the header.
pub fn refuse_conditions(headers: &dyn Headers) -> Result<(), OssError> {
    for (name, spelling) in [
        ("if-match", "If-Match"),
        ("if-none-match", "If-None-Match"),
        ("if-modified-since", "If-Modified-Since"),
        ("if-unmodified-since", "If-Unmodified-Since"),
    ] {
        if headers.first(name).is_some() {
            return Err(OssError::header_not_implemented(spelling));
        }
    }
    Ok(())
}

/// `x-oss-traffic-limit` from header or query, in bits a second.
///
/// # Errors
/// 400 `InvalidArgument` for both at once, and for a number outside [`TRAFFIC_LIMIT_BITS`].
pub fn traffic_limit(headers: &dyn Headers, query: &Query) -> Result<Option<u64>, OssError> {
    const NAME: &str = "x-oss-traffic-limit";
    let value = match (headers.first(NAME), query.get_bytes(NAME)) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            let message = "x-oss-traffic-limit should be specified either in query string or \
                           header, not both.";
            return Err(OssError::invalid_argument(NAME, "", message));
        }
        (Some(value), None) | (None, Some(value)) => value.trim_ascii(),
    };
    let limit = std::str::from_utf8(value).ok().and_then(decimal);
    match limit.filter(|limit| TRAFFIC_LIMIT_BITS.contains(limit)) {
        Some(limit) => Ok(Some(limit)),
        None => {
            let message = "x-oss-traffic-limit is invalid, should be specified between \
                           245760(30KB/s) and 838860800(100MB/s).";
            Err(OssError::invalid_argument(NAME, lossy(value), message))
        }
    }
}

/// Whether a copy takes metadata or tags from its source or from the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Directive {
    /// From the source.
    #[default]
    Copy,
    /// From the request.
    Replace,
}

/// `x-oss-metadata-directive`, in any case.
///
/// # Errors
/// 400 `InvalidArgument` for another word.
pub fn metadata_directive(headers: &dyn Headers) -> Result<Directive, OssError> {
    directive(headers, "x-oss-metadata-directive")
}

/// `x-oss-tagging-directive`, in any case.
///
/// # Errors
/// 400 `InvalidArgument` for another word.
pub fn tagging_directive(headers: &dyn Headers) -> Result<Directive, OssError> {
    directive(headers, "x-oss-tagging-directive")
}

fn directive(headers: &dyn Headers, name: &'static str) -> Result<Directive, OssError> {
    let known = |value: &str| match value {
        _ if value.is_empty() || value.eq_ignore_ascii_case("copy") => Some(Directive::Copy),
        _ if value.eq_ignore_ascii_case("replace") => Some(Directive::Replace),
        _ => None,
    };
    let value = word(headers, name, known, |name, value| {
        OssError::invalid_argument(name, value, "The directive must be COPY or REPLACE.")
    })?;
    Ok(value.unwrap_or_default())
}

/// What a copy reads: `/bucket/url-encoded-key[?versionId=...]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySource {
    /// The bucket read from.
    pub bucket: BucketName,
    /// The key read.
    pub key: ObjectKey,
    /// The version read; the current one when absent.
    pub version_id: Option<String>,
}

impl CopySource {
    /// Reads `x-oss-copy-source`; `None` when there is no such header. The leading slash may be missing and slashes may be
    /// encoded. A `+` is a space: one SDK writes spaces so, and every SDK encodes a plus.
    ///
    /// # Errors
    /// 400 `InvalidArgument` for another form, `InvalidBucketName` or `InvalidObjectName` for names that cannot exist.
    pub fn from_headers(headers: &dyn Headers) -> Result<Option<Self>, OssError> {
        headers.first("x-oss-copy-source").map(Self::parse).transpose()
    }

    fn parse(value: &[u8]) -> Result<Self, OssError> {
        let refusal = || {
            let message =
                "Copy Source must mention the source bucket and key: /sourcebucket/sourcekey.";
            OssError::invalid_argument("x-oss-copy-source", lossy(value), message)
        };
        // Only this ends the key: another question mark was left unencoded by the client and belongs to it.
        const VERSION: &[u8] = b"?versionId=";
        let raw = value.trim_ascii();
        let (path, version_id) = match raw.windows(VERSION.len()).rposition(|part| part == VERSION)
        {
            Some(at) => {
                let (path, tail) = raw.split_at(at);
                (path, tail.get(VERSION.len()..))
            }
            None => (raw, None),
        };
        let path = decode_form(path);
        let path = std::str::from_utf8(&path).map_err(|_| refusal())?;
        let (bucket, key) =
            path.strip_prefix('/').unwrap_or(path).split_once('/').ok_or_else(refusal)?;
        if bucket.is_empty() || key.is_empty() {
            return Err(refusal());
        }
        let version_id = match version_id {
            None => None,
            Some([]) => {
                let message = "Version id can not be the empty string.";
                return Err(OssError::invalid_argument("versionId", "", message));
            }
            Some(id) => Some(String::from_utf8(decode_form(id)).map_err(|_| refusal())?),
        };
        Ok(Self { bucket: BucketName::new(bucket)?, key: ObjectKey::new(key)?, version_id })
    }

    /// The header form.
    pub fn to_header(&self) -> String {
        let key = uri::encode_path(self.key.as_bytes());
        match &self.version_id {
            Some(version) => {
                format!("/{}/{key}?versionId={}", self.bucket, uri::encode(version.as_bytes()))
            }
            None => format!("/{}/{key}", self.bucket),
        }
    }
}

/// Percent-decodes, and takes `+` for a space.
fn decode_form(raw: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = raw.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    uri::decode(&spaced).into_owned()
}

/// An unsigned decimal number without sign or space.
fn decimal(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}
