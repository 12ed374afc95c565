//! CopyObject.

use http::{HeaderName, HeaderValue, StatusCode, header};
use ossia_objects::{CopyInput, Encrypt, ReadObjectError, VersionId};
use ossia_protocol::{
    attributes::{self, CopySource, ObjectAttributes},
    conditions::Conditions,
    error::{ErrorCode, OssError},
    operation::Operation,
    xml::CopyObjectOutput,
};

use super::{
    error as errors,
    fields::{self, CRC64},
    upload::pairs,
    versions,
};
use crate::{
    access::{Circumstances, decide},
    auth::HeaderView,
    http::Reply,
    service::Call,
};

pub(super) const SOURCE_VERSION_ID: HeaderName =
    HeaderName::from_static("x-oss-copy-source-version-id");

pub(super) async fn copy_object(call: &Call<'_>) -> Result<Reply, OssError> {
    let (bucket, key) = (call.bucket_name()?, call.key()?);
    let headers = HeaderView(call.headers());
    let source = CopySource::from_headers(&headers)?.ok_or_else(|| {
        OssError::invalid_argument("x-oss-copy-source", "", "The copy source is missing.")
    })?;
    check_source_access(call, &source).await?;
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
        conditions: Conditions::of_copy_source(|name| call.header(name)),
        metadata_directive: attributes::metadata_directive(&headers)?,
        attributes: parsed.headers,
        tagging_directive: attributes::tagging_directive(&headers)?,
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

/// Copying reads the source: who may not read it may not copy it. Its absence is told by the copy itself.
pub(super) async fn check_source_access(
    call: &Call<'_>,
    source: &CopySource,
) -> Result<(), OssError> {
    if call.caller.is_account() {
        return Ok(());
    }
    let bucket = call
        .app
        .objects
        .bucket(&source.bucket)
        .await
        .map_err(|error| errors::bucket(error, &source.bucket))?;
    let version = source_version(source)?;
    let object = match call.app.objects.head_version(&source.bucket, &source.key, version).await {
        Ok(info) => Some(info.acl),
        Err(ReadObjectError::Store(failure)) => return Err(errors::failure(&failure)),
        Err(_) => None,
    };
    let rules = call.app.objects.rules(&source.bucket).await;
    let rules = rules.map_err(|failure| errors::failure(&failure))?;
    if rules.policy.is_some_and(|policy| policy.denies) {
        return Err(OssError::new(ErrorCode::AccessDenied));
    }
    let circumstances = Circumstances {
        bucket: Some(rules.effective_bucket_acl(bucket.acl)),
        object: object.map(|acl| rules.effective_object_acl(acl)),
    };
    decide(&call.caller, Operation::GetObject, circumstances).into_result()
}
