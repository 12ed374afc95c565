//! Names and values of headers that several operations answer with.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use ossia_objects::{ObjectInfo, RestoreState, VersionId};
use ossia_protocol::{attributes::ObjectType, etag, time};

use crate::service::Call;

pub(super) const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
pub(super) const CRC64: HeaderName = HeaderName::from_static("x-oss-hash-crc64ecma");
pub(super) const NEXT_APPEND_POSITION: HeaderName =
    HeaderName::from_static("x-oss-next-append-position");
pub(super) const OBJECT_TYPE: HeaderName = HeaderName::from_static("x-oss-object-type");
pub(super) const SEALED_TIME: HeaderName = HeaderName::from_static("x-oss-sealed-time");
pub(super) const STORAGE_CLASS: HeaderName = HeaderName::from_static("x-oss-storage-class");
pub(super) const TAGGING_COUNT: HeaderName = HeaderName::from_static("x-oss-tagging-count");
pub(super) const VERSION_ID: HeaderName = HeaderName::from_static("x-oss-version-id");
const ENCRYPTION: HeaderName = HeaderName::from_static("x-oss-server-side-encryption");
const RESTORE: HeaderName = HeaderName::from_static("x-oss-restore");
const EXPIRATION: HeaderName = HeaderName::from_static("x-oss-expiration");
pub(super) const DELETE_MARKER: HeaderName = HeaderName::from_static("x-oss-delete-marker");

/// Seconds since 1970 as the date codecs take them.
pub(super) fn seconds(unix_seconds: u64) -> i64 {
    i64::try_from(unix_seconds).unwrap_or(i64::MAX)
}

/// An HTTP date.
pub(super) fn date_value(unix_seconds: u64) -> HeaderValue {
    HeaderValue::try_from(time::http_date(seconds(unix_seconds)))
        .expect("an HTTP date is printable ASCII")
}

/// An ETag within quotes.
pub(super) fn etag_value(bare: &str) -> HeaderValue {
    HeaderValue::try_from(etag::quoted(bare)).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// The base64 of an MD5.
pub(super) fn md5_value(md5: &[u8; 16]) -> HeaderValue {
    HeaderValue::try_from(STANDARD.encode(md5)).expect("base64 is printable ASCII")
}

/// A version's id.
pub(super) fn version_value(id: VersionId) -> HeaderValue {
    match id {
        VersionId::Null => HeaderValue::from_static("null"),
        made => HeaderValue::try_from(made.to_string()).expect("hexadecimal digits"),
    }
}

/// Adds the version, in a bucket that has or had versions.
pub(super) fn insert_version(headers: &mut HeaderMap, version_id: Option<VersionId>) {
    if let Some(id) = version_id {
        headers.insert(VERSION_ID, version_value(id));
    }
}

/// Tells that an object is encrypted at rest.
pub(super) fn insert_encryption(headers: &mut HeaderMap, encrypted: bool) {
    if encrypted {
        headers.insert(ENCRYPTION, HeaderValue::from_static("AES256"));
    }
}

/// The headers that were stored with an object.
pub(super) fn insert_stored(headers: &mut HeaderMap, info: &ObjectInfo) {
    info.attributes.for_each(|name, value| {
        // Both came in as a header and passed the same checks.
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_maybe_shared(value.clone()))
        {
            headers.insert(name, value);
        }
    });
}

/// How far a restore is, as a header and in lists.
pub(super) fn restore_text(state: RestoreState) -> String {
    match state {
        RestoreState::Ongoing => "ongoing-request=\"true\"".to_owned(),
        RestoreState::Until(at) => {
            let date = time::http_date(seconds(at));
            format!("ongoing-request=\"false\", expiry-date=\"{date}\"")
        }
    }
}

/// What time does to an object: its restore, and when it expires.
pub(super) fn insert_lifetime(headers: &mut HeaderMap, call: &Call<'_>, info: &ObjectInfo) {
    if let Some(state) = info.restore(call.app.clock.now_ms())
        && let Ok(value) = HeaderValue::try_from(restore_text(state))
    {
        headers.insert(RESTORE, value);
    }
    if let Some(expiration) = call.app.objects.expiration(&call.rules, info) {
        let date = time::http_date(seconds(expiration.at));
        let text = format!("expiry-date=\"{date}\", rule-id=\"{}\"", expiration.rule);
        // The id is the owner's text.
        if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
            headers.insert(EXPIRATION, value);
        }
    }
}

/// Everything that GET and HEAD tell of an object, but for Content-Length.
pub(super) fn insert_object(headers: &mut HeaderMap, call: &Call<'_>, info: &ObjectInfo) {
    insert_lifetime(headers, call, info);
    insert_stored(headers, info);
    insert_identity(headers, info);
    insert_encryption(headers, info.encrypted);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(OBJECT_TYPE, HeaderValue::from_static(info.kind.as_str()));
    headers.insert(STORAGE_CLASS, HeaderValue::from_static(info.storage_class.as_str()));
    // A link tells its target's.
    if matches!(info.kind, ObjectType::Normal | ObjectType::Multipart | ObjectType::Symlink)
        && let Some(md5) = &info.md5
    {
        headers.insert(CONTENT_MD5, md5_value(md5));
    }
    if info.kind == ObjectType::Appendable {
        headers.insert(NEXT_APPEND_POSITION, HeaderValue::from(info.length));
    }
    if let Some(sealed_at) = info.sealed_at {
        headers.insert(SEALED_TIME, date_value(sealed_at));
    }
    if !info.tags.is_empty() {
        headers.insert(TAGGING_COUNT, HeaderValue::from(info.tags.len()));
    }
}

/// What every answer about an object tells: which bytes these are.
pub(super) fn insert_identity(headers: &mut HeaderMap, info: &ObjectInfo) {
    headers.insert(header::ETAG, etag_value(&info.etag));
    headers.insert(header::LAST_MODIFIED, date_value(info.last_modified));
    headers.insert(CRC64, HeaderValue::from(info.crc64));
    insert_version(headers, info.version_id);
}
