//! What the client does when an answer is lost, late, or says "later": it tries again where that is safe, and never doubles an
//! append.

use crate::stub::{Step, Stub, answer, raw, refusal};
use bytes::Bytes;
use futures_core::Stream;
use ossia_client::{
    AppendObjectRequest, Body, Client, ClientError, Credentials, GetObjectRequest, Observed,
    Outcome, Phase, PutObjectRequest, Reach, RetryPolicy, Timeouts,
};
use ossia_protocol::crc64::checksum;
use ossia_protocol::time;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Three attempts with pauses too short to matter.
const QUICK: RetryPolicy = RetryPolicy {
    attempts_max: 3,
    backoff_initial: Duration::from_millis(1),
    backoff_max: Duration::from_millis(5),
};

fn client_with(stub: &Stub, retry: RetryPolicy) -> Client {
    let timeouts = Timeouts { idle: Duration::from_millis(200), ..Timeouts::default() };
    Client::builder(&stub.endpoint)
        .credentials(Credentials::new("id", "secret"))
        .retry(retry)
        .timeouts(timeouts)
        .build()
        .unwrap()
}

fn client(stub: &Stub) -> Client {
    client_with(stub, QUICK)
}

fn hello(position: u64) -> AppendObjectRequest {
    AppendObjectRequest::new("bkt", "k", "hello").position(position)
}

fn appended(position: u64, crc64: u64) -> Step {
    state("200 OK", "x-oss-next-append-position", position, crc64)
}

/// An answer to HEAD.
fn object(length: u64, crc64: u64) -> Step {
    state("200 OK", "content-length", length, crc64)
}

fn conflict(length: u64, crc64: u64) -> Step {
    let (length, crc64) = (length.to_string(), crc64.to_string());
    let headers =
        [("x-oss-next-append-position", length.as_str()), ("x-oss-hash-crc64ecma", crc64.as_str())];
    refusal("409 Conflict", "PositionNotEqualToLength", &headers)
}

fn state(status: &str, name: &str, number: u64, crc64: u64) -> Step {
    let (number, crc64) = (number.to_string(), crc64.to_string());
    answer(status, &[(name, &number), ("x-oss-hash-crc64ecma", &crc64)], "")
}

/// The refusal of a HEAD on a key that is not there; it is read from `x-oss-err`, base64 of `<Error><Code>NoSuchKey…`.
fn no_such_key() -> Step {
    let err = "PEVycm9yPjxDb2RlPk5vU3VjaEtleTwvQ29kZT48L0Vycm9yPg==";
    answer("404 Not Found", &[("x-oss-err", err)], "")
}

#[tokio::test]
async fn a_lost_answer_of_an_applied_append_is_found_out() {
    let stub = Stub::start(vec![Step::Lose, object(5, checksum(b"hello"))]).await;
    let output = client(&stub).append_object(hello(0)).await.unwrap();
    assert!(output.recovered);
    assert_eq!((output.next_position, output.crc64), (5, Some(checksum(b"hello"))));
    assert_eq!(stub.methods(), ["POST", "HEAD"]);
}

#[tokio::test]
async fn a_lost_append_is_sent_again_at_the_same_position() {
    for looked in [no_such_key(), object(0, 0)] {
        let stub = Stub::start(vec![Step::Lose, looked, appended(5, checksum(b"hello"))]).await;
        let output = client(&stub).append_object(hello(0)).await.unwrap();
        assert!(!output.recovered);
        let targets: Vec<_> = stub.seen().into_iter().map(|request| request.target).collect();
        assert_eq!(targets, ["/bkt/k?append&position=0", "/bkt/k", "/bkt/k?append&position=0"]);
        stub.assert_over();
    }
}

#[tokio::test]
async fn a_first_attempt_that_arrives_late_is_recognised_by_the_conflict_of_the_second() {
    let stub = Stub::start(vec![Step::Lose, object(0, 0), conflict(5, checksum(b"hello"))]).await;
    let output = client(&stub).append_object(hello(0)).await.unwrap();
    assert!(output.recovered);
    assert_eq!(output.next_position, 5);
    assert_eq!(stub.methods(), ["POST", "HEAD", "POST"]);
}

#[tokio::test]
async fn a_position_taken_by_somebody_else_is_a_conflict() {
    let stub = Stub::start(vec![Step::Lose, object(5, checksum(b"other"))]).await;
    let error = client(&stub).append_object(hello(0)).await.unwrap_err();
    assert!(
        matches!(error, ClientError::PositionNotEqualToLength { next_position: 5, .. }),
        "{error:?}"
    );
    assert_eq!(error.outcome(), Outcome::Rejected);
}

#[tokio::test]
async fn without_the_crc_before_the_bytes_are_read_back() {
    let part =
        |body: &str| answer("206 Partial Content", &[("content-range", "bytes 5-9/10")], body);
    let stub = Stub::start(vec![Step::Lose, object(10, 7), part("hello")]).await;
    let output = client(&stub).append_object(hello(5)).await.unwrap();
    assert!(output.recovered);
    assert_eq!(stub.seen()[2].header("range"), Some("bytes=5-9"));

    let stub = Stub::start(vec![Step::Lose, object(10, 7), part("other")]).await;
    let error = client(&stub).append_object(hello(5)).await.unwrap_err();
    assert!(matches!(error, ClientError::PositionNotEqualToLength { next_position: 10, .. }));

    let forbidden = refusal("403 Forbidden", "AccessDenied", &[]);
    let stub = Stub::start(vec![Step::Lose, object(10, 7), forbidden]).await;
    let error = client(&stub).append_object(hello(5)).await.unwrap_err();
    let expected = Observed::Unverified { length: 10 };
    assert!(matches!(error, ClientError::AppendUnknown { observed, .. } if observed == expected));
}

#[tokio::test]
async fn an_object_that_has_moved_on_leaves_the_outcome_unknown() {
    let stub = Stub::start(vec![Step::Lose, object(12, 7)]).await;
    let error = client(&stub).append_object(hello(0)).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    let ClientError::AppendUnknown { observed, cause } = error else { panic!("{error:?}") };
    assert_eq!(observed, Observed::Length(12));
    assert!(matches!(*cause, ClientError::Transport { reached: Reach::Whole, .. }));
}

#[tokio::test]
async fn a_server_error_and_a_silent_server_are_lost_answers_too() {
    let unavailable =
        refusal("503 Service Unavailable", "ServiceUnavailable", &[("retry-after", "600")]);
    for lost in [unavailable, Step::Hang] {
        let stub = Stub::start(vec![lost, object(5, checksum(b"hello"))]).await;
        let output = client(&stub).append_object(hello(0)).await.unwrap();
        assert!(output.recovered);
        assert_eq!(stub.methods(), ["POST", "HEAD"]);
    }
}

#[tokio::test]
async fn a_body_that_did_not_go_out_whole_is_sent_again_without_looking() {
    // Far more than the buffers between the two hold.
    let body = vec![7u8; 32 << 20];
    let applied = appended(body.len() as u64, checksum(&body));
    let stub = Stub::start(vec![Step::LoseAtHead, applied]).await;
    let request = AppendObjectRequest::new("bkt", "k", body);
    let output = client(&stub).append_object(request).await.unwrap();
    assert!(!output.recovered);
    assert_eq!(stub.methods(), ["POST", "POST"]);
}

#[tokio::test]
async fn a_server_error_before_the_body_went_out_needs_no_look_either() {
    let body = vec![7u8; 32 << 20];
    let applied = appended(body.len() as u64, checksum(&body));
    let busy = raw("503 Service Unavailable", &[("connection", "close")], "");
    let stub = Stub::start(vec![Step::RefuseAtHead(busy), applied]).await;
    let output = client(&stub).append_object(AppendObjectRequest::new("bkt", "k", body)).await;
    assert!(!output.unwrap().recovered);
    assert_eq!(stub.methods(), ["POST", "POST"]);
}

#[tokio::test]
async fn attempts_are_counted_and_the_last_doubt_is_told() {
    let round = || [Step::Lose, object(0, 0)];
    let stub = Stub::start([round(), round(), round()].concat()).await;
    let error = client(&stub).append_object(hello(0)).await.unwrap_err();
    assert!(
        matches!(error, ClientError::AppendUnknown { observed: Observed::NotYet, .. }),
        "{error:?}"
    );
    stub.assert_over();
}

#[tokio::test]
async fn a_refusal_after_a_doubtful_attempt_does_not_hide_the_doubt() {
    let denied = refusal("403 Forbidden", "AccessDenied", &[]);
    let stub = Stub::start(vec![Step::Lose, object(0, 0), denied]).await;
    let error = client(&stub).append_object(hello(0)).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(error.code(), Some("AccessDenied"));
}

#[tokio::test]
async fn without_retries_the_failure_comes_as_it_is() {
    let stub = Stub::start(vec![Step::Lose]).await;
    let error = client_with(&stub, RetryPolicy::NONE).append_object(hello(0)).await.unwrap_err();
    assert!(matches!(error, ClientError::Transport { reached: Reach::Whole, .. }), "{error:?}");
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(stub.methods(), ["POST"]);
}

struct Once(Option<&'static str>);

impl Stream for Once {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.take().map(|text| Ok(Bytes::from_static(text.as_bytes()))))
    }
}

#[tokio::test]
async fn a_stream_is_looked_after_but_not_sent_again() {
    let request =
        || AppendObjectRequest::new("bkt", "k", Body::stream(Once(Some("hello")))).position(0);
    let stub = Stub::start(vec![Step::Lose, object(5, checksum(b"hello"))]).await;
    assert!(client(&stub).append_object(request()).await.unwrap().recovered);

    let stub = Stub::start(vec![Step::Lose, object(0, 0)]).await;
    let error = client(&stub).append_object(request()).await.unwrap_err();
    assert!(matches!(error, ClientError::AppendUnknown { observed: Observed::NotYet, .. }));
    assert_eq!(stub.methods(), ["POST", "HEAD"]);
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_once_and_remembered() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let date = time::http_date(now + 86_400);
    let skewed = || refusal("403 Forbidden", "RequestTimeTooSkewed", &[("date", &date)]);
    let applied = || appended(5, checksum(b"hello"));
    let stub = Stub::start(vec![skewed(), applied(), applied(), skewed(), skewed()]).await;
    // Not counted as an attempt: it works without any retries.
    let client = client_with(&stub, RetryPolicy::NONE);
    client.append_object(hello(0)).await.unwrap();
    client.append_object(hello(0)).await.unwrap();
    let error = client.append_object(hello(0)).await.unwrap_err();
    assert_eq!(error.code(), Some("RequestTimeTooSkewed"));
    assert_eq!(stub.methods().len(), 5);
    for request in &stub.seen()[1..] {
        let sent = time::parse_compact(request.header("x-oss-date").unwrap()).unwrap();
        assert!((sent - now - 86_400).abs() < 60, "{sent}");
    }
}

#[tokio::test]
async fn reads_are_tried_again_and_give_up_after_the_last_attempt() {
    let busy = || refusal("503 Service Unavailable", "ServiceUnavailable", &[]);
    let stub = Stub::start(vec![busy(), Step::Lose, answer("200 OK", &[], "x")]).await;
    let read = GetObjectRequest::new("bkt", "k");
    let answer = client(&stub).get_object(read.clone()).await.unwrap();
    assert_eq!(answer.body.collect(1).await.unwrap(), "x");

    let stub = Stub::start(vec![busy(), busy(), busy()]).await;
    let error = client(&stub).get_object(read).await.unwrap_err();
    assert_eq!(error.status(), Some(503));
    stub.assert_over();
}

#[tokio::test]
async fn writes_are_tried_again_where_that_is_safe() {
    let lost = || vec![Step::Lose, answer("200 OK", &[], "")];
    let stub = Stub::start(lost()).await;
    client(&stub).put_object(PutObjectRequest::new("bkt", "k", "x")).await.unwrap();
    stub.assert_over();

    let stub = Stub::start(lost()).await;
    client(&stub).delete_object("bkt", "k").await.unwrap();
    stub.assert_over();

    // A second answer would say that the object exists, or that there is no such bucket: the first attempt's own doing.
    let stub = Stub::start(lost()).await;
    let mut once = PutObjectRequest::new("bkt", "k", "x");
    once.forbid_overwrite = true;
    let error = client(&stub).put_object(once).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    let stub = Stub::start(lost()).await;
    assert!(client(&stub).delete_bucket("bkt").await.is_err());
    assert_eq!(stub.methods(), ["DELETE"]);
}

#[tokio::test]
async fn a_refusal_is_not_tried_again() {
    let stub = Stub::start(vec![refusal("400 Bad Request", "InvalidArgument", &[])]).await;
    assert!(client(&stub).put_object(PutObjectRequest::new("bkt", "k", "x")).await.is_err());
    assert_eq!(stub.methods(), ["PUT"]);
}

#[tokio::test]
async fn silence_has_an_end() {
    let begun = raw("200 OK", &[("content-length", "10")], "01234");
    let stub = Stub::start(vec![Step::Hang, Step::AnswerAndHang(begun)]).await;
    let client = client_with(&stub, RetryPolicy::NONE);
    let read = GetObjectRequest::new("bkt", "k");
    let error = client.get_object(read.clone()).await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout { phase: Phase::Request, .. }), "{error:?}");
    let mut body = client.get_object(read).await.unwrap().body;
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), "01234");
    let error = body.next_chunk().await.unwrap().unwrap_err();
    assert!(matches!(error, ClientError::Timeout { phase: Phase::Response, .. }), "{error:?}");
}

#[tokio::test]
async fn nobody_listening_means_that_nothing_happened() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let client = Client::builder(format!("http://{address}")).retry(QUICK).build().unwrap();
    let error = client.append_object(hello(0)).await.unwrap_err();
    assert!(matches!(error, ClientError::Transport { reached: Reach::NotWhole, .. }), "{error:?}");
    assert_eq!(error.outcome(), Outcome::Rejected);
}
