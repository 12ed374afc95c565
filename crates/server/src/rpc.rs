//! Requests to RAM and STS, which share the port with OSS and nothing else: signatures, errors and answers are their own
//! (`auth.md` §9, `ram-rpc.md`).

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use http::{HeaderName, HeaderValue, StatusCode, header};
use ossia_access::{Caller, decide_identity, trusts};
use ossia_protocol::{
    addressing::Target,
    auth::{RequestParts, RpcError, is_rpc},
    error::{ErrorCode, OssError},
    policy::{Conditions, Policy},
    query::Query,
};
use ossia_ram::{Fault, Format, Judge, Params, RamRequest, guid};

use crate::{
    access::explain_asked,
    auth::{HeaderView, first},
    handlers::upload::whole_body_of,
    http::{Reply, Request},
    service::{App, host_of},
};

/// The longest body: a policy of 6,144 characters, percent-encoded, with room for the rest.
const BODY_BYTES_MAX: usize = 128 << 10;
/// The longest target: clients put policies into the query.
const TARGET_BYTES_MAX: usize = 64 << 10;
const FORM: &str = "application/x-www-form-urlencoded";

/// An action of this server's own: what the decision on a request would be.
const EXPLAIN: &str = "ExplainAccess";

/// Names the request in logs of clients.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-acs-request-id");

/// How long the target of a request may be, of which others have `usual`. Only what can be no operation of OSS may be longer.
pub(crate) fn target_bytes_max(request: &Request, usual: usize) -> usize {
    let service = request.target.path() == "/";
    let named = request.headers.contains_key("x-acs-action")
        || request.target.query().is_some_and(|query| query.contains("Action="));
    if service && named { usual.max(TARGET_BYTES_MAX) } else { usual }
}

/// Answers a request to RAM or STS; `None` for all others.
///
/// # Errors
/// What keeps the body from being read: the client is told as OSS would.
pub(crate) async fn serve(
    app: &App,
    request: &Request,
    target: &Target,
    query: &Query,
) -> Option<Result<Reply, OssError>> {
    if target.bucket.is_some() || target.key.is_some() {
        return None;
    }
    let headers = HeaderView(&request.headers);
    let parts = RequestParts { method: request.method.as_str(), target, query, headers: &headers };
    let by_form = request.method == http::Method::POST
        && first(&request.headers, "content-type")
            .is_some_and(|kind| kind.to_ascii_lowercase().starts_with(FORM.as_bytes()));
    // No operation of OSS is a form at service level, so its body is nobody else's.
    if !by_form && !is_rpc(&parts, None) {
        return None;
    }
    Some(Box::pin(answer(app, request, &parts, by_form)).await)
}

async fn answer(
    app: &App,
    request: &Request,
    parts: &RequestParts<'_>,
    by_form: bool,
) -> Result<Reply, OssError> {
    let too_long = || {
        let message =
            format!("The body exceeds the maximum allowed size of {BODY_BYTES_MAX} bytes.");
        OssError::new(ErrorCode::InvalidArgument).with_message(message)
    };
    let (body, _reserved) = whole_body_of(app, request, BODY_BYTES_MAX, too_long).await?;
    let form = match by_form {
        true => Some(Query::parse(&body).map_err(|error| {
            OssError::new(ErrorCode::InvalidArgument).with_message(error.to_string())
        })?),
        false => None,
    };
    if !is_rpc(parts, form.as_ref()) {
        return Err(OssError::method_not_allowed(parts.method, "Service"));
    }
    let params = Params::new(parts.query, form.as_ref());
    let text = |name: &str| std::str::from_utf8(first(&request.headers, name)?).ok();
    // Headers are signed by ACS3 alone; in the older style they are for show.
    let signed = |name: &str| text("authorization").and_then(|_| text(name));
    let action = params.get("Action").or_else(|| signed("x-acs-action")).unwrap_or_default();
    let version = params.get("Version").or_else(|| signed("x-acs-version")).unwrap_or_default();
    let action = action.to_owned();
    let format = match params.get("Format") {
        Some(format) if format.eq_ignore_ascii_case("xml") => Format::Xml,
        None if text("accept").is_some_and(|accept| accept.starts_with("application/xml")) => {
            Format::Xml
        }
        _ => Format::Json,
    };
    let id = guid();
    let now_ms = app.clock.now_ms();
    let now = i64::try_from(now_ms / 1000).unwrap_or(i64::MAX);
    let identified = app.authenticator.identify_rpc(parts, form.as_ref(), &body, now);
    let (who, told) = match identified {
        Err(error) => (None, Err(unidentified(&error))),
        Ok((caller, nonce)) => {
            let judge = Circumstances {
                account: app.account.clone(),
                peer: app.source(request),
                user_agent: text("user-agent").map(str::to_owned),
                external_id: params.get("ExternalId").map(str::to_owned),
                secure: request.secure,
                now,
            };
            let version = version.to_owned();
            let (action, judge) = (action.clone(), Box::new(judge));
            let who = Arc::clone(&caller);
            let told = if action == EXPLAIN {
                explain_asked(app, &caller, &params).await
            } else {
                let asked = RamRequest { action, version, params, caller, judge, nonce, now_ms };
                app.ram.call(asked).await
            };
            (Some(who), told)
        }
    };
    app.tell_rpc(request, who.as_deref(), &shown(&action), told.as_ref().err());
    let (status, document) = match &told {
        Ok(answer) => (200, answer.render(&shown(&action), &id, format)),
        Err(fault) => (fault.status, fault.render(&id, &host_of(&request.headers), format)),
    };
    tracing::debug!(
        target: "ossia::rpc",
        request_id = %request.id,
        guid = id,
        action = &*shown(&action),
        status,
        code = told.as_ref().err().map(|fault| &*fault.code),
        "decided"
    );
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = match format {
        Format::Json => HeaderValue::from_static("application/json; charset=utf-8"),
        Format::Xml => HeaderValue::from_static("text/xml; charset=utf-8"),
    };
    let mut reply = Reply::whole(status, document).with(header::CONTENT_TYPE, kind);
    if let Ok(id) = HeaderValue::try_from(id) {
        reply = reply.with(REQUEST_ID, id);
    }
    Ok(reply)
}

/// An action's name, if it can be one: it becomes the name of an element.
fn shown(action: &str) -> Cow<'_, str> {
    match action.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        true => Cow::Borrowed(action),
        false => Cow::Borrowed("Unknown"),
    }
}

fn unidentified(error: &RpcError) -> Fault {
    Fault::new(error.status(), error.code(), error.to_string())
}

/// What policies are asked with.
struct Circumstances {
    account: String,
    peer: IpAddr,
    user_agent: Option<String>,
    external_id: Option<String>,
    secure: bool,
    now: i64,
}

impl Circumstances {
    fn conditions<'c>(&'c self, caller: &'c Caller) -> Conditions<'c> {
        Conditions {
            source_ip: Some(self.peer),
            user_agent: self.user_agent.as_deref().map(Cow::Borrowed),
            access_id: caller.access_key_id.as_deref().map(Cow::Borrowed),
            external_id: self.external_id.as_deref().map(Cow::Borrowed),
            secure: self.secure,
            now: self.now,
            ..Conditions::default()
        }
    }
}

impl Judge for Circumstances {
    fn allows(&self, caller: &Caller, action: &str, resource: &str) -> bool {
        let decision = decide_identity(caller, action, resource, &self.conditions(caller));
        if !decision.allowed {
            let reason = &decision.reason;
            tracing::debug!(target: "ossia::rpc", action, resource, %reason, "refused");
        }
        decision.allowed
    }

    fn trusts(&self, caller: &Caller, trust: &Policy) -> bool {
        trusts(trust, caller, &self.account, &self.conditions(caller))
    }
}
