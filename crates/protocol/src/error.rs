//! OSS error codes, the error a server answers with, and the error a client reads back.
//!
//! Owns the closed list of codes with their status and default message, [`OssError`] with its XML and `x-oss-err` forms, and
//! the lenient parser of other servers' errors. Knows nothing of HTTP libraries: status codes are plain numbers and headers are
//! name and value.
//!
//! Rules kept here, because SDKs compare or parse them literally:
//! - no `xmlns`, no attributes; the root is exactly `Error`;
//! - order `Code, Message, RequestId, HostId, <fields of the error>, EC`;
//! - what a client sent and is echoed can neither break the XML nor grow the answer without bound.

mod code;
mod parse;

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub use self::code::ErrorCode;
pub use self::parse::{ParsedError, parse_error_xml, parse_x_oss_err};
use crate::xml::Writer;

/// Longest echoed field value, in bytes. A longer one is cut at a character boundary, so that an answer stays small whatever a
/// client sends.
pub const FIELD_BYTES_MAX: usize = 16 * 1024;

/// Longest XML carried in `x-oss-err`, in bytes. Beyond it the optional fields are left out: clients cap their header sizes.
const HEADER_XML_BYTES_MAX: usize = 2048;

/// The MD5 of the body given in `Content-MD5` is not 16 bytes of base64.
pub const EC_MD5_MALFORMED: &str = "0017-00000502";
/// `Content-MD5` differs from the MD5 of the body received.
pub const EC_MD5_MISMATCH: &str = "0017-00000503";
/// A bucket configuration body is not valid XML.
pub const EC_BUCKET_XML: &str = "0015-00000231";
/// The body of DeleteMultipleObjects is not valid XML.
pub const EC_DELETE_XML: &str = "0016-00000608";

/// An error as OSS answers it: what goes into the XML body, and the extra headers beside it.
///
/// ```
/// use ossia_protocol::error::{ErrorCode, OssError};
///
/// let error = OssError::no_such_key("logs/today");
/// assert_eq!(error.code(), ErrorCode::NoSuchKey);
/// assert_eq!(error.status(), 404);
/// assert!(error.to_xml("5C3D9175B6FC201293ADA1B2", "b.example.com").contains("<Key>logs/today</Key>"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct OssError {
    code: ErrorCode,
    message: Cow<'static, str>,
    ec: Option<&'static str>,
    fields: Vec<(&'static str, String)>,
    group: Option<Box<Group>>,
    headers: Vec<(&'static str, String)>,
}

/// An element with elements in it.
type Group = (&'static str, Vec<(&'static str, String)>);

impl OssError {
    /// An error with the code's default message, its EC where the code has a single known one, and nothing else.
    pub fn new(code: ErrorCode) -> Self {
        Self {
            code,
            message: Cow::Borrowed(code.message()),
            ec: code.ec(),
            fields: Vec::new(),
            group: None,
            headers: Vec::new(),
        }
    }

    /// Replaces the message.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.message = message.into();
        self
    }

    /// Sets the fine-grained code, sent as `<EC>` and `x-oss-ec`.
    #[must_use]
    pub fn with_ec(mut self, ec: &'static str) -> Self {
        self.ec = Some(ec);
        self
    }

    /// Adds an element between `HostId` and `EC`. Values past [`FIELD_BYTES_MAX`] are cut.
    #[must_use]
    pub fn with_field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        let mut value = value.into();
        value.truncate(value.floor_char_boundary(FIELD_BYTES_MAX));
        self.fields.push((name, value));
        self
    }

    /// Adds an element with elements in it, behind the fields. An error has one at most.
    #[must_use]
    pub fn with_group(mut self, name: &'static str, members: Vec<(&'static str, String)>) -> Self {
        self.group = Some(Box::new((name, members)));
        self
    }

    /// Adds a response header (lower-case name). The value must be legal in a header: decimal numbers and constants, never text
    /// that a client sent.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The code.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The HTTP status to answer with.
    pub fn status(&self) -> u16 {
        self.code.status()
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The fine-grained code, where one is known.
    pub fn ec(&self) -> Option<&'static str> {
        self.ec
    }

    /// The extra elements, in the order they are written.
    pub fn fields(&self) -> &[(&'static str, String)] {
        &self.fields
    }

    /// The extra response headers, names in lower case. `x-oss-ec` and `x-oss-err` are not among them.
    pub fn headers(&self) -> &[(&'static str, String)] {
        &self.headers
    }

    /// The body of the answer: a whole XML document. `request_id` equals `x-oss-request-id`, `host_id` is the Host that the
    /// client used.
    pub fn to_xml(&self, request_id: &str, host_id: &str) -> String {
        self.xml(request_id, host_id, true)
    }

    /// The value of `x-oss-err`, for answers that have no body: the same XML in base64, one line, without the optional fields
    /// when they would make the header long.
    pub fn x_oss_err(&self, request_id: &str, host_id: &str) -> String {
        let mut xml = self.xml(request_id, host_id, true);
        if xml.len() > HEADER_XML_BYTES_MAX {
            xml = self.xml(request_id, host_id, false);
        }
        STANDARD.encode(xml)
    }

    fn xml(&self, request_id: &str, host_id: &str, with_fields: bool) -> String {
        let mut writer = Writer::document(256);
        writer.open("Error");
        writer.safe_text("Code", self.code.as_str());
        writer.safe_text("Message", &self.message);
        writer.safe_text("RequestId", request_id);
        writer.safe_text("HostId", host_id);
        if with_fields {
            for (name, value) in &self.fields {
                writer.safe_text(name, value);
            }
            if let Some((name, members)) = self.group.as_deref() {
                writer.open(name);
                for (name, value) in members {
                    writer.safe_text(name, value);
                }
                writer.close(name);
            }
        }
        if let Some(ec) = self.ec {
            writer.safe_text("EC", ec);
        }
        writer.close("Error");
        writer.finish()
    }
}

impl From<ErrorCode> for OssError {
    fn from(code: ErrorCode) -> Self {
        Self::new(code)
    }
}

/// Ready errors, with the exact message, EC and fields that clients know.
impl OssError {
    /// 404 `NoSuchBucket`.
    pub fn no_such_bucket(bucket: &str) -> Self {
        Self::new(ErrorCode::NoSuchBucket).with_field("BucketName", bucket)
    }

    /// 404 `NoSuchKey`.
    pub fn no_such_key(key: &str) -> Self {
        Self::new(ErrorCode::NoSuchKey).with_field("Key", key)
    }

    /// 404 `NoSuchVersion`.
    pub fn no_such_version(key: &str, version_id: &str) -> Self {
        Self::new(ErrorCode::NoSuchVersion)
            .with_field("Key", key)
            .with_field("VersionId", version_id)
    }

    /// 405 `MethodNotAllowed`: a delete marker that the request names can only be deleted.
    pub fn delete_marker_named(method: &str) -> Self {
        Self::new(ErrorCode::MethodNotAllowed)
            .with_field("Method", method)
            .with_field("ResourceType", "DeleteMarker")
            .with_header("allow", "DELETE")
    }

    /// 404 `NoSuchUpload`. Some operations have an EC of their own; add it with [`OssError::with_ec`].
    pub fn no_such_upload(upload_id: &str) -> Self {
        Self::new(ErrorCode::NoSuchUpload)
            .with_ec("0042-00000002")
            .with_field("UploadId", upload_id)
    }

    /// 409 `BucketNotEmpty`, for a bucket that still has objects.
    pub fn bucket_not_empty(bucket: &str) -> Self {
        Self::new(ErrorCode::BucketNotEmpty).with_field("BucketName", bucket)
    }

    /// 409 `FileAlreadyExists`: a write with `x-oss-forbid-overwrite: true` met an object.
    pub fn file_already_exists(key: &str) -> Self {
        Self::new(ErrorCode::FileAlreadyExists).with_field("Key", key)
    }

    /// 409 `PositionNotEqualToLength`. `next_position` is the length of the object (0 where there is none), `crc64` the CRC-64
    /// of its bytes when it exists. Both go out as headers: one SDK cannot build its exception without the first.
    pub fn position_not_equal_to_length(next_position: u64, crc64: Option<u64>) -> Self {
        let error = Self::new(ErrorCode::PositionNotEqualToLength)
            .with_header("x-oss-next-append-position", next_position.to_string());
        match crc64 {
            Some(crc64) => error.with_header("x-oss-hash-crc64ecma", crc64.to_string()),
            None => error,
        }
    }

    /// 409 `ObjectNotAppendable`: the current version is not of type Appendable.
    pub fn object_not_appendable() -> Self {
        Self::new(ErrorCode::ObjectNotAppendable)
    }

    /// 400 `AppendSealedObjectNotAllowed`.
    pub fn append_sealed() -> Self {
        Self::new(ErrorCode::AppendSealedObjectNotAllowed)
    }

    /// 400 `MissingArgument`: an append or seal without `position`.
    pub fn missing_position() -> Self {
        Self::new(ErrorCode::MissingArgument)
            .with_ec("0016-00000501")
            .with_field("ArgumentName", "position")
    }

    /// 400 `InvalidArgument`: `position` is not a non-negative decimal integer up to 2^63-1. `value` is the text as sent.
    pub fn bad_position(value: &str) -> Self {
        Self::invalid_argument(
            "position",
            value,
            "The position must be a non-negative decimal integer.",
        )
        .with_ec("0016-00000502")
    }

    /// 400 `InvalidArgument`: an appendable object cannot be created in a class that is written offline.
    pub fn append_storage_class(class: &str) -> Self {
        Self::invalid_argument(
            "x-oss-storage-class",
            class,
            "The storage class does not support appendable objects.",
        )
        .with_ec("0016-00000503")
    }

    /// 400 `InvalidArgument` naming the argument at fault, its value as sent and what is wrong.
    pub fn invalid_argument(
        name: impl Into<String>,
        value: impl Into<String>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(ErrorCode::InvalidArgument)
            .with_message(message)
            .with_field("ArgumentName", name)
            .with_field("ArgumentValue", value)
    }

    /// 400 `InvalidDigest`: `Content-MD5` is not 16 bytes of base64.
    pub fn malformed_content_md5() -> Self {
        Self::new(ErrorCode::InvalidDigest).with_ec(EC_MD5_MALFORMED)
    }

    /// 400 `InvalidDigest`: the body received has another MD5 than `Content-MD5` says.
    pub fn content_md5_mismatch() -> Self {
        Self::new(ErrorCode::InvalidDigest).with_ec(EC_MD5_MISMATCH)
    }

    /// 400 `InvalidCRC64`: the body received has another CRC-64 than the request's `x-oss-hash-crc64ecma` says.
    pub fn crc64_mismatch() -> Self {
        Self::new(ErrorCode::InvalidCRC64)
    }

    /// 412 `PreconditionFailed`; `header` is the request header that did not hold, in its documented spelling.
    pub fn precondition_failed(header: &'static str) -> Self {
        Self::new(ErrorCode::PreconditionFailed).with_field("Condition", header)
    }

    /// 416 `InvalidRange`. `range` is the Range header as sent, `length` the length of the object.
    pub fn invalid_range(range: &str, length: u64) -> Self {
        Self::new(ErrorCode::InvalidRange)
            .with_field("ActualObjectSize", length.to_string())
            .with_field("RangeRequested", range)
            .with_header("content-range", format!("bytes */{length}"))
    }

    /// 400 `EntityTooLarge`: a put, form or part over `max_bytes`; `proposed` where the size was announced.
    pub fn entity_too_large(max_bytes: u64, proposed: Option<u64>) -> Self {
        let error = Self::new(ErrorCode::EntityTooLarge)
            .with_field("MaxSizeAllowed", max_bytes.to_string());
        match proposed {
            Some(bytes) => error.with_field("ProposedSize", bytes.to_string()),
            None => error,
        }
    }

    /// 400 `InlineDataTooLarge`: an append whose result would be longer than an appendable object may be.
    pub fn inline_data_too_large(max_bytes: u64, proposed: Option<u64>) -> Self {
        let error = Self::new(ErrorCode::InlineDataTooLarge)
            .with_field("MaxSizeAllowed", max_bytes.to_string());
        match proposed {
            Some(bytes) => error.with_field("ProposedSize", bytes.to_string()),
            None => error,
        }
    }

    /// 405 `MethodNotAllowed`. `resource_type` is what was addressed: `Service`, `Bucket`, `Object`, `DeleteMarker` or the name
    /// of a sub-resource.
    pub fn method_not_allowed(method: &str, resource_type: impl Into<String>) -> Self {
        Self::new(ErrorCode::MethodNotAllowed)
            .with_field("Method", method)
            .with_field("ResourceType", resource_type)
    }

    /// 400 `NotImplemented` for a whole operation, named in the message. (OSS's status is 400; a 5xx would be retried.)
    pub fn operation_not_implemented(operation: &str) -> Self {
        Self::new(ErrorCode::NotImplemented)
            .with_message(format!("The operation {operation} is not implemented."))
    }

    /// 400 `NotImplemented` for a request header that asks for something this server does not do.
    pub fn header_not_implemented(header: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotImplemented).with_field("Header", header)
    }

    /// 400 `OperationNotSupported`: copying from an appendable object while that is not allowed.
    pub fn copy_of_appendable() -> Self {
        Self::new(ErrorCode::OperationNotSupported)
            .with_field("Detail", "The source of a copy must not be an appendable object.")
    }

    /// 400 `MalformedXML`; `detail` says what is wrong, for a human.
    pub fn malformed_xml(detail: impl Into<String>) -> Self {
        Self::new(ErrorCode::MalformedXML).with_field("ErrorDetail", detail)
    }

    /// 403 `AccessForbidden`: a preflight that no rule allows, or that meets a resource without rules.
    pub fn cors_forbidden() -> Self {
        Self::new(ErrorCode::AccessForbidden)
    }

    /// 503 `ServiceUnavailable` with `Retry-After`, for writes while the disk is full or the store read-only.
    pub fn service_unavailable(retry_after_seconds: u32) -> Self {
        Self::new(ErrorCode::ServiceUnavailable)
            .with_header("retry-after", retry_after_seconds.to_string())
    }
}

#[cfg(test)]
mod tests;
