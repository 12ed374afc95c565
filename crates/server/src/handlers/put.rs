//! PutObject.

use http::{HeaderValue, header};
use ossia_objects::PutInput;
use ossia_protocol::{attributes, error::OssError};

use super::{
    callback::{self, Stored},
    error as errors,
    fields::{self, CONTENT_MD5, CRC64},
    upload::{Announced, creation},
};
use crate::{auth::HeaderView, http::Reply, service::Call};

pub(super) async fn put_object(call: &Call<'_>) -> Result<Reply, OssError> {
    let (bucket, key) = (call.bucket_name()?, call.key()?);
    let headers = HeaderView(call.headers());
    attributes::refuse_conditions(&headers)?;
    let creation = creation(call)?;
    let forbid_overwrite =
        attributes::forbid_overwrite(&headers)? || call.overwrite_forbidden(&key);
    let announced = Announced::read(call)?;
    let (length, limit) = (announced.length(), call.app.config.limits.put_bytes);
    if let Some(length) = length.filter(|length| *length > limit) {
        return Err(OssError::entity_too_large(limit, Some(length)));
    }
    let asked = match callback::is_asked(call) {
        true => Box::pin(callback::asked(call)).await?,
        false => None,
    };
    let mime_type = asked.as_ref().map(|_| callback::mime_type(&creation.attributes));
    let room = call.quota_room(&key, false, length).await?;
    let body = announced.body(call, limit.min(room)).await?;
    let input =
        PutInput { bucket: bucket.clone(), key: key.clone(), creation, body, forbid_overwrite };
    let output = call
        .app
        .objects
        .put(input)
        .await
        .map_err(|error| errors::put(error, &bucket, &key, limit, length))?;
    let mut reply = Reply::ok()
        .with(header::ETAG, fields::etag_value(&output.etag))
        .with(CRC64, HeaderValue::from(output.crc64))
        .with(CONTENT_MD5, fields::md5_value(&output.md5));
    fields::insert_version(&mut reply.headers, output.version_id);
    fields::insert_encryption(&mut reply.headers, output.encrypted);
    let (Some(asked), Some(mime_type)) = (asked, mime_type) else { return Ok(reply) };
    let stored = Stored {
        key: key.as_str(),
        etag: &output.etag,
        size: output.length,
        crc64: output.crc64,
        mime_type,
        md5: Some(output.md5),
    };
    Ok(Box::pin(asked.finish(call, stored, reply)).await)
}
