//! What an object is set to beside its content: PutObjectAcl, GetObjectAcl, the tagging operations, PutSymlink, GetSymlink.

use http::{HeaderName, HeaderValue, StatusCode, header};
use ossia_objects::{ObjectInfo, PutSymlinkInput, ReadObjectError, VersionId};
use ossia_protocol::{
    attributes::{self, StorageClass, Tag},
    error::{ErrorCode, OssError},
    names::{BucketName, ObjectKey},
    uri,
    xml::{AccessControlPolicy, Owner, config::Tagging},
};

use super::{
    error as errors,
    fields::{self, TAGGING_COUNT},
    upload::{creation, pairs, small_body},
    versions::version,
};
use crate::{access::FromBody, auth::HeaderView, http::Reply, service::Call};

const SYMLINK_TARGET: HeaderName = HeaderName::from_static("x-oss-symlink-target");
/// Ten tags of the longest keys and values, with escapes, fit.
const TAGGING_BYTES_MAX: usize = 32 << 10;

pub(super) async fn info(call: &Call<'_>) -> Result<ObjectInfo, OssError> {
    let (bucket, key) = (call.bucket_name()?, call.key()?);
    let told = call.app.objects.head_version(&bucket, &key, version(call)?).await;
    told.map_err(|error| refused(call, error, &bucket, &key))
}

/// As with reading, but a delete marker that is named is as absent as one that is current.
pub(super) fn refused(
    call: &Call<'_>,
    error: ReadObjectError,
    bucket: &BucketName,
    key: &ObjectKey,
) -> OssError {
    let error = match error {
        ReadObjectError::DeleteMarker { version, .. } => {
            ReadObjectError::DeleteMarker { version, named: false }
        }
        other => other,
    };
    errors::read_version(call, error, bucket, key)
}

pub(super) fn versioned(mut reply: Reply, version_id: Option<VersionId>) -> Reply {
    fields::insert_version(&mut reply.headers, version_id);
    reply
}

pub(super) async fn put_object_acl(call: &Call<'_>) -> Result<Reply, OssError> {
    let (bucket, key) = (call.bucket_name()?, call.key()?);
    let version = version(call)?;
    let acl = attributes::object_acl(&HeaderView(call.headers()))?.ok_or_else(|| {
        let message = "no such object access control exists";
        OssError::invalid_argument("x-oss-object-acl", "", message)
    })?;
    let edited = call.app.objects.set_acl(&bucket, &key, version, acl).await;
    let edited = edited.map_err(|error| refused(call, error, &bucket, &key))?;
    Ok(versioned(Reply::ok(), edited.version_id))
}

pub(super) async fn get_object_acl(call: &Call<'_>) -> Result<Reply, OssError> {
    let info = info(call).await?;
    let owner = Owner::account(&call.app.account);
    let document = AccessControlPolicy { owner, grant: info.acl.as_str().into() }.to_xml();
    Ok(versioned(Reply::xml(StatusCode::OK, document), info.version_id))
}

pub(super) async fn put_object_tagging(call: &Call<'_>) -> Result<Reply, OssError> {
    let (bucket, key) = (call.bucket_name()?, call.key()?);
    let version = version(call)?;
    let too_long = || OssError::malformed_xml("the document is too long");
    let body = small_body(call, TAGGING_BYTES_MAX, too_long).await?;
    let tags = pairs(Some(Tagging::parse_of_object(&body)?));
    call.check_body(FromBody::Tags(&tags)).await?;
    let edited = call.app.objects.set_tags(&bucket, &key, version, tags).await;
    let edited = edited.map_err(|error| refused(call, error, &bucket, &key))?;
    Ok(versioned(Reply::ok(), edited.version_id))
}

pub(super) async fn get_object_tagging(call: &Call<'_>) -> Result<Reply, OssError> {
    let info = info(call).await?;
    let tags = info.tags.into_iter().map(|(key, value)| Tag { key, value }).collect();
    let reply = Reply::xml(StatusCode::OK, Tagging { tags }.to_xml());
    Ok(versioned(reply, info.version_id))
}

pub(super) async fn delete_object_tagging(call: &Call<'_>) -> Result<Reply, OssError> {
    let (bucket, key) = (call.bucket_name()?, call.key()?);
    let version = version(call)?;
    let edited = call.app.objects.set_tags(&bucket, &key, version, Vec::new()).await;
    let edited = edited.map_err(|error| refused(call, error, &bucket, &key))?;
    Ok(versioned(Reply::empty(StatusCode::NO_CONTENT), edited.version_id))
}

pub(super) async fn put_symlink(call: &Call<'_>) -> Result<Reply, OssError> {
    let (bucket, key) = (call.bucket_name()?, call.key()?);
    let headers = HeaderView(call.headers());
    let target = symlink_target(call)?;
    let creation = creation(call)?;
    if let Some(class) = creation.storage_class
        && matches!(class, StorageClass::ColdArchive | StorageClass::DeepColdArchive)
    {
        let message = "The storage class does not support symbolic links.";
        return Err(OssError::invalid_argument("x-oss-storage-class", class.as_str(), message));
    }
    let forbid_overwrite =
        attributes::forbid_overwrite(&headers)? || call.overwrite_forbidden(&key);
    let input = PutSymlinkInput {
        bucket: bucket.clone(),
        key: key.clone(),
        target,
        creation,
        forbid_overwrite,
    };
    let output = call.app.objects.put_symlink(input).await;
    let output = output.map_err(|error| errors::put(error, &bucket, &key, 0, None))?;
    let reply = Reply::ok().with(header::ETAG, fields::etag_value(&output.etag));
    Ok(versioned(reply, output.version_id))
}

/// `x-oss-symlink-target`: the URL-encoded key of the target.
fn symlink_target(call: &Call<'_>) -> Result<ObjectKey, OssError> {
    let raw = call.header("x-oss-symlink-target").unwrap_or_default().trim_ascii();
    ObjectKey::from_bytes(&uri::decode(raw)).map_err(|_| {
        let message = "The symbolic link's target is not the name of an object.";
        OssError::invalid_argument("x-oss-symlink-target", String::from_utf8_lossy(raw), message)
    })
}

pub(super) async fn get_symlink(call: &Call<'_>) -> Result<Reply, OssError> {
    let info = info(call).await?;
    call.reaffirm(version(call)?, &info).await?;
    let Some(target) = &info.link_target else {
        return Err(OssError::new(ErrorCode::NotSymlink));
    };
    let encoded = HeaderValue::try_from(uri::encode_path(target.as_bytes()))
        .map_err(|_| OssError::new(ErrorCode::InternalError))?;
    let mut reply = Reply::ok();
    fields::insert_stored(&mut reply.headers, &info);
    reply.headers.remove(header::CONTENT_TYPE);
    reply = reply
        .with(SYMLINK_TARGET, encoded)
        .with(header::ETAG, fields::etag_value(&info.etag))
        .with(header::LAST_MODIFIED, fields::date_value(info.last_modified));
    if !info.tags.is_empty() {
        reply = reply.with(TAGGING_COUNT, HeaderValue::from(info.tags.len()));
    }
    Ok(versioned(reply, info.version_id))
}
