//! GetObject, HeadObject, GetObjectMeta.

use std::{
    future::poll_fn,
    ops::Range,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use ossia_objects::{Download, ObjectInfo, OpenObject};
use ossia_protocol::{
    attributes::{self, ObjectType},
    conditions::{ConditionOutcome, Conditions},
    error::{ErrorCode, OssError},
    names::{BucketName, ObjectKey},
    range::{self, RangeBehavior, RangeDecision},
};

use super::{error as errors, fields, versions::version};
use crate::{
    auth::HeaderView,
    http::{Cut, Pace, Reply, RequestId, Reserved},
    server::LEAN_PIECE_BYTES,
    service::Call,
};

/// Parameters that replace headers of a successful answer.
const OVERRIDES: [(&str, HeaderName); 6] = [
    ("response-content-type", header::CONTENT_TYPE),
    ("response-content-language", header::CONTENT_LANGUAGE),
    ("response-expires", header::EXPIRES),
    ("response-cache-control", header::CACHE_CONTROL),
    ("response-content-disposition", header::CONTENT_DISPOSITION),
    ("response-content-encoding", header::CONTENT_ENCODING),
];

/// Room for the headers of most answers, so that they are not moved while they are added.
const HEADERS_USUAL: usize = 16;

pub(super) async fn get_object(call: &Call<'_>) -> Result<Reply, OssError> {
    let (bucket, key) = (call.bucket_name()?, call.key()?);
    let overrides = overrides(call)?;
    let traffic_limit = attributes::traffic_limit(&HeaderView(call.headers()), call.query)?;
    let open = call
        .app
        .objects
        .get_version(&bucket, &key, version(call)?)
        .await
        .map_err(|error| errors::read_version(call, error, &bucket, &key))?;
    call.reaffirm(version(call)?, &open.info).await?;
    let open = match open.info.kind {
        ObjectType::Symlink => Box::pin(follow(call, &bucket, open)).await?,
        ObjectType::Normal | ObjectType::Multipart | ObjectType::Appendable => open,
    };
    if let Some(unchanged) = check_conditions(call, &open.info)? {
        return Ok(unchanged);
    }
    let total = open.info.length;
    let behavior = RangeBehavior::from_header(call.header("x-oss-range-behavior"));
    let (status, first, end) = match range::decide(call.header("range"), behavior, total) {
        RangeDecision::Whole => (StatusCode::OK, 0, total),
        RangeDecision::Partial { first, last } => {
            (StatusCode::PARTIAL_CONTENT, first, last.saturating_add(1).min(total))
        }
        RangeDecision::Unsatisfiable => {
            let range = String::from_utf8_lossy(call.header("range").unwrap_or_default());
            return Err(OssError::invalid_range(&range, total));
        }
    };
    let mut headers = HeaderMap::with_capacity(HEADERS_USUAL);
    fields::insert_object(&mut headers, call, &open.info);
    headers.extend(overrides);
    if status == StatusCode::PARTIAL_CONTENT {
        let text = format!("bytes {first}-{}/{total}", end.saturating_sub(1));
        let value = HeaderValue::try_from(text).expect("digits and punctuation");
        headers.insert(header::CONTENT_RANGE, value);
    }
    let length = end.saturating_sub(first);
    let mut reply = if length == 0 {
        Reply::empty(status)
    } else {
        let transfer = Transfer::start(call, open, first..end, traffic_limit).await?;
        Reply::stream(status, Box::pin(transfer), length)
    };
    reply.headers = headers;
    Ok(reply)
}

/// The target of a link, opened, with what reading through the link tells. Both ACLs count; a link to a link is not followed.
async fn follow(
    call: &Call<'_>,
    bucket: &BucketName,
    link: OpenObject,
) -> Result<OpenObject, OssError> {
    let key = target_of(&link.info)?;
    let opened = call.app.objects.get(bucket, &key).await;
    let mut target = opened.map_err(|error| errors::link_target(error, bucket))?;
    target.info = through(call, link.info, &target.info).await?;
    Ok(target)
}

fn target_of(link: &ObjectInfo) -> Result<ObjectKey, OssError> {
    link.link_target.clone().ok_or_else(|| OssError::new(ErrorCode::InternalError))
}

async fn through(
    call: &Call<'_>,
    link: ObjectInfo,
    target: &ObjectInfo,
) -> Result<ObjectInfo, OssError> {
    // Whoever may write a link must not read by it what it may not.
    call.permit_object(call.operation, target.key.as_str(), None, Some(Some(target))).await?;
    if target.kind == ObjectType::Symlink {
        return Err(OssError::new(ErrorCode::InvalidTargetType));
    }
    Ok(link.through(target))
}

pub(super) async fn head_object(call: &Call<'_>) -> Result<Reply, OssError> {
    let mut info = info(call).await?;
    if info.kind == ObjectType::Symlink {
        let (bucket, key) = (call.bucket_name()?, target_of(&info)?);
        let target = call.app.objects.head(&bucket, &key).await;
        let target = target.map_err(|error| errors::link_target(error, &bucket))?;
        info = through(call, info, &target).await?;
    }
    if let Some(unchanged) = check_conditions(call, &info)? {
        return Ok(unchanged);
    }
    let mut reply = Reply::ok();
    fields::insert_object(&mut reply.headers, call, &info);
    reply.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(info.length));
    Ok(reply)
}

/// The short form: which bytes these are, and how many.
///
/// As a GET it tells all but the length. What announces bytes that never come is no valid answer: clients would wait for them, or
/// take it for one that broke off.
pub(super) async fn get_object_meta(call: &Call<'_>) -> Result<Reply, OssError> {
    let info = info(call).await?;
    let mut reply = Reply::ok();
    fields::insert_identity(&mut reply.headers, &info);
    if call.request.method == Method::HEAD {
        reply.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(info.length));
    }
    Ok(reply)
}

async fn info(call: &Call<'_>) -> Result<ObjectInfo, OssError> {
    let (bucket, key) = (call.bucket_name()?, call.key()?);
    let told = call.app.objects.head_version(&bucket, &key, version(call)?).await;
    let told = told.map_err(|error| errors::read_version(call, error, &bucket, &key))?;
    call.reaffirm(version(call)?, &told).await?;
    Ok(told)
}

/// 412 as an error, 304 as an answer with the object's headers.
fn check_conditions(call: &Call<'_>, info: &ObjectInfo) -> Result<Option<Reply>, OssError> {
    let conditions = Conditions::of_object(|name| call.header(name));
    match conditions.evaluate(&info.etag, fields::seconds(info.last_modified)) {
        ConditionOutcome::Proceed => Ok(None),
        ConditionOutcome::PreconditionFailed(name) => Err(OssError::precondition_failed(name)),
        ConditionOutcome::NotModified => {
            let mut reply = Reply::empty(StatusCode::NOT_MODIFIED);
            fields::insert_object(&mut reply.headers, call, info);
            Ok(Some(reply))
        }
    }
}

/// The headers that the request replaces. They need a signature: a link that anyone can write must not choose them.
fn overrides(call: &Call<'_>) -> Result<HeaderMap, OssError> {
    let mut headers = HeaderMap::new();
    for (parameter, name) in OVERRIDES {
        let Some(value) = call.query.get_bytes(parameter).filter(|value| !value.is_empty()) else {
            continue;
        };
        if call.caller.is_anonymous() {
            return Err(OssError::new(ErrorCode::InvalidRequest));
        }
        let value = HeaderValue::from_bytes(value).map_err(|_| {
            let message = "The value cannot stand in a header.";
            OssError::invalid_argument(parameter, String::from_utf8_lossy(value), message)
        })?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// How much of a piece passes at once under a traffic limit: at the slowest pace half a second's worth.
const PACED_BYTES: usize = 16 << 10;

/// The bytes of an object on their way out.
struct Transfer {
    ready: Bytes,
    download: Download,
    pace: Option<Pace>,
    /// Whose answer it is, for the log.
    id: RequestId,
    target: Uri,
    _reserved: Reserved,
}

impl Transfer {
    /// Reads the first piece, so that damage that shows at once is told by a status and not by a broken connection.
    async fn start(
        call: &Call<'_>,
        open: OpenObject,
        range: Range<u64>,
        traffic_limit: Option<u64>,
    ) -> Result<Transfer, OssError> {
        let length = range.end - range.start;
        let own = call.request.guest.downloads();
        let reserved = call.app.downloads.reserve(Some(length), own).await;
        let reserved =
            reserved.ok_or_else(|| OssError::service_unavailable(errors::RETRY_BUSY_SECONDS))?;
        let mut download = match reserved.is_lean() {
            true => open.read_in_pieces(range, LEAN_PIECE_BYTES),
            false => open.read(range),
        };
        // The download keeps the bytes readable by itself.
        drop(open);
        let first = poll_fn(|cx| Pin::new(&mut download).poll_next(cx)).await;
        let ready = match first {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => {
                let (bucket, key) = (call.bucket_name()?, call.key()?);
                return Err(errors::read(error, &bucket, &key));
            }
            None => Bytes::new(),
        };
        let pace = traffic_limit.map(Pace::new);
        let (id, target) = (call.request.id, call.request.target.clone());
        Ok(Transfer { ready, download, pace, id, target, _reserved: reserved })
    }
}

impl Stream for Transfer {
    type Item = Result<Bytes, Cut>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(pace) = &mut this.pace {
            std::task::ready!(pace.poll_turn(cx));
        }
        if this.ready.is_empty() {
            match std::task::ready!(Pin::new(&mut this.download).poll_next(cx)) {
                Some(Ok(piece)) => this.ready = piece,
                Some(Err(error)) => {
                    let path = this.target.path();
                    tracing::error!(request_id = %this.id, path, %error, "a download was cut");
                    return Poll::Ready(Some(Err(Cut(error.to_string()))));
                }
                None => return Poll::Ready(None),
            }
        }
        let Some(pace) = &mut this.pace else {
            return Poll::Ready(Some(Ok(std::mem::take(&mut this.ready))));
        };
        let piece = this.ready.split_to(this.ready.len().min(PACED_BYTES));
        pace.passed(piece.len());
        Poll::Ready(Some(Ok(piece)))
    }
}
