//! Callbacks: what the client asks for is read before its bytes are, and called once they are stored.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use md5::{Digest as _, Md5};
use ossia_protocol::{
    attributes::StoredHeaders,
    auth::FormFields,
    callback::{Callback, CallbackFacts, is_variable},
    error::{ErrorCode, OssError},
    time,
};

use super::{
    error as errors,
    fields::{self, CONTENT_MD5},
};
use crate::{
    callback::{Failed, Judged, Post, Refused},
    http::Reply,
    service::Call,
};

/// The application server answered with another status than 200.
const EC_STATUS: &str = "0007-00000203";

/// A callback that is asked for, its targets judged.
#[derive(Debug)]
pub(super) struct Asked {
    callback: Callback,
    targets: Vec<Judged>,
}

/// What was stored.
#[derive(Debug)]
pub(super) struct Stored<'a> {
    pub(super) key: &'a str,
    /// Without quotes.
    pub(super) etag: &'a str,
    /// The whole object in bytes.
    pub(super) size: u64,
    pub(super) crc64: u64,
    pub(super) mime_type: String,
    pub(super) md5: Option<[u8; 16]>,
}

/// The type that an object is kept with.
pub(super) fn mime_type(attributes: &StoredHeaders) -> String {
    String::from_utf8_lossy(&attributes.content_type).into_owned()
}

/// Whether headers or query ask for a callback: most uploads do not.
pub(super) fn is_asked(call: &Call<'_>) -> bool {
    call.header("x-oss-callback").is_some() || call.query.has("callback")
}

/// The callback that headers or query ask for.
///
/// # Errors
/// 400 `InvalidArgument` for one that cannot be made, or must not be.
pub(super) async fn asked(call: &Call<'_>) -> Result<Option<Asked>, OssError> {
    let twice = |message: &'static str| {
        Err(OssError::new(ErrorCode::InvalidArgument).with_message(message))
    };
    let by_header = call.header_text("x-oss-callback");
    let by_query = call.query.get("callback").filter(|text| !text.trim().is_empty());
    let header_variables = call.header_text("x-oss-callback-var");
    let query_variables = call.query.get("callback-var").filter(|text| !text.trim().is_empty());
    if by_header.is_some() && by_query.is_some() {
        return twice(
            "Either the callback query string parameter or the x-oss-callback header should be \
             specified, not both.",
        );
    }
    if (header_variables.is_some() && (query_variables.is_some() || by_query.is_some()))
        || (query_variables.is_some() && by_header.is_some())
    {
        return twice(
            "Either the callback-var query string parameter or the x-oss-callback-var header \
             should be specified, not both.",
        );
    }
    match by_header.or(by_query) {
        None => Ok(None),
        Some(text) => {
            let callback = Callback::parse(text, header_variables.or(query_variables))?;
            judged(call, callback).await.map(Some)
        }
    }
}

/// The callback that a form asks for, else that of the request it came in.
///
/// # Errors
/// As [`asked`].
pub(super) async fn asked_by_form(
    call: &Call<'_>,
    fields: &FormFields,
) -> Result<Option<Asked>, OssError> {
    let Some(text) = fields.get("callback").filter(|text| !text.trim().is_empty()) else {
        return asked(call).await;
    };
    if call.header("x-oss-callback").is_some() || call.query.has("callback") {
        let message = "The callback should be specified either in the form or beside it, not both.";
        return Err(OssError::new(ErrorCode::InvalidArgument).with_message(message));
    }
    let mut callback = Callback::parse(text, None)?;
    for (name, value) in fields.iter().filter(|(name, _)| is_variable(name)) {
        callback.add_variable(name, value);
    }
    judged(call, callback).await.map(Some)
}

async fn judged(call: &Call<'_>, callback: Callback) -> Result<Asked, OssError> {
    match call.app.callbacks.judge(&callback).await {
        Ok(targets) => Ok(Asked { callback, targets }),
        Err(refused) => {
            Err(OssError::new(ErrorCode::InvalidArgument).with_message(match refused {
                Refused::Forbidden => "Private address is forbidden to callback.",
                Refused::Unknown => "Can not get ip by this host.",
            }))
        }
    }
}

impl Asked {
    /// Calls, and makes the answer of it: the application server's own, or 203. Either way the object is stored, and what `reply`
    /// tells of it in headers is told.
    pub(super) async fn finish(self, call: &Call<'_>, stored: Stored<'_>, reply: Reply) -> Reply {
        let mut facts = CallbackFacts {
            size: stored.size,
            bucket: call.bucket_name().map(|name| name.as_str().to_owned()).unwrap_or_default(),
            object: stored.key.to_owned(),
            etag: stored.etag.to_owned(),
            mime_type: stored.mime_type,
            crc64: stored.crc64.to_string(),
            client_ip: call.request.peer.ip().to_canonical().to_string(),
            request_id: call.request.id.as_str().to_owned(),
            operation: call.operation.name().to_owned(),
            ..CallbackFacts::default()
        };
        if let Some(md5) = &stored.md5 {
            facts.content_md5 = STANDARD.encode(md5);
        }
        let body = self.callback.body(&facts);
        let post = Post { headers: self.headers(call, &facts, &body), body };
        let memory = (&call.app.downloads, call.request.guest.downloads());
        let mut failed = Failed::Unreachable;
        for target in &self.targets {
            match call.app.callbacks.call(target, &post, memory).await {
                Ok((body, reserved)) => {
                    let mut answer = Reply::whole(StatusCode::OK, body).holding(reserved);
                    take_headers(&mut answer, reply.headers);
                    let json = HeaderValue::from_static("application/json");
                    return answer.with(header::CONTENT_TYPE, json);
                }
                Err(why) => failed = why,
            }
        }
        let host = crate::service::host_of(call.headers());
        let mut answer = errors::render(&failure(&failed), call.request.id, &host, false);
        take_headers(&mut answer, reply.headers);
        answer
    }

    fn headers(&self, call: &Call<'_>, facts: &CallbackFacts, body: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut insert = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        };
        if let Some(host) = &self.callback.host {
            insert(header::HOST, host);
        }
        let now = time::http_date(fields::seconds(call.app.clock.now_ms() / 1000));
        insert(header::CONNECTION, "close");
        insert(header::CONTENT_TYPE, self.callback.content_type());
        insert(CONTENT_MD5, &STANDARD.encode(Md5::digest(body)));
        insert(header::DATE, &now);
        insert(header::USER_AGENT, "aliyun-oss-callback");
        insert(HeaderName::from_static("x-oss-bucket"), &facts.bucket);
        insert(HeaderName::from_static("x-oss-request-id"), &facts.request_id);
        let requester = call.requester();
        insert(HeaderName::from_static("x-oss-requester"), requester.unwrap_or("-"));
        insert(HeaderName::from_static("x-oss-tag"), "CALLBACK");
        headers
    }
}

/// What the operation's own answer told beside its body.
fn take_headers(answer: &mut Reply, headers: HeaderMap) {
    for (name, value) in headers {
        if let Some(name) = name
            && !matches!(name, header::CONTENT_TYPE | header::LOCATION)
        {
            answer.headers.insert(name, value);
        }
    }
}

fn failure(failed: &Failed) -> OssError {
    let error = OssError::new(ErrorCode::CallbackFailed);
    match failed {
        Failed::Unreachable => error,
        Failed::TooLong => error.with_message("Cost too long time."),
        Failed::Status(status) => {
            error.with_message(format!("Error status : {status}.")).with_ec(EC_STATUS)
        }
        Failed::NoLength => {
            error.with_message("Error Status : 400.User server missing content-length.")
        }
        Failed::TooLarge => error.with_message("Response body is too large."),
        Failed::NotJson => error.with_message("Response body is not valid json format."),
    }
}
