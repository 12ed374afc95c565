//! From a call to an answer: sign, send, wait with a bound, read refusals, try again where that is safe.
//!
//! Owns one exchange and the loop around it. What a request means, and what its answer says, is the operations' business; so is
//! the loop around an append, which cannot be repeated blindly.
//!
//! Invariants:
//! - every wait has a bound: connecting, sending, the answer's head, each piece of its body;
//! - a refusal is read up to a bound (I7), then it is an error with what the service said;
//! - nothing that may have happened is done twice, unless doing it twice is doing it once.

use std::error::Error as _;
use std::pin::pin;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::client::legacy::Error as HttpError;
use ossia_protocol::addressing::Target;
use ossia_protocol::auth::{self, Headers, RequestParts, Signer};
use ossia_protocol::error::{ParsedError, parse_error_xml, parse_x_oss_err};
use ossia_protocol::names::{BucketName, ObjectKey};
use ossia_protocol::query::Query;
use ossia_protocol::time::parse_http_date;
use tokio::time::timeout;

use crate::body::{Body, Outgoing, Progress, Sent};
use crate::client::Inner;
use crate::config::{RetryPolicy, SignatureVersion};
use crate::error::{ClientError, InvalidInput, Outcome, Phase, Reach, ServiceError};

/// Longest refusal that is read; real ones are a few hundred bytes.
const REFUSAL_BYTES_MAX: usize = 256 * 1024;

/// One request to make, perhaps more than once.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) bucket: Option<BucketName>,
    pub(crate) key: Option<ObjectKey>,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    pub(crate) retry: Retry,
    /// Whether it is signed in the way of OSS; what is not is signed already.
    pub(crate) signed: bool,
}

impl Call {
    /// A call without parameters, headers or body.
    pub(crate) fn new(method: Method, retry: Retry) -> Call {
        Call {
            method,
            bucket: None,
            key: None,
            query: Query::new(),
            headers: HeaderMap::new(),
            body: Body::default(),
            retry,
            signed: true,
        }
    }

    /// Names the bucket.
    pub(crate) fn bucket(mut self, name: &str) -> Result<Call, InvalidInput> {
        let bucket = BucketName::new(name)
            .map_err(|reason| InvalidInput::BucketName { name: name.to_owned(), reason })?;
        self.bucket = Some(bucket);
        Ok(self)
    }

    /// Names the object.
    pub(crate) fn object(self, bucket: &str, key: &str) -> Result<Call, InvalidInput> {
        let mut call = self.bucket(bucket)?;
        let key = ObjectKey::new(key)
            .map_err(|reason| InvalidInput::ObjectKey { key: key.to_owned(), reason })?;
        call.key = Some(key);
        Ok(call)
    }

    /// Adds a header line.
    pub(crate) fn header(&mut self, name: &str, value: &str) -> Result<(), InvalidInput> {
        let invalid = || InvalidInput::Header { name: name.to_owned() };
        let line = HeaderName::try_from(name).map_err(|_| invalid())?;
        let value = HeaderValue::try_from(value).map_err(|_| invalid())?;
        self.headers.append(line, value);
        Ok(())
    }

    /// As [`Call::header`], if there is a value.
    pub(crate) fn header_if(
        &mut self,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), InvalidInput> {
        value.map_or(Ok(()), |value| self.header(name, value))
    }
}

/// What may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// Changes nothing, or leaves the same state behind when done twice.
    Repeatable,
    /// Only if it surely did not happen.
    Once,
}

/// A success.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Incoming,
    pub(crate) request_id: String,
    /// What was sent for it.
    pub(crate) sent: Progress,
}

/// One attempt that did not succeed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: ClientError,
    /// What had been sent by then.
    pub(crate) sent: Progress,
    /// How long the server asks to wait.
    pub(crate) retry_after: Option<Duration>,
    /// The server's time, where it refused for ours.
    skewed_to: Option<i64>,
}

impl Failure {
    /// Nothing was sent.
    fn early(error: impl Into<ClientError>) -> Failure {
        let sent = Progress { bytes: 0, crc64: 0, complete: false };
        Failure { error: error.into(), sent, retry_after: None, skewed_to: None }
    }

    /// Whether the same request can have better luck later.
    pub(crate) fn is_transient(&self) -> bool {
        match &self.error {
            ClientError::Transport { .. } | ClientError::Timeout { .. } => true,
            ClientError::Service(service) => {
                matches!(service.status, 408 | 429 | 500..)
                    // The server gave up on a stalled body.
                    || service.code == "RequestTimeout"
            }
            _ => false,
        }
    }
}

impl Inner {
    /// Runs a call to its end, trying again as its [`Retry`] and the policy allow.
    pub(crate) async fn execute(&self, mut call: Call) -> Result<Answer, ClientError> {
        let mut attempt = 1;
        let mut corrected = false;
        loop {
            let failure = match self.attempt(&mut call).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if self.follow_clock(&failure, &call, &mut corrected) {
                continue;
            }
            if attempt >= self.retry.attempts_max || !may_repeat(&call, &failure) {
                return Err(failure.error);
            }
            self.pause(attempt, &failure).await;
            attempt += 1;
        }
    }

    /// Corrects the clock where the server refused for it. True, once a call, if the call can then be sent again: it was
    /// refused before anything happened.
    pub(crate) fn follow_clock(
        &self,
        failure: &Failure,
        call: &Call,
        corrected: &mut bool,
    ) -> bool {
        let Some(server_now) = failure.skewed_to else { return false };
        self.clock.correct(server_now);
        let first = !std::mem::replace(corrected, true);
        first && call.body.is_replayable()
    }

    /// Waits before the attempt after number `attempt`.
    pub(crate) async fn pause(&self, attempt: u32, failure: &Failure) {
        let pause = backoff(&self.retry, attempt, failure.retry_after, random());
        tracing::debug!(attempt, error = %failure.error, pause_ms = pause.as_millis() as u64, "trying again");
        tokio::time::sleep(pause).await;
    }

    /// One exchange.
    pub(crate) async fn attempt(&self, call: &mut Call) -> Result<Answer, Failure> {
        let (outgoing, sent) = call.body.open().await.map_err(Failure::early)?;
        let request = self.request(call, outgoing).map_err(Failure::early)?;
        let response = match self.exchange(request, &sent).await {
            Ok(response) => response,
            Err(error) => return Err(Failure { sent: sent.progress(), ..Failure::early(error) }),
        };
        let (head, body) = response.into_parts();
        let request_id = text(&head.headers, "x-oss-request-id").unwrap_or_default().to_owned();
        if head.status.is_success() {
            return Ok(Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                body,
                request_id,
                sent: sent.progress(),
            });
        }
        let refusal = self.refusal(head.status, &head.headers, body).await;
        let service =
            refusal.map_err(|error| Failure { sent: sent.progress(), ..Failure::early(error) })?;
        Err(refused(service, &head.headers, sent.progress()))
    }

    /// The signed request.
    fn request(&self, call: &Call, body: Outgoing) -> Result<Request<Outgoing>, InvalidInput> {
        let address = self.endpoint.address(call.bucket.as_ref(), call.key.as_ref(), &call.query);
        let mut headers = call.headers.clone();
        let host = HeaderValue::try_from(&address.host)
            .map_err(|_| InvalidInput::Header { name: "host".to_owned() })?;
        headers.insert(header::HOST, host);
        headers.insert(header::USER_AGENT, self.user_agent.clone());
        if let (&Method::PUT | &Method::POST, Some(length)) = (&call.method, body.length()) {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        if call.signed {
            self.sign(call, &mut headers);
        }
        let mut request = Request::new(body);
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = address.uri;
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn sign(&self, call: &Call, headers: &mut HeaderMap) {
        let Some(identity) = &self.identity else { return };
        let signer = Signer::new(&identity.access_key_id, &identity.secret, &self.region)
            .with_token(identity.token.as_deref());
        let target = Target::new(
            call.bucket.as_ref().map(BucketName::as_str),
            call.key.as_ref().map(ObjectKey::as_str),
        );
        let view = HeaderView(headers);
        let request = RequestParts {
            method: call.method.as_str(),
            target: &target,
            query: &call.query,
            headers: &view,
        };
        let now = self.clock.now();
        let lines = match self.signature {
            SignatureVersion::V1 => auth::sign_v1_header(&request, &signer, now),
            SignatureVersion::V4 => auth::sign_v4_header(&request, &signer, &[], now),
        };
        for (name, value) in lines {
            let value = HeaderValue::try_from(value)
                .expect("key id, token and region were checked when the client was built");
            headers.insert(HeaderName::from_static(name), value);
        }
    }

    /// Sends and waits for the head of the answer. The wait ends when nothing was taken for as long as is allowed.
    async fn exchange(
        &self,
        request: Request<Outgoing>,
        sent: &Sent,
    ) -> Result<Response<Incoming>, ClientError> {
        let mut response = pin!(self.http.request(request));
        let mut taken = 0;
        loop {
            match timeout(self.timeouts.idle, &mut response).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => return Err(self.broken(error, sent)),
                Err(_elapsed) => {
                    let progress = sent.progress();
                    if progress.bytes == taken {
                        return Err(ClientError::Timeout {
                            endpoint: self.endpoint.display(),
                            phase: Phase::Request,
                            after: self.timeouts.idle,
                            reached: reach(&progress),
                        });
                    }
                    taken = progress.bytes;
                }
            }
        }
    }

    fn broken(&self, error: HttpError, sent: &Sent) -> ClientError {
        if let Some(error) = sent.take_error() {
            return ClientError::Body(error);
        }
        let reached = if error.is_connect() { Reach::NotWhole } else { reach(&sent.progress()) };
        ClientError::Transport { endpoint: self.endpoint.display(), reached, source: root(error) }
    }

    /// Reads what the service says of a refusal: the body, else `x-oss-err`, else the status alone.
    async fn refusal(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: Incoming,
    ) -> Result<ServiceError, ClientError> {
        // A refusal whose text breaks off is still a refusal: the status has arrived.
        let body = self.read_bounded(body, REFUSAL_BYTES_MAX).await.unwrap_or_default();
        let parsed = parse_error_xml(&body)
            .or_else(|| refusal_of_json(&body))
            .or_else(|| parse_x_oss_err(headers.get("x-oss-err")?.as_bytes()))
            .unwrap_or_else(|| unnamed(status));
        let or_header = |value: String, name: &str| {
            if value.is_empty() {
                text(headers, name).unwrap_or_default().to_owned()
            } else {
                value
            }
        };
        Ok(ServiceError {
            status: status.as_u16(),
            code: parsed.code,
            message: parsed.message,
            request_id: or_header(parsed.request_id, "x-oss-request-id"),
            host_id: parsed.host_id,
            ec: or_header(parsed.ec, "x-oss-ec"),
            fields: parsed.fields,
        })
    }

    /// Reads a body of at most `limit` bytes into memory.
    pub(crate) async fn read_bounded(
        &self,
        mut body: Incoming,
        limit: usize,
    ) -> Result<Vec<u8>, ClientError> {
        let mut bytes = Vec::new();
        loop {
            let frame = timeout(self.timeouts.idle, body.frame()).await;
            let frame = match frame.map_err(|_| self.silent())? {
                None => return Ok(bytes),
                Some(frame) => frame.map_err(|error| self.cut_short(error))?,
            };
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > limit {
                return Err(ClientError::BadAnswer {
                    what: "the answer is longer than this client reads",
                    request_id: String::new(),
                });
            }
            bytes.extend_from_slice(&data);
        }
    }

    /// The body of an answer stopped moving.
    pub(crate) fn silent(&self) -> ClientError {
        ClientError::Timeout {
            endpoint: self.endpoint.display(),
            phase: Phase::Response,
            after: self.timeouts.idle,
            reached: Reach::Whole,
        }
    }

    /// The body of an answer broke off.
    pub(crate) fn cut_short(&self, error: hyper::Error) -> ClientError {
        ClientError::Transport {
            endpoint: self.endpoint.display(),
            reached: Reach::Whole,
            source: Box::new(error),
        }
    }
}

/// How RAM and STS refuse.
fn refusal_of_json(body: &[u8]) -> Option<ParsedError> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let code = text("Code");
    (!code.is_empty()).then(|| ParsedError {
        code,
        message: text("Message"),
        request_id: text("RequestId"),
        host_id: text("HostId"),
        ..unnamed(StatusCode::OK)
    })
}

/// The cause at the bottom, if it says more than "request failed".
fn root(error: HttpError) -> Box<dyn std::error::Error + Send + Sync> {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        // Wrappers often repeat what they wrap.
        if !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
        cause = inner.source();
    }
    texts.join(": ").into()
}

fn reach(progress: &Progress) -> Reach {
    if progress.complete { Reach::Whole } else { Reach::NotWhole }
}

/// Whether a failed call may be made again.
pub(crate) fn may_repeat(call: &Call, failure: &Failure) -> bool {
    failure.is_transient()
        && call.body.is_replayable()
        && (call.retry == Retry::Repeatable || failure.error.outcome() == Outcome::Rejected)
}

/// How long to wait after attempt number `attempt`: doubling, capped, and spread by `random` over the upper half.
fn backoff(policy: &RetryPolicy, attempt: u32, asked: Option<Duration>, random: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16);
    let longest = policy.backoff_initial.saturating_mul(1 << doublings).min(policy.backoff_max);
    let spread = f64::from(random) / f64::from(u32::MAX);
    let pause = longest.mul_f64(0.5 + spread / 2.0);
    asked.map_or(pause, |asked| asked.min(policy.backoff_max).max(pause))
}

fn random() -> u32 {
    // Without randomness clients merely retry in step.
    getrandom::u32().unwrap_or(u32::MAX / 2)
}

/// A refusal as an error, and what it says about trying again.
fn refused(service: ServiceError, headers: &HeaderMap, sent: Progress) -> Failure {
    let retry_after =
        text(headers, "retry-after").and_then(|value| value.parse().ok()).map(Duration::from_secs);
    let skewed_to = (service.code == "RequestTimeTooSkewed")
        .then(|| text(headers, "date").and_then(parse_http_date))
        .flatten();
    let service = Box::new(service);
    let error = match service.code.as_str() {
        "PositionNotEqualToLength" => match number(headers, "x-oss-next-append-position") {
            Some(next_position) => ClientError::PositionNotEqualToLength {
                next_position,
                crc64: number(headers, "x-oss-hash-crc64ecma"),
                service,
            },
            None => ClientError::Service(service),
        },
        "ObjectNotAppendable" => ClientError::ObjectNotAppendable { service },
        _ => ClientError::Service(service),
    };
    Failure { error, sent, retry_after, skewed_to }
}

/// A refusal that names no code.
fn unnamed(status: StatusCode) -> ParsedError {
    ParsedError {
        code: "BadErrorResponse".to_owned(),
        message: format!("the server answered {status} and did not say why"),
        ..ParsedError::default()
    }
}

/// A header as text.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// A header as a decimal number.
pub(crate) fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.trim().parse().ok()
}

/// Header lines as signatures see them.
struct HeaderView<'a>(&'a HeaderMap);

impl Headers for HeaderView<'_> {
    fn for_each<'h>(&'h self, visit: &mut dyn FnMut(&'h str, &'h [u8])) {
        for (name, value) in self.0 {
            visit(name.as_str(), value.as_bytes());
        }
    }

    fn first(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(HeaderValue::as_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_follow_the_server_up_to_it() {
        let policy = RetryPolicy {
            attempts_max: 9,
            backoff_initial: Duration::from_millis(100),
            backoff_max: Duration::from_secs(1),
        };
        let longest = |attempt| backoff(&policy, attempt, None, u32::MAX);
        assert_eq!(longest(1), Duration::from_millis(100));
        assert_eq!(longest(2), Duration::from_millis(200));
        assert_eq!(longest(5), Duration::from_secs(1));
        assert_eq!(longest(4000), Duration::from_secs(1));
        assert_eq!(backoff(&policy, 1, None, 0), Duration::from_millis(50));
        let asked = |seconds| backoff(&policy, 1, Some(Duration::from_secs(seconds)), u32::MAX);
        assert_eq!(asked(0), Duration::from_millis(100));
        assert_eq!(asked(3600), Duration::from_secs(1));
    }

    fn service(status: u16, code: &str) -> ServiceError {
        ServiceError {
            status,
            code: code.to_owned(),
            message: String::new(),
            request_id: String::new(),
            host_id: String::new(),
            ec: String::new(),
            fields: Vec::new(),
        }
    }

    #[test]
    fn what_is_repeated_depends_on_what_can_have_happened() {
        let broken = |reached| ClientError::Transport {
            endpoint: String::new(),
            reached,
            source: "broken".into(),
        };
        let answer = |status, code| ClientError::Service(Box::new(service(status, code)));
        // error, repeated if repeatable, repeated if at most once
        let rows = [
            (broken(Reach::NotWhole), true, true),
            (broken(Reach::Whole), true, false),
            (answer(500, "InternalError"), true, false),
            (answer(503, "ServiceUnavailable"), true, false),
            (answer(429, "TooMany"), true, true),
            (answer(408, "Slow"), true, true),
            (answer(400, "RequestTimeout"), true, true),
            (answer(400, "InvalidArgument"), false, false),
            (answer(403, "AccessDenied"), false, false),
            (answer(404, "NoSuchKey"), false, false),
            (ClientError::Body(crate::error::BodyError::TooLong), false, false),
        ];
        for (error, repeatable, once) in rows {
            let shown = error.to_string();
            let failure = Failure::early(error);
            let call = |retry| Call::new(Method::PUT, retry);
            assert_eq!(may_repeat(&call(Retry::Repeatable), &failure), repeatable, "{shown}");
            assert_eq!(may_repeat(&call(Retry::Once), &failure), once, "{shown}");
        }
    }

    #[test]
    fn a_conflict_without_the_position_stays_a_plain_refusal() {
        let sent = Progress { bytes: 0, crc64: 0, complete: true };
        let mut headers = HeaderMap::new();
        let plain = refused(service(409, "PositionNotEqualToLength"), &headers, sent);
        assert!(matches!(plain.error, ClientError::Service(_)));
        headers.insert("x-oss-next-append-position", HeaderValue::from_static("11"));
        let told = refused(service(409, "PositionNotEqualToLength"), &headers, sent);
        assert!(matches!(
            told.error,
            ClientError::PositionNotEqualToLength { next_position: 11, crc64: None, .. }
        ));
    }
}
