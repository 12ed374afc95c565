//! The operations: how each is asked for, and what its answer says.

mod append;
mod buckets;
mod copy;
mod delete;
mod get;
mod list;
mod multipart;
mod put;
mod raw;
mod rpc;
mod seal;

pub use append::{AppendObjectOutput, AppendObjectRequest};
pub use buckets::{BucketDetails, CreateBucketRequest, ListBucketsOutput, ListBucketsRequest};
pub use copy::{CopyObjectOutput, CopyObjectRequest};
pub use delete::DeleteObjectOutput;
pub use get::{ByteRange, Download, GetObjectOutput, GetObjectRequest, HeadObjectOutput};
pub use list::{ListObjectsOutput, ListObjectsPager, ListObjectsRequest};
pub use multipart::{
    CompleteUploadOutput, CompleteUploadRequest, InitiateUploadRequest, ListUploadsRequest,
    UploadPartCopyRequest, UploadPartOutput, UploadPartRequest, UploadTarget,
};
pub use put::{PutObjectOutput, PutObjectRequest};
pub use raw::{RawOutput, RawRequest};
pub use rpc::{AssumeRoleOutput, AssumeRoleRequest, RpcService};
pub use seal::{SealObjectOutput, SealObjectRequest};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use md5::{Digest as _, Md5};
use ossia_protocol::attributes::{ObjectAcl, StorageClass};
use ossia_protocol::{etag, time, uri};

use crate::body::Body;
use crate::client::Inner;
use crate::error::{ClientError, InvalidInput};
use crate::send::{Answer, Call, number, text};

/// Longest body of a success without content of its own: a callback's answer.
const ASIDE_BYTES_MAX: usize = 1 << 20;

/// What an object is created with. On an append to an object that exists only the ACL counts; the object keeps the rest as its
/// first append set it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectAttributes {
    /// `Content-Type`; a server takes `application/octet-stream` if there is none.
    pub content_type: Option<String>,
    /// `Cache-Control`, given back on reads.
    pub cache_control: Option<String>,
    /// `Content-Disposition`, given back on reads.
    pub content_disposition: Option<String>,
    /// `Content-Encoding`, given back on reads.
    pub content_encoding: Option<String>,
    /// `Expires`, given back on reads.
    pub expires: Option<String>,
    /// User metadata: names without `x-oss-meta-`, of letters, digits and `-`.
    pub metadata: Vec<(String, String)>,
    /// Tags, at most ten.
    pub tags: Vec<(String, String)>,
    /// Access control.
    pub acl: Option<ObjectAcl>,
    /// Storage class; the bucket's by default.
    pub storage_class: Option<StorageClass>,
}

impl ObjectAttributes {
    /// Puts the attributes into a call's headers.
    fn apply(&self, call: &mut Call) -> Result<(), InvalidInput> {
        call.header_if("content-type", self.content_type.as_deref())?;
        call.header_if("cache-control", self.cache_control.as_deref())?;
        call.header_if("content-disposition", self.content_disposition.as_deref())?;
        call.header_if("content-encoding", self.content_encoding.as_deref())?;
        call.header_if("expires", self.expires.as_deref())?;
        for (name, value) in &self.metadata {
            call.header(&format!("x-oss-meta-{name}"), value)?;
        }
        if !self.tags.is_empty() {
            call.header("x-oss-tagging", &tagging(&self.tags))?;
        }
        call.header_if("x-oss-object-acl", self.acl.map(ObjectAcl::as_str))?;
        call.header_if("x-oss-storage-class", self.storage_class.map(StorageClass::as_str))
    }
}

/// Tags as a query string.
fn tagging(tags: &[(String, String)]) -> String {
    let pair = |(key, value): &(String, String)| {
        format!("{}={}", uri::encode(key.as_bytes()), uri::encode(value.as_bytes()))
    };
    tags.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// Whether a body's MD5 is sent along, so that a server refuses damaged bytes before it stores them. CRC-64 is compared
/// afterwards in any case; MD5 costs a core a second for every 0.6 to 0.75 GB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ContentMd5 {
    /// None is sent.
    #[default]
    Off,
    /// Computed here; only for bodies in memory.
    Computed,
    /// Known to the caller.
    Given([u8; 16]),
}

impl ContentMd5 {
    fn apply(self, call: &mut Call, body: &Body) -> Result<(), InvalidInput> {
        let md5: [u8; 16] = match self {
            ContentMd5::Off => return Ok(()),
            ContentMd5::Given(md5) => md5,
            ContentMd5::Computed => {
                let bytes = body.as_bytes().ok_or(InvalidInput::Contradiction(
                    "an MD5 can be computed beforehand only of a body in memory",
                ))?;
                Md5::digest(bytes).into()
            }
        };
        call.header("content-md5", &STANDARD.encode(md5))
    }
}

/// What the headers of an answer tell about an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectMeta {
    /// Length in bytes; of the whole object, also where only a range was asked for.
    pub length: u64,
    /// ETag without quotes. For an appendable object it is not an MD5, and changes with every append.
    pub etag: String,
    /// Unix seconds of the last write.
    pub last_modified: Option<i64>,
    /// CRC-64 of the whole object.
    pub crc64: Option<u64>,
    /// `Normal`, `Multipart`, `Appendable` or `Symlink`.
    pub object_type: String,
    /// Where the next append goes; only for appendable objects.
    pub next_append_position: Option<u64>,
    /// When the object was sealed, as the server wrote it.
    pub sealed_time: Option<String>,
    /// `Standard`, `IA`, ...
    pub storage_class: String,
    /// `Content-Type`.
    pub content_type: String,
    /// User metadata, names without `x-oss-meta-` in lower case.
    pub metadata: Vec<(String, String)>,
    /// Version, in a bucket that keeps versions.
    pub version_id: Option<String>,
    /// Every header of the answer.
    pub headers: HeaderMap,
}

impl ObjectMeta {
    /// Reads headers; `length` is what they say about the whole object.
    fn read(headers: &HeaderMap, length: u64) -> ObjectMeta {
        let owned = |name| text(headers, name).unwrap_or_default().to_owned();
        ObjectMeta {
            length,
            etag: etag::bare(text(headers, "etag").unwrap_or_default()).to_owned(),
            last_modified: text(headers, "last-modified").and_then(time::parse_http_date),
            crc64: number(headers, "x-oss-hash-crc64ecma"),
            object_type: owned("x-oss-object-type"),
            next_append_position: number(headers, "x-oss-next-append-position"),
            sealed_time: text(headers, "x-oss-sealed-time").map(str::to_owned),
            storage_class: owned("x-oss-storage-class"),
            content_type: owned("content-type"),
            metadata: metadata(headers),
            version_id: version_id(headers),
            headers: headers.clone(),
        }
    }

    /// Whether the object can be appended to.
    pub fn is_appendable(&self) -> bool {
        self.object_type.eq_ignore_ascii_case("appendable") && self.sealed_time.is_none()
    }
}

fn metadata(headers: &HeaderMap) -> Vec<(String, String)> {
    let pair = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        let name = name.as_str().strip_prefix("x-oss-meta-")?;
        // Metadata may be UTF-8, which a header value does not show as text.
        Some((name.to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
    };
    headers.iter().filter_map(pair).collect()
}

fn version_id(headers: &HeaderMap) -> Option<String> {
    text(headers, "x-oss-version-id").map(str::to_owned)
}

fn etag_of(headers: &HeaderMap) -> String {
    etag::bare(text(headers, "etag").unwrap_or_default()).to_owned()
}

impl Inner {
    /// Reads what a success without content of its own says beside its headers, so that its connection can be used again.
    async fn read_aside(&self, answer: Answer) -> Result<Vec<u8>, ClientError> {
        use http_body::Body as _;
        if answer.body.is_end_stream() {
            return Ok(Vec::new());
        }
        self.read_bounded(answer.body, ASIDE_BYTES_MAX).await
    }
}

/// An answer that cannot be understood.
fn bad_answer(what: &'static str, request_id: &str) -> ClientError {
    ClientError::BadAnswer { what, request_id: request_id.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::send::Retry;
    use http::{HeaderValue, Method};

    #[test]
    fn attributes_become_headers() {
        let attributes = ObjectAttributes {
            content_type: Some("text/plain".to_owned()),
            metadata: vec![("host".to_owned(), "b\u{fc}ro".to_owned())],
            tags: vec![("a b".to_owned(), "1&2".to_owned()), ("c".to_owned(), String::new())],
            ..ObjectAttributes::default()
        };
        let mut call = Call::new(Method::PUT, Retry::Once);
        attributes.apply(&mut call).unwrap();
        assert_eq!(call.headers["content-type"], "text/plain");
        assert_eq!(call.headers["x-oss-meta-host"].as_bytes(), "b\u{fc}ro".as_bytes());
        assert_eq!(call.headers["x-oss-tagging"], "a%20b=1%262&c=");
        assert_eq!(call.headers.len(), 3);
    }

    #[test]
    fn a_header_that_http_cannot_carry_is_refused_here() {
        let with = |name: &str, value: &str| ObjectAttributes {
            metadata: vec![(name.to_owned(), value.to_owned())],
            ..ObjectAttributes::default()
        };
        for bad in [with("a b", "x"), with("a", "x\r\ny: z"), with("", "")] {
            let mut call = Call::new(Method::PUT, Retry::Once);
            let applied = bad.apply(&mut call);
            // An empty name is a header of its own, which HTTP can carry; the service refuses it.
            assert_eq!(applied.is_err(), !bad.metadata[0].0.is_empty(), "{bad:?}");
        }
    }

    #[test]
    fn an_md5_is_computed_of_bytes_only() {
        let mut call = Call::new(Method::PUT, Retry::Once);
        ContentMd5::Computed.apply(&mut call, &Body::from("")).unwrap();
        assert_eq!(call.headers["content-md5"], "1B2M2Y8AsgTpgAmY7PhCfg==");
        assert!(ContentMd5::Computed.apply(&mut call, &Body::file("x")).is_err());
    }

    #[test]
    fn meta_reads_what_is_there() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("etag", "\"2776271A4A09D82CA518AC5C00000000\""),
            ("last-modified", "Tue, 09 Apr 2019 03:59:33 GMT"),
            ("x-oss-hash-crc64ecma", "18446744073709551615"),
            ("x-oss-object-type", "Appendable"),
            ("x-oss-next-append-position", "11"),
            ("x-oss-meta-who", "me"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let meta = ObjectMeta::read(&headers, 11);
        assert_eq!(meta.etag, "2776271A4A09D82CA518AC5C00000000");
        assert_eq!(meta.last_modified, Some(1_554_782_373));
        assert_eq!(meta.crc64, Some(u64::MAX));
        assert_eq!(meta.metadata, [("who".to_owned(), "me".to_owned())]);
        assert!(meta.is_appendable());
        headers
            .insert("x-oss-sealed-time", HeaderValue::from_static("Tue, 09 Apr 2019 03:59:33 GMT"));
        assert!(!ObjectMeta::read(&headers, 11).is_appendable());
    }
}
