//! What operations with a body have in common: framing, announced digests, pace, memory, and the headers of a new object.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use md5::{Digest as _, Md5};
use ossia_objects::{Body, BodyError, Creation};
use ossia_protocol::{
    attributes::{self, ObjectAttributes},
    error::{ErrorCode, OssError},
};
use tokio::time::{Instant, Sleep, sleep_until};

use super::error as errors;
use crate::{
    auth::HeaderView,
    http::{BodyFault, Crowd, Framing, Pace, Request, Reserved, UploadStream},
    service::{App, Call},
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
                    .reserve(length, call.request.guest.uploads())
                    .await
                    .ok_or_else(|| OssError::service_unavailable(errors::RETRY_BUSY_SECONDS))?,
            ),
        };
        let stream =
            call.request.intake.stream(limit, self.traffic_limit.map(Pace::new), crowd(call));
        Ok(Body {
            stream: Box::pin(Upload::new(stream, reserved, call.app.config.limits.body_lull_ms)),
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
    whole_body_of(call.app, call.request, limit, too_long).await
}

/// [`whole_body`] of a request that is no operation.
pub(crate) async fn whole_body_of(
    app: &App,
    request: &Request,
    limit: usize,
    too_long: impl FnOnce() -> OssError,
) -> Result<(Bytes, Option<Reserved>), OssError> {
    let intake = &request.intake;
    let reserved = match intake.length() {
        Some(0) => None,
        Some(length) if length > limit as u64 => return Err(too_long()),
        length => Some(
            app.uploads
                .reserve_whole(length, limit, request.guest.uploads())
                .await
                .ok_or_else(|| OssError::service_unavailable(errors::RETRY_BUSY_SECONDS))?,
        ),
    };
    let crowd = Crowd::new(&app.requests, &app.uploads, &request.guest);
    match intake.collect(limit, crowd).await {
        Ok(body) => Ok((body, reserved)),
        Err(fault) => Err(errors::body(&body_error(fault), too_long)),
    }
}

fn crowd(call: &Call<'_>) -> Crowd {
    Crowd::new(&call.app.requests, &call.app.uploads, &call.request.guest)
}

/// As [`whole_body`], and the body must have the MD5 that the request names.
pub(super) async fn small_body(
    call: &Call<'_>,
    limit: usize,
    too_long: impl FnOnce() -> OssError,
) -> Result<Bytes, OssError> {
    let md5 = attributes::content_md5(&HeaderView(call.headers()))?;
    let (body, _reserved) = whole_body(call, limit, too_long).await?;
    if md5.is_some_and(|md5| <[u8; 16]>::from(Md5::digest(&body)) != md5) {
        return Err(OssError::content_md5_mismatch());
    }
    Ok(body)
}

/// A body with the memory that is set aside for it.
///
/// A long one that is slow gives most of it back, and passes through in gulps from then on, after each of which the object layer
/// is asked to keep as little as it can in memory. It takes the memory again when it is fast and there is room. It never waits for
/// that: those that wait while they hold some could wait for one another.
struct Upload {
    stream: UploadStream,
    reserved: Option<Reserved>,
    /// `None` for a short one.
    lull: Option<Lull>,
}

/// How slow a long body is.
struct Lull {
    /// Looked at after so much waiting.
    after: Duration,
    waiting_since: Option<Instant>,
    waited: Duration,
    /// Bytes that the waiting brought.
    brought: usize,
    /// Bytes since the object layer was asked last to keep little.
    gulp: usize,
    timer: Option<Pin<Box<Sleep>>>,
    slow: bool,
    next: Next,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Nothing but bytes.
    Bytes,
    /// An empty piece.
    Rest,
    /// It has been given: what was held is written out.
    Rested,
}

/// What brings less than this in `body_lull_ms` is slow: 256 KiB a second at its default.
const SLOW_BYTES: usize = 256 << 10;
/// What brings as much as this before that is fast.
const FAST_BYTES: usize = 1 << 20;
/// How much of a slow body is taken before it is written out.
const GULP_BYTES: usize = 32 << 10;

impl Upload {
    fn new(stream: UploadStream, reserved: Option<Reserved>, lull_ms: u64) -> Upload {
        let lull = reserved.as_ref().is_some_and(Reserved::can_be_lean).then(|| Lull {
            after: Duration::from_millis(lull_ms),
            waiting_since: None,
            waited: Duration::ZERO,
            brought: 0,
            gulp: 0,
            timer: None,
            slow: false,
            next: Next::Bytes,
        });
        Upload { stream, reserved, lull }
    }
}

impl Lull {
    /// Bytes have come.
    fn came(&mut self, bytes: usize, lean: bool) {
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
        self.brought += bytes;
        self.gulp += bytes;
        if self.waited >= self.after || self.brought >= FAST_BYTES {
            self.judge();
        }
        if if lean { self.gulp >= GULP_BYTES } else { self.slow } {
            self.next = Next::Rest;
        }
    }

    /// Whether it was slow since this was asked last.
    fn judge(&mut self) {
        self.slow = self.brought < SLOW_BYTES;
        (self.waited, self.brought) = (Duration::ZERO, 0);
    }

    /// No byte has come yet. Ready when that has lasted too long.
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        let until = *self.waiting_since.get_or_insert(now) + (self.after - self.waited);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        loop {
            // It fires at most once in each such time; most bytes come long before, and leave it as it is.
            std::task::ready!(timer.as_mut().poll(cx));
            if until <= Instant::now() {
                self.timer = None;
                self.waiting_since = Some(now);
                return Poll::Ready(());
            }
            timer.as_mut().reset(until);
        }
    }
}

impl Stream for Upload {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Upload { stream, reserved, lull } = &mut *self;
        let (Some(lull), Some(reserved)) = (lull, reserved) else {
            return stream.poll_chunk(cx).map(|next| next.map(|chunk| chunk.map_err(body_error)));
        };
        match lull.next {
            Next::Bytes => {}
            Next::Rest => {
                lull.next = Next::Rested;
                return Poll::Ready(Some(Ok(Bytes::new())));
            }
            Next::Rested => {
                (lull.next, lull.gulp) = (Next::Bytes, 0);
                match lull.slow {
                    true => reserved.make_lean(),
                    false => reserved.make_whole(),
                }
            }
        }
        match stream.poll_chunk(cx) {
            Poll::Ready(next) => {
                if let Some(Ok(chunk)) = &next {
                    lull.came(chunk.len(), reserved.is_lean());
                }
                Poll::Ready(next.map(|chunk| chunk.map_err(body_error)))
            }
            // A lean one with nothing to write out has nothing to give back.
            Poll::Pending if reserved.is_lean() && lull.gulp == 0 => {
                lull.waiting_since.get_or_insert_with(Instant::now);
                Poll::Pending
            }
            Poll::Pending => loop {
                std::task::ready!(lull.poll_waiting(cx));
                lull.judge();
                if lull.slow || reserved.is_lean() {
                    lull.next = Next::Rested;
                    return Poll::Ready(Some(Ok(Bytes::new())));
                }
            },
        }
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
        encrypted: parsed.encrypted || call.rules.encrypted,
    })
}

/// Tags as the object layer keeps them.
pub(crate) fn pairs(tags: Option<attributes::Tags>) -> Vec<(String, String)> {
    let tags = tags.unwrap_or_default();
    tags.as_slice().iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect()
}
