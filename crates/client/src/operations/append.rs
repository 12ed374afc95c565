//! AppendObject, and what to do when its answer is lost.
//!
//! An append cannot be repeated blindly: the server may have applied it and lost the answer, and then a second one at the same
//! position is refused, while a second one anywhere else would double the bytes. So the client never changes the position, and
//! after a lost answer it looks at the object before it says anything:
//!
//! | length now | bytes there | conclusion |
//! | --- | --- | --- |
//! | the position | | not applied so far: the same append is sent again |
//! | position + length of the body | ours, by CRC-64 | it was applied: success |
//! | position + length of the body | others | somebody else's append won: `PositionNotEqualToLength` |
//! | anything else | | cannot be told: `AppendUnknown` |
//!
//! Sending again is safe even if the first request is still on its way to the server: both name one position, so at most one of
//! them is applied, and the other's refusal leads back to this table.
//!
//! "Ours, by CRC-64": where the CRC-64 before the append is known (position 0, or the caller gave it) it is continued over the
//! body and compared with the object's; else the range is read back and summed. Two writers that append the same bytes at the
//! same position at the same time cannot be told apart by this.

use http::Method;
use ossia_protocol::crc64::Crc64;

use super::{ByteRange, ContentMd5, GetObjectRequest, ObjectAttributes, etag_of, version_id};
use crate::body::{Body, Progress, crc64_after};
use crate::client::Client;
use crate::error::{ClientError, IntegrityError, InvalidInput, Observed, Outcome};
use crate::send::{Answer, Call, Failure, Retry, number};

/// An append to make.
///
/// ```no_run
/// use ossia_client::{AppendObjectRequest, Client};
///
/// # async fn example(client: Client) -> Result<(), ossia_client::ClientError> {
/// let first = client
///     .append_object(AppendObjectRequest {
///         bucket: "logs".into(),
///         key: "app.log".into(),
///         data: "started\n".into(),
///         ..Default::default()
///     })
///     .await?;
/// client
///     .append_object(AppendObjectRequest {
///         bucket: "logs".into(),
///         key: "app.log".into(),
///         data: "stopped\n".into(),
///         position: Some(first.next_position),
///         ..Default::default()
///     })
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct AppendObjectRequest {
    /// The bucket.
    pub bucket: String,
    /// The object. It is created if it does not exist and the position is 0.
    pub key: String,
    /// The bytes to append.
    pub data: Body,
    /// Length that the object has now. `None` is sent as 0: the first append.
    pub position: Option<u64>,
    /// CRC-64 of the object before this append, as the append before it answered. With it (and always at position 0) the
    /// client verifies that the object's CRC-64 is that of all its bytes.
    pub previous_crc64: Option<u64>,
    /// What the object is created with.
    pub attributes: ObjectAttributes,
    /// Whether an MD5 of the bytes is sent along.
    pub content_md5: ContentMd5,
}

impl AppendObjectRequest {
    /// The first append of an object; see the fields for the rest.
    pub fn new(bucket: impl Into<String>, key: impl Into<String>, data: impl Into<Body>) -> Self {
        AppendObjectRequest {
            bucket: bucket.into(),
            key: key.into(),
            data: data.into(),
            ..Default::default()
        }
    }

    /// Length that the object has now.
    #[must_use]
    pub fn position(mut self, position: u64) -> Self {
        self.position = Some(position);
        self
    }

    /// CRC-64 of the object before this append.
    #[must_use]
    pub fn previous_crc64(mut self, crc64: u64) -> Self {
        self.previous_crc64 = Some(crc64);
        self
    }
}

/// An append that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AppendObjectOutput {
    /// HTTP status.
    pub status: u16,
    /// Request id; after a lost answer that of the request by which the client found out.
    pub request_id: String,
    /// The object's length now: the position of the next append.
    pub next_position: u64,
    /// CRC-64 of the whole object now.
    pub crc64: Option<u64>,
    /// ETag without quotes.
    pub etag: String,
    /// Version, in a bucket that keeps versions.
    pub version_id: Option<String>,
    /// Whether the answer to the append itself was lost, and the object showed that it was applied.
    pub recovered: bool,
}

/// An append that may have been applied.
struct Doubt {
    sent: Progress,
    cause: ClientError,
}

/// What the object looked like afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    length: u64,
    crc64: Option<u64>,
}

/// What that says about the append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    NotApplied,
    Applied,
    /// The length fits; only the bytes can tell.
    CompareBytes,
    /// Another append took the place.
    Lost,
    Unclear,
}

/// The table at the head of this file.
fn judge(position: u64, sent: &Progress, before: Option<u64>, found: Found) -> Verdict {
    if found.length == position {
        return Verdict::NotApplied;
    }
    if position.checked_add(sent.bytes) != Some(found.length) {
        return Verdict::Unclear;
    }
    match (before, found.crc64) {
        (Some(before), Some(now)) if crc64_after(before, sent) == now => Verdict::Applied,
        (Some(_), Some(_)) if position == 0 => Verdict::Lost,
        // Not known, or the caller may be wrong about what was there before.
        _ => Verdict::CompareBytes,
    }
}

/// Where the object stood when the client looked, with what an answer needs.
struct Look {
    found: Found,
    request_id: String,
    etag: String,
    version_id: Option<String>,
}

/// One append from its first attempt to its outcome.
struct Run<'a> {
    client: &'a Client,
    bucket: String,
    key: String,
    position: u64,
    before: Option<u64>,
    call: Call,
    /// The last attempt that may have been applied.
    doubt: Option<Doubt>,
}

/// What to do after a failed attempt.
enum Next {
    Again,
    Done(AppendObjectOutput),
}

impl Client {
    /// Appends bytes to an object.
    ///
    /// On success the bytes are durable, and the answer tells the position of the next append. The answer is checked: the next
    /// position must be the old one plus what was sent, and, where the CRC-64 before is known, the new one must be its
    /// continuation.
    ///
    /// If the answer is lost (a timeout, a broken connection, a 5xx) after the whole body went out, the client looks at the
    /// object to find out whether the append was applied, and sends it again only if it was not, at the same position, so that
    /// bytes are never doubled. A success found out so has `recovered` set. With [`RetryPolicy::NONE`](crate::RetryPolicy::NONE)
    /// it does not look, and the caller gets the failure as it is.
    ///
    /// # Errors
    /// [`ClientError::PositionNotEqualToLength`] with the position that would have been right,
    /// [`ClientError::ObjectNotAppendable`], [`ClientError::AppendUnknown`] if the answer was lost and what is there now does
    /// not tell; [`ClientError::outcome`] says of any error whether the append can have been applied.
    pub async fn append_object(
        &self,
        request: AppendObjectRequest,
    ) -> Result<AppendObjectOutput, ClientError> {
        let mut run = Run::new(self, request)?;
        let mut attempt = 1;
        let mut corrected = false;
        loop {
            let failure = match self.inner.attempt(&mut run.call).await {
                Ok(answer) => return run.applied(answer).await,
                Err(failure) => failure,
            };
            if self.inner.follow_clock(&failure, &run.call, &mut corrected) {
                continue;
            }
            match run.after(failure, attempt).await? {
                Next::Done(output) => return Ok(output),
                Next::Again => attempt += 1,
            }
        }
    }
}

impl<'a> Run<'a> {
    fn new(client: &'a Client, request: AppendObjectRequest) -> Result<Run<'a>, ClientError> {
        let position = request.position.unwrap_or(0);
        if i64::try_from(position).is_err() {
            return Err(InvalidInput::Position { position }.into());
        }
        let mut call =
            Call::new(Method::POST, Retry::Once).object(&request.bucket, &request.key)?;
        call.query.push_flag("append");
        call.query.push("position", &position.to_string());
        request.attributes.apply(&mut call)?;
        request.content_md5.apply(&mut call, &request.data)?;
        call.body = request.data;
        Ok(Run {
            client,
            bucket: request.bucket,
            key: request.key,
            position,
            // An object of length 0 has the CRC-64 of nothing.
            before: request.previous_crc64.or((position == 0).then_some(0)),
            call,
            doubt: None,
        })
    }

    /// Reads and checks a success.
    async fn applied(&self, answer: Answer) -> Result<AppendObjectOutput, ClientError> {
        let Answer { status, ref request_id, ref headers, sent, .. } = answer;
        let next_position = number(headers, "x-oss-next-append-position")
            .ok_or_else(|| super::bad_answer("no next append position", request_id))?;
        let crc64 = number(headers, "x-oss-hash-crc64ecma");
        let output = AppendObjectOutput {
            status,
            request_id: request_id.clone(),
            next_position,
            crc64,
            etag: etag_of(headers),
            version_id: version_id(headers),
            recovered: false,
        };
        self.check(&output, &sent)?;
        self.client.inner.read_aside(answer).await?;
        Ok(output)
    }

    /// Compares what the service says with what was sent.
    fn check(&self, output: &AppendObjectOutput, sent: &Progress) -> Result<(), IntegrityError> {
        let request_id = || output.request_id.clone();
        let ours = self.position.saturating_add(sent.bytes);
        if output.next_position != ours {
            let theirs = output.next_position;
            return Err(IntegrityError::NextPosition { ours, theirs, request_id: request_id() });
        }
        if let (Some(before), Some(theirs)) = (self.before, output.crc64) {
            let ours = crc64_after(before, sent);
            if ours != theirs {
                return Err(IntegrityError::Crc64 { ours, theirs, request_id: request_id() });
            }
        }
        Ok(())
    }

    /// Decides what a failed attempt leads to. Errors are the append's outcome.
    async fn after(&mut self, failure: Failure, attempt: u32) -> Result<Next, ClientError> {
        let retry = &self.client.inner.retry;
        let transient = failure.is_transient();
        if transient && failure.sent.complete && failure.error.outcome() == Outcome::Unknown {
            if retry.attempts_max <= 1 {
                return Err(failure.error);
            }
            self.client.inner.pause(attempt, &failure).await;
            self.doubt = Some(Doubt { sent: failure.sent, cause: failure.error });
            let look = self.look().await;
            return self.settle(look, attempt).await;
        }
        // A conflict after an attempt in doubt may be with our own bytes.
        if let (Some(_), ClientError::PositionNotEqualToLength { next_position, crc64, service }) =
            (&self.doubt, &failure.error)
        {
            let look = Look {
                found: Found { length: *next_position, crc64: *crc64 },
                request_id: service.request_id.clone(),
                etag: String::new(),
                version_id: None,
            };
            return self.settle(Ok(look), attempt).await;
        }
        if !transient || attempt >= retry.attempts_max || !self.call.body.is_replayable() {
            return Err(self.give_up(Observed::NotYet, failure.error));
        }
        self.client.inner.pause(attempt, &failure).await;
        Ok(Next::Again)
    }

    /// Looks at the object. `Ok` with length 0 where there is none.
    async fn look(&self) -> Result<Look, ClientError> {
        match self.client.head_object(&self.bucket, &self.key).await {
            Ok(head) => Ok(Look {
                found: Found { length: head.meta.length, crc64: head.meta.crc64 },
                request_id: head.request_id,
                etag: head.meta.etag,
                version_id: head.meta.version_id,
            }),
            Err(error) if error.code() == Some("NoSuchKey") => Ok(Look {
                found: Found { length: 0, crc64: Some(0) },
                request_id: error.request_id().unwrap_or_default().to_owned(),
                etag: String::new(),
                version_id: None,
            }),
            Err(error) => Err(error),
        }
    }

    /// Draws the conclusion from what was found, as the table at the head of this file says.
    async fn settle(
        &mut self,
        look: Result<Look, ClientError>,
        attempt: u32,
    ) -> Result<Next, ClientError> {
        let Some(doubt) = self.doubt.take() else {
            return Err(InvalidInput::Contradiction("no append is in doubt").into());
        };
        let unknown =
            |observed, cause| Err(ClientError::AppendUnknown { observed, cause: Box::new(cause) });
        let Ok(look) = look else { return unknown(Observed::Nothing, doubt.cause) };
        let length = look.found.length;
        let verdict = match judge(self.position, &doubt.sent, self.before, look.found) {
            Verdict::CompareBytes => match self.is_ours(&doubt.sent).await {
                Ok(true) => Verdict::Applied,
                Ok(false) => Verdict::Lost,
                Err(_) => return unknown(Observed::Unverified { length }, doubt.cause),
            },
            verdict => verdict,
        };
        let last = attempt >= self.client.inner.retry.attempts_max;
        match verdict {
            Verdict::Applied => {
                let output = AppendObjectOutput {
                    status: 200,
                    request_id: look.request_id,
                    next_position: length,
                    crc64: look.found.crc64,
                    etag: look.etag,
                    version_id: look.version_id,
                    recovered: true,
                };
                self.check(&output, &doubt.sent)?;
                Ok(Next::Done(output))
            }
            Verdict::NotApplied if last || !self.call.body.is_replayable() => {
                unknown(Observed::NotYet, doubt.cause)
            }
            Verdict::NotApplied => {
                self.doubt = Some(doubt);
                Ok(Next::Again)
            }
            Verdict::Lost => Err(lost(&look, &self.key)),
            Verdict::Unclear | Verdict::CompareBytes => {
                unknown(Observed::Length(length), doubt.cause)
            }
        }
    }

    /// Reads back the range that the append would have filled, and compares its CRC-64 with that of the body.
    async fn is_ours(&self, sent: &Progress) -> Result<bool, ClientError> {
        let Some(last) = sent.bytes.checked_sub(1).and_then(|n| self.position.checked_add(n))
        else {
            return Ok(true);
        };
        let range = ByteRange::Span { first: self.position, last };
        let request = GetObjectRequest::new(&self.bucket, &self.key).range(range);
        let mut body = self.client.get_object(request).await?.body;
        let mut crc = Crc64::new();
        let mut length = 0;
        while let Some(chunk) = body.next_chunk().await {
            let chunk = chunk?;
            crc.update(&chunk);
            length += chunk.len() as u64;
        }
        Ok(length == sent.bytes && crc.value() == sent.crc64)
    }

    /// An error that ends the append, seen in the light of an earlier attempt that may have been applied.
    fn give_up(&mut self, observed: Observed, error: ClientError) -> ClientError {
        match self.doubt.take() {
            None => error,
            Some(_) => ClientError::AppendUnknown { observed, cause: Box::new(error) },
        }
    }
}

/// The refusal that the append would have met, had its first answer arrived.
fn lost(look: &Look, key: &str) -> ClientError {
    let service = crate::error::ServiceError {
        status: 409,
        code: "PositionNotEqualToLength".to_owned(),
        message: "another append took the position while the answer to this one was lost"
            .to_owned(),
        request_id: look.request_id.clone(),
        host_id: String::new(),
        ec: String::new(),
        fields: vec![("Key".to_owned(), key.to_owned())],
    };
    ClientError::PositionNotEqualToLength {
        next_position: look.found.length,
        crc64: look.found.crc64,
        service: Box::new(service),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ossia_protocol::crc64::checksum;

    #[test]
    fn the_state_of_the_object_tells_whether_an_append_was_applied() {
        let sent = Progress { bytes: 5, crc64: checksum(b"world"), complete: true };
        let hello = checksum(b"hello");
        let both = checksum(b"helloworld");
        let other = checksum(b"hellowxrld");
        let found = |length, crc64| Found { length, crc64 };
        // position, CRC-64 before, found, verdict
        let rows = [
            (5, Some(hello), found(5, Some(hello)), Verdict::NotApplied),
            (5, None, found(5, None), Verdict::NotApplied),
            (5, Some(hello), found(10, Some(both)), Verdict::Applied),
            (5, Some(hello), found(10, Some(other)), Verdict::CompareBytes),
            (0, Some(0), found(5, Some(other)), Verdict::Lost),
            (5, None, found(10, Some(both)), Verdict::CompareBytes),
            (5, Some(hello), found(10, None), Verdict::CompareBytes),
            (5, Some(hello), found(15, Some(both)), Verdict::Unclear),
            (5, Some(hello), found(7, Some(both)), Verdict::Unclear),
            (5, Some(hello), found(0, Some(0)), Verdict::Unclear),
            (0, Some(0), found(5, Some(sent.crc64)), Verdict::Applied),
            (0, Some(0), found(0, Some(0)), Verdict::NotApplied),
        ];
        for (position, before, found, verdict) in rows {
            assert_eq!(judge(position, &sent, before, found), verdict, "{position} {found:?}");
        }
        let far = Found { length: 4, crc64: None };
        assert_eq!(judge(u64::MAX, &sent, None, far), Verdict::Unclear);
    }

    #[test]
    fn an_empty_append_in_doubt_is_simply_made_again() {
        let sent = Progress { bytes: 0, crc64: 0, complete: true };
        let found = Found { length: 7, crc64: None };
        assert_eq!(judge(7, &sent, None, found), Verdict::NotApplied);
    }
}
