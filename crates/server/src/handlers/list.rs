//! ListObjects and ListObjectsV2.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;
use ossia_objects::{ListInput, ListOutput, ObjectInfo};
use ossia_protocol::{
    crc64,
    error::OssError,
    xml::{ListObjectsOutput, ListObjectsV2Output, ObjectSummary, Owner},
};

use super::{error as errors, fields};
use crate::{
    http::{Reply, Reserved},
    service::Call,
};

/// The longest prefix, delimiter and marker in bytes.
const TEXT_BYTES_MAX: usize = 1024;
/// Entries of a page that names no number.
const MAX_KEYS_DEFAULT: u64 = 100;
/// Most entries of a page.
const MAX_KEYS_MAX: u64 = 1000;
/// What an entry of usual names takes in an answer. Which room that needs is known only when it is there.
const ENTRY_BYTES: u64 = 512;

pub(super) async fn list_objects(call: &Call<'_>) -> Result<Reply, OssError> {
    let page = Page::read(call)?;
    let marker = text(call, "marker")?;
    let after = (!marker.is_empty()).then(|| marker.clone());
    let reserved = page.reserve(call).await?;
    let output = page.list(call, after).await?;
    let document = ListObjectsOutput {
        name: call.bucket_name()?.as_str().to_owned(),
        prefix: page.prefix,
        marker,
        delimiter: page.delimiter,
        max_keys: page.max_keys,
        url_encoded: page.url_encoded,
        next_marker: output.last.filter(|_| output.truncated),
        owner: Owner::account(&call.app.account),
        contents: output.objects.into_iter().map(|info| summary(call, info)).collect(),
        common_prefixes: output.prefixes,
    };
    Ok(Reply::xml(StatusCode::OK, document.to_xml()).holding(reserved))
}

pub(super) async fn list_objects_v2(call: &Call<'_>) -> Result<Reply, OssError> {
    let page = Page::read(call)?;
    let start_after = sent(call, "start-after")?;
    let token = sent(call, "continuation-token")?;
    let after = match &token {
        Some(token) => Some(key_of_token(token).ok_or_else(|| {
            let message = "The continuation token is invalid.";
            OssError::invalid_argument("continuation-token", token, message)
        })?),
        None => start_after.clone(),
    };
    let fetch_owner = call.query.get("fetch-owner").is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let reserved = page.reserve(call).await?;
    let output = page.list(call, after).await?;
    let document = ListObjectsV2Output {
        name: call.bucket_name()?.as_str().to_owned(),
        prefix: page.prefix,
        start_after,
        continuation_token: token,
        delimiter: page.delimiter,
        max_keys: page.max_keys,
        url_encoded: page.url_encoded,
        next_continuation_token: output
            .last
            .filter(|_| output.truncated)
            .map(|last| token_of_key(&last)),
        owner: fetch_owner.then(|| Owner::account(&call.app.account)),
        contents: output.objects.into_iter().map(|info| summary(call, info)).collect(),
        common_prefixes: output.prefixes,
    };
    Ok(Reply::xml(StatusCode::OK, document.to_xml()).holding(reserved))
}

/// What every listing asks for.
pub(super) struct Page {
    pub(super) prefix: String,
    pub(super) delimiter: String,
    pub(super) max_keys: u64,
    pub(super) url_encoded: bool,
}

impl Page {
    pub(super) fn read(call: &Call<'_>) -> Result<Page, OssError> {
        Ok(Page {
            prefix: text(call, "prefix")?,
            delimiter: text(call, "delimiter")?,
            max_keys: max_keys(call)?,
            url_encoded: url_encoded(call)?,
        })
    }

    /// Sets memory aside for the answer: thousands of clients that ask for it and do not take it must find a bound (I7).
    pub(super) async fn reserve(&self, call: &Call<'_>) -> Result<Reserved, OssError> {
        let length = self.max_keys.saturating_mul(ENTRY_BYTES);
        let own = call.request.guest.downloads();
        let reserved = call.app.downloads.reserve_whole(Some(length), usize::MAX, own).await;
        reserved.ok_or_else(|| OssError::service_unavailable(errors::RETRY_BUSY_SECONDS))
    }

    async fn list(&self, call: &Call<'_>, after: Option<String>) -> Result<ListOutput, OssError> {
        let bucket = call.bucket_name()?;
        let input = ListInput {
            bucket: bucket.clone(),
            prefix: self.prefix.clone(),
            delimiter: (!self.delimiter.is_empty()).then(|| self.delimiter.clone()),
            after,
            limit: usize::try_from(self.max_keys).unwrap_or(usize::MAX),
        };
        call.app.objects.list(input).await.map_err(|error| errors::list(error, &bucket))
    }
}

pub(super) fn summary(call: &Call<'_>, info: ObjectInfo) -> ObjectSummary {
    let restore = info.restore(call.app.clock.now_ms());
    ObjectSummary {
        key: info.key.as_str().to_owned(),
        last_modified: fields::seconds(info.last_modified),
        etag: info.etag,
        object_type: info.kind.as_str().into(),
        size: info.length,
        storage_class: info.storage_class.as_str().into(),
        restore_info: restore.map(fields::restore_text),
        transition_time: info.lifetime.transitioned().map(fields::seconds),
    }
}

/// A parameter as text; absent and empty are the same.
pub(super) fn text(call: &Call<'_>, name: &'static str) -> Result<String, OssError> {
    let bytes = call.query.get_bytes(name).unwrap_or_default();
    let refuse = |message: &'static str| {
        Err(OssError::invalid_argument(name, String::from_utf8_lossy(bytes), message))
    };
    if bytes.len() > TEXT_BYTES_MAX {
        return refuse("The value must not be longer than 1024 bytes.");
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => refuse("The value must be UTF-8."),
    }
}

/// A parameter that is echoed only if it was sent with a value.
fn sent(call: &Call<'_>, name: &'static str) -> Result<Option<String>, OssError> {
    // A token is longer than the key that it stands for.
    if name == "continuation-token" {
        let token = call.query.get(name).filter(|token| !token.is_empty());
        return Ok(token.map(str::to_owned));
    }
    text(call, name).map(|text| (!text.is_empty()).then_some(text))
}

/// `max-keys`: 1 to 1,000.
pub(super) fn max_keys(call: &Call<'_>) -> Result<u64, OssError> {
    let Some(raw) = call.query.get_bytes("max-keys").filter(|raw| !raw.is_empty()) else {
        return Ok(MAX_KEYS_DEFAULT);
    };
    let text = String::from_utf8_lossy(raw);
    let number = if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None };
    number.filter(|number| (1..=MAX_KEYS_MAX).contains(number)).ok_or_else(|| {
        let message = "Argument max-keys must be an integer between 1 and 1000.";
        OssError::invalid_argument("max-keys", text, message)
    })
}

/// `encoding-type=url`, the only one there is.
pub(super) fn url_encoded(call: &Call<'_>) -> Result<bool, OssError> {
    match call.query.get_bytes("encoding-type") {
        None | Some(b"") => Ok(false),
        Some(value) if value.eq_ignore_ascii_case(b"url") => Ok(true),
        Some(value) => {
            let message = "Invalid Encoding Method specified in Request.";
            let value = String::from_utf8_lossy(value);
            Err(OssError::invalid_argument("encoding-type", value, message))
        }
    }
}

/// A continuation token: format, part of a checksum, and the last key, in the alphabet of URLs: SDKs decode tokens as if they
/// were encoded, so no character may mean anything there.
const TOKEN_FORMAT: u8 = 1;

fn token_of_key(key: &str) -> String {
    let sum = crc64::checksum(key.as_bytes()).to_le_bytes();
    let mut bytes = vec![TOKEN_FORMAT];
    bytes.extend(sum.iter().take(4));
    bytes.extend(key.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn key_of_token(token: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (format, rest) = bytes.split_first()?;
    let (sum, key) = rest.split_at_checked(4)?;
    let wanted = crc64::checksum(key).to_le_bytes();
    if *format != TOKEN_FORMAT || wanted.get(..4) != Some(sum) {
        return None;
    }
    String::from_utf8(key.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_and_carry_nothing_that_a_url_would_change() {
        for key in ["a", "目录/键", "a b+c%2F=/~", &"x".repeat(1023)] {
            let token = token_of_key(key);
            assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
            assert_eq!(key_of_token(&token).as_deref(), Some(key));
        }
    }

    #[test]
    fn other_text_is_no_token() {
        for wrong in ["a", "abc", "CgJiYw--", "AAAAAAAA", "not a token", "%%", "AQIDBAVh"] {
            assert_eq!(key_of_token(wrong), None, "{wrong}");
        }
    }
}
