//! What pages of other origins may do: the answer to a browser's question, and the headers of real answers.

use http::{HeaderMap, HeaderValue, header};
use ossia_objects::BucketRules;
use ossia_protocol::{
    error::{ErrorCode, OssError},
    xml::config::CorsRule,
};

use crate::http::Reply;

fn text<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A browser's question before a request from another origin. It names no one, so it is not signed.
pub(crate) fn preflight(headers: &HeaderMap, rules: &BucketRules) -> Result<Reply, OssError> {
    let lacks =
        |message: &'static str| Err(OssError::new(ErrorCode::BadRequest).with_message(message));
    let Some(origin) = headers.get(header::ORIGIN) else {
        return lacks("Insufficient information. Origin request header needed.");
    };
    let Some(method) = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD) else {
        return lacks(
            "Insufficient information. Request Access-Control-Request-Method header needed.",
        );
    };
    let (Ok(origin), Ok(method)) = (origin.to_str(), method.to_str()) else {
        return Err(OssError::cors_forbidden());
    };
    let asked = text(headers, &header::ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or_default();
    let names = asked.split(',').map(str::trim).filter(|name| !name.is_empty());
    let rule = rules.cors.as_ref().and_then(|cors| cors.find(origin, method, names));
    let rule = rule.ok_or_else(OssError::cors_forbidden)?;
    let mut reply = Reply::ok();
    allow(&mut reply.headers, rule, origin);
    if !asked.is_empty() {
        set(&mut reply.headers, header::ACCESS_CONTROL_ALLOW_HEADERS, asked);
    }
    Ok(reply)
}

/// Adds what a page of another origin needs to see of an answer, be it a success or an error, and tells caches what it depends on.
pub(crate) fn decorate(
    request: &HeaderMap,
    method: &str,
    preflight: bool,
    rules: &BucketRules,
    headers: &mut HeaderMap,
) {
    let Some(cors) = &rules.cors else { return };
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if preflight {
        return;
    }
    let Some(origin) = text(request, &header::ORIGIN) else { return };
    if let Some(rule) = cors.find(origin, method, std::iter::empty()) {
        allow(headers, rule, origin);
    }
}

fn allow(headers: &mut HeaderMap, rule: &CorsRule, origin: &str) {
    let origin = if rule.any_origin() { "*" } else { origin };
    set(headers, header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    for (name, values) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, &rule.allowed_methods),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, &rule.allowed_headers),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, &rule.expose_headers),
    ] {
        if !values.is_empty() {
            set(headers, name, &values.join(", "));
        }
    }
    if let Some(seconds) = rule.max_age_seconds {
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(seconds));
    }
}

/// What cannot stand in a header is left out.
fn set(headers: &mut HeaderMap, name: header::HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(name, value);
    }
}
