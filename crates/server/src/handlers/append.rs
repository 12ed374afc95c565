//! AppendObject and SealAppendObject.

use http::{HeaderValue, header};
use ossia_objects::{AppendInput, SealInput};
use ossia_protocol::{attributes, error::OssError};

use super::{
    callback::{self, Stored},
    error::{self as errors, AppendContext},
    fields::{self, CRC64, NEXT_APPEND_POSITION, SEALED_TIME},
    upload::{Announced, creation},
};
use crate::{auth::HeaderView, config::MissingPosition, http::Reply, service::Call};

pub(super) async fn append_object(call: &Call<'_>) -> Result<Reply, OssError> {
    let (bucket, key) = (call.bucket_name()?, call.key()?);
    let position = match position(call) {
        Ok(Some(position)) => position,
        Ok(None) if call.app.config.append.missing_position == MissingPosition::Zero => 0,
        Ok(None) => return Err(OssError::missing_position()),
        Err(error) => return Err(error),
    };
    let asked = match callback::is_asked(call) {
        true => Box::pin(callback::asked(call)).await?,
        false => None,
    };
    // Only the ACL counts on every append. The rest of what makes an object is ignored by later ones, even where it is
    // invalid, and whether this is a later one shows in the transaction only.
    let acl = attributes::object_acl(&HeaderView(call.headers()))?;
    // Only an append at 0 can make the object, so the others' headers are not even read.
    let (creation, creation_error) = match (position == 0).then(|| creation(call)) {
        Some(Ok(creation)) => (Some(creation), None),
        Some(Err(error)) => (None, Some(error)),
        None => (None, None),
    };
    let announced = Announced::read(call)?;
    let limit = call.app.config.append.max_bytes;
    let room = call.quota_room(&key, true, announced.length()).await?;
    let body = announced.body(call, limit.min(room)).await?;
    let class = creation
        .as_ref()
        .and_then(|creation| creation.storage_class)
        .or(call.bucket.as_ref().map(|bucket| bucket.storage_class))
        .unwrap_or_default();
    let mime_type = match (&asked, &creation) {
        (Some(_), Some(creation)) => callback::mime_type(&creation.attributes),
        _ => String::new(),
    };
    let called = asked.as_ref().map(|_| key.clone());
    let input = AppendInput { bucket: bucket.clone(), key, position, creation, acl, body };
    let output = call.app.objects.append(input).await.map_err(|error| {
        errors::append(
            error,
            AppendContext {
                bucket: &bucket,
                creation: creation_error,
                class: class.as_str(),
                append_bytes_max: limit,
            },
        )
    })?;
    let mut reply = Reply::ok()
        .with(header::ETAG, fields::etag_value(&output.etag))
        .with(CRC64, HeaderValue::from(output.crc64))
        .with(NEXT_APPEND_POSITION, HeaderValue::from(output.next_position));
    fields::insert_version(&mut reply.headers, output.version_id);
    fields::insert_encryption(&mut reply.headers, output.encrypted);
    let (Some(asked), Some(key)) = (asked, called) else { return Ok(reply) };
    let mime_type = match output.created {
        true => mime_type,
        // What the first append said.
        false => match call.app.objects.head(&bucket, &key).await {
            Ok(info) => callback::mime_type(&info.attributes),
            Err(_) => String::new(),
        },
    };
    let stored = Stored {
        key: key.as_str(),
        etag: &output.etag,
        size: output.next_position,
        crc64: output.crc64,
        mime_type,
        md5: None,
    };
    Ok(Box::pin(asked.finish(call, stored, reply)).await)
}

pub(super) async fn seal_append_object(call: &Call<'_>) -> Result<Reply, OssError> {
    let (bucket, key) = (call.bucket_name()?, call.key()?);
    let position = position(call)?.ok_or_else(OssError::missing_position)?;
    let input = SealInput { bucket: bucket.clone(), key: key.clone(), position };
    let output =
        call.app.objects.seal(input).await.map_err(|error| errors::seal(error, &bucket, &key))?;
    Ok(Reply::ok()
        .with(SEALED_TIME, fields::date_value(output.sealed_at))
        .with(header::ETAG, fields::etag_value(&output.etag))
        .with(CRC64, HeaderValue::from(output.crc64))
        .with(NEXT_APPEND_POSITION, HeaderValue::from(output.length)))
}

/// `position`: `None` when it is absent, an error when it is anything but a decimal number up to 2^63-1.
fn position(call: &Call<'_>) -> Result<Option<u64>, OssError> {
    let Some(raw) = call.query.get_bytes("position") else { return Ok(None) };
    let bad = || OssError::bad_position(&String::from_utf8_lossy(raw));
    if raw.is_empty() || !raw.iter().all(u8::is_ascii_digit) {
        return Err(bad());
    }
    let text = std::str::from_utf8(raw).map_err(|_| bad())?;
    let position: u64 = text.parse().map_err(|_| bad())?;
    if i64::try_from(position).is_err() {
        return Err(bad());
    }
    Ok(Some(position))
}
