//! A bucket as a site: index and error pages, redirects. For readers who did not sign in a header; GET and HEAD only.

use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode, header};
use ossia_protocol::{
    error::{ErrorCode, OssError},
    operation::Operation,
    uri,
    xml::config::{RedirectKind, RoutingRule, WebsiteConfiguration},
};

use super::{read, versions};
use crate::{http::Reply, service::Call};

/// Answers a reader of a site; `None` when the request is not one.
pub(crate) async fn serve(call: &Call<'_>) -> Option<Result<Reply, OssError>> {
    let site = call.rules.website.as_ref()?;
    let by_header = call.header("authorization").is_some();
    match call.operation {
        Operation::GetObject | Operation::HeadObject if !by_header => {}
        // One that signs gets the page of a folder, and nothing else of the site: what is missing must stay missing to a program.
        Operation::GetObject if is_folder(call) && site.index.is_some() => {
            return Some(folder(call, site).await);
        }
        // A signed one lists.
        Operation::ListObjects | Operation::HeadBucket
            if call.caller.is_anonymous() && site.index.is_some() => {}
        _ => return None,
    }
    Some(page(call, site).await)
}

fn is_folder(call: &Call<'_>) -> bool {
    call.target.key.as_ref().is_some_and(|key| key.ends_with(b"/"))
}

/// The object under the key itself, or the page of that folder.
async fn folder(call: &Call<'_>, site: &WebsiteConfiguration) -> Result<Reply, OssError> {
    let key = String::from_utf8_lossy(call.target.key.as_deref().unwrap_or_default()).into_owned();
    let plain = object(call, &key).await;
    match (&plain, &site.index) {
        (Err(error), Some(index)) if error.code() == ErrorCode::NoSuchKey => {
            let shown = if index.sub_dirs {
                format!("{key}{}", index.suffix)
            } else {
                index.suffix.clone()
            };
            object(call, &shown).await.or(plain)
        }
        _ => plain,
    }
}

async fn page(call: &Call<'_>, site: &WebsiteConfiguration) -> Result<Reply, OssError> {
    let key = String::from_utf8_lossy(call.target.key.as_deref().unwrap_or_default()).into_owned();
    let shown = match &site.index {
        Some(index) if key.is_empty() => index.suffix.clone(),
        Some(index) if key.ends_with('/') && index.sub_dirs => format!("{key}{}", index.suffix),
        Some(index) if key.ends_with('/') => index.suffix.clone(),
        _ => key.clone(),
    };
    let plain = object(call, &shown).await;
    let status = match &plain {
        Ok(reply) => reply.status.as_u16(),
        Err(error) => error.status(),
    };
    if let Some(rule) = site.rules.iter().find(|rule| applies(call, rule, &key, status)) {
        return match rule.redirect.kind {
            // Only what is missing is fetched.
            RedirectKind::Mirror if plain.is_ok() => plain,
            // Telling that the key is missing would be untrue of a site that has it elsewhere.
            RedirectKind::Mirror => Err(OssError::new(ErrorCode::MirrorFailed)
                .with_message("This server does not fetch objects from elsewhere.")
                .with_field("RuleNumber", rule.number.to_string())),
            RedirectKind::External | RedirectKind::Internal => follow(call, rule, &key).await,
        };
    }
    let missing = matches!(&plain, Err(error) if error.code() == ErrorCode::NoSuchKey);
    if !missing {
        return plain;
    }
    if let Some(index) = &site.index
        && index.sub_dirs
        && index.kind != 1
        && !key.is_empty()
        && !key.ends_with('/')
    {
        let folder_page = object(call, &format!("{key}/{}", index.suffix)).await;
        if folder_page.is_ok() {
            return match index.kind {
                2 => folder_page,
                _ => redirect(call, StatusCode::FOUND, None, None, &format!("{key}/"), true),
            };
        }
    }
    let Some(error_page) = &site.error else { return plain };
    let mut page = match object(call, &error_page.key).await {
        Ok(page) => page,
        Err(_) => return plain,
    };
    // A page that tells of an error is shown whole and is not kept as the page that is missing.
    if page.status == StatusCode::OK && error_page.status == 404 {
        page.status = StatusCode::NOT_FOUND;
    }
    Ok(page)
}

/// The plain answer for a key, permission included.
async fn object(call: &Call<'_>, key: &str) -> Result<Reply, OssError> {
    let head = call.request.method == Method::HEAD;
    let mut target = call.target.clone();
    target.key = Some(key.as_bytes().to_vec()).filter(|key| !key.is_empty());
    let operation = if head { Operation::HeadObject } else { Operation::GetObject };
    let inner = Call {
        app: call.app,
        request: call.request,
        operation,
        target: &target,
        query: call.query,
        caller: Arc::clone(&call.caller),
        bucket: call.bucket.clone(),
        rules: call.rules.clone(),
        decided: call.decided,
        form: None,
    };
    // The version that is read is the one that is asked about.
    inner.permit_object(operation, key, versions::version(&inner)?, None).await?;
    if head { read::head_object(&inner).await } else { read::get_object(&inner).await }
}

fn applies(call: &Call<'_>, rule: &RoutingRule, key: &str, status: u16) -> bool {
    key.starts_with(&rule.key_prefix)
        && key.ends_with(&rule.key_suffix)
        && rule.error_code.is_none_or(|code| code == status)
        && rule.headers.iter().all(|condition| {
            let holds = |wanted: &Option<String>, test: fn(&str, &str) -> bool, value: &str| {
                wanted.as_deref().is_none_or(|wanted| test(value, wanted))
            };
            call.header_text(&condition.name).is_some_and(|value| {
                holds(&condition.equals, |value, wanted| value == wanted, value)
                    && holds(
                        &condition.starts_with,
                        |value, wanted| value.starts_with(wanted),
                        value,
                    )
                    && holds(&condition.ends_with, |value, wanted| value.ends_with(wanted), value)
            })
        })
}

async fn follow(call: &Call<'_>, rule: &RoutingRule, key: &str) -> Result<Reply, OssError> {
    let leads = &rule.redirect;
    let new = leads.target_key(key, &rule.key_prefix);
    if leads.kind == RedirectKind::Internal {
        return object(call, &new).await;
    }
    let status = StatusCode::from_u16(leads.status).unwrap_or(StatusCode::MOVED_PERMANENTLY);
    let (protocol, host) = (leads.protocol.as_deref(), leads.host.as_deref());
    redirect(call, status, protocol, host, &new, leads.pass_query)
}

fn redirect(
    call: &Call<'_>,
    status: StatusCode,
    protocol: Option<&str>,
    host: Option<&str>,
    key: &str,
    pass_query: bool,
) -> Result<Reply, OssError> {
    let own_host = call.header_text("host").unwrap_or("localhost");
    let mut location = match (protocol, host) {
        // The client knows how it came here.
        (None, None) => String::new(),
        (protocol, host) => {
            format!("{}://{}", protocol.unwrap_or("http"), host.unwrap_or(own_host))
        }
    };
    location.push('/');
    if host.is_none()
        && call.target.style == ossia_protocol::addressing::Style::Path
        && let Some(bucket) = &call.bucket
    {
        location.push_str(bucket.name.as_str());
        location.push('/');
    }
    let path = uri::encode_path(key.as_bytes());
    match path.strip_prefix('/') {
        // Two slashes at its beginning would make the next word a host of anybody's choice.
        Some(rest) if location == "/" => {
            location.push_str("%2F");
            location.push_str(rest);
        }
        _ => location.push_str(&path),
    }
    let raw = call.request.target.path_and_query().and_then(|target| target.query());
    if let Some(query) = raw.filter(|query| pass_query && !query.is_empty()) {
        location.push('?');
        location.push_str(query);
    }
    let value = HeaderValue::try_from(location).map_err(|_| {
        OssError::new(ErrorCode::InvalidArgument).with_message("The redirect leads nowhere.")
    })?;
    Ok(Reply::empty(status).with(header::LOCATION, value))
}
