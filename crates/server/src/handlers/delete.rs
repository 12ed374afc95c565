//! DeleteObject and DeleteMultipleObjects.

use http::{HeaderValue, StatusCode};
use md5::{Digest as _, Md5};
use ossia_objects::{DeleteError, DeleteIf, DeleteInput, VersionId};
use ossia_protocol::{
    attributes,
    error::{EC_DELETE_XML, ErrorCode, OssError},
    names::ObjectKey,
    xml::{DELETE_BYTES_MAX, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject},
};

use super::{
    error as errors,
    fields::{self, DELETE_MARKER},
    list::url_encoded,
    upload::whole_body,
    versions::version,
};
use crate::{
    auth::HeaderView,
    http::{Framing, Reply, Reserved},
    service::Call,
};

pub(super) async fn delete_object(call: &Call<'_>) -> Result<Reply, OssError> {
    let (bucket, key) = (call.bucket_name()?, call.key()?);
    let version = version(call)?;
    let bypass = bypasses_governance(call);
    let input = DeleteInput { bucket: bucket.clone(), key, version, only: DeleteIf::Any };
    let output = call.app.objects.delete_governed(input, bypass).await;
    let mut output = output.map_err(|error| errors::delete(error, &bucket))?;
    let never_versioned = call.bucket.as_ref().is_some_and(|bucket| bucket.versioning.is_none());
    if version == Some(VersionId::NOT_MADE) || (version == Some(VersionId::Null) && never_versioned)
    {
        // Told as it was sent, and where nothing ever had a version not at all.
        output.version_id = None;
    }
    let mut reply = Reply::empty(StatusCode::NO_CONTENT);
    if output.delete_marker {
        reply = reply.with(DELETE_MARKER, HeaderValue::from_static("true"));
    }
    fields::insert_version(&mut reply.headers, output.version_id);
    if version == Some(VersionId::NOT_MADE)
        && let Some(sent) = call.query.get_bytes("versionId")
        && let Ok(value) = HeaderValue::from_bytes(sent)
    {
        reply = reply.with(fields::VERSION_ID, value);
    }
    Ok(reply)
}

pub(super) async fn delete_multiple_objects(call: &Call<'_>) -> Result<Reply, OssError> {
    let bucket = call.bucket_name()?;
    let url_encoded = url_encoded(call)?;
    let (input, _reserved) = read_input(call).await?;
    let mut named = Vec::with_capacity(input.objects.len());
    for object in &input.objects {
        named.push(Named::of(call, &object.key, object.version_id.as_deref()).await?);
    }
    if named.iter().all(|named| matches!(named, Named::Denied(_)))
        && let Some(Named::Denied(error)) = named.pop()
    {
        return Err(error);
    }
    let keys = named
        .iter()
        .filter_map(|named| match named {
            Named::Key(key, version) => Some((key.clone(), *version)),
            Named::Absent | Named::Denied(_) => None,
        })
        .collect();
    let results = call
        .app
        .objects
        .delete_many_governed(&bucket, keys, bypasses_governance(call))
        .await
        .map_err(|error| errors::bucket(error, &bucket))?;
    let mut results = results.into_iter();
    let mut deleted = Vec::with_capacity(input.objects.len());
    for (object, named) in input.objects.into_iter().zip(named) {
        let marker = match named {
            Named::Denied(_) => continue,
            Named::Absent => None,
            Named::Key(..) => match results.next() {
                Some(Ok(output)) if output.delete_marker => {
                    output.version_id.map(|version| version.to_string())
                }
                Some(Ok(_)) => None,
                // No element tells of a key that stays: it is missing from the list.
                Some(Err(DeleteError::Immutable)) | None => continue,
                // The rest may have been deleted all the same; deleting again does no harm.
                Some(Err(error)) => return Err(errors::delete(error, &bucket)),
            },
        };
        deleted.push(DeletedObject {
            key: object.key,
            version_id: object.version_id,
            delete_marker_version_id: marker,
        });
    }
    if input.quiet {
        return Ok(Reply::ok());
    }
    Ok(Reply::xml(StatusCode::OK, DeleteObjectsOutput { url_encoded, deleted }.to_xml()))
}

/// Whether the request asks to go past retentions of the mode GOVERNANCE.
pub(super) fn bypasses_governance(call: &Call<'_>) -> bool {
    let bypass = call.header_text("x-oss-bypass-governance-retention");
    bypass.is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// What one entry of the request means.
enum Named {
    /// To be deleted, or this version of it.
    Key(ObjectKey, Option<VersionId>),
    /// A key or version that cannot exist: deleted already.
    Absent,
    /// Not this caller's to delete, for this reason.
    Denied(OssError),
}

impl Named {
    async fn of(call: &Call<'_>, key: &str, version_id: Option<&str>) -> Result<Named, OssError> {
        let version_id = version_id.filter(|id| !id.is_empty());
        let version = version_id.map(|id| VersionId::parse(id).unwrap_or(VersionId::NOT_MADE));
        // By the key as it is named: whoever may delete nothing learns nothing of which keys there can be.
        if let Err(error) = call.permit_object(call.operation, key, version, None).await {
            return match error.code() {
                ErrorCode::AccessDenied => Ok(Named::Denied(error)),
                _ => Err(error),
            };
        }
        let Ok(key) = ObjectKey::new(key) else { return Ok(Named::Absent) };
        match version_id.map(VersionId::parse) {
            None => Ok(Named::Key(key, None)),
            Some(Some(version)) => Ok(Named::Key(key, Some(version))),
            Some(None) => Ok(Named::Absent),
        }
    }
}

/// What to delete, with the memory set aside for it.
async fn read_input(call: &Call<'_>) -> Result<(DeleteObjectsInput, Option<Reserved>), OssError> {
    let md5 = attributes::content_md5(&HeaderView(call.headers()))?;
    if call.request.intake.framing() == Framing::Absent {
        return Err(OssError::new(ErrorCode::MissingContentLength));
    }
    let malformed = |detail: &str| OssError::malformed_xml(detail).with_ec(EC_DELETE_XML);
    let (body, reserved) =
        whole_body(call, DELETE_BYTES_MAX, || malformed("the document is too long")).await?;
    if md5.is_some_and(|md5| <[u8; 16]>::from(Md5::digest(&body)) != md5) {
        return Err(OssError::content_md5_mismatch());
    }
    let input = DeleteObjectsInput::parse(&body).map_err(|error| error.into_oss(EC_DELETE_XML))?;
    Ok((input, reserved))
}
