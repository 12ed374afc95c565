//! Headers that are kept with an object and sent back as they came.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::lossy;
use crate::auth::Headers;
use crate::error::OssError;

/// The type of an object that was sent without one.
pub const DEFAULT_CONTENT_TYPE: &str = "application/octet-stream";

/// Names and values of all `x-oss-meta-*` headers together, in bytes, the prefix of the names not counted.
pub const METADATA_BYTES_MAX: usize = 8 * 1024;

const META_PREFIX: &str = "x-oss-meta-";

/// Headers that are stored verbatim and sent back on GET and HEAD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredHeaders {
    /// `Content-Type`; [`DEFAULT_CONTENT_TYPE`] where none or an empty one was sent.
    pub content_type: Bytes,
    /// `Cache-Control`.
    pub cache_control: Option<Bytes>,
    /// `Content-Disposition`.
    pub content_disposition: Option<Bytes>,
    /// `Content-Encoding`.
    pub content_encoding: Option<Bytes>,
    /// `Content-Language`.
    pub content_language: Option<Bytes>,
    /// `Expires`, whatever its text.
    pub expires: Option<Bytes>,
    /// `x-oss-meta-*`: lower-case names without the prefix, in the order sent.
    pub metadata: Vec<(String, Bytes)>,
    /// Headers named by `x-oss-persistent-headers`: lower-case names and plain values.
    pub persistent: Vec<(String, Bytes)>,
}

impl Default for StoredHeaders {
    fn default() -> Self {
        Self {
            content_type: Bytes::from_static(DEFAULT_CONTENT_TYPE.as_bytes()),
            cache_control: None,
            content_disposition: None,
            content_encoding: None,
            content_language: None,
            expires: None,
            metadata: Vec::new(),
            persistent: Vec::new(),
        }
    }
}

impl StoredHeaders {
    /// Reads them from a request.
    ///
    /// # Errors
    /// As [`user_metadata`] and [`persistent_headers`].
    pub fn parse(headers: &dyn Headers) -> Result<Self, OssError> {
        let kept = |name| {
            let value = headers.first(name)?.trim_ascii();
            (!value.is_empty()).then(|| Bytes::copy_from_slice(value))
        };
        let defaults = Self::default();
        Ok(Self {
            content_type: kept("content-type").unwrap_or(defaults.content_type),
            cache_control: kept("cache-control"),
            content_disposition: kept("content-disposition"),
            content_encoding: kept("content-encoding"),
            content_language: kept("content-language"),
            expires: kept("expires"),
            metadata: user_metadata(headers)?,
            persistent: persistent_headers(headers)?,
        })
    }

    /// Calls `visit` with name and value of every header to send back, metadata with its prefix.
    pub fn for_each(&self, mut visit: impl FnMut(&str, &Bytes)) {
        visit("content-type", &self.content_type);
        for (name, value) in [
            ("cache-control", &self.cache_control),
            ("content-disposition", &self.content_disposition),
            ("content-encoding", &self.content_encoding),
            ("content-language", &self.content_language),
            ("expires", &self.expires),
        ] {
            if let Some(value) = value {
                visit(name, value);
            }
        }
        let mut full_name = String::from(META_PREFIX);
        for (name, value) in &self.metadata {
            full_name.truncate(META_PREFIX.len());
            full_name.push_str(name);
            visit(&full_name, value);
        }
        for (name, value) in &self.persistent {
            visit(name, value);
        }
    }
}

/// `x-oss-meta-*`: lower-case names without the prefix, values byte for byte. Of a repeated name the first line counts.
///
/// # Errors
/// 400 `InvalidArgument`, EC 0011-00000002, for a name with other characters than letters, digits and hyphens, and for more
/// than [`METADATA_BYTES_MAX`] together.
pub fn user_metadata(headers: &dyn Headers) -> Result<Vec<(String, Bytes)>, OssError> {
    let mut metadata: Vec<(String, Bytes)> = Vec::new();
    let mut bytes = 0usize;
    let mut refusal = None;
    headers.for_each(&mut |line, value| {
        let Some(name) = line.strip_prefix(META_PREFIX) else {
            return;
        };
        if refusal.is_some() || metadata.iter().any(|(known, _)| known == name) {
            return;
        }
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            refusal = Some(bad_metadata(line, "Metadata names hold letters, digits and '-' only."));
            return;
        }
        let value = value.trim_ascii();
        bytes = bytes.saturating_add(name.len()).saturating_add(value.len());
        if bytes > METADATA_BYTES_MAX {
            refusal = Some(bad_metadata(line, "The user metadata is larger than 8 KB."));
            return;
        }
        metadata.push((name.to_ascii_lowercase(), Bytes::copy_from_slice(value)));
    });
    match refusal {
        Some(refusal) => Err(refusal),
        None => Ok(metadata),
    }
}

fn bad_metadata(line: &str, message: &'static str) -> OssError {
    OssError::invalid_argument(line, "", message).with_ec("0011-00000002")
}

/// `x-oss-persistent-headers: name:base64(value),...`: lower-case names and decoded values.
///
/// # Errors
/// 400 `InvalidArgument` for a wrong form, a reserved or repeated name, and a value that no header may have.
pub fn persistent_headers(headers: &dyn Headers) -> Result<Vec<(String, Bytes)>, OssError> {
    let Some(line) = headers.first("x-oss-persistent-headers") else {
        return Ok(Vec::new());
    };
    let line = line.trim_ascii();
    let mut persistent: Vec<(String, Bytes)> = Vec::new();
    if line.is_empty() {
        return Ok(persistent);
    }
    for item in line.split(|byte| *byte == b',') {
        let (name, value) =
            persistent_header(item).map_err(|message| bad_persistent(line, message))?;
        if persistent.iter().any(|(known, _)| *known == name) {
            return Err(bad_persistent(line, "The name of persistent header is repeated."));
        }
        persistent.push((name, value));
    }
    Ok(persistent)
}

fn persistent_header(item: &[u8]) -> Result<(String, Bytes), &'static str> {
    let text = std::str::from_utf8(item).map_err(|_| "The persistent header is not UTF-8.")?;
    let (name, value) = text.split_once(':').ok_or(
        "The format of persistent header is invalid, should be \
         \"name:Base64Encode(value),name:Base64Encode(value)\".",
    )?;
    let name = name.trim().to_ascii_lowercase();
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err("The name of persistent header is not a valid token.");
    }
    if is_reserved(&name) {
        return Err("The name of persistent header is reserved.");
    }
    let value = STANDARD
        .decode(value.trim())
        .map_err(|_| "The value of persistent header is not base64 encoded.")?;
    let value =
        String::from_utf8(value).map_err(|_| "The value of persistent header is not UTF-8.")?;
    // A line break would let a client forge other headers of the answer.
    if value.bytes().any(|b| (b < b' ' && b != b'\t') || b == 0x7f) {
        return Err("The value of persistent header must not contain CR or LF.");
    }
    Ok((name, Bytes::from(value.trim().to_owned())))
}

fn bad_persistent(line: &[u8], message: &'static str) -> OssError {
    OssError::invalid_argument("x-oss-persistent-headers", lossy(line), message)
}

/// A character of a header name.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Names that the server or the connection sets itself, or that change how a browser treats the whole site.
fn is_reserved(name: &str) -> bool {
    const PREFIXES: [&str; 4] = ["x-oss-", "access-control-", "proxy-", "sec-"];
    const NAMES: [&str; 31] = [
        "accept-ranges",
        "age",
        "allow",
        "alt-svc",
        "authorization",
        "cache-control",
        "connection",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-md5",
        "content-range",
        "content-type",
        "date",
        "etag",
        "expires",
        "host",
        "keep-alive",
        "last-modified",
        "location",
        "retry-after",
        "server",
        "set-cookie",
        "strict-transport-security",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "vary",
        "www-authenticate",
    ];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.contains(&name)
}
