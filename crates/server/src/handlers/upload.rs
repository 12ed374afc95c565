//! What operations with a body have in common: framing, announced digests, pace, memory, and the headers of a new object.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use ossia_objects::{Body, BodyError, Creation};
use ossia_protocol::{
    attributes::{self, ObjectAttributes},
    error::{ErrorCode, OssError},
};

use super::error as errors;
use crate::{
    auth::HeaderView,
    http::{BodyFault, Framing, Pace, Reserved, UploadStream},
    service::Call,
};

/// What the request says about its body.
pub(super) struct Announced {
    length: Option<u64>,
    md5: Option<[u8; 16]>,
    crc64: Option<u64>,
    traffic_limit: Option<u64>,
}

impl Announced {
    /// Reads it. Neither Content-Length nor chunks is 411: the two would look alike, and a lost length must not store nothing.
    pub(super) fn read(call: &Call<'_>) -> Result<Announced, OssError> {
        let headers = HeaderView(call.headers());
        let announced = Announced {
            length: call.request.intake.length(),
            md5: attributes::content_md5(&headers)?,
            crc64: attributes::hash_crc64(&headers)?,
            traffic_limit: attributes::traffic_limit(&headers, call.query)?,
        };
        match call.request.intake.framing() {
            Framing::Absent => Err(OssError::new(ErrorCode::MissingContentLength)),
            Framing::Sized(_) | Framing::Chunked => Ok(announced),
        }
    }

    /// The announced length in bytes.
    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }

    /// The body, to be read: at most `limit` bytes. Waits for room in memory first.
    pub(super) async fn body(self, call: &Call<'_>, limit: u64) -> Result<Body, OssError> {
        let reserved = match self.length {
            Some(0) => None,
            length => Some(
                call.app
                    .uploads
                    .reserve(length)
                    .await
                    .ok_or_else(|| OssError::service_unavailable(1))?,
            ),
        };
        let stream = call.request.intake.stream(limit, self.traffic_limit.map(Pace::new));
        Ok(Body {
            stream: Box::pin(Upload { stream, _reserved: reserved }),
            length: self.length,
            md5: self.md5,
            crc64: self.crc64,
        })
    }
}

/// The whole body of a small request, with the memory set aside for it. Longer than `limit`: what `too_long` says.
pub(super) async fn whole_body(
    call: &Call<'_>,
    limit: usize,
    too_long: impl FnOnce() -> OssError,
) -> Result<(Bytes, Option<Reserved>), OssError> {
    let intake = &call.request.intake;
    let reserved = match intake.length() {
        Some(0) => None,
        Some(length) if length > limit as u64 => return Err(too_long()),
        length => Some(
            call.app
                .uploads
                .reserve_whole(length, limit)
                .await
                .ok_or_else(|| OssError::service_unavailable(1))?,
        ),
    };
    match intake.collect(limit).await {
        Ok(body) => Ok((body, reserved)),
        Err(fault) => Err(errors::body(&body_error(fault), too_long)),
    }
}

/// A body with the memory that is set aside for it.
struct Upload {
    stream: UploadStream,
    _reserved: Option<Reserved>,
}

impl Stream for Upload {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.stream.poll_chunk(cx).map(|next| next.map(|chunk| chunk.map_err(body_error)))
    }
}

fn body_error(fault: BodyFault) -> BodyError {
    match fault {
        BodyFault::Truncated => BodyError::Truncated,
        BodyFault::Stalled => BodyError::Stalled,
        BodyFault::TooLong => BodyError::TooLong,
        BodyFault::Broken(what) => BodyError::Broken(what),
    }
}

/// What a new object is given, from the headers of a put or of a first append.
pub(super) fn creation(call: &Call<'_>) -> Result<Creation, OssError> {
    let parsed = ObjectAttributes::parse(&HeaderView(call.headers()))?;
    Ok(Creation {
        attributes: parsed.headers,
        acl: parsed.acl.unwrap_or_default(),
        tags: pairs(parsed.tags),
        storage_class: parsed.storage_class,
    })
}

/// Tags as the object layer keeps them.
pub(super) fn pairs(tags: Option<attributes::Tags>) -> Vec<(String, String)> {
    let tags = tags.unwrap_or_default();
    tags.as_slice().iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect()
}

/// Callbacks are not called yet, and a client that asked for one takes the answer for the callback's.
pub(super) fn refuse_callback(call: &Call<'_>) -> Result<(), OssError> {
    if call.header("x-oss-callback").is_some() || call.query.has("callback") {
        return Err(OssError::header_not_implemented("x-oss-callback"));
    }
    Ok(())
}
