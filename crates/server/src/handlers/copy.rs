//! CopyObject.

use http::{HeaderName, HeaderValue, StatusCode, header};
use ossia_access::{GivenSource, PUT_OBJECT_TAGGING, source_actions};
use ossia_objects::{CopyInput, Encrypt, ReadObjectError, VersionId};
use ossia_protocol::{
    attributes::{self, CopySource, Directive, ObjectAttributes},
    conditions::Conditions,
    error::OssError,
    operation::Operation,
    xml::CopyObjectOutput,
};

use super::{
    error as errors,
    fields::{self, CRC64},
    upload::pairs,
    versions,
};
use crate::{access::Place, auth::HeaderView, http::Reply, service::Call};

pub(super) const SOURCE_VERSION_ID: HeaderName =
    HeaderName::from_static("x-oss-copy-source-version-id");

pub(super) async fn copy_object(call: &Call<'_>) -> Result<Reply, OssError> {
    let (bucket, key) = (call.bucket_name()?, call.key()?);
    let headers = HeaderView(call.headers());
    let source = CopySource::from_headers(&headers)?.ok_or_else(|| {
        OssError::invalid_argument("x-oss-copy-source", "", "The copy source is missing.")
    })?;
    let tagging_directive = attributes::tagging_directive(&headers)?;
    let copies_tags = tagging_directive == Directive::Copy;
    let seen = Box::pin(check_source_access(call, &source, copies_tags)).await?;
    let source_version = source_version(&source)?;
    let parsed = ObjectAttributes::parse(&headers)?;
    if call.rules.quota.is_some_and(|quota| quota.strict)
        && let Ok(info) =
            call.app.objects.head_version(&source.bucket, &source.key, source_version).await
    {
        call.quota_room(&key, false, Some(info.length)).await?;
    }
    let input = CopyInput {
        source_bucket: source.bucket.clone(),
        source_key: source.key.clone(),
        source_version,
        bucket: bucket.clone(),
        key: key.clone(),
        conditions: Conditions::of_copy_source(|name| call.header(name)).pinned(seen.as_deref()),
        metadata_directive: attributes::metadata_directive(&headers)?,
        attributes: parsed.headers,
        tagging_directive,
        tags: pairs(parsed.tags),
        acl: parsed.acl,
        storage_class: parsed.storage_class,
        encrypt: match (parsed.encrypted, call.rules.encrypted) {
            (true, _) => Encrypt::Named,
            (false, true) => Encrypt::ByDefault,
            (false, false) => Encrypt::No,
        },
        forbid_overwrite: attributes::forbid_overwrite(&headers)? || call.overwrite_forbidden(&key),
    };
    let output = call
        .app
        .objects
        .copy(input)
        .await
        .map_err(|error| errors::copy(error, (&source.bucket, &source.key), (&bucket, &key)))?;
    let document = CopyObjectOutput {
        etag: output.etag.clone(),
        last_modified: fields::seconds(output.last_modified),
    };
    let mut reply = Reply::xml(StatusCode::OK, document.to_xml())
        .with(header::ETAG, fields::etag_value(&output.etag))
        .with(CRC64, HeaderValue::from(output.crc64));
    fields::insert_version(&mut reply.headers, output.version_id);
    fields::insert_encryption(&mut reply.headers, output.encrypted);
    if let Some(version) = output.source_version_id {
        reply = reply.with(SOURCE_VERSION_ID, fields::version_value(version));
    }
    Ok(reply)
}

/// The version that a copy names, `None` for the current one.
pub(super) fn source_version(source: &CopySource) -> Result<Option<VersionId>, OssError> {
    let id = source.version_id.as_deref();
    id.map(|id| versions::parse("x-oss-copy-source", id.as_bytes())).transpose()
}

/// Copying reads the source: who may not read it may not copy it, nor its tags. Its absence is told by the copy itself.
///
/// Where that was decided by the object as it is stored, gives its ETag, empty if there is none: it may be replaced by one that is
/// not for this caller before it is copied.
pub(super) async fn check_source_access(
    call: &Call<'_>,
    source: &CopySource,
    copies_tags: bool,
) -> Result<Option<String>, OssError> {
    let rules = call.app.objects.rules(&source.bucket).await;
    let rules = rules.map_err(|failure| errors::failure(&failure))?;
    if call.is_free(&rules) && call.is_free(&call.rules) {
        return Ok(None);
    }
    let bucket = call
        .app
        .objects
        .bucket(&source.bucket)
        .await
        .map_err(|error| errors::bucket(error, &source.bucket))?;
    let version = source_version(source)?;
    let stored = match call.app.objects.head_version(&source.bucket, &source.key, version).await {
        Ok(info) => Some(info),
        Err(ReadObjectError::Store(failure)) => return Err(errors::failure(&failure)),
        Err(_) => None,
    };
    let tags = copies_tags && stored.as_ref().is_some_and(|info| !info.tags.is_empty());
    let mut seen = None;
    if !call.is_free(&rules) {
        let place = Place {
            name: Some(source.bucket.as_str()),
            bucket: Some(&bucket),
            rules: &rules,
            key: Some(source.key.as_str().into()),
            version,
            stored: Some(stored.as_ref()),
        };
        let needed = source_actions(GivenSource { version: version.is_some(), tags });
        if call.demand_of_stored(Operation::GetObject, needed, &place).await? {
            seen = Some(stored.as_ref().map(|info| info.etag.clone()).unwrap_or_default());
        }
    }
    if tags {
        call.permit_also(PUT_OBJECT_TAGGING, None).await?;
    }
    Ok(seen)
}
