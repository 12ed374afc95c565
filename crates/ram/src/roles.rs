//! Roles, and who may assume them.

use std::sync::Arc;

use ossia_protocol::policy::{Policy as Document, PolicyKind};

use crate::{
    answer::{Fault, Object},
    api::{Asker, date, paged},
    names,
    params::Params,
    records::{self, Role},
    state::{Change, State, lower},
};

/// The bounds of `MaxSessionDuration`, and what it is by default, in seconds.
const SESSION_SECONDS: std::ops::RangeInclusive<u64> = 3_600..=43_200;
const SESSION_SECONDS_DEFAULT: u64 = 3_600;

fn told(account: &str, role: &Role, updated: bool, trust: bool) -> Object {
    Object::new()
        .with("RoleId", role.id.as_str())
        .with("RoleName", role.name.as_str())
        .with("Arn", arn(account, &role.name))
        .with("Description", role.description.as_str())
        .with_some("AssumeRolePolicyDocument", trust.then_some(role.trust.as_str()))
        .with("MaxSessionDuration", role.session_seconds_max)
        .with("CreateDate", date(role.created_ms))
        .with_some("UpdateDate", updated.then(|| date(role.updated_ms)))
}

/// `acs:ram::<account>:role/<name>`.
pub(crate) fn arn(account: &str, name: &str) -> String {
    format!("acs:ram::{account}:role/{name}")
}

fn trust(parameter: &'static str, text: &str) -> Result<Arc<Document>, Fault> {
    if text.chars().count() > crate::policies::DOCUMENT_CHARS_MAX {
        return Err(Fault::too_long(parameter));
    }
    let parsed = Document::parse(text, PolicyKind::Trust);
    parsed.map(Arc::new).map_err(|error| Fault::malformed_policy(error.to_string()))
}

fn seconds(parameter: &'static str, p: &Params) -> Result<Option<u64>, Fault> {
    let Some(text) = p.get(parameter) else { return Ok(None) };
    let seconds = text.parse().ok().filter(|seconds| SESSION_SECONDS.contains(seconds));
    seconds.map(Some).ok_or_else(|| Fault::incorrect(parameter))
}

fn description(name: &str, value: &str) -> Result<String, Fault> {
    names::text(name, value, 1_024)
}

pub(crate) fn create(change: &mut Change<'_>, p: &Params) -> Result<Object, Fault> {
    let name = names::role("RoleName", p.need("RoleName")?)?;
    let text = p.need("AssumeRolePolicyDocument")?;
    let trust = trust("AssumeRolePolicyDocument", text)?;
    let mut role = Role {
        name,
        trust: text.to_owned(),
        session_seconds_max: seconds("MaxSessionDuration", p)?.unwrap_or(SESSION_SECONDS_DEFAULT),
        created_ms: change.now_ms,
        updated_ms: change.now_ms,
        ..Role::default()
    };
    crate::users::set!(p, "Description", role.description, description);
    if change.state.roles.contains_key(&lower(&role.name)) {
        return Err(Fault::exists("Role", "The role does already EXIST."));
    }
    if change.state.roles.len() >= change.limits.roles {
        return Err(Fault::limit("Role", "The count of roles beyond the current limits."));
    }
    role.id = change.unused_id()?;
    let answer = Object::new().with("Role", told(change.account, &role, false, true));
    change.put_role(role, trust);
    Ok(answer)
}

pub(crate) fn get(state: &State, asker: &Asker<'_>, p: &Params) -> Result<Object, Fault> {
    let role = state.role(p.need("RoleName")?)?;
    let told = told(asker.account, role, true, true).with("IsServiceLinkedRole", false);
    Ok(Object::new().with("Role", told))
}

pub(crate) fn update(change: &mut Change<'_>, p: &Params) -> Result<Object, Fault> {
    let name = p.need("RoleName")?;
    let fresh = p
        .get("NewAssumeRolePolicyDocument")
        .map(|text| trust("NewAssumeRolePolicyDocument", text).map(|trust| (text, trust)))
        .transpose()?;
    let description =
        p.sent("NewDescription").map(|new| description("NewDescription", new)).transpose()?;
    let seconds = seconds("NewMaxSessionDuration", p)?;
    let mut role = Role::clone(change.state.role(name)?);
    role.description = description.unwrap_or(role.description);
    role.session_seconds_max = seconds.unwrap_or(role.session_seconds_max);
    role.updated_ms = change.now_ms;
    if let Some((text, _)) = &fresh {
        role.trust = (*text).to_owned();
    }
    let answer = Object::new().with("Role", told(change.account, &role, true, true));
    match fresh {
        Some((_, trust)) => change.put_role(role, trust),
        None => change.put_role_as_trusted(role),
    }
    Ok(answer)
}

pub(crate) fn delete(change: &mut Change<'_>, p: &Params) -> Result<Object, Fault> {
    let role = change.state.role(p.need("RoleName")?)?;
    if !role.policies.is_empty() {
        let message = "The role CAN NOT has any attached policy while deleting the role.";
        return Err(Fault::in_use("Role.Policy", message));
    }
    let (id, name) = (role.id.clone(), lower(&role.name));
    change.remove(records::ROLE, &id);
    change.state.roles.remove(&name);
    change.state.trusts.remove(&id);
    Ok(Object::new())
}

pub(crate) fn list(state: &State, asker: &Asker<'_>, p: &Params) -> Result<Object, Fault> {
    paged(p, 1_000, &state.roles, "Roles", "Role", |_, role| {
        Some(told(asker.account, role, true, false).into())
    })
}
