//! Who may do what to what, and by which statement, without doing it.

use std::{borrow::Cow, sync::Arc};

use ossia_access::{Caller, Decision, Right, Site, decide, right_of};
use ossia_protocol::{
    error::OssError,
    names::BucketName,
    policy::{Ask, Conditions, Resource},
};
use ossia_ram::{Fault, Object, Params};

use super::{Place, look_up};
use crate::{handlers::error as errors, service::App};

/// `ExplainAccess`, an action of this server's own beside those of RAM. For the account's own key alone: it tells of all policies.
///
/// Its parameters are `Principal` (`root`, `anonymous`, `user/<name>`, `role/<name>`), `PolicyAction` (as `oss:GetObject`),
/// `Resource` (`bucket`, `bucket/key`, a whole name, `*`), and what conditions may ask for: `SourceIp`, `SecureTransport`,
/// `Prefix`, `Delimiter`. It answers `Resource`, `Allowed` and `Reason`.
///
/// # Errors
/// [`Fault`].
pub(crate) async fn explain_asked(
    app: &App,
    asker: &Caller,
    params: &Params,
) -> Result<Object, Fault> {
    if !asker.is_account() {
        return Err(Fault::no_permission());
    }
    let need = |name: &str| {
        params.get(name).ok_or_else(|| {
            let code = format!("MissingParameter.{name}");
            Fault::new(400, code, format!("The parameter - \"{name}\" is missing."))
        })
    };
    let (who, action, resource) = (need("Principal")?, need("PolicyAction")?, need("Resource")?);
    let caller = match who {
        "root" => Arc::new(asker.clone()),
        "anonymous" => app.authenticator.anonymous(),
        named => app.ram.caller_named(named).ok_or_else(|| {
            let message = format!("There is no principal {named}.");
            Fault::new(404, "EntityNotExist.Principal", message)
        })?,
    };
    let text = |name| params.sent(name).map(Cow::Borrowed);
    let conditions = Conditions {
        source_ip: params.get("SourceIp").and_then(|ip| ip.parse().ok()),
        secure: params
            .get("SecureTransport")
            .is_some_and(|value| value.eq_ignore_ascii_case("true")),
        now: i64::try_from(app.clock.now_ms() / 1000).unwrap_or(i64::MAX),
        access_id: caller.access_key_id.as_deref().map(Cow::Borrowed),
        prefix: text("Prefix"),
        delimiter: text("Delimiter"),
        ..Conditions::default()
    };
    let question = Question { caller: &caller, action, resource, conditions: &conditions };
    let told = explain(app, question).await.map_err(|error| {
        Fault::new(error.status(), error.code().as_str(), error.message().to_owned())
    })?;
    Ok(Object::new()
        .with("Resource", told.resource)
        .with("Allowed", told.decision.allowed)
        .with("Reason", told.decision.reason.to_string()))
}

/// What is to be explained.
#[derive(Debug, Clone, Copy)]
struct Question<'q> {
    /// Who would ask.
    caller: &'q Caller,
    /// As `oss:GetObject`.
    action: &'q str,
    /// `bucket`, `bucket/key`, `*` for the account, or the whole name of a resource.
    resource: &'q str,
    /// Under which conditions. Tags of bucket and object are looked up.
    conditions: &'q Conditions<'q>,
}

/// What the decision would be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Explanation {
    /// The whole name of the resource.
    resource: String,
    /// The decision, with its reason, which can be shown.
    decision: Decision,
}

/// Decides as for a request, by the same function and on what is stored now.
///
/// # Errors
/// 404 `NoSuchBucket`, and failures of the store.
async fn explain(app: &App, question: Question<'_>) -> Result<Explanation, OssError> {
    let relative = match question.resource.strip_prefix("acs:") {
        Some(rest) => rest.splitn(4, ':').nth(3).unwrap_or("*"),
        None => question.resource,
    };
    let (name, key) = match relative.split_once('/') {
        Some((bucket, key)) => (bucket, Some(key)),
        None => (relative, None),
    };
    let of_oss = question.action.starts_with("oss:")
        && !question.resource.starts_with("acs:ram:")
        && name != "*";
    if !of_oss {
        let resource = match question.resource.starts_with("acs:") {
            true => question.resource.to_owned(),
            false => super::resource(app, None, None),
        };
        let decision = ossia_access::decide_identity(
            question.caller,
            question.action,
            &resource,
            question.conditions,
        );
        return Ok(Explanation { resource, decision });
    }
    let name = BucketName::new(name)?;
    let bucket = app.objects.bucket(&name).await;
    let bucket = bucket.map_err(|error| errors::bucket(error, &name))?;
    let rules = app.objects.rules(&name).await.map_err(|failure| errors::failure(&failure))?;
    let place = Place {
        name: Some(name.as_str()),
        bucket: Some(&bucket),
        rules: &rules,
        key: key.map(Cow::Borrowed),
        version: None,
        stored: None,
    };
    let info = look_up(app, &place).await?;
    let bucket_tags = rules.tags.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone()));
    let tags = info.as_ref().map(|info| info.tags.clone()).unwrap_or_default();
    let conditions = Conditions {
        bucket_tags: bucket_tags.collect(),
        existing_tags: tags.into(),
        ..question.conditions.clone()
    };
    let resource = super::resource(app, Some(name.as_str()), key);
    let ask = Ask {
        action: question.action,
        resource: Resource::new(&resource),
        conditions: &conditions,
    };
    let site = Site {
        account: &app.account,
        policy: rules.policy.as_deref(),
        blocked: rules.blocked,
        bucket_acl: bucket.acl,
        object_acl: info.map(|info| info.acl),
    };
    let right: Right = right_of(question.action, key.is_some());
    let decision = decide(question.caller, right, &ask, &site);
    Ok(Explanation { resource, decision })
}
