//! PostObject: a form whose fields say what its file becomes.
//!
//! Who sends it is known only once the fields are read, so they are read before anything is decided, within their own bounds; the
//! file stays a stream. What the form still has to show after its file (that it ends, its digest, the size that its policy wants)
//! is checked by that stream, whose error keeps the object from being made.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderValue, StatusCode, header};
use md5::{Digest as _, Md5};
use ossia_objects::{Body, BodyError, ByteStream, Creation, PutError, PutInput};
use ossia_protocol::{
    addressing::Target,
    attributes::{self, ObjectAttributes},
    auth::{AuthError, FormFields, Headers},
    error::{ErrorCode, OssError},
    form_data::{self, FIELDS_BYTES_MAX, FormFile, FormReader, FormStep},
    names::ObjectKey,
    uri,
    xml::PostObjectOutput,
};
use tokio::time::Instant;

use super::{
    callback::{self, Stored},
    error as errors,
    fields::{self, CRC64},
    multipart::location,
    upload::{Announced, pairs},
};
use crate::{
    access::FormSets,
    auth::HeaderView,
    http::{Held, Pace, Reply, Reserved},
    service::Call,
};

/// Fields up to so many bytes are within what every body has set aside.
const FIELDS_BYTES_FREE: usize = 32 << 10;

pub(super) async fn post_object(call: &Call<'_>) -> Result<Reply, OssError> {
    let bucket = call.bucket_name()?;
    let boundary = form_data::boundary(call.header_text("content-type").unwrap_or_default())?;
    let announced = Announced::read(call)?;
    let put_max = call.app.config.limits.put_bytes;
    let form_max = put_max.saturating_add(2 * FIELDS_BYTES_MAX as u64);
    if announced.length().is_some_and(|length| length > form_max) {
        return Err(OssError::entity_too_large(put_max, announced.length()));
    }
    let Body { stream, md5, .. } = announced.body(call, form_max).await?;
    let mut form = Form {
        stream,
        reader: FormReader::new(&boundary),
        digest: md5.map(|wanted| (Md5::new(), wanted)),
    };
    let (fields, file, _reserved) = form.fields(call).await?;
    let now = i64::try_from(call.app.clock.now_ms() / 1000).unwrap_or(i64::MAX);
    let (caller, (low, high)) = call.app.authenticator.identify_form(
        &fields,
        bucket.as_str(),
        call.target.cloudbox.as_deref(),
        now,
    )?;
    let key = key(&fields, &file)?;
    let target = Target { key: Some(key.as_bytes().to_vec()), ..call.target.clone() };
    // The access log tells it.
    let _ = call.request.posted.set(key.as_bytes().to_vec());
    let posted = Call {
        app: call.app,
        request: call.request,
        operation: call.operation,
        target: &target,
        query: call.query,
        caller,
        bucket: call.bucket.clone(),
        rules: Arc::clone(&call.rules),
        decided: call.decided,
        form: None,
    };
    call.decided.by_form(&posted.caller);
    let headers = FormHeaders::new(&posted, &fields, &file);
    let sets = FormSets {
        // Without outer blanks, as it is set.
        object_acl: headers
            .first(ACL)
            .map(|acl| String::from_utf8_lossy(acl.trim_ascii()).into_owned()),
        // What cannot be read is refused for that, once it is known that it may be asked for.
        tags: headers
            .first("x-oss-tagging")
            .map(|_| pairs(attributes::Tags::from_headers(&headers).ok().flatten())),
    };
    let call = &Call {
        form: Some(&sets),
        caller: Arc::clone(&posted.caller),
        bucket: posted.bucket.clone(),
        rules: Arc::clone(&posted.rules),
        ..posted
    };
    call.check_rules()?;
    call.check_access().await?;
    let creation = creation(call, &headers)?;
    let forbid_overwrite = attributes::forbid_overwrite(&headers)?
        || attributes::forbid_overwrite(&HeaderView(call.headers()))?
        || call.overwrite_forbidden(&key);
    // In the address it holds for the whole form already.
    let pace = match attributes::traffic_limit(&headers, call.query)? {
        Some(limit) if fields.get("x-oss-traffic-limit").is_some() => Some(Pace::new(limit)),
        _ => None,
    };
    let held = Arc::clone(call.request.intake.held());
    if pace.is_some() {
        held.begin();
    }
    let asked = callback::asked_by_form(call, &fields).await?;
    let room = call.quota_room(&key, false, None).await?;
    let verdict = Arc::new(Mutex::new(None));
    let stream = FileStream {
        form,
        seen: 0,
        tail: 0,
        sizes: Sizes { low, high, put_max, room },
        verdict: Arc::clone(&verdict),
        state: FileState::Open,
        pace,
        held,
        held_since: None,
    };
    let mime_type = callback::mime_type(&creation.attributes);
    let body = Body { stream: Box::pin(stream), length: None, md5: None, crc64: None };
    let input =
        PutInput { bucket: bucket.clone(), key: key.clone(), creation, body, forbid_overwrite };
    let output = call.app.objects.put(input).await.map_err(|error| {
        let found = verdict.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (found, error) {
            (Some(found), PutError::Body(_)) => found,
            (_, error) => errors::put(error, &bucket, &key, put_max, None),
        }
    })?;
    let mut reply = success(call, &fields, &key, &output.etag)
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
        mime_type,
        md5: Some(output.md5),
    };
    Ok(asked.finish(call, stored, reply).await)
}

/// The key that the form names, `${filename}` replaced: after the policy was checked, which sees it as sent.
fn key(fields: &FormFields, file: &FormFile) -> Result<ObjectKey, OssError> {
    let key = fields.get("key").filter(|key| !key.is_empty()).ok_or_else(|| {
        let message = "The bucket POST must contain the specified 'key'. If it is specified, \
                       please check the order of the fields";
        OssError::invalid_argument("key", "", message)
    })?;
    let key = key.replace("${filename}", &file.name);
    ObjectKey::new(&key).map_err(|error| OssError::from(error).with_field("ObjectName", key))
}

fn creation(call: &Call<'_>, headers: &FormHeaders<'_>) -> Result<Creation, OssError> {
    let parsed = ObjectAttributes::parse(headers)?;
    if let Some(acl) = parsed.acl {
        call.check_acl(acl.as_str())?;
    }
    let mut refused = None;
    parsed.headers.for_each(|name, value| {
        // A field may hold what a header may not, and would forge others when it is sent back as one.
        if HeaderValue::from_maybe_shared(value.clone()).is_err() {
            refused = Some(name.to_owned());
        }
    });
    if let Some(name) = refused {
        let message = "The value of the form field cannot be sent back as a header.";
        return Err(OssError::invalid_argument("FormField", name, message));
    }
    Ok(Creation {
        attributes: parsed.headers,
        acl: parsed.acl.unwrap_or_default(),
        tags: pairs(parsed.tags),
        storage_class: parsed.storage_class,
        encrypted: parsed.encrypted || call.rules.encrypted,
    })
}

/// The fields of a form in the place of headers.
struct FormHeaders<'a> {
    fields: &'a FormFields,
    /// From the field of its own, the usual field, or the file's part.
    content_type: Option<&'a str>,
    /// Of the request, where the form names none.
    acl: Option<&'a [u8]>,
}

const ACL: &str = "x-oss-object-acl";

impl<'a> FormHeaders<'a> {
    fn new(call: &'a Call<'_>, fields: &'a FormFields, file: &'a FormFile) -> FormHeaders<'a> {
        let filled = |name| fields.get(name).filter(|value| !value.trim().is_empty());
        FormHeaders {
            fields,
            content_type: filled("x-oss-content-type")
                .or_else(|| filled("content-type"))
                .or(file.content_type.as_deref()),
            acl: if fields.get(ACL).is_some() { None } else { call.header(ACL) },
        }
    }
}

impl Headers for FormHeaders<'_> {
    fn for_each<'h>(&'h self, visit: &mut dyn FnMut(&'h str, &'h [u8])) {
        if let Some(value) = self.content_type {
            visit("content-type", value.as_bytes());
        }
        if let Some(value) = self.acl {
            visit(ACL, value);
        }
        for (name, value) in self.fields.iter().filter(|(name, _)| *name != "content-type") {
            visit(name, value.as_bytes());
        }
    }
}

/// What a form that was taken is answered with, before what every answer tells.
fn success(call: &Call<'_>, fields: &FormFields, key: &ObjectKey, etag: &str) -> Reply {
    let bucket = call.target.bucket_str().unwrap_or_default();
    if let Some(place) = fields.get("success_action_redirect").filter(|url| !url.is_empty()) {
        let joint = if place.contains('?') { '&' } else { '?' };
        let [name, key, etag] =
            [bucket, key.as_str(), &format!("\"{etag}\"")].map(|text| uri::encode(text.as_bytes()));
        let place = format!("{place}{joint}bucket={name}&key={key}&etag={etag}");
        // One that is no URL counts for nothing.
        let is_http = place.starts_with("http://") || place.starts_with("https://");
        if is_http && let Ok(place) = HeaderValue::try_from(place) {
            return Reply::empty(StatusCode::SEE_OTHER).with(header::LOCATION, place);
        }
    }
    match fields.get("success_action_status").map(str::trim) {
        Some("200") => Reply::ok(),
        Some("201") => {
            let place = location(call, bucket, key.as_bytes());
            let document = PostObjectOutput {
                bucket: bucket.to_owned(),
                location: place.clone(),
                key: key.as_str().to_owned(),
                etag: etag.to_owned(),
            };
            let reply = Reply::xml(StatusCode::CREATED, document.to_xml());
            match HeaderValue::try_from(place) {
                Ok(place) => reply.with(header::LOCATION, place),
                Err(_) => reply,
            }
        }
        _ => Reply::empty(StatusCode::NO_CONTENT),
    }
}

/// A form on its way in.
struct Form {
    stream: ByteStream,
    reader: FormReader,
    /// What the whole body must hash to.
    digest: Option<(Md5, [u8; 16])>,
}

impl Form {
    /// The next piece, `None` at the end of the body.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let polled = self.stream.as_mut().poll_next(cx);
        if let (Poll::Ready(Some(Ok(piece))), Some((digest, _))) = (&polled, &mut self.digest) {
            digest.update(piece);
        }
        polled
    }

    /// Everything before the file, with the memory that more than a few fields need.
    async fn fields(
        &mut self,
        call: &Call<'_>,
    ) -> Result<(FormFields, FormFile, Option<Reserved>), OssError> {
        let mut fields = FormFields::new();
        let mut reserved = None;
        loop {
            let hungry = match self.reader.step()? {
                FormStep::Field { name, value } => {
                    let value = String::from_utf8(value).map_err(|_| {
                        let message = "The value of the form field is not UTF-8.";
                        OssError::invalid_argument("FormField", name.clone(), message)
                    })?;
                    fields.push(&name, value);
                    false
                }
                FormStep::File(file) => return Ok((fields, file, reserved)),
                FormStep::More => true,
                // The reader tells a form without a file by its fault.
                FormStep::Data(_) | FormStep::FileEnd | FormStep::End => {
                    return Err(OssError::new(ErrorCode::MalformedPOSTRequest));
                }
            };
            if reserved.is_none() && self.reader.fields_bytes() > FIELDS_BYTES_FREE {
                let own = call.request.guest.uploads();
                // Never waited for: the body holds some already.
                let more = call.app.uploads.reserve_more(FIELDS_BYTES_MAX, own);
                let busy = || OssError::service_unavailable(errors::RETRY_BUSY_SECONDS);
                reserved = Some(more.ok_or_else(busy)?);
            }
            if !hungry {
                continue;
            }
            match std::future::poll_fn(|cx| self.poll_piece(cx)).await {
                Some(Ok(piece)) => self.reader.feed(piece),
                Some(Err(error)) => {
                    return Err(errors::body(&error, || {
                        OssError::new(ErrorCode::MaxPOSTPreDataLengthExceededError)
                    }));
                }
                None => return Err(OssError::new(ErrorCode::MalformedPOSTRequest)),
            }
        }
    }
}

/// Bounds on the file, in bytes.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    /// Of the policy, both included.
    low: u64,
    high: u64,
    /// Of the server.
    put_max: u64,
    /// Of the bucket's quota.
    room: u64,
}

impl Sizes {
    fn check(&self, size: u64) -> Result<(), OssError> {
        if size > self.high {
            return Err(AuthError::FormTooLarge { size, limit: self.high }.into());
        }
        if size > self.put_max {
            return Err(OssError::entity_too_large(self.put_max, Some(size)));
        }
        if size > self.room {
            return Err(OssError::new(ErrorCode::QuotaExceeded));
        }
        Ok(())
    }
}

/// The file within its form.
struct FileStream {
    form: Form,
    seen: u64,
    /// Bytes behind the file.
    tail: u64,
    sizes: Sizes,
    /// Why the form is refused, for whom the put fails.
    verdict: Arc<Mutex<Option<OssError>>>,
    state: FileState,
    /// Of the form's own field.
    pace: Option<Pace>,
    held: Arc<Held>,
    held_since: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileState {
    /// In the file.
    Open,
    /// Behind it.
    Behind,
    /// Nothing more is told.
    Ended,
}

impl FileStream {
    fn refuse(&mut self, error: OssError) -> Poll<Option<Result<Bytes, BodyError>>> {
        let told = error.to_string();
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        self.state = FileState::Ended;
        Poll::Ready(Some(Err(BodyError::Broken(told))))
    }

    /// Whether the whole form holds.
    fn end(&mut self) -> Result<(), OssError> {
        if !self.form.reader.is_done() {
            return Err(OssError::new(ErrorCode::MalformedPOSTRequest));
        }
        let Some((digest, wanted)) = self.form.digest.take() else { return Ok(()) };
        if <[u8; 16]>::from(digest.finalize()) == wanted {
            Ok(())
        } else {
            Err(OssError::content_md5_mismatch())
        }
    }
}

impl Stream for FileStream {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if this.state == FileState::Ended {
                return Poll::Ready(None);
            }
            if let Some(pace) = &mut this.pace {
                if pace.poll_turn(cx).is_pending() {
                    this.held_since.get_or_insert_with(Instant::now);
                    return Poll::Pending;
                }
                if let Some(since) = this.held_since.take() {
                    this.held.since(since);
                }
            }
            match this.form.reader.step() {
                Ok(FormStep::Data(piece)) => {
                    this.seen += piece.len() as u64;
                    if let Some(pace) = &mut this.pace {
                        pace.passed(piece.len());
                    }
                    return match this.sizes.check(this.seen) {
                        Ok(()) => Poll::Ready(Some(Ok(piece))),
                        Err(error) => this.refuse(error),
                    };
                }
                Ok(FormStep::FileEnd) => {
                    this.state = FileState::Behind;
                    let (size, limit) = (this.seen, this.sizes.low);
                    if size < limit {
                        return this.refuse(AuthError::FormTooSmall { size, limit }.into());
                    }
                    continue;
                }
                Ok(FormStep::More | FormStep::End) => {}
                // Neither comes behind the file.
                Ok(FormStep::Field { .. } | FormStep::File(_)) => {
                    return this.refuse(OssError::new(ErrorCode::MalformedPOSTRequest));
                }
                Err(fault) => return this.refuse(fault.into()),
            }
            match std::task::ready!(this.form.poll_piece(cx)) {
                // The object layer is asked to keep little of what it has.
                Some(Ok(piece)) if piece.is_empty() => return Poll::Ready(Some(Ok(piece))),
                Some(Ok(piece)) => {
                    if this.state == FileState::Behind {
                        this.tail += piece.len() as u64;
                        if this.tail > FIELDS_BYTES_MAX as u64 {
                            return this.refuse(OssError::new(ErrorCode::MalformedPOSTRequest));
                        }
                    }
                    this.form.reader.feed(piece);
                }
                Some(Err(BodyError::TooLong)) => {
                    let max = this.sizes.put_max;
                    return this.refuse(OssError::entity_too_large(max, None));
                }
                Some(Err(error)) => {
                    this.state = FileState::Ended;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    if let Err(error) = this.end() {
                        return this.refuse(error);
                    }
                    this.state = FileState::Ended;
                    return Poll::Ready(None);
                }
            }
        }
    }
}
