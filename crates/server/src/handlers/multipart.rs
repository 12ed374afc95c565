//! Multipart uploads: InitiateMultipartUpload, UploadPart, UploadPartCopy, CompleteMultipartUpload, AbortMultipartUpload,
//! ListMultipartUploads and ListParts.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use md5::{Digest, Md5};
use ossia_access::{PUT_OBJECT_ACL, PUT_OBJECT_TAGGING};
use ossia_objects::{
    AbortUploadInput, ChosenParts, CompleteUploadInput, CopyRange, InitiateUploadInput,
    ListPartsInput, ListUploadsInput, PART_NUMBER_MAX, UploadId, UploadInfo, UploadPartCopyInput,
    UploadPartInput,
};
use ossia_protocol::{
    attributes::{self, CopySource},
    conditions::Conditions,
    error::{ErrorCode, OssError},
    range, uri,
    xml::{
        COMPLETE_BYTES_MAX, ClientEncryption, CompleteMultipartUploadInput,
        CompleteMultipartUploadOutput, CopyPartOutput, InitiateMultipartUploadOutput,
        ListMultipartUploadsOutput, ListPartsOutput, PartSummary, UploadSummary,
    },
};

use super::{
    callback::{self, Stored},
    copy::{SOURCE_VERSION_ID, check_source_access, source_version},
    error as errors,
    fields::{self, CONTENT_MD5, CRC64},
    list::{text, url_encoded},
    upload::{Announced, creation, whole_body},
};
use crate::{
    auth::HeaderView,
    http::{Framing, Reply},
    service::Call,
};

/// Fine-grained codes of a missing upload, where the service has one for the operation.
const EC_NO_UPLOAD_PART: &str = "0042-00000104";
const EC_NO_UPLOAD_PART_COPY: &str = "0042-00000311";
const EC_NO_UPLOAD_ABORT: &str = "0042-00000002";
/// The body of CompleteMultipartUpload is not valid XML.
const EC_COMPLETE_XML: &str = "0042-00000205";
/// A body beside `x-oss-complete-all`.
const EC_COMPLETE_ALL_BODY: &str = "0042-00000216";
/// Entries of a page, at most and where none is named.
const PAGE_MAX: u64 = 1000;

pub(super) async fn initiate(call: &Call<'_>) -> Result<Reply, OssError> {
    let (bucket, key) = (call.bucket_name()?, call.key()?);
    let headers = HeaderView(call.headers());
    let input = InitiateUploadInput {
        bucket: bucket.clone(),
        key: key.clone(),
        creation: creation(call)?,
        acl: attributes::object_acl(&headers)?,
        sequential: call.query.has("sequential"),
        forbid_overwrite: attributes::forbid_overwrite(&headers)?,
    };
    let encrypted = input.creation.encrypted;
    let url_encoded = url_encoded(call)?;
    let upload = call
        .app
        .objects
        .initiate_upload(input)
        .await
        .map_err(|error| errors::initiate_upload(error, &bucket, &key))?;
    let document = InitiateMultipartUploadOutput {
        bucket: bucket.as_str().to_owned(),
        key: key.as_str().to_owned(),
        upload_id: upload.to_string(),
        url_encoded,
    };
    let mut reply = Reply::xml(StatusCode::OK, document.to_xml());
    fields::insert_encryption(&mut reply.headers, encrypted);
    Ok(reply)
}

pub(super) async fn upload_part(call: &Call<'_>) -> Result<Reply, OssError> {
    let (bucket, key, number) = (call.bucket_name()?, call.key()?, part_number(call)?);
    refuse_part_encryption(call)?;
    let announced = Announced::read(call)?;
    let upload = upload_id(call).map_err(|error| error.with_ec(EC_NO_UPLOAD_PART))?;
    let (length, limit) = (announced.length(), call.app.config.limits.put_bytes);
    if let Some(length) = length.filter(|length| *length > limit) {
        return Err(OssError::entity_too_large(limit, Some(length)));
    }
    // A part grows the bucket, whatever its object will replace.
    let room = call.quota_room(&key, true, length).await?;
    let body = announced.body(call, limit.min(room)).await?;
    let input = UploadPartInput { bucket: bucket.clone(), key, upload, number, body };
    let output =
        call.app.objects.upload_part(input).await.map_err(|error| {
            errors::upload_part(error, &bucket, &upload.to_string(), limit, length)
        })?;
    let mut reply = Reply::ok()
        .with(header::ETAG, fields::etag_value(&output.etag))
        .with(CRC64, HeaderValue::from(output.crc64))
        .with(CONTENT_MD5, fields::md5_value(&output.md5));
    fields::insert_encryption(&mut reply.headers, output.encrypted);
    Ok(reply)
}

pub(super) async fn upload_part_copy(call: &Call<'_>) -> Result<Reply, OssError> {
    let (bucket, key, number) = (call.bucket_name()?, call.key()?, part_number(call)?);
    refuse_part_encryption(call)?;
    let source = CopySource::from_headers(&HeaderView(call.headers()))?.ok_or_else(|| {
        OssError::invalid_argument("x-oss-copy-source", "", "The copy source is missing.")
    })?;
    let upload = upload_id(call).map_err(|error| error.with_ec(EC_NO_UPLOAD_PART_COPY))?;
    let seen = Box::pin(check_source_access(call, &source, false)).await?;
    let source_version = source_version(&source)?;
    let asked = call.header("x-oss-copy-source-range");
    let range = match asked.and_then(range::copy_range) {
        Some((first, last)) => CopyRange::Bytes { first, last },
        None => CopyRange::Whole,
    };
    if call.rules.quota.is_some_and(|quota| quota.strict) {
        let found = call.app.objects.head(&source.bucket, &source.key).await;
        // What is missing is told by the copy itself.
        let whole = found.map_or(0, |info| info.length);
        let length = match range {
            CopyRange::Bytes { first, last } => {
                let end = last.map_or(whole, |last| last.saturating_add(1).min(whole));
                end.saturating_sub(first)
            }
            CopyRange::Whole => whole,
        };
        call.quota_room(&key, true, Some(length)).await?;
    }
    let input = UploadPartCopyInput {
        source_bucket: source.bucket.clone(),
        source_key: source.key.clone(),
        source_version,
        range,
        conditions: Conditions::of_copy_source(|name| call.header(name)).pinned(seen.as_deref()),
        bucket: bucket.clone(),
        key,
        upload,
        number,
    };
    let told = call.app.objects.upload_part_copy(input).await;
    let output = told.map_err(|error| {
        let asked = String::from_utf8_lossy(asked.unwrap_or_default());
        errors::upload_part_copy(
            error,
            (&source.bucket, &source.key),
            &bucket,
            &upload.to_string(),
            &asked,
        )
    })?;
    let document = CopyPartOutput {
        last_modified: fields::seconds(output.part.last_modified),
        etag: output.part.etag.clone(),
    };
    let mut reply = Reply::xml(StatusCode::OK, document.to_xml())
        .with(header::ETAG, fields::etag_value(&output.part.etag))
        .with(CRC64, HeaderValue::from(output.part.crc64));
    fields::insert_encryption(&mut reply.headers, output.part.encrypted);
    if let Some((first, last)) = output.range
        && let Ok(value) =
            HeaderValue::try_from(range::content_range(first, last, output.source_length))
    {
        reply = reply.with(header::CONTENT_RANGE, value);
    }
    if let Some(version) = output.source_version_id {
        reply = reply.with(SOURCE_VERSION_ID, fields::version_value(version));
    }
    Ok(reply)
}

pub(super) async fn complete(call: &Call<'_>) -> Result<Reply, OssError> {
    let (bucket, key) = (call.bucket_name()?, call.key()?);
    let headers = HeaderView(call.headers());
    let acl = attributes::object_acl(&headers)?;
    let forbid_overwrite =
        attributes::forbid_overwrite(&headers)? || call.overwrite_forbidden(&key);
    let url_encoded = url_encoded(call)?;
    let all = complete_all(call)?;
    let md5 = attributes::content_md5(&headers)?;
    let upload = upload_id(call)?;
    let told = call.app.objects.upload(&bucket, &key, upload).await;
    let found = told.map_err(|error| errors::upload(error, &bucket, &upload.to_string()))?;
    // What was named when the upload began is set now; the right to a header of this request has been asked for.
    if let (None, Some(acl)) = (acl, found.acl) {
        call.permit_also(PUT_OBJECT_ACL, Some(acl.as_str())).await?;
    }
    if found.tagged {
        call.permit_also(PUT_OBJECT_TAGGING, None).await?;
    }
    let asked = callback::asked(call).await?;
    let malformed = || OssError::malformed_xml("the document is too long").with_ec(EC_COMPLETE_XML);
    let (body, _reserved) = match call.request.intake.framing() {
        Framing::Absent => (Bytes::new(), None),
        Framing::Sized(_) | Framing::Chunked => {
            whole_body(call, COMPLETE_BYTES_MAX, malformed).await?
        }
    };
    if md5.is_some_and(|md5| <[u8; 16]>::from(Md5::digest(&body)) != md5) {
        return Err(OssError::content_md5_mismatch());
    }
    let parts = match (all, body.is_empty()) {
        (true, true) => ChosenParts::All,
        (true, false) => {
            let message = "Should not speficy both complete all header and http body.";
            return Err(OssError::new(ErrorCode::InvalidArgument)
                .with_message(message)
                .with_ec(EC_COMPLETE_ALL_BODY));
        }
        (false, _) => {
            let input = CompleteMultipartUploadInput::parse(&body);
            ChosenParts::Listed(input.map_err(|error| error.into_oss(EC_COMPLETE_XML))?.parts)
        }
    };
    let input = CompleteUploadInput {
        bucket: bucket.clone(),
        key: key.clone(),
        upload,
        parts,
        acl,
        forbid_overwrite,
    };
    let output = call
        .app
        .objects
        .complete_upload(input)
        .await
        .map_err(|error| errors::complete_upload(error, &bucket, &key, &upload.to_string()))?;
    let document = CompleteMultipartUploadOutput {
        location: location(call, bucket.as_str(), key.as_bytes()),
        bucket: bucket.as_str().to_owned(),
        key: key.as_str().to_owned(),
        etag: output.etag.clone(),
        url_encoded,
    };
    let mut reply = Reply::xml(StatusCode::OK, document.to_xml())
        .with(header::ETAG, fields::etag_value(&output.etag))
        .with(CRC64, HeaderValue::from(output.crc64));
    fields::insert_version(&mut reply.headers, output.version_id);
    fields::insert_encryption(&mut reply.headers, output.encrypted);
    let Some(asked) = asked else { return Ok(reply) };
    let stored = Stored {
        key: key.as_str(),
        etag: &output.etag,
        size: output.length,
        crc64: output.crc64,
        mime_type: callback::mime_type(&found.attributes),
        md5: None,
    };
    Ok(asked.finish(call, stored, reply).await)
}

pub(super) async fn abort(call: &Call<'_>) -> Result<Reply, OssError> {
    let (bucket, key) = (call.bucket_name()?, call.key()?);
    let upload = upload_id(call).map_err(|error| error.with_ec(EC_NO_UPLOAD_ABORT))?;
    let input = AbortUploadInput { bucket: bucket.clone(), key, upload };
    call.app.objects.abort_upload(input).await.map_err(|error| {
        let error = errors::upload(error, &bucket, &upload.to_string());
        if error.code() == ErrorCode::NoSuchUpload {
            return error.with_ec(EC_NO_UPLOAD_ABORT);
        }
        error
    })?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

pub(super) async fn list_uploads(call: &Call<'_>) -> Result<Reply, OssError> {
    let bucket = call.bucket_name()?;
    let [prefix, delimiter, key_marker, upload_id_marker] =
        ["prefix", "delimiter", "key-marker", "upload-id-marker"].map(|name| text(call, name));
    let (prefix, delimiter) = (prefix?, delimiter?);
    let (key_marker, upload_id_marker) = (key_marker?, upload_id_marker?);
    let max_uploads = number(call, "max-uploads", 1, PAGE_MAX, PAGE_MAX)?;
    let url_encoded = url_encoded(call)?;
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let input = ListUploadsInput {
        bucket: bucket.clone(),
        prefix: prefix.clone(),
        delimiter: some(&delimiter),
        after_key: some(&key_marker),
        after_upload: some(&upload_id_marker),
        limit: usize::try_from(max_uploads).unwrap_or(usize::MAX),
    };
    let told = call.app.objects.list_uploads(input).await;
    let output = told.map_err(|error| errors::list(error, &bucket))?;
    let document = ListMultipartUploadsOutput {
        bucket: bucket.as_str().to_owned(),
        key_marker,
        upload_id_marker,
        next_key_marker: output.last_key.unwrap_or_default(),
        next_upload_id_marker: output.last_upload.map(|id| id.to_string()).unwrap_or_default(),
        delimiter,
        prefix,
        max_uploads,
        is_truncated: output.truncated,
        url_encoded,
        uploads: output.uploads.into_iter().map(summary).collect(),
        common_prefixes: output.prefixes,
    };
    Ok(Reply::xml(StatusCode::OK, document.to_xml()))
}

fn summary(info: UploadInfo) -> UploadSummary {
    UploadSummary {
        key: info.key.as_str().to_owned(),
        upload_id: info.id.to_string(),
        storage_class: info.storage_class.as_str().to_owned(),
        initiated: fields::seconds(info.initiated),
    }
}

pub(super) async fn list_parts(call: &Call<'_>) -> Result<Reply, OssError> {
    let (bucket, key) = (call.bucket_name()?, call.key()?);
    let max_parts = number(call, "max-parts", 1, PAGE_MAX, PAGE_MAX)?;
    let marker = number(call, "part-number-marker", 0, i32::MAX as u64, 0)?;
    let url_encoded = url_encoded(call)?;
    let upload = upload_id(call)?;
    let input = ListPartsInput {
        bucket: bucket.clone(),
        key: key.clone(),
        upload,
        after: u16::try_from(marker).unwrap_or(u16::MAX),
        limit: usize::try_from(max_parts).unwrap_or(usize::MAX),
    };
    let told = call.app.objects.list_parts(input).await;
    let output = told.map_err(|error| errors::upload(error, &bucket, &upload.to_string()))?;
    let parts: Vec<_> = output
        .parts
        .into_iter()
        .map(|part| PartSummary {
            number: part.number,
            last_modified: fields::seconds(part.last_modified),
            etag: part.etag,
            crc64: part.crc64,
            size: part.length,
        })
        .collect();
    let document = ListPartsOutput {
        bucket: bucket.as_str().to_owned(),
        key: key.as_str().to_owned(),
        upload_id: upload.to_string(),
        storage_class: output.upload.storage_class.as_str().to_owned(),
        part_number_marker: marker,
        next_part_number_marker: parts.last().map_or(0, |part| part.number.into()),
        max_parts,
        is_truncated: output.truncated,
        url_encoded,
        encryption: encryption(&output.upload),
        parts,
    };
    Ok(Reply::xml(StatusCode::OK, document.to_xml()))
}

/// What a client that encrypts by itself told at the start, and needs to go on.
fn encryption(upload: &UploadInfo) -> ClientEncryption {
    let metadata = &upload.attributes.metadata;
    let values = ClientEncryption::NAMES.iter().filter_map(|(name, element)| {
        let (_, value) = metadata.iter().find(|(known, _)| known == name)?;
        Some((*element, String::from_utf8_lossy(value).into_owned()))
    });
    ClientEncryption { values: values.collect() }
}

/// The upload named. What cannot be an id names none.
fn upload_id(call: &Call<'_>) -> Result<UploadId, OssError> {
    let raw = call.query.get_bytes("uploadId").unwrap_or_default();
    let text = String::from_utf8_lossy(raw);
    UploadId::parse(&text).ok_or_else(|| OssError::no_such_upload(&text))
}

fn part_number(call: &Call<'_>) -> Result<u16, OssError> {
    let raw = call.query.get_bytes("partNumber").unwrap_or_default();
    let text = String::from_utf8_lossy(raw);
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    number.filter(|number| (1..=PART_NUMBER_MAX).contains(number)).ok_or_else(|| {
        let message = "Part number must be an integer between 1 and 10000, inclusive.";
        OssError::invalid_argument("PartNumber", text, message).with_ec("0017-00000220")
    })
}

/// A number in the query.
fn number(
    call: &Call<'_>,
    name: &'static str,
    min: u64,
    max: u64,
    default: u64,
) -> Result<u64, OssError> {
    let Some(raw) = call.query.get_bytes(name).filter(|raw| !raw.is_empty()) else {
        return Ok(default);
    };
    let text = String::from_utf8_lossy(raw);
    let number = if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None };
    number.filter(|number| (min..=max).contains(number)).ok_or_else(|| {
        let message = format!("Argument {name} must be an integer between {min} and {max}.");
        OssError::invalid_argument(name, text, message)
    })
}

/// How an upload is encrypted is said at its start alone.
fn refuse_part_encryption(call: &Call<'_>) -> Result<(), OssError> {
    match call.header("x-oss-server-side-encryption") {
        None => Ok(()),
        Some(value) => {
            let message = "The encryption of a part is that of its upload.";
            let value = String::from_utf8_lossy(value);
            Err(OssError::invalid_argument("x-oss-server-side-encryption", value, message))
        }
    }
}

/// `x-oss-complete-all`, whose only value is `yes`.
fn complete_all(call: &Call<'_>) -> Result<bool, OssError> {
    match call.header("x-oss-complete-all").map(<[u8]>::trim_ascii) {
        None => Ok(false),
        Some(value) if value.eq_ignore_ascii_case(b"yes") => Ok(true),
        Some(value) => {
            let message = "The complete all header is invalid.";
            let value = String::from_utf8_lossy(value);
            Err(OssError::invalid_argument("x-oss-complete-all", value, message))
        }
    }
}

/// The object's URL, by the way the request came.
pub(super) fn location(call: &Call<'_>, bucket: &str, key: &[u8]) -> String {
    let host = call.header_text("host").unwrap_or("localhost");
    let key = uri::encode_path(key);
    let scheme = if call.request.secure { "https" } else { "http" };
    if call.target.is_service_host() {
        format!("{scheme}://{host}/{bucket}/{key}")
    } else {
        format!("{scheme}://{host}/{key}")
    }
}
